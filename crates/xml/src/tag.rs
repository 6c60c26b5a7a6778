//! What stands between `<` and `>`, and references in text.

use crate::chars::{is_space, is_xml_char, name_len};
use crate::scope::Scope;
use crate::{Attr, Error, Limits};
use base::Str;

/// A start tag: its name as written. Its attributes are left in the scratch space.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StartTag<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) local: &'a str,
    /// `<a/>`.
    pub(crate) empty: bool,
}

/// An attribute whose prefix is not resolved yet, since its declaration may follow it. The offsets are into the tag.
#[derive(Debug)]
pub(crate) struct RawAttr {
    at: usize,
    prefix_len: usize,
    local: (usize, usize),
    value: Str,
}

/// Reads the start tag `tag`, from `<` to `>`; `scratch` comes back with its attributes, and `scope` with its namespace
/// declarations, which start at `mark`.
pub(crate) fn parse_start<'a>(
    tag: &'a str,
    limits: &Limits,
    scope: &mut Scope,
    mark: usize,
    scratch: &mut Vec<RawAttr>,
) -> Result<StartTag<'a>, Error> {
    scratch.clear();
    let (prefix, local) = qname(&tag[1..], limits)?;
    let mut at = 1 + qname_len(prefix, local);
    let mut attributes = 0;
    loop {
        let space = space_len(&tag[at..]);
        at += space;
        match tag.as_bytes()[at..] {
            [b'>'] => return Ok(StartTag { prefix, local, empty: false }),
            [b'/', b'>'] => return Ok(StartTag { prefix, local, empty: true }),
            _ if space == 0 => return Err(Error::NotWellFormed("no space before an attribute")),
            _ => {}
        }
        attributes += 1;
        if attributes > limits.attributes {
            return Err(Error::TooBig { what: "attributes", limit: limits.attributes });
        }
        let name_at = at;
        let (attr_prefix, attr_local) = qname(&tag[at..], limits)?;
        at += qname_len(attr_prefix, attr_local);
        at += space_len(&tag[at..]);
        if tag.as_bytes().get(at) != Some(&b'=') {
            return Err(Error::NotWellFormed("an attribute without a value"));
        }
        at += 1;
        at += space_len(&tag[at..]);
        let quote = match tag.as_bytes().get(at) {
            Some(&q @ (b'"' | b'\'')) => q,
            _ => return Err(Error::NotWellFormed("an attribute value without quotes")),
        };
        at += 1;
        let len = memchr::memchr(quote, &tag.as_bytes()[at..])
            .ok_or(Error::NotWellFormed("an attribute value without its end"))?;
        let value = attr_value(&tag[at..at + len])?;
        at += len + 1;
        if attr_prefix == "xmlns" {
            scope.declare(mark, attr_local, value, limits)?;
        } else if attr_prefix.is_empty() && attr_local == "xmlns" {
            scope.declare(mark, "", value, limits)?;
        } else {
            let local_at = name_at + qname_len(attr_prefix, attr_local) - attr_local.len();
            scratch.push(RawAttr {
                at: name_at,
                prefix_len: attr_prefix.len(),
                local: (local_at, local_at + attr_local.len()),
                value,
            });
        }
    }
}

/// Resolves the prefixes of the attributes that [`parse_start`] left behind.
///
/// # Errors
/// An unbound prefix, or two attributes of one expanded name (Namespaces in XML §6.3).
pub(crate) fn resolve_attrs(tag: &str, scope: &Scope, scratch: &mut Vec<RawAttr>) -> Result<Vec<Attr>, Error> {
    let mut attrs: Vec<Attr> = Vec::with_capacity(scratch.len());
    for raw in scratch.drain(..) {
        let name = &tag[raw.local.0..raw.local.1];
        let ns = scope.resolve_attr(&tag[raw.at..raw.at + raw.prefix_len])?;
        if attrs.iter().any(|a| a.name == name && a.ns == ns) {
            return Err(Error::NotWellFormed("an attribute stands twice"));
        }
        attrs.push(Attr { name: name.into(), ns, value: raw.value });
    }
    Ok(attrs)
}

/// Whether `tag`, from `</` to `>`, ends the element `prefix:local`.
pub(crate) fn ends(tag: &[u8], prefix: &str, local: &str) -> bool {
    let Some(mut rest) = tag.strip_prefix(b"</").and_then(|t| t.strip_suffix(b">")) else { return false };
    if !prefix.is_empty() {
        match rest.strip_prefix(prefix.as_bytes()).and_then(|r| r.strip_prefix(b":")) {
            Some(r) => rest = r,
            None => return false,
        }
    }
    rest.strip_prefix(local.as_bytes()).is_some_and(|r| r.iter().all(|b| is_space(*b)))
}

