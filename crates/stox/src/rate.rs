//! How fast one address may speak: a token bucket for each sender.

use crate::prints;
use base::{Fingerprint, HashKey, Recent, Time};
use xmpp::jid::Jid;

/// How many senders are remembered. Who is forgotten starts with a full bucket.
const SENDERS: usize = 65_536;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Millionths of a message that may be sent.
    level: u64,
    at: Time,
}

/// The buckets of all senders.
#[derive(Debug)]
pub(crate) struct Rates {
    key: HashKey,
    buckets: Recent<Fingerprint, Bucket>,
}

const ONE: u64 = 1_000_000;

impl Rates {
    pub(crate) fn new(key: HashKey) -> Rates {
        Rates { key, buckets: Recent::new(key, SENDERS) }
    }

    /// Whether `sender` may send one message more at `now`, at `rate` messages a second (0: always) with `burst` at once.
    pub(crate) fn allows(&mut self, now: Time, sender: &Jid, rate: u32, burst: u32) -> bool {
        rate == 0 || self.allows_as(now, prints::user(&self.key, sender), rate, burst)
    }

    /// The same for all senders of a domain.
    pub(crate) fn allows_domain(&mut self, now: Time, domain: &str, rate: u32, burst: u32) -> bool {
        rate == 0 || self.allows_as(now, prints::domain(&self.key, domain), rate, burst)
    }

    /// The same for somebody without an address.
    pub(crate) fn allows_as(&mut self, now: Time, print: Fingerprint, rate: u32, burst: u32) -> bool {
        if rate == 0 {
            return true;
        }
        let full = u64::from(burst.max(1)) * ONE;
        if self.buckets.get(&print).is_none() {
            self.buckets.insert(print, Bucket { level: full, at: now });
        }
        let Some(bucket) = self.buckets.get_mut(&print) else { return true };
        let gained = (now.as_micros().saturating_sub(bucket.at.as_micros())).saturating_mul(u64::from(rate));
        bucket.level = bucket.level.saturating_add(gained).min(full);
        bucket.at = now;
        let allowed = bucket.level >= ONE;
        if allowed {
            bucket.level -= ONE;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_then_the_rate() {
        let mut rates = Rates::new(HashKey::new(1, 2));
        let romeo = Jid::parse("romeo@example.net/orchard").unwrap();
        let t = Time::from_secs(100);
        assert!((0..3).all(|_| rates.allows(t, &romeo, 2, 3)));
        assert!(!rates.allows(t, &romeo, 2, 3));
        assert!(rates.allows(t, &Jid::parse("juliet@example.net").unwrap(), 2, 3), "each sender has its own");
        assert!(
            !rates.allows(t, &Jid::parse("romeo@example.net/other").unwrap(), 2, 3),
            "all resources are one sender"
        );
        assert!(rates.allows(t + Duration::from_millis(500), &romeo, 2, 3));
        assert!(!rates.allows(t + Duration::from_millis(600), &romeo, 2, 3));
        assert!(rates.allows(t + Duration::from_millis(600), &romeo, 0, 3));
        assert!((0..3).all(|_| rates.allows_domain(t, "example.net", 2, 3)), "a domain is none of its users");
        assert!(!rates.allows_domain(t, "example.net", 2, 3) && rates.allows_domain(t, "example.com", 2, 3));
    }
}
