//! How users come into rooms: RFC 7702 §5.1 to §5.4, XEP-0045 §7.2; and how they come back when a session is lost.

use super::people::{News, People};
use super::seat::{End, Occupant, Phase, SeatId, Wish};
use super::{Occupants, Use, s2x};
use crate::address::{self, Scheme};
use crate::config::LinkId;
use crate::error::Refusal;
use crate::gateway::Note;
use crate::leg::{Call, Chatroom, LegId};
use crate::mapping::{Side, Stage};
use crate::prints;
use crate::room::CONFERENCE;
use crate::room::nickname::Nickname;
use crate::way::Route;
use base::Str;
use bodies::conference::{Bounds, Conference};
use sip::header::NameAddr;
use sip::subscription::{By, Subscribe};
use sip::{Name, Response, SipUri, Uri};
use std::collections::VecDeque;
use std::time::Duration;
use xmpp::error::{Condition, StanzaError};
use xmpp::ext::muc::Join;
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

/// What we say of rooms (RFC 7701 §8).
pub(super) const CHATROOM: Chatroom = Chatroom { nickname: true, private_messages: true };

/// How long we want to hear who is there before we ask again, in seconds (RFC 4575 §3.4).
const EXPIRES: u32 = 3600;

/// The most bytes that are kept of the people in one room.
const ROSTER_BYTES: usize = 16 << 20;

/// How many rooms one user may be in.
const PLACES_PER_USER: usize = 256;

/// How many nicknames are tried for a user who comes back.
const VARIANTS: u32 = 4;

/// Where the user's URIs in a room come from.
pub(super) struct Parties {
    /// From of all that is said in SIP, and of each message: the user, who is known by it in the room.
    pub(super) local: NameAddr,
    pub(super) contact: Uri,
    pub(super) room: SipUri,
    pub(super) way: Route,
}

impl Parties {
    pub(super) fn new(stage: &Stage<'_>, user: &Jid, room: &Jid, nick: &Nickname) -> Result<Parties, Refusal> {
        let voice = stage.voice(user, room)?;
        let room = address::to_uri(&room.bare(), Scheme::Sip).map_err(Refusal::Address)?;
        let way = stage.route(user, &room)?;
        let contact = stage.contact(&voice.contact, way.transport);
        // RFC 7247 §8, RFC 7701 §6.1: the user goes by the address of record.
        let local = NameAddr { display: Some(Str::from(nick.as_str())), ..NameAddr::new(voice.from) };
        Ok(Parties { local, contact, room, way })
    }
}

impl Occupants {
    /// A user wants into a room, or has forgotten to be there: Example 1.
    pub(super) fn join(&mut self, stage: &mut Stage<'_>, link: LinkId, stanza: &Stanza, seat: Option<SeatId>) {
        let Some(room) = stanza.to.as_ref().map(Jid::bare) else { return };
        let joined = match seat {
            Some(id) => self.join_again(stage, id, stanza),
            None => self.try_join(stage, link, &room, stanza),
        };
        if let Err(error) = joined {
            refuse(stage, link, stanza, &room, &error);
        }
    }

