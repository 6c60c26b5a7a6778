//! `sdp`: each as the offer of an INVITE, and as the answer to one of ours. No gateway is needed for these.

use crate::table::{Outcome, cases, corpus};
use bodies::sdp::{self, MAX_MEDIA, Origin, Sdp, message};
use msrp::{Host, Path, Way};
use std::net::IpAddr;
use std::time::{Duration, Instant};
use stox::leg::negotiate::{Agreed, Ours, answer, read_answer, wants_tls};
use stox::media::description::Description;
use xml::Element;
use xmpp::ext::jingle::{Action, Jingle, MAX_CANDIDATES};

/// What must become of each: the answer to the INVITE, or 200 for a call that rings.
const CASES: &[(&str, u16)] = &[
    ("ok-audio", 200),
    ("ok-msrp", 200),
    ("ok-lf", 200),
    ("ok-no-final-crlf", 200),
    ("ok-unknown-attr", 200),
    ("ok-port0", 488),
    ("ok-no-media", 488),
    ("v1", 400),
    ("o-short", 400),
    ("o-2p64", 200),
    // Out of order it means the same.
    ("order", 200),
    ("line-no-eq", 400),
    ("type-upper", 400),
    ("space-eq", 400),
    ("no-c-any", 400),
    ("c-bad-ip", 400),
    ("c-ip6-in-ip4", 400),
    ("c-bracket6", 400),
    ("c-nettype", 488),
    ("c-mcast", 488),
    ("c-mcast-count", 400),
    ("ssrf-mapped", 488),
    ("ssrf-0000", 488),
    ("ssrf-decimal", 488),
    ("ssrf-octal", 488),
    ("ssrf-own", 488),
    ("ssrf-port22", 488),
    ("path-missing", 400),
    ("path-inject", 400),
    ("accept-types-none", 400),
    ("msrps-plain", 488),
    ("port-70000", 400),
    ("port-neg", 400),
    ("m-fmt-256", 400),
    ("m-1000", 413),
    ("m-type-long", 400),
    ("rtpmap-dyn-missing", 488),
    ("ptime-neg", 200),
    ("b-2p64", 200),
    ("attr-ctl", 400),
    ("fingerprint-md5", 488),
    ("cand-internal", 200),
    ("cand-10k", 413),
    ("cand-mdns", 200),
    ("ufrag-short", 488),
    ("group-unknown-mid", 200),
    ("line-1mib", 413),
    ("lines-100k", 413),
    ("nul-mid", 400),
    ("bad-utf8", 200),
    ("o-not-incremented", 200),
    ("answer-new-codec", 200),
];

/// The gateway's address policy, with nothing allowed.
fn outside(address: IpAddr) -> bool {
    let inside = match address.to_canonical() {
        IpAddr::V4(a) => a.is_loopback() || a.is_private() || a.is_unspecified() || a.is_link_local(),
        IpAddr::V6(a) => a.is_loopback() || a.is_unspecified(),
    };
    !inside
}

/// Whatever was agreed, we connect to the peer's own host alone, if to any.
fn stays_outside(agreed: &Agreed) -> bool {
    match &agreed.way {
        Way::Passive => true,
        Way::Active(hop) => hop.host == Host::Ip([192, 0, 2, 10].into()) && hop.port == 2855,
    }
}

/// A call with this offer: what a client is told of it, it can read.
fn called(offer: &Sdp) -> u16 {
    match Description::from_offer(offer, origin()) {
        Ok(description) => {
            let (contents, groups) = description.contents();
            assert!(
                contents.iter().filter_map(|content| content.ice()).all(|ice| ice.candidates.len() <= MAX_CANDIDATES)
            );
            let told = Jingle { contents, groups, ..Jingle::new(Action::SessionInitiate, "a") };
            let mut bytes = Vec::new();
            xml::write(&told.to_element(), "", &mut bytes);
            let read = Element::parse(&bytes, &xml::Limits::default()).unwrap();
            assert_eq!(Jingle::parse(&read), Ok(told));
            200
        }
        Err(unfit) => unfit.refusal.response().code,
    }
}

fn origin() -> Origin {
    Origin::new(1, 1, &sdp::Host::Ip([192, 0, 2, 1].into()))
}

