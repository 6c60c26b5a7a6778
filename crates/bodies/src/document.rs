//! Small XML documents.

use crate::Error;
use xml::Element;

/// Reads a document of at most 64 KiB, 16 levels and 256 elements: ten times what the formats here need.
pub(crate) fn parse(document: &[u8]) -> Result<Element, Error> {
    let limits = xml::Limits { stanza_bytes: 65_536, depth: 16, elements: 256, ..xml::Limits::default() };
    Element::parse(document, &limits).map_err(|e| match e {
        xml::Error::NotWellFormed(why) | xml::Error::Restricted(why) => Error::Malformed(why),
        xml::Error::BadEncoding => Error::Malformed("XML is not UTF-8"),
        xml::Error::UnsupportedEncoding => Error::unsupported("XML encoding", ""),
        xml::Error::UnboundPrefix => Error::Malformed("unbound namespace prefix"),
        xml::Error::TooBig { what, limit } => Error::TooBig { what, limit },
    })
}

/// The trimmed text of a child element, if there is any.
pub(crate) fn child_text(e: &Element, name: &str, ns: &str) -> Option<base::Str> {
    let text = e.child(name, ns)?.text();
    Some(text.trim()).filter(|t| !t.is_empty()).map(Into::into)
}
