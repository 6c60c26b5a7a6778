use super::super::fragment::Fragment;
use super::super::{Direction, Media};
use super::*;
use proptest::prelude::*;
use std::fmt::Debug;

/// Reads, and writes as it was.
fn same<T: Value + Debug>(value: &str) -> T {
    let read = T::parse(value).unwrap_or_else(|| panic!("{}: {value}", T::NAME));
    let written = read.attribute().unwrap_or_else(|| panic!("{}: {value}", T::NAME));
    assert_eq!((written.name(), written.value()), (T::NAME, Some(value)));
    read
}

fn none<T: Value + Debug>(values: &[&str]) {
    for value in values {
        let read = T::parse(value);
        assert!(read.is_none(), "{}:{value:?} -> {read:?}", T::NAME);
    }
}

#[test]
fn formats() {
    let opus = same::<Rtpmap>("111 opus/48000/2");
    assert_eq!(
        (opus.payload_type, opus.encoding.as_str(), opus.clock_rate, opus.channels),
        (111, "opus", 48_000, Some(2))
    );
    assert_eq!(same::<Rtpmap>("0 PCMU/8000").channels, None);
    none::<Rtpmap>(&[
        "",
        "0",
        "0 PCMU",
        "0 PCMU/",
        "0 PCMU/0",
        "128 x/1",
        "-1 x/1",
        "+1 x/1",
        "0 PCMU/8000/0",
        "0 PCMU/8000/x",
        "0 a b/1",
        "0 x/4294967296",
        "0 PCMU/8000/2/3",
    ]);
    assert_eq!(same::<Fmtp>("111 minptime=10;useinbandfec=1").parameters, "minptime=10;useinbandfec=1");
    assert_eq!(Fmtp::parse("101  0-15 ").unwrap().parameters, "0-15");
    none::<Fmtp>(&["", "111", "111 ", "x 1", "111 a\nb", "128 x"]);
    let rpsi = same::<Feedback>("98 nack rpsi");
    assert_eq!((rpsi.payload_type, rpsi.kind.as_str(), rpsi.parameters.as_deref()), (Some(98), "nack", Some("rpsi")));
    assert_eq!(same::<Feedback>("* nack").payload_type, None);
    same::<Feedback>("* ccm tmmbr smaxpr=120");
    none::<Feedback>(&["", "98", "** nack", "128 nack", "98 na=ck"]);
    let gps = same::<Extmap>("2/recvonly http://example.com/082005/ext.htm#gps long form");
    assert_eq!((gps.id, gps.direction, gps.attributes.as_deref()), (2, Some(Direction::RecvOnly), Some("long form")));
    same::<Extmap>("4096 urn:ietf:params:rtp-hdrext:toffset");
    none::<Extmap>(&["", "1", "0 urn:x", "256 urn:x", "4352 urn:x", "1/both urn:x", "1 urn:x\u{b}y"]);
    assert_eq!(Static::of(9).map(|g722| (g722.encoding, g722.clock_rate)), Some(("G722", 8_000)));
    assert_eq!((Static::of(10).map(|l16| l16.channels), Static::of(96)), (Some(2), None));
    assert_eq!(same::<PacketTime>("20").as_str(), "20");
    same::<PacketTime>("0.125");
    none::<PacketTime>(&["", "0", "-20", "20ms", "1e3", "20.", ".5", "0.0", "12345678901"]);
}

#[test]
fn sources_and_groups() {
    let cname = same::<Ssrc>("1656081975 cname:Yv/wvbCdsDW2Prgd");
    assert_eq!(
        (cname.id, cname.attribute.as_str(), cname.value.as_deref()),
        (1_656_081_975, "cname", Some("Yv/wvbCdsDW2Prgd"))
    );
    same::<Ssrc>("1 msid:stream track:a");
    assert_eq!(same::<Ssrc>("1 flag").value, None);
    none::<Ssrc>(&["", "1", "4294967296 cname:x", "1 ", "1 a b", "1 cname:", "1 cname:a\rb"]);
    assert_eq!(same::<SsrcGroup>("FID 2301230316 386328120").sources, [2_301_230_316, 386_328_120]);
    none::<SsrcGroup>(&["", "FID x", "FID -1", " 1"]);
    assert_eq!(same::<Group>("BUNDLE audio video").mids, ["audio", "video"]);
    assert!(same::<Group>("BUNDLE").mids.is_empty());
    none::<Group>(&["", "BUN;DLE a", "BUNDLE a  b"]);
    none::<SsrcGroup>(&[&format!("SIM{}", " 1".repeat(65))]);
    assert_eq!(same::<Mid>("0").0, "0");
    none::<Mid>(&["", "a b", "a\r\nm=video"]);
}

