//! Publication of event state: RFC 3903, in the role of the event publication agent.
//!
//! The engine owns all publications of its shard. One says what is true of one address; the layer above says that it has changed
//! ([`Publications::touch`]) or is no more ([`Publications::close`]), and the engine brings that to the compositor: it creates, refreshes,
//! modifies and removes (§4.1, table 1), one request at a time for each publication (§4.1), as often as the pace allows, and again after a
//! while where that fails. What is not refreshed expires by itself, so nothing has to be kept.
//!
//! Documents are never kept either: when one can go out, and not before, the layer above is asked for it, so changes in between become one.
//! One call, then [`Publications::poll`] until it gives nothing.

#[cfg(test)]
mod tests;

use crate::agent::{Agent, ClientId, Hop, Refused};
use crate::header::{CSeq, Name, RetryAfter};
use crate::lex::{self, TOKEN};
use crate::message::{Request, Response};
use crate::method::Method;
use crate::subscription::Body;
use crate::uri::Uri;
use base::{HashKey, Str, Table, Time, Tokens};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// The first wait after a failure; it doubles each time, up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(30);
/// The longest such wait, and the one after a refusal that will not pass by itself.
const LONGEST: Duration = Duration::from_secs(3600);
/// The longest Retry-After that is heeded.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 3600);
/// How long nothing is sent after the agent had no room for a request of ours.
const STALL: Duration = Duration::from_millis(500);
/// The greatest sequence number there is (RFC 3261 §8.1.1.5).
const LAST_CSEQ: u32 = (1 << 31) - 1;
/// The characters of our tags and Call-IDs: 80 and 130 random bits.
const TAG: usize = 16;
const CALL_ID: usize = 26;

/// Names a publication. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicationId(u64);

/// The bounds.
#[derive(Debug, Clone)]
pub struct Config {
    /// How many publications there may be; beyond, [`Publications::open`] gives none.
    pub max: usize,
    /// How many requests may be under way at once; the rest waits in line.
    pub max_outstanding: usize,
    /// The longest Expires that a 423 makes us ask for, in seconds.
    pub max_expires: u32,
    /// How long after a request of a publication the next one goes out at the earliest; only a removal does not wait.
    pub interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config { max: 100_000, max_outstanding: 64, max_expires: 86_400, interval: Duration::from_secs(5) }
    }
}

/// The way to the compositor.
#[derive(Debug, Clone)]
pub struct Way {
    /// The next hop.
    pub hop: Hop,
    /// The Route that leads through it, as a name-addr.
    pub route: Option<Str>,
}

/// What the engine acts with.
#[derive(Debug)]
pub struct Ground<'a> {
    /// The time.
    pub now: Time,
    /// What carries requests.
    pub agent: &'a mut Agent,
    /// The way, if there is one.
    pub way: Option<Way>,
    /// Unguessable tokens.
    pub tokens: &'a mut Tokens,
}

/// What a PUBLISH does: §4.1, table 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    /// §4.2: with a body, for no publication there is.
    Initial,
    /// §4.3: without a body, for the one there is.
    Refresh,
    /// §4.4: with a body, for the one there is.
    Modify,
    /// §4.5: without a body, with an Expires of 0.
    Remove,
}

/// What the layer above is asked, or told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A document can go out: give it with [`Publications::publish`], or say with [`Publications::skip`] that there is none now.
    Wanted {
        /// The publication.
        id: PublicationId,
    },
    /// It will expire unless it is refreshed: [`Publications::refresh`] does that, nothing lets it lapse. When it has lapsed, a document
    /// is wanted.
    RefreshDue {
        /// The publication.
        id: PublicationId,
    },
    /// It was to be removed, and is no more.
    Ended {
        /// The publication.
        id: PublicationId,
    },
}

