//! The character classes of RFC 3261 §25.1 and a cursor over one header value.
//!
//! A value that reaches the cursor is one line (folding is undone when the message is read), so LWS is SP and HTAB only.
//! Every class holds ASCII bytes only, so the cursor always stands on a character boundary.

pub use base::Syntax;
use std::borrow::Cow;
use std::fmt;

/// `token`: methods, header names, parameter names.
pub(crate) const TOKEN: u8 = 1;
/// `word`: the two halves of a Call-ID.
pub(crate) const WORD: u8 = 2;
/// `user` without its escapes.
pub(crate) const USER: u8 = 4;
/// `password` without its escapes.
pub(crate) const PASSWORD: u8 = 8;
/// `paramchar` without its escapes: parameters of a SIP URI.
pub(crate) const PARAM: u8 = 16;
/// `hnv-unreserved` and `unreserved`: names and values of a SIP URI's headers, without escapes.
pub(crate) const HNV: u8 = 32;
/// `uric` without its escapes, and `[`, `]` (RFC 3986 §3.2.2 has IPv6 references in every scheme).
pub(crate) const URIC: u8 = 64;
/// What a host may be made of; its structure is checked by `Host`. The underscore is not in the grammar but in the field.
pub(crate) const HOST: u8 = 128;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut byte = 0usize;
    while byte < 128 {
        let b = byte as u8;
        let alphanum = b.is_ascii_alphanumeric();
        let unreserved = alphanum || matches!(b, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')');
        let token = alphanum || matches!(b, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        let word = token
            || matches!(b, b'(' | b')' | b'<' | b'>' | b':' | b'\\' | b'"' | b'/' | b'[' | b']' | b'?' | b'{' | b'}');
        let password = unreserved || matches!(b, b'&' | b'=' | b'+' | b'$' | b',');
        let user = password || matches!(b, b';' | b'?' | b'/');
        let param = unreserved || matches!(b, b'[' | b']' | b'/' | b':' | b'&' | b'+' | b'$');
        let hnv = unreserved || matches!(b, b'[' | b']' | b'/' | b'?' | b':' | b'+' | b'$');
        let uric = unreserved
            || matches!(b, b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b',' | b'[' | b']');
        let host = alphanum || matches!(b, b'-' | b'.' | b'_');
        let members = [
            (token, TOKEN),
            (word, WORD),
            (user, USER),
            (password, PASSWORD),
            (param, PARAM),
            (hnv, HNV),
            (uric, URIC),
            (host, HOST),
        ];
        let mut class = 0;
        while class < members.len() {
            if members[class].0 {
                table[byte] |= members[class].1;
            }
            class += 1;
        }
        byte += 1;
    }
    table
}

/// Whether `byte` belongs to `class`.
#[inline]
pub(crate) fn is(byte: u8, class: u8) -> bool {
    CLASS[usize::from(byte)] & class != 0
}

/// Whether `text` is one or more bytes of `class`.
pub(crate) fn all(text: &str, class: u8) -> bool {
    !text.is_empty() && text.bytes().all(|b| is(b, class))
}

/// Whether `text` is `class` and well-formed `%XX` escapes and nothing else. The empty text is.
pub(crate) fn escaped(text: &str, class: u8) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if !is(byte, class) {
            let mut hex = || bytes.next().is_some_and(|b| b.is_ascii_hexdigit());
            if byte != b'%' || !hex() || !hex() {
                return false;
            }
        }
    }
    true
}

/// What a parameter's value may be made of when it is not quoted: see `Params`.
#[inline]
pub(crate) fn is_value(byte: u8) -> bool {
    is(byte, TOKEN) || matches!(byte, b'[' | b']' | b':' | b'/' | b'@' | b'$' | b'&')
}

/// A control character that no header value of ours holds: all of C0 but HTAB, and DEL.
#[inline]
pub(crate) fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

/// How many control characters there are. In pieces so short that the count of one fits a byte: this becomes vector code.
pub(crate) fn controls(bytes: &[u8]) -> usize {
    bytes
        .chunks(128)
        .map(|piece| usize::from(piece.iter().map(|b| u8::from(is_control(*b))).fold(0u8, u8::wrapping_add)))
        .sum()
}

/// 1*DIGIT. `None` for anything else or above `max`; leading zeros count for nothing, however many.
pub(crate) fn number(text: &str, max: u64) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for byte in text.bytes() {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
        if value > max {
            return None;
        }
    }
    Some(value)
}

/// Removes the backslashes from the inside of a quoted-string.
pub(crate) fn unescape(inner: &str) -> Cow<'_, str> {
    if !inner.as_bytes().contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Writes `text` as a quoted-string. Control characters have no place in what we write and become spaces.
