use super::*;
use proptest::prelude::*;

fn nick(text: &str) -> Nickname {
    Nickname::parse(text).unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

#[test]
fn the_examples_of_the_rfc() {
    // RFC 8266 §3, table 1: nickname, output for comparison.
    for (name, key) in [
        ("Foo", "foo"),
        ("foo", "foo"),
        ("Foo Bar", "foo bar"),
        ("foo bar", "foo bar"),
        ("Σ", "σ"),
        ("σ", "σ"),
        ("ς", "ς"),
        ("\u{3d4}", "\u{3cb}"),
        ("∞", "∞"),
        ("Richard \u{2163}", "richard iv"),
    ] {
        assert_eq!(nick(name).key(), key, "{name}");
    }
    assert!(nick("Σ").resembles(&nick("σ")) && !nick("Σ").resembles(&nick("ς")));
    assert!(!nick("stpeter").resembles(&nick("st peter")));
}

#[test]
fn what_enforcement_makes() {
    for (text, expected) in [
        ("stpeter ", "stpeter"),
        ("  St   Peter", "St Peter"),
        ("St\u{3000}\u{a0}Peter\u{2003}", "St Peter"),
        ("Richard \u{2163}", "Richard IV"),
        ("Ｊｕｌｉｅｔ", "Juliet"),
        ("e\u{301}", "é"),
        ("Romeo/Montague @ \"home\" <&>", "Romeo/Montague @ \"home\" <&>"),
        ("ᚲᛟᚺᛖᚾ", "ᚲᛟᚺᛖᚾ"),
        // Not in the tables of Unicode 6.3, and in every room.
        ("🥸 disguised", "🥸 disguised"),
    ] {
        let nick = nick(text);
        assert_eq!(nick.as_str(), expected, "{text:?}");
        assert_eq!(Nickname::parse(nick.as_str()), Ok(nick.clone()), "{text:?}");
        let jid = Jid::new(Some("room"), "muc.example.com", Some(nick.as_str())).expect("an address");
        assert_eq!(jid.resource(), Some(nick.as_str()), "{text:?}");
    }
}

#[test]
fn what_is_no_nickname() {
    for (text, expected) in [
        ("", Unfit::Empty),
        ("   ", Unfit::Empty),
        ("\u{3000}\u{a0}", Unfit::Empty),
        ("a\tb", Unfit::Forbidden),
        ("a\u{7f}", Unfit::Forbidden),
        ("line\u{2028}break", Unfit::Forbidden),
        ("\u{200e}left", Unfit::Forbidden),
        ("\u{202e}right", Unfit::Forbidden),
        ("\u{e000}", Unfit::Forbidden),
        ("ᄀ", Unfit::Forbidden),
    ] {
        assert_eq!(Nickname::parse(text), Err(expected), "{text:?}");
    }
    assert_eq!(nick(&"a".repeat(1023)).as_str().len(), 1023);
    assert_eq!(Nickname::parse(&"a".repeat(1024)), Err(Unfit::TooLong));
    assert_eq!(Nickname::parse(&"é".repeat(512)), Err(Unfit::TooLong));
    assert_eq!(Nickname::parse(&"é".repeat(1 << 20)), Err(Unfit::TooLong));
    // One character that is eighteen.
    assert_eq!(Nickname::parse(&"\u{fdfa}".repeat(300)), Err(Unfit::TooLong));
    assert_eq!(nick(&format!("{}a", " ".repeat(1 << 20))).as_str(), "a");
}

#[test]
fn how_sip_users_are_called() {
    for (display, user, expected) in [
        (Some("Romeo Montague"), "romeo", "Romeo Montague"),
        (Some("  "), "romeo", "romeo"),
        (Some("\u{1}"), "romeo", "romeo"),
        (None, "+12125551212", "+12125551212"),
        (None, "\u{200e}romeo\r\n", "romeo"),
        (None, "\r\n", "guest"),
        (None, "", "guest"),
    ] {
        assert_eq!(Nickname::of_user(display, user).as_str(), expected, "{display:?} {user:?}");
    }
    assert_eq!(Nickname::of_user(None, &"é".repeat(1000)).as_str(), "é".repeat(511));
}

#[test]
fn many_of_one_name() {
    let romeo = nick("Romeo");
    assert_eq!(romeo.variant(0), romeo);
    assert_eq!(romeo.variant(1), romeo);
    assert_eq!(romeo.variant(2).as_str(), "Romeo (2)");
    assert_eq!(romeo.variant(2).variant(3).as_str(), "Romeo (3)");
    for kept in ["Romeo (1)", "Romeo (02)", "Romeo (x)", "Romeo(2)", "(2)", "Romeo (99999999999)"] {
        assert_eq!(nick(kept).variant(2).as_str(), format!("{kept} (2)"));
    }
    let long = nick(&format!("{}é", "a".repeat(1021))).variant(1000);
    assert_eq!(long.as_str(), format!("{} (1000)", "a".repeat(1016)));
    let long = nick(&"é".repeat(511)).variant(10);
    assert_eq!(long.as_str(), format!("{} (10)", "é".repeat(509)));
    let mut taken: Vec<Nickname> = Vec::new();
    for _ in 0..4 {
        let free = romeo.free(4, |n| taken.iter().any(|t| t.resembles(n))).expect("one is free");
        taken.push(free);
    }
    let names: Vec<_> = taken.iter().map(Nickname::as_str).collect();
    assert_eq!(names, ["Romeo", "Romeo (2)", "Romeo (3)", "Romeo (4)"]);
    assert_eq!(nick("ROMEO").free(4, |n| taken.iter().any(|t| t.resembles(n))), None);
    assert_eq!(romeo.free(0, |_| false), None);
}

proptest! {
    #[test]
    fn what_is_one_stays_one(text in "\\PC{0,20}|.{0,20}|[ -~\u{a0}\u{3000}\u{2163}Ａ-Ｚ]{0,12}", n in 0u32..200) {
        if let Ok(nick) = Nickname::parse(&text) {
            prop_assert!(!nick.as_str().is_empty() && nick.as_str().len() <= MAX_OCTETS);
            prop_assert_eq!(Nickname::parse(nick.as_str()), Ok(nick.clone()));
            let jid = Jid::new(Some("r"), "example.com", Some(nick.as_str())).expect("an address");
            prop_assert_eq!(jid.resource(), Some(nick.as_str()));
            prop_assert!(nick.resembles(&nick));
            let variant = nick.variant(n);
            prop_assert_eq!(Nickname::parse(variant.as_str()), Ok(variant));
        }
        let user = Nickname::of_user(Some(&text), &text);
        prop_assert_eq!(Nickname::parse(user.as_str()), Ok(user));
    }

    #[test]
    fn ascii_goes_the_long_way_as_well(text in "[ -~]{0,20}") {
        // The short way for ASCII says what the crate says.
        use precis_profiles::precis_core::profile::Profile as _;
        let ours = Nickname::parse(&text).ok();
        let theirs = Profile::new().enforce(text.as_str()).ok();
        prop_assert_eq!(ours.as_ref().map(Nickname::as_str), theirs.as_deref());
        if let Some(ours) = ours {
            prop_assert!(Profile::new().compare(ours.as_str(), ours.key().as_str()).unwrap());
        }
    }
}