/// Counts since the start, and at the end how many publications there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests.
    pub requests: u64,
    /// Requests that were refused or had no answer, but for those that a 412 or a 423 made us repeat in another form.
    pub failures: u64,
    /// Publications.
    pub open: usize,
}

#[derive(Debug)]
struct Entry {
    package: &'static str,
    /// Request-URI, From and To (§4.1: the resource whose state it is).
    address: Uri,
    call_id: Str,
    cseq: u32,
    /// The Expires to ask for, and whether a 423 has made it longer since the last success.
    expires: u32,
    lengthened: bool,
    /// It is to be removed.
    closing: bool,
    /// What is published is not what is true.
    changed: bool,
    /// The layer above wants it refreshed.
    refresh: bool,
    /// What names the publication at the compositor, as long as there is one.
    etag: Option<Str>,
    refresh_at: Option<Time>,
    expires_at: Option<Time>,
    /// Nothing is sent before: a failure.
    not_before: Time,
    /// Nothing but a removal is sent before: the pace.
    paced: Time,
    failures: u32,
    client: Option<(ClientId, Operation)>,
    /// The layer above was asked for a document, and has not answered.
    offered: bool,
    /// It is in line.
    waits: bool,
    /// Its place in the queue of deadlines.
    queued: Option<Time>,
}

/// All publications.
#[derive(Debug)]
pub struct Publications {
    config: Config,
    /// Boxed, as a table has room for more than it holds.
    entries: Table<PublicationId, Box<Entry>>,
    last: u64,
    clients: Table<ClientId, PublicationId>,
    due: BTreeSet<(Time, PublicationId)>,
    /// Who waits for a place in the window.
    line: VecDeque<PublicationId>,
    /// Requests under way, and documents that were asked for.
    outstanding: usize,
    /// The agent was full: nothing is sent before this.
    stalled: Option<Time>,
    events: VecDeque<Event>,
    counts: Counts,
}

impl Publications {
    /// An engine without publications; `key` is secret.
    pub fn new(config: Config, key: HashKey) -> Publications {
        Publications {
            config,
            entries: Table::new(key),
            last: 0,
            clients: Table::new(key),
            due: BTreeSet::new(),
            line: VecDeque::new(),
            outstanding: 0,
            stalled: None,
            events: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// The counts.
    pub fn counts(&self) -> Counts {
        Counts { open: self.entries.len(), ..self.counts }
    }

    /// A publication about `address`, of which nothing is published before [`Publications::touch`]. `None` if there are too many.
    pub fn open(
        &mut self,
        ground: &mut Ground<'_>,
        package: &'static str,
        address: Uri,
        expires: u32,
    ) -> Option<PublicationId> {
        if self.entries.len() >= self.config.max {
            return None;
        }
        self.last += 1;
        let id = PublicationId(self.last);
        let entry = Entry {
            package,
            address,
            call_id: ground.tokens.token(CALL_ID),
            cseq: 0,
            expires: expires.clamp(1, self.config.max_expires.max(1)),
            lengthened: false,
            closing: false,
            changed: false,
            refresh: false,
            etag: None,
            refresh_at: None,
            expires_at: None,
            not_before: Time::ZERO,
            paced: Time::ZERO,
            failures: 0,
            client: None,
            offered: false,
            waits: false,
            queued: None,
        };
        self.entries.insert(id, Box::new(entry));
        Some(id)
    }

    /// The state has changed. One that was to be removed is to stay.
    pub fn touch(&mut self, ground: &mut Ground<'_>, id: PublicationId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        (entry.changed, entry.closing) = (true, false);
        self.settle(ground.now, id);
        self.pump(ground);
    }

    /// There is no state any more: what is published is to be removed (§4.5).
    pub fn close(&mut self, ground: &mut Ground<'_>, id: PublicationId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        (entry.changed, entry.refresh, entry.closing) = (false, false, true);
        self.settle(ground.now, id);
        self.pump(ground);
    }

    /// The document that was wanted: §4.2, §4.4.
    pub fn publish(&mut self, ground: &mut Ground<'_>, id: PublicationId, body: Body<'_>) {
        if self.answered(id) {
            if let Some(entry) = self.entries.get(&id).filter(|entry| !entry.closing) {
                let operation = if entry.etag.is_some() { Operation::Modify } else { Operation::Initial };
                self.send(ground, id, operation, Some(body));
            }
            self.settle(ground.now, id);
        }
        self.pump(ground);
    }

    /// There is no document now. The next one is wanted when the state changes.
    pub fn skip(&mut self, ground: &mut Ground<'_>, id: PublicationId) {
        if self.answered(id) {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.changed = false;
            }
            self.settle(ground.now, id);
        }
        self.pump(ground);
    }

    /// Refreshes: §4.3.
    pub fn refresh(&mut self, ground: &mut Ground<'_>, id: PublicationId) {
        if let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.etag.is_some() && !entry.closing) {
            entry.refresh = true;
            self.settle(ground.now, id);
        }
        self.pump(ground);
    }

