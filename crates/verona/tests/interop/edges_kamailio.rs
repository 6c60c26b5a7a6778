//! The edges of the gateway with a proxy behind them: Kamailio over TLS and WebSockets. A WebSocket has one side that listens, and that is the
//! proxy; so the gateway's connection carries what comes from the phones as well.

use crate::world::{BINARY, SOON, TEXTS, lines};
use rehearsal::peers::{
    Edge, Gateway, Kamailio, KamailioEdge, Place, Prosody, Settings, SipPhone, TestCa, XmppClient, json,
};

/// Messages go both ways between a phone behind Kamailio and a client, and refusals come back; all of SIP by IPv4, or by IPv6 alone.
fn both_ways(edge: Edge, v6: bool) {
    let place = Place::new(&format!("edge-{}{}", edge.name(), if v6 { "-v6" } else { "" }));
    let free = || if v6 { place.free_v6() } else { place.free() };
    let ca = TestCa::new(&place);
    let ours = ca.issue(&place, "gateway", &["gw.example.com"]);
    let host = free().ip().to_string();
    let theirs = ca.issue(&place, "proxy", &["proxy.example.net", &host]);
    let prosody = Prosody::start(&place, &["example.net"]);
    let (sip, secure) = (free(), free());
    let places = [(); 4].map(|()| free());
    let kamailio = KamailioEdge::start_at(&place, places, edge, (&ca, &theirs), (secure, "gw.example.com"));
    let mut settings = Settings::new(&prosody, kamailio.gateway_comes_to());
    settings.transport = edge.name();
    settings.sockets = vec![format!("tls:{secure}"), format!("ws:{}", free()), format!("wss:{}", free())];
    settings.open = vec![if v6 { "::1" } else { "127.0.0.0/8" }.to_owned()];
    settings.peer = match edge {
        Edge::Ws => format!("source = \"{host}\""),
        // Where it comes from says nothing; the name in its certificate does, whichever side has connected.
        Edge::Tls | Edge::Wss => "certificate = \"proxy.example.net\"".to_owned(),
    };
    settings.more = format!("[tls]\ncertificates = [{}]\ntrust = [{:?}]\n", ours.toml(), ca.root());
    let gateway = Gateway::start_at(&place, BINARY, sip, &settings);
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
    let mut romeo = SipPhone::listen(&place, "romeo", free());
    romeo.register(kamailio.phones(), "romeo", Kamailio::DOMAIN);

    for (what, text) in TEXTS {
        juliet.send(json!({"to": "romeo@example.net", "body": text}));
        let got = romeo.request(SOON, |_| true);
        assert_eq!(lines(got.body.as_deref().unwrap_or_default()), lines(text), "{what}");
        let via = got.list("Via");
        let transport = format!("SIP/2.0/{}", edge.name().to_uppercase());
        assert!(via.last().is_some_and(|via| via.starts_with(&transport)), "{via:?}");
    }
    for (what, text) in TEXTS {
        let token = romeo.send(kamailio.phones(), json!({"uri": "sip:juliet@example.com", "body": text}));
        assert_eq!(romeo.response(SOON, token).code, 200, "{what}");
        let got = juliet.message(SOON, |_| true);
        assert_eq!(lines(got.body.as_deref().unwrap_or_default()), lines(text), "{what}");
        assert_eq!(got.from, "romeo@example.net");
    }
    let token = romeo.send(kamailio.phones(), json!({"uri": "sip:nobody@example.com", "body": "x"}));
    assert!(matches!(romeo.response(SOON, token).code, 404 | 604));
    let id = juliet.send(json!({"to": "nobody@example.net", "body": "x"}));
    assert_eq!(juliet.error(SOON, &id).condition(), "item-not-found");
    let page = gateway.get("/metrics").expect("the metrics").1;
    let line = format!("verona_sip_connections{{transport=\"{}\"}} ", edge.name());
    let open = page.lines().find_map(|l| l.strip_prefix(&line)?.parse::<f64>().ok());
    assert!(open.is_some_and(|open| open >= 1.0), "{page}");
}

