//! Digest access authentication without its header fields: RFC 7616 §3.4, and RFC 2617 for those who know no quality of protection.
//!
//! SIP (RFC 3261 §22, RFC 8760) and MSRP relays (RFC 4976 §9.1) read and write the fields each in its own grammar; what is hashed is the
//! same for both.

use crate::{Str, hex};
use md5::Md5;
use sha2::{Sha256, Sha512_256};
use std::fmt;
use subtle::ConstantTimeEq;

/// The hash that a digest is made with: RFC 7616 §6.1. The greater is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// RFC 2617, for those who know nothing else.
    Md5,
    /// SHA-512 cut to 256 bits: a second choice (RFC 7616 §3.7).
    Sha512Part256,
    /// The one that everybody has who follows RFC 8760.
    Sha256,
}

impl Algorithm {
    /// All of them, the best first.
    pub const ALL: [Algorithm; 3] = [Algorithm::Sha256, Algorithm::Sha512Part256, Algorithm::Md5];

    /// Its name in the registry.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha512Part256 => "SHA-512-256",
            Algorithm::Sha256 => "SHA-256",
        }
    }

    /// The one of this name, which has no case. The forms for a session (`-sess`) are none of them.
    pub fn named(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// How many hexadecimal digits its hash has.
    pub fn digits(self) -> usize {
        match self {
            Algorithm::Md5 => 32,
            Algorithm::Sha512Part256 | Algorithm::Sha256 => 64,
        }
    }

    /// The hash of `parts` with a colon between each two.
    pub fn hash(self, parts: &[&[u8]]) -> Hash {
        match self {
            Algorithm::Md5 => hash_of::<Md5>(parts),
            Algorithm::Sha512Part256 => hash_of::<Sha512_256>(parts),
            Algorithm::Sha256 => hash_of::<Sha256>(parts),
        }
    }

    /// What stands for the name of a user who is not to be read on the way: RFC 7616 §3.4.4.
    pub fn userhash(self, username: &str, realm: &str) -> Hash {
        self.hash(&[username.as_bytes(), realm.as_bytes()])
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn hash_of<D: md5::Digest>(parts: &[&[u8]]) -> Hash {
    let mut hasher = D::new();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            hasher.update(b":");
        }
        hasher.update(part);
    }
    let mut digits = [0; 64];
    let written = hex::write(&hasher.finalize(), &mut digits);
    // At most 64.
    Hash { digits, len: written as u8 }
}

/// A hash in lower-case hexadecimal digits, as it stands in the fields (RFC 7616 §3.2). Two are compared in a time that tells nothing of
/// where they differ; it is not shown by Debug, as it may be a secret.
#[derive(Clone, Copy)]
pub struct Hash {
    digits: [u8; 64],
    len: u8,
}

impl Hash {
    /// The digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    fn as_bytes(&self) -> &[u8] {
        &self.digits[..usize::from(self.len)]
    }

    /// Whether these are its digits, in either case, by a comparison that takes the same time wherever they differ.
    pub fn is(&self, digits: &str) -> bool {
        digits.len() == usize::from(self.len) && digits.to_ascii_lowercase().as_bytes().ct_eq(self.as_bytes()).into()
    }
}

impl PartialEq for Hash {
    fn eq(&self, other: &Hash) -> bool {
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl Eq for Hash {}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash")
    }
}

/// H(A1): what both sides know of a user in one realm (RFC 7616 §3.4.2). It is as good as the password there, so it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    algorithm: Algorithm,
    hash: Hash,
}

impl Secret {
    /// That of a password. A user name with a colon has none that is its own: whoever takes names refuses those.
    pub fn new(algorithm: Algorithm, username: &str, realm: &str, password: &str) -> Secret {
        let hash = algorithm.hash(&[username.as_bytes(), realm.as_bytes(), password.as_bytes()]);
        Secret { algorithm, hash }
    }

    /// One that was kept as [`Secret::digits`]. `None` for what cannot be one.
    pub fn kept(algorithm: Algorithm, digits: &str) -> Option<Secret> {
        let fits = digits.len() == algorithm.digits() && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let mut hash = Hash { digits: [0; 64], len: u8::try_from(digits.len()).ok().filter(|_| fits)? };
        hash.digits[..digits.len()].copy_from_slice(digits.as_bytes());
        Some(Secret { algorithm, hash })
    }

    /// What is kept of a user, in place of the password.
    pub fn digits(&self) -> &str {
        self.hash.as_str()
    }

    /// The hash that it is for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The digest of a request.
    pub fn request_digest(&self, method: &str, uri: &str, proof: &Proof<'_>) -> Hash {
        self.digest(self.algorithm.hash(&[method.as_bytes(), uri.as_bytes()]), proof)
    }

    /// The digest of the answer to a request, by which the server shows that it knows the secret as well (RFC 7616 §3.5, `rspauth`).
    pub fn response_digest(&self, uri: &str, proof: &Proof<'_>) -> Hash {
        self.digest(self.algorithm.hash(&[b"", uri.as_bytes()]), proof)
    }

