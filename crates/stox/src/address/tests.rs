use super::*;
use xmpp::jid::{JidError, Part};

fn options() -> Options {
    Options { phone_domain: Some(Str::const_new("phone.example")) }
}

fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap_or_else(|e| panic!("{text}: {e:?}"))
}

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn mapped(text: &str) -> Result<String, AddressError> {
    to_jid(&uri(text), &options()).map(|j| j.to_string())
}

fn back(text: &str) -> Result<String, AddressError> {
    to_uri(&jid(text), Scheme::Sip).map(|u| u.to_string())
}

/// A SIP URI, its XMPP address, and the URI that this one maps to where it is not the first.
const PAIRS: &[(&str, &str, Option<&str>)] = &[
    // RFC 7247 §6.4 and §6.5, the examples.
    ("sip:f%C3%BC@sip.example", "fü@sip.example", None),
    ("sip:o'malley@sip.example", r"o\27malley@sip.example", None),
    ("sip:foo@sip.example;gr=bar", "foo@sip.example/bar", None),
    ("sip:m&m@xmpp.example", r"m\26m@xmpp.example", None),
    ("sip:tsch%C3%BCss@xmpp.example", "tschüss@xmpp.example", None),
    ("sip:baz@xmpp.example;gr=qux", "baz@xmpp.example/qux", None),
    // Table 1: each character that a SIP user part may have as it is ...
    ("sip:a!b$c(d)e*f+g,h-i.j;k=l?m_n~o@sip.example", "a!b$c(d)e*f+g,h-i.j;k=l?m_n~o@sip.example", None),
    (r"sip:a&b'c/d@sip.example", r"a\26b\27c\2fd@sip.example", None),
    // ... and each that it may not. The steps of the RFC forget the first line's; `%` too is one of them.
    ("sip:a%22b%3Ac%3Cd%3Ee%40f%20g@sip.example", r"a\22b\3ac\3cd\3ee\40f\20g@sip.example", None),
    ("sip:a%23b%25c%5Bd%5Ce%5Df%5Eg%60h%7Bi%7Cj%7D@sip.example", r"a#b%c[d\e]f^g`h{i|j}@sip.example", None),
    // Decoding is done once.
    ("sip:cr%25zy@sip.example", "cr%zy@sip.example", None),
    ("sip:a%252Fb@sip.example", "a%2fb@sip.example", Some("sip:a%252fb@sip.example")),
    ("sip:%72omeo@sip.example", "romeo@sip.example", Some("sip:romeo@sip.example")),
    ("sip:a%3Fb@sip.example", "a?b@sip.example", Some("sip:a?b@sip.example")),
    // Two users stay two: a slash, a backslash with 2f behind it, and the same in upper case.
    ("sip:a%2Fb@sip.example", r"a\2fb@sip.example", Some("sip:a/b@sip.example")),
    ("sip:a%5C2fb@sip.example", r"a\5c2fb@sip.example", None),
    ("sip:a%5C2Fb@sip.example", r"a\5c2fb@sip.example", Some("sip:a%5C2fb@sip.example")),
    ("sip:a%5C5Cb@sip.example", r"a\5c5cb@sip.example", Some("sip:a%5C5cb@sip.example")),
    ("sip:a%5Cb@sip.example", r"a\b@sip.example", None),
    ("sip:a%5C@sip.example", r"a\@sip.example", None),
    // A full-width backslash is one (U+FF3C), and so are full-width digits behind it (U+FF12, U+FF26).
    ("sip:a%EF%BC%BC2fb@sip.example", r"a\5c2fb@sip.example", Some("sip:a%5C2fb@sip.example")),
    ("sip:a%5C%EF%BC%92%EF%BC%A6b@sip.example", r"a\5c2fb@sip.example", Some("sip:a%5C2fb@sip.example")),
    ("sip:a%EF%BC%8Fb@sip.example", r"a\2fb@sip.example", Some("sip:a/b@sip.example")),
    // Aliases, the documented ones: case, composition, width.
    ("sip:Romeo@sip.example", "romeo@sip.example", Some("sip:romeo@sip.example")),
    ("sip:e%CC%81@sip.example", "é@sip.example", Some("sip:%C3%A9@sip.example")),
    ("sip:%EF%BC%A1@sip.example", "a@sip.example", Some("sip:a@sip.example")),
    // A combining mark behind an escape that ends in a digit harms nothing.
    ("sip:a%3C%CC%B8@sip.example", "a\\3c\u{338}@sip.example", None),
    // What is not about who is left out.
    ("sip:romeo@SIP.example:5070;transport=tcp?Subject=x", "romeo@sip.example", Some("sip:romeo@sip.example")),
    ("sips:romeo@sip.example", "romeo@sip.example", Some("sip:romeo@sip.example")),
    ("sip:romeo@sip.example.", "romeo@sip.example", Some("sip:romeo@sip.example")),
    // GRUUs. A temporary one, or one that can be no resource, gives a bare address.
    ("sip:a@sip.example;gr=urn:uuid:f81d4fae-7dec", "a@sip.example/urn:uuid:f81d4fae-7dec", None),
    ("sip:a@sip.example;gr=/b%40c%20d%3B%25", "a@sip.example//b@c d;%", None),
    ("sip:a@sip.example;gr=%E2%99%9A", "a@sip.example/♚", None),
    ("sip:a@sip.example;GR=Desk", "a@sip.example/Desk", Some("sip:a@sip.example;gr=Desk")),
    ("sip:a@sip.example;gr", "a@sip.example", Some("sip:a@sip.example")),
    ("sip:a@sip.example;gr=%00", "a@sip.example", Some("sip:a@sip.example")),
    ("sip:a@sip.example;gr=a%0D%0AVia:x", "a@sip.example", Some("sip:a@sip.example")),
    ("sip:a@sip.example;gr=%FF", "a@sip.example", Some("sip:a@sip.example")),
    // Hosts.
    ("sip:sip.example", "sip.example", None),
    ("sip:sip.example;gr=x", "sip.example/x", None),
    ("sip:a@xn--bcher-kva.example", "a@bücher.example", None),
    ("sip:a@XN--BCHER-KVA.example", "a@bücher.example", Some("sip:a@xn--bcher-kva.example")),
    ("sip:a@192.0.2.7", "a@192.0.2.7", None),
    ("sip:a@[2001:DB8:0::7]:5060", "a@[2001:db8::7]", Some("sip:a@[2001:db8::7]")),
    // Other schemes.
    ("im:o'malley@sip.example", r"o\27malley@sip.example", Some("sip:o'malley@sip.example")),
    ("pres:romeo@sip.example?x=y", "romeo@sip.example", Some("sip:romeo@sip.example")),
    ("IM:a%2Fb@sip.example", r"a\2fb@sip.example", Some("sip:a/b@sip.example")),
    // Telephone numbers.
    ("tel:+1-555-(123).4567", "+15551234567@phone.example", Some("sip:+15551234567@phone.example")),
    ("tel:+15551234567;noifc", "+15551234567@phone.example", Some("sip:+15551234567@phone.example")),
    (
        "tel:+1555;npdi;rn=+1556;EXT=1-2;isub=AB",
        "+1555;isub=ab;ext=12@phone.example",
        Some("sip:+1555;isub=ab;ext=12@phone.example"),
    ),
    (
        "tel:7-042;phone-context=PBX.example",
        "7042;phone-context=pbx.example@phone.example",
        Some("sip:7042;phone-context=pbx.example@phone.example"),
    ),
    (
        "tel:911;phone-context=+1-2",
        "911;phone-context=+12@phone.example",
        Some("sip:911;phone-context=+12@phone.example"),
    ),
    (
        "tel:*%2321;phone-context=+1",
        "*#21;phone-context=+1@phone.example",
        Some("sip:*%2321;phone-context=+1@phone.example"),
    ),
    ("sip:+1-555-123;noifc@gw.example;user=phone", "+1555123@gw.example", Some("sip:+1555123@gw.example")),
    ("sip:70.42@gw.example;user=PHONE", "7042@gw.example", Some("sip:7042@gw.example")),
    // No number after all, or nobody said that it was one.
    ("sip:dead.beef@gw.example;user=phone", "dead.beef@gw.example", Some("sip:dead.beef@gw.example")),
    ("sip:+1-555@gw.example;user=ip", "+1-555@gw.example", Some("sip:+1-555@gw.example")),
];

