//! `[xmpp.federation]`: the SIP domains that the gateway itself is the XMPP server of.

use super::mistake::Wrong;
use super::msrp::{self, Mode};
use super::read::{Item, Reader};
use super::settings::FederationSettings;
use super::value;
use std::fmt;
use std::net::SocketAddr;
use xmpp::stream::s2s::{Pattern, Policy, Rules};

/// The SIP domains that the gateway itself is the XMPP server of, and how it finds and is found by others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Federation {
    /// The domains, at least one.
    pub domains: Vec<String>,
    /// The sockets, no two the same. None: other servers do not get here by themselves.
    pub listen: Vec<FederationListen>,
    /// With whom we speak, and how sure we want to be that it is they.
    pub rules: Rules,
    /// As what chat messages go to the users of these domains; `chat.mode` where nothing is written.
    pub chat: Mode,
    /// Times and bounds.
    pub settings: FederationSettings,
}

/// A socket for other servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FederationListen {
    /// Whether TLS begins with the first byte (XEP-0368), and not by STARTTLS.
    pub secure: bool,
    /// Where. Port 0 lets the system choose: for tests.
    pub address: SocketAddr,
}

impl fmt::Display for FederationListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", if self.secure { "tls" } else { "tcp" }, self.address)
    }
}

impl Federation {
    /// Every key with a text that is the same exactly where the value is.
    pub(super) fn leaves(&self, set: &mut impl FnMut(&str, String)) {
        let Federation { domains, listen, rules, chat, settings } = self;
        let Rules { allow, deny, policy, exceptions } = rules;
        set("xmpp.federation.domains", format!("{domains:?}"));
        set("xmpp.federation.listen", format!("{listen:?}"));
        set("xmpp.federation.allow", format!("{allow:?}"));
        set("xmpp.federation.deny", format!("{deny:?}"));
        set("xmpp.federation.dialback", policy.dialback.to_string());
        set("xmpp.federation.require_tls", policy.require_tls.to_string());
        set("xmpp.federation.require_certificate", policy.require_certificate.to_string());
        for (pattern, policy) in exceptions {
            set(&format!("xmpp.federation.domain({pattern})"), format!("{policy:?}"));
        }
        set("xmpp.federation.chat", format!("{chat:?}"));
        for (key, value) in settings.keys() {
            set(key, value);
        }
    }
}

/// Whether a running gateway takes over a change of this key: all but who we are and where we listen.
pub(super) fn is_live(key: &str) -> bool {
    let key = key.strip_prefix("xmpp.federation.");
    key.is_some_and(|key| !matches!(key, "domains" | "listen" | "chat"))
}

/// The section before the defaults that come from others.
pub(super) struct RawFederation {
    pub(super) domains: Vec<Item<String>>,
    listen: Vec<FederationListen>,
    rules: Rules,
    pub(super) chat: Option<Mode>,
    settings: FederationSettings,
}

impl RawFederation {
    /// The section; `mode` is that of domains that say nothing else.
    pub(super) fn finish(self, mode: Mode) -> Federation {
        let domains = self.domains.into_iter().map(|item| item.value).collect();
        let chat = self.chat.unwrap_or(mode);
        Federation { domains, listen: self.listen, rules: self.rules, chat, settings: self.settings }
    }
}

/// Reads `[xmpp.federation]`; `None` where there is none.
pub(super) fn federation(r: &mut Reader<'_>) -> Option<RawFederation> {
    const DOMAINS: &str = "the SIP domains that the gateway is the XMPP server of: [\"example.net\"]";
    let settings = FederationSettings::read(r);
    if settings.retry_min > settings.retry_max {
        r.wrong("xmpp.federation.retry_min", Wrong::new("longer than xmpp.federation.retry_max", ""));
    }
    let domains = r.texts("xmpp.federation.domains", value::domain);
    let listen = listen(r);
    let allow = r.texts("xmpp.federation.allow", pattern).map_or_else(|| vec![Pattern::Any], patterns);
    let deny = r.texts("xmpp.federation.deny", pattern).map_or_else(Vec::new, patterns);
    let policy = policy(r, "xmpp.federation", Policy::default());
    let exceptions = exceptions(r, policy);
    let chat = r.text("xmpp.federation.chat", msrp::mode);
    if !r.has("xmpp.federation") {
        return None;
    }
    if domains.as_ref().is_none_or(Vec::is_empty) && !r.is_wrong("xmpp.federation.domains") {
        r.missing("xmpp.federation.domains", DOMAINS);
    }
    if listen.is_empty() && !r.is_wrong("xmpp.federation.listen") {
        r.warn("xmpp.federation", "no listen: other servers only answer, and do not get here by themselves");
    }
    let rules = Rules { allow, deny, policy, exceptions };
    Some(RawFederation { domains: domains.unwrap_or_default(), listen, rules, chat, settings })
}

