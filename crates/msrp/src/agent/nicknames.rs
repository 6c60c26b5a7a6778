//! NICKNAMEs of ours (RFC 7701 §7): one at a time, the others wait.

use super::Core;
use super::session::{Session, State, Verdict};
use super::value::{End, Event, Refused, RequestId, SessionId};
use crate::frame::{Method, Request, Response};
use crate::nickname::{USE_NICKNAME, quote};
use base::{Str, Time};
use std::collections::VecDeque;

/// NICKNAMEs of a session that are not answered.
const MAX_ASKED: usize = 8;

/// The NICKNAMEs of a session that are not answered.
#[derive(Debug, Default)]
pub(super) struct Nicknames {
    /// The one that is written: its transaction, and when its answer must have come.
    open: Option<(Str, RequestId, Time)>,
    /// What is to be said after it, in quotes.
    waiting: VecDeque<(RequestId, Str)>,
}

impl Nicknames {
    /// When the answer must have come.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.open.as_ref().map(|(_, _, deadline)| *deadline)
    }

    /// Whether this is the transaction of the one that is written.
    pub(super) fn is(&self, transaction: &str) -> bool {
        self.open.as_ref().is_some_and(|(open, _, _)| open == transaction)
    }

    /// The last words on all of them, in their order.
    pub(super) fn abandon(self, id: SessionId) -> impl Iterator<Item = Event> {
        let open = self.open.map(|(_, request, _)| request);
        let all = open.into_iter().chain(self.waiting.into_iter().map(|(request, _)| request));
        all.map(move |request| timed_out(id, request))
    }
}

/// Takes a nickname into the queue.
pub(super) fn queue(session: &mut Session, core: &mut Core, nickname: &str) -> Result<RequestId, Refused> {
    let quoted = quote(nickname).ok_or(Refused::Malformed)?;
    let nicknames = session.nicknames.get_or_insert_default();
    if nicknames.waiting.len() + usize::from(nicknames.open.is_some()) >= MAX_ASKED {
        return Err(Refused::Full);
    }
    core.last_request += 1;
    let request = RequestId(core.last_request);
    nicknames.waiting.push_back((request, quoted));
    Ok(request)
}

/// Writes the next one, unless an answer is to come.
pub(super) fn pump(session: &mut Session, core: &mut Core, now: Time) {
    let (Some(connection), State::Up) = (session.connection, &session.state) else { return };
    let Session { own, peer: Some(peer), nicknames: Some(nicknames), .. } = session else { return };
    if nicknames.open.is_some() {
        return;
    }
    let Some((id, quoted)) = nicknames.waiting.pop_front() else { return };
    let transaction = core.transaction();
    let mut request = Request::new(&transaction, Method::Nickname, peer.clone(), own.clone());
    let size = 256 + own.as_str().len() + peer.as_str().len() + quoted.len();
    request.headers.push((Str::const_new(USE_NICKNAME), quoted));
    request.encode(core.write(connection, size));
    nicknames.open = Some((transaction, id, now + core.config.patience));
}

/// The one that is written is answered.
pub(super) fn answered(session: &mut Session, core: &mut Core, now: Time, response: &Response) -> Verdict {
    let id = session.id;
    let open = session.nicknames.as_mut().and_then(|nicknames| nicknames.open.take());
    if let Some((_, request, _)) = open {
        core.tell(Event::Answered { id, request, code: response.code, comment: response.comment.clone() });
    }
    next(session, core, now);
    // As with any other request of ours.
    matches!(response.code, 481 | 506).then_some(End::Refused(response.code))
}

/// Lets pass what is due: no answer came.
pub(super) fn expire(session: &mut Session, core: &mut Core, now: Time) {
    let id = session.id;
    let due = session.nicknames.as_mut().filter(|nicknames| nicknames.deadline().is_some_and(|at| at <= now));
    if let Some((_, request, _)) = due.and_then(|nicknames| nicknames.open.take()) {
        core.tell(timed_out(id, request));
        next(session, core, now);
    }
}

/// Goes on, or gives the memory back.
fn next(session: &mut Session, core: &mut Core, now: Time) {
    pump(session, core, now);
    session.nicknames.take_if(|nicknames| nicknames.open.is_none() && nicknames.waiting.is_empty());
}

fn timed_out(id: SessionId, request: RequestId) -> Event {
    Event::Answered { id, request, code: 408, comment: Str::default() }
}
