//! Who is let in at all: how fast a source may come, how many may be strangers at one time, and who is shut out for what they have done.
//!
//! A source is an IPv4 address or a /64 of IPv6. What comes by UDP may come from anybody whatever its source says: it shuts nobody out, unless it shows
//! that it has seen an answer of ours (a nonce).

mod book;

use crate::config::{Abuse, Network};
use crate::io::clock::Clock;
use crate::metrics::GuardMeters;
use base::HashKey;
use book::Book;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use stox::config as gateway_config;
use stox::gateway;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// `abuse.deny`.
    Denied,
    /// Shut out for a while.
    Banned,
    /// Too many connections in too short a time.
    ConnectionRate,
    /// Too many messages.
    MessageRate,
    /// Too many connections have not shown yet who they are.
    Strangers,
    /// The process has no descriptor for it, or the system no memory: who connects waits.
    NoRoom,
}

impl Reason {
    /// All of them, for the meters.
    pub(crate) const ALL: [Reason; 6] = [
        Reason::Denied,
        Reason::Banned,
        Reason::ConnectionRate,
        Reason::MessageRate,
        Reason::Strangers,
        Reason::NoRoom,
    ];

    /// As the meters have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Reason::Denied => "denied",
            Reason::Banned => "banned",
            Reason::ConnectionRate => "connection-rate",
            Reason::MessageRate => "message-rate",
            Reason::Strangers => "strangers",
            Reason::NoRoom => "no-room",
        }
    }
}

/// What a source has done that decent ones do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offence {
    /// Has connected and never shown who it is.
    Handshake,
    /// Bytes that are nothing of the protocol, or break its limits.
    Unreadable,
    /// Wrong credentials, or a domain that was not proved.
    Credentials,
    /// Speaks for somebody else.
    Spoof,
}

impl From<gateway::Offence> for Offence {
    fn from(offence: gateway::Offence) -> Offence {
        match offence {
            gateway::Offence::Spoof => Offence::Spoof,
            gateway::Offence::Credentials => Offence::Credentials,
        }
    }
}

impl Offence {
    /// All of them, for the meters.
    pub(crate) const ALL: [Offence; 4] =
        [Offence::Handshake, Offence::Unreadable, Offence::Credentials, Offence::Spoof];

    /// As the meters have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Offence::Handshake => "handshake",
            Offence::Unreadable => "unreadable",
            Offence::Credentials => "credentials",
            Offence::Spoof => "spoof",
        }
    }

    /// How much of the patience it takes.
    fn points(self) -> u64 {
        match self {
            Offence::Handshake => 1,
            Offence::Unreadable => 2,
            Offence::Credentials => 3,
            Offence::Spoof => 5,
        }
    }
}

/// A network wider than this is the world, and none of the operator's own servers.
const NARROW_4: u8 = 24;
const NARROW_6: u8 = 64;

/// The rules, with the servers that the operator has named among the friends: what comes by them others have made, and all of it would be shut out.
/// So are our own addresses: whoever leads us to ourselves has not made us our own enemy, nor whom we share them with.
pub(crate) fn rules(abuse: &Abuse, gateway: &gateway_config::Config, own: impl Iterator<Item = SocketAddr>) -> Abuse {
    let is_narrow = |network: &Network| match network.address {
        IpAddr::V4(_) => network.prefix >= NARROW_4,
        IpAddr::V6(_) => network.prefix >= NARROW_6,
    };
    let peers = gateway.peers.iter().filter_map(|peer| peer.source).filter(is_narrow);
    let proxy = gateway.proxy.as_ref().map(|proxy| Network::of(proxy.target.remote.ip()));
    let trunks = gateway.trunks.iter().flat_map(|trunk| trunk.sources.iter().copied());
    let mut rules = abuse.clone();
    let own = own.filter(|own| !own.ip().is_unspecified()).map(|own| Network::of(own.ip()));
    rules.allow.extend(peers.chain(proxy).chain(trunks).chain(own));
    rules
}

/// The door. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    clock: Clock,
    book: Mutex<Book>,
    /// Nothing can be said against any datagram: nobody need ask.
    idle: AtomicBool,
    /// Changes with those who are shut out.
    news: watch::Sender<()>,
    meters: GuardMeters,
}

/// A connection that has been let in and has not yet shown who it is. It counts until that is known, or until this is dropped.
#[derive(Debug)]
pub(crate) struct Stranger {
    inner: Arc<Inner>,
    remote: IpAddr,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.inner.book.lock().unwrap_or_else(PoisonError::into_inner).known(self.remote);
    }
}

/// How long it rests between one look at all connections and the next.
const REST: Duration = Duration::from_millis(250);

/// Tells that somebody is shut out who was not.
#[derive(Debug)]
pub(crate) struct News {
    changed: watch::Receiver<()>,
    due: Option<Instant>,
}

impl News {
    /// Returns when it is time to look at all connections, and not too often, however many are shut out. It may be dropped and begun again.
    pub(crate) async fn next(&mut self) {
        let due = match self.due {
            Some(due) => due,
            None => {
                // The guard lives as long as those who hold connections.
                if self.changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                *self.due.insert(Instant::now() + REST)
            }
        };
        sleep_until(due).await;
        self.due = None;
        self.changed.mark_unchanged();
    }
}

