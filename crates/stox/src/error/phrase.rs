//! Reason-Phrase <-> `<text/>`: RFC 7247 §7. Both are words for people, and both come from strangers.

use base::Str;

/// The longest Reason-Phrase that is made of a text, in bytes.
const MAX_REASON: usize = 256;
/// The longest text that is made of a Reason-Phrase, in bytes.
const MAX_TEXT: usize = 1024;

/// A Reason-Phrase for a text: one line, what RFC 3261 §25.1 does not allow in it percent-encoded, at most 256 bytes.
/// Empty if nothing is left.
pub fn reason_of_text(text: &str) -> Str {
    let mut out = Str::default();
    for c in one_line(text) {
        let mut bytes = [0; 4];
        let mut piece = Str::default();
        if c.is_ascii_alphanumeric() || !c.is_ascii() || " ;/?:@&=+$,-_.!~*'()".contains(c) {
            piece.push(c);
        } else {
            for byte in c.encode_utf8(&mut bytes).bytes() {
                piece.push_str(&base::format_compact!("%{byte:02X}"));
            }
        }
        if out.len() + piece.len() > MAX_REASON {
            break;
        }
        out.push_str(&piece);
    }
    out.truncate(out.trim_end().len());
    out
}

/// A text for a Reason-Phrase: percent-encoding undone where it gives text, one line, no character that XML forbids, at
/// most 1024 bytes. Empty if nothing is left.
pub fn text_of_reason(reason: &str) -> String {
    let decoded = sip::uri::percent_decode(reason).ok().and_then(|octets| String::from_utf8(octets).ok());
    let mut out = String::new();
    for c in one_line(decoded.as_deref().unwrap_or(reason)) {
        if out.len() + c.len_utf8() > MAX_TEXT {
            break;
        }
        out.push(c);
    }
    out.truncate(out.trim_end().len());
    out
}

/// The characters of a text, without white space around it, and with a space for each run of white space, control
/// characters, line separators and marks that turn the direction of what follows.
pub(crate) fn one_line(text: &str) -> impl Iterator<Item = char> {
    let mut space = true;
    text.chars().filter_map(move |c| {
        let blank = c.is_whitespace()
            || c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let kept = match (blank, space) {
            (true, true) => None,
            (true, false) => Some(' '),
            (false, _) => Some(if xml::is_xml_char(c) { c } else { char::REPLACEMENT_CHARACTER }),
        };
        space = blank;
        kept
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_becomes_a_phrase() {
        for (text, reason) in [
            ("Thy lips are warm.", "Thy lips are warm."),
            ("  two\r\nlines\tand\u{b}more  ", "two lines and more"),
            ("x\r\nVia: SIP/2.0/UDP evil", "x Via: SIP/2.0/UDP evil"),
            ("a\0b\u{1b}[31mc\u{7f}d\u{85}e", "a b %5B31mc d e"),
            ("a \"quoted\" <b>100%</b>", "a %22quoted%22 %3Cb%3E100%25%3C/b%3E"),
            ("über ♚", "über ♚"),
            ("a\u{202e}b\u{2028}c", "a b c"),
            ("a\u{fffe}b", "a\u{fffd}b"),
            (" \r\n ", ""),
            ("", ""),
        ] {
            assert_eq!(reason_of_text(text), reason, "{text:?}");
        }
    }

    #[test]
    fn a_phrase_becomes_a_text() {
        for (reason, text) in [
            ("Not Found", "Not Found"),
            ("a %22quoted%22 word", "a \"quoted\" word"),
            ("%E2%99%9A", "♚"),
            // No encoding after all.
            ("100% sure", "100% sure"),
            ("%FF", "%FF"),
            ("a%0D%0Ab%00c", "a b c"),
            ("", ""),
        ] {
            assert_eq!(text_of_reason(reason), text, "{reason:?}");
        }
    }

    #[test]
    fn both_are_bounded_and_cut_between_characters() {
        assert_eq!(reason_of_text(&"a".repeat(300)), "a".repeat(256));
        assert_eq!(reason_of_text(&"é".repeat(300)), "é".repeat(128));
        assert_eq!(reason_of_text(&"<".repeat(300)), "%3C".repeat(85));
        assert_eq!(text_of_reason(&"é".repeat(600)), "é".repeat(512));
        // A space where the cut falls goes with it.
        assert_eq!(reason_of_text(&format!("{} b", "a".repeat(255))), "a".repeat(255));
    }

    proptest! {
        #[test]
        fn a_plain_line_comes_back(text in "[!-~é♚]{1,6}( [!-~é♚]{1,6}){0,3}") {
            prop_assert_eq!(text_of_reason(&reason_of_text(&text)), text);
        }

        #[test]
        fn no_phrase_breaks_a_message(text in any::<String>()) {
            let reason = reason_of_text(&text);
            prop_assert!(reason.len() <= MAX_REASON && !reason.chars().any(char::is_control));
            let text = text_of_reason(&text);
            prop_assert!(text.len() <= MAX_TEXT && text.chars().all(|c| xml::is_xml_char(c) && !c.is_control()));
        }
    }
}
