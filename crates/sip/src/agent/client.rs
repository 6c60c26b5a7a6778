//! Requests of ours: sending, sending again, and finding the transaction of an answer.

use crate::agent::context::Verdict;
use crate::agent::due::Due;
use crate::agent::{
    Agent, ClientId, Failure, Hop, Output, Refused, SendTo, Target, Transport, Waiting, branch, checks, context,
};
use crate::header::{CSeq, Name, Via};
use crate::message::{Request, Response};
use crate::method::Method;
use crate::transaction::{Effect, Timer, client, client_invite};
use crate::validate::Essentials;
use base::{Str, Time};
use bytes::Bytes;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The state of either machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Machine {
    NonInvite(client::State),
    Invite(client_invite::State),
}

/// What happens to either.
#[derive(Debug, Clone, Copy)]
enum Event {
    Response(u16),
    Fired(Timer),
    TransportError,
}

impl Machine {
    fn step(self, event: Event) -> (Machine, &'static [Effect]) {
        match self {
            Machine::NonInvite(state) => {
                let event = match event {
                    Event::Response(..200) => client::Event::Provisional,
                    Event::Response(200..) => client::Event::Final,
                    Event::Fired(Timer::E) => client::Event::TimerE,
                    Event::Fired(Timer::F) => client::Event::TimerF,
                    Event::Fired(Timer::K) => client::Event::TimerK,
                    Event::Fired(_) => return (self, &[]),
                    Event::TransportError => client::Event::TransportError,
                };
                let (state, effects) = client::step(state, event);
                (Machine::NonInvite(state), effects)
            }
            Machine::Invite(state) => {
                let event = match event {
                    Event::Response(..200) => client_invite::Event::Provisional,
                    Event::Response(200..300) => client_invite::Event::Success,
                    Event::Response(300..) => client_invite::Event::Failure,
                    Event::Fired(Timer::A) => client_invite::Event::TimerA,
                    Event::Fired(Timer::B) => client_invite::Event::TimerB,
                    Event::Fired(Timer::D) => client_invite::Event::TimerD,
                    Event::Fired(Timer::M) => client_invite::Event::TimerM,
                    Event::Fired(_) => return (self, &[]),
                    Event::TransportError => client_invite::Event::TransportError,
                };
                let (state, effects) = client_invite::step(state, event);
                (Machine::Invite(state), effects)
            }
        }
    }

    /// Whether the user still waits for a final response.
    fn is_open(self) -> bool {
        match self {
            Machine::NonInvite(state) => matches!(state, client::State::Trying | client::State::Proceeding),
            Machine::Invite(state) => matches!(state, client_invite::State::Calling | client_invite::State::Proceeding),
        }
    }

    fn is_terminated(self) -> bool {
        self == Machine::NonInvite(client::State::Terminated)
            || self == Machine::Invite(client_invite::State::Terminated)
    }
}

/// How far the wish to cancel an INVITE has come (RFC 3261 §9.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cancel {
    No,
    /// Wished, but nothing has come back yet: the CANCEL must wait for a provisional response.
    Wished,
    Sent,
}

/// A request of ours.
#[derive(Debug)]
pub(super) struct Transaction {
    machine: Machine,
    method: Method,
    /// The number of its CSeq; none where it has none that can be read.
    number: Option<u32>,
    branch: Str,
    target: Target,
    /// What is sent, and sent again.
    bytes: Bytes,
    /// An INVITE as it was sent, for its ACK and its CANCEL.
    invite: Option<Box<Request>>,
    cancel: Cancel,
    /// Whether the user never sees it: a CANCEL.
    silent: bool,
    /// Whether it is one of several for one request.
    in_context: bool,
    /// Whether its connection has gone after it was sent.
    lost: bool,
    due: Due,
}

/// A CANCEL has its INVITE's branch, so the two share their random bits but for the last one.
const CANCEL_BIT: u64 = 1;

/// How many transactions one request may take: they share their random bits but for those above the last one.
pub(super) const ATTEMPTS: u64 = 128;

/// The bits that are not the request's.
const NUMBERED: u64 = 2 * ATTEMPTS - 1;

impl ClientId {
    /// The request that a transaction is for.
    pub(crate) fn request(self) -> ClientId {
        ClientId(self.0 & !NUMBERED)
    }
}

