//! XEP-0220: every case of both sides.

use super::*;

/// A machine that others have opened, over TLS.
fn receiving(change: impl FnOnce(&mut Config), certificate: Certificate) -> One {
    let mut config = config(LOCAL);
    change(&mut config);
    let mut one = One::receiving(config, true).with_certificate(certificate);
    one.hear(&their_header());
    one
}

fn stranger() -> One {
    receiving(|_| (), Certificate::Invalid("self-signed".into()))
}

/// A machine that we have opened, which has asked to send.
fn asking(offer: &str) -> One {
    let initiate = Initiate { direct_tls: true, ..Initiate::new(pair()) };
    let mut one = One::initiating(config(LOCAL), initiate).with_certificate(Certificate::None);
    one.text();
    let text = one.hear(&format!("{}{}", answer(), features(offer)));
    assert!(text.contains("<db:result from='sip.example.net' to='example.com'>"), "{text}");
    assert_eq!(one.told(), ["CanVerify"]);
    one
}

fn result(from: &str, to: &str, rest: &str) -> String {
    format!("<db:result from='{from}' to='{to}'{rest}")
}

fn request(from: &str) -> String {
    result(from, LOCAL, ">key</db:result>")
}

fn said(from: &str, to: &str, verdict: &str) -> String {
    format!("<db:result from='{from}' to='{to}' type='{verdict}'></db:result>")
}

fn failed(kind: &str, to: &str, id: &str, condition: &str) -> String {
    format!(
        "<db:{kind} from='{to}' to='example.com'{id} type='error'><error type='cancel'>\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:{kind}>"
    )
}

#[test]
fn a_key_is_verified() {
    let mut one = stranger();
    assert_eq!(one.hear(&request(REMOTE)), "");
    let Some(Output::Verify(v)) = one.others.pop_front() else { panic!("a key to verify") };
    assert_eq!((v.pair.clone(), v.key.as_str(), Some(v.id.as_str())), (pair(), "key", one.stream.id()));
    assert_eq!(one.hear(&request(REMOTE).replace("key", "other")), "", "the first one counts");
    assert_eq!(one.told(), [""; 0]);
    one.stream.verified(one.now, &v.pair, Verdict::Valid);
    assert_eq!(one.text(), said(LOCAL, REMOTE, "valid"));
    assert_eq!(one.told(), ["accepts sip.example.net and example.com by Dialback"]);
    assert!(one.stream.accepts(&pair()) && !one.stream.sends(&pair()) && !one.stream.is_unproven());
    one.stream.verified(one.now, &v.pair, Verdict::Invalid);
    assert_eq!((one.text().as_str(), one.stream.accepts(&pair())), ("", true), "that was said already");
    assert_eq!(one.hear(&request(REMOTE)), said(LOCAL, REMOTE, "valid"), "asked again");
    assert_eq!(one.hear("<message from='a@example.com' to='b@sip.example.net' id='1'/>"), "");
    assert_eq!(one.told(), ["stanza 1"]);
}

/// XEP-0220 §2.2.1: who lies about the only domain is shown out.
#[test]
fn a_wrong_key() {
    let mut one = stranger();
    one.hear(&request(REMOTE));
    one.stream.verified(one.now, &pair(), Verdict::Invalid);
    let text = one.text();
    assert!(text.starts_with(&said(LOCAL, REMOTE, "invalid")), "{text}");
    assert_eq!(condition(&text), Some("not-authorized"));
    // Who has proved another goes on with that.
    let mut one = stranger();
    one.hear(&request(REMOTE));
    one.stream.verified(one.now, &pair(), Verdict::Valid);
    one.text();
    one.hear(&request("victim.example"));
    let victim = Pair::new(LOCAL, "victim.example");
    one.stream.verified(one.now, &victim, Verdict::Invalid);
    assert_eq!(one.text(), failed("result", LOCAL, "", "forbidden").replace("example.com", "victim.example"));
    assert!(!one.stream.accepts(&victim) && one.stream.accepts(&pair()));
    assert_eq!(condition(&one.hear("<message from='a@victim.example' to='b@sip.example.net'/>")), Some("invalid-from"));
}

/// What changes the configuration, the certificate, what is asked for, and the condition of its refusal.
type Refusal<'a> = (&'a dyn Fn(&mut Config), Certificate, String, &'a str);

