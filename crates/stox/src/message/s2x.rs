//! SIP to XMPP: RFC 7572 §5, Table 2.

use super::peers;
use crate::content::arrived::{self, Arrived};
use crate::content::identifiers;
use crate::error::Refusal;
use crate::identity;
use base::Str;
use sip::Name;
use sip::Request;
use xml::Element;
use xmpp::ext::hints;
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

impl Arrived {
    /// What a message tells of the program that sent it.
    pub(super) fn teaches(&self, peer: &mut peers::Peer) {
        match self {
            Arrived::Text(text) => peer.cpim |= text.cpim,
            Arrived::State(_) => peer.composing = true,
            Arrived::Report { .. } => peer.cpim = true,
            Arrived::Nothing => {}
        }
    }
}

/// Reads the body of a MESSAGE.
///
/// # Errors
/// The refusal that its sender gets.
pub fn read(request: &Request) -> Result<Arrived, Refusal> {
    // Nothing is unpacked: a compressed body is a bomb until shown otherwise.
    let encoding = request.headers.get(Name::ContentEncoding);
    if encoding.is_some_and(|e| !e.trim().eq_ignore_ascii_case("identity")) {
        return Err(Refusal::UnsupportedEncoding);
    }
    let language = request.headers.get(Name::ContentLanguage);
    match request.headers.get(Name::ContentType) {
        Some(content_type) => arrived::read(content_type, language, &request.body),
        // RFC 3261 §20.15: a body without a type is no request; without a body there is nothing but perhaps a subject.
        None if request.body.is_empty() => arrived::read("text/plain", language, b""),
        None => Err(Refusal::BadBody("Content-Type is missing")),
    }
}

/// RFC 7572 Table 2: the transaction identifier is the id.
pub fn stanza_id(request: &Request) -> Str {
    request.headers.via().ok().and_then(|via| via.branch().map(identifiers::id_of_branch)).unwrap_or_default()
}

/// The stanza for a MESSAGE, or nothing if it says nothing.
pub fn stanza(request: &Request, arrived: &Arrived, from: &Jid, to: &Jid, id: &str) -> Option<Stanza> {
    let mut stanza = Stanza::message();
    stanza.from = Some(from.clone());
    stanza.to = Some(to.clone());
    stanza.id = Some(Str::from(id));
    match arrived {
        Arrived::Text(text) => {
            let (subject, language) = (request.headers.get(Name::Subject), request.headers.get(Name::ContentLanguage));
            if !text.fill(&mut stanza, subject, language, thread(request).as_deref()) {
                return None;
            }
            if let Some(identity) = identity::shown(request) {
                stanza.push(identity);
            }
        }
        Arrived::State(state) => {
            // A state is no single message: XEP-0085 §5.1 has it in messages of type chat, and nobody keeps it.
            stanza.type_ = Some(Str::const_new("chat"));
            if let Some(thread) = thread(request) {
                stanza.push(Element::new("thread", ns::CLIENT).with_text(&thread));
            }
            stanza.push(state.to_element());
            stanza.push(hints::no_store());
        }
        Arrived::Report { message_id, what } => {
            let message_id = identifiers::id_of_message_id(message_id);
            stanza.push((*what)?.to_element(message_id));
            stanza.push(hints::store());
        }
        Arrived::Nothing => return None,
    }
    Some(stanza)
}

/// RFC 7572 Table 2: the Call-ID is the thread.
fn thread(request: &Request) -> Option<Str> {
    request.headers.call_id().ok().map(identifiers::thread_of_call_id)
}