impl Agent {
    /// Sends a request and begins its transaction. The Via is added here: our sent-by, `rport`, and a branch with `suffix` at its end, of
    /// which those characters are left out that no token has. So is Max-Forwards, if there is none.
    ///
    /// Where the hop leads to several targets, or where credentials are wanted, more than one transaction is made of it, all but the first with numbers
    /// and addresses of their own: a response says in its CSeq which one was accepted.
    ///
    /// # Errors
    /// [`Refused`]; then nothing was sent.
    pub fn request(
        &mut self,
        now: Time,
        mut request: Request,
        hop: &Hop,
        suffix: Option<&str>,
    ) -> Result<ClientId, Refused> {
        if matches!(request.method, Method::Ack | Method::Cancel) {
            return Err(Refused::Method);
        }
        if self.clients.len().max(self.contexts.len()) >= self.config.max_client {
            return Err(Refused::Full);
        }
        let id = ClientId(self.tokens.u64()).request();
        let Hop::Target(target) = hop else { return self.open_context(now, id, request, hop, suffix) };
        if context::downgrades(&request, target.transport) {
            return Err(Refused::NoTransport);
        }
        let branch = self.add_via(&mut request, target, id.0, suffix)?;
        let bytes = request.to_bytes();
        if bytes.len() > context::MTU
            && self.instead_of_udp(target).is_some_and(|tcp| !self.quarantine.holds(now, &tcp))
        {
            request.headers.remove_first(Name::Via);
            return self.open_context(now, id, request, hop, suffix);
        }
        self.counts.requests_out += 1;
        self.start(now, id, request, bytes, branch, target.clone(), false);
        Ok(id)
    }

