//! The values of the configuration: each type, and how it is read from a text.

use super::mistake::Wrong;
pub use sip::agent::Transport;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use stox::network::Network;

/// A host: an address, or a name in lower case that is still to be resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A literal address.
    Address(IpAddr),
    /// A DNS name.
    Name(String),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Address(IpAddr::V6(a)) => write!(f, "[{a}]"),
            Host::Address(IpAddr::V4(a)) => a.fmt(f),
            Host::Name(name) => f.write_str(name),
        }
    }
}

/// A host and a port, printed as `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// The host.
    pub host: Host,
    /// The port, never 0 (except in the address to advertise of a socket whose port the system is to choose).
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl From<SocketAddr> for HostPort {
    fn from(a: SocketAddr) -> Self {
        HostPort { host: Host::Address(a.ip()), port: a.port() }
    }
}

/// A socket that the SIP side listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// What is spoken there.
    pub transport: Transport,
    /// Where. Port 0 lets the system choose: for tests.
    pub address: SocketAddr,
    /// What the gateway calls itself in Via and Contact for this socket: `sip.advertise`, or the address itself.
    pub advertise: HostPort,
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport.in_uri(), self.address)
    }
}

/// The SIP proxy that takes what the gateway sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyUri {
    /// The host; a name is resolved by the shell.
    pub host: Host,
    /// The port; where none is written the transport's own.
    pub port: u16,
    /// The transport; where none is written UDP, or TLS for `sips`.
    pub transport: Transport,
    /// Whether the proxy is a loose router (RFC 3261 §16.12.1.1): its URI goes into a Route header field.
    pub lr: bool,
    /// The URI as written, in its canonical form.
    pub uri: String,
}

impl fmt::Display for ProxyUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

/// Where sessions and messages are kept over a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// Nowhere.
    Memory,
    /// In one file of the embedded database. A relative path starts at the folder of the configuration.
    Redb(PathBuf),
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Store::Memory => f.write_str("memory:"),
            Store::Redb(path) => write!(f, "redb:{}", path.display()),
        }
    }
}

/// What the gateway writes into Contact as the host, where later requests of a dialog are sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContactHost {
    /// The address of its socket, as in Via.
    Address,
    /// The XMPP user's domain, as in the RFCs' examples: for a proxy that routes that domain here.
    Domain,
}

/// Domains: any, or these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Domains {
    /// Written as `"*"`.
    Any,
    /// These and no others; each prepared as an XMPP domain part.
    These(Vec<String>),
}

impl Domains {
    /// These; empty for any.
    pub fn list(&self) -> &[String] {
        match self {
            Domains::Any => &[],
            Domains::These(these) => these,
        }
    }

    /// Whether `domain`, prepared the same way, is one of them.
    pub fn contains(&self, domain: &str) -> bool {
        match self {
            Domains::Any => true,
            Domains::These(these) => these.iter().any(|d| d == domain),
        }
    }
}

/// A domain in the form that is compared: as RFC 7622 prepares the domain part of an address.
pub(crate) fn domain(text: &str) -> Result<String, Wrong> {
    const ALLOWED: &str = "a domain name such as \"example.com\"";
    if text.contains('@') {
        return Err(Wrong::new("an address, not a domain", ALLOWED));
    }
    match xmpp::jid::domain(text) {
        Ok(domain) => Ok(domain.to_string()),
        Err(e) => Err(Wrong::new(e.to_string(), ALLOWED)),
    }
}

/// The name of a host that the system resolves; it need not be one of DNS.
fn host_name(name: &str) -> Result<String, String> {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let label = |label: &str| (1..=63).contains(&label.len());
    match name {
        "" => Err("no host"),
        _ if !name.chars().all(bare) => Err("not a host: it has a character that names of hosts do not have"),
        _ if name.len() > 253 || !name.strip_suffix('.').unwrap_or(name).split('.').all(label) => {
            Err("not a host: a part between the dots is empty or too long")
        }
        _ => Ok(name.to_ascii_lowercase()),
    }
    .map_err(str::to_owned)
}

/// A domain, or `*` for any.
pub(crate) fn domain_or_any(text: &str) -> Result<Option<String>, Wrong> {
    match text {
        "*" => Ok(None),
        _ => domain(text).map(Some).map_err(|w| Wrong::new(w.problem, format!("{}, or \"*\" for any", w.allowed))),
    }
}

