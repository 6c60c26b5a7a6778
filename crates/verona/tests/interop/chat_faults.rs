//! Chat sessions when something goes wrong, with real programs: nothing hangs, nothing is lost in silence, nobody gets in.

use crate::chat::{A_WHILE, JULIET, ROMEO, Site, chat};
use crate::world::SOON;
use rehearsal::peers::{Value, XmppMessage, json, until};
use std::time::Duration;

/// RFC 4975 §5.4: a session fails with its connection. Half a message is none.
#[test]
fn a_connection_that_breaks_ends_the_session() {
    let mut site = Site::new("chat-break");
    let mut juliet = site.client("balcony");
    let call = site.open(json!({}));
    site.romeo.send(&call, "whole", json!({}));
    juliet.message(SOON, |m| m.body.as_deref() == Some("whole"));
    site.romeo.send(&call, "", json!({"size": 9000, "whole": true, "break_after": 5000}));
    site.romeo.event("lost", SOON, &call);
    assert_eq!(site.romeo.event("ended", Duration::from_secs(40), &call)["by"], "them");
    juliet.no_message(A_WHILE, |m| m.body.is_some());
    // She goes on, in a session of her own.
    let (_, got) = site.opened(&mut juliet, "what was that?", "t2");
    assert_eq!(got.text.as_deref(), Some("what was that?"));
}

/// What was on its way when the connection broke comes back, or comes again; it is not lost in silence.
#[test]
fn what_was_on_its_way_when_the_connection_broke_is_not_lost() {
    let mut site = Site::new("chat-break-out");
    let mut juliet = site.client("balcony");
    let (call, _) = site.opened(&mut juliet, "hail", "t1");
    // It is read and never answered.
    site.romeo.note("answering", json!({"rules": [{"code": 0}]}));
    let id = juliet.send(chat("lost?", "t1"));
    site.romeo.message(SOON, &call);
    site.romeo.note("answering", json!({"rules": [{"code": 200}]}));
    site.romeo.order("break", json!({"s": call}));
    let told = juliet.message(Duration::from_secs(40), |m| m.id.as_deref() == Some(id.as_str()));
    assert_eq!(told.kind.as_deref(), Some("error"), "{}", told.raw);
}

/// A peer that does not read holds up nobody else, and hears all of it in order when it does.
#[test]
fn a_peer_that_does_not_read_holds_up_nobody_else() {
    let mut site = Site::new("chat-pause");
    let mut juliet = site.client("balcony");
    site.romeo.policy(json!({"code": 200, "share": false}));
    let (slow, _) = site.opened(&mut juliet, "slow", "t1");
    let quick = site.open(json!({"share": false}));
    site.romeo.send(&quick, "quick", json!({}));
    let got = juliet.message(SOON, |m| m.body.is_some());
    site.romeo.order("pause", json!({"s": slow}));
    let text = "x".repeat(20_000);
    for _ in 0..10 {
        juliet.send(chat(&text, "t1"));
    }
    for n in 0..10 {
        juliet.send(json!({"to": got.from, "type": "chat", "body": format!("{n}"), "thread": got.thread}));
        assert_eq!(site.romeo.message(SOON, &quick).text, Some(format!("{n}")));
    }
    site.romeo.order("resume", json!({"s": slow}));
    for _ in 0..10 {
        assert_eq!(site.romeo.message(SOON, &slow).text.as_deref(), Some(text.as_str()));
    }
    assert!(juliet.messages().is_empty(), "no errors");
}

/// RFC 4975 §14.1: who has not the paths has nothing; who has them but not the connection has nothing either.
#[test]
fn nobody_gets_into_a_session() {
    let mut site = Site::new("chat-hijack");
    let mut juliet = site.client("balcony");
    let call = site.open(json!({}));
    site.romeo.send(&call, "mine", json!({}));
    juliet.message(SOON, |m| m.body.as_deref() == Some("mine"));
    site.romeo.note("open", json!({"on": "thief", "s": call}));
    let guess = format!("msrp://{}/0000000000000000000000000000000000;tcp", site.msrp);
    let foreign = "msrp://127.0.0.1:2855/wherefore-art-thou;tcp";
    let relayed = format!("{guess} msrp://{}/x;tcp", site.romeo.msrp());
    for (fields, codes) in [
        (json!({}), &[506][..]),
        (json!({"ours": foreign}), &[481, 506]),
        (json!({"theirs": guess}), &[481]),
        (json!({"theirs": relayed}), &[403, 481]),
    ] {
        let mut order = fields;
        order["on"] = json!("thief");
        order["s"] = json!(call);
        site.romeo.order("hijack", order.clone());
        let answer = site.romeo.wait("frame", SOON, |f| f["on"] == "thief");
        assert!(codes.iter().any(|code| answer["code"] == *code), "{order}: {answer:#}");
    }
    juliet.no_message(A_WHILE, |m| m.body.is_some());
    site.romeo.send(&call, "still mine", json!({}));
    assert_eq!(juliet.message(SOON, |m| m.body.is_some()).body.as_deref(), Some("still mine"));
}

