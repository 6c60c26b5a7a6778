//! `[rooms]`: multi-user chat.

use super::mistake::Wrong;
use super::read::{Item, Reader};
use super::secret::{Secret, SecretKeys};
use super::settings::RoomSettings;
use super::value;
use std::path::Path;
use xmpp::jid::Jid;

/// How rooms are translated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rooms {
    /// XMPP domains that are MUC services, some of `sip.domains`.
    pub muc_domains: Vec<String>,
    /// SIP domains that are conference services, each that of a component.
    pub sip_domains: Vec<String>,
    /// What opens rooms, no room twice.
    pub passwords: Vec<RoomPassword>,
    /// The rest.
    pub settings: RoomSettings,
}

/// What opens a room for SIP users who bring no password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomPassword {
    /// The room, a bare address.
    pub room: Jid,
    /// Its password.
    pub password: Secret,
}

/// What of the rest of the configuration rooms have to fit.
pub(super) struct Around<'a> {
    /// `sip.domains`.
    pub(super) xmpp_domains: Vec<&'a str>,
    /// Whether all others are reached as well.
    pub(super) any_domain: bool,
    /// The components' domains.
    pub(super) sip_domains: Vec<&'a str>,
    /// Whether sessions are possible.
    pub(super) has_msrp: bool,
}

/// Reads `[rooms]`.
pub(super) fn rooms(r: &mut Reader<'_>, around: &Around<'_>, folder: &Path, world_readable: bool) -> Rooms {
    let settings = RoomSettings::read(r);
    let muc_domains = r.texts("rooms.muc_domains", value::domain).unwrap_or_default();
    for Item { key, value } in &muc_domains {
        if !around.any_domain && !around.xmpp_domains.contains(&value.as_str()) {
            let problem = "not one of sip.domains: SIP users do not reach it";
            r.wrong(key, Wrong::new(problem, around.xmpp_domains.join(", ")));
        }
    }
    let sip_domains = r.texts("rooms.sip_domains", value::domain).unwrap_or_default();
    for Item { key, value } in &sip_domains {
        if !around.sip_domains.contains(&value.as_str()) {
            r.wrong(key, Wrong::new("no component stands for this domain", around.sip_domains.join(", ")));
        }
    }
    for key in ["rooms.muc_domains", "rooms.sip_domains"] {
        if r.has(key) && !around.has_msrp && !r.is_wrong("msrp.listen") {
            let allowed = "a socket for them: msrp.listen = [\"tcp:127.0.0.1:2855\"]";
            r.wrong(key, Wrong::new("there are no rooms without msrp.listen", allowed));
        }
    }
    let passwords = passwords(r, folder, world_readable);
    let values = |items: Vec<Item<String>>| items.into_iter().map(|item| item.value).collect();
    Rooms { muc_domains: values(muc_domains), sip_domains: values(sip_domains), passwords, settings }
}

fn passwords(r: &mut Reader<'_>, folder: &Path, world_readable: bool) -> Vec<RoomPassword> {
    let mut passwords: Vec<RoomPassword> = Vec::new();
    for key in r.tables("rooms.password") {
        let at = format!("{key}.room");
        if !r.has(&at) {
            r.expect_key(&at);
            r.missing(&at, ROOM);
        }
        let room = r.text(&at, room);
        let what =
            SecretKeys { table: &key, inline: "password", file: "password_file", empty: "what the room asks for" };
        let password = what.read(r, folder, world_readable);
        let Some(room) = room else { continue };
        if passwords.iter().any(|earlier| earlier.room == room) {
            r.wrong(&at, Wrong::new("the same room twice", ""));
        }
        passwords.extend(password.map(|password| RoomPassword { room, password }));
    }
    passwords
}

const ROOM: &str = "the address of a room: \"garden@conference.example.com\"";

fn room(text: &str) -> Result<Jid, Wrong> {
    let jid = Jid::parse(text).map_err(|e| Wrong::new(e.to_string(), ROOM))?;
    if jid.local().is_none() || !jid.is_bare() {
        return Err(Wrong::new("not the address of a room", ROOM));
    }
    Ok(jid)
}
