//! There and back, whatever is said.

use super::super::scope::other as other_side;
use super::*;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use xmpp::ext::jingle::{Action, Rtp};

/// Lines of a media description, likely ones and odd ones; `N` stands for a payload type.
const LINES: [&str; 62] = [
    "a=rtpmap:N opus/48000/2",
    "a=rtpmap:N opus/48000",
    "a=rtpmap:N PCMU/8000",
    "a=rtpmap:N G722/8000/1",
    "a=rtpmap:N L16/44100/2",
    "a=rtpmap:N x-new/1",
    "a=rtpmap:N telephone-event/8000",
    "a=rtpmap:N red/8000",
    "a=rtpmap:N G722/16000",
    "a=rtpmap:N",
    "a=fmtp:N 0-15",
    "a=fmtp:N a=1;b=2",
    "a=fmtp:N a=1,b=2",
    "a=fmtp:N 0/8",
    "a=fmtp:N flag; =x; y=",
    "a=fmtp:N sprop-parameter-sets=Z0IACpZTBYmI,aMljiA==",
    "a=fmtp:N ;;",
    "a=fmtp:N a = 1 ;  b=2 ",
    "a=rtcp-fb:N nack pli",
    "a=rtcp-fb:N nack",
    "a=rtcp-fb:* ccm tmmbr smaxpr=120 x=",
    "a=rtcp-fb:* trr-int 100",
    "a=rtcp-fb:N trr-int x",
    "a=ptime:20",
    "a=maxptime:0",
    "a=ptime:20.5",
    "b=AS:64",
    "b=X-YZ:99999999999999999999",
    "a=sendonly",
    "a=recvonly",
    "a=inactive",
    "a=sendrecv",
    "a=mid:m",
    "a=rtcp-mux",
    "a=rtcp-mux-only",
    "a=rtcp:9",
    "a=rtcp:5005 IN IP4 198.51.100.7",
    "a=rtcp:0",
    "c=IN IP4 0.0.0.0",
    "c=IN IP6 2001:db8::7",
    "a=ice-mismatch",
    "a=ice-options:trickle ice2 rtp+ecn",
    "a=candidate:1 1 UDP 2130706431 192.0.2.7 5000 typ host",
    "a=candidate:a+/ 2 udp 2130706430 192.0.2.7 5001 typ host network-cost 10 generation 4",
    "a=candidate:2 1 UDP 1694498815 198.51.100.8 5000 typ srflx raddr 192.0.2.7 rport 5000",
    "a=candidate:2 1 UDP 5 198.51.100.9 5000 typ relay",
    "a=candidate:9 1 TCP 7 192.0.2.7 9 typ host tcptype active",
    "a=candidate:3 1 UDP 3 2001:db8::9 5000 typ prflx raddr x.local rport 1",
    "a=candidate:4 1 UDP 3 a-b.local 5000 typ host",
    "a=candidate:5 256 UDP 3 192.0.2.7 5000 typ host",
    "a=candidate:6 1 UDP 3 224.0.0.1 5000 typ host",
    "a=remote-candidates:1 192.0.2.3 45664 2 192.0.2.3 45665",
    "a=end-of-candidates",
    "a=zrtp-hash:1.10 abcdef",
    "a=ssrc:1 cname:a b",
    "a=ssrc:2 flag",
    "a=msid:s t",
    "a=ssrc-group:FID 1 2",
    "a=extmap:1 urn:a",
    "a=extmap:2/sendonly urn:b c=d e",
    "a=extmap-allow-mixed",
    "a=unknown:x",
];

