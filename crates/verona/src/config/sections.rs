//! The sections of the file, each read by one function. A mistake does not end the reading.

use super::Network;
use super::federation;
use super::mistake::Wrong;
use super::numbers;
use super::read::{Item, Reader};
use super::registrar;
use super::rooms::{self, Around};
use super::secret::{Secret, SecretKeys};
use super::trunk;
use super::value::{self, ContactHost, Domains, HostPort, Listen, ProxyUri, Store, Transport};
use super::{Acme, abuse, accounts, acme};
use super::{
    Admin, Component, Config, Limits, Log, LogFormat, Message, Peer, Peers, PresenceConfig, Security, Sip, SipTimes,
    StoreConfig, Xmpp, XmppTimes, check,
};
use super::{Mode, dns, media, msrp};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// A component before the defaults that come from other sections.
pub(super) struct RawComponent {
    pub(super) key: String,
    pub(super) domain: Option<String>,
    server: Option<HostPort>,
    secret: Option<Secret>,
    pub(super) allow_from: Option<Vec<Item<Option<String>>>>,
    chat: Option<Mode>,
}

/// A peer before `"*"` is known.
pub(super) struct RawPeer {
    source: Option<Network>,
    certificate: Option<String>,
    pub(super) domains: Vec<Item<Option<String>>>,
    trusted: bool,
}

/// The file of the embedded database where none is named, beside the configuration.
const STORE: &str = "verona.redb";

