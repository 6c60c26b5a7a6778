//! The response context of a request of ours (RFC 3261 §16.7): all transactions that it takes, of which the layer above sees one answer.
//!
//! A request to one address has none. One to a place has several targets, one after the other (RFC 3263 §4.3); one to several contacts has a leg for each
//! of them, and the best of their answers is the answer (RFC 3261 §16.7 step 6); and one with an account is said again with the credentials that are
//! wanted. Each attempt is a transaction of its own, whose name is the request's with the number of the attempt in its lowest bits.

use crate::agent::client::ATTEMPTS;
use crate::agent::{AccountId, Agent, Branch, ClientId, Failure, Hop, Next, Output, Place, Refused, Target, Transport};
use crate::digest::Wallet;
use crate::ground::retry_after;
use crate::header::{CSeq, Name};
use crate::locate::{Fault, Search, Step};
use crate::message::{Request, Response, reason_phrase};
use crate::method::Method;
use crate::uri::Uri;
use base::dns::Answer;
use base::{Str, Time};
use std::cmp::Reverse;
use std::time::Duration;

/// The most contacts that one request goes to; more are left out, the least wanted ones.
const MOST_LEGS: usize = 16;

/// The most targets that are tried for one contact.
const MOST_TARGETS: u8 = 8;

/// How often credentials are given for one contact: once for a server and a proxy, once more for a nonce that has ended.
const MOST_CHALLENGES: u8 = 3;

/// RFC 3261 §18.1.1: what is longer goes by a transport with congestion control.
pub(super) const MTU: usize = 1300;

/// All that is kept for one request.
#[derive(Debug)]
pub(super) struct Context {
    /// As the layer above wants it, without a Via.
    request: Request,
    suffix: Option<Str>,
    legs: Vec<Leg>,
    begun: Time,
    /// The number of the next attempt.
    attempt: u64,
    /// The best of the refusals so far.
    best: Option<Verdict>,
    /// The layer above wants it cancelled, with these values of Reason.
    cancelled: Option<Vec<Str>>,
}

/// How an attempt has ended, or all of them.
#[derive(Debug)]
pub(super) enum Verdict {
    Response(Response),
    Failed(Failure),
    /// The connection has gone that it was sent over: the other side may have it, or not.
    Lost,
}

/// One contact.
#[derive(Debug)]
struct Leg {
    /// What the request says in place of its own Request-URI, and in Route.
    uri: Option<Uri>,
    route: Option<Str>,
    q: u16,
    account: Option<AccountId>,
    /// Whether others than the operator have said where it is.
    foreign: bool,
    search: Search,
    state: State,
    /// The target of the attempt under way.
    target: Option<Target>,
    /// Where it goes by UDP if TCP is refused: RFC 3261 §18.1.1.
    instead: Option<Target>,
    /// Targets in quarantine, for when there are no others.
    dead: Vec<Target>,
    tried: u8,
    challenges: u8,
    /// The number after those that were challenged.
    cseq: Option<u32>,
    /// As it went out, where credentials may be asked for.
    sent: Option<Box<Request>>,
    /// Why the last target was not the last word.
    why: Option<Verdict>,
    /// The last target has failed, and no other was tried yet.
    failed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Others are preferred.
    Waiting,
    /// A name server is asked.
    Asking(u64),
    /// An attempt is under way.
    Trying(ClientId),
    Over,
}

/// For whom a name server is asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asker {
    Leg(ClientId, usize),
    Errand(u64),
}

impl Leg {
    fn new(search: Search, place: Option<&Place>) -> Leg {
        Leg {
            uri: None,
            route: None,
            q: 1000,
            account: place.and_then(|place| place.account),
            foreign: place.is_some_and(|place| place.foreign),
            search,
            state: State::Waiting,
            target: None,
            instead: None,
            dead: Vec::new(),
            tried: 0,
            challenges: 0,
            cseq: None,
            sent: None,
            why: None,
            failed: false,
        }
    }
}

