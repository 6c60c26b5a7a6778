//! SIP events: RFC 6665, for both ends of a subscription, and RFC 3515: a REFER makes one, too.
//!
//! A subscription has a dialog for itself, or shares that of a session (RFC 5057): there [`Sessions::share`](crate::invite::Sessions::share) gives the
//! dialog. Such a one is never stored, and whoever ends the session ends it: [`Subscriptions::close`] or [`Subscriptions::forget`].
//!
//! The engine owns all subscriptions of its shard. It does by itself what follows from the RFC alone, and asks the layer above where a
//! decision, a content or the disk is needed: see [`Event`]. One call, then [`Subscriptions::poll`] until it gives nothing.
//!
//! Our own requests go through a window: so many are under way at once, at most one of each usage, and who finds no place waits in line.
//! Bodies are never kept: when a NOTIFY can go out, and not before, the layer above is asked what it says, so changes in
//! between become one.

mod naming;
mod notifier;
mod refer;
mod stored;
mod subscriber;
#[cfg(test)]
mod tests;
mod usage;
mod value;

pub use usage::{Role, Usage, UsageState};
pub use value::{Body, By, Change, Config, Counts, Event, Kind, Reason, Refused, State, Subscribe, UsageId};

use crate::agent::{ClientId, Failure, Flow, ServerId};
use crate::dialog::Dialog;
use crate::ground::{Cause, Ground, respond};
use crate::header::{Name, NameAddr};
use crate::message::{Request, Response};
use crate::method::Method;
use base::{HashKey, Table, Time, Tokens};
use notifier::Arrival;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;
use usage::{Entry, Part, Ready, Wish};

/// The package of what REFERs ask for: RFC 3515 §3.1. Where [`Config::packages`] lacks it REFERs get 405.
pub const REFER: &str = "refer";
/// The option tags of what the engine understands: an agent's Supported lists them where `refer` is a package (RFC 4488 §4).
pub const SUPPORTED: [&str; 1] = ["norefersub"];

/// How long nothing is sent after the agent had no room for a request of ours.
const STALL: Duration = Duration::from_millis(500);
/// How often the layer above is asked again for a save that it owes.
const SAVE_AGAIN: Duration = Duration::from_secs(30);
/// How many usages may share one dialog, the session included.
const MAX_SHARING: usize = 32;
/// Tickets begin in the middle: whoever comes back to the line goes before its first.
const FIRST_TICKET: u64 = 1 << 62;
/// All subscriptions, those we made and those made with us.
#[derive(Debug)]
pub struct Subscriptions {
    config: Config,
    key: HashKey,
    /// Boxed, as a table has room for more than it holds.
    usages: Table<UsageId, Box<Entry>>,
    last: u64,
    /// By Call-ID, our tag and the other one, ours that have no dialog yet by an empty one; where dialogs are shared, by more.
    dialogs: Table<u128, UsageId>,
    /// Requests of ours under way.
    clients: Table<ClientId, UsageId>,
    /// Requests that wait for the layer above.
    servers: Table<ServerId, UsageId>,
    /// How many usages were made from an address.
    sources: Table<IpAddr, usize>,
    /// The next deadline of each usage. A set and no heap, as a subscription for a day may end in a second, and then nothing of it stays.
    due: BTreeSet<(Time, UsageId)>,
    /// Who waits for a place in the window, by ticket.
    line: BTreeMap<u64, UsageId>,
    last_ticket: u64,
    outstanding: usize,
    /// The agent was full: nothing is sent before this.
    stalled: Option<Time>,
    /// The moment of the last call that said one.
    now: Time,
    events: VecDeque<Event>,
    counts: Counts,
}