/// XEP-0220 §2.5.
#[test]
fn what_is_refused() {
    let cases: [Refusal<'_>; 6] = [
        (&|_| (), Certificate::None, request(REMOTE).replace(LOCAL, "other.example.net"), "item-not-found"),
        (&|c| c.rules.policy.require_certificate = true, Certificate::None, request(REMOTE), "not-authorized"),
        (&|c| c.rules.policy.dialback = false, Certificate::Invalid("x".into()), request(REMOTE), "not-authorized"),
        (
            &|c| except(c, "example.org", Policy { allow: false, ..Policy::default() }),
            Certificate::Valid,
            request("example.org"),
            "policy-violation",
        ),
        (&|_| (), Certificate::Valid, request(LOCAL), "not-acceptable"),
        (&|c| c.max_pairs = 0, Certificate::Valid, request(REMOTE), "resource-constraint"),
    ];
    for (change, certificate, request, condition) in cases {
        let mut one = receiving(change, certificate);
        let text = one.hear(&request);
        assert!(text.contains(&format!("type='error'><error type='cancel'><{condition} ")), "{request}: {text}");
        assert!(one.stream.is_unproven() && one.stream.pairs().next().is_none());
        assert!(!one.told().iter().any(|t| t.starts_with("verify") || t.starts_with("down")), "the stream goes on");
        assert_eq!(one.hear(" "), "");
    }
    // In plain text, where TLS is wanted.
    let mut one = One::receiving(config(LOCAL), false);
    one.hear(&their_header());
    assert_eq!(one.hear(&request(REMOTE)), failed("result", LOCAL, "", "policy-violation"));
}

/// Whose certificate names the domain need not be called back.
#[test]
fn a_certificate_is_as_good_as_a_key() {
    let mut one = receiving(|c| c.rules.policy.require_certificate = true, Certificate::Valid);
    one.judged.clear();
    assert_eq!(one.hear(&request("rooms.example.com")), said(LOCAL, "rooms.example.com", "valid"));
    assert_eq!(one.judged, ["rooms.example.com"], "for the name that is asked for");
    assert_eq!(one.told(), ["accepts sip.example.net and rooms.example.com by Certificate"]);
}

#[test]
fn how_many_domains_a_stranger_may_name() {
    let mut one = stranger();
    for n in 0..4 {
        assert_eq!(one.hear(&request(&format!("{n}.example.com"))), "");
    }
    let text = one.hear(&request("one-more.example.com"));
    assert!(text.contains("<resource-constraint "), "{text}");
    one.stream.verified(one.now, &Pair::new(LOCAL, "0.example.com"), Verdict::Valid);
    one.told();
    one.text();
    assert_eq!(one.hear(&request("one-more.example.com")), "");
    assert!(one.told().contains(&"verify sip.example.net and one-more.example.com key".to_owned()));
}

/// What was said of a certificate for a domain is forgotten with the last pair that it was for.
#[test]
fn verdicts_are_not_kept() {
    let mut one = receiving(|c| c.rules.policy.require_certificate = true, Certificate::None);
    for _ in 0..2 {
        one.judged.clear();
        assert!(one.hear(&request("b.example")).contains("<not-authorized "));
        assert_eq!(one.judged, ["b.example"], "asked anew");
        assert!(one.hear(&request(REMOTE)).contains("<not-authorized "));
        assert_eq!(one.judged.len(), 1, "the one in the header is kept");
    }
}

#[test]
fn what_the_verification_may_come_to() {
    for condition in ["remote-server-not-found", "remote-connection-failed", "remote-server-timeout"] {
        let mut one = stranger();
        one.hear(&request(REMOTE));
        let verdict = Verdict::Error(DialbackCondition::from_name(condition).expect("a condition"));
        one.stream.verified(one.now, &pair(), verdict);
        assert_eq!(one.text(), failed("result", LOCAL, "", condition));
        assert!(!one.stream.accepts(&pair()));
    }
    let mut one = receiving(|c| c.handshake_timeout = secs(100), Certificate::None);
    one.hear(&request(REMOTE));
    assert_eq!(one.wait(secs(29)), "");
    assert_eq!(one.wait(secs(1)), failed("result", LOCAL, "", "remote-server-timeout"));
    one.stream.verified(one.now, &pair(), Verdict::Valid);
    assert_eq!((one.text().as_str(), one.stream.accepts(&pair())), ("", false), "too late");
    one.stream.verified(one.now, &Pair::new(LOCAL, "never.example"), Verdict::Valid);
    assert!(!one.stream.accepts(&Pair::new(LOCAL, "never.example")), "never asked");
}

