//! MSRP to XMPP: RFC 7573 §5, §6 Table 3, §7.

use super::talk::{Chat, States};
use crate::content::Disposition;
use crate::content::arrived::Text;
use base::Str;
use xml::Element;
use xmpp::ext::chatstates::ChatState;
use xmpp::ext::{hints, markers, receipts};
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

fn chat_stanza(chat: &Chat) -> Stanza {
    let mut stanza = Stanza::message().with_type("chat");
    stanza.from = Some(chat.sip.clone());
    stanza.to = Some(chat.xmpp.clone());
    stanza
}

/// The stanza for a text: the transaction is the id, the Call-ID the thread. `None` if it says nothing. `writes`: the SIP user's program tells
/// when its user is composing, so it is to be known that states are understood (XEP-0085 §5.1).
pub(super) fn text(
    chat: &Chat,
    text: &Text,
    language: Option<&str>,
    id: &str,
    receipt: bool,
    writes: bool,
) -> Option<Stanza> {
    let mut stanza = chat_stanza(chat).with_id(id);
    if !text.fill(&mut stanza, None, language, Some(chat.spoken_thread())) {
        return None;
    }
    if receipt && text.receipt.as_ref().is_none_or(|wanted| !wanted.delivery) {
        stanza.push(receipts::Receipt::Request.to_element());
    }
    if writes && chat.states != States::Unwanted {
        stanza.push(ChatState::Active.to_element());
    }
    Some(stanza)
}

/// A chat state alone. Nobody keeps it.
pub(super) fn state(chat: &Chat, state: ChatState, id: &str) -> Stanza {
    let mut stanza = chat_stanza(chat).with_id(id);
    stanza.push(Element::new("thread", ns::CLIENT).with_text(chat.spoken_thread()));
    stanza.push(state.to_element());
    stanza.push(hints::no_store());
    stanza
}

/// `gone` in a chat of which only a record is left.
pub(super) fn gone(from: &Jid, to: &Jid, thread: &str, id: &str) -> Stanza {
    let mut stanza = Stanza::message().with_type("chat").with_id(id);
    (stanza.from, stanza.to) = (Some(from.clone()), Some(to.clone()));
    stanza.push(Element::new("thread", ns::CLIENT).with_text(thread));
    stanza.push(ChatState::Gone.to_element());
    stanza.push(hints::no_store());
    stanza
}

/// What became of a message: §7 Example 26, with the id of the stanza that asked. It is kept for the user's other devices.
pub(super) fn told(from: &Jid, to: &Jid, type_: Option<&Str>, stanza_id: &str, what: Disposition, id: &str) -> Stanza {
    let mut stanza = Stanza::message().with_id(id);
    stanza.from = Some(from.clone());
    stanza.to = Some(to.clone());
    stanza.type_ = type_.cloned();
    let about = Str::from(stanza_id);
    stanza.push(match what {
        Disposition::Delivered => receipts::Receipt::Received { id: about }.to_element(),
        Disposition::Displayed => markers::Marker::Displayed { id: about }.to_element(),
    });
    stanza.push(hints::store());
    stanza
}
