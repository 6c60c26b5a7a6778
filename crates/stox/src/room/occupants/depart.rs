//! What users say in rooms, on its way to the switch: RFC 7702 §5.5, XEP-0045 §7.4, §7.5.

use super::arrive::words as words_of;
use super::end::fail;
use super::enter::Parties;
use super::seat::{Letter, Phase, SeatId};
use super::{Occupants, s2x};
use crate::config::LinkId;
use crate::content::departing::{self, Departing, Text};
use crate::content::payload::Payload;
use crate::error;
use crate::error::Refusal;
use crate::gateway::Note;
use crate::leg::Outgoing;
use crate::leg::negotiate::Accept;
use crate::mapping::{Side, Stage};
use crate::room::content;
use base::{Str, Tokens};
use bodies::{Timestamp, cpim};
use msrp::{FailureReport, MessageId};
use sip::header::NameAddr;
use xmpp::error::{Condition, StanzaError};
use xmpp::ext::muc;
use xmpp::stanza::Stanza;

/// What a letter takes besides its words.
const ENVELOPE: usize = 1024;

/// Whom a message is for.
enum Whom {
    /// Everybody in the room.
    All,
    /// One of them: the key of the user element.
    One(Str),
}

impl Occupants {
    /// A user in a room says something. States of composing, receipts and markers are nobody's here (RFC 7701 §6.3).
    pub(super) fn say(&mut self, stage: &mut Stage<'_>, id: SeatId, stanza: Stanza) {
        let Some(seat) = self.seats.get(&id) else { return };
        let link = seat.link;
        let mut words = None;
        let said = match departing::read(&stanza) {
            Departing::Message(text) => {
                let body = text.bodies.first().filter(|_| muc::is_groupchat(&stanza));
                words = body.map(|(_, body)| words_of(self.key, body));
                self.try_say(stage, id, &stanza, &text).map(Some)
            }
            Departing::State(_) | Departing::Receipt { .. } | Departing::Nothing => {
                if muc::subject(&stanza).is_some() {
                    Err(Box::new(no_subject()))
                } else {
                    stage.note(Note::Ignored { why: "nothing to translate" });
                    Ok(None)
                }
            }
        };
        match said {
            Ok(Some(message)) => {
                let weight = ENVELOPE + stanza.elements().map(xml::Element::weight).sum::<usize>();
                self.letters += 1;
                self.bytes += weight;
                if let Some(seat) = self.seats.get_mut(&id) {
                    if let Some(words) = words {
                        seat.speaks(words);
                    }
                    seat.flying.push_back((message, Letter { stanza, since: stage.now, weight }));
                }
            }
            Ok(None) => {}
            Err(error) => refuse(stage, link, &stanza, &error),
        }
    }

    fn try_say(
        &mut self,
        stage: &mut Stage<'_>,
        id: SeatId,
        stanza: &Stanza,
        text: &Text,
    ) -> Result<MessageId, Box<StanzaError>> {
        let own = |refusal: Refusal| Box::new(refusal.stanza_error());
        let seat = self.seats.get_mut(&id).ok_or(StanzaError::new(Condition::NotAcceptable))?;
        let leg = seat.leg.filter(|_| seat.phase.takes_words());
        let leg = leg.ok_or_else(|| {
            // Who was in the room already waits for another session.
            let back = own(Refusal::SipTransport);
            if seat.entered { back } else { Box::new(StanzaError::new(Condition::NotAcceptable)) }
        })?;
        if muc::subject(stanza).is_some() {
            return Err(Box::new(no_subject()));
        }
        let nick = stanza.to.as_ref().and_then(|to| to.resource());
        let whom = match (muc::is_groupchat(stanza), nick) {
            (true, None) => Whom::All,
            // §7.5: to one only in private; §7.4: to all only as groupchat.
            (true, Some(_)) | (false, None) => return Err(Box::new(StanzaError::new(Condition::BadRequest))),
            (false, Some(nick)) => {
                if seat.vacated.iter().any(|(vacated, until)| *until > stage.now && vacated.as_str() == nick) {
                    // What was meant for who had the name before is not for who has it now.
                    let why = "This nickname was somebody else's a moment ago";
                    return Err(Box::new(StanzaError::new(Condition::RecipientUnavailable).with_text(why)));
                }
                let entity = seat.people.entity_of(nick).cloned();
                Whom::One(entity.ok_or(StanzaError::new(Condition::ItemNotFound))?)
            }
        };
        stage.rate(&seat.user).map_err(own)?;
        let limits = &stage.config.limits;
        let overload = Refusal::Overload { retry_after: limits.retry_after };
        let full = seat.flying.len() >= limits.queue_per_pair || self.letters >= limits.queued;
        if full || self.bytes >= limits.queued_bytes {
            return Err(own(overload));
        }
        let parties = Parties::new(stage, &seat.user, &seat.room, seat.people.nick()).map_err(own)?;
        let now = stage.wall();
        stage.legs(|legs, footing| {
            let knows = || legs.chatroom(leg).is_some_and(|chatroom| chatroom.private_messages);
            let to = match whom {
                Whom::All => base::format_compact!("{}", parties.room),
                // RFC 7701 §8: where a switch does not say so it would go to all.
                Whom::One(_) if !knows() => {
                    let why = "This room has no private messages";
                    return Err(Box::new(StanzaError::new(Condition::NotAcceptable).with_text(why)));
                }
                Whom::One(entity) => entity,
            };
            let accept = legs.accepts(leg).ok_or(own(Refusal::SipTransport))?;
            let payload = enclose(text, &parties.local, &to, now, accept, footing.tokens).map_err(own)?;
            let limit = legs.max_size(leg).map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
            if payload.body.len() > limit {
                return Err(own(Refusal::TooLong { limit }));
            }
            let message = Outgoing {
                content_type: payload.content_type.into(),
                body: payload.body.into(),
                success_report: false,
                failure_report: FailureReport::Yes,
            };
            legs.send(footing, leg, message).map_err(|why| match why {
                msrp::Refused::Full | msrp::Refused::Gone => own(overload),
                msrp::Refused::TooLarge => own(Refusal::TooLong { limit }),
                msrp::Refused::Malformed => own(Refusal::BadBody("It cannot be sent")),
            })
        })
    }

