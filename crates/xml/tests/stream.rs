//! What a stream brings, case by case.

use verona_xml::{Element, Error, Event, Limits, Reader};

const HEADER: &str = "<?xml version='1.0'?><s:stream xmlns='c' xmlns:s='s' xml:lang='en' id='1'>";

/// Reads `bytes` behind a stream header, byte by byte and at once, and returns what came: the same both ways.
fn behind_header(limits: &Limits, bytes: &[u8]) -> (Vec<Event>, Option<Error>) {
    let (mut events, error) = read(limits, &[HEADER.as_bytes(), bytes].concat());
    assert!(matches!(events.remove(0), Event::Open(_)));
    (events, error)
}

fn read(limits: &Limits, bytes: &[u8]) -> (Vec<Event>, Option<Error>) {
    let at_once = in_pieces(limits, bytes, bytes.len());
    assert_eq!(at_once, in_pieces(limits, bytes, 1), "{}", String::from_utf8_lossy(bytes));
    at_once
}

fn in_pieces(limits: &Limits, bytes: &[u8], size: usize) -> (Vec<Event>, Option<Error>) {
    let mut reader = Reader::new(limits.clone());
    let mut events = Vec::new();
    for piece in bytes.chunks(size.max(1)) {
        reader.push(piece);
        loop {
            match reader.next() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(e) => {
                    assert_eq!(reader.next(), Err(e), "an error stays");
                    return (events, Some(e));
                }
            }
        }
    }
    (events, None)
}

fn message(body: &str) -> Event {
    Event::Stanza(Element::new("message", "c").with_child(Element::new("body", "c").with_text(body)))
}

#[test]
fn a_stream_from_header_to_end() {
    let mut reader = Reader::new(Limits::default());
    assert_eq!((reader.content_ns().as_str(), reader.buffered()), ("", 0));
    reader.push(HEADER.as_bytes());
    let header = Element::new("stream", "s").with_lang("en").with_attr("id", "1");
    assert_eq!(reader.next(), Ok(Some(Event::Open(header))));
    assert_eq!(reader.next(), Ok(None));
    assert_eq!((reader.content_ns().as_str(), reader.buffered()), ("c", 0));
    reader.push(b" \n<message><bo");
    assert_eq!(reader.next(), Ok(None));
    assert_eq!(reader.buffered(), 12);
    reader.push(b"dy>hi</body></message> ");
    assert_eq!(reader.next(), Ok(Some(message("hi"))));
    assert_eq!(reader.next(), Ok(None));
    assert_eq!(reader.buffered(), 0);
    reader.push(b"<s:features/></s:stream>\n");
    assert_eq!(reader.next(), Ok(Some(Event::Stanza(Element::new("features", "s")))));
    assert_eq!(reader.next(), Ok(Some(Event::Close)));
    assert_eq!(reader.next(), Ok(None));
    reader.push(b"x");
    assert!(matches!(reader.next(), Err(Error::NotWellFormed(_))));
}

#[test]
fn an_empty_stream() {
    let (events, error) = read(&Limits::default(), b"\n<a/> ");
    assert_eq!((events, error), (vec![Event::Open(Element::new("a", "")), Event::Close], None));
    assert!(matches!(read(&Limits::default(), b"<a/><b/>").1, Some(Error::NotWellFormed(_))));
    assert!(matches!(read(&Limits::default(), b"<a></a><b/>").1, Some(Error::NotWellFormed(_))));
}

