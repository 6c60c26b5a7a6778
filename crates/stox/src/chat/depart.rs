//! What XMPP users say, on its way into sessions: RFC 7573 §4.

use super::Chats;
use super::talk::{Chat, Letter, Phase, States, Told};
use super::x2s::{self, Parties, Wish};
use crate::address::{self, Scheme};
use crate::choice::Way;
use crate::config::{LinkId, Mode};
use crate::content::departing::{self, Departing, Text};
use crate::content::payload::Payload;
use crate::content::{Disposition, identifiers};
use crate::error::{self, Refusal};
use crate::gateway::Note;
use crate::leg::{Call, LegId, Outgoing};
use crate::mapping::{Side, Stage};
use base::Str;
use msrp::{FailureReport, MessageId};
use sip::{Name, NameAddr, Response, SipUri, Uri};
use xmpp::ext::chatstates::ChatState;
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

/// What a letter takes besides its words.
const ENVELOPE: usize = 1024;

impl Chats {
    /// Words: they go into the chat that they belong to, or open one.
    pub(super) fn words(&mut self, stage: &mut Stage<'_>, link: LinkId, stanza: Stanza, text: &Text) {
        let refused = match (&stanza.from, &stanza.to) {
            (Some(from), Some(_)) => stage.rate(from),
            _ => Ok(()),
        };
        if let Err(refusal) = refused {
            return stage.refuse_stanza(link, &stanza, &refusal);
        }
        // All of it is kept.
        let weight = ENVELOPE + stanza.elements().map(xml::Element::weight).sum::<usize>();
        self.post(stage, link, Letter { stanza, since: stage.now, weight, again: false, astray: false }, text);
    }

    /// The same words once more, as they never left: into another session, or alone where sessions are refused by now.
    pub(super) fn again(&mut self, stage: &mut Stage<'_>, link: LinkId, letter: Letter) {
        let to = letter.stanza.to.as_ref();
        let alone = to.is_some_and(|to| {
            stage.config.chat_mode(to.domain()) == Mode::Auto && stage.choice.has_refused(stage.now, to)
        });
        if alone {
            return stage.send_as(Way::Message, link, letter.stanza);
        }
        match departing::read(&letter.stanza) {
            Departing::Message(text) => self.post(stage, link, Letter { again: true, ..letter }, &text),
            Departing::State(_) | Departing::Receipt { .. } | Departing::Nothing => {}
        }
    }

    fn post(&mut self, stage: &mut Stage<'_>, link: LinkId, letter: Letter, text: &Text) {
        let limits = &stage.config.limits;
        let overload = Refusal::Overload { retry_after: limits.retry_after };
        if self.letters >= limits.queued || self.bytes + letter.weight > limits.queued_bytes {
            return stage.refuse_stanza(link, &letter.stanza, &overload);
        }
        let (Some(from), Some(wanted)) = (letter.stanza.from.clone(), letter.stanza.to.clone()) else { return };
        let to = if letter.astray { wanted.bare() } else { wanted.clone() };
        let thread = super::thread_of(&letter.stanza);
        let found = self.find(&from, &to, thread.as_deref()).or_else(|| self.when_full(&from, &to));
        let leg = match found {
            Some(leg) => leg,
            None => match self.call(stage, link, &from, &to, thread, text) {
                Ok(leg) => leg,
                Err(refusal) => return stage.refuse_stanza(link, &letter.stanza, &refusal),
            },
        };
        self.used += 1;
        let used = self.used;
        let Some(chat) = self.chats.get_mut(&leg) else { return };
        if letter.astray {
            chat.absent = wanted.resource().map(Str::from);
        }
        chat.used = used;
        chat.last = stage.now;
        if let Some(thread) = super::thread_of(&letter.stanza).filter(|thread| !chat.has_thread(thread)) {
            chat.alias = Some(thread);
        }
        chat.states = match (text.state, chat.states) {
            (Some(_), _) | (None, States::Known) => States::Known,
            (None, States::Unknown | States::Unwanted) => States::Unwanted,
        };
        let locked = chat.xmpp != from;
        chat.xmpp = from;
        if chat.phase != Phase::Open {
            if chat.waiting.len() >= limits.queue_per_pair {
                return stage.refuse_stanza(link, &letter.stanza, &overload);
            }
            self.letters += 1;
            self.bytes += letter.weight;
            chat.waiting.push_back(letter);
            // So that its sender hears of it should the process die.
            self.save(stage, leg);
        } else {
            self.send(stage, leg, letter, text);
            if locked {
                self.save(stage, leg);
            }
        }
    }

