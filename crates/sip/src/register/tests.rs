//! The engine on an agent, and a registrar that says what the test says.

use super::*;
use crate::agent::{self, Agent, Flow, Output, Place, Transport};
use crate::digest::{Account, AccountId, Fault};
use crate::header::Name;
use crate::limits::Limits;
use crate::message::{Message, Request};
use crate::parse::parse_datagram;
use crate::uri::{Host, Uri};
use base::{Str, Tokens};

const REGISTRAR: &str = "192.0.2.10:5060";
const ACCOUNT: AccountId = AccountId(9);

struct Desk {
    agent: Agent,
    engine: Registrations,
    tokens: Tokens,
    now: Time,
    /// What has no answer yet.
    sent: Vec<Request>,
    events: Vec<Event>,
}

fn uri(text: &str) -> Uri {
    Uri::parse(text).expect("a URI")
}

fn binding() -> Binding {
    let host = Host::parse("192.0.2.10").expect("a host");
    let place = Place {
        host,
        port: Some(5060),
        transport: Some(Transport::Udp),
        secure: false,
        account: Some(ACCOUNT),
        foreign: false,
    };
    Binding {
        registrar: uri("sip:provider.example"),
        address: uri("sip:4930123@provider.example"),
        contact: uri("sip:desk@gw.example.com"),
        hop: place.into(),
        route: None,
        expires: 600,
        retry: Duration::from_secs(30),
        outbound: None,
    }
}

impl Desk {
    fn new() -> Desk {
        Desk::with(Config::default())
    }

    fn with(config: Config) -> Desk {
        let host = Host::parse("gw.example.com").expect("a host");
        let mut tokens = Tokens::seeded(1);
        let sent_by = vec![(Transport::Udp, host.clone(), None), (Transport::Tcp, host, None)];
        let agent = agent::Config { sent_by, ..Default::default() };
        let mut agent = Agent::new(agent, tokens.fork());
        agent.wallet_mut().set(ACCOUNT, Account::new("4930123", "right"));
        let engine = Registrations::new(config, HashKey::new(1, 2));
        Desk { agent, engine, tokens, now: Time::from_secs(1000), sent: Vec::new(), events: Vec::new() }
    }

