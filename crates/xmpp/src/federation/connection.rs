//! One connection, before there is a stream on it and after.

use super::{ConnectionId, Target};
use crate::stream::s2s::{Pair, Stream};
use base::{Str, Time};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// How long a stream may be silent that was for keys alone.
const KEYS_IDLE: Duration = Duration::from_secs(60);

/// Which way a connection was made.
#[derive(Debug)]
pub(super) enum Origin {
    /// By us, looking for the remote domain of this pair.
    Ours { pair: Pair, target: Target, external: bool },
    /// By the other side.
    Theirs,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) origin: Origin,
    /// None while it is being made.
    pub(super) stream: Option<Box<Stream>>,
    /// When it has to be made.
    pub(super) until: Option<Time>,
    /// The deadline that is in the queue of timers.
    pub(super) armed: Option<Time>,
    /// The domains of the other side in whose lists it is.
    pub(super) remotes: Vec<Str>,
    /// When it was made, or begun to be.
    pub(super) since: Time,
    /// Where it came from, if that counts.
    pub(super) source: Option<IpAddr>,
    /// When it was last of use: two servers that ask each other whether they are there do not keep it.
    pub(super) used: Time,
    /// It was made to show keys.
    pub(super) keys_only: bool,
    /// Keys can be shown on it.
    pub(super) can_verify: bool,
    /// Something was proved on it, by either side.
    pub(super) proved: bool,
    /// It was silent for too long, and is closed in good order.
    pub(super) closing: bool,
    /// The stream is over; the connection ends.
    pub(super) down: bool,
    /// The connection has ended.
    pub(super) closed: bool,
    /// Those whose stanzas found no room on it.
    pub(super) stuck: BTreeSet<Pair>,
    /// It is in the list of those that may have something to say.
    pub(super) touched: bool,
}

impl Connection {
    pub(super) fn new(now: Time, origin: Origin) -> Connection {
        Connection {
            origin,
            stream: None,
            until: None,
            armed: None,
            remotes: Vec::new(),
            since: now,
            source: None,
            used: now,
            keys_only: false,
            can_verify: false,
            proved: false,
            closing: false,
            down: false,
            closed: false,
            stuck: BTreeSet::new(),
            touched: false,
        }
    }

    pub(super) fn is_ours(&self) -> bool {
        matches!(self.origin, Origin::Ours { .. })
    }

    /// Somebody has come, and has proved nothing yet.
    pub(super) fn is_stranger(&self) -> bool {
        !self.is_ours() && !self.proved
    }

    /// The stream, while it lasts.
    pub(super) fn live(&mut self) -> Option<&mut Stream> {
        if self.down {
            return None;
        }
        self.stream.as_deref_mut()
    }

    pub(super) fn sends(&self, pair: &Pair) -> bool {
        !self.down && self.stream.as_ref().is_some_and(|stream| stream.sends(pair))
    }

    /// When it has to be looked at next; `idle` is how long it may be silent.
    pub(super) fn deadline(&self, idle: Duration) -> Option<Time> {
        let Some(stream) = &self.stream else { return self.until };
        stream.deadline().into_iter().chain(self.idle_at(idle)).min()
    }

    /// When it has been silent for too long; `idle` is that of streams that carry stanzas.
    pub(super) fn idle_at(&self, idle: Duration) -> Option<Time> {
        let idle = match (self.proved, self.can_verify) {
            (true, _) => idle,
            (false, true) => idle.min(KEYS_IDLE),
            (false, false) => return None,
        };
        (!self.down && !self.closing).then(|| self.used + idle)
    }
}

/// What a timer is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// A connection has a deadline.
    Connection(ConnectionId),
    /// Something has waited long enough for this domain.
    Waiting(Str),
}
