//! The body of a SIP MESSAGE or an MSRP message, read: RFC 7572 §7, and what phones send beyond it; and its words as a stanza has them.

use super::{Disposition, Wanted};
use crate::error::Refusal;
use base::Str;
use bodies::cpim;
use bodies::cpim::Namespace;
use bodies::html::Html;
use bodies::imdn::{self, Imdn};
use bodies::iscomposing::{self, IsComposing};
use bodies::mime::ContentType;
use bodies::text::language;
use bodies::{Content, Error, Limits, Part, multipart, text};
use xml::Element;
use xmpp::ext::chatstates::ChatState;
use xmpp::ext::{markers, receipts};
use xmpp::ns;
use xmpp::stanza::Stanza;

/// What we take, as an Accept header says it (RFC 3261 §20.1): goes into every 415 and into answers to OPTIONS.
pub const ACCEPT: &str = "text/plain, text/html, message/cpim, multipart/alternative, multipart/mixed, \
                          application/im-iscomposing+xml, message/imdn+xml";

/// How many wrappers (CPIM, multipart) may stand around a text.
const DEPTH: usize = 4;

/// What arrived.
#[derive(Debug, Clone, PartialEq)]
pub enum Arrived {
    /// Something to read.
    Text(Text),
    /// The sender is, or is not, composing a message (RFC 3994).
    State(ChatState),
    /// What became of a message of ours (RFC 5438).
    Report {
        /// The imdn.Message-ID of our message: its stanza id.
        message_id: Str,
        /// What became of it; `None`: it did not arrive.
        what: Option<Disposition>,
    },
    /// Something that asks for nothing.
    Nothing,
}

/// A text in one language or several, and what came with it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Text {
    /// The plain text in each language; the first is the sender's choice.
    pub bodies: Vec<(Option<Str>, String)>,
    /// The same as XHTML-IM (XEP-0071).
    pub html: Option<Element>,
    /// The subject that a CPIM wrapper carried.
    pub subject: Option<String>,
    /// What the sender wants to be told.
    pub receipt: Option<Wanted>,
    /// It came in a CPIM wrapper.
    pub cpim: bool,
}

impl Text {
    /// Whether there is anything to read in it.
    pub fn has_words(&self) -> bool {
        self.bodies.iter().any(|(_, body)| !body.is_empty())
    }

