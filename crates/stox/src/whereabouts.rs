//! On which devices an XMPP user may be found by a SIP user, as far as the user has let that SIP user know: full addresses that presence, messages and calls to
//! the SIP user came from, and what those devices can do (XEP-0030, XEP-0115). For calls to devices that know nothing of XEP-0353.
//!
//! It is kept for the pair, as presence is told to one and not to another: a call tells nobody of devices that he was not shown.

use crate::prints;
use base::{Fingerprint, HashKey, Recent, Str, Time};
use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::Duration;
use xmpp::ext::caps::Caps;
use xmpp::ext::disco::Info;
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::{Kind, Stanza};

/// How many pairs of one XMPP user are remembered: whoever shows up everywhere shall not make others forgotten.
const PAIRS_OF_ONE: usize = 256;

/// How many pairs one shard remembers; the oldest are forgotten.
const PAIRS: usize = 16_384;

/// The longest resource of a device that is remembered, in bytes: clients have shorter ones.
const MAX_RESOURCE: usize = 128;

/// How many devices of one user are remembered for a pair; who was heard of last takes the place of who was heard of first.
pub(crate) const MAX_DEVICES: usize = 8;

/// For how long a device is looked for that has written, and never said that it is there.
const TRACE: Duration = Duration::from_secs(3_600);

/// What a device can do in calls: the features of XEP-0166, XEP-0167 and so on that it has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a feature, and any may be there without the others")]
pub(crate) struct Abilities {
    /// It has sessions of XEP-0167.
    pub calls: bool,
    /// With sound.
    pub audio: bool,
    /// With pictures.
    pub video: bool,
    /// It rings when a session is proposed (XEP-0353).
    pub jmi: bool,
    /// XEP-0176.
    pub ice: bool,
    /// XEP-0177.
    pub raw_udp: bool,
    /// DTLS-SRTP (XEP-0320).
    pub dtls: bool,
}

impl Abilities {
    /// What disco says.
    pub(crate) fn of(info: &Info) -> Abilities {
        Abilities {
            calls: info.has(ns::JINGLE) && info.has(ns::RTP),
            audio: info.has(ns::RTP_AUDIO),
            video: info.has(ns::RTP_VIDEO),
            jmi: info.has(ns::JINGLE_MESSAGE),
            ice: info.has(ns::ICE_UDP),
            raw_udp: info.has(ns::RAW_UDP),
            dtls: info.has(ns::DTLS),
        }
    }

    /// Whether it takes calls with sound, or else, if `video`, with pictures alone.
    pub(crate) fn takes(self, audio: bool, video: bool) -> bool {
        self.calls && (self.ice || self.raw_udp) && (audio && self.audio || !audio && video && self.video)
    }
}

/// A device that a user may be found on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    /// Its full address.
    pub jid: Jid,
    /// What it can do; none: nobody has asked.
    pub abilities: Option<Abilities>,
    /// How many are better than it is: by priority, and by how far away the user is.
    pub rank: usize,
}

/// What was heard of a device.
#[derive(Debug, Clone)]
struct Seen {
    resource: Str,
    /// RFC 6121 §4.7.2.3.
    priority: i8,
    /// How far away its user is, by RFC 6121 §4.7.2.1: 0 is near.
    away: u8,
    /// It has said that it is there.
    shown: bool,
    /// What its presence says that it can do.
    caps: Option<Fingerprint>,
    abilities: Option<Abilities>,
    heard: Time,
}

/// The devices that are remembered.
#[derive(Debug)]
pub(crate) struct Whereabouts {
    key: HashKey,
    pairs: Recent<Fingerprint, Vec<Seen>>,
    /// The pairs of each XMPP user, the oldest first, some of them forgotten by now.
    users: Recent<Fingerprint, VecDeque<Fingerprint>>,
}

impl Whereabouts {
    /// None yet; `key` is secret.
    pub(crate) fn new(key: HashKey) -> Whereabouts {
        Whereabouts { key, pairs: Recent::new(key, PAIRS), users: Recent::new(key, PAIRS) }
    }

