//! Checks of values against each other.

use super::mistake::Wrong;
use super::read::{Item, Reader};
use super::sections::{RawComponent, RawPeer, has_transport};
use super::trunk::Trunk;
use super::value::{self, Listen, Transport};
use sip::agent::Place;
use sip::{SipUri, Uri};
use std::collections::BTreeSet;

/// The domains of either side.
pub(super) struct Own<'a> {
    pub(super) components: &'a [RawComponent],
    /// `xmpp.federation.domains`.
    pub(super) federated: &'a [Item<String>],
    /// `sip.domains`.
    pub(super) xmpp_domains: &'a [Item<String>],
    pub(super) phone_domain: Option<&'a str>,
    /// Where rules for numbers have them.
    pub(super) trunks: BTreeSet<&'a str>,
}

/// Every domain is on one side only: a domain on both would send what comes from one side back to it.
pub(super) fn domains(r: &mut Reader<'_>, all: &Own<'_>, peers: Option<&[RawPeer]>) {
    let Own { components, federated, xmpp_domains, phone_domain, trunks } = all;
    let mut own: BTreeSet<&str> = BTreeSet::new();
    for RawComponent { key, domain, allow_from, .. } in *components {
        let Some(domain) = domain else { continue };
        let at = format!("{key}.domain");
        if xmpp_domains.iter().any(|x| x.value == *domain) {
            r.wrong(&at, Wrong::new("also an XMPP domain in sip.domains: messages would go in a circle", ""));
        }
        if !own.insert(domain) {
            r.wrong(&at, Wrong::new("another component stands for this domain", ""));
        }
        for Item { key, value } in allow_from.iter().flatten() {
            if value.as_ref() == Some(domain) {
                r.wrong(key, Wrong::new("the component's own domain: messages would go in a circle", ""));
            }
        }
    }
    for Item { key, value } in *federated {
        if xmpp_domains.iter().any(|x| x.value == *value) {
            r.wrong(key, Wrong::new("also an XMPP domain in sip.domains: messages would go in a circle", ""));
        }
        if !own.insert(value) {
            r.wrong(key, Wrong::new("the gateway stands for this domain already", ""));
        }
    }
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for Item { key, value } in *xmpp_domains {
        if !seen.insert(value) {
            r.wrong(key, Wrong::new("the same domain twice", ""));
        }
    }
    for Item { key, value } in peers.iter().flat_map(|p| p.iter()).flat_map(|p| &p.domains) {
        let Some(domain) = value else { continue };
        if seen.contains(domain.as_str()) {
            r.wrong(key, Wrong::new("an XMPP domain in sip.domains: nobody may send SIP for it", "SIP domains"));
        } else if !own.contains(domain.as_str()) && !trunks.contains(domain.as_str()) {
            r.warn(key, "no component stands for this domain, so nothing from it can go on to XMPP");
        }
    }
    if let Some(domain) = phone_domain
        && !own.contains(*domain)
    {
        let allowed = own.into_iter().collect::<Vec<_>>().join(", ");
        r.wrong("sip.phone_domain", Wrong::new("no component stands for this domain", allowed));
    }
}

/// What is at this URI is reached from a socket of its transport. Where it names none, it is the one that RFC 3263 §4.1 has without asking a name server;
/// where one is to be asked, [`Transport::Udp`] if `at_least`.
pub(super) fn place_transport(r: &mut Reader<'_>, key: &str, uri: &SipUri, listen: &[Listen], at_least: bool) {
    let Some(place) = Place::of(uri) else { return };
    let literal = place.port.is_some() || place.host.ip().is_some();
    let usual = if place.secure { Some(Transport::Tls) } else { (literal || at_least).then_some(Transport::Udp) };
    if let Some(transport) = place.transport.or(usual)
        && !listen.is_empty()
        && !has_transport(listen, transport)
    {
        let name = transport.in_uri();
        let wrong = Wrong::new(
            format!("is reached over {name}, but sip.listen has no {name} socket"),
            format!("an entry \"{name}:ADDRESS:PORT\" in sip.listen, or another transport: \";transport=tcp\""),
        );
        r.wrong(key, wrong);
    }
}

/// The registrar of linked accounts, where no trunk carries what goes there.
pub(super) fn account_transport(r: &mut Reader<'_>, registrar: &str, trunks: &[Trunk], listen: &[Listen]) {
    let named = registrar.replace("{domain}", "example.net");
    let Ok(Uri::Sip(uri)) = Uri::parse(&named) else { return };
    let host = uri.host.to_string();
    let carried = trunks.iter().any(|trunk| named != registrar || trunk.domains.contains(&host));
    if !carried {
        place_transport(r, "xmpp.accounts.registrar", &uri, listen, false);
    }
}

/// The proxy is reached from a socket of its transport: over UDP the answers come to the socket that asked.
pub(super) fn proxy_transport(r: &mut Reader<'_>, listen: &[Listen]) {
    if let Some(proxy) = r.peek("sip.outbound_proxy").and_then(|text| value::proxy(text).ok())
        && !listen.is_empty()
        && !has_transport(listen, proxy.transport)
    {
        let name = proxy.transport.in_uri();
        let wrong = Wrong::new(
            format!("goes over {name}, but sip.listen has no {name} socket"),
            format!("an entry \"{name}:ADDRESS:PORT\" in sip.listen, or another transport"),
        );
        r.wrong("sip.outbound_proxy", wrong);
    }
}

/// Over TLS somebody has to vouch for us: whoever connects asks for our name.
pub(super) fn certificates(r: &mut Reader<'_>, listen: &[Listen]) {
    let secure = listen.iter().find(|listen| listen.transport.secure());
    if let (Some(listen), false) = (secure, r.has("tls.certificates") || r.has("tls.acme")) {
        let name = listen.transport.in_uri();
        let allowed = "tls.certificates = [{ chain = \"cert.pem\", key = \"key.pem\" }]";
        r.wrong(
            "sip.listen",
            Wrong::new(format!("{name} without a certificate: nobody would take us for us"), allowed),
        );
    }
}