pub(crate) fn write_quoted(f: &mut impl fmt::Write, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                f.write_char('\\')?;
                f.write_char(c)?;
            }
            c if c.is_ascii() && is_control(c as u8) => f.write_char(' ')?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

/// A position in one header value.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Cursor<'a> {
        Cursor { text, at: 0 }
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at == self.text.len()
    }

    #[inline]
    pub(crate) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The text between an earlier position and this one.
    #[inline]
    pub(crate) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Takes `byte`, which must be ASCII, if it comes next.
    #[inline]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// SWS.
    #[inline]
    pub(crate) fn skip_ws(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// SWS `byte` SWS, or nothing at all.
    #[inline]
    pub(crate) fn eat_padded(&mut self, byte: u8) -> bool {
        let start = self.at;
        match self.peek() {
            Some(b' ' | b'\t') => self.skip_ws(),
            Some(next) if next == byte => {}
            _ => return false,
        }
        if self.eat(byte) {
            self.skip_ws();
            true
        } else {
            self.at = start;
            false
        }
    }

    /// As many bytes of `class` as come next: perhaps none.
    #[inline]
    pub(crate) fn take(&mut self, class: u8) -> &'a str {
        let rest = self.rest();
        let length = rest.bytes().position(|b| !is(b, class)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// As many bytes of `class` and well-formed `%XX` escapes as come next.
    pub(crate) fn take_escaped(&mut self, class: u8) -> Result<(), Syntax> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b'%') => match bytes.get(self.at + 1..self.at + 3) {
                    Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => self.at += 3,
                    _ => return Err(Syntax("percent-encoding")),
                },
                Some(&byte) if is(byte, class) => self.at += 1,
                _ => return Ok(()),
            }
        }
    }

    /// As much of a parameter's unquoted value as comes next.
    #[inline]
    pub(crate) fn take_value(&mut self) -> &'a str {
        let rest = self.rest();
        let length = rest.bytes().position(|b| !is_value(b)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// As many digits as come next.
    pub(crate) fn digits(&mut self) -> &'a str {
        let rest = self.rest();
        let length = rest.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// A token of at least one character.
    #[inline]
    pub(crate) fn token(&mut self) -> Option<&'a str> {
        let token = self.take(TOKEN);
        (!token.is_empty()).then_some(token)
    }

    /// Everything up to and without `byte`, which must be ASCII; stands on `byte` afterwards. `None` if it never comes.
    pub(crate) fn until(&mut self, byte: u8) -> Option<&'a str> {
        let rest = self.rest();
        let length = memchr::memchr(byte, rest.as_bytes())?;
        self.at += length;
        rest.get(..length)
    }

    /// Everything up to and without the first of `stops`, which must be ASCII, or to the end.
    pub(crate) fn until_any(&mut self, stops: &[u8]) -> &'a str {
        let rest = self.rest();
        let length = rest.bytes().position(|b| stops.contains(&b)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// Steps over `count` bytes that the caller has looked at.
    #[inline]
    pub(crate) fn skip(&mut self, count: usize) {
        self.at += count;
    }

    /// A quoted-string that starts here: its inside, still escaped. `None` if it does not end, or a backslash stands
    /// before a character that is not ASCII.
    pub(crate) fn quoted(&mut self) -> Option<&'a str> {
        if !self.eat(b'"') {
            return None;
        }
        let start = self.at;
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at)? {
                b'"' => {
                    let inner = self.since(start);
                    self.at += 1;
                    return Some(inner);
                }
                b'\\' => {
                    if !bytes.get(self.at + 1)?.is_ascii() {
                        return None;
                    }
                    self.at += 2;
                }
                _ => self.at += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_within_its_bound() {
        assert_eq!(number("0000000000000000000000000255", 255), Some(255));
        assert_eq!(number("256", 255), None);
        assert_eq!(number("36893488147419103232", u64::MAX), None);
        assert_eq!(number("", 9), None);
        assert_eq!(number("-1", 9), None);
        assert_eq!(number("0x5", 9), None);
    }

    #[test]
    fn a_quoted_string_ends_at_its_own_quote() {
        let mut c = Cursor::new(r#""a\"b\\" <x>"#);
        assert_eq!(c.quoted(), Some(r#"a\"b\\"#));
        assert_eq!(c.rest(), " <x>");
        assert_eq!(unescape(r#"a\"b\\"#), r#"a"b\"#);
        assert_eq!(Cursor::new("\"open").quoted(), None);
        assert_eq!(Cursor::new("\"open\\").quoted(), None);
        assert_eq!(Cursor::new("\"\\é\"").quoted(), None);
    }

    #[test]
    fn escapes_are_two_hexadecimal_digits() {
        assert!(escaped("a%20b", USER));
        assert!(!escaped("a%2", USER));
        assert!(!escaped("a%zy", USER));
        assert!(!escaped("a b", USER));
    }
}
