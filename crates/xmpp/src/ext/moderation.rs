//! XEP-0424 and XEP-0425: messages that their sender or a moderator takes back, in the form of today and in the one before it, in which
//! they were fastened to the earlier message (XEP-0422). Rooms send either, or both in one stanza.

use super::{address, element, words};
use crate::jid::Jid;
use crate::ns;
use crate::stanza::Stanza;
use base::Str;
use xml::Element;

/// Which text of the two specifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// XEP-0424 before 0.4, XEP-0425 before 0.3: `<apply-to/>`.
    Zero,
    /// As it is today.
    One,
}

/// An earlier message is to be shown no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retraction {
    /// Which message: in a room by the room's own stanza-id (XEP-0424 §5.1, XEP-0425 §3.1).
    pub id: Str,
    /// That a moderator wants it. Only the room itself, writing from its bare address, can say so (XEP-0425 §5).
    pub moderated: Option<Moderated>,
    /// Why, in words.
    pub reason: Option<String>,
}

/// Which moderator.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Moderated {
    /// His address in the room, if that is told.
    pub by: Option<Jid>,
}

impl Retraction {
    /// Reads it, in either version.
    pub fn parse(e: &Element) -> Option<Retraction> {
        if e.is("retract", ns::RETRACT) {
            let moderated = e.child("moderated", ns::MODERATE);
            return Some(Retraction {
                id: id(e)?,
                moderated: moderated.map(|m| Moderated { by: address(m, "by") }),
                reason: reason(e, ns::RETRACT),
            });
        }
        if !e.is("apply-to", ns::FASTEN) {
            return None;
        }
        if let Some(m) = e.child("moderated", ns::MODERATE_0) {
            // What is moderated might be something else than taken back.
            m.child("retract", ns::RETRACT_0)?;
            let moderated = Some(Moderated { by: address(m, "by") });
            return Some(Retraction { id: id(e)?, moderated, reason: reason(m, ns::MODERATE_0) });
        }
        e.child("retract", ns::RETRACT_0)?;
        Some(Retraction { id: id(e)?, moderated: None, reason: None })
    }

    /// What a message takes back, if it does.
    pub fn of(message: &Stanza) -> Option<Retraction> {
        message.elements().find_map(Retraction::parse)
    }

    /// Writes it. [`Version::Zero`] has no place for why somebody takes back what is his own.
    pub fn to_element(&self, version: Version) -> Element {
        let moderated = |ns| {
            self.moderated.as_ref().map(|m| {
                let e = element("moderated", ns);
                m.by.iter().fold(e, |e, by| e.with_attr("by", by.to_string()))
            })
        };
        let reason = |ns| self.reason.iter().map(move |text| element("reason", ns).with_text(text));
        match version {
            Version::One => {
                let e = element("retract", ns::RETRACT).with_attr("id", self.id.clone());
                moderated(ns::MODERATE).into_iter().chain(reason(ns::RETRACT)).fold(e, Element::with_child)
            }
            Version::Zero => {
                let retract = element("retract", ns::RETRACT_0);
                let what = match moderated(ns::MODERATE_0) {
                    Some(m) => reason(ns::MODERATE_0).fold(m.with_child(retract), Element::with_child),
                    None => retract,
                };
                element("apply-to", ns::FASTEN).with_attr("id", self.id.clone()).with_child(what)
            }
        }
    }
}

/// A moderator's wish that the room take a message back: in an iq of type set to the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moderate {
    /// Which message, by the room's own stanza-id.
    pub id: Str,
    /// Why, in words.
    pub reason: Option<String>,
}

impl Moderate {
    /// Reads it, in either version, and says in which.
    pub fn parse(e: &Element) -> Option<(Moderate, Version)> {
        if e.is("moderate", ns::MODERATE) {
            e.child("retract", ns::RETRACT)?;
            return Some((Moderate { id: id(e)?, reason: reason(e, ns::MODERATE) }, Version::One));
        }
        if !e.is("apply-to", ns::FASTEN) {
            return None;
        }
        let m = e.child("moderate", ns::MODERATE_0)?;
        m.child("retract", ns::RETRACT_0)?;
        Some((Moderate { id: id(e)?, reason: reason(m, ns::MODERATE_0) }, Version::Zero))
    }

