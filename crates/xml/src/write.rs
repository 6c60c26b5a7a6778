//! Writing elements. Whatever an element holds, what comes out is well-formed and reads as one element.

use crate::{Attr, Element, Node, XML_NS, XMLNS_NS, is_name};

/// Writes `e` into a place where `outer_ns` is the default namespace: `xmlns` is declared only where it changes. What the
/// reader made reads back the same; a character that XML forbids becomes U+FFFD, and one that a name forbids `_`.
pub fn write(e: &Element, outer_ns: &str, out: &mut Vec<u8>) {
    element(e, &Names { inner: None, outer: outer_ns, prefixes: &[] }, outer_ns, &[], out);
}

/// Like [`write()`], but elements in `inner_ns` are written as if they were in `outer_ns`, from `e` downwards as far as no
/// other namespace comes between: re-scoping a stanza from one content namespace to another (RFC 6120 §4.8.3).
pub fn write_rescoped(e: &Element, inner_ns: &str, outer_ns: &str, out: &mut Vec<u8>) {
    element(e, &Names { inner: Some(inner_ns), outer: outer_ns, prefixes: &[] }, outer_ns, &[], out);
}

/// Writes `e` as a document in UTF-8, with an XML declaration.
pub fn write_document(e: &Element) -> Vec<u8> {
    let mut out = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>".to_vec();
    write(e, "", &mut out);
    out
}

/// The same with a prefix for the elements of some namespaces, each a pair of prefix and namespace, all declared at the root: for readers
/// that look for the prefix that everybody uses and not for the namespace.
pub fn write_document_prefixed(e: &Element, prefixes: &[(&str, &str)]) -> Vec<u8> {
    let mut out = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>".to_vec();
    element(e, &Names { inner: None, outer: "", prefixes }, "", prefixes, &mut out);
    out
}

/// Which namespace is written as which, where the default namespace is still the outer one.
struct Names<'a> {
    inner: Option<&'a str>,
    outer: &'a str,
    prefixes: &'a [(&'a str, &'a str)],
}

fn element(e: &Element, names: &Names<'_>, default_ns: &str, declared: &[(&str, &str)], out: &mut Vec<u8>) {
    let rescoped = default_ns == names.outer && names.inner.is_some_and(|inner| e.ns == inner);
    let ns = match e.ns.as_str() {
        _ if rescoped => names.outer,
        // Nothing can be written in it, and the reader makes nothing in it.
        XMLNS_NS => "",
        ns => ns,
    };
    let prefix = match ns {
        // The one namespace that cannot be the default one.
        XML_NS => Some("xml"),
        ns => names.prefixes.iter().find(|(_, named)| *named == ns).map(|(prefix, _)| *prefix),
    };
    let prefixed = |out: &mut Vec<u8>| {
        if let Some(prefix) = prefix {
            out.extend_from_slice(prefix.as_bytes());
            out.push(b':');
        }
        name(&e.name, out);
    };
    out.push(b'<');
    prefixed(out);
    let inside = if prefix.is_some() { default_ns } else { ns };
    if inside != default_ns {
        attr(b"xmlns", inside, out);
    }
    for (prefix, ns) in declared {
        attr(format!("xmlns:{prefix}").as_bytes(), ns, out);
    }
    for (i, a) in e.attrs.iter().enumerate() {
        // What looks like a declaration would collide with ours; HTML is full of them.
        if a.ns != XMLNS_NS && !(a.ns.is_empty() && a.name == "xmlns") {
            attribute(a, i, out);
        }
    }
    if e.children.is_empty() {
        out.extend_from_slice(b"/>");
        return;
    }
    out.push(b'>');
    for child in &e.children {
        match child {
            Node::Element(child) => element(child, names, inside, &[], out),
            Node::Text(text) => escape_text(text, out),
        }
    }
    out.extend_from_slice(b"</");
    prefixed(out);
    out.push(b'>');
}

