//! Descriptions of media: what one side says, as the other one reads it.

use super::split;
use bodies::sdp::fragment::Fragment;
use bodies::sdp::rtp::{self, Value};
use bodies::sdp::{Attributes, Host, Media, Origin, Sdp};
use std::fmt::Debug;
use stox::error::Refusal;
use stox::media::description::{Asked, Description, Due, Scope, s2x, x2s};
use xml::Element;
use xmpp::ext::jingle::{Action, Content, Creator, Ice, Jingle, MAX_CANDIDATES, Transport};

/// What stands between two things that are said in a call.
const NEXT: &[u8] = b"\n--\n";

/// Things that are said in one call, one after the other: SDP, fragments of SDP, Jingle. Alone, each is translated there and back: what is
/// written is one medium and no more, a client and a telephone can read it, and what both know stays what it is. Together they are the
/// offer, the answer and the changes of a call, in which no more is written than may be.
pub fn media_description(data: &[u8]) {
    let (kind, mut rest) = split(data);
    let mut said = Vec::new();
    while said.len() < 8 {
        let end = rest.windows(NEXT.len()).position(|window| window == NEXT);
        said.push(Said::read(&rest[..end.unwrap_or(rest.len())]));
        let Some(end) = end else { break };
        rest = &rest[end + NEXT.len()..];
    }
    let xmpp = if kind & 1 != 0 { Creator::Initiator } else { Creator::Responder };
    let mut scope = Scope::new(xmpp, Creator::Initiator, "voice".into());
    scope.answer = kind & 2 != 0;
    scope.mid = (kind & 4 != 0).then(|| "m".into());
    for said in &said {
        match said {
            Said::Sdp(sdp) => sdp.media.iter().for_each(|media| from_sip(sdp, media, &scope)),
            Said::Jingle(jingle) => jingle.contents.iter().for_each(|content| from_xmpp(content, &scope)),
            Said::Fragment(fragment) => trickles(fragment, &scope),
            Said::Nothing => {}
        }
    }
    if let Some((first, rest)) = said.split_first() {
        call(first, rest);
    }
}

enum Said {
    Sdp(Box<Sdp>),
    Fragment(Fragment),
    Jingle(Box<Jingle>),
    Nothing,
}

impl Said {
    fn read(bytes: &[u8]) -> Said {
        if bytes.trim_ascii_start().starts_with(b"<") {
            let e = Element::parse(bytes.trim_ascii(), &xml::Limits::default()).ok();
            let jingle = e.and_then(|e| Jingle::parse(&e).ok());
            return jingle.map_or(Said::Nothing, |jingle| Said::Jingle(Box::new(jingle)));
        }
        match Sdp::parse(bytes) {
            Ok(sdp) => {
                values(&sdp.attributes);
                sdp.media.iter().for_each(|media| values(&media.attributes));
                Said::Sdp(Box::new(sdp))
            }
            Err(_) => Fragment::parse(bytes).map_or(Said::Nothing, Said::Fragment),
        }
    }
}

/// What can be read can be written, and reads the same.
fn values(attributes: &Attributes) {
    fn all<T: Value + Debug>(attributes: &Attributes) {
        for value in T::all(attributes) {
            let written = value.attribute().expect("what was read can be written");
            assert_eq!(T::of(&written), Some(value));
        }
    }
    all::<rtp::Candidate>(attributes);
    all::<rtp::Crypto>(attributes);
    all::<rtp::Extmap>(attributes);
    all::<rtp::Feedback>(attributes);
    all::<rtp::Fmtp>(attributes);
    all::<rtp::Group>(attributes);
    all::<rtp::IceOptions>(attributes);
    all::<rtp::Mid>(attributes);
    all::<rtp::PacketTime>(attributes);
    all::<rtp::RemoteCandidates>(attributes);
    all::<rtp::Rtcp>(attributes);
    all::<rtp::Rtpmap>(attributes);
    all::<rtp::Ssrc>(attributes);
    all::<rtp::SsrcGroup>(attributes);
    all::<rtp::ZrtpHash>(attributes);
}

