//! The client's side of RFC 4976: an AUTH asks the relay for a path, and a digest shows who asks.

mod digest;

pub(crate) use digest::{Challenge, param};

use crate::uri::Path;
use base::digest::Hash;
use base::{Str, Time};
use std::time::Duration;

/// A path for longer than this is asked for again by then: nobody lives on a promise of a century.
const LONGEST: u64 = 7 * 24 * 3600;
/// A relay that says nothing of it has promised this much.
const USUAL: u64 = 3600;

/// A session's dealings with its relay.
#[derive(Debug, Default)]
pub(crate) struct Login {
    use_path: Option<Path>,
    /// The AUTH that is under way, and what its answer must show.
    pub(crate) asked: Option<Asked>,
    /// AUTHs without success in a row.
    pub(crate) attempts: u8,
    refresh: Option<Time>,
    /// When the path is none any more.
    pub(crate) expires: Option<Time>,
}

/// An AUTH that is under way.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Its transaction id.
    pub(crate) transaction: Str,
    /// What the relay's own digest must be, if ours was sent.
    pub(crate) rspauth: Option<Hash>,
    /// When it has failed.
    pub(crate) until: Time,
}

impl Login {
    /// The relays, in the order in which our messages go through them.
    pub(crate) fn use_path(&self) -> Option<&Path> {
        self.use_path.as_ref()
    }

    /// When the relay is to be asked again, or has not answered in time.
    pub(crate) fn refresh_at(&self) -> Option<Time> {
        self.asked.as_ref().map(|asked| asked.until).or(self.refresh)
    }

    /// The relay gave a path. A path that differs from that of before cannot be told to the other end: the one of before goes on until it
    /// ends.
    pub(crate) fn granted(&mut self, now: Time, path: &Path, expires: Option<u64>) {
        self.asked = None;
        self.attempts = 0;
        let known = self.use_path.get_or_insert_with(|| path.clone());
        if !known.matches(path) {
            self.refresh = self.expires;
            return;
        }
        let seconds = expires.unwrap_or(USUAL).clamp(1, LONGEST);
        self.expires = Some(now + Duration::from_secs(seconds));
        // Early enough for another try or two.
        self.refresh = Some(now + Duration::from_millis(seconds * 800));
    }

    /// No refresh succeeded; it is tried again when half of what is left has passed. `false` if nothing is left.
    pub(crate) fn postpone(&mut self, now: Time) -> bool {
        self.asked = None;
        self.attempts = 0;
        let Some(expires) = self.expires.filter(|at| *at > now) else { return false };
        let left = expires - now;
        self.refresh = Some(if left < Duration::from_secs(10) { expires } else { now + left / 2 });
        true
    }
}

#[cfg(test)]
mod tests;
