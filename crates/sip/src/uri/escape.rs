//! Percent-encoding in SIP URIs: RFC 3261 §19.1.2.

use crate::lex::{self, PARAM, Syntax, USER};
use base::Str;

/// Undoes percent-encoding once. The octets may be anything, NUL and broken UTF-8 too: the caller decides what they are.
///
/// # Errors
/// A `%` without two hexadecimal digits behind it.
pub fn percent_decode(text: &str) -> Result<Vec<u8>, Syntax> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = bytes.next().and_then(hex).ok_or(Syntax("percent-encoding"))?;
            let low = bytes.next().and_then(hex).ok_or(Syntax("percent-encoding"))?;
            out.push(high << 4 | low);
        } else {
            out.push(byte);
        }
    }
    Ok(out)
}

/// Encodes octets for the user part of a SIP URI.
pub fn encode_user(octets: &[u8]) -> Str {
    encode(octets, USER)
}

/// Encodes octets for a name or value of a SIP URI's parameter, as for the `gr` of RFC 5627.
pub fn encode_param(octets: &[u8]) -> Str {
    encode(octets, PARAM)
}

fn encode(octets: &[u8], class: u8) -> Str {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Str::with_capacity(octets.len());
    for &byte in octets {
        if lex::is(byte, class) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    out
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// Whether two encoded texts are the same once `%XX` of a character that needs no escape is that character
/// (RFC 3261 §19.1.4: `%6a` is `j`, but `%3b` is not `;`).
pub(crate) fn same(a: &str, b: &str, ignore_case: bool) -> bool {
    if a == b {
        return true;
    }
    let fold =
        |(byte, escaped): (u8, bool)| if ignore_case { (byte.to_ascii_lowercase(), escaped) } else { (byte, escaped) };
    Units(a.as_bytes()).map(fold).eq(Units(b.as_bytes()).map(fold))
}

/// The characters of an encoded text; `true` marks one that had to be escaped.
struct Units<'a>(&'a [u8]);

impl Iterator for Units<'_> {
    type Item = (u8, bool);

    fn next(&mut self) -> Option<(u8, bool)> {
        match *self.0 {
            [b'%', high, low, ref rest @ ..] => {
                let byte = hex(high)? << 4 | hex(low)?;
                self.0 = rest;
                let unreserved = byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte);
                Some((byte, !unreserved))
            }
            [byte, ref rest @ ..] => {
                self.0 = rest;
                Some((byte, false))
            }
            [] => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_is_done_once() {
        assert_eq!(percent_decode("%25zy").as_deref(), Ok(&b"%zy"[..]));
        assert_eq!(percent_decode("value%25%34%31").as_deref(), Ok(&b"value%41"[..]));
        assert_eq!(percent_decode("%00").as_deref(), Ok(&b"\0"[..]));
        assert_eq!(percent_decode("%zy"), Err(Syntax("percent-encoding")));
        assert_eq!(percent_decode("%4"), Err(Syntax("percent-encoding")));
    }

    #[test]
    fn encoding_leaves_what_the_grammar_allows() {
        assert_eq!(encode_user(b"a;b/c?d@e%f g\\"), "a;b/c?d%40e%25f%20g%5C");
        assert_eq!(encode_param("a/b@c:[\u{e9}]".as_bytes()), "a/b%40c:[%C3%A9]");
    }

    #[test]
    fn an_escaped_reserved_character_is_another_one() {
        assert!(same("%6aoe", "joe", false));
        assert!(!same("a%3bb", "a;b", false));
        assert!(same("a%3Bb", "a%3bb", false));
        assert!(!same("Joe", "joe", false));
        assert!(same("Joe", "joe", true));
    }
}
