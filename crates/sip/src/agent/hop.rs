//! Where a request of ours goes: an address, a place that has yet to be looked up, or several contacts at once.

use crate::agent::Transport;
use crate::digest::AccountId;
use crate::uri::{Host, SipUri, Uri};
use base::Str;
use std::fmt;
use std::net::SocketAddr;

/// An address that a request is sent to, and who must be there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The one connection that will do, by the shell's name for it; without it the request fails (RFC 5626 §5.3).
    pub flow: Option<u64>,
    /// The transport.
    pub transport: Transport,
    /// The address.
    pub remote: SocketAddr,
    /// Whom the certificate must name (RFC 5922 §7.2), where the transport has one; none: nobody is asked for it. A connection is used again only
    /// for the same name.
    pub name: Option<Str>,
    /// The address of ours that a datagram goes from, if it is still one; none: any.
    pub local: Option<SocketAddr>,
}

impl Target {
    /// An address where nobody has to prove a name.
    pub fn new(transport: Transport, remote: SocketAddr) -> Target {
        Target { flow: None, transport, remote, name: None, local: None }
    }
}

/// A place by its name: RFC 3263 leads to its targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The host: TARGET of RFC 3263 §4. An address is looked up nowhere.
    pub host: Host,
    /// The port, where one was said: then the host is no domain, and has addresses only.
    pub port: Option<u16>,
    /// The transport, where one was said.
    pub transport: Option<Transport>,
    /// Whether nothing will do but TLS, as for a `sips` URI.
    pub secure: bool,
    /// Whose credentials answer a challenge (401, 407); none: the challenge is the final answer.
    pub account: Option<AccountId>,
    /// Whether somebody else than the operator has said so: then it leads only to addresses that the [`Fence`] lets pass.
    pub foreign: bool,
}

impl Place {
    /// The place that a URI of somebody else names: RFC 3263 §4. `None`: its `transport` is none that we know, or contradicts `sips`.
    pub fn of(uri: &SipUri) -> Option<Place> {
        let host =
            uri.params.get("maddr").and_then(|maddr| Host::parse(maddr).ok()).unwrap_or_else(|| uri.host.clone());
        let transport = match uri.params.get("transport") {
            None => None,
            // RFC 3261 §26.2.2 has `transport=tls` deprecated, and it is in use; of `sips`, `tcp` says TLS over TCP, `ws` RFC 7118's over TLS.
            Some(name) => Some(Transport::of_uri(name).and_then(|transport| match (uri.secure, transport) {
                (false, transport) => Some(transport),
                (true, Transport::Tcp | Transport::Tls) => Some(Transport::Tls),
                (true, Transport::Ws | Transport::Wss) => Some(Transport::Wss),
                (true, Transport::Udp) => None,
            })?),
        };
        Some(Place { host, port: uri.port, transport, secure: uri.secure, account: None, foreign: true })
    }
}

/// Where others may lead us to: not to the addresses of our own network, nor to ourselves (THREATS 46).
pub trait Fence: fmt::Debug + Send + Sync {
    /// Whether requests may be sent to a place that a peer has named.
    fn may_lead_to(&self, target: &Target) -> bool;
}

/// The next hop of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hop {
    /// This address.
    Target(Target),
    /// Where RFC 3263 leads to; several targets are tried one after the other.
    Place(Place),
    /// All of these: RFC 3261 §16.6, with one answer chosen as in §16.7.
    Fork(Vec<Branch>),
}

impl From<Target> for Hop {
    fn from(target: Target) -> Hop {
        Hop::Target(target)
    }
}

impl From<Place> for Hop {
    fn from(place: Place) -> Hop {
        Hop::Place(place)
    }
}

/// One of several contacts that a request goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// The Request-URI.
    pub uri: Uri,
    /// The value of Route that leads to it, where one is needed (RFC 3327).
    pub route: Option<Str>,
    /// Its preference in thousandths (RFC 3261 §20.10): those of one preference are tried at once, lower ones when all of these have failed.
    pub q: u16,
    /// Where that is.
    pub next: Next,
}

/// The next hop of one contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This address.
    Target(Target),
    /// Where RFC 3263 leads to.
    Place(Place),
}