impl Guard {
    /// One that lets everybody in.
    #[cfg(test)]
    pub(crate) fn open() -> Guard {
        let everybody = Network::new([0, 0, 0, 0].into(), 0).into_iter().collect();
        let rules = Abuse { allow: everybody, ..Abuse::default() };
        Guard::new(Clock::start(), HashKey::new(1, 2), &rules, GuardMeters::unseen())
    }

    pub(crate) fn new(clock: Clock, key: HashKey, rules: &Abuse, meters: GuardMeters) -> Guard {
        let book = Book::new(key, rules.clone());
        let idle = AtomicBool::new(book.is_idle());
        let inner = Inner { clock, idle, book: Mutex::new(book), news: watch::Sender::new(()), meters };
        Guard { inner: Arc::new(inner) }
    }

    /// Other rules from now on.
    pub(crate) fn reconfigure(&self, rules: &Abuse) {
        let mut book = self.book();
        book.reconfigure(rules.clone());
        self.inner.idle.store(book.is_idle(), Relaxed);
        drop(book);
        self.inner.news.send_replace(());
    }

    /// A connection was accepted from `remote`: may it go on? It is a stranger until it has shown who it is: drop the [`Stranger`] then. A refusal has been
    /// counted; close the connection without a word.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn admit(&self, remote: IpAddr) -> Result<Stranger, Reason> {
        let mut book = self.book();
        let admitted = book.connection(self.inner.clock.now(), remote).and_then(|()| book.stranger(remote));
        drop(book);
        let admitted = admitted.map(|()| Stranger { inner: Arc::clone(&self.inner), remote });
        admitted.inspect_err(|reason| self.inner.meters.refused(*reason))
    }

    /// Whom `remote` is counted with, where what one source may have is bounded; None: it is a friend.
    pub(crate) fn source(&self, remote: IpAddr) -> Option<IpAddr> {
        self.book().source_of(remote)
    }

    /// Somebody may have connected, and there is no room to look who. Counted; he waits.
    pub(crate) fn has_no_room(&self) {
        self.inner.meters.refused(Reason::NoRoom);
    }

    /// A message came from `remote`: may it go on? A refusal has been counted.
    pub(crate) fn hears(&self, remote: IpAddr) -> bool {
        self.hears_all(remote, 1)
    }

    /// The same for several that came together.
    pub(crate) fn hears_all(&self, remote: IpAddr, messages: usize) -> bool {
        if self.inner.idle.load(Relaxed) {
            return true;
        }
        let now = self.inner.clock.now();
        let mut book = self.book();
        let heard = (0..messages).try_for_each(|_| book.message(now, remote));
        drop(book);
        heard.inspect_err(|reason| self.inner.meters.refused(*reason)).is_ok()
    }

    /// Whether who comes from there is not let in at all, for a while or by the operator's word.
    pub(crate) fn is_out(&self, remote: IpAddr) -> bool {
        !self.inner.idle.load(Relaxed) && self.book().let_in(self.inner.clock.now(), remote).is_err()
    }

    /// Changes whenever somebody is shut out who was not: whoever holds connections asks [`Guard::is_out`] for each then, but not all the time.
    pub(crate) fn news(&self) -> News {
        News { changed: self.inner.news.subscribe(), due: None }
    }

    /// `remote` has done something, by a connection or in answer to something of ours.
    pub(crate) fn offence(&self, remote: IpAddr, offence: Offence) {
        self.inner.meters.offence(offence);
        let now = self.inner.clock.now();
        let mut book = self.book();
        let Some(length) = book.offence(now, remote, offence) else { return };
        self.inner.idle.store(false, Relaxed);
        self.inner.meters.banned.set(book.banned(now) as f64);
        drop(book);
        self.inner.news.send_replace(());
        self.inner.meters.bans.increment(1);
        tracing::warn!(%remote, seconds = length.as_secs(), offence = offence.name(), "a source is shut out for a while");
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.inner.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_bounded_until_they_are_none() {
        let mut rules = Abuse::default();
        rules.settings.strangers = 8;
        let guard = Guard::new(Clock::start(), HashKey::new(1, 2), &rules, GuardMeters::unseen());
        let remote: IpAddr = [192, 0, 2, 1].into();
        let first = guard.admit(remote).unwrap();
        let second = guard.admit(remote).unwrap();
        assert_eq!(guard.admit(remote).err(), Some(Reason::Strangers), "a quarter of the places is one source's");
        let others: Vec<_> =
            (2..5).map(|n| [guard.admit([192, 0, 2, n].into()), guard.admit([192, 0, 2, n].into())]).collect();
        assert!(others.iter().flatten().all(Result::is_ok));
        assert_eq!(guard.admit([192, 0, 2, 9].into()).err(), Some(Reason::Strangers), "no place is left");
        assert!(guard.admit([127, 0, 0, 1].into()).is_ok(), "but for friends");
        drop(first);
        let third = guard.admit(remote);
        assert!(third.is_ok() && guard.hears(remote));
        drop(second);
        rules.deny.push(Network::of(remote));
        guard.reconfigure(&rules);
        assert!(!guard.hears(remote));
        assert_eq!(guard.admit(remote).err(), Some(Reason::Denied));
    }
}