#[test]
fn uris_map_to_addresses_and_back() {
    for &(sip, xmpp, again) in PAIRS {
        assert_eq!(mapped(sip).as_deref(), Ok(xmpp), "{sip}");
        assert_eq!(back(xmpp).as_deref(), Ok(again.unwrap_or(sip)), "{xmpp}");
    }
}

#[test]
fn what_has_no_xmpp_address() {
    let user = |c| AddressError::User(JidError::Forbidden(Part::Local, c));
    let host = |why| AddressError::Host(JidError::BadDomain(why));
    let cases: &[(&str, AddressError, u16)] = &[
        ("sip:romeo:secret@sip.example", AddressError::Password, 400),
        ("sip:romeo:@sip.example", AddressError::Password, 400),
        ("sip:a%00@sip.example", AddressError::Control('\0'), 400),
        ("sip:a%0D%0Ab@sip.example", AddressError::Control('\r'), 400),
        ("sip:a%7F@sip.example", AddressError::Control('\u{7f}'), 400),
        ("sip:a%C2%85@sip.example", AddressError::Control('\u{85}'), 400),
        // Overlong, a surrogate, beyond Unicode, cut short.
        ("sip:a%C0%AF@sip.example", AddressError::Encoding("UTF-8"), 400),
        ("sip:a%ED%A0%80@sip.example", AddressError::Encoding("UTF-8"), 400),
        ("sip:a%F5%80%80%80@sip.example", AddressError::Encoding("UTF-8"), 400),
        ("sip:a%C3@sip.example", AddressError::Encoding("UTF-8"), 400),
        ("sip:%20a@sip.example", AddressError::EdgeSpace, 404),
        ("sip:a%20@sip.example", AddressError::EdgeSpace, 404),
        ("sip:%E2%99%9A@sip.example", user('♚'), 404),
        ("sip:a%C2%A0b@sip.example", user('\u{a0}'), 404),
        ("sip:a%E2%80%8Bb@sip.example", user('\u{200b}'), 404),
        ("sip:%E2%85%A3@sip.example", user('Ⅳ'), 404),
        ("sip:%D7%90a@sip.example", AddressError::User(JidError::Directionality(Part::Local)), 404),
        // `/` and a dot above: the dot would compose with the f of `\2f`, to what the user `\2ḟ` has.
        ("sip:a%2F%CC%87@sip.example", AddressError::LostEscape, 404),
        ("sip:a%3A%CC%81@sip.example", AddressError::LostEscape, 404),
        (r"sip:%5C5c%CC%A7@sip.example", AddressError::LostEscape, 404),
        ("sip:a_b@sip_x.example", AddressError::Host(JidError::Forbidden(Part::Domain, '_')), 404),
        ("sip:a@xn--a.example", host("no IDNA name"), 404),
        ("im:sip.example", AddressError::NoUser, 404),
        ("im:@sip.example", AddressError::User(JidError::Empty(Part::Local)), 404),
        ("im:a@b@sip.example", AddressError::Host(JidError::Forbidden(Part::Domain, '@')), 404),
        ("urn:service:sos", AddressError::Scheme(Str::const_new("urn")), 416),
        ("xmpp:romeo@sip.example", AddressError::Scheme(Str::const_new("xmpp")), 416),
        ("tel:7042", AddressError::Phone("local number without phone-context"), 484),
        ("tel:+1555;phone-context=+1", AddressError::Phone("global number with phone-context"), 484),
        ("tel:+", AddressError::Phone("digits"), 484),
        ("tel:+1%20555", AddressError::Phone("digits"), 484),
        ("tel:+1555abc", AddressError::Phone("digits"), 484),
        ("tel:+1;ext=1;ext=2", AddressError::Phone("parameter twice"), 484),
        ("tel:1;phone-context=a_b", AddressError::Phone("phone-context"), 484),
        ("tel:1;phone-context=[2001:db8::1]", AddressError::Phone("phone-context"), 484),
        ("tel:+1;;x", AddressError::Phone("empty parameter"), 484),
    ];
    for (sip, why, code) in cases {
        assert_eq!(mapped(sip).as_ref(), Err(why), "{sip}");
        assert_eq!(why.code(), *code, "{sip}");
    }
    // `%zy` is no URI, in any scheme; who makes one without the parser is refused here.
    assert!(Uri::parse("sip:a%zy@sip.example").is_err());
    let other = Uri::Other { scheme: Str::const_new("im"), rest: Str::const_new("a%zy@sip.example") };
    assert_eq!(to_jid(&other, &options()), Err(AddressError::Encoding("percent-encoding")));
    // No phone domain, no telephone numbers.
    assert_eq!(to_jid(&uri("tel:+1555"), &Options::default()), Err(AddressError::Scheme(Str::const_new("tel"))));
}

