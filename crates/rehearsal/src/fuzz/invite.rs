//! The sessions of `sip::invite`, and the subscriptions of `sip::subscription` in their dialogs, under a peer and a layer above that do anything in
//! any order.

use ::base::{Str, Time, Tokens};
use bytes::Bytes;
use sip::agent::{self, Agent, ClientId, Flow, Hop, Output, ServerId, Target, Transport};
use sip::invite::{Body, Config, Ended, Event, Info, InfoId, Infos, Invite, SessionId, Sessions};
use sip::subscription::{self, By, REFER, Reason, Subscribe, Subscriptions, UsageId};
use sip::{
    Dialog, Ground, Host, Limits, Message, Method, Name, NameAddr, NextHop, Request, Response, Uri, parse_datagram,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

struct Way;

impl NextHop for Way {
    fn next_hop(&self, dialog: &Dialog) -> Option<Hop> {
        let target = Uri::parse(&dialog.remote_target()).ok()?;
        // One user cannot be reached.
        let user = target.sip()?.user.as_deref().unwrap_or_default();
        (user != "lost").then(hop)
    }
}

/// The bytes of one event: what it is, and how; a header's own text stands behind them.
const STEP: usize = 8;

/// What our sessions take by INFO.
const TAKES: Infos = Infos { packages: &["trickle-ice"], types: &["application/dtmf-relay"] };

/// Call-ID and both tags.
type Leg = (String, String, String);

struct World<'a> {
    /// What is left of the input, and of the event that happens.
    data: &'a [u8],
    step: &'a [u8],
    agent: Agent,
    engine: Sessions,
    events: Subscriptions,
    tokens: Tokens,
    now: Time,
    number: u32,
    alive: BTreeSet<SessionId>,
    /// Requests of ours without a final answer, and INVITEs that may get another 2xx.
    open: Vec<(ClientId, Request)>,
    /// The last INVITE of ours, and the last answer of ours to one of theirs with the INVITE's number.
    invite: Option<Request>,
    answer: Option<(Response, u32)>,
    cseqs: BTreeMap<Leg, u32>,
    /// Dialogs in which we have said BYE.
    parted: BTreeSet<Leg>,
    stored: Vec<Dialog>,
    /// SUBSCRIBEs and REFERs that wait, and the usages that live.
    watches: Vec<(UsageId, ServerId)>,
    usages: BTreeSet<UsageId>,
    /// INFOs that wait.
    infos: Vec<(SessionId, InfoId)>,
}

fn address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 5060))
}

fn hop() -> Hop {
    Target::new(Transport::Udp, address()).into()
}

fn uri(text: &str) -> Uri {
    Uri::parse(text).expect("a URI")
}

fn parts(tokens: &mut Tokens) -> (Agent, Sessions, Subscriptions) {
    let below = agent::Config {
        sent_by: vec![(Transport::Udp, Host::Name("gw.example.com".into()), None)],
        allow: vec![
            Method::Invite,
            Method::Ack,
            Method::Cancel,
            Method::Bye,
            Method::Update,
            Method::Prack,
            Method::Info,
            Method::Subscribe,
            Method::Notify,
            Method::Refer,
        ],
        supported: vec!["timer".into(), "100rel".into()],
        invites: true,
        dialogs: true,
        max_client: 4,
        ..agent::Config::default()
    };
    let config =
        Config { max_sessions: 6, max_per_source: 4, max_redirects: 2, max_forks: 3, max_byes: 2, ..Config::default() };
    let events = subscription::Config {
        packages: vec!["conference", REFER],
        max_usages: 8,
        max_outstanding: 2,
        ..subscription::Config::default()
    };
    (Agent::new(below, tokens.fork()), Sessions::new(config, tokens), Subscriptions::new(events, tokens))
}

