//! What is refused, and what can never get through.

use super::super::scope::MAX_SAID;
use super::properties::one_medium;
use super::*;
use base::Str;
use bodies::sdp::fragment::Fragment;
use proptest::sample::Index;
use xmpp::ext::jingle::{Candidate, Description, Ice, MAX_CANDIDATES, Parameter, Rtp};

/// What somebody might write into any attribute.
pub(super) const WORDS: [&str; 16] = [
    "",
    " ",
    "x",
    "0",
    "1\r\na=evil:1",
    "\r\nm=video 9 RTP/AVP 0\r\n",
    "\na=evil",
    "a b",
    "a;b=c",
    "é",
    "\u{85}a=evil",
    "-1",
    "99999999999",
    "a\0b",
    "a/b:c=d",
    "192.0.2.1",
];

/// Every string of a content.
fn strings(content: &mut Content) -> Vec<&mut Str> {
    let mut all = vec![&mut content.name];
    if let Some(Description::Rtp(rtp)) = &mut content.description {
        all.extend(of_rtp(rtp));
    }
    let fingerprints = match &mut content.transport {
        Some(Transport::Ice(ice)) => {
            let Ice { ufrag, pwd, candidates, remote_candidates, fingerprints, options, .. } = &mut **ice;
            all.extend(ufrag.iter_mut().chain(pwd).chain(options));
            all.extend(remote_candidates.iter_mut().map(|remote| &mut remote.ip));
            for candidate in candidates {
                let Candidate { foundation, id, ip, network, protocol, kind, rel_addr, tcptype, other, .. } = candidate;
                all.extend([foundation, id, ip, protocol, kind]);
                all.extend(network.iter_mut().chain(rel_addr).chain(tcptype));
                all.extend(other.iter_mut().flat_map(|(name, value)| [name, value]));
            }
            fingerprints
        }
        Some(Transport::RawUdp(raw)) => {
            all.extend(raw.candidates.iter_mut().flat_map(|candidate| [&mut candidate.id, &mut candidate.ip]));
            &mut raw.fingerprints
        }
        Some(Transport::Other(_)) | None => return all,
    };
    for fingerprint in fingerprints {
        all.extend([&mut fingerprint.hash, &mut fingerprint.value]);
        all.extend(fingerprint.setup.iter_mut());
    }
    all
}

fn of_rtp(rtp: &mut Rtp) -> Vec<&mut Str> {
    fn both(parameter: &mut Parameter) -> [&mut Str; 2] {
        [&mut parameter.name, &mut parameter.value]
    }
    let mut all = vec![&mut rtp.media];
    all.extend(rtp.ssrc.iter_mut());
    for payload in &mut rtp.payloads {
        all.extend(payload.name.iter_mut().chain(&mut payload.ptime).chain(&mut payload.maxptime));
        all.extend(payload.parameters.iter_mut().flat_map(both));
        for feedback in &mut payload.rtcp_fb {
            all.push(&mut feedback.kind);
            all.extend(feedback.subtype.iter_mut().chain(feedback.parameters.iter_mut().flat_map(both)));
        }
    }
    if let Some(encryption) = &mut rtp.encryption {
        for crypto in &mut encryption.cryptos {
            all.extend([&mut crypto.suite, &mut crypto.key_params, &mut crypto.tag]);
            all.extend(crypto.session_params.iter_mut());
        }
        all.extend(encryption.zrtp_hashes.iter_mut().flat_map(|hash| [&mut hash.version, &mut hash.value]));
    }
    all.extend(rtp.bandwidths.iter_mut().flat_map(|bandwidth| [&mut bandwidth.kind, &mut bandwidth.value]));
    for feedback in &mut rtp.rtcp_fb {
        all.push(&mut feedback.kind);
        all.extend(feedback.subtype.iter_mut().chain(feedback.parameters.iter_mut().flat_map(both)));
    }
    for extension in &mut rtp.extensions {
        all.push(&mut extension.uri);
        all.extend(extension.parameters.iter_mut().flat_map(both));
    }
    for source in &mut rtp.sources {
        all.push(&mut source.ssrc);
        all.extend(source.parameters.iter_mut().flat_map(|(name, value)| std::iter::once(name).chain(value)));
    }
    for group in &mut rtp.source_groups {
        all.push(&mut group.semantics);
        all.extend(&mut group.sources);
    }
    all
}

/// Writes these words into some of the strings.
pub(super) fn change(content: &mut Content, changes: &[(Index, &str)]) {
    for (at, word) in changes {
        let mut all = strings(content);
        let at = at.index(all.len());
        *all[at] = (*word).into();
    }
}

