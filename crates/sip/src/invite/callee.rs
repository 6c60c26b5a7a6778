//! INVITEs that come: RFC 3261 §13.3 and §14.2. A 2xx is sent until it is acknowledged.

use super::Sessions;
use super::entry::{Entry, State};
use super::refresh::Ask;
use super::reliable::Reliable;
use super::value::{Body, Ended, Event, SessionId};
use crate::agent::{Flow, ServerId};
use crate::dialog::{self, Dialog, name};
use crate::ground::{Ground, respond};
use crate::header::{Headers, Name, NameAddr};
use crate::message::{Request, Response};
use crate::method::Method;
use base::{Str, Time, ToCompactString};
use std::time::Duration;

/// RFC 3261 §13.3.1.1: a provisional response is said again each minute, so that no proxy gives up.
const MINUTE: Duration = Duration::from_secs(60);

/// An INVITE of theirs.
#[derive(Debug)]
pub(super) struct Theirs {
    pub(super) server: ServerId,
    pub(super) number: u32,
    /// Whether it began the session.
    pub(super) first: bool,
    /// Whether it had an offer.
    pub(super) offered: bool,
    /// Whether the other side requires reliable provisional responses.
    required: bool,
    /// Record-Route, for each response that makes the dialog (RFC 3261 §12.1.1).
    routes: Vec<Str>,
    ask: Ask,
    /// The target that a re-INVITE brought; it counts once we accept.
    target: Option<Str>,
    /// When we must have answered, or it must have been acknowledged.
    until: Time,
    /// The last provisional response, and when it is said again.
    rung: Option<(u16, Time)>,
    pub(super) reliable: Option<Box<Reliable>>,
    /// Our 2xx.
    accepted: Option<Box<Again>>,
}

/// A response that is sent until something comes.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) response: Response,
    pub(super) at: Time,
    pub(super) interval: Duration,
}

impl Theirs {
    /// When something is due.
    pub(super) fn deadline(&self) -> Time {
        let again = self.accepted.as_ref().map(|accepted| accepted.at);
        let rung = self.rung.filter(|_| self.accepted.is_none()).map(|(_, at)| at);
        let reliable = self.reliable.as_ref().filter(|_| self.accepted.is_none()).and_then(|r| r.deadline());
        [again, rung, reliable].into_iter().flatten().fold(self.until, Time::min)
    }

    /// Whether our 2xx has gone out.
    pub(super) fn is_accepted(&self) -> bool {
        self.accepted.is_some()
    }

    /// Whether provisional responses must be reliable.
    #[cfg(test)]
    pub(super) fn is_required(&self) -> bool {
        self.required
    }

    /// Whether the other side knows the dialog: it has acknowledged a response that made it.
    pub(super) fn is_early(&self) -> bool {
        self.first && self.reliable.as_ref().is_some_and(|reliable| reliable.is_heard())
    }

    /// Whether an offer of theirs in it waits for our answer.
    pub(super) fn wants_answer(&self) -> bool {
        let answered = self.reliable.as_ref().is_some_and(|reliable| reliable.described);
        self.offered && self.accepted.is_none() && !answered
    }

    /// Whether it had no offer, and ours has yet to be made.
    pub(super) fn wants_offer(&self) -> bool {
        let made = self.reliable.as_ref().is_some_and(|reliable| reliable.described);
        !self.offered && self.accepted.is_none() && !made
    }

    /// Whether an offer of ours in a response to it waits for their answer.
    pub(super) fn owes_answer(&self) -> bool {
        let reliable = self.reliable.as_ref().filter(|reliable| reliable.described);
        !self.offered && reliable.map_or(self.accepted.is_some(), |reliable| reliable.is_described_open())
    }
}

