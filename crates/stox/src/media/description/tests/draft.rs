//! draft-ietf-stox-media-07 §5 and §10, as corrected in `rfc/errata.toml`, and the examples of the XEPs.

use super::*;
use bodies::sdp::fragment::Fragment;
use bodies::sdp::rtp::Value;
use bodies::sdp::{Attribute, Direction};
use xmpp::ext::jingle::{Feedback, Parameter, Payload, Senders, Transport};

/// Example 1.
#[test]
fn the_structure_of_a_session_initiate() {
    let content = content(
        "<payload-type id='101' name='opus' clockrate='48000'/><payload-type id='18' name='G729'/>\
         <payload-type channels='2' clockrate='16000' id='103' name='L16'/><payload-type id='98' name='x-ISAC' clockrate='8000'/>",
        &raw("10.1.1.104", 13_540),
    );
    assert_eq!(
        to_sip(&content, &scope()),
        [
            "m=audio 13540 RTP/AVP 101 18 103 98",
            "c=IN IP4 10.1.1.104",
            "a=sendrecv",
            "a=rtpmap:101 opus/48000/2",
            "a=rtpmap:18 G729/8000",
            "a=rtpmap:103 L16/16000/2",
            "a=rtpmap:98 x-ISAC/8000",
        ]
    );
}

/// Examples 6, 10 and 11: what the SIP side answers with is the SIP side's address.
#[test]
fn the_answer_of_the_sample_call() {
    let mut scope = Scope { answer: true, ..scope() };
    let answer = to_xmpp("m=audio 3456 RTP/AVP 97\nc=IN IP4 192.0.2.201\na=rtpmap:97 speex/8000\n", &mut scope);
    assert_eq!(
        (answer.creator, answer.name.as_str(), answer.senders),
        (Creator::Initiator, "voice", Some(Senders::Both))
    );
    assert_eq!(answer.rtp().map(|rtp| rtp.payloads.clone()), Some(vec![Payload::new(97, "speex", 8_000)]));
    let Some(Transport::RawUdp(raw)) = answer.transport else { panic!("{answer:?}") };
    let places: Vec<_> = raw.candidates.iter().map(|c| (c.component, c.generation, c.ip.as_str(), c.port)).collect();
    assert_eq!(places, [(1, 0, "192.0.2.201", 3_456), (2, 0, "192.0.2.201", 3_457)]);
    assert_ne!(raw.candidates[0].id, raw.candidates[1].id);
}

/// Table 1: `senders`, of either side.
#[test]
fn who_sends() {
    let rows = [
        (Creator::Initiator, "both", Direction::SendRecv),
        (Creator::Initiator, "initiator", Direction::SendOnly),
        (Creator::Initiator, "responder", Direction::RecvOnly),
        (Creator::Initiator, "none", Direction::Inactive),
        (Creator::Responder, "both", Direction::SendRecv),
        (Creator::Responder, "initiator", Direction::RecvOnly),
        (Creator::Responder, "responder", Direction::SendOnly),
        (Creator::Responder, "none", Direction::Inactive),
    ];
    let plain = content("<payload-type id='0'/>", &raw("192.0.2.1", 4_000));
    assert!(to_sip(&plain, &scope()).contains(&"a=sendrecv".to_owned()), "absent is both");
    for (xmpp, senders, direction) in rows {
        let mut scope = Scope { xmpp, ..scope() };
        let content = plain.clone().with_senders(Senders::from_name(senders).expect("a name"));
        assert!(to_sip(&content, &scope).contains(&format!("a={}", direction.name())), "{xmpp} {senders}");
        // As the SIP side writes it: the contrary.
        let back = to_xmpp(&format!("m=audio 4000 RTP/AVP 0\na={}\n", direction.reverse().name()), &mut scope);
        assert_eq!(back.senders.map(Senders::name), Some(senders), "{xmpp} {senders}");
    }
    assert_eq!(to_xmpp("m=audio 4000 RTP/AVP 0\n", &mut scope()).senders, Some(Senders::Both));
}

/// Table 1, note 1: the name of the content may be `a=mid`.
#[test]
fn names() {
    let content = content("<payload-type id='0'/>", &raw("192.0.2.1", 4_000));
    let named = Scope { mid: Some("voice".into()), ..scope() };
    assert!(to_sip(&content, &named).contains(&"a=mid:voice".to_owned()));
    let odd = Scope { mid: Some("a b\r\nm=video".into()), ..scope() };
    assert_eq!(to_sip(&content, &odd), to_sip(&content, &scope()));
}