/// As answers to a client that offers PCMU and PCMA, and as changes of a call that stands.
#[test]
fn answers_and_changes_if_the_corpus_is_there() {
    let Some(corpus) = corpus() else { return };
    let cases = cases(&corpus.join("sdp"));
    let read = |name: &str| Sdp::parse(&cases.iter().find(|case| case.name == name).unwrap().bytes).unwrap();
    let jingle = |action: &str| {
        let text = format!(
            "<jingle xmlns='urn:xmpp:jingle:1' action='{action}' sid='a'><content creator='initiator' name='audio'>\
             <description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'><payload-type id='0' name='PCMU' clockrate='8000'/>\
             <payload-type id='8' name='PCMA' clockrate='8000'/></description>\
             <transport xmlns='urn:xmpp:jingle:transports:raw-udp:1'>\
             <candidate component='1' generation='0' id='a' ip='192.0.2.20' port='4000'/></transport></content></jingle>"
        );
        Jingle::parse(&Element::parse(text.as_bytes(), &xml::Limits::default()).unwrap()).unwrap()
    };
    let answered = |name: &str| {
        let mut description = Description::from_jingle(&jingle("session-initiate"), origin()).unwrap();
        description.answered(&read(name)).map(|()| description.contents().0)
    };
    assert_eq!(answered("ok-audio").unwrap().len(), 1);
    // A codec that was never offered: the call ends, or goes on with what was.
    let new = answered("answer-new-codec");
    let offered = |id: u8| [0, 8].contains(&id);
    assert!(new.as_ref().map_or(true, |c| c[0].rtp().unwrap().payloads.iter().all(|p| offered(p.id))), "{new:?}");
    // A change that does not count its version up is a change all the same.
    let mut description = Description::from_offer(&read("ok-audio"), origin()).unwrap();
    description.accepted(&jingle("session-accept")).unwrap();
    assert_eq!(description.sdp().media.len(), 1);
    let changed = description.offered(&read("o-not-incremented")).unwrap();
    let answer = if changed.waits { None } else { Some(description.answer()) };
    assert!(answer.is_none_or(|answer| answer.media.len() == 1));
}

#[test]
fn descriptions_if_the_corpus_is_there() {
    let Some(corpus) = corpus() else { return };
    let mut problems = Vec::new();
    for case in cases(&corpus.join("sdp")) {
        let secure = wants_tls(&case.bytes);
        let host = Host::Name("gw.example.com".into());
        let path = Path::of_session(secure, &host, 2855, "s3ss10n").unwrap();
        let ours = Ours {
            path: &path,
            host: &host,
            port: 2855,
            secure,
            fingerprint: None,
            accept_types: &["message/cpim", "text/plain"],
            accept_wrapped_types: &["text/plain"],
            max_size: 10_000,
            session_id: 1,
            version: 1,
            cema: true,
            chatroom: None,
        };
        let begin = Instant::now();
        let read = Sdp::parse(&case.bytes);
        let answered = answer(&ours, &case.bytes, &outside);
        let taken = read_answer(&ours, &case.bytes, &outside);
        if begin.elapsed() > Duration::from_secs(1) {
            problems.push(format!("{}: {:?}", case.name, begin.elapsed()));
        }
        let code = match &read {
            Ok(sdp) if sdp.media.iter().all(|media| media.kind != message::KIND) => called(sdp),
            Ok(_) | Err(_) => answered.as_ref().map_or_else(|refusal| refusal.response().code, |_| 200),
        };
        let expect = case.row.get("expect");
        // A call of which every stream is switched off is none, though its description is legal.
        let fits = Outcome::Code(code).fits(&expect.replace("|BYE", "")) || code == 488 && case.name == "ok-port0";
        if !fits || !CASES.contains(&(case.name.as_str(), code)) {
            problems.push(format!("{}: {code} {:?}; expect: {expect}", case.name, read.as_ref().err()));
        }
        let agreed = [answered.as_ref().ok().map(|(agreed, _)| agreed), taken.as_ref().ok()];
        if !agreed.into_iter().flatten().all(stays_outside) {
            problems.push(format!("{}: {answered:?} {taken:?}", case.name));
        }
        if let Ok(sdp) = &read {
            let legal =
                case.row.get("syntax") == "valid" && !["ok-lf", "ok-no-final-crlf"].contains(&case.name.as_str());
            if sdp.media.len() > MAX_MEDIA || legal && sdp.to_bytes() != case.bytes {
                problems.push(format!("{}: {}", case.name, String::from_utf8_lossy(&sdp.to_bytes())));
            }
        }
        // As the answer to an offer of ours: the baseline; and what looks as if a middlebox had put the peer's place for its bad one (RFC 6714).
        if taken.is_ok() != ["ok-msrp", "ssrf-port22"].contains(&case.name.as_str()) {
            problems.push(format!("{}: as an answer {taken:?}", case.name));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