impl Sessions {
    /// An INVITE outside of any dialog.
    pub(super) fn invited(
        &mut self,
        ground: &mut Ground<'_>,
        server: ServerId,
        request: Request,
        flow: Flow,
        contact: &NameAddr,
    ) {
        self.counts.invites_in += 1;
        let source = flow.remote.ip().to_canonical();
        let same = self.sources.count(&source);
        if self.entries.len() >= self.config.max_sessions || same >= self.config.max_per_source {
            return self.refuse_full(ground, server);
        }
        let ask = Ask::of(&request.headers);
        if self.refuse_brief(ground, server, ask) {
            return;
        }
        let Some(tag) = ground.agent.local_tag(server).map(Str::from) else { return };
        let dialog = match Dialog::as_uas(&request, &tag, 0) {
            Ok(dialog) => dialog,
            Err(fault) => return respond(ground, server, Response::new(400, &fault.to_compact_string()), &[]),
        };
        if self.dialogs.contains(&name(&self.key, &dialog)) {
            // The tag follows from the request, so this one was here before.
            return respond(ground, server, Response::new(482, ""), &[]);
        }
        let expires = request.headers.expires().ok().flatten();
        let within = expires.map(|seconds| Duration::from_secs(u64::from(seconds)).min(self.config.answer_within));
        let until = ground.now + within.unwrap_or(self.config.answer_within);
        let mut entry = Entry::new(State::Proceeding, dialog, contact.to_compact_string());
        entry.source = Some(source);
        entry.peer_updates = allows_update(&request.headers);
        entry.heard_infos(&request.headers);
        entry.theirs = Some(Box::new(Theirs {
            server,
            number: entry.dialog.remote_cseq().unwrap_or(0),
            first: true,
            offered: !request.body.is_empty(),
            required: requires_100rel(&request.headers),
            routes: entry.dialog.route_set.clone(),
            ask,
            target: None,
            until,
            rung: None,
            reliable: None,
            accepted: None,
        }));
        let id = self.insert(entry);
        self.servers.insert(server, id);
        self.events.push_back(Event::Invited { id, request: Box::new(request), flow });
        self.settle(id);
    }

    /// A re-INVITE: RFC 3261 §14.2.
    pub(super) fn invited_again(
        &mut self,
        ground: &mut Ground<'_>,
        id: SessionId,
        server: ServerId,
        request: &Request,
    ) {
        self.counts.changes_in += 1;
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let ours = entry.change.as_ref().is_some_and(|change| change.is_exchange());
        let theirs = entry.theirs.as_ref();
        if theirs.is_some_and(|theirs| !theirs.is_accepted()) || entry.asked.is_some() {
            return self.refuse_busy(ground, server);
        }
        // One whose ACK has not come is still under way for us.
        if ours || theirs.is_some() || entry.state != State::Confirmed {
            return self.refuse_glare(ground, server);
        }
        let target = match dialog::contact(&request.headers) {
            Ok(target) => target,
            Err(fault) => return respond(ground, server, Response::new(400, &fault.to_compact_string()), &[]),
        };
        let ask = Ask::of(&request.headers);
        if self.refuse_brief(ground, server, ask) {
            return;
        }
        let body = Body::of(&request.headers, &request.body);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if request.headers.contains(Name::Allow) {
            entry.peer_updates = allows_update(&request.headers);
        }
        entry.hear_infos(&request.headers);
        entry.theirs = Some(Box::new(Theirs {
            server,
            number: request.headers.cseq().map_or(0, |cseq| cseq.number),
            first: false,
            offered: body.is_some(),
            required: false,
            routes: Vec::new(),
            ask,
            target,
            until: ground.now + self.config.answer_within,
            rung: None,
            reliable: None,
            accepted: None,
        }));
        self.servers.insert(server, id);
        self.events.push_back(Event::Offered { id, body });
    }

