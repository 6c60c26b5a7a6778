//! MSRP: streams in pieces, and an agent under a peer, a shell and a layer above that do anything in any order.

use super::split;
use ::base::{Time, Tokens};
use bytes::{Bytes, BytesMut};
use msrp::nickname::{MAX_NICKNAME, USE_NICKNAME, quote, unquote};
use msrp::{
    Advertised, Agent, Arrival, Config, ConnectionId, Decoder, Event, FailureReport, Fatal, Frame, Head, Hop, Host,
    Limits, MessageToken, Method, Outgoing, Output, Path, Peer, Refused, Request, RequestId, SessionId, Ticket, Tls,
    Way,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

const LIMITS: Limits = Limits { max_head: 1000, max_body: 2000 };

fn arrivals(pieces: &mut dyn Iterator<Item = &[u8]>, limits: Limits) -> (Vec<Result<Arrival, Fatal>>, usize) {
    let mut decoder = Decoder::new(limits);
    let mut out = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        out.extend(std::iter::from_fn(|| decoder.next()));
        let most = limits.max_head.max(limits.max_body) + 100;
        assert!(decoder.pending() <= most, "{} bytes are held", decoder.pending());
        assert!(decoder.is_inside_frame() || decoder.pending() == 0);
    }
    (out, decoder.pending())
}

/// A stream, in pieces whose length the first byte says: the same as in one piece, nothing behind what ends it, what is held is bounded. What
/// is read can be written, and read again; each answer can be read and says whom it answers.
pub fn msrp_framing(data: &[u8]) {
    let (cut, rest) = split(data);
    let whole = arrivals(&mut [rest].into_iter(), LIMITS);
    let pieces = arrivals(&mut rest.chunks(usize::from(cut % 64) + 1), LIMITS);
    assert_eq!(whole, pieces);
    let fatal = whole.0.iter().position(Result::is_err);
    assert!(fatal.is_none_or(|at| at + 1 == whole.0.len()), "something came behind the end");
    for arrival in whole.0.into_iter().flatten() {
        let _ = msrp::shard_of(&arrival);
        match arrival {
            Arrival::Frame(frame) => {
                let mut again = BytesMut::new();
                frame.encode(&mut again);
                let roomy = Limits { max_head: 1 << 16, max_body: 1 << 16 };
                assert_eq!(arrivals(&mut [again.as_ref()].into_iter(), roomy).0, [Ok(Arrival::Frame(frame.clone()))]);
                if let Frame::Request(request) = frame {
                    check_answer(&request.head());
                }
            }
            Arrival::TooLarge(request) => check_answer(&request.head()),
            Arrival::Malformed { answer, why } => {
                assert!(why.is_ascii());
                answer.iter().for_each(check_answer);
            }
        }
    }
}

fn check_answer(head: &Head) {
    let mut answer = BytesMut::new();
    head.encode_response(&mut answer, 400, "no\r\nX: y");
    let read = arrivals(&mut [answer.as_ref()].into_iter(), Limits { max_head: 1 << 16, max_body: 0 }).0;
    let [Ok(Arrival::Frame(Frame::Response(response)))] = read.as_slice() else { unreachable!("{read:?}") };
    assert_eq!((response.code, &response.transaction), (400, &head.transaction));
    assert_eq!(response.from.as_str(), head.to.first().as_str());
    assert!(response.headers.is_empty());
}

/// A nickname, and the value of a Use-Nickname. What is a nickname comes over the wire as it is, in one frame and one line; what reads as one is
/// written the same.
pub fn nickname(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(nickname) = unquote(&text) {
        assert!(nickname.len() <= MAX_NICKNAME && nickname.len() + 2 <= text.len());
        assert_eq!(quote(&nickname).as_deref(), Some(text.as_ref()), "there is one way to write it");
    }
    let sound = text.len() <= MAX_NICKNAME && !text.chars().any(|c| c.is_ascii_control() && c != '\t');
    let quoted = quote(&text);
    assert_eq!(quoted.is_some(), sound, "{text:?}");
    // Whatever the header says, it is one header, and what is in quotes is what was meant.
    let path = Path::parse(PEER).expect("a path");
    let mut request = Request::new("tid0", Method::Nickname, path.clone(), path);
    request.headers.push((USE_NICKNAME.into(), quoted.clone().unwrap_or_else(|| text.as_ref().into())));
    let mut wire = BytesMut::new();
    request.encode(&mut wire);
    let read = arrivals(&mut [wire.as_ref()].into_iter(), Limits { max_head: 1 << 20, max_body: 0 }).0;
    let [Ok(Arrival::Frame(Frame::Request(read)))] = read.as_slice() else { unreachable!("{read:?}") };
    assert_eq!((read.headers.len(), read.transaction.as_str()), (1, "tid0"));
    match read.nickname() {
        Some(Ok(nickname)) if quoted.is_some() => assert_eq!(nickname, text),
        Some(Ok(nickname)) => assert!(quote(&nickname).is_some()),
        Some(Err(_)) => assert!(quoted.is_none(), "{text:?}"),
        None => unreachable!("the header is there"),
    }
}

