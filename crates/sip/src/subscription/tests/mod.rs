//! The engine, from outside: each test states what comes in and everything that goes out.

mod bounds;
mod cost;
mod durable;
mod model;
mod notifier;
mod refer;
mod sharing;
mod subscriber;

use super::*;
use crate::NextHop;
use crate::agent::{self, Agent, Hop, Output, SendTo, Target, Transport};
use crate::header::NameAddr;
use crate::limits::Limits;
use crate::parse::parse_datagram;
use crate::uri::{Host, Uri};
use base::Str;
use bytes::Bytes;
use std::net::SocketAddr;

/// Who knows the way: to the first route, or to the target; the port is the address's.
#[derive(Debug)]
pub(super) struct Hops;

impl NextHop for Hops {
    fn next_hop(&self, dialog: &Dialog) -> Option<Hop> {
        let target = dialog.target()?;
        let route = dialog.route_set.first().map(|route| NameAddr::parse_bracketed(route).expect("a route").uri);
        let uri = route.as_ref().unwrap_or(&target).sip().expect("a SIP URI");
        let remote = match uri.host.ip() {
            Some(ip) => SocketAddr::new(ip, uri.port.unwrap_or(5060)),
            None if uri.host == Host::parse("nowhere.example").expect("a host") => return None,
            None => address("192.0.2.1:5070"),
        };
        Some(Target::new(Transport::Udp, remote).into())
    }
}

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub(super) fn uri(text: &str) -> Uri {
    Uri::parse(text).expect("a URI")
}

/// An engine on an agent, and the time.
pub(super) struct Desk {
    pub(super) agent: Agent,
    pub(super) engine: Subscriptions,
    pub(super) tokens: Tokens,
    pub(super) now: Time,
    pub(super) from: SocketAddr,
    /// Answers each `Wanted` by itself with this state.
    pub(super) state: Option<State>,
    /// Loses every request.
    pub(super) lose: bool,
    /// Romeo's session with Juliet: what comes in its dialog is said to be of it.
    pub(super) session: Option<Dialog>,
    seen: BTreeSet<ClientId>,
}

pub(super) fn config() -> Config {
    Config { packages: vec!["presence", "conference", REFER], notify_burst: 4, ..Config::default() }
}

impl Desk {
    pub(super) fn new() -> Desk {
        Desk::with(config())
    }

    pub(super) fn with(config: Config) -> Desk {
        Desk::on(100, config)
    }

    /// One whose agent has room for so many requests of its own.
    pub(super) fn on(max_client: usize, config: Config) -> Desk {
        let host = Host::parse("gw.example.com").expect("a host");
        let agent = agent::Config {
            sent_by: vec![(Transport::Udp, host, None)],
            max_client,
            allow: vec![Method::Subscribe, Method::Notify, Method::Refer],
            dialogs: true,
            ..agent::Config::default()
        };
        let mut tokens = Tokens::seeded(1);
        let agent = Agent::new(agent, tokens.fork());
        let engine = Subscriptions::new(config, &mut tokens);
        let from = address("192.0.2.1:5070");
        Desk {
            agent,
            engine,
            tokens,
            now: Time::from_secs(1000),
            from,
            state: Some(State::Active),
            lose: false,
            session: None,
            seen: BTreeSet::new(),
        }
    }

    pub(super) fn flow(&self) -> Flow {
        Flow { transport: Transport::Udp, local: address("198.51.100.1:5060"), remote: self.from, connection: None }
    }

