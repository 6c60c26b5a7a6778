//! Agents and what they say, in simulated time.

mod binding;
mod cost;
mod incoming;
mod model;
mod nicknames;
mod outgoing;
mod relaying;

use super::*;
use crate::decoder::{Decoder, Limits};
use crate::frame::FailureReport;
use crate::uri::Host;
use base::Str;
use bytes::Bytes;
use std::time::Duration;

fn config() -> Config {
    let host = Host::Name("gw.example.com".into());
    let open = Advertised { secure: false, host: host.clone(), port: 2855 };
    Config { advertise: vec![open, Advertised { secure: true, host, port: 2856 }], ..Config::default() }
}

fn hop() -> Hop {
    Hop { host: Host::Name("peer.example.com".into()), port: 2855, tls: None }
}

fn message(body: &str) -> Outgoing {
    Outgoing {
        message_id: None,
        content_type: "text/plain".into(),
        headers: Vec::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        success_report: false,
        failure_report: FailureReport::Yes,
    }
}

const WIRE: ConnectionId = ConnectionId(7);

/// One agent, and its other end by hand.
struct Desk {
    agent: Agent,
    now: Time,
    id: SessionId,
    /// Our URI.
    own: String,
}

const PEER: &str = "msrp://192.0.2.10:2855/peer;tcp";

fn peer(way: Way) -> Peer {
    Peer { path: Path::parse(PEER).unwrap(), way, max_size: None }
}

impl Desk {
    /// A session that is ready.
    fn with(config: Config) -> Desk {
        let mut agent = Agent::new(config, Tokens::seeded(1));
        agent.core.last_ticket = 0;
        let now = Time::from_secs(10);
        let id = agent.open(now, false).unwrap();
        let own = agent.local_path(id).unwrap().to_string();
        let mut desk = Desk { agent, now, id, own };
        assert_eq!(desk.drain(), [format!("ready {}", desk.id.0)]);
        desk
    }

    /// A session whose other end has connected.
    fn up(config: Config) -> Desk {
        let mut desk = Desk::with(config);
        desk.agent.begin(desk.now, desk.id, &peer(Way::Passive));
        assert_eq!(desk.drain(), [""; 0]);
        let said = desk.receive(&desk.send("tid0", "first", "", None, '$'));
        assert_eq!(said, ["bind 7", "up 1", "7: tid0 200 OK"]);
        desk
    }

    /// What comes out, in short.
    fn drain(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(output) = self.agent.poll() {
            match output {
                Output::Write { connection, bytes } => {
                    let mut decoder = Decoder::new(Limits::default());
                    decoder.push(&bytes);
                    while let Some(arrival) = decoder.next() {
                        out.push(format!("{}: {}", connection.0, self.frame(arrival.expect("what we write is MSRP"))));
                    }
                    assert_eq!(decoder.pending(), 0);
                }
                Output::Open { ticket, hop } => out.push(format!("open {} {}:{}", ticket.0, hop.host, hop.port)),
                Output::Bind { connection } => out.push(format!("bind {}", connection.0)),
                Output::Release { connection } => out.push(format!("release {}", connection.0)),
                Output::Event(event) => out.push(event_text(&event)),
            }
        }
        out
    }

    fn frame(&self, arrival: Arrival) -> String {
        match arrival {
            Arrival::Frame(Frame::Response(r)) => format!("{} {} {}", r.transaction, r.code, r.comment),
            Arrival::Frame(Frame::Request(r)) => {
                let method = r.method.as_str();
                let range = r.range.map(|range| format!(" {range}")).unwrap_or_default();
                let status = r.status.map(|s| format!(" {:03} {}", s.namespace, s.code)).unwrap_or_default();
                let body = r.body.map(|b| format!(" {:?}", String::from_utf8_lossy(&b))).unwrap_or_default();
                format!("{method}{range}{status}{body}{}", char::from(r.flag.byte()))
            }
            other => panic!("we wrote {other:?}"),
        }
    }

    fn receive(&mut self, text: &str) -> Vec<String> {
        self.receive_on(WIRE, text)
    }

