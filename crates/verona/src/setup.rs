//! From the operator's configuration to what the protocol crates are told.

use crate::config::{self, Component, Config, ContactHost, Host, HostPort, Listen, MsrpListen, ProxyUri, Transport};
use crate::io::dns::Dns;
use crate::io::sip::Origins;
use base::dns::Failure;
use base::{Str, Tokens};
use msrp::Fingerprint;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use stox::config as gateway;
use stox::network::Network;
use tokio::time::timeout;

/// What the gateway says of itself.
pub(crate) const VERSION: &str = concat!("Verona/", env!("CARGO_PKG_VERSION"));

/// How long a name may take to become an address. Signals wait as long.
const LOOKUP: Duration = Duration::from_secs(5);

/// A token source with a seed from the operating system.
///
/// # Errors
/// The operating system has no random numbers: nothing that must not be guessed can be made then.
pub(crate) fn tokens() -> io::Result<Tokens> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    Ok(Tokens::new(seed))
}

/// What the gateway is told, but for what sessions travel over: see [`carriage`]. `shards` share the bounds; `epoch` is the date of the
/// clock's start, in seconds since 1970.
///
/// # Errors
/// The outbound proxy's name, or a media relay's, has no address now.
pub(crate) async fn gateway_config(
    config: &Config,
    dns: &Dns,
    shards: usize,
    epoch: u64,
) -> io::Result<gateway::Config> {
    let proxy = match &config.sip.outbound_proxy {
        Some(proxy) => Some(resolve(dns, proxy).await?),
        None => None,
    };
    let relays = relays(config, dns).await?;
    let domains: Vec<Str> = config.sip_domains().map(Str::from).collect();
    let mut peers: Vec<gateway::Peer> = config
        .sip
        .peers
        .entries
        .iter()
        .map(|p| gateway::Peer {
            source: p.source,
            certificate: p.certificate.as_deref().map(Str::from),
            domains: p.domains.iter().map(Str::from).collect(),
            trusted: p.trusted,
        })
        .collect();
    if let (true, Some(proxy)) = (config.sip.peers.proxy_by_name, &proxy) {
        peers.push(gateway::Peer::at(Network::of(proxy.target.remote.ip()), domains));
    }
    let mut random = tokens()?;
    let seal = base::HashKey::new(random.u64(), random.u64());
    let limits = &config.limits;
    let share = |n: usize| n.div_ceil(shards).max(1);
    Ok(gateway::Config {
        xmpp_domains: config.sip.domains.iter().map(Str::from).collect(),
        any_xmpp_domain: config.sip.any_domain,
        links: links(config),
        peers,
        trunks: config.sip.trunks.iter().filter_map(|trunk| trunk_of(config, trunk)).collect(),
        proxy,
        phone_domain: config.sip.phone_domain.as_deref().map(Str::from),
        numbers: numbers(config),
        message: stox::message::Options {
            rich: config.message.rich,
            receipts: config.message.receipts,
            chat_states: config.message.chat_states,
            ..stox::message::Options::default()
        },
        room: room_options(config, shards),
        chat: stox::chat::Options {
            idle: config.chat.settings.idle,
            ring: config.chat.settings.ring,
            remember: config.chat.settings.remember,
            failure_reports: config.chat.settings.failure_reports,
            receipts: config.chat.settings.receipts,
            chat_states: config.chat.settings.chat_states,
            sessions_per_pair: config.chat.settings.sessions_per_pair,
            sessions: share(limits.sessions),
        },
        msrp: None,
        media: media_options(config, shards, seal),
        relay: ng::Config { servers: relays, silence: config.media.settings.relay_silence, ..ng::Config::default() },
        registrar: registrar_options(config),
        presence: presence_options(config, shards),
        accounts: account_options(config),
        subscriptions: sip::subscription::Config {
            min_expires: whole_seconds(config.presence.min_expires),
            max_expires: whole_seconds(config.presence.max_expires),
            default_expires: whole_seconds(config.presence.max_expires).min(3600),
            max_usages: share(limits.subscriptions),
            max_per_source: share(limits.subscriptions_per_source),
            notify_interval: config.presence.notify_interval,
            retry_after: retry_after(limits.retry_after),
            ..sip::subscription::Config::default()
        },
        allow_networks: config.security.allow_networks.clone(),
        own: gateway::Own::default(),
        contact_is_domain: config.sip.contact == ContactHost::Domain,
        limits: gateway::Limits {
            held: share(limits.held),
            held_for: limits.held_for,
            queue_per_pair: limits.queue_per_pair,
            queued: share(limits.queued),
            queued_bytes: share(gateway::Limits::default().queued_bytes),
            parked_bytes: share(limits.write_bytes),
            rate: u32::try_from(limits.rate_per_sender).unwrap_or(u32::MAX),
            burst: u32::try_from(limits.burst_per_sender).unwrap_or(u32::MAX),
            domain_rate: u32::try_from(limits.rate_per_domain).unwrap_or(u32::MAX),
            domain_burst: u32::try_from(limits.burst_per_domain).unwrap_or(u32::MAX),
            retry_after: retry_after(limits.retry_after),
        },
        epoch,
        version: Str::const_new(VERSION),
    })
}