const PEER: &str = "msrp://192.0.2.10:2855/peer;tcp";
/// What follows the first byte of an event: how.
const STEP: usize = 6;

/// What is known of a session.
#[derive(Default)]
struct Known {
    ready: bool,
    closed: bool,
    /// Messages of ours that have not ended.
    unended: BTreeMap<String, usize>,
    /// Nicknames of ours without an answer, in their order.
    asked: VecDeque<RequestId>,
}

struct World<'a> {
    data: &'a [u8],
    step: &'a [u8],
    agent: Agent,
    now: Time,
    sessions: BTreeMap<SessionId, Known>,
    order: Vec<SessionId>,
    tickets: Vec<Ticket>,
    tokens: Vec<MessageToken>,
    /// How many sessions use a connection.
    uses: BTreeMap<ConnectionId, i32>,
    lost: BTreeSet<ConnectionId>,
    /// The last request of ours, for a peer that wants to answer.
    last: Option<Request>,
    messages: usize,
}

fn config(relay: bool) -> Config {
    let host = Host::Name("gw.example.com".into());
    let relay = relay.then(|| msrp::Relay {
        path: Path::parse("msrps://relay.example.com:2855;tcp").expect("a path"),
        hop: hop(),
        username: "gw".into(),
        password: "secret".into(),
    });
    Config {
        advertise: vec![Advertised { secure: false, host, port: 2855 }],
        max_size: 3000,
        max_partial_bytes: 4000,
        window: 2500,
        queue_bytes: 4000,
        max_held: 3,
        max_sessions: 3,
        methods: vec![Method::Nickname],
        relay,
        ..Config::default()
    }
}

fn hop() -> Hop {
    let tls = Tls { fingerprints: Vec::new(), name: "relay.example.com".into() };
    Hop { host: Host::Name("relay.example.com".into()), port: 2855, tls: Some(tls) }
}

/// Any sequence of events. Each message of ours ends once, nothing follows the end of a session, what is held is bounded, all that is written
/// can be read, and when everybody has gone nothing is left.
pub fn msrp_session(data: &[u8]) {
    let (kind, data) = split(data);
    let mut world = World {
        data,
        step: &[],
        agent: Agent::new(config(kind % 4 == 3), Tokens::seeded(1)),
        now: Time::from_secs(1),
        sessions: BTreeMap::new(),
        order: Vec::new(),
        tickets: Vec::new(),
        tokens: Vec::new(),
        uses: BTreeMap::new(),
        lost: BTreeSet::new(),
        last: None,
        messages: 0,
    };
    while !world.data.is_empty() {
        let length = STEP.min(world.data.len());
        world.step = world.data.split_off(..length).unwrap_or_default();
        world.happen();
        world.settle();
    }
    for id in world.order.clone() {
        world.agent.close(world.now, id);
        world.forget(id);
        world.settle();
    }
    let counts = world.agent.counts();
    assert_eq!((counts.sessions, counts.bound, counts.partial_bytes), (0, 0, 0));
    assert_eq!(world.agent.deadline(), None);
    assert!(world.uses.values().all(|uses| *uses == 0), "a connection is still in use");
}

