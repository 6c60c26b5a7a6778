//! Other ways into a MUC for MSRP users: through a proxy, twice, in rooms and under names that need care; what is long, and what was said before.

use crate::hall::{Hall, Kind, LATE, MUC, MUC_URI, by_sender, seated};
use crate::world::{BINARY, SOON};
use rehearsal::peers::{Gateway, Kamailio, MsrpPeer, Place, Prosody, Settings, Value, XmppCrowd, json};
use std::time::Duration;

/// Kamailio stays on the way of every dialog, the session's and the subscription's; MSRP goes past it.
#[test]
fn rooms_go_through_a_proxy() {
    let place = Place::new("muc-proxy");
    let prosody = Prosody::start_with_rooms(&place, &["example.net"]);
    let (sip, proxy) = (place.free(), place.free());
    let _kamailio = Kamailio::start(&place, proxy, sip, Duration::from_secs(2));
    let mut romeo = MsrpPeer::listen(&place, "romeo", place.free());
    // The proxy's own: what comes over TCP goes on over UDP, with two headers more.
    romeo.allow("over UDP (RFC 3261 §18.1.1)");
    romeo.register(proxy);
    let mut settings = Settings::new(&prosody, proxy);
    settings.domains.push(Prosody::ROOMS.to_owned());
    settings.more =
        format!("[msrp]\nlisten = [\"tcp:{}\"]\n\n[rooms]\nmuc_domains = [\"{}\"]\n", place.free(), Prosody::ROOMS);
    let _gateway = Gateway::start_at(&place, BINARY, sip, &settings);
    let mut crowd = XmppCrowd::online(&place, &prosody, "crowd", &["user0", "user1"]);
    crowd.order("user0", "join", json!({"room": MUC, "nick": "X0"}));
    crowd.wait("joined", SOON, "user0", |_| true);

    let mut calls = Vec::new();
    for within in [false, true] {
        let call = romeo.call(
            proxy,
            MUC_URI,
            json!({"chatroom": "nickname private-messages", "headers": [["Subject", "in"]]}),
        );
        romeo.order("subscribe", json!({"s": call, "about": MUC_URI, "within": within}));
        assert_eq!(romeo.wait("response", SOON, |r| r["method"] == "SUBSCRIBE")["code"], 200, "within: {within}");
        let nick = format!("Romeo {within}");
        romeo.order("nickname", json!({"s": call, "nick": nick}));
        assert_eq!(romeo.event("nicknamed", SOON, &call)["code"], 200);
        crowd.until(LATE, &["user0"], MUC, &json!({"roster": ["X0", nick]}));
        romeo.until(LATE, &[&call], &json!({"roster": ["X0", nick]}));
        romeo.order("say", json!({"s": call, "text": "hail"}));
        crowd.until(LATE, &["user0"], MUC, &json!({"heard": calls.len() + 1}));
        romeo.order("refer", json!({"s": call, "to": "sip:user1@example.com"}));
        romeo.wait("progressed", SOON, |p| p["state"] == "terminated");
        crowd.wait("asked_in", SOON, "user1", |e| e["room"] == MUC);
        romeo.order("offer", json!({"s": call, "method": "UPDATE"}));
        assert_eq!(romeo.wait("response", SOON, |r| r["method"] == "UPDATE")["code"], 200);
        if within {
            crowd.order("user0", "role", json!({"room": MUC, "nick": nick, "role": "none"}));
            assert_eq!(romeo.event("ended", SOON, &call)["by"], "them");
        } else {
            romeo.bye(&call);
        }
        crowd.until(LATE, &["user0"], MUC, &json!({"roster": ["X0"]}));
        calls.push(call);
    }
}

/// A user with two phones sits there twice, each with a name, a list and its own words.
#[test]
fn a_user_with_two_phones() {
    let mut hall = Hall::new("muc-twice", Kind::Ejabberd, &["user0"], "");
    hall.open("user0", "X0");
    let at = hall.phones.address();
    let mut calls = Vec::new();
    for (gr, nick) in [("orchard", "Romeo"), ("cell", "Montague")] {
        let contact = format!("<sip:romeo@{at};transport=tcp;gr={gr}>");
        let call = hall.dial("romeo", nick, json!({"contact": contact}));
        seated(&mut hall.phones, &call);
        calls.push(call);
    }
    let all = json!({"roster": ["X0", "Romeo", "Montague"]});
    hall.crowd.until(LATE, &["user0"], MUC, &all);
    hall.phones.until(LATE, &[&calls[0], &calls[1]], &all);
    // The other phone hears what the one says, and the one does not hear itself.
    hall.phones.order("say", json!({"s": calls[0], "text": "one"}));
    hall.phones.until(LATE, &[&calls[1]], &json!({"heard": 1}));
    hall.phones.order("say", json!({"s": calls[1], "text": "two"}));
    let known = hall.phones.until(LATE, &[&calls[0]], &json!({"heard": 1}));
    assert_eq!(by_sender(&known[0]).get("Montague"), Some(&vec!["two".to_owned()]));
    hall.crowd.order("user0", "whisper", json!({"room": MUC, "nick": "Montague", "body": "psst"}));
    hall.phones.wait("message", SOON, |m| m["s"] == calls[1].as_str() && m["private"] == true && m["text"] == "psst");
    hall.phones.bye(&calls[0]);
    let rest = json!({"roster": ["X0", "Montague"]});
    hall.crowd.until(LATE, &["user0"], MUC, &rest);
    hall.phones.until(LATE, &[&calls[1]], &rest);
    hall.phones.bye(&calls[1]);
    hall.no_ghosts(&["user0"], &["X0"]);
}

