//! Sessions of all kinds, for properties.

use crate::ext::jingle::*;
use crate::jid::Jid;
use base::Str;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use xml::Element;

fn word() -> impl Strategy<Value = Str> {
    "[!-~é✓]{1,12}".prop_map(Str::from)
}

fn value() -> impl Strategy<Value = Str> {
    "\\PC{1,20}".prop_map(Str::from)
}

fn digits() -> impl Strategy<Value = Str> {
    "[0-9]{1,10}".prop_map(Str::from)
}

/// What nobody knows.
fn other() -> impl Strategy<Value = Vec<Element>> {
    let e = value().prop_map(|v| Element::new("x", "urn:example:x").with_attr("y", v));
    vec(e, 0..2)
}

fn address() -> impl Strategy<Value = Option<Jid>> {
    of(select(vec!["romeo@example.net/orchard", "juliet@example.com", "example.org"]))
        .prop_map(|jid| jid.and_then(|jid| Jid::parse(jid).ok()))
}

fn creator() -> impl Strategy<Value = Creator> {
    select(Creator::ALL)
}

pub(super) fn senders() -> impl Strategy<Value = Option<Senders>> {
    of(select(Senders::ALL))
}

fn parameters() -> impl Strategy<Value = Vec<Parameter>> {
    let either = prop_oneof![
        (word(), value()).prop_map(|(name, value)| Parameter { name, value }),
        word().prop_map(|name| Parameter::new(name, "")),
        value().prop_map(|value| Parameter::new("", value)),
    ];
    vec(either, 0..3)
}

fn feedback() -> impl Strategy<Value = Vec<Feedback>> {
    let one = (word(), of(word()), parameters());
    vec(one.prop_map(|(kind, subtype, parameters)| Feedback { kind, subtype, parameters }), 0..3)
}

fn payload(id: u8) -> impl Strategy<Value = Payload> {
    let head = (of(word()), of(1..=u32::MAX), of(1..=u8::MAX), of(word()), of(word()));
    (head, parameters(), feedback(), of(any::<u32>()), other()).prop_map(
        move |(head, parameters, rtcp_fb, trr_int, other)| {
            let (name, clockrate, channels, ptime, maxptime) = head;
            Payload { id, name, clockrate, channels, ptime, maxptime, parameters, rtcp_fb, trr_int, other }
        },
    )
}

fn payloads() -> impl Strategy<Value = Vec<Payload>> {
    subsequence((0..=127).collect::<Vec<u8>>(), 0..4)
        .prop_flat_map(|ids| ids.into_iter().map(|id| payload(id).boxed()).collect::<Vec<_>>())
}

fn encryption() -> impl Strategy<Value = Encryption> {
    let crypto = (word(), word(), of(value()), digits());
    let crypto =
        crypto.prop_map(|(suite, key_params, session_params, tag)| Crypto { suite, key_params, session_params, tag });
    let hash = (word(), "[0-9a-f]{64}").prop_map(|(version, value)| ZrtpHash { version, value: value.into() });
    (any::<bool>(), vec(crypto, 0..3), vec(hash, 0..2), other())
        .prop_map(|(required, cryptos, zrtp_hashes, other)| Encryption { required, cryptos, zrtp_hashes, other })
}

fn extensions() -> impl Strategy<Value = Vec<Extension>> {
    let ids = subsequence((1..=14).chain(4096..=4100).collect::<Vec<u16>>(), 0..3);
    ids.prop_flat_map(|ids| {
        let one = |id| {
            (word(), senders(), parameters())
                .prop_map(move |(uri, senders, parameters)| Extension { id, uri, senders, parameters })
                .boxed()
        };
        ids.into_iter().map(one).collect::<Vec<_>>()
    })
}

fn sources() -> impl Strategy<Value = (Vec<Source>, Vec<SourceGroup>)> {
    let source = (digits(), vec((word(), of(value())), 0..3));
    let group = (word(), vec(digits(), 0..3));
    (
        vec(source.prop_map(|(ssrc, parameters)| Source { ssrc, parameters }), 0..3),
        vec(group.prop_map(|(semantics, sources)| SourceGroup { semantics, sources }), 0..2),
    )
}

fn rtp() -> impl Strategy<Value = Rtp> {
    let bandwidth = (word(), digits()).prop_map(|(kind, value)| Bandwidth { kind, value });
    let head = (word(), of(word()), payloads(), of(encryption()), vec(bandwidth, 0..3), any::<bool>());
    let tail = (feedback(), of(any::<u32>()), extensions(), any::<bool>(), sources(), other());
    (head, tail).prop_map(|(head, tail)| {
        let (media, ssrc, payloads, encryption, bandwidths, rtcp_mux) = head;
        let (rtcp_fb, trr_int, extensions, extmap_allow_mixed, (sources, source_groups), other) = tail;
        Rtp {
            media,
            ssrc,
            payloads,
            encryption,
            bandwidths,
            rtcp_mux,
            rtcp_fb,
            trr_int,
            extensions,
            extmap_allow_mixed,
            sources,
            source_groups,
            other,
        }
    })
}

fn fingerprints() -> impl Strategy<Value = Vec<Fingerprint>> {
    let one = (word(), of(word()), of(any::<bool>()), "[0-9A-F]{2}(:[0-9A-F]{2}){0,4}");
    let one = one.prop_map(|(hash, setup, required, value)| Fingerprint { hash, setup, required, value: value.into() });
    vec(one, 0..3)
}

