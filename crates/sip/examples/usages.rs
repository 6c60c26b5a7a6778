//! What live subscriptions take: makes so many of each role as the first argument says, and tells the resident bytes for each.

use base::{Time, Tokens};
use bytes::Bytes;
use std::io::Write;
use std::net::SocketAddr;
use verona_sip::agent::{self, Agent, Flow, Hop, Output, Target, Transport};
use verona_sip::subscription::{By, Config, Event, State, Subscribe, Subscriptions};
use verona_sip::{Dialog, Ground, Host, Limits, Method, NameAddr, NextHop, Response, Uri, parse_datagram};

struct Way(Hop);

impl NextHop for Way {
    fn next_hop(&self, _: &Dialog) -> Option<Hop> {
        Some(self.0.clone())
    }
}

#[expect(clippy::disallowed_methods, reason = "an example measures its own process")]
fn resident() -> usize {
    let text = std::fs::read("/proc/self/statm").unwrap_or_default();
    let pages = String::from_utf8_lossy(&text).split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}

/// The response to a request in bytes.
fn answer(request: &[u8]) -> String {
    let text = String::from_utf8_lossy(request);
    let echoed = text.lines().filter(|l| ["Via", "From", "To:", "Call-ID", "CSeq"].iter().any(|n| l.starts_with(n)));
    let lines: String = echoed.map(|line| format!("{line}\r\n")).collect();
    format!("SIP/2.0 200 OK\r\n{lines}Content-Length: 0\r\n\r\n")
}

/// The NOTIFY that follows a SUBSCRIBE in bytes.
fn notify(subscribe: &[u8], n: usize) -> String {
    let text = String::from_utf8_lossy(subscribe);
    let value = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default().to_owned();
    format!(
        "NOTIFY sip:user{n}@gw.example.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bKn{n}\r\nFrom:{};tag=p{n}\r\n\
         To:{}\r\nCall-ID:{}\r\nCSeq: 1 NOTIFY\r\nContact: <sip:user{n}@192.0.2.1:5060;transport=tcp>\r\nEvent: presence\r\n\
         Record-Route: <sip:edge.example.net;lr>\r\nSubscription-State: active;expires=3600\r\nContent-Length: 0\r\n\r\n",
        value("To:"),
        value("From:"),
        value("Call-ID:"),
    )
}

struct World {
    agent: Agent,
    engine: Subscriptions,
    tokens: Tokens,
    now: Time,
    flow: Flow,
    hop: Way,
    back: Vec<String>,
    made: usize,
}

impl World {
    fn take(&mut self, text: &str) {
        if let Ok(message) = parse_datagram(&Bytes::copy_from_slice(text.as_bytes()), &Limits::default()) {
            self.agent.received(self.now, message, self.flow);
        }
        self.settle();
    }

    fn settle(&mut self) {
        loop {
            if let Some(output) = self.agent.poll() {
                let mut ground =
                    Ground { now: self.now, agent: &mut self.agent, hops: &self.hop, tokens: &mut self.tokens };
                match output {
                    Output::Send { bytes, client, .. } => {
                        if bytes.starts_with(b"SUBSCRIBE") {
                            self.made += 1;
                            self.back.push(notify(&bytes, self.made));
                        }
                        if client.is_some() {
                            self.back.push(answer(&bytes));
                        }
                    }
                    Output::Request { id, request, flow } => {
                        let contact = NameAddr::new(request.uri.clone());
                        self.engine.request(&mut ground, id, request, flow, &contact);
                    }
                    Output::Response { id, response } => drop(self.engine.response(&mut ground, id, &response)),
                    Output::Failed { id, why } => drop(self.engine.failed(&mut ground, id, why)),
                    Output::Cancelled { .. } | Output::Ack { .. } | Output::Locate { .. } => {}
                }
            } else if let Some(event) = self.engine.poll() {
                let mut ground =
                    Ground { now: self.now, agent: &mut self.agent, hops: &self.hop, tokens: &mut self.tokens };
                match event {
                    Event::Watch { id, server, expires, .. } => self.engine.accept(&mut ground, id, server, expires),
                    Event::Wanted { id, .. } => drop(self.engine.notify(&mut ground, id, &State::Active, None)),
                    Event::Notify { id, server, .. } => {
                        self.engine.answer_notify(&mut ground, id, server, Response::new(200, ""));
                    }
                    _ => {}
                }
            } else if let Some(text) = self.back.pop() {
                self.take(&text);
            } else {
                return;
            }
        }
    }
}

fn main() -> std::io::Result<()> {
    let count: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let remote = SocketAddr::from(([192, 0, 2, 1], 5060));
    let hop = Hop::from(Target::new(Transport::Tcp, remote));
    let mut tokens = Tokens::seeded(1);
    let config = agent::Config {
        sent_by: vec![(Transport::Tcp, Host::Name("gw.example.com".into()), None)],
        allow: vec![Method::Subscribe, Method::Notify],
        dialogs: true,
        // Only what lives is of interest here.
        max_stored: 0,
        ..agent::Config::default()
    };
    let bounds =
        Config { packages: vec!["presence"], max_usages: 2 * count, max_per_source: count, ..Config::default() };
    let mut world = World {
        agent: Agent::new(config, tokens.fork()),
        engine: Subscriptions::new(bounds, &mut tokens),
        tokens,
        now: Time::from_secs(1),
        flow: Flow { transport: Transport::Tcp, local: remote, remote, connection: Some(1) },
        hop: Way(hop.clone()),
        back: Vec::new(),
        made: 0,
    };
    let mut out = std::io::stdout();
    let mut before = resident();
    for n in 0..count {
        world.take(&format!(
            "SUBSCRIBE sip:user{n}@gw.example.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bKs{n}\r\n\
             From: \"User Number {n}\" <sip:user{n}@sip.example.net>;tag=49583afe{n}\r\nTo: <sip:user{n}@gw.example.com>\r\n\
             Call-ID: NzMwYzU4ZGQ4OGJkYTI3ZjQzNzY1{n}@192.0.2.1\r\nCSeq: 1 SUBSCRIBE\r\nEvent: presence\r\nExpires: 3600\r\n\
             Contact: <sip:user{n}@192.0.2.1:5060;transport=tcp>\r\nRecord-Route: <sip:edge.example.net;lr>\r\n\
             Content-Length: 0\r\n\r\n"
        ));
    }
    let between = resident();
    writeln!(out, "{} notifiers, {} bytes each", world.engine.len(), (between - before) / count.max(1))?;
    before = between;
    let parse = |text: &str| Uri::parse(text).map_err(|e| std::io::Error::other(e.0));
    for n in 0..count {
        let wish = Subscribe {
            package: "presence",
            event_id: None,
            local: NameAddr::new(parse(&format!("sip:user{n}@gw.example.com"))?),
            remote: parse(&format!("sip:user{n}@sip.example.net"))?,
            contact: NameAddr::new(parse(&format!("sip:user{n}@gw.example.com;transport=tcp"))?),
            accept: "application/pidf+xml",
            expires: 3600,
            route: None,
            hop: hop.clone(),
            call_id: None,
            by: By::Subscribe,
        };
        let mut ground =
            Ground { now: world.now, agent: &mut world.agent, hops: &world.hop, tokens: &mut world.tokens };
        let _ = world.engine.subscribe(&mut ground, wish);
        world.settle();
    }
    let more = (resident() - before) / count.max(1);
    writeln!(out, "{} usages, {more} bytes for each subscriber", world.engine.len())
}
