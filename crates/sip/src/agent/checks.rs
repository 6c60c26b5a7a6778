//! What a user agent looks at before what the request is about: RFC 3261 §8.2.1 to §8.2.2.3.

use crate::agent::answer::Answer;
use crate::agent::{Agent, Config, Flow, Output, SendTo, Transport, branch};
use crate::header::{HeaderError, Headers, Name, Via};
use crate::message::{Request, Response};
use crate::method::Method;
use crate::parse::Rejected;
use crate::uri::Host;
use base::{Str, ToCompactString};
use std::fmt::Write;
use std::net::IpAddr;

/// A refusal: the status, and the headers it needs as whole lines.
pub(super) type Refusal = (u16, Vec<u8>);

/// RFC 3261 §8.2: method, scheme, Require, To tag, in the order of the text. The reasons that need no more than the configuration.
pub(super) fn check(config: &Config, request: &Request) -> Result<(), Refusal> {
    let known = |m: &[Method]| m.contains(&request.method);
    if !known(&config.allow) && !known(&config.surfaced) {
        // RFC 3261 §21.5.2, §8.2.1: a method that we know by name but do not allow, and one that we do not know.
        let (code, allow) = not_allowed(config);
        return Err((if matches!(request.method, Method::Other(_)) { 501 } else { code }, allow));
    }
    let scheme = request.uri.scheme();
    if request.uri.sip().is_none() && !config.schemes.iter().any(|s| s.eq_ignore_ascii_case(scheme)) {
        return Err((416, Vec::new()));
    }
    let unsupported = unsupported(config, request);
    if !unsupported.is_empty() {
        return Err((420, header("Unsupported", &unsupported)));
    }
    // RFC 3261 §12.2.2: in a dialog that nobody knows.
    if !config.dialogs && request.headers.to_tag().is_some() {
        return Err((481, Vec::new()));
    }
    Ok(())
}

/// RFC 3261 §8.2.1: a method that is not served, and those that are.
pub(super) fn not_allowed(config: &Config) -> Refusal {
    (405, header("Allow", &allow(config)))
}

/// What a REGISTER may require besides, where REGISTERs are taken: RFC 3327, RFC 5626, RFC 5627. No other request has a use for it.
const OF_REGISTRARS: [&str; 3] = ["path", "outbound", "gruu"];

/// RFC 3261 §8.2.2.3: what Require names and we do not have.
fn unsupported(config: &Config, request: &Request) -> Str {
    let mut list = Str::default();
    for option in request.headers.elements(Name::Require).flatten() {
        let registers =
            request.method == Method::Register && OF_REGISTRARS.iter().any(|o| o.eq_ignore_ascii_case(option));
        if !registers && !config.supported.iter().any(|s| s.eq_ignore_ascii_case(option)) {
            push(&mut list, option);
        }
    }
    list
}

fn allow(config: &Config) -> Str {
    let mut list = Str::default();
    config.allow.iter().for_each(|m| push(&mut list, m.as_str()));
    list
}

fn push(list: &mut Str, item: &str) {
    if !list.is_empty() {
        list.push_str(", ");
    }
    list.push_str(item);
}

