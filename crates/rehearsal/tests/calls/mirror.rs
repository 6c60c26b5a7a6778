//! Two gateways back to back: what one Jingle client says of a call the other one hears, though there is SIP between them.

use crate::day::secs;
use crate::facing::Mirror;
use base::{Str, Tokens};
use proptest::prelude::*;
use rehearsal::stub::jingle::{Answer, Call, Device, House, Manners, State, fingerprint_of};
use std::time::Duration;
use xmpp::ext::dtmf::Dtmf;
use xmpp::ext::jingle::{Condition, Info, Senders};
use xmpp::jid::Jid;

/// The users of the two sides, and as whom each calls the other: what is SIP between them is XMPP at both ends.
const USERS: [&str; 2] = ["juliet@a.example/balcony", "romeo@b.example/orchard"];

/// Two clients and all that is between them.
struct Line {
    mirror: Mirror,
    houses: [House; 2],
}

impl Line {
    fn new(manners: [Manners; 2]) -> Line {
        let mut houses = [House::default(), House::default()];
        for (side, manners) in manners.into_iter().enumerate() {
            let device = Device::new(Jid::parse(USERS[side]).unwrap(), manners, Tokens::seeded(side as u64));
            houses[side].switch_on(device);
        }
        let mut line = Line { mirror: Mirror::of_calls(), houses };
        for side in [0, 1] {
            let other = Jid::parse(USERS[1 - side]).unwrap().bare();
            line.with(side, |device, _| device.appear(&other));
        }
        line.run(secs(2));
        line
    }

    /// Time goes by, ten milliseconds at a time.
    fn run(&mut self, time: Duration) {
        let end = self.mirror.now() + time;
        while self.mirror.now() < end {
            for side in [0, 1] {
                self.houses[side].timeout(self.mirror.now());
                for stanza in std::mem::take(&mut self.mirror.stanzas[side]) {
                    self.houses[side].received(self.mirror.now(), &stanza);
                }
                while let Some(stanza) = self.houses[side].poll() {
                    self.mirror.stanza_only(side, stanza);
                }
            }
            self.mirror.run(Duration::from_millis(10));
        }
    }

    fn with<T>(&mut self, side: usize, act: impl FnOnce(&mut Device, base::Time) -> T) -> T {
        let now = self.mirror.now();
        self.houses[side].with(USERS[side], |device| act(device, now)).unwrap()
    }

    /// The first side calls the other one, and the other one's call is the one that it has not had before.
    fn dial(&mut self, media: &[&str]) -> [Str; 2] {
        let to = Jid::parse(USERS[1]).unwrap().bare();
        let before: Vec<_> = self.houses[1].device(USERS[1]).unwrap().calls().keys().cloned().collect();
        let ours = self.with(0, |device, now| device.dial(now, &to, media));
        self.run(secs(1));
        let calls = self.houses[1].device(USERS[1]).unwrap().calls();
        let theirs = calls.keys().find(|sid| !before.contains(sid)).cloned().unwrap_or_default();
        [ours, theirs]
    }

    fn call(&self, side: usize, sids: &[Str; 2]) -> &Call {
        self.houses[side].device(USERS[side]).unwrap().call(&sids[side]).unwrap()
    }

    fn states(&self, sids: &[Str; 2]) -> [State; 2] {
        [self.call(0, sids).state, self.call(1, sids).state]
    }

    /// A call that both talk in.
    fn talk(&mut self, media: &[&str]) -> [Str; 2] {
        let sids = self.dial(media);
        self.run(secs(9));
        assert_eq!(self.states(&sids), [State::Active; 2], "{:?}", self.call(0, &sids));
        sids
    }
}

fn all_manners() -> Vec<[Manners; 2]> {
    let manners = |jmi, trickle: bool| Manners {
        jmi,
        trickle: trickle.then(|| Duration::from_millis(100)),
        ..Manners::default()
    };
    let mut all = Vec::new();
    for bits in 0..16 {
        let bit = |n: u8| bits >> n & 1 == 1;
        all.push([manners(bit(0), bit(1)), manners(bit(2), bit(3))]);
    }
    all
}

#[test]
fn keys_and_candidates_come_through() {
    for manners in all_manners() {
        let mut line = Line::new(manners.clone());
        let sids = line.talk(&["audio", "video"]);
        assert_eq!(line.mirror.calls(), [1, 1]);
        for side in [0, 1] {
            let call = line.call(side, &sids);
            let other = Jid::parse(USERS[1 - side]).unwrap();
            let print = fingerprint_of(&other, &sids[1 - side]);
            for media in ["audio", "video"] {
                let stream = call.stream(media).unwrap_or_else(|| panic!("{manners:?}: {media} in {call:?}"));
                assert_eq!(stream.fingerprint.as_ref(), Some(&print), "{manners:?}");
                assert!(stream.candidates > 0, "{manners:?}: {call:?}");
            }
        }
        line.with(1, |device, now| device.hang_up(now, &sids[1], Condition::Success));
        line.run(secs(1));
        assert_eq!(line.states(&sids), [State::Ended; 2]);
        assert_eq!(line.call(0, &sids).why, Some(Condition::Success), "{manners:?}");
        line.run(secs(60));
        assert_eq!(line.mirror.calls(), [0, 0], "{manners:?}");
    }
}

