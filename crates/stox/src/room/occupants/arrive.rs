//! What is said in rooms, on its way to their XMPP users: RFC 7702 §5.5, RFC 7701 §6.

use super::people::jid_of;
use super::seat::{Early, Occupant, Phase, SeatId};
use super::{Occupants, Waiting, s2x};
use crate::content::arrived::{self, Arrived};
use crate::error::{self, Refusal};
use crate::gateway::Note;
use crate::leg::LegId;
use crate::mapping::{Side, Stage};
use crate::prints;
use crate::room::nickname::Nickname;
use base::{Fingerprint, HashKey};
use bodies::cpim::{Address, Message};
use bodies::{Limits, Timestamp};
use msrp::{Incoming, MessageId, MessageToken};
use std::collections::VecDeque;
use std::time::Duration;
use xmpp::error::StanzaError;
use xmpp::ext::muc::History;
use xmpp::jid::Jid;

/// How many messages of a room, and how many bytes of them, wait for a user to be in it. What is beyond is refused.
const EARLY: usize = 256;
const EARLY_BYTES: usize = 1 << 20;

/// How many messages of a room to one user may wait for the XMPP server. What is beyond is refused.
const HELD: usize = 512;

/// What is older than this when a user comes in was said before.
const PAST: Duration = Duration::from_secs(60);

/// How long after a session has opened a switch may tell of the past.
const TELLS_PAST: Duration = Duration::from_secs(10);

