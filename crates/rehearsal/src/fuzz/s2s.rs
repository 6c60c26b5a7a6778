//! A stream between servers, as its other end is heard.

use super::split;
use base::{Str, Time, Tokens};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use xml::{Limits, Reader};
use xmpp::stream::s2s::{
    Certificate, Config, Initiate, Local, Output, Pair, Proof, Purpose, Secret, Stream, Verdict, Verification,
};

const LOCAL: &str = "sip.example.net";
const REMOTE: &str = "example.com";

/// A stanza that the gateway sends.
const STANZA: &[u8] = b"<message from='a@sip.example.net' to='b@example.com'><body>x</body></message>";

/// A stream of either role. The first byte says which, whether it begins with TLS, what the certificate is worth and what the policy
/// is. A byte 1 to 8 in the data is an event: time passes, stanzas are sent, TLS stands, a key is verified, the connection ends.
///
/// What goes out is well-formed streams. Nothing is taken for a pair that is not proved as the policy has it, and nobody is asked
/// about a key but for a request; each token and each question has exactly one answer, and the stream one end.
pub fn s2s(data: &[u8]) {
    let (start, rest) = split(data);
    let bit = |n: u8| start & (1 << n) != 0;
    let mut config = Config::new([(Str::from(LOCAL), Local { certificate: true })], Secret::new(b"secret"));
    config.limits = Limits { stanza_bytes: 2000, skip_bytes: 4000, ..Limits::default() };
    config.rules.policy.require_tls = bit(4);
    config.rules.policy.require_certificate = bit(5);
    (config.bidi, config.sm) = (bit(6), bit(6));
    let config = Arc::new(config);
    let certificate = match (bit(2), bit(3)) {
        (true, _) => Certificate::Valid,
        (false, true) => Certificate::Invalid("expired".into()),
        (false, false) => Certificate::None,
    };
    let (tokens, pair) = (Tokens::seeded(u64::from(start)), Pair::new(LOCAL, REMOTE));
    let stream = if bit(0) {
        let purpose = if bit(7) { Purpose::Verification } else { Purpose::Stanzas };
        let initiate = Initiate { direct_tls: bit(1), purpose, ..Initiate::new(pair) };
        Stream::initiating(Arc::clone(&config), tokens, Time::ZERO, initiate)
    } else {
        Stream::receiving(Arc::clone(&config), tokens, Time::ZERO, bit(1))
    };
    let mut world = World {
        stream,
        config,
        certificate,
        now: Time::ZERO,
        reader: Reader::new(Limits::default()),
        begins_tls: false,
        accepted: BTreeSet::new(),
        keys: Vec::new(),
        questions: 0,
        open: BTreeSet::new(),
        sent: 0,
        is_down: false,
        is_gone: false,
    };
    world.drain();
    for piece in rest.split_inclusive(|b| (1..=8).contains(b)) {
        let (bytes, event) = match piece.split_last() {
            Some((event, bytes)) if (1..=8).contains(event) => (bytes, *event),
            _ => (piece, 0),
        };
        if !bytes.is_empty() && !world.is_gone {
            world.stream.received(world.now, bytes);
            world.drain();
        }
        world.happen(event);
    }
    world.stream.close(world.now, None);
    world.drain();
    for _ in 0..100 {
        world.happen(2);
    }
    assert!(world.is_down, "it has ended");
    assert!(world.open.is_empty(), "{} stanzas without an answer", world.open.len());
    assert_eq!(world.questions, 0, "questions without an answer");
    assert_eq!(world.stream.deadline(), None);
}

struct World {
    stream: Stream,
    config: Arc<Config>,
    certificate: Certificate,
    now: Time,
    /// Of what goes out on the present stream.
    reader: Reader,
    begins_tls: bool,
    accepted: BTreeSet<Pair>,
    /// What is to be verified.
    keys: Vec<Verification>,
    questions: usize,
    open: BTreeSet<u64>,
    sent: u64,
    is_down: bool,
    is_gone: bool,
}

