use super::*;
use proptest::prelude::*;

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

/// What arrives, and its three parts as they are kept.
type Good = (&'static str, Option<&'static str>, &'static str, Option<&'static str>);

const GOOD: &[Good] = &[
    // The shapes.
    ("sip.example", None, "sip.example", None),
    ("romeo@sip.example", Some("romeo"), "sip.example", None),
    ("romeo@sip.example/desk", Some("romeo"), "sip.example", Some("desk")),
    ("sip.example/desk", None, "sip.example", Some("desk")),
    // The first slash ends the domain, so what looks like a local part behind it is resource.
    ("sip.example/romeo@home", None, "sip.example", Some("romeo@home")),
    ("romeo@sip.example/a/b", Some("romeo"), "sip.example", Some("a/b")),
    ("romeo@sip.example//b@c", Some("romeo"), "sip.example", Some("/b@c")),
    // Case is mapped on the left, never in the resource.
    ("RoMeo@SIP.Example/Desk", Some("romeo"), "sip.example", Some("Desk")),
    ("ÉMILE@sip.example", Some("émile"), "sip.example", None),
    ("ΠΣ@sip.example", Some("πσ"), "sip.example", None),
    ("πς@sip.example", Some("πς"), "sip.example", None),
    ("straße@sip.example", Some("straße"), "sip.example", None),
    // Composed (NFC) and full-width forms meet their plain kin.
    ("e\u{301}mile@sip.example", Some("émile"), "sip.example", None),
    ("\u{ff32}omeo@sip.example", Some("romeo"), "sip.example", None),
    ("romeo@sip.example/e\u{301}", Some("romeo"), "sip.example", Some("é")),
    // A resource keeps its width, and its other spaces become plain ones (OpaqueString).
    ("romeo@sip.example/\u{ff32}", Some("romeo"), "sip.example", Some("\u{ff32}")),
    ("romeo@sip.example/a\u{2003}b", Some("romeo"), "sip.example", Some("a b")),
    ("romeo@sip.example/ a ", Some("romeo"), "sip.example", Some(" a ")),
    ("romeo@sip.example/♚ king", Some("romeo"), "sip.example", Some("♚ king")),
    // Younger than the PRECIS tables of Unicode 6.3: an emoji as a room name's nick, a letter of Adlam as a user.
    ("room@muc.example/🤗🥲", Some("room"), "muc.example", Some("🤗🥲")),
    ("\u{1e922}@sip.example", Some("\u{1e922}"), "sip.example", None),
    ("\u{1e900}@sip.example", Some("\u{1e922}"), "sip.example", None),
    ("Ꭰ@sip.example", Some("\u{ab70}"), "sip.example", None),
    // Characters of the table of SIP users that a local part may have as they are.
    ("!#$%()*+,-.;=?[\\]^_`{|}~@sip.example", Some("!#$%()*+,-.;=?[\\]^_`{|}~"), "sip.example", None),
    ("d\\27artagnan@sip.example", Some("d\\27artagnan"), "sip.example", None),
    // Joiners where the script asks for them.
    ("ක්\u{200d}ෂ@sip.example", Some("ක්\u{200d}ෂ"), "sip.example", None),
    ("אבג@sip.example", Some("אבג"), "sip.example", None),
    // Domains.
    ("a@sip.example.", Some("a"), "sip.example", None),
    ("a@localhost", Some("a"), "localhost", None),
    ("a@1.2.example", Some("a"), "1.2.example", None),
    ("a@xn--bcher-kva.example", Some("a"), "bücher.example", None),
    ("a@XN--BCHER-KVA.example", Some("a"), "bücher.example", None),
    ("a@BÜCHER.example", Some("a"), "bücher.example", None),
    ("a@faß.example", Some("a"), "faß.example", None),
    ("a@b\u{fc}cher\u{3002}example", Some("a"), "bücher.example", None),
    ("a@b\u{fc}cher.example\u{3002}", Some("a"), "bücher.example", None),
    ("a@192.0.2.7", Some("a"), "192.0.2.7", None),
    ("a@\u{ff11}92.0.2.7", Some("a"), "192.0.2.7", None),
    ("a@[2001:DB8:0::1]", Some("a"), "[2001:db8::1]", None),
    ("a@[::ffff:192.0.2.7]/r", Some("a"), "[::ffff:192.0.2.7]", Some("r")),
];

