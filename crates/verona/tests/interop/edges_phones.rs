//! Phones that come to the edges of the gateway themselves: JsSIP over WebSockets, baresip over TLS; by IPv4 and by IPv6 alone.

use crate::world::{BINARY, SOON};
use rehearsal::peers::{Baresip, Gateway, JsSip, Place, Prosody, Settings, SipPhone, TestCa, XmppClient, json};
use std::net::{Ipv6Addr, SocketAddr, TcpListener};

/// The gateway with these sockets in addition, whose certificate is for `host`.
fn gateway(place: &Place, ca: &TestCa, prosody: &Prosody, sockets: Vec<String>, host: &str, more_sip: &str) -> Gateway {
    let ours = ca.issue(place, "gateway", &["gw.example.com", host]);
    let mut settings = Settings::new(prosody, place.free());
    settings.sockets = sockets;
    settings.more_sip = more_sip.to_owned();
    settings.peer = "source = \"127.0.0.0/8\"\ndomains = [\"example.net\"]\n[[sip.peer]]\nsource = \"::1\"".to_owned();
    settings.more = format!("[tls]\ncertificates = [{}]\ntrust = [{:?}]\n", ours.toml(), ca.root());
    Gateway::start(place, BINARY, &settings)
}

fn talk(phone: &mut JsSip, juliet: &mut XmppClient) {
    phone.wait_connected();
    for text in ["hello", "\u{1f339} \u{e9}", "two\r\nlines"] {
        assert_eq!(phone.say("sip:juliet@example.com", text), 200);
        let got = juliet.message(SOON, |_| true);
        assert_eq!(
            got.body.as_deref().map(|body| body.replace('\n', "\r\n")),
            Some(text.replace('\n', "\r\n").replace("\r\r", "\r"))
        );
        assert_eq!(got.from, "romeo@example.net");
    }
    assert!(matches!(phone.say("sip:nobody@example.com", "x"), 404 | 604));
    // There are no calls here: the INVITE is refused by the gateway, and acknowledged by the phone.
    assert!(matches!(phone.call("sip:juliet@example.com"), 400..=699));
    assert_eq!(phone.say("sip:juliet@example.com", "still here"), 200);
    assert_eq!(juliet.message(SOON, |_| true).body.as_deref(), Some("still here"));
}

#[test]
fn jssip_over_websockets() {
    let place = Place::new("jssip");
    let ca = TestCa::new(&place);
    let prosody = Prosody::start(&place, &["example.net"]);
    let (ws, wss) = (place.free(), place.free());
    let sockets = vec![format!("ws:{ws}"), format!("wss:{wss}")];
    let origins = "origins = [\"https://www.example.com\"]";
    let _gateway = gateway(&place, &ca, &prosody, sockets, &place.ip().to_string(), origins);
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
    let plain = json!({"url": format!("ws://{ws}"), "uri": "sip:romeo@example.net"});
    talk(&mut JsSip::start(&place, "plain", plain), &mut juliet);
    let secure = json!({"url": format!("wss://{wss}"), "uri": "sip:romeo@example.net", "ca": ca.root(),
        "origin": "https://www.example.com"});
    talk(&mut JsSip::start(&place, "secure", secure), &mut juliet);
    // A page that nobody has allowed.
    let evil = json!({"url": format!("ws://{ws}"), "uri": "sip:romeo@example.net", "origin": "https://evil.example"});
    JsSip::start(&place, "evil", evil).wait_disconnected();
}

#[test]
fn jssip_by_ipv6_alone() {
    let place = Place::new("jssip-v6");
    let ca = TestCa::new(&place);
    let prosody = Prosody::start(&place, &["example.net"]);
    let free = || TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).expect("a free port");
    let [ws, wss, secure]: [SocketAddr; 3] = [free(), free(), free()];
    let sockets = vec![format!("ws:{ws}"), format!("wss:{wss}"), format!("tls:{secure}")];
    let _gateway = gateway(&place, &ca, &prosody, sockets, "::1", "");
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
    let plain = json!({"url": format!("ws://{ws}"), "uri": "sip:romeo@example.net"});
    talk(&mut JsSip::start(&place, "plain", plain), &mut juliet);
    let secure = json!({"url": format!("wss://{wss}"), "uri": "sip:romeo@example.net", "ca": ca.root()});
    talk(&mut JsSip::start(&place, "secure", secure), &mut juliet);
}

#[test]
fn baresip_over_tls() {
    let place = Place::new("baresip-tls");
    let ca = TestCa::new(&place);
    let prosody = Prosody::start(&place, &["example.net"]);
    // It listens for TLS at the next port.
    let phone = place.free();
    let secure = place.free();
    let shown = ca.issue(&place, "phone", &["phone.example.net", &place.ip().to_string()]);
    let ours = ca.issue(&place, "gateway", &["gw.example.com", &place.ip().to_string()]);
    let mut settings = Settings::new(&prosody, SocketAddr::new(phone.ip(), phone.port() + 1));
    settings.transport = "tls";
    settings.sockets = vec![format!("tls:{secure}")];
    settings.more = format!("[tls]\ncertificates = [{}]\ntrust = [{:?}]\n", ours.toml(), ca.root());
    let _gateway = Gateway::start(&place, BINARY, &settings);
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
    let account = format!("<sip:romeo@example.net;transport=tls>;regint=0;outbound=\"sip:{secure};transport=tls\"");
    let mut romeo = Baresip::secure(&place, phone, &account, "sip:juliet@example.com", (&ca, &shown));
    romeo.send("wherefore");
    assert_eq!(juliet.message(SOON, |_| true).body.as_deref(), Some("wherefore"));
    juliet.send(json!({"to": "romeo@example.net", "body": "therefore"}));
    romeo.wait_shown("\"therefore\"", SOON);
}

/// A certificate is replaced while connections are there: they go on, and the next one sees the new one.
#[test]
fn a_new_certificate_drops_nobody() {
    let place = Place::new("rotation");
    let ca = TestCa::new(&place);
    let prosody = Prosody::start(&place, &["example.net"]);
    let wss = place.free();
    let host = place.ip().to_string();
    let mut gateway = gateway(&place, &ca, &prosody, vec![format!("wss:{wss}")], &host, "");
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
    let fields = || json!({"url": format!("wss://{wss}"), "uri": "sip:romeo@example.net", "ca": ca.root()});
    let mut before = JsSip::start(&place, "before", fields());
    talk(&mut before, &mut juliet);
    // One that the second phone does not trust, so that it shows which one it sees.
    let other = TestCa::named(&place, "other");
    other.issue(&place, "gateway", &["gw.example.com", &host]);
    gateway.process().signal("HUP");
    let mut after = JsSip::start(
        &place,
        "after",
        json!({"url": format!("wss://{wss}"), "uri": "sip:romeo@example.net", "ca": other.root()}),
    );
    after.wait_connected();
    JsSip::start(&place, "late", fields()).wait_disconnected();
    assert_eq!(before.say("sip:juliet@example.com", "still here"), 200);
    assert_eq!(juliet.message(SOON, |_| true).body.as_deref(), Some("still here"));
    let _ = SipPhone::listen(&place, "unused", place.free());
}