impl Subscriptions {
    /// An engine without subscriptions.
    pub fn new(config: Config, tokens: &mut Tokens) -> Subscriptions {
        let config = config.sound();
        let key = HashKey::new(tokens.u64(), tokens.u64());
        Subscriptions {
            config,
            key,
            usages: Table::new(key),
            last: 0,
            dialogs: Table::new(key),
            clients: Table::new(key),
            servers: Table::new(key),
            sources: Table::new(key),
            due: BTreeSet::new(),
            line: BTreeMap::new(),
            last_ticket: FIRST_TICKET,
            outstanding: 0,
            stalled: None,
            now: Time::ZERO,
            events: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// A SUBSCRIBE, REFER or NOTIFY came, in a dialog or not. `contact` is ours should this become a dialog; a NOTIFY needs none. One in the
    /// dialog of a session, of which no usage is known yet, belongs to nothing here: see [`Subscriptions::request_in`].
    pub fn request(
        &mut self,
        ground: &mut Ground<'_>,
        server: ServerId,
        request: Request,
        flow: Flow,
        contact: &NameAddr,
    ) {
        self.came(ground, Arrival { server, request, flow, contact, shared: None });
    }

    /// A SUBSCRIBE, REFER or NOTIFY came in a session: `dialog` is the session's, shared, and `contact` is ours in it. It is of a usage of that
    /// dialog, or makes another one; several are told apart by package and id. At most 32 may share a dialog.
    pub fn request_in(
        &mut self,
        ground: &mut Ground<'_>,
        server: ServerId,
        request: Request,
        flow: Flow,
        contact: &NameAddr,
        dialog: Dialog,
    ) {
        self.came(ground, Arrival { server, request, flow, contact, shared: Some(dialog) });
    }

    fn came(&mut self, ground: &mut Ground<'_>, arrival: Arrival<'_>) {
        self.now = ground.now;
        match arrival.request.method {
            Method::Subscribe => self.subscribe_came(ground, arrival),
            Method::Notify => self.notify_came(ground, arrival.server, arrival.request),
            Method::Refer if self.package(REFER).is_some() => self.refer_came(ground, arrival),
            _ => {
                let allow = ground.agent.allow();
                respond(ground, arrival.server, Response::new(405, ""), &[(Name::Allow, &allow)]);
            }
        }
        self.pump(ground);
    }

    /// A response came. `false` if it is to no request of the engine's.
    pub fn response(&mut self, ground: &mut Ground<'_>, client: ClientId, response: &Response) -> bool {
        self.now = ground.now;
        // RFC 3261 §8.1.3: a provisional response means that another one will come, and no more.
        if response.is_provisional() {
            return self.clients.contains(&client);
        }
        let Some(id) = self.clients.remove(&client) else { return false };
        if let Some(entry) = self.usages.get_mut(&id) {
            entry.number = entry.dialog.follow(response).map_or(entry.number, |number| number.max(entry.number));
        }
        match self.finish(id) {
            Some(Role::Subscriber) => self.subscribe_answered(ground, id, response),
            Some(Role::Notifier) => self.notify_answered(ground, id, response),
            None => {}
        }
        self.pump(ground);
        true
    }

    /// A request ended without a response. `false` if it is none of the engine's.
    pub fn failed(&mut self, ground: &mut Ground<'_>, client: ClientId, why: Failure) -> bool {
        self.now = ground.now;
        let Some(id) = self.clients.remove(&client) else { return false };
        match self.finish(id) {
            Some(Role::Subscriber) => self.subscribe_failed(ground, id, Cause::from(why)),
            Some(Role::Notifier) => self.notify_failed(ground, id, why),
            None => {}
        }
        self.pump(ground);
        true
    }

    /// Nobody waits for the answer to this request any more. `false` if the engine does not know it.
    pub fn cancelled(&mut self, server: ServerId) -> bool {
        let Some(id) = self.servers.remove(&server) else { return false };
        let Some(entry) = self.usages.get_mut(&id) else { return true };
        let package = entry.package;
        match entry.take(server) {
            Some(Wish::Watch { kind: Kind::New | Kind::Fetch | Kind::Refer, .. }) => {
                self.end(id, Event::WatcherGone { id, package, cause: Cause::Timeout });
            }
            Some(Wish::Notify { last: true }) => self.end(id, Event::Ended { id, package }),
            Some(Wish::Watch { .. } | Wish::Notify { last: false }) | None => {}
        }
        true
    }

    /// Lets pass what is due.
    pub fn timeout(&mut self, ground: &mut Ground<'_>) {
        self.now = ground.now;
        if self.stalled.is_some_and(|at| at <= ground.now) {
            self.stalled = None;
        }
        while let Some((at, id)) = self.due.first().copied().filter(|(at, _)| *at <= ground.now) {
            self.due.remove(&(at, id));
            let Some(entry) = self.usages.get_mut(&id) else { continue };
            entry.queued = None;
            match entry.role() {
                Role::Subscriber => self.subscriber_due(id),
                Role::Notifier => self.notifier_due(id),
            }
            self.settle(id);
        }
        self.pump(ground);
    }

    /// When [`Subscriptions::timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Time> {
        if self.has_room() && !self.line.is_empty() {
            // Not earlier than now: what is long overdue looks like a process that stood still.
            return Some(self.now);
        }
        [self.due.first().map(|(at, _)| *at), self.stalled].into_iter().flatten().min()
    }

    /// The next event.
    pub fn poll(&mut self) -> Option<Event> {
        loop {
            let Some(event) = self.events.pop_front() else {
                if self.events.capacity() > 4096 {
                    self.events = VecDeque::new();
                }
                if !self.offer_next() {
                    return None;
                }
                continue;
            };
            match &event {
                // What a usage wants is of no interest once it was forgotten.
                Event::Save { id, .. } => match self.usages.get_mut(id) {
                    Some(entry) => entry.save_waits = false,
                    None => continue,
                },
                Event::Wanted { id, .. }
                | Event::Lapsed { id, .. }
                | Event::RefreshDue { id, .. }
                | Event::Accepted { id, .. } => {
                    if !self.usages.contains(id) {
                        continue;
                    }
                }
                Event::Watch { .. }
                | Event::Notify { .. }
                | Event::WatcherGone { .. }
                | Event::Ended { .. }
                | Event::Refused { .. }
                | Event::Expired { .. } => {}
            }
            return Some(event);
        }
    }

    /// Drops a usage without a word to anybody: later requests in its dialog get 481. Requests of it that came up still want an answer.
    pub fn forget(&mut self, id: UsageId) {
        self.remove(id);
    }

    /// How many usages there are.
    pub fn len(&self) -> usize {
        self.usages.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.usages.is_empty()
    }

    /// The dialog of a usage; without the other side's tag if it has not answered yet.
    pub fn dialog(&self, id: UsageId) -> Option<&Dialog> {
        self.usages.get(&id).map(|entry| &entry.dialog)
    }

    /// How far a usage has come.
    pub fn state(&self, id: UsageId) -> Option<UsageState> {
        self.usages.get(&id).map(|entry| entry.state)
    }

    /// When a usage runs out, if that is known.
    pub fn expires_at(&self, id: UsageId) -> Option<Time> {
        self.usages.get(&id).and_then(|entry| entry.expires_at)
    }

    /// The counts.
    pub fn counts(&self) -> Counts {
        Counts {
            notifiers: self.usages.len() - self.counts.subscribers,
            outstanding: self.outstanding,
            waiting: self.line.len(),
            ..self.counts
        }
    }

    /// Takes new bounds and times. The packages stay what they are, and what was granted was granted.
    pub fn reconfigure(&mut self, config: &Config) {
        let packages = std::mem::take(&mut self.config.packages);
        self.config = Config { packages, ..config.clone().sound() };
    }

    /// The package of this name, if it is understood.
    fn package(&self, name: &str) -> Option<&'static str> {
        self.config.packages.iter().copied().find(|package| *package == name)
    }

