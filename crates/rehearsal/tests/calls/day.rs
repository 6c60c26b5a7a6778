//! A day of calls in a world: who calls whom and when, who hangs up, and the books of both sides at the end.

use base::{Str, Tokens};
use rehearsal::stub::jingle::{Call, Device, Manners, fingerprint_of};
use rehearsal::world::telephones::{Habits, Talk};
use rehearsal::world::{Weather, World};
use std::time::Duration;
use stox::media;
use xmpp::jid::Jid;

/// How many users there are on each side.
pub const USERS: u64 = 6;
/// The devices that each XMPP user has.
pub const DEVICES: [&str; 2] = ["balcony", "orchard"];

pub fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// What may happen to a call, of a thousand looks at all of them.
#[derive(Debug, Clone, Copy)]
pub struct Mood {
    /// Somebody of the SIP side hangs up, or of the XMPP side.
    pub ends: u64,
    /// Somebody puts a call on hold, or takes it off, or wants video.
    pub changes: u64,
}

/// A world and its day.
pub struct Day {
    pub world: World,
    seed: u64,
    chance: Tokens,
    /// All media go through relays: each has a relay's key, and not the other's.
    relayed: bool,
    /// Calls begun by telephones and by devices, by name: the local part of the Call-ID, the sid.
    pub begun: [Vec<String>; 2],
}

/// How a call is to be told of.
fn name_of(call_id: &str) -> &str {
    call_id.split('@').next().unwrap_or(call_id)
}

impl Day {
    pub fn new(seed: u64, weather: Weather, manners: impl Fn(u64, usize) -> Manners) -> Day {
        Day::with_relays(seed, weather, manners, 0)
    }

    /// A day on which all media go through relays, if there are any.
    pub fn with_relays(seed: u64, weather: Weather, manners: impl Fn(u64, usize) -> Manners, relays: u8) -> Day {
        let relayed = relays > 0;
        let mut world = World::new(seed, 3, weather, |settings| {
            // From end to end: the telephones and the clients of this world understand each other.
            let mode = if relayed { media::relay::Mode::Always } else { media::relay::Mode::Never };
            let relay = media::relay::Options { mode, ..Default::default() };
            settings.config.relay.servers = (0..relays).map(rehearsal::scene::relay).collect();
            settings.config.media = Some(media::Options { relay, ..media::Options::default() });
        });
        world.run(secs(2));
        assert!(world.is_up(), "seed {seed}: the stream comes up");
        for user in 0..USERS {
            for (at, resource) in DEVICES.into_iter().enumerate() {
                world.device(user, resource, manners(user, at));
            }
        }
        world.phone_habits(Habits::default());
        let mut day = Day { world, seed, chance: Tokens::seeded(seed + 1), relayed, begun: [Vec::new(), Vec::new()] };
        day.all_appear();
        day
    }

    /// The SIP users hear of all devices: those that know no XEP-0353 are only found so.
    fn all_appear(&mut self) {
        for (user, resource) in (0..USERS).flat_map(|user| DEVICES.map(|resource| (user, resource))) {
            self.world.with_device(user, resource, |device| {
                let to = (0..USERS).filter_map(|to| Jid::parse(&format!("romeo{to}@example.net")).ok());
                to.for_each(|to| device.appear(&to));
            });
        }
        self.world.run(secs(2));
    }

    /// Somebody calls somebody.
    pub fn call(&mut self) {
        let (sip, xmpp) = (self.chance.below(USERS), self.chance.below(USERS));
        let media: &[&str] = if self.chance.below(3) == 0 { &["audio", "video"] } else { &["audio"] };
        if self.chance.below(2) == 0 {
            let call = self.world.phone_calls(sip, xmpp, media);
            self.begun[0].push(name_of(&call).to_owned());
        } else {
            let resource = DEVICES[self.chance.below(2) as usize];
            let sid = self.world.user_calls(xmpp, resource, sip, media);
            self.begun[1].extend(sid.map(String::from));
        }
    }

    /// So much time goes by in which people call each other every so often, and do what is their mood.
    pub fn passes(&mut self, time: Duration, every: Duration, mood: Mood) {
        let step = Duration::from_millis(100);
        let steps = time.as_millis() / step.as_millis();
        let calls = (every.as_millis() / step.as_millis()).max(1);
        for n in 0..steps {
            if n % calls == 0 {
                self.call();
            }
            self.something_happens(mood);
            self.world.run(step);
        }
    }

    fn something_happens(&mut self, mood: Mood) {
        let lives: Vec<_> = self.world.talks().iter().filter(|(_, t)| !t.is_over()).map(|(c, _)| c.clone()).collect();
        for call in lives {
            let fate = self.chance.below(1000);
            if fate < mood.ends {
                if fate.is_multiple_of(2) {
                    self.world.phone_hangs_up(&call);
                } else {
                    self.user_ends(name_of(&call));
                }
            } else if fate < mood.ends + mood.changes {
                self.changes(&call);
            }
        }
    }

    fn changes(&mut self, call: &str) {
        let sid = name_of(call).to_owned();
        let hold = self.chance.below(2) == 0;
        match self.chance.below(4) {
            0 => self.world.phone_holds(call, hold),
            1 if self.world.talks().get(call).is_some_and(|talk| talk.theirs.line("video").is_none()) => {
                self.world.phone_adds(call, "video");
            }
            _ => {
                let Some(jid) = self.device_in(&sid) else { return };
                let now = self.world.now();
                self.world.with_jid(&jid, |device| device.hold(now, &sid, hold));
            }
        }
    }

    /// The device that is in a call which is not over.
    fn device_in(&self, sid: &str) -> Option<String> {
        let lives = |device: &&Device| device.call(sid).is_some_and(|call| !call.is_over());
        self.world.house().devices().find(lives).map(|device| device.jid().to_string())
    }

