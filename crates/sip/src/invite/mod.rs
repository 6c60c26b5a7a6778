//! Sessions: RFC 3261 §9 and §12 to §15 with RFC 6026, and what they negotiate with: RFC 3262 (reliable provisional responses), RFC 3264
//! (one offer at a time), RFC 3311 (UPDATE), RFC 4028 (session timers), RFC 6086 (INFO).
//!
//! The engine owns all INVITE dialogs of its shard. It does by itself what follows from the RFCs alone: ACK, PRACK, what is sent again, glare,
//! forks, redirections, races of CANCEL and BYE, refreshes, and the BYE of whatever nobody acknowledges or answers. The layer above
//! decides on INVITEs, offers and answers: see [`Event`]. Bodies are octets. One call, then [`Sessions::poll`] until it gives nothing.

mod callee;
mod caller;
mod entry;
mod exchange;
mod farewell;
mod infos;
mod refresh;
mod reliable;
#[cfg(test)]
mod tests;
mod value;

pub use infos::Info;
pub use value::{Body, Config, Counts, Ended, Event, InfoId, Infos, Invite, NotSent, Refused, SessionId};

use crate::agent::{ClientId, Failure, Flow, ServerId};
use crate::dialog::{Dialog, name, name_of};
use crate::ground::{Ground, respond};
use crate::header::{Name, NameAddr};
use crate::message::{Request, Response};
use crate::method::Method;
use base::{HashKey, Table, Time, Tokens};
use caller::Tail;
use entry::{Entry, Purpose, State};
use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

/// The option tags of what the engine understands: an agent's Supported lists them.
pub const SUPPORTED: [&str; 2] = ["100rel", "timer"];

/// How long nothing is sent after the agent had no room for a request of ours.
const STALL: Duration = Duration::from_millis(500);

/// What is due at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Session(SessionId),
    Tail(ClientId),
}

/// All sessions, those we began and those that others began with us.
#[derive(Debug)]
pub struct Sessions {
    config: Config,
    key: HashKey,
    /// Boxed, as a table has room for more than it holds.
    entries: Table<SessionId, Box<Entry>>,
    last: u64,
    /// By Call-ID, our tag and the other one; an INVITE of ours by each fork that a reliable response made.
    dialogs: Table<u128, SessionId>,
    /// Requests of ours under way.
    clients: Table<ClientId, (SessionId, Purpose)>,
    /// Requests that wait for the layer above, and INVITEs that wait for their ACK.
    servers: Table<ServerId, SessionId>,
    /// INVITEs of ours to which further 2xx may come.
    tails: Table<ClientId, Box<Tail>>,
    /// How many sessions were begun from an address.
    sources: Table<IpAddr, usize>,
    /// The next deadline of each session. A set and no heap, as a session timer of an hour may end in a second, and then nothing of it stays.
    due: BTreeSet<(Time, Due)>,
    /// Who waits to say BYE.
    line: VecDeque<SessionId>,
    byes: usize,
    /// Sessions that are over.
    ending: usize,
    /// The agent was full: no BYE is sent before this.
    stalled: Option<Time>,
    /// The moment of the last call that said one.
    now: Time,
    events: VecDeque<Event>,
    counts: Counts,
}

