//! What people may do to rooms, and what comes of it: little, and never for others.

use crate::guest::Guest;
use crate::mirror::same;
use crate::twins::{ROOMS, Twins};
use rehearsal::scene::{Player, Seen, Settings};
use rehearsal::world::{Roster, Weather};
use std::time::Duration;
use xml::Element;
use xmpp::error::Condition;
use xmpp::jid::{Jid, escape};
use xmpp::ns;
use xmpp::stanza::Stanza;

/// A scene that goes on from what a part shows.
fn from_part(name: &str) -> Player {
    let path = format!("{}/../stox/src/room/scenes/{name}.part", env!("CARGO_MANIFEST_DIR"));
    let mut player = Player::new(Settings::default());
    player.part(&std::fs::read_to_string(path).unwrap()).unwrap();
    player
}

fn presence(nick: &str, available: bool) -> Stanza {
    let (role, kind) = if available { ("participant", None) } else { ("none", Some("unavailable")) };
    let item = Element::new("item", ns::MUC_USER).with_attr("affiliation", "none").with_attr("role", role);
    let from = Jid::parse(&format!("capulet@rooms.example.com/{nick}")).unwrap();
    let to = Jid::parse("romeo@example.net/dr4hcr0st3lup4c").unwrap();
    let stanza = Stanza::presence().with_from(from).with_to(to);
    let stanza = kind.into_iter().fold(stanza, Stanza::with_type);
    stanza.with_child(Element::new("x", ns::MUC_USER).with_child(item))
}

/// The SIP user of a scene takes each NOTIFY, until there are no more.
fn subscribed(player: &mut Player, roster: &mut Roster) -> usize {
    let mut documents = 0;
    loop {
        let seen = player.see_all();
        let notifies = seen.into_iter().filter_map(|seen| match seen {
            Seen::Sip(message) if message.start.starts_with("NOTIFY") => Some(message),
            Seen::Sip(_) | Seen::Frame(_) | Seen::Stanza(_) => None,
        });
        let notifies: Vec<_> = notifies.collect();
        if notifies.is_empty() {
            return documents;
        }
        for notify in notifies {
            documents += 1;
            assert!(notify.body.len() < 65_000, "a document of {} bytes", notify.body.len());
            roster.apply(&notify.body);
            player.part("romeo sends\n    SIP/2.0 200 OK\n").unwrap();
        }
        player.wait(Duration::from_secs(6));
    }
}

/// 10,000 people come while a SIP user is in the room: all of them are shown, in documents that a NOTIFY has room for; nobody beyond.
#[test]
fn ten_thousand_people_for_a_sip_user() {
    let mut player = from_part("inside");
    let mut roster = Roster::default();
    roster.apply(&player.last_request("romeo").unwrap().body.clone());
    for n in 0..10_100 {
        player.arrives(presence(&format!("n{n}"), true));
    }
    subscribed(&mut player, &mut roster);
    assert_eq!(roster.names().len(), 10_000, "as many as may be shown");
    assert_eq!(player.seats()[0][0].people, 10_000);
    for n in 0..10_100 {
        player.arrives(presence(&format!("n{n}"), false));
    }
    subscribed(&mut player, &mut roster);
    assert_eq!(roster.names(), ["Ben", "Romeo"]);
    assert_eq!(player.seats()[0][0].people, 2);
}

