//! XEP-0054: vcard-temp, as much of it as can be said of somebody of whom no more than a name is known.

use super::element;
use crate::ns;
use xml::Element;

/// A card with names alone. Of the DTD's other elements none is written, and none is read: an address or a picture in a card is a claim
/// that nobody has checked.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct VCard {
    /// FN: the name to be shown.
    pub full_name: Option<String>,
    /// NICKNAME: what the person goes by.
    pub nickname: Option<String>,
}

impl VCard {
    /// Whether `e` asks for a card (§3.1): of what it holds nothing is looked at.
    pub fn is_query(e: &Element) -> bool {
        e.is("vCard", ns::VCARD)
    }

    /// Reads a card. Names of white space alone say nothing; of two the first counts.
    pub fn parse(e: &Element) -> Option<VCard> {
        if !VCard::is_query(e) {
            return None;
        }
        let name = |name| {
            let text = e.child(name, ns::VCARD)?.text().trim().to_owned();
            (!text.is_empty()).then_some(text)
        };
        Some(VCard { full_name: name("FN"), nickname: name("NICKNAME") })
    }

    /// Writes a card; an empty one is the question, or the answer that nothing is known.
    pub fn to_element(&self) -> Element {
        let mut e = element("vCard", ns::VCARD);
        for (name, text) in [("FN", &self.full_name), ("NICKNAME", &self.nickname)] {
            if let Some(text) = text {
                e.push(element(name, ns::VCARD).with_text(text));
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
        let card = VCard { full_name: Some("Romeo <Montague>".into()), nickname: Some("Romeo".into()) };
        assert_eq!(VCard::parse(&over_the_wire(&card.to_element())), Some(card.clone()));
        for card in [VCard::default(), VCard { nickname: None, ..card }] {
            assert_eq!(VCard::parse(&over_the_wire(&card.to_element())), Some(card));
        }
    }

    #[test]
    fn the_example_of_the_specification() {
        // §3.1, example 2, in short.
        let text = "<vCard xmlns='vcard-temp'><FN>Peter Saint-Andre</FN><N><FAMILY>Saint-Andre</FAMILY></N>\
                    <NICKNAME>stpeter</NICKNAME><URL>http://www.xmpp.org/</URL><JABBERID>stpeter@jabber.org</JABBERID></vCard>";
        let e = Element::parse(text.as_bytes(), &xml::Limits::default()).expect("well-formed");
        let card = VCard { full_name: Some("Peter Saint-Andre".into()), nickname: Some("stpeter".into()) };
        assert_eq!(VCard::parse(&e), Some(card));
    }

    #[test]
    fn what_is_no_card_and_no_name() {
        assert_eq!(VCard::parse(&element("vCard", ns::CLIENT)), None);
        assert_eq!(VCard::parse(&element("FN", ns::VCARD)), None);
        let blank = element("vCard", ns::VCARD)
            .with_child(element("FN", ns::VCARD).with_text(" \n"))
            .with_child(element("NICKNAME", ns::CLIENT).with_text("x"));
        assert_eq!(VCard::parse(&blank), Some(VCard::default()));
    }
}
