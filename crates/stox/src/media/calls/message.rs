//! XEP-0353: what is said of a call by messages, before its session and after it.
//!
//! A SIP user's call is proposed to all devices ([`Ringing`](super::ringing::Ringing)). A call that is proposed to a SIP user is answered with `proceed` at once: what rings the
//! SIP user's phones is the INVITE, and that needs the offer, which comes with the session-initiate.

use super::Calls;
use super::call::{CallId, State};
use super::proposals::{Proposal, Verdict};
use super::ringing::{Event, Why, stanzas};
use crate::config::LinkId;
use crate::error::Refusal;
use crate::mapping::{Side, Stage};
use base::Str;
use xml::Element;
use xmpp::error::StanzaError;
use xmpp::ext::jingle::{Condition, Reason};
use xmpp::ext::jmi::Jmi;
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

/// How long the part of a full address is by which a SIP user takes part in a session.
const DEVICE: usize = 16;

impl Calls {
    /// A message of XEP-0353 for a SIP user.
    pub(super) fn message(&mut self, stage: &mut Stage<'_>, link: LinkId, stanza: &Stanza, said: &Jmi) {
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else { return };
        if to.local().is_none() || stanza.type_.as_deref() == Some("groupchat") {
            return;
        }
        match said {
            Jmi::Propose { .. } if stage.config.media.is_none() => {
                stage.refuse_stanza(link, stanza, &Refusal::NotSupported);
            }
            Jmi::Propose { id, descriptions } => self.proposed_by_xmpp(stage, link, from, to, id, descriptions),
            Jmi::Retract { id, reason, .. } => self.taken_back(stage, from, to, id, reason.clone()),
            Jmi::Finish { id, reason, .. } => {
                self.answered_by_message(stage, link, from, to, said);
                self.taken_back(stage, from, to, id, reason.clone());
            }
            Jmi::Ringing { .. } | Jmi::Proceed { .. } | Jmi::Accept { .. } | Jmi::Reject { .. } => {
                self.answered_by_message(stage, link, from, to, said);
            }
        }
    }

    /// An error to a message of ours: to a proposal it says that nobody has it.
    pub(super) fn bounced(&mut self, stage: &mut Stage<'_>, stanza: &Stanza, error: &StanzaError) -> bool {
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else { return false };
        let known =
            self.of_pair(to, from).into_iter().find(|id| self.calls.get(id).is_some_and(|call| call.ours == *to));
        let Some(id) = known else { return false };
        let Some(call) = self.calls.get_mut(&id) else { return false };
        if let State::Ringing { ringing, .. } = &mut call.state
            && stanza.id == Some(stanzas::propose_id(&call.sid))
        {
            ringing.hear(stage.now, Event::Bounced(error.clone()));
            self.drain_ringing(stage, id);
            self.arm(id);
        }
        true
    }

    /// A call is proposed to a SIP user (XEP-0353 §3.1).
    fn proposed_by_xmpp(
        &mut self,
        stage: &mut Stage<'_>,
        link: LinkId,
        from: &Jid,
        to: &Jid,
        id: &Str,
        descriptions: &[Element],
    ) {
        // Named as a call that is there it is none: one of ours that has come back, or one that was proposed twice.
        if self.named(to, from, id).is_some() || self.crosses(stage, link, from, to, id) {
            return;
        }
        let fits = |e: &Element| e.ns == ns::RTP && matches!(e.attr("media"), Some("audio" | "video"));
        if !descriptions.is_empty() && !descriptions.iter().any(fits) {
            let reason = Reason::new(Condition::UnsupportedApplications);
            return stage.answer(link, &stanzas::reject(to, from, id, reason));
        }
        let admitted = match self.may_propose(stage, link, from, to) {
            // Those that there are will make room.
            Err(Refusal::Busy) if self.to_migrate(from, to).next().is_some() => Ok(()),
            admitted => admitted,
        };
        if let Err(refusal) = admitted {
            stage.note_refused(&refusal, Side::Xmpp, false);
            let condition = if matches!(refusal, Refusal::Busy) { Condition::Busy } else { Condition::GeneralError };
            let text = refusal.stanza_error().text.unwrap_or_default();
            return stage.answer(link, &stanzas::reject(to, from, id, Reason::new(condition).with_text(text)));
        }
        let device = stage.tokens.token(DEVICE);
        let Ok(ours) = to.with_resource(&device) else { return };
        match self.proposals.proposed(stage.now, link, from, ours.clone(), id, self.options.calls_per_pair) {
            Verdict::Proceed => {
                self.migrate(stage, from, to, id);
                stage.answer(link, &stanzas::proceed(&ours, from, id));
            }
            Verdict::Again => {}
            Verdict::Full => stage.answer(link, &stanzas::reject(to, from, id, Reason::new(Condition::Busy))),
        }
    }

