//! RFC 7573 both ways with real programs: Prosody and slixmpp on one side, on the other an MSRP endpoint that was written from the RFCs
//! alone, in another language, and whose every fault found fails the test.

use crate::world::{BINARY, SOON, TEXTS, lines};
use rehearsal::peers::{
    Gateway, MsrpMessage, MsrpPeer, Place, Prosody, Settings, Value, XmppClient, XmppMessage, json,
};
use std::net::SocketAddr;
use std::time::Duration;

/// For what must not come.
pub(crate) const A_WHILE: Duration = Duration::from_millis(300);
pub(crate) const JULIET: &str = "sip:juliet@example.com";
pub(crate) const ROMEO: &str = "romeo@example.net";

/// Prosody, the gateway with sockets for MSRP, and the endpoint that is everybody in example.net. Whoever goes first is the first to end, so
/// that nobody is blamed for the end of the test.
pub(crate) struct Site {
    pub(crate) romeo: MsrpPeer,
    pub(crate) gateway: Gateway,
    pub(crate) prosody: Prosody,
    pub(crate) msrp: SocketAddr,
    pub(crate) place: Place,
}

impl Site {
    /// Everything that can be a session is one.
    pub(crate) fn new(name: &str) -> Site {
        Site::with(name, "mode = \"session\"", |_| {})
    }

    /// With these lines in `[chat]`, and other settings.
    pub(crate) fn with(name: &str, chat: &str, change: impl FnOnce(&mut Settings)) -> Site {
        let place = Place::new(name);
        let prosody = Prosody::start(&place, &["example.net"]);
        let romeo = MsrpPeer::listen_tls(&place, "romeo", place.free());
        let (msrp, msrps) = (place.free(), place.free());
        let mut settings = Settings::new(&prosody, romeo.address());
        settings.more = format!("[msrp]\nlisten = [\"tcp:{msrp}\", \"tls:{msrps}\"]\n\n[chat]\n{chat}\n");
        change(&mut settings);
        let gateway = Gateway::start(&place, BINARY, &settings);
        Site { romeo, gateway, prosody, msrp, place }
    }

    pub(crate) fn client(&self, resource: &str) -> XmppClient {
        XmppClient::online(&self.place, &self.prosody, "juliet", resource)
    }

    /// Has juliet write and gives the call that this opens and the message in it.
    pub(crate) fn opened(&mut self, juliet: &mut XmppClient, text: &str, thread: &str) -> (String, MsrpMessage) {
        juliet.send(chat(text, thread));
        let invited = self.romeo.wait("invited", SOON, |_| true);
        let call = invited["s"].as_str().expect("a call has a name").to_owned();
        self.romeo.event("confirmed", SOON, &call);
        let message = self.romeo.message(SOON, &call);
        (call, message)
    }

    /// Has romeo open a session with juliet.
    pub(crate) fn open(&mut self, fields: Value) -> String {
        let at = self.gateway.sip();
        self.romeo.call(at, JULIET, fields)
    }
}

/// A chat message to romeo.
pub(crate) fn chat(text: &str, thread: &str) -> Value {
    json!({"to": ROMEO, "type": "chat", "body": text, "thread": thread})
}

/// Whether a stanza is a chat state alone.
fn is_state(m: &XmppMessage, state: &str) -> bool {
    m.body.is_none() && m.state.as_deref() == Some(state)
}

/// A header of an event that describes a SIP message.
fn header<'a>(event: &'a Value, name: &str) -> &'a str {
    let headers = event["headers"].as_array().into_iter().flatten();
    let found =
        headers.filter(|h| h[0].as_str().is_some_and(|n| n.eq_ignore_ascii_case(name))).find_map(|h| h[1].as_str());
    found.unwrap_or_default()
}

