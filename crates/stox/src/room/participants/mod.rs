//! SIP users in MUCs: RFC 7702 §6. The gateway is the focus (RFC 4353) and the MSRP switch (RFC 7701) of each of them, and an occupant of the room
//! in their place.
//!
//! An INVITE to a room is held until the room has let the user in. From then on each stanza that the room sends to this occupant is told to this
//! user: messages through the session, people through the conference event package. What the user says is answered when the room has said it.
//!
//! What it claims: INVITEs to rooms, SUBSCRIBEs for the conference package, REFERs in the dialogs of its places; presence, messages and answers from
//! rooms to their occupants.

mod ask;
mod enclosed;
mod enter;
mod hear;
mod leave;
mod people;
mod place;
mod refer;
mod speak;
mod watch;

use crate::address;
use crate::choice::Way;
use crate::config::{Config, LinkId};
use crate::gateway::Note;
use crate::held::Held;
use crate::leg::{self, LegId};
use crate::links::StanzaToken;
use crate::mapping::{Incoming, Invitation, Mapping, Purpose, Side, Stage};
use crate::prints;
use crate::records::{Forgetting, Orphans, PACE, SOME};
use crate::room::{CONFERENCE, Options, Seat, record};
use crate::store::{About, Broken, Key, SaveToken};
use ask::{Ask, Said};
use base::{Fingerprint, HashKey, Recent, Str, Table, Time};
use msrp::{MessageId, MessageToken};
use place::{Farewell, Letter, Participant, Phase};
use sip::header::Name;
use sip::subscription::{Event, UsageId};
use sip::{Method, Request, Response};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;
use xmpp::error::StanzaError;
use xmpp::ext::muc::User;
use xmpp::jid::Jid;
use xmpp::stanza::{Kind, Stanza};

/// Messages of users that are remembered as said, so that a room that shows them again says nothing new.
const SPOKEN: usize = 20_000;

/// Those are remembered who were told that they sit in a room no more.
const GHOSTS: usize = 1_000;

/// Devices that have just left rooms.
const LEFT: usize = 20_000;

/// How long a room may take to confirm that somebody has left.
const LEAVING: Duration = Duration::from_secs(60);

/// A message of a user that waits until the room has said it.
#[derive(Debug)]
struct Waiting {
    leg: LegId,
    token: MessageToken,
    /// By which the room's copy is known.
    said: Fingerprint,
    since: Time,
    /// It is for one person: nothing comes back of it.
    private: bool,
    /// Its sender wants a report of its own (RFC 4975 §7.1.2): the message, and how long it is.
    report: Option<(MessageId, u64)>,
}

/// When it is tried again to save a record.
const SAVE_AGAIN: Duration = Duration::from_secs(10);

/// Who has said farewell to a room.
#[derive(Debug)]
enum Parting {
    /// A place whose leg has yet to end.
    Place(LegId),
    /// One of which the record is left.
    Record(Box<(Key, record::Seat)>),
}

