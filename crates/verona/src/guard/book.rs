//! What is known of each source, without a clock: how fast it comes, what it has done, and until when it is shut out.

use super::{Offence, Reason};
use crate::config::Abuse;
use crate::io::bounds::block;
use base::{HashKey, Recent, Table, Time};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// How many sources are remembered; who was heard of first is forgotten first, but those that are shut out have a memory of their own.
const SOURCES: usize = 65_536;

/// How many are shut out at one time; beyond, who has the least of it left is let in again.
const BANS: usize = 65_536;

/// Of all places of strangers one source may take one in so many.
const SHARE: usize = 4;

/// Millionths: of a connection, a message, a point.
const ONE: u64 = 1_000_000;

/// A token bucket.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    level: u64,
    at: Time,
}

impl Bucket {
    fn full(now: Time, burst: usize) -> Bucket {
        Bucket { level: (burst.max(1) as u64).saturating_mul(ONE), at: now }
    }

    /// Takes one out, if there is one at `rate` a second.
    fn take(&mut self, now: Time, rate: usize, burst: usize) -> bool {
        let gained = now.since(self.at).as_micros() as u64;
        let gained = gained.saturating_mul(rate as u64);
        self.level = self.level.saturating_add(gained).min((burst.max(1) as u64).saturating_mul(ONE));
        self.at = now;
        let has_one = self.level >= ONE;
        self.level -= if has_one { ONE } else { 0 };
        has_one
    }
}

/// What is known of a source.
#[derive(Debug, Clone, Copy)]
struct Source {
    connections: Bucket,
    messages: Bucket,
    /// Points for what it has done, in millionths, as they were at `at`.
    score: u64,
    at: Time,
}

/// A source that is, or was, shut out.
#[derive(Debug, Clone, Copy)]
struct Ban {
    until: Time,
    /// How long it was for.
    length: Duration,
}

/// The book of all sources.
#[derive(Debug)]
pub(super) struct Book {
    sources: Recent<IpAddr, Source>,
    /// The last ban of each that was shut out lately.
    bans: Recent<IpAddr, Ban>,
    /// Those who are shut out, by the time when they are let in again.
    out: BTreeSet<(Time, IpAddr)>,
    /// Connections of those who have not shown yet who they are, in all and of each source.
    strangers: usize,
    strangers_of: Table<IpAddr, usize>,
    rules: Abuse,
}

impl Book {
    pub(super) fn new(key: HashKey, rules: Abuse) -> Book {
        Book {
            sources: Recent::new(key, SOURCES),
            bans: Recent::new(key, 2 * BANS),
            out: BTreeSet::new(),
            strangers: 0,
            strangers_of: Table::new(key),
            rules,
        }
    }

    /// Other rules from now on. Who is shut out stays so, but for those that are on the list of friends now.
    pub(super) fn reconfigure(&mut self, rules: Abuse) {
        self.rules = rules;
    }

    /// Whether nothing can be said against any datagram.
    pub(super) fn is_idle(&self) -> bool {
        self.out.is_empty() && self.rules.deny.is_empty() && self.rules.settings.messages_per_source == 0
    }

    /// Whether this source may open a connection now.
    pub(super) fn connection(&mut self, now: Time, remote: IpAddr) -> Result<(), Reason> {
        self.let_in(now, remote)?;
        let (rate, burst) = (self.rules.settings.connections_per_source, self.rules.settings.connections_burst);
        if rate == 0 || self.is_friend(remote) {
            return Ok(());
        }
        let taken = self.source(now, remote).is_none_or(|source| source.connections.take(now, rate, burst));
        if taken { Ok(()) } else { Err(Reason::ConnectionRate) }
    }

    /// Takes a place for somebody who has not shown yet who it is. A source has a quarter of them at most; friends need none.
    pub(super) fn stranger(&mut self, remote: IpAddr) -> Result<(), Reason> {
        let (all, block) = (self.rules.settings.strangers, block(remote));
        let has_one = self.strangers < all && self.strangers_of.count(&block) < (all / SHARE).max(1);
        if !has_one && !self.is_friend(remote) {
            return Err(Reason::Strangers);
        }
        self.strangers += 1;
        self.strangers_of.count_up(block);
        Ok(())
    }

    /// Gives it back.
    pub(super) fn known(&mut self, remote: IpAddr) {
        self.strangers -= 1;
        self.strangers_of.count_down(&block(remote));
    }

