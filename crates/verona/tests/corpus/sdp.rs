//! `sdp`: each as the offer of an INVITE, and as the answer to one of ours. No gateway is needed for these.

use crate::table::{Outcome, cases, corpus};
use bodies::sdp::{MAX_MEDIA, Sdp, message};
use msrp::{Host, Path, Way};
use std::net::IpAddr;
use std::time::{Duration, Instant};
use stox::leg::negotiate::{Agreed, Ours, answer, read_answer, wants_tls};

/// What must become of each: the answer to the INVITE. Calls are not taken yet: what has no conversation in it gets 488, if it can be read.
const CASES: &[(&str, u16)] = &[
    ("ok-audio", 488),
    ("ok-msrp", 200),
    ("ok-lf", 488),
    ("ok-no-final-crlf", 488),
    ("ok-unknown-attr", 488),
    ("ok-port0", 488),
    ("ok-no-media", 488),
    ("v1", 400),
    ("o-short", 400),
    ("o-2p64", 488),
    // Out of order it means the same.
    ("order", 488),
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
    ("ptime-neg", 488),
    ("b-2p64", 488),
    ("attr-ctl", 400),
    ("fingerprint-md5", 488),
    ("cand-internal", 488),
    ("cand-10k", 413),
    ("cand-mdns", 488),
    ("ufrag-short", 488),
    ("group-unknown-mid", 488),
    ("line-1mib", 413),
    ("lines-100k", 413),
    ("nul-mid", 400),
    ("bad-utf8", 488),
    ("o-not-incremented", 488),
    ("answer-new-codec", 488),
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
        let code = answered.as_ref().map_or_else(|refusal| refusal.response().code, |_| 200);
        // What is no conversation but can be read is accepted, as far as it goes here.
        let call = read.as_ref().is_ok_and(|sdp| sdp.media.iter().all(|media| media.kind != message::KIND));
        let expect = case.row.get("expect");
        let fits = Outcome::Code(code).fits(&expect.replace("|BYE", ""))
            || call && expect.split('|').any(|word| word == "accept");
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
