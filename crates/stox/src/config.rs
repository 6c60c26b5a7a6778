//! What the gateway is told about its surroundings. The shell reads it from the operator's file.

use crate::network::Network;
use base::{Str, Table};
use sip::agent::{Flow, Target};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use xmpp::agent::Identity;

/// Everything the gateway needs to know. All domains are prepared by [`xmpp::jid::domain`].
#[derive(Debug, Clone)]
pub struct Config {
    /// The XMPP domains that SIP users reach here. A SIP From in one of them is always refused.
    pub xmpp_domains: Vec<Str>,
    /// Whether SIP users of federated domains reach every other XMPP domain, too.
    pub any_xmpp_domain: bool,
    /// The ways to XMPP, one for each SIP domain that the gateway stands for. [`LinkId`] is the place in this list.
    pub links: Vec<Link>,
    /// Who may send SIP for which SIP domains; the first entry whose network holds the source decides nothing alone: all
    /// that match are looked at.
    pub peers: Vec<Peer>,
    /// Who carries what goes to some SIP domains, or to some numbers of them.
    pub trunks: Vec<crate::trunk::Trunk>,
    /// The next hop of every other SIP request that the gateway sends.
    pub proxy: Option<Proxy>,
    /// The SIP domain that telephone numbers (`tel:` URIs) belong to, if any.
    pub phone_domain: Option<Str>,
    /// How telephone numbers are written on either side, and whether callers have to say who they are.
    pub numbers: crate::numbers::Numbers,
    /// How single messages are translated.
    pub message: crate::message::Options,
    /// How chat sessions are translated.
    pub chat: crate::chat::Options,
    /// How rooms are translated.
    pub room: crate::room::Options,
    /// How sessions are carried; `None`: there are none, whatever [`Link::chat`] says.
    pub msrp: Option<crate::leg::Options>,
    /// How calls are translated; `None`: there are none.
    pub media: Option<crate::media::Options>,
    /// The media relays, and how they are asked. None in it: there is no relay.
    pub relay: ng::Config,
    /// Phones that register here; `None`: none do.
    pub registrar: Option<crate::phones::Options>,
    /// How presence is translated.
    pub presence: crate::presence::Options,
    /// How XMPP users link SIP accounts of their own; `None`: they do not.
    pub accounts: Option<crate::account::Options>,
    /// The bounds of the SIP subscriptions, of one shard.
    pub subscriptions: sip::subscription::Config,
    /// Loopback, link-local and private networks that addresses named by a peer (in a Contact, a Record-Route) may lead to. Others of these
    /// are never sent to: the proxy gets what is for them.
    pub allow_networks: Vec<Network>,
    /// Where the gateway itself listens.
    pub own: Own,
    /// Whether our Contact names the XMPP domain, for a proxy that routes it back to the gateway, and not the gateway's own address.
    pub contact_is_domain: bool,
    /// The bounds of what the mappings keep.
    pub limits: Limits,
    /// The date of [`base::Time::ZERO`], in seconds since 1970: what a person reads as the time of a message. No timer uses it.
    pub epoch: u64,
    /// What the gateway says of itself (XEP-0092, User-Agent).
    pub version: Str,
}

impl Config {
    /// How the users of a SIP domain are reached with chat messages.
    pub fn chat_mode(&self, domain: &str) -> Mode {
        let link = self.links.iter().find(|link| link.domain == domain).filter(|_| self.msrp.is_some());
        link.map(|link| link.chat).unwrap_or_default()
    }

