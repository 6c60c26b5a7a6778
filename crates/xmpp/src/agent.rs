//! The answers that the gateway owes to iq requests, for itself and for the SIP users behind it. What it says of itself is
//! what it does, or clients offer what cannot work and hide what could.

use crate::error::{Condition, StanzaError};
use crate::ext::caps::Caps;
use crate::ext::disco::{self, Info, Items};
use crate::ext::ping::Ping;
use crate::ext::vcard::VCard;
use crate::ext::version::Version;
use crate::jid::escape;
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
}

/// What the gateway itself can do.
const OF_THE_GATEWAY: [&str; 5] = [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::VERSION, ns::PING, ns::VCARD];

/// What the gateway is called.
const NAME: &str = "SIP gateway";

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

/// Whom a request is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Gateway,
    User,
    /// A resource of the gateway's domain: nothing is there.
    Nobody,
}

/// The answer to an iq. None to what is no request: results and errors (RFC 6120 §8.2.3), other kinds of stanza. `name` is what the SIP
/// user whom it is for goes by, if that is known.
pub fn answer(identity: &Identity<'_>, iq: &Stanza, name: Option<&str>) -> Option<Stanza> {
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
    let asked = match &iq.to {
        Some(to) if to.local().is_some() => Asked::User,
        Some(to) if to.resource().is_some() => Asked::Nobody,
        Some(_) | None => Asked::Gateway,
    };
    let answer = match iq.type_.as_deref() {
        Some("get") if asked == Asked::User && VCard::is_query(payload) => {
            let local = iq.to.as_ref().and_then(|to| to.local()).unwrap_or_default();
            Ok(Some(card(name, local).to_element()))
        }
        Some("get") => get(identity, asked, payload),
        _ => Err(Condition::ServiceUnavailable),
    };
    match answer {
        Ok(payload) => Some(iq.result(payload)),
        Err(condition) => refused(condition),
    }
}

/// What the gateway says that it can do, in short, for its own presence.
pub fn caps(identity: &Identity<'_>) -> Caps {
    static CAPS: LazyLock<Caps> = LazyLock::new(|| Caps::of(&gateway_info(), ""));
    Caps { node: caps_node(identity), ..CAPS.clone() }
}

/// What can be done with any SIP user, in short, for its presence.
pub fn user_caps(identity: &Identity<'_>) -> Caps {
    // Each presence carries them, and they never change.
    static CAPS: LazyLock<Caps> = LazyLock::new(|| Caps::of(&user_info(), ""));
    Caps { node: caps_node(identity), ..CAPS.clone() }
}

