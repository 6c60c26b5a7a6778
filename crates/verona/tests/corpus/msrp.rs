//! `msrp`: each case is a connection to a session whose other end is known. What is decided here needs no sockets: a decoder, an agent,
//! and a layer above that takes every message and no nickname.

use crate::table::{Case, cases, corpus};
use base::{Time, Tokens};
use msrp::{
    Advertised, Agent, Arrival, Config, ConnectionId, Decoder, End, Event, Frame, Host, Limits, Method, Output, Path,
    Peer, SessionId, Way,
};
use std::time::Duration;

const OWN: &str = "s3ss10n";
const PEER: &str = "msrp://192.0.2.10:2855/peer;tcp";
const MAX: usize = 1 << 20;

/// What must become of each: the answers, `report` for a REPORT and `close`, and the messages that go up.
const CASES: &[(&str, &str, &[&[u8]])] = &[
    ("ok-send", "200", &[b"Hi"]),
    ("ok-empty-send", "200", &[]),
    ("ok-chunks", "200+200", &[b"Hello"]),
    ("ok-chunks-swapped", "200+200", &[b"Hello"]),
    ("ok-star-range", "200", &[b"Hi"]),
    ("ok-abort", "200", &[]),
    ("ok-body-has-dashes", "200", &[b"-------a786hjs\r\nx"]),
    ("ok-cpim", "200", &[b"From: <sip:a@b>\r\nTo: <sip:c@d>\r\n\r\nContent-Type: text/plain\r\n\r\nhi"]),
    // The second frame has no paths: there is nobody to answer to.
    ("endline-in-body", "200+close", &[b"x"]),
    // A body that goes on and on: the shell's timer ends it.
    ("endline-wrong-tid", "close", &[]),
    ("endline-no-flag", "close", &[]),
    ("start-no-tid", "close", &[]),
    ("tid-short", "close", &[]),
    ("tid-33", "close", &[]),
    ("tid-64k", "close", &[]),
    ("tid-bad-char", "close", &[]),
    ("method-unknown", "501", &[]),
    ("method-lower", "400", &[]),
    ("no-to-path", "close", &[]),
    ("to-path-case", "481", &[]),
    ("to-path-two-uris", "481", &[]),
    ("to-path-no-session", "481", &[]),
    ("from-path-other", "481", &[]),
    ("second-conn-hijack", "506", &[]),
    // A password has no place in a URI (RFC 4975 §6), but userinfo is not compared.
    ("path-userinfo", "200", &[b"Hi"]),
    ("mid-crlf", "400", &[]),
    ("dup-to-path", "400", &[]),
    ("br-start-0", "400", &[]),
    ("br-2p64", "400", &[]),
    ("br-total-4g", "413", &[]),
    ("br-hole", "413+413", &[]),
    ("br-overlap", "200+200", &[b"aXYZ"]),
    ("br-body-longer", "400", &[]),
    ("ct-nul-body", "200", &[b"a\0\x01b"]),
    ("hdr-folded", "400", &[]),
    ("lf-only", "close", &[]),
    ("resp-stray", "none", &[]),
    ("resp-bad-code", "none", &[]),
    ("report-stray", "none", &[]),
    ("report-bad-status", "none", &[]),
    // RFC 4975 §7.1.4: with Failure-Report `partial` there is no 200. The table wants one all the same.
    ("success-report-flood", "report", &[b"Hi"]),
    ("nickname-crlf", "400", &[]),
    ("nickname-dup", "425", &[]),
    ("nickname-bidi", "424", &[]),
    ("http", "close", &[]),
    ("half-frame", "close", &[]),
    // Nobody has spoken: the session ends, and the shell closes what is nobody's.
    ("silence", "close", &[]),
];

/// Whether an outcome is one of those in a cell.
fn fits(outcome: &str, cell: &str) -> bool {
    let one = |word: &str| match word.trim() {
        "200 then 400/close" => outcome == "200+close",
        "200 + one REPORT" => outcome == "report",
        word => word == outcome || outcome.split('+').all(|code| code == word),
    };
    cell.split('|').any(one)
}

/// The gateway's end.
struct World {
    agent: Agent,
    now: Time,
    /// Of the session that ended last.
    end: Option<End>,
}

impl World {
    fn session(&mut self) -> (SessionId, String) {
        let id = self.agent.open(self.now, false).unwrap();
        let own = self.agent.local_path(id).unwrap().first().session_id().unwrap().to_owned();
        let peer = Peer { path: Path::parse(PEER).unwrap(), way: Way::Passive, max_size: None };
        self.agent.begin(self.now, id, &peer);
        (id, own)
    }

