//! Stanzas on their way out: what waits, what is sent, and what comes back.

use super::bounce::Envelope;
use super::connection::Due;
use super::machine::Federation;
use super::remote::{Remote, Waiting};
use super::{ConnectionId, Event, Output, Undelivered};
use crate::ns;
use crate::stanza::Stanza;
use crate::stream::s2s::{Pair, SendError};
use base::Time;

impl Federation {
    /// Sends a stanza, written in [`ns::SERVER`], from an address in `pair.local` to one in `pair.remote`. With a token, [`Output::Taken`] says that it
    /// was dealt with: an error comes before, if it could not be delivered.
    pub fn send(&mut self, now: Time, pair: &Pair, stanza: Vec<u8>, token: Option<u64>) {
        if self.stopping {
            return self.out.extend(token.map(Output::Lost));
        }
        let answers = Envelope::is_answer(&stanza);
        let waiting = Waiting { bytes: stanza, token, answers, until: now + self.config.wait };
        if let Err(why) = self.admit(now, pair, &waiting) {
            return self.bounce(&Envelope::of(&waiting.bytes), token, why);
        }
        self.waiting += 1;
        self.waiting_bytes += waiting.bytes.len();
        let remote = self.remotes.or_insert_with(pair.remote.clone(), Remote::default);
        remote.waiting += 1;
        let route = remote.routes.entry(pair.local.clone()).or_default();
        route.bytes += waiting.bytes.len();
        route.waiting.push_back(waiting);
        self.deliver(now, pair);
    }

    /// Whether another stanza may wait for the pair. Answers are as many as what they answer, which has found room before; and without them somebody
    /// would be told nothing at all. So their bytes alone are bounded.
    fn admit(&self, now: Time, pair: &Pair, stanza: &Waiting) -> Result<(), Undelivered> {
        let len = stanza.bytes.len();
        let remote = self.remotes.get(&pair.remote);
        let route = remote.and_then(|remote| remote.routes.get(&pair.local));
        if let Some(route) = route.filter(|route| !route.waiting.is_empty()) {
            let full = !stanza.answers && route.waiting.len() >= self.config.max_waiting
                || route.bytes + len > self.config.max_waiting_bytes
                || self.waiting_bytes + len > self.config.max_waiting_bytes_in_all;
            return if full { Err(Undelivered::Full) } else { Ok(()) };
        }
        // Whoever is spoken with already is neither denied nor given up.
        if remote.is_some_and(|remote| remote.streams.iter().any(|id| self.sends(*id, pair))) {
            return Ok(());
        }
        if self.config.stream.serves(&pair.remote) {
            return Err(Undelivered::Own);
        }
        if !self.config.stream.policy(&pair.remote).allow {
            return Err(Undelivered::Denied);
        }
        let many = remote.is_none() && self.remotes.len() >= self.config.max_remotes;
        if many || self.waiting_bytes + len > self.config.max_waiting_bytes_in_all {
            return Err(Undelivered::Full);
        }
        match self.failing.get(pair) {
            Some(failing) if failing.until > now => Err(failing.why),
            Some(_) | None => Ok(()),
        }
    }

