//! What changes in a call that stands: XEP-0166 §6.3 to §6.6 and re-INVITE, UPDATE, INFO.

use super::Calls;
use super::call::{CallId, State};
use super::depart::body;
use super::pass::{Passing, Said};
use crate::content::described;
use crate::mapping::{Side, Stage};
use crate::media::description::{Change, Due, Gathered};
use bodies::sdp::Sdp;
use sip::Response;
use sip::invite::Body;
use std::time::Duration;
use xmpp::error::StanzaError;
use xmpp::ext::jingle::{self, Action, Info, Jingle, Reason};
use xmpp::stanza::Stanza;

/// How long an XMPP user may take to say whether it wants what the SIP user offers in a call that stands. RFC 3261 §14.1 gives no time; a non-INVITE transaction
/// ends after 32 s.
const DECIDE: Duration = Duration::from_secs(10);

impl Calls {
    /// A request in a Jingle session that changes it, or says something of it.
    pub(super) fn change(&mut self, stage: &mut Stage<'_>, id: CallId, stanza: &Stanza, jingle: &Jingle) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let link = call.link;
        // A question whether the session is there, or that it rings where it was answered.
        let idle = jingle.action == Action::SessionInfo && jingle.infos.iter().all(|info| *info == Info::Ringing);
        let Some(description) = call.description.as_mut().filter(|_| !idle) else {
            return self.reply(stage, link, stanza, Ok(()));
        };
        match description.heard(jingle) {
            Ok(change) => {
                self.reply(stage, link, stanza, Ok(()));
                self.gathers(stage, id);
                self.gathers_more(stage, id, jingle.action);
                self.act(stage, id, change);
            }
            Err(unfit) => self.reply(stage, link, stanza, Err(unfit.stanza_error())),
        }
    }

    /// What an answer to a request of ours changes.
    pub(super) fn replied(&mut self, stage: &mut Stage<'_>, id: CallId, action: Action, error: Option<&StanzaError>) {
        let description = self.calls.get_mut(&id).and_then(|call| call.description.as_mut());
        if let Some(change) = description.map(|description| description.replied(action, error)) {
            self.act(stage, id, change);
        }
    }

    fn act(&mut self, stage: &mut Stage<'_>, id: CallId, change: Change) {
        for jingle in change.say {
            self.say(stage, id, jingle);
        }
        match change.sip {
            Due::Nothing | Due::Offer => self.change_due(stage, id),
            Due::Answer => self.answer_due(stage, id),
            Due::Trickle => self.trickles(stage, id),
            Due::Refuse => self.reject(stage, id, &Response::new(488, "")),
            Due::Glare => self.reject(stage, id, &Response::new(491, "")),
            Due::Over => self.over(stage, id, None, &Reason::new(jingle::Condition::Success)),
        }
    }

