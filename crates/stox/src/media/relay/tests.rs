use super::admit::admit;
use super::*;
use crate::mapping::Side;
use ng::{Dtls, Ice, Mux, Sdes};
use std::net::SocketAddr;

const PLAIN: &str = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=rtcp:4005 IN IP4 10.0.0.1\r\n";

const JINGLE: &str = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nt=0 0\r\na=group:BUNDLE a v\r\na=group:LS a v\r\n\
    m=audio 4000 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 10.0.0.1\r\na=mid:a\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n\
    a=fingerprint:sha-256 00\r\na=candidate:1 1 udp 2000 10.0.0.1 4000 typ host\r\n\
    a=candidate:2 1 udp 1000 198.51.100.7 5000 typ srflx raddr 10.0.0.1 rport 4000\r\n\
    a=candidate:3 1 tcp 900 198.51.100.7 9 typ host tcptype active\r\na=candidate:4 1 udp 800 x.local 5000 typ host\r\n\
    a=candidate:5 1 udp 1500 198.51.100.7 2223 typ host\r\n\
    m=video 0 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:v\r\n";

fn sdp(text: &str) -> Sdp {
    Sdp::parse(text.as_bytes()).unwrap()
}

fn user(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

fn open(at: SocketAddr) -> bool {
    at.ip().to_string().starts_with("198.51.100.") && at.port() != 2223 && at.port() != 0
}

fn written(sdp: &Sdp) -> String {
    String::from_utf8(sdp.to_bytes()).unwrap()
}

#[test]
fn addresses_that_point_inward_are_left_out_where_checks_find_others() {
    let admitted = written(&admit(sdp(JINGLE), open).unwrap());
    let lines: Vec<&str> = admitted.lines().collect();
    assert_eq!(lines.iter().filter(|line| line.starts_with("a=candidate:")).count(), 1, "{admitted}");
    assert!(admitted.contains("a=candidate:2 1 udp 1000 198.51.100.7 5000 typ srflx"), "{admitted}");
    assert!(admitted.contains("m=audio 5000 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 198.51.100.7\r\n"), "{admitted}");
    assert!(admitted.contains("m=video 0 ") && admitted.contains("a=group:LS a v"), "{admitted}");
    assert!(!admitted.contains("BUNDLE") && !admitted.contains("\r\nc=IN IP4 10."), "{admitted}");

    // Nothing is left of it: the relay waits for the checks.
    let admitted = written(&admit(sdp(JINGLE), |_| false).unwrap());
    assert!(admitted.contains("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\n"), "{admitted}");
    assert!(!admitted.contains("a=candidate") && admitted.contains("a=ice-options:trickle"), "{admitted}");
}

#[test]
fn an_address_that_points_inward_is_refused_where_nothing_else_is_known() {
    let admitted = written(&admit(sdp(PLAIN), open).unwrap());
    assert!(admitted.contains("m=audio 4000 RTP/AVP 0 101\r\nc=IN IP4 198.51.100.7\r\n"), "{admitted}");
    assert!(admitted.contains("a=rtcp:4005\r\n"), "RTCP goes where RTP goes: {admitted}");
    for inward in ["10.0.0.1", "127.0.0.1", "intern.example", "169.254.169.254"] {
        let inward = sdp(&PLAIN.replace("c=IN IP4 198.51.100.7", &format!("c=IN IP4 {inward}")));
        let Err(Refusal::NotAcceptableHere { warning: 301, .. }) = admit(inward, open) else { panic!("refused") };
    }
    assert!(admit(sdp(&PLAIN.replace("audio 4000", "audio 2223")), open).is_err(), "the relay's own door");
    let layers = written(&admit(sdp(&PLAIN.replace("audio 4000", "audio 4000/2")), open).unwrap());
    assert!(layers.contains("m=audio 4000 RTP"), "{layers}");
    let held = PLAIN.replace("c=IN IP4 198.51.100.7", "c=IN IP4 0.0.0.0");
    assert!(admit(sdp(&held), open).is_ok(), "RFC 2543 held so");
    let over = PLAIN.replace("audio 4000", "audio 0").replace("c=IN IP4 198.51.100.7", "c=IN IP4 10.0.0.1");
    assert!(written(&admit(sdp(&over), open).unwrap()).contains("m=audio 0 RTP/AVP 0 101\r\nc=IN IP4 0.0.0.0\r\n"));
}

/// What a call to this user is tried with, until everything is refused with `code`.
fn tries(options: &Options, relay: bool, sip: &str, offer: &str, code: u16) -> Result<Vec<Way>, u16> {
    let means = Means { options, relay, now: Time::ZERO };
    let ways = Ways::new(options, HashKey::new(1, 2));
    let (sip, offer) = (user(sip), sdp(offer));
    let mut tried = vec![ways.to_sip(means, &sip, &offer).map_err(|refusal| refusal.code())?];
    while let Some(style) = Ways::after(means, &sip, tried[tried.len() - 1], code, &offer) {
        tried.push(Way::Relayed(style));
        assert!(tried.len() < 5, "for ever");
    }
    Ok(tried)
}

const DIRECT: Way = Way::Direct;
const AS_PLAIN: Way = Way::Relayed(Style::PLAIN);
const AS_SDES: Way = Way::Relayed(Style::SDES);
const AS_JINGLE: Way = Way::Relayed(Style::SECURE);

#[test]
fn what_a_telephone_takes_is_found_out_by_trying() {
    let options = |mode| Options {
        mode,
        plain: vec!["pbx.example".into()],
        sdes: vec!["srtp.example".into()],
        ..Options::default()
    };
    let [auto, never, always] = [Mode::Auto, Mode::Never, Mode::Always].map(options);
    for (options, relay, sip, offer, code, expected) in [
        (&auto, true, "romeo@example.net", JINGLE, 488, Ok(vec![DIRECT, AS_PLAIN, AS_SDES])),
        (&auto, true, "romeo@example.net", JINGLE, 606, Ok(vec![DIRECT, AS_PLAIN, AS_SDES])),
        (&auto, true, "romeo@example.net", JINGLE, 486, Ok(vec![DIRECT])),
        (&auto, true, "romeo@example.net", PLAIN, 488, Ok(vec![DIRECT])),
        (&auto, false, "romeo@example.net", JINGLE, 488, Ok(vec![DIRECT])),
        (&auto, true, "romeo@pbx.example", JINGLE, 488, Ok(vec![AS_PLAIN])),
        (&auto, true, "romeo@pbx.example", PLAIN, 488, Ok(vec![DIRECT])),
        (&auto, true, "romeo@srtp.example", JINGLE, 488, Ok(vec![AS_SDES])),
        (&auto, false, "romeo@pbx.example", JINGLE, 488, Err(488)),
        (&never, true, "romeo@pbx.example", JINGLE, 488, Ok(vec![DIRECT])),
        (&always, true, "romeo@example.net", JINGLE, 488, Ok(vec![AS_JINGLE, AS_PLAIN, AS_SDES])),
        (&always, true, "romeo@example.net", PLAIN, 488, Ok(vec![AS_JINGLE, AS_PLAIN, AS_SDES])),
        (&always, false, "romeo@example.net", JINGLE, 488, Err(488)),
    ] {
        let mode = options.mode;
        assert_eq!(tries(options, relay, sip, offer, code), expected, "{mode:?} {relay} {sip} {code}");
    }
}

#[test]
fn an_answer_that_no_client_can_take_is_asked_for_anew() {
    let auto = Options::default();
    let means = Means { options: &auto, relay: true, now: Time::ZERO };
    let offer = sdp(JINGLE);
    let instead = |means, way, answer: &str| Ways::instead(means, way, &offer, &sdp(answer));
    assert_eq!(instead(means, DIRECT, JINGLE), None);
    assert_eq!(instead(means, DIRECT, PLAIN), Some(Style::PLAIN), "RFC 3264 does not let it, and there are some");
    let refused = JINGLE.replace("m=audio 4000", "m=audio 0");
    assert_eq!(instead(means, DIRECT, &refused), Some(Style::PLAIN));
    let no_ice = JINGLE.replace("a=ice-pwd", "a=x");
    assert_eq!(instead(means, DIRECT, &no_ice), Some(Style::of(&sdp(&no_ice))));
    let shared = JINGLE.replace("m=video 0 ", "m=video 4000 ");
    assert_eq!(Ways::instead(means, DIRECT, &sdp(&shared), &sdp(&shared)), None, "one way for both");
    assert_eq!(Ways::to_xmpp(means, &sdp(&shared)), Ok(DIRECT));
    assert_eq!(instead(means, AS_PLAIN, PLAIN), None, "it is there already");
    assert_eq!(instead(Means { relay: false, ..means }, DIRECT, &no_ice), None);
    assert_eq!(Ways::instead(means, DIRECT, &sdp(PLAIN), &sdp(PLAIN)), None);
}

#[test]
fn what_was_found_out_is_remembered_for_a_while() {
    let options = Options { remembered: 4, ..Options::default() };
    let at = |secs| Means { options: &options, relay: true, now: Time::from_secs(secs) };
    let mut ways = Ways::new(&options, HashKey::new(1, 2));
    let romeo = user("romeo@example.net");
    ways.accepted(at(0), &romeo, AS_PLAIN);
    assert_eq!(ways.to_sip(at(3599), &user("romeo@example.net/x"), &sdp(JINGLE)), Ok(AS_PLAIN));
    assert_eq!(ways.to_sip(at(3599), &user("tybalt@example.net"), &sdp(JINGLE)), Ok(DIRECT));
    assert_eq!(ways.to_sip(at(3600), &romeo, &sdp(JINGLE)), Ok(DIRECT));
    ways.accepted(at(3600), &romeo, AS_SDES);
    assert_eq!(ways.to_sip(at(3601), &romeo, &sdp(JINGLE)), Ok(AS_SDES));
    ways.accepted(at(3601), &romeo, DIRECT);
    assert_eq!(ways.to_sip(at(3601), &romeo, &sdp(JINGLE)), Ok(DIRECT), "a new telephone");
    for n in 0..100 {
        ways.accepted(at(0), &user(&format!("u{n}@example.net")), AS_PLAIN);
        assert!(ways.known.len() <= 4);
    }
}

#[test]
fn what_a_caller_has_his_offer_says() {
    let auto = Options::default();
    let way = |text: &str, relay| {
        Ways::to_xmpp(Means { options: &auto, relay, now: Time::ZERO }, &sdp(text)).map_err(|refusal| refusal.code())
    };
    assert_eq!(way(JINGLE, true), Ok(DIRECT));
    assert_eq!(way(JINGLE, false), Ok(DIRECT));
    // A caller that only answers checks needs somebody who makes them, if there is one.
    let lite = JINGLE.replacen("m=audio", "a=ice-lite\r\nm=audio", 1);
    assert!(matches!((way(&lite, true), way(&lite, false)), (Ok(Way::Relayed(_)), Ok(DIRECT))));
    assert_eq!(way(PLAIN, true), Ok(AS_PLAIN));
    assert_eq!(way(PLAIN, false), Err(488));
    assert_eq!(way(&PLAIN.replace("RTP/AVP", "RTP/SAVP"), true), Ok(AS_SDES));
    let no_ice = JINGLE.replace("a=ice-pwd", "a=x");
    let Ok(Way::Relayed(style)) = way(&no_ice, true) else { panic!("relayed") };
    let rewriting = style.rewriting(Side::Sip, None);
    assert_eq!(
        (rewriting.ice, rewriting.dtls, rewriting.protocol),
        (Ice::Remove, Dtls::Passive, Some("UDP/TLS/RTP/SAVPF"))
    );
    let never = Options { mode: Mode::Never, ..Options::default() };
    assert_eq!(Ways::to_xmpp(Means { options: &never, relay: true, now: Time::ZERO }, &sdp(PLAIN)), Ok(DIRECT));
}

#[test]
fn what_a_relay_is_told_to_make_of_descriptions() {
    let towards_sip = |style: Style| {
        let rewriting = style.rewriting(Side::Sip, None);
        (rewriting.ice, rewriting.dtls, rewriting.sdes, rewriting.mux, rewriting.protocol)
    };
    assert_eq!(towards_sip(Style::PLAIN), (Ice::Remove, Dtls::Off, Sdes::Off, Some(Mux::Demux), Some("RTP/AVP")));
    assert_eq!(towards_sip(Style::SDES), (Ice::Remove, Dtls::Off, Sdes::On, Some(Mux::Demux), Some("RTP/SAVP")));
    let secure = (Ice::Force, Dtls::Passive, Sdes::Off, Some(Mux::Offer), Some("UDP/TLS/RTP/SAVPF"));
    assert_eq!(towards_sip(Style::SECURE), secure);
    let interfaces = (Str::from("inside"), Str::from("outside"));
    let rewriting = Style::PLAIN.rewriting(Side::Xmpp, Some(&interfaces));
    assert_eq!((rewriting.ice, rewriting.dtls, rewriting.sdes, rewriting.mux, rewriting.protocol), secure);
    assert_eq!(rewriting.interfaces, Some(("inside".into(), "outside".into())), "from SIP");
    assert_eq!(
        Style::PLAIN.rewriting(Side::Sip, Some(&interfaces)).interfaces,
        Some(("outside".into(), "inside".into()))
    );
}
