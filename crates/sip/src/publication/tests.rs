//! The engine, from outside: each test states what comes in and everything that goes out.

use super::*;
use crate::agent::{self, Flow, Output, Target, Transport};
use crate::limits::Limits;
use crate::parse::parse_datagram;
use crate::uri::Host;
use bytes::Bytes;
use std::net::SocketAddr;

const PROXY: &str = "192.0.2.10:5060";

/// An engine on an agent, and the time.
struct Desk {
    agent: Agent,
    engine: Publications,
    tokens: Tokens,
    now: Time,
    way: bool,
    /// What is given when a document is wanted.
    document: Option<&'static str>,
    /// Answers `RefreshDue` by itself.
    refreshes: bool,
    sent: Vec<String>,
    ended: Vec<PublicationId>,
    seen: BTreeSet<ClientId>,
}

impl Desk {
    fn new() -> Desk {
        Desk::with(Config::default(), 100)
    }

    fn with(config: Config, max_client: usize) -> Desk {
        let host = Host::parse("gw.example.com").expect("a host");
        let mut tokens = Tokens::seeded(1);
        let agent = agent::Config { sent_by: vec![(Transport::Udp, host, None)], max_client, ..Default::default() };
        Desk {
            agent: Agent::new(agent, tokens.fork()),
            engine: Publications::new(config, HashKey::new(1, 2)),
            tokens,
            now: Time::from_secs(1000),
            way: true,
            document: Some("<presence/>"),
            refreshes: true,
            sent: Vec::new(),
            ended: Vec::new(),
            seen: BTreeSet::new(),
        }
    }

