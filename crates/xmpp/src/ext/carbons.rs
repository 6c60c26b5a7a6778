//! XEP-0280: Message Carbons. Nobody's own server is behind a component link, so a carbon there is forged or astray and
//! only has to be known for what it is (§11: CVE-2017-5589).

use crate::ns;
use xml::Element;

/// Whether `e` makes the message that has it a carbon: what is wrapped in it was not sent by the message's sender.
pub fn is_carbon(e: &Element) -> bool {
    e.ns == ns::CARBONS && matches!(e.name.as_str(), "sent" | "received")
}

/// Whether `e` asks for no carbons of the message that has it.
pub fn is_private(e: &Element) -> bool {
    e.is("private", ns::CARBONS)
}

#[cfg(test)]
mod tests {
    use super::super::element;
    use super::*;

    #[test]
    fn carbons_are_known() {
        assert!(is_carbon(&element("sent", ns::CARBONS)) && is_carbon(&element("received", ns::CARBONS)));
        assert!(!is_carbon(&element("private", ns::CARBONS)) && is_private(&element("private", ns::CARBONS)));
        assert!(!is_carbon(&element("received", ns::RECEIPTS)));
    }
}