    /// The words as a stanza has them: subject, bodies in each language, the thread, the request for receipts. `subject` and `language` are what
    /// the headers around the body say. False if there is nothing to read: then nothing was added.
    pub fn fill(
        &self,
        stanza: &mut Stanza,
        subject: Option<&str>,
        language: Option<&str>,
        thread: Option<&str>,
    ) -> bool {
        let subject = subject.map(str::trim).filter(|s| !s.is_empty()).or(self.subject.as_deref());
        if !self.has_words() && subject.is_none() {
            return false;
        }
        // A body without a language has that of the stanza, which may then not be another one's.
        let tagged = self.bodies.iter().all(|(lang, _)| lang.is_some());
        let first = self.bodies.first().filter(|_| tagged).and_then(|(lang, _)| lang.clone());
        stanza.lang = first.or_else(|| language.and_then(first_language));
        if let Some(subject) = subject {
            stanza.push(Element::new("subject", ns::CLIENT).with_text(subject));
        }
        let mut said = Vec::with_capacity(self.bodies.len());
        for (lang, body) in self.bodies.iter().filter(|(_, body)| !body.is_empty()) {
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
        if let Some(thread) = thread {
            stanza.push(Element::new("thread", ns::CLIENT).with_text(thread));
        }
        if let Some(html) = &self.html {
            stanza.push(html.clone());
        }
        if let Some(wanted) = &self.receipt {
            if wanted.delivery {
                stanza.push(receipts::Receipt::Request.to_element());
            }
            if wanted.display {
                stanza.push(markers::Marker::Markable.to_element());
            }
        }
        true
    }
}

/// Reads a body of this type.
///
/// # Errors
/// [`Refusal::BadBody`] for one that breaks its own format, [`Refusal::UnsupportedContent`] for one of another type, in another
/// charset or with a required feature that we do not have, [`Refusal::TooBig`] for too many parts.
pub fn read(content_type: &str, content_language: Option<&str>, body: &[u8]) -> Result<Arrived, Refusal> {
    let content_type = ContentType::parse(content_type).map_err(refusal)?;
    let content = if content_type.type_() == "multipart" {
        Content::Parts(multipart::parse(&content_type, body, &Limits::default()).map_err(refusal)?)
    } else {
        Content::Bytes(body.to_vec())
    };
    let language = content_language.map(Str::from);
    part(&Part { content_type, language, disposition: None, headers: Vec::new(), content }, DEPTH)
}

/// Reads what is in a wrapper that was read before.
///
/// # Errors
/// As of [`read`].
pub(crate) fn read_wrapped(message: &cpim::Message) -> Result<Arrived, Refusal> {
    unwrapped(message, DEPTH - 1)
}

fn part(part: &Part, depth: usize) -> Result<Arrived, Refusal> {
    let Some(depth) = depth.checked_sub(1) else { return Err(Refusal::TooBig) };
    let content_type = &part.content_type;
    match (content_type.type_(), content_type.subtype(), &part.content) {
        ("text", "plain", _) => {
            let text = part.text().map_err(refusal)?;
            let text = text::to_lf(&text).into_owned();
            Ok(Arrived::Text(Text { bodies: vec![(lang(part), text)], ..Text::default() }))
        }
        ("text", "html", _) => {
            let source = part.text().map_err(refusal)?;
            let html = Html::parse(&source).map_err(refusal)?;
            if html.is_empty() && !source.trim().is_empty() {
                // A picture, say: nothing of it can be shown, so nothing of it would arrive.
                return Err(Refusal::UnsupportedContent { accept: ACCEPT });
            }
            let text = vec![(lang(part), html.to_text())];
            let html = (!html.is_empty()).then(|| html.to_xhtml_im());
            Ok(Arrived::Text(Text { bodies: text, html, ..Text::default() }))
        }
        ("message", "cpim", Content::Bytes(bytes)) => wrapped(bytes, depth),
        ("application", "im-iscomposing+xml", Content::Bytes(bytes)) => {
            let document = IsComposing::parse(bytes).map_err(refusal)?;
            // RFC 7573 Table 3.
            Ok(Arrived::State(match document.state {
                iscomposing::State::Active => ChatState::Composing,
                iscomposing::State::Idle => ChatState::Active,
            }))
        }
        ("message", "imdn+xml", Content::Bytes(bytes)) => report(bytes),
        ("multipart", "alternative", Content::Parts(parts)) => alternative(parts, depth),
        ("multipart", _, Content::Parts(parts)) => mixed(parts, depth),
        _ if part.disposition.as_ref().is_some_and(bodies::mime::Disposition::is_optional) => Ok(Arrived::Nothing),
        _ => Err(Refusal::UnsupportedContent { accept: ACCEPT }),
    }
}

/// A CPIM wrapper (RFC 3862). Its From and To are what the sender's own program says of it: the request has said who speaks and to
/// whom, and one recipient gets one message (threats 4 and 37).
fn wrapped(bytes: &[u8], depth: usize) -> Result<Arrived, Refusal> {
    unwrapped(&cpim::Message::parse(bytes, &Limits::default()).map_err(refusal)?, depth)
}

fn unwrapped(message: &cpim::Message, depth: usize) -> Result<Arrived, Refusal> {
    let mut arrived = part(&message.content, depth)?;
    if let Arrived::Text(text) = &mut arrived {
        text.cpim = true;
        let subject = message.subjects().next().map(|(_, subject)| subject);
        text.subject = text.subject.take().or(subject).filter(|s| !s.is_empty());
        text.receipt = wanted(message);
    }
    Ok(arrived)
}

/// What the sender of a CPIM message wants to be told (RFC 5438 §7.1.1.3).
fn wanted(message: &cpim::Message) -> Option<Wanted> {
    let asked = imdn::Wanted::of(message);
    let message_id = imdn::message_id(message)?;
    (asked.positive_delivery || asked.display).then(|| Wanted {
        message_id: Str::from(message_id),
        // It is kept until the notification: RFC 3339 has nothing longer to say.
        date_time: message.header(Namespace::Core, "DateTime").filter(|d| d.len() <= 64).map(Str::from),
        delivery: asked.positive_delivery,
        display: asked.display,
    })
}

fn report(bytes: &[u8]) -> Result<Arrived, Refusal> {
    let document = Imdn::parse(bytes).map_err(refusal)?;
    let what = match document.disposition {
        imdn::Disposition::Delivered => Some(Disposition::Delivered),
        imdn::Disposition::Displayed => Some(Disposition::Displayed),
        imdn::Disposition::Failed => None,
        // That somebody on the way has it, or that nobody will tell, is nothing that XMPP could be told.
        imdn::Disposition::DeliveryForbidden
        | imdn::Disposition::DeliveryError
        | imdn::Disposition::DisplayForbidden
        | imdn::Disposition::DisplayError
        | imdn::Disposition::Processed
        | imdn::Disposition::Stored
        | imdn::Disposition::ProcessingForbidden
        | imdn::Disposition::ProcessingError => return Ok(Arrived::Nothing),
    };
    Ok(Arrived::Report { message_id: document.message_id, what })
}

/// The same thing said in several ways (RFC 2046 §5.1.4): each language once, and the best HTML. What we cannot read is another way of
/// saying what we can; only if nothing is left, the whole is refused.
fn alternative(parts: &[Part], depth: usize) -> Result<Arrived, Refusal> {
    let mut all = Text::default();
    let mut from_html = None;
    let mut failure = None;
    for p in parts {
        match part(p, depth) {
            Ok(Arrived::Text(text)) => {
                all.subject = all.subject.or(text.subject);
                all.receipt = all.receipt.or(text.receipt);
                all.cpim |= text.cpim;
                if text.html.is_some() {
                    // Its plain form is our own making: the sender's own plain text goes before it.
                    (all.html, from_html) = (text.html, Some(text.bodies));
                } else {
                    add(&mut all.bodies, text.bodies);
                }
            }
            Ok(Arrived::Nothing) => {}
            Ok(other) => return Ok(other),
            Err(refusal) => failure = Some(refusal),
        }
    }
    if !all.has_words() {
        all.bodies = from_html.unwrap_or_default();
    }
    match failure {
        // An empty text is another way of saying nothing, not of saying what cannot be read.
        Some(refusal) if !all.has_words() => Err(refusal),
        _ if all.bodies.is_empty() => Ok(Arrived::Nothing),
        _ => Ok(Arrived::Text(all)),
    }
}

/// Several things together: all of them must arrive, or none (a part that its sender calls optional may be left out). What a
/// program says beside a text, a state or a report, does not keep the text back: a person wrote that.
fn mixed(parts: &[Part], depth: usize) -> Result<Arrived, Refusal> {
    let mut all: Option<Text> = None;
    let mut notice = None;
    for p in parts {
        match part(p, depth)? {
            Arrived::Text(text) => match &mut all {
                None => all = Some(text),
                // One message has one body: what follows follows on a line of its own.
                Some(all) => {
                    if let (Some((_, first)), Some((_, more))) = (all.bodies.first_mut(), text.bodies.first()) {
                        first.push('\n');
                        first.push_str(more);
                        all.html = None;
                    }
                }
            },
            Arrived::Nothing => {}
            other @ (Arrived::State(_) | Arrived::Report { .. }) => notice = notice.or(Some(other)),
        }
    }
    Ok(match (all, notice) {
        (Some(text), notice) if text.has_words() || notice.is_none() => Arrived::Text(text),
        (_, Some(notice)) => notice,
        (_, None) => Arrived::Nothing,
    })
}

fn add(bodies: &mut Vec<(Option<Str>, String)>, more: Vec<(Option<Str>, String)>) {
    for (lang, text) in more {
        if bodies.iter().all(|(l, _)| *l != lang) {
            bodies.push((lang, text));
        }
    }
}

/// The first language of a part (RFC 3282 allows a list, XMPP one).
fn lang(part: &Part) -> Option<Str> {
    part.language.as_deref().and_then(first_language)
}

fn first_language(list: &str) -> Option<Str> {
    language(list.split(',').next().unwrap_or(list))
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of map_err")]
fn refusal(error: Error) -> Refusal {
    match error {
        Error::Malformed(why) => Refusal::BadBody(why),
        Error::TooBig { .. } => Refusal::TooBig,
        Error::Unsupported { .. } => Refusal::UnsupportedContent { accept: ACCEPT },
    }
}
