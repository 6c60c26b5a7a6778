//! Fingerprints of certificates (RFC 8122 §5).

use crate::Error;
use base::Str;
use std::fmt;

/// The most fingerprints of one media description.
pub const MAX_FINGERPRINTS: usize = 16;

/// The most bytes of one: SHA-512 has so many.
const MAX_HASH: usize = 64;

/// `a=fingerprint`: a hash of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    hash: Str,
    bytes: Box<[u8]>,
}

impl Fingerprint {
    /// A fingerprint; None where the hash function is known and gives another number of bytes, or for more than 64.
    pub fn new(hash: &str, bytes: &[u8]) -> Option<Fingerprint> {
        let hash: Str = hash.chars().map(|c| c.to_ascii_lowercase()).collect();
        let fits = match hash.as_str() {
            "md2" | "md5" => bytes.len() == 16,
            "sha-1" => bytes.len() == 20,
            "sha-224" => bytes.len() == 28,
            "sha-256" => bytes.len() == 32,
            "sha-384" => bytes.len() == 48,
            "sha-512" => bytes.len() == 64,
            other => !other.is_empty() && (1..=MAX_HASH).contains(&bytes.len()),
        };
        fits.then(|| Fingerprint { hash, bytes: bytes.into() })
    }

    /// Reads the value of the attribute. Digits may be in lower case, as some write them.
    ///
    /// # Errors
    /// Malformed: no hash function, no pairs of hexadecimal digits with colons between, or not as many as the function gives.
    pub fn parse(value: &str) -> Result<Fingerprint, Error> {
        const BAD: Error = Error::Malformed("bad fingerprint");
        let (hash, digits) = value.split_once(' ').ok_or(BAD)?;
        if hash.len() > 32 || !hash.bytes().all(super::read::is_token) || digits.len() > 3 * MAX_HASH {
            return Err(BAD);
        }
        let pair = |pair: &str| {
            let hex = pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
            Some(pair).filter(|_| hex).and_then(|pair| u8::from_str_radix(pair, 16).ok())
        };
        let bytes: Vec<u8> = digits.split(':').map(pair).collect::<Option<_>>().ok_or(BAD)?;
        Fingerprint::new(hash, &bytes).ok_or(BAD)
    }

    /// The hash function, in lower case.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The hash.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether nobody may trust it: MD2 and MD5 (§5).
    pub fn is_weak(&self) -> bool {
        matches!(self.hash.as_str(), "md2" | "md5")
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hash)?;
        for (n, byte) in self.bytes.iter().enumerate() {
            let gap = if n == 0 { ' ' } else { ':' };
            write!(f, "{gap}{byte:02X}")?;
        }
        Ok(())
    }
}