    fn may_propose(&self, stage: &mut Stage<'_>, link: LinkId, from: &Jid, to: &Jid) -> Result<(), Refusal> {
        stage.rate(from)?;
        self.room(stage, link, to, from)?;
        if self.calls.len() + self.proposals.len() >= self.options.calls {
            return Err(Refusal::Overload { retry_after: stage.config.limits.retry_after });
        }
        Ok(())
    }

    /// XEP-0353 §4.1: whether the SIP user calls whoever proposes, and that call goes on, so that this one does not. The lower name goes on.
    fn crosses(&mut self, stage: &mut Stage<'_>, link: LinkId, from: &Jid, to: &Jid, id: &Str) -> bool {
        for ours in self.of_pair(to, from) {
            let Some(call) = self.calls.get_mut(&ours) else { continue };
            let State::Ringing { ringing, .. } = &mut call.state else { continue };
            match ringing.crossed(id, *from < call.ours) {
                Some(true) => {
                    stage.answer(link, &stanzas::reject_for_ours(&call.ours, from, id));
                    return true;
                }
                Some(false) => {
                    self.drain_ringing(stage, ours);
                    self.arm(ours);
                }
                None => {}
            }
        }
        false
    }

    /// The calls that a new one of the two takes the place of.
    fn to_migrate(&self, from: &Jid, to: &Jid) -> impl Iterator<Item = CallId> {
        let active = |id: &CallId| self.calls.get(id).is_some_and(|call| matches!(call.state, State::Active));
        self.of_pair(to, from).into_iter().filter(active)
    }

    /// XEP-0353 §4.2: who proposes a call to a user whom he talks to has lost the one that there is, or takes it to another device.
    fn migrate(&mut self, stage: &mut Stage<'_>, from: &Jid, to: &Jid, id: &Str) {
        for old in self.to_migrate(from, to).collect::<Vec<_>>() {
            let Some(call) = self.calls.get_mut(&old) else { continue };
            let (link, told) = (call.link, stanzas::migrated(&call.ours, &call.theirs, &call.sid, id));
            // This says that it is over, and more.
            call.proposed = false;
            self.over(stage, old, None, &Reason::new(Condition::Expired));
            stage.answer(link, &told);
        }
    }

    /// What a device says to a call that was proposed to it.
    fn answered_by_message(&mut self, stage: &mut Stage<'_>, link: LinkId, from: &Jid, to: &Jid, said: &Jmi) {
        let Some(id) = self.named(to, from, said.id()) else {
            // Whoever called has hung up at the same moment, or before a restart.
            if matches!(said, Jmi::Proceed { .. }) && !from.is_bare() {
                stage.answer(link, &stanzas::retract(to, from, said.id(), Why::Cancelled));
            }
            return;
        };
        let Some(call) = self.calls.get_mut(&id) else { return };
        match &mut call.state {
            State::Ringing { ringing, .. } => {
                ringing.hear(stage.now, Event::Jmi { from, said });
                self.drain_ringing(stage, id);
                self.arm(id);
            }
            State::Arriving | State::Gathering { .. } | State::Inviting { .. } | State::Accepting | State::Active => {
                let late = call.began == Side::Sip && matches!(said, Jmi::Proceed { .. }) && call.theirs != *from;
                if late && !from.is_bare() {
                    stage.answer(link, &stanzas::retract(&call.ours, from, said.id(), Why::Elsewhere));
                }
            }
        }
    }

    /// Whoever proposed a call, or takes part in one, has no part in it any more: XEP-0353 §3.3, §3.7.
    fn taken_back(&mut self, stage: &mut Stage<'_>, from: &Jid, to: &Jid, id: &str, reason: Option<Reason>) {
        if self.proposals.initiated(from, to, id).is_some() {
            return;
        }
        let Some(id) = self.named(to, from, id) else { return };
        if self.calls.get(&id).is_some_and(|call| call.theirs == *from && !matches!(call.state, State::Ringing { .. }))
        {
            self.terminated(stage, id, reason);
        }
    }

    /// Devices that were told to proceed, and have not.
    pub(super) fn overdue_proposals(&mut self, stage: &mut Stage<'_>) {
        while let Some(proposal) = self.proposals.overdue(stage.now) {
            let_go(stage, &proposal, Why::Silent);
        }
    }

    /// None of the calls that are only proposed will come about.
    pub(super) fn give_up_proposals(&mut self, stage: &mut Stage<'_>) {
        while let Some(proposal) = self.proposals.give_up() {
            let_go(stage, &proposal, Why::Ended);
        }
    }

    /// The calls of two users.
    pub(super) fn of_pair(&self, sip: &Jid, xmpp: &Jid) -> Vec<CallId> {
        self.pairs.list(&crate::prints::pair(&self.key, sip, xmpp)).to_vec()
    }
}

fn let_go(stage: &mut Stage<'_>, proposal: &Proposal, why: Why) {
    let finish = stanzas::finish(&proposal.ours, &proposal.from, &proposal.id, &why.to_reason());
    stage.answer(proposal.link, &finish);
}
