//! Streams that others open: RFC 6120 §4 to §6 from the receiving side.

use super::*;
use crate::error::StreamCondition;

/// A machine over TLS that has heard their header.
fn secured(certificate: Certificate) -> One {
    let mut one = One::receiving(config(LOCAL), true).with_certificate(certificate);
    one.hear(&their_header());
    one
}

/// A machine on which `example.com` has proved itself by its certificate.
fn proved() -> One {
    let mut one = secured(Certificate::Valid);
    assert_eq!(one.hear(&auth("=")), SUCCESS);
    one.hear(&their_header());
    assert_eq!(one.told(), ["accepts sip.example.net and example.com by Certificate"]);
    one
}

#[test]
fn tls_and_external() {
    let mut one = One::receiving(config(LOCAL), false);
    assert_eq!(one.text(), "");
    // RFC 6120 §5.4.1: TLS is required, and nothing else is offered.
    assert_eq!(one.hear(&their_header()), format!("HEADER{}", features(STARTTLS_REQUIRED)));
    let first = one.stream.id().expect("an id").to_owned();
    assert!(one.judged.is_empty());
    assert_eq!(one.hear(STARTTLS), PROCEED);
    assert_eq!(one.secure(), "");
    assert!(one.stream.is_secured());
    // XEP-0178 §3 step 9.
    let offer = features(&format!("{EXTERNAL}{BIDI_FEATURE}{DIALBACK}{SM}"));
    assert_eq!(one.hear(&their_header()), format!("HEADER{offer}"));
    assert_eq!(one.judged, [REMOTE]);
    assert_ne!(one.stream.id(), Some(first.as_str()), "§4.3.3: a new stream, a new id");
    assert_eq!(one.hear(&auth("ZXhhbXBsZS5jb20=")), SUCCESS);
    assert!(one.stream.is_unproven(), "not before the stream is open again");
    assert_eq!(one.hear(&their_header()), format!("HEADER{}", features(&format!("{DIALBACK}{SM}"))));
    assert_eq!(one.told(), ["accepts sip.example.net and example.com by Certificate"]);
    assert!(one.stream.accepts(&pair()) && !one.stream.sends(&pair()) && !one.stream.is_bidirectional());
    assert_eq!(one.hear("<message from='a@example.com/b' to='c@sip.example.net' id='1'/>"), "");
    assert_eq!(one.told(), ["stanza 1"]);
    assert_eq!(one.stream.counts().received, 1);
}

#[test]
fn headers() {
    let mut one = One::receiving(config(LOCAL), true);
    one.stream.received(one.now, their_header().as_bytes());
    let Some(Output::Bytes(bytes)) = one.stream.poll() else { panic!("a header") };
    let id = one.stream.id().expect("an id");
    assert_eq!(id.len(), 32, "§4.7.3: it cannot be guessed");
    assert_eq!(
        String::from_utf8(bytes).expect("UTF-8"),
        format!(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
             xmlns:db='jabber:server:dialback' from='sip.example.net' to='example.com' id='{id}' version='1.0' \
             xml:lang='en'>"
        )
    );
}

