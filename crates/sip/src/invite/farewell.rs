//! BYE: RFC 3261 §15, from either side, and whatever else an end takes.

use super::entry::{Purpose, Sent, State, send};
use super::value::{Ended, Event, SessionId};
use super::{STALL, Sessions};
use crate::agent::{Failure, ServerId};
use crate::dialog::{Dialog, name};
use crate::ground::{Ground, respond};
use crate::header::Name;
use crate::message::{Request, Response};
use crate::method::Method;
use base::{Str, Time};
use std::time::Duration;

/// A BYE that the transport lost is sent once more, after this: a proxy that is started anew takes all connections with it.
const TRANSPORT_PAUSE: Duration = Duration::from_secs(2);

/// A BYE of ours.
#[derive(Debug)]
pub(super) struct Farewell {
    headers: Vec<(Name, Str)>,
    stage: Stage,
    number: u32,
    /// The transport lost it once, or a later request overtook it.
    lost: bool,
    /// When it is sent once more.
    pub(super) again: Option<Time>,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It may not be sent yet: an ACK has to come first.
    Owed,
    /// It waits for its place.
    InLine,
    /// It is under way.
    Sent,
}

impl Farewell {
    /// One that is owed.
    pub(super) fn new(headers: Vec<(Name, Str)>) -> Farewell {
        Farewell { headers, stage: Stage::Owed, number: 0, lost: false, again: None }
    }
}

impl Sessions {
    /// Ends a session from our side, whatever its state: an INVITE of theirs is refused with 480, one of ours cancelled, and a session gets its
    /// BYE, once there is an ACK for our 2xx (RFC 3261 §15). [`Ended::Ours`] follows at once. `headers` go with the BYE; of those,
    /// Reason (RFC 3326) goes with the CANCEL or the refusal as well.
    pub fn bye(&mut self, ground: &mut Ground<'_>, id: SessionId, headers: Vec<(Name, Str)>) {
        self.now = ground.now;
        if self.entries.get(&id).is_none_or(|entry| entry.over) {
            return;
        }
        self.end(ground, id, Event::Ended { id, why: Ended::Ours });
        self.part(ground, id, headers);
        self.settle(id);
        self.pump(ground);
    }

    /// Ends a dialog of a process before this one. Its numbers jump by a million, as the last ones are not known. No event comes of it. `false`
    /// if there is such a dialog already, or if it is none: it lacks a tag.
    pub fn end_restored(&mut self, ground: &mut Ground<'_>, mut dialog: Dialog) -> bool {
        self.now = ground.now;
        let known = self.dialogs.contains(&name(&self.key, &dialog));
        if known || dialog.local_tag.is_empty() || dialog.remote_tag.is_empty() {
            return false;
        }
        dialog.set_local_cseq(dialog.local_cseq().saturating_add(super::caller::UNHEARD));
        let mut entry = super::Entry::new(State::Confirmed, dialog, Str::default());
        entry.over = true;
        entry.farewell = Some(Box::new(Farewell::new(Vec::new())));
        let id = self.insert(entry);
        self.say_bye(ground, id);
        self.settle(id);
        true
    }

    /// Does what an end takes, once the last event was told.
    pub(super) fn part(&mut self, ground: &mut Ground<'_>, id: SessionId, headers: Vec<(Name, Str)>) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let reasons: Vec<Str> =
            headers.iter().filter(|(name, _)| *name == Name::Reason).map(|(_, value)| value.clone()).collect();
        let mut refusal = Response::new(if entry.state == State::Proceeding { 480 } else { 487 }, "");
        reasons.iter().for_each(|reason| refusal.headers.push(Name::Reason, reason));
        let first = entry.state == State::Proceeding;
        if !first {
            entry.farewell.get_or_insert_with(|| Box::new(Farewell::new(headers)));
        }
        self.refuse_theirs(ground, id, refusal);
        self.cancel_call(ground, id, &reasons);
        self.cancel_change(ground, id);
        self.acknowledge_late(ground, id, None);
        self.say_bye(ground, id);
    }

