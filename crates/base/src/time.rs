//! Time as a value, and a queue of deadlines.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment on the shell's monotonic clock, in microseconds since the shell started. It never runs backwards and has no
/// relation to the wall clock, so a clock that jumps by an hour or ten years moves no timer (fault 14).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The moment the shell started.
    pub const ZERO: Time = Time(0);

    /// The moment `micros` microseconds after the start.
    pub const fn from_micros(micros: u64) -> Time {
        Time(micros)
    }

    /// The moment `secs` seconds after the start.
    pub const fn from_secs(secs: u64) -> Time {
        Time(secs * 1_000_000)
    }

    /// Microseconds since the start.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, d: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Time> for Time {
    type Output = Duration;
    fn sub(self, earlier: Time) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// A queue of deadlines. An entry cannot be cancelled: whoever set it looks, when it comes out, whether it still means
/// anything. So set one entry for a thing's *next* deadline, not one for each of its timers.
#[derive(Debug)]
pub struct Timers<K> {
    heap: BinaryHeap<Reverse<(Time, K)>>,
}

impl<K: Ord> Default for Timers<K> {
    fn default() -> Self {
        Timers { heap: BinaryHeap::new() }
    }
}

impl<K: Ord> Timers<K> {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// `key` comes out of [`Timers::pop`] once the time is `at`. Entries of one moment come out in the order of their keys.
    pub fn set(&mut self, at: Time, key: K) {
        self.heap.push(Reverse((at, key)));
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// The earliest entry that is due at `now`, with the moment it was set for. Memory that a burst needed is given back.
    pub fn pop(&mut self, now: Time) -> Option<(Time, K)> {
        if self.next()? > now {
            return None;
        }
        let Reverse(entry) = self.heap.pop()?;
        if self.heap.capacity() > 4096 && self.heap.len() < self.heap.capacity() / 8 {
            self.heap.shrink_to(self.heap.capacity() / 2);
        }
        Some(entry)
    }

    /// How many entries wait.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_out_in_order_and_not_early() {
        let mut t = Timers::new();
        t.set(Time::from_secs(3), 'c');
        t.set(Time::from_secs(1), 'b');
        t.set(Time::from_secs(1), 'a');
        assert_eq!(t.next(), Some(Time::from_secs(1)));
        assert_eq!(t.pop(Time::ZERO), None);
        assert_eq!(t.pop(Time::from_secs(2)), Some((Time::from_secs(1), 'a')));
        assert_eq!(t.pop(Time::from_secs(2)), Some((Time::from_secs(1), 'b')));
        assert_eq!(t.pop(Time::from_secs(2)), None);
        assert_eq!(t.len(), 1);
    }

    #[test]
    fn time_saturates() {
        assert_eq!(Time::from_secs(1) - Time::from_secs(2), Duration::ZERO);
        assert_eq!(Time::from_micros(u64::MAX) + Duration::from_secs(1), Time::from_micros(u64::MAX));
    }
}