#[test]
fn what_is_an_address() {
    for &(text, local, domain, resource) in GOOD {
        let j = jid(text);
        assert_eq!((j.local(), j.domain(), j.resource()), (local, domain, resource), "{text:?}");
        assert_eq!(jid(&j.to_string()), j, "{text:?} prints as itself");
        assert_eq!(j.is_bare(), resource.is_none(), "{text:?}");
        assert_eq!(j.bare().to_string(), jid(text.split('/').next().unwrap()).to_string());
    }
}

#[test]
fn what_is_none() {
    use JidError::*;
    use Part::*;
    let bad: &[(&str, JidError)] = &[
        ("", Empty(Domain)),
        ("@", Empty(Domain)),
        ("/", Empty(Domain)),
        ("@sip.example", Empty(Local)),
        ("romeo@", Empty(Domain)),
        ("romeo@/desk", Empty(Domain)),
        ("/desk", Empty(Domain)),
        ("romeo@sip.example/", Empty(Resource)),
        ("a@b@sip.example", Forbidden(Domain, '@')),
        ("a b@sip.example", Forbidden(Local, ' ')),
        ("a\u{a0}b@sip.example", Forbidden(Local, '\u{a0}')),
        ("a\0b@sip.example", Forbidden(Local, '\0')),
        ("a\u{7f}b@sip.example", Forbidden(Local, '\u{7f}')),
        ("a\u{85}b@sip.example", Forbidden(Local, '\u{85}')),
        ("a\u{feff}b@sip.example", Forbidden(Local, '\u{feff}')),
        ("a\u{ad}b@sip.example", Forbidden(Local, '\u{ad}')),
        ("a\u{200d}b@sip.example", Forbidden(Local, '\u{200d}')),
        ("a\u{fffe}b@sip.example", Forbidden(Local, '\u{fffe}')),
        ("a\u{e000}b@sip.example", Forbidden(Local, '\u{e000}')),
        ("a\u{1fadf}b@sip.example", Forbidden(Local, '\u{1fadf}')),
        ("Ⅳ@sip.example", Forbidden(Local, 'Ⅳ')),
        ("♚@sip.example", Forbidden(Local, '♚')),
        // A full-width ampersand is one after width mapping; a symbol that only composition makes is one, too.
        ("a\u{ff06}b@sip.example", Forbidden(Local, '&')),
        ("a=\u{338}b@sip.example", Forbidden(Local, '\u{2260}')),
        ("אa@sip.example", Directionality(Local)),
        ("romeo@sip.example/a\nb", Forbidden(Resource, '\n')),
        ("romeo@sip.example/é\u{1b}", Forbidden(Resource, '\u{1b}')),
        ("romeo@sip.example/\u{202e}", Forbidden(Resource, '\u{202e}')),
        ("romeo@sip.example/\u{e0fff}", Forbidden(Resource, '\u{e0fff}')),
        ("a@sip_example", Forbidden(Domain, '_')),
        ("a@sip example", Forbidden(Domain, ' ')),
        ("a@sip..example", BadDomain("empty label")),
        ("a@sip.example..", BadDomain("empty label")),
        ("a@.", BadDomain("empty label")),
        ("a@-sip.example", BadDomain("label starts or ends with a hyphen")),
        ("a@sip-.example", BadDomain("label starts or ends with a hyphen")),
        ("a@127.1", BadDomain("bad IPv4 address")),
        ("a@0177.0.0.1", BadDomain("bad IPv4 address")),
        ("a@2130706433", BadDomain("bad IPv4 address")),
        ("a@256.0.0.1", BadDomain("bad IPv4 address")),
        ("a@2001:db8::1", Forbidden(Domain, ':')),
        ("a@[2001:db8::1", BadDomain("bad IPv6 literal")),
        ("a@[fe80::1%25eth0]", BadDomain("bad IPv6 literal")),
        ("a@[192.0.2.7]", BadDomain("bad IPv6 literal")),
        ("a@[v1.x]", BadDomain("bad IPv6 literal")),
        ("a@xn--\u{fc}.example", BadDomain("no IDNA name")),
        ("a@xn--a.example", BadDomain("no IDNA name")),
        ("a@xn--99999999zzzz.example", BadDomain("no IDNA name")),
        ("a@\u{1f}é.example", BadDomain("no IDNA name")),
    ];
    for (text, why) in bad {
        assert_eq!(Jid::parse(text).as_ref(), Err(why), "{text:?}");
    }
}

