//! How chats end: by either side, by being refused, with the gateway or after it.

use super::talk::{Letter, Phase};
use super::{Chats, record, s2x};
use crate::choice::Way;
use crate::config::{LinkId, Mode};
use crate::error::{self, Refusal};
use crate::gateway::Note;
use crate::leg::{Failed, LegId, Why, negotiate};
use crate::mapping::{Side, Stage};
use crate::records::{PACE, SOME};
use crate::store::Key;
use base::Str;
use sip::Cause;
use std::collections::VecDeque;
use xmpp::error::StanzaError;
use xmpp::ext::chatstates::ChatState;
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

/// The codes by which a SIP user refuses a session as such, so that single messages are tried.
const NO_SESSIONS: [u16; 5] = [405, 415, 488, 501, 606];

impl Chats {
    /// The chat is over: what has not left goes another way, and the XMPP user is told, if it was not that user's wish.
    pub(super) fn over(&mut self, stage: &mut Stage<'_>, leg: LegId, why: &Why) {
        let Some(mut chat) = self.leave(stage, leg) else { return };
        stage.note(Note::SessionEnded { by: chat.opened_by, lost: *why == Why::Lost });
        // Of a session in which nothing was said the XMPP user knows nothing.
        if self.options.chat_states && chat.phase != Phase::Leaving && chat.messages > 0 {
            let id = stage.tokens.token(12);
            let gone = s2x::state(&chat, ChatState::Gone, &id);
            stage.answer(chat.link, &gone);
        }
        // What left has been answered for, or has failed.
        let letters: VecDeque<Letter> = chat.unsent.drain(..).chain(chat.waiting.drain(..)).collect();
        for letter in letters {
            self.drop_letter(&letter);
            if letter.again {
                let refusal = Refusal::SipTransport;
                Self::fail(stage, chat.link, &letter, &refusal.stanza_error(), refusal.code());
            } else {
                self.again(stage, chat.link, letter);
            }
        }
    }

    /// The SIP user did not take the session: what waits for it goes alone, or comes back.
    pub(super) fn refused(&mut self, stage: &mut Stage<'_>, leg: LegId, why: &Failed) {
        let Some(mut chat) = self.leave(stage, leg) else { return };
        let no_device =
            |cause: &Cause| matches!(cause, Cause::Response(response) if matches!(response.code, 404 | 480));
        if chat.opened_by == Side::Xmpp
            && chat.sip.resource().is_some()
            && matches!(why, Failed::Call(cause) if no_device(cause))
        {
            // The device is not there, or never was a GRUU: then it is for whichever is there, as a message alone would be.
            for letter in std::mem::take(&mut chat.waiting) {
                self.drop_letter(&letter);
                self.again(stage, chat.link, Letter { astray: true, ..letter });
            }
            return;
        }
        let (error, code, no_sessions) = match why {
            Failed::Call(Cause::Response(response)) => {
                (error::from_response(response), response.code, NO_SESSIONS.contains(&response.code))
            }
            Failed::Call(Cause::Timeout) => face(&Refusal::SipTimeout, false),
            Failed::Call(Cause::Transport) => face(&Refusal::SipTransport, false),
            Failed::Call(Cause::NoWay) => face(&Refusal::NoRoute, false),
            Failed::NoAnswer => face(&Refusal::NoAnswer, false),
            // Nothing is wrong with what the XMPP user wrote, but with the SIP user's description.
            Failed::Session(Refusal::BadBody(_) | Refusal::TooBig | Refusal::NotAcceptableHere { .. }) => {
                face(&negotiate::NO_CONVERSATION, true)
            }
            Failed::Session(refusal) => face(refusal, false),
            Failed::GivenUp => face(&Refusal::SipTransport, false),
        };
        stage.note(Note::SessionFailed { by: chat.opened_by, code });
        let alone =
            no_sessions && chat.opened_by == Side::Xmpp && stage.config.chat_mode(chat.sip.domain()) == Mode::Auto;
        if alone {
            stage.choice.refused(stage.now, &chat.sip, self.options.remember);
        }
        for letter in std::mem::take(&mut chat.waiting) {
            self.drop_letter(&letter);
            if alone {
                stage.send_as(Way::Message, chat.link, letter.stanza);
            } else {
                Self::fail(stage, chat.link, &letter, &error, code);
            }
        }
    }

    /// Ends some of the chats of a gateway that is to end itself.
    pub(super) fn end_some(&mut self, stage: &mut Stage<'_>) {
        if self.some_at.is_none_or(|at| at > stage.now) {
            return;
        }
        for _ in 0..SOME {
            let Some(leg) = self.leaving.pop_front() else { break };
            self.leave_if_quiet(stage, leg);
        }
        self.some_at = (!self.leaving.is_empty()).then_some(stage.now + PACE);
    }

    /// Tells of some of the chats that a restart has found.
    pub(super) fn bury_some(&mut self, stage: &mut Stage<'_>) {
        for (link, key, record) in self.orphans.take(stage) {
            if let Some(link) = link {
                bury(stage, link, &key, &record);
            }
            self.forgetting.forget(stage, key.to_bytes());
        }
    }
}

fn face(refusal: &Refusal, no_sessions: bool) -> (StanzaError, u16, bool) {
    (refusal.stanza_error(), refusal.code(), no_sessions)
}

/// After a restart: the SIP user gets BYE, the XMPP user `gone`, or an error for what never left.
fn bury(stage: &mut Stage<'_>, link: LinkId, key: &Key, record: &record::Chat) {
    let with = |jid: &Jid, resource: &Option<String>| {
        resource.as_ref().and_then(|r| jid.with_resource(r).ok()).unwrap_or_else(|| jid.clone())
    };
    let (sip, xmpp) = (with(&key.sip, &record.device), with(&key.xmpp, &record.resource));
    if let Some(dialog) = record.dialog.clone() {
        stage.sessions(|sessions, ground| sessions.end_restored(ground, dialog));
    }
    let mut stanza = Stanza::message().with_type("chat");
    (stanza.from, stanza.to) = (Some(xmpp.clone()), Some(sip.clone()));
    for id in record.waiting.iter().flatten() {
        stanza.id = Some(Str::from(id));
        if let Some(error) = stanza.error(&Refusal::Restarted.stanza_error()) {
            stage.answer(link, &error);
        }
    }
    // Where something waits, the phone was still ringing: there was no session.
    if stage.config.chat.chat_states && record.dialog.is_some() && record.waiting.is_empty() {
        let gone = s2x::alone(&sip, &xmpp, &record.thread, ChatState::Gone, &stage.tokens.token(12));
        stage.answer(link, &gone);
    }
}
