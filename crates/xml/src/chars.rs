//! Character classes of XML 1.0 (fifth edition) and the checks built on them.

use crate::Error;

const START: u8 = 1;
const NAME: u8 = 2;

/// For each ASCII character: may it start a name, may it stand in one. The colon is neither: it separates prefix and
/// local part (Namespaces in XML §4).
const ASCII: [u8; 128] = {
    let mut t = [0; 128];
    let mut c = 0;
    while c < 128 {
        t[c] = match c as u8 {
            b'A'..=b'Z' | b'a'..=b'z' | b'_' => START | NAME,
            b'0'..=b'9' | b'-' | b'.' => NAME,
            _ => 0,
        };
        c += 1;
    }
    t
};

/// Whether XML 1.0 allows this character at all (production 2).
pub fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// XML white space (production 3).
pub(crate) fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\n' | b'\t' | b'\r')
}

/// Whether `b` may be the first byte of a name; every byte of a longer sequence may, until it is decoded.
pub(crate) fn may_start_name(b: u8) -> bool {
    ASCII.get(usize::from(b)).is_none_or(|class| class & START != 0)
}

/// Production 4 without the colon.
fn is_start_char(c: char) -> bool {
    match ASCII.get(c as usize) {
        Some(class) => class & START != 0,
        None => matches!(c,
            '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}' | '\u{370}'..='\u{37D}'
            | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}'
            | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}'
            | '\u{10000}'..='\u{EFFFF}'),
    }
}

/// Production 4a without the colon.
fn is_name_char(c: char) -> bool {
    match ASCII.get(c as usize) {
        Some(class) => class & NAME != 0,
        None => is_start_char(c) || matches!(c, '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}'),
    }
}

/// How many bytes at the start of `s` are a name without a colon; 0 if it starts with none.
pub(crate) fn name_len(s: &str) -> usize {
    let ascii = s.bytes().take_while(|b| ASCII.get(usize::from(*b)).is_some_and(|class| class & NAME != 0)).count();
    match s.as_bytes().first() {
        None => return 0,
        Some(&b) if ascii > 0 && !may_start_name(b) => return 0,
        Some(_) => {}
    }
    if s.as_bytes().get(ascii).is_none_or(u8::is_ascii) {
        return ascii;
    }
    let mut chars = s.char_indices();
    match chars.next() {
        Some((_, c)) if is_start_char(c) => {}
        _ => return 0,
    }
    chars.find(|(_, c)| !is_name_char(*c)).map_or(s.len(), |(at, _)| at)
}

/// Whether `s` can stand in a name behind its first character.
pub(crate) fn is_name_part(s: &str) -> bool {
    s.chars().all(is_name_char)
}

/// Whether `s` can be the local name of an element or attribute (NCName, Namespaces in XML §3).
pub fn is_name(s: &str) -> bool {
    !s.is_empty() && name_len(s) == s.len()
}

/// The text of `bytes`, if it is UTF-8 and every character is allowed in XML.
pub(crate) fn check(bytes: &[u8]) -> Result<&str, Error> {
    // Whole blocks without a branch, so that the compiler can do many bytes at once.
    let forbidden = |block: &[u8]| block.iter().fold(false, |bad, &b| bad | ((b < 0x20) & !is_space(b)));
    if bytes.chunks(64).any(forbidden) {
        return Err(Error::NotWellFormed("a control character"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Error::BadEncoding)?;
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(0xEF, rest) {
        // U+FFFE and U+FFFF; surrogates are not UTF-8 to begin with.
        if let [0xEF, 0xBF, 0xBE | 0xBF, ..] = &rest[at..] {
            return Err(Error::NotWellFormed("a noncharacter"));
        }
        rest = &rest[at + 1..];
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "_", "body", "a-b.c1", "é", "名前", "a·b"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "1a", "-a", ".a", "a:b", ":a", "a b", "·a", "a\u{D7}", "\u{FFFE}"] {
            assert!(!is_name(bad), "{bad}");
        }
        assert_eq!(name_len("from='x'"), 4);
        assert_eq!(name_len("aé='x'"), 3);
        assert_eq!(name_len("é1:b"), 3);
    }

    #[test]
    fn characters() {
        assert_eq!(check(b"a\tb\r\n"), Ok("a\tb\r\n"));
        assert_eq!(check("\u{FFFD}\u{85}\u{2028}\u{10FFFF}".as_bytes()), Ok("\u{FFFD}\u{85}\u{2028}\u{10FFFF}"));
        for bad in [&b"\0"[..], b"abc\x0b", b"\x1b", b"\xef\xbf\xbe", b"\xef\xbf\xbf"] {
            assert!(matches!(check(bad), Err(Error::NotWellFormed(_))), "{bad:x?}");
        }
        for bad in [&b"\xc0\x80"[..], b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xff", b"a\xc3"] {
            assert_eq!(check(bad), Err(Error::BadEncoding), "{bad:x?}");
        }
        assert!(is_xml_char('\n') && is_xml_char('\u{7F}') && is_xml_char('\u{FFFD}'));
        assert!(!is_xml_char('\0') && !is_xml_char('\u{B}') && !is_xml_char('\u{FFFF}'));
    }
}
