//! A MUC seen through two gateways shows the same people, subject and messages. The first gateway makes an MSRP room of it (RFC 7702 §6), the second
//! one a MUC of that room (§5).

use crate::guest::Guest;
use crate::twins::{ROOMS, Twins};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;
use xmpp::error::Condition;
use xmpp::ext::muc::{Affiliation, Item, Role, status};
use xmpp::jid::Jid;

/// The owner sits in the room, always: what he hears is what was said.
pub const OWNER: usize = 0;

/// Who else there is: three of each side, of whom two are one user.
pub const USERS: [&str; 7] = [
    "owner@a.example/home",
    "ben@a.example/street",
    "nurse@a.example/kitchen",
    "nurse@a.example/garden",
    "juliet@b.example/balcony",
    "juliet@b.example/chamber",
    "romeo@b.example/orchard",
];

pub fn twins(seed: u64) -> Twins {
    let mut twins = Twins::new(seed);
    for user in USERS {
        twins.guest(user, "den");
    }
    twins.does(OWNER, |owner| owner.join("Owner"));
    assert!(twins.guests[OWNER].inside);
    twins
}

/// With everybody in it, each under the user's name, and the device where it takes that.
fn full() -> Twins {
    let mut twins = twins(1);
    for (who, nick) in
        ["Owner", "Ben", "Nurse", "Nurse in the garden", "Juliet", "JuliC", "Romeo"].into_iter().enumerate().skip(1)
    {
        twins.does(who, |guest| guest.join(nick));
        assert!(twins.guests[who].inside, "{nick}: {:?}", twins.guests[who]);
    }
    same(&twins);
    twins
}

/// Whoever is inside sees what the room is like, and the room knows nobody else.
pub fn same(twins: &Twins) {
    let room: BTreeMap<String, _> = twins
        .rooms
        .people("den")
        .into_iter()
        .map(|person| (person.nick.to_string(), (person.affiliation, person.role)))
        .collect();
    let subject = twins.rooms.subject("den");
    for guest in &twins.guests {
        assert_eq!(guest.faults, [""; 0]);
        assert!(!guest.asking, "{} is still on the way in", guest.user);
        if guest.inside {
            assert_eq!(guest.people, room, "what {} sees", guest.user);
            assert_eq!(guest.subject.clone().unwrap_or_default(), subject, "what {} sees", guest.user);
        }
    }
    // Who comes back while his last place is being given up is another device to the room.
    let device = |jid: &Jid| if jid.domain() == "b.example" { jid.bare() } else { jid.clone() };
    let sessions = twins.rooms.people("den").into_iter().flat_map(|person| person.sessions);
    let mut sessions: Vec<_> = sessions.map(|jid| device(&jid)).collect();
    let inside = twins.guests.iter().filter(|guest| guest.inside);
    let mut inside: Vec<_> = inside.map(|guest| device(&guest.user)).collect();
    sessions.sort();
    inside.sort();
    assert_eq!(sessions, inside, "who is in the room, each once");
    let behind = inside.iter().filter(|user| user.domain() == "b.example").count();
    assert_eq!(twins.seats(), [behind; 2], "nobody has a place besides");
}

/// Everybody has heard everything since coming in, and of what was before the last twenty.
pub fn all_heard(twins: &Twins) {
    let said = &twins.guests[OWNER].heard;
    for guest in twins.guests.iter().filter(|guest| guest.inside) {
        assert!(said.ends_with(&guest.heard), "{} has heard {:?} of {said:?}", guest.user, guest.heard);
    }
}

/// The same where names change while somebody speaks: what the switch says and what the focus tells go different ways.
pub fn all_words_heard(twins: &Twins) {
    // Whoever whispers to somebody who has just left is told so by the room: that is nobody else's.
    let said_by_someone = |(speaker, _): &&(String, String)| !speaker.is_empty();
    let words =
        |guest: &Guest| guest.heard.iter().filter(said_by_someone).map(|(_, words)| words.clone()).collect::<Vec<_>>();
    let said = words(&twins.guests[OWNER]);
    for guest in twins.guests.iter().filter(|guest| guest.inside) {
        assert!(said.ends_with(&words(guest)), "{} has heard {:?} of {said:?}", guest.user, guest.heard);
    }
}

