//! MSRP URIs (RFC 4975 §6) and paths, which are lists of them.

use crate::lex::{self, HOST, SESSION, Syntax, TOKEN, USER};
use base::Str;
use memchr::{memchr, memchr2};
use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The most URIs in a path: more relays on the way than anybody has.
const LONGEST_PATH: usize = 16;
/// The longest URI.
const LONGEST_URI: usize = 1024;

/// Where a URI leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A literal address, in its strict form: `127.1` and the like are names.
    Ip(IpAddr),
    /// A name, in lower case.
    Name(Str),
}

impl fmt::Display for Host {
    /// As in a URI: an IPv6 address in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Host::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Host::Name(name) => f.write_str(name),
        }
    }
}

/// One MSRP URI, seen in its text. Equality is that of the text; [`Uri::matches`] is RFC 4975 §6.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    text: &'a str,
    secure: bool,
    host: &'a str,
    port: Option<u16>,
    session: Option<&'a str>,
    transport: &'a str,
}

impl<'a> Uri<'a> {
    /// Reads a URI: `msrp://host:port/session;tcp`. A literal address has a port (RFC 4975 §6), a password has no place.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &'a str) -> Result<Uri<'a>, Syntax> {
        if text.len() > LONGEST_URI {
            return Err(Syntax("URI too long"));
        }
        let begins = |with: &[u8]| text.as_bytes().get(..with.len()).is_some_and(|t| t.eq_ignore_ascii_case(with));
        let (secure, rest) = if begins(b"msrp://") {
            (false, &text[7..])
        } else if begins(b"msrps://") {
            (true, &text[8..])
        } else {
            return Err(Syntax("no MSRP URI"));
        };
        // Neither a session-id nor a parameter may have an @, so there is at most one.
        let rest = match memchr(b'@', rest.as_bytes()) {
            Some(at) if lex::escaped(&rest[..at], USER) => &rest[at + 1..],
            Some(_) => return Err(Syntax("bad userinfo in a URI")),
            None => rest,
        };
        let end = memchr2(b'/', b';', rest.as_bytes()).ok_or(Syntax("URI without a transport"))?;
        let (host, port) = authority(&rest[..end])?;
        let (session, rest) = if rest.as_bytes()[end] == b'/' {
            let rest = &rest[end + 1..];
            let end = memchr(b';', rest.as_bytes()).ok_or(Syntax("URI without a transport"))?;
            if !lex::all(&rest[..end], SESSION) {
                return Err(Syntax("bad session-id in a URI"));
            }
            (Some(&rest[..end]), &rest[end + 1..])
        } else {
            (None, &rest[end + 1..])
        };
        let (transport, params) = match memchr(b';', rest.as_bytes()) {
            Some(end) => (&rest[..end], Some(&rest[end + 1..])),
            None => (rest, None),
        };
        if transport.is_empty() || !transport.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(Syntax("bad transport in a URI"));
        }
        let sound = |param: &str| match param.split_once('=') {
            Some((name, value)) => lex::all(name, TOKEN) && lex::all(value, TOKEN),
            None => lex::all(param, TOKEN),
        };
        if !params.is_none_or(|params| params.split(';').all(sound)) {
            return Err(Syntax("bad parameter in a URI"));
        }
        Ok(Uri { text, secure, host, port, session, transport })
    }

    /// The text as it came.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// Whether the scheme is `msrps`: TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host: an address where it is written as one, else a name, whose escapes are undone.
    pub fn host(&self) -> Host {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse() {
            Ok(ip) => Host::Ip(ip),
            Err(_) => Host::Name(Str::from(unescape(self.host).to_ascii_lowercase())),
        }
    }

    /// The port, where one is named. There is no default.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The session-id. Without one the URI means a device: a relay.
    pub fn session_id(&self) -> Option<&'a str> {
        self.session
    }

    /// The transport: `tcp` is the only one there is.
    pub fn transport(&self) -> &'a str {
        self.transport
    }

    /// Whether both mean the same (RFC 4975 §6.1).
    pub fn matches(&self, other: &Uri<'_>) -> bool {
        self.text == other.text
            || (self.secure == other.secure
                && self.port == other.port
                && self.session == other.session
                && self.transport.eq_ignore_ascii_case(other.transport)
                && (self.host.eq_ignore_ascii_case(other.host) || self.host() == other.host()))
    }
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

