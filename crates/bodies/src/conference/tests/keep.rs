//! What a subscriber makes of it (§4.6).

use super::*;
use base::HashKey;

fn conference() -> Conference {
    Conference::new(HashKey::new(1, 2), Bounds { users: 4, bytes: 4_000 })
}

fn info(state: &str, version: u32, inner: &str) -> Info {
    parse(&document(&format!("entity='sip:room@example.com' state='{state}' version='{version}'"), inner)).unwrap()
}

/// What has changed, in short.
fn told(conference: &mut Conference, info: Info) -> String {
    let changes = match conference.apply(info) {
        Ok(changes) => changes,
        Err(Gap { again }) => return if again { "gap again" } else { "gap" }.into(),
    };
    let show = |change: &Change| match change {
        Change::Joined(entity) => format!("+{entity}"),
        Change::Changed(before) => format!("~{}", before.entity),
        Change::Left(before) => format!("-{}", before.entity),
    };
    let mut words: Vec<String> = changes.users.iter().map(show).collect();
    words.extend(changes.subject.then(|| format!("subject {:?}", conference.subject())));
    words.extend(changes.conference.then(|| "conference".into()));
    words.extend(changes.over.then(|| "over".into()));
    words.extend((changes.passed_over > 0).then(|| format!("{} passed over", changes.passed_over)));
    words.join(", ")
}

fn names(conference: &Conference) -> Vec<String> {
    conference.users().map(|user| format!("{}={}", user.entity, user.name().unwrap_or_default())).collect()
}

const ALICE: &str = "<user entity='a'><display-text>Alice</display-text></user>";
const BOB: &str = "<user entity='b'><display-text>Bob</display-text></user>";

fn all(users: &str) -> String {
    format!("<users>{users}</users>")
}

fn some(users: &str) -> String {
    format!("<users state='partial'>{users}</users>")
}

#[test]
fn first_all_then_what_changes() {
    let mut room = conference();
    let subject = "<conference-description><subject>Verona</subject></conference-description>";
    assert_eq!(
        told(&mut room, info("full", 3, &format!("{subject}{}", all(&format!("{ALICE}{BOB}"))))),
        "+a, +b, subject Some(\"Verona\")"
    );
    assert_eq!(told(&mut room, info("partial", 4, &some("<user entity='c'/>"))), "+c");
    let romeo = "<user entity='b' state='partial'><display-text>Romeo</display-text></user>";
    assert_eq!(
        told(&mut room, info("partial", 5, &some(&format!("{romeo}<user entity='a' state='deleted'/>")))),
        "~b, -a"
    );
    assert_eq!(names(&room), ["b=Romeo", "c="]);
    assert_eq!(room.subject(), Some("Verona"));
    // The description is no thing of parts: it comes as a whole.
    let description = "<conference-description><display-text>Room</display-text></conference-description>";
    assert_eq!(told(&mut room, info("partial", 6, description)), "subject None, conference");
    let state = "<conference-state><locked>true</locked></conference-state>";
    assert_eq!(told(&mut room, info("partial", 7, state)), "conference");
    assert_eq!(told(&mut room, info("partial", 8, &format!("{description}{state}"))), "");
    assert_eq!((room.version(), room.state().locked), (Some(8), Some(true)));
    // Whose state is full by default is full.
    assert_eq!(told(&mut room, info("partial", 9, &all(ALICE))), "-b, -c, +a");
    assert_eq!(told(&mut room, info("partial", 10, "<users state='deleted'/>")), "-a");
    assert!(room.is_empty() && room.weight() == 0 && !room.is_over());
}

/// §4.6: what is old is not used, and what is missing is asked for.
#[test]
fn numbers() {
    let mut room = conference();
    assert_eq!(told(&mut room, info("partial", 1, &some(ALICE))), "gap");
    assert_eq!(told(&mut room, info("partial", 2, &some(ALICE))), "gap again");
    assert_eq!(room.version(), None);
    assert_eq!(told(&mut room, info("full", 2, &all(ALICE))), "+a");
    // The same again, as after a refresh.
    assert_eq!(told(&mut room, info("full", 2, &all(ALICE))), "");
    assert_eq!(told(&mut room, info("full", 2, &all(BOB))), "");
    assert_eq!(told(&mut room, info("partial", 4, &some(BOB))), "gap");
    assert_eq!(told(&mut room, info("partial", 3, &some(BOB))), "gap again");
    assert_eq!(names(&room), ["a=Alice"]);
    assert_eq!(told(&mut room, info("full", 4, &all(BOB))), "-a, +b");
    // Full ones may leave numbers out.
    assert_eq!(told(&mut room, info("full", 9, &all(ALICE))), "-b, +a");
    assert_eq!(told(&mut room, info("partial", 10, &some(BOB))), "+b");
    // Who counts anew is asked for all, which is taken then.
    assert_eq!(told(&mut room, info("full", 1, &all(BOB))), "gap");
    assert_eq!(told(&mut room, info("full", 1, &all(BOB))), "-a");
    assert_eq!(told(&mut room, info("partial", 2, &some(ALICE))), "+a");
    let mut room = conference();
    assert_eq!(told(&mut room, info("full", u32::MAX, &all(ALICE))), "+a");
    assert_eq!(told(&mut room, info("partial", 0, &some(BOB))), "gap");
}

