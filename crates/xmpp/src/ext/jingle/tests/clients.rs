//! What clients write, in their manner: it is read to the last attribute, and what is written again says the same.

use super::super::*;
use super::read;
use crate::ext::tests::over_the_wire;

/// Reads it, and finds that nothing is lost on the way back.
fn kept(text: &str) -> Jingle {
    let jingle = read(text).expect("read");
    assert_eq!(Jingle::parse(&over_the_wire(&jingle.to_element())).as_ref(), Ok(&jingle));
    jingle
}

#[test]
fn a_phone_with_webrtc() {
    // As Conversations and its kin do.
    let jingle = kept(
        "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='T0nH1FN9cUcQ' initiator='romeo@example.net/phone'>\
         <group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='BUNDLE'><content name='0'/><content name='1'/></group>\
         <content creator='initiator' name='0' senders='both'>\
         <description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'>\
         <payload-type id='111' name='opus' clockrate='48000' channels='2'>\
         <parameter name='minptime' value='10'/><parameter name='useinbandfec' value='1'/>\
         <rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='transport-cc'/></payload-type>\
         <payload-type id='110' name='telephone-event' clockrate='48000'/>\
         <rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='1' uri='urn:ietf:params:rtp-hdrext:ssrc-audio-level'/>\
         <extmap-allow-mixed xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0'/>\
         <source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='1570402713'><parameter name='cname' value='w/kTgNxqd1W6jAKV'/>\
         <parameter name='msid' value='my-media-stream my-audio-track'/></source><rtcp-mux/></description>\
         <transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='zKFx' pwd='Jc2kV6ZGyFhbQ3A1iFSiMBgR'>\
         <trickle xmlns='http://gultsch.de/xmpp/drafts/jingle/transports/ice-udp/option'/>\
         <renomination xmlns='http://gultsch.de/xmpp/drafts/jingle/transports/ice-udp/option'/>\
         <fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='actpass'>7A:0B:D6:1F</fingerprint>\
         </transport></content>\
         <content creator='initiator' name='1' senders='both'>\
         <description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'>\
         <payload-type id='96' name='VP8' clockrate='90000'>\
         <rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='ccm' subtype='fir'/>\
         <rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack' subtype='pli'/></payload-type>\
         <payload-type id='97' name='rtx' clockrate='90000'><parameter name='apt' value='96'/></payload-type>\
         <ssrc-group xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' semantics='FID'><source ssrc='1'/><source ssrc='2'/></ssrc-group>\
         </description>\
         <transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='zKFx' pwd='Jc2kV6ZGyFhbQ3A1iFSiMBgR'/></content></jingle>",
    );
    assert_eq!(jingle.groups, [Group { semantics: "BUNDLE".into(), contents: vec!["0".into(), "1".into()] }]);
    let audio = jingle.content(Creator::Initiator, "0").expect("audio");
    let rtp = audio.rtp().expect("RTP");
    assert_eq!(rtp.payloads[0].channels, Some(2));
    assert_eq!(rtp.payloads[0].parameters[1], Parameter::new("useinbandfec", "1"));
    assert_eq!(rtp.payloads[0].rtcp_fb, [Feedback::new("transport-cc", None)]);
    assert!(rtp.rtcp_mux && rtp.extmap_allow_mixed && rtp.other.is_empty());
    assert_eq!(rtp.sources[0].parameters[1].1.as_deref(), Some("my-media-stream my-audio-track"));
    let ice = audio.ice().expect("ICE");
    assert_eq!(ice.options, ["trickle", "renomination"]);
    assert_eq!(ice.fingerprints[0].setup.as_deref(), Some("actpass"));
    let video = jingle.contents[1].rtp().expect("RTP");
    assert_eq!(video.source_groups[0].sources, ["1", "2"]);
}

