//! Which targets are not worth a try now: RFC 3263 §1, "the identity of the available server would ideally be cached for some amount of time".

use crate::agent::Target;
use base::{HashKey, Recent, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a target is left alone after its first failure; twice as long after each further one.
const FIRST: Duration = Duration::from_secs(30);

/// The longest that it is left alone.
const LONGEST: Duration = Duration::from_secs(600);

/// How many targets are remembered; beyond, the oldest are forgotten and tried again.
const MOST: usize = 4096;

#[derive(Debug, Clone, Copy)]
struct Dead {
    until: Time,
    span: Duration,
}

/// Targets that have failed. A target is what it is by its transport, its address and the name that it must prove.
#[derive(Debug)]
pub(super) struct Quarantine {
    dead: Recent<Target, Dead>,
    /// When how many of them are tried again. Those that were forgotten meanwhile count until then.
    ends: BTreeMap<Time, usize>,
    /// How many those are.
    held: usize,
}

impl Quarantine {
    pub(super) fn new(key: HashKey) -> Quarantine {
        Quarantine { dead: Recent::new(key, MOST), ends: BTreeMap::new(), held: 0 }
    }

    /// It did not do what was asked of it. `least`: it wants to be left alone for so long (Retry-After of a 503).
    pub(super) fn failed(&mut self, now: Time, target: &Target, least: Option<Duration>) {
        // A failure that is as old as the quarantine was long is forgotten.
        let again = self.dead.get(target).filter(|dead| now < dead.until + dead.span);
        let span = again.map_or(FIRST, |dead| (2 * dead.span).min(LONGEST));
        let alone = least.map_or(span, |least| least.min(LONGEST));
        let until = now + alone;
        if let Some(before) = self.dead.get(target).map(|dead| dead.until) {
            self.end(before);
        }
        self.dead.insert(target.clone(), Dead { until, span });
        self.pass(now);
        *self.ends.entry(until).or_default() += 1;
        self.held += 1;
    }

    /// It works.
    pub(super) fn works(&mut self, target: &Target) {
        if self.is_empty() {
            return;
        }
        if let Some(dead) = self.dead.remove(target) {
            self.end(dead.until);
        }
    }

    /// How many are left alone.
    pub(super) fn held(&mut self, now: Time) -> usize {
        self.pass(now);
        self.held
    }

    /// One of those that end then has ended before.
    fn end(&mut self, until: Time) {
        let Some(count) = self.ends.get_mut(&until) else { return };
        *count -= 1;
        self.held -= 1;
        if *count == 0 {
            self.ends.remove(&until);
        }
    }

    /// Those whose time is over count no more.
    fn pass(&mut self, now: Time) {
        while let Some(first) = self.ends.first_entry().filter(|first| *first.key() <= now) {
            self.held -= first.remove();
        }
    }

    /// Whether it is to be left alone.
    pub(super) fn holds(&self, now: Time, target: &Target) -> bool {
        !self.is_empty() && self.dead.get(target).is_some_and(|dead| now < dead.until)
    }

    /// Whether nothing has failed.
    pub(super) fn is_empty(&self) -> bool {
        self.dead.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::Transport;

    fn at(seconds: u64) -> Time {
        Time::from_secs(seconds)
    }

    fn target() -> Target {
        Target::new(Transport::Tcp, "192.0.2.1:5060".parse().expect("an address"))
    }

    #[test]
    fn it_lasts_longer_each_time_and_is_forgotten() {
        let mut quarantine = Quarantine::new(HashKey::new(1, 2));
        assert!(!quarantine.holds(at(0), &target()));
        quarantine.failed(at(0), &target(), None);
        assert!(quarantine.holds(at(29), &target()) && !quarantine.holds(at(30), &target()));
        let other = Target { name: Some("a.example".into()), ..target() };
        assert!(!quarantine.holds(at(1), &other), "another name is another target");
        quarantine.failed(at(40), &target(), None);
        assert!(quarantine.holds(at(99), &target()) && !quarantine.holds(at(100), &target()));
        for n in 0..10 {
            quarantine.failed(at(100 + n), &target(), None);
        }
        assert!(
            quarantine.holds(at(108), &target()) && !quarantine.holds(at(710), &target()),
            "ten minutes at the most"
        );
        quarantine.failed(at(10_000), &target(), None);
        assert!(!quarantine.holds(at(10_030), &target()), "what was long ago does not count");
        quarantine.works(&target());
        quarantine.failed(at(10_031), &target(), None);
        assert!(!quarantine.holds(at(10_061), &target()), "nor what was before it worked");
    }

    #[test]
    fn a_503_says_how_long() {
        let mut quarantine = Quarantine::new(HashKey::new(1, 2));
        quarantine.failed(at(0), &target(), Some(Duration::from_secs(5)));
        assert!(quarantine.holds(at(4), &target()) && !quarantine.holds(at(5), &target()));
        quarantine.failed(at(5), &target(), Some(Duration::from_secs(1 << 40)));
        assert!(quarantine.holds(at(600), &target()) && !quarantine.holds(at(605), &target()));
    }

    #[test]
    fn it_is_bounded() {
        let mut quarantine = Quarantine::new(HashKey::new(1, 2));
        for port in 0..=u16::MAX {
            let remote = std::net::SocketAddr::from(([192, 0, 2, 1], port));
            quarantine.failed(at(0), &Target::new(Transport::Udp, remote), None);
        }
        assert!(quarantine.dead.len() <= MOST);
    }

    #[test]
    fn those_in_it_are_counted() {
        let mut quarantine = Quarantine::new(HashKey::new(1, 2));
        let other = Target { name: Some("a.example".into()), ..target() };
        quarantine.failed(at(0), &target(), None);
        quarantine.failed(at(0), &other, None);
        assert_eq!(quarantine.held(at(29)), 2);
        quarantine.failed(at(29), &target(), None);
        assert_eq!((quarantine.held(at(29)), quarantine.held(at(30))), (2, 1), "once each");
        quarantine.works(&other);
        assert_eq!(quarantine.held(at(30)), 1, "it was over already");
        quarantine.works(&target());
        assert_eq!((quarantine.held(at(31)), quarantine.ends.len()), (0, 0));
    }
}
