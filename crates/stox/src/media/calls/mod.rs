//! The calls: one Jingle session (XEP-0166 §6) and one INVITE dialog each, and what becomes of them.

mod arrive;
mod call;
mod change;
mod depart;
mod end;
mod info;
mod message;
mod pass;
mod proposals;
mod ringing;
mod stanzas;
mod transfer;
mod trickle;

pub use call::CallId;

use super::relay::Ways;
use super::{Options, record};
use crate::choice::Way;
use crate::config::{Config, LinkId};
use crate::error::Refusal;
use crate::gateway::Note;
use crate::links::StanzaToken;
use crate::mapping::{Invitation, Mapping, Purpose, Relayed, Side, Stage};
use crate::prints;
use crate::records::{Forgetting, Orphans};
use crate::store::{About, Broken, Key, SaveToken};
use base::{Fingerprint, HashKey, Str, Table, Time, Timers};
use call::{Call, State};
use pass::AtRelay;
use proposals::Proposals;
use ringing::Why;
use sip::Request;
use sip::invite;
use sip::subscription::{self, UsageId};
use std::collections::VecDeque;
use std::time::Duration;
use transfer::Passed;
use xmpp::error::{Condition, StanzaError};
use xmpp::ext::jingle::{self, Action, Jingle, Reason};
use xmpp::ext::jmi::Jmi;
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::{Kind, Stanza};

/// The mapping of draft-ietf-stox-media.
#[derive(Debug)]
pub struct Calls {
    key: HashKey,
    /// Whether there are calls.
    on: bool,
    options: Options,
    calls: Table<CallId, Box<Call>>,
    by_session: Table<invite::SessionId, CallId>,
    /// By the two users and the sid: no two calls of one pair have the same.
    by_name: Table<Fingerprint, CallId>,
    /// The Call-IDs of our INVITEs: what comes back with one of them has gone round in a circle (draft §9).
    call_ids: Table<Fingerprint, ()>,
    pairs: Table<Fingerprint, Vec<CallId>>,
    /// How many calls each user has, of either side.
    users: Table<Fingerprint, usize>,
    due: Timers<CallId>,
    last: u64,
    forgetting: Forgetting,
    orphans: Orphans<record::Call>,
    /// What media relays were asked for calls.
    at_relay: Table<ng::AskId, AtRelay>,
    ways: Ways,
    proposals: Proposals,
    /// Calls that are being passed on.
    passed_on: Table<UsageId, Passed>,
    /// Proposals of ours that the XMPP server has not taken yet.
    proposing: Table<StanzaToken, CallId>,
    /// Calls that are to be ended as the gateway ends.
    leaving: VecDeque<CallId>,
    some_at: Option<Time>,
    draining: bool,
}

/// What is to be seen of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The SIP user.
    pub sip: Jid,
    /// The XMPP user.
    pub xmpp: Jid,
    /// The Jingle session.
    pub sid: Str,
    /// Who began.
    pub began: Side,
    /// What it is at: `gathering`, `inviting`, `ringing`, `accepting`, `active`.
    pub state: &'static str,
    /// How long it is there.
    pub age: Duration,
    /// How long they talk, if they do.
    pub talking: Option<Duration>,
}

impl Calls {
    /// The mapping; `key` is secret.
    pub fn new(config: &Config, key: HashKey) -> Calls {
        Calls {
            key,
            on: config.media.is_some(),
            options: config.media.clone().unwrap_or_default(),
            calls: Table::new(key),
            by_session: Table::new(key),
            by_name: Table::new(key),
            call_ids: Table::new(key),
            pairs: Table::new(key),
            users: Table::new(key),
            due: Timers::new(),
            last: 0,
            forgetting: Forgetting::new(key),
            orphans: Orphans::new(),
            at_relay: Table::new(key),
            ways: Ways::new(&config.media.clone().unwrap_or_default().relay, key),
            proposals: Proposals::new(key),
            passed_on: Table::new(key),
            proposing: Table::new(key),
            leaving: VecDeque::new(),
            some_at: None,
            draining: false,
        }
    }