/// The mapping of RFC 7702 §6.
#[derive(Debug)]
pub struct Participants {
    options: Options,
    addresses: address::Options,
    key: HashKey,
    seats: Table<LegId, Box<Participant>>,
    /// The places of a SIP user in rooms of one name.
    pairs: Table<Fingerprint, Vec<LegId>>,
    usages: Table<UsageId, LegId>,
    /// REFERs that were accepted, and what the NOTIFY is to say.
    referrals: Table<UsageId, u16>,
    /// What subscriptions are told at their end whose user was put out of the room.
    last_words: Table<UsageId, watch::LastWord>,
    /// A SUBSCRIBE on its way through the engine.
    arriving: Option<Incoming>,
    /// Which domains are MUC services, as far as was asked, and until when that holds.
    services: Table<Str, (bool, Time)>,
    asks: Table<Str, (Time, Ask)>,
    ask_due: BTreeSet<(Time, Str)>,
    /// Invitations on their way to a room, by the stanza.
    invited: Table<StanzaToken, Str>,
    held: Held<Waiting>,
    /// What was last said to all of a room.
    last: enclosed::Last,
    spoken: Recent<Fingerprint, LegId>,
    ghosts: Recent<Fingerprint, Time>,
    /// Devices that have left rooms, until the room confirms it: what it still says of them is of that stay.
    left: Recent<Fingerprint, Time>,
    /// When each place is looked at next: one entry for each.
    due: BTreeSet<(Time, LegId)>,
    orphans: Orphans<record::Seat>,
    /// Rooms that were told that places in them are empty, if the server takes it.
    farewells: Table<StanzaToken, Parting>,
    forgetting: Forgetting,
    saving: Table<SaveToken, LegId>,
    /// Places that are to be left, as the gateway is to end, and those whose room is to be entered again, as its stream was away.
    leaving: VecDeque<LegId>,
    coming: VecDeque<LegId>,
    /// When some more of these are.
    some_at: Option<Time>,
    draining: bool,
}

