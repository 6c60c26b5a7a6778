//! The answers that the gateway owes to iq requests, for itself and for the SIP users behind it. What it says of itself is
//! what it does, or clients offer what cannot work and hide what could.

mod room;
#[cfg(test)]
mod tests;

pub use room::RoomInfo;

use crate::error::{Condition, StanzaError};
use crate::ext::caps::Caps;
use crate::ext::disco::{self, Info, Items};
use crate::ext::ping::Ping;
use crate::ext::vcard::VCard;
use crate::ext::version::Version;
use crate::jid::{Jid, escape};
use crate::ns;
use crate::stanza::{Kind, Stanza};
use base::{Str, format_compact};
use std::sync::LazyLock;
use xml::Element;

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The domain of the gateway, prepared.
    pub domain: &'a str,
    /// The software: `name/version`, or a version alone.
    pub version: &'a str,
    /// Whether the addresses in the domain are those of rooms.
    pub conference: bool,
    /// Whether SIP users can be called, and can call.
    pub calls: bool,
    /// Whether telephone numbers are addresses in the domain that can be called.
    pub numbers: bool,
    /// Whether people link SIP accounts of their own here, and look for contacts.
    pub accounts: bool,
}

/// Whom a request is for: the caller knows who is a user and what is a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// The gateway itself, by its domain.
    Gateway,
    /// A SIP user.
    User {
        /// What he goes by, if that is known.
        name: Option<&'a str>,
    },
    /// A room on the SIP side.
    Room(&'a RoomInfo),
    /// A resource of the gateway's domain or of a room: nothing is there that would answer.
    Nobody,
}