    fn try_join(
        &mut self,
        stage: &mut Stage<'_>,
        link: LinkId,
        room: &Jid,
        stanza: &Stanza,
    ) -> Result<(), Box<StanzaError>> {
        let (user, asked) = names(stanza)?;
        let nick = Nickname::parse(&asked).map_err(|unfit| unfit_error(&unfit.to_string()))?;
        let overload = Refusal::Overload { retry_after: stage.config.limits.retry_after };
        if self.draining || self.seats.len() >= self.options.seats {
            return Err(Box::new(overload.stanza_error()));
        }
        if self.of_pair(&user, room).count() >= self.options.seats_per_pair {
            return Err(Box::new(Refusal::Busy.stanza_error()));
        }
        if self.of_user.count(&prints::user(&self.key, &user)) >= PLACES_PER_USER {
            return Err(Box::new(Refusal::Busy.stanza_error()));
        }
        stage.rate(&user).map_err(|refusal| refusal.stanza_error())?;
        let called = self.answer_call(stage, &user, room);
        let leg = match called {
            Some(leg) => leg,
            None => self.call(stage, &user, room, &nick).map_err(|refusal| refusal.stanza_error())?,
        };
        let key = self.key;
        let bounds = Bounds { users: self.options.roster, bytes: ROSTER_BYTES };
        let seat = Occupant {
            user: user.clone(),
            room: room.clone(),
            link,
            phase: Phase::Inviting,
            entered: false,
            since: stage.now,
            until: Some(stage.now + self.options.join),
            armed: None,
            join: stanza.envelope(),
            asked,
            history: Join::of(stanza).and_then(|join| join.history),
            leg: Some(leg),
            open: None,
            torn: false,
            again: None,
            lost: None,
            came: stage.wall(),
            usage: None,
            retry: None,
            failures: 0,
            conference: Conference::new(key, bounds),
            weight: 0,
            entity: None,
            referring: 0,
            fresh: false,
            shown: nick.clone(),
            people: People::new(key, room.clone(), user, nick),
            subject: None,
            vacated: VecDeque::new(),
            wishes: VecDeque::new(),
            flying: VecDeque::new(),
            echoes: VecDeque::new(),
            lately: VecDeque::new(),
            early: VecDeque::new(),
            early_bytes: 0,
            held: 0,
            missed: false,
            why: None,
            said: 0,
            heard: 0,
            record: stage.tokens.token(12),
            saved: false,
        };
        let id = self.insert(seat);
        self.by_leg.insert(leg, id);
        // So that the user hears of it should the process die.
        self.save(stage, id);
        Ok(())
    }

    /// The user says once more that it wants in: its client has forgotten the room (XEP-0410), or has lost patience.
    fn join_again(&mut self, stage: &mut Stage<'_>, id: SeatId, stanza: &Stanza) -> Result<(), Box<StanzaError>> {
        let (_, asked) = names(stanza)?;
        let Some(seat) = self.seats.get_mut(&id) else { return Ok(()) };
        seat.history = Join::of(stanza).and_then(|join| join.history);
        let nick = Nickname::parse(&asked).map_err(|unfit| unfit_error(&unfit.to_string()))?;
        if seat.phase == Phase::Inside {
            return self.change(stage, id, stanza, nick, true);
        }
        if seat.entered || seat.phase == Phase::Inviting || *seat.people.nick() == nick {
            seat.join = stanza.envelope();
            if !seat.entered && seat.phase == Phase::Inviting {
                let _ = seat.people.call_me(nick, false);
                seat.asked = asked;
            }
            return Ok(());
        }
        Err(Box::new(
            StanzaError::new(Condition::ResourceConstraint).with_text("Still entering under another nickname"),
        ))
    }

    /// Asks the focus for a session: Example 2.
    fn call(&mut self, stage: &mut Stage<'_>, user: &Jid, room: &Jid, nick: &Nickname) -> Result<LegId, Refusal> {
        let parties = Parties::new(stage, user, room, nick)?;
        let call = Call {
            local: parties.local,
            remote: Uri::from(parties.room),
            contact: NameAddr::new(parties.contact),
            hop: parties.way.hop,
            route: parties.way.route,
            call_id: None,
            headers: Vec::new(),
            ring: self.options.join,
            chatroom: Some(CHATROOM),
        };
        stage.legs(|legs, footing| legs.invite(footing, call))
    }

    /// Both sides have described the session: Examples 3 and 4.
    pub(super) fn opened(&mut self, stage: &mut Stage<'_>, id: SeatId, response: Option<&Response>) {
        let Some(seat) = self.seats.get_mut(&id).filter(|seat| seat.phase == Phase::Inviting) else { return };
        let Some(leg) = seat.leg else { return };
        seat.phase = Phase::Connecting;
        seat.open = Some(stage.now);
        let chatroom = stage.legs(|legs, _| legs.chatroom(leg));
        // RFC 7701 §5.2: who is no focus is a person, who has no rooms.
        if chatroom.is_none() && !response.is_none_or(is_focus) {
            return self.give_up(stage, id, End::Refused(Refusal::Groupchat.stanza_error()));
        }
        self.save(stage, id);
    }

    /// The switch is there: it is asked for the nickname (Example 5), if it knows any.
    pub(super) fn connected(&mut self, stage: &mut Stage<'_>, id: SeatId) {
        let Some(seat) = self.seats.get_mut(&id).filter(|seat| seat.phase == Phase::Connecting) else { return };
        let nick = seat.people.nick().clone();
        self.ask_name(stage, id, nick);
    }

