//! XEP-0249: Direct MUC Invitations.

use super::{address, element, words};
use crate::jid::Jid;
use crate::ns;
use base::Str;
use xml::Element;

/// An invitation to a room that does not go through the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The room.
    pub room: Jid,
    /// The password that lets one in.
    pub password: Option<Str>,
    /// Why, in words.
    pub reason: Option<String>,
    /// Whether the room continues a chat of two.
    pub continues: bool,
    /// The thread of that chat.
    pub thread: Option<Str>,
}

impl Invitation {
    /// An invitation without further words.
    pub fn to(room: Jid) -> Invitation {
        Invitation { room, password: None, reason: None, continues: false, thread: None }
    }

    /// Reads it; what names no room is none. The room is what stands before a resource.
    pub fn parse(e: &Element) -> Option<Invitation> {
        if !e.is("x", ns::CONFERENCE) {
            return None;
        }
        Some(Invitation {
            room: address(e, "jid")?.bare(),
            password: e.attr("password").filter(|p| !p.is_empty()).map(Str::from),
            reason: e.attr("reason").and_then(words),
            continues: matches!(e.attr("continue"), Some("true" | "1")),
            thread: e.attr("thread").filter(|t| !t.is_empty()).map(Str::from),
        })
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        let mut e = element("x", ns::CONFERENCE);
        if self.continues {
            e.set_attr("continue", Str::const_new("true"));
        }
        e.set_attr("jid", self.room.to_string());
        let reason = self.reason.as_deref().map(Str::from);
        for (name, value) in [("password", &self.password), ("reason", &reason), ("thread", &self.thread)] {
            if let Some(value) = value {
                e.set_attr(name, value.clone());
            }
        }
        e
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::over_the_wire;
    use super::*;

    #[test]
    fn there_and_back() {
        let room = || Jid::parse("darkcave@macbeth.shakespeare.lit").expect("an address");
        let bare = Invitation::to(room());
        let full = Invitation {
            room: room(),
            password: Some("cauldronburn".into()),
            reason: Some("Hey Hecate, this is the place for all <good> witches!".into()),
            continues: true,
            thread: Some("e0ffe42b28561960c6b12b944a092794b9683a38".into()),
        };
        for invitation in [bare.clone(), full] {
            assert_eq!(Invitation::parse(&over_the_wire(&invitation.to_element())), Some(invitation));
        }
        let odd = element("x", ns::CONFERENCE)
            .with_attr("jid", "darkcave@macbeth.shakespeare.lit/hecate")
            .with_attr("continue", "1")
            .with_attr("reason", " ");
        assert_eq!(Invitation::parse(&odd), Some(Invitation { continues: true, ..bare }));
        assert_eq!(Invitation::parse(&element("x", ns::CONFERENCE)), None);
        assert_eq!(Invitation::parse(&element("x", ns::CONFERENCE).with_attr("jid", "@")), None);
        assert_eq!(Invitation::parse(&element("x", ns::MUC).with_attr("jid", "a@b")), None);
    }
}
