//! Calls that XMPP users have proposed (XEP-0353). The gateway says `proceed` at once, as only the offer can make a phone ring; what follows is the
//! session-initiate, which brings it.

use crate::config::LinkId;
use crate::prints;
use base::{Fingerprint, HashKey, Str, Table, Time};
use std::collections::VecDeque;
use std::time::Duration;
use xmpp::jid::Jid;

/// How long a device that was told to proceed may take to do so.
const PATIENCE: Duration = Duration::from_secs(30);

/// A call that was proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proposal {
    /// The XMPP user's device.
    pub(super) from: Jid,
    /// The SIP user, as who we said `proceed`: with a resource.
    pub(super) ours: Jid,
    /// What the call is called, in XEP-0353 and in Jingle.
    pub(super) id: Str,
    /// The stream by which it came.
    pub(super) link: LinkId,
    until: Time,
}

/// What becomes of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The device is told to proceed.
    Proceed,
    /// It was told already.
    Again,
    /// The two have too many calls.
    Full,
}

/// The proposals of one shard that wait for their session-initiate.
#[derive(Debug)]
pub(super) struct Proposals {
    key: HashKey,
    open: Table<Fingerprint, Proposal>,
    /// How many each pair has.
    pairs: Table<Fingerprint, usize>,
    /// All of them as they came, with some that are not there any more.
    line: VecDeque<(Time, Fingerprint)>,
}

impl Proposals {
    /// None yet; `key` is secret.
    pub(super) fn new(key: HashKey) -> Proposals {
        Proposals { key, open: Table::new(key), pairs: Table::new(key), line: VecDeque::new() }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// A device proposes a call to a SIP user, as who `ours` answers. Of one pair there may be so `many`; how many there may be in all, the caller has seen to.
    pub(super) fn proposed(
        &mut self,
        now: Time,
        link: LinkId,
        from: &Jid,
        ours: Jid,
        id: &Str,
        many: usize,
    ) -> Verdict {
        let name = prints::said(&self.key, id, from, &ours);
        if let Some(open) = self.open.get(&name) {
            // Another device under the same name has taken it from somewhere: it has no part in this one.
            return if open.from == *from { Verdict::Again } else { Verdict::Full };
        }
        let pair = prints::pair(&self.key, from, &ours);
        if self.pairs.count(&pair) >= many {
            return Verdict::Full;
        }
        self.pairs.count_up(pair);
        let until = now + PATIENCE;
        self.line.push_back((until, name));
        self.open.insert(name, Proposal { from: from.clone(), ours, id: id.clone(), link, until });
        Verdict::Proceed
    }

    /// Whether there is one of that name.
    pub(super) fn has(&self, from: &Jid, to: &Jid, id: &str) -> bool {
        self.open.get(&prints::said(&self.key, id, from, to)).is_some_and(|open| open.from == *from)
    }

    /// The session-initiate of a call that was proposed, or that it is not wanted any more (XEP-0353 §3.3).
    pub(super) fn initiated(&mut self, from: &Jid, to: &Jid, id: &str) -> Option<Proposal> {
        let name = prints::said(&self.key, id, from, to);
        self.open.get(&name).filter(|open| open.from == *from)?;
        self.remove(name)
    }

    /// One that no session-initiate has followed. It is not there any more.
    pub(super) fn overdue(&mut self, now: Time) -> Option<Proposal> {
        let &(_, name) = self.line.front().filter(|(at, _)| *at <= now)?;
        self.remove(name)
    }

    /// Any one of them, as all are given up. It is not there any more.
    pub(super) fn give_up(&mut self) -> Option<Proposal> {
        let &(_, name) = self.line.front()?;
        self.remove(name)
    }

    /// When [`Proposals::overdue`] wants to be called.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.line.front().map(|(at, _)| *at)
    }

