//! What descriptions of RTP media say in their attributes: formats (RFC 8866 §6.6, §6.15, RFC 3551), feedback (RFC 4585 §4.2), header
//! extensions (RFC 8285 §5), sources (RFC 5576 §4), groups (RFC 5888), ICE (RFC 8839 §5), keys (RFC 4568 §9, RFC 6189 §8), the port of RTCP
//! (RFC 3605). Each is a [`Value`], read out of an attribute and written into one; what has no type here stays what it is in
//! [`Attributes`].
//!
//! Values are lenient about what readers in the field are lenient about, and strict about what would be another line, another word or
//! another number to the next reader.

mod candidate;
mod crypto;
mod format;
mod group;
mod source;

use super::address::number;
use super::{Attribute, Attributes};
use base::Str;
use std::fmt::{self, Write as _};

pub use candidate::{Candidate, IceOptions, RemoteCandidates, Rtcp, is_password, is_ufrag};
pub use crypto::{Crypto, ZrtpHash};
pub use format::{Extmap, Feedback, Fmtp, Rtpmap, Static};
pub use group::{Group, Mid, PacketTime};
pub use source::{Ssrc, SsrcGroup};

/// The most bytes that any of these values is read or written with.
pub const MAX_VALUE: usize = 4_096;

/// The value of an attribute.
pub trait Value: Sized + PartialEq + fmt::Display {
    /// The name of the attribute.
    const NAME: &'static str;

    /// Reads it; None for what is malformed, or longer than [`MAX_VALUE`].
    fn parse(value: &str) -> Option<Self>;

    /// The attribute; None where a field holds what would be read as something else, so that whatever a peer says elsewhere comes into a
    /// description as what it is or not at all.
    fn attribute(&self) -> Option<Attribute> {
        let mut value = Str::default();
        // Writing to a string never fails.
        let _ = write!(value, "{self}");
        let reads_back = value.len() <= MAX_VALUE && Self::parse(&value).as_ref() == Some(self);
        reads_back.then(|| Attribute::new(Self::NAME, &value))
    }

    /// All of them, in their order; those that are malformed are passed over.
    fn all(attributes: &Attributes) -> impl Iterator<Item = Self> {
        attributes.all(Self::NAME).filter_map(Self::of)
    }

    /// The first that can be read.
    fn first(attributes: &Attributes) -> Option<Self> {
        Self::all(attributes).next()
    }

    /// The value of this attribute, whatever its name is.
    fn of(attribute: &Attribute) -> Option<Self> {
        attribute.value().filter(|value| value.len() <= MAX_VALUE).and_then(Self::parse)
    }
}

/// What the protocol of a media description says of RTP (RFC 3551, 3711, 4585, 5124, 5764).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Whether it is SRTP.
    pub secure: bool,
    /// Whether its keys come from DTLS, as the protocol says; the older forms leave that to `a=fingerprint`.
    pub dtls: bool,
    /// Whether there is more feedback than RFC 3550 has (RFC 4585).
    pub feedback: bool,
}

impl Profile {
    /// The profile of this name; None for what is not RTP over UDP.
    pub fn from_name(name: &str) -> Option<Profile> {
        let is = |wanted: &&(Profile, &str)| wanted.1.eq_ignore_ascii_case(name);
        PROFILES.iter().find(is).map(|(profile, _)| *profile)
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match (self.dtls, self.secure, self.feedback) {
            (true, _, true) => "UDP/TLS/RTP/SAVPF",
            (true, _, false) => "UDP/TLS/RTP/SAVP",
            (false, true, true) => "RTP/SAVPF",
            (false, true, false) => "RTP/SAVP",
            (false, false, true) => "RTP/AVPF",
            (false, false, false) => "RTP/AVP",
        }
    }
}

const PROFILES: [(Profile, &str); 6] = [
    (Profile { secure: false, dtls: false, feedback: false }, "RTP/AVP"),
    (Profile { secure: false, dtls: false, feedback: true }, "RTP/AVPF"),
    (Profile { secure: true, dtls: false, feedback: false }, "RTP/SAVP"),
    (Profile { secure: true, dtls: false, feedback: true }, "RTP/SAVPF"),
    (Profile { secure: true, dtls: true, feedback: false }, "UDP/TLS/RTP/SAVP"),
    (Profile { secure: true, dtls: true, feedback: true }, "UDP/TLS/RTP/SAVPF"),
];

/// Whether it is a `token` of RFC 8866 §9: one word.
pub fn is_token(text: &str) -> bool {
    (1..=super::MAX_WORD).contains(&text.len()) && text.bytes().all(super::read::is_token)
}

/// Whether it is text that stands within one line, without control characters.
pub fn is_line(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_VALUE && !text.chars().any(char::is_control)
}

/// One word of visible ASCII.
fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

fn word(text: &str) -> Option<Str> {
    is_token(text).then(|| text.into())
}

fn visible(text: &str) -> Option<Str> {
    is_visible(text).then(|| text.into())
}

/// Text behind the first word of a value.
fn line(text: &str) -> Option<Str> {
    (is_line(text) && !text.starts_with(' ')).then(|| text.into())
}

/// The number of a payload type, which has seven bits.
fn payload_type(text: &str) -> Option<u8> {
    number::<u8>(text).filter(|payload_type| *payload_type <= 127)
}

#[cfg(test)]
mod tests;
