//! Many users on both sides who call each other through a bad day: who talks to whom is the same on both sides, each has the other's key, and
//! in the end nobody is left with a call that the other one does not have.

use crate::day::{DEVICES, Day, Mood, secs};
use rehearsal::scene::relay;
use rehearsal::stub::Mood as Trouble;
use rehearsal::stub::jingle::{Answer, Manners};
use rehearsal::world::Weather;
use rehearsal::world::telephones::Habits;
use std::time::Duration;
use xmpp::ext::jingle::Condition;

const SEEDS: std::ops::Range<u64> = 0..3;
/// A network that loses and doubles.
const LOSSY: Weather = Weather { lost: 150, doubled: 150, jitter: Duration::from_millis(20), storm: 1 };
/// One on which everything is late, and in disorder.
const LATE: Weather = Weather { lost: 0, doubled: 50, jitter: Duration::from_millis(900), storm: 1 };
/// People talk for a while and hang up.
const TALK: Mood = Mood { ends: 6, changes: 0 };
/// They are never content.
const RESTLESS: Mood = Mood { ends: 6, changes: 20 };

/// Half of the users have clients that know XEP-0353, the others ones that do not; of each user one device rings in vain.
fn manners(user: u64, device: usize) -> Manners {
    let jmi = user.is_multiple_of(2);
    let trickle = user.is_multiple_of(3).then(|| Duration::from_millis(100));
    let answer = if device == 0 { Answer::Take } else { Answer::Ring };
    Manners { jmi, trickle, answer, ..Manners::default() }
}

#[test]
fn a_fair_day() {
    for seed in SEEDS {
        let mut day = Day::new(seed, Weather::FAIR, manners);
        // Nobody hangs up before it is answered: all of them are.
        for _ in 0..20 {
            day.call();
            day.world.run(secs(10));
        }
        day.standing("at noon");
        let begun = day.begun.each_ref().map(Vec::len);
        assert_eq!(day.ends(), begun, "seed {seed}: all were answered");
    }
}

#[test]
fn people_hang_up_at_any_moment() {
    for seed in SEEDS {
        let mut day = Day::new(seed, Weather::FAIR, manners);
        day.passes(secs(60), secs(1), Mood { ends: 30, changes: 30 });
        day.ends();
    }
}

#[test]
fn datagrams_are_lost_and_doubled() {
    for seed in SEEDS {
        let mut day = Day::new(seed, LOSSY, manners);
        day.passes(secs(120), secs(2), TALK);
        let [phones, users] = day.ends();
        assert!(phones >= 10 && users >= 10, "seed {seed}: {phones} and {users}");
    }
}

#[test]
fn datagrams_are_late_and_in_disorder() {
    for seed in SEEDS {
        let mut day = Day::new(seed, LATE, manners);
        day.passes(secs(120), secs(2), RESTLESS);
        let [phones, users] = day.ends();
        assert!(phones >= 10 && users >= 10, "seed {seed}: {phones} and {users}");
    }
}

#[test]
fn calls_are_refused_and_nobody_answers() {
    for seed in SEEDS {
        let refuse = |user: u64, device: usize| match (user, device) {
            (0 | 1, _) => Manners { answer: Answer::Refuse(Condition::Busy), ..manners(user, device) },
            (2 | 3, _) => Manners { answer: Answer::Nothing, ..manners(user, device) },
            _ => manners(user, device),
        };
        let mut day = Day::new(seed, Weather { lost: 50, ..Weather::FAIR }, refuse);
        day.world.phone_habits(Habits { busy: 200, declines: 200, silent: 200, ..Habits::default() });
        day.passes(secs(120), secs(2), TALK);
        for (user, resource) in (0..4).flat_map(|user| DEVICES.map(|resource| (user, resource))) {
            let at = usize::from(resource == DEVICES[1]);
            day.world.with_device(user, resource, |device| device.manners = manners(user, at));
        }
        day.world.run(secs(200));
        day.ends();
    }
}

