//! RFC 7702 §6 with real programs: MSRP users in rooms of Prosody and of ejabberd, among slixmpp clients.

use crate::chat::A_WHILE;
use crate::hall::{Hall, Kind, LATE, MUC, MUC_URI, all_speak, seated};
use crate::world::SOON;
use rehearsal::peers::{Value, XmppCrowd, json};

/// Ten clients, their nicks, and the nicks of ten phones.
const USERS: [&str; 10] = ["user0", "user1", "user2", "user3", "user4", "user5", "user6", "user7", "user8", "user9"];
const NICKS: [&str; 10] = ["X0", "X1", "X2", "X3", "X4", "X5", "X6", "X7", "X8", "X9"];
const SEATS: [&str; 10] = ["S0", "S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S9"];

/// Whether a status code is among those of an event.
fn has(event: &Value, status: u16) -> bool {
    event["statuses"].as_array().is_some_and(|s| s.contains(&json!(status)))
}

/// Phones are not alike: over TCP and UDP, with MSRP in the clear and in TLS.
fn way(number: usize) -> Value {
    json!({"transport": if number.is_multiple_of(2) { "tcp" } else { "udp" }, "tls": number % 4 < 2})
}

#[test]
fn ten_of_each_kind_in_a_room_of_prosodys() {
    ten_of_each_kind("muc-ten-prosody", Kind::Prosody);
}

#[test]
fn ten_of_each_kind_in_a_room_of_ejabberds() {
    ten_of_each_kind("muc-ten-ejabberd", Kind::Ejabberd);
}

fn ten_of_each_kind(name: &str, kind: Kind) {
    let mut hall = Hall::new(name, kind, &USERS, "");
    hall.open(USERS[0], NICKS[0]);
    hall.join(MUC, &USERS[1..], &NICKS[1..]);
    let calls: Vec<String> =
        SEATS.iter().enumerate().map(|(n, seat)| hall.dial(&format!("romeo{n}"), seat, way(n))).collect();
    let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
    for call in &calls {
        seated(&mut hall.phones, call);
    }
    let everybody: Vec<&str> = NICKS.iter().chain(&SEATS).copied().collect();
    let full = json!({"roster": everybody, "subject": "Today in Verona"});
    hall.crowd.until(LATE, &USERS, MUC, &full);
    for known in hall.phones.until(LATE, &calls, &full) {
        assert_eq!(known["users"].as_array().map(Vec::len), Some(20), "{known:#}");
    }
    all_speak(&mut hall.crowd, &mut hall.phones, MUC, (&USERS, &NICKS), (&calls, &SEATS), 5);

    // In private, both ways and from phone to phone.
    hall.phones.order("whisper", json!({"s": calls[1], "to": "X3", "text": "psst"}));
    hall.crowd.wait("whispered", SOON, "user3", |e| e["nick"] == "S1" && e["body"] == "psst");
    hall.crowd.order("user3", "whisper", json!({"room": MUC, "nick": "S1", "body": "psst yourself"}));
    let got = hall.phones.wait("message", SOON, |m| m["s"] == calls[1] && m["private"] == true);
    assert_eq!((&got["sender"], &got["text"]), (&json!("X3"), &json!("psst yourself")));
    hall.phones.order("whisper", json!({"s": calls[1], "to": "S2", "text": "among us"}));
    let got = hall.phones.wait("message", SOON, |m| m["s"] == calls[2] && m["private"] == true);
    assert_eq!((&got["sender"], &got["text"]), (&json!("S1"), &json!("among us")));

    // Half of them leave, in their own ways; then all the phones.
    for call in &calls[5..] {
        hall.phones.bye(call);
    }
    for user in &USERS[5..] {
        hall.crowd.order(user, "leave", json!({"room": MUC}));
    }
    let rest: Vec<&str> = NICKS[..5].iter().chain(&SEATS[..5]).copied().collect();
    hall.crowd.until(LATE, &USERS[..5], MUC, &json!({"roster": rest}));
    hall.phones.until(LATE, &calls[..5], &json!({"roster": rest}));
    for call in &calls[..5] {
        hall.phones.bye(call);
    }
    hall.no_ghosts(&USERS[..5], &NICKS[..5]);
}