fn origin() -> Origin {
    Origin::new(7, 1, &Host::Ip([192, 0, 2, 1].into())).with_user("juliet")
}

fn around(media: &Media) -> Sdp {
    Sdp { media: vec![media.clone()], ..Sdp::new(origin()) }
}

/// Reads as it was meant.
fn legal(sdp: &Sdp) {
    let read = Sdp::parse(&sdp.to_bytes()).expect("what we write can be read");
    assert_eq!(&read, sdp);
}

/// Reads as it was meant, after it went through a stream.
fn over_the_wire(jingle: &Jingle) {
    let mut bytes = Vec::new();
    xml::write(&jingle.to_element(), "", &mut bytes);
    let e = Element::parse(&bytes, &xml::Limits::default()).expect("well-formed");
    let read = Jingle::parse(&e).expect("what we write can be read");
    let candidates = |ice: &Ice| ice.candidates.len() <= MAX_CANDIDATES;
    assert!(read.contents.iter().filter_map(Content::ice).all(candidates));
    let mut again = Vec::new();
    xml::write(&read.to_element(), "", &mut again);
    let at = bytes.iter().zip(&again).take_while(|(a, b)| a == b).count();
    let near =
        |bytes: &[u8]| String::from_utf8_lossy(&bytes[at.saturating_sub(80)..bytes.len().min(at + 80)]).into_owned();
    assert!(again == bytes, "{} becomes {}", near(&bytes), near(&again));
}

fn tell(content: &Content) {
    over_the_wire(&Jingle::new(Action::SessionInitiate, "a").with_content(content.clone()));
}

fn other(scope: &Scope) -> Scope {
    let xmpp = if scope.xmpp == Creator::Initiator { Creator::Responder } else { Creator::Initiator };
    Scope { xmpp, ..scope.clone() }
}

fn from_sip(sdp: &Sdp, media: &Media, scope: &Scope) {
    let mut heard = scope.clone();
    let content = match s2x::content(sdp, media, &mut heard) {
        Ok(content) => content,
        Err(refusal) => return refused(&refusal),
    };
    tell(&content);
    let formats = |content: &Content| {
        let payloads = content.rtp().map(|rtp| rtp.payloads.iter().map(|payload| (payload.id, payload.name.clone())));
        payloads.expect("RTP").collect::<Vec<_>>()
    };
    let written = match x2s::media(&content, &heard) {
        Ok(written) => written,
        // It takes more room than it had, for what was said of all is said of each.
        Err(refusal) => return assert_eq!(refusal, Refusal::TooBig),
    };
    legal(&around(&written));
    assert_eq!((&written.kind, &written.protocol), (&media.kind, &media.protocol));
    let again = s2x::content(&around(&written), &written, &mut other(scope)).expect("what we write can be translated");
    assert_eq!(formats(&again), formats(&content));
    let nowhere = matches!(&content.transport, Some(Transport::RawUdp(raw)) if raw.candidates.is_empty());
    assert!(nowhere || again.senders == content.senders, "{media:?}");
}

fn from_xmpp(content: &Content, scope: &Scope) {
    if let Some(ice) = content.ice() {
        let mut section = Fragment::section("m").expect("a name");
        section.attributes.extend(x2s::transport(ice));
        let fragment = Fragment { media: vec![section], ..Fragment::default() };
        assert_eq!(Fragment::parse(&fragment.to_bytes()), Ok(fragment));
    }
    let media = match x2s::media(content, scope) {
        Ok(media) => media,
        Err(refusal) => return refused(&refusal),
    };
    legal(&around(&media));
    assert!(media.attributes.all("candidate").count() <= MAX_CANDIDATES);
    let back = s2x::content(&around(&media), &media, &mut other(scope)).expect("what we write can be translated");
    tell(&back);
    let again = x2s::media(&back, &Scope { protocol: Some(media.protocol.clone()), ..scope.clone() });
    let again = again.expect("what we write can be translated");
    assert_eq!((&again.kind, &again.protocol, &again.formats), (&media.kind, &media.protocol, &media.formats));
}

