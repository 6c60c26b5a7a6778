//! XMPP users in SIP conferences: RFC 7702 §5. The gateway is the MUC service (XEP-0045) of each of them, and takes part in the conference (RFC
//! 4353, RFC 7701) in their place.
//!
//! A place ([`seat::Occupant`]) is that of one resource in one room: an INVITE dialog with its MSRP session, a subscription to the conference in a
//! dialog of its own, REFERs in that of the session. The user is in the room when the focus has accepted, the switch has granted the nickname, and
//! the focus has told who is there.
//!
//! What it claims: joins to SIP addresses; whatever is said to a room by who sits in it; whatever is said to a conference service
//! ([`Options::sip_domains`]); and the INVITEs of focuses.

mod arrive;
mod asked;
mod called;
mod conference;
mod depart;
mod end;
mod enter;
mod nick;
mod people;
mod refer;
mod s2x;
mod seat;

use crate::choice::Way;
use crate::config::{Config, LinkId};
use crate::gateway::Note;
use crate::held::Held;
use crate::leg::{self, LegId};
use crate::links::StanzaToken;
use crate::mapping::{Invitation, Mapping, Purpose, Side, Stage};
use crate::prints;
use crate::records::{Forgetting, Orphans};
use crate::room::{Options, Seat, record};
use crate::store::{About, Broken, Key, SaveToken};
use base::{Fingerprint, HashKey, Table, Time};
use called::Call;
use refer::Referral;
use seat::{Occupant, Phase, SeatId};
use sip::Request;
use sip::subscription::{self, UsageId};
use std::collections::{BTreeSet, VecDeque};
use xmpp::error::{Condition, StanzaError};
use xmpp::ext::muc::{Join, User};
use xmpp::jid::Jid;
use xmpp::stanza::{Kind, Stanza};

/// A message of a room that waits for what the XMPP side says.
#[derive(Debug)]
struct Waiting {
    seat: SeatId,
    leg: LegId,
    token: msrp::MessageToken,
    /// The message and its length, if whoever has said it wants to know that it has arrived.
    report: Option<(msrp::MessageId, u64)>,
    since: Time,
}

/// What a subscription of ours is for.
#[derive(Debug)]
enum Use {
    /// Who is in the room.
    Conference(SeatId),
    /// What became of a REFER.
    Refer(Box<Referral>),
    /// Nothing any more.
    Nothing,
}

/// The mapping of RFC 7702 §5.
#[derive(Debug)]
pub struct Occupants {
    options: Options,
    key: HashKey,
    seats: Table<SeatId, Box<Occupant>>,
    last: u64,
    /// The places of an XMPP user in a room, but for those that are being left.
    pairs: Table<Fingerprint, Vec<SeatId>>,
    by_leg: Table<LegId, SeatId>,
    usages: Table<UsageId, Use>,
    /// Focuses that call users who are in no such room.
    calls: Table<Fingerprint, Call>,
    by_call: Table<LegId, Fingerprint>,
    held: Held<Waiting>,
    /// When each place is looked at next.
    due: BTreeSet<(Time, SeatId)>,
    /// When each call has rung long enough, as long as it is there.
    ringing: BTreeSet<(Time, LegId)>,
    orphans: Orphans<record::Seat>,
    forgetting: Forgetting,
    /// Places that are to be given up, as the gateway is to end, and those whose users are asked whether they are there; and when some more are.
    leaving: VecDeque<SeatId>,
    probing: VecDeque<SeatId>,
    some_at: Option<Time>,
    /// Messages of users on their way, and what they take.
    letters: usize,
    bytes: usize,
    /// What is kept of who is in the rooms.
    weight: usize,
    /// How many places each user has.
    of_user: Table<Fingerprint, usize>,
    draining: bool,
}

impl Occupants {
    /// The mapping; `key` is secret.
    pub fn new(config: &Config, key: HashKey) -> Occupants {
        Occupants {
            options: config.room.clone(),
            key,
            seats: Table::new(key),
            last: 0,
            pairs: Table::new(key),
            by_leg: Table::new(key),
            usages: Table::new(key),
            calls: Table::new(key),
            by_call: Table::new(key),
            held: Held::new(key),
            due: BTreeSet::new(),
            ringing: BTreeSet::new(),
            orphans: Orphans::new(),
            forgetting: Forgetting::new(key),
            leaving: VecDeque::new(),
            probing: VecDeque::new(),
            some_at: None,
            letters: 0,
            bytes: 0,
            weight: 0,
            of_user: Table::new(key),
            draining: false,
        }
    }

    /// The places.
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Messages held, and those on their way.
    pub fn under_way(&self) -> usize {
        self.held.len() + self.letters
    }

