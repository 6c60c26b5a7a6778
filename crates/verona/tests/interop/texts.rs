//! RFC 7572 both ways with real programs: what is written on one side is read on the other.

use crate::world::{SOON, TEXTS, World, lines};
use rehearsal::peers::json;
use std::time::Duration;

#[test]
fn every_text_reaches_a_phone() {
    let (world, mut romeo) = World::new("texts-out");
    let mut juliet = world.client("juliet", "balcony");
    for (what, text) in TEXTS {
        // A client cannot send CR: its XML library writes it as it is, and XML reads it as LF.
        juliet.send(json!({"to": "romeo@example.net", "body": text}));
        let got = romeo.request(SOON, |_| true);
        assert_eq!(got.method.as_deref(), Some("MESSAGE"), "{what}");
        assert_eq!(got.uri.as_deref(), Some("sip:romeo@example.net"), "{what}");
        let body = got.body.as_deref().expect("UTF-8");
        assert_eq!(lines(body), lines(text), "{what}");
        assert!(!lines(body).contains('\r') && body == lines(body).replace('\n', "\r\n"), "{what}: {body:?}");
        assert_eq!(got.size, got.raw.len(), "{what}: the wire is UTF-8");
        assert!(got.header("Content-Type").starts_with("text/plain"), "{what}: {}", got.raw);
    }
    assert!(juliet.messages().is_empty(), "no errors");
    assert_eq!(romeo.retransmissions(), 0);
}

#[test]
fn every_text_reaches_a_client() {
    let (world, mut romeo) = World::new("texts-in");
    let mut juliet = world.client("juliet", "balcony");
    for transport in ["udp", "tcp"] {
        for (what, text) in TEXTS {
            let order = json!({
                "uri": "sip:juliet@example.com", "body": text, "transport": transport,
                "headers": [["Content-Type", "text/plain;charset=UTF-8"]],
            });
            assert_eq!(world.ask(&mut romeo, order).code, 200, "{what}");
            let got = juliet.message(SOON, |_| true);
            assert_eq!(got.from, "romeo@example.net", "{what}");
            assert_eq!(lines(got.body.as_deref().unwrap_or_default()), lines(text), "{what}");
            assert!(matches!(got.kind.as_deref(), None | Some("normal")), "{what}: RFC 7572 §5: no type, or normal");
        }
    }
    assert!(juliet.messages().is_empty(), "each text once");
}

/// RFC 3428 §8: 1300 bytes and no more. RFC 7572 §6: beyond, policy-violation.
#[test]
fn a_text_of_any_size_up_to_the_limit_reaches_a_phone() {
    let (world, mut romeo) = World::new("sizes-out");
    let mut juliet = world.client("juliet", "balcony");
    // All ids of one length, as the branch carries them.
    let mut number = 100;
    let mut send = |bytes: usize| {
        number += 1;
        juliet.send(json!({"to": "romeo@example.net", "body": "x".repeat(bytes), "id": format!("n{number}")}))
    };
    let mut overhead = 0;
    for bytes in [1, 2, 10, 99, 100, 500, 501] {
        send(bytes);
        let got = romeo.request(SOON, |_| true);
        assert_eq!(got.body.map(|b| b.len()), Some(bytes));
        overhead = got.size - bytes;
    }
    send(1300 - overhead);
    let got = romeo.request(SOON, |_| true);
    assert_eq!(got.size, 1300, "the largest that fits:\n{}", got.raw);
    let ids = [send(1301 - overhead), send(1300), send(9_000)];
    for id in ids {
        assert_eq!(juliet.error(SOON, &id).condition(), "policy-violation");
    }
    romeo.no_request(Duration::from_millis(200), |_| true);
}

#[test]
fn a_text_of_any_size_up_to_the_limit_reaches_a_client() {
    let (world, mut romeo) = World::new("sizes-in");
    let mut juliet = world.client("juliet", "balcony");
    for bytes in [1, 2, 100, 500, 800, 900, 950] {
        let text = "<".repeat(bytes);
        assert_eq!(world.say(&mut romeo, &text), 200);
        assert_eq!(juliet.message(SOON, |_| true).body.as_deref(), Some(text.as_str()));
    }
}

