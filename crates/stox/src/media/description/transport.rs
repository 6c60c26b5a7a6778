//! ICE (XEP-0176 §5.3, draft §5.4), UDP without it (XEP-0177, draft §5.3), and the keys of DTLS (XEP-0320).

use super::scope::{IceScope, Said, Scope};
use super::unfit;
use crate::error::Refusal;
use base::{Str, format_compact};
use bodies::sdp::rtp::{Candidate, IceOptions, RemoteCandidates, Rtcp, Value, is_password, is_ufrag};
use bodies::sdp::{self, Address, Attribute, Attributes, Host, Media, Sdp, Setup};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use xmpp::ext::jingle::{
    self, Fingerprint, Form, Ice, MAX_CANDIDATES, RawCandidate, RawUdp, RemoteCandidate, Transport,
};

/// There will be no more candidates (RFC 8840 §8).
pub(super) const END: &str = "end-of-candidates";

/// The port of whom nothing is known yet (RFC 8840 §4.1.1), and of a TCP candidate that only connects.
const DISCARD: u16 = 9;

/// Whether a transport has keys that DTLS can prove.
pub(super) fn has_fingerprint(transport: &Transport) -> bool {
    match transport {
        Transport::Ice(ice) => !ice.fingerprints.is_empty(),
        Transport::RawUdp(raw) => !raw.fingerprints.is_empty(),
        Transport::Other(_) => false,
    }
}

/// Writes it: where to send to, and the attributes.
pub(super) fn write(transport: &Transport, mux: bool, scope: &Scope, media: &mut Media) -> Result<(), Refusal> {
    let (places, fingerprints) = match transport {
        Transport::Ice(ice) => (Places::of_ice(ice), &ice.fingerprints),
        Transport::RawUdp(raw) => (Places::of_raw(raw)?, &raw.fingerprints),
        Transport::Other(_) => return Err(unfit(302, "This transport has no counterpart")),
    };
    media.port = places.rtp.map_or(DISCARD, |(_, port)| port);
    let ip = places.rtp.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |(ip, _)| ip);
    media.connections = vec![Address::new(&Host::Ip(ip))];
    // RFC 8839 §4.2.1.3, RFC 3605: where it is not the next port.
    let rtcp = places.rtcp.filter(|(at, port)| *at != ip || media.port.checked_add(1) != Some(*port));
    let rtcp = rtcp.and_then(|(at, port)| Rtcp { port, address: Some(Address::new(&Host::Ip(at))) }.attribute());
    media.attributes.extend(rtcp);
    if mux {
        media.attributes.push(Attribute::flag("rtcp-mux"));
    }
    if let Transport::Ice(ice) = transport {
        let fits = |value: &Option<Str>, fits: fn(&str) -> bool| value.as_deref().is_none_or(fits);
        if !fits(&ice.ufrag, is_ufrag) || !fits(&ice.pwd, is_password) {
            return Err(unfit(306, "These are no credentials of ICE"));
        }
        let options = IceOptions(ice.options.clone());
        let (ice, candidates) = (credentials(ice), candidates(ice));
        media.attributes.extend(ice.into_iter().chain(options.attribute()).chain(candidates));
    }
    media.attributes.extend(keys(fingerprints, scope)?);
    Ok(())
}

/// The attributes of ICE without its options, as fragments have them.
pub(super) fn fragment(ice: &Ice) -> Vec<Attribute> {
    let mut attributes = credentials(ice);
    attributes.extend(candidates(ice));
    attributes
}

fn credentials(ice: &Ice) -> Vec<Attribute> {
    let ufrag = ice.ufrag.as_deref().filter(|ufrag| is_ufrag(ufrag)).map(|ufrag| Attribute::new("ice-ufrag", ufrag));
    let pwd = ice.pwd.as_deref().filter(|pwd| is_password(pwd)).map(|pwd| Attribute::new("ice-pwd", pwd));
    ufrag.into_iter().chain(pwd).collect()
}

fn candidates(ice: &Ice) -> Vec<Attribute> {
    let candidates = ice.candidates.iter().take(MAX_CANDIDATES).filter_map(candidate);
    let remote = |remote: &RemoteCandidate| (remote.component.into(), remote.ip.clone(), remote.port);
    let remote = RemoteCandidates(ice.remote_candidates.iter().map(remote).collect());
    let end = ice.gathering_complete.then(|| Attribute::flag(END));
    candidates.filter_map(|candidate| candidate.attribute()).chain(remote.attribute()).chain(end).collect()
}

