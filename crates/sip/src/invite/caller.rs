//! INVITEs of ours: RFC 3261 §13.2, §8.1.3.4 and §9.1, RFC 6026 §7.2. The first 2xx makes the session, the others are acknowledged and ended.

use super::callee::allows_update;
use super::entry::{Entry, Purpose, State, acknowledgement, attach};
use super::exchange::Asked;
use super::farewell::Farewell;
use super::refresh::{SessionTimer, ask, min_se};
use super::reliable::Fork;
use super::value::{Body, Config, Event, Infos, Invite, Refused, SessionId};
use super::{Due, Sessions};
use crate::agent::{ClientId, Hop, Refused as NotSent};
use crate::dialog::{Dialog, Opening, name, plain};
use crate::ground::{CALL_ID, Cause, Ground, TAG};
use crate::header::{CSeq, HeaderError, Name, NameAddr};
use crate::message::{Request, Response};
use crate::method::Method;
use crate::uri::Uri;
use base::{Str, Time, ToCompactString};

/// How often a 422 is obeyed for one request.
pub(super) const MAX_BRIEF: u8 = 3;

/// An INVITE of ours that is to begin a session.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) client: ClientId,
    /// What was asked for: it is sent again to whom a redirection names.
    invite: Invite,
    pub(super) number: u32,
    /// The session timer that it asks for, and the least that somebody on the way demands.
    asked: u32,
    least: u32,
    briefs: u8,
    pub(super) forks: Vec<Fork>,
    /// What provisional responses have answered to its offer, by the other side's tag: the first one with a body, or a reliable one.
    early: Vec<(Str, Body)>,
    /// Where redirections lead, the best at the end, and where it went already.
    ways: Vec<Uri>,
    tried: Vec<Uri>,
    /// Whether a reliable response had an offer or an answer.
    pub(super) settled: bool,
    pub(super) until: Time,
}

impl Call {
    /// Whether it had an offer.
    pub(super) fn offered(&self) -> bool {
        self.invite.offer.is_some()
    }

    /// Takes note of the answer in a provisional response. RFC 3261 §13.2.1 has the first one count, and RFC 3264 with RFC 3262 the reliable one.
    fn hear(&mut self, response: &Response, reliable: bool, most: usize) {
        let Some(body) = Body::of(&response.headers, &response.body).filter(|_| self.offered()) else { return };
        let tag = response.headers.to_tag().unwrap_or_default();
        let known = self.early.iter_mut().find(|(known, _)| known == tag);
        if let Some((_, early)) = known {
            if reliable {
                *early = body;
            }
        } else if self.early.len() < most {
            self.early.push((Str::new(tag), body));
        }
    }
}

/// The 2xx to an INVITE without an offer: the ACK is the layer above's.
#[derive(Debug)]
pub(super) struct Unacknowledged {
    client: ClientId,
    number: u32,
    pub(super) until: Time,
}

/// What is kept of an INVITE of ours that has a 2xx, as others may come: RFC 6026 §7.2.
#[derive(Debug)]
pub(super) struct Tail {
    /// The dialog as it was before the answer, for those of forks. None for a re-INVITE.
    base: Option<(Dialog, Str)>,
    number: u32,
    /// The ACKs by the other side's tag, to be sent for each 2xx that comes again.
    acks: Vec<(Str, Option<(Request, Hop)>)>,
}

/// The dialog that a response to our INVITE of this number makes.
pub(super) fn fork(base: &Dialog, number: u32, response: &Response) -> Result<Dialog, HeaderError> {
    let mut stub = Request::new(Method::Invite, Uri::Other { scheme: Str::default(), rest: Str::default() });
    stub.headers.push(Name::From, format_args!("{};tag={}", base.local_uri, base.local_tag));
    stub.headers.push(Name::CallId, &base.call_id);
    stub.headers.push(Name::CSeq, CSeq { number, method: Method::Invite });
    Dialog::as_uac(&stub, response)
}

