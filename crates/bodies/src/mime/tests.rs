use super::*;
use proptest::prelude::*;

#[test]
fn types_and_parameters_compare_without_case() {
    let ct = ContentType::parse("Text/HTML ; Charset=\"ISO-8859-1\"; format=flowed").unwrap();
    assert!(ct.is("text", "html"));
    assert_eq!(ct.charset(), Some("ISO-8859-1"));
    assert_eq!(ct.to_string(), "text/html;charset=ISO-8859-1;format=flowed");
}

#[test]
fn quoted_values_are_unquoted_and_quoted_again() {
    let ct = ContentType::parse(r#"multipart/mixed; boundary="a b\"c\\d""#).unwrap();
    assert_eq!(ct.boundary(), Some(r#"a b"c\d"#));
    assert_eq!(ct.to_string(), r#"multipart/mixed;boundary="a b\"c\\d""#);
}

#[test]
fn comments_nest_and_are_dropped() {
    let ct = ContentType::parse("text/plain; charset=us-ascii (plain (really) text)").unwrap();
    assert_eq!(ct.to_string(), "text/plain;charset=us-ascii");
}

#[test]
fn an_unquoted_slash_and_a_last_semicolon_are_forgiven() {
    let ct = ContentType::parse("multipart/signed; protocol=application/pkcs7-signature;").unwrap();
    assert_eq!(ct.param("protocol"), Some("application/pkcs7-signature"));
}

#[test]
fn what_is_refused() {
    for bad in [
        "",
        "text",
        "text/",
        "/plain",
        "text/plain charset=x",
        "text/plain; charset",
        "text/plain; charset=",
        "text/plain; charset=a; CHARSET=b",
        "text/plain; x=\"open",
        "text/plain (open",
        "text/plain\r\nX: y",
        "text/plain; x=\"a\0b\"",
        "text/plain; x=\"\\",
    ] {
        assert!(matches!(ContentType::parse(bad), Err(Error::Malformed(_))), "{bad:?}");
    }
    let many: String = (0..17).map(|i| format!("; p{i}=x")).collect();
    assert!(matches!(ContentType::parse(&format!("text/plain{many}")), Err(Error::TooBig { .. })));
    assert!(matches!(ContentType::parse(&"x".repeat(3000)), Err(Error::TooBig { .. })));
}

#[test]
fn a_value_of_ours_cannot_inject_a_header() {
    let ct = ContentType::new("text", "pl\r\nain").with_param("na\nme", "a\r\nX: y");
    assert_eq!(ct.to_string(), "text/pl__ain;na_me=\"a  X: y\"");
}

#[test]
fn dispositions() {
    let d = Disposition::parse("Session; Handling=Optional").unwrap();
    assert_eq!((d.kind(), d.is_optional()), ("session", true));
    assert!(!Disposition::new("notification").is_optional());
    assert_eq!(
        Disposition::new("attachment").with_param("filename", "a b.txt").to_string(),
        "attachment;filename=\"a b.txt\""
    );
}

proptest! {
    #[test]
    fn what_prints_parses_back(
        kind in "[a-z]{1,8}", sub in "[a-z+.-]{1,12}",
        params in proptest::collection::btree_map("[a-z*]{1,6}", "[ -~äß€😀]{0,20}", 0..6),
    ) {
        let mut ct = ContentType::new(&kind, &sub);
        for (n, v) in &params {
            ct = ct.with_param(n, v);
        }
        prop_assert_eq!(ContentType::parse(&ct.to_string()).unwrap(), ct);
    }

    #[test]
    fn anything_may_come(text in "\\PC{0,80}|[;=\"\\\\()a/ ]{0,60}") {
        if let Ok(ct) = ContentType::parse(&text) {
            prop_assert_eq!(ContentType::parse(&ct.to_string()).unwrap(), ct);
        }
        let _ = Disposition::parse(&text);
    }
}