    fn remove(&mut self, name: Fingerprint) -> Option<Proposal> {
        let proposal = self.open.remove(&name)?;
        self.pairs.count_down(&prints::pair(&self.key, &proposal.from, &proposal.ours));
        // The first in the line is always one that is there; those behind it go when they are most of it.
        let open = &self.open;
        let there = |(at, name): &(Time, Fingerprint)| open.get(name).is_some_and(|open| open.until == *at);
        while self.line.front().is_some_and(|first| !there(first)) {
            self.line.pop_front();
        }
        if self.line.len() > 2 * self.open.len() + 64 {
            self.line.retain(there);
        }
        Some(proposal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    fn propose(p: &mut Proposals, now: Time, from: &str, id: &str) -> Verdict {
        p.proposed(now, 0, &jid(from), jid("romeo@example.net/gr1"), &id.into(), 2)
    }

    #[test]
    fn each_is_taken_once_and_by_who_made_it() {
        let mut p = Proposals::new(HashKey::new(1, 2));
        let (t, phone) = (Time::from_secs(10), "juliet@example.com/phone");
        assert_eq!(propose(&mut p, t, phone, "a"), Verdict::Proceed);
        assert_eq!(propose(&mut p, t, phone, "a"), Verdict::Again);
        assert_eq!(propose(&mut p, t, "juliet@example.com/pad", "a"), Verdict::Full);
        assert_eq!(propose(&mut p, t, phone, "b"), Verdict::Proceed);
        assert_eq!(propose(&mut p, t, phone, "c"), Verdict::Full);
        assert_eq!(p.initiated(&jid("juliet@example.com/pad"), &jid("romeo@example.net"), "a"), None);
        assert_eq!(p.initiated(&jid(phone), &jid("tybalt@example.net"), "a"), None);
        let taken = p.initiated(&jid(phone), &jid("romeo@example.net"), "a").unwrap();
        assert_eq!((taken.ours, &*taken.id), (jid("romeo@example.net/gr1"), "a"));
        assert_eq!(p.initiated(&jid(phone), &jid("romeo@example.net"), "a"), None);
        assert_eq!(propose(&mut p, t, phone, "c"), Verdict::Proceed);
        assert_eq!(p.len(), 2);
    }

    #[test]
    fn who_does_not_proceed_is_not_waited_for_for_ever() {
        let mut p = Proposals::new(HashKey::new(1, 2));
        let t = Time::from_secs(10);
        propose(&mut p, t, "juliet@example.com/phone", "a");
        propose(&mut p, t + Duration::from_secs(1), "nurse@example.com/phone", "b");
        assert_eq!(p.deadline(), Some(t + PATIENCE));
        assert_eq!(p.overdue(t + Duration::from_secs(29)), None);
        assert_eq!(p.overdue(t + PATIENCE).unwrap().from, jid("juliet@example.com/phone"));
        assert_eq!(p.overdue(t + PATIENCE), None);
        assert_eq!(p.give_up().unwrap().from, jid("nurse@example.com/phone"));
        assert_eq!((p.give_up(), p.deadline()), (None, None));
    }

    proptest! {
        #[test]
        fn what_is_gone_is_gone_and_the_line_stays_short(steps in prop::collection::vec((0u8..3, 0u8..3, 0u8..4, 0u64..20), 1..400)) {
            let mut p = Proposals::new(HashKey::new(1, 2));
            let mut model: Vec<(Time, String, String)> = Vec::new();
            let mut now = Time::from_secs(1);
            for (what, who, id, wait) in steps {
                let (from, id) = (format!("juliet{who}@example.com/phone"), id.to_string());
                let at = model.iter().position(|(_, f, i)| (f, i) == (&from, &id));
                match what {
                    0 => {
                        let verdict = match at {
                            Some(_) => Verdict::Again,
                            None if model.iter().filter(|(_, f, _)| *f == from).count() >= 2 => Verdict::Full,
                            None => Verdict::Proceed,
                        };
                        prop_assert_eq!(propose(&mut p, now, &from, &id), verdict);
                        if verdict == Verdict::Proceed {
                            model.push((now + PATIENCE, from, id));
                        }
                    }
                    1 => {
                        let taken = p.initiated(&jid(&from), &jid("romeo@example.net"), &id);
                        prop_assert_eq!(taken.is_some(), at.is_some());
                        at.map(|at| model.remove(at));
                    }
                    _ => {
                        now = now + Duration::from_secs(wait);
                        while let Some(proposal) = p.overdue(now) {
                            let same = |(at, f, i): &(Time, String, String)| {
                                *at <= now && jid(f) == proposal.from && **i == *proposal.id
                            };
                            let place = model.iter().position(same);
                            prop_assert!(place.is_some(), "{:?} was not due", proposal);
                            place.map(|place| model.remove(place));
                        }
                        prop_assert!(model.first().is_none_or(|(at, ..)| *at > now));
                    }
                }
                prop_assert_eq!(p.deadline(), model.first().map(|(at, ..)| *at));
                prop_assert_eq!(p.len(), model.len());
                prop_assert!(p.line.len() <= 2 * p.len() + 64);
            }
            while p.give_up().is_some() {}
            prop_assert!(p.pairs.is_empty() && p.line.is_empty());
        }
    }
}
