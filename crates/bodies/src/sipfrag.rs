//! `message/sipfrag` (RFC 3420), as far as it says what became of a request: its first line, a status line (RFC 3515 §2.4.5). What follows it
//! is of no use here, and is never read.

use crate::Error;
use base::Str;
use std::fmt;

/// The media type, with its parameter.
pub const MEDIA_TYPE: &str = "message/sipfrag;version=2.0";

/// The most bytes of a line; more is refused.
pub const MAX_LINE: usize = 1_024;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusLine {
    /// From 100 to 699.
    pub code: u16,
    /// The words beside it, perhaps none. Control characters have been taken out.
    pub phrase: Str,
}

impl StatusLine {
    /// A status line. Control characters are taken out of the phrase.
    ///
    /// # Errors
    /// Malformed: there is no such code.
    pub fn new(code: u16, phrase: &str) -> Result<StatusLine, Error> {
        if !(100..700).contains(&code) {
            return Err(Error::Malformed("no status code"));
        }
        let phrase: Str = phrase.chars().filter(|c| !c.is_control()).collect();
        Ok(StatusLine { code, phrase: phrase.trim().into() })
    }

    /// Reads the first line of a body, whether it ends with CRLF, with LF or with the body.
    ///
    /// # Errors
    /// Malformed: it is no status line of SIP 2.0, but a request line or a header, say. TooBig: it is longer than [`MAX_LINE`].
    pub fn parse(body: &[u8]) -> Result<StatusLine, Error> {
        const BAD: Error = Error::Malformed("sipfrag without a status line");
        let end = memchr::memchr(b'\n', body).unwrap_or(body.len());
        let line = body[..end].strip_suffix(b"\r").unwrap_or(&body[..end]);
        if line.len() > MAX_LINE {
            return Err(Error::TooBig { what: "bytes of a status line", limit: MAX_LINE });
        }
        let line = std::str::from_utf8(line).map_err(|_| BAD)?;
        let (version, rest) = line.split_once(' ').ok_or(BAD)?;
        // The space behind the code is there even where nothing follows; some leave it out.
        let (code, phrase) = rest.split_once(' ').unwrap_or((rest, ""));
        if !version.eq_ignore_ascii_case("SIP/2.0") || code.len() != 3 || !code.bytes().all(|b| b.is_ascii_digit()) {
            return Err(BAD);
        }
        StatusLine::new(code.parse().map_err(|_| BAD)?, phrase)
    }

    /// The body that says this and nothing else.
    pub fn to_bytes(&self) -> Vec<u8> {
        format!("{self}\r\n").into_bytes()
    }

    /// Whether it is final: there comes no other.
    pub fn is_final(&self) -> bool {
        self.code >= 200
    }
}

impl fmt::Display for StatusLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StatusLine { code, phrase } = self;
        write!(f, "SIP/2.0 {code} {phrase}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(body: &str) -> Result<(u16, String), Error> {
        StatusLine::parse(body.as_bytes()).map(|line| (line.code, line.phrase.to_string()))
    }

    #[test]
    fn status_lines() {
        let trying = (100, "Trying".to_owned());
        for body in [
            "SIP/2.0 100 Trying\r\n",
            "SIP/2.0 100 Trying",
            "sip/2.0 100 Trying\nWarning: 399 x \"y\"\n",
            "SIP/2.0 100 Trying\r\nContent-Length: 2\r\n\r\nHi",
        ] {
            assert_eq!(read(body), Ok(trying.clone()), "{body}");
        }
        assert_eq!(read("SIP/2.0 603 Declined\r\n"), Ok((603, "Declined".into())));
        assert_eq!(read("SIP/2.0 200 \r\n"), Ok((200, String::new())));
        assert_eq!(read("SIP/2.0 200"), Ok((200, String::new())));
        assert_eq!(read("SIP/2.0 200 Ja \u{1}\tnatürlich\u{7f}\r\n"), Ok((200, "Ja natürlich".into())));
    }

    /// RFC 3420 §3.2, and others.
    #[test]
    fn what_is_none() {
        for body in [
            "",
            "\r\n",
            "SIP/2.0",
            "404 Not Found",
            "INVITE",
            "INVITE sip:alice@atlanta.com SIP/2.0",
            "SIP/1.09 200 OK",
            "SIP/2.0  200 OK",
            "SIP/2.0 20 OK",
            "SIP/2.0 2000 OK",
            "SIP/2.0 +20 OK",
            "SIP/2.0 099 OK",
            "SIP/2.0 700 OK",
            "\r\nSIP/2.0 200 OK",
            "From: Alice <sip:alice@atlanta.com>\r\n",
        ] {
            assert!(matches!(read(body), Err(Error::Malformed(_))), "{body}: {:?}", read(body));
        }
        assert!(StatusLine::parse(b"SIP/2.0 200 \xff").is_err());
        assert!(matches!(read(&format!("SIP/2.0 200 {}", "x".repeat(1024))), Err(Error::TooBig { .. })));
        assert!(StatusLine::new(99, "").is_err() && StatusLine::new(700, "").is_err());
    }

    #[test]
    fn written() {
        let line = StatusLine::new(200, "OK\r\nX: y").unwrap();
        assert_eq!(line.to_bytes(), b"SIP/2.0 200 OKX: y\r\n");
        assert!(line.is_final() && !StatusLine::new(180, "").unwrap().is_final());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(code in 100..700u16, phrase in any::<String>()) {
            let line = StatusLine::new(code, &phrase).unwrap();
            if line.phrase.len() < 1000 {
                prop_assert_eq!(StatusLine::parse(&line.to_bytes()), Ok(line));
            }
        }
    }
}
