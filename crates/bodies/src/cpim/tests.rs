use super::escape::{escape, unescape};
use super::*;
use crate::mime::{ContentType, Disposition};
use proptest::prelude::*;

const TEXT: &str = "Content-Type: text/plain; charset=utf-8\r\n\r\nHi";

fn parse(headers: &str) -> Result<Message, Error> {
    Message::parse(format!("{headers}\r\n{TEXT}").as_bytes(), &Limits::default())
}

const FROM: &str = "From: <sip:romeo@example.net>\r\n";

#[test]
fn the_example_of_the_rfc() {
    let text = "From: MR SANDERS <im:piglet@100akerwood.com>\r\nTo: Depressed Donkey <im:eeyore@100akerwood.com>\r\n\
        cc: \"O \\\"P\\\"\" <im:owl@100akerwood.com>\r\nDateTime: 2000-12-13T13:40:00-08:00\r\n\
        Subject: the weather will be fine today\r\nSubject:;lang=fr beau temps prevu pour aujourd'hui\r\n\
        NS: MyFeatures <mid:MessageFeatures@id.foo.com>\r\nMyFeatures.WackyMessageOption: Use-silly-font\r\n\r\n\
        Content-Type: text/xml; charset=utf-8\r\nContent-ID: <1234567890@foo.com>\r\n\r\n<body>\r\n";
    let m = Message::parse(text.as_bytes(), &Limits::default()).unwrap();
    assert_eq!((m.from().name(), m.from().uri()), (Some("MR SANDERS"), "im:piglet@100akerwood.com"));
    assert_eq!(m.to().map(|a| a.uri().to_owned()).collect::<Vec<_>>(), ["im:eeyore@100akerwood.com"]);
    assert_eq!(m.cc().next().unwrap().name(), Some("O \"P\""));
    assert_eq!(m.date_time().unwrap().to_string(), "2000-12-13T21:40:00Z");
    assert_eq!(
        m.subjects().collect::<Vec<_>>(),
        [
            (None, "the weather will be fine today".to_owned()),
            (Some("fr"), "beau temps prevu pour aujourd'hui".to_owned())
        ]
    );
    let wacky = Namespace::Other("mid:MessageFeatures@id.foo.com".into());
    assert_eq!(m.header(wacky, "WackyMessageOption").as_deref(), Some("Use-silly-font"));
    assert!(m.content.content_type.is("text", "xml"));
    assert_eq!(m.content.header("content-id"), Some("<1234567890@foo.com>"));
    assert_eq!(m.content.body(), b"<body>\r\n");
    let again = String::from_utf8(m.to_bytes("b").unwrap()).unwrap();
    assert_eq!(again, text.replace("xml; charset", "xml;charset"));
}

