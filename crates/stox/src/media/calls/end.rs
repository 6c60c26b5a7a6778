//! How calls end: by either side, by being refused, with the gateway or after it.

use super::call::{Asked, Call, CallId, State};
use super::ringing::{self, Why};
use super::{Calls, arrive, stanzas};
use crate::config::LinkId;
use crate::mapping::{Side, Stage};
use crate::media::description::Unfit;
use crate::media::{reason, record};
use crate::records::{PACE, SOME};
use crate::store::Key;
use base::Time;
use sip::invite::Ended;
use std::time::Duration;
use xmpp::error::{Condition, StanzaError};
use xmpp::ext::disco;
use xmpp::ext::jingle::{self, Action, Jingle, Reason};
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::{Kind, Stanza};

/// How often a client may leave the question open whether it still knows of a call, behind the first time: then it is gone.
const MAX_MISSES: u8 = 1;

/// How long a device that has said good-bye may take to be heard of again before it is asked (XEP-0166 §6.7).
const AWAY: Duration = Duration::from_secs(5);

/// How long after such a question it is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(10);

impl Calls {
    /// The call is over. `by` is who ended it, and needs not be told; the other side is, and both where neither of them did.
    pub(super) fn over(&mut self, stage: &mut Stage<'_>, id: CallId, by: Option<Side>, reason: &Reason) {
        let Some(call) = self.leave(stage, id, reason) else { return };
        if by != Some(Side::Xmpp) && call.has_device() {
            stanzas::terminate(stage, call.link, &call.ours, &call.theirs, &call.sid, reason.clone());
        }
        if call.proposed && call.has_device() {
            // XEP-0353 §3.7: for the user's other devices, and for the archive.
            stage.answer(call.link, &ringing::stanzas::finish(&call.ours, &call.theirs, &call.sid, reason));
        }
        let Some(session) = call.session.filter(|_| by != Some(Side::Sip)) else { return };
        stage.sessions(|sessions, ground| {
            // Of both only that happens for which it is time: an INVITE that is answered is refused no more, and what is over gets no BYE.
            if call.began == Side::Sip {
                sessions.refuse(ground, session, reason::to_response(Some(reason)));
            }
            sessions.bye(ground, session, reason::headers(Some(reason)));
        });
    }

    /// Nothing can be made of what was said of the media.
    pub(super) fn over_unfit(&mut self, stage: &mut Stage<'_>, id: CallId, unfit: &Unfit) {
        self.over(stage, id, None, &reason_of(unfit));
    }

    /// Whoever took what was offered has not said how.
    pub(super) fn over_mute(&mut self, stage: &mut Stage<'_>, id: CallId) {
        let reason = Reason::new(jingle::Condition::FailedApplication).with_text("The phone has not said how it talks");
        self.over(stage, id, None, &reason);
    }

    /// session-terminate.
    pub(super) fn terminated(&mut self, stage: &mut Stage<'_>, id: CallId, reason: Option<Reason>) {
        let reason = reason.unwrap_or_else(|| Reason::new(jingle::Condition::Success));
        self.over(stage, id, Some(Side::Xmpp), &reason);
    }

    /// The SIP user has hung up, or is gone.
    pub(super) fn hung_up(&mut self, stage: &mut Stage<'_>, id: CallId, ended: &Ended) {
        let Some(call) = self.calls.get(&id) else { return };
        if matches!(call.state, State::Ringing { .. }) {
            return self.silence(stage, id, arrive::why(ended));
        }
        self.over(stage, id, Some(Side::Sip), &reason::of_end(ended));
    }

    /// Nobody rings any longer, and the SIP user knows that.
    fn silence(&mut self, stage: &mut Stage<'_>, id: CallId, why: Why) {
        self.tell_ringing(stage, id, ringing::Event::GivenUp(why));
        self.leave(stage, id, &why.to_reason());
    }

