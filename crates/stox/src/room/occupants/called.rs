//! Focuses that call users who are in no such room: RFC 4579 §5.4. The user gets an invitation (XEP-0045 §7.8.2); who enters the room then takes the
//! call.

use super::enter::CHATROOM;
use super::{Occupants, s2x};
use crate::address;
use crate::error::{self, Refusal};
use crate::leg::{self, LegId};
use crate::mapping::{Invitation, Stage};
use crate::prints;
use base::{Str, Time};
use sip::{Name, Response};
use std::time::Duration;
use xmpp::error::StanzaError;
use xmpp::jid::Jid;

/// How long a user may take to answer.
const RING: Duration = Duration::from_secs(120);

/// A call that rings.
#[derive(Debug)]
pub(super) struct Call {
    leg: LegId,
    user: Jid,
    /// The id of the invitation.
    id: Str,
    until: Time,
}

impl Occupants {
    /// A focus calls.
    pub(super) fn call_came(&mut self, stage: &mut Stage<'_>, invitation: &Invitation) {
        if let Err(refusal) = self.try_call(stage, invitation) {
            stage.refuse_invitation(invitation.id, &refusal);
        }
    }

    fn try_call(&mut self, stage: &mut Stage<'_>, invitation: &Invitation) -> Result<(), Refusal> {
        let (room, user, link) = (invitation.from.bare(), &invitation.to, invitation.link);
        let retry_after = stage.config.limits.retry_after;
        if !stage.links.is_up(link) {
            return Err(Refusal::LinkDown { retry_after });
        }
        if self.draining || self.seats.len() + self.ringing.len() >= self.options.seats {
            return Err(Refusal::Overload { retry_after });
        }
        // Whoever is there already is not called any more; and one call of a room is enough.
        let pair = prints::pair(&self.key, user, &room);
        if self.of_pair(user, &room).next().is_some() || self.calls.contains(&pair) {
            return Err(Refusal::Busy);
        }
        stage.rate(&room)?;
        let leg = stage.legs(|legs, footing| {
            let leg = legs.hold(footing, invitation.id, &invitation.request, Some(CHATROOM))?;
            legs.ring(footing, leg);
            Ok::<_, Refusal>(leg)
        })?;
        let id = stage.tokens.token(12);
        let options = address::Options { phone_domain: stage.config.phone_domain.clone() };
        let by = invitation.request.headers.referred_by().ok().flatten();
        let by = by.and_then(|by| address::to_jid(&by.uri, &options).ok());
        let reason = invitation.request.headers.get(Name::Subject).map(error::text_of_reason);
        let reason = reason.filter(|reason| !reason.is_empty());
        stage.answer(link, &s2x::invitation(&room, user, by.as_ref(), reason, &id));
        let until = stage.now + RING;
        self.ringing.insert((until, leg));
        self.by_call.insert(leg, pair);
        self.calls.insert(pair, Call { leg, user: user.clone(), id, until });
        Ok(())
    }

    /// A user enters a room: the call of its focus, if there is one.
    pub(super) fn answer_call(&mut self, stage: &mut Stage<'_>, user: &Jid, room: &Jid) -> Option<LegId> {
        let pair = prints::pair(&self.key, user, room);
        let call = self.calls.get(&pair)?;
        // One that is for another device is not this one's.
        if call.user.resource().is_some() && call.user != *user {
            return None;
        }
        let call = self.calls.remove(&pair)?;
        self.by_call.remove(&call.leg);
        self.ringing.remove(&(call.until, call.leg));
        stage.legs(|legs, footing| legs.pick_up(footing, call.leg));
        Some(call.leg)
    }

    /// A user does not want to: 603, as a person has said no.
    pub(super) fn declined(&mut self, stage: &mut Stage<'_>, user: &Jid, room: &Jid, reason: Option<&str>) {
        let phrase = reason.map(error::reason_of_text).unwrap_or_default();
        self.refuse_call(stage, user, room, Response::new(603, &phrase));
    }

    /// The invitation did not arrive. Whether it was one.
    pub(super) fn invitation_failed(
        &mut self,
        stage: &mut Stage<'_>,
        user: &Jid,
        room: &Jid,
        id: &str,
        error: &StanzaError,
    ) -> bool {
        let pair = prints::pair(&self.key, user, room);
        let found = self.calls.get(&pair).is_some_and(|call| call.id == id);
        if found {
            self.refuse_call(stage, user, room, error::to_invite_response(error, false));
        }
        found
    }

    fn refuse_call(&mut self, stage: &mut Stage<'_>, user: &Jid, room: &Jid, response: Response) {
        let Some(call) = self.calls.remove(&prints::pair(&self.key, user, room)) else { return };
        self.by_call.remove(&call.leg);
        self.ringing.remove(&(call.until, call.leg));
        stage.legs(|legs, footing| legs.refuse(footing, call.leg, response));
    }

    /// Calls that have rung long enough, or whose focus has given up.
    pub(super) fn calls_due(&mut self, stage: &mut Stage<'_>) {
        while let Some((_, leg)) = self.ringing.first().copied().filter(|(at, _)| *at <= stage.now) {
            self.end_call(stage, leg, &Refusal::NoAnswer);
        }
    }

    /// The gateway is to end.
    pub(super) fn calls_end(&mut self, stage: &mut Stage<'_>) {
        let refusal = Refusal::Overload { retry_after: stage.config.limits.retry_after };
        while let Some((_, leg)) = self.ringing.first().copied() {
            self.end_call(stage, leg, &refusal);
        }
    }

    fn end_call(&mut self, stage: &mut Stage<'_>, leg: LegId, refusal: &Refusal) {
        self.drop_call(leg);
        stage.legs(|legs, footing| legs.refuse(footing, leg, refusal.response()));
    }

    fn drop_call(&mut self, leg: LegId) {
        let Some(pair) = self.by_call.remove(&leg) else { return };
        if let Some(call) = self.calls.remove(&pair) {
            self.ringing.remove(&(call.until, leg));
        }
    }

    /// Something happened to a leg that is no place's.
    pub(super) fn call_event(&mut self, _: &mut Stage<'_>, event: leg::Event) -> Option<leg::Event> {
        let leg = event.leg();
        if !self.by_call.contains(&leg) {
            return Some(event);
        }
        if let leg::Event::Failed { .. } = event {
            // The focus has given up, or what it offers cannot be taken. XMPP has no word that takes an invitation back.
            self.drop_call(leg);
        }
        None
    }
}
