//! What the layer above says to the engine and hears from it.

use crate::agent::{Flow, Hop, ServerId};
use crate::ground::Cause;
use crate::header::{Name, NameAddr};
use crate::message::{Request, Response};
use crate::uri::Uri;
use base::Str;
use bytes::Bytes;
use std::time::Duration;

/// Names a session. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(super) u64);

/// Names an INFO that waits for its answer. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoId(pub(super) ServerId);

/// What a session takes by INFO: RFC 6086. By default nothing, and nothing is said of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Infos {
    /// The Info Packages, which Recv-Info lists.
    pub packages: &'static [&'static str],
    /// The media types of INFOs without a package (§3: legacy usages): `application/dtmf-relay`.
    pub types: &'static [&'static str],
}

/// Why an INFO was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSent {
    /// The session is over.
    Over,
    /// The other side does not take INFOs of this package (RFC 6086 §4.2.1).
    NotTaken,
    /// As many wait as may wait.
    Full,
}

/// The engine's bounds and times.
#[derive(Debug, Clone)]
pub struct Config {
    /// How many sessions there may be, those included that wait for an answer or for their last exchange.
    pub max_sessions: usize,
    /// How many of those may have been begun from one address.
    pub max_per_source: usize,
    /// How long an INVITE of ours may go without a final answer before it is cancelled.
    pub ring_for: Duration,
    /// How long one of theirs may wait for ours; its Expires may say less (RFC 3261 §13.3.1).
    pub answer_within: Duration,
    /// What our Session-Expires says, in seconds: RFC 4028. 0 asks for no session timer, and obeys the one that the other side asks for.
    pub session_expires: u32,
    /// An INVITE or UPDATE for a shorter session timer, in seconds, gets 422. RFC 4028 §4 forbids less than 90, and so less counts as 90.
    pub min_se: u32,
    /// How many addresses are tried that redirections name, for one INVITE of ours.
    pub max_redirects: usize,
    /// How many early dialogs, and how many 2xx, of one INVITE of ours are kept apart. Others are ignored.
    pub max_forks: usize,
    /// How many BYEs of ours may be under way at once. The others wait in line.
    pub max_byes: usize,
    /// What Retry-After says where the engine is full, in seconds.
    pub retry_after: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            max_sessions: 50_000,
            max_per_source: 10_000,
            ring_for: Duration::from_secs(180),
            answer_within: Duration::from_secs(180),
            session_expires: 1800,
            min_se: MIN_SE,
            max_redirects: 5,
            max_forks: 8,
            max_byes: 1024,
            retry_after: 30,
        }
    }
}

/// The shortest session timer there is: RFC 4028 §4.
pub(super) const MIN_SE: u32 = 90;

impl Config {
    /// Without what would let nothing be sent, ever, and without what RFC 4028 forbids.
    pub(super) fn sound(self) -> Config {
        let min_se = self.min_se.max(MIN_SE);
        let session_expires = if self.session_expires == 0 { 0 } else { self.session_expires.max(min_se) };
        Config { min_se, session_expires, max_forks: self.max_forks.max(1), max_byes: self.max_byes.max(1), ..self }
    }
}

/// A body, which for the engine is an offer or an answer and otherwise any bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Content-Type.
    pub content_type: Str,
    /// The body.
    pub content: Bytes,
}

impl Body {
    /// The body of a message, if it has one.
    pub(super) fn of(headers: &crate::header::Headers, content: &Bytes) -> Option<Body> {
        let content_type = Str::new(headers.get(Name::ContentType).unwrap_or_default());
        (!content.is_empty()).then(|| Body { content_type, content: content.clone() })
    }
}

