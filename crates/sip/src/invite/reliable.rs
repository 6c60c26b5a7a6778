//! Reliable provisional responses: RFC 3262, ours and theirs.

use super::Sessions;
use super::callee::Again;
use super::entry::{Purpose, Sent, send};
use super::exchange::Asked;
use super::value::{Body, Ended, Event, SessionId};
use crate::agent::{ClientId, ServerId};
use crate::dialog::{Dialog, name};
use crate::ground::{Ground, respond};
use crate::header::{Headers, Name};
use crate::message::{Request, Response};
use crate::method::Method;
use base::{Str, Time};
use std::collections::VecDeque;

/// How many responses may wait for the acknowledgement of the one before. Of those that follow each other fast the last one counts.
const MAX_QUEUED: usize = 4;

/// The reliable provisional responses to an INVITE of theirs.
#[derive(Debug)]
pub(super) struct Reliable {
    /// The RSeq of the last one.
    number: u32,
    /// The one that is sent until its PRACK comes.
    open: Option<Again>,
    until: Time,
    queue: VecDeque<Response>,
    /// Whether one has been acknowledged.
    heard: bool,
    /// Whether one had a body: the answer to their offer, or our offer.
    pub(super) described: bool,
    /// What to accept with behind the PRACK.
    pub(super) accept: Option<Accept>,
}

/// What the layer above has accepted with: headers, and the body.
type Accept = (Vec<(Name, Str)>, Option<Body>);

/// An early dialog of an INVITE of ours, which a reliable response made.
#[derive(Debug)]
pub(super) struct Fork {
    pub(super) dialog: Dialog,
    /// The RSeq of the last one.
    number: u32,
}

impl Reliable {
    /// Whether one with a body does, or waits to be sent.
    pub(super) fn is_described_open(&self) -> bool {
        let open = self.open.as_ref().is_some_and(|open| !open.response.body.is_empty());
        open || self.queue.iter().any(|response| !response.body.is_empty())
    }

    /// Whether one has been acknowledged.
    pub(super) fn is_heard(&self) -> bool {
        self.heard
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.open.as_ref().map(|open| open.at.min(self.until))
    }
}

impl Sessions {
    /// Sends a provisional response reliably, behind those that wait.
    pub(super) fn ring_reliably(&mut self, ground: &mut Ground<'_>, id: SessionId, response: Response) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(theirs) = &mut entry.theirs else { return };
        let reliable = theirs.reliable.get_or_insert_with(|| {
            // RFC 3262 §3: by chance, between 1 and 2^31 - 1; room for all that follow.
            let number = u32::try_from(ground.tokens.below(1 << 30)).unwrap_or(0);
            Box::new(Reliable {
                number,
                open: None,
                until: ground.now,
                queue: VecDeque::new(),
                heard: false,
                described: false,
                accept: None,
            })
        });
        if reliable.queue.len() >= MAX_QUEUED {
            reliable.queue.retain(|waiting| !waiting.body.is_empty());
        }
        if reliable.queue.len() < MAX_QUEUED {
            reliable.queue.push_back(response);
        }
        self.ring_next(ground, id);
    }

    /// Sends the next one, if none is open.
    fn ring_next(&mut self, ground: &mut Ground<'_>, id: SessionId) {
        let Some(theirs) = self.entries.get_mut(&id).and_then(|entry| entry.theirs.as_mut()) else { return };
        let server = theirs.server;
        let Some(reliable) = theirs.reliable.as_mut().filter(|reliable| reliable.open.is_none()) else { return };
        let Some(mut response) = reliable.queue.pop_front() else { return };
        reliable.number += 1;
        reliable.described |= !response.body.is_empty();
        response.headers.push(Name::Require, "100rel");
        response.headers.push(Name::RSeq, reliable.number);
        ground.agent.respond(ground.now, server, response.clone());
        let interval = ground.agent.intervals().t1;
        reliable.until = ground.now + ground.agent.patience();
        reliable.open = Some(Again { response, at: ground.now + interval, interval });
    }

