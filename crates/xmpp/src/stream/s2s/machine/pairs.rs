//! The pairs of one stream.

use crate::stream::s2s::barrier::{Barriers, Settled};
use crate::stream::s2s::{Pair, Proof};
use base::{Str, Time};
use std::collections::BTreeMap;

/// Whether we may send for a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outward {
    /// Nobody has asked.
    Idle,
    /// We are to ask once it is known what their certificate is worth.
    Judging,
    /// Our key is out.
    Asked { until: Time },
    /// We may.
    Ready(Proof),
}

/// Whether they may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Inward {
    /// Nobody has asked.
    Idle,
    /// They have asked with this key; what their certificate is worth is to be heard.
    Judging { key: Str },
    /// Their key is being verified.
    Verifying { until: Time },
    /// They may.
    Accepted(Proof),
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) outward: Outward,
    pub(super) inward: Inward,
    pub(super) barriers: Barriers,
}

/// A verification that we have asked for: what for, the id of the stream, until when.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) pair: Pair,
    pub(super) id: Str,
    pub(super) until: Time,
}

/// The pairs of one stream, and the keys that it has verified.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    // As many as the configuration allows, mostly one.
    entries: BTreeMap<Pair, Entry>,
    pub(super) questions: Vec<Question>,
}

impl Pairs {
    pub(super) fn get(&self, pair: &Pair) -> Option<&Entry> {
        self.entries.get(pair)
    }

    pub(super) fn get_mut(&mut self, pair: &Pair) -> Option<&mut Entry> {
        self.entries.get_mut(pair)
    }

    /// The pair's entry, a new one if there is room for it.
    pub(super) fn enter(&mut self, pair: &Pair, max: usize) -> Option<&mut Entry> {
        if !self.entries.contains_key(pair) && self.entries.len() >= max {
            return None;
        }
        Some(self.entries.entry(pair.clone()).or_insert_with(|| Entry {
            outward: Outward::Idle,
            inward: Inward::Idle,
            barriers: Barriers::default(),
        }))
    }

    /// Forgets the pair if nobody asks for it any more.
    pub(super) fn tidy(&mut self, pair: &Pair) {
        if self.get(pair).is_some_and(|e| e.outward == Outward::Idle && e.inward == Inward::Idle) {
            self.entries.remove(pair);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Pair, &Entry)> {
        self.entries.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&Pair, &mut Entry)> {
        self.entries.iter_mut()
    }

    /// The pairs of which `which` holds.
    pub(super) fn matching(&self, which: impl Fn(&Pair, &Entry) -> bool) -> Vec<Pair> {
        self.iter().filter(|(pair, e)| which(pair, e)).map(|(pair, _)| pair.clone()).collect()
    }

    /// Whether they may send for some pair of which `which` holds.
    pub(super) fn accepts_some(&self, which: impl Fn(&Pair) -> bool) -> bool {
        self.iter().any(|(pair, e)| matches!(e.inward, Inward::Accepted(_)) && which(pair))
    }

    pub(super) fn proofs(&self) -> impl Iterator<Item = (&Pair, Option<Proof>, Option<Proof>)> {
        self.iter().filter_map(|(pair, e)| {
            let outward = match e.outward {
                Outward::Ready(proof) => Some(proof),
                Outward::Idle | Outward::Judging | Outward::Asked { .. } => None,
            };
            let inward = match e.inward {
                Inward::Accepted(proof) => Some(proof),
                Inward::Idle | Inward::Judging { .. } | Inward::Verifying { .. } => None,
            };
            (outward.is_some() || inward.is_some()).then_some((pair, outward, inward))
        })
    }

    /// When the first key has waited too long.
    pub(super) fn deadline(&self) -> Option<Time> {
        let outward = self.entries.values().filter_map(|e| match e.outward {
            Outward::Asked { until } => Some(until),
            Outward::Idle | Outward::Judging | Outward::Ready(_) => None,
        });
        let inward = self.entries.values().filter_map(|e| match e.inward {
            Inward::Verifying { until } => Some(until),
            Inward::Idle | Inward::Judging { .. } | Inward::Accepted(_) => None,
        });
        outward.chain(inward).chain(self.questions.iter().map(|q| q.until)).min()
    }

    /// Does something with each pair's barriers: what that has settled.
    pub(super) fn settle(&mut self, mut each: impl FnMut(&mut Barriers, &mut Settled)) -> Settled {
        let mut settled = Settled::default();
        for entry in self.entries.values_mut() {
            each(&mut entry.barriers, &mut settled);
        }
        settled
    }
}