/// Protocols, and the lines that go with them.
const PROTOCOLS: [(&str, &str); 6] = [
    ("RTP/AVP", ""),
    ("RTP/AVPF", "a=ice-ufrag:8hhY\na=ice-pwd:asd88fgpdd777uzjYhagZg\n"),
    ("RTP/SAVP", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc|2^20 KDR=1\n"),
    ("RTP/SAVPF", "a=fingerprint:sha-1 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13\na=setup:passive\n"),
    ("UDP/TLS/RTP/SAVP", "a=fingerprint:sha-1 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13\n"),
    (
        "UDP/TLS/RTP/SAVPF",
        "a=fingerprint:sha-1 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13\na=setup:actpass\n\
         a=ice-ufrag:8hhY\na=ice-pwd:asd88fgpdd777uzjYhagZg\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc\n",
    ),
];

fn medium() -> impl Strategy<Value = String> {
    let format = select(vec!["0", "9", "10", "18", "34", "72", "96", "97", "111", "127"]);
    let line = (select(LINES.to_vec()), format.clone()).prop_map(|(line, format)| line.replacen('N', format, 1));
    let formats = prop::collection::vec(format, 1..8);
    (any::<bool>(), 1..3_u16, select(PROTOCOLS.to_vec()), formats, prop::collection::vec(line, 0..24)).prop_map(
        |(video, port, (protocol, keys), formats, lines)| {
            let kind = if video { "video" } else { "audio" };
            let mut lines = lines;
            // One address at most: a second one is for layers of multicast.
            let mut address = false;
            lines.retain(|line| !line.starts_with("c=") || !std::mem::replace(&mut address, true));
            // The writer's order: what is no attribute first.
            lines.sort_by_key(|line| (!line.starts_with("c="), !line.starts_with("b=")));
            format!("m={kind} {} {protocol} {}\n{}\n{keys}", port * 4_001, formats.join(" "), lines.join("\n"))
                .replace("\n\n", "\n")
        },
    )
}

fn side() -> impl Strategy<Value = Scope> {
    (any::<bool>(), any::<bool>()).prop_map(|(began, answer)| {
        let xmpp = if began { Creator::Initiator } else { Creator::Responder };
        Scope { xmpp, answer, mid: Some("m".into()), ..scope() }
    })
}

/// What the XMPP side is told is what a client reads.
fn over_the_wire(content: &Content) {
    let jingle = Jingle::new(Action::SessionInitiate, "a").with_content(content.clone());
    let mut bytes = Vec::new();
    xml::write(&jingle.to_element(), "", &mut bytes);
    let e = Element::parse(&bytes, &xml::Limits::default()).expect("well-formed");
    assert_eq!(Jingle::parse(&e).as_ref(), Ok(&jingle));
}

/// What the SIP side is told is one media description that reads as it was meant.
pub(super) fn one_medium(media: &Media) {
    let written = around(vec![media.clone()]);
    let read = Sdp::parse(&written.to_bytes()).unwrap_or_else(|error| panic!("{error}: {media:?}"));
    assert_eq!(read, written);
}

/// Without names and without TCP, which go one way only.
fn without_what_one_side_has(content: &mut Content) {
    if let Some(Transport::Ice(ice)) = &mut content.transport {
        let ip = |text: &str| text.parse::<std::net::IpAddr>().is_ok();
        ice.candidates.retain(|candidate| ip(&candidate.ip) && candidate.protocol == "udp");
        for candidate in &mut ice.candidates {
            let related = candidate.rel_addr.as_deref().is_some_and(ip) && candidate.kind != "host";
            if !related {
                (candidate.rel_addr, candidate.rel_port) = (None, None);
            }
            // Where nothing was told, that is told (RFC 8839 §5.1).
            if candidate.rel_addr.as_deref().is_some_and(|ip| matches!(ip, "0.0.0.0" | "::")) {
                (candidate.rel_addr, candidate.rel_port) = (None, None);
            }
        }
    }
}

proptest! {
    #[test]
    fn sdp_to_jingle_to_sdp(text in medium(), scope in side()) {
        let before = sdp(&text);
        let mut heard = scope.clone();
        let Ok(content) = s2x::content(&before, &before.media[0], &mut heard) else { return Ok(()) };
        over_the_wire(&content);
        // To who has no address nothing can be said.
        if matches!(&content.transport, Some(Transport::RawUdp(raw)) if raw.candidates.is_empty()) {
            return Ok(());
        }
        let media = x2s::media(&content, &heard).unwrap_or_else(|refusal| panic!("{refusal:?}: {text}"));
        one_medium(&media);
        prop_assert_eq!((&media.kind, &media.protocol), (&before.media[0].kind, &before.media[0].protocol));
        // As the other side: the same session, seen from its other end.
        let mut other = Scope { xmpp: other_side(scope.xmpp), ..scope };
        let after = around(vec![media.clone()]);
        let mut again = s2x::content(&after, &media, &mut other).unwrap_or_else(|refusal| panic!("{refusal:?}: {media:?}"));
        let mut content = content;
        for content in [&mut again, &mut content] {
            without_what_one_side_has(content);
            alike(content);
        }
        prop_assert_eq!(again, content, "{}", text);
    }

    #[test]
    fn jingle_to_sdp_to_jingle(sample in select(samples::ALL.to_vec()), changes in prop::collection::vec((any::<Index>(), select(hostile::WORDS.to_vec())), 0..6), scope in side()) {
        for mut content in jingle(sample).contents {
            hostile::change(&mut content, &changes);
            let Ok(media) = x2s::media(&content, &scope) else { continue };
            one_medium(&media);
            let mut other = Scope { xmpp: other_side(scope.xmpp), ..scope.clone() };
            let around = around(vec![media.clone()]);
            let Ok(back) = s2x::content(&around, &media, &mut other) else { continue };
            over_the_wire(&back);
            let again = x2s::media(&back, &Scope { protocol: other.protocol.clone(), ..scope.clone() }).unwrap_or_else(|refusal| panic!("{refusal:?}: {back:?}"));
            one_medium(&again);
            let settled = s2x::content(&super::around(vec![again.clone()]), &again, &mut other.clone()).expect("read");
            let (mut back, mut settled) = (back, settled);
            for content in [&mut back, &mut settled] {
                without_what_one_side_has(content);
                alike(content);
            }
            prop_assert_eq!(settled, back);
        }
    }

    /// A format is what it was, whatever else is lost.
    #[test]
    fn formats_stay(text in medium()) {
        let before = sdp(&text);
        let mut scope = scope();
        let Ok(content) = s2x::content(&before, &before.media[0], &mut scope) else { return Ok(()) };
        let ids: Vec<String> = content.rtp().map(|rtp: &Rtp| rtp.payloads.iter().map(|payload| payload.id.to_string()).collect()).unwrap_or_default();
        let media = x2s::media(&content, &scope).expect("written");
        prop_assert_eq!(media.formats.iter().map(ToString::to_string).collect::<Vec<_>>(), ids);
    }
}
