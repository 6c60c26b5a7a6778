//! A world in simulated time: SIP users behind a bad network, an XMPP server with a component stream, and a gateway of several shards
//! between them. Everything follows from a seed.
//!
//! The shell between the gateway and the two networks is written as the daemon's is: one queue per stream with a bound, no more taken from
//! it while the socket does not drain, and what cannot be sent is lost at once.

mod callers;
mod calls;
mod letters;
mod lines;
mod members;
mod process;
mod relays;
mod rooms;
mod roster;
mod sessions;
mod sip_side;
pub mod telephones;
mod weather;
mod xmpp_side;

pub use letters::{Letter, Letters, Report};
pub use members::Member;
pub use roster::Roster;
pub use weather::Weather;

use crate::scene::Settings;
use crate::stub::Relay;
use crate::stub::jingle::House;
use base::{HashKey, Time, Tokens};
use bytes::Bytes;
use callers::Callers;
use lines::{Line, LineId};
use members::Members;
use msrp::{Hop, Ticket};
use sip_side::SipSide;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;
use stox::gateway::{Gateway, Input, Output};
use stox::route::Router;
use telephones::Telephones;
use xmpp::stream::component::{self, Component};
use xmpp_side::XmppSide;

/// The SIP domain of a world, and the component's secret.
const DOMAIN: &str = "example.net";
const SECRET: &str = "verona";
/// Stanzas that wait for the stream; beyond, they are lost at once.
const QUEUE: usize = 16_384;
/// Bytes that wait for the socket before no more are taken from the queue.
const UNWRITTEN: usize = 1 << 20;
/// What two kernels hold of a connection that nobody reads.
const WINDOW: usize = 256 * 1024;

/// Something that happens at a moment.
#[derive(Debug)]
enum Event {
    ToGateway(Bytes),
    ToPhones(Bytes),
    ToServer(u64, Vec<u8>),
    ToComponent(u64, Vec<u8>),
    Connect(u64),
    ServerTurn,
    SipWrites {
        letter: u64,
        from: String,
        to: String,
    },
    SipChats {
        letter: u64,
        from: u64,
        to: String,
    },
    XmppWrites {
        letter: u64,
        from: String,
        to: String,
        chat: bool,
    },
    LineOpens {
        shard: usize,
        ticket: Ticket,
        hop: Hop,
    },
    /// Bytes come out of an MSRP connection.
    Line {
        id: LineId,
        to_gateway: bool,
        bytes: Bytes,
    },
    /// A phone connects, for the session of this Call-ID.
    PhoneConnects(String),
    /// A datagram comes to a media relay, from a shard.
    ToRelay {
        shard: usize,
        to: SocketAddr,
        bytes: Bytes,
    },
    /// One comes back.
    FromRelay {
        shard: usize,
        from: SocketAddr,
        bytes: Bytes,
    },
    LineEnds(LineId),
    LineLost(LineId),
}

/// The most of each thing that there was at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Peaks {
    /// Messages that the gateway held or had under way.
    pub under_way: usize,
    /// Stanzas that no barrier had settled.
    pub unacknowledged: usize,
    /// Bytes that waited for the stream's socket.
    pub unwritten: usize,
    /// Stanzas that waited for the stream.
    pub queued: usize,
}

/// The world.
#[derive(Debug)]
pub struct World {
    now: Time,
    sequence: u64,
    events: BTreeMap<(Time, u64), Event>,
    chance: Tokens,
    weather: Weather,
    shards: Vec<Gateway>,
    /// What they have saved.
    store: BTreeMap<Vec<u8>, Vec<u8>>,
    router: Router,
    component: Component,
    queue: VecDeque<(Vec<u8>, u64)>,
    unwritten: VecDeque<u8>,
    /// Bytes of this connection that are on their way to the server.
    in_flight: usize,
    /// The connection, if there is one.
    generation: Option<u64>,
    connections: u64,
    last_to_component: Time,
    last_to_server: Time,
    server_turn: bool,
    phones: SipSide,
    callers: Callers,
    members: Members,
    telephones: Telephones,
    houses: House,
    lines: Vec<Line>,
    relays: BTreeMap<SocketAddr, Relay>,
    server: XmppSide,
    letters: Letters,
    /// How many of a thousand connections that the gateway asks for are refused.
    pub line_refusals: u64,
    settings: Settings,
    /// The most of each thing so far.
    pub peaks: Peaks,
    /// How often the stream came up.
    pub ups: u64,
}