#[test]
fn a_room_of_prosodys_day() {
    a_day("muc-day-prosody", Kind::Prosody);
}

#[test]
fn a_room_of_ejabberds_day() {
    a_day("muc-day-ejabberd", Kind::Ejabberd);
}

/// Nicknames that are taken, subject, kick, ban, and the end of the room.
fn a_day(name: &str, kind: Kind) {
    let users = ["user0", "user1"];
    let mut hall = Hall::new(name, kind, &users, "");
    hall.open("user0", "X0");
    hall.join(MUC, &["user1"], &["X1"]);
    let romeo = hall.enter("romeo", "Romeo");
    let paris = hall.enter("paris", "Paris");
    let all = ["X0", "X1", "Romeo", "Paris"];
    hall.crowd.until(LATE, &users, MUC, &json!({"roster": all}));
    hall.phones.until(LATE, &[&romeo, &paris], &json!({"roster": all, "subject": "Today in Verona"}));

    // A nickname that somebody has, both ways; one that nobody has; and the clients see what became of it.
    for (nick, code) in [("X1", 425), ("Paris", 425), ("Montague", 200)] {
        hall.phones.order("nickname", json!({"s": romeo, "nick": nick}));
        assert_eq!(hall.phones.event("nicknamed", SOON, &romeo)["code"], code, "{nick}");
    }
    hall.crowd.wait("renamed", SOON, "user0", |e| e["nick"] == "Romeo" && e["to"] == "Montague");
    hall.crowd.order("user1", "nick", json!({"room": MUC, "nick": "Montague"}));
    assert_eq!(hall.crowd.wait("refused", SOON, "user1", |_| true)["condition"], "conflict");
    hall.crowd.order("user1", "nick", json!({"room": MUC, "nick": "Friar"}));
    hall.crowd.wait("changed", SOON, "user1", |e| e["nick"] == "Friar");
    let all = ["X0", "Friar", "Montague", "Paris"];
    hall.crowd.until(LATE, &users, MUC, &json!({"roster": all}));
    hall.phones.until(LATE, &[&romeo, &paris], &json!({"roster": all}));
    hall.crowd.order("user0", "subject", json!({"room": MUC, "subject": "A feast"}));
    hall.phones.until(LATE, &[&romeo, &paris], &json!({"subject": "A feast"}));

    // Whoever has a name that is taken when he comes gets another, and hears of it.
    let second = hall.enter("tybalt", "Paris");
    let known = hall.phones.until(LATE, &[&second], &json!({}));
    hall.phones.wait("roster", LATE, |e| e["s"] == second && e["users"].as_array().is_some_and(|u| u.len() == 5));
    drop(known);
    hall.phones.bye(&second);
    hall.crowd.until(LATE, &users, MUC, &json!({"roster": all}));

    // Thrown out: he may come back. Banned: he may not.
    hall.crowd.order("user0", "role", json!({"room": MUC, "nick": "Montague", "role": "none", "reason": "peace, ho"}));
    let ended = hall.phones.event("ended", SOON, &romeo);
    assert_eq!(ended["by"], "them", "{ended:#}");
    hall.crowd.until(LATE, &users, MUC, &json!({"roster": ["X0", "Friar", "Paris"]}));
    let romeo = hall.enter("romeo", "Romeo");
    let ban = json!({"room": MUC, "jid": "romeo@example.net", "affiliation": "outcast", "reason": "for ever"});
    hall.crowd.order("user0", "affiliation", ban);
    assert_eq!(hall.phones.event("ended", SOON, &romeo)["by"], "them");
    let refused = hall.dial("romeo", "Romeo", json!({}));
    assert_eq!(hall.phones.event("failed", SOON, &refused)["code"], 403);
    hall.crowd.until(LATE, &users, MUC, &json!({"roster": ["X0", "Friar", "Paris"]}));

    // A client is thrown out, and the phone sees it.
    hall.crowd.order("user0", "role", json!({"room": MUC, "nick": "Friar", "role": "none"}));
    hall.crowd.wait("left", SOON, "user1", |e| has(e, 307));
    hall.phones.until(LATE, &[&paris], &json!({"roster": ["X0", "Paris"]}));

    // The end of the room is the end of the call and of the subscription.
    hall.crowd.order("user0", "destroy", json!({"room": MUC, "reason": "over", "jid": "garden@rooms.example.com"}));
    hall.crowd.wait("left", SOON, "user0", |e| e["destroyed"]["jid"] == "garden@rooms.example.com");
    assert_eq!(hall.phones.event("ended", SOON, &paris)["by"], "them");
    hall.phones.wait("roster", LATE, |e| e["s"] == paris && e["state"] == "terminated");
}

