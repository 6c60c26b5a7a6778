//! Presence the other way: a phone watches a client.

use crate::presence::{A_WHILE, ROMEO, quick, roster, send};
use crate::world::{SOON, World};
use rehearsal::peers::{SipDialog, SipMessage, SipPhone, XmppClient};
use std::time::Duration;

const FROM: &str = "sip:romeo@example.net";
const JULIET: &str = "sip:juliet@example.com";

/// The phone watches juliet, and is answered 200.
fn watch(world: &World, phone: &mut SipPhone, expires: u32) -> (SipDialog, SipMessage) {
    let (dialog, answer) = SipDialog::granted(phone, world.gateway.sip(), FROM, JULIET, expires);
    assert_eq!((answer.code, answer.header("Expires")), (200, expires.to_string().as_str()), "{}", answer.raw);
    (dialog, answer)
}

/// As [`watch`], and juliet approves.
pub(crate) fn befriend(world: &World, phone: &mut SipPhone, juliet: &mut XmppClient, expires: u32) -> SipDialog {
    let (dialog, _) = watch(world, phone, expires);
    juliet.presence(SOON, "subscribe", ROMEO);
    send(juliet, "subscribed");
    dialog.told(phone, SOON, "active", |body| body.contains("id=\"ID-balcony\"") || body.contains("id='ID-balcony'"));
    dialog
}

/// Whether a document has a tuple for the resource.
pub(crate) fn has(body: &str, resource: &str) -> bool {
    body.contains(&format!("id=\"ID-{resource}\"")) || body.contains(&format!("id='ID-{resource}'"))
}

/// RFC 8048 §5.3 and §6.2: pending without a word, approved; every field; a resource that goes takes its tuple along; refresh, and the end.
#[test]
fn a_phone_watches_a_client() {
    let (world, mut romeo) = World::with("presence-s", quick);
    let mut juliet = world.client("juliet", "balcony");
    let (mut dialog, answer) = watch(&world, &mut romeo, 600);
    assert_eq!(answer.header("Contact"), format!("<sip:juliet@{}>", world.gateway.sip()));
    let pending = dialog.notified(&mut romeo, SOON);
    assert!(pending.header("Subscription-State").starts_with("pending;expires="), "{}", pending.raw);
    assert_eq!((pending.body.as_deref(), pending.header("Content-Type")), (Some(""), ""), "{}", pending.raw);
    assert_eq!(pending.header("Event"), "presence");
    juliet.presence(SOON, "subscribe", ROMEO);
    // What she says now is not for him yet.
    juliet.send_raw("<presence><show>dnd</show><status>nobody's business</status></presence>");
    romeo.no_request(A_WHILE, |_| true);

    send(&mut juliet, "subscribed");
    let got = dialog.told(&mut romeo, SOON, "active", |body| has(body, "balcony"));
    assert_eq!(got.header("Content-Type"), "application/pidf+xml");
    let body = got.body.unwrap_or_default();
    assert!(
        body.contains(">dnd<") && body.contains("nobody&apos;s business") || body.contains("nobody's business"),
        "{body}"
    );
    assert!(body.contains("pres:juliet@example.com"), "{body}");
    assert_eq!(roster(&mut juliet), "from");

    for (show, priority, expected) in
        [("away", 1, "0.007"), ("xa", 64, "0.503"), ("chat", 127, "\"1\""), ("dnd", 0, "\"0\"")]
    {
        juliet.send_raw(&format!(
            "<presence xml:lang='it'><show>{show}</show><status>Ay {show}!</status><priority>{priority}</priority></presence>"
        ));
        let got = dialog.told(&mut romeo, SOON, "active", |body| body.contains(&format!("Ay {show}!")));
        let body = got.body.unwrap_or_default().replace('\'', "\"");
        assert!(body.contains(&format!(">{show}</")) && body.contains(expected), "{body}");
        assert!(body.contains(">open</"), "{body}");
        assert!(body.contains("xml:lang=\"it\"") || got.headers.iter().any(|(_, v)| v == "it"), "{body}");
    }
    // A negative priority says that no message is wanted there; it has no place in PIDF, and the tuple stands.
    juliet.send_raw("<presence><priority>-1</priority><status>low</status></presence>");
    let got = dialog.told(&mut romeo, SOON, "active", |body| body.contains("low"));
    assert!(!got.raw.contains("priority="), "{}", got.raw);

    // A second resource comes, with its own tuple, and goes.
    let mut chamber = world.client("juliet", "chamber");
    chamber.send_raw("<presence><show>away</show></presence>");
    let got =
        dialog.told(&mut romeo, SOON, "active", |b| has(b, "balcony") && has(b, "chamber") && b.contains(">away<"));
    assert_eq!(got.body.as_deref().unwrap_or_default().matches("<tuple").count(), 2, "{}", got.raw);
    chamber.disconnect();
    let got = dialog.told(&mut romeo, SOON, "active", |b| has(b, "balcony") && !has(b, "chamber"));
    assert_eq!(got.body.as_deref().unwrap_or_default().matches("<tuple").count(), 1, "{}", got.raw);

    // RFC 6665 §4.2.1.2: each refresh is answered by the state.
    let answer = dialog.subscribe(&mut romeo, 300);
    assert_eq!((answer.code, answer.header("Expires")), (200, "300"), "{}", answer.raw);
    dialog.told(&mut romeo, SOON, "active", |b| has(b, "balcony"));
    // §5.3.3: he wants no more; she is told that he is gone, and the authorization stays.
    let answer = dialog.subscribe(&mut romeo, 0);
    assert_eq!((answer.code, answer.header("Expires")), (200, "0"), "{}", answer.raw);
    let last = dialog.told(&mut romeo, SOON, "terminated", |_| true);
    assert!(last.header("Subscription-State").contains("reason=timeout"), "{}", last.raw);
    assert!(!last.raw.contains(">open<"), "{}", last.raw);
    juliet.presence(SOON, "unavailable", ROMEO);
    assert_eq!(roster(&mut juliet), "from");
    assert_eq!(dialog.subscribe(&mut romeo, 300).code, 481);
    juliet.send_raw("<presence><show>xa</show></presence>");
    romeo.no_request(A_WHILE, |_| true);

    // Nobody is asked a second time.
    let (dialog, _) = watch(&world, &mut romeo, 600);
    dialog.told(&mut romeo, SOON, "active", |b| has(b, "balcony") && b.contains(">xa<"));
    juliet.no_presence(A_WHILE, |p| p.kind.as_deref() == Some("subscribe"));
}

