//! Session descriptions, and what is agreed by them.

use super::split;
use bodies::sdp::message::Message;
use bodies::sdp::{self, Sdp};
use msrp::{Host, Path, Way};
use std::net::IpAddr;
use stox::leg::Chatroom;
use stox::leg::negotiate::{Agreed, Ours, answer, offer, read_answer, wants_tls};

/// A description, as an offer to us and as an answer to ours; the first byte says what we are. What is read prints back. An answer of ours is one
/// to that offer: each medium in its place, all refused but one. Whatever a peer writes, we connect to no inner address, no low port and not
/// to ourselves, and over TLS if and only if that was said; and a peer of our kind could take our answer.
pub fn sdp(data: &[u8]) {
    let (kind, rest) = split(data);
    let [relayed, cema, tls, room, nickname, private_messages] = [1, 2, 4, 8, 16, 32].map(|bit| kind & bit != 0);
    let read = Sdp::parse(rest);
    if let Ok(sdp) = &read {
        round(sdp);
    }
    let secure = tls || wants_tls(rest);
    let host = Host::Ip([192, 0, 2, 1].into());
    let own = Path::of_session(secure, &host, 2855, "0123456789").expect("a path");
    let relay =
        Path::parse(if secure { "msrps://relay.example:2855/r;tcp" } else { "msrp://relay.example:2855/r;tcp" });
    let path = if relayed { relay.expect("a path").then(&own) } else { own };
    let fingerprint = msrp::Fingerprint { algorithm: "sha-256".into(), digest: vec![7; 32].into() };
    let ours = Ours {
        path: &path,
        host: &host,
        port: 2855,
        secure,
        fingerprint: Some(&fingerprint),
        accept_types: &["message/cpim", "text/plain"],
        accept_wrapped_types: &["*"],
        max_size: 10_000,
        session_id: u64::MAX,
        version: 1,
        cema,
        chatroom: room.then_some(Chatroom { nickname, private_messages }),
    };
    match answer(&ours, rest, &outside) {
        Ok((agreed, bytes)) => {
            tame(&agreed, secure);
            assert!(!room || agreed.accept.takes("message/cpim"));
            let said = Sdp::parse(&bytes).expect("what we write can be read");
            let offered = &read.as_ref().expect("it was answered").media;
            assert_eq!(said.media.len(), offered.len());
            assert!(
                said.media
                    .iter()
                    .zip(offered)
                    .all(|(a, o)| (&a.kind, &a.formats) == (&o.kind, &o.formats) || a.port != 0)
            );
            assert_eq!(said.media.iter().filter(|media| media.port != 0).count(), 1, "one of them is taken");
            understood(said, &ours, secure);
        }
        // A face for each side, whatever the words were.
        Err(refusal) => {
            assert!((400..500).contains(&refusal.response().code), "{refusal:?}");
            let _ = refusal.stanza_error();
        }
    }
    if let Ok(agreed) = read_answer(&ours, rest, &outside) {
        tame(&agreed, secure);
    }
    let offered = Sdp::parse(&offer(&ours)).expect("what we offer can be read");
    round(&offered);
}

fn outside(address: IpAddr) -> bool {
    !(address.is_loopback() || address.is_unspecified() || matches!(address, IpAddr::V4(a) if a.is_private()))
}

/// What is read prints back, and so does what is known of conversations.
fn round(sdp: &Sdp) {
    assert!(sdp.media.len() <= sdp::MAX_MEDIA);
    let written = sdp.to_bytes();
    match Sdp::parse(&written) {
        Ok(again) => assert_eq!(&again, sdp),
        // Lines ended by LF alone are shorter.
        Err(e) => assert!(matches!(e, bodies::Error::TooBig { .. }), "{e}"),
    }
    for media in &sdp.media {
        let _ = (sdp.direction(media), sdp.setup(media));
        assert!(
            sdp.fingerprints(media).is_ok_and(|f| f.len() <= sdp::MAX_FINGERPRINTS) || sdp.fingerprints(media).is_err()
        );
        let Ok(message) = Message::read(sdp, media) else { continue };
        let mut alone = Sdp::new(sdp.origin.clone());
        alone.media.push(message.to_media());
        let again = Sdp::parse(&alone.to_bytes()).expect("what we write can be read");
        let again = Message::read(&again, &again.media[0]).expect("it is a conversation");
        assert_eq!(again, Message { file: false, ..message });
    }
}

/// Where we go, and how.
fn tame(agreed: &Agreed, secure: bool) {
    assert!(agreed.accept.takes("text/plain") || agreed.accept.wraps("text/plain"));
    assert!(agreed.max_size != Some(0) && agreed.path.last().session_id().is_some());
    let Way::Active(hop) = &agreed.way else { return };
    assert_eq!(hop.tls.is_some(), secure);
    assert!(hop.port >= 1024);
    match &hop.host {
        Host::Ip(address) => {
            assert!(outside(address.to_canonical()) && !address.is_multicast(), "{address}");
            assert!((hop.port, *address) != (2855, [192, 0, 2, 1].into()), "ourselves");
        }
        // The names of hosts, and of no others: no digits alone, no escapes.
        Host::Name(name) => assert!(sdp::Host::name(name).is_some(), "{name}"),
    }
}

/// Our answer, cut down to the one conversation, to a peer of our kind that offered only that.
fn understood(mut said: Sdp, ours: &Ours<'_>, secure: bool) {
    said.media.retain(|media| media.port != 0);
    let host = Host::Ip([192, 0, 2, 2].into());
    let path = Path::of_session(secure, &host, 4000, "peer").expect("a path");
    let peer = Ours { path: &path, host: &host, port: 4000, ..*ours };
    let agreed = read_answer(&peer, &said.to_bytes(), &outside).expect("an answer to it");
    assert_eq!((&agreed.path, agreed.chatroom), (ours.path, ours.chatroom));
}