    /// Where there are too many chats of a pair, the last one serves.
    fn when_full(&self, from: &Jid, to: &Jid) -> Option<LegId> {
        let there = || self.of_pair(from, to).filter(|(_, chat)| chat.phase.takes_words());
        if there().count() < self.options.sessions_per_pair {
            return None;
        }
        there().max_by_key(|(_, chat)| chat.used).map(|(leg, _)| leg)
    }

    /// Asks the SIP user for a session: RFC 7573 Example 2.
    fn call(
        &mut self,
        stage: &mut Stage<'_>,
        link: LinkId,
        from: &Jid,
        to: &Jid,
        thread: Option<Str>,
        text: &Text,
    ) -> Result<LegId, Refusal> {
        if self.chats.len() >= self.options.sessions {
            return Err(Refusal::Overload { retry_after: stage.config.limits.retry_after });
        }
        let voice = stage.voice(from, to)?;
        let remote = stage.config.numbers.to_uri(to).map_err(Refusal::Address)?;
        let way = stage.route(from, &remote)?;
        let contact = stage.contact(&voice.contact, way.transport);
        // Two dialogs at one time have two Call-IDs, whatever the threads are.
        let free = |thread: &Str| self.of_pair(from, to).all(|(_, chat)| chat.thread != *thread);
        let thread = thread.filter(free).filter(|t| identifiers::call_id_of_thread(t).is_some());
        let thread = thread.unwrap_or_else(|| stage.tokens.token(26));
        let call = Call {
            local: NameAddr::new(voice.from),
            remote: Uri::from(remote),
            contact: NameAddr::new(contact),
            hop: way.hop,
            route: way.route,
            call_id: identifiers::call_id_of_thread(&thread),
            headers: vec![(Name::Subject, x2s::subject(text, &from.bare().to_string()))],
            ring: self.options.ring,
            chatroom: None,
        };
        let leg = stage.legs(|legs, footing| legs.invite(footing, call))?;
        let record = stage.tokens.token(12);
        self.enter(leg, Chat::new(to.clone(), from.clone(), link, thread, Side::Xmpp, record, stage.now));
        Ok(leg)
    }

    /// Sends a letter into an open session.
    pub(super) fn send(&mut self, stage: &mut Stage<'_>, leg: LegId, letter: Letter, text: &Text) {
        let Some(chat) = self.chats.get_mut(&leg) else { return };
        let link = chat.link;
        if chat.flying.len() >= stage.config.limits.queue_per_pair {
            let refusal = Refusal::Overload { retry_after: stage.config.limits.retry_after };
            return stage.refuse_stanza(link, &letter.stanza, &refusal);
        }
        match enclose(stage, &self.options, chat, leg, &letter.stanza, text) {
            Ok((message, told)) => {
                // A message ends composing (RFC 3994 §3.2).
                chat.said_composing = None;
                if let Some(told) = told {
                    chat.tell(Told { message: message.clone(), ..told });
                }
                self.letters += 1;
                self.bytes += letter.weight;
                chat.flying.push_back((message, letter));
            }
            Err(refusal) => stage.refuse_stanza(link, &letter.stanza, &refusal),
        }
    }

