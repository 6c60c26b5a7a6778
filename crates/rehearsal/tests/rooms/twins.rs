//! A MUC service, a gateway beside it, and a gateway to which the first one is the focus of MSRP rooms: users of a.example sit in the rooms
//! themselves, those of b.example behind both gateways. Between the gateways there are datagrams, which have a weather, and MSRP connections, which
//! break; each gateway has a stream, which may be away, and a store, from which it begins anew.

use crate::guest::Guest;
use crate::pipes::Pipes;
use base::{Time, Tokens};
use bytes::Bytes;
use msrp::ConnectionId;
use rehearsal::scene::Settings;
use rehearsal::stub::muc::{self, Service};
use rehearsal::wire::read_stanza;
use rehearsal::world::Weather;
use sip::agent::{Flow, SendTo, Target, Transport};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stox::config::{Link, LinkKind, Mode, Peer};
use stox::gateway::{Gateway, Input, Output, Wire};
use stox::network::Network;
use xmpp::error::{Condition, ErrorType, StanzaError};
use xmpp::ext::muc::Affiliation;
use xmpp::jid::Jid;
use xmpp::stanza::{Kind, Stanza};

/// The domain of the rooms.
pub const ROOMS: &str = "rooms.a.example";

const PLACES: [([u8; 4], u16); 2] = [([192, 0, 2, 1], 5060), ([192, 0, 2, 2], 5060)];

pub struct Twins {
    gateways: [Gateway; 2],
    settings: [Settings; 2],
    stores: [BTreeMap<Vec<u8>, Vec<u8>>; 2],
    /// Whether the stream of each gateway is there.
    up: [bool; 2],
    /// Whether the server of each tells at once what it has done; if not, what it has done, and not told yet.
    pub prompt: [bool; 2],
    untold: [Vec<u64>; 2],
    pub now: Time,
    pub rooms: Service,
    pub pipes: Pipes,
    pub weather: Weather,
    /// The rooms' process takes what is sent to it, and does nothing.
    pub deaf: bool,
    /// Datagrams on their way.
    later: BTreeMap<(Time, u64), (usize, Bytes)>,
    sent: u64,
    /// What came for users.
    got: Vec<Stanza>,
    /// Those who sit in rooms, or want to.
    pub guests: Vec<Guest>,
    /// Those whose clients are not there any more.
    pub absent: BTreeSet<Jid>,
    pub chance: Tokens,
    births: u64,
}

fn settings(at: usize, change: &impl Fn(&mut Settings)) -> Settings {
    let mut settings = Settings::default();
    let config = &mut settings.config;
    let link = |domain: &str| Link {
        kind: LinkKind::Component,
        domain: domain.into(),
        allow_from: Vec::new(),
        chat: Mode::Session,
    };
    let theirs = if at == 0 {
        config.xmpp_domains = vec!["a.example".into(), ROOMS.into()];
        config.room.muc_domains = vec![ROOMS.into()];
        config.links = vec![link("b.example")];
        vec!["b.example".into()]
    } else {
        config.xmpp_domains = vec!["b.example".into()];
        config.room.sip_domains = vec![ROOMS.into()];
        config.links = vec![link(ROOMS), link("a.example")];
        vec![ROOMS.into(), "a.example".into()]
    };
    config.peers = vec![Peer::at(Network { address: [192, 0, 2, 0].into(), prefix: 24 }, theirs)];
    if let Some(msrp) = &mut config.msrp {
        msrp.advertise[0].host = msrp::Host::Ip(PLACES[at].0.into());
    }
    config.message.max_request = 60_000;
    config.epoch = muc::EPOCH as u64;
    // What has happened is told at once.
    config.subscriptions.notify_burst = 1000;
    if let Some(proxy) = &mut config.proxy {
        proxy.target = Target::new(Transport::Udp, PLACES[1 - at].into());
    }
    let (address, port) = PLACES[at];
    settings.sip.sent_by = vec![(Transport::Udp, sip::Host::V4(address.into()), Some(port))];
    change(&mut settings);
    settings
}