    /// A BYE came: RFC 3261 §15.1.2. What it finds open is answered 487.
    pub(super) fn bye_came(&mut self, ground: &mut Ground<'_>, id: SessionId, server: ServerId, request: Request) {
        self.counts.byes_in += 1;
        respond(ground, server, Response::new(200, ""), &[]);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.call.is_some() {
            // An early dialog of an INVITE of ours; its fork will not answer any more, but others may.
            return;
        }
        // Theirs ends it; one of ours that is under way ends by itself.
        entry.farewell.take_if(|farewell| farewell.stage != Stage::Sent);
        self.end(ground, id, Event::Ended { id, why: Ended::Bye(Box::new(request)) });
        self.refuse_theirs(ground, id, Response::new(487, ""));
        self.cancel_change(ground, id);
        self.acknowledge_late(ground, id, None);
    }

    /// Sends the BYE that is owed, if it may be sent: not before our 2xx is acknowledged (RFC 3261 §15).
    pub(super) fn say_bye(&mut self, ground: &mut Ground<'_>, id: SessionId) {
        let has_room = self.byes < self.config.max_byes && self.stalled.is_none();
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let ready = entry.state == State::Confirmed && entry.theirs.is_none();
        let Some(farewell) = entry.farewell.as_mut().filter(|farewell| ready && farewell.stage == Stage::Owed) else {
            return;
        };
        farewell.stage = Stage::InLine;
        if has_room && self.line.is_empty() {
            self.send_bye(ground, id);
        } else {
            self.line.push_back(id);
        }
    }

    /// Sends one whose turn it is. `false` if the agent has no room.
    fn send_bye(&mut self, ground: &mut Ground<'_>, id: SessionId) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else { return true };
        let Some(farewell) = entry.farewell.as_mut().filter(|farewell| farewell.stage == Stage::InLine) else {
            return true;
        };
        let headers = &farewell.headers;
        let sent = send(ground, &mut entry.dialog, Method::Bye, |request| {
            headers.iter().for_each(|(name, value)| request.headers.push(*name, value));
        });
        match sent {
            Sent::Now(client) => {
                farewell.stage = Stage::Sent;
                farewell.number = entry.dialog.local_cseq();
                self.byes += 1;
                self.counts.byes_out += 1;
                self.clients.insert(client, (id, Purpose::Bye));
                true
            }
            Sent::Full => {
                self.stalled = Some(ground.now + STALL);
                self.line.push_front(id);
                false
            }
            Sent::NoWay => {
                entry.farewell = None;
                self.settle(id);
                true
            }
        }
    }

    /// Sends what there is room for.
    pub(super) fn pump(&mut self, ground: &mut Ground<'_>) {
        while self.byes < self.config.max_byes && self.stalled.is_none() {
            let Some(id) = self.line.pop_front() else { return };
            self.send_bye(ground, id);
        }
    }

    /// Whatever the answer to a BYE is, the session is over; but one that was overtaken is said once more, or the other side would go on.
    pub(super) fn bye_answered(&mut self, id: SessionId, response: &Response) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(farewell) = &mut entry.farewell else { return };
        if entry.dialog.overtook(farewell.number, response) && !farewell.lost {
            farewell.lost = true;
            farewell.stage = Stage::InLine;
            self.line.push_back(id);
        } else {
            entry.farewell = None;
        }
    }

    /// A BYE without an answer.
    pub(super) fn bye_failed(&mut self, ground: &mut Ground<'_>, id: SessionId, why: Failure) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(farewell) = &mut entry.farewell else { return };
        if matches!(why, Failure::Transport | Failure::Unknown) && !farewell.lost {
            let jitter = Duration::from_micros(ground.tokens.below(TRANSPORT_PAUSE.as_micros() as u64));
            farewell.lost = true;
            farewell.again = Some(ground.now + TRANSPORT_PAUSE + jitter);
        } else {
            entry.farewell = None;
        }
    }

    /// A BYE that the transport lost has waited long enough.
    pub(super) fn farewell_due(&mut self, id: SessionId) {
        let now = self.now;
        let Some(farewell) = self.entries.get_mut(&id).and_then(|entry| entry.farewell.as_mut()) else { return };
        if farewell.again.take_if(|at| *at <= now).is_some() {
            farewell.stage = Stage::InLine;
            self.line.push_back(id);
        }
    }
}
