//! Where requests to SIP go.

use crate::account::linked::Linked;
use crate::address;
use crate::config::Config;
use crate::error::Refusal;
use crate::phones::Phones;
use crate::trunk::{Trunk, Trunks};
use crate::voice;
use base::{Str, Time};
use sip::agent::{Agent, Fence, Hop, Place, Target, Transport};
use sip::{Dialog, Host, NameAddr, NextHop, SipUri, Uri};
use std::net::SocketAddr;

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

/// Where a request of an XMPP user goes that begins something with `to`: into a trunk that carries it, to the outbound proxy, or else to where RFC 3263
/// leads.
pub(crate) fn route(config: &Config, trunks: &Trunks, sip: &Agent, to: &SipUri) -> Result<Route, Refusal> {
    if let Some(trunk) = Trunk::of(&config.trunks, to) {
        return Ok(Route { hop: trunk.place().into(), route: trunks.route(trunk), transport: trunk.transport() });
    }
    if let Some(proxy) = &config.proxy {
        let transport = proxy.target.transport;
        return Ok(Route { hop: Hop::Target(proxy.target.clone()), route: proxy.route.clone(), transport });
    }
    // The domain is one that we stand for, so it is the operator who has named it.
    let place = Place::of(to).map(|place| Place { foreign: false, ..place }).ok_or(Refusal::NoRoute)?;
    let transport = place.transport.or(sip.usual_transport()).ok_or(Refusal::NoRoute)?;
    Ok(Route { hop: Hop::Place(place), route: None, transport })
}

impl Fence for Config {
    fn may_lead_to(&self, target: &Target) -> bool {
        match target.transport {
            Transport::Udp => self.may_lead_to(target.remote.ip()) && !self.own.takes_datagrams(target.remote),
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => self.may_connect_to(target.remote),
        }
    }
}

/// The way of requests within a dialog: RFC 3261 §12.2.1.1 by the addresses that the peer has named, as far as the operator lets it.
#[derive(Debug)]
pub(crate) struct Hops<'a> {
    pub(crate) now: Time,
    pub(crate) config: &'a Config,
    pub(crate) linked: &'a Linked,
    pub(crate) phones: &'a Phones,
}

impl NextHop for Hops<'_> {
    fn next_hop(&self, dialog: &Dialog) -> Option<Hop> {
        // A phone that registers here may be behind a connection of its own, whatever it says of where it is.
        if let Some(hop) = self.phones.next_hop(self.now, dialog) {
            return Some(hop);
        }
        // Without a tag of the other side this is no dialog yet, but a call that whoever was called has sent on (3xx): RFC 3261 §8.1.3.4.
        let sent_on = dialog.remote_tag.is_empty();
        let hop = match self.trunk(dialog) {
            Some(trunk) if sent_on => self.onward(trunk, dialog),
            Some(trunk) => self.through(trunk, dialog),
            None => self.named(dialog)?,
        };
        // Nobody has asked the user whether such a call may be at the cost of the account.
        if sent_on {
            return Some(hop);
        }
        // In a dialog of an account challenges are answered with it, where it is the operator's proxy or the account's own domain that asks.
        let local = NameAddr::parse(&dialog.local_uri).ok().map(|local| local.uri);
        let own = match &hop {
            Hop::Target(target) => self.config.proxy.as_ref().is_some_and(|proxy| proxy.target == *target),
            Hop::Place(place) => {
                local.as_ref().and_then(Uri::sip).is_some_and(|local| is_same(place, &local.host, None))
            }
            Hop::Fork(_) => false,
        };
        let local = local.filter(|_| own);
        let local = local.and_then(|local| address::to_jid(&local, &address::Options::default()).ok());
        Some(match local.and_then(|local| self.linked.credentials_of(&local)) {
            Some(account) => voice::with_account(hop, account),
            None => hop,
        })
    }
}

