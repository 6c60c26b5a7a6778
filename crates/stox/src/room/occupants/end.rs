//! How places end: by the user, by the focus, for want of either, with the gateway or after it. RFC 7702 §5.8, XEP-0045 §7.14.

use super::people::Gone;
use super::seat::{End, Phase, SeatId};
use super::{Occupants, Use, s2x};
use crate::config::LinkId;
use crate::error::{self, Refusal};
use crate::gateway::Note;
use crate::leg::{Failed, Why, negotiate};
use crate::mapping::{Side, Stage};
use crate::room::record;
use crate::store::Key;
use sip::Cause;
use sip::subscription::UsageId;
use std::time::Duration;
use xml::Element;
use xmpp::error::{Condition, StanzaError};
use xmpp::ext::muc::{Affiliation, Destroy, Item, Role, User, status};
use xmpp::ext::ping::Ping;
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

/// How long the focus may take, after it has hung up, to say why (RFC 4575 §5.7.6).
const GRACE: Duration = Duration::from_secs(2);

impl Occupants {
    /// A user is out of the room, and learns how; then the focus does.
    pub(super) fn give_up(&mut self, stage: &mut Stage<'_>, id: SeatId, end: End) {
        let Some(seat) = self.seats.get_mut(&id).filter(|seat| seat.phase != Phase::Leaving) else { return };
        let parting = std::mem::replace(&mut seat.phase, Phase::Leaving) == Phase::Parting;
        (seat.until, seat.retry) = (None, None);
        let (leg, usage, link) = (seat.leg, seat.usage.take(), seat.link);
        let known = seat.leg.is_some_and(|leg| self.by_leg.contains(&leg));
        if let Some(leg) = leg.filter(|_| known && !parting) {
            // RFC 7702 Example 26: what the user says at parting is for the others.
            let words = match &end {
                End::Left(said) => said.iter().map(Element::text).find(|words| !words.is_empty()),
                End::Refused(_) | End::Kicked(_) | End::Destroyed(_) | End::Lost | End::Shutdown => None,
            };
            stage.legs(|legs, footing| match words {
                Some(words) => legs.end_for(footing, leg, 200, &words),
                None => legs.end(footing, leg),
            });
        }
        self.unsubscribe(stage, usage);
        let Some(seat) = self.seats.get(&id) else { return };
        let end = match end {
            // Who was never in the room is told that the join has failed.
            End::Kicked(_) | End::Destroyed(_) if !seat.entered => End::Refused(Refusal::NotSupported.stanza_error()),
            End::Lost if !seat.entered => End::Refused(Refusal::SipTransport.stanza_error()),
            End::Shutdown if !seat.entered => End::Refused(Refusal::Restarted.stanza_error()),
            // Who is in the room cannot be refused any more.
            End::Refused(_) if seat.entered => End::Lost,
            end => end,
        };
        if let End::Refused(error) = &end {
            stage.note(Note::SessionFailed { by: Side::Xmpp, code: error::to_invite_response(error, true).code });
        } else {
            stage.note(Note::SessionEnded { by: Side::Xmpp, lost: matches!(end, End::Lost) });
        }
        stage.answer(link, &s2x::end(seat, &end));
        self.vacate(id);
        if !known {
            self.forget(stage, id);
        }
    }

    /// Nothing is left between the gateway and the focus either: what was on its way did not arrive.
    fn forget(&mut self, stage: &mut Stage<'_>, id: SeatId) {
        let Some(mut seat) = self.remove(stage, id) else { return };
        for (_, letter) in std::mem::take(&mut seat.flying) {
            self.drop_letter(&letter);
            let refusal = Refusal::SipTransport;
            fail(stage, seat.link, &letter.stanza, &refusal.stanza_error(), refusal.code());
        }
    }

