//! Messages of ours: chunks, their answers, reports of them (RFC 4975 §7.1, §7.2).

use super::session::{Awaited, Outbound, Session, State, Transaction, Verdict};
use super::value::{ConnectionId, End, Event, Failure, MessageId, Outgoing, Refused};
use super::{Core, nicknames, value_of};
use crate::frame::{self, ByteRange, FailureReport, Flag, Request};
use crate::lex;
use base::{Str, Time};
use bytes::{Bytes, BytesMut};
use memchr::memmem;

/// RFC 4975 §7.1.1: the longest chunk that need not be interruptible.
const CHUNK: usize = 2048;
/// What a chunk counts besides its bytes.
const OVERHEAD: usize = 256;
/// Messages that wait for success reports; the oldest is forgotten.
const MAX_AWAITED: usize = 256;
/// Other messages of which a failure report is still understood.
const MAX_TOLD: usize = 16;

/// Takes a message into the queue.
pub(super) fn queue(session: &mut Session, core: &mut Core, outgoing: Outgoing) -> Result<MessageId, Refused> {
    let size = outgoing.body.len();
    if value_of(size) > session.peer_max {
        return Err(Refused::TooLarge);
    }
    let waiting = session.outbox.waiting;
    if waiting > 0 && waiting + cost_of(size) > core.config.queue_bytes {
        return Err(Refused::Full);
    }
    let given = outgoing.message_id.filter(|id| lex::is_ident(id.as_bytes()));
    let message_id = given.unwrap_or_else(|| core.message_id());
    session.outbox.waiting += cost_of(size);
    session.outbox.messages.push_back(Outbound {
        message_id: message_id.clone(),
        content_type: outgoing.content_type,
        headers: outgoing.headers,
        body: outgoing.body,
        size,
        written: 0,
        unanswered: 0,
        success_report: outgoing.success_report,
        failure_report: outgoing.failure_report,
        ended: false,
    });
    Ok(message_id)
}

/// What a message costs in the queue.
fn cost_of(size: usize) -> usize {
    size + OVERHEAD * size.div_ceil(CHUNK).max(1)
}

/// Writes what may be written: all messages, and nothing but them, if `regardless` of the window.
pub(super) fn pump(session: &mut Session, core: &mut Core, now: Time, regardless: bool) {
    let (Some(connection), State::Up) = (session.connection, &session.state) else { return };
    if !regardless {
        nicknames::pump(session, core, now);
    }
    loop {
        let outbox = &session.outbox;
        let Some(message) = outbox.messages.get(outbox.written) else { break };
        let cost = CHUNK.min(message.size - message.written) + OVERHEAD;
        let counted = message.failure_report == FailureReport::Yes;
        if counted && !regardless && outbox.unanswered > 0 && outbox.unanswered + cost > core.config.window {
            break;
        }
        write_chunk(session, core, now, connection);
    }
    session.outbox.tidy();
}

/// Writes the next chunk of the message whose turn it is.
fn write_chunk(session: &mut Session, core: &mut Core, now: Time, connection: ConnectionId) {
    let Session { id, own, peer: Some(peer), outbox, .. } = session else { return };
    let Some(message) = outbox.messages.get_mut(outbox.written) else { return };
    let (start, end) = (message.written, message.size.min(message.written + CHUNK));
    let chunk = message.body.slice(start..end);
    let flag = if end == message.size { Flag::Last } else { Flag::More };
    let transaction = core.transaction_beside(&chunk);
    let range = ByteRange { start: value_of(start) + 1, end: Some(value_of(end)), total: Some(value_of(message.size)) };
    let out = core.write(connection, 256 + own.as_str().len() + peer.as_str().len() + chunk.len());
    put_send(out, &transaction, (peer.as_str(), own.as_str()), message, &range, &chunk, flag);
    core.counts.chunks_out += 1;
    core.counts.bytes_out += value_of(chunk.len());
    if start == 0 {
        let name = core.name_of(&message.message_id);
        if message.success_report {
            outbox.awaited.push_back(Awaited { name, total: range.total.unwrap_or(0), reported: Default::default() });
            if outbox.awaited.len() > MAX_AWAITED {
                outbox.awaited.pop_front();
            }
        } else if message.failure_report != FailureReport::No {
            outbox.told.push_back(name);
            if outbox.told.len() > MAX_TOLD {
                outbox.told.pop_front();
            }
        }
    }
    message.written = end;
    if message.failure_report == FailureReport::Yes {
        let cost = chunk.len() + OVERHEAD;
        message.unanswered += 1;
        outbox.unanswered += cost;
        let number = outbox.first + value_of(outbox.written);
        let deadline = now + core.config.patience;
        outbox.transactions.push_back(Transaction { id: transaction, message: Some(number), cost, deadline });
    }
    if flag == Flag::Last {
        message.body = Bytes::new();
        outbox.waiting -= cost_of(message.size).min(outbox.waiting);
        if message.failure_report != FailureReport::Yes {
            // RFC 4975 §7.1.1: nothing is awaited; a failure may still come.
            message.ended = true;
            core.counts.messages_out += 1;
            core.tell(Event::Sent { id: *id, message_id: message.message_id.clone() });
        }
        outbox.written += 1;
    }
}