/// RFC 7572 Table 1.
#[test]
fn the_fields_of_table_1_reach_a_phone() {
    let (world, mut romeo) = World::new("fields-out");
    let mut juliet = world.client("juliet", "balcony");
    juliet.send(json!({
        "to": "romeo@example.net", "id": "id-1", "type": "chat", "lang": "cs", "body": "text",
        "subject": "\u{c7}a va? <\u{1f339}> \"x\"", "thread": "D9AA95FD-2BD5-46E2-AF0F-6CFAA96BDDFA",
    }));
    let got = romeo.request(SOON, |_| true);
    assert_eq!(got.uri.as_deref(), Some("sip:romeo@example.net"));
    assert!(got.header("From").starts_with("<sip:juliet@example.com;gr=balcony>;tag="), "{}", got.raw);
    assert!(got.header("To").contains("sip:romeo@example.net"), "{}", got.raw);
    assert_eq!(got.header("Subject"), "\u{c7}a va? <\u{1f339}> \"x\"");
    assert_eq!(got.header("Call-ID"), "D9AA95FD-2BD5-46E2-AF0F-6CFAA96BDDFA");
    assert_eq!(got.header("Content-Language"), "cs");
    assert!(got.header("Via").contains("id-1"), "the branch carries the id: {}", got.raw);

    // The same thread again: a Call-ID is no conversation's secret, a From tag is never used twice.
    juliet.send(json!({"to": "romeo@example.net", "body": "more", "thread": "D9AA95FD-2BD5-46E2-AF0F-6CFAA96BDDFA"}));
    let more = romeo.request(SOON, |_| true);
    assert_eq!(more.header("Call-ID"), got.header("Call-ID"));
    assert_ne!(more.header("From"), got.header("From"));

    // No thread: a Call-ID of its own.
    juliet.send(json!({"to": "romeo@example.net/orchard", "body": "a device", "subject": "line\r\nVia: x"}));
    let fresh = romeo.request(SOON, |_| true);
    assert_ne!(fresh.header("Call-ID"), got.header("Call-ID"));
    assert_eq!(fresh.uri.as_deref(), Some("sip:romeo@example.net;gr=orchard"));
    assert_eq!(fresh.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case("via")).count(), 1, "{}", fresh.raw);
}

/// RFC 7572 Table 2.
#[test]
fn the_fields_of_table_2_reach_a_client() {
    let (world, mut romeo) = World::new("fields-in");
    let mut juliet = world.client("juliet", "balcony");
    let order = json!({
        "uri": "sip:juliet@example.com", "body": "text",
        "headers": [
            ["From", "\"R\" <sip:romeo@example.net;gr=orchard>;tag=1"], ["Subject", "\u{c7}a va? <\u{1f339}> \"x\""],
            ["Call-ID", "9E97FB43-85F4-4A00-8751-1124FD4C7B2E@example.net"], ["Content-Language", "cs"],
            ["Via", format!("SIP/2.0/UDP {};branch=z9hG4bKeskdgs677", romeo.address())],
        ],
    });
    assert_eq!(world.ask(&mut romeo, order).code, 200);
    let got = juliet.message(SOON, |_| true);
    assert_eq!(got.from, "romeo@example.net/orchard");
    assert_eq!(got.to.as_deref(), Some("juliet@example.com"));
    assert_eq!(got.subject.as_deref(), Some("\u{c7}a va? <\u{1f339}> \"x\""));
    assert_eq!(got.thread.as_deref(), Some("9E97FB43-85F4-4A00-8751-1124FD4C7B2E@example.net"));
    assert_eq!(got.lang.as_deref(), Some("cs"));
    assert_eq!(got.id.as_deref(), Some("z9hG4bKeskdgs677"));
    assert_eq!(got.body.as_deref(), Some("text"));

    // A device: only it gets the message.
    let mut nurse = world.client("juliet", "chamber");
    let order = json!({"uri": "sip:juliet@example.com;gr=chamber", "body": "here"});
    assert_eq!(world.ask(&mut romeo, order).code, 200);
    assert_eq!(nurse.message(SOON, |_| true).to.as_deref(), Some("juliet@example.com/chamber"));
    juliet.no_message(Duration::from_millis(200), |_| true);
}