#[test]
fn escaping_may_not_outgrow_a_local_part() {
    let users = |c: &str, n: usize| format!("sip:{}@sip.example", c.repeat(n));
    assert_eq!(to_jid(&uri(&users("&", 341)), &options()).unwrap().local().map(str::len), Some(1023));
    assert_eq!(mapped(&users("&", 342)), Err(AddressError::TooLong));
    assert_eq!(mapped(&users("a", 1024)), Err(AddressError::TooLong));
    assert_eq!(mapped(&users("%C3%A9", 512)), Err(AddressError::TooLong));
    assert_eq!(AddressError::TooLong.code(), 414);
    // A gr that outgrows a resource is left out.
    let gr = |n| format!("sip:a@sip.example;gr={}", "r".repeat(n));
    assert_eq!(to_jid(&uri(&gr(1023)), &options()).unwrap().resource().map(str::len), Some(1023));
    assert_eq!(mapped(&gr(1024)).as_deref(), Ok("a@sip.example"));
}

#[test]
fn an_escaped_form_of_nobody_is_refused() {
    // `a\b` is written so, not as `a\5cb`; a space may not stand first.
    for local in [r"a\5cb", r"\5c", r"a\5c\40b", r"\20a", r"a\20"] {
        let address = format!("{local}@sip.example");
        assert_eq!(back(&address), Err(AddressError::NoEscape), "{local}");
    }
    // What only looks like an escape stands for itself.
    for (local, user) in [(r"a\2", "a%5C2"), (r"a\41", "a%5C41"), (r"\\40b", "%5C%40b")] {
        assert_eq!(back(&format!("{local}@sip.example")), Ok(format!("sip:{user}@sip.example")));
    }
}