    /// An XMPP user has said something to a SIP user: presence, a message, or a call.
    pub(crate) fn heard(&mut self, now: Time, stanza: &Stanza) {
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else { return };
        let Some(resource) = from.resource().filter(|resource| resource.len() <= MAX_RESOURCE) else { return };
        if from.local().is_none() || to.local().is_none() {
            return;
        }
        match (stanza.kind, stanza.type_.as_deref()) {
            // What belongs to rooms comes from occupants, who are no devices (XEP-0045).
            (Kind::Presence, None) if !stanza.elements().any(|e| e.ns.starts_with(ns::MUC)) => {
                self.shown(now, to, from, resource, stanza);
            }
            (Kind::Presence, Some("unavailable")) => self.gone(to, from),
            // A device that calls can be called, whether it has shown itself or not.
            (Kind::Iq, Some("set")) if stanza.child("jingle", ns::JINGLE).is_some() => {
                let seen = self.seen(now, to, from, resource);
                seen.heard = now;
            }
            (Kind::Message, None | Some("chat" | "normal")) => {
                let seen = self.seen(now, to, from, resource);
                seen.heard = now;
            }
            (Kind::Presence | Kind::Message | Kind::Iq, _) => {}
        }
    }

    fn shown(&mut self, now: Time, sip: &Jid, device: &Jid, resource: &str, presence: &Stanza) {
        let caps = presence.elements().find_map(Caps::parse).map(|caps| {
            let parts = [caps.hash.as_bytes(), caps.node.as_bytes(), caps.ver.as_bytes()];
            self.key.fingerprint(&parts)
        });
        let word = |name| presence.child(name, ns::CLIENT).map(|e| e.text().trim().to_owned());
        let away = match word("show").as_deref() {
            Some("away") => 1,
            Some("xa") => 2,
            Some("dnd") => 3,
            Some(_) | None => 0,
        };
        let priority = word("priority").and_then(|priority| priority.parse().ok()).unwrap_or(0);
        let seen = self.seen(now, sip, device, resource);
        if seen.caps != caps {
            // It is another program now, or the same with other wishes.
            seen.abilities = None;
        }
        let (abilities, resource) = (seen.abilities, std::mem::take(&mut seen.resource));
        *seen = Seen { resource, priority, away, shown: true, caps, abilities, heard: now };
    }

    /// What is remembered of a device, which may be nothing yet.
    fn seen(&mut self, now: Time, sip: &Jid, device: &Jid, resource: &str) -> &mut Seen {
        let pair = prints::pair(&self.key, sip, device);
        let mut known = self.pairs.remove(&pair).unwrap_or_default();
        if known.is_empty() {
            self.is_new(device, pair);
        }
        let at = known.iter().position(|seen| seen.resource == resource).unwrap_or_else(|| {
            if known.len() >= MAX_DEVICES
                && let Some((oldest, _)) = known.iter().enumerate().min_by_key(|(_, seen)| (seen.shown, seen.heard))
            {
                known.swap_remove(oldest);
            }
            known.push(Seen {
                resource: resource.into(),
                priority: 0,
                away: 0,
                shown: false,
                caps: None,
                abilities: None,
                heard: now,
            });
            known.len() - 1
        });
        self.pairs.insert(pair, known);
        #[expect(clippy::expect_used, reason = "it was put there in the line before")]
        let known = self.pairs.get_mut(&pair).expect("a pair just written is remembered");
        &mut known[at]
    }

    /// A pair is remembered that was not before.
    fn is_new(&mut self, device: &Jid, pair: Fingerprint) {
        let user = prints::user(&self.key, device);
        let mut pairs = self.users.remove(&user).unwrap_or_default();
        pairs.retain(|known| *known != pair);
        pairs.push_back(pair);
        if pairs.len() > PAIRS_OF_ONE
            && let Some(oldest) = pairs.pop_front()
        {
            self.pairs.remove(&oldest);
        }
        self.users.insert(user, pairs);
    }

    /// A device is not there any more.
    pub(crate) fn gone(&mut self, sip: &Jid, device: &Jid) {
        let pair = prints::pair(&self.key, sip, device);
        let Some(known) = self.pairs.get_mut(&pair) else { return };
        known.retain(|seen| Some(seen.resource.as_str()) != device.resource());
        if known.is_empty() {
            self.pairs.remove(&pair);
        }
    }