/// The same for an XMPP user in an MSRP room.
#[test]
fn ten_thousand_people_for_an_xmpp_user() {
    let mut player = from_part("joined");
    let user = |n: usize| {
        let entity = format!("sip:montague@chat.example.org;gr=n{n}");
        format!(
            "<user entity='{entity}' state='full'><display-text>n{n}</display-text><endpoint entity='{entity}'>\
             <status>connected</status></endpoint></user>"
        )
    };
    let tell = |player: &mut Player, sequence: usize, users: &str, state: &str| {
        let notify = format!(
            "montague sends\n    NOTIFY sip:juliet@192.0.2.1:5060;gr=yn0cl4bnw0yr3vym SIP/2.0\n    From: <sip:montague@chat.example.org>;tag=conf\n    \
             To: <sip:juliet@example.com>;tag=$subtag\n    Call-ID: $subcall\n    CSeq: {sequence} NOTIFY\n    Event: conference\n    \
             Subscription-State: active;expires=3600\n    Contact: <sip:montague@192.0.2.20>;isfocus\n    \
             Content-Type: application/conference-info+xml\n\n    <conference-info xmlns='urn:ietf:params:xml:ns:conference-info' version='{sequence}' \
             state='{state}' entity='sip:montague@chat.example.org'><users state='{state}'>{users}</users></conference-info>\n"
        );
        player.part(&notify).unwrap();
        let mut told = 0;
        loop {
            let seen = player.see_all();
            let is_presence = |seen: &&Seen| matches!(seen, Seen::Stanza(stanza) if stanza.name == "presence");
            told += seen.iter().filter(is_presence).count();
            if seen.is_empty() {
                break;
            }
            player.takes();
        }
        told
    };
    let me = "<user entity='sip:montague@chat.example.org;gr=JuliC' state='full'><display-text>JuliC</display-text>\
              <endpoint entity='sip:montague@chat.example.org;gr=JuliC'><status>connected</status></endpoint></user>";
    let mut told = 0;
    for part in 0..50 {
        let users: String = (0..200).map(|n| user(part * 200 + n)).collect();
        told += tell(&mut player, 2 + part, &users, "partial");
    }
    assert!((9_990..=10_000).contains(&told), "{told} people were shown");
    assert_eq!(player.seats()[1][0].people, 10_000);
    // Nobody but the user is there any more.
    let gone = tell(&mut player, 52, me, "full");
    assert_eq!(gone, told + 2, "each who was shown has gone, and the two before");
    assert_eq!(player.seats()[1][0].people, 1);
}

/// Names change faster than anybody is told: what waits is bounded, and in the end the subscriber knows how it is.
#[test]
fn names_change_faster_than_they_are_told() {
    let mut player = from_part("inside");
    let mut roster = Roster::default();
    roster.apply(&player.last_request("romeo").unwrap().body.clone());
    for n in 0..20_000 {
        // The first NOTIFY has no answer for now.
        player.arrives(presence(&format!("n{n}"), true));
        if n > 2 {
            player.arrives(presence(&format!("n{}", n - 3), false));
        }
        assert!(player.seats()[0][0].people <= 6);
    }
    player.part("romeo gets\n    NOTIFY * SIP/2.0\n").unwrap();
    roster.apply(&player.last_request("romeo").unwrap().body.clone());
    player.part("romeo sends\n    SIP/2.0 200 OK\n").unwrap();
    player.wait(Duration::from_secs(6));
    let documents = subscribed(&mut player, &mut roster);
    assert_eq!(roster.names(), ["Ben", "Romeo", "n19997", "n19998", "n19999"]);
    assert!(documents < 20, "{documents} documents");
}

/// An XMPP user behind two gateways who has heard nothing for a while, as all datagrams were lost.
#[test]
fn names_change_while_nobody_hears_of_it() {
    let (mut twins, [ben, _, juliet]) = three();
    twins.weather = Weather { lost: 1000, ..Weather::FAIR };
    for n in 0..2_000 {
        twins.does_only(ben, |ben| ben.rename(&format!("Ben {n}")));
        twins.run(Duration::from_millis(2));
    }
    twins.weather = Weather::FAIR;
    twins.run(Duration::from_secs(60));
    same(&twins);
    assert!(twins.guests[juliet].people.contains_key("Ben 1999"));
}

/// Owner, Ben and Nurse sit in the room itself, Juliet behind the gateways. Gives back the three.
fn three() -> (Twins, [usize; 3]) {
    let mut twins = Twins::with(1, |settings| settings.config.limits.rate = 20);
    let users =
        [("owner@a.example/home", "Owner"), ("ben@a.example/street", "Ben"), ("nurse@a.example/kitchen", "Nurse")];
    for (user, nick) in users.into_iter().chain([("juliet@b.example/balcony", "Juliet")]) {
        let who = twins.guest(user, "den");
        twins.does(who, |guest| guest.join(nick));
        assert!(twins.guests[who].inside);
    }
    (twins, [1, 2, 3])
}

