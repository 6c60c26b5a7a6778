//! SIP -> XMPP: a media description as a content (draft §5, XEP-0167 §6).

use super::scope::Scope;
use super::transport::Again;
use super::{formats, stream, transport, unfit};
use crate::error::Refusal;
use bodies::sdp::fragment::Fragment;
use bodies::sdp::rtp::Profile;
use bodies::sdp::{Attribute, Direction, Media, Sdp};
use xmpp::ext::jingle::{Content, Description, Ice, Rtp};

/// The content of a media description, of the name and creator that the scope says. Its transport is ICE where the description has credentials
/// of ICE, else UDP without it. Takes note of the protocol, the generation of ICE and the candidates in the scope, even if it fails.
///
/// # Errors
/// `NotAcceptableHere` for what is no audio or video over RTP, has no format that can be named, no keys where the protocol wants some, or
/// keys, credentials or addresses that are none.
pub fn content(sdp: &Sdp, media: &Media, scope: &mut Scope) -> Result<Content, Refusal> {
    if !matches!(media.kind.as_str(), "audio" | "video") {
        return Err(unfit(304, "This is no audio or video"));
    }
    let profile = Profile::from_name(&media.protocol).ok_or(unfit(302, "This transport has no counterpart"))?;
    scope.protocol = Some(media.protocol.clone());
    let mut rtp = Rtp::new(media.kind.clone());
    formats::read(media, &mut rtp);
    if rtp.payloads.is_empty() {
        return Err(unfit(305, "No format that can be named"));
    }
    stream::read(sdp, media, scope, &mut rtp);
    rtp.rtcp_mux = transport::is_muxed(media);
    let transport = transport::read(sdp, media, scope)?;
    let dtls = transport::has_fingerprint(&transport);
    let sdes = rtp.encryption.as_ref().is_some_and(|encryption| !encryption.cryptos.is_empty());
    match (profile.secure, profile.dtls) {
        (true, true) if !dtls => return Err(unfit(306, "The keys of DTLS are missing")),
        (true, _) if !dtls && !sdes => return Err(unfit(306, "The keys are missing")),
        _ => {}
    }
    let content =
        Content::new(scope.creator, scope.name.clone()).with_senders(scope.senders(direction(sdp, media).reverse()));
    Ok(content.with_description(Description::Rtp(Box::new(rtp))).with_transport(transport))
}

/// Which way media go, as the SIP side sees it: as its attributes say, and what has no address is not sent (RFC 3264 §8.4).
pub fn direction(sdp: &Sdp, media: &Media) -> Direction {
    let said = sdp.direction(media);
    match said {
        Direction::SendRecv if transport::is_held(sdp, media) => Direction::SendOnly,
        Direction::RecvOnly if transport::is_held(sdp, media) => Direction::Inactive,
        Direction::SendRecv | Direction::SendOnly | Direction::RecvOnly | Direction::Inactive => said,
    }
}

/// What a section of a fragment says of ICE, without candidates that were said before and without fingerprints, for a transport-info; None where
/// it is of another generation than the current one (RFC 8840 §4.4), or says nothing new.
pub fn transport(fragment: &Fragment, section: &Media, scope: &mut Scope) -> Option<Ice> {
    let value =
        |name| fragment.attribute(section, name).and_then(Attribute::value).map(|value| value.trim_matches(' '));
    let ours = value("ice-ufrag") == Some(&scope.ice.ufrag) && value("ice-pwd") == Some(&scope.ice.pwd);
    if !ours || scope.ice.ufrag.is_empty() {
        return None;
    }
    let mut ice = transport::ice(&section.attributes, &mut scope.ice, Again::LeftOut);
    ice.gathering_complete |= fragment.attributes.has(transport::END);
    (!ice.candidates.is_empty() || ice.gathering_complete).then_some(ice)
}
