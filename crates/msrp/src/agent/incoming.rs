//! Requests that came: whose they are, chunks, messages (RFC 4975 §5.4, §7.3).

use super::outgoing;
use super::session::{Held, Partial, Session};
use super::value::{ConnectionId, Event, Incoming, MessageToken};
use super::{Agent, Core, SessionId, value_of};
use crate::chunk::{Assembly, Misfit};
use crate::frame::{ByteRange, FailureReport, Flag, Method, Request};
use base::{Str, Time};
use bytes::Bytes;

/// Messages of a session of which parts may be missing at once.
const MAX_PARTIAL: usize = 8;
/// Messages that are known again.
const MAX_SEEN: usize = 32;
/// Requests that wait for the other end to become known, and their bytes.
const MAX_EARLY: usize = 8;
const EARLY_BYTES: usize = 16 << 10;

/// Whose a request is.
pub(super) enum Admitted {
    /// That of a session, on its connection; which it may just have become.
    Session(SessionId),
    /// That of a session whose other end is not known yet.
    Early(SessionId),
    /// Nobody's here: this is the answer.
    Refused(u16),
}

impl Agent {
    /// Finds out whose a request is, and binds its session to the connection if it has none (RFC 4975 §5.4).
    pub(super) fn admit(&mut self, now: Time, connection: ConnectionId, request: &Request) -> Admitted {
        // RFC 4975 §7.3: exactly one URI. We pass nothing on.
        if !request.to.is_direct() {
            return Admitted::Refused(481);
        }
        let name = request.to.session_id().map(|name| self.core.name128(name));
        let id = name.and_then(|name| self.core.by_name.get(&name).copied());
        let Some((id, session)) = id.and_then(|id| self.sessions.get_mut(&id).map(|session| (id, session))) else {
            return Admitted::Refused(481);
        };
        if !session.own.matches(&request.to) {
            return Admitted::Refused(481);
        }
        let Some(peer) = &session.peer else { return Admitted::Early(id) };
        // Whoever has learned our URI alone gets no further.
        if !peer.matches(&request.from) {
            return Admitted::Refused(481);
        }
        match session.connection {
            Some(bound) if bound == connection => {}
            Some(_) => return Admitted::Refused(506),
            // Nor does who has learned both by other ways than TLS, or is not the one whose certificate was described.
            None if !self.core.is_wanted(session, connection) => return Admitted::Refused(481),
            None => {
                self.core.bind(session, connection);
                outgoing::pump(session, &mut self.core, now, false);
            }
        }
        Admitted::Session(id)
    }

    /// A request came.
    pub(super) fn request_came(&mut self, now: Time, connection: ConnectionId, request: Request) {
        match self.admit(now, connection, &request) {
            Admitted::Session(id) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    match request.method {
                        Method::Send => send_came(session, &mut self.core, now, request),
                        Method::Report => outgoing::reported(session, &mut self.core, &request),
                        Method::Auth | Method::Nickname | Method::Other(_) => {
                            other_came(session, &mut self.core, request);
                        }
                    }
                    outgoing::pump(session, &mut self.core, now, false);
                    self.core.arm(session);
                }
            }
            Admitted::Early(id) => self.early(id, connection, request),
            Admitted::Refused(code) => self.core.refuse(connection, &request, code),
        }
    }

    /// The other end may be faster by MSRP than by SIP: what it says is kept until it is known, within bounds.
    fn early(&mut self, id: SessionId, connection: ConnectionId, request: Request) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let size = |request: &Request| request.body.as_ref().map_or(0, Bytes::len);
        let held: usize = session.early.iter().map(|(_, request)| size(request)).sum();
        if session.early.len() >= MAX_EARLY || held + size(&request) > EARLY_BYTES {
            return self.core.refuse(connection, &request, 481);
        }
        self.core.on.insert((connection, id));
        session.early.push((connection, request));
    }

    /// A request came of which the body, or the message, is larger than may be.
    pub(super) fn too_large(&mut self, now: Time, connection: ConnectionId, request: &Request) {
        let code = match self.admit(now, connection, request) {
            Admitted::Session(id) => {
                if let (Some(session), Some(message_id)) = (self.sessions.get_mut(&id), &request.message_id) {
                    drop_partial(session, &mut self.core, message_id);
                }
                413
            }
            Admitted::Early(_) => 413,
            Admitted::Refused(code) => code,
        };
        self.core.refuse(connection, request, code);
    }
}

