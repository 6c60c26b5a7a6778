//! XEP-0203: Delayed Delivery.

use super::element;
use crate::jid::Jid;
use crate::ns;
use base::Str;
use xml::Element;

/// A stanza was held back somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    /// When it was first sent (XEP-0082), as it stands there: readers check it when they use it.
    pub stamp: Str,
    /// Who held it.
    pub from: Option<Jid>,
    /// Why, in words.
    pub reason: Option<String>,
}

impl Delay {
    /// Reads it.
    pub fn parse(e: &Element) -> Option<Delay> {
        if !e.is("delay", ns::DELAY) {
            return None;
        }
        let reason = Some(e.text().into_owned()).filter(|r| !r.trim().is_empty());
        Some(Delay { stamp: e.attr("stamp")?.into(), from: e.attr("from").and_then(|f| Jid::parse(f).ok()), reason })
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        let mut e = element("delay", ns::DELAY);
        if let Some(from) = &self.from {
            e.set_attr("from", from.to_string());
        }
        e.set_attr("stamp", self.stamp.clone());
        e.with_text(self.reason.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let bare = Delay { stamp: "2002-09-10T23:08:25Z".into(), from: None, reason: None };
        assert_eq!(Delay::parse(&bare.to_element()), Some(bare.clone()));
        let full =
            Delay { from: Jid::parse("capulet.com").ok(), reason: Some("Offline Storage".into()), ..bare.clone() };
        assert_eq!(Delay::parse(&full.to_element()), Some(full));
        assert_eq!(Delay::parse(&bare.to_element().with_attr("from", "@")), Some(bare));
        assert_eq!(Delay::parse(&element("delay", ns::DELAY)), None);
    }
}