/// The ways to XMPP: the component streams, and behind them the federated domains.
fn links(config: &Config) -> Vec<gateway::Link> {
    let component = |c: &Component| gateway::Link {
        kind: gateway::LinkKind::Component,
        domain: Str::from(&c.domain),
        allow_from: c.allow_from.list().iter().map(Str::from).collect(),
        chat: c.chat,
    };
    let federated = |federation: &config::Federation, domain: &String| gateway::Link {
        kind: gateway::LinkKind::Federation,
        domain: Str::from(domain),
        // Who is let in at all is known to those who keep the streams.
        allow_from: Vec::new(),
        chat: federation.chat,
    };
    let components = config.xmpp.components.iter().map(component);
    let federation = config.xmpp.federation.iter();
    components.chain(federation.flat_map(|f| f.domains.iter().map(move |domain| federated(f, domain)))).collect()
}

/// A trunk. `None`: its server is no place, which its check has refused.
fn trunk_of(config: &Config, trunk: &config::Trunk) -> Option<stox::trunk::Trunk> {
    let lr = trunk.server.params.has("lr");
    let texts = |texts: &[String]| texts.iter().map(Str::from).collect();
    // The same after each start, and another one for each gateway and trunk (RFC 5626 §4.1).
    let domains = config.sip.domains.join(",");
    let print = sip::digest::Algorithm::Md5.hash(&[domains.as_bytes(), trunk.name.as_bytes()]);
    let part = |from: usize, to: usize| print.as_str().get(from..to).unwrap_or_default();
    let instance = base::format_compact!(
        "urn:uuid:{}-{}-8{}-8{}-{}",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    );
    let registrar = trunk.registrar.as_ref().and_then(|domain| {
        Some(stox::trunk::Register {
            registrar: sip::Uri::parse(&format!("sip:{domain}")).ok()?,
            expires: whole_seconds(trunk.expires),
            retry: trunk.retry,
            instance: trunk.outbound.then_some(instance),
        })
    });
    Some(stox::trunk::Trunk {
        name: Str::from(&trunk.name),
        domains: texts(&trunk.domains),
        numbers: texts(&trunk.numbers),
        place: sip::agent::Place::of(&trunk.server)?,
        route: lr.then(|| base::format_compact!("<{}>", trunk.server)),
        account: trunk.login.as_ref().map(|(username, password)| sip::digest::Account {
            realm: trunk.realm.as_deref().map(Str::from),
            weakest: match trunk.md5 {
                true => sip::digest::Algorithm::Md5,
                false => sip::digest::Algorithm::Sha512Part256,
            },
            ..sip::digest::Account::new(username, password.reveal())
        }),
        address: trunk.address.clone(),
        speaks: trunk.speaks,
        user: trunk.user.clone(),
        register: registrar,
        sources: trunk.sources.clone(),
    })
}