    /// Nobody rings any longer, and the SIP user is told so.
    pub(super) fn given_up(&mut self, stage: &mut Stage<'_>, id: CallId, why: Why) {
        self.tell_ringing(stage, id, ringing::Event::GivenUp(why));
        self.turn_away(stage, id, reason::to_response(Some(&why.to_reason())));
    }

    /// A request of ours was answered.
    pub(super) fn granted(&mut self, stage: &mut Stage<'_>, id: CallId, what: Asked, from: &Jid, stanza: &Stanza) {
        let check = self.options.check;
        match what {
            Asked::Initiate => self.tell_ringing(stage, id, ringing::Event::Took(from)),
            Asked::Disco => {
                let info = stanza.child("query", ns::DISCO_INFO).and_then(disco::Info::parse);
                let Some(call) = self.calls.get(&id) else { return };
                let abilities = info.map(|info| stage.whereabouts.learned(&call.ours, from, &info));
                self.tell_ringing(stage, id, ringing::Event::Info { device: from, abilities });
            }
            Asked::Ping => {
                let Some(call) = self.calls.get_mut(&id) else { return };
                call.misses = 0;
                call.check_at = (!check.is_zero()).then(|| stage.now + check);
            }
            Asked::Change(action) => self.replied(stage, id, action, None),
            Asked::Key(info) => self.key_heard(stage, id, info, None),
            Asked::Transfer(usage, server) => self.referral_heard(stage, usage, server, None),
            Asked::Accept | Asked::Tell => {}
        }
    }

    /// A request of ours was refused, or not answered in time.
    pub(super) fn refused(&mut self, stage: &mut Stage<'_>, id: CallId, what: Asked, from: &Jid, error: &StanzaError) {
        let asked = matches!(what, Asked::Initiate | Asked::Disco);
        if asked && let Some(call) = self.calls.get(&id).filter(|_| is_gone(error)) {
            stage.whereabouts.gone(&call.ours, from);
        }
        match what {
            Asked::Initiate => {
                self.tell_ringing(stage, id, ringing::Event::Refused { device: from, error: error.clone() });
            }
            Asked::Disco => self.tell_ringing(stage, id, ringing::Event::Info { device: from, abilities: None }),
            // XEP-0166 §6.4: then there is no session.
            Asked::Accept => self.over(stage, id, None, &reason_of_error(error)),
            Asked::Ping => self.missed(stage, id, error),
            Asked::Change(action) => self.replied(stage, id, action, Some(error)),
            Asked::Key(info) => self.key_heard(stage, id, info, Some(error)),
            Asked::Transfer(usage, server) => self.referral_heard(stage, usage, server, Some(error)),
            Asked::Tell => {}
        }
    }