    /// Begins one of several transactions.
    pub(super) fn launch(
        &mut self,
        now: Time,
        id: ClientId,
        mut request: Request,
        target: Target,
        suffix: Option<&str>,
    ) -> Result<(), Refused> {
        let branch = self.add_via(&mut request, &target, id.0, suffix)?;
        let bytes = request.to_bytes();
        self.start(now, id, request, bytes, branch, target, true);
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a transaction, from two places")]
    fn start(
        &mut self,
        now: Time,
        id: ClientId,
        request: Request,
        bytes: Bytes,
        branch: Str,
        target: Target,
        in_context: bool,
    ) {
        let method = request.method.clone();
        let number = request.headers.cseq().ok().map(|cseq| cseq.number);
        let invite = (method == Method::Invite).then(|| Box::new(request));
        let transaction = Transaction {
            machine: Machine::NonInvite(client::State::Trying),
            method,
            number,
            branch,
            target,
            bytes,
            invite,
            cancel: Cancel::No,
            silent: false,
            in_context,
            lost: false,
            due: Due::default(),
        };
        self.begin(now, id, transaction);
    }

    /// How many bytes the Via takes that [`Agent::request`] will add to a request by this transport, its line end included; for those who must
    /// know the whole request's size before (RFC 3428 §8).
    pub fn via_length(&self, transport: Transport, suffix: Option<&str>) -> usize {
        let sent_by = self.config.sent_by.iter().find(|(known, _, _)| *known == transport);
        sent_by.map_or(0, |(transport, host, port)| {
            let branch = branch::mint(self.config.shard, 0, suffix);
            format!("Via: {}\r\n", Via::new(transport.as_str(), host.clone(), *port, &branch)).len()
        })
    }

    /// Sends the ACK for a 2xx (RFC 3261 §13.2.2.4): it has a branch of its own and no transaction. The user sends it again whenever the
    /// 2xx comes again.
    ///
    /// # Errors
    /// [`Refused`]; then nothing was sent.
    pub fn ack(&mut self, now: Time, request: Request, hop: &Hop) -> Result<(), Refused> {
        if request.method != Method::Ack {
            return Err(Refused::Method);
        }
        self.open_errand(now, request, hop)
    }

    pub(super) fn add_via(
        &self,
        request: &mut Request,
        target: &Target,
        bits: u64,
        suffix: Option<&str>,
    ) -> Result<Str, Refused> {
        let sent_by = self.config.sent_by.iter().find(|(transport, _, _)| *transport == target.transport);
        let (transport, host, port) = sent_by.ok_or(Refused::NoTransport)?;
        let token: Option<Str> =
            suffix.map(|s| s.chars().filter(|c| c.is_ascii() && crate::lex::is(*c as u8, crate::lex::TOKEN)).collect());
        let branch = branch::mint(self.config.shard, bits, token.as_deref());
        request.headers.push_front(Name::Via, Via::new(transport.as_str(), host.clone(), *port, &branch));
        if !request.headers.contains(Name::MaxForwards) {
            request.headers.push(Name::MaxForwards, 70);
        }
        Ok(branch)
    }

    fn begin(&mut self, now: Time, id: ClientId, mut t: Transaction) {
        let reliable = t.target.transport.reliable();
        let (machine, effects) = if t.method == Method::Invite {
            let (state, effects) = client_invite::start(reliable);
            (Machine::Invite(state), effects)
        } else {
            let (state, effects) = client::start(reliable);
            (Machine::NonInvite(state), effects)
        };
        t.machine = machine;
        for effect in effects {
            t.due.apply(now, *effect, &self.config.intervals, reliable);
        }
        self.send_request(id, &t);
        if let Some(at) = t.due.unqueued() {
            self.timers.set(at, Waiting::Client(id));
        }
        if reliable {
            self.by_target.insert((t.target.clone(), id));
        }
        self.clients.insert(id, Box::new(t));
    }

    fn send_request(&mut self, id: ClientId, t: &Transaction) {
        self.out.push_back(Output::Send {
            to: SendTo::Target(t.target.clone()),
            bytes: t.bytes.clone(),
            client: Some(id),
        });
    }

    /// Cancels an INVITE of ours: RFC 3261 §9.1. The CANCEL goes out once something has come back, and the INVITE ends in any case: with the
    /// 487 that the other side owes, with the answer that crossed the CANCEL, or by a timeout. Anything else is not cancelled. `reasons` are
    /// the values of Reason in the CANCEL (RFC 3326); those of the first call count.
    pub fn cancel(&mut self, now: Time, id: ClientId, reasons: &[Str]) {
        if !self.cancel_context(now, id, reasons) {
            self.cancel_transaction(now, id, reasons);
        }
    }

    /// The same of one transaction.
    pub(super) fn cancel_transaction(&mut self, now: Time, id: ClientId, reasons: &[Str]) {
        let Some(t) = self.clients.get_mut(&id) else { return };
        if let (Cancel::No, Some(invite)) = (t.cancel, &mut t.invite) {
            invite.headers.remove(Name::Reason);
            reasons.iter().for_each(|reason| invite.headers.push(Name::Reason, reason));
        }
        match t.machine {
            Machine::Invite(client_invite::State::Calling) if t.cancel == Cancel::No => t.cancel = Cancel::Wished,
            Machine::Invite(client_invite::State::Proceeding) if t.cancel != Cancel::Sent => self.send_cancel(now, id),
            Machine::Invite(_) | Machine::NonInvite(_) => {}
        }
    }

    fn send_cancel(&mut self, now: Time, id: ClientId) {
        let intervals = self.config.intervals;
        let Some(t) = self.clients.get_mut(&id) else { return };
        let Some(invite) = &t.invite else { return };
        t.cancel = Cancel::Sent;
        // No answer within 64 T1 means that the INVITE counts as cancelled all the same.
        t.due.apply(now, Effect::Start(Timer::B), &intervals, false);
        if let Some(at) = t.due.unqueued() {
            self.timers.set(at, Waiting::Client(id));
        }
        let cancel = within(invite, Method::Cancel, None);
        let transaction = Transaction {
            machine: Machine::NonInvite(client::State::Trying),
            method: Method::Cancel,
            number: t.number,
            branch: t.branch.clone(),
            target: t.target.clone(),
            bytes: cancel.to_bytes(),
            invite: None,
            cancel: Cancel::No,
            silent: true,
            in_context: false,
            lost: false,
            due: Due::default(),
        };
        self.begin(now, ClientId(id.0 | CANCEL_BIT), transaction);
    }

    /// A response. RFC 3261 §18.1.2, §8.1.3.3 and §17.1.3 with RFC 6026 §8.9: our own Via alone, our branch, our method, or it is dropped. So is one with
    /// another number than ours (§8.2.6.2), as dialogs and registrations go on from it.
    pub(super) fn response_came(&mut self, now: Time, response: Response) {
        let Ok(Essentials { via, cseq, .. }) = Essentials::of_response(&response) else {
            self.counts.dropped_unreadable += 1;
            return;
        };
        if response.headers.elements(Name::Via).nth(1).is_some()
            || !checks::is_ours(&self.config, &via.transport, &via.host, via.port)
        {
            self.counts.dropped_via += 1;
            return;
        }
        let found = via.branch().and_then(|b| {
            let (_, bits, _) = branch::parse(b)?;
            let cancel = u64::from(cseq.method == Method::Cancel) * CANCEL_BIT;
            let id = ClientId((bits & !CANCEL_BIT) | cancel);
            let t = self.clients.get(&id)?;
            let number = t.number.is_none_or(|number| number == cseq.number);
            (t.branch == b && cseq.method == t.method && number).then_some(id)
        });
        let Some(id) = found else {
            self.counts.dropped_stray += 1;
            return;
        };
        self.counts.responses_in += 1;
        self.client_step(now, id, Event::Response(response.code), Some(response));
    }

    /// The shell could not send a request of ours: no route, connection refused, an ICMP error.
    pub fn send_failed(&mut self, now: Time, id: ClientId) {
        self.client_step(now, id, Event::TransportError, None);
    }

    /// A connection that the shell had for requests to this target is gone. Requests that were sent there and have no final answer end: on a
    /// reliable transport nothing is sent again. But for those that are `unsent`, the other side may have had them: what is not to come twice, as a
    /// MESSAGE, then goes nowhere else either.
    pub fn connection_failed(&mut self, now: Time, target: &Target, mut unsent: Vec<ClientId>) {
        unsent.sort_unstable();
        let range = (target.clone(), ClientId(0))..=(target.clone(), ClientId(u64::MAX));
        let ids: Vec<ClientId> = self.by_target.range(range).map(|(_, id)| *id).collect();
        for id in ids {
            if let Some(t) = self.clients.get_mut(&id) {
                t.lost = unsent.binary_search(&id).is_err();
            }
            self.client_step(now, id, Event::TransportError, None);
        }
    }

    /// A connection is gone: requests that would do with no other one ([`Target::flow`]) and have no final answer end.
    pub fn flow_failed(&mut self, now: Time, connection: u64) {
        let least = |connection| Target {
            flow: Some(connection),
            ..Target::new(Transport::Udp, SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0))
        };
        let range = (least(connection), ClientId(0))..;
        let of_it = self.by_target.range(range).take_while(|(target, _)| target.flow == Some(connection));
        let ids: Vec<ClientId> = of_it.map(|(_, id)| *id).collect();
        for id in ids {
            self.client_step(now, id, Event::TransportError, None);
        }
    }