/// A session that we want to begin.
#[derive(Debug, Clone)]
pub struct Invite {
    /// From; its parameters are left out.
    pub local: NameAddr,
    /// Request-URI and To.
    pub remote: Uri,
    /// Contact, in this INVITE and in all that is said in the dialog.
    pub contact: NameAddr,
    /// The next hop of the first INVITE. After a redirection [`NextHop`](crate::NextHop) is asked.
    pub hop: Hop,
    /// A proxy that INVITEs outside of the dialog go through, as a name-addr.
    pub route: Option<Str>,
    /// Call-ID, or none to have one minted.
    pub call_id: Option<Str>,
    /// What else the INVITE says. Allow, Supported, Session-Expires, Min-SE and what belongs to the dialog are the engine's.
    pub headers: Vec<(Name, Str)>,
    /// The offer. Without one the other side makes it in its 2xx, and [`Sessions::ack`](super::Sessions::ack) answers.
    pub offer: Option<Body>,
    /// What the session takes by INFO, which the INVITE says.
    pub infos: Infos,
}

/// Why a session did not even begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// [`Config::max_sessions`] are there, or the agent has no room for another request.
    Full,
    /// The agent cannot send by the target's transport.
    NoTransport,
}

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The other side said BYE.
    Bye(Box<Request>),
    /// The other side cancelled its INVITE, or it gave up: with the value of the CANCEL's Reason.
    Cancelled(Option<Str>),
    /// Nobody acknowledged our 2xx (RFC 3261 §13.3.1.4), or a reliable provisional response (RFC 3262 §3).
    NotAcknowledged,
    /// The session timer ran out (RFC 4028 §10), or an INVITE was not answered by us in time.
    Expired,
    /// The other side knows nothing of the dialog any more, or does not answer in it: 481, 408 and the like (RFC 3261 §12.2.1.2, RFC 5057
    /// §5.1).
    Gone,
    /// We ended it: [`Sessions::bye`](super::Sessions::bye) or [`Sessions::refuse`](super::Sessions::refuse). What is still to be said to the
    /// other side is said without anybody's help.
    Ours,
}

/// What the layer above is told. Each session has one last event, behind which nothing comes of it and whatever is said of it is
/// ignored: [`Event::Failed`] or [`Event::Ended`].
#[derive(Debug)]
#[allow(missing_docs, reason = "`id` is the same in each")]
pub enum Event {
    /// An INVITE: [`accept`](super::Sessions::accept) it, [`ring`](super::Sessions::ring), or [`refuse`](super::Sessions::refuse) it.
    Invited {
        id: SessionId,
        /// The INVITE. Its body is the offer; without one, ours goes out with the 2xx.
        request: Box<Request>,
        /// The way it came.
        flow: Flow,
    },
    /// A provisional response to our INVITE, from any fork: 101 to 199. A reliable one (RFC 3262) was acknowledged, and its body is the
    /// answer to our offer; that of any other is but a foretaste of it.
    Progress {
        id: SessionId,
        /// The response.
        response: Box<Response>,
    },
    /// The first 2xx to our INVITE, which is acknowledged, unless the INVITE had no offer: then
    /// [`ack`](super::Sessions::ack) does.
    Established {
        id: SessionId,
        /// The response. Its body is the answer to our offer, or the offer if we made none.
        response: Box<Response>,
        /// The answer to our offer, where the 2xx says nothing as a provisional response of the same fork has said it: a reliable one, or as
        /// many do any other.
        early: Option<Box<Body>>,
    },
    /// The ACK for our 2xx: the session stands.
    Confirmed {
        id: SessionId,
        /// The answer to the offer in our 2xx, if the INVITE had none.
        body: Option<Body>,
    },
    /// A re-INVITE, an UPDATE, a PRACK with an offer, or an offer in a reliable provisional response:
    /// [`answer`](super::Sessions::answer) or [`reject`](super::Sessions::reject) it.
    Offered {
        id: SessionId,
        /// The offer. `None`: a re-INVITE that wants ours in the answer to it.
        body: Option<Body>,
    },
    /// The answer to an offer of ours. One that comes without [`offer`](super::Sessions::offer) repeats what is known: the engine has
    /// refreshed the session by a re-INVITE, with the last offer or answer of ours.
    Answered {
        id: SessionId,
        /// The answer. `None` if the other side accepted and said nothing.
        body: Option<Body>,
    },
    /// An offer of ours came to nothing, and the session goes on as it was.
    OfferRefused {
        id: SessionId,
        /// How.
        cause: Cause,
    },
    /// What [`Event::Offered`] offered, or asked for, is taken back before it had an answer: the re-INVITE was cancelled.
    OfferWithdrawn { id: SessionId },
    /// An INFO of those that the session takes: [`answer_info`](super::Sessions::answer_info) it.
    Info {
        id: SessionId,
        /// Its name.
        info: InfoId,
        /// The INFO.
        request: Box<Request>,
    },
    /// The first INFO of ours that had no answer yet has one: they end in their order.
    InfoEnded {
        id: SessionId,
        /// Why it came to nothing; `None` if it was taken.
        cause: Option<Cause>,
    },
    /// Our INVITE came to nothing. The last event.
    Failed {
        id: SessionId,
        /// How.
        cause: Cause,
    },
    /// The session is over. The last event.
    Ended {
        id: SessionId,
        /// Why.
        why: Ended,
    },
}

