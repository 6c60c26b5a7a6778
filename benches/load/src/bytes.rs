//! Reading what peers of ours write: good enough for well-formed messages of known shape, and fast.

use memchr::memmem;

/// Where `what` begins in `text`.
pub fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    memmem::find(text, what)
}

/// What stands between two marks.
pub fn between<'a>(text: &'a [u8], from: &[u8], to: &[u8]) -> Option<&'a [u8]> {
    let rest = &text[find(text, from)? + from.len()..];
    Some(&rest[..find(rest, to)?])
}

/// The value of an attribute in a start tag.
pub fn attribute<'a>(tag: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut rest = tag;
    loop {
        let at = find(rest, name.as_bytes())?;
        let after = &rest[at + name.len()..];
        let alone = at > 0 && rest[at - 1].is_ascii_whitespace();
        match (alone, after) {
            (true, [b'=', quote @ (b'\'' | b'"'), value @ ..]) => {
                return Some(&value[..memchr::memchr(*quote, value)?]);
            }
            _ => rest = after,
        }
    }
}

/// The value of a header, by its long or its compact name.
pub fn header<'a>(head: &'a [u8], long: &str, compact: &str) -> Option<&'a [u8]> {
    headers(head)
        .find(|(n, _)| n.eq_ignore_ascii_case(long.as_bytes()) || n.eq_ignore_ascii_case(compact.as_bytes()))
        .map(|(_, v)| v)
}

/// The headers of a SIP message, in order.
pub fn headers(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    head.split(|b| *b == b'\n').skip(1).filter_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
    })
}

/// The user and host of a SIP URI in a header's value or a request line.
pub fn address(value: &[u8]) -> &[u8] {
    let rest = find(value, b"sip:").map_or(value, |at| &value[at + 4..]);
    let end = rest.iter().position(|b| matches!(b, b'>' | b';' | b' ' | b'?')).unwrap_or(rest.len());
    &rest[..end]
}

/// A JID without its resource.
pub fn bare(jid: &[u8]) -> &[u8] {
    jid.split(|b| *b == b'/').next().unwrap_or(jid)
}

/// Writes text into XML.
pub fn escape(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            other => out.push(*other),
        }
    }
}

/// Reads text from XML.
pub fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let Some(end) = memchr::memchr(b';', rest) else { break };
        match &rest[1..end] {
            b"lt" => out.push(b'<'),
            b"gt" => out.push(b'>'),
            b"amp" => out.push(b'&'),
            b"apos" => out.push(b'\''),
            b"quot" => out.push(b'"'),
            number => {
                let text = std::str::from_utf8(number).unwrap_or("");
                let code = match text.strip_prefix("#x") {
                    Some(hex) => u32::from_str_radix(hex, 16).ok(),
                    None => text.strip_prefix('#').and_then(|n| n.parse().ok()),
                };
                let char = code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        rest = &rest[end + 1..];
    }
    out.extend_from_slice(rest);
    out
}

/// A small hash (FNV-1a), to tell one branch from another.
pub fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |h, b| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_there() {
        let tag = b"<message from='a@b/c' to=\"d@e\" xml:id='no' id='7'>";
        assert_eq!(attribute(tag, "to"), Some(&b"d@e"[..]));
        assert_eq!(attribute(tag, "id"), Some(&b"7"[..]));
        assert_eq!(attribute(tag, "type"), None);
        assert_eq!(bare(b"a@b/c"), b"a@b");
        let head = b"MESSAGE sip:a@b SIP/2.0\r\nv: SIP/2.0/UDP x;branch=z\r\nFrom: \"A\" <sip:c@d;gr=1>;tag=2";
        assert_eq!(header(head, "Via", "v"), Some(&b"SIP/2.0/UDP x;branch=z"[..]));
        assert_eq!(header(head, "from", "f").map(address), Some(&b"c@d"[..]));
        assert_eq!(address(b"MESSAGE sip:a@b SIP/2.0"), b"a@b");
        assert_eq!(between(b"<body>x</body>", b"<body>", b"</body>"), Some(&b"x"[..]));
    }

    #[test]
    fn what_is_escaped_comes_back() {
        let text = "<a href='x'>&amp; \u{1F600}".as_bytes();
        let mut out = Vec::new();
        escape(text, &mut out);
        assert_eq!(unescape(&out), text);
        assert_eq!(unescape(b"&#65;&#x42;&quot;&apos;"), b"AB\"'");
    }
}
