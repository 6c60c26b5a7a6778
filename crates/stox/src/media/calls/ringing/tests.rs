//! Calls that ring, in all the ways that they end.

use super::*;
use crate::whereabouts::Device as Known;
use proptest::prelude::*;
use xmpp::error;
use xmpp::ext::jingle::{Action as Does, Reason};

const T: Time = Time::from_secs(1_000);

fn jid(resource: &str) -> Jid {
    Jid::parse(&format!("juliet@example.com/{resource}")).unwrap()
}

fn able(jmi: bool) -> Abilities {
    Abilities { calls: true, audio: true, jmi, ice: true, dtls: true, ..Abilities::default() }
}

fn known(devices: &[(&str, Option<Abilities>)]) -> Vec<Known> {
    // Those whose names begin with the same letter are equally good.
    let rank = |resource: &str| devices.iter().take_while(|(other, _)| other[..1] != resource[..1]).count();
    devices.iter().map(|(name, abilities)| Known { jid: jid(name), abilities: *abilities, rank: rank(name) }).collect()
}

fn ringing(devices: &[(&str, Option<Abilities>)]) -> Ringing {
    let wants = Wants { audio: true, video: false };
    Ringing::new(T, "sid-5", wants, known(devices), Patience::default())
}

fn after(seconds: u64) -> Time {
    T + Duration::from_secs(seconds)
}

/// What it wants, in short.
fn wants(ringing: &mut Ringing) -> Vec<String> {
    std::iter::from_fn(|| ringing.poll()).map(|action| short(&action)).collect()
}

fn short(action: &Action) -> String {
    let resource = |jid: &Jid| jid.resource().unwrap().to_owned();
    match action {
        Action::Propose => "propose".into(),
        Action::Ask(device) => format!("ask {}", resource(device)),
        Action::Initiate(device) => format!("initiate {}", resource(device)),
        Action::Ring => "ring".into(),
        Action::Answered { device, early, .. } => format!("answered {} {}", resource(device), early.len()),
        Action::Retract { device: None, why } => format!("retract all {why:?}"),
        Action::Retract { device: Some(device), why } => format!("retract {} {why:?}", resource(device)),
        Action::Terminate { device, why } => format!("terminate {} {why:?}", resource(device)),
        Action::Finish { device, why } => format!("finish {} {why:?}", resource(device)),
        Action::Failed(failure) => match failure {
            Failure::Said(Some(reason)) => format!("failed: {}", reason.condition),
            Failure::Said(None) => "failed: declined".into(),
            Failure::Bounced(error) | Failure::Refused(error) => format!("failed: error {}", error.condition),
            Failure::Lost => "failed: lost".into(),
            Failure::Silent => "failed: silent".into(),
            Failure::Glare => "failed: glare".into(),
        },
    }
}

fn jmi(ringing: &mut Ringing, from: &str, said: &Jmi) -> Vec<String> {
    ringing.hear(T, Event::Jmi { from: &jid(from), said });
    wants(ringing)
}

fn rings() -> Jmi {
    Jmi::Ringing { id: "sid-5".into() }
}

fn proceed() -> Jmi {
    Jmi::Proceed { id: "sid-5".into() }
}

fn reject(reason: Option<Condition>, tie_break: bool) -> Jmi {
    Jmi::Reject { id: "sid-5".into(), reason: reason.map(Reason::new), tie_break }
}

fn said(ringing: &mut Ringing, from: &str, jingle: Jingle) -> Vec<String> {
    ringing.hear(T, Event::Jingle { device: &jid(from), jingle: Box::new(jingle) });
    wants(ringing)
}

fn does(action: Does) -> Jingle {
    Jingle::new(action, "sid-5")
}

fn ends(condition: Condition) -> Jingle {
    Jingle::terminate("sid-5", Reason::new(condition))
}

fn refused(ringing: &mut Ringing, device: &str) -> Vec<String> {
    let error = StanzaError::new(error::Condition::ServiceUnavailable);
    ringing.hear(T, Event::Refused { device: &jid(device), error });
    wants(ringing)
}

fn bounced(ringing: &mut Ringing) -> Vec<String> {
    ringing.hear(T, Event::Bounced(StanzaError::new(error::Condition::ItemNotFound)));
    wants(ringing)
}