#[test]
fn other_forms() {
    let form = |address: &str, form| to_form(&jid(address), form).map(|u| u.to_string());
    assert_eq!(form("a@sip.example/r", Form::Sip(Scheme::Sips)).as_deref(), Ok("sips:a@sip.example;gr=r"));
    // §6.5 step 5 for im: and pres:; a dot may stand between atoms, though table 1 does not show it.
    assert_eq!(form(r"o\27malley.a@sip.example/r", Form::Im).as_deref(), Ok("im:o'malley.a@sip.example"));
    assert_eq!(
        form(r"(a),;[b]\c#%?^`{|}~\20\22\3ad@sip.example", Form::Pres).as_deref(),
        Ok("pres:%28a%29%2C%3B%5Bb%5D%5Cc%23%25%3F%5E%60%7B%7C%7D~%20%22%3Ad@sip.example")
    );
    assert_eq!(form(".a..b.@sip.example", Form::Im).as_deref(), Ok("im:%2Ea%2E.b%2E@sip.example"));
    assert_eq!(form("é@bücher.example", Form::Im).as_deref(), Ok("im:%C3%A9@xn--bcher-kva.example"));
    assert_eq!(form("sip.example", Form::Im), Err(AddressError::NoUser));
    assert_eq!(form("+1555;ext=12@phone.example/r", Form::Tel).as_deref(), Ok("tel:+1555;ext=12"));
    assert_eq!(form("*#21;phone-context=+1@phone.example", Form::Tel).as_deref(), Ok("tel:*%2321;phone-context=+1"));
    assert_eq!(form("+1-555@phone.example", Form::Tel), Err(AddressError::Phone("not in its shortest form")));
    assert_eq!(form("romeo@phone.example", Form::Tel), Err(AddressError::Phone("digits")));
    assert_eq!(form("7042@phone.example", Form::Tel), Err(AddressError::Phone("local number without phone-context")));
    // XMPP takes a domain that SIP does not.
    assert_eq!(back("a@1and1"), Err(AddressError::NoSipHost(Str::const_new("1and1"))));
}