    fn user_ends(&mut self, sid: &str) {
        if let Some(jid) = self.device_in(sid) {
            self.world.user_hangs_up(&jid, sid);
        }
    }

    /// All calls of the XMPP users, with their devices.
    pub fn calls(&self) -> Vec<(&Device, &str, &Call)> {
        let devices = self.world.house().devices();
        devices.flat_map(|d| d.calls().iter().map(move |(sid, call)| (d, sid.as_str(), call))).collect()
    }

    /// The telephone's side of a call.
    pub fn talk(&self, sid: &str) -> Option<(&String, &Talk)> {
        self.world.talks().iter().find(|(call, _)| name_of(call) == sid)
    }

    /// The calls that a telephone and a device both have; both sides agree on which they are, and each knows the other's key.
    pub fn standing(&self, when: &str) -> usize {
        let seed = self.seed;
        let mut n = 0;
        for (device, sid, call) in self.calls() {
            let there = self.talk(sid);
            let up = there.is_some_and(|(_, talk)| talk.is_up());
            assert_eq!(call.is_active(), up && call.is_active(), "seed {seed}, {when}: {sid}: {call:?} but {there:?}");
            let Some((call_id, talk)) = there.filter(|_| call.is_active()) else { continue };
            n += 1;
            let theirs = call.stream("audio").and_then(|stream| stream.fingerprint.as_deref());
            let relays = ["0B"; 32].join(":");
            let key = |own: String| if self.relayed { relays.clone() } else { own };
            let expected = key(Talk::fingerprint(talk.user, call_id));
            assert_eq!(theirs, Some(&*expected), "seed {seed}, {when}: {sid}: {call:?}");
            let ours = talk.theirs.line("audio").and_then(|line| line.fingerprint.as_deref());
            let expected = key(fingerprint_of(device.jid(), sid).into());
            assert_eq!(ours, Some(&*expected), "seed {seed}, {when}: {sid}: {talk:?}");
            assert!(call.streams.iter().any(|stream| stream.candidates > 0), "seed {seed}, {when}: {call:?}");
        }
        let up = self.world.talks().iter().filter(|(_, talk)| talk.is_up());
        let alone: Vec<_> =
            up.filter(|(id, _)| !self.calls().iter().any(|(_, s, c)| *s == name_of(id) && c.is_active())).collect();
        assert!(alone.is_empty(), "seed {seed}, {when}: telephones talk to nobody: {}: {alone:?}", alone.len());
        n
    }

    /// How many calls of telephones, and of devices, were answered.
    pub fn answered(&self) -> [usize; 2] {
        let phones = self
            .world
            .talks()
            .values()
            .filter(|talk| talk.ours && talk.code != Some(408) && !talk.theirs.lines.is_empty());
        let users =
            self.calls().into_iter().filter(|(_, _, call)| call.ours && call.streams.iter().any(|s| s.accepted));
        [phones.count(), users.count()]
    }

    /// The bad day is over: within a minute both sides agree, what is new works, and once all have hung up nothing is left.
    pub fn ends(mut self) -> [usize; 2] {
        let seed = self.seed;
        self.world.weather(Weather::FAIR);
        self.world.phone_habits(Habits::default());
        self.world.run(secs(100));
        let stood = self.standing("afterwards");
        let answered = self.answered();
        println!("seed {seed}: begun {:?}, answered {answered:?}, {stood} stand", self.begun.each_ref().map(Vec::len));
        self.all_appear();
        let names: Vec<_> = (0..USERS).map(|user| self.world.phone_calls(user, user, &["audio"])).collect();
        let sids: Vec<_> = (0..USERS)
            .filter_map(|user| self.world.user_calls(user, DEVICES[0], (user + 1) % USERS, &["audio"]))
            .collect();
        self.world.run(secs(30));
        let anew = self.standing("anew");
        for name in names.iter().map(|call| name_of(call)).chain(sids.iter().map(Str::as_str)) {
            assert!(
                self.talk(name).is_some_and(|(_, talk)| talk.is_up()),
                "seed {seed}: what is new works: {name} {:?}",
                self.talk(name)
            );
        }
        assert!(anew >= stood.min(1) + names.len());
        let ups: Vec<_> = self.world.talks().iter().filter(|(_, t)| t.is_up()).map(|(c, _)| c.clone()).collect();
        for call in ups {
            if self.chance.below(2) == 0 {
                self.world.phone_hangs_up(&call);
            } else {
                self.user_ends(name_of(&call));
            }
        }
        self.world.run(secs(200));
        assert_eq!(self.standing("at last"), 0, "seed {seed}");
        let calls = self.calls();
        let left = calls.iter().find(|(.., call)| !call.is_over());
        let left = left.map(|(device, sid, call)| (device.jid(), sid, call, self.talk(sid)));
        assert!(left.is_none(), "seed {seed}: a device still has a call: {left:?}");
        let left: Vec<_> = self.world.talks().iter().filter(|(_, talk)| !talk.is_over()).collect();
        assert!(left.is_empty(), "seed {seed}: a telephone still has a call: {left:?}");
        assert_eq!(self.world.calls_left(), [0; 4], "seed {seed}: nothing is left");
        let [under_way, clients, servers, _, stanzas] = self.world.kept();
        assert_eq!([under_way, clients, servers, stanzas], [0; 4], "seed {seed}: nothing is kept");
        for relay in 0..2 {
            let relay = self.world.relay(rehearsal::scene::relay(relay));
            let left: Vec<_> = relay.calls().collect();
            assert!(left.is_empty(), "seed {seed}: a relay still has calls: {:?}", relay.asked_of(&left[0]));
        }
        answered
    }
}