    /// All places, the oldest first.
    pub fn seats(&self, now: Time) -> Vec<Seat> {
        let seat = |seat: &Occupant| Seat {
            user: seat.user.clone(),
            room: seat.room.clone(),
            nick: seat.people.nick().as_str().into(),
            inside: seat.phase == Phase::Inside,
            age: now.since(seat.since),
            people: seat.people.len() + usize::from(seat.entered),
            said: seat.said,
            heard: seat.heard,
            waiting: seat.flying.len(),
        };
        self.seats.keys_sorted().iter().filter_map(|id| self.seats.get(id)).map(|s| seat(s)).collect()
    }

    /// The place of a user's resource in a room.
    fn find(&self, user: &Jid, room: &Jid) -> Option<SeatId> {
        self.of_pair(user, room).find(|id| self.seats.get(id).is_some_and(|seat| seat.user == *user))
    }

    fn of_pair(&self, user: &Jid, room: &Jid) -> impl Iterator<Item = SeatId> {
        self.pairs.list(&prints::pair(&self.key, user, room)).iter().copied()
    }

    fn insert(&mut self, seat: Occupant) -> SeatId {
        self.last += 1;
        let id = SeatId(self.last);
        let pair = prints::pair(&self.key, &seat.user, &seat.room);
        self.pairs.list_add(pair, id);
        self.of_user.count_up(prints::user(&self.key, &seat.user));
        self.seats.insert(id, Box::new(seat));
        self.arm(id);
        id
    }

    /// A user has no such place any more, whatever is still to be said to the focus.
    fn vacate(&mut self, id: SeatId) {
        let Some(seat) = self.seats.get(&id) else { return };
        self.pairs.list_remove(&prints::pair(&self.key, &seat.user, &seat.room), &id);
    }

    /// Nothing is left of a place.
    fn remove(&mut self, stage: &mut Stage<'_>, id: SeatId) -> Option<Box<Occupant>> {
        self.vacate(id);
        let seat = self.seats.remove(&id)?;
        self.weight -= seat.weight;
        self.of_user.count_down(&prints::user(&self.key, &seat.user));
        if let Some(at) = seat.armed {
            self.due.remove(&(at, id));
        }
        if let Some(leg) = seat.leg {
            self.by_leg.remove(&leg);
        }
        if seat.saved {
            self.forgetting.forget(stage, record_key(&seat).to_bytes());
        }
        Some(seat)
    }

    /// Writes down that the place is there.
    fn save(&mut self, stage: &mut Stage<'_>, id: SeatId) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let leg = seat.leg;
        let dialog = leg.and_then(|leg| stage.legs(|legs, footing| legs.dialog(footing, leg).cloned()));
        let record = record::Seat {
            resource: seat.user.resource().map(str::to_owned),
            nick: seat.people.nick().as_str().to_owned(),
            dialog: dialog.filter(|dialog| !dialog.remote_tag.is_empty()),
        };
        seat.saved = true;
        stage.save(record_key(seat).to_bytes(), Some(record.to_bytes()));
    }