/// Each attribute, each word: even if whoever reads Jingle let it through, it makes no line of its own.
#[test]
fn no_attribute_makes_a_line() {
    for sample in samples::ALL {
        for content in jingle(sample).contents {
            let count = strings(&mut content.clone()).len();
            let whole = x2s::media(&content, &scope()).expect("written");
            for (at, word) in (0..count).flat_map(|at| WORDS.map(|word| (at, word))) {
                let mut changed = content.clone();
                *strings(&mut changed)[at] = word.into();
                let Ok(media) = x2s::media(&changed, &scope()) else { continue };
                one_medium(&media);
                assert!(media.attributes.len() <= whole.attributes.len() + 1, "{at} {word:?}");
                assert!(media.attributes.iter().all(|attribute| !attribute.name().contains("evil")), "{at} {word:?}");
                if let Some(ice) = changed.ice() {
                    let mut section = Fragment::section("m").expect("a name");
                    section.attributes.extend(x2s::transport(ice));
                    let fragment = Fragment { media: vec![section], ..Fragment::default() };
                    assert_eq!(Fragment::parse(&fragment.to_bytes()).as_ref(), Ok(&fragment));
                }
            }
        }
    }
}

#[test]
fn a_flood_of_candidates() {
    let head = "m=audio 9 RTP/AVP 0\na=ice-ufrag:8hhY\na=ice-pwd:asd88fgpdd777uzjYhagZg\n";
    let candidate = |n: usize| format!("a=candidate:f{n} 1 UDP {} 192.0.2.1 {} typ host\n", n + 1, n % 60_000 + 1);
    let flood = |range: std::ops::Range<usize>| range.map(candidate).collect::<String>();
    let mut scope = scope();
    let content = to_xmpp(&format!("{head}{}", flood(0..1_100)), &mut scope);
    let ice = content.ice().expect("ICE");
    assert_eq!((ice.candidates.len(), scope.ice.said.len()), (MAX_CANDIDATES, MAX_CANDIDATES));
    let numbers: std::collections::BTreeSet<_> =
        ice.candidates.iter().map(|candidate| candidate.foundation.as_str()).collect();
    assert_eq!(numbers.len(), 64);
    assert!(numbers.iter().all(|number| number.parse::<u8>().is_ok()), "foundations are unsigned bytes");

    // Fragments bring no more than are remembered.
    let mut told = 0;
    for part in 0..10 {
        let fragment = format!(
            "a=ice-ufrag:8hhY\na=ice-pwd:asd88fgpdd777uzjYhagZg\nm=audio 9 RTP/AVP 0\na=mid:m\n{}",
            flood(2_000 + part * 1_000..3_000 + part * 1_000)
        );
        let fragment = Fragment::parse(fragment.as_bytes()).expect("a fragment");
        told += s2x::transport(&fragment, &fragment.media[0], &mut scope).map_or(0, |ice| ice.candidates.len());
    }
    assert_eq!((told, scope.ice.said.len()), (MAX_SAID - MAX_CANDIDATES, MAX_SAID));
    assert_eq!(scope.ice.foundations.len(), MAX_SAID, "each has a number of its own");

    // The other way.
    let mut ice = ice.clone();
    ice.candidates = (0..10_000_u32).map(|n| Candidate { priority: n + 1, ..ice.candidates[0].clone() }).collect();
    let mut flooding = content.clone();
    flooding.transport = Some(Transport::Ice(Box::new(ice)));
    let media = x2s::media(&flooding, &scope).expect("written");
    assert_eq!(media.attributes.all("candidate").count(), MAX_CANDIDATES);
}

