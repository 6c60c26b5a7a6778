//! The usual site: phones register at a proxy (Kamailio), which hands what is for XMPP to the gateway.

use crate::world::{BINARY, SOON, TEXTS, lines};
use rehearsal::peers::{Baresip, Gateway, Kamailio, Place, Prosody, Settings, SipPhone, XmppClient, json};
use std::time::Duration;

#[test]
fn phones_behind_kamailio_talk_with_clients() {
    let place = Place::new("kamailio");
    let prosody = Prosody::start(&place, &["example.net"]);
    let (sip, proxy) = (place.free(), place.free());
    let kamailio = Kamailio::start(&place, proxy, sip, Duration::from_secs(2));
    let _gateway = Gateway::start_at(&place, BINARY, sip, &Settings::new(&prosody, proxy));
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
    let mut romeo = SipPhone::listen(&place, "romeo", place.free());
    romeo.register(kamailio.address(), "romeo", Kamailio::DOMAIN);
    let account = format!("<sip:mercutio@example.net;transport=udp>;regint=60;outbound=\"sip:{proxy};transport=udp\"");
    let mut mercutio = Baresip::start(&place, place.free(), &account, "sip:juliet@example.com");
    mercutio.wait_registered();

    // From XMPP: the proxy finds the phone by its registration.
    for (what, text) in TEXTS {
        juliet.send(json!({"to": "romeo@example.net", "body": text, "subject": what, "thread": "t1", "lang": "en"}));
        let got = romeo.request(SOON, |_| true);
        assert_eq!(lines(got.body.as_deref().unwrap_or_default()), lines(text), "{what}");
        assert_eq!((got.header("Subject"), got.header("Call-ID")), (what, "t1"));
        assert_eq!(got.header("Content-Language"), "en");
        assert!(got.header("From").contains("sip:juliet@example.com;gr=balcony"), "{}", got.raw);
    }
    juliet.send(json!({"to": "mercutio@example.net", "body": "a plague?"}));
    mercutio.wait_shown("sip:juliet@example.com;gr=balcony: \"a plague?\"", SOON);

    // From SIP.
    let ask = |romeo: &mut SipPhone, uri: &str, text: &str| {
        let token = romeo.send(proxy, json!({"uri": uri, "body": text, "headers": [["Subject", "s"]]}));
        romeo.response(SOON, token).code
    };
    for (what, text) in TEXTS {
        assert_eq!(ask(&mut romeo, "sip:juliet@example.com", text), 200, "{what}");
        let got = juliet.message(SOON, |_| true);
        assert_eq!(lines(got.body.as_deref().unwrap_or_default()), lines(text), "{what}");
        assert_eq!((got.from.as_str(), got.subject.as_deref()), ("romeo@example.net", Some("s")));
    }
    mercutio.send("a plague!");
    assert_eq!(juliet.message(SOON, |_| true).body.as_deref(), Some("a plague!"));

    // What each side refuses.
    assert!(matches!(ask(&mut romeo, "sip:nobody@example.com", "x"), 404 | 604));
    let id = juliet.send(json!({"to": "nobody@example.net", "body": "x"}));
    assert_eq!(juliet.error(SOON, &id).condition(), "item-not-found");
    romeo.answer(486, "Busy Here");
    let id = juliet.send(json!({"to": "romeo@example.net", "body": "x"}));
    assert_eq!(juliet.error(SOON, &id).condition(), "recipient-unavailable");
    // The proxy's patience (2 s) ends before timer F: its 408 is the answer.
    romeo.answer(0, "");
    let id = juliet.send(json!({"to": "romeo@example.net", "body": "x"}));
    assert_eq!(juliet.error(SOON, &id).condition(), "remote-server-timeout");
}

/// The same over TCP, where the gateway keeps one connection to the proxy.
#[test]
fn the_proxy_is_reached_over_tcp() {
    let place = Place::new("kamailio-tcp");
    let prosody = Prosody::start(&place, &["example.net"]);
    let (sip, proxy) = (place.free(), place.free());
    let kamailio = Kamailio::start(&place, proxy, sip, Duration::from_secs(2));
    let mut settings = Settings::new(&prosody, proxy);
    settings.transport = "tcp";
    let _gateway = Gateway::start_at(&place, BINARY, sip, &settings);
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
    let mut romeo = SipPhone::listen(&place, "romeo", place.free());
    romeo.register(kamailio.address(), "romeo", Kamailio::DOMAIN);
    for (what, text) in TEXTS {
        juliet.send(json!({"to": "romeo@example.net", "body": text}));
        let got = romeo.request(SOON, |_| true);
        assert_eq!(lines(got.body.as_deref().unwrap_or_default()), lines(text), "{what}");
    }
    let id = juliet.send(json!({"to": "nobody@example.net", "body": "x"}));
    assert_eq!(juliet.error(SOON, &id).condition(), "item-not-found");
}
