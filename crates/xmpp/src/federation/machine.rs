//! The machine: what comes in, and what streams have to say.

use super::bounce::Envelope;
use super::connection::{Connection, Due, Origin};
use super::remote::{Failing, Remote, Step};
use super::{Config, ConnectionId, Counts, Event, Output, Refused, Seen, SeenStream, Target, Unlocated};
use crate::error::StreamCondition;
use crate::ns;
use crate::stanza::{Kind, Stanza};
use crate::stream::StreamError;
use crate::stream::s2s::{self, Certificate, DownReason, Pair, Proof, Stream};
use base::{HashKey, Recent, Str, Table, Time, Timers, Tokens};
use std::collections::VecDeque;
use std::net::IpAddr;

/// How many pairs are remembered that could not be served; the oldest are forgotten, and tried again at once.
const FAILING: usize = 32_768;

/// Streams with one domain that are shown answers which neither its present stream nor the one that they came by has asked for.
const MOST_HEARD: usize = 64;

/// Streams with one domain that are shown to people.
const SEEN_STREAMS: usize = 16;

/// What one source may have of so many.
fn share(all: usize) -> usize {
    (all / 4).max(1)
}

/// All streams with all other servers. Sans I/O: tell it what happens, as much as there is, then [`Federation::flushed`], then
/// [`Federation::poll`] until there is nothing more, then wait for the next event or [`Federation::deadline`].
#[derive(Debug)]
pub struct Federation {
    pub(super) config: Config,
    pub(super) tokens: Tokens,
    pub(super) connections: Table<ConnectionId, Connection>,
    next: u64,
    pub(super) remotes: Table<Str, Remote>,
    pub(super) failing: Recent<Pair, Failing>,
    /// By token: what was sent and is not known to be dealt with.
    pub(super) sent: Table<u64, Envelope>,
    /// By the id of their streams and what they are to prove: where keys came by that are being verified.
    pub(super) askers: Table<(Str, Pair), ConnectionId>,
    pub(super) timers: Timers<Due>,
    /// Those that may have something to say.
    touched: VecDeque<ConnectionId>,
    pub(super) outgoing: usize,
    pub(super) strangers: usize,
    /// Connections that came, and what is in their lists, by where they came from.
    streams_of: Table<IpAddr, usize>,
    domains_of: Table<IpAddr, usize>,
    pub(super) waiting: usize,
    pub(super) waiting_bytes: usize,
    pub(super) stopping: bool,
    pub(super) out: VecDeque<Output>,
}

impl Federation {
    /// No streams yet.
    pub fn new(config: Config, mut tokens: Tokens) -> Federation {
        let key = HashKey::new(tokens.u64(), tokens.u64());
        Federation {
            config,
            tokens,
            connections: Table::new(key),
            next: 1,
            remotes: Table::new(key),
            failing: Recent::new(key, FAILING),
            sent: Table::new(key),
            askers: Table::new(key),
            timers: Timers::new(),
            touched: VecDeque::new(),
            outgoing: 0,
            strangers: 0,
            streams_of: Table::new(key),
            domains_of: Table::new(key),
            waiting: 0,
            waiting_bytes: 0,
            stopping: false,
            out: VecDeque::new(),
        }
    }

    /// Takes a new configuration: it holds for what comes. Streams are ended on which something was proved that would not be now; what waits for
    /// domains that are denied comes back.
    pub fn reconfigure(&mut self, now: Time, config: Config) {
        self.config = config;
        for id in self.connections.keys_sorted() {
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            let policies = &self.config.stream;
            let denied = connection.stream.as_ref().is_some_and(|stream| {
                stream.pairs().any(|(pair, out, came)| {
                    let policy = policies.policy(&pair.remote);
                    let by_key = [out, came].contains(&Some(Proof::Dialback));
                    !policy.allow
                        || policy.require_tls && !stream.is_secured()
                        || by_key && (policy.require_certificate || !policy.dialback)
                })
            });
            if let Some(stream) = connection.live() {
                stream.reconfigure(self.config.stream.clone());
                if denied {
                    stream.close(now, Some(StreamError::new(StreamCondition::PolicyViolation)));
                }
            }
            self.touch(id);
        }
        for domain in self.remotes.keys_sorted() {
            self.forget_denied(now, &domain);
        }
    }