/// RFC 7573 §4, F1 to F16.
#[test]
fn a_client_writes_first() {
    let mut site = Site::new("chat-out");
    let mut juliet = site.client("balcony");
    let thread = "29377446-0CBB-4296-8958-590D79094C50";
    juliet.send(chat("Art thou not Romeo, and a Montague?", thread));
    let invited = site.romeo.wait("invited", SOON, |_| true);
    assert_eq!(invited["uri"], "sip:romeo@example.net");
    assert_eq!(header(&invited, "Call-ID"), thread);
    assert!(header(&invited, "From").contains("sip:juliet@example.com"), "{invited:#}");
    assert!(header(&invited, "Contact").contains("gr=balcony"), "{invited:#}");
    let call = invited["s"].as_str().expect("a call has a name");
    site.romeo.event("confirmed", SOON, call);
    let got = site.romeo.message(SOON, call);
    assert_eq!((got.text.as_deref(), got.kind.as_str()), (Some("Art thou not Romeo, and a Montague?"), "text/plain"));

    site.romeo.send(call, "Neither, fair saint, if either thee dislike.", json!({"failure": "no"}));
    let got = juliet.message(SOON, |m| m.body.is_some());
    assert_eq!(got.body.as_deref(), Some("Neither, fair saint, if either thee dislike."));
    assert_eq!((got.kind.as_deref(), got.thread.as_deref()), (Some("chat"), Some(thread)));
    assert!(got.from == ROMEO || got.from.starts_with("romeo@example.net/"), "{}", got.raw);
    // More of both, in the same session and in order.
    for n in 0..20 {
        juliet.send(chat(&format!("out {n}"), thread));
        site.romeo.send(call, &format!("in {n}"), json!({}));
    }
    for n in 0..20 {
        assert_eq!(site.romeo.message(SOON, call).text, Some(format!("out {n}")));
        assert_eq!(juliet.message(SOON, |m| m.body.is_some()).body, Some(format!("in {n}")));
    }
    site.romeo.bye(call);
    assert_eq!(juliet.message(SOON, |m| is_state(m, "gone")).thread.as_deref(), Some(thread));
    assert!(juliet.messages().is_empty(), "no errors");
    site.romeo.none("invited", A_WHILE, |_| true);
}

/// RFC 7573 §5, F17 to F32, and §6.1: her `gone` ends it.
#[test]
fn a_phone_writes_first() {
    for transport in ["udp", "tcp"] {
        let mut site = Site::new(&format!("chat-in-{transport}"));
        let mut juliet = site.client("balcony");
        let fields = json!({"transport": transport, "gr": "dr4hcr0st3lup4c", "call_id": "F6989A8C-DE8A-4E21-8E07"});
        let call = site.open(fields);
        site.romeo.send(&call, "I take thee at thy word ...", json!({}));
        let got = juliet.message(SOON, |m| m.body.is_some());
        assert_eq!(got.body.as_deref(), Some("I take thee at thy word ..."));
        assert_eq!(got.from, "romeo@example.net/dr4hcr0st3lup4c");
        assert_eq!((got.kind.as_deref(), got.thread.as_deref()), (Some("chat"), Some("F6989A8C-DE8A-4E21-8E07")));
        assert_eq!(site.romeo.event("answered", SOON, &call)["code"], 200);

        let answer = json!({"to": got.from, "type": "chat", "body": "What man art thou?", "thread": got.thread});
        juliet.send(answer);
        assert_eq!(site.romeo.message(SOON, &call).text.as_deref(), Some("What man art thou?"));
        juliet.send(json!({"to": got.from, "type": "chat", "state": "gone", "thread": got.thread}));
        assert_eq!(site.romeo.event("ended", SOON, &call)["by"], "them");
        assert!(juliet.messages().is_empty(), "no errors");
    }
}

#[test]
fn every_text_goes_both_ways() {
    let mut site = Site::new("chat-texts");
    let mut juliet = site.client("balcony");
    let (call, _) = site.opened(&mut juliet, "hail", "t1");
    for (what, text) in TEXTS {
        juliet.send(chat(text, "t1"));
        let got = site.romeo.message(SOON, &call);
        assert_eq!(lines(got.text.as_deref().unwrap_or_default()), lines(text), "{what}");
        site.romeo.send(&call, text, json!({"type": "text/plain;charset=UTF-8"}));
        let got = juliet.message(SOON, |m| m.body.is_some());
        assert_eq!(lines(got.body.as_deref().unwrap_or_default()), lines(text), "{what}");
    }
    assert!(juliet.messages().is_empty(), "no errors");
}

