//! What one side says of the media on its way to the other: at once, or through a media relay.

use super::Calls;
use super::call::{CallId, State};
use super::ringing::{self, Why};
use crate::error::Refusal;
use crate::mapping::{Relayed, Side, Stage};
use crate::media::reason;
use crate::media::relay::{self, Heard, Means, Passage, Style, Way};
use base::{Str, Time};
use bodies::sdp::Sdp;
use sip::Cause;
use xmpp::ext::jingle::{Condition, Reason};

/// What is said: RFC 3264 §5 to §8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// The offer that begins the call.
    Offer,
    /// The answer to it.
    Answer,
    /// An offer in a call that stands.
    NextOffer,
    /// The answer to one.
    NextAnswer,
    /// An offer that the other side has asked for, in a call that stands.
    Asked,
    /// The first offer once more, to a phone that has answered as no Jingle client can take it.
    Anew,
}

/// Something on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passing {
    /// Who says it.
    pub from: Side,
    /// What it is.
    pub what: Said,
}

/// Something that a relay was asked for a call.
#[derive(Debug)]
pub(super) struct AtRelay {
    call: CallId,
    /// What the relay calls it, for when it is over before the answer comes.
    name: Str,
}

impl Calls {
    /// Brings it to the other side.
    pub(super) fn pass(&mut self, stage: &mut Stage<'_>, id: CallId, passing: Passing, sdp: &Sdp) {
        match self.send_through(stage, id, passing, sdp) {
            Ok(true) => self.arm(id),
            Ok(false) => self.passed(stage, id, passing, sdp),
            Err(refusal) => self.not_passed(stage, id, passing, &refusal),
        }
    }

    /// Whether it goes through a relay; then it comes out later.
    fn send_through(
        &mut self,
        stage: &mut Stage<'_>,
        id: CallId,
        passing: Passing,
        sdp: &Sdp,
    ) -> Result<bool, Refusal> {
        let means = Means { options: &self.options.relay, relay: stage.relay.has_servers(), now: stage.now };
        let Some(call) = self.calls.get_mut(&id) else { return Ok(false) };
        let offers = match passing.what {
            Said::Offer | Said::NextOffer | Said::Asked | Said::Anew => true,
            // The SIP user has asked what there is, and the XMPP user has said it.
            Said::Answer => passing.from == Side::Xmpp && call.offerless,
            Said::NextAnswer => false,
        };
        let first = passing.what == Said::Offer || passing.what == Said::Answer && offers;
        if first && call.passage.is_none() {
            let way = match passing.from {
                Side::Sip => relay::Ways::to_xmpp(means, sdp)?,
                Side::Xmpp => self.ways.to_sip(means, &call.ours, sdp)?,
            };
            if let Way::Relayed(style) = way {
                call.passage = Some(Box::new(Passage::new(stage, style, passing.from)));
            }
        }
        let Some(passage) = &mut call.passage else { return Ok(false) };
        let ask = passage.send(stage, means, passing.from, offers, sdp.clone())?;
        call.passing = Some(passing);
        self.at_relay.insert(ask, AtRelay { call: id, name: passage.name().clone() });
        Ok(true)
    }

    /// A relay has answered, or none has. Whether a call had asked it.
    pub(super) fn relay_answered(&mut self, stage: &mut Stage<'_>, done: &Relayed) -> bool {
        let Some(AtRelay { call: id, name }) = self.at_relay.remove(&done.id) else { return false };
        let means = Means { options: &self.options.relay, relay: stage.relay.has_servers(), now: stage.now };
        let call = self.calls.get_mut(&id);
        let heard = call.and_then(|call| {
            let heard = call.passage.as_mut()?.relayed(stage, means, done)?;
            let is_out = matches!(heard, Heard::Description(_));
            Some((heard, call.passing.take_if(|_| is_out)))
        });
        match heard {
            Some((Heard::Description(Ok(sdp)), Some(passing))) => self.passed(stage, id, passing, &sdp),
            Some((Heard::Description(Err(refusal)), Some(passing))) => self.not_passed(stage, id, passing, &refusal),
            Some((Heard::Description(_) | Heard::Nothing, _)) => {}
            Some((Heard::Gone, _)) => self.relay_lost(stage, id),
            // The call was over first, or goes another way by now.
            None if done.result.is_ok() => relay::forget(stage, name, done.server),
            None => {}
        }
        self.arm(id);
        true
    }

    /// The relay has lost the call: nobody hears the other any more.
    fn relay_lost(&mut self, stage: &mut Stage<'_>, id: CallId) {
        const WHY: &str = "The media relay has lost the call";
        if self.calls.get(&id).is_some_and(|call| matches!(call.state, State::Ringing { .. })) {
            let refusal = Refusal::Relay { why: WHY, retry_after: stage.config.limits.retry_after };
            self.tell_ringing(stage, id, ringing::Event::GivenUp(Why::Failed));
            return self.turn_away(stage, id, refusal.response());
        }
        self.over(stage, id, None, &Reason::new(Condition::FailedTransport).with_text(WHY));
    }

    /// Asks the relay whether it still knows of the call.
    pub(super) fn check_relay(&mut self, stage: &mut Stage<'_>, id: CallId) {
        let means = Means { options: &self.options.relay, relay: stage.relay.has_servers(), now: stage.now };
        let Some(passage) = self.calls.get_mut(&id).and_then(|call| call.passage.as_mut()) else { return };
        if let Some(ask) = passage.timeout(stage, means) {
            self.at_relay.insert(ask, AtRelay { call: id, name: passage.name().clone() });
        }
    }