/// Somebody in the room floods it, and somebody behind the gateways does: neither takes memory, what is refused is told to who can know, and what
/// others say arrives.
#[test]
fn floods() {
    let (mut twins, [ben, nurse, juliet]) = three();
    let mut most = 0;
    for n in 0..5_000 {
        twins.does_only(ben, |ben| ben.say(&format!("flood {n} {}", "z".repeat(1000))));
        most = most.max(twins.waiting());
        if n % 1000 == 500 {
            twins.does_only(nurse, |nurse| nurse.say(&format!("nurse {n}")));
        }
    }
    assert!(most <= 200, "{most} messages wait");
    twins.run(Duration::from_secs(60));
    let heard = |guest: &Guest, of: &str| guest.heard.iter().filter(|(nick, _)| nick == of).count();
    assert_eq!(heard(&twins.guests[juliet], "Nurse"), 5, "who speaks little is heard");
    assert!(heard(&twins.guests[juliet], "Ben") < 200, "{}", heard(&twins.guests[juliet], "Ben"));
    assert!(twins.guests[juliet].inside, "a listener is not to blame");
    // The other way.
    let mut ids = Vec::new();
    for n in 0..5_000 {
        ids.push(twins.does_only(juliet, |juliet| juliet.say(&format!("back {n} {}", "z".repeat(1000)))));
    }
    twins.run(Duration::from_secs(60));
    let failed = &twins.guests[juliet].failed;
    let said = twins.rooms.said("den").iter().filter(|(_, words)| words.starts_with("back")).count();
    assert!((50..200).contains(&said), "{said}");
    assert_eq!(
        ids.iter().filter(|id| failed.iter().any(|(failed, _)| failed == *id)).count(),
        5_000 - said,
        "each is answered"
    );
    assert_eq!(twins.waiting(), 0);
    twins.does(nurse, |nurse| nurse.say("at last"));
    same(&twins);
    assert_eq!(twins.guests[juliet].heard.last().unwrap().1, "at last");
}

/// Whoever is not the SIP user of a session does not speak in it.
#[test]
fn cpim_of_somebody_else() {
    let mut player = from_part("inside");
    let forged = [
        "<sip:juliet@example.com>",
        "Ben <sip:capulet@rooms.example.com;gr=Ben>",
        "<sip:capulet@rooms.example.com>",
        "<sip:romeo@example.com>",
        "<sip:romeo@example.net.evil.example>",
        "<sip:romeo%00@example.net>",
        "<sip:r\u{43e}meo@example.net>",
        "<xmpp:juliet@example.com>",
        "<tel:+15555550100>",
        "<http://example.net/romeo>",
    ];
    let mut say = |n: usize, from: &str| {
        player
            .part(&format!(
                "romeo sends\n    MSRP forged{n} SEND\n    To-Path: $gateway\n    From-Path: msrp://192.0.2.20:7313/ansp71weztas;tcp\n    \
                 Message-ID: forged{n}\n    Content-Type: message/cpim\n\n    From: {from}\n    To: <sip:capulet@rooms.example.com>\n\n    \
                 Content-Type: text/plain\n\n    I am somebody else\n    -------forged{n}$\n"
            ))
            .unwrap();
        player.see_all()
    };
    for (n, from) in forged.into_iter().enumerate() {
        let seen = say(n, from);
        let code = |seen: &Seen| matches!(seen, Seen::Frame(frame) if matches!(frame.status(), Some(400 | 403)));
        assert!(seen.len() == 1 && seen.iter().all(code), "{from}: {seen:?}");
    }
    let seen = say(99, "\"Whoever\" <sip:ROMEO@EXAMPLE.NET;gr=other>");
    assert!(matches!(&seen[..], [Seen::Stanza(_)]), "his own address in other clothes: {seen:?}");
}

/// The name of one to whom something private is said was taken over a moment ago, and the writer could not know.
#[test]
fn a_name_is_taken_over() {
    let (mut twins, [ben, nurse, juliet]) = three();
    twins.does(juliet, |juliet| juliet.whisper("Ben", "to Ben"));
    assert_eq!(twins.guests[ben].private, [("Juliet".to_owned(), "to Ben".to_owned())]);
    // Whatever is told of it is lost on the way.
    twins.weather = Weather { lost: 1000, ..Weather::FAIR };
    let leaves = twins.guests[ben].leave();
    twins.does(ben, |_| leaves);
    twins.does(nurse, |nurse| nurse.rename("Ben"));
    assert!(twins.guests[juliet].people.contains_key("Nurse"), "she does not know yet");
    let id = twins.does(juliet, |juliet| juliet.whisper("Ben", "a secret"));
    twins.weather = Weather::FAIR;
    twins.run(Duration::from_secs(1));
    let second = twins.does(juliet, |juliet| juliet.whisper("Ben", "a secret"));
    twins.run(Duration::from_secs(60));
    same(&twins);
    assert_eq!(twins.guests[nurse].private, [], "it was not for her");
    let failed: Vec<&String> = twins.guests[juliet].failed.iter().map(|(id, _)| id).collect();
    assert_eq!(failed, [&id, &second]);
    // Now she knows who it is.
    twins.does(juliet, |juliet| juliet.whisper("Ben", "hello, nurse"));
    assert_eq!(twins.guests[nurse].private.len(), 1);
}

