//! Presence (RFC 8048): a client watches a phone, between Prosody's roster and a phone that is strict about every byte. What the other
//! tests of presence need, too.

use crate::world::{SOON, World};
use rehearsal::peers::{Settings, SipDialog, SipMessage, SipPhone, XmppClient, json};
use std::time::Duration;

pub(crate) const ROMEO: &str = "romeo@example.net";
/// Long enough for something that should not come to be seen.
pub(crate) const A_WHILE: Duration = Duration::from_millis(500);

/// Short subscriptions may be asked for, no NOTIFY waits for the one before it, and a server that says nothing is not waited for.
pub(crate) fn quick(settings: &mut Settings) {
    settings.more = "[presence]\nmin_expires = \"1s\"\nnotify_interval = \"0s\"\nprobe_wait = \"200ms\"\n".to_owned();
}

/// A device of romeo's as PIDF has it.
pub(crate) struct Tuple {
    pub(crate) id: &'static str,
    pub(crate) open: bool,
    pub(crate) show: &'static str,
    pub(crate) priority: &'static str,
    pub(crate) note: &'static str,
}

/// An open tuple that says nothing else.
pub(crate) fn open(id: &'static str) -> Tuple {
    Tuple { id, open: true, show: "", priority: "", note: "" }
}

/// A PIDF document of romeo's (RFC 3863, RFC 8048 §6.3).
pub(crate) fn pidf(tuples: &[Tuple]) -> String {
    let mut out = "<?xml version='1.0' encoding='UTF-8'?>\n\
                   <presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:romeo@example.net'>"
        .to_owned();
    for tuple in tuples {
        let basic = if tuple.open { "open" } else { "closed" };
        out += &format!("<tuple id='{}'><status><basic>{basic}</basic>", tuple.id);
        if !tuple.show.is_empty() {
            out += &format!("<show xmlns='jabber:client'>{}</show>", tuple.show);
        }
        out += "</status>";
        if !tuple.priority.is_empty() {
            out += &format!("<contact priority='{}'>sip:romeo@example.net</contact>", tuple.priority);
        }
        if !tuple.note.is_empty() {
            out += &format!("<note xml:lang='en'>{}</note>", tuple.note);
        }
        out += "</tuple>";
    }
    out + "</presence>"
}

/// Sends presence of `kind` from the client to romeo.
pub(crate) fn send(client: &mut XmppClient, kind: &str) {
    client.send_raw(&format!("<presence to='{ROMEO}' type='{kind}'/>"));
}

/// What the client's server remembers of romeo: the subscription, and whether it was asked for; "" if nothing.
pub(crate) fn roster(client: &mut XmppClient) -> String {
    let own = client.jid().split('/').next().unwrap_or_default().to_owned();
    let answer = client.iq("get", &own, "<query xmlns='jabber:iq:roster'/>");
    let item = answer.raw.split("<").find(|e| e.contains("item") && e.contains(ROMEO)).unwrap_or_default().to_owned();
    let value = |name: &str| item.split(&format!("{name}=\"")).nth(1).and_then(|v| v.split('"').next()).unwrap_or("");
    [value("subscription"), value("ask")].join(" ").trim().to_owned()
}

/// The next SUBSCRIBE to the phone.
pub(crate) fn asked(phone: &mut SipPhone) -> SipMessage {
    phone.request(SOON, |r| r.method.as_deref() == Some("SUBSCRIBE"))
}

/// The client asks for romeo's presence; the phone approves at once, for so many seconds, and shows `state`.
pub(crate) fn befriend(client: &mut XmppClient, phone: &mut SipPhone, expires: u32, state: &str) -> SipDialog {
    send(client, "subscribe");
    let subscribe = asked(phone);
    let mut dialog = SipDialog::taken(phone, &subscribe);
    let answer = dialog.notify(phone, &format!("active;expires={expires}"), Some(state));
    assert_eq!(answer.code, 200, "{}", answer.raw);
    client.presence(SOON, "subscribed", ROMEO);
    dialog
}