#[test]
fn two_devices_ring_and_the_first_to_answer_has_the_call() {
    let mut r = ringing(&[]);
    assert_eq!(wants(&mut r), ["propose"]);
    assert_eq!(jmi(&mut r, "phone", &rings()), ["ring"]);
    assert_eq!(jmi(&mut r, "pad", &rings()), [""; 0], "it rings, and that is told once");
    assert_eq!(jmi(&mut r, "pad", &proceed()), ["initiate pad"]);
    assert_eq!(jmi(&mut r, "pad", &proceed()), [""; 0]);
    assert_eq!(jmi(&mut r, "phone", &proceed()), ["retract phone Elsewhere"]);
    r.hear(T, Event::Took(&jid("pad")));
    assert_eq!(said(&mut r, "phone", does(Does::SessionAccept)), [""; 0], "it has no session");
    assert_eq!(said(&mut r, "pad", does(Does::TransportInfo)), [""; 0]);
    assert_eq!(said(&mut r, "pad", does(Does::SessionAccept)), ["answered pad 1"]);
    assert!(r.is_over() && r.by_jmi() && r.deadline().is_none());
}

#[test]
fn who_rejects_does_so_for_all_devices() {
    for (reason, failed) in [
        (None, "failed: declined"),
        (Some(Condition::Busy), "failed: busy"),
        (Some(Condition::Decline), "failed: decline"),
    ] {
        let mut r = ringing(&[("old", Some(able(false)))]);
        assert_eq!(wants(&mut r), ["propose", "initiate old"]);
        jmi(&mut r, "phone", &rings());
        assert_eq!(jmi(&mut r, "phone", &reject(reason, false)), ["terminate old Declined", failed]);
        assert_eq!(jmi(&mut r, "phone", &proceed()), [""; 0]);
    }
}

#[test]
fn who_gives_up_leaves_a_trace() {
    for (why, all) in [
        (Why::Cancelled, "retract all Cancelled"),
        (Why::Elsewhere, "retract all Elsewhere"),
        (Why::Expired, "retract all Expired"),
    ] {
        let mut r = ringing(&[("old", Some(able(false)))]);
        wants(&mut r);
        r.hear(after(30), Event::GivenUp(why));
        assert_eq!(wants(&mut r), [format!("terminate old {why:?}"), all.to_owned()]);
        assert!(r.is_over());
    }
    // After `proceed` nothing is taken back: it ends.
    let mut r = ringing(&[]);
    jmi(&mut r, "phone", &proceed());
    r.hear(T, Event::GivenUp(Why::Cancelled));
    assert_eq!(wants(&mut r), ["terminate phone Cancelled", "finish phone Cancelled"]);
}

#[test]
fn devices_that_know_nothing_of_proposals_are_asked_and_rung_one_after_the_other() {
    let mut r = ringing(&[("a", None), ("b", None), ("c", None), ("d", Some(Abilities::default()))]);
    assert_eq!(wants(&mut r), ["propose", "ask a", "ask b", "ask c"]);
    assert_eq!(r.deadline(), Some(after(2)));
    r.hear(T, Event::Info { device: &jid("b"), abilities: Some(able(false)) });
    r.hear(T, Event::Info { device: &jid("c"), abilities: None });
    assert_eq!(wants(&mut r), [""; 0], "a better one may be among them");
    r.timeout(after(2));
    assert_eq!(wants(&mut r), ["initiate b"]);
    assert_eq!(refused(&mut r, "b"), [""; 0]);
    // It was slow to say what it can do.
    r.hear(after(3), Event::Info { device: &jid("a"), abilities: Some(able(false)) });
    assert_eq!(wants(&mut r), ["initiate a"]);
    r.hear(after(3), Event::Took(&jid("a")));
    assert_eq!(r.deadline(), Some(after(5)));
    r.timeout(after(5));
    assert_eq!(wants(&mut r), ["ring"], "some never say that they do");
    let ring = Jingle::info("sid-5", Info::Ringing);
    assert_eq!(said(&mut r, "a", ring), [""; 0]);
    // The other way of knowing of it is for the others: they are told that it is over.
    assert_eq!(said(&mut r, "a", does(Does::SessionAccept)), ["retract all Elsewhere", "answered a 0"]);
    assert!(!r.by_jmi());
}

#[test]
fn of_equal_devices_all_ring() {
    let (old, new) = (Some(able(false)), Some(able(true)));
    let mut r = ringing(&[("a1", old), ("a2", old), ("a3", new), ("b", old)]);
    assert_eq!(wants(&mut r), ["propose", "initiate a1", "initiate a2"]);
    assert_eq!(said(&mut r, "a1", ends(Condition::Busy)), [""; 0], "the other one rings");
    assert_eq!(refused(&mut r, "a2"), ["initiate b"]);
    let mut r = ringing(&[("a1", old), ("a2", old)]);
    wants(&mut r);
    let told = ["terminate a1 Elsewhere", "retract all Elsewhere", "answered a2 0"];
    assert_eq!(said(&mut r, "a2", does(Does::SessionAccept)), told);
}

