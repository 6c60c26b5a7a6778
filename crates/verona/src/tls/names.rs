//! The names in a certificate, and for whom they let its owner speak.
//!
//! The name that is compared is always the one that was asked for (RFC 9525 §6.1): the domain of an address, never the host to which DNS
//! led. Common names are no names any more.

use base::{Str, format_compact};
use rustls::pki_types::CertificateDer;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::{Any, FromDer as _};
use x509_parser::extensions::GeneralName;

/// The most names of a certificate that are looked at.
const MOST: usize = 512;

/// A name longer than any domain is none.
const LONGEST: usize = 1024;

/// id-on-xmppAddr (RFC 6120 §13.7.1.4).
const XMPP_ADDR: &str = "1.3.6.1.5.5.7.8.5";

/// id-on-dnsSRV (RFC 4985).
const SRV_NAME: &str = "1.3.6.1.5.5.7.8.7";

/// One of the names of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    /// DNS-ID.
    Dns(Str),
    /// SRV-ID: `_xmpp-server.example.com`.
    Srv(Str),
    /// An XMPP address.
    Xmpp(Str),
    /// URI-ID.
    Uri(Str),
    /// An address.
    Address(IpAddr),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Dns(name) => f.write_str(name),
            Name::Srv(name) => write!(f, "SRV:{name}"),
            Name::Xmpp(address) => write!(f, "xmpp:{address}"),
            Name::Uri(uri) => write!(f, "URI:{uri}"),
            Name::Address(address) => write!(f, "{address}"),
        }
    }
}

/// All names of a certificate, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names(Vec<Name>);

impl Names {
    /// Those that a certificate has; none of one that cannot be read.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Names {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Names::default() };
        let Ok(Some(extension)) = parsed.subject_alternative_name() else { return Names::default() };
        Names(extension.value.general_names.iter().take(MOST).filter_map(name).collect())
    }

    /// Whether the owner may speak for an XMPP domain as a server (RFC 6120 §13.7.1.2, RFC 9525 §6): the domain itself, its service, its
    /// address, or a wildcard in place of its first label. `domain` as an address has it, with U-labels.
    pub(crate) fn are_for_xmpp(&self, domain: &str) -> bool {
        let Ok(ascii) = xmpp::jid::domain_to_ascii(domain) else { return false };
        self.0.iter().any(|name| match name {
            Name::Dns(presented) => matches(presented, &ascii),
            Name::Srv(presented) => service(presented).is_some_and(|presented| matches(presented, &ascii)),
            // The address of a server has neither a local part nor a resource.
            Name::Xmpp(address) => xmpp::jid::domain(address).is_ok_and(|address| address == domain),
            Name::Address(address) => literal(&ascii) == Some(*address),
            Name::Uri(_) => false,
        })
    }

    /// The SIP domains that the owner may speak for (RFC 5922 §7.1), in lower case with A-labels.
    pub(crate) fn sip_domains(&self) -> Vec<Str> {
        let uris: Vec<Str> = self.0.iter().filter_map(sip_uri).collect();
        if !uris.is_empty() {
            return uris;
        }
        self.0
            .iter()
            .filter_map(|name| match name {
                // RFC 5922 §7.2: no form of wildcard.
                Name::Dns(name) => base::dns::name(name).ok(),
                Name::Srv(_) | Name::Xmpp(_) | Name::Uri(_) | Name::Address(_) => None,
            })
            .collect()
    }

    /// Whether the owner may speak for a SIP domain or host: one of [`Names::sip_domains`] in its entirety, or the address that was asked for.
    pub(crate) fn are_for_sip(&self, domain: &str) -> bool {
        let address = literal(domain);
        let domain = domain.strip_suffix('.').unwrap_or(domain);
        self.sip_domains().iter().any(|name| name.eq_ignore_ascii_case(domain))
            || address.is_some_and(|address| self.0.contains(&Name::Address(address)))
    }

    /// Whether the certificate is the one for a host, an address or a name, by any of its kinds of names: which of ours to show.
    pub(crate) fn are_for(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        self.are_for_xmpp(host) || self.are_for_sip(host)
    }
}

fn name(general: &GeneralName<'_>) -> Option<Name> {
    let short = |text: &str| (text.len() <= LONGEST).then(|| Str::from(text));
    match general {
        GeneralName::DNSName(name) => short(name).map(Name::Dns),
        GeneralName::URI(uri) => short(uri).map(Name::Uri),
        GeneralName::IPAddress(octets) => address(octets).map(Name::Address),
        GeneralName::OtherName(oid, value) => {
            let text = short(text(value)?)?;
            match oid.to_id_string().as_str() {
                XMPP_ADDR => Some(Name::Xmpp(text)),
                SRV_NAME => Some(Name::Srv(text)),
                _ => None,
            }
        }
        GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    }
}

/// The text in an otherName: a string within `[0]`.
fn text(value: &[u8]) -> Option<&str> {
    let (rest, outer) = Any::from_der(value).ok()?;
    let (inside, string) = Any::from_der(outer.data).ok()?;
    let is_text = matches!(string.tag().0, 12 | 22);
    (rest.is_empty() && inside.is_empty() && outer.tag().0 == 0 && is_text)
        .then(|| std::str::from_utf8(string.data).ok())
        .flatten()
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Some(Ipv4Addr::from(v4).into());
    }
    <[u8; 16]>::try_from(octets).ok().map(|v6| Ipv6Addr::from(v6).into())
}

/// An address as a domain has it: IPv6 in brackets.
fn literal(domain: &str) -> Option<IpAddr> {
    let inside = domain.strip_prefix('[').and_then(|d| d.strip_suffix(']')).unwrap_or(domain);
    inside.parse().ok()
}

/// The domain of a name of the service between XMPP servers, or of any XMPP service of old certificates.
fn service(srv: &str) -> Option<&str> {
    let (service, domain) = srv.split_once('.')?;
    service.eq_ignore_ascii_case("_xmpp-server").then_some(domain)
}

/// The host of `sip:host`, without a user (RFC 5922 §7.1).
fn sip_uri(name: &Name) -> Option<Str> {
    let Name::Uri(uri) = name else { return None };
    let (scheme, rest) = uri.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("sip") || rest.contains('@') {
        return None;
    }
    let host = rest.split([';', '?', ':']).next()?;
    base::dns::name(host).ok()
}

/// Whether a name that a certificate has is this domain. `*` stands for one whole label, the first, where at least two more follow it
/// (RFC 9525 §6.3).
fn matches(presented: &str, domain: &str) -> bool {
    let presented = presented.strip_suffix('.').unwrap_or(presented);
    if literal(domain).is_some() {
        return false;
    }
    match presented.strip_prefix("*.") {
        Some(rest) if rest.contains('.') => {
            domain.split_once('.').is_some_and(|(first, parent)| !first.is_empty() && parent.eq_ignore_ascii_case(rest))
        }
        Some(_) => false,
        None => !presented.is_empty() && presented.eq_ignore_ascii_case(domain),
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<Str> = self.0.iter().map(|name| format_compact!("{name}")).collect();
        f.write_str(if all.is_empty() { "no names".to_owned() } else { all.join(", ") }.as_str())
    }
}
