//! Requests that come: matching, answering, remembering.

use crate::agent::answer::{Answer, Echo};
use crate::agent::due::Due;
use crate::agent::memory::Known;
use crate::agent::{Agent, Flow, Output, ServerId, Waiting, checks, mirror};
use crate::header::{HeaderName, Name};
use crate::message::{Request, Response};
use crate::method::Method;
use crate::transaction::{Effect, Timer, server, server_invite};
use crate::validate::Essentials;
use base::{Str, Time};
use bytes::Bytes;

/// What the memory holds for a request that was never answered: its retransmissions are absorbed, and that is all.
const SILENCE: u16 = 0;

/// The state of either machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Machine {
    NonInvite(server::State),
    Invite(server_invite::State),
}

/// What happens to either.
#[derive(Debug, Clone, Copy)]
enum Event {
    NonInvite(server::Event),
    Invite(server_invite::Event),
}

impl Machine {
    fn step(self, event: Event, reliable: bool) -> (Machine, &'static [Effect]) {
        match (self, event) {
            (Machine::NonInvite(state), Event::NonInvite(event)) => {
                let (state, effects) = server::step(state, event);
                (Machine::NonInvite(state), effects)
            }
            (Machine::Invite(state), Event::Invite(event)) => {
                let (state, effects) = server_invite::step(state, event, reliable);
                (Machine::Invite(state), effects)
            }
            // An event is made for the machine it goes to.
            (Machine::NonInvite(_), Event::Invite(_)) | (Machine::Invite(_), Event::NonInvite(_)) => (self, &[]),
        }
    }

    /// An answer of the user with this status.
    fn answered(self, code: u16) -> Event {
        match self {
            Machine::NonInvite(_) if code < 200 => Event::NonInvite(server::Event::Provisional),
            Machine::NonInvite(_) => Event::NonInvite(server::Event::Final),
            Machine::Invite(_) => Event::Invite(match code {
                ..200 => server_invite::Event::Provisional,
                200..300 => server_invite::Event::Success,
                300.. => server_invite::Event::Failure,
            }),
        }
    }

    fn fired(self, timer: Timer) -> Option<Event> {
        Some(match (self, timer) {
            (Machine::NonInvite(_), Timer::J) => Event::NonInvite(server::Event::TimerJ),
            (Machine::NonInvite(_), Timer::Trying) => Event::NonInvite(server::Event::TimerTrying),
            (Machine::NonInvite(_), Timer::Useless) => Event::NonInvite(server::Event::TimerUseless),
            (Machine::Invite(_), Timer::G) => Event::Invite(server_invite::Event::TimerG),
            (Machine::Invite(_), Timer::H) => Event::Invite(server_invite::Event::TimerH),
            (Machine::Invite(_), Timer::I) => Event::Invite(server_invite::Event::TimerI),
            (Machine::Invite(_), Timer::L) => Event::Invite(server_invite::Event::TimerL),
            (Machine::Invite(_), Timer::InviteTrying) => Event::Invite(server_invite::Event::TimerTrying),
            (Machine::NonInvite(_) | Machine::Invite(_), _) => return None,
        })
    }

    fn is_open(self) -> bool {
        match self {
            Machine::NonInvite(state) => matches!(state, server::State::Trying | server::State::Proceeding),
            Machine::Invite(state) => state == server_invite::State::Proceeding,
        }
    }

    fn is_terminated(self) -> bool {
        self == Machine::NonInvite(server::State::Terminated)
            || self == Machine::Invite(server_invite::State::Terminated)
    }
}

/// A request that waits for our final answer, or an INVITE until its refusal is acknowledged.
#[derive(Debug)]
pub(super) struct Transaction {
    machine: Machine,
    reliable: bool,
    echo: Echo,
    /// The last response that was sent.
    last: Option<Bytes>,
    /// The name under which the ACK for a 2xx would come.
    dialog: Option<u128>,
    due: Due,
}