/// Host and port.
fn authority(text: &str) -> Result<(&str, Option<u16>), Syntax> {
    let (host, port) = if text.starts_with('[') {
        let end = text.find(']').ok_or(Syntax("bad host in a URI"))?;
        let (host, port) = text.split_at(end + 1);
        if host[1..end].parse::<Ipv6Addr>().is_err() {
            return Err(Syntax("bad host in a URI"));
        }
        match port.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if port.is_empty() => (host, None),
            None => return Err(Syntax("bad port in a URI")),
        }
    } else {
        let (host, port) = match memchr(b':', text.as_bytes()) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        if host.is_empty() || !lex::escaped(host, HOST) {
            return Err(Syntax("bad host in a URI"));
        }
        (host, port)
    };
    let port = match port {
        Some(port) => match lex::number(port).map(u16::try_from) {
            Some(Ok(port)) => Some(port),
            Some(Err(_)) | None => return Err(Syntax("bad port in a URI")),
        },
        None => None,
    };
    // RFC 4975 §6: a numeric address must have a port.
    if port.is_none() && (host.starts_with('[') || host.parse::<IpAddr>().is_ok()) {
        return Err(Syntax("an address without a port in a URI"));
    }
    Ok((host, port))
}

/// Undoes `%XX`. What is no UTF-8 then stays as it was.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => match (digit(bytes.next()), digit(bytes.next())) {
                (Some(high), Some(low)) => out.push(high << 4 | low),
                _ => return Cow::Borrowed(text),
            },
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// One or more URIs, as in To-Path, From-Path, Use-Path and `a=path`. Equality is that of the text; [`Path::matches`] is
/// RFC 4975 §6.1.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Path {
    /// Sound URIs with one space between.
    text: Str,
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// What is wrong with it: each URI must be sound, there are one to sixteen, with one space between.
    pub fn parse(text: &str) -> Result<Path, Syntax> {
        let mut rest = text;
        for _ in 0..LONGEST_PATH {
            match memchr(b' ', rest.as_bytes()) {
                Some(end) => {
                    Uri::parse(&rest[..end])?;
                    rest = &rest[end + 1..];
                }
                None => {
                    Uri::parse(rest)?;
                    return Ok(Path { text: Str::from(text) });
                }
            }
        }
        Err(Syntax("path too long"))
    }

    /// The path of one URI that names a session at a device.
    ///
    /// # Errors
    /// If the session-id or the host's name is not legal in a URI.
    pub fn of_session(secure: bool, host: &Host, port: u16, session: &str) -> Result<Path, Syntax> {
        let scheme = if secure { "msrps" } else { "msrp" };
        let text = base::format_compact!("{scheme}://{host}:{port}/{session};tcp");
        Uri::parse(&text)?;
        Ok(Path { text })
    }

    /// The text as it came.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The URIs, from the first that is visited to the last.
    pub fn uris(&self) -> impl DoubleEndedIterator<Item = Uri<'_>> {
        self.text.split(' ').filter_map(|uri| Uri::parse(uri).ok())
    }

    /// The first URI: the next hop.
    pub fn first(&self) -> Uri<'_> {
        Uri::parse(self.first_str()).expect("a path holds sound URIs")
    }

    /// The last URI: the end of the way.
    pub fn last(&self) -> Uri<'_> {
        let last = self.text.rsplit(' ').next().unwrap_or_default();
        Uri::parse(last).expect("a path holds sound URIs")
    }

    /// Whether there is only one URI.
    pub fn is_direct(&self) -> bool {
        memchr(b' ', self.text.as_bytes()).is_none()
    }

    /// Whether both mean the same way, URI by URI (RFC 4975 §6.1).
    pub fn matches(&self, other: &Path) -> bool {
        if self.text == other.text {
            return true;
        }
        let (mut ours, mut theirs) = (self.uris(), other.uris());
        loop {
            match (ours.next(), theirs.next()) {
                (Some(a), Some(b)) if a.matches(&b) => {}
                (None, None) => return true,
                _ => return false,
            }
        }
    }

    /// This path and then `rest`.
    #[must_use]
    pub fn then(&self, rest: &Path) -> Path {
        Path { text: base::format_compact!("{} {}", self.text, rest.text) }
    }

    /// The same URIs in the opposite order.
    #[must_use]
    pub fn reversed(&self) -> Path {
        let uris: Vec<&str> = self.text.rsplit(' ').collect();
        Path { text: Str::from(uris.join(" ")) }
    }

    /// The first URI alone.
    pub(crate) fn first_str(&self) -> &str {
        memchr(b' ', self.text.as_bytes()).map_or(self.as_str(), |end| &self.text[..end])
    }

    /// The session-id of the first URI, without another look at the rest of it: nothing else of a sound one has a slash.
    pub(crate) fn session_id(&self) -> Option<&str> {
        let first = self.first_str();
        let rest = &first[memchr(b'/', first.as_bytes())? + 2..];
        let rest = &rest[memchr(b'/', rest.as_bytes())? + 1..];
        memchr(b';', rest.as_bytes()).map(|end| &rest[..end])
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Path({})", self.text)
    }
}

#[cfg(test)]
mod tests;