/// How telephone numbers are written, and whose word for callers counts.
fn numbers(config: &Config) -> stox::numbers::Numbers {
    let rule = |rule: &config::NumberRule| stox::numbers::Rule {
        domain: Str::from(&rule.domain),
        prefix: Str::from(&rule.prefix),
        strip: rule.strip,
        prepend: Str::from(&rule.prepend),
        trunk: rule.trunk.as_deref().map(Str::from),
        caller: rule.caller.as_deref().map(Str::from),
    };
    stox::numbers::Numbers { rules: config.numbers.iter().map(rule).collect(), anonymous: config.sip.anonymous }
}

/// What the gateway is told of what sessions travel over. `listens` are the sockets as they are bound; none: there are no sessions.
/// `fingerprint` is that of our certificate.
pub(crate) fn carriage(
    config: &Config,
    listens: &[MsrpListen],
    fingerprint: &Fingerprint,
) -> Option<stox::leg::Options> {
    let advertise: Vec<msrp::Advertised> = listens
        .iter()
        .map(|listen| msrp::Advertised {
            secure: listen.secure,
            host: msrp_host(&listen.advertise.host),
            port: listen.advertise.port,
        })
        .collect();
    (!advertise.is_empty()).then(|| stox::leg::Options {
        advertise,
        fingerprint: Some(fingerprint.clone()),
        max_size: config.msrp.settings.max_size,
        relay: config.msrp.relay.as_ref().and_then(relay),
    })
}

/// A host as certificates have it: addresses without brackets.
pub(crate) fn bare(host: &Host) -> String {
    match host {
        Host::Address(ip) => ip.to_string(),
        Host::Name(name) => name.clone(),
    }
}

/// A host as MSRP has it.
pub(crate) fn msrp_host(host: &Host) -> msrp::Host {
    match host {
        Host::Address(ip) => msrp::Host::Ip(*ip),
        Host::Name(name) => msrp::Host::Name(Str::from(name)),
    }
}

/// The relay; somebody who is trusted has to vouch for its name. `None`: what the operator wrote cannot stand in a path.
fn relay(relay: &config::Relay) -> Option<msrp::Relay> {
    let HostPort { host, port } = &relay.server;
    let scheme = if relay.secure { "msrps" } else { "msrp" };
    Some(msrp::Relay {
        path: msrp::Path::parse(&format!("{scheme}://{};tcp", relay.server)).ok()?,
        hop: msrp::Hop {
            host: msrp_host(host),
            port: *port,
            tls: relay.secure.then(|| msrp::Tls { fingerprints: Vec::new(), name: Str::from(bare(host)) }),
        },
        username: Str::from(&relay.username),
        password: Str::from(relay.password.reveal()),
    })
}

fn retry_after(d: Duration) -> u32 {
    u32::try_from(d.as_secs()).unwrap_or(u32::MAX)
}

/// The proxy's address: its own if it is literal, else the first that its name has now.
async fn resolve(dns: &Dns, proxy: &ProxyUri) -> io::Result<gateway::Proxy> {
    let remote = address(dns, &proxy.host, proxy.port).await?;
    let mut target = sip::agent::Target::new(proxy.transport, remote);
    // RFC 5922 §7.2: whom the operator has named, and not where that leads.
    target.name = proxy.transport.secure().then(|| Str::from(bare(&proxy.host)));
    let route = proxy.lr.then(|| base::format_compact!("<{proxy}>"));
    Ok(gateway::Proxy { target, route })
}

/// An address: its own if it is literal, else the first that its name has now.
async fn address(dns: &Dns, host: &Host, port: u16) -> io::Result<SocketAddr> {
    let nothing = |why: String| io::Error::new(io::ErrorKind::NotFound, format!("the address of {host}: {why}"));
    match timeout(LOOKUP, dns.host(host, port)).await {
        Ok(Ok(found)) => found.first().copied().ok_or_else(|| nothing(Failure::NoRecords.to_string())),
        Ok(Err(failure)) => Err(nothing(failure.to_string())),
        Err(_) => Err(nothing(Failure::Timeout.to_string())),
    }
}

/// Where the media relays are; none where there are no calls.
async fn relays(config: &Config, dns: &Dns) -> io::Result<Vec<SocketAddr>> {
    let mut relays = Vec::new();
    if config.media.settings.enabled {
        for HostPort { host, port } in &config.media.relay {
            relays.push(address(dns, host, *port).await?);
        }
    }
    Ok(relays)
}