    /// Takes what comes out: answers and reports, and the messages.
    fn drain(&mut self, outcome: &mut Vec<String>, messages: &mut Vec<Vec<u8>>) {
        while let Some(output) = self.agent.poll() {
            match output {
                Output::Write { bytes, .. } => {
                    let mut decoder = Decoder::new(Limits::default());
                    decoder.push(&bytes);
                    while let Some(arrival) = decoder.next() {
                        match arrival.unwrap() {
                            Arrival::Frame(Frame::Response(response)) => outcome.push(response.code.to_string()),
                            Arrival::Frame(Frame::Request(request)) => {
                                assert_eq!(request.method, Method::Report);
                                outcome.push("report".to_owned());
                            }
                            other => panic!("we wrote {other:?}"),
                        }
                    }
                }
                Output::Event(Event::Message { id, token, message }) => {
                    self.agent.answer(self.now, token, 200, "");
                    if message.success_report {
                        let total = message.body.len().try_into().unwrap();
                        self.agent.report(self.now, id, &message.message_id, total, 200, "");
                    }
                    messages.push(message.body.to_vec());
                }
                Output::Event(Event::Request { token, request, .. }) => {
                    let taken = request.header("Use-Nickname") == Some("\"juliet\"");
                    self.agent.answer(self.now, token, if taken { 425 } else { 424 }, "");
                }
                Output::Event(Event::Closed { why, .. }) => self.end = Some(why),
                Output::Event(Event::Ready { .. } | Event::Up { .. }) | Output::Bind { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// One connection to a session of its own.
    fn play(&mut self, case: &Case, connection: ConnectionId) -> (String, Vec<Vec<u8>>) {
        let (mut outcome, mut messages) = (vec![], vec![]);
        let (id, own) = self.session();
        if case.name == "second-conn-hijack" {
            let first = format!(
                "MSRP first SEND\r\nTo-Path: msrp://gw.example.com:2855/{own};tcp\r\nFrom-Path: {PEER}\r\n-------first$\r\n"
            );
            self.receive(first.as_bytes(), ConnectionId(1_000_000), &mut outcome, &mut messages);
            assert_eq!(outcome, ["200"]);
            outcome.clear();
        }
        let bytes = replaced(&replaced(&case.bytes, OWN, &own), &OWN.to_uppercase(), &own.to_uppercase());
        let closed = self.receive(&bytes, connection, &mut outcome, &mut messages);
        assert!(self.agent.counts().partial_bytes <= 16, "{}: nothing is held of what is not there", case.name);
        if case.bytes.is_empty() {
            self.now = self.now + Duration::from_secs(30);
            self.agent.timeout(self.now);
            self.drain(&mut outcome, &mut messages);
            assert_eq!(self.end.take(), Some(End::NotBound));
            outcome.push("close".to_owned());
        } else if closed {
            outcome.push("close".to_owned());
        }
        if outcome.is_empty() {
            outcome.push("none".to_owned());
        }
        self.agent.close(self.now, id);
        while self.agent.poll().is_some() {}
        (outcome.join("+"), messages)
    }

    /// Whether the connection is closed: at once, or because of a frame that does not end.
    fn receive(&mut self, bytes: &[u8], on: ConnectionId, outcome: &mut Vec<String>, up: &mut Vec<Vec<u8>>) -> bool {
        let limits = Limits { max_head: 8192, max_body: MAX };
        let mut decoder = Decoder::new(limits);
        for piece in bytes.chunks(1000) {
            decoder.push(piece);
            while let Some(arrival) = decoder.next() {
                let Ok(arrival) = arrival else { return true };
                self.agent.received(self.now, on, arrival);
                self.drain(outcome, up);
            }
            assert!(decoder.pending() < 10_000);
        }
        decoder.is_inside_frame()
    }
}

fn replaced(bytes: &[u8], what: &str, with: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(what.len()).position(|window| window == what.as_bytes()) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(with.as_bytes());
        rest = &rest[at + what.len()..];
    }
    out.extend_from_slice(rest);
    out
}

#[test]
fn msrp_connections_if_the_corpus_is_there() {
    let Some(corpus) = corpus() else { return };
    let config = Config {
        advertise: vec![Advertised { secure: false, host: Host::Name("gw.example.com".into()), port: 2855 }],
        max_size: MAX,
        methods: vec![Method::Nickname],
        ..Config::default()
    };
    let mut world = World { agent: Agent::new(config, Tokens::seeded(1)), now: Time::from_secs(1), end: None };
    let mut problems = Vec::new();
    let cases = cases(&corpus.join("msrp"));
    let baseline = cases.iter().find(|case| case.name == "ok-send").unwrap();
    let mut connection = 0;
    for case in &cases {
        connection += 2;
        let (outcome, messages) = world.play(case, ConnectionId(connection));
        let wanted = CASES.iter().find(|(name, ..)| *name == case.name);
        if wanted.is_none_or(|(_, wanted, bodies)| {
            (*wanted, bodies.to_vec()) != (&*outcome, messages.iter().map(Vec::as_slice).collect())
        }) {
            problems.push(format!("{}: {outcome} {messages:?}", case.name));
        }
        if !fits(&outcome, case.row.get("expect")) {
            problems.push(format!("{}: {outcome} in place of {}", case.name, case.row.get("expect")));
        }
        let served = world.play(baseline, ConnectionId(connection + 1));
        assert_eq!(served, ("200".to_owned(), vec![b"Hi".to_vec()]), "behind {}", case.name);
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert_eq!(cases.len(), CASES.len());
    assert_eq!(world.agent.counts().sessions, 0);
}