#[test]
fn parts_are_bounded_after_mapping() {
    let n = |c: &str, n| c.repeat(n);
    assert_eq!(jid(&format!("{}@a.example", n("A", 1023))).local(), Some(n("a", 1023).as_str()));
    let too_long = |part| Err(JidError::TooLong(part));
    assert_eq!(Jid::parse(&format!("{}@a.example", n("a", 1024))), too_long(Part::Local));
    // 3069 octets that map to 1023, then 3072 that map to 1024.
    assert_eq!(jid(&format!("{}@a.example", n("\u{ff41}", 1023))).local(), Some(n("a", 1023).as_str()));
    assert_eq!(Jid::parse(&format!("{}@a.example", n("\u{ff41}", 1024))), too_long(Part::Local));
    assert_eq!(Jid::parse(&format!("{}@a.example", n("é", 512))), too_long(Part::Local));
    assert!(Jid::parse(&format!("a.example/{}", n("r", 1023))).is_ok());
    assert_eq!(Jid::parse(&format!("a.example/{}", n("r", 1024))), too_long(Part::Resource));
    assert_eq!(Jid::parse(&format!("a.example/{}", n("é", 512))), too_long(Part::Resource));
    assert_eq!(Jid::parse(&n("a.", 1000)), too_long(Part::Domain));
    assert!(domain(&format!("{}.example", n("a", 63))).is_ok());
    assert_eq!(domain(&format!("{}.example", n("a", 64))), Err(JidError::BadDomain("label longer than 63 octets")));
    assert_eq!(domain(&n("a.", 127)).unwrap().len(), 253);
    assert_eq!(domain(&n("ab.", 90)), Err(JidError::TooLong(Part::Domain)));
    // 62 octets of U-label, whose A-label is longer than DNS allows.
    assert_eq!(domain(&format!("{}.example", n("éa", 40))), Err(JidError::BadDomain("too long for DNS")));
}

#[test]
fn joiners_and_their_kin_are_counted() {
    let digits = |n| format!("a.example/{}", "\u{661}".repeat(n));
    assert_eq!(jid(&digits(128)).resource().map(str::len), Some(256));
    assert_eq!(Jid::parse(&digits(129)), Err(JidError::Forbidden(Part::Resource, '\u{661}')));
    // Two kinds of digits do not mix, also where something new stands between them.
    assert_eq!(Jid::parse("a.example/\u{661}\u{6f1}"), Err(JidError::Forbidden(Part::Resource, '\u{661}')));
    assert_eq!(jid("a.example/\u{661}🥲").resource(), Some("\u{661}🥲"));
    assert_eq!(Jid::parse("a.example/🥲\u{200d}a"), Err(JidError::Forbidden(Part::Resource, '\u{200d}')));
}