/// RFC 3261 §9.1: the CANCEL and the 200 may cross, and then there is a session, which somebody has to end.
#[test]
fn a_cancel_and_a_200_cross() {
    let mut site = Site::new("chat-cancel");
    let at = site.gateway.sip();
    for _ in 0..10 {
        let call = site.romeo.invite(at, JULIET, json!({}));
        site.romeo.order("cancel", json!({"s": call}));
        let is = |e: &Value| e["s"] == call.as_str();
        let answer = site.romeo.wait("response", SOON, |r| is(r) && r["method"] == "CANCEL");
        assert!(answer["code"] == 200 || answer["code"] == 481, "{answer:#}");
        if site.romeo.take_all("failed").iter().any(is) {
            continue;
        }
        site.romeo.order("bye", json!({"s": call}));
        site.romeo.wait("response", SOON, |r| is(r) && r["method"] == "BYE");
    }
}

/// Two INVITEs of one pair at once are two sessions, or one of them ends at once; what was said arrives once.
#[test]
fn two_invites_cross() {
    let mut site = Site::new("chat-glare");
    let mut juliet = site.client("balcony");
    let at = site.gateway.sip();
    site.romeo.policy(json!({"code": 200, "delay": 0.2}));
    juliet.send(chat("from her", "t1"));
    let call = site.romeo.invite(at, JULIET, json!({}));
    site.romeo.event("established", SOON, &call);
    site.romeo.send(&call, "from him", json!({}));
    assert_eq!(juliet.message(SOON, |m| m.body.is_some()).body.as_deref(), Some("from him"));
    let got = site.romeo.wait("message", SOON, |m| m["text"] == "from her");
    assert!(got["s"] == call.as_str() || got["s"] == "i1", "{got:#}");
    site.romeo.none("message", A_WHILE, |_| true);
    juliet.no_message(A_WHILE, |m| m.body.is_some() || m.error.is_some());
}

/// A phone that rings on and on is left alone again, and she has her words back.
#[test]
fn nobody_answers() {
    let mut site = Site::with("chat-rings", "mode = \"session\"\nring = \"2s\"", |_| {});
    let mut juliet = site.client("balcony");
    site.romeo.policy(json!({"code": 0, "ring": true}));
    let id = juliet.send(chat("anybody?", "t1"));
    let call = site.romeo.wait("invited", SOON, |_| true)["s"].clone();
    site.romeo.event("cancelled", SOON, call.as_str().expect("a call has a name"));
    assert!(juliet.error(SOON, &id).error.is_some());
}

/// RFC 3261 §13.3.1.4: 64*T1 without an ACK, then BYE.
#[test]
fn an_ack_that_never_comes_ends_the_session() {
    let mut site = Site::new("chat-no-ack");
    let at = site.gateway.sip();
    let call = site.romeo.call(at, JULIET, json!({"ack": false, "lazy": true}));
    assert_eq!(site.romeo.event("ended", Duration::from_secs(45), &call)["by"], "them");
    assert!(site.romeo.take_all("again").len() >= 5, "the 200 came again");
}

/// The gateway is killed: the SIP side hears 481 or BYE, the XMPP side `gone` or an error, and both may begin anew.
#[test]
fn the_gateway_is_killed() {
    let mut site = Site::new("chat-kill");
    let mut juliet = site.client("balcony");
    let (call, _) = site.opened(&mut juliet, "hail", "t1");
    site.romeo.allow("the connection was closed under a session");
    site.romeo.allow("not one more");
    site.gateway.kill();
    site.romeo.event("lost", SOON, &call);
    site.gateway.restart(&site.place);
    site.romeo.order("sip", json!({"s": call, "method": "UPDATE"}));
    let answer = site.romeo.event("response", SOON, &call);
    assert_eq!(answer["code"], 481, "{answer:#}");
    site.romeo.order("forget", json!({"s": call}));
    let (_, got) = site.opened(&mut juliet, "once more", "t2");
    assert_eq!(got.text.as_deref(), Some("once more"));
}