/// RFC 8048 §5.3.1, example 15: refused, or approved and taken back.
#[test]
fn a_client_refuses_a_phone() {
    let (world, mut romeo) = World::with("presence-s-refused", quick);
    let mut juliet = world.client("juliet", "balcony");
    for approved in [false, true] {
        let dialog = if approved {
            befriend(&world, &mut romeo, &mut juliet, 600)
        } else {
            let (dialog, _) = watch(&world, &mut romeo, 600);
            juliet.presence(SOON, "subscribe", ROMEO);
            dialog
        };
        send(&mut juliet, "unsubscribed");
        let last = dialog.told(&mut romeo, SOON, "terminated", |_| true);
        assert!(last.header("Subscription-State").contains("reason=rejected"), "{}", last.raw);
        assert_eq!(last.body.as_deref(), Some(""), "{}", last.raw);
        assert!(!roster(&mut juliet).contains("from"));
        juliet.send_raw("<presence><status>not for him</status></presence>");
        romeo.no_request(A_WHILE, |_| true);
    }
}

/// RFC 6665 §4.2.1.1 and §4.2.1.4: too short is told how long; what is not refreshed lapses.
#[test]
fn a_phones_subscription_lapses() {
    let (world, mut romeo) = World::with("presence-s-expiry", |s| {
        s.more = "[presence]\nmin_expires = \"2s\"\nnotify_interval = \"0s\"\n".to_owned();
    });
    let mut juliet = world.client("juliet", "balcony");
    let (none, answer) = SipDialog::watch(&mut romeo, world.gateway.sip(), FROM, JULIET, 1);
    assert!(none.is_none());
    assert_eq!((answer.code, answer.header("Min-Expires")), (423, "2"), "{}", answer.raw);
    juliet.no_presence(A_WHILE, |p| p.kind.as_deref() == Some("subscribe"));

    let mut dialog = befriend(&world, &mut romeo, &mut juliet, 2);
    assert_eq!(dialog.subscribe(&mut romeo, 2).code, 200);
    let last = dialog.told(&mut romeo, SOON, "terminated", |_| true);
    assert!(last.header("Subscription-State").contains("reason=timeout"), "{}", last.raw);
    juliet.presence(SOON, "unavailable", ROMEO);
    assert_eq!(dialog.subscribe(&mut romeo, 2).code, 481);
    assert_eq!(roster(&mut juliet), "from");
}

