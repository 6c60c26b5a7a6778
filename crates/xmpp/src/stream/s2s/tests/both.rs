//! Two machines against each other.

use super::*;
use crate::ns;
use crate::stanza::Kind;
use xml::{Element, Limits};

/// One of the two.
pub(super) struct Side {
    pub(super) stream: Stream,
    /// What the judge of this side says of the other's certificate.
    pub(super) certificate: Certificate,
    /// What it has written that the other has not read.
    pub(super) wire: Vec<u8>,
    begins_tls: bool,
    /// What it has said besides, in short.
    pub(super) told: Vec<String>,
    /// The ids of what came to it.
    pub(super) got: Vec<Str>,
    pub(super) taken: Vec<u64>,
    pub(super) lost: Vec<u64>,
    /// It is rid of the connection.
    pub(super) gone: bool,
}

impl Side {
    fn new(stream: Stream, certificate: Certificate) -> Side {
        Side {
            stream,
            certificate,
            wire: Vec::new(),
            begins_tls: false,
            told: Vec::new(),
            got: Vec::new(),
            taken: Vec::new(),
            lost: Vec::new(),
            gone: false,
        }
    }
}

/// Who opens the stream, and who is called. What proves a pair by dialback is asked of the side it belongs to at once, as another
/// connection would; so are pings answered, unless there are both directions.
pub(super) struct Two {
    pub(super) now: Time,
    /// `example.com`, which calls.
    pub(super) a: Side,
    /// `sip.example.net`.
    pub(super) b: Side,
    pub(super) secrets: [Secret; 2],
    pub(super) answers_pings: bool,
    /// The same bytes need not come in the same pieces.
    pub(super) cut: Box<dyn FnMut() -> usize>,
}

impl Two {
    pub(super) fn new(a: Config, b: Config, initiate: Initiate, certificates: [Certificate; 2]) -> Two {
        let secrets = [a.secret.clone(), b.secret.clone()];
        let [of_a, of_b] = certificates;
        let now = Time::from_secs(1);
        let direct_tls = initiate.direct_tls;
        let a = Stream::initiating(Arc::new(a), Tokens::seeded(1), now, initiate);
        let b = Stream::receiving(Arc::new(b), Tokens::seeded(2), now, direct_tls);
        Two {
            now,
            a: Side::new(a, of_b),
            b: Side::new(b, of_a),
            secrets,
            answers_pings: true,
            cut: Box::new(|| usize::MAX),
        }
    }

    /// Everything that happens without time passing.
    pub(super) fn run(&mut self) {
        for _ in 0..100_000 {
            let busy = self.drain(true) | self.drain(false);
            if self.a.begins_tls && self.b.begins_tls {
                (self.a.begins_tls, self.b.begins_tls) = (false, false);
                assert!(self.a.wire.is_empty() && self.b.wire.is_empty(), "something in plain text where TLS begins");
                self.a.stream.secured(self.now);
                self.b.stream.secured(self.now);
                continue;
            }
            if !busy && !self.carry(true) && !self.carry(false) {
                return;
            }
        }
        panic!("it never ends");
    }

    /// Carries a piece from one to the other, or the end of the connection behind the last.
    fn carry(&mut self, from_a: bool) -> bool {
        let cut = (self.cut)();
        let (from, to) = if from_a { (&mut self.a, &mut self.b) } else { (&mut self.b, &mut self.a) };
        if from.wire.is_empty() {
            if from.gone && !to.gone {
                to.gone = true;
                to.stream.closed(self.now);
                return true;
            }
            return false;
        }
        let piece: Vec<u8> = from.wire.drain(..cut.clamp(1, from.wire.len())).collect();
        if !to.gone {
            to.stream.received(self.now, &piece);
        }
        true
    }