impl Sessions {
    /// An engine without sessions.
    pub fn new(config: Config, tokens: &mut Tokens) -> Sessions {
        let key = HashKey::new(tokens.u64(), tokens.u64());
        Sessions {
            config: config.sound(),
            key,
            entries: Table::new(key),
            last: 0,
            dialogs: Table::new(key),
            clients: Table::new(key),
            servers: Table::new(key),
            tails: Table::new(key),
            sources: Table::new(key),
            due: BTreeSet::new(),
            line: VecDeque::new(),
            byes: 0,
            ending: 0,
            stalled: None,
            now: Time::ZERO,
            events: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// Takes new bounds and times. What is under way goes on as it began.
    pub fn reconfigure(&mut self, config: &Config) {
        self.config = config.clone().sound();
    }

    /// An INVITE, in a dialog or not, or a BYE, UPDATE, PRACK or INFO came. `contact` is ours should this become a dialog. What belongs to no
    /// dialog gets 481, any other method 405: SUBSCRIBE, NOTIFY and REFER in the dialog are for
    /// [`Subscriptions`](crate::subscription::Subscriptions).
    pub fn request(
        &mut self,
        ground: &mut Ground<'_>,
        server: ServerId,
        request: Request,
        flow: Flow,
        contact: &NameAddr,
    ) {
        self.now = ground.now;
        match request.method {
            Method::Invite if request.headers.to_tag().is_none() => {
                self.invited(ground, server, request, flow, contact);
            }
            Method::Invite | Method::Bye | Method::Update | Method::Prack | Method::Info => {
                self.request_in_dialog(ground, server, request);
            }
            _ => {
                let allow = ground.agent.allow();
                respond(ground, server, Response::new(405, ""), &[(Name::Allow, &allow)]);
            }
        }
        self.pump(ground);
    }

    fn request_in_dialog(&mut self, ground: &mut Ground<'_>, server: ServerId, request: Request) {
        let found = self.find(&request).filter(|id| self.entries.contains(id));
        let Some(id) = found else { return self.refuse_stray(ground, server) };
        if !self.take_number(id, &request) {
            self.counts.out_of_order += 1;
            return respond(ground, server, Response::new(500, "CSeq Out Of Order"), &[]);
        }
        let over = self.entries.get(&id).is_none_or(|entry| entry.over);
        match request.method {
            Method::Bye => self.bye_came(ground, id, server, request),
            _ if over => self.refuse_stray(ground, server),
            Method::Invite => self.invited_again(ground, id, server, &request),
            Method::Update => self.update_came(ground, id, server, &request),
            Method::Prack => self.prack_came(ground, id, server, &request),
            _ => self.info_came(ground, id, server, request),
        }
        self.settle(id);
    }

    /// RFC 3261 §12.2.2: each dialog has its own order; an early one of an INVITE of ours is told from the others by its tag.
    fn take_number(&mut self, id: SessionId, request: &Request) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        let Ok(cseq) = request.headers.cseq() else { return false };
        let theirs = request.headers.from_tag().unwrap_or_default();
        let fork = entry.call.as_mut().and_then(|call| call.fork_mut(theirs));
        fork.map_or(&mut entry.dialog, |fork| &mut fork.dialog).take_cseq(cseq.number)
    }

    /// The ACK for a 2xx of ours came.
    #[expect(clippy::needless_pass_by_value, reason = "every input is handed over")]
    pub fn acked(&mut self, ground: &mut Ground<'_>, server: ServerId, ack: Request) {
        self.now = ground.now;
        if let Some(&id) = self.servers.get(&server) {
            self.ack_came(ground, id, server, &ack);
            self.settle(id);
        }
        self.pump(ground);
    }

    /// Nobody waits for the answer to this request any more; `reason` is a CANCEL's. `false` if the engine does not know it.
    pub fn cancelled(&mut self, ground: &mut Ground<'_>, server: ServerId, reason: Option<base::Str>) -> bool {
        self.now = ground.now;
        let Some(&id) = self.servers.get(&server) else { return false };
        self.cancel_came(ground, id, server, reason);
        self.settle(id);
        self.pump(ground);
        true
    }

    /// A response came. `false` if it is to no request of the engine's.
    pub fn response(&mut self, ground: &mut Ground<'_>, client: ClientId, response: &Response) -> bool {
        self.now = ground.now;
        let Some(&(id, purpose)) = self.clients.get(&client) else {
            let known = self.tails.contains(&client);
            if known {
                self.answered_again(ground, client, response);
                self.pump(ground);
            }
            return known;
        };
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.follow(client, response);
        }
        if !response.is_provisional() {
            self.finish(client, purpose);
        }
        match purpose {
            Purpose::Invite => self.call_answered(ground, id, client, response),
            Purpose::Change => self.change_answered(ground, id, client, response),
            Purpose::Info => self.info_answered(ground, id, client, response),
            Purpose::Bye if !response.is_provisional() => self.bye_answered(id, response),
            Purpose::Bye | Purpose::Prack => {}
        }
        self.settle(id);
        self.pump(ground);
        true
    }

