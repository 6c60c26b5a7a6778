//! What users ask of the focus: to invite somebody (RFC 7702 §5.7, RFC 4579 §5.5), to send somebody away (RFC 4579 §5.11).

use super::enter::Parties;
use super::seat::{Phase, SeatId};
use super::{Occupants, Use};
use crate::address::{self, Scheme};
use crate::config::LinkId;
use crate::error::{self, Refusal};
use crate::gateway::Note;
use crate::mapping::{Side, Stage};
use crate::room::REFER;
use base::Str;
use bodies::sipfrag::StatusLine;
use sip::header::NameAddr;
use sip::subscription::{By, Event, State, Subscribe};
use sip::{Cause, Name, Response, Uri};
use xmpp::error::{Condition, StanzaError};
use xmpp::ext::muc::{Decline, User};
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

/// How long we want to hear what has become of it, in seconds: as long as a telephone may ring.
const EXPIRES: u32 = 180;

/// How many of a user's wishes may be under way in one room.
const WISHES: usize = 16;

/// What was asked for.
#[derive(Debug)]
enum What {
    /// That this one be invited; the message that said so, without its content.
    Invite(Jid, Stanza),
    /// That somebody be sent away; the iq that said so, without its content.
    Kick(Stanza),
}

/// A REFER that is under way.
#[derive(Debug)]
pub(super) struct Referral {
    seat: SeatId,
    link: LinkId,
    what: What,
    /// The user was told what became of it.
    told: bool,
}

impl Occupants {
    /// A mediated invitation: Example 22. Each whom it names is invited.
    pub(super) fn invite(&mut self, stage: &mut Stage<'_>, id: SeatId, stanza: &Stanza, user: &User) {
        for invite in user.invites.iter().take(WISHES) {
            let Some(to) = &invite.to else { continue };
            let uri = address::to_uri(&to.bare(), Scheme::Sip);
            let invited = match uri {
                Ok(uri) => {
                    let refer_to = base::format_compact!("<{uri}>");
                    self.refer(
                        stage,
                        id,
                        refer_to,
                        invite.reason.as_deref(),
                        What::Invite(to.clone(), stanza.envelope()),
                    )
                }
                Err(error) => Err(Box::new(Refusal::Address(error).stanza_error())),
            };
            if let (Err(error), Some(seat)) = (invited, self.seats.get(&id)) {
                refuse(stage, seat.link, stanza, &error);
            }
        }
    }

    /// A moderator's wish: RFC 4579 §5.11. The answer to the iq is what becomes of it.
    pub(super) fn kick(
        &mut self,
        stage: &mut Stage<'_>,
        id: SeatId,
        iq: &Stanza,
        entity: &str,
        reason: Option<&str>,
    ) -> Result<(), Condition> {
        let mut uri = Uri::parse(entity).map_err(|_| Condition::ItemNotFound)?;
        let Uri::Sip(whom) = &mut uri else { return Err(Condition::FeatureNotImplemented) };
        whom.params.set("method", Some(b"BYE"));
        let refer_to = base::format_compact!("<{uri}>");
        self.refer(stage, id, refer_to, reason, What::Kick(iq.envelope())).map_err(|error| error.condition)
    }

    /// In the dialog of the session: RFC 4579 §5.5.
    fn refer(
        &mut self,
        stage: &mut Stage<'_>,
        id: SeatId,
        refer_to: Str,
        reason: Option<&str>,
        what: What,
    ) -> Result<(), Box<StanzaError>> {
        let own = |refusal: Refusal| Box::new(refusal.stanza_error());
        let seat = self.seats.get_mut(&id).ok_or(StanzaError::new(Condition::NotAcceptable))?;
        let (Phase::Inside, Some(leg)) = (seat.phase, seat.leg) else {
            return Err(Box::new(StanzaError::new(Condition::NotAcceptable).with_text("Not in the room")));
        };
        stage.rate(&seat.user).map_err(own)?;
        let overload = Refusal::Overload { retry_after: stage.config.limits.retry_after };
        if seat.referring >= WISHES {
            return Err(own(overload));
        }
        let parties = Parties::new(stage, &seat.user, &seat.room, seat.people.nick()).map_err(own)?;
        let session = stage.legs(|legs, _| legs.session(leg)).ok_or(own(Refusal::SipTransport))?;
        let dialog = stage.sessions(|sessions, _| sessions.share(session)).ok_or(own(Refusal::SipTransport))?;
        let contact = stage.sessions(|sessions, _| sessions.contact(session));
        let mut headers = vec![(Name::ReferredBy, base::format_compact!("<{}>", parties.local.uri))];
        if let Some(reason) = reason.map(error::reason_of_text).filter(|reason| !reason.is_empty()) {
            headers.push((Name::Subject, reason));
        }
        let subscribe = Subscribe {
            package: REFER,
            event_id: None,
            local: parties.local,
            remote: Uri::from(parties.room),
            contact: contact.unwrap_or_else(|| NameAddr::new(parties.contact)),
            accept: "message/sipfrag",
            expires: EXPIRES,
            route: None,
            hop: parties.way.hop,
            call_id: None,
            by: By::Refer { refer_to, headers },
        };
        let usage = stage.events(|events, ground| events.subscribe_in(ground, dialog, subscribe));
        let usage = usage.map_err(|_| own(overload))?;
        seat.referring += 1;
        let referral = Referral { seat: id, link: seat.link, what, told: false };
        self.usages.insert(usage, Use::Refer(Box::new(referral)));
        Ok(())
    }