impl Twins {
    /// A service with one room, `den`, whose owner is owner@a.example.
    pub fn new(seed: u64) -> Twins {
        Twins::with(seed, |_| ())
    }

    pub fn with(seed: u64, change: impl Fn(&mut Settings)) -> Twins {
        let mut chance = Tokens::seeded(seed);
        let settings = [0, 1].map(|at| settings(at, &change));
        let mut rooms = Service::new(ROOMS, seed);
        rooms.make("den", muc::Settings { history: 100_000, ..muc::Settings::default() });
        rooms.affiliate("den", "owner@a.example", Affiliation::Owner);
        let gateways = [0, 1].map(|at: usize| {
            let settings: &Settings = &settings[at];
            Gateway::new(Arc::new(settings.config.clone()), settings.sip.clone(), chance.fork())
        });
        let mut twins = Twins {
            gateways,
            settings,
            stores: [BTreeMap::new(), BTreeMap::new()],
            up: [false; 2],
            prompt: [true; 2],
            untold: [Vec::new(), Vec::new()],
            now: Time::from_secs(1),
            rooms,
            pipes: Pipes::default(),
            weather: Weather::FAIR,
            deaf: false,
            later: BTreeMap::new(),
            sent: 0,
            got: Vec::new(),
            guests: Vec::new(),
            absent: BTreeSet::new(),
            chance,
            births: 0,
        };
        (0..2).for_each(|at| twins.stream(at, true));
        twins
    }

    /// Somebody who may come in later. Who is of b.example is behind the gateways.
    pub fn guest(&mut self, user: &str, room: &str) -> usize {
        self.guests.push(Guest::new(user, &format!("{room}@{ROOMS}")));
        self.guests.len() - 1
    }

    /// Somebody does something, and what comes of it at once comes.
    pub fn does(&mut self, who: usize, what: impl FnOnce(&mut Guest) -> Stanza) -> String {
        let id = self.does_only(who, what);
        self.run(Duration::from_millis(200));
        id
    }

    /// Somebody does something. Gives back the id of it.
    pub fn does_only(&mut self, who: usize, what: impl FnOnce(&mut Guest) -> Stanza) -> String {
        let stanza = what(&mut self.guests[who]);
        let id = stanza.id.as_deref().unwrap_or_default().to_owned();
        self.user_sends(stanza);
        self.settle();
        id
    }

    fn user_sends(&mut self, stanza: Stanza) {
        let side = usize::from(stanza.from.as_ref().unwrap().domain() != "a.example");
        if side == 0 {
            return self.server(stanza);
        }
        if let Some(back) = self.gateway_gets(1, stanza) {
            self.got.push(back);
        }
    }

    /// The stream of a gateway comes, or goes.
    pub fn stream(&mut self, at: usize, up: bool) {
        self.up[at] = up;
        for link in 0..self.settings[at].config.links.len() {
            self.gateways[at].handle(self.now, if up { Input::LinkUp(link) } else { Input::LinkDown(link) });
        }
        for token in std::mem::take(&mut self.untold[at]) {
            self.gateways[at].handle(self.now, Input::Lost(token));
        }
        self.settle();
    }

    /// A gateway's process is killed, and another one begins with what it has saved; its stream is there a second later.
    pub fn kill(&mut self, at: usize) {
        self.births += 1;
        let settings = &self.settings[at];
        self.gateways[at] =
            Gateway::new(Arc::new(settings.config.clone()), settings.sip.clone(), Tokens::seeded(1000 + self.births));
        self.untold[at].clear();
        self.up[at] = false;
        for (key, value) in &self.stores[at] {
            let input = Input::Restore { key: key.clone(), value: value.clone() };
            self.gateways[at].handle(self.now, input);
        }
        for (gateway, id) in self.pipes.close_all() {
            // Both ends are gone for who was killed.
            if gateway != at {
                self.gateways[gateway].handle(self.now, Input::MsrpLost(id));
            }
        }
        self.run(Duration::from_secs(1));
        self.stream(at, true);
    }

