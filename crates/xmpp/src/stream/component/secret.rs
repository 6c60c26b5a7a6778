//! The shared secret of a component and its server.

use sha1::{Digest, Sha1};
use std::fmt;
use subtle::ConstantTimeEq;

/// A shared secret. It cannot be printed, and its memory is overwritten when it is dropped.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The secret as it stands in the configuration of both sides.
    pub fn new(secret: &str) -> Secret {
        Secret(secret.as_bytes().to_vec())
    }

    /// The proof for the stream `id`: SHA-1 of both in lower-case hexadecimal (XEP-0114 §3).
    pub(super) fn proof(&self, id: &str) -> String {
        let digest = Sha1::new().chain_update(id).chain_update(&self.0).finalize();
        digest.iter().fold(String::with_capacity(40), |mut out, byte| {
            for nibble in [byte >> 4, byte & 15] {
                out.extend(char::from_digit(u32::from(nibble), 16));
            }
            out
        })
    }

    /// Whether `proof` is the proof for the stream `id`, found out in a time that tells nothing.
    pub(super) fn proves(&self, id: &str, proof: &str) -> bool {
        self.proof(id).as_bytes().ct_eq(proof.trim().as_bytes()).into()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Without a reader the compiler would leave the writing out.
        std::hint::black_box(&self.0);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs() {
        let secret = Secret::new("s3cr3t");
        // printf '3BF96D32s3cr3t' | sha1sum
        assert_eq!(secret.proof("3BF96D32"), "ba33290100f616a33656a931798d6c9011cfa840");
        assert!(secret.proves("3BF96D32", &secret.proof("3BF96D32")));
        assert!(!secret.proves("3BF96D33", &secret.proof("3BF96D32")));
        assert!(!secret.proves("3BF96D32", ""));
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