impl Agent {
    /// A request that could be read.
    pub(super) fn request_came(&mut self, now: Time, request: Request, flow: Flow) {
        if !checks::can_answer(&flow) {
            self.counts.dropped_source += 1;
            return;
        }
        let essentials = match Essentials::of_request(&request) {
            Ok(essentials) => essentials,
            Err(fault) => return self.invalid(&request, fault, flow),
        };
        let Some(echo) = Echo::of(&request, &essentials, flow, &self.secrets) else {
            self.counts.dropped_unreadable += 1;
            return;
        };
        if request.method == Method::Ack {
            return self.ack_came(now, request, flow, &echo);
        }
        if self.came_before(now, &request, &echo) {
            return;
        }
        self.counts.requests_in += 1;
        // Every request that is taken on can be remembered: an answer that is forgotten too early would let a retransmission through.
        if !self.memory.has_room(self.servers.len() + 1) {
            self.counts.overload += 1;
            let refusal = self.full();
            return self.send_response(&echo, echo.response(&checks::answer(&refusal)));
        }
        if request.method == Method::Cancel {
            return self.cancel_came(now, &request, &echo);
        }
        if checks::looped(&self.config, &request) {
            self.counts.looped += 1;
            return self.refuse(now, &echo, &(482, Vec::new()));
        }
        if let Err(refusal) = checks::check(&self.config, &request) {
            self.counts.refused += 1;
            return self.refuse(now, &echo, &refusal);
        }
        if request.method == Method::Invite && !self.config.invites {
            self.counts.refused += 1;
            return self.refuse(now, &echo, &checks::not_allowed(&self.config));
        }
        if self.servers.len() >= self.config.max_server
            || self.server_bytes + echo.weight() > self.config.max_server_bytes
        {
            self.counts.overload += 1;
            let refusal = self.full();
            return self.refuse(now, &echo, &refusal);
        }
        let id = self.open(now, &request, flow, echo);
        self.out.push_back(Output::Request { id, request, flow });
    }

    /// A request that came before gets what it got before; one that came before by another way gets 482 (RFC 3261 §8.2.2.2).
    fn came_before(&mut self, now: Time, request: &Request, echo: &Echo) -> bool {
        if let Some(&id) = self.open.get(&echo.key.request) {
            let same = self.servers.get(&id).is_some_and(|t| t.echo.key == echo.key);
            if same {
                self.counts.retransmissions_in += 1;
                let event = if request.method == Method::Invite {
                    Event::Invite(server_invite::Event::Invite)
                } else {
                    Event::NonInvite(server::Event::Request)
                };
                self.server_step(now, id, event, None);
            } else {
                self.merged(echo);
            }
            return true;
        }
        match self.memory.recall(echo.key) {
            Known::New => return false,
            Known::OtherPath => {
                self.merged(echo);
                return true;
            }
            Known::Answered(SILENCE) => {}
            Known::Answered(number) => {
                let form = self.shapes.answer(number);
                let bytes = match &echo.mirror {
                    Some(mirror) => echo.response(&Answer { headers: &mirror.unpack(form.headers), ..form }),
                    None => echo.response(&form),
                };
                self.answer_again(echo, bytes);
            }
            Known::Bytes(bytes) => self.answer_again(echo, bytes),
        }
        self.counts.retransmissions_in += 1;
        true
    }

    fn merged(&mut self, echo: &Echo) {
        self.counts.merged += 1;
        self.send_response(echo, echo.response(&Answer::plain(482)));
    }

    fn answer_again(&mut self, echo: &Echo, bytes: Bytes) {
        self.counts.answered_again += 1;
        self.send_response(echo, bytes);
    }

    fn send_response(&mut self, echo: &Echo, bytes: Bytes) {
        self.out.push_back(Output::Send { to: echo.to.clone(), bytes, client: None });
    }

