//! What a new configuration changes, and what of it a running gateway can take over.

use super::{AllMistakes, Config, Environment};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A configuration that was read anew, and how it differs from the one in force.
#[derive(Debug)]
pub struct ReloadPlan {
    /// The new configuration.
    pub config: Config,
    /// Changed keys that the running gateway takes over.
    pub live: Vec<String>,
    /// Changed keys that need a restart: sockets, streams, the store, and what is shared out at the start.
    pub restart: Vec<String>,
}

impl ReloadPlan {
    /// Whether the running gateway may go over to the new configuration. A reload is all or nothing: half a new file is a
    /// configuration that nobody wrote.
    pub fn applicable(&self) -> bool {
        self.restart.is_empty()
    }

    /// Compares two configurations.
    pub fn between(old: &Config, new: Config) -> ReloadPlan {
        let (before, after) = (leaves(old), leaves(&new));
        let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let changed = keys.into_iter().filter(|key| before.get(*key) != after.get(*key)).cloned();
        let (live, restart) = changed.partition(|key| is_live(key));
        ReloadPlan { config: new, live, restart }
    }
}

/// Reads `path` again for a gateway that runs with `old`.
pub fn reload(old: &Config, path: &Path) -> Result<ReloadPlan, AllMistakes> {
    let loaded = super::load(path, Environment::of_process())?;
    Ok(ReloadPlan::between(old, loaded.config))
}

/// Whether a running gateway takes over a change of this key.
fn is_live(key: &str) -> bool {
    const LIVE: &[&str] = &[
        "dns.server",
        "numbers",
        "sip.anonymous",
        "msrp.max_size",
        "sip.domains",
        "sip.origins",
        "sip.outbound_proxy",
        "sip.peer",
        "sip.phone_domain",
        "security.allow_networks",
        "log.level",
        "limits.rate_per_sender",
        "limits.burst_per_sender",
        "limits.rate_per_domain",
        "limits.burst_per_domain",
        "limits.queue_per_pair",
        "limits.retry_after",
        "limits.subscriptions",
        "limits.subscriptions_per_source",
        "limits.authorizations",
        "limits.authorizations_per_user",
    ];
    let presence = key.starts_with("presence.") && key != "presence.enabled";
    let chat = key.starts_with("chat.") && key != "chat.mode";
    let whole = key.starts_with("message.") || key.starts_with("abuse.") || key.starts_with("rooms.");
    let registrar = key.starts_with("sip.registrar.") && key != "sip.registrar.domains";
    // Who asks the relays has sockets for the addresses that they have.
    let tls = key.starts_with("tls.") && !key.starts_with("tls.acme");
    let media = key.starts_with("media.") && key != "media.enabled" && key != "media.relay";
    LIVE.contains(&key)
        || whole
        || chat
        || media
        || tls
        || presence
        || registrar
        || key.ends_with(".allow_from")
        || key.starts_with("sip.trunk(")
        || super::federation::is_live(key)
        || super::accounts::is_live(key)
}

