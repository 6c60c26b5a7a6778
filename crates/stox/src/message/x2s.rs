//! XMPP to SIP: RFC 7572 §4, Table 1.

use super::receipts::{Disposition, Wanted};
use super::{Options, identifiers, peers::Peer};
use crate::address::{self, Scheme};
use crate::config::Proxy;
use crate::error::Refusal;
use base::{Str, Tokens};
use bodies::imdn::{self, Imdn};
use bodies::iscomposing::{self, IsComposing};
use bodies::mime::{ContentType, Disposition as ContentDisposition};
use bodies::text::language;
use bodies::{Content, Part, Timestamp, cpim, html, multipart, text};
use sip::Method;
use sip::Request;
use sip::SipUri;
use sip::{Name, NameAddr};
use xml::Element;
use xmpp::ext::chatstates::ChatState;
use xmpp::ext::{carbons, markers, receipts};
use xmpp::ns;
use xmpp::stanza::Stanza;

/// RFC 3261 §8.1.1.6.
const MAX_FORWARDS: u8 = 70;

/// What a stanza asks to be carried.
#[derive(Debug, Clone, PartialEq)]
pub enum Departing {
    /// Something to read.
    Message(Text),
    /// A chat state alone (XEP-0085).
    State(ChatState),
    /// What became of a message of a SIP user.
    Receipt {
        /// The message's stanza id.
        id: Str,
        /// What became of it.
        disposition: Disposition,
    },
    /// Nothing that SIP has a word for.
    Nothing,
}

/// The text of a stanza.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Text {
    /// The plain text in each language, once; the first is the one that goes out where only one can.
    pub bodies: Vec<(Option<Str>, String)>,
    /// The subject in the language of the first body.
    pub subject: Option<String>,
    /// The XHTML-IM form.
    pub html: Option<Element>,
    /// A receipt (XEP-0184) was asked for.
    pub receipt: bool,
}

/// Reads a message stanza. Only its own children count: what is wrapped in a forwarded or carbon element speaks for nobody (threat 9).
pub fn read(stanza: &Stanza) -> Departing {
    if stanza.elements().any(carbons::is_carbon) {
        return Departing::Nothing;
    }
    let mut text = Text::default();
    let own = stanza.lang.as_deref().and_then(language);
    let mut subjects = Vec::new();
    let mut state = None;
    let mut receipt = None;
    for e in stanza.elements() {
        if e.is("body", ns::CLIENT) {
            let lang = e.lang().and_then(language).or_else(|| own.clone());
            // RFC 6121 §5.2.3: one body for each language; of two in one language the first counts.
            if text.bodies.iter().all(|(l, _)| *l != lang) && !e.text().is_empty() {
                text.bodies.push((lang, text::to_crlf(&e.text()).into_owned()));
            }
        } else if e.is("subject", ns::CLIENT) && !e.text().is_empty() {
            subjects.push((e.lang().and_then(language).or_else(|| own.clone()), e.text().into_owned()));
        } else if e.is("html", ns::XHTML_IM) {
            text.html = Some(e.clone());
        } else if let Some(r) = receipts::Receipt::parse(e) {
            match r {
                receipts::Receipt::Request => text.receipt = true,
                receipts::Receipt::Received { id } => receipt = Some((id, Disposition::Delivered)),
            }
        } else if let Some(markers::Marker::Displayed { id }) = markers::Marker::parse(e) {
            receipt = Some((id, Disposition::Displayed));
        } else if let Some(s) = ChatState::parse(e) {
            state = Some(s);
        }
    }
    if let (true, Some(html)) = (text.bodies.is_empty(), &text.html) {
        // XEP-0071 §8 wants a body beside it, but what was written is to be read in any case.
        let words = html::Html::from_xhtml_im(html).map(|html| html.to_text()).unwrap_or_default();
        if !words.is_empty() {
            text.bodies.push((own.clone(), text::to_crlf(&words).into_owned()));
        }
    }
    // The sender's own language first, if there is a body in it.
    if let Some(own) = text.bodies.iter().position(|(l, _)| *l == own) {
        text.bodies.swap(0, own);
    }
    let speaks = text.bodies.first().map_or(&own, |(lang, _)| lang);
    let subject = subjects.iter().position(|(lang, _)| lang == speaks).unwrap_or(0);
    text.subject = subjects.into_iter().nth(subject).map(|(_, subject)| subject);
    match (text.bodies.is_empty() && text.subject.is_none(), receipt, state) {
        (false, _, _) => Departing::Message(text),
        (true, Some((id, disposition)), _) => Departing::Receipt { id, disposition },
        (true, None, Some(state)) => Departing::State(state),
        (true, None, None) => Departing::Nothing,
    }
}

