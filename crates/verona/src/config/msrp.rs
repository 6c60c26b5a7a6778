//! `[msrp]`, `[chat]` and `[tls]`: chat sessions and what they travel over.

use super::mistake::Wrong;
use super::read::{Item, Reader};
use super::secret::{Secret, SecretKeys};
use super::settings::{ChatSettings, MsrpSettings};
use super::value::{self, HostPort};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
pub use stox::config::Mode;

/// MSRP's port where a relay's URI names none (RFC 4975 §15.4).
const MSRP_PORT: u16 = 2855;

/// How chat sessions are translated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    /// As what chat messages go to SIP users whose component says nothing else.
    pub mode: Mode,
    /// The rest.
    pub settings: ChatSettings,
}

/// MSRP (RFC 4975).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Msrp {
    /// The sockets, no two the same. None: no sessions.
    pub listen: Vec<MsrpListen>,
    /// Bounds of it.
    pub settings: MsrpSettings,
    /// The relay that peers reach us by (RFC 4976).
    pub relay: Option<Relay>,
}

/// A socket for MSRP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MsrpListen {
    /// Whether TLS is spoken there: `msrps`.
    pub secure: bool,
    /// Where. Port 0 lets the system choose: for tests.
    pub address: SocketAddr,
    /// What the gateway calls itself in `a=path`: `msrp.advertise`, or the address itself.
    pub advertise: HostPort,
}

impl fmt::Display for MsrpListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", transport(self.secure), self.address)
    }
}

/// The relay, and who we are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    /// Whether TLS is spoken with it.
    pub secure: bool,
    /// Where it is.
    pub server: HostPort,
    /// The user name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

impl fmt::Display for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}@{}", if self.secure { "msrps" } else { "msrp" }, self.username, self.server)
    }
}

/// TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The gateway's own certificates. None: one is made at each start, signed by nobody, which serves where fingerprints are compared.
    pub certificates: Vec<Certificate>,
    /// Who may vouch for others; by default the system's list.
    pub trust: Vec<Trust>,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate, with those between it and its root behind it.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Somebody who may vouch for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Written as `"system"`: whom this machine trusts.
    System,
    /// Those in this PEM file.
    File(PathBuf),
}

fn transport(secure: bool) -> &'static str {
    if secure { "tls" } else { "tcp" }
}

/// The mode of a SIP domain, or of all.
pub(super) fn mode(text: &str) -> Result<Mode, Wrong> {
    match text {
        "session" => Ok(Mode::Session),
        "message" => Ok(Mode::Message),
        "auto" => Ok(Mode::Auto),
        _ => Err(Wrong::new("not a mode", "\"session\", \"message\" or \"auto\"")),
    }
}

/// Reads `[msrp]`.
pub(super) fn msrp(r: &mut Reader<'_>, folder: &Path, world_readable: bool) -> Msrp {
    let settings = MsrpSettings::read(r);
    let listen = listen(r);
    let relay = relay(r, folder, world_readable);
    if relay.is_some() && listen.is_empty() && !r.is_wrong("msrp.listen") {
        r.wrong("msrp.relay", Wrong::new("there are no sessions without msrp.listen", ""));
    }
    Msrp { listen, settings, relay }
}

/// Reads `[chat]`; `has_msrp` says whether sessions are possible.
pub(super) fn chat(r: &mut Reader<'_>, has_msrp: bool) -> Chat {
    let settings = ChatSettings::read(r);
    let written = r.text("chat.mode", mode);
    if let Some(mode) = written {
        check_mode(r, "chat.mode", mode, has_msrp);
    }
    let default = if has_msrp { Mode::Auto } else { Mode::Message };
    Chat { mode: written.unwrap_or(default), settings }
}

/// Notes that there cannot be sessions where somebody wants them.
pub(super) fn check_mode(r: &mut Reader<'_>, key: &str, mode: Mode, has_msrp: bool) {
    if mode != Mode::Message && !has_msrp && !r.is_wrong("msrp.listen") {
        let allowed = "\"message\", or a socket for them: msrp.listen = [\"tcp:127.0.0.1:2855\"]";
        r.wrong(key, Wrong::new("there are no sessions without msrp.listen", allowed));
    }
}

/// Reads `[tls]`. The files are read again when they are used.
pub(super) fn tls(r: &mut Reader<'_>, folder: &Path) -> Tls {
    r.table("tls");
    let mut certificates = vec![];
    for key in r.tables("tls.certificates") {
        let file = |r: &mut Reader<'_>, name: &str, allowed: &str| {
            let key = format!("{key}.{name}");
            if !r.has(&key) {
                r.expect_key(&key);
                r.missing(&key, allowed);
            }
            r.text(&key, |path| Ok(folder.join(path)))
        };
        let chain = file(r, "chain", "a PEM file with the certificate, and those between it and its root");
        let private = file(r, "key", "a PEM file with the private key");
        if let (Some(chain), Some(private)) = (chain, private) {
            let certificate = Certificate { chain, key: private };
            match crate::tls::Identity::load(&certificate) {
                Ok(_) => {}
                Err(crate::tls::BadIdentity::Chain(why)) => r.wrong(&format!("{key}.chain"), Wrong::new(why, "")),
                Err(crate::tls::BadIdentity::Key(why)) => r.wrong(&format!("{key}.key"), Wrong::new(why, "")),
            }
            if super::world_readable(&certificate.key) {
                r.warn(&format!("{key}.key"), "everybody on this machine can read this file: chmod o-r");
            }
            certificates.push(certificate);
        }
    }
    let trust = r.texts("tls.trust", |text| match text {
        "system" => Ok(Trust::System),
        path => {
            let path = folder.join(path);
            match crate::tls::roots_of(&path) {
                Ok(_) => Ok(Trust::File(path)),
                Err(why) => Err(Wrong::new(why, "\"system\", or a PEM file of certificates")),
            }
        }
    });
    let trust = trust.map_or_else(|| vec![Trust::System], |t| t.into_iter().map(|item| item.value).collect());
    Tls { certificates, trust }
}