/// Any sequence of events. Numbers only grow, whoever speaks in a dialog; each session has one last event and nothing behind it, one INVITE of a dialog is under
/// way at a time, nothing of a session follows its BYE, all that is sent can be read, and when everybody has gone nothing is left.
pub fn invite(data: &[u8]) {
    let mut tokens = Tokens::seeded(1);
    let (agent, engine, events) = parts(&mut tokens);
    let mut world = World {
        data,
        step: &[],
        agent,
        engine,
        events,
        tokens,
        now: Time::from_secs(1),
        number: 0,
        alive: BTreeSet::new(),
        open: Vec::new(),
        invite: None,
        answer: None,
        cseqs: BTreeMap::new(),
        parted: BTreeSet::new(),
        stored: Vec::new(),
        watches: Vec::new(),
        usages: BTreeSet::new(),
        infos: Vec::new(),
    };
    while !world.data.is_empty() {
        let length = STEP.min(world.data.len());
        world.step = world.data.split_off(..length).unwrap_or_default();
        let what = world.byte();
        world.happen(what);
        world.settle();
    }
    // We go, and nobody says anything any more.
    for id in world.alive.clone() {
        world.act(|engine, ground| engine.bye(ground, id, Vec::new()));
    }
    for id in world.usages.clone() {
        world.say(|events, ground| events.unsubscribe(ground, id));
        world.events.close(id);
    }
    world.settle();
    world.pass(Duration::from_secs(200_000));
    assert!(world.events.is_empty() && world.usages.is_empty(), "{} usages are left", world.usages.len());
    assert_eq!(world.events.deadline(), None);
    let counts = world.engine.counts();
    assert!(world.alive.is_empty(), "{} sessions are left", world.alive.len());
    assert_eq!((counts.sessions, counts.ending, counts.byes), (0, 0, 0));
    assert_eq!(world.engine.deadline(), None);
    assert_eq!((world.agent.counts().client_open, world.agent.counts().server_open), (0, 0));
}

