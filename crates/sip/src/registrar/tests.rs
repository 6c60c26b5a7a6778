//! The registrar, from outside: each test states what comes in and everything that goes out.

use super::*;
use crate::agent::{self, Agent, Output, Transport};
use crate::limits::Limits;
use crate::message::Message;
use crate::parse::parse_datagram;
use bytes::Bytes;
use proptest::prelude::*;
use std::time::Duration;

const ROMEO: &str = "sip:romeo@example.net";

/// A registrar on an agent, and the time.
struct Desk {
    agent: Agent,
    registrar: Registrar,
    tokens: Tokens,
    now: Time,
    number: u32,
    /// Whether the store works; None: it does not answer yet.
    store: Option<bool>,
    asked: Vec<Save>,
    /// What the store has.
    kept: Vec<Binding>,
}

/// What a REGISTER says.
#[derive(Clone, Copy)]
struct Said<'a> {
    call_id: &'a str,
    cseq: u32,
    flow: Flow,
    /// More header lines.
    more: &'a str,
}

fn udp(remote: &str) -> Flow {
    let address = |text: &str| text.parse().expect("an address");
    Flow { transport: Transport::Udp, local: address("192.0.2.1:5060"), remote: address(remote), connection: None }
}

fn over(transport: Transport, connection: u64) -> Flow {
    Flow { transport, connection: Some(connection), ..udp("198.51.100.7:40000") }
}

fn said(more: &str) -> Said<'_> {
    Said { call_id: "a", cseq: 0, flow: udp("198.51.100.7:5060"), more }
}

fn uri(text: &str) -> SipUri {
    SipUri::parse(text).expect(text)
}

impl Desk {
    fn new() -> Desk {
        Desk::with(Config { contacts: 3, own_domains: vec!["example.com".into()], ..Config::default() })
    }

    fn with(config: Config) -> Desk {
        let mut tokens = Tokens::seeded(1);
        let agent = agent::Config { allow: vec![crate::Method::Register], ..Default::default() };
        Desk {
            agent: Agent::new(agent, tokens.fork()),
            registrar: Registrar::new(config, HashKey::new(1, 2)),
            tokens,
            now: Time::from_secs(1000),
            number: 0,
            store: Some(true),
            asked: Vec::new(),
            kept: Vec::new(),
        }
    }

    /// A REGISTER comes. With CSeq 0 it gets the next one. The answers to it and to others that waited.
    fn register(&mut self, said: Said<'_>) -> Vec<String> {
        self.number += 1;
        let Said { call_id, cseq, flow, more } = said;
        let cseq = if cseq == 0 { self.number } else { cseq };
        let more = if more.is_empty() { String::new() } else { format!("{}\r\n", more.replace('\n', "\r\n")) };
        let via = if more.contains("Via:") { "" } else { "Via: SIP/2.0/UDP phone.invalid;rport;branch=z9hG4bK" };
        let via = if via.is_empty() { String::new() } else { format!("{via}{}\r\n", self.number) };
        let text = format!(
            "REGISTER sip:example.net SIP/2.0\r\n{via}{more}Max-Forwards: 70\r\nFrom: <{ROMEO}>;tag={}\r\n\
             To: <{ROMEO}>\r\nCall-ID: {call_id}\r\nCSeq: {cseq} REGISTER\r\nContent-Length: 0\r\n\r\n",
            self.number,
        );
        let message = parse_datagram(&Bytes::from(text), &Limits::default()).expect("a REGISTER");
        self.agent.received(self.now, message, flow);
        self.drain()
    }