/// XEP-0220 §2.2.2: the key says whether we made it.
#[test]
fn keys_are_verified_for_others() {
    let key = Secret::new(LOCAL.as_bytes()).prove(&pair(), "their-id");
    let ask = |key: &str, rest: &str| format!("<db:verify from='{REMOTE}' {rest}>{key}</db:verify>");
    let says =
        |verdict: &str| format!("<db:verify from='{LOCAL}' to='{REMOTE}' id='their-id' type='{verdict}'></db:verify>");
    let whom = "to='sip.example.net' id='their-id'";
    let mut one = stranger();
    assert_eq!(one.hear(&ask(&key, whom)), says("valid"));
    assert_eq!(one.hear(&ask(&format!("\n  {key}\n"), whom)), says("valid"));
    assert_eq!(one.hear(&ask("bad", whom)), says("invalid"));
    assert_eq!(one.hear(&ask(&key, &whom.replace("their-id", "x"))), says("invalid").replace("their-id", "x"));
    assert_eq!(
        one.hear(&ask(&key, "to='other.example.net' id='their-id'")),
        failed("verify", "other.example.net", " id='their-id'", "item-not-found")
    );
    assert!(one.stream.is_unproven());
    assert_eq!(one.told(), [""; 0]);
    assert_eq!(one.wait(secs(30)), "END", "and no longer than a handshake");
    assert_eq!(one.ends(), DownReason::Closed);
    let mut one = One::receiving(config(LOCAL), false);
    one.hear(&their_header());
    assert_eq!(one.hear(&ask(&key, whom)), failed("verify", LOCAL, " id='their-id'", "policy-violation"));
}

/// XEP-0220 §3.1: nothing that nobody has asked for proves anything.
#[test]
fn unsolicited() {
    for kind in ["result", "verify"] {
        for verdict in ["valid", "invalid", "error"] {
            for (from, to) in [(REMOTE, LOCAL), (LOCAL, REMOTE), ("victim.example", LOCAL)] {
                let element = format!("<db:{kind} from='{from}' to='{to}' id='D60000229F' type='{verdict}'/>");
                let mut one = stranger();
                assert_eq!(one.hear(&element), "");
                assert_eq!(one.told(), ["fault: unsolicited dialback"]);
                assert!(one.stream.is_unproven() && one.stream.pairs().next().is_none());
                // On our own stream nothing but the pair that we have asked for.
                let mut one = asking(DIALBACK);
                if (kind, from, to) == ("result", REMOTE, LOCAL) {
                    continue;
                }
                assert_eq!(one.hear(&element), "");
                assert_eq!(one.told(), ["fault: unsolicited dialback"]);
                assert!(one.stream.is_unproven());
            }
        }
    }
    // A key that is being verified is not theirs to judge.
    let mut one = stranger();
    one.hear(&request(REMOTE));
    one.told();
    let id = one.stream.id().expect("an id").to_owned();
    one.hear(&said(REMOTE, LOCAL, "valid"));
    one.hear(&format!("<db:verify from='{REMOTE}' to='{LOCAL}' id='{id}' type='valid'/>"));
    assert_eq!(one.told(), ["fault: unsolicited dialback"; 2]);
    assert!(!one.stream.accepts(&pair()) && !one.stream.sends(&pair()));
    // Requests that come against the direction of the stream.
    let mut one = asking(DIALBACK);
    assert_eq!(one.hear(&request("victim.example")), "");
    assert_eq!(one.hear("<db:verify from='example.com' to='sip.example.net' id='x'>key</db:verify>"), "");
    assert_eq!(one.told(), ["fault: unsolicited dialback"; 2]);
}

#[test]
fn elements_that_make_no_sense() {
    for element in [
        "<db:result from='example.com'>key</db:result>",
        "<db:result to='sip.example.net'>key</db:result>",
        "<db:result from='a@example.com' to='sip.example.net'>key</db:result>",
        "<db:result from='example.com' to='sip.example.net'/>",
        "<db:result from='example.com' to='sip.example.net' type='maybe'>key</db:result>",
        "<db:verify from='example.com' to='sip.example.net'>key</db:verify>",
        "<db:verify from='example.com' to='sip.example.net' id=''>key</db:verify>",
        &format!("<db:result from='example.com' to='sip.example.net'>{}</db:result>", "k".repeat(257)),
        &format!("<db:verify from='example.com' to='sip.example.net' id='{}'>k</db:verify>", "i".repeat(257)),
        "<db:x from='example.com' to='sip.example.net' id='1'>key</db:x>",
    ] {
        let mut one = stranger();
        assert_eq!(one.hear(element), "", "{element}");
        assert_eq!(one.told(), ["fault: bad dialback element"], "{element}");
    }
}

