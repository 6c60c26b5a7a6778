//! What users say in rooms, as a switch takes it: RFC 7702 Table 4, RFC 7701 §6.

use crate::content::departing::Text;
use crate::content::payload::{self, Payload};
use crate::error::Refusal;
use crate::leg::negotiate::Accept;
use base::Tokens;
use bodies::cpim::{Address, Message};
use bodies::{Part, Timestamp};
use sip::header::NameAddr;

/// A text in CPIM: all that a switch takes (RFC 7701 §5.2). `from`: as whom the room knows the user; `to`: the room, or one participant.
///
/// # Errors
/// [`Refusal::UnsupportedContent`] if the room takes no plain text.
pub(super) fn text(
    text: &Text,
    from: &NameAddr,
    to: &str,
    now: Option<Timestamp>,
    accept: &Accept,
    tokens: &mut Tokens,
) -> Result<Payload, Refusal> {
    let unsupported = Refusal::UnsupportedContent { accept: "text/plain" };
    if !accept.wraps("text/plain") {
        return Err(unsupported);
    }
    let mut parts = payload::parts(text);
    let content = if parts.len() > 1 && accept.wraps("multipart/alternative") {
        payload::alternative(parts)
    } else {
        parts.truncate(1);
        parts.pop().unwrap_or_else(|| Part::text_plain(""))
    };
    let from = Address::new(from.display.as_deref(), &from.uri.to_string()).ok_or(unsupported.clone())?;
    let to = Address::new(None, to).ok_or(unsupported.clone())?;
    let mut message = Message::new(from, content).with_to(&to);
    if let Some(now) = now {
        message = message.with_date_time(now);
    }
    if let Some(subject) = &text.subject {
        let lang = text.bodies.first().and_then(|(lang, _)| lang.as_deref());
        message = message.with_subject(lang, subject);
    }
    Payload::wrapped(&message, tokens).ok_or(unsupported)
}
