//! Uniform resource identifiers: RFC 3261 §19.1 and §25.1 `Request-URI`.

mod escape;
mod host;
mod params;

pub use escape::{encode_param, encode_user, percent_decode};
pub use host::Host;
pub(crate) use host::{ip_text, read_port};
pub use params::UriParams;

use crate::lex::{self, Cursor, PASSWORD, Syntax, URIC, USER};
use base::Str;
use std::fmt;

/// A URI as SIP carries it: in the start line and in name-addrs. What parses prints back in one form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Uri {
    /// `sip:` and `sips:`.
    Sip(SipUri),
    /// Any other scheme (`tel`, `im`, `pres`, `urn`, ...): kept, not understood.
    Other {
        /// The scheme in lower case, without the colon.
        scheme: Str,
        /// What follows the colon, as it came.
        rest: Str,
    },
}

/// A SIP or SIPS URI: RFC 3261 §19.1.1.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SipUri {
    /// `sips:` rather than `sip:`.
    pub secure: bool,
    /// The user part, still percent-encoded; never empty in a URI that was parsed. It may hold `;` and parameters of its
    /// own (RFC 4475 §3.1.1.9).
    pub user: Option<Str>,
    /// The password, still percent-encoded; perhaps empty.
    pub password: Option<Str>,
    /// The host.
    pub host: Host,
    /// The port, if one is written.
    pub port: Option<u16>,
    /// The URI's own parameters.
    pub params: UriParams,
    /// What stands behind the `?`: header fields for a request made from this URI, still percent-encoded. Nothing here
    /// ever makes a header of them (THREATS: injection by URI).
    pub headers: Option<Str>,
}

impl Uri {
    /// Reads an `addr-spec` or `Request-URI`.
    pub fn parse(text: &str) -> Result<Uri, Syntax> {
        if let Some((secure, rest)) = sip_scheme(text) {
            return Ok(Uri::Sip(SipUri::parse_rest(secure, rest)?));
        }
        let (scheme, rest) = text.split_once(':').ok_or(Syntax("URI without a scheme"))?;
        let sound = scheme.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        if !sound {
            return Err(Syntax("URI scheme"));
        }
        if rest.is_empty() || !lex::escaped(rest, URIC) {
            return Err(Syntax("URI"));
        }
        let mut scheme = Str::new(scheme);
        scheme.make_ascii_lowercase();
        Ok(Uri::Other { scheme, rest: Str::new(rest) })
    }

    /// The SIP or SIPS URI, if it is one.
    pub fn sip(&self) -> Option<&SipUri> {
        match self {
            Uri::Sip(uri) => Some(uri),
            Uri::Other { .. } => None,
        }
    }

    /// The scheme in lower case.
    pub fn scheme(&self) -> &str {
        match self {
            Uri::Sip(SipUri { secure: false, .. }) => "sip",
            Uri::Sip(SipUri { secure: true, .. }) => "sips",
            Uri::Other { scheme, .. } => scheme,
        }
    }

    /// RFC 3261 §19.1.4; URIs of other schemes are compared as they came.
    pub fn equivalent(&self, other: &Uri) -> bool {
        match (self, other) {
            (Uri::Sip(a), Uri::Sip(b)) => a.equivalent(b),
            (a, b) => a == b,
        }
    }
}

impl SipUri {
    /// `sip:` and a host, nothing else.
    pub fn new(host: Host) -> SipUri {
        SipUri { secure: false, user: None, password: None, host, port: None, params: UriParams::new(), headers: None }
    }

    /// The same with a user part, which comes in unencoded. An empty one is none.
    pub fn with_user(mut self, user: &[u8]) -> SipUri {
        self.user = Some(encode_user(user)).filter(|user| !user.is_empty());
        self
    }

    /// Reads a SIP or SIPS URI.
    pub fn parse(text: &str) -> Result<SipUri, Syntax> {
        let (secure, rest) = sip_scheme(text).ok_or(Syntax("not a SIP URI"))?;
        SipUri::parse_rest(secure, rest)
    }

