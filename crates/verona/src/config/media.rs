//! `[media]`: calls, and the relays that their media go through where two ends cannot talk directly.

use super::mistake::Wrong;
use super::read::{Item, Reader};
use super::settings::MediaSettings;
use super::value::{self, Host, HostPort};
pub use stox::media::relay::Mode as RelayMode;

/// The port of a relay where none is named: that of rtpengine's examples.
const RELAY_PORT: u16 = 2223;

/// Calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Media {
    /// The relays, the best first. None: media go from end to end, or not at all.
    pub relay: Vec<HostPort>,
    /// When media go through one.
    pub mode: RelayMode,
    /// Components' domains whose telephones have neither ICE nor SRTP.
    pub plain: Vec<String>,
    /// Those whose telephones have SRTP with keys in the description, and no ICE.
    pub sdes: Vec<String>,
    /// What the relays call their interfaces towards SIP and towards XMPP.
    pub interfaces: Option<(String, String)>,
    /// The rest.
    pub settings: MediaSettings,
}

/// Reads `[media]`; `domains` are those of the components.
pub(super) fn media(r: &mut Reader<'_>, domains: &[&str]) -> Media {
    let settings = MediaSettings::read(r);
    let relay = relays(r);
    let mode = r.text("media.mode", mode);
    let plain = telephones(r, "media.plain", domains);
    let sdes = telephones(r, "media.sdes", domains);
    for Item { key, value } in &sdes {
        if plain.iter().any(|other| other.value == *value) {
            r.wrong(key, Wrong::new("in media.plain, too", "one or the other"));
        }
    }
    let has_relay = !relay.is_empty() || r.is_wrong("media.relay");
    if mode == Some(RelayMode::Always) && !has_relay {
        r.wrong("media.mode", Wrong::new("there is no media.relay", "\"auto\" or \"never\""));
    }
    for (key, listed) in [("media.plain", &plain), ("media.sdes", &sdes)] {
        if !listed.is_empty() && !has_relay {
            r.wrong(key, Wrong::new("these can only be called through a relay", "media.relay beside it"));
        }
    }
    if mode == Some(RelayMode::Never) && r.has("media.relay") {
        r.warn("media.relay", "never asked, as media.mode says");
    }
    if !settings.enabled && r.has("media.relay") {
        r.warn("media.relay", "never asked: there are no calls without media.enabled");
    }
    let interfaces = interfaces(r);
    let values = |items: Vec<Item<String>>| items.into_iter().map(|item| item.value).collect();
    Media { relay, mode: mode.unwrap_or_default(), plain: values(plain), sdes: values(sdes), interfaces, settings }
}

fn mode(text: &str) -> Result<RelayMode, Wrong> {
    match text {
        "auto" => Ok(RelayMode::Auto),
        "never" => Ok(RelayMode::Never),
        "always" => Ok(RelayMode::Always),
        _ => Err(Wrong::new("not a mode", "\"auto\", \"never\" or \"always\"")),
    }
}

fn relays(r: &mut Reader<'_>) -> Vec<HostPort> {
    let items = r.text_or_texts("media.relay", relay).unwrap_or_default();
    if items.len() > ng::MAX_SERVERS {
        r.wrong("media.relay", Wrong::new("too many", format!("at most {}", ng::MAX_SERVERS)));
    }
    for (n, item) in items.iter().enumerate() {
        if items[..n].iter().any(|earlier| earlier.value == item.value) {
            r.wrong(&item.key, Wrong::new("the same relay twice", ""));
        }
        let near = match &item.value.host {
            Host::Address(ip) => ip.to_canonical().is_loopback(),
            Host::Name(name) => name == "localhost",
        };
        if !near {
            r.warn(
                &item.key,
                "not a loopback address: whoever sees what it is asked can listen, so the way there must be safe",
            );
        }
    }
    items.into_iter().map(|item| item.value).collect()
}

/// `ng:192.0.2.9:2223`.
fn relay(text: &str) -> Result<HostPort, Wrong> {
    const ALLOWED: &str = "\"ng:HOST[:PORT]\", such as \"ng:127.0.0.1:2223\"";
    match text.split_once(':') {
        Some(("ng", rest)) => {
            value::split_host_port(rest, Some(RELAY_PORT)).map_err(|problem| Wrong::new(problem, ALLOWED))
        }
        _ => Err(Wrong::new("not a relay", ALLOWED)),
    }
}

fn telephones(r: &mut Reader<'_>, key: &str, domains: &[&str]) -> Vec<Item<String>> {
    let items = r.texts(key, value::domain).unwrap_or_default();
    for Item { key, value } in &items {
        if !domains.contains(&value.as_str()) {
            r.wrong(key, Wrong::new("no component stands for this domain", domains.join(", ")));
        }
    }
    items
}

fn interfaces(r: &mut Reader<'_>) -> Option<(String, String)> {
    const ALLOWED: &str =
        "what the relays call two of their interfaces, towards SIP and towards XMPP: [\"inside\", \"outside\"]";
    let name = |text: &str| {
        let is_name = !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_graphic());
        if is_name { Ok(text.to_owned()) } else { Err(Wrong::new("not a name", ALLOWED)) }
    };
    let names: Vec<String> = r.texts("media.interfaces", name)?.into_iter().map(|item| item.value).collect();
    match <[String; 2]>::try_from(names) {
        Ok([sip, xmpp]) => Some((sip, xmpp)),
        Err(_) if r.is_wrong("media.interfaces") => None,
        Err(_) => {
            r.wrong("media.interfaces", Wrong::new("not two", ALLOWED));
            None
        }
    }
}
