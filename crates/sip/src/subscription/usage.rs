//! One subscription: what is stored of it, and what is kept of it in memory.

use super::value::{Change, Config, Kind};
use super::{notifier, subscriber};
use crate::agent::{ClientId, ServerId};
use crate::dialog::Dialog;
use base::{Str, Time, format_compact};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// Which end of a subscription we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// We watch.
    Subscriber,
    /// We are watched.
    Notifier,
}

/// The states of RFC 6665 §4.1.2 and §4.2.2, by their names there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageState {
    /// Either role: no SUBSCRIBE has been sent, or accepted.
    Init,
    /// The subscriber waits for a first NOTIFY.
    NotifyWait,
    /// The notifier has accepted and not said yet what the state is.
    RespWait,
    /// Either role.
    Pending,
    /// Either role.
    Active,
    /// Either role: all that is left is the answer to the last NOTIFY.
    Terminated,
}

/// What is stored of a subscription: enough to go on with it in another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Which end we are.
    pub role: Role,
    /// The dialog. Its `local_cseq` is ahead of the live one, so that numbers that were used since are not used again.
    pub dialog: Dialog,
    /// The event package.
    pub package: Str,
    /// The `id` of Event.
    #[serde(default)]
    pub event_id: Option<Str>,
    /// How far it has come.
    pub state: UsageState,
    /// Our Contact: a URI, or a name-addr with parameters.
    pub contact: Str,
    /// Accept, of a subscriber.
    #[serde(default)]
    pub accept: Str,
    /// The seconds that a subscriber asks for, or a notifier has granted.
    pub expires: u32,
    /// The seconds that were left.
    pub expires_in: u32,
    /// The address that a notifier's subscription was made from.
    #[serde(default)]
    pub source: Option<IpAddr>,
}

/// A request that waits for the answer of the layer above.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) server: ServerId,
    pub(super) wish: Wish,
}

/// What such a request wants.
#[derive(Debug)]
pub(super) enum Wish {
    Watch {
        kind: Kind,
        expires: u32,
        /// The target it brought.
        target: Option<Str>,
        /// RFC 4488: no NOTIFY is wanted.
        quiet: bool,
    },
    Notify {
        /// It said `terminated`.
        last: bool,
    },
}

/// How many requests of one usage may wait for their answers. One is the rule, two when an end overtakes a refresh.
pub(super) const MAX_UNANSWERED: usize = 4;

/// What has made a usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    BySubscribe,
    /// With its number, once it has one.
    ByRefer(Option<u32>),
}

/// The part that only one role has.
#[derive(Debug)]
pub(super) enum Part {
    Subscriber(subscriber::Part),
    Notifier(notifier::Part),
}

/// What is kept of a subscription in memory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) package: &'static str,
    pub(super) event_id: Option<Str>,
    pub(super) made: Made,
    /// It is never stored: it ends with the session whose dialog it shares, or with what a REFER asked for.
    pub(super) fleeting: bool,
    /// Our Contact, a name-addr.
    pub(super) contact: Str,
    pub(super) state: UsageState,
    pub(super) dialog: Dialog,
    /// The number of its last request.
    pub(super) number: u32,
    /// The last number that may be used: that of the last snapshot known to be on disk.
    pub(super) ceiling: u32,
    /// When the layer above is asked again to store it because the numbers run short.
    pub(super) save_again: Time,
    /// Whether an [`Event::Save`](super::Event::Save) waits to be polled.
    pub(super) save_waits: bool,
    pub(super) expires: u32,
    pub(super) expires_at: Option<Time>,
    /// The other side has ended it, or it lapsed, or we have: one more exchange and it is over.
    pub(super) ending: bool,
    /// Its ticket, while it waits in line.
    pub(super) ticket: Option<u64>,
    /// Whether it has a place in the window.
    pub(super) holds: bool,
    /// Its request that is under way.
    pub(super) client: Option<ClientId>,
    /// No request before this.
    pub(super) hold_until: Time,
    pub(super) unanswered: Vec<Unanswered>,
    /// What the queue of deadlines knows of it.
    pub(super) queued: Option<Time>,
    pub(super) part: Part,
}

/// When an entry wants to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ready {
    Never,
    At(Time),
    Now,
}

impl Entry {
    /// An entry in the state init.
    pub(super) fn new(
        package: &'static str,
        event_id: Option<Str>,
        made: Made,
        contact: Str,
        dialog: Dialog,
        part: Part,
        config: &Config,
    ) -> Entry {
        let fleeting = dialog.is_shared() || matches!(made, Made::ByRefer(_));
        let ceiling = if fleeting { u32::MAX } else { dialog.local_cseq().saturating_add(config.reserve) };
        Entry {
            package,
            event_id,
            made,
            fleeting,
            contact,
            state: UsageState::Init,
            ceiling,
            dialog,
            number: 0,
            save_again: Time::ZERO,
            save_waits: false,
            expires: 0,
            expires_at: None,
            ending: false,
            ticket: None,
            holds: false,
            client: None,
            hold_until: Time::ZERO,
            unanswered: Vec::new(),
            queued: None,
            part,
        }
    }