#[test]
fn a_device_says_that_it_rings_and_asking_is_not_ringing() {
    let mut r = ringing(&[("a", Some(able(false)))]);
    wants(&mut r);
    assert_eq!(said(&mut r, "a", does(Does::SessionInfo)), [""; 0]);
    assert_eq!(said(&mut r, "a", Jingle::info("sid-5", Info::Ringing)), ["ring"]);
    r.hear(T, Event::Took(&jid("a")));
    r.timeout(after(10));
    assert_eq!(wants(&mut r), [""; 0]);
}

#[test]
fn a_device_that_is_busy_or_declines_ends_it_where_no_other_can_answer() {
    let mut r = ringing(&[("a", Some(able(false)))]);
    wants(&mut r);
    assert_eq!(said(&mut r, "a", ends(Condition::Busy)), ["retract all Unanswered", "failed: busy"]);
    // Where another one rings, only a decline does.
    for (condition, then) in
        [(Condition::Busy, vec![]), (Condition::Decline, vec!["retract all Declined", "failed: decline"])]
    {
        let mut r = ringing(&[("a", Some(able(false)))]);
        jmi(&mut r, "phone", &rings());
        assert_eq!(said(&mut r, "a", ends(condition)), then);
    }
    // One that is not there says nothing of the user: there are phones that no presence tells of.
    let mut r = ringing(&[("a", Some(able(false)))]);
    wants(&mut r);
    assert_eq!(refused(&mut r, "a"), [""; 0]);
    r.timeout(after(44));
    assert_eq!((wants(&mut r).len(), r.deadline()), (0, Some(after(45))));
    r.timeout(after(45));
    assert_eq!(wants(&mut r), ["retract all Expired", "failed: error service-unavailable"]);
}

#[test]
fn who_is_not_heard_of_is_not_there() {
    let mut r = ringing(&[]);
    wants(&mut r);
    assert_eq!(r.deadline(), Some(after(45)));
    r.timeout(after(45));
    assert_eq!(wants(&mut r), ["retract all Expired", "failed: silent"]);
    // Where one rings, it does so until it is enough for whoever calls.
    let mut r = ringing(&[]);
    jmi(&mut r, "phone", &rings());
    assert_eq!(r.deadline(), None);
    // Some ring and do not say so, but that they know of proposals.
    for devices in [[("phone", Some(able(true)))], [("phone", None)]] {
        let mut r = ringing(&devices);
        r.hear(T, Event::Info { device: &jid("phone"), abilities: Some(able(true)) });
        wants(&mut r);
        r.timeout(after(2));
        assert_eq!(wants(&mut r), ["ring"]);
        assert_eq!(r.deadline(), None);
    }
}

#[test]
fn where_the_proposal_comes_back_only_known_devices_are_left() {
    let mut r = ringing(&[]);
    wants(&mut r);
    assert_eq!(bounced(&mut r), ["failed: error item-not-found"]);
    let mut r = ringing(&[("a", None)]);
    wants(&mut r);
    assert_eq!(bounced(&mut r), [""; 0]);
    r.hear(T, Event::Info { device: &jid("a"), abilities: Some(able(false)) });
    assert_eq!(wants(&mut r), ["initiate a"]);
    assert_eq!(refused(&mut r, "a"), ["failed: error service-unavailable"]);
    let mut r = ringing(&[("a", None)]);
    wants(&mut r);
    bounced(&mut r);
    r.timeout(after(2));
    assert_eq!(wants(&mut r), ["failed: error item-not-found"]);
    let mut r = ringing(&[("a", Some(able(false)))]);
    r.hear(T, Event::Lost);
    assert_eq!(wants(&mut r)[1..], ["initiate a", "terminate a Failed", "retract all Failed", "failed: lost"]);
}