    /// Sends a provisional response to an INVITE, 101 to 199: reliably where the other side requires that (RFC 3262 §3). Then `body`
    /// is the answer to its offer, or our offer; otherwise but a foretaste of it. It is said again each minute, without its body.
    #[expect(clippy::needless_pass_by_value, reason = "every input is handed over")]
    pub fn ring(
        &mut self,
        ground: &mut Ground<'_>,
        id: SessionId,
        code: u16,
        headers: Vec<(Name, Str)>,
        body: Option<Body>,
    ) {
        self.now = ground.now;
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.over) else { return };
        let code = code.clamp(101, 199);
        let response = entry.provisional(ground, code, &headers, body.as_ref());
        let Some(theirs) = entry.theirs.as_mut().filter(|theirs| theirs.first && theirs.accepted.is_none()) else {
            return;
        };
        theirs.rung = Some((code, ground.now + MINUTE));
        if theirs.required {
            self.ring_reliably(ground, id, response);
        } else {
            ground.agent.respond(ground.now, theirs.server, response);
        }
        self.settle(id);
    }

    /// Accepts an INVITE: 200, sent until it is acknowledged. `body` is the answer to its offer, or our offer if it had none. As long as a
    /// reliable provisional response with a body is not acknowledged the 2xx waits (RFC 3262 §3).
    pub fn accept(&mut self, ground: &mut Ground<'_>, id: SessionId, headers: Vec<(Name, Str)>, body: Option<Body>) {
        self.now = ground.now;
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.over) else { return };
        let first = entry.theirs.as_mut().filter(|theirs| theirs.first && theirs.accepted.is_none());
        let Some(theirs) = first else { return };
        match &mut theirs.reliable {
            Some(reliable) if reliable.is_described_open() => reliable.accept = Some((headers, body)),
            Some(_) | None => self.accept_now(ground, id, &headers, body),
        }
        self.settle(id);
        self.pump(ground);
    }

    /// The 2xx to an INVITE, first or not.
    pub(super) fn accept_now(
        &mut self,
        ground: &mut Ground<'_>,
        id: SessionId,
        extra: &[(Name, Str)],
        body: Option<Body>,
    ) {
        let mut response = Response::new(200, "");
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(theirs) = &mut entry.theirs else { return };
        let (ask, server, first) = (theirs.ask, theirs.server, theirs.first);
        for route in &theirs.routes {
            response.headers.push(Name::RecordRoute, route);
        }
        if let Some(target) = theirs.target.take() {
            entry.dialog.refresh_target(target);
        }
        entry.introduce(ground, &mut response.headers);
        if first {
            entry.answer_infos(&mut response.headers);
        } else {
            entry.take_infos(&mut response.headers);
        }
        extra.iter().for_each(|(name, value)| response.headers.push(*name, value));
        self.grant(ground, id, ask, &mut response.headers);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.keep(body.as_ref());
        if let Some(body) = body {
            response.headers.push(Name::ContentType, &body.content_type);
            response.body = body.content;
        }
        ground.agent.respond(ground.now, server, response.clone());
        let interval = ground.agent.intervals().t1;
        if let Some(theirs) = &mut entry.theirs {
            theirs.until = ground.now + ground.agent.patience();
            theirs.accepted = Some(Box::new(Again { response, at: ground.now + interval, interval }));
        }
        if first {
            entry.state = State::Accepted;
        }
    }

    /// Refuses an INVITE: [`Ended::Ours`] follows. A 2xx or less becomes 500.
    pub fn refuse(&mut self, ground: &mut Ground<'_>, id: SessionId, mut response: Response) {
        self.now = ground.now;
        let Some(entry) = self.entries.get(&id).filter(|entry| !entry.over) else { return };
        if entry.state != State::Proceeding {
            return;
        }
        if response.code < 300 {
            response = Response::new(500, "");
        }
        self.refuse_theirs(ground, id, response);
        self.end(ground, id, Event::Ended { id, why: Ended::Ours });
        self.settle(id);
    }

    /// The final answer to an INVITE of theirs that is not accepted. Nothing is left of it here.
    pub(super) fn refuse_theirs(&mut self, ground: &mut Ground<'_>, id: SessionId, response: Response) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if let Some(theirs) = entry.theirs.take_if(|theirs| theirs.accepted.is_none()) {
            entry.drop_infos();
            self.servers.remove(&theirs.server);
            ground.agent.respond(ground.now, theirs.server, response);
        }
    }

    /// The ACK for a 2xx of ours: RFC 3261 §13.3.1.4.
    pub(super) fn ack_came(&mut self, ground: &mut Ground<'_>, id: SessionId, server: ServerId, ack: &Request) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        // That of a refusal by the process before this one, of another copy of the INVITE, has another tag.
        let ours = ack.headers.to_tag() == Some(entry.dialog.local_tag.as_str());
        let Some(theirs) = entry.theirs.take_if(|theirs| ours && theirs.server == server && theirs.accepted.is_some())
        else {
            return;
        };
        self.servers.remove(&server);
        let answered = theirs.reliable.as_ref().is_some_and(|reliable| reliable.described);
        let body = if theirs.offered || answered { None } else { Body::of(&ack.headers, &ack.body) };
        if theirs.first {
            entry.state = State::Confirmed;
        }
        if entry.over {
            return self.say_bye(ground, id);
        }
        if theirs.first {
            self.counts.established += 1;
            self.events.push_back(Event::Confirmed { id, body });
        } else if !theirs.offered {
            self.events.push_back(Event::Answered { id, body });
        }
        self.try_change(ground, id);
    }

    /// The other side has cancelled a request, or it must have given up.
    pub(super) fn cancel_came(
        &mut self,
        ground: &mut Ground<'_>,
        id: SessionId,
        server: ServerId,
        reason: Option<Str>,
    ) {
        self.servers.remove(&server);
        self.info_cancelled(id, server);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let asked = entry.asked.take_if(|asked| asked.server() == Some(server)).is_some();
        let theirs = entry.theirs.take_if(|theirs| theirs.server == server && theirs.accepted.is_none());
        match theirs {
            Some(theirs) if theirs.first => self.end(ground, id, Event::Ended { id, why: Ended::Cancelled(reason) }),
            Some(_) | None => {
                if (asked || theirs.is_some()) && !entry.over {
                    self.events.push_back(Event::OfferWithdrawn { id });
                }
                self.try_change(ground, id);
            }
        }
    }

    /// Something of their INVITE is due.
    pub(super) fn theirs_due(&mut self, ground: &mut Ground<'_>, id: SessionId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(theirs) = &mut entry.theirs else { return };
        let (server, first, ended) = (theirs.server, theirs.first, theirs.until <= ground.now);
        match &mut theirs.accepted {
            // RFC 3261 §13.3.1.4, §14.2: nobody has acknowledged it, and so the session ends with a BYE.
            Some(_) if ended => {
                entry.theirs = None;
                if first {
                    entry.state = State::Confirmed;
                }
                self.servers.remove(&server);
                if self.entries.get(&id).is_some_and(|entry| entry.over) {
                    return self.say_bye(ground, id);
                }
                self.counts.not_acknowledged += 1;
                self.end(ground, id, Event::Ended { id, why: Ended::NotAcknowledged });
                self.part(ground, id, Vec::new());
            }
            Some(again) => {
                if again.at <= ground.now {
                    again.interval = (again.interval * 2).min(ground.agent.intervals().t2);
                    again.at = ground.now + again.interval;
                    let response = again.response.clone();
                    ground.agent.respond(ground.now, server, response);
                }
            }
            None if ended && first => {
                // RFC 3261 §13.3.1
                self.counts.expired += 1;
                self.refuse_theirs(ground, id, Response::new(487, ""));
                self.end(ground, id, Event::Ended { id, why: Ended::Expired });
            }
            None if ended => {
                self.refuse_theirs(ground, id, Response::new(480, ""));
                self.try_change(ground, id);
            }
            None => self.ring_due(ground, id),
        }
    }

    /// A provisional response is due again.
    fn ring_due(&mut self, ground: &mut Ground<'_>, id: SessionId) {
        if self.reliable_due(ground, id) {
            return;
        }
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some((code, _)) = entry.theirs.as_ref().and_then(|t| t.rung).filter(|(_, at)| *at <= ground.now) else {
            return;
        };
        self.ring(ground, id, code, Vec::new(), None);
    }
}

