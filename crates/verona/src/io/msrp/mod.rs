//! MSRP over TCP and TLS: connections that peers opened and connections that we open. Sessions of any shards share them.
//!
//! Connections are bounded in number, for all and for each address, in time and in bytes, as those of SIP are ([`bounds`]). One that no session
//! uses has a short life. A silent one holds no buffers: thousands of them cost little.

mod line;
mod open;
mod serve;

use crate::dispatch::Dispatch;
use crate::guard::{Guard, Stranger};
use crate::io::bounds::{self, Bounds, Budget, FAREWELL, Places};
use crate::io::dns::Dns;
use crate::metrics::Meters;
use crate::tls::Tls;
use bytes::Bytes;
use line::{Line, Pushed, Way};
use msrp::{ConnectionId, Hop, Limits, Ticket};
use open::Destination;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use stox::config::Config;
use stox::gateway::Input;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Bytes that may wait to be written to all connections, and the same again of frames that have not come whole.
const ALL: usize = 64 << 20;

/// Bytes of a frame's head.
const HEAD: usize = 8 << 10;

/// Names that are looked up at one time: each takes a thread.
const LOOKUPS: usize = 16;

/// What a running gateway may change.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    /// Where addresses that a peer has named may lead to.
    pub(crate) config: Arc<Config>,
    /// Bytes of the largest message.
    pub(crate) max_size: usize,
}

/// What a pool is made of.
pub(crate) struct Setup {
    pub(crate) bounds: Bounds,
    pub(crate) guard: Guard,
    pub(crate) live: Live,
    /// The operator's relay, if any: the one place that need not be open to what peers say.
    pub(crate) relay: Option<(::msrp::Host, u16)>,
    pub(crate) tls: Tls,
    pub(crate) dns: Dns,
}

#[derive(Default)]
struct Tables {
    lines: HashMap<u64, Arc<Line>>,
    /// The connections that we have made: sessions that lead the same way use these, and only these, so that nobody gets others' messages by
    /// connecting from their address.
    ours: HashMap<Way, u64>,
    /// Who waits for a connection that is being made.
    opening: HashMap<Destination, Vec<Ticket>>,
    places: Places,
}

struct Inner {
    next: AtomicU64,
    tables: Mutex<Tables>,
    setup: Setup,
    live: Mutex<Live>,
    /// Bytes that wait to be written, in all.
    waiting: Budget,
    /// Bytes of frames that have not come whole, in all.
    begun: Budget,
    lookups: Semaphore,
    finishing: AtomicBool,
    dispatch: Dispatch,
    meters: Arc<Meters>,
}

/// All MSRP connections. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pool {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn new(setup: Setup, dispatch: Dispatch, meters: Arc<Meters>) -> Pool {
        let inner = Inner {
            next: AtomicU64::new(1),
            tables: Mutex::default(),
            live: Mutex::new(setup.live.clone()),
            setup,
            waiting: Budget::new(ALL),
            begun: Budget::new(ALL),
            lookups: Semaphore::new(LOOKUPS),
            finishing: AtomicBool::new(false),
            dispatch,
            meters,
        };
        Pool { inner: Arc::new(inner) }
    }

    /// What is different from now on. Connections that are there keep the bounds of their frames.
    pub(crate) fn reconfigure(&self, live: Live) {
        *self.inner.live.lock().unwrap_or_else(PoisonError::into_inner) = live;
    }

    /// Takes connections from a listener for ever.
    pub(crate) async fn accept(self, listener: TcpListener, secure: bool) {
        let accepted = |stream, remote, stranger| self.accepted(stream, remote, stranger, secure);
        bounds::accept(listener, &self.inner.setup.guard, accepted).await;
    }

    fn accepted(&self, stream: TcpStream, remote: SocketAddr, stranger: Stranger, secure: bool) {
        match self.place(remote) {
            Some(place) if secure => drop(tokio::spawn(serve::take_securely(place, stream, stranger))),
            Some(place) => serve::take(place, stream, stranger),
            None => self.inner.meters.msrp_connections_refused.increment(1),
        }
    }

    /// Writes to a connection, behind what waits. Where that has gone, whoever used it was told; where too much waits, it is cut, and they
    /// are told then.
    pub(crate) fn write(&self, connection: ConnectionId, bytes: Bytes) {
        let Some(line) = self.tables().lines.get(&connection.0).cloned() else { return };
        let inner = &*self.inner;
        let pushed =
            line.push(bytes, inner.setup.bounds.write_bytes, |own| inner.waiting.allows(own, inner.waiting.taken()));
        match pushed {
            Pushed::Waits(len) => inner.waiting.take(len),
            Pushed::Ends => {}
            Pushed::Overflow => inner.meters.msrp_failed("write queue full"),
        }
    }

    /// One more session of this shard uses the connection. If that has gone, the shard is told.
    pub(crate) fn bind(&self, shard: usize, connection: ConnectionId) {
        let tables = self.tables();
        let line = tables.lines.get(&connection.0);
        if !line.is_some_and(|line| line.bind(u16::try_from(shard).unwrap_or(u16::MAX))) {
            self.inner.dispatch.post(shard, Input::MsrpLost(connection));
        }
    }

    /// One session less of this shard uses the connection.
    pub(crate) fn release(&self, shard: usize, connection: ConnectionId) {
        if let Some(line) = self.tables().lines.get(&connection.0) {
            line.release(u16::try_from(shard).unwrap_or(u16::MAX));
        }
    }

    /// A shard has begun anew and knows of no sessions any more: no connection is used by them.
    pub(crate) fn forget(&self, shard: usize) {
        for line in self.tables().lines.values() {
            line.forget(u16::try_from(shard).unwrap_or(u16::MAX));
        }
    }

    /// Makes a connection, or finds one of ours that leads the same way, and tells the shard that holds the ticket.
    pub(crate) fn open(&self, ticket: Ticket, hop: Hop) {
        open::open(self, ticket, hop);
    }

    /// Lets what waits be written, for a bounded time, and closes all connections. Nothing is to be sent any more.
    pub(crate) async fn finish(&self) {
        self.inner.finishing.store(true, Ordering::Relaxed);
        for line in self.tables().lines.values() {
            line.close();
        }
        let closed = async {
            while !self.tables().places.is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = timeout(FAREWELL, closed).await;
    }

    /// A place for a connection with `remote`, if there is one.
    fn place(&self, remote: SocketAddr) -> Option<Place> {
        let mut tables = self.tables();
        if !tables.places.has_one(&self.inner.setup.bounds, remote) {
            return None;
        }
        tables.places.take(remote);
        Some(Place { pool: self.clone(), remote })
    }

    /// The bounds of a new connection's frames.
    fn limits(&self) -> Limits {
        Limits { max_head: HEAD, max_body: self.live().max_size }
    }

    fn live(&self) -> Live {
        self.inner.live.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.inner.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that a connection has taken. It is free again when this is dropped.
struct Place {
    pool: Pool,
    remote: SocketAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pool.tables().places.free(self.remote);
    }
}

#[cfg(test)]
mod tests;
