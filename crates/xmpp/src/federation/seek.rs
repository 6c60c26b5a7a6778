//! The search for a stream: one that is there already, or a new one, to one target after the other.

use super::connection::{Connection, Origin};
use super::machine::Federation;
use super::remote::{Failing, Remote, Search, Step};
use super::{ConnectionId, Event, Output, Target, Undelivered, Unlocated};
use crate::stream::backoff::Backoff;
use crate::stream::s2s::{DownReason, Initiate, Pair, Purpose, Stream};
use base::Time;
use std::collections::VecDeque;

/// Streams with one domain that are asked to carry another pair before one is made for it.
const MOST_ASKED: usize = 64;

/// Targets of one domain that are tried.
const MOST_TARGETS: usize = 16;

impl Federation {
    /// Something waits for the pair, and no stream carries it: one is asked to, or another one is looked for.
    pub(super) fn seek(&mut self, now: Time, pair: &Pair) {
        self.arm_remote(&pair.remote);
        let Some(remote) = self.remotes.get_mut(&pair.remote) else { return };
        let Some(route) = remote.routes.get(&pair.local) else { return };
        let asked = route.asked.and_then(|id| self.connections.get(&id));
        if asked.is_some_and(|connection| !connection.down) || route.waiting.is_empty() {
            return;
        }
        if !route.alone {
            let some: Vec<ConnectionId> = remote.streams.iter().take(MOST_ASKED).copied().collect();
            for id in some {
                if self.asks_to_carry(now, id, pair) {
                    if let Some(route) = self.remotes.get_mut(&pair.remote).and_then(|r| r.routes.get_mut(&pair.local))
                    {
                        route.asked = Some(id);
                    }
                    return self.touch(id);
                }
            }
        }
        self.search(pair);
    }