/// Reads everything. Relative paths start at `folder`. `None`: something without which there is no configuration is missing; the reader knows what.
pub(super) fn read(r: &mut Reader<'_>, folder: &Path, world_readable: bool) -> Option<Config> {
    let times = XmppTimes::read(r);
    if times.reconnect_min > times.reconnect_max {
        r.wrong("xmpp.reconnect_min", Wrong::new("longer than xmpp.reconnect_max", ""));
    }
    let federation = federation::federation(r);
    let components = components(r, folder, world_readable, federation.is_some());
    let sip_times = SipTimes::read(r);
    let domains = r.texts("sip.domains", value::domain_or_any);
    if domains.as_ref().is_none_or(Vec::is_empty) && !r.is_wrong("sip.domains") {
        r.missing("sip.domains", "the XMPP domains that SIP users reach here: [\"example.com\"]");
    }
    let (domains, any_domain) = xmpp_domains(r, domains.unwrap_or_default(), federation.is_some());
    let listen = listen(r);
    let origins = origins(r, &listen);
    let outbound_proxy = r.text("sip.outbound_proxy", value::proxy);
    let trunks = {
        let xmpp_domains: Vec<&str> = domains.iter().map(|item| item.value.as_str()).collect();
        trunk::trunks(r, &listen, &xmpp_domains, folder, world_readable)
    };
    if !r.has("sip.outbound_proxy") && trunks.is_empty() && !r.has("sip.registrar.domains") {
        r.warn("sip.outbound_proxy", "missing: requests to SIP go where the name servers say (RFC 3263)");
    }
    let phone_domain = r.text("sip.phone_domain", value::domain);
    let contact = r.text("sip.contact", value::contact).unwrap_or(ContactHost::Address);
    let publish = r.flag("sip.publish").unwrap_or(false);
    let raw_peers = peers(r);
    let anonymous = r.flag("sip.anonymous").unwrap_or(false);
    let federated = federation.as_ref().map_or(&[][..], |federation| &federation.domains);
    let sip_domains = || {
        let own = components.iter().filter_map(|c| c.domain.as_deref());
        own.chain(federated.iter().map(|item| item.value.as_str())).collect::<Vec<_>>()
    };
    let registrar = registrar::registrar(r, &sip_domains());
    let xmpp_domains = || domains.iter().map(|item| item.value.as_str()).collect::<Vec<_>>();
    let around = numbers::Around {
        xmpp_domains: xmpp_domains(),
        sip_domains: sip_domains(),
        phone_domain: phone_domain.as_deref(),
    };
    let numbers = numbers::numbers(r, &around);
    let own = check::Own {
        components: &components,
        federated,
        xmpp_domains: &domains,
        phone_domain: phone_domain.as_deref(),
        trunks: numbers
            .iter()
            .filter_map(|rule| rule.trunk.as_deref())
            .chain(trunks.iter().flat_map(|trunk| &trunk.domains).map(String::as_str))
            .collect(),
    };
    check::domains(r, &own, raw_peers.as_deref());

    let message = Message::read(r);
    let tls = msrp::tls(r, folder);
    let dns = dns::dns(r);
    let msrp = msrp::msrp(r, folder, world_readable);
    let chat = msrp::chat(r, !msrp.listen.is_empty());
    for RawComponent { key, chat, .. } in &components {
        if let Some(mode) = chat {
            msrp::check_mode(r, &format!("{key}.chat"), *mode, !msrp.listen.is_empty());
        }
    }
    if let Some(mode) = federation.as_ref().and_then(|federation| federation.chat) {
        msrp::check_mode(r, "xmpp.federation.chat", mode, !msrp.listen.is_empty());
    }
    let around = Around {
        xmpp_domains: xmpp_domains(),
        any_domain,
        sip_domains: sip_domains(),
        has_msrp: !msrp.listen.is_empty(),
    };
    let media = media::media(r, &around.sip_domains);
    let rooms = rooms::rooms(r, &around, folder, world_readable);
    let accounts = accounts::accounts(r, &around.xmpp_domains, folder);
    if accounts.settings.enabled && outbound_proxy.is_none() {
        check::account_transport(r, &accounts.registrar, &trunks, &listen);
    }
    let presence = PresenceConfig::read(r);
    if presence.min_expires > presence.max_expires {
        r.wrong("presence.min_expires", Wrong::new("longer than presence.max_expires", ""));
    }
    r.table("security");
    let allow_networks = values(r.texts("security.allow_networks", value::network).unwrap_or_default());
    r.table("store");
    let url = r.text("store.url", |text| value::store(text, folder));
    let url = url.unwrap_or_else(|| Store::Redb(folder.join(STORE)));
    r.table("admin");
    let admin = r.text("admin.listen", value::socket);
    if admin.is_some_and(|a| !a.ip().is_loopback()) {
        r.warn("admin.listen", "not a loopback address: whoever reaches it may read /metrics");
    }
    let log = log(r);
    let limits = Limits::read(r);
    let abuse = abuse::abuse(r);
    let acme = acme::acme(r, folder);
    let mut tls = tls;
    tls.certificates.extend(acme.as_ref().map(Acme::files));

    let own: Vec<String> = sip_domains().into_iter().map(str::to_owned).collect();
    let federation = federation.map(|federation| federation.finish(chat.mode));
    let domains = values(domains);
    let peers = finish_peers(raw_peers, &own, outbound_proxy.as_ref());
    let components = components
        .into_iter()
        .map(|c| {
            let allow_from = match c.allow_from.map(values) {
                None if any_domain => Domains::Any,
                None => Domains::These(domains.clone()),
                Some(listed) if listed.iter().any(Option::is_none) => Domains::Any,
                Some(listed) => Domains::These(listed.into_iter().flatten().collect()),
            };
            let mode = c.chat.unwrap_or(chat.mode);
            Some(Component { domain: c.domain?, server: c.server?, secret: c.secret?, allow_from, chat: mode })
        })
        .collect::<Option<Vec<_>>>()?;
    Some(Config {
        xmpp: Xmpp { components, times, federation, accounts },
        sip: Sip {
            domains,
            any_domain,
            listen,
            origins,
            outbound_proxy,
            trunks,
            peers,
            phone_domain,
            anonymous,
            contact,
            publish,
            registrar,
            times: sip_times,
        },
        numbers,
        message,
        chat,
        msrp,
        tls,
        dns,
        rooms,
        media,
        presence,
        security: Security { allow_networks },
        store: StoreConfig { url },
        admin: Admin { listen: admin },
        log,
        limits,
        abuse,
        acme,
    })
}

fn values<T>(items: Vec<Item<T>>) -> Vec<T> {
    items.into_iter().map(|item| item.value).collect()
}