/// Everything that XEP-0106 escapes, and what means something in URIs, in XML or to a shell.
#[test]
fn names_with_markup() {
    let rooms = [
        "<b>&amp;\"'</b>",
        "a b",
        "at@the.gate",
        "sip:den",
        "50%",
        "%41",
        "\\5c",
        "c\\20d",
        "a/b",
        "x;gr=y?z#w",
        "a,b",
        "]]>",
        "d\u{e9}j\u{e0} vu",
        "\u{90e8}\u{5c4b}",
        "$(id)`id`",
        "+15555550100",
    ];
    let nicks = ["<i>\"J\"</i> & co", "%4a;gr=x\\20", "\u{30b8}\u{30e5}\u{30ea}/\u{1f339}@home", "]]>'", "a\\b"];
    for (n, name) in rooms.into_iter().enumerate() {
        let local = escape::escape(name).unwrap();
        let room = Jid::new(Some(&local), ROOMS, None).unwrap();
        let mut twins = Twins::new(1);
        let ben = twins.guest("ben@a.example/street", "den");
        let juliet = twins.guest("juliet@b.example/balcony", "den");
        let (bens, juliets) = (nicks[n % nicks.len()], nicks[(n + 1) % nicks.len()]);
        for (who, nick) in [(ben, bens), (juliet, juliets)] {
            twins.guests[who].room = room.clone();
            twins.does(who, |guest| guest.join(nick));
            assert!(twins.guests[who].inside, "{name}: {nick}: {:?}", twins.guests[who]);
        }
        for (from, to, own) in [(ben, juliet, bens), (juliet, ben, juliets)] {
            let words = format!("<script>{name}</script> & \"{own}\"");
            twins.does(from, |guest| guest.say(&words));
            assert_eq!(twins.guests[to].heard.last(), Some(&(own.to_owned(), words.clone())), "{name}");
            let other = twins.guests[to].nick.clone();
            twins.does(from, |guest| guest.whisper(&other, &words));
            assert_eq!(twins.guests[to].private.last(), Some(&(own.to_owned(), words)), "{name}");
        }
        assert_eq!(twins.guests[ben].people, twins.guests[juliet].people, "{name}");
        assert_eq!((twins.guests[juliet].people.len(), &twins.guests[juliet].faults[..]), (2, &[][..]), "{name}");
        let leaves = twins.guests[juliet].leave();
        twins.does(juliet, |_| leaves);
        assert_eq!(twins.guests[ben].people.len(), 1, "{name}");
        twins.run(Duration::from_secs(60));
        assert_eq!(twins.left_over(), [], "{name}");
    }
}

/// Rooms without end: a user has so many places and no more, and who has none leaves nothing.
#[test]
fn places_are_bounded() {
    let mut twins = Twins::with(1, |settings| {
        settings.config.room.seats = 10;
        settings.config.room.seats_per_pair = 3;
    });
    twins.rooms.make("hall", rehearsal::stub::muc::Settings::default());
    let mut inside = 0;
    for n in 0..20 {
        let who = twins.guest(&format!("juliet@b.example/r{n}"), "hall");
        twins.does(who, |guest| guest.join(&format!("J{n}")));
        inside += usize::from(twins.guests[who].inside);
        assert!(!twins.guests[who].asking);
    }
    assert_eq!((inside, twins.seats()), (3, [3, 3]));
    assert_eq!(twins.guests.last().unwrap().refused, [Condition::ResourceConstraint]);
    for n in 0..20 {
        let who = twins.guest(&format!("romeo{n}@b.example/r"), "hall");
        twins.does(who, |guest| guest.join(&format!("R{n}")));
        inside += usize::from(twins.guests[who].inside);
    }
    assert_eq!((inside, twins.seats()), (10, [10, 10]));
    assert_eq!(twins.rooms.people("hall").len(), 10);
}