    fn insert(&mut self, entry: Entry) -> UsageId {
        self.last += 1;
        let id = UsageId(self.last);
        match &entry.part {
            Part::Subscriber(_) => self.counts.subscribers += 1,
            Part::Notifier(part) => {
                if let Some(source) = part.source {
                    self.sources.count_up(source);
                }
            }
        }
        self.usages.insert(id, Box::new(entry));
        self.name(id);
        id
    }

    /// Takes a usage out of every table.
    fn remove(&mut self, id: UsageId) {
        let Some(entry) = self.usages.remove(&id) else { return };
        self.unname(id, &entry);
        if let Some(at) = entry.queued {
            self.due.remove(&(at, id));
        }
        if let Some(ticket) = entry.ticket {
            self.line.remove(&ticket);
        }
        if let Some(client) = entry.client {
            self.clients.remove(&client);
        }
        self.outstanding -= usize::from(entry.holds);
        for unanswered in &entry.unanswered {
            self.servers.remove(&unanswered.server);
        }
        match &entry.part {
            Part::Subscriber(_) => self.counts.subscribers -= 1,
            Part::Notifier(part) => {
                if let Some(source) = part.source {
                    self.sources.count_down(&source);
                }
            }
        }
    }

    /// Ends a usage, and says so.
    fn end(&mut self, id: UsageId, event: Event) {
        self.remove(id);
        self.events.push_back(event);
    }

    /// The request of a usage has ended: its place is free.
    fn finish(&mut self, id: UsageId) -> Option<Role> {
        let entry = self.usages.get_mut(&id)?;
        entry.client = None;
        self.outstanding -= usize::from(entry.holds);
        entry.holds = false;
        Some(entry.role())
    }