impl Sessions {
    /// Sends an INVITE: RFC 3261 §13.2.1.
    ///
    /// # Errors
    /// [`Refused`]; then nothing was sent.
    pub fn invite(&mut self, ground: &mut Ground<'_>, invite: Invite) -> Result<SessionId, Refused> {
        self.now = ground.now;
        if self.entries.len() >= self.config.max_sessions {
            return Err(Refused::Full);
        }
        let dialog = Dialog::opening(Opening {
            call_id: invite.call_id.clone().unwrap_or_else(|| ground.tokens.token(CALL_ID)),
            local_tag: ground.tokens.token(TAG),
            local: invite.local.clone(),
            remote: invite.remote.clone(),
            target: plain(invite.remote.clone()).to_compact_string(),
            route: invite.route.clone(),
        });
        let mut entry = Entry::new(State::Calling, dialog, invite.contact.to_compact_string());
        entry.caller = true;
        if invite.infos != Infos::default() {
            entry.infos.get_or_insert_default().takes = invite.infos;
        }
        let (client, asked) = match ring_up(&self.config, ground, &mut entry, &invite, &invite.hop, 0) {
            Ok(sent) => sent,
            Err(NotSent::Full) => return Err(Refused::Full),
            Err(NotSent::NoTransport | NotSent::Method) => return Err(Refused::NoTransport),
        };
        self.counts.invites_out += 1;
        entry.call = Some(Box::new(Call {
            client,
            number: entry.dialog.local_cseq(),
            asked,
            least: 0,
            briefs: 0,
            forks: Vec::new(),
            early: Vec::new(),
            ways: Vec::new(),
            tried: vec![plain(invite.remote.clone())],
            settled: false,
            until: ground.now + self.config.ring_for,
            invite,
        }));
        let id = self.insert(entry);
        self.clients.insert(client, (id, Purpose::Invite));
        self.settle(id);
        Ok(id)
    }

    /// A response to the INVITE.
    pub(super) fn call_answered(
        &mut self,
        ground: &mut Ground<'_>,
        id: SessionId,
        client: ClientId,
        response: &Response,
    ) {
        match response.code {
            ..=100 => {}
            101..200 => self.progress(ground, id, response),
            200..300 => self.established(ground, id, client, response),
            300..400 => {
                self.redirected(id, response);
                self.call_failed(ground, id, Cause::Response(Box::new(response.clone())));
            }
            422 => self.too_brief(ground, id, response),
            _ => self.call_failed(ground, id, Cause::Response(Box::new(response.clone()))),
        }
    }

    fn progress(&mut self, ground: &mut Ground<'_>, id: SessionId, response: &Response) {
        let Some(entry) = self.entries.get(&id).filter(|entry| !entry.over) else { return };
        let Some(call) = &entry.call else { return };
        let reliable = response.headers.contains(Name::RSeq)
            && response.headers.elements(Name::Require).flatten().any(|tag| tag.eq_ignore_ascii_case("100rel"));
        if reliable {
            let (base, number) = (entry.dialog.clone(), call.number);
            if !self.acknowledge(ground, id, &base, number, response) {
                return;
            }
        }
        let most = self.config.max_forks;
        if let Some(call) = self.entries.get_mut(&id).and_then(|entry| entry.call.as_mut()) {
            call.hear(response, reliable, most);
        }
        self.events.push_back(Event::Progress { id, response: Box::new(response.clone()) });
    }

