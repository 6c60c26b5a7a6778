//! The engine, from outside: each test states what comes in and everything that goes out.

mod callee;
mod caller;
mod cost;
mod exchange;
mod infos;
mod model;
mod sharing;

use super::*;
use crate::NextHop;
use crate::agent::{self, Agent, Hop, Output, SendTo, Target, Transport};
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
        let uri = route.as_ref().unwrap_or(&target).sip()?;
        let remote = match uri.host.ip() {
            Some(ip) => SocketAddr::new(ip, uri.port.unwrap_or(5060)),
            None if uri.host == Host::parse("nowhere.example").expect("a host") => return None,
            None => address("192.0.2.1:5070"),
        };
        let transport = if uri.secure { Transport::Tls } else { Transport::Udp };
        Some(Target::new(transport, remote).into())
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
    pub(super) engine: Sessions,
    pub(super) tokens: Tokens,
    pub(super) now: Time,
    /// The requests of ours that were sent, and the ACKs of refusals.
    seen: BTreeSet<(ClientId, bool)>,
}

/// The agent that the tests' engines stand on.
pub(super) fn below() -> agent::Config {
    let host = Host::parse("gw.example.com").expect("a host");
    agent::Config {
        sent_by: vec![(Transport::Udp, host, None)],
        allow: vec![
            Method::Invite,
            Method::Ack,
            Method::Cancel,
            Method::Bye,
            Method::Update,
            Method::Prack,
            Method::Info,
        ],
        surfaced: vec![Method::Refer],
        supported: vec!["timer".into(), "100rel".into()],
        invites: true,
        dialogs: true,
        ..agent::Config::default()
    }
}

impl Desk {
    pub(super) fn new() -> Desk {
        Desk::with(Config::default())
    }

    pub(super) fn with(config: Config) -> Desk {
        Desk::on(below(), config)
    }

    pub(super) fn on(below: agent::Config, config: Config) -> Desk {
        let mut tokens = Tokens::seeded(1);
        let agent = Agent::new(below, tokens.fork());
        let engine = Sessions::new(config, &mut tokens);
        Desk { agent, engine, tokens, now: Time::from_secs(1000), seen: BTreeSet::new() }
    }

    /// Says something to the engine, and gives all that comes of it.
    pub(super) fn act<R>(&mut self, act: impl FnOnce(&mut Sessions, &mut Ground<'_>) -> R) -> Told {
        let mut ground = Ground { now: self.now, agent: &mut self.agent, hops: &Hops, tokens: &mut self.tokens };
        act(&mut self.engine, &mut ground);
        self.drain()
    }

    pub(super) fn drain(&mut self) -> Told {
        let mut told = Told::default();
        loop {
            let mut ground = Ground { now: self.now, agent: &mut self.agent, hops: &Hops, tokens: &mut self.tokens };
            if let Some(output) = ground.agent.poll() {
                match output {
                    Output::Send { to, bytes, client } => {
                        // What is sent again by the agent is of no interest.
                        if client.is_none_or(|client| self.seen.insert((client, bytes.starts_with(b"ACK")))) {
                            told.sent.push((to, text(&bytes)));
                        }
                    }
                    Output::Request { id, request, flow } => {
                        let contact = NameAddr::new(uri("sip:juliet@gw.example.com;gr=balcony"));
                        self.engine.request(&mut ground, id, request, flow, &contact);
                    }
                    Output::Response { id, response } => {
                        assert!(self.engine.response(&mut ground, id, &response), "a response to nothing");
                    }
                    Output::Failed { id, why } => assert!(self.engine.failed(&mut ground, id, why), "of nobody"),
                    Output::Cancelled { id, reason } => {
                        self.engine.cancelled(&mut ground, id, reason);
                    }
                    Output::Locate { .. } => panic!("nobody is looked for"),
                    Output::Ack { id, request, .. } => self.engine.acked(&mut ground, id, request),
                }
            } else if let Some(event) = self.engine.poll() {
                told.events.push(event);
            } else {
                return told;
            }
        }
    }

    /// A message comes by the wire; line ends are LF in the tests.
    pub(super) fn receive(&mut self, text: &str) -> Told {
        let bytes = Bytes::from(text.replace('\n', "\r\n"));
        let message = parse_datagram(&bytes, &Limits::default()).expect("a message");
        let (local, remote) = (address("198.51.100.1:5060"), address("192.0.2.1:5070"));
        let flow = Flow { transport: Transport::Udp, local, remote, connection: None };
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
            all.extend(self.act(Sessions::timeout));
        }
        self.now = end;
        all
    }

