//! What comes out of the federation.

use super::Undelivered;
use crate::stanza::Stanza;
use crate::stream::s2s::{DownReason, Fault, Pair, Proof};
use base::Str;
use std::fmt;
use std::time::Duration;

/// One connection, of either direction. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// Where a domain's server may be (RFC 6120 §3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A name that has addresses, or an address. No certificate is looked for by this name.
    pub host: Str,
    /// The port.
    pub port: u16,
    /// Whether TLS begins with the first byte (XEP-0368).
    pub direct_tls: bool,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = if self.direct_tls { " (TLS)" } else { "" };
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}{tls}", self.host, self.port),
            false => write!(f, "{}:{}{tls}", self.host, self.port),
        }
    }
}

/// Why there are no targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlocated {
    /// It is known that there are none: no such domain, no addresses, or the domain says that it has no server.
    NotFound,
    /// Nobody could tell: name servers failed, or did not answer.
    Failed,
}

/// What the shell is to do, or to know. In the order it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Find out where this domain's server is, then tell [`super::Federation::located`]: always, and in a bounded time. Not asked again
    /// before that.
    Locate {
        /// The domain.
        domain: Str,
        /// Nobody of ours wants it: it is for keys that somebody has sent who may be anybody.
        keys_only: bool,
    },
    /// Connect, then tell [`super::Federation::connected`] or [`super::Federation::closed`]. With TLS from the beginning the
    /// handshake belongs to it, and names the domain.
    Connect {
        /// The connection.
        connection: ConnectionId,
        /// Where to.
        target: Target,
        /// The domain that is looked for: what SNI says.
        domain: Str,
        /// Our domain, whose certificate is to be shown.
        local: Str,
        /// As with [`Output::Locate`].
        keys_only: bool,
    },
    /// Write this.
    Bytes {
        /// The connection.
        connection: ConnectionId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Once all is written, begin TLS, then tell [`super::Federation::secured`], or [`super::Federation::closed`] if it comes to nothing. Bytes that
    /// were read and not told belong to TLS.
    StartTls {
        /// The connection.
        connection: ConnectionId,
        /// As the client, which asks for this domain; None: as the server.
        domain: Option<Str>,
        /// Our domain whose certificate is to be shown, if nothing else is asked for; None: nobody has said.
        local: Option<Str>,
    },
    /// Say whether the certificate that the other side has shown is valid for this domain ([`super::Federation::judged`]).
    Judge {
        /// The connection.
        connection: ConnectionId,
        /// Whom it should name.
        domain: Str,
    },
    /// Close the connection once all is written, then tell [`super::Federation::closed`].
    Close(ConnectionId),
    /// Close it at once. [`super::Federation::closed`] may be told and changes nothing.
    Abort(ConnectionId),
    /// A stanza for one of our domains, that of its `to`. It has `from` and `to`, and its stream vouches for its `from`; or it is an error for something
    /// that could not be delivered.
    Stanza(Stanza),
    /// The stanza of this token was dealt with. If it was refused, or could not be delivered, the error came before.
    Taken(u64),
    /// We end, and it is not known.
    Lost(u64),
    /// Something for logs and metrics.
    Event(Event),
}

/// What happens, for logs and metrics. Domains are no secrets; addresses are not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Stanzas can be sent for a pair, over one connection more.
    Ready {
        /// The connection.
        connection: ConnectionId,
        /// For whom.
        pair: Pair,
        /// What convinced the other side.
        proof: Proof,
    },
    /// Stanzas are taken for a pair, over one connection more.
    Accepts {
        /// The connection.
        connection: ConnectionId,
        /// From whom.
        pair: Pair,
        /// What convinced us.
        proof: Proof,
    },
    /// A stream has ended.
    Down {
        /// The connection.
        connection: ConnectionId,
        /// The domains of the other side that were proved on it; of those that we made, the one that was looked for.
        remotes: Vec<Str>,
        /// Whether anything was proved on it.
        proved: bool,
        /// Why.
        reason: DownReason,
    },
    /// A target was given up.
    TargetFailed {
        /// Whom it was to be.
        domain: Str,
        /// Where.
        target: Target,
    },
    /// A pair is left alone for a while.
    Unreachable {
        /// For whom.
        pair: Pair,
        /// Why.
        why: Undelivered,
        /// For how long.
        wait: Duration,
    },
    /// Something was not delivered, and its sender was told if it may be.
    Undelivered(Undelivered),
    /// A stream has something to tell.
    Fault(ConnectionId, Fault),
}

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There are too many.
    Streams,
    /// One source has a quarter of them already.
    Source,
    /// There are too many on which nothing is proved yet.
    Strangers,
    /// We end.
    Stopping,
}

impl Refused {
    /// A word for the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Refused::Streams => "streams",
            Refused::Source => "source",
            Refused::Strangers => "strangers",
            Refused::Stopping => "stopping",
        }
    }
}

/// Numbers for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that we have made, or are making.
    pub outgoing: usize,
    /// Those that came.
    pub incoming: usize,
    /// Of those, the ones on which nothing is proved yet.
    pub strangers: usize,
    /// Domains with streams, or with anything waiting.
    pub remotes: usize,
    /// Stanzas that wait for a stream.
    pub waiting: usize,
    /// Bytes of those.
    pub waiting_bytes: usize,
    /// Stanzas that were sent and are not known to be dealt with.
    pub unacknowledged: usize,
}

/// A domain with streams, or with anything waiting, for people to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The domain.
    pub domain: Str,
    /// Streams on which stanzas can be sent to it.
    pub sending: usize,
    /// Streams on which stanzas are taken from it.
    pub taking: usize,
    /// The streams with it, the first few.
    pub streams: Vec<SeenStream>,
    /// Stanzas that wait for it.
    pub waiting: usize,
    /// Whether its server is being looked for.
    pub seeking: bool,
}

/// A stream with a domain, for people to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenStream {
    /// Whether we have made the connection.
    pub ours: bool,
    /// Whether it is over TLS.
    pub secured: bool,
    /// What has convinced the other side, where stanzas can be sent to it.
    pub sends: Option<Proof>,
    /// What has convinced us, where stanzas are taken from it.
    pub takes: Option<Proof>,
    /// How long the connection has been there.
    pub age: Duration,
}
