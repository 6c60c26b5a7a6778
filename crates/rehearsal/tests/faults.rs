//! The faults of a bad day, each with many seeds. After each: every message was delivered exactly once, or its sender was told; nothing is
//! kept; and what is sent afterwards arrives.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests are tests")]

use rehearsal::world::{Report, Weather, World};
use std::time::Duration;

const SEEDS: std::ops::Range<u64> = 0..8;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

const FOUL: Weather = Weather { lost: 200, doubled: 200, jitter: Duration::from_millis(300), storm: 1 };

/// A world whose stream is up.
fn world(seed: u64, weather: Weather) -> World {
    let mut world = World::new(seed, 3, weather, |_| {});
    world.run(secs(2));
    assert!(world.is_up(), "seed {seed}: the stream comes up");
    world
}

/// Twenty users of each side write to each other, `each` messages each, spread over `time`.
fn traffic(world: &mut World, each: u64, time: Duration) {
    for n in 0..each {
        for user in 0..20 {
            let at = time.mul_f64((n * 20 + user) as f64 / (each * 20) as f64);
            world.sip_writes(at, user, (user * 7 + n) % 20);
            world.xmpp_writes(at, user, (user * 3 + n) % 20);
        }
    }
}

/// The fault is over: the books are right, the tables empty, and everything works again.
fn afterwards(mut world: World, seed: u64) -> Report {
    world.weather(Weather::FAIR);
    world.run(secs(150));
    let before = world.report();
    println!(
        "seed {seed}: {before:?}, SIP users got {:?}, XMPP users {} errors, {:?}",
        world.codes(),
        world.errors(),
        world.peaks
    );
    assert_eq!(before.wrong, [], "seed {seed}: {before:?}");
    assert_eq!(world.kept(), [0; 5], "seed {seed}: nothing is kept");
    traffic(&mut world, 2, secs(5));
    world.run(secs(100));
    let after = world.report();
    assert_eq!(after.wrong, [], "seed {seed}: {after:?}");
    assert_eq!(after.delivered, before.delivered + 80, "seed {seed}: all that was written afterwards arrives");
    assert_eq!(world.kept(), [0; 5], "seed {seed}: nothing is kept");
    before
}

#[test]
fn a_fair_day() {
    for seed in SEEDS {
        let mut world = world(seed, Weather::FAIR);
        traffic(&mut world, 10, secs(10));
        let report = afterwards(world, seed);
        assert_eq!((report.written, report.delivered), (400, 400), "seed {seed}");
    }
}

/// Fault 12.
#[test]
fn loss_doubles_and_disorder() {
    for seed in SEEDS {
        let mut world = world(seed, FOUL);
        traffic(&mut world, 10, secs(30));
        // One of five lost each way: a message fails after eleven tries with a chance of one in seventy thousand.
        world.run(secs(200));
        let report = afterwards(world, seed);
        assert!(report.delivered >= 396, "seed {seed}: {report:?}");
    }
}

/// Fault 11, threat 42.
#[test]
fn a_storm_of_retransmissions() {
    for seed in SEEDS {
        let mut world = world(seed, Weather { storm: 10, jitter: ms(50), ..Weather::FAIR });
        traffic(&mut world, 10, secs(10));
        let report = afterwards(world, seed);
        assert_eq!((report.delivered, report.written), (400, 400), "seed {seed}: one of each, whatever came how often");
    }
}

/// Fault 1.
#[test]
fn the_xmpp_server_restarts_in_traffic() {
    for seed in SEEDS {
        let mut world = world(seed, Weather { jitter: ms(20), ..Weather::FAIR });
        traffic(&mut world, 10, secs(30));
        world.run(secs(9));
        // It hangs before it dies: what it had not read is lost with it.
        world.stall(true);
        world.run(secs(1));
        world.server_dies();
        world.stall(false);
        world.run(secs(5));
        world.server_starts();
        world.run(secs(30));
        assert!(world.is_up(), "seed {seed}: back within 30 s");
        let codes = world.codes().clone();
        let report = afterwards(world, seed);
        assert!(report.failed > 0 && report.delivered > 200, "seed {seed}: {report:?}");
        assert!(
            codes.keys().all(|c| matches!(c, 200 | 503)),
            "seed {seed}: the SIP users are told to try again: {codes:?}"
        );
    }
}

/// The stream's connection breaks again and again.
#[test]
fn the_stream_is_cut() {
    for seed in SEEDS {
        let mut world = world(seed, FOUL);
        traffic(&mut world, 20, secs(60));
        for cut in 0..6 {
            world.run(ms(7_003 + cut * 311));
            world.cut();
        }
        world.run(secs(60));
        assert!(world.ups >= 6, "seed {seed}: it came back {} times", world.ups);
        afterwards(world, seed);
    }
}

