//! Many SIP users, participants of RFC 7701 with a bad network, and XMPP users in the rooms of one service, with a gateway of three shards between
//! them. When the day is over everybody sees what the rooms are like, and nobody has heard anything twice.

use crate::guest::Guest;
use rehearsal::stub::muc::{self, Service};
use rehearsal::world::{Weather, World};
use std::collections::BTreeSet;
use std::time::Duration;

const SEEDS: std::ops::Range<u64> = 0..2;
const FOUL: Weather = Weather { lost: 150, doubled: 150, jitter: Duration::from_millis(300), storm: 1 };
const ROOMS: [&str; 3] = ["den", "hall", "garden"];
/// How many users of each kind there are.
const USERS: u64 = 8;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Each user of either kind wants to be in two of the three rooms.
fn wants(user: u64) -> impl Iterator<Item = &'static str> {
    (0..3).filter(move |n| user % 3 != *n).map(|n| ROOMS[n as usize])
}

fn address(room: &str) -> String {
    format!("{room}@muc.example.com")
}

struct Town {
    world: World,
    guests: Vec<Guest>,
    said: Vec<(String, u64, &'static str)>,
    seed: u64,
}

impl Town {
    fn new(seed: u64) -> Town {
        let mut world = World::new(seed, 3, Weather::FAIR, |settings| {
            settings.set("muc_domains", "muc.example.com").unwrap();
            settings.set("chat", "session").unwrap();
            settings.config.epoch = muc::EPOCH as u64;
        });
        let mut service = Service::new("muc.example.com", seed);
        for room in ROOMS {
            service.make(room, muc::Settings { history: 100_000, ..muc::Settings::default() });
        }
        world.open_rooms(service);
        world.run(secs(2));
        let guests = (0..USERS).flat_map(|user| {
            wants(user).map(move |room| Guest::new(&format!("juliet{user}@example.com/x"), &address(room)))
        });
        let mut town = Town { world, guests: guests.collect(), said: Vec::new(), seed };
        town.all_come();
        town.run(secs(60));
        town.see();
        town
    }

    fn run(&mut self, time: Duration) {
        self.world.run(time);
        for stanza in self.world.users_got() {
            let room = stanza.from.as_ref().map(xmpp::jid::Jid::bare);
            let answers: Vec<_> = self
                .guests
                .iter_mut()
                .filter(|guest| stanza.to.as_ref() == Some(&guest.user) && room.as_ref() == Some(&guest.room))
                .filter_map(|guest| guest.take(&stanza))
                .collect();
            answers.into_iter().for_each(|answer| self.world.user_sends(answer));
        }
    }

    /// Whoever is out comes in.
    fn all_come(&mut self) {
        for guest in self.guests.iter_mut().filter(|guest| !guest.inside && !guest.asking) {
            let nick = format!("J{}", guest.user.local().unwrap());
            self.world.user_sends(guest.join(&nick));
        }
        for user in 0..USERS {
            for room in wants(user) {
                if self.world.member(user, &address(room)).is_none() {
                    self.world.member_enters(user, &address(room), &format!("R{user}"));
                }
            }
        }
        self.run(secs(1));
    }

    fn goes_on(&mut self, seconds: u64, mut trouble: impl FnMut(&mut World, u64)) {
        for second in 0..seconds {
            let user = second % USERS;
            let room = wants(user).nth((second / USERS % 2) as usize).unwrap();
            let words = format!("words {second}");
            if self.world.member_says(user, &address(room), &words) {
                self.said.push((words, user, room));
            }
            let n = self.guests.len();
            let guest = &mut self.guests[second as usize % n];
            if guest.inside {
                let stanza = guest.say(&format!("stanza {second}"));
                self.world.user_sends(stanza);
            }
            trouble(&mut self.world, second);
            self.run(secs(1));
            if second % 7 == 6 {
                self.all_come();
            }
        }
    }