/// A candidate for the SIP side; None for one that has no address but a name (RFC 8839 §5.1 wants those ignored), and for what is neither UDP
/// nor TCP. Generation, id and network have no counterpart (draft §5.4).
pub(super) fn candidate(candidate: &jingle::Candidate) -> Option<Candidate> {
    let ip = address(&candidate.ip)?;
    let udp = candidate.protocol.eq_ignore_ascii_case("udp");
    let tcp = candidate.protocol.eq_ignore_ascii_case("tcp") && candidate.tcptype.is_some();
    if !udp && !tcp {
        return None;
    }
    let related = candidate.rel_addr.as_deref().and_then(address).zip(candidate.rel_port);
    // RFC 8839 §5.1: who does not want to tell it says so.
    let hidden = match ip {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let host = candidate.kind == "host";
    let related = if host { None } else { Some(related.unwrap_or((hidden, DISCARD))) };
    let other = candidate.other.iter().filter(|(name, _)| !matches!(name.as_str(), "raddr" | "rport" | "generation"));
    let mut extensions: Vec<(Str, Str)> = other.cloned().collect();
    extensions.extend(candidate.tcptype.clone().map(|tcptype| (Str::const_new("tcptype"), tcptype)));
    let mut candidate = Candidate {
        foundation: candidate.foundation.clone(),
        component: candidate.component.into(),
        transport: Str::const_new(if udp { "UDP" } else { "TCP" }),
        priority: candidate.priority,
        address: format_compact!("{ip}"),
        port: candidate.port,
        kind: candidate.kind.clone(),
        related_address: related.map(|(ip, _)| format_compact!("{ip}")),
        related_port: related.map(|(_, port)| port),
        extensions,
    };
    if candidate.attribute().is_none() {
        // Somebody else's words may not be words of SDP; they are hints only.
        candidate.extensions.retain(|(name, _)| name == "tcptype");
    }
    candidate.attribute().map(|_| candidate)
}

/// Where to send RTP and RTCP to without ICE.
#[derive(Default)]
struct Places {
    rtp: Option<(IpAddr, u16)>,
    rtcp: Option<(IpAddr, u16)>,
}

impl Places {
    /// Those that most probably work for whoever knows no ICE (RFC 8839 §4.2.1.2): of UDP, relayed ones first, then those that a server has
    /// seen; of equals, IPv4 first and then what has the higher priority.
    fn of_ice(ice: &Ice) -> Places {
        let rank = |candidate: &jingle::Candidate, ip: IpAddr| {
            let kind = ["host", "prflx", "srflx", "relay"].iter().position(|kind| *kind == candidate.kind);
            (kind, ip.is_ipv4(), candidate.priority)
        };
        let best = |component: u8, wanted: Option<(&str, bool)>| {
            let all =
                ice.candidates.iter().filter(|c| c.component == component && c.protocol.eq_ignore_ascii_case("udp"));
            let all = all.filter_map(|candidate| Some((candidate, address(&candidate.ip)?)));
            let all = all.filter(|(c, ip)| wanted.is_none_or(|(kind, v4)| c.kind == kind && ip.is_ipv4() == v4));
            all.max_by_key(|(candidate, ip)| rank(candidate, *ip))
        };
        let Some((first, ip)) = best(1, None) else { return Places::default() };
        let second = best(2, Some((first.kind.as_str(), ip.is_ipv4())));
        Places { rtp: Some((ip, first.port)), rtcp: second.map(|(candidate, ip)| (ip, candidate.port)) }
    }

    fn of_raw(raw: &RawUdp) -> Result<Places, Refusal> {
        let of = |component: u8| {
            let mut all = raw.candidates.iter().filter(|candidate| candidate.component == component);
            let newest = all.clone().map(|candidate| candidate.generation).max()?;
            all.find(|candidate| candidate.generation == newest)
        };
        let place = |candidate: &RawCandidate| {
            let ip = address(&candidate.ip).ok_or(unfit(302, "A candidate that is no IP address"))?;
            Ok((ip, candidate.port))
        };
        Ok(Places { rtp: of(1).map(place).transpose()?, rtcp: of(2).map(place).transpose()? })
    }
}

/// An address of one host.
fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok().filter(|ip: &IpAddr| !ip.is_multicast())
}

/// Fingerprints and the role (XEP-0320 §1, RFC 5763 §5). Those that nobody may trust are left out.
fn keys(fingerprints: &[Fingerprint], scope: &Scope) -> Result<Vec<Attribute>, Refusal> {
    if fingerprints.is_empty() {
        return Ok(Vec::new());
    }
    let read = |fingerprint: &Fingerprint| {
        let read = sdp::Fingerprint::parse(&format!("{} {}", fingerprint.hash, fingerprint.value)).ok()?;
        (!read.is_weak()).then(|| Attribute::new("fingerprint", &read.to_string()))
    };
    let mut attributes: Vec<Attribute> = fingerprints.iter().filter_map(read).take(sdp::MAX_FINGERPRINTS).collect();
    if attributes.is_empty() {
        return Err(unfit(306, "No fingerprint that can be trusted"));
    }
    let said = fingerprints.iter().find_map(|fingerprint| fingerprint.setup.as_deref()).and_then(Setup::from_name);
    attributes.push(Attribute::new("setup", role(said, scope).name()));
    Ok(attributes)
}