    /// A request ended without a response. `false` if it is none of the engine's.
    pub fn failed(&mut self, ground: &mut Ground<'_>, client: ClientId, why: Failure) -> bool {
        self.now = ground.now;
        let Some(&(id, purpose)) = self.clients.get(&client) else { return false };
        self.finish(client, purpose);
        match purpose {
            Purpose::Invite => self.call_failed(ground, id, why.into()),
            Purpose::Change => self.change_failed(ground, id, why),
            Purpose::Info => self.info_failed(ground, id, client, why),
            Purpose::Bye => self.bye_failed(ground, id, why),
            Purpose::Prack => {}
        }
        self.settle(id);
        self.pump(ground);
        true
    }

    /// Lets pass what is due.
    pub fn timeout(&mut self, ground: &mut Ground<'_>) {
        self.now = ground.now;
        if self.stalled.is_some_and(|at| at <= ground.now) {
            self.stalled = None;
        }
        while let Some((at, due)) = self.due.first().copied().filter(|(at, _)| *at <= ground.now) {
            self.due.remove(&(at, due));
            match due {
                Due::Tail(client) => drop(self.tails.remove(&client)),
                Due::Session(id) => {
                    if let Some(entry) = self.entries.get_mut(&id) {
                        entry.queued = None;
                    }
                    self.call_due(ground, id);
                    self.theirs_due(ground, id);
                    self.change_due(ground, id);
                    self.info_due(ground, id);
                    self.timer_due(ground, id);
                    self.farewell_due(id);
                    self.settle(id);
                }
            }
        }
        self.pump(ground);
    }