    fn parse_rest(secure: bool, rest: &str) -> Result<SipUri, Syntax> {
        // An `@` stands nowhere in a SIP URI but behind the userinfo, so the first one ends it.
        let (user, password, rest) = match memchr::memchr(b'@', rest.as_bytes()) {
            None => (None, None, rest),
            Some(at) => {
                let userinfo = &rest[..at];
                let (user, password) = match userinfo.split_once(':') {
                    Some((user, password)) => (user, Some(password)),
                    None => (userinfo, None),
                };
                if user.is_empty() || !lex::escaped(user, USER) {
                    return Err(Syntax("user part"));
                }
                if password.is_some_and(|password| !lex::escaped(password, PASSWORD)) {
                    return Err(Syntax("password"));
                }
                (Some(Str::new(user)), password.map(Str::new), &rest[at + 1..])
            }
        };
        let mut cursor = Cursor::new(rest);
        let host = Host::read(&mut cursor)?;
        let port = if cursor.eat(b':') { Some(read_port(&mut cursor)?) } else { None };
        let params = UriParams::read(&mut cursor)?;
        let headers = if cursor.eat(b'?') {
            params::check_headers(cursor.rest())?;
            Some(Str::new(cursor.rest()))
        } else if cursor.is_done() {
            None
        } else {
            return Err(Syntax("URI"));
        };
        Ok(SipUri { secure, user, password, host, port, params, headers })
    }

    /// The user part decoded once. `None` if there is none or its encoding is broken (it cannot be in a parsed URI).
    pub fn user_octets(&self) -> Option<Vec<u8>> {
        percent_decode(self.user.as_deref()?).ok()
    }

    /// RFC 5627 §3: the `gr` parameter: `None` without one, `Some("")` for the flag of a temporary GRUU. Encoded.
    pub fn gr(&self) -> Option<&str> {
        self.params.has("gr").then(|| self.params.get("gr").unwrap_or_default())
    }

    /// RFC 3261 §19.1.4: user and password by case, everything else without; a port or header in one must be in the other.
    pub fn equivalent(&self, other: &SipUri) -> bool {
        let same = |a: &Option<Str>, b: &Option<Str>| match (a, b) {
            (Some(a), Some(b)) => escape::same(a, b, false),
            (a, b) => a.is_none() && b.is_none(),
        };
        self.secure == other.secure
            && same(&self.user, &other.user)
            && same(&self.password, &other.password)
            && self.host == other.host
            && self.port == other.port
            && params::equivalent(&self.params, &other.params)
            && same_headers(self.headers.as_deref(), other.headers.as_deref())
    }
}

/// The headers of both URIs in any order, names without regard to case. The values are compared as texts: their own
/// grammars would be needed for more.
fn same_headers(a: Option<&str>, b: Option<&str>) -> bool {
    fn sorted(headers: &str) -> Vec<(String, &str)> {
        let mut all: Vec<_> = headers
            .split('&')
            .map(|header| header.split_once('=').unwrap_or((header, "")))
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect();
        all.sort();
        all
    }
    match (a, b) {
        (Some(a), Some(b)) => {
            let (a, b) = (sorted(a), sorted(b));
            a.len() == b.len()
                && a.iter().zip(&b).all(|(x, y)| escape::same(&x.0, &y.0, true) && escape::same(x.1, y.1, false))
        }
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// Splits off `sip:` or `sips:`; schemes have no case.
fn sip_scheme(text: &str) -> Option<(bool, &str)> {
    let bytes = text.as_bytes();
    match bytes.get(..4)? {
        [s, i, p, colon] if s | 0x20 == b's' && i | 0x20 == b'i' && p | 0x20 == b'p' => match (colon, bytes.get(4)) {
            (b':', _) => Some((false, &text[4..])),
            (b's' | b'S', Some(b':')) => Some((true, &text[5..])),
            _ => None,
        },
        _ => None,
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secure { "sips:" } else { "sip:" })?;
        if let Some(user) = &self.user {
            f.write_str(user)?;
            if let Some(password) = &self.password {
                f.write_str(":")?;
                f.write_str(password)?;
            }
            f.write_str("@")?;
        }
        self.host.fmt(f)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(self.params.as_str())?;
        if let Some(headers) = &self.headers {
            f.write_str("?")?;
            f.write_str(headers)?;
        }
        Ok(())
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Uri::Sip(uri) => uri.fmt(f),
            Uri::Other { scheme, rest } => {
                f.write_str(scheme)?;
                f.write_str(":")?;
                f.write_str(rest)
            }
        }
    }
}

impl From<SipUri> for Uri {
    fn from(uri: SipUri) -> Uri {
        Uri::Sip(uri)
    }
}

impl std::str::FromStr for Uri {
    type Err = Syntax;

    fn from_str(text: &str) -> Result<Uri, Syntax> {
        Uri::parse(text)
    }
}

impl std::str::FromStr for SipUri {
    type Err = Syntax;

    fn from_str(text: &str) -> Result<SipUri, Syntax> {
        SipUri::parse(text)
    }
}

#[cfg(test)]
mod tests;
