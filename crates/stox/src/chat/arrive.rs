//! What SIP users say in sessions, on its way to XMPP: RFC 7573 §5.

use super::talk::{Chat, Owed, Phase, States};
use super::{Chats, Waiting, s2x};
use crate::config::Mode;
use crate::content::arrived::{self, Arrived};
use crate::content::{Disposition, identifiers};
use crate::error::{self, Refusal};
use crate::gateway::Note;
use crate::leg::{LegId, negotiate};
use crate::mapping::{Invitation, Side, Stage};
use crate::prints;
use bodies::iscomposing::IsComposing;
use msrp::{FailureReport, Incoming, MessageId, MessageToken};
use std::time::Duration;
use xmpp::error::StanzaError;
use xmpp::ext::chatstates::ChatState;
use xmpp::jid::Jid;

/// How long `active` is believed where the document does not say (RFC 3994 §3.3).
const REFRESH: Duration = Duration::from_secs(120);

impl Chats {
    /// A SIP user opens a session: RFC 7573 Example 10. It is accepted for the XMPP user, who knows of no sessions.
    pub(super) fn accept(&mut self, stage: &mut Stage<'_>, invitation: &Invitation) -> Result<(), Refusal> {
        let (limits, link) = (&stage.config.limits, invitation.link);
        if !stage.links.is_up(link) {
            return Err(Refusal::LinkDown { retry_after: limits.retry_after });
        }
        if self.chats.len() >= self.options.sessions {
            return Err(Refusal::Overload { retry_after: limits.retry_after });
        }
        let (from, to) = (&invitation.from, &invitation.to);
        if stage.config.chat_mode(from.domain()) == Mode::Message {
            return Err(negotiate::NO_CONVERSATION);
        }
        if self.of_pair(to, from).count() >= self.options.sessions_per_pair {
            return Err(Refusal::Busy);
        }
        stage.rate(from)?;
        let sip = stage.with_device(from, &invitation.request.headers);
        let call_id = invitation.request.headers.call_id().map_err(|_| Refusal::BadRequest("Bad Call-ID"))?;
        let thread = identifiers::thread_of_call_id(call_id);
        let leg = stage.legs(|legs, footing| legs.accept(footing, invitation.id, &invitation.request, None))?;
        stage.choice.takes(&sip);
        let record = stage.tokens.token(12);
        self.enter(leg, Chat::new(sip, to.clone(), link, thread, Side::Sip, record, stage.now));
        Ok(())
    }

    /// A message has come whole.
    pub(super) fn arrived(&mut self, stage: &mut Stage<'_>, leg: LegId, token: MessageToken, message: &Incoming) {
        if let Some(chat) = self.chats.get_mut(&leg) {
            chat.last = stage.now;
        }
        if let Err(refusal) = self.take(stage, leg, token, message) {
            stage.note_refused(&refusal, Side::Sip, true);
            let (code, comment) = error::to_msrp(&refusal);
            stage.legs(|legs, footing| legs.answer(footing, token, code, comment));
        }
    }

    fn take(
        &mut self,
        stage: &mut Stage<'_>,
        leg: LegId,
        token: MessageToken,
        message: &Incoming,
    ) -> Result<(), Refusal> {
        // States and notifications count, too: there may be as many of them.
        let Some(chat) = self.chats.get(&leg) else { return Err(Refusal::NoDialog) };
        stage.rate(&chat.sip)?;
        let header =
            |name: &str| message.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
        let language = header("Content-Language");
        let arrived = arrived::read(&message.content_type, language, &message.body)?;
        let done = |stage: &mut Stage<'_>| stage.legs(|legs, footing| legs.answer(footing, token, 200, "OK"));
        match &arrived {
            Arrived::Text(text) => return self.text(stage, leg, token, message, text, language),
            Arrived::State(state) => self.composes(stage, leg, *state, &message.body),
            Arrived::Report { message_id, what } => self.notified(stage, leg, message_id, *what),
            Arrived::Nothing => stage.note(Note::Ignored { why: "nothing to translate" }),
        }
        done(stage);
        Ok(())
    }

