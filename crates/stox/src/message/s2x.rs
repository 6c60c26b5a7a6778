//! SIP to XMPP: RFC 7572 §5, Table 2.

pub use super::content::{Arrived, Text};
use super::receipts::Disposition;
use super::{content, identifiers, peers};
use crate::error::Refusal;
use base::Str;
use bodies::text::language;
use sip::Name;
use sip::Request;
use xml::Element;
use xmpp::ext::{hints, markers, receipts};
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
        Some(content_type) => content::read(content_type, language, &request.body),
        // RFC 3261 §20.15: a body without a type is no request; without a body there is nothing but perhaps a subject.
        None if request.body.is_empty() => content::read("text/plain", language, b""),
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
        Arrived::Text(text) => fill(&mut stanza, request, text)?,
        Arrived::State(state) => {
            // A state is no single message: XEP-0085 §5.1 has it in messages of type chat, and nobody keeps it.
            stanza.type_ = Some(Str::const_new("chat"));
            thread(&mut stanza, request);
            stanza.push(state.to_element());
            stanza.push(hints::no_store());
        }
        Arrived::Report { message_id, what } => {
            let message_id = identifiers::id_of_message_id(message_id);
            stanza.push(match what {
                Some(Disposition::Delivered) => receipts::Receipt::Received { id: message_id }.to_element(),
                Some(Disposition::Displayed) => markers::Marker::Displayed { id: message_id }.to_element(),
                None => return None,
            });
            stanza.push(hints::store());
        }
        Arrived::Nothing => return None,
    }
    Some(stanza)
}

/// RFC 7572 Table 2: body, subject, Call-ID, Content-Language. No type (§5: absent, which is "normal").
fn fill(stanza: &mut Stanza, request: &Request, text: &Text) -> Option<()> {
    let header_subject = request.headers.get(Name::Subject).map(str::trim).filter(|s| !s.is_empty());
    let subject = header_subject.or(text.subject.as_deref());
    if !text.has_words() && subject.is_none() {
        return None;
    }
    // A body without a language has that of the stanza, which may then not be another one's.
    let tagged = text.bodies.iter().all(|(lang, _)| lang.is_some());
    stanza.lang = text.bodies.first().filter(|_| tagged).and_then(|(lang, _)| lang.clone()).or_else(|| {
        let header = request.headers.get(Name::ContentLanguage)?;
        language(header.split(',').next().unwrap_or(header))
    });
    if let Some(subject) = subject {
        stanza.push(Element::new("subject", ns::CLIENT).with_text(subject));
    }
    let mut said = Vec::with_capacity(text.bodies.len());
    for (lang, body) in text.bodies.iter().filter(|(_, body)| !body.is_empty()) {
        // RFC 6121 §5.2.3: no two bodies in one language.
        let speaks = lang.as_ref().or(stanza.lang.as_ref()).cloned();
        if said.contains(&speaks) {
            continue;
        }
        said.push(speaks);
        let element = Element::new("body", ns::CLIENT).with_text(body);
        stanza.push(match lang {
            Some(lang) if stanza.lang.as_ref() != Some(lang) => element.with_lang(lang.clone()),
            _ => element,
        });
    }
    thread(stanza, request);
    if let Some(html) = &text.html {
        stanza.push(html.clone());
    }
    if let Some(wanted) = &text.receipt {
        if wanted.delivery {
            stanza.push(receipts::Receipt::Request.to_element());
        }
        if wanted.display {
            stanza.push(markers::Marker::Markable.to_element());
        }
    }
    Some(())
}

fn thread(stanza: &mut Stanza, request: &Request) {
    if let Ok(call_id) = request.headers.call_id() {
        let thread = identifiers::thread_of_call_id(call_id);
        stanza.push(Element::new("thread", ns::CLIENT).with_text(&thread));
    }
}