impl Participants {
    /// The mapping; `key` is secret.
    pub fn new(config: &Config, key: HashKey) -> Participants {
        Participants {
            options: config.room.clone(),
            addresses: address::Options { phone_domain: config.phone_domain.clone() },
            key,
            seats: Table::new(key),
            pairs: Table::new(key),
            usages: Table::new(key),
            referrals: Table::new(key),
            last_words: Table::new(key),
            arriving: None,
            services: Table::new(key),
            asks: Table::new(key),
            ask_due: BTreeSet::new(),
            invited: Table::new(key),
            held: Held::new(key),
            last: enclosed::Last::default(),
            spoken: Recent::new(key, SPOKEN),
            ghosts: Recent::new(key, GHOSTS),
            left: Recent::new(key, LEFT),
            due: BTreeSet::new(),
            orphans: Orphans::new(),
            farewells: Table::new(key),
            forgetting: Forgetting::new(key),
            saving: Table::new(key),
            leaving: VecDeque::new(),
            coming: VecDeque::new(),
            some_at: None,
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

    /// Messages of users that wait for their rooms.
    pub fn under_way(&self) -> usize {
        self.held.len()
    }

    /// All places, the oldest first.
    pub fn seats(&self, now: Time) -> Vec<Seat> {
        let seat = |place: &Participant| Seat {
            user: place.user.clone(),
            room: place.room.clone(),
            nick: place.nick.clone(),
            inside: place.phase == Phase::Inside,
            age: now.since(place.since),
            people: place.people.len(),
            said: place.said,
            heard: place.received,
            waiting: place.waiting.len() + place.flying.len(),
        };
        self.seats.keys_sorted().iter().filter_map(|leg| self.seats.get(leg)).map(|place| seat(place)).collect()
    }

    fn of_pair(&self, user: &Jid, room: &Jid) -> impl Iterator<Item = (LegId, &Participant)> {
        self.of_local(user, room.local().unwrap_or_default()).filter(|(_, place)| place.room.same_bare(room))
    }

    /// The places of a user in rooms of this name, whatever their domains.
    fn of_local(&self, user: &Jid, local: &str) -> impl Iterator<Item = (LegId, &Participant)> {
        let print = place_print(&self.key, user, local);
        self.pairs.list(&print).iter().filter_map(|leg| Some((*leg, &**self.seats.get(leg)?)))
    }

    /// The room that a user knows by our Contact (RFC 4579 §4.2), which has its name, and not its domain.
    pub fn room_called(&self, user: &Jid, local: &str) -> Option<&Jid> {
        self.of_local(user, local).last().map(|(_, place)| &place.room)
    }

    /// The place that a stanza from a room is for.
    fn find(&self, stanza: &Stanza) -> Option<LegId> {
        let (from, to) = (stanza.from.as_ref()?, stanza.to.as_ref()?);
        self.of_pair(to, from).find(|(_, place)| place.user == *to).map(|(leg, _)| leg)
    }

    fn take_place(&mut self, leg: LegId, place: Participant) {
        let pair = place_print(&self.key, &place.user, place.room.local().unwrap_or_default());
        self.pairs.list_add(pair, leg);
        self.seats.insert(leg, Box::new(place));
    }

    fn leave_place(&mut self, stage: &mut Stage<'_>, leg: LegId) -> Option<Box<Participant>> {
        let place = self.seats.remove(&leg)?;
        if let Some(at) = place.armed {
            self.due.remove(&(at, leg));
        }
        let pair = place_print(&self.key, &place.user, place.room.local().unwrap_or_default());
        self.pairs.list_remove(&pair, &leg);
        if place.saved {
            let (key, record) = leave::orphan(&place);
            match place.farewell {
                Farewell::None => self.forgetting.forget(stage, key.to_bytes()),
                Farewell::Sent(token) => drop(self.farewells.insert(token, Parting::Record(Box::new((key, record))))),
                Farewell::Owed => {
                    stage.save(key.to_bytes(), Some(record.to_bytes()));
                    self.orphans.push(key, record);
                    // The stream may be there again already, and no other one comes soon.
                    if stage.links.is_up(place.link) {
                        self.orphans.link_up(stage.now);
                    }
                }
            }
        }
        Some(place)
    }

    /// Sees to it that a place is looked at when something is due, or before.
    fn arm(&mut self, leg: LegId) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        let Some(at) = place.due().filter(|at| place.armed.is_none_or(|armed| *at < armed)) else { return };
        if let Some(before) = place.armed.replace(at) {
            self.due.remove(&(before, leg));
        }
        self.due.insert((at, leg));
    }

    /// Something may be due in a place.
    fn let_pass(&mut self, stage: &mut Stage<'_>, leg: LegId) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        place.armed = None;
        let now = stage.now;
        let past = |at: &Option<Time>| at.is_some_and(|at| at <= now);
        if let Some(renaming) = place.renaming.take_if(|renaming| renaming.until <= now) {
            stage.legs(|legs, footing| legs.answer(footing, renaming.token, 408, ""));
            self.leave_if_quiet(stage, leg);
        }
        let Some(place) = self.seats.get_mut(&leg) else { return };
        if past(&place.save_at) {
            self.save(stage, leg);
        }
        let Some(place) = self.seats.get_mut(&leg) else { return };
        if past(&place.return_at) {
            place.return_at = None;
            self.enter(stage, leg);
        } else if past(&place.enter_by) {
            match place.phase {
                Phase::Returning => self.lose_room(stage, leg),
                Phase::Called | Phase::Entering | Phase::Inside | Phase::Leaving => {
                    self.not_let_in(stage, leg, Response::new(504, "The room does not answer"));
                }
            }
        } else if place.is_silent(stage.now) {
            self.ping(stage, leg);
        }
        self.arm(leg);
    }

    /// Enters some of the rooms again whose stream was away, and leaves some of those that are to be left.
    fn act_on_some(&mut self, stage: &mut Stage<'_>) {
        if self.some_at.is_none_or(|at| at > stage.now) {
            return;
        }
        for _ in 0..SOME {
            let Some(leg) = self.coming.pop_front() else { break };
            self.come_back(stage, leg);
        }
        for _ in 0..SOME {
            let Some(leg) = self.leaving.pop_front() else { break };
            self.leave_if_quiet(stage, leg);
        }
        let more = !self.coming.is_empty() || !self.leaving.is_empty();
        self.some_at = more.then_some(stage.now + PACE);
    }
}

fn place_print(key: &HashKey, user: &Jid, local: &str) -> Fingerprint {
    key.fingerprint(&[user.local().unwrap_or_default().as_bytes(), user.domain().as_bytes(), local.as_bytes()])
}

/// By what a message of a user is known when the room says it, or refuses it. Each place has messages of its own: two devices may share a
/// nickname, and who comes back to the room hears what he said there before.
fn spoken(key: &HashKey, id: &str, place: &Participant) -> Fingerprint {
    prints::said(key, &base::format_compact!("{id}\0{}", place.record), &place.user, &place.room)
}

/// A device in a room.
fn device(key: &HashKey, device: &Jid, room: &Jid) -> Fingerprint {
    prints::said(key, device.resource().unwrap_or_default(), device, room)
}

/// Whether this is presence of an occupant, as a room sends it to another one.
fn is_of_room(stanza: &Stanza, options: &Options) -> bool {
    let from_occupant = stanza.from.as_ref().is_some_and(|from| from.resource().is_some());
    let to_device = stanza.to.as_ref().is_some_and(|to| to.resource().is_some());
    let may_be =
        options.muc_domains.is_empty() || stanza.from.as_ref().is_some_and(|from| options.is_muc(from.domain()));
    let shown = User::of(stanza).is_some_and(|user| user.item().is_some());
    stanza.kind == Kind::Presence && from_occupant && to_device && may_be && shown
}

impl Mapping for Participants {
    fn claims_request(&self, request: &Request) -> bool {
        if request.method == Method::Refer {
            return self.is_from_inside(request);
        }
        let package = request.headers.get(Name::Event).map(|event| event.split(';').next().unwrap_or_default().trim());
        request.method == Method::Subscribe && package == Some(CONFERENCE)
    }