    /// Runs one transition and does what it asks for.
    fn client_step(&mut self, now: Time, id: ClientId, event: Event, mut response: Option<Response>) {
        let Some(mut t) = self.clients.remove(&id) else { return };
        let reliable = t.target.transport.reliable();
        // The user hears of an end once: a transport that fails while refusals are absorbed concerns nobody.
        let was_open = t.machine.is_open();
        let told = t.silent || !was_open;
        let heard = matches!(
            t.machine,
            Machine::NonInvite(client::State::Proceeding) | Machine::Invite(client_invite::State::Proceeding)
        );
        let mut ended = None;
        let mut waits_for_cancel = false;
        let (machine, effects) = match (t.machine, event) {
            // RFC 3261 §9.1: a cancelled INVITE that is still Proceeding has 64 T1, for which timer B was set again.
            (Machine::Invite(client_invite::State::Proceeding), Event::Fired(Timer::B)) if t.cancel == Cancel::Sent => {
                (Machine::Invite(client_invite::State::Terminated), &[Effect::InformTimeout][..])
            }
            (machine, event) => machine.step(event),
        };
        t.machine = machine;
        for effect in effects {
            t.due.apply(now, *effect, &self.config.intervals, reliable);
            match effect {
                Effect::SendRequest => {
                    self.counts.retransmissions_out += 1;
                    self.send_request(id, &t);
                }
                Effect::SendAck => {
                    // RFC 3261 §17.1.1.3: the first refusal makes the ACK, and the same ACK goes out for each further one.
                    if let (Some(invite), Some(response)) = (t.invite.take(), &response) {
                        t.bytes = within(&invite, Method::Ack, response.headers.get(Name::To)).to_bytes();
                    }
                    self.send_request(id, &t);
                }
                Effect::ToUser => {
                    if let Some(response) = response.take().filter(|_| !t.silent) {
                        waits_for_cancel = t.cancel == Cancel::Wished && machine.is_open();
                        match (t.in_context, was_open && !machine.is_open()) {
                            (false, _) => self.out.push_back(Output::Response { id, response }),
                            (true, false) => self.context_heard(id, response),
                            (true, true) => ended = Some(Verdict::Response(response)),
                        }
                    }
                }
                Effect::InformTimeout if !told && t.in_context => ended = Some(Verdict::Failed(Failure::Timeout)),
                Effect::InformTransport if !told && t.in_context && t.lost => ended = Some(Verdict::Lost),
                Effect::InformTransport if !told && t.in_context => ended = Some(Verdict::Failed(Failure::Transport)),
                Effect::InformTimeout if !told => {
                    self.counts.timeouts += 1;
                    self.out.push_back(Output::Failed { id, why: Failure::Timeout });
                }
                Effect::InformTransport if !told => {
                    self.counts.transport_failures += 1;
                    self.out.push_back(Output::Failed { id, why: Failure::Transport });
                }
                Effect::InformTimeout | Effect::InformTransport => {}
                Effect::SendResponse | Effect::ResendResponse | Effect::SendTrying => {}
                Effect::Start(_) | Effect::Again(_) | Effect::Slow(_) | Effect::Stop(_) => {}
            }
        }
        // Completed of figure 6 does nothing but absorb, and a response to nothing is dropped as well (RFC 6026 §8.9): no need to
        // keep it for timer K.
        if machine.is_terminated() || machine == Machine::NonInvite(client::State::Completed) {
            if reliable {
                self.by_target.remove(&(t.target, id));
            }
        } else {
            if let Some(at) = t.due.unqueued() {
                self.timers.set(at, Waiting::Client(id));
            }
            self.clients.insert(id, t);
            if waits_for_cancel {
                self.send_cancel(now, id);
            }
        }
        if let Some(verdict) = ended {
            self.context_ended(now, id, verdict, heard);
        }
    }

