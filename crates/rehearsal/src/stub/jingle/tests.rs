//! Two devices call each other without anybody between them.

use super::*;
use base::{Time, Tokens};

const ROMEO: &str = "romeo@example.net/orchard";
const JULIET: &str = "juliet@example.com/balcony";

fn house(romeo: Manners, juliet: &[(&str, Manners)]) -> House {
    let mut house = House::default();
    let device = |jid: &str, manners: Manners| {
        Device::new(Jid::parse(jid).expect("an address"), manners, Tokens::seeded(jid.len() as u64))
    };
    house.switch_on(device(ROMEO, romeo));
    juliet.iter().for_each(|(jid, manners)| house.switch_on(device(jid, manners.clone())));
    house
}

fn run(house: &mut House, now: &mut Time, time: Duration) {
    let end = *now + time;
    loop {
        while let Some(stanza) = house.poll() {
            house.received(*now, &stanza);
        }
        match house.deadline().filter(|at| *at <= end) {
            Some(at) => {
                *now = at.max(*now);
                house.timeout(*now);
            }
            None => break,
        }
    }
    *now = end;
}

/// Romeo calls, and this is what becomes of it after a while.
fn called(house: &mut House, now: &mut Time, media: &[&str], to: &str) -> Str {
    let to = Jid::parse(to).expect("an address");
    let sid = house.with(ROMEO, |romeo| romeo.dial(*now, &to, media)).expect("a phone");
    run(house, now, Duration::from_secs(10));
    sid
}

fn states(house: &House, sid: &str) -> Vec<Option<State>> {
    house.devices().map(|device| device.call(sid).map(|call| call.state)).collect()
}

#[test]
fn a_call_by_proposal_and_one_without() {
    for jmi in [true, false] {
        for trickle in [None, Some(Duration::from_millis(100))] {
            let manners = Manners { jmi, trickle, ..Manners::default() };
            let (mut house, mut now) = (house(manners.clone(), &[(JULIET, manners)]), Time::ZERO);
            let sid = called(&mut house, &mut now, &["audio", "video"], JULIET);
            for (who, other) in [(ROMEO, JULIET), (JULIET, ROMEO)] {
                let call = house.device(who).and_then(|device| device.call(&sid)).expect("a call");
                assert!(call.is_active(), "{who} {call:?}");
                let other = Jid::parse(other).expect("an address");
                for media in ["audio", "video"] {
                    let stream = call.stream(media).expect("a stream");
                    assert_eq!(stream.fingerprint, Some(fingerprint_of(&other, &sid)));
                    assert_eq!(stream.candidates, usize::from(media::CANDIDATES));
                }
            }
            house.with(JULIET, |juliet| juliet.hang_up(now, &sid, Condition::Success));
            run(&mut house, &mut now, Duration::from_secs(1));
            assert_eq!(states(&house, &sid), [Some(State::Ended); 2]);
        }
    }
}

#[test]
fn the_first_device_wins() {
    let slow = Manners { rings_for: Duration::from_secs(5), ..Manners::default() };
    let both = [("juliet@example.com/a", slow), ("juliet@example.com/b", Manners::default())];
    let (mut house, mut now) = (house(Manners::default(), &both), Time::ZERO);
    let sid = called(&mut house, &mut now, &["audio"], JULIET);
    assert_eq!(states(&house, &sid), [Some(State::Ended), Some(State::Active), Some(State::Active)]);
}

#[test]
fn who_does_not_answer() {
    for (answer, after, why) in [
        (Answer::Refuse(Condition::Busy), 10, Some(Condition::Busy)),
        (Answer::Ring, 100, Some(Condition::Cancel)),
        (Answer::Nothing, 100, Some(Condition::Cancel)),
    ] {
        let juliet = Manners { answer, ..Manners::default() };
        let (mut house, mut now) = (house(Manners::default(), &[(JULIET, juliet)]), Time::ZERO);
        let sid = called(&mut house, &mut now, &["audio"], JULIET);
        run(&mut house, &mut now, Duration::from_secs(after));
        let call = house.device(ROMEO).and_then(|device| device.call(&sid)).expect("a call");
        assert_eq!((call.state, call.why), (State::Ended, why));
        assert!(house.devices().all(|device| device.calls().values().all(Call::is_over)));
    }
}

#[test]
fn what_changes_in_a_call() {
    let (mut house, mut now) = (house(Manners::default(), &[(JULIET, Manners::default())]), Time::ZERO);
    let sid = called(&mut house, &mut now, &["audio"], JULIET);
    house.with(JULIET, |juliet| juliet.add(now, &sid, "video"));
    house.with(ROMEO, |romeo| {
        romeo.hold(now, &sid, true);
        romeo.press(now, &sid, '7');
        romeo.modify(now, &sid, "audio", Senders::Initiator);
    });
    run(&mut house, &mut now, Duration::from_secs(1));
    for who in [ROMEO, JULIET] {
        let call = house.device(who).and_then(|device| device.call(&sid)).expect("a call");
        assert!(call.stream("video").is_some());
        assert_eq!(call.stream("audio").map(|s| s.senders), Some(Senders::Initiator));
        assert_eq!((call.held, call.told.len()), if who == JULIET { (true, 2) } else { (false, 0) });
    }
    house.with(ROMEO, |romeo| romeo.hold(now, &sid, false));
    run(&mut house, &mut now, Duration::from_secs(1));
    assert!(house.devices().all(|device| device.call(&sid).is_some_and(|call| !call.held)));
    // One that is gone is found to be gone by whoever asks.
    house.switch_off(JULIET);
    house.with(ROMEO, |romeo| romeo.ping(now, &sid));
    run(&mut house, &mut now, Duration::from_secs(1));
    assert_eq!(house.device(ROMEO).and_then(|device| device.call(&sid)).map(|call| call.refusals), Some(1));
}