/// A name with at most one colon (QName, Namespaces in XML §4): prefix, which may be empty, and local part.
fn qname<'a>(s: &'a str, limits: &Limits) -> Result<(&'a str, &'a str), Error> {
    let first = name_len(s);
    let (prefix, local) = match s.as_bytes().get(first) {
        Some(b':') if first > 0 => {
            let rest = &s[first + 1..];
            (&s[..first], &rest[..name_len(rest)])
        }
        _ => ("", &s[..first]),
    };
    if local.is_empty() {
        return Err(Error::NotWellFormed("not a name"));
    }
    if prefix.len() > limits.name_bytes || local.len() > limits.name_bytes {
        return Err(Error::TooBig { what: "bytes of a name", limit: limits.name_bytes });
    }
    Ok((prefix, local))
}

/// How long the name was as written.
fn qname_len(prefix: &str, local: &str) -> usize {
    if prefix.is_empty() { local.len() } else { prefix.len() + 1 + local.len() }
}

fn space_len(s: &str) -> usize {
    s.bytes().take_while(|b| is_space(*b)).count()
}

/// The value of an attribute from what stands between its quotes (XML 1.0 §3.3.3: white space becomes spaces, one for
/// CR LF; what a reference stands for is left alone).
fn attr_value(raw: &str) -> Result<Str, Error> {
    if !raw.bytes().any(|b| matches!(b, b'&' | b'<' | b'\t' | b'\n' | b'\r')) {
        return Ok(raw.into());
    }
    let mut out = Str::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find(['&', '<', '\t', '\n', '\r']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match rest.as_bytes() {
            [b'<', ..] => return Err(Error::NotWellFormed("a < in an attribute value")),
            [b'&', ..] => rest = reference(rest, &mut out)?,
            [b'\r', b'\n', ..] => {
                out.push(' ');
                rest = &rest[2..];
            }
            _ => {
                out.push(' ');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Appends character data to `out` (XML 1.0 §2.11: CR LF and CR become LF; `]]>` may not stand in text).
pub(crate) fn text(raw: &str, out: &mut Str) -> Result<(), Error> {
    let mut rest = raw;
    while let Some(at) = memchr::memchr3(b'&', b'\r', b'>', rest.as_bytes()) {
        match rest.as_bytes()[at] {
            b'&' => {
                out.push_str(&rest[..at]);
                rest = reference(&rest[at..], out)?;
            }
            b'\r' => {
                out.push_str(&rest[..at]);
                out.push('\n');
                rest = &rest[at + 1..];
                rest = rest.strip_prefix('\n').unwrap_or(rest);
            }
            _ => {
                // No reference can have stood between: `]` is never written by one here, `rest` starts behind it.
                if rest[..at].ends_with("]]") {
                    return Err(Error::NotWellFormed("]]> in text"));
                }
                out.push_str(&rest[..=at]);
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    Ok(())
}

/// Appends the content of a CDATA section: no references, but line ends as in text.
pub(crate) fn cdata(raw: &str, out: &mut Str) {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\r', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        out.push('\n');
        rest = &rest[at + 1..];
        rest = rest.strip_prefix('\n').unwrap_or(rest);
    }
    out.push_str(rest);
}

/// Appends what the reference at the start of `s` stands for; returns what follows it. XML's own five entities and
/// character references; any other entity is restricted (RFC 6120 §11.1).
fn reference<'a>(s: &'a str, out: &mut Str) -> Result<&'a str, Error> {
    // The longest useful one is &#x0010FFFF; with room for a few zeros; a search without bound would be quadratic.
    let window = &s.as_bytes()[..s.len().min(64)];
    let Some(end) = memchr::memchr(b';', window) else {
        return Err(Error::NotWellFormed("an & that starts no reference"));
    };
    let name = s.get(1..end).unwrap_or_default();
    let c = match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "apos" => '\'',
        "quot" => '"',
        _ => match name.strip_prefix('#') {
            Some(number) => character(number).ok_or(Error::NotWellFormed("a reference to no character"))?,
            None if crate::is_name(name) => return Err(Error::Restricted("an entity reference")),
            None => return Err(Error::NotWellFormed("an & that starts no reference")),
        },
    };
    out.push(c);
    Ok(&s[end + 1..])
}

/// `65` or `x41`, if XML allows that character.
fn character(number: &str) -> Option<char> {
    let (digits, radix) = match number.strip_prefix('x') {
        Some(hex) => (hex, 16),
        None => (number, 10),
    };
    if digits.is_empty() || digits.starts_with('+') {
        return None;
    }
    char::from_u32(u32::from_str_radix(digits, radix).ok()?).filter(|c| is_xml_char(*c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(tag: &str) -> Result<(String, Vec<Attr>), Error> {
        let mut scope = Scope::default();
        let mut scratch = Vec::new();
        let t = parse_start(tag, &Limits::default(), &mut scope, 0, &mut scratch)?;
        let attrs = resolve_attrs(tag, &scope, &mut scratch)?;
        Ok((format!("{}|{}|{}", t.prefix, t.local, t.empty), attrs))
    }

    #[test]
    fn start_tags() {
        assert_eq!(start("<a>"), Ok(("|a|false".to_owned(), vec![])));
        assert_eq!(start("<p:a\t/>").map(|(t, _)| t), Ok("p|a|true".to_owned()));
        let (tag, attrs) =
            start("<a p:x='1' xmlns:p=\"urn:p\"\r\n x = 'it&apos;s \t\r\n&#9;>'/>").expect("well-formed");
        assert_eq!(tag, "|a|true");
        assert_eq!(attrs[0], Attr { name: "x".into(), ns: "urn:p".into(), value: "1".into() });
        assert_eq!(attrs[1], Attr { name: "x".into(), ns: "".into(), value: "it's   \t>".into() });
    }

    #[test]
    fn start_tags_that_are_none() {
        for bad in [
            "<1>",
            "<a:>",
            "<:a>",
            "<a:b:c>",
            "<a:1>",
            "<a b>",
            "<a b=>",
            "<a b=c>",
            "<a b='1'c='2'>",
            "<a b='1' b='2'>",
            "<a b='<'>",
            "<a b='&'>",
            "<a b='&lt'>",
            "<a / >",
            "<a/b>",
            "<a x:y='1' z:y='2' xmlns:x='urn:1' xmlns:z='urn:1'>",
            "<a xmlns='1' xmlns='2'>",
            "<a xmlns:p=''>",
            "<a xmlns:xmlns='http://www.w3.org/2000/xmlns/'>",
            "<a xmlns:xml='urn:other'>",
            "<a xmlns='http://www.w3.org/XML/1998/namespace'>",
            "<a xmlns:p='http://www.w3.org/2000/xmlns/'>",
        ] {
            assert!(matches!(start(bad), Err(Error::NotWellFormed(_))), "{bad}: {:?}", start(bad));
        }
        assert_eq!(start("<a p:x='1'>"), Err(Error::UnboundPrefix));
    }

    #[test]
    fn limits_of_a_tag() {
        let name = "n".repeat(257);
        assert!(matches!(start(&format!("<{name}>")), Err(Error::TooBig { limit: 256, .. })));
        assert!(matches!(start(&format!("<a {name}='1'>")), Err(Error::TooBig { limit: 256, .. })));
        assert!(matches!(start(&format!("<a xmlns='{name}'>")), Err(Error::TooBig { limit: 256, .. })));
        assert!(start(&format!("<a xmlns='{}'>", &name[..256])).is_ok());
        let attrs = |n| (0..n).map(|i| format!(" a{i}=''")).collect::<String>();
        assert!(start(&format!("<a{}>", attrs(64))).is_ok());
        assert!(matches!(start(&format!("<a{}>", attrs(65))), Err(Error::TooBig { limit: 64, .. })));
    }

    #[test]
    fn references() {
        let read = |raw: &str| {
            let mut out = Str::default();
            text(raw, &mut out).map(|()| out)
        };
        assert_eq!(read("&lt;&#65;&#x42;&#x000043;&amp;lt; a > b\r\nc\rd&#13;"), Ok("<ABC&lt; a > b\nc\nd\r".into()));
        assert_eq!(read("]] &gt; ]]&gt;"), Ok("]] > ]]>".into()));
        for bad in [
            "&",
            "&;",
            "&#;",
            "&#x;",
            "&#X41;",
            "&#+65;",
            "&#0;",
            "&#xD800;",
            "&#xFFFE;",
            "&#x110000;",
            "a&b",
            "&a b;",
            "]]>",
            "x>]]>",
            "&#99999999999;",
            "&1;",
        ] {
            assert!(matches!(read(bad), Err(Error::NotWellFormed(_))), "{bad}");
        }
        assert_eq!(read("&nbsp;"), Err(Error::Restricted("an entity reference")));
        assert!(read(&format!("&{};", "a".repeat(100))).is_err());
    }

    #[test]
    fn end_tags() {
        assert!(ends(b"</a>", "", "a") && ends(b"</a \n>", "", "a") && ends(b"</p:a>", "p", "a"));
        for bad in [&b"</b>"[..], b"</ a>", b"</ab>", b"</p:a>", b"</a/>", b"</a b>"] {
            assert!(!ends(bad, "", "a"));
        }
        assert!(!ends(b"</a>", "p", "a") && !ends(b"</p a>", "p", "a"));
    }
}
