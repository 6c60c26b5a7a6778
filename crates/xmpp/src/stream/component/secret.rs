//! The shared secret of a component and its server.

use crate::stream::hidden::Hidden;
use base::hex;
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

/// A shared secret. It cannot be printed, and its memory is overwritten when it is dropped.
#[derive(Clone, Debug)]
pub struct Secret(Hidden<Vec<u8>>);

impl Secret {
    /// The secret as it stands in the configuration of both sides.
    pub fn new(secret: &str) -> Secret {
        Secret(Hidden(secret.as_bytes().to_vec()))
    }

    /// The proof for the stream `id`: SHA-1 of both in lower-case hexadecimal (XEP-0114 §3).
    pub(super) fn proof(&self, id: &str) -> String {
        let digest = Sha1::new().chain_update(id).chain_update(&self.0.0).finalize();
        let mut digits = [0; 40];
        hex::write(&digest, &mut digits);
        digits.iter().map(|digit| char::from(*digit)).collect()
    }

    /// Whether `proof` is the proof for the stream `id`, found out in a time that tells nothing.
    pub(super) fn proves(&self, id: &str, proof: &str) -> bool {
        self.proof(id).as_bytes().ct_eq(proof.trim().as_bytes()).into()
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