/// Every key with a text that is the same exactly where the value is. The secrets are among them: it stays in here.
fn leaves(config: &Config) -> BTreeMap<String, String> {
    // Taken apart without `..`, so that a new key cannot be forgotten.
    let Config {
        xmpp,
        sip,
        numbers,
        message,
        chat,
        msrp,
        tls,
        dns,
        rooms,
        media,
        presence,
        security,
        store,
        admin,
        log,
        limits,
        abuse,
        acme,
    } = config;
    let super::Abuse { allow, deny, settings: abuse_settings } = abuse;
    let super::Chat { mode, settings: chat_settings } = chat;
    let super::Msrp { listen: msrp_listen, settings: msrp_settings, relay } = msrp;
    let super::Rooms { muc_domains, sip_domains, passwords, settings: room_settings } = rooms;
    let super::Media {
        relay: relays,
        mode: relay_mode,
        plain: plain_domains,
        sdes,
        interfaces,
        settings: media_settings,
    } = media;
    let super::Tls { certificates, trust } = tls;
    let super::Xmpp { components, times, federation, accounts } = xmpp;
    let super::Sip {
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
    } = sip;
    let super::Registrar { domains: registrar_domains, realm, algorithms, settings: registrar_settings } = registrar;
    let mut all = BTreeMap::new();
    let mut set = |key: &str, value: String| {
        all.insert(key.to_owned(), value);
    };
    for super::Component { domain, server, secret, allow_from, chat } in components {
        set(&format!("xmpp.component({domain})"), String::new());
        set(&format!("xmpp.component({domain}).server"), server.to_string());
        set(&format!("xmpp.component({domain}).secret"), secret.reveal().to_owned());
        set(&format!("xmpp.component({domain}).allow_from"), format!("{allow_from:?}"));
        set(&format!("xmpp.component({domain}).chat"), format!("{chat:?}"));
    }
    let places: Vec<String> = listen.iter().map(ToString::to_string).collect();
    let names: Vec<String> = listen.iter().map(|l| l.advertise.to_string()).collect();
    if let Some(federation) = federation {
        federation.leaves(&mut set);
    }
    accounts.leaves(&mut set);
    set("sip.domains", format!("{domains:?} {any_domain}"));
    set("sip.listen", places.join(" "));
    set("sip.advertise", names.join(" "));
    set("sip.origins", format!("{origins:?}"));
    set("sip.outbound_proxy", format!("{:?}", outbound_proxy.as_ref().map(|p| &p.uri)));
    for trunk in trunks {
        let password = trunk.login.as_ref().map(|(_, password)| password.reveal());
        set(&format!("sip.trunk({})", trunk.name), format!("{trunk:?} {password:?}"));
    }
    set("sip.peer", format!("{peers:?}"));
    set("sip.phone_domain", format!("{phone_domain:?}"));
    set("sip.anonymous", anonymous.to_string());
    set("numbers", format!("{numbers:?}"));
    set("sip.contact", format!("{contact:?}"));
    set("sip.publish", publish.to_string());
    set("sip.registrar.domains", format!("{registrar_domains:?}"));
    set("sip.registrar.realm", format!("{realm:?}"));
    set("sip.registrar.algorithms", format!("{algorithms:?}"));
    set("chat.mode", format!("{mode:?}"));
    let places: Vec<String> = msrp_listen.iter().map(ToString::to_string).collect();
    let names: Vec<String> = msrp_listen.iter().map(|l| l.advertise.to_string()).collect();
    set("msrp.listen", places.join(" "));
    set("msrp.advertise", names.join(" "));
    set("msrp.relay", relay.as_ref().map(ToString::to_string).unwrap_or_default());
    set("msrp.relay_password", relay.as_ref().map(|r| r.password.reveal().to_owned()).unwrap_or_default());
    set("rooms.muc_domains", format!("{muc_domains:?}"));
    set("rooms.sip_domains", format!("{sip_domains:?}"));
    for super::RoomPassword { room, password } in passwords {
        set(&format!("rooms.password({room})"), password.reveal().to_owned());
    }
    set("media.relay", relays.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    set("media.mode", format!("{relay_mode:?}"));
    set("media.plain", format!("{plain_domains:?}"));
    set("media.sdes", format!("{sdes:?}"));
    set("media.interfaces", format!("{interfaces:?}"));
    set("tls.certificates", format!("{certificates:?}"));
    set("dns.server", format!("{:?}", dns.server));
    set(
        "tls.acme",
        format!("{:?}", acme.as_ref().map(|acme| super::Acme { settings: Default::default(), ..acme.clone() })),
    );
    for (key, value) in acme.iter().flat_map(|acme| acme.settings.keys()) {
        set(key, value);
    }
    set("tls.trust", format!("{trust:?}"));
    set("security.allow_networks", format!("{:?}", security.allow_networks));
    set("abuse.allow", format!("{allow:?}"));
    set("abuse.deny", format!("{deny:?}"));
    set("store.url", format!("{:?}", store.url));
    set("admin.listen", format!("{:?}", admin.listen));
    set("log.level", log.level.clone());
    set("log.format", format!("{:?}", log.format));
    let plain = [times.keys(), sip_times.keys(), message.keys(), presence.keys(), limits.keys()];
    let settings = plain.into_iter().chain([
        chat_settings.keys(),
        msrp_settings.keys(),
        room_settings.keys(),
        media_settings.keys(),
        abuse_settings.keys(),
        registrar_settings.keys(),
    ]);
    for (key, value) in settings.flatten() {
        set(key, value);
    }
    all
}