#[test]
fn invitations_in_a_room_of_prosodys() {
    invitations("muc-invites-prosody", Kind::Prosody);
}

#[test]
fn invitations_in_a_room_of_ejabberds() {
    invitations("muc-invites-ejabberd", Kind::Ejabberd);
}

/// Clients invite phones, phones invite clients, through the room and past it; taken and declined.
fn invitations(name: &str, kind: Kind) {
    let mut hall = Hall::new(name, kind, &["user0", "user1"], "");
    hall.open("user0", "X0");
    let romeo = hall.enter("romeo", "Romeo");
    hall.crowd.until(LATE, &["user0"], MUC, &json!({"roster": ["X0", "Romeo"]}));

    // A phone asks a client in (RFC 7702 F55 to F58).
    hall.phones.order("refer", json!({"s": romeo, "to": "sip:user1@example.com"}));
    assert_eq!(hall.phones.wait("response", SOON, |r| r["method"] == "REFER")["code"], 200);
    let told = hall.phones.wait("progressed", SOON, |p| p["state"] == "terminated");
    assert!(told["code"] == 100 || told["code"] == 200, "{told:#}");
    let asked = hall.crowd.wait("asked_in", SOON, "user1", |_| true);
    assert_eq!(asked["room"], MUC, "{asked:#}");
    hall.join(MUC, &["user1"], &["X1"]);
    hall.phones.until(LATE, &[&romeo], &json!({"roster": ["X0", "X1", "Romeo"]}));

    // A client asks phones in: one comes.
    hall.crowd.order("user0", "ask", json!({"room": MUC, "to": "paris@example.net", "reason": "a feast"}));
    let referred = hall.phones.wait("referred", SOON, |_| true);
    assert_eq!((&referred["uri"], &referred["to"]), (&json!("sip:paris@example.net"), &json!(MUC_URI)), "{referred:#}");
    let paris = hall.enter("paris", "Paris");
    let all = json!({"roster": ["X0", "X1", "Romeo", "Paris"], "subject": "Today in Verona"});
    hall.phones.until(LATE, &[&romeo, &paris], &all);
    hall.phones.order("say", json!({"s": paris, "text": "I am here"}));
    hall.crowd.until(LATE, &["user0", "user1"], MUC, &json!({"heard": 1}));
    hall.phones.until(LATE, &[&romeo], &json!({"heard": 1}));

    // Another one does not want to, and she hears of it.
    hall.phones.note("policy", json!({"method": "REFER", "code": 200, "outcome": 603, "reason": "Not tonight"}));
    hall.crowd.order("user0", "ask", json!({"room": MUC, "to": "tybalt@example.net"}));
    hall.phones.wait("referred", SOON, |r| r["uri"] == "sip:tybalt@example.net");
    let declined = hall.crowd.wait("declined", SOON, "user0", |_| true);
    assert_eq!((&declined["room"], &declined["reason"]), (&json!(MUC), &json!("Not tonight")), "{declined:#}");

    // Whose program knows no REFER is told in words.
    hall.phones.note("policy", json!({"method": "REFER", "code": 501, "reason": "Not Implemented"}));
    hall.crowd.order("user0", "ask", json!({"room": MUC, "to": "benvolio@example.net"}));
    let told = hall.phones.wait("request", SOON, |r| r["method"] == "MESSAGE");
    assert!(told["body"].as_str().is_some_and(|b| b.contains(MUC_URI)), "{told:#}");

    // Past the room (XEP-0249): she asks him herself.
    hall.phones.note("policy", json!({"method": "REFER", "code": 200}));
    hall.crowd.order("user1", "ask", json!({"room": MUC, "to": "mercutio@example.net", "direct": true}));
    let referred = hall.phones.wait("referred", SOON, |_| true);
    assert_eq!(
        (&referred["uri"], &referred["to"]),
        (&json!("sip:mercutio@example.net"), &json!(MUC_URI)),
        "{referred:#}"
    );
    let mercutio = hall.enter("mercutio", "Mercutio");
    hall.phones.until(LATE, &[&mercutio], &json!({"subject": "Today in Verona"}));

    for call in [&romeo, &paris, &mercutio] {
        hall.phones.bye(call);
    }
    hall.no_ghosts(&["user0", "user1"], &["X0", "X1"]);
}

