//! The first offer and its answer, either way.

use super::{jingle, sdp};
use crate::media::description::{Description, Gathered, Unfit};
use base::Str;
use bodies::sdp::{Host, Origin, Sdp};
use xmpp::ext::jingle::{Action, Condition, Content, Jingle, Senders, Transport};

pub(super) const PWD: &str = "asd88fgpdd777uzjYhagZg";

pub(super) fn origin() -> Origin {
    Origin::new(7, 1, &Host::Ip("192.0.2.1".parse().expect("an address"))).with_user("juliet")
}

/// A fingerprint whose octets are all this one.
pub(super) fn key(octet: &str) -> String {
    [octet; 32].join(":")
}

/// A content of audio or video as a browser describes it.
pub(super) fn webrtc(name: &str, media: &str, ufrag: &str, setup: &str, candidates: &str, attributes: &str) -> String {
    let payloads = match media {
        "audio" => {
            "<payload-type id='111' name='opus' clockrate='48000' channels='2'/><payload-type id='0' name='PCMU' clockrate='8000'/>"
        }
        _ => "<payload-type id='96' name='VP8' clockrate='90000'/>",
    };
    let key = key("AB");
    format!(
        "<content {attributes} name='{name}'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='{media}'>{payloads}<rtcp-mux/></description>\
         <transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='{ufrag}' pwd='{PWD}'>\
         <fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='{setup}'>{key}</fingerprint>{candidates}</transport></content>"
    )
}

pub(super) fn candidate(ip: &str, port: u16) -> String {
    format!(
        "<candidate component='1' foundation='1' generation='0' id='c{port}' ip='{ip}' port='{port}' priority='2130706431' protocol='udp' type='host'/>"
    )
}

pub(super) const BUNDLE: &str =
    "<group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='BUNDLE'><content name='0'/><content name='1'/></group>";

pub(super) fn does(action: &str, inside: &str) -> Jingle {
    jingle(&format!("<jingle xmlns='urn:xmpp:jingle:1' action='{action}' sid='a'>{inside}</jingle>"))
}

/// A media description as a browser writes it.
pub(super) fn browser(kind: &str, mid: &str, ufrag: &str, setup: &str, direction: &str, candidate: &str) -> String {
    let (formats, maps) = match kind {
        "audio" => ("111 0", "a=rtpmap:111 opus/48000/2\na=rtpmap:0 PCMU/8000\n"),
        _ => ("96", "a=rtpmap:96 VP8/90000\n"),
    };
    let candidate = match candidate {
        "" => String::new(),
        at => format!("a=candidate:x 1 udp 2130706431 {at} typ host\n"),
    };
    format!(
        "m={kind} 9 UDP/TLS/RTP/SAVPF {formats}\nc=IN IP4 0.0.0.0\na=mid:{mid}\na=ice-ufrag:{ufrag}\na=ice-pwd:{PWD}\n\
         a=fingerprint:sha-256 {}\na=setup:{setup}\na=rtcp-mux\na={direction}\n{maps}{candidate}",
        key("CD")
    )
}

pub(super) fn bundled(media: &str) -> Sdp {
    sdp(&format!("a=group:BUNDLE 0 1\n{media}"))
}

pub(super) fn text(sdp: &Sdp) -> String {
    String::from_utf8(sdp.to_bytes()).expect("UTF-8").replace("\r\n", "\n")
}

pub(super) fn names(contents: &[Content]) -> Vec<&str> {
    contents.iter().map(|content| content.name.as_str()).collect()
}

/// A call that an XMPP user has begun, with audio, and that was answered.
pub(super) fn called() -> Description {
    let initiate = does(
        "session-initiate",
        &webrtc("0", "audio", "xmpp", "actpass", &candidate("192.0.2.2", 5000), "creator='initiator'"),
    );
    let mut description = Description::from_jingle(&initiate, origin()).expect("a call");
    description.sdp();
    description
        .answered(&sdp(&browser("audio", "0", "sipp", "active", "sendrecv", "192.0.2.3 6000")))
        .expect("an answer");
    description
}

/// A call that a SIP user has begun, with audio, and that was accepted.
pub(super) fn calling() -> Description {
    let offer = sdp(&browser("audio", "0", "sipp", "actpass", "sendrecv", "192.0.2.3 6000"));
    let mut description = Description::from_offer(&offer, origin()).expect("a call");
    let accept = does(
        "session-accept",
        &webrtc("0", "audio", "xmpp", "active", &candidate("192.0.2.2", 5000), "creator='initiator'"),
    );
    description.accepted(&accept).expect("accepted");
    description.sdp();
    description
}