    fn drain(&mut self, of_a: bool) -> bool {
        let mut busy = false;
        let side = if of_a { &mut self.a } else { &mut self.b };
        side.stream.flushed(self.now);
        let mut pings = Vec::new();
        while let Some(output) = side.stream.poll() {
            busy = true;
            match output {
                Output::Bytes(bytes) => side.wire.extend(bytes),
                Output::StartTls => side.begins_tls = true,
                Output::Judge(domain) => {
                    let certificate = side.certificate.clone();
                    side.stream.judged(self.now, &domain, certificate);
                }
                Output::Verify(v) => {
                    let secret = &self.secrets[usize::from(of_a)];
                    let theirs = Pair::new(v.pair.remote.clone(), v.pair.local.clone());
                    let verdict = if secret.proves(&theirs, &v.id, &v.key) { Verdict::Valid } else { Verdict::Invalid };
                    side.stream.verified(self.now, &v.pair, verdict);
                }
                Output::Close | Output::Abort => {
                    if !std::mem::replace(&mut side.gone, true) {
                        side.stream.closed(self.now);
                    }
                }
                Output::Taken(token) => side.taken.push(token),
                Output::Lost(token) => side.lost.push(token),
                Output::Stanza(stanza) if stanza.kind == Kind::Iq => pings.push(stanza.result(None)),
                Output::Stanza(stanza) => side.got.push(stanza.id.unwrap_or_default()),
                other => side.told.push(short(&other)),
            }
        }
        for result in pings.into_iter().filter(|_| self.answers_pings) {
            let pair =
                Pair::new(result.from.as_ref().expect("from").domain(), result.to.as_ref().expect("to").domain());
            let (side, other) = if of_a { (&mut self.a, &mut self.b) } else { (&mut self.b, &mut self.a) };
            if side.stream.sends(&pair) {
                side.stream.send(self.now, &pair, &result.to_bytes(ns::SERVER), None).expect("may");
            } else {
                other.stream.answered(self.now, &result);
            }
        }
        busy
    }

    /// Time passes.
    pub(super) fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let next = [self.a.stream.deadline(), self.b.stream.deadline()].into_iter().flatten().min();
            self.now = next.filter(|at| *at <= until).map_or(until, |at| at.max(self.now));
            self.a.stream.timeout(self.now);
            self.b.stream.timeout(self.now);
            self.run();
            if self.now == until {
                return;
            }
        }
    }

    /// `a` sends a message.
    pub(super) fn send(&mut self, id: u64) -> Result<(), SendError> {
        let message = format!("<message from='x@{REMOTE}' to='y@{LOCAL}' id='{id}'/>");
        self.a.stream.send(self.now, &outward(), message.as_bytes(), Some(id))
    }
}

/// The pair as `a` sees it.
pub(super) fn outward() -> Pair {
    Pair::new(REMOTE, LOCAL)
}

fn two(change: impl Fn(&mut Config, &mut Config, &mut Initiate), certificates: [Certificate; 2]) -> Two {
    let (mut a, mut b, mut initiate) = (config(REMOTE), config(LOCAL), Initiate::new(outward()));
    change(&mut a, &mut b, &mut initiate);
    let mut two = Two::new(a, b, initiate, certificates);
    two.run();
    two
}

fn valid() -> [Certificate; 2] {
    [Certificate::Valid, Certificate::Valid]
}

fn invalid() -> Certificate {
    Certificate::Invalid("self-signed".into())
}

const BY_CERTIFICATE: &str = "ready example.com and sip.example.net by Certificate";
const BY_DIALBACK: &str = "ready example.com and sip.example.net by Dialback";