#[test]
fn an_answer_goes_back_the_way_the_message_came() {
    let (world, mut romeo) = World::new("answer");
    let mut juliet = world.client("juliet", "balcony");
    juliet.send(json!({"to": "romeo@example.net", "body": "art thou not Romeo?", "thread": "a thread, with @ and @"}));
    let question = romeo.request(SOON, |_| true);
    // A phone answers to From, in the same conversation.
    let uri = question.header("From").split(['<', '>']).nth(1).expect("in angle brackets").to_owned();
    let call_id = question.header("Call-ID").to_owned();
    let order = json!({"uri": uri, "body": "neither", "headers": [["Call-ID", call_id]]});
    assert_eq!(world.ask(&mut romeo, order).code, 200);
    let answer = juliet.message(SOON, |_| true);
    assert_eq!(answer.to.as_deref(), Some("juliet@example.com/balcony"));
    assert_eq!(answer.thread.as_deref(), Some("a thread, with @ and @"));
}

/// Two users never become one on the way, whatever their names hold.
#[test]
fn odd_names_come_through() {
    let (world, mut romeo) = World::new("names");
    let mut juliet = world.client("juliet", "balc\u{f3}n <&> #1");
    for (jid, uri) in [
        ("d\\27artagnan@example.net", "sip:d'artagnan@example.net"),
        ("\\22x\\22@example.net", "sip:%22x%22@example.net"),
        ("a\\2fb@example.net", "sip:a/b@example.net"),
        ("a\\40b@example.net", "sip:a%40b@example.net"),
        ("100%@example.net", "sip:100%25@example.net"),
        ("\u{3c1}\u{3c9}@example.net", "sip:%CF%81%CF%89@example.net"),
    ] {
        juliet.send(json!({"to": jid, "body": jid}));
        let got = romeo.request(SOON, |_| true);
        assert_eq!(got.uri.as_deref(), Some(uri), "{jid}");
        let order =
            json!({"uri": "sip:juliet@example.com", "body": uri, "headers": [["From", format!("<{uri}>;tag=1")]]});
        assert_eq!(world.ask(&mut romeo, order).code, 200, "{uri}");
        assert_eq!(juliet.message(SOON, |_| true).from, jid, "{uri}");
    }
}

/// RFC 7572 §7 and XEP-0071; what a phone that does not know it says (415), and plain text after that.
#[test]
fn formatted_text_goes_with_its_plain_form() {
    let (world, mut romeo) = World::new("rich");
    let mut juliet = world.client("juliet", "balcony");
    juliet.send(json!({"to": "romeo@example.net", "body": "a rose", "xhtml": "<p>a <em>rose</em></p>"}));
    let rich = romeo.request(SOON, |_| true);
    assert!(rich.header("Content-Type").starts_with("multipart/alternative"), "{}", rich.raw);
    let body = rich.body.as_deref().unwrap_or_default();
    let (plain, html) = (body.find("a rose"), body.find("a <em>rose</em>"));
    assert!(plain.is_some() && plain < html, "RFC 2046 §5.1.4: the plainest first: {body}");

    romeo.order_answer(json!({"code": 415, "reason": "No", "times": 1, "headers": [["Accept", "text/plain"]]}));
    for again in [true, false] {
        juliet.send(json!({"to": "romeo@example.net", "body": "a rose", "xhtml": "<p>a <em>rose</em></p>"}));
        if again {
            romeo.request(SOON, |r| r.header("Content-Type").starts_with("multipart/"));
        }
        let plain = romeo.request(SOON, |_| true);
        assert!(plain.header("Content-Type").starts_with("text/plain"), "{}", plain.raw);
        assert_eq!(plain.body.as_deref(), Some("a rose"));
    }
    assert!(juliet.messages().is_empty(), "no errors");

    let html = "<html><head><script>x()</script></head><body><p onclick='x()'>a <b>rose</b></p></body></html>";
    let order = json!({"uri": "sip:juliet@example.com", "body": html, "headers": [["Content-Type", "text/html"]]});
    assert_eq!(world.ask(&mut romeo, order).code, 200);
    let got = juliet.message(SOON, |_| true);
    assert_eq!(got.body.as_deref().map(str::trim), Some("a rose"));
    let xhtml = got.xhtml.expect("XHTML-IM beside the plain text");
    assert!(xhtml.contains("rose") && !xhtml.contains("script") && !xhtml.contains("onclick"), "{xhtml}");
}