fn trickles(fragment: &Fragment, scope: &Scope) {
    assert_eq!(Fragment::parse(&fragment.to_bytes()).as_ref(), Ok(fragment));
    let mut scope = scope.clone();
    for section in &fragment.media {
        values(&section.attributes);
        let said = |name| fragment.attribute(section, name).and_then(|a| a.value()).unwrap_or_default();
        let (ufrag, pwd) = (said("ice-ufrag"), said("ice-pwd"));
        if rtp::is_ufrag(ufrag) && rtp::is_password(pwd) {
            scope.ice.hear(ufrag, pwd);
        }
        let Some(ice) = s2x::transport(fragment, section, &mut scope) else { continue };
        assert!(ice.fingerprints.is_empty() && ice.candidates.len() <= MAX_CANDIDATES);
        let content = Content::new(Creator::Initiator, "voice").with_transport(Transport::Ice(Box::new(ice)));
        over_the_wire(&Jingle::new(Action::TransportInfo, "a").with_content(content));
        // Once is enough.
        let again = s2x::transport(fragment, section, &mut scope);
        assert!(again.is_none_or(|ice| ice.candidates.is_empty()));
    }
}

/// A face for each side.
fn refused(refusal: &Refusal) {
    assert!((400..500).contains(&refusal.response().code), "{refusal:?}");
    let _ = refusal.stanza_error();
}

fn say(all: Vec<Jingle>) {
    for jingle in all {
        over_the_wire(&Jingle { sid: "a".into(), ..jingle });
    }
}

/// Offer, answer, and what is changed afterwards.
fn call(first: &Said, rest: &[Said]) {
    let mut rest = rest.iter();
    let begun = match first {
        Said::Jingle(jingle) => Description::from_jingle(jingle, origin()),
        Said::Sdp(sdp) => Description::from_offer(sdp, origin()),
        Said::Fragment(_) | Said::Nothing => Ok(Description::without_offer(origin())),
    };
    let Ok(mut description) = begun else { return };
    if let Said::Jingle(_) = first {
        legal(&description.sdp());
        let Some(Said::Sdp(answer)) = rest.next() else { return };
        if description.answered(answer).is_err() {
            return;
        }
        accepts(&description, Action::SessionAccept);
    } else {
        accepts(&description, Action::SessionInitiate);
        let Some(Said::Jingle(accept)) = rest.next() else { return };
        if description.accepted(accept).is_err() {
            return;
        }
        legal(&description.sdp());
        if !matches!(first, Said::Sdp(_)) {
            let Some(Said::Sdp(answer)) = rest.next() else { return };
            let Ok(said) = description.settled(answer) else { return };
            say(said);
        }
    }
    for said in rest {
        match said {
            Said::Jingle(jingle) => {
                let Ok(change) = description.heard(jingle) else { continue };
                say(change.say);
                if let (Due::Trickle, Some(fragment)) = (change.sip, description.trickle()) {
                    assert_eq!(Fragment::parse(&fragment.to_bytes()), Ok(fragment));
                }
            }
            Said::Fragment(fragment) => say(description.fragment(fragment).into_iter().collect()),
            Said::Sdp(sdp) if description.due() => {
                legal(&description.offer());
                let Ok(said) = description.settled(sdp) else { return };
                say(said);
            }
            Said::Sdp(sdp) => {
                let Ok(Asked { say: said, waits }) = description.offered(sdp) else { continue };
                say(said);
                match if waits { description.give_up() } else { Ok(Vec::new()) } {
                    Ok(said) => {
                        say(said);
                        let answer = description.answer();
                        legal(&answer);
                        assert_eq!(answer.media.len(), sdp.media.len(), "one for each, in its order");
                    }
                    Err(said) => say(said),
                }
            }
            Said::Nothing => {
                if description.due() {
                    legal(&description.offer());
                    say(description.refused());
                }
            }
        }
    }
}

fn accepts(description: &Description, action: Action) {
    let (contents, groups) = description.contents();
    over_the_wire(&Jingle { contents, groups, ..Jingle::new(action, "a") });
}