fn listen(r: &mut Reader<'_>) -> Vec<MsrpListen> {
    const SOCKET: &str =
        "\"tcp:ADDRESS:PORT\" or \"tls:ADDRESS:PORT\" with an IP address, such as \"tcp:192.0.2.1:2855\"";
    const NAME: &str = "\"tcp:HOST:PORT\" or \"tls:HOST:PORT\", such as \"tls:chat.example.net:2856\"";
    let names = r.texts("msrp.advertise", |text| {
        let (secure, rest) = secure_and_rest(text, NAME)?;
        Ok((secure, value::host_port(rest).map_err(|wrong| Wrong::new(wrong.problem, NAME))?))
    });
    let names = names.unwrap_or_default();
    for (i, name) in names.iter().enumerate() {
        if names[..i].iter().any(|earlier| earlier.value.0 == name.value.0) {
            r.wrong(&name.key, Wrong::new("a second one for this transport", "one for each transport"));
        }
    }
    let sockets = r.texts("msrp.listen", |text| {
        let (secure, rest) = secure_and_rest(text, SOCKET)?;
        let address = rest.parse().map_err(|_| Wrong::new("not an IP address with a port", SOCKET))?;
        Ok::<(bool, SocketAddr), Wrong>((secure, address))
    });
    let sockets = sockets.unwrap_or_default();
    let mut listen: Vec<MsrpListen> = vec![];
    for Item { key, value: (secure, address) } in sockets {
        let name = names.iter().find(|n| n.value.0 == secure).map(|n| n.value.1.clone());
        if listen.iter().any(|earlier| earlier.address == address) && address.port() != 0 {
            r.wrong(&key, Wrong::new("the same socket twice", ""));
        }
        if name.is_none() && address.ip().is_unspecified() {
            let allowed = format!("msrp.advertise = [\"{}:HOST:PORT\"] beside it", transport(secure));
            r.wrong(
                &key,
                Wrong::new("an address that cannot be written into a path: nobody could connect to it", allowed),
            );
        }
        if address.port() == 0 {
            r.warn(&key, "the system chooses the port: fit for tests only");
        }
        listen.push(MsrpListen { secure, address, advertise: name.unwrap_or(address.into()) });
    }
    for name in names.iter().filter(|n| !listen.iter().any(|l| l.secure == n.value.0)) {
        r.warn(&name.key, "there is no socket of this transport");
    }
    listen
}

fn secure_and_rest<'a>(text: &'a str, allowed: &str) -> Result<(bool, &'a str), Wrong> {
    match text.split_once(':') {
        Some(("tcp", rest)) => Ok((false, rest)),
        Some(("tls", rest)) => Ok((true, rest)),
        Some(("udp" | "ws" | "wss", _)) => Err(Wrong::new("a transport that MSRP does not have here", allowed)),
        _ => Err(Wrong::new("no transport in front", allowed)),
    }
}

fn relay(r: &mut Reader<'_>, folder: &Path, world_readable: bool) -> Option<Relay> {
    let uri = r.text("msrp.relay", relay_uri);
    let what = SecretKeys {
        table: "msrp",
        inline: "relay_password",
        file: "relay_password_file",
        empty: "the password of the user at the relay",
    };
    if !r.has("msrp.relay") {
        what.expect(r);
        return None;
    }
    let password = what.read(r, folder, world_readable);
    let (secure, username, server) = uri?;
    if !secure {
        r.warn("msrp.relay", "not msrps: what is said goes to the relay in the clear");
    }
    Some(Relay { secure, server, username, password: password? })
}

/// `msrps://user@relay.example:2855`, RFC 4975 §6.
fn relay_uri(text: &str) -> Result<(bool, String, HostPort), Wrong> {
    const ALLOWED: &str = "\"msrps://USER@HOST[:PORT]\"";
    let wrong = |problem: &str| Wrong::new(problem, ALLOWED);
    let (secure, rest) = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("msrps") => (true, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("msrp") => (false, rest),
        _ => return Err(wrong("not an msrps URI")),
    };
    let rest = rest.strip_suffix(";tcp").unwrap_or(rest);
    let Some((user, server)) = rest.rsplit_once('@') else { return Err(wrong("no user")) };
    if user.is_empty() || user.contains(|c: char| c.is_control() || c == '"' || c == '\\') {
        return Err(wrong("not a user's name"));
    }
    if server.contains(['/', ';', '?']) {
        return Err(wrong("more than a host and a port behind the user"));
    }
    let server = value::split_host_port(server, Some(MSRP_PORT)).map_err(|problem| wrong(&problem))?;
    Ok((secure, user.to_owned(), server))
}