impl World {
    /// A world with `shards` shards in this weather. The gateway is set up as `change` says, based on that of the scenes.
    pub fn new(seed: u64, shards: u8, weather: Weather, change: impl FnOnce(&mut Settings)) -> World {
        let mut tokens = Tokens::seeded(seed);
        let mut settings = Settings::default();
        settings.config.links.truncate(1);
        change(&mut settings);
        let gateways = process::shards(&settings, shards, &mut tokens);
        let now = Time::from_secs(1);
        World {
            now,
            sequence: 0,
            events: BTreeMap::new(),
            weather,
            shards: gateways,
            store: BTreeMap::new(),
            router: Router::new(usize::from(shards), HashKey::new(tokens.u64(), tokens.u64())),
            component: Component::new(component::Config::new(DOMAIN, SECRET), tokens.fork(), now),
            queue: VecDeque::new(),
            unwritten: VecDeque::new(),
            in_flight: 0,
            generation: None,
            connections: 0,
            last_to_component: now,
            last_to_server: now,
            server_turn: false,
            phones: SipSide::default(),
            callers: Callers::default(),
            members: Members::default(),
            telephones: Telephones::default(),
            houses: House::default(),
            lines: Vec::new(),
            line_refusals: 0,
            settings,
            relays: BTreeMap::new(),
            server: XmppSide::default(),
            letters: Letters::default(),
            peaks: Peaks::default(),
            ups: 0,
            chance: tokens,
        }
    }

    /// A SIP user writes to an XMPP user, `after` from now. Both by number.
    pub fn sip_writes(&mut self, after: Duration, from: u64, to: u64) -> u64 {
        let letter = self.letters.write(true);
        let (from, to) = (format!("romeo{from}@example.net"), format!("juliet{to}@example.com"));
        self.at(after, Event::SipWrites { letter, from, to });
        letter
    }

    /// An XMPP user writes to a SIP user, `after` from now. Both by number.
    pub fn xmpp_writes(&mut self, after: Duration, from: u64, to: u64) -> u64 {
        let letter = self.letters.write(false);
        let (from, to) = (format!("juliet{from}@example.com/balcony"), format!("romeo{to}@example.net"));
        self.at(after, Event::XmppWrites { letter, from, to, chat: false });
        letter
    }

    /// The weather changes.
    pub fn weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// The SIP side stops to exist, or is there again.
    pub fn sip_gone(&mut self, gone: bool) {
        self.phones.gone = gone;
    }

    /// The XMPP server's process stops to read, or reads again.
    pub fn stall(&mut self, stalled: bool) {
        self.server.stalled = stalled;
        self.server_has_work();
    }

    /// The XMPP server reads no more than this many bytes in 10 ms.
    pub fn pace(&mut self, bytes: Option<usize>) {
        self.server.pace = bytes;
    }

    /// The connection of the stream breaks. What was on its way to the server may still arrive there: nobody knows.
    pub fn cut(&mut self) {
        if self.chance.below(2) == 0 {
            let generation = self.generation;
            let late: Vec<Vec<u8>> = self
                .events
                .values_mut()
                .filter_map(|e| match e {
                    Event::ToServer(g, bytes) if Some(*g) == generation => Some(std::mem::take(bytes)),
                    _ => None,
                })
                .collect();
            for bytes in late {
                self.server.received(generation.unwrap_or_default(), &bytes);
            }
            self.server_works();
        }
        self.broken();
    }

    /// The XMPP server's process ends.
    pub fn server_dies(&mut self) {
        self.server.die();
        self.broken();
    }

    /// The XMPP server's process is there again.
    pub fn server_starts(&mut self) {
        self.server.gone = false;
    }