/// The role in DTLS. An answer takes one of both, and where it does not say which, begins (RFC 5763 §5); XEP-0320 has no `holdconn`.
fn role(said: Option<Setup>, scope: &Scope) -> Setup {
    match said {
        Some(role @ (Setup::Active | Setup::Passive)) => role,
        Some(Setup::Actpass | Setup::Holdconn) | None if scope.answer => Setup::Active,
        Some(Setup::Actpass | Setup::Holdconn) | None => Setup::Actpass,
    }
}

/// Reads it. Where there are credentials of ICE it is ICE, unless the answer says that it cannot be (RFC 8839 §5.3).
pub(super) fn read(sdp: &Sdp, media: &Media, scope: &mut Scope) -> Result<Transport, Refusal> {
    let fingerprints = fingerprints(sdp, media, scope)?;
    if media.attributes.has("ice-mismatch") {
        return raw(sdp, media, fingerprints, scope).map(Transport::RawUdp);
    }
    let value = |name| sdp.attribute(media, name).and_then(Attribute::value).map(|value| value.trim_matches(' '));
    let (Some(ufrag), Some(pwd)) = (value("ice-ufrag"), value("ice-pwd")) else {
        return raw(sdp, media, fingerprints, scope).map(Transport::RawUdp);
    };
    if !is_ufrag(ufrag) || !is_password(pwd) {
        return Err(unfit(306, "These are no credentials of ICE"));
    }
    scope.ice.hear(ufrag, pwd);
    let mut ice = ice(&media.attributes, &mut scope.ice, Again::Said);
    ice.fingerprints = fingerprints;
    let options = [&media.attributes, &sdp.attributes].map(IceOptions::first).into_iter().flatten();
    // An option is an element of its name, which not every word can be.
    for option in options.flat_map(|options| options.0).filter(|option| xml::is_name(option)) {
        if ice.options.len() < jingle::MAX_LIST && !ice.options.contains(&option) {
            ice.options.push(option);
        }
    }
    Ok(Transport::Ice(Box::new(ice)))
}

/// Whether candidates that were said before are said again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// In a description: it has them all.
    Said,
    /// In a fragment, which repeats them (RFC 8840 §4.4).
    LeftOut,
}

/// What attributes say of ICE, under the credentials that were heard last.
pub(super) fn ice(attributes: &Attributes, scope: &mut IceScope, again: Again) -> Ice {
    let mut ice =
        Ice { form: scope.form, ufrag: Some(scope.ufrag.clone()), pwd: Some(scope.pwd.clone()), ..Ice::default() };
    for candidate in Candidate::all(attributes) {
        let said = Said::of(&candidate);
        let new = !scope.said.contains(&said);
        if ice.candidates.len() == MAX_CANDIDATES || again == Again::LeftOut && !new {
            continue;
        }
        let Some(candidate) = to_jingle(&candidate, scope) else { continue };
        if new && !scope.say(said) {
            // More than anybody has: none that could be said twice without being noticed.
            break;
        }
        ice.candidates.push(candidate);
    }
    let remote = RemoteCandidates::first(attributes).map(|remote| remote.0).unwrap_or_default();
    let remote = remote.into_iter().filter_map(|(component, ip, port)| {
        let ip = address(&ip).map(|_| ip)?;
        Some(RemoteCandidate { component: component.try_into().ok()?, ip, port })
    });
    ice.remote_candidates = remote.collect();
    ice.gathering_complete = attributes.has(END);
    ice
}

/// A candidate for the XMPP side. None for TCP in XEP-0176, which is for UDP alone; for a component or a kind that Jingle has none of; and for
/// a name, but one that is looked up within the user's own network (`.local`).
fn to_jingle(candidate: &Candidate, scope: &mut IceScope) -> Option<jingle::Candidate> {
    let named = |text: &str| address(text).is_some() || text.ends_with(".local");
    let tcp = candidate.transport.eq_ignore_ascii_case("tcp");
    let carried = candidate.transport.eq_ignore_ascii_case("udp") || tcp && scope.form == Form::Any;
    let kind = candidate.kind.to_ascii_lowercase();
    let known = ["host", "srflx", "prflx", "relay"].contains(&kind.as_str());
    let component = u8::try_from(candidate.component).ok()?;
    if !carried || !known || !named(&candidate.address) {
        return None;
    }
    // Generations are counted here (draft §5.4), and networks mean nothing to the other side.
    let own = ["generation", "network", "tcptype"];
    let other = candidate.extensions.iter().filter(|(name, _)| {
        let attribute = xml::is_name(name) && !name.starts_with("xml");
        attribute && own.iter().all(|own| !own.eq_ignore_ascii_case(name))
    });
    let related = candidate.related_address.as_ref().filter(|address| named(address)).zip(candidate.related_port);
    Some(jingle::Candidate {
        component,
        foundation: format_compact!("{}", scope.foundation(&candidate.foundation)),
        generation: scope.generation.into(),
        id: scope.id(),
        ip: candidate.address.clone(),
        network: None,
        port: candidate.port,
        priority: candidate.priority,
        protocol: Str::const_new(if tcp { "tcp" } else { "udp" }),
        kind,
        rel_addr: related.map(|(address, _)| address.clone()),
        rel_port: related.map(|(_, port)| port),
        tcptype: candidate.extension("tcptype").filter(|_| tcp).map(Str::from),
        other: other.cloned().collect(),
    })
}