    /// When [`Sessions::timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Time> {
        let stalled = self.stalled.filter(|_| !self.line.is_empty());
        [self.due.first().map(|(at, _)| *at), stalled].into_iter().flatten().min()
    }

    /// The next event.
    pub fn poll(&mut self) -> Option<Event> {
        let next = self.events.pop_front();
        if self.events.is_empty() && self.events.capacity() > 4096 {
            self.events = VecDeque::new();
        }
        next
    }

    /// The counts.
    pub fn counts(&self) -> Counts {
        Counts { sessions: self.entries.len() - self.ending, ending: self.ending, byes: self.byes, ..self.counts }
    }

    /// The session that a request within a dialog is about, if there is one: it has the dialog's Call-ID and both its tags.
    pub fn find(&self, request: &Request) -> Option<SessionId> {
        let headers = &request.headers;
        let call_id = headers.get(Name::CallId).unwrap_or_default();
        let (ours, theirs) = (headers.to_tag()?, headers.from_tag().unwrap_or_default());
        self.dialogs.get(&name_of(&self.key, call_id, ours, theirs)).copied()
    }

    /// The dialog of a session; without the other side's tag as long as no 2xx has come to our INVITE.
    pub fn dialog(&self, id: SessionId) -> Option<&Dialog> {
        self.entries.get(&id).map(|entry| &entry.dialog)
    }

    /// Our Contact from now on, in what we say of this session: that of a focus has another parameter (RFC 4579 §5.1).
    pub fn set_contact(&mut self, id: SessionId, contact: &NameAddr) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.contact = base::format_compact!("{contact}");
        }
    }

    /// RFC 5057 §3: the dialog of a session for another usage in it, a subscription: see [`Dialog::share`]. `None` if the other side's tag is not
    /// known yet, or the session is over. What the other usage says in it after the session's end is said behind the BYE.
    pub fn share(&mut self, id: SessionId) -> Option<Dialog> {
        let entry = self.entries.get_mut(&id).filter(|entry| !entry.over && !entry.dialog.remote_tag.is_empty())?;
        Some(entry.dialog.share())
    }

    /// Our Contact in a session: that of other usages of its dialog is the same.
    pub fn contact(&self, id: SessionId) -> Option<NameAddr> {
        self.entries.get(&id).and_then(|entry| NameAddr::parse(&entry.contact).ok())
    }

    fn insert(&mut self, entry: Entry) -> SessionId {
        self.last += 1;
        let id = SessionId(self.last);
        if entry.state != State::Calling {
            self.dialogs.insert(name(&self.key, &entry.dialog), id);
        }
        if let Some(source) = entry.source {
            self.sources.count_up(source);
        }
        self.ending += usize::from(entry.over);
        self.entries.insert(id, Box::new(entry));
        id
    }

    /// Takes a session out of every table.
    fn remove(&mut self, id: SessionId) {
        let Some(entry) = self.entries.remove(&id) else { return };
        self.ending -= usize::from(entry.over);
        let own = name(&self.key, &entry.dialog);
        if self.dialogs.get(&own) == Some(&id) {
            self.dialogs.remove(&own);
        }
        if let Some(at) = entry.queued {
            self.due.remove(&(at, Due::Session(id)));
        }
        if let Some(source) = entry.source {
            self.sources.count_down(&source);
        }
    }

    /// A request of ours has ended.
    fn finish(&mut self, client: ClientId, purpose: Purpose) {
        self.clients.remove(&client);
        match purpose {
            Purpose::Bye => self.byes -= 1,
            Purpose::Invite | Purpose::Change | Purpose::Prack | Purpose::Info => {}
        }
    }

    /// Tells the last event of a session. What was asked of the layer above is not asked any more (RFC 3261 §15.1.2).
    fn end(&mut self, ground: &mut Ground<'_>, id: SessionId, event: Event) {
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.over) else { return };
        entry.over = true;
        entry.own = None;
        entry.timer = refresh::SessionTimer::default();
        self.ending += 1;
        self.events.push_back(event);
        self.drop_asked(ground, id, 487);
        self.drop_infos(ground, id);
    }

    /// An offer that waits for the layer above is refused.
    fn drop_asked(&mut self, ground: &mut Ground<'_>, id: SessionId, code: u16) {
        let asked = self.entries.get_mut(&id).and_then(|entry| entry.asked.take());
        if let Some(server) = asked.and_then(|asked| asked.server()) {
            self.servers.remove(&server);
            let headers: &[_] = if code == 500 { &[(Name::RetryAfter, "1")] } else { &[] };
            respond(ground, server, Response::new(code, ""), headers);
        }
    }

    /// After whatever happened to a session: its deadline is set, or it is forgotten.
    fn settle(&mut self, id: SessionId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.is_finished() {
            return self.remove(id);
        }
        let deadline = entry.deadline();
        if entry.queued != deadline {
            if let Some(at) = entry.queued {
                self.due.remove(&(at, Due::Session(id)));
            }
            if let Some(at) = deadline {
                self.due.insert((at, Due::Session(id)));
            }
            entry.queued = deadline;
        }
    }

    /// 503 with Retry-After.
    fn refuse_full(&mut self, ground: &mut Ground<'_>, server: ServerId) {
        self.counts.overload += 1;
        let seconds = base::format_compact!("{}", self.config.retry_after);
        respond(ground, server, Response::new(503, ""), &[(Name::RetryAfter, &seconds)]);
    }

    fn refuse_stray(&mut self, ground: &mut Ground<'_>, server: ServerId) {
        self.counts.stray += 1;
        respond(ground, server, Response::new(481, ""), &[]);
    }

    /// RFC 3261 §14.2, RFC 3311 §5.2: one of theirs waits already. 500, and a moment of chance to come again.
    fn refuse_busy(&mut self, ground: &mut Ground<'_>, server: ServerId) {
        let seconds = base::format_compact!("{}", ground.tokens.below(11));
        respond(ground, server, Response::new(500, "Request Pending"), &[(Name::RetryAfter, &seconds)]);
    }

    /// RFC 3261 §14.2, RFC 3311 §5.2: one of ours is under way.
    fn refuse_glare(&mut self, ground: &mut Ground<'_>, server: ServerId) {
        self.counts.glare += 1;
        respond(ground, server, Response::new(491, ""), &[]);
    }
}
