//! The user agent core's lower half: it owns the transactions, so that each request comes up once and each request of ours ends once.
//!
//! What comes in is a message and the way that it came, or a deadline; what goes out is [`Output`]. One input, then drain all
//! outputs. The agent refuses by itself what RFC 3261 §8.2 refuses before it looks at what the request is about.

mod answer;
mod branch;
mod checks;
mod client;
mod context;
mod due;
mod errand;
mod hop;
mod memory;
mod mirror;
mod quarantine;
mod server;
mod shapes;

#[cfg(test)]
mod tests;

pub use crate::digest::AccountId;
pub use branch::{branch_suffix, shard_of_branch};
pub use hop::{Branch, Fence, Hop, Next, Place, Target};

use crate::digest::Wallet;
use crate::message::{Message, Request, Response};
use crate::method::Method;
use crate::parse::Rejected;
use crate::transaction::Intervals;
use crate::uri::Host;
use answer::Secrets;
use base::dns::Question;
use base::{HashKey, Str, Table, Time, Timers, Tokens};
use bytes::Bytes;
use memory::{Bounds, Memory};
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How SIP is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// RFC 3261 §18
    Udp,
    /// RFC 3261 §18
    Tcp,
    /// TLS over TCP: RFC 3261 §26.2.1
    Tls,
    /// RFC 7118
    Ws,
    /// RFC 7118 over TLS
    Wss,
}

impl Transport {
    /// Whether the transport repeats what is lost, so that SIP need not.
    pub fn reliable(self) -> bool {
        self != Transport::Udp
    }

    /// The transport as it stands in a Via.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
            Transport::Ws => "WS",
            Transport::Wss => "WSS",
        }
    }

    /// The transport that `transport=` of a URI names: RFC 3261 §19.1.1, RFC 7118 §5.
    pub fn of_uri(name: &str) -> Option<Transport> {
        let known = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];
        known.into_iter().find(|transport| transport.as_str().eq_ignore_ascii_case(name))
    }

    /// Whether the transport is over TLS.
    pub fn secure(self) -> bool {
        matches!(self, Transport::Tls | Transport::Wss)
    }

    /// The port that a sent-by without one means (RFC 3261 §18.1.1, RFC 7118 §5).
    pub fn default_port(self) -> u16 {
        match self {
            Transport::Udp | Transport::Tcp => 5060,
            Transport::Tls => 5061,
            Transport::Ws => 80,
            Transport::Wss => 443,
        }
    }

    /// The transport as it stands in `transport=` of a URI, and in front of an address in a configuration.
    pub fn in_uri(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Ws => "ws",
            Transport::Wss => "wss",
        }
    }
}

/// The way that a message came, and that an answer goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// The transport.
    pub transport: Transport,
    /// The address of ours that it came to.
    pub local: SocketAddr,
    /// The address that it came from.
    pub remote: SocketAddr,
    /// The shell's name for the connection, where there is one.
    pub connection: Option<u64>,
}

/// Where a message is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendTo {
    /// A response: from `flow.local` to `flow.remote` by UDP, on `flow.connection` otherwise. If that connection is gone, the shell
    /// may open one to `fallback` (RFC 3261 §18.2.2); without one the response is dropped.
    Flow {
        /// The way back; the port is already the one to answer to.
        flow: Flow,
        /// The second choice.
        fallback: Option<Target>,
    },
    /// A request.
    Target(Target),
}

/// Names a request that came. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(u64);

/// Names a request of ours, and in [`Output::Send`] one of the transactions that it takes. Unguessable, and never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(u64);

