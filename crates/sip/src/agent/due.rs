//! The timers of one transaction.

use crate::transaction::{Effect, Intervals, Timer};
use base::Time;
use smallvec::SmallVec;
use std::time::Duration;

/// The timers that a transaction has set, and which of them the agent's queue knows. The queue holds one entry for a transaction, or
/// rarely two: when one comes out, whatever is due then fires, and the next is queued.
#[derive(Debug, Default)]
pub(super) struct Due {
    set: SmallVec<[(Timer, Time, Duration); 2]>,
    queued: Option<Time>,
}

impl Due {
    /// Does what an effect asks of the timers.
    pub(super) fn apply(&mut self, now: Time, effect: Effect, intervals: &Intervals, reliable: bool) {
        match effect {
            Effect::Start(timer) => self.put(now, timer, intervals.first(timer, reliable)),
            Effect::Again(timer) | Effect::Slow(timer) => {
                if let Some(last) = self.set.iter().find(|(t, _, _)| *t == timer).map(|(_, _, last)| *last) {
                    let next = if effect == Effect::Again(timer) { intervals.next(timer, last) } else { intervals.t2 };
                    self.put(now, timer, next);
                }
            }
            Effect::Stop(timer) => self.set.retain(|(t, _, _)| *t != timer),
            Effect::SendRequest
            | Effect::SendAck
            | Effect::SendResponse
            | Effect::ResendResponse
            | Effect::SendTrying
            | Effect::ToUser
            | Effect::InformTimeout
            | Effect::InformTransport => {}
        }
    }

    fn put(&mut self, now: Time, timer: Timer, interval: Duration) {
        let entry = (timer, now + interval, interval);
        match self.set.iter_mut().find(|(t, _, _)| *t == timer) {
            Some(old) => *old = entry,
            None => self.set.push(entry),
        }
    }

    /// The earliest timer that is due. It stays known, so that it can be set again, but does not fire again by itself.
    pub(super) fn fire(&mut self, now: Time) -> Option<Timer> {
        let entry = self.set.iter_mut().filter(|(_, at, _)| *at <= now).min_by_key(|(timer, at, _)| (*at, *timer))?;
        entry.1 = NEVER;
        Some(entry.0)
    }

    /// The moment that the queue has to be told, if it does not know one as early.
    pub(super) fn unqueued(&mut self) -> Option<Time> {
        let next = self.set.iter().map(|(_, at, _)| *at).filter(|at| *at != NEVER).min()?;
        if self.queued.is_some_and(|queued| queued <= next) {
            return None;
        }
        self.queued = Some(next);
        Some(next)
    }

    /// The queue's entry for `at` came out.
    pub(super) fn came_out(&mut self, at: Time) {
        if self.queued == Some(at) {
            self.queued = None;
        }
    }
}

const NEVER: Time = Time::from_micros(u64::MAX);

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Time {
        Time::from_micros(n * 1000)
    }

    #[test]
    fn one_entry_stands_for_all_timers() {
        let (mut due, i) = (Due::default(), Intervals::default());
        due.apply(ms(0), Effect::Start(Timer::E), &i, false);
        due.apply(ms(0), Effect::Start(Timer::F), &i, false);
        assert_eq!(due.unqueued(), Some(ms(500)));
        assert_eq!(due.unqueued(), None);
        due.came_out(ms(500));
        assert_eq!(due.fire(ms(499)), None);
        assert_eq!(due.fire(ms(500)), Some(Timer::E));
        assert_eq!(due.fire(ms(500)), None);
        due.apply(ms(500), Effect::Again(Timer::E), &i, false);
        assert_eq!(due.unqueued(), Some(ms(1500)));
        due.came_out(ms(1500));
        assert_eq!(due.fire(ms(1500)), Some(Timer::E));
        due.apply(ms(1500), Effect::Slow(Timer::E), &i, false);
        assert_eq!(due.unqueued(), Some(ms(5500)));
        due.apply(ms(1500), Effect::Stop(Timer::E), &i, false);
        due.came_out(ms(5500));
        assert_eq!(due.fire(ms(5500)), None);
        assert_eq!(due.unqueued(), Some(ms(32_000)));
        due.apply(ms(6000), Effect::Start(Timer::K), &i, false);
        assert_eq!(due.unqueued(), Some(ms(11_000)));
    }

    #[test]
    fn what_is_overdue_fires_in_order() {
        let (mut due, i) = (Due::default(), Intervals::default());
        due.apply(ms(0), Effect::Start(Timer::H), &i, false);
        due.apply(ms(0), Effect::Start(Timer::G), &i, false);
        assert_eq!(due.fire(ms(90_000)), Some(Timer::G));
        assert_eq!(due.fire(ms(90_000)), Some(Timer::H));
        assert_eq!(due.fire(ms(90_000)), None);
        assert_eq!(due.unqueued(), None);
    }
}