    fn digest(&self, what: Hash, proof: &Proof<'_>) -> Hash {
        let (secret, nonce) = (self.hash.as_bytes(), proof.nonce.as_bytes());
        match proof.count {
            Some((count, cnonce)) => self.algorithm.hash(&[
                secret,
                nonce,
                crate::format_compact!("{count:08x}").as_bytes(),
                cnonce.as_bytes(),
                b"auth",
                what.as_bytes(),
            ]),
            None => self.algorithm.hash(&[secret, nonce, what.as_bytes()]),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.algorithm)
    }
}

/// What makes one digest differ from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof<'a> {
    /// What the server gave.
    pub nonce: &'a str,
    /// How often the client has used it, with this one, and what the client gave: quality of protection `auth`. `None` where none was
    /// agreed on (RFC 2617 §3.2.2.1).
    pub count: Option<(u32, &'a str)>,
}

/// A nonce and how often it was used: the client's memory of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonce {
    text: Str,
    count: u32,
}

impl Nonce {
    /// One that was not used yet.
    pub fn new(text: &str) -> Nonce {
        Nonce { text: Str::from(text), count: 0 }
    }

    /// It is used once more: the count that says so.
    pub fn count_up(&mut self) -> u32 {
        self.count = self.count.saturating_add(1);
        self.count
    }

    /// Whether it was not used yet.
    pub fn is_new(&self) -> bool {
        self.count == 0
    }

    /// What the server gave.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_rfc_2617() {
        let secret = Secret::new(Algorithm::Md5, "Mufasa", "testrealm@host.com", "Circle Of Life");
        assert_eq!(secret.digits(), "939e7578ed9e3c518a452acee763bce9");
        let nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
        let proof = Proof { nonce, count: Some((1, "0a4f113b")) };
        let digest = secret.request_digest("GET", "/dir/index.html", &proof);
        assert_eq!(digest.as_str(), "6629fae49393a05397450978507c4ef1");
        let without = secret.request_digest("GET", "/dir/index.html", &Proof { nonce, count: None });
        assert_eq!(without.as_str(), "670fd8c2df070c60b045671b8b24ff02");
        assert_ne!(secret.response_digest("/dir/index.html", &proof), digest);
    }

    #[test]
    fn the_examples_of_rfc_7616() {
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let proof = Proof { nonce, count: Some((1, "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")) };
        for (algorithm, wanted) in [
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (Algorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let secret = Secret::new(algorithm, "Mufasa", "http-auth@example.org", "Circle of Life");
            assert_eq!(secret.request_digest("GET", "/dir/index.html", &proof).as_str(), wanted, "{algorithm}");
        }
    }

    /// The figures of RFC 7616 §3.9.2 are those of SHA-512 cut short; these are those of SHA-512/256 as FIPS 180-4 has it (erratum 4897).
    #[test]
    fn the_example_of_rfc_7616_with_the_third_hash() {
        let algorithm = Algorithm::Sha512Part256;
        assert_eq!(
            algorithm.hash(&[b"abc"]).as_str(),
            "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"
        );
        let (username, realm) = ("J\u{e4}s\u{f8}n Doe", "api@example.org");
        let userhash = algorithm.userhash(username, realm);
        assert_eq!(userhash.as_str(), "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b");
        let nonce = "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK";
        let proof = Proof { nonce, count: Some((1, "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v")) };
        let digest =
            Secret::new(algorithm, username, realm, "Secret, or not?").request_digest("GET", "/doe.json", &proof);
        assert_eq!(digest.as_str(), "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5");
    }

    #[test]
    fn names_are_those_of_the_registry() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::named(&algorithm.name().to_lowercase()), Some(algorithm));
            assert_eq!(algorithm.hash(&[b""]).as_str().len(), algorithm.digits());
        }
        assert_eq!(Algorithm::named("MD5-sess"), None);
        assert!(Algorithm::ALL.is_sorted_by(|a, b| a > b));
    }

    #[test]
    fn a_secret_is_kept_and_not_shown() {
        let secret = Secret::new(Algorithm::Sha256, "u", "r", "p");
        assert_eq!(Secret::kept(Algorithm::Sha256, secret.digits()), Some(secret.clone()));
        assert_eq!(format!("{secret:?}"), "Secret(SHA-256)");
        assert_eq!(Secret::kept(Algorithm::Md5, secret.digits()), None);
        assert_eq!(Secret::kept(Algorithm::Md5, &"g".repeat(32)), None);
        assert_eq!(Secret::kept(Algorithm::Md5, &"A".repeat(32)), None);
        assert_eq!(Secret::kept(Algorithm::Md5, &"a".repeat(300)), None);
    }

    proptest! {
        /// Digits are its own in either case, and no others are.
        #[test]
        fn a_hash_is_its_digits(text: Vec<u8>, at in 0..64usize) {
            let hash = Algorithm::Sha256.hash(&[&text]);
            prop_assert!(hash.is(hash.as_str()) && hash.is(&hash.as_str().to_uppercase()));
            let mut other = hash.as_str().as_bytes().to_vec();
            other[at] = if other[at] == b'0' { b'1' } else { b'0' };
            prop_assert!(!hash.is(std::str::from_utf8(&other).unwrap()));
            prop_assert!(!hash.is(&hash.as_str()[..at]));
        }
    }
}
