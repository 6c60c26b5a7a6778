//! A phone of web pages that registers at the gateway itself: JsSIP over WebSockets (RFC 7118), found by the connection that it came by (RFC 5626).

use crate::line::calls;
use crate::registrar_phones::{Home, MD5, ROMEO};
use crate::world::{SOON, TEXTS, lines};
use rehearsal::peers::{JingleDevice, JsSip, Place, TestCa, Value, XmppClient, json, until};
use std::net::SocketAddr;

/// A home with WebSockets, of which the second one is secure.
struct Web {
    home: Home,
    ca: TestCa,
    plain: SocketAddr,
    secure: SocketAddr,
}

impl Web {
    fn new(name: &str) -> Web {
        let place = Place::new(name);
        let ca = TestCa::new(&place);
        let ours = ca.issue(&place, "gateway", &["gw.example.com", &place.ip().to_string()]);
        let (plain, secure) = (place.free(), place.free());
        // JsSIP reads one challenge, and knows the hash of it that is the oldest.
        let home = Home::with(place, MD5, |settings| {
            settings.sockets = vec![format!("ws:{plain}"), format!("wss:{secure}")];
            settings.more = format!(
                "[tls]\ncertificates = [{}]\ntrust = [{:?}]\n[media]\nenabled = true\n",
                ours.toml(),
                ca.root()
            );
        });
        Web { home, ca, plain, secure }
    }

    /// What a phone of romeo's is told.
    fn fields(&self, secure: bool, password: &str) -> Value {
        let url = if secure { format!("wss://{}", self.secure) } else { format!("ws://{}", self.plain) };
        json!({"url": url, "uri": format!("sip:{ROMEO}"), "password": password, "register": true, "ca": self.ca.root()})
    }

    fn phone(&self, name: &str, secure: bool) -> JsSip {
        let mut phone = JsSip::start(&self.home.place, name, self.fields(secure, "rose"));
        phone.wait_registered();
        phone
    }
}

/// Each way, whatever is said.
fn talk(phone: &mut JsSip, juliet: &mut XmppClient) {
    for (what, text) in TEXTS {
        assert_eq!(phone.say("sip:juliet@example.com", text), 200, "{what}");
        let got = juliet.message(SOON, |_| true);
        assert_eq!((got.from.as_str(), lines(got.body.as_deref().unwrap_or_default())), (ROMEO, lines(text)), "{what}");
        juliet.send(json!({"to": ROMEO, "body": text}));
        let got = phone.message();
        assert_eq!(lines(&got.body), lines(text), "{what}");
        assert!(got.from.starts_with("sip:juliet@example.com") && got.kind.starts_with("text/plain"), "{got:?}");
    }
    assert!(juliet.messages().is_empty(), "no errors");
}

#[test]
fn jssip_registers_and_is_reached_by_its_websocket() {
    let web = Web::new("registrar-ws");
    let mut juliet = web.home.juliet();
    let mut phone = web.phone("plain", false);
    assert_eq!(web.home.contacts(), 1);
    talk(&mut phone, &mut juliet);
    // Its end is the end of its connection, and there is no other way to it.
    drop(phone);
    until("nobody is there", SOON, || {
        let id = juliet.send(json!({"to": ROMEO, "body": "still there?"}));
        juliet.error(SOON, &id).condition() == "recipient-unavailable"
    });
}

/// RFC 5626 §4.4: a page whose connection is gone comes again, and its new one takes the place of the old one.
#[test]
fn jssip_comes_again_after_the_gateway_was_killed() {
    let mut web = Web::new("registrar-ws-again");
    let mut juliet = web.home.juliet();
    let mut phone = web.phone("plain", false);
    talk(&mut phone, &mut juliet);
    web.home.gateway.kill();
    phone.wait_disconnected();
    web.home.gateway.restart(&web.home.place);
    phone.wait_registered();
    assert_eq!(web.home.contacts(), 1);
    talk(&mut phone, &mut juliet);
}

#[test]
fn jssip_registers_and_is_reached_by_its_secure_websocket() {
    let web = Web::new("registrar-wss");
    let mut juliet = web.home.juliet();
    let mut phone = web.phone("secure", true);
    talk(&mut phone, &mut juliet);
    // One more page of the same user: both have what is said.
    let mut other = web.phone("plain", false);
    assert_eq!(web.home.contacts(), 2);
    juliet.send(json!({"to": ROMEO, "body": "to whom it concerns"}));
    for phone in [&mut phone, &mut other] {
        assert_eq!(phone.message().body, "to whom it concerns");
    }
}

/// The signalling of calls, each request of the page's with its credentials: in Node there are no media.
#[test]
fn jssip_calls_and_is_called() {
    let web = Web::new("registrar-ws-calls");
    let home = &web.home;
    let policy = json!({"codecs": ["PCMU"], "answer": "ring"});
    let mut device = JingleDevice::online(&home.place, &home.prosody, "juliet", "balcony", policy);
    let mut phone = web.phone("secure", true);
    let nothing_is_left = |device: &mut JingleDevice| {
        until("no call is left", SOON, || device.calls().is_empty() && calls(&home.gateway) == Some(0));
    };
    // It calls, and is declined; calls again, and hangs up.
    phone.dial("sip:juliet@example.com");
    let call = device.proposed(SOON);
    device.tell(&call, "reject", json!({"reason": "decline"}));
    assert_eq!(phone.wait_ended().0, "remote");
    nothing_is_left(&mut device);
    phone.dial("sip:juliet@example.com");
    let call = device.proposed(SOON);
    device.tell(&call, "accept", json!({}));
    phone.wait_confirmed();
    phone.hang_up();
    assert_eq!(device.ended(SOON, &call)["condition"], "success");
    assert_eq!(phone.wait_ended().0, "local");
    nothing_is_left(&mut device);
    // It is called, and she hangs up; it is called, and she gives up; it declines.
    let call = device.call(ROMEO, &["audio"]);
    assert!(phone.wait_called().starts_with("sip:juliet@example.com"));
    device.event("ringing", SOON, &call);
    phone.answer();
    device.event("answered", SOON, &call);
    phone.wait_confirmed();
    device.tell(&call, "hangup", json!({}));
    assert_eq!(phone.wait_ended().0, "remote");
    nothing_is_left(&mut device);
    let call = device.call(ROMEO, &["audio"]);
    phone.wait_called();
    device.event("ringing", SOON, &call);
    device.tell(&call, "hangup", json!({}));
    assert_eq!(phone.wait_ended(), ("remote".to_owned(), "Canceled".to_owned()));
    nothing_is_left(&mut device);
    let call = device.call(ROMEO, &["audio"]);
    phone.wait_called();
    phone.hang_up();
    let end = device.ended(SOON, &call);
    assert!(matches!(end["condition"].as_str(), Some("busy" | "decline" | "gone")), "{end:#}");
    nothing_is_left(&mut device);
}

#[test]
fn jssip_with_a_wrong_password() {
    let web = Web::new("registrar-ws-wrong");
    let mut juliet = web.home.juliet();
    let mut thief = JsSip::start(&web.home.place, "thief", web.fields(false, "guess"));
    assert_eq!(thief.wait_refused(), 401);
    assert_eq!(thief.say("sip:juliet@example.com", "it is me"), 401);
    assert_eq!(web.home.contacts(), 0);
    let id = juliet.send(json!({"to": ROMEO, "body": "Romeo?"}));
    assert_eq!(juliet.error(SOON, &id).condition(), "recipient-unavailable");
    assert!(juliet.messages().is_empty(), "nothing was said");
}