#[test]
fn kamailio_over_tls_where_both_show_certificates() {
    both_ways(Edge::Tls, false);
}

#[test]
fn kamailio_over_a_websocket_of_ours() {
    both_ways(Edge::Ws, false);
}

#[test]
fn kamailio_over_a_secure_websocket_of_ours() {
    both_ways(Edge::Wss, false);
}

#[test]
fn kamailio_over_tls_by_ipv6_alone() {
    both_ways(Edge::Tls, true);
}

#[test]
fn kamailio_over_a_websocket_of_ours_by_ipv6_alone() {
    both_ways(Edge::Ws, true);
}

#[test]
fn kamailio_over_a_secure_websocket_of_ours_by_ipv6_alone() {
    both_ways(Edge::Wss, true);
}

/// UDP and TCP, with a phone that is strict about every byte.
#[test]
fn a_phone_by_ipv6_alone() {
    for transport in ["udp", "tcp"] {
        let place = Place::new(&format!("edge-{transport}-v6"));
        let prosody = Prosody::start(&place, &["example.net"]);
        let mut romeo = SipPhone::listen(&place, "romeo", place.free_v6());
        let mut settings = Settings::new(&prosody, romeo.address());
        settings.transport = transport;
        settings.peer = "source = \"::1\"".to_owned();
        settings.open = vec!["::1".to_owned()];
        let gateway = Gateway::start_at(&place, BINARY, place.free_v6(), &settings);
        let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
        for (what, text) in TEXTS {
            juliet.send(json!({"to": "romeo@example.net", "body": text}));
            let got = romeo.request(SOON, |_| true);
            assert_eq!((got.transport.as_str(), got.source.0.as_str()), (transport, "::1"), "{what}");
            assert_eq!(lines(got.body.as_deref().unwrap_or_default()), lines(text), "{what}");
            let fields = json!({"uri": "sip:juliet@example.com", "body": text, "transport": transport});
            let token = romeo.send(gateway.sip(), fields);
            assert_eq!(romeo.response(SOON, token).code, 200, "{what}");
            let got = juliet.message(SOON, |_| true);
            assert_eq!(lines(got.body.as_deref().unwrap_or_default()), lines(text), "{what}");
        }
        assert!(juliet.messages().is_empty(), "no errors");
    }
}

/// A proxy whose certificate is for another name gets nothing, and the sender hears of it.
#[test]
fn a_proxy_that_does_not_prove_its_name_gets_nothing() {
    let place = Place::new("edge-name");
    let ca = TestCa::new(&place);
    let ours = ca.issue(&place, "gateway", &["gw.example.com"]);
    let theirs = ca.issue(&place, "proxy", &["proxy.example.net"]);
    let prosody = Prosody::start(&place, &["example.net"]);
    let (sip, secure) = (place.free(), place.free());
    let mut kamailio = KamailioEdge::start(&place, Edge::Tls, (&ca, &theirs), (secure, "gw.example.com"));
    let mut settings = Settings::new(&prosody, kamailio.gateway_comes_to());
    settings.transport = "tls";
    settings.sockets = vec![format!("tls:{secure}")];
    settings.more = format!("[tls]\ncertificates = [{}]\ntrust = [{:?}]\n", ours.toml(), ca.root());
    let gateway = Gateway::start_at(&place, BINARY, sip, &settings);
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
    let id = juliet.send(json!({"to": "romeo@example.net", "body": "a secret"}));
    let condition = juliet.error(SOON, &id).condition().to_owned();
    assert!(condition.starts_with("remote-server-"), "{condition}");
    assert!(!kamailio.process().log().contains("MESSAGE sip:romeo@example.net"));
    let page = gateway.get("/metrics").expect("the metrics").1;
    assert!(page.contains("reason=\"certificate for another name\""), "{page}");
}