    fn claims_invitation(&self, invitation: &Invitation) -> bool {
        matches!(invitation.purpose, Purpose::Room | Purpose::Unclear)
    }

    fn claims_stanza(&self, stanza: &Stanza, _: Way) -> bool {
        match (stanza.kind, stanza.type_.as_deref()) {
            (Kind::Iq, Some("result")) => stanza.id.as_ref().is_some_and(|id| self.asks.contains(id)),
            (Kind::Iq, _) => false,
            (Kind::Presence, None | Some("unavailable")) => {
                self.find(stanza).is_some() || is_of_room(stanza, &self.options)
            }
            (Kind::Presence, Some(_)) => false,
            (Kind::Message, _) => self.find(stanza).is_some(),
        }
    }

    fn reconfigure(&mut self, config: &Config) {
        self.options = config.room.clone();
        self.addresses = address::Options { phone_domain: config.phone_domain.clone() };
    }

    fn request(&mut self, stage: &mut Stage<'_>, incoming: Incoming) {
        self.subscribe(stage, incoming);
    }

    fn invited(&mut self, stage: &mut Stage<'_>, invitation: Invitation) {
        self.called(stage, invitation);
    }

    fn stanza(&mut self, stage: &mut Stage<'_>, link: LinkId, stanza: Stanza) {
        if stanza.kind == Kind::Iq {
            if let Some(ask) = stanza.id.as_deref().and_then(|id| self.asked(id)) {
                self.answered(stage, ask, Said::Answer(&stanza));
            }
            return;
        }
        let Some(leg) = self.find(&stanza) else {
            // What says that somebody has left asks for no answer.
            match (stanza.type_.as_deref(), &stanza.to, &stanza.from) {
                (None, ..) => self.haunted(stage, link, &stanza),
                (_, Some(user), Some(room)) if User::of(&stanza).is_some_and(|user| user.has(110)) => {
                    self.left.remove(&device(&self.key, user, room));
                }
                _ => {}
            }
            return;
        };
        match stanza.kind {
            Kind::Presence => self.presence(stage, leg, &stanza),
            Kind::Message => self.message(stage, leg, stanza),
            Kind::Iq => {}
        }
    }