fn last<T: Clone>(list: &[T]) -> Option<T> {
    list.last().cloned()
}

#[test]
fn everybody_sees_and_hears_everybody() {
    let mut twins = full();
    for who in 0..USERS.len() {
        let words = format!("here speaks {who} <&> \u{2764}\nand again");
        twins.does(who, |guest| guest.say(&words));
        let nick = twins.guests[who].nick.clone();
        for guest in &twins.guests {
            assert_eq!(last(&guest.heard), Some((nick.clone(), words.clone())), "{}", guest.user);
        }
    }
    let said = twins.guests[OWNER].heard.clone();
    assert_eq!(said.len(), USERS.len());
    for guest in &twins.guests {
        assert_eq!(guest.heard, said, "{}", guest.user);
        assert_eq!((&guest.failed[..], &guest.private[..]), (&[][..], &[][..]));
    }
    twins.does(OWNER, |owner| owner.set_subject("Today in Verona"));
    same(&twins);
    twins.does(OWNER, |owner| owner.set_subject(""));
    same(&twins);
    // §8.1: RFC 4575 has no word for it, and the gateway says so.
    let id = twins.does(4, |juliet| juliet.set_subject("Mine"));
    assert_eq!(twins.guests[4].failed, [(id, Condition::Forbidden)]);
    same(&twins);
}

#[test]
fn names_change_on_both_sides() {
    let mut twins = full();
    for (who, nick) in
        [(1, "Benvolio"), (4, "Giulietta"), (6, "montecchi"), (6, "Romeo e Giulietta \u{1f339}"), (4, "Juliet")]
    {
        twins.does(who, |guest| guest.rename(nick));
        assert_eq!(twins.guests[who].nick, nick);
        same(&twins);
    }
    // What is somebody's already, on either side.
    for (who, nick) in [(6, "Juliet"), (6, "Benvolio"), (1, "Juliet"), (4, "Owner")] {
        twins.does(who, |guest| guest.rename(nick));
        assert_eq!(last(&twins.guests[who].refused), Some(Condition::Conflict), "{nick}");
        same(&twins);
    }
    // A name that was given up is free.
    twins.does(6, |romeo| romeo.rename("Romeo"));
    twins.does(1, |ben| ben.rename("montecchi"));
    same(&twins);
}

#[test]
fn private_messages_reach_one() {
    let mut twins = full();
    for (from, to) in [(1, 4), (4, 1), (4, 6), (6, 5), (0, 6), (5, 0)] {
        let nick = twins.guests[to].nick.clone();
        let words = format!("from {from} to {to}");
        twins.does(from, |guest| guest.whisper(&nick, &words));
        let sender = twins.guests[from].nick.clone();
        for (who, guest) in twins.guests.iter_mut().enumerate() {
            let expected = if who == to { vec![(sender.clone(), words.clone())] } else { Vec::new() };
            assert_eq!(std::mem::take(&mut guest.private), expected, "{} of {words}", guest.user);
            assert_eq!((guest.failed.len(), guest.heard.len()), (0, 0));
        }
    }
    // To nobody.
    for from in [1, 4] {
        let id = twins.does(from, |guest| guest.whisper("Tybalt", "art thou there?"));
        assert_eq!(last(&twins.guests[from].failed), Some((id, Condition::ItemNotFound)));
    }
}

