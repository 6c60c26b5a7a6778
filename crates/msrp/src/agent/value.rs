//! What goes into the agent and comes out of it.

use crate::frame::{FailureReport, Method, Request};
use crate::uri::{Host, Path};
use base::Str;
use bytes::Bytes;
use std::time::Duration;

/// A connection of the shell's. The shell mints the numbers and uses none twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// A session. No two of an agent have the same, at whatever times they live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(super) u64);

/// A connection that is to be. The first byte is the shard's, so that no two agents of a process mint the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u64);

impl Ticket {
    /// The shard that asked for the connection.
    pub fn shard(self) -> u8 {
        u8::try_from(self.0 >> 56).unwrap_or(u8::MAX)
    }
}

/// A request that waits for an answer from the layer above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageToken {
    pub(super) session: SessionId,
    pub(super) number: u32,
}

/// A request of ours other than a SEND. No two of an agent have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) u64);

/// A Message-ID: an `ident` of RFC 4975 §9.
pub type MessageId = Str;

/// An address that peers can reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// Whether TLS is spoken there.
    pub secure: bool,
    /// Address or name.
    pub host: Host,
    /// Port.
    pub port: u16,
}

/// A certificate's hash, as in `a=fingerprint` (RFC 8122).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The name of the hash function in lower case: `sha-256`.
    pub algorithm: Str,
    /// The hash.
    pub digest: Bytes,
}

/// How the other end of a TLS connection is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Its certificate has one of these hashes. Empty: a certificate for `name` from somebody who is trusted (RFC 4975 §5.4).
    pub fingerprints: Vec<Fingerprint>,
    /// The name that its certificate is for, and that is asked for.
    pub name: Str,
}

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Address, or a name that the shell resolves.
    pub host: Host,
    /// Port.
    pub port: u16,
    /// `None`: TCP alone.
    pub tls: Option<Tls>,
}

/// A relay that speaks for us (RFC 4976).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// Its URI, without a session: `msrps://relay.example.com:2855;tcp`.
    pub path: Path,
    /// Where it is. RFC 4976 §9.2 wants TLS.
    pub hop: Hop,
    /// Who we are there.
    pub username: Str,
    /// What shows it.
    pub password: Str,
}

/// What an agent may do.
#[derive(Clone, Debug)]
pub struct Config {
    /// The shard: session-ids begin with it.
    pub shard: u8,
    /// Where peers reach us: the first that is as secure as a session is to be names it.
    pub advertise: Vec<Advertised>,
    /// Bytes of the largest message that is taken; more is refused with 413.
    pub max_size: usize,
    /// Bytes of all messages together of which parts are missing. A session has at most `max_size` of them.
    pub max_partial_bytes: usize,
    /// How long a message may want for a part of it before it is dropped.
    pub partial_for: Duration,
    /// How long an answer is waited for (RFC 4975 §7.1.1: 30 s).
    pub patience: Duration,
    /// How long a session waits for its connection.
    pub bind_within: Duration,
    /// Bytes of a session that are under way without an answer; each chunk counts 256 bytes more than it has. One chunk always may be.
    pub window: usize,
    /// Bytes of a session that wait to be written, counted the same way; one message always may.
    pub queue_bytes: usize,
    /// Messages and requests of a session that wait for the layer above; more are refused with 413.
    pub max_held: usize,
    /// Sessions.
    pub max_sessions: usize,
    /// What else than SEND and REPORT the layer above understands; the rest is answered with 501.
    pub methods: Vec<Method>,
    /// Every session is reached by this relay.
    pub relay: Option<Relay>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            shard: 0,
            advertise: Vec::new(),
            max_size: 1 << 20,
            max_partial_bytes: 64 << 20,
            partial_for: Duration::from_secs(120),
            patience: Duration::from_secs(30),
            bind_within: Duration::from_secs(30),
            window: 64 << 10,
            queue_bytes: 256 << 10,
            max_held: 256,
            max_sessions: 65_536,
            methods: Vec::new(),
            relay: None,
        }
    }
}

/// Who makes the connection of a session (RFC 4975 §5.4, RFC 6135).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// We do, and it leads here. At a session with a relay the connection is there already: then this says only that we speak first.
    Active(Hop),
    /// The other side does.
    Passive,
}

/// The other end of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its `a=path`.
    pub path: Path,
    /// Who makes the connection.
    pub way: Way,
    /// Its `a=max-size`.
    pub max_size: Option<u64>,
}

/// A message of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its Message-ID. `None`, or what is no `ident`: one is minted.
    pub message_id: Option<MessageId>,
    /// Content-Type.
    pub content_type: Str,
    /// Other headers, Content-Disposition and the like. What is no header is left out.
    pub headers: Vec<(Str, Str)>,
    /// The message.
    pub body: Bytes,
    /// Whether the other end shall tell when it has it.
    pub success_report: bool,
    /// Which failures are to be told.
    pub failure_report: FailureReport,
}

/// A message that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Its Message-ID.
    pub message_id: MessageId,
    /// The transaction of the chunk that made it whole.
    pub transaction: Str,
    /// Content-Type.
    pub content_type: Str,
    /// Other headers of the chunk that came first.
    pub headers: Vec<(Str, Str)>,
    /// The message.
    pub body: Bytes,
    /// Whether the sender wants to be told with [`Agent::report`](super::Agent::report) when it was delivered.
    pub success_report: bool,
    /// Which failures the sender wants to be told.
    pub failure_report: FailureReport,
}