fn header(name: &str, value: &str) -> Vec<u8> {
    [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat()
}

/// Whether a Via of this request is our own: it has come back (RFC 3261 §16.3 step 4). A gateway does not spiral: what it sends to SIP has
/// left, and comes back only if somebody's routing sends its SIP users to its XMPP users in a circle.
pub(super) fn looped(config: &Config, request: &Request) -> bool {
    request.headers.elements(Name::Via).flatten().filter(|text| branch::may_be_ours(text)).any(|text| {
        let Ok(via) = Via::parse(text) else { return false };
        via.branch().is_some_and(|b| branch::parse(b).is_some()) && is_ours(config, &via.transport, &via.host, via.port)
    })
}

/// Whether a sent-by is one that we write. A port that is not there is the transport's own.
pub(super) fn is_ours(config: &Config, transport: &str, host: &Host, port: Option<u16>) -> bool {
    config.sent_by.iter().any(|(t, ours, our_port)| {
        let default = t.default_port();
        t.as_str() == transport && ours == host && our_port.unwrap_or(default) == port.unwrap_or(default)
    })
}

/// Whether an answer to this source harms nobody but the one who asked: THREATS 38, no multicast, no broadcast, no port 0.
pub(super) fn can_answer(flow: &Flow) -> bool {
    let sound = match flow.remote.ip().to_canonical() {
        IpAddr::V4(a) => !a.is_multicast() && !a.is_broadcast() && !a.is_unspecified(),
        IpAddr::V6(a) => !a.is_multicast() && !a.is_unspecified(),
    };
    sound && (flow.remote.port() != 0 || flow.transport != Transport::Udp)
}

impl Agent {
    /// Answers what is no message: 400, 414, 505, 513. A response is never answered, nor an ACK.
    pub(super) fn unreadable(&mut self, rejected: &Rejected, flow: Flow) {
        if !can_answer(&flow) {
            self.counts.dropped_source += 1;
        } else if let Some(response) = rejected.response(Some(&self.rough_tag(&rejected.headers))) {
            self.answer_unreadable(response, flow);
        } else {
            self.counts.dropped_unreadable += 1;
        }
    }

    /// Answers a message whose headers are not what RFC 3261 §8.1.1 wants.
    pub(super) fn invalid(&mut self, request: &Request, fault: HeaderError, flow: Flow) {
        if request.method == Method::Ack || !request.headers.contains(Name::Via) {
            self.counts.dropped_unreadable += 1;
            return;
        }
        let tag = self.rough_tag(&request.headers);
        let response = Response::to_headers(&request.headers, 400, &fault.to_compact_string(), Some(&tag));
        self.answer_unreadable(response, flow);
    }

    /// A tag that is the same whenever the same text comes.
    fn rough_tag(&self, headers: &Headers) -> Str {
        let text = |name| headers.get(name).unwrap_or("").as_bytes();
        let parts = [text(Name::CallId), text(Name::From), text(Name::CSeq), text(Name::Via)];
        branch::tag(self.secrets.tag.fingerprint(&parts).bits())
    }

    fn answer_unreadable(&mut self, mut response: Response, flow: Flow) {
        self.counts.unreadable += 1;
        let to = match response.headers.via() {
            Ok(mut via) => {
                let to = super::answer::reply_to(&via, flow);
                via.stamp(flow.remote.ip().to_canonical(), flow.remote.port());
                response.headers.set_via(&via);
                to
            }
            Err(_) => SendTo::Flow { flow, fallback: None },
        };
        self.out.push_back(Output::Send { to, bytes: response.to_bytes(), client: None });
    }

    /// Answers 503 (RFC 3261 §21.5.4).
    pub(super) fn full(&self) -> Refusal {
        let mut value = Str::default();
        // Writing to a string cannot fail.
        let _ = write!(value, "{}", self.config.retry_after);
        (503, header("Retry-After", &value))
    }

    /// What a Via of ours says for a transport: where requests for us may be sent to.
    pub fn sent_by(&self, transport: Transport) -> Option<(&Host, Option<u16>)> {
        let own = self.config.sent_by.iter().find(|(t, ..)| *t == transport);
        own.map(|(_, host, port)| (host, *port))
    }

    /// The transport of our Contact where it is not known yet which one a request will take.
    pub fn usual_transport(&self) -> Option<Transport> {
        let udp = self.config.sent_by.iter().find(|(transport, ..)| *transport == Transport::Udp);
        udp.or(self.config.sent_by.first()).map(|(transport, ..)| *transport)
    }

    /// The methods of Allow, as its value.
    pub fn allow(&self) -> Str {
        allow(&self.config)
    }

    /// The option tags of Supported, as its value.
    pub fn supported(&self) -> Str {
        let mut list = Str::default();
        self.config.supported.iter().for_each(|s| push(&mut list, s));
        list
    }

    /// RFC 3261 §11.2: what we are able to do. `accept` is the value of Accept.
    pub fn options_answer(&self, request: &Request, accept: &str) -> Response {
        let mut response = Response::to_request(request, 200, "OK", None);
        response.headers.push(Name::Allow, self.allow());
        response.headers.push(Name::Accept, accept);
        // RFC 3261 §20.2, §20.3: no encoding but none, and any language.
        response.headers.push(Name::AcceptEncoding, "identity");
        response.headers.push(Name::AcceptLanguage, "*");
        response.headers.push(Name::Supported, self.supported());
        response
    }
}

/// The refusal as an answer.
pub(super) fn answer(refusal: &Refusal) -> Answer<'_> {
    Answer { headers: &refusal.1, ..Answer::plain(refusal.0) }
}
