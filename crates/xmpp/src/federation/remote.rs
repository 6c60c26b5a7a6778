//! What is known of one domain of the other side: what waits for it, which streams there are with it, and whether one is sought.

use super::{ConnectionId, Target, Undelivered};
use crate::stream::backoff::Backoff;
use crate::stream::s2s::{Pair, Verification};
use base::{Str, Time};
use std::collections::{BTreeMap, VecDeque};

/// A stanza that waits for a stream.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) bytes: Vec<u8>,
    /// None: nobody wants to know what becomes of it.
    pub(super) token: Option<u64>,
    /// It answers, and is answered by nothing.
    pub(super) answers: bool,
    /// Until when it may.
    pub(super) until: Time,
}

/// The way of one pair's stanzas.
#[derive(Debug, Default)]
pub(super) struct Route {
    pub(super) waiting: VecDeque<Waiting>,
    /// Bytes of what waits.
    pub(super) bytes: usize,
    /// The stream that carried the last of them; it may be over.
    pub(super) stream: Option<ConnectionId>,
    /// The stream, made for another pair, that was asked to carry this one, too; it may be over.
    pub(super) asked: Option<ConnectionId>,
    /// Such a stream has refused: the pair wants one for itself.
    pub(super) alone: bool,
    /// Those by which the other side has proved that it speaks for this pair; some may be over.
    pub(super) accepted: Vec<ConnectionId>,
}

/// A key that waits for a stream on which it can be shown, and the stream that it came by.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) verification: Verification,
    pub(super) asker: ConnectionId,
}

/// How far a search for the domain's server is.
#[derive(Debug)]
pub(super) enum Step {
    /// Name servers are asked.
    Locating,
    /// A connection is made, or a stream is opened on it.
    Trying(ConnectionId),
}

/// A search for the domain's server.
#[derive(Debug)]
pub(super) struct Search {
    /// For whom.
    pub(super) pair: Pair,
    /// It was begun for keys alone.
    pub(super) keys_only: bool,
    pub(super) step: Step,
    /// What is left to try.
    pub(super) targets: VecDeque<Target>,
    /// Why the last of those that were tried was not good enough.
    pub(super) why: Undelivered,
}

/// What is known of one domain of the other side.
#[derive(Debug, Default)]
pub(super) struct Remote {
    /// By our domain.
    pub(super) routes: BTreeMap<Str, Route>,
    /// Stanzas that wait on all of them.
    pub(super) waiting: usize,
    /// The streams on which something is proved for it, and those on which keys can be shown to its server.
    pub(super) streams: Vec<ConnectionId>,
    pub(super) search: Option<Search>,
    pub(super) keys: VecDeque<Key>,
    /// Its server has answered pings before.
    pub(super) answers: bool,
    /// The deadline that is in the queue of timers.
    pub(super) armed: Option<Time>,
}

impl Remote {
    /// Whether there is nothing to know.
    pub(super) fn is_idle(&self) -> bool {
        self.streams.is_empty() && self.search.is_none() && self.keys.is_empty() && self.waiting == 0
    }

    /// When the first of what waits has waited long enough.
    pub(super) fn deadline(&self) -> Option<Time> {
        let routes = if self.waiting == 0 { None } else { Some(self.routes.values()) };
        routes.into_iter().flatten().filter_map(|route| route.waiting.front()).map(|waiting| waiting.until).min()
    }
}

/// A pair that could not be served a while ago.
#[derive(Debug)]
pub(super) struct Failing {
    pub(super) backoff: Backoff,
    /// Nothing is tried before.
    pub(super) until: Time,
    /// When it failed.
    pub(super) since: Time,
    pub(super) why: Undelivered,
}
