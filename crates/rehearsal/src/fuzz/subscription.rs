//! The machines of RFC 6665 and RFC 3515, under a peer and a layer above that do anything in any order, in dialogs of their own and in that of a
//! session.

use ::base::{Str, Time, Tokens};
use bytes::Bytes;
use sip::agent::{self, Agent, ClientId, Flow, Hop, Output, ServerId, Target, Transport};
use sip::subscription::{
    Body, By, Change, Config, Event, REFER, Reason, State, Subscribe, Subscriptions, Usage, UsageId,
};
use sip::{
    Dialog, Ground, Host, Limits, Message, Method, Name, NameAddr, NextHop, Request, Response, Uri, parse_datagram,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

struct Way(Hop);

impl NextHop for Way {
    fn next_hop(&self, _: &Dialog) -> Option<Hop> {
        Some(self.0.clone())
    }
}

/// The bytes of one event: what it is, and how; a header's own text stands behind them.
const STEP: usize = 7;

/// Call-ID and tag of who sends.
type Half = (String, String);

struct World<'a> {
    /// What is left of the input, and of the event that happens.
    data: &'a [u8],
    step: &'a [u8],
    agent: Agent,
    engine: Subscriptions,
    tokens: Tokens,
    now: Time,
    hop: Way,
    number: u32,
    /// The session with the peer, until the process dies.
    session: Option<Dialog>,
    watches: Vec<(UsageId, ServerId)>,
    notifies: Vec<(UsageId, ServerId)>,
    alive: BTreeSet<UsageId>,
    /// Requests of ours without an answer.
    open: Vec<(ClientId, Request)>,
    /// The last of each kind, for a peer that wants to answer.
    subscribe: Option<Request>,
    notify: Option<Request>,
    cseqs: BTreeMap<Half, u32>,
    ended: BTreeSet<Half>,
}

fn address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 5060))
}

fn config() -> Config {
    let packages = vec!["presence", "conference", REFER];
    Config { packages, max_usages: 6, max_per_source: 4, max_outstanding: 2, reserve: 4, ..Config::default() }
}

fn parts(tokens: &mut Tokens) -> (Agent, Subscriptions) {
    let config_of_agent = agent::Config {
        sent_by: vec![(Transport::Udp, Host::Name("gw.example.com".into()), None)],
        allow: vec![Method::Subscribe, Method::Notify, Method::Refer],
        dialogs: true,
        max_client: 3,
        ..agent::Config::default()
    };
    (Agent::new(config_of_agent, tokens.fork()), Subscriptions::new(config(), tokens))
}

const SESSION: &str = "session@example.net";

/// The dialog of the session that the peer began.
fn session() -> Option<Dialog> {
    let mut invite = Request::new(Method::Invite, Uri::parse("sip:u@example.com").ok()?);
    for (name, value) in [
        (Name::From, "<sip:p@example.net>;tag=p"),
        (Name::To, "<sip:u@example.com>"),
        (Name::CallId, SESSION),
        (Name::CSeq, "1 INVITE"),
        (Name::Contact, "<sip:p@192.0.2.1>"),
    ] {
        invite.headers.push(name, value);
    }
    Dialog::as_uas(&invite, "u", 0).ok()
}

