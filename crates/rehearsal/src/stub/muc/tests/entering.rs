use super::*;
use xmpp::ext::delay::Delay;
use xmpp::ext::occupant_id::OccupantId;

#[test]
fn the_order_of_events() {
    // §7.1: others, self, history, subject.
    let mut s = service();
    join(&mut s, "otto", "boss");
    assert_eq!(
        send(&mut s, "romeo", "den/Romeo", JOIN),
        [
            "otto < den/Romeo: here none/participant is romeo",
            "romeo < den/boss: here owner/moderator",
            "romeo < den/Romeo: here none/participant 110",
            "romeo < den: groupchat subject \"\"",
        ]
    );
    send(&mut s, "otto", "den", "<message type='groupchat' id='s'><subject>Peace</subject></message>");
    groupchat(&mut s, "romeo", "1", "hello");
    groupchat(&mut s, "otto", "2", "hi");
    let join = JOIN.replace("<history maxstanzas='0'/>", "");
    s.desk.now = Time::from_secs(60);
    let out = answers(&mut s, "juliet", "den/Juliet", &join);
    assert_eq!(
        brief(&out),
        [
            "romeo < den/Juliet: here none/participant",
            "otto < den/Juliet: here none/participant is juliet",
            "juliet < den/Romeo: here none/participant",
            "juliet < den/boss: here owner/moderator",
            "juliet < den/Juliet: here none/participant 110",
            "juliet < den/Romeo: groupchat \"hello\"",
            "juliet < den/boss: groupchat \"hi\"",
            "juliet < den/boss: groupchat subject \"Peace\"",
        ]
    );
    let delays: Vec<_> = out.iter().filter_map(|s| s.elements().find_map(Delay::parse)).collect();
    assert_eq!(delays.len(), 3, "the past is marked as such");
    assert!(delays.iter().all(|d| d.stamp == "2001-09-09T01:46:40Z" && d.from.as_ref() == Some(&s.rooms["den"].jid)));
    assert!(out.iter().filter(|s| s.kind == Kind::Presence).all(|s| OccupantId::of(s).is_some()));
}

#[test]
fn history_that_is_wanted() {
    let mut s = service();
    join(&mut s, "otto", "boss");
    for n in 0..30 {
        s.desk.now = Time::from_secs(n);
        groupchat(&mut s, "otto", "1", &n.to_string());
    }
    let mut seen = |history: &str| {
        let out = answers(&mut s, "romeo", "den/Romeo", &JOIN.replace("<history maxstanzas='0'/>", history));
        let bodies = out.iter().filter_map(|s| s.child("body", ns::CLIENT)).map(|b| b.text().into_owned());
        let bodies: Vec<String> = bodies.collect();
        send(&mut s, "romeo", "den/Romeo", "<presence type='unavailable'/>");
        (bodies.len(), bodies.first().cloned().unwrap_or_default())
    };
    assert_eq!(seen(""), (20, "10".to_owned()), "the room keeps no more");
    assert_eq!(seen("<history/>"), (20, "10".to_owned()));
    assert_eq!(seen("<history maxstanzas='3'/>"), (3, "27".to_owned()));
    assert_eq!(seen("<history maxstanzas='0'/>"), (0, String::new()));
    assert_eq!(seen("<history maxchars='0'/>"), (0, String::new()));
    assert_eq!(seen("<history seconds='5'/>"), (6, "24".to_owned()));
    assert_eq!(seen("<history seconds='5' maxstanzas='2'/>"), (2, "28".to_owned()));
    assert_eq!(seen("<history since='2001-09-09T01:47:08Z'/>"), (2, "28".to_owned()));
    let (some, _) = seen("<history maxchars='1000'/>");
    assert!((1..5).contains(&some), "{some}");
}

