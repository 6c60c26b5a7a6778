//! Streams that we open.

use super::*;
use crate::error::StreamCondition;

/// A machine over TLS that has heard their header and, if it is given, their features.
fn secured(change: impl FnOnce(&mut Config, &mut Initiate), certificate: Certificate, offer: &str) -> (One, String) {
    let (mut config, mut initiate) = (config(LOCAL), Initiate { direct_tls: true, ..Initiate::new(pair()) });
    change(&mut config, &mut initiate);
    let mut one = One::initiating(config, initiate).with_certificate(certificate);
    assert_eq!(one.text(), "HEADER");
    let text = one.hear(&format!("{}{}", answer(), features(offer)));
    (one, text)
}

fn valid(offer: &str) -> (One, String) {
    secured(|_, _| (), Certificate::Valid, offer)
}

/// XEP-0185's key for the stream of [`answer`].
fn key() -> String {
    Secret::new(LOCAL.as_bytes()).prove(&pair(), "D60000229F")
}

fn our_result() -> String {
    format!("<db:result from='sip.example.net' to='example.com'>{}</db:result>", key())
}

const OUR_AUTH: &str =
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>c2lwLmV4YW1wbGUubmV0</auth>";

#[test]
fn tls_and_external() {
    let mut one = One::initiating(config(LOCAL), Initiate::new(pair()));
    assert_eq!(one.text(), "HEADER");
    assert_eq!(one.hear(&answer()), "");
    assert_eq!(one.hear(&features(&format!("{STARTTLS_REQUIRED}{DIALBACK}"))), STARTTLS);
    assert_eq!(one.hear(PROCEED), "");
    assert!(one.judged.is_empty());
    assert_eq!(one.secure(), "HEADER");
    assert_eq!(one.hear(&answer()), "");
    assert_eq!(one.judged, [REMOTE], "whom we have called, wherever that was");
    assert_eq!(one.hear(&features(&format!("{EXTERNAL}{DIALBACK}"))), OUR_AUTH);
    assert_eq!(one.stream.send(one.now, &pair(), b"<message/>", None), Err(SendError::Down));
    assert_eq!(one.hear(SUCCESS), "HEADER");
    assert_eq!(one.told(), [""; 0]);
    assert_eq!(one.hear(&answer()), "");
    assert_eq!(one.hear(&features(SM)), "<enable xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(one.told(), ["ready sip.example.net and example.com by Certificate", "CanVerify"]);
    assert!(one.stream.sends(&pair()) && !one.stream.accepts(&pair()));
    assert_eq!(one.stream.send(one.now, &pair(), b"<message/>", None), Ok(()));
    assert_eq!(one.text(), "<message/>");
    assert_eq!(one.stream.send(one.now, &Pair::new(LOCAL, "b.example"), b"", None), Err(SendError::NotProved));
}

/// Threat 14: an offer of TLS that somebody has taken out.
#[test]
fn tls_stripped() {
    for offer in ["", DIALBACK, EXTERNAL, BIDI_FEATURE] {
        let mut one = One::initiating(config(LOCAL), Initiate::new(pair()));
        one.text();
        assert_eq!(one.hear(&format!("{}{}", answer(), features(offer))), "END", "{offer}");
        assert_eq!(one.ends(), DownReason::NoTls);
    }
    let mut one = One::initiating(config(LOCAL), Initiate::new(pair()));
    one.text();
    assert_eq!(one.hear(&format!("{}{}", answer(), features(STARTTLS))), STARTTLS);
    assert_eq!(one.hear("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>"), "END");
    assert_eq!(one.ends(), DownReason::NoTls);
    // Who wants a certificate wants TLS.
    let mut config = config(LOCAL);
    config.rules.policy = Policy { require_tls: false, require_certificate: true, ..Policy::default() };
    let mut one = One::initiating(config, Initiate::new(pair()));
    one.text();
    assert_eq!(one.hear(&format!("{}{}", answer(), features(DIALBACK))), "END");
    assert_eq!(one.ends(), DownReason::NoTls);
}

/// Where the policy lets it, there is no TLS; never because somebody has taken it out of what is there.
#[test]
fn plain() {
    let mut one = One::initiating(plain_config(), Initiate::new(pair()));
    one.text();
    assert_eq!(one.hear(&format!("{}{}", answer(), features(&format!("{EXTERNAL}{DIALBACK}")))), our_result());
    assert!(one.judged.is_empty(), "there is nothing to judge");
    let mut one = One::initiating(plain_config(), Initiate::new(pair()));
    one.text();
    assert_eq!(one.hear(&format!("{}{}", answer(), features(&format!("{STARTTLS}{DIALBACK}")))), STARTTLS);
}

#[test]
fn plaintext_behind_proceed() {
    for behind in ["<", "<stream:features/>", "x", "\0"] {
        let mut one = One::initiating(config(LOCAL), Initiate::new(pair()));
        one.text();
        one.hear(&format!("{}{}", answer(), features(STARTTLS)));
        let text = one.hear(&format!("{PROCEED}{behind}"));
        assert_eq!(condition(&text), Some("policy-violation"), "{behind}: {text}");
        assert_eq!(one.ends(), error(StreamCondition::PolicyViolation, "plain text where TLS begins"));
    }
    let mut one = One::initiating(config(LOCAL), Initiate::new(pair()));
    one.text();
    one.hear(&format!("{}{}", answer(), features(STARTTLS)));
    one.hear(&format!("{PROCEED}\n"));
    one.stream.received(one.now, b"<stream:features/>");
    assert_eq!((one.text().as_str(), one.others.back()), ("", Some(&Output::Abort)), "what TLS should have got");
    // A handshake that fails.
    let mut one = One::initiating(config(LOCAL), Initiate::new(pair()));
    one.text();
    one.hear(&format!("{}{}{PROCEED}", answer(), features(STARTTLS)));
    one.text();
}

#[test]
fn tls_that_fails() {
    let mut one = One::initiating(config(LOCAL), Initiate::new(pair()));
    one.text();
    one.hear(&format!("{}{}", answer(), features(STARTTLS)));
    one.hear(PROCEED);
    one.stream.closed(one.now);
    assert_eq!(
        (one.text().as_str(), one.told()),
        ("", vec!["StartTls".to_owned(), "down: no TLS handshake".to_owned()])
    );
}

#[test]
fn certificates() {
    let invalid = || Certificate::Invalid("expired".into());
    let required = |c: &mut Config, _: &mut Initiate| c.rules.policy.require_certificate = true;
    let no_dialback = |c: &mut Config, _: &mut Initiate| c.rules.policy.dialback = false;
    for (certificate, why) in [(invalid(), "expired"), (Certificate::None, "there is none")] {
        for offer in [EXTERNAL, DIALBACK, ""] {
            let (mut one, text) = secured(required, certificate.clone(), offer);
            assert_eq!((text.as_str(), one.ends()), ("END", DownReason::BadCertificate(why.into())));
            let (mut one, text) = secured(no_dialback, certificate.clone(), offer);
            assert_eq!((text.as_str(), one.ends()), ("END", DownReason::BadCertificate(why.into())));
        }
        // Where dialback will do, the connection is at least secret.
        let (_, text) = secured(|_, _| (), certificate.clone(), DIALBACK);
        assert_eq!(text, our_result());
    }
    let (_, text) = secured(required, Certificate::Valid, EXTERNAL);
    assert_eq!(text, OUR_AUTH);
    let (_, text) = secured(no_dialback, Certificate::Valid, DIALBACK);
    assert_eq!(text, our_result(), "ours to show, theirs to like");
}

/// The verdict and the features come in whatever order.
#[test]
fn a_late_verdict() {
    let initiate = Initiate { direct_tls: true, ..Initiate::new(pair()) };
    let mut stream = Stream::initiating(Arc::new(config(LOCAL)), Tokens::seeded(1), Time::ZERO, initiate);
    stream.received(Time::ZERO, format!("{}{}", answer(), features(DIALBACK)).as_bytes());
    let outputs: Vec<_> = std::iter::from_fn(|| stream.poll()).collect();
    assert_eq!(outputs.last(), Some(&Output::Judge(REMOTE.into())));
    stream.judged(Time::ZERO, "other.example", Certificate::Valid);
    assert_eq!(stream.poll(), None);
    stream.judged(Time::ZERO, REMOTE, Certificate::Invalid("late".into()));
    assert_eq!(stream.poll(), Some(Output::Bytes(our_result().into_bytes())));
    stream.judged(Time::ZERO, REMOTE, Certificate::Valid);
    assert_eq!(stream.poll(), Some(Output::CanVerify));
    assert_eq!(stream.poll(), None);
}

#[test]
fn what_proves_us() {
    let (_, text) = valid(&format!("{EXTERNAL}{DIALBACK}"));
    assert_eq!(text, OUR_AUTH, "the certificate first");
    let (_, text) = secured(|_, i| i.external = false, Certificate::Valid, &format!("{EXTERNAL}{DIALBACK}"));
    assert_eq!(text, our_result(), "it did not work the last time");
    let (_, text) = secured(
        |c, _| _ = c.local.insert(LOCAL.into(), Local::default()),
        Certificate::Valid,
        &format!("{EXTERNAL}{DIALBACK}"),
    );
    assert_eq!(text, our_result(), "we have none");
    let other = EXTERNAL.replace("EXTERNAL", "SCRAM-SHA-1");
    let (_, text) = valid(&format!("{other}{DIALBACK}"));
    assert_eq!(text, our_result());
    // XEP-0220 §2.4.1: from before there was a feature.
    assert_eq!(valid("").1, our_result());
    let (mut one, text) = valid(&other);
    assert_eq!((text.as_str(), one.ends()), ("END", DownReason::NotAuthenticated));
    let (mut one, text) = secured(|_, i| i.external = false, Certificate::Valid, EXTERNAL);
    assert_eq!((text.as_str(), one.ends()), ("END", DownReason::NotAuthenticated));
}

/// XEP-0178 §3 step 11: who does not like our certificate may take dialback, or end the stream.
#[test]
fn external_refused() {
    let failure = sasl_failure("not-authorized");
    let (mut one, _) = valid(&format!("{EXTERNAL}{DIALBACK}"));
    assert_eq!(one.hear(&failure), our_result());
    assert_eq!(one.told(), ["fault: SASL failure: not-authorized", "CanVerify"]);
    one.hear("<db:result from='example.com' to='sip.example.net' type='valid'/>");
    assert_eq!(one.told(), ["ready sip.example.net and example.com by Dialback"]);
    let (mut one, _) = valid(EXTERNAL);
    assert_eq!(one.hear(&failure), "END");
    assert_eq!(one.ends(), DownReason::NotAuthenticated);
    let (mut one, _) = valid(&format!("{EXTERNAL}{DIALBACK}"));
    assert_eq!(one.hear(&format!("{failure}</stream:stream>")), format!("{}END", our_result()));
    assert_eq!(one.ends(), DownReason::ClosedByPeer);
    let (mut one, _) = valid(EXTERNAL);
    let text = one.hear(&format!("{SUCCESS}<message/>"));
    assert_eq!(condition(&text), Some("policy-violation"), "{text}");
}

#[test]
fn headers_that_are_refused() {
    for (bytes, expected) in [
        (header(&format!("from='{REMOTE}'")), "bad-format"),
        (header(&format!("from='{REMOTE}' id=''")), "bad-format"),
        (answer().replace("jabber:server'", "jabber:client'"), "invalid-namespace"),
        (answer().replace(" version='1.0'>", ">"), "unsupported-version"),
        (format!("{}{}", answer(), features(DIALBACK).replace("features", "x")), "unsupported-stanza-type"),
        (format!("{}{}", answer(), "<message from='a@example.com' to='b@sip.example.net'/>"), "not-authorized"),
        (format!("{}{}", answer(), PROCEED), "unsupported-stanza-type"),
        (format!("{}{}", answer(), SUCCESS), "unsupported-stanza-type"),
        (
            format!("{}{}", answer(), "<db:result from='example.com' to='sip.example.net' type='valid'/>"),
            "not-authorized",
        ),
        (format!("{}{}{}", answer(), features(DIALBACK), features(DIALBACK)), "unsupported-stanza-type"),
        (format!("{}{}{}", answer(), features(DIALBACK), BIDI), "policy-violation"),
    ] {
        let initiate = Initiate { direct_tls: true, ..Initiate::new(pair()) };
        let mut one = One::initiating(config(LOCAL), initiate);
        one.text();
        let text = one.hear(&bytes);
        assert_eq!(condition(&text), Some(expected), "{bytes}: {text}");
        assert!(matches!(one.ends(), DownReason::OurError(_)));
    }
    // §4.7.1: in whose name they answer is theirs; what they can prove is asked of the name that was called.
    let initiate = Initiate { direct_tls: true, ..Initiate::new(pair()) };
    let mut one = One::initiating(config(LOCAL), initiate).with_certificate(Certificate::None);
    one.text();
    let other = answer().replace(REMOTE, "host.example");
    assert_eq!(one.hear(&format!("{other}{}", features(DIALBACK))), our_result());
    assert_eq!(one.judged, [REMOTE]);
    // A server that does not know the name answers in another one, and says so.
    let mut one = One::initiating(config(LOCAL), Initiate::new(pair()));
    one.text();
    let other = answer().replace(REMOTE, "default.example");
    let unknown = "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    assert_eq!(one.hear(&format!("{other}{unknown}")), "END");
    assert_eq!(one.ends(), DownReason::PeerError(StreamError::new(StreamCondition::HostUnknown)));
}

#[test]
fn slow_handshakes() {
    let mut one = One::initiating(config(LOCAL), Initiate::new(pair()));
    one.text();
    one.hear(&answer());
    assert_eq!(one.wait(secs(29)), "");
    assert_eq!(condition(&one.wait(secs(1))), Some("connection-timeout"));
    let (mut one, _) = valid(EXTERNAL);
    assert_eq!(condition(&one.wait(secs(30))), Some("connection-timeout"));
}

#[test]
fn streams_for_keys() {
    let (mut one, text) =
        secured(|_, i| i.purpose = Purpose::Verification, Certificate::Valid, &format!("{EXTERNAL}{DIALBACK}"));
    assert_eq!((text.as_str(), one.told()), ("", vec!["CanVerify".to_owned()]));
    let question = Verification { pair: pair(), id: "x&y".into(), key: "k<".into() };
    assert_eq!(one.stream.verify(one.now, &question), Ok(()));
    assert_eq!(one.text(), "<db:verify from='sip.example.net' to='example.com' id='x&amp;y'>k&lt;</db:verify>");
    // It may carry stanzas later on: by dialback while keys are out, by the certificate else.
    let verified = "<db:verify from='example.com' to='sip.example.net' id='x&amp;y' type='valid'/>";
    one.hear(verified);
    assert_eq!(one.told(), ["verified sip.example.net and example.com x&y: Valid"]);
    assert_eq!(one.stream.prove(one.now, &pair()), Ok(()));
    assert_eq!(one.text(), OUR_AUTH);
    assert_eq!(one.stream.verify(one.now, &question), Err(SendError::Down));
    assert_eq!(one.hear(SUCCESS), "HEADER");
    one.hear(&format!("{}{}", answer(), features("")));
    assert_eq!(one.told(), ["ready sip.example.net and example.com by Certificate", "CanVerify"]);

    let (mut one, _) =
        secured(|_, i| i.purpose = Purpose::Verification, Certificate::Valid, &format!("{EXTERNAL}{DIALBACK}"));
    one.stream.verify(one.now, &question).expect("may");
    one.text();
    assert_eq!(one.stream.prove(one.now, &pair()), Ok(()));
    assert_eq!(one.text(), our_result());
}
