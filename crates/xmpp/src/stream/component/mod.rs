//! The component protocol (XEP-0114): the gateway's side, [`Component`], which opens the stream, and for tests a server's
//! side, [`Server`], which accepts it.
//!
//! # What became of a stanza
//!
//! A component link has no acknowledgements, but a stream is worked off in order. So behind each batch goes a ping
//! (XEP-0199) from our own domain to itself, the *barrier*: when the server sends it back, or answers it, or refuses it,
//! it has dealt with everything before it, and error stanzas for any of that have come. What was sent with a token gets
//! one answer: [`Output::Taken`] behind a barrier, [`Output::Lost`] when the stream ended before. Where a server answers
//! no barrier at all, [`Config::barrier_timeout`] after the batch stands in for the answer; a server that has answered
//! one on this stream or the one before is waited for, since its silence means that it is busy or gone.

mod barrier;
mod machine;
mod secret;
mod server;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_both;

pub use machine::Component;
pub use secret::Secret;
pub use server::{Server, ServerOutput};

use super::StreamError;
use crate::stanza::{Stanza, StanzaFault};
use base::Str;
use std::fmt;
use std::time::Duration;
use xml::Limits;

/// How a component behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// The domain that the component stands for, prepared.
    pub domain: Str,
    /// What it proves itself with.
    pub secret: Secret,
    /// What the server may make us hold.
    pub limits: Limits,
    /// After so long a silence of the server the stream is tried.
    pub ping_interval: Duration,
    /// So long a silence after that, and the stream is given up.
    pub ping_timeout: Duration,
    /// From the connection to the end of the handshake.
    pub handshake_timeout: Duration,
    /// From the first byte of a stanza to its last.
    pub half_stanza_timeout: Duration,
    /// From our end of the stream to that of the server, and the same again for the connection.
    pub close_timeout: Duration,
    /// How long an unanswered barrier holds its tokens where barriers are not answered.
    pub barrier_timeout: Duration,
    /// Before the second attempt to connect. Doubled for each further one, and of that a random half is waited at least.
    pub backoff_min: Duration,
    /// The doubling ends here.
    pub backoff_max: Duration,
    /// Barriers that may be under way; batches beyond share the next one.
    pub max_barriers: usize,
    /// Stanzas that may have been sent without a barrier's answer behind them.
    pub max_unacknowledged: usize,
    /// Bytes of those stanzas.
    pub max_unacknowledged_bytes: usize,
}

impl Config {
    /// The usual behaviour for `domain`.
    pub fn new(domain: &str, secret: &str) -> Config {
        Config {
            domain: domain.into(),
            secret: Secret::new(secret),
            limits: Limits::default(),
            ping_interval: Duration::from_secs(60),
            ping_timeout: Duration::from_secs(20),
            handshake_timeout: Duration::from_secs(10),
            half_stanza_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
            barrier_timeout: Duration::from_secs(2),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(30),
            max_barriers: 8,
            max_unacknowledged: 65_536,
            max_unacknowledged_bytes: 32 << 20,
        }
    }
}

/// What the shell is to do, or to know. In the order it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are stanzas, moved from one queue to the next")]
pub enum Output {
    /// Connect to the server, then tell [`Component::connected`] or [`Component::connect_failed`].
    Connect,
    /// Write this to the connection.
    Bytes(Vec<u8>),
    /// Close the connection once all is written, then tell [`Component::disconnected`].
    Close,
    /// Close the connection at once: it takes too long. Then tell [`Component::disconnected`], if that is still to be told.
    Abort,
    /// The stream is authenticated. Stanzas can be sent.
    Up,
    /// The stream is over, or an attempt at one has failed. All tokens were answered before.
    Down(DownReason),
    /// A stanza, whose `from` the server vouches for. It has `from` and `to`.
    Stanza(Stanza),
    /// The server has dealt with the stanza of this token; if it refused it, the error came before.
    Taken(u64),
    /// The stream ended before that was known.
    Lost(u64),
    /// Something for the log.
    Fault(Fault),
}

/// Why there is no stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// No connection could be made.
    ConnectFailed,
    /// The connection ended without the stream being closed.
    Disconnected,
    /// The server closed the stream.
    ClosedByServer,
    /// The server ended it with an error.
    ServerError(StreamError),
    /// We ended it with an error.
    OurError(StreamError),
    /// We were asked to.
    Shutdown,
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DownReason::ConnectFailed => f.write_str("no connection"),
            DownReason::Disconnected => f.write_str("connection lost"),
            DownReason::ClosedByServer => f.write_str("closed by the server"),
            DownReason::ServerError(e) => write!(f, "the server says {e}"),
            DownReason::OurError(e) => write!(f, "given up: {e}"),
            DownReason::Shutdown => f.write_str("shutdown"),
        }
    }
}

/// Something that went wrong without ending the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A stanza with an address that is none. Its sender was told, if it could be.
    BadStanza(StanzaFault),
    /// A stanza without `from` or `to`, which XEP-0114 §3 demands. Its sender was told, if there is one.
    Unaddressed,
    /// A stanza broke a limit and was passed over. Its sender was told.
    Oversize(xml::Error),
    /// A handshake on a stream that is up; ignored.
    SecondHandshake,
    /// Server dialback, which nobody asked for; ignored.
    StrayDialback,
    /// The server answers no barriers: tokens are taken after a while, whatever happened.
    BarriersUnanswered,
    /// There was no room for an answer to one of the above.
    ReplyDropped,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::BadStanza(e) => write!(f, "bad stanza: {e}"),
            Fault::Unaddressed => f.write_str("stanza without from or to"),
            Fault::Oversize(e) => write!(f, "stanza passed over: {e}"),
            Fault::SecondHandshake => f.write_str("second handshake"),
            Fault::StrayDialback => f.write_str("server dialback on a component stream"),
            Fault::BarriersUnanswered => f.write_str("the server does not answer pings to our own domain"),
            Fault::ReplyDropped => f.write_str("no room for an error reply"),
        }
    }
}

/// Why a stanza cannot be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// There is no stream.
    Down,
    /// Too much was sent that the server has not dealt with.
    Full,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Down => "no stream",
            SendError::Full => "the stream is full",
        })
    }
}

impl std::error::Error for SendError {}

/// Numbers for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Stanzas sent that no barrier's answer stands behind yet.
    pub unacknowledged: usize,
    /// Bytes of those.
    pub unacknowledged_bytes: usize,
    /// Tokens that were taken because nobody answered, since the start.
    pub taken_by_wait: u64,
    /// Stanzas that came and were refused here, since the start.
    pub refused: u64,
}
