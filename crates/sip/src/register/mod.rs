//! Registration at somebody else's registrar: the user agent's side of RFC 3261 §10.2, with RFC 3608 and RFC 5626.
//!
//! The engine owns all registrations of its shard. One is opened and closed by the layer above; in between the engine keeps it registered: it
//! refreshes in time, asks for longer where the registrar wants that, and tries again after a while, which grows, where it fails. Challenges are
//! answered by the agent, with the account that the hop names. What will not pass by itself is not tried again: credentials that were
//! refused, and a 403; unless they were good before, which says that the fault is not in them.
//!
//! One call, then [`Registrations::poll`] until it gives nothing.

mod entry;
mod value;

#[cfg(test)]
mod tests;

pub use value::{Binding, Config, Counts, Event, Granted, Outbound, RegistrationId, Status, Why};

use crate::agent::{ClientId, Failure, Hop, Refused, Target};
use crate::ground::Floor;
use crate::message::Response;
use base::{HashKey, Table, Time};
use entry::{Entry, Form};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// The longest wait after a failure: RFC 5626 §4.5.
const LONGEST: Duration = Duration::from_secs(1800);
/// The wait after a refusal that does not pass by itself, of what was accepted before.
const HOPE: Duration = Duration::from_secs(3600);
/// The longest Retry-After that is heeded.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 3600);
/// A flow that has lasted for so long was a good one (RFC 5626 §4.5: until an answer to a keep-alive, which are at most so far apart): what is lost
/// then is replaced at once, and not after a wait.
const LASTING: Duration = Duration::from_secs(120);
/// Within this, in milliseconds, so that not all who have lost the same server come back in one moment.
const AT_ONCE: u64 = 2000;
/// How long nothing is sent after the agent had no room for a request of ours.
const STALL: Duration = Duration::from_millis(500);

/// All registrations.
#[derive(Debug)]
pub struct Registrations {
    config: Config,
    /// Boxed, as a table has room for more than it holds.
    entries: Table<RegistrationId, Box<Entry>>,
    last: u64,
    clients: Table<ClientId, RegistrationId>,
    /// When something is to be done about whom. Who has a request under way is not in it.
    due: BTreeSet<(Time, RegistrationId)>,
    /// The agent was full: nothing is sent before this.
    stalled: Option<Time>,
    events: VecDeque<Event>,
    counts: Counts,
}

impl Registrations {
    /// An engine without registrations; `key` is secret.
    pub fn new(config: Config, key: HashKey) -> Registrations {
        Registrations {
            config,
            entries: Table::new(key),
            last: 0,
            clients: Table::new(key),
            due: BTreeSet::new(),
            stalled: None,
            events: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// The counts.
    pub fn counts(&self) -> Counts {
        Counts { open: self.entries.len(), ..self.counts }
    }

    /// Registers, and keeps it so. `None` if there are too many.
    pub fn open(&mut self, ground: &mut Floor<'_>, binding: Binding) -> Option<RegistrationId> {
        if self.entries.len() >= self.config.max {
            return None;
        }
        self.last += 1;
        let id = RegistrationId(self.last);
        self.entries.insert(id, Box::new(Entry::new(binding, self.config.max_expires, ground.tokens)));
        self.attempt_at(id, ground.now);
        self.pump(ground);
        Some(id)
    }

    /// Ends a registration: where there may be one, the registrar is told (RFC 3261 §10.2.2). [`Event::Ended`] comes in any case.
    pub fn close(&mut self, ground: &mut Floor<'_>, id: RegistrationId) {
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.leaving) else { return };
        entry.leaving = true;
        self.attempt_at(id, ground.now);
        self.pump(ground);
    }

    /// Ends a registration without a word to the registrar, and without an event: another one with the same contact has taken its place, say.
    pub fn forget(&mut self, id: RegistrationId) {
        let Some(entry) = self.entries.remove(&id) else { return };
        if let Some(due) = entry.due {
            self.due.remove(&(due, id));
        }
        self.counts.registered -= usize::from(entry.until.is_some());
    }

    /// Tries again now, whatever has failed before: the password is another one, say.
    pub fn retry(&mut self, ground: &mut Floor<'_>, id: RegistrationId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.failures = 0;
        self.attempt_at(id, ground.now);
        self.pump(ground);
    }

    /// A request goes out to this target, for the first time or once more: whoever registers by RFC 5626 is found by the connection that leads there.
    pub fn sent(&mut self, client: ClientId, target: &Target) {
        let Some(id) = self.clients.get(&client.request()) else { return };
        let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.outbound) else { return };
        if entry.flow.as_ref() != Some(target) {
            entry.flow = target.transport.reliable().then(|| target.clone());
            entry.flow_since = None;
        }
    }