/// §7, and what was before `a=sendonly` (RFC 3264 §8.4).
#[test]
fn on_hold() {
    let senders = |media: &str| to_xmpp(media, &mut scope()).senders;
    assert_eq!(senders("m=audio 4000 RTP/AVP 0\na=sendonly\n"), Some(Senders::Responder));
    assert_eq!(senders("m=audio 4000 RTP/AVP 0\nc=IN IP4 0.0.0.0\n"), Some(Senders::Responder));
    assert_eq!(senders("m=audio 4000 RTP/AVP 0\nc=IN IP4 0.0.0.0\na=recvonly\n"), Some(Senders::None));
    // Who has no candidates yet does not hold anybody.
    let ice = "m=audio 9 RTP/AVP 0\nc=IN IP4 0.0.0.0\na=ice-ufrag:8hhY\na=ice-pwd:asd88fgpdd777uzjYhagZg\n";
    assert_eq!(senders(ice), Some(Senders::Both));
}

/// §5.4: foundations are numbers, generations are counted, ids are ours, networks are nothing.
#[test]
fn ice_of_the_sip_side() {
    let offer = |ufrag: &str, foundations: [&str; 3]| {
        let lines = foundations.iter().enumerate().map(|(n, foundation)| {
            format!(
                "a=candidate:{foundation} 1 UDP {} 192.0.2.1 {} typ host generation 7 network 3 network-cost 10\n",
                n + 1,
                5_000 + n
            )
        });
        let lines: String = lines.collect();
        format!("m=audio 9 RTP/AVP 0\na=ice-ufrag:{ufrag}\na=ice-pwd:asd88fgpdd777uzjYhagZg\n{lines}")
    };
    let mut scope = scope();
    let mut ids = Vec::new();
    let mut hear = |offer: &str, generation: u32| -> Vec<String> {
        let content = to_xmpp(offer, &mut scope);
        let ice = content.ice().expect("ICE").clone();
        ids.extend(ice.candidates.iter().map(|candidate| candidate.id.clone()));
        assert!(
            ice.candidates.iter().all(|c| c.generation == generation && c.network.is_none() && c.protocol == "udp")
        );
        assert!(ice.candidates.iter().all(|c| c.other == [("network-cost".into(), "10".into())]), "{ice:?}");
        ice.candidates.iter().map(|candidate| candidate.foundation.to_string()).collect()
    };
    assert_eq!(hear(&offer("8hhY", ["a+/", "a+/", "1"]), 0), ["1", "1", "2"]);
    assert_eq!(hear(&offer("8hhY", ["1", "b", "a+/"]), 0), ["2", "3", "1"]);
    assert_eq!(hear(&offer("9uB6", ["b", "c", "b"]), 1), ["1", "2", "1"]);
    let total = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), total);
}

/// XEP-0176, example 1; of candidates, each comes with what it must have (RFC 8839 §5.1).
#[test]
fn ice_of_the_xmpp_side() {
    let content = content(
        "<payload-type id='0'/><rtcp-mux/>",
        "<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' pwd='asd88fgpdd777uzjYhagZg' ufrag='8hhy'>\
         <candidate component='1' foundation='1' generation='0' id='el0747fg11' ip='10.0.1.1' network='1' port='8998' \
         priority='2130706431' protocol='udp' type='host'/>\
         <candidate component='1' foundation='2' generation='0' id='y3s2b30v3r' ip='192.0.2.3' network='1' port='45664' \
         priority='1694498815' protocol='udp' rel-addr='10.0.1.1' rel-port='8998' type='srflx' ufrag='8hhy'/>\
         <candidate component='1' foundation='3' generation='0' id='a' ip='2001:db8::1' port='1' priority='1' protocol='udp' type='relay'/>\
         <candidate component='1' foundation='4' generation='0' id='b' ip='0b9a2f9c.local' port='1' priority='9' protocol='udp' type='host'/>\
         <candidate component='1' foundation='5' generation='0' id='c' ip='10.0.1.1' port='9' priority='5' protocol='tcp' type='host' \
         tcptype='active'/></transport>",
    );
    assert_eq!(
        to_sip(&content, &scope()),
        [
            "m=audio 1 RTP/AVP 0",
            "c=IN IP6 2001:db8::1",
            "a=rtcp-mux",
            "a=ice-ufrag:8hhy",
            "a=ice-pwd:asd88fgpdd777uzjYhagZg",
            "a=candidate:1 1 UDP 2130706431 10.0.1.1 8998 typ host",
            "a=candidate:2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 10.0.1.1 rport 8998 ufrag 8hhy",
            "a=candidate:3 1 UDP 1 2001:db8::1 1 typ relay raddr :: rport 9",
            "a=candidate:5 1 TCP 5 10.0.1.1 9 typ host tcptype active",
            "a=sendrecv",
            "a=rtpmap:0 PCMU/8000",
        ]
    );
}