    /// The calls that are there.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, the oldest first.
    pub fn seen(&self, now: Time) -> Vec<Seen> {
        let seen = |call: &Call| Seen {
            sip: call.ours.clone(),
            xmpp: call.theirs.clone(),
            sid: call.sid.clone(),
            began: call.began,
            state: call.state.name(),
            age: now.since(call.since),
            talking: call.answered.map(|at| now.since(at)),
        };
        self.calls.keys_sorted().iter().filter_map(|id| self.calls.get(id)).map(|call| seen(call)).collect()
    }

    fn name(&self, sip: &Jid, xmpp: &Jid, sid: &str) -> Fingerprint {
        prints::said(&self.key, sid, sip, xmpp)
    }

    fn call_id(&self, call_id: &str) -> Fingerprint {
        self.key.fingerprint(&[b"call-id", call_id.as_bytes()])
    }

    fn named(&self, sip: &Jid, xmpp: &Jid, sid: &str) -> Option<CallId> {
        self.by_name.get(&self.name(sip, xmpp, sid)).copied()
    }

    /// Whether there is room for one more call of these two.
    fn room(&self, stage: &mut Stage<'_>, link: LinkId, sip: &Jid, xmpp: &Jid) -> Result<(), Refusal> {
        let retry_after = stage.config.limits.retry_after;
        // Whoever sits in a room would ring as the room.
        if stage.config.room.is_muc(xmpp.domain()) {
            return Err(Refusal::NotSupported);
        }
        if self.draining || self.calls.len() >= self.options.calls {
            return Err(Refusal::Overload { retry_after });
        }
        if !stage.links.is_up(link) {
            return Err(Refusal::LinkDown { retry_after });
        }
        let same = self.pairs.list(&prints::pair(&self.key, sip, xmpp)).len();
        let own = [sip, xmpp].map(|user| self.users.count(&prints::user(&self.key, user)));
        let full = same >= self.options.calls_per_pair || own.iter().any(|own| *own >= self.options.calls_per_user);
        if full { Err(Refusal::Busy) } else { Ok(()) }
    }

    fn enter(&mut self, call: Call) -> CallId {
        self.last += 1;
        let id = CallId(self.last);
        self.by_name.insert(self.name(&call.ours, &call.theirs, &call.sid), id);
        self.pairs.list_add(prints::pair(&self.key, &call.ours, &call.theirs), id);
        for user in [&call.ours, &call.theirs] {
            self.users.count_up(prints::user(&self.key, user));
        }
        self.calls.insert(id, Box::new(call));
        id
    }

    /// Takes a call out of all lists. Nobody is told of it by this, but the statistics.
    fn leave(&mut self, stage: &mut Stage<'_>, id: CallId, why: &Reason) -> Option<Box<Call>> {
        let mut call = self.calls.remove(&id)?;
        let (by, reason) = (call.began, why.condition.name());
        stage.note(match call.answered {
            None => Note::CallFailed { by, reason },
            Some(at) => Note::CallEnded { by, reason, micros: micros(stage.now.since(at)) },
        });
        self.by_name.remove(&self.name(&call.ours, &call.theirs, &call.sid));
        self.pairs.list_remove(&prints::pair(&self.key, &call.ours, &call.theirs), &id);
        for user in [&call.ours, &call.theirs] {
            self.users.count_down(&prints::user(&self.key, user));
        }
        if let Some(session) = call.session {
            self.by_session.remove(&session);
        }
        if let Some(call_id) = call.call_id.take() {
            self.call_ids.remove(&call_id);
        }
        if let Some(passage) = call.passage.take() {
            passage.end(stage).iter().for_each(|id| drop(self.at_relay.remove(id)));
        }
        let keys = std::mem::take(&mut call.told).into_iter().filter_map(|told| match told {
            info::Told::Key(iq) => Some(iq),
            info::Told::Candidates => None,
        });
        for iq in keys {
            self.reply(stage, call.link, &iq, Err(jingle::Error::UnknownSession.to_stanza_error()));
        }
        let asked: Vec<_> = call.asked.iter().map(|asked| asked.what).collect();
        self.forget_referrals(stage, &asked);
        if call.saved {
            self.forgetting.forget(stage, call.key().to_bytes());
        }
        Some(call)
    }

