use super::*;
use crate::mime::Disposition;
use crate::part::Content;
use proptest::prelude::*;

fn mixed() -> ContentType {
    content_type("mixed", "b")
}

fn read(body: &str) -> Result<Vec<Part>, Error> {
    parse(&mixed(), body.as_bytes(), &Limits::default())
}

#[test]
fn parts_between_preamble_and_epilogue() {
    let parts = read(
        "preamble --b\r\n--b \t\r\nContent-Type: text/html;\r\n charset=utf-8\r\nContent-Language: fr\r\nX-Y:  z \r\n\
         Content-Disposition: render; handling=optional\r\nContent-Length: 999\r\n\r\n<b>h</b>\r\n--bc is text\r\n--b-\r\n\
         --b\r\n\r\nplain\r\n\r\n--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\nSGk=\r\n--b-- \r\n--b\r\n",
    )
    .unwrap();
    assert_eq!(parts.len(), 3);
    assert_eq!(parts[0].content_type.to_string(), "text/html;charset=utf-8");
    assert_eq!(parts[0].language.as_deref(), Some("fr"));
    assert!(parts[0].disposition.as_ref().unwrap().is_optional());
    assert_eq!(parts[0].headers, [("X-Y".into(), "z".into())]);
    assert_eq!(parts[0].text().unwrap(), "<b>h</b>\r\n--bc is text\r\n--b-");
    assert_eq!(parts[1].content_type.to_string(), "text/plain;charset=us-ascii");
    assert_eq!(parts[1].body(), b"plain\r\n");
    assert_eq!(parts[2].body(), b"Hi");
}

#[test]
fn empty_parts_and_a_body_that_ends_with_the_delimiter() {
    let parts = read("--b\r\n--b\r\n\r\n--b\r\nContent-Type: text/html\r\n--b--").unwrap();
    assert_eq!(parts.iter().map(|p| p.body().len()).collect::<Vec<_>>(), [0, 0, 0]);
    assert_eq!(parts[2].content_type.to_string(), "text/html");
}

#[test]
fn what_is_refused() {
    for (body, why) in [
        ("", "multipart without its closing delimiter"),
        ("--b\r\n\r\nx\r\n", "multipart without its closing delimiter"),
        ("--b\r\n\r\nx\r\n--b", "multipart without its closing delimiter"),
        ("--b\r\n\r\nx\n--b--\n", "multipart without its closing delimiter"),
        ("--b\r\n\r\nx\r\n--b--x", "multipart without its closing delimiter"),
        ("--b--", "multipart without parts"),
        ("--b\r\nno colon\r\n\r\n\r\n--b--", "part header without a colon"),
        ("--b\r\nX : y\r\n\r\n\r\n--b--", "bad name of a part header"),
        ("--b\r\n folded: first\r\n\r\n\r\n--b--", "bad name of a part header"),
        ("--b\r\nX: a\nY: b\r\n\r\n\r\n--b--", "control character in a part header"),
        ("--b\r\nX: a\rb\r\n\r\n\r\n--b--", "control character in a part header"),
        ("--b\r\nContent-Type: text\r\n\r\n\r\n--b--", "Content-Type without a subtype"),
        ("--b\r\nContent-Type: a/b\r\ncontent-type: c/d\r\n\r\n\r\n--b--", "part header given twice"),
        ("--b\r\nContent-Type: multipart/mixed\r\n\r\n\r\n--b--", "multipart without a boundary"),
        (
            "--b\r\nContent-Type: multipart/mixed;boundary=c\r\nContent-Transfer-Encoding: base64\r\n\r\n\r\n--b--",
            "encoded multipart",
        ),
    ] {
        assert_eq!(read(body), Err(Error::Malformed(why)), "{body:?}");
    }
    let none = ContentType::new("multipart", "mixed");
    assert_eq!(parse(&none, b"--b--", &Limits::default()), Err(Error::Malformed("multipart without a boundary")));
    let bad = none.with_param("boundary", "b\u{e9}");
    assert_eq!(parse(&bad, b"--b--", &Limits::default()), Err(Error::Malformed("bad boundary")));
}

#[test]
fn everything_is_bounded() {
    let part = "--b\r\n\r\nx\r\n";
    assert_eq!(read(&(part.repeat(32) + "--b--")).unwrap().len(), 32);
    assert_eq!(read(&(part.repeat(33) + "--b--")), Err(Error::TooBig { what: "parts in a multipart", limit: 32 }));

    let nest = |n: usize| {
        (0..n).fold("x".to_owned(), |inner, i| {
            let b = n - 1 - i;
            format!(
                "--{b}\r\nContent-Type: {}\r\n\r\n{inner}\r\n--{b}--",
                if i == 0 { "text/plain".into() } else { format!("multipart/mixed;boundary={}", b + 1) }
            )
        })
    };
    let outer = content_type("mixed", "0");
    assert!(parse(&outer, nest(4).as_bytes(), &Limits::default()).is_ok());
    assert_eq!(
        parse(&outer, nest(5).as_bytes(), &Limits::default()),
        Err(Error::TooBig { what: "multiparts within each other", limit: 4 })
    );

    let headers = |n: usize| format!("--b\r\n{}\r\n\r\n--b--", "X: y\r\n".repeat(n));
    assert!(read(&headers(32)).is_ok());
    assert!(matches!(read(&headers(33)), Err(Error::TooBig { limit: 32, .. })));
    assert!(matches!(
        read(&format!("--b\r\nX: {}\r\n\r\n\r\n--b--", "y".repeat(9000))),
        Err(Error::TooBig { limit: 8192, .. })
    ));
    let small = Limits { bytes: 10, ..Limits::default() };
    assert!(matches!(parse(&mixed(), &[0; 11], &small), Err(Error::TooBig { limit: 10, .. })));
}

