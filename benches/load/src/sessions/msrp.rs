//! MSRP frames (RFC 4975 §9) of known shape: whole messages, paths of one URI.

use crate::bytes::{find, header};
use std::io::Write;

/// The longest transaction that is looked for.
const MOST: usize = 64;

/// A frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its transaction.
    pub tid: &'a [u8],
    /// The method, or the status code.
    pub what: &'a [u8],
    /// All lines before the body.
    pub head: &'a [u8],
    /// The body, if there is one.
    pub body: Option<&'a [u8]>,
    /// `$`, `+` or `#`; 0 if it is no MSRP.
    pub flag: u8,
    /// How many bytes it takes.
    pub len: usize,
}

/// The first frame, if it is complete. What is no MSRP is taken whole.
pub fn frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let line = find(bytes, b"\r\n")?;
    let broken = Frame { tid: b"", what: b"", head: b"", body: None, flag: 0, len: bytes.len() };
    let Some(first) = bytes[..line].strip_prefix(b"MSRP ") else { return Some(broken) };
    let mut words = first.split(|b| *b == b' ');
    let (tid, what) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if tid.len() > MOST {
        return Some(broken);
    }
    let mut mark = [b'-'; MOST + 9];
    mark[..2].copy_from_slice(b"\r\n");
    mark[9..9 + tid.len()].copy_from_slice(tid);
    let mark = &mark[..9 + tid.len()];
    let end = line + find(&bytes[line..], mark)?;
    let len = end + mark.len() + 3;
    let flag = *bytes.get(len - 3).filter(|_| len <= bytes.len())?;
    let (head, body) = match find(&bytes[..end], b"\r\n\r\n") {
        Some(at) => (&bytes[..at], Some(&bytes[at + 4..end])),
        None => (&bytes[..end], None),
    };
    Some(Frame { tid, what, head, body, flag, len })
}

impl<'a> Frame<'a> {
    /// The session that To-Path names.
    pub fn session(&self) -> &'a [u8] {
        session(self.to())
    }

    /// To-Path.
    pub fn to(&self) -> &'a [u8] {
        header(self.head, "To-Path", "To-Path").unwrap_or_default()
    }

    /// From-Path.
    pub fn from(&self) -> &'a [u8] {
        header(self.head, "From-Path", "From-Path").unwrap_or_default()
    }

    /// The status code of a response.
    pub fn code(&self) -> Option<u16> {
        std::str::from_utf8(self.what).ok()?.parse().ok()
    }
}

/// The session of an MSRP URI.
pub fn session(uri: &[u8]) -> &[u8] {
    let rest = find(uri, b"://").map_or(uri, |at| &uri[at + 3..]);
    let rest = memchr::memchr(b'/', rest).map_or(&b""[..], |at| &rest[at + 1..]);
    &rest[..memchr::memchr(b';', rest).unwrap_or(rest.len())]
}

/// Writes the answer to a request.
pub fn answer(frame: &Frame<'_>, out: &mut Vec<u8>) {
    for part in [b"MSRP ", frame.tid, b" 200 OK\r\nTo-Path: ", frame.from(), b"\r\nFrom-Path: ", frame.to()] {
        out.extend_from_slice(part);
    }
    for part in [b"\r\n-------", frame.tid, b"$\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Writes a SEND with a text, or without a body.
pub fn send(tid: &str, to: &str, from: &str, text: Option<&str>, out: &mut Vec<u8>) {
    send_as("text/plain", tid, to, from, text, out);
}

/// Writes a SEND with a body of this type, or without one.
pub fn send_as(content_type: &str, tid: &str, to: &str, from: &str, text: Option<&str>, out: &mut Vec<u8>) {
    let len = text.map_or(0, str::len);
    // Without a text it is 1-0/0 (§7.1). Writing to a vector cannot fail.
    let _ = write!(
        out,
        "MSRP {tid} SEND\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\nMessage-ID: m.{tid}\r\nByte-Range: 1-{len}/{len}\r\n"
    );
    if let Some(text) = text {
        let _ = write!(out, "Content-Type: {content_type}\r\n\r\n{text}\r\n");
    }
    let _ = write!(out, "-------{tid}$\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let (to, from) = ("msrp://127.0.0.1:2855/there;tcp", "msrp://127.0.0.2:9/here;tcp");
        let mut out = Vec::new();
        send("t123", to, from, Some("line\r\n-------t12$"), &mut out);
        let whole = out.len();
        send("u123", to, from, None, &mut out);
        let first = frame(&out).unwrap();
        assert_eq!((first.len, first.flag, first.what), (whole, b'$', &b"SEND"[..]));
        assert_eq!((first.body, first.session()), (Some(&b"line\r\n-------t12$"[..]), &b"there"[..]));
        let second = frame(&out[whole..]).unwrap();
        assert_eq!((second.tid, second.body, second.len), (&b"u123"[..], None, out.len() - whole));
        assert_eq!(header(second.head, "Byte-Range", ""), Some(&b"1-0/0"[..]));
        for short in 0..whole {
            assert_eq!(frame(&out[..short]), None, "{short}");
        }
        let mut back = Vec::new();
        answer(&first, &mut back);
        let back = frame(&back).unwrap();
        assert_eq!((back.code(), back.to(), back.from()), (Some(200), from.as_bytes(), to.as_bytes()));
        assert_eq!(frame(b"HTTP/1.1 400\r\n").map(|f| f.flag), Some(0));
    }
}
