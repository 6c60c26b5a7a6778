//! Stanzas that come: from whom and for whom.

use super::*;

fn proved() -> One {
    let mut config = config(LOCAL);
    config.local.insert("other.example.net".into(), Local { certificate: true });
    let mut one = One::receiving(config, true);
    one.hear(&their_header());
    assert_eq!(one.hear(&auth("=")), SUCCESS);
    one.hear(&their_header());
    one.told();
    one
}

/// RFC 6120 §8.1.1.2, §8.1.2.2, §4.9.3: threat 8 and its kin.
#[test]
fn what_ends_the_stream() {
    for (attrs, expected) in [
        ("from='a@victim.example' to='b@sip.example.net'", "invalid-from"),
        ("from='a@sip.example.net' to='b@sip.example.net'", "invalid-from"),
        ("from='a@sub.example.com' to='b@sip.example.net'", "invalid-from"),
        ("from='' to='b@sip.example.net'", "invalid-from"),
        ("from='a@' to='b@sip.example.net'", "invalid-from"),
        ("from='a@exa mple.com' to='b@sip.example.net'", "invalid-from"),
        ("to='b@sip.example.net'", "improper-addressing"),
        ("from='a@example.com'", "improper-addressing"),
        ("", "improper-addressing"),
        ("from='a@example.com' to='b@unknown.example.net'", "host-unknown"),
        ("from='a@example.com' to='b@example.com'", "host-unknown"),
        ("from='a@example.com' to='b@other.example.net'", "not-authorized"),
    ] {
        for kind in ["message", "presence", "iq"] {
            let mut one = proved();
            let text = one.hear(&format!("<{kind} {attrs} id='1' type='error'/>"));
            assert_eq!(condition(&text), Some(expected), "{kind} {attrs}: {text}");
            assert!(!one.told().iter().any(|t| t.starts_with("stanza") || t.starts_with("reply")), "{attrs}");
        }
    }
    for (element, expected) in [
        ("<x/>", "unsupported-stanza-type"),
        ("<x xmlns='urn:x'/>", "unsupported-stanza-type"),
        ("<handshake/>", "unsupported-stanza-type"),
        // §4.8.3: of another kind of stream.
        ("<message xmlns='jabber:client' from='a@example.com' to='b@sip.example.net'/>", "invalid-namespace"),
    ] {
        let mut one = proved();
        assert_eq!(condition(&one.hear(element)), Some(expected), "{element}");
    }
}

#[test]
fn what_its_sender_is_told() {
    for (stanza, reply) in [
        (
            "<message from='a@example.com/r' to='b c@sip.example.net' id='1'><body>secret</body></message>",
            "reply <message from='sip.example.net' to='a@example.com/r' id='1' type='error'><error type='modify'>\
             <jid-malformed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
        ),
        (
            "<iq from='a@example.com' to='' id='2' type='get'/>",
            "reply <iq from='sip.example.net' to='a@example.com' id='2' type='error'><error type='modify'>\
             <jid-malformed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        ),
    ] {
        let mut one = proved();
        assert_eq!(one.hear(stanza), "", "{stanza}");
        let told = one.told();
        assert!(told[0].starts_with("fault: bad stanza: to"), "{told:?}");
        assert_eq!(told[1..], [reply]);
        assert_eq!(one.stream.counts().refused, 1);
        one.hear("<message from='a@example.com' to='b@sip.example.net' id='next'/>");
        assert_eq!(one.told(), ["stanza next"], "the stream goes on");
    }
    // Errors and results are not answered; a sender that is no address cannot be.
    for stanza in [
        "<message from='a@example.com' to='b c@sip.example.net' type='error'/>",
        "<iq from='a@example.com' to='b c@sip.example.net' type='result' id='1'/>",
        "<message from='a b@example.com' to='b@sip.example.net'/>",
    ] {
        let mut one = proved();
        assert_eq!(one.hear(stanza), "", "{stanza}");
        assert_eq!(one.told().len(), 1, "{stanza}");
    }
}

#[test]
fn what_is_too_big() {
    let mut one = proved();
    let giant =
        format!("<message from='a@example.com' to='b@sip.example.net' id='1'>{}</message>", "x".repeat(300_000));
    assert_eq!(one.hear(&giant), "");
    let told = one.told();
    assert!(told[0].starts_with("fault: stanza passed over"), "{told:?}");
    assert!(told[1].contains("<policy-violation "), "{told:?}");
    one.hear("<message from='a@example.com' to='b@sip.example.net' id='next'/>");
    assert_eq!(one.told(), ["stanza next"]);
    let mut one = proved();
    let text = one.hear(&giant.replace("a@example.com", "a@victim.example"));
    assert_eq!(condition(&text), Some("invalid-from"));
}

/// Addresses come out prepared, and so do the domains that they are checked by.
#[test]
fn spellings() {
    let mut one = proved();
    one.hear("<message from='a@EXAMPLE.com./r' to='B@Sip.Example.NET' id='1'/>");
    let Some(Output::Stanza(stanza)) = one.others.pop_front() else { panic!("a stanza") };
    assert_eq!(stanza.from.map(|j| j.to_string()).as_deref(), Some("a@example.com/r"));
    assert_eq!(stanza.to.map(|j| j.to_string()).as_deref(), Some("b@sip.example.net"));
}

/// RFC 6120 §4.7.4: what the header says holds for the stanzas that say nothing.
#[test]
fn languages() {
    let lang = |header_lang: &str| {
        let mut one = One::receiving(config(LOCAL), true);
        one.hear(&their_header());
        one.hear(&auth("="));
        one.hear(&header(&format!("from='{REMOTE}' to='{LOCAL}' xml:lang='{header_lang}'")));
        one.told();
        one.hear("<message from='a@example.com' to='b@sip.example.net'/>");
        one.hear("<message from='a@example.com' to='b@sip.example.net' xml:lang='en'/>");
        let langs = one.others.drain(..).map(|o| match o {
            Output::Stanza(stanza) => stanza.lang,
            other => panic!("{other:?}"),
        });
        langs.collect::<Vec<_>>()
    };
    assert_eq!(lang("de-CH"), [Some("de-CH".into()), Some("en".into())]);
    assert_eq!(lang("d e"), [None, Some("en".into())]);
    assert_eq!(lang(&"x".repeat(36)), [None, Some("en".into())]);
}

#[test]
fn half_a_stanza() {
    let mut one = proved();
    one.hear("<message from='a@example.com' to='b@sip.example.net'");
    one.wait(secs(20));
    one.hear(" id='1'");
    assert_eq!(condition(&one.wait(secs(10))), Some("connection-timeout"));
    let mut one = proved();
    one.hear("<message from='a@example.com' to='b@sip.example.net'");
    one.wait(secs(20));
    one.hear("/> ");
    assert_eq!(one.wait(secs(39)), "");
    assert_eq!(one.wait(secs(21)), " ", "the silence is broken now and then");
}