/// What the agent is told about its surroundings.
#[derive(Debug, Clone)]
pub struct Config {
    /// T1, T2 and T4.
    pub intervals: Intervals,
    /// The shard, which every branch of ours names.
    pub shard: u8,
    /// What a Via of ours says for each transport. A response whose top Via says something else is dropped, and a transport that is
    /// not listed cannot be used for requests.
    pub sent_by: Vec<(Transport, Host, Option<u16>)>,
    /// The methods that Allow lists.
    pub allow: Vec<Method>,
    /// Methods that come up although Allow does not list them, because the layer above has an answer of its own to them. All others
    /// are refused here: 405, or 501 if not even the name is known.
    pub surfaced: Vec<Method>,
    /// Whether the layer above takes INVITEs. If not, one that has nothing else against it is refused here: 405.
    pub invites: bool,
    /// The option tags that Supported lists; a request that requires another one is refused: 420.
    pub supported: Vec<Str>,
    /// The schemes of Request-URIs that are understood besides `sip` and `sips`; others are refused: 416.
    pub schemes: Vec<Str>,
    /// Whether the layer above keeps dialogs. If not, a request with a To tag is refused: 481.
    pub dialogs: bool,
    /// What Retry-After says when the agent itself is full, in seconds.
    pub retry_after: u32,
    /// How many requests of ours may be under way at once.
    pub max_client: usize,
    /// How many requests may wait for our final answer at once.
    pub max_server: usize,
    /// How many bytes those may have that their answers repeat (Via, From, To, Call-ID).
    pub max_server_bytes: usize,
    /// How many answers are remembered for timer J. When they are that many, new requests get 503.
    pub max_remembered: usize,
    /// How many of these may keep all their bytes, because they have a body or headers that are rare.
    pub max_stored: usize,
    /// How many bytes those may have together.
    pub max_stored_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            intervals: Intervals::default(),
            shard: 0,
            sent_by: Vec::new(),
            allow: vec![Method::Message, Method::Options],
            surfaced: vec![Method::Invite, Method::Subscribe, Method::Publish],
            invites: false,
            supported: Vec::new(),
            schemes: Vec::new(),
            dialogs: false,
            retry_after: 5,
            max_client: 8192,
            max_server: 4096,
            max_server_bytes: 8 << 20,
            max_remembered: 1_500_000,
            max_stored: 8192,
            max_stored_bytes: 4 << 20,
        }
    }
}

/// What the agent asks for or tells.
#[derive(Debug)]
pub enum Output {
    /// Send these bytes. If that fails for a request of ours, say [`Agent::send_failed`].
    Send {
        /// Where to.
        to: SendTo,
        /// The message.
        bytes: Bytes,
        /// The request of ours that this is, first or again.
        client: Option<ClientId>,
    },
    /// A request came, for the first time and with nothing to be said against it here. Answer it with [`Agent::respond`].
    Request {
        /// Its name.
        id: ServerId,
        /// The request as it came.
        request: Request,
        /// The way that it came.
        flow: Flow,
    },
    /// A response to a request of ours: any number of provisional ones, then a final one, which is the last word but for further 2xx to
    /// an INVITE.
    Response {
        /// The request's name.
        id: ClientId,
        /// The response.
        response: Response,
    },
    /// A request of ours ended without a final response.
    Failed {
        /// The request's name.
        id: ClientId,
        /// Why.
        why: Failure,
    },
    /// Nobody waits for the answer to this request any more: it was cancelled (the agent has answered), its sender must have given up
    /// (RFC 4320 §4.2), or its refusal was never acknowledged.
    Cancelled {
        /// The request's name.
        id: ServerId,
        /// Why, in the words of the CANCEL's first Reason (RFC 3326), if it was a CANCEL that had one.
        reason: Option<Str>,
    },
    /// Ask a name server, and say [`Agent::located`].
    Locate {
        /// The question's name.
        id: u64,
        /// The question.
        question: Question,
    },
    /// The ACK for a 2xx to an INVITE.
    Ack {
        /// The INVITE's name.
        id: ServerId,
        /// The ACK.
        request: Request,
        /// The way that it came.
        flow: Flow,
    },
}

/// Why a request of ours had no final response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// None came in time: RFC 3261 has this count as a 408.
    Timeout,
    /// The transport could not send it, or lost the way that the answer would have come: counts as a 503.
    Transport,
    /// There is no such place, or we have no transport that leads there: counts as a 503.
    Nowhere,
    /// No name server has said where the place is: counts as a 503, and later it may be otherwise.
    Unknown,
}