/// How calls are translated; None: there are none.
fn media_options(config: &Config, shards: usize, seal: base::HashKey) -> Option<stox::media::Options> {
    let config::Media { mode, plain, sdes, interfaces, settings, relay: _ } = &config.media;
    settings.enabled.then(|| stox::media::Options {
        seal: Some(seal),
        calls: config.limits.calls.div_ceil(shards).max(1),
        calls_per_pair: settings.calls_per_pair,
        calls_per_user: settings.calls_per_user,
        ring: settings.ring,
        gather_quiet: settings.gather_quiet,
        gather_most: settings.gather,
        check: settings.check,
        relay: stox::media::relay::Options {
            mode: *mode,
            plain: plain.iter().map(Str::from).collect(),
            sdes: sdes.iter().map(Str::from).collect(),
            interfaces: interfaces.as_ref().map(|(sip, xmpp)| (Str::from(sip), Str::from(xmpp))),
            remember: settings.remember,
            check: settings.relay_check,
            ..stox::media::relay::Options::default()
        },
        ..stox::media::Options::default()
    })
}

/// The times of SIP's transactions.
pub(crate) fn intervals(config: &Config) -> sip::transaction::Intervals {
    sip::transaction::Intervals { t1: config.sip.times.t1, ..Default::default() }
}

/// What the SIP agent of shard `shard` is told. `listens` are the sockets as they are bound.
pub(crate) fn agent_config(config: &Config, listens: &[Listen], shard: usize, shards: usize) -> sip::agent::Config {
    let share = |n: usize| n.div_ceil(shards).max(1);
    let limits = &config.limits;
    let mut sent_by: Vec<(Transport, sip::uri::Host, Option<u16>)> = Vec::new();
    for listen in listens {
        let transport = listen.transport;
        if sent_by.iter().all(|(t, ..)| *t != transport) {
            let HostPort { host, port } = &listen.advertise;
            if let Ok(host) = sip::uri::Host::parse(&host.to_string()) {
                sent_by.push((transport, host, Some(*port)));
            }
        }
    }
    sip::agent::Config {
        intervals: intervals(config),
        shard: u8::try_from(shard).unwrap_or(0),
        sent_by,
        schemes: ["im", "pres", "tel"].map(Str::const_new).to_vec(),
        retry_after: retry_after(limits.retry_after),
        max_client: share(limits.transactions),
        max_server: share(limits.transactions),
        max_remembered: share(limits.answers),
        ..Default::default()
    }
}

/// How rooms are translated.
fn room_options(config: &Config, shards: usize) -> stox::room::Options {
    let config::Rooms { muc_domains, sip_domains, passwords, settings } = &config.rooms;
    let password = |p: &config::RoomPassword| (p.room.clone(), stox::room::Password(p.password.reveal().into()));
    stox::room::Options {
        muc_domains: muc_domains.iter().map(Str::from).collect(),
        sip_domains: sip_domains.iter().map(Str::from).collect(),
        history: u32::try_from(settings.history).unwrap_or(u32::MAX),
        passwords: passwords.iter().map(password).collect(),
        create: settings.create,
        join: settings.join,
        roster: settings.roster,
        backlog: settings.backlog,
        seats: config.limits.seats.div_ceil(shards).max(1),
        seats_per_pair: settings.seats_per_pair,
    }
}

/// How XMPP users link SIP accounts; None: they do not. What is counted is not shared out: all shards know all accounts, and a user's attempts are one shard's.
fn account_options(config: &Config) -> Option<stox::account::Options> {
    let config::Accounts { domains, key_file: _, registrar, settings } = &config.xmpp.accounts;
    settings.enabled.then(|| stox::account::Options {
        domains: domains.iter().map(Str::from).collect(),
        registrar: Str::from(registrar),
        expires: whole_seconds(settings.expires),
        accounts: settings.accounts,
        attempts: u32::try_from(settings.attempts).unwrap_or(u32::MAX),
        unproved: settings.unproved,
        ..stox::account::Options::default()
    })
}

