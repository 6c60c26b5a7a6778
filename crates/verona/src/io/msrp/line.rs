//! What is known of one connection: who uses it, and what waits to be written to it.

use bytes::Bytes;
use msrp::Fingerprint;
use smallvec::SmallVec;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::Instant;

/// What a packet takes in a queue besides its bytes.
pub(super) const PACKET: usize = 64;

/// The most sessions that count for what may wait in one connection.
const MOST_SHARES: usize = 8;

/// What makes two connections of ours the same: where they lead, and whom they were made to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Way {
    pub(super) remote: SocketAddr,
    /// Of TLS: the hashes, or the name where there are none.
    pub(super) identity: Option<String>,
}

/// One connection.
pub(super) struct Line {
    pub(super) id: u64,
    /// Of a connection that we have made.
    pub(super) way: Option<Way>,
    /// Of a connection over TLS: the hashes of the certificate that the other end has shown, if any.
    pub(super) certificate: Option<Arc<[Fingerprint]>>,
    state: Mutex<State>,
    /// There is something to write, or nothing any more.
    pub(super) to_write: Notify,
    /// The connection is to end, or who uses it has changed.
    pub(super) changed: Notify,
}

struct State {
    queue: Vec<Bytes>,
    /// Bytes that are in it, or were and are not written yet.
    waiting: usize,
    /// The shards whose sessions use the connection, and how many of each do.
    bound: SmallVec<[(u16, u32); 2]>,
    /// The shards that were told of the certificate.
    told: SmallVec<[u16; 4]>,
    /// Sessions that were told of it and do not use it yet.
    promised: u32,
    /// Since when nobody uses it.
    unused_since: Option<Instant>,
    end: End,
}

/// Whether a connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It does.
    NotYet,
    /// Until what waits is written.
    WhenWritten,
    /// It does not.
    Now,
}

/// What there is to write.
pub(super) enum Next {
    /// This.
    Packets(Vec<Bytes>),
    /// Nothing now.
    Nothing,
    /// Nothing any more.
    End,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits, and takes so much.
    Waits(usize),
    /// The connection ends, and takes nothing more.
    Ends,
    /// Too much waits already: it was the one too many, and the connection ends now.
    Overflow,
}

impl Line {
    /// A new connection, for which so many sessions wait.
    pub(super) fn new(id: u64, way: Option<Way>, certificate: Option<Arc<[Fingerprint]>>, promised: usize) -> Line {
        let state = State {
            queue: Vec::new(),
            waiting: 0,
            bound: SmallVec::new(),
            told: SmallVec::new(),
            promised: u32::try_from(promised).unwrap_or(u32::MAX),
            unused_since: Some(Instant::now()),
            end: End::NotYet,
        };
        let (to_write, changed) = (Notify::new(), Notify::new());
        Line { id, way, certificate, state: Mutex::new(state), to_write, changed }
    }

    /// Puts a packet behind what waits. `most` may wait for one session; `allows` says whether so much may.
    pub(super) fn push(&self, bytes: Bytes, most: usize, allows: impl FnOnce(usize) -> bool) -> Pushed {
        let mut state = self.state();
        if state.end != End::NotYet {
            return Pushed::Ends;
        }
        let len = bytes.len() + PACKET;
        let all = state.waiting + len;
        let fits = state.waiting == 0 || all <= most * state.shares();
        if fits && allows(all) {
            state.waiting = all;
            state.queue.push(bytes);
            drop(state);
            self.to_write.notify_one();
            return Pushed::Waits(len);
        }
        drop(state);
        self.cut();
        Pushed::Overflow
    }

    /// Takes what waits to be written.
    pub(super) fn next(&self) -> Next {
        let mut state = self.state();
        match (state.queue.is_empty(), state.end) {
            (_, End::Now) => Next::End,
            (false, End::NotYet | End::WhenWritten) => Next::Packets(std::mem::take(&mut state.queue)),
            (true, End::NotYet) => Next::Nothing,
            (true, End::WhenWritten) => Next::End,
        }
    }