    /// A final response came. `false` if it is to no request of the engine's.
    pub fn response(&mut self, ground: &mut Ground<'_>, client: ClientId, response: &Response) -> bool {
        let Some((id, operation)) = self.finish(client) else { return false };
        if let (Some(entry), Ok(cseq)) = (self.entries.get_mut(&id), response.headers.cseq()) {
            // With credentials it took another number.
            entry.cseq = entry.cseq.max(cseq.number.min(LAST_CSEQ));
        }
        if response.is_success() {
            self.accepted(ground, id, operation, response);
        } else {
            self.refused(ground, id, operation, response);
        }
        self.settle(ground.now, id);
        self.pump(ground);
        true
    }

    /// A request ended without a response. `false` if it is none of the engine's.
    pub fn failed(&mut self, ground: &mut Ground<'_>, client: ClientId) -> bool {
        let Some((id, operation)) = self.finish(client) else { return false };
        self.failure(ground, id, operation, Duration::ZERO);
        self.settle(ground.now, id);
        self.pump(ground);
        true
    }

    /// Lets pass what is due.
    pub fn timeout(&mut self, ground: &mut Ground<'_>) {
        if self.stalled.is_some_and(|at| at <= ground.now) {
            self.stalled = None;
        }
        while let Some((at, id)) = self.due.first().copied().filter(|(at, _)| *at <= ground.now) {
            self.due.remove(&(at, id));
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.queued = None;
            }
            self.settle(ground.now, id);
        }
        self.pump(ground);
    }

    /// When [`Publications::timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Time> {
        [self.due.first().map(|(at, _)| *at), self.stalled].into_iter().flatten().min()
    }

    /// The next event.
    pub fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// A document was asked for, and here is the answer. Tells whether that was so.
    fn answered(&mut self, id: PublicationId) -> bool {
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.offered) else { return false };
        entry.offered = false;
        self.outstanding -= 1;
        true
    }

    fn finish(&mut self, client: ClientId) -> Option<(PublicationId, Operation)> {
        let id = self.clients.remove(&client)?;
        self.outstanding -= 1;
        let (_, operation) = self.entries.get_mut(&id)?.client.take()?;
        Some((id, operation))
    }

    fn accepted(&mut self, ground: &mut Ground<'_>, id: PublicationId, operation: Operation, response: &Response) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        (entry.failures, entry.lengthened) = (0, false);
        // §6: each 2xx names the publication anew, and the old name is void (§4.3).
        let etag = response.headers.get(Name::SipETag).map(str::trim);
        let etag = etag.filter(|etag| !etag.is_empty() && etag.bytes().all(|b| lex::is(b, TOKEN)));
        // The compositor may lower it, and never extends it (§4.2).
        let granted = response.headers.expires().ok().flatten().unwrap_or(entry.expires).min(entry.expires);
        if operation == Operation::Remove || granted == 0 {
            (entry.etag, entry.expires_at, entry.refresh_at) = (None, None, None);
            return;
        }
        entry.etag = etag.map(Str::new);
        entry.expires_at = Some(ground.now + Duration::from_secs(granted.into()));
        // Not all at one time: at 70 to 90 % of it.
        let part = u64::from(granted) * (700 + ground.tokens.below(200));
        entry.refresh_at = Some(ground.now + Duration::from_millis(part));
    }

    fn refused(&mut self, ground: &mut Ground<'_>, id: PublicationId, operation: Operation, response: &Response) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let least = response.headers.min_expires().ok().flatten().unwrap_or(0);
        match (response.code, operation) {
            // §5: the name is void, and what is true is published anew.
            (412, Operation::Refresh | Operation::Modify | Operation::Remove) => {
                (entry.etag, entry.expires_at, entry.refresh_at) = (None, None, None);
                (entry.refresh, entry.changed) = (false, !entry.closing);
                // It is no second publication but the first in another form.
                entry.paced = ground.now;
            }
            // §5: once more, for longer.
            (423, Operation::Initial | Operation::Refresh | Operation::Modify)
                if !entry.lengthened && least > entry.expires && least <= self.config.max_expires =>
            {
                (entry.expires, entry.lengthened) = (least, true);
                entry.paced = ground.now;
                entry.repeat(operation);
            }
            (code, _) => {
                let asked = response.headers.get(Name::RetryAfter).and_then(|value| RetryAfter::parse(value).ok());
                let asked = asked.map_or(Duration::ZERO, |value| Duration::from_secs(value.seconds.into()));
                let least = if will_pass(code) { asked.min(LONGEST_ASKED) } else { LONGEST };
                self.failure(ground, id, operation, least);
            }
        }
    }

    /// It is tried again after a while, which grows. A removal is not: what it was to remove expires.
    fn failure(&mut self, ground: &mut Ground<'_>, id: PublicationId, operation: Operation, least: Duration) {
        self.counts.failures += 1;
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let wait = FIRST.saturating_mul(1 << entry.failures.min(7)).min(LONGEST).max(least);
        entry.failures = entry.failures.saturating_add(1);
        let jitter = ground.tokens.below(wait.as_millis() as u64 / 4 + 1);
        entry.not_before = ground.now + wait + Duration::from_millis(jitter);
        if operation == Operation::Remove {
            (entry.etag, entry.expires_at, entry.refresh_at) = (None, None, None);
        }
        entry.repeat(operation);
    }

    /// Looks what is to be done about a publication, and when.
    fn settle(&mut self, now: Time, id: PublicationId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if let Some(at) = entry.queued.take() {
            self.due.remove(&(at, id));
        }
        if entry.client.is_some() || entry.waits || entry.offered {
            return;
        }
        if entry.expires_at.is_some_and(|at| at <= now) {
            (entry.etag, entry.expires_at, entry.refresh_at) = (None, None, None);
            (entry.refresh, entry.changed) = (false, !entry.closing);
        }
        if entry.closing && entry.etag.is_none() {
            self.entries.remove(&id);
            self.events.push_back(Event::Ended { id });
            return;
        }
        if entry.refresh_at.is_some_and(|at| at <= now) {
            entry.refresh_at = None;
            // What has no name cannot be refreshed, only published again.
            if entry.etag.is_none() {
                entry.changed = true;
            } else if !entry.changed && !entry.closing {
                self.events.push_back(Event::RefreshDue { id });
            }
        }
        let next = match (entry.closing, entry.changed || entry.refresh) {
            (true, _) => Some(entry.not_before),
            (false, true) => Some(entry.not_before.max(entry.paced)),
            (false, false) => None,
        };
        if next.is_some_and(|at| at <= now) {
            entry.waits = true;
            self.line.push_back(id);
            return;
        }
        let refresh_at = entry.refresh_at.filter(|_| !entry.closing);
        entry.queued = [next, refresh_at, entry.expires_at].into_iter().flatten().min();
        self.due.extend(entry.queued.map(|at| (at, id)));
    }

    /// Lets go those at the front of the line, as far as there is room.
    fn pump(&mut self, ground: &mut Ground<'_>) {
        while self.stalled.is_none() && self.outstanding < self.config.max_outstanding {
            let Some(id) = self.line.pop_front() else { return };
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            entry.waits = false;
            match (entry.closing, entry.changed) {
                (true, _) if entry.etag.is_some() => self.send(ground, id, Operation::Remove, None),
                (false, true) => {
                    entry.offered = true;
                    self.outstanding += 1;
                    self.events.push_back(Event::Wanted { id });
                }
                (false, false) if entry.refresh => self.send(ground, id, Operation::Refresh, None),
                (true | false, _) => {}
            }
            self.settle(ground.now, id);
        }
    }

    fn send(&mut self, ground: &mut Ground<'_>, id: PublicationId, operation: Operation, body: Option<Body<'_>>) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(way) = &ground.way else { return self.failure(ground, id, operation, Duration::ZERO) };
        let request = entry.request(ground.tokens, way, operation, body);
        match ground.agent.request(ground.now, request, &way.hop, None) {
            Ok(client) => {
                (entry.changed, entry.refresh, entry.refresh_at) = (false, false, None);
                entry.paced = ground.now + self.config.interval;
                entry.client = Some((client, operation));
                self.clients.insert(client, id);
                self.outstanding += 1;
                self.counts.requests += 1;
            }
            Err(Refused::Full) => {
                entry.waits = true;
                self.line.push_front(id);
                self.stalled = Some(ground.now + STALL);
            }
            Err(Refused::NoTransport | Refused::Method) => self.failure(ground, id, operation, Duration::ZERO),
        }
    }
}