/// What the registrar has for one run of the gateway, whatever is configured anew meanwhile.
#[derive(Clone, Copy)]
pub(crate) struct PhoneKeys {
    secret: [u8; 32],
    run: u64,
}

impl std::fmt::Debug for PhoneKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PhoneKeys").finish_non_exhaustive()
    }
}

impl PhoneKeys {
    pub(crate) fn new(tokens: &mut Tokens) -> PhoneKeys {
        let mut secret = [0; 32];
        for part in secret.chunks_exact_mut(8) {
            part.copy_from_slice(&tokens.u64().to_be_bytes());
        }
        PhoneKeys { secret, run: tokens.u64() }
    }

    /// Puts them into what the gateway is told.
    pub(crate) fn put_into(self, config: &mut gateway::Config) {
        if let Some(registrar) = &mut config.registrar {
            (registrar.secret, registrar.run) = (self.secret, self.run);
        }
    }
}

/// What the registrar is told, if there is one. The daemon puts in what is for one run.
fn registrar_options(config: &Config) -> Option<stox::phones::Options> {
    let config::Registrar { domains, realm, algorithms, settings } = &config.sip.registrar;
    if domains.is_empty() {
        return None;
    }
    let domain = |domain: &String| Str::from(domain);
    Some(stox::phones::Options {
        domains: domains.iter().map(domain).collect(),
        realm: realm.as_ref().map(domain),
        algorithms: algorithms.clone(),
        nonce_lifetime: settings.nonce_lifetime,
        bounds: sip::registrar::Config {
            min_expires: whole_seconds(settings.min_expires),
            default_expires: whole_seconds(settings.expires),
            max_expires: whole_seconds(settings.max_expires),
            contacts: settings.contacts_per_account,
            // Each shard knows them all, and counts them all.
            bindings: settings.contacts,
            flow_timer: whole_seconds(settings.flow_timer),
            retry_after: retry_after(config.limits.retry_after),
            own_domains: config
                .sip
                .domains
                .iter()
                .chain(domains)
                .map(|domain| stox::phones::realm_of(domain))
                .collect(),
            ..sip::registrar::Config::default()
        },
        secret: [0; 32],
        run: 0,
    })
}

/// How presence is translated.
fn presence_options(config: &Config, shards: usize) -> stox::presence::Options {
    let share = |n: usize| n.div_ceil(shards).max(1);
    let (presence, limits) = (&config.presence, &config.limits);
    stox::presence::Options {
        enabled: presence.enabled,
        refresh: whole_seconds(presence.refresh),
        rich: presence.rich,
        publish: config.sip.publish,
        probe_wait: presence.probe_wait,
        keep: presence.keep,
        dialogs_per_pair: presence.dialogs_per_pair,
        watchers_per_contact: share(presence.watchers_per_contact),
        authorizations: share(limits.authorizations),
        // Not shared out: chance may bring most of a user's pairs to one shard.
        authorizations_per_user: limits.authorizations_per_user,
        ..stox::presence::Options::default()
    }
}

/// A time as SIP writes it.
fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

/// What a component stream is told.
pub(crate) fn component_config(config: &Config, component: &Component) -> xmpp::stream::component::Config {
    let times = &config.xmpp.times;
    let mut stream = xmpp::stream::component::Config::new(&component.domain, component.secret.reveal());
    stream.limits.stanza_bytes = config.limits.stanza_bytes;
    stream.ping_interval = times.ping_interval;
    stream.ping_timeout = times.ping_timeout;
    stream.handshake_timeout = times.handshake_timeout;
    stream.half_stanza_timeout = times.half_stanza;
    stream.barrier_timeout = times.barrier_timeout;
    stream.backoff_min = times.reconnect_min;
    stream.backoff_max = times.reconnect_max;
    stream
}

/// The web pages that may connect.
pub(crate) fn origins(config: &Config) -> Origins {
    match &config.sip.origins {
        config::Domains::Any => Origins { any: true, these: Vec::new() },
        config::Domains::These(these) => Origins { any: false, these: these.clone() },
    }
}

/// The bounds of a SIP message.
pub(crate) fn message_limits(config: &Config) -> sip::Limits {
    sip::Limits { message_bytes: config.limits.message_bytes, ..Default::default() }
}