    /// The focus did not take the session.
    pub(super) fn refused(&mut self, stage: &mut Stage<'_>, id: SeatId, why: &Failed) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        if let Some(leg) = seat.leg.take() {
            self.by_leg.remove(&leg);
        }
        if seat.phase == Phase::Leaving {
            return self.forget(stage, id);
        }
        self.give_up(stage, id, End::Refused(join_error(why)));
    }

    /// The session is over.
    pub(super) fn ended(&mut self, stage: &mut Stage<'_>, id: SeatId, why: &Why) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        if let Some(leg) = seat.leg.take() {
            self.by_leg.remove(&leg);
        }
        for (_, letter) in std::mem::take(&mut seat.flying) {
            let link = seat.link;
            self.letters -= 1;
            self.bytes -= letter.weight;
            let refusal = Refusal::SipTransport;
            fail(stage, link, &letter.stanza, &refusal.stanza_error(), refusal.code());
        }
        match (seat.phase, why, seat.entered) {
            (Phase::Leaving, ..) => self.forget(stage, id),
            (_, Why::Bye, true) => {
                match seat.why.take() {
                    Some(End::Lost) => return self.come_back_or_out(stage, id),
                    Some(end) => return self.give_up(stage, id, end),
                    None => {}
                }
                if seat.usage.is_none() {
                    return self.give_up(stage, id, End::Kicked(Gone::default()));
                }
                // It may still tell how: a BYE alone says nothing.
                (seat.phase, seat.until) = (Phase::Parting, Some(stage.now + GRACE));
                self.arm(id);
            }
            (_, Why::Bye, false) => {
                let error = StanzaError::new(Condition::NotAllowed).with_text("The room has hung up");
                self.give_up(stage, id, End::Refused(error));
            }
            (_, Why::Lost, true) => {
                let end = seat.why.take();
                match end {
                    Some(End::Lost) => self.come_back_or_out(stage, id),
                    Some(end) => self.give_up(stage, id, end),
                    None if seat.usage.is_some() => {
                        // The end of a connection is faster than a BYE, or a NOTIFY that says why: who was thrown out does not come back.
                        (seat.phase, seat.until, seat.torn) = (Phase::Parting, Some(stage.now + GRACE), true);
                        self.arm(id);
                    }
                    None => self.come_back_or_out(stage, id),
                }
            }
            (_, Why::Lost | Why::Ours, _) => self.give_up(stage, id, End::Lost),
        }
    }

    /// Another session in the place of one that was lost, or the end.
    fn come_back_or_out(&mut self, stage: &mut Stage<'_>, id: SeatId) {
        if !self.come_back(stage, id) {
            self.give_up(stage, id, End::Lost);
        }
    }

    /// What a place has waited for has not come.
    pub(super) fn overdue(&mut self, stage: &mut Stage<'_>, id: SeatId) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        match seat.phase {
            Phase::Parting if std::mem::take(&mut seat.torn) => match seat.why.take() {
                Some(end) => self.give_up(stage, id, end),
                None => self.come_back_or_out(stage, id),
            },
            // The focus has hung up and said no more: it does not want the user.
            Phase::Parting => {
                let end = seat.why.take().unwrap_or(End::Kicked(Gone::default()));
                self.give_up(stage, id, end);
            }
            // There is no conference any more, and the focus has not even hung up.
            Phase::Inside => {
                if let Some(end) = seat.why.take() {
                    self.give_up(stage, id, end);
                }
            }
            Phase::Inviting | Phase::Connecting | Phase::Naming | Phase::Subscribing => {
                self.give_up(stage, id, End::Refused(Refusal::SipTimeout.stanza_error()));
            }
            Phase::Leaving => {}
        }
    }

    /// The focus tells why it will hang up, or has.
    pub(super) fn learnt(&mut self, stage: &mut Stage<'_>, id: SeatId, why: End) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        match seat.phase {
            // What is on its way may still be answered: the session's own end comes.
            Phase::Parting if seat.leg.is_some() => seat.why = Some(why),
            // What has failed may be well again: as soon as the session is over another one is asked for.
            Phase::Parting if matches!(why, End::Lost) && seat.torn => {}
            Phase::Parting if matches!(why, End::Lost) => self.come_back_or_out(stage, id),
            Phase::Parting => self.give_up(stage, id, why),
            Phase::Inside => {
                // Its BYE is to follow. That there is nothing any more is true without one.
                if matches!(why, End::Destroyed(_) | End::Lost) {
                    seat.until = Some(stage.now + GRACE);
                }
                // What says more holds.
                if !matches!((&seat.why, &why), (Some(End::Destroyed(_) | End::Kicked(_)), End::Lost)) {
                    seat.why = Some(why);
                }
                self.arm(id);
            }
            Phase::Inviting | Phase::Connecting | Phase::Naming | Phase::Subscribing => {
                if !seat.entered {
                    self.give_up(stage, id, why);
                }
            }
            Phase::Leaving => {}
        }
    }

    /// After a restart: the focus gets BYE, the user is out of the room, unless it has come in again meanwhile.
    pub(super) fn bury(&self, stage: &mut Stage<'_>, link: LinkId, key: &Key, record: &record::Seat) {
        if let Some(dialog) = record.dialog.clone() {
            stage.sessions(|sessions, ground| sessions.end_restored(ground, dialog));
        }
        let with = |jid: &Jid, resource: Option<&str>| {
            resource.and_then(|r| jid.with_resource(r).ok()).unwrap_or_else(|| jid.clone())
        };
        let user = with(&key.xmpp, record.resource.as_deref());
        if self.find(&user, &key.sip).is_some() {
            return;
        }
        let occupant = with(&key.sip, Some(&record.nick));
        let out = User::of_item(Item::new(Affiliation::None, Role::None));
        let out = out.with_status(status::SELF_PRESENCE).with_status(status::SHUTDOWN);
        let stanza = Stanza::presence().with_from(occupant).with_to(user).with_type("unavailable");
        stage.answer(link, &stanza.with_child(out.to_element()));
    }

    /// Nobody wants to hear of the conference any more.
    pub(super) fn unsubscribe(&mut self, stage: &mut Stage<'_>, usage: Option<UsageId>) {
        let Some(usage) = usage else { return };
        self.usages.insert(usage, Use::Nothing);
        stage.events(|events, ground| events.unsubscribe(ground, usage));
    }

    /// A stream is back. Who has missed something is out, and may come in again; the others may have gone without a word.
    pub(super) fn link_back(&mut self, stage: &mut Stage<'_>, link: LinkId) {
        let of_link = |id: &SeatId| self.seats.get(id).is_some_and(|seat| seat.link == link && seat.entered);
        let seats: Vec<SeatId> = self.seats.keys_sorted().into_iter().filter(of_link).collect();
        if !seats.is_empty() {
            self.probing.extend(seats);
            self.some_at = Some(stage.now);
        }
    }

    /// Asks a client whether it is there; or sends it away, if what it believes of the room is not true any more.
    pub(super) fn probe(&mut self, stage: &mut Stage<'_>, id: SeatId) {
        let Some(seat) = self.seats.get(&id).filter(|seat| seat.entered && seat.phase != Phase::Leaving) else {
            return;
        };
        if seat.missed {
            return self.give_up(stage, id, End::Lost);
        }
        let ping = Stanza::iq("get").with_from(seat.room.clone()).with_to(seat.user.clone());
        let ping = ping.with_id(stage.tokens.token(12)).with_child(Ping.to_element());
        let _ = stage.deliver(seat.link, &ping);
    }
}

