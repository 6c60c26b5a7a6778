//! XEP-0280: Message Carbons. Nobody's own server is behind a component link, so a carbon there is forged or astray and
//! only has to be known for what it is (§11: CVE-2017-5589).

use crate::ns;
use crate::stanza::Stanza;
use xml::Element;

/// Whether `e` makes the message that has it a carbon: what is wrapped in it was not sent by the message's sender.
pub fn is_carbon(e: &Element) -> bool {
    e.ns == ns::CARBONS && matches!(e.name.as_str(), "sent" | "received")
}

/// Whether `e` asks for no carbons of the message that has it.
pub fn is_private(e: &Element) -> bool {
    e.is("private", ns::CARBONS)
}

/// What a user's other devices are told of a message that one of them has sent (§7): to be in a message from the user's bare address to itself.
pub fn sent(message: &Stanza) -> Element {
    let forwarded = super::element("forwarded", ns::FORWARD).with_child(message.to_element());
    super::element("sent", ns::CARBONS).with_child(forwarded)
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
        let sent = sent(&Stanza::message().with_id("1"));
        let inner = sent.child("forwarded", ns::FORWARD).and_then(|f| f.child("message", ns::CLIENT));
        assert!(is_carbon(&sent) && inner.and_then(|m| m.attr("id")) == Some("1"));
    }
}