/// XEP-0167 §6.
#[test]
fn parameters_and_times() {
    let lines = |description: &str| to_sip(&content(description, &raw("192.0.2.1", 9_999)), &scope());
    assert_eq!(lines("<payload-type id='13' name='CN'/>")[3..], ["a=rtpmap:13 CN/8000"]);
    let speex = lines(
        "<payload-type id='96' name='speex' clockrate='16000' ptime='40'><parameter name='vbr' value='on'/>\
         <parameter name='cng' value='on'/></payload-type>",
    );
    assert_eq!(speex[3..], ["a=rtpmap:96 speex/16000", "a=fmtp:96 vbr=on; cng=on", "a=ptime:40"]);
    let back = to_xmpp(
        "m=audio 9999 RTP/AVP 96\na=rtpmap:96 speex/16000\na=ptime:40\na=fmtp:96 vbr=on;cng=on\n",
        &mut scope(),
    );
    let parameters = vec![Parameter::new("vbr", "on"), Parameter::new("cng", "on")];
    let speex = Payload { ptime: Some("40".into()), parameters, ..Payload::new(96, "speex", 16_000) };
    assert_eq!(back.rtp().map(|rtp| rtp.payloads.clone()), Some(vec![speex]));
}

/// XEP-0293 §5.
#[test]
fn feedback() {
    let mut scope = scope();
    let media = "m=video 59172 RTP/AVPF 98 99\na=rtpmap:98 H263-1998/90000\na=rtpmap:99 H261/90000\na=rtcp-fb:* nack\n\
                 a=rtcp-fb:98 nack rpsi\na=rtcp-fb:98 trr-int 100\na=rtcp-fb:99 ccm tmmbr smaxpr=120\na=rtcp-fb:100 nack\n";
    let content = to_xmpp(media, &mut scope);
    let rtp = content.rtp().expect("RTP");
    assert_eq!(rtp.rtcp_fb, [Feedback::new("nack", None)]);
    assert_eq!(
        (rtp.payloads[0].rtcp_fb.as_slice(), rtp.payloads[0].trr_int),
        ([Feedback::new("nack", Some("rpsi"))].as_slice(), Some(100))
    );
    assert_eq!(rtp.payloads[1].rtcp_fb[0].parameters, [Parameter::new("smaxpr", "120")]);
    let back = to_sip(&content, &scope);
    for line in media.lines().filter(|line| line.starts_with("a=") && !line.contains(":100 ")) {
        assert!(back.contains(&line.to_owned()), "{line}");
    }
    assert_eq!(back[0], "m=video 59172 RTP/AVPF 98 99");
}

/// XEP-0167 §7, XEP-0262, XEP-0294 §5, XEP-0339 §2.
#[test]
fn keys_extensions_and_sources() {
    let mut scope = called();
    let media = "m=audio 4000 RTP/SAVP 0\nb=AS:64\na=crypto:1 AES_CM_128_HMAC_SHA1_80 \
                 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:32 KDR=1 UNENCRYPTED_SRTCP\na=zrtp-hash:1.10 fe30efd0\n\
                 a=extmap:1 urn:toffset\na=extmap:2/recvonly urn:gps a=b long\na=extmap-allow-mixed\na=msid:stream track\n\
                 a=ssrc-group:FID 1 2\na=ssrc:1 cname:Yv/wvbCdsDW2Prgd\na=ssrc:1 msid:stream track\na=ssrc:2 flag\n";
    let content = to_xmpp(media, &mut scope);
    let rtp = content.rtp().expect("RTP");
    assert_eq!(
        rtp.encryption.as_ref().map(|encryption| (encryption.required, encryption.cryptos.len())),
        Some((true, 1))
    );
    // The SIP user began the call, so that recvonly is: only who was called sends.
    assert_eq!(rtp.extensions[1].senders, Some(Senders::Responder));
    assert_eq!(rtp.extensions[1].parameters, [Parameter::new("a", "b"), Parameter::new("long", "")]);
    assert_eq!(rtp.sources[0].parameters[1], ("msid".into(), Some("stream track".into())));
    assert_eq!(rtp.sources[1].parameters, [("flag".into(), None)]);
    let back = to_sip(&content, &scope);
    let other = ["m=audio 4000 RTP/SAVP 0", "a=extmap:2/sendonly urn:gps a=b long"];
    let same = media.lines().filter(|line| !line.starts_with("a=extmap:2"));
    for line in same.chain(other) {
        assert!(back.contains(&line.to_owned()), "{line} {back:?}");
    }
}