#[test]
fn what_cannot_be_agreed_on() {
    let keys = "a=fingerprint:sha-256 ";
    let long = "AB:".repeat(31) + "AB";
    let weak = "a=fingerprint:md5 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F\n";
    let refused = [
        ("m=text 1 RTP/AVP 0\n".to_owned(), 304),
        ("m=audio 1 udp 0\n".to_owned(), 302),
        ("m=audio 1 TCP/RTP/AVP 0\n".to_owned(), 302),
        ("m=audio 1 RTP/AVP 96\n".to_owned(), 305),
        ("m=audio 1 RTP/AVP 96\na=rtpmap:96 x\n".to_owned(), 305),
        ("m=audio 1 RTP/AVP 0\nc=IN IP4 224.2.1.1/127/3\n".to_owned(), 330),
        ("m=audio 1 RTP/AVP 0\nc=IN IP4 host.example.net\n".to_owned(), 302),
        ("m=audio 1 RTP/AVP 0\nc=TN RFC2543 +1-201-406-4090\n".to_owned(), 302),
        ("m=audio 1 RTP/AVP 0\na=ice-ufrag:a\na=ice-pwd:b\n".to_owned(), 306),
        ("m=audio 1 RTP/SAVP 0\n".to_owned(), 306),
        ("m=audio 1 UDP/TLS/RTP/SAVPF 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc\n".to_owned(), 306),
        (format!("m=audio 1 UDP/TLS/RTP/SAVPF 0\n{weak}"), 306),
        (format!("m=audio 1 UDP/TLS/RTP/SAVPF 0\n{keys}{long}:AB\n"), 306),
    ];
    for (media, expected) in refused {
        let refusal = read(&media, &mut scope()).expect_err(&media);
        assert!(
            matches!(refusal, Refusal::NotAcceptableHere { warning, .. } if warning == expected),
            "{refusal:?}: {media}"
        );
    }
    // A weak fingerprint beside a strong one is left out.
    let both = to_xmpp(&format!("m=audio 1 UDP/TLS/RTP/SAVPF 0\n{weak}{keys}{long}\n"), &mut scope());
    let Some(Transport::RawUdp(raw)) = both.transport else { panic!("UDP without ICE") };
    assert_eq!(raw.fingerprints.len(), 1);
}

#[test]
fn what_no_telephone_could_take() {
    let ice = |inner: &str| format!("<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'{inner}</transport>");
    let weak = ">\n<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='md5' setup='active'>\
                00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F</fingerprint>";
    let refused = [
        (content("", &raw("192.0.2.1", 1)), 305),
        (content("<payload-type id='96'/>", &raw("192.0.2.1", 1)), 305),
        (content("<payload-type id='96' name='a/b' clockrate='1'/>", &raw("192.0.2.1", 1)), 305),
        (content("<payload-type id='0'/>", &raw("host.example.net", 1)), 302),
        (content("<payload-type id='0'/>", &raw("224.0.0.1", 1)), 302),
        (content("<payload-type id='0'/>", "<transport xmlns='urn:xmpp:jingle:transports:s5b:1'/>"), 302),
        (content("<payload-type id='0'/>", ""), 302),
        (content("<payload-type id='0'/>", &ice(" ufrag='a' pwd='b'>")), 306),
        (content("<payload-type id='0'/>", &ice(weak)), 306),
        (Content { description: None, ..content("", "") }, 304),
    ];
    for (content, expected) in refused {
        let refusal = x2s::media(&content, &scope()).expect_err("refused");
        assert!(
            matches!(refusal, Refusal::NotAcceptableHere { warning, .. } if warning == expected),
            "{refusal:?}: {content:?}"
        );
    }
    // An answer has the keys that its offer had.
    let plain = content("<payload-type id='0'/>", &raw("192.0.2.1", 1));
    for protocol in ["RTP/SAVP", "UDP/TLS/RTP/SAVPF", "x"] {
        let scope = Scope { protocol: Some(protocol.into()), ..scope() };
        assert!(x2s::media(&plain, &scope).is_err(), "{protocol}");
    }
}

/// A description that alone would be more than an SDP may be.
#[test]
fn too_much() {
    let value = "x".repeat(4_000);
    let parameters: String = (0..16).map(|n| format!("<parameter name='p{n}' value='{value}'/>")).collect();
    let payloads: String = (96..128)
        .map(|id| {
            format!(
                "<payload-type id='{id}' name='x' clockrate='1'><parameter name='p' value='{value}'/></payload-type>"
            )
        })
        .collect();
    assert_eq!(x2s::media(&content(&payloads, &raw("192.0.2.1", 1)), &scope()), Err(Refusal::TooBig));
    // One line that would be too long is left out.
    let lines = to_sip(
        &content(
            &format!("<payload-type id='96' name='x' clockrate='1'>{parameters}</payload-type>"),
            &raw("192.0.2.1", 1),
        ),
        &scope(),
    );
    assert_eq!(lines[3..], ["a=rtpmap:96 x/1"]);
    let source = |n: u32| {
        format!(
            "<source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='{n}'>{}</source>",
            "<parameter name='a' value='b'/>".repeat(60)
        )
    };
    let sources: String = (0..60).map(source).collect();
    assert_eq!(
        x2s::media(&content(&format!("<payload-type id='0'/>{sources}"), &raw("192.0.2.1", 1)), &scope()),
        Err(Refusal::TooBig)
    );
}
