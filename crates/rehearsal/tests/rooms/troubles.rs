//! A MUC seen through two gateways on bad days: datagrams get lost, doubled and late, connections break, streams are away, the rooms' process and the
//! gateways' begin anew, joins do not end. When it is over everybody who wants to be in the room is in it, once, on both sides; nobody else is; all
//! see the same; whoever was told that all have heard him was heard; nobody has heard anything twice; and when all have left nothing is left of them.

use crate::mirror::{USERS, same, twins};
use crate::twins::Twins;
use rehearsal::world::Weather;
use std::collections::BTreeMap;
use std::time::Duration;

const FOUL: Weather = Weather { lost: 150, doubled: 150, jitter: Duration::from_millis(300), storm: 1 };
const NICKS: [&str; 7] = ["Owner", "Ben", "Nurse", "Nurse in the garden", "Juliet", "JuliC", "Romeo"];

/// How many days of each kind there are.
fn seeds() -> std::ops::Range<u64> {
    0..std::env::var("CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(4)
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A message, and what its author was told of it.
#[derive(Debug)]
struct Word {
    from: usize,
    id: String,
    words: String,
}

struct Day {
    twins: Twins,
    said: Vec<Word>,
    /// How often each asked to come in and had no answer yet, in seconds.
    waiting: BTreeMap<usize, u64>,
    seed: u64,
}

impl Day {
    fn new(seed: u64) -> Day {
        let mut day = Day { twins: twins(seed), said: Vec::new(), waiting: BTreeMap::new(), seed };
        for (who, nick) in NICKS.into_iter().enumerate().skip(1) {
            day.twins.does(who, |guest| guest.join(nick));
            assert!(day.twins.guests[who].inside, "seed {seed}: {nick}");
        }
        day
    }

    /// People speak for so many seconds; each second there is some trouble. Whoever is out comes back.
    fn goes_on(&mut self, seconds: u64, mut trouble: impl FnMut(&mut Twins, u64)) {
        for second in 0..seconds {
            for _ in 0..self.twins.chance.below(3) {
                let from = self.twins.chance.below(USERS.len() as u64) as usize;
                if self.twins.guests[from].inside {
                    let words = format!("words {}", self.said.len());
                    let id = self.twins.does_only(from, |guest| guest.say(&words));
                    self.said.push(Word { from, id, words });
                }
                let pause = Duration::from_millis(self.twins.chance.below(300));
                self.twins.run(pause);
            }
            trouble(&mut self.twins, second);
            self.twins.run(Duration::from_millis(600));
            if second % 5 == 4 {
                self.all_come_back();
            }
        }
    }

    fn all_come_back(&mut self) {
        for (who, nick) in NICKS.into_iter().enumerate() {
            if self.twins.guests[who].asking {
                let seconds = self.waiting.entry(who).or_default();
                *seconds += 5;
                assert!(*seconds <= 120, "seed {}: {} has had no answer", self.seed, USERS[who]);
            } else {
                self.waiting.remove(&who);
                if !self.twins.guests[who].inside {
                    self.twins.does_only(who, |guest| guest.join(nick));
                }
            }
        }
    }

    /// What becomes of it all. `all`: nobody has missed anything.
    fn ends(mut self, all: bool) -> Twins {
        let seed = self.seed;
        self.twins.weather = Weather::FAIR;
        // The longest that anybody believes a room which has forgotten him (XEP-0410), or waits for an answer.
        self.twins.run(secs(800));
        for _ in 0..4 {
            self.all_come_back();
            self.twins.run(secs(60));
        }
        println!("seed {seed}: {} said, {} people", self.said.len(), self.twins.rooms.people("den").len());
        same(&self.twins);
        for guest in &self.twins.guests {
            assert!(
                guest.inside,
                "seed {seed}: {} is not in the room: {:?} {:?}",
                guest.user, guest.refused, guest.out
            );
        }
        let log: Vec<String> = self.twins.rooms.said("den").into_iter().map(|(_, words)| words).collect();
        for Word { from, id, words } in &self.said {
            let guest = &self.twins.guests[*from];
            let times = log.iter().filter(|said| *said == words).count();
            let failed = guest.failed.iter().filter(|(failed, _)| failed == id).count();
            let reflected = usize::from(guest.spoken.contains(words));
            assert!(times <= 1 && failed <= 1, "seed {seed}: {words}: {times} {reflected} {failed}");
            assert!(reflected == 0 || times == 1, "seed {seed}: {words} was promised");
            assert!(
                reflected + failed >= 1 || guest.user.domain() == "a.example",
                "seed {seed}: no word on {words} of {}",
                guest.user
            );
        }
        for guest in &self.twins.guests {
            let heard: Vec<&String> = guest.heard.iter().map(|(_, words)| words).collect();
            let places: Vec<usize> =
                heard.iter().map(|words| log.iter().position(|said| said == *words).unwrap()).collect();
            let mut once = places.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), places.len(), "seed {seed}: {} has heard something twice: {heard:?}", guest.user);
            if let (true, Some(first)) = (all, once.first()) {
                let missed: Vec<&String> =
                    (*first..log.len()).filter(|at| !once.contains(at)).map(|at| &log[at]).collect();
                assert!(missed.is_empty(), "seed {seed}: {} has missed {missed:?}", guest.user);
            }
        }
        // Everything works as on the first day.
        for who in 0..USERS.len() {
            let words = format!("it is over, says {who}");
            self.twins.does(who, |guest| guest.say(&words));
            for guest in &self.twins.guests {
                assert_eq!(guest.heard.last().map(|(_, words)| words), Some(&words), "seed {seed}: {}", guest.user);
            }
        }
        for who in 0..USERS.len() {
            let stanza = self.twins.guests[who].leave();
            self.twins.does(who, |_| stanza);
        }
        self.twins.run(secs(100));
        assert_eq!(self.twins.rooms.people("den").len(), 0, "seed {seed}");
        assert_eq!(self.twins.left_over(), [], "seed {seed}");
        self.twins
    }
}

