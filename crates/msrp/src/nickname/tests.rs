use super::*;
use crate::frame::Method;
use crate::uri::Path;
use proptest::prelude::*;

fn asked(values: &[&str]) -> Option<Result<Str, Syntax>> {
    let path = Path::parse("msrp://192.0.2.10:2855/peer;tcp").unwrap();
    let mut request = Request::new("tid1", Method::Nickname, path.clone(), path);
    request.headers = values.iter().map(|value| (Str::from("use-nickname"), Str::from(*value))).collect();
    request.nickname()
}

#[test]
fn the_rfcs_own() {
    assert_eq!(asked(&["\"Alice the great\""]), Some(Ok("Alice the great".into())));
    assert_eq!(quote("Alice in Wonderland").as_deref(), Some("\"Alice in Wonderland\""));
}

/// §7.3: an empty one takes the nickname away.
#[test]
fn empty_is_not_absent() {
    assert_eq!(asked(&["\"\""]), Some(Ok("".into())));
    assert_eq!(asked(&[]), None);
    assert_eq!(quote("").as_deref(), Some("\"\""));
}

#[test]
fn quotes_and_backslashes_alone_are_escaped() {
    assert_eq!(quote(r#"a"b\c"#).as_deref(), Some(r#""a\"b\\c""#));
    assert_eq!(unquote(r#""a\"b\\c""#).as_deref(), Ok(r#"a"b\c"#));
    assert_eq!(unquote("\"Юлия\tй\"").as_deref(), Ok("Юлия\tй"));
    for bad in [
        "",
        "\"",
        "Juliet",
        "\"Juliet",
        "Juliet\"",
        r#""a"b""#,
        r#""a\""#,
        r#""a\b""#,
        r#""a\\\""#,
        "'a'",
        "\"a\r\n\"",
        "\"\0\"",
    ] {
        assert_eq!(unquote(bad), Err(Syntax("bad nickname")), "{bad:?}");
    }
}

/// Which of the two would hold, nobody knows.
#[test]
fn two_are_none() {
    assert_eq!(asked(&["\"a\"", "\"b\""]), Some(Err(Syntax("two nicknames"))));
}

/// §7.1: octets and not characters, of the nickname and not of how it is written.
#[test]
fn the_longest_has_1023_octets() {
    for longest in ["x".repeat(1023), "\"".repeat(1023), format!("x{}", "й".repeat(511))] {
        let quoted = quote(&longest).unwrap();
        assert_eq!(unquote(&quoted).as_deref(), Ok(longest.as_str()));
        assert_eq!(quote(&format!("{longest}x")), None);
        assert!(unquote(&format!("{}x\"", &quoted[..quoted.len() - 1])).is_err());
    }
}

proptest! {
    #[test]
    fn what_is_quoted_reads_back(nickname in "\\PC{0,300}") {
        prop_assert_eq!(unquote(&quote(&nickname).unwrap()), Ok(Str::from(nickname)));
    }

    #[test]
    fn what_reads_is_written_the_same(value in "\"([ -~й]|\\\\[\"\\\\]){0,20}\"") {
        if let Ok(nickname) = unquote(&value) {
            prop_assert_eq!(quote(&nickname), Some(Str::from(value)));
        }
    }

    #[test]
    fn lines_are_never_broken(nickname in any::<String>()) {
        if let Some(quoted) = quote(&nickname) {
            prop_assert!(!quoted.contains(['\r', '\n', '\0']));
        }
    }
}
