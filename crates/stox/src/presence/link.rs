//! What is done when a stream is up again: the other side may have missed what was said, and so may we.

use super::{Due, Name, Presences};
use crate::config::LinkId;
use crate::mapping::Stage;
use crate::store::Direction;
use base::Time;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;
use xmpp::stanza::Stanza;

/// How often some of it is done.
const STEP: Duration = Duration::from_millis(50);

/// How long until what a full stream has lost is told again.
const AGAIN: Duration = Duration::from_secs(1);

/// How much at one time: a thousand pairs a second.
const BATCH: usize = 50;

/// The pairs that wait to be brought up to date.
#[derive(Debug, Default)]
pub(super) struct Resync {
    waiting: VecDeque<Name>,
    /// Those whose presence was lost a moment ago.
    again: BTreeSet<Name>,
    /// How often each stream came up.
    times: Vec<u32>,
}

impl Resync {
    /// How often a stream came up: what is known from before may be outdated.
    pub(super) fn times(&self, link: Option<LinkId>) -> u32 {
        link.and_then(|link| self.times.get(link)).copied().unwrap_or(0)
    }
}

impl Presences {
    /// Every pair of a stream with a dialog is brought up to date, a few at a time: the server has just begun to work.
    pub(super) fn resync_link(&mut self, stage: &mut Stage<'_>, link: LinkId) {
        if self.resync.times.len() <= link {
            self.resync.times.resize(link + 1, 0);
        }
        self.resync.times[link] = self.resync.times[link].wrapping_add(1);
        let Some(domain) = stage.config.links.get(link).map(|link| &link.domain) else { return };
        let is_of_link = |(direction, pair): &&Name| match direction {
            Direction::SipWatchesXmpp => self.watches.get(pair).is_some_and(|watch| watch.is_of(domain)),
            Direction::XmppWatchesSip => self.subscriptions.get(pair).is_some_and(|s| s.is_of(domain)),
        };
        // Where there was more to do already, its timer is set. Nobody waits twice, however often the stream comes and goes.
        let idle = self.resync.waiting.is_empty();
        self.resync.waiting.retain(|name| !is_of_link(&name));
        self.resync.waiting.extend(self.live.iter().filter(is_of_link));
        if idle {
            self.resync_some(stage);
        }
    }

    /// Sends presence of a pair. What the stream loses, because it ended or had no room, is told again: as it is then.
    pub(super) fn tell(&mut self, stage: &mut Stage<'_>, link: LinkId, name: Name, stanza: &Stanza) {
        if let Some(token) = stage.deliver(link, stanza) {
            self.telling.insert(token, name);
        }
    }

    /// Presence of a pair was lost. If the stream is up, it had no room; if not, all pairs wait for it in any case.
    pub(super) fn untold(&mut self, now: Time, name: Name) {
        if self.live.contains(&name) && !self.resync.again.contains(&name) {
            if self.resync.again.is_empty() {
                self.timers.set(now + AGAIN, Due::Untold);
            }
            self.resync.again.insert(name);
        }
    }

    /// What was lost for want of room is told now.
    pub(super) fn tell_untold(&mut self, stage: &mut Stage<'_>) {
        let idle = self.resync.waiting.is_empty();
        self.resync.waiting.extend(std::mem::take(&mut self.resync.again));
        if idle {
            self.resync_some(stage);
        }
    }

    /// Some more of them.
    pub(super) fn resync_some(&mut self, stage: &mut Stage<'_>) {
        for _ in 0..BATCH {
            let Some((direction, pair)) = self.resync.waiting.pop_front() else { return };
            match direction {
                Direction::SipWatchesXmpp => self.resync_watch(stage, pair),
                Direction::XmppWatchesSip => self.resync_subscription(stage, pair),
            }
        }
        if !self.resync.waiting.is_empty() {
            self.timers.set(stage.now + STEP, Due::Resync);
        }
    }
}