fn put_send(
    out: &mut BytesMut,
    transaction: &str,
    (to, from): (&str, &str),
    message: &Outbound,
    range: &ByteRange,
    chunk: &[u8],
    flag: Flag,
) {
    frame::start(out, transaction, "SEND");
    frame::sound_line(out, "To-Path", to);
    frame::sound_line(out, "From-Path", from);
    frame::sound_line(out, "Message-ID", &message.message_id);
    frame::put_range(out, range);
    frame::put_reports(out, message.success_report, message.failure_report);
    frame::put_content(out, &message.headers, Some(&message.content_type), Some(chunk));
    frame::end(out, transaction, flag);
}

/// The first word to the other end, where there is no message: it tells whose connection this is (RFC 4975 §5.4).
pub(super) fn greet(session: &mut Session, core: &mut Core, now: Time) {
    let Session { own, peer: Some(peer), connection: Some(connection), outbox, .. } = session else { return };
    let transaction = core.transaction();
    let message_id = core.message_id();
    let out = core.write(*connection, 256 + own.as_str().len() + peer.as_str().len());
    frame::start(out, &transaction, "SEND");
    frame::sound_line(out, "To-Path", peer.as_str());
    frame::sound_line(out, "From-Path", own.as_str());
    frame::sound_line(out, "Message-ID", &message_id);
    frame::put_range(out, &ByteRange { start: 1, end: Some(0), total: Some(0) });
    frame::end(out, &transaction, Flag::Last);
    let deadline = now + core.config.patience;
    outbox.transactions.push_back(Transaction { id: transaction, message: None, cost: 0, deadline });
}

/// A response came on the session's connection. `None` if it is to nothing.
pub(super) fn answered(
    session: &mut Session,
    core: &mut Core,
    now: Time,
    transaction: &str,
    code: u16,
) -> Option<Verdict> {
    let place = session.outbox.transactions.iter().position(|t| t.id == transaction)?;
    let transaction = session.outbox.transactions.remove(place)?;
    session.outbox.unanswered -= transaction.cost;
    if let Some(number) = transaction.message {
        let id = session.id;
        if (200..300).contains(&code) {
            if let Some(message) = session.outbox.message(number) {
                message.unanswered -= 1;
                if message.unanswered == 0 && message.written == message.size {
                    message.ended = true;
                    core.counts.messages_out += 1;
                    core.tell(Event::Sent { id, message_id: message.message_id.clone() });
                }
            }
        } else {
            // RFC 4975 §10.4: somebody on the way had no answer; that is as good as none.
            fail(session, core, number, if code == 408 { Failure::Timeout } else { Failure::Code(code) });
        }
    }
    // RFC 4975 §10.8, §10.10: there is no such session, or not here.
    let verdict = matches!(code, 481 | 506).then_some(End::Refused(code));
    if verdict.is_none() {
        pump(session, core, now, false);
    }
    Some(verdict)
}

/// Tells that a message failed, once, and writes no more of it.
fn fail(session: &mut Session, core: &mut Core, number: u64, why: Failure) {
    let id = session.id;
    let Some(message) = session.outbox.message(number) else { return };
    message.ended = true;
    core.counts.failed += 1;
    core.tell(Event::Failed { id, message_id: message.message_id.clone(), why });
    if message.written < message.size {
        // RFC 4975 §10.5: whoever said 413 is not to see any more of it; who said anything else has dropped it by itself.
        if why == Failure::Timeout {
            abort(session, core);
        }
        let outbox = &mut session.outbox;
        if let Some(message) = outbox.messages.get_mut(outbox.written) {
            message.body = Bytes::new();
            outbox.waiting -= cost_of(message.size).min(outbox.waiting);
            outbox.written += 1;
        }
    }
}

/// Tells the other end that the rest of the message whose turn it is will not come (RFC 4975 §7.3.2): with one more byte of it, as a chunk
/// of none has no place in the message.
fn abort(session: &mut Session, core: &mut Core) {
    let Session { own, peer: Some(peer), connection: Some(connection), outbox, .. } = session else { return };
    let Some(message) = outbox.messages.get(outbox.written) else { return };
    let chunk = message.body.slice(message.written..message.written + 1);
    let transaction = core.transaction_beside(&chunk);
    let place = value_of(message.written) + 1;
    let range = ByteRange { start: place, end: Some(place), total: Some(value_of(message.size)) };
    let out = core.write(*connection, 512 + own.as_str().len() + peer.as_str().len());
    put_send(out, &transaction, (peer.as_str(), own.as_str()), message, &range, &chunk, Flag::Abort);
}

