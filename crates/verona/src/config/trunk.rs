//! `[[sip.trunk]]`: providers and telephone systems where the gateway has an account.

use super::check;
use super::mistake::Wrong;
use super::read::{Item, Reader};
use super::secret::{Secret, SecretKeys};
use super::value::{self, Listen};
use sip::uri::{SipUri, Uri};
use std::path::Path;
use std::time::Duration;
use stox::network::Network;
use xmpp::jid::Jid;

/// The most trunks there may be.
const MOST: usize = 64;
/// How long a registration is asked for where nothing is said, and after what time a first failure is tried again.
const EXPIRES: Duration = Duration::from_secs(3600);
const RETRY: Duration = Duration::from_secs(30);

/// Somebody who carries what goes to some SIP domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trunk {
    /// What it is called.
    pub name: String,
    /// The SIP domains that it carries, as the SIP side writes them.
    pub domains: Vec<String>,
    /// How the numbers begin that it carries; none: all users.
    pub numbers: Vec<String>,
    /// Where requests go.
    pub server: SipUri,
    /// The user and the password, where it wants some.
    pub login: Option<(String, Secret)>,
    /// The only realm that these are for.
    pub realm: Option<String>,
    /// Whether MD5 will do (RFC 8760).
    pub md5: bool,
    /// Who the gateway is there.
    pub address: SipUri,
    /// Whether all XMPP users speak as that.
    pub speaks: bool,
    /// Who gets what is for it.
    pub user: Option<Jid>,
    /// Where it is registered, if it is.
    pub registrar: Option<String>,
    /// For how long.
    pub expires: Duration,
    /// How long after a first failure it is tried again.
    pub retry: Duration,
    /// Whether RFC 5626 is asked for.
    pub outbound: bool,
    /// Networks that it sends from besides the addresses of its server.
    pub sources: Vec<Network>,
}

/// Reads `[[sip.trunk]]`. `xmpp_domains` are `sip.domains`.
pub(super) fn trunks(
    r: &mut Reader<'_>,
    listen: &[Listen],
    xmpp_domains: &[&str],
    folder: &Path,
    world_readable: bool,
) -> Vec<Trunk> {
    let keys = r.tables("sip.trunk");
    if keys.len() > MOST {
        r.wrong("sip.trunk", Wrong::new("too many", format!("at most {MOST} of them")));
    }
    let mut trunks: Vec<Trunk> = Vec::new();
    for key in keys {
        let Some(trunk) = trunk(r, &key, xmpp_domains, folder, world_readable) else { continue };
        check::place_transport(r, &format!("{key}.server"), &trunk.server, listen, true);
        if trunks.iter().any(|earlier| earlier.name == trunk.name) {
            r.wrong(&format!("{key}.name"), Wrong::new("a second trunk of this name", ""));
        }
        trunks.push(trunk);
    }
    trunks
}