#[test]
fn stanzas_that_are_right() {
    for (bytes, body) in [
        ("<message><body>hi</body></message>", "hi"),
        ("<m:message xmlns:m='c'><m:body>hi</m:body></m:message>", "hi"),
        ("<message ><body\n>a&lt;b&#x20AC;</body ></message\t>", "a<b€"),
        ("<message><body>a<![CDATA[<b> & ]]]]><![CDATA[> c]]></body></message>", "a<b> & ]]> c"),
        ("<message><body>a\r\nb\rc</body></message>", "a\nb\nc"),
    ] {
        assert_eq!(behind_header(&Limits::default(), bytes.as_bytes()), (vec![message(body)], None), "{bytes}");
    }
    // Declarations end with their element; the root's stay.
    let (events, error) = behind_header(&Limits::default(), b"<a xmlns='x' xmlns:p='y'><p:b/></a><c/><p:b/>");
    assert_eq!(
        events,
        [
            Event::Stanza(Element::new("a", "x").with_child(Element::new("b", "y"))),
            Event::Stanza(Element::new("c", "c"))
        ]
    );
    assert_eq!(error, Some(Error::UnboundPrefix));
}

#[test]
fn what_is_not_well_formed() {
    for bad in [
        "<m></n>",
        "<a><b></a></b>",
        "<m a='1' a='2'/>",
        "<m a='<'/>",
        "<m>a & b</m>",
        "<m>&#0;</m>",
        "<m>&#xD83D;&#xDE00;</m>",
        "<m>\u{B}</m>",
        "<m><1/></m>",
        "</presence>",
        "</s:streamer>",
        "<a:b:c/>",
        "<m>a]]>b</m>",
        "hello",
        "<![CDATA[hello]]>",
        "<m>< b/></m>",
        "<<",
        "<m xmlns:xmlns='http://www.w3.org/2000/xmlns/'/>",
    ] {
        let (events, error) = behind_header(&Limits::default(), bad.as_bytes());
        assert_eq!(events, [], "{bad}");
        assert!(matches!(error, Some(Error::NotWellFormed(_))), "{bad}: {error:?}");
    }
}

#[test]
fn what_is_restricted() {
    for bad in [
        "<?pi x?>",
        "<m><?pi x?></m>",
        "<?xml version='1.0'?>",
        "<!-- c -->",
        "<m><!-- c --></m>",
        "<!DOCTYPE m>",
        "<m>&nbsp;</m>",
        "<m a='&e;'/>",
    ] {
        let (events, error) = behind_header(&Limits::default(), bad.as_bytes());
        assert_eq!(events, [], "{bad}");
        assert!(matches!(error, Some(Error::Restricted(_))), "{bad}: {error:?}");
    }
    for bad in ["<!DOCTYPE s [<!ENTITY a 'b'>]><s>", "<?xml-stylesheet?><s>", "\n<?xml version='1.0'?><s>"] {
        assert!(
            matches!(read(&Limits::default(), bad.as_bytes()), (e, Some(Error::Restricted(_))) if e.is_empty()),
            "{bad}"
        );
    }
}

#[test]
fn encodings() {
    for bad in [
        &b"<m>\xc0\xbcx</m>"[..],
        b"<m>\xed\xa0\x80</m>",
        b"<m>\xf8\x88\x80\x80\x80</m>",
        b"<m>\xc3</m>",
        b"<m a='\xff'/>",
    ] {
        assert_eq!(behind_header(&Limits::default(), bad), (vec![], Some(Error::BadEncoding)), "{bad:x?}");
    }
    for bad in [
        &b"<?xml version='1.0' encoding='ISO-8859-1'?><s>"[..],
        b"\xff\xfe<\0s\0>\0",
        b"\xfe\xff\0<\0s\0>",
        b"\0<\0s\0>",
        b"<\0s\0>\0",
    ] {
        assert_eq!(read(&Limits::default(), bad), (vec![], Some(Error::UnsupportedEncoding)), "{bad:x?}");
    }
    // RFC 6120 §11.6: in a stream it is a zero width no-break space, so it is text where none may stand.
    assert!(matches!(read(&Limits::default(), "\u{FEFF}<s>".as_bytes()).1, Some(Error::NotWellFormed(_))));
    assert_eq!(read(&Limits::default(), b"<?xml version='1.0' encoding='utf-8'?><s>").1, None);
}