    /// Says something to the engine, and gives all that comes of it.
    pub(super) fn act<R>(&mut self, act: impl FnOnce(&mut Subscriptions, &mut Ground<'_>) -> R) -> Told {
        let mut ground = Ground { now: self.now, agent: &mut self.agent, hops: &Hops, tokens: &mut self.tokens };
        act(&mut self.engine, &mut ground);
        self.drain()
    }

    pub(super) fn drain(&mut self) -> Told {
        let mut told = Told::default();
        loop {
            if let Some(output) = self.agent.poll() {
                let flow = self.flow();
                let mut ground =
                    Ground { now: self.now, agent: &mut self.agent, hops: &Hops, tokens: &mut self.tokens };
                match output {
                    Output::Send { to, bytes, client } => {
                        // What is sent again is of no interest.
                        if client.is_none_or(|client| self.seen.insert(client)) {
                            told.sent.push((to, text(&bytes)));
                        }
                        if let Some(client) = client.filter(|_| self.lose) {
                            self.agent.send_failed(self.now, client);
                        }
                    }
                    Output::Request { id, request, .. } => {
                        let user = request.uri.sip().and_then(|uri| uri.user.clone()).expect("a user");
                        let contact = NameAddr::new(uri(&format!("sip:{user}@gw.example.com")));
                        let of = self.session.as_mut().filter(|of| of.call_id == request.headers.call_id().unwrap());
                        match of.filter(|_| request.headers.to_tag().is_some()).map(Dialog::share) {
                            Some(dialog) => {
                                self.engine.request_in(&mut ground, id, request, flow, &contact, dialog);
                            }
                            None => self.engine.request(&mut ground, id, request, flow, &contact),
                        }
                    }
                    Output::Response { id, response } => {
                        assert!(self.engine.response(&mut ground, id, &response), "a response to nothing");
                    }
                    Output::Failed { id, why } => assert!(self.engine.failed(&mut ground, id, why), "of nobody"),
                    Output::Cancelled { id, .. } => told.cancelled |= self.engine.cancelled(id),
                    Output::Locate { .. } => panic!("nobody is looked for"),
                    Output::Ack { .. } => panic!("no INVITE was sent"),
                }
            } else if let Some(event) = self.engine.poll() {
                if let (Event::Wanted { id, .. }, Some(state)) = (&event, &self.state) {
                    let (id, state) = (*id, state.clone());
                    let body = Body { content_type: "text/plain", language: None, content: Bytes::from_static(b"x") };
                    let mut ground =
                        Ground { now: self.now, agent: &mut self.agent, hops: &Hops, tokens: &mut self.tokens };
                    self.engine.notify(&mut ground, id, &state, Some(body));
                } else {
                    told.events.push(event);
                }
            } else if self.engine.deadline().is_some_and(|at| at <= self.now) {
                let mut ground =
                    Ground { now: self.now, agent: &mut self.agent, hops: &Hops, tokens: &mut self.tokens };
                self.engine.timeout(&mut ground);
            } else {
                return told;
            }
        }
    }

    /// A message comes by the wire; line ends are LF in the tests.
    pub(super) fn receive(&mut self, text: &str) -> Told {
        let bytes = Bytes::from(text.replace('\n', "\r\n"));
        let message = parse_datagram(&bytes, &Limits::default()).expect("a message");
        let flow = self.flow();
        self.agent.received(self.now, message, flow);
        self.drain()
    }

    /// Lets time pass from deadline to deadline.
    pub(super) fn wait(&mut self, seconds: f64) -> Told {
        let end = self.now + Duration::from_secs_f64(seconds);
        let mut all = Told::default();
        while let Some(at) =
            [self.agent.deadline(), self.engine.deadline()].into_iter().flatten().min().filter(|at| *at <= end)
        {
            self.now = at.max(self.now);
            self.agent.timeout(self.now);
            all.extend(self.drain());
            all.extend(self.act(Subscriptions::timeout));
        }
        self.now = end;
        all
    }

    /// A SUBSCRIBE that makes a subscription, accepted as it came up: the name of the usage and the NOTIFY.
    pub(super) fn watched(&mut self) -> (UsageId, String) {
        let (id, server) = self.receive(&subscribe("", 1, 3600)).watch();
        let told = self.act(|engine, ground| engine.accept(ground, id, server, 3600));
        (id, told.notify())
    }
}

/// All that came of something.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) sent: Vec<(SendTo, String)>,
    pub(super) events: Vec<Event>,
    pub(super) cancelled: bool,
}