    /// Keeps what would be needed of a call after a crash.
    fn save(&mut self, stage: &mut Stage<'_>, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        // Before our 2xx there is but an early dialog, in which we may not say BYE (RFC 3261 §15).
        let stands = matches!(call.state, State::Accepting | State::Active);
        let dialog = call.session.filter(|_| stands).and_then(|session| stage.sessions.dialog(session));
        let dialog = dialog.filter(|dialog| !dialog.remote_tag.is_empty()).cloned();
        let (key, value) = (call.key().to_bytes(), call.to_record(dialog).to_bytes());
        call.saved = true;
        stage.save(key, Some(value));
    }

    /// They talk from now on.
    fn talks(&mut self, stage: &mut Stage<'_>, id: CallId) {
        let check = self.options.check;
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.talks(stage.now, check);
        stage.note(Note::CallAnswered { by: call.began, micros: micros(stage.now.since(call.since)) });
        self.save(stage, id);
    }

    fn arm(&mut self, id: CallId) {
        if let Some(at) = self.calls.get(&id).and_then(|call| call.deadline()) {
            self.due.set(at, id);
        }
    }

    /// A Jingle request: XEP-0166 §6.
    fn jingle(&mut self, stage: &mut Stage<'_>, link: LinkId, stanza: &Stanza, jingle: Jingle) {
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else { return };
        if jingle.action == Action::SessionInitiate {
            return self.initiated(stage, link, stanza, &jingle);
        }
        let known = self.named(to, from, &jingle.sid).filter(|id| self.is_party(*id, from));
        let Some(id) = known else {
            let error = jingle::Error::UnknownSession.to_stanza_error();
            return self.reply(stage, link, stanza, Err(error));
        };
        self.said(stage, id, stanza, jingle);
        self.arm(id);
    }

    /// Whether somebody is the other side of a call, or one of the devices that may become it.
    fn is_party(&self, id: CallId, from: &Jid) -> bool {
        self.calls.get(&id).is_some_and(|call| match &call.state {
            State::Ringing { .. } => from.resource().is_some(),
            State::Arriving | State::Gathering { .. } | State::Inviting { .. } | State::Accepting | State::Active => {
                call.theirs == *from
            }
        })
    }

    /// A request within a Jingle session that is there.
    fn said(&mut self, stage: &mut Stage<'_>, id: CallId, stanza: &Stanza, jingle: Jingle) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let link = call.link;
        match (&call.state, jingle.action) {
            (State::Ringing { .. }, _) => self.said_ringing(stage, id, stanza, jingle),
            (_, Action::SessionTerminate) => {
                self.reply(stage, link, stanza, Ok(()));
                self.terminated(stage, id, jingle.reason);
            }
            (_, Action::SessionInitiate | Action::SessionAccept) => {
                let error = jingle::Error::OutOfOrder.to_stanza_error();
                self.reply(stage, link, stanza, Err(error));
            }
            _ => match (info::key(&jingle), transfer::wish(&jingle)) {
                (Some(key), _) => self.pressed(stage, id, stanza, key),
                (None, Some(wish)) => self.pass_on(stage, id, stanza, wish),
                (None, None) => self.change(stage, id, stanza, &jingle),
            },
        }
    }

    /// Answers an iq.
    fn reply(&self, stage: &mut Stage<'_>, link: LinkId, stanza: &Stanza, answer: Result<(), StanzaError>) {
        let answer = match answer {
            Ok(()) => Some(stanza.result(None)),
            Err(error) => stanza.error(&error),
        };
        if let Some(answer) = answer {
            stage.answer(link, &answer);
        }
    }