#[test]
fn a_giant_is_skipped_and_the_stream_goes_on() {
    let limits =
        Limits { stanza_bytes: 80, skip_bytes: 200, depth: 4, elements: 5, attributes: 4, ..Limits::default() };
    let start = Element::new("message", "c").with_attr("from", "a").with_attr("to", "b");
    let giant = |why| Event::Skipped { start: start.clone(), why };
    let bytes = Error::TooBig { what: "bytes", limit: 80 };
    for (inside, why) in [
        (format!("<body>{}</body>", "x".repeat(100)), bytes),
        (format!("<body><![CDATA[{}]]></body>", "</message>".repeat(10)), bytes),
        (format!("<body a='{}'/>", "/>".repeat(60)), bytes),
        ("<a/><b/><c/><d/><e/>".to_owned(), Error::TooBig { what: "elements", limit: 5 }),
        ("<a><b><c><d/></c></b></a>".to_owned(), Error::TooBig { what: "levels of nesting", limit: 4 }),
        ("<a b='' c='' d='' e='' f=''>x</a>".to_owned(), Error::TooBig { what: "attributes", limit: 4 }),
    ] {
        let stream = format!("<message from='a' to='b'>{inside}</message><message><body>hi</body></message>");
        assert_eq!(behind_header(&limits, stream.as_bytes()), (vec![giant(why), message("hi")], None), "{stream}");
    }
    // Too big even for that, or nobody to tell, or not wanted.
    let stream = format!("<message from='a' to='b'><body>{}</body>", "x".repeat(300));
    assert_eq!(behind_header(&limits, stream.as_bytes()), (vec![], Some(bytes)));
    let own_tag = format!("<message from='{}'/>", "x".repeat(80));
    assert_eq!(behind_header(&limits, own_tag.as_bytes()), (vec![], Some(bytes)));
    let never = Limits { skip_bytes: 0, ..limits };
    assert_eq!(behind_header(&never, format!("<m>{}</m>", "x".repeat(80)).as_bytes()), (vec![], Some(bytes)));
}

#[test]
fn limits_are_inclusive() {
    let limits = Limits { stanza_bytes: 100, ..Limits::default() };
    let stanza = |n: usize| format!("<m>{}</m>", "x".repeat(n - 7));
    assert_eq!(behind_header(&limits, stanza(100).as_bytes()).0.len(), 1);
    assert!(matches!(behind_header(&limits, stanza(101).as_bytes()).0[..], [Event::Skipped { .. }]));
    // A header has nobody behind it yet.
    let header = format!("<s a='{}'>", "x".repeat(100));
    assert_eq!(read(&limits, header.as_bytes()), (vec![], Some(Error::TooBig { what: "bytes", limit: 100 })));
}

#[test]
fn white_space_between_stanzas_is_never_held() {
    let mut reader = Reader::new(Limits { stanza_bytes: 1000, ..Limits::default() });
    reader.push(HEADER.as_bytes());
    assert!(matches!(reader.next(), Ok(Some(Event::Open(_)))));
    for _ in 0..1000 {
        reader.push(&[b' '; 2000]);
        assert_eq!(reader.next(), Ok(None));
        assert_eq!(reader.buffered(), 0);
    }
}

#[test]
fn an_endless_token_is_searched_once() {
    // Quadratic work would take minutes here.
    let mut reader = Reader::new(Limits { stanza_bytes: 20 << 20, skip_bytes: 0, ..Limits::default() });
    reader.push(HEADER.as_bytes());
    assert!(matches!(reader.next(), Ok(Some(Event::Open(_)))));
    reader.push(b"<m a='");
    for _ in 0..1_000_000 {
        reader.push(b"0123456789");
        assert_eq!(reader.next(), Ok(None));
    }
    assert_eq!(reader.buffered(), 10_000_006);
}