    /// Both sides have described the session: what has waited goes out.
    pub(super) fn opened(&mut self, stage: &mut Stage<'_>, leg: LegId, response: Option<&Response>) {
        let Some(chat) = self.chats.get_mut(&leg) else { return };
        if chat.phase == Phase::Inviting {
            chat.phase = Phase::Open;
        }
        if let Some(response) = response {
            chat.sip = stage.with_device(&chat.sip, &response.headers);
            stage.choice.takes(&chat.sip);
        }
        for letter in std::mem::take(&mut chat.waiting) {
            self.drop_letter(&letter);
            if let Departing::Message(text) = departing::read(&letter.stanza) {
                self.send(stage, leg, letter, &text);
            }
        }
        self.save(stage, leg);
        self.leave_if_quiet(stage, leg);
    }

    /// The SIP side has taken a message.
    pub(super) fn sent(&mut self, stage: &mut Stage<'_>, leg: LegId, message: &MessageId) {
        let Some(chat) = self.chats.get_mut(&leg) else { return };
        let Some(letter) = chat.landed(message) else { return };
        chat.messages += 1;
        self.drop_letter(&letter);
        stage.note(Note::Delivered { to: Side::Sip, micros: stage.now.since(letter.since).as_micros() as u64 });
        self.leave_if_quiet(stage, leg);
    }

    /// The SIP side has not taken a message.
    pub(super) fn undelivered(&mut self, stage: &mut Stage<'_>, leg: LegId, message: &MessageId, why: msrp::Failure) {
        let Some(chat) = self.chats.get_mut(&leg) else { return };
        let link = chat.link;
        chat.told.retain(|told| told.message != *message);
        if why == msrp::Failure::NeverSent {
            // The session is about to end: it is tried in another one then, behind what waits before it.
            if let Some(letter) = chat.landed(message) {
                chat.unsent.push_back(letter);
            }
            return;
        }
        let Some(letter) = chat.landed(message) else { return };
        self.drop_letter(&letter);
        let refusal = error::undelivered(why);
        Self::fail(stage, link, &letter, &refusal.stanza_error(), refusal.code());
        if matches!(why, msrp::Failure::Code(481 | 506) | msrp::Failure::Timeout) {
            // The other side knows nothing of the session (RFC 4975 §10.5), or does not answer in it.
            stage.legs(|legs, footing| legs.give_up(footing, leg));
        } else {
            self.leave_if_quiet(stage, leg);
        }
    }

    /// A chat state alone: Table 4; `gone` ends the session (§6.1).
    pub(super) fn state(&mut self, stage: &mut Stage<'_>, stanza: &Stanza, state: ChatState) {
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else { return };
        let found = self.find(from, to, super::thread_of(stanza).as_deref());
        let Some((leg, chat)) = found.and_then(|leg| Some((leg, self.chats.get_mut(&leg)?))) else { return };
        chat.states = States::Known;
        // What no person has written is not worth an error.
        if state != ChatState::Gone && stage.rate(from).is_err() {
            return;
        }
        if state == ChatState::Gone {
            chat.phase = Phase::Leaving;
            return self.leave_if_quiet(stage, leg);
        }
        let composing = state == ChatState::Composing;
        if chat.phase != Phase::Open || !self.options.chat_states || chat.said_composing == Some(composing) {
            return;
        }
        chat.said_composing = Some(composing);
        let (Ok(speaker), Ok(listener)) = (stage.known_as(&chat.xmpp, &chat.sip), uri(&chat.sip)) else { return };
        let parties = Parties { from: &speaker, to: &listener, now: stage.wall() };
        let payload = stage.legs(|legs, footing| {
            legs.accepts(leg).and_then(|accept| x2s::state(state, accept, parties, footing.tokens))
        });
        if let Some(payload) = payload {
            notice(stage, leg, payload);
        }
    }

