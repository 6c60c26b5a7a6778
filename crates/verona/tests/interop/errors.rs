//! RFC 7247 §7 with real programs: what one side refuses, the other side's sender is told.

use crate::world::{SOON, World};
use rehearsal::peers::json;
use std::time::{Duration, Instant};

/// RFC 7247 §7.2, Table 3: each code that a phone can give, and what the XMPP sender reads.
const TABLE_3: [(u16, &str); 43] = [
    (300, "redirect"),
    (302, "redirect"),
    (305, "redirect"),
    (380, "not-acceptable"),
    (399, "redirect"),
    (400, "bad-request"),
    (401, "not-authorized"),
    (402, "bad-request"),
    (403, "forbidden"),
    (404, "item-not-found"),
    (405, "feature-not-implemented"),
    (406, "not-acceptable"),
    (407, "registration-required"),
    (408, "remote-server-timeout"),
    (410, "gone"),
    (413, "policy-violation"),
    (414, "policy-violation"),
    (415, "not-acceptable"),
    (416, "not-acceptable"),
    (420, "feature-not-implemented"),
    (430, "recipient-unavailable"),
    (439, "feature-not-implemented"),
    (440, "policy-violation"),
    (480, "recipient-unavailable"),
    (481, "item-not-found"),
    (482, "not-acceptable"),
    (484, "item-not-found"),
    (485, "item-not-found"),
    (486, "recipient-unavailable"),
    (488, "not-acceptable"),
    (491, "unexpected-request"),
    (493, "bad-request"),
    (499, "bad-request"),
    (500, "internal-server-error"),
    (501, "feature-not-implemented"),
    (502, "remote-server-not-found"),
    (503, "internal-server-error"),
    (504, "remote-server-timeout"),
    (505, "not-acceptable"),
    (513, "policy-violation"),
    (600, "recipient-unavailable"),
    (603, "recipient-unavailable"),
    (604, "item-not-found"),
];

#[test]
fn a_phones_refusal_reaches_the_sender() {
    let (world, mut romeo) = World::new("table3");
    let mut juliet = world.client("juliet", "balcony");
    for (code, condition) in TABLE_3 {
        let headers = match code {
            300..=399 => json!([["Contact", "<sip:romeo@mantua.example.org>"]]),
            405 => json!([["Allow", "INVITE"]]),
            415 => json!([["Accept", "text/plain"]]),
            420 => json!([["Unsupported", "x"]]),
            _ => json!([]),
        };
        romeo.order_answer(json!({"code": code, "reason": "So be it", "headers": headers, "times": 1}));
        let id = juliet.send(json!({"to": "romeo@example.net", "body": "?"}));
        let answer = juliet.error(SOON, &id);
        let error = answer.error.clone().expect("an error");
        assert_eq!(error.conditions, [condition], "{code}: {}", answer.raw);
        assert_eq!(answer.from, "romeo@example.net", "{code}");
        assert_eq!(answer.kind.as_deref(), Some("error"), "{code}");
        let kinds = ["auth", "cancel", "modify", "wait"];
        assert!(error.kind.as_deref().is_some_and(|k| kinds.contains(&k)), "{code}: {}", answer.raw);
        assert_eq!(error.text.as_deref(), Some("So be it"), "{code}: §7, the Reason-Phrase is the text");
        romeo.request(SOON, |_| true);
        assert!(romeo.requests().is_empty(), "{code}: asked once");
    }
}

/// RFC 7247 §7.2, note 1: with 301 the new address is part of the error.
#[test]
fn an_address_that_moved_is_told() {
    let (world, mut romeo) = World::new("moved");
    let mut juliet = world.client("juliet", "balcony");
    let contact = json!([["Contact", "<sip:romeo@mantua.example.org>"]]);
    romeo.order_answer(json!({"code": 301, "reason": "Moved", "headers": contact}));
    let id = juliet.send(json!({"to": "romeo@example.net", "body": "?"}));
    let answer = juliet.error(SOON, &id);
    assert_eq!(answer.condition(), "gone", "{}", answer.raw);
    let address = answer.error.and_then(|e| e.address).unwrap_or_default();
    assert!(address.contains("romeo@mantua.example.org"), "{address:?}");
}

