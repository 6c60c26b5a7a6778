//! What the users of two gateways say to each other: Juliet at a.example, Romeo at b.example.

use xml::Element;
use xmpp::ext::chatstates::ChatState;
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

pub const RECEIPTS: &str = "urn:xmpp:receipts";
pub const JIDS: [&str; 2] = ["juliet@a.example/balcony", "romeo@b.example/orchard"];

pub fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

/// A chat message of one side's user to the other's, without content.
pub fn chat(side: usize, id: &str, thread: Option<&str>) -> Stanza {
    let to = jid(JIDS[1 - side]).bare();
    let stanza = Stanza::message().with_from(jid(JIDS[side])).with_to(to).with_type("chat").with_id(id);
    match thread {
        Some(thread) => stanza.with_child(Element::new("thread", ns::CLIENT).with_text(thread)),
        None => stanza,
    }
}

pub fn body(text: &str) -> Element {
    Element::new("body", ns::CLIENT).with_text(text)
}

pub fn text(stanza: &Stanza, name: &str) -> Option<String> {
    stanza.child(name, ns::CLIENT).map(|e| e.text().into_owned())
}

pub fn state(stanza: &Stanza) -> Option<ChatState> {
    stanza.elements().find_map(ChatState::parse)
}
