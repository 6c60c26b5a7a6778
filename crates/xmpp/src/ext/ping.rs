//! XEP-0199: XMPP Ping.

use super::element;
use crate::ns;
use xml::Element;

/// `<ping/>`, in an iq of type get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping;

impl Ping {
    /// Reads it.
    pub fn parse(e: &Element) -> Option<Ping> {
        e.is("ping", ns::PING).then_some(Ping)
    }

    /// Writes it.
    pub fn to_element(self) -> Element {
        element("ping", ns::PING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        assert_eq!(Ping::parse(&Ping.to_element()), Some(Ping));
        assert_eq!(Ping::parse(&Element::new("ping", "urn:other")), None);
    }
}
