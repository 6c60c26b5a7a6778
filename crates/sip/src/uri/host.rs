//! Hosts: RFC 3261 §25.1 `host`, with the IPv6 references of RFC 5118.

use crate::lex::{self, Cursor, HOST, Syntax};
use base::Str;
use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A host of a URI or of a Via. Prints in one form: names in lower case, IPv6 addresses in brackets by RFC 5952.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A domain name in lower case, as `Host::parse` makes it. A trailing dot is kept.
    Name(Str),
    /// Four decimal numbers without leading zeros: octal and shortened forms are refused (THREATS: one policy for hosts).
    V4(Ipv4Addr),
    /// An IPv6 address without a zone.
    V6(Ipv6Addr),
}

impl Host {
    /// Reads a host, an IPv6 address in brackets. Beyond the grammar it takes `_` in names; the last label must begin
    /// with a letter, so `127.1`, `0x7f.1` or `2130706433` are no hosts.
    pub fn parse(text: &str) -> Result<Host, Syntax> {
        let mut cursor = Cursor::new(text);
        let host = Host::read(&mut cursor)?;
        if cursor.is_done() { Ok(host) } else { Err(Syntax("host")) }
    }

    /// Reads the host that starts at the cursor.
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Host, Syntax> {
        if cursor.eat(b'[') {
            let inside = cursor.until(b']').ok_or(Syntax("IPv6 reference"))?;
            let address = inside.parse().map_err(|_| Syntax("IPv6 reference"))?;
            cursor.eat(b']');
            return Ok(Host::V6(address));
        }
        read_name(cursor)
    }

    /// The address, when the host is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Host::Name(_) => None,
            Host::V4(address) => Some(IpAddr::V4(*address)),
            Host::V6(address) => Some(IpAddr::V6(*address)),
        }
    }
}

/// Four numbers without leading zeros. The standard library's reader does the same at four times the price, and every
/// request has some.
fn read_v4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0u8; 4];
    let mut filled = 0;
    let mut digits = 0;
    for byte in text.bytes() {
        if byte == b'.' {
            if digits == 0 || filled == 3 {
                return None;
            }
            filled += 1;
            digits = 0;
        } else if byte.is_ascii_digit() && (digits == 0 || octets[filled] != 0) {
            octets[filled] = octets[filled].checked_mul(10)?.checked_add(byte - b'0')?;
            digits += 1;
        } else {
            return None;
        }
    }
    (filled == 3 && digits > 0).then(|| Ipv4Addr::from(octets))
}

/// `hostname` or `IPv4address`, in one pass: every request holds several. A name is labels of letters, digits, hyphens
/// and underscores that neither begin nor end with a hyphen; the last one begins with a letter; one dot may follow.
fn read_name(cursor: &mut Cursor<'_>) -> Result<Host, Syntax> {
    const MALFORMED: Syntax = Syntax("host name");
    let rest = cursor.rest();
    let (mut before, mut first, mut upper, mut length) = (b'.', b'.', false, 0);
    for byte in rest.bytes() {
        if !lex::is(byte, HOST) {
            break;
        }
        if before == b'.' {
            // Neither a dot nor a hyphen begins a label.
            if matches!(byte, b'.' | b'-') {
                return Err(MALFORMED);
            }
            first = byte;
        } else if byte == b'.' && before == b'-' {
            return Err(MALFORMED);
        }
        upper |= byte.is_ascii_uppercase();
        before = byte;
        length += 1;
    }
    let text = &rest[..length];
    cursor.skip(length);
    if first.is_ascii_digit() {
        return read_v4(text).map(Host::V4).ok_or(MALFORMED);
    }
    if !first.is_ascii_alphabetic() || before == b'-' || length > 255 {
        return Err(MALFORMED);
    }
    let mut name = Str::new(text);
    if upper {
        name.make_ascii_lowercase();
    }
    Ok(Host::Name(name))
}

/// A port after a colon: 1*DIGIT, at most 65535.
pub(crate) fn read_port(cursor: &mut Cursor<'_>) -> Result<u16, Syntax> {
    let port = lex::number(cursor.digits(), u64::from(u16::MAX)).ok_or(Syntax("port"))?;
    u16::try_from(port).map_err(|_| Syntax("port"))
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Host {
        match address {
            IpAddr::V4(address) => Host::V4(address),
            IpAddr::V6(address) => Host::V6(address),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::V4(address) => write_v4(f, *address),
            Host::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// Dotted numbers in one write: the standard library formats each number with all its options.
fn write_v4(f: &mut impl fmt::Write, address: Ipv4Addr) -> fmt::Result {
    let mut text = [b'.'; 15];
    let mut length = 0;
    for (at, octet) in address.octets().into_iter().enumerate() {
        length += usize::from(at > 0);
        for (worth, digit) in [(100, octet / 100), (10, octet / 10 % 10), (1, octet % 10)] {
            if octet >= worth || worth == 1 {
                text[length] = b'0' + digit;
                length += 1;
            }
        }
    }
    f.write_str(std::str::from_utf8(&text[..length]).unwrap_or_default())
}

/// An address as text: IPv6 without brackets, as in `received`.
pub(crate) fn ip_text(address: IpAddr) -> Str {
    let mut text = Str::default();
    // Writing to a string cannot fail.
    let _ = match address {
        IpAddr::V4(address) => write_v4(&mut text, address),
        IpAddr::V6(address) => write!(text, "{address}"),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_prints_in_one_form() {
        for (text, printed) in [
            ("Example.COM", "example.com"),
            ("example.com.", "example.com."),
            ("a_b.example.com", "a_b.example.com"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:DB8:0::1]", "[2001:db8::1]"),
            ("[::ffff:192.0.2.1]", "[::ffff:192.0.2.1]"),
            ("1and1.com", "1and1.com"),
            ("x--y.example", "x--y.example"),
        ] {
            assert_eq!(Host::parse(text).expect(text).to_string(), printed);
        }
    }

    #[test]
    fn a_host_has_no_second_spelling_of_an_address() {
        for text in [
            "",
            ".",
            "a..b",
            "-a.b",
            "a-.b",
            "a.b-",
            "127.1",
            "0x7f.1",
            "2130706433",
            "010.0.0.1",
            "192.0.2.256",
            "192.0.2.00",
            "192.0.2",
            "192.0.2.1.",
            "192..2.1",
            "1.2.3.4.5",
            "a.1",
            "2001:db8::1",
            "[2001:db8:::1]",
            "[2001:db8::1",
            "[fe80::1%25eth0]",
            "[fe80::1%eth0]",
            "a b",
            "a@b",
            "é.example",
        ] {
            assert!(Host::parse(text).is_err(), "{text}");
        }
    }
}