#[test]
fn who_is_proved_how() {
    let both = [Certificate::Valid, Certificate::Valid];
    for (certificates, direct_tls, expected) in [
        (both.clone(), false, BY_CERTIFICATE),
        (both.clone(), true, BY_CERTIFICATE),
        ([Certificate::Valid, invalid()], false, BY_CERTIFICATE),
        ([invalid(), Certificate::Valid], false, BY_DIALBACK),
        ([Certificate::None, invalid()], true, BY_DIALBACK),
    ] {
        let mut two = two(|_, _, i| i.direct_tls = direct_tls, certificates.clone());
        assert!(two.a.told.contains(&expected.to_owned()), "{certificates:?}: {:?}", two.a.told);
        assert!(two.a.stream.is_secured() && two.b.stream.is_secured());
        assert!(two.b.stream.accepts(&pair()), "{:?}", two.b.told);
        two.send(1).expect("ready");
        two.run();
        assert_eq!((two.b.got.as_slice(), two.a.taken.as_slice()), (&["1".into()][..], &[1][..]));
        // Both directions, as both may.
        assert!(two.b.stream.is_bidirectional() && two.b.stream.sends(&pair()) && two.a.stream.accepts(&outward()));
        let back = format!("<message from='y@{LOCAL}' to='x@{REMOTE}' id='back'/>");
        two.b.stream.send(two.now, &pair(), back.as_bytes(), Some(2)).expect("ready");
        two.run();
        assert_eq!((two.a.got.as_slice(), two.b.taken.as_slice()), (&["back".into()][..], &[2][..]));
        two.a.stream.close(two.now, None);
        two.run();
        assert!(two.a.told.contains(&"down: closed".to_owned()), "{:?}", two.a.told);
        assert!(two.b.told.contains(&"down: closed by the other side".to_owned()), "{:?}", two.b.told);
        assert_eq!((two.a.stream.deadline(), two.b.stream.deadline()), (None, None));
    }
}

#[test]
fn one_direction() {
    for (bidi, sm) in [(false, true), (false, false), (true, false)] {
        let mut two = two(|a, b, _| (a.bidi, b.sm) = (bidi, sm), valid());
        assert_eq!(two.b.stream.sends(&pair()), bidi);
        for id in 0..5 {
            two.send(id).expect("ready");
        }
        two.run();
        assert_eq!(two.b.got, ["0", "1", "2", "3", "4"]);
        assert_eq!(two.a.taken, [0, 1, 2, 3, 4], "{bidi} {sm}");
        assert!(two.a.stream.answers_barriers());
    }
}

#[test]
fn without_tls() {
    let plain = |a: &mut Config, b: &mut Config, _: &mut Initiate| {
        (a.rules.policy.require_tls, b.rules.policy.require_tls) = (false, false);
        b.local.insert(LOCAL.into(), Local::default());
    };
    let two = two(plain, [Certificate::None, Certificate::None]);
    assert!(two.a.told.contains(&BY_DIALBACK.to_owned()), "{:?}", two.a.told);
    assert!(!two.a.stream.is_secured() && two.b.stream.accepts(&pair()));
}

#[test]
fn policies_that_do_not_meet() {
    type Change = fn(&mut Config, &mut Config);
    let cases: [(Change, [Certificate; 2], &str); 6] = [
        (|_, b| _ = b.local.insert(LOCAL.into(), Local::default()), valid(), "down: TLS is required and not to be had"),
        (
            |a, b| {
                a.rules.policy.require_tls = false;
                b.local.insert(LOCAL.into(), Local::default());
            },
            valid(),
            "refused example.com and sip.example.net: Error(PolicyViolation)",
        ),
        (
            |a, _| a.rules.policy.require_certificate = true,
            [Certificate::Valid, invalid()],
            "down: certificate refused: self-signed",
        ),
        (
            |_, b| b.rules.policy.require_certificate = true,
            [invalid(), Certificate::Valid],
            "refused example.com and sip.example.net: Error(NotAuthorized)",
        ),
        (
            |_, b| b.rules.deny = vec![Pattern::Any],
            valid(),
            "down: the other side says policy-violation (\"not spoken to\")",
        ),
        (
            |_, b| b.local = [("other.example.net".into(), Local { certificate: true })].into(),
            valid(),
            "down: the other side says host-unknown (\"not served here\")",
        ),
    ];
    for (change, certificates, expected) in cases {
        let mut two = two(|a, b, _| change(a, b), certificates);
        two.wait(secs(60));
        assert!(two.a.told.contains(&expected.to_owned()), "{expected}: {:?}", two.a.told);
        assert!(two.b.stream.is_unproven() && two.b.got.is_empty());
        assert!(!two.a.stream.sends(&outward()));
        assert!(two.send(1).is_err());
    }
}

