//! XMPP -> SIP: a content as a media description (draft §5, XEP-0167 §6).

use super::scope::Scope;
use super::{formats, stream, transport, unfit};
use crate::error::Refusal;
use base::Str;
use bodies::sdp::rtp::{self, Mid, Profile, Value};
use bodies::sdp::{Attribute, Media};
use xmpp::ext::jingle::{self, Content, Ice, Rtp, Senders};

/// The most attributes of one media description that a content can make.
const MAX_ATTRIBUTES: usize = 1_024;

/// The most bytes of them.
const MAX_BYTES: usize = 32_768;

/// The media description of a content, with an address of its own: that of its best candidate, or `0.0.0.0` and port 9 where it has none yet.
///
/// # Errors
/// `NotAcceptableHere` for what is no audio or video over RTP, has no format that can be named, no keys where the protocol wants some, or
/// keys, credentials or addresses that are none; `TooBig`.
pub fn media(content: &Content, scope: &Scope) -> Result<Media, Refusal> {
    let rtp = content.rtp().ok_or(unfit(304, "This is no audio or video"))?;
    if !matches!(rtp.media.as_str(), "audio" | "video") {
        return Err(unfit(304, "This is no audio or video"));
    }
    let transport = content.transport.as_ref().ok_or(unfit(302, "No transport"))?;
    let mut media = Media::new(&rtp.media, 0, "", &[]);
    media.protocol = protocol(rtp, transport::has_fingerprint(transport), scope)?;
    let mux = rtp.rtcp_mux || content.ice().is_some_and(|ice| ice.rtcp_mux);
    transport::write(transport, mux, scope, &mut media)?;
    // Draft §5.1: what is not said is both.
    let direction = scope.direction(content.senders.unwrap_or(Senders::Both));
    media.attributes.push(Attribute::flag(direction.name()));
    media.attributes.extend(scope.mid.as_ref().and_then(|mid| Mid(mid.clone()).attribute()));
    formats::write(rtp, &mut media);
    if media.formats.is_empty() {
        return Err(unfit(305, "No format that can be named"));
    }
    stream::write(rtp, scope, &mut media);
    let bytes =
        |attribute: &Attribute| attribute.name().len() + attribute.raw().map_or(0, |value| value.as_bytes().len());
    let fits =
        media.attributes.len() <= MAX_ATTRIBUTES && media.attributes.iter().map(bytes).sum::<usize>() <= MAX_BYTES;
    if fits { Ok(media) } else { Err(Refusal::TooBig) }
}

/// The attributes of ICE as a fragment has them behind its `a=mid` (RFC 8840 §9): credentials, candidates, and whether that is all.
pub fn transport(ice: &Ice) -> Vec<Attribute> {
    transport::fragment(ice)
}

/// A candidate; None for one that has no counterpart, such as a name (`.local`).
pub fn candidate(candidate: &jingle::Candidate) -> Option<rtp::Candidate> {
    transport::candidate(candidate)
}

/// The profile: that of the media description where it stands (RFC 3264 §6), or else that of the keys and the feedback that there are
/// (XEP-0167 §4, XEP-0293 §3). With the keys of DTLS it is the one that all take who know them (RFC 8827 §6.5, RFC 8829 §5.1.2).
fn protocol(rtp: &Rtp, dtls: bool, scope: &Scope) -> Result<Str, Refusal> {
    let sdes = rtp.encryption.as_ref().is_some_and(|encryption| !encryption.cryptos.is_empty());
    if let Some(protocol) = &scope.protocol {
        let profile = Profile::from_name(protocol).ok_or(unfit(302, "This transport has no counterpart"))?;
        return match (profile.secure, profile.dtls) {
            (true, true) if !dtls => Err(unfit(306, "The keys of DTLS are missing")),
            (true, _) if !dtls && !sdes => Err(unfit(306, "The keys are missing")),
            _ => Ok(protocol.clone()),
        };
    }
    let of_payload = rtp.payloads.iter().any(|payload| !payload.rtcp_fb.is_empty() || payload.trr_int.is_some());
    let feedback = dtls || of_payload || !rtp.rtcp_fb.is_empty() || rtp.trr_int.is_some();
    Ok(Profile { secure: dtls || sdes, dtls, feedback }.name().into())
}