impl Occupants {
    /// A message has come whole. What comes before the user is in the room waits.
    pub(super) fn arrived(
        &mut self,
        stage: &mut Stage<'_>,
        id: SeatId,
        leg: LegId,
        token: MessageToken,
        message: Box<Incoming>,
    ) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let waits = match seat.phase {
            Phase::Inviting | Phase::Connecting | Phase::Naming | Phase::Subscribing => true,
            Phase::Inside | Phase::Parting => false,
            Phase::Leaving => return answer(stage, token, &Refusal::NoDialog),
        };
        if !waits {
            return self.hear(stage, id, leg, token, &message, false);
        }
        if seat.early.len() >= EARLY || seat.early_bytes + message.body.len() > EARLY_BYTES {
            seat.missed |= seat.entered;
            let refusal = Refusal::Overload { retry_after: stage.config.limits.retry_after };
            return answer(stage, token, &refusal);
        }
        seat.early_bytes += message.body.len();
        seat.early.push_back(Early { token, message });
    }

    /// The user is in the room: what was said before, as far as the user wants to hear of it (`past`), or what has waited.
    pub(super) fn early_words(&mut self, stage: &mut Stage<'_>, id: SeatId, past: bool) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let Some(leg) = seat.leg else { return };
        let now = stage.wall();
        let is_past =
            |early: &Early| seat.came.zip(date(&early.message)).is_some_and(|(came, then)| then.unix() < came.unix());
        let early = std::mem::take(&mut seat.early);
        let (told, rest): (VecDeque<Early>, VecDeque<Early>) = early.into_iter().partition(|e| !past || is_past(e));
        seat.early = rest;
        seat.early_bytes = seat.early.iter().map(|early| early.message.body.len()).sum();
        let first = if past { told.len() - wanted(&told, self.options.history, seat.history.as_ref(), now) } else { 0 };
        for (n, Early { token, message }) in told.into_iter().enumerate() {
            if n < first {
                taken(stage, leg, token, report(&message).as_ref());
            } else {
                self.hear(stage, id, leg, token, &message, past);
            }
        }
    }

    fn hear(
        &mut self,
        stage: &mut Stage<'_>,
        id: SeatId,
        leg: LegId,
        token: MessageToken,
        message: &Incoming,
        past: bool,
    ) {
        match self.try_hear(stage, id, leg, token, message, past) {
            Ok(true) => {}
            Ok(false) => taken(stage, leg, token, report(message).as_ref()),
            Err(refusal) => {
                if let Some(seat) = self.seats.get_mut(&id) {
                    seat.missed |= matches!(refusal, Refusal::LinkDown { .. } | Refusal::Overload { .. });
                }
                answer(stage, token, &refusal);
            }
        }
    }

    /// Whether the message waits for the XMPP server; if not, there is nothing in it for the user.
    fn try_hear(
        &mut self,
        stage: &mut Stage<'_>,
        id: SeatId,
        leg: LegId,
        token: MessageToken,
        message: &Incoming,
        past: bool,
    ) -> Result<bool, Refusal> {
        let Some(seat) = self.seats.get_mut(&id) else { return Err(Refusal::NoDialog) };
        let limits = &stage.config.limits;
        let (link, retry_after) = (seat.link, limits.retry_after);
        let wrapper = wrapper(message);
        let arrived = match &wrapper {
            Some(wrapper) => arrived::read_wrapped(wrapper)?,
            None => arrived::read(&message.content_type, None, &message.body)?,
        };
        let Arrived::Text(text) = arrived else {
            // A room is not told who composes (XEP-0085 §5.5), nor who has read.
            stage.note(Note::Ignored { why: "nothing to translate" });
            return Ok(false);
        };
        let mut speaker = Speaker::of(seat, wrapper.as_ref());
        if let Speaker::Echo { private } = speaker {
            let body = text.bodies.first().map_or("", |(_, body)| body);
            if private || !past && seat.is_echo(words(self.key, body)) {
                return Ok(false);
            }
            // Another device of the user's has said it, under the same nickname, or the user did when it was here before.
            speaker = Speaker::Occupant { nick: seat.people.nick().clone(), private };
        }
        let date = wrapper.as_ref().and_then(Message::date_time);
        let heard = words(self.key, text.bodies.first().map_or("", |(_, body)| body));
        let public = !matches!(speaker, Speaker::Occupant { private: true, .. });
        if public && date.is_some_and(|date| seat.was_heard(heard, date)) {
            return Ok(false);
        }
        stage.note(Note::Received { from: Side::Sip });
        let (nick, private) = match &speaker {
            Speaker::Occupant { nick, private } => (Some(nick), *private),
            Speaker::Room | Speaker::Echo { .. } => (None, false),
        };
        // Threat 41: each who speaks has a rate of its own, whoever listens.
        let name = nick.map_or("", Nickname::as_str);
        let print = self.key.fingerprint(&[name.as_bytes(), &id.0.to_be_bytes()]);
        stage.rate_as(print)?;
        if self.held.len() >= limits.held || seat.held >= HELD {
            return Err(Refusal::Overload { retry_after });
        }
        let now = stage.wall();
        let lately = seat.open.is_some_and(|open| stage.now.since(open) <= TELLS_PAST);
        let then = date.filter(|then| past || lately && now.is_some_and(|now| is_old(now, *then)));
        let said = |id: &str| prints::said(&self.key, id, &seat.room, &seat.user);
        let mut stanza_id = message.transaction.clone();
        if self.held.is_said(&said(&stanza_id)) {
            stanza_id.push_str(&stage.tokens.token(8));
        }
        let said = said(&stanza_id);
        let Some(stanza) = s2x::message(seat, nick, &text, private, then, &stanza_id) else {
            stage.note(Note::Ignored { why: "nothing to translate" });
            return Ok(false);
        };
        let taken = stage.deliver(link, &stanza).ok_or(Refusal::LinkDown { retry_after })?;
        if public {
            seat.hears(heard);
        }
        seat.heard += 1;
        seat.held += 1;
        let waiting = Waiting { seat: id, leg, token, report: report(message), since: stage.now };
        self.held.hold(taken, said, stage.now + limits.held_for, waiting);
        Ok(true)
    }

    /// The XMPP side has refused a message.
    pub(super) fn turned_away(&mut self, stage: &mut Stage<'_>, held: &Waiting, error: &StanzaError) {
        let (code, comment) = error::stanza_to_msrp(error);
        stage.note(Note::Failed { by: Side::Xmpp, code });
        stage.legs(|legs, footing| legs.answer(footing, held.token, code, &comment));
        if let Some(seat) = self.seats.get_mut(&held.seat) {
            seat.held = seat.held.saturating_sub(1);
        }
    }

    /// Nobody knows whether the XMPP server has it.
    pub(super) fn not_taken(&mut self, stage: &mut Stage<'_>, held: &Waiting) {
        if let Some(seat) = self.seats.get_mut(&held.seat).filter(|seat| seat.leg == Some(held.leg)) {
            seat.held = seat.held.saturating_sub(1);
            seat.missed = true;
        }
        answer(stage, held.token, &Refusal::LinkDown { retry_after: stage.config.limits.retry_after });
    }
}