    /// The process of the rooms goes down and is there again: with a word to everybody in them, or without.
    pub fn rooms_restart(&mut self, in_order: bool) {
        if !in_order {
            return self.rooms.restart();
        }
        for stanza in self.rooms.shut_down() {
            self.server(stanza);
        }
        self.settle();
    }

    /// Time goes by.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.settle();
            let due = self.gateways.iter().filter_map(Gateway::deadline);
            let Some(due) = due.chain(self.later.keys().next().map(|(at, _)| *at)).min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(due);
            let now = self.now;
            if let Some(first) = self.later.first_entry().filter(|first| first.key().0 <= now) {
                let (to, bytes) = first.remove();
                self.datagram(to, &bytes);
            } else {
                self.gateways.iter_mut().for_each(|gateway| gateway.timeout(now));
            }
        }
        self.now = end;
    }

    /// The places: of SIP users at the first gateway, of XMPP users at the second.
    pub fn seats(&self) -> [usize; 2] {
        [self.gateways[0].seat_counts().0, self.gateways[1].seat_counts().1]
    }

    /// What the gateways keep that nobody needs when nobody is in a room: places, dialogs, MSRP sessions, subscriptions, messages under way, records,
    /// connections.
    pub fn left_over(&self) -> Vec<(&'static str, usize)> {
        let mut all = vec![("connections", self.pipes.open_ones())];
        for (gateway, store) in self.gateways.iter().zip(&self.stores) {
            let (participants, occupants) = gateway.seat_counts();
            let sessions = gateway.session_counts();
            let subscriptions = gateway.subscription_counts();
            all.extend([
                ("participants", participants),
                ("occupants", occupants),
                ("dialogs", sessions.sessions + sessions.ending),
                ("MSRP sessions", gateway.msrp_counts().sessions),
                ("subscriptions", subscriptions.subscribers + subscriptions.notifiers),
                ("under way", gateway.under_way()),
                ("records", store.len()),
            ]);
        }
        all.retain(|(_, n)| *n > 0);
        all
    }

    /// Messages that wait in the gateways, for whoever.
    pub fn waiting(&self) -> usize {
        let seats = |gateway: &Gateway| gateway.participants().into_iter().chain(gateway.occupants());
        let waiting = |gateway: &Gateway| seats(gateway).map(|seat| seat.waiting).sum::<usize>() + gateway.under_way();
        self.gateways.iter().map(waiting).sum()
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
            for stanza in std::mem::take(&mut self.got) {
                idle = false;
                self.user_gets(&stanza);
            }
            if idle {
                return;
            }
        }
    }

    fn user_gets(&mut self, stanza: &Stanza) {
        let to = stanza.to.clone().unwrap();
        if self.absent.contains(&to) {
            // RFC 6121 §8.5.3.2: presence for a device that is not there goes nowhere.
            if stanza.kind != Kind::Presence
                && let Some(error) = stanza.error(&StanzaError::new(Condition::ServiceUnavailable))
            {
                self.user_sends(error);
            }
            return;
        }
        let mut answers = Vec::new();
        for guest in
            self.guests.iter_mut().filter(|guest| guest.user == to || to.is_bare() && guest.user.same_bare(&to))
        {
            let from = stanza.from.as_ref().unwrap();
            if from.same_bare(&guest.room) || User::is_about(stanza) {
                answers.extend(guest.take(stanza));
            }
        }
        answers.into_iter().for_each(|answer| self.user_sends(answer));
    }

    fn output(&mut self, at: usize, output: Output) {
        match output {
            Output::Sip { to, bytes, .. } => {
                let to = match to {
                    SendTo::Target(target) => target.remote,
                    SendTo::Flow { flow, .. } => flow.remote,
                };
                assert_eq!(to, SocketAddr::from(PLACES[1 - at]), "nobody else is there");
                self.send(1 - at, &bytes);
            }
            Output::Stanza { bytes, token, .. } if self.up[at] => {
                let stanza = read_stanza(&bytes);
                if at == 0 {
                    self.server(stanza);
                } else {
                    self.got.push(stanza);
                }
                if self.prompt[at] {
                    self.gateways[at].handle(self.now, Input::Taken(token));
                } else {
                    self.untold[at].push(token);
                }
            }
            Output::Stanza { token, .. } => self.gateways[at].handle(self.now, Input::Lost(token)),
            Output::Save { token, key, value } => {
                match value {
                    Some(value) => drop(self.stores[at].insert(key, value)),
                    None => drop(self.stores[at].remove(&key)),
                }
                self.gateways[at].handle(self.now, Input::Saved(token));
            }
            Output::Msrp(wire) => self.wire(at, wire),
            Output::Lookup { .. } | Output::Relay { .. } | Output::Offence(..) | Output::Note(_) => {}
        }
    }

    /// A stanza at the server of a.example, and what comes of it.
    fn server(&mut self, stanza: Stanza) {
        if self.deaf && self.rooms.is_for(&stanza) {
            return;
        }
        let Twins { rooms, gateways, got, up, now, settings, .. } = self;
        rooms.relay(*now, stanza, |stanza| {
            if stanza.to.as_ref().is_some_and(|to| to.domain() == "a.example") {
                got.push(stanza);
                return None;
            }
            hand_over(&mut gateways[0], &settings[0], up[0], *now, stanza)
        });
    }

    fn gateway_gets(&mut self, at: usize, stanza: Stanza) -> Option<Stanza> {
        hand_over(&mut self.gateways[at], &self.settings[at], self.up[at], self.now, stanza)
    }

    fn send(&mut self, to: usize, bytes: &Bytes) {
        if self.chance.below(1000) < self.weather.lost {
            return;
        }
        let copies = if self.chance.below(1000) < self.weather.doubled { 2 } else { 1 };
        for _ in 0..copies {
            let jitter = self.chance.below(self.weather.jitter.as_micros() as u64 + 1);
            self.sent += 1;
            let at = self.now + Duration::from_micros(1000 + jitter);
            self.later.insert((at, self.sent), (to, bytes.clone()));
        }
    }

    fn datagram(&mut self, to: usize, bytes: &Bytes) {
        let (local, remote) = (PLACES[to].into(), PLACES[1 - to].into());
        let flow = Flow { transport: Transport::Udp, local, remote, connection: None };
        let message = sip::parse_datagram(bytes, &sip::Limits::default()).unwrap();
        self.gateways[to].handle(self.now, Input::Sip(message, flow));
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
                if let Some(id) = id.filter(|id| self.pipes.is_unused(*id)) {
                    while let Some(output) = self.gateways[at].poll() {
                        self.output(at, output);
                    }
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

    fn close(&mut self, id: ConnectionId) {
        for (gateway, id) in self.pipes.close(id) {
            self.gateways[gateway].handle(self.now, Input::MsrpLost(id));
        }
    }
}

/// The server gives a stanza to a component; one that is not there it refuses for.
fn hand_over(gateway: &mut Gateway, settings: &Settings, up: bool, now: Time, stanza: Stanza) -> Option<Stanza> {
    if !up {
        let error = StanzaError::new(Condition::ServiceUnavailable);
        return stanza.error(&StanzaError { kind: ErrorType::Wait, ..error });
    }
    let domain = stanza.to.as_ref().unwrap().domain();
    let link = settings.config.links.iter().position(|link| link.domain == domain);
    gateway.handle(now, Input::Stanza(link.unwrap_or_else(|| panic!("no stream for {domain}")), stanza));
    None
}

/// What a message says of rooms.
struct User;

impl User {
    fn is_about(stanza: &Stanza) -> bool {
        xmpp::ext::muc::User::of(stanza).is_some()
    }
}