/// RFC 7573 §6, tables 3 and 4.
#[test]
fn states_go_both_ways() {
    let mut site = Site::new("chat-states");
    let mut juliet = site.client("balcony");
    // XEP-0085 §5.1: whoever knows of states says so with the first message.
    juliet.send(json!({"to": ROMEO, "type": "chat", "body": "hail", "state": "active", "thread": "t1"}));
    let call = site.romeo.wait("confirmed", SOON, |_| true)["s"].clone();
    let call = call.as_str().expect("a call has a name");
    for (state, becomes) in [("active", "composing"), ("idle", "active")] {
        site.romeo.order("composing", json!({"s": call, "state": state}));
        assert_eq!(juliet.message(SOON, |m| m.body.is_none()).state.as_deref(), Some(becomes));
    }
    for (state, becomes) in [("composing", "active"), ("paused", "idle"), ("composing", "active"), ("inactive", "idle")]
    {
        juliet.send(json!({"to": ROMEO, "type": "chat", "state": state, "thread": "t1"}));
        assert_eq!(site.romeo.event("composing", SOON, call)["state"], becomes, "{state}");
    }
    juliet.send(json!({"to": ROMEO, "type": "chat", "state": "gone", "thread": "t1"}));
    assert_eq!(site.romeo.event("ended", SOON, call)["by"], "them");
}

/// A phone that takes nothing but text is not bothered with states.
#[test]
fn states_stay_where_they_are_not_taken() {
    let mut site = Site::new("chat-no-states");
    site.romeo.policy(json!({"code": 200, "accept": "text/plain"}));
    let mut juliet = site.client("balcony");
    let (call, _) = site.opened(&mut juliet, "hail", "t1");
    juliet.send(json!({"to": ROMEO, "type": "chat", "state": "composing", "thread": "t1"}));
    juliet.send(chat("after it", "t1"));
    assert_eq!(site.romeo.message(SOON, &call).text.as_deref(), Some("after it"));
    assert!(site.romeo.take_all("composing").is_empty());
    assert!(juliet.messages().is_empty(), "no errors");
}

/// RFC 7573 §7.
#[test]
fn receipts_go_both_ways() {
    let mut site = Site::new("chat-receipts");
    let mut juliet = site.client("balcony");
    let (call, first) = site.opened(&mut juliet, "hail", "t1");
    assert_eq!(first.success, "no", "nobody asked");
    let id = juliet.send(json!({"to": ROMEO, "type": "chat", "body": "heard?", "thread": "t1", "receipt": true}));
    assert_eq!(site.romeo.message(SOON, &call).success, "yes");
    let got = juliet.message(SOON, |m| m.received.is_some());
    assert_eq!(got.received.as_deref(), Some(id.as_str()));

    let id = site.romeo.send(&call, "heard?", json!({"success": "yes", "failure": "partial"}));
    let got = juliet.message(SOON, |m| m.body.is_some());
    assert!(got.receipt, "{}", got.raw);
    site.romeo.none("report", A_WHILE, |_| true);
    juliet.send(json!({"to": got.from, "type": "chat", "received": got.id, "thread": "t1"}));
    let report = site.romeo.event("report", SOON, &call);
    assert_eq!((&report["message_id"], &report["code"], &report["total"]), (&json!(id), &json!(200), &json!(6)));
    site.romeo.send(&call, "never mind", json!({}));
    assert!(!juliet.message(SOON, |m| m.body.is_some()).receipt);
}

