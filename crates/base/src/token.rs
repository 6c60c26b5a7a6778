//! Unguessable tokens from a seed that the shell takes from the operating system.

use crate::Str;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The alphabet of [`Tokens::token`]: 32 characters, legal in a SIP token, a tag, a Call-ID, an XML id and a JID
/// resource, without those that people confuse.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A source of random numbers and tokens (ChaCha12). One seed gives one sequence, so a run can be repeated.
#[derive(Debug)]
pub struct Tokens {
    rng: ChaCha12Rng,
}

impl Tokens {
    /// A source from a seed; the seed is a secret of the process.
    pub fn new(seed: [u8; 32]) -> Tokens {
        Tokens { rng: ChaCha12Rng::from_seed(seed) }
    }

    /// A source for tests: everything it gives follows from `n`.
    pub fn seeded(n: u64) -> Tokens {
        Tokens { rng: ChaCha12Rng::seed_from_u64(n) }
    }

    /// 64 random bits.
    pub fn u64(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// A random number below `bound`; 0 for a bound of 0. The bias of the remainder (below 2^-32 for the bounds used here)
    /// does not matter for jitter.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.rng.next_u64() % bound }
    }

    /// A token of `len` characters, 5 random bits each.
    pub fn token(&mut self, len: usize) -> Str {
        let mut out = Str::with_capacity(len);
        let mut bits = 0u64;
        let mut have = 0;
        for _ in 0..len {
            if have < 5 {
                bits = self.rng.next_u64();
                have = 64;
            }
            out.push(char::from(ALPHABET[(bits & 31) as usize]));
            bits >>= 5;
            have -= 5;
        }
        out
    }

    /// A seed for another source, for a shard or a stream of its own.
    pub fn fork(&mut self) -> Tokens {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        Tokens::new(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_one_sequence() {
        let (mut a, mut b) = (Tokens::seeded(7), Tokens::seeded(7));
        assert_eq!(a.token(26), b.token(26));
        assert_ne!(a.token(26), a.token(26));
        assert_eq!(a.token(26).len(), 26);
        assert!(a.below(10) < 10);
        assert_eq!(a.below(0), 0);
        assert_ne!(a.fork().u64(), a.u64());
    }
}
