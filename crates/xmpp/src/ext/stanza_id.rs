//! XEP-0359: Unique and Stable Stanza IDs.

use super::{address, element};
use crate::jid::Jid;
use crate::ns;
use crate::stanza::Stanza;
use base::Str;
use xml::Element;

/// What somebody on a message's way calls it, in his archive as a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StanzaId {
    /// The name.
    pub id: Str,
    /// Who gave it: it counts only if that is somebody who would have taken a forged one away (§3 rule 3).
    pub by: Jid,
}

impl StanzaId {
    /// Reads it.
    pub fn parse(e: &Element) -> Option<StanzaId> {
        if !e.is("stanza-id", ns::STANZA_ID) {
            return None;
        }
        Some(StanzaId { id: id(e)?, by: address(e, "by")? })
    }

    /// The one that `by` gave to the stanza; None where there are several.
    pub fn of(stanza: &Stanza, by: &Jid) -> Option<StanzaId> {
        let mut all = stanza.elements().filter_map(StanzaId::parse).filter(|id| id.by == *by);
        match (all.next(), all.next()) {
            (Some(id), None) => Some(id),
            (_, _) => None,
        }
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        element("stanza-id", ns::STANZA_ID).with_attr("id", self.id.clone()).with_attr("by", self.by.to_string())
    }
}

/// What the message's sender calls it. It tells him his own message when a room that changes ids reflects it; to everybody else
/// it proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginId(pub Str);

impl OriginId {
    /// Reads it.
    pub fn parse(e: &Element) -> Option<OriginId> {
        if e.is("origin-id", ns::STANZA_ID) { id(e).map(OriginId) } else { None }
    }

    /// The first one in a stanza.
    pub fn of(stanza: &Stanza) -> Option<OriginId> {
        stanza.elements().find_map(OriginId::parse)
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        element("origin-id", ns::STANZA_ID).with_attr("id", self.0.clone())
    }
}

fn id(e: &Element) -> Option<Str> {
    e.attr("id").filter(|id| !id.is_empty()).map(Str::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let jid = |s| Jid::parse(s).expect("an address");
        let (room, server) = (jid("room@muc.example.com"), jid("example.com"));
        let id = |id: &str, by: &Jid| StanzaId { id: id.into(), by: by.clone() };
        let (ours, theirs) = (id("5f3dbc5e", &room), id("de305d54", &server));
        assert_eq!(StanzaId::parse(&ours.to_element()), Some(ours.clone()));
        let message = Stanza::message()
            .with_child(ours.to_element())
            .with_child(element("stanza-id", ns::STANZA_ID).with_attr("id", "x"))
            .with_child(OriginId("0".into()).to_element())
            .with_child(theirs.to_element());
        assert_eq!(StanzaId::of(&message, &room), Some(ours.clone()));
        assert_eq!(StanzaId::of(&message, &server), Some(theirs));
        assert_eq!(StanzaId::of(&message, &jid("other@example.com")), None);
        assert_eq!(OriginId::of(&message), Some(OriginId("0".into())));
        assert_eq!(OriginId::of(&Stanza::message()), None);
        assert_eq!(StanzaId::of(&message.with_child(ours.to_element()), &room), None, "two of one: one is forged");
        assert_eq!(StanzaId::parse(&id("", &room).to_element()), None);
        assert_eq!(OriginId::parse(&ours.to_element()), None);
        assert_eq!(OriginId::parse(&element("origin-id", ns::STANZA_ID)), None);
    }
}