#[test]
fn candidates() {
    let host = same::<Candidate>("1 1 UDP 2130706431 203.0.113.141 8998 typ host");
    assert_eq!((host.foundation.as_str(), host.component, host.port, host.kind.as_str()), ("1", 1, 8_998, "host"));
    let reflexive = same::<Candidate>("2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998");
    assert_eq!((reflexive.related_address.as_deref(), reflexive.related_port), (Some("203.0.113.141"), Some(8_998)));
    let chromium =
        "1467250027 1 udp 2122260223 192.168.0.196 46243 typ host generation 0 ufrag W829 network-id 1 network-cost 10";
    assert_eq!(same::<Candidate>(chromium).extension("ufrag"), Some("W829"));
    assert_eq!(
        same::<Candidate>("+/ 2 tcp 1 2001:db8::1 9 typ host tcptype active").extension("TCPTYPE"),
        Some("active")
    );
    assert_eq!(same::<Candidate>("1 1 UDP 1 0b9a2f9c-0000-4000-8000-000000000000.local 4000 typ host").ip(), None);
    // The words of the grammar are without case, an odd word behind all is nothing, and so are more extensions than anybody has.
    assert_eq!(Candidate::parse("1 1 UDP 1 192.0.2.1 1  TYP host generation").unwrap().extensions, []);
    let many = format!("1 1 UDP 1 192.0.2.1 1 typ host{}", " a b".repeat(40));
    assert_eq!(Candidate::parse(&many).unwrap().extensions.len(), 16);
    none::<Candidate>(&[
        "",
        "1",
        "1 1 UDP 1 192.0.2.1 1",
        "1 0 UDP 1 192.0.2.1 1 typ host",
        "1 257 UDP 1 192.0.2.1 1 typ host",
        "1 1 UDP 0 192.0.2.1 1 typ host",
        "1 1 UDP 4294967296 192.0.2.1 1 typ host",
        "1 1 UDP 1 192.0.2.1 65536 typ host",
        "1 1 UDP 1 192.0.2.256 1 typ host",
        "1 1 UDP 1 0x7f.1 1 typ host",
        "1 1 UDP 1 [::1] 1 typ host",
        "a-b 1 UDP 1 192.0.2.1 1 typ host",
        "1 1 U/DP 1 192.0.2.1 1 typ host",
        "1 1 UDP 1 192.0.2.1 1 typ host raddr x@y",
        "1 1 UDP 1 192.0.2.1 1 typ host rport -1",
        "1 1 UDP 1 192.0.2.1 1 typ host a: b",
        "123456789012345678901234567890123 1 UDP 1 192.0.2.1 1 typ host",
    ]);
    let again = Candidate::parse("7 1 udp 5 203.0.113.141 8998 typ srflx").unwrap();
    assert!(host.same(&again) && !host.same(&reflexive));
    let [long, short] =
        ["2001:db8:0::1", "2001:db8::1"].map(|ip| Candidate::parse(&format!("1 1 UDP 1 {ip} 1 typ host")).unwrap());
    assert!(long.same(&short));
}

#[test]
fn ice_and_rtcp() {
    assert_eq!(same::<RemoteCandidates>("1 192.0.2.3 45664 2 192.0.2.3 45665").0.len(), 2);
    none::<RemoteCandidates>(&[
        "",
        "1",
        "1 192.0.2.3",
        "0 192.0.2.3 1",
        "1 192.0.2.3 1 2",
        &"1 192.0.2.3 1 ".repeat(9),
    ]);
    assert!(same::<IceOptions>("ice2 trickle").has("trickle"));
    none::<IceOptions>(&["", " ", "a;b"]);
    let fit = |text: &str| (is_ufrag(text), is_password(text));
    assert_eq!(fit("8hhY"), (true, false));
    assert_eq!(fit("asd88fgpdd777uzjYhagZg"), (true, true));
    assert_eq!((fit("abc"), fit("a-cd"), fit(&"a".repeat(257))), ((false, false), (false, false), (false, false)));
    assert_eq!(same::<Rtcp>("53020").address, None);
    assert!(same::<Rtcp>("53020 IN IP6 2001:db8::1").address.is_some());
    none::<Rtcp>(&["", "x", "65536", "1 IN", "1 IN IP4", "1 IN IP4 224.0.0.1", "1 IN IP4 192.0.2.1 x"]);
}

