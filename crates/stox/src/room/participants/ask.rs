//! What is asked of XMPP servers, and what is said to those who sit in a room no more.

use super::Participants;
use super::refer::Referral;
use crate::config::LinkId;
use crate::leg::LegId;
use crate::mapping::{Invitation, Stage};
use crate::prints;
use base::{Str, Time};
use std::time::Duration;
use xmpp::error::StanzaError;
use xmpp::ext::self_ping::{self, Standing};
use xmpp::stanza::Stanza;

/// How long a room may take to say that somebody is still in it.
const PING: Duration = Duration::from_secs(30);

/// How often at most one of those is told so.
const HAUNTED: Duration = Duration::from_secs(10);

/// What was asked of an XMPP server, by the id of the stanza.
#[derive(Debug)]
pub(super) enum Ask {
    /// Whether an address is a room.
    Service(Box<Invitation>),
    /// Whether the user is still in the room.
    Ping(LegId),
    /// What a REFER wants.
    Refer(Referral),
}

/// What was said to it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Said<'a> {
    /// A result.
    Answer(&'a Stanza),
    /// An error.
    Error(&'a StanzaError),
    /// Nothing in time.
    Nothing,
}

impl Participants {
    /// Takes note of a question, and of when it is not worth an answer any more.
    pub(super) fn expect(&mut self, id: Str, until: Time, ask: Ask) {
        self.ask_due.insert((until, id.clone()));
        self.asks.insert(id, (until, ask));
    }

    pub(super) fn asked(&mut self, id: &str) -> Option<Ask> {
        let (until, ask) = self.asks.remove(id)?;
        self.ask_due.remove(&(until, Str::from(id)));
        Some(ask)
    }

    /// A question has its answer.
    pub(super) fn answered(&mut self, stage: &mut Stage<'_>, ask: Ask, answer: Said<'_>) {
        match ask {
            Ask::Service(invitation) => self.told_service(stage, invitation, answer),
            Ask::Ping(leg) => {
                let standing = match answer {
                    Said::Answer(answer) => self_ping::standing(answer),
                    Said::Error(_) | Said::Nothing => None,
                };
                if let Some(place) = self.seats.get_mut(&leg) {
                    (place.quiet_since, place.pinged) = (stage.now, false);
                    self.arm(leg);
                }
                if standing == Some(Standing::Out) {
                    self.lose_room(stage, leg);
                }
            }
            Ask::Refer(referral) => {
                let outcome = match answer {
                    Said::Answer(_) => Ok(()),
                    Said::Error(error) => Err(Some(error)),
                    Said::Nothing => Err(None),
                };
                self.settle_referral(stage, &referral, outcome);
            }
        }
    }

    /// Asks whether the user is still in a room that has not said anything for long (XEP-0410).
    pub(super) fn ping(&mut self, stage: &mut Stage<'_>, leg: LegId) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        // It is not to be asked again before the answer is there.
        place.quiet_since = stage.now;
        let Some(own) = place.own().filter(|_| !place.pinged) else { return };
        let id = stage.tokens.token(16);
        let question = self_ping::request(place.user.clone(), own, id.clone());
        place.pinged = stage.deliver(place.link, &question).is_some();
        if place.pinged {
            self.expect(id, stage.now + PING, Ask::Ping(leg));
        }
    }

    /// A room shows people, or says something, to a SIP user who has no place in it.
    pub(super) fn haunted(&mut self, stage: &mut Stage<'_>, link: LinkId, stanza: &Stanza) {
        let (Some(room), Some(user)) = (&stanza.from, &stanza.to) else { return };
        let print = prints::said(&self.key, user.resource().unwrap_or_default(), user, room);
        if self.ghosts.get(&print).is_some_and(|at| *at + HAUNTED > stage.now) {
            return;
        }
        self.ghosts.insert(print, stage.now);
        let mut farewell = Stanza::presence().with_type("unavailable").with_from(user.clone()).with_to(room.clone());
        farewell.id = Some(stage.tokens.token(12));
        stage.answer(link, &farewell);
    }
}