#[test]
fn who_is_not_let_in() {
    let mut s = service();
    let refused = |s: &mut Service, who: &str, join: &str| send(s, who, "den/Nick", join).join("\n");
    s.make("den", Settings { password: Some("cauldron".into()), ..Settings::default() });
    assert_eq!(refused(&mut s, "romeo", JOIN), "romeo < den/Nick: error auth not-authorized");
    let with = |p: &str| JOIN.replace("<history maxstanzas='0'/>", &format!("<password>{p}</password>"));
    assert_eq!(refused(&mut s, "romeo", &with("x")), "romeo < den/Nick: error auth not-authorized");
    assert!(refused(&mut s, "romeo", &with("cauldron")).contains("110"));
    assert!(send(&mut s, "otto", "den/boss", JOIN).iter().any(|l| l.contains("110")), "an owner needs none");

    s.make("den", Settings { members_only: true, ..Settings::default() });
    assert_eq!(refused(&mut s, "juliet", JOIN), "juliet < den/Nick: error auth registration-required");
    s.affiliate("den", "juliet@example.com", Affiliation::Member);
    assert_eq!(refused(&mut s, "juliet", JOIN), "juliet < den/Nick: error cancel conflict");
    s.affiliate("den", "juliet@example.com", Affiliation::Outcast);
    assert_eq!(refused(&mut s, "juliet", JOIN), "juliet < den/Nick: error auth forbidden");

    s.make("den", Settings { max_users: Some(2), ..Settings::default() });
    assert_eq!(send(&mut s, "paris", "den/Paris", JOIN), ["paris < den/Paris: error wait service-unavailable"]);
    s.affiliate("den", "paris@example.com", Affiliation::Admin);
    assert!(send(&mut s, "paris", "den/Paris", JOIN).iter().any(|l| l.contains("110")), "an admin always comes in");

    s.make("den", Settings::default());
    s.reserve("den", "Nurse", "nurse@example.com");
    assert_eq!(send(&mut s, "peter", "den/Nurse", JOIN), ["peter < den/Nurse: error cancel conflict"]);
    assert_eq!(send(&mut s, "peter", "den", JOIN), ["peter < den: error modify jid-malformed"]);
    assert_eq!(send(&mut s, "peter", "den/Peter", "<presence/>"), ["peter < den/Peter: error cancel item-not-found"]);
    let error = &answers(&mut s, "peter", "den/Nurse", JOIN)[0];
    assert_eq!(StanzaError::from_stanza(error).and_then(|e| e.by), Jid::parse("den@muc.example.com").ok());
    assert!(error.child("x", ns::MUC).is_some());
    assert_eq!(s.people("den").len(), 3, "who was refused is not there");
}

#[test]
fn rooms_that_are_made() {
    let mut s = service();
    s.options.lock = true;
    assert_eq!(
        send(&mut s, "romeo", "new/Romeo", JOIN),
        ["romeo < new/Romeo: here owner/moderator is romeo 110 201", "romeo < new: groupchat subject \"\""]
    );
    assert_eq!(send(&mut s, "juliet", "new/Juliet", JOIN), ["juliet < new/Juliet: error cancel item-not-found"]);
    let instant = "<iq type='set' id='1'><query xmlns='http://jabber.org/protocol/muc#owner'>\
                   <x xmlns='jabber:x:data' type='submit'/></query></iq>";
    assert_eq!(send(&mut s, "romeo", "new", instant), ["romeo < new: result"]);
    assert!(send(&mut s, "juliet", "new/Juliet", JOIN).iter().any(|l| l.contains("110")));
    for who in ["romeo", "juliet"] {
        send(&mut s, who, "new/x", "<presence type='unavailable'/>");
    }
    assert_eq!(s.rooms(), ["den"], "a room that is not to stay is gone with its people");
    // One that was never unlocked is gone with whoever made it.
    send(&mut s, "romeo", "new/Romeo", JOIN);
    send(&mut s, "romeo", "new", &instant.replace("submit", "cancel"));
    assert_eq!(s.rooms(), ["den"]);
    s.options.create = false;
    assert_eq!(send(&mut s, "romeo", "new/Romeo", JOIN), ["romeo < new/Romeo: error cancel not-allowed"]);
    assert_eq!(send(&mut s, "romeo", "new/Romeo", "<presence type='unavailable'/>"), [""; 0]);
    let message = "<message type='groupchat'><body>x</body></message>";
    assert_eq!(send(&mut s, "romeo", "new", message), ["romeo < new: error cancel item-not-found"]);
}

#[test]
fn presence_goes_on() {
    let mut s = service();
    join(&mut s, "otto", "boss");
    join(&mut s, "romeo", "Romeo");
    let away = "<presence><show>away</show><x xmlns='http://jabber.org/protocol/muc#user'><item role='moderator'/></x>\
                <occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/></presence>";
    let out = answers(&mut s, "romeo", "den/Romeo", away);
    assert_eq!(
        brief(&out),
        ["otto < den/Romeo: here none/participant is romeo", "romeo < den/Romeo: here none/participant 110"]
    );
    for presence in &out {
        assert_eq!(presence.child("show", ns::CLIENT).map(|s| s.text().into_owned()).as_deref(), Some("away"));
        assert!(OccupantId::of(presence).is_some_and(|id| id.0 != "forged"), "the room's own, and it alone");
    }
    // Who comes later sees it, too.
    let out = answers(&mut s, "juliet", "den/Juliet", JOIN);
    let romeo = out.iter().find(|s| short(s.from.as_ref()) == "den/Romeo").expect("Romeo");
    assert!(romeo.child("show", ns::CLIENT).is_some());
    assert_eq!(
        send(&mut s, "romeo", "den/Romeo", "<presence type='unavailable'><status>night</status></presence>"),
        [
            "juliet < den/Romeo: unavailable none/none",
            "otto < den/Romeo: unavailable none/none is romeo",
            "romeo < den/Romeo: unavailable none/none 110",
        ]
    );
    assert_eq!(send(&mut s, "romeo", "den/Romeo", "<presence type='unavailable'/>"), [""; 0], "he is gone already");
    assert_eq!(send(&mut s, "romeo", "den/Romeo", "<presence type='probe'/>"), [""; 0]);
}

