//! What the layer above says to the engine and hears from it.

use crate::agent::{Flow, Hop, ServerId};
use crate::ground::Cause;
use crate::header::{Name, NameAddr, SubscriptionState};
use crate::message::Request;
use crate::uri::Uri;
use base::Str;
use bytes::Bytes;
use std::fmt;
use std::time::Duration;

/// Names a subscription that we keep, in either role. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsageId(pub(super) u64);

/// The engine's bounds and times.
#[derive(Debug, Clone)]
pub struct Config {
    /// The event packages that are understood; all others get 489 (RFC 6665 §4.2.1.1). Compared byte by byte (§8.2.1).
    pub packages: Vec<&'static str>,
    /// A SUBSCRIBE for less, in seconds, gets 423. RFC 6665 §4.2.1.1 forbids that from an hour on.
    pub min_expires: u32,
    /// No subscription is granted or asked for longer.
    pub max_expires: u32,
    /// How long a SUBSCRIBE without Expires means (RFC 3856 §6.4: an hour).
    pub default_expires: u32,
    /// How many subscriptions there may be, in both roles together.
    pub max_usages: usize,
    /// How many of those may have been made from one address.
    pub max_per_source: usize,
    /// How many SUBSCRIBEs and NOTIFYs of ours may be under way at once. The others wait in line, one place for each usage.
    pub max_outstanding: usize,
    /// The mean distance of NOTIFYs that tell of changes in content (RFC 3856 §6.10: 5 s).
    pub notify_interval: Duration,
    /// How many of these may go out in a row before the distance is kept.
    pub notify_burst: u32,
    /// What Retry-After says where the engine is full, in seconds.
    pub retry_after: u32,
    /// How many sequence numbers a stored dialog is ahead of the live one, so that each NOTIFY need not be stored.
    pub reserve: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            packages: Vec::new(),
            min_expires: 60,
            max_expires: 86_400,
            default_expires: 3600,
            max_usages: 100_000,
            max_per_source: 10_000,
            max_outstanding: 2048,
            notify_interval: Duration::from_secs(5),
            notify_burst: 6,
            retry_after: 30,
            reserve: 10_000,
        }
    }
}

impl Config {
    /// Without what would let nothing be sent, ever.
    pub(super) fn sound(self) -> Config {
        Config { max_outstanding: self.max_outstanding.max(1), reserve: self.reserve.max(2), ..self }
    }
}

/// The state of a subscription as Subscription-State tells it: RFC 6665 §4.1.3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It waits for a decision.
    Pending,
    /// It is granted.
    Active,
    /// It is over.
    Terminated {
        /// Why.
        reason: Option<Reason>,
        /// How many seconds to wait before the next one.
        retry_after: Option<u32>,
    },
}

impl State {
    /// Terminated for this reason.
    pub fn terminated(reason: Reason) -> State {
        State::Terminated { reason: Some(reason), retry_after: None }
    }

    /// What a NOTIFY says. A state that nobody has defined here counts as pending: it grants nothing.
    pub(super) fn of(value: &SubscriptionState) -> State {
        match value.state.as_str() {
            "active" => State::Active,
            "terminated" => {
                State::Terminated { reason: value.reason().map(Reason::parse), retry_after: value.retry_after() }
            }
            _ => State::Pending,
        }
    }

    /// What a NOTIFY of ours says with `left` seconds to go (RFC 6665 §4.2.2: `expires` unless terminated).
    pub(super) fn with_left(&self, left: u32) -> WithLeft<'_> {
        WithLeft(self, left)
    }
}

pub(super) struct WithLeft<'a>(&'a State, u32);

impl fmt::Display for WithLeft<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            State::Pending => write!(f, "pending;expires={}", self.1),
            State::Active => write!(f, "active;expires={}", self.1),
            State::Terminated { reason, retry_after } => {
                f.write_str("terminated")?;
                if let Some(reason) = reason {
                    write!(f, ";reason={}", reason.as_str())?;
                }
                retry_after.map_or(Ok(()), |seconds| write!(f, ";retry-after={seconds}"))
            }
        }
    }
}

/// Why a subscription is over: RFC 6665 §4.1.3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Subscribe anew at once.
    Deactivated,
    /// Subscribe anew later.
    Probation,
    /// It is not granted any more, or never will be.
    Rejected,
    /// It was not refreshed, or was one question and one answer.
    Timeout,
    /// Nobody decided in time.
    Giveup,
    /// What was watched does not exist any more.
    NoResource,
    /// What was watched will not change.
    Invariant,
    /// Another token.
    Other(Str),
}

impl Reason {
    fn parse(text: &str) -> Reason {
        match text {
            "deactivated" => Reason::Deactivated,
            "probation" => Reason::Probation,
            "rejected" => Reason::Rejected,
            "timeout" => Reason::Timeout,
            "giveup" => Reason::Giveup,
            "noresource" => Reason::NoResource,
            "invariant" => Reason::Invariant,
            other => Reason::Other(Str::new(other)),
        }
    }