/// Any sequence of events. Numbers only grow, one NOTIFY of a dialog is under way at a time,
/// nothing follows the last one, all that is sent can be read, and when everybody has gone nothing is left.
pub fn subscription(data: &[u8]) {
    let mut tokens = Tokens::seeded(1);
    let (agent, engine) = parts(&mut tokens);
    let mut world = World {
        data,
        step: &[],
        agent,
        engine,
        tokens,
        now: Time::from_secs(1),
        hop: Way(Target::new(Transport::Udp, address()).into()),
        number: 0,
        session: session(),
        watches: Vec::new(),
        notifies: Vec::new(),
        alive: BTreeSet::new(),
        open: Vec::new(),
        subscribe: None,
        notify: None,
        cseqs: BTreeMap::new(),
        ended: BTreeSet::new(),
    };
    while !world.data.is_empty() {
        let length = STEP.min(world.data.len());
        world.step = world.data.split_off(..length).unwrap_or_default();
        let what = world.byte();
        world.happen(what);
        world.settle();
    }
    // Nobody says anything any more.
    for _ in 0..10_000 {
        while let Some((id, server)) = world.watches.pop() {
            world.act(|engine, ground| engine.accept(ground, id, server, 60));
        }
        while let Some((id, server)) = world.notifies.pop() {
            world.act(|engine, ground| engine.answer_notify(ground, id, server, Response::new(200, "")));
        }
        world.settle();
        if !world.pass(Duration::from_secs(200_000)) {
            break;
        }
    }
    assert!(world.engine.is_empty() && world.alive.is_empty(), "{} usages are left", world.engine.len());
    assert_eq!(world.engine.deadline(), None);
    let counts = world.engine.counts();
    assert_eq!((counts.outstanding, counts.waiting, world.agent.counts().client_open), (0, 0, 0));
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

    fn usage(&mut self) -> Option<UsageId> {
        let all: Vec<UsageId> = self.alive.iter().copied().collect();
        self.one(&all)
    }

    /// A piece of the input as the value of a header.
    fn text(&mut self) -> String {
        let length = usize::from(self.byte() % 40).min(self.data.len());
        let piece = self.data.split_off(..length).unwrap_or_default();
        String::from_utf8_lossy(piece).chars().filter(|c| !c.is_control()).collect()
    }

    fn act<R>(&mut self, act: impl FnOnce(&mut Subscriptions, &mut Ground<'_>) -> R) -> R {
        let World { agent, engine, tokens, now, hop, .. } = self;
        act(engine, &mut Ground { now: *now, agent, hops: hop, tokens })
    }

    fn happen(&mut self, what: u8) {
        match what % 18 {
            0 | 1 => self.subscribe_comes(what % 18 == 1),
            2 | 3 => self.notify_comes(),
            4 | 5 => self.response_comes(),
            6 => {
                let seconds = self.one(&[0, 1, 5, 31, 33, 60, 3600, 90_000]).unwrap_or(0);
                self.pass(Duration::from_secs(seconds));
            }
            7 | 8 if !self.watches.is_empty() => {
                let (id, server) = self.watches.remove(0);
                let expires = self.one(&[3600, 60, 0, u32::MAX]).unwrap_or(0);
                if what % 18 == 7 {
                    self.act(|engine, ground| engine.accept(ground, id, server, expires));
                } else {
                    let new = self.engine.state(id) == Some(sip::subscription::UsageState::Init);
                    self.act(|engine, ground| engine.refuse(ground, id, server, Response::new(403, "")));
                    if new {
                        self.alive.remove(&id);
                    }
                }
            }
            7..=9 if !self.notifies.is_empty() => {
                let (id, server) = self.notifies.remove(0);
                let code = self.one(&[200, 403, 481, 503]).unwrap_or(200);
                self.act(|engine, ground| engine.answer_notify(ground, id, server, Response::new(code, "")));
            }
            7..=10 => {
                let change = if self.byte().is_multiple_of(2) { Change::Content } else { Change::State };
                if let Some(id) = self.usage() {
                    self.engine.touch(id, change);
                }
            }
            11 => self.we_subscribe(),
            12 => {
                let act = self.byte();
                if let Some(id) = self.usage() {
                    match act % 4 {
                        0 | 1 => self.act(|engine, ground| engine.refresh(ground, id)),
                        2 => self.act(|engine, ground| engine.unsubscribe(ground, id)),
                        _ => {
                            self.engine.forget(id);
                            self.alive.remove(&id);
                        }
                    }
                }
            }
            13 => {
                if let Some((client, _)) = self.open.last() {
                    self.agent.send_failed(self.now, *client);
                }
            }
            14 => {
                if let Some(usage) = self.usage()
                    && let Some(stored) = self.engine.snapshot(self.now, usage)
                {
                    self.engine.confirmed(usage, stored.dialog.local_cseq());
                }
            }
            15 => self.crash(),
            16 => self.request_comes_inside(),
            _ => self.we_act_inside(),
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

    /// What a request of the peer's ends with: the parts that may be anything, now and then.
    fn tail(&mut self, state: Option<&str>) -> String {
        let mut lines = vec!["Contact: <sip:p@192.0.2.1>".to_owned(), "Event: presence".to_owned()];
        lines.extend(state.map(|state| format!("Subscription-State: {state}")));
        let kind = self.byte();
        match kind % 16 {
            5 => lines[0] = format!("Contact: {}", self.text()),
            6 => lines[1] = format!("Event: {}", self.text()),
            7 => lines[2 - usize::from(state.is_none())] = format!("Subscription-State: {}", self.text()),
            8 => lines.push(format!("Expires: {}", self.text())),
            9 => lines.push(format!("Record-Route: {}", self.text())),
            _ => {}
        }
        lines.join("\r\n") + "\r\nContent-Length: 0\r\n\r\n"
    }

    fn subscribe_comes(&mut self, in_dialog: bool) {
        self.number += 1;
        let (n, call) = (self.number, self.byte() % 4);
        let expires = self.one(&[3600, 60, 0, 1, u32::MAX]).unwrap_or(0);
        let (from, to, call_id) = match self.notify.as_ref().filter(|_| in_dialog) {
            Some(notify) => {
                let value = |name| notify.headers.get(name).unwrap_or_default().to_owned();
                (value(Name::To), value(Name::From), value(Name::CallId))
            }
            None => ("<sip:p@example.net>;tag=p".to_owned(), "<sip:u@example.com>".to_owned(), format!("c{call}")),
        };
        let how = self.byte();
        let back = u32::from(how % 4 == 3);
        let number = n.saturating_sub(back);
        let (method, refer_to) = match how {
            200..240 => ("REFER", "Refer-To: <sip:x@example.net>\r\n"),
            240.. => ("REFER", "Refer-To: <sip:x@example.net>;x=y\r\nRefer-Sub: false\r\n"),
            _ => ("SUBSCRIBE", ""),
        };
        let tail = self.tail(None);
        self.take(&format!(
            "{method} sip:u@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKs{n}\r\nFrom: {from}\r\nTo: {to}\r\n\
             Call-ID: {call_id}\r\nCSeq: {number} {method}\r\nExpires: {expires}\r\n{refer_to}{tail}"
        ));
    }

    /// A request in the session.
    fn request_comes_inside(&mut self) {
        self.number += 1;
        let back = u32::from(self.byte() % 4 == 3);
        let (n, number) = (self.number, (self.number + 1).saturating_sub(back));
        let (method, more) = self
            .one(&[
                ("SUBSCRIBE", "Event: presence\r\n"),
                ("SUBSCRIBE", "Event: conference;id=1\r\n"),
                ("SUBSCRIBE", "Event: refer\r\nExpires: 0\r\n"),
                ("REFER", "Refer-To: <sip:x@example.net>\r\n"),
                ("REFER", "Refer-To: <sip:x@example.net>\r\nRefer-Sub: false\r\n"),
                ("REFER", ""),
                ("NOTIFY", "Event: presence\r\n"),
                ("NOTIFY", "Event: conference;id=1\r\n"),
                ("NOTIFY", "Event: refer\r\n"),
                ("NOTIFY", "Event: refer;id=2\r\n"),
            ])
            .unwrap_or(("NOTIFY", ""));
        let state = self.one(&["active;expires=60", "pending", "terminated;reason=noresource", "active"]);
        let state = state.map(|state| format!("Subscription-State: {state}\r\n")).unwrap_or_default();
        let contact = self.one(&["Contact: <sip:p@192.0.2.1>\r\n", "Contact: <sip:q@192.0.2.1>\r\n", ""]).unwrap_or("");
        self.take(&format!(
            "{method} sip:u@gw.example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKi{n}\r\n\
             From: <sip:p@example.net>;tag=p\r\nTo: <sip:u@example.com>;tag=u\r\nCall-ID: {SESSION}\r\n\
             CSeq: {number} {method}\r\n{contact}{more}{state}Content-Length: 0\r\n\r\n"
        ));
    }

    /// We say something in the session: by itself, or as another usage.
    fn we_act_inside(&mut self) {
        let Some(mut wish) = self.wish() else { return };
        let what = self.byte();
        let Some(session) = &mut self.session else { return };
        if what.is_multiple_of(4) {
            // It is lost on its way, but it has a number.
            return assert!(session.request(Method::Update).is_some());
        }
        if wish.package != REFER && what & 8 == 0 {
            (wish.package, wish.event_id) = ("conference", Some(Str::const_new("1")));
        }
        let dialog = session.share();
        if let Ok(id) = self.act(|engine, ground| engine.subscribe_in(ground, dialog, wish)) {
            self.alive.insert(id);
        }
    }

    fn notify_comes(&mut self) {
        let Some(ours) = self.subscribe.clone() else { return };
        self.number += 1;
        let n = self.number;
        let tag = self.one(&["p", "p", "p", "q"]).unwrap_or("p");
        let state = self.one(&[
            "active;expires=60",
            "active",
            "pending;expires=3600",
            "terminated;reason=timeout",
            "terminated;retry-after=5",
            "unheard-of;expires=4294967295",
        ]);
        let number = n.saturating_sub(u32::from(self.byte() % 4 == 3) * 2);
        let value = |name| ours.headers.get(name).unwrap_or_default().to_owned();
        let (to, call_id) = (value(Name::From), value(Name::CallId));
        let mut tail = self.tail(state);
        if ours.method == Method::Refer {
            tail = tail.replace("Event: presence", "Event: refer");
        }
        self.take(&format!(
            "NOTIFY sip:u@gw.example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKn{n}\r\n\
             From: <sip:p@example.net>;tag={tag}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {number} NOTIFY\r\n{tail}"
        ));
    }

    fn response_comes(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let at = usize::from(self.byte()) % self.open.len();
        let code = self.one(&[200, 200, 202, 100, 204, 302, 401, 403, 423, 481, 489, 500, 503, 603]).unwrap_or(200);
        let tag = self.one(&["p", "p", "q"]).unwrap_or("p");
        let mut response = Response::to_request(&self.open[at].1, code, "", Some(tag));
        let extra = self.byte();
        if extra & 1 == 0 {
            response.headers.push(Name::Contact, "<sip:p@192.0.2.1;gr=x>");
        }
        if extra & 2 == 0 {
            response.headers.push(Name::Expires, self.one(&[3600u32, 60, 0, u32::MAX]).unwrap_or(0));
        }
        match extra % 5 {
            2 => response.headers.push(Name::RetryAfter, 7),
            3 => response.headers.push(Name::MinExpires, 7200),
            4 => response.headers.push(Name::RecordRoute, "<sip:r.example.net>, <sip:s.example.net;lr>"),
            1 => response.headers.push(Name::ReferSub, "false"),
            _ => {}
        }
        let text = String::from_utf8_lossy(&response.to_bytes()).into_owned();
        self.take(&text);
    }

    fn we_subscribe(&mut self) {
        let Some(wish) = self.wish() else { return };
        if let Ok(id) = self.act(|engine, ground| engine.subscribe(ground, wish)) {
            self.alive.insert(id);
        }
    }

    /// A SUBSCRIBE or a REFER of ours.
    fn wish(&mut self) -> Option<Subscribe> {
        let expires = self.one(&[3600, 60, 0, u32::MAX])?;
        let quiet = (Name::ReferSub, Str::const_new("false"));
        let refer_to = Str::const_new("<sip:x@example.net>");
        let (package, by) = match self.byte() % 8 {
            5 => (REFER, By::Refer { refer_to, headers: Vec::new() }),
            6 => (REFER, By::Refer { refer_to, headers: vec![quiet] }),
            _ => ("presence", By::Subscribe),
        };
        let uri = |text| Uri::parse(text).expect("a URI");
        Some(Subscribe {
            package,
            event_id: None,
            local: NameAddr::new(uri("sip:u@example.com")),
            remote: uri("sip:p@example.net"),
            contact: NameAddr::new(uri("sip:u@gw.example.com")),
            accept: "application/pidf+xml",
            expires,
            route: None,
            hop: self.hop.0.clone(),
            call_id: None,
            by,
        })
    }

    /// Another process goes on with what was stored.
    fn crash(&mut self) {
        let stored: Vec<(Usage, Time)> = self
            .alive
            .iter()
            .filter_map(|id| self.engine.snapshot(self.now, *id))
            .map(|usage| {
                let until = self.now + Duration::from_secs(u64::from(usage.expires_in));
                (usage, until)
            })
            .collect();
        (self.agent, self.engine) = parts(&mut self.tokens);
        self.session = None;
        self.watches.clear();
        self.notifies.clear();
        self.alive.clear();
        self.open.clear();
        self.ended.clear();
        for (usage, until) in stored {
            let id = self.act(|engine, ground| engine.restore(ground, usage, until)).expect("what was stored is sound");
            self.alive.insert(id);
        }
    }

    /// Lets time pass from deadline to deadline. `false` if nothing is due in that time.
    fn pass(&mut self, duration: Duration) -> bool {
        let end = self.now + duration;
        let mut due = false;
        while let Some(at) =
            [self.agent.deadline(), self.engine.deadline()].into_iter().flatten().min().filter(|at| *at <= end)
        {
            due = true;
            self.now = at.max(self.now);
            self.agent.timeout(self.now);
            self.settle();
            self.act(Subscriptions::timeout);
            self.settle();
        }
        self.now = end;
        due
    }

    fn settle(&mut self) {
        loop {
            if let Some(output) = self.agent.poll() {
                self.output(output);
            } else if let Some(event) = self.engine.poll() {
                self.event(&event);
            } else if self.engine.deadline().is_some_and(|at| at <= self.now) {
                self.act(Subscriptions::timeout);
            } else {
                return;
            }
        }
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Send { bytes, client, .. } => {
                let message = parse_datagram(&bytes, &Limits::default()).expect("what is sent can be read");
                if let (Message::Request(request), Some(client)) = (message, client) {
                    self.sent(client, request);
                }
            }
            Output::Request { id, request, flow } => {
                let contact = NameAddr::new(Uri::parse("sip:u@gw.example.com").expect("a URI"));
                let inside = request.headers.get(Name::CallId) == Some(SESSION);
                match self.session.as_mut().filter(|_| inside).map(Dialog::share) {
                    Some(dialog) => {
                        self.act(|engine, ground| engine.request_in(ground, id, request, flow, &contact, dialog));
                    }
                    None => self.act(|engine, ground| engine.request(ground, id, request, flow, &contact)),
                }
            }
            Output::Response { id, response } => {
                if response.code >= 200 {
                    self.open.retain(|(client, _)| *client != id);
                }
                self.act(|engine, ground| engine.response(ground, id, &response));
            }
            Output::Failed { id, why } => {
                self.open.retain(|(client, _)| *client != id);
                self.act(|engine, ground| engine.failed(ground, id, why));
            }
            Output::Cancelled { id, .. } => drop(self.engine.cancelled(id)),
            Output::Ack { .. } | Output::Locate { .. } => {}
        }
    }

    /// A request of ours, first or again.
    fn sent(&mut self, client: ClientId, request: Request) {
        if self.open.iter().any(|(known, _)| *known == client) {
            return;
        }
        let headers = &request.headers;
        let half = |of: &Request| {
            let tag = of.headers.from_tag().unwrap_or_default().to_owned();
            (of.headers.get(Name::CallId).unwrap_or_default().to_owned(), tag)
        };
        let ours = half(&request);
        let number = headers.cseq().expect("a CSeq").number;
        let last = headers.get(Name::Expires) == Some("0")
            || headers.subscription_state().expect("well-formed").is_some_and(|value| value.state == "terminated");
        let before = self.cseqs.get(&ours).copied();
        assert!(before.is_none_or(|before| before < number), "{number} behind {before:?}");
        if ours.0 == SESSION {
            // Several usages speak at once, and none of them speaks for all.
            self.cseqs.insert(ours, number);
            return self.open.push((client, request));
        }
        assert!(!self.ended.contains(&ours), "behind the last NOTIFY: {request:?}");
        let same = |(_, other): &(ClientId, Request)| other.method == request.method && half(other) == ours;
        assert!(!self.open.iter().any(same), "two at once: {request:?}");
        if !last {
            self.cseqs.insert(ours.clone(), number);
        }
        match request.method {
            Method::Subscribe | Method::Refer => self.subscribe = Some(request.clone()),
            _ => self.notify = Some(request.clone()),
        }
        if last && request.method == Method::Notify {
            self.ended.insert(ours);
        }
        self.open.push((client, request));
    }

    fn event(&mut self, event: &Event) {
        let id = event.id();
        if let Event::Watch { server, .. } = *event {
            self.alive.insert(id);
            return self.watches.push((id, server));
        }
        if let Event::Notify { server, .. } = *event {
            return self.notifies.push((id, server));
        }
        assert!(self.alive.contains(&id), "{event:?} of a dead usage");
        if event.is_last() {
            self.alive.remove(&id);
        }
        if let Event::Wanted { .. } = event {
            let state = match self.byte() % 16 {
                3 => State::Pending,
                7 => State::terminated(Reason::Rejected),
                11 => return self.engine.skip(id),
                _ => State::Active,
            };
            let content = Bytes::from_static(b"x");
            let body = Body { content_type: "text/plain", language: Some("en"), content };
            self.act(|engine, ground| engine.notify(ground, id, &state, Some(body)));
        }
    }
}
