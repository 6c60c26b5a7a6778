//! What a client learns about the gateway and the SIP users behind it, asked by a real one through a real server.

use crate::world::{SOON, World};
use rehearsal::peers::json;

const INFO: &str = "http://jabber.org/protocol/disco#info";

#[test]
fn a_client_learns_what_stands_there() {
    let (world, _romeo) = World::new("service");
    let mut juliet = world.client("juliet", "balcony");
    for to in ["example.net", "romeo@example.net", "romeo@example.net/orchard"] {
        // The gateway answers for itself and for the SIP users.
        let pong = juliet.iq("get", to, "<ping xmlns='urn:xmpp:ping'/>");
        assert_eq!(pong.from.as_deref(), Some(to), "{}", pong.raw);
        assert_eq!(pong.kind, "result", "{}", pong.raw);
        let version = juliet.iq("get", to, "<query xmlns='jabber:iq:version'/>");
        assert!(version.kind == "result" && version.raw.contains("Verona"), "{}", version.raw);

        let info = juliet.iq("get", to, &format!("<query xmlns='{INFO}'/>"));
        assert_eq!(info.kind, "result", "{to}: {}", info.raw);
        assert!(info.raw.contains("identity") && info.raw.contains(INFO), "{to}: {}", info.raw);

        let unknown = juliet.iq("get", to, "<x xmlns='urn:example:unheard-of'/>");
        let condition = unknown.error.and_then(|e| e.condition);
        assert_eq!(condition.as_deref(), Some("service-unavailable"), "{to}: {}", unknown.raw);
    }
    let info = juliet.iq("get", "example.net", &format!("<query xmlns='{INFO}'/>"));
    assert!(info.raw.contains("category=\"gateway\""), "{}", info.raw);
    let items = juliet.iq("get", "example.net", "<query xmlns='http://jabber.org/protocol/disco#items'/>");
    assert_eq!(items.kind, "result", "{}", items.raw);
}

/// Bodies are never logged, addresses at debug only (the default is info).
#[test]
fn the_log_holds_no_bodies_and_no_addresses() {
    for (level, quiet) in [("", true), ("[log]\nlevel = \"trace\"\n", false)] {
        let (mut world, mut romeo) = World::with("log", |s| s.more = level.to_owned());
        let mut juliet = world.client("juliet", "balcony");
        let secret = "wherefore-art-thou";
        assert_eq!(world.say(&mut romeo, secret), 200);
        juliet.message(SOON, |m| m.body.as_deref() == Some(secret));
        let fields =
            json!({"to": "romeo@example.net", "body": secret, "subject": secret, "xhtml": format!("<p>{secret}</p>")});
        juliet.send(fields.clone());
        romeo.request(SOON, |_| true);
        romeo.answer(404, "Not Found");
        let id = juliet.send(fields);
        juliet.error(SOON, &id);
        let order = json!({"uri": "sip:nobody@example.com", "body": secret, "headers": [["Subject", secret]]});
        assert_ne!(world.ask(&mut romeo, order).code, 200);
        romeo.send_raw(
            world.gateway.sip(),
            "udp",
            format!("MESSAGE sip:juliet SIP/2.0\r\nX: {secret}\r\n\r\n{secret}").as_bytes(),
        );
        assert!(world.gateway.stop().success());
        let log = world.gateway.process().log();
        assert!(!log.contains(secret), "a body in the log ({level}):\n{log}");
        for name in ["juliet", "romeo", "nobody"] {
            assert!(!quiet || !log.contains(name), "{name} in the log:\n{log}");
        }
        assert!(!log.is_empty(), "it says something");
    }
}