/// Writes an attribute; one in a namespace gets a prefix of its own, made from its place `i`.
fn attribute(a: &Attr, i: usize, out: &mut Vec<u8>) {
    let prefix = match a.ns.as_str() {
        "" => String::new(),
        XML_NS => "xml:".to_owned(),
        ns => {
            attr(format!("xmlns:n{i}").as_bytes(), ns, out);
            format!("n{i}:")
        }
    };
    out.push(b' ');
    out.extend_from_slice(prefix.as_bytes());
    name(&a.name, out);
    out.extend_from_slice(b"='");
    escape_attr(&a.value, out);
    out.push(b'\'');
}

fn attr(name: &[u8], value: &str, out: &mut Vec<u8>) {
    out.push(b' ');
    out.extend_from_slice(name);
    out.extend_from_slice(b"='");
    escape_attr(value, out);
    out.push(b'\'');
}

/// Names are ours or the reader's. One that is neither cannot break the markup.
fn name(name: &str, out: &mut Vec<u8>) {
    if is_name(name) {
        out.extend_from_slice(name.as_bytes());
        return;
    }
    out.push(b'_');
    let mut utf8 = [0; 4];
    for c in name.chars() {
        let c = c.encode_utf8(&mut utf8);
        let fits = crate::chars::is_name_part(c);
        out.extend_from_slice(if fits { c.as_bytes() } else { b"_" });
    }
}

/// Bytes that need a look in text and in attribute values.
const SPECIAL: [bool; 256] = {
    let mut t = [false; 256];
    let mut b = 0;
    while b < 0x20 {
        t[b] = true;
        b += 1;
    }
    t[b'&' as usize] = true;
    t[b'<' as usize] = true;
    t[b'>' as usize] = true;
    t[b'"' as usize] = true;
    t[b'\'' as usize] = true;
    // U+FFFE and U+FFFF start with it.
    t[0xEF] = true;
    t
};

/// Appends `text` as character data: `&`, `<`, `>` and CR become references, what XML forbids becomes U+FFFD.
pub fn escape_text(text: &str, out: &mut Vec<u8>) {
    escape(text, out, |b| match b {
        b'\t' | b'\n' | b'"' | b'\'' => None,
        _ => reference(b),
    });
}

/// Appends `value` as what stands between the quotes, of either kind, of an attribute; white space other than spaces
/// becomes references.
pub fn escape_attr(value: &str, out: &mut Vec<u8>) {
    escape(value, out, reference);
}

fn reference(b: u8) -> Option<&'static [u8]> {
    Some(match b {
        b'&' => b"&amp;",
        b'<' => b"&lt;",
        b'>' => b"&gt;",
        b'"' => b"&quot;",
        b'\'' => b"&apos;",
        b'\t' => b"&#9;",
        b'\n' => b"&#10;",
        b'\r' => b"&#13;",
        _ => return None,
    })
}

