//! Much at once: acceptance 4 of presence.

use crate::town::{HOUR, Policy, Town, ms, secs};
use base::Time;
use rehearsal::scene::Settings;
use std::collections::BTreeMap;

const MANY: usize = 10_000;

fn contact(n: usize) -> String {
    format!("juliet{n}@example.com")
}

fn romeo(n: usize) -> String {
    format!("romeo{n}")
}

/// Everybody watches somebody, and sees that nobody is there.
fn crowd(seed: u64, many: usize) -> Town {
    let mut town = Town::new(seed, 4, |_| {});
    for n in 0..many {
        town.account(&contact(n), Policy::Approve);
        if n % 1000 == 999 {
            town.run(ms(100));
        }
        town.watch(&romeo(n), &contact(n), 7200);
    }
    town.run(secs(32));
    town.no_faults();
    let active = town.watchers.iter().filter(|w| w.is_active()).count();
    assert_eq!((active, town.unanswered()), (many, 0));
    town
}

/// 10,000 new watchers in one second, 10,000 contacts at once behind a server that starts anew, and 10,000 refreshes in one second.
#[test]
fn ten_thousand_of_everything() {
    let mut town = crowd(1, MANY);
    town.link_down();
    town.run(secs(60));
    let before = town.notifies;
    town.peak = 0;
    town.link_up();
    for round in ["first", "last"] {
        for n in 0..MANY {
            town.comes(&contact(n), "balcony", &format!("{round} {n}"));
        }
        town.run(ms(700));
    }
    town.run(secs(32) - ms(1400));
    for (n, watcher) in town.watchers.iter().enumerate() {
        assert_eq!(watcher.sees(), Some((true, vec![format!("last {n}")])), "{}", watcher.user);
    }
    assert!(town.peak <= 2048, "{} under way in one shard", town.peak);
    let sent = town.notifies - before;
    assert!(sent <= 3 * MANY as u64, "{sent} NOTIFYs");
    // One of ten datagrams is lost.
    town.lost = 100;
    for who in 0..MANY {
        if who % 1000 == 999 {
            town.run(ms(100));
        }
        town.again(who, 3600);
    }
    town.run(secs(32));
    let refreshed = town.watchers.iter().filter(|w| w.codes == [200, 200]).count();
    // Eleven tries, of which each gets through with a chance of four fifths.
    assert_eq!((refreshed, town.unanswered()), (MANY, 0));
    town.lost = 0;
    town.run(secs(32));
    assert_eq!(town.kept(), [MANY, MANY, 0, 0]);
    town.no_faults();
}

/// Subscriptions of the gateway's own that began in one second are not refreshed in one second.
#[test]
fn refreshes_of_our_own_are_spread() {
    const FEW: usize = 1500;
    let mut town = Town::new(2, 4, |_| {});
    for n in 0..FEW {
        town.account(&contact(n), Policy::Approve);
        town.watchable(&romeo(n), &[("desk", "here")]);
        town.comes(&contact(n), "balcony", "");
        town.adds(&contact(n), &format!("{}@example.net", romeo(n)));
    }
    town.run(HOUR);
    let mut seconds = BTreeMap::new();
    for watched in town.watched.values() {
        for (at, _) in &watched.asked[1..] {
            *seconds.entry(at.since(Time::ZERO).as_secs()).or_insert(0) += 1;
        }
    }
    let (most, all) = (seconds.values().max().unwrap(), seconds.values().sum::<u32>());
    assert!(*most <= 15 && all as usize == FEW, "{most} in one second, {all} in all");
    town.no_faults();
}

/// The statuses of all, and how many of each.
fn codes(town: &Town) -> BTreeMap<u16, usize> {
    let mut codes = BTreeMap::new();
    town.watchers.iter().for_each(|w| *codes.entry(w.code()).or_insert(0) += 1);
    codes
}

/// Who is refused is told when to come again, and of those that were not nothing is left an hour later.
fn flooded(mut town: Town, taken: usize, refused: usize) {
    town.run(secs(40));
    assert_eq!(codes(&town), BTreeMap::from([(200, taken), (503, refused)]));
    assert!(town.watchers.iter().filter(|w| w.code() == 503).all(|w| w.retry_after.is_some()));
    assert!(town.kept()[0] <= taken, "{:?}", town.kept());
    let all: Vec<(String, String)> = town.watchers.iter().map(|w| (w.contact.clone(), w.user.clone())).collect();
    town.watchers.iter_mut().for_each(|w| w.keeps = false);
    town.run(secs(200));
    assert_eq!(town.kept()[0], 0, "they lapse");
    for (contact, user) in all {
        town.revokes(&contact, &format!("{user}@example.net"));
    }
    town.run(secs(5));
    assert_eq!((town.kept(), town.disk.len()), ([0; 4], 0));
    // And everything is open to the next.
    let who = town.watch("late", &contact(0), 60);
    town.run(secs(5));
    assert!(town.watchers[who].is_active());
    town.no_faults();
}