impl<'a> Asked<'a> {
    /// Whom an address stands for in a domain without rooms. `name` is what the SIP user goes by, if it is one.
    pub fn of(to: Option<&Jid>, name: Option<&'a str>) -> Asked<'a> {
        match to {
            Some(to) if to.local().is_some() => Asked::User { name },
            Some(to) if to.resource().is_some() => Asked::Nobody,
            Some(_) | None => Asked::Gateway,
        }
    }
}

/// What the gateway itself can do.
const OF_THE_GATEWAY: [&str; 5] = [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::VERSION, ns::PING, ns::VCARD];

/// What it can do besides where people link SIP accounts of their own. What each may do of it, the list of commands says.
const OF_ACCOUNTS: [&str; 4] = [ns::COMMANDS, ns::REGISTER, ns::GATEWAY, ns::SEARCH];

/// What the gateway is called.
const NAME: &str = "SIP gateway";

/// What a domain of rooms is called.
const ROOMS_NAME: &str = "SIP chat rooms";

/// What can be said of any SIP user: what is translated, and what the gateway answers in its place. A ping finds the gateway
/// (whether a phone is there, only a message tells), and the version is that of the gateway's software: for XMPP, that is the
/// program that the user uses.
const OF_A_USER: [&str; 9] = [
    ns::DISCO_INFO,
    ns::DISCO_ITEMS,
    ns::VERSION,
    ns::PING,
    ns::VCARD,
    ns::CHAT_STATES,
    ns::RECEIPTS,
    ns::MARKERS,
    ns::XHTML_IM,
];

/// What can be said of any SIP user where calls are translated. Nobody is asked to trickle candidates: most phones want all of them in the
/// offer ([`ns::OFFER_ANSWER`]), and the gateway collects what trickles in.
const OF_CALLS: [&str; 19] = [
    ns::JINGLE,
    ns::JINGLE_MESSAGE,
    ns::RTP,
    ns::RTP_AUDIO,
    ns::RTP_VIDEO,
    ns::RTP_INFO,
    ns::ICE_UDP,
    ns::OFFER_ANSWER,
    ns::RAW_UDP,
    ns::DTLS,
    ns::GROUPING,
    ns::GROUPING_FEATURE,
    ns::RTCP_FB,
    ns::RTP_HDREXT,
    ns::SSMA,
    ns::SSMA_FEATURE,
    ns::ZRTP,
    ns::DTMF,
    ns::TRANSFER,
];

/// The answer to an iq. None to what is no request: results and errors (RFC 6120 §8.2.3), other kinds of stanza.
pub fn answer(identity: &Identity<'_>, iq: &Stanza, asked: Asked<'_>) -> Option<Stanza> {
    if iq.kind != Kind::Iq {
        return None;
    }
    let refused = |condition| iq.error(&StanzaError::new(condition));
    let mut children = iq.elements();
    // RFC 6120 §8.2.3: an id, type get or set, exactly one child.
    let payload = match (iq.id.as_deref(), iq.type_.as_deref(), children.next(), children.next()) {
        (_, Some("result" | "error"), ..) => return None,
        (Some(_), Some("get" | "set"), Some(payload), None) => payload,
        _ => return refused(Condition::BadRequest),
    };
    let answer = match (iq.type_.as_deref(), asked) {
        (Some("get"), Asked::User { name }) if VCard::is_query(payload) => {
            let local = iq.to.as_ref().and_then(|to| to.local()).unwrap_or_default();
            Ok(Some(card(name, local).to_element()))
        }
        (Some("get"), Asked::Room(room)) => room::get(room, payload),
        (Some("get"), _) => get(identity, asked, payload),
        _ => Err(Condition::ServiceUnavailable),
    };
    match answer {
        Ok(payload) => Some(iq.result(payload)),
        Err(condition) => refused(condition),
    }
}

/// What the gateway says that it can do, in short, for its own presence.
pub fn caps(identity: &Identity<'_>) -> Caps {
    const EITHER: [bool; 2] = [false, true];
    static CAPS: LazyLock<[[[Caps; 2]; 2]; 2]> = LazyLock::new(|| {
        EITHER.map(|rooms| {
            EITHER.map(|numbers| EITHER.map(|accounts| Caps::of(&gateway_info(rooms, numbers, accounts), "")))
        })
    });
    let [rooms, numbers, accounts] = [identity.conference, rings(identity), identity.accounts].map(usize::from);
    Caps { node: caps_node(identity), ..CAPS[rooms][numbers][accounts].clone() }
}

/// What can be done with any SIP user, in short, for its presence.
pub fn user_caps(identity: &Identity<'_>) -> Caps {
    // Each presence carries them, and they never change.
    static CAPS: LazyLock<[Caps; 2]> = LazyLock::new(|| [false, true].map(|calls| Caps::of(&user_info(calls), "")));
    Caps { node: caps_node(identity), ..CAPS[usize::from(identity.calls)].clone() }
}

fn get(identity: &Identity<'_>, asked: Asked<'_>, payload: &Element) -> Result<Option<Element>, Condition> {
    let info = match asked {
        Asked::Gateway => gateway_info(identity.conference, rings(identity), identity.accounts),
        Asked::User { .. } => user_info(identity.calls),
        Asked::Room(_) | Asked::Nobody => return Err(Condition::ServiceUnavailable),
    };
    if let Some(query) = Info::parse(payload) {
        // XEP-0115 §6.2: the node of our caps is asked for what stands behind it.
        let known = match &query.node {
            None => true,
            Some(node) => {
                let caps = if matches!(asked, Asked::Gateway) { caps(identity) } else { user_caps(identity) };
                *node == caps.disco_node()
            }
        };
        return if known {
            Ok(Some(Info { node: query.node, ..info }.to_element()))
        } else {
            Err(Condition::ItemNotFound)
        };
    }
    if let Some(query) = Items::parse(payload) {
        // Who is behind the gateway is nobody's to list.
        return match query.node {
            None => Ok(Some(Items::default().to_element())),
            Some(_) => Err(Condition::ItemNotFound),
        };
    }
    if Version::is_query(payload) {
        let (name, version) = identity.version.split_once('/').unwrap_or(("Verona", identity.version));
        // XEP-0092 §6: the operating system is nobody's business.
        let answer = Version { name: name.to_owned(), version: version.to_owned(), os: None };
        return Ok(Some(answer.to_element()));
    }
    if Ping::parse(payload).is_some() {
        return Ok(None);
    }
    if VCard::is_query(payload) {
        return Ok(Some(VCard { full_name: Some(NAME.to_owned()), nickname: None }.to_element()));
    }
    Err(Condition::ServiceUnavailable)
}

/// XEP-0054: the card of a SIP user, of whom nothing is known but what it calls itself. Without that it is called by its address.
fn card(name: Option<&str>, local: &str) -> VCard {
    VCard {
        full_name: Some(name.map_or_else(|| escape::unescape(local), str::to_owned)),
        nickname: name.map(str::to_owned),
    }
}

/// Whether telephone numbers can be called here.
fn rings(identity: &Identity<'_>) -> bool {
    identity.calls && identity.numbers
}

/// `conference`: whether the domain is one of rooms; `numbers`: whether one of telephone numbers that can be called; `accounts`: whether people link
/// accounts here.
fn gateway_info(conference: bool, numbers: bool, accounts: bool) -> Info {
    // The registrar's name for a gateway to SIP messaging and presence is "simple".
    let mut info = Info {
        node: None,
        identities: vec![disco::Identity::new("gateway", "simple").with_name(NAME)],
        features: OF_THE_GATEWAY.map(Str::const_new).to_vec(),
    };
    if numbers {
        // What clients look for that have a keypad.
        info.identities.push(disco::Identity::new("gateway", "pstn").with_name(NAME));
    }
    if accounts {
        info.features.extend(OF_ACCOUNTS.map(Str::const_new));
    }
    if conference {
        // XEP-0045 §6.2. First, for whoever looks at the first identity only.
        info.identities.insert(0, disco::Identity::new("conference", "text").with_name(ROOMS_NAME));
        info.features.push(Str::const_new(ns::MUC));
    }
    info
}

/// `calls`: whether he can be called.
fn user_info(calls: bool) -> Info {
    // Not an account of type registered, which XEP-0030 §3.1 has for bare addresses: whether there is such a user only the
    // SIP side knows.
    let identity = disco::Identity::new("client", "phone");
    let of_calls = OF_CALLS.into_iter().filter(|_| calls);
    let features = OF_A_USER.into_iter().chain(of_calls).map(Str::const_new).collect();
    Info { node: None, identities: vec![identity], features }
}

/// XEP-0115 §4 wants a URI that stands for the software.
fn caps_node(identity: &Identity<'_>) -> Str {
    format_compact!("xmpp:{}", identity.domain)
}