#[test]
fn the_stream_breaks() {
    for seed in SEEDS {
        let mut day = Day::new(seed, Weather { lost: 50, ..Weather::FAIR }, manners);
        for _ in 0..6 {
            day.passes(secs(20), secs(2), TALK);
            day.world.cut();
        }
        let [phones, users] = day.ends();
        assert!(phones >= 4 && users >= 4, "seed {seed}: {phones} and {users}");
    }
}

#[test]
fn the_xmpp_server_restarts() {
    for seed in SEEDS {
        let mut day = Day::new(seed, Weather { lost: 50, doubled: 50, ..Weather::FAIR }, manners);
        for _ in 0..3 {
            day.passes(secs(20), secs(2), TALK);
            day.world.stall(true);
            day.passes(secs(1), secs(2), TALK);
            day.world.server_dies();
            day.world.stall(false);
            day.passes(secs(5), secs(2), TALK);
            day.world.server_starts();
            day.passes(secs(10), secs(2), TALK);
        }
        day.world.run(secs(30));
        assert!(day.world.is_up(), "seed {seed}: back within 30 s");
        day.ends();
    }
}

#[test]
fn media_go_through_relays() {
    for seed in SEEDS {
        let mut day = Day::with_relays(seed, LOSSY, manners, 2);
        day.passes(secs(120), secs(2), RESTLESS);
        let [phones, users] = day.ends();
        assert!(phones >= 10 && users >= 10, "seed {seed}: {phones} and {users}");
    }
}

#[test]
fn media_relays_die() {
    for seed in SEEDS {
        let mut day = Day::with_relays(seed, Weather { lost: 50, ..Weather::FAIR }, manners, 2);
        for n in 0..6 {
            day.passes(secs(20), secs(2), TALK);
            let dead = day.world.relay(relay(n % 2));
            dead.forget();
            dead.become_(Trouble::Silent);
            day.passes(secs(if n == 3 { 60 } else { 10 }), secs(2), TALK);
            // For a while neither is there.
            day.world.relay(relay((n + 1) % 2)).become_(Trouble::Silent);
            day.passes(secs(5), secs(2), TALK);
            for n in 0..2 {
                let back = day.world.relay(relay(n));
                back.forget();
                back.become_(Trouble::Well);
            }
        }
        let [phones, users] = day.ends();
        assert!(phones >= 4 && users >= 4, "seed {seed}: {phones} and {users}");
    }
}

#[test]
fn the_gateway_is_killed() {
    for seed in SEEDS {
        let mut day = Day::new(seed, Weather { lost: 50, ..Weather::FAIR }, manners);
        for _ in 0..3 {
            day.passes(secs(25), secs(2), TALK);
            day.world.gateway_dies();
            day.passes(secs(5), secs(2), TALK);
            assert!(day.world.is_up(), "seed {seed}: the stream is back");
        }
        day.ends();
    }
}

#[test]
fn devices_die() {
    for seed in SEEDS {
        let mut day = Day::new(seed, Weather { lost: 50, ..Weather::FAIR }, manners);
        for n in 0..4 {
            day.passes(secs(20), secs(2), TALK);
            day.world.device(n, DEVICES[0], manners(n, 0));
        }
        day.ends();
    }
}

#[test]
fn everything_at_once() {
    for seed in SEEDS {
        let mut day =
            Day::new(seed, Weather { lost: 100, doubled: 100, jitter: Duration::from_millis(300), storm: 1 }, manners);
        day.world.phone_habits(Habits { busy: 100, declines: 100, silent: 100, ..Habits::default() });
        for n in 0..12 {
            day.passes(secs(10), secs(1), RESTLESS);
            match n % 4 {
                0 => day.world.cut(),
                1 => day.world.gateway_dies(),
                2 => day.world.device(n % 6, DEVICES[0], manners(n % 6, 0)),
                _ => {
                    day.world.server_dies();
                    day.passes(secs(3), secs(1), TALK);
                    day.world.server_starts();
                }
            }
        }
        day.ends();
    }
}
