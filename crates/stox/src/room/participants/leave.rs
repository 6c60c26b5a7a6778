//! How places end: by the user, by the room, with the gateway or after it. RFC 7702 §6.6.

use super::Participants;
use super::hear::returned;
use super::place::{Farewell, Letter, Phase};
use super::watch::Out;
use crate::config::LinkId;
use crate::error::Refusal;
use crate::gateway::Note;
use crate::leg::{LegId, Why};
use crate::mapping::{Side, Stage};
use crate::room::record;
use crate::store::{About, Key};
use sip::subscription::Change;
use xml::Element;
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

impl Participants {
    /// Tells the room that the user is not there any more (example 45), if the room may think so.
    pub(super) fn leave_room(&mut self, stage: &mut Stage<'_>, leg: LegId, words: Option<&str>) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        if matches!(place.phase, Phase::Entering | Phase::Inside | Phase::Returning)
            && let Some(own) = place.own()
        {
            let farewell = farewell(&place.user, own, words);
            // The record stays until the room has heard it.
            place.farewell = match stage.deliver(place.link, &farewell) {
                Some(token) => {
                    self.farewells.insert(token, super::Parting::Place(leg));
                    Farewell::Sent(token)
                }
                None => Farewell::Owed,
            };
            self.left.insert(super::device(&self.key, &place.user, &place.room), stage.now);
        }
        place.phase = Phase::Leaving;
        (place.enter_by, place.return_at) = (None, None);
        self.tell(stage, leg, Change::State);
    }

    /// Ends a place, with a word to the SIP user.
    pub(super) fn end(&mut self, stage: &mut Stage<'_>, leg: LegId, code: u16, why: &str) {
        let inside = |phase| matches!(phase, Phase::Inside | Phase::Returning);
        if self.seats.get(&leg).is_some_and(|place| inside(place.phase)) {
            self.last_words(stage, leg, Out::Failed);
        }
        self.leave_room(stage, leg, None);
        self.close_watchers(stage, leg);
        stage.legs(|legs, footing| legs.end_for(footing, leg, code, why));
    }

    /// The session is over, or has not come to be.
    pub(super) fn over(&mut self, stage: &mut Stage<'_>, leg: LegId, why: Option<&Why>) {
        let inside = |phase| matches!(phase, Phase::Inside | Phase::Returning);
        if !matches!(why, Some(Why::Bye)) && self.seats.get(&leg).is_some_and(|place| inside(place.phase)) {
            self.last_words(stage, leg, Out::Failed);
        }
        self.leave_room(stage, leg, None);
        self.close_watchers(stage, leg);
        let Some(place) = self.leave_place(stage, leg) else { return };
        match why {
            Some(why) => stage.note(Note::SessionEnded { by: Side::Sip, lost: *why == Why::Lost }),
            None => stage.note(Note::SessionFailed { by: Side::Sip, code: 487 }),
        }
        let letters: Vec<Letter> = place.flying.into_iter().map(|(_, letter)| letter).chain(place.waiting).collect();
        for letter in letters {
            returned(stage, place.link, &letter, &Refusal::SipTransport);
        }
        for stanza in place.early {
            if stanza.type_.as_deref() != Some("groupchat") {
                stage.refuse_stanza(place.link, &stanza, &Refusal::SipTransport);
            }
        }
    }

    /// The gateway is to end: a place ends when nothing of the user is on its way any more.
    pub(super) fn leave_if_quiet(&mut self, stage: &mut Stage<'_>, leg: LegId) {
        let quiet = |place: &super::place::Participant| place.held == 0 && place.renaming.is_none();
        if self.draining && self.seats.get(&leg).is_some_and(|place| place.phase != Phase::Leaving && quiet(place)) {
            match self.seats.get(&leg).map(|place| place.phase) {
                Some(Phase::Called | Phase::Entering) => {
                    let refusal = Refusal::Overload { retry_after: stage.config.limits.retry_after };
                    self.not_let_in(stage, leg, refusal.response());
                }
                _ => self.end(stage, leg, 503, "The gateway ends"),
            }
        }
    }

    /// Tells of places that a restart has found: the SIP user gets BYE, and the room hears that he is gone.
    pub(super) fn bury_some(&mut self, stage: &mut Stage<'_>) {
        for (link, key, record) in self.orphans.take(stage) {
            if let Some(link) = link {
                // Who has come back since is there.
                let back = |place: &super::place::Participant| place.user.resource() == record.resource.as_deref();
                let back = self.of_pair(&key.sip, &key.xmpp).any(|(_, place)| back(place));
                bury(stage, link, &key, &record, back);
            }
            self.forgetting.forget(stage, key.to_bytes());
        }
    }

    /// Writes down that the place is there.
    pub(super) fn save(&mut self, stage: &mut Stage<'_>, leg: LegId) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        let record = record::Seat {
            resource: place.user.resource().map(str::to_owned),
            nick: place.nick.to_string(),
            // There is nothing to end before the INVITE was answered.
            dialog: stage.legs(|legs, footing| legs.dialog(footing, leg).filter(|_| place.open).cloned()),
        };
        place.saved = true;
        place.save_at = None;
        let token = stage.save(record_key(place).to_bytes(), Some(record.to_bytes()));
        self.saving.insert(token, leg);
    }
}

/// What is to be done of a place whose leg has ended, should the process die: the room is told.
pub(super) fn orphan(place: &super::place::Participant) -> (Key, record::Seat) {
    let resource = place.user.resource().map(str::to_owned);
    (record_key(place), record::Seat { resource, nick: place.nick.to_string(), dialog: None })
}

/// The name of a place's record.
pub(super) fn record_key(place: &super::place::Participant) -> Key {
    Key { about: About::Participant(place.record.clone()), sip: place.user.bare(), xmpp: place.room.bare() }
}

/// That a user is not in the room any more.
fn farewell(user: &Jid, occupant: Jid, words: Option<&str>) -> Stanza {
    let mut stanza = Stanza::presence().with_type("unavailable").with_from(user.clone()).with_to(occupant);
    if let Some(words) = words {
        stanza.push(Element::new("status", ns::CLIENT).with_text(words));
    }
    stanza
}

fn bury(stage: &mut Stage<'_>, link: LinkId, key: &Key, record: &record::Seat, back: bool) {
    if let Some(dialog) = record.dialog.clone() {
        stage.sessions(|sessions, ground| sessions.end_restored(ground, dialog));
    }
    let user = record.resource.as_ref().and_then(|resource| key.sip.with_resource(resource).ok());
    if let (Some(user), Ok(own), false) = (user, key.xmpp.with_resource(&record.nick), back) {
        let farewell = farewell(&user, own, Some("The gateway was started anew"));
        stage.answer(link, &farewell);
    }
}