#[test]
fn they_leave_and_come_back() {
    let mut twins = full();
    for who in [4, 1, 6] {
        let stanza = twins.guests[who].leave();
        twins.does(who, |_| stanza);
        assert!(
            !twins.guests[who].inside && last(&twins.guests[who].out) == Some(vec![status::SELF_PRESENCE]),
            "{who}"
        );
        same(&twins);
        // Who is not there does not speak.
        let id = twins.does(who, |guest| guest.say("I am not here"));
        assert_eq!(last(&twins.guests[who].failed), Some((id, Condition::NotAcceptable)));
    }
    for n in 0..30 {
        twins.does([0, 2, 5][n % 3], |guest| guest.say(&format!("line {n}")));
    }
    // What was said just now, and what was said an hour ago.
    for wait in [0, 3600] {
        twins.run(Duration::from_secs(wait));
        for (who, nick) in [(4, "Juliet"), (1, "Ben"), (6, "Montague")] {
            twins.does(who, |guest| guest.join(nick));
            same(&twins);
            all_heard(&twins);
            let most = if who == 1 { twins.guests[OWNER].heard.len() } else { 20 };
            assert_eq!(twins.guests[who].heard.len(), most, "{nick}: the history");
            twins.does(5, |guest| guest.say("welcome"));
            all_heard(&twins);
            let stanza = twins.guests[who].leave();
            twins.does(who, |_| stanza);
        }
        twins.run(Duration::from_secs(1));
    }
    for who in 0..USERS.len() {
        if twins.guests[who].inside {
            let stanza = twins.guests[who].leave();
            twins.does(who, |_| stanza);
        }
    }
    twins.run(Duration::from_secs(60));
    assert_eq!(twins.left_over(), []);
}

#[test]
fn some_are_put_out() {
    let mut twins = full();
    // By the owner, one on either side.
    for (who, nick) in [(6, "Romeo"), (1, "Ben")] {
        twins.does(OWNER, |owner| owner.kick(nick));
        assert!(last(&twins.guests[who].out).unwrap().contains(&status::KICKED), "{:?}", twins.guests[who].out);
        twins.run(Duration::from_secs(3));
        same(&twins);
    }
    twins.does(6, |romeo| romeo.join("Romeo"));
    twins.does(1, |ben| ben.join("Ben"));
    same(&twins);
    // By an admin behind the gateways.
    let item = Item {
        jid: Some("juliet@b.example".parse().unwrap()),
        affiliation: Some(Affiliation::Admin),
        ..Item::default()
    };
    twins.does(OWNER, |owner| owner.administer(item));
    twins.run(Duration::from_secs(1));
    same(&twins);
    assert_eq!(twins.guests[6].people["Juliet"], (Affiliation::Admin, Role::Moderator));
    for (who, nick) in [(1, "Ben"), (6, "Romeo")] {
        twins.does(4, |juliet| juliet.kick(nick));
        twins.run(Duration::from_secs(3));
        assert!(last(&twins.guests[who].out).unwrap().contains(&status::KICKED));
        same(&twins);
    }
    // Banned: out, and not let in again.
    let item = Item {
        jid: Some("juliet@b.example".parse().unwrap()),
        affiliation: Some(Affiliation::Outcast),
        ..Item::default()
    };
    twins.does(OWNER, |owner| owner.administer(item));
    twins.run(Duration::from_secs(3));
    assert!(!twins.guests[4].inside && !twins.guests[5].inside);
    same(&twins);
    twins.does(4, |juliet| juliet.join("Juliet"));
    assert_eq!(last(&twins.guests[4].refused), Some(Condition::Forbidden));
    same(&twins);
}