/// A body and the headers that describe it.
#[derive(Debug, Clone, PartialEq)]
struct Payload {
    content_type: String,
    language: Option<Str>,
    body: Vec<u8>,
}

/// A MESSAGE request in the making: all of it but what depends on the moment it is sent.
#[derive(Debug)]
pub struct Draft {
    from: SipUri,
    to: SipUri,
    call_id: Option<Str>,
    subject: Option<String>,
    /// What every SIP user can read.
    plain: Payload,
    /// More than that, if there is more.
    rich: Option<Rich>,
    /// What the branch carries of the stanza id.
    pub branch_suffix: Option<Str>,
}

#[derive(Debug)]
struct Rich {
    payload: Payload,
    imdn: bool,
}

/// The request for a text message.
///
/// # Errors
/// The refusal that the sender gets: an address that cannot be mapped, or a text that can never fit.
pub(super) fn message(
    stanza: &Stanza,
    text: &Text,
    peer: Peer,
    options: &Options,
    now: Option<Timestamp>,
    tokens: &mut Tokens,
) -> Result<Draft, Refusal> {
    let (lang, body) = text.bodies.first().map_or((None, ""), |(l, b)| (l.clone(), b.as_str()));
    // What can never fit must not even wait.
    if body.len() + text.subject.as_ref().map_or(0, String::len) > options.max_request {
        return Err(Refusal::TooLong { limit: options.max_request });
    }
    let plain = Payload {
        content_type: text_plain(body),
        language: lang.or_else(|| stanza.lang.as_deref().and_then(language)),
        body: body.as_bytes().to_vec(),
    };
    let mut draft = draft(stanza, plain)?;
    draft.subject.clone_from(&text.subject);
    if options.rich && !peer.plain_only {
        draft.rich = rich(stanza, text, peer, options, &draft, now, tokens);
    }
    Ok(draft)
}

/// The richer form of a message, if it has one that is not hopelessly too long: several languages or HTML as
/// multipart/alternative; in a CPIM wrapper that asks for a notification, if the peer knows those and the sender wants a receipt.
fn rich(
    stanza: &Stanza,
    text: &Text,
    peer: Peer,
    options: &Options,
    draft: &Draft,
    now: Option<Timestamp>,
    tokens: &mut Tokens,
) -> Option<Rich> {
    let mut parts: Vec<Part> = Vec::with_capacity(text.bodies.len() + 1);
    for (lang, body) in &text.bodies {
        let mut part = Part::text_plain(body);
        part.language.clone_from(lang);
        parts.push(part);
    }
    if let Some(html) = text.html.as_ref().and_then(html::from_xhtml_im) {
        parts.push(Part::new(ContentType::new("text", "html").with_param("charset", "utf-8"), html));
    }
    let receipt = text.receipt && peer.cpim;
    let message_id = stanza.id.as_deref().and_then(identifiers::message_id_of_id).filter(|_| receipt);
    let content = match (parts.len(), &message_id) {
        (0 | 1, None) => return None,
        (1, Some(_)) => parts.pop()?,
        (_, Some(_)) => {
            Part { content: Content::Parts(parts), ..Part::new(ContentType::new("multipart", "alternative"), "") }
        }
        (_, None) => {
            let boundary = tokens.token(16);
            let body = multipart::write(&parts, &boundary)?;
            Part::new(multipart::content_type("alternative", &boundary), body)
        }
    };
    let imdn = message_id.is_some();
    let payload = match message_id {
        None => {
            Payload { content_type: content.content_type.to_string(), language: None, body: content.body().to_vec() }
        }
        Some(message_id) => {
            let wanted = imdn::Wanted { positive_delivery: true, negative_delivery: true, ..imdn::Wanted::default() };
            let wrapper = wanted.ask(draft.wrapper(content, now)?, &message_id);
            Payload { content_type: "message/cpim".into(), language: None, body: wrapper.to_bytes(&tokens.token(16))? }
        }
    };
    (payload.body.len() <= options.max_request).then_some(Rich { payload, imdn })
}