    /// The first 2xx: RFC 3261 §13.2.2.4.
    fn established(&mut self, ground: &mut Ground<'_>, id: SessionId, client: ClientId, response: &Response) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(mut call) = entry.call.take() else { return };
        let base = entry.dialog.clone();
        let tag = Str::new(response.headers.to_tag().unwrap_or_default());
        let made = fork(&base, call.number, response);
        let sound = made.is_ok();
        let mut dialog = made.unwrap_or_else(|_| Dialog { remote_tag: tag.clone(), ..base.clone() });
        // The numbers of the early dialog go on.
        dialog.set_local_cseq(base.local_cseq());
        if let Some(early) = call.fork_mut(&tag) {
            dialog.set_local_cseq(base.local_cseq().max(early.dialog.local_cseq()));
            if let Some(number) = early.dialog.remote_cseq() {
                dialog.take_cseq(number);
            }
        }
        self.forget_forks(&call);
        // An offer in an early dialog is made again in the one that stands.
        self.drop_asked(ground, id, 500);
        let waits = !call.offered() && !call.settled;
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.dialog = dialog;
        entry.state = State::Confirmed;
        entry.peer_updates = allows_update(&response.headers);
        entry.heard_infos(&response.headers);
        self.dialogs.insert(name(&self.key, &entry.dialog), id);
        let contact = entry.contact.clone();
        let mut tail = Tail { base: Some((base, contact)), number: call.number, acks: Vec::new() };
        if entry.over || !sound {
            let ack = acknowledgement(ground, &entry.dialog, call.number, None);
            tail.send(ground, tag, ack);
            self.keep_tail(ground, client, tail);
            self.end(ground, id, Event::Failed { id, cause: Cause::NoWay });
            return self.part(ground, id, Vec::new());
        }
        entry.timer.granted(ground, &response.headers, call.asked);
        entry.keep(call.invite.offer.as_ref());
        self.counts.established += 1;
        let early = call.early.into_iter().find(|(known, _)| *known == tag).map(|(_, body)| body);
        let early = early.filter(|_| response.body.is_empty()).map(Box::new);
        self.events.push_back(Event::Established { id, response: Box::new(response.clone()), early });
        if waits {
            entry.state = State::Answered;
            let until = ground.now + ground.agent.patience();
            entry.unacknowledged = Some(Box::new(Unacknowledged { client, number: call.number, until }));
            tail.acks.push((tag, None));
        } else {
            let ack = acknowledgement(ground, &entry.dialog, call.number, None);
            tail.send(ground, tag, ack);
        }
        self.keep_tail(ground, client, tail);
        self.try_change(ground, id);
    }

    /// Acknowledges the 2xx to an INVITE that had no offer: `body` is the answer to the offer in the 2xx. Nothing if there is none to be
    /// acknowledged.
    pub fn ack(&mut self, ground: &mut Ground<'_>, id: SessionId, body: Body) {
        self.now = ground.now;
        self.acknowledge_late(ground, id, Some(body));
        self.try_change(ground, id);
        self.settle(id);
    }

    /// Sends the ACK that the layer above owes.
    pub(super) fn acknowledge_late(&mut self, ground: &mut Ground<'_>, id: SessionId, body: Option<Body>) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(owed) = entry.unacknowledged.take() else { return };
        entry.state = State::Confirmed;
        entry.keep(body.as_ref());
        let ack = acknowledgement(ground, &entry.dialog, owed.number, body);
        if let Some(tail) = self.tails.get_mut(&owed.client) {
            let tag = entry.dialog.remote_tag.clone();
            tail.acks.retain(|(known, _)| *known != tag);
            tail.send(ground, tag, ack);
        }
    }

    /// A 2xx to an INVITE that has one: RFC 3261 §13.2.2.4. The same again gets its ACK again, another one is a fork that nobody wants.
    pub(super) fn answered_again(&mut self, ground: &mut Ground<'_>, client: ClientId, response: &Response) {
        let max_forks = self.config.max_forks;
        let Some(tail) = self.tails.get_mut(&client).filter(|_| response.is_success()) else { return };
        let tag = response.headers.to_tag().unwrap_or_default();
        if let Some((_, ack)) = tail.acks.iter().find(|(known, _)| known == tag) {
            if let Some((request, hop)) = ack {
                // One that cannot be sent is lost like any other.
                let _ = ground.agent.ack(ground.now, request.clone(), hop);
            }
            return;
        }
        let Some((base, contact)) = tail.base.as_ref().filter(|_| tail.acks.len() < max_forks) else { return };
        let tag = Str::new(tag);
        // Another phone may have wanted credentials, which took another number.
        let number = response.headers.cseq().map_or(tail.number, |cseq| cseq.number);
        let dialog = fork(base, number, response);
        let mut dialog = dialog.unwrap_or_else(|_| Dialog { remote_tag: tag.clone(), ..base.clone() });
        // A PRACK in it may have had a number; the loser's are not known any more.
        dialog.set_local_cseq(dialog.local_cseq().saturating_add(UNHEARD));
        let mut entry = Entry::new(State::Confirmed, dialog, contact.clone());
        entry.over = true;
        entry.farewell = Some(Box::new(Farewell::new(Vec::new())));
        let ack = acknowledgement(ground, &entry.dialog, number, None);
        tail.send(ground, tag, ack);
        self.counts.forks_ended += 1;
        let id = self.insert(entry);
        self.say_bye(ground, id);
        self.settle(id);
    }