    /// The reason as it stands in Subscription-State.
    pub fn as_str(&self) -> &str {
        match self {
            Reason::Deactivated => "deactivated",
            Reason::Probation => "probation",
            Reason::Rejected => "rejected",
            Reason::Timeout => "timeout",
            Reason::Giveup => "giveup",
            Reason::NoResource => "noresource",
            Reason::Invariant => "invariant",
            Reason::Other(other) => other,
        }
    }
}

/// What a SUBSCRIBE or REFER that came wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A subscription.
    New,
    /// One NOTIFY: RFC 6665 §4.4.3.
    Fetch,
    /// To go on with a subscription.
    Refresh,
    /// To end one.
    End,
    /// What Refer-To names, and to hear what came of it: RFC 3515. Where the request says `Refer-Sub: false` (RFC 4488) nothing is to be heard:
    /// [`Subscriptions::accept`](super::Subscriptions::accept) says so in the 200, and [`Event::Ended`] follows.
    Refer,
}

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// What is watched. Such NOTIFYs keep their distance.
    Content,
    /// The state of the subscription itself, which is told at once.
    State,
}

/// The body of a NOTIFY.
#[derive(Debug, Clone)]
pub struct Body<'a> {
    /// Content-Type.
    pub content_type: &'a str,
    /// Content-Language.
    pub language: Option<&'a str>,
    /// The body.
    pub content: Bytes,
}

/// What we want to watch.
#[derive(Debug, Clone)]
pub struct Subscribe {
    /// The event package, one of [`Config::packages`].
    pub package: &'static str,
    /// The `id` of Event, a token; needed for nothing unless the other side wants it.
    pub event_id: Option<Str>,
    /// From; its parameters are left out.
    pub local: NameAddr,
    /// Request-URI and To.
    pub remote: Uri,
    /// Contact, with its feature parameters.
    pub contact: NameAddr,
    /// Accept; left out if empty.
    pub accept: &'static str,
    /// How long, in seconds; 0 asks for one NOTIFY (RFC 6665 §4.4.3). Of a REFER: how long the last NOTIFY is waited for if the first one does
    /// not say how long that may take (RFC 3515 §2.4.4); 0 is [`Config::default_expires`].
    pub expires: u32,
    /// A proxy that the first request goes through, as a name-addr.
    pub route: Option<Str>,
    /// The next hop of the first request.
    pub hop: Hop,
    /// Call-ID, or none to have one minted.
    pub call_id: Option<Str>,
    /// The request that asks for it.
    pub by: By,
}

/// What makes a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// SUBSCRIBE: RFC 6665.
    Subscribe,
    /// REFER, for the package `refer`: RFC 3515. It is never refreshed by itself, and it is nothing that is stored.
    Refer {
        /// Refer-To, a name-addr.
        refer_to: Str,
        /// What else it says: Referred-By, Refer-Sub, Supported, Target-Dialog, ...
        headers: Vec<(Name, Str)>,
    },
}

/// Why a usage did not even begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// [`Config::max_usages`] are there.
    Full,
    /// The package is none of [`Config::packages`].
    Package,
    /// A dialog of this name is there already, or such a subscription in this dialog.
    Known,
    /// It is no dialog: it lacks a tag or holds no URI.
    Broken,
}