#[test]
fn a_fair_day() {
    for seed in seeds() {
        let mut day = Day::new(seed);
        day.goes_on(60, |_, _| ());
        let said = day.said.len();
        let twins = day.ends(true);
        assert_eq!(twins.rooms.said("den").len(), said + USERS.len());
    }
}

#[test]
fn datagrams_are_lost_doubled_and_late() {
    for seed in seeds() {
        let mut day = Day::new(seed);
        day.twins.weather = FOUL;
        day.goes_on(200, |twins, second| {
            if second % 10 == 0 {
                let who = 1 + twins.chance.below(6) as usize;
                let nick = format!("{} {second}", NICKS[who]);
                if twins.guests[who].inside {
                    twins.does_only(who, |guest| guest.rename(&nick));
                }
            }
        });
        day.ends(true);
    }
}

#[test]
fn connections_break() {
    for seed in seeds() {
        let mut day = Day::new(seed);
        day.goes_on(300, |twins, second| {
            if second % 20 == 10 {
                twins.pipes.left = Some(twins.chance.below(3000) as usize);
            }
        });
        day.twins.pipes.left = None;
        day.ends(true);
    }
}

/// A minute without a stream, at either gateway; and what was under way when it went nobody knows.
#[test]
fn streams_are_away() {
    for seed in seeds() {
        let mut day = Day::new(seed);
        day.goes_on(400, |twins, second| {
            let at = (second / 200) as usize;
            match second % 200 {
                48 => twins.prompt[at] = false,
                50 => twins.stream(at, false),
                110 => {
                    twins.prompt[at] = true;
                    twins.stream(at, true);
                }
                _ => {}
            }
        });
        day.ends(true);
    }
}

#[test]
fn the_rooms_begin_anew() {
    for (seed, in_order) in seeds().flat_map(|seed| [(seed, true), (seed, false)]) {
        let mut day = Day::new(seed);
        day.goes_on(300, |twins, second| {
            if second % 100 == 50 {
                twins.rooms_restart(in_order);
                if !in_order {
                    // Their clients find out for themselves (XEP-0410).
                    twins
                        .guests
                        .iter_mut()
                        .filter(|guest| guest.user.domain() == "a.example")
                        .for_each(|guest| guest.inside = false);
                }
            }
        });
        // Of what was said while somebody was out the room tells the last twenty.
        day.ends(false);
    }
}

#[test]
fn gateways_are_killed() {
    for seed in seeds() {
        let mut day = Day::new(seed);
        day.goes_on(300, |twins, second| {
            if second % 60 == 30 {
                let at = twins.chance.below(2) as usize;
                twins.kill(at);
            }
        });
        // Of what was said while somebody was out the room tells the last twenty.
        day.ends(false);
    }
}

/// The service takes joins and says nothing to them: whoever wants in is told so in time, and nothing is left of it.
#[test]
fn joins_do_not_end() {
    for seed in seeds() {
        let mut day = Day::new(seed);
        for who in [4, 6] {
            let stanza = day.twins.guests[who].leave();
            day.twins.does(who, |_| stanza);
        }
        day.twins.run(secs(10));
        day.twins.deaf = true;
        for who in [4, 6] {
            day.twins.does(who, |guest| guest.join("Somebody"));
        }
        day.twins.run(secs(70));
        for who in [4, 6] {
            let guest = &day.twins.guests[who];
            assert!(!guest.asking && !guest.inside && !guest.refused.is_empty(), "seed {seed}: {guest:?}");
        }
        day.twins.deaf = false;
        day.goes_on(20, |_, _| ());
        day.ends(true);
    }
}

#[test]
fn everything_at_once() {
    for seed in seeds() {
        let mut day = Day::new(seed);
        day.twins.weather = FOUL;
        day.goes_on(400, |twins, second| {
            let at = twins.chance.below(2) as usize;
            match (second % 80, twins.chance.below(2)) {
                (10, 0) => twins.rooms_restart(true),
                (10, _) | (60, 0) => twins.pipes.left = Some(twins.chance.below(3000) as usize),
                (20, 0) => twins.stream(at, false),
                (35, _) => (0..2).for_each(|at| twins.stream(at, true)),
                (50, 0) => twins.kill(at),
                _ => {}
            }
        });
        day.twins.pipes.left = None;
        (0..2).for_each(|at| day.twins.stream(at, true));
        // Of what was said while somebody was out the room tells the last twenty.
        day.ends(false);
    }
}
