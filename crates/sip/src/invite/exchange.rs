//! Offers and answers within a session: RFC 3261 §14, RFC 3264 §4, RFC 3311. One at a time, and glare is settled by chance.

use super::Sessions;
use super::callee::allows_update;
use super::caller::{MAX_BRIEF, Tail};
use super::entry::{Purpose, Sent, State, acknowledgement, attach, send};
use super::refresh::{Ask, min_se};
use super::value::{Body, Ended, Event, SessionId};
use crate::agent::{ClientId, Failure, ServerId};
use crate::dialog;
use crate::ground::{Cause, Ground, respond, retry_after};
use crate::header::{Headers, Name};
use crate::message::{Request, Response};
use crate::method::Method;
use base::{Str, Time, ToCompactString};
use std::time::Duration;

/// How often an offer that meets one of theirs is made again.
const MAX_GLARE: u8 = 10;
/// An offer that the agent has no room for is made again after this and as much again by chance.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// An offer that waits for the layer above, and where its answer goes.
#[derive(Debug, Clone)]
pub(super) enum Asked {
    /// To an UPDATE, which says this of the session timer.
    Update(ServerId, Ask),
    /// To a PRACK.
    Prack(ServerId),
    /// Into the PRACK for this response (its RSeq) of this fork.
    Reliable(Str, u32),
}

impl Asked {
    /// The request that it came with.
    pub(super) fn server(&self) -> Option<ServerId> {
        match self {
            Asked::Update(server, _) | Asked::Prack(server) => Some(*server),
            Asked::Reliable(..) => None,
        }
    }
}

/// A re-INVITE or UPDATE of ours.
#[derive(Debug)]
pub(super) struct Change {
    /// Its transaction; none while it waits.
    pub(super) client: Option<ClientId>,
    method: Method,
    pub(super) number: u32,
    /// The offer; none in an UPDATE that only refreshes.
    body: Option<Body>,
    /// Whether the layer above knows of it.
    asked_for: bool,
    /// The session timer that it asked for, and the least that somebody demands.
    interval: u32,
    least: u32,
    glares: u8,
    briefs: u8,
    /// Not before this; of one under way: not longer.
    at: Option<Time>,
    /// The RSeq of the last reliable response, and the answer that one had.
    pub(super) heard: Option<u32>,
    pub(super) early: Option<Body>,
    /// The offer that follows.
    next: Option<Body>,
}

impl Change {
    fn new(method: Method, body: Option<Body>, asked_for: bool) -> Change {
        Change {
            client: None,
            method,
            number: 0,
            body,
            asked_for,
            interval: 0,
            least: 0,
            glares: 0,
            briefs: 0,
            at: None,
            heard: None,
            early: None,
            next: None,
        }
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.at
    }

    /// Whether it is under way, and an offer or an INVITE.
    pub(super) fn is_exchange(&self) -> bool {
        self.client.is_some() && (self.body.is_some() || self.method == Method::Invite)
    }
}