/// RFC 8048 §7.2: a poll is answered from what is known, and who was not approved learns nothing by it.
#[test]
fn a_phone_polls_a_client() {
    let (world, mut romeo) = World::with("presence-s-poll", quick);
    let mut juliet = world.client("juliet", "balcony");
    // A stranger; there is no such user; the two must look the same.
    for uri in [JULIET, "sip:nobody@example.com"] {
        let (dialog, _) = SipDialog::granted(&mut romeo, world.gateway.sip(), FROM, uri, 0);
        let got = dialog.told(&mut romeo, SOON, "terminated", |_| true);
        assert_eq!(got.body.as_deref(), Some(""), "{}", got.raw);
        assert_eq!(got.header("Subscription-State").split("reason=").nth(1), Some("timeout"), "{uri}: {}", got.raw);
    }
    juliet.no_presence(A_WHILE, |p| p.kind.as_deref() == Some("subscribe"));
    let mut dialog = befriend(&world, &mut romeo, &mut juliet, 600);
    let poll = |romeo: &mut SipPhone| {
        let (dialog, answer) = SipDialog::granted(romeo, world.gateway.sip(), FROM, JULIET, 0);
        assert_eq!(answer.header("Expires"), "0");
        dialog.told(romeo, SOON, "terminated", |_| true).body.unwrap_or_default()
    };
    assert!(has(&poll(&mut romeo), "balcony"));
    // Also when no dialog keeps it known.
    dialog.subscribe(&mut romeo, 0);
    dialog.told(&mut romeo, SOON, "terminated", |_| true);
    let body = poll(&mut romeo);
    assert!(has(&body, "balcony") && body.contains(">open<"), "{body}");
}

/// XEP-0191 in Prosody: who is blocked sees that she is gone, learns nothing while it lasts, and comes back with it.
#[test]
fn a_client_blocks_a_phone() {
    let (world, mut romeo) = World::with("presence-s-block", quick);
    let mut juliet = world.client("juliet", "balcony");
    let mut dialog = befriend(&world, &mut romeo, &mut juliet, 600);
    let own = "juliet@example.com";
    let block = |juliet: &mut XmppClient, what: &str| {
        let answer =
            juliet.iq("set", own, &format!("<{what} xmlns='urn:xmpp:blocking'><item jid='{ROMEO}'/></{what}>"));
        assert_eq!(answer.kind, "result", "{}", answer.raw);
    };
    block(&mut juliet, "block");
    dialog.told(&mut romeo, SOON, "active", |b| !b.contains(">open<"));
    juliet.send_raw("<presence><status>secret</status></presence>");
    // Neither a refresh, nor a poll, nor a new dialog finds a way around it.
    assert_eq!(dialog.subscribe(&mut romeo, 600).code, 200);
    let (poll, _) = SipDialog::granted(&mut romeo, world.gateway.sip(), FROM, JULIET, 0);
    poll.told(&mut romeo, SOON, "terminated", |b| !b.contains(">open<"));
    let (second, _) = watch(&world, &mut romeo, 600);
    second.notified(&mut romeo, SOON);
    std::thread::sleep(A_WHILE);
    for request in romeo.requests() {
        assert!(!request.raw.contains(">open<") && !request.raw.contains("secret"), "{}", request.raw);
    }
    block(&mut juliet, "unblock");
    dialog.told(&mut romeo, SOON, "active", |b| b.contains("secret"));
    second.told(&mut romeo, SOON, "active", |b| b.contains("secret"));
    juliet.no_presence(Duration::ZERO, |p| p.kind.as_deref() == Some("subscribe"));
}