/// RFC 8048 §5.2.1, §5.2.3 and §6.3: asked, pending, approved; every field that PIDF has; one device of two goes; no longer wanted.
#[test]
fn a_client_watches_a_phone() {
    let (world, mut romeo) = World::with("presence-x", quick);
    let mut juliet = world.client("juliet", "balcony");
    send(&mut juliet, "subscribe");
    let subscribe = asked(&mut romeo);
    assert_eq!(subscribe.uri.as_deref(), Some("sip:romeo@example.net"));
    assert_eq!(subscribe.header("To"), "<sip:romeo@example.net>");
    assert!(subscribe.header("From").starts_with("<sip:juliet@example.com>;tag="), "{}", subscribe.raw);
    assert_eq!((subscribe.header("Event"), subscribe.header("Expires")), ("presence", "3600"));
    assert_eq!(subscribe.header("Accept"), "application/pidf+xml");
    // 200 and pending promise nothing (§5.2.1), and a pending NOTIFY must not tell either.
    let mut dialog = SipDialog::taken(&romeo, &subscribe);
    assert_eq!(dialog.target(), format!("sip:juliet@{}", world.gateway.sip()));
    let answer = dialog.notify(&mut romeo, "pending;expires=3600", Some(&pidf(&[open("ID-orchard")])));
    assert_eq!(answer.code, 200, "{}", answer.raw);
    juliet.no_presence(A_WHILE, |p| p.from.starts_with(ROMEO));
    assert_eq!(roster(&mut juliet), "none subscribe");

    let orchard = Tuple { id: "ID-orchard", open: true, show: "away", priority: "0.007", note: "Wherefore?" };
    let answer = dialog.notify(&mut romeo, "active;expires=3600", Some(&pidf(&[orchard])));
    assert_eq!(answer.code, 200, "{}", answer.raw);
    juliet.presence(SOON, "subscribed", ROMEO);
    let got = juliet.presence(SOON, "", "romeo@example.net/orchard");
    assert_eq!((got.show.as_deref(), got.priority.as_deref()), (Some("away"), Some("1")), "{}", got.raw);
    let said: Vec<_> = got.statuses.values().map(String::as_str).collect();
    assert!(said == ["Wherefore?"] && got.raw.contains("en"), "{}", got.raw);
    assert!(got.children.iter().any(|c| c == "{http://jabber.org/protocol/caps}c"), "{}", got.raw);
    assert_eq!(roster(&mut juliet), "to");

    // A second device; the first says something else.
    for (show, priority, pidf_priority) in [("dnd", "127", "1"), ("xa", "64", "0.503"), ("chat", "0", "0")] {
        let cell = Tuple { id: "ID-cell", open: true, show, priority: pidf_priority, note: "" };
        dialog.notify(&mut romeo, "active;expires=3500", Some(&pidf(&[open("ID-orchard"), cell])));
        let got = juliet.presence(SOON, "", "romeo@example.net/cell");
        assert_eq!((got.show.as_deref(), got.priority.as_deref()), (Some(show), Some(priority)), "{}", got.raw);
    }
    let got = juliet.presence(SOON, "", "romeo@example.net/orchard");
    assert_eq!((got.show, got.statuses.len()), (None, 0), "{}", got.raw);
    juliet.presences();
    // One is left out: it went.
    dialog.notify(&mut romeo, "active;expires=3400", Some(&pidf(&[open("ID-orchard")])));
    juliet.presence(SOON, "unavailable", "romeo@example.net/cell");
    // The other says so itself.
    let closed = Tuple { id: "ID-orchard", open: false, show: "", priority: "", note: "Gone to bed" };
    dialog.notify(&mut romeo, "active;expires=3300", Some(&pidf(&[closed])));
    let got = juliet.presence(SOON, "unavailable", "romeo@example.net/orchard");
    assert!(got.raw.contains("Gone to bed"), "{}", got.raw);
    dialog.notify(&mut romeo, "active;expires=3300", Some(&pidf(&[open("ID-orchard")])));
    juliet.presence(SOON, "", "romeo@example.net/orchard");

    // An old NOTIFY is refused (RFC 3261 §12.2.2), one of somebody else's dialog unknown.
    let mut late = SipDialog::taken(&romeo, &subscribe);
    assert_eq!(late.notify(&mut romeo, "terminated;reason=rejected", None).code, 500);
    let mut stranger = SipDialog::taken(&romeo, &SipMessage { tag: "stranger".to_owned(), ..subscribe.clone() });
    assert_eq!(stranger.notify(&mut romeo, "terminated;reason=rejected", None).code, 481);

    send(&mut juliet, "unsubscribe");
    let end = asked(&mut romeo);
    assert!(dialog.has(&end, "SUBSCRIBE") && end.header("Expires") == "0", "{}", end.raw);
    assert_eq!((end.cseq(), end.header("From")), (2, subscribe.header("From")));
    let answer = dialog.notify(&mut romeo, "terminated;reason=timeout", None);
    assert_eq!(answer.code, 200, "{}", answer.raw);
    juliet.presence(SOON, "unavailable", "romeo@example.net/orchard");
    // All that was said before it has come before it.
    juliet.presences();
    assert_eq!(roster(&mut juliet), "none");
    assert_eq!(dialog.notify(&mut romeo, "active;expires=60", Some(&pidf(&[open("ID-orchard")]))).code, 481);
    juliet.no_presence(A_WHILE, |p| p.kind.is_none() && p.from.starts_with(ROMEO));
}

