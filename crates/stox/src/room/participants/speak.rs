//! What the SIP user says, on its way to the room: RFC 7702 §6.3, §6.4; RFC 7701 §6, §7.

use super::place::{Phase, Renaming};
use super::{Participants, Waiting};
use crate::address;
use crate::content::arrived::{self, Arrived};
use crate::error::{self, Refusal};
use crate::gateway::Note;
use crate::leg::LegId;
use crate::mapping::{Side, Stage};
use crate::room::content;
use crate::room::nickname::Nickname;
use base::{Fingerprint, Str};
use bodies::cpim;
use msrp::{Incoming, MessageToken};
use std::time::Duration;
use xmpp::error::{Condition, StanzaError};
use xmpp::ext::stanza_id::OriginId;
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

/// How long the room has to grant a nickname: less than an MSRP client waits.
const GRANTING: Duration = Duration::from_secs(25);

/// For whom a message is.
enum To {
    /// For everybody.
    Room,
    /// For whoever has this nickname.
    Person(Str),
}

impl Participants {
    /// A message of the user: it is answered when the room has said it, or has refused it.
    pub(super) fn arrived(&mut self, stage: &mut Stage<'_>, leg: LegId, token: MessageToken, message: &Incoming) {
        let answer = |stage: &mut Stage<'_>, code, comment: &str| {
            stage.legs(|legs, footing| legs.answer(footing, token, code, comment));
        };
        let addressed = content::wrapped(&message.content_type, &message.body)
            .and_then(|wrapper| Ok((self.addressed(stage, leg, &wrapper)?, wrapper)));
        let (to, wrapper) = match addressed {
            Ok(addressed) => addressed,
            Err(code) => {
                stage.note(Note::Refused { refusal: "room-address", towards: Side::Sip, message: true });
                return answer(stage, code, "");
            }
        };
        let text = match arrived::read_wrapped(&wrapper) {
            Ok(Arrived::Text(text)) => text,
            // A room has no words for who is writing, or for who has read.
            Ok(Arrived::State(_) | Arrived::Report { .. } | Arrived::Nothing) => return answer(stage, 200, "OK"),
            Err(refusal) => return self.refuse(stage, token, &refusal),
        };
        if let Err(refusal) = self.say_in_room(stage, leg, token, &to, &text, message) {
            self.refuse(stage, token, &refusal);
        }
    }

    fn refuse(&self, stage: &mut Stage<'_>, token: MessageToken, refusal: &Refusal) {
        stage.note_refused(refusal, Side::Sip, true);
        let (code, comment) = match error::to_msrp(refusal) {
            // It was not said, for certain. A 408 would say that nobody knows, for which programs end the session.
            (408, _) => (403, "Not Now"),
            answer => answer,
        };
        stage.legs(|legs, footing| legs.answer(footing, token, code, comment));
    }

    /// For whom a message is, by its wrapper; and whether it is the user who speaks (THREATS: a From of somebody else).
    fn addressed(&self, stage: &Stage<'_>, leg: LegId, wrapper: &cpim::Message) -> Result<To, u16> {
        let place = self.seats.get(&leg).ok_or(481_u16)?;
        let options = address::Options { phone_domain: stage.config.phone_domain.clone() };
        let envelope = content::envelope(wrapper, &options)?;
        let own = place.own().is_some_and(|own| own == envelope.from);
        if !own && !envelope.from.same_bare(&place.user) {
            return Err(403);
        }
        if !envelope.to.same_bare(&place.room) {
            // Some know people by their own addresses, where the room shows these.
            let known = |person: &super::place::Person| {
                person.known && person.jid.as_ref().is_some_and(|jid| jid.same_bare(&envelope.to))
            };
            let found = place.people.iter().find(|(_, person)| known(person));
            return found.map(|(nick, _)| To::Person(nick.clone())).ok_or(404);
        }
        match envelope.to.resource() {
            None => Ok(To::Room),
            // It may not be for whom the user takes him to be: somebody else may have taken the name (RFC 7701 §6.2: 404).
            Some(nick) if place.people.get(nick).is_some_and(|person| person.known) => Ok(To::Person(Str::from(nick))),
            Some(_) => Err(404),
        }
    }

    fn say_in_room(
        &mut self,
        stage: &mut Stage<'_>,
        leg: LegId,
        token: MessageToken,
        to: &To,
        text: &arrived::Text,
        message: &Incoming,
    ) -> Result<(), Refusal> {
        stage.note(Note::Received { from: Side::Sip });
        let language = content_language(message);
        let Some(place) = self.seats.get_mut(&leg) else { return Err(Refusal::NoDialog) };
        stage.rate(&place.user)?;
        let limits = &stage.config.limits;
        let retry_after = limits.retry_after;
        if place.phase != Phase::Inside || !stage.links.is_up(place.link) {
            return Err(Refusal::LinkDown { retry_after });
        }
        if self.held.len() >= limits.held {
            return Err(Refusal::Overload { retry_after });
        }
        // Nobody in the room may know it before.
        let id = stage.tokens.token(16);
        let (recipient, kind, private) = match to {
            To::Room => (Some(place.room.clone()), "groupchat", false),
            To::Person(nick) => (place.occupant(nick), "chat", true),
        };
        let recipient = recipient.ok_or(Refusal::BadRequest("No such nickname"))?;
        let mut stanza =
            Stanza::message().with_type(kind).with_from(place.user.clone()).with_to(recipient).with_id(id.clone());
        // Whether it has arrived in a room, its answer says; who has read it, those may say who mark that (XEP-0333).
        let mut text = text.clone();
        let asks = text.receipt.as_ref().is_some_and(|wanted| wanted.display);
        text.receipt.iter_mut().for_each(|wanted| wanted.delivery = false);
        if !text.fill(&mut stanza, None, language, None) {
            stage.note(Note::Ignored { why: "nothing to translate" });
            stage.legs(|legs, footing| legs.answer(footing, token, 200, "OK"));
            return Ok(());
        }
        if private {
            // XEP-0045 §7.5: so that it is known for what it is.
            stanza.push(xmpp::ext::muc::User::default().to_element());
        }
        stanza.push(OriginId(id.clone()).to_element());
        let sent = stage.deliver(place.link, &stanza).ok_or(Refusal::LinkDown { retry_after })?;
        place.said += 1;
        place.held += 1;
        let said = super::spoken(&self.key, &id, place);
        if let To::Person(nick) = to {
            place.tell_alone(said, nick);
        }
        if asks {
            place.ask(said);
        }
        if let (false, Some(subject), false) = (private, &text.subject, text.has_words()) {
            place.set_subject(said, subject);
        }
        let report = message.success_report.then(|| (message.message_id.clone(), message.body.len() as u64));
        let waiting = Waiting { leg, token, said, since: stage.now, private, report };
        self.held.hold(sent, said, stage.now + stage.config.limits.held_for, waiting);
        Ok(())
    }

    /// The room has said it.
    pub(super) fn taken(&mut self, stage: &mut Stage<'_>, held: &Waiting) {
        stage.note(Note::Delivered { to: Side::Xmpp, micros: stage.now.since(held.since).as_micros() as u64 });
        stage.legs(|legs, footing| {
            legs.answer(footing, held.token, 200, "OK");
            if let Some((message, total)) = &held.report {
                legs.report(footing, held.leg, message, *total, 200);
            }
        });
        self.released(stage, held.leg);
    }

    /// Nobody knows whether the room has said it.
    pub(super) fn not_taken(&mut self, stage: &mut Stage<'_>, held: &Waiting) {
        let refusal = Refusal::LinkDown { retry_after: stage.config.limits.retry_after };
        stage.note_refused(&refusal, Side::Sip, true);
        let (code, comment) = error::to_msrp(&refusal);
        stage.legs(|legs, footing| legs.answer(footing, held.token, code, comment));
        self.released(stage, held.leg);
    }

    /// The room, or the one it was for, has refused it.
    pub(super) fn refused(&mut self, stage: &mut Stage<'_>, held: &Waiting, error: &StanzaError) {
        let (code, comment) = match error.condition {
            // Nobody has this name any more (RFC 7701 §6.2).
            Condition::ItemNotFound if held.private => (404, Str::const_new("No such recipient")),
            // XEP-0045 §7.5: private messages are not for everybody.
            Condition::FeatureNotImplemented if held.private => (428, Str::const_new("No private messages")),
            // The room has forgotten the user, and is entered again: it may go better another time.
            Condition::NotAcceptable if !held.private => (403, Str::const_new("Not In The Room")),
            _ => error::stanza_to_msrp(error),
        };
        stage.note(Note::Failed { by: Side::Xmpp, code });
        stage.legs(|legs, footing| legs.answer(footing, held.token, code, &comment));
        self.released(stage, held.leg);
        // XEP-0045 §7.4: whoever is not in the room may not speak there. The room has forgotten the user.
        if !held.private && error.condition == Condition::NotAcceptable {
            self.lose_room(stage, held.leg);
        }
    }

    /// The same, after a private message was answered for: MSRP has no more to say of it, so it is said in words.
    pub(super) fn refused_late(&mut self, stage: &mut Stage<'_>, stanza: &Stanza, said: Fingerprint) -> bool {
        let Some(leg) = self.find(stanza) else { return false };
        let Some(place) = self.seats.get_mut(&leg) else { return false };
        let Some(at) = place.privates.iter().position(|(print, _)| *print == said) else { return false };
        let Some((_, nick)) = place.privates.remove(at) else { return false };
        self.say(stage, leg, &format!("What you have said to {nick} alone has not arrived"));
        true
    }

    fn released(&mut self, stage: &mut Stage<'_>, leg: LegId) {
        if let Some(place) = self.seats.get_mut(&leg) {
            place.held = place.held.saturating_sub(1);
            self.leave_if_quiet(stage, leg);
        }
    }

    /// The user wants to be known by another name: RFC 7702 §6.4.
    pub(super) fn nickname(&mut self, stage: &mut Stage<'_>, leg: LegId, token: MessageToken, nick: &str) {
        let code = match self.rename(stage, leg, token, nick) {
            Ok(true) => return,
            Ok(false) => 200,
            Err(code) => code,
        };
        stage.legs(|legs, footing| legs.answer(footing, token, code, ""));
    }

    /// Whether the answer has to wait for the room.
    fn rename(&mut self, stage: &mut Stage<'_>, leg: LegId, token: MessageToken, nick: &str) -> Result<bool, u16> {
        let place = self.seats.get_mut(&leg).ok_or(481_u16)?;
        // RFC 7701 §7.3: to have none is to have the name that one came with.
        let nick = match nick {
            "" => place.wanted.clone(),
            nick => Nickname::parse(nick).map_err(|_| 424_u16)?,
        };
        if place.nick == nick.as_str() {
            return Ok(false);
        }
        if place.phase != Phase::Inside || place.renaming.is_some() {
            return Err(408);
        }
        stage.rate(&place.user).map_err(|_| 403_u16)?;
        let wish = place.occupant(nick.as_str()).ok_or(424_u16)?;
        let id = stage.tokens.token(16);
        let stanza = Stanza::presence().with_from(place.user.clone()).with_to(wish).with_id(id.clone());
        stage.deliver(place.link, &stanza).ok_or(408_u16)?;
        place.asked_by = Some(id);
        place.renaming = Some(Renaming { token, to: nick, until: stage.now + GRANTING });
        self.arm(leg);
        Ok(true)
    }

    /// The room does not grant a nickname: RFC 7702 §6.4 example 41.
    pub(super) fn not_renamed(&mut self, stage: &mut Stage<'_>, leg: LegId, error: &StanzaError) {
        let Some(renaming) = self.seats.get_mut(&leg).and_then(|place| place.renaming.take()) else { return };
        let code = match error.condition {
            Condition::Conflict => 425,
            Condition::JidMalformed | Condition::BadRequest => 424,
            _ => 403,
        };
        stage.legs(|legs, footing| legs.answer(footing, renaming.token, code, ""));
        self.leave_if_quiet(stage, leg);
    }

    /// For whom an address stands in a room, if it is one of its people: by the nickname, or by his own address where the room shows it.
    pub(super) fn person_of(&self, leg: LegId, address: &Jid) -> Option<Str> {
        let place = self.seats.get(&leg)?;
        if address.same_bare(&place.room) {
            let known = |nick: &&str| place.people.get(*nick).is_some_and(|person| person.known);
            return address.resource().filter(known).map(Str::from);
        }
        let is = |person: &super::place::Person| {
            person.known && person.jid.as_ref().is_some_and(|jid| jid.same_bare(address))
        };
        place.people.iter().find(|(_, person)| is(person)).map(|(nick, _)| nick.clone())
    }
}

/// The language that a message says of itself.
fn content_language(message: &Incoming) -> Option<&str> {
    let language = message.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("Content-Language"));
    language.map(|(_, value)| value.as_str())
}