/// A chunk came, of a message or of none.
fn send_came(session: &mut Session, core: &mut Core, now: Time, mut request: Request) {
    core.counts.chunks_in += 1;
    let Some(body) = request.body.take() else {
        if let (Flag::Abort, Some(message_id)) = (request.flag, &request.message_id) {
            drop_partial(session, core, message_id);
        }
        return respond(session, core, &request, 200);
    };
    let Some(message_id) = request.message_id.clone() else { return refuse(session, core, &request, 400) };
    let range = request.range.unwrap_or(ByteRange { start: 1, end: None, total: None });
    let length = value_of(body.len());
    // RFC 4975 §7.3.1: the body itself says how long it is; longer than its range it cannot be.
    if range.end.is_some_and(|end| length > end - (range.start - 1)) {
        drop_partial(session, core, &message_id);
        return refuse(session, core, &request, 400);
    }
    let max = value_of(core.config.max_size);
    let end = (range.start - 1).saturating_add(length);
    if end > max || range.total.is_some_and(|total| total > max) {
        drop_partial(session, core, &message_id);
        return refuse(session, core, &request, 413);
    }
    core.counts.bytes_in += length;
    match (range.start, request.flag) {
        (_, Flag::Abort) => {
            drop_partial(session, core, &message_id);
            respond(session, core, &request, 200);
        }
        (1, Flag::Last) => {
            drop_partial(session, core, &message_id);
            let content_type = request.content_type.take().unwrap_or_default();
            let headers = std::mem::take(&mut request.headers);
            deliver(session, core, &request, (message_id, content_type, headers), body);
        }
        (_, Flag::Last | Flag::More) => chunk_came(session, core, now, request, &message_id, &range, &body),
    }
}

/// Part of a message came.
fn chunk_came(
    session: &mut Session,
    core: &mut Core,
    now: Time,
    mut request: Request,
    message_id: &Str,
    range: &ByteRange,
    body: &[u8],
) {
    let partial = &mut session.inbox.partial;
    let place = partial.iter().position(|p| p.assembly.message_id == *message_id);
    let held: usize = partial.iter().map(|p| p.assembly.held()).sum();
    let room = held + body.len() <= core.config.max_size
        && core.counts.partial_bytes + body.len() <= core.config.max_partial_bytes
        && (place.is_some() || partial.len() < MAX_PARTIAL);
    if !room {
        drop_partial(session, core, message_id);
        return refuse(session, core, &request, 413);
    }
    let until = now + core.config.partial_for;
    let place = place.unwrap_or_else(|| {
        let content_type = request.content_type.take().unwrap_or_default();
        let assembly = Assembly::new(message_id.clone(), content_type, std::mem::take(&mut request.headers));
        partial.push(Partial { assembly, failure_report: request.failure_report, until });
        partial.len() - 1
    });
    let slot = &mut partial[place];
    slot.until = until;
    let before = slot.assembly.held();
    // Both are below max_size by now.
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let last = request.flag == Flag::Last;
    let added = slot.assembly.add(number(range.start - 1), body, range.total.map(number), last);
    core.counts.partial_bytes += slot.assembly.held() - before;
    match added {
        Err(Misfit::Contradiction) => {
            drop_partial(session, core, message_id);
            refuse(session, core, &request, 400);
        }
        Err(Misfit::TooLarge) => {
            drop_partial(session, core, message_id);
            refuse(session, core, &request, 413);
        }
        Ok(()) => match slot.assembly.whole() {
            None => respond(session, core, &request, 200),
            Some(body) => {
                let Assembly { content_type, headers, .. } = &mut slot.assembly;
                let what = (message_id.clone(), std::mem::take(content_type), std::mem::take(headers));
                core.counts.partial_bytes -= slot.assembly.held();
                partial.swap_remove(place);
                if partial.is_empty() {
                    *partial = Vec::new();
                }
                deliver(session, core, &request, what, body);
            }
        },
    }
}

/// Forgets what is there of a message.
fn drop_partial(session: &mut Session, core: &mut Core, message_id: &str) {
    let partial = &mut session.inbox.partial;
    if let Some(place) = partial.iter().position(|p| p.assembly.message_id == message_id) {
        core.counts.partial_bytes -= partial.swap_remove(place).assembly.held();
    }
    if partial.is_empty() {
        *partial = Vec::new();
    }
}