    pub(super) fn role(&self) -> Role {
        match self.part {
            Part::Subscriber(_) => Role::Subscriber,
            Part::Notifier(_) => Role::Notifier,
        }
    }

    /// Event, as every request of this subscription has it (RFC 6665 §8.2.1).
    pub(super) fn event(&self) -> Str {
        match &self.event_id {
            None => Str::const_new(self.package),
            Some(id) => format_compact!("{};id={id}", self.package),
        }
    }

    /// RFC 6665 §8.2.1: package and id byte by byte, and nothing else of it. What a REFER made may go without its id where that is clear (RFC
    /// 3515 §2.4.6).
    pub(super) fn is_about(&self, event: &crate::header::Event) -> bool {
        let id = event.id();
        let fits = match self.made {
            Made::BySubscribe | Made::ByRefer(None) => id == self.event_id.as_deref(),
            Made::ByRefer(Some(number)) => id.is_none_or(|id| id == format_compact!("{number}")),
        };
        event.package == self.package && fits
    }

    /// The seconds that are left.
    pub(super) fn left(&self, now: Time) -> u32 {
        self.expires_at.map_or(0, |at| u32::try_from(at.since(now).as_secs()).unwrap_or(u32::MAX))
    }

    /// Whether half of the numbers that may be used without another word from the disk are used.
    fn runs_short(&self, config: &Config) -> bool {
        self.ceiling.saturating_sub(self.dialog.local_cseq()) <= config.reserve / 2
    }

    /// Whether no number may be used until the disk is heard of. The last request of a dialog does not wait: nothing follows it, but from a
    /// process that has died too early to know of the end, and that one is answered 481.
    fn is_held_up(&self) -> bool {
        self.dialog.local_cseq() >= self.ceiling && !self.ending
    }

    /// From when on it may send what it wants to send, if there is anything and the numbers last.
    fn wants_from(&self, config: &Config) -> Option<Time> {
        match &self.part {
            Part::Subscriber(part) => part.wants_from(self),
            Part::Notifier(part) => part.wants_from(self, config),
        }
    }

    /// Whether it is time to ask for another save: the numbers run short, and they are in use. What was restored has none until then, and
    /// most of that is at rest.
    pub(super) fn wants_save(&self, config: &Config) -> bool {
        self.runs_short(config) && !self.ending && (self.holds || self.wants_from(config).is_some())
    }

    /// Whether it wants to send something, and when.
    pub(super) fn ready(&self, now: Time, config: &Config) -> Ready {
        match self.wants_from(config) {
            None => Ready::Never,
            Some(_) if self.holds || self.is_held_up() => Ready::Never,
            Some(at) if at <= now => Ready::Now,
            Some(at) => Ready::At(at),
        }
    }

    /// When something is due.
    pub(super) fn deadline(&self, ready: Ready, config: &Config) -> Option<Time> {
        let own = match &self.part {
            Part::Subscriber(part) => part.deadline(self),
            Part::Notifier(_) => self.expires_at,
        };
        let send = match ready {
            Ready::At(at) => Some(at),
            Ready::Never | Ready::Now => None,
        };
        let save = (self.is_held_up() && self.wants_save(config)).then_some(self.save_again);
        [own, send, save].into_iter().flatten().min()
    }

    /// Takes out the request of this name.
    pub(super) fn take(&mut self, server: ServerId) -> Option<Wish> {
        let at = self.unanswered.iter().position(|u| u.server == server)?;
        let wish = self.unanswered.remove(at).wish;
        if self.unanswered.is_empty() {
            self.unanswered = Vec::new();
        }
        Some(wish)
    }
}

/// The distance that NOTIFYs of one dialog keep: a burst at once, then one in each interval. Kept as the moment at which the next one would
/// be due if all had kept their distance.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace(Time);

impl Pace {
    /// One goes out.
    pub(super) fn count(&mut self, now: Time, config: &Config) {
        self.0 = self.0.max(now) + config.notify_interval;
    }

    /// From when on another one may.
    pub(super) fn free_from(self, config: &Config) -> Time {
        let slack = config.notify_interval * config.notify_burst.saturating_sub(1);
        let slack = u64::try_from(slack.as_micros()).unwrap_or(u64::MAX);
        Time::from_micros(self.0.as_micros().saturating_sub(slack))
    }
}

/// The later of two wishes to tell of a change: that of the state is the stronger one.
pub(super) fn stronger(wish: Option<Change>, change: Change) -> Option<Change> {
    wish.max(Some(change))
}

/// Seconds as a duration.
pub(super) fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}