    fn act<R>(&mut self, act: impl FnOnce(&mut Registrar, &mut Floor<'_>) -> R) -> R {
        let mut ground = Floor { now: self.now, agent: &mut self.agent, tokens: &mut self.tokens };
        act(&mut self.registrar, &mut ground)
    }

    fn drain(&mut self) -> Vec<String> {
        let mut answers = Vec::new();
        loop {
            if let Some(save) = self.registrar.poll() {
                match self.store {
                    Some(works) => self.tell(&save, works),
                    None => self.asked.push(save),
                }
            } else if let Some(output) = self.agent.poll() {
                match output {
                    Output::Request { id, request, flow } => {
                        let date = Date(0);
                        self.act(|r, ground| r.register(ground, &Str::from(ROMEO), id, request, flow, date));
                    }
                    Output::Send { bytes, .. } => answers.push(short(&bytes)),
                    other => panic!("{other:?}"),
                }
            } else {
                return answers;
            }
        }
    }

    fn tell(&mut self, save: &Save, works: bool) {
        if works {
            self.kept = save.bindings.to_vec();
        }
        self.act(|r, ground| r.saved(ground, &save.account, works));
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        self.registrar.timeout(self.now);
        assert_eq!(self.drain(), Vec::<String>::new());
    }

    /// Where a request for `to` goes.
    fn ways(&self, to: &str) -> Vec<String> {
        let found = self.registrar.contacts(self.now, ROMEO, &uri(to));
        found.iter().map(|binding| binding.contact.to_string()).collect()
    }
}

/// Status, and the lines that a REGISTER's answer is about.
fn short(bytes: &Bytes) -> String {
    let Ok(Message::Response(response)) = parse_datagram(bytes, &Limits::default()) else { panic!("{bytes:?}") };
    let names = ["Contact", "Min-Expires", "Retry-After", "Path", "Require", "Flow-Timer"];
    let lines = response.headers.iter().filter(|(name, _)| names.contains(&name.as_str()));
    let lines: Vec<String> = lines.map(|(name, value)| format!(" {}: {value}", name.as_str())).collect();
    format!("{}{}", response.code, lines.concat())
}

const PHONE: &str = "Contact: <sip:romeo@198.51.100.7:5060>";

/// RFC 3261 §10.3: made, asked for, refreshed, removed.
#[test]
fn a_contact_comes_and_goes() {
    let mut desk = Desk::new();
    assert_eq!(desk.register(said(PHONE)), ["200 Contact: <sip:romeo@198.51.100.7:5060>;expires=3600"]);
    assert_eq!(desk.ways(ROMEO), ["sip:romeo@198.51.100.7:5060"]);
    desk.pass(3000);
    assert_eq!(desk.register(said("")), ["200 Contact: <sip:romeo@198.51.100.7:5060>;expires=600"]);
    assert_eq!(
        desk.register(said("Contact: <sip:ROMEO2@198.51.100.8>;q=0.5\nExpires: 100")),
        [
            "200 Contact: <sip:romeo@198.51.100.7:5060>;expires=600 Contact: <sip:ROMEO2@198.51.100.8>;q=0.500;expires=100"
        ]
    );
    desk.pass(200);
    assert_eq!(desk.ways(ROMEO), ["sip:romeo@198.51.100.7:5060"]);
    assert_eq!((desk.kept.len(), desk.registrar.counts().expired), (1, 1));
    assert_eq!(
        desk.register(said("Contact: sip:romeo@198.51.100.7:5060;expires=90")),
        ["200 Contact: <sip:romeo@198.51.100.7:5060>;expires=90"]
    );
    assert_eq!(desk.register(said("Contact: <sip:romeo@198.51.100.7:5060>;expires=0")), ["200"]);
    assert_eq!((desk.ways(ROMEO).len(), desk.kept.len(), desk.registrar.deadline()), (0, 0, None));
    assert_eq!(desk.registrar.counts().bindings, 0);
    assert!(desk.registrar.accounts.is_empty(), "nothing is left behind");
}

#[test]
fn all_contacts_are_removed_at_once() {
    let mut desk = Desk::new();
    desk.register(said(PHONE));
    desk.register(said("Contact: <sip:b@198.51.100.8>, <sip:c@198.51.100.9>"));
    assert_eq!(desk.ways(ROMEO).len(), 3);
    assert_eq!(desk.register(said("Contact: *")), ["400"]);
    assert_eq!(desk.register(said("Contact: *\nExpires: 5")), ["400"]);
    assert_eq!(desk.register(said("Contact: *, <sip:b@198.51.100.8>\nExpires: 0")), ["400"]);
    assert_eq!(desk.ways(ROMEO).len(), 3);
    // Late, of the same Call-ID.
    assert_eq!(desk.register(Said { cseq: 1, ..said("Contact: *\nExpires: 0") }), ["500"]);
    assert_eq!(desk.ways(ROMEO).len(), 3);
    assert_eq!(desk.register(said("Contact: *\nExpires: 0")), ["200"]);
    assert!(desk.ways(ROMEO).is_empty());
}

/// §10.3 steps 6 and 7: what comes late changes nothing, and of one REGISTER all is done or nothing.
#[test]
fn what_comes_late_or_is_wrong_changes_nothing() {
    let mut desk = Desk::new();
    desk.register(Said { cseq: 10, ..said(PHONE) });
    assert_eq!(desk.register(Said { cseq: 10, ..said("Contact: <sip:romeo@198.51.100.7:5060>;expires=0") }), ["500"]);
    assert_eq!(
        desk.register(Said { cseq: 9, ..said("Contact: <sip:x@198.51.100.8>, <sip:romeo@198.51.100.7:5060>") }),
        ["500"]
    );
    // A phone that was started anew counts anew.
    assert_eq!(desk.register(Said { call_id: "b", cseq: 1, ..said(PHONE) }).len(), 1);
    for (more, answer) in [
        ("Contact: <sip:x@198.51.100.8>, <sip:y@198.51.100.8>;expires=59", "423 Min-Expires: 60"),
        ("Contact: <sip:x@198.51.100.8>, <mailto:romeo@example.net>", "403"),
        ("Contact: <sip:x@198.51.100.8>, <sip:romeo@example.net:5060>", "403"),
        ("Contact: <sip:x@198.51.100.8>, <sip:romeo@EXAMPLE.net;gr=urn:uuid:1>", "403"),
        ("Contact: <sip:x@198.51.100.8>, <sip:juliet@example.com>", "403"),
        ("Contact: <sip:x@198.51.100.8>, <sips:x@198.51.100.8>", "400"),
        ("Contact: <sip:x@198.51.100.8>, <sip:x@198.51.100.8?Route=%3Csip:a@b%3E>", "400"),
        ("Contact: <sip:x@198.51.100.8>, <sip:x:secret@198.51.100.8>", "400"),
        ("Contact: <sip:x@198.51.100.8>, sip:", "400"),
        ("Contact: <sip:x@198.51.100.8>\nPath: sip:nobracket", "400"),
        ("Contact: <sip:a@b.invalid>, <sip:c@b.invalid>, <sip:d@b.invalid>, <sip:e@b.invalid>", "403"),
    ] {
        assert_eq!(desk.register(said(more)), [answer], "{more}");
    }
    assert_eq!(desk.ways(ROMEO), ["sip:romeo@198.51.100.7:5060"]);
    assert_eq!((desk.kept.len(), desk.registrar.counts().bindings), (1, 1));
    // What is too long is less.
    let long = format!("{PHONE};expires=4294967295");
    assert_eq!(desk.register(said(&long)), ["200 Contact: <sip:romeo@198.51.100.7:5060>;expires=3600"]);
}

#[test]
fn one_contact_too_many_takes_the_place_of_the_first_to_expire() {
    let mut desk = Desk::new();
    for (user, expires) in [("a", 300), ("b", 100), ("c", 200), ("d", 400)] {
        let contact = format!("Contact: <sip:{user}@198.51.100.7>;expires={expires}");
        desk.register(said(&contact));
    }
    assert_eq!(desk.ways(ROMEO), ["sip:d@198.51.100.7", "sip:c@198.51.100.7", "sip:a@198.51.100.7"]);
    let mut desk = Desk::with(Config { bindings: 1, ..Config::default() });
    desk.register(said(PHONE));
    assert_eq!(desk.register(said("Contact: <sip:b@198.51.100.7>")), ["503 Retry-After: 5"]);
    assert_eq!(desk.register(said(PHONE)).len(), 1);
}

/// Answered when it is on disk; those behind it wait, some of them.
#[test]
fn nothing_is_promised_that_is_not_saved() {
    let mut desk = Desk::with(Config { waiting: 1, ..Config::default() });
    desk.store = None;
    assert!(desk.register(said(PHONE)).is_empty());
    assert!(desk.register(said("Contact: <sip:b@198.51.100.8>")).is_empty());
    assert_eq!(desk.register(said("Contact: <sip:c@198.51.100.8>")), ["503 Retry-After: 5"]);
    assert!(desk.ways(ROMEO).is_empty());
    let save = desk.asked.remove(0);
    desk.tell(&save, false);
    assert_eq!(desk.drain(), ["503 Retry-After: 5"]);
    let save = desk.asked.remove(0);
    desk.tell(&save, true);
    assert_eq!(desk.drain(), ["200 Contact: <sip:b@198.51.100.8>;expires=3600"]);
    assert_eq!(desk.ways(ROMEO), ["sip:b@198.51.100.8"]);
    // An account that is taken away meanwhile.
    assert!(desk.register(said(PHONE)).is_empty());
    assert!(desk.register(said("")).is_empty());
    desk.act(|r, ground| r.remove(ground, ROMEO));
    assert_eq!(desk.drain(), ["403", "403"]);
    assert!(desk.ways(ROMEO).is_empty());
    let saves: Vec<Save> = desk.asked.drain(..).collect();
    assert_eq!(saves.len(), 2);
    for save in saves {
        desk.tell(&save, true);
    }
    assert!(desk.kept.is_empty() && desk.drain().is_empty());
    assert!(desk.registrar.accounts.is_empty());
}

const GRUU: &str = "Contact: <sip:romeo@198.51.100.7:40000;transport=tcp>;+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>\"";
const INSTANCE: &str = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6";

/// RFC 5626 §6: a flow is named by instance and reg-id; another contact in it is the same binding.
#[test]
fn a_phone_has_flows() {
    let mut desk = Desk::new();
    let line = |id: u32, port: u16| {
        format!("Supported: path, outbound\n{}", GRUU.replace(":40000", &format!(":{port}"))) + &format!(";reg-id={id}")
    };
    let by = |connection| Said { flow: over(Transport::Tcp, connection), ..said("") };
    let contact = |port: u16, id: u32| {
        format!(
            " Contact: <sip:romeo@198.51.100.7:{port};transport=tcp>;expires=3600;+sip.instance=\"<{INSTANCE}>\";reg-id={id}"
        )
    };
    let one = line(1, 40000);
    let answer = format!("200{} Require: outbound Flow-Timer: 120", contact(40000, 1));
    assert_eq!(desk.register(Said { more: &one, ..by(1) }), [answer.as_str()]);
    let two = line(2, 40001);
    let answer = format!("200{}{} Require: outbound Flow-Timer: 120", contact(40000, 1), contact(40001, 2));
    assert_eq!(desk.register(Said { more: &two, ..by(2) }), [answer.as_str()]);
    // §7: of one phone one contact at a time.
    assert_eq!(desk.ways(ROMEO), ["sip:romeo@198.51.100.7:40001;transport=tcp"]);
    desk.registrar.closed(2);
    assert_eq!(desk.ways(ROMEO), ["sip:romeo@198.51.100.7:40000;transport=tcp"]);
    // Again, from another port: the same flow.
    let again = line(2, 40002);
    let answer = format!("200{}{} Require: outbound Flow-Timer: 120", contact(40000, 1), contact(40002, 2));
    assert_eq!(desk.register(Said { more: &again, ..by(3) }), [answer.as_str()]);
    let found = desk.registrar.contacts(desk.now, ROMEO, &uri(ROMEO));
    assert_eq!(found[0].place(), Some((Transport::Tcp, over(Transport::Tcp, 3).remote, Some(3))));
    desk.registrar.closed(3);
    desk.registrar.closed(1);
    desk.registrar.closed(1);
    assert!(desk.ways(ROMEO).is_empty(), "a flow that failed is no way");
    assert_eq!(desk.registrar.bindings(ROMEO).len(), 2);
    assert!(desk.registrar.by_connection.is_empty());
}

/// RFC 5626 §6: when it is not used, and when it cannot be.
#[test]
fn outbound_needs_both_sides() {
    let with = |more: &str, flow| {
        let mut desk = Desk::new();
        let answer = desk.register(Said { flow, ..said(more) }).remove(0);
        let plain = answer.split(" Contact").next().unwrap_or_default().to_owned();
        (plain, answer.contains("outbound"), desk.registrar.bindings(ROMEO).first().and_then(|b| b.reg_id))
    };
    let tcp = over(Transport::Tcp, 1);
    let line = format!("{GRUU};reg-id=1");
    assert_eq!(with(&line, tcp), ("200".to_owned(), false, None), "the phone does not say that it knows of it");
    let line = format!("Supported: outbound\n{line}");
    assert_eq!(with(&line, tcp), ("200".to_owned(), true, Some(1)));
    assert_eq!(with(&line, udp("198.51.100.7:40000")), ("200".to_owned(), false, None), "no STUN here");
    let two = format!("{line}, <sip:b@198.51.100.8>");
    assert_eq!(with(&two, tcp).0, "400");
    let two = format!("{line}, <sip:b@198.51.100.8>;expires=0");
    assert_eq!(with(&two, tcp), ("200".to_owned(), true, Some(1)));
    for broken in ["0", "2147483648", "x", "-1"] {
        let line = format!("Supported: outbound\n{GRUU};reg-id={broken}");
        assert_eq!(with(&line, tcp), ("200".to_owned(), false, None), "{broken}");
    }
    let bare = "Supported: outbound\nContact: <sip:b@198.51.100.8>;reg-id=1";
    assert_eq!(with(bare, tcp), ("200".to_owned(), false, None));
    // Behind a proxy.
    let vias = "Via: SIP/2.0/TCP edge.invalid;branch=z9hG4bKe, SIP/2.0/TCP p.invalid;branch=z9hG4bKp\n";
    assert_eq!(with(&format!("{vias}{line}"), tcp).0, "439");
    assert_eq!(with(&format!("{vias}Path: <sip:edge.invalid;lr>\n{line}"), tcp).0, "439");
    assert_eq!(
        with(&format!("{vias}Path: <sip:t@edge.invalid;lr;ob>\n{line}"), tcp),
        ("200".to_owned(), true, Some(1))
    );
}

/// RFC 3327 §5.3.
#[test]
fn a_path_is_kept_and_told() {
    let mut desk = Desk::new();
    let more = "Path: <sip:p1.example.org;lr>\nPath: <sip:p2.example.org;lr>, <sip:p3.example.org;lr>\n\
                Contact: <sip:romeo@198.51.100.7>";
    assert_eq!(
        desk.register(said(more)),
        [
            "200 Contact: <sip:romeo@198.51.100.7>;expires=3600 Path: <sip:p1.example.org;lr> Path: <sip:p2.example.org;lr>, \
          <sip:p3.example.org;lr>"
        ]
    );
    let path = "<sip:p1.example.org;lr>, <sip:p2.example.org;lr>, <sip:p3.example.org;lr>";
    assert_eq!(desk.registrar.bindings(ROMEO)[0].path.as_deref(), Some(path));
}

/// RFC 5627 §5: the public one stays what it is, temporary ones say nothing and are valid until another Call-ID, and both lead to the phone.
#[test]
fn a_phone_has_gruus() {
    let mut desk = Desk::new();
    let other = "Contact: <sip:romeo@198.51.100.9>;+sip.instance=\"<urn:uuid:other>\"";
    desk.register(said(other));
    let more = format!("Supported: gruu\n{GRUU}");
    let mut gruus = |call_id| {
        let answer = desk.register(Said { call_id, ..said(&more) }).remove(0);
        assert!(!answer.contains("Require"), "{answer}");
        let of = |name: &str| {
            // The phone of this test is the last in the answer.
            let rest = answer.rsplit(&format!("{name}=\"")).next().unwrap_or_default();
            uri(rest.split('"').next().unwrap_or_default())
        };
        (of("pub-gruu"), of("temp-gruu"))
    };
    let (public, first) = gruus("x");
    assert_eq!(public.to_string(), format!("{ROMEO};gr={INSTANCE}"));
    assert_eq!((first.gr(), first.host.to_string().as_str()), (Some(""), "example.net"));
    let (_, second) = gruus("x");
    assert_ne!(first, second);
    let phone = "sip:romeo@198.51.100.7:40000;transport=tcp";
    let at = |desk: &Desk, to: &SipUri| desk.ways(&to.to_string());
    for gruu in [&public, &first, &second] {
        assert_eq!(at(&desk, gruu), [phone], "{gruu}");
        let found = desk.registrar.contact_at(desk.now, ROMEO, gruu).map(|binding| binding.contact.to_string());
        assert_eq!(found.as_deref(), Some(phone));
    }
    assert_eq!(desk.ways(ROMEO).len(), 2);
    let mut forged = second.clone();
    forged.user = forged.user.map(|user| user.replace(|c: char| c.is_ascii_digit(), "7").into());
    assert!(at(&desk, &forged).is_empty());
    assert!(desk.ways("sip:romeo@example.net;gr=urn:uuid:nobody").is_empty());
    assert!(desk.ways("sip:romeo@example.net;gr").is_empty());
    // Started anew, from elsewhere: the one that was refreshed last has its name, and what it said before is void.
    let more = format!("Supported: gruu\n{}", GRUU.replace("198.51.100.7:40000", "198.51.100.8:40000"));
    desk.register(Said { call_id: "y", ..said(&more) });
    assert_eq!(at(&desk, &public), ["sip:romeo@198.51.100.8:40000;transport=tcp"]);
    assert!(at(&desk, &first).is_empty() && at(&desk, &second).is_empty());
    // Who does not ask gets none.
    assert!(!desk.register(said("")).remove(0).contains("gruu"));
}

/// Where a contact is: where it came from, and where its Contact says only if that is the same host.
#[test]
fn a_contact_is_where_it_registers_from() {
    let place = |contact: &str, flow: Flow| {
        let mut desk = Desk::new();
        desk.register(Said { flow, ..said(&format!("Contact: <{contact}>")) });
        desk.registrar.bindings(ROMEO)[0].place().map(|(t, at, by)| (t.as_str(), at.to_string(), by))
    };
    let at = |transport, at: &str, by| Some((transport, at.to_owned(), by));
    let from = udp("198.51.100.7:41234");
    assert_eq!(place("sip:r@198.51.100.7:5062", from), at("UDP", "198.51.100.7:5062", None));
    assert_eq!(place("sip:r@198.51.100.7:5062;transport=tcp", from), at("TCP", "198.51.100.7:5062", None));
    assert_eq!(place("sip:r@10.0.0.2:5062", from), at("UDP", "198.51.100.7:41234", None));
    // Somebody else, of whom nothing is known.
    assert_eq!(place("sip:victim@203.0.113.9", from), at("UDP", "198.51.100.7:41234", None));
    assert_eq!(place("sip:victim@bank.example", from), at("UDP", "198.51.100.7:41234", None));
    for transport in [Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss] {
        let by = at(transport.as_str(), "198.51.100.7:40000", Some(4));
        assert_eq!(place("sip:r@198.51.100.7:5062;transport=tcp", over(transport, 4)), by);
    }
    // The connection is gone.
    let mut desk = Desk::new();
    for (contact, transport) in
        [("sip:r@198.51.100.7:5062;transport=tcp", Transport::Tcp), ("sip:w@a.invalid;transport=ws", Transport::Ws)]
    {
        desk.register(Said { flow: over(transport, 4), ..said(&format!("Contact: <{contact}>")) });
    }
    desk.registrar.closed(4);
    assert_eq!(desk.ways(ROMEO), ["sip:r@198.51.100.7:5062;transport=tcp"]);
    assert_eq!(
        desk.registrar.bindings(ROMEO)[0].place(),
        Some((Transport::Tcp, udp("198.51.100.7:5062").remote, None))
    );
}

/// RFC 3261 §16.6 step 1 and RFC 3261 §20.10.
#[test]
fn the_best_is_the_first() {
    let mut desk = Desk::new();
    for (user, q) in [("a", ";q=0.3"), ("b", ""), ("c", ";q=0.35")] {
        desk.register(said(&format!("Contact: <sip:{user}@198.51.100.7>{q}")));
    }
    assert_eq!(desk.ways(ROMEO), ["sip:b@198.51.100.7", "sip:c@198.51.100.7", "sip:a@198.51.100.7"]);
    for (q, is) in [("1", 1000), ("1.000", 1000), ("0", 0), ("0.05", 50), ("1.5", 1000), ("x", 1000), ("0.1234", 1000)]
    {
        let mut desk = Desk::new();
        desk.register(said(&format!("{PHONE};q={q}")));
        assert_eq!(desk.registrar.bindings(ROMEO)[0].q, is, "{q}");
    }
}

/// A remote target is looked for among the contacts of the account that the dialog is with.
#[test]
fn a_dialog_finds_its_flow() {
    let mut desk = Desk::new();
    desk.register(Said { flow: over(Transport::Ws, 9), ..said("Contact: <sip:x1@abc.invalid;transport=ws>") });
    let find = |desk: &Desk, account: &str, target: &str| {
        desk.registrar.contact_at(desk.now, account, &uri(target)).and_then(|binding| binding.flow.connection)
    };
    assert_eq!(find(&desk, ROMEO, "sip:x1@abc.invalid;transport=ws;ob"), Some(9));
    assert_eq!(find(&desk, ROMEO, "sip:x2@abc.invalid;transport=ws"), None);
    assert_eq!(find(&desk, "sip:tybalt@example.net", "sip:x1@abc.invalid;transport=ws"), None);
    desk.pass(3601);
    assert_eq!(find(&desk, ROMEO, "sip:x1@abc.invalid;transport=ws;ob"), None);
}

#[test]
fn a_record_reads_back() {
    let mut desk = Desk::new();
    let more = format!("Supported: outbound\nPath: <sip:p.example.org;lr;ob>\n{GRUU};reg-id=7;q=0.2");
    desk.register(Said { flow: over(Transport::Tls, 3), ..said(&more) });
    let binding = &desk.registrar.bindings(ROMEO)[0];
    let text = serde_json::to_string(&Stored::of(binding, 1_700_000_000, 5)).expect("JSON");
    let stored: Stored = serde_json::from_str(&text).expect("a record");
    assert_eq!(stored.binding(desk.now, 1_700_000_000, 5, 3600).as_ref(), Some(binding));
    // Another run of the gateway: the connection is gone. Its clock starts anew.
    let later = stored.binding(Time::ZERO, 1_700_004_000, 6, 3600).expect("600 s are left");
    assert_eq!((later.flow.connection, later.expires_at), (None, Time::from_secs(600)));
    assert_eq!(stored.binding(Time::ZERO, 1_700_004_600, 6, 3600), None);
    // A clock that was years ahead.
    let early = stored.binding(Time::ZERO, 1_000_000_000, 6, 3600).expect("an hour at most");
    assert_eq!(early.expires_at, Time::from_secs(3600));
}

/// Anything in a Contact: no panic, and never more than there may be.
fn contact() -> impl Strategy<Value = String> {
    let host = prop_oneof![Just("198.51.100.7"), Just("a.invalid"), Just("example.net"), Just("[::1]:5060")];
    let params = prop_oneof![
        Just(String::new()),
        (0u32..9000).prop_map(|n| format!(";expires={n}")),
        "[a-z0-9.;=\"<>:+-]{0,30}",
        (0u32..4).prop_map(|n| format!(";+sip.instance=\"<urn:x:{n}>\";reg-id={n}")),
    ];
    ("[a-d]", host, params).prop_map(|(user, host, params)| format!("<sip:{user}@{host}>{params}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn whatever_is_registered_the_bounds_hold(
        steps in prop::collection::vec((prop::collection::vec(contact(), 0..4), 0u64..200, "[ab]", any::<bool>()), 1..20)
    ) {
        let mut desk = Desk::new();
        for (contacts, seconds, call_id, star) in steps {
            let more = match star {
                true => "Contact: *\nExpires: 0".to_owned(),
                false => contacts.iter().map(|c| format!("Supported: outbound, gruu\nContact: {c}\n")).collect(),
            };
            let flow = over(Transport::Tcp, seconds % 3);
            let answers = desk.register(Said { call_id: &call_id, flow, ..said(more.trim_end()) });
            prop_assert_eq!(answers.len(), 1);
            desk.pass(seconds);
            if seconds % 5 == 0 {
                desk.registrar.closed(seconds % 3);
            }
            let bindings = desk.registrar.bindings(ROMEO);
            prop_assert!(bindings.len() <= 3);
            prop_assert_eq!(bindings.len(), desk.registrar.counts().bindings);
            prop_assert_eq!(bindings.len(), desk.kept.len());
            prop_assert_eq!(desk.registrar.deadline(), bindings.iter().map(|b| b.expires_at).min());
            prop_assert!(bindings.iter().all(|b| b.expires_at > desk.now));
            let twice = bindings.iter().enumerate().any(|(n, a)| bindings[..n].iter().any(|b| a.is_same(b)));
            prop_assert!(!twice);
        }
    }
}
