//! Via: RFC 3261 §20.42, RFC 3581.

use crate::header::params::Params;
use crate::lex::{self, Cursor, Syntax};
use crate::uri::{Host, ip_text, read_port};
use base::Str;
use std::fmt;
use std::net::IpAddr;

/// One Via value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Via {
    /// Protocol name and version: `SIP/2.0`, but for what another world has written.
    pub protocol: Str,
    /// The transport in upper case: `UDP`, `TCP`, `TLS`, `WS`, ...
    pub transport: Str,
    /// Who sent it, by its own word.
    pub host: Host,
    /// The port it wants to be answered at; `None` for the transport's own.
    pub port: Option<u16>,
    /// `branch`, `received`, `rport`, ...
    pub params: Params,
}

impl Via {
    /// A Via of our own, with `rport` (RFC 3581 §3) and a branch.
    pub fn new(transport: &str, host: Host, port: Option<u16>, branch: &str) -> Via {
        let mut params = Params::new();
        params.set("branch", Some(branch));
        params.set("rport", None);
        Via { protocol: Str::const_new("SIP/2.0"), transport: Str::new(transport), host, port, params }
    }

    /// Reads one value: `sent-protocol LWS sent-by *( SEMI via-params )`.
    pub fn parse(text: &str) -> Result<Via, Syntax> {
        let mut cursor = Cursor::new(text);
        cursor.skip_ws();
        let name = cursor.token().ok_or(Syntax("protocol"))?;
        slash(&mut cursor)?;
        let version = cursor.token().ok_or(Syntax("protocol version"))?;
        slash(&mut cursor)?;
        let mut transport = Str::new(cursor.token().ok_or(Syntax("transport"))?);
        if transport.bytes().any(|b| b.is_ascii_lowercase()) {
            transport.make_ascii_uppercase();
        }
        let protocol = if name.eq_ignore_ascii_case("SIP") && version == "2.0" {
            Str::const_new("SIP/2.0")
        } else {
            base::format_compact!("{name}/{version}")
        };
        let before = cursor.at();
        cursor.skip_ws();
        if cursor.at() == before {
            return Err(Syntax("sent-by"));
        }
        let host = Host::read(&mut cursor)?;
        let port = if cursor.eat_padded(b':') { Some(read_port(&mut cursor)?) } else { None };
        let params = Params::read_with(&mut cursor, check_param)?;
        if cursor.is_done() {
            Ok(Via { protocol, transport, host, port, params })
        } else {
            Err(Syntax("garbage behind a Via"))
        }
    }

    /// The transaction's name: RFC 3261 §8.1.1.7. Elements of RFC 2543 have none.
    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch")
    }

    /// Where the request was seen to come from. IPv6 addresses come with brackets and without (RFC 5118 §4.5).
    pub fn received(&self) -> Option<IpAddr> {
        address(self.params.get("received")?)
    }

    /// Whether the sender asks to be answered at the port it sent from: RFC 3581 §3.
    pub fn wants_rport(&self) -> bool {
        self.params.has("rport")
    }

    /// The port the request was seen to come from, as an element behind the sender has filled it in.
    pub fn rport(&self) -> Option<u16> {
        u16::try_from(lex::number(self.params.get("rport")?, 65535)?).ok()
    }

    /// The multicast address or server to answer to: read, and not obeyed.
    pub fn maddr(&self) -> Option<Host> {
        Host::parse(self.params.get("maddr")?).ok()
    }

    /// The time-to-live of a multicast packet.
    pub fn ttl(&self) -> Option<u8> {
        u8::try_from(lex::number(self.params.get("ttl")?, 255)?).ok()
    }

    /// RFC 3581 §4 and RFC 3261 §18.2.1: notes the source of a request; `received` where sent-by says otherwise or
    /// `rport` was asked for, and `rport` where it was asked for. What the sender itself wrote there is overwritten.
    pub fn stamp(&mut self, source: IpAddr, port: u16) {
        let asked = self.wants_rport();
        if self.params.has("received") {
            self.params.remove("received");
        }
        if asked {
            self.params.set("rport", Some(&base::format_compact!("{port}")));
        }
        if asked || self.host.ip() != Some(source) {
            self.params.append("received", &ip_text(source));
        }
    }
}

