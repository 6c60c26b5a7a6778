//! What devices say of their media.

use super::Stream;
use base::{Str, format_compact};
use std::fmt::Write as _;
use xmpp::ext::jingle::{
    Candidate, Content, Creator, Description, Feedback, Fingerprint, Ice, Parameter, Payload, Rtp, Senders, Source,
    Transport,
};
use xmpp::jid::Jid;

/// How many candidates a device has for each stream.
pub(super) const CANDIDATES: u8 = 2;

/// The fingerprint of the key that a device has for a call. No two calls have the same, so that whoever has it has heard of this one.
pub fn fingerprint_of(device: &Jid, sid: &str) -> Str {
    let mut print = String::new();
    for byte in 0..32_u8 {
        let separator = if byte == 0 { "" } else { ":" };
        let _ = write!(print, "{separator}{:02X}", hash(&format!("{device} {sid} {byte}")) as u8);
    }
    print.into()
}

/// What a device offers.
pub(super) fn offer(device: &Jid, sid: &str, creator: Creator, name: &str, media: &str, candidates: u8) -> Content {
    let rtp = match media {
        "video" => video(),
        _ => audio(),
    };
    Content::new(creator, name)
        .with_senders(Senders::Both)
        .with_description(Description::Rtp(Box::new(Rtp {
            rtcp_mux: true,
            sources: vec![Source {
                ssrc: format_compact!("{}", hash(&format!("{sid} {name}")) as u32),
                parameters: vec![("cname".into(), Some(device.local().unwrap_or("nobody").into()))],
            }],
            ..rtp
        })))
        .with_transport(Transport::Ice(Box::new(transport(device, sid, name, "actpass", 0..candidates))))
}

/// What a device says to an offer; none if it cannot have that.
pub(super) fn answer(device: &Jid, sid: &str, offer: &Content, video: bool, candidates: u8) -> Option<Content> {
    let theirs = offer.rtp()?;
    let known = ["opus", "PCMU", "PCMA", "telephone-event", "VP8", "rtx"];
    let keeps = |p: &&Payload| p.name.as_deref().map_or(p.id == 0 || p.id == 8, |name| known.contains(&name));
    let payloads: Vec<_> = theirs.payloads.iter().filter(keeps).cloned().collect();
    if payloads.is_empty()
        || (theirs.media == "video" && !video)
        || !["audio", "video"].contains(&theirs.media.as_str())
    {
        return None;
    }
    let senders = offer.senders.unwrap_or(Senders::Both);
    let rtp = Rtp { payloads, rtcp_mux: theirs.rtcp_mux, ..Rtp::new(theirs.media.clone()) };
    let transport = transport(device, sid, &offer.name, "active", 0..candidates);
    Some(
        Content::new(offer.creator, offer.name.clone())
            .with_senders(senders)
            .with_description(Description::Rtp(Box::new(rtp)))
            .with_transport(Transport::Ice(Box::new(transport))),
    )
}

/// What a device tells of its transport once it has more candidates: it names its half again, and no key (the first one counts).
pub(super) fn more(device: &Jid, sid: &str, stream: &Stream, candidate: u8) -> Content {
    let ice = transport(device, sid, &stream.name, "", candidate..candidate + 1);
    Content::new(stream.creator, stream.name.clone())
        .with_transport(Transport::Ice(Box::new(Ice { fingerprints: Vec::new(), ..ice })))
}

fn transport(device: &Jid, sid: &str, name: &str, setup: &str, candidates: std::ops::Range<u8>) -> Ice {
    let n = hash(&format!("{device} {sid} {name}"));
    let fingerprint = Fingerprint {
        hash: "sha-256".into(),
        setup: Some(setup.into()),
        required: None,
        value: fingerprint_of(device, sid),
    };
    Ice {
        ufrag: Some(format_compact!("{:04x}", n as u16)),
        pwd: Some(format_compact!("{n:016x}{:06x}", n as u32 & 0x00ff_ffff)),
        candidates: candidates.map(|i| candidate(n, i)).collect(),
        fingerprints: vec![fingerprint],
        ..Ice::default()
    }
}

fn candidate(n: u64, i: u8) -> Candidate {
    let host = i == 0;
    let port = 20_000 + (n % 20_000) as u16 + u16::from(i);
    Candidate {
        component: 1,
        foundation: format_compact!("{}", i + 1),
        generation: 0,
        id: format_compact!("c{:x}{i}", n as u32),
        ip: if host { "192.168.1.20".into() } else { "198.51.100.20".into() },
        network: Some("0".into()),
        port,
        priority: if host { 2_130_706_431 } else { 1_694_498_815 },
        protocol: "udp".into(),
        kind: if host { "host".into() } else { "srflx".into() },
        rel_addr: (!host).then(|| "192.168.1.20".into()),
        rel_port: (!host).then_some(port),
        tcptype: None,
        other: Vec::new(),
    }
}

fn audio() -> Rtp {
    let opus = Payload {
        channels: Some(2),
        parameters: vec![Parameter::new("minptime", "10"), Parameter::new("useinbandfec", "1")],
        ..Payload::new(111, "opus", 48_000)
    };
    let payloads = vec![
        opus,
        Payload::new(0, "PCMU", 8000),
        Payload::new(8, "PCMA", 8000),
        Payload::new(110, "telephone-event", 8000),
    ];
    Rtp { payloads, ..Rtp::new("audio") }
}

fn video() -> Rtp {
    let rtcp_fb = vec![Feedback::new("nack", Some("pli")), Feedback::new("ccm", Some("fir"))];
    let vp8 = Payload { rtcp_fb, ..Payload::new(96, "VP8", 90_000) };
    Rtp { payloads: vec![vp8], ..Rtp::new("video") }
}

/// FNV-1a, then stirred: any number will do that follows from the words.
fn hash(words: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let n = words.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    (n ^ (n >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 7
}