    /// What the gateway is on this link, for whoever asks; None: there is no such link.
    pub fn identity(&self, link: LinkId) -> Option<Identity<'_>> {
        let domain = &self.links.get(link)?.domain;
        Some(Identity {
            domain,
            version: &self.version,
            conference: self.room.is_conference(domain),
            calls: self.media.is_some(),
            numbers: self.phone_domain.as_ref() == Some(domain),
            accounts: self.accounts.is_some(),
        })
    }

    /// Whether a domain is one of XMPP, as far as SIP users may know: not one that the gateway stands for or takes SIP for, nor an address.
    pub fn is_xmpp(&self, domain: &str) -> bool {
        let is_sip = || {
            let of_peers = self.peers.iter().flat_map(|peer| &peer.domains);
            self.links.iter().map(|link| &link.domain).chain(of_peers).any(|sip| sip == domain)
        };
        let is_address = || domain.starts_with('[') || domain.parse::<IpAddr>().is_ok();
        self.xmpp_domains.iter().any(|own| own == domain) || self.any_xmpp_domain && !is_address() && !is_sip()
    }

    /// Whether users of the SIP domain of `link` reach the users of `domain`. What is not listed is reached by federation alone: behind a
    /// component there is a server that would have to pass it on.
    pub fn reaches(&self, link: LinkId, domain: &str) -> bool {
        let federated = self.links.get(link).is_some_and(|link| link.kind == LinkKind::Federation);
        self.xmpp_domains.iter().any(|own| own == domain) || federated && self.is_xmpp(domain)
    }

    /// Whether there are sessions at all: chats, rooms or calls.
    pub fn has_sessions(&self) -> bool {
        let rooms = !self.room.muc_domains.is_empty() || !self.room.sip_domains.is_empty();
        let words = self.msrp.is_some() && (rooms || self.links.iter().any(|link| link.chat != Mode::Message));
        words || self.media.is_some()
    }

    /// What is said of whoever sends something this way; `secured`: the SIP domains that the other ends of connections have proved to be.
    pub(crate) fn peers_of<'a>(
        &'a self,
        flow: Flow,
        secured: &'a Table<u64, Arc<[Str]>>,
    ) -> impl Iterator<Item = &'a Peer> + Clone {
        let names = flow.connection.and_then(|connection| secured.get(&connection));
        let names: &[Str] = names.map_or(&[], |names| &names[..]);
        self.peers.iter().filter(move |peer| peer.is(flow.remote.ip(), names))
    }

    /// Whether requests may be sent to an address that a peer has named (THREATS 46).
    pub fn may_lead_to(&self, address: IpAddr) -> bool {
        is_global(address) || self.allow_networks.iter().any(|network| network.contains(address))
    }

    /// Whether a connection may be made to a place that a peer has named: an address that is open to peers, and none of our own listeners.
    pub fn may_connect_to(&self, remote: SocketAddr) -> bool {
        self.may_lead_to(remote.ip()) && !self.own.takes_connections(remote)
    }
}

/// Where the gateway itself listens. Nobody leads it there: it would talk to itself, and hold what it hears against its own address. An unspecified
/// address stands for those of loopback; whoever fills this in adds the others that it stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Own {
    /// Where it takes connections, of whatever protocol.
    pub connections: Vec<SocketAddr>,
    /// Where it takes datagrams.
    pub datagrams: Vec<SocketAddr>,
}

impl Own {
    /// Whether who connects there comes to us.
    pub fn takes_connections(&self, remote: SocketAddr) -> bool {
        self.connections.iter().any(|own| is_listened_on(*own, remote))
    }

    /// Whether what is sent there comes to us.
    pub fn takes_datagrams(&self, remote: SocketAddr) -> bool {
        self.datagrams.iter().any(|own| is_listened_on(*own, remote))
    }
}

/// Whether what goes to `remote` comes to the listener at `own`.
fn is_listened_on(own: SocketAddr, remote: SocketAddr) -> bool {
    let (listener, ip) = (own.ip().to_canonical(), remote.ip().to_canonical());
    let here = ip.is_loopback() || ip.is_unspecified();
    own.port() == remote.port() && (listener == ip || here && listener.is_unspecified())
}

/// Whether an address is one of the open network: none of the ranges that RFC 6890 keeps for hosts, links, sites, groups or nobody.
fn is_global(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(a) => {
            let [first, second, third, _] = a.octets();
            !(a.is_loopback()
                || a.is_private()
                || a.is_link_local()
                || a.is_multicast()
                || a.is_documentation()
                || first == 0
                || first >= 240
                || first == 100 && second & 0xc0 == 64
                || first == 192 && second == 0 && third == 0
                || first == 198 && second & 0xfe == 18)
        }
        IpAddr::V6(a) => {
            let [first, second, ..] = a.segments();
            first & 0xe000 == 0x2000 && !(first == 0x2001 && (second == 0xdb8 || second < 0x200)) && first != 0x2002
        }
    }
}

/// A place in [`Config::links`].
pub type LinkId = usize;

/// What leads from a SIP domain to XMPP users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// A component stream (XEP-0114): one XMPP server does the rest.
    Component,
    /// Streams with all other servers (RFC 6120): the gateway is the domain's XMPP server. Such a link is always up; what cannot be delivered comes back
    /// as the error that a server would send.
    Federation,
}