/// RFC 8048 §5.2.1 and §5.2.2: no means no, said at once, said later, or taken back.
#[test]
fn a_phone_refuses_a_client() {
    let (world, mut romeo) = World::with("presence-x-refused", quick);
    let mut juliet = world.client("juliet", "balcony");
    for (code, reason) in [(403, "Forbidden"), (603, "Decline"), (489, "Bad Event"), (404, "Not Found")] {
        let headers = if code == 489 { json!([["Allow-Events", "dialog"]]) } else { json!([]) };
        romeo.order_answer(
            json!({"code": code, "reason": reason, "headers": headers, "method": "SUBSCRIBE", "times": 1}),
        );
        send(&mut juliet, "subscribe");
        asked(&mut romeo);
        juliet.presence(SOON, "unsubscribed", ROMEO);
        assert_eq!(roster(&mut juliet), "none", "{code}");
    }
    // Pending, then rejected; then approved, and rejected after that.
    for approved in [false, true] {
        let mut dialog = if approved {
            befriend(&mut juliet, &mut romeo, 3600, &pidf(&[open("ID-orchard")]))
        } else {
            send(&mut juliet, "subscribe");
            let subscribe = asked(&mut romeo);
            let mut dialog = SipDialog::taken(&romeo, &subscribe);
            dialog.notify(&mut romeo, "pending;expires=3600", None);
            dialog
        };
        let answer = dialog.notify(&mut romeo, "terminated;reason=rejected", None);
        assert_eq!(answer.code, 200, "{}", answer.raw);
        juliet.presence(SOON, "unsubscribed", ROMEO);
        if approved {
            juliet.presence(SOON, "unavailable", "romeo@example.net/orchard");
        }
        assert_eq!(roster(&mut juliet), "none");
    }
    romeo.no_request(A_WHILE, |r| r.method.as_deref() == Some("SUBSCRIBE"));
}

/// RFC 6665 §4.1.2.2 and RFC 8048 §5.2.2: refreshed before it expires, in its dialog; where the phone gives no more answers it lapses, and
/// the authorization outlives that.
#[test]
fn a_subscription_is_refreshed_and_lapses() {
    let (world, mut romeo) = World::with("presence-x-refresh", |settings| {
        quick(settings);
        // Timer N (RFC 6665 §4.1.2.4), which is 32 s otherwise.
        settings.more_sip = "t1 = \"50ms\"".to_owned();
    });
    let mut juliet = world.client("juliet", "balcony");
    romeo.order_answer(json!({"code": 200, "reason": "OK", "headers": [["Expires", "3"]], "method": "SUBSCRIBE"}));
    send(&mut juliet, "subscribe");
    let subscribe = asked(&mut romeo);
    let mut dialog = SipDialog::taken(&romeo, &subscribe);
    assert_eq!(dialog.notify(&mut romeo, "active;expires=3", Some(&pidf(&[open("ID-orchard")]))).code, 200);
    juliet.presence(SOON, "", "romeo@example.net/orchard");
    for cseq in 2..=3 {
        let refresh = asked(&mut romeo);
        assert!(dialog.has(&refresh, "SUBSCRIBE"), "{}", refresh.raw);
        assert!(refresh.header("To").contains(&subscribe.tag), "{}", refresh.raw);
        assert_eq!((refresh.cseq(), refresh.header("From")), (cseq, subscribe.header("From")));
        assert_eq!((refresh.header("Expires"), refresh.header("Contact")), ("3600", subscribe.header("Contact")));
        assert_eq!(dialog.notify(&mut romeo, "active;expires=3", Some(&pidf(&[open("ID-orchard")]))).code, 200);
    }
    juliet.presences();
    romeo.order_answer(json!({"code": 0, "method": "SUBSCRIBE"}));
    asked(&mut romeo);
    // It expires: nobody knows any more whether romeo is there. That is no refusal.
    juliet.presence(SOON, "unavailable", "romeo@example.net/orchard");
    juliet.no_presence(A_WHILE, |p| p.kind.as_deref() == Some("unsubscribed"));
    assert_eq!(roster(&mut juliet), "to");
}

/// RFC 8048 §7.1: who only probes is answered from a SUBSCRIBE with Expires 0, and no authorization comes of it.
#[test]
fn a_client_polls_a_phone() {
    let (world, mut romeo) = World::with("presence-x-poll", quick);
    let mut juliet = world.client("juliet", "balcony");
    send(&mut juliet, "probe");
    let subscribe = asked(&mut romeo);
    assert_eq!(subscribe.header("Expires"), "0", "{}", subscribe.raw);
    let mut dialog = SipDialog::taken(&romeo, &subscribe);
    let state = pidf(&[Tuple { show: "dnd", ..open("ID-orchard") }]);
    assert_eq!(dialog.notify(&mut romeo, "terminated;reason=timeout", Some(&state)).code, 200);
    let got = juliet.presence(SOON, "", "romeo@example.net/orchard");
    assert_eq!((got.show.as_deref(), got.to.as_deref()), (Some("dnd"), Some(juliet.jid())), "{}", got.raw);
    assert_eq!(roster(&mut juliet), "");
    romeo.no_request(A_WHILE, |_| true);
}