/// A whole message came: up with it, unless it was there before (RFC 4975 §5.4).
fn deliver(
    session: &mut Session,
    core: &mut Core,
    request: &Request,
    (message_id, content_type, headers): (Str, Str, Vec<(Str, Str)>),
    body: Bytes,
) {
    // Some use one Message-ID for all that they say. Only what says the same, too, is the same message.
    let name = core.name_of_all(&[message_id.as_bytes(), content_type.as_bytes(), &body]);
    if session.inbox.seen.contains(&name) {
        core.counts.doubled += 1;
        // As long as nobody knows what becomes of the first, the second has its answer to come, too.
        if session.inbox.held.iter().any(|held| held.name == name) {
            hold(session, core, request, name);
        } else {
            respond(session, core, request, 200);
        }
        return;
    }
    let Some(token) = hold(session, core, request, name) else { return };
    let seen = &mut session.inbox.seen;
    seen.push_back(name);
    if seen.len() > MAX_SEEN {
        seen.pop_front();
    }
    core.counts.messages_in += 1;
    let message = Incoming {
        message_id,
        transaction: request.transaction.clone(),
        content_type,
        headers,
        body,
        success_report: request.success_report,
        failure_report: request.failure_report,
    };
    core.tell(Event::Message { id: session.id, token, message: Box::new(message) });
}

/// A request with another method came.
fn other_came(session: &mut Session, core: &mut Core, mut request: Request) {
    // RFC 4975 §12.
    if !core.config.methods.contains(&request.method) {
        return refuse(session, core, &request, 501);
    }
    if request.method == Method::Nickname {
        // RFC 7701 §7.1: a NICKNAME has no Failure-Report, and always an answer.
        request.failure_report = FailureReport::Yes;
    }
    if let Some(token) = hold(session, core, &request, 0) {
        core.tell(Event::Request { id: session.id, token, request: Box::new(request) });
    }
}

/// Keeps what the answer needs. `None` if too much waits already; then the request is refused.
fn hold(session: &mut Session, core: &mut Core, request: &Request, name: u64) -> Option<MessageToken> {
    if session.inbox.held.len() >= core.config.max_held {
        refuse(session, core, request, 413);
        return None;
    }
    let inbox = &mut session.inbox;
    inbox.last = inbox.last.wrapping_add(1);
    let number = inbox.last;
    inbox.held.push_back(Held {
        number,
        transaction: request.transaction.clone(),
        send: request.method == Method::Send,
        failure_report: request.failure_report,
        name,
    });
    Some(MessageToken { session: session.id, number })
}

/// Answers what was held.
pub(super) fn answer(session: &mut Session, core: &mut Core, token: MessageToken, code: u16, comment: &str) {
    let inbox = &mut session.inbox;
    let Some(place) = inbox.held.iter().position(|held| held.number == token.number) else { return };
    let mut next = inbox.held.remove(place);
    while let Some(held) = next {
        if !(200..300).contains(&code) {
            // It may come again.
            session.inbox.seen.retain(|name| *name != held.name);
        }
        if let (Some(peer), Some(connection)) = (&session.peer, session.connection)
            && held.failure_report.wants(code)
        {
            let to = if held.send { peer.first_str() } else { peer.as_str() };
            core.respond(connection, &held.transaction, code, comment, to, session.own.as_str());
        }
        // The same message may have come again meanwhile.
        let inbox = &mut session.inbox;
        let again = inbox.held.iter().position(|other| other.name == held.name && held.name != 0);
        next = again.and_then(|place| inbox.held.remove(place));
    }
    if session.inbox.held.is_empty() {
        session.inbox.held = Default::default();
    }
}

/// Answers a request of a session with one of the agent's own.
fn respond(session: &Session, core: &mut Core, request: &Request, code: u16) {
    if request.failure_report.wants(code)
        && let Some(connection) = session.connection
    {
        let to = match request.method {
            Method::Send => request.from.first_str(),
            Method::Report | Method::Auth | Method::Nickname | Method::Other(_) => request.from.as_str(),
        };
        core.respond(connection, &request.transaction, code, "", to, session.own.as_str());
    }
}

fn refuse(session: &Session, core: &mut Core, request: &Request, code: u16) {
    core.counts.refused += 1;
    respond(session, core, request, code);
}

/// Drops messages whose rest has not come, and says so: nobody may think that they arrived.
pub(super) fn expire(session: &mut Session, core: &mut Core, now: Time) {
    while let Some(place) = session.inbox.partial.iter().position(|p| p.until <= now) {
        let partial = session.inbox.partial.swap_remove(place);
        core.counts.partial_bytes -= partial.assembly.held();
        if partial.failure_report != FailureReport::No {
            let range = ByteRange { start: 1, end: Some(value_of(partial.assembly.front())), total: None };
            outgoing::report(session, core, &partial.assembly.message_id, &range, 413, "Incomplete");
        }
    }
    if session.inbox.partial.is_empty() {
        session.inbox.partial = Vec::new();
    }
}