#[test]
fn what_is_malformed() {
    for (headers, why) in [
        ("", "CPIM header without a colon"),
        ("To: <sip:b@example.com>\r\n", "CPIM without From"),
        ("From: <sip:a@x>\r\nFrom: <sip:b@x>\r\n", "CPIM with a second From"),
        ("From: sip:a@x\r\n", "bad CPIM From"),
        ("From: <a@x>\r\n", "bad CPIM From"),
        ("From: <sip:a b@x>\r\n", "bad CPIM From"),
        ("From: <sip:\u{e9}@x>\r\n", "bad CPIM From"),
        ("From: <sip:a@x>;tag=1\r\n", "bad CPIM From"),
        ("From: \"open <sip:a@x>\r\n", "bad CPIM From"),
        ("From: <sip:a@x>\r\nTo: nobody\r\n", "bad CPIM To"),
        ("From: <sip:a@x>\r\nTo:\r\n <sip:b@x>\r\n", "CPIM header without a space behind its colon"),
        ("From: <sip:a@x>\r\nTo: \r\n <sip:b@x>\r\n", "bad CPIM To"),
        ("From: <sip:a@x>\r\nX: a\r\n b\r\n", "CPIM header without a colon"),
        ("From: <sip:a@x>\r\nX: a\r\n b: c\r\n", "bad name of a CPIM header"),
        ("From: <sip:a@x>\rTo: <sip:b@x>\r\n", "control character in a CPIM header"),
        ("From: <sip:a@x>\nTo: <sip:b@x>\r\n", "control character in a CPIM header"),
        ("From: <sip:a@x>\r\nX: a\0b\r\n", "control character in a CPIM header"),
        ("From: <sip:a@x>\r\nX: a\tb\r\n", "control character in a CPIM header"),
        ("From: <sip:a@x>\r\nX: a\u{7f}b\r\n", "control character in a CPIM header"),
        ("From : <sip:a@x>\r\n", "bad name of a CPIM header"),
        ("From:<sip:a@x>\r\n", "CPIM header without a space behind its colon"),
        ("From: <sip:a@x>\r\nX:;lang fr\r\n", "bad parameter of a CPIM header"),
        ("From: <sip:a@x>\r\nX:;a=\"b fr\r\n", "bad parameter of a CPIM header"),
        ("From: <sip:a@x>\r\na.b.c: d\r\n", "bad name of a CPIM header"),
        ("From: <sip:a@x>\r\n.c: d\r\n", "bad name of a CPIM header"),
        ("From: <sip:a@x>\r\nNS: imdn urn:ietf:params:imdn\r\n", "bad CPIM NS"),
        // The default namespace is another one: this From is not ours.
        ("NS: <urn:evil>\r\nFrom: <sip:a@x>\r\nTo: <sip:b@x>\r\n", "CPIM without From"),
        // Names compare exactly.
        ("from: <sip:a@x>\r\n", "CPIM without From"),
    ] {
        assert_eq!(parse(headers), Err(Error::Malformed(why)), "{headers:?}");
    }
    for (bytes, why) in [
        (&b""[..], "CPIM without content"),
        (b"From: <sip:a@x>\r\n", "CPIM without content"),
        (b"From: <sip:a@x>\n\nContent-Type: text/plain\n\nHi", "CPIM without content"),
        (b"From: \xFF <sip:a@x>\r\n\r\n", "CPIM header is not UTF-8"),
        (b"From: <sip:a@x>\r\n\r\n\r\nHi", "part without Content-Type"),
        (
            b"From: <sip:a@x>\r\n\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!",
            "bad base64",
        ),
    ] {
        assert_eq!(Message::parse(bytes, &Limits::default()), Err(Error::Malformed(why)), "{bytes:?}");
    }
}

#[test]
fn what_is_taken_all_the_same() {
    assert_eq!(parse(FROM).unwrap().to().count(), 0);
    let m = parse(&format!(
        "{FROM}DateTime: 2026-02-30T25:61:61Z\r\nFoo.Bar: 1\r\nSubject: a\\qb\\\r\nSubject:;lang=x_y \r\n"
    ))
    .unwrap();
    assert_eq!(m.date_time(), None);
    assert_eq!(m.header(Namespace::Unbound, "Bar").as_deref(), Some("1"));
    assert_eq!(m.subjects().collect::<Vec<_>>(), [(None, "aqb".to_owned()), (None, String::new())]);
    let many: String = (0..1000).map(|i| format!("To: <sip:u{i}@example.com>\r\n")).collect();
    assert_eq!(parse(&format!("{FROM}{many}")).unwrap().to().count(), 1000);
    let base64 = "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\nContent-Length: 4\r\n\r\nSGk=";
    let m = Message::parse(format!("{FROM}\r\n{base64}").as_bytes(), &Limits::default()).unwrap();
    assert_eq!(m.content, Part::new(ContentType::new("text", "plain"), "Hi"));
}

#[test]
fn a_requirement_is_met_or_refused() {
    let imdn = "NS: imdn <urn:ietf:params:imdn>\r\n";
    assert!(parse(&format!("{FROM}{imdn}Require: imdn.Message-ID, imdn.Disposition-Notification,Subject\r\n")).is_ok());
    for (headers, name) in [
        ("NS: My <mid:x@y>\r\nRequire: My.Vital\r\n", "My.Vital"),
        ("NS: My <mid:x@y>\r\nRequire: My.Message-ID\r\n", "My.Message-ID"),
        ("Require: imdn.Message-ID\r\nNS: imdn <urn:ietf:params:imdn>\r\n", "imdn.Message-ID"),
        ("Require: subject\r\n", "subject"),
        ("Require: \r\n", ""),
        ("NS: imdn <urn:ietf:params:imdn>\r\nRequire: imdn.IMDN-Record-Route\r\n", "imdn.IMDN-Record-Route"),
    ] {
        assert_eq!(
            parse(&format!("{FROM}{headers}")),
            Err(Error::unsupported("required CPIM feature", name)),
            "{headers}"
        );
    }
}

