//! XMPP to SIP: RFC 7572 §4, Table 1.

use super::{Options, peers::Peer};
use crate::address::{self, Scheme};
use crate::content::departing::Text;
use crate::content::payload::{self, Payload};
use crate::content::{Disposition, Wanted, identifiers};
use crate::error::Refusal;
use base::{Str, Tokens};
use bodies::text::language;
use bodies::{Timestamp, imdn};
use sip::Method;
use sip::Request;
use sip::SipUri;
use sip::{Name, NameAddr};
use xml::Element;
use xmpp::ext::chatstates::ChatState;
use xmpp::ns;
use xmpp::stanza::Stanza;

/// RFC 3261 §8.1.1.6.
const MAX_FORWARDS: u8 = 70;

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

/// The request for a text message, from the account that the sender has linked if there is one.
///
/// # Errors
/// The refusal that the sender gets: an address that cannot be mapped, or a text that can never fit.
pub(super) fn message(
    stanza: &Stanza,
    account: Option<&SipUri>,
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
    let plain = Payload::plain(body, lang.or_else(|| stanza.lang.as_deref().and_then(language)));
    let mut draft = draft(stanza, account, plain)?;
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
    let mut parts = payload::parts(text);
    let receipt = text.receipt && peer.cpim;
    let message_id = stanza.id.as_deref().and_then(identifiers::message_id_of_id).filter(|_| receipt);
    let imdn = message_id.is_some();
    let payload = match (parts.len(), message_id) {
        (0 | 1, None) => return None,
        (_, None) => Payload::part(&payload::alternative_body(&parts, tokens)?),
        (n, Some(message_id)) => {
            let content = if n == 1 { parts.pop()? } else { payload::alternative(parts) };
            let wanted = imdn::Wanted { positive_delivery: true, negative_delivery: true, ..imdn::Wanted::default() };
            let wrapper = wanted.ask(payload::wrapper(&draft.from, &draft.to, content, now)?, &message_id);
            Payload::wrapped(&wrapper, tokens)?
        }
    };
    (payload.body.len() <= options.max_request).then_some(Rich { payload, imdn })
}

/// The is-composing document for a chat state (RFC 7573 Table 4).
///
/// # Errors
/// An address that cannot be mapped.
pub(super) fn chat_state(stanza: &Stanza, account: Option<&SipUri>, state: ChatState) -> Result<Draft, Refusal> {
    draft(stanza, account, Payload::composing(state))
}

/// The notification (RFC 5438 §7.2.1) for a receipt or a displayed marker.
///
/// # Errors
/// An address that cannot be mapped.
pub(super) fn receipt(
    stanza: &Stanza,
    account: Option<&SipUri>,
    wanted: &Wanted,
    what: Disposition,
    now: Option<Timestamp>,
    tokens: &mut Tokens,
) -> Result<Draft, Refusal> {
    let nothing = Payload { content_type: String::new(), language: None, body: Vec::new() };
    let mut draft = draft(stanza, account, nothing)?;
    let payload = payload::notification(&draft.from, &draft.to, wanted, what, now, tokens);
    draft.plain = payload.ok_or(Refusal::BadBody("cannot be written as CPIM"))?;
    Ok(draft)
}

/// RFC 7572 Table 1: from is From, with the resource as GRUU, or the account that the sender has linked; to is To and Request-URI; thread is Call-ID; id is the transaction.
fn draft(stanza: &Stanza, account: Option<&SipUri>, plain: Payload) -> Result<Draft, Refusal> {
    let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else {
        return Err(Refusal::BadRequest("from or to is missing"));
    };
    let thread = stanza.elements().find(|e| e.is("thread", ns::CLIENT)).map(Element::text);
    Ok(Draft {
        from: match account {
            Some(account) => account.clone(),
            None => address::to_uri(from, Scheme::Sip).map_err(Refusal::Sender)?,
        },
        to: address::to_uri(to, Scheme::Sip).map_err(Refusal::Address)?,
        call_id: thread.and_then(|t| identifiers::call_id_of_thread(&t)),
        subject: None,
        plain,
        rich: None,
        branch_suffix: stanza.id.as_deref().and_then(identifiers::branch_suffix_of_id),
    })
}

impl Draft {
    /// It goes to this address in place of the one that the recipient's is by RFC 7247.
    pub(super) fn redirect(&mut self, to: SipUri) {
        self.to = to;
    }

    /// Whether there is a richer form than plain text.
    pub(super) fn is_rich(&self) -> bool {
        self.rich.is_some()
    }

    /// Whether the form that goes out asks the SIP user's program for a notification.
    pub(super) fn asks_for_imdn(&self, plain: bool) -> bool {
        !plain && self.rich.as_ref().is_some_and(|r| r.imdn)
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
        route: Option<&str>,
        via: usize,
        options: &Options,
        tokens: &mut Tokens,
    ) -> Result<(Request, bool), Refusal> {
        let rich = self.rich.as_ref().filter(|_| !plain).map(|r| (&r.payload, false));
        for (payload, plain) in rich.into_iter().chain([(&self.plain, true)]) {
            let request = self.build(payload, route, tokens);
            if request.to_bytes().len() + via <= options.max_request {
                return Ok((request, plain));
            }
        }
        Err(Refusal::TooLong { limit: options.max_request })
    }

    /// Whom it is for.
    pub(super) fn to(&self) -> &SipUri {
        &self.to
    }

    /// Addresses the user in place of one of the user's devices. False if that was so already.
    pub(super) fn leave_device(&mut self) -> bool {
        let device = self.to.params.has("gr");
        self.to.params.remove("gr");
        device
    }

    fn build(&self, payload: &Payload, route: Option<&str>, tokens: &mut Tokens) -> Request {
        let mut request = Request::new(Method::Message, self.to.clone());
        let mut from = NameAddr::new(self.from.clone());
        from.set_tag(&tokens.token(10));
        let headers = &mut request.headers;
        if let Some(route) = route {
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
