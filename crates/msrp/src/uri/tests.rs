//! URIs and paths.

use super::*;

#[test]
fn a_uri_is_taken_apart() {
    let uri = Uri::parse("msrps://alice@Host.Example.com:8493/asfd+34=/x;tcp;a=b;c").unwrap();
    assert!(uri.is_secure());
    assert_eq!(uri.host(), Host::Name("host.example.com".into()));
    assert_eq!((uri.port(), uri.session_id(), uri.transport()), (Some(8493), Some("asfd+34=/x"), "tcp"));
    let relay = Uri::parse("msrps://alice@intra.example.com;tcp").unwrap();
    assert_eq!((relay.port(), relay.session_id()), (None, None));
    let six = Uri::parse("MSRP://[2001:DB8::1]:1/x;TCP").unwrap();
    assert_eq!(six.host(), Host::Ip("2001:db8::1".parse().unwrap()));
    assert_eq!(Uri::parse("msrp://127.1:2/x;tcp").unwrap().host(), Host::Name("127.1".into()));
}

#[test]
fn what_is_no_uri_is_refused() {
    for bad in [
        "",
        "sip:a@b",
        "msrp:/x",
        "msrp://",
        "msrp://;tcp",
        "msrp://h:1/x",
        "msrp://h:1/;tcp",
        "msrp://h:1/x;",
        "msrp://h:1/x;t-p",
        "msrp://h:/x;tcp",
        "msrp://h:65536/x;tcp",
        "msrp://h:-1/x;tcp",
        "msrp://192.0.2.1/x;tcp",
        "msrp://[::1]/x;tcp",
        "msrp://[::1:1/x;tcp",
        "msrp://[::g]:1/x;tcp",
        "msrp://[::1]x:1/x;tcp",
        "msrp://a b:1/x;tcp",
        "msrp://a@b@c:1/x;tcp",
        "msrp://h%:1/x;tcp",
        "msrp://h:1/x%20;tcp",
        "msrp://h:1/x;tcp;a=",
        "msrp://h:1/x;tcp;;",
        "msrp://h\u{e9}:1/x;tcp",
        "msrp://h:1/x\r\nTo-Path: y;tcp",
    ] {
        assert!(Uri::parse(bad).is_err(), "{bad}");
    }
    assert!(Uri::parse(&format!("msrp://h:1/{};tcp", "x".repeat(1100))).is_err());
}

/// RFC 4975 §6.1.
#[test]
fn some_differ_and_mean_the_same() {
    let one = "msrp://Host.example.com:1/x;tcp";
    let six = "msrp://[2001:db8::1]:1/x;tcp";
    for (a, b, same) in [
        (one, "MSRP://user@hosT.example.com:1/x;TCP;p=q", true),
        (one, "msrp://h%6Fst.example.com:01/x;tcp", true),
        (six, "msrp://[2001:DB8:0:0::1]:1/x;tcp", true),
        (one, "msrps://Host.example.com:1/x;tcp", false),
        (one, "msrp://Host.example.com:2/x;tcp", false),
        (one, "msrp://Host.example.com/x;tcp", false),
        (one, "msrp://Host.example.com:1/X;tcp", false),
        (one, "msrp://Host.example.com:1;tcp", false),
        (one, "msrp://Host.example.com:1/x;sctp", false),
        (one, "msrp://host.example.org:1/x;tcp", false),
        (six, "msrp://[2001:db8::2]:1/x;tcp", false),
    ] {
        let (a, b) = (Uri::parse(a).unwrap(), Uri::parse(b).unwrap());
        assert_eq!((a.matches(&b), b.matches(&a)), (same, same), "{a} {b}");
    }
}

#[test]
fn a_path_is_one_uri_after_the_other() {
    let path = Path::parse("msrps://a:1/x;tcp msrps://b:2/y;tcp").unwrap();
    assert_eq!((path.first().port(), path.last().port(), path.is_direct()), (Some(1), Some(2), false));
    assert_eq!(path.reversed().as_str(), "msrps://b:2/y;tcp msrps://a:1/x;tcp");
    let end = Path::of_session(false, &Host::Ip("::1".parse().unwrap()), 2855, "s").unwrap();
    assert_eq!(path.then(&end).as_str(), "msrps://a:1/x;tcp msrps://b:2/y;tcp msrp://[::1]:2855/s;tcp");
    assert_eq!(
        (path.session_id(), Path::parse("msrps://b;tcp msrp://c:1/x;tcp").unwrap().session_id()),
        (Some("x"), None)
    );
    assert_eq!(Path::parse("msrps://u;v@b/c/d;tcp;e=f").unwrap().session_id(), Some("c/d"));
    assert!(path.matches(&Path::parse("msrps://A:1/x;tcp msrps://b:2/y;tcp").unwrap()));
    assert!(!path.matches(&Path::parse("msrps://a:1/x;tcp").unwrap()) && !path.matches(&path.reversed()));
    assert!(Path::of_session(false, &Host::Name("a b".into()), 1, "s").is_err());
    for bad in ["", " ", "msrp://a:1/x;tcp ", "msrp://a:1/x;tcp  msrp://a:1/x;tcp", "msrp://a:1/x;tcp,msrp://a:1/x;tcp"]
    {
        assert!(Path::parse(bad).is_err(), "{bad}");
    }
    assert!(Path::parse(&["msrp://a:1/x;tcp"; 17].join(" ")).is_err());
}