    /// Everybody sees what the rooms are like.
    fn see(&mut self) {
        let seed = self.seed;
        for room in ROOMS {
            let people = self.world.rooms().unwrap().people(room);
            let names: Vec<String> = people.iter().map(|person| person.nick.to_string()).collect();
            assert!(people.iter().all(|person| person.sessions.len() == 1), "seed {seed}: each once: {people:?}");
            let wanted = (0..USERS).filter(|user| wants(*user).any(|wanted| wanted == room)).count();
            assert_eq!(names.len(), 2 * wanted, "seed {seed}: {room}: {names:?}");
            for guest in self.guests.iter().filter(|guest| guest.room.to_string() == address(room)) {
                assert!(guest.inside && guest.people.keys().eq(names.iter()), "seed {seed}: {} in {room}", guest.user);
                assert_eq!(guest.faults, [""; 0]);
            }
            for user in (0..USERS).filter(|user| wants(*user).any(|wanted| wanted == room)) {
                let member = self.world.member(user, &address(room)).unwrap();
                assert!(member.inside, "seed {seed}: romeo{user} in {room}: {:?}", member.refused);
                assert_eq!(member.roster.names(), names, "seed {seed}: romeo{user} in {room}");
            }
        }
    }

    fn ends(mut self) {
        self.world.weather(Weather::FAIR);
        self.run(secs(700));
        for _ in 0..4 {
            self.all_come();
            self.run(secs(70));
        }
        self.see();
        let seed = self.seed;
        for member in self.world.members() {
            let once: BTreeSet<&String> = member.heard.iter().collect();
            assert_eq!(
                once.len(),
                member.heard.len(),
                "seed {seed}: romeo{} has heard twice: {:?}",
                member.user,
                member.heard
            );
        }
        let accepted: BTreeSet<String> = self.world.members().flat_map(|member| member.accepted.clone()).collect();
        let failed: BTreeSet<String> = self.world.members().flat_map(|member| member.failed.clone()).collect();
        for (words, user, room) in &self.said {
            let times = self.world.rooms().unwrap().said(room).iter().filter(|(_, said)| said == words).count();
            assert!(times <= 1, "seed {seed}: {words} was said twice");
            assert!(!accepted.contains(words) || times == 1, "seed {seed}: {words} of romeo{user} was promised");
            assert!(
                accepted.contains(words) != failed.contains(words),
                "seed {seed}: {words} of romeo{user} has one answer"
            );
        }
        println!("seed {seed}: {} said, {} accepted, {} failed", self.said.len(), accepted.len(), failed.len());
        for user in 0..USERS {
            wants(user).for_each(|room| self.world.member_leaves(user, &address(room)));
        }
        self.run(secs(100));
        assert_eq!(self.world.seats(), [0; 4], "seed {seed}: nothing is left");
        assert_eq!(self.world.open_lines(), 0, "seed {seed}");
        for room in ROOMS {
            let people = self.world.rooms().unwrap().people(room);
            assert!(people.iter().all(|person| person.nick.starts_with('J')), "seed {seed}: ghosts: {people:?}");
        }
    }
}

#[test]
fn a_fair_day() {
    for seed in SEEDS {
        let mut town = Town::new(seed);
        town.goes_on(60, |_, _| ());
        town.ends();
    }
}

#[test]
fn a_bad_network() {
    for seed in SEEDS {
        let mut town = Town::new(seed);
        town.world.weather(FOUL);
        town.goes_on(100, |_, _| ());
        town.ends();
    }
}

#[test]
fn connections_and_streams_break() {
    for seed in SEEDS {
        let mut town = Town::new(seed);
        town.goes_on(150, |world, second| match second % 30 {
            5 | 15 => world.break_a_line(),
            20 => world.cut(),
            _ => {}
        });
        town.ends();
    }
}

#[test]
fn the_gateway_is_killed() {
    for seed in SEEDS {
        let mut town = Town::new(seed);
        town.goes_on(120, |world, second| {
            if second % 40 == 20 {
                world.gateway_dies();
            }
        });
        town.ends();
    }
}
