//! XEP-0353: calls that ring on all devices before there is a session: messages, of which servers keep copies and tell the other devices.

use super::element;
use super::jingle::{self, MAX_CONTENTS, Reason};
use crate::ns;
use crate::stanza::{Kind, Stanza};
use base::Str;
use xml::Element;

/// What is told of a call. Each names the call as its session is going to be named: 1 to
/// [`jingle::MAX_NAME`] bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Jmi {
    /// The sender would like to call (§3.1).
    Propose {
        /// The call's name.
        id: Str,
        /// What for: descriptions that say little, at most [`MAX_CONTENTS`].
        descriptions: Vec<Element>,
    },
    /// A device rings (§3.2); since version 0.4.
    Ringing {
        /// The call's name.
        id: Str,
    },
    /// A device takes the call and waits for a session (§3.4).
    Proceed {
        /// The call's name.
        id: Str,
    },
    /// A device took the call, as it was told to the others until version 0.4.
    Accept {
        /// The call's name.
        id: Str,
    },
    /// A device refuses the call, for all of them (§3.5).
    Reject {
        /// The call's name.
        id: Str,
        /// Why.
        reason: Option<Reason>,
        /// Because another call between the two goes before it (§4.1).
        tie_break: bool,
    },
    /// The sender does not want to call any more (§3.3).
    Retract {
        /// The call's name.
        id: Str,
        /// Why.
        reason: Option<Reason>,
        /// Because another call between the two goes before it (§4.1).
        tie_break: bool,
    },
    /// The call is over (§3.7); since version 0.4.
    Finish {
        /// The call's name.
        id: Str,
        /// Why.
        reason: Option<Reason>,
        /// Another call goes on in its place (§4.2).
        migrated: Option<Str>,
    },
}

impl Jmi {
    /// A call for these kinds of media, such as `audio`.
    pub fn propose(id: impl Into<Str>, media: &[&str]) -> Jmi {
        let description = |media: &&str| element("description", ns::RTP).with_attr("media", *media);
        Jmi::Propose { id: id.into(), descriptions: media.iter().map(description).collect() }
    }

    /// The call's name.
    pub fn id(&self) -> &Str {
        match self {
            Jmi::Propose { id, .. }
            | Jmi::Ringing { id }
            | Jmi::Proceed { id }
            | Jmi::Accept { id }
            | Jmi::Reject { id, .. }
            | Jmi::Retract { id, .. }
            | Jmi::Finish { id, .. } => id,
        }
    }

    /// The element's name.
    pub fn name(&self) -> &'static str {
        match self {
            Jmi::Propose { .. } => "propose",
            Jmi::Ringing { .. } => "ringing",
            Jmi::Proceed { .. } => "proceed",
            Jmi::Accept { .. } => "accept",
            Jmi::Reject { .. } => "reject",
            Jmi::Retract { .. } => "retract",
            Jmi::Finish { .. } => "finish",
        }
    }

    /// The kinds of RTP media that a call is proposed for.
    pub fn media(&self) -> impl Iterator<Item = &str> {
        let descriptions = match self {
            Jmi::Propose { descriptions, .. } => descriptions.as_slice(),
            Jmi::Ringing { .. }
            | Jmi::Proceed { .. }
            | Jmi::Accept { .. }
            | Jmi::Reject { .. }
            | Jmi::Retract { .. }
            | Jmi::Finish { .. } => &[],
        };
        descriptions.iter().filter(|d| d.is("description", ns::RTP)).filter_map(|d| d.attr("media"))
    }

    /// Reads it; none if it is something else or its name is not one.
    pub fn parse(e: &Element) -> Option<Jmi> {
        if e.ns != ns::JINGLE_MESSAGE {
            return None;
        }
        let id = name(e, "id")?;
        Some(match e.name.as_str() {
            "propose" => {
                let descriptions = e.elements().filter(|d| d.name == "description").take(MAX_CONTENTS);
                Jmi::Propose { id, descriptions: descriptions.cloned().collect() }
            }
            "ringing" => Jmi::Ringing { id },
            "proceed" => Jmi::Proceed { id },
            "accept" => Jmi::Accept { id },
            "reject" => Jmi::Reject { id, reason: reason(e), tie_break: tie_break(e) },
            "retract" => Jmi::Retract { id, reason: reason(e), tie_break: tie_break(e) },
            "finish" => {
                let migrated = e.child("migrated", ns::JINGLE_MESSAGE).and_then(|m| name(m, "to"));
                Jmi::Finish { id, reason: reason(e), migrated }
            }
            _ => return None,
        })
    }

    /// What a message tells of a call, if it does.
    pub fn of(message: &Stanza) -> Option<Jmi> {
        message.elements().filter(|_| message.kind == Kind::Message).find_map(Jmi::parse)
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        let e = element(self.name(), ns::JINGLE_MESSAGE).with_attr("id", self.id().clone());
        let because = |e: Element, reason: &Option<Reason>| reason.iter().fold(e, |e, r| e.with_child(r.to_element()));
        match self {
            Jmi::Propose { descriptions, .. } => descriptions.iter().cloned().fold(e, Element::with_child),
            Jmi::Ringing { .. } | Jmi::Proceed { .. } | Jmi::Accept { .. } => e,
            Jmi::Reject { reason, tie_break, .. } | Jmi::Retract { reason, tie_break, .. } => {
                let e = because(e, reason);
                if *tie_break { e.with_child(element("tie-break", ns::JINGLE_MESSAGE)) } else { e }
            }
            Jmi::Finish { reason, migrated, .. } => migrated.iter().fold(because(e, reason), |e, to| {
                e.with_child(element("migrated", ns::JINGLE_MESSAGE).with_attr("to", to.clone()))
            }),
        }
    }
}

