//! Connections that break at any byte between two gateways: no message is lost without a word, none comes twice, and no session is left over.

use crate::facing::Mirror;
use crate::talk::{body, chat, text};
use base::Tokens;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Default, Clone, PartialEq)]
struct Fate {
    delivered: u32,
    errors: u32,
}

/// Looks at what the users got.
fn look(mirror: &mut Mirror, fates: &mut BTreeMap<String, Fate>, order: &mut BTreeMap<(usize, String), u64>) {
    for side in [0, 1] {
        for stanza in std::mem::take(&mut mirror.stanzas[side]) {
            if stanza.is_error() {
                fates.entry(stanza.id.as_deref().unwrap().to_owned()).or_default().errors += 1;
            } else if let Some(words) = text(&stanza, "body") {
                let (number, thread) = words.split_once(' ').unwrap();
                fates.entry(number.to_owned()).or_default().delivered += 1;
                let number: u64 = number.parse().unwrap();
                let last = order.insert((side, thread.to_owned()), number);
                assert!(last.is_none_or(|last| last < number), "{number} came after {last:?} in {thread}");
            }
        }
    }
}

#[test]
fn no_loss_no_double_nothing_left() {
    let (mut both, mut failed, mut written) = (0, 0, 0);
    for seed in 0..60 {
        let mut chance = Tokens::seeded(seed);
        let mut mirror = Mirror::of_chat();
        let mut fates = BTreeMap::new();
        let mut order = BTreeMap::new();
        for number in 0..60u64 {
            if chance.below(6) == 0 {
                mirror.pipes.left = Some(chance.below(4000) as usize);
            }
            let side = chance.below(2) as usize;
            let thread = format!("t{}", chance.below(3));
            let filler = "z".repeat(if chance.below(8) == 0 { 6000 } else { 20 });
            fates.insert(number.to_string(), Fate::default());
            // The thread stands in the text, too, as whoever opens a second session of one name gets it under another.
            let words = body(&format!("{number} {thread}{filler}"));
            mirror.stanza_only(side, chat(side, &number.to_string(), Some(&thread)).with_child(words));
            if chance.below(3) > 0 {
                mirror.run(Duration::from_millis(chance.below(2000)));
            }
            look(&mut mirror, &mut fates, &mut order);
        }
        mirror.pipes.left = None;
        mirror.run(Duration::from_secs(1000));
        look(&mut mirror, &mut fates, &mut order);
        for (number, fate) in &fates {
            written += 1;
            match (fate.delivered, fate.errors) {
                (1, 0) => {}
                (0, 1) => failed += 1,
                (1, 1) => both += 1,
                _ => panic!("seed {seed}: message {number}: {fate:?}"),
            }
        }
        assert_eq!(mirror.sessions(), [0; 4], "seed {seed}: all sessions are over");
        assert_eq!(mirror.pipes.open_ones(), 0, "seed {seed}: and the connections");
    }
    println!("{written} written, {failed} failed, {both} came though told of");
    assert!(failed + both < written / 4, "most arrive: {failed} failed, {both} both, of {written}");
}