    pub(super) fn client_due(&mut self, now: Time, at: Time, id: ClientId) {
        let Some(t) = self.clients.get_mut(&id) else { return };
        t.due.came_out(at);
        while let Some(t) = self.clients.get_mut(&id) {
            let Some(timer) = t.due.fire(now) else { break };
            self.client_step(now, id, Event::Fired(timer), None);
        }
        if let Some(at) = self.clients.get_mut(&id).and_then(|t| t.due.unqueued()) {
            self.timers.set(at, Waiting::Client(id));
        }
    }
}

/// The ACK for a refusal of an INVITE, or its CANCEL: RFC 3261 §17.1.1.3, §9.1. Request-URI, top Via, Call-ID, From, Route and the number
/// are the INVITE's; To is the response's, where there is one.
fn within(invite: &Request, method: Method, to: Option<&str>) -> Request {
    let mut request = Request::new(method.clone(), invite.uri.clone());
    let headers = &mut request.headers;
    if let Ok(via) = invite.headers.via() {
        headers.push(Name::Via, via);
    }
    headers.copy(&invite.headers, Name::Route);
    headers.push(Name::MaxForwards, 70);
    headers.copy(&invite.headers, Name::From);
    match to {
        Some(to) => headers.push(Name::To, to),
        None => headers.copy(&invite.headers, Name::To),
    }
    headers.copy(&invite.headers, Name::CallId);
    if let Ok(cseq) = invite.headers.cseq() {
        headers.push(Name::CSeq, CSeq { number: cseq.number, method });
    }
    if request.method == Method::Cancel {
        // Those that were wished for the CANCEL: an INVITE that was sent is read for nothing else.
        headers.copy(&invite.headers, Name::Reason);
    }
    request
}
