//! Many users on both sides, in sessions, through a bad day: each message arrives once or its sender is told, and in the end both sides agree
//! that no session is left.

use rehearsal::world::{Report, Weather, World};
use std::time::Duration;
use stox::config::Mode;

const SEEDS: std::ops::Range<u64> = 0..6;
const FOUL: Weather = Weather { lost: 150, doubled: 150, jitter: Duration::from_millis(300), storm: 1 };

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn world(seed: u64, weather: Weather, mode: Mode) -> World {
    let mut world = World::new(seed, 3, weather, |settings| {
        settings.config.links[0].chat = mode;
        // Who refuses sessions gets no long messages: that is to be over when the day is.
        settings.config.chat.remember = secs(60);
    });
    world.run(secs(2));
    assert!(world.is_up(), "seed {seed}: the stream comes up");
    world
}

/// Ten users of each side write to each other, `each` messages each, spread over `time`.
fn traffic(world: &mut World, each: u64, time: Duration) {
    for n in 0..each {
        for user in 0..10 {
            let at = time.mul_f64((n * 10 + user) as f64 / (each * 10) as f64);
            world.sip_chats(at, user, (user * 7 + n % 3) % 10);
            world.xmpp_chats(at, user, (user * 3 + n % 3) % 10);
        }
    }
}

/// The bad day is over: the books are right, no session is left after a while, and everything works again.
fn afterwards(mut world: World, seed: u64) -> Report {
    world.weather(Weather::FAIR);
    world.line_refusals = 0;
    world.refuse_sessions(0);
    world.run(secs(120));
    let before = world.report();
    println!("seed {seed}: {before:?}, opened {:?}", world.sessions_opened());
    assert_eq!(before.wrong, [], "seed {seed}: {before:?}");
    traffic(&mut world, 2, secs(5));
    world.run(secs(100));
    let after = world.report();
    assert_eq!(after.wrong, [], "seed {seed}: {after:?}");
    assert_eq!(after.delivered, before.delivered + 40, "seed {seed}: what is written afterwards arrives");
    // Ten minutes of silence end a session; then nobody has anything of it.
    world.run(secs(800));
    assert_eq!(world.sessions(), [0; 4], "seed {seed}: no session is left");
    assert_eq!(world.open_lines(), 0, "seed {seed}: nor a connection");
    let [under_way, clients, servers, _, stanzas] = world.kept();
    assert_eq!([under_way, clients, servers, stanzas], [0; 4], "seed {seed}: nothing is kept");
    before
}

#[test]
fn a_fair_day() {
    for seed in SEEDS {
        let mut world = world(seed, Weather::FAIR, Mode::Session);
        traffic(&mut world, 20, secs(60));
        let report = afterwards(world, seed);
        assert_eq!((report.written, report.delivered), (400, 400), "seed {seed}: {report:?}");
    }
}

#[test]
fn loss_doubles_and_disorder() {
    for seed in SEEDS {
        let mut world = world(seed, FOUL, Mode::Session);
        traffic(&mut world, 20, secs(120));
        world.run(secs(200));
        let report = afterwards(world, seed);
        assert!(report.delivered >= 380, "seed {seed}: {report:?}");
    }
}

#[test]
fn connections_break() {
    for seed in SEEDS {
        let mut world = world(seed, Weather { jitter: Duration::from_millis(50), ..Weather::FAIR }, Mode::Session);
        world.line_refusals = 100;
        traffic(&mut world, 20, secs(30));
        for _ in 0..120 {
            world.run(Duration::from_millis(251));
            world.break_a_line();
        }
        let report = afterwards(world, seed);
        assert!(report.failed > 0 && report.delivered >= 200, "seed {seed}: {report:?}");
    }
}

#[test]
fn sessions_are_refused_and_ended() {
    for seed in SEEDS {
        let mut world = world(seed, Weather { lost: 50, ..Weather::FAIR }, Mode::Auto);
        world.refuse_sessions(300);
        traffic(&mut world, 20, secs(60));
        for _ in 0..100 {
            world.run(Duration::from_millis(600));
            world.hang_up_one();
        }
        let report = afterwards(world, seed);
        assert!(report.delivered >= 200, "seed {seed}: {report:?}");
    }
}

/// Users leave while others write to them, and some write to nobody.
#[test]
fn people_come_and_go() {
    for seed in SEEDS {
        let mut world =
            world(seed, Weather { lost: 50, jitter: Duration::from_millis(50), ..Weather::FAIR }, Mode::Session);
        traffic(&mut world, 20, secs(60));
        for n in 0..200 {
            world.run(Duration::from_millis(300));
            world.xmpp_leaves(n % 10, (n % 10 * 3 + n / 10 % 3) % 10);
            if n % 20 == 0 {
                world.sip_chats_to_nobody(Duration::ZERO, n / 20);
            }
        }
        let report = afterwards(world, seed);
        assert!(report.delivered >= 380 && report.failed >= 10, "seed {seed}: {report:?}");
    }
}

#[test]
fn the_xmpp_server_restarts() {
    for seed in SEEDS {
        let mut world = world(seed, Weather { lost: 50, doubled: 50, ..Weather::FAIR }, Mode::Session);
        traffic(&mut world, 20, secs(60));
        for _ in 0..2 {
            world.run(secs(9));
            world.stall(true);
            world.run(secs(1));
            world.server_dies();
            world.stall(false);
            world.run(secs(5));
            world.server_starts();
            world.run(secs(10));
            world.cut();
        }
        world.run(secs(30));
        assert!(world.is_up(), "seed {seed}: back within 30 s");
        afterwards(world, seed);
    }
}

#[test]
fn the_gateway_is_killed() {
    for seed in SEEDS {
        let mut world = world(seed, Weather { lost: 50, ..Weather::FAIR }, Mode::Session);
        traffic(&mut world, 20, secs(60));
        for _ in 0..3 {
            world.run(secs(15));
            world.gateway_dies();
            world.run(secs(5));
            assert!(world.is_up(), "seed {seed}: the stream is back");
        }
        let report = afterwards(world, seed);
        assert!(report.doomed < 20 && report.delivered > 250, "seed {seed}: {report:?}");
    }
}

#[test]
fn everything_at_once() {
    for seed in SEEDS {
        let mut world = world(seed, FOUL, Mode::Auto);
        world.refuse_sessions(100);
        world.line_refusals = 50;
        traffic(&mut world, 30, secs(120));
        for n in 0..120 {
            world.run(Duration::from_millis(1000));
            match n % 40 {
                5 | 15 | 25 => world.break_a_line(),
                10 | 20 => world.hang_up_one(),
                30 => world.cut(),
                35 => world.gateway_dies(),
                _ => world.xmpp_leaves(n % 10, n * 3 % 10),
            }
        }
        world.run(secs(100));
        afterwards(world, seed);
    }
}
