//! The preparation of domains: host names, IDNA names and IP literals.

use super::{JidError, MAX_PART, Part};
use base::{Str, format_compact};
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use std::net::{Ipv4Addr, Ipv6Addr};

/// A domain name has at most this many octets when written with dots (RFC 1035 §2.3.4).
const MAX_NAME: usize = 253;

/// Prepares a domain alone: U-labels in lower case, without a trailing dot; or an IPv4 address; or an IPv6 address in
/// brackets, in the form of RFC 5952.
///
/// IDNA names are mapped by UTS #46 (non-transitional: `ß` stays) with the host name rules of STD 3, so that what comes
/// out can always be looked up in DNS and written into a SIP URI. A name whose last label is a number is an IPv4
/// address in the usual notation or an error; a zone (`%eth0`) is an error, as it means nothing to anybody else.
pub fn domain(name: &str) -> Result<Str, JidError> {
    if name.is_empty() {
        return Err(JidError::Empty(Part::Domain));
    }
    if name.len() > MAX_PART {
        return Err(JidError::TooLong(Part::Domain));
    }
    if let Some(literal) = name.strip_prefix('[') {
        let address = literal.strip_suffix(']').and_then(|a| a.parse::<Ipv6Addr>().ok());
        return address.map(|a| format_compact!("[{a}]")).ok_or(JidError::BadDomain("bad IPv6 literal"));
    }
    // RFC 7622 §3.2: the dot goes before anything else is done.
    let stripped = name.strip_suffix('.').unwrap_or(name);
    let has_a_label = stripped.split('.').any(|label| label.get(..4).is_some_and(|p| p.eq_ignore_ascii_case("xn--")));
    if stripped.is_ascii() && !has_a_label {
        let mut out = Str::from(stripped);
        out.make_ascii_lowercase();
        check_ascii(&out)?;
        return Ok(out);
    }
    let (unicode, valid) = uts46().to_unicode(stripped.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast);
    if valid.is_err() {
        return Err(JidError::BadDomain("no IDNA name"));
    }
    // Other full stops (U+3002 and its kin) became dots.
    let unicode = if stripped.len() == name.len() { unicode.strip_suffix('.').unwrap_or(&unicode) } else { &unicode };
    check_ascii(&to_ascii(unicode)?)?;
    Ok(Str::from(unicode))
}

/// The domain of a [`Jid`](super::Jid) as DNS and SIP write it: A-labels for U-labels, all else as it is.
pub fn domain_to_ascii(domain: &str) -> Result<Str, JidError> {
    if domain.is_ascii() { Ok(Str::from(domain)) } else { to_ascii(domain) }
}

fn uts46() -> Uts46 {
    Uts46::new()
}

fn to_ascii(name: &str) -> Result<Str, JidError> {
    uts46()
        .to_ascii(name.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
        .map(Str::from)
        .map_err(|_| JidError::BadDomain("too long for DNS"))
}

/// A name of ASCII letters, digits and hyphens: RFC 1123 §2.1, with the lengths of RFC 1034 §3.1.
fn check_ascii(name: &str) -> Result<(), JidError> {
    if name.len() > MAX_NAME {
        return Err(JidError::TooLong(Part::Domain));
    }
    let mut last = "";
    for label in name.split('.') {
        if label.is_empty() {
            return Err(JidError::BadDomain("empty label"));
        }
        if label.len() > 63 {
            return Err(JidError::BadDomain("label longer than 63 octets"));
        }
        if let Some(bad) = label.bytes().find(|b| !b.is_ascii_alphanumeric() && *b != b'-') {
            return Err(JidError::Forbidden(Part::Domain, char::from(bad)));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(JidError::BadDomain("label starts or ends with a hyphen"));
        }
        last = label;
    }
    if last.bytes().all(|b| b.is_ascii_digit()) && name.parse::<Ipv4Addr>().is_err() {
        return Err(JidError::BadDomain("bad IPv4 address"));
    }
    Ok(())
}
