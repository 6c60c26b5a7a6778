use super::super::{Failed, Options, Why};
use super::*;
use crate::config::Config;
use base::{HashKey, Str, Time, Tokens};
use msrp::{Arrival, ConnectionId, Decoder, Frame, Limits, Path, Peer, Way};
use sip::agent::{Agent, Hop};
use sip::invite::Sessions;
use sip::{Dialog, NextHop};

const PEER: &str = "msrp://192.0.2.10:2855/peer;tcp";
const WIRE: ConnectionId = ConnectionId(1);

struct Nowhere;

impl NextHop for Nowhere {
    fn next_hop(&self, _: &Dialog) -> Option<Hop> {
        None
    }
}

/// One leg that is open, and its other end by hand.
struct Desk {
    config: Config,
    agent: Agent,
    sessions: Sessions,
    msrp: msrp::Agent,
    tokens: Tokens,
    legs: Legs,
    id: LegId,
    own: String,
}

impl Desk {
    fn open(chatroom: Option<Chatroom>) -> Desk {
        let mut tokens = Tokens::seeded(1);
        let here = msrp::Advertised { secure: false, host: msrp::Host::Name("gw.example.com".into()), port: 2855 };
        let options = Options { advertise: vec![here.clone()], fingerprint: None, max_size: 1_000, relay: None };
        let config = Config {
            xmpp_domains: Vec::new(),
            any_xmpp_domain: false,
            links: Vec::new(),
            peers: Vec::new(),
            proxy: None,
            phone_domain: None,
            numbers: Default::default(),
            message: Default::default(),
            chat: Default::default(),
            room: Default::default(),
            msrp: Some(options),
            media: None,
            relay: ng::Config::default(),
            presence: Default::default(),
            accounts: None,
            subscriptions: sip::subscription::Config::default(),
            registrar: None,
            trunks: Vec::new(),
            allow_networks: Vec::new(),
            own: Default::default(),
            contact_is_domain: false,
            limits: crate::config::Limits::default(),
            epoch: 0,
            version: Str::default(),
        };
        let msrp = msrp::Config { advertise: vec![here], methods: vec![Method::Nickname], ..msrp::Config::default() };
        let mut desk = Desk {
            agent: Agent::new(sip::agent::Config::default(), tokens.fork()),
            sessions: Sessions::new(sip::invite::Config::default(), &mut tokens),
            msrp: msrp::Agent::new(msrp, tokens.fork()),
            legs: Legs::new(HashKey::new(1, 2)),
            id: LegId(0),
            own: String::new(),
            config,
            tokens,
        };
        desk.id = desk.act(|legs, footing| legs.begin(footing, false, chatroom, State::Inviting, None)).unwrap();
        let session = desk.legs.legs.get(&desk.id).unwrap().msrp;
        desk.own = desk.msrp.local_path(session).unwrap().to_string();
        let peer = Peer { path: Path::parse(PEER).unwrap(), way: Way::Passive, max_size: None };
        desk.msrp.begin(Time::ZERO, session, &peer);
        assert_eq!(desk.receive("SEND", "Message-ID: first\r\n"), (vec!["200".to_owned()], vec!["up".to_owned()]));
        desk
    }