    /// Lets time go by.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.drain();
        while let Some(next) = self.next().filter(|at| *at <= end) {
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    /// Whether the stream is authenticated.
    pub fn is_up(&self) -> bool {
        self.component.is_up()
    }

    /// What became of the messages.
    pub fn report(&self) -> Report {
        self.letters.report()
    }

    /// The final statuses that the SIP users got, 408 for none.
    pub fn codes(&self) -> &BTreeMap<u16, u64> {
        &self.phones.codes
    }

    /// The error stanzas that the XMPP users got.
    pub fn errors(&self) -> u64 {
        self.server.errors
    }

    /// What the gateway still keeps: messages under way, transactions of either kind, remembered answers, unsettled stanzas.
    pub fn kept(&self) -> [usize; 5] {
        let counts: Vec<_> = self.shards.iter().map(Gateway::sip_counts).collect();
        [
            self.shards.iter().map(Gateway::under_way).sum(),
            counts.iter().map(|c| c.client_open).sum(),
            counts.iter().map(|c| c.server_open).sum(),
            counts.iter().map(|c| c.remembered).sum(),
            self.component.counts().unacknowledged + self.queue.len(),
        ]
    }

    fn at(&mut self, after: Duration, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + after, self.sequence), event);
    }

    fn next(&self) -> Option<Time> {
        let gateways = self.shards.iter().filter_map(Gateway::deadline);
        let others = [
            self.events.keys().next().map(|(at, _)| *at),
            self.component.deadline(),
            self.phones.deadline(),
            self.callers.deadline(),
            self.members.deadline(),
            self.telephones.deadline(),
            self.houses.deadline(),
        ];
        gateways.chain(others.into_iter().flatten()).min()
    }

    /// One moment: the timers that are due, then one event.
    fn step(&mut self) {
        for shard in 0..self.shards.len() {
            if self.shards[shard].deadline().is_some_and(|at| at <= self.now) {
                self.shards[shard].timeout(self.now);
            }
        }
        if self.component.deadline().is_some_and(|at| at <= self.now) {
            self.component.timeout(self.now);
        }
        if self.phones.deadline().is_some_and(|at| at <= self.now) {
            for bytes in self.phones.timeout(self.now, &mut self.letters) {
                self.phones_send(bytes);
            }
        }
        if self.callers.deadline().is_some_and(|at| at <= self.now) {
            self.callers.timeout(self.now, &mut self.letters);
            self.callers_act();
        }
        if self.members.deadline().is_some_and(|at| at <= self.now) {
            self.members.timeout(self.now);
            self.members_act();
        }
        if self.telephones.deadline().is_some_and(|at| at <= self.now) {
            self.telephones.timeout(self.now);
            self.telephones_act();
        }
        if self.houses.deadline().is_some_and(|at| at <= self.now) {
            self.houses.timeout(self.now);
            self.houses_act();
        }
        if let Some(first) = self.events.first_entry().filter(|e| e.key().0 <= self.now) {
            let event = first.remove();
            self.event(event);
        }
        self.drain();
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::ToGateway(bytes) => self.datagram(&bytes),
            Event::ToPhones(bytes) if self.callers_hear(&bytes) => {}
            Event::ToPhones(bytes) => {
                if let Some(answer) = self.phones.received(&bytes, &mut self.letters) {
                    self.phones_say(answer);
                }
            }
            Event::ToServer(generation, bytes) => {
                if self.generation == Some(generation) {
                    self.in_flight -= bytes.len();
                }
                self.server.received(generation, &bytes);
                self.server_has_work();
            }
            Event::ToComponent(generation, bytes) if self.generation == Some(generation) => {
                self.component.received(self.now, &bytes);
            }
            Event::ToComponent(..) => {}
            Event::Connect(generation) => {
                let listens = self.server.accept(generation, DOMAIN, SECRET, &mut self.chance, self.now);
                if listens {
                    self.generation = Some(generation);
                    self.component.connected(self.now);
                } else {
                    self.component.connect_failed(self.now);
                }
            }
            Event::ServerTurn => {
                self.server_turn = false;
                self.server_works();
                self.server_has_work();
            }
            Event::SipWrites { letter, from, to } => {
                let bytes = self.phones.write(self.now, letter, &from, &to);
                self.phones_send(bytes);
            }
            Event::SipChats { letter, from, to } => {
                self.callers.write(self.now, letter, from, &to, &mut self.letters);
                self.callers_act();
            }
            Event::LineOpens { shard, ticket, hop } => self.line_opens(shard, ticket, hop),
            Event::Line { id, to_gateway, bytes } => self.line_brings(id, to_gateway, &bytes),
            Event::PhoneConnects(call) if call.starts_with("member") => {
                let line = self.line(None);
                self.members.connected(self.now, &call, line);
                self.members_act();
            }
            Event::PhoneConnects(call) => {
                let line = self.line(None);
                self.callers.connected(self.now, &call, line, &mut self.letters);
                self.callers_act();
            }
            Event::LineEnds(id) => self.line_ends(id),
            Event::LineLost(id) => self.line_lost(id),
            Event::ToRelay { shard, to, bytes } => self.relay_asked(shard, to, &bytes),
            Event::FromRelay { shard, from, bytes } => {
                if let Some(shard) = self.shards.get_mut(shard) {
                    shard.handle(self.now, Input::Relay { from, bytes });
                }
            }
            Event::XmppWrites { letter, from, to, chat } => {
                if let Some((generation, bytes)) = self.server.write(letter, &from, &to, chat, &mut self.letters) {
                    self.server_sends(generation, &bytes);
                }
            }
        }
    }

    fn server_has_work(&mut self) {
        if self.server.has_work() && !self.server_turn {
            self.server_turn = true;
            self.at(Duration::from_millis(10), Event::ServerTurn);
        }
    }

    fn server_works(&mut self) {
        for (generation, bytes) in self.server.work(self.now, DOMAIN, &mut self.letters) {
            self.server_sends(generation, &bytes);
        }
        self.houses_act();
    }

    /// Does what the gateway and the stream ask for, until they ask for nothing.
    fn drain(&mut self) {
        loop {
            let gateway = self.drain_gateway();
            let taken = self.fill();
            self.component.flushed(self.now);
            let component = self.drain_component();
            if !gateway && !taken && !component {
                break;
            }
        }
        self.write();
        let under_way = self.shards.iter().map(Gateway::under_way).sum();
        self.peaks = Peaks {
            under_way: self.peaks.under_way.max(under_way),
            unacknowledged: self.peaks.unacknowledged.max(self.component.counts().unacknowledged),
            unwritten: self.peaks.unwritten.max(self.unwritten.len()),
            queued: self.peaks.queued.max(self.queue.len()),
        };
    }

    fn drain_gateway(&mut self) -> bool {
        let mut acted = false;
        for shard in 0..self.shards.len() {
            while let Some(output) = self.shards[shard].poll() {
                acted = true;
                match output {
                    Output::Sip { bytes, .. } => {
                        self.through_the_weather(|bytes| Event::ToPhones(bytes.clone()), &bytes);
                    }
                    Output::Stanza { bytes, token, .. } if self.queue.len() < QUEUE => {
                        self.queue.push_back((bytes, token));
                    }
                    Output::Stanza { token, .. } => self.tell(token, Input::Lost(token)),
                    Output::Save { token, key, value } => {
                        match value {
                            Some(value) => drop(self.store.insert(key, value)),
                            None => drop(self.store.remove(&key)),
                        }
                        self.shards[shard].handle(self.now, Input::Saved(token));
                    }
                    Output::Msrp(wire) => self.wire(shard, wire),
                    Output::Relay { to, bytes } => {
                        let event = |bytes: &Bytes| Event::ToRelay { shard, to, bytes: bytes.clone() };
                        self.through_the_weather(event, &bytes);
                    }
                    Output::Lookup { .. } | Output::Offence(..) | Output::Note(_) => {}
                }
            }
        }
        acted
    }

    /// What waits for the stream goes into it while its socket drains.
    fn fill(&mut self) -> bool {
        let mut acted = false;
        while self.unwritten.len() < UNWRITTEN {
            let Some((bytes, token)) = self.queue.pop_front() else { break };
            acted = true;
            if self.component.send(self.now, &bytes, Some(token)).is_err() {
                self.tell(token, Input::Lost(token));
            }
        }
        acted
    }

    fn tell(&mut self, token: u64, input: Input) {
        let shard = Gateway::shard_of_token(token);
        self.shards[shard].handle(self.now, input);
    }

    fn drain_component(&mut self) -> bool {
        let mut acted = false;
        while let Some(output) = self.component.poll() {
            acted = true;
            match output {
                component::Output::Connect => {
                    self.connections += 1;
                    self.at(Duration::from_millis(1), Event::Connect(self.connections));
                }
                component::Output::Bytes(bytes) => self.unwritten.extend(bytes),
                component::Output::Close | component::Output::Abort => {
                    self.write();
                    self.broken();
                }
                component::Output::Up => {
                    self.ups += 1;
                    for shard in &mut self.shards {
                        shard.handle(self.now, Input::LinkUp(0));
                    }
                }
                component::Output::Down(_) => {
                    for shard in &mut self.shards {
                        shard.handle(self.now, Input::LinkDown(0));
                    }
                }
                component::Output::Stanza(stanza) => {
                    let number = stanza.id.as_deref().and_then(|id| id.strip_prefix('L')?.parse().ok());
                    if let Some(number) = number {
                        self.letters.of(number).reached_gateway = true;
                    }
                    for (shard, input) in self.router.inputs(0, stanza) {
                        self.shards[shard].handle(self.now, input);
                    }
                }
                component::Output::Taken(token) => self.tell(token, Input::Taken(token)),
                component::Output::Lost(token) => self.tell(token, Input::Lost(token)),
                component::Output::Fault(_) => {}
            }
        }
        acted
    }

    /// The socket takes what the two kernels have room for.
    fn write(&mut self) {
        let Some(generation) = self.generation else { return self.unwritten.clear() };
        let held = self.in_flight + self.server.waiting(generation);
        let n = self.unwritten.len().min(WINDOW.saturating_sub(held));
        if n > 0 {
            let bytes: Vec<u8> = self.unwritten.drain(..n).collect();
            self.in_flight += n;
            let at = self.last_to_server.max(self.now + Duration::from_micros(200));
            self.last_to_server = at;
            self.at(at.since(self.now), Event::ToServer(generation, bytes));
        }
    }

    /// The connection is gone; the gateway's end sees it.
    fn broken(&mut self) {
        if let Some(generation) = self.generation.take() {
            self.server.hung_up(generation);
            self.unwritten.clear();
            self.in_flight = 0;
            self.component.disconnected(self.now);
            self.server_has_work();
        }
        self.drain();
    }
}
