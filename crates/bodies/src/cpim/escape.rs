//! The escapes of RFC 3862 §2.3.

use crate::transfer::hex;
use std::fmt::Write;

/// Escapes what must not stand in a header: the backslash and control characters (§2.3.1).
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if c.is_ascii_control() => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// Undoes the escapes. A control character among what was escaped becomes a space if it is white space, else U+FFFD: no
/// header of ours has a use for one, and each is somebody's injection. Halves of a UTF-16 pair are joined; a half alone
/// becomes U+FFFD. An unknown escape is the character itself, a last backslash nothing (§2.3.1).
pub(super) fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(c) = rest.chars().next() else { break };
        rest = &rest[c.len_utf8()..];
        match c {
            'b' => out.push('\u{FFFD}'),
            't' | 'n' | 'r' => out.push(' '),
            'u' => match unit(rest) {
                None => out.push('u'),
                Some(unit_) => {
                    rest = &rest[4..];
                    let low = rest.strip_prefix("\\u").and_then(unit).filter(|l| (0xDC00..0xE000).contains(l));
                    out.push(match (unit_, low) {
                        (0xD800..0xDC00, Some(low)) => {
                            rest = &rest[6..];
                            tame(0x1_0000 + ((unit_ - 0xD800) << 10) + (low - 0xDC00))
                        }
                        _ => tame(unit_),
                    });
                }
            },
            c => out.push(c),
        }
    }
    out.push_str(rest);
    out
}

fn unit(text: &str) -> Option<u32> {
    let four = text.as_bytes().get(..4)?;
    four.iter().try_fold(0, |n, &b| Some(n << 4 | u32::from(hex(b)?)))
}

fn tame(code: u32) -> char {
    match char::from_u32(code) {
        Some('\t' | '\n' | '\r') => ' ',
        Some(c) if !c.is_control() => c,
        Some(_) | None => '\u{FFFD}',
    }
}