/// What the layer above is told. Each names the usage and its package. Where it says so the usage is dead: nothing more comes of it, and
/// whatever is said of it is ignored, but for SUBSCRIBEs and NOTIFYs that still want their answer.
#[derive(Debug)]
#[allow(missing_docs, reason = "`id`, `package` and `server` are the same in each")]
pub enum Event {
    /// A SUBSCRIBE or REFER: decide with [`Subscriptions::accept`](super::Subscriptions::accept) or
    /// [`Subscriptions::refuse`](super::Subscriptions::refuse), without asking any person (RFC 6665 §4.2.1.1).
    Watch {
        id: UsageId,
        package: &'static str,
        server: ServerId,
        /// The request. A REFER has one Refer-To, which can be read.
        request: Box<Request>,
        /// The way it came.
        flow: Flow,
        /// What it wants.
        kind: Kind,
        /// How many seconds it gets at most.
        expires: u32,
    },
    /// A NOTIFY can go out: say what it says with [`Subscriptions::notify`](super::Subscriptions::notify), or
    /// [`Subscriptions::skip`](super::Subscriptions::skip) it.
    Wanted {
        id: UsageId,
        package: &'static str,
        /// It is the last one: whatever state is given, it says `terminated`, if nothing else with `reason=timeout`.
        last: bool,
        /// The one before was not taken: what it told has yet to be told.
        again: bool,
    },
    /// A NOTIFY failed for good, or a first SUBSCRIBE was not answered in time. The usage is dead.
    WatcherGone {
        id: UsageId,
        package: &'static str,
        /// How it failed.
        cause: Cause,
    },
    /// It was not refreshed in time. A last [`Event::Wanted`] follows.
    Lapsed { id: UsageId, package: &'static str },
    /// The last NOTIFY was answered, by the other side or by us. The usage is dead.
    Ended { id: UsageId, package: &'static str },
    /// A 2xx to a SUBSCRIBE or REFER of ours. It says nothing of the state (RFC 6665 §4.1.2.4), and may come behind NOTIFYs; behind the last one it
    /// is not heard of. One that says that there will be none (RFC 4488) is [`Event::Ended`].
    Accepted {
        id: UsageId,
        package: &'static str,
        /// How many seconds it is good for.
        expires: u32,
    },
    /// A NOTIFY: answer it with [`Subscriptions::answer_notify`](super::Subscriptions::answer_notify).
    Notify {
        id: UsageId,
        package: &'static str,
        server: ServerId,
        /// The NOTIFY.
        request: Box<Request>,
        /// The state that it tells.
        state: State,
    },
    /// A subscription of ours wants to be refreshed: at a moment of chance between 70 and 90 % of its time, and again some time after a
    /// refresh has failed.
    RefreshDue { id: UsageId, package: &'static str },
    /// A SUBSCRIBE or REFER of ours failed.
    Refused {
        id: UsageId,
        package: &'static str,
        /// How.
        cause: Cause,
        /// Whether the usage is dead. If not, it was a refresh, and the subscription goes on until it expires.
        gone: bool,
    },
    /// A subscription of ours ran out, or no NOTIFY came in time (Timer N: RFC 6665 §4.1.2.4). The usage is dead.
    Expired { id: UsageId, package: &'static str },
    /// What [`Subscriptions::snapshot`](super::Subscriptions::snapshot) gives has changed so that it should be stored, and confirmed.
    Save { id: UsageId, package: &'static str },
}

impl Event {
    /// The usage.
    pub fn id(&self) -> UsageId {
        match self {
            Event::Watch { id, .. }
            | Event::Wanted { id, .. }
            | Event::WatcherGone { id, .. }
            | Event::Lapsed { id, .. }
            | Event::Ended { id, .. }
            | Event::Accepted { id, .. }
            | Event::Notify { id, .. }
            | Event::RefreshDue { id, .. }
            | Event::Refused { id, .. }
            | Event::Expired { id, .. }
            | Event::Save { id, .. } => *id,
        }
    }

    /// Its package.
    pub fn package(&self) -> &'static str {
        match self {
            Event::Watch { package, .. }
            | Event::Wanted { package, .. }
            | Event::WatcherGone { package, .. }
            | Event::Lapsed { package, .. }
            | Event::Ended { package, .. }
            | Event::Accepted { package, .. }
            | Event::Notify { package, .. }
            | Event::RefreshDue { package, .. }
            | Event::Refused { package, .. }
            | Event::Expired { package, .. }
            | Event::Save { package, .. } => package,
        }
    }

    /// Whether the usage is dead.
    pub fn is_last(&self) -> bool {
        match self {
            Event::WatcherGone { .. } | Event::Ended { .. } | Event::Expired { .. } => true,
            Event::Refused { gone, .. } => *gone,
            Event::Watch { .. }
            | Event::Wanted { .. }
            | Event::Lapsed { .. }
            | Event::Accepted { .. }
            | Event::Notify { .. }
            | Event::RefreshDue { .. }
            | Event::Save { .. } => false,
        }
    }
}

/// Counts since the start, and at the end how full the engine is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// SUBSCRIBEs that came, each once.
    pub subscribes_in: u64,
    /// REFERs that came, each once.
    pub refers_in: u64,
    /// NOTIFYs that came, each once.
    pub notifies_in: u64,
    /// SUBSCRIBEs of ours.
    pub subscribes_out: u64,
    /// REFERs of ours.
    pub refers_out: u64,
    /// NOTIFYs of ours.
    pub notifies_out: u64,
    /// SUBSCRIBEs, REFERs and NOTIFYs that belonged to nothing: 481.
    pub stray: u64,
    /// Requests that came behind one with a higher number: 500.
    pub out_of_order: u64,
    /// SUBSCRIBEs for less than the least: 423.
    pub too_brief: u64,
    /// SUBSCRIBEs and NOTIFYs of other packages: 489.
    pub bad_event: u64,
    /// 503: the engine was full.
    pub overload: u64,
    /// Watchers that were dropped because a NOTIFY failed.
    pub watchers_gone: u64,
    /// Watchers that did not refresh in time.
    pub lapsed: u64,
    /// Usages in the role of the subscriber.
    pub subscribers: usize,
    /// Usages in the role of the notifier.
    pub notifiers: usize,
    /// Places of [`Config::max_outstanding`] that are taken.
    pub outstanding: usize,
    /// Usages that wait in line for one.
    pub waiting: usize,
}