    fn ask_name(&mut self, stage: &mut Stage<'_>, id: SeatId, nick: Nickname) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let Some(leg) = seat.leg else { return };
        let asked = stage.legs(|legs, footing| {
            let knows = legs.chatroom(leg).is_some_and(|chatroom| chatroom.nickname);
            knows.then(|| legs.nickname(footing, leg, nick.as_str()))
        });
        match asked {
            Some(Ok(())) => {
                seat.phase = Phase::Naming;
                seat.wishes.push_back(Wish { nick, stanza: None, anew: false });
            }
            Some(Err(_)) => {
                let error = StanzaError::new(Condition::NotAcceptable).with_text("The room cannot have this nickname");
                self.give_up(stage, id, End::Refused(error));
            }
            None => {
                let _ = seat.people.call_me(nick, false);
                self.subscribe(stage, id);
            }
        }
    }

    /// What the switch says to the nickname under which the user comes in: Example 6.
    pub(super) fn named_first(&mut self, stage: &mut Stage<'_>, id: SeatId, wish: Wish, code: u16) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        match code {
            200..=299 => {
                // What the room shows under the old name is another's, or a ghost.
                if seat.entered && wish.nick != seat.shown {
                    seat.people.lose_me();
                }
                let moved = seat.people.call_me(wish.nick, true).filter(|_| seat.entered);
                let moved: Vec<News> = moved.into_iter().collect();
                self.tell(stage, id, &moved);
                self.subscribe(stage, id);
            }
            // RFC 7701 §7.1: there are none in this room after all. Then the room calls the user as it likes.
            403 | 501 => self.subscribe(stage, id),
            // Who comes back may find its own ghost.
            425 if seat.entered => {
                let before = seat.people.nick().clone();
                let next =
                    (2..=VARIANTS).map(|n| before.variant(n)).find(|nick| *nick > wish.nick || wish.nick == before);
                match next.filter(|next| *next != wish.nick) {
                    Some(next) => self.ask_name(stage, id, next),
                    None => self.give_up(stage, id, End::Lost),
                }
            }
            code => self.give_up(stage, id, End::Refused(name_error(code))),
        }
    }

    /// Asks the focus who is there: Example 7. In a dialog of its own (RFC 6665 §4.5.1), to the room's own address: it is what requests from the
    /// focus come from.
    pub(super) fn subscribe(&mut self, stage: &mut Stage<'_>, id: SeatId) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        if seat.phase == Phase::Naming || seat.phase == Phase::Connecting {
            seat.phase = Phase::Subscribing;
        }
        let parties = Parties::new(stage, &seat.user, &seat.room, seat.people.nick());
        let Ok(parties) = parties else { return };
        let subscribe = Subscribe {
            package: CONFERENCE,
            event_id: None,
            local: parties.local,
            remote: Uri::from(parties.room),
            contact: NameAddr::new(parties.contact),
            accept: bodies::conference::MEDIA_TYPE,
            expires: EXPIRES,
            route: parties.way.route,
            hop: parties.way.hop,
            call_id: None,
            by: By::Subscribe,
        };
        match stage.events(|events, ground| events.subscribe(ground, subscribe)) {
            Ok(usage) => {
                seat.usage = Some(usage);
                self.usages.insert(usage, Use::Conference(id));
            }
            Err(_) => {
                let overload = Refusal::Overload { retry_after: stage.config.limits.retry_after };
                self.unsubscribed(stage, id, Some(overload.stanza_error()));
            }
        }
    }

    /// The user is in the room: the others, the user, what was said before, the subject (XEP-0045 §7.1). Who has come back hears what is new.
    pub(super) fn enter(&mut self, stage: &mut Stage<'_>, id: SeatId, news: &[News]) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        (seat.phase, seat.until) = (Phase::Inside, None);
        if std::mem::replace(&mut seat.entered, true) {
            let old = std::mem::replace(&mut seat.shown, seat.people.nick().clone());
            if old != seat.shown {
                stage.answer(seat.link, &s2x::own_renamed(seat, &old));
                stage.answer(seat.link, &s2x::own(seat, true));
            }
            let others = |news: &&News| !matches!(news, News::Me(..));
            let others: Vec<News> = news.iter().filter(others).cloned().collect();
            self.tell(stage, id, &others);
        } else {
            let micros = stage.now.since(seat.since).as_micros() as u64;
            stage.note(Note::SessionOpened { by: Side::Xmpp, micros });
            self.tell_all(stage, id);
            // XEP-0045 §7.1: what was said before comes before the subject.
            self.early_words(stage, id, true);
            if let Some(seat) = self.seats.get(&id) {
                let subject = s2x::subject(seat, &stage.tokens.token(12));
                stage.answer(seat.link, &subject);
            }
        }
        self.early_words(stage, id, false);
    }

    /// Who is in the room, the user last.
    fn tell_all(&mut self, stage: &mut Stage<'_>, id: SeatId) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        for person in seat.people.others() {
            stage.answer(seat.link, &s2x::there(seat, person));
        }
        seat.shown = seat.people.nick().clone();
        let assigned = seat.asked != seat.people.nick().as_str();
        stage.answer(seat.link, &s2x::own(seat, assigned));
    }

    /// The same for a client that has forgotten it, with the subject.
    pub(super) fn tell_anew(&mut self, stage: &mut Stage<'_>, id: SeatId) {
        self.tell_all(stage, id);
        if let Some(seat) = self.seats.get(&id) {
            let subject = s2x::subject(seat, &stage.tokens.token(12));
            stage.answer(seat.link, &subject);
        }
    }

    /// A session is lost: another one, once. The user knows nothing of it.
    pub(super) fn come_back(&mut self, stage: &mut Stage<'_>, id: SeatId) -> bool {
        /// Sessions that are lost again so soon are given up.
        const SOON: Duration = Duration::from_secs(60);
        let Some(seat) = self.seats.get_mut(&id) else { return false };
        if self.draining || seat.again.is_some_and(|at| stage.now.since(at) < SOON) {
            return false;
        }
        (seat.again, seat.lost) = (Some(stage.now), stage.wall());
        // What did not arrive for certain comes back as news.
        seat.echoes.clear();
        let (user, room, nick) = (seat.user.clone(), seat.room.clone(), seat.people.nick().clone());
        let (old, usage) = (seat.leg.take(), seat.usage.take());
        if let Some(old) = old {
            self.by_leg.remove(&old);
        }
        self.unsubscribe(stage, usage);
        let Ok(leg) = self.call(stage, &user, &room, &nick) else { return false };
        self.by_leg.insert(leg, id);
        let Some(seat) = self.seats.get_mut(&id) else { return false };
        (seat.leg, seat.phase, seat.until) = (Some(leg), Phase::Inviting, Some(stage.now + self.options.join));
        (seat.retry, seat.why) = (None, None);
        // Numbers begin anew, and what is known holds until then.
        seat.conference.restart();
        seat.fresh = true;
        self.arm(id);
        true
    }
}