    /// Begins a transaction.
    fn open(&mut self, now: Time, request: &Request, flow: Flow, echo: Echo) -> ServerId {
        self.last_server += 1;
        let id = ServerId(self.last_server);
        self.open.insert(echo.key.request, id);
        let (machine, effects) = if request.method == Method::Invite {
            self.invites.insert(echo.invite, id);
            let (state, effects) = server_invite::start();
            (Machine::Invite(state), effects)
        } else {
            let (state, effects) = server::start();
            (Machine::NonInvite(state), effects)
        };
        let dialog = match machine {
            Machine::Invite(_) => Echo::dialog(request, &echo.tag, &self.secrets),
            Machine::NonInvite(_) => None,
        };
        let reliable = flow.transport.reliable();
        let mut due = Due::default();
        for effect in effects {
            due.apply(now, *effect, &self.config.intervals, reliable);
        }
        if let Some(at) = due.unqueued() {
            self.timers.set(at, Waiting::Server(id));
        }
        self.server_bytes += echo.weight();
        let transaction = Transaction { machine, reliable, echo, last: None, dialog, due };
        self.servers.insert(id, Box::new(transaction));
        id
    }

    /// Refuses a request that the user never sees: without a transaction, by memory alone. RFC 3261 §8.2.7 allows that for an INVITE too: its
    /// refusal is sent again when the INVITE comes again, not until an ACK comes. Anybody can send an INVITE in anybody's name, which
    /// would have us send ten times what we got and keep a place for 32 s.
    fn refuse(&mut self, now: Time, echo: &Echo, refusal: &checks::Refusal) {
        self.remember(now, echo, &checks::answer(refusal));
    }

    /// Sends a final answer and keeps it in the memory, which stands for the machine's state Completed: that does nothing but send the
    /// same answer again, until timer J. On a reliable transport J is zero; there the memory still knows a request that comes by a second way.
    fn remember(&mut self, now: Time, echo: &Echo, answer: &Answer<'_>) -> Bytes {
        let bytes = echo.response(answer);
        let number = match &echo.mirror {
            _ if mirror::has_marks(answer.headers) => None,
            Some(mirror) => {
                let packed = mirror.pack(answer.headers);
                packed.and_then(|headers| self.shapes.number(&Answer { headers: &headers, ..*answer }))
            }
            None => self.shapes.number(answer),
        };
        match number {
            Some(number) => self.memory.remember(now, echo.key, number, None),
            None => self.memory.remember(now, echo.key, answer.code, Some(&bytes)),
        }
        self.send_response(echo, bytes.clone());
        bytes
    }

    /// Answers a request: any number of times with 1xx, then once with a final status; further 2xx to an INVITE may follow
    /// (RFC 6026 §7.1). An `id` that is known no more is ignored: its sender has got an answer already, or has given up.
    ///
    /// Via, From, To with our tag, Call-ID and CSeq are the request's, whatever `response` says; its other headers, phrase and
    /// body are sent as they are. To a non-INVITE request no 1xx is ever sent but a 100, and that by itself when it is due, and no 408
    /// (RFC 4320 §4): both are ignored here.
    pub fn respond(&mut self, now: Time, id: ServerId, response: Response) {
        let headers = given(&response);
        let Response { code, reason, body, .. } = response;
        self.answer(now, id, &Answer { code, reason: &reason, headers: &headers, body: &body });
    }

    /// Refuses an INVITE of somebody who may not send one, as those that the user never sees are refused: the answer comes once for each time
    /// that the INVITE does, and no place is kept until the ACK. Any other request, and one that has an answer, is as in [`Agent::respond`].
    pub fn refuse_stranger(&mut self, now: Time, id: ServerId, response: Response) {
        let is_open = |t: &Transaction| matches!(t.machine, Machine::Invite(_)) && t.machine.is_open();
        if response.code < 300 || !self.servers.get(&id).is_some_and(|t| is_open(t)) {
            return self.respond(now, id, response);
        }
        let Some(t) = self.servers.remove(&id) else { return };
        self.close(now, &t);
        let headers = given(&response);
        let Response { code, reason, body, .. } = response;
        self.remember(now, &t.echo, &Answer { code, reason: &reason, headers: &headers, body: &body });
    }