impl Agent {
    /// Begins a request that may take more than one transaction.
    pub(super) fn open_context(
        &mut self,
        now: Time,
        id: ClientId,
        request: Request,
        hop: &Hop,
        suffix: Option<&str>,
    ) -> Result<ClientId, Refused> {
        let means: Vec<Transport> = self.config.sent_by.iter().map(|(transport, ..)| *transport).collect();
        let large = request.to_bytes().len() + self.via_length(Transport::Udp, suffix) > MTU;
        let leg = |next: &Next| match next {
            Next::Target(target) => Leg::new(Search::at(target.clone()), None),
            Next::Place(place) => Leg::new(Search::new(place, &means, large), Some(place)),
        };
        let legs = match hop {
            Hop::Target(target) => vec![leg(&Next::Target(target.clone()))],
            Hop::Place(place) => vec![leg(&Next::Place(place.clone()))],
            Hop::Fork(branches) => {
                let mut branches: Vec<&Branch> = branches.iter().collect();
                branches.sort_by_key(|branch| Reverse(branch.q));
                branches.truncate(MOST_LEGS);
                let of = |branch: &Branch| Leg {
                    uri: Some(branch.uri.clone()),
                    route: branch.route.clone(),
                    q: branch.q,
                    ..leg(&branch.next)
                };
                branches.into_iter().map(of).collect()
            }
        };
        if legs.iter().all(|leg| leg.search.is_hopeless()) {
            return Err(Refused::NoTransport);
        }
        self.counts.requests_out += 1;
        let suffix = suffix.map(Str::from);
        let context = Context { request, suffix, legs, begun: now, attempt: 0, best: None, cancelled: None };
        self.next_group(now, id, Box::new(context));
        Ok(id)
    }

    pub(super) fn ask(&mut self, asker: Asker) -> u64 {
        self.asks += 1;
        self.asked.insert(self.asks, asker);
        self.asks
    }

    /// A question of [`Output::Locate`] is answered.
    pub fn located(&mut self, now: Time, id: u64, answer: &Answer) {
        match self.asked.remove(&id) {
            Some(Asker::Leg(client, at)) => {
                let Some(mut context) = self.contexts.remove(&client) else { return };
                if let Some(leg) = context.legs.get_mut(at).filter(|leg| leg.state == State::Asking(id)) {
                    leg.search.answered(answer, &mut self.tokens);
                    self.next_target(now, client, &mut context, at);
                }
                self.weigh(now, client, context);
            }
            Some(Asker::Errand(id)) => {
                let Some(mut errand) = self.errands.remove(&id) else { return };
                errand.answered(answer, &mut self.tokens);
                self.run_errand(now, *errand);
            }
            None => {}
        }
    }

    /// Begins with those contacts that are preferred now: RFC 3261 §16.6.
    fn next_group(&mut self, now: Time, id: ClientId, mut context: Box<Context>) {
        let q = context.legs.iter().find(|leg| leg.state == State::Waiting).map(|leg| leg.q);
        for at in 0..context.legs.len() {
            if context.legs[at].state == State::Waiting && Some(context.legs[at].q) == q {
                self.next_target(now, id, &mut context, at);
            }
        }
        self.weigh(now, id, context);
    }

    /// Tries the next target of a leg, or asks where it is, or says that there is none.
    fn next_target(&mut self, now: Time, id: ClientId, context: &mut Context, at: usize) {
        loop {
            let over = context.cancelled.is_some() || now >= context.begun + 2 * self.config.intervals.patience();
            let leg = &mut context.legs[at];
            leg.target = None;
            let instead = leg.instead.take();
            // What did not go out by TCP goes out as it is: a count of credentials that nobody has seen must not be missing.
            leg.sent = leg.sent.take().filter(|_| instead.is_some());
            if leg.tried > 0 && (over || leg.tried >= MOST_TARGETS) {
                leg.state = State::Over;
                return;
            }
            let step = instead.map_or_else(|| leg.search.step(), Step::Try);
            match step {
                Step::Ask(question) => {
                    let question_id = self.ask(Asker::Leg(id, at));
                    context.legs[at].state = State::Asking(question_id);
                    self.out.push_back(Output::Locate { id: question_id, question });
                    return;
                }
                Step::Try(target) if !self.may_go(leg.foreign, &target) => {
                    leg.why.get_or_insert(Verdict::Failed(Failure::Nowhere));
                }
                // An address that somebody has named is the only one there is: only of several there are better ones.
                Step::Try(target) if self.quarantine.holds(now, &target) && leg.search.has_more() => {
                    leg.dead.push(target);
                }
                Step::Try(target) => {
                    if self.attempt(now, id, context, at, target) {
                        return;
                    }
                }
                Step::End(_) if !leg.dead.is_empty() => {
                    let target = leg.dead.remove(0);
                    if self.attempt(now, id, context, at, target) {
                        return;
                    }
                }
                Step::End(fault) => {
                    leg.state = State::Over;
                    leg.why.get_or_insert(Verdict::Failed(match fault {
                        Fault::Nothing | Fault::NoTransport => Failure::Nowhere,
                        Fault::Unknown => Failure::Unknown,
                    }));
                    return;
                }
            }
        }
    }