impl World<'_> {
    fn byte(&mut self) -> u8 {
        self.step.split_off_first().copied().unwrap_or(0)
    }

    /// One of these.
    fn one<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        let at = usize::from(self.byte()).checked_rem(of.len())?;
        of.get(at).copied()
    }

    fn session(&mut self) -> Option<SessionId> {
        let all: Vec<SessionId> = self.alive.iter().copied().collect();
        self.one(&all)
    }

    /// A piece of the input as the value of a header.
    fn text(&mut self) -> String {
        let length = usize::from(self.byte() % 40).min(self.data.len());
        let piece = self.data.split_off(..length).unwrap_or_default();
        String::from_utf8_lossy(piece).chars().filter(|c| !c.is_control()).collect()
    }

    fn body(&mut self) -> Option<Body> {
        let content = Bytes::from_static(b"x");
        (self.byte() % 3 != 2).then(|| Body { content_type: "application/sdp".into(), content })
    }

    fn act<R>(&mut self, act: impl FnOnce(&mut Sessions, &mut Ground<'_>) -> R) -> R {
        let World { agent, engine, tokens, now, .. } = self;
        act(engine, &mut Ground { now: *now, agent, hops: &Way, tokens })
    }

    fn say<R>(&mut self, act: impl FnOnce(&mut Subscriptions, &mut Ground<'_>) -> R) -> R {
        let World { agent, events, tokens, now, .. } = self;
        act(events, &mut Ground { now: *now, agent, hops: &Way, tokens })
    }

    fn happen(&mut self, what: u8) {
        match what % 20 {
            0 | 6 | 7 => self.response_comes(),
            1..=4 => self.request_comes(),
            5 => self.invite_comes(),
            8 => {
                let seconds = self.one(&[0, 1, 2, 5, 31, 33, 60, 180, 900, 90_000]).unwrap_or(0);
                self.pass(Duration::from_secs(seconds));
            }
            9 => self.we_invite(),
            10..=13 => {
                let act = self.byte();
                if let Some(id) = self.session() {
                    self.we_act(id, act);
                }
            }
            14 => {
                if let Some((client, _)) = self.open.last() {
                    self.agent.send_failed(self.now, *client);
                }
            }
            15 => self.crash(),
            16 => self.we_subscribe(),
            18 if self.step.first().is_some_and(|byte| *byte > 127) => self.we_inform(),
            19 if !self.infos.is_empty() => {
                let (id, info) = self.infos.remove(0);
                let code = self.one(&[200, 415, 183]).unwrap_or(200);
                self.act(|engine, ground| engine.answer_info(ground, id, info, Response::new(code, "")));
            }
            17 | 18 if !self.watches.is_empty() => {
                let (id, server) = self.watches.remove(0);
                let expires = self.one(&[0, 0, 60, 3600]).unwrap_or(0);
                self.say(|events, ground| events.accept(ground, id, server, expires));
            }
            _ => self.request_comes(),
        }
    }

    /// A SUBSCRIBE or a REFER in a session.
    fn we_subscribe(&mut self) {
        let what = self.byte();
        let Some(dialog) = self.session().and_then(|id| self.engine.share(id)) else { return };
        let refer = By::Refer { refer_to: Str::const_new("<sip:x@example.net>"), headers: Vec::new() };
        let (package, by) = if what.is_multiple_of(2) { (REFER, refer) } else { ("conference", By::Subscribe) };
        let wish = Subscribe {
            package,
            event_id: (what & 4 != 0).then(|| Str::const_new("1")),
            local: NameAddr::new(uri("sip:u@example.com")),
            remote: uri("sip:p@example.net"),
            contact: NameAddr::new(uri("sip:u@gw.example.com")),
            accept: "",
            expires: 60,
            route: None,
            hop: hop(),
            call_id: None,
            by,
        };
        if let Ok(id) = self.say(|events, ground| events.subscribe_in(ground, dialog, wish)) {
            self.usages.insert(id);
        }
    }

    /// An INFO, with a package or without.
    fn we_inform(&mut self) {
        let package = self.one(&[Some("trickle-ice"), None]).flatten();
        let body = Body { content_type: "application/dtmf-relay".into(), content: Bytes::from_static(b"z") };
        if let Some(id) = self.session() {
            // One that cannot be sent is of no interest.
            let _ = self.act(|engine, ground| engine.info(ground, id, Info { package, body }));
        }
    }

    fn we_act(&mut self, id: SessionId, act: u8) {
        let reason = (Name::Reason, Str::const_new("SIP;cause=200"));
        let some = Body { content_type: "application/sdp".into(), content: Bytes::from_static(b"y") };
        let body = self.body();
        let code = self.one(&[486, 603, 302, 200, 488]).unwrap_or(486);
        self.act(|engine, ground| match act % 8 {
            0 | 1 => engine.accept(ground, id, vec![reason], body),
            2 => engine.ring(ground, id, 183, vec![reason], body),
            3 => engine.refuse(ground, id, Response::new(code, "")),
            4 => engine.offer(ground, id, some),
            5 => engine.answer(ground, id, some),
            6 if act & 8 == 0 => engine.reject(ground, id, Response::new(code, "")),
            6 => engine.ack(ground, id, some),
            _ => engine.bye(ground, id, vec![reason]),
        });
    }

    fn we_invite(&mut self) {
        let redirected = self.byte();
        let headers = match redirected % 4 {
            3 => vec![(Name::Require, Str::const_new("100rel"))],
            _ => Vec::new(),
        };
        let invite = Invite {
            local: NameAddr::new(uri("sip:u@example.com")),
            remote: uri("sip:p@example.net"),
            contact: NameAddr::new(uri("sip:u@gw.example.com")),
            hop: hop(),
            route: (redirected & 8 != 0).then(|| Str::const_new("<sip:proxy.example.net;lr>")),
            call_id: None,
            headers,
            offer: self.body(),
            infos: if redirected & 16 == 0 { TAKES } else { Infos::default() },
        };
        if let Ok(id) = self.act(|engine, ground| engine.invite(ground, invite)) {
            self.alive.insert(id);
        }
    }

    fn take(&mut self, text: &str) {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let flow = Flow { transport: Transport::Udp, local: address(), remote: address(), connection: None };
        match parse_datagram(&bytes, &Limits::default()) {
            Ok(message) => self.agent.received(self.now, message, flow),
            Err(rejected) => self.agent.rejected(self.now, rejected, flow),
        }
    }

    /// What a message of the peer's ends with: the parts that may be anything, now and then.
    fn tail(&mut self) -> String {
        let kind = self.byte();
        let mut lines = vec!["Contact: <sip:p@192.0.2.1>".to_owned(), "Allow: UPDATE, INVITE".to_owned()];
        match kind % 16 {
            3 => lines[0] = format!("Contact: {}", self.text()),
            4 => {
                let other = "Contact: <sip:lost@192.0.2.1>, <sip:q@192.0.2.1;maddr=1>;q=0.5, <sips:r@x.example>";
                lines[0] = other.to_owned();
            }
            5 => lines.push(format!("Session-Expires: {}", self.text())),
            6 => lines.push("Supported: timer\r\nSession-Expires: 90;refresher=uas\r\nMin-SE: 90".to_owned()),
            7 => lines
                .push("Require: timer\r\nSession-Expires: 4294967295;refresher=uac\r\nMin-SE: 4294967295".to_owned()),
            8 => lines.push(format!("Require: 100rel\r\nRSeq: {}", self.number % 3 + 1)),
            9 => lines.push(format!("Record-Route: {}", self.text())),
            10 => lines.push(format!("Expires: {}", self.text())),
            11 => lines[1] = "Retry-After: 2".to_owned(),
            12 => lines.push("Min-SE: 2000".to_owned()),
            13 => lines.push(format!("Recv-Info: trickle-ice, {}", self.text())),
            14 => lines.push("Recv-Info: trickle-ice\r\nInfo-Package: trickle-ice;x=y".to_owned()),
            15 => lines.push(format!("Info-Package: {}", self.text())),
            _ => {}
        }
        let body = if kind & 16 == 0 { "" } else { "z" };
        lines.push(format!("Content-Type: application/sdp\r\nContent-Length: {}", body.len()));
        lines.join("\r\n") + "\r\n\r\n" + body
    }

    fn invite_comes(&mut self) {
        self.number += 1;
        let (n, call) = (self.number, self.byte() % 4);
        let require = self.one(&["", "", "Require: 100rel\r\n"]).unwrap_or("");
        let tail = self.tail();
        self.take(&format!(
            "INVITE sip:u@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKi{n}\r\nFrom: <sip:p@example.net>;tag=p\r\n\
             To: <sip:u@example.com>\r\nCall-ID: c{call}\r\nCSeq: {n} INVITE\r\n{require}{tail}"
        ));
    }

    /// A request in a dialog that we began or that they did; an ACK and a CANCEL for the last INVITE.
    fn request_comes(&mut self) {
        let method = self
            .one(&[
                "ACK",
                "BYE",
                "INVITE",
                "UPDATE",
                "PRACK",
                "CANCEL",
                "INFO",
                "REFER",
                "ACK",
                "PRACK",
                "SUBSCRIBE",
                "NOTIFY",
            ])
            .unwrap_or("BYE");
        let ours = self.byte();
        self.number += 1;
        let n = self.number;
        let back = u32::from(self.byte() % 8 == 7) * 3;
        let value = |headers: &sip::Headers, name| headers.get(name).unwrap_or_default().to_owned();
        let tail = self.tail();
        let (from, to, call_id, invite, rseq) = match (&self.invite, &self.answer) {
            (Some(invite), _) if ours.is_multiple_of(2) => {
                let tag = ["p", "p", "q"][usize::from(ours / 2) % 3];
                let from = format!("<sip:p@example.net>;tag={tag}");
                (from, value(&invite.headers, Name::From), value(&invite.headers, Name::CallId), n, String::new())
            }
            (_, Some((answer, number))) => {
                let (from, to) = (value(&answer.headers, Name::From), value(&answer.headers, Name::To));
                (from, to, value(&answer.headers, Name::CallId), *number, value(&answer.headers, Name::RSeq))
            }
            (_, None) => return,
        };
        let (number, branch, to) = match method {
            "ACK" => (invite, format!("a{n}"), to),
            "CANCEL" => (invite, format!("i{invite}"), to.split(";tag=").next().unwrap_or_default().to_owned()),
            _ => (n.saturating_sub(back), format!("i{n}"), to),
        };
        let more = match method {
            "PRACK" => format!("RAck: {rseq} {invite} INVITE\r\n"),
            "REFER" => "Refer-To: <sip:x@example.net>\r\n".to_owned(),
            "SUBSCRIBE" => {
                format!("Event: {}\r\n", self.one(&["conference", "refer", "conference;id=1"]).unwrap_or("x"))
            }
            "NOTIFY" => {
                let event = self.one(&["conference", "refer", "conference;id=1", "refer;id=3"]).unwrap_or("x");
                let state = self.one(&["active", "terminated"]).unwrap_or("pending;expires=1");
                format!("Event: {event}\r\nSubscription-State: {state}\r\n")
            }
            _ => String::new(),
        };
        self.take(&format!(
            "{method} sip:u@gw.example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{branch}\r\nFrom: {from}\r\nTo: {to}\r\n\
             Call-ID: {call_id}\r\nCSeq: {number} {method}\r\n{more}{tail}"
        ));
    }

    fn response_comes(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let at = usize::from(self.byte()) % self.open.len();
        let code =
            self.one(&[200, 200, 180, 183, 183, 100, 486, 302, 422, 491, 481, 500, 487, 408, 603, 405]).unwrap_or(200);
        let tag = self.one(&["p", "p", "q", "r", "s"]).unwrap_or("p");
        let response = Response::to_request(&self.open[at].1, code, "", Some(tag));
        let text = String::from_utf8_lossy(&response.to_bytes()).into_owned();
        let head = text.split("Content-Length").next().unwrap_or_default();
        let tail = self.tail();
        self.take(&format!("{head}{tail}"));
    }

    /// Another process ends what was stored.
    fn crash(&mut self) {
        let ids: Vec<SessionId> = self.alive.iter().copied().collect();
        self.stored.extend(ids.iter().filter_map(|id| self.engine.dialog(*id).cloned()));
        (self.agent, self.engine, self.events) = parts(&mut self.tokens);
        self.alive.clear();
        self.open.clear();
        self.watches.clear();
        self.usages.clear();
        self.infos.clear();
        for dialog in std::mem::take(&mut self.stored) {
            self.act(|engine, ground| engine.end_restored(ground, dialog));
        }
    }

    /// Lets time pass from deadline to deadline.
    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut turns = 0;
        let deadline = |world: &Self| {
            [world.agent.deadline(), world.engine.deadline(), world.events.deadline()].into_iter().flatten().min()
        };
        while let Some(at) = deadline(self).filter(|at| *at <= end) {
            turns += 1;
            assert!(turns < 100_000, "time stands still");
            self.now = at.max(self.now);
            self.agent.timeout(self.now);
            self.settle();
            self.act(Sessions::timeout);
            self.say(Subscriptions::timeout);
            self.settle();
        }
        self.now = end;
    }

    fn settle(&mut self) {
        loop {
            if let Some(output) = self.agent.poll() {
                self.output(output);
            } else if let Some(event) = self.engine.poll() {
                self.event(&event);
            } else if let Some(event) = self.events.poll() {
                self.usage_event(&event);
            } else {
                return;
            }
        }
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Send { bytes, client, .. } => {
                match (parse_datagram(&bytes, &Limits::default()).expect("what is sent can be read"), client) {
                    (Message::Request(request), Some(client)) => self.sent(client, request),
                    (Message::Response(response), _) => {
                        let cseq = response.headers.cseq().expect("a CSeq");
                        if cseq.method == Method::Invite && response.code > 100 {
                            self.answer = Some((response, cseq.number));
                        }
                    }
                    (Message::Request(_), None) => {}
                }
            }
            Output::Request { id, request, flow } => {
                let contact = NameAddr::new(uri("sip:u@gw.example.com"));
                if !matches!(request.method, Method::Subscribe | Method::Notify | Method::Refer) {
                    return self.act(|engine, ground| engine.request(ground, id, request, flow, &contact));
                }
                match self.engine.find(&request).and_then(|session| self.engine.share(session)) {
                    Some(dialog) => {
                        self.say(|events, ground| events.request_in(ground, id, request, flow, &contact, dialog));
                    }
                    None => self.say(|events, ground| events.request(ground, id, request, flow, &contact)),
                }
            }
            Output::Response { id, response } => {
                let done = |request: &Request| request.method != Method::Invite || response.code >= 300;
                if response.code >= 200 {
                    self.open.retain(|(client, request)| *client != id || !done(request));
                }
                let taken = self.say(|events, ground| events.response(ground, id, &response))
                    || self.act(|engine, ground| engine.response(ground, id, &response));
                let of_usage = matches!(
                    response.headers.cseq().expect("a CSeq").method,
                    Method::Subscribe | Method::Notify | Method::Refer
                );
                // A usage may have ended before.
                assert!(taken || of_usage, "a response to nothing");
            }
            Output::Failed { id, why } => {
                self.open.retain(|(client, _)| *client != id);
                if !self.say(|events, ground| events.failed(ground, id, why)) {
                    self.act(|engine, ground| engine.failed(ground, id, why));
                }
            }
            Output::Cancelled { id, .. } if self.events.cancelled(id) => {}
            Output::Cancelled { id, reason } => {
                self.act(|engine, ground| engine.cancelled(ground, id, reason));
            }
            Output::Locate { .. } => unreachable!("nobody is looked for"),
            Output::Ack { id, request, .. } => self.act(|engine, ground| engine.acked(ground, id, request)),
        }
    }

    /// A request of ours, first or again; the ACK of a refusal and the CANCEL are the agent's.
    fn sent(&mut self, client: ClientId, request: Request) {
        if self.open.iter().any(|(known, _)| *known == client) || matches!(request.method, Method::Ack | Method::Cancel)
        {
            return;
        }
        let headers = &request.headers;
        let text = |tag: Option<&str>| tag.unwrap_or_default().to_owned();
        let leg = (text(headers.get(Name::CallId)), text(headers.from_tag()), text(headers.to_tag()));
        let number = headers.cseq().expect("a CSeq").number;
        let before = self.cseqs.insert(leg.clone(), number);
        assert!(before.is_none_or(|before| before < number), "{number} behind {before:?}");
        let of_usage = matches!(request.method, Method::Subscribe | Method::Notify | Method::Refer);
        let after = self.parted.contains(&leg) && request.method != Method::Bye && !of_usage;
        assert!(!after, "behind the BYE: {request:?}");
        if request.method == Method::Bye {
            self.parted.insert(leg);
        }
        if request.method == Method::Invite {
            self.invite = Some(request.clone());
        }
        if self.open.len() > 64 {
            self.open.remove(0);
        }
        self.open.push((client, request));
    }

    fn event(&mut self, event: &Event) {
        let id = event.id();
        if let Event::Invited { .. } = event {
            assert!(self.alive.insert(id), "it begins once");
            return self.engine.take_infos(id, TAKES);
        }
        assert!(self.alive.contains(&id), "{event:?} behind the last one");
        if event.is_last() {
            self.alive.remove(&id);
        }
        if let Event::Info { info, .. } = event {
            self.infos.push((id, *info));
        }
        if let Event::Ended { why: Ended::Bye(bye), .. } = event {
            assert_eq!(bye.method, Method::Bye);
        }
    }
    fn usage_event(&mut self, event: &subscription::Event) {
        use subscription::Event;
        let id = event.id();
        if let Event::Watch { server, .. } = *event {
            self.usages.insert(id);
            return self.watches.push((id, server));
        }
        if let Event::Notify { server, .. } = *event {
            return self.say(|events, ground| events.answer_notify(ground, id, server, Response::new(200, "")));
        }
        assert!(self.usages.contains(&id), "{event:?} of a dead usage");
        assert!(!matches!(event, Event::Save { .. }), "a session is not stored, nor what is said in it");
        if event.is_last() {
            self.usages.remove(&id);
        }
        if let Event::Wanted { last, .. } = *event {
            let state =
                if last { subscription::State::terminated(Reason::NoResource) } else { subscription::State::Active };
            self.say(|events, ground| events.notify(ground, id, &state, None));
        }
    }
}
