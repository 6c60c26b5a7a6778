//! Much at once: acceptance 4 of presence.

use crate::town::{Policy, Town, ms, secs};

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
        // A little apart, as 10,000 new watchers in one moment are another storm.
        if n % 200 == 199 {
            town.run(ms(100));
        }
        town.watch(&romeo(n), &contact(n), 3600);
    }
    town.run(secs(40));
    town.no_faults();
    let active = town.watchers.iter().filter(|w| w.is_active()).count();
    assert_eq!((active, town.unanswered()), (many, 0));
    town
}

#[test]
fn ten_thousand_contacts_come_online_when_the_server_is_back() {
    let mut town = crowd(1, MANY);
    town.link_down();
    town.run(secs(60));
    let before = town.notifies;
    town.peak = 0;
    town.link_up();
    for round in ["first", "second", "last"] {
        for n in 0..MANY {
            town.comes(&contact(n), "balcony", &format!("{round} {n}"));
        }
        town.run(ms(700));
    }
    town.run(secs(32) - ms(2100));
    for (n, watcher) in town.watchers.iter().enumerate() {
        assert_eq!(watcher.sees(), Some((true, vec![format!("last {n}")])), "{}", watcher.user);
    }
    let bound = town.shards[0].subscription_counts();
    assert!(town.peak <= 2048, "{} under way in one shard, {bound:?}", town.peak);
    assert!(town.notifies - before <= 4 * MANY as u64, "{} NOTIFYs", town.notifies - before);
    assert_eq!(town.kept(), [MANY, MANY, 0, 0]);
    town.no_faults();
}