impl World<'_> {
    fn byte(&mut self) -> u8 {
        let (byte, rest) = split(self.step);
        self.step = rest;
        byte
    }

    fn session(&mut self) -> Option<SessionId> {
        let n = usize::from(self.byte());
        (!self.order.is_empty()).then(|| self.order[n % self.order.len()])
    }

    fn connection(&mut self) -> ConnectionId {
        // What was lost does not come back: the next one has another number.
        let n = u64::from(self.byte() % 4);
        (0..).map(|round| ConnectionId(round * 4 + n)).find(|c| !self.lost.contains(c)).expect("there is always one")
    }

    fn happen(&mut self) {
        match self.byte() % 12 {
            0 => {
                if let Ok(id) = self.agent.open(self.now, false) {
                    assert!(self.sessions.insert(id, Known::default()).is_none(), "an id twice");
                    self.order.push(id);
                }
            }
            1 => {
                let Some(id) = self.session() else { return };
                let way = if self.byte().is_multiple_of(2) { Way::Passive } else { Way::Active(hop()) };
                let peer = Peer { path: Path::parse(PEER).expect("a path"), way, max_size: None };
                self.agent.begin(self.now, id, &peer);
            }
            2 => self.send(),
            3 => {
                let (which, code) = (usize::from(self.byte()), [200, 400, 413, 415][usize::from(self.byte() % 4)]);
                if !self.tokens.is_empty() {
                    let token = self.tokens[which % self.tokens.len()];
                    self.agent.answer(self.now, token, code, "words\r\n");
                }
            }
            4 => {
                let Some(id) = self.session() else { return };
                let (total, code) = (u64::from(self.byte()), u16::from(self.byte()) + 200);
                self.agent.report(self.now, id, "m123", total, code, "");
            }
            5 => {
                let Some(id) = self.session() else { return };
                self.agent.close(self.now, id);
                self.forget(id);
            }
            6 => {
                let which = usize::from(self.byte());
                let connection = (!self.byte().is_multiple_of(4)).then(|| self.connection());
                if !self.tickets.is_empty() {
                    let ticket = self.tickets.remove(which % self.tickets.len());
                    self.agent.opened(self.now, ticket, connection);
                }
            }
            7 => {
                let connection = self.connection();
                self.lost.insert(connection);
                self.uses.remove(&connection);
                self.agent.lost(self.now, connection);
            }
            8 => {
                self.now = self.now + Duration::from_secs(u64::from(self.byte()));
                self.agent.timeout(self.now);
                assert!(self.agent.deadline().is_none_or(|at| at > self.now), "something is overdue");
            }
            9 => self.answer_last(),
            10 => self.raw(),
            _ => self.chunk(),
        }
    }

    fn send(&mut self) {
        let Some(id) = self.session() else { return };
        let size = usize::from(self.byte()) * usize::from(self.byte() % 20);
        let how = self.byte();
        if how % 8 == 7 {
            return self.nickname(id, size);
        }
        self.messages += 1;
        let outgoing = Outgoing {
            // Now and then the same one again.
            message_id: how.is_multiple_of(5).then(|| "same".into()),
            content_type: "text/plain".into(),
            headers: vec![("X-A".into(), "b\r\nX-C: d".into())],
            body: Bytes::from(vec![how; size]),
            success_report: how.is_multiple_of(2),
            failure_report: [FailureReport::Yes, FailureReport::Partial, FailureReport::No][usize::from(how % 3)],
        };
        let known = self.sessions.get_mut(&id).expect("a session that was opened");
        match self.agent.send(self.now, id, outgoing) {
            Ok(message_id) => *known.unended.entry(message_id.to_string()).or_default() += 1,
            Err(Refused::Gone) => assert!(known.closed),
            Err(Refused::Full) => assert!(!known.closed),
            Err(Refused::TooLarge | Refused::Malformed) => unreachable!("nobody said how large"),
        }
    }

    fn nickname(&mut self, id: SessionId, size: usize) {
        let nickname = "\"й\t".repeat(size / 4);
        let known = self.sessions.get_mut(&id).expect("a session that was opened");
        match self.agent.nickname(self.now, id, &nickname) {
            Ok(request) => known.asked.push_back(request),
            Err(Refused::Gone) => assert!(known.closed),
            Err(Refused::Full) => assert!(known.asked.len() >= 8),
            Err(Refused::Malformed) => assert!(nickname.len() > MAX_NICKNAME),
            Err(Refused::TooLarge) => unreachable!("it is malformed"),
        }
    }

    /// Whatever the rest of the input is, over a connection of its own.
    fn raw(&mut self) {
        let connection = self.connection();
        let length = (usize::from(self.byte()) * 4).min(self.data.len());
        let text = self.data.split_off(..length).unwrap_or_default().to_vec();
        self.receive(connection, &text);
    }

    /// A chunk to a session of ours, or nearly.
    fn chunk(&mut self) {
        let (id, connection) = (self.session(), self.connection());
        let (start, size, how) = (self.byte(), usize::from(self.byte()), self.byte());
        let Some(own) = id.and_then(|id| self.agent.local_path(id)) else { return };
        let own = own.last().to_string();
        let from = if how % 16 == 15 { "msrp://192.0.2.10:2855/beer;tcp" } else { PEER };
        let flag = ['$', '+', '+', '#'][usize::from(how % 4)];
        let report = ["", "Failure-Report: partial\r\n", "Failure-Report: no\r\nSuccess-Report: yes\r\n"]
            [usize::from(how / 4 % 3)];
        let total = if (how / 16).is_multiple_of(2) { "*".to_owned() } else { (usize::from(start) + size).to_string() };
        let method = ["SEND", "SEND", "SEND", "REPORT", "NICKNAME", "AUTH"][usize::from(how / 32 % 6)];
        let status = if method == "REPORT" { "Status: 000 200 OK\r\n" } else { "" };
        let id = if how.is_multiple_of(5) { "same" } else { "m123" };
        let text = format!(
            "MSRP tida {method}\r\nTo-Path: {own}\r\nFrom-Path: {from}\r\nMessage-ID: {id}\r\nByte-Range: {}-*/{total}\r\n{report}{status}\
             Content-Type: text/plain\r\n\r\n{}\r\n-------tida{flag}\r\n",
            u64::from(start) + 1,
            "x".repeat(size),
        );
        self.receive(connection, text.as_bytes());
    }

    /// An answer to the last request of ours, good or bad.
    fn answer_last(&mut self) {
        let connection = self.connection();
        let (code, how) = ([200, 401, 408, 413, 481, 506][usize::from(self.byte() % 6)], self.byte());
        let Some(request) = &self.last else { return };
        let more = match how % 3 {
            0 => "",
            1 => "Use-Path: msrps://relay.example.com:2855/x;tcp\r\nExpires: 60\r\n",
            _ => "WWW-Authenticate: Digest realm=\"r\", qop=\"auth\", nonce=\"n\"\r\n",
        };
        let (tid, to, from) = (&request.transaction, &request.from, &request.to);
        let text = format!("MSRP {tid} {code} x\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\n{more}-------{tid}$\r\n");
        self.receive(connection, text.as_bytes());
    }

    fn receive(&mut self, connection: ConnectionId, text: &[u8]) {
        let mut decoder = Decoder::new(LIMITS);
        decoder.push(text);
        while let Some(Ok(arrival)) = decoder.next() {
            self.agent.received(self.now, connection, arrival);
            self.settle();
        }
    }

    /// A session that we ended: nothing of it comes any more.
    fn forget(&mut self, id: SessionId) {
        let known = self.sessions.get_mut(&id).expect("a session that was opened");
        known.closed = true;
        known.unended.clear();
        known.asked.clear();
    }

    fn settle(&mut self) {
        while let Some(output) = self.agent.poll() {
            match output {
                Output::Write { connection, bytes } => {
                    assert!(!self.lost.contains(&connection), "written to what is lost");
                    for arrival in arrivals(&mut [bytes.as_ref()].into_iter(), Limits::default()).0 {
                        match arrival.expect("what we write is MSRP") {
                            Arrival::Frame(Frame::Request(request)) => {
                                assert!(
                                    request.method != Method::Nickname || matches!(request.nickname(), Some(Ok(_)))
                                );
                                self.last = Some(request);
                            }
                            Arrival::Frame(Frame::Response(_)) => {}
                            other => unreachable!("we wrote {other:?}"),
                        }
                    }
                }
                Output::Open { ticket, .. } => self.tickets.push(ticket),
                Output::Bind { connection } => {
                    assert!(!self.lost.contains(&connection), "bound to what is lost");
                    *self.uses.entry(connection).or_default() += 1;
                }
                Output::Release { connection } => {
                    let uses = self.uses.get_mut(&connection).expect("a connection in use");
                    *uses -= 1;
                    assert!(*uses >= 0);
                }
                Output::Event(event) => self.event(event),
            }
        }
        let counts = self.agent.counts();
        assert!(counts.partial_bytes <= 4000 && counts.sessions <= 3 && counts.bound <= counts.sessions);
    }

    fn event(&mut self, event: Event) {
        let known = self.sessions.get_mut(&event.id()).expect("a session that was opened");
        assert!(!known.closed, "behind the end: {event:?}");
        let last_words = matches!(event, Event::Closed { .. } | Event::Failed { .. } | Event::Answered { .. });
        assert!(known.ready || last_words || matches!(event, Event::Ready { .. }));
        match event {
            Event::Ready { .. } => known.ready = true,
            Event::Message { token, message, .. } => {
                assert!(message.body.len() <= 3000);
                self.tokens.push(token);
            }
            Event::Request { token, request, .. } => {
                assert!(request.method == Method::Nickname && request.nickname().is_none());
                self.tokens.push(token);
            }
            Event::Answered { request, .. } => {
                assert_eq!(known.asked.pop_front(), Some(request), "each is answered once, in their order");
            }
            Event::Sent { message_id, .. } | Event::Failed { message_id, .. } => {
                let left = known.unended.get_mut(message_id.as_str()).expect("a message that has not ended");
                *left = left.checked_sub(1).expect("a message ends once");
            }
            Event::Report { from, to, total, .. } => assert!(from >= 1 && to <= total),
            Event::Closed { .. } => {
                known.closed = true;
                assert!(known.unended.values().all(|left| *left == 0), "each message has ended before");
                assert!(known.asked.is_empty(), "each nickname was answered before");
            }
            Event::Up { .. } => {}
        }
    }
}