/// RFC 6120 §4.9.1.2: whatever is wrong with a header, ours comes before the error.
#[test]
fn headers_that_are_refused() {
    let whole =
        |ns: &str, stream: &str, attrs: &str| format!("<stream:stream xmlns='{ns}' xmlns:stream='{stream}' {attrs}>");
    let (ns, stream, names) =
        (crate::ns::SERVER, crate::ns::STREAM, format!("from='{REMOTE}' to='{LOCAL}' version='1.0'"));
    let cases = [
        (whole("jabber:client", stream, &names), "invalid-namespace"),
        (whole("", stream, &names), "invalid-namespace"),
        (whole(ns, "urn:evil", &names), "invalid-namespace"),
        (format!("<stream xmlns='{ns}' {names}>"), "invalid-namespace"),
        (whole(ns, stream, &format!("from='{REMOTE}' to='{LOCAL}'")), "unsupported-version"),
        (whole(ns, stream, &format!("from='{REMOTE}' to='{LOCAL}' version='0.9'")), "unsupported-version"),
        (whole(ns, stream, &format!("from='{REMOTE}' to='{LOCAL}' version='one'")), "unsupported-version"),
        (header(&format!("from='{REMOTE}'")), "improper-addressing"),
        (header(&format!("from='{REMOTE}' to='example.org'")), "host-unknown"),
        (header(&format!("from='{REMOTE}' to=''")), "host-unknown"),
        (header(&format!("from='{REMOTE}' to='a@{LOCAL}'")), "host-unknown"),
        (header(&format!("from='a@{REMOTE}' to='{LOCAL}'")), "invalid-from"),
        (header(&format!("from='' to='{LOCAL}'")), "invalid-from"),
        (header(&format!("from='{LOCAL}' to='{LOCAL}'")), "invalid-from"),
        (header(&format!("from='denied.example' to='{LOCAL}'")), "policy-violation"),
        ("<!DOCTYPE x><stream:stream".to_owned(), "restricted-xml"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "not-well-formed"),
        ("<message/>".to_owned(), "invalid-namespace"),
        ("<a:b>".to_owned(), "bad-namespace-prefix"),
        ("<?xml version='1.0' encoding='latin1'?>".to_owned(), "unsupported-encoding"),
        (format!("<stream:stream {}", "x".repeat(5000)), "policy-violation"),
    ];
    for (bytes, expected) in cases {
        let mut config = config(LOCAL);
        except(&mut config, "denied.example", Policy { allow: false, ..Policy::default() });
        let mut one = One::receiving(config, true);
        let text = one.hear(&bytes);
        assert_eq!(condition(&text), Some(expected), "{bytes}: {text}");
        assert!(text.starts_with("HEADER<stream:error>"), "{bytes}: {text}");
        // Whoever was only led to the wrong door has done nothing.
        let led = expected == "host-unknown" || bytes.contains("denied.example");
        assert_eq!(matches!(one.ends(), DownReason::Unserved(_)), led, "{bytes}");
        assert_eq!(one.hear(&their_header()), "", "it is over");
    }
}

/// Domains are compared as RFC 7622 prepares them.
#[test]
fn names_are_prepared() {
    let mut one = One::receiving(config("b\u{fc}cher.example"), true);
    let text = one.hear(&header("from='Stra\u{df}e.EXAMPLE.' to='XN--BCHER-KVA.example'"));
    assert!(text.contains("EXTERNAL"), "{text}");
    assert_eq!(one.judged, ["stra\u{df}e.example"]);
    assert_eq!(one.hear(&auth("U3RyYcOfZS5leGFtcGxl")), SUCCESS);
    one.hear(&header("from='xn--strae-oqa.example' to='b\u{fc}cher.example.'"));
    assert_eq!(one.told(), ["accepts b\u{fc}cher.example and stra\u{df}e.example by Certificate"]);
}

#[test]
fn what_is_offered_depends_on_the_policy() {
    let offer = |direct_tls: bool, certificate: Certificate, change: &dyn Fn(&mut Config)| {
        let mut config = config(LOCAL);
        change(&mut config);
        let mut one = One::receiving(config, direct_tls).with_certificate(certificate);
        let text = one.hear(&their_header());
        let wrapped = text.strip_prefix("HEADER<stream:features>").and_then(|t| t.strip_suffix("</stream:features>"));
        wrapped.unwrap_or_else(|| panic!("no features: {text}")).to_owned()
    };
    let invalid = || Certificate::Invalid("expired".into());
    let optional = |c: &mut Config| c.rules.policy.require_tls = false;
    let required = |c: &mut Config| c.rules.policy.require_certificate = true;
    let none = |c: &mut Config| c.rules.policy.dialback = false;
    assert_eq!(offer(true, invalid(), &|_| ()), format!("{BIDI_FEATURE}{DIALBACK}{SM}"));
    assert_eq!(offer(true, invalid(), &required), format!("{BIDI_FEATURE}{SM}"));
    assert_eq!(offer(true, Certificate::None, &none), format!("{BIDI_FEATURE}{SM}"));
    assert_eq!(offer(true, Certificate::Valid, &none), format!("{EXTERNAL}{BIDI_FEATURE}{DIALBACK}{SM}"));
    assert_eq!(offer(false, invalid(), &optional), format!("{STARTTLS}{BIDI_FEATURE}{DIALBACK}{SM}"));
    let both = |c: &mut Config| (optional(c), required(c));
    assert_eq!(offer(false, invalid(), &|c| _ = both(c)), STARTTLS_REQUIRED);
    let bare = |c: &mut Config| {
        (c.bidi, c.sm) = (false, false);
        optional(c);
        c.local.insert(LOCAL.into(), Local { certificate: false });
    };
    assert_eq!(offer(false, invalid(), &bare), DIALBACK);
    // A domain's own policy comes before the general one.
    let own = |c: &mut Config| {
        except(c, REMOTE, Policy { require_tls: false, ..Policy::default() });
    };
    assert_eq!(offer(false, invalid(), &own), format!("{STARTTLS}{BIDI_FEATURE}{DIALBACK}{SM}"));
}

