//! XMPP addresses, RFC 7622.
//!
//! A [`Jid`] holds its parts in the one form that the enforcement of RFC 7622 gives: whatever spelling arrived, equal
//! addresses are equal bytes, so that `==`, ordering and hashing are the comparison of the RFC.
//!
//! Many servers still apply the stringprep profiles of RFC 6122 (Nodeprep, Nameprep, Resourceprep) instead. They agree
//! with the rules here on all of ASCII. Where they differ (see [`Jid::is_stringprep_stable`]), a name that is one
//! user's here may be another user's there.

mod domain;
pub mod escape;
mod prepare;

use base::Str;
use std::fmt;
use std::str::FromStr;

pub use domain::{domain, domain_to_ascii};
pub use prepare::{username_fold, width_map};

/// The most octets of each part, after preparation (RFC 7622 §3.2, §3.3, §3.4).
pub const MAX_PART: usize = 1023;

/// The address of an XMPP entity: `localpart@domainpart/resourcepart`, the first and the last of them optional.
///
/// The domain is kept as U-labels (RFC 7622 §3.2.1), in lower case and without a trailing dot; see [`domain_to_ascii`]
/// for what DNS and SIP want.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Jid {
    // In the order of comparison that keeps the users of a domain together.
    domain: Str,
    local: Option<Str>,
    resource: Option<Str>,
}

/// Why a string is no [`Jid`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JidError {
    /// The part is there but has no octets, or the domain is missing.
    Empty(Part),
    /// The part has more than [`MAX_PART`] octets.
    TooLong(Part),
    /// The part has a character that its string class does not allow: here, or at this place.
    Forbidden(Part, char),
    /// The part mixes writing directions against the Bidi Rule (RFC 5893 §2).
    Directionality(Part),
    /// The part never comes to rest under its mapping rules (RFC 8264 §7).
    Unstable(Part),
    /// The domain is neither a host name, nor an IDNA name, nor an IP literal; why.
    BadDomain(&'static str),
}

/// A part of a [`Jid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Before the `@`.
    Local,
    /// The only part that is always there.
    Domain,
    /// Behind the first `/`.
    Resource,
}

impl Jid {
    /// Takes an address apart (RFC 7622 §3.2: the first `/` ends the domain, then the first `@` ends the local part)
    /// and prepares its parts.
    pub fn parse(address: &str) -> Result<Jid, JidError> {
        let (bare, resource) = match memchr(b'/', address) {
            Some(slash) => (&address[..slash], Some(&address[slash + 1..])),
            None => (address, None),
        };
        let (local, domain) = match memchr(b'@', bare) {
            Some(at) => (Some(&bare[..at]), &bare[at + 1..]),
            None => (None, bare),
        };
        Jid::new(local, domain, resource)
    }

    /// Prepares the parts of an address.
    pub fn new(local: Option<&str>, domain: &str, resource: Option<&str>) -> Result<Jid, JidError> {
        Ok(Jid {
            domain: domain::domain(domain)?,
            local: local.map(prepare::local).transpose()?,
            resource: resource.map(prepare::resource).transpose()?,
        })
    }

    /// The part before the `@`, still escaped (XEP-0106) where it is.
    pub fn local(&self) -> Option<&str> {
        self.local.as_deref()
    }

    /// The domain: U-labels in lower case, or an IPv4 address, or an IPv6 address in brackets.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The part behind the first `/`.
    pub fn resource(&self) -> Option<&str> {
        self.resource.as_deref()
    }

    /// The address without its resource.
    pub fn bare(&self) -> Jid {
        Jid { domain: self.domain.clone(), local: self.local.clone(), resource: None }
    }

    /// Whether there is no resource.
    pub fn is_bare(&self) -> bool {
        self.resource.is_none()
    }

    /// The same address with this resource in place of its own.
    pub fn with_resource(&self, resource: &str) -> Result<Jid, JidError> {
        let resource = Some(prepare::resource(resource)?);
        Ok(Jid { domain: self.domain.clone(), local: self.local.clone(), resource })
    }

    /// Whether both are the same but for the resource.
    pub fn same_bare(&self, other: &Jid) -> bool {
        self.domain == other.domain && self.local == other.local
    }

    /// Whether a server that applies the stringprep profiles of RFC 6122 leaves local part and domain as they are.
    ///
    /// Such a server folds, for one, `ß` to `ss`: what `fußball@` sends reaches others as sent by `fussball@`, and two
    /// users became one. Whoever mints addresses from foreign names asks this first. Characters that came after
    /// Unicode 3.2 are not looked at: such a server refuses them or leaves them alone.
    pub fn is_stringprep_stable(&self) -> bool {
        let stable = |s: &str| s.is_ascii() || !s.chars().any(prepare::folds_in_stringprep);
        stable(&self.domain) && self.local.as_deref().is_none_or(stable)
    }
}

/// The first place of an ASCII byte.
fn memchr(byte: u8, text: &str) -> Option<usize> {
    text.bytes().position(|b| b == byte)
}

impl FromStr for Jid {
    type Err = JidError;
    fn from_str(address: &str) -> Result<Jid, JidError> {
        Jid::parse(address)
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(local) = &self.local {
            f.write_str(local)?;
            f.write_str("@")?;
        }
        f.write_str(&self.domain)?;
        if let Some(resource) = &self.resource {
            f.write_str("/")?;
            f.write_str(resource)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jid({:?})", self.to_string())
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Local => "localpart",
            Part::Domain => "domainpart",
            Part::Resource => "resourcepart",
        })
    }
}

impl fmt::Display for JidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JidError::Empty(part) => write!(f, "{part} is empty"),
            JidError::TooLong(part) => write!(f, "{part} is longer than {MAX_PART} octets"),
            JidError::Forbidden(part, c) => write!(f, "{part} has U+{:04X}, which it may not", u32::from(*c)),
            JidError::Directionality(part) => write!(f, "{part} breaks the Bidi Rule"),
            JidError::Unstable(part) => write!(f, "{part} has no stable form"),
            JidError::BadDomain(why) => write!(f, "domainpart is no name or address: {why}"),
        }
    }
}

impl std::error::Error for JidError {}

#[cfg(test)]
mod tests;