#[test]
fn a_phone_that_says_nothing_is_a_timeout() {
    let (world, mut romeo) = World::with("timeout", |s| s.more_sip = "t1 = \"100ms\"".to_owned());
    let mut juliet = world.client("juliet", "balcony");
    romeo.answer(0, "");
    let start = Instant::now();
    let id = juliet.send(json!({"to": "romeo@example.net", "body": "anybody?"}));
    let answer = juliet.error(Duration::from_secs(15), &id);
    assert_eq!(answer.condition(), "remote-server-timeout", "{}", answer.raw);
    // RFC 3261 §17.1.2: 64*T1; T1, then doubling to T2 = 4 s: at 0.1, 0.3, 0.7, 1.5, 3.1 and (T2 = 8*T1 or 4 s) on.
    assert!(start.elapsed() > Duration::from_secs(6), "{:?}", start.elapsed());
    romeo.request(SOON, |_| true);
    assert!(romeo.requests().is_empty(), "one transaction");
    assert!((5..=11).contains(&romeo.retransmissions()), "as timer E says");
    // The next one is not hindered by it.
    romeo.answer(200, "OK");
    juliet.send(json!({"to": "romeo@example.net", "body": "and now?"}));
    romeo.request(SOON, |r| r.body.as_deref() == Some("and now?"));
}

/// What a phone takes on its way (202) or takes its time for (1xx) is no error.
#[test]
fn what_is_accepted_is_no_error() {
    let (world, mut romeo) = World::new("accepted");
    let mut juliet = world.client("juliet", "balcony");
    for code in [200, 202] {
        romeo.answer(code, "OK");
        juliet.send(json!({"to": "romeo@example.net", "body": "?", "type": "chat"}));
        romeo.request(SOON, |_| true);
    }
    juliet.no_message(Duration::from_millis(500), |_| true);
}

/// Prosody says `service-unavailable` for a user that it does not know (RFC 6121 §8.5.1 lets it choose between that and silence), the
/// same as for one who is not there. 503 would speak for the whole server (RFC 7247 §7.1, note 5).
#[test]
fn an_unknown_user_is_not_found() {
    let (world, mut romeo) = World::new("unknown");
    for uri in ["sip:nobody@example.com", "sip:nobody@example.com;gr=nowhere", "im:nobody@example.com"] {
        let answer = world.ask(&mut romeo, json!({"uri": uri, "body": "hello"}));
        assert!(matches!(answer.code, 404 | 604), "{uri}: {}", answer.raw);
    }
    // The link has suffered nothing by it.
    let mut juliet = world.client("juliet", "balcony");
    assert_eq!(world.say(&mut romeo, "hello"), 200);
    juliet.message(SOON, |m| m.body.as_deref() == Some("hello"));
}

/// What the gateway refuses by itself.
#[test]
fn what_may_not_be_sent_is_refused() {
    let (world, mut romeo) = World::new("refused");
    let mut juliet = world.client("juliet", "balcony");
    for (what, uri, from, code) in [
        ("one of ours as sender", "sip:juliet@example.com", "<sip:nurse@example.com>;tag=1", 403),
        ("a foreign sender", "sip:juliet@example.com", "<sip:x@elsewhere.example>;tag=1", 403),
        ("a foreign recipient", "sip:juliet@elsewhere.example", "<sip:romeo@example.net>;tag=1", 404),
        ("back to SIP", "sip:paris@example.net", "<sip:romeo@example.net>;tag=1", 404),
        ("no telephone", "tel:+15551234", "<sip:romeo@example.net>;tag=1", 404),
        ("a web page", "http://example.com/", "<sip:romeo@example.net>;tag=1", 416),
    ] {
        let answer = world.ask(&mut romeo, json!({"uri": uri, "body": "x", "headers": [["From", from]]}));
        let group = answer.code == code || (code == 404 && matches!(answer.code, 403 | 416 | 604));
        assert!(group, "{what}: {}", answer.raw);
    }
    // Our domains are never resolved back: another component's address is no way around it.
    let id = juliet.send(json!({"to": "example.net", "body": "to the gateway itself"}));
    assert!(!juliet.error(SOON, &id).condition().is_empty());
    let id = juliet.send(json!({"to": "romeo@example.net", "type": "groupchat", "body": "no room"}));
    assert!(!juliet.error(SOON, &id).condition().is_empty());
    romeo.no_request(Duration::from_millis(300), |_| true);
    juliet.no_message(Duration::from_millis(100), |_| true);
}

/// An error never answers an error.
#[test]
fn an_error_is_not_answered() {
    let (world, mut romeo) = World::new("error-error");
    let mut juliet = world.client("juliet", "balcony");
    juliet.send_raw(
        "<message to='romeo@example.net' type='error' id='e1'><body>x</body><error type='cancel'>\
         <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
    );
    juliet.send_raw("<message to='bad\\20@example.net/ok' type='error' id='e2'/>");
    juliet.send_raw("<presence to='romeo@example.net' type='error' id='e3'/>");
    juliet.send_raw("<iq to='romeo@example.net' type='error' id='e4'/>");
    juliet.send_raw("<iq to='romeo@example.net' type='result' id='e5'/>");
    romeo.no_request(Duration::from_millis(300), |_| true);
    juliet.no_message(Duration::from_millis(200), |_| true);
    assert_eq!(world.say(&mut romeo, "still here"), 200);
    juliet.message(SOON, |m| m.body.as_deref() == Some("still here"));
}