/// A header without a name may come from somebody who only wants keys verified.
#[test]
fn strangers_without_a_name() {
    let mut one = One::receiving(config(LOCAL), true);
    assert_eq!(
        one.hear(&header(&format!("to='{LOCAL}'"))),
        format!("HEADER{}", features(&format!("{BIDI_FEATURE}{DIALBACK}{SM}")))
    );
    assert!(one.judged.is_empty());
    assert_eq!(one.hear(&auth("=")), sasl_failure("not-authorized"));
}

#[test]
fn sasl_failures() {
    // XEP-0178 §3 step 11, RFC 6120 §6.5.
    let cases = [
        (Certificate::Invalid("expired".into()), auth("="), "not-authorized"),
        (Certificate::None, auth("="), "not-authorized"),
        (Certificate::Valid, auth("b3RoZXIuZXhhbXBsZQ=="), "invalid-authzid"),
        (Certificate::Valid, auth("&amp;&amp;"), "incorrect-encoding"),
        (Certificate::Valid, auth("/w=="), "invalid-authzid"),
        (Certificate::Valid, auth("=").replace("EXTERNAL", "PLAIN"), "invalid-mechanism"),
        (Certificate::Valid, "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>".to_owned(), "aborted"),
        (Certificate::Valid, "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>".to_owned(), "malformed-request"),
    ];
    for (certificate, request, failure) in cases {
        let mut one = secured(certificate);
        assert_eq!(one.hear(&request), sasl_failure(failure), "{request}");
        assert_eq!(one.told(), [format!("fault: SASL failure: {failure}")]);
        assert!(one.stream.is_unproven() && !one.stream.accepts(&pair()));
        // §6.4.5: a few times, not for ever.
        assert_eq!(one.hear(&request), sasl_failure(failure));
        let text = one.hear(&request);
        assert_eq!(condition(&text), Some("policy-violation"), "{text}");
    }
    let mut plain = One::receiving(plain_config(), false);
    plain.hear(&their_header());
    assert_eq!(plain.hear(&auth("=")), sasl_failure("encryption-required"));
}

/// XEP-0178 §3: the name may be given, or not, with padding or without.
#[test]
fn authorization_identities() {
    for text in ["=", "", "ZXhhbXBsZS5jb20=", "ZXhhbXBsZS5jb20", "RVhBTVBMRS5jb20u"] {
        assert_eq!(secured(Certificate::Valid).hear(&auth(text)), SUCCESS, "{text}");
    }
}

/// What was proved binds the stream that comes after it.
#[test]
fn another_name_after_sasl() {
    for (attrs, expected) in [
        (format!("from='victim.example' to='{LOCAL}'"), "invalid-from"),
        (format!("to='{LOCAL}'"), "invalid-from"),
        (format!("from='{REMOTE}' to='other.example.net'"), "not-authorized"),
        (format!("from='{REMOTE}'"), "improper-addressing"),
    ] {
        let mut config = config(LOCAL);
        config.local.insert("other.example.net".into(), Local::default());
        let mut one = One::receiving(config, true);
        one.hear(&their_header());
        assert_eq!(one.hear(&auth("=")), SUCCESS);
        let text = one.hear(&header(&attrs));
        assert_eq!(condition(&text), Some(expected), "{attrs}: {text}");
        assert!(!one.told().iter().any(|o| o.starts_with("accepts")), "{attrs}");
    }
}