    /// The INVITE has a final answer that is none, or has had none at all. There may be another way.
    pub(super) fn call_failed(&mut self, ground: &mut Ground<'_>, id: SessionId, cause: Cause) {
        let global = matches!(&cause, Cause::Response(response) if response.code >= 600);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if !entry.over && !global && self.next_way(ground, id) {
            return;
        }
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(call) = entry.call.take() else { return };
        // There is nothing to say BYE in.
        entry.farewell = None;
        self.forget_forks(&call);
        self.end(ground, id, Event::Failed { id, cause });
    }

    /// Takes note of where a redirection leads: RFC 3261 §8.1.3.4, the best first, nothing twice, and from `sips` to nothing less.
    fn redirected(&mut self, id: SessionId, response: &Response) {
        let most = self.config.max_redirects;
        let Some(call) = self.entries.get_mut(&id).and_then(|entry| entry.call.as_mut()) else { return };
        let Ok(crate::header::Contacts::Some(mut found)) = response.headers.contacts() else { return };
        let secure = call.invite.remote.scheme() == "sips";
        // The best at the end, and of those that are as good as each other the first.
        found.reverse();
        found.sort_by_key(quality);
        for contact in found {
            let uri = plain(contact.uri);
            let fit = uri.sip().is_some() && (!secure || uri.scheme() == "sips");
            let known = call.tried.iter().chain(&call.ways).any(|other| other.equivalent(&uri));
            if fit && !known {
                call.ways.push(uri);
            }
        }
        let worst = call.ways.len().saturating_sub(most);
        call.ways.drain(..worst);
    }

    /// Sends the INVITE to the next of those. `false` if there is none.
    fn next_way(&mut self, ground: &mut Ground<'_>, id: SessionId) -> bool {
        loop {
            let most = self.config.max_redirects;
            let Some(entry) = self.entries.get_mut(&id) else { return false };
            let Some(call) = entry.call.as_mut().filter(|call| call.tried.len() <= most) else { return false };
            let Some(uri) = call.ways.pop() else { return false };
            call.tried.push(uri.clone());
            entry.dialog.refresh_target(uri.to_compact_string());
            let hop = ground.hops.next_hop(&entry.dialog);
            if hop.is_some_and(|hop| self.call_again(ground, id, &hop)) {
                self.counts.redirected += 1;
                return true;
            }
        }
    }

    /// RFC 4028 §7.1: once more with a session timer that is long enough.
    fn too_brief(&mut self, ground: &mut Ground<'_>, id: SessionId, response: &Response) {
        self.counts.too_brief += 1;
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let first = entry.call.as_ref().filter(|call| call.tried.len() == 1).map(|call| call.invite.hop.clone());
        let Some(call) = entry.call.as_mut().filter(|_| !entry.over) else {
            return self.call_failed(ground, id, Cause::Response(Box::new(response.clone())));
        };
        let least = min_se(&response.headers).unwrap_or(0);
        let hop = first.or_else(|| ground.hops.next_hop(&entry.dialog));
        let fit = call.briefs < MAX_BRIEF && least > call.asked;
        call.briefs += 1;
        call.least = call.least.max(least);
        if !fit || !hop.is_some_and(|hop| self.call_again(ground, id, &hop)) {
            self.call_failed(ground, id, Cause::Response(Box::new(response.clone())));
        }
    }

    /// Sends the INVITE again, as another one: RFC 3261 §8.1.3.4.
    fn call_again(&mut self, ground: &mut Ground<'_>, id: SessionId, hop: &Hop) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        let Some(mut call) = entry.call.take() else { return false };
        call.early.clear();
        let forks = std::mem::take(&mut call.forks);
        // Numbers that PRACKs of an early dialog have used are not used again.
        let used = forks.iter().map(|fork| fork.dialog.local_cseq()).max().unwrap_or(0);
        entry.dialog.set_local_cseq(entry.dialog.local_cseq().max(used));
        let sent = ring_up(&self.config, ground, entry, &call.invite, hop, call.least);
        if let Ok((client, asked)) = sent {
            (call.client, call.asked, call.number, call.settled) = (client, asked, entry.dialog.local_cseq(), false);
            self.clients.insert(client, (id, Purpose::Invite));
        }
        entry.call = Some(call);
        for fork in forks {
            self.dialogs.remove(&name(&self.key, &fork.dialog));
        }
        sent.is_ok()
    }

