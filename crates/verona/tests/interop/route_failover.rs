//! Without an outbound proxy: the gateway finds the SIP side by NAPTR, SRV and A (RFC 3263), and another server where one is dead.

use crate::world::{BINARY, SOON};
use rehearsal::peers::{Dnsmasq, Gateway, Kamailio, Place, Prosody, Settings, SipPhone, XmppClient, Zone, json, until};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// `example.net` prefers TCP, by NAPTR; its servers by preference.
fn zone(servers: &[SocketAddr]) -> Zone {
    let mut zone = Zone::new().naptr("example.net", 10, 10, "SIP+D2T", "_sip._tcp.example.net").naptr(
        "example.net",
        20,
        10,
        "SIP+D2U",
        "_sip._udp.example.net",
    );
    for (n, server) in (0u16..).zip(servers) {
        let host = format!("sip{n}.example.net");
        zone = zone.host(&host, server.ip());
        zone = zone.srv("_sip._tcp.example.net", &host, server.port(), n, 0);
        zone = zone.srv("_sip._udp.example.net", &host, server.port(), n, 0);
    }
    zone
}

#[test]
fn a_dead_first_server_is_passed_over() {
    let place = Place::new("route-dead");
    let prosody = Prosody::start(&place, &["example.net"]);
    let (sip, proxy, dead) = (place.free(), place.free(), place.free());
    let kamailio = Kamailio::start(&place, proxy, sip, Duration::from_secs(2));
    let mut dnsmasq = Dnsmasq::start(&place, &zone(&[dead, proxy]));
    let mut settings = Settings::new(&prosody, proxy);
    settings.dns = Some(dnsmasq.address());
    let gateway = Gateway::start_at(&place, BINARY, sip, &settings);
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
    let mut romeo = SipPhone::listen(&place, "romeo", place.free());
    romeo.register(kamailio.address(), "romeo", Kamailio::DOMAIN);

    // Nobody listens at the first server: the second one has the message, once.
    for text in ["Art thou not Romeo", "and a Montague?"] {
        let begun = Instant::now();
        juliet.send(json!({"to": "romeo@example.net", "body": text}));
        let got = romeo.request(SOON, |_| true);
        assert_eq!(got.body.as_deref(), Some(text));
        assert!(got.list("Via").iter().any(|via| via.starts_with("SIP/2.0/TCP")), "{}", got.raw);
        assert!(begun.elapsed() < Duration::from_secs(5), "nobody waits for the dead");
    }
    let token = romeo.send(proxy, json!({"uri": "sip:juliet@example.com", "body": "Neither, fair saint"}));
    assert_eq!(romeo.response(SOON, token).code, 200);
    assert_eq!(juliet.message(SOON, |_| true).body.as_deref(), Some("Neither, fair saint"));
    assert!(romeo.requests().is_empty(), "each message comes once");

    let (_, metrics) = gateway.get("/metrics").expect("a page");
    let sum = |name: &str| {
        let values = metrics.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit(' ').next());
        values.filter_map(|value| value.parse::<f64>().ok()).sum::<f64>()
    };
    assert!(sum("verona_sip_failovers_total{") >= 1.0 && sum("verona_sip_quarantined{") >= 1.0, "{metrics}");

    // What is refused is refused, and no reason to ask others.
    let id = juliet.send(json!({"to": "nobody@example.net", "body": "x"}));
    assert_eq!(juliet.error(SOON, &id).condition(), "item-not-found");

    // The domain is no more: RFC 7247 §7.
    dnsmasq.change(&place, &Zone::new());
    until("the domain is gone", SOON, || {
        let id = juliet.send(json!({"to": "nobody@example.net", "body": "x"}));
        juliet.error(SOON, &id).condition() == "remote-server-not-found"
    });
}

#[test]
fn a_server_that_says_503_is_left_alone() {
    let place = Place::new("route-503");
    let prosody = Prosody::start(&place, &["example.net"]);
    let mut busy = SipPhone::listen(&place, "busy", place.free());
    let mut idle = SipPhone::listen(&place, "idle", place.free());
    busy.answer(503, "Busy");
    let zone = Zone::new()
        .naptr("example.net", 10, 10, "SIP+D2U", "_sip._udp.example.net")
        .host("busy.example.net", busy.address().ip())
        .host("idle.example.net", idle.address().ip())
        .srv("_sip._udp.example.net", "busy.example.net", busy.address().port(), 1, 0)
        .srv("_sip._udp.example.net", "idle.example.net", idle.address().port(), 2, 0);
    let dnsmasq = Dnsmasq::start(&place, &zone);
    let mut settings = Settings::new(&prosody, busy.address());
    settings.dns = Some(dnsmasq.address());
    let _gateway = Gateway::start(&place, BINARY, &settings);
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");

    juliet.send(json!({"to": "romeo@example.net", "body": "first"}));
    let (refused, taken) = (busy.request(SOON, |_| true), idle.request(SOON, |_| true));
    assert_eq!((refused.body.as_deref(), taken.body.as_deref()), (Some("first"), Some("first")));
    assert_eq!(refused.header("Call-ID"), taken.header("Call-ID"));
    assert_eq!(refused.header("CSeq"), taken.header("CSeq"));
    assert_ne!(refused.header("Via"), taken.header("Via"), "another transaction");
    juliet.send(json!({"to": "romeo@example.net", "body": "second"}));
    assert_eq!(idle.request(SOON, |_| true).body.as_deref(), Some("second"));
    assert!(busy.requests().is_empty(), "it is in quarantine");
}