/// Why a request of ours was not even begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// [`Config::max_client`] are under way.
    Full,
    /// [`Config::sent_by`] does not list the transport, or it is not as secure as the request wants it (RFC 3261 §26.2.2).
    NoTransport,
    /// An ACK or a CANCEL is no transaction of its own: see [`Agent::ack`] and [`Agent::cancel`].
    Method,
}

/// Counts since the start, and at the end how full the agent is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that came, each once.
    pub requests_in: u64,
    /// Requests that came again, and got the same answer or none.
    pub retransmissions_in: u64,
    /// Requests of ours.
    pub requests_out: u64,
    /// Requests of ours, and refusals of an INVITE, that were sent again because nothing came back.
    pub retransmissions_out: u64,
    /// Answers of ours that were sent again because the request came again.
    pub answered_again: u64,
    /// Responses to requests of ours.
    pub responses_in: u64,
    /// 482: the same request by another way.
    pub merged: u64,
    /// 482: a request of our own came back.
    pub looped: u64,
    /// Requests refused by RFC 3261 §8.2: 405, 416, 420, 481, 501.
    pub refused: u64,
    /// Messages that could not be read and were answered: 400, 505, 513.
    pub unreadable: u64,
    /// 503: the agent was full.
    pub overload: u64,
    /// Requests of ours without an answer in time.
    pub timeouts: u64,
    /// Requests of ours that the transport failed.
    pub transport_failures: u64,
    /// Requests of ours that went on to another target because one had failed (RFC 3263 §4.3).
    pub failovers: u64,
    /// Requests of ours that name servers did not lead anywhere.
    pub lookup_failures: u64,
    /// Requests that were cancelled.
    pub cancelled: u64,
    /// Requests whose answer came too late to be of use, or never (RFC 4320 §4.2).
    pub useless: u64,
    /// Dropped: responses to nothing, or to what had already ended.
    pub dropped_stray: u64,
    /// Dropped: responses whose top Via is not ours, or that have more than one.
    pub dropped_via: u64,
    /// Dropped: ACKs for nothing.
    pub dropped_ack: u64,
    /// Dropped: messages from an address that cannot be answered.
    pub dropped_source: u64,
    /// Dropped: messages that could not be read or answered.
    pub dropped_unreadable: u64,
    /// Requests of ours under way.
    pub client_open: usize,
    /// Requests that wait for our final answer or for an ACK.
    pub server_open: usize,
    /// Answers remembered.
    pub remembered: usize,
    /// The bytes that these take.
    pub remembered_bytes: usize,
}

/// A transaction, as the queue of deadlines knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Waiting {
    Client(ClientId),
    Server(ServerId),
}

/// The agent.
#[derive(Debug)]
pub struct Agent {
    config: Config,
    secrets: Secrets,
    tokens: Tokens,
    /// Boxed, as a table has room for more than it holds.
    clients: Table<ClientId, Box<client::Transaction>>,
    /// Those by a reliable transport, by the way that breaks.
    by_target: BTreeSet<(Target, ClientId)>,
    servers: Table<ServerId, Box<server::Transaction>>,
    server_bytes: usize,
    /// By the request's name, then by that under which ACK and CANCEL look, then by that of the ACK for a 2xx.
    open: Table<u128, ServerId>,
    invites: Table<u128, ServerId>,
    accepted: Table<u128, ServerId>,
    last_server: u64,
    memory: Memory,
    shapes: shapes::Shapes,
    /// Requests that take more than one transaction.
    contexts: Table<ClientId, Box<context::Context>>,
    /// ACKs that wait for an address.
    errands: Table<u64, Box<errand::Errand>>,
    /// Who has asked the name servers, by the question's name; and the last of these.
    asked: Table<u64, context::Asker>,
    asks: u64,
    quarantine: quarantine::Quarantine,
    fence: Option<Arc<dyn Fence>>,
    wallet: Wallet,
    timers: Timers<Waiting>,
    out: VecDeque<Output>,
    counts: Counts,
}