    fn timed_out(&mut self, stage: &mut Stage<'_>, id: CallId) {
        let now = stage.now;
        let Some(call) = self.calls.get_mut(&id) else { return };
        match &mut call.state {
            State::Gathering { quiet, most } if now >= (*quiet).min(*most) => return self.gathered(stage, id),
            State::Inviting { until, .. } if now >= *until => return self.unanswered(stage, id),
            State::Ringing { until, .. } if now >= *until => return self.given_up(stage, id, Why::Expired),
            State::Ringing { ringing, .. } if ringing.deadline().is_some_and(|at| now >= at) => {
                ringing.timeout(now);
                return self.drain_ringing(stage, id);
            }
            State::Arriving
            | State::Gathering { .. }
            | State::Inviting { .. }
            | State::Ringing { .. }
            | State::Accepting
            | State::Active => {}
        }
        if let Some(place) = call.asked.iter().position(|asked| asked.until <= now) {
            let asked = call.asked.remove(place);
            let error = StanzaError::new(Condition::RemoteServerTimeout);
            return self.refused(stage, id, asked.what, &asked.to, &error);
        }
        if call.owes_answer.is_some_and(|at| at <= now) {
            return self.answer_overdue(stage, id);
        }
        if call.gathering.is_some_and(|(quiet, most)| quiet.min(most) <= now) {
            return self.change_gathered(stage, id);
        }
        if call.check_at.is_some_and(|at| at <= now) {
            return self.look_after(stage, id);
        }
        self.check_relay(stage, id);
    }
}

impl Calls {
    /// Whether a message is one about a call. Words that only have something of the kind in them are for their reader.
    fn claims_message(&self, message: &Stanza, said: &Jmi) -> bool {
        let words = message.child("body", ns::CLIENT).is_some();
        let known = || {
            let pair = message.to.as_ref().zip(message.from.as_ref());
            pair.is_some_and(|(to, from)| {
                self.named(to, from, said.id()).is_some() || self.proposals.has(from, to, said.id())
            })
        };
        !words || self.on && (matches!(said, Jmi::Propose { .. }) || known())
    }
}

impl Mapping for Calls {
    fn claims_request(&self, _: &Request) -> bool {
        false
    }

    fn claims_invitation(&self, invitation: &Invitation) -> bool {
        invitation.purpose == Purpose::Call
    }

    fn claims_stanza(&self, stanza: &Stanza, _: Way) -> bool {
        match stanza.kind {
            Kind::Iq if stanza.type_.as_deref() == Some("result") => {
                stanza.id.as_deref().and_then(stanzas::read_id).is_some_and(|(id, ..)| self.calls.contains(&id))
            }
            Kind::Iq => Jingle::of(stanza).is_some(),
            Kind::Message => Jmi::of(stanza).is_some_and(|said| self.claims_message(stanza, &said)),
            Kind::Presence => false,
        }
    }

    fn reconfigure(&mut self, config: &Config) {
        self.on = config.media.is_some();
        if let Some(options) = &config.media {
            self.options = options.clone();
        }
    }

    fn invited(&mut self, stage: &mut Stage<'_>, invitation: Invitation) {
        let id = invitation.id;
        if let Err(refusal) = self.invited_by_sip(stage, &invitation) {
            stage.refuse_invitation(id, &refusal);
        }
    }

    fn stanza(&mut self, stage: &mut Stage<'_>, link: LinkId, stanza: Stanza) {
        if stanza.kind == Kind::Message {
            if let Some(jmi) = Jmi::of(&stanza) {
                self.message(stage, link, &stanza, &jmi);
            }
            return;
        }
        if stanza.type_.as_deref() == Some("result") {
            if let Some((id, what, from)) = self.asked(&stanza) {
                self.granted(stage, id, what, &from, &stanza);
                self.arm(id);
            }
            return;
        }
        if stage.config.media.is_none() {
            let error = StanzaError::new(Condition::ServiceUnavailable);
            return self.reply(stage, link, &stanza, Err(error));
        }
        match Jingle::of(&stanza).map(Jingle::parse) {
            Some(Ok(jingle)) => self.jingle(stage, link, &stanza, jingle),
            Some(Err(syntax)) => {
                let error = StanzaError::new(Condition::BadRequest).with_text(syntax.to_string());
                self.reply(stage, link, &stanza, Err(error));
            }
            None => {}
        }
    }

