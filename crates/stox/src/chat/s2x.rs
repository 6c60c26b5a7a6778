//! MSRP to XMPP: RFC 7573 §5, §6 Table 3, §7.

use super::talk::{Chat, States};
use crate::content::Disposition;
use crate::content::arrived::Text;
use base::Str;
use xml::Element;
use xmpp::ext::chatstates::ChatState;
use xmpp::ext::{hints, receipts};
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

fn chat_stanza(from: &Jid, to: &Jid) -> Stanza {
    Stanza::message().with_type("chat").with_from(from.clone()).with_to(to.clone())
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
    let mut stanza = chat_stanza(&chat.sip, &chat.xmpp).with_id(id);
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
    alone(&chat.sip, &chat.xmpp, chat.spoken_thread(), state, id)
}

/// The same, where of the chat only a record is left.
pub(super) fn alone(from: &Jid, to: &Jid, thread: &str, state: ChatState, id: &str) -> Stanza {
    let mut stanza = chat_stanza(from, to).with_id(id);
    stanza.push(Element::new("thread", ns::CLIENT).with_text(thread));
    stanza.push(state.to_element());
    stanza.push(hints::no_store());
    stanza
}

/// What became of a message: §7 Example 26, with the id of the stanza that asked. It is kept for the user's other devices.
pub(super) fn told(from: &Jid, to: &Jid, type_: Option<&Str>, stanza_id: &str, what: Disposition, id: &str) -> Stanza {
    let mut stanza = Stanza::message().with_from(from.clone()).with_to(to.clone()).with_id(id);
    stanza.type_ = type_.cloned();
    stanza.push(what.to_element(Str::from(stanza_id)));
    stanza.push(hints::store());
    stanza
}
