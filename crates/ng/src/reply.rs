//! What a server answers.

use crate::bencode::{Malformed, Value};
use std::fmt;

/// The most bytes of a server's words that are kept.
const MAX_REASON: usize = 256;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To a ping.
    Pong,
    /// It is done.
    Done {
        /// The description as the server would have it; None for what is not about one.
        sdp: Option<Vec<u8>>,
    },
    /// The server has as many calls as it may have.
    Full,
    /// It cannot be done.
    Refused {
        /// Why, in the server's words; at most 256 bytes, without control characters.
        reason: String,
    },
}

/// Why an answer is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// It is no document.
    Malformed(Malformed),
    /// It has no `result` that is known.
    Result,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Malformed(malformed) => malformed.fmt(f),
            Unreadable::Result => f.write_str("no result"),
        }
    }
}

impl std::error::Error for Unreadable {}

impl Reply {
    /// Reads the document of an answer.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn parse(document: &[u8]) -> Result<Reply, Unreadable> {
        let value = Value::parse(document).map_err(Unreadable::Malformed)?;
        match value.get("result").and_then(Value::as_bytes) {
            Some(b"pong") => Ok(Reply::Pong),
            Some(b"ok") => Ok(Reply::Done { sdp: value.get("sdp").and_then(Value::as_bytes).map(<[u8]>::to_vec) }),
            Some(b"load limit") => Ok(Reply::Full),
            Some(b"error") => {
                let reason = value.get("error-reason").and_then(Value::as_bytes).unwrap_or_default();
                Ok(Reply::Refused { reason: words(reason) })
            }
            _ => Err(Unreadable::Result),
        }
    }

    /// Whether this says that the server knows no such call: it was started anew, or has not seen media for too long.
    pub fn is_unknown_call(&self) -> bool {
        match self {
            Reply::Refused { reason } => reason.to_ascii_lowercase().contains("unknown call"),
            Reply::Pong | Reply::Done { .. } | Reply::Full => false,
        }
    }
}

fn words(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_REASON)]);
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        assert_eq!(Reply::parse(b"d6:result4:ponge"), Ok(Reply::Pong));
        assert_eq!(Reply::parse(b"d6:result2:ok3:sdp3:v=0e"), Ok(Reply::Done { sdp: Some(b"v=0".to_vec()) }));
        assert_eq!(Reply::parse(b"d3:sdpi0e6:result2:oke"), Ok(Reply::Done { sdp: None }));
        assert_eq!(Reply::parse(b"d6:result10:load limite"), Ok(Reply::Full));
        let refused = Reply::parse(b"d6:result5:error12:error-reason16:Unknown\n call-ide").unwrap();
        assert_eq!(refused, Reply::Refused { reason: "Unknown call-id".to_owned() });
        assert!(refused.is_unknown_call());
        assert!(!Reply::parse(b"d6:result5:errore").unwrap().is_unknown_call());
    }

    #[test]
    fn what_is_no_answer() {
        for wrong in [&b"de"[..], b"le", b"d6:resulti1ee", b"d6:result5:maybee", b"4:pong"] {
            assert_eq!(Reply::parse(wrong), Err(Unreadable::Result));
        }
        assert_eq!(Reply::parse(b"pong"), Err(Unreadable::Malformed(Malformed::Byte)));
        let long = [&b"d6:result5:error12:error-reason1000:"[..], &[0xff; 1000], b"e"].concat();
        let Ok(Reply::Refused { reason }) = Reply::parse(&long) else { panic!("refused") };
        assert!(reason.len() <= 3 * MAX_REASON, "each byte at most one replacement");
    }
}
