//! Bodies as SIP carries them, in a MESSAGE or in a session: plain text, several languages, CPIM wrappers, is-composing, notifications.

use super::departing::Text;
use super::{Disposition, Wanted};
use base::{Str, Tokens};
use bodies::imdn::{self, Imdn};
use bodies::iscomposing::{self, IsComposing};
use bodies::mime::{ContentType, Disposition as ContentDisposition};
use bodies::{Content, Part, Timestamp, cpim, html, multipart};
use sip::SipUri;
use xmpp::ext::chatstates::ChatState;

/// A body and the headers that describe it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Payload {
    pub(crate) content_type: String,
    pub(crate) language: Option<Str>,
    pub(crate) body: Vec<u8>,
}

impl Payload {
    /// Plain text, with the charset where it matters: some phones compare the value to the letter.
    pub(crate) fn plain(body: &str, language: Option<Str>) -> Payload {
        let content_type = if body.is_ascii() { "text/plain" } else { "text/plain;charset=UTF-8" };
        Payload { content_type: content_type.into(), language, body: body.as_bytes().to_vec() }
    }

    /// The is-composing document for a chat state (RFC 7573 Table 4). `gone` is `idle` where there is no session to end.
    pub(crate) fn composing(state: ChatState) -> Payload {
        let state = match state {
            ChatState::Composing => iscomposing::State::Active,
            ChatState::Active | ChatState::Inactive | ChatState::Paused | ChatState::Gone => iscomposing::State::Idle,
        };
        Payload {
            content_type: "application/im-iscomposing+xml".into(),
            language: None,
            body: IsComposing::new(state).to_bytes(),
        }
    }

    /// One part alone.
    pub(crate) fn part(part: &Part) -> Payload {
        Payload {
            content_type: part.content_type.to_string(),
            language: part.language.clone(),
            body: part.body().to_vec(),
        }
    }

    /// A CPIM message. `None` where its content cannot be written.
    pub(crate) fn wrapped(wrapper: &cpim::Message, tokens: &mut Tokens) -> Option<Payload> {
        // A boundary is drawn where there are parts to keep apart.
        let parts = matches!(wrapper.content.content, Content::Parts(_));
        let boundary = if parts { tokens.token(16) } else { Str::default() };
        let body = wrapper.to_bytes(&boundary)?;
        Some(Payload { content_type: "message/cpim".into(), language: None, body })
    }
}

/// What a text says, each language and the HTML as a part of its own; the plain text of the first language comes first.
pub(crate) fn parts(text: &Text) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::with_capacity(text.bodies.len() + 1);
    for (lang, body) in &text.bodies {
        let mut part = Part::text_plain(body);
        part.language.clone_from(lang);
        parts.push(part);
    }
    if let Some(html) = text.html.as_ref().and_then(html::from_xhtml_im) {
        parts.push(Part::new(ContentType::new("text", "html").with_param("charset", "utf-8"), html));
    }
    parts
}

/// Parts as alternatives of each other, to be wrapped.
pub(crate) fn alternative(parts: Vec<Part>) -> Part {
    Part { content: Content::Parts(parts), ..Part::new(ContentType::new("multipart", "alternative"), "") }
}

/// The same as it stands alone. `None` where it cannot be written.
pub(crate) fn alternative_body(parts: &[Part], tokens: &mut Tokens) -> Option<Part> {
    let boundary = tokens.token(16);
    let body = multipart::write(parts, &boundary)?;
    Some(Part::new(multipart::content_type("alternative", &boundary), body))
}

/// A CPIM wrapper from the one to the other.
pub(crate) fn wrapper(from: &SipUri, to: &SipUri, content: Part, now: Option<Timestamp>) -> Option<cpim::Message> {
    let from = cpim::Address::new(None, &from.to_string())?;
    let to = cpim::Address::new(None, &to.to_string())?;
    let wrapper = cpim::Message::new(from, content).with_to(&to);
    Some(match now {
        Some(now) => wrapper.with_date_time(now),
        None => wrapper,
    })
}

/// The notification (RFC 5438 §7.2.1) for a receipt or a displayed marker of `from`. `None` where it cannot be written.
pub(crate) fn notification(
    from: &SipUri,
    to: &SipUri,
    wanted: &Wanted,
    what: Disposition,
    now: Option<Timestamp>,
    tokens: &mut Tokens,
) -> Option<Payload> {
    let disposition = match what {
        Disposition::Delivered => imdn::Disposition::Delivered,
        Disposition::Displayed => imdn::Disposition::Displayed,
    };
    let recipient = Some(base::format_compact!("{from}"));
    let document = Imdn {
        date_time: wanted.date_time.clone(),
        // §11.1.9: the schema has both or none.
        original_recipient: recipient.clone(),
        recipient,
        ..Imdn::new(&wanted.message_id, disposition)
    };
    let part = Part::new(ContentType::new("message", "imdn+xml"), document.to_bytes())
        .with_disposition(ContentDisposition::new("notification"));
    let wrapper = imdn::Wanted::default().ask(wrapper(from, to, part, now)?, &tokens.token(16));
    Payload::wrapped(&wrapper, tokens)
}
