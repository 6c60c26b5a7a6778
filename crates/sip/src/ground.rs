//! What the engines above the agent share: what they stand on for one call, and why a request of theirs failed.

use crate::agent::{Agent, Failure, Hop, ServerId};
use crate::dialog::Dialog;
use crate::header::Name;
use crate::message::Response;
use base::{Time, Tokens};
use std::fmt;

/// The characters of our tags and Call-IDs: 80 and 130 random bits.
pub(crate) const TAG: usize = 16;
pub(crate) const CALL_ID: usize = 26;

/// Who knows the way: requests within a dialog go to the first of the route set, or else to the target (RFC 3261 §8.1.2).
pub trait NextHop {
    /// The next hop of a request in this dialog, or of one that would begin it. `None` if there is no way.
    fn next_hop(&self, dialog: &Dialog) -> Option<Hop>;
}

/// What an engine without dialogs stands on for one call.
#[derive(Debug)]
pub struct Floor<'a> {
    /// The moment.
    pub now: Time,
    /// The agent that requests and answers go through.
    pub agent: &'a mut Agent,
    /// The source of what cannot be guessed.
    pub tokens: &'a mut Tokens,
}

/// What an engine stands on for one call.
pub struct Ground<'a> {
    /// The moment.
    pub now: Time,
    /// The agent that requests and answers go through.
    pub agent: &'a mut Agent,
    /// Who knows the way.
    pub hops: &'a dyn NextHop,
    /// The source of tags, Call-IDs and jitter.
    pub tokens: &'a mut Tokens,
}

impl fmt::Debug for Ground<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ground").field("now", &self.now).finish_non_exhaustive()
    }
}

/// Why a request of ours failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It was refused.
    Response(Box<Response>),
    /// Nobody answered; or, of a SUBSCRIBE that came, we did not answer in time.
    Timeout,
    /// It could not be carried.
    Transport,
    /// There is no way to the target, or no number left.
    NoWay,
}

impl From<Failure> for Cause {
    fn from(failure: Failure) -> Cause {
        match failure {
            Failure::Timeout => Cause::Timeout,
            Failure::Transport | Failure::Unknown => Cause::Transport,
            Failure::Nowhere => Cause::NoWay,
        }
    }
}

/// Answers a request.
pub(crate) fn respond(ground: &mut Ground<'_>, server: ServerId, mut response: Response, headers: &[(Name, &str)]) {
    for (name, value) in headers {
        response.headers.push(*name, value);
    }
    ground.agent.respond(ground.now, server, response);
}

/// Retry-After in seconds, if the answer has one.
pub(crate) fn retry_after(response: &Response) -> Option<u32> {
    let value = response.headers.get(Name::RetryAfter)?;
    crate::header::RetryAfter::parse(value).ok().map(|value| value.seconds)
}
