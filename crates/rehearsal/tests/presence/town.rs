//! A town in simulated time: SIP users who watch and are watched, an XMPP server with its accounts and rosters, a disk, and a gateway of
//! several shards between them that may be killed at any moment. Nothing sleeps, and everything follows from a seed.
//!
//! What a SIP user or a server must never see (a CSeq that goes back, presence that nobody has approved) is written down as a fault at the
//! moment at which it is seen; [`Town::no_faults`] looks at them.

mod sip_side;
mod xmpp_side;

use base::{HashKey, Time, Tokens};
use bytes::Bytes;
use rehearsal::scene::Settings;
use rehearsal::wire::{SipText, parameter, read_stanza, uri_of, user_of};
use sip::agent::{Flow, Transport};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stox::gateway::{Gateway, Input, Output};
use stox::route::Router;
use xml::Element;
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::{Kind, Stanza};

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(24 * 3600);
pub const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// Where the SIP users speak from.
const SOURCE: ([u8; 4], u16) = ([192, 0, 2, 20], 5060);

/// What happens at a moment.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there are few at one time")]
enum Event {
    Sip(Bytes, SocketAddr),
    ToTown(Bytes),
    /// A request of a SIP user's is sent again, unless it was answered.
    Again {
        branch: String,
        wait: Duration,
        until: Time,
    },
    Refresh(usize),
    ToServer {
        life: u64,
        stream: u64,
        token: u64,
        bytes: Vec<u8>,
    },
    ToGateway {
        stream: u64,
        stanza: Stanza,
    },
    Commit {
        life: u64,
        token: u64,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
    },
    Told {
        life: u64,
        token: u64,
        saved: bool,
    },
}

/// How a SIP user's SUBSCRIBE, or a NOTIFY to it, went.
#[derive(Debug, Default, Clone)]
pub struct Watcher {
    pub user: String,
    pub contact: String,
    pub call_id: String,
    pub tag: String,
    /// The gateway's tag and Contact, once it has answered.
    pub to_tag: Option<String>,
    pub target: Option<String>,
    pub cseq: u32,
    pub expires: u32,
    /// When it runs out, as far as the watcher knows.
    pub until: Option<Time>,
    /// Final answers to its SUBSCRIBEs.
    pub codes: Vec<u16>,
    pub retry_after: Option<String>,
    pub min_expires: Option<String>,
    /// The last CSeq of a NOTIFY.
    pub seen: u32,
    pub notifies: Vec<Time>,
    pub state: String,
    pub body: Option<String>,
    /// It does not answer.
    pub mute: bool,
    /// It refreshes by itself.
    pub keeps: bool,
    /// It was told that it is over.
    pub over: bool,
}

impl Watcher {
    pub fn is_active(&self) -> bool {
        self.state.starts_with("active")
    }

    pub fn code(&self) -> u16 {
        self.codes.last().copied().unwrap_or(0)
    }

    /// What the last document says: open or closed, and the notes.
    pub fn sees(&self) -> Option<(bool, Vec<String>)> {
        let pidf = bodies::pidf::Pidf::parse(self.body.as_ref()?.as_bytes(), None).unwrap();
        let open = pidf.tuples.iter().any(|t| t.basic == Some(bodies::pidf::Basic::Open));
        Some((open, pidf.tuples.iter().flat_map(|t| t.notes.iter().map(|n| n.text.clone())).collect()))
    }
}

/// A SIP user who is watched, behind a presence agent.
#[derive(Debug)]
pub struct Watched {
    /// What it answers to the next SUBSCRIBEs.
    pub first: VecDeque<(u16, Vec<(String, String)>)>,
    /// What it answers to a SUBSCRIBE: a status and headers; 0 for nothing.
    pub answer: (u16, Vec<(String, String)>),
    /// What its NOTIFYs say; none are sent where this is empty.
    pub state: String,
    /// Its tuples: id and note; open.
    pub tuples: Vec<(String, String)>,
    /// The Expires that it grants at most.
    pub most: u32,
    /// NOTIFYs go out before the answer.
    pub hasty: bool,
    /// The document in place of the one of its tuples.
    pub body: Option<String>,
    pub dialogs: BTreeMap<String, Held>,
    /// When a SUBSCRIBE came, and for how long.
    pub asked: Vec<(Time, u32)>,
}

/// A dialog as the presence agent has it.
#[derive(Debug, Clone)]
pub struct Held {
    pub from: String,
    pub to: String,
    pub target: String,
    pub cseq: u32,
    pub seen: u32,
    pub until: Time,
}

/// What an account does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    Approve,
    Leave,
}

#[derive(Debug)]
pub struct Account {
    pub policy: Policy,
    /// Resources and their status.
    pub resources: BTreeMap<String, String>,
    /// SIP users who may see it.
    pub subscribers: BTreeSet<String>,
    /// How often each asked.
    pub asked: BTreeMap<String, u32>,
    /// SIP users whom it has in its roster: whether approved, and which resources are there with which status.
    pub roster: BTreeMap<String, Entry>,
    /// The server tells the gateway whether there is a session.
    pub open_to_gateway: bool,
    /// SIP users who have told it that they watch no more.
    pub left: Vec<String>,
    /// Errors that came for presence.
    pub errors: Vec<String>,
}