impl Sessions {
    /// Makes an offer in a session that stands, by re-INVITE: [`Event::Answered`] or [`Event::OfferRefused`] follows, unless the
    /// session ends. It waits for whatever is under way; of several that wait the last one counts, and the others are never heard of.
    /// Glare is settled by the engine (RFC 3261 §14.1).
    pub fn offer(&mut self, ground: &mut Ground<'_>, id: SessionId, body: Body) {
        self.now = ground.now;
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.over) else { return };
        match &mut entry.change {
            Some(change) if change.client.is_some() => change.next = Some(body),
            Some(change) => {
                change.method = Method::Invite;
                change.body = Some(body);
                change.asked_for = true;
            }
            None => entry.change = Some(Box::new(Change::new(Method::Invite, Some(body), true))),
        }
        self.try_change(ground, id);
        self.settle(id);
    }

    /// Takes back an offer of ours that is not on its way: it waits for its turn, or to be made again after glare. Whether there was one; then
    /// nothing more is heard of it.
    pub fn withdraw(&mut self, id: SessionId) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        let waits = entry.change.take_if(|change| change.client.is_none() && change.asked_for).is_some();
        self.settle(id);
        waits
    }

    /// What a refresh by re-INVITE offers from now on in place of our last offer or answer, which may not do as an offer. Nothing happens
    /// where no refresh will say it.
    pub fn refresh_with(&mut self, id: SessionId, body: Body) {
        if let Some(own) = self.entries.get_mut(&id).and_then(|entry| entry.own.as_mut()) {
            **own = body;
        }
    }

    /// Answers [`Event::Offered`]: with the answer, or with our offer if it had none.
    pub fn answer(&mut self, ground: &mut Ground<'_>, id: SessionId, body: Body) {
        self.now = ground.now;
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.over) else { return };
        match entry.asked.clone() {
            Some(Asked::Reliable(..)) => self.answer_prack(ground, id, Some(body)),
            Some(asked @ (Asked::Update(server, _) | Asked::Prack(server))) => {
                entry.asked = None;
                entry.keep(Some(&body));
                self.servers.remove(&server);
                let mut response = Response::new(200, "");
                if let Asked::Update(_, ask) = asked {
                    entry.introduce(ground, &mut response.headers);
                    entry.take_infos(&mut response.headers);
                    self.grant(ground, id, ask, &mut response.headers);
                }
                response.headers.push(Name::ContentType, &body.content_type);
                response.body = body.content;
                respond(ground, server, response, &[]);
                self.try_change(ground, id);
            }
            None => {
                let again = entry.theirs.as_ref().is_some_and(|theirs| !theirs.first && !theirs.is_accepted());
                if again {
                    self.accept_now(ground, id, &[], Some(body));
                }
            }
        }
        self.settle(id);
    }

    /// Refuses what [`Event::Offered`] offers; the session goes on as it was. A 2xx or less becomes 488.
    pub fn reject(&mut self, ground: &mut Ground<'_>, id: SessionId, mut response: Response) {
        self.now = ground.now;
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.over) else { return };
        if response.code < 300 {
            response = Response::new(488, "");
        }
        match entry.asked.clone() {
            // A PRACK cannot refuse, and the response is acknowledged all the same.
            Some(Asked::Reliable(..)) => self.answer_prack(ground, id, None),
            Some(Asked::Update(server, _) | Asked::Prack(server)) => {
                entry.asked = None;
                entry.drop_infos();
                self.servers.remove(&server);
                respond(ground, server, response, &[]);
            }
            None if entry.theirs.as_ref().is_some_and(|theirs| !theirs.first) => {
                self.refuse_theirs(ground, id, response);
            }
            None => {}
        }
        self.try_change(ground, id);
        self.settle(id);
    }

    /// An UPDATE: RFC 3311 §5.2. One without an offer refreshes the session and the target.
    pub(super) fn update_came(&mut self, ground: &mut Ground<'_>, id: SessionId, server: ServerId, request: &Request) {
        self.counts.changes_in += 1;
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let body = Body::of(&request.headers, &request.body);
        if body.is_some() {
            let theirs = entry.theirs.as_ref();
            let early = entry.call.as_ref().is_some_and(|call| !call.settled);
            if entry.asked.is_some() || theirs.is_some_and(|theirs| theirs.wants_answer()) {
                return self.refuse_busy(ground, server);
            }
            let ours = entry.change.as_ref().is_some_and(|change| change.is_exchange());
            let unanswered = theirs.is_some_and(|theirs| theirs.owes_answer()) || entry.unacknowledged.is_some();
            // An INVITE without an offer wants ours before there may be another one.
            let unmade = theirs.is_some_and(|theirs| theirs.wants_offer());
            if ours || early || unanswered || unmade {
                return self.refuse_glare(ground, server);
            }
        }
        let target = match dialog::contact(&request.headers) {
            Ok(target) => target,
            Err(fault) => return respond(ground, server, Response::new(400, &fault.to_compact_string()), &[]),
        };
        let ask = Ask::of(&request.headers);
        if self.refuse_brief(ground, server, ask) {
            return;
        }
        let from = request.headers.from_tag().unwrap_or_default();
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if request.headers.contains(Name::Allow) {
            entry.peer_updates = allows_update(&request.headers);
        }
        if let Some(target) = target {
            let fork = entry.call.as_mut().and_then(|call| call.fork_mut(from));
            fork.map_or(&mut entry.dialog, |fork| &mut fork.dialog).refresh_target(target);
        }
        entry.hear_infos(&request.headers);
        if body.is_some() {
            entry.asked = Some(Asked::Update(server, ask));
            self.servers.insert(server, id);
            self.events.push_back(Event::Offered { id, body });
            return;
        }
        let mut response = Response::new(200, "");
        entry.introduce(ground, &mut response.headers);
        entry.take_infos(&mut response.headers);
        self.grant(ground, id, ask, &mut response.headers);
        respond(ground, server, response, &[]);
    }

    /// Refreshes the session (RFC 4028 §7.4): by UPDATE, or by a re-INVITE that offers what holds already.
    pub(super) fn refresh(&mut self, ground: &mut Ground<'_>, id: SessionId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let change = match (&entry.own, entry.peer_updates) {
            (_, true) | (None, false) => Change::new(Method::Update, None, false),
            (Some(own), false) => Change::new(Method::Invite, Some(own.as_ref().clone()), false),
        };
        entry.change = Some(Box::new(change));
        self.try_change(ground, id);
    }

    /// Sends the change that waits, if nothing is in its way, and what else does.
    pub(super) fn try_change(&mut self, ground: &mut Ground<'_>, id: SessionId) {
        self.try_info(ground, id);
        let ring_for = self.config.ring_for;
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.over) else { return };
        let busy = entry.state != State::Confirmed || entry.is_inviting() || entry.asked.is_some();
        let Some(mut change) = entry
            .change
            .take_if(|change| !busy && change.client.is_none() && change.at.is_none_or(|at| at <= ground.now))
        else {
            return;
        };
        let mut headers = Headers::new();
        entry.introduce(ground, &mut headers);
        let interval = super::refresh::ask(&self.config, entry.timer, change.least, &mut headers);
        let body = change.body.clone();
        let sent = send(ground, &mut entry.dialog, change.method.clone(), |request| {
            headers.iter().for_each(|(name, value)| request.headers.push(name, value));
            attach(request, body);
        });
        (change.at, change.interval) = (None, interval);
        match sent {
            Sent::Now(client) => {
                self.counts.changes_out += 1;
                self.clients.insert(client, (id, Purpose::Change));
                change.client = Some(client);
                change.number = entry.dialog.local_cseq();
                (change.heard, change.early) = (None, None);
                change.at = (change.method == Method::Invite).then(|| ground.now + ring_for);
                entry.change = Some(change);
            }
            Sent::Full => {
                let jitter = Duration::from_micros(ground.tokens.below(PAUSE.as_micros() as u64));
                change.at = Some(ground.now + PAUSE + jitter);
                entry.change = Some(change);
            }
            Sent::NoWay => {
                entry.change = Some(change);
                self.change_refused(ground, id, Cause::NoWay);
            }
        }
    }

    /// Something of a change is due.
    pub(super) fn change_due(&mut self, ground: &mut Ground<'_>, id: SessionId) {
        let Some(change) = self.entries.get_mut(&id).and_then(|entry| entry.change.as_mut()) else { return };
        if change.at.is_none_or(|at| at > ground.now) {
            return;
        }
        match change.client {
            // A re-INVITE that nobody answers for good.
            Some(client) => {
                change.at = None;
                ground.agent.cancel(ground.now, client, &[]);
            }
            None => {
                change.at = None;
                self.try_change(ground, id);
            }
        }
    }

    /// The session is over: what waits never was, and a re-INVITE under way is cancelled, so that it ends.
    pub(super) fn cancel_change(&mut self, ground: &mut Ground<'_>, id: SessionId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(change) = &mut entry.change else { return };
        change.at = None;
        match change.client.filter(|_| change.method == Method::Invite) {
            Some(client) => ground.agent.cancel(ground.now, client, &[]),
            // An UPDATE ends by itself, and nobody waits for its answer.
            None => entry.change = None,
        }
    }

    /// A response to a change.
    pub(super) fn change_answered(&mut self, ground: &mut Ground<'_>, id: SessionId, client: ClientId, of: &Response) {
        if of.is_provisional() {
            return self.acknowledge_again(ground, id, client, of);
        }
        if of.is_success() {
            return self.change_accepted(ground, id, client, of);
        }
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let caller = entry.caller;
        let Some(change) = entry.change.as_mut().filter(|change| change.client == Some(client)) else { return };
        change.client = None;
        change.at = None;
        let overtaken = entry.dialog.overtook(change.number, of);
        if entry.over {
            entry.change = None;
            return;
        }
        let pause = retry_after(of).filter(|seconds| of.code == 500 && *seconds <= 10);
        if (of.code == 491 || pause.is_some() || overtaken) && change.glares < MAX_GLARE {
            self.counts.glare += 1;
            change.glares += 1;
            // RFC 3261 §14.1: who owns the Call-ID waits longer, by chance in steps of 10 ms.
            let (least, steps) = if caller { (2100, 191) } else { (0, 201) };
            let chance = Duration::from_millis(least + 10 * ground.tokens.below(steps));
            let pause = pause.map_or(chance, |seconds| Duration::from_secs(u64::from(seconds)) + chance / 10);
            change.at = Some(ground.now + pause);
            return;
        }
        if of.code == 422 {
            self.counts.too_brief += 1;
            let least = min_se(&of.headers).unwrap_or(0);
            if least > change.interval && change.briefs < MAX_BRIEF {
                change.briefs += 1;
                change.least = least;
                return self.try_change(ground, id);
            }
        }
        if matches!(of.code, 405 | 501) && change.method == Method::Update {
            entry.peer_updates = false;
        }
        if destroys(of.code) {
            return self.gone(ground, id);
        }
        self.change_refused(ground, id, Cause::Response(Box::new(of.clone())));
    }

    /// A 2xx to a change.
    fn change_accepted(&mut self, ground: &mut Ground<'_>, id: SessionId, client: ClientId, of: &Response) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(mut change) = entry.change.take_if(|change| change.client == Some(client)) else { return };
        if let Ok(Some(target)) = dialog::contact(&of.headers) {
            entry.dialog.refresh_target(target);
        }
        if change.method == Method::Invite {
            let ack = acknowledgement(ground, &entry.dialog, change.number, None);
            let mut tail = Tail::again(change.number);
            tail.send(ground, Str::new(of.headers.to_tag().unwrap_or_default()), ack);
            self.keep_tail(ground, client, tail);
        }
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.over) else { return };
        if of.headers.contains(Name::Allow) {
            entry.peer_updates = allows_update(&of.headers);
        }
        entry.timer.granted(ground, &of.headers, change.interval);
        if change.body.is_some() {
            entry.keep(change.body.as_ref());
            let body = Body::of(&of.headers, &of.body).or(change.early.take());
            // The layer above would take the answer to a refresh for that to the offer that it has made since.
            if change.asked_for || change.next.is_none() {
                self.events.push_back(Event::Answered { id, body });
            }
        }
        self.next_change(ground, id, change.next);
    }

    /// A change ended without a response.
    pub(super) fn change_failed(&mut self, ground: &mut Ground<'_>, id: SessionId, why: Failure) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.over {
            entry.change = None;
            return;
        }
        if let Some(change) = &mut entry.change {
            change.client = None;
        }
        match why {
            // RFC 3261 §12.2.1.2: no answer at all is a 408.
            Failure::Timeout => self.gone(ground, id),
            Failure::Transport | Failure::Nowhere | Failure::Unknown => self.change_refused(ground, id, why.into()),
        }
    }

    /// The session goes on without it.
    fn change_refused(&mut self, ground: &mut Ground<'_>, id: SessionId, cause: Cause) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(change) = entry.change.take() else { return };
        if change.asked_for {
            self.events.push_back(Event::OfferRefused { id, cause });
        } else {
            entry.timer.again(ground.now);
        }
        self.next_change(ground, id, change.next);
    }

    fn next_change(&mut self, ground: &mut Ground<'_>, id: SessionId, next: Option<Body>) {
        if let (Some(body), Some(entry)) = (next, self.entries.get_mut(&id)) {
            entry.change = Some(Box::new(Change::new(Method::Invite, Some(body), true)));
            self.try_change(ground, id);
        }
    }

    /// The other side knows nothing of the dialog any more. It gets a BYE all the same: RFC 3261 §12.2.1.2.
    pub(super) fn gone(&mut self, ground: &mut Ground<'_>, id: SessionId) {
        self.counts.gone += 1;
        self.end(ground, id, Event::Ended { id, why: Ended::Gone });
        self.part(ground, id, Vec::new());
    }
}

/// RFC 5057 §5.1, §5.2: the refusals of a request in a dialog that end it, or its session; the others are about the one request.
pub(super) fn destroys(code: u16) -> bool {
    matches!(code, 404 | 408 | 410 | 416 | 481 | 482..=485 | 502 | 604)
}
