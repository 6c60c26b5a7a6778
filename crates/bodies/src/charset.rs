//! From the bytes of a text to its characters.

use crate::Error;
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// Decodes text in the charset that its Content-Type names. Without one it is UTF-8, as SIP has it (RFC 3261 §7.4.1).
///
/// Decoding is strict: nothing is replaced, since a text with holes is not the text that was sent. UTF-8 admits no
/// overlong form and no surrogate (RFC 3629 §3). A byte order mark in front is dropped.
///
/// # Errors
/// Malformed when the bytes are not of that charset; Unsupported when we do not know it.
pub fn decode(bytes: &[u8], charset: Option<&str>) -> Result<String, Error> {
    let label = charset.unwrap_or("utf-8").trim();
    // US-ASCII is read as its superset UTF-8, which is what those who label wrongly mean; the windows-1252 that the
    // web reads there would turn one `é` into two letters.
    let encoding = if label.eq_ignore_ascii_case("us-ascii") || label.eq_ignore_ascii_case("ascii") {
        UTF_8
    } else if label.eq_ignore_ascii_case("utf-16") {
        // RFC 2781 §4.3: without a mark it is big-endian; the web's label table says the reverse.
        if bytes.starts_with(&[0xFF, 0xFE]) { UTF_16LE } else { UTF_16BE }
    } else {
        Encoding::for_label_no_replacement(label.as_bytes()).ok_or_else(|| Error::unsupported("charset", label))?
    };
    let bytes = match Encoding::for_bom(bytes) {
        Some((mark, len)) if mark == encoding => bytes.get(len..).unwrap_or_default(),
        Some(_) | None => bytes,
    };
    match encoding.decode_without_bom_handling_and_without_replacement(bytes) {
        Some(text) => Ok(text.into_owned()),
        None => Err(Error::Malformed("text is not of its charset")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf_8_is_strict() {
        assert_eq!(decode("né €😀".as_bytes(), None).unwrap(), "né €😀");
        assert_eq!(decode(b"\xEF\xBB\xBFhi", Some("UTF-8")).unwrap(), "hi");
        for bad in [
            &b"\xC0\xAF"[..],             // overlong "/"
            &b"\xE0\x80\xAF"[..],         // overlong "/"
            &b"\xED\xA0\x80"[..],         // surrogate
            &b"\xF4\x90\x80\x80"[..],     // above U+10FFFF
            &b"\xF8\x88\x80\x80\x80"[..], // five bytes
            &b"abc\xC3"[..],              // cut
        ] {
            assert_eq!(decode(bad, None), Err(Error::Malformed("text is not of its charset")), "{bad:?}");
        }
    }

    #[test]
    fn the_declared_charset_is_used() {
        assert_eq!(decode(b"caf\xE9", Some("iso-8859-1")).unwrap(), "café");
        assert_eq!(decode(b"caf\xE9", Some(" ISO-8859-15 ")).unwrap(), "café");
        assert_eq!(decode(b"\xCF\xF0\xE8", Some("windows-1251")).unwrap(), "При");
        assert_eq!(decode(b"\x82\xA0", Some("shift_jis")).unwrap(), "あ");
        assert_eq!(decode(b"\x00h\x00i", Some("utf-16")).unwrap(), "hi");
        assert_eq!(decode(b"\xFF\xFEh\x00i\x00", Some("utf-16")).unwrap(), "hi");
        assert_eq!(decode("é".as_bytes(), Some("US-ASCII")).unwrap(), "é");
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(decode(b"hi", Some("klingon")), Err(Error::unsupported("charset", "klingon")));
        // These decode to nothing but one replacement character on the web; utf-7 hides markup.
        for label in ["utf-7", "iso-2022-cn", "hz-gb-2312", ""] {
            assert!(matches!(decode(b"hi", Some(label)), Err(Error::Unsupported { .. })), "{label}");
        }
        assert!(decode(b"\xE9", Some("us-ascii")).is_err());
        assert!(decode(b"\x00", Some("utf-16be")).is_err());
        assert!(decode(b"\xD8\x00\x00a", Some("utf-16be")).is_err());
    }
}