#[derive(Debug, Default)]
pub struct Entry {
    pub approved: bool,
    pub online: BTreeMap<String, String>,
    /// How often `subscribed` and `unsubscribed` came.
    pub yes: u32,
    pub no: u32,
}

pub struct Town {
    pub now: Time,
    sequence: u64,
    events: BTreeMap<(Time, u64), Event>,
    pub chance: Tokens,
    settings: Settings,
    config: Arc<stox::config::Config>,
    pub shards: Vec<Gateway>,
    router: Router,
    /// Counts the lives of the gateway, and of the stream.
    life: u64,
    stream: u64,
    pub up: bool,
    /// The network: how many of a thousand datagrams are lost; how long the others take, at most.
    pub lost: u64,
    pub delay: Duration,
    pub disk: BTreeMap<Vec<u8>, Vec<u8>>,
    /// How many of a thousand saves fail, and how long one takes.
    pub disk_fails: u64,
    pub disk_takes: Duration,
    pub watchers: Vec<Watcher>,
    by_call: BTreeMap<String, usize>,
    pub watched: BTreeMap<String, Watched>,
    pub accounts: BTreeMap<String, Account>,
    /// Requests of SIP users that wait for their answers, by branch; with the watcher or none.
    open: BTreeMap<String, (Bytes, Option<usize>)>,
    answered: BTreeMap<String, Bytes>,
    /// Answers to NOTIFYs of presence agents, in order.
    pub notify_codes: Vec<u16>,
    minted: u64,
    pub faults: Vec<String>,
    /// The most requests of the gateway under way at once.
    pub peak: usize,
    /// NOTIFYs that the gateway sent, without retransmissions.
    pub notifies: u64,
    /// All that went to SIP, where it is wanted.
    pub log: Option<Vec<(Time, SipText)>>,
}

impl Town {
    pub fn new(seed: u64, shards: u8, change: impl FnOnce(&mut Settings)) -> Town {
        let mut chance = Tokens::seeded(seed);
        let mut settings = Settings::default();
        settings.config.links.truncate(1);
        change(&mut settings);
        let router = Router::new(usize::from(shards), HashKey::new(chance.u64(), chance.u64()));
        let mut town = Town {
            now: Time::from_secs(100),
            sequence: 0,
            events: BTreeMap::new(),
            chance,
            config: Arc::new(settings.config.clone()),
            settings,
            shards: Vec::new(),
            router,
            life: 0,
            stream: 0,
            up: true,
            lost: 0,
            delay: ms(1),
            disk: BTreeMap::new(),
            disk_fails: 0,
            disk_takes: ms(2),
            watchers: Vec::new(),
            by_call: BTreeMap::new(),
            watched: BTreeMap::new(),
            accounts: BTreeMap::new(),
            open: BTreeMap::new(),
            answered: BTreeMap::new(),
            notify_codes: Vec::new(),
            minted: 0,
            faults: Vec::new(),
            peak: 0,
            notifies: 0,
            log: None,
        };
        town.start();
        town
    }

    fn start(&mut self) {
        self.life += 1;
        let shards = u8::try_from(self.router.shards()).unwrap();
        self.shards = (0..shards)
            .map(|shard| {
                let sip = sip::agent::Config { shard, ..self.settings.sip.clone() };
                Gateway::new(Arc::clone(&self.config), sip, self.chance.fork())
            })
            .collect();
        let now = self.now;
        for (key, value) in &self.disk {
            let input = Input::Restore { key: key.clone(), value: value.clone() };
            self.shards[self.router.record(key)].handle(now, input);
        }
        if self.up {
            self.shards.iter_mut().for_each(|gateway| gateway.handle(now, Input::LinkUp(0)));
        }
        self.drain();
    }

    /// kill -9, and a start: what was committed is there, whether the gateway was told or not; what was on its way to it or from it may be lost.
    pub fn kill(&mut self) {
        self.stream += 1;
        self.start();
    }

    /// The XMPP server's stream ends, with what was on its way.
    pub fn link_down(&mut self) {
        self.up = false;
        self.stream += 1;
        let now = self.now;
        self.shards.iter_mut().for_each(|gateway| gateway.handle(now, Input::LinkDown(0)));
        let events = std::mem::take(&mut self.events);
        for (at, event) in events {
            match event {
                Event::ToServer { life, token, .. } if life == self.life => {
                    self.shards[Gateway::shard_of_token(token)].handle(now, Input::Lost(token));
                }
                event => drop(self.events.insert(at, event)),
            }
        }
        self.drain();
    }

    pub fn link_up(&mut self) {
        self.up = true;
        let now = self.now;
        self.shards.iter_mut().for_each(|gateway| gateway.handle(now, Input::LinkUp(0)));
        self.drain();
    }