/// Lets pass what is due: chunks without an answer have failed (RFC 4975 §7.1.1).
pub(super) fn expire(session: &mut Session, core: &mut Core, now: Time) {
    while session.outbox.transactions.front().is_some_and(|t| t.deadline <= now) {
        let Some(transaction) = session.outbox.transactions.pop_front() else { break };
        session.outbox.unanswered -= transaction.cost;
        if let Some(number) = transaction.message {
            fail(session, core, number, Failure::Timeout);
        }
    }
}

/// Writes a REPORT: bytes `range` of a message that came.
pub(super) fn report(
    session: &Session,
    core: &mut Core,
    message_id: &str,
    range: &ByteRange,
    code: u16,
    comment: &str,
) {
    let Session { own, peer: Some(peer), connection: Some(connection), .. } = session else { return };
    if !lex::is_ident(message_id.as_bytes()) {
        return;
    }
    let transaction = core.transaction();
    let out = core.write(*connection, 256 + own.as_str().len() + peer.as_str().len() + comment.len());
    frame::start(out, &transaction, "REPORT");
    frame::sound_line(out, "To-Path", peer.as_str());
    frame::sound_line(out, "From-Path", own.as_str());
    frame::sound_line(out, "Message-ID", message_id);
    frame::put_range(out, range);
    let comment = if comment.is_empty() { frame::reason_phrase(code) } else { comment };
    frame::put_status(out, 0, code, comment);
    frame::end(out, &transaction, Flag::Last);
    core.counts.reports_out += 1;
}

/// A REPORT came on the session's connection.
pub(super) fn reported(session: &mut Session, core: &mut Core, request: &Request) {
    let (Some(message_id), Some(status)) = (&request.message_id, &request.status) else { return core.stray() };
    // RFC 4975 §7.1.3: another namespace means another kind of code.
    if status.namespace != 0 {
        return core.stray();
    }
    let name = core.name_of(message_id);
    let id = session.id;
    let outbox = &mut session.outbox;
    let place = outbox.awaited.iter().position(|awaited| awaited.name == name);
    let total = place.map(|place| outbox.awaited[place].total);
    let said = request.range.as_ref();
    let total = total.or_else(|| said.and_then(|range| range.total)).unwrap_or(0);
    let from = said.map_or(1, |range| range.start);
    let to = said.and_then(|range| range.end).unwrap_or(total).min(total);
    let code = status.code;
    let told = |complete| Event::Report { id, message_id: message_id.clone(), from, to, total, code, complete };
    if (200..300).contains(&code) {
        let Some(place) = place else { return core.stray() };
        let awaited = &mut outbox.awaited[place];
        // A message without bytes has nothing to report on but itself.
        let news = awaited.reported.add(from, to) || total == 0;
        if !news {
            return core.stray();
        }
        let complete = awaited.reported.covers(total);
        if complete {
            outbox.awaited.remove(place);
        }
        core.counts.reports_in += 1;
        core.tell(told(complete));
    } else {
        let told_place = outbox.told.iter().position(|told| *told == name);
        match (place, told_place) {
            (Some(place), _) => drop(outbox.awaited.remove(place)),
            (None, Some(place)) => drop(outbox.told.remove(place)),
            (None, None) => return core.stray(),
        }
        core.counts.reports_in += 1;
        let begun = outbox.messages.iter().enumerate().take(outbox.written + 1);
        let mut begun = begun.filter(|(place, m)| *place < outbox.written || m.written > 0);
        match begun.find(|(_, m)| !m.ended && m.message_id == *message_id) {
            // RFC 4975 §7.3.2: the same as an answer with this code, of which one is enough.
            Some((place, _)) => {
                let number = outbox.first + value_of(place);
                fail(session, core, number, if code == 408 { Failure::Timeout } else { Failure::Code(code) });
            }
            None => core.tell(told(false)),
        }
    }
    session.outbox.tidy();
}

impl Core {
    /// A transaction id that is not in these bytes, and so its end-line neither (RFC 4975 §7.1).
    pub(super) fn transaction_beside(&mut self, bytes: &[u8]) -> Str {
        loop {
            let id = self.transaction();
            if memmem::find(bytes, id.as_bytes()).is_none() {
                return id;
            }
        }
    }

    /// A transaction id: 80 random bits, of which RFC 4975 §7.1 wants 64.
    pub(super) fn transaction(&mut self) -> Str {
        self.ident::<16>()
    }

    /// A Message-ID: 120 random bits.
    fn message_id(&mut self) -> MessageId {
        self.ident::<24>()
    }

    /// So many characters of five random bits each, at once: there are some in each frame.
    fn ident<const N: usize>(&mut self) -> Str {
        const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let mut text = [0; N];
        for piece in text.chunks_mut(12) {
            let mut bits = self.tokens.u64();
            for place in piece {
                *place = ALPHABET[(bits & 31) as usize];
                bits >>= 5;
            }
        }
        Str::from(std::str::from_utf8(&text).unwrap_or_default())
    }
}
