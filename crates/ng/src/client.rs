//! Who asks the servers: again where a datagram was lost, another one where one is silent or full, and now and then whether they are there.
//!
//! What is asked of no server in particular (the first offer of a call) goes to the first in the list that is up, and then to others, each at
//! most once and three at most: somebody waits for the telephone to ring. What is about a call goes to the server that has it, and to no other.

mod ask;
mod server;

use crate::{MAX_DATAGRAM, Reply, Request};
use ask::{Ask, Kind};
use base::{HashKey, Str, Table, Time, Timers, Tokens};
use bytes::Bytes;
use server::Servers;
use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// How many servers there may be. Those beyond are left out.
pub const MAX_SERVERS: usize = 16;

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The servers, the best first; at most [`MAX_SERVERS`].
    pub servers: Vec<SocketAddr>,
    /// How long a server may be silent before it counts as down. It is asked again after one seventh and three sevenths of this.
    pub silence: Duration,
    /// How often a server that is up is pinged.
    pub ping: Duration,
    /// How often one that is down is.
    pub ping_down: Duration,
    /// How long a server that has said that it is full gets no new calls, where there is another.
    pub full: Duration,
    /// The requests that may wait for their answers at one time; beyond: [`Failure::Busy`]. Calls to be forgotten take half of them at most.
    pub asks: usize,
    /// Their bytes; beyond: [`Failure::Busy`].
    pub bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            servers: Vec::new(),
            silence: Duration::from_millis(2100),
            ping: Duration::from_secs(10),
            ping_down: Duration::from_secs(3),
            full: Duration::from_secs(5),
            asks: 4096,
            bytes: 16 << 20,
        }
    }
}

/// Names what was asked. Never used twice by one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(u64);

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// There is no server.
    None,
    /// Nobody has answered.
    Silent,
    /// All of them have as many calls as they may have.
    Full,
    /// What was answered is none of what can be.
    Garbled,
    /// What is asked does not go into a datagram.
    TooLong,
    /// So much waits to be answered that nothing more is asked.
    Busy,
    /// The server does not know the call: it was started anew, or has seen no media for long.
    Unknown,
    /// The server will not, for this reason: its words, without control characters.
    Refused(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failure::None => "there is no media relay",
            Failure::Silent => "the media relay does not answer",
            Failure::Full => "the media relay has no room",
            Failure::Garbled => "the media relay makes no sense",
            Failure::TooLong => "too long for the media relay",
            Failure::Busy => "the media relay is too slow",
            Failure::Unknown => "the media relay has lost the call",
            Failure::Refused(_) => "the media relay refuses",
        })
    }
}

impl std::error::Error for Failure {}

/// What comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a datagram.
    Send {
        /// Where to.
        to: SocketAddr,
        /// What.
        bytes: Bytes,
    },
    /// Something that was asked is over.
    Done {
        /// What.
        id: AskId,
        /// Who has answered, or was the last that did not.
        server: SocketAddr,
        /// What became of it: for an offer and an answer the description, else nothing.
        result: Result<Vec<u8>, Failure>,
    },
}

/// How a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// The server.
    pub server: SocketAddr,
    /// Whether it has answered what it was asked last.
    pub up: bool,
    /// How long its last answer took.
    pub round_trip: Option<Duration>,
}

/// What a client has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests, without pings.
    pub asked: u64,
    /// Those that were granted.
    pub granted: u64,
    /// Those that were refused.
    pub refused: u64,
    /// Those that nobody has answered.
    pub failed: u64,
    /// Datagrams that were sent again.
    pub repeated: u64,
    /// Requests that went on to another server.
    pub moved: u64,
    /// Datagrams that answer nothing that is waited for.
    pub stray: u64,
}

/// The client.
#[derive(Debug)]
pub struct Client {
    config: Config,
    servers: Servers,
    asks: Table<AskId, Ask>,
    cookies: Table<Str, AskId>,
    due: Timers<AskId>,
    tokens: Tokens,
    last: u64,
    bytes: usize,
    counts: Counts,
    out: VecDeque<Output>,
}

impl Client {
    /// A client; `tokens` is its own source.
    pub fn new(config: Config, mut tokens: Tokens) -> Client {
        let key = HashKey::new(tokens.u64(), tokens.u64());
        Client {
            servers: Servers::new(&config.servers),
            config,
            asks: Table::new(key),
            cookies: Table::new(key),
            due: Timers::new(),
            tokens,
            last: 0,
            bytes: 0,
            counts: Counts::default(),
            out: VecDeque::new(),
        }
    }

    /// Takes a new configuration. What is under way goes on as it began; what is known of a server that stays is kept.
    pub fn reconfigure(&mut self, config: Config) {
        self.servers.replace(&config.servers);
        self.config = config;
    }

    /// Whether there is anybody to ask.
    pub fn has_servers(&self) -> bool {
        !self.servers.is_empty()
    }

    /// Asks `server`, or where that is None the best one and then the others. How it ends comes as [`Output::Done`].
    ///
    /// # Errors
    /// [`Failure::None`], [`Failure::TooLong`], [`Failure::Busy`]: it is not asked.
    pub fn ask(&mut self, now: Time, request: &Request, server: Option<SocketAddr>) -> Result<AskId, Failure> {
        let document = request.to_value().to_bytes();
        if document.len() + 1 + COOKIE > MAX_DATAGRAM {
            return Err(Failure::TooLong);
        }
        let kind = Kind::of(request);
        if self.is_full(kind) || self.bytes + document.len() > self.config.bytes {
            return Err(Failure::Busy);
        }
        let to = server.or_else(|| self.servers.best(now, &[])).ok_or(Failure::None)?;
        self.counts.asked += 1;
        let makes = match request {
            Request::Offer(exchange) if server.is_none() => Some(exchange.call.clone()),
            Request::Offer(_) | Request::Answer(_) | Request::Delete { .. } | Request::Query { .. } | Request::Ping => {
                None
            }
        };
        let ask = Ask::new(now, kind, makes, document, to, server.is_some());
        Ok(self.begin(now, ask))
    }