/// The is-composing document for a chat state (RFC 7573 Table 4; in page mode `gone` is `idle`, as there is no session to end).
///
/// # Errors
/// An address that cannot be mapped.
pub(super) fn chat_state(stanza: &Stanza, state: ChatState) -> Result<Draft, Refusal> {
    let state = match state {
        ChatState::Composing => iscomposing::State::Active,
        ChatState::Active | ChatState::Inactive | ChatState::Paused | ChatState::Gone => iscomposing::State::Idle,
    };
    draft(
        stanza,
        Payload {
            content_type: "application/im-iscomposing+xml".into(),
            language: None,
            body: IsComposing::new(state).to_bytes(),
        },
    )
}

/// The notification (RFC 5438 §7.2.1) for a receipt or a displayed marker.
///
/// # Errors
/// An address that cannot be mapped.
pub(super) fn receipt(
    stanza: &Stanza,
    wanted: &Wanted,
    what: Disposition,
    now: Option<Timestamp>,
    tokens: &mut Tokens,
) -> Result<Draft, Refusal> {
    let nothing = Payload { content_type: String::new(), language: None, body: Vec::new() };
    let mut draft = draft(stanza, nothing)?;
    let disposition = match what {
        Disposition::Delivered => imdn::Disposition::Delivered,
        Disposition::Displayed => imdn::Disposition::Displayed,
    };
    let recipient = Some(base::format_compact!("{}", draft.from));
    let document =
        Imdn { date_time: wanted.date_time.clone(), recipient, ..Imdn::new(&wanted.message_id, disposition) };
    let part = Part::new(ContentType::new("message", "imdn+xml"), document.to_bytes())
        .with_disposition(ContentDisposition::new("notification"));
    let wrapper = draft.wrapper(part, now).map(|w| imdn::Wanted::default().ask(w, &tokens.token(16)));
    let body =
        wrapper.and_then(|w| w.to_bytes(&tokens.token(16))).ok_or(Refusal::BadBody("cannot be written as CPIM"))?;
    draft.plain = Payload { content_type: "message/cpim".into(), language: None, body };
    Ok(draft)
}

/// RFC 7572 Table 1: from is From, with the resource as GRUU; to is To and Request-URI; thread is Call-ID; id is the transaction.
fn draft(stanza: &Stanza, plain: Payload) -> Result<Draft, Refusal> {
    let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else {
        return Err(Refusal::BadRequest("from or to is missing"));
    };
    let thread = stanza.elements().find(|e| e.is("thread", ns::CLIENT)).map(Element::text);
    Ok(Draft {
        from: address::to_uri(from, Scheme::Sip).map_err(Refusal::Sender)?,
        to: address::to_uri(to, Scheme::Sip).map_err(Refusal::Address)?,
        call_id: thread.and_then(|t| identifiers::call_id_of_thread(&t)),
        subject: None,
        plain,
        rich: None,
        branch_suffix: stanza.id.as_deref().and_then(identifiers::branch_suffix_of_id),
    })
}