/// Why a session was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOpened {
    /// There are as many as may be.
    Full,
    /// No advertised address is as secure as it is to be.
    NoAddress,
}

/// Why a message, or a nickname, was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Too much waits already.
    Full,
    /// It is larger than the other end takes.
    TooLarge,
    /// There is no such session any more.
    Gone,
    /// A nickname that no NICKNAME can carry: it is longer than 1023 octets, or has control characters.
    Malformed,
}

/// Why a message of ours failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// This was the answer.
    Code(u16),
    /// There was none in time, or somebody on the way had none (408). The other end may have it.
    Timeout,
    /// The connection, or the session, ended before the answer. The other end may have it.
    Lost,
    /// Not a byte of it was sent.
    NeverSent,
}

/// Why a session ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its connection was lost.
    Lost,
    /// The connection that it needs could not be made.
    Unreachable,
    /// Nobody connected in time.
    NotBound,
    /// The other end does not know it (481) or knows it by another connection (506).
    Refused(u16),
    /// The relay gave no path: its answer, or 408 for none.
    Relay(u16),
    /// We wanted it so: [`Agent::give_up`](super::Agent::give_up).
    Ours,
}

/// What the layer above is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The local path is known.
    Ready {
        /// The session.
        id: SessionId,
    },
    /// The session has its connection.
    Up {
        /// The session.
        id: SessionId,
    },
    /// A whole message came. It wants [`Agent::answer`](super::Agent::answer).
    Message {
        /// The session.
        id: SessionId,
        /// What to answer.
        token: MessageToken,
        /// The message.
        message: Box<Incoming>,
    },
    /// Each chunk of a message of ours was answered with 200, or written where no answer comes.
    Sent {
        /// The session.
        id: SessionId,
        /// The message.
        message_id: MessageId,
    },
    /// A message of ours failed.
    Failed {
        /// The session.
        id: SessionId,
        /// The message.
        message_id: MessageId,
        /// Why.
        why: Failure,
    },
    /// What became of bytes of a message of ours. It comes after [`Event::Sent`], or before, and says nothing that was said before.
    Report {
        /// The session.
        id: SessionId,
        /// The message.
        message_id: MessageId,
        /// The first byte that it is about, from 1.
        from: u64,
        /// The last one.
        to: u64,
        /// How many the message has.
        total: u64,
        /// 200, or what went wrong.
        code: u16,
        /// Whether by now all bytes of the message were reported with 200.
        complete: bool,
    },
    /// A request with one of [`Config::methods`]. It wants [`Agent::answer`](super::Agent::answer).
    Request {
        /// The session.
        id: SessionId,
        /// What to answer.
        token: MessageToken,
        /// The request.
        request: Box<Request>,
    },
    /// A request of ours was answered. Each is, once.
    Answered {
        /// The session.
        id: SessionId,
        /// The request.
        request: RequestId,
        /// The answer. 408, too, where there was none in time, or the session ended before.
        code: u16,
        /// What was said beside it, perhaps nothing.
        comment: Str,
    },
    /// The session is no more. Each message that had not ended has failed before, each request was answered. This is the last event of a session.
    Closed {
        /// The session.
        id: SessionId,
        /// Why.
        why: End,
    },
}

/// What the shell is to do, or the layer above is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write this behind what was to be written before.
    Write {
        /// Where.
        connection: ConnectionId,
        /// One or more whole frames.
        bytes: Bytes,
    },
    /// Make a connection, or reuse one of ours that leads to the same place with the same TLS identity; then say so with
    /// [`Agent::opened`](super::Agent::opened).
    Open {
        /// What it is called until then.
        ticket: Ticket,
        /// Where it leads.
        hop: Hop,
    },
    /// One more session uses the connection.
    Bind {
        /// Which one.
        connection: ConnectionId,
    },
    /// One session less uses the connection. What nobody uses is closed when all is written.
    Release {
        /// Which one.
        connection: ConnectionId,
    },
    /// For the layer above.
    Event(Event),
}

/// Counts: the first ones of what is, the others of what was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions.
    pub sessions: usize,
    /// Those that have a connection.
    pub bound: usize,
    /// Bytes of messages of which parts are missing.
    pub partial_bytes: usize,
    /// Whole messages that came.
    pub messages_in: u64,
    /// Messages of ours that were answered, or written where no answer comes.
    pub messages_out: u64,
    /// Bytes of bodies that came.
    pub bytes_in: u64,
    /// Bytes of bodies that were written.
    pub bytes_out: u64,
    /// Chunks that came.
    pub chunks_in: u64,
    /// Chunks that were written.
    pub chunks_out: u64,
    /// Messages of ours that failed.
    pub failed: u64,
    /// REPORTs that came and were about something.
    pub reports_in: u64,
    /// REPORTs that were written.
    pub reports_out: u64,
    /// Requests that were refused by the agent itself.
    pub refused: u64,
    /// Frames that meant nothing: responses and reports to nothing, what cannot be read.
    pub stray: u64,
    /// Messages that came twice, and went up once.
    pub doubled: u64,
    /// Sessions that ended by themselves.
    pub ended: u64,
}