/// Fault 8, without a second hop: the XMPP users are told, and later all is well.
#[test]
fn the_sip_side_is_gone() {
    for seed in SEEDS {
        let mut world = world(seed, Weather::FAIR);
        world.sip_gone(true);
        for user in 0..20 {
            world.xmpp_writes(ms(user * 100), user, user);
            world.xmpp_writes(ms(user * 100 + 50), user, user);
        }
        world.run(secs(40));
        let report = world.report();
        assert_eq!((report.failed, report.delivered), (40, 0), "seed {seed}: {report:?}");
        world.sip_gone(false);
        afterwards(world, seed);
    }
}

/// An error that the stream lost on its way, or found down, is told when the stream is back.
#[test]
fn errors_outlive_the_stream() {
    for seed in SEEDS {
        let mut world = world(seed, Weather::FAIR);
        world.sip_gone(true);
        for user in 0..20 {
            world.xmpp_writes(ms(user * 100), user, user);
        }
        // Timer F ends between 32 s and 34 s: into a server that hangs, then one that is not there.
        world.run(secs(31));
        world.stall(true);
        world.run(secs(2));
        world.server_dies();
        world.stall(false);
        world.run(secs(4));
        assert_eq!(world.errors(), 0, "seed {seed}");
        world.server_starts();
        world.run(secs(40));
        let report = world.report();
        assert_eq!((report.failed, world.errors()), (20, 20), "seed {seed}: each sender is told once: {report:?}");
        world.sip_gone(false);
        afterwards(world, seed);
    }
}

/// Fault 23: ten times what the XMPP server takes.
#[test]
fn ten_times_too_much() {
    for seed in SEEDS.take(2) {
        let mut world = World::new(seed, 2, Weather::FAIR, |s| s.config.limits.held = 200);
        world.run(secs(2));
        // About 200 messages a second are what the server reads; 2000 a second come for 5 s.
        world.pace(Some(600));
        for n in 0..10_000_u64 {
            world.sip_writes(Duration::from_micros(n * 500), n % 100, n % 97);
        }
        world.run(secs(6));
        let peaks = world.peaks;
        assert!(peaks.under_way <= 400, "seed {seed}: the tables keep their bounds: {peaks:?}");
        world.run(secs(30));
        world.pace(None);
        let codes = world.codes().clone();
        let report = afterwards(world, seed);
        assert_eq!(codes.values().sum::<u64>(), 10_000, "seed {seed}: everybody got an answer: {codes:?}");
        assert!(codes[&503] > 5_000, "seed {seed}: {codes:?}");
        assert!(codes[&200] >= 800, "seed {seed}: at least 80 % of what the server can take is delivered: {codes:?}");
        assert!(report.failed > 5_000, "seed {seed}: {report:?}");
    }
}

/// The same towards SIP: one user writes faster than the answers come.
#[test]
fn a_queue_that_is_full() {
    for seed in SEEDS {
        let mut world = world(seed, Weather { jitter: ms(100), ..Weather::FAIR });
        for n in 0..500 {
            world.xmpp_writes(ms(n), 1, 1);
        }
        world.run(secs(60));
        let (report, errors) = (world.report(), world.errors());
        assert!(report.delivered >= 64 && report.failed >= 300, "seed {seed}: {report:?}");
        assert_eq!(errors as usize, report.failed, "seed {seed}: <resource-constraint/> for the rest");
        afterwards(world, seed);
    }
}

/// Fault 10: the server does not read for a minute, with and without much to read.
#[test]
fn a_reader_that_stalls() {
    for (seed, size) in SEEDS.zip([1, 20, 60].into_iter().cycle()) {
        let mut world = world(seed, Weather { jitter: ms(20), ..Weather::FAIR });
        traffic(&mut world, size, secs(20));
        world.run(secs(5));
        world.stall(true);
        world.run(secs(60));
        let peaks = world.peaks;
        assert!(peaks.unwritten <= 2 << 20 && peaks.unacknowledged <= 4096, "seed {seed}: {peaks:?}");
        world.stall(false);
        world.run(secs(60));
        assert!(world.is_up(), "seed {seed}: it is up again");
        afterwards(world, seed);
    }
}

/// All of it at once, with many seeds and little time for each.
#[test]
fn a_bad_day() {
    for seed in 100..124 {
        let mut world = world(seed, FOUL);
        traffic(&mut world, 8, secs(60));
        world.run(secs(9));
        world.cut();
        world.run(secs(8));
        world.stall(true);
        world.run(secs(7));
        world.stall(false);
        world.run(secs(6));
        world.sip_gone(true);
        world.run(secs(5));
        world.sip_gone(false);
        world.stall(true);
        world.run(secs(3));
        world.server_dies();
        world.stall(false);
        world.run(secs(9));
        world.server_starts();
        world.weather(Weather { storm: 5, ..FOUL });
        world.run(secs(60));
        afterwards(world, seed);
    }
}

/// One seed is one world.
#[test]
fn it_is_the_same_every_time() {
    let run = |seed| {
        let mut world = world(seed, FOUL);
        traffic(&mut world, 5, secs(10));
        world.run(secs(3));
        world.cut();
        world.run(secs(100));
        (world.report(), world.codes().clone(), world.errors())
    };
    assert_eq!(run(7), run(7));
}
