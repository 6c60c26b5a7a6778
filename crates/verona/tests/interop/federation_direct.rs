//! Streams between servers that begin with TLS (XEP-0368), found by `_xmpps-server`: there is no other port on either side, and no other record.

use crate::federation::{Federated, Ground, Kind, Proof};
use crate::world::{BINARY, SOON};
use rehearsal::peers::{
    Certificate, Dnsmasq, Ejabberd, Gateway, Place, Prosody, Servers, Settings, SipPhone, TestCa, XmppServer, Zone,
    json,
};

/// Another server and the gateway, of which the latter shows a certificate for `name`.
fn site(place: Place, kind: Kind, name: &str) -> Federated {
    let (theirs, ours) = (place.free(), place.free());
    let zone = Zone::new()
        .srv("_xmpps-server._tcp.example.com", "xmpp.example.com", theirs.port(), 10, 0)
        .host("xmpp.example.com", theirs.ip())
        .srv("_xmpps-server._tcp.example.net", "gateway.example.net", ours.port(), 10, 0)
        .host("gateway.example.net", ours.ip())
        // For ejabberd: see `federation::zone`.
        .srv("_xmpps-server._tcp.example.net", &ours.ip().to_string(), ours.port(), 20, 0);
    let ca = TestCa::new(&place);
    let gateway = ca.issue(&place, "gateway", &[name]);
    let server = ca.sign(&place, "server", &Certificate::of(&["example.com", "rooms.example.com"]));
    let dns = Dnsmasq::start(&place, &zone);
    let ground = Ground { ca, dns, theirs, ours, gateway, server };
    let servers =
        Servers { listen: theirs, dns: ground.dns.address(), ca: ground.ca.root(), credentials: Some(&ground.server) };
    let server: Box<dyn XmppServer> = match kind {
        Kind::Prosody => Box::new(Prosody::federated_by_tls(&place, &servers)),
        Kind::Ejabberd => Box::new(Ejabberd::federated_by_tls(&place, &servers)),
    };
    let phone = SipPhone::listen(&place, "romeo", place.free());
    let mut settings = Settings::new(server.as_ref(), phone.address());
    settings.federation = Some(ground.toml(Proof::Certificates).replace("listen = [\"tcp:", "listen = [\"tls:"));
    let gateway = Gateway::start(&place, BINARY, &settings);
    Federated { gateway, server, phone, ground, place }
}

/// The server comes first, and finds the gateway; then each has a stream of its own, or one for both.
#[test]
fn prosody_comes_with_tls() {
    let mut world = site(Place::new("direct-in"), Kind::Prosody, "example.net");
    let mut juliet = world.client("juliet");
    world.exchange(&mut juliet);
    world.exchange(&mut juliet);
    let log = world.server.process().log();
    assert!(!log.contains("<starttls"), "nobody began in the clear");
    assert!(
        log.contains("Incoming s2s connection example.net->example.com complete")
            || log.contains("example.com->example.net complete"),
        "{log}"
    );
}

/// The phone speaks first: the gateway finds the server, and is answered.
#[test]
fn the_gateway_comes_with_tls() {
    let mut world = site(Place::new("direct-out"), Kind::Prosody, "example.net");
    let mut juliet = world.client("juliet");
    assert_eq!(world.say("I take thee at thy word"), 200);
    assert_eq!(juliet.message(SOON, |_| true).body.as_deref(), Some("I take thee at thy word"));
    let log = world.server.process().log();
    assert!(log.contains("Incoming s2s connection example.net->example.com complete"), "{log}");
    world.exchange(&mut juliet);
}

#[test]
fn ejabberd_and_the_gateway_come_with_tls() {
    let mut world = site(Place::new("direct-ejabberd"), Kind::Ejabberd, "example.net");
    let mut juliet = world.client("juliet");
    assert_eq!(world.say("I take thee at thy word"), 200);
    assert_eq!(juliet.message(SOON, |_| true).body.as_deref(), Some("I take thee at thy word"));
    world.exchange(&mut juliet);
}

/// Each shows a certificate in the handshake, and one for another domain gets nobody in.
#[test]
fn a_certificate_for_another_domain_is_no_good_from_the_start() {
    let mut world = site(Place::new("direct-wrong"), Kind::Prosody, "example.org");
    let mut juliet = world.client("juliet");
    let id = juliet.send(json!({"to": "romeo@example.net", "body": "a secret"}));
    let condition = juliet.error(SOON, &id).condition().to_owned();
    assert!(condition.starts_with("remote-server-"), "{condition}");
    let code = world.say("a secret");
    assert!(matches!(code, 403 | 404 | 480 | 500..=504), "{code}");
    assert!(world.phone.requests().is_empty() && juliet.messages().is_empty());
}