/// The XMPP server is restarted: what he writes meanwhile comes back or comes later, and then all goes on.
#[test]
fn the_xmpp_server_is_restarted() {
    let mut site = Site::new("chat-prosody");
    let mut juliet = site.client("balcony");
    let call = site.open(json!({}));
    site.romeo.send(&call, "before", json!({}));
    juliet.message(SOON, |m| m.body.as_deref() == Some("before"));
    site.prosody.kill();
    juliet.wait_offline();
    let id = site.romeo.send(&call, "meanwhile", json!({}));
    site.prosody.restart(&site.place);
    juliet.connect(&site.prosody);
    site.gateway.wait_ready(Duration::from_secs(40));
    let answer = site.romeo.wait("answered", Duration::from_secs(40), |a| a["message_id"] == id.as_str());
    if answer["code"] == 200 {
        // It was taken: then it arrives, or he hears that it did not.
        let arrived = juliet.messages().iter().any(|m| m.body.as_deref() == Some("meanwhile"));
        assert!(arrived || !site.romeo.take_all("report").is_empty(), "{answer:#}");
    }
    let at = site.gateway.sip();
    let call = site.romeo.call(at, JULIET, json!({}));
    site.romeo.send(&call, "after", json!({}));
    assert_eq!(juliet.message(SOON, |m| m.body.is_some()).body.as_deref(), Some("after"));
    juliet.send(chat("yes", "t9"));
    site.romeo.wait("message", SOON, |m| m["text"] == "yes");
    assert!(juliet.messages().iter().all(|m| m.from.starts_with(ROMEO)));
}

/// A phone that takes every session and ends it before it has heard anything is not asked for ever.
#[test]
fn a_phone_that_hangs_up_at_once_is_not_asked_for_ever() {
    let mut site = Site::new("chat-hangs-up");
    let mut juliet = site.client("balcony");
    site.romeo.policy(json!({"code": 200, "setup": "active", "lazy": true}));
    let id = juliet.send(chat("do you hear me?", "t1"));
    let (mut asked, mut told) = (0, false);
    until("she is told", SOON, || {
        for call in site.romeo.take_all("confirmed") {
            asked += 1;
            assert!(asked < 5, "asked for ever");
            site.romeo.order("bye", json!({"s": call["s"]}));
        }
        told = told || juliet.messages().iter().any(|m| m.id.as_deref() == Some(id.as_str()) && m.error.is_some());
        told
    });
    site.romeo.none("confirmed", A_WHILE, |_| true);
}

/// RFC 4028 §10: whoever is asked to refresh does so at half of the interval, and there is nothing new to say in it.
#[test]
fn the_gateway_refreshes_the_session() {
    let mut site = Site::new("chat-timer");
    let at = site.gateway.sip();
    let headers = json!([["Supported", "timer"], ["Session-Expires", "90;refresher=uas"]]);
    let call = site.romeo.call(at, JULIET, json!({"headers": headers}));
    let refresh = site.romeo.event("offered", Duration::from_secs(50), &call);
    assert!(refresh["method"] == "UPDATE" || refresh["method"] == "INVITE", "{refresh:#}");
    site.romeo.bye(&call);
}

/// With a store the gateway knows what it was in: both sides hear that it is over, without asking.
#[test]
fn a_gateway_that_was_killed_ends_what_it_was_in() {
    let mut site = Site::with("chat-kill-store", "mode = \"session\"", |settings| settings.store = "redb:verona.redb");
    let mut juliet = site.client("balcony");
    let (call, _) = site.opened(&mut juliet, "hail", "t1");
    // What was in store may be a while old: numbers are left out, and the connection is gone.
    site.romeo.allow("the connection was closed under a session");
    site.romeo.allow("not one more");
    site.gateway.kill();
    site.romeo.event("lost", SOON, &call);
    site.gateway.restart(&site.place);
    assert_eq!(site.romeo.event("ended", Duration::from_secs(60), &call)["by"], "them");
    let told = |m: &XmppMessage| m.state.as_deref() == Some("gone") && m.thread.as_deref() == Some("t1");
    juliet.message(Duration::from_secs(60), told);
}

/// A correction and an answer to one message are texts that a person can read.
#[test]
fn what_phones_do_not_know_is_readable() {
    let mut site = Site::new("chat-readable");
    let mut juliet = site.client("balcony");
    juliet.send(json!({"to": ROMEO, "type": "chat", "id": "one", "body": "Wherefour art thou?", "thread": "t1"}));
    let call = site.romeo.wait("confirmed", SOON, |_| true)["s"].clone();
    let call = call.as_str().expect("a call has a name");
    site.romeo.message(SOON, call);
    let replace = "<replace xmlns='urn:xmpp:message-correct:0' id='one'/>";
    let fields =
        json!({"to": ROMEO, "type": "chat", "body": "Wherefore art thou?", "thread": "t1", "children": replace});
    juliet.send(fields);
    let got = site.romeo.message(SOON, call).text.unwrap_or_default();
    assert!(got.contains("Wherefore art thou?"), "{got}");
    let reaction = "<reactions xmlns='urn:xmpp:reactions:0' id='one'><reaction>\u{2764}</reaction></reactions>";
    juliet.send(json!({"to": ROMEO, "type": "chat", "thread": "t1", "children": reaction}));
    let got = site.romeo.message(SOON, call).text.unwrap_or_default();
    assert!(got.contains('\u{2764}'), "{got}");
}
