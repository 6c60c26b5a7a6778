//! XEP-0100 §6.3: `jabber:iq:gateway`, which makes an address of what people know each other by on the other side.

use super::{element, words};
use crate::jid::Jid;
use crate::ns;
use xml::Element;

/// Whether an element is one of it.
pub fn is_query(e: &Element) -> bool {
    e.is("query", ns::GATEWAY)
}

/// What somebody has written where the gateway asks for it; none if there is nothing.
pub fn written(e: &Element) -> Option<String> {
    e.child("prompt", ns::GATEWAY).and_then(|prompt| words(&prompt.text()))
}

/// What the gateway asks for: in a sentence, and in a word.
pub fn ask(desc: &str, prompt: &str) -> Element {
    element("query", ns::GATEWAY)
        .with_child(element("desc", ns::GATEWAY).with_text(desc))
        .with_child(element("prompt", ns::GATEWAY).with_text(prompt))
}

/// The address of who was written there.
pub fn answer(jid: &Jid) -> Element {
    let text = jid.to_string();
    // Clients of old look for the address in `<prompt/>`, as the first version had it.
    element("query", ns::GATEWAY)
        .with_child(element("jid", ns::GATEWAY).with_text(&text))
        .with_child(element("prompt", ns::GATEWAY).with_text(&text))
}

#[cfg(test)]
mod tests {
    use super::super::tests::over_the_wire;
    use super::*;

    #[test]
    fn asked_and_answered() {
        let asked = over_the_wire(&ask("Whom?", "Number"));
        assert!(is_query(&asked) && written(&asked).as_deref() == Some("Number"));
        let empty = element("query", ns::GATEWAY);
        assert!(is_query(&empty) && written(&empty).is_none());
        assert_eq!(written(&empty.with_child(element("prompt", ns::GATEWAY).with_text(" \n "))), None);
        let jid = Jid::parse("+49301234@sip.example").expect("an address");
        let answer = over_the_wire(&answer(&jid));
        assert_eq!(answer.child("jid", ns::GATEWAY).map(|jid| jid.text().into_owned()), Some(jid.to_string()));
        assert!(!is_query(&element("query", ns::REGISTER)));
    }
}