    /// Asks no more, and nobody hears how it ends. The server may have heard of it.
    pub fn cancel(&mut self, id: AskId) {
        self.take(id);
    }

    /// A datagram came.
    pub fn received(&mut self, now: Time, from: SocketAddr, datagram: &[u8]) {
        let answered = split(datagram).and_then(|(cookie, document)| {
            let id = *self.cookies.get(cookie)?;
            self.asks.get(&id).filter(|ask| ask.to == from).map(|_| (id, document))
        });
        let Some((id, document)) = answered else {
            self.counts.stray += 1;
            return;
        };
        let Some(ask) = self.take(id) else { return };
        let reply = Reply::parse(document);
        self.servers.answered(now, from, now.since(ask.sent_at), reply.is_ok(), &self.config);
        let failure = match reply.map(|reply| ask.kind.judge(reply)) {
            Ok(Ok(sdp)) => return self.end(id, &ask, Ok(sdp)),
            Ok(Err(Failure::Full)) => {
                self.servers.full(now + self.config.full, from);
                Failure::Full
            }
            Ok(Err(failure)) => failure,
            Err(_) => Failure::Garbled,
        };
        self.go_on(now, id, ask, failure);
    }

    /// Lets pass what is due at `now`.
    pub fn timeout(&mut self, now: Time) {
        while let Some((at, id)) = self.due.pop(now) {
            let Some(ask) = self.asks.get_mut(&id).filter(|ask| ask.due == at) else { continue };
            if ask.again(now, self.config.silence) {
                self.counts.repeated += u64::from(!ask.is_own());
                self.out.push_back(ask.to_output());
                self.due.set(ask.due, id);
                continue;
            }
            let Some(ask) = self.take(id) else { continue };
            self.servers.silent(now, ask.to, &self.config);
            self.go_on(now, id, ask, Failure::Silent);
        }
        while let Some(to) = self.servers.next_ping(now) {
            self.begin(now, Ask::of(now, Kind::Ping, &Request::Ping, to));
        }
    }

    /// When [`Client::timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Time> {
        [self.due.next(), self.servers.deadline()].into_iter().flatten().min()
    }

    /// The next output.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// How the servers are, in their order.
    pub fn health(&self) -> Vec<Health> {
        self.servers.health()
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How many requests wait for their answers, pings among them.
    pub fn waiting(&self) -> usize {
        self.asks.len()
    }

    /// Whether no more of this is asked now. What nobody waits for leaves half of the room to the rest: a server that was killed with all its calls would else be in
    /// the way of those that another one is to have.
    fn is_full(&self, kind: Kind) -> bool {
        let most = match kind {
            Kind::Delete | Kind::Forget => self.config.asks / 2,
            Kind::Ping | Kind::Description | Kind::Query => self.config.asks,
        };
        self.asks.len() >= most
    }

    fn begin(&mut self, now: Time, ask: Ask) -> AskId {
        self.last += 1;
        let id = AskId(self.last);
        self.send(now, id, ask);
        id
    }

    /// Sends it for the first time to this server. Each server gets a cookie of its own, so that none can answer for another.
    fn send(&mut self, now: Time, id: AskId, mut ask: Ask) {
        ask.cookie = self.tokens.token(COOKIE);
        ask.start(now, self.config.silence);
        self.cookies.insert(ask.cookie.clone(), id);
        self.bytes += ask.document.len();
        self.out.push_back(ask.to_output());
        self.due.set(ask.due, id);
        self.asks.insert(id, ask);
    }

    fn take(&mut self, id: AskId) -> Option<Ask> {
        let ask = self.asks.remove(&id)?;
        self.cookies.remove(&ask.cookie);
        self.bytes -= ask.document.len();
        Some(ask)
    }

    /// This server has not granted it: another may.
    fn go_on(&mut self, now: Time, id: AskId, mut ask: Ask, failure: Failure) {
        // It may have heard of it all the same.
        if let (Failure::Silent | Failure::Garbled, Some(call)) = (&failure, &ask.makes)
            && !self.is_full(Kind::Forget)
        {
            self.begin(now, Ask::of(now, Kind::Forget, &Request::Delete { call: call.clone() }, ask.to));
        }
        let next = if ask.may_move(&failure) { self.servers.best(now, &ask.tried) } else { None };
        let Some(to) = next else { return self.end(id, &ask, Err(failure)) };
        self.counts.moved += 1;
        ask.turn_to(to);
        self.send(now, id, ask);
    }

    fn end(&mut self, id: AskId, ask: &Ask, result: Result<Vec<u8>, Failure>) {
        if ask.is_own() {
            return;
        }
        match &result {
            Ok(_) => self.counts.granted += 1,
            Err(Failure::Silent | Failure::Garbled) => self.counts.failed += 1,
            Err(_) => self.counts.refused += 1,
        }
        self.out.push_back(Output::Done { id, server: ask.to, result });
    }
}

/// The characters of a cookie: a hundred random bits, so that nobody answers who was not asked.
const COOKIE: usize = 20;

/// A datagram's cookie and its document.
fn split(datagram: &[u8]) -> Option<(&str, &[u8])> {
    let (cookie, rest) = datagram.split_at_checked(COOKIE)?;
    Some((std::str::from_utf8(cookie).ok()?, rest.strip_prefix(b" ")?))
}

#[cfg(test)]
mod tests;