#[test]
fn second_handshakes() {
    let mut one = proved();
    let text = one.hear(&auth("="));
    assert_eq!(condition(&text), Some("policy-violation"), "{text}");
    let mut one = proved();
    let text = one.hear(STARTTLS);
    assert_eq!(text, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>END");
    assert_eq!(one.ends(), error(StreamCondition::PolicyViolation, "no TLS to begin here"));
    let mut one = secured(Certificate::Valid);
    assert_eq!(one.hear(STARTTLS), "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>END");
    // A header in the header's place is a stanza of an unknown kind.
    let mut one = proved();
    let text = one.hear(&their_header()["<?xml version='1.0'?>".len()..].replace('>', "/>"));
    assert_eq!(condition(&text), Some("unsupported-stanza-type"), "{text}");
}

/// Threat 14: what stands behind `<starttls/>` in plain text was put there by somebody.
#[test]
fn plaintext_behind_starttls() {
    for behind in
        ["<", "<db:result from='example.com' to='sip.example.net'>k</db:result>", "x", "\0", "\u{16}\u{3}\u{1}"]
    {
        for cut in [false, true] {
            let mut one = One::receiving(config(LOCAL), false);
            one.hear(&their_header());
            let text = if cut {
                one.stream.received(one.now, STARTTLS.as_bytes());
                one.hear(behind)
            } else {
                one.hear(&format!("{STARTTLS}{behind}"))
            };
            if cut {
                // Our last word in plain text was to go on; nothing is written behind it.
                assert_eq!(text, PROCEED, "{behind}");
                assert_eq!(one.others.pop_front(), Some(Output::StartTls));
                assert_eq!(one.others.back(), Some(&Output::Abort));
            } else {
                assert_eq!(condition(&text), Some("policy-violation"), "{behind}: {text}");
            }
            assert_eq!(one.ends(), error(StreamCondition::PolicyViolation, "plain text where TLS begins"));
        }
    }
    let mut one = One::receiving(config(LOCAL), false);
    one.hear(&their_header());
    assert_eq!(one.hear(&format!("{STARTTLS} \r\n")), PROCEED, "white space is nothing");
}

/// RFC 6120 §5.4.3.3: what was said before TLS counts for nothing.
#[test]
fn tls_forgets() {
    let mut config = config(LOCAL);
    config.rules.policy.require_tls = false;
    let mut one = One::receiving(config, false).with_certificate(Certificate::None);
    one.hear(&their_header());
    one.hear(BIDI);
    one.hear("<db:result from='example.com' to='sip.example.net'>key</db:result>");
    assert_eq!(one.told(), ["verify sip.example.net and example.com key"]);
    assert_eq!(one.hear(STARTTLS), PROCEED);
    one.secure();
    assert!(!one.stream.is_bidirectional() && one.stream.id().is_none());
    one.stream.verified(one.now, &pair(), Verdict::Valid);
    assert_eq!((one.text().as_str(), one.stream.accepts(&pair())), ("", false));
    one.hear(&header(&format!("from='other.example' to='{LOCAL}'")));
    one.stream.verified(one.now, &pair(), Verdict::Valid);
    assert_eq!((one.text().as_str(), one.stream.accepts(&pair())), ("", false));
}

#[test]
fn pipelined_sasl() {
    let mut one = secured(Certificate::Valid);
    let text = one.hear(&format!("{}{}", auth("="), their_header()));
    assert_eq!(condition(&text), Some("policy-violation"), "{text}");
    assert!(!one.told().iter().any(|o| o.starts_with("accepts")));
}

/// Nothing is passed on, and nothing is done, for somebody who has proved nothing.
#[test]
fn nothing_before_authentication() {
    for (element, expected) in [
        ("<message from='a@example.com' to='b@sip.example.net'/>", "not-authorized"),
        (
            "<iq from='example.com' to='sip.example.net' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
            "not-authorized",
        ),
        ("<x xmlns='urn:x'/>", "not-authorized"),
        ("<handshake/>", "not-authorized"),
        ("<stream:features/>", "unsupported-stanza-type"),
        ("<stream:x/>", "unsupported-stanza-type"),
        ("<r xmlns='urn:xmpp:sm:3'/>", "unsupported-stanza-type"),
        ("<a xmlns='urn:xmpp:sm:3' h='1'/>", "unsupported-stanza-type"),
        ("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "unsupported-stanza-type"),
        ("text", "not-well-formed"),
        ("<!-- -->", "restricted-xml"),
        ("<a:b/>", "bad-namespace-prefix"),
        ("</x>", "not-well-formed"),
    ] {
        let mut one = secured(Certificate::Valid);
        let text = one.hear(element);
        assert_eq!(condition(&text), Some(expected), "{element}: {text}");
        assert!(matches!(one.ends(), DownReason::OurError(_)));
    }
    for (element, answer) in [
        ("<enable xmlns='urn:xmpp:sm:3'/>", "unexpected-request"),
        ("<resume xmlns='urn:xmpp:sm:3' h='1' previd='x'/>", "feature-not-implemented"),
    ] {
        let expected =
            format!("<failed xmlns='urn:xmpp:sm:3'><{answer} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>");
        assert_eq!(secured(Certificate::Valid).hear(element), expected);
    }
}

#[test]
fn how_much_a_stranger_may_send() {
    // One element.
    let mut one = secured(Certificate::Valid);
    let text = one.hear(&format!("<db:result from='{REMOTE}' to='{LOCAL}'>{}", "k".repeat(5000)));
    assert_eq!(condition(&text), Some("policy-violation"), "{text}");
    // Many.
    let mut one = secured(Certificate::None);
    let verify = "<db:verify from='example.com' to='sip.example.net' id='i'>key</db:verify>".repeat(8);
    let mut sent = 0;
    let text = loop {
        sent += verify.len();
        let text = one.hear(&verify);
        if condition(&text).is_some() {
            break text;
        }
        assert!(sent < 100_000, "no end");
    };
    assert_eq!(condition(&text), Some("policy-violation"), "{text}");
    assert!(sent > 60_000, "{sent}");
    // Who has proved something has the full limits.
    let mut one = proved();
    let text = format!("<message from='{REMOTE}' to='{LOCAL}' id='1'><body>{}</body></message>", "x".repeat(200_000));
    assert_eq!(one.hear(&text), "");
    assert_eq!(one.told(), ["stanza 1"]);
}

#[test]
fn slow_handshakes() {
    let mut one = One::receiving(config(LOCAL), false);
    assert_eq!(one.hear("<stream:stream xmlns"), "");
    assert_eq!(one.wait(secs(29)), "");
    assert_eq!(condition(&one.wait(secs(1))), Some("connection-timeout"));
    assert!(one.others.contains(&Output::Close));
    assert_eq!(one.wait(secs(5)), "");
    assert_eq!(one.others.back(), Some(&Output::Abort), "who does not close is not waited for");
    assert_eq!(one.stream.deadline(), None);
    // Each step of it together has no more time than the whole.
    let mut one = One::receiving(config(LOCAL), false);
    one.wait(secs(10));
    one.hear(&their_header());
    one.wait(secs(10));
    one.hear(STARTTLS);
    one.secure();
    one.wait(secs(9));
    one.hear(&their_header());
    assert_eq!(condition(&one.wait(secs(1))), Some("connection-timeout"));
    // In between nothing is said.
    let mut one = One::receiving(config(LOCAL), false);
    one.hear(&their_header());
    one.hear(STARTTLS);
    assert_eq!(one.others.pop_front(), Some(Output::StartTls));
    assert_eq!(one.wait(secs(30)), "");
    assert_eq!(one.others.back(), Some(&Output::Abort));
}

#[test]
fn ends() {
    let mut one = proved();
    assert_eq!(one.hear("</stream:stream>"), "END");
    assert_eq!(one.told(), ["down: closed by the other side", "Close"]);
    one.stream.closed(one.now);
    assert_eq!((one.text().as_str(), one.told().len(), one.stream.deadline()), ("", 0, None));

    let mut one = proved();
    one.stream.closed(one.now);
    assert_eq!((one.text().as_str(), one.told()), ("", vec!["down: connection lost".to_owned()]));

    let mut one = proved();
    one.stream.close(one.now, None);
    assert_eq!((one.text().as_str(), one.told().len()), ("END", 0));
    assert_eq!(one.hear("<message from='a@example.com' to='b@sip.example.net' id='late'/></stream:stream>"), "");
    assert_eq!(one.told(), ["stanza late", "down: closed", "Close"]);

    let mut one = proved();
    one.stream.close(one.now, None);
    assert_eq!(one.text(), "END");
    assert_eq!(one.wait(secs(10)), "");
    assert_eq!(one.told(), ["down: closed", "Close", "Abort"]);

    let mut one = proved();
    one.stream.close(one.now, Some(StreamError::new(StreamCondition::SystemShutdown)));
    assert_eq!(
        one.text(),
        "<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>END"
    );
    assert_eq!(one.told(), ["down: given up: system-shutdown", "Close"]);

    let mut one = proved();
    assert_eq!(one.hear("<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"), "END");
    assert_eq!(one.told(), ["down: the other side says conflict", "Close"]);
}