/// XEP-0220 §2.1.1.
#[test]
fn what_they_say_of_our_key() {
    let mut one = asking(DIALBACK);
    one.hear(&said(REMOTE, LOCAL, "valid"));
    assert_eq!(one.told(), ["ready sip.example.net and example.com by Dialback"]);
    assert_eq!(one.hear(&said(REMOTE, LOCAL, "valid")), "");
    assert_eq!(one.told(), ["fault: unsolicited dialback"], "once");

    let mut one = asking(DIALBACK);
    one.hear(&said(REMOTE, LOCAL, "invalid"));
    assert_eq!(one.told(), ["refused sip.example.net and example.com: Invalid"]);

    for (error, condition) in [
        ("<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>", "ItemNotFound"),
        ("<error xmlns='x'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>", "Forbidden"),
        ("", "UndefinedCondition"),
    ] {
        let mut one = asking(DIALBACK);
        one.hear(&result(REMOTE, LOCAL, &format!(" type='error'>{error}</db:result>")));
        assert_eq!(one.told(), [format!("refused sip.example.net and example.com: Error({condition})")]);
        assert!(!one.stream.sends(&pair()));
        // It may be asked again.
        assert_eq!(one.stream.prove(one.now, &pair()), Ok(()));
        assert!(one.text().starts_with("<db:result "));
    }

    let mut one = asking(DIALBACK);
    assert_eq!(one.wait(secs(30)), "");
    assert_eq!(one.told(), ["refused sip.example.net and example.com: Error(RemoteServerTimeout)"]);
    one.hear(&said(REMOTE, LOCAL, "valid"));
    assert_eq!(one.told(), ["fault: unsolicited dialback"], "too late");
}

/// XEP-0220 §2.6.
#[test]
fn several_pairs() {
    let mut config = config(LOCAL);
    config.local.insert("rooms.example.net".into(), Local::default());
    config.max_pairs = 3;
    let initiate = Initiate { direct_tls: true, ..Initiate::new(pair()) };
    let mut one = One::initiating(config, initiate).with_certificate(Certificate::None);
    one.text();
    one.hear(&format!("{}{}", answer(), features(DIALBACK)));
    assert!(one.stream.has_dialback_errors());
    one.hear(&said(REMOTE, LOCAL, "valid"));
    one.told();
    let (other, third) = (Pair::new("rooms.example.net", REMOTE), Pair::new(LOCAL, "muc.example.com"));
    assert_eq!(one.stream.send(one.now, &other, b"<message/>", None), Err(SendError::NotProved));
    for pair in [&other, &third] {
        assert_eq!(one.stream.prove(one.now, pair), Ok(()));
        let key = Secret::new(LOCAL.as_bytes()).prove(pair, "D60000229F");
        assert_eq!(one.text(), result(&pair.local, &pair.remote, &format!(">{key}</db:result>")));
        assert_eq!(one.stream.prove(one.now, pair), Ok(()));
        assert_eq!(one.text(), "", "asked already");
    }
    assert_eq!(one.judged, [REMOTE, "muc.example.com"], "each name for itself");
    assert_eq!(one.stream.prove(one.now, &Pair::new(LOCAL, "b.example")), Err(SendError::Full));
    assert_eq!(one.stream.prove(one.now, &Pair::new("not.ours", REMOTE)), Err(SendError::NotProved));
    one.hear(&said("muc.example.com", LOCAL, "valid"));
    one.hear(&said(REMOTE, "rooms.example.net", "invalid"));
    assert_eq!(
        one.told(),
        ["ready sip.example.net and muc.example.com by Dialback", "refused rooms.example.net and example.com: Invalid"]
    );
    let pairs: Vec<_> = one.stream.pairs().map(|(p, out, inn)| (p.remote.as_str(), out, inn)).collect();
    assert_eq!(pairs, [(REMOTE, Some(Proof::Dialback), None), ("muc.example.com", Some(Proof::Dialback), None)]);
}

/// A certificate that the policy wants is wanted for each name that is sent to.
#[test]
fn another_name_over_a_connection() {
    let mut config = config(LOCAL);
    except(&mut config, "bank.example", Policy { require_certificate: true, ..Policy::default() });
    let initiate = Initiate { direct_tls: true, ..Initiate::new(pair()) };
    let mut one = One::initiating(config, initiate).with_certificate(Certificate::None);
    one.text();
    one.hear(&format!("{}{}", answer(), features(DIALBACK)));
    one.told();
    assert_eq!(one.stream.prove(one.now, &Pair::new(LOCAL, "bank.example")), Ok(()));
    assert_eq!(one.text(), "");
    assert_eq!(one.told(), ["refused sip.example.net and bank.example: Error(NotAuthorized)"]);
}

