//! Both sides of a component stream against each other, and against chance.

use super::*;
use crate::error::StreamCondition;
use crate::ns;
use base::{Time, Tokens};
use proptest::prelude::*;
use xml::Element;

/// A component, a server, and what is between them.
struct Pair {
    component: Component,
    server: Server,
    now: Time,
    /// What they said that was not bytes.
    told: Vec<Output>,
    heard: Vec<ServerOutput>,
}

fn pair(domain: &str, secret: &str) -> Pair {
    let mut tokens = Tokens::seeded(3);
    let now = Time::ZERO;
    let mut component = Component::new(Config::new("sip.example.net", "s3cr3t"), tokens.fork(), now);
    let server = Server::new(domain, Secret::new(secret), Limits::default(), &mut tokens, now);
    assert_eq!(component.poll(), Some(Output::Connect));
    component.connected(now);
    Pair { component, server, now, told: Vec::new(), heard: Vec::new() }
}

impl Pair {
    /// Carries bytes both ways until nobody has any; the server sends pings back.
    fn run(&mut self) {
        loop {
            self.component.flushed(self.now);
            let mut quiet = true;
            while let Some(output) = self.component.poll() {
                quiet = false;
                match output {
                    Output::Bytes(bytes) => self.server.received(&bytes),
                    other => self.told.push(other),
                }
            }
            while let Some(output) = self.server.poll() {
                quiet = false;
                match output {
                    ServerOutput::Bytes(bytes) => self.component.received(self.now, &bytes),
                    ServerOutput::Stanza(s) if s.from == s.to => self.server.send(&s),
                    other => self.heard.push(other),
                }
            }
            if quiet {
                return;
            }
        }
    }
}

#[test]
fn a_stream_there_and_back() {
    let mut pair = pair("sip.example.net", "s3cr3t");
    pair.run();
    assert_eq!((&pair.told[..], &pair.heard[..]), (&[Output::Up][..], &[ServerOutput::Up][..]));
    let jid = |s| crate::jid::Jid::parse(s).expect("an address");
    let there = Stanza::message()
        .with_from(jid("romeo@sip.example.net"))
        .with_to(jid("juliet@example.com"))
        .with_child(Element::new("body", ns::CLIENT).with_text("<&>"));
    assert_eq!(pair.component.send(pair.now, &there.to_bytes(ns::COMPONENT_ACCEPT), Some(5)), Ok(()));
    pair.run();
    assert_eq!(
        (pair.told.pop(), pair.heard.pop()),
        (Some(Output::Taken(5)), Some(ServerOutput::Stanza(there.clone())))
    );
    let back = there.error(&crate::error::StanzaError::new(crate::error::Condition::ItemNotFound)).expect("an answer");
    pair.server.send(&back);
    pair.run();
    assert_eq!(pair.told.pop(), Some(Output::Stanza(back)));
    pair.component.shutdown(pair.now);
    pair.run();
    assert_eq!(pair.heard.pop(), Some(ServerOutput::Close(None)));
    assert_eq!(pair.told[1..], [Output::Close, Output::Down(DownReason::Shutdown)]);
}

#[test]
fn who_is_not_let_in() {
    for (domain, secret, condition) in [
        ("sip.example.net", "other", StreamCondition::NotAuthorized),
        ("other.example.net", "s3cr3t", StreamCondition::HostUnknown),
    ] {
        let mut pair = pair(domain, secret);
        pair.run();
        let error = StreamError::new(condition);
        assert_eq!(pair.heard, [ServerOutput::Close(Some(error.clone()))]);
        assert_eq!(pair.told, [Output::Close, Output::Down(DownReason::ServerError(error))]);
        // The operator may put it right: it tries again.
        pair.component.disconnected(pair.now);
        let at = pair.component.deadline().expect("another attempt");
        assert!(at <= Time::from_secs(1));
        pair.component.timeout(at);
        assert_eq!(pair.component.poll(), Some(Output::Connect));
    }
}

