//! RFC 7702 §5 with real programs: slixmpp clients in the rooms of an MSRP endpoint that was written from the RFCs alone, among MSRP users.

use crate::hall::{CHAT, CHAT_URI, Hall, Kind, LATE, all_speak, dial, seated};
use crate::world::SOON;
use rehearsal::peers::{MsrpPeer, Value, json};

/// Ten clients, their nicks, and the nicks of ten phones.
const USERS: [&str; 10] = ["user0", "user1", "user2", "user3", "user4", "user5", "user6", "user7", "user8", "user9"];
const NICKS: [&str; 10] = ["X0", "X1", "X2", "X3", "X4", "X5", "X6", "X7", "X8", "X9"];
const SEATS: [&str; 10] = ["S0", "S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S9"];

/// A hall whose `phones` keep the rooms of chat.example.net, and others who sit in them.
pub(crate) fn theatre(name: &str, kind: Kind, users: &[&str], mut room: Value) -> (Hall, MsrpPeer) {
    let mut hall = Hall::new(name, kind, users, "");
    let people = MsrpPeer::listen(&hall.place, "people", hall.place.free());
    let at = |address: std::net::SocketAddr| json!([address.ip().to_string(), address.port()]);
    room["room"] = json!("montague");
    room["domain"] = json!("chat.example.net");
    room["subject"] = json!("Today in Verona");
    room["out"] = json!({"example.com": at(hall.gateway.sip()), "example.net": at(people.address())});
    hall.phones.note("room", room);
    (hall, people)
}

/// Has an MSRP user ask the focus to be let in, past the gateway, and waits until he is.
pub(crate) fn enter(hall: &Hall, people: &mut MsrpPeer, user: &str, nick: &str) -> String {
    let call = dial(people, hall.phones.address(), CHAT_URI, user, nick, json!({}));
    seated(people, &call);
    people.order("nickname", json!({"s": call, "nick": nick}));
    assert_eq!(people.event("nicknamed", SOON, &call)["code"], 200, "{nick}");
    call
}

#[test]
fn ten_of_each_kind_in_an_msrp_room() {
    ten_of_each_kind("chat-ten-aor", Kind::Prosody, "aor");
}

#[test]
fn ten_of_each_kind_in_an_msrp_room_with_addresses_of_its_own() {
    ten_of_each_kind("chat-ten-nick", Kind::Ejabberd, "nick");
}

fn ten_of_each_kind(name: &str, kind: Kind, entities: &str) {
    let (mut hall, mut people) = theatre(name, kind, &USERS, json!({"entities": entities}));
    let calls: Vec<String> =
        SEATS.iter().enumerate().map(|(n, seat)| enter(&hall, &mut people, &format!("romeo{n}"), seat)).collect();
    let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
    hall.join(CHAT, &USERS, &NICKS);
    let everybody: Vec<&str> = NICKS.iter().chain(&SEATS).copied().collect();
    let full = json!({"roster": everybody, "subject": "Today in Verona"});
    hall.crowd.until(LATE, &USERS, CHAT, &full);
    people.until(LATE, &calls, &full);
    hall.phones.room_until(LATE, "montague", &json!({"roster": everybody}));
    all_speak(&mut hall.crowd, &mut people, CHAT, (&USERS, &NICKS), (&calls, &SEATS), 5);

    // In private, both ways and from client to client.
    people.order("whisper", json!({"s": calls[1], "to": "X3", "text": "psst"}));
    hall.crowd.wait("whispered", SOON, "user3", |e| e["nick"] == "S1" && e["body"] == "psst");
    hall.crowd.order("user3", "whisper", json!({"room": CHAT, "nick": "S1", "body": "psst yourself"}));
    let got = people.wait("message", SOON, |m| m["s"] == calls[1] && m["private"] == true);
    assert_eq!((&got["sender"], &got["text"]), (&json!("X3"), &json!("psst yourself")));
    hall.crowd.order("user4", "whisper", json!({"room": CHAT, "nick": "X5", "body": "among us"}));
    hall.crowd.wait("whispered", SOON, "user5", |e| e["nick"] == "X4" && e["body"] == "among us");

    // Half of them leave; then all the clients, one by just going away.
    for call in &calls[5..] {
        people.bye(call);
    }
    for user in &USERS[5..] {
        hall.crowd.order(user, "leave", json!({"room": CHAT}));
    }
    for user in &USERS[5..] {
        hall.crowd.wait("left", LATE, user, |_| true);
    }
    let rest: Vec<&str> = NICKS[..5].iter().chain(&SEATS[..5]).copied().collect();
    hall.crowd.until(LATE, &USERS[..5], CHAT, &json!({"roster": rest}));
    people.until(LATE, &calls[..5], &json!({"roster": rest}));
    for user in &USERS[1..5] {
        hall.crowd.order(user, "leave", json!({"room": CHAT}));
    }
    hall.crowd.order(USERS[0], "disconnect", json!({}));
    // No ghosts: the focus has nobody but its own people.
    hall.phones.room_until(LATE, "montague", &json!({"roster": SEATS[..5]}));
    people.until(LATE, &calls[..5], &json!({"roster": SEATS[..5]}));
    for call in &calls[..5] {
        people.bye(call);
    }
}

