//! Records of accounts. How phones register is shown with the whole gateway around it.

use super::*;
use base::digest::Secret;

#[test]
fn an_account_is_no_password() {
    let account = Account::new("romeo", "example.net", "Caramba!", &Algorithm::ALL).unwrap();
    let text = String::from_utf8(account.to_bytes()).unwrap();
    assert!(!text.contains("Caramba") && text.contains("\"user\":\"romeo\""), "{text}");
    assert!(!format!("{account:?}").contains("romeo"));
    assert_eq!(Account::parse(text.as_bytes()).unwrap(), account);
    for algorithm in Algorithm::ALL {
        assert_eq!(account.secret(algorithm), Some(Secret::new(algorithm, "romeo", "example.net", "Caramba!")));
    }
    let one = Account::new("romeo", "example.net", "x", &[Algorithm::Md5]).unwrap();
    assert_eq!((one.secret(Algorithm::Sha256), one.algorithms().collect::<Vec<_>>()), (None, vec!["MD5"]));
    for (user, realm, password) in [
        ("", "r", "p"),
        ("a:b", "r", "p"),
        ("a\"b", "r", "p"),
        ("a", "", "p"),
        ("a", "r\\", "p"),
        ("a", "r", ""),
        ("a", "r", "p\n"),
    ] {
        assert!(Account::new(user, realm, password, &Algorithm::ALL).is_err(), "{user} {realm} {password}");
    }
    for broken in [
        "",
        "{}",
        "[]",
        r#"{"user":"a","realm":"r","secrets":{}}"#,
        r#"{"user":"a","realm":"r","secrets":{"MD5":"x"}}"#,
    ] {
        assert!(Account::parse(broken.as_bytes()).is_err(), "{broken}");
    }
}

/// The name that somebody logs in by is the user part of the address, decoded.
#[test]
fn who_logs_in_is_found() {
    for (name, account) in [
        ("romeo", "romeo@example.net"),
        ("Romeo", "romeo@example.net"),
        ("o'malley", "o\\27malley@example.net"),
        ("+49301234", "+49301234@example.net"),
    ] {
        assert_eq!(account_of(name, "example.net").unwrap().to_string(), account);
    }
    assert_eq!(account_of("romeo", "m\u{fc}nchen.example").unwrap().to_string(), "romeo@m\u{fc}nchen.example");
    assert_eq!(realm_of("m\u{fc}nchen.example"), "xn--mnchen-3ya.example");
    assert_eq!(account_of("", "example.net").and_then(|jid| jid.local().map(str::to_owned)), None);
    let uri = SipUri::parse("sip:o%27malley@example.net").unwrap();
    assert_eq!(user_of(&uri).as_deref(), Some("o'malley"));
    let jid = Jid::parse("o\\27malley@example.net").unwrap();
    assert_eq!(jid_of(&account_uri(&jid).unwrap()), Some(jid));
}