    fn text(
        &mut self,
        stage: &mut Stage<'_>,
        leg: LegId,
        token: MessageToken,
        message: &Incoming,
        text: &arrived::Text,
        language: Option<&str>,
    ) -> Result<(), Refusal> {
        stage.note(Note::Received { from: Side::Sip });
        let limits = &stage.config.limits;
        let Some(chat) = self.chats.get(&leg) else { return Err(Refusal::NoDialog) };
        if !stage.links.is_up(chat.link) {
            return Err(Refusal::LinkDown { retry_after: limits.retry_after });
        }
        if self.held.len() >= limits.held {
            return Err(Refusal::Overload { retry_after: limits.retry_after });
        }
        // The transaction is the id (Examples 6 and 7); one that is on its way already gets an id of its own.
        let mut id = message.transaction.clone();
        let known = self.owing(&chat.xmpp, &chat.sip, &id).is_some();
        let Some(chat) = self.chats.get_mut(&leg) else { return Err(Refusal::NoDialog) };
        let said = |id: &str, key: &base::HashKey| prints::said(key, id, &chat.sip, &chat.xmpp);
        if self.held.is_said(&said(&id, &self.key)) || known {
            id.push_str(&stage.tokens.token(8));
        }
        let said = said(&id, &self.key);
        let receipts = self.options.receipts;
        let writes = self.options.chat_states
            && stage
                .legs(|legs, _| legs.accepts(leg).is_some_and(|accept| accept.takes("application/im-iscomposing+xml")));
        let Some(stanza) = s2x::text(chat, text, language, &id, message.success_report && receipts, writes) else {
            stage.note(Note::Ignored { why: "nothing to translate" });
            stage.legs(|legs, footing| legs.answer(footing, token, 200, "OK"));
            return Ok(());
        };
        let taken = stage.deliver(chat.link, &stanza);
        let taken = taken.ok_or(Refusal::LinkDown { retry_after: limits.retry_after })?;
        let copies = stage.copies_for_owners(chat.link, &chat.sip, &stanza);
        chat.messages += 1;
        chat.composing = None;
        let failure = message.failure_report != FailureReport::No;
        let imdn = text.receipt.clone().filter(|_| receipts);
        if message.success_report && receipts || failure || imdn.is_some() {
            chat.owe(Owed {
                stanza_id: id,
                message: message.message_id.clone(),
                total: message.body.len() as u64,
                success: message.success_report && receipts,
                failure,
                imdn,
            });
        }
        chat.held += 1;
        self.held.hold(taken, said, stage.now + limits.held_for, Waiting { leg, token, since: stage.now, copies });
        Ok(())
    }

    /// Table 3. `active` is good for the time that the document says.
    fn composes(&mut self, stage: &mut Stage<'_>, leg: LegId, state: ChatState, document: &[u8]) {
        let Some(chat) = self.chats.get_mut(&leg) else { return };
        let composing = state == ChatState::Composing;
        let before = chat.composing.is_some();
        let refresh = IsComposing::parse(document).ok().and_then(|d| d.refresh);
        let refresh =
            refresh.map_or(REFRESH, |seconds| Duration::from_secs(seconds.into()).min(Duration::from_secs(3600)));
        chat.composing = (composing && self.options.chat_states).then(|| stage.now + refresh);
        // What is said again to keep it alive is nothing new in XMPP.
        if self.options.chat_states && chat.states != States::Unwanted && !(composing && before) {
            let stanza = s2x::state(chat, state, &stage.tokens.token(12));
            let _ = stage.deliver(chat.link, &stanza);
        }
        self.arm(leg);
    }