/// By what the words of a user are known when they come back: their line ends may be others then.
pub(super) fn words(key: HashKey, body: &str) -> Fingerprint {
    let lines: Vec<&[u8]> = body.trim().lines().map(str::as_bytes).collect();
    key.fingerprint(&lines)
}

/// A message has arrived: RFC 7701 §6.3, RFC 4975 §7.1.2.
pub(super) fn taken(stage: &mut Stage<'_>, leg: LegId, token: MessageToken, report: Option<&(MessageId, u64)>) {
    stage.legs(|legs, footing| {
        legs.answer(footing, token, 200, "OK");
        if let Some((message, total)) = report {
            legs.report(footing, leg, message, *total, 200);
        }
    });
}

/// What its sender wants to be told of, and its length.
fn report(message: &Incoming) -> Option<(MessageId, u64)> {
    message.success_report.then(|| (message.message_id.clone(), message.body.len() as u64))
}

fn answer(stage: &mut Stage<'_>, token: MessageToken, refusal: &Refusal) {
    stage.note_refused(refusal, Side::Sip, true);
    let (code, comment) = error::to_msrp(refusal);
    stage.legs(|legs, footing| legs.answer(footing, token, code, comment));
}

/// Who says it, and to whom.
enum Speaker {
    /// Somebody in the room.
    Occupant { nick: Nickname, private: bool },
    /// The room itself.
    Room,
    /// The user: some switches send everything to everybody.
    Echo { private: bool },
}

impl Speaker {
    /// The switch has made sure who speaks (RFC 7701 §6.1); whom the focus has not told of is shown with a name that is nobody's.
    fn of(seat: &Occupant, wrapper: Option<&Message>) -> Speaker {
        let Some(wrapper) = wrapper else { return Speaker::Room };
        let from = wrapper.from();
        let private = wrapper.to().next().is_some_and(|to| !is_room(seat, to.uri()));
        if seat.people.is_me(from.uri()) {
            return Speaker::Echo { private };
        }
        if let Some(person) = seat.people.speaker(from.uri()) {
            return Speaker::Occupant { nick: person.nick.clone(), private };
        }
        if is_room(seat, from.uri()) {
            return Speaker::Room;
        }
        Speaker::Occupant { nick: seat.people.stranger(&name_of(from)), private }
    }
}

/// What somebody is called of whom only this is known.
fn name_of(from: &Address) -> Nickname {
    let jid = jid_of(from.uri());
    let resource = jid.as_ref().and_then(Jid::resource);
    let user = resource.or_else(|| jid.as_ref().and_then(Jid::local)).unwrap_or_default();
    Nickname::of_user(from.name(), user)
}

/// Whether a URI is one of the room's own.
fn is_room(seat: &Occupant, uri: &str) -> bool {
    let own = |known: &str| known == uri;
    seat.entity.as_deref().is_some_and(own) || jid_of(uri).is_some_and(|jid| jid == seat.room)
}

fn wrapper(message: &Incoming) -> Option<Message> {
    let is_cpim = message.content_type.split(';').next().is_some_and(|t| t.trim().eq_ignore_ascii_case("message/cpim"));
    is_cpim.then(|| Message::parse(&message.body, &Limits::default()).ok()).flatten()
}

fn date(message: &Incoming) -> Option<Timestamp> {
    wrapper(message)?.date_time()
}

fn is_old(now: Timestamp, then: Timestamp) -> bool {
    now.unix() - then.unix() > PAST.as_secs() as i64
}

/// How many of the last messages of the past a user is told: XEP-0045 §7.2.14.
fn wanted(past: &VecDeque<Early>, most: u32, wish: Option<&History>, now: Option<Timestamp>) -> usize {
    let count = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    let stanzas = wish.and_then(|wish| wish.maxstanzas).map_or(usize::MAX, count).min(count(most));
    let since = wish.and_then(|wish| {
        let seconds = wish.seconds.zip(now).map(|(seconds, now)| now.unix() - i64::from(seconds));
        seconds.max(wish.since.as_deref().and_then(Timestamp::parse).map(Timestamp::unix))
    });
    let mut chars = wish.and_then(|wish| wish.maxchars).map_or(usize::MAX, count);
    let told = past.iter().rev().take(stanzas).take_while(|early| {
        let late = since.is_none_or(|since| date(&early.message).is_some_and(|then| then.unix() >= since));
        let fits = chars >= early.message.body.len();
        chars = chars.saturating_sub(early.message.body.len());
        late && fits
    });
    told.count()
}