impl Hops<'_> {
    /// A call that was sent on. With the trunk's account it goes nowhere but to what the trunk carries: to where the XMPP user could have called by it. Anybody else whom
    /// the one who was called has named is called without an account, so that nobody has calls of his choice paid for.
    fn onward(&self, trunk: &Trunk, dialog: &Dialog) -> Hop {
        let target = Uri::parse(&dialog.remote_target()).ok();
        let carrier = target.as_ref().and_then(Uri::sip).and_then(|target| Trunk::of(&self.config.trunks, target));
        if carrier.is_some_and(|carrier| carrier.name == trunk.name) {
            return trunk.place().into();
        }
        match self.through(trunk, dialog) {
            Hop::Place(place) => Hop::Place(Place { account: None, ..place }),
            other @ (Hop::Target(_) | Hop::Fork(_)) => other,
        }
    }

    /// The trunk that the other side of a dialog is behind.
    fn trunk(&self, dialog: &Dialog) -> Option<&Trunk> {
        let remote = NameAddr::parse(&dialog.remote_uri).ok()?.uri;
        let remote = remote.sip()?;
        Trunk::of(&self.config.trunks, remote).or_else(|| self.brought_by(remote, dialog))
    }

    /// Providers say of callers that they are at a host of the provider's, and nobody else may say so: no peer speaks for anybody there. The trunk is the
    /// one whose place the other side has named as the way to it, and of several the one whose account was called.
    fn brought_by(&self, caller: &SipUri, dialog: &Dialog) -> Option<&Trunk> {
        let host = xmpp::jid::domain(&caller.host.to_string()).ok()?;
        let Config { links, peers, trunks, .. } = self.config;
        if links.iter().any(|link| link.domain == host) || peers.iter().any(|peer| peer.domains.contains(&host)) {
            return None;
        }
        let next = next_place(dialog)?;
        let mut fit = trunks.iter().filter(|trunk| is_same(&next, &trunk.place.host, trunk.place.port));
        let local = NameAddr::parse(&dialog.local_uri).ok();
        let called = local.as_ref().and_then(|local| local.uri.sip()?.user_octets());
        fit.clone().find(|trunk| trunk.address.user_octets() == called).or_else(|| fit.next())
    }

    /// The trunk's own place may ask for its account's credentials, and knows the way to where the gateway may not be led. Whoever else is named on the
    /// way (a Contact, a Record-Route) gets no credentials: he would choose what they sign.
    fn through(&self, trunk: &Trunk, dialog: &Dialog) -> Hop {
        let own = trunk.place();
        let remote = Uri::parse(&dialog.remote_target()).ok();
        let named = next_place(dialog).filter(|place| place.host.ip().is_none_or(|ip| self.config.may_lead_to(ip)));
        Hop::Place(match named {
            Some(place) => Place {
                secure: place.secure || remote.is_some_and(|remote| remote.scheme() == "sips"),
                account: own
                    .account
                    .filter(|_| is_same(&place, &own.host, own.port) && (!is_safe(&own) || is_safe(&place))),
                ..place
            },
            None => own,
        })
    }

    fn named(&self, dialog: &Dialog) -> Option<Hop> {
        let proxy = self.config.proxy.as_ref().map(|proxy| &proxy.target);
        let by_proxy = || proxy.cloned().map(Hop::Target);
        let remote = Uri::parse(&dialog.remote_target());
        let next = match dialog.route_set.first() {
            Some(route) => NameAddr::parse_bracketed(route).ok().map(|route| route.uri),
            None => Some(remote.clone().ok()?),
        };
        let Some(mut place) = next.as_ref().and_then(Uri::sip).and_then(Place::of) else { return by_proxy() };
        // RFC 3261 §8.1.2: a Request-URI that wants TLS wants it of each hop, whatever that is called.
        place.secure |= remote.is_ok_and(|remote| remote.scheme() == "sips");
        if place.secure {
            return proxy.filter(|proxy| proxy.transport.secure()).cloned().map(Hop::Target).or(Some(place.into()));
        }
        let Some(target) = literal(&place) else {
            // A name: the proxy knows the way, or else the name servers.
            return by_proxy().or(Some(place.into()));
        };
        // Where the proxy itself is meant, it is known by its name.
        let known = |proxy: &Target| (proxy.transport, proxy.remote) == (target.transport, target.remote);
        if proxy.is_some_and(known) {
            return by_proxy();
        }
        match target.transport {
            Transport::Udp | Transport::Tcp if Fence::may_lead_to(self.config, &target) => Some(target.into()),
            // A certificate that names an address is rare; what a WebSocket client says of itself leads nowhere (RFC 7118 §5).
            Transport::Tls if proxy.is_none() => Some(place.into()),
            Transport::Udp | Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => by_proxy(),
        }
    }
}

/// Whether a place is this host, by its own word: at this port, or where it is without one.
fn is_same(place: &Place, host: &Host, port: Option<u16>) -> bool {
    place.host == *host && place.port.is_none_or(|said| port == Some(said))
}

/// Whether what goes there goes by TLS.
fn is_safe(place: &Place) -> bool {
    place.secure || place.transport.is_some_and(Transport::secure)
}

/// Where the dialog's peer says that the way to it begins: RFC 3261 §12.2.1.1.
fn next_place(dialog: &Dialog) -> Option<Place> {
    let next = match dialog.route_set.first() {
        Some(route) => NameAddr::parse_bracketed(route).ok()?.uri,
        None => Uri::parse(&dialog.remote_target()).ok()?,
    };
    Place::of(next.sip()?)
}

/// The address that a place is without the help of the DNS.
fn literal(place: &Place) -> Option<Target> {
    let transport = place.transport.unwrap_or(Transport::Udp);
    let port = place.port.unwrap_or(transport.default_port());
    Some(Target::new(transport, SocketAddr::new(place.host.ip()?, port)))
}
