//! The gateway that scenes are played with, and what `set` changes of it.

use base::{Str, Tokens};
use msrp::Advertised;
use sip::agent::{self, Flow, Target, Transport};
use sip::subscription;
use sip::uri::Host;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use stox::config::{Config, Limits, Link, LinkKind, Mode, Peer, Proxy};
use stox::gateway::Gateway;
use stox::network::Network;
use stox::room::Password;
use stox::{account, chat, leg, media, message, presence, room};
use xmpp::jid::Jid;

/// The gateway's own address.
pub const GATEWAY: ([u8; 4], u16) = ([192, 0, 2, 1], 5060);
/// The proxy of the SIP domains, from which their users speak and by which they are reached.
pub const PROXY: ([u8; 4], u16) = ([192, 0, 2, 10], 5060);

/// The media relay of this number, from 0.
pub fn relay(n: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 9 + n], 2223))
}

/// How the gateway and its surroundings are set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What the gateway is told.
    pub config: Config,
    /// What its SIP agent is told.
    pub sip: agent::Config,
    /// Where SIP from the actors comes from.
    pub source: SocketAddr,
    /// How it comes, and how the gateway sends.
    pub transport: Transport,
    /// Whether records can be saved.
    pub store: bool,
}

impl Default for Settings {
    /// The domains of the RFCs: users of example.com and xmpp.example speak XMPP, those of example.net and sip.example SIP.
    fn default() -> Settings {
        let sip_domains = || vec![Str::from("example.net"), Str::from("sip.example")];
        let config = Config {
            xmpp_domains: vec!["example.com".into(), "xmpp.example".into()],
            any_xmpp_domain: false,
            links: sip_domains()
                .into_iter()
                .map(|domain| Link { kind: LinkKind::Component, domain, allow_from: Vec::new(), chat: Mode::Message })
                .collect(),
            peers: vec![Peer::at(Network { address: IpAddr::from([192, 0, 2, 0]), prefix: 24 }, sip_domains())],
            proxy: Some(Proxy { target: Target::new(Transport::Udp, PROXY.into()), route: None }),
            phone_domain: None,
            numbers: Default::default(),
            message: message::Options::default(),
            chat: chat::Options::default(),
            room: room::Options::default(),
            msrp: Some(leg::Options {
                advertise: vec![Advertised { secure: false, host: msrp::Host::Ip(GATEWAY.0.into()), port: 2855 }],
                fingerprint: None,
                max_size: 65_536,
                relay: None,
            }),
            media: None,
            relay: ng::Config::default(),
            registrar: None,
            presence: presence::Options::default(),
            accounts: None,
            subscriptions: subscription::Config::default(),
            trunks: Vec::new(),
            allow_networks: vec![Network { address: IpAddr::from([192, 0, 2, 0]), prefix: 24 }],
            own: Default::default(),
            contact_is_domain: false,
            limits: Limits::default(),
            epoch: 1_000_000_000,
            version: "rehearsal".into(),
        };
        let host = Host::V4(GATEWAY.0.into());
        let sent_by = [Transport::Udp, Transport::Tcp].map(|t| (t, host.clone(), Some(GATEWAY.1)));
        let sip = agent::Config {
            sent_by: sent_by.into(),
            schemes: vec!["im".into(), "tel".into()],
            ..agent::Config::default()
        };
        Settings { config, sip, source: PROXY.into(), transport: Transport::Udp, store: true }
    }
}

