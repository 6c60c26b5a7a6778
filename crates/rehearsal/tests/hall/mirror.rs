//! A MUC that is seen through two gateways shows the same people, subject and messages.

use crate::hall::{Hall, user};
use crate::view::{Standing, View};
use proptest::prelude::*;
use rehearsal::stub::muc::Settings;
use std::time::Duration;
use xmpp::ext::muc::{Affiliation, Role};
use xmpp::stanza::Stanza;

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(nick, words)| ((*nick).to_owned(), (*words).to_owned())).collect()
}

#[test]
fn an_evening_in_the_den() {
    let mut hall = Hall::new(Settings { change_subject: true, ..Settings::default() });
    hall.joins("otto", "Boss");
    hall.joins("juliet@b.example", "Juliet");
    hall.check("Juliet has come");
    assert_eq!(hall.view("juliet@b.example").own.as_deref(), Some("Juliet"));
    hall.joins("romeo@b.example", "Romeo");
    hall.check("Romeo has come");
    hall.says("otto", "welcome");
    hall.says("juliet@b.example", "thanks");
    hall.says("romeo@b.example", "ay me");
    let all = pairs(&[("Boss", "welcome"), ("Juliet", "thanks"), ("Romeo", "ay me")]);
    for who in ["otto", "juliet@b.example", "romeo@b.example"] {
        assert_eq!(hall.view(who).heard, all, "{who}");
    }
    hall.sets_subject("otto", "Peace");
    hall.check("a subject");
    hall.whispers("otto", "Juliet", "a word");
    assert_eq!(hall.view("juliet@b.example").private, pairs(&[("Boss", "a word")]));
    hall.whispers("juliet@b.example", "Boss", "what?");
    assert_eq!(hall.view("otto").private, pairs(&[("Juliet", "what?")]));
    hall.whispers("juliet@b.example", "Romeo", "psst");
    assert_eq!(hall.view("romeo@b.example").private, pairs(&[("Juliet", "psst")]));
    hall.leaves("romeo@b.example");
    hall.check("Romeo has left");
    hall.rules("<item nick='Juliet' role='none'><reason>Late</reason></item>");
    hall.check("Juliet is out");
    assert_eq!(hall.view("juliet@b.example").own, None);
    hall.joins("juliet@b.example", "Juliet");
    hall.check("Juliet is back");
    let all = pairs(&[("Boss", "welcome"), ("Juliet", "thanks"), ("Romeo", "ay me")]);
    assert_eq!(hall.view("juliet@b.example").history, all, "what she said herself, too");
    hall.run(Duration::from_secs(3600 * 3));
    hall.check("the night is over");
    for who in ["otto", "juliet@b.example", "romeo@b.example"] {
        assert_eq!(hall.view(who).errors, [""; 0], "{who}");
    }
}

#[test]
fn names_as_people_have_them() {
    let mut hall = Hall::new(Settings::default());
    let names = [
        ("otto", "The Boss <boss@example.com>"),
        ("anna", "a/b; c=\"d\" \\ %41"),
        ("björn", "Бьёрн 🎸"),
        ("eve", "'; DROP TABLE users --"),
    ];
    for (who, nick) in names {
        hall.joins(who, nick);
    }
    hall.joins("juliet@b.example", "Júlía & <co>");
    hall.check("everybody is there");
    assert_eq!(hall.view("juliet@b.example").own.as_deref(), Some("Júlía & <co>"));
    for (who, nick) in names {
        hall.says(who, who);
        assert_eq!(hall.view("juliet@b.example").heard.last(), Some(&(nick.to_owned(), who.to_owned())));
        hall.whispers(who, "Júlía & <co>", "to you");
        hall.whispers("juliet@b.example", nick, "to you, too");
        let told = ("Júlía & <co>".to_owned(), "to you, too".to_owned());
        assert_eq!(hall.view(who).private.last(), Some(&told), "{nick}");
    }
    assert_eq!(hall.view("juliet@b.example").private.len(), names.len());
    assert_eq!(hall.view("juliet@b.example").errors, [""; 0]);
}