/// `text/plain`, with the charset where it matters: some phones compare the value to the letter.
fn text_plain(body: &str) -> String {
    if body.is_ascii() { "text/plain".into() } else { "text/plain;charset=UTF-8".into() }
}

impl Draft {
    /// Whether there is a richer form than plain text.
    pub(super) fn is_rich(&self) -> bool {
        self.rich.is_some()
    }

    /// Whether the form that goes out asks the SIP user's program for a notification.
    pub(super) fn asks_for_imdn(&self, plain: bool) -> bool {
        !plain && self.rich.as_ref().is_some_and(|r| r.imdn)
    }

    /// A CPIM wrapper from the one to the other.
    fn wrapper(&self, content: Part, now: Option<Timestamp>) -> Option<cpim::Message> {
        let from = cpim::Address::new(None, &self.from.to_string())?;
        let to = cpim::Address::new(None, &self.to.to_string())?;
        let wrapper = cpim::Message::new(from, content).with_to(&to);
        Some(match now {
            Some(now) => wrapper.with_date_time(now),
            None => wrapper,
        })
    }

    /// The bytes that it takes while it waits.
    pub(super) fn weight(&self) -> usize {
        let payload = |p: &Payload| p.body.len() + p.content_type.len();
        let address = |uri: &SipUri| uri.user.as_ref().map_or(0, Str::len) + uri.gr().map_or(0, str::len);
        size_of::<Draft>()
            + payload(&self.plain)
            + self.rich.as_ref().map_or(0, |rich| payload(&rich.payload))
            + self.subject.as_ref().map_or(0, String::len)
            + self.call_id.as_ref().map_or(0, Str::len)
            + address(&self.from)
            + address(&self.to)
    }

    /// The request, all but its Via, and whether it is the plain form: the rich one if it is wanted and fits, else that.
    ///
    /// # Errors
    /// [`Refusal::TooLong`] if even the plain form is longer than `options.max_request` bytes (RFC 7572 §6).
    pub(super) fn request(
        &self,
        plain: bool,
        proxy: &Proxy,
        via: usize,
        options: &Options,
        tokens: &mut Tokens,
    ) -> Result<(Request, bool), Refusal> {
        let rich = self.rich.as_ref().filter(|_| !plain).map(|r| (&r.payload, false));
        for (payload, plain) in rich.into_iter().chain([(&self.plain, true)]) {
            let request = self.build(payload, proxy, tokens);
            if request.to_bytes().len() + via <= options.max_request {
                return Ok((request, plain));
            }
        }
        Err(Refusal::TooLong { limit: options.max_request })
    }

    /// Addresses the user in place of one of the user's devices. False if that was so already.
    pub(super) fn leave_device(&mut self) -> bool {
        let device = self.to.params.has("gr");
        self.to.params.remove("gr");
        device
    }

    fn build(&self, payload: &Payload, proxy: &Proxy, tokens: &mut Tokens) -> Request {
        let mut request = Request::new(Method::Message, self.to.clone());
        let mut from = NameAddr::new(self.from.clone());
        from.set_tag(&tokens.token(10));
        let headers = &mut request.headers;
        if let Some(route) = &proxy.route {
            headers.push(Name::Route, route);
        }
        headers.push(Name::MaxForwards, MAX_FORWARDS);
        headers.push(Name::From, from);
        headers.push(Name::To, NameAddr::new(self.to.clone()));
        match &self.call_id {
            Some(call_id) => headers.push(Name::CallId, call_id),
            None => headers.push(Name::CallId, tokens.token(20)),
        }
        headers.push(Name::CSeq, "1 MESSAGE");
        if let Some(subject) = &self.subject {
            headers.push(Name::Subject, subject);
        }
        if let Some(language) = &payload.language {
            headers.push(Name::ContentLanguage, language);
        }
        headers.push(Name::ContentType, &payload.content_type);
        request.body = payload.body.clone().into();
        request
    }
}
