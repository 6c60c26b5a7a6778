//! Keys that are agreed on in the description: SDES (XEP-0167 §5, RFC 4568) and ZRTP (XEP-0262).

use super::super::MAX_LIST;
use super::super::read::{self, Read, Str};
use crate::ext::element;
use crate::ns;
use base::Syntax;
use xml::Element;

/// How a stream is encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Encryption {
    /// There is no call without it.
    pub required: bool,
    /// Keys to choose from.
    pub cryptos: Vec<Crypto>,
    /// Hashes of what ZRTP is going to say (XEP-0262).
    pub zrtp_hashes: Vec<ZrtpHash>,
    /// What else is said of it.
    pub other: Vec<Element>,
}

/// A key and its uses (RFC 4568 §9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crypto {
    /// The algorithms: `AES_CM_128_HMAC_SHA1_80`.
    pub suite: Str,
    /// The keys: `inline:…`.
    pub key_params: Str,
    /// What else is said of them: words with spaces between them.
    pub session_params: Option<Str>,
    /// Its number: digits.
    pub tag: Str,
}

/// The hash of what ZRTP is going to say first (XEP-0262 §2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZrtpHash {
    /// The version of ZRTP.
    pub version: Str,
    /// The hash: hexadecimal digits.
    pub value: Str,
}

impl Encryption {
    pub(super) fn parse(e: &Element) -> Read<Encryption> {
        let mut encryption = Encryption { required: read::flag(e, "required") == Some(true), ..Encryption::default() };
        for child in e.elements() {
            match (child.name.as_str(), child.ns.as_str()) {
                ("crypto", ns::RTP) => read::add(&mut encryption.cryptos, Crypto::parse(child)?, MAX_LIST)?,
                ("zrtp-hash", ns::ZRTP) => {
                    read::add(&mut encryption.zrtp_hashes, ZrtpHash::parse(child)?, MAX_LIST)?;
                }
                _ => read::keep(&mut encryption.other, child),
            }
        }
        Ok(encryption)
    }

    pub(super) fn to_element(&self) -> Element {
        let mut e = element("encryption", ns::RTP);
        if self.required {
            e.set_attr("required", Str::const_new("true"));
        }
        self.cryptos.iter().for_each(|crypto| e.push(crypto.to_element()));
        self.zrtp_hashes.iter().for_each(|hash| e.push(hash.to_element()));
        self.other.iter().for_each(|other| e.push(other.clone()));
        e
    }
}

impl Crypto {
    fn parse(e: &Element) -> Read<Crypto> {
        let tag = read::word(e, "tag")?.filter(|tag| tag.bytes().all(|b| b.is_ascii_digit()));
        Ok(Crypto {
            suite: read::required(read::word(e, "crypto-suite")?, "a key without its suite")?,
            key_params: read::required(read::word(e, "key-params")?, "a key that is none")?,
            session_params: read::value(e, "session-params")?.filter(|p| !p.is_empty()),
            tag: read::required(tag, "a key without its number")?,
        })
    }

    fn to_element(&self) -> Element {
        let mut e = element("crypto", ns::RTP)
            .with_attr("crypto-suite", self.suite.clone())
            .with_attr("key-params", self.key_params.clone());
        if let Some(params) = &self.session_params {
            e.set_attr("session-params", params.clone());
        }
        e.with_attr("tag", self.tag.clone())
    }
}

impl ZrtpHash {
    fn parse(e: &Element) -> Read<ZrtpHash> {
        let value = read::text(e)?;
        if value.is_empty() || value.bytes().any(|b| !b.is_ascii_hexdigit()) {
            return Err(Syntax("not a hash of ZRTP"));
        }
        Ok(ZrtpHash { version: read::required(read::word(e, "version")?, "a hash without its version")?, value })
    }

    fn to_element(&self) -> Element {
        element("zrtp-hash", ns::ZRTP).with_attr("version", self.version.clone()).with_text(&self.value)
    }
}