    /// Whether this source may say one thing more now.
    pub(super) fn message(&mut self, now: Time, remote: IpAddr) -> Result<(), Reason> {
        self.let_in(now, remote)?;
        let (rate, burst) = (self.rules.settings.messages_per_source, self.rules.settings.messages_burst);
        if rate == 0 || self.is_friend(remote) {
            return Ok(());
        }
        let taken = self.source(now, remote).is_none_or(|source| source.messages.take(now, rate, burst));
        if taken { Ok(()) } else { Err(Reason::MessageRate) }
    }

    /// A source has done something. Returns for how long it is shut out, if that was too much.
    pub(super) fn offence(&mut self, now: Time, remote: IpAddr, offence: Offence) -> Option<Duration> {
        let settings = self.rules.settings.clone();
        if settings.patience == 0 || self.is_friend(remote) || self.let_in(now, remote).is_err() {
            return None;
        }
        let source = self.source(now, remote)?;
        source.score = decayed(source.score, now.since(source.at), settings.forget) + offence.points() * ONE;
        source.at = now;
        if source.score <= settings.patience as u64 * ONE {
            return None;
        }
        source.score = 0;
        let block = block(remote);
        // Who was shut out comes back with that to their name, for as long again as it lasted and the time of forgetting.
        let before = self.bans.get(&block).filter(|ban| now.since(ban.until) < ban.length + settings.forget);
        let length = before.map_or(settings.ban, |ban| ban.length.saturating_mul(2)).min(settings.ban_max);
        let until = now + length;
        self.bans.insert(block, Ban { until, length });
        self.forget(now);
        self.out.insert((until, block));
        if self.out.len() > BANS
            && let Some((_, first)) = self.out.pop_first()
        {
            self.bans.remove(&first);
        }
        Some(length)
    }

    /// How many are shut out.
    pub(super) fn banned(&mut self, now: Time) -> usize {
        self.forget(now);
        self.out.len()
    }

    /// Those who are let in again are not shut out any more; how long they were is remembered.
    fn forget(&mut self, now: Time) {
        while self.out.first().is_some_and(|(until, _)| *until <= now) {
            self.out.pop_first();
        }
    }

    /// Whether this source is let in at all.
    pub(super) fn let_in(&self, now: Time, remote: IpAddr) -> Result<(), Reason> {
        if self.is_friend(remote) {
            return Ok(());
        }
        if self.rules.deny.iter().any(|network| network.contains(remote)) {
            return Err(Reason::Denied);
        }
        let banned = !self.out.is_empty() && self.bans.get(&block(remote)).is_some_and(|ban| ban.until > now);
        if banned { Err(Reason::Banned) } else { Ok(()) }
    }

    /// See [`super::Guard::source`].
    pub(super) fn source_of(&self, remote: IpAddr) -> Option<IpAddr> {
        (!self.is_friend(remote)).then(|| block(remote))
    }

    fn is_friend(&self, remote: IpAddr) -> bool {
        self.rules.allow.iter().any(|network| network.contains(remote))
    }

    fn source(&mut self, now: Time, remote: IpAddr) -> Option<&mut Source> {
        let block = block(remote);
        if self.sources.get(&block).is_none() {
            let settings = &self.rules.settings;
            let source = Source {
                connections: Bucket::full(now, settings.connections_burst),
                messages: Bucket::full(now, settings.messages_burst),
                score: 0,
                at: now,
            };
            self.sources.insert(block, source);
        }
        self.sources.get_mut(&block)
    }
}

