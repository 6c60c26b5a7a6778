//! `[dns]`: who is asked for names.

use super::mistake::Wrong;
use super::read::Reader;
use std::net::{IpAddr, SocketAddr};

/// The port of name servers (RFC 1035 §4.2).
const DNS_PORT: u16 = 53;

/// Who is asked for names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dns {
    /// The name server; none: those of the system.
    pub server: Option<SocketAddr>,
}

/// Reads `[dns]`.
pub(super) fn dns(r: &mut Reader<'_>) -> Dns {
    r.table("dns");
    Dns { server: r.text("dns.server", server) }
}

/// An address, with a port or without.
fn server(text: &str) -> Result<SocketAddr, Wrong> {
    let bare = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, DNS_PORT));
    match text.parse().or(bare) {
        Ok(server) if server.port() != 0 => Ok(server),
        _ => Err(Wrong::new("not an IP address", "\"ADDRESS[:PORT]\", such as \"127.0.0.53\" or \"[::1]:5353\"")),
    }
}
