//! XMPP to MSRP: RFC 7573 §4, §6 Table 4, §7.

use crate::content::departing::Text;
use crate::content::payload::{self, Payload};
use crate::content::{Disposition, Wanted};
use crate::error::Refusal;
use crate::leg::negotiate::Accept;
use base::{Str, Tokens};
use bodies::{Timestamp, imdn};
use sip::SipUri;
use xmpp::ext::chatstates::ChatState;

/// Who speaks to whom, as SIP has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parties<'a> {
    /// The XMPP user.
    pub from: &'a SipUri,
    /// The SIP user.
    pub to: &'a SipUri,
    /// The date and time.
    pub now: Option<Timestamp>,
}

/// What a text asks to be told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wish<'a> {
    /// The imdn.Message-ID that it goes by.
    pub message_id: Option<&'a str>,
    /// It wants to know of the display (XEP-0333).
    pub display: bool,
}

/// The body of a text message in the best form that the other side takes: in CPIM with subject, date and the wish for a notification, or
/// as what is in it.
///
/// # Errors
/// [`Refusal::UnsupportedContent`] if it takes neither.
pub(super) fn text(
    text: &Text,
    accept: &Accept,
    parties: Parties<'_>,
    wish: Wish<'_>,
    tokens: &mut Tokens,
) -> Result<Payload, Refusal> {
    let mut parts = payload::parts(text);
    let several = parts.len() > 1;
    let unsupported = Refusal::UnsupportedContent { accept: "text/plain" };
    let takes = |kind: &str| accept.takes(kind);
    let wraps = |kind: &str| accept.takes("message/cpim") && accept.wraps(kind);
    let (lang, words) = text.bodies.first().map_or((None, ""), |(lang, body)| (lang.clone(), body.as_str()));
    if wraps("text/plain") {
        let content = if several && wraps("multipart/alternative") {
            payload::alternative(parts)
        } else {
            parts.truncate(1);
            parts.pop().unwrap_or_else(|| bodies::Part::text_plain(""))
        };
        let mut wrapper =
            payload::wrapper(parties.from, parties.to, content, parties.now).ok_or(unsupported.clone())?;
        if let Some(subject) = &text.subject {
            wrapper = wrapper.with_subject(lang.as_deref(), subject);
        }
        if let Some(message_id) =
            wish.message_id.filter(|_| accept.wraps("message/imdn+xml") && (wish.display || text.receipt))
        {
            // The delivery itself is told by MSRP (RFC 7573 §7).
            let wanted = imdn::Wanted { display: wish.display, ..imdn::Wanted::default() };
            wrapper = wanted.ask(wrapper, message_id);
        }
        return Payload::wrapped(&wrapper, tokens).ok_or(unsupported);
    }
    if several && text.subject.is_none() && takes("multipart/alternative") {
        return payload::alternative_body(&parts, tokens).map(|part| Payload::part(&part)).ok_or(unsupported);
    }
    if takes("text/plain") {
        // There is no header for a subject; so that it is not lost, it is said.
        return Ok(match (&text.subject, words) {
            (Some(subject), "") => Payload::plain(subject, lang),
            (Some(subject), words) => Payload::plain(&format!("{subject}\r\n\r\n{words}"), lang),
            (None, words) => Payload::plain(words, lang),
        });
    }
    Err(unsupported)
}

/// The is-composing document for a chat state: Table 4. `None` where the other side does not take it.
pub(super) fn state(state: ChatState, accept: &Accept, parties: Parties<'_>, tokens: &mut Tokens) -> Option<Payload> {
    let plain = Payload::composing(state);
    if accept.takes(&plain.content_type) {
        return Some(plain);
    }
    if !accept.takes("message/cpim") || !accept.wraps(&plain.content_type) {
        return None;
    }
    let (kind, subtype) = plain.content_type.split_once('/')?;
    let part = bodies::Part::new(bodies::mime::ContentType::new(kind, subtype), plain.body);
    Payload::wrapped(&payload::wrapper(parties.from, parties.to, part, parties.now)?, tokens)
}

/// The notification for a receipt or a marker. `None` where the other side does not take it.
pub(super) fn notification(
    wanted: &Wanted,
    what: Disposition,
    accept: &Accept,
    parties: Parties<'_>,
    tokens: &mut Tokens,
) -> Option<Payload> {
    let takes = accept.takes("message/cpim") && accept.wraps("message/imdn+xml");
    takes.then(|| payload::notification(parties.from, parties.to, wanted, what, parties.now, tokens)).flatten()
}

/// What an INVITE says in its Subject, where the XMPP user has said nothing else.
pub(super) fn subject(text: &Text, from: &str) -> Str {
    let subject = text.subject.as_deref().map(|s| s.split(['\r', '\n']).next().unwrap_or(s).trim());
    match subject.filter(|s| !s.is_empty() && s.len() <= 200) {
        Some(subject) => Str::from(subject),
        None => base::format_compact!("Open chat with {from}?"),
    }
}
