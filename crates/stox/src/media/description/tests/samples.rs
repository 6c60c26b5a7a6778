//! Descriptions in the manner of what is in the field, each into the other protocol and back. What does not come back is listed.

use super::*;
use xmpp::ext::jingle::{Description, Ice, Payload, RawUdp, Rtp, Transport};

/// What clients send.
pub(super) const ALL: [&str; 4] = [
    include_str!("../samples/conversations.xml"),
    include_str!("../samples/dino.xml"),
    include_str!("../samples/gajim.xml"),
    include_str!("../samples/jitsi-raw.xml"),
];

/// The session-initiate of a client, as SDP.
fn offered(sample: &str) -> (Vec<Content>, String) {
    let contents = jingle(sample).contents;
    let media = |content: &Content| {
        let scope = Scope { name: content.name.clone(), mid: Some(content.name.clone()), ..scope() };
        x2s::media(content, &scope).unwrap_or_else(|refusal| panic!("{refusal:?}"))
    };
    let sdp = String::from_utf8(around(contents.iter().map(media).collect()).to_bytes()).expect("UTF-8");
    (contents, sdp)
}

/// From XMPP to SIP and back: `lost` changes what the client has said into what is left of it.
fn there_and_back(sample: &str, expected: &str, lost: fn(&mut Content)) {
    let (contents, sdp) = offered(sample);
    assert_eq!(sdp.replace("\r\n", "\n"), expected);
    let sdp = Sdp::parse(sdp.as_bytes()).expect("legal SDP");
    for (content, media) in contents.into_iter().zip(&sdp.media) {
        // As another gateway would tell it to another client.
        let mut scope = Scope { name: content.name.clone(), ..scope() };
        scope.xmpp = Creator::Responder;
        let mut back = s2x::content(&sdp, media, &mut scope).expect("read back");
        let mut content = content;
        lost(&mut content);
        alike(&mut content);
        alike(&mut back);
        assert_eq!(back, content);
    }
}

fn rtp(content: &mut Content) -> &mut Rtp {
    match content.description.as_mut() {
        Some(Description::Rtp(rtp)) => rtp,
        Some(Description::Other(_)) | None => panic!("no RTP"),
    }
}

fn payload<'a>(content: &'a mut Content, name: &str) -> Vec<&'a mut Payload> {
    rtp(content).payloads.iter_mut().filter(|payload| payload.name.as_deref() == Some(name)).collect()
}

/// Draft §10: events are said even where the client did not say them.
fn with_events(content: &mut Content) {
    for payload in payload(content, "telephone-event").into_iter().filter(|payload| payload.parameters.is_empty()) {
        payload.parameters.push(xmpp::ext::jingle::Parameter::new("events", "0-15"));
    }
}

#[test]
fn conversations() {
    there_and_back(
        include_str!("../samples/conversations.xml"),
        include_str!("../samples/conversations.sdp"),
        |content| {
            with_events(content);
            for red in payload(content, "red") {
                red.parameters = vec![xmpp::ext::jingle::Parameter::new("pt", "111,111")];
            }
        },
    );
}

#[test]
fn dino() {
    there_and_back(include_str!("../samples/dino.xml"), include_str!("../samples/dino.sdp"), |content| {
        // Opus is said to have two channels, whatever is sent (RFC 7587 §7); one channel is not said.
        rtp(content).payloads.iter_mut().for_each(|payload| payload.channels = None);
        payload(content, "opus").into_iter().for_each(|opus| opus.channels = Some(2));
    });
}

#[test]
fn gajim() {
    there_and_back(include_str!("../samples/gajim.xml"), include_str!("../samples/gajim.sdp"), |content| {
        let one = rtp(content).payloads.iter_mut().filter(|payload| payload.channels == Some(1));
        one.for_each(|payload| payload.channels = None);
    });
}

#[test]
fn a_client_without_ice() {
    there_and_back(include_str!("../samples/jitsi-raw.xml"), include_str!("../samples/jitsi-raw.sdp"), |content| {
        with_events(content);
        // SDP says it once for all formats.
        rtp(content).payloads.iter_mut().for_each(|payload| payload.ptime = Some("20".into()));
    });
}