    fn act<R>(&mut self, act: impl FnOnce(&mut Registrations, &mut Floor<'_>) -> R) -> R {
        let mut ground = Floor { now: self.now, agent: &mut self.agent, tokens: &mut self.tokens };
        let result = act(&mut self.engine, &mut ground);
        self.drain();
        result
    }

    fn drain(&mut self) {
        while let Some(output) = self.agent.poll() {
            match output {
                Output::Send { to, bytes, client } => {
                    if let (Some(client), agent::SendTo::Target(target)) = (client, &to) {
                        self.engine.sent(client, target);
                    }
                    let Ok(Message::Request(request)) = parse_datagram(&bytes, &Limits::default()) else {
                        panic!("a request")
                    };
                    // The same again is one that was lost.
                    if self.sent.last().is_none_or(|last| last.headers.via() != request.headers.via()) {
                        self.sent.push(request);
                    }
                }
                Output::Response { id, response } => {
                    assert!(self.act(|engine, ground| engine.response(ground, id, &response)));
                }
                Output::Failed { id, why } => {
                    assert!(self.act(|engine, ground| engine.failed(ground, id, why)));
                }
                other => panic!("{other:?}"),
            }
        }
        while let Some(event) = self.engine.poll() {
            self.events.push(event);
        }
    }

    fn open(&mut self) -> RegistrationId {
        self.act(|engine, ground| engine.open(ground, binding())).expect("room")
    }

    /// The only request that waits.
    fn one(&mut self) -> Request {
        assert_eq!(self.sent.len(), 1, "{:?}", self.sent);
        self.sent.remove(0)
    }

    /// Answers the only request that waits; each header as `Name: value`.
    fn answer(&mut self, code: u16, headers: &[&str]) -> Request {
        let request = self.one();
        let mut response = Response::to_request(&request, code, "Because", Some("tag"));
        for header in headers {
            let (name, value) = header.split_once(": ").expect("a header");
            response.headers.push(name, value);
        }
        let address = REGISTRAR.parse().expect("an address");
        let local = "192.0.2.1:5060".parse().expect("an address");
        let flow = Flow { transport: Transport::Udp, local, remote: address, connection: None };
        self.agent.received(self.now, Message::Response(response), flow);
        self.drain();
        request
    }

    /// Lets the time pass, and all that is due with it.
    fn wait(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(at) = [self.engine.deadline(), self.agent.deadline()].into_iter().flatten().min()
            && at <= end
        {
            self.now = self.now.max(at);
            self.agent.timeout(self.now);
            self.drain();
            self.act(Registrations::timeout);
        }
        self.now = end;
    }

    /// Lets the time pass until something is sent.
    fn wait_for_request(&mut self) {
        while self.sent.is_empty()
            && let Some(at) = [self.engine.deadline(), self.agent.deadline()].into_iter().flatten().min()
        {
            self.now = self.now.max(at);
            self.agent.timeout(self.now);
            self.drain();
            self.act(Registrations::timeout);
        }
    }

    fn said(&mut self) -> Vec<String> {
        let (now, mut out) = (self.now, Vec::new());
        for event in std::mem::take(&mut self.events) {
            out.push(match event {
                Event::Registered { .. } => "registered".into(),
                Event::Failed { why, again, .. } => {
                    format!("{why}; {}", again.map_or("never".into(), |at| at.since(now).as_secs().to_string()))
                }
                Event::Ended { .. } => "ended".into(),
            });
        }
        out
    }

    fn until(&self, id: RegistrationId) -> Option<u64> {
        self.engine.status(id).and_then(|status| status.until).map(|until| until.since(self.now).as_secs())
    }
}

const OK: &str = "Contact: <sip:desk@gw.example.com>;expires=300, <sip:other@192.0.2.7>;expires=3600";

#[test]
fn it_registers_and_refreshes_before_the_end() {
    let mut desk = Desk::new();
    let id = desk.open();
    let first = desk.answer(200, &[OK]);
    assert_eq!(first.uri, uri("sip:provider.example"));
    assert_eq!(first.headers.get(Name::Contact), Some("<sip:desk@gw.example.com>"));
    assert_eq!(first.headers.get(Name::Expires), Some("600"));
    assert_eq!(first.headers.get(Name::Supported), Some("path"));
    assert_eq!(first.headers.get(Name::To), Some("<sip:4930123@provider.example>"));
    assert_eq!((desk.said(), desk.until(id)), (vec!["registered".to_owned()], Some(300)));
    desk.wait(205);
    assert!(desk.sent.is_empty(), "too early");
    desk.wait_for_request();
    let next = desk.answer(200, &[OK]);
    assert_eq!(next.headers.get(Name::CallId), first.headers.get(Name::CallId));
    assert_eq!((first.headers.cseq().unwrap().number, next.headers.cseq().unwrap().number), (1, 2));
    assert!(desk.said().is_empty(), "nothing new");
    assert_eq!(desk.engine.counts(), Counts { requests: 2, failures: 0, open: 1, registered: 1 });
}

#[test]
fn how_long_it_lasts_stands_in_one_of_three_places() {
    for (headers, until) in [
        (&[OK][..], Some(300)),
        (&["Contact: <sip:desk@gw.example.com>", "Expires: 120"], Some(120)),
        (&["Contact: <sip:desk@gw.example.com>"], Some(600)),
        (&[], Some(600)),
        (&["Contact: <sip:desk@gw.example.com>;expires=99999"], Some(600)),
        (&["Contact: <sip:desk@203.0.113.5:1024>;expires=60"], Some(60)),
        (&["Contact: <sip:desk@gw.example.com>;expires=0"], None),
        (&["Contact: <sip:x@gw.example.com>;expires=60, <sip:y@gw.example.com>"], None),
    ] {
        let mut desk = Desk::new();
        let id = desk.open();
        desk.answer(200, headers);
        assert_eq!(desk.until(id), until, "{headers:?}");
        assert_eq!(desk.said()[0] == "registered", until.is_some());
    }
}

#[test]
fn it_asks_for_longer_where_that_is_wanted_but_not_for_ever() {
    let mut desk = Desk::new();
    let id = desk.open();
    desk.answer(423, &["Min-Expires: 1800"]);
    assert_eq!(desk.answer(200, &[]).headers.get(Name::Expires), Some("1800"));
    assert_eq!(desk.until(id), Some(1800));
    desk.wait_for_request();
    desk.answer(423, &["Min-Expires: 90000"]);
    assert_eq!(desk.said(), ["registered", "the registrar wants longer registrations; 3600"]);
    let mut desk = Desk::new();
    desk.open();
    desk.answer(423, &["Min-Expires: 1800"]);
    desk.answer(423, &["Min-Expires: 3600"]);
    assert_eq!(desk.said(), ["the registrar wants longer registrations; never"]);
    assert!(desk.sent.is_empty());
}

#[test]
fn what_does_not_pass_by_itself_is_not_tried_again() {
    let mut desk = Desk::new();
    let id = desk.open();
    desk.answer(403, &[]);
    assert_eq!(desk.said(), ["403 Because; never"]);
    desk.wait(100_000);
    assert!(desk.sent.is_empty());
    desk.act(|engine, ground| engine.retry(ground, id));
    desk.answer(200, &[]);
    assert_eq!(desk.said(), ["registered"]);
    // It was right before: somebody there has made a mistake.
    desk.wait_for_request();
    desk.answer(403, &[]);
    assert_eq!(desk.said(), ["403 Because; 3600"]);
    desk.wait(180);
    let said = desk.said();
    assert!(said.len() == 1 && said[0].starts_with("expired; 3"), "{said:?}");
    assert_eq!((desk.until(id), desk.engine.counts().registered), (None, 0));
    desk.wait_for_request();
    desk.answer(200, &[]);
    assert_eq!(desk.said(), ["registered"]);
}

#[test]
fn failures_are_tried_again_later_and_later() {
    let mut desk = Desk::new();
    desk.open();
    let mut waits = Vec::new();
    for _ in 0..9 {
        desk.answer(500, &[]);
        let Some(Event::Failed { again: Some(at), .. }) = desk.events.pop() else { panic!("a failure") };
        waits.push(at.since(desk.now).as_secs());
        desk.now = at;
        desk.act(Registrations::timeout);
    }
    for (n, wait) in waits.iter().enumerate() {
        let most = (30 << n).min(1800);
        assert!((most / 2..=most).contains(wait), "{waits:?}");
    }
    desk.answer(503, &["Retry-After: 7200"]);
    assert_eq!(desk.said(), ["503 Because; 7200"]);
}

#[test]
fn a_registrar_that_does_not_answer_is_no_end() {
    let mut desk = Desk::new();
    let id = desk.open();
    desk.answer(200, &[]);
    desk.wait(500);
    assert_eq!(desk.sent.len(), 1);
    desk.wait(90);
    let said = desk.said();
    assert!(said[1].starts_with("no answer;"), "{said:?}");
    assert!(desk.until(id).is_some(), "what was registered is so until it expires");
    desk.sent.clear();
    desk.wait(100);
    assert_eq!(desk.until(id), None);
    desk.sent.clear();
    desk.wait_for_request();
    desk.answer(200, &[]);
    assert_eq!(desk.said().last().map(String::as_str), Some("registered"));
}

#[test]
fn it_ends_with_a_word_to_the_registrar_where_it_knows_of_us() {
    let mut desk = Desk::new();
    let id = desk.open();
    desk.answer(200, &[]);
    desk.act(|engine, ground| engine.close(ground, id));
    let last = desk.answer(200, &[]);
    assert_eq!(
        (last.headers.get(Name::Expires), last.headers.get(Name::Contact)),
        (Some("0"), Some("<sip:desk@gw.example.com>"))
    );
    assert_eq!(desk.said(), ["registered", "ended"]);
    let id = desk.open();
    desk.answer(500, &[]);
    desk.act(|engine, ground| engine.close(ground, id));
    assert_eq!(desk.said().last().map(String::as_str), Some("ended"), "nobody knows of us");
    // While one is under way, its answer is waited for; whatever comes of the last word is the end.
    let id = desk.open();
    desk.act(|engine, ground| engine.close(ground, id));
    desk.answer(200, &[]);
    desk.answer(500, &[]);
    assert_eq!(desk.said().last().map(String::as_str), Some("ended"));
    assert_eq!(desk.engine.counts().open, 0);
    assert_eq!(desk.engine.deadline(), None);
}

#[test]
fn what_is_granted_besides() {
    let mut desk = Desk::new();
    let outbound = Outbound { instance: "urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e".into(), reg_id: 1 };
    let id = desk.act(|engine, ground| engine.open(ground, Binding { outbound: Some(outbound), ..binding() })).unwrap();
    let contact = "Contact: <sip:desk@10.0.0.1>;+sip.instance=\"<urn:uuid:0F8FAD5B-d9cb-469f-a165-70867728950e>\";reg-id=1;expires=60";
    let routes = "Service-Route: <sip:p1.example;lr>, <sip:p2.example;lr>";
    let request = desk.answer(200, &[contact, routes, "Path: <sip:edge.example;lr>", "Require: outbound", OK]);
    assert_eq!(
        request.headers.get(Name::Contact),
        Some("<sip:desk@gw.example.com>;reg-id=1;+sip.instance=\"<urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e>\"")
    );
    assert_eq!(request.headers.get(Name::Supported), Some("path, outbound"));
    let granted = desk.engine.status(id).unwrap().granted.clone();
    let text = |uris: &[Str]| uris.join(" ");
    assert_eq!(text(&granted.service_route), "<sip:p1.example;lr> <sip:p2.example;lr>");
    assert_eq!(desk.until(id), Some(60));
    desk.said();
    desk.wait_for_request();
    desk.answer(200, &[contact, "Service-Route: <sip:p3.example;lr>"]);
    assert_eq!(desk.said(), ["registered"], "another route is news");
    desk.wait_for_request();
    desk.answer(200, &[contact, "Service-Route: sip:p3.example, <sip:p3.example;lr>"]);
    assert!(desk.engine.status(id).unwrap().granted.service_route.is_empty(), "half a route is none");
}

#[test]
fn without_outbound_where_somebody_in_between_knows_it_not() {
    let mut desk = Desk::new();
    let outbound = Outbound { instance: "urn:uuid:x".into(), reg_id: 1 };
    desk.act(|engine, ground| engine.open(ground, Binding { outbound: Some(outbound), ..binding() }));
    desk.answer(439, &[]);
    let again = desk.answer(200, &[]);
    assert_eq!(again.headers.get(Name::Contact), Some("<sip:desk@gw.example.com>"));
    assert_eq!(desk.said(), ["registered"]);
}

#[test]
fn many_go_a_few_at_a_time() {
    let mut desk = Desk::with(Config { max: 10, max_outstanding: 2, ..Config::default() });
    for _ in 0..10 {
        desk.open();
    }
    assert!(desk.act(|engine, ground| engine.open(ground, binding())).is_none());
    assert_eq!((desk.sent.len(), desk.engine.deadline()), (2, None));
    for _ in 0..10 {
        let rest = desk.sent.split_off(1);
        desk.answer(200, &[]);
        desk.sent.extend(rest);
    }
    assert_eq!(desk.engine.counts(), Counts { requests: 10, failures: 0, open: 10, registered: 10 });
    assert!(desk.engine.deadline().is_some());
}

#[test]
fn words_of_others_are_short_and_plain() {
    assert_eq!(entry::words("No\u{1b}[31m\r\n way"), "No[31m way");
    assert_eq!(entry::words(&"x".repeat(200)).len(), 80);
}

const CHALLENGE: &str =
    "WWW-Authenticate: Digest realm=\"provider.example\", nonce=\"one\", algorithm=MD5, qop=\"auth\"";

#[test]
fn credentials_that_are_wrong_are_an_end() {
    let mut desk = Desk::new();
    let id = desk.open();
    assert!(!desk.answer(401, &[CHALLENGE]).headers.contains(Name::Authorization));
    let given = desk.answer(401, &[&CHALLENGE.replace("one", "two")]);
    assert!(given.headers.get(Name::Authorization).is_some_and(|a| a.contains("nonce=\"one\"")));
    assert_eq!(desk.said(), ["wrong user name or password; never"]);
    desk.wait(100_000);
    assert!(desk.sent.is_empty());
    desk.agent.wallet_mut().set(ACCOUNT, Account::new("4930123", "new"));
    desk.act(|engine, ground| engine.retry(ground, id));
    desk.answer(401, &[CHALLENGE]);
    let given = desk.answer(200, &[]);
    assert_eq!((desk.said(), given.headers.cseq().unwrap().number), (vec!["registered".to_owned()], 4));
    // The next one has the credentials at once, and a greater number.
    desk.wait_for_request();
    let next = desk.answer(200, &[]);
    assert!(next.headers.get(Name::Authorization).is_some_and(|a| a.contains("nc=00000002")));
    assert_eq!(next.headers.cseq().unwrap().number, 5);
}

#[test]
fn a_challenge_that_cannot_be_answered_is_an_end() {
    let mut desk = Desk::new();
    let id = desk.open();
    desk.answer(401, &["WWW-Authenticate: Basic realm=\"x\""]);
    assert_eq!(desk.said(), ["no challenge that can be answered; never"]);
    let why = Why::Credentials(Fault::Unknown);
    assert_eq!(desk.engine.status(id).unwrap().trouble, Some((&why, None)));
}

/// RFC 5626 §4.5.
#[test]
fn a_flow_that_is_lost_is_replaced_at_once_and_one_that_never_lasts_ever_later() {
    let target = Target::new(Transport::Tcp, REGISTRAR.parse().expect("an address"));
    let (mut desk, place) = (Desk::new(), Uri::parse("sip:192.0.2.10:5060;transport=tcp").expect("a URI"));
    let place = Place { account: Some(ACCOUNT), ..Place::of(place.sip().expect("a SIP URI")).expect("a place") };
    let outbound = Outbound { instance: "urn:uuid:x".into(), reg_id: 1 };
    let flowing = Binding { hop: place.into(), outbound: Some(outbound), ..binding() };
    let bare = Binding { outbound: None, ..flowing.clone() };
    let id = desk.act(|engine, ground| engine.open(ground, flowing)).unwrap();
    let first = desk.answer(200, &[]);
    let lost = |desk: &mut Desk, target: &Target| {
        let now = desk.now;
        desk.agent.connection_failed(now, target, vec![]);
        desk.act(|engine, ground| engine.flow_lost(ground, target));
    };
    desk.wait(200);
    let other = Target::new(Transport::Tcp, "192.0.2.11:5060".parse().expect("an address"));
    lost(&mut desk, &other);
    assert_eq!((desk.said(), desk.until(id)), (vec!["registered".to_owned()], Some(400)), "another connection");
    lost(&mut desk, &target);
    let said = desk.said();
    assert!(["the connection is gone; 0", "the connection is gone; 1"].contains(&said[0].as_str()), "{said:?}");
    assert_eq!(desk.until(id), None, "nobody can call");
    lost(&mut desk, &target);
    assert!(desk.said().is_empty(), "that was told");
    let before = desk.now;
    desk.wait_for_request();
    assert!(desk.now.since(before) < Duration::from_secs(2));
    let again = desk.answer(200, &[]);
    assert_eq!(again.headers.get(Name::Contact), first.headers.get(Name::Contact), "the same reg-id");
    assert_eq!((desk.said(), desk.until(id)), (vec!["registered".to_owned()], Some(600)));
    // A server that takes it and hangs up, each time.
    for most in [30, 60, 120, 240] {
        desk.wait(1);
        lost(&mut desk, &target);
        let before = desk.now;
        desk.wait_for_request();
        let wait = desk.now.since(before).as_secs();
        assert!((most / 2 - 1..=most).contains(&wait), "{wait} of {most}");
        desk.answer(200, &[]);
    }
    desk.said();
    // A refresh that is on its way when the connection goes fails as such, and the way to us is gone all the same.
    desk.wait_for_request();
    lost(&mut desk, &target);
    assert_eq!((desk.said().len(), desk.until(id)), (1, None));
    desk.one();
    desk.wait_for_request();
    desk.answer(200, &[]);
    assert_eq!(desk.said(), ["registered"]);
    // Without RFC 5626 requests come by connections of the registrar's own.
    let plain = desk.act(|engine, ground| engine.open(ground, bare)).unwrap();
    desk.answer(200, &[]);
    desk.said();
    desk.act(|engine, ground| engine.close(ground, id));
    desk.answer(200, &[]);
    lost(&mut desk, &target);
    assert!(desk.until(plain).is_some() && desk.sent.is_empty());
}