    fn act<R>(&mut self, act: impl FnOnce(&mut Legs, &mut Footing<'_>) -> R) -> R {
        let mut footing = Footing {
            now: Time::ZERO,
            config: &self.config,
            agent: &mut self.agent,
            sessions: &mut self.sessions,
            msrp: &mut self.msrp,
            hops: &Nowhere,
            tokens: &mut self.tokens,
        };
        act(&mut self.legs, &mut footing)
    }

    /// What a request brings: the answers, and what a mapping is told.
    fn receive(&mut self, method: &str, headers: &str) -> (Vec<String>, Vec<String>) {
        let own = self.own.clone();
        self.read(&format!("MSRP tid1 {method}\r\nTo-Path: {own}\r\nFrom-Path: {PEER}\r\n{headers}-------tid1$\r\n"))
    }

    fn read(&mut self, text: &str) -> (Vec<String>, Vec<String>) {
        let mut decoder = Decoder::new(Limits::default());
        decoder.push(text.as_bytes());
        let Some(Ok(arrival)) = decoder.next() else { panic!("no frame: {text}") };
        self.msrp.received(Time::ZERO, WIRE, arrival);
        self.settle()
    }

    fn settle(&mut self) -> (Vec<String>, Vec<String>) {
        let (mut frames, mut told) = (Vec::new(), Vec::new());
        while let Some(output) = self.msrp.poll() {
            match output {
                msrp::Output::Event(event) => self.act(|legs, footing| legs.msrp_event(footing, event)),
                msrp::Output::Write { bytes, .. } => {
                    let mut decoder = Decoder::new(Limits::default());
                    decoder.push(&bytes);
                    while let Some(arrival) = decoder.next() {
                        frames.push(match arrival {
                            Ok(Arrival::Frame(Frame::Response(response))) => response.code.to_string(),
                            Ok(Arrival::Frame(Frame::Request(r))) => format!("{} {:?}", r.transaction, r.nickname()),
                            other => panic!("we wrote {other:?}"),
                        });
                    }
                }
                msrp::Output::Bind { .. } | msrp::Output::Release { .. } | msrp::Output::Open { .. } => {}
            }
        }
        while let Some(event) = self.legs.poll() {
            assert_eq!(event.leg(), self.id);
            told.push(match event {
                Event::Up { .. } => "up".to_owned(),
                Event::Nickname { token, nick, .. } => {
                    self.act(|legs, footing| legs.answer(footing, token, 425, ""));
                    format!("{nick:?}")
                }
                Event::Nicknamed { code, .. } => format!("{code}"),
                Event::Ended { why: Why::Ours, .. } => "ended".to_owned(),
                Event::Failed { why: Failed::GivenUp, .. } => "failed".to_owned(),
                other => panic!("nobody says that here: {other:?}"),
            });
        }
        (frames, told)
    }
}

fn room(nickname: bool) -> Option<Chatroom> {
    Some(Chatroom { nickname, private_messages: true })
}

/// RFC 7701 §7.1: what is no nickname is refused by the leg, what is one by whoever has it.
#[test]
fn a_nickname_is_asked_of_us() {
    let mut desk = Desk::open(room(true));
    for (headers, code) in [
        ("Use-Nickname: Romeo\r\n", "424"),
        ("Use-Nickname: \"Ro\"meo\"\r\n", "424"),
        ("Use-Nickname: \"a\"\r\nUse-Nickname: \"b\"\r\n", "424"),
        ("", "400"),
    ] {
        assert_eq!(desk.receive("NICKNAME", headers), (vec![code.to_owned()], vec![]), "{headers}");
    }
    let long = format!("Use-Nickname: \"{}\"\r\n", "x".repeat(1024));
    assert_eq!(desk.receive("NICKNAME", &long), (vec!["424".to_owned()], vec![]));
    for (headers, nick) in
        [("use-nickname: \"Ro \\\"m\\\" eo\"\r\n", "Ro \"m\" eo"), ("Use-Nickname:\"\"\r\nFailure-Report: no\r\n", "")]
    {
        assert_eq!(desk.receive("NICKNAME", headers), (vec![], vec![format!("{nick:?}")]));
        assert_eq!(desk.settle(), (vec!["425".to_owned()], vec![]));
    }
}

/// 403: a room without nicknames; 501: no room at all (RFC 4975 §12).
#[test]
fn where_there_are_no_nicknames() {
    for (chatroom, code) in [(room(false), "403"), (None, "501")] {
        let mut desk = Desk::open(chatroom);
        for headers in ["Use-Nickname: \"Romeo\"\r\n", "Use-Nickname: x\r\n", ""] {
            assert_eq!(desk.receive("NICKNAME", headers), (vec![code.to_owned()], vec![]), "{headers}");
        }
        assert_eq!(desk.receive("AUTH", "").0, ["501"]);
    }
}

/// §7.2: one after the other, each with its answer.
#[test]
fn we_ask_for_nicknames() {
    let mut desk = Desk::open(room(true));
    for nick in ["Juliet", ""] {
        desk.act(|legs, footing| legs.nickname(footing, LegId(1), nick)).unwrap();
    }
    let (frames, told) = desk.settle();
    let [first] = &frames[..] else { panic!("{frames:?}") };
    let (tid, nick) = first.split_once(' ').unwrap();
    assert_eq!((nick, told), ("Some(Ok(\"Juliet\"))", vec![]));
    let own = desk.own.clone();
    let answer =
        |tid: &str, code| format!("MSRP {tid} {code}\r\nTo-Path: {own}\r\nFrom-Path: {PEER}\r\n-------{tid}$\r\n");
    let (frames, told) = desk.read(&answer(tid, 425));
    assert_eq!(told, ["425"]);
    let (tid, nick) = frames[0].split_once(' ').unwrap();
    assert_eq!(nick, "Some(Ok(\"\"))");
    assert_eq!(desk.read(&answer(tid, 200)), (vec![], vec!["200".to_owned()]));
    let bad = desk.act(|legs, footing| legs.nickname(footing, LegId(1), "a\nb"));
    assert_eq!(bad, Err(msrp::Refused::Malformed));
}

/// Each is answered before the leg is over; then there is nothing to ask for.
#[test]
fn a_leg_that_ends_has_said_what_became_of_its_nicknames() {
    let mut desk = Desk::open(room(true));
    desk.act(|legs, footing| legs.nickname(footing, LegId(1), "Juliet")).unwrap();
    assert_eq!(desk.settle().0.len(), 1);
    desk.act(|legs, footing| legs.end(footing, LegId(1)));
    let (_, told) = desk.settle();
    assert_eq!(told, ["408", "failed"]);
    let gone = desk.act(|legs, footing| legs.nickname(footing, LegId(1), "Juliet"));
    assert_eq!(gone, Err(msrp::Refused::Gone));
}