#[test]
fn who_may_not_come_in() {
    let refused = |settings: Settings, ban: bool| {
        let mut hall = Hall::new(settings);
        hall.joins("otto", "Boss");
        if ban {
            hall.rules("<item jid='juliet@b.example' affiliation='outcast'/>");
        }
        hall.joins("juliet@b.example", "Juliet");
        hall.check("Juliet is refused");
        hall.view("juliet@b.example").errors.clone()
    };
    // SIP knows one word for all that somebody may not: 403.
    assert_eq!(refused(Settings { password: Some("pw".into()), ..Settings::default() }, false), ["forbidden"]);
    assert_eq!(refused(Settings { members_only: true, ..Settings::default() }, false), ["forbidden"]);
    assert_eq!(refused(Settings::default(), true), ["forbidden"]);
    assert_eq!(refused(Settings { max_users: Some(1), ..Settings::default() }, false), ["service-unavailable"]);
}

#[test]
fn names_that_resemble_each_other() {
    // A MUC may have both, a room of MSRP must not (RFC 7701 §7.1): the second one has a number.
    let mut hall = Hall::new(Settings::default());
    hall.joins("otto", "Otto");
    hall.joins("anna", "OTTO");
    hall.joins("juliet@b.example", "Juliet");
    let names: Vec<String> = hall.view("juliet@b.example").people.keys().cloned().collect();
    let shown = names.iter().filter(|n| n.to_lowercase().starts_with("otto")).count();
    assert_eq!((names.len(), shown), (3, 2), "{names:?}");
    let second = names.iter().find(|name| name.ends_with(" (2)")).unwrap().clone();
    hall.whispers("juliet@b.example", &second, "you");
    let whose = if second.starts_with("Otto") { "otto" } else { "anna" };
    let other = if whose == "otto" { "anna" } else { "otto" };
    assert_eq!((hall.view(whose).private.len(), hall.view(other).private.len()), (1, 0), "{second} is {whose}");
}

#[test]
fn the_end_of_a_room() {
    let mut hall = Hall::new(Settings::default());
    hall.joins("otto", "Boss");
    hall.joins("juliet@b.example", "Juliet");
    let text = "<query xmlns='http://jabber.org/protocol/muc#owner'><destroy jid='new@a.example'/></query>";
    let query = xml::Element::parse(text.as_bytes(), &xml::Limits::default()).unwrap();
    hall.does("otto", "den@a.example", Stanza::iq("set").with_id("d").with_child(query));
    hall.check("the room is no more");
    assert!(hall.view("juliet@b.example").out.is_some());
}

#[test]
fn the_service_starts_anew() {
    for in_order in [true, false] {
        let mut hall = Hall::new(Settings::default());
        hall.joins("otto", "Boss");
        hall.joins("juliet@b.example", "Juliet");
        hall.service_restarts(in_order);
        // Otto's client finds out in its own way.
        *hall.view("otto") = View::default();
        hall.run(Duration::from_secs(3600));
        hall.check("an hour later");
        assert_eq!(hall.view("juliet@b.example").own.as_deref(), Some("Juliet"), "in order: {in_order}");
        hall.joins("otto", "Boss");
        hall.says("otto", "again");
        assert_eq!(hall.view("juliet@b.example").heard.last().unwrap().1, "again");
    }
}

/// Who there is: an owner and a user beside the gateways, and users behind them, one with two devices.
const USERS: [&str; 5] = ["otto", "anna", "juliet@b.example", "romeo@b.example", "nurse@b.example"];
const NICKS: [&str; 6] = ["Ann", "Ben", "Bén/x", "Čeněk", "D (2)", "Eve & <i>"];

#[derive(Debug, Clone)]
enum Act {
    Join(usize, usize),
    Leave(usize),
    Say(usize),
    Whisper(usize, usize),
    Rename(usize, usize),
    Subject(usize),
    Kick(usize),
    Ban(usize, bool),
    Role(usize, bool),
}

