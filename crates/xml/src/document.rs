//! Reading a whole document.

use crate::chars::check;
use crate::parse::{Mode, Parser, Place};
use crate::{Element, Error, Event, Limits, decl};
use std::borrow::Cow;

impl Element {
    /// Reads a document. Unlike a stream it may have comments and processing instructions, which are passed over, and
    /// white space and a UTF-8 byte order mark around. UTF-8 is read, and, if it is declared, US-ASCII and ISO-8859-1.
    ///
    /// # Errors
    /// Anything that is not well-formed, any document type declaration and any entity but XML's own five
    /// ([`Error::Restricted`]), another encoding, and what passes `limits`; [`Limits::skip_bytes`] does not apply.
    pub fn parse(document: &[u8], limits: &Limits) -> Result<Element, Error> {
        if document.len() > limits.stanza_bytes {
            return Err(Error::TooBig { what: "bytes", limit: limits.stanza_bytes });
        }
        let document = decode(document.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(document))?;
        let mut parser = Parser::new(limits.clone(), Mode::Document);
        let mut root = None;
        while let Some(event) = parser.next(&document)? {
            if let Event::Stanza(element) = event {
                root = Some(element);
            }
        }
        match root {
            Some(root) if parser.place() == Place::After && parser.pos == document.len() => Ok(root),
            _ => Err(Error::NotWellFormed("the document ends early")),
        }
    }
}

/// The document in UTF-8, as its declaration says. What is UTF-8 already is checked piece by piece later.
fn decode(document: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    if !document.starts_with(b"<?xml") || !document.get(5).is_some_and(u8::is_ascii_whitespace) {
        return Ok(Cow::Borrowed(document));
    }
    let end = memchr::memmem::find(document, b"?>").ok_or(Error::NotWellFormed("the XML declaration"))?;
    let Some(label) = decl::encoding(check(&document[..end + 2])?)? else { return Ok(Cow::Borrowed(document)) };
    let is = |names: &[&str]| names.iter().any(|n| label.eq_ignore_ascii_case(n));
    if is(&["utf-8"]) {
        Ok(Cow::Borrowed(document))
    } else if is(&["us-ascii", "ascii"]) {
        if document.is_ascii() { Ok(Cow::Borrowed(document)) } else { Err(Error::BadEncoding) }
    } else if is(&["iso-8859-1", "latin1"]) {
        // Each byte is the character of that number.
        Ok(Cow::Owned(document.iter().map(|b| char::from(*b)).collect::<String>().into_bytes()))
    } else {
        Err(Error::UnsupportedEncoding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(document: &[u8]) -> Result<Element, Error> {
        Element::parse(document, &Limits::default())
    }

    #[test]
    fn documents() {
        let root = Element::new("a", "urn:x").with_text("opän");
        for good in [
            "<a xmlns='urn:x'>opän</a>",
            "\u{FEFF}<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<a xmlns='urn:x'>opän</a>\n",
            "<!-- c --><?pi x?><a xmlns='urn:x'>op<!-- x -->ä<?y?>n</a><?z?> <!---->",
            "<?xml version='1.0'?><!-- c --><x:a xmlns:x='urn:x'>o<![CDATA[p&#228;]]>n</x:a>",
        ] {
            let want =
                if good.contains("CDATA") { Element::new("a", "urn:x").with_text("op&#228;n") } else { root.clone() };
            assert_eq!(parse(good.as_bytes()), Ok(want), "{good}");
        }
        assert_eq!(parse(b"<a/>"), Ok(Element::new("a", "")));
        let latin1 = b"<?xml version='1.0' encoding='ISO-8859-1'?><a xmlns='urn:x'>op\xe4n</a>";
        assert_eq!(parse(latin1), Ok(root));
    }

    #[test]
    fn no_documents() {
        for bad in [
            "",
            " ",
            "a",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>x",
            "<a/></a>",
            " <?xml version='1.0'?><a/>",
            "<a><?xml version='1.0'?></a>",
            "<a/><?XML x?>",
            "<a><?1?></a>",
            "<a><!-- a -- b --></a>",
            "<a/><!-- never ends",
            "<![CDATA[x]]><a/>",
            "<?xml version='1.0'?><?xml version='1.0'?><a/>",
            "<?xml version='1.0'",
            "<a>\u{1}</a>",
            "<a>\u{FFFE}</a>",
        ] {
            assert!(
                matches!(parse(bad.as_bytes()), Err(Error::NotWellFormed(_))),
                "{bad}: {:?}",
                parse(bad.as_bytes())
            );
        }
        for bad in ["<!DOCTYPE a><a/>", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "<a>&b;</a>", "<a b='&c;'/>"] {
            assert!(matches!(parse(bad.as_bytes()), Err(Error::Restricted(_))), "{bad}");
        }
        assert_eq!(parse(b"<p:a/>"), Err(Error::UnboundPrefix));
        assert_eq!(parse(b"<a>\xe4</a>"), Err(Error::BadEncoding));
        assert_eq!(parse(b"<?xml version='1.0' encoding='US-ASCII'?><a>\xe4</a>"), Err(Error::BadEncoding));
        assert_eq!(parse(b"<?xml version='1.0' encoding='UTF-16'?><a/>"), Err(Error::UnsupportedEncoding));
        assert_eq!(parse(b"\xff\xfe<\0a\0/\0>\0"), Err(Error::UnsupportedEncoding));
        assert_eq!(parse(b"<\0a\0/\0>\0"), Err(Error::UnsupportedEncoding));
    }

    #[test]
    fn limits() {
        let small = Limits { stanza_bytes: 30, depth: 3, elements: 4, ..Limits::default() };
        let parse = |d: &str| Element::parse(d.as_bytes(), &small).map(|_| ());
        assert_eq!(parse("<a><b><c/></b><d/></a>"), Ok(()));
        assert!(matches!(parse("<a><b><c><d/></c></b></a>"), Err(Error::TooBig { limit: 3, .. })));
        assert!(matches!(parse("<a><b/><b/><b/><b/></a>"), Err(Error::TooBig { limit: 4, .. })));
        assert_eq!(parse(&format!("<a>{}</a>", "x".repeat(23))), Ok(()));
        assert!(matches!(parse(&format!("<a>{}</a>", "x".repeat(24))), Err(Error::TooBig { limit: 30, .. })));
    }
}