/// The XMPP domains that are named, and whether all others are reached as well.
fn xmpp_domains(r: &mut Reader<'_>, items: Vec<Item<Option<String>>>, federated: bool) -> (Vec<Item<String>>, bool) {
    let any = items.iter().find(|item| item.value.is_none());
    if let Some(Item { key, .. }) = any.filter(|_| !federated) {
        let allowed = "XMPP domains, or [xmpp.federation] beside it";
        r.wrong(key, Wrong::new("only federated domains reach every XMPP domain", allowed));
    }
    let any = any.is_some();
    let named = items.into_iter().filter_map(|Item { key, value }| Some(Item { key, value: value? }));
    (named.collect(), any)
}

fn components(r: &mut Reader<'_>, folder: &Path, world_readable: bool, federated: bool) -> Vec<RawComponent> {
    let keys = r.tables("xmpp.component");
    if keys.is_empty() && !federated && !r.is_wrong("xmpp.component") {
        r.missing("xmpp.component", "at least one [[xmpp.component]] with domain, server and secret");
    }
    keys.into_iter()
        .map(|key| {
            let domain = need(r, &format!("{key}.domain"), "the SIP domain that the gateway stands for", value::domain);
            let at = format!("{key}.server");
            let server = need(r, &at, "the XMPP server's component port: \"127.0.0.1:5347\"", value::host_port);
            if server.as_ref().is_some_and(|s| !is_loopback(s)) {
                r.warn(
                    &at,
                    "not a loopback address: the component stream is not encrypted, so the way there must be safe",
                );
            }
            let what = SecretKeys {
                table: &key,
                inline: "secret",
                file: "secret_file",
                empty: "the secret that the XMPP server has for this component",
            };
            let secret = what.read(r, folder, world_readable);
            let allow_from = r.texts(&format!("{key}.allow_from"), value::domain_or_any);
            let chat = r.text(&format!("{key}.chat"), msrp::mode);
            RawComponent { key, domain, server, secret, allow_from, chat }
        })
        .collect()
}

fn is_loopback(server: &HostPort) -> bool {
    match &server.host {
        value::Host::Address(a) => a.to_canonical().is_loopback(),
        value::Host::Name(name) => name == "localhost",
    }
}

/// A text that must be there.
fn need<T>(r: &mut Reader<'_>, key: &str, allowed: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
    if !r.has(key) {
        r.expect_key(key);
        r.missing(key, allowed);
        return None;
    }
    r.text(key, parse)
}

fn listen(r: &mut Reader<'_>) -> Vec<Listen> {
    const ALLOWED: &str = "at least one socket: [\"udp:127.0.0.1:5060\", \"tls:127.0.0.1:5061\"]";
    let names = r.texts("sip.advertise", value::advertise).unwrap_or_default();
    for (i, name) in names.iter().enumerate() {
        if names[..i].iter().any(|earlier| earlier.value.0 == name.value.0) {
            r.wrong(&name.key, Wrong::new("a second one for this transport", "one for each transport"));
        }
    }
    let sockets = r.texts("sip.listen", value::listen);
    if sockets.as_ref().is_none_or(Vec::is_empty) && !r.is_wrong("sip.listen") {
        r.missing("sip.listen", ALLOWED);
    }
    let sockets = sockets.unwrap_or_default();
    let mut listen = vec![];
    for (i, Item { key, value: (transport, address) }) in sockets.iter().enumerate() {
        let name = names.iter().find(|n| n.value.0 == *transport).map(|n| n.value.1.clone());
        if sockets[..i].iter().any(|earlier| earlier.value == (*transport, *address)) && address.port() != 0 {
            r.wrong(key, Wrong::new("the same socket twice", ""));
        }
        if name.is_none() && address.ip().is_unspecified() {
            let allowed = format!("sip.advertise = [\"{}:HOST:PORT\"] beside it", transport.in_uri());
            r.wrong(key, Wrong::new("an address that cannot be written into Via: nobody could answer to it", allowed));
        }
        if address.port() == 0 {
            r.warn(key, "the system chooses the port: fit for tests only");
        }
        listen.push(Listen { transport: *transport, address: *address, advertise: name.unwrap_or((*address).into()) });
    }
    for name in names.iter().filter(|n| !listen.iter().any(|l| l.transport == n.value.0)) {
        r.warn(&name.key, "there is no socket of this transport");
    }
    check::proxy_transport(r, &listen);
    check::certificates(r, &listen);
    listen
}

