//! What an answer says: what it repeats of its request (RFC 3261 §8.2.6), and what it adds.

use crate::agent::branch::{COOKIE, tag};
use crate::agent::memory::Key;
use crate::agent::mirror::Mirror;
use crate::agent::{Flow, SendTo, Target, Transport};
use crate::header::{Name, Via};
use crate::message::{Request, reason_phrase};
use crate::method::Method;
use crate::uri::Host;
use crate::validate::Essentials;
use base::{HashKey, Str};
use bytes::Bytes;
use std::borrow::Cow;
use std::io::Write;
use std::net::SocketAddr;

/// What an answer adds to its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer<'a> {
    pub(super) code: u16,
    pub(super) reason: &'a str,
    /// Whole lines with their CRLF.
    pub(super) headers: &'a [u8],
    pub(super) body: &'a [u8],
}

impl Answer<'_> {
    /// A status in the default words.
    pub(super) fn plain(code: u16) -> Answer<'static> {
        Answer { code, reason: reason_phrase(code), headers: &[], body: &[] }
    }
}

/// The secrets that name transactions and make tags.
#[derive(Debug, Clone, Copy)]
pub(super) struct Secrets {
    pub(super) request: HashKey,
    pub(super) path: HashKey,
    pub(super) tag: HashKey,
}

/// What is to be known of a request in order to match and to answer it. It does not hold the request.
#[derive(Debug)]
pub(super) struct Echo {
    /// Its name: RFC 3261 §17.2.3 and §8.2.2.2.
    pub(super) key: Key,
    /// Its name where an ACK or a CANCEL looks for its INVITE.
    pub(super) invite: u128,
    /// Our tag: the To tag of the request, or the one that we add.
    pub(super) tag: Str,
    /// Where the answer goes.
    pub(super) to: SendTo,
    /// Via, From, up to the value of To.
    block: Vec<u8>,
    /// Where in `block` our tag begins, and where it ends; nothing where the request had a To tag.
    tagged: (usize, usize),
    /// What a 100 repeats besides (RFC 3261 §8.2.6.1).
    timestamp: Option<Str>,
    /// What the answer to a SUBSCRIBE repeats besides.
    pub(super) mirror: Option<Box<Mirror>>,
}

impl Echo {
    /// What there is to know of a request, of which `essentials` has been read already. `None` if the two do not belong together.
    pub(super) fn of(request: &Request, essentials: &Essentials, flow: Flow, secrets: &Secrets) -> Option<Echo> {
        let headers = &request.headers;
        let (from, to) = (headers.get(Name::From)?, headers.get(Name::To)?);
        let call_id = headers.get(Name::CallId)?;
        let Essentials { via, cseq, .. } = essentials;

        let method = if request.method == Method::Ack { "INVITE" } else { request.method.as_str() };
        let seq = cseq.number.to_be_bytes();
        let path = path(request, via, secrets);
        let path_bytes = path.to_be_bytes();
        let (from_tag, to_tag) = (essentials.from.tag().unwrap_or(from), essentials.to.tag());
        let call = [call_id.as_bytes(), from_tag.as_bytes(), &seq];
        let name = match to_tag {
            // RFC 3261 §8.2.2.2: outside of a dialog, the same request by another way is the same request.
            None => secrets.request.fingerprint(&[method.as_bytes(), call[0], call[1], call[2]]),
            // Within one it is not: a BYE to each of two forks differs in the To tag, or in nothing.
            Some(t) => {
                secrets.request.fingerprint(&[method.as_bytes(), call[0], call[1], call[2], t.as_bytes(), &path_bytes])
            }
        };
        // The tag does not depend on the method, so that a CANCEL is answered under the INVITE's tag (RFC 3261 §9.2).
        let own_tag = tag(secrets.tag.fingerprint(&[call[0], call[1], call[2], &path_bytes]).bits());
        let invite = match request.method {
            Method::Invite | Method::Ack | Method::Cancel => {
                secrets.path.fingerprint(&[call[0], call[2], &path_bytes]).bits()
            }
            _ => 0,
        };

        let to_where = reply_to(via, flow);
        let mut block = Vec::with_capacity(512);
        stamped(&mut block, via, flow.remote);
        for below in headers.elements(Name::Via).skip(1) {
            line(&mut block, "Via", below.ok()?);
        }
        line(&mut block, "From", from);
        block.extend_from_slice(b"To: ");
        block.extend_from_slice(to.as_bytes());
        let mut tagged = (block.len(), block.len());
        if to_tag.is_none() {
            block.extend_from_slice(b";tag=");
            block.extend_from_slice(own_tag.as_bytes());
            tagged.1 = block.len();
        }
        block.extend_from_slice(b"\r\n");
        line(&mut block, "Call-ID", call_id);
        // Writing to a vector cannot fail.
        let _ = write!(block, "CSeq: {} {}\r\n", cseq.number, request.method.as_str());
        Some(Echo {
            key: Key { request: name.bits(), path },
            invite,
            tag: to_tag.map_or(own_tag, Str::from),
            to: to_where,
            block,
            tagged,
            timestamp: headers.get(Name::Timestamp).map(Str::from),
            mirror: Mirror::of(request),
        })
    }

