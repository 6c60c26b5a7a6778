//! `[abuse]`: who is let in at all.

use super::Network;
use super::mistake::Wrong;
use super::read::{Item, Reader};
use super::settings::AbuseSettings;
use super::value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who is let in at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abuse {
    /// Friends: never slowed down, never shut out. This machine itself, where nothing is written.
    pub allow: Vec<Network>,
    /// Never let in.
    pub deny: Vec<Network>,
    /// The rest.
    pub settings: AbuseSettings,
}

impl Default for Abuse {
    fn default() -> Self {
        Abuse { allow: vec![LOOPBACK_4, LOOPBACK_6], deny: Vec::new(), settings: AbuseSettings::default() }
    }
}

const LOOPBACK_4: Network = Network { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 };
const LOOPBACK_6: Network = Network { address: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 };

/// Reads `[abuse]`.
pub(super) fn abuse(r: &mut Reader<'_>) -> Abuse {
    let settings = AbuseSettings::read(r);
    if settings.ban > settings.ban_max && !r.is_wrong("abuse.ban") && !r.is_wrong("abuse.ban_max") {
        let key = if r.has("abuse.ban_max") { "abuse.ban_max" } else { "abuse.ban" };
        r.wrong(key, Wrong::new("the longest ban is shorter than the first", "abuse.ban_max >= abuse.ban"));
    }
    let allow = r.texts("abuse.allow", value::network);
    let deny = r.texts("abuse.deny", value::network).unwrap_or_default();
    for Item { key, value } in &deny {
        if allow.iter().flatten().any(|friend| friend.value == *value) {
            r.wrong(key, Wrong::new("in abuse.allow, too", "in one of the two"));
        }
    }
    let values = |items: Vec<Item<Network>>| items.into_iter().map(|item| item.value).collect();
    let allow = allow.map_or_else(|| Abuse::default().allow, values);
    Abuse { allow, deny: values(deny), settings }
}