/// From SIP to XMPP and back: `lost` are the lines of the media description that do not come back, `gained` those that come in addition.
fn back_and_there(sample: &str, expected: &str, lost: &[&str], gained: &[&str]) {
    let sdp = Sdp::parse(sample.as_bytes()).expect("legal SDP");
    let expected =
        jingle(&format!("<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='a'>{expected}</jingle>"));
    let mut scope = called();
    scope.name = expected.contents[0].name.clone();
    let mut content = s2x::content(&sdp, &sdp.media[0], &mut scope).expect("read");
    assert_eq!(content, expected.contents[0]);

    // As another gateway would tell it to another telephone.
    let mut other = Scope { xmpp: Creator::Initiator, ..scope.clone() };
    other.protocol = None;
    let mid = sdp.media[0].attributes.get("mid").and_then(|mid| mid.value());
    other.mid = mid.map(Into::into);
    let media = x2s::media(&content, &other).expect("written");
    let mut again = s2x::content(&around(Vec::new()), &media, &mut called()).expect("read");
    let mut before = lines(sdp.media[0].clone());
    let mut after = lines(media);
    let common: Vec<String> = before.iter().filter(|line| after.contains(line)).cloned().collect();
    before.retain(|line| !common.contains(line));
    after.retain(|line| !common.contains(line));
    assert_eq!((before, after), (owned(lost), owned(gained)));
    // And once more it is the same.
    again.name = content.name.clone();
    alike(&mut again);
    alike(&mut content);
    if let (Some(Transport::Ice(ice)), Some(Transport::Ice(first))) = (&mut content.transport, &mut again.transport) {
        drop_names(ice);
        drop_names(first);
    }
    assert_eq!(again, content);
}

