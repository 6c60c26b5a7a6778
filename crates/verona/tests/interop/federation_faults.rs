//! Servers that are not where they should be, go away and come back, or are not who they say.

use crate::federation::{Federated, Ground, Kind, Proof, zone};
use crate::world::SOON;
use rehearsal::peers::{Certificate, Place, Zone, json, until};
use std::time::Duration;

/// The first target takes no connections: the next one does.
#[test]
fn a_dead_first_target_is_passed_over() {
    let mut world = Federated::new("federation-failover", Kind::Prosody, Proof::Certificates);
    let (theirs, dead) = (world.ground.theirs, world.place.free());
    let behind = zone(theirs, world.ground.ours)
        .srv("_xmpp-server._tcp.example.com", "dead.example.com", dead.port(), 5, 0)
        .host("dead.example.com", dead.ip());
    world.ground.dns.change(&world.place, &behind);
    let mut juliet = world.client("juliet");
    assert_eq!(world.say("Thy purpose marriage"), 200);
    assert_eq!(juliet.message(SOON, |_| true).body.as_deref(), Some("Thy purpose marriage"));
}

/// The name of the server is not the name of the domain: what DNS says proves nothing (RFC 9525 §6.1).
#[test]
fn a_certificate_for_the_target_alone_is_refused() {
    let place = Place::new("federation-target-name");
    let (theirs, ours) = (place.free(), place.free());
    let mut world = Federated::at(place, theirs, ours, Kind::Prosody, Proof::Certificates, "127.0.0.0/8");
    let certificate = Certificate::of(&["xmpp.example.com"]);
    world.ground.ca.sign(&world.place, "server", &certificate);
    world.server.restart(&world.place);
    let mut juliet = world.client("juliet");
    assert_ne!(world.say("Deny thy father"), 200);
    assert!(juliet.messages().is_empty());
}

#[test]
fn an_expired_certificate_is_refused_and_a_new_one_taken() {
    let mut world = Federated::new("federation-expired", Kind::Prosody, Proof::Certificates);
    let names = Certificate::of(&["example.com", "rooms.example.com"]);
    world.ground.ca.sign(&world.place, "server", &names.clone().expired());
    world.server.restart(&world.place);
    assert_ne!(world.say("What's Montague?"), 200);
    world.ground.ca.sign(&world.place, "server", &names);
    world.server.restart(&world.place);
    let mut juliet = world.client("juliet");
    until("the server is tried again", Duration::from_secs(20), || world.say("What's Montague?") == 200);
    assert_eq!(juliet.message(SOON, |_| true).body.as_deref(), Some("What's Montague?"));
}

#[test]
fn a_server_that_comes_back_is_found_again() {
    let mut world = Federated::new("federation-restart", Kind::Prosody, Proof::Certificates);
    {
        let mut juliet = world.client("juliet");
        world.exchange(&mut juliet);
    }
    world.server.process().kill();
    assert_ne!(world.say("Parting is such sweet sorrow"), 200);
    world.server.restart(&world.place);
    let mut juliet = world.client("juliet");
    until("the server is tried again", Duration::from_secs(20), || world.say("Good night") == 200);
    assert_eq!(juliet.message(SOON, |_| true).body.as_deref(), Some("Good night"));
    world.exchange(&mut juliet);
}

/// Where there is no such domain, or none with a server, senders are told so, each in the words of their side.
#[test]
fn nobody_there() {
    let mut world = Federated::new("federation-nobody", Kind::Prosody, Proof::Certificates);
    let mut juliet = world.client("juliet");
    world.exchange(&mut juliet);
    world.ground.dns.change(&world.place, &Zone::new());
    world.server.process().kill();
    let order = json!({"uri": "sip:juliet@rooms.example.com", "body": "Anybody?"});
    let token = world.phone.send(world.gateway.sip(), order);
    let code = world.phone.response(Duration::from_secs(35), token).code;
    assert_eq!(code, 404, "RFC 7247 §7: remote-server-not-found");
}

/// New files are shown to whoever connects next, and nobody is cut off.
#[test]
fn certificates_change_while_all_goes_on() {
    let mut world = Federated::new("federation-rotation", Kind::Prosody, Proof::Certificates);
    let mut juliet = world.client("juliet");
    world.exchange(&mut juliet);
    for _ in 0..2 {
        let Ground { ca, .. } = &world.ground;
        ca.issue(&world.place, "gateway", &["example.net"]);
        world.gateway.process().signal("HUP");
        world.exchange(&mut juliet);
    }
    let log = world.gateway.process().log();
    assert!(!log.contains("a stream with a server has ended"), "no stream ended");
}