/// The web pages that may connect.
fn origins(r: &mut Reader<'_>, listen: &[Listen]) -> Domains {
    let written = r.texts("sip.origins", value::origin);
    let has_web = listen.iter().any(|listen| matches!(listen.transport, Transport::Ws | Transport::Wss));
    if written.is_some() && !has_web {
        r.warn("sip.origins", "there is no ws or wss socket");
    }
    let written = values(written.unwrap_or_default());
    match written.iter().any(Option::is_none) {
        true => Domains::Any,
        false => Domains::These(written.into_iter().flatten().collect()),
    }
}

fn peers(r: &mut Reader<'_>) -> Option<Vec<RawPeer>> {
    if !r.has("sip.peer") {
        r.expect_key("sip.peer");
        return None;
    }
    let keys = r.tables("sip.peer");
    let read = keys.into_iter().map(|key| {
        let source = r.text(&format!("{key}.source"), value::network);
        let certificate = r.text(&format!("{key}.certificate"), value::domain);
        if !r.has(&format!("{key}.source")) && !r.has(&format!("{key}.certificate")) {
            let allowed =
                "a network such as \"192.0.2.0/24\", or certificate = \"example.org\" for who proves by TLS to be that";
            r.missing(&format!("{key}.source"), allowed);
        }
        let at = format!("{key}.domains");
        let domains = r.texts(&at, value::domain_or_any);
        if domains.as_ref().is_none_or(Vec::is_empty) && !r.is_wrong(&at) {
            r.missing(&at, "the SIP domains that it may send for, or [\"*\"] for those of all components");
        }
        let trusted = r.flag(&format!("{key}.trusted")).unwrap_or(false);
        RawPeer { source, certificate, domains: domains.unwrap_or_default(), trusted }
    });
    Some(read.collect())
}

fn finish_peers(raw: Option<Vec<RawPeer>>, own: &[String], proxy: Option<&ProxyUri>) -> Peers {
    let Some(raw) = raw else {
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let mut sources =
            vec![Network { address: Ipv4Addr::new(127, 0, 0, 0).into(), prefix: 8 }, Network::of(loopback[1])];
        let mut proxy_by_name = false;
        match proxy.map(|p| &p.host) {
            Some(value::Host::Address(a)) if !a.to_canonical().is_loopback() => sources.push(Network::of(*a)),
            Some(value::Host::Name(_)) => proxy_by_name = true,
            _ => {}
        }
        let peer = |source| Peer { source: Some(source), certificate: None, domains: own.to_vec(), trusted: false };
        return Peers { entries: sources.into_iter().map(peer).collect(), proxy_by_name };
    };
    let entries = raw.into_iter().filter_map(|peer| {
        let listed = values(peer.domains);
        let domains = match listed.iter().any(Option::is_none) {
            true => own.to_vec(),
            false => listed.into_iter().flatten().collect(),
        };
        let named = peer.source.is_some() || peer.certificate.is_some();
        let RawPeer { source, certificate, trusted, .. } = peer;
        named.then_some(Peer { source, certificate, domains, trusted })
    });
    Peers { entries: entries.collect(), proxy_by_name: false }
}

fn log(r: &mut Reader<'_>) -> Log {
    r.table("log");
    let level = r.text("log.level", |text| match crate::log::levels(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(problem) => {
            Err(Wrong::new(problem, "off, error, warn, info, debug or trace; by module: \"info,verona::io=debug\""))
        }
    });
    let format = r.text("log.format", |text| match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(Wrong::new("not a format", "\"text\" or \"json\"")),
    });
    Log { level: level.unwrap_or_else(|| "info".to_owned()), format: format.unwrap_or(LogFormat::Text) }
}

/// The name of the transports that are listened on.
pub(super) fn has_transport(listen: &[Listen], transport: Transport) -> bool {
    listen.iter().any(|l| l.transport == transport)
}