fn trunk(r: &mut Reader<'_>, key: &str, xmpp_domains: &[&str], folder: &Path, world_readable: bool) -> Option<Trunk> {
    const SERVER: &str = "where it is: \"sip:sip.carrier.example\", \"sip:192.0.2.1:5060;transport=tcp;lr\"";
    let at = |name: &str| format!("{key}.{name}");
    let name = need(r, &at("name"), "what it is called in logs and metrics: \"carrier\"", word);
    let domains = r.texts(&at("domains"), value::domain);
    if domains.as_ref().is_none_or(Vec::is_empty) && !r.is_wrong(&at("domains")) {
        r.missing(&at("domains"), "the SIP domains that it carries: [\"carrier.example\"]");
    }
    let domains = domains.unwrap_or_default();
    for Item { key, value } in &domains {
        if xmpp_domains.contains(&value.as_str()) {
            let wrong = "an XMPP domain in sip.domains: calls would go in a circle";
            r.wrong(key, Wrong::new(wrong, "a SIP domain"));
        }
    }
    let numbers = r.texts(&at("numbers"), super::numbers::beginning).unwrap_or_default();
    let server = need(r, &at("server"), SERVER, |text| server(text, SERVER));
    let what =
        SecretKeys { table: key, inline: "password", file: "password_file", empty: "the password of the account" };
    let username = r.text(&at("username"), not_empty);
    let login = match username {
        Some(username) => what.read(r, folder, world_readable).map(|password| (username, password)),
        None => {
            what.expect(r);
            for password in [at("password"), at("password_file")] {
                if r.has(&password) {
                    r.wrong(&password, Wrong::new("a password without a user", "username beside it"));
                }
            }
            None
        }
    };
    let realm = r.text(&at("realm"), not_empty);
    let md5 = r.flag(&at("md5")).unwrap_or(true);
    let register = r.flag(&at("register")).unwrap_or(login.is_some());
    let registrar = r.text(&at("registrar"), host);
    let address = r.text(&at("address"), address);
    let speaks = r.text(&at("from"), |text| match text {
        "account" => Ok(true),
        "user" => Ok(false),
        _ => Err(Wrong::new("nobody", "\"account\" or \"user\"")),
    });
    let user = r.text(&at("user"), |text| user(text, xmpp_domains));
    let second = Duration::from_secs(1);
    let expires = r.duration(&at("expires"), &(60 * second..=86_400 * second)).unwrap_or(EXPIRES);
    let retry = r.duration(&at("retry"), &(second..=1800 * second)).unwrap_or(RETRY);
    let outbound = r.flag(&at("outbound")).unwrap_or(false);
    let sources = r.texts(&at("sources"), value::network).unwrap_or_default();
    let (name, server) = (name?, server?);
    let home = registrar.clone().unwrap_or_else(|| server.host.to_string());
    let own = || Some(SipUri::parse(&format!("sip:{home}")).ok()?.with_user(login.as_ref()?.0.as_bytes()));
    let Some(address) = address.or_else(own) else {
        if !r.is_wrong(&at("address")) && !r.is_wrong(&at("password")) && !r.is_wrong(&at("username")) {
            r.expect_key(&at("address"));
            r.missing(
                &at("address"),
                "who the gateway is there: \"sip:4930123@carrier.example\", or username and password",
            );
        }
        return None;
    };
    Some(Trunk {
        name,
        domains: domains.into_iter().map(|item| item.value).collect(),
        numbers: numbers.into_iter().map(|item| item.value).collect(),
        server,
        speaks: speaks.unwrap_or(login.is_some()),
        login,
        realm,
        md5,
        address,
        user,
        registrar: register.then_some(home),
        expires,
        retry,
        outbound,
        sources: sources.into_iter().map(|item| item.value).collect(),
    })
    .filter(|trunk| !trunk.domains.is_empty())
}

fn need<T>(r: &mut Reader<'_>, key: &str, what: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
    if !r.has(key) {
        r.expect_key(key);
        r.missing(key, what);
    }
    r.text(key, parse)
}

fn word(text: &str) -> Result<String, Wrong> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    match !text.is_empty() && text.len() <= 64 && text.bytes().all(plain) {
        true => Ok(text.to_owned()),
        false => Err(Wrong::new("not a name", "letters, digits, dots and dashes, at most 64")),
    }
}

fn not_empty(text: &str) -> Result<String, Wrong> {
    match text.is_empty() || text.len() > 255 || text.chars().any(char::is_control) {
        false => Ok(text.to_owned()),
        true => Err(Wrong::new("empty, too long or not in one line", "")),
    }
}

fn server(text: &str, allowed: &str) -> Result<SipUri, Wrong> {
    let uri = SipUri::parse(text).map_err(|_| Wrong::new("not a SIP URI", allowed))?;
    if uri.user.is_some() || uri.headers.is_some() {
        return Err(Wrong::new("more than a place", allowed));
    }
    match sip::agent::Place::of(&uri) {
        Some(_) => Ok(uri),
        None => Err(Wrong::new("a transport that does not fit", "udp, tcp, tls, ws or wss")),
    }
}

fn host(text: &str) -> Result<String, Wrong> {
    let domain = value::domain(text)?;
    sip::uri::Host::parse(&domain).map_err(|_| Wrong::new("not a host that SIP can write", "\"carrier.example\""))?;
    Ok(domain)
}

fn address(text: &str) -> Result<SipUri, Wrong> {
    const ALLOWED: &str = "\"sip:4930123@carrier.example\"";
    match Uri::parse(text) {
        Ok(Uri::Sip(uri)) if uri.user.is_some() && uri.headers.is_none() && uri.password.is_none() => Ok(uri),
        _ => Err(Wrong::new("not the address of a SIP user", ALLOWED)),
    }
}

fn user(text: &str, xmpp_domains: &[&str]) -> Result<Jid, Wrong> {
    const ALLOWED: &str = "the address of a user in sip.domains: \"reception@example.com\"";
    let jid = Jid::parse(text).map_err(|_| Wrong::new("not an XMPP address", ALLOWED))?;
    match jid.local().is_some() && jid.resource().is_none() && xmpp_domains.contains(&jid.domain()) {
        true => Ok(jid),
        false => Err(Wrong::new("nobody whom SIP users reach here", ALLOWED)),
    }
}