/// Nicknames that are taken, subject, kick, ban, who is refused, and the end of the room.
#[test]
fn an_msrp_rooms_day() {
    let users = ["user0", "user1", "user2"];
    let (mut hall, mut people) = theatre("chat-day", Kind::Prosody, &users, json!({}));
    let paris = enter(&hall, &mut people, "paris", "Paris");
    hall.join(CHAT, &["user0", "user1"], &["X0", "X1"]);
    hall.crowd.order("user2", "join", json!({"room": CHAT, "nick": "Paris"}));
    assert_eq!(hall.crowd.wait("refused", SOON, "user2", |_| true)["condition"], "conflict");
    hall.phones.room_until(LATE, "montague", &json!({"roster": ["X0", "X1", "Paris"]}));

    hall.crowd.order("user1", "nick", json!({"room": CHAT, "nick": "Paris"}));
    assert_eq!(hall.crowd.wait("refused", SOON, "user1", |_| true)["condition"], "conflict");
    hall.crowd.order("user1", "nick", json!({"room": CHAT, "nick": "Friar"}));
    hall.crowd.wait("changed", SOON, "user1", |e| e["nick"] == "Friar");
    people.order("nickname", json!({"s": paris, "nick": "County"}));
    assert_eq!(people.event("nicknamed", SOON, &paris)["code"], 200);
    let all = ["X0", "Friar", "County"];
    hall.crowd.until(LATE, &users[..2], CHAT, &json!({"roster": all}));
    people.until(LATE, &[&paris], &json!({"roster": all}));
    hall.phones.order("topic", json!({"room": "montague", "subject": "A feast"}));
    hall.crowd.until(LATE, &users[..2], CHAT, &json!({"subject": "A feast"}));

    // It is there, and not here any more (XEP-0410).
    hall.crowd.order("user1", "selfping", json!({"room": CHAT}));
    assert_eq!(hall.crowd.wait("done", SOON, "user1", |_| true)["condition"], Value::Null);
    hall.phones.order("kick", json!({"room": "montague", "who": "Friar", "reason": "peace, ho"}));
    let left = hall.crowd.wait("left", SOON, "user1", |_| true);
    assert!(left["statuses"].as_array().is_some_and(|s| s.contains(&json!(307))), "{left:#}");
    hall.crowd.order("user1", "selfping", json!({"room": CHAT}));
    assert_eq!(hall.crowd.wait("done", SOON, "user1", |_| true)["condition"], "not-acceptable");
    hall.crowd.until(LATE, &["user0"], CHAT, &json!({"roster": ["X0", "County"]}));
    hall.join(CHAT, &["user1"], &["Friar"]);
    hall.phones.order("kick", json!({"room": "montague", "who": "Friar", "ban": true}));
    hall.crowd.wait("left", SOON, "user1", |_| true);
    hall.crowd.order("user1", "join", json!({"room": CHAT, "nick": "Friar"}));
    assert_eq!(hall.crowd.wait("refused", SOON, "user1", |_| true)["condition"], "forbidden");

    // A client sits there twice, from two places, each with a nick.
    hall.phones.note("room", json!({"room": "montague", "refuse": {"code": 480, "reason": "Later"}}));
    hall.crowd.order("user2", "join", json!({"room": CHAT, "nick": "X2"}));
    let refused = hall.crowd.wait("refused", SOON, "user2", |_| true);
    assert!(!refused["condition"].is_null(), "{refused:#}");
    hall.phones.room_until(LATE, "montague", &json!({"roster": ["X0", "County"]}));

    hall.phones.note("destroy", json!({"room": "montague"}));
    hall.crowd.wait("left", SOON, "user0", |_| true);
    people.event("ended", SOON, &paris);
}

/// Clients invite others through the focus, people of both kinds; the focus invites a client; one declines.
#[test]
fn invitations_to_an_msrp_room() {
    let users = ["user0", "user1", "user2"];
    let (mut hall, mut people) = theatre("chat-invites", Kind::Prosody, &users, json!({}));
    hall.join(CHAT, &["user0"], &["X0"]);

    // F27 to F30: a phone, which takes it.
    people.policy(json!({"code": 200, "chatroom": "nickname private-messages"}));
    hall.crowd.order("user0", "ask", json!({"room": CHAT, "to": "paris@example.net", "reason": "a feast"}));
    let referral = hall.phones.wait("referral", SOON, |_| true);
    assert_eq!(referral["to"], "sip:paris@example.net", "{referral:#}");
    let paris = people.wait("confirmed", SOON, |_| true)["s"].clone();
    let paris = paris.as_str().expect("a call has a name");
    hall.crowd.until(LATE, &["user0"], CHAT, &json!({"roster": ["X0", "paris"]}));

    // Another client, who joins.
    hall.crowd.order("user0", "ask", json!({"room": CHAT, "to": "user1@example.com"}));
    let asked = hall.crowd.wait("asked_in", SOON, "user1", |_| true);
    assert_eq!(asked["room"], CHAT, "{asked:#}");
    hall.join(CHAT, &["user1"], &["X1"]);
    hall.phones.room_until(LATE, "montague", &json!({"roster": ["X0", "X1", "paris"]}));
    hall.crowd.until(LATE, &["user0", "user1"], CHAT, &json!({"roster": ["X0", "X1", "paris"]}));

    // The focus asks a third, who declines.
    hall.phones.order("dial", json!({"room": "montague", "to": "sip:user2@example.com"}));
    hall.crowd.wait("asked_in", SOON, "user2", |e| e["room"] == CHAT);
    hall.crowd.order("user2", "decline", json!({"room": CHAT, "to": CHAT, "reason": "no"}));
    let failed = hall.phones.wait("failed", SOON, |_| true);
    assert_eq!(failed["code"], 603, "{failed:#}");

    for user in ["user0", "user1"] {
        hall.crowd.order(user, "leave", json!({"room": CHAT}));
        hall.crowd.wait("left", LATE, user, |_| true);
    }
    hall.phones.room_until(LATE, "montague", &json!({"roster": ["paris"]}));
    people.bye(paris);
}