#[test]
fn keys() {
    let crypto = same::<Crypto>(
        "1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:32 KDR=1 UNENCRYPTED_SRTCP",
    );
    assert_eq!((crypto.tag, crypto.session_params.len()), (1, 2));
    assert!(!format!("{crypto:?}").contains("WVNfX19"), "a key is in a log");
    same::<Crypto>(
        "2 F8_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm|2^20|1:4;inline:QUJjZGVmMTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5|2^20|2:4 FEC_ORDER=FEC_SRTP",
    );
    none::<Crypto>(&[
        "",
        "1",
        "1 AES",
        "1 AES inline",
        "x AES inline:a",
        "1234567890 AES inline:a",
        "1 A/B inline:a",
        "1 AES inline:a;b",
        "1 AES :a",
    ]);
    let zrtp = same::<ZrtpHash>("1.10 fe30efd02423cb054e50efd0248742ac7a52c8f91bc2df881ae642c371ba46df");
    assert_eq!(zrtp.version, "1.10");
    none::<ZrtpHash>(&["", "1.10", "1.10 xyz", "1.10 a b"]);
}

#[test]
fn profiles() {
    for (profile, name) in PROFILES {
        assert_eq!((Profile::from_name(name), profile.name()), (Some(profile), name));
    }
    assert_eq!(Profile::from_name("udp/tls/rtp/savpf"), Profile::from_name("UDP/TLS/RTP/SAVPF"));
    for other in ["", "RTP", "udp", "TCP/RTP/AVP", "UDP/DTLS/SCTP", "TCP/MSRP"] {
        assert_eq!(Profile::from_name(other), None);
    }
}

#[test]
fn what_is_malformed_is_passed_over() {
    let mut attributes = Attributes::default();
    attributes.extend(["x", "0 PCMU/8000", "8 PCMA/0", "8 PCMA/8000"].map(|value| Attribute::new("rtpmap", value)));
    attributes.push(Attribute::flag("rtpmap"));
    attributes.push(Attribute::new("rtpmap", &format!("3 GSM/8000{}", " ".repeat(MAX_VALUE))));
    let types: Vec<u8> = Rtpmap::all(&attributes).map(|rtpmap| rtpmap.payload_type).collect();
    assert_eq!(types, [0, 8]);
    assert_eq!(Rtpmap::first(&attributes).map(|rtpmap| rtpmap.payload_type), Some(0));
    assert_eq!(Mid::first(&attributes), None);
}

#[test]
fn a_value_that_would_be_read_as_another_one_is_not_written() {
    let ends = ["a b", "a\r\nm=video 1 RTP/AVP 0", "a\nb", "a\0b", "", "a:b"];
    for end in ends {
        let rtpmap = Rtpmap { payload_type: 0, encoding: end.into(), clock_rate: 8_000, channels: None };
        let mid = Mid(end.into());
        let group = Group { semantics: "BUNDLE".into(), mids: vec![end.into()] };
        let candidate =
            Candidate { foundation: end.into(), ..Candidate::parse("1 1 UDP 1 192.0.2.1 1 typ host").unwrap() };
        assert_eq!(
            (rtpmap.attribute(), mid.attribute(), group.attribute(), candidate.attribute()),
            (None, None, None, None),
            "{end:?}"
        );
    }
    let fmtp = |parameters: &str| Fmtp { payload_type: 96, parameters: parameters.into() };
    assert_eq!(fmtp("a=b\r\na=c").attribute(), None);
    assert_eq!(fmtp(&"x".repeat(MAX_VALUE)).attribute(), None);
    assert!(fmtp("a=b; c").attribute().is_some());
    assert_eq!(Rtpmap { payload_type: 200, encoding: "x".into(), clock_rate: 1, channels: None }.attribute(), None);
    assert_eq!(Rtpmap { payload_type: 100, encoding: "x".into(), clock_rate: 0, channels: None }.attribute(), None);
}

/// RFC 8840 §4.4, figure 7.
const FRAGMENT: &str = "a=ice-pwd:asd88fgpdd777uzjYhagZg\r\na=ice-ufrag:8hhY\r\nm=audio 9 RTP/AVP 0\r\na=mid:1\r\n\
    a=candidate:1 1 UDP 2130706432 2001:db8:a0b:12f0::1 5000 typ host\r\n\
    a=candidate:1 2 UDP 2130706432 2001:db8:a0b:12f0::1 5001 typ host\r\na=end-of-candidates\r\nm=audio 9 RTP/AVP 0\r\na=mid:2\r\n\
    a=candidate:2 1 UDP 1694498815 192.0.2.3 5000 typ srflx raddr 10.0.1.1 rport 9000\r\na=end-of-candidates\r\n";

