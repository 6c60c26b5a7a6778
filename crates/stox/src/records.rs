//! Records of what dies with the process: taking them out of the store, and what a restart has found in it.

use crate::config::LinkId;
use crate::mapping::Stage;
use crate::store::{Key, SaveToken};
use base::{HashKey, Table, Time};
use std::collections::VecDeque;
use std::time::Duration;

/// When it is tried again to take a record out of the store.
const AGAIN: Duration = Duration::from_secs(10);

/// How many things are ended at once where many are to be, and how long after the next ones are: a thousand a second. All at once would be too
/// much for the streams.
pub(crate) const SOME: usize = 100;
pub(crate) const PACE: Duration = Duration::from_millis(100);

/// Records on their way out of the store, and those that would not go, which are tried again: nobody is to be told of what was long ago.
#[derive(Debug)]
pub(crate) struct Forgetting {
    pending: Table<SaveToken, Vec<u8>>,
    again: Vec<Vec<u8>>,
    at: Option<Time>,
}

impl Forgetting {
    pub(crate) fn new(key: HashKey) -> Forgetting {
        Forgetting { pending: Table::new(key), again: Vec::new(), at: None }
    }

    /// Takes a record out of the store, if need be later.
    pub(crate) fn forget(&mut self, stage: &mut Stage<'_>, key: Vec<u8>) {
        let token = stage.save(key.clone(), None);
        self.pending.insert(token, key);
    }

    /// Whether a wish was one of these.
    pub(crate) fn saved(&mut self, now: Time, token: SaveToken, saved: bool) -> bool {
        let Some(key) = self.pending.remove(&token) else { return false };
        if !saved {
            self.again.push(key);
            self.at.get_or_insert(now + AGAIN);
        }
        true
    }

    /// Lets pass what is due.
    pub(crate) fn timeout(&mut self, stage: &mut Stage<'_>) {
        if self.at.is_some_and(|at| at <= stage.now) {
            self.at = None;
            for key in std::mem::take(&mut self.again) {
                self.forget(stage, key);
            }
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.at
    }
}

/// What a restart has found: things whose connections died with the process before, of which both sides are to be told.
#[derive(Debug)]
pub(crate) struct Orphans<R> {
    records: VecDeque<(Key, R)>,
    at: Option<Time>,
}

impl<R> Orphans<R> {
    pub(crate) fn new() -> Orphans<R> {
        Orphans { records: VecDeque::new(), at: None }
    }

    pub(crate) fn push(&mut self, key: Key, record: R) {
        self.records.push_back((key, record));
    }

    /// A stream is up: those that waited for it can be told of.
    pub(crate) fn link_up(&mut self, now: Time) {
        if !self.records.is_empty() {
            self.at = Some(now);
        }
    }

    /// Takes out those whose time has come, [`SOME`] at most, each with the stream that speaks for its SIP domain; without one where the
    /// domain is not ours any more. The record is then to be forgotten.
    pub(crate) fn take(&mut self, stage: &Stage<'_>) -> Vec<(Option<LinkId>, Key, R)> {
        if self.at.is_none_or(|at| at > stage.now) {
            return Vec::new();
        }
        let mut taken = Vec::new();
        for _ in 0..self.records.len() {
            if taken.len() == SOME {
                break;
            }
            let Some((key, record)) = self.records.pop_front() else { break };
            match stage.link_of(key.sip.domain()) {
                Some(link) if !stage.links.is_up(link) => self.records.push_back((key, record)),
                link => taken.push((link, key, record)),
            }
        }
        self.at = (taken.len() == SOME).then_some(stage.now + PACE);
        taken
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.at
    }
}
