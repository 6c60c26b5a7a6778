//! New addresses: the URI in `<gone/>` or `<redirect/>` <-> Contact.

use crate::address::{self, Options, Scheme};
use base::Str;
use sip::header::{Headers, Name, NameAddr};
use sip::uri::{Uri, percent_decode};
use std::fmt::Write as _;
use xmpp::jid::{Jid, domain_to_ascii};

/// The longest URI that is carried over, in bytes.
const MAX_URI: usize = 1024;
/// How many Contacts are looked at.
const MAX_CONTACTS: usize = 16;

/// The Contact for a new address: an XMPP URI (RFC 5122) in the form that SIP users reach it by, any other URI as it is.
/// `None` for what is no URI: then no new address is known.
pub(super) fn contact_of_address(address: &str) -> Option<NameAddr> {
    let address = address.trim();
    if address.len() > MAX_URI {
        return None;
    }
    let uri = match address.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("xmpp") => {
            Uri::Sip(address::to_uri(&jid_of_xmpp_uri(rest)?, Scheme::Sip).ok()?)
        }
        _ => Uri::parse(address).ok()?,
    };
    Some(NameAddr::new(uri))
}

/// The new address that a response names: of several Contacts the one with the highest `q`, of equal ones the first. A SIP
/// URI is given as the XMPP URI of the user as XMPP sees it; any other, as it is.
pub(super) fn address_of_contacts(headers: &Headers) -> Option<String> {
    let mut best: Option<(u16, Uri)> = None;
    for element in headers.elements(Name::Contact).take(MAX_CONTACTS) {
        let Some(contact) = element.ok().and_then(|text| NameAddr::parse(text).ok()) else { continue };
        let q = contact.params.get("q").map_or(1000, per_mille);
        if best.as_ref().is_none_or(|(most, _)| q > *most) {
            best = Some((q, contact.uri));
        }
    }
    let (_, uri) = best?;
    let address = match address::to_jid(&uri, &Options::default()) {
        Ok(jid) => xmpp_uri(&jid),
        Err(_) => uri.to_string(),
    };
    Some(address).filter(|a| a.len() <= MAX_URI)
}

/// `qvalue` (RFC 3261 §25.1) in thousandths; what is none counts as the least.
fn per_mille(q: &str) -> u16 {
    let (whole, fraction) = q.split_once('.').unwrap_or((q, ""));
    let sound = fraction.len() <= 3 && fraction.bytes().all(|b| b.is_ascii_digit());
    match (whole, sound) {
        ("1", true) => 1000,
        ("0", true) => format!("{fraction:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

/// The address in `node@host/resource`, without a query or fragment (RFC 5122 §2.2). An authority (`//`) says who asks, not
/// who is asked.
fn jid_of_xmpp_uri(rest: &str) -> Option<Jid> {
    let rest = match rest.strip_prefix("//") {
        Some(rest) => rest.split_once('/')?.1,
        None => rest,
    };
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let (bare, resource) = match path.split_once('/') {
        Some((bare, resource)) => (bare, Some(resource)),
        None => (path, None),
    };
    let (local, domain) = match bare.split_once('@') {
        Some((local, domain)) => (Some(local), domain),
        None => (None, bare),
    };
    // Each part is decoded by itself: a `/` or `@` that was encoded separates nothing.
    let decode = |part: &str| String::from_utf8(percent_decode(part).ok()?).ok();
    let decode_some = |part: Option<&str>| part.map(decode).map_or(Some(None), |part| part.map(Some));
    let (local, resource) = (decode_some(local)?, decode_some(resource)?);
    Jid::new(local.as_deref(), &decode(domain)?, resource.as_deref()).ok()
}

/// The XMPP URI of an address (RFC 5122 §2.7.2), all ASCII.
fn xmpp_uri(jid: &Jid) -> String {
    let mut out = String::from("xmpp:");
    let mut encode = |part: &str, extra: &[u8]| {
        for byte in part.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~!$()*+,;=".contains(&byte) || extra.contains(&byte) {
                out.push(char::from(byte));
            } else {
                // Writing to a String never fails.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    };
    if let Some(local) = jid.local() {
        encode(local, b"");
        encode("@", b"@");
    }
    let ascii = domain_to_ascii(jid.domain()).unwrap_or_else(|_| Str::from(jid.domain()));
    encode(&ascii, b"[:]");
    if let Some(resource) = jid.resource() {
        encode("/", b"/");
        encode(resource, b"&':@/");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xmpp_uris_are_read_and_written() {
        for (uri, jid, written) in [
            ("xmpp:romeo@afterlife.example", "romeo@afterlife.example", None),
            ("xmpp:o%5C27hara@b.example/x/y@z", r"o\27hara@b.example/x/y@z", None),
            ("xmpp:%C3%A9@xn--bcher-kva.example/%E2%99%9A", "é@bücher.example/♚", None),
            ("xmpp:é@bücher.example", "é@bücher.example", Some("xmpp:%C3%A9@xn--bcher-kva.example")),
            ("xmpp:b.example", "b.example", None),
            ("xmpp:a@[2001:db8::7]", "a@[2001:db8::7]", None),
            ("xmpp://guest@x.example/room@b.example?join#f", "room@b.example", Some("xmpp:room@b.example")),
        ] {
            let read = jid_of_xmpp_uri(uri.strip_prefix("xmpp:").unwrap()).unwrap();
            assert_eq!(read, Jid::parse(jid).unwrap(), "{uri}");
            assert_eq!(xmpp_uri(&read), written.unwrap_or(uri));
        }
        for uri in ["", "@b.example", "a%2Fb@c.example", "a%zy@b.example", "a%FF@b.example", "//x", "a@b@c.example"] {
            assert_eq!(jid_of_xmpp_uri(uri), None, "{uri}");
        }
    }

    #[test]
    fn preferences_are_read() {
        for (q, n) in [
            ("1", 1000),
            ("1.0", 1000),
            ("0.5", 500),
            ("0.05", 50),
            ("0", 0),
            ("0.", 0),
            ("2", 0),
            ("x", 0),
            ("0.1234", 0),
        ] {
            assert_eq!(per_mille(q), n, "{q}");
        }
    }
}