impl World {
    fn happen(&mut self, event: u8) {
        match event {
            1 => self.pass(Duration::from_millis(300)),
            2 => self.pass(self.stream.deadline().map_or(Duration::ZERO, |at| at.since(self.now))),
            3 => {
                self.sent += 1;
                let pair = Pair::new(LOCAL, REMOTE);
                let may = self.stream.sends(&pair);
                let done = self.stream.send(self.now, &pair, STANZA, Some(self.sent));
                assert!(may || done.is_err(), "sent for a pair that is not ready");
                if done.is_ok() {
                    self.open.insert(self.sent);
                }
            }
            4 if std::mem::take(&mut self.begins_tls) && !self.is_gone => self.stream.secured(self.now),
            5 => self.gone(),
            6 => {
                if let Some(key) = self.keys.pop() {
                    self.stream.verified(self.now, &key.pair, Verdict::Valid);
                }
            }
            7 => {
                let other = Pair::new(LOCAL, "other.example");
                _ = self.stream.prove(self.now, &other);
                let question = Verification { pair: other, id: "i".into(), key: "k".into() };
                self.questions += usize::from(self.stream.verify(self.now, &question).is_ok());
            }
            8 => self.stream.close(self.now, None),
            _ => {}
        }
        self.drain();
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.stream.timeout(self.now);
    }

    fn gone(&mut self) {
        if !std::mem::replace(&mut self.is_gone, true) {
            self.stream.closed(self.now);
        }
    }

    fn drain(&mut self) {
        self.stream.flushed(self.now);
        while let Some(output) = self.stream.poll() {
            assert!(
                !self.is_down || matches!(output, Output::Close | Output::Abort),
                "{output:?} behind the end of the stream"
            );
            match output {
                Output::Bytes(bytes) => self.write(&bytes),
                Output::StartTls => self.begins_tls = true,
                Output::Judge(domain) => {
                    assert!(self.stream.is_secured(), "there is nothing to judge");
                    self.stream.judged(self.now, &domain, self.certificate.clone());
                }
                Output::Close | Output::Abort => self.gone(),
                Output::Ready { pair, .. } => assert_eq!(pair.local, LOCAL),
                Output::Accepts { pair, proof } => self.accept(pair, proof),
                Output::Refused { verdict, .. } => assert_ne!(verdict, Verdict::Valid),
                Output::Verify(key) => self.keys.push(key),
                Output::Verified { .. } => {
                    self.questions = self.questions.checked_sub(1).expect("an answer without a question");
                }
                Output::Stanza(stanza) => {
                    let (from, to) = (stanza.from.expect("from"), stanza.to.expect("to"));
                    assert!(self.accepted.contains(&Pair::new(to.domain(), from.domain())), "from {from} to {to}");
                }
                Output::Reply(stanza) => assert!(stanza.is_error() && stanza.to.is_some()),
                Output::Taken(token) | Output::Lost(token) => {
                    assert!(self.open.remove(&token), "two answers for one stanza");
                }
                Output::Down(_) => {
                    assert!(self.open.is_empty(), "a stanza outlived its stream");
                    assert_eq!(self.questions, 0, "a question outlived its stream");
                    self.is_down = true;
                }
                Output::CanVerify | Output::Fault(_) => {}
            }
        }
    }

    /// What a proof may rest on.
    fn accept(&mut self, pair: Pair, proof: Proof) {
        let policy = self.config.policy(&pair.remote);
        let secured = self.stream.is_secured();
        match proof {
            Proof::Certificate => assert!(secured && self.certificate == Certificate::Valid),
            Proof::Dialback => assert!(!policy.require_certificate && (secured || !policy.require_tls)),
        }
        assert!(pair.local == LOCAL && pair.remote != LOCAL, "{pair}");
        self.accepted.insert(pair);
    }

    fn write(&mut self, bytes: &[u8]) {
        const HEADER: &[u8] = b"<?xml";
        let mut rest = bytes;
        while !rest.is_empty() {
            let next = rest.windows(HEADER.len()).skip(1).position(|w| w == HEADER).map_or(rest.len(), |at| at + 1);
            let (piece, behind) = rest.split_at(next);
            if piece.starts_with(HEADER) {
                self.reader = Reader::new(Limits::default());
            }
            self.reader.push(piece);
            while self.reader.next().expect("what goes out is well-formed").is_some() {}
            rest = behind;
        }
    }
}
