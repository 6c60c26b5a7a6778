//! What is known of a session.

use super::nicknames::Nicknames;
use super::value::{ConnectionId, End, Event, Failure, Fingerprint, MessageId, Peer, SessionId, Ticket};
use crate::chunk::{Assembly, Ranges};
use crate::frame::{FailureReport, Request};
use crate::relay::Login;
use crate::uri::Path;
use base::{Str, Time};
use bytes::Bytes;
use std::collections::VecDeque;

/// How far a session has come.
#[derive(Debug)]
pub(super) enum State {
    /// The connection to the relay is being made.
    Reaching(Ticket),
    /// The relay was asked for a path.
    Authorizing,
    /// The local path is known; the other end is not.
    Ready,
    /// Our connection to the other end is being made.
    Connecting(Ticket),
    /// The other end is to connect.
    Waiting,
    /// Both ends and the connection are known.
    Up,
}

/// A session. Whatever can be absent in one that is idle is behind a pointer or a queue that holds no memory.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) state: State,
    /// Our URI.
    pub(super) own: Path,
    /// The other end as the messages name it, our relay before it.
    pub(super) peer: Option<Path>,
    /// The largest message that the other end takes.
    pub(super) peer_max: u64,
    /// In the states up and authorizing; with a relay in those between, too.
    pub(super) connection: Option<ConnectionId>,
    /// When what the state waits for must have come.
    pub(super) until: Option<Time>,
    /// Where the session stands in the queue of deadlines.
    pub(super) queued: Option<Time>,
    /// The certificates one of which the other end is to show; none: any, or none, will do.
    pub(super) certificates: Option<Box<[Fingerprint]>>,
    /// With a relay.
    pub(super) login: Option<Box<Login>>,
    /// Requests that came before the other end was known.
    pub(super) early: Vec<(ConnectionId, Request)>,
    pub(super) outbox: Outbox,
    /// NICKNAMEs of ours that are not answered.
    pub(super) nicknames: Option<Box<Nicknames>>,
    pub(super) inbox: Inbox,
}

impl Session {
    pub(super) fn new(id: SessionId, own: Path) -> Session {
        Session {
            id,
            state: State::Ready,
            own,
            peer: None,
            peer_max: u64::MAX,
            connection: None,
            until: None,
            queued: None,
            certificates: None,
            login: None,
            early: Vec::new(),
            outbox: Outbox::default(),
            nicknames: None,
            inbox: Inbox::default(),
        }
    }

    /// What goes into SDP (RFC 4976 §5.1: the relays in the opposite order of their use).
    pub(super) fn local_path(&self) -> Path {
        match self.login.as_ref().and_then(|login| login.use_path()) {
            Some(relays) => relays.reversed().then(&self.own),
            None => self.own.clone(),
        }
    }

    /// Sets the other end.
    pub(super) fn set_peer(&mut self, peer: &Peer) {
        self.peer = Some(match self.login.as_ref().and_then(|login| login.use_path()) {
            Some(relays) => relays.then(&peer.path),
            None => peer.path.clone(),
        });
        self.peer_max = peer.max_size.unwrap_or(u64::MAX);
    }

    /// When something is to be done next.
    pub(super) fn deadline(&self) -> Option<Time> {
        let refresh = self.login.as_ref().and_then(|login| login.refresh_at());
        let answer = self.outbox.transactions.front().map(|t| t.deadline);
        let nickname = self.nicknames.as_ref().and_then(|nicknames| nicknames.deadline());
        let partial = self.inbox.partial.iter().map(|p| p.until).min();
        [self.until, refresh, answer, nickname, partial].into_iter().flatten().min()
    }
}

/// A message of ours on its way.
#[derive(Debug)]
pub(super) struct Outbound {
    pub(super) message_id: MessageId,
    pub(super) content_type: Str,
    pub(super) headers: Vec<(Str, Str)>,
    /// Empty once all of it is written.
    pub(super) body: Bytes,
    pub(super) size: usize,
    /// Bytes that are written.
    pub(super) written: usize,
    /// Chunks without an answer.
    pub(super) unanswered: u32,
    pub(super) success_report: bool,
    pub(super) failure_report: FailureReport,
    /// The layer above knows what became of it.
    pub(super) ended: bool,
}

/// A chunk without an answer.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) id: Str,
    /// The message, by its number in the session. `None`: the first word to the other end, without a message.
    pub(super) message: Option<u64>,
    pub(super) cost: usize,
    pub(super) deadline: Time,
}

/// A message of which reports are expected.
#[derive(Debug)]
pub(super) struct Awaited {
    /// Stands for the Message-ID.
    pub(super) name: u64,
    pub(super) total: u64,
    pub(super) reported: Ranges,
}

/// What of ours is under way. In an idle session it holds no memory but for the names of a few messages.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Not ended, in their order; of the first ones all is written.
    pub(super) messages: VecDeque<Outbound>,
    /// The number of the first of them.
    pub(super) first: u64,
    /// How many of them are written.
    pub(super) written: usize,
    /// In the order of their deadlines.
    pub(super) transactions: VecDeque<Transaction>,
    /// What the transactions cost.
    pub(super) unanswered: usize,
    /// What the messages that wait will cost.
    pub(super) waiting: usize,
    /// Messages that asked for success reports.
    pub(super) awaited: VecDeque<Awaited>,
    /// The names of the last others, of which failures may be reported.
    pub(super) told: VecDeque<u64>,
}

impl Outbox {
    /// The message of this number, unless it has ended.
    pub(super) fn message(&mut self, number: u64) -> Option<&mut Outbound> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.messages.get_mut(place).filter(|message| !message.ended)
    }

    /// Forgets the first messages that have ended, and gives memory back.
    pub(super) fn tidy(&mut self) {
        while self.written > 0 && self.messages.front().is_some_and(|message| message.ended) {
            self.messages.pop_front();
            self.first += 1;
            self.written -= 1;
        }
        if self.messages.is_empty() && self.messages.capacity() > 0 {
            self.messages = VecDeque::new();
        }
        if self.transactions.is_empty() && self.transactions.capacity() > 0 {
            self.transactions = VecDeque::new();
        }
        if self.awaited.is_empty() && self.awaited.capacity() > 0 {
            self.awaited = VecDeque::new();
        }
    }

    /// The last words on all messages, in their order.
    pub(super) fn abandon(self, id: SessionId) -> impl Iterator<Item = Event> {
        let written = self.written;
        let unended = self.messages.into_iter().enumerate().filter(|(_, message)| !message.ended);
        unended.map(move |(place, message)| {
            let why = if place < written || message.written > 0 { Failure::Lost } else { Failure::NeverSent };
            Event::Failed { id, message_id: message.message_id, why }
        })
    }
}

/// A message of which parts are missing.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) assembly: Assembly,
    pub(super) failure_report: FailureReport,
    pub(super) until: Time,
}

/// A request that waits for the layer above.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) number: u32,
    pub(super) transaction: Str,
    /// A SEND's answer goes to the hop before, others' all the way back.
    pub(super) send: bool,
    pub(super) failure_report: FailureReport,
    /// Stands for the message.
    pub(super) name: u64,
}

/// What comes in. In an idle session it holds no memory but for the names of a few messages.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub(super) partial: Vec<Partial>,
    pub(super) held: VecDeque<Held>,
    pub(super) last: u32,
    /// The names of the last messages.
    pub(super) seen: VecDeque<u64>,
}

/// Why a session is to end. `None`: it goes on.
pub(super) type Verdict = Option<End>;