    /// Sees to it that a place is looked at when something is due, or before.
    fn arm(&mut self, id: SeatId) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let Some(at) = seat.due().filter(|at| seat.armed.is_none_or(|armed| *at < armed)) else { return };
        if let Some(before) = seat.armed.replace(at) {
            self.due.remove(&(before, id));
        }
        self.due.insert((at, id));
    }

    /// Something of a place may be due.
    fn let_pass(&mut self, stage: &mut Stage<'_>, id: SeatId) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        seat.armed = None;
        if seat.until.take_if(|at| *at <= stage.now).is_some() {
            self.overdue(stage, id);
        }
        let Some(seat) = self.seats.get_mut(&id) else { return };
        if seat.retry.take_if(|at| *at <= stage.now).is_some() {
            self.subscribe(stage, id);
        }
        self.arm(id);
    }

    /// Presence to a room.
    fn presence(&mut self, stage: &mut Stage<'_>, link: LinkId, stanza: &Stanza) {
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else { return };
        let seat = self.find(from, &to.bare());
        match (stanza.type_.as_deref(), seat) {
            (None, _) if Join::of(stanza).is_some() => self.join(stage, link, stanza, seat),
            (None, Some(seat)) => self.shown(stage, link, seat, stanza),
            // Who believes to be in a room that it is not in is told so: it would sit there for ever.
            (None, None) if !to.is_bare() => stage.answer(link, &s2x::stranger(to, from)),
            (Some("unavailable"), Some(seat)) => {
                let said = stanza.elements().filter(|e| e.is("status", xmpp::ns::CLIENT)).cloned().collect();
                self.give_up(stage, seat, seat::End::Left(said));
            }
            // RFC 6121 §3.1.3: nobody watches a room.
            (Some("subscribe"), _) => {
                let no = Stanza::presence().with_from(to.bare()).with_to(from.bare()).with_type("unsubscribed");
                stage.answer(link, &no);
            }
            (None | Some(_), _) => stage.note(Note::Ignored { why: "presence to a room" }),
        }
    }

    /// A message to a room, or to somebody in it.
    fn message(&mut self, stage: &mut Stage<'_>, link: LinkId, stanza: Stanza) {
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else { return };
        let user = User::of(&stanza).filter(|_| to.is_bare());
        if let Some(decline) = user.as_ref().and_then(|user| user.decline.as_ref()) {
            return self.declined(stage, from, to, decline.reason.as_deref());
        }
        let Some(id) = self.find(from, &to.bare()) else {
            // XEP-0045 §7.4, §7.5, §7.8.2: only who is in a room can speak there.
            stage.note(Note::Refused { refusal: "not-in-room", towards: Side::Xmpp, message: true });
            if let Some(error) = stanza.error(&StanzaError::new(Condition::NotAcceptable)) {
                stage.answer(link, &error);
            }
            return;
        };
        match user {
            Some(user) if !user.invites.is_empty() => self.invite(stage, id, &stanza, &user),
            Some(_) | None => self.say(stage, id, stanza),
        }
    }

    /// Ends, or asks, some of those who are to be.
    fn some(&mut self, stage: &mut Stage<'_>) {
        for (link, key, record) in self.orphans.take(stage) {
            if let Some(link) = link {
                self.bury(stage, link, &key, &record);
            }
            self.forgetting.forget(stage, key.to_bytes());
        }
        if self.some_at.is_none_or(|at| at > stage.now) {
            return;
        }
        for _ in 0..crate::records::SOME {
            if let Some(id) = self.leaving.pop_front() {
                self.give_up(stage, id, seat::End::Shutdown);
            } else if let Some(id) = self.probing.pop_front() {
                self.probe(stage, id);
            }
        }
        let more = !self.leaving.is_empty() || !self.probing.is_empty();
        self.some_at = more.then_some(stage.now + crate::records::PACE);
    }
}

fn record_key(seat: &Occupant) -> Key {
    Key { about: About::Occupant(seat.record.clone()), sip: seat.room.clone(), xmpp: seat.user.bare() }
}

impl Mapping for Occupants {
    fn claims_request(&self, _: &Request) -> bool {
        false
    }

    fn claims_invitation(&self, invitation: &Invitation) -> bool {
        invitation.purpose == Purpose::Conference
    }

    fn claims_stanza(&self, stanza: &Stanza, _: Way) -> bool {
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else { return false };
        if to.local().is_none() {
            return false;
        }
        let declines = || {
            let declines = |user: User| user.decline.is_some();
            stanza.kind == Kind::Message
                && self.calls.contains(&prints::pair(&self.key, from, to))
                && User::of(stanza).is_some_and(declines)
        };
        self.options.is_conference(to.domain())
            || self.find(from, &to.bare()).is_some()
            || !to.is_bare() && Join::of(stanza).is_some()
            || declines()
    }

    fn reconfigure(&mut self, config: &Config) {
        self.options = config.room.clone();
    }

    fn invited(&mut self, stage: &mut Stage<'_>, invitation: Invitation) {
        self.call_came(stage, &invitation);
    }

    fn stanza(&mut self, stage: &mut Stage<'_>, link: LinkId, stanza: Stanza) {
        match stanza.kind {
            Kind::Presence => self.presence(stage, link, &stanza),
            Kind::Message => self.message(stage, link, stanza),
            Kind::Iq => self.asked(stage, link, &stanza),
        }
    }

    fn error(&mut self, stage: &mut Stage<'_>, stanza: &Stanza, error: &StanzaError) -> bool {
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else { return false };
        if let (Kind::Message, Some(id)) = (stanza.kind, &stanza.id) {
            let said = prints::said(&self.key, id, to, from);
            if let Some(held) = self.held.refused(&said) {
                self.turned_away(stage, &held, error);
            } else if self.invitation_failed(stage, from, to, id, error) {
                return true;
            }
        }
        let Some(id) = self.find(from, &to.bare()) else { return false };
        if end::is_gone(error) {
            // XEP-0045 §14.1 has it a matter of the service; every service does so, or its rooms would fill with ghosts.
            self.give_up(stage, id, seat::End::Lost);
        }
        true
    }