    /// A minute passes in which nothing is said, and nothing is left.
    pub(super) fn rests(&mut self) {
        self.wait(100.0);
        let counts = self.engine.counts();
        assert_eq!((counts.sessions, counts.ending, counts.byes), (0, 0, 0));
        assert!(self.engine.entries.is_empty() && self.engine.dialogs.is_empty() && self.engine.clients.is_empty());
        assert!(self.engine.servers.is_empty() && self.engine.tails.is_empty() && self.engine.sources.is_empty());
        assert!(self.engine.due.is_empty() && self.engine.line.is_empty());
        assert_eq!((self.agent.counts().client_open, self.agent.counts().server_open), (0, 0));
    }
}

/// All that came of something.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) sent: Vec<(SendTo, String)>,
    pub(super) events: Vec<Event>,
}

impl Told {
    pub(super) fn extend(&mut self, other: Told) {
        self.sent.extend(other.sent);
        self.events.extend(other.events);
    }

    /// One line for each: the first words of messages, the names of events.
    pub(super) fn summary(&self) -> Vec<String> {
        let sent = self.sent.iter().map(|(_, text)| words(text));
        sent.chain(self.events.iter().map(event_name)).collect()
    }

    /// The one message that begins so.
    pub(super) fn one(&self, start: &str) -> String {
        let mut all = self.sent.iter().map(|(_, text)| text).filter(|text| text.starts_with(start));
        let one = all.next().unwrap_or_else(|| panic!("no {start}: {:?} {:?}", self.sent, self.events));
        assert!(all.next().is_none(), "more than one {start}: {:?}", self.sent);
        one.clone()
    }

    /// The session of the first event.
    pub(super) fn id(&self) -> SessionId {
        self.events.first().unwrap_or_else(|| panic!("no event: {:?}", self.sent)).id()
    }
}

/// The method of a request, the status of a response with its request's method.
fn words(message: &str) -> String {
    match message.strip_prefix("SIP/2.0 ") {
        Some(rest) => format!("{} {}", &rest[..3], header(message, "CSeq").split(' ').nth(1).unwrap_or_default()),
        None => message.split(' ').next().unwrap_or_default().to_owned(),
    }
}