    /// A reliable response is due again, or nobody acknowledges it. Whether that ended the INVITE.
    pub(super) fn reliable_due(&mut self, ground: &mut Ground<'_>, id: SessionId) -> bool {
        let Some(theirs) = self.entries.get_mut(&id).and_then(|entry| entry.theirs.as_mut()) else { return true };
        let server = theirs.server;
        let Some(reliable) = &mut theirs.reliable else { return false };
        let Some(open) = &mut reliable.open else { return false };
        if reliable.until <= ground.now {
            // RFC 3262 §3: with a 5xx.
            self.counts.not_acknowledged += 1;
            self.refuse_theirs(ground, id, Response::new(504, ""));
            self.end(ground, id, Event::Ended { id, why: Ended::NotAcknowledged });
            return true;
        }
        if open.at <= ground.now {
            open.interval *= 2;
            open.at = ground.now + open.interval;
            let response = open.response.clone();
            ground.agent.respond(ground.now, server, response);
        }
        false
    }

    /// A PRACK: RFC 3262 §3. One that acknowledges nothing gets 481.
    pub(super) fn prack_came(&mut self, ground: &mut Ground<'_>, id: SessionId, server: ServerId, request: &Request) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let reliable = entry.theirs.as_mut().filter(|theirs| theirs.first).and_then(|theirs| {
            let number = theirs.number;
            theirs.reliable.as_mut().map(|reliable| (number, reliable))
        });
        let acknowledged = reliable.filter(|(number, reliable)| {
            reliable.open.is_some() && rack(&request.headers) == Some((reliable.number, *number))
        });
        let Some((_, reliable)) = acknowledged else { return self.refuse_stray(ground, server) };
        reliable.heard = true;
        let had_body = reliable.open.take().is_some_and(|open| !open.response.body.is_empty());
        let accept = reliable.accept.take_if(|_| reliable.queue.iter().all(|waiting| waiting.body.is_empty()));
        let body = Body::of(&request.headers, &request.body);
        let offered = entry.theirs.as_ref().is_some_and(|theirs| theirs.offered);
        match body {
            // RFC 3262 §5: the answer to the offer in our response.
            Some(body) if had_body && !offered => {
                respond(ground, server, Response::new(200, ""), &[]);
                self.events.push_back(Event::Answered { id, body: Some(body) });
            }
            // A new offer, once the first exchange is over.
            Some(body) if entry.theirs.as_ref().is_some_and(|t| !t.wants_answer()) && entry.asked.is_none() => {
                entry.asked = Some(Asked::Prack(server));
                self.servers.insert(server, id);
                self.events.push_back(Event::Offered { id, body: Some(body) });
            }
            Some(_) => respond(ground, server, Response::new(488, ""), &[]),
            None => respond(ground, server, Response::new(200, ""), &[]),
        }
        match accept {
            Some((headers, body)) => self.accept_now(ground, id, &headers, body),
            None => self.ring_next(ground, id),
        }
        self.try_info(ground, id);
    }

    /// A reliable response to an INVITE of ours: RFC 3262 §4. Whether it is to be told; one that came before, or before its turn, is not.
    pub(super) fn acknowledge(
        &mut self,
        ground: &mut Ground<'_>,
        id: SessionId,
        base: &Dialog,
        invite: u32,
        response: &Response,
    ) -> bool {
        let Some(number) = rseq(&response.headers) else { return false };
        let max_forks = self.config.max_forks;
        let Some(call) = self.entries.get_mut(&id).and_then(|entry| entry.call.as_mut()) else { return false };
        let tag = response.headers.to_tag().unwrap_or_default();
        if let Some(fork) = call.fork_mut(tag) {
            if fork.number.checked_add(1) != Some(number) {
                return false;
            }
        } else {
            let Ok(dialog) = super::caller::fork(base, invite, response) else { return false };
            if call.forks.len() >= max_forks {
                return false;
            }
            self.dialogs.insert(name(&self.key, &dialog), id);
            call.forks.push(Fork { dialog, number });
        }
        // An offer in it wants the answer in the PRACK.
        let body = Body::of(&response.headers, &response.body);
        if let Some(body) = body.filter(|_| !call.offered() && !call.settled) {
            let tag = Str::new(tag);
            let Some(entry) = self.entries.get_mut(&id) else { return false };
            if let Some(call) = &mut entry.call {
                call.settled = true;
                call.advance(&tag, number);
            }
            entry.asked = Some(Asked::Reliable(tag, number));
            self.events.push_back(Event::Offered { id, body: Some(body) });
            return false;
        }
        call.settled |= !response.body.is_empty();
        let tag = Str::new(tag);
        self.prack(ground, id, &tag, number, None)
    }

    /// Sends a PRACK. If the agent has no room the response will come again.
    pub(super) fn prack(
        &mut self,
        ground: &mut Ground<'_>,
        id: SessionId,
        tag: &str,
        number: u32,
        body: Option<Body>,
    ) -> bool {
        let Some(call) = self.entries.get_mut(&id).and_then(|entry| entry.call.as_mut()) else { return false };
        let invite = call.number;
        let Some(fork) = call.fork_mut(tag) else { return false };
        match send_prack(ground, &mut fork.dialog, number, invite, body) {
            Sent::Now(client) => {
                fork.number = number;
                self.clients.insert(client, (id, Purpose::Prack));
                true
            }
            Sent::Full => {
                fork.number = number.wrapping_sub(1);
                false
            }
            Sent::NoWay => {
                fork.number = number;
                true
            }
        }
    }

    /// A provisional response to a re-INVITE of ours may be reliable, too.
    pub(super) fn acknowledge_again(
        &mut self,
        ground: &mut Ground<'_>,
        id: SessionId,
        client: ClientId,
        of: &Response,
    ) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(number) = rseq(&of.headers) else { return };
        let Some(change) = entry.change.as_mut().filter(|change| change.client == Some(client)) else { return };
        if change.heard.is_some_and(|last| last.checked_add(1) != Some(number)) {
            return;
        }
        if let Sent::Now(client) = send_prack(ground, &mut entry.dialog, number, change.number, None) {
            change.heard = Some(number);
            change.early = Body::of(&of.headers, &of.body).or(change.early.take());
            self.clients.insert(client, (id, Purpose::Prack));
        }
    }
}