/// Names (`.local`) do not go to the SIP side.
fn drop_names(ice: &mut Ice) {
    ice.candidates.retain(|candidate| candidate.ip.parse::<std::net::IpAddr>().is_ok());
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn chromium() {
    back_and_there(
        include_str!("../samples/chromium.sdp"),
        include_str!("../samples/chromium.xml"),
        &[
            "a=rtcp:9 IN IP4 0.0.0.0",
            "a=candidate:1467250027 1 udp 2122260223 192.168.0.196 46243 typ host generation 0 network-id 1 network-cost 10",
            "a=candidate:3289912957 1 udp 1686052607 198.51.100.20 54609 typ srflx raddr 192.168.0.196 rport 46243 generation 0 network-id 1 network-cost 10",
            "a=candidate:2483760063 1 udp 2122260223 0b9a2f9c-1f3e-4bbf-8f1e-5a0d63b1c0de.local 46243 typ host generation 0 network-cost 999",
            "a=candidate:435653019 1 tcp 1518280447 192.168.0.196 9 typ host tcptype active generation 0 network-id 1 network-cost 10",
            "a=rtcp-rsize",
            "a=fmtp:111 minptime=10;useinbandfec=1",
        ],
        &[
            "a=candidate:1 1 UDP 2122260223 192.168.0.196 46243 typ host network-id 1 network-cost 10",
            "a=candidate:2 1 UDP 1686052607 198.51.100.20 54609 typ srflx raddr 192.168.0.196 rport 46243 network-id 1 network-cost 10",
            "a=fmtp:111 minptime=10; useinbandfec=1",
            "a=fmtp:110 0-15",
            "a=fmtp:126 0-15",
            "a=extmap-allow-mixed",
        ],
    );
}

#[test]
fn baresip() {
    back_and_there(
        include_str!("../samples/baresip.sdp"),
        include_str!("../samples/baresip.xml"),
        &[
            "a=fmtp:96 stereo=1;sprop-stereo=1;maxaveragebitrate=28000",
            "a=rtcp:29451",
            "a=label:1",
            "a=rtcp-rsize",
            "a=fingerprint:SHA-256 2B:7E:15:16:28:AE:D2:A6:AB:F7:15:88:09:CF:4F:3C:76:2E:71:60:F3:8B:4D:A5:6A:78:4D:90:45:19:0C:FE",
            "a=candidate:c0000228 1 UDP 2113929465 192.0.2.40 29450 typ host",
            "a=candidate:c0000228 2 UDP 2113929464 192.0.2.40 29451 typ host",
            "a=candidate:9be5b1f2 1 UDP 1677721855 203.0.113.50 29450 typ srflx raddr 192.0.2.40 rport 29450",
        ],
        &[
            "c=IN IP4 203.0.113.50",
            "a=candidate:1 1 UDP 2113929465 192.0.2.40 29450 typ host",
            "a=candidate:1 2 UDP 2113929464 192.0.2.40 29451 typ host",
            "a=candidate:2 1 UDP 1677721855 203.0.113.50 29450 typ srflx raddr 192.0.2.40 rport 29450",
            "a=fingerprint:sha-256 2B:7E:15:16:28:AE:D2:A6:AB:F7:15:88:09:CF:4F:3C:76:2E:71:60:F3:8B:4D:A5:6A:78:4D:90:45:19:0C:FE",
            "a=fmtp:96 stereo=1; sprop-stereo=1; maxaveragebitrate=28000",
        ],
    );
}

#[test]
fn linphone() {
    back_and_there(
        include_str!("../samples/linphone.sdp"),
        include_str!("../samples/linphone.xml"),
        &["m=audio 7078 RTP/SAVPF 96 97 98 0 8 101 99 100", "a=rtcp:7079"],
        &[
            "m=audio 51234 RTP/SAVPF 96 97 98 0 8 101 99 100",
            "c=IN IP4 203.0.113.99",
            "a=ice-ufrag:7d1c9f20",
            "a=ice-pwd:8d7b0e3c0cbb2a5a0e5f3f8a",
            "a=sendrecv",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:8 PCMA/8000",
            "a=fmtp:101 0-15",
            "a=fmtp:99 0-15",
            "a=fmtp:100 0-15",
        ],
    );
}

#[test]
fn asterisk() {
    back_and_there(
        include_str!("../samples/asterisk.sdp"),
        include_str!("../samples/asterisk.xml"),
        &[],
        &["c=IN IP4 198.51.100.5"],
    );
}

#[test]
fn freeswitch() {
    back_and_there(
        include_str!("../samples/freeswitch.sdp"),
        include_str!("../samples/freeswitch.xml"),
        &[
            "a=rtcp:23864 IN IP4 203.0.113.80",
            "a=candidate:3418201647 1 udp 2130706431 203.0.113.80 23864 typ host generation 0",
            "a=silenceSupp:off - - - -",
        ],
        &[
            "c=IN IP4 203.0.113.80",
            "a=candidate:1 1 UDP 2130706431 203.0.113.80 23864 typ host",
            "a=sendrecv",
            "a=msid:k9ZyqQ a0",
        ],
    );
}

#[test]
fn a_telephone() {
    back_and_there(
        include_str!("../samples/telephone.sdp"),
        include_str!("../samples/telephone.xml"),
        &[],
        &["c=IN IP4 10.20.0.42", "a=rtpmap:18 G729/8000", "a=rtpmap:0 PCMU/8000", "a=fmtp:101 0-15"],
    );
}

/// What is said where nothing is known yet, and what SDP alone knows: no transport is made up.
#[test]
fn nothing_to_send_to() {
    let content = content("<payload-type id='0'/>", "<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'/>");
    assert_eq!(to_sip(&content, &scope())[..2], ["m=audio 9 RTP/AVP 0", "c=IN IP4 0.0.0.0"]);
    let Some(Transport::RawUdp(raw)) = to_xmpp("m=audio 9 RTP/AVP 0\nc=IN IP4 0.0.0.0\n", &mut scope()).transport
    else {
        panic!("UDP without ICE")
    };
    assert_eq!(raw, RawUdp::default());
}
