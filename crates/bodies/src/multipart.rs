//! Multipart bodies (RFC 2046 §5.1).
//!
//! The splitter is our own: the mail parsers at hand are made for damaged mail. They take a body without its closing
//! delimiter for whole, so that a cut message would be delivered as the text that was sent; they end lines at a bare LF
//! and boundaries at a prefix, so that two gateways see two different messages; and they recurse as deep as the body
//! says. Here each of these is an error or a bound.

use crate::Error;
use crate::mime::ContentType;
use crate::part::{self, Limits, Part};
use memchr::memmem;

/// Reads a multipart body of the given type, its inner multiparts too. Preamble and epilogue are dropped. Linear, but for
/// inner multiparts being looked at once for each multipart around them, at most `limits.depth` times.
///
/// # Errors
/// Malformed: no or a bad boundary parameter, no part, no closing delimiter, bad headers or encoding in a part. TooBig:
/// a bound of `limits`. Unsupported: an unknown transfer encoding.
pub fn parse(content_type: &ContentType, body: &[u8], limits: &Limits) -> Result<Vec<Part>, Error> {
    if body.len() > limits.bytes {
        return Err(Error::TooBig { what: "bytes in a multipart body", limit: limits.bytes });
    }
    read_nested(content_type, body, limits, 0, &mut limits.parts.clone())
}

/// Writes a multipart body. `boundary` should be a fresh token; each inner multipart puts two characters before it. None
/// when it is no boundary of RFC 2046 §5.1.1 (at most 70 characters), when it occurs in one of the parts (take another),
/// without parts, or for more than 4 multiparts within each other.
pub fn write(parts: &[Part], boundary: &str) -> Option<Vec<u8>> {
    write_nested(parts, boundary, Limits::default().depth.checked_sub(1)?)
}

/// The type to announce such a body with: `multipart/{subtype}; boundary=...`.
pub fn content_type(subtype: &str, boundary: &str) -> ContentType {
    ContentType::new("multipart", subtype).with_param("boundary", boundary)
}

pub(crate) fn read_nested(
    content_type: &ContentType,
    body: &[u8],
    limits: &Limits,
    depth: usize,
    parts: &mut usize,
) -> Result<Vec<Part>, Error> {
    if depth == limits.depth {
        return Err(Error::TooBig { what: "multiparts within each other", limit: limits.depth });
    }
    let boundary = content_type.boundary().ok_or(Error::Malformed("multipart without a boundary"))?;
    if !is_boundary(boundary) {
        return Err(Error::Malformed("bad boundary"));
    }
    // RFC 2046 §5.1.5: within a digest the default is message/rfc822.
    let default = match content_type.subtype() {
        "digest" => ContentType::new("message", "rfc822"),
        _ => ContentType::new("text", "plain").with_param("charset", "us-ascii"),
    };
    let mut out = Vec::new();
    for range in ranges(body, boundary)? {
        *parts = parts.checked_sub(1).ok_or(Error::TooBig { what: "parts in a multipart", limit: limits.parts })?;
        out.push(part::read(&body[range], limits, depth + 1, parts, Some(default.clone()))?);
    }
    if out.is_empty() { Err(Error::Malformed("multipart without parts")) } else { Ok(out) }
}

/// Where the parts lie. The CR LF before a delimiter is the delimiter's, and it may be the very one that ends the
/// delimiter line before it: that part is empty.
fn ranges(body: &[u8], boundary: &str) -> Result<Vec<std::ops::Range<usize>>, Error> {
    let delimiter = format!("--{boundary}");
    let mut found = Vec::new();
    let mut open: Option<usize> = None;
    for at in memmem::find_iter(body, delimiter.as_bytes()) {
        if at != 0 && !body[..at].ends_with(b"\r\n") {
            continue;
        }
        let after = &body[at + delimiter.len()..];
        let (closing, rest) = match after.strip_prefix(b"--") {
            Some(rest) => (true, rest),
            None => (false, after),
        };
        let padding = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        let at_end = closing && rest.len() == padding;
        if !at_end && !rest[padding..].starts_with(b"\r\n") {
            continue;
        }
        if let Some(start) = open {
            found.push(start..at.saturating_sub(2).max(start));
        }
        if closing {
            return Ok(found);
        }
        open = Some(body.len() - rest.len() + padding + 2);
    }
    Err(Error::Malformed("multipart without its closing delimiter"))
}

pub(crate) fn write_nested(parts: &[Part], boundary: &str, depth: usize) -> Option<Vec<u8>> {
    if parts.is_empty() || !is_boundary(boundary) {
        return None;
    }
    let delimiter = format!("--{boundary}");
    let mut out = Vec::new();
    for part in parts {
        let mut bytes = Vec::new();
        part.write(boundary, depth, &mut bytes)?;
        if memmem::find(&bytes, delimiter.as_bytes()).is_some() {
            return None;
        }
        out.extend_from_slice(delimiter.as_bytes());
        out.extend_from_slice(b"\r\n");
        out.append(&mut bytes);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(delimiter.as_bytes());
    out.extend_from_slice(b"--\r\n");
    Some(out)
}

/// RFC 2046 §5.1.1 `boundary`: bchars, the last of them no space.
fn is_boundary(s: &str) -> bool {
    let bchar = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b);
    !s.is_empty() && s.len() <= 70 && s.bytes().all(bchar) && !s.ends_with(' ')
}

#[cfg(test)]
mod tests;