    /// Makes the offer that is due, once nothing else is under way.
    pub(super) fn change_due(&mut self, stage: &mut Stage<'_>, id: CallId) {
        self.trickle(stage, id);
        let Some(call) = self.calls.get_mut(&id) else { return };
        let free = matches!(call.state, State::Active)
            && !call.changing
            && call.owes_answer.is_none()
            && !call.answering
            && !call.was_asked
            && call.passing.is_none();
        let due = free && call.description.as_ref().is_some_and(|description| description.due());
        if !due || !self.is_gathered(stage, id) {
            return;
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(description) = &mut call.description else { return };
        let offer = description.offer();
        call.changing = true;
        self.pass(stage, id, Passing { from: Side::Xmpp, what: Said::NextOffer }, &offer);
    }

    /// Whether what is to be said to the SIP user can be: where the XMPP user can be reached is known, as far as it was not said before. If not,
    /// it is waited for, as before the call (draft §4).
    fn is_gathered(&mut self, stage: &Stage<'_>, id: CallId) -> bool {
        let Some(call) = self.calls.get_mut(&id) else { return false };
        let Some(description) = &call.description else { return false };
        // The relay can be reached, and learns the rest from the checks.
        let known = call.passage.is_some() || description.gathered() == Gathered::All;
        let most = stage.now + self.options.gather_most;
        let quiet = match description.gathered() {
            Gathered::Nothing => most,
            Gathered::Some | Gathered::All => stage.now + self.options.gather_quiet,
        };
        let waits = !known && call.gathering.is_none_or(|(quiet, most)| stage.now < quiet.min(most));
        if waits {
            call.gathering.get_or_insert((quiet, most));
        } else {
            call.gathering = None;
        }
        !waits
    }

    /// The XMPP user may have named more candidates.
    fn gathers_more(&mut self, stage: &Stage<'_>, id: CallId, action: Action) {
        let quiet_from_now = stage.now + self.options.gather_quiet;
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (Some((quiet, _)), Some(description)) = (&mut call.gathering, &call.description) else { return };
        match description.gathered() {
            Gathered::Some if action == Action::TransportInfo => *quiet = quiet_from_now,
            Gathered::All => *quiet = stage.now,
            Gathered::Some | Gathered::Nothing => {}
        }
    }

    /// No more of them are waited for.
    pub(super) fn change_gathered(&mut self, stage: &mut Stage<'_>, id: CallId) {
        let answering = self.calls.get(&id).is_some_and(|call| call.answering);
        if answering {
            self.answer_due(stage, id);
        } else {
            self.change_due(stage, id);
        }
        // Whatever else is in the way is not a matter of candidates.
        if let Some(call) = self.calls.get_mut(&id) {
            call.gathering = call.gathering.filter(|(quiet, most)| stage.now < (*quiet).min(*most));
        }
    }

    /// Sends an offer of ours.
    pub(super) fn offer(&mut self, stage: &mut Stage<'_>, id: CallId, offer: &Sdp) {
        if let Some(session) = self.calls.get(&id).and_then(|call| call.session) {
            stage.sessions(|sessions, ground| sessions.offer(ground, session, body(offer)));
        }
    }

    /// The SIP user has answered it.
    pub(super) fn answered(&mut self, stage: &mut Stage<'_>, id: CallId, answer: Option<&Body>) {
        // While an offer of ours is at the relay, what was answered is no more than that the session goes on (RFC 4028).
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.passing.is_none()) else { return };
        let was_asked = std::mem::take(&mut call.was_asked);
        if !std::mem::take(&mut call.changing) && !was_asked {
            return;
        }
        let what = if matches!(call.state, State::Accepting) { Said::Answer } else { Said::NextAnswer };
        match answer.map(described::of_body) {
            // An ACK that says nothing: there are such, and it was they who have asked.
            None if was_asked => self.offer_refused(stage, id),
            Some(Ok(answer)) => self.pass(stage, id, Passing { from: Side::Sip, what }, &answer),
            // RFC 3261 §14.1: whoever accepts an offer has to say how.
            None | Some(Err(_)) => self.over_mute(stage, id),
        }
    }

    /// What it has answered.
    pub(super) fn settle(&mut self, stage: &mut Stage<'_>, id: CallId, answer: &Sdp) {
        let Some(description) = self.calls.get_mut(&id).and_then(|call| call.description.as_mut()) else { return };
        match description.settled(answer) {
            Ok(said) => self.say_all(stage, id, said),
            Err(unfit) => self.over_unfit(stage, id, &unfit),
        }
        self.change_due(stage, id);
    }

    /// It does not want what we offered.
    pub(super) fn offer_refused(&mut self, stage: &mut Stage<'_>, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.changing = false;
        if matches!(call.state, State::Accepting) {
            let text = "The phone takes neither what the device has nor what a media relay has";
            return self.over(stage, id, None, &Reason::new(jingle::Condition::UnsupportedTransports).with_text(text));
        }
        let Some(description) = &mut call.description else { return };
        let said = description.refused();
        self.say_all(stage, id, said);
        self.change_due(stage, id);
    }