/// Who may not come in: a password, members only, nobody more. And who may after all.
#[test]
fn doors_of_prosodys_rooms() {
    let mut hall = Hall::new("muc-doors", Kind::Prosody, &["user0", "user1"], "");
    hall.open("user0", "X0");
    let configure = |hall: &mut Hall, fields: Value| {
        hall.crowd.order("user0", "configure", json!({"room": MUC, "fields": fields}));
        hall.crowd.wait("done", SOON, "user0", |e| e["what"] == "configure" && e["condition"].is_null());
    };
    let password = |word: &str| json!({"muc#roomconfig_passwordprotectedroom": "1", "muc#roomconfig_roomsecret": word});
    configure(&mut hall, password("rosaline"));
    let call = hall.dial("romeo", "Romeo", json!({}));
    let failed = hall.phones.event("failed", SOON, &call);
    assert!(matches!(failed["code"].as_u64(), Some(401 | 403 | 407)), "{failed:#}");
    configure(
        &mut hall,
        json!({"muc#roomconfig_passwordprotectedroom": "0", "muc#roomconfig_roomsecret": "", "muc#roomconfig_membersonly": "1"}),
    );
    let call = hall.dial("romeo", "Romeo", json!({}));
    let failed = hall.phones.event("failed", SOON, &call);
    assert!(matches!(failed["code"].as_u64(), Some(403 | 407)), "{failed:#}");
    hall.crowd.order(
        "user0",
        "affiliation",
        json!({"room": MUC, "jid": XmppCrowd::bare("user1"), "affiliation": "member"}),
    );
    hall.crowd.order("user0", "affiliation", json!({"room": MUC, "jid": "romeo@example.net", "affiliation": "member"}));
    hall.crowd.wait("done", SOON, "user0", |e| e["what"] == "affiliation");
    hall.crowd.wait("done", SOON, "user0", |e| e["what"] == "affiliation");
    let romeo = hall.enter("romeo", "Romeo");
    hall.join(MUC, &["user1"], &["X1"]);
    hall.phones.until(LATE, &[&romeo], &json!({"roster": ["X0", "X1", "Romeo"]}));
    hall.phones.none("ended", A_WHILE, |_| true);
    hall.phones.bye(&romeo);
    hall.no_ghosts(&["user0", "user1"], &["X0", "X1"]);
}
