//! What is registered, and how it stands.

use crate::agent::Hop;
use crate::digest::Fault;
use crate::uri::Uri;
use base::{Str, Time};
use std::fmt;
use std::time::Duration;

/// Names a registration. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistrationId(pub(super) u64);

/// The bounds.
#[derive(Debug, Clone)]
pub struct Config {
    /// How many registrations there may be; beyond, [`super::Registrations::open`] gives none.
    pub max: usize,
    /// How many requests may be under way at once; the rest waits.
    pub max_outstanding: usize,
    /// The longest Expires that a 423 makes us ask for, in seconds.
    pub max_expires: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { max: 100_000, max_outstanding: 64, max_expires: 86_400 }
    }
}

/// What is to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Where: the Request-URI, a domain without a user (RFC 3261 §10.2).
    pub registrar: Uri,
    /// The address of record: From and To.
    pub address: Uri,
    /// Where requests for it are to go: the Contact.
    pub contact: Uri,
    /// The next hop, with the account that answers challenges.
    pub hop: Hop,
    /// The Route that leads through it, where it wants one.
    pub route: Option<Str>,
    /// For how long, in seconds.
    pub expires: u32,
    /// How long after a failure the next attempt is made; twice as long after each further one, up to half an hour.
    pub retry: Duration,
    /// Who we are, for a registrar that does RFC 5626: then requests come over the connection that the REGISTER went by, through whatever is between.
    pub outbound: Option<Outbound>,
}

/// RFC 5626 §4.2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    /// The instance: a URN that stays the same over restarts, `urn:uuid:...`.
    pub instance: Str,
    /// Which of the instance's flows this is, from 1.
    pub reg_id: u32,
}

/// Why there is no registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It was refused.
    Refused {
        /// The status.
        code: u16,
        /// Its words, of the registrar's choice: printable, and not long.
        reason: Str,
    },
    /// The challenge could not be answered, or the answer was refused.
    Credentials(Fault),
    /// Nobody has answered.
    Timeout,
    /// It could not be sent, or there is no such place.
    Transport,
    /// The registrar wants it for longer than we would ([`Config::max_expires`]).
    TooBrief,
    /// It was accepted, and our contact is not among those that the answer lists, or has no time to live.
    NotThere,
    /// The connection is gone that requests come by (RFC 5626 §4.5).
    FlowLost,
    /// It has expired before it could be refreshed.
    Expired,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Refused { code, reason } => write!(f, "{code} {reason}"),
            Why::Credentials(fault) => fault.fmt(f),
            Why::Timeout => f.write_str("no answer"),
            Why::Transport => f.write_str("cannot be reached"),
            Why::TooBrief => f.write_str("the registrar wants longer registrations"),
            Why::NotThere => f.write_str("accepted without our contact"),
            Why::FlowLost => f.write_str("the connection is gone"),
            Why::Expired => f.write_str("expired"),
        }
    }
}

/// What the layer above is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It is registered, as it was not before, or other things were granted than before.
    Registered {
        /// The registration.
        id: RegistrationId,
    },
    /// An attempt has failed. What was registered before is so until it expires ([`Status::until`]).
    Failed {
        /// The registration.
        id: RegistrationId,
        /// Why.
        why: Why,
        /// When it is tried again; none: not before [`super::Registrations::retry`].
        again: Option<Time>,
    },
    /// It was to end, and is no more.
    Ended {
        /// The registration.
        id: RegistrationId,
    },
}

/// What was granted besides the time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Granted {
    /// What requests of the address of record are to go through, the nearest first, each a name-addr: RFC 3608.
    pub service_route: Vec<Str>,
}

/// How a registration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status<'a> {
    /// Until when it is registered; none: it is not, or nothing can come as the connection is gone that it would come by.
    pub until: Option<Time>,
    /// What was granted, where it is registered.
    pub granted: &'a Granted,
    /// Why the last attempt failed, if it did, and when the next one is made.
    pub trouble: Option<(&'a Why, Option<Time>)>,
}

/// Counts since the start, and at the end how many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests.
    pub requests: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Registrations that there are to be.
    pub open: usize,
    /// Those that are registered.
    pub registered: usize,
}
