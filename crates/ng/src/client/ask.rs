//! A request that waits for its answer.

use super::{Failure, Output};
use crate::{Reply, Request};
use base::{Str, Time};
use bytes::{BufMut, Bytes, BytesMut};
use std::net::SocketAddr;
use std::time::Duration;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Is anybody there?
    Ping,
    /// That a call be forgotten of which nobody knows whether it is there.
    Forget,
    /// For a description.
    Description,
    /// That a call be forgotten.
    Delete,
    /// Is a call still known?
    Query,
}

impl Kind {
    pub(super) fn of(request: &Request) -> Kind {
        match request {
            Request::Ping => Kind::Ping,
            Request::Offer(_) | Request::Answer(_) => Kind::Description,
            Request::Delete { .. } => Kind::Delete,
            Request::Query { .. } => Kind::Query,
        }
    }

    /// What a reply means for this.
    pub(super) fn judge(self, reply: Reply) -> Result<Vec<u8>, Failure> {
        let is_unknown = reply.is_unknown_call();
        match (self, reply) {
            (Kind::Ping, Reply::Pong) => Ok(Vec::new()),
            (Kind::Description, Reply::Done { sdp: Some(sdp) }) => Ok(sdp),
            (Kind::Delete | Kind::Query | Kind::Forget, Reply::Done { .. }) => Ok(Vec::new()),
            // It is as much forgotten as it can be.
            (Kind::Delete, Reply::Refused { .. }) if is_unknown => Ok(Vec::new()),
            (_, Reply::Refused { .. }) if is_unknown => Err(Failure::Unknown),
            (_, Reply::Refused { reason }) => Err(Failure::Refused(reason)),
            (_, Reply::Full) => Err(Failure::Full),
            (_, Reply::Pong | Reply::Done { .. }) => Err(Failure::Garbled),
        }
    }
}

/// How often a server is asked. Nobody waits for a call to be forgotten, but what is not is there for long.
const TIMES: u32 = 3;
const TIMES_TO_FORGET: u32 = 5;

/// How many servers are asked.
const SERVERS: usize = 3;

#[derive(Debug)]
pub(super) struct Ask {
    pub(super) kind: Kind,
    /// The call that a server makes when it hears of this.
    pub(super) makes: Option<Str>,
    pub(super) document: Bytes,
    pub(super) to: SocketAddr,
    /// All that were asked, `to` among them.
    pub(super) tried: Vec<SocketAddr>,
    pub(super) cookie: Str,
    pub(super) due: Time,
    /// When this server was asked first.
    pub(super) sent_at: Time,
    sent: u32,
    /// It is about something that only this server has.
    pinned: bool,
}

impl Ask {
    /// Something that is asked of this server, and of no other.
    pub(super) fn of(now: Time, kind: Kind, request: &Request, to: SocketAddr) -> Ask {
        Ask::new(now, kind, None, request.to_value().to_bytes(), to, true)
    }

    pub(super) fn new(
        now: Time,
        kind: Kind,
        makes: Option<Str>,
        document: Vec<u8>,
        to: SocketAddr,
        pinned: bool,
    ) -> Ask {
        let document = Bytes::from(document);
        Ask {
            kind,
            makes,
            document,
            to,
            tried: vec![to],
            cookie: Str::default(),
            due: now,
            sent_at: now,
            sent: 0,
            pinned,
        }
    }

    pub(super) fn turn_to(&mut self, to: SocketAddr) {
        self.to = to;
        self.tried.push(to);
    }

    /// It goes out to this server for the first time.
    pub(super) fn start(&mut self, now: Time, silence: Duration) {
        self.sent = 1;
        self.sent_at = now;
        self.due = now + silence / 7;
    }

    /// Whether it goes out once more: the pauses double, and are one seventh of `silence`, two, four...
    pub(super) fn again(&mut self, now: Time, silence: Duration) -> bool {
        let times = match self.kind {
            Kind::Ping | Kind::Description | Kind::Query => TIMES,
            Kind::Delete | Kind::Forget => TIMES_TO_FORGET,
        };
        if self.sent == times {
            return false;
        }
        self.due = now + silence * (1 << self.sent) / 7;
        self.sent += 1;
        true
    }

    /// Whether nobody waits for its end.
    pub(super) fn is_own(&self) -> bool {
        matches!(self.kind, Kind::Ping | Kind::Forget)
    }

    /// Whether another server may do better.
    pub(super) fn may_move(&self, failure: &Failure) -> bool {
        !self.pinned
            && self.tried.len() < SERVERS
            && match failure {
                Failure::Silent | Failure::Full | Failure::Garbled => true,
                Failure::Refused(reason) => reason.to_ascii_lowercase().contains("out of ports"),
                Failure::None | Failure::TooLong | Failure::Busy | Failure::Unknown => false,
            }
    }

    pub(super) fn to_output(&self) -> Output {
        let mut bytes = BytesMut::with_capacity(self.cookie.len() + 1 + self.document.len());
        bytes.put_slice(self.cookie.as_bytes());
        bytes.put_u8(b' ');
        bytes.put_slice(&self.document);
        Output::Send { to: self.to, bytes: bytes.freeze() }
    }
}
