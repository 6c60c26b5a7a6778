//! Another kind of focus for XMPP users, which can do little; and what a client learns of a room.

use crate::hall::{CHAT, Kind, LATE};
use crate::rooms_msrp::theatre;
use crate::world::SOON;
use rehearsal::peers::{Value, json};

/// No nicknames, no private messages, no parts of documents, and NOTIFYs that are slow to come: clients sit there all the same.
#[test]
fn a_focus_that_can_do_little() {
    let room = json!({"nicknames": false, "private": false, "full": true, "every": 1.0, "wrapped": "text/plain", "refer_once": true, "norefersub": false});
    let (mut hall, mut people) = theatre("chat-little", Kind::Prosody, &["user0", "user1"], room);
    hall.crowd.order("user0", "join", json!({"room": CHAT, "nick": "X0"}));
    hall.crowd.wait("joined", LATE, "user0", |_| true);
    hall.crowd.order("user1", "join", json!({"room": CHAT, "nick": "X1"}));
    hall.crowd.wait("joined", LATE, "user1", |_| true);
    let look = hall.crowd.until(LATE, &["user0"], CHAT, &json!({"subject": "Today in Verona"}));
    let own = look[0]["nick"].as_str().expect("she has a nick").to_owned();
    hall.crowd.order("user0", "say", json!({"room": CHAT, "body": "hail"}));
    hall.crowd.until(LATE, &["user0", "user1"], CHAT, &json!({"heard": 1}));
    let seen = hall.crowd.look("user1", CHAT);
    assert_eq!(seen["heard"][0][0], own.as_str(), "{seen:#}");
    // Not to all instead of to one: it comes back.
    hall.crowd.order("user1", "whisper", json!({"room": CHAT, "nick": own, "body": "psst"}));
    let bounced = hall.crowd.wait("bounced", SOON, "user1", |_| true);
    assert!(!bounced["condition"].is_null(), "{bounced:#}");
    hall.crowd.order("user1", "nick", json!({"room": CHAT, "nick": "Friar"}));
    let refused = hall.crowd.wait("refused", SOON, "user1", |_| true);
    assert!(!refused["condition"].is_null(), "{refused:#}");
    people.policy(json!({"code": 603, "reason": "Decline"}));
    hall.crowd.order("user0", "ask", json!({"room": CHAT, "to": "paris@example.net"}));
    people.wait("invited", SOON, |_| true);
    for user in ["user0", "user1"] {
        hall.crowd.order(user, "leave", json!({"room": CHAT}));
        hall.crowd.wait("left", LATE, user, |_| true);
    }
    hall.phones.room_until(LATE, "montague", &json!({"roster": []}));
}

/// A client that looks before it enters sees a MUC, with no more than what is true; and one that is not in it is told so.
#[test]
fn what_a_client_learns_of_a_room() {
    let (mut hall, _people) = theatre("chat-disco", Kind::Prosody, &["user0"], json!({}));
    let info = "http://jabber.org/protocol/disco#info";
    for to in [CHAT, "chat.example.net"] {
        let fields =
            json!({"id": format!("info-{to}"), "to": to, "type": "get", "payload": format!("<query xmlns='{info}'/>")});
        hall.crowd.order("user0", "iq", fields);
        let answer = hall.crowd.wait("iq", SOON, "user0", |a| a["id"] == format!("info-{to}"));
        let raw = answer["raw"].as_str().unwrap_or_default();
        assert_eq!(answer["type"], "result", "{raw}");
        assert!(raw.contains("category=\"conference\"") && raw.contains("http://jabber.org/protocol/muc"), "{raw}");
    }
    hall.join(CHAT, &["user0"], &["X0"]);
    hall.crowd.order("user0", "selfping", json!({"room": CHAT}));
    assert_eq!(hall.crowd.wait("done", SOON, "user0", |_| true)["condition"], Value::Null);
    hall.crowd.order("user0", "show", json!({"room": CHAT, "show": "away", "status": "asleep"}));
    hall.crowd.order("user0", "leave", json!({"room": CHAT, "status": "good night"}));
    hall.crowd.wait("left", LATE, "user0", |_| true);
    hall.crowd.order("user0", "selfping", json!({"room": CHAT}));
    assert_eq!(hall.crowd.wait("done", SOON, "user0", |_| true)["condition"], "not-acceptable");
    hall.crowd.order("user0", "say", json!({"room": CHAT, "body": "am I there?"}));
    assert!(!hall.crowd.wait("bounced", SOON, "user0", |_| true)["condition"].is_null());
    hall.phones.room_until(LATE, "montague", &json!({"roster": [], "spoken": 0}));
}