    fn at(&mut self, after: Duration, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + after, self.sequence), event);
    }

    /// Lets time go by.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.drain();
        loop {
            let due = self.shards.iter().filter_map(Gateway::deadline).min();
            let next = [due, self.events.keys().next().map(|(at, _)| *at)].into_iter().flatten().min();
            let Some(next) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            for shard in 0..self.shards.len() {
                if self.shards[shard].deadline().is_some_and(|at| at <= self.now) {
                    self.shards[shard].timeout(self.now);
                }
            }
            if let Some(first) = self.events.first_entry().filter(|e| e.key().0 <= self.now) {
                let event = first.remove();
                self.event(event);
            }
            self.drain();
        }
        self.now = end;
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Sip(bytes, from) => {
                let flow = Flow {
                    transport: Transport::Udp,
                    local: rehearsal::scene::GATEWAY.into(),
                    remote: from,
                    connection: None,
                };
                let message = sip::parse_datagram(&bytes, &sip::Limits::default()).expect("the town speaks SIP");
                let shard = self.router.sip(&message);
                self.shards[shard].handle(self.now, Input::Sip(message, flow));
            }
            Event::ToTown(bytes) => self.sip_came(&bytes),
            Event::Again { branch, wait, until } => {
                if let Some((bytes, who)) = self.open.get(&branch).cloned() {
                    if self.now >= until {
                        self.open.remove(&branch);
                        if let Some(who) = who {
                            self.watchers[who].codes.push(408);
                        }
                        return;
                    }
                    self.carry(bytes);
                    self.at(wait, Event::Again { branch, wait: (wait * 2).min(secs(4)), until });
                }
            }
            Event::Refresh(who) => {
                if !self.watchers[who].over && self.watchers[who].keeps {
                    self.refresh(who);
                }
            }
            Event::ToServer { life, stream, token, bytes } => {
                if self.up && stream == self.stream {
                    self.stanza_came(&bytes);
                    if life == self.life {
                        self.shards[Gateway::shard_of_token(token)].handle(self.now, Input::Taken(token));
                    }
                }
            }
            Event::ToGateway { stream, stanza } => {
                if self.up && stream == self.stream {
                    for (shard, input) in self.router.inputs(0, stanza) {
                        self.shards[shard].handle(self.now, input);
                    }
                }
            }
            Event::Commit { life, token, key, value } => {
                if life != self.life {
                    return;
                }
                let saved = self.chance.below(1000) >= self.disk_fails;
                if saved {
                    match value {
                        Some(value) => drop(self.disk.insert(key, value)),
                        None => drop(self.disk.remove(&key)),
                    }
                }
                self.at(self.disk_takes, Event::Told { life, token, saved });
            }
            Event::Told { life, token, saved } => {
                if life == self.life {
                    let input = if saved { Input::Saved(token) } else { Input::NotSaved(token) };
                    self.shards[stox::store::shard_of_token(token)].handle(self.now, input);
                }
            }
        }
    }

    fn drain(&mut self) {
        for shard in 0..self.shards.len() {
            while let Some(output) = self.shards[shard].poll() {
                match output {
                    Output::Sip { bytes, .. } => {
                        if self.chance.below(1000) >= self.lost {
                            let after = self.way();
                            self.at(after, Event::ToTown(bytes));
                        }
                    }
                    Output::Stanza { bytes, token, .. } => {
                        let (life, stream) = (self.life, self.stream);
                        if self.up {
                            self.at(ms(1), Event::ToServer { life, stream, token, bytes });
                        }
                    }
                    Output::Save { token, key, value } => {
                        let life = self.life;
                        self.at(self.disk_takes, Event::Commit { life, token, key, value });
                    }
                    Output::Lookup { .. }
                    | Output::Msrp(_)
                    | Output::Relay { .. }
                    | Output::Offence(..)
                    | Output::Note(_) => {}
                }
            }
        }
        let outstanding = self.shards.iter().map(|g| g.subscription_counts().outstanding).max().unwrap_or(0);
        self.peak = self.peak.max(outstanding);
    }

    fn way(&mut self) -> Duration {
        let most = u64::try_from(self.delay.as_micros()).unwrap();
        Duration::from_micros(1 + self.chance.below(most))
    }

    fn mint(&mut self) -> u64 {
        self.minted += 1;
        self.minted
    }

    fn fault(&mut self, what: &str) {
        self.faults.push(format!("{:?}: {what}", self.now));
    }

    #[track_caller]
    pub fn no_faults(&self) {
        assert!(self.faults.is_empty(), "{:#?}", &self.faults[..self.faults.len().min(10)]);
    }

    /// What the shards keep: usages, authorizations, requests under way and waiting.
    pub fn kept(&self) -> [usize; 4] {
        let counts: Vec<_> = self.shards.iter().map(Gateway::subscription_counts).collect();
        [
            counts.iter().map(|c| c.notifiers + c.subscribers).sum(),
            self.shards.iter().map(Gateway::authorizations).sum(),
            counts.iter().map(|c| c.outstanding).sum(),
            counts.iter().map(|c| c.waiting).sum(),
        ]
    }

    /// Requests of SIP users without an answer yet.
    pub fn unanswered(&self) -> usize {
        self.open.len()
    }
}

pub fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}
