//! Where requests to SIP go.

use crate::account::linked::Linked;
use crate::account::speaking;
use crate::address;
use crate::config::Config;
use crate::error::Refusal;
use base::Str;
use sip::agent::{Hop, Target, Transport};
use sip::uri::Host;
use sip::{Dialog, NameAddr, NextHop, SipUri, Uri};
use std::net::SocketAddr;
use xmpp::jid::Jid;

/// Where a request goes that begins something.
#[derive(Debug, Clone)]
pub struct Route {
    /// The next hop.
    pub hop: Hop,
    /// The Route value that leads through it, where it wants one.
    pub route: Option<Str>,
    /// The transport that our Contact names: the one of the next hop, as far as that is known yet.
    pub transport: Transport,
}

/// Where a request from an XMPP user goes that begins something with `to`.
pub(crate) fn route(config: &Config, _from: &Jid, _to: &SipUri) -> Result<Route, Refusal> {
    let proxy = config.proxy.as_ref().ok_or(Refusal::NoRoute)?;
    let transport = proxy.target.transport;
    Ok(Route { hop: Hop::Target(proxy.target.clone()), route: proxy.route.clone(), transport })
}

/// The way of requests within a dialog: RFC 3261 §12.2.1.1 by the addresses that the peer has named, as far as the operator lets it.
#[derive(Debug)]
pub(crate) struct Hops<'a>(pub(crate) &'a Config, pub(crate) &'a Linked);

impl NextHop for Hops<'_> {
    fn next_hop(&self, dialog: &Dialog) -> Option<Hop> {
        let named = match dialog.route_set.first() {
            Some(route) => NameAddr::parse_bracketed(route).ok().and_then(|route| target(&route.uri)),
            None => target(&Uri::parse(&dialog.remote_target()).ok()?),
        };
        // A name, or an address where the gateway may not be led to: the proxy knows the way.
        let allowed = named.filter(|target| self.0.may_lead_to(target.remote.ip()));
        let hop = allowed.or(self.0.proxy.as_ref().map(|proxy| proxy.target.clone())).map(Hop::Target)?;
        // In a dialog of an account challenges are answered with it.
        let local = NameAddr::parse(&dialog.local_uri).ok();
        let local = local.and_then(|local| address::to_jid(&local.uri, &address::Options::default()).ok());
        Some(match local.and_then(|local| self.1.credentials_of(&local)) {
            Some(account) => speaking::with_account(hop, account),
            None => hop,
        })
    }
}

/// The address that a URI names without the help of the DNS.
fn target(uri: &Uri) -> Option<Target> {
    let uri = uri.sip().filter(|uri| !uri.secure)?;
    let host = uri.params.get("maddr").and_then(|maddr| Host::parse(maddr).ok()).unwrap_or_else(|| uri.host.clone());
    let transport = match uri.params.get("transport") {
        None => Transport::Udp,
        Some(t) if t.eq_ignore_ascii_case("udp") => Transport::Udp,
        Some(t) if t.eq_ignore_ascii_case("tcp") => Transport::Tcp,
        Some(_) => return None,
    };
    let port = uri.port.unwrap_or(transport.default_port());
    Some(Target::new(transport, SocketAddr::new(host.ip()?, port)))
}