    fn leg(&mut self, stage: &mut Stage<'_>, event: leg::Event) -> Option<leg::Event> {
        let Some(&id) = self.by_leg.get(&event.leg()) else { return self.call_event(stage, event) };
        match event {
            leg::Event::Open { response, .. } => self.opened(stage, id, response.as_deref()),
            leg::Event::Up { .. } => self.connected(stage, id),
            // A call that was held has been taken up by now.
            leg::Event::Called { .. } | leg::Event::Redescribed { .. } => {}
            leg::Event::Ending { .. } => {
                if let Some(seat) = self.seats.get_mut(&id).filter(|seat| seat.phase != Phase::Leaving) {
                    seat.phase = Phase::Parting;
                }
            }
            leg::Event::Message { token, message, leg } => self.arrived(stage, id, leg, token, message),
            leg::Event::Sent { message, .. } => self.sent(stage, id, &message),
            leg::Event::Undelivered { message, why, .. } => self.undelivered(stage, id, &message, why),
            // RFC 7701 §6.3: it speaks of the switch alone, which has answered.
            leg::Event::Report { .. } => {}
            // We are no room.
            leg::Event::Nickname { token, .. } => stage.legs(|legs, footing| legs.answer(footing, token, 403, "")),
            leg::Event::Nicknamed { code, .. } => self.named(stage, id, code),
            leg::Event::Failed { why, .. } => self.refused(stage, id, &why),
            leg::Event::Ended { why, .. } => self.ended(stage, id, &why),
        }
        None
    }

    fn stanza_outcome(&mut self, stage: &mut Stage<'_>, token: StanzaToken, taken: bool) -> bool {
        let Some(held) = self.held.release(token) else { return false };
        if taken {
            stage.note(Note::Delivered { to: Side::Xmpp, micros: stage.now.since(held.since).as_micros() as u64 });
            arrive::taken(stage, held.leg, held.token, held.report.as_ref());
            if let Some(seat) = self.seats.get_mut(&held.seat) {
                seat.held = seat.held.saturating_sub(1);
            }
        } else {
            self.not_taken(stage, &held);
        }
        true
    }

    fn event(&mut self, stage: &mut Stage<'_>, event: subscription::Event) -> Option<subscription::Event> {
        let (id, last) = (event.id(), event.is_last());
        match self.usages.get(&id) {
            None => return Some(event),
            Some(&Use::Conference(seat)) => self.conference_event(stage, seat, event),
            Some(Use::Refer(_)) => self.refer_event(stage, event),
            Some(Use::Nothing) => ignored(stage, &event),
        }
        if last {
            self.usages.remove(&id);
        }
        None
    }

    fn saved(&mut self, stage: &mut Stage<'_>, token: SaveToken, saved: bool) -> bool {
        self.forgetting.saved(stage.now, token, saved)
    }

    fn restore(&mut self, _: &mut Stage<'_>, key: &Key, value: &[u8]) -> Option<Result<(), Broken>> {
        if !matches!(key.about, About::Occupant(_)) {
            return None;
        }
        Some(record::Seat::parse(value).map(|record| self.orphans.push(key.clone(), record)))
    }

    fn link_up(&mut self, stage: &mut Stage<'_>, link: LinkId) {
        self.orphans.link_up(stage.now);
        self.link_back(stage, link);
        self.some(stage);
    }

    fn drain(&mut self, stage: &mut Stage<'_>) {
        self.draining = true;
        self.leaving = self.seats.keys_sorted().into();
        self.some_at = Some(stage.now);
        self.calls_end(stage);
        self.some(stage);
    }

    fn abandon(&mut self, stage: &mut Stage<'_>) {
        while let Some(held) = self.held.give_up() {
            self.not_taken(stage, &held);
        }
        for id in self.seats.keys_sorted() {
            self.give_up(stage, id, seat::End::Shutdown);
        }
        self.calls_end(stage);
    }

    fn timeout(&mut self, stage: &mut Stage<'_>) {
        while let Some(held) = self.held.overdue(stage.now) {
            self.not_taken(stage, &held);
        }
        while let Some((at, id)) = self.due.first().copied().filter(|(at, _)| *at <= stage.now) {
            self.due.remove(&(at, id));
            self.let_pass(stage, id);
        }
        self.calls_due(stage);
        self.forgetting.timeout(stage);
        self.some(stage);
    }

    fn deadline(&self) -> Option<Time> {
        let due = [self.due.first().map(|(at, _)| *at), self.ringing.first().map(|(at, _)| *at)];
        let others = [self.held.deadline(), self.some_at, self.orphans.deadline(), self.forgetting.deadline()];
        due.into_iter().chain(others).flatten().min()
    }
}

/// What is said of a subscription that nobody wants any more.
fn ignored(stage: &mut Stage<'_>, event: &subscription::Event) {
    if let &subscription::Event::Notify { id, server, .. } = event {
        stage.events(|events, ground| events.answer_notify(ground, id, server, sip::Response::new(200, "")));
    }
}
