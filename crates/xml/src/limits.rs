//! How much a peer may make us hold.

/// Bounds that are checked before memory is taken. All are inclusive: exactly that much is still accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one first-level element of a stream, of a stream header, or of a whole document. RFC 6120 §13.12 asks
    /// for at least 10,000.
    pub stanza_bytes: usize,
    /// Levels of nesting; a stanza or the root of a document is the first.
    pub depth: usize,
    /// Elements in one stanza or document.
    pub elements: usize,
    /// Attributes of one element, namespace declarations included.
    pub attributes: usize,
    /// Bytes of a prefix, of a local name, or of a namespace name. Every element of a tree holds a copy of its namespace
    /// name, so this also bounds how much larger than its text a tree can be.
    pub name_bytes: usize,
    /// Namespace declarations in force at one place.
    pub namespaces: usize,
    /// Streams only: a first-level element that breaks a limit is skipped without being held, up to this many bytes, so
    /// that one sender's giant does not end the stream for everybody. Beyond it the stream fails. 0: never skip.
    pub skip_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            stanza_bytes: 262_144,
            depth: 64,
            elements: 4096,
            attributes: 64,
            name_bytes: 256,
            namespaces: 64,
            skip_bytes: 4 << 20,
        }
    }
}