    /// Writes it.
    pub fn to_element(&self, version: Version) -> Element {
        let filled = |e: Element, ns, retract| {
            let e = e.with_child(element("retract", retract));
            self.reason.iter().fold(e, |e, text| e.with_child(element("reason", ns).with_text(text)))
        };
        match version {
            Version::One => {
                filled(element("moderate", ns::MODERATE).with_attr("id", self.id.clone()), ns::MODERATE, ns::RETRACT)
            }
            Version::Zero => element("apply-to", ns::FASTEN).with_attr("id", self.id.clone()).with_child(filled(
                element("moderate", ns::MODERATE_0),
                ns::MODERATE_0,
                ns::RETRACT_0,
            )),
        }
    }
}

fn id(e: &Element) -> Option<Str> {
    e.attr("id").filter(|id| !id.is_empty()).map(Str::from)
}

fn reason(e: &Element, ns: &str) -> Option<String> {
    e.child("reason", ns).and_then(|r| words(&r.text()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::over_the_wire;
    use super::*;

    const VERSIONS: [Version; 2] = [Version::Zero, Version::One];

    #[test]
    fn there_and_back() {
        let by = Jid::parse("room@muc.example.com/macbeth").ok();
        let full = Retraction {
            id: "stanza-id-1".into(),
            moderated: Some(Moderated { by }),
            reason: Some("This message contains inappropriate content".into()),
        };
        let anonymous = Retraction { moderated: Some(Moderated::default()), reason: None, ..full.clone() };
        let own = Retraction { moderated: None, ..anonymous.clone() };
        for retraction in [full.clone(), anonymous, own] {
            for version in VERSIONS {
                let e = over_the_wire(&retraction.to_element(version));
                assert_eq!(Retraction::parse(&e).as_ref(), Some(&retraction), "{version:?}");
                assert_eq!(Moderate::parse(&e), None);
            }
        }
        // As rooms do that wish to be understood by all.
        let both = VERSIONS.iter().fold(Stanza::message(), |m, v| m.with_child(full.to_element(*v)));
        assert_eq!(Retraction::of(&both), Some(full));
        for reason in [None, Some("spam".to_owned())] {
            let moderate = Moderate { id: "1".into(), reason };
            for version in VERSIONS {
                let e = over_the_wire(&moderate.to_element(version));
                assert_eq!(Moderate::parse(&e), Some((moderate.clone(), version)));
                assert_eq!(Retraction::parse(&e), None);
            }
        }
    }

    #[test]
    fn the_example_of_the_specification() {
        // XEP-0425 §3.1, example 5.
        let text = "<retract id='stanza-id-1' xmlns='urn:xmpp:message-retract:1'>\
                    <moderated by='room@muc.example.com/macbeth' xmlns='urn:xmpp:message-moderate:1'>\
                    <occupant-id xmlns='urn:xmpp:occupant-id:0' id='dd72603deec90a38ba552f7c68cbcc61bca202cd'/></moderated>\
                    <reason>Inappropriate</reason></retract>";
        let e = Element::parse(text.as_bytes(), &xml::Limits::default()).expect("well-formed");
        let moderated = Some(Moderated { by: Jid::parse("room@muc.example.com/macbeth").ok() });
        let reason = Some("Inappropriate".to_owned());
        assert_eq!(Retraction::parse(&e), Some(Retraction { id: "stanza-id-1".into(), moderated, reason }));
    }

    #[test]
    fn what_takes_nothing_back() {
        let fasten = || element("apply-to", ns::FASTEN).with_attr("id", "1");
        for e in [
            element("retract", ns::RETRACT),
            element("retract", ns::RETRACT_0).with_attr("id", "1"),
            fasten(),
            fasten().with_child(element("moderated", ns::MODERATE_0)),
            element("apply-to", ns::FASTEN).with_child(element("retract", ns::RETRACT_0)),
            // XEP-0425 §4: a tombstone tells of the past.
            element("retracted", ns::RETRACT).with_attr("id", "1"),
        ] {
            assert_eq!(Retraction::parse(&e), None, "{e:?}");
        }
        for e in [
            element("moderate", ns::MODERATE).with_attr("id", "1"),
            element("moderate", ns::MODERATE).with_child(element("retract", ns::RETRACT)),
            fasten().with_child(element("moderate", ns::MODERATE_0)),
            fasten(),
        ] {
            assert_eq!(Moderate::parse(&e), None, "{e:?}");
        }
    }
}