    fn error(&mut self, stage: &mut Stage<'_>, stanza: &Stanza, error: &StanzaError) -> bool {
        if let Some(ask) = stanza.id.as_deref().and_then(|id| self.asked(id)) {
            // An error tells of a ping, too, what it has to tell (XEP-0410).
            let pinged = matches!(ask, Ask::Ping(_));
            self.answered(stage, ask, if pinged { Said::Answer(stanza) } else { Said::Error(error) });
            return true;
        }
        match stanza.kind {
            Kind::Presence => {
                let Some(leg) = self.find(stanza) else { return false };
                // What it says to an earlier wish is no answer to this one.
                let asked = self.seats.get(&leg).and_then(|place| place.asked_by.as_ref());
                if stanza.id.is_none() || stanza.id.as_ref() == asked {
                    self.turned_away(stage, leg, error);
                }
            }
            Kind::Message => {
                let Some(id) = &stanza.id else { return false };
                let place = self.find(stanza).and_then(|leg| self.seats.get(&leg));
                let Some(said) = place.map(|place| spoken(&self.key, id, place)) else { return false };
                match self.held.refused(&said) {
                    Some(held) => self.refused(stage, &held, error),
                    None => return self.refused_late(stage, stanza, said),
                }
            }
            Kind::Iq => return false,
        }
        true
    }

    fn leg(&mut self, stage: &mut Stage<'_>, event: leg::Event) -> Option<leg::Event> {
        if !self.seats.contains(&event.leg()) {
            return Some(event);
        }
        match event {
            leg::Event::Called { leg } => self.knock(stage, leg),
            leg::Event::Open { leg, .. } | leg::Event::Redescribed { leg } => self.opened(stage, leg),
            leg::Event::Up { leg } => {
                if let Some(place) = self.seats.get(&leg) {
                    let micros = stage.now.since(place.since).as_micros() as u64;
                    stage.note(Note::SessionOpened { by: Side::Sip, micros });
                }
            }
            leg::Event::Message { leg, token, message } => self.arrived(stage, leg, token, &message),
            leg::Event::Sent { leg, message } => self.sent(stage, leg, &message),
            leg::Event::Undelivered { leg, message, why } => self.undelivered(stage, leg, &message, why),
            leg::Event::Nickname { leg, token, nick } => self.nickname(stage, leg, token, &nick),
            leg::Event::Ending { leg } => self.leave_room(stage, leg, None),
            leg::Event::Failed { leg, .. } => self.over(stage, leg, None),
            leg::Event::Ended { leg, why } => self.over(stage, leg, Some(&why)),
            // Nobody has asked for either.
            leg::Event::Nicknamed { .. } | leg::Event::Report { .. } => {}
        }
        None
    }

    fn stanza_outcome(&mut self, stage: &mut Stage<'_>, token: StanzaToken, taken: bool) -> bool {
        if let Some(parting) = self.farewells.remove(&token) {
            match parting {
                Parting::Record(left) if taken => self.forgetting.forget(stage, left.0.to_bytes()),
                Parting::Record(left) => self.orphans.push(left.0, left.1),
                Parting::Place(leg) => {
                    if let Some(place) = self.seats.get_mut(&leg) {
                        place.farewell = if taken { Farewell::None } else { Farewell::Owed };
                    }
                }
            }
            return true;
        }
        if let Some(id) = self.invited.remove(&token) {
            if let Some(Ask::Refer(referral)) = self.asked(&id) {
                self.settle_referral(stage, &referral, if taken { Ok(()) } else { Err(None) });
            }
            return true;
        }
        let Some(held) = self.held.get(token) else { return false };
        // What is for everybody is said when the room says it.
        if taken && !held.private {
            return true;
        }
        let Some(held) = self.held.release(token) else { return false };
        if taken {
            self.taken(stage, &held);
        } else {
            self.not_taken(stage, &held);
        }
        true
    }

    fn event(&mut self, stage: &mut Stage<'_>, event: Event) -> Option<Event> {
        self.conference_event(stage, event)
    }