impl super::caller::Call {
    /// The early dialog with this tag.
    pub(super) fn fork_mut(&mut self, tag: &str) -> Option<&mut Fork> {
        self.forks.iter_mut().find(|fork| fork.dialog.remote_tag == tag)
    }

    /// Takes note of a response whose PRACK has yet to be sent.
    fn advance(&mut self, tag: &str, number: u32) {
        if let Some(fork) = self.fork_mut(tag) {
            fork.number = number;
        }
    }
}

fn send_prack(ground: &mut Ground<'_>, dialog: &mut Dialog, number: u32, invite: u32, body: Option<Body>) -> Sent {
    send(ground, dialog, Method::Prack, |request| {
        request.headers.push(Name::RAck, format_args!("{number} {invite} INVITE"));
        super::entry::attach(request, body);
    })
}

/// RSeq of a response that requires to be acknowledged.
fn rseq(headers: &Headers) -> Option<u32> {
    let required = headers.elements(Name::Require).flatten().any(|tag| tag.eq_ignore_ascii_case("100rel"));
    headers.get(Name::RSeq).filter(|_| required)?.parse().ok()
}

/// RAck: the number of the response and that of the INVITE.
fn rack(headers: &Headers) -> Option<(u32, u32)> {
    let mut parts = headers.get(Name::RAck)?.split_ascii_whitespace();
    let numbers = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (parts.next()? == Method::Invite.as_str() && parts.next().is_none()).then_some(numbers)
}