#[test]
fn other_bodies_are_read_or_refused() {
    let (world, mut romeo) = World::new("bodies");
    let mut juliet = world.client("juliet", "balcony");
    let mut ask = |kind: &str, body: &str| {
        let order = json!({"uri": "sip:juliet@example.com", "body": body, "headers": [["Content-Type", kind]]});
        world.ask(&mut romeo, order)
    };
    let cpim = "From: <sip:romeo@example.net>\r\nTo: <sip:juliet@example.com>\r\nSubject: inside\r\n\r\n\
                Content-Type: text/plain; charset=utf-8\r\n\r\nwrapped \u{1f339}";
    assert_eq!(ask("message/cpim", cpim).code, 200);
    let got = juliet.message(SOON, |_| true);
    assert_eq!((got.body.as_deref(), got.subject.as_deref()), (Some("wrapped \u{1f339}"), Some("inside")));

    let composing = "<?xml version='1.0' encoding='UTF-8'?>\
                     <isComposing xmlns='urn:ietf:params:xml:ns:im-iscomposing'><state>active</state></isComposing>";
    assert_eq!(ask("application/im-iscomposing+xml", composing).code, 200);
    assert_eq!(juliet.message(SOON, |_| true).state.as_deref(), Some("composing"));

    let refused = ask("application/x-unheard-of", "?");
    assert_eq!(refused.code, 415);
    assert!(refused.header("Accept").contains("text/plain"), "{}", refused.raw);
    assert_eq!(ask("text/plain;charset=x-unheard-of", "?").code, 415);
    juliet.no_message(Duration::from_millis(200), |_| true);
}

#[test]
fn a_charset_that_is_declared_is_read() {
    let (world, mut romeo) = World::new("charset");
    let mut juliet = world.client("juliet", "balcony");
    for (charset, hex, text) in [
        ("ISO-8859-1", "e9e8", Some("\u{e9}\u{e8}")),
        ("windows-1251", "cfeef5ece5ebfce5", Some("\u{41f}\u{43e}\u{445}\u{43c}\u{435}\u{43b}\u{44c}\u{435}")),
        ("UTF-8", "c3a9", Some("\u{e9}")),
        ("UTF-8", "c0af", None),
        ("UTF-8", "eda080", None),
    ] {
        let kind = format!("text/plain;charset={charset}");
        let order = json!({"uri": "sip:juliet@example.com", "body_hex": hex, "headers": [["Content-Type", kind]]});
        let answer = world.ask(&mut romeo, order);
        match text {
            Some(text) => {
                assert_eq!(answer.code, 200, "{charset} {hex}");
                assert_eq!(juliet.message(SOON, |_| true).body.as_deref(), Some(text));
            }
            None => assert_eq!(answer.code, 400, "{charset} {hex}"),
        }
    }
    juliet.no_message(Duration::from_millis(200), |_| true);
}

/// Characters that XML forbids would end the component's stream for everybody.
#[test]
fn what_xml_forbids_never_reaches_the_stream() {
    let (world, mut romeo) = World::new("forbidden");
    let mut juliet = world.client("juliet", "balcony");
    for hex in ["610062", "61 01 62", "61 0b 62", "61 1b 62", "61 efbfbe 62", "61 efbfbf 62"] {
        let order = json!({"uri": "sip:juliet@example.com", "body_hex": hex.replace(' ', "")});
        assert_eq!(world.ask(&mut romeo, order).code, 200, "{hex}");
        assert_eq!(juliet.message(SOON, |_| true).body.as_deref(), Some("a\u{fffd}b"), "{hex}");
    }
    assert!(world.gateway.is_ready());
}