    /// The connection that leads to this target is gone, and with it the ways to us that were registered over it: they are registered anew, over
    /// another one (RFC 5626 §4.5). Where it was there for long that is tried at once, or else after a wait that doubles each time.
    pub fn flow_lost(&mut self, ground: &mut Floor<'_>, target: &Target) {
        for id in self.entries.keys_sorted() {
            let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.flow.as_ref() == Some(target)) else {
                continue;
            };
            entry.flow = None;
            let since = entry.flow_since.take();
            entry.adrift = entry.until.is_some();
            // What is under way fails by itself, and what is not registered has its time already.
            if entry.client.is_some() || entry.leaving || !entry.adrift {
                continue;
            }
            if since.is_some_and(|since| ground.now.since(since) >= LASTING) {
                entry.brief = 0;
                let again = ground.now + Duration::from_millis(ground.tokens.below(AT_ONCE));
                self.trouble(id, Why::FlowLost, Some(again));
            } else {
                entry.failures = entry.brief;
                entry.brief = entry.brief.saturating_add(1);
                self.failure(ground, id, Why::FlowLost, Again::After(Duration::ZERO));
            }
        }
        self.pump(ground);
    }

    /// How one stands.
    pub fn status(&self, id: RegistrationId) -> Option<Status<'_>> {
        let entry = self.entries.get(&id)?;
        let trouble = entry.trouble.as_ref().map(|why| (why, entry.next));
        Some(Status { until: entry.until.filter(|_| !entry.adrift), granted: &entry.granted, trouble })
    }

    /// A final response came. `false` if it is to no request of the engine's.
    pub fn response(&mut self, ground: &mut Floor<'_>, client: ClientId, response: &Response) -> bool {
        let Some((id, form)) = self.finish(client) else { return false };
        if let Some(entry) = self.entries.get_mut(&id) {
            // Attempts with credentials have numbers of their own.
            entry.cseq = response.headers.cseq().map_or(entry.cseq, |cseq| cseq.number.max(entry.cseq));
        }
        match form {
            Form::Leave => self.end(id),
            Form::Register if response.is_success() => self.accepted(ground, id, response),
            Form::Register => self.refused(ground, id, response),
        }
        self.pump(ground);
        true
    }

    /// A request ended without a response. `false` if it is none of the engine's.
    pub fn failed(&mut self, ground: &mut Floor<'_>, client: ClientId, why: Failure) -> bool {
        let Some((id, form)) = self.finish(client) else { return false };
        match form {
            Form::Leave => self.end(id),
            Form::Register => {
                let why = match why {
                    Failure::Timeout => Why::Timeout,
                    Failure::Transport | Failure::Nowhere | Failure::Unknown => Why::Transport,
                };
                self.failure(ground, id, why, Again::After(Duration::ZERO));
            }
        }
        self.pump(ground);
        true
    }

    /// Lets pass what is due.
    pub fn timeout(&mut self, ground: &mut Floor<'_>) {
        if self.stalled.is_some_and(|at| at <= ground.now) {
            self.stalled = None;
        }
        self.pump(ground);
    }

    /// When [`Registrations::timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Time> {
        if self.clients.len() >= self.config.max_outstanding.max(1) {
            return None;
        }
        self.stalled.or(self.due.first().map(|(at, _)| *at))
    }

    /// The next event.
    pub fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn finish(&mut self, client: ClientId) -> Option<(RegistrationId, Form)> {
        let id = self.clients.remove(&client)?;
        let (_, form) = self.entries.get_mut(&id)?.client.take()?;
        Some((id, form))
    }

    /// The next attempt is made then, unless one is under way, whose end says what comes next.
    fn attempt_at(&mut self, id: RegistrationId, at: Time) {
        if let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.client.is_none()) {
            entry.next = Some(at);
            self.queue(id);
        }
    }

    /// Puts it where the next thing that happens to it by itself is: an attempt, or its end.
    fn queue(&mut self, id: RegistrationId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if let Some(old) = entry.due.take() {
            self.due.remove(&(old, id));
        }
        if entry.client.is_none() {
            entry.due = [entry.next, entry.until].into_iter().flatten().min();
            self.due.extend(entry.due.map(|at| (at, id)));
        }
    }

    fn end(&mut self, id: RegistrationId) {
        if let Some(entry) = self.entries.remove(&id) {
            if let Some(due) = entry.due {
                self.due.remove(&(due, id));
            }
            self.counts.registered -= usize::from(entry.until.is_some());
            self.events.push_back(Event::Ended { id });
        }
    }

    fn accepted(&mut self, ground: &mut Floor<'_>, id: RegistrationId, response: &Response) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some((seconds, granted)) = entry.read(response) else {
            return self.failure(ground, id, Why::NotThere, Again::After(Duration::ZERO));
        };
        let news = entry.until.is_none() || entry.trouble.is_some() || entry.granted != granted;
        self.counts.registered += usize::from(entry.until.is_none());
        entry.until = Some(ground.now + Duration::from_secs(seconds.into()));
        (entry.granted, entry.trouble, entry.failures) = (granted, None, 0);
        (entry.proven, entry.lengthened, entry.adrift) = (true, false, false);
        entry.flow_since = entry.flow_since.or(entry.flow.as_ref().map(|_| ground.now));
        // Not all at one time, and early enough for another attempt to succeed: at 70 to 85 % of it.
        let refresh = u64::from(seconds) * (700 + ground.tokens.below(150));
        let next = if entry.leaving { ground.now } else { ground.now + Duration::from_millis(refresh) };
        if news {
            self.events.push_back(Event::Registered { id });
        }
        self.attempt_at(id, next);
    }

    fn refused(&mut self, ground: &mut Floor<'_>, id: RegistrationId, response: &Response) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let longer = response.headers.min_expires().ok().flatten().unwrap_or(0);
        let why = Why::Refused { code: response.code, reason: entry::words(&response.reason) };
        match response.code {
            423 if !entry.lengthened && longer > entry.expires && longer <= self.config.max_expires => {
                (entry.expires, entry.lengthened) = (longer, true);
                self.attempt_at(id, ground.now);
            }
            423 => self.failure(ground, id, Why::TooBrief, Again::Hardly),
            // RFC 5626 §4.2.1: whoever is in between cannot keep flows apart.
            439 if entry.outbound => {
                entry.outbound = false;
                self.attempt_at(id, ground.now);
            }
            401 | 407 => {
                let account = match &entry.binding.hop {
                    Hop::Place(place) => place.account,
                    Hop::Target(_) | Hop::Fork(_) => None,
                };
                let fault = account.and_then(|account| ground.agent.wallet().fault(account));
                self.failure(ground, id, fault.map_or(why, Why::Credentials), Again::Hardly);
            }
            403 => self.failure(ground, id, why, Again::Hardly),
            _ => {
                let asked = crate::ground::retry_after(response).map_or(0, u64::from);
                self.failure(ground, id, why, Again::After(Duration::from_secs(asked).min(LONGEST_ASKED)));
            }
        }
    }

    fn failure(&mut self, ground: &mut Floor<'_>, id: RegistrationId, why: Why, again: Again) {
        self.counts.failures += 1;
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let wait = match again {
            // What is to end is not tried again, but taken back where it may be there.
            _ if entry.leaving => Some(Duration::ZERO),
            Again::After(least) => {
                // RFC 5626 §4.5: half to all of a time that doubles.
                let base = entry.binding.retry.max(Duration::from_secs(1));
                let most = base.saturating_mul(1 << entry.failures.min(16)).min(LONGEST);
                let jitter = ground.tokens.below(most.as_millis() as u64 / 2 + 1);
                Some((most / 2 + Duration::from_millis(jitter)).max(least))
            }
            Again::Hardly => entry.proven.then_some(HOPE),
        };
        entry.failures = entry.failures.saturating_add(1);
        let again = wait.map(|wait| ground.now + wait);
        self.trouble(id, why, again);
    }

    /// Tells of a failure, and when the next attempt is made.
    fn trouble(&mut self, id: RegistrationId, why: Why, again: Option<Time>) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.next = again;
        entry.trouble = Some(why.clone());
        self.events.push_back(Event::Failed { id, why, again });
        self.queue(id);
    }

    /// Does what is due, as far as there is room.
    fn pump(&mut self, ground: &mut Floor<'_>) {
        while self.stalled.is_none()
            && self.clients.len() < self.config.max_outstanding.max(1)
            && let Some((_, id)) = self.due.first().copied().filter(|(at, _)| *at <= ground.now)
        {
            self.act(ground, id);
        }
    }

    fn act(&mut self, ground: &mut Floor<'_>, id: RegistrationId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.until.is_some_and(|until| until <= ground.now) {
            entry.until = None;
            self.counts.registered -= 1;
            self.events.push_back(Event::Failed { id, why: Why::Expired, again: entry.next });
        }
        if entry.next.is_none_or(|next| next > ground.now) {
            return self.queue(id);
        }
        let form = if entry.leaving { Form::Leave } else { Form::Register };
        // What was never accepted need not be taken back.
        if form == Form::Leave && entry.until.is_none() {
            return self.end(id);
        }
        let request = entry.request(ground.tokens, form);
        match ground.agent.request(ground.now, request, &entry.binding.hop, None) {
            Ok(client) => {
                (entry.client, entry.next) = (Some((client, form)), None);
                self.clients.insert(client, id);
                self.counts.requests += 1;
                self.queue(id);
            }
            Err(Refused::Full) => self.stalled = Some(ground.now + STALL),
            Err(Refused::NoTransport | Refused::Method) if form == Form::Leave => self.end(id),
            Err(Refused::NoTransport | Refused::Method) => {
                self.failure(ground, id, Why::Transport, Again::After(Duration::ZERO));
            }
        }
    }
}

/// Whether a failure passes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    /// It may; not before this.
    After(Duration),
    /// Only if it was accepted before.
    Hardly,
}