fn get(identity: &Identity<'_>, asked: Asked, payload: &Element) -> Result<Option<Element>, Condition> {
    let info = match asked {
        Asked::Gateway => gateway_info(),
        Asked::User => user_info(),
        Asked::Nobody => return Err(Condition::ServiceUnavailable),
    };
    if let Some(query) = Info::parse(payload) {
        // XEP-0115 §6.2: the node of our caps is asked for what stands behind it.
        let known = match &query.node {
            None => true,
            Some(node) => {
                let caps = if asked == Asked::Gateway { caps(identity) } else { user_caps(identity) };
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

fn gateway_info() -> Info {
    // The registrar's name for a gateway to SIP messaging and presence is "simple".
    let identity = disco::Identity::new("gateway", "simple").with_name(NAME);
    Info { node: None, identities: vec![identity], features: OF_THE_GATEWAY.map(Str::const_new).to_vec() }
}

fn user_info() -> Info {
    // Not an account of type registered, which XEP-0030 §3.1 has for bare addresses: whether there is such a user only the
    // SIP side knows.
    let identity = disco::Identity::new("client", "phone");
    Info { node: None, identities: vec![identity], features: OF_A_USER.map(Str::const_new).to_vec() }
}

/// XEP-0115 §4 wants a URI that stands for the software.
fn caps_node(identity: &Identity<'_>) -> Str {
    format_compact!("xmpp:{}", identity.domain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use xml::Limits;

    const IDENTITY: Identity<'_> = Identity { domain: "sip.example.net", version: "Verona/0.1.0" };
    const GATEWAY: &str = "sip.example.net";
    const USER: &str = "romeo@sip.example.net";

    fn ask(attrs: &str, to: &str, payload: &str) -> Option<String> {
        let text = format!("<iq xmlns='jabber:client' from='juliet@example.com/b' to='{to}' {attrs}>{payload}</iq>");
        let element = Element::parse(text.as_bytes(), &Limits::default()).expect("well-formed");
        let iq = Stanza::from_element(element, ns::CLIENT).expect("a stanza");
        let answer = answer(&IDENTITY, &iq, Some("Romeo Montague"))?;
        assert_eq!((&answer.from, &answer.to), (&iq.to, &iq.from));
        Some(String::from_utf8(answer.to_bytes(ns::CLIENT)).expect("UTF-8"))
    }

    fn get(to: &str, payload: &str) -> String {
        let answer = ask("type='get' id='1'", to, payload).expect("an answer");
        let head = format!("<iq from='{to}' to='juliet@example.com/b' id='1' type=");
        answer.strip_prefix(&head).expect("addresses and id").to_owned()
    }

    fn refused(condition: &str) -> String {
        let kind = if condition == "bad-request" { "modify" } else { "cancel" };
        format!("'error'><error type='{kind}'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")
    }

    const INFO: &str = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    const ITEMS: &str = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    const VERSION: &str = "<query xmlns='jabber:iq:version'/>";
    const PING: &str = "<ping xmlns='urn:xmpp:ping'/>";

    #[test]
    fn what_the_gateway_is() {
        assert_eq!(
            get(GATEWAY, INFO),
            "'result'><query xmlns='http://jabber.org/protocol/disco#info'>\
             <identity category='gateway' type='simple' name='SIP gateway'/>\
             <feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/disco#items'/>\
             <feature var='jabber:iq:version'/><feature var='urn:xmpp:ping'/><feature var='vcard-temp'/></query></iq>"
        );
        assert_eq!(get(GATEWAY, ITEMS), "'result'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>");
        assert_eq!(
            get(GATEWAY, VERSION),
            "'result'><query xmlns='jabber:iq:version'><name>Verona</name><version>0.1.0</version></query></iq>"
        );
        assert_eq!(get(GATEWAY, PING), "'result'/>");
    }

    #[test]
    fn what_a_sip_user_is() {
        for user in [USER, "romeo@sip.example.net/gr1"] {
            assert_eq!(
                get(user, INFO),
                "'result'><query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' type='phone'/>\
                 <feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/disco#items'/>\
                 <feature var='jabber:iq:version'/><feature var='urn:xmpp:ping'/><feature var='vcard-temp'/>\
                 <feature var='http://jabber.org/protocol/chatstates'/><feature var='urn:xmpp:receipts'/>\
                 <feature var='urn:xmpp:chat-markers:0'/><feature var='http://jabber.org/protocol/xhtml-im'/></query></iq>"
            );
            assert_eq!(get(user, ITEMS), "'result'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>");
            assert_eq!(get(user, VERSION), get(GATEWAY, VERSION));
            assert_eq!(get(user, PING), "'result'/>");
        }
        assert_eq!(get("sip.example.net/nobody", INFO), refused("service-unavailable"));
        assert_eq!(get("sip.example.net/nobody", PING), refused("service-unavailable"));
    }

    #[test]
    fn cards() {
        let asked = "<vCard xmlns='vcard-temp'/>";
        assert_eq!(get(GATEWAY, asked), "'result'><vCard xmlns='vcard-temp'><FN>SIP gateway</FN></vCard></iq>");
        for user in [USER, "romeo@sip.example.net/gr1"] {
            assert_eq!(
                get(user, asked),
                "'result'><vCard xmlns='vcard-temp'><FN>Romeo Montague</FN><NICKNAME>Romeo Montague</NICKNAME></vCard></iq>"
            );
        }
        assert_eq!(get("sip.example.net/nobody", asked), refused("service-unavailable"));
        assert_eq!(card(None, "o\\27malley"), VCard { full_name: Some("o'malley".into()), nickname: None });
        for to in [GATEWAY, USER] {
            let set = ask("type='set' id='1'", to, asked).expect("an answer");
            assert!(set.ends_with(&refused("service-unavailable")), "nobody's card is changed here");
        }
    }

    #[test]
    fn nodes() {
        let caps = caps(&IDENTITY);
        let node = caps.disco_node();
        let asked = format!("<query xmlns='http://jabber.org/protocol/disco#info' node='{node}'/>");
        let whole = get(GATEWAY, INFO).replacen("disco#info'>", &format!("disco#info' node='{node}'>"), 1);
        assert_eq!(get(GATEWAY, &asked), whole);
        assert_eq!(get(USER, &asked), refused("item-not-found"));
        for query in [INFO, ITEMS] {
            let asked = query.replace("/>", " node='x'/>");
            assert_eq!(get(GATEWAY, &asked), refused("item-not-found"));
            assert_eq!(get(USER, &asked), refused("item-not-found"));
        }
    }

    #[test]
    fn what_is_malformed_or_unknown() {
        let no_id =
            "<iq from='sip.example.net' to='juliet@example.com/b' id='' type=".to_owned() + &refused("bad-request");
        assert_eq!(ask("type='get'", GATEWAY, PING), Some(no_id));
        let bad = |attrs, payload| ask(attrs, GATEWAY, payload).expect("an answer").ends_with(&refused("bad-request"));
        assert!(bad("id='1'", PING), "no type");
        assert!(bad("id='1' type='fetch'", PING), "a type that is none");
        assert!(bad("id='1' type='get'", ""), "no child");
        assert!(bad("id='1' type='get'", "text"), "text alone");
        assert!(bad("id='1' type='set'", &format!("{INFO}{PING}")), "two children");
        assert_eq!(get(GATEWAY, "<x xmlns='urn:x'/>"), refused("service-unavailable"));
        assert_eq!(get(USER, "<ping xmlns='urn:x'/>"), refused("service-unavailable"));
        let set = ask("type='set' id='1'", GATEWAY, PING).expect("an answer");
        assert!(set.ends_with(&refused("service-unavailable")));
    }

    #[test]
    fn what_is_never_answered() {
        for kind in ["result", "error"] {
            assert_eq!(ask(&format!("type='{kind}' id='1'"), GATEWAY, PING), None);
            assert_eq!(ask(&format!("type='{kind}'"), GATEWAY, ""), None);
        }
        let message = Stanza::message().with_type("get").with_id("1").with_child(Ping.to_element());
        assert_eq!(answer(&IDENTITY, &message, None), None);
    }
}