fn escape(text: &str, out: &mut Vec<u8>, escaped: impl Fn(u8) -> Option<&'static [u8]>) {
    const REPLACEMENT: &[u8] = "\u{FFFD}".as_bytes();
    let bytes = text.as_bytes();
    out.reserve(bytes.len());
    // `from`: what was not written yet starts here.
    let (mut from, mut at) = (0, 0);
    while let Some(n) = bytes[at..].iter().position(|b| SPECIAL[usize::from(*b)]) {
        at += n;
        let (instead, len) = match &bytes[at..] {
            [0xEF, 0xBF, 0xBE | 0xBF, ..] => (Some(REPLACEMENT), 3),
            [0xEF, ..] => (None, 3),
            [b, ..] => match escaped(*b) {
                None if *b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r') => (Some(REPLACEMENT), 1),
                other => (other, 1),
            },
            [] => break,
        };
        if let Some(instead) = instead {
            out.extend_from_slice(&bytes[from..at]);
            out.extend_from_slice(instead);
            from = at + len;
        }
        at += len;
    }
    out.extend_from_slice(&bytes[from..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(e: &Element, outer: &str) -> String {
        let mut out = Vec::new();
        write(e, outer, &mut out);
        String::from_utf8(out).expect("the writer writes UTF-8")
    }

    #[test]
    fn namespaces_are_declared_where_they_change() {
        let e = Element::new("message", "a")
            .with_child(Element::new("body", "a").with_text("x"))
            .with_child(Element::new("x", "b").with_child(Element::new("y", "b")).with_child(Element::new("z", "a")))
            .with_child(Element::new("none", ""));
        assert_eq!(
            written(&e, "a"),
            "<message><body>x</body><x xmlns='b'><y/><z xmlns='a'/></x><none xmlns=''/></message>"
        );
        assert!(written(&e, "").starts_with("<message xmlns='a'><body>x"));
    }

    #[test]
    fn a_document_may_have_prefixes() {
        let e = Element::new("presence", "p")
            .with_child(
                Element::new("person", "d").with_child(Element::new("busy", "r")).with_child(Element::new("x", "")),
            )
            .with_child(Element::new("note", "p").with_text("x"));
        let written = write_document_prefixed(&e, &[("dm", "d"), ("rpid", "r")]);
        let text = String::from_utf8(written.clone()).expect("UTF-8");
        assert!(
            text.ends_with(
                "<presence xmlns='p' xmlns:dm='d' xmlns:rpid='r'><dm:person><rpid:busy/><x xmlns=''/></dm:person><note>x</note></presence>"
            ),
            "{text}"
        );
        assert_eq!(Element::parse(&written, &crate::Limits::default()), Ok(e));
    }

    #[test]
    fn a_stanza_is_rescoped_and_what_it_wraps_is_not() {
        let e = Element::new("message", "client").with_child(Element::new("body", "client")).with_child(
            Element::new("forwarded", "fwd")
                .with_child(Element::new("message", "client").with_child(Element::new("body", "client"))),
        );
        let mut out = Vec::new();
        write_rescoped(&e, "client", "component", &mut out);
        assert_eq!(
            String::from_utf8(out).expect("UTF-8"),
            "<message><body/><forwarded xmlns='fwd'><message xmlns='client'><body/></message></forwarded></message>"
        );
    }

    #[test]
    fn everything_is_escaped() {
        let e = Element::new("a", "")
            .with_attr("b", "<'\"&>\t\r\n\u{0}é\u{FFFF}\u{FEFF}")
            .with_text("]]><'\"&\t\r\n\u{8}\u{FFFE}é");
        assert_eq!(
            written(&e, ""),
            "<a b='&lt;&apos;&quot;&amp;&gt;&#9;&#13;&#10;\u{FFFD}é\u{FFFD}\u{FEFF}'>]]&gt;&lt;'\"&amp;\t&#13;\n\u{FFFD}\u{FFFD}é</a>"
        );
    }

    #[test]
    fn attributes_in_namespaces_and_names_that_are_none() {
        let mut e = Element::new("a", "n").with_lang("en");
        e.set_attr_ns("x", "urn:o", "1");
        assert_eq!(written(&e, "n"), "<a xml:lang='en' xmlns:n1='urn:o' n1:x='1'/>");
        let mut e = Element::new("p", "n").with_attr("xmlns", "x").with_attr("id", "1");
        e.set_attr_ns("x", XMLNS_NS, "y");
        assert_eq!(written(&e, "n"), "<p id='1'/>");
        assert_eq!(written(&Element::new("a/><b", "n").with_attr("", "1"), "n"), "<_a___b _='1'/>");
        assert_eq!(written(&Element::new("a", XML_NS).with_child(Element::new("b", "n")), "n"), "<xml:a><b/></xml:a>");
        assert_eq!(
            String::from_utf8(write_document(&Element::new("a", "n"))).expect("UTF-8"),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><a xmlns='n'/>"
        );
    }
}
