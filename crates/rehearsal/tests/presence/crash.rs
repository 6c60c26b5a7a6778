//! The gateway is killed at any moment and starts anew from its disk: acceptance 3 of presence, in simulated time.

use crate::town::{Policy, Town, ms, secs};
use std::time::Duration;

const PEOPLE: u64 = 6;

fn juliet(n: u64) -> String {
    format!("juliet{n}@example.com")
}

/// SIP users who are watched are others than those who watch, so that one's `unsubscribed` is not taken for the other's.
fn benvolio(n: u64) -> String {
    format!("benvolio{n}")
}

fn town(seed: u64) -> Town {
    let mut town = Town::new(seed, 3, |_| {});
    for n in 0..PEOPLE {
        town.account(&juliet(n), if n % 3 == 2 { Policy::Leave } else { Policy::Approve });
        town.watchable(&benvolio(n), &[("desk", "here")]);
        town.of(&benvolio(n)).most = 600;
    }
    town
}

/// One thing that people do.
fn something(town: &mut Town, step: u64) {
    let (a, b) = (town.chance.below(PEOPLE), town.chance.below(PEOPLE));
    let live: Vec<usize> = (0..town.watchers.len()).filter(|w| !town.watchers[*w].over).collect();
    match town.chance.below(10) {
        0 | 1 if live.len() < 20 => {
            town.watch(&format!("romeo{a}"), &juliet(b), 600);
        }
        2 => {
            if let Some(who) = live.get(a as usize).copied().filter(|w| town.watchers[*w].code() == 200) {
                town.watchers[who].keeps = false;
                town.again(who, 0);
            }
        }
        3 | 4 => town.comes(&juliet(a), ["balcony", "chamber"][(b % 2) as usize], &format!("step {step}")),
        5 => town.goes(&juliet(a), ["balcony", "chamber"][(b % 2) as usize]),
        6 => {
            let sip = format!("{}@example.net", benvolio(b));
            town.adds(&juliet(a), &sip);
        }
        7 => {
            let note = format!("step {step}");
            town.publish(&benvolio(a), &[("desk", note.as_str()), ("mobile", note.as_str())][..(step % 3) as usize]);
        }
        8 => {
            let sip = format!("romeo{a}@example.net");
            if town.user(&juliet(b)).asked.contains_key(&sip) {
                town.approves(&juliet(b), &sip);
            }
        }
        _ if town.up => {
            town.link_down();
            town.run(secs(1));
            town.link_up();
        }
        _ => {}
    }
}

/// All is well again: what everybody sees is what is true.
fn afterwards(town: &mut Town, seed: u64) {
    town.disk_fails = 0;
    town.disk_takes = ms(2);
    town.run(secs(60));
    for n in 0..PEOPLE {
        for resource in ["balcony", "chamber"] {
            town.goes(&juliet(n), resource);
        }
        town.run(secs(70));
        town.comes(&juliet(n), "last", "at last");
    }
    town.run(secs(1300));
    town.no_faults();
    for watcher in town.watchers.iter().filter(|w| !w.over && w.keeps && w.code() == 200) {
        let approved = town.accounts[&watcher.contact].subscribers.contains(&format!("{}@example.net", watcher.user));
        assert_eq!(watcher.is_active(), approved, "seed {seed}: {watcher:?}");
        if approved {
            assert_eq!(watcher.sees(), Some((true, vec!["at last".to_owned()])), "seed {seed}: {watcher:?}");
        }
    }
    for (bare, account) in &town.accounts {
        for (sip, entry) in &account.roster {
            let pa = &town.watched[sip.split_once('@').unwrap().0];
            assert!(entry.approved && entry.no == 0, "seed {seed}: {bare} and {sip}: {entry:?}");
            let there = pa.tuples.iter().cloned().collect();
            assert_eq!(entry.online, there, "seed {seed}: {bare} sees {sip} as it is, and no ghost");
        }
    }
    // Everybody has enough of it.
    for who in 0..town.watchers.len() {
        town.watchers[who].keeps = false;
    }
    for n in 0..PEOPLE {
        for m in 0..PEOPLE {
            town.revokes(&juliet(n), &format!("romeo{m}@example.net"));
            let sip = format!("{}@example.net", benvolio(m));
            if town.user(&juliet(n)).roster.remove(&sip).is_some() {
                town.presence(&juliet(n), &sip, "unsubscribe");
            }
        }
    }
    town.run(secs(2000));
    town.no_faults();
    assert_eq!(town.kept(), [0; 4], "seed {seed}");
    let keys: Vec<_> = town.disk.keys().map(|key| String::from_utf8_lossy(key)).collect();
    assert!(keys.is_empty(), "seed {seed}: {keys:?}");
}

#[test]
fn killed_at_any_moment_it_keeps_what_it_promised() {
    for seed in 0..16 {
        let mut town = town(seed);
        town.disk_takes = [ms(1), ms(20), ms(400)][(seed % 3) as usize];
        let mut kills = 0;
        for step in 0..150 {
            something(&mut town, step);
            let pause = [0, 2, 30, 1000, 60_000][town.chance.below(5) as usize];
            let pause = town.chance.below(pause * 1000 + 1);
            town.run(Duration::from_micros(pause));
            if town.chance.below(8) == 0 {
                town.kill();
                kills += 1;
            }
        }
        assert!(kills > 8, "{kills}");
        afterwards(&mut town, seed);
    }
}

#[test]
fn a_disk_that_fails_is_said_and_recovers() {
    for seed in 100..106 {
        let mut town = town(seed);
        for step in 0..100 {
            town.disk_fails = [0, 300, 1000][town.chance.below(3) as usize];
            something(&mut town, step);
            let pause = [2, 30, 1000, 30_000][town.chance.below(4) as usize];
            let pause = town.chance.below(pause + 1);
            town.run(ms(pause));
        }
        let refused: Vec<u16> =
            town.watchers.iter().flat_map(|w| w.codes.clone()).filter(|code| *code >= 300).collect();
        assert!(refused.iter().all(|code| matches!(code, 481 | 500 | 503)), "{refused:?}");
        afterwards(&mut town, seed);
    }
}

/// An approval is a promise: no NOTIFY says `active` before it is on disk, and then one says all.
#[test]
fn an_approval_is_told_when_it_is_saved() {
    let mut town = Town::new(7, 2, |_| {});
    town.account("juliet@example.com", Policy::Leave);
    town.comes("juliet@example.com", "balcony", "here");
    let who = town.watch("romeo", "juliet@example.com", 600);
    town.run(secs(2));
    town.disk_takes = ms(500);
    let before = town.watchers[who].notifies.len();
    town.approves("juliet@example.com", "romeo@example.net");
    town.run(ms(900));
    assert_eq!((town.watchers[who].notifies.len(), town.watchers[who].is_active()), (before, false));
    town.run(ms(200));
    assert!(town.watchers[who].is_active());
    assert_eq!(town.watchers[who].sees(), Some((true, vec!["here".to_owned()])));
    town.run(secs(5));
    assert_eq!(town.watchers[who].notifies.len(), before + 1);
}