#[test]
fn another_name() {
    let mut s = service();
    join(&mut s, "otto", "boss");
    join(&mut s, "romeo", "Romeo");
    assert_eq!(
        send(&mut s, "romeo", "den/Montague", "<presence/>"),
        [
            "otto < den/Romeo: unavailable none/participant is romeo now Montague 303",
            "romeo < den/Romeo: unavailable none/participant now Montague 303 110",
            "otto < den/Montague: here none/participant is romeo",
            "romeo < den/Montague: here none/participant 110",
        ]
    );
    assert_eq!(send(&mut s, "romeo", "den/boss", "<presence/>"), ["romeo < den/boss: error cancel conflict"]);
    s.reserve("den", "Nurse", "nurse@example.com");
    assert_eq!(send(&mut s, "romeo", "den/Nurse", "<presence/>"), ["romeo < den/Nurse: error cancel conflict"]);
    let nicks: Vec<_> = s.people("den").into_iter().map(|p| p.nick).collect();
    assert_eq!(nicks, ["Montague", "boss"]);
}

#[test]
fn one_user_twice() {
    let mut s = service();
    join(&mut s, "otto", "boss");
    join(&mut s, "romeo", "Romeo");
    let phone = "romeo@example.com/phone";
    assert_eq!(
        send(&mut s, phone, "den/Romeo", JOIN),
        [
            "romeo@/phone < den/boss: here owner/moderator",
            "romeo@/phone < den/Romeo: here none/participant 110",
            "romeo@/phone < den: groupchat subject \"\"",
        ],
        "the others see nobody new"
    );
    let out = groupchat(&mut s, phone, "1", "from the phone");
    assert_eq!(out.len(), 3, "each device has it");
    assert!(out.iter().all(|l| l.contains("den/Romeo: groupchat")));
    // One device takes another name: it goes its own way.
    assert_eq!(
        send(&mut s, phone, "den/Phone", "<presence/>"),
        [
            "romeo@/phone < den/Romeo: unavailable none/participant now Phone 303 110",
            "romeo@/phone < den/Romeo: here none/participant",
            "romeo < den/Phone: here none/participant",
            "otto < den/Phone: here none/participant is romeo@/phone",
            "romeo@/phone < den/Phone: here none/participant 110",
        ]
    );
    send(&mut s, phone, "den/Phone", "<presence type='unavailable'/>");
    send(&mut s, phone, "den/Romeo", JOIN);
    assert_eq!(
        send(&mut s, phone, "den/Romeo", "<presence type='unavailable'/>"),
        ["romeo@/phone < den/Romeo: unavailable none/none 110"],
        "the other device is still there"
    );
    assert_eq!(s.people("den").len(), 2);
    s.options.several_sessions = false;
    assert_eq!(send(&mut s, phone, "den/Romeo", JOIN), ["romeo@/phone < den/Romeo: error cancel conflict"]);
}

#[test]
fn who_has_lost_his_view_joins_again() {
    let mut s = service();
    join(&mut s, "otto", "boss");
    join(&mut s, "romeo", "Romeo");
    assert_eq!(
        send(&mut s, "romeo", "den/Romeo", JOIN),
        [
            "romeo < den/boss: here owner/moderator",
            "romeo < den/Romeo: here none/participant 110",
            "romeo < den: groupchat subject \"\"",
        ]
    );
}

#[test]
fn addresses_that_are_shown() {
    let mut s = service();
    s.make("den", Settings { non_anonymous: true, logged: true, ..Settings::default() });
    join(&mut s, "otto", "boss");
    let out = send(&mut s, "romeo", "den/Romeo", JOIN);
    assert_eq!(out[0], "otto < den/Romeo: here none/participant is romeo");
    assert_eq!(out[1], "romeo < den/boss: here owner/moderator is otto");
    assert_eq!(out[2], "romeo < den/Romeo: here none/participant is romeo 100 110 170");
}

#[test]
fn occupant_ids_last() {
    let mut s = service();
    let id = |s: &mut Service, who: &str, room: &str| {
        let out = answers(s, who, room, JOIN);
        let own = out.iter().find(|p| User::of(p).is_some_and(|u| u.has(status::SELF_PRESENCE))).expect("in");
        OccupantId::of(own).expect("an id")
    };
    let first = id(&mut s, "romeo", "den/Romeo");
    send(&mut s, "romeo", "den/Romeo", "<presence type='unavailable'/>");
    assert_eq!(id(&mut s, "romeo@example.com/phone", "den/Other"), first, "the user, whatever name and device");
    assert_ne!(id(&mut s, "juliet", "den/Romeo"), first);
    assert_ne!(id(&mut s, "romeo", "elsewhere/Romeo"), first);
}