#[test]
fn who_answers_and_says_nothing_more_has_no_call() {
    // Not even that the session-initiate has come.
    let mut r = ringing(&[]);
    jmi(&mut r, "phone", &proceed());
    assert_eq!(r.deadline(), Some(after(15)));
    r.timeout(after(15));
    assert_eq!(wants(&mut r), ["terminate phone Silent", "finish phone Failed", "failed: silent"]);
    // That it has, and no more.
    let mut r = ringing(&[]);
    jmi(&mut r, "phone", &proceed());
    r.hear(T, Event::Took(&jid("phone")));
    r.timeout(after(2));
    assert_eq!(wants(&mut r), ["ring"]);
    assert_eq!(r.deadline(), Some(after(30)));
    r.timeout(after(30));
    assert_eq!(wants(&mut r), ["terminate phone Silent", "finish phone Failed", "failed: silent"]);
    // Or that it has thought better of it.
    for (say, then) in [
        (reject(Some(Condition::Decline), false), vec!["terminate phone Declined", "failed: decline"]),
        (
            Jmi::Finish { id: "sid-5".into(), reason: None, migrated: None },
            vec!["terminate phone Failed", "failed: declined"],
        ),
    ] {
        let mut r = ringing(&[]);
        jmi(&mut r, "phone", &proceed());
        assert_eq!(jmi(&mut r, "pad", &say), [""; 0], "too late for another one");
        assert_eq!(jmi(&mut r, "phone", &say), then);
    }
    let mut r = ringing(&[]);
    jmi(&mut r, "phone", &proceed());
    assert_eq!(said(&mut r, "phone", ends(Condition::Busy)), ["finish phone Failed", "failed: busy"]);
}

#[test]
fn of_two_calls_that_cross_the_one_with_the_lower_name_goes_on() {
    for (theirs, lower, won, then) in [
        ("sid-6", false, Some(true), vec![]),
        ("sid-4", false, Some(false), vec!["retract all TieBreak", "failed: glare"]),
        ("sid-5", false, Some(true), vec![]),
        ("sid-5", true, Some(false), vec!["retract all TieBreak", "failed: glare"]),
        ("SID-6", false, Some(false), vec!["retract all TieBreak", "failed: glare"]),
    ] {
        let mut r = ringing(&[]);
        wants(&mut r);
        assert_eq!(r.crossed(theirs, lower), won, "{theirs}");
        assert_eq!(wants(&mut r), then, "{theirs}");
    }
    let mut r = ringing(&[]);
    wants(&mut r);
    assert_eq!(jmi(&mut r, "phone", &reject(Some(Condition::Expired), true)), ["failed: glare"]);
    let mut r = ringing(&[]);
    jmi(&mut r, "phone", &proceed());
    assert_eq!(r.crossed("sid-1", true), None, "they have agreed on one");
}

#[test]
fn what_comes_early_is_kept_up_to_a_bound() {
    let mut r = ringing(&[("a", Some(able(false)))]);
    wants(&mut r);
    for _ in 0..1_000 {
        said(&mut r, "a", does(Does::TransportInfo));
    }
    assert_eq!(said(&mut r, "a", does(Does::SessionAccept)).last().unwrap(), "answered a 64");
}

/// What can happen, in any order.
#[derive(Debug, Clone)]
enum Step {
    Jmi(u8, u8),
    Bounced,
    Info(u8, u8),
    Took(u8),
    Refused(u8),
    Jingle(u8, u8),
    Crossed(bool),
    Wait(u64),
    GivenUp,
}

fn step() -> impl Strategy<Value = Step> {
    let device = 0u8..5;
    prop_oneof![
        4 => (device.clone(), 0u8..6).prop_map(|(d, what)| Step::Jmi(d, what)),
        1 => Just(Step::Bounced),
        3 => (device.clone(), 0u8..3).prop_map(|(d, what)| Step::Info(d, what)),
        3 => device.clone().prop_map(Step::Took),
        2 => device.clone().prop_map(Step::Refused),
        4 => (device, 0u8..6).prop_map(|(d, what)| Step::Jingle(d, what)),
        1 => any::<bool>().prop_map(Step::Crossed),
        4 => (0u64..20).prop_map(Step::Wait),
        1 => Just(Step::GivenUp),
    ]
}

/// What whoever performs the actions knows of it.
#[derive(Default)]
struct Model {
    proposed: bool,
    sessions: Vec<Jid>,
    /// Devices that know of its end by themselves.
    rung: usize,
    answered: Option<Jid>,
    failed: bool,
    retracted: usize,
}

