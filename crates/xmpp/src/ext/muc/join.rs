//! `<x xmlns='http://jabber.org/protocol/muc'/>`: joining a room.

use super::super::element;
use crate::ns;
use crate::stanza::{Kind, Stanza};
use base::Str;
use xml::Element;

/// A wish to join a room (§7.2), in presence to the nickname that one wants there.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Join {
    /// The room's password (§7.2.5).
    pub password: Option<Str>,
    /// How much one wants to hear of what was said before (§7.2.14). None: as much as the room gives.
    pub history: Option<History>,
}

/// How much of a room's history is wanted: what meets all of it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct History {
    /// At most so many characters of XML; 0: none of it.
    pub maxchars: Option<u32>,
    /// At most so many messages; 0: none.
    pub maxstanzas: Option<u32>,
    /// Only what was said in the last so many seconds.
    pub seconds: Option<u32>,
    /// Only what was said since (XEP-0082), as it stands there.
    pub since: Option<Str>,
}

impl Join {
    /// Reads it.
    pub fn parse(e: &Element) -> Option<Join> {
        if !e.is("x", ns::MUC) {
            return None;
        }
        let password = e.child("password", ns::MUC).map(|p| Str::from(p.text()));
        Some(Join { password, history: e.child("history", ns::MUC).map(History::parse) })
    }

    /// What a stanza says of it, if it is a join: available presence with the element in it, to an address that may be an occupant's. A
    /// client that is in the room does not send it, so that it also says: tell me everything anew.
    pub fn of(stanza: &Stanza) -> Option<Join> {
        if stanza.kind != Kind::Presence || stanza.type_.is_some() {
            return None;
        }
        stanza.elements().find_map(Join::parse)
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        let mut e = element("x", ns::MUC);
        if let Some(history) = &self.history {
            e.push(history.to_element());
        }
        if let Some(password) = &self.password {
            e.push(element("password", ns::MUC).with_text(password));
        }
        e
    }
}

impl History {
    /// No history at all.
    pub const NONE: History = History { maxchars: None, maxstanzas: Some(0), seconds: None, since: None };

    /// At most so many messages.
    pub fn stanzas(n: u32) -> History {
        History { maxstanzas: Some(n), ..History::default() }
    }

    fn parse(e: &Element) -> History {
        // What is no number says nothing: the room gives what it likes to give.
        let number = |name| e.attr(name).and_then(|n| n.parse().ok());
        History {
            maxchars: number("maxchars"),
            maxstanzas: number("maxstanzas"),
            seconds: number("seconds"),
            since: e.attr("since").map(Str::from),
        }
    }

    fn to_element(&self) -> Element {
        let mut e = element("history", ns::MUC);
        let numbers = [("maxchars", self.maxchars), ("maxstanzas", self.maxstanzas), ("seconds", self.seconds)];
        for (name, number) in numbers {
            if let Some(n) = number {
                e.set_attr(name, base::format_compact!("{n}"));
            }
        }
        if let Some(since) = &self.since {
            e.set_attr("since", since.clone());
        }
        e
    }
}
