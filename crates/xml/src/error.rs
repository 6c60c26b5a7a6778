//! Why XML was refused.

use std::fmt;

/// Why a stream or a document cannot be read. Nothing can be read after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// A rule of XML 1.0 or of Namespaces in XML is broken (RFC 6120 §4.9.3.13).
    NotWellFormed(&'static str),
    /// Legal XML that RFC 6120 §11.1 forbids: a DTD, an entity of one's own, in streams also comments and processing
    /// instructions (§4.9.3.18).
    Restricted(&'static str),
    /// The bytes are not UTF-8 (RFC 3629: no overlong forms, no surrogates).
    BadEncoding,
    /// Another encoding is declared or plainly used (RFC 6120 §4.9.3.22).
    UnsupportedEncoding,
    /// A prefix that no declaration in force binds (RFC 6120 §4.9.3.2).
    UnboundPrefix,
    /// A bound of [`Limits`](crate::Limits) is passed.
    TooBig {
        /// Which bound, in words.
        what: &'static str,
        /// Its value.
        limit: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotWellFormed(why) => write!(f, "not well-formed: {why}"),
            Error::Restricted(what) => write!(f, "not allowed here: {what}"),
            Error::BadEncoding => f.write_str("not UTF-8"),
            Error::UnsupportedEncoding => f.write_str("unsupported encoding"),
            Error::UnboundPrefix => f.write_str("unbound namespace prefix"),
            Error::TooBig { what, limit } => write!(f, "too big: {what}, at most {limit}"),
        }
    }
}

impl std::error::Error for Error {}