    fn session(&mut self, stage: &mut Stage<'_>, event: invite::Event) -> Option<invite::Event> {
        let Some(&id) = self.by_session.get(&event.id()) else { return Some(event) };
        match event {
            invite::Event::Progress { .. } => self.progress(stage, id),
            invite::Event::Established { response, early, .. } => {
                self.established(stage, id, &response, early.as_deref());
            }
            invite::Event::Confirmed { body, .. } => self.confirmed(stage, id, body),
            invite::Event::Offered { body, .. } => self.offered(stage, id, body.as_ref()),
            invite::Event::Answered { body, .. } => self.answered(stage, id, body.as_ref()),
            invite::Event::OfferRefused { .. } => self.offer_refused(stage, id),
            invite::Event::OfferWithdrawn { .. } => self.offer_withdrawn(stage, id),
            invite::Event::Failed { id: session, cause } => self.failed(stage, id, session, &cause),
            invite::Event::Ended { why, .. } => self.hung_up(stage, id, &why),
            invite::Event::Info { info, request, .. } => self.info(stage, id, info, &request),
            invite::Event::InfoEnded { cause, .. } => self.info_ended(stage, id, cause.as_ref()),
            event @ invite::Event::Invited { .. } => return Some(event),
        }
        self.arm(id);
        None
    }

    fn event(&mut self, stage: &mut Stage<'_>, event: subscription::Event) -> Option<subscription::Event> {
        self.refer_event(stage, event)
    }

    fn error(&mut self, stage: &mut Stage<'_>, stanza: &Stanza, error: &StanzaError) -> bool {
        if stanza.kind == Kind::Message {
            return self.bounced(stage, stanza, error);
        }
        let Some((id, what, from)) = self.asked(stanza) else { return false };
        self.refused(stage, id, what, &from, error);
        self.arm(id);
        true
    }

    fn stanza_outcome(&mut self, stage: &mut Stage<'_>, token: StanzaToken, taken: bool) -> bool {
        let Some(id) = self.proposing.remove(&token) else { return false };
        if !taken {
            self.tell_ringing(stage, id, ringing::Event::Lost);
            self.arm(id);
        }
        true
    }

    fn relayed(&mut self, stage: &mut Stage<'_>, relayed: &Relayed) -> bool {
        self.relay_answered(stage, relayed)
    }

    fn saved(&mut self, stage: &mut Stage<'_>, token: SaveToken, saved: bool) -> bool {
        self.forgetting.saved(stage.now, token, saved)
    }

    fn restore(&mut self, _: &mut Stage<'_>, key: &Key, value: &[u8]) -> Option<Result<(), Broken>> {
        if !matches!(key.about, About::Call(_)) {
            return None;
        }
        Some(record::Call::parse(value).map(|record| self.orphans.push(key.clone(), record)))
    }

    fn link_up(&mut self, stage: &mut Stage<'_>, link: LinkId) {
        self.orphans.link_up(stage.now);
        self.bury_some(stage);
        if self.options.check.is_zero() {
            return;
        }
        // Whoever was behind a server that was away may be gone (XEP-0166 §6.8).
        for id in self.calls.keys_sorted() {
            let Some(call) = self.calls.get_mut(&id).filter(|call| call.link == link) else { continue };
            if call.stands() {
                call.check_at = Some(stage.now + Duration::from_millis(stage.tokens.below(5000)));
                self.arm(id);
            }
        }
    }

    fn drain(&mut self, stage: &mut Stage<'_>) {
        // Nobody would be there to end them.
        self.draining = true;
        self.give_up_proposals(stage);
        self.leaving = self.calls.keys_sorted().into();
        self.some_at = Some(stage.now);
        self.end_some(stage);
    }

    fn abandon(&mut self, stage: &mut Stage<'_>) {
        for id in self.calls.keys_sorted() {
            self.end_of_gateway(stage, id);
        }
    }

    fn timeout(&mut self, stage: &mut Stage<'_>) {
        while let Some((_, id)) = self.due.pop(stage.now) {
            self.timed_out(stage, id);
            self.arm(id);
        }
        self.overdue_proposals(stage);
        self.forgetting.timeout(stage);
        self.end_some(stage);
        self.bury_some(stage);
    }

    fn deadline(&self) -> Option<Time> {
        [self.due.next(), self.forgetting.deadline(), self.orphans.deadline(), self.proposals.deadline(), self.some_at]
            .into_iter()
            .flatten()
            .min()
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