#[test]
fn an_older_servers_view_is_asked_for_apart() {
    assert_eq!(mapped("sip:fu%C3%9Fball@sip.example").as_deref(), Ok("fußball@sip.example"));
    assert_eq!(keeps_its_name(&jid("fußball@sip.example")), Err(AddressError::Unstable));
    assert_eq!(keeps_its_name(&jid("fussball@sip.example/ß")), Ok(()));
}

#[test]
fn each_step_is_shown() {
    let steps = |e: &[Step]| e.iter().map(|s| format!("{}: {} -> {}", s.rule, s.before, s.after)).collect::<Vec<_>>();
    let e = explain_jid(&uri("sip:O'%C3%89@sip.example;gr=x"), &options());
    assert_eq!(e.result, Ok(jid(r"o\27é@sip.example/x")));
    assert_eq!(
        steps(&e.steps),
        [
            "6.4 step 1: sip:O'%C3%89@sip.example;gr=x -> O'%C3%89@sip.example;gr=x",
            "6.4 step 2: O'%C3%89@sip.example -> O'%C3%89 | sip.example",
            "6.4 steps 3, 4: O'%C3%89 -> O'É",
            r"6.4 step 5: O'É -> O\27É",
            r"6.4 step 6: O\27É -> o\27é",
            r"6.4 step 7: sip.example -> o\27é@sip.example",
            r"6.4 step 8: o\27é@sip.example with gr=x -> o\27é@sip.example/x",
        ]
    );
    let e = explain_uri(&jid(r"o\27é@bücher.example/x y"), Form::Sip(Scheme::Sip));
    assert_eq!(e.result, Ok(uri("sip:o'%C3%A9@xn--bcher-kva.example;gr=x%20y")));
    assert_eq!(
        steps(&e.steps),
        [
            r"6.5 step 1: o\27é@bücher.example/x y -> o\27é | bücher.example | x y",
            r"6.5 steps 2, 3: o\27é -> o'é",
            "6.1: bücher.example -> xn--bcher-kva.example",
            "6.5 step 5: o'é -> o'%C3%A9",
            "6.5 steps 6, 7: xn--bcher-kva.example -> sip:o'%C3%A9@xn--bcher-kva.example",
            "6.5 step 8: sip:o'%C3%A9@xn--bcher-kva.example -> sip:o'%C3%A9@xn--bcher-kva.example;gr=x%20y",
        ]
    );
    // What goes wrong ends the list.
    let e = explain_jid(&uri("sip:a%20@sip.example"), &options());
    assert_eq!((e.result, e.steps.len()), (Err(AddressError::EdgeSpace), 3));
}
