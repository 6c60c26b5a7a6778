//! Content-Transfer-Encoding (RFC 2045 §6): read for peers that use it. We write none: SIP and MSRP are 8-bit clean.

use crate::Error;
use std::borrow::Cow;

/// Undoes a transfer encoding in linear time. At most twice as long as its input: a lone LF becomes CR LF.
pub(crate) fn decode<'a>(body: &'a [u8], encoding: Option<&str>) -> Result<Cow<'a, [u8]>, Error> {
    let Some(name) = encoding else { return Ok(Cow::Borrowed(body)) };
    let name = name.trim();
    match name.to_ascii_lowercase().as_str() {
        "7bit" | "8bit" | "binary" => Ok(Cow::Borrowed(body)),
        "base64" => base64(body).map(Cow::Owned),
        "quoted-printable" => quoted_printable(body).map(Cow::Owned),
        _ => Err(Error::unsupported("transfer encoding", name)),
    }
}

/// RFC 2045 §6.8. Line ends and blanks are skipped; any other character outside the alphabet is an error, as are bits
/// left over: the RFC would have us ignore them, but then two different texts would be one message.
fn base64(body: &[u8]) -> Result<Vec<u8>, Error> {
    const BAD: Error = Error::Malformed("bad base64");
    let mut out = Vec::with_capacity(body.len() / 4 * 3 + 3);
    let (mut bits, mut have, mut padding) = (0u32, 0u32, 0u32);
    for &b in body {
        let six = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                padding += 1;
                continue;
            }
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            _ => return Err(BAD),
        };
        if padding > 0 {
            return Err(BAD);
        }
        bits = bits << 6 | u32::from(six);
        have += 1;
        if have == 4 {
            out.extend_from_slice(&bits.to_be_bytes()[1..]);
            (bits, have) = (0, 0);
        }
    }
    match (have, padding) {
        (0, 0) => {}
        (2, 2) if bits.trailing_zeros() >= 4 => out.push((bits >> 4) as u8),
        (3, 1) if bits.trailing_zeros() >= 2 => out.extend_from_slice(&((bits >> 2) as u16).to_be_bytes()),
        _ => return Err(BAD),
    }
    Ok(out)
}

/// RFC 2045 §6.7: `=XX`, soft line breaks, blanks before a line's end dropped.
fn quoted_printable(body: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(body.len());
    let mut at = 0;
    // The end of what must be kept when the line ends: blanks written literally behind it are padding.
    let mut solid = 0;
    while let Some(&b) = body.get(at) {
        at += 1;
        match b {
            b' ' | b'\t' => out.push(b),
            b'\r' if body.get(at) == Some(&b'\n') => {}
            b'\n' => {
                out.truncate(solid);
                out.extend_from_slice(b"\r\n");
                solid = out.len();
            }
            b'=' => {
                let rest = body.get(at..).unwrap_or_default();
                let blanks = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
                match (rest.get(blanks), rest.get(blanks + 1)) {
                    (Some(b'\r'), Some(b'\n')) => at += blanks + 2,
                    (Some(b'\n'), _) => at += blanks + 1,
                    _ => {
                        let (high, low) = (rest.first().copied().and_then(hex), rest.get(1).copied().and_then(hex));
                        let (Some(high), Some(low)) = (high, low) else {
                            return Err(Error::Malformed("bad quoted-printable"));
                        };
                        out.push(high << 4 | low);
                        at += 2;
                    }
                }
                solid = out.len();
            }
            // Bytes that should have been encoded were meant as they stand.
            _ => {
                out.push(b);
                solid = out.len();
            }
        }
    }
    out.truncate(solid);
    Ok(out)
}

pub(crate) fn hex(b: u8) -> Option<u8> {
    (b as char).to_digit(16).map(|d| d as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(encoding: &str, body: &str) -> Result<String, Error> {
        decode(body.as_bytes(), Some(encoding)).map(|b| String::from_utf8_lossy(&b).into_owned())
    }

    #[test]
    fn base64_is_strict() {
        assert_eq!(run("BASE64", "SGk="), Ok("Hi".into()));
        assert_eq!(run("base64", "SG Vs\r\nbG8="), Ok("Hello".into()));
        assert_eq!(run("base64", ""), Ok(String::new()));
        for bad in ["!!!", "SGk", "SGk==", "SGl=", "S===", "SGk=SGk=", "=", "SGk-"] {
            assert_eq!(run("base64", bad), Err(Error::Malformed("bad base64")), "{bad}");
        }
    }

    #[test]
    fn quoted_printable_reads_breaks_and_drops_padding() {
        assert_eq!(
            run("quoted-printable", "caf=C3=A9 =\r\nau lait  \r\nfin=20\r\n"),
            Ok("café au lait\r\nfin \r\n".into())
        );
        assert_eq!(run("quoted-printable", "a= \t\r\nb= \nc \t"), Ok("abc".into()));
        for bad in ["=", "=4", "=G0", "a=\r"] {
            assert_eq!(run("quoted-printable", bad), Err(Error::Malformed("bad quoted-printable")), "{bad}");
        }
    }

    #[test]
    fn the_rest() {
        assert_eq!(run(" 8Bit ", "é"), Ok("é".into()));
        assert_eq!(run("x-uuencode", ""), Err(Error::unsupported("transfer encoding", "x-uuencode")));
    }

    proptest! {
        #[test]
        fn anything_may_come(bytes: Vec<u8>) {
            for encoding in ["base64", "quoted-printable"] {
                if let Ok(out) = decode(&bytes, Some(encoding)) {
                    prop_assert!(out.len() <= bytes.len() * 2);
                }
            }
        }
    }
}