    fn act<R>(&mut self, act: impl FnOnce(&mut Publications, &mut Ground<'_>) -> R) -> R {
        let hop = Target::new(Transport::Udp, PROXY.parse().expect("an address")).into();
        let way = self.way.then_some(Way { hop, route: Some("<sip:proxy.example.com;lr>".into()) });
        let mut ground = Ground { now: self.now, agent: &mut self.agent, way, tokens: &mut self.tokens };
        act(&mut self.engine, &mut ground)
    }

    fn drain(&mut self) {
        loop {
            if let Some(event) = self.engine.poll() {
                match event {
                    Event::Wanted { id } => match self.document {
                        Some(text) => {
                            let body = Body {
                                content_type: "application/pidf+xml",
                                language: Some("en"),
                                content: Bytes::from_static(text.as_bytes()),
                            };
                            self.act(|engine, ground| engine.publish(ground, id, body));
                        }
                        None => self.act(|engine, ground| engine.skip(ground, id)),
                    },
                    Event::RefreshDue { id } if self.refreshes => {
                        self.act(|engine, ground| engine.refresh(ground, id));
                    }
                    Event::RefreshDue { .. } => {}
                    Event::Ended { id } => self.ended.push(id),
                }
            } else if let Some(output) = self.agent.poll() {
                match output {
                    Output::Send { bytes, client: Some(client), .. } if self.seen.insert(client) => {
                        self.sent.push(String::from_utf8(bytes.to_vec()).expect("text"));
                    }
                    Output::Send { .. } => {}
                    Output::Response { id, response } => {
                        assert!(self.act(|engine, ground| engine.response(ground, id, &response)));
                    }
                    Output::Failed { id, .. } => assert!(self.act(|engine, ground| engine.failed(ground, id))),
                    other => panic!("{other:?}"),
                }
            } else {
                return;
            }
        }
    }

    fn open(&mut self) -> PublicationId {
        let address = Uri::parse("sip:juliet@example.com").expect("a URI");
        let id = self.act(|engine, ground| engine.open(ground, "presence", address, 3600)).expect("room");
        self.touch(id);
        id
    }

    fn touch(&mut self, id: PublicationId) {
        self.act(|engine, ground| engine.touch(ground, id));
        self.drain();
    }

    fn close(&mut self, id: PublicationId) {
        self.act(|engine, ground| engine.close(ground, id));
        self.drain();
    }

    /// The one request that was sent: operation as table 1 has it, entity-tag, Expires.
    fn request(&mut self) -> String {
        assert_eq!(self.sent.len(), 1, "{:#?}", self.sent);
        self.sent.remove(0)
    }

    fn gist(&mut self) -> (&'static str, String, String) {
        let request = self.request();
        assert!(request.starts_with("PUBLISH sip:juliet@example.com SIP/2.0\r\n"), "{request}");
        let header = |name: &str| {
            let line = request.lines().find(|line| line.starts_with(&format!("{name}: ")));
            line.map(|line| line[name.len() + 2..].to_owned()).unwrap_or_default()
        };
        let body = request.ends_with("\r\n\r\n<presence/>");
        let (etag, expires) = (header("SIP-If-Match"), header("Expires"));
        let operation = match (body, etag.is_empty(), expires == "0") {
            (true, true, false) => "initial",
            (false, false, false) => "refresh",
            (true, false, false) => "modify",
            (false, false, true) => "remove",
            _ => panic!("no operation of table 1: {request}"),
        };
        self.sent.push(request);
        (operation, etag, expires)
    }

    /// Tells the gist of the one request that was sent, and answers it.
    fn exchange(&mut self, status: &str, headers: &str) -> (&'static str, String, String) {
        let gist = self.gist();
        let request = self.request();
        self.answer(&request, status, headers);
        gist
    }

    fn answer(&mut self, request: &str, status: &str, headers: &str) {
        let echoed = ["Via", "From", "To", "Call-ID", "CSeq"];
        let lines = request.lines().filter(|line| echoed.iter().any(|name| line.starts_with(&format!("{name}: "))));
        let head: String = lines.map(|line| format!("{line}\r\n")).collect();
        let headers: String = headers.lines().map(|line| format!("{}\r\n", line.trim())).collect();
        let text = format!("SIP/2.0 {status}\r\n{head}{headers}Content-Length: 0\r\n\r\n");
        let message = parse_datagram(&Bytes::from(text), &Limits::default()).expect("a message");
        let local: SocketAddr = "198.51.100.1:5060".parse().expect("an address");
        let remote = PROXY.parse().expect("an address");
        let flow = Flow { transport: Transport::Udp, local, remote, connection: None };
        self.agent.received(self.now, message, flow);
        self.drain();
    }

    /// Lets time pass from deadline to deadline.
    fn wait(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(at) =
            [self.agent.deadline(), self.engine.deadline()].into_iter().flatten().min().filter(|at| *at <= end)
        {
            self.now = at.max(self.now);
            self.agent.timeout(self.now);
            self.drain();
            self.act(Publications::timeout);
            self.drain();
        }
        self.now = end;
    }

    /// Lets time pass until something is sent, so many seconds at most.
    fn until(&mut self, seconds: u64) {
        for _ in 0..seconds {
            if self.sent.is_empty() {
                self.wait(1);
            }
        }
    }

    fn silence(&self) {
        assert!(self.sent.is_empty(), "{:#?}", self.sent);
    }
}

fn gist(operation: &'static str, etag: &str, expires: &str) -> (&'static str, String, String) {
    (operation, etag.to_owned(), expires.to_owned())
}

#[test]
fn the_first_request_has_all_it_needs() {
    let mut desk = Desk::new();
    desk.open();
    let request = desk.request();
    for line in [
        "PUBLISH sip:juliet@example.com SIP/2.0",
        "Max-Forwards: 70",
        "Route: <sip:proxy.example.com;lr>",
        "To: <sip:juliet@example.com>",
        "CSeq: 1 PUBLISH",
        "Event: presence",
        "Expires: 3600",
        "Content-Type: application/pidf+xml",
        "Content-Language: en",
    ] {
        assert!(request.lines().any(|l| l == line), "{line}\n{request}");
    }
    assert!(request.contains("\r\nFrom: <sip:juliet@example.com>;tag="));
    assert!(!request.contains("Contact"));
}

#[test]
fn create_refresh_modify_remove() {
    let mut desk = Desk::new();
    let id = desk.open();
    assert_eq!(desk.exchange("200 OK", "SIP-ETag: a1\nExpires: 1800"), gist("initial", "", "3600"));
    // §4.3: before its time is over, at a moment that differs.
    desk.wait(1800 * 7 / 10 - 1);
    desk.silence();
    desk.until(1800 * 2 / 10 + 2);
    assert_eq!(desk.exchange("200 OK", "SIP-ETag: a2\nExpires: 1800"), gist("refresh", "a1", "3600"));
    desk.wait(60);
    desk.touch(id);
    assert_eq!(desk.exchange("200 OK", "SIP-ETag: a3"), gist("modify", "a2", "3600"));
    desk.close(id);
    assert_eq!(desk.exchange("200 OK", "SIP-ETag: a4\nExpires: 0"), gist("remove", "a3", "0"));
    assert_eq!(desk.ended, [id]);
    assert_eq!(desk.engine.counts(), Counts { requests: 4, failures: 0, open: 0 });
    desk.wait(10_000);
    desk.silence();
}

#[test]
fn one_request_at_a_time_and_not_too_many() {
    let mut desk = Desk::new();
    let id = desk.open();
    let first = desk.request();
    // §4.1: not before the answer; and what changes meanwhile becomes one document.
    desk.touch(id);
    desk.touch(id);
    desk.silence();
    desk.answer(&first, "200 OK", "SIP-ETag: a");
    desk.touch(id);
    desk.silence();
    desk.wait(5);
    assert_eq!(desk.exchange("200 OK", "SIP-ETag: b"), gist("modify", "a", "3600"));
    desk.wait(60);
    desk.silence();
}

#[test]
fn one_that_ends_while_it_begins_is_removed() {
    let mut desk = Desk::new();
    let id = desk.open();
    let first = desk.request();
    desk.close(id);
    desk.silence();
    desk.answer(&first, "200 OK", "SIP-ETag: a");
    assert_eq!(desk.exchange("200 OK", "SIP-ETag: b"), gist("remove", "a", "0"));
    assert_eq!(desk.ended, [id]);
    // Nothing was published: nothing is to be removed.
    let id = desk.open();
    let first = desk.request();
    desk.close(id);
    desk.answer(&first, "403 Forbidden", "");
    desk.silence();
    assert_eq!(desk.ended.last(), Some(&id));
}

#[test]
fn one_that_comes_back_while_it_ends_is_created_anew() {
    let mut desk = Desk::new();
    let id = desk.open();
    desk.exchange("200 OK", "SIP-ETag: a");
    desk.close(id);
    let removal = desk.request();
    desk.touch(id);
    desk.silence();
    desk.answer(&removal, "200 OK", "SIP-ETag: b");
    desk.wait(5);
    assert_eq!(desk.exchange("200 OK", "SIP-ETag: c"), gist("initial", "", "3600"));
    assert!(desk.ended.is_empty());
}

#[test]
fn a_name_that_is_void_is_forgotten() {
    // §5, 412: to a refresh, a change, a removal.
    let mut desk = Desk::new();
    let id = desk.open();
    desk.exchange("200 OK", "SIP-ETag: a\nExpires: 100");
    desk.until(91);
    assert_eq!(desk.exchange("412 Conditional Request Failed", ""), gist("refresh", "a", "3600"));
    assert_eq!(desk.exchange("200 OK", "SIP-ETag: b"), gist("initial", "", "3600"));
    desk.wait(10);
    desk.touch(id);
    assert_eq!(desk.exchange("412 Conditional Request Failed", ""), gist("modify", "b", "3600"));
    assert_eq!(desk.exchange("200 OK", "SIP-ETag: c"), gist("initial", "", "3600"));
    desk.close(id);
    assert_eq!(desk.exchange("412 Conditional Request Failed", ""), gist("remove", "c", "0"));
    assert_eq!((desk.ended.as_slice(), desk.engine.counts().failures), ([id].as_slice(), 0));
    // To one without a name it means nothing.
    desk.open();
    assert_eq!(desk.exchange("412 Conditional Request Failed", ""), gist("initial", "", "3600"));
    desk.wait(60);
    desk.silence();
}

#[test]
fn too_brief_is_made_longer_once() {
    let mut desk = Desk::new();
    desk.open();
    assert_eq!(desk.exchange("423 Interval Too Brief", "Min-Expires: 7200"), gist("initial", "", "3600"));
    assert_eq!(desk.exchange("200 OK", "SIP-ETag: a\nExpires: 7200"), gist("initial", "", "7200"));
    desk.until(6481);
    assert_eq!(desk.exchange("423 Interval Too Brief", "Min-Expires: 8000"), gist("refresh", "a", "7200"));
    assert_eq!(desk.exchange("423 Interval Too Brief", "Min-Expires: 9000"), gist("refresh", "a", "8000"));
    assert_eq!(desk.engine.counts().failures, 1);
    // For longer than we want, or without a number, it is a refusal like others.
    for headers in ["Min-Expires: 86401", "", "Min-Expires: 3600"] {
        let mut desk = Desk::new();
        desk.open();
        desk.exchange("423 Interval Too Brief", headers);
        desk.wait(60);
        desk.silence();
    }
}

#[test]
fn what_fails_is_tried_again_later_and_later() {
    let mut desk = Desk::new();
    let id = desk.open();
    let mut waits = Vec::new();
    for _ in 0..10 {
        desk.exchange("503 Service Unavailable", "");
        let since = desk.now;
        // A change makes it no faster.
        desk.touch(id);
        desk.silence();
        desk.until(5000);
        waits.push((desk.now - since).as_secs());
    }
    for (wait, least) in waits.iter().zip([30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]) {
        assert!((least..=least * 5 / 4 + 1).contains(wait), "{waits:?}");
    }
    desk.exchange("200 OK", "SIP-ETag: a");
    desk.wait(5);
    desk.touch(id);
    desk.exchange("503 Service Unavailable", "Retry-After: 600");
    desk.wait(599);
    desk.silence();
    desk.until(151);
    assert_eq!(desk.gist(), gist("modify", "a", "3600"));
}

#[test]
fn what_stays_refused_is_tried_hourly() {
    for status in ["403 Forbidden", "404 Not Found", "405 No", "407 Who", "489 Bad Event", "501 No", "302 There"] {
        let mut desk = Desk::new();
        desk.open();
        desk.exchange(status, "");
        desk.wait(3599);
        desk.silence();
        desk.until(902);
        assert_eq!(desk.gist().0, "initial", "{status}");
    }
}

#[test]
fn a_compositor_that_is_silent_or_cannot_be_reached() {
    let mut desk = Desk::new();
    let id = desk.open();
    desk.request();
    desk.wait(32 + 38 + 1);
    assert_eq!(desk.exchange("200 OK", "SIP-ETag: a\nExpires: 200"), gist("initial", "", "3600"));
    // A refresh that fails until the time is over: then it is created anew.
    desk.until(181);
    assert_eq!(desk.exchange("500 No", ""), gist("refresh", "a", "3600"));
    desk.wait(40);
    assert_eq!(desk.exchange("200 OK", "SIP-ETag: b"), gist("initial", "", "3600"));
    desk.way = false;
    desk.wait(5);
    desk.touch(id);
    desk.silence();
    desk.way = true;
    desk.wait(40);
    assert_eq!(desk.exchange("200 OK", "SIP-ETag: c"), gist("modify", "b", "3600"));
    // A removal is tried once.
    desk.close(id);
    assert_eq!(desk.exchange("503 Service Unavailable", ""), gist("remove", "c", "0"));
    assert_eq!(desk.ended, [id]);
}

#[test]
fn what_is_not_refreshed_lapses() {
    let mut desk = Desk::new();
    let id = desk.open();
    desk.exchange("200 OK", "SIP-ETag: a\nExpires: 100");
    (desk.refreshes, desk.document) = (false, None);
    desk.wait(1000);
    desk.silence();
    desk.document = Some("<presence/>");
    desk.touch(id);
    assert_eq!(desk.exchange("200 OK", "SIP-ETag: b\nExpires: 100"), gist("initial", "", "3600"));
    desk.document = None;
    desk.wait(1000);
    desk.close(id);
    desk.silence();
    assert_eq!(desk.ended, [id]);
}

#[test]
fn an_answer_that_lacks_what_it_must_have() {
    // Without a name, or with one that is none: it is published again in time.
    for headers in ["Expires: 100", "SIP-ETag:\nExpires: 100", "SIP-ETag: a b\nExpires: 100"] {
        let mut desk = Desk::new();
        desk.open();
        desk.exchange("200 OK", headers);
        desk.until(91);
        assert_eq!(desk.gist(), gist("initial", "", "3600"), "{headers}");
    }
    // Without Expires it lasts as long as was asked for; it never lasts longer.
    for headers in ["SIP-ETag: a", "SIP-ETag: a\nExpires: 86400"] {
        let mut desk = Desk::new();
        desk.open();
        desk.exchange("200 OK", headers);
        desk.wait(2519);
        desk.silence();
        desk.until(722);
        assert_eq!(desk.gist(), gist("refresh", "a", "3600"));
    }
    // For no time at all: nothing is published, and nobody insists.
    let mut desk = Desk::new();
    let id = desk.open();
    desk.exchange("200 OK", "SIP-ETag: a\nExpires: 0");
    desk.wait(10_000);
    desk.silence();
    desk.touch(id);
    assert_eq!(desk.gist().0, "initial");
    // A second only: the pace holds.
    let mut desk = Desk::new();
    desk.open();
    let mut requests = 0;
    for _ in 0..60 {
        if !desk.sent.is_empty() {
            desk.exchange("200 OK", "SIP-ETag: a\nExpires: 1");
            requests += 1;
        }
        desk.wait(1);
    }
    assert!(requests <= 13, "{requests}");
}

#[test]
fn the_window_and_the_bound() {
    let mut desk = Desk::with(Config { max: 5, max_outstanding: 2, ..Config::default() }, 100);
    let ids: Vec<_> = (0..5).map(|_| desk.open()).collect();
    let address = Uri::parse("sip:juliet@example.com").expect("a URI");
    assert_eq!(desk.act(|engine, ground| engine.open(ground, "presence", address, 3600)), None);
    for left in (0..5).rev() {
        assert_eq!(desk.sent.len(), 2.min(left + 1));
        let request = desk.sent.remove(0);
        desk.answer(&request, "200 OK", "SIP-ETag: a");
    }
    desk.silence();
    ids.into_iter().for_each(|id| desk.close(id));
    assert_eq!(desk.sent.len(), 2);
}

#[test]
fn an_agent_that_is_full_gets_it_again() {
    let mut desk = Desk::with(Config::default(), 1);
    let first = desk.open();
    let second = desk.open();
    assert_eq!(desk.sent.len(), 1);
    desk.wait(2);
    assert_eq!(desk.sent.len(), 1);
    let request = desk.sent.remove(0);
    desk.answer(&request, "200 OK", "SIP-ETag: a");
    // Timer K: until then the agent has no room.
    desk.wait(6);
    assert_eq!(desk.exchange("200 OK", "SIP-ETag: b"), gist("initial", "", "3600"));
    desk.wait(6);
    desk.close(first);
    desk.close(second);
    desk.exchange("200 OK", "SIP-ETag: c");
    desk.wait(6);
    assert_eq!(desk.exchange("200 OK", "SIP-ETag: d"), gist("remove", "b", "0"));
    assert_eq!(desk.ended, [first, second]);
}

/// Whatever comes in whatever order, one request of a publication is under way at most, and in the end nothing is left.
#[test]
fn random_sequences_come_to_an_end() {
    for seed in 0..200 {
        let mut desk = Desk::new();
        let mut random = Tokens::seeded(seed);
        let mut id = desk.open();
        for _ in 0..60 {
            match random.below(8) {
                0 => desk.touch(id),
                1 => desk.close(id),
                2 => desk.wait(random.below(5000)),
                3 => desk.document = (desk.document.is_none()).then_some("<presence/>"),
                4 => desk.refreshes = !desk.refreshes,
                5 => desk.way = !desk.way,
                _ => {
                    let codes = ["200 OK", "200 OK", "412 No", "423 Brief", "403 No", "503 Busy", "204 No"];
                    let status = codes[random.below(codes.len() as u64) as usize];
                    let etag = random.token(3);
                    if let Some(request) = desk.sent.pop() {
                        desk.answer(&request, status, &format!("SIP-ETag: {etag}\nExpires: 300\nMin-Expires: 4000"));
                    }
                }
            }
            desk.wait(40);
            assert!(desk.engine.clients.len() <= 1);
            if desk.ended.contains(&id) {
                (desk.way, desk.document) = (true, Some("<presence/>"));
                desk.sent.clear();
                desk.wait(40);
                id = desk.open();
            }
        }
        desk.close(id);
        for _ in 0..4 {
            desk.wait(20_000);
        }
        assert_eq!(desk.engine.counts().open, 0, "seed {seed}");
        assert_eq!((desk.engine.outstanding, desk.engine.clients.len()), (0, 0));
        assert!(desk.engine.due.is_empty() && desk.engine.line.is_empty());
    }
}