    fn forget_forks(&mut self, call: &Call) {
        for fork in &call.forks {
            self.dialogs.remove(&name(&self.key, &fork.dialog));
        }
    }

    /// Keeps what further 2xx need, as long as the agent passes them on.
    pub(super) fn keep_tail(&mut self, ground: &Ground<'_>, client: ClientId, tail: Tail) {
        self.due.insert((ground.now + ground.agent.patience(), Due::Tail(client)));
        self.tails.insert(client, Box::new(tail));
    }

    /// Gives the INVITE up: it is cancelled (RFC 3261 §9.1), and if a 2xx crosses that, acknowledged and ended.
    pub(super) fn cancel_call(&mut self, ground: &mut Ground<'_>, id: SessionId, reasons: &[Str]) {
        if let Some(call) = self.entries.get(&id).and_then(|entry| entry.call.as_ref()) {
            ground.agent.cancel(ground.now, call.client, reasons);
        }
    }

    /// The INVITE has rung long enough, or the layer above owes an ACK for too long.
    pub(super) fn call_due(&mut self, ground: &mut Ground<'_>, id: SessionId) {
        let Some(entry) = self.entries.get(&id) else { return };
        if entry.call.as_ref().is_some_and(|call| call.until <= ground.now) && !entry.over {
            self.end(ground, id, Event::Failed { id, cause: Cause::Timeout });
            self.cancel_call(ground, id, &[]);
        } else if entry.unacknowledged.as_ref().is_some_and(|owed| owed.until <= ground.now) {
            self.counts.not_acknowledged += 1;
            self.end(ground, id, Event::Ended { id, why: super::Ended::NotAcknowledged });
            self.part(ground, id, Vec::new());
        }
    }

    /// The answer to an offer in a reliable response: it goes with the PRACK.
    pub(super) fn answer_prack(&mut self, ground: &mut Ground<'_>, id: SessionId, body: Option<Body>) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if let Some(Asked::Reliable(tag, number)) = entry.asked.take() {
            self.prack(ground, id, &tag, number, body);
        }
    }
}

impl Tail {
    /// For a re-INVITE.
    pub(super) fn again(number: u32) -> Tail {
        Tail { base: None, number, acks: Vec::new() }
    }

    /// Sends an ACK, and keeps it.
    pub(super) fn send(&mut self, ground: &mut Ground<'_>, tag: Str, ack: Option<(Request, Hop)>) {
        if let Some((request, hop)) = &ack {
            // One that cannot be sent is lost like any other: the 2xx comes again.
            let _ = ground.agent.ack(ground.now, request.clone(), hop);
        }
        self.acks.push((tag, ack));
    }
}

/// How far the numbers of a dialog jump when it is not known which ones were used: by NOTIFYs that share it, for one.
pub(super) const UNHEARD: u32 = 1_000_000;

/// Sends an INVITE outside of a dialog. Gives the session timer that it asks for, too.
fn ring_up(
    config: &Config,
    ground: &mut Ground<'_>,
    entry: &mut Entry,
    invite: &Invite,
    hop: &Hop,
    least: u32,
) -> Result<(ClientId, u32), NotSent> {
    let Some(mut request) = entry.dialog.request(Method::Invite) else { return Err(NotSent::NoTransport) };
    entry.introduce(ground, &mut request.headers);
    entry.say_infos(&mut request.headers);
    let asked = ask(config, SessionTimer::default(), least, &mut request.headers);
    invite.headers.iter().for_each(|(name, value)| request.headers.push(*name, value));
    attach(&mut request, invite.offer.clone());
    let sent = ground.agent.request(ground.now, request, hop, None);
    if sent.is_err() {
        entry.dialog.take_back();
    }
    sent.map(|client| (client, asked))
}

/// The q of a Contact in thousandths; without one it is 1 (RFC 3261 §20.10).
fn quality(contact: &NameAddr) -> u32 {
    let Some(text) = contact.params.get("q") else { return 1000 };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let thousandths = format!("{fraction:0<3}");
    let fraction = thousandths.get(..3).and_then(|digits| digits.parse::<u32>().ok());
    if whole == "1" { 1000 } else { fraction.unwrap_or(0) }
}