fn listen(r: &mut Reader<'_>) -> Vec<FederationListen> {
    let sockets = r.texts("xmpp.federation.listen", socket).unwrap_or_default();
    let mut listen: Vec<FederationListen> = vec![];
    for Item { key, value } in sockets {
        if listen.iter().any(|earlier| earlier.address == value.address) && value.address.port() != 0 {
            r.wrong(&key, Wrong::new("the same socket twice", ""));
        }
        if value.address.port() == 0 {
            r.warn(&key, "the system chooses the port: fit for tests only");
        }
        listen.push(value);
    }
    listen
}

fn socket(text: &str) -> Result<FederationListen, Wrong> {
    const ALLOWED: &str =
        "\"tcp:ADDRESS:PORT\" or \"tls:ADDRESS:PORT\" with an IP address, such as \"tcp:192.0.2.1:5269\"";
    let (secure, rest) = match text.split_once(':') {
        Some(("tcp", rest)) => (false, rest),
        Some(("tls", rest)) => (true, rest),
        Some(("udp" | "ws" | "wss", _)) => return Err(Wrong::new("a transport that servers do not speak", ALLOWED)),
        _ => return Err(Wrong::new("no transport in front", ALLOWED)),
    };
    let address = rest.parse().map_err(|_| Wrong::new("not an IP address with a port", ALLOWED))?;
    Ok(FederationListen { secure, address })
}

fn pattern(text: &str) -> Result<Pattern, Wrong> {
    const ALLOWED: &str = "a domain, \"*.example.com\" for those below one, or \"*\" for any";
    Pattern::parse(text).map_err(|e| Wrong::new(e.to_string(), ALLOWED))
}

fn patterns(items: Vec<Item<Pattern>>) -> Vec<Pattern> {
    items.into_iter().map(|item| item.value).collect()
}

/// The three keys of a policy below `table`; `otherwise` where they are not written.
fn policy(r: &mut Reader<'_>, table: &str, otherwise: Policy) -> Policy {
    let mut flag = |name: &str, otherwise| r.flag(&format!("{table}.{name}")).unwrap_or(otherwise);
    let policy = Policy {
        dialback: flag("dialback", otherwise.dialback),
        require_tls: flag("require_tls", otherwise.require_tls),
        require_certificate: flag("require_certificate", otherwise.require_certificate),
        allow: true,
    };
    let key = format!("{table}.require_tls");
    if policy.require_certificate && !policy.require_tls && r.has(&key) {
        r.wrong(&key, Wrong::new("certificates are shown over TLS alone, and one is required", "true"));
    }
    Policy { require_tls: policy.require_tls || policy.require_certificate, ..policy }
}

/// `[[xmpp.federation.domain]]`: other policies for some.
fn exceptions(r: &mut Reader<'_>, otherwise: Policy) -> Vec<(Pattern, Policy)> {
    let mut exceptions: Vec<(Pattern, Policy)> = vec![];
    for table in r.tables("xmpp.federation.domain") {
        let key = format!("{table}.name");
        if !r.has(&key) {
            r.expect_key(&key);
            r.missing(&key, "the XMPP domain that this is about: \"example.com\", \"*.example.com\"");
        }
        let name = r.text(&key, pattern);
        let policy = policy(r, &table, otherwise);
        let Some(name) = name else { continue };
        if exceptions.iter().any(|(earlier, _)| *earlier == name) {
            r.wrong(&key, Wrong::new("the same domain twice", ""));
        }
        exceptions.push((name, policy));
    }
    exceptions
}