/// What a room says to who may not come in.
#[test]
fn some_do_not_come_in() {
    use rehearsal::stub::muc::Settings;
    let mut twins = twins(1);
    let outside = |twins: &mut Twins, settings: Settings, why: Condition| {
        twins.rooms.make("den", settings);
        for who in [1, 4] {
            twins.does(who, |guest| guest.join("Somebody"));
            assert_eq!(last(&twins.guests[who].refused), Some(why), "{}", twins.guests[who].user);
            same(twins);
        }
    };
    outside(&mut twins, Settings { max_users: Some(1), ..Settings::default() }, Condition::ServiceUnavailable);
    twins.rooms.make("den", Settings::default());
    for who in [1, 4] {
        twins.does(who, |guest| guest.join("Owner"));
        // The SIP side asks for a name when it is in; the gateway makes one, and the switch refuses the other.
        assert_eq!(last(&twins.guests[who].refused), Some(Condition::Conflict), "{}", twins.guests[who].user);
        twins.run(Duration::from_secs(2));
        same(&twins);
    }
    twins.rooms.affiliate("den", "romeo@b.example", Affiliation::Outcast);
    twins.does(6, |guest| guest.join("Romeo"));
    assert_eq!(last(&twins.guests[6].refused), Some(Condition::Forbidden));
    twins.run(Duration::from_secs(40));
    same(&twins);
}

#[test]
fn a_room_is_destroyed() {
    let mut twins = full();
    let destroy = xmpp::ext::muc::Destroy { jid: Some(format!("hall@{ROOMS}").parse().unwrap()), ..Default::default() };
    let destroy = xmpp::ext::muc::Owner::Destroy(destroy).to_element();
    twins.does(OWNER, |owner| {
        let item = owner.administer(Item::default());
        xmpp::stanza::Stanza { children: Vec::new(), ..item }.with_child(destroy)
    });
    twins.run(Duration::from_secs(60));
    assert!(twins.guests.iter().all(|guest: &Guest| !guest.inside));
    same(&twins);
    assert_eq!(twins.left_over(), []);
}

#[derive(Debug, Clone)]
enum Doing {
    Comes(usize, usize),
    Leaves(usize),
    Says(usize),
    Whispers(usize, usize),
    Renames(usize, usize),
    Subject(usize),
    Kicks(usize),
    Affiliates(usize, Affiliation),
    Waits(u64),
}

/// Names of which no two resemble each other.
const NICKS: [&str; 9] = [
    "Romeo",
    "JuliC",
    "Ben",
    "Nurse",
    "\u{30ed}\u{30df}\u{30aa}",
    "a b c",
    "\"quoted\" <&>",
    "x;gr=y",
    "\u{1f339}@rose/thorn",
];

fn doing() -> impl Strategy<Value = Doing> {
    let who = || 1..USERS.len();
    let nick = || 0..NICKS.len();
    prop_oneof![
        4 => (who(), nick()).prop_map(|(who, nick)| Doing::Comes(who, nick)),
        1 => who().prop_map(Doing::Leaves),
        6 => (0..USERS.len()).prop_map(Doing::Says),
        4 => (0..USERS.len(), nick()).prop_map(|(who, nick)| Doing::Whispers(who, nick)),
        3 => (who(), nick()).prop_map(|(who, nick)| Doing::Renames(who, nick)),
        1 => nick().prop_map(Doing::Subject),
        1 => nick().prop_map(Doing::Kicks),
        1 => (who(), prop::sample::select(vec![Affiliation::None, Affiliation::Member, Affiliation::Admin]))
            .prop_map(|(who, affiliation)| Doing::Affiliates(who, affiliation)),
        1 => (0..10_000u64).prop_map(Doing::Waits),
    ]
}

/// What was said to one alone: by whom, under which name, and what became of it.
#[derive(Debug)]
struct Whisper {
    from: usize,
    id: String,
    words: String,
    /// Who had the name when it was said.
    meant: Vec<usize>,
}