/// Whether RTP and RTCP can share a port (RFC 5761 §5.1.1, RFC 8858 §3).
pub(super) fn is_muxed(media: &Media) -> bool {
    media.attributes.has("rtcp-mux") || media.attributes.has("rtcp-mux-only")
}

fn raw(sdp: &Sdp, media: &Media, fingerprints: Vec<Fingerprint>, scope: &mut Scope) -> Result<RawUdp, Refusal> {
    let (rtp, rtcp) = places(sdp, media)?;
    // Whoever answers with one port has one; whoever offers it may have to do with two (RFC 5761 §5.1.1).
    let one = scope.answer && is_muxed(media);
    let candidates = [(1, rtp), (2, rtcp.filter(|_| !one))].into_iter().filter_map(|(component, place)| {
        let (ip, port) = place?;
        let ip = format_compact!("{ip}");
        Some(RawCandidate {
            component,
            generation: scope.ice.generation.into(),
            id: scope.ice.id(),
            ip,
            port,
            kind: None,
        })
    });
    Ok(RawUdp { candidates: candidates.collect(), fingerprints, other: Vec::new() })
}

type Place = Option<(IpAddr, u16)>;

/// Where RTP and RTCP go without ICE; None for nowhere yet.
fn places(sdp: &Sdp, media: &Media) -> Result<(Place, Place), Refusal> {
    let connection = sdp.connection(media).ok_or(unfit(302, "No address"))?;
    if connection.is_multicast() {
        return Err(unfit(330, "Multicast has no counterpart"));
    }
    let ip = |address: &Address| match address.host() {
        Some(Host::Ip(ip)) => Some(ip),
        Some(Host::Name(_)) | None => None,
    };
    let at = ip(connection).ok_or(unfit(302, "An address that is no IP address"))?;
    let somewhere = |ip: IpAddr, port: u16| Some((ip, port)).filter(|_| !ip.is_unspecified() && port != 0);
    let rtcp = Rtcp::first(&media.attributes).filter(|rtcp| rtcp.port != 0);
    let rtcp_port = rtcp.as_ref().map(|rtcp| rtcp.port).or(media.port.checked_add(1)).unwrap_or_default();
    let rtcp_at = rtcp.and_then(|rtcp| rtcp.address).and_then(|address| ip(&address)).unwrap_or(at);
    let rtp = somewhere(at, media.port);
    Ok((rtp, somewhere(rtcp_at, rtcp_port).filter(|_| rtp.is_some())))
}

/// Whether nothing is to be sent to who wrote this, as it was said before there was `a=sendonly` (RFC 3264 §8.4). With ICE it says nothing.
pub(super) fn is_held(sdp: &Sdp, media: &Media) -> bool {
    let nowhere = sdp.connection(media).and_then(Address::host).is_some_and(|host| match host {
        Host::Ip(ip) => ip.is_unspecified(),
        Host::Name(_) => false,
    });
    nowhere && (media.attributes.has("ice-mismatch") || sdp.attribute(media, "ice-ufrag").is_none())
}

fn fingerprints(sdp: &Sdp, media: &Media, scope: &Scope) -> Result<Vec<Fingerprint>, Refusal> {
    let all = sdp.fingerprints(media).map_err(|_| unfit(306, "A fingerprint that is none"))?;
    let role = role(sdp.setup(media), scope);
    let some = !all.is_empty();
    let trusted = all.iter().filter(|fingerprint| !fingerprint.is_weak());
    let trusted: Vec<Fingerprint> = trusted
        .map(|fingerprint| {
            let text = fingerprint.to_string();
            let value = text.split_once(' ').map(|(_, digits)| digits).unwrap_or_default().into();
            Fingerprint { hash: fingerprint.hash().into(), setup: Some(role.name().into()), required: None, value }
        })
        .collect();
    if some && trusted.is_empty() { Err(unfit(306, "No fingerprint that can be trusted")) } else { Ok(trusted) }
}