impl Event {
    /// The session.
    pub fn id(&self) -> SessionId {
        match self {
            Event::Invited { id, .. }
            | Event::Progress { id, .. }
            | Event::Established { id, .. }
            | Event::Confirmed { id, .. }
            | Event::Offered { id, .. }
            | Event::Answered { id, .. }
            | Event::OfferRefused { id, .. }
            | Event::OfferWithdrawn { id }
            | Event::Info { id, .. }
            | Event::InfoEnded { id, .. }
            | Event::Failed { id, .. }
            | Event::Ended { id, .. } => *id,
        }
    }

    /// Whether nothing more comes of this session.
    pub fn is_last(&self) -> bool {
        match self {
            Event::Failed { .. } | Event::Ended { .. } => true,
            Event::Invited { .. }
            | Event::Progress { .. }
            | Event::Established { .. }
            | Event::Confirmed { .. }
            | Event::Offered { .. }
            | Event::Answered { .. }
            | Event::OfferRefused { .. }
            | Event::OfferWithdrawn { .. }
            | Event::Info { .. }
            | Event::InfoEnded { .. } => false,
        }
    }
}

/// Counts since the start, and at the end how full the engine is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// INVITEs that would begin a session, each once.
    pub invites_in: u64,
    /// INVITEs of ours that would, those after a redirection not included.
    pub invites_out: u64,
    /// Sessions that were established, by either side.
    pub established: u64,
    /// Re-INVITEs and UPDATEs that came.
    pub changes_in: u64,
    /// Those of ours.
    pub changes_out: u64,
    /// INFOs that came.
    pub infos_in: u64,
    /// Those of ours.
    pub infos_out: u64,
    /// BYEs that came.
    pub byes_in: u64,
    /// BYEs of ours.
    pub byes_out: u64,
    /// Redirections that were followed.
    pub redirected: u64,
    /// 2xx of further forks, which were acknowledged and ended.
    pub forks_ended: u64,
    /// 491, from either side.
    pub glare: u64,
    /// Requests that belonged to no session: 481.
    pub stray: u64,
    /// Requests that came behind one with a higher number: 500.
    pub out_of_order: u64,
    /// Session timers that were too short, for us or for the other side: 422.
    pub too_brief: u64,
    /// 503: the engine was full.
    pub overload: u64,
    /// Sessions that nobody acknowledged.
    pub not_acknowledged: u64,
    /// Sessions whose timer ran out.
    pub expired: u64,
    /// Sessions of which the other side knew nothing any more.
    pub gone: u64,
    /// Sessions of which the last event has not come.
    pub sessions: usize,
    /// Sessions that are over but for what the other side has yet to hear: a BYE or a CANCEL under way or in line, an ACK to come.
    pub ending: usize,
    /// Places of [`Config::max_byes`] that are taken.
    pub byes: usize,
}