    /// A device has said what it can do.
    pub(crate) fn learned(&mut self, sip: &Jid, device: &Jid, info: &Info) -> Abilities {
        let abilities = Abilities::of(info);
        let known = self.pairs.get_mut(&prints::pair(&self.key, sip, device));
        let seen = known.and_then(|known| known.iter_mut().find(|s| Some(s.resource.as_str()) == device.resource()));
        // Without caps nothing would say that it has changed.
        if let Some(seen) = seen.filter(|seen| seen.caps.is_some()) {
            seen.abilities = Some(abilities);
        }
        abilities
    }

    /// The devices of an XMPP user that a SIP user may know of, the best first: by priority, by how far away the user is, by when they were heard.
    pub(crate) fn devices(&self, now: Time, sip: &Jid, xmpp: &Jid) -> Vec<Device> {
        let Some(known) = self.pairs.get(&prints::pair(&self.key, sip, xmpp)) else { return Vec::new() };
        let mut there: Vec<_> = known.iter().filter(|seen| seen.shown || now.since(seen.heard) < TRACE).collect();
        let worth = |seen: &Seen| (Reverse(seen.priority), seen.away);
        there.sort_by_key(|seen| (worth(seen), Reverse(seen.heard)));
        let device = |seen: &Seen| {
            let rank = there.iter().take_while(|other| worth(other) < worth(seen)).count();
            Some(Device { jid: xmpp.with_resource(&seen.resource).ok()?, abilities: seen.abilities, rank })
        };
        there.iter().filter_map(|seen| device(seen)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xml::Element;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    fn stanza(kind: Kind, from: &str, to: &str) -> Stanza {
        Stanza::new(kind).with_from(jid(from)).with_to(jid(to))
    }

    fn presence(from: &str, priority: &str, show: &str, caps: &str) -> Stanza {
        let text = |name, text| Element::new(name, ns::CLIENT).with_text(text);
        let caps = Caps { hash: "sha-1".into(), node: "n".into(), ver: caps.into() };
        let stanza = stanza(Kind::Presence, from, "romeo@example.net").with_child(text("priority", priority));
        stanza.with_child(text("show", show)).with_child(caps.to_element())
    }

    fn resources(whereabouts: &Whereabouts, now: Time) -> Vec<String> {
        let devices = whereabouts.devices(now, &jid("romeo@example.net/gr1"), &jid("juliet@example.com"));
        devices.iter().map(|device| device.jid.resource().unwrap().to_owned()).collect()
    }

    fn whereabouts() -> Whereabouts {
        Whereabouts::new(HashKey::new(1, 2))
    }

    #[test]
    fn the_best_comes_first() {
        let mut w = whereabouts();
        let t = Time::from_secs(1_000);
        for (at, from, priority, show) in [
            (0, "juliet@example.com/balcony", "0", "away"),
            (1, "juliet@example.com/phone", "5", "dnd"),
            (2, "juliet@example.com/orchard", "0", ""),
            (3, "juliet@example.com/hidden", "-1", ""),
            (4, "mercutio@example.com/street", "9", ""),
        ] {
            w.heard(t + Duration::from_secs(at), &presence(from, priority, show, "1"));
        }
        w.heard(t + Duration::from_secs(9), &stanza(Kind::Message, "juliet@example.com/pen", "romeo@example.net"));
        assert_eq!(resources(&w, t), ["phone", "pen", "orchard", "balcony", "hidden"]);
        let devices = w.devices(t, &jid("romeo@example.net"), &jid("juliet@example.com"));
        assert_eq!(devices.iter().map(|device| device.rank).collect::<Vec<_>>(), [0, 1, 1, 3, 4]);
        // Who has written and not said that he is there is not looked for for ever.
        assert_eq!(resources(&w, t + Duration::from_secs(4_000)), ["phone", "orchard", "balcony", "hidden"]);
        let other = w.devices(t, &jid("tybalt@example.net"), &jid("juliet@example.com"));
        assert_eq!(other, [], "what one is shown, another is not");
    }

    #[test]
    fn who_leaves_is_forgotten_and_what_is_no_device_is_not_learned() {
        let mut w = whereabouts();
        let t = Time::from_secs(1_000);
        w.heard(t, &presence("juliet@example.com/balcony", "0", "", "1"));
        w.heard(t, &presence("juliet@example.com/phone", "0", "", "1"));
        w.heard(t, &presence("juliet@example.com/phone", "", "", "1").with_type("unavailable"));
        w.heard(t, &stanza(Kind::Message, "juliet@example.com/error", "romeo@example.net").with_type("error"));
        w.heard(t, &stanza(Kind::Message, "juliet@example.com/room", "romeo@example.net").with_type("groupchat"));
        w.heard(t, &stanza(Kind::Message, "juliet@example.com", "romeo@example.net"));
        w.heard(
            t,
            &stanza(Kind::Presence, "juliet@example.com/x", "romeo@example.net")
                .with_child(Element::new("x", ns::MUC_USER)),
        );
        w.heard(t, &stanza(Kind::Presence, "juliet@example.com/y", "example.net"));
        w.heard(t, &stanza(Kind::Iq, "juliet@example.com/ping", "romeo@example.net").with_type("set"));
        w.heard(t, &stanza(Kind::Presence, &format!("juliet@example.com/{}", "z".repeat(129)), "romeo@example.net"));
        assert_eq!(resources(&w, t), ["balcony"]);
        let calls = stanza(Kind::Iq, "juliet@example.com/caller", "romeo@example.net").with_type("set");
        w.heard(t, &calls.with_child(Element::new("jingle", ns::JINGLE)));
        assert_eq!(resources(&w, t), ["balcony", "caller"], "who calls can be called");
        w.gone(&jid("romeo@example.net"), &jid("juliet@example.com/caller"));
        w.gone(&jid("romeo@example.net"), &jid("juliet@example.com/balcony"));
        assert!(w.pairs.is_empty());
    }

    #[test]
    fn what_a_device_can_do_holds_until_its_caps_change() {
        let mut w = whereabouts();
        let (t, romeo, balcony) = (Time::from_secs(1_000), jid("romeo@example.net"), jid("juliet@example.com/balcony"));
        let abilities = |w: &Whereabouts| w.devices(t, &romeo, &balcony.bare())[0].abilities;
        w.heard(t, &presence("juliet@example.com/balcony", "0", "", "1"));
        assert_eq!(abilities(&w), None);
        let features = [ns::JINGLE, ns::RTP, ns::RTP_AUDIO, ns::RAW_UDP].map(Str::from).to_vec();
        let learned = w.learned(&romeo, &balcony, &Info { features, ..Info::default() });
        assert!(learned.takes(true, false) && !learned.takes(false, true) && !learned.jmi && !learned.ice);
        assert!(learned.takes(true, true), "sound without the pictures");
        w.heard(t, &presence("juliet@example.com/balcony", "1", "away", "1"));
        assert_eq!(abilities(&w), Some(learned));
        w.heard(t, &presence("juliet@example.com/balcony", "1", "away", "2"));
        assert_eq!(abilities(&w), None);
        // Nobody would say when this one has changed.
        w.heard(t, &stanza(Kind::Message, "juliet@example.com/pen", "romeo@example.net"));
        w.learned(&romeo, &jid("juliet@example.com/pen"), &Info::default());
        assert!(w.devices(t, &romeo, &balcony.bare()).iter().all(|device| device.abilities.is_none()));
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut w = whereabouts();
        for n in 0..100 {
            let from = format!("juliet@example.com/{n}");
            w.heard(Time::from_secs(n), &presence(&from, "0", "", "1"));
            w.heard(Time::from_secs(n), &stanza(Kind::Message, &format!("{from}m"), "romeo@example.net"));
        }
        // Those that say that they are there stay before those that only wrote.
        assert_eq!(resources(&w, Time::from_secs(100)), ["99", "99m", "98", "97", "96", "95", "94", "93"]);
        for n in 0..2 * PAIRS {
            let from = format!("juliet{n}@example.com/balcony");
            w.heard(Time::from_secs(200), &presence(&from, "0", "", "1"));
        }
        assert!(w.pairs.len() <= PAIRS);
    }

    #[test]
    fn who_shows_up_everywhere_makes_nobody_forgotten() {
        let mut w = whereabouts();
        w.heard(Time::from_secs(1), &presence("juliet@example.com/balcony", "0", "", "1"));
        for n in 0..2 * PAIRS {
            let to = format!("romeo{n}@example.net");
            w.heard(Time::from_secs(2), &stanza(Kind::Message, "tybalt@example.com/street", &to));
        }
        assert_eq!(resources(&w, Time::from_secs(3)), ["balcony"]);
        assert_eq!(w.pairs.len(), 1 + PAIRS_OF_ONE);
    }
}
