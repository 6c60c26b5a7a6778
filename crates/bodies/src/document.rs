//! Small XML documents.

use crate::Error;
use xml::Element;

/// Reads a document of at most 64 KiB, 16 levels and 256 elements: ten times what the formats here need.
pub(crate) fn parse(document: &[u8]) -> Result<Element, Error> {
    parse_within(document, &xml::Limits { stanza_bytes: 65_536, depth: 16, elements: 256, ..xml::Limits::default() })
}

/// Reads a document within these limits.
pub(crate) fn parse_within(document: &[u8], limits: &xml::Limits) -> Result<Element, Error> {
    Element::parse(document, limits).map_err(|e| match e {
        xml::Error::NotWellFormed(why) | xml::Error::Restricted(why) => Error::Malformed(why),
        xml::Error::BadEncoding => Error::Malformed("XML is not UTF-8"),
        xml::Error::UnsupportedEncoding => Error::unsupported("XML encoding", ""),
        xml::Error::UnboundPrefix => Error::Malformed("unbound namespace prefix"),
        xml::Error::TooBig { what, limit } => Error::TooBig { what, limit },
    })
}

/// A document without its XML declaration: once it is text, what that says of its encoding does not hold any more.
pub(crate) fn without_declaration(document: &str) -> &str {
    match document.strip_prefix("<?xml").filter(|rest| rest.starts_with([' ', '\t', '\r', '\n'])) {
        Some(rest) => rest.split_once("?>").map_or(document, |(_, rest)| rest),
        None => document,
    }
}

/// The trimmed text of a child element, if there is any.
pub(crate) fn child_text(e: &Element, name: &str, ns: &str) -> Option<base::Str> {
    let text = e.child(name, ns)?.text();
    Some(text.trim()).filter(|t| !t.is_empty()).map(Into::into)
}