    /// Whether a request may go to an address that others have named.
    pub(super) fn may_go(&self, foreign: bool, target: &Target) -> bool {
        !foreign || self.fence.as_ref().is_none_or(|fence| fence.may_lead_to(target))
    }

    /// Begins one transaction. `false`: that is not possible.
    fn attempt(&mut self, now: Time, id: ClientId, context: &mut Context, at: usize, target: Target) -> bool {
        let leg = &mut context.legs[at];
        leg.tried = leg.tried.saturating_add(1);
        if context.attempt >= ATTEMPTS || self.clients.len() >= 2 * self.config.max_client {
            leg.why = Some(Verdict::Failed(Failure::Transport));
            return false;
        }
        let mut request = context.request.clone();
        aim(&mut request, leg.uri.as_ref(), leg.route.as_ref());
        if let Some(number) = leg.cseq {
            request.headers.set(Name::CSeq, CSeq { number, method: request.method.clone() });
        }
        match (leg.account, leg.sent.take()) {
            (Some(_), Some(unseen)) => Wallet::repeat(&unseen, &mut request),
            (Some(account), None) => self.wallet.authorize(account, &mut request, &mut self.tokens),
            (None, _) => {}
        }
        let target = match self.rather_tcp(now, &target, &request, context.suffix.as_deref()) {
            Some(tcp) if leg.instead.is_none() => {
                leg.instead = Some(target);
                tcp
            }
            Some(_) | None => target,
        };
        self.fit_contact(&mut request, target.transport);
        let number = context.attempt;
        context.attempt += 1;
        let tx = ClientId(id.0 | number << 1);
        let sent = leg.account.map(|_| Box::new(request.clone()));
        if downgrades(&request, target.transport)
            || self.launch(now, tx, request, target.clone(), context.suffix.as_deref()).is_err()
        {
            leg.why.get_or_insert(Verdict::Failed(Failure::Nowhere));
            return false;
        }
        self.counts.failovers += u64::from(std::mem::take(&mut leg.failed));
        (leg.state, leg.target, leg.sent) = (State::Trying(tx), Some(target), sent);
        true
    }

    /// RFC 3261 §18.1.1: what is longer than a datagram may be goes by TCP to the same place, if there is TCP here, and has not failed there lately.
    pub(super) fn rather_tcp(
        &self,
        now: Time,
        target: &Target,
        request: &Request,
        suffix: Option<&str>,
    ) -> Option<Target> {
        let tcp = self.instead_of_udp(target)?;
        let long = || request.to_bytes().len() + self.via_length(Transport::Udp, suffix) > MTU;
        (!self.quarantine.holds(now, &tcp) && long()).then_some(tcp)
    }

    /// The same place by TCP, for one by UDP.
    pub(super) fn instead_of_udp(&self, target: &Target) -> Option<Target> {
        let tcp = || self.config.sent_by.iter().any(|(transport, ..)| *transport == Transport::Tcp);
        let udp = target.transport == Transport::Udp && target.flow.is_none();
        (udp && tcp()).then(|| Target::new(Transport::Tcp, target.remote))
    }

    /// A provisional response to an attempt, or a further 2xx.
    pub(super) fn context_heard(&mut self, tx: ClientId, response: Response) {
        let id = tx.request();
        // What comes behind the end is of interest only where it makes another dialog (RFC 3261 §13.2.2.4).
        if self.contexts.contains(&id) || response.is_success() {
            self.out.push_back(Output::Response { id, response });
        }
    }

    /// An attempt has ended. `heard`: something had come back before.
    pub(super) fn context_ended(&mut self, now: Time, tx: ClientId, verdict: Verdict, heard: bool) {
        let id = tx.request();
        let Some(mut context) = self.contexts.remove(&id) else {
            // Another answer was better; a dialog that this one makes is told of all the same.
            if let Verdict::Response(response) = verdict
                && response.is_success()
                && response.headers.cseq().is_ok_and(|cseq| cseq.method == Method::Invite)
            {
                self.out.push_back(Output::Response { id, response });
            }
            return;
        };
        let Some(at) = context.legs.iter().position(|leg| leg.state == State::Trying(tx)) else {
            self.contexts.insert(id, context);
            return;
        };
        self.judge(now, id, &mut context, at, verdict, heard);
        self.weigh(now, id, context);
    }

