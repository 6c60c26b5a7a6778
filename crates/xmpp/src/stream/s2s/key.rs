//! Dialback keys (XEP-0185).

use super::Pair;
use crate::stream::hidden::Hidden;
use base::hex;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What dialback keys are made with: the hash of the secret, so that any length serves. It cannot be printed, and its memory is
/// overwritten when it is dropped.
#[derive(Clone, Debug)]
pub struct Secret(Hidden<[u8; 64]>);

impl Secret {
    /// From a secret as it stands in a configuration, or 256 random bits.
    pub fn new(secret: &[u8]) -> Secret {
        let mut hash = [0; 64];
        hex::write(&Sha256::digest(secret), &mut hash);
        Secret(Hidden(hash))
    }

    /// The key with which `originating` proves itself to `receiving` on the stream `id`, in hexadecimal.
    fn key(&self, receiving: &str, originating: &str, id: &str) -> [u8; 64] {
        let mut out = [0; 64];
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0.0) {
            for part in [receiving, " ", originating, " ", id] {
                mac.update(part.as_bytes());
            }
            hex::write(&mac.finalize().into_bytes(), &mut out);
        }
        out
    }

    /// The key with which we prove `local` to `remote` on the stream to which they gave `id`.
    pub fn prove(&self, pair: &Pair, id: &str) -> String {
        self.key(&pair.remote, &pair.local, id).iter().map(|b| char::from(*b)).collect()
    }

    /// Whether `key` is the one that proves `local` to `remote` on the stream to which they gave `id`, found out in a time that tells nothing.
    pub fn proves(&self, pair: &Pair, id: &str, key: &str) -> bool {
        self.key(&pair.remote, &pair.local, id).ct_eq(key.trim().as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let secret = Secret::new(b"s3cr3tf0rd14lb4ck");
        let key = |local, remote, id| secret.prove(&Pair::new(local, remote), id);
        // XEP-0185 §3, XEP-0220 §2.1.1.
        let example = "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643";
        assert_eq!(key("example.org", "xmpp.example.com", "D60000229F"), example);
        assert_eq!(
            key("capulet.example", "montague.example", "D60000229F"),
            "b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3"
        );
        let other = Secret::new(b"d14lb4ck43v3r");
        assert_eq!(
            other.prove(&Pair::new("montague.example", "capulet.example"), "417GAF25"),
            "225cc5aa6a071133249d25fef42ae516fc7a86c523aa1c6980a7f73e784c972d"
        );
        // The delimiter keeps names apart.
        assert_ne!(key("form.example.org", "example.in", "X1"), key("rm.example.org", "example.info", "X1"));
        let pair = Pair::new("example.org", "xmpp.example.com");
        assert!(secret.proves(&pair, "D60000229F", &format!("\n  {example}\n")));
        for (pair, id, key) in [
            (&pair, "D60000229G", example),
            (&Pair::new("xmpp.example.com", "example.org"), "D60000229F", example),
            (&pair, "D60000229F", &example[1..]),
            (&pair, "D60000229F", ""),
            (&pair, "D60000229F", &example.to_uppercase()),
        ] {
            assert!(!secret.proves(pair, id, key), "{pair} {id} {key}");
        }
        assert!(!other.proves(&pair, "D60000229F", example));
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