    fn sends(&self, id: ConnectionId, pair: &Pair) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.sends(pair))
    }

    /// The stream that carries the pair's stanzas, if there is one.
    fn carrier(&mut self, pair: &Pair) -> Option<ConnectionId> {
        let remote = self.remotes.get(&pair.remote)?;
        let last = remote.routes.get(&pair.local).and_then(|route| route.stream);
        let id = last.into_iter().chain(remote.streams.iter().copied()).find(|id| self.sends(*id, pair))?;
        if last == Some(id) {
            return last;
        }
        let route = self.remotes.get_mut(&pair.remote)?.routes.entry(pair.local.clone()).or_default();
        route.stream = Some(id);
        Some(id)
    }

    /// Sends what waits for the pair, as far as there is a stream with room; looks for one where there is none.
    pub(super) fn deliver(&mut self, now: Time, pair: &Pair) {
        let Some(id) = self.carrier(pair) else { return self.seek(now, pair) };
        let Some(remote) = self.remotes.get_mut(&pair.remote) else { return };
        let Some(route) = remote.routes.get_mut(&pair.local) else { return };
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(stream) = connection.stream.as_mut() else { return };
        let (mut over, mut moved) = (false, false);
        while let Some(first) = route.waiting.front() {
            let tracked = first.token.filter(|_| !first.answers);
            match stream.send(now, pair, &first.bytes, tracked) {
                Ok(()) => moved = true,
                Err(SendError::Full) => {
                    connection.stuck.insert(pair.clone());
                    break;
                }
                Err(SendError::Down | SendError::NotProved) => {
                    over = true;
                    break;
                }
            }
            let Some(Waiting { bytes, token, .. }) = route.waiting.pop_front() else { break };
            if tracked.is_some() {
                connection.used = now;
            }
            route.bytes -= bytes.len();
            remote.waiting -= 1;
            self.waiting -= 1;
            self.waiting_bytes -= bytes.len();
            match (token, tracked) {
                (Some(token), Some(_)) => {
                    drop(self.sent.insert(token, Envelope::of(&bytes)));
                }
                (Some(token), None) => self.out.push_back(Output::Taken(token)),
                (None, _) => {}
            }
        }
        if over {
            // It will say that it is down; what waits goes elsewhere then.
            route.stream = None;
        }
        if moved || over {
            self.touch(id);
        }
        self.arm_remote(&pair.remote);
    }

    /// Something has happened to a stream: there may be room on it.
    pub(super) fn unstick(&mut self, now: Time, id: ConnectionId) {
        let stuck = self.connections.get_mut(&id).map(|connection| std::mem::take(&mut connection.stuck));
        for pair in stuck.into_iter().flatten() {
            self.deliver(now, &pair);
        }
    }

    /// An error for somebody of the other side.
    pub(super) fn reply(&mut self, now: Time, stanza: &Stanza) {
        if let (Some(from), Some(to)) = (&stanza.from, &stanza.to) {
            let pair = Pair::new(from.domain(), to.domain());
            self.send(now, &pair, stanza.to_bytes(ns::SERVER), None);
        }
    }

    /// The other server has dealt with a stanza.
    pub(super) fn taken(&mut self, token: u64) {
        self.out.push_back(Output::Taken(token));
        self.sent.remove(&token);
    }

    /// A stream has ended, and nobody knows whether the other server has dealt with a stanza. It is not sent again: at most once.
    pub(super) fn lost(&mut self, token: u64) {
        match self.sent.remove(&token) {
            Some(envelope) if !self.stopping => {
                self.bounce(&envelope, Some(token), Undelivered::Unknown);
            }
            Some(_) | None => self.out.push_back(Output::Lost(token)),
        }
    }

    /// Gives a stanza back.
    fn bounce(&mut self, envelope: &Envelope, token: Option<u64>, why: Undelivered) {
        self.out.push_back(Output::Event(Event::Undelivered(why)));
        // Nobody waits for what becomes of our own errors.
        let error = token.and_then(|_| envelope.error(why));
        self.out.extend(error.map(Output::Stanza));
        self.out.extend(token.map(Output::Taken));
    }

    /// Gives back what waits for the pair, or what of it has waited until then.
    pub(super) fn give_back(&mut self, pair: &Pair, until: Option<Time>, why: Undelivered) {
        loop {
            let Some(remote) = self.remotes.get_mut(&pair.remote) else { return };
            let Some(route) = remote.routes.get_mut(&pair.local) else { return };
            let due = |waiting: &mut Waiting| until.is_none_or(|now| waiting.until <= now);
            let Some(Waiting { bytes, token, .. }) = route.waiting.pop_front_if(due) else { return };
            route.bytes -= bytes.len();
            remote.waiting -= 1;
            self.waiting -= 1;
            self.waiting_bytes -= bytes.len();
            self.bounce(&Envelope::of(&bytes), token, why);
        }
    }

    /// Some of what waits for a domain has waited long enough.
    pub(super) fn too_late(&mut self, now: Time, domain: &str) {
        for pair in self.pairs_with(domain) {
            self.give_back(&pair, Some(now), Undelivered::TooLate);
        }
        self.arm_remote(domain);
        self.tidy(domain);
    }

    /// What waits for a domain that is not spoken to any more comes back.
    pub(super) fn forget_denied(&mut self, now: Time, domain: &str) {
        if !self.config.stream.policy(domain).allow {
            for pair in self.pairs_with(domain) {
                self.give_back(&pair, None, Undelivered::Denied);
            }
        }
        self.look_again(now, domain);
    }

    /// The pairs that something waits for, or has, with a domain.
    pub(super) fn pairs_with(&self, domain: &str) -> Vec<Pair> {
        let routes = self.remotes.get(domain).into_iter().flat_map(|remote| remote.routes.keys());
        routes.map(|local| Pair::new(local.clone(), domain)).collect()
    }

    /// Puts the time at which the first of what waits for a domain has waited long enough into the queue.
    pub(super) fn arm_remote(&mut self, domain: &str) {
        let Some(remote) = self.remotes.get_mut(domain) else { return };
        let Some(at) = remote.deadline() else { return };
        if remote.armed.is_none_or(|armed| at < armed) {
            remote.armed = Some(at);
            self.timers.set(at, Due::Waiting(domain.into()));
        }
    }

    /// Forgets a domain that there is nothing with.
    pub(super) fn tidy(&mut self, domain: &str) {
        if self.remotes.get(domain).is_some_and(Remote::is_idle) {
            self.remotes.remove(domain);
        }
    }
}