/// The parameters that have a grammar of their own.
fn check_param(name: &str, value: Option<&str>) -> Result<(), Syntax> {
    let sound = match name.len() {
        3 if name.eq_ignore_ascii_case("ttl") => value.is_some_and(|v| lex::number(v, 255).is_some()),
        5 if name.eq_ignore_ascii_case("rport") => value.is_none_or(|v| lex::number(v, 65535).is_some()),
        5 if name.eq_ignore_ascii_case("maddr") => value.is_some_and(|v| Host::parse(v).is_ok()),
        6 if name.eq_ignore_ascii_case("branch") => value.is_some_and(|v| lex::all(v, lex::TOKEN)),
        8 if name.eq_ignore_ascii_case("received") => value.is_some_and(|v| address(v).is_some()),
        _ => true,
    };
    if sound { Ok(()) } else { Err(Syntax("parameter of a Via")) }
}

fn slash(cursor: &mut Cursor<'_>) -> Result<(), Syntax> {
    if cursor.eat_padded(b'/') { Ok(()) } else { Err(Syntax("sent-protocol")) }
}

fn address(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        Some(inside) => inside.parse().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.protocol)?;
        f.write_str("/")?;
        f.write_str(&self.transport)?;
        f.write_str(" ")?;
        self.host.fmt(f)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(self.params.as_str())
    }
}

impl std::str::FromStr for Via {
    type Err = Syntax;

    fn from_str(text: &str) -> Result<Via, Syntax> {
        Via::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_via_prints_in_one_form() {
        for (text, printed) in [
            ("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx"),
            (
                "sip / 2.0 / udp  Example.COM : 5060 ; branch = z9hG4bKx ; rport",
                "SIP/2.0/UDP example.com:5060;branch=z9hG4bKx;rport",
            ),
            (
                "SIP/2.0/TCP [2001:db8::1]:5060;received=[2001:db8::2]",
                "SIP/2.0/TCP [2001:db8::1]:5060;received=[2001:db8::2]",
            ),
            (
                "SIP/2.0/UNKNOWN a.example;hidden;ttl=1;maddr=224.0.0.1",
                "SIP/2.0/UNKNOWN a.example;hidden;ttl=1;maddr=224.0.0.1",
            ),
            ("XMPP/1.0/TCP a.example", "XMPP/1.0/TCP a.example"),
        ] {
            let via = Via::parse(text).expect(text);
            assert_eq!(via.to_string(), printed);
            assert_eq!(Via::parse(printed), Ok(via));
        }
    }

    #[test]
    fn what_is_no_via() {
        for text in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0 a.example",
            "SIP/2.0/UDPa.example:5060",
            "SIP/2.0/UDP a.example;;",
            "SIP/2.0/UDP a.example;branch=",
            "SIP/2.0/UDP a.example;branch=a:b",
            "SIP/2.0/UDP a.example:99999",
            "SIP/2.0/UDP a.example;ttl=256",
            "SIP/2.0/UDP a.example;rport=x",
            "SIP/2.0/UDP a.example;received=a.example",
            "SIP/2.0/UDP a.example, SIP/2.0/UDP b.example",
            "SIP/2.0/UDP 2001:db8::1",
        ] {
            assert!(Via::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_source_is_noted() {
        let source: IpAddr = "192.0.2.9".parse().expect("an address");
        let stamped = |text: &str| {
            let mut via = Via::parse(text).expect(text);
            via.stamp(source, 4711);
            via.to_string()
        };
        assert_eq!(
            stamped("SIP/2.0/UDP a.example;branch=z9hG4bKx"),
            "SIP/2.0/UDP a.example;branch=z9hG4bKx;received=192.0.2.9"
        );
        assert_eq!(stamped("SIP/2.0/UDP 192.0.2.9"), "SIP/2.0/UDP 192.0.2.9");
        assert_eq!(stamped("SIP/2.0/UDP 192.0.2.9;rport"), "SIP/2.0/UDP 192.0.2.9;rport=4711;received=192.0.2.9");
        assert_eq!(
            stamped("SIP/2.0/UDP 192.0.2.9;received=203.0.113.1;rport=1"),
            "SIP/2.0/UDP 192.0.2.9;rport=4711;received=192.0.2.9"
        );
        assert_eq!(stamped("SIP/2.0/UDP 192.0.2.9;received=203.0.113.1"), "SIP/2.0/UDP 192.0.2.9");
    }
}