#[test]
fn reasons_come_through() {
    for jmi in [true, false] {
        for (why, heard) in [(Condition::Busy, Condition::Busy), (Condition::Decline, Condition::Decline)] {
            let answer = Answer::Refuse(why);
            let manners = Manners { jmi, answer, ..Manners::default() };
            let mut line = Line::new([manners.clone(), manners]);
            let sids = line.dial(&["audio"]);
            line.run(secs(10));
            assert_eq!((line.states(&sids), line.call(0, &sids).why), ([State::Ended; 2], Some(heard)), "jmi {jmi}");
        }
        // Whoever calls gives up.
        let silent = Manners { jmi, answer: Answer::Ring, ..Manners::default() };
        let mut line = Line::new([silent.clone(), silent]);
        let sids = line.dial(&["audio"]);
        line.run(secs(5));
        assert!(line.call(0, &sids).rings, "the other one rings");
        line.with(0, |device, now| device.hang_up(now, &sids[0], Condition::Cancel));
        line.run(secs(1));
        assert_eq!(line.states(&sids), [State::Ended; 2]);
        line.run(secs(60));
        assert_eq!(line.mirror.calls(), [0, 0]);
    }
}

#[test]
fn hold_and_directions() {
    let mut line = Line::new([Manners::default(), Manners::default()]);
    let sids = line.talk(&["audio"]);
    for (side, hold) in [(0, true), (0, false), (1, true), (1, false)] {
        line.with(side, |device, now| device.hold(now, &sids[side], hold));
        line.run(secs(5));
        let call = line.call(1 - side, &sids);
        // Hold is told as such, or by who still sends.
        let sends = call.stream("audio").map(|stream| stream.senders);
        let quiet = call.held || sends != Some(Senders::Both);
        assert_eq!(quiet, hold, "side {side}: {call:?}");
    }
    assert_eq!(line.states(&sids), [State::Active; 2]);
}

#[test]
fn video_is_added() {
    for side in [0, 1] {
        let mut line = Line::new([Manners::default(), Manners::default()]);
        let sids = line.talk(&["audio"]);
        line.with(side, |device, now| device.add(now, &sids[side], "video"));
        line.run(secs(10));
        for who in [0, 1] {
            let call = line.call(who, &sids);
            assert!(call.stream("video").is_some(), "side {side} adds, {who} has {call:?}");
        }
        // Whoever has no camera says so, and the call goes on.
        let blind = Manners { video: false, ..Manners::default() };
        let mut manners = [Manners::default(), Manners::default()];
        manners[1 - side] = blind;
        let mut line = Line::new(manners);
        let sids = line.talk(&["audio"]);
        line.with(side, |device, now| device.add(now, &sids[side], "video"));
        line.run(secs(15));
        assert_eq!(line.states(&sids), [State::Active; 2]);
        assert!([0, 1].iter().all(|who| line.call(*who, &sids).stream("video").is_none()), "side {side}");
    }
}

#[test]
fn tones_come_through() {
    let mut line = Line::new([Manners::default(), Manners::default()]);
    let sids = line.talk(&["audio"]);
    for side in [0, 1] {
        for key in "0159#*D".chars() {
            line.with(side, |device, now| device.press(now, &sids[side], key));
            line.run(secs(1));
            let told = &line.call(1 - side, &sids).told;
            let codes: Vec<_> = told
                .iter()
                .filter_map(|info| match info {
                    Info::Other(e) => Dtmf::parse(e).ok(),
                    _ => None,
                })
                .map(|tone| tone.code)
                .collect();
            assert_eq!(codes.last(), Some(&key), "side {side}: {told:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the two do and when, in the end both know whether they talk, and then nothing is left.
    #[test]
    fn any_two_agree_in_the_end(
        manners in prop::sample::select(all_manners()),
        does in prop::collection::vec((0..2usize, 0..8u8, 0..4000u64), 0..12),
    ) {
        let mut line = Line::new(manners);
        let mut sids = line.dial(&["audio"]);
        for (side, what, pause) in does {
            let sid = sids[side].clone();
            line.with(side, |device, now| {
                let active = device.call(&sid).is_some_and(Call::is_active);
                match what {
                    0 => drop(device.hang_up(now, &sid, Condition::Success)),
                    1 | 2 if active => device.hold(now, &sid, what == 1),
                    3 if active => device.add(now, &sid, "video"),
                    4 if active => device.modify(now, &sid, "audio", Senders::Initiator),
                    5 if active => device.modify(now, &sid, "audio", Senders::Both),
                    6 if active => device.press(now, &sid, '5'),
                    _ => {}
                }
            });
            line.run(Duration::from_millis(pause));
            if sids[1].is_empty() {
                let calls = line.houses[1].device(USERS[1]).unwrap().calls();
                sids[1] = calls.keys().next().cloned().unwrap_or_default();
            }
        }
        line.run(secs(60));
        let of = |side: usize| line.houses[side].device(USERS[side]).unwrap().call(&sids[side]).map(|call| call.state);
        let [a, b] = [of(0), of(1)];
        let talks = a == Some(State::Active);
        prop_assert!(matches!(a, Some(State::Active | State::Ended)), "{a:?}");
        prop_assert!(b.is_none() || matches!(b, Some(State::Active | State::Ended)), "{b:?}");
        prop_assert_eq!(talks, b == Some(State::Active), "{:?} {:?}", a, b);
        prop_assert_eq!(line.mirror.calls(), [usize::from(talks); 2]);
        if talks {
            let sid = sids[0].clone();
            line.with(0, |device, now| device.hang_up(now, &sid, Condition::Success));
            line.run(secs(60));
            prop_assert_eq!(line.states(&sids), [State::Ended; 2]);
            prop_assert_eq!(line.mirror.calls(), [0, 0]);
        }
    }
}
