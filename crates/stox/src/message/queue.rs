//! Messages on their way to SIP: one of each pair in flight, the others behind it (RFC 3428 §8).

use super::x2s::Draft;
use crate::config::LinkId;
use base::{Fingerprint, HashKey, Str, Table, Time};
use sip::agent::ClientId;
use std::collections::VecDeque;
use xmpp::stanza::Stanza;

/// Why something goes to a SIP user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A person wrote it: a failure is told.
    Message {
        /// A receipt (XEP-0184) was asked for.
        receipt: bool,
    },
    /// A chat state or a receipt: a failure is not told.
    Notice,
}

/// One message on its way to SIP.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) link: LinkId,
    /// The stanza without its content, to answer it.
    pub(super) envelope: Stanza,
    pub(super) draft: Draft,
    pub(super) purpose: Purpose,
    pub(super) since: Time,
    /// Only plain text: the peer refused more.
    pub(super) plain: bool,
}

impl Job {
    /// The bytes that it takes.
    fn weight(&self) -> usize {
        let e = &self.envelope;
        let texts = [&e.id, &e.type_, &e.lang].into_iter().flatten().map(Str::len).sum::<usize>();
        size_of::<Job>() + self.draft.weight() + texts
    }
}

/// All messages on their way to SIP. Jobs are boxed: tables and lines have room for more than they hold, and a job takes over a kilobyte.
#[derive(Debug)]
pub(super) struct Queue {
    flying: Table<ClientId, (Fingerprint, Box<Job>)>,
    /// A pair with a message in flight, and what waits behind it.
    waiting: Table<Fingerprint, VecDeque<Box<Job>>>,
    waiting_total: usize,
    /// What all of them weigh, those in flight too.
    bytes: usize,
}

/// The queue of a pair, or of all, is full.
#[derive(Debug)]
pub(super) struct Full;

impl Queue {
    pub(super) fn new(key: HashKey) -> Queue {
        Queue { flying: Table::new(key), waiting: Table::new(key), waiting_total: 0, bytes: 0 }
    }

    /// How many messages are in flight or wait.
    pub(super) fn len(&self) -> usize {
        self.flying.len() + self.waiting_total
    }

    /// Whether `job` finds room among `most` bytes.
    pub(super) fn has_room(&self, job: &Job, most: usize) -> bool {
        self.bytes + job.weight() <= most
    }

    pub(super) fn is_busy(&self, pair: &Fingerprint) -> bool {
        self.waiting.contains(pair)
    }

    /// Puts `job` behind the others of its pair.
    pub(super) fn wait(&mut self, pair: Fingerprint, job: Job, per_pair: usize, total: usize) -> Result<(), Full> {
        if self.waiting_total >= total {
            return Err(Full);
        }
        let line = self.waiting.or_insert_with(pair, VecDeque::new);
        if line.len() >= per_pair {
            return Err(Full);
        }
        self.bytes += job.weight();
        line.push_back(Box::new(job));
        self.waiting_total += 1;
        Ok(())
    }

    /// `job` is in flight under the name `client`.
    pub(super) fn fly(&mut self, client: ClientId, pair: Fingerprint, job: Job) {
        self.waiting.or_insert_with(pair, VecDeque::new);
        self.bytes += job.weight();
        self.flying.insert(client, (pair, Box::new(job)));
    }

    /// The transaction `client` has ended. The pair stays busy until [`Queue::next`] finds nothing.
    pub(super) fn land(&mut self, client: ClientId) -> Option<(Fingerprint, Job)> {
        let (pair, job) = self.flying.remove(&client)?;
        self.bytes -= job.weight();
        Some((pair, *job))
    }

    /// All that is in flight, which is then no more; what waits behind it is still to be asked for with [`Queue::next`].
    pub(super) fn land_all(&mut self) -> Vec<(Fingerprint, Job)> {
        let all: Vec<_> = self.flying.take_sorted().into_iter().map(|(_, (pair, job))| (pair, *job)).collect();
        self.bytes -= all.iter().map(|(_, job)| job.weight()).sum::<usize>();
        all
    }

    /// The next job of `pair`; nothing and the pair is idle.
    pub(super) fn next(&mut self, pair: &Fingerprint) -> Option<Job> {
        let job = self.waiting.get_mut(pair).and_then(VecDeque::pop_front);
        match &job {
            Some(job) => {
                self.waiting_total -= 1;
                self.bytes -= job.weight();
            }
            None => drop(self.waiting.remove(pair)),
        }
        job.map(|job| *job)
    }
}