/// A socket address: a literal IP address and a port.
pub(crate) fn socket(text: &str) -> Result<SocketAddr, Wrong> {
    text.parse()
        .map_err(|_| Wrong::new("not an IP address with a port", "such as \"127.0.0.1:8480\" or \"[::1]:8480\""))
}

/// Transport and address of a socket.
pub(crate) fn listen(text: &str) -> Result<(Transport, SocketAddr), Wrong> {
    const ALLOWED: &str =
        "\"TRANSPORT:ADDRESS:PORT\": udp, tcp, tls, ws or wss, with an IP address, such as \"udp:192.0.2.1:5060\"";
    let (transport, address) = transport_and_rest(text, ALLOWED)?;
    match address.parse() {
        Ok(address) => Ok((transport, address)),
        Err(_) => Err(Wrong::new("not an IP address with a port", ALLOWED)),
    }
}

/// Transport, host and port to advertise.
pub(crate) fn advertise(text: &str) -> Result<(Transport, HostPort), Wrong> {
    const ALLOWED: &str = "\"TRANSPORT:HOST:PORT\": udp, tcp, tls, ws or wss, such as \"tls:sip.example.net:5061\"";
    let (transport, address) = transport_and_rest(text, ALLOWED)?;
    Ok((transport, split_host_port(address, None).map_err(|problem| Wrong::new(problem, ALLOWED))?))
}

fn transport_and_rest<'a>(text: &'a str, allowed: &str) -> Result<(Transport, &'a str), Wrong> {
    let known = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];
    let Some((name, rest)) = text.split_once(':') else { return Err(Wrong::new("no transport in front", allowed)) };
    match known.into_iter().find(|transport| transport.in_uri() == name) {
        Some(transport) => Ok((transport, rest)),
        None => Err(Wrong::new("no transport in front", allowed)),
    }
}

/// A host and a port.
pub(crate) fn host_port(text: &str) -> Result<HostPort, Wrong> {
    split_host_port(text, None).map_err(|problem| Wrong::new(problem, "\"HOST:PORT\", such as \"127.0.0.1:5347\""))
}

pub(crate) fn split_host_port(text: &str, default_port: Option<u16>) -> Result<HostPort, String> {
    let (host, port) = match text.rfind(':') {
        Some(colon) if !text.ends_with(']') => (&text[..colon], Some(&text[colon + 1..])),
        _ => (text, None),
    };
    let port = match (port, default_port) {
        (Some(port), _) => match port.parse::<u16>() {
            Ok(port) if port != 0 => port,
            _ => return Err("the port is not a number from 1 to 65535".to_owned()),
        },
        (None, Some(port)) => port,
        (None, None) => return Err("no port".to_owned()),
    };
    let host = if let Some(inside) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Host::Address(IpAddr::V6(inside.parse().map_err(|_| "not an IPv6 address between the brackets".to_owned())?))
    } else if let Ok(address) = host.parse::<IpAddr>() {
        if address.is_ipv6() {
            return Err("an IPv6 address stands in brackets".to_owned());
        }
        Host::Address(address)
    } else if host.chars().all(|c| c.is_ascii_digit() || c == '.') {
        // 127.1 or 2130706433: some resolvers take them as addresses, so they are never names.
        return Err("not a host: neither an IPv4 address nor a name".to_owned());
    } else {
        Host::Name(host_name(host)?)
    };
    Ok(HostPort { host, port })
}

/// A network.
pub(crate) fn network(text: &str) -> Result<Network, Wrong> {
    const ALLOWED: &str = "an address, or a network such as \"192.0.2.0/24\" or \"2001:db8::/32\"";
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else { return Err(Wrong::new("not an IP address", ALLOWED)) };
    let Some(prefix) = prefix else { return Ok(Network::of(address)) };
    let Some(network) = prefix.parse().ok().and_then(|prefix| Network::new(address, prefix)) else {
        let widest = if address.is_ipv4() { 32 } else { 128 };
        return Err(Wrong::new(format!("the prefix is not a number from 0 to {widest}"), ALLOWED));
    };
    if network.address != address {
        return Err(Wrong::new(format!("has bits beyond its prefix; the network is {network}"), ALLOWED));
    }
    Ok(network)
}

