//! Two gateways back to back: the SIP domain of one is the XMPP domain of the other. Users of a.example and b.example speak XMPP, each on
//! its own side, and between the gateways there is SIP; or the other way round.

#![allow(unreachable_pub, reason = "a module of tests")]
#![allow(dead_code, reason = "each test has its own use of it")]

mod pipes;

use base::{Time, Tokens};
use bytes::Bytes;
use msrp::ConnectionId;
use pipes::Pipes;
use rehearsal::scene::Settings;
use rehearsal::wire::{SipText, read_stanza};
use sip::agent::{Flow, SendTo, Target, Transport};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stox::config::{Config, Link, LinkKind, Mode, Peer};
use stox::gateway::{Gateway, Input, Output, Wire};
use stox::network::Network;
use xmpp::stanza::Stanza;

/// Where each gateway is, and a phone that is neither.
pub const PLACES: [([u8; 4], u16); 3] = [([192, 0, 2, 1], 5060), ([192, 0, 2, 2], 5060), ([192, 0, 2, 3], 5060)];

pub struct Mirror {
    gateways: [Gateway; 2],
    now: Time,
    /// Stanzas from a gateway go into the other one, and SIP to the phone; else SIP does, and stanzas go to the users.
    crossed: bool,
    /// What users of each side's XMPP domain got.
    pub stanzas: [Vec<Stanza>; 2],
    /// What the phone got, and from which gateway.
    pub phone: Vec<(usize, SipText)>,
    /// The MSRP connections between the gateways.
    pub pipes: Pipes,
}

fn gateway(
    own: &str,
    other: &str,
    at: usize,
    next_hop: usize,
    chat: Mode,
    change: impl Fn(&mut Config, usize),
) -> Gateway {
    let mut settings = Settings::default();
    let config = &mut settings.config;
    config.xmpp_domains = vec![own.into()];
    config.links = vec![Link { kind: LinkKind::Component, domain: other.into(), allow_from: Vec::new(), chat }];
    if let Some(msrp) = &mut config.msrp {
        msrp.advertise[0].host = msrp::Host::Ip(PLACES[at].0.into());
    }
    config.peers = vec![Peer::at(Network { address: [192, 0, 2, 0].into(), prefix: 24 }, vec![other.into()])];
    // Everything is looked at for itself, and whole.
    config.message.max_request = 60_000;
    config.subscriptions.notify_burst = 1000;
    if let Some(proxy) = &mut config.proxy {
        proxy.target = Target::new(Transport::Tcp, PLACES[next_hop].into());
    }
    change(config, at);
    let (address, port) = PLACES[at];
    settings.sip.sent_by = vec![(Transport::Tcp, sip::Host::V4(address.into()), Some(port))];
    let mut gateway = Gateway::new(Arc::new(settings.config), settings.sip, Tokens::seeded(at as u64));
    gateway.handle(Time::from_secs(1), Input::LinkUp(0));
    gateway
}

impl Mirror {
    /// XMPP at both ends.
    pub fn of_xmpp() -> Mirror {
        Mirror::new(false, Mode::Message, |_, _| ())
    }

    /// XMPP at both ends, and a.example is a MUC service: for users of b.example it is one of conferences.
    pub fn of_rooms() -> Mirror {
        Mirror::new(false, Mode::Session, |config, at| match at {
            0 => config.room.muc_domains = vec!["a.example".into()],
            _ => config.room.sip_domains = vec!["a.example".into()],
        })
    }

    /// XMPP at both ends, and all chat messages travel in sessions.
    pub fn of_chat() -> Mirror {
        Mirror::new(false, Mode::Session, |_, _| ())
    }

    /// XMPP at both ends, whose users call each other.
    pub fn of_calls() -> Mirror {
        Mirror::new(false, Mode::Message, |config, _| config.media = Some(stox::media::Options::default()))
    }

    /// SIP at both ends.
    pub fn of_sip() -> Mirror {
        Mirror::new(true, Mode::Message, |_, _| ())
    }

    fn new(crossed: bool, chat: Mode, change: impl Fn(&mut Config, usize)) -> Mirror {
        let hops = if crossed { [2, 2] } else { [1, 0] };
        Mirror {
            gateways: [
                gateway("a.example", "b.example", 0, hops[0], chat, &change),
                gateway("b.example", "a.example", 1, hops[1], chat, &change),
            ],
            now: Time::from_secs(1),
            crossed,
            stanzas: [Vec::new(), Vec::new()],
            phone: Vec::new(),
            pipes: Pipes::default(),
        }
    }

    /// The open sessions of both gateways, chats and MSRP's.
    pub fn sessions(&self) -> [usize; 4] {
        let [a, b] = &self.gateways;
        [a.chat_count(), b.chat_count(), a.msrp_counts().sessions, b.msrp_counts().sessions]
    }

    /// The calls of both gateways.
    pub fn calls(&self) -> [usize; 2] {
        [self.gateways[0].call_count(), self.gateways[1].call_count()]
    }