#[test]
fn escapes() {
    assert_eq!(unescape(r#"a\u0000b\u000d\u000aX\t\n\r\b\u0085"#), "a\u{FFFD}b  X   \u{FFFD}\u{FFFD}");
    assert_eq!(
        unescape(r#"\\ \" \' \u00e9 \uD83D\uDE00 \uD83Dx \uDE00 \uD83D\u0041 \u12 \uzzzz \"#),
        "\\ \" ' é 😀 \u{FFFD}x \u{FFFD} \u{FFFD}A u12 uzzzz "
    );
    assert_eq!(escape("a\\b\u{8}\t\n\r\0\u{7f}é\""), "a\\\\b\\b\\t\\n\\r\\u0000\\u007fé\"");
}

#[test]
fn a_message_of_ours() {
    let romeo = Address::new(Some("Romeo \"R\" \r\nM"), "sip:romeo@example.net").unwrap();
    let juliet = Address::new(Some("Juliet C."), "sip:juliet@example.com").unwrap();
    let m = Message::new(romeo, Part::text_plain("Hi").with_disposition(Disposition::new("render")))
        .with_to(&juliet)
        .with_date_time(Timestamp::from_unix(0).unwrap())
        .with_subject(Some("fr"), "a\r\nTo: <sip:x@y>")
        .with_subject(Some("no tag"), "b")
        .with_namespace("imdn", "urn:ietf:params:imdn")
        .with_namespace("bad", "no uri")
        .with_header("imdn", "Message-ID", "1 2\\")
        .with_header("bad pre.fix", "x: y", "z");
    let text = String::from_utf8(m.to_bytes("b").unwrap()).unwrap();
    assert_eq!(
        text,
        "From: \"Romeo \\\"R\\\"   M\" <sip:romeo@example.net>\r\nTo: Juliet C. <sip:juliet@example.com>\r\n\
         DateTime: 1970-01-01T00:00:00Z\r\nSubject:;lang=fr a\\r\\nTo: <sip:x@y>\r\nSubject: b\r\n\
         NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: 1 2\\\\\r\nbad_pre_fix.x__y: z\r\n\r\n\
         Content-Type: text/plain;charset=utf-8\r\nContent-Disposition: render\r\n\r\nHi"
    );
    assert_eq!(Message::parse(text.as_bytes(), &Limits::default()).unwrap(), m);
    assert_eq!(m.header(Namespace::Imdn, "Message-ID").as_deref(), Some("1 2\\"));
}

/// In rooms (RFC 7701 §6, RFC 7702) the device, or the occupant, is a parameter of the URI, and names are of all kinds.
#[test]
fn addresses_of_rooms() {
    let read = |raw: &str| Address::parse(raw).map(|a| (a.name().unwrap_or_default().to_owned(), a.uri().to_owned()));
    let some = |name: &str, uri: &str| Some((name.to_owned(), uri.to_owned()));
    let juliet = "sip:montague@chat.example.org;gr=Juli%C3%A9tte%20C";
    for name in
        ["Juliette", "Юлия Капулетти", "J\u{fc}li \u{1F339}", "a \"b\" \\c", "<sip:x@y>", "朱麗葉", "\u{202e}teiluJ"]
    {
        let written = Address::new(Some(name), juliet).unwrap().to_string();
        assert_eq!(read(&written), some(name, juliet), "{written}");
    }
    assert_eq!(read(&format!("<{juliet};transport=tcp>")), some("", &format!("{juliet};transport=tcp")));
    // RFC 7702 §5.5.2 and §6.3 have it behind the bracket.
    let romeo = some("Romeo", "sip:capulet@rooms.example.com;gr=dr4hcr0st3lup4c");
    assert_eq!(read("\"Romeo\" <sip:capulet@rooms.example.com>;gr=dr4hcr0st3lup4c"), romeo);
    for bad in [
        "<sip:a@b>;tag=1",
        "<sip:a@b>;gr",
        "<sip:a@b>;gr=",
        "<sip:a@b>;gr=1;x",
        "<sip:a@b>x",
        "<sip:a@b;gr=2>;gr=1",
        "<sip:a@b?x=y>;gr=1",
        "<sip:a@b>;gr=<>",
    ] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

#[test]
fn everything_is_bounded() {
    let big = |headers: String| matches!(parse(&format!("{FROM}{headers}")), Err(Error::TooBig { .. }));
    assert!(!big("X: y\r\n".repeat(2047)));
    assert!(big("X: y\r\n".repeat(2048)));
    assert!(big(format!("X: {}\r\n", "y".repeat(131_072))));
    assert!(big((0..33).map(|i| format!("NS: p{i} <urn:x>\r\n")).collect()));
    assert!(big(format!("NS: p <urn:{}>\r\n", "x".repeat(300))));
    assert!(big(format!("X:{} y\r\n", ";a=b".repeat(17))));
    let small = Limits { bytes: 40, ..Limits::default() };
    assert!(matches!(Message::parse(&[b'x'; 41], &small), Err(Error::TooBig { limit: 40, .. })));
}

fn any_address() -> impl Strategy<Value = Address> {
    (proptest::option::of("\\PC{0,12}|[ -~]{0,12}"), "[a-z]{2,5}:[!#-;=?-\\[\\]-~]{1,20}")
        .prop_map(|(name, uri)| Address::new(name.as_deref(), &uri).unwrap())
}

proptest! {
    #[test]
    fn what_prints_parses_back(
        from in any_address(), to in proptest::collection::vec(any_address(), 0..3), at in proptest::option::of(0i64..4_000_000_000),
        subjects in proptest::collection::vec((proptest::option::of("[a-z]{2}(-[A-Z]{2})?"), any::<String>()), 0..3),
        others in proptest::collection::vec(("[a-z]{1,3}", "[A-Za-z-]{1,8}", any::<String>()), 0..4),
        body: Vec<u8>,
    ) {
        let mut m = Message::new(from, Part::new(ContentType::new("text", "plain"), body));
        m = to.iter().fold(m, Message::with_to).with_namespace("a", "urn:x:a").with_namespace("b", "urn:ietf:params:imdn");
        m = subjects.iter().fold(m, |m, (lang, text)| m.with_subject(lang.as_deref(), text));
        m = at.iter().fold(m, |m, at| m.with_date_time(Timestamp::from_unix(*at).unwrap()));
        m = others.iter().fold(m, |m, (p, n, v)| m.with_header(p, n, v));
        let bytes = m.to_bytes("b").unwrap();
        let read = Message::parse(&bytes, &Limits::default()).unwrap();
        prop_assert_eq!(&read, &m);
        prop_assert!(read.subjects().all(|(_, s)| !s.contains(|c: char| c.is_control())));
    }

    #[test]
    fn anything_may_come(pieces in proptest::collection::vec(prop_oneof![
        Just("From: "), Just("<sip:a@x>"), Just("\r\n"), Just("\r\n\r\n"), Just("NS: "), Just("a "), Just("a."), Just("Content-Type: text/plain"),
        Just("\\"), Just("\""), Just(";lang="), Just("Subject:"), Just(" "), Just("\u{e9}"), Just("Require: "), Just("urn:x"), Just("<"), Just(">"),
    ], 0..30), sane: bool) {
        let text = pieces.concat();
        let text = if sane { format!("{FROM}{text}\r\n{TEXT}") } else { text };
        if let Ok(m) = Message::parse(text.as_bytes(), &Limits::default()) {
            let bytes = m.to_bytes("b").unwrap();
            prop_assert_eq!(Message::parse(&bytes, &Limits::default()).unwrap(), m);
        }
    }

    #[test]
    fn any_bytes_may_come(bytes: Vec<u8>) {
        let _ = Message::parse(&bytes, &Limits::default());
    }
}