/// The URI of the outbound proxy: RFC 3261 §19.1.1, without a user part.
pub(crate) fn proxy(text: &str) -> Result<ProxyUri, Wrong> {
    const ALLOWED: &str = "\"sip:HOST[:PORT][;transport=udp|tcp|tls|ws|wss][;lr]\", or sips: for TLS";
    let wrong = |problem: &str| Err(Wrong::new(problem, ALLOWED));
    let (secure, rest) = match text.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("sip") => (false, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("sips") => (true, rest),
        _ => return wrong("not a sip URI"),
    };
    if rest.contains('@') {
        return wrong("a proxy has no user part");
    }
    if rest.contains('?') {
        return wrong("a proxy has no header fields behind a question mark");
    }
    let mut parts = rest.split(';');
    let authority = parts.next().unwrap_or_default();
    let (mut said, mut lr) = (None, false);
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        match (name.to_ascii_lowercase().as_str(), value.to_ascii_lowercase().as_str()) {
            ("transport", value) if said.is_none() => match Transport::of_uri(value) {
                Some(transport) => said = Some(transport),
                None => return wrong("not a transport of SIP"),
            },
            ("transport", _) => return wrong("two transports"),
            ("lr", "" | "on" | "true") => lr = true,
            _ => return Err(Wrong::new(format!("the parameter {name:?} means nothing here"), ALLOWED)),
        }
    }
    let transport = match (secure, said) {
        (false, said) => said.unwrap_or(Transport::Udp),
        (true, None | Some(Transport::Tcp | Transport::Tls)) => Transport::Tls,
        (true, Some(Transport::Ws | Transport::Wss)) => Transport::Wss,
        (true, Some(Transport::Udp)) => return wrong("a sips URI asks for TLS, which UDP has not"),
    };
    let HostPort { host, port } =
        split_host_port(authority, Some(transport.default_port())).map_err(|problem| Wrong::new(problem, ALLOWED))?;
    let mut uri = format!("{}:{host}:{port}", if secure { "sips" } else { "sip" });
    if let Some(said) = said {
        uri = format!("{uri};transport={}", said.in_uri());
    }
    if lr {
        uri.push_str(";lr");
    }
    Ok(ProxyUri { host, port, transport, lr, uri })
}

/// A web page's origin, as browsers write it (RFC 6454 §6.2), or `*` for any.
pub(crate) fn origin(text: &str) -> Result<Option<String>, Wrong> {
    const ALLOWED: &str = "\"https://HOST[:PORT]\" as browsers write it, or \"*\" for any";
    let rest = text.split_once("://").filter(|(scheme, _)| !scheme.is_empty()).map(|(_, rest)| rest);
    match (text, rest) {
        ("*", _) => Ok(None),
        (_, Some(rest)) if !rest.is_empty() && !rest.contains(['/', '?', '#', ' ', '@']) && text.is_ascii() => {
            Ok(Some(text.to_ascii_lowercase()))
        }
        _ => Err(Wrong::new("not an origin", ALLOWED)),
    }
}

/// A store's URL. A relative path starts at `folder`.
pub(crate) fn store(text: &str, folder: &Path) -> Result<Store, Wrong> {
    const ALLOWED: &str = "\"memory:\", or \"redb:PATH\" such as \"redb:data/verona.redb\"";
    match text.split_once(':') {
        Some(("memory", "")) => Ok(Store::Memory),
        Some(("redb", "")) => Err(Wrong::new("no path behind redb:", ALLOWED)),
        Some(("redb", path)) => Ok(Store::Redb(folder.join(path))),
        _ => Err(Wrong::new("not a store", ALLOWED)),
    }
}

/// What stands in Contact.
pub(crate) fn contact(text: &str) -> Result<ContactHost, Wrong> {
    match text {
        "address" => Ok(ContactHost::Address),
        "domain" => Ok(ContactHost::Domain),
        _ => Err(Wrong::new("neither of the two", "\"address\" or \"domain\"")),
    }
}

/// A length of time with its unit: `500ms`, `10s`, `2m`, `1h`, `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, Wrong> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    match number.parse::<u64>().ok().filter(|_| millis > 0).and_then(|n| n.checked_mul(millis)) {
        Some(millis) => Ok(Duration::from_millis(millis)),
        None => Err(Wrong::new(
            "not a length of time",
            "a whole number with its unit: \"500ms\", \"10s\", \"2m\", \"1h\", \"7d\"",
        )),
    }
}

/// A length of time as it is written: the largest unit that leaves a whole number.
pub(crate) fn show_duration(d: Duration) -> String {
    match d.as_millis() {
        0 => "0s".to_owned(),
        ms if ms % 86_400_000 == 0 => format!("{}d", ms / 86_400_000),
        ms if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}
