//! Digests, by the examples of the RFCs.

use super::*;

#[test]
fn the_example_of_rfc_2617() {
    let text = "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
                opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
    let mut challenge = Challenge::parse(text).unwrap();
    let (answer, _) = challenge.answer("Mufasa", "Circle Of Life", "GET", "/dir/index.html", "0a4f113b");
    assert_eq!(
        answer,
        "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
         uri=\"/dir/index.html\", qop=auth, nc=00000001, cnonce=\"0a4f113b\", \
         response=\"6629fae49393a05397450978507c4ef1\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""
    );
    let (again, _) = challenge.answer("Mufasa", "Circle Of Life", "GET", "/dir/index.html", "0a4f113b");
    assert!(again.contains("nc=00000002"), "{again}");
    challenge.renew("qop=auth, nextnonce=\"new\\\"er\", nc=00000001");
    let (renewed, _) = challenge.answer("Mufasa", "x", "GET", "/", "c");
    assert!(renewed.contains("nonce=\"new\\\"er\"") && renewed.contains("nc=00000001"), "{renewed}");
}

#[test]
fn the_example_of_rfc_7616() {
    let text = "Digest realm=\"http-auth@example.org\", qop=\"auth\", algorithm=SHA-256, \
                nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\"";
    let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
    let mut challenge = Challenge::parse(text).unwrap();
    let (answer, rspauth) = challenge.answer("Mufasa", "Circle of Life", "GET", "/dir/index.html", cnonce);
    assert!(
        answer.contains("response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\""),
        "{answer}"
    );
    assert!(answer.contains("algorithm=SHA-256"));
    assert_eq!(rspauth.as_str().len(), 64);
}

#[test]
fn only_what_is_served_is_answered() {
    for bad in [
        "Basic realm=\"x\"",
        "Digest realm=\"x\"",
        "Digest nonce=\"x\"",
        "Digest realm=\"x\", nonce=\"y\", algorithm=MD5-sess",
        "Digest realm=\"x\", nonce=\"y\", qop=\"auth-int\"",
        "Digest realm=\"x\" nonce=\"y\"",
        "Digest realm=\"x, nonce=\"y\"",
        "Digest realm=\"x\", nonce",
        "Digest",
    ] {
        assert_eq!(Challenge::parse(bad), None, "{bad}");
    }
    let long = format!("Digest realm=\"x\", nonce=\"{}\"", "y".repeat(600));
    assert_eq!(Challenge::parse(&long), None);
    let both = ["Digest realm=\"x\", nonce=\"y\", algorithm=SHA-256", "Digest realm=\"x\", nonce=\"y\", stale=TRUE"];
    assert_eq!(Challenge::best(both.into_iter()), Challenge::parse(both[0]), "the stronger one");
    assert!(Challenge::parse(both[1]).unwrap().stale);
}