/// Another subscription counts for itself; who is there still is told of once.
#[test]
fn a_new_subscription() {
    let mut room = conference();
    assert_eq!(told(&mut room, info("full", 7, &all(&format!("{ALICE}{BOB}")))), "+a, +b");
    room.restart();
    assert_eq!(told(&mut room, info("partial", 8, &some("<user entity='c'/>"))), "gap");
    assert_eq!(told(&mut room, info("full", 0, &all(&format!("{BOB}<user entity='c'/>")))), "-a, +c");
    assert_eq!(names(&room), ["b=Bob", "c="]);
}

#[test]
fn it_is_over() {
    let mut room = conference();
    assert_eq!(told(&mut room, info("full", 1, &all(ALICE))), "+a");
    assert_eq!(told(&mut room, info("deleted", 2, &all(BOB))), "-a, over");
    assert!(room.is_over());
    assert_eq!(told(&mut conference(), info("deleted", 0, "")), "over");
}

/// §4.5: keys are bytes; one that is there twice is one.
#[test]
fn keys() {
    let mut room = conference();
    let twice = "<user entity='a'><display-text>1</display-text></user><user entity='A'/><user entity='a'><display-text>2</display-text></user>";
    assert_eq!(told(&mut room, info("full", 1, &all(twice))), "+a, +A");
    assert_eq!(names(&room), ["a=2", "A="]);
    assert!(room.user("a").is_some() && room.user(" a").is_none());
    // In and out in one document: nothing has happened.
    let inout = format!("{BOB}<user entity='b' state='deleted'/><user entity='x' state='deleted'/>");
    assert_eq!(told(&mut room, info("partial", 2, &some(&inout))), "");
    let back = "<user entity='a' state='deleted'/><user entity='a'><display-text>2</display-text></user>";
    assert_eq!(told(&mut room, info("partial", 3, &some(back))), "");
    // In what is full nobody has left, and is told in parts.
    let odd = "<user entity='a' state='partial'/><user entity='b' state='deleted'/>";
    assert_eq!(told(&mut room, info("full", 4, &all(odd))), "-A, ~a");
    assert_eq!(names(&room), ["a="]);
}

#[test]
fn endpoints() {
    let mut room = conference();
    let endpoint = |entity: &str, state: &str, inner: &str| {
        format!("<endpoint entity='{entity}' state='{state}'>{inner}</endpoint>")
    };
    let user = |state: &str, inner: &str| some(&format!("<user entity='a' state='{state}'>{inner}</user>"));
    let connected = "<status>connected</status><joining-method>dialed-in</joining-method><media id='1'/>";
    assert_eq!(told(&mut room, info("full", 1, &all(""))), "");
    let two = endpoint("p", "full", connected) + &endpoint("q", "full", connected);
    assert_eq!(told(&mut room, info("partial", 2, &user("partial", &two))), "+a");
    let booted = "<status>disconnected</status><disconnection-method>booted</disconnection-method>";
    assert_eq!(told(&mut room, info("partial", 3, &user("partial", &endpoint("p", "partial", booted)))), "~a");
    let a = room.user("a").unwrap();
    assert!(a.is_present());
    assert_eq!(
        (a.endpoints[0].status, a.endpoints[0].joining_method),
        (Some(Status::Disconnected), Some(Joining::DialedIn))
    );
    assert_eq!(told(&mut room, info("partial", 4, &user("partial", &endpoint("q", "deleted", connected)))), "~a");
    let a = room.user("a").unwrap();
    assert!(!a.is_present() && a.disconnection() == Some((Disconnection::Booted, None)));
    assert_eq!(told(&mut room, info("partial", 5, &user("partial", &endpoint("p", "full", "")))), "~a");
    assert_eq!(room.user("a").unwrap().endpoints, [Endpoint { entity: "p".into(), ..Endpoint::default() }]);
    assert_eq!(
        told(&mut room, info("partial", 6, &user("partial", &endpoint("p", "partial", "<media id='1'/>")))),
        "",
        "media are not kept"
    );
    assert_eq!(told(&mut room, info("partial", 7, &user("full", ""))), "~a");
    // However many come one by one.
    for n in 0..50 {
        room.apply(info("partial", 8 + n, &user("partial", &endpoint(&n.to_string(), "full", "")))).unwrap();
    }
    let a = room.user("a").unwrap();
    assert_eq!((a.endpoints.len(), a.endpoints.last().unwrap().entity.as_str()), (MAX_PARTS, "49"));
}

#[test]
fn there_is_room_for_so_many_and_so_much() {
    let mut room = conference();
    let users: String = (0..6).map(|n| format!("<user entity='{n}'/>")).collect();
    assert_eq!(told(&mut room, info("full", 1, &all(&users))), "+0, +1, +2, +3, 2 passed over");
    assert_eq!(
        told(
            &mut room,
            info("partial", 2, &some("<user entity='5' state='deleted'/><user entity='0' state='deleted'/>"))
        ),
        "-0"
    );
    assert_eq!(told(&mut room, info("partial", 3, &some("<user entity='5'/>"))), "+5");
    let big = format!("<user entity='5' state='partial'><display-text>{}</display-text></user>", "x".repeat(4_000));
    assert_eq!(told(&mut room, info("partial", 4, &some(&big))), "1 passed over");
    assert_eq!(names(&room), ["1=", "2=", "3=", "5="]);
    assert_eq!(room.weight(), 4 * size_of::<User>());
}
