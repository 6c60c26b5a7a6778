//! One session, as it is kept in memory: the dialog always, everything else as long as something is under way.

use super::callee::Theirs;
use super::caller::{Call, Unacknowledged};
use super::exchange::{Asked, Change};
use super::farewell::Farewell;
use super::infos::Exchanges;
use super::refresh::SessionTimer;
use super::value::Body;
use crate::agent::{ClientId, Hop, Refused as NotSent};
use crate::dialog::Dialog;
use crate::ground::Ground;
use crate::header::Name;
use crate::message::{Request, Response};
use crate::method::Method;
use base::{Str, Time};
use std::net::IpAddr;

/// How far the first INVITE of a session has come, in the words of RFC 3261 §17 and RFC 6026 where they have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Ours has no final answer.
    Calling,
    /// Ours, which had no offer, has a 2xx, and the layer above owes the ACK.
    Answered,
    /// Theirs has no final answer.
    Proceeding,
    /// Theirs has a 2xx, and no ACK has come.
    Accepted,
    /// The 2xx is acknowledged.
    Confirmed,
}

/// What a request of ours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The INVITE that is to begin the session.
    Invite,
    /// A re-INVITE or an UPDATE.
    Change,
    /// A PRACK.
    Prack,
    /// An INFO.
    Info,
    /// A BYE.
    Bye,
}

/// What is kept of a session.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) state: State,
    /// The last event was told; what is left is said to the other side without the layer above.
    pub(super) over: bool,
    /// Whether the first INVITE was ours, and with it the Call-ID (RFC 3261 §14.1).
    pub(super) caller: bool,
    /// Whether the other side's Allow lists UPDATE.
    pub(super) peer_updates: bool,
    pub(super) dialog: Dialog,
    /// Our Contact.
    pub(super) contact: Str,
    /// The address that an INVITE of theirs came from.
    pub(super) source: Option<IpAddr>,
    /// Our first INVITE, until its final answer.
    pub(super) call: Option<Box<Call>>,
    /// The 2xx that the layer above has to acknowledge.
    pub(super) unacknowledged: Option<Box<Unacknowledged>>,
    /// An INVITE of theirs, first or not, until its refusal or its ACK.
    pub(super) theirs: Option<Box<Theirs>>,
    /// A re-INVITE or UPDATE of ours, under way or to come.
    pub(super) change: Option<Box<Change>>,
    /// An offer that waits for the layer above, other than one in an INVITE.
    pub(super) asked: Option<Asked>,
    /// INFOs, where either side has to do with them.
    pub(super) infos: Option<Box<Exchanges>>,
    /// Our last offer or answer, where a refresh will have to repeat it.
    pub(super) own: Option<Box<Body>>,
    pub(super) timer: SessionTimer,
    /// A BYE that is owed, in line or under way.
    pub(super) farewell: Option<Box<Farewell>>,
    /// What the queue of deadlines knows of it.
    pub(super) queued: Option<Time>,
}

impl Entry {
    /// A session of which nothing has happened.
    pub(super) fn new(state: State, dialog: Dialog, contact: Str) -> Entry {
        Entry {
            state,
            over: false,
            caller: false,
            peer_updates: false,
            dialog,
            contact,
            source: None,
            call: None,
            unacknowledged: None,
            theirs: None,
            change: None,
            asked: None,
            infos: None,
            own: None,
            timer: SessionTimer::default(),
            farewell: None,
            queued: None,
        }
    }

    /// Whether nothing is left to be said or heard.
    pub(super) fn is_finished(&self) -> bool {
        let changing = self.change.as_ref().is_some_and(|change| change.client.is_some());
        self.over && self.call.is_none() && self.theirs.is_none() && self.farewell.is_none() && !changing
    }

    /// Whether an INVITE transaction is open, in either direction (RFC 3261 §14.1).
    pub(super) fn is_inviting(&self) -> bool {
        self.call.is_some() || self.theirs.is_some() || self.unacknowledged.is_some()
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Time> {
        let all = [
            self.call.as_ref().filter(|_| !self.over).map(|call| call.until),
            self.unacknowledged.as_ref().map(|unacknowledged| unacknowledged.until),
            self.theirs.as_ref().map(|theirs| theirs.deadline()),
            self.change.as_ref().and_then(|change| change.deadline()),
            self.timer.deadline().filter(|_| !self.over),
            self.infos.as_ref().and_then(|infos| infos.deadline()),
            self.farewell.as_ref().and_then(|farewell| farewell.again),
        ];
        all.into_iter().flatten().min()
    }

    /// What a message in the dialog says of us: Contact, and what we can (RFC 3261 §13.2.1, §13.3.1.4).
    pub(super) fn introduce(&self, ground: &Ground<'_>, headers: &mut crate::header::Headers) {
        headers.push(Name::Contact, &self.contact);
        headers.push(Name::Allow, ground.agent.allow());
        let supported = ground.agent.supported();
        if !supported.is_empty() {
            headers.push(Name::Supported, supported);
        }
    }
}

/// What became of a request of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// It is under way.
    Now(ClientId),
    /// The agent has no room now; no number was used.
    Full,
    /// It will never be.
    NoWay,
}

impl Entry {
    /// Takes note of the number under which a request of ours was taken.
    pub(super) fn follow(&mut self, client: ClientId, response: &Response) {
        let number = match &mut self.call {
            // Each phone that has been heard has a dialog of its own.
            Some(call) if call.client != client => {
                let tag = response.headers.to_tag().unwrap_or_default();
                if let Some(fork) = call.fork_mut(tag) {
                    fork.dialog.follow(response);
                }
                return;
            }
            Some(_) | None => self.dialog.follow(response),
        };
        let Some(number) = number else { return };
        if let Some(call) = &mut self.call {
            call.number = call.number.max(number);
        }
        if let Some(change) = self.change.as_mut().filter(|change| change.client == Some(client)) {
            change.number = change.number.max(number);
        }
    }
}

/// Sends a request in a dialog, with what `say` adds to it.
pub(super) fn send(
    ground: &mut Ground<'_>,
    dialog: &mut Dialog,
    method: Method,
    say: impl FnOnce(&mut Request),
) -> Sent {
    let Some(hop) = ground.hops.next_hop(dialog) else { return Sent::NoWay };
    let Some(mut request) = dialog.request(method) else { return Sent::NoWay };
    say(&mut request);
    match ground.agent.request(ground.now, request, &hop, None) {
        Ok(client) => Sent::Now(client),
        Err(NotSent::Full) => {
            dialog.take_back();
            Sent::Full
        }
        Err(NotSent::NoTransport | NotSent::Method) => Sent::NoWay,
    }
}

/// The ACK for a 2xx to the INVITE of this number: RFC 3261 §13.2.2.4.
pub(super) fn acknowledgement(
    ground: &Ground<'_>,
    dialog: &Dialog,
    number: u32,
    body: Option<Body>,
) -> Option<(Request, Hop)> {
    let hop = ground.hops.next_hop(dialog)?;
    let mut request = dialog.at(number.checked_sub(1)?).request(Method::Ack)?;
    attach(&mut request, body);
    Some((request, hop))
}

/// Gives a request its body.
pub(super) fn attach(request: &mut Request, body: Option<Body>) {
    if let Some(body) = body {
        request.headers.push(Name::ContentType, &body.content_type);
        request.body = body.content;
    }
}
