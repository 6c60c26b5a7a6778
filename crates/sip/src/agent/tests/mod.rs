//! The agent, from outside: each test states what comes in and everything that goes out.

mod client;
mod invite;
mod model;
mod route;
mod route_model;
mod server;

use super::*;
use crate::header::Name;
use crate::limits::Limits;
use crate::parse::parse_datagram;
use std::fmt::Write;

/// An agent with a log of what it said.
pub(super) struct Desk {
    pub(super) agent: Agent,
    pub(super) now: Time,
    pub(super) flow: Flow,
}

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub(super) fn flow(transport: Transport, remote: &str) -> Flow {
    let connection = transport.reliable().then_some(7);
    Flow { transport, local: address("198.51.100.1:5060"), remote: address(remote), connection }
}

pub(super) fn config() -> Config {
    let host = Host::parse("gw.example.com").expect("a host");
    let sent_by = [Transport::Udp, Transport::Tcp].map(|t| (t, host.clone(), None));
    Config { sent_by: sent_by.to_vec(), invites: true, ..Config::default() }
}

impl Desk {
    pub(super) fn new() -> Desk {
        Desk::with(config())
    }

    pub(super) fn with(config: Config) -> Desk {
        let flow = flow(Transport::Udp, "192.0.2.1:5070");
        Desk { agent: Agent::new(config, Tokens::seeded(1)), now: Time::from_secs(1000), flow }
    }

    /// Hands in a message as it would come by the wire; line ends are LF in the tests.
    pub(super) fn receive(&mut self, text: &str) -> Vec<Output> {
        let flow = self.flow;
        self.receive_by(text, flow)
    }

    pub(super) fn receive_by(&mut self, text: &str, flow: Flow) -> Vec<Output> {
        let bytes = Bytes::from(text.replace('\n', "\r\n"));
        match parse_datagram(&bytes, &Limits::default()) {
            Ok(message) => self.agent.received(self.now, message, flow),
            Err(rejected) => self.agent.rejected(self.now, rejected, flow),
        }
        self.drain()
    }

    pub(super) fn drain(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.agent.poll()).collect()
    }

    /// Lets time pass from deadline to deadline, and gives what came out, with the milliseconds after the start.
    pub(super) fn wait(&mut self, millis: u64) -> Vec<(u64, Output)> {
        let (start, end) = (self.now, self.now + Duration::from_millis(millis));
        let mut all = Vec::new();
        while let Some(at) = self.agent.deadline().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.agent.timeout(self.now);
            let since = self.now.since(start).as_millis() as u64;
            all.extend(std::iter::from_fn(|| self.agent.poll()).map(|o| (since, o)));
        }
        self.now = end;
        all
    }

    /// The id of the one request that came up.
    pub(super) fn surfaced(&mut self, text: &str) -> ServerId {
        match self.receive(text).as_slice() {
            [Output::Request { id, .. }] => *id,
            other => panic!("not one request: {}", told(other)),
        }
    }

    pub(super) fn answer(&mut self, id: ServerId, code: u16) -> Vec<Output> {
        self.agent.respond(self.now, id, Response::new(code, ""));
        self.drain()
    }
}

/// What went out, one line each: `to address: first line`, `request METHOD`, `response code`, `failed why`, ...
pub(super) fn told(outputs: &[Output]) -> String {
    let mut out = String::new();
    for output in outputs {
        let line = match output {
            Output::Send { to, bytes, .. } => {
                let where_to = match to {
                    SendTo::Flow { flow, .. } => flow.remote,
                    SendTo::Target(target) => target.remote,
                };
                format!("to {where_to}: {}", text(bytes).lines().next().unwrap_or_default())
            }
            Output::Request { request, .. } => format!("request {}", request.method),
            Output::Response { response, .. } => format!("response {}", response.code),
            Output::Failed { why, .. } => format!("failed {why:?}"),
            Output::Cancelled { .. } => "cancelled".to_owned(),
            Output::Ack { .. } => "ack".to_owned(),
            Output::Locate { question, .. } => format!("asks {question}"),
        };
        let _ = writeln!(out, "{line}");
    }
    out
}

pub(super) fn timed(outputs: &[(u64, Output)]) -> String {
    outputs.iter().map(|(at, o)| format!("{at} {}", told(std::slice::from_ref(o)))).collect()
}

pub(super) fn text(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// The bytes of the one message that was sent.
pub(super) fn sent(outputs: &[Output]) -> Bytes {
    match outputs {
        [Output::Send { bytes, .. }] => bytes.clone(),
        other => panic!("not one message: {}", told(other)),
    }
}

/// Where the one message was sent.
pub(super) fn sent_to(outputs: &[Output]) -> SendTo {
    match outputs {
        [Output::Send { to, .. }] => to.clone(),
        other => panic!("not one message: {}", told(other)),
    }
}

/// A request with the given method and Via parameters.
pub(super) fn request(method: &str, via: &str) -> String {
    format!(
        "{method} sip:juliet@example.com SIP/2.0\nVia: SIP/2.0/UDP {via}\nMax-Forwards: 70\nFrom: <sip:romeo@example.net>;tag=f1\n\
         To: <sip:juliet@example.com>\nCall-ID: c1@example.net\nCSeq: 1 {method}\nContent-Length: 0\n\n"
    )
}

pub(super) fn message() -> String {
    request("MESSAGE", "a.example.net;branch=z9hG4bKa1;rport")
}