#[test]
fn domains_go_to_dns_and_back() {
    for (unicode, ascii) in [
        ("sip.example", "sip.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("例え.example", "xn--r8jz45g.example"),
        ("192.0.2.7", "192.0.2.7"),
        ("[2001:db8::1]", "[2001:db8::1]"),
    ] {
        assert_eq!(domain_to_ascii(unicode).unwrap(), ascii);
        assert_eq!(domain(ascii).unwrap(), unicode);
    }
}

#[test]
fn addresses_compare_by_their_parts() {
    assert_eq!(jid("Romeo@SIP.example/x"), jid("romeo@sip.example./x"));
    assert_ne!(jid("romeo@sip.example/x"), jid("romeo@sip.example/X"));
    assert!(jid("romeo@sip.example/x").same_bare(&jid("romeo@sip.example")));
    assert!(!jid("romeo@sip.example").same_bare(&jid("sip.example")));
    assert!(!jid("romeo@sip.example").same_bare(&jid("romeo@sip.example.org")));
    assert_eq!(jid("romeo@sip.example/x").with_resource("y").unwrap(), jid("romeo@sip.example/y"));
    assert_eq!(jid("romeo@sip.example").with_resource(""), Err(JidError::Empty(Part::Resource)));
    assert_eq!("romeo@sip.example".parse::<Jid>().unwrap(), jid("romeo@sip.example"));
    assert_eq!(format!("{:?}", jid("a@b/\u{202f}")), r#"Jid("a@b/ ")"#);
}

#[test]
fn what_an_older_server_would_fold_is_known() {
    for stable in ["romeo@sip.example", "émile@sip.example", "a@bücher.example", "例@sip.example", "a@b.example/ß"]
    {
        assert!(jid(stable).is_stringprep_stable(), "{stable}");
    }
    for unstable in ["straße@sip.example", "πς@sip.example", "ᾳ@sip.example", "ක්\u{200d}ෂ@sip.example", "a@faß.example"]
    {
        assert!(!jid(unstable).is_stringprep_stable(), "{unstable}");
    }
}

#[test]
fn user_names_of_other_protocols_fold() {
    for (text, folded) in [
        ("Romeo", "romeo"),
        ("\u{ff32}\u{ff4f}meo", "romeo"),
        ("E\u{301}mile", "émile"),
        ("\u{ff3c}2F/", "\\2f/"),
        ("<\u{338}", "\u{226e}"),
    ] {
        assert_eq!(username_fold(text), folded);
    }
    assert_eq!(width_map("\u{ff32}\u{ff3c}é/"), "R\\é/");
}

proptest! {
    #[test]
    fn anything_is_an_address_or_an_error(text in "\\PC{0,40}|[a-z@/.\\[\\]:\u{0}-\u{20}\u{ff01}-\u{ff5e}\u{300}-\u{345}]{0,30}") {
        if let Ok(j) = Jid::parse(&text) {
            let again = Jid::parse(&j.to_string());
            prop_assert_eq!(again.as_ref(), Ok(&j), "{:?} is stable", text);
            let ascii = domain_to_ascii(j.domain()).unwrap();
            prop_assert!(ascii.is_ascii());
            prop_assert_eq!(domain(&ascii).unwrap(), j.domain());
        }
    }

    #[test]
    fn the_short_way_and_the_long_way_agree(text in "[ -~]{1,24}") {
        // One letter more takes the same text the long way round.
        let long = format!("é{text}");
        let expected = Jid::new(Some(&text), "a.example", Some(&text));
        let got = Jid::new(Some(&long), "a.example", Some(&long));
        match (expected, got) {
            (Ok(short), Ok(long)) => {
                prop_assert_eq!(Some(format!("é{}", short.local().unwrap())), long.local().map(String::from));
                prop_assert_eq!(Some(format!("é{}", short.resource().unwrap())), long.resource().map(String::from));
            }
            (short, long) => prop_assert!(short.is_err() && long.is_err()),
        }
    }
}