    /// The places in rooms that the gateways know: of SIP users at the first one, of XMPP users at the second.
    pub fn seats(&self) -> [Vec<stox::room::Seat>; 2] {
        [self.gateways[0].participants(), self.gateways[1].occupants()]
    }

    /// What time it is.
    pub fn now(&self) -> Time {
        self.now
    }

    /// SIP reaches a gateway.
    pub fn sip(&mut self, to: usize, from: SocketAddr, bytes: &Bytes) {
        let flow = Flow { transport: Transport::Tcp, local: PLACES[to].into(), remote: from, connection: Some(1) };
        let message = sip::parse_datagram(bytes, &sip::Limits::default()).unwrap();
        self.gateways[to].handle(self.now, Input::Sip(message, flow));
    }

    /// A stanza reaches a gateway, and what comes of it at once comes.
    pub fn stanza(&mut self, to: usize, stanza: Stanza) {
        self.gateways[to].handle(self.now, Input::Stanza(0, stanza));
        self.run(Duration::from_millis(1));
    }

    /// A stanza reaches a gateway, and for now nothing comes of it.
    pub fn stanza_only(&mut self, to: usize, stanza: Stanza) {
        self.gateways[to].handle(self.now, Input::Stanza(0, stanza));
    }

    /// Time goes by.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.settle();
            let Some(due) = self.gateways.iter().filter_map(Gateway::deadline).min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(due);
            let now = self.now;
            self.gateways.iter_mut().for_each(|gateway| gateway.timeout(now));
        }
        self.now = end;
    }

    fn settle(&mut self) {
        loop {
            let mut idle = true;
            for at in 0..2 {
                while let Some(output) = self.gateways[at].poll() {
                    idle = false;
                    self.output(at, output);
                }
            }
            if idle {
                return;
            }
        }
    }

    fn output(&mut self, at: usize, output: Output) {
        match output {
            Output::Sip { to, bytes, .. } => {
                let to = match to {
                    SendTo::Target(target) => target.remote,
                    SendTo::Flow { flow, .. } => flow.remote,
                };
                match PLACES.iter().position(|p| SocketAddr::from(*p) == to) {
                    Some(other @ 0..2) => self.sip(other, PLACES[at].into(), &bytes),
                    _ => self.phone_gets(at, SipText::parse(&bytes).unwrap()),
                }
            }
            Output::Stanza { bytes, token, .. } => {
                let stanza = read_stanza(&bytes);
                if self.crossed && stanza.to.as_ref().unwrap().local().is_some() {
                    self.gateways[1 - at].handle(self.now, Input::Stanza(0, stanza));
                } else {
                    self.stanzas[at].push(stanza);
                }
                self.gateways[at].handle(self.now, Input::Taken(token));
            }
            Output::Save { token, .. } => self.gateways[at].handle(self.now, Input::Saved(token)),
            Output::Msrp(wire) => self.wire(at, wire),
            Output::Lookup { .. } | Output::Relay { .. } | Output::Offence(..) | Output::Note(_) => {}
        }
    }

    fn wire(&mut self, at: usize, wire: Wire) {
        match wire {
            Wire::Write { connection, bytes } => {
                let (come, broken) = self.pipes.write(connection, &bytes);
                for arrival in come.arrivals {
                    self.gateways[come.gateway].handle(self.now, Input::Msrp(come.id, arrival));
                }
                if broken {
                    self.close(connection);
                }
            }
            Wire::Open { ticket, hop } => {
                let there = msrp::Host::Ip(PLACES[1 - at].0.into());
                let id = (hop.host == there && hop.port == 2855).then(|| self.pipes.open(at, &hop));
                self.gateways[at].handle(self.now, Input::MsrpOpened(ticket, id));
                // Who asked for it may have ended meanwhile.
                if let Some(id) = id.filter(|id| self.pipes.is_unused(*id)) {
                    self.settle_one(at);
                    if self.pipes.is_unused(id) {
                        self.close(id);
                    }
                }
            }
            Wire::Bind(id) => self.pipes.bind(id),
            Wire::Release(id) => {
                if self.pipes.release(id) {
                    self.close(id);
                }
            }
        }
    }

    /// A connection ends.
    pub fn close(&mut self, id: ConnectionId) {
        for (gateway, id) in self.pipes.close(id) {
            self.gateways[gateway].handle(self.now, Input::MsrpLost(id));
        }
    }

    /// Does what a gateway asks for now.
    fn settle_one(&mut self, at: usize) {
        while let Some(output) = self.gateways[at].poll() {
            self.output(at, output);
        }
    }

    /// The phone takes every NOTIFY.
    fn phone_gets(&mut self, at: usize, message: SipText) {
        if message.request().is_some_and(|(method, _)| method == "NOTIFY") {
            let answer = message.response(200, "OK", "phone").to_bytes();
            self.sip(at, PLACES[2].into(), &answer.into());
        }
        self.phone.push((at, message));
    }
}