/// RFC 7573 §8: MSRP has no limit but the one that was agreed.
#[test]
fn long_messages_go_both_ways_in_chunks() {
    let mut site = Site::with("chat-long", "mode = \"session\"", |settings| {
        settings.more = settings.more.replace("[chat]", "max_size = 100000\n\n[chat]");
    });
    let mut juliet = site.client("balcony");
    let (call, _) = site.opened(&mut juliet, "hail", "t1");
    for size in [2047, 2048, 2049, 4097, 60_000] {
        let text: String = ('a'..='z').cycle().take(size).collect();
        juliet.send(chat(&text, "t1"));
        let got = site.romeo.message(SOON, &call);
        assert_eq!(got.text.as_deref(), Some(text.as_str()));
        assert!(got.chunks >= size.div_ceil(2048) || got.chunks == 1, "{} chunks", got.chunks);
        for fields in [json!({}), json!({"whole": true}), json!({"chunk": 999})] {
            site.romeo.send(&call, &text, fields);
            assert_eq!(juliet.message(SOON, |m| m.body.is_some()).body.as_deref(), Some(text.as_str()));
        }
    }
    // Chunks of two messages in turn; ranges that overlap, the last one counts; one that is given up.
    site.romeo.order("weave", json!({"s": call, "messages": [{"size": 9000}, {"size": 5000}]}));
    let sizes: Vec<usize> =
        (0..2).map(|_| juliet.message(SOON, |m| m.body.is_some()).body.map_or(0, |b| b.len())).collect();
    assert!(sizes.iter().all(|size| (4900..=9000).contains(size)), "{sizes:?}");
    let ranges = json!({"ranges": [[5, 9, "$"], [1, 4, "+"], [3, 6, "+"]]});
    site.romeo.send(&call, "one two x", ranges);
    assert_eq!(juliet.message(SOON, |m| m.body.is_some()).body.as_deref(), Some("one two x"));
    site.romeo.send(&call, "", json!({"size": 9000, "abort_after": 5000}));
    // More than we take: refused by the first chunk, and no more of it comes.
    let id = site.romeo.send(&call, "", json!({"size": 3_000_000}));
    let refused = site.romeo.wait("answered", SOON, |a| a["message_id"] == id.as_str() && a["code"] != 200);
    assert_eq!(refused["code"], 413);
    site.romeo.send(&call, "the end", json!({}));
    assert_eq!(juliet.message(SOON, |m| m.body.is_some()).body.as_deref(), Some("the end"));
    assert!(juliet.messages().is_empty(), "no errors");
}

/// A phone whose limit is small hears nothing that is larger, and she is told.
#[test]
fn a_message_over_the_phones_limit_comes_back() {
    let mut site = Site::new("chat-max-size");
    site.romeo.policy(json!({"code": 200, "max_size": 5000}));
    let mut juliet = site.client("balcony");
    let (call, _) = site.opened(&mut juliet, "hail", "t1");
    let id = juliet.send(chat(&"x".repeat(6000), "t1"));
    assert_eq!(juliet.error(SOON, &id).condition(), "policy-violation");
    juliet.send(chat(&"y".repeat(4000), "t1"));
    assert_eq!(site.romeo.message(SOON, &call).text.map(|t| t.len()), Some(4000));
}

/// RFC 3862 and RFC 5438 in the session.
#[test]
fn wrapped_messages_and_notifications_go_both_ways() {
    let mut site = Site::new("chat-cpim");
    site.romeo.policy(json!({"code": 200, "accept": "message/cpim", "wrapped": "text/plain message/imdn+xml"}));
    let mut juliet = site.client("balcony");
    let (call, got) = site.opened(&mut juliet, "hail", "t1");
    let cpim = got.cpim.expect("it takes nothing else");
    assert_eq!((got.text.as_deref(), got.kind.as_str()), (Some("hail"), "text/plain"));
    assert!(cpim.header("From").contains("sip:juliet@example.com"), "{cpim:?}");
    assert!(cpim.header("To").contains("sip:romeo@example.net"), "{cpim:?}");

    let id = site.romeo.send(&call, "read this", json!({"cpim": true, "imdn": ["positive-delivery", "display"]}));
    let got = juliet.message(SOON, |m| m.body.is_some());
    assert_eq!(got.body.as_deref(), Some("read this"));
    assert!(got.receipt && got.raw.contains("markable"), "{}", got.raw);
    juliet.send(json!({"to": got.from, "type": "chat", "received": got.id, "thread": "t1"}));
    let told = site.romeo.event("imdn", SOON, &call);
    assert_eq!(told["about"], json!({"id": id, "notification": "delivery-notification", "status": "delivered"}));
    let marker = format!("<displayed xmlns='urn:xmpp:chat-markers:0' id='{}'/>", got.id.unwrap_or_default());
    juliet.send(json!({"to": got.from, "type": "chat", "children": marker, "thread": "t1"}));
    let told = site.romeo.event("imdn", SOON, &call);
    assert_eq!(told["about"], json!({"id": id, "notification": "display-notification", "status": "displayed"}));

    let markable = "<markable xmlns='urn:xmpp:chat-markers:0'/>";
    let id =
        juliet.send(json!({"to": ROMEO, "type": "chat", "body": "and this", "thread": "t1", "children": markable}));
    let got = site.romeo.message(SOON, &call);
    let cpim = got.cpim.expect("it takes nothing else");
    assert!(cpim.header("imdn.Disposition-Notification").contains("display"), "{cpim:?}");
    let about = cpim.header("imdn.Message-ID");
    let fields = json!({"s": call, "about": about, "notification": "display", "status": "displayed"});
    site.romeo.order("imdn", fields);
    let got = juliet.message(SOON, |m| m.raw.contains("displayed"));
    assert!(got.raw.contains(&id), "{}", got.raw);
}

