//! What is said in the room, on its way to the SIP user: RFC 7702 §6.3, XEP-0045 §7.4, §7.5.

use super::enclosed::Words;
use super::place::{Letter, Participant, Phase};
use super::{Participants, spoken};
use crate::address::{self, Scheme};
use crate::content::Disposition;
use crate::content::departing::{self, Departing};
use crate::error::{self, Refusal};
use crate::gateway::Note;
use crate::leg::{LegId, Outgoing};
use crate::mapping::{Side, Stage};
use crate::prints;
use crate::room::content::{self, Party};
use bodies::Timestamp;
use msrp::{FailureReport, MessageId};
use sip::subscription::Change;
use xmpp::error::{Condition, StanzaError};
use xmpp::ext::delay::Delay;
use xmpp::ext::invitation::Invitation;
use xmpp::ext::moderation::Retraction;
use xmpp::ext::muc::{self, User};
use xmpp::ext::stanza_id::{OriginId, StanzaId};
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

/// Messages of a room that wait for the session to be there; whoever is sent more is out of it.
const EARLY: usize = 128;

impl Participants {
    /// A message from the room or from somebody in it.
    pub(super) fn message(&mut self, stage: &mut Stage<'_>, leg: LegId, stanza: Stanza) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        if matches!(place.phase, Phase::Called | Phase::Leaving) {
            return;
        }
        place.stir(stage.now);
        let groupchat = stanza.type_.as_deref() == Some("groupchat");
        if groupchat && self.reflected(stage, leg, &stanza) {
            return;
        }
        // What people write must not sound as if the room had said it.
        let of_room = stanza.from.as_ref().is_some_and(Jid::is_bare);
        if let Some(decline) = User::of(&stanza).and_then(|user| user.decline).filter(|_| of_room) {
            let who = decline.from.map_or_else(|| "Somebody".to_owned(), |from| from.bare().to_string());
            let why = decline.reason.map_or_else(String::new, |reason| format!(": {}", line(&reason)));
            return self.say(stage, leg, &format!("{who} has declined your invitation{why}"));
        }
        let Some(place) = self.seats.get_mut(&leg) else { return };
        if !place.open || stage.legs.accepts(leg).is_none() {
            place.bytes += stanza.elements().map(xml::Element::weight).sum::<usize>();
            if place.early.len() == EARLY || place.bytes > self.options.backlog {
                return self.end(stage, leg, 480, "The session has not come to be in time");
            }
            return place.early.push_back(stanza);
        }
        if groupchat {
            self.public(stage, leg, &stanza);
        } else {
            self.private(stage, leg, &stanza);
        }
    }

    /// What everybody hears.
    fn public(&mut self, stage: &mut Stage<'_>, leg: LegId, stanza: &Stanza) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        let Some(from) = stanza.from.clone() else { return };
        // A room that is entered once more shows again what was said while the user was away, and perhaps a little more.
        // Anybody may say that he said it long ago; the room, that it did (XEP-0045 §7.2.14).
        // Some rooms do not say that it was they: then only before the subject, with which the past is at its end (§7.2.15).
        let past = !place.has_subject;
        let by_room = |delay: &Delay| match &delay.from {
            Some(by) => by.domain() == place.room.domain() && by.resource().is_none(),
            None => past,
        };
        let said =
            stanza.elements().filter_map(Delay::parse).find(by_room).and_then(|delay| Timestamp::parse(&delay.stamp));
        let room_id = StanzaId::of(stanza, &place.room).map(|id| id.id);
        let words = || stanza.child("body", ns::CLIENT).map(|body| base::format_compact!("{said:?}{}", body.text()));
        let id = room_id.or_else(|| stanza.id.clone()).or_else(words);
        if let Some(id) = id
            && !place.hear(prints::said(
                &self.key,
                &format!("{id}\0{}", from.resource().unwrap_or("")),
                &from,
                &place.user,
            ))
            // Only what is of the past: there are programs that give two messages one id.
            && said.is_some()
        {
            return stage.note(Note::Ignored { why: "a message of a room that was heard before" });
        }
        if let Some(subject) = muc::subject(stanza) {
            return self.subject(stage, leg, from.resource(), subject);
        }
        if let Some(retraction) = Retraction::of(stanza) {
            let words = match (from.resource(), &retraction.reason) {
                (Some(nick), _) => format!("{nick} has taken back a message"),
                (None, Some(reason)) => format!("A message was removed by a moderator: {}", line(reason)),
                (None, None) => "A message was removed by a moderator".to_owned(),
            };
            return self.say(stage, leg, &words);
        }
        match departing::read(stanza) {
            Departing::Message(text) => {
                let room = place.room.clone();
                // Of what was said long ago another one may have been the author.
                if let (Some(nick), None) = (from.resource(), said) {
                    place.know(nick);
                }
                let from = Party { name: from.resource(), jid: &from };
                self.write(stage, leg, Words { text: &text, from, to: &room, said, id: stanza.id.as_deref() }, None);
            }
            other => self.beside(stage, leg, &from, &other),
        }
    }

    /// What is no words: that somebody has read a message of the user who wanted to know is told in some.
    fn beside(&mut self, stage: &mut Stage<'_>, leg: LegId, from: &Jid, what: &Departing) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        if let (Departing::Receipt { id, disposition: Disposition::Displayed }, Some(nick)) = (what, from.resource())
            && place.read(spoken(&self.key, id, place))
        {
            return self.say(stage, leg, &format!("{nick} has read your message"));
        }
        stage.note(Note::Ignored { why: "nothing to translate" });
    }

    /// What somebody says to the user alone: RFC 7701 §6.2.
    fn private(&mut self, stage: &mut Stage<'_>, leg: LegId, stanza: &Stanza) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        // His own address (RFC 7701 §6.2): which device it is, the session says.
        let (link, user) = (place.link, place.user.bare());
        let Some(from) = stanza.from.clone() else { return };
        let text = match departing::read(stanza) {
            Departing::Message(text) => text,
            other => match (stanza.elements().find_map(Invitation::parse), from.resource()) {
                (Some(invitation), Some(nick)) => {
                    let room = address::to_uri(&invitation.room, Scheme::Sip);
                    let room = room.map_or_else(|_| invitation.room.to_string(), |uri| uri.to_string());
                    content::words(format!("{nick} invites you to {room}"))
                }
                _ => return self.beside(stage, leg, &from, &other),
            },
        };
        if from.resource().is_some() && !stage.legs.chatroom(leg).is_some_and(|chatroom| chatroom.private_messages) {
            return turned_down(stage, link, stanza, Condition::FeatureNotImplemented, "No private messages are taken");
        }
        if let Some(nick) = from.resource() {
            place.know(nick);
        }
        let from = Party { name: from.resource(), jid: &from };
        self.write(stage, leg, Words { text: &text, from, to: &user, said: None, id: None }, Some(stanza));
    }

    /// The subject was told, or has changed.
    fn subject(&mut self, stage: &mut Stage<'_>, leg: LegId, nick: Option<&str>, subject: String) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        let subject = Some(subject).filter(|subject| !subject.is_empty());
        let first = !std::mem::replace(&mut place.has_subject, true);
        if place.subject == subject {
            return;
        }
        place.subject = subject;
        if place.watchers.is_empty() && !first {
            // Nobody would hear of it otherwise. Whoever has only just come may yet subscribe.
            let words = match (&place.subject, nick) {
                (Some(subject), Some(nick)) => format!("{nick} has set the subject: {}", line(subject)),
                (Some(subject), None) => format!("The subject is: {}", line(subject)),
                (None, _) => "There is no subject any more".to_owned(),
            };
            return self.say(stage, leg, &words);
        }
        place.watchers.iter_mut().for_each(super::watch::Watcher::subject);
        self.tell(stage, leg, Change::Content);
    }

    /// Says something in the room's own name.
    pub(super) fn say(&mut self, stage: &mut Stage<'_>, leg: LegId, words: &str) {
        let Some(place) = self.seats.get(&leg) else { return };
        let (room, user) = (place.room.clone(), place.user.bare());
        let (text, from) = (content::words(words.to_owned()), Party { name: None, jid: &room });
        self.write(stage, leg, Words { text: &text, from, to: &user, said: None, id: None }, None);
    }

    /// Puts something in line for the user.
    fn write(&mut self, stage: &mut Stage<'_>, leg: LegId, words: Words<'_>, private: Option<&Stanza>) {
        let (now, wall) = (stage.now, stage.wall());
        let last = &mut self.last;
        let enclosed = stage.legs(|legs, footing| {
            let accept = legs.accepts(leg).ok_or(Refusal::NotSupported)?;
            let enclosed = last.enclose(words, wall, now, accept, footing.tokens)?;
            let limit = legs.max_size(leg).map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
            if enclosed.body.len() > limit { Err(Refusal::TooLong { limit }) } else { Ok(enclosed) }
        });
        let Some(place) = self.seats.get_mut(&leg) else { return };
        let enclosed = match (enclosed, private) {
            (Ok(enclosed), _) => enclosed,
            (Err(refusal), Some(stanza)) => {
                stage.note_refused(&refusal, Side::Xmpp, true);
                let text = refusal.stanza_error().text.unwrap_or_default();
                return turned_down(stage, place.link, stanza, Condition::NotAcceptable, &text);
            }
            // The room has many readers: that one of them cannot read this is not its author's business.
            (Err(refusal), None) => {
                stage.note_refused(&refusal, Side::Xmpp, false);
                let Some(nick) = words.from.name else { return };
                return self.say(stage, leg, &format!("{nick} has said something that cannot be shown here"));
            }
        };
        let letter = Letter::new(enclosed, stage.now, private.map(Stanza::envelope));
        place.bytes += letter.weight();
        place.waiting.push_back(letter);
        self.pump(stage, leg);
        if self.seats.get(&leg).is_some_and(|place| place.bytes > self.options.backlog) {
            self.end(stage, leg, 480, "Too much waits that is not taken");
        }
    }

    /// Sends what waits, as far as there is room.
    pub(super) fn pump(&mut self, stage: &mut Stage<'_>, leg: LegId) {
        let Some(place) = self.seats.get_mut(&leg).filter(|place| place.open) else { return };
        while let Some(letter) = place.waiting.pop_front() {
            let message = Outgoing {
                content_type: letter.content_type.clone(),
                body: letter.body.clone(),
                success_report: false,
                failure_report: FailureReport::Yes,
            };
            match stage.legs(|legs, footing| legs.send(footing, leg, message)) {
                Ok(message) => place.flying.push_back((message, letter)),
                Err(msrp::Refused::Full) => return place.waiting.push_front(letter),
                // The leg is about to end: those who wait for an answer are told then.
                Err(_) => return place.waiting.push_front(letter),
            }
        }
    }

    /// The user has taken a message.
    pub(super) fn sent(&mut self, stage: &mut Stage<'_>, leg: LegId, message: &MessageId) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        let Some(letter) = place.landed(message) else { return };
        place.received += 1;
        stage.note(Note::Delivered { to: Side::Sip, micros: stage.now.since(letter.since).as_micros() as u64 });
        self.pump(stage, leg);
    }

    /// He has not. Of what was said to all nobody is told.
    pub(super) fn undelivered(&mut self, stage: &mut Stage<'_>, leg: LegId, message: &MessageId, why: msrp::Failure) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        let Some(letter) = place.landed(message) else { return };
        let link = place.link;
        returned(stage, link, &letter, &error::undelivered(why));
        if matches!(why, msrp::Failure::Code(481 | 506) | msrp::Failure::Timeout) {
            stage.legs(|legs, footing| legs.give_up(footing, leg));
        } else {
            self.pump(stage, leg);
        }
    }

    /// A message of the user's own that comes back from the room is its answer (RFC 7702 §6.3.1). Whether this is one.
    fn reflected(&mut self, stage: &mut Stage<'_>, leg: LegId, stanza: &Stanza) -> bool {
        let Some(place) = self.seats.get(&leg) else { return false };
        if stanza.from.as_ref().and_then(|from| from.resource()) != Some(&*place.nick) {
            return false;
        }
        let origin = OriginId::of(stanza).map(|id| id.0);
        // Prosody tells a subject without the id of whoever has set it.
        if let (None, None, Some(subject)) = (&stanza.id, &origin, muc::subject(stanza)) {
            let Some(place) = self.seats.get_mut(&leg) else { return false };
            let Some(at) = place.subjects.iter().position(|(_, asked)| *asked == subject) else { return false };
            let Some((said, _)) = place.subjects.remove(at) else { return false };
            if let Some(held) = self.held.refused(&said) {
                self.taken(stage, &held);
            }
            self.subject(stage, leg, None, subject);
            return true;
        }
        for id in stanza.id.iter().cloned().chain(origin) {
            let said = spoken(&self.key, &id, place);
            if let Some(held) = self.held.refused(&said) {
                self.spoken.insert(said, leg);
                self.taken(stage, &held);
            } else if self.spoken.get(&said) != Some(&leg) {
                continue;
            }
            // Of what was answered for already nothing is left to say.
            if let Some(subject) = muc::subject(stanza) {
                self.subject(stage, leg, None, subject);
            }
            return true;
        }
        false
    }
}

