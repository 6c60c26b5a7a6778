use super::*;

#[test]
fn a_uri_prints_in_one_form() {
    for (text, printed) in [
        ("sip:juliet@example.com", "sip:juliet@example.com"),
        (
            "SIPS:Juliet:pw@EXAMPLE.com:5061;Transport=TLS?Subject=x&b=",
            "sips:Juliet:pw@example.com:5061;Transport=TLS?Subject=x&b=",
        ),
        ("sip:user;par=u%40example.net@example.com", "sip:user;par=u%40example.net@example.com"),
        ("sip:[2001:DB8::10]:5070;lr", "sip:[2001:db8::10]:5070;lr"),
        ("sip:example.com:05060", "sip:example.com:5060"),
        ("TEL:+1-201-555-0123;noifc", "tel:+1-201-555-0123;noifc"),
        ("im:juliet@example.com", "im:juliet@example.com"),
        ("nobodyKnowsThisScheme:totallyopaquecontent", "nobodyknowsthisscheme:totallyopaquecontent"),
        ("http://[2001:db8::1]/x?y", "http://[2001:db8::1]/x?y"),
    ] {
        let uri = Uri::parse(text).expect(text);
        assert_eq!(uri.to_string(), printed);
        assert_eq!(Uri::parse(printed).as_ref(), Ok(&uri));
    }
}

#[test]
fn what_is_no_uri() {
    for text in [
        "",
        "sip",
        "sip:",
        "sips:",
        "sip:@example.com",
        "sip:a@",
        "sip:a@b@example.com",
        "sip:a b@example.com",
        "sip:é@example.com",
        "sip:a%zy@example.com",
        "sip:a%4@example.com",
        "sip:a@example.com:",
        "sip:a@example.com:65536",
        "sip:a@example.com:5060x",
        "sip:a@example.com;",
        "sip:a@example.com?x",
        "sip:a@2001:db8::10",
        "sip:a@example.com, sip:b@example.com",
        "<sip:a@example.com>",
        "sip:a\r\n@example.com",
        "1x:y",
        ":y",
        "x:",
        "x:a b",
        "x:\"",
    ] {
        assert!(Uri::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn the_port_may_be_swallowed_by_an_ipv6_address() {
    // RFC 5118 §4.4
    let uri = SipUri::parse("sip:[2001:db8::10:5070]").expect("a URI");
    assert_eq!(uri.port, None);
    let uri = SipUri::parse("sip:[2001:db8::10]:5070").expect("a URI");
    assert_eq!(uri.port, Some(5070));
}

#[test]
fn equivalence_is_that_of_rfc_3261() {
    let same = |a: &str, b: &str| {
        let (a, b) = (Uri::parse(a).expect(a), Uri::parse(b).expect(b));
        assert_eq!(a.equivalent(&b), b.equivalent(&a));
        a.equivalent(&b)
    };
    // The section's own lists, §19.1.4.
    assert!(same("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"));
    assert!(same("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"));
    assert!(same("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"));
    assert!(same(
        "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
        "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com"
    ));
    assert!(same(
        "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
        "sip:alice@atlanta.com?priority=urgent&subject=project%20x"
    ));
    assert!(!same("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"));
    assert!(!same("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"));
    assert!(!same("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"));
    assert!(!same("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"));
    assert!(!same("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"));
    assert!(!same("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"));
    assert!(!same("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;newparam=6"));
    assert!(!same("sip:a@example.com", "sips:a@example.com"));
    assert!(!same("sip:a@example.com", "sip:example.com"));
    assert!(same("tel:+1", "TEL:+1"));
}

#[test]
fn a_uri_is_built_encoded() {
    let uri = SipUri::new(Host::parse("example.com").expect("a host")).with_user("a b@\u{e9}".as_bytes());
    assert_eq!(uri.to_string(), "sip:a%20b%40%C3%A9@example.com");
    assert_eq!(uri.user_octets().as_deref(), Some("a b@\u{e9}".as_bytes()));
    assert_eq!(uri.gr(), None);
    assert_eq!(SipUri::parse("sip:a@b.example;gr").expect("a URI").gr(), Some(""));
    assert_eq!(SipUri::parse("sip:a@b.example;gr=x%2F").expect("a URI").gr(), Some("x%2F"));
}