fn small(change: impl FnOnce(&mut Settings)) -> Town {
    let mut town = Town::new(3, 1, change);
    (0..100).for_each(|n| town.account(&contact(n), Policy::Approve));
    town
}

#[test]
fn floods_meet_the_bound_of_each_thing() {
    let mut town = small(|s| s.config.subscriptions.max_per_source = 50);
    for n in 0..80 {
        town.watch(&romeo(n), &contact(n), 100);
    }
    flooded(town, 50, 30);
    let mut town = small(|s| s.config.subscriptions.max_usages = 40);
    for n in 0..80 {
        town.watch(&romeo(n), &contact(n), 100);
    }
    flooded(town, 40, 40);
    let mut town = small(|s| s.config.presence.authorizations_per_user = 20);
    for n in 0..80 {
        town.watch(&romeo(0), &contact(n), 100);
    }
    flooded(town, 20, 60);
    let mut town = small(|s| s.config.presence.watchers_per_contact = 30);
    for n in 0..80 {
        town.watch(&romeo(n), &contact(0), 100);
    }
    flooded(town, 30, 50);
    let mut town = small(|s| s.config.presence.dialogs_per_pair = 3);
    for _ in 0..80 {
        town.watch(&romeo(0), &contact(0), 100);
    }
    flooded(town, 3, 77);
    let mut town = small(|s| s.config.presence.authorizations = 10);
    for n in 0..80 {
        town.watch(&romeo(n), &contact(n), 100);
    }
    flooded(town, 10, 70);
    // Polls take no room for longer than they last.
    let mut town = small(|s| s.config.subscriptions.max_usages = 40);
    for n in 0..80 {
        town.watch(&romeo(n), &contact(n % 2), 0);
    }
    town.run(secs(40));
    assert_eq!(town.kept(), [0; 4]);
    let mut town = small(|_| {});
    for n in 0..80 {
        town.watch(&romeo(n), &contact(n), 20);
    }
    town.run(secs(2));
    assert_eq!(codes(&town), BTreeMap::from([(423, 80)]));
    assert!(town.watchers.iter().all(|w| w.min_expires.as_deref() == Some("60")));
    assert_eq!(town.kept(), [0; 4]);
    town.no_faults();
}

#[test]
fn who_does_not_answer_is_dropped_and_the_contact_told() {
    let mut town = small(|_| {});
    town.comes(&contact(0), "balcony", "here");
    let mute = town.watch("romeo", &contact(0), 3600);
    let other = town.watch("benvolio", &contact(0), 3600);
    town.run(secs(2));
    town.watchers[mute].mute = true;
    town.comes(&contact(0), "balcony", "there");
    town.run(secs(31));
    assert_eq!(town.kept()[0], 2);
    town.run(secs(2));
    let before = town.notifies;
    assert_eq!((town.kept(), &town.user(&contact(0)).left), ([1, 2, 0, 0], &vec!["romeo@example.net".to_owned()]));
    town.comes(&contact(0), "balcony", "everywhere");
    town.run(secs(60));
    assert_eq!(town.notifies - before, 1, "and it is never sent to again");
    assert_eq!(town.watchers[other].sees(), Some((true, vec!["everywhere".to_owned()])));
    town.no_faults();
}

/// RFC 3856 §6.10.
#[test]
fn a_presence_that_flaps_is_told_at_a_pace_and_its_end_arrives() {
    let mut town = small(|_| {});
    let who = town.watch("romeo", &contact(0), 3600);
    town.run(secs(60));
    let before = town.watchers[who].notifies.len();
    for n in 0..3000 {
        if n % 2 == 0 {
            town.comes(&contact(0), "balcony", &format!("{n}"));
        } else {
            town.goes(&contact(0), "balcony");
        }
        town.run(ms(10));
    }
    town.comes(&contact(0), "balcony", "still");
    town.run(secs(6));
    let times = &town.watchers[who].notifies[before..];
    assert!((8..=6 + 36 / 5 + 1).contains(&times.len()), "{} NOTIFYs", times.len());
    let late: Vec<_> = times.windows(2).skip(6).map(|two| two[1].since(two[0])).collect();
    assert!(late.iter().all(|gap| *gap > secs(4)), "{late:?}");
    assert_eq!(town.watchers[who].sees(), Some((true, vec!["still".to_owned()])));
    town.no_faults();
}