    /// After whatever happened to a usage: it enters the line or leaves it, and its deadline is set.
    fn settle(&mut self, id: UsageId) {
        let Some(entry) = self.usages.get_mut(&id) else { return };
        let ready = entry.ready(self.now, &self.config);
        match (ready, entry.ticket) {
            (Ready::Now, None) => {
                self.last_ticket += 1;
                entry.ticket = Some(self.last_ticket);
                self.line.insert(self.last_ticket, id);
            }
            (Ready::Never | Ready::At(_), Some(ticket)) => {
                entry.ticket = None;
                self.line.remove(&ticket);
            }
            (Ready::Now, Some(_)) | (Ready::Never | Ready::At(_), None) => {}
        }
        let save = entry.wants_save(&self.config) && entry.save_again <= self.now;
        if save {
            entry.save_again = self.now + SAVE_AGAIN;
        }
        let deadline = entry.deadline(ready, &self.config);
        if entry.queued != deadline {
            if let Some(at) = entry.queued {
                self.due.remove(&(at, id));
            }
            if let Some(at) = deadline {
                self.due.insert((at, id));
            }
            entry.queued = deadline;
        }
        if save {
            self.save(id);
        }
    }

    fn has_room(&self) -> bool {
        self.outstanding < self.config.max_outstanding && self.stalled.is_none()
    }

    /// Sends what there is room for, or asks for it.
    fn pump(&mut self, ground: &mut Ground<'_>) {
        while self.has_room() {
            let Some((_, id)) = self.line.pop_first() else { return };
            let Some(entry) = self.usages.get_mut(&id) else { continue };
            entry.ticket = None;
            match entry.role() {
                Role::Subscriber => self.send_subscribe(ground, id),
                Role::Notifier => self.offer(id),
            }
        }
    }

    /// Asks for the NOTIFY of who is first in line, if there is room. A SUBSCRIBE that is first in line is sent by the next call with an
    /// agent in its hands, for which the deadline is at once.
    fn offer_next(&mut self) -> bool {
        let Some(first) = self.line.first_entry().map(|first| *first.get()).filter(|_| self.has_room()) else {
            return false;
        };
        match self.usages.get_mut(&first) {
            Some(entry) if entry.role() == Role::Notifier => {
                entry.ticket = None;
                self.line.pop_first();
                self.offer(first);
                true
            }
            Some(_) | None => false,
        }
    }

    /// The agent had no room: the usage goes back to the front of the line, and nothing is sent for a moment.
    fn stall(&mut self, id: UsageId) {
        self.stalled = Some(self.now + STALL);
        let first = self.line.first_key_value().map_or(self.last_ticket, |(ticket, _)| *ticket);
        if let Some(entry) = self.usages.get_mut(&id) {
            entry.ticket = Some(first - 1);
            self.line.insert(first - 1, id);
        }
        self.settle(id);
    }

    /// Has the layer above answer a request.
    fn wait_for_answer(&mut self, id: UsageId, server: ServerId, wish: Wish) {
        if let Some(entry) = self.usages.get_mut(&id) {
            entry.unanswered.push(usage::Unanswered { server, wish });
            self.servers.insert(server, id);
        }
    }

    /// RFC 6665 §8.3.2: 489 says which packages there are.
    fn refuse_event(&mut self, ground: &mut Ground<'_>, server: ServerId) {
        self.counts.bad_event += 1;
        let packages = self.config.packages.join(", ");
        respond(ground, server, Response::new(489, ""), &[(Name::AllowEvents, &packages)]);
    }

    /// 503 with Retry-After.
    fn refuse_full(&mut self, ground: &mut Ground<'_>, server: ServerId) {
        self.counts.overload += 1;
        let seconds = base::format_compact!("{}", self.config.retry_after);
        respond(ground, server, Response::new(503, ""), &[(Name::RetryAfter, &seconds)]);
    }

    /// RFC 3261 §12.2.2
    fn refuse_disorder(&mut self, ground: &mut Ground<'_>, server: ServerId) {
        self.counts.out_of_order += 1;
        respond(ground, server, Response::new(500, "CSeq Out Of Order"), &[]);
    }

    /// RFC 6665 §4.5.2
    fn refuse_sharing(&mut self, ground: &mut Ground<'_>, server: ServerId) {
        respond(ground, server, Response::new(403, "Dialog Sharing Not Supported"), &[]);
    }

    fn refuse_stray(&mut self, ground: &mut Ground<'_>, server: ServerId) {
        self.counts.stray += 1;
        respond(ground, server, Response::new(481, ""), &[]);
    }
}

/// RFC 6665 §4.1.2.2, §4.2.2: the refusals that end a subscription; the others are about the one request.
fn destroys(code: u16) -> bool {
    matches!(code, 404 | 405 | 410 | 416 | 480..=485 | 489 | 501 | 604)
}