    /// The bytes that it holds. Vias and Call-IDs may be long, and each request brings its own.
    pub(super) fn weight(&self) -> usize {
        let mirror = self.mirror.as_ref().map_or(0, |mirror| mirror.weight());
        self.block.len() + self.timestamp.as_ref().map_or(0, Str::len) + mirror
    }

    /// The name under which the ACK for a 2xx is looked for: it is a transaction of its own, with a branch of its own, but in the dialog
    /// that the 2xx made and with the number of the INVITE (RFC 3261 §13.2.2.4).
    pub(super) fn dialog(request: &Request, our_tag: &str, secrets: &Secrets) -> Option<u128> {
        let from = request.headers.get(Name::From)?;
        let call_id = request.headers.get(Name::CallId)?;
        let seq = request.headers.cseq().ok()?.number.to_be_bytes();
        let from_tag = request.headers.from_tag().unwrap_or(from);
        let parts = [call_id.as_bytes(), from_tag.as_bytes(), our_tag.as_bytes(), &seq];
        Some(secrets.request.fingerprint(&parts).bits())
    }

    /// The whole response. A 100 has no tag (RFC 3261 §8.2.6.2, §17.2.1).
    pub(super) fn response(&self, answer: &Answer<'_>) -> Bytes {
        let room = 64 + answer.reason.len() + self.block.len() + answer.headers.len() + answer.body.len();
        let mut out = Vec::with_capacity(room);
        let _ = write!(out, "SIP/2.0 {} {}\r\n", answer.code, answer.reason);
        if answer.code == 100 {
            out.extend_from_slice(&self.block[..self.tagged.0]);
            out.extend_from_slice(&self.block[self.tagged.1..]);
            if let Some(timestamp) = &self.timestamp {
                line(&mut out, "Timestamp", timestamp);
            }
        } else {
            out.extend_from_slice(&self.block);
        }
        out.extend_from_slice(answer.headers);
        let _ = write!(out, "Content-Length: {}\r\n\r\n", answer.body.len());
        out.extend_from_slice(answer.body);
        Bytes::from(out)
    }
}

/// RFC 3261 §17.2.3: branch and sent-by; for an element of RFC 2543 the whole Via and the Request-URI.
fn path(request: &Request, via: &Via, secrets: &Secrets) -> u64 {
    let bits = match via.branch() {
        Some(branch) if branch.starts_with(COOKIE) => {
            let host = match &via.host {
                Host::Name(name) => Cow::Borrowed(name.as_str()),
                address => Cow::Owned(address.to_string()),
            };
            let port = via.port.map_or([0; 3], |p| [1, (p >> 8) as u8, p as u8]);
            secrets.path.fingerprint(&[branch.as_bytes(), host.as_bytes(), &port])
        }
        _ => secrets.path.fingerprint(&[via.to_string().as_bytes(), request.uri.to_string().as_bytes()]),
    };
    bits.bits() as u64
}

/// RFC 3261 §18.2.2 and RFC 3581 §4, less what lets a sender aim our answers at somebody else: `maddr` is not obeyed, and the address is
/// always the source's. By UDP the port is the source's if `rport` asks for that, or the one of sent-by.
pub(super) fn reply_to(via: &Via, flow: Flow) -> SendTo {
    let asked = via.port.filter(|p| *p != 0).unwrap_or(flow.transport.default_port());
    let mut flow = flow;
    let mut fallback = None;
    match flow.transport {
        Transport::Udp if via.wants_rport() => {}
        Transport::Udp => flow.remote.set_port(asked),
        // The connection that the request came by may be gone: then one to the same address. With TLS there is no name that could be
        // checked, and a WebSocket client does not listen (RFC 7118 §5).
        Transport::Tcp => {
            let remote = SocketAddr::new(flow.remote.ip(), asked);
            fallback = Some(Target::new(Transport::Tcp, remote));
        }
        Transport::Tls | Transport::Ws | Transport::Wss => {}
    }
    SendTo::Flow { flow, fallback }
}

/// The line of the top Via with the source in it: RFC 3261 §18.2.1, RFC 3581 §4. The same as [`Via::stamp`], but each answer needs it
/// once, and so it is written in one go.
fn stamped(out: &mut Vec<u8>, via: &Via, source: SocketAddr) {
    out.extend_from_slice(b"Via: ");
    out.extend_from_slice(via.protocol.as_bytes());
    out.push(b'/');
    out.extend_from_slice(via.transport.as_bytes());
    out.push(b' ');
    match &via.host {
        Host::Name(name) => out.extend_from_slice(name.as_bytes()),
        // Writing to a vector cannot fail.
        address => drop(write!(out, "{address}")),
    }
    if let Some(port) = via.port {
        let _ = write!(out, ":{port}");
    }
    let (ip, mut rport) = (source.ip().to_canonical(), false);
    for (name, value) in via.params.iter() {
        if name.eq_ignore_ascii_case("rport") {
            rport = true;
        } else if !name.eq_ignore_ascii_case("received") {
            out.push(b';');
            out.extend_from_slice(name.as_bytes());
            if let Some(value) = value {
                out.push(b'=');
                out.extend_from_slice(value.as_bytes());
            }
        }
    }
    if rport || via.host.ip() != Some(ip) {
        let _ = write!(out, ";received={ip}");
    }
    if rport {
        let _ = write!(out, ";rport={}", source.port());
    }
    out.extend_from_slice(b"\r\n");
}

fn line(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}
