//! One chat: a session between a resource of an XMPP user and a device of a SIP user, and what is on its way in it.

use super::s2x;
use crate::config::LinkId;
use crate::content::{Disposition, Wanted};
use crate::mapping::Side;
use base::{Str, Time, Tokens};
use msrp::MessageId;
use std::collections::VecDeque;
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

/// How many messages of a chat are remembered whose reports may still come, in each direction; the oldest are forgotten.
const REMEMBERED: usize = 32;

/// What an XMPP user has written.
#[derive(Debug)]
pub(super) struct Letter {
    /// All of it: it may have to be sent once more, in another way.
    pub(super) stanza: Stanza,
    pub(super) since: Time,
    /// What it takes.
    pub(super) weight: usize,
    /// It was in a session already that ended before any of it left.
    pub(super) again: bool,
    /// The device that it is for is not there: it is for the user.
    pub(super) astray: bool,
}

/// A message to the SIP user that its sender wants to hear of.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) message: MessageId,
    /// The imdn.Message-ID, where it went in a CPIM wrapper.
    pub(super) imdn: Option<Str>,
    /// The stanza without its content.
    pub(super) envelope: Stanza,
    pub(super) delivery: bool,
    pub(super) display: bool,
}

impl Told {
    /// The stanza that tells it, if it was asked for; each is told once.
    pub(super) fn answer(&mut self, sip: &Jid, what: Disposition, tokens: &mut Tokens) -> Option<Stanza> {
        let asked = what.of(&mut self.delivery, &mut self.display);
        let (to, id) = (self.envelope.from.as_ref()?, self.envelope.id.as_ref()?);
        asked.then(|| s2x::told(sip, to, self.envelope.type_.as_ref(), id, what, &tokens.token(12)))
    }
}

/// A message to the XMPP user that its sender wants to hear of.
#[derive(Debug)]
pub(super) struct Owed {
    pub(super) stanza_id: Str,
    pub(super) message: MessageId,
    pub(super) total: u64,
    /// A REPORT is wanted when it has arrived, or when it has not.
    pub(super) success: bool,
    pub(super) failure: bool,
    /// What its CPIM wrapper asks for.
    pub(super) imdn: Option<Wanted>,
}

/// Whether the XMPP user's program knows chat states (XEP-0085 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum States {
    /// It has said nothing yet.
    Unknown,
    /// It has sent one.
    Known,
    /// It has written without one: it is to get none.
    Unwanted,
}

/// Where a chat is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The SIP user was asked, or our path is not known yet: what is written waits.
    Inviting,
    /// Messages go both ways.
    Open,
    /// The SIP user has hung up: what is on its way may have been answered.
    Ending,
    /// The XMPP user has gone: it ends as soon as nothing is on its way.
    Leaving,
}

/// A chat.
#[derive(Debug)]
pub(super) struct Chat {
    /// The SIP user; with the resource that stands for the device, once that is known.
    pub(super) sip: Jid,
    /// The XMPP user; with the resource that speaks, once one has.
    pub(super) xmpp: Jid,
    pub(super) link: LinkId,
    /// RFC 7573: the thread is the Call-ID.
    pub(super) thread: Str,
    /// The thread that the XMPP user's program has made up instead.
    pub(super) alias: Option<Str>,
    pub(super) opened_by: Side,
    pub(super) phase: Phase,
    pub(super) since: Time,
    /// When anybody has said anything.
    pub(super) last: Time,
    /// Grows with each use by the XMPP user, over all chats.
    pub(super) used: u64,
    pub(super) waiting: VecDeque<Letter>,
    /// What was to be sent and never left: it goes before what waits.
    pub(super) unsent: VecDeque<Letter>,
    pub(super) flying: VecDeque<(MessageId, Letter)>,
    pub(super) told: VecDeque<Told>,
    pub(super) owed: VecDeque<Owed>,
    pub(super) states: States,
    /// Until when the SIP user counts as composing (RFC 3994 §3.3).
    pub(super) composing: Option<Time>,
    /// When the chat is looked at next.
    pub(super) armed: Option<Time>,
    /// Whether the SIP user was told that the XMPP user is composing.
    pub(super) said_composing: Option<bool>,
    /// Messages of the SIP user that wait for the XMPP server.
    pub(super) held: usize,
    /// A device of the SIP user that was asked for and is not there: this chat is what there is instead.
    pub(super) absent: Option<Str>,
    /// Messages in both directions.
    pub(super) messages: u64,
    /// The id of its record.
    pub(super) record: Str,
    /// Whether there is one.
    pub(super) saved: bool,
}

impl Phase {
    /// Whether something more can be said.
    pub(super) fn takes_words(self) -> bool {
        match self {
            // What is said while it ends goes on in the next one, behind what never left.
            Phase::Inviting | Phase::Open | Phase::Ending => true,
            Phase::Leaving => false,
        }
    }
}

impl Chat {
    /// One that begins.
    pub(super) fn new(sip: Jid, xmpp: Jid, link: LinkId, thread: Str, opened_by: Side, record: Str, now: Time) -> Chat {
        Chat {
            sip,
            xmpp,
            link,
            thread,
            alias: None,
            opened_by,
            phase: Phase::Inviting,
            since: now,
            last: now,
            used: 0,
            waiting: VecDeque::new(),
            unsent: VecDeque::new(),
            flying: VecDeque::new(),
            told: VecDeque::new(),
            owed: VecDeque::new(),
            states: States::Unknown,
            composing: None,
            armed: None,
            said_composing: None,
            held: 0,
            absent: None,
            messages: 0,
            record,
            saved: false,
        }
    }

    /// Whether a stanza of `from`, to `to`, in `thread`, belongs here by its thread.
    pub(super) fn has_thread(&self, thread: &str) -> bool {
        self.thread == thread || self.alias.as_deref() == Some(thread)
    }

    /// Whether `to` may mean the device of this chat.
    pub(super) fn is_with(&self, to: &Jid) -> bool {
        match (to.resource(), self.sip.resource()) {
            (Some(wanted), Some(there)) => wanted == there || self.absent.as_deref() == Some(wanted),
            (Some(_), None) | (None, _) => true,
        }
    }

    /// Whether nothing is on its way, either way.
    pub(super) fn is_quiet(&self) -> bool {
        self.waiting.is_empty() && self.flying.is_empty() && self.held == 0
    }

    /// The thread as the XMPP user knows it.
    pub(super) fn spoken_thread(&self) -> &str {
        match self.opened_by {
            // It may not have done as a Call-ID.
            Side::Xmpp => self.alias.as_deref().unwrap_or(&self.thread),
            Side::Sip => &self.thread,
        }
    }

    /// The letter that went out under this name.
    pub(super) fn landed(&mut self, message: &MessageId) -> Option<Letter> {
        let at = self.flying.iter().position(|(m, _)| m == message)?;
        self.flying.remove(at).map(|(_, letter)| letter)
    }

    /// Its sender wants to hear of it.
    pub(super) fn tell(&mut self, told: Told) {
        if self.told.len() == REMEMBERED {
            self.told.pop_front();
        }
        self.told.push_back(told);
    }

    /// Its sender wants to hear of it.
    pub(super) fn owe(&mut self, owed: Owed) {
        if self.owed.len() == REMEMBERED {
            self.owed.pop_front();
        }
        self.owed.push_back(owed);
    }

    /// When something is due: the end for want of words, or of composing.
    pub(super) fn due(&self, idle: std::time::Duration) -> Option<Time> {
        let idle = (!idle.is_zero()).then(|| self.last + idle);
        [idle, self.composing].into_iter().flatten().min()
    }
}
