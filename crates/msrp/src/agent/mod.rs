//! Sessions (RFC 4975 §5-§8), of one shard. One call, then [`Agent::poll`] until it gives nothing; [`Agent::timeout`] when
//! [`Agent::deadline`] has come.
//!
//! A session has its own unguessable URI. The first connection over which the other end speaks, with our URI and its own, is the session's;
//! any other is refused. What goes out waits for a place in a window, and in the end each message was sent or has failed, once.

mod incoming;
mod nicknames;
mod outgoing;
mod relaying;
mod session;
#[cfg(test)]
mod tests;
mod value;

pub use value::{
    Advertised, Config, ConnectionId, Counts, End, Event, Failure, Fingerprint, Hop, Incoming, MessageId, MessageToken,
    NotOpened, Outgoing, Output, Peer, Refused, Relay, RequestId, SessionId, Ticket, Tls, Way,
};

use crate::decoder::Arrival;
use crate::frame::{self, ByteRange, Frame, Method, Request, Response};
use crate::relay::{Challenge, Login};
use crate::uri::Path;
use base::{HashKey, Table, Time, Tokens};
use bytes::BytesMut;
use session::{Session, State, Verdict};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Characters of a session-id behind the shard's: 130 random bits.
const SESSION: usize = 26;
/// Frames for one connection are written together up to this many bytes.
const TOGETHER: usize = 32 << 10;

/// All sessions of a shard.
#[derive(Debug)]
pub struct Agent {
    /// Boxed, as a table has room for more than it holds.
    sessions: Table<SessionId, Box<Session>>,
    last: u64,
    core: Core,
}

/// An output that is still being made.
#[derive(Debug)]
enum Pending {
    Write(ConnectionId, BytesMut),
    Other(Output),
}

/// What all sessions share.
#[derive(Debug)]
struct Core {
    config: Config,
    key: HashKey,
    tokens: Tokens,
    /// Sessions by what stands for their session-ids.
    by_name: Table<u128, SessionId>,
    tickets: Table<Ticket, SessionId>,
    last_ticket: u64,
    last_request: u64,
    /// The connections over TLS, and what is known of the certificates that their other ends have shown.
    secured: BTreeMap<ConnectionId, Arc<[Fingerprint]>>,
    /// Who is to be told when a connection is lost.
    on: BTreeSet<(ConnectionId, SessionId)>,
    /// A set and no heap, so that nothing stays of a session that has ended.
    due: BTreeSet<(Time, SessionId)>,
    /// What the relay last wanted to see.
    challenge: Option<Challenge>,
    outputs: VecDeque<Pending>,
    counts: Counts,
}

impl Agent {
    /// An agent without sessions.
    pub fn new(config: Config, mut tokens: Tokens) -> Agent {
        let key = HashKey::new(tokens.u64(), tokens.u64());
        let core = Core {
            key,
            tokens,
            by_name: Table::new(key),
            tickets: Table::new(key),
            // One that takes another one's place must not take that one's connections for its own.
            last_ticket: key.fingerprint(&[b"tickets"]).bits() as u64 >> 9,
            last_request: 0,
            secured: BTreeMap::new(),
            on: BTreeSet::new(),
            due: BTreeSet::new(),
            challenge: None,
            outputs: VecDeque::new(),
            counts: Counts::default(),
            config,
        };
        Agent { sessions: Table::new(key), last: 0, core }
    }

    /// Takes new bounds and times. What is under way goes on by those that it began with; the shard stays what it is.
    pub fn reconfigure(&mut self, config: Config) {
        self.core.config = Config { shard: self.core.config.shard, ..config };
    }

    /// A new session. [`Event::Ready`] comes when its path is known: at once, or when the relay has given one.
    ///
    /// # Errors
    /// [`NotOpened`]; then there is none.
    pub fn open(&mut self, now: Time, secure: bool) -> Result<SessionId, NotOpened> {
        let core = &mut self.core;
        if self.sessions.len() >= core.config.max_sessions {
            return Err(NotOpened::Full);
        }
        let advertised = core.config.advertise.iter().find(|a| a.secure == secure).ok_or(NotOpened::NoAddress)?;
        let name = base::format_compact!("{:02x}{}", core.config.shard, core.tokens.token(SESSION));
        let own = Path::of_session(secure, &advertised.host, advertised.port, &name);
        let own = own.map_err(|_| NotOpened::NoAddress)?;
        self.last += 1;
        let id = SessionId(self.last);
        let mut session = Box::new(Session::new(id, own));
        core.by_name.insert(core.name128(&name), id);
        match core.config.relay.as_ref().map(|relay| relay.hop.clone()) {
            None => core.tell(Event::Ready { id }),
            Some(hop) => {
                session.login = Some(Box::new(Login::default()));
                session.until = Some(now + core.config.bind_within);
                session.state = State::Reaching(core.connect(id, hop));
            }
        }
        core.arm(&mut session);
        self.sessions.insert(id, session);
        Ok(id)
    }