impl Agent {
    /// An agent. `tokens` is its own source; what it mints follows from it.
    pub fn new(config: Config, mut tokens: Tokens) -> Agent {
        let mut key = || HashKey::new(tokens.u64(), tokens.u64());
        let secrets = Secrets { request: key(), path: key(), tag: key() };
        let table = key();
        // Answers to questions of a process before this one are for nobody.
        let asks = tokens.u64() >> 1;
        let bounds = Bounds {
            entries: config.max_remembered,
            stored: config.max_stored,
            stored_bytes: config.max_stored_bytes,
            keep: config.intervals.patience(),
        };
        Agent {
            secrets,
            tokens,
            clients: Table::new(table),
            by_target: BTreeSet::new(),
            servers: Table::new(table),
            server_bytes: 0,
            open: Table::new(table),
            invites: Table::new(table),
            accepted: Table::new(table),
            last_server: 0,
            memory: Memory::new(bounds, table),
            shapes: shapes::Shapes::new(table),
            contexts: Table::new(table),
            errands: Table::new(table),
            asked: Table::new(table),
            asks,
            quarantine: quarantine::Quarantine::new(table),
            fence: None,
            wallet: Wallet::new(table),
            timers: Timers::new(),
            out: VecDeque::new(),
            counts: Counts::default(),
            config,
        }
    }

    /// The accounts that challenges to our requests are answered with: [`Place::account`] says which.
    pub fn wallet(&self) -> &Wallet {
        &self.wallet
    }

    /// The same, to change them.
    pub fn wallet_mut(&mut self) -> &mut Wallet {
        &mut self.wallet
    }

    /// What Retry-After says from now on, in seconds.
    pub fn set_retry_after(&mut self, seconds: u32) {
        self.config.retry_after = seconds;
    }

    /// A message came. Its headers are validated here: what is wrong in a request is answered 400, what is wrong in a response drops it.
    pub fn received(&mut self, now: Time, message: Message, flow: Flow) {
        self.memory.forget(now);
        match message {
            Message::Request(request) => self.request_came(now, request, flow),
            Message::Response(response) => self.response_came(now, response),
        }
    }

    /// Something came that is no message. A request of which enough could be read is refused, without memory: the same bytes get the same
    /// answer.
    #[expect(clippy::needless_pass_by_value, reason = "every input is handed over")]
    pub fn rejected(&mut self, now: Time, rejected: Rejected, flow: Flow) {
        self.memory.forget(now);
        self.unreadable(&rejected, flow);
    }

    /// Who says where others may lead us to; without one they may lead us anywhere.
    pub fn set_fence(&mut self, fence: Arc<dyn Fence>) {
        self.fence = Some(fence);
    }

    /// Lets pass what is due at `now`.
    pub fn timeout(&mut self, now: Time) {
        self.memory.forget(now);
        while let Some((at, waiting)) = self.timers.pop(now) {
            match waiting {
                Waiting::Client(id) => self.client_due(now, at, id),
                Waiting::Server(id) => self.server_due(now, at, id),
            }
        }
    }

    /// When [`Agent::timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Time> {
        [self.timers.next(), self.memory.deadline()].into_iter().flatten().min()
    }

    /// The next output.
    pub fn poll(&mut self) -> Option<Output> {
        let next = self.out.pop_front();
        if self.out.is_empty() && self.out.capacity() > 4096 {
            self.out = VecDeque::new();
        }
        next
    }

    /// The counts.
    pub fn counts(&self) -> Counts {
        Counts {
            client_open: self.clients.len(),
            server_open: self.servers.len(),
            remembered: self.memory.len(),
            remembered_bytes: self.memory.bytes(),
            ..self.counts
        }
    }

    /// How many targets are left alone now because they have failed.
    pub fn quarantined(&mut self, now: Time) -> usize {
        self.quarantine.held(now)
    }

    /// T1, T2 and T4.
    pub fn intervals(&self) -> Intervals {
        self.config.intervals
    }

    /// How long either side of a transaction tries: 64 T1.
    pub fn patience(&self) -> Duration {
        self.config.intervals.patience()
    }
}