impl Settings {
    /// Changes one setting.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let number = || value.parse::<usize>().map_err(|_| format!("{key} takes a number"));
        let small = || value.parse::<u32>().map_err(|_| format!("{key} takes a number"));
        let flag = || value.parse::<bool>().map_err(|_| format!("{key} is true or false"));
        let list = || value.split_whitespace().map(Str::from).collect::<Vec<_>>();
        let config = &mut self.config;
        match key {
            "rich" => config.message.rich = flag()?,
            "receipts" => config.message.receipts = flag()?,
            "max_request" => config.message.max_request = number()?,
            "remember" => config.message.remember = number()?,
            "held" => config.limits.held = number()?,
            "held_for" => config.limits.held_for = Duration::from_secs(number()? as u64),
            "queue_per_pair" => config.limits.queue_per_pair = number()?,
            "queued" => config.limits.queued = number()?,
            "queued_bytes" => config.limits.queued_bytes = number()?,
            "parked_bytes" => config.limits.parked_bytes = number()?,
            "rate" => config.limits.rate = small()?,
            "burst" => config.limits.burst = small()?,
            "retry_after" => config.limits.retry_after = small()?,
            // Nobody is asked whether he still knows of a call, unless a scene is about that.
            // From end to end, as long as there are no relays.
            "calls" => {
                let relay = media::relay::Options { mode: media::relay::Mode::Never, ..Default::default() };
                let options = media::Options { check: Duration::ZERO, relay, ..Default::default() };
                config.media = flag()?.then_some(options);
            }
            "most_calls" => {
                let most = number()?;
                config.media.iter_mut().for_each(|media| media.calls = most);
            }
            "check" => {
                let check = Duration::from_secs(number()? as u64);
                config.media.iter_mut().for_each(|media| media.check = check);
            }
            // For all SIP domains, or for the one that follows.
            "chat" => {
                let (mode, domain) = value.split_once(' ').unwrap_or((value, ""));
                let mode = match mode {
                    "session" => Mode::Session,
                    "message" => Mode::Message,
                    "auto" => Mode::Auto,
                    _ => return Err("chat is session, message or auto".to_owned()),
                };
                let links = config.links.iter_mut().filter(|link| domain.is_empty() || link.domain == domain);
                links.for_each(|link| link.chat = mode);
            }
            // Before anything happens: each domain has a stream of its own.
            "sip_rooms" => {
                for domain in list() {
                    config.links.push(Link {
                        kind: LinkKind::Component,
                        domain: domain.clone(),
                        allow_from: Vec::new(),
                        chat: Mode::Auto,
                    });
                    config.peers.iter_mut().for_each(|peer| peer.domains.push(domain.clone()));
                    config.room.sip_domains.push(domain);
                }
            }
            "muc_domains" => {
                config.xmpp_domains.extend(list());
                config.room.muc_domains.extend(list());
            }
            "room_history" => config.room.history = small()?,
            "room_create" => config.room.create = flag()?,
            "room_backlog" => config.room.backlog = number()?,
            "room_roster" => config.room.roster = number()?,
            "room_join" => config.room.join = Duration::from_secs(number()? as u64),
            "seats_per_pair" => config.room.seats_per_pair = number()?,
            // `ROOM PASSWORD`
            "room_password" => {
                let (room, password) = value.split_once(' ').ok_or("room_password takes a room and a password")?;
                let room = Jid::parse(room).map_err(|_| format!("{room} is no address"))?;
                config.room.passwords.insert(room, Password(password.into()));
            }
            "chat_idle" => config.chat.idle = Duration::from_secs(number()? as u64),
            "chat_ring" => config.chat.ring = Duration::from_secs(number()? as u64),
            "chat_remember" => config.chat.remember = Duration::from_secs(number()? as u64),
            "failure_reports" => config.chat.failure_reports = flag()?,
            "sessions_per_pair" => config.chat.sessions_per_pair = number()?,
            "sessions" => config.chat.sessions = number()?,
            "chat_receipts" => config.chat.receipts = flag()?,
            "chat_states" => config.chat.chat_states = flag()?,
            "msrp_tls" => {
                let (secure, port) = if flag()? { (true, 2856) } else { (false, 2855) };
                let digest = vec![0x11; 32].into();
                if let Some(msrp) = &mut config.msrp {
                    msrp.advertise.iter_mut().for_each(|at| (at.secure, at.port) = (secure, port));
                    msrp.fingerprint = Some(msrp::Fingerprint { algorithm: "sha-256".into(), digest });
                }
            }
            "max_size" => {
                let max_size = number()?;
                config.msrp.iter_mut().for_each(|msrp| msrp.max_size = max_size);
            }
            // So many media relays, the first one the best.
            "relays" => {
                config.relay.servers = (0..number()?).filter_map(|n| u8::try_from(n).ok()).map(relay).collect();
                config.media.iter_mut().for_each(|media| media.relay.mode = media::relay::Mode::Auto);
            }
            "relay_mode" => {
                let mode = match value {
                    "auto" => media::relay::Mode::Auto,
                    "never" => media::relay::Mode::Never,
                    "always" => media::relay::Mode::Always,
                    _ => return Err("relay_mode is auto, never or always".to_owned()),
                };
                config.media.iter_mut().for_each(|media| media.relay.mode = mode);
            }
            "plain" => config.media.iter_mut().for_each(|media| media.relay.plain = list()),
            "store" => self.store = flag()?,
            // Users of example.com may link accounts.
            "accounts" => {
                let domains = vec![Str::const_new("example.com")];
                config.accounts = flag()?.then(|| account::Options { domains, ..account::Options::default() });
            }
            // Of registrars that do not ask for the password.
            "unproved_accounts" => {
                let unproved = flag()?;
                config.accounts.iter_mut().for_each(|accounts| accounts.unproved = unproved);
            }
            "attempts" => {
                let attempts = small()?;
                config.accounts.iter_mut().for_each(|accounts| accounts.attempts = attempts);
            }
            "most_accounts" => {
                let most = number()?;
                config.accounts.iter_mut().for_each(|accounts| accounts.accounts = most);
            }
            "registrar" => config.accounts.iter_mut().for_each(|accounts| accounts.registrar = value.into()),
            "presence" => config.presence.enabled = flag()?,
            "publish" => config.presence.publish = flag()?,
            "presence_rich" => config.presence.rich = flag()?,
            "refresh" => config.presence.refresh = small()?,
            "dialogs_per_pair" => config.presence.dialogs_per_pair = number()?,
            "watchers_per_contact" => config.presence.watchers_per_contact = number()?,
            "authorizations_per_user" => config.presence.authorizations_per_user = number()?,
            "min_expires" => config.subscriptions.min_expires = small()?,
            "subscriptions" => config.subscriptions.max_usages = number()?,
            "subscriptions_per_source" => config.subscriptions.max_per_source = number()?,
            "contact" => config.contact_is_domain = value == "domain",
            "phone_domain" => config.phone_domain = Some(value.into()),
            // `PREFIX STRIP PREPEND TRUNK CALLER`, a dash for what is empty; of example.net.
            "number" => config.numbers.rules.push(number_rule(value).ok_or("number takes five words")?),
            "anonymous" => config.numbers.anonymous = flag()?,
            "trusted" => {
                let trusted = flag()?;
                config.peers.iter_mut().for_each(|peer| peer.trusted = trusted);
            }
            // Before anything happens: the gateway is the XMPP server of all SIP domains itself.
            "federated" => {
                let kind = if flag()? { LinkKind::Federation } else { LinkKind::Component };
                config.links.iter_mut().for_each(|link| link.kind = kind);
            }
            "any_xmpp_domain" => config.any_xmpp_domain = flag()?,
            "xmpp_domains" => config.xmpp_domains = list(),
            "allow_from" => config.links.iter_mut().for_each(|l| l.allow_from = list()),
            "proxy" if value == "none" => config.proxy = None,
            "route" => {
                if let Some(proxy) = &mut config.proxy {
                    proxy.route = Some(value.into());
                }
            }
            "max_client" => self.sip.max_client = number()?,
            "max_server" => self.sip.max_server = number()?,
            "source" => self.source = value.parse().map_err(|_| "source takes an address and a port")?,
            "transport" => {
                self.transport = match value {
                    "udp" => Transport::Udp,
                    "tcp" => Transport::Tcp,
                    _ => return Err("transport is udp or tcp".to_owned()),
                };
                if let Some(proxy) = &mut config.proxy {
                    proxy.target.transport = self.transport;
                }
            }
            _ => return Err(format!("there is no setting {key}")),
        }
        Ok(())
    }

    /// A gateway set up so. Its tokens follow from `seed`.
    pub fn gateway(&self, seed: u64) -> Gateway {
        Gateway::new(Arc::new(self.config.clone()), self.sip.clone(), Tokens::seeded(seed))
    }

    /// The way that SIP from the actors comes.
    pub fn flow(&self) -> Flow {
        let connection = (self.transport != Transport::Udp).then_some(1);
        Flow { transport: self.transport, local: GATEWAY.into(), remote: self.source, connection }
    }
}

fn number_rule(text: &str) -> Option<stox::numbers::Rule> {
    let words: Vec<&str> = text.split_whitespace().map(|word| if word == "-" { "" } else { word }).collect();
    let [prefix, strip, prepend, trunk, caller] = words.as_slice() else { return None };
    let some = |word: &str| Some(Str::from(word)).filter(|word| !word.is_empty());
    Some(stox::numbers::Rule {
        domain: Str::const_new("example.net"),
        prefix: Str::from(*prefix),
        strip: strip.parse().ok()?,
        prepend: Str::from(*prepend),
        trunk: some(trunk),
        caller: some(caller),
    })
}
