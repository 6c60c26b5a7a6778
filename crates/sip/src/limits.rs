//! How much of a message is read at all: RFC 3261 §21.4.11, §21.5.7.

/// Bounds that are checked before anything is allocated for what lies beyond them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A whole message in bytes. Beyond it: 513.
    pub message_bytes: usize,
    /// Start line and headers together in bytes. Beyond it: 513.
    pub head_bytes: usize,
    /// The start line in bytes. Beyond it: 414.
    pub start_line_bytes: usize,
    /// One header value in bytes, as it came with its folding. Beyond it: 513.
    pub value_bytes: usize,
    /// Header lines. Beyond it: 513.
    pub header_lines: usize,
    /// Via values. Beyond it: 513. RFC 3261 §8.1.1.6 recommends Max-Forwards 70.
    pub vias: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            message_bytes: 65_536,
            head_bytes: 32_768,
            start_line_bytes: 8_192,
            value_bytes: 8_192,
            header_lines: 256,
            vias: 71,
        }
    }
}