    /// What the end of an attempt means for its leg.
    fn judge(&mut self, now: Time, id: ClientId, context: &mut Context, at: usize, verdict: Verdict, heard: bool) {
        let leg = &mut context.legs[at];
        let open = context.cancelled.is_none();
        match &verdict {
            Verdict::Response(response) if matches!(response.code, 401 | 407) && open => {
                let again = leg.account.zip(leg.sent.take()).filter(|_| leg.challenges < MOST_CHALLENGES);
                let again = again.is_some_and(|(account, sent)| self.wallet.challenged(account, &sent, response));
                if let (true, Some(target)) = (again, leg.target.clone()) {
                    leg.challenges += 1;
                    // RFC 3261 §22.2: another request with the next number.
                    leg.cseq = context.request.headers.cseq().ok().map(|cseq| cseq.number + u32::from(leg.challenges));
                    leg.why = Some(verdict);
                    if self.attempt(now, id, context, at, target) {
                        return;
                    }
                    context.legs[at].state = State::Over;
                    return;
                }
            }
            Verdict::Response(response) if response.is_success() => {
                if let Some(target) = &leg.target {
                    self.quarantine.works(target);
                }
                if let Some((account, sent)) = leg.account.zip(leg.sent.take()) {
                    self.wallet.accepted(account, &sent, response);
                }
            }
            // RFC 3263 §4.3.
            Verdict::Response(response) if response.code == 503 => {
                let least = retry_after(response).map(|seconds| Duration::from_secs(seconds.into()));
                return self.next_after(now, id, context, at, verdict, least);
            }
            Verdict::Failed(_) if !heard => return self.next_after(now, id, context, at, verdict, None),
            Verdict::Lost if !heard && may_come_twice(&context.request.method) => {
                return self.next_after(now, id, context, at, verdict, None);
            }
            Verdict::Response(_) | Verdict::Failed(_) | Verdict::Lost => {}
        }
        let leg = &mut context.legs[at];
        (leg.state, leg.why) = (State::Over, Some(verdict));
    }

    /// A target has failed: it is left alone for a while, and the next one is tried.
    fn next_after(
        &mut self,
        now: Time,
        id: ClientId,
        context: &mut Context,
        at: usize,
        verdict: Verdict,
        least: Option<Duration>,
    ) {
        let leg = &mut context.legs[at];
        if let Some(target) = leg.target.take().filter(|target| target.flow.is_none()) {
            self.quarantine.failed(now, &target, least);
        }
        if !matches!(verdict, Verdict::Failed(Failure::Transport)) {
            // It is there, and does not want it; by UDP it would be the same.
            leg.instead = None;
        }
        (leg.why, leg.failed) = (Some(verdict), true);
        self.next_target(now, id, context, at);
    }

    /// Looks at all legs: whether there is an answer, or whether there are others to be tried.
    fn weigh(&mut self, now: Time, id: ClientId, mut context: Box<Context>) {
        let mut accepted = None;
        let mut final_word = context.cancelled.is_some();
        for leg in &mut context.legs {
            if leg.state != State::Over {
                continue;
            }
            match leg.why.take() {
                Some(Verdict::Response(response)) if response.is_success() => accepted = Some(response),
                Some(verdict) => {
                    let better = context.best.as_ref().is_none_or(|best| rank(&verdict) < rank(best));
                    if better {
                        context.best = Some(verdict);
                    }
                }
                None => {}
            }
        }
        final_word |= context.best.as_ref().is_some_and(|best| code(best) >= 600);
        let invite = context.request.method == Method::Invite;
        if accepted.is_some() || final_word {
            // RFC 3261 §16.7 step 10; for what is no INVITE there is nothing to be done.
            for leg in &mut context.legs {
                match leg.state {
                    State::Trying(tx) if invite => self.cancel_transaction(now, tx, &[]),
                    State::Waiting | State::Asking(_) => leg.state = State::Over,
                    State::Trying(_) | State::Over => {}
                }
            }
        }
        if let Some(response) = accepted {
            self.out.push_back(Output::Response { id, response });
            return;
        }
        let busy = context.legs.iter().any(|leg| matches!(leg.state, State::Trying(_) | State::Asking(_)));
        if busy {
            self.contexts.insert(id, context);
        } else if context.legs.iter().any(|leg| leg.state == State::Waiting) {
            self.next_group(now, id, context);
        } else {
            self.conclude(id, *context);
        }
    }

