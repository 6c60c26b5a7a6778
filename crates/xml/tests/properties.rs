//! What holds for every tree and for all bytes.

use proptest::prelude::*;
use verona_xml::{self as xml, Attr, Element, Error, Event, Limits, Node, Reader, XML_NS};

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z_é名][a-zA-Z0-9._é·-]{0,30}".prop_filter("a declaration", |n| n != "xmlns")
}

fn ns() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("jabber:client".to_owned()),
        Just("urn:ietf:params:xml:ns:xmpp-stanzas".to_owned()),
        Just(XML_NS.to_owned()),
        "urn:[a-z &'<é]{1,20}",
    ]
}

/// Text of characters that XML allows, those that need care more often than others.
fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![
            proptest::sample::select("&<>'\"]\t\r\n \u{FEFF}\u{85}\u{2028}".chars().collect::<Vec<_>>()),
            any::<char>().prop_map(|c| if xml::is_xml_char(c) { c } else { 'x' }),
        ],
        0..40,
    )
    .prop_map(|c| c.into_iter().collect())
}

fn element() -> impl Strategy<Value = Element> {
    let attrs = || proptest::collection::vec((name(), ns(), text()), 0..5);
    let leaf = (name(), ns(), attrs(), text())
        .prop_map(|(name, ns, attrs, text)| made(&name, &ns, attrs, vec![]).with_text(&text));
    leaf.prop_recursive(6, 40, 6, move |inner| {
        let child = prop_oneof![inner.prop_map(Node::Element), text().prop_map(|t| Node::Text(t.into()))];
        (name(), ns(), attrs(), proptest::collection::vec(child, 0..6))
            .prop_map(|(name, ns, attrs, children)| made(&name, &ns, attrs, children))
    })
}

fn made(name: &str, ns: &str, attrs: Vec<(String, String, String)>, children: Vec<Node>) -> Element {
    let mut e = Element::new(name, ns);
    for (name, ns, value) in attrs {
        e.set_attr_ns(&name, &ns, value);
    }
    for child in children {
        match child {
            Node::Element(child) => e.push(child),
            Node::Text(text) => e.push_text(&text),
        }
    }
    e
}

fn events(bytes: &[u8], cuts: &[usize], limits: &Limits) -> (Vec<Event>, Option<Error>) {
    let mut reader = Reader::new(limits.clone());
    let mut out = Vec::new();
    let mut bounds: Vec<usize> = cuts.iter().map(|c| c % (bytes.len() + 1)).chain([0, bytes.len()]).collect();
    bounds.sort_unstable();
    for piece in bounds.windows(2) {
        reader.push(&bytes[piece[0]..piece[1]]);
        loop {
            match reader.next() {
                Ok(Some(event)) => out.push(event),
                Ok(None) => break,
                Err(e) => return (out, Some(e)),
            }
        }
    }
    (out, None)
}

/// Bytes that look like a stream for a while.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::sample::select(vec![
            "<s:stream xmlns:s='s' xmlns='c'>",
            "<message from='a' to='b'>",
            "<body>",
            "</body>",
            "</message>",
            "<a/>",
            "<![CDATA[",
            "]]>",
            "&amp;",
            "&#65;",
            "&x;",
            "<?xml version='1.0'?>",
            "<!--",
            "-->",
            "<!DOCTYPE",
            "text",
            "\r\n",
            " ",
            "'",
            "\"",
            "<",
            ">",
            "</",
            "/>",
            "=",
            "xmlns:p='q'",
            "<p:a ",
            "é",
            "</s:stream>",
        ])
        .prop_map(|s| s.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..4),
    ];
    (any::<bool>(), proptest::collection::vec(piece, 0..30)).prop_map(|(header, pieces)| {
        let mut out = if header { b"<s:stream xmlns:s='s' xmlns='c'>".to_vec() } else { vec![] };
        out.extend(pieces.concat());
        out
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(e in element(), outer in ns()) {
        let outer = if outer == XML_NS { String::new() } else { outer };
        let limits = Limits { namespaces: 1000, ..Limits::default() };
        prop_assert_eq!(&Element::parse(&xml::write_document(&e), &limits), &Ok(e.clone()));
        let mut stream = b"<s:stream xmlns:s='s' xmlns='".to_vec();
        xml::escape_attr(&outer, &mut stream);
        stream.extend(b"'>");
        xml::write(&e, &outer, &mut stream);
        let (events, error) = events(&stream, &[], &limits);
        prop_assert_eq!(error, None);
        prop_assert_eq!(events.last(), Some(&Event::Stanza(e)));
    }

    #[test]
    fn anything_written_is_one_well_formed_element(name in any::<String>(), attr in any::<String>(), value in any::<String>(), text in any::<String>()) {
        let mut e = Element::new(name.as_str(), "n").with_text(&text);
        e.attrs.push(Attr { name: attr.into(), ns: "".into(), value: value.into() });
        let limits = Limits { name_bytes: 10_000, ..Limits::default() };
        let read = Element::parse(&xml::write_document(&e), &limits);
        let clean = |s: &str| s.chars().map(|c| if xml::is_xml_char(c) { c } else { '\u{FFFD}' }).collect::<String>();
        let read = read.expect("the writer writes well-formed XML");
        prop_assert_eq!(read.text().into_owned(), clean(&text));
        prop_assert!(read.elements().next().is_none());
    }

    #[test]
    fn pieces_do_not_matter(bytes in soup(), cuts in proptest::collection::vec(any::<usize>(), 0..20), stanza_bytes in 1..200usize, skip_bytes in 0..60usize) {
        for limits in [Limits::default(), Limits { stanza_bytes, skip_bytes, depth: 3, attributes: 2, ..Limits::default() }] {
            let whole = events(&bytes, &[], &limits);
            prop_assert_eq!(&whole, &events(&bytes, &cuts, &limits));
            prop_assert_eq!(&whole, &events(&bytes, &(0..bytes.len()).collect::<Vec<_>>(), &limits));
        }
    }

    #[test]
    fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = events(&bytes, &[], &Limits::default());
        let _ = Element::parse(&bytes, &Limits::default());
    }

    #[test]
    fn what_is_read_writes_back(bytes in soup()) {
        if let Ok(e) = Element::parse(&bytes, &Limits::default()) {
            prop_assert_eq!(Element::parse(&xml::write_document(&e), &Limits::default()), Ok(e));
        }
    }
}