#[test]
fn questions() {
    let mut one = asking(DIALBACK);
    let question = |n: u32| Verification { pair: pair(), id: Str::from(n.to_string()), key: "k".into() };
    for n in 0..32 {
        assert_eq!(one.stream.verify(one.now, &question(n)), Ok(()));
    }
    assert_eq!(one.stream.verify(one.now, &question(99)), Err(SendError::Full));
    one.text();
    let verified = |n: u32, verdict: &str| {
        format!("<db:verify from='example.com' to='sip.example.net' id='{n}' type='{verdict}'/>")
    };
    one.hear(&verified(3, "valid"));
    one.hear(&verified(3, "valid"));
    one.hear(&verified(99, "valid"));
    one.hear(&verified(4, "invalid").replace("example.com", "other.example"));
    one.hear(&verified(4, "invalid"));
    assert_eq!(
        one.told(),
        [
            "verified sip.example.net and example.com 3: Valid",
            "fault: unsolicited dialback",
            "fault: unsolicited dialback",
            "fault: unsolicited dialback",
            "verified sip.example.net and example.com 4: Invalid",
        ]
    );
    one.stream.closed(one.now);
    one.text();
    let told = one.told();
    assert_eq!(told.len(), 31, "thirty and the end");
    assert_eq!(told[0], "verified sip.example.net and example.com 0: Error(RemoteServerTimeout)");
    let mut one = asking(DIALBACK);
    one.stream.verify(one.now, &question(1)).expect("may");
    one.text();
    one.wait(secs(30));
    assert!(one.told().contains(&"verified sip.example.net and example.com 1: Error(RemoteServerTimeout)".to_owned()));
    assert_eq!(stranger().stream.verify(Time::from_secs(1), &question(1)), Err(SendError::NotProved));
}

/// XEP-0288 §2.2.
#[test]
fn both_directions() {
    let mut one = stranger();
    assert_eq!(one.hear(BIDI), "");
    assert!(one.stream.is_bidirectional() && !one.stream.sends(&pair()));
    assert_eq!(one.stream.prove(one.now, &pair()), Err(SendError::NotProved), "nothing is proved");
    one.hear(&request(REMOTE));
    one.stream.verified(one.now, &pair(), Verdict::Valid);
    assert_eq!(one.text(), said(LOCAL, REMOTE, "valid"));
    assert_eq!(
        one.told()[1..],
        ["accepts sip.example.net and example.com by Dialback", "ready sip.example.net and example.com by Dialback"]
    );
    assert_eq!(one.stream.send(one.now, &pair(), b"<message/>", None), Ok(()));
    assert_eq!(one.text(), "<message/>");
    // To other domains than they have proved, nothing.
    assert_eq!(one.stream.prove(one.now, &Pair::new(LOCAL, "b.example")), Err(SendError::NotProved));
    assert_eq!(condition(&one.hear(BIDI)), Some("policy-violation"), "too late");

    // On our own: whom we have called may send once we may.
    let mut one = asking(&format!("{BIDI_FEATURE}{DIALBACK}"));
    assert!(one.stream.is_bidirectional() && !one.stream.accepts(&pair()));
    one.hear(&said(REMOTE, LOCAL, "valid"));
    assert_eq!(
        one.told(),
        ["ready sip.example.net and example.com by Dialback", "accepts sip.example.net and example.com by Dialback"]
    );
    // For another domain they show a key, which is verified with that domain.
    assert_eq!(one.hear(&request("muc.example.com")), "");
    assert_eq!(one.told(), ["verify sip.example.net and muc.example.com key"]);
    // And whoever answers for them may not thereby send for others.
    assert_eq!(one.stream.prove(one.now, &Pair::new(LOCAL, "victim.example")), Ok(()));
    assert_eq!(one.told(), [""; 0]);
    one.text();
    assert_eq!(one.told(), ["refused sip.example.net and victim.example: Error(NotAuthorized)"]);
}

#[test]
fn where_both_directions_are_not_wanted() {
    let mut one = receiving(|c| c.bidi = false, Certificate::None);
    assert_eq!(condition(&one.hear(BIDI)), Some("policy-violation"));
    let mut one = One::receiving(config(LOCAL), false);
    one.hear(&their_header());
    assert_eq!(condition(&one.hear(BIDI)), Some("policy-violation"), "TLS first");
}
