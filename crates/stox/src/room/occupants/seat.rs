//! One place: an XMPP user's resource in a SIP conference, and what is on its way there and back.

use super::people::{Gone, People};
use crate::config::LinkId;
use crate::leg::LegId;
use crate::room::nickname::Nickname;
use base::{Fingerprint, Str, Time};
use bodies::Timestamp;
use bodies::conference::Conference;
use msrp::{MessageId, MessageToken};
use sip::subscription::UsageId;
use std::collections::VecDeque;
use xml::Element;
use xmpp::error::StanzaError;
use xmpp::ext::muc::{Destroy, History};
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

/// Names a place. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SeatId(pub(super) u64);

/// Where a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The focus was asked, or is to be.
    Inviting,
    /// It has accepted; the MSRP connection is being made.
    Connecting,
    /// The switch was asked for the nickname.
    Naming,
    /// The focus was asked who is there.
    Subscribing,
    /// The user is in the room.
    Inside,
    /// The focus has hung up, and may still say why.
    Parting,
    /// The user is out of the room; the rest is between the gateway and the focus.
    Leaving,
}

impl Phase {
    /// Whether the user can speak in the room.
    pub(super) fn takes_words(self) -> bool {
        match self {
            Phase::Inside => true,
            Phase::Inviting
            | Phase::Connecting
            | Phase::Naming
            | Phase::Subscribing
            | Phase::Parting
            | Phase::Leaving => false,
        }
    }
}

/// What an XMPP user has written.
#[derive(Debug)]
pub(super) struct Letter {
    /// All of it: to the room it is reflected.
    pub(super) stanza: Stanza,
    pub(super) since: Time,
    /// What it takes.
    pub(super) weight: usize,
}

/// A nickname that the switch was asked for.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) nick: Nickname,
    /// The presence that wants it, without its content; none where the gateway itself asks, as it is to be as before.
    pub(super) stanza: Option<Stanza>,
    /// The user has forgotten the room: all of it is told anew.
    pub(super) anew: bool,
}

/// How a place ends for the user.
#[derive(Debug)]
pub(super) enum End {
    /// The user has left, with these words.
    Left(Vec<Element>),
    /// The user does not come in.
    Refused(StanzaError),
    /// The focus does not want the user any more.
    Kicked(Gone),
    /// There is no conference any more.
    Destroyed(Destroy),
    /// Something on the way has failed.
    Lost,
    /// The gateway goes down.
    Shutdown,
}

/// What a message from the room waits in that comes before the user is in it.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) token: MessageToken,
    pub(super) message: Box<msrp::Incoming>,
}