    /// What became of a message of the SIP user: §7, and RFC 5438 where its wrapper asked.
    pub(super) fn receipt(&mut self, stage: &mut Stage<'_>, stanza: &Stanza, id: &str, what: Disposition) {
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else { return };
        let Some(leg) = self.owing(from, to, id) else { return };
        let Some(chat) = self.chats.get_mut(&leg) else { return };
        let (Ok(speaker), Ok(listener)) = (stage.known_as(&chat.xmpp, &chat.sip), uri(&chat.sip)) else { return };
        let Some(at) = chat.owed.iter().position(|owed| owed.stanza_id == id) else { return };
        let owed = &mut chat.owed[at];
        if std::mem::take(&mut owed.success) {
            let (message, total) = (owed.message.clone(), owed.total);
            stage.legs(|legs, footing| legs.report(footing, leg, &message, total, 200));
        }
        let owed = &mut chat.owed[at];
        let Some(wanted) = &mut owed.imdn else { return };
        if !wanted.take(what) {
            return;
        }
        let wanted = wanted.clone();
        let parties = Parties { from: &speaker, to: &listener, now: stage.wall() };
        let payload = stage.legs(|legs, footing| {
            legs.accepts(leg).and_then(|accept| x2s::notification(&wanted, what, accept, parties, footing.tokens))
        });
        if let Some(payload) = payload {
            notice(stage, leg, payload);
        }
    }

    /// The XMPP user has gone, or the gateway is to end: the session ends when nothing of that user is on its way any more.
    pub(super) fn leave_if_quiet(&mut self, stage: &mut Stage<'_>, leg: LegId) {
        let leaving = |phase| self.draining && phase != Phase::Inviting || phase == Phase::Leaving;
        if self.chats.get(&leg).is_some_and(|chat| leaving(chat.phase) && chat.is_quiet()) {
            stage.legs(|legs, footing| legs.end(footing, leg));
        }
    }
}

/// Sends what no person has written: nobody is told should it not arrive.
fn notice(stage: &mut Stage<'_>, leg: LegId, payload: Payload) {
    let message = Outgoing {
        content_type: payload.content_type.into(),
        body: payload.body.into(),
        success_report: false,
        failure_report: FailureReport::No,
    };
    let _ = stage.legs(|legs, footing| legs.send(footing, leg, message));
}

/// Puts a text into the form that the other side takes, and sends it.
fn enclose(
    stage: &mut Stage<'_>,
    options: &super::Options,
    chat: &Chat,
    leg: LegId,
    stanza: &Stanza,
    text: &Text,
) -> Result<(MessageId, Option<Told>), Refusal> {
    let from = stanza.from.as_ref().ok_or(Refusal::BadRequest("from is missing"))?;
    let (speaker, listener) =
        (stage.known_as(from, &chat.sip).map_err(Refusal::Sender)?, uri(&chat.sip).map_err(Refusal::Address)?);
    let parties = Parties { from: &speaker, to: &listener, now: stage.wall() };
    let message_id = stanza.id.as_deref().and_then(identifiers::message_id_of_id);
    let id = stanza.id.as_deref().filter(|id| id.len() <= super::LONGEST);
    let delivery = text.receipt && options.receipts && id.is_some();
    let display = text.markable && options.receipts && message_id.is_some();
    let wish = Wish { message_id: message_id.as_deref(), display };
    let failure_report = if options.failure_reports { FailureReport::Yes } else { FailureReport::No };
    let retry_after = stage.config.limits.retry_after;
    let message = stage.legs(|legs, footing| {
        let accept = legs.accepts(leg).ok_or(Refusal::NotSupported)?;
        let payload = x2s::text(text, accept, parties, wish, footing.tokens)?;
        let limit = legs.max_size(leg).map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        if payload.body.len() > limit {
            return Err(Refusal::TooLong { limit });
        }
        let message = Outgoing {
            content_type: payload.content_type.into(),
            body: payload.body.into(),
            success_report: delivery,
            failure_report,
        };
        legs.send(footing, leg, message).map_err(|why| match why {
            msrp::Refused::Full | msrp::Refused::Gone | msrp::Refused::Malformed => Refusal::Overload { retry_after },
            msrp::Refused::TooLarge => Refusal::TooLong { limit },
        })
    })?;
    let told = (delivery || display).then(|| Told {
        message: message.clone(),
        imdn: message_id,
        envelope: stanza.envelope(),
        delivery,
        display,
    });
    Ok((message, told))
}

fn uri(jid: &Jid) -> Result<SipUri, address::AddressError> {
    address::to_uri(jid, Scheme::Sip)
}