/// Words of others within words of ours: in one line, in quotes, and not too many.
fn line(text: &str) -> String {
    let text: String = error::one_line(text).take(500).collect();
    format!("\u{201c}{}\u{201d}", text.trim())
}

impl Participant {
    /// A message is not on its way any more.
    fn landed(&mut self, message: &MessageId) -> Option<Letter> {
        let at = self.flying.iter().position(|(flying, _)| flying == message)?;
        let (_, letter) = self.flying.remove(at)?;
        self.bytes -= letter.weight();
        Some(letter)
    }
}

/// Tells the sender of a private message that it did not arrive.
pub(super) fn returned(stage: &mut Stage<'_>, link: crate::config::LinkId, letter: &Letter, refusal: &Refusal) {
    stage.note(Note::Failed { by: Side::Sip, code: refusal.code() });
    if let Some(envelope) = &letter.envelope {
        let text = refusal.stanza_error().text.unwrap_or_default();
        turned_down(stage, link, envelope, Condition::NotAcceptable, &text);
    }
}

/// Refuses a private message in words that are about the message alone: for whoever answers with others, rooms take him for broken, and put him out.
fn turned_down(stage: &mut Stage<'_>, link: crate::config::LinkId, stanza: &Stanza, condition: Condition, text: &str) {
    if let Some(error) = stanza.error(&StanzaError::new(condition).with_text(text)) {
        stage.answer(link, &error);
    }
}