/// Who connects to whom (RFC 4975 §5.4, RFC 6135), over TCP and over TLS with the certificates that SDP names (RFC 8122).
#[test]
fn either_side_connects() {
    for (name, fields) in [
        ("actpass", json!({})),
        ("active", json!({"setup": "active"})),
        ("old", json!({"setup": null})),
        ("tls", json!({"tls": true})),
        ("offerless", json!({"no_offer": true})),
    ] {
        let mut site = Site::new(&format!("chat-connects-{name}"));
        let mut juliet = site.client("balcony");
        let call = site.open(fields);
        site.romeo.send(&call, "there", json!({}));
        let got = juliet.message(SOON, |m| m.body.is_some());
        assert_eq!(got.body.as_deref(), Some("there"), "{name}");
        juliet.send(json!({"to": got.from, "type": "chat", "body": "back", "thread": got.thread}));
        assert_eq!(site.romeo.message(SOON, &call).text.as_deref(), Some("back"), "{name}");
        site.romeo.bye(&call);
        juliet.message(SOON, |m| is_state(m, "gone"));
        // And when she writes first.
        let setup = if name == "active" { "active" } else { "passive" };
        site.romeo.policy(json!({"code": 200, "setup": setup}));
        let (call, got) = site.opened(&mut juliet, "again", &format!("thread-{name}"));
        assert_eq!(got.text.as_deref(), Some("again"), "{name}");
        site.romeo.send(&call, "yes", json!({}));
        assert_eq!(juliet.message(SOON, |m| m.body.is_some()).body.as_deref(), Some("yes"), "{name}");
    }
}

/// What is said in a session stays with whoever said it, however many there are and whatever they share.
#[test]
fn many_sessions_share_a_connection() {
    let mut site = Site::new("chat-many");
    let mut juliet = site.client("balcony");
    let mut nurse = XmppClient::online(&site.place, &site.prosody, "nurse", "kitchen");
    let at = site.gateway.sip();
    let calls: Vec<String> = (0..8)
        .map(|n| site.romeo.call(at, if n % 2 == 0 { JULIET } else { "sip:nurse@example.com" }, json!({})))
        .collect();
    for (n, call) in calls.iter().enumerate() {
        site.romeo.send(call, &format!("to {n}"), json!({}));
        let client = if n % 2 == 0 { &mut juliet } else { &mut nurse };
        let got = client.message(SOON, |m| m.body.is_some());
        assert_eq!(got.body, Some(format!("to {n}")));
        client.send(json!({"to": got.from, "type": "chat", "body": format!("from {n}"), "thread": got.thread}));
        assert_eq!(site.romeo.message(SOON, call).text, Some(format!("from {n}")));
    }
    let bound = site.romeo.take_all("bound");
    assert!(bound.iter().all(|b| b["connections"] == 1), "{bound:#?}");
    for call in &calls {
        site.romeo.bye(call);
    }
}