impl LinkKind {
    /// The content namespace of its streams.
    pub fn namespace(self) -> &'static str {
        match self {
            LinkKind::Component => xmpp::ns::COMPONENT_ACCEPT,
            LinkKind::Federation => xmpp::ns::SERVER,
        }
    }
}

/// The way from one SIP domain to XMPP users.
#[derive(Debug, Clone)]
pub struct Link {
    /// What it is.
    pub kind: LinkKind,
    /// The SIP domain that the gateway stands for on it.
    pub domain: Str,
    /// The XMPP domains whose users may send to it; empty means any. The server vouches for the `from` of each stanza, or the stream that it came by.
    pub allow_from: Vec<Str>,
    /// How its users are reached with chat messages.
    pub chat: Mode,
}

/// As what chat messages go to the users of a SIP domain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// In MSRP sessions (RFC 7573), and as nothing else.
    Session,
    /// Alone (RFC 7572). INVITEs to chat are refused.
    #[default]
    Message,
    /// In sessions; alone to those who refuse sessions.
    Auto,
}

/// Somebody, and the SIP domains that it may speak for.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The network that it is in; none: any.
    pub source: Option<Network>,
    /// The SIP domain that its certificate proves (RFC 5922 §7.4); none: none is asked for.
    pub certificate: Option<Str>,
    /// The SIP domains; a From in another one is refused.
    pub domains: Vec<Str>,
    /// Whether its word for a caller counts (P-Asserted-Identity, RFC 3325 §5). Anybody else's is left alone.
    pub trusted: bool,
}

impl Peer {
    /// Whoever is in this network, and may speak for these domains.
    pub fn at(source: Network, domains: Vec<Str>) -> Peer {
        Peer { source: Some(source), certificate: None, domains, trusted: false }
    }

    /// Whether it is this one: it sends from `source`, and has proved to be `names`. Somebody of whom neither is said is nobody.
    pub fn is(&self, source: IpAddr, names: &[Str]) -> bool {
        let there = self.source.is_none_or(|network| network.contains(source));
        let proved = self.certificate.as_ref().is_none_or(|name| names.iter().any(|n| n.eq_ignore_ascii_case(name)));
        (self.source.is_some() || self.certificate.is_some()) && there && proved
    }
}

/// The SIP proxy that takes what the gateway sends.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Where to send to.
    pub target: Target,
    /// The Route value, where the proxy is a loose router (`;lr`, RFC 3261 §16.12.1.1).
    pub route: Option<Str>,
}

/// Bounds. Each says what happens at it.
#[derive(Debug, Clone)]
pub struct Limits {
    /// SIP requests that wait for the XMPP server at one time, in one shard; beyond: 503 with Retry-After.
    pub held: usize,
    /// How long one of them may wait; then 503 with Retry-After. Less than the 32 s of timer F.
    pub held_for: Duration,
    /// Messages from one XMPP user to one SIP user that wait for those before them; beyond: `<resource-constraint/>`.
    pub queue_per_pair: usize,
    /// All messages that wait so in one shard; beyond: `<resource-constraint/>`.
    pub queued: usize,
    /// The bytes of those and of the messages in flight in one shard; beyond: `<resource-constraint/>`.
    pub queued_bytes: usize,
    /// Bytes of stanzas that wait for a component stream to come back, for each stream; beyond: the oldest are dropped.
    pub parked_bytes: usize,
    /// Messages per second that one bare address may send, 0 for no bound; beyond: 503 or `<resource-constraint/>`.
    pub rate: u32,
    /// How many messages it may send at once before the rate counts.
    pub burst: u32,
    /// Messages per second that all addresses of one domain may send, 0 for no bound; beyond likewise.
    pub domain_rate: u32,
    /// How many messages they may send at once before the rate counts.
    pub domain_burst: u32,
    /// The seconds of every Retry-After.
    pub retry_after: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            held: 4096,
            held_for: Duration::from_secs(25),
            queue_per_pair: 64,
            queued: 8192,
            queued_bytes: 16 << 20,
            parked_bytes: 1 << 20,
            rate: 0,
            burst: 50,
            domain_rate: 0,
            domain_burst: 1000,
            retry_after: 5,
        }
    }
}
