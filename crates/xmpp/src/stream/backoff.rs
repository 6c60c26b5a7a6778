//! How long to wait before the next attempt.

use base::Tokens;
use std::time::Duration;

/// Doubling waits with jitter, so that the components of a server that restarts do not all come at once (fault 1).
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Backoff {
        Backoff { min, max, failures: 0 }
    }

    /// The stream that ended was a good one.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The wait before the next attempt: between half and all of the doubled time.
    pub(crate) fn next(&mut self, tokens: &mut Tokens) -> Duration {
        let doubled = self.min.saturating_mul(1u32 << self.failures.min(16)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        let half = doubled / 2;
        half + Duration::from_micros(
            tokens.below(u64::try_from(half.as_micros()).unwrap_or(u64::MAX).saturating_add(1)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_within_their_bounds() {
        let mut tokens = Tokens::seeded(1);
        let (mut b, second) = (Backoff::new(Duration::from_secs(1), Duration::from_secs(30)), Duration::from_secs(1));
        for doubled in [1, 2, 4, 8, 16, 30, 30, 30] {
            let wait = b.next(&mut tokens);
            assert!(wait >= second * doubled / 2 && wait <= second * doubled, "{wait:?} of {doubled} s");
        }
        b.failures = u32::MAX;
        assert!(b.next(&mut tokens) <= second * 30);
        b.reset();
        let waits: Vec<_> = (0..5)
            .map(|_| {
                b.reset();
                b.next(&mut tokens)
            })
            .collect();
        assert!(waits.iter().any(|w| *w != waits[0]), "no jitter: {waits:?}");
    }
}
