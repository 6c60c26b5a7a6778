//! JID Escaping, XEP-0106: how characters that a local part may not have are written in one all the same.

use super::MAX_PART;
use std::borrow::Cow;
use std::fmt;

/// Why text cannot be written as an escaped local part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EscapeError {
    /// Nothing to escape: a local part has at least one octet.
    Empty,
    /// A space stands first or last, where `\20` may not (XEP-0106 §4.1 rule 6).
    EdgeSpace,
    /// A control character: it is not allowed and has no escape.
    NoEscape(char),
    /// The escaped form has more than [`MAX_PART`] octets.
    TooLong,
}

impl fmt::Display for EscapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EscapeError::Empty => f.write_str("nothing to escape"),
            EscapeError::EdgeSpace => f.write_str("a space first or last cannot be escaped"),
            EscapeError::NoEscape(c) => write!(f, "U+{:04X} has no escape", u32::from(*c)),
            EscapeError::TooLong => write!(f, "longer than {MAX_PART} octets when escaped"),
        }
    }
}

impl std::error::Error for EscapeError {}

/// Escapes text for a local part (XEP-0106 §4.2), the codes in lower case as the XEP has it.
///
/// A backslash is escaped only where it begins what reads as an escape. `\2F` does not; but as a local part's case is
/// mapped afterwards, it would then: callers that make addresses use [`escape_any_case`].
pub fn escape(text: &str) -> Result<String, EscapeError> {
    escape_with(text, false).map(Cow::into_owned)
}

/// Like [`escape`], for text whose case is mapped afterwards: also the backslash of `\2F` is escaped, so that `\2F`
/// and `/` stay two.
pub fn escape_any_case(text: &str) -> Result<Cow<'_, str>, EscapeError> {
    escape_with(text, true)
}

fn escape_with(text: &str, any_case: bool) -> Result<Cow<'_, str>, EscapeError> {
    if text.is_empty() {
        return Err(EscapeError::Empty);
    }
    if text.starts_with(' ') || text.ends_with(' ') {
        return Err(EscapeError::EdgeSpace);
    }
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte.is_ascii_control() {
            return Err(EscapeError::NoEscape(char::from(byte)));
        }
        let code = match byte {
            b'\\' => match bytes.get(at + 1..at + 3).and_then(|code| unescaped(code, any_case)) {
                Some(_) => r"\5c",
                None => continue,
            },
            _ => match escaped(byte) {
                Some(code) => code,
                None => continue,
            },
        };
        out.push_str(&text[copied..at]);
        out.push_str(code);
        copied = at + 1;
    }
    let out = if copied == 0 {
        Cow::Borrowed(text)
    } else {
        out.push_str(&text[copied..]);
        Cow::Owned(out)
    };
    if out.len() > MAX_PART { Err(EscapeError::TooLong) } else { Ok(out) }
}

/// Undoes [`escape`]. What is no escape stays as it is (XEP-0106 §4.1 rule 3), so this never fails.
pub fn unescape(local: &str) -> String {
    unescape_cow(local).into_owned()
}

/// [`unescape`] that does not copy what has no escape.
pub fn unescape_cow(local: &str) -> Cow<'_, str> {
    let bytes = local.as_bytes();
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        let code = if bytes[at] == b'\\' { bytes.get(at + 1..at + 3) } else { None };
        match code.and_then(|code| unescaped(code, false)) {
            Some(c) => {
                out.push_str(&local[copied..at]);
                out.push(c);
                at += 3;
                copied = at;
            }
            None => at += 1,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(local);
    }
    out.push_str(&local[copied..]);
    Cow::Owned(out)
}

/// XEP-0106 table 1, without the backslash.
fn escaped(byte: u8) -> Option<&'static str> {
    Some(match byte {
        b' ' => r"\20",
        b'"' => r"\22",
        b'&' => r"\26",
        b'\'' => r"\27",
        b'/' => r"\2f",
        b':' => r"\3a",
        b'<' => r"\3c",
        b'>' => r"\3e",
        b'@' => r"\40",
        _ => return None,
    })
}

/// XEP-0106 table 2: the character of a two-digit code.
fn unescaped(code: &[u8], any_case: bool) -> Option<char> {
    let mut lower = [0; 2];
    lower.copy_from_slice(code.get(..2)?);
    if any_case {
        lower.make_ascii_lowercase();
    }
    Some(match &lower {
        b"20" => ' ',
        b"22" => '"',
        b"26" => '&',
        b"27" => '\'',
        b"2f" => '/',
        b"3a" => ':',
        b"3c" => '<',
        b"3e" => '>',
        b"40" => '@',
        b"5c" => '\\',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn characters_and_lookalikes() {
        for (plain, escaped) in [
            ("romeo", "romeo"),
            ("o'hara", r"o\27hara"),
            ("two words", r"two\20words"),
            (r#"" &'/:<>@"z"#, r"\22\20\26\27\2f\3a\3c\3e\40\22z"),
            // A backslash that begins no code needs nothing.
            (r"a\b", r"a\b"),
            (r"a\", r"a\"),
            (r"a\2", r"a\2"),
            (r"a\41", r"a\41"),
            // One that does is guarded, and only that one.
            (r"a\2fb", r"a\5c2fb"),
            (r"\5c", r"\5c5c"),
            (r"\5c5c", r"\5c5c5c"),
            (r"\\27", r"\\5c27"),
            (r"\20x", r"\5c20x"),
            // Upper case is no code in a text whose case stays.
            (r"a\2Fb", r"a\2Fb"),
            ("tréville@paris", r"tréville\40paris"),
        ] {
            assert_eq!(escape(plain).as_deref(), Ok(escaped), "{plain}");
            assert_eq!(unescape(escaped), plain, "{escaped}");
        }
        assert_eq!(escape_any_case(r"a\2Fb\5Cc\3D").as_deref(), Ok(r"a\5c2Fb\5c5Cc\3D"));
    }

    #[test]
    fn what_has_no_escaped_form() {
        for (text, why) in [
            ("", EscapeError::Empty),
            (" ", EscapeError::EdgeSpace),
            (" a", EscapeError::EdgeSpace),
            ("a ", EscapeError::EdgeSpace),
            ("a\0b", EscapeError::NoEscape('\0')),
            ("a\tb", EscapeError::NoEscape('\t')),
            ("a\rb", EscapeError::NoEscape('\r')),
            ("a\u{7f}b", EscapeError::NoEscape('\u{7f}')),
        ] {
            assert_eq!(escape(text), Err(why), "{text:?}");
        }
        assert_eq!(escape(&"@".repeat(341)).unwrap().len(), 1023);
        assert_eq!(escape(&"@".repeat(342)), Err(EscapeError::TooLong));
        assert_eq!(escape(&"a".repeat(1024)), Err(EscapeError::TooLong));
    }

    proptest! {
        #[test]
        fn escaping_is_undone(text in r#"[ab2f5c0\\ "&'/:<>@é]{1,20}"#) {
            if let Ok(escaped) = escape(&text) {
                prop_assert_eq!(unescape(&escaped), text);
            }
        }

        #[test]
        fn no_text_breaks_it(text in "\\PC{0,20}") {
            let _ = escape(&unescape(&text));
        }
    }
}
