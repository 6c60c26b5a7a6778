//! CSeq and Call-ID: RFC 3261 §20.8, §20.16.

use crate::lex::{self, Cursor, Syntax, WORD};
use crate::method::Method;
use std::fmt;

/// A CSeq value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CSeq {
    /// Below 2^31 (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// The request's method.
    pub method: Method,
}

impl CSeq {
    /// Reads `1*DIGIT LWS Method`. A number of 2^31 or more is an error.
    pub fn parse(text: &str) -> Result<CSeq, Syntax> {
        let (number, method) = split(text)?;
        let number = lex::number(number, (1 << 31) - 1).and_then(|n| u32::try_from(n).ok()).ok_or(OUT_OF_RANGE)?;
        Ok(CSeq { number, method: Method::parse(method).ok_or(Syntax("method"))? })
    }
}

/// What `CSeq::parse` says of a number of 2^31 or more.
pub(crate) const OUT_OF_RANGE: Syntax = Syntax("number out of range");

fn split(text: &str) -> Result<(&str, &str), Syntax> {
    let mut cursor = Cursor::new(text);
    let number = cursor.digits();
    if number.is_empty() {
        return Err(Syntax("number"));
    }
    let method = cursor.rest();
    match method.trim_ascii_start() {
        name if name.len() < method.len() && !name.is_empty() => Ok((number, name)),
        _ => Err(Syntax("method")),
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.number)?;
        f.write_str(self.method.as_str())
    }
}

/// Whether `text` is a Call-ID: `word [ "@" word ]`.
pub fn check_call_id(text: &str) -> Result<(), Syntax> {
    let sound = match memchr::memchr(b'@', text.as_bytes()) {
        None => lex::all(text, WORD),
        Some(at) => lex::all(&text[..at], WORD) && lex::all(&text[at + 1..], WORD),
    };
    if sound { Ok(()) } else { Err(Syntax("no word")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cseq_prints_in_one_form() {
        let cseq = CSeq::parse("0009 \t INVITE").expect("a CSeq");
        assert_eq!(cseq, CSeq { number: 9, method: Method::Invite });
        assert_eq!(cseq.to_string(), "9 INVITE");
        assert_eq!(CSeq::parse("2147483647 X").expect("a CSeq").number, i32::MAX as u32);
        assert_eq!(CSeq::parse("2147483648 X"), Err(OUT_OF_RANGE));
        assert_eq!(CSeq::parse("36893488147419103232 X"), Err(OUT_OF_RANGE));
        for text in ["", "1", "1 ", "INVITE", "-1 INVITE", "1INVITE", "1 IN VITE"] {
            assert!(CSeq::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_call_id_is_one_word_or_two() {
        for text in ["a", "a@b", "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"] {
            assert_eq!(check_call_id(text), Ok(()), "{text}");
        }
        for text in ["", "a b", "a@", "@b", "a@b@c", "a,b", "\u{e9}", "a;b"] {
            assert!(check_call_id(text).is_err(), "{text}");
        }
    }
}