/// A key of another secret, of another stream: somebody who only says that he is `example.com`.
#[test]
fn an_impostor() {
    let (a, b) = (config(REMOTE), config(LOCAL));
    let mut two = Two::new(a, b, Initiate::new(outward()), [invalid(), Certificate::Valid]);
    two.secrets[0] = Secret::new(b"that of the real one");
    two.run();
    assert!(two.a.told.contains(&"refused example.com and sip.example.net: Invalid".to_owned()), "{:?}", two.a.told);
    assert!(
        two.b.told.contains(&"down: given up: not-authorized (\"wrong dialback key\")".to_owned()),
        "{:?}",
        two.b.told
    );
    assert!(two.b.got.is_empty() && two.b.stream.is_unproven());
}

/// Keys go over a stream of their own, to the server of the domain itself.
#[test]
fn keys_over_another_stream() {
    let initiate = Initiate { purpose: Purpose::Verification, ..Initiate::new(outward()) };
    let mut two = Two::new(config(REMOTE), config(LOCAL), initiate, valid());
    two.run();
    assert_eq!(two.a.told, ["CanVerify"]);
    // `sip.example.net` has shown this key on a stream of `example.com`'s, whose id was "x".
    let key = two.secrets[1].prove(&pair(), "x");
    for (id, key, verdict) in
        [("x", key.as_str(), "Valid"), ("y", key.as_str(), "Invalid"), ("x", "made up", "Invalid")]
    {
        let question = Verification { pair: outward(), id: id.into(), key: key.into() };
        two.a.stream.verify(two.now, &question).expect("may");
        two.run();
        assert_eq!(
            two.a.told.pop().expect("an answer"),
            format!("verified example.com and sip.example.net {id}: {verdict}")
        );
    }
    assert!(two.b.stream.is_unproven());
}

#[test]
fn several_pairs_on_one_stream() {
    let rooms = "rooms.example.com";
    let mut two = two(|a, _, _| _ = a.local.insert(rooms.into(), Local::default()), [invalid(), Certificate::Valid]);
    let second = Pair::new(rooms, LOCAL);
    two.a.stream.prove(two.now, &second).expect("may");
    two.run();
    assert!(
        two.a.told.contains(&"ready rooms.example.com and sip.example.net by Dialback".to_owned()),
        "{:?}",
        two.a.told
    );
    for (token, pair) in [outward(), second].into_iter().enumerate() {
        let message = format!("<message from='x@{}' to='y@{LOCAL}' id='{token}'/>", pair.local);
        two.a.stream.send(two.now, &pair, message.as_bytes(), Some(token as u64)).expect("ready");
    }
    two.run();
    assert_eq!((two.b.got.len(), two.a.taken.len()), (2, 2));
    // Whoever sends for a third one is not who he says.
    two.a.wire.extend(b"<message from='x@other.example.com' to='y@sip.example.net' id='3'/>");
    two.run();
    assert!(two.a.told.iter().any(|t| t.contains("invalid-from")), "{:?}", two.a.told);
    assert_eq!(two.b.got.len(), 2);
}

#[test]
fn what_was_sent_before_the_end() {
    let mut two = two(|a, _, _| a.bidi = false, valid());
    two.answers_pings = false;
    two.send(1).expect("ready");
    two.run();
    // It has been acknowledged, if not answered.
    two.b.stream.close(two.now, Some(StreamError::new(crate::error::StreamCondition::SystemShutdown)));
    two.run();
    assert_eq!((two.a.taken.as_slice(), two.a.lost.len(), two.b.got.len()), (&[1][..], 0, 1));
    assert!(two.a.told.contains(&"down: the other side says system-shutdown".to_owned()), "{:?}", two.a.told);
}

/// What goes out can be read by anybody.
#[test]
fn idle_streams_stay() {
    let mut two = two(|_, _, _| (), valid());
    two.wait(secs(3600));
    assert!(two.a.stream.sends(&outward()) && two.b.stream.accepts(&pair()), "{:?} {:?}", two.a.told, two.b.told);
    assert!(two.now - two.a.stream.used() >= secs(3600), "but they are known to be idle");
    assert!(Element::parse(b"<x/>", &Limits::default()).is_ok());
}