    /// Says the best of the refusals.
    fn conclude(&mut self, id: ClientId, context: Context) {
        match context.best {
            // It was cancelled before anybody had heard of it.
            None if context.cancelled.is_some() => {
                let response = Response::to_request(&context.request, 487, reason_phrase(487), None);
                self.out.push_back(Output::Response { id, response });
            }
            None => self.out.push_back(Output::Failed { id, why: Failure::Nowhere }),
            Some(Verdict::Response(response)) => self.out.push_back(Output::Response { id, response }),
            Some(verdict @ (Verdict::Failed(_) | Verdict::Lost)) => {
                let why = if let Verdict::Failed(why) = verdict { why } else { Failure::Transport };
                match why {
                    Failure::Timeout => self.counts.timeouts += 1,
                    Failure::Transport => self.counts.transport_failures += 1,
                    Failure::Nowhere | Failure::Unknown => self.counts.lookup_failures += 1,
                }
                self.out.push_back(Output::Failed { id, why });
            }
        }
    }

    /// Cancels all attempts of an INVITE, and makes no others. `false`: it has no context.
    pub(super) fn cancel_context(&mut self, now: Time, id: ClientId, reasons: &[Str]) -> bool {
        let Some(mut context) = self.contexts.remove(&id) else { return false };
        if context.request.method == Method::Invite && context.cancelled.is_none() {
            context.cancelled = Some(reasons.to_vec());
            for leg in &context.legs {
                if let State::Trying(tx) = leg.state {
                    self.cancel_transaction(now, tx, reasons);
                }
            }
            self.weigh(now, id, context);
        } else {
            self.contexts.insert(id, context);
        }
        true
    }

    /// Our Contact follows the transport: a request that goes by another one than the layer above has thought says where we are by that one.
    fn fit_contact(&self, request: &mut Request, transport: Transport) {
        let Ok(Some(mut contact)) = request.headers.contact() else { return };
        let secure = request.uri.scheme() == "sips";
        let Uri::Sip(uri) = &mut contact.uri else { return };
        let said = uri.params.get("transport").map_or(Some(Transport::Udp), Transport::of_uri);
        let own = |t: &Transport| self.config.sent_by.iter().find(|(known, ..)| known == t);
        let Some((_, host, port)) = own(&transport) else { return };
        let ours = said.as_ref().and_then(own).is_some_and(|(_, host, port)| uri.host == *host && uri.port == *port);
        if said == Some(transport) && uri.secure == secure || !ours {
            return;
        }
        (uri.host, uri.port, uri.secure) = (host.clone(), *port, secure);
        uri.params.remove("transport");
        if transport != Transport::Udp && !(secure && transport == Transport::Tls) {
            uri.params.set("transport", Some(transport.as_str().to_ascii_lowercase().as_bytes()));
        }
        request.headers.set(Name::Contact, contact);
    }
}

/// Gives a request the Request-URI of a contact, and the way to it.
pub(super) fn aim(request: &mut Request, uri: Option<&Uri>, route: Option<&Str>) {
    if let Some(uri) = uri {
        request.uri = uri.clone();
    }
    if let Some(route) = route {
        request.headers.push_front(Name::Route, route);
    }
}

/// RFC 3261 §26.2.2: a request to a `sips` URI goes by TLS, or not at all.
pub(super) fn downgrades(request: &Request, transport: Transport) -> bool {
    request.uri.scheme() == "sips" && !transport.secure()
}

/// Whether it does no harm if two servers get the same request, or one gets it twice: what is in a dialog is known by its number, and what begins one
/// or says how something is says the same again.
fn may_come_twice(method: &Method) -> bool {
    !matches!(method, Method::Message | Method::Refer | Method::Other(_))
}

/// The status that an end counts as: RFC 3261 §8.1.3.1, §16.7 step 2.
fn code(verdict: &Verdict) -> u16 {
    match verdict {
        Verdict::Response(response) => response.code,
        Verdict::Failed(Failure::Timeout) => 408,
        Verdict::Failed(Failure::Transport | Failure::Nowhere | Failure::Unknown) | Verdict::Lost => 503,
    }
}

/// RFC 3261 §16.7 step 6: the less, the better. A 6xx has the last word; then the lowest class, and in it what helps to ask again, and last what says
/// nothing of the user.
fn rank(verdict: &Verdict) -> (u16, u8) {
    let code = code(verdict);
    let within = match code {
        401 | 407 | 415 | 420 | 484 => 0,
        408 | 480 | 503 => 2,
        _ => 1,
    };
    (if code >= 600 { 0 } else { code / 100 }, within)
}