/// Who wants in, and under which name.
fn names(stanza: &Stanza) -> Result<(Jid, Str), Box<StanzaError>> {
    let user = stanza.from.as_ref().filter(|from| !from.is_bare()).ok_or(StanzaError::new(Condition::BadRequest))?;
    // XEP-0045 §7.2.1: a nickname is needed.
    let asked = stanza.to.as_ref().and_then(Jid::resource).ok_or(StanzaError::new(Condition::JidMalformed))?;
    Ok((user.clone(), Str::from(asked)))
}

fn unfit_error(why: &str) -> StanzaError {
    StanzaError::new(Condition::NotAcceptable).with_text(why)
}

/// What the switch's answer to a nickname means: RFC 7701 §7.1.
pub(super) fn name_error(code: u16) -> StanzaError {
    match code {
        425 => StanzaError::new(Condition::Conflict),
        408 => Refusal::SipTimeout.stanza_error(),
        _ => StanzaError::new(Condition::NotAcceptable).with_text("The room does not take this nickname"),
    }
}

/// A presence to a room is refused.
pub(super) fn refuse(stage: &mut Stage<'_>, link: LinkId, stanza: &Stanza, room: &Jid, error: &StanzaError) {
    stage.note(Note::Refused { refusal: error.condition.name(), towards: Side::Xmpp, message: false });
    stage.answer(link, &s2x::refused(stanza, room, error));
}

/// Whether who has answered says that it is a focus (RFC 3840).
fn is_focus(response: &Response) -> bool {
    let contact = response.headers.elements(Name::Contact).next().and_then(Result::ok);
    contact.and_then(|contact| NameAddr::parse(contact).ok()).is_some_and(|contact| contact.has_feature("isfocus"))
}