fn act() -> impl Strategy<Value = Act> {
    let who = || 0..USERS.len();
    let nick = || 0..NICKS.len();
    prop_oneof![
        5 => (who(), nick()).prop_map(|(w, n)| Act::Join(w, n)),
        1 => who().prop_map(Act::Leave),
        4 => who().prop_map(Act::Say),
        2 => (who(), nick()).prop_map(|(w, n)| Act::Whisper(w, n)),
        1 => (who(), nick()).prop_map(|(w, n)| Act::Rename(w, n)),
        1 => who().prop_map(Act::Subject),
        1 => nick().prop_map(Act::Kick),
        1 => (who(), any::<bool>()).prop_map(|(w, b)| Act::Ban(w, b)),
        1 => (nick(), any::<bool>()).prop_map(|(n, b)| Act::Role(n, b)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_it_is_the_same_room(acts in prop::collection::vec(act(), 1..25)) {
        let mut hall = Hall::new(Settings { change_subject: true, history: 0, ..Settings::default() });
        hall.joins("otto", "Boss");
        for (n, act) in acts.iter().enumerate() {
            let mut inside = Vec::new();
            for who in USERS {
                let view = hall.view(who);
                inside.extend(view.own.is_some().then_some((who, view.heard.len())));
            }
            let when = format!("{n}: {act:?}");
            match act {
                Act::Join(who, nick) if hall.view(USERS[*who]).own.is_none() => hall.joins(USERS[*who], NICKS[*nick]),
                Act::Join(..) => {}
                Act::Leave(who) => hall.leaves(USERS[*who]),
                Act::Say(who) => {
                    hall.says(USERS[*who], &when);
                    let said = inside.iter().any(|(user, _)| *user == USERS[*who]);
                    for (user, before) in inside.iter().filter(|_| said) {
                        let heard = hall.view(user).heard[*before..].to_vec();
                        let own = hall.view(USERS[*who]).own.clone().unwrap();
                        prop_assert_eq!(heard, [(own, when.clone())], "{} {}", user, when);
                    }
                }
                Act::Whisper(who, nick) => {
                    let from = hall.view(USERS[*who]).own.clone();
                    let to = USERS.iter().find(|user| hall.view(user).own.as_deref() == Some(NICKS[*nick]));
                    if from.as_deref() == Some(NICKS[*nick]) {
                        // To oneself: nobody but a test does that.
                        continue;
                    }
                    hall.whispers(USERS[*who], NICKS[*nick], &when);
                    for user in USERS {
                        let heard = hall.view(user).private.iter().any(|(_, words)| *words == when);
                        prop_assert_eq!(heard, from.is_some() && to == Some(&user), "{} {}", user, when);
                    }
                }
                Act::Rename(who, nick) => {
                    if hall.view(USERS[*who]).own.is_some() {
                        hall.does(USERS[*who], &format!("den@a.example/{}", NICKS[*nick]), Stanza::presence());
                    }
                }
                Act::Subject(who) => {
                    hall.sets_subject(USERS[*who], &when);
                }
                Act::Kick(nick) => {
                    let nick = NICKS[*nick].replace('&', "&amp;").replace('<', "&lt;");
                    hall.rules(&format!("<item nick='{nick}' role='none'/>"));
                }
                Act::Ban(0, _) => {}
                Act::Ban(who, ban) => {
                    let bare = user(USERS[*who]).bare();
                    let affiliation = if *ban { "outcast" } else { "none" };
                    hall.rules(&format!("<item jid='{bare}' affiliation='{affiliation}'/>"));
                }
                Act::Role(nick, moderator) => {
                    let nick = NICKS[*nick].replace('&', "&amp;").replace('<', "&lt;");
                    let role = if *moderator { "moderator" } else { "participant" };
                    hall.rules(&format!("<item nick='{nick}' role='{role}'/>"));
                }
            }
            hall.check(&when);
            // What the room says of Otto is what it is, on either side.
            for who in USERS {
                if let (Some(_), Some(boss)) = (hall.view(who).own.clone(), hall.view(who).people.get("Boss").copied()) {
                    let owner = Standing { affiliation: Some(Affiliation::Owner), role: Some(Role::Moderator) };
                    prop_assert_eq!(boss, owner, "{} {}", who, when);
                }
            }
        }
        for who in USERS {
            hall.leaves(who);
        }
        hall.run(Duration::from_secs(60));
        hall.check("everybody has left");
    }
}