    /// The path for `a=path`. `None` for a session that is no more, or before [`Event::Ready`].
    pub fn local_path(&self, id: SessionId) -> Option<Path> {
        let session = self.sessions.get(&id)?;
        match session.state {
            State::Reaching(_) | State::Authorizing => None,
            State::Ready | State::Connecting(_) | State::Waiting | State::Up => Some(session.local_path()),
        }
    }

    /// Whoever makes the session's connection is to show a certificate with one of these hashes (RFC 4975 §14.4). To be said before
    /// [`Agent::begin`]; of none nothing is asked. A session over TLS takes no connection without TLS in any case.
    pub fn expect(&mut self, id: SessionId, certificates: Vec<Fingerprint>) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.certificates = (!certificates.is_empty()).then(|| certificates.into());
        }
    }

    /// A connection is over TLS, and its other end has shown a certificate with these hashes: one certificate, by several functions; none:
    /// it has shown none. To be said before anything that comes over it.
    pub fn secured(&mut self, connection: ConnectionId, certificate: Arc<[Fingerprint]>) {
        self.core.secured.insert(connection, certificate);
    }

    /// Tells a session that is ready who its other end is. Nothing happens where that is known already.
    pub fn begin(&mut self, now: Time, id: SessionId, peer: &Peer) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if !matches!(session.state, State::Ready) {
            return;
        }
        session.set_peer(peer);
        let early = std::mem::take(&mut session.early);
        if session.connection.is_some() {
            // The relay's.
            session.state = State::Up;
            self.core.tell(Event::Up { id });
            self.first_word(now, id, matches!(peer.way, Way::Active(_)));
        } else {
            session.state = State::Waiting;
            session.until = Some(now + self.core.config.bind_within);
        }
        for (connection, request) in early {
            self.unlearn(connection, id);
            self.request_came(now, connection, request);
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if let (State::Waiting, Way::Active(hop)) = (&session.state, &peer.way) {
            session.state = State::Connecting(self.core.connect(id, hop.clone()));
        }
        self.core.arm(session);
    }

    /// The other end has another `a=max-size` now.
    pub fn resize(&mut self, id: SessionId, max_size: Option<u64>) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.peer_max = max_size.unwrap_or(u64::MAX);
        }
    }

    /// Sends a message, as soon as there is a connection and room in the window; what is sent before [`Agent::begin`] waits. In the end
    /// [`Event::Sent`] or [`Event::Failed`] comes, once.
    ///
    /// # Errors
    /// [`Refused`]; then it was not taken.
    pub fn send(&mut self, now: Time, id: SessionId, outgoing: Outgoing) -> Result<MessageId, Refused> {
        let session = self.sessions.get_mut(&id).ok_or(Refused::Gone)?;
        let message_id = outgoing::queue(session, &mut self.core, outgoing)?;
        outgoing::pump(session, &mut self.core, now, false);
        self.core.arm(session);
        Ok(message_id)
    }

    /// Asks for a nickname, for none with an empty one (RFC 7701 §7): as soon as there is a connection and the last NICKNAME was answered, before
    /// messages that wait. [`Event::Answered`] comes, once.
    ///
    /// # Errors
    /// [`Refused`]; then it was not taken.
    pub fn nickname(&mut self, now: Time, id: SessionId, nickname: &str) -> Result<RequestId, Refused> {
        let session = self.sessions.get_mut(&id).ok_or(Refused::Gone)?;
        let request = nicknames::queue(session, &mut self.core, nickname)?;
        outgoing::pump(session, &mut self.core, now, false);
        self.core.arm(session);
        Ok(request)
    }

    /// Answers [`Event::Message`] or [`Event::Request`], as far as the sender wants an answer. What was answered already is not answered
    /// again; an empty comment becomes the usual one.
    pub fn answer(&mut self, _now: Time, token: MessageToken, code: u16, comment: &str) {
        if let Some(session) = self.sessions.get_mut(&token.session) {
            incoming::answer(session, &mut self.core, token, code, comment);
        }
    }

    /// Tells what became of a message of `total` bytes that came (RFC 4975 §7.1.3, §7.1.4): 200 only where the sender asked for it, others
    /// unless it wanted none.
    pub fn report(&mut self, _now: Time, id: SessionId, message_id: &str, total: u64, code: u16, comment: &str) {
        if let Some(session) = self.sessions.get(&id) {
            let range = ByteRange { start: 1, end: Some(total), total: Some(total) };
            outgoing::report(session, &mut self.core, message_id, &range, code, comment);
        }
    }

    /// Ends a session. What is queued is written if it has a connection; no event of it comes any more.
    pub fn close(&mut self, now: Time, id: SessionId) {
        let Some(mut session) = self.remove(id) else { return };
        outgoing::pump(&mut session, &mut self.core, now, true);
        self.core.outputs.retain(|output| !matches!(output, Pending::Other(Output::Event(event)) if event.id() == id));
        self.core.put_away(*session);
    }

    /// Ends a session as [`Agent::close`] does, and tells of it: each message that has not ended fails, and [`Event::Closed`] follows.
    pub fn give_up(&mut self, now: Time, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            outgoing::pump(session, &mut self.core, now, false);
            self.end(id, End::Ours);
        }
    }

    /// What came over a connection and is this shard's, or nobody's: see [`shard_of`](crate::shard_of).
    pub fn received(&mut self, now: Time, connection: ConnectionId, arrival: Arrival) {
        match arrival {
            Arrival::Frame(Frame::Request(request)) => self.request_came(now, connection, request),
            Arrival::Frame(Frame::Response(response)) => self.response_came(now, connection, &response),
            Arrival::TooLarge(request) => self.too_large(now, connection, &request),
            Arrival::Malformed { answer: Some(head), why } => {
                self.core.counts.refused += 1;
                head.encode_response(self.core.write(connection, 512), 400, why);
            }
            Arrival::Malformed { answer: None, .. } => self.core.stray(),
        }
    }

    /// The connection that [`Output::Open`] asked for is there, or cannot be.
    pub fn opened(&mut self, now: Time, ticket: Ticket, connection: Option<ConnectionId>) {
        // A session that has ended, or found its connection otherwise: nobody binds this one.
        let Some(id) = self.core.tickets.remove(&ticket) else { return };
        let Some(connection) = connection else { return self.end(id, End::Unreachable) };
        let Some(session) = self.sessions.get_mut(&id) else { return };
        match session.state {
            State::Reaching(_) => {
                self.core.join(session, connection);
                session.state = State::Authorizing;
                session.until = None;
                relaying::ask(session, &mut self.core, now);
                self.core.arm(session);
            }
            State::Connecting(_) => {
                self.core.bind(session, connection);
                self.first_word(now, id, true);
            }
            State::Authorizing | State::Ready | State::Waiting | State::Up => {}
        }
    }

    /// A connection is no more: neither are its sessions (RFC 4975 §5.4).
    pub fn lost(&mut self, _now: Time, connection: ConnectionId) {
        self.core.secured.remove(&connection);
        let first = (connection, SessionId(0));
        while let Some((_, id)) = self.core.on.range(first..).next().copied().filter(|(c, _)| *c == connection) {
            self.core.on.remove(&(connection, id));
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            session.early.retain(|(on, _)| *on != connection);
            if session.connection == Some(connection) {
                session.connection = None;
                self.core.counts.bound -= 1;
                self.end(id, End::Lost);
            }
        }
    }

    /// Lets pass what is due.
    pub fn timeout(&mut self, now: Time) {
        while let Some((at, id)) = self.core.due.first().copied().filter(|(at, _)| *at <= now) {
            self.core.due.remove(&(at, id));
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            session.queued = None;
            if let Some(why) = self.core.expire(session, now) {
                self.end(id, why);
            } else {
                self.core.arm(session);
            }
        }
    }

    /// When [`Agent::timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Time> {
        self.core.due.first().map(|(at, _)| *at)
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Output> {
        let Some(output) = self.core.outputs.pop_front() else {
            if self.core.outputs.capacity() > 1024 {
                self.core.outputs = VecDeque::new();
            }
            return None;
        };
        Some(match output {
            Pending::Write(connection, bytes) => Output::Write { connection, bytes: bytes.freeze() },
            Pending::Other(output) => output,
        })
    }

    /// The counts.
    pub fn counts(&self) -> Counts {
        Counts { sessions: self.sessions.len(), ..self.core.counts }
    }

    /// Speaks first, where that is for us to do: the messages that wait, or that there are none.
    fn first_word(&mut self, now: Time, id: SessionId, active: bool) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        // RFC 4975 §5.4: it is a SEND in any case.
        if active && (session.outbox.messages.is_empty() || session.nicknames.is_some()) {
            outgoing::greet(session, &mut self.core, now);
        }
        outgoing::pump(session, &mut self.core, now, false);
        self.core.arm(session);
    }

    fn response_came(&mut self, now: Time, connection: ConnectionId, response: &Response) {
        let name = response.to.session_id().map(|name| self.core.name128(name));
        let id = name.and_then(|name| self.core.by_name.get(&name).copied());
        let session = id.and_then(|id| self.sessions.get_mut(&id)).filter(|s| s.connection == Some(connection));
        let Some(session) = session else { return self.core.stray() };
        let id = session.id;
        let asked = session.login.as_ref().and_then(|login| login.asked.as_ref());
        let verdict = if asked.is_some_and(|asked| asked.transaction == response.transaction) {
            Some(relaying::answered(session, &mut self.core, now, response))
        } else if session.nicknames.as_ref().is_some_and(|nicknames| nicknames.is(&response.transaction)) {
            Some(nicknames::answered(session, &mut self.core, now, response))
        } else {
            outgoing::answered(session, &mut self.core, now, &response.transaction, response.code)
        };
        match verdict {
            None => self.core.stray(),
            Some(Some(why)) => self.end(id, why),
            Some(None) => self.core.arm(session),
        }
    }

    /// Ends a session that cannot go on.
    fn end(&mut self, id: SessionId, why: End) {
        let Some(mut session) = self.remove(id) else { return };
        let core = &mut self.core;
        for event in std::mem::take(&mut session.outbox).abandon(id) {
            core.counts.failed += 1;
            core.tell(event);
        }
        session
            .nicknames
            .take()
            .into_iter()
            .flat_map(|nicknames| nicknames.abandon(id))
            .for_each(|event| core.tell(event));
        core.counts.ended += 1;
        core.put_away(*session);
        core.tell(Event::Closed { id, why });
    }

    /// Takes a session out of the tables.
    fn remove(&mut self, id: SessionId) -> Option<Box<Session>> {
        let session = self.sessions.remove(&id)?;
        let core = &mut self.core;
        core.by_name.remove(&core.name128(session.own.session_id().unwrap_or_default()));
        if let State::Reaching(ticket) | State::Connecting(ticket) = session.state {
            core.tickets.remove(&ticket);
        }
        if let Some(at) = session.queued {
            core.due.remove(&(at, id));
        }
        Some(session)
    }

    /// Forgets that a session has something of a connection, unless it is its own.
    fn unlearn(&mut self, connection: ConnectionId, id: SessionId) {
        if self.sessions.get(&id).is_none_or(|session| session.connection != Some(connection)) {
            self.core.on.remove(&(connection, id));
        }
    }
}