fn name(e: &Element, attr: &str) -> Option<Str> {
    jingle::name(e.attr(attr)?).ok()
}

fn reason(e: &Element) -> Option<Reason> {
    e.child("reason", ns::JINGLE).and_then(Reason::parse)
}

fn tie_break(e: &Element) -> bool {
    // In the specification's examples it has the namespace of its parent.
    e.child("tie-break", ns::JINGLE_MESSAGE).is_some()
}

#[cfg(test)]
mod tests {
    use super::super::jingle::{Condition, MAX_NAME};
    use super::super::tests::over_the_wire;
    use super::*;

    #[test]
    fn there_and_back() {
        let id = Str::from("ca3cf894-5325-482f-a412-a6e9f832298d");
        let mut all = vec![
            Jmi::propose(id.clone(), &[]),
            Jmi::propose(id.clone(), &["audio", "video"]),
            Jmi::Ringing { id: id.clone() },
            Jmi::Proceed { id: id.clone() },
            Jmi::Accept { id: id.clone() },
        ];
        for reason in [None, Some(Reason::new(Condition::Expired).with_text("Tie-Break"))] {
            for on in [false, true] {
                let (id, reason) = (id.clone(), reason.clone());
                let migrated = on.then(|| Str::from("989a46a6"));
                all.push(Jmi::Reject { id: id.clone(), reason: reason.clone(), tie_break: on });
                all.push(Jmi::Retract { id: id.clone(), reason: reason.clone(), tie_break: on });
                all.push(Jmi::Finish { id, reason, migrated });
            }
        }
        for jmi in all {
            assert_eq!(Jmi::parse(&over_the_wire(&jmi.to_element())).as_ref(), Some(&jmi));
            assert_eq!(Jmi::of(&Stanza::message().with_child(jmi.to_element())).as_ref(), Some(&jmi));
            assert_eq!(jmi.id(), &id);
        }
    }

    #[test]
    fn what_a_call_is_proposed_for() {
        assert_eq!(Jmi::propose("1", &["audio", "video"]).media().collect::<Vec<_>>(), ["audio", "video"]);
        let other = element("description", "urn:xmpp:jingle:apps:file-transfer:5").with_attr("media", "audio");
        let many = (0..100)
            .fold(element("propose", ns::JINGLE_MESSAGE).with_attr("id", "1"), |e, _| e.with_child(other.clone()));
        let Some(Jmi::Propose { descriptions, .. }) = Jmi::parse(&many) else { panic!("a proposal") };
        assert_eq!(descriptions.len(), MAX_CONTENTS);
        assert_eq!(Jmi::Propose { id: "1".into(), descriptions }.media().count(), 0);
        assert_eq!(Jmi::Ringing { id: "1".into() }.media().count(), 0);
    }

    #[test]
    fn what_tells_nothing() {
        let said = |name: &'static str, id: &str| element(name, ns::JINGLE_MESSAGE).with_attr("id", id);
        assert!(Jmi::parse(&said("proceed", &"a".repeat(MAX_NAME))).is_some());
        for e in [
            said("proceed", ""),
            said("proceed", "a\nb"),
            said("proceed", &"a".repeat(MAX_NAME + 1)),
            said("device", "1"),
            element("proceed", ns::JINGLE_MESSAGE),
            element("proceed", ns::JINGLE).with_attr("id", "1"),
        ] {
            assert_eq!(Jmi::parse(&e), None, "{e:?}");
        }
        assert_eq!(Jmi::of(&Stanza::presence().with_child(said("proceed", "1"))), None);
    }
}
