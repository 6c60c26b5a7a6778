//! Why a body was not taken. Three kinds, because a SIP peer can do three different things about it.

use base::Str;
use std::fmt;

/// Why a body was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The body breaks its own format: SIP 400, XMPP `bad-request`.
    Malformed(&'static str),
    /// More of something than we take: SIP 413, XMPP `policy-violation`.
    TooBig {
        /// What there was too much of.
        what: &'static str,
        /// The most that is taken.
        limit: usize,
    },
    /// Well-formed, but asking for what we cannot do: SIP 415, XMPP `feature-not-implemented`.
    Unsupported {
        /// The kind of thing: a charset, a transfer encoding, a required feature.
        what: &'static str,
        /// Which one, as the peer wrote it (at most 128 bytes).
        value: Str,
    },
}

impl Error {
    /// An [`Error::Unsupported`]; the peer's own words are cut to 128 bytes and lose their control characters, so that
    /// they may stand in a reason phrase or a log.
    pub(crate) fn unsupported(what: &'static str, value: &str) -> Error {
        let mut cut = Str::default();
        for c in value.chars().filter(|c| !c.is_control()) {
            if cut.len() + c.len_utf8() > 128 {
                break;
            }
            cut.push(c);
        }
        Error::Unsupported { what, value: cut }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Malformed(why) => f.write_str(why),
            Error::TooBig { what, limit } => write!(f, "more than {limit} {what}"),
            Error::Unsupported { what, value } => write!(f, "{what} not supported: {value}"),
        }
    }
}

impl std::error::Error for Error {}
