//! Presence with sipp as the judge: scenarios that take what they expect and nothing else, for watchers and for notifiers.

use crate::presence::{A_WHILE, ROMEO, asked, quick, roster, send};
use crate::world::{BINARY, SOON, World};
use rehearsal::peers::{Gateway, Place, Prosody, Settings, SipPhone, Sipp, XmppClient};
use std::net::SocketAddr;
use std::time::Duration;

/// Without any phone yet: sipp will be it.
struct Site {
    at: SocketAddr,
    _gateway: Gateway,
    prosody: Prosody,
    place: Place,
}

fn site(name: &str) -> Site {
    let place = Place::new(name);
    let prosody = Prosody::start(&place, &["example.net"]);
    let at = place.free();
    let mut settings = Settings::new(&prosody, at);
    quick(&mut settings);
    let gateway = Gateway::start(&place, BINARY, &settings);
    Site { at, _gateway: gateway, prosody, place }
}

#[test]
fn sipp_watches_a_client() {
    let (world, _phone) = World::with("presence-sipp-watcher", quick);
    let mut juliet = world.client("juliet", "balcony");
    let mut romeo = Sipp::playing(&world.place, world.place.free(), Some(world.gateway.sip()), "watcher", &[]);
    juliet.presence(SOON, "subscribe", ROMEO);
    send(&mut juliet, "subscribed");
    juliet.presence(SOON, "unavailable", ROMEO);
    romeo.finish(SOON);
    assert_eq!(roster(&mut juliet), "from");
}

#[test]
fn sipp_is_watched_by_a_client() {
    let site = site("presence-sipp-notifier");
    let mut juliet = XmppClient::online(&site.place, &site.prosody, "juliet", "balcony");
    // RFC 6665 §4.2.1.1 has 200; RFC 3265 had 202 as well, and phones still send it. Neither is a yes.
    for (code, reason) in [("200", "OK"), ("202", "Accepted")] {
        let mut romeo = Sipp::playing(&site.place, site.at, None, "notifier", &[("CODE", code), ("REASON", reason)]);
        send(&mut juliet, "subscribe");
        juliet.presence(SOON, "subscribed", ROMEO);
        assert_eq!(juliet.presence(SOON, "", "romeo@example.net/orchard").show.as_deref(), Some("dnd"));
        // After the refresh.
        assert_eq!(juliet.presence(SOON, "", "romeo@example.net/orchard").show.as_deref(), Some("away"));
        send(&mut juliet, "unsubscribe");
        juliet.presence(SOON, "unavailable", "romeo@example.net/orchard");
        romeo.finish(SOON);
        assert_eq!(roster(&mut juliet), "none");
        juliet.presences();
    }
}

#[test]
fn sipp_refuses_to_be_watched() {
    let site = site("presence-sipp-refusal");
    let mut juliet = XmppClient::online(&site.place, &site.prosody, "juliet", "balcony");
    for (code, reason, header) in [
        ("403", "Forbidden", "Date: Sat, 13 Nov 2010 23:29:00 GMT"),
        ("489", "Bad Event", "Allow-Events: dialog"),
        ("603", "Decline", "Retry-After: 3600"),
    ] {
        let values = [("CODE", code), ("REASON", reason), ("HEADER", header)];
        let mut romeo = Sipp::playing(&site.place, site.at, None, "notifier_refuses", &values);
        send(&mut juliet, "subscribe");
        juliet.presence(SOON, "unsubscribed", ROMEO);
        romeo.finish(SOON);
        assert_eq!(roster(&mut juliet), "none", "{code}");
    }
}

#[test]
fn sipp_wants_longer_subscriptions() {
    let site = site("presence-sipp-423");
    let mut juliet = XmppClient::online(&site.place, &site.prosody, "juliet", "balcony");
    let mut romeo = Sipp::playing(&site.place, site.at, None, "notifier_423", &[]);
    send(&mut juliet, "subscribe");
    juliet.presence(SOON, "subscribed", ROMEO);
    juliet.presence(SOON, "", "romeo@example.net/orchard");
    romeo.finish(SOON);
}

/// RFC 8048 §5.2.2: a 481 ends the dialog and not the authorization: a new SUBSCRIBE follows, after a pause, for this one had just begun.
#[test]
fn sipp_forgets_a_dialog() {
    let site = site("presence-sipp-481");
    let mut juliet = XmppClient::online(&site.place, &site.prosody, "juliet", "balcony");
    let mut romeo = Sipp::playing(&site.place, site.at, None, "notifier_481", &[]);
    send(&mut juliet, "subscribe");
    juliet.presence(SOON, "subscribed", ROMEO);
    let log = romeo.finish(SOON);
    drop(romeo);
    juliet.no_presence(A_WHILE, |p| p.kind.as_deref() == Some("unsubscribed"));
    assert_eq!(roster(&mut juliet), "to");
    let mut romeo = SipPhone::listen(&site.place, "romeo-again", site.at);
    let again = romeo.request(Duration::from_secs(45), |r| r.method.as_deref() == Some("SUBSCRIBE"));
    assert!(!log.contains(again.header("Call-ID")) && again.cseq() == 1, "{}", again.raw);
    assert_eq!(again.uri.as_deref(), Some("sip:romeo@example.net"));
    send(&mut juliet, "unsubscribe");
    asked(&mut romeo);
}