    /// Asks the client whether it still knows of the call: XEP-0166 §6.8.
    pub(super) fn look_after(&mut self, stage: &mut Stage<'_>, id: CallId) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.check_at = None;
            self.say(stage, id, Jingle::new(Action::SessionInfo, ""));
        }
    }

    /// A device says that it is going away: XEP-0166 §6.7. It may be in error, or back in a moment; its calls may be there still.
    pub(crate) fn heard(&mut self, now: Time, stanza: &Stanza) {
        let (Kind::Presence, Some("unavailable")) = (stanza.kind, stanza.type_.as_deref()) else { return };
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else { return };
        for id in self.of_pair(to, from) {
            let in_it = |call: &&mut Box<Call>| call.stands() && call.theirs == *from;
            if let Some(call) = self.calls.get_mut(&id).filter(in_it) {
                call.check_at = Some(now + AWAY);
                self.arm(id);
            }
        }
    }

    /// It does not, or does not say so.
    fn missed(&mut self, stage: &mut Stage<'_>, id: CallId, error: &StanzaError) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        // Some know no such question, and so know of the call. Once they are gone their server answers.
        if error.condition == Condition::FeatureNotImplemented {
            let check = self.options.check;
            call.misses = 0;
            call.check_at = (!check.is_zero()).then(|| stage.now + check);
            return;
        }
        let unknown = jingle::Error::of(error) == Some(jingle::Error::UnknownSession);
        if unknown || call.misses >= MAX_MISSES {
            let reason = Reason::new(jingle::Condition::Gone).with_text("The device is gone");
            return self.over(stage, id, None, &reason);
        }
        call.misses += 1;
        call.check_at = Some(stage.now + ASK_AGAIN);
    }

    /// The gateway ends.
    pub(super) fn end_of_gateway(&mut self, stage: &mut Stage<'_>, id: CallId) {
        match self.calls.get(&id).map(|call| &call.state) {
            Some(State::Ringing { .. }) => self.given_up(stage, id, Why::Ended),
            _ => self.over(stage, id, None, &Why::Ended.to_reason()),
        }
    }

    /// Ends some of the calls of a gateway that is to end itself.
    pub(super) fn end_some(&mut self, stage: &mut Stage<'_>) {
        if self.some_at.is_none_or(|at| at > stage.now) {
            return;
        }
        for _ in 0..SOME {
            let Some(id) = self.leaving.pop_front() else { break };
            self.end_of_gateway(stage, id);
        }
        self.some_at = (!self.leaving.is_empty()).then_some(stage.now + PACE);
    }

    /// Tells of some of the calls that a restart has found.
    pub(super) fn bury_some(&mut self, stage: &mut Stage<'_>) {
        for (link, key, record) in self.orphans.take(stage) {
            if let Some(link) = link {
                bury(stage, link, &key, &record);
            }
            self.forgetting.forget(stage, key.to_bytes());
        }
    }
}

/// After a restart: the SIP user gets BYE, the XMPP user's device session-terminate, and all of them hear that it rings no longer.
fn bury(stage: &mut Stage<'_>, link: LinkId, key: &Key, record: &record::Call) {
    let with = |jid: &Jid, resource: &Option<String>| {
        resource.as_ref().and_then(|r| jid.with_resource(r).ok()).unwrap_or_else(|| jid.clone())
    };
    let (ours, theirs) = (with(&key.sip, &record.device), with(&key.xmpp, &record.resource));
    if let Some(dialog) = record.dialog.clone() {
        stage.sessions(|sessions, ground| sessions.end_restored(ground, dialog));
    }
    let reason = Reason::new(jingle::Condition::Gone).with_text("The gateway was started anew");
    let sid = base::Str::from(&record.sid);
    match (record.resource.is_some(), record.proposed) {
        (true, proposed) => {
            stanzas::terminate(stage, link, &ours, &theirs, &record.sid, reason.clone());
            if proposed {
                stage.answer(link, &ringing::stanzas::finish(&ours, &theirs, &sid, &reason));
            }
        }
        (false, true) => {
            stage.answer(link, &ringing::stanzas::retract(&ours, &theirs, &sid, Why::Ended));
        }
        (false, false) => {}
    }
}

/// Why a session ends of which the description does not fit.
pub(super) fn reason_of(unfit: &Unfit) -> Reason {
    let reason = Reason::new(unfit.condition);
    match unfit.refusal.stanza_error().text {
        Some(text) => reason.with_text(text),
        None => reason,
    }
}

/// Why a session ends that a client does not want to have been accepted.
fn reason_of_error(error: &StanzaError) -> Reason {
    let reason = Reason::new(jingle::Condition::FailedApplication);
    match &error.text {
        Some(text) => reason.with_text(text.clone()),
        None => reason,
    }
}

/// Whether an error says that a device is not there, or that what can be said to it is of no use: servers use one condition for both (RFC 6121 §8.5.3.2.3).
fn is_gone(error: &StanzaError) -> bool {
    matches!(error.condition, Condition::ServiceUnavailable | Condition::RecipientUnavailable | Condition::ItemNotFound)
}