/// `hasty`: nobody waits for what comes of a doing.
fn any_day(doings: Vec<Doing>, hasty: bool) {
    let mut twins = twins(2);
    let mut whispers: Vec<Whisper> = Vec::new();
    let mut said: Vec<(usize, String, String)> = Vec::new();
    for (n, doing) in doings.into_iter().enumerate() {
        let words = format!("words {n}");
        match doing {
            Doing::Comes(who, nick) if !twins.guests[who].inside && !twins.guests[who].asking => {
                twins.does_only(who, |guest| guest.join(NICKS[nick]));
            }
            Doing::Leaves(who) if twins.guests[who].inside => {
                let stanza = twins.guests[who].leave();
                twins.does_only(who, |_| stanza);
            }
            Doing::Says(who) if twins.guests[who].inside => {
                let id = twins.does_only(who, |guest| guest.say(&words));
                said.push((who, id, words));
            }
            Doing::Whispers(from, nick) if twins.guests[from].inside => {
                let has = |guest: &Guest| guest.inside && guest.nick == NICKS[nick];
                let meant = (0..USERS.len()).filter(|who| has(&twins.guests[*who])).collect();
                let id = twins.does_only(from, |guest| guest.whisper(NICKS[nick], &words));
                whispers.push(Whisper { from, id, words, meant });
            }
            Doing::Renames(who, nick) if twins.guests[who].inside => {
                twins.does_only(who, |guest| guest.rename(NICKS[nick]));
            }
            Doing::Subject(nick) => drop(twins.does_only(OWNER, |owner| owner.set_subject(NICKS[nick]))),
            Doing::Kicks(nick) => drop(twins.does_only(OWNER, |owner| owner.kick(NICKS[nick]))),
            Doing::Affiliates(who, affiliation) => {
                let jid = Some(twins.guests[who].user.bare());
                let item = Item { jid, affiliation: Some(affiliation), ..Item::default() };
                twins.does_only(OWNER, |owner| owner.administer(item));
            }
            Doing::Waits(millis) => twins.run(Duration::from_millis(millis)),
            Doing::Comes(..) | Doing::Leaves(_) | Doing::Says(_) | Doing::Whispers(..) | Doing::Renames(..) => {}
        }
        if !hasty {
            twins.run(Duration::from_millis(100));
            if n % 4 == 0 {
                twins.run(Duration::from_secs(3));
                same(&twins);
            }
            all_heard(&twins);
        }
    }
    twins.run(Duration::from_secs(60));
    same(&twins);
    all_words_heard(&twins);
    let log = twins.rooms.said("den");
    for (who, id, words) in &said {
        let times = log.iter().filter(|(_, said)| said == words).count();
        let failed = twins.guests[*who].failed.iter().filter(|(failed, _)| failed == id).count();
        assert_eq!(times + failed, 1, "{words} of {}: said or refused", twins.guests[*who].user);
    }
    for whisper in &whispers {
        let got = |who: &usize| twins.guests[*who].private.iter().filter(|(_, words)| *words == whisper.words).count();
        let there: Vec<usize> = (0..USERS.len()).filter(|who| got(who) > 0).collect();
        let failed = twins.guests[whisper.from].failed.iter().filter(|(id, _)| *id == whisper.id).count();
        assert!(there.iter().all(|who| got(who) == 1), "twice: {whisper:?}");
        assert!(failed <= 1 && (failed == 0 || there.is_empty()), "told of, and arrived: {whisper:?} {there:?}");
        if !hasty {
            // An error of one who is about to leave puts him out of the room, which keeps the error to itself (XEP-0045 §14.1).
            assert!(failed == 1 || !there.is_empty(), "neither told of nor arrived: {whisper:?}");
            assert!(there.iter().all(|who| whisper.meant.contains(who)), "it reached {there:?}: {whisper:?}");
        }
    }
    for who in 0..USERS.len() {
        if twins.guests[who].inside {
            let stanza = twins.guests[who].leave();
            twins.does_only(who, |_| stanza);
        }
    }
    twins.run(Duration::from_secs(60));
    assert_eq!(twins.left_over(), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(64), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_day_is_seen_the_same(doings in prop::collection::vec(doing(), 1..60)) {
        any_day(doings, false);
    }

    #[test]
    fn a_hasty_day_ends_the_same(doings in prop::collection::vec(doing(), 1..60)) {
        any_day(doings, true);
    }
}