#[test]
fn fragments() {
    let fragment = Fragment::parse(FRAGMENT.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(fragment.to_bytes()).unwrap(), FRAGMENT);
    let [first, second] = fragment.media.as_slice() else { panic!("{fragment:?}") };
    assert_eq!((Mid::first(&first.attributes).unwrap().0, Candidate::all(&first.attributes).count()), ("1".into(), 2));
    assert_eq!((Candidate::all(&second.attributes).count(), second.attributes.has("end-of-candidates")), (1, true));
    assert_eq!(fragment.attribute(second, "ice-ufrag").and_then(Attribute::value), Some("8hhY"));

    assert_eq!(
        Fragment::section("1").unwrap(),
        Media { attributes: first.attributes.iter().take(1).cloned().collect(), ..first.clone() }
    );
    assert_eq!(Fragment::section("a b"), None);
    assert_eq!(Fragment::parse(b"").unwrap(), Fragment::default());
    let shouted = Fragment::parse(b"A=x\r\n");
    assert!(shouted.is_err());
    let upper =
        Fragment::parse(b"s=-\nm=audio 9 RTP/AVP 0\na=Candidate:1 1 UDP 1 192.0.2.3 1 typ host\nc=IN IP4 192.0.2.3\n")
            .unwrap();
    assert_eq!(Candidate::all(&upper.media[0].attributes).count(), 1);
    for bad in ["x", "a=\r\n", "a=b\0c", "m=audio\r\n", "m=audio 9 RTP/AVP 256\r\n", "a=b c\r\n"] {
        assert!(Fragment::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    assert!(Fragment::parse("m=audio 9 RTP/AVP 0\r\n".repeat(33).as_bytes()).is_err());
    assert!(Fragment::parse("a=x\r\n".repeat(2_049).as_bytes()).is_err());
    assert!(Fragment::parse(&vec![b'a'; 65_537]).is_err());
}

/// Values in the manner of these, with a few changes.
fn values() -> impl Strategy<Value = String> {
    let seeds = prop::sample::select(vec![
        "111 opus/48000/2",
        "101 0-15,66",
        "98 nack rpsi",
        "* trr-int 100",
        "2/recvonly urn:x a=b",
        "1 cname:a b",
        "FID 1 2",
        "BUNDLE a b",
        "0.5",
        "a1",
        "1 1 UDP 2130706431 203.0.113.141 8998 typ srflx raddr 10.0.0.1 rport 1 generation 0",
        "1 192.0.2.3 45664 2 ::1 1",
        "trickle ice2",
        "9 IN IP4 0.0.0.0",
        "1 AES_CM_128_HMAC_SHA1_80 inline:abc|2^20|1:32 KDR=1",
        "1.10 abcdef",
    ]);
    let change = (
        any::<prop::sample::Index>(),
        any::<bool>(),
        prop::sample::select(vec![" ", "/", ":", "\r\n", "0", "9", "a", ";", "=", "é", "\u{85}", "\t"]),
    );
    (seeds, prop::collection::vec(change, 0..4)).prop_map(|(seed, changes)| {
        changes.into_iter().fold(seed.to_owned(), |mut value, (at, cut, text)| {
            let at = value.floor_char_boundary(at.index(value.len() + 1));
            if cut && at < value.len() {
                value.remove(at);
            } else {
                value.insert_str(at, text);
            }
            value
        })
    })
}

fn reads_back<T: Value + Debug>(value: &str) {
    let Some(read) = T::parse(value) else { return };
    let written = read.attribute().unwrap_or_else(|| panic!("{value:?} reads as {read:?} and cannot be written"));
    assert!(!written.value().unwrap().contains(char::is_control), "{value:?}");
    assert_eq!(T::of(&written), Some(read), "{value:?}");
}

proptest! {
    #[test]
    fn whatever_reads_can_be_written_and_reads_the_same(value in values()) {
        reads_back::<Rtpmap>(&value);
        reads_back::<Fmtp>(&value);
        reads_back::<Feedback>(&value);
        reads_back::<Extmap>(&value);
        reads_back::<Ssrc>(&value);
        reads_back::<SsrcGroup>(&value);
        reads_back::<Group>(&value);
        reads_back::<Mid>(&value);
        reads_back::<PacketTime>(&value);
        reads_back::<Candidate>(&value);
        reads_back::<RemoteCandidates>(&value);
        reads_back::<IceOptions>(&value);
        reads_back::<Rtcp>(&value);
        reads_back::<Crypto>(&value);
        reads_back::<ZrtpHash>(&value);
    }
}