#[test]
fn what_the_server_does_not_take() {
    let header = "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='sip.example.net'>";
    let new =
        || Server::new("sip.example.net", Secret::new("s3cr3t"), Limits::default(), &mut Tokens::seeded(3), Time::ZERO);
    let outcome = |server: &mut Server| {
        let last = std::iter::from_fn(|| server.poll()).last();
        match last {
            Some(ServerOutput::Close(Some(e))) => e.condition.name(),
            Some(ServerOutput::Bytes(_)) => "bytes",
            _ => "nothing",
        }
    };
    for (sent, condition) in [
        (
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>".to_owned(),
            "invalid-namespace",
        ),
        ("<message/>".to_owned(), "invalid-namespace"),
        (format!("{header}<message from='a@sip.example.net' to='b@c'/>"), "not-authorized"),
        (format!("{header}<handshake/>"), "not-authorized"),
        (format!("{header}<a></b>"), "not-well-formed"),
        (header.to_owned(), "bytes"),
    ] {
        let mut server = new();
        server.received(sent.as_bytes());
        assert_eq!(outcome(&mut server), condition, "{sent}");
    }
    let up = || {
        let mut server = new();
        server.received(header.as_bytes());
        let proof = Secret::new("s3cr3t").proof(&Tokens::seeded(3).token(16));
        server.received(format!("<handshake>{proof}</handshake>").as_bytes());
        let all: Vec<_> = std::iter::from_fn(|| server.poll()).collect();
        assert!(matches!(all[..], [ServerOutput::Bytes(_), ServerOutput::Up]), "{all:?}");
        server
    };
    for (sent, condition) in [
        ("<message from='a@other.example.net' to='b@c'/>", "invalid-from"),
        ("<message from='@' to='b@c'/>", "invalid-from"),
        ("<message from='a@sip.example.net'/>", "improper-addressing"),
        ("<route/>", "unsupported-stanza-type"),
        ("<message from='a@sip.example.net' to='@'/>", "bytes"),
    ] {
        let mut server = up();
        server.received(sent.as_bytes());
        assert_eq!(outcome(&mut server), condition, "{sent}");
    }
    let mut server = new();
    assert_eq!(server.deadline(), Some(Time::from_secs(10)));
    server.timeout(Time::from_secs(9));
    assert_eq!(outcome(&mut server), "nothing");
    server.timeout(Time::from_secs(10));
    assert_eq!(outcome(&mut server), "connection-timeout");
    let mut server = up();
    assert_eq!(server.deadline(), None);
    server.close(Some(StreamError::new(StreamCondition::SystemShutdown)));
    server.close(None);
    assert_eq!(outcome(&mut server), "system-shutdown");
}

/// One thing that happens to a component.
#[derive(Clone, Debug)]
enum Step {
    Connected,
    Failed,
    Disconnected,
    Wait(u32),
    Send,
    Flush,
    Shutdown,
    Bytes(Vec<u8>),
    Answer(u8),
    /// The header and the handshake of a server.
    Open,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Connected),
        1 => Just(Step::Failed),
        1 => Just(Step::Disconnected),
        4 => (0..40_000_000u32).prop_map(Step::Wait),
        6 => Just(Step::Send),
        4 => Just(Step::Flush),
        1 => Just(Step::Shutdown),
        2 => proptest::collection::vec(any::<u8>(), 0..20).prop_map(Step::Bytes),
        2 => proptest::sample::select(vec!["<message from='a@b' to='c@d'/>", "<mess", "age/>", " ", "</stream:stream>", "<handshake/>"])
            .prop_map(|s| Step::Bytes(s.as_bytes().to_vec())),
        4 => (0..12u8).prop_map(Step::Answer),
        6 => Just(Step::Open),
    ]
}

proptest! {
    /// Whatever happens, each token gets one answer, and none is answered after the stream is told to be down.
    #[test]
    fn every_token_gets_one_answer(steps in proptest::collection::vec(step(), 0..80)) {
        let mut c = Component::new(Config::new("sip.example.net", "s3cr3t"), Tokens::seeded(1), Time::ZERO);
        let prefix = Tokens::seeded(1).token(16);
        let mut now = Time::ZERO;
        let (mut next, mut owed) = (0u64, Vec::new());
        let mut up = false;
        for step in steps {
            match step {
                Step::Connected => c.connected(now),
                Step::Failed => c.connect_failed(now),
                Step::Disconnected => c.disconnected(now),
                Step::Wait(micros) => {
                    now = now + Duration::from_micros(u64::from(micros));
                    c.timeout(now);
                }
                Step::Send => {
                    next += 1;
                    let sent = c.send(now, b"<message/>", Some(next));
                    prop_assert_eq!(sent.is_ok(), c.is_up());
                    owed.extend(sent.ok().map(|()| next));
                }
                Step::Flush => c.flushed(now),
                Step::Shutdown => c.shutdown(now),
                Step::Bytes(bytes) => c.received(now, &bytes),
                Step::Answer(n) => c.received(now, format!("<iq type='result' id='{prefix}{n}'/>").as_bytes()),
                Step::Open => {
                    c.received(now, b"<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' id='1'><handshake/>");
                }
            }
            while let Some(output) = c.poll() {
                match output {
                    Output::Taken(token) | Output::Lost(token) => {
                        let at = owed.iter().position(|t| *t == token);
                        prop_assert_eq!(at, Some(0), "in order, and once");
                        owed.remove(0);
                    }
                    Output::Up => up = true,
                    Output::Down(_) => {
                        prop_assert!(owed.is_empty());
                        up = false;
                    }
                    Output::Stanza(_) => prop_assert!(up),
                    _ => {}
                }
            }
            prop_assert!(c.is_up() <= up);
        }
        c.disconnected(now);
        while let Some(output) = c.poll() {
            if let Output::Lost(token) = output {
                owed.retain(|t| *t != token);
            }
        }
        prop_assert!(owed.is_empty());
    }
}