/// A place.
#[derive(Debug)]
pub(super) struct Occupant {
    /// The XMPP user, with the resource.
    pub(super) user: Jid,
    /// The room.
    pub(super) room: Jid,
    pub(super) link: LinkId,
    pub(super) phase: Phase,
    /// The user was told of being in the room.
    pub(super) entered: bool,
    pub(super) since: Time,
    /// Until when what the phase waits for is waited for.
    pub(super) until: Option<Time>,
    /// When the place is looked at next.
    pub(super) armed: Option<Time>,
    /// The presence that wants in, without its content, to be answered if that fails.
    pub(super) join: Stanza,
    /// The nickname in it, as it stands there.
    pub(super) asked: Str,
    /// How much of the past the user wants to hear.
    pub(super) history: Option<History>,
    pub(super) leg: Option<LegId>,
    /// Since when there is a session.
    pub(super) open: Option<Time>,
    /// The session was lost, and the focus may yet say that it has ended it.
    pub(super) torn: bool,
    /// The last time when a session was lost and another one asked for, and the date of it.
    pub(super) again: Option<Time>,
    pub(super) lost: Option<Timestamp>,
    /// The date when the user came in.
    pub(super) came: Option<Timestamp>,
    /// What all could hear lately: a room that is entered once more may tell it again.
    pub(super) lately: VecDeque<Fingerprint>,
    /// The subscription to the conference.
    pub(super) usage: Option<UsageId>,
    /// When one that has failed is tried again, and how often it has failed.
    pub(super) retry: Option<Time>,
    pub(super) failures: u32,
    /// What the focus tells.
    pub(super) conference: Conference,
    /// What that takes.
    pub(super) weight: usize,
    /// What it calls the conference.
    pub(super) entity: Option<Str>,
    /// All that it tells next is to be compared with what the user was told.
    pub(super) fresh: bool,
    pub(super) people: People,
    /// The nickname that the user was told last.
    pub(super) shown: Nickname,
    pub(super) subject: Option<Str>,
    /// Who had a nickname until lately that is somebody else's now, and until when nothing private goes there.
    pub(super) vacated: VecDeque<(Nickname, Time)>,
    pub(super) wishes: VecDeque<Wish>,
    /// Wishes to the focus that are under way.
    pub(super) referring: usize,
    pub(super) flying: VecDeque<(MessageId, Letter)>,
    /// What the user has said to all lately: a switch may send it back.
    pub(super) echoes: VecDeque<Fingerprint>,
    pub(super) early: VecDeque<Early>,
    pub(super) early_bytes: usize,
    /// Messages of the room that wait for the XMPP server.
    pub(super) held: usize,
    /// The user has missed something, as the XMPP server could not be reached.
    pub(super) missed: bool,
    /// What is known of why the focus will hang up, or has.
    pub(super) why: Option<End>,
    pub(super) said: u64,
    pub(super) heard: u64,
    /// The id of its record.
    pub(super) record: Str,
    pub(super) saved: bool,
}

/// How many of the last messages are remembered, by which those are known that a switch tells again.
const LATELY: usize = 64;

/// How much of what a user has said is known when it comes back.
const ECHOES: usize = 32;

impl Occupant {
    /// Takes note of what the user says to all.
    pub(super) fn speaks(&mut self, words: Fingerprint) {
        if self.echoes.len() == ECHOES {
            self.echoes.pop_front();
        }
        self.echoes.push_back(words);
    }

    /// Takes note of what all could hear, which are the user's own words, too.
    pub(super) fn hears(&mut self, words: Fingerprint) {
        if self.lately.len() == LATELY {
            self.lately.pop_front();
        }
        self.lately.push_back(words);
    }

    /// Whether this, of that date, is told again after a session was lost. Each of two of one kind is told once; and what was said before the user
    /// came is nothing new.
    pub(super) fn was_heard(&mut self, words: Fingerprint, date: Timestamp) -> bool {
        if self.lost.is_none_or(|lost| date.unix() > lost.unix()) {
            return false;
        }
        let at = self.lately.iter().position(|heard| *heard == words);
        let heard = at.and_then(|at| self.lately.remove(at)).is_some();
        heard || self.came.is_some_and(|came| date.unix() < came.unix())
    }

    /// Whether this comes back of what the user has said. Once.
    pub(super) fn is_echo(&mut self, words: Fingerprint) -> bool {
        let at = self.echoes.iter().position(|said| *said == words);
        at.and_then(|at| self.echoes.remove(at)).is_some()
    }

    /// The user's address in the room.
    pub(super) fn own(&self) -> Jid {
        self.address(self.people.nick())
    }

    /// Somebody's address in the room. A nickname is a resource, too.
    pub(super) fn address(&self, nick: &Nickname) -> Jid {
        self.room.with_resource(nick.as_str()).unwrap_or_else(|_| self.room.clone())
    }

    /// The letter that went out under this name.
    pub(super) fn landed(&mut self, message: &MessageId) -> Option<Letter> {
        let at = self.flying.iter().position(|(m, _)| m == message)?;
        self.flying.remove(at).map(|(_, letter)| letter)
    }

    /// When something is due.
    pub(super) fn due(&self) -> Option<Time> {
        [self.until, self.retry].into_iter().flatten().min()
    }
}