    /// Asks a stream to carry another pair (XEP-0220 §2.6); whether it may.
    fn asks_to_carry(&mut self, now: Time, id: ConnectionId, pair: &Pair) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        let made = connection.is_ours();
        let Some(stream) = connection.live() else { return false };
        // A server that knows no errors would end the whole stream over one refusal.
        let safe = stream.has_dialback_errors() || stream.is_unproven();
        (made || stream.is_bidirectional()) && safe && stream.prove(now, pair).is_ok()
    }

    /// Looks for the domain's server, unless that is done already: then what else waits comes next.
    pub(super) fn search(&mut self, pair: &Pair) {
        let Some(remote) = self.remotes.get_mut(&pair.remote).filter(|remote| remote.search.is_none()) else { return };
        let (why, keys_only) = (Undelivered::Unreachable, remote.waiting == 0);
        let (step, targets) = (Step::Locating, VecDeque::new());
        remote.search = Some(Search { pair: pair.clone(), keys_only, step, targets, why });
        self.out.push_back(Output::Locate { domain: pair.remote.clone(), keys_only });
    }

    pub(super) fn located_at(&mut self, now: Time, domain: &str, targets: Result<Vec<Target>, Unlocated>) {
        let Some(remote) = self.remotes.get_mut(domain) else { return };
        let waits = remote.waiting > 0;
        let Some(search) = remote.search.as_mut().filter(|search| matches!(search.step, Step::Locating)) else {
            return;
        };
        match targets {
            Ok(targets) if !targets.is_empty() => {
                search.targets = targets.into_iter().take(MOST_TARGETS).collect();
                self.next_target(now, domain);
            }
            Ok(_) | Err(Unlocated::NotFound) => self.give_up(now, domain, Undelivered::NotFound),
            // What strangers want to know there may be no room for; what waits by now is our own.
            Err(Unlocated::Failed) if search.keys_only && waits => {
                search.keys_only = false;
                self.out.push_back(Output::Locate { domain: domain.into(), keys_only: false });
            }
            Err(Unlocated::Failed) => self.give_up(now, domain, Undelivered::Unreachable),
        }
    }

    fn next_target(&mut self, now: Time, domain: &str) {
        let Some(remote) = self.remotes.get_mut(domain) else { return };
        let Some(search) = &mut remote.search else { return };
        // Nobody may want it any more.
        if remote.keys.is_empty() && remote.waiting == 0 {
            remote.search = None;
            return self.tidy(domain);
        }
        match search.targets.pop_front() {
            Some(target) => self.try_target(now, domain, target, true),
            None => {
                let why = search.why;
                self.give_up(now, domain, why);
            }
        }
    }

    fn try_target(&mut self, now: Time, domain: &str, target: Target, external: bool) {
        if self.connections.len() >= self.config.max_streams {
            return self.give_up(now, domain, Undelivered::Full);
        }
        let id = self.mint();
        let until = now + self.config.connect_timeout;
        let Some(remote) = self.remotes.get_mut(domain) else { return };
        let keys_only = remote.waiting == 0;
        let Some(search) = remote.search.as_mut() else { return };
        search.step = Step::Trying(id);
        let pair = search.pair.clone();
        self.out.push_back(Output::Connect {
            connection: id,
            target: target.clone(),
            domain: pair.remote.clone(),
            local: pair.local.clone(),
            keys_only,
        });
        let mut connection = Connection::new(now, Origin::Ours { pair, target, external });
        connection.until = Some(until);
        self.connections.insert(id, connection);
        self.outgoing += 1;
        self.arm(id);
    }

    /// A connection that we have made is there: the stream begins.
    pub(super) fn open(&mut self, now: Time, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Origin::Ours { pair, target, external } = &connection.origin else { return };
        let remote = self.remotes.get(&pair.remote);
        let wanted = |remote: &Remote| remote.routes.get(&pair.local).is_some_and(|route| !route.waiting.is_empty());
        let purpose = if remote.is_some_and(wanted) { Purpose::Stanzas } else { Purpose::Verification };
        let initiate = Initiate {
            pair: pair.clone(),
            direct_tls: target.direct_tls,
            purpose,
            external: *external,
            expects_barriers: remote.is_some_and(|remote| remote.answers),
        };
        connection.keys_only = purpose == Purpose::Verification;
        let stream = Stream::initiating(self.config.stream.clone(), self.tokens.fork(), now, initiate);
        connection.stream = Some(Box::new(stream));
    }

    /// A connection could not be made.
    pub(super) fn not_connected(&mut self, now: Time, id: ConnectionId) {
        let Some(Connection { origin: Origin::Ours { pair, target, .. }, .. }) = self.connections.get(&id) else {
            return;
        };
        let (domain, target) = (pair.remote.clone(), target.clone());
        self.remove(id);
        self.out.push_back(Output::Event(Event::TargetFailed { domain: domain.clone(), target }));
        if self.is_searched_by(&domain, id) {
            self.next_target(now, &domain);
        }
    }

    /// Stanzas can be sent for the pair.
    pub(super) fn ready(&mut self, now: Time, id: ConnectionId, pair: &Pair) {
        self.prove(now, id);
        self.register(id, &pair.remote);
        self.failing.remove(pair);
        let searched = self.is_searched_by(&pair.remote, id);
        let Some(remote) = self.remotes.get_mut(&pair.remote) else { return };
        if searched {
            remote.search = None;
        }
        if let Some(route) = remote.routes.get_mut(&pair.local) {
            route.stream = route.stream.or(Some(id));
            (route.asked, route.alone) = (None, false);
        }
        self.deliver(now, pair);
        self.look_again(now, &pair.remote);
    }

    /// The other side does not take stanzas for the pair on this stream.
    pub(super) fn refused(&mut self, now: Time, id: ConnectionId, pair: &Pair) {
        let searched = self.is_searched_by(&pair.remote, id);
        let Some(remote) = self.remotes.get_mut(&pair.remote) else { return };
        let ours = remote.search.as_ref().is_some_and(|search| searched && search.pair == *pair);
        if ours {
            // What it was made for; its end leads to the next target.
            self.on(id, |stream| stream.close(now, None));
        } else if let Some(route) = remote.routes.get_mut(&pair.local) {
            (route.asked, route.alone) = (None, true);
            self.seek(now, pair);
        }
    }

    /// A stream has ended: if the search was at it, it goes on.
    pub(super) fn search_down(&mut self, now: Time, id: ConnectionId, reason: &DownReason) {
        let Some(Connection { origin: Origin::Ours { pair, target, external }, .. }) = self.connections.get(&id) else {
            return;
        };
        let (domain, target, external) = (pair.remote.clone(), target.clone(), *external);
        if !self.is_searched_by(&domain, id) {
            return;
        }
        let Some(search) = self.remotes.get_mut(&domain).and_then(|remote| remote.search.as_mut()) else { return };
        let (why, again) = match reason {
            DownReason::NotAuthenticated | DownReason::PeerError(_) => (Undelivered::Unproven, external),
            DownReason::NoTls | DownReason::BadCertificate(_) | DownReason::Closed => (Undelivered::Unproven, false),
            DownReason::Disconnected
            | DownReason::TlsFailed
            | DownReason::ClosedByPeer
            | DownReason::OurError(_)
            | DownReason::Unserved(_) => (Undelivered::Unreachable, false),
        };
        search.why = why;
        if again {
            // Some servers end the stream when they do not like our certificate.
            return self.try_target(now, &domain, target, false);
        }
        self.out.push_back(Output::Event(Event::TargetFailed { domain: domain.clone(), target }));
        self.next_target(now, &domain);
    }

    /// There is nobody for the pair that was looked for.
    fn give_up(&mut self, now: Time, domain: &str, why: Undelivered) {
        let Some(search) = self.remotes.get_mut(domain).and_then(|remote| remote.search.take()) else { return };
        // Who is not there is not there for the others either; who does not take us for one may take us for another.
        let alone = matches!(why, Undelivered::Unproven);
        for pair in self.pairs_with(domain).into_iter().filter(|pair| !alone || *pair == search.pair) {
            let remote = self.remotes.get(domain);
            let waits = remote.and_then(|r| r.routes.get(&pair.local)).is_some_and(|route| !route.waiting.is_empty());
            if waits && why != Undelivered::Full {
                self.fail(now, &pair, why);
            }
            if waits {
                self.give_back(&pair, None, why);
            }
        }
        self.no_verdict(now, domain, why);
        self.look_again(now, domain);
    }

    /// The pair is left alone for a while.
    fn fail(&mut self, now: Time, pair: &Pair, why: Undelivered) {
        let known = self.failing.remove(pair).map(|failing| failing.backoff);
        let mut backoff = known.unwrap_or_else(|| Backoff::new(self.config.retry_min, self.config.retry_max));
        let wait = backoff.next(&mut self.tokens);
        self.failing.insert(pair.clone(), Failing { backoff, until: now + wait, since: now, why });
        self.out.push_back(Output::Event(Event::Unreachable { pair: pair.clone(), why, wait }));
    }

    /// Something has changed for a domain: what waits for it is looked after.
    pub(super) fn look_again(&mut self, now: Time, domain: &str) {
        let waits = self.remotes.get(domain).is_some_and(|remote| remote.waiting > 0);
        for pair in waits.then(|| self.pairs_with(domain)).into_iter().flatten() {
            let route = self.remotes.get(domain).and_then(|remote| remote.routes.get(&pair.local));
            if route.is_some_and(|route| !route.waiting.is_empty()) {
                self.deliver(now, &pair);
            }
        }
        self.keys_again(now, domain);
        self.tidy(domain);
    }
}