pub(super) fn event_name(event: &Event) -> String {
    let said = |body: &Option<Body>| match body {
        Some(body) => format!(" {}", String::from_utf8_lossy(&body.content)),
        None => String::new(),
    };
    let cause = |cause: &crate::Cause| match cause {
        crate::Cause::Response(response) => response.code.to_string(),
        other => format!("{other:?}"),
    };
    match event {
        Event::Invited { request, .. } => format!("invited {}", String::from_utf8_lossy(&request.body)),
        Event::Progress { response, .. } => format!("progress {}", response.code),
        Event::Established { response, early: None, .. } => {
            format!("established {}", String::from_utf8_lossy(&response.body))
        }
        Event::Established { early: Some(early), .. } => {
            format!("established early {}", String::from_utf8_lossy(&early.content))
        }
        Event::Confirmed { body, .. } => format!("confirmed{}", said(body)),
        Event::Offered { body, .. } => format!("offered{}", said(body)),
        Event::Answered { body, .. } => format!("answered{}", said(body)),
        Event::OfferWithdrawn { .. } => "offer withdrawn".to_owned(),
        Event::OfferRefused { cause: why, .. } => format!("offer refused {}", cause(why)),
        Event::Info { request, .. } => format!("info {}", String::from_utf8_lossy(&request.body)),
        Event::InfoEnded { cause: None, .. } => "info taken".to_owned(),
        Event::InfoEnded { cause: Some(why), .. } => format!("info refused {}", cause(why)),
        Event::Failed { cause: why, .. } => format!("failed {}", cause(why)),
        Event::Ended { why, .. } => match why {
            Ended::Bye(_) => "ended bye".to_owned(),
            Ended::Cancelled(Some(reason)) => format!("ended cancelled {reason}"),
            other => format!("ended {other:?}").to_lowercase(),
        },
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

pub(super) fn body(content: &str) -> Option<Body> {
    Some(Body { content_type: "application/sdp".into(), content: Bytes::from(content.to_owned()) })
}

fn tail(headers: &str, body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
    format!("{headers}{kind}Content-Length: {}\n\n{body}", body.len())
}

/// Romeo's request, in the dialog of Juliet's tag if there is one. His INVITE has the number 1.
pub(super) fn romeo(method: &str, to_tag: &str, cseq: u32, headers: &str, body: &str) -> String {
    let to = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    let number = if method == "ACK" { "a" } else { "b" };
    let contact = if matches!(method, "INVITE" | "UPDATE") { "Contact: <sip:romeo@192.0.2.1:5070>\n" } else { "" };
    let branch = if method == "CANCEL" { "INVITE" } else { method };
    format!(
        "{method} sip:juliet@example.com SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK{branch}{number}{cseq};rport\n\
         Max-Forwards: 70\nFrom: <sip:romeo@example.net>;tag=r\nTo: <sip:juliet@example.com>{to}\nCall-ID: c@example.net\n\
         CSeq: {cseq} {method}\n{contact}{}",
        tail(headers, body)
    )
}

/// The response to a request of ours.
pub(super) fn answer(request: &str, code: u16, to_tag: &str, headers: &str, body: &str) -> String {
    let mut out = format!("SIP/2.0 {code} X\n");
    for line in
        request.lines().skip(1).filter(|l| ["Via", "From", "To:", "Call", "CSeq"].iter().any(|n| l.starts_with(n)))
    {
        out.push_str(line);
        if line.starts_with("To:") && !line.contains(";tag=") && !to_tag.is_empty() {
            out.push_str(";tag=");
            out.push_str(to_tag);
        }
        out.push('\n');
    }
    out + &tail(headers, body)
}

/// The other side's request in the dialog that a request of ours began or belongs to.
pub(super) fn back(ours: &str, method: &str, tag: &str, cseq: u32, headers: &str, body: &str) -> String {
    let from = header(ours, "To").split(";tag=").next().unwrap_or_default();
    format!(
        "{method} sip:juliet@gw.example.com SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK{method}{cseq}{tag};rport\n\
         Max-Forwards: 70\nFrom: {from};tag={tag}\nTo: {}\nCall-ID: {}\nCSeq: {cseq} {method}\n\
         Contact: <sip:romeo@192.0.2.1:5070>\n{}",
        header(ours, "From"),
        header(ours, "Call-ID"),
        tail(headers, body)
    )
}

/// Romeo's Contact and what his side can.
pub(super) const ABLE: &str = "Contact: <sip:romeo@192.0.2.1:5070>\nAllow: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK\n";

/// What Juliet wants of Romeo.
pub(super) fn wish(offer: &str) -> Invite {
    Invite {
        local: NameAddr::parse("\"Juliet\" <sip:juliet@example.com>;x=y").expect("an address"),
        remote: uri("sip:romeo@example.net"),
        contact: NameAddr::new(uri("sip:juliet@gw.example.com;gr=balcony")),
        hop: Target::new(Transport::Udp, address("192.0.2.1:5070")).into(),
        route: None,
        call_id: None,
        headers: vec![(Name::Subject, "Hi".into())],
        offer: if offer.is_empty() { None } else { body(offer) },
        infos: Infos::default(),
    }
}

impl Desk {
    /// Juliet's INVITE.
    pub(super) fn calling(&mut self, offer: &str) -> (SessionId, String) {
        let mut id = None;
        let invite = self.act(|engine, ground| id = engine.invite(ground, wish(offer)).ok()).one("INVITE ");
        (id.expect("a session"), invite)
    }

    /// The same, answered by Romeo under the tag r.
    pub(super) fn called(&mut self, headers: &str) -> (SessionId, String) {
        let (id, invite) = self.calling("offer");
        let told = self.receive(&answer(&invite, 200, "r", &format!("{ABLE}{headers}"), "answer"));
        assert_eq!(told.summary(), ["ACK", "established answer"]);
        (id, told.one("ACK "))
    }

    /// Romeo's INVITE, accepted and acknowledged: the session and Juliet's tag.
    pub(super) fn standing(&mut self, headers: &str) -> (SessionId, String) {
        let id = self.receive(&romeo("INVITE", "", 1, headers, "offer")).id();
        let ok = self.act(|engine, ground| engine.accept(ground, id, Vec::new(), body("answer"))).one("SIP/2.0 200");
        let tag = tag(&ok, "To");
        assert_eq!(self.receive(&romeo("ACK", &tag, 1, "", "")).summary(), ["confirmed"]);
        (id, tag)
    }
}