impl Entry {
    /// A provisional response to the first INVITE: it makes an early dialog (RFC 3261 §12.1.1).
    fn provisional(&self, ground: &Ground<'_>, code: u16, extra: &[(Name, Str)], body: Option<&Body>) -> Response {
        let mut response = Response::new(code, "");
        for route in self.theirs.iter().flat_map(|theirs| &theirs.routes) {
            response.headers.push(Name::RecordRoute, route);
        }
        self.introduce(ground, &mut response.headers);
        self.answer_infos(&mut response.headers);
        extra.iter().for_each(|(name, value)| response.headers.push(*name, value));
        if let Some(body) = body {
            response.headers.push(Name::ContentType, &body.content_type);
            response.body = body.content.clone();
        }
        response
    }

    /// Keeps an offer or answer of ours, if a refresh may have to repeat it: that is done by UPDATE where the other side knows it.
    pub(super) fn keep(&mut self, body: Option<&Body>) {
        if self.peer_updates || self.over {
            self.own = None;
        } else if let Some(body) = body {
            self.own = Some(Box::new(body.clone()));
        }
    }
}

/// Whether Allow lists UPDATE.
pub(super) fn allows_update(headers: &Headers) -> bool {
    headers.elements(Name::Allow).flatten().any(|method| method == Method::Update.as_str())
}

fn requires_100rel(headers: &Headers) -> bool {
    headers.elements(Name::Require).flatten().any(|tag| tag.eq_ignore_ascii_case("100rel"))
}