#[test]
fn an_xmpp_user_calls_with_audio_and_video_and_gets_audio() {
    let contents = [
        webrtc("0", "audio", "xmpp", "actpass", &candidate("192.0.2.2", 5000), "creator='initiator'"),
        webrtc("1", "video", "xmpp", "actpass", "", "creator='initiator' senders='initiator'"),
    ];
    let initiate = does("session-initiate", &format!("{BUNDLE}{}", contents.concat()));
    let mut description = Description::from_jingle(&initiate, origin()).expect("a call");
    assert_eq!(description.gathered(), Gathered::Some);
    let offer = description.sdp();
    let written = text(&offer);
    assert!(written.starts_with("v=0\no=juliet 7 1 IN IP4 192.0.2.1\n"), "{written}");
    assert!(written.contains("\na=group:BUNDLE 0 1\n"), "{written}");
    assert_eq!(written.matches("\na=sendrecv\n").count(), 1, "{written}");
    assert_eq!(written.matches("\na=sendonly\n").count(), 1, "{written}");
    assert_eq!(offer.media[1].port, 5000, "what shares a transport goes where that goes: {written}");
    assert_eq!(description.sdp(), offer, "nothing has changed");
    let answer = bundled(&format!(
        "{}m=video 0 UDP/TLS/RTP/SAVPF 96\n",
        browser("audio", "0", "sipp", "active", "sendrecv", "192.0.2.3 6000")
    ));
    description.answered(&answer).expect("an answer");
    let (contents, groups) = description.contents();
    assert_eq!(names(&contents), ["0"]);
    assert_eq!(contents[0].senders, Some(Senders::Both));
    assert_eq!(groups[0].contents, [Str::from("0")]);
    assert!(!description.due());
}

#[test]
fn a_sip_user_calls_and_the_answer_has_what_was_accepted() {
    let offer = bundled(&format!(
        "{}{}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\n",
        browser("audio", "0", "sipp", "actpass", "sendrecv", "192.0.2.3 6000"),
        browser("video", "1", "sipp", "actpass", "recvonly", "")
    ));
    let mut description = Description::from_offer(&offer, origin()).expect("a call");
    let (contents, groups) = description.contents();
    assert_eq!(names(&contents), ["0", "1"]);
    assert_eq!(contents[1].senders, Some(Senders::Responder), "the SIP user has begun, and only looks");
    assert_eq!(groups[0].contents.len(), 2);
    let audio = "<content creator='initiator' name='0'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'>\
        <payload-type id='111' name='opus' clockrate='48000' channels='2'/><payload-type id='99' name='speex' clockrate='16000'/><rtcp-mux/></description>\
        <transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='xmpp' pwd='asd88fgpdd777uzjYhagZg'>\
        <fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='actpass'>FINGERPRINT</fingerprint></transport></content>"
        .replace("FINGERPRINT", &key("AB"));
    description.accepted(&does("session-accept", &audio)).expect("accepted");
    assert_eq!(description.gathered(), Gathered::Nothing);
    let more = "<content creator='initiator' name='0'><transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='xmpp' pwd='asd88fgpdd777uzjYhagZg'>CANDIDATE</transport></content>"
        .replace("CANDIDATE", &candidate("192.0.2.2", 5000));
    description.heard(&does("transport-info", &more)).expect("a candidate");
    assert_eq!(description.gathered(), Gathered::Some);
    let answer = description.sdp();
    let written = text(&answer);
    assert_eq!(answer.media.len(), 3, "{written}");
    assert_eq!((answer.media[0].port, answer.media[1].port, answer.media[2].port), (5000, 0, 0));
    assert_eq!(answer.media[2].protocol, "UDP/DTLS/SCTP");
    assert!(written.contains("m=audio 5000 UDP/TLS/RTP/SAVPF 111\n"), "only what was offered: {written}");
    assert!(written.contains("\na=setup:active\n"), "an answer says which of both: {written}");
    assert!(Sdp::parse(&answer.to_bytes()).is_ok(), "{written}");
}