    fn saved(&mut self, stage: &mut Stage<'_>, token: SaveToken, saved: bool) -> bool {
        let Some(leg) = self.saving.remove(&token) else { return self.forgetting.saved(stage.now, token, saved) };
        if let Some(place) = self.seats.get_mut(&leg).filter(|_| !saved) {
            place.save_at = Some(stage.now + SAVE_AGAIN);
            self.arm(leg);
        }
        true
    }

    fn restore(&mut self, _: &mut Stage<'_>, key: &Key, value: &[u8]) -> Option<Result<(), Broken>> {
        if !matches!(key.about, About::Participant(_)) {
            return None;
        }
        Some(record::Seat::parse(value).map(|record| self.orphans.push(key.clone(), record)))
    }

    fn link_up(&mut self, stage: &mut Stage<'_>, link: LinkId) {
        self.orphans.link_up(stage.now);
        self.bury_some(stage);
        let mut away: VecDeque<LegId> = self.seats.keys_sorted().into();
        away.retain(|leg| self.seats.get(leg).is_some_and(|place| place.link == link));
        self.coming.retain(|leg| self.seats.get(leg).is_some_and(|place| place.link != link));
        self.coming.append(&mut away);
        self.some_at = Some(stage.now);
        self.act_on_some(stage);
    }

    fn drain(&mut self, stage: &mut Stage<'_>) {
        self.draining = true;
        self.leaving = self.seats.keys_sorted().into();
        self.some_at = Some(stage.now);
        self.act_on_some(stage);
    }

    fn abandon(&mut self, stage: &mut Stage<'_>) {
        while let Some(held) = self.held.give_up() {
            self.not_taken(stage, &held);
        }
        for (_, ask) in std::mem::take(&mut self.ask_due) {
            if let Some((_, ask)) = self.asks.remove(&ask) {
                self.answered(stage, ask, Said::Nothing);
            }
        }
        for leg in self.seats.keys_sorted() {
            self.over(stage, leg, Some(&leg::Why::Ours));
            stage.legs(|legs, footing| legs.end(footing, leg));
        }
    }

    fn timeout(&mut self, stage: &mut Stage<'_>) {
        while let Some(held) = self.held.overdue(stage.now) {
            // Should the room say it after all, it was answered for.
            self.spoken.insert(held.said, held.leg);
            self.not_taken(stage, &held);
        }
        while let Some((at, id)) = self.ask_due.first().cloned().filter(|(at, _)| *at <= stage.now) {
            self.ask_due.remove(&(at, id.clone()));
            if let Some((_, ask)) = self.asks.remove(&id) {
                self.answered(stage, ask, Said::Nothing);
            }
        }
        while let Some((at, leg)) = self.due.first().copied().filter(|(at, _)| *at <= stage.now) {
            self.due.remove(&(at, leg));
            self.let_pass(stage, leg);
        }
        self.forgetting.timeout(stage);
        self.bury_some(stage);
        self.act_on_some(stage);
    }

    fn deadline(&self) -> Option<Time> {
        let due = self.due.first().map(|(at, _)| *at);
        let asks = self.ask_due.first().map(|(at, _)| *at);
        let records = [self.forgetting.deadline(), self.orphans.deadline()];
        [self.held.deadline(), due, asks, self.some_at].into_iter().chain(records).flatten().min()
    }
}

impl Participants {
    /// The session is there, or takes messages again: what the room has said goes through it.
    fn opened(&mut self, stage: &mut Stage<'_>, leg: LegId) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        let first = !std::mem::replace(&mut place.open, true);
        let early = std::mem::take(&mut place.early);
        place.bytes = place.flying.iter().map(|(_, letter)| letter).chain(&place.waiting).map(Letter::weight).sum();
        if first {
            self.save(stage, leg);
        }
        for stanza in early {
            self.message(stage, leg, stanza);
        }
        if self.draining {
            self.leave_if_quiet(stage, leg);
        }
    }
}