#[test]
fn a_boundary_that_occurs_is_refused() {
    let part = Part::text_plain("look:\r\n--tok\r\n");
    assert_eq!(write(std::slice::from_ref(&part), "tok"), None);
    assert!(write(&[part], "other").is_some());
    assert_eq!(write(&[], "tok"), None);
    assert_eq!(write(&[Part::text_plain("x")], "a\r\nb"), None);
}

#[test]
fn a_header_of_ours_cannot_inject() {
    let mut part = Part::text_plain("x");
    part.headers = vec![
        ("X".into(), "a\r\nContent-Type: b/c".into()),
        ("Bad name".into(), "v".into()),
        ("content-TYPE".into(), "d/e".into()),
    ];
    let out = String::from_utf8(write(&[part], "tok").unwrap()).unwrap();
    assert_eq!(
        out,
        "--tok\r\nContent-Type: text/plain;charset=utf-8\r\nX: a  Content-Type: b/c\r\n\r\nx\r\n--tok--\r\n"
    );
}

fn any_part() -> impl Strategy<Value = Part> {
    let head =
        ("[a-z]{1,5}", "[a-z]{1,5}", proptest::option::of("[a-z]{2}(, [a-z]{2})?"), proptest::option::of("[a-z]{1,6}"));
    let headers = proptest::collection::vec(("X-[a-z]{1,5}", "([!-~é]([ -~é]{0,10}[!-~])?)?"), 0..3);
    let leaf = (head, headers, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(
        |((t, s, language, disposition), headers, body)| {
            let mut part = Part::new(ContentType::new(&t, &s).with_param("charset", "utf-8"), body);
            part.language = language.map(Into::into);
            part.disposition = disposition.map(|d| Disposition::new(&d));
            part.headers = headers.into_iter().map(|(n, v)| (n.into(), v.into())).collect();
            part
        },
    );
    leaf.prop_recursive(3, 20, 4, |inner| {
        proptest::collection::vec(inner, 1..4).prop_map(|parts| {
            let mut part = Part::new(ContentType::new("multipart", "alternative"), []);
            part.content = Content::Parts(parts);
            part
        })
    })
}

proptest! {
    #[test]
    fn what_prints_parses_back(parts in proptest::collection::vec(any_part(), 1..5)) {
        let bytes = write(&parts, "T0ken").unwrap();
        let limits = Limits { parts: 1000, ..Limits::default() };
        prop_assert_eq!(parse(&content_type("mixed", "T0ken"), &bytes, &limits).unwrap(), parts);
    }

    #[test]
    fn another_reader_sees_the_same(texts in proptest::collection::vec("[ -~\r\n]{0,40}", 1..5)) {
        let parts: Vec<Part> = texts.iter().map(|t| Part::text_plain(t)).collect();
        let mut mail = format!("Content-Type: {}\r\n\r\n", content_type("mixed", "T0ken")).into_bytes();
        mail.extend(write(&parts, "T0ken").unwrap());
        let mail = mailparse::parse_mail(&mail).unwrap();
        prop_assert_eq!(mail.subparts.len(), parts.len());
        for (theirs, ours) in mail.subparts.iter().zip(&parts) {
            prop_assert_eq!(theirs.ctype.mimetype.as_str(), "text/plain");
            // That reader is of two minds about line ends before a delimiter.
            let theirs = theirs.get_body_raw().unwrap();
            prop_assert_eq!(theirs.trim_ascii_end(), ours.body().trim_ascii_end());
        }
    }

    #[test]
    fn anything_may_come(pieces in proptest::collection::vec(prop_oneof![
        Just("--b"), Just("--"), Just("\r\n"), Just("\n"), Just("\r"), Just(" "), Just("Content-Type: "), Just("multipart/x;boundary=b"),
        Just("Content-Transfer-Encoding: base64\r\n"), Just("x: y"), Just("text/plain"), Just("\u{e9}"),
    ], 0..40)) {
        let body = pieces.concat();
        if let Ok(parts) = read(&body) && let Some(bytes) = write(&parts, "T0ken") {
            prop_assert_eq!(parse(&content_type("mixed", "T0ken"), &bytes, &Limits::default()).unwrap(), parts);
        }
    }

    #[test]
    fn any_bytes_may_come(bytes: Vec<u8>) {
        let _ = parse(&mixed(), &bytes, &Limits::default());
    }
}