#[test]
fn plain_audio_goes_both_ways() {
    let initiate = "<content creator='initiator' name='this-is-the-audio-content'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'>\
        <payload-type id='96' name='speex' clockrate='16000'/><payload-type id='18' name='G729' clockrate='8000'/></description>\
        <transport xmlns='urn:xmpp:jingle:transports:raw-udp:1'><candidate component='1' generation='0' id='a' ip='192.0.2.101' port='49172'/></transport></content>";
    let mut description = Description::from_jingle(&does("session-initiate", initiate), origin()).expect("a call");
    assert_eq!(description.gathered(), Gathered::All);
    let written = text(&description.sdp());
    assert!(written.contains("m=audio 49172 RTP/AVP 96 18\nc=IN IP4 192.0.2.101\n"), "{written}");
    description.answered(&sdp("m=audio 3456 RTP/AVP 18\n")).expect("an answer");
    let (contents, groups) = description.contents();
    assert_eq!(groups, []);
    let Some(Transport::RawUdp(raw)) = &contents[0].transport else { panic!("{contents:?}") };
    assert_eq!((raw.candidates[0].ip.as_str(), raw.candidates[0].port), ("192.0.2.10", 3456));
}

#[test]
fn what_cannot_be_is_said_so() {
    let conditions = |result: Result<Description, Unfit>| result.map(drop).map_err(|unfit| unfit.condition);
    let file = "<content creator='initiator' name='a'><description xmlns='urn:xmpp:jingle:apps:file-transfer:5'/>\
                <transport xmlns='urn:xmpp:jingle:transports:ibb:1'/></content>";
    let initiate = does("session-initiate", file);
    assert_eq!(conditions(Description::from_jingle(&initiate, origin())), Err(Condition::UnsupportedApplications));
    let mut other = does("session-initiate", &webrtc("0", "audio", "xmpp", "actpass", "", "creator='initiator'"));
    other.contents[0].transport = None;
    assert_eq!(conditions(Description::from_jingle(&other, origin())), Err(Condition::UnsupportedTransports));
    assert_eq!(
        conditions(Description::from_offer(&sdp("m=image 5000 udptl t38\n"), origin())),
        Err(Condition::UnsupportedApplications)
    );
    let initiate = does("session-initiate", &webrtc("0", "audio", "xmpp", "actpass", "", "creator='initiator'"));
    for (answer, condition) in [
        ("m=audio 0 UDP/TLS/RTP/SAVPF 0\n".to_owned(), Condition::IncompatibleParameters),
        ("m=audio 5000 RTP/AVP 0\n".to_owned(), Condition::UnsupportedTransports),
        (format!("m=audio 5000 RTP/AVP 0\na=ice-ufrag:sipp\na=ice-pwd:{PWD}\n"), Condition::SecurityError),
    ] {
        let mut description = Description::from_jingle(&initiate, origin()).expect("a call");
        description.sdp();
        assert_eq!(description.answered(&sdp(&answer)).map_err(|unfit| unfit.condition), Err(condition), "{answer}");
    }
    let accept = does("session-accept", &webrtc("other", "audio", "xmpp", "active", "", "creator='initiator'"));
    let offer = sdp(&browser("audio", "0", "sipp", "actpass", "sendrecv", ""));
    let mut description = Description::from_offer(&offer, origin()).expect("a call");
    assert!(description.accepted(&accept).is_err());
    assert!(description.heard(&Jingle::new(Action::SessionAccept, "a")).is_err());
}

#[test]
fn who_calls_without_an_offer_gets_that_of_the_xmpp_user() {
    let mut description = Description::without_offer(origin());
    let (contents, _) = description.contents();
    let names: Vec<_> = contents[0].rtp().expect("RTP").payloads.iter().filter_map(|p| p.name.clone()).collect();
    assert_eq!(names, ["opus", "PCMU", "PCMA", "telephone-event"]);
    let accept = does(
        "session-accept",
        &webrtc("audio", "audio", "xmpp", "actpass", &candidate("192.0.2.2", 5000), "creator='initiator'"),
    );
    description.accepted(&accept).expect("accepted");
    let written = text(&description.sdp());
    assert!(written.contains("m=audio 5000 UDP/TLS/RTP/SAVPF 111 0\n"), "{written}");
    assert!(written.contains("\na=setup:actpass\n"), "it is an offer: {written}");
    let said = description
        .settled(&sdp(&browser("audio", "0", "sipp", "passive", "sendrecv", "192.0.2.3 6000")))
        .expect("an answer");
    assert_eq!(said.iter().map(|jingle| jingle.action).collect::<Vec<_>>(), [Action::TransportInfo]);
    let ice = said[0].contents[0].ice().expect("ICE");
    assert_eq!((ice.ufrag.as_deref(), ice.candidates.len(), ice.fingerprints.len()), (Some("sipp"), 1, 1));
}
