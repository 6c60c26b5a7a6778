//! What is said in rooms, as MSRP carries it: in CPIM (RFC 7701 §5.2), where From and To name the people, or the room.

use crate::address::{self, Scheme};
use crate::content::departing::Text;
use crate::content::payload::{self, Payload};
use crate::error::Refusal;
use crate::leg::negotiate::Accept;
use base::{Str, Tokens};
use bodies::{Part, Timestamp, cpim};
use sip::Uri;
use xmpp::jid::Jid;

/// Who speaks, or is spoken to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Party<'a> {
    /// What people call him.
    pub name: Option<&'a str>,
    /// A user, an occupant of a room, or the room itself.
    pub jid: &'a Jid,
}

impl Party<'_> {
    fn address(&self) -> Result<cpim::Address, Refusal> {
        let uri = address::to_uri(self.jid, Scheme::Sip).map_err(Refusal::Address)?;
        cpim::Address::new(self.name, &uri.to_string()).ok_or(Refusal::BadRequest("A name that CPIM cannot carry"))
    }
}

/// The body of a message in a room. Whoever takes part in one takes CPIM with text in it (RFC 7701 §5.2).
///
/// # Errors
/// [`Refusal::Address`], [`Refusal::BadRequest`] for what CPIM cannot carry.
pub(crate) fn enclose(
    text: &Text,
    from: Party<'_>,
    to: Party<'_>,
    date: Option<Timestamp>,
    accept: &Accept,
    tokens: &mut Tokens,
) -> Result<Payload, Refusal> {
    enclose_for(text, from.address()?, &to.address()?, date, accept, tokens)
}

/// The same, where it is known how the room writes who speaks to whom.
///
/// # Errors
/// [`Refusal::BadRequest`] for what CPIM cannot carry.
pub(crate) fn enclose_for(
    text: &Text,
    from: cpim::Address,
    to: &cpim::Address,
    date: Option<Timestamp>,
    accept: &Accept,
    tokens: &mut Tokens,
) -> Result<Payload, Refusal> {
    let mut parts = payload::parts(text);
    let content = if parts.len() > 1 && accept.wraps("multipart/alternative") {
        payload::alternative(parts)
    } else {
        parts.truncate(1);
        parts.pop().unwrap_or_else(|| Part::text_plain(""))
    };
    let mut wrapper = cpim::Message::new(from, content).with_to(to);
    if let Some(date) = date {
        wrapper = wrapper.with_date_time(date);
    }
    if let Some(subject) = &text.subject {
        let language = text.bodies.first().and_then(|(language, _)| language.as_deref());
        wrapper = wrapper.with_subject(language, subject);
    }
    Payload::wrapped(&wrapper, tokens).ok_or(Refusal::BadRequest("A text that CPIM cannot carry"))
}

/// Who speaks to whom, as the wrapper says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// Whose words they are.
    pub from: Jid,
    /// What the wrapper calls him.
    pub name: Option<Str>,
    /// For whom they are.
    pub to: Jid,
    /// When they were said.
    pub date: Option<Timestamp>,
}

/// Reads a message in a room with its wrapper.
///
/// # Errors
/// As codes of MSRP: 415 for what is not wrapped (RFC 7701 §6.1), 400 for a wrapper that breaks its own format.
pub(crate) fn wrapped(content_type: &str, body: &[u8]) -> Result<cpim::Message, u16> {
    let is_cpim =
        bodies::mime::ContentType::parse(content_type).is_ok_and(|t| (t.type_(), t.subtype()) == ("message", "cpim"));
    if !is_cpim {
        return Err(415);
    }
    cpim::Message::parse(body, &bodies::Limits::default()).map_err(|_| 400)
}

/// Reads the wrapper of a message in a room.
///
/// # Errors
/// RFC 7701 §6.2, §6.3 as codes of MSRP: 403 for a From that is nobody's address, and for several recipients, 404 for a To that is nobody's address.
pub(crate) fn envelope(message: &cpim::Message, options: &address::Options) -> Result<Envelope, u16> {
    let jid = |address: &cpim::Address| address::to_jid(&Uri::parse(address.uri()).ok()?, options).ok();
    let from = jid(message.from()).ok_or(403_u16)?;
    let mut to = message.to();
    let (Some(only), None) = (to.next(), to.next()) else { return Err(403) };
    let to = jid(&only).ok_or(404_u16)?;
    Ok(Envelope { from, name: message.from().name().map(Str::from), to, date: message.date_time() })
}

/// Words of the gateway's own.
pub(crate) fn words(text: String) -> Text {
    Text { bodies: vec![(None, text)], ..Text::default() }
}