    /// Answers a request and forgets it, as RFC 3261 §8.2.7 lets those do who keep no state: if it comes again, it comes up again. For challenges: nobody who has proved
    /// nothing yet is to cost any memory, and each time that it asks it gets another nonce.
    pub fn challenge(&mut self, now: Time, id: ServerId, response: Response) {
        if !self.servers.get(&id).is_some_and(|t| t.machine.is_open() && t.last.is_none()) {
            return self.respond(now, id, response);
        }
        let Some(t) = self.servers.remove(&id) else { return };
        self.close(now, &t);
        let headers = given(&response);
        let Response { code, reason, body, .. } = response;
        let bytes = t.echo.response(&Answer { code, reason: &reason, headers: &headers, body: &body });
        self.send_response(&t.echo, bytes);
    }

    /// Our tag in the dialog that a 2xx to this INVITE would make.
    pub fn local_tag(&self, id: ServerId) -> Option<&str> {
        self.servers.get(&id).map(|t| t.echo.tag.as_str())
    }

    fn answer(&mut self, now: Time, id: ServerId, answer: &Answer<'_>) {
        let Some(transaction) = self.servers.get(&id) else { return };
        let machine = transaction.machine;
        if let Machine::NonInvite(_) = machine
            && (answer.code < 200 || answer.code == 408)
        {
            return;
        }
        self.server_step(now, id, machine.answered(answer.code), Some(answer));
    }

    /// Runs one transition and does what it asks for.
    fn server_step(&mut self, now: Time, id: ServerId, event: Event, answer: Option<&Answer<'_>>) {
        let Some(mut t) = self.servers.remove(&id) else { return };
        let (machine, effects) = t.machine.step(event, t.reliable);
        let was_open = t.machine.is_open();
        t.machine = machine;
        for effect in effects {
            t.due.apply(now, *effect, &self.config.intervals, t.reliable);
            match effect {
                Effect::SendResponse => {
                    let Some(answer) = answer else { continue };
                    t.last = Some(match machine {
                        Machine::NonInvite(server::State::Completed) => self.remember(now, &t.echo, answer),
                        Machine::NonInvite(_) | Machine::Invite(_) => {
                            let bytes = t.echo.response(answer);
                            self.send_response(&t.echo, bytes.clone());
                            bytes
                        }
                    });
                }
                Effect::SendTrying => {
                    let bytes = t.echo.response(&Answer::plain(100));
                    self.send_response(&t.echo, bytes.clone());
                    t.last = Some(bytes);
                }
                Effect::ResendResponse => {
                    if let Some(bytes) = &t.last {
                        match event {
                            Event::Invite(server_invite::Event::TimerG) => self.counts.retransmissions_out += 1,
                            Event::Invite(_) | Event::NonInvite(_) => self.counts.answered_again += 1,
                        }
                        self.out.push_back(Output::Send { to: t.echo.to.clone(), bytes: bytes.clone(), client: None });
                    }
                }
                Effect::InformTimeout => {
                    self.counts.useless += 1;
                    self.out.push_back(Output::Cancelled { id, reason: None });
                }
                // The ACK is passed on where it came; a request is when its transaction begins; the shell reports no failed response.
                Effect::ToUser | Effect::InformTransport => {}
                Effect::SendRequest | Effect::SendAck => {}
                Effect::Start(_) | Effect::Again(_) | Effect::Slow(_) | Effect::Stop(_) => {}
            }
        }
        if was_open
            && machine == Machine::Invite(server_invite::State::Accepted)
            && let Some(dialog) = t.dialog
        {
            self.accepted.insert(dialog, id);
        }
        // Completed is the memory's.
        if machine.is_terminated() || machine == Machine::NonInvite(server::State::Completed) {
            return self.close(now, &t);
        }
        if let Some(at) = t.due.unqueued() {
            self.timers.set(at, Waiting::Server(id));
        }
        self.servers.insert(id, t);
    }