impl Told {
    pub(super) fn extend(&mut self, other: Told) {
        self.sent.extend(other.sent);
        self.events.extend(other.events);
        self.cancelled |= other.cancelled;
    }

    /// One line for each: the first lines of messages, the names of events.
    pub(super) fn summary(&self) -> Vec<String> {
        let sent = self.sent.iter().map(|(_, text)| text.lines().next().unwrap_or_default().to_owned());
        sent.chain(self.events.iter().map(event_name)).collect()
    }

    /// The one SUBSCRIBE that came up.
    pub(super) fn watch(&self) -> (UsageId, ServerId) {
        match self.events.as_slice() {
            [Event::Watch { id, server, .. }] => (*id, *server),
            other => panic!("not one SUBSCRIBE: {other:?} {:?}", self.sent),
        }
    }

    /// The one NOTIFY that came up.
    pub(super) fn notified(&self) -> (UsageId, ServerId, State) {
        let mut all = self.events.iter().filter_map(|event| match event {
            Event::Notify { id, server, state, .. } => Some((*id, *server, state.clone())),
            _ => None,
        });
        all.next().unwrap_or_else(|| panic!("no NOTIFY: {:?} {:?}", self.events, self.sent))
    }

    fn one(&self, start: &str) -> String {
        let mut all = self.sent.iter().map(|(_, text)| text).filter(|text| text.starts_with(start));
        let one = all.next().unwrap_or_else(|| panic!("no {start}: {:?} {:?}", self.sent, self.events));
        assert!(all.next().is_none(), "more than one {start}: {:?}", self.sent);
        one.clone()
    }

    /// The one NOTIFY that was sent.
    pub(super) fn notify(&self) -> String {
        self.one("NOTIFY ")
    }

    /// The one SUBSCRIBE that was sent.
    pub(super) fn subscribe(&self) -> String {
        self.one("SUBSCRIBE ")
    }

    /// The one REFER that was sent.
    pub(super) fn refer(&self) -> String {
        self.one("REFER ")
    }

    /// The one response that was sent.
    pub(super) fn response(&self) -> String {
        self.one("SIP/2.0 ")
    }

    /// The names of the events.
    pub(super) fn names(&self) -> Vec<String> {
        self.events.iter().map(event_name).collect()
    }
}

fn cause_name(cause: &Cause) -> String {
    match cause {
        Cause::Response(response) => response.code.to_string(),
        other => format!("{other:?}"),
    }
}

pub(super) fn event_name(event: &Event) -> String {
    match event {
        Event::Watch { kind, expires, .. } => format!("watch {kind:?} {expires}"),
        Event::Wanted { last, .. } => format!("wanted{}", if *last { " last" } else { "" }),
        Event::WatcherGone { cause, .. } => format!("gone {}", cause_name(cause)),
        Event::Lapsed { .. } => "lapsed".to_owned(),
        Event::Ended { .. } => "ended".to_owned(),
        Event::Accepted { expires, .. } => format!("accepted {expires}"),
        Event::Notify { state, .. } => format!("notify {state:?}"),
        Event::RefreshDue { .. } => "refresh".to_owned(),
        Event::Refused { cause, gone, .. } => {
            format!("refused {}{}", cause_name(cause), if *gone { " gone" } else { "" })
        }
        Event::Expired { .. } => "expired".to_owned(),
        Event::Save { .. } => "save".to_owned(),
    }
}

pub(super) fn text(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8").replace("\r\n", "\n")
}

/// The value of a header of a message in text.
pub(super) fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let mut lines = message.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_else(|| panic!("no {name}: {message}"))
}

pub(super) fn tag(message: &str, name: &str) -> String {
    header(message, name).split(";tag=").nth(1).expect("a tag").to_owned()
}

