//! All streams with all other servers (RFC 6120 §3, §10.4): [`Federation`] plays for our domains the part that a server plays for its
//! components. It keeps what is to be sent until there is a stream for it, has streams made and takes those that come, lets keys be
//! verified where they have to be (XEP-0220), and gives back what cannot be delivered as the error stanza that a server would send.
//!
//! It has no sockets, no TLS and no name server: it asks for targets ([`Output::Locate`]), connections ([`Output::Connect`]), TLS and
//! verdicts on certificates, and is told. Which stream may say what is the business of the streams themselves ([`crate::stream::s2s`]).
//!
//! # What became of a stanza
//!
//! A stanza with a token gets one answer, [`Output::Taken`]; if it could not be delivered, the error came before. It was sent once at
//! most: what waits goes to whichever stream comes to be, but when a stream ends and it is not known what the other server has seen,
//! its sender gets `remote-server-timeout`, and decides. [`Output::Lost`] comes only after [`Federation::shutdown`].
//!
//! # Bounds
//!
//! What waits for one pair of domains, and for all, is bounded; beyond, it comes back with `resource-constraint`. So are the streams, those of
//! strangers above all. A pair that no server could be found for, or none that proves itself, is left alone for a while, longer each
//! time; what is sent to it then comes back at once.

mod bounce;
mod connection;
mod deliver;
mod keys;
mod machine;
mod output;
mod remote;
mod seek;
#[cfg(test)]
mod tests;

pub use bounce::Undelivered;
pub use machine::Federation;
pub use output::{ConnectionId, Counts, Event, Output, Refused, Seen, SeenStream, Target, Unlocated};

use crate::stream::s2s;
use std::sync::Arc;
use std::time::Duration;

/// How all streams together behave.
#[derive(Clone, Debug)]
pub struct Config {
    /// How each of them behaves; our domains and the rules for others are in it.
    pub stream: Arc<s2s::Config>,
    /// How long one target may take to be connected to, with TLS where it begins with that.
    pub connect_timeout: Duration,
    /// How long a stanza may wait for a stream, or for room on one.
    pub wait: Duration,
    /// A stream over which nothing was said for so long is closed.
    pub idle: Duration,
    /// The first wait before a pair that could not be served is tried again.
    pub retry_min: Duration,
    /// The longest such wait.
    pub retry_max: Duration,
    /// Connections, both ways together.
    pub max_streams: usize,
    /// Streams that one domain has opened and is proved on for one of ours; beyond, the one longest unused is closed.
    pub max_streams_per_pair: usize,
    /// Connections that came and on which nothing is proved yet.
    pub max_strangers: usize,
    /// Stanzas that wait for one pair.
    pub max_waiting: usize,
    /// Bytes of those; one stanza finds room whatever its size.
    pub max_waiting_bytes: usize,
    /// Bytes of all that wait.
    pub max_waiting_bytes_in_all: usize,
    /// Domains that are looked for or have anything waiting.
    pub max_remotes: usize,
}

impl Config {
    /// The usual behaviour.
    pub fn new(stream: Arc<s2s::Config>) -> Config {
        Config {
            stream,
            connect_timeout: Duration::from_secs(10),
            wait: Duration::from_secs(20),
            idle: Duration::from_secs(600),
            retry_min: Duration::from_secs(2),
            retry_max: Duration::from_secs(300),
            max_streams: 20_000,
            max_streams_per_pair: 8,
            max_strangers: 2_000,
            max_waiting: 2_000,
            max_waiting_bytes: 2 << 20,
            max_waiting_bytes_in_all: 64 << 20,
            max_remotes: 20_000,
        }
    }
}