    /// Ends a transaction. One that ends without an answer in the memory leaves a silence there, so that a late duplicate from the network
    /// does not come up as a new request.
    fn close(&mut self, now: Time, t: &Transaction) {
        self.server_bytes -= t.echo.weight();
        self.open.remove(&t.echo.key.request);
        if let Machine::Invite(_) = t.machine {
            self.invites.remove(&t.echo.invite);
            if let Some(dialog) = t.dialog {
                self.accepted.remove(&dialog);
            }
        }
        if t.machine.is_terminated() {
            self.memory.remember(now, t.echo.key, SILENCE, None);
        }
    }

    pub(super) fn server_due(&mut self, now: Time, at: Time, id: ServerId) {
        let Some(t) = self.servers.get_mut(&id) else { return };
        t.due.came_out(at);
        while let Some(t) = self.servers.get_mut(&id) {
            let Some(timer) = t.due.fire(now) else { break };
            if let Some(event) = t.machine.fired(timer) {
                self.server_step(now, id, event, None);
            }
        }
        if let Some(at) = self.servers.get_mut(&id).and_then(|t| t.due.unqueued()) {
            self.timers.set(at, Waiting::Server(id));
        }
    }

    /// An ACK: for a refusal it belongs to the INVITE's transaction, for a 2xx it is its own (RFC 3261 §17.1.1.3, §13.2.2.4). It is never
    /// answered.
    fn ack_came(&mut self, now: Time, request: Request, flow: Flow, echo: &Echo) {
        if let Some(&id) = self.invites.get(&echo.invite) {
            return self.server_ack(now, id, request, flow);
        }
        let our_tag = request.headers.to_tag().unwrap_or("");
        let dialog = Echo::dialog(&request, our_tag, &self.secrets);
        match dialog.and_then(|d| self.accepted.get(&d)) {
            Some(&id) => self.server_ack(now, id, request, flow),
            None => self.counts.dropped_ack += 1,
        }
    }

    fn server_ack(&mut self, now: Time, id: ServerId, request: Request, flow: Flow) {
        let accepted =
            self.servers.get(&id).is_some_and(|t| t.machine == Machine::Invite(server_invite::State::Accepted));
        self.server_step(now, id, Event::Invite(server_invite::Event::Ack), None);
        if accepted {
            self.out.push_back(Output::Ack { id, request, flow });
        }
    }

    /// RFC 3261 §9.2: 200 if there is an INVITE to cancel, and then 487 to that one unless it is answered already; 481 otherwise. Cancelling
    /// anything but an INVITE has no effect, and is not meant to be done.
    fn cancel_came(&mut self, now: Time, request: &Request, echo: &Echo) {
        let Some(&id) = self.invites.get(&echo.invite) else {
            self.counts.refused += 1;
            self.remember(now, echo, &Answer::plain(481));
            return;
        };
        self.remember(now, echo, &Answer::plain(200));
        if self.servers.get(&id).is_some_and(|t| t.machine.is_open()) {
            self.counts.cancelled += 1;
            self.answer(now, id, &Answer::plain(487));
            let reason = request.headers.get(Name::Reason).map(Str::from);
            self.out.push_back(Output::Cancelled { id, reason });
        }
    }
}

/// The headers of a response that are not the request's.
fn given(response: &Response) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in response.headers.iter() {
        if let HeaderName::Known(
            Name::Via | Name::From | Name::To | Name::CallId | Name::CSeq | Name::Timestamp | Name::ContentLength,
        ) = name
        {
            continue;
        }
        headers.extend_from_slice(name.as_str().as_bytes());
        headers.extend_from_slice(b": ");
        headers.extend_from_slice(value.as_bytes());
        headers.extend_from_slice(b"\r\n");
    }
    headers
}
