//! Phones that were not made for us: sipp as a judge, baresip as people use it.

use crate::world::{BINARY, SOON, World};
use rehearsal::peers::{Answer, Baresip, Gateway, Place, Prosody, Settings, Sipp, SippMessage, XmppClient, json};
use std::time::Duration;

#[test]
fn sipp_takes_and_refuses_messages() {
    let place = Place::new("sipp-uas");
    let prosody = Prosody::start(&place, &["example.net"]);
    let at = place.free();
    let _gateway = Gateway::start(&place, BINARY, &Settings::new(&prosody, at));
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
    for (code, reason, condition) in [
        (200, "OK", ""),
        (202, "Accepted", ""),
        (404, "Not Found", "item-not-found"),
        (486, "Busy Here", "recipient-unavailable"),
        (603, "Decline", "recipient-unavailable"),
        (503, "Service Unavailable", "internal-server-error"),
    ] {
        let mut romeo = Sipp::answering(&place, at, Answer::Code(code, reason), 1);
        let body = format!("for {code}: <&> \u{1f339}");
        let id = juliet.send(json!({"to": "romeo@example.net", "body": body, "subject": "\u{c7}a va?"}));
        if condition.is_empty() {
            juliet.no_message(Duration::from_millis(500), |_| true);
        } else {
            assert_eq!(juliet.error(SOON, &id).condition(), condition, "{code}");
        }
        let log = romeo.finish(SOON);
        assert!(log.contains(&body) && log.contains("Subject: \u{c7}a va?\r\n"), "{log}");
    }
}

/// The whole of RFC 3261's timer F, with its default of 32 s.
#[test]
fn sipp_says_nothing_and_the_sender_is_told_after_timer_f() {
    let place = Place::new("sipp-silent");
    let prosody = Prosody::start(&place, &["example.net"]);
    let at = place.free();
    let _gateway = Gateway::start(&place, BINARY, &Settings::new(&prosody, at));
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
    let romeo = Sipp::answering(&place, at, Answer::Nothing, 1);
    let id = juliet.send(json!({"to": "romeo@example.net", "body": "anybody?"}));
    assert_eq!(juliet.error(Duration::from_secs(36), &id).condition(), "remote-server-timeout");
    // RFC 3261 §17.1.2.2: sent at 0, 0.5, 1.5, 3.5, 7.5, 11.5, ... 31.5 s.
    assert_eq!(romeo.messages().matches("MESSAGE sip:romeo@example.net SIP/2.0").count(), 11);
}

#[test]
fn sipp_sends_and_is_answered() {
    let (world, _phone) = World::new("sipp-uac");
    let mut juliet = world.client("juliet", "balcony");
    for transport in ["u1", "t1"] {
        let mut message = SippMessage {
            uri: "sip:juliet@example.com",
            sender: "sip:romeo@example.net",
            subject: "\u{c7}a [va]",
            language: "fr",
            text: "<>&\"' \u{1f339} \u{5e9}\u{5dc}\u{5d5}\u{5dd} ]]>",
            expect: 200,
        };
        let mut romeo = Sipp::sending(&world.place, world.place.free(), world.gateway.sip(), transport, &message);
        romeo.finish(SOON);
        let got = juliet.message(SOON, |_| true);
        assert_eq!(got.body.as_deref(), Some(message.text));
        assert_eq!((got.subject.as_deref(), got.lang.as_deref()), (Some(message.subject), Some("fr")));

        message.sender = "sip:nurse@example.com";
        message.expect = 403;
        let mut thief = Sipp::sending(&world.place, world.place.free(), world.gateway.sip(), transport, &message);
        thief.finish(SOON);
    }
    juliet.no_message(Duration::from_millis(200), |_| true);
}

#[test]
fn baresip_talks_with_a_client() {
    let place = Place::new("baresip");
    let prosody = Prosody::start(&place, &["example.net"]);
    let at = place.free();
    let gateway = Gateway::start(&place, BINARY, &Settings::new(&prosody, at));
    // The gateway is its outbound proxy: each of its requests carries a Route that names the gateway.
    let account =
        format!("<sip:romeo@example.net;transport=udp>;regint=0;outbound=\"sip:{};transport=udp\"", gateway.sip());
    let mut romeo = Baresip::start(&place, at, &account, "sip:juliet@example.com");

    romeo.send("anybody?");
    romeo.wait_refused(404, SOON);
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
    for text in ["x", "<>&\"'", "\u{1f339} \u{5e9}\u{5dc}\u{5d5}\u{5dd}", &format!("{}end", "long ".repeat(80))] {
        romeo.send(text);
        let got = juliet.message(SOON, |_| true);
        assert_eq!((got.from.as_str(), got.body.as_deref()), ("romeo@example.net", Some(text)));
        let text = format!("back: {text}");
        juliet.send(json!({"to": got.from, "body": text, "thread": got.thread}));
        romeo.wait_shown(&format!("sip:juliet@example.com;gr=balcony: \"{text}\""), SOON);
    }
    juliet.send(json!({"to": "romeo@example.net", "body": "one\ntwo"}));
    romeo.wait_shown("\"one\r\ntwo\"", SOON);
    assert!(juliet.messages().is_empty(), "no errors");
}