/// Tells who has written something that it did not arrive.
pub(super) fn fail(stage: &mut Stage<'_>, link: LinkId, stanza: &Stanza, error: &StanzaError, code: u16) {
    stage.note(Note::Failed { by: Side::Sip, code });
    if let Some(answer) = stanza.error(error) {
        stage.answer(link, &answer);
    }
}

/// Whether an error says that there is nobody at the address of an occupant.
pub(super) fn is_gone(error: &StanzaError) -> bool {
    matches!(
        error.condition,
        Condition::Gone
            | Condition::ItemNotFound
            | Condition::JidMalformed
            | Condition::RecipientUnavailable
            | Condition::Redirect
            | Condition::RemoteServerNotFound
            | Condition::RemoteServerTimeout
            | Condition::ServiceUnavailable
    )
}

/// Why one does not come in: XEP-0045 §7.2.17, where SIP has a word for it; else RFC 7247 §7.2.
fn join_error(why: &Failed) -> StanzaError {
    let of = |refusal: &Refusal| refusal.stanza_error();
    match why {
        Failed::Call(Cause::Response(response)) => {
            let condition = match response.code {
                // A password is wanted, of which SIP knows nothing.
                401 | 407 => Condition::NotAuthorized,
                403 | 603 => Condition::Forbidden,
                404 | 604 => Condition::ItemNotFound,
                // There are as many in the room as there may be.
                486 | 600 => Condition::ServiceUnavailable,
                // This is no room.
                415 | 488 | 606 => Condition::NotAcceptable,
                _ => return error::from_response(response),
            };
            let text = error::from_response(response).text;
            StanzaError { text, ..StanzaError::new(condition) }
        }
        Failed::Call(Cause::Timeout) => of(&Refusal::SipTimeout),
        Failed::Call(Cause::Transport) => of(&Refusal::SipTransport),
        Failed::Call(Cause::NoWay) => of(&Refusal::NoRoute),
        Failed::NoAnswer => of(&Refusal::SipTimeout),
        Failed::Session(Refusal::BadBody(_) | Refusal::TooBig | Refusal::NotAcceptableHere { .. }) => {
            of(&negotiate::NO_CONVERSATION)
        }
        Failed::Session(refusal) => of(refusal),
        Failed::GivenUp => of(&Refusal::SipTransport),
    }
}

/// The conference is over. Whether another takes its place the focus does not say.
pub(super) fn destroyed() -> End {
    End::Destroyed(Destroy::default())
}
