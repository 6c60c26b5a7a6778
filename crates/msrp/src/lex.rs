//! The character classes of RFC 4975 §9.

pub use base::Syntax;

/// `ident-char`: transaction ids and Message-IDs.
pub(crate) const IDENT: u8 = 1;
/// `token`: header names, parameters of a URI.
pub(crate) const TOKEN: u8 = 2;
/// What a session-id is made of.
pub(crate) const SESSION: u8 = 4;
/// What a host name is made of, without its escapes. `;` ends a host here, though RFC 3986 has it in a `reg-name`.
pub(crate) const HOST: u8 = 8;
/// `userinfo` without its escapes.
pub(crate) const USER: u8 = 16;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut byte = 0usize;
    while byte < 128 {
        let b = byte as u8;
        let alphanum = b.is_ascii_alphanumeric();
        let unreserved = alphanum || matches!(b, b'-' | b'.' | b'_' | b'~');
        let sub_delims = matches!(b, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=');
        if alphanum || matches!(b, b'.' | b'-' | b'+' | b'%' | b'=') {
            table[byte] |= IDENT;
        }
        if alphanum || b == 0x21 || matches!(b, 0x23..=0x27 | 0x2a..=0x2b | 0x2d..=0x2e | 0x5e..=0x7e) {
            table[byte] |= TOKEN;
        }
        if unreserved || matches!(b, b'+' | b'=' | b'/') {
            table[byte] |= SESSION;
        }
        if unreserved || sub_delims {
            table[byte] |= HOST | USER;
        }
        if matches!(b, b':' | b';') {
            table[byte] |= USER;
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

/// `ident`: 4 to 32 characters, of which the first is a letter or a digit.
pub(crate) fn is_ident(text: &[u8]) -> bool {
    (4..=32).contains(&text.len()) && text[0].is_ascii_alphanumeric() && text.iter().all(|b| is(*b, IDENT))
}

/// `utf8text` has no control characters but HTAB.
#[inline]
pub(crate) fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

/// How many control characters there are, HTAB not counted. In pieces so short that the count of one fits a byte: this becomes vector code.
pub(crate) fn controls(bytes: &[u8]) -> usize {
    let count = |piece: &[u8]| piece.iter().map(|b| u8::from(is_control(*b))).fold(0u8, u8::wrapping_add);
    bytes.chunks(128).map(|piece| usize::from(count(piece))).sum()
}

/// 1*DIGIT below 2^64; leading zeros count for nothing.
pub(crate) fn number(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.bytes().try_fold(0u64, |value, byte| {
        byte.is_ascii_digit().then_some(())?;
        value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    })
}

/// 3DIGIT.
pub(crate) fn three_digits(text: &str) -> Option<u16> {
    (text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}