    fn receive_on(&mut self, connection: ConnectionId, text: &str) -> Vec<String> {
        let mut decoder = Decoder::new(Limits::default());
        decoder.push(text.as_bytes());
        while let Some(arrival) = decoder.next() {
            self.agent.received(self.now, connection, arrival.expect("MSRP"));
        }
        assert_eq!(decoder.pending(), 0, "the whole text was read");
        self.drain()
    }

    /// Answers all chunks of ours.
    fn answer_all(&mut self, code: u16) -> Vec<String> {
        let open: Vec<Str> =
            self.agent.sessions.get(&self.id).unwrap().outbox.transactions.iter().map(|t| t.id.clone()).collect();
        open.iter().flat_map(|tid| self.answer(tid, code)).collect()
    }

    /// An answer to a chunk of ours.
    fn answer(&mut self, tid: &str, code: u16) -> Vec<String> {
        let own = self.own.clone();
        self.receive(&format!("MSRP {tid} {code} x\r\nTo-Path: {own}\r\nFrom-Path: {PEER}\r\n-------{tid}$\r\n"))
    }

    /// A REPORT to us.
    fn report(&mut self, message_id: &str, range: &str, status: &str) -> Vec<String> {
        let own = self.own.clone();
        self.receive(&format!(
            "MSRP rep0 REPORT\r\nTo-Path: {own}\r\nFrom-Path: {PEER}\r\nMessage-ID: {message_id}\r\n\
             Byte-Range: {range}\r\nStatus: {status}\r\n-------rep0$\r\n"
        ))
    }

    /// Sends, and what comes out of it.
    fn say(&mut self, outgoing: Outgoing) -> (Str, Vec<String>) {
        let id = self.agent.send(self.now, self.id, outgoing).unwrap();
        (id, self.drain())
    }

    /// Answers the message of this number.
    fn respond(&mut self, number: u32, code: u16) -> Vec<String> {
        self.agent.answer(self.now, MessageToken { session: self.id, number }, code, "");
        self.drain()
    }

    fn wait(&mut self, seconds: u64) -> Vec<String> {
        self.now = self.now + Duration::from_secs(seconds);
        self.agent.timeout(self.now);
        self.drain()
    }

    /// A SEND to us; `more` are headers, each with its line end.
    fn send(&self, tid: &str, message_id: &str, more: &str, body: Option<&str>, flag: char) -> String {
        let body = body.map(|b| format!("Content-Type: text/plain\r\n\r\n{b}\r\n")).unwrap_or_default();
        let (own, method) = (&self.own, "SEND");
        format!(
            "MSRP {tid} {method}\r\nTo-Path: {own}\r\nFrom-Path: {PEER}\r\nMessage-ID: {message_id}\r\n{more}{body}-------{tid}{flag}\r\n"
        )
    }
}

fn event_text(event: &Event) -> String {
    match event {
        Event::Ready { id } => format!("ready {}", id.0),
        Event::Up { id } => format!("up {}", id.0),
        Event::Message { token, message, .. } => {
            format!("message {} {} {:?}", token.number, message.message_id, String::from_utf8_lossy(&message.body))
        }
        Event::Sent { message_id, .. } => format!("sent {message_id}"),
        Event::Failed { message_id, why, .. } => format!("failed {message_id} {why:?}"),
        Event::Report { message_id, from, to, total, code, complete, .. } => {
            format!("report {message_id} {from}-{to}/{total} {code}{}", if *complete { " complete" } else { "" })
        }
        Event::Request { token, request, .. } => format!("request {} {}", token.number, request.method.as_str()),
        Event::Answered { request, code, comment, .. } => format!("answered {} {code} {comment}", request.0),
        Event::Closed { why, .. } => format!("closed {why:?}"),
    }
}

#[test]
fn a_message_each_way() {
    let mut desk = Desk::up(config());
    let text = desk.send("tid1", "m123", "", Some("Hi"), '$');
    assert_eq!(desk.receive(&text), ["message 1 m123 \"Hi\""]);
    let token = MessageToken { session: desk.id, number: 1 };
    desk.agent.answer(desk.now, token, 200, "");
    assert_eq!(desk.drain(), ["7: tid1 200 OK"]);
    desk.agent.answer(desk.now, token, 200, "");
    assert_eq!(desk.drain(), [""; 0], "once is enough");
}