    /// Whether no candidates of the XMPP user need be waited for: the relay learns where it is from the checks that come from there.
    pub(super) fn goes_through_relay(&self, stage: &Stage<'_>, id: CallId) -> bool {
        let means = Means { options: &self.options.relay, relay: stage.relay.has_servers(), now: stage.now };
        self.calls.get(&id).is_some_and(|call| {
            call.passage.is_some() || call.began == Side::Xmpp && self.ways.expects_relay(means, &call.ours)
        })
    }

    /// It has come there.
    fn passed(&mut self, stage: &mut Stage<'_>, id: CallId, passing: Passing, sdp: &Sdp) {
        match (passing.from, passing.what) {
            (Side::Xmpp, Said::Offer) => self.invite(stage, id, sdp),
            (Side::Sip, Said::Offer) => self.ring(stage, id, sdp),
            (Side::Xmpp, Said::Answer) => self.answer(stage, id, sdp),
            (Side::Sip, Said::Answer) => {
                self.remember_way(stage.now, id);
                self.accept(stage, id, sdp);
            }
            (Side::Xmpp, Said::NextOffer | Said::Anew) => self.offer(stage, id, sdp),
            (Side::Sip, Said::NextOffer | Said::Asked | Said::Anew) => self.offered_with(stage, id, sdp),
            (Side::Xmpp, Said::NextAnswer | Said::Asked) => self.answer_offer(stage, id, sdp),
            (Side::Sip, Said::NextAnswer) => self.settle(stage, id, sdp),
        }
        self.arm(id);
    }

    /// It does not come there.
    fn not_passed(&mut self, stage: &mut Stage<'_>, id: CallId, passing: Passing, refusal: &Refusal) {
        match (passing.from, passing.what) {
            // Nobody was told of it yet.
            (Side::Sip, Said::Offer) => {
                stage.note_refused(refusal, Side::Sip, false);
                self.turn_away(stage, id, refusal.response());
            }
            // Things stay as they are.
            (Side::Xmpp, Said::NextOffer) => self.offer_refused(stage, id),
            (Side::Sip, Said::NextOffer | Said::Asked | Said::Anew) => self.reject(stage, id, &refusal.response()),
            (Side::Xmpp, Said::Answer) => {
                // The INVITE is not answered yet.
                if let Some(call) = self.calls.get_mut(&id) {
                    call.state = State::Gathering { quiet: stage.now, most: stage.now };
                }
                self.over(stage, id, None, &reason::of_refusal(refusal));
            }
            (Side::Xmpp, Said::Offer | Said::NextAnswer | Said::Asked | Said::Anew)
            | (Side::Sip, Said::Answer | Said::NextAnswer) => {
                self.over(stage, id, None, &reason::of_refusal(refusal));
            }
        }
        self.arm(id);
    }

    fn remember_way(&mut self, now: Time, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        let means = Means { options: &self.options.relay, relay: true, now };
        self.ways.accepted(means, &call.ours, call.way());
    }

    /// Tries once more where a phone wants no ICE and no DTLS, but there is who speaks for it. Whether there is, or both know that there is not.
    pub(super) fn again_through_relay(&mut self, stage: &mut Stage<'_>, id: CallId, cause: &Cause) -> bool {
        let Cause::Response(response) = cause else { return false };
        let Some(call) = self.calls.get_mut(&id) else { return false };
        let Some(description) = &mut call.description else { return false };
        let (offer, way) = (description.sdp(), call.way());
        let next = |relay| {
            let means = Means { options: &self.options.relay, relay, now: stage.now };
            relay::Ways::after(means, &call.ours, way, response.code, &offer)
        };
        match (next(stage.relay.has_servers()), next(true)) {
            (Some(style), _) => self.again(stage, id, style, &offer),
            (None, Some(_)) => {
                let text = "The phone does not take calls from the web, and there is no media relay";
                let reason = Reason::new(Condition::UnsupportedTransports).with_text(text);
                self.over(stage, id, Some(Side::Sip), &reason);
            }
            (None, None) => return false,
        }
        true
    }

    /// A phone has answered. Where that is nothing that a Jingle client can take, it is asked once more, for what a relay takes (RFC 3261 §14); the XMPP user hears of
    /// that answer.
    pub(super) fn answered_by_phone(&mut self, stage: &mut Stage<'_>, id: CallId, answer: &Sdp) {
        let means = Means { options: &self.options.relay, relay: stage.relay.has_servers(), now: stage.now };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(description) = &mut call.description else { return };
        let offer = description.sdp();
        let Some(style) = relay::Ways::instead(means, call.way(), &offer, answer) else {
            return self.pass(stage, id, Passing { from: Side::Sip, what: Said::Answer }, answer);
        };
        call.passage = Some(Box::new(Passage::new(stage, style, Side::Xmpp)));
        call.changing = true;
        self.pass(stage, id, Passing { from: Side::Xmpp, what: Said::Anew }, &offer);
    }

    fn again(&mut self, stage: &mut Stage<'_>, id: CallId, style: Style, offer: &Sdp) {
        let passage = Box::new(Passage::new(stage, style, Side::Xmpp));
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let Some(old) = call.passage.replace(passage) {
            old.end(stage).iter().for_each(|id| drop(self.at_relay.remove(id)));
        }
        self.pass(stage, id, Passing { from: Side::Xmpp, what: Said::Offer }, offer);
    }
}
