//! What legs are told and tell.

use crate::config::Config;
use crate::error::Refusal;
use base::{Str, Time, Tokens};
use bytes::Bytes;
use msrp::{FailureReport, MessageId, MessageToken};
use sip::agent::{Agent, Hop};
use sip::invite::Sessions;
use sip::{Cause, Ground, Name, NameAddr, NextHop, Response, Uri};
use std::time::Duration;

/// Names a leg. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegId(pub(super) u64);

/// How the gateway speaks MSRP.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it can be reached; the first that is (or is not) over TLS stands in our paths. Never empty.
    pub advertise: Vec<msrp::Advertised>,
    /// The fingerprint of the certificate that it shows there.
    pub fingerprint: Option<msrp::Fingerprint>,
    /// The longest message that it takes, in bytes.
    pub max_size: usize,
    /// A relay that all our sessions go through (RFC 4976).
    pub relay: Option<msrp::Relay>,
}

impl Options {
    /// Whether our own offers ask for TLS: where there is nothing else.
    pub(super) fn offers_tls(&self) -> bool {
        self.advertise.iter().all(|at| at.secure)
    }

    /// The place that our descriptions name.
    pub(super) fn place(&self, secure: bool) -> Option<&msrp::Advertised> {
        self.advertise.iter().find(|at| at.secure == secure)
    }
}

/// A session that we open.
#[derive(Debug, Clone)]
pub struct Call {
    /// From.
    pub local: NameAddr,
    /// Request-URI and To.
    pub remote: Uri,
    /// Contact.
    pub contact: NameAddr,
    /// The next hop.
    pub hop: Hop,
    /// A proxy on the way.
    pub route: Option<Str>,
    /// Call-ID, or none to have one minted.
    pub call_id: Option<Str>,
    /// What else the INVITE says.
    pub headers: Vec<(Name, Str)>,
    /// How long the other side may take to answer.
    pub ring: Duration,
    /// What we say of rooms.
    pub chatroom: Option<Chatroom>,
}

/// What `a=chatroom` says (RFC 7701 §8): that who says it knows rooms, or is one, and what else it has and lets be used. It is no matter of
/// offer and answer: each side declares its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Chatroom {
    /// NICKNAME (§7).
    pub nickname: bool,
    /// Messages to one participant (§6.2).
    pub private_messages: bool,
}

/// A message to be sent.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Content-Type.
    pub content_type: Str,
    /// The body.
    pub body: Bytes,
    /// Whether a REPORT is wanted when it has arrived.
    pub success_report: bool,
    /// Of what failures we want to hear.
    pub failure_report: FailureReport,
}

/// What a mapping is told of its legs.
#[derive(Debug)]
#[allow(missing_docs, reason = "`leg` is the same in each")]
pub enum Event {
    /// A held INVITE can be answered: [`Legs::pick_up`](super::Legs::pick_up) or [`Legs::refuse`](super::Legs::refuse).
    Called { leg: LegId },
    /// Both sides have described the session: messages can be sent. Ours wait until the connection is there.
    Open {
        leg: LegId,
        /// The other side's 2xx, if it was the one that was asked.
        response: Option<Box<Response>>,
    },
    /// The other side has described the session anew: it may take something else now, or take messages again after it did not.
    Redescribed { leg: LegId },
    /// The connection is there, and bound to the session.
    Up { leg: LegId },
    /// A message came: answer it with [`Legs::answer`].
    Message { leg: LegId, token: MessageToken, message: Box<msrp::Incoming> },
    /// A message of ours was taken, each part of it; or has left, where nobody answers.
    Sent { leg: LegId, message: MessageId },
    /// A message of ours was not taken.
    Undelivered { leg: LegId, message: MessageId, why: msrp::Failure },
    /// The other side has hung up; what it says of messages that are on their way may have been overtaken, and is waited for. Nothing can be
    /// sent any more.
    Ending { leg: LegId },
    /// The other side wants to be known by this nickname, by none any more if it is empty (RFC 7701 §7): answer it with [`Legs::answer`]. It comes
    /// where our own [`Chatroom::nickname`] says so, and is well-formed: at most 1023 octets, without control characters but HTAB.
    Nickname { leg: LegId, token: MessageToken, nick: Str },
    /// What the other side says to a nickname of ours, in the order of [`Legs::nickname`]: an MSRP code, and 408 where it said nothing.
    Nicknamed { leg: LegId, code: u16 },
    /// What became of a message of ours (RFC 4975 §7.1.2), with the status that says it.
    Report { leg: LegId, message: MessageId, code: u16 },
    /// The leg did not come to be. Nothing more comes of it.
    Failed { leg: LegId, why: Failed },
    /// The leg is over, after an [`Event::Undelivered`] for each message of ours that was still on its way. Nothing more comes of it.
    Ended { leg: LegId, why: Why },
}

/// Why a leg did not come to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    /// The INVITE was refused, or not answered.
    Call(Cause),
    /// Nobody answered in the time that [`Call::ring`] gave.
    NoAnswer,
    /// The other side's description is not acceptable, or ours could not be made.
    Session(Refusal),
    /// Our own wish, or the other side's CANCEL.
    GivenUp,
}

/// Why a leg is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The other side said BYE.
    Bye,
    /// Our own wish.
    Ours,
    /// The connection broke or never came, or the other side does not answer any more.
    Lost,
}

/// What legs stand on for one call.
pub struct Footing<'a> {
    /// The moment.
    pub now: Time,
    /// What the gateway was told.
    pub config: &'a Config,
    /// The SIP side.
    pub agent: &'a mut Agent,
    /// Its sessions.
    pub sessions: &'a mut Sessions,
    /// The MSRP side.
    pub msrp: &'a mut msrp::Agent,
    /// Who knows the way.
    pub hops: &'a dyn NextHop,
    /// The source of what must not be guessed.
    pub tokens: &'a mut Tokens,
}

impl std::fmt::Debug for Footing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Footing").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Footing<'_> {
    /// Acts on the sessions.
    pub fn sessions<R>(&mut self, act: impl FnOnce(&mut Sessions, &mut Ground<'_>) -> R) -> R {
        let mut ground = Ground { now: self.now, agent: self.agent, hops: self.hops, tokens: self.tokens };
        act(self.sessions, &mut ground)
    }
}

impl Event {
    /// The leg.
    pub fn leg(&self) -> LegId {
        match self {
            Event::Called { leg }
            | Event::Open { leg, .. }
            | Event::Redescribed { leg }
            | Event::Up { leg }
            | Event::Ending { leg }
            | Event::Message { leg, .. }
            | Event::Sent { leg, .. }
            | Event::Undelivered { leg, .. }
            | Event::Nickname { leg, .. }
            | Event::Nicknamed { leg, .. }
            | Event::Report { leg, .. }
            | Event::Failed { leg, .. }
            | Event::Ended { leg, .. } => *leg,
        }
    }
}
