//! The shell's clock: the one place where the time comes from.

use base::Time;
use std::time::{Duration, Instant};

/// A timer that comes so late came while the process, or the machine, stood still.
const STANDSTILL: Duration = Duration::from_secs(1);

/// How long timers then wait.
const GRACE: Duration = Duration::from_millis(200);

/// A monotonic clock that started with the process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    /// The time now.
    pub(crate) fn now(&self) -> Time {
        Time::from_micros(u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The moment `at` for the runtime's timers.
    pub(crate) fn instant(&self, at: Time) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.start + (at - Time::ZERO))
    }
}

/// After a standstill, what came meanwhile goes before the timers that passed in it: what they wait for may be there already (fault 15).
#[derive(Debug, Default)]
pub(crate) struct Grace {
    until: Option<Time>,
}

impl Grace {
    /// When a timer set for `at` is to be looked at.
    pub(crate) fn after(&self, at: Time) -> Time {
        self.until.map_or(at, |until| at.max(until))
    }

    /// Whether at `now` what is `due` may pass.
    pub(crate) fn is_over(&mut self, now: Time, due: Time) -> bool {
        match self.until {
            _ if due > now => return false,
            Some(until) if now < until => return false,
            Some(_) => self.until = None,
            None if now - due > STANDSTILL => {
                self.until = Some(now + GRACE);
                return false;
            }
            None => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_wait_once_after_a_standstill() {
        let ms = |n: u64| Time::from_micros(n * 1000);
        let mut grace = Grace::default();
        assert!(!grace.is_over(ms(999), ms(1000)), "not due");
        assert!(grace.is_over(ms(2000), ms(1000)), "late, as load makes it");
        assert_eq!(grace.after(ms(1000)), ms(1000));
        assert!(!grace.is_over(ms(2001), ms(1000)));
        assert_eq!(grace.after(ms(1000)), ms(2201));
        assert!(!grace.is_over(ms(2200), ms(1000)));
        assert!(grace.is_over(ms(2201), ms(1000)));
        assert_eq!(grace.after(ms(1000)), ms(1000));
    }
}
