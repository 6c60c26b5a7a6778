//! What breaks under a room: the XMPP server, the gateway, a connection, a notification. Nobody is left in a room who is not there, and
//! whoever is still there hears everything once.

use crate::hall::{CHAT, Hall, Kind, LATE, MUC, by_sender};
use crate::rooms_msrp::{enter, theatre};
use crate::world::SOON;
use rehearsal::peers::{json, until};
use std::time::Duration;

/// For what waits for a link to come back, or for a restarted gateway to end what it was in.
const LATER: Duration = Duration::from_secs(60);

/// The service forgets everybody. Whoever was in the room by the gateway is in it again, or hears that he is not.
#[test]
fn the_service_is_restarted() {
    let mut hall = Hall::new("muc-restart", Kind::Prosody, &["user0"], "");
    hall.open("user0", "X0");
    let romeo = hall.enter("romeo", "Romeo");
    hall.crowd.until(LATE, &["user0"], MUC, &json!({"roster": ["X0", "Romeo"]}));
    hall.server.process().kill();
    hall.crowd.wait("offline", SOON, "user0", |_| true);
    hall.server.restart(&hall.place);
    hall.crowd.connect(hall.server.as_ref());
    hall.gateway.wait_ready(LATER);
    hall.join(MUC, &["user0"], &["X0"]);
    // Either way it is soon settled: a message of hers reaches him, or his call is over.
    let mut ended = false;
    let mut said = 0;
    until("he is in the room again, or hears that he is not", LATER, || {
        said += 1;
        hall.crowd.order("user0", "say", json!({"room": MUC, "body": format!("hail {said}")}));
        hall.crowd.until(SOON, &["user0"], MUC, &json!({"heard": said}));
        ended = hall.phones.take_all("ended").iter().any(|e| e["s"] == romeo.as_str());
        ended || hall.phones.look(&romeo)["heard"].as_array().is_some_and(|h| !h.is_empty())
    });
    let roster = if ended { json!(["X0"]) } else { json!(["X0", "Romeo"]) };
    hall.crowd.until(LATE, &["user0"], MUC, &json!({"roster": roster}));
    if !ended {
        hall.phones.until(LATE, &[&romeo], &json!({"roster": ["X0", "Romeo"]}));
        hall.phones.bye(&romeo);
    }
    let again = hall.enter("romeo", "Romeo");
    hall.phones.until(LATE, &[&again], &json!({"roster": ["X0", "Romeo"]}));
    hall.phones.bye(&again);
    hall.no_ghosts(&["user0"], &["X0"]);
}

/// With a store the gateway knows whom it was in which room for: both sides hear that it is over.
#[test]
fn the_gateway_is_killed_under_rooms() {
    let mut hall = Hall::with("rooms-killed", Kind::Prosody, &["user0", "user1"], "", |s| s.store = "redb:verona.redb");
    hall.open("user0", "X0");
    let romeo = hall.enter("romeo", "Romeo");
    let room = json!({"room": "montague", "domain": "chat.example.net", "subject": "Today", "out": ["127.0.0.1", 1]});
    hall.phones.note("room", room);
    hall.join(CHAT, &["user1"], &["X1"]);
    hall.crowd.until(LATE, &["user0"], MUC, &json!({"roster": ["X0", "Romeo"]}));
    hall.phones.room_until(LATE, "montague", &json!({"roster": ["X1"]}));
    // What was in store may be a while old: numbers are left out, and the connections are gone.
    for fault in ["the connection was closed under a session", "not one more"] {
        hall.phones.allow(fault);
    }
    let mut settled = (String::new(), 0);
    until("the store has all of it", SOON, || {
        let (_, metrics) = hall.gateway.get("/metrics").expect("the gateway answers");
        let of = |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
        let written = format!("{} {}", of("verona_store_records "), of("verona_store_commits_total "));
        let quiet = settled.0 == written && of("verona_store_queue ") == "0" && written.starts_with("2 ");
        settled = (written, if quiet { settled.1 + 1 } else { 0 });
        settled.1 == 10
    });
    hall.gateway.kill();
    hall.phones.event("lost", SOON, &romeo);
    hall.gateway.restart(&hall.place);
    hall.crowd.until(LATER, &["user0"], MUC, &json!({"roster": ["X0"]}));
    assert_eq!(hall.phones.event("ended", LATER, &romeo)["by"], "them");
    hall.phones.room_until(LATER, "montague", &json!({"roster": []}));
    hall.crowd.wait("left", LATER, "user1", |e| e["room"] == CHAT);
    // And all of it once more.
    let romeo = hall.enter("romeo", "Romeo");
    hall.join(CHAT, &["user1"], &["X1"]);
    hall.crowd.until(LATE, &["user0"], MUC, &json!({"roster": ["X0", "Romeo"]}));
    hall.phones.bye(&romeo);
    hall.no_ghosts(&["user0"], &["X0"]);
}

/// A phone whose connection breaks is not left in the room.
#[test]
fn a_connection_breaks_under_a_room() {
    let mut hall = Hall::new("muc-broken", Kind::Prosody, &["user0"], "");
    hall.open("user0", "X0");
    let romeo = hall.enter("romeo", "Romeo");
    hall.crowd.until(LATE, &["user0"], MUC, &json!({"roster": ["X0", "Romeo"]}));
    hall.phones.order("break", json!({"s": romeo}));
    hall.crowd.until(LATE, &["user0"], MUC, &json!({"roster": ["X0"]}));
    assert_eq!(hall.phones.event("ended", LATE, &romeo)["by"], "them");
}

/// A NOTIFY that is lost is noticed by its successor's number: the gateway asks for everything, and nobody is missing.
#[test]
fn a_notification_is_lost() {
    let (mut hall, mut people) = theatre("chat-lost", Kind::Prosody, &["user0"], json!({"version": 7}));
    hall.join(CHAT, &["user0"], &["X0"]);
    hall.crowd.until(LATE, &["user0"], CHAT, &json!({"roster": ["X0"], "subject": "Today in Verona"}));
    hall.phones.take_all("watched");
    hall.phones.note("room", json!({"room": "montague", "lose": 1}));
    let paris = enter(&hall, &mut people, "paris", "Paris");
    hall.phones.wait("swallowed", SOON, |_| true);
    hall.phones.order("topic", json!({"room": "montague", "subject": "A feast"}));
    hall.crowd.until(LATE, &["user0"], CHAT, &json!({"roster": ["X0", "Paris"], "subject": "A feast"}));
    people.order("say", json!({"s": paris, "text": "once"}));
    let seen = hall.crowd.until(LATE, &["user0"], CHAT, &json!({"heard": 1}));
    assert_eq!(by_sender(&seen[0]).get("Paris"), Some(&vec!["once".to_owned()]));
    people.bye(&paris);
    hall.crowd.until(LATE, &["user0"], CHAT, &json!({"roster": ["X0"]}));
}