/// Romeo's SUBSCRIBE to Juliet with this To tag and number.
pub(super) fn subscribe(to_tag: &str, cseq: u32, expires: u32) -> String {
    let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    format!(
        "SUBSCRIBE sip:juliet@example.com SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bKs{cseq}{to_tag};rport\n\
         Max-Forwards: 70\nFrom: <sip:romeo@example.net>;tag=r\nTo: <sip:juliet@example.com>{tag}\nCall-ID: c@example.net\n\
         CSeq: {cseq} SUBSCRIBE\nContact: <sip:romeo@192.0.2.1:5070>\nEvent: presence\nExpires: {expires}\nContent-Length: 0\n\n"
    )
}

/// The dialog of a session that Romeo began, whose INVITE had the number 1.
pub(super) fn session() -> Dialog {
    let invite = romeo("INVITE", "", 1, "Record-Route: <sip:192.0.2.7;lr>\n").replace("\n", "\r\n");
    match parse_datagram(&Bytes::from(invite), &Limits::default()) {
        Ok(crate::Message::Request(invite)) => Dialog::as_uas(&invite, "j", 0).expect("a dialog"),
        other => panic!("no INVITE: {other:?}"),
    }
}

/// A request of Romeo's in that session, or (without our tag) what would begin it.
pub(super) fn romeo(method: &str, to_tag: &str, cseq: u32, headers: &str) -> String {
    let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    format!(
        "{method} sip:juliet@gw.example.com SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK{method}{cseq}{to_tag};rport\n\
         Max-Forwards: 70\nFrom: <sip:romeo@example.net>;tag=r\nTo: <sip:juliet@example.com>{tag}\nCall-ID: s@example.net\n\
         CSeq: {cseq} {method}\nContact: <sip:romeo@192.0.2.1:5070>\n{headers}Content-Length: 0\n\n"
    )
}

/// The response to a request of ours.
pub(super) fn response(request: &str, code: u16, to_tag: &str, headers: &str) -> String {
    let mut out = format!("SIP/2.0 {code} X\n");
    for line in
        request.lines().skip(1).filter(|l| ["Via", "From", "To:", "Call", "CSeq"].iter().any(|n| l.starts_with(n)))
    {
        out.push_str(line);
        if line.starts_with("To:") && !line.contains(";tag=") {
            out.push_str(";tag=");
            out.push_str(to_tag);
        }
        out.push('\n');
    }
    out + headers + "Content-Length: 0\n\n"
}

/// The other side's NOTIFY for a SUBSCRIBE of ours.
pub(super) fn notify_for(subscribe: &str, tag: &str, cseq: u32, state: &str) -> String {
    let (from, to) = (header(subscribe, "To"), header(subscribe, "From"));
    let from = from.split(";tag=").next().unwrap_or_default();
    format!(
        "NOTIFY sip:juliet@gw.example.com SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bKn{cseq}{tag};rport\n\
         Max-Forwards: 70\nFrom: {from};tag={tag}\nTo: {to}\nCall-ID: {}\nCSeq: {cseq} NOTIFY\n\
         Contact: <sip:romeo@192.0.2.1:5070>\nEvent: {}\nSubscription-State: {state}\nContent-Length: 0\n\n",
        header(subscribe, "Call-ID"),
        header(subscribe, "Event"),
    )
}

/// What Juliet wants to watch of Romeo.
pub(super) fn wish(expires: u32) -> Subscribe {
    Subscribe {
        package: "presence",
        event_id: None,
        local: NameAddr::parse("\"Juliet\" <sip:juliet@example.com>;x=y").expect("an address"),
        remote: uri("sip:romeo@example.net"),
        contact: NameAddr::new(uri("sip:juliet@gw.example.com;gr=balcony")),
        accept: "application/pidf+xml",
        expires,
        route: None,
        hop: Target::new(Transport::Udp, address("192.0.2.1:5070")).into(),
        call_id: None,
        by: By::Subscribe,
    }
}