/// Rooms and nicks that one side has to write in another way.
#[test]
fn names_that_need_care() {
    for (number, (room, uri)) in [
        ("d\\27artagnan\\20\\26\\20co@rooms.example.com", "sip:d'artagnan%20&%20co@rooms.example.com"),
        ("caf\u{e9}@rooms.example.com", "sip:caf%C3%A9@rooms.example.com"),
        ("50%@rooms.example.com", "sip:50%25@rooms.example.com"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut hall = Hall::new(&format!("muc-names-{number}"), Kind::Prosody, &["user0"], "");
        let nicks = ["<b>&amp;'\"@/;gr=x", "\u{30ed}\u{30df}\u{30aa} \u{2602}"];
        hall.crowd.order("user0", "join", json!({"room": room, "nick": nicks[0]}));
        hall.crowd.wait("joined", SOON, "user0", |_| true);
        let at = hall.gateway.sip();
        let fields = json!({"from": "\"Romeo\" <sip:romeo@example.net>", "chatroom": "nickname private-messages"});
        let call = hall.phones.invite(at, uri, fields);
        seated(&mut hall.phones, &call);
        // Prosody's rooms know no characters that are younger than Unicode 3.2: it says so, and he keeps what he has.
        hall.phones.order("nickname", json!({"s": call, "nick": "\u{1f339}"}));
        assert_eq!(hall.phones.event("nicknamed", SOON, &call)["code"], 424, "{room}");
        hall.phones.order("nickname", json!({"s": call, "nick": nicks[1]}));
        assert_eq!(hall.phones.event("nicknamed", SOON, &call)["code"], 200, "{room}");
        let all = json!({"roster": nicks});
        hall.crowd.until(LATE, &["user0"], room, &all);
        hall.phones.until(LATE, &[&call], &all);
        hall.phones.order("whisper", json!({"s": call, "to": nicks[0], "text": "psst"}));
        hall.crowd.wait("whispered", SOON, "user0", |e| e["nick"] == nicks[1] && e["body"] == "psst");
        hall.crowd.order("user0", "whisper", json!({"room": room, "nick": nicks[1], "body": "psst"}));
        hall.phones.wait("message", SOON, |m| m["private"] == true && m["sender"] == nicks[0]);
        hall.crowd.order("user0", "say", json!({"room": room, "body": "hail"}));
        hall.phones.until(LATE, &[&call], &json!({"heard": 2}));
        hall.phones.bye(&call);
        hall.crowd.until(LATE, &["user0"], room, &json!({"roster": [nicks[0]]}));
    }
}

/// What was said before is heard first, as much as the gateway was told to ask for; what is long comes in many chunks, and whole.
#[test]
fn what_was_said_before_and_what_is_long() {
    let mut hall = Hall::new("muc-long", Kind::Prosody, &["user0"], "history = 3");
    hall.open("user0", "X0");
    for number in 0..5 {
        hall.crowd.order("user0", "say", json!({"room": MUC, "body": format!("before {number}")}));
    }
    hall.crowd.until(LATE, &["user0"], MUC, &json!({"heard": 5}));
    let call = hall.enter("romeo", "Romeo");
    let known = hall.phones.until(LATE, &[&call], &json!({"heard": 3, "roster": ["X0", "Romeo"]}));
    let said: Vec<&Value> = known[0]["heard"].as_array().into_iter().flatten().map(|h| &h[1]).collect();
    assert_eq!(said, ["before 2", "before 3", "before 4"]);

    let long = |what: &str| format!("{what} {}", "and so on \u{1f339} ".repeat(1200));
    hall.crowd.order("user0", "say", json!({"room": MUC, "body": long("hers")}));
    let got = hall.phones.wait("message", LATE, |m| m["text"].as_str().is_some_and(|t| t.starts_with("hers")));
    assert_eq!(got["text"], long("hers"));
    assert!(got["chunks"].as_u64() > Some(1), "{}", got["chunks"]);
    hall.phones.order("say", json!({"s": call, "text": long("his")}));
    let seen = hall.crowd.until(LATE, &["user0"], MUC, &json!({"heard": 7}));
    assert_eq!(by_sender(&seen[0]).get("Romeo"), Some(&vec![long("his")]));
    hall.phones.bye(&call);
    hall.no_ghosts(&["user0"], &["X0"]);
}