#[test]
fn one_candidate_at_a_time() {
    let jingle = kept(
        "<jingle xmlns='urn:xmpp:jingle:1' action='transport-info' sid='a73sjjvkla37jfea'>\
         <content creator='initiator' name='audio'>\
         <transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='zKFx' pwd='Jc2kV6ZGyFhbQ3A1iFSiMBgR'>\
         <candidate component='1' foundation='842163049' generation='0' id='k3f' ip='2001:db8::2' network='1' port='50412' \
         priority='1686052607' protocol='udp' rel-addr='10.0.0.3' rel-port='50412' type='srflx' ufrag='zKFx' network-cost='50'/>\
         <candidate component='1' foundation='9' generation='0' ip='10.0.0.3' port='9' priority='15' protocol='tcp' \
         tcptype='active' type='host'/></transport></content></jingle>",
    );
    let ice = jingle.contents[0].ice().expect("ICE");
    assert_eq!(ice.candidates[0].rel_addr.as_deref(), Some("10.0.0.3"));
    assert_eq!(ice.candidates[0].other, [("ufrag".into(), "zKFx".into()), ("network-cost".into(), "50".into())]);
    assert_eq!((ice.candidates[1].tcptype.as_deref(), ice.candidates[1].id.as_str()), (Some("active"), ""));
}

#[test]
fn a_desktop_with_keys_in_the_description() {
    // As Dino and Gajim do.
    let jingle = kept(
        "<jingle xmlns='urn:xmpp:jingle:1' action='session-accept' sid='a73sjjvkla37jfea' responder='juliet@example.com/desk'>\
         <content creator='initiator' name='voice' senders='both'>\
         <description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio' ssrc='12345'>\
         <payload-type id='96' name='opus' clockrate='48000' channels='2' ptime='20' maxptime='60'/>\
         <encryption required='true'><crypto crypto-suite='AES_CM_128_HMAC_SHA1_80' \
         key-params='inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:32' session-params='KDR=1 UNENCRYPTED_SRTCP' tag='1'/>\
         <zrtp-hash xmlns='urn:xmpp:jingle:apps:rtp:zrtp:1' version='1.10'>fe30efd02423cb054e50efd0248742ac</zrtp-hash>\
         </encryption><bandwidth type='AS'>128</bandwidth><rtcp-mux/>\
         <rtcp-fb-trr-int xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' value='100'/></description>\
         <transport xmlns='urn:xmpp:jingle:transports:raw-udp:1'>\
         <candidate component='1' generation='0' id='a9j3mnbtu1' ip='10.1.1.104' port='13540' type='host'/>\
         <candidate component='2' generation='0' id='a9j3mnbtu2' ip='10.1.1.104' port='13541'/></transport></content></jingle>",
    );
    let rtp = jingle.contents[0].rtp().expect("RTP");
    let encryption = rtp.encryption.as_ref().expect("keys");
    assert!(encryption.required);
    assert_eq!(encryption.cryptos[0].session_params.as_deref(), Some("KDR=1 UNENCRYPTED_SRTCP"));
    assert_eq!(encryption.zrtp_hashes[0].version, "1.10");
    assert_eq!((rtp.trr_int, rtp.ssrc.as_deref()), (Some(100), Some("12345")));
    assert_eq!(rtp.bandwidths, [Bandwidth { kind: "AS".into(), value: "128".into() }]);
    let Some(Transport::RawUdp(raw)) = &jingle.contents[0].transport else { panic!("raw UDP") };
    assert_eq!((raw.candidates[1].component, raw.candidates[1].kind.as_deref()), (2, None));
}

#[test]
fn what_happens_in_a_call() {
    let info = |inner: &str| {
        kept(&format!("<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='a'>{inner}</jingle>")).infos
    };
    assert_eq!(info(""), []);
    assert_eq!(info("<ringing xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>"), [Info::Ringing]);
    assert_eq!(info("<hold xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>"), [Info::Hold]);
    let mute = Info::Mute { creator: Creator::Responder, name: Some("voice".into()) };
    assert_eq!(info("<mute xmlns='urn:xmpp:jingle:apps:rtp:info:1' creator='responder' name='voice'/>"), [mute]);
    assert!(matches!(info("<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='7'/>").as_slice(), [Info::Other(_)]));
    assert!(matches!(info("<juggle xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>").as_slice(), [Info::Other(_)]));
}