    /// A connection has come, with TLS from its beginning or not. What it is called from now on. One `source` has a quarter of all streams at most,
    /// and of the domains that they may be proved for; where there is none, that does not matter.
    ///
    /// # Errors
    /// There is no room for it: it is to be closed.
    pub fn accepted(&mut self, now: Time, direct_tls: bool, source: Option<IpAddr>) -> Result<ConnectionId, Refused> {
        if self.stopping {
            return Err(Refused::Stopping);
        }
        if self.connections.len() >= self.config.max_streams {
            return Err(Refused::Streams);
        }
        if source.is_some_and(|source| self.streams_of.count(&source) >= share(self.config.max_streams)) {
            return Err(Refused::Source);
        }
        if self.strangers >= self.config.max_strangers {
            return Err(Refused::Strangers);
        }
        let stream = Stream::receiving(self.config.stream.clone(), self.tokens.fork(), now, direct_tls);
        let mut connection = Connection::new(now, Origin::Theirs);
        (connection.stream, connection.source) = (Some(Box::new(stream)), source);
        if let Some(source) = source {
            self.streams_of.count_up(source);
        }
        let id = self.mint();
        self.connections.insert(id, connection);
        self.strangers += 1;
        self.touch(id);
        Ok(id)
    }

    /// The connection is there that was asked for, with TLS if its target has it from the beginning.
    pub fn connected(&mut self, now: Time, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| connection.stream.is_none()) else {
            return self.out.push_back(Output::Abort(id));
        };
        connection.until = None;
        self.open(now, id);
        self.touch(id);
    }

    /// What came over a connection, decrypted. How many stanzas that were, those that are refused among them.
    pub fn received(&mut self, now: Time, id: ConnectionId, bytes: &[u8]) -> usize {
        let stanzas = self.on(id, |stream| {
            let count = |stream: &Stream| stream.counts().received + stream.counts().refused;
            let before = count(stream);
            stream.received(now, bytes);
            count(stream) - before
        });
        stanzas.and_then(|stanzas| usize::try_from(stanzas).ok()).unwrap_or(0)
    }

    /// The other side is not wanted any more: its stream ends with this error.
    pub fn refuse(&mut self, now: Time, id: ConnectionId, error: StreamError) {
        self.on(id, |stream| stream.close(now, Some(error)));
    }

    /// TLS stands, after [`Output::StartTls`].
    pub fn secured(&mut self, now: Time, id: ConnectionId) {
        self.on(id, |stream| stream.secured(now));
    }

    /// The answer to [`Output::Judge`].
    pub fn judged(&mut self, now: Time, id: ConnectionId, domain: &str, certificate: Certificate) {
        self.on(id, |stream| stream.judged(now, domain, certificate));
    }

    /// The certificate that the other side has shown was looked at again, for whom it is valid now: the stream ends if something was proved by it that
    /// would not be any more, or if the policy for one of its domains asks for a valid one (RFC 6120 §13.7.2.3).
    pub fn judged_again(&mut self, now: Time, id: ConnectionId, is_valid: impl Fn(&str) -> bool) {
        let policies = &self.config.stream;
        let Some(stream) = self.connections.get_mut(&id).and_then(Connection::live) else { return };
        let stale = stream.pairs().any(|(pair, _, came)| {
            let needed = came == Some(Proof::Certificate) || policies.policy(&pair.remote).require_certificate;
            needed && !is_valid(&pair.remote)
        });
        if stale {
            let error = StreamError::new(StreamCondition::Reset).with_text("The certificate is not valid any more");
            stream.close(now, Some(error));
            self.touch(id);
        }
    }

    /// The connection has ended, by either side's doing, or could not be made.
    pub fn closed(&mut self, now: Time, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.closed = true;
        match &mut connection.stream {
            Some(stream) => {
                stream.closed(now);
                self.touch(id);
            }
            None => self.not_connected(now, id),
        }
    }

    /// The answer to [`Output::Locate`]: targets in the order in which they are to be tried, the first 16 of which count.
    pub fn located(&mut self, now: Time, domain: &str, targets: Result<Vec<Target>, Unlocated>) {
        self.located_at(now, domain, targets);
    }

    /// The batch is complete. Call it after the last event and before the first [`Federation::poll`].
    pub fn flushed(&mut self, now: Time) {
        while let Some(id) = self.touched.pop_front() {
            self.pump(now, id);
        }
    }

    /// The moment of [`Federation::deadline`] has come. Earlier calls do no harm.
    pub fn timeout(&mut self, now: Time) {
        while let Some((at, due)) = self.timers.pop(now) {
            match due {
                Due::Connection(id) => {
                    let Some(connection) = self.connections.get_mut(&id).filter(|c| c.armed == Some(at)) else {
                        continue;
                    };
                    connection.armed = None;
                    self.connection_due(now, id);
                }
                Due::Waiting(domain) => {
                    let Some(remote) = self.remotes.get_mut(&domain).filter(|r| r.armed == Some(at)) else { continue };
                    remote.armed = None;
                    self.too_late(now, &domain);
                }
            }
        }
    }

    /// When [`Federation::timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Closes all streams in good order, once what was sent is settled. What waits is lost; nothing new is begun. When
    /// [`Federation::is_over`], all was told.
    pub fn shutdown(&mut self, now: Time) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        for (_, remote) in self.remotes.take_sorted() {
            for waiting in remote.routes.into_values().flat_map(|route| route.waiting) {
                self.out.extend(waiting.token.map(Output::Lost));
            }
        }
        (self.waiting, self.waiting_bytes) = (0, 0);
        for id in self.connections.keys_sorted() {
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            match &mut connection.stream {
                Some(stream) if !connection.down => {
                    stream.close(now, None);
                    self.touch(id);
                }
                Some(_) => {}
                None => {
                    self.out.push_back(Output::Abort(id));
                    self.remove(id);
                }
            }
        }
    }

    /// Whether there is nothing left to wait for after [`Federation::shutdown`].
    pub fn is_over(&self) -> bool {
        self.stopping && self.connections.is_empty() && self.out.is_empty()
    }

    /// What the shell is to do next.
    pub fn poll(&mut self) -> Option<Output> {
        let output = self.out.pop_front();
        if self.out.is_empty() && self.out.capacity() > 4096 {
            self.out.shrink_to(64);
        }
        output
    }

    /// Numbers for the metrics.
    pub fn counts(&self) -> Counts {
        Counts {
            outgoing: self.outgoing,
            incoming: self.connections.len() - self.outgoing,
            strangers: self.strangers,
            remotes: self.remotes.len(),
            waiting: self.waiting,
            waiting_bytes: self.waiting_bytes,
            unacknowledged: self.sent.len(),
        }
    }

    /// The domains that there is anything with, in their order, `most` of them.
    pub fn seen(&self, now: Time, most: usize) -> Vec<Seen> {
        let domains = self.remotes.keys_sorted().into_iter().take(most);
        let seen = domains.filter_map(|domain| {
            let remote = self.remotes.get(&domain)?;
            let streams = || remote.streams.iter().filter_map(|id| self.connections.get(id)?.stream.as_ref());
            let sending = streams().filter(|s| s.pairs().any(|(pair, out, _)| pair.remote == domain && out.is_some()));
            let taking = streams().filter(|s| s.pairs().any(|(pair, _, came)| pair.remote == domain && came.is_some()));
            Some(Seen {
                sending: sending.count(),
                taking: taking.count(),
                streams: self.seen_streams(now, remote, &domain),
                waiting: remote.routes.values().map(|route| route.waiting.len()).sum(),
                seeking: remote.search.is_some(),
                domain,
            })
        });
        seen.collect()
    }

    fn seen_streams(&self, now: Time, remote: &Remote, domain: &str) -> Vec<SeenStream> {
        let live = remote.streams.iter().filter_map(|id| self.connections.get(id)).filter(|live| !live.down);
        let seen = live.take(SEEN_STREAMS).filter_map(|connection| {
            let stream = connection.stream.as_ref()?;
            let pairs = || stream.pairs().filter(|(pair, ..)| pair.remote == *domain);
            Some(SeenStream {
                ours: connection.is_ours(),
                secured: stream.is_secured(),
                sends: pairs().find_map(|(_, sends, _)| sends),
                takes: pairs().find_map(|(_, _, takes)| takes),
                age: now.since(connection.since),
            })
        });
        seen.collect()
    }

    /// Whether nothing is kept but what failed lately.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let tables =
            [self.connections.is_empty(), self.remotes.is_empty(), self.sent.is_empty(), self.askers.is_empty()];
        tables.into_iter().all(|empty| empty) && self.touched.is_empty() && self.waiting == 0 && self.waiting_bytes == 0
    }

    pub(super) fn mint(&mut self) -> ConnectionId {
        self.next += 1;
        ConnectionId(self.next)
    }

    /// Has the connection looked at before the batch ends.
    pub(super) fn touch(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id).filter(|connection| !connection.touched) {
            connection.touched = true;
            self.touched.push_back(id);
        }
    }

    /// Lets a stream act, if there is one.
    pub(super) fn on<T>(&mut self, id: ConnectionId, act: impl FnOnce(&mut Stream) -> T) -> Option<T> {
        let acted = self.connections.get_mut(&id)?.stream.as_deref_mut().map(act);
        self.touch(id);
        acted
    }

    /// Forgets a connection. Its stream has told all.
    pub(super) fn remove(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.remove(&id) else { return };
        self.outgoing -= usize::from(connection.is_ours());
        self.strangers -= usize::from(connection.is_stranger());
        if let Some(source) = connection.source {
            self.streams_of.count_down(&source);
        }
    }

    /// Hears a stream out.
    fn pump(&mut self, now: Time, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.touched = false;
        if let Some(stream) = &mut connection.stream {
            stream.flushed(now);
        }
        while let Some(output) = self.connections.get_mut(&id).and_then(|c| c.stream.as_mut()?.poll()) {
            self.says(now, id, output);
        }
        self.unstick(now, id);
        let Some(connection) = self.connections.get(&id) else { return };
        if connection.closed && connection.stream.is_some() {
            self.remove(id);
        } else {
            self.arm(id);
        }
    }

    fn says(&mut self, now: Time, id: ConnectionId, output: s2s::Output) {
        let say = |out: &mut VecDeque<Output>, event| out.push_back(Output::Event(event));
        match output {
            s2s::Output::Bytes(bytes) => self.out.push_back(Output::Bytes { connection: id, bytes }),
            s2s::Output::StartTls => {
                let Some(Connection { origin, stream, .. }) = self.connections.get(&id) else { return };
                let domain = match origin {
                    Origin::Ours { pair, .. } => Some(pair.remote.clone()),
                    Origin::Theirs => None,
                };
                let local = stream.as_ref().and_then(|stream| stream.local().cloned());
                self.out.push_back(Output::StartTls { connection: id, domain, local });
            }
            s2s::Output::Judge(domain) => self.out.push_back(Output::Judge { connection: id, domain }),
            s2s::Output::Close => self.out.push_back(Output::Close(id)),
            s2s::Output::Abort => {
                self.out.push_back(Output::Abort(id));
                self.closed(now, id);
            }
            s2s::Output::Ready { pair, proof } => {
                say(&mut self.out, Event::Ready { connection: id, pair: pair.clone(), proof });
                self.ready(now, id, &pair);
            }
            s2s::Output::Refused { pair, verdict: _ } => self.refused(now, id, &pair),
            s2s::Output::Accepts { pair, proof } => {
                say(&mut self.out, Event::Accepts { connection: id, pair: pair.clone(), proof });
                self.accepts(now, id, &pair);
            }
            s2s::Output::Verify(verification) => self.verify(now, id, verification),
            s2s::Output::CanVerify => self.can_verify(now, id),
            s2s::Output::Verified { pair, id: stream, verdict } => self.verified(now, stream, pair, verdict),
            s2s::Output::Stanza(stanza) => self.stanza(now, id, stanza),
            s2s::Output::Reply(stanza) => self.reply(now, &stanza),
            s2s::Output::Taken(token) => self.taken(token),
            s2s::Output::Lost(token) => self.lost(token),
            s2s::Output::Down(reason) => self.down(now, id, &reason),
            s2s::Output::Fault(fault) => say(&mut self.out, Event::Fault(id, fault)),
        }
    }

    /// A stanza has come; what answers a ping behind our own stanzas is for whoever has sent it.
    fn stanza(&mut self, now: Time, came_by: ConnectionId, stanza: Stanza) {
        let answer = stanza.kind == Kind::Iq && matches!(stanza.type_.as_deref(), Some("result" | "error"));
        let bare = stanza.to.as_ref().filter(|to| answer && to.local().is_none()).zip(stanza.from.as_ref());
        if let Some((to, from)) = bare {
            let pair = Pair::new(to.domain(), from.domain());
            for id in self.may_have_asked(&pair, came_by) {
                if self.on(id, |stream| stream.answered(now, &stanza)) == Some(true) {
                    return;
                }
            }
        }
        if stanza.child("ping", ns::PING).is_none() {
            self.use_now(now, came_by);
        }
        self.out.push_back(Output::Stanza(stanza));
    }

    /// The streams whose pings an answer from a pair may be for: mostly the one that carries its stanzas, or that it came by.
    fn may_have_asked(&self, pair: &Pair, came_by: ConnectionId) -> Vec<ConnectionId> {
        let Some(remote) = self.remotes.get(&pair.remote) else { return Vec::new() };
        let carrier = remote.routes.get(&pair.local).and_then(|route| route.stream);
        let sends = |id: &&ConnectionId| self.connections.get(id).is_some_and(|connection| connection.sends(pair));
        let others = remote.streams.iter().take(MOST_HEARD).filter(sends).copied();
        carrier.into_iter().chain([came_by]).chain(others).collect()
    }

    /// The connection is of use.
    pub(super) fn use_now(&mut self, now: Time, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.used = now;
        }
    }

    /// Something is proved on a stream for a domain of the other side.
    pub(super) fn register(&mut self, id: ConnectionId, domain: &Str) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.remotes.contains(domain) {
            return;
        }
        connection.remotes.push(domain.clone());
        if let Some(source) = connection.source {
            self.domains_of.count_up(source);
        }
        self.remotes.or_insert_with(domain.clone(), Remote::default).streams.push(id);
    }

    /// The other side has proved that it speaks for a pair: it is there, whatever was found before.
    fn accepts(&mut self, now: Time, id: ConnectionId, pair: &Pair) {
        self.prove(now, id);
        if !self.has_room_for(id, &pair.remote) {
            let error = StreamError::new(StreamCondition::ResourceConstraint).with_text("Too many domains");
            self.on(id, |stream| stream.close(now, Some(error)));
            return;
        }
        self.register(id, &pair.remote);
        self.failing.remove(pair);
        let Some(remote) = self.remotes.get_mut(&pair.remote) else { return };
        let accepted = &mut remote.routes.entry(pair.local.clone()).or_default().accepted;
        accepted.retain(|id| self.connections.get(id).is_some_and(|c| !c.is_ours() && !c.down));
        accepted.push(id);
        if accepted.len() > self.config.max_streams_per_pair {
            let theirs = accepted.clone();
            let used = |id: &ConnectionId| self.connections.get(id).map(|connection| connection.used);
            if let Some(oldest) = theirs.into_iter().filter(|other| *other != id).min_by_key(|id| (used(id), *id)) {
                let error =
                    StreamError::new(StreamCondition::Conflict).with_text("Too many streams for this pair of domains");
                self.on(oldest, |stream| stream.close(now, Some(error)));
            }
        }
    }

    /// Whether a domain that has come may be known. Those that come leave a quarter of all to those that we look for, and one source has a quarter.
    pub(super) fn has_room_for(&self, id: ConnectionId, domain: &Str) -> bool {
        let Some(connection) = self.connections.get(&id) else { return false };
        let (all, share) = (self.config.max_remotes, share(self.config.max_remotes));
        let is_new = !self.remotes.contains(domain);
        connection.remotes.contains(domain)
            || (!is_new || self.remotes.len() < all - share)
                && connection.source.is_none_or(|source| self.domains_of.count(&source) < share)
    }

    /// Something is proved on the connection.
    pub(super) fn prove(&mut self, now: Time, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        self.strangers -= usize::from(connection.is_stranger());
        (connection.proved, connection.used) = (true, now);
    }

    fn down(&mut self, now: Time, id: ConnectionId, reason: &DownReason) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.down = true;
        let (proved, mut remotes) = (connection.proved, std::mem::take(&mut connection.remotes));
        if let Some(source) = connection.source {
            remotes.iter().for_each(|_| self.domains_of.count_down(&source));
        }
        let answers = connection.stream.as_ref().is_some_and(|stream| stream.answers_barriers());
        for domain in &remotes {
            let Some(remote) = self.remotes.get_mut(domain) else { continue };
            remote.streams.retain(|stream| *stream != id);
            remote.answers |= answers;
        }
        if let (true, Origin::Ours { pair, .. }) = (remotes.is_empty(), &connection.origin) {
            remotes.push(pair.remote.clone());
        }
        let event = Event::Down { connection: id, remotes: remotes.clone(), proved, reason: reason.clone() };
        self.out.push_back(Output::Event(event));
        self.search_down(now, id, reason);
        for domain in remotes {
            self.look_again(now, &domain);
        }
    }

    fn connection_due(&mut self, now: Time, id: ConnectionId) {
        let idle = self.config.idle;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let silent = connection.idle_at(idle).is_some_and(|at| at <= now);
        match &mut connection.stream {
            Some(stream) => {
                stream.timeout(now);
                if silent {
                    connection.closing = true;
                    stream.close(now, None);
                }
                self.touch(id);
            }
            None if connection.until.is_some_and(|until| until <= now) => {
                self.out.push_back(Output::Abort(id));
                self.not_connected(now, id);
            }
            None => self.arm(id),
        }
    }

    /// Puts the connection's next deadline into the queue, unless an earlier one is in it.
    pub(super) fn arm(&mut self, id: ConnectionId) {
        let idle = self.config.idle;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(at) = connection.deadline(idle) else { return };
        if connection.armed.is_none_or(|armed| at < armed) {
            connection.armed = Some(at);
            self.timers.set(at, Due::Connection(id));
        }
    }

    /// The connection that a search is at.
    pub(super) fn is_searched_by(&self, domain: &str, id: ConnectionId) -> bool {
        let search = self.remotes.get(domain).and_then(|remote| remote.search.as_ref());
        search.is_some_and(|search| matches!(search.step, Step::Trying(tried) if tried == id))
    }
}
