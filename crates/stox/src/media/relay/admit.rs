//! What of a description a relay may be led to (THREATS 46): it sends to every address in it, and stands where whoever wrote it does not.

use super::{active, has_ice};
use crate::error::Refusal;
use base::Str;
use bodies::sdp::rtp::{Candidate, Group, IceOptions, Mid, Rtcp, Value as _};
use bodies::sdp::{Address, Attribute, Host, Media, Sdp};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The port of a medium of which no address is known yet (RFC 8838 §4.1.1, RFC 8840 §4.1.1).
const DISCARD: u16 = 9;

/// The description as the relay gets it. With ICE, addresses that it may not be led to are left out: who really is there will be found by
/// checks from there. Also without what the relay does not know, which is that several media share a way (RFC 9143).
///
/// # Errors
/// An address that the relay may not be led to, and no ICE.
pub(super) fn admit(mut sdp: Sdp, may_lead_to: impl Fn(SocketAddr) -> bool) -> Result<Sdp, Refusal> {
    const INWARD: Refusal =
        Refusal::NotAcceptableHere { warning: 301, why: "An address that the media relay may not be led to" };
    let places: Vec<_> = sdp.media.iter().map(|media| place(&sdp, media, &may_lead_to)).collect();
    for (media, place) in sdp.media.iter_mut().zip(places) {
        let is_active = media.port != 0 || media.attributes.has("bundle-only");
        let place = match place {
            Some(place) => place,
            None if is_active => return Err(INWARD),
            None => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        };
        media.connections = vec![Address::new(&Host::Ip(place.ip()))];
        if is_active {
            media.port = place.port();
        }
        media.attributes.remove("bundle-only");
        // Ports of layers (RFC 8866 §5.14), which nobody has, and which would not have been looked at.
        media.ports = None;
        let candidates: Vec<Attribute> = admitted(media, &may_lead_to).filter_map(|c| c.attribute()).collect();
        media.attributes.remove(Candidate::NAME);
        media.attributes.extend(candidates);
        if is_active && place.ip().is_unspecified() && place.port() == DISCARD {
            trickles(media);
        }
        let rtcp = Rtcp::first(&media.attributes);
        media.attributes.remove(Rtcp::NAME);
        media.attributes.remove("remote-candidates");
        if let Some(rtcp) = rtcp.filter(|rtcp| is_active && may_lead_to(SocketAddr::new(place.ip(), rtcp.port))) {
            // At the same address as RTP, whatever was said.
            media.attributes.extend(Rtcp { port: rtcp.port, address: None }.attribute());
        }
    }
    sdp.connection = None;
    let groups: Vec<Group> = Group::all(&sdp.attributes).filter(|group| !is_bundle(group)).collect();
    sdp.attributes.remove(Group::NAME);
    sdp.attributes.extend(groups.iter().filter_map(Group::attribute));
    Ok(sdp)
}

/// Says that candidates may come later, whether they may or not: else the relay takes a medium without an address for one on hold.
fn trickles(media: &mut Media) {
    let mut options = IceOptions::first(&media.attributes).unwrap_or_default();
    if !options.has("trickle") {
        options.0.push(Str::const_new("trickle"));
    }
    media.attributes.remove(IceOptions::NAME);
    media.attributes.remove("end-of-candidates");
    media.attributes.extend(options.attribute());
}

pub(super) fn is_bundle(group: &Group) -> bool {
    group.semantics.eq_ignore_ascii_case("BUNDLE")
}

/// The first active medium in a bundle of its own: who bundles everything wants to see one, and all else goes its own ways.
pub(super) fn bundle_first(sdp: &mut Sdp) {
    let first = active(sdp).next().and_then(|media| Mid::first(&media.attributes));
    if let Some(mid) = first {
        let group = Group { semantics: "BUNDLE".into(), mids: vec![mid.0] };
        sdp.attributes.extend(group.attribute());
    }
}

/// Where the relay is to send the medium's packets to; None: nowhere that it may be led to.
fn place(sdp: &Sdp, media: &Media, may_lead_to: &impl Fn(SocketAddr) -> bool) -> Option<SocketAddr> {
    let named = match sdp.connection(media).and_then(Address::host) {
        Some(Host::Ip(ip)) => Some(SocketAddr::new(ip, media.port)),
        Some(Host::Name(_)) | None => None,
    };
    let named = named.filter(|at| at.ip().is_unspecified() || may_lead_to(*at));
    if !has_ice(sdp, media) {
        return named;
    }
    let best = || admitted(media, may_lead_to).filter(|c| c.component == 1).max_by_key(|c| c.priority);
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, DISCARD));
    named.or_else(|| best().and_then(|c| Some(SocketAddr::new(c.ip()?, c.port)))).or(Some(nowhere))
}

/// The candidates over UDP with an address that the relay may be led to.
fn admitted<'a>(
    media: &'a Media,
    may_lead_to: &'a impl Fn(SocketAddr) -> bool,
) -> impl Iterator<Item = Candidate> + 'a {
    Candidate::all(&media.attributes).filter(move |c| {
        let at = c.ip().map(|ip: IpAddr| SocketAddr::new(ip, c.port));
        c.component <= 2 && c.transport.eq_ignore_ascii_case("udp") && at.is_some_and(may_lead_to)
    })
}