impl Entry {
    /// What this was to do is still to be done.
    fn repeat(&mut self, operation: Operation) {
        match operation {
            Operation::Initial | Operation::Modify => self.changed |= !self.closing,
            Operation::Refresh => self.refresh = !self.closing,
            Operation::Remove => {}
        }
    }

    fn request(&mut self, tokens: &mut Tokens, way: &Way, operation: Operation, body: Option<Body<'_>>) -> Request {
        if self.cseq >= LAST_CSEQ {
            (self.cseq, self.call_id) = (0, tokens.token(CALL_ID));
        }
        self.cseq += 1;
        let mut request = Request::new(Method::Publish, self.address.clone());
        let headers = &mut request.headers;
        headers.push(Name::MaxForwards, 70);
        if let Some(route) = &way.route {
            headers.push(Name::Route, route);
        }
        headers.push(Name::From, format_args!("<{}>;tag={}", self.address, tokens.token(TAG)));
        headers.push(Name::To, format_args!("<{}>", self.address));
        headers.push(Name::CallId, &self.call_id);
        headers.push(Name::CSeq, CSeq { number: self.cseq, method: Method::Publish });
        headers.push(Name::Event, self.package);
        let removes = operation == Operation::Remove;
        headers.push(Name::Expires, if removes { 0 } else { self.expires });
        if let Some(etag) = self.etag.as_ref().filter(|_| operation != Operation::Initial) {
            headers.push(Name::SipIfMatch, etag);
        }
        if let Some(body) = body {
            headers.push(Name::ContentType, body.content_type);
            if let Some(language) = body.language {
                headers.push(Name::ContentLanguage, language);
            }
            request.body = body.content;
        }
        request
    }
}

/// Whether a refusal may be another one in a minute: the compositor is busy, or somebody on the way is. All others stay until somebody
/// changes something there (there is no such compositor, no such user, no such package, or it wants a password), or here.
fn will_pass(code: u16) -> bool {
    matches!(code, 408 | 480 | 500 | 502..=504 | 600)
}