    /// A notification (RFC 5438) about a message of the XMPP user.
    fn notified(&mut self, stage: &mut Stage<'_>, leg: LegId, message_id: &str, what: Option<Disposition>) {
        let Some(chat) = self.chats.get_mut(&leg) else { return };
        let found = chat.told.iter_mut().find(|told| told.imdn.as_deref() == Some(message_id));
        let (Some(told), Some(what)) = (found, what) else { return };
        if let Some(stanza) = told.answer(&chat.sip, what, stage.tokens) {
            stage.answer(chat.link, &stanza);
        }
    }

    /// A REPORT about a message of the XMPP user: §7 Example 26; a failure is an error, as XMPP has no other word for it.
    pub(super) fn reported(&mut self, stage: &mut Stage<'_>, leg: LegId, message: &MessageId, code: u16) {
        let Some(chat) = self.chats.get_mut(&leg) else { return };
        if !(200..300).contains(&code) {
            // One that has no answer yet fails as if that were the answer; one that has fails late.
            if let Some(letter) = chat.landed(message) {
                let link = chat.link;
                self.drop_letter(&letter);
                let refusal = error::undelivered(msrp::Failure::Code(code));
                Self::fail(stage, link, &letter, &refusal.stanza_error(), refusal.code());
            } else if let Some(at) = chat.told.iter().position(|told| told.message == *message)
                && let Some(told) = chat.told.remove(at)
                && let Some(error) = told.envelope.error(&error::undelivered(msrp::Failure::Code(code)).stanza_error())
            {
                stage.note(Note::Failed { by: Side::Sip, code });
                stage.answer(chat.link, &error);
            }
            return;
        }
        let Some(told) = chat.told.iter_mut().find(|told| told.message == *message) else { return };
        if let Some(stanza) = told.answer(&chat.sip, Disposition::Delivered, stage.tokens) {
            stage.answer(chat.link, &stanza);
        }
    }

    /// The XMPP side has refused a message.
    pub(super) fn turned_away(&mut self, stage: &mut Stage<'_>, held: &Waiting, error: &StanzaError) {
        let (code, comment) = error::stanza_to_msrp(error);
        stage.note(Note::Failed { by: Side::Xmpp, code });
        stage.legs(|legs, footing| legs.answer(footing, held.token, code, &comment));
        if let Some(chat) = self.chats.get_mut(&held.leg)
            && error::is_for_good(error)
        {
            // There is nobody to talk to.
            chat.phase = Phase::Leaving;
        }
        self.released(stage, held.leg);
    }

    /// The same, after the message was answered 200: RFC 4975 §7.1.2 has a REPORT for it.
    pub(super) fn turned_away_late(
        &mut self,
        stage: &mut Stage<'_>,
        from: &Jid,
        to: &Jid,
        id: &str,
        error: &StanzaError,
    ) -> bool {
        let Some(leg) = self.owing(from, to, id) else { return false };
        let Some(chat) = self.chats.get_mut(&leg) else { return false };
        let Some(at) = chat.owed.iter().position(|owed| owed.stanza_id == id) else { return false };
        let Some(owed) = chat.owed.remove(at) else { return false };
        let (code, _) = error::stanza_to_msrp(error);
        stage.note(Note::Failed { by: Side::Xmpp, code });
        if owed.failure {
            stage.legs(|legs, footing| legs.report(footing, leg, &owed.message, owed.total, code));
        }
        true
    }

    /// A message of the SIP user has its answer.
    pub(super) fn released(&mut self, stage: &mut Stage<'_>, leg: LegId) {
        if let Some(chat) = self.chats.get_mut(&leg) {
            chat.held = chat.held.saturating_sub(1);
            self.leave_if_quiet(stage, leg);
        }
    }

    /// Nobody knows whether the XMPP server has it.
    pub(super) fn not_taken(&mut self, stage: &mut Stage<'_>, held: &Waiting) {
        let refusal = Refusal::LinkDown { retry_after: stage.config.limits.retry_after };
        stage.note_refused(&refusal, Side::Sip, true);
        let (code, comment) = error::to_msrp(&refusal);
        stage.legs(|legs, footing| legs.answer(footing, held.token, code, comment));
        self.released(stage, held.leg);
    }
}
