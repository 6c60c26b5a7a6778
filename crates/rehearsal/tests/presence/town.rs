//! A town in simulated time: SIP users who watch and are watched, an XMPP server with its accounts and rosters, a disk, and a gateway of
//! several shards between them that may be killed at any moment. Nothing sleeps, and everything follows from a seed.
//!
//! What a SIP user or a server must never see (a CSeq that goes back, presence that nobody has approved) is written down as a fault at the
//! moment at which it is seen; [`Town::no_faults`] looks at them.

// Longer than most: both sides, the disk and the network of one small world.

use base::{HashKey, Time, Tokens};
use bytes::Bytes;
use rehearsal::scene::Settings;
use rehearsal::wire::{SipText, parameter, uri_of, user_of};
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
    pub user: String,
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
    Refuse,
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
                    Output::Note(_) => {}
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

    fn fault(&mut self, what: String) {
        self.faults.push(format!("{:?}: {what}", self.now));
    }

    #[track_caller]
    pub fn no_faults(&self) {
        assert!(self.faults.is_empty(), "{:#?}", &self.faults[..self.faults.len().min(10)]);
    }

    // The SIP side.

    fn carry(&mut self, bytes: Bytes) {
        if self.chance.below(1000) >= self.lost {
            let after = self.way();
            self.at(after, Event::Sip(bytes, SOURCE.into()));
        }
    }

    /// A SIP user sends a request, and again until it is answered.
    fn request(&mut self, text: String, branch: &str, who: Option<usize>) {
        let bytes = Bytes::from(text);
        self.open.insert(branch.to_owned(), (bytes.clone(), who));
        self.carry(bytes);
        let until = self.now + secs(32);
        self.at(ms(500), Event::Again { branch: branch.to_owned(), wait: secs(1), until });
    }

    /// A SIP user begins to watch.
    pub fn watch(&mut self, user: &str, contact: &str, expires: u32) -> usize {
        let n = self.mint();
        let who = self.watchers.len();
        let call_id = format!("watch{n}@town");
        self.by_call.insert(call_id.clone(), who);
        self.watchers.push(Watcher {
            user: user.into(),
            contact: contact.into(),
            call_id,
            tag: format!("t{n}"),
            expires,
            keeps: true,
            ..Watcher::default()
        });
        self.subscribe_now(who, expires);
        who
    }

    /// It watches on, or ends it with 0.
    pub fn again(&mut self, who: usize, expires: u32) {
        self.watchers[who].expires = expires;
        self.subscribe_now(who, expires);
    }

    fn refresh(&mut self, who: usize) {
        let expires = self.watchers[who].expires;
        self.subscribe_now(who, expires);
    }

    fn subscribe_now(&mut self, who: usize, expires: u32) {
        let n = self.mint();
        let w = &mut self.watchers[who];
        w.cseq += 1;
        let uri = w.target.clone().unwrap_or_else(|| format!("sip:{}", w.contact));
        let to_tag = w.to_tag.as_ref().map(|tag| format!(";tag={tag}")).unwrap_or_default();
        let text = format!(
            "SUBSCRIBE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bKtown{n}\r\nMax-Forwards: 70\r\n\
             From: <sip:{}@example.net>;tag={}\r\nTo: <sip:{}>{to_tag}\r\nCall-ID: {}\r\nCSeq: {} SUBSCRIBE\r\n\
             Contact: <sip:{}@192.0.2.20>\r\nEvent: presence\r\nAccept: application/pidf+xml\r\nExpires: {expires}\r\n\
             Content-Length: 0\r\n\r\n",
            w.user, w.tag, w.contact, w.call_id, w.cseq, w.user
        );
        self.request(text, &format!("z9hG4bKtown{n}"), Some(who));
    }

    fn sip_came(&mut self, bytes: &Bytes) {
        let message = SipText::parse(bytes).expect("the gateway speaks SIP");
        if let Some(log) = &mut self.log {
            log.push((self.now, message.clone()));
        }
        if let Some(code) = message.status() {
            return self.answer_came(code, &message);
        }
        let branch = message.branch().unwrap().to_owned();
        match self.answered.get(&branch).cloned() {
            Some(answer) if answer.is_empty() => return,
            Some(answer) => return self.carry(answer),
            None => {}
        }
        let (method, uri) = message.request().unwrap();
        let (method, uri) = (method.to_owned(), uri.to_owned());
        match method.as_str() {
            "NOTIFY" => self.notify_came(&branch, &message),
            "SUBSCRIBE" => self.subscribe_came(&branch, &message, &uri),
            other => self.fault(format!("the gateway sends {other}")),
        }
    }

    fn respond(&mut self, branch: &str, response: &SipText) {
        let bytes = Bytes::from(response.to_bytes());
        self.answered.insert(branch.to_owned(), bytes.clone());
        self.carry(bytes);
    }

    fn answer_came(&mut self, code: u16, message: &SipText) {
        let Some((_, who)) = message.branch().and_then(|branch| self.open.remove(branch)) else { return };
        let Some(who) = who else {
            self.notify_codes.push(code);
            let user = user_of(message.header("From").unwrap()).unwrap();
            if code == 481
                && let Some(pa) = self.watched.get_mut(user)
            {
                pa.dialogs.remove(message.header("Call-ID").unwrap());
            }
            return;
        };
        let now = self.now;
        let w = &mut self.watchers[who];
        w.codes.push(code);
        let user = format!("{}@example.net", w.user);
        if code == 481
            && !w.over
            && w.expires > 0
            && self.accounts.get(&w.contact).is_some_and(|a| a.subscribers.contains(&user) || a.policy == Policy::Leave)
        {
            let what = format!("{:?}: a promise is not kept: {w:?}", self.now);
            self.faults.push(what);
        }
        let w = &mut self.watchers[who];
        w.retry_after = message.header("Retry-After").map(str::to_owned);
        w.min_expires = message.header("Min-Expires").map(str::to_owned);
        match code {
            200..300 => {
                let tag = parameter(message.header("To").unwrap(), "tag").map(str::to_owned);
                if w.to_tag.is_none() || w.to_tag == tag {
                    w.to_tag = tag;
                    w.target = message.header("Contact").map(|c| uri_of(c).to_owned());
                }
                let granted: u32 = message.header("Expires").unwrap().parse().unwrap();
                w.until = Some(now + secs(granted.into()));
                if granted > 0 {
                    self.at(secs(u64::from(granted) * 3 / 4), Event::Refresh(who));
                }
            }
            481 => w.over = true,
            _ => {}
        }
    }

    /// A NOTIFY to a SIP user who watches.
    fn notify_came(&mut self, branch: &str, message: &SipText) {
        self.notifies += 1;
        let Some(&who) = message.header("Call-ID").and_then(|call_id| self.by_call.get(call_id)) else {
            return self.fault(format!("a NOTIFY for nobody: {message}"));
        };
        let state = message.header("Subscription-State").unwrap_or_default().to_owned();
        let cseq: u32 = message.header("CSeq").unwrap().split(' ').next().unwrap().parse().unwrap();
        let body = (!message.body.is_empty()).then(|| message.text());
        let (contact, user) = (self.watchers[who].contact.clone(), format!("{}@example.net", self.watchers[who].user));
        let approved = self.accounts.get(&contact).is_some_and(|account| account.subscribers.contains(&user));
        if body.is_some() && !approved && !body.as_ref().is_some_and(|b| b.contains("closed")) {
            self.fault(format!("presence of {contact} to {user}, who is not approved: {message}"));
        }
        if body.is_some() && state.starts_with("pending") {
            self.fault(format!("pending, with presence: {message}"));
        }
        let now = self.now;
        let w = &mut self.watchers[who];
        let tag = parameter(message.header("From").unwrap(), "tag").map(str::to_owned);
        // RFC 3856 §6.9: one dialog for one SUBSCRIBE, whoever took it.
        if w.to_tag.is_some() && w.to_tag != tag {
            return self.respond(branch, &message.response(481, "", ""));
        }
        w.to_tag = tag;
        w.target = message.header("Contact").map(|c| uri_of(c).to_owned());
        // What is over is over: a gateway that died before it knew may not know (RFC 6665 §4.1.3).
        if w.over {
            return self.respond(branch, &message.response(481, "", ""));
        }
        // A network that changes the order has the older one refused, as RFC 6665 §4.1.3 wants; numbers that come twice have one sender.
        let old = cseq <= w.seen;
        if !old {
            w.seen = cseq;
            w.over |= state.starts_with("terminated");
            w.state = state;
            if body.is_some() {
                w.body = body;
            }
            w.notifies.push(now);
        }
        if w.mute {
            return;
        }
        let ordered = self.lost == 0 && self.delay <= ms(1);
        if old && ordered {
            self.fault(format!("CSeq goes back: {message}"));
        }
        let code = if old { 500 } else { 200 };
        self.respond(branch, &message.response(code, "", ""));
    }

    /// A SIP user who is watched.
    pub fn watchable(&mut self, user: &str, tuples: &[(&str, &str)]) {
        let tuples = tuples.iter().map(|(id, note)| ((*id).to_owned(), (*note).to_owned())).collect();
        let watched = Watched {
            first: VecDeque::new(),
            answer: (200, Vec::new()),
            state: "active".into(),
            tuples,
            most: 86_400,
            hasty: false,
            body: None,
            dialogs: BTreeMap::new(),
            asked: Vec::new(),
        };
        self.watched.insert(user.to_owned(), watched);
    }

    pub fn of(&mut self, user: &str) -> &mut Watched {
        self.watched.get_mut(user).unwrap()
    }

    fn subscribe_came(&mut self, branch: &str, message: &SipText, uri: &str) {
        let (now, tag) = (self.now, format!("pa{}", self.mint()));
        let user = user_of(message.header("To").unwrap()).unwrap().to_owned();
        let Some(pa) = self.watched.get_mut(&user) else {
            return self.respond(branch, &message.response(404, "Not Found", "x"));
        };
        let call_id = message.header("Call-ID").unwrap().to_owned();
        let asked: u32 = message.header("Expires").unwrap().parse().unwrap();
        pa.asked.push((now, asked));
        let known = parameter(message.header("To").unwrap(), "tag").is_some();
        pa.dialogs.retain(|_, held| held.until > now);
        let (mut code, headers) = pa.first.pop_front().unwrap_or_else(|| pa.answer.clone());
        if code < 300 && known && !pa.dialogs.contains_key(&call_id) {
            code = 481;
        }
        if code == 0 {
            self.answered.insert(branch.to_owned(), Bytes::new());
            return;
        }
        let mut response = message.response(code, "", &tag);
        headers.iter().for_each(|(name, value)| response.push(name, value.as_str()));
        if code >= 300 {
            return self.respond(branch, &response);
        }
        let granted = asked.min(pa.most);
        response.push("Expires", granted.to_string());
        response.push("Contact", format!("<sip:{user}@192.0.2.20>"));
        let cseq: u32 = message.header("CSeq").unwrap().split(' ').next().unwrap().parse().unwrap();
        let held = pa.dialogs.entry(call_id.clone()).or_insert_with(|| Held {
            user: user.clone(),
            from: format!("{};tag={tag}", message.header("To").unwrap()),
            to: message.header("From").unwrap().to_owned(),
            target: uri_of(message.header("Contact").unwrap()).to_owned(),
            cseq: 0,
            seen: 0,
            until: now,
        });
        let back = known && cseq <= held.seen;
        held.seen = cseq;
        held.until = now + secs(u64::from(granted).max(2));
        let hasty = pa.hasty;
        if back {
            self.fault(format!("CSeq goes back: {message} to {uri}"));
        }
        if !hasty {
            self.respond(branch, &response);
        }
        let state = match (asked, self.watched[&user].state.as_str()) {
            (0, "active") => "terminated;reason=timeout".to_owned(),
            // Who may not see may not poll.
            (0, _) => "terminated;reason=rejected".to_owned(),
            (_, state) => state.to_owned(),
        };
        if !state.is_empty() {
            self.notify(&user, &call_id, &state);
        }
        if hasty {
            self.respond(branch, &response);
        }
        if asked == 0 {
            self.of(&user).dialogs.remove(&call_id);
        }
    }

    /// The document of a SIP user.
    fn document(&self, user: &str) -> String {
        if let Some(body) = &self.watched[user].body {
            return body.clone();
        }
        let tuple = |(id, note): &(String, String)| {
            format!("<tuple id='{id}'><status><basic>open</basic></status><note>{note}</note></tuple>")
        };
        let tuples: String = self.watched[user].tuples.iter().map(tuple).collect();
        let tuples = if tuples.is_empty() {
            "<tuple id='x'><status><basic>closed</basic></status></tuple>".to_owned()
        } else {
            tuples
        };
        format!("<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:{user}@example.net'>{tuples}</presence>")
    }

    /// A presence agent tells a dialog the state.
    pub fn notify(&mut self, user: &str, call_id: &str, state: &str) {
        let (n, now, body) = (self.mint(), self.now, self.document(user));
        let Some(held) = self.of(user).dialogs.get_mut(call_id) else { return };
        held.cseq += 1;
        let left = held.until.since(now).as_secs();
        let expires = if state.starts_with("terminated") { String::new() } else { format!(";expires={left}") };
        let text = format!(
            "NOTIFY {} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bKtown{n}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\n\
             Call-ID: {call_id}\r\nCSeq: {} NOTIFY\r\nContact: <sip:{user}@192.0.2.20>\r\nEvent: presence\r\n\
             Subscription-State: {state}{expires}\r\nContent-Type: application/pidf+xml\r\nContent-Length: {}\r\n\r\n{body}",
            held.target,
            held.from,
            held.to,
            held.cseq,
            body.len()
        );
        self.request(text, &format!("z9hG4bKtown{n}"), None);
    }

    /// A presence agent tells everybody.
    pub fn publish(&mut self, user: &str, tuples: &[(&str, &str)]) {
        self.of(user).tuples = tuples.iter().map(|(id, note)| ((*id).to_owned(), (*note).to_owned())).collect();
        let calls: Vec<String> = self.of(user).dialogs.keys().cloned().collect();
        calls.iter().for_each(|call_id| self.notify(user, call_id, "active"));
    }

    /// Any SIP, for one answer. Its branch is given.
    pub fn raw(&mut self, text: &str) {
        self.carry(Bytes::from(text.to_owned()));
    }

    // The XMPP side.

    pub fn account(&mut self, bare: &str, policy: Policy) {
        let account = Account {
            policy,
            resources: BTreeMap::new(),
            subscribers: BTreeSet::new(),
            asked: BTreeMap::new(),
            roster: BTreeMap::new(),
            open_to_gateway: true,
            left: Vec::new(),
            errors: Vec::new(),
        };
        self.accounts.insert(bare.to_owned(), account);
    }

    pub fn user(&mut self, bare: &str) -> &mut Account {
        self.accounts.get_mut(bare).unwrap()
    }

    pub fn roster(&self, bare: &str, sip: &str) -> &Entry {
        &self.accounts[bare].roster[sip]
    }

    /// The XMPP server sends a stanza.
    pub fn says(&mut self, stanza: Stanza) {
        let stream = self.stream;
        if self.up {
            self.at(ms(1), Event::ToGateway { stream, stanza });
        }
    }

    pub fn presence(&mut self, from: &str, to: &str, type_: &'static str) {
        let stanza = Stanza::presence().with_from(jid(from)).with_to(jid(to));
        self.says(if type_.is_empty() { stanza } else { stanza.with_type(type_) });
    }

    fn available(&mut self, bare: &str, resource: &str, status: &str, to: &str) {
        let stanza = Stanza::presence().with_from(jid(&format!("{bare}/{resource}"))).with_to(jid(to));
        self.says(stanza.with_child(Element::new("status", ns::CLIENT).with_text(status)));
    }

    /// A resource comes, or says something new: the server tells whoever may know, and asks for those in the roster.
    pub fn comes(&mut self, bare: &str, resource: &str, status: &str) {
        let account = self.user(bare);
        let first = account.resources.insert(resource.to_owned(), status.to_owned()).is_none();
        let (subscribers, roster) = (account.subscribers.clone(), account.roster.keys().cloned().collect::<Vec<_>>());
        for to in subscribers {
            self.available(bare, resource, status, &to);
        }
        for to in roster.iter().filter(|_| first) {
            if self.accounts[bare].roster[to].approved {
                self.presence(&format!("{bare}/{resource}"), to, "probe");
            } else {
                self.presence(bare, to, "subscribe");
            }
        }
    }

    pub fn goes(&mut self, bare: &str, resource: &str) {
        let account = self.user(bare);
        account.resources.remove(resource);
        account.roster.values_mut().filter(|_| account.resources.is_empty()).for_each(|entry| entry.online.clear());
        for to in account.subscribers.clone() {
            self.presence(&format!("{bare}/{resource}"), &to, "unavailable");
        }
    }

    /// An XMPP user wants to see a SIP user.
    pub fn adds(&mut self, bare: &str, sip: &str) {
        self.user(bare).roster.entry(sip.to_owned()).or_default();
        self.presence(bare, sip, "subscribe");
    }

    /// What it was asked by this SIP user is approved now.
    pub fn approves(&mut self, bare: &str, sip: &str) {
        self.user(bare).subscribers.insert(sip.to_owned());
        self.presence(bare, sip, "subscribed");
        self.tells_all(bare, sip);
    }

    pub fn revokes(&mut self, bare: &str, sip: &str) {
        self.user(bare).subscribers.remove(sip);
        self.presence(bare, sip, "unsubscribed");
    }

    fn tells_all(&mut self, bare: &str, to: &str) {
        let resources = self.user(bare).resources.clone();
        if resources.is_empty() {
            self.presence(bare, to, "unavailable");
        }
        for (resource, status) in resources {
            self.available(bare, &resource, &status, to);
        }
    }

    fn stanza_came(&mut self, bytes: &[u8]) {
        let stanza = read_stanza(bytes);
        let (from, to) = (stanza.from.clone().unwrap(), stanza.to.clone().unwrap());
        let (bare, sip) = (to.bare().to_string(), from.bare().to_string());
        if stanza.kind != Kind::Presence {
            return self.fault(format!("no presence: {stanza:?}"));
        }
        let for_gateway = from.local().is_none();
        let Some(account) = self.accounts.get_mut(&bare) else {
            // RFC 6121 §8.5.1: a request for an account that is not there is ignored, a probe gets what all get who may not know.
            if stanza.type_.as_deref() == Some("probe") {
                self.presence(&bare, &sip, "unsubscribed");
            }
            return;
        };
        match stanza.type_.as_deref() {
            Some("subscribe") => {
                *account.asked.entry(sip.clone()).or_default() += 1;
                if account.subscribers.contains(&sip) {
                    // RFC 6121 §3.1.3: the server answers by itself. What the gateway has on disk it need not ask.
                    let key = [b"ps", sip.as_bytes(), &[0], bare.as_bytes()].concat();
                    if self
                        .disk
                        .get(&key)
                        .is_some_and(|record| String::from_utf8_lossy(record).contains("\"granted\":true"))
                    {
                        self.fault(format!("{bare} is asked again by {sip}"));
                    }
                    return self.approves(&bare, &sip);
                }
                match account.policy {
                    Policy::Approve => self.approves(&bare, &sip),
                    Policy::Leave => {}
                    Policy::Refuse => self.presence(&bare, &sip, "unsubscribed"),
                }
            }
            Some("probe") if for_gateway => match (account.open_to_gateway, account.resources.keys().next().cloned()) {
                (true, Some(resource)) => self.presence(&format!("{bare}/{resource}"), &sip, ""),
                (true, None) => self.presence(&bare, &sip, "unavailable"),
                (false, _) => self.presence(&bare, &sip, "unsubscribed"),
            },
            Some("probe") if account.subscribers.contains(&sip) => self.tells_all(&bare, &sip),
            Some("probe") => self.presence(&bare, &sip, "unsubscribed"),
            Some("subscribed") => {
                let entry = account.roster.entry(sip).or_default();
                entry.approved = true;
                entry.yes += 1;
            }
            Some("unsubscribed") => {
                if let Some(entry) = account.roster.get_mut(&sip) {
                    entry.approved = false;
                    entry.no += 1;
                    if !entry.online.is_empty() {
                        self.fault(format!("{sip} is unsubscribed and still online for {bare}"));
                    }
                }
            }
            Some("unavailable") => match account.roster.get_mut(&sip) {
                Some(entry) => drop(entry.online.remove(from.resource().unwrap_or(""))),
                None => account.left.push(sip),
            },
            None => {
                let status = stanza.child("status", ns::CLIENT).map(|e| e.text().into_owned()).unwrap_or_default();
                let known = account.roster.get(&sip).is_some_and(|entry| entry.approved);
                let there = !account.resources.is_empty();
                if !known {
                    self.fault(format!("{bare} is told of {sip}, whom it has not in its roster"));
                } else if there && let Some(entry) = self.user(&bare).roster.get_mut(&sip) {
                    entry.online.insert(from.resource().unwrap_or("").to_owned(), status);
                }
            }
            Some("error") => account.errors.push(format!("{stanza:?}")),
            Some(other) => {
                let what = format!("presence of type {other}");
                self.fault(what);
            }
        }
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

pub fn read_stanza(bytes: &[u8]) -> Stanza {
    let wrapped = [b"<s xmlns='jabber:component:accept'>", bytes, b"</s>"].concat();
    let limits = xml::Limits { stanza_bytes: 1 << 22, elements: 1 << 16, ..xml::Limits::default() };
    let element = Element::parse(&wrapped, &limits).unwrap().elements().next().cloned().unwrap();
    Stanza::from_element(element, ns::COMPONENT_ACCEPT).unwrap()
}