    /// Something happened to a REFER.
    pub(super) fn refer_event(&mut self, stage: &mut Stage<'_>, event: Event) {
        let (id, last) = (event.id(), event.is_last());
        let outcome = match event {
            Event::Notify { server, request, state, .. } => {
                stage.events(|events, ground| events.answer_notify(ground, id, server, Response::new(200, "")));
                let said = StatusLine::parse(&request.body).ok().filter(|said| said.code >= 200);
                match (said, &state) {
                    (Some(said), _) => Some(Ok(Response::new(said.code, &said.phrase))),
                    // Nothing more will be said, so nothing is known.
                    (None, State::Terminated { .. }) => Some(Err(None)),
                    (None, State::Active | State::Pending) => None,
                }
            }
            Event::Refused { cause: Cause::Response(response), .. } => Some(Ok(*response)),
            Event::Refused { cause: Cause::Timeout, .. } | Event::Expired { .. } => {
                Some(Err(Some(Refusal::SipTimeout)))
            }
            Event::Refused { cause: Cause::Transport | Cause::NoWay, .. } => Some(Err(Some(Refusal::SipTransport))),
            // RFC 4488: nothing is told of it.
            Event::Ended { .. } => Some(Err(None)),
            Event::Save { .. }
            | Event::Accepted { .. }
            | Event::RefreshDue { .. }
            | Event::Watch { .. }
            | Event::Wanted { .. }
            | Event::WatcherGone { .. }
            | Event::Lapsed { .. } => None,
        };
        let Some(Use::Refer(referral)) = self.usages.get_mut(&id) else { return };
        if let Some(outcome) = outcome.filter(|_| !std::mem::replace(&mut referral.told, true)) {
            tell(stage, referral, &outcome);
        }
        if last {
            let seat = referral.seat;
            if let Some(seat) = self.seats.get_mut(&seat) {
                seat.referring = seat.referring.saturating_sub(1);
            }
        }
    }
}

/// Tells the user what has become of a wish: of an invitation only that it was declined, or has failed; who comes is seen.
fn tell(stage: &mut Stage<'_>, referral: &Referral, outcome: &Result<Response, Option<Refusal>>) {
    let link = referral.link;
    let error = match outcome {
        Ok(response) if response.code < 300 => None,
        Ok(response) => Some((error::from_response(response), response.code)),
        Err(Some(refusal)) => Some((refusal.stanza_error(), refusal.code())),
        Err(None) => None,
    };
    let stanza = match (&referral.what, error) {
        (What::Invite(..), None) => return,
        // XEP-0045 §7.8.2: a person has said no.
        (What::Invite(who, message), Some((error, 486 | 600 | 603))) => {
            let decline = Decline { from: Some(who.clone()), reason: error.text, ..Decline::default() };
            let user = User { decline: Some(decline), ..User::default() };
            let mut stanza = Stanza::message().with_child(user.to_element());
            (stanza.from, stanza.to) = (message.to.clone(), message.from.clone());
            Some(stanza.with_id(stage.tokens.token(12)))
        }
        (What::Kick(iq), None) => Some(iq.result(None)),
        (What::Invite(_, stanza) | What::Kick(stanza), Some((error, code))) => {
            stage.note(Note::Failed { by: Side::Sip, code });
            let forbidden = matches!(code, 403 | 603);
            stanza.error(&if forbidden { StanzaError::new(Condition::Forbidden) } else { error })
        }
    };
    if let Some(stanza) = stanza {
        stage.answer(link, &stanza);
    }
}

fn refuse(stage: &mut Stage<'_>, link: LinkId, stanza: &Stanza, error: &StanzaError) {
    stage.note(Note::Refused { refusal: error.condition.name(), towards: Side::Xmpp, message: true });
    if let Some(answer) = stanza.error(error) {
        stage.answer(link, &answer);
    }
}