/// Two of hers: what he writes reaches whom she is, and what one of them answers binds the session to that one.
#[test]
fn several_resources_have_one_session() {
    let mut site = Site::new("chat-resources");
    let mut balcony = site.client("balcony");
    let mut garden = site.client("garden");
    let call = site.open(json!({}));
    site.romeo.send(&call, "anybody?", json!({}));
    let got = garden.message(SOON, |m| m.body.is_some());
    garden.send(json!({"to": got.from, "type": "chat", "body": "here", "thread": got.thread}));
    assert_eq!(site.romeo.message(SOON, &call).text.as_deref(), Some("here"));
    balcony.messages();
    site.romeo.send(&call, "thou", json!({}));
    assert_eq!(garden.message(SOON, |m| m.body.is_some()).body.as_deref(), Some("thou"));
    balcony.no_message(A_WHILE, |m| m.body.as_deref() == Some("thou"));
    // The other one opens its own.
    let (other, _) = site.opened(&mut balcony, "and I", "t2");
    assert_ne!(other, call);
    site.romeo.send(&other, "well met", json!({}));
    assert_eq!(balcony.message(SOON, |m| m.body.is_some()).body.as_deref(), Some("well met"));
    garden.no_message(A_WHILE, |m| m.body.as_deref() == Some("well met"));
}

/// RFC 7573 leaves open what a site wants: sessions only, single messages only, or what works.
#[test]
fn who_refuses_sessions_gets_messages() {
    for code in [405, 415, 488, 501, 606] {
        let mut site = Site::with(&format!("chat-auto-{code}"), "mode = \"auto\"", |_| {});
        let mut juliet = site.client("balcony");
        let headers = match code {
            405 => json!([["Allow", "MESSAGE, OPTIONS"]]),
            415 => json!([["Accept", "text/plain"]]),
            _ => json!([]),
        };
        site.romeo.policy(json!({"code": code, "headers": headers}));
        juliet.send(chat("first", "t1"));
        let got = site.romeo.wait("request", SOON, |r| r["method"] == "MESSAGE");
        assert_eq!(got["body"], "first", "{code}");
        assert_eq!(site.romeo.take_all("invited").len(), 1, "{code}");
        // It is remembered for a while.
        juliet.send(chat("second", "t1"));
        assert_eq!(site.romeo.wait("request", SOON, |r| r["method"] == "MESSAGE")["body"], "second", "{code}");
        assert!(site.romeo.take_all("invited").is_empty(), "{code}");
        assert!(juliet.messages().is_empty(), "no errors");
    }
}

/// Refused for another reason, or where only sessions are wanted: she is told, and nothing is sent another way.
#[test]
fn a_refused_session_gives_the_message_back() {
    for (mode, code, condition) in [
        ("auto", 404, "item-not-found"),
        ("auto", 486, "recipient-unavailable"),
        ("session", 488, "not-acceptable"),
        ("session", 603, "recipient-unavailable"),
    ] {
        let mut site = Site::with(&format!("chat-refused-{mode}-{code}"), &format!("mode = \"{mode}\""), |_| {});
        let mut juliet = site.client("balcony");
        site.romeo.policy(json!({"code": code}));
        let ids = [juliet.send(chat("first", "t1")), juliet.send(chat("second", "t1"))];
        for id in ids {
            assert_eq!(juliet.error(SOON, &id).condition(), condition, "{mode} {code}");
        }
        site.romeo.none("request", A_WHILE, |_| true);
    }
}

/// In single-message mode an INVITE is refused as RFC 3264 §6 has it, and a chat message is a MESSAGE.
#[test]
fn without_sessions_there_are_messages() {
    let mut site = Site::with("chat-message", "mode = \"message\"", |_| {});
    let mut juliet = site.client("balcony");
    juliet.send(chat("only this", "t1"));
    assert_eq!(site.romeo.wait("request", SOON, |r| r["method"] == "MESSAGE")["body"], "only this");
    assert!(site.romeo.take_all("invited").is_empty());
}

/// In auto mode what is too long for a MESSAGE (RFC 3428 §8) goes into a session, and so does what follows.
#[test]
fn a_long_message_opens_a_session() {
    let mut site = Site::with("chat-lifted", "mode = \"auto\"", |_| {});
    let mut juliet = site.client("balcony");
    let text = "x".repeat(5000);
    juliet.send(json!({"to": ROMEO, "type": "normal", "body": text, "thread": "t1"}));
    let call = site.romeo.wait("confirmed", SOON, |_| true)["s"].clone();
    let call = call.as_str().expect("a call has a name");
    assert_eq!(site.romeo.message(SOON, call).text.as_deref(), Some(text.as_str()));
}