impl Core {
    /// Whether a connection that somebody else has made may be this session's.
    fn is_wanted(&self, session: &Session, connection: ConnectionId) -> bool {
        let shown = self.secured.get(&connection);
        match &session.certificates {
            Some(wanted) => shown.is_some_and(|shown| shown.iter().any(|hash| wanted.contains(hash))),
            None => shown.is_some() || !session.own.first().is_secure(),
        }
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Pending::Other(Output::Event(event)));
    }

    fn put(&mut self, output: Output) {
        self.outputs.push_back(Pending::Other(output));
    }

    fn stray(&mut self) {
        self.counts.stray += 1;
    }

    /// Where to write about so many bytes for a connection.
    fn write(&mut self, connection: ConnectionId, size: usize) -> &mut BytesMut {
        let together = matches!(
            self.outputs.back(),
            Some(Pending::Write(last, bytes)) if *last == connection && bytes.len() + size <= TOGETHER
        );
        if !together {
            self.outputs.push_back(Pending::Write(connection, BytesMut::with_capacity(size)));
        }
        match self.outputs.back_mut() {
            Some(Pending::Write(_, bytes)) => bytes,
            Some(Pending::Other(_)) | None => unreachable!("it was just put there"),
        }
    }

    fn respond(&mut self, connection: ConnectionId, transaction: &str, code: u16, comment: &str, to: &str, from: &str) {
        let out = self.write(connection, 96 + to.len() + from.len() + comment.len());
        frame::put_response(out, transaction, code, comment, to, from);
    }

    /// Refuses a request that is no session's, if it wants an answer.
    fn refuse(&mut self, connection: ConnectionId, request: &Request, code: u16) {
        self.counts.refused += 1;
        if request.method != Method::Report && request.failure_report.wants(code) {
            request.head().encode_response(self.write(connection, 512), code, "");
        }
    }

    /// Asks for a connection.
    fn connect(&mut self, id: SessionId, hop: Hop) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(u64::from(self.config.shard) << 56 | self.last_ticket);
        self.tickets.insert(ticket, id);
        self.put(Output::Open { ticket, hop });
        ticket
    }

    /// Gives a session its connection.
    fn join(&mut self, session: &mut Session, connection: ConnectionId) {
        session.connection = Some(connection);
        self.on.insert((connection, session.id));
        self.counts.bound += 1;
        self.put(Output::Bind { connection });
    }

    /// Gives a session the connection to its other end.
    fn bind(&mut self, session: &mut Session, connection: ConnectionId) {
        if let State::Connecting(ticket) = session.state {
            self.tickets.remove(&ticket);
        }
        self.join(session, connection);
        session.state = State::Up;
        session.until = None;
        self.tell(Event::Up { id: session.id });
    }

    /// What remains to be said and counted of a session that is no more.
    fn put_away(&mut self, session: Session) {
        for partial in &session.inbox.partial {
            self.counts.partial_bytes -= partial.assembly.held();
        }
        for (connection, request) in session.early {
            self.on.remove(&(connection, session.id));
            self.refuse(connection, &request, 481);
        }
        if let Some(connection) = session.connection {
            self.on.remove(&(connection, session.id));
            self.counts.bound -= 1;
            self.put(Output::Release { connection });
        }
    }

    /// Sees to it that a session is looked at in time. A deadline that is put off is found out when the earlier one has come.
    fn arm(&mut self, session: &mut Session) {
        let Some(at) = session.deadline() else { return };
        if session.queued.is_none_or(|queued| at < queued) {
            if let Some(queued) = session.queued.replace(at) {
                self.due.remove(&(queued, session.id));
            }
            self.due.insert((at, session.id));
        }
    }

    /// Does what is due in a session.
    fn expire(&mut self, session: &mut Session, now: Time) -> Verdict {
        if session.until.is_some_and(|at| at <= now) {
            return Some(match session.state {
                State::Reaching(_) | State::Connecting(_) => End::Unreachable,
                State::Authorizing | State::Ready | State::Waiting | State::Up => End::NotBound,
            });
        }
        if session.login.as_ref().and_then(|login| login.refresh_at()).is_some_and(|at| at <= now) {
            let verdict = relaying::due(session, self, now);
            if verdict.is_some() {
                return verdict;
            }
        }
        outgoing::expire(session, self, now);
        nicknames::expire(session, self, now);
        incoming::expire(session, self, now);
        outgoing::pump(session, self, now, false);
        None
    }

    /// What stands for a session-id.
    fn name128(&self, session: &str) -> u128 {
        self.key.fingerprint(&[b"session", session.as_bytes()]).bits()
    }

    /// What stands for a Message-ID.
    fn name_of(&self, message_id: &str) -> u64 {
        self.name_of_all(&[message_id.as_bytes()])
    }

    /// What stands for all of this.
    fn name_of_all(&self, parts: &[&[u8]]) -> u64 {
        u64::try_from(self.key.fingerprint(parts).bits() & u128::from(u64::MAX)).unwrap_or(0)
    }
}

/// A length as a number of the protocol.
fn value_of(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

impl Event {
    /// The session that it is about.
    pub fn id(&self) -> SessionId {
        match self {
            Event::Ready { id }
            | Event::Up { id }
            | Event::Message { id, .. }
            | Event::Sent { id, .. }
            | Event::Failed { id, .. }
            | Event::Report { id, .. }
            | Event::Request { id, .. }
            | Event::Answered { id, .. }
            | Event::Closed { id, .. } => *id,
        }
    }
}