impl Model {
    fn perform(&mut self, action: Action) -> Result<(), TestCaseError> {
        prop_assert!(self.answered.is_none() && !self.failed, "{action:?} after the last one");
        match action {
            Action::Propose => prop_assert!(!std::mem::replace(&mut self.proposed, true)),
            Action::Ask(_) => {}
            Action::Initiate(device) => {
                prop_assert!(self.proposed && !self.sessions.contains(&device), "{device} twice");
                self.sessions.push(device);
            }
            Action::Ring => {
                self.rung += 1;
                prop_assert_eq!(self.rung, 1);
            }
            Action::Answered { device, accept, .. } => {
                prop_assert_eq!(&self.sessions, &vec![device.clone()], "the others were told");
                prop_assert_eq!(accept.action, Does::SessionAccept);
                self.answered = Some(device);
            }
            Action::Retract { device: None, .. } => {
                self.retracted += 1;
                prop_assert_eq!(self.retracted, 1);
            }
            Action::Retract { device: Some(_), .. } | Action::Finish { .. } => {}
            Action::Terminate { device, .. } => {
                let at = self.sessions.iter().position(|session| *session == device);
                prop_assert!(at.is_some(), "{device} has no session");
                self.sessions.swap_remove(at.unwrap_or_default());
            }
            Action::Failed(_) => {
                prop_assert!(self.sessions.is_empty(), "{:?} still ring", self.sessions);
                self.failed = true;
            }
        }
        Ok(())
    }
}

proptest! {
    /// Whatever happens: one end, of which everybody is told who was told of the call, and nobody else.
    #[test]
    fn it_ends_once_and_for_all(known in 0usize..4, abilities in prop::collection::vec(0u8..4, 4), steps in prop::collection::vec(step(), 0..60)) {
        let resources = ["a1", "a2", "b1", "b2", "e"];
        let ability = |n: u8| match n {
            0 => None,
            1 => Some(able(false)),
            2 => Some(able(true)),
            _ => Some(Abilities::default()),
        };
        let devices: Vec<_> = (0..known).map(|n| (resources[n], ability(abilities[n]))).collect();
        let (mut r, mut model, mut now, mut given_up) = (ringing(&devices), Model::default(), T, false);
        let of = |d: u8| jid(resources[usize::from(d)]);
        while let Some(action) = r.poll() {
            model.perform(action)?;
        }
        for step in steps {
            let before = r.is_over();
            match step {
                Step::Jmi(d, what) => {
                    let said = match what {
                        0 | 1 => rings(),
                        2 | 3 => proceed(),
                        4 => reject(None, false),
                        _ => Jmi::Finish { id: "sid-5".into(), reason: None, migrated: None },
                    };
                    r.hear(now, Event::Jmi { from: &of(d), said: &said });
                }
                Step::Bounced => {
                    r.hear(now, Event::Bounced(StanzaError::new(error::Condition::ServiceUnavailable)));
                }
                Step::Info(d, what) => r.hear(now, Event::Info { device: &of(d), abilities: ability(what) }),
                Step::Took(d) => r.hear(now, Event::Took(&of(d))),
                Step::Refused(d) => {
                    let (device, error) = (of(d), StanzaError::new(error::Condition::ServiceUnavailable));
                    let had = r.has(&device);
                    r.hear(now, Event::Refused { device: &device, error });
                    if had {
                        model.sessions.retain(|session| *session != device);
                    }
                }
                Step::Jingle(d, what) => {
                    let (device, had) = (of(d), r.has(&of(d)));
                    let jingle = match what {
                        0 => does(Does::SessionAccept),
                        1 => ends(Condition::Decline),
                        2 => ends(Condition::Busy),
                        3 => Jingle::info("sid-5", Info::Ringing),
                        _ => does(Does::TransportInfo),
                    };
                    if had && jingle.action == Does::SessionTerminate {
                        model.sessions.retain(|session| *session != device);
                    }
                    r.hear(now, Event::Jingle { device: &device, jingle: Box::new(jingle) });
                }
                Step::Crossed(lower) => {
                    let crossed = r.crossed("sid-5", lower);
                    prop_assert!(crossed.is_none() || !before);
                }
                Step::Wait(seconds) => {
                    now = now + Duration::from_secs(seconds);
                    for _ in 0..32 {
                        if r.deadline().is_none_or(|at| at > now) {
                            break;
                        }
                        r.timeout(now);
                    }
                    prop_assert!(r.deadline().is_none_or(|at| at > now), "it is due for ever");
                }
                Step::GivenUp => {
                    r.hear(now, Event::GivenUp(Why::Cancelled));
                    given_up |= !before;
                    prop_assert!(r.is_over());
                }
            }
            while let Some(action) = r.poll() {
                prop_assert!(!before, "{action:?} after the end");
                model.perform(action)?;
            }
            let ended = model.answered.is_some() || model.failed || given_up;
            prop_assert_eq!(r.is_over(), ended);
            if model.answered.is_none() {
                let has: Vec<_> = resources.iter().map(|d| jid(d)).filter(|d| r.has(d)).collect();
                let mut sessions = model.sessions.clone();
                sessions.sort();
                prop_assert_eq!(has, sessions);
            }
        }
    }
}
