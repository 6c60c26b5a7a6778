//! Text on its way between the two sides: the characters XML can hold, the ends of lines, and the language.

use base::Str;
use std::borrow::Cow;

/// The same text with U+FFFD for each character that XML 1.0 cannot hold (§2.2: control characters but tab, line feed
/// and carriage return; U+FFFE and U+FFFF). One of them in a stanza would end the stream for everybody on it.
pub fn xml_safe(text: &str) -> Cow<'_, str> {
    match text.find(is_forbidden) {
        None => Cow::Borrowed(text),
        Some(_) => Cow::Owned(text.chars().map(|c| if is_forbidden(c) { '\u{FFFD}' } else { c }).collect()),
    }
}

fn is_forbidden(c: char) -> bool {
    matches!(c, '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}')
}

/// Lines ended by LF alone, towards XMPP: XML makes LF of CR LF anyway (XML 1.0 §2.11), and a CR that was escaped to
/// survive would show up as a stray character. A CR alone is a line's end too.
pub fn to_lf(text: &str) -> Cow<'_, str> {
    if !text.contains('\r') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
}

/// Lines ended by CR LF, towards SIP and MSRP: the canonical form of every `text` type (RFC 2046 §4.1.1).
pub fn to_crlf(text: &str) -> Cow<'_, str> {
    let lf = to_lf(text);
    if lf.contains('\n') { Cow::Owned(lf.replace('\n', "\r\n")) } else { lf }
}

/// The language that a tag names, if it looks like one (BCP 47: letters, digits and hyphens, at most 35 as its §4.4.1 has it).
pub fn language(tag: &str) -> Option<Str> {
    let tag = tag.trim();
    let fits = !tag.is_empty() && tag.len() <= 35 && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    fits.then(|| Str::from(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_characters_are_replaced() {
        assert_eq!(xml_safe("a\tb\r\nc"), "a\tb\r\nc");
        assert!(matches!(xml_safe("plain é 😀 \u{7F}"), Cow::Borrowed(_)));
        assert_eq!(
            xml_safe("a\0b\u{8}c\u{1B}[31m\u{FFFE}\u{FFFF}\u{FFFD}"),
            "a\u{FFFD}b\u{FFFD}c\u{FFFD}[31m\u{FFFD}\u{FFFD}\u{FFFD}"
        );
    }

    #[test]
    fn languages() {
        assert_eq!(language(" de-CH-1996 ").as_deref(), Some("de-CH-1996"));
        for bad in ["", " ", "en us", "en,de", "e\r\nn", "é", &"a".repeat(36)] {
            assert_eq!(language(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn line_ends() {
        assert_eq!(to_lf("a\r\nb\rc\nd"), "a\nb\nc\nd");
        assert_eq!(to_crlf("a\r\nb\rc\nd\n"), "a\r\nb\r\nc\r\nd\r\n");
        assert!(matches!(to_crlf("one line"), Cow::Borrowed(_)));
    }
}