/// XEP-0320 §1; who answers is active or passive.
#[test]
fn keys_of_dtls() {
    let digits = ["AB"; 32].join(":");
    let offer = |setup: &str| format!("m=audio 9 UDP/TLS/RTP/SAVP 0\na=fingerprint:sha-256 {digits}\n{setup}");
    let role = |setup: &str, answer: bool| {
        let content = to_xmpp(&offer(setup), &mut Scope { answer, ..scope() });
        let Some(Transport::RawUdp(raw)) = content.transport else { panic!("{content:?}") };
        assert_eq!(
            (raw.fingerprints[0].hash.as_str(), raw.fingerprints[0].value.as_str()),
            ("sha-256", digits.as_str())
        );
        raw.fingerprints[0].setup.clone().expect("a role").to_string()
    };
    assert_eq!(
        (role("a=setup:actpass\n", false), role("a=setup:passive\n", true)),
        ("actpass".into(), "passive".into())
    );
    assert_eq!((role("", false), role("", true)), ("actpass".into(), "active".into()));
    assert_eq!(
        (role("a=setup:holdconn\n", false), role("a=setup:actpass\n", true)),
        ("actpass".into(), "active".into())
    );
    let transport = format!(
        "<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'><fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='SHA-256' \
         setup='actpass'>\n {digits}\n</fingerprint></transport>"
    );
    let content = content("<payload-type id='0'/>", &transport);
    let lines = to_sip(&content, &scope());
    assert_eq!(lines[0], "m=audio 9 UDP/TLS/RTP/SAVPF 0");
    assert!(
        lines.contains(&format!("a=fingerprint:sha-256 {digits}")) && lines.contains(&"a=setup:actpass".to_owned())
    );
    let answer = Scope { answer: true, protocol: Some("RTP/SAVPF".into()), ..scope() };
    let lines = to_sip(&content, &answer);
    assert_eq!(lines[0], "m=audio 9 RTP/SAVPF 0");
    assert!(lines.contains(&"a=setup:active".to_owned()));
}

/// RFC 8840 §4.4: what was said before is not said again, and what is of another generation not at all.
#[test]
fn fragments() {
    let mut scope = scope();
    let head = "a=ice-ufrag:8hhY\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\n";
    let host = "a=candidate:1 1 UDP 2130706432 192.0.2.9 5000 typ host\r\n";
    let relay = "a=candidate:2 1 UDP 1694498815 198.51.100.3 5000 typ relay raddr 192.0.2.9 rport 9000\r\n";
    to_xmpp(&format!("m=audio 9 RTP/AVP 0\r\n{head}{host}"), &mut scope);
    let mut hear = |fragment: String| {
        let fragment = Fragment::parse(fragment.as_bytes()).expect("a fragment");
        s2x::transport(&fragment, &fragment.media[0], &mut scope)
    };
    let section = |head: &str, inner: &str| format!("{head}m=audio 9 RTP/AVP 0\r\na=mid:1\r\n{inner}");
    assert_eq!(hear(section(head, host)), None);
    let ice = hear(section(head, &format!("{host}{relay}"))).expect("news");
    assert_eq!((ice.candidates.len(), ice.candidates[0].kind.as_str(), ice.gathering_complete), (1, "relay", false));
    assert_eq!((ice.ufrag.as_deref(), ice.fingerprints.len()), (Some("8hhY"), 0));
    assert_eq!(hear(section(head, &format!("{host}{relay}"))), None);
    assert!(hear(section(head, "a=end-of-candidates\r\n")).expect("the end").gathering_complete);
    assert!(hear(section(&format!("{head}a=end-of-candidates\r\n"), "")).expect("the end").gathering_complete);
    assert_eq!(
        hear(section("a=ice-ufrag:9uB6\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\n", "a=end-of-candidates\r\n")),
        None
    );
    assert_eq!(hear(section("", "a=end-of-candidates\r\n")), None);
}

/// The other way: what an INFO tells the SIP side.
#[test]
fn fragments_of_the_xmpp_side() {
    let transport = "<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' pwd='asd88fgpdd777uzjYhagZg' ufrag='8hhy'>\
         <candidate component='1' foundation='1' generation='0' id='el0747fg11' ip='10.0.1.1' network='1' port='8998' \
         priority='2130706431' protocol='udp' type='host'/><gathering-complete/></transport>";
    let content = content("<payload-type id='0'/>", transport);
    let attributes = x2s::transport(content.ice().expect("ICE"));
    let text = |attribute: &Attribute| format!("{}:{}", attribute.name(), attribute.value().unwrap_or_default());
    assert_eq!(
        attributes.iter().map(text).collect::<Vec<_>>(),
        [
            "ice-ufrag:8hhy",
            "ice-pwd:asd88fgpdd777uzjYhagZg",
            "candidate:1 1 UDP 2130706431 10.0.1.1 8998 typ host",
            "end-of-candidates:",
        ]
    );
    let candidate = &content.ice().expect("ICE").candidates[0];
    assert_eq!(x2s::candidate(candidate).and_then(|candidate| candidate.attribute()).as_ref(), Some(&attributes[2]));
}