fn candidate() -> impl Strategy<Value = Candidate> {
    let known = vec!["ufrag", "network-cost", "x"];
    let attrs = subsequence(known, 0..=3).prop_flat_map(|names| {
        let one = |name: &'static str| value().prop_map(move |value| (Str::from(name), value)).boxed();
        names.into_iter().map(one).collect::<Vec<_>>()
    });
    let head = (1..=u8::MAX, word(), any::<u32>(), word(), word(), of(word()), any::<u16>());
    let tail = (any::<u32>(), word(), word(), of(word()), of(any::<u16>()), of(word()), attrs);
    (head, tail).prop_map(|(head, tail)| {
        let (component, foundation, generation, id, ip, network, port) = head;
        let (priority, protocol, kind, rel_addr, rel_port, tcptype, other) = tail;
        Candidate {
            component,
            foundation,
            generation,
            id,
            ip,
            network,
            port,
            priority,
            protocol,
            kind,
            rel_addr,
            rel_port,
            tcptype,
            other,
        }
    })
}

fn ice() -> impl Strategy<Value = Ice> {
    let remote = (any::<u8>(), word(), any::<u16>());
    let remote = remote.prop_map(|(component, ip, port)| RemoteCandidate { component, ip, port });
    let options = vec!["ice2", "trickle", "renomination"];
    let options = subsequence(options, 0..=3).prop_map(|all| all.into_iter().map(Str::from).collect());
    let head = (select(vec![Form::Udp, Form::Any]), of(word()), of(word()), vec(candidate(), 0..4), vec(remote, 0..2));
    let tail = (fingerprints(), any::<bool>(), options, any::<bool>(), other());
    (head, tail).prop_map(|(head, tail)| {
        let (form, ufrag, pwd, candidates, remote_candidates) = head;
        let (fingerprints, gathering_complete, options, rtcp_mux, other) = tail;
        Ice {
            form,
            ufrag,
            pwd,
            candidates,
            remote_candidates,
            fingerprints,
            gathering_complete,
            options,
            rtcp_mux,
            other,
        }
    })
}

fn raw_udp() -> impl Strategy<Value = RawUdp> {
    let one = (any::<u8>(), any::<u32>(), word(), word(), any::<u16>(), of(word()));
    let one = one.prop_map(|(component, generation, id, ip, port, kind)| RawCandidate {
        component,
        generation,
        id,
        ip,
        port,
        kind,
    });
    (vec(one, 0..3), fingerprints(), other()).prop_map(|(candidates, fingerprints, other)| RawUdp {
        candidates,
        fingerprints,
        other,
    })
}

fn description() -> impl Strategy<Value = Description> {
    prop_oneof![
        4 => rtp().prop_map(|rtp| Description::Rtp(Box::new(rtp))),
        1 => Just(Description::Other(Element::new("description", "urn:xmpp:jingle:apps:file-transfer:5"))),
    ]
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![
        4 => ice().prop_map(|ice| Transport::Ice(Box::new(ice))),
        2 => raw_udp().prop_map(Transport::RawUdp),
        1 => Just(Transport::Other(Element::new("transport", "urn:xmpp:jingle:transports:ibb:1"))),
    ]
}

fn content(number: usize) -> impl Strategy<Value = Content> {
    let parts = (creator(), value(), senders(), of(word()), of(description()), of(transport()), other());
    parts.prop_map(move |(creator, name, senders, disposition, description, transport, other)| {
        // No two may have one name.
        let name = format!("{number}{name}").into();
        Content { creator, name, senders, disposition, description, transport, other }
    })
}

fn groups() -> impl Strategy<Value = Vec<Group>> {
    let one = (word(), vec(value(), 0..3)).prop_map(|(semantics, contents)| Group { semantics, contents });
    vec(one, 0..2)
}

pub(super) fn reason() -> impl Strategy<Value = Reason> {
    let text = of("[a-z]{1,9}( [a-z]{1,9})?");
    (select(Condition::ALL), of(word()), text, of(select(RtpError::ALL)), other()).prop_map(
        |(condition, sid, text, rtp_error, other)| {
            let alternative = sid.filter(|_| condition == Condition::AlternativeSession);
            Reason { condition, alternative, text, rtp_error, other }
        },
    )
}

fn info() -> impl Strategy<Value = Info> {
    prop_oneof![
        select(vec![Info::Active, Info::Hold, Info::Unhold, Info::Ringing]),
        (creator(), of(value())).prop_map(|(creator, name)| Info::Mute { creator, name }),
        (creator(), of(value())).prop_map(|(creator, name)| Info::Unmute { creator, name }),
    ]
}

pub(super) fn jingle() -> impl Strategy<Value = Jingle> {
    let contents = (0..3_usize).prop_flat_map(|n| (0..n).map(|i| content(i).boxed()).collect::<Vec<_>>());
    let head = (select(Action::ALL), value(), address(), address());
    (head, contents, groups(), of(reason()), vec(info(), 0..2), other()).prop_map(
        |((mut action, sid, initiator, responder), contents, groups, reason, mut infos, mut other)| {
            // What begins something is whole.
            let whole = contents.iter().all(|c: &Content| c.description.is_some() && c.transport.is_some());
            if action == Action::SessionInitiate && (contents.is_empty() || !whole)
                || action == Action::ContentAdd && !whole
            {
                action = Action::ContentModify;
            }
            if action == Action::SessionInfo {
                infos.extend(other.drain(..).map(Info::Other));
            }
            Jingle { action, sid, initiator, responder, contents, groups, reason, infos, other }
        },
    )
}