    /// The switch has taken a message: what all hear, the user hears, too (Examples 14 and 15).
    pub(super) fn sent(&mut self, stage: &mut Stage<'_>, id: SeatId, message: &MessageId) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let Some(letter) = seat.landed(message) else { return };
        seat.said += 1;
        stage.note(Note::Delivered { to: Side::Sip, micros: stage.now.since(letter.since).as_micros() as u64 });
        if muc::is_groupchat(&letter.stanza) && seat.phase != Phase::Leaving {
            stage.answer(seat.link, &s2x::reflection(seat, &letter.stanza));
            // What the user was told has failed, and all have heard, is news when the room tells it again.
            if let Departing::Message(text) = departing::read(&letter.stanza)
                && let Some((_, body)) = text.bodies.first()
            {
                seat.hears(super::arrive::words(self.key, body));
            }
        }
        self.drop_letter(&letter);
    }

    /// The switch has not taken a message.
    pub(super) fn undelivered(&mut self, stage: &mut Stage<'_>, id: SeatId, message: &MessageId, why: msrp::Failure) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let Some(letter) = seat.landed(message) else { return };
        let (link, leg) = (seat.link, seat.leg);
        self.drop_letter(&letter);
        let (error, code) = undelivered(why);
        fail(stage, link, &letter.stanza, &error, code);
        if let (msrp::Failure::Code(481 | 506) | msrp::Failure::Timeout, Some(leg)) = (why, leg) {
            // The other side knows nothing of the session (RFC 4975 §10.5), or does not answer in it.
            stage.legs(|legs, footing| legs.give_up(footing, leg));
        }
    }

    pub(super) fn drop_letter(&mut self, letter: &Letter) {
        self.letters -= 1;
        self.bytes -= letter.weight;
    }
}

/// A text in CPIM (RFC 7702 Table 4). `from`: as whom the room knows the user; `to`: the room, or one participant as the room writes it.
fn enclose(
    text: &Text,
    from: &NameAddr,
    to: &str,
    now: Option<Timestamp>,
    accept: &Accept,
    tokens: &mut Tokens,
) -> Result<Payload, Refusal> {
    let unfit = Refusal::BadRequest("An address that CPIM cannot carry");
    let from = cpim::Address::new(from.display.as_deref(), &from.uri.to_string()).ok_or(unfit.clone())?;
    let to = cpim::Address::new(None, to).ok_or(unfit)?;
    content::enclose_for(text, from, &to, now, accept, tokens)
}

/// §8.1: who may not change the subject. RFC 4575 tells of it, and nothing in SIP sets it.
fn no_subject() -> StanzaError {
    StanzaError::new(Condition::Forbidden).with_text("The subject of this room cannot be changed from here")
}

fn refuse(stage: &mut Stage<'_>, link: LinkId, stanza: &Stanza, error: &StanzaError) {
    stage.note(Note::Refused { refusal: error.condition.name(), towards: Side::Xmpp, message: true });
    if let Some(answer) = stanza.error(error) {
        stage.answer(link, &answer);
    }
}

/// What a failure of MSRP means in a room: RFC 7701 §10 over RFC 4975 §10.
fn undelivered(why: msrp::Failure) -> (StanzaError, u16) {
    match why {
        msrp::Failure::Code(403) => (StanzaError::new(Condition::Forbidden).with_text("The room refused it"), 403),
        msrp::Failure::Code(404) => (StanzaError::new(Condition::ItemNotFound), 404),
        msrp::Failure::Code(428) => {
            let why = "That participant takes no private messages";
            (StanzaError::new(Condition::NotAcceptable).with_text(why), 428)
        }
        msrp::Failure::Code(_) | msrp::Failure::Timeout | msrp::Failure::Lost | msrp::Failure::NeverSent => {
            let refusal = error::undelivered(why);
            (refusal.stanza_error(), refusal.code())
        }
    }
}