    /// So much was written.
    pub(super) fn wrote(&self, len: usize) {
        let mut state = self.state();
        state.waiting = state.waiting.saturating_sub(len);
    }

    /// One more session, of this shard, uses the connection. False: it ends.
    pub(super) fn bind(&self, shard: u16) -> bool {
        let mut state = self.state();
        if state.end != End::NotYet {
            return false;
        }
        state.promised = state.promised.saturating_sub(1);
        state.unused_since = None;
        match state.bound.iter_mut().find(|(s, _)| *s == shard) {
            Some((_, count)) => *count += 1,
            None => state.bound.push((shard, 1)),
        }
        drop(state);
        self.changed.notify_one();
        true
    }

    /// What this shard has to be told of the certificate before anything else comes to it; once, and never without TLS.
    pub(super) fn to_tell(&self, shard: u16) -> Option<Arc<[Fingerprint]>> {
        let certificate = self.certificate.as_ref()?;
        let mut state = self.state();
        if state.told.contains(&shard) {
            return None;
        }
        state.told.push(shard);
        Some(Arc::clone(certificate))
    }

    /// One session less of this shard uses it. One of ours ends when nobody does; others may still be used by those who made them, for a
    /// while.
    pub(super) fn release(&self, shard: u16) {
        let mut state = self.state();
        let Some(at) = state.bound.iter().position(|(s, _)| *s == shard) else { return };
        state.bound[at].1 -= 1;
        if state.bound[at].1 == 0 {
            state.bound.swap_remove(at);
        }
        if state.bound.is_empty() {
            state.unused_since = Some(Instant::now());
            if self.way.is_some() && state.promised == 0 && state.end == End::NotYet {
                state.end = End::WhenWritten;
            }
        }
        drop(state);
        self.to_write.notify_one();
        self.changed.notify_one();
    }

    /// No session of this shard uses it any more, and the shard has forgotten what it knew.
    pub(super) fn forget(&self, shard: u16) {
        let mut state = self.state();
        state.told.retain(|told| *told != shard);
        if let Some((_, count)) = state.bound.iter_mut().find(|(s, _)| *s == shard) {
            *count = 1;
            drop(state);
            self.release(shard);
        }
    }

    /// Promises the connection to one session more. False: it ends.
    pub(super) fn promise(&self) -> bool {
        let mut state = self.state();
        if state.end != End::NotYet {
            return false;
        }
        state.promised += 1;
        if state.bound.is_empty() {
            state.unused_since = Some(Instant::now());
        }
        drop(state);
        self.changed.notify_one();
        true
    }

    /// Since when nobody uses the connection; `None` while somebody does, or it ends.
    pub(super) fn unused_since(&self) -> Option<Instant> {
        let state = self.state();
        state.unused_since.filter(|_| state.end == End::NotYet)
    }

    /// Ends it as soon as what waits is written.
    pub(super) fn close(&self) {
        let mut state = self.state();
        if state.end == End::NotYet {
            state.end = End::WhenWritten;
        }
        drop(state);
        self.to_write.notify_one();
    }

    /// Ends it now.
    pub(super) fn cut(&self) {
        self.state().end = End::Now;
        self.changed.notify_one();
    }

    /// Whether it was cut.
    pub(super) fn is_cut(&self) -> bool {
        self.state().end == End::Now
    }

    /// It has ended: the shards that used it or know its certificate, and the bytes that were not written.
    pub(super) fn ended(&self) -> (impl Iterator<Item = usize> + use<>, usize) {
        let mut state = self.state();
        state.end = End::Now;
        state.queue = Vec::new();
        let mut shards = std::mem::take(&mut state.told);
        for (shard, _) in std::mem::take(&mut state.bound) {
            if !shards.contains(&shard) {
                shards.push(shard);
            }
        }
        (shards.into_iter().map(usize::from), std::mem::take(&mut state.waiting))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// For how many sessions bytes may wait: one always.
    fn shares(&self) -> usize {
        let sessions: usize = self.bound.iter().map(|(_, count)| usize::try_from(*count).unwrap_or(MOST_SHARES)).sum();
        sessions.clamp(1, MOST_SHARES)
    }
}