/// What is left of points after a while: half of them after each `half`.
fn decayed(score: u64, after: Duration, half: Duration) -> u64 {
    let halves = after.as_secs_f64() / half.as_secs_f64().max(1.0);
    if halves >= 63.0 {
        return 0;
    }
    // The whole halves exactly, the rest as a line between them: no need for more.
    let whole = score >> (halves as u32);
    whole - ((whole as f64) * (halves.fract() / 2.0)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AbuseSettings;

    const A_WHILE: Duration = Duration::from_secs(60);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn book(change: impl FnOnce(&mut Abuse)) -> Book {
        let mut rules = Abuse {
            allow: Vec::new(),
            deny: Vec::new(),
            settings: AbuseSettings {
                patience: 10,
                forget: A_WHILE,
                ban: A_WHILE,
                ban_max: A_WHILE * 3,
                connections_per_source: 1,
                connections_burst: 2,
                messages_per_source: 2,
                messages_burst: 3,
                ..AbuseSettings::default()
            },
        };
        change(&mut rules);
        Book::new(HashKey::new(1, 2), rules)
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut book = book(|_| ());
        let (t, a, b) = (Time::from_secs(100), ip("192.0.2.1"), ip("192.0.2.2"));
        let connections: Vec<_> = (0..3).map(|_| book.connection(t, a)).collect();
        assert_eq!(connections, [Ok(()), Ok(()), Err(Reason::ConnectionRate)]);
        assert_eq!(book.connection(t, b), Ok(()), "each source has its own");
        assert_eq!(book.connection(t + Duration::from_secs(1), a), Ok(()));
        let messages: Vec<_> = (0..4).map(|_| book.message(t, a)).collect();
        assert_eq!(messages, [Ok(()), Ok(()), Ok(()), Err(Reason::MessageRate)]);
        // One IPv6 customer is one source.
        let all = ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:3"].map(|text| book.connection(t, ip(text)));
        assert_eq!(all, [Ok(()), Ok(()), Err(Reason::ConnectionRate)]);
    }

    #[test]
    fn patience_ends_and_comes_back() {
        let mut book = book(|_| ());
        let (t, a) = (Time::from_secs(100), ip("192.0.2.1"));
        assert_eq!((book.offence(t, a, Offence::Spoof), book.offence(t, a, Offence::Spoof)), (None, None));
        assert_eq!(book.message(t, a), Ok(()));
        assert_eq!(book.offence(t, a, Offence::Handshake), Some(A_WHILE));
        let later = t + (A_WHILE - Duration::from_secs(1));
        assert_eq!((book.connection(later, a), book.message(later, a)), (Err(Reason::Banned), Err(Reason::Banned)));
        assert_eq!((book.banned(later), book.is_idle()), (1, false));
        assert_eq!(book.offence(later, a, Offence::Spoof), None, "nothing is added meanwhile");
        let again = t + A_WHILE;
        assert_eq!((book.connection(again, a), book.banned(again), book.is_idle()), (Ok(()), 0, false));
        // The second time is twice as long, and so on to the longest.
        let mut at = again;
        for times in [2, 3, 3] {
            let lengths: Vec<_> = (0..3).filter_map(|_| book.offence(at, a, Offence::Spoof)).collect();
            assert_eq!(lengths, [A_WHILE * times]);
            at = at + A_WHILE * times;
        }
        // Who has behaved for long enough begins anew.
        let lengths: Vec<_> = (0..3).filter_map(|_| book.offence(at + A_WHILE * 4, a, Offence::Spoof)).collect();
        assert_eq!(lengths, [A_WHILE]);
    }

    #[test]
    fn what_was_done_is_forgotten() {
        let mut book = book(|_| ());
        let (mut t, a) = (Time::from_secs(100), ip("192.0.2.1"));
        for _ in 0..50 {
            // Five points, halved by the next five: never beyond ten.
            assert_eq!(book.offence(t, a, Offence::Spoof), None);
            t = t + A_WHILE;
        }
        assert_eq!((decayed(8, A_WHILE * 3, A_WHILE), decayed(u64::MAX, A_WHILE * 100, A_WHILE)), (1, 0));
        assert_eq!(decayed(800, A_WHILE / 2, A_WHILE), 600);
    }

    #[test]
    fn friends_are_let_in_and_others_are_not() {
        let net = |text: &str| crate::config::Network::new(ip(text), 24).unwrap();
        let mut book = book(|rules| {
            rules.allow.push(net("192.0.2.0"));
            rules.deny.push(net("198.51.100.0"));
        });
        let t = Time::from_secs(100);
        for _ in 0..100 {
            assert_eq!(book.offence(t, ip("192.0.2.9"), Offence::Spoof), None);
            assert_eq!((book.connection(t, ip("192.0.2.9")), book.message(t, ip("192.0.2.9"))), (Ok(()), Ok(())));
        }
        assert_eq!(book.connection(t, ip("198.51.100.1")), Err(Reason::Denied));
        assert_eq!(book.message(t, ip("::ffff:198.51.100.1")), Err(Reason::Denied));
        // A reload makes a friend of somebody who was shut out.
        let lengths = (0..3).filter_map(|_| book.offence(t, ip("203.0.113.5"), Offence::Spoof)).count();
        assert_eq!((lengths, book.message(t, ip("203.0.113.5"))), (1, Err(Reason::Banned)));
        let mut rules = book.rules.clone();
        rules.allow.push(net("203.0.113.0"));
        book.reconfigure(rules);
        assert_eq!(book.message(t, ip("203.0.113.5")), Ok(()));
    }

    /// However many sources there are, what is remembered is bounded.
    #[test]
    fn a_flood_of_sources_is_bounded() {
        let mut book = book(|rules| rules.settings.patience = 1);
        let t = Time::from_secs(100);
        for n in 0..200_000u32 {
            let remote = IpAddr::V4((n + (10 << 24)).into());
            book.offence(t, remote, Offence::Unreadable);
        }
        assert!(book.sources.len() <= SOURCES && book.bans.len() <= 2 * BANS);
        assert_eq!(book.banned(t), BANS);
    }
}
