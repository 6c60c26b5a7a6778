//! Keys of SRTP: in the description itself (RFC 4568), and the hash of ZRTP (RFC 6189). Those of DTLS are [`Fingerprint`]s.
//!
//! [`Fingerprint`]: super::super::Fingerprint

use super::{Value, is_visible, number, visible};
use base::Str;
use std::fmt;

/// The most session parameters of one `a=crypto`.
const MAX_PARAMETERS: usize = 16;

/// `a=crypto` (RFC 4568 §9.1): a suite and its key. It is a secret, and never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Crypto {
    /// Its number, by which an answer names it; at most nine digits.
    pub tag: u32,
    /// The suite: `AES_CM_128_HMAC_SHA1_80`...
    pub suite: Str,
    /// The keys: `inline:...|2^20|1:32`.
    pub key_params: Str,
    /// What else is said: `KDR=1`, `UNENCRYPTED_SRTCP`... At most 16.
    pub session_params: Vec<Str>,
}

impl fmt::Debug for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crypto").field("tag", &self.tag).field("suite", &self.suite).finish_non_exhaustive()
    }
}

impl Value for Crypto {
    const NAME: &'static str = "crypto";

    fn parse(value: &str) -> Option<Crypto> {
        let mut words = value.split([' ', '\t']).filter(|word| !word.is_empty());
        let tag = number(words.next().filter(|tag| tag.len() <= 9)?)?;
        let suite = words.next().filter(|suite| suite.bytes().all(is_suite))?.into();
        let key_params = words.next().filter(|keys| keys.split(';').all(is_key))?.into();
        let session_params = words.map(visible).take(MAX_PARAMETERS + 1).collect::<Option<Vec<Str>>>()?;
        let fits = session_params.len() <= MAX_PARAMETERS;
        fits.then_some(Crypto { tag, suite, key_params, session_params })
    }
}

impl fmt::Display for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.tag, self.suite, self.key_params)?;
        self.session_params.iter().try_for_each(|parameter| write!(f, " {parameter}"))
    }
}

/// `a=zrtp-hash` (RFC 6189 §8): the hash of the first message of ZRTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZrtpHash {
    /// The version: `1.10`.
    pub version: Str,
    /// The hash, in hexadecimal digits.
    pub hash: Str,
}

impl Value for ZrtpHash {
    const NAME: &'static str = "zrtp-hash";

    fn parse(value: &str) -> Option<ZrtpHash> {
        let (version, hash) = value.trim_matches(' ').split_once(' ')?;
        let hex = (1..=128).contains(&hash.len()) && hash.bytes().all(|b| b.is_ascii_hexdigit());
        Some(ZrtpHash { version: super::word(version)?, hash: hex.then(|| hash.into())? })
    }
}

impl fmt::Display for ZrtpHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.version, self.hash)
    }
}

fn is_suite(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

/// `key-method ":" key-info`.
fn is_key(key: &str) -> bool {
    key.split_once(':')
        .is_some_and(|(method, info)| !method.is_empty() && method.bytes().all(is_suite) && is_visible(info))
}