    /// The SIP user offers something else.
    pub(super) fn offered(&mut self, stage: &mut Stage<'_>, id: CallId, offer: Option<&Body>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if !matches!(call.state, State::Active) || call.passing.is_some() {
            // One offer at a time (RFC 3264 §4), and another one is still on its way.
            return self.reject(stage, id, &Response::new(491, ""));
        }
        if call.changing {
            // RFC 3261 §14.1: ours met one of theirs, and waits to be made again; by then it would be another one.
            let waits = call.session.is_some_and(|session| stage.sessions.withdraw(session));
            if !waits {
                return self.reject(stage, id, &Response::new(491, ""));
            }
            call.changing = false;
            if let Some(description) = &mut call.description {
                description.withdrawn();
            }
        }
        let Some(description) = &mut call.description else { return };
        match offer.map(described::of_body) {
            None => {
                let offer = description.asked();
                call.was_asked = true;
                self.pass(stage, id, Passing { from: Side::Xmpp, what: Said::Asked }, &offer);
            }
            Some(Ok(offer)) => self.pass(stage, id, Passing { from: Side::Sip, what: Said::NextOffer }, &offer),
            Some(Err(refusal)) => self.reject(stage, id, &refusal.response()),
        }
    }

    /// What it offers.
    pub(super) fn offered_with(&mut self, stage: &mut Stage<'_>, id: CallId, offer: &Sdp) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(description) = &mut call.description else { return };
        match description.offered(offer) {
            Err(unfit) => self.reject(stage, id, &unfit.refusal.response()),
            Ok(asked) => {
                call.owes_answer = asked.waits.then(|| stage.now + DECIDE);
                self.say_all(stage, id, asked.say);
                if !asked.waits {
                    self.answer_due(stage, id);
                }
            }
        }
    }

    /// It has taken back what it offered, or asked for.
    pub(super) fn offer_withdrawn(&mut self, stage: &mut Stage<'_>, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        (call.owes_answer, call.answering, call.was_asked, call.gathering) = (None, false, false, None);
        // What of it is at the relay is nobody's when it comes out.
        call.passing = call.passing.take().filter(|passing| match (passing.from, passing.what) {
            (Side::Sip, Said::NextOffer) | (Side::Xmpp, Said::NextAnswer | Said::Asked) => false,
            (Side::Sip, Said::Offer | Said::Answer | Said::NextAnswer | Said::Asked | Said::Anew)
            | (Side::Xmpp, Said::Offer | Said::Answer | Said::NextOffer | Said::Anew) => true,
        });
        let said = call.description.as_mut().map(|description| description.cancelled()).unwrap_or_default();
        self.say_all(stage, id, said);
        self.change_due(stage, id);
    }

    /// The answer to what it offers is there.
    fn answer_due(&mut self, stage: &mut Stage<'_>, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.owes_answer = None;
        call.answering = true;
        if !self.is_gathered(stage, id) {
            return;
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.answering = false;
        let Some(description) = &mut call.description else { return };
        let answer = description.answer();
        self.pass(stage, id, Passing { from: Side::Xmpp, what: Said::NextAnswer }, &answer);
    }

    /// Sends it.
    pub(super) fn answer_offer(&mut self, stage: &mut Stage<'_>, id: CallId, answer: &Sdp) {
        if let Some(session) = self.calls.get(&id).and_then(|call| call.session) {
            stage.sessions(|sessions, ground| sessions.answer(ground, session, body(answer)));
        }
        self.change_due(stage, id);
    }

    /// The XMPP user has not said in time whether it wants what the SIP user offers.
    pub(super) fn answer_overdue(&mut self, stage: &mut Stage<'_>, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.owes_answer = None;
        let Some(description) = &mut call.description else { return };
        match description.give_up() {
            Ok(said) => {
                self.say_all(stage, id, said);
                self.answer_due(stage, id);
            }
            Err(said) => {
                self.say_all(stage, id, said);
                self.reject(stage, id, &Response::new(488, ""));
            }
        }
    }

    pub(super) fn say_all(&mut self, stage: &mut Stage<'_>, id: CallId, said: Vec<Jingle>) {
        for jingle in said {
            self.say(stage, id, jingle);
        }
    }

    /// Refuses what the SIP user offers. The call goes on as it was.
    pub(super) fn reject(&mut self, stage: &mut Stage<'_>, id: CallId, response: &Response) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        (call.owes_answer, call.answering, call.was_asked) = (None, false, false);
        if let Some(session) = call.session {
            stage.sessions(|sessions, ground| sessions.reject(ground, session, response.clone()));
        }
        self.change_due(stage, id);
    }
}
