//! Subscriptions that live for days: RFC 8048 §5.2.2, §8; RFC 6665 §4.1.

use crate::town::{DAY, HOUR, Policy, Town, WEEK, ms, secs};
use base::Time;

const JULIET: &str = "juliet@example.com";
const ROMEO: &str = "romeo@example.net";

/// Juliet is there and has Romeo, who is there too, in her roster.
fn verona(seed: u64) -> Town {
    let mut town = Town::new(seed, 2, |_| {});
    town.account(JULIET, Policy::Approve);
    town.watchable("romeo", &[("desk", "pining")]);
    town.of("romeo").most = 3600;
    town.comes(JULIET, "balcony", "");
    town.adds(JULIET, ROMEO);
    town.run(secs(2));
    town
}

fn online(town: &Town) -> Vec<(String, String)> {
    town.roster(JULIET, ROMEO).online.clone().into_iter().collect()
}

fn here(note: &str) -> Vec<(String, String)> {
    vec![("desk".to_owned(), note.to_owned())]
}

fn asked(town: &Town) -> Vec<Time> {
    town.watched["romeo"].asked.iter().map(|(at, _)| *at).collect()
}

/// Sends a NOTIFY of Romeo's in the one dialog that there is.
fn romeo_says(town: &mut Town, state: &str) {
    let call_id = town.of("romeo").dialogs.keys().next().unwrap().clone();
    town.notify("romeo", &call_id, state);
    town.run(secs(1));
}

#[test]
fn a_week_online_is_refreshed_in_time_and_not_in_step() {
    let mut gaps = Vec::new();
    for seed in 0..3 {
        let mut town = verona(seed);
        for day in 0..7 {
            town.run(DAY);
            assert_eq!(town.of("romeo").dialogs.len(), 1, "day {day}: one dialog, which lives");
            assert_eq!(online(&town), here("pining"));
        }
        let asked = asked(&town);
        gaps.extend(asked.windows(2).map(|two| two[1].since(two[0])));
        assert_eq!(town.roster(JULIET, ROMEO).yes, 1, "and she was told once");
        town.no_faults();
    }
    assert!(gaps.iter().all(|gap| (secs(2500)..secs(3300)).contains(gap)), "{gaps:?}");
    let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
    assert!(*most - *least > secs(300), "{least:?} to {most:?}");
}

#[test]
fn who_was_offline_for_a_week_finds_a_roster_that_is_right() {
    for open in [true, false] {
        let mut town = verona(7);
        town.user(JULIET).open_to_gateway = open;
        town.publish("romeo", &[("desk", "pining"), ("garden", "climbing")]);
        town.run(secs(10));
        assert_eq!(online(&town).len(), 2);
        town.goes(JULIET, "balcony");
        town.run(2 * HOUR);
        let before = asked(&town).len();
        town.run(WEEK);
        let meanwhile = asked(&town).len() - before;
        // A server that does not say leaves the gateway to refresh for a week; the other ends it at once.
        if open {
            assert_eq!(meanwhile, 0);
        } else {
            assert!((150..260).contains(&meanwhile), "{meanwhile}");
        }
        town.run(2 * DAY);
        let before = asked(&town).len();
        town.of("romeo").tuples = vec![("desk".into(), "banished".into())];
        town.run(DAY);
        assert_eq!(asked(&town).len(), before, "nobody refreshes for nobody");
        assert!(town.of("romeo").dialogs.values().all(|held| held.until < Time::from_secs(0) + WEEK * 2));
        town.comes(JULIET, "balcony", "");
        town.run(secs(15));
        assert_eq!(online(&town), here("banished"), "open {open}");
        let entry = town.roster(JULIET, ROMEO);
        assert_eq!((entry.approved, entry.yes, entry.no), (true, 1, 0));
        town.no_faults();
    }
}

#[test]
fn a_mutual_authorization_says_when_the_session_is_over() {
    let mut town = verona(8);
    town.user(JULIET).open_to_gateway = false;
    let who = town.watch("romeo", JULIET, 3600);
    town.run(secs(5));
    assert!(town.watchers[who].sees().unwrap().0);
    town.goes(JULIET, "balcony");
    town.run(secs(10));
    assert!(!town.watchers[who].sees().unwrap().0);
    let before = asked(&town).len();
    town.run(3 * DAY);
    assert_eq!(asked(&town).len(), before, "no session, no refresh");
    assert!(town.watchers[who].is_active(), "and the other direction lives");
    town.comes(JULIET, "balcony", "");
    town.run(secs(15));
    assert_eq!(online(&town), here("pining"));
    town.no_faults();
}

#[test]
fn a_week_of_a_sip_watcher() {
    let mut town = Town::new(9, 2, |_| {});
    town.account(JULIET, Policy::Approve);
    let who = town.watch("romeo", JULIET, 3600);
    for day in 0..7 {
        town.comes(JULIET, "balcony", &format!("day {day}"));
        town.run(DAY / 2);
        assert_eq!(town.watchers[who].sees(), Some((true, vec![format!("day {day}")])));
        town.goes(JULIET, "balcony");
        town.run(DAY / 2);
        assert_eq!(town.watchers[who].sees(), Some((false, vec![])));
    }
    assert!(town.watchers[who].codes.iter().all(|code| *code == 200));
    assert_eq!(town.user(JULIET).asked[ROMEO], 1);
    town.watchers[who].keeps = false;
    town.run(2 * HOUR);
    assert!(town.watchers[who].state.starts_with("terminated;reason=timeout"), "{}", town.watchers[who].state);
    // The authorization stays, and so the next time nobody is asked.
    let who = town.watch("romeo", JULIET, 3600);
    town.run(secs(2));
    assert!(town.watchers[who].is_active());
    assert_eq!(town.user(JULIET).asked[ROMEO], 1);
    town.no_faults();
}

#[test]
fn accepted_or_too_brief_or_hasty() {
    for (code, headers, hasty) in
        [(202, vec![], false), (423, vec![("Min-Expires".to_owned(), "7200".to_owned())], false), (200, vec![], true)]
    {
        let mut town = Town::new(10, 2, |_| {});
        town.account(JULIET, Policy::Approve);
        town.watchable("romeo", &[("desk", "pining")]);
        town.of("romeo").first.push_back((code, headers));
        town.of("romeo").hasty = hasty;
        town.comes(JULIET, "balcony", "");
        town.adds(JULIET, ROMEO);
        town.run(secs(2));
        let expires: Vec<u32> = town.of("romeo").asked.iter().map(|(_, expires)| *expires).collect();
        assert_eq!(expires, if code == 423 { vec![3600, 7200] } else { vec![3600] }, "{code}");
        town.run(DAY);
        assert_eq!((online(&town), town.of("romeo").dialogs.len()), (here("pining"), 1), "{code}");
        town.no_faults();
    }
}

/// Fault 13, RFC 6665 §4.1.3, §4.4.1.
#[test]
fn a_notify_of_another_fork_or_of_before() {
    let mut town = verona(11);
    let call_id = town.of("romeo").dialogs.keys().next().unwrap().clone();
    let one = town.of("romeo").dialogs[&call_id].clone();
    town.publish("romeo", &[("desk", "newer")]);
    town.run(secs(6));
    town.notify_codes.clear();
    // What was sent before comes behind: its number is lower.
    town.of("romeo").dialogs.get_mut(&call_id).unwrap().cseq = one.cseq - 1;
    town.of("romeo").tuples = vec![("desk".into(), "older".into())];
    romeo_says(&mut town, "active");
    assert_eq!((town.notify_codes.as_slice(), online(&town)), (&[500][..], here("newer")));
    town.of("romeo").dialogs.get_mut(&call_id).unwrap().from.push_str("fork");
    romeo_says(&mut town, "active");
    assert_eq!((town.notify_codes.as_slice(), online(&town)), (&[500, 481][..], here("newer")));
}

#[test]
fn failures_come_and_go_and_the_authorization_stays() {
    let retry = vec![("Retry-After".to_owned(), "120".to_owned())];
    for (code, headers) in [
        (503, retry),
        (500, vec![]),
        (480, vec![]),
        (408, vec![]),
        (404, vec![]),
        (302, vec![]),
        (481, vec![]),
        (0, vec![]),
    ] {
        let mut town = verona(12);
        town.of("romeo").answer = (code, headers);
        let start = town.now;
        town.run(2 * HOUR);
        assert_eq!(online(&town), [], "{code}: one expiry later nobody is there who may not be");
        town.run(WEEK);
        let asked: Vec<Time> = asked(&town).into_iter().filter(|at| *at > start).collect();
        let entry = town.roster(JULIET, ROMEO);
        assert_eq!((entry.approved, entry.no), (true, 0), "{code}");
        assert!((24..400).contains(&asked.len()), "{code}: {} times in a week", asked.len());
        if code == 503 {
            assert!(asked.windows(2).all(|two| two[1].since(two[0]) >= secs(120)));
        }
        town.of("romeo").answer = (200, Vec::new());
        town.run(2 * HOUR);
        assert_eq!(online(&town), here("pining"), "{code}");
        town.no_faults();
    }
}

#[test]
fn three_refusals_end_the_authorization() {
    for code in [403, 489, 603] {
        // At a refresh, and at the first time.
        let mut town = verona(13);
        town.of("romeo").answer = (code, Vec::new());
        town.run(2 * HOUR);
        let entry = town.roster(JULIET, ROMEO);
        assert_eq!((entry.approved, entry.no, online(&town)), (false, 1, vec![]), "{code}");
        let before = asked(&town).len();
        town.run(DAY);
        assert_eq!((asked(&town).len(), town.kept(), town.disk.len()), (before, [0; 4], 0), "{code}: and that is that");
        town.adds(JULIET, ROMEO);
        town.run(secs(5));
        assert_eq!((town.roster(JULIET, ROMEO).no, town.kept()), (2, [0; 4]), "{code}");
        town.no_faults();
    }
}

/// RFC 6665 §4.1.3: what each reason means for trying again.
#[test]
fn terminated_for_each_reason() {
    for (reason, back, least) in [
        ("deactivated", true, 0),
        ("timeout", true, 0),
        ("probation", true, 20),
        ("probation;retry-after=300", true, 300),
        ("giveup", true, 20),
        ("giveup;retry-after=200", true, 200),
        ("somethingelse", true, 20),
        ("noresource", false, 0),
        ("invariant", false, 0),
    ] {
        let mut town = verona(14);
        town.run(secs(120));
        let (start, before) = (town.now, asked(&town).len());
        romeo_says(&mut town, &format!("terminated;reason={reason}"));
        town.of("romeo").dialogs.clear();
        town.run(HOUR);
        let after = asked(&town).get(before).map(|at| at.since(start));
        assert_eq!(after.is_some(), back, "{reason}");
        if let Some(after) = after {
            assert!((secs(least)..secs(least + 120)).contains(&after), "{reason}: {after:?}");
            assert_eq!(online(&town), here("pining"), "{reason}");
        }
        let entry = town.roster(JULIET, ROMEO);
        assert_eq!((entry.approved, entry.no), (true, 0), "{reason}");
        // The next session begins anew whatever it was.
        town.goes(JULIET, "balcony");
        town.run(2 * HOUR);
        town.comes(JULIET, "balcony", "");
        town.run(secs(15));
        assert_eq!(online(&town), here("pining"), "{reason}");
        town.no_faults();
    }
    let mut town = verona(14);
    romeo_says(&mut town, "terminated;reason=rejected");
    town.run(ms(100));
    let entry = town.roster(JULIET, ROMEO);
    assert_eq!((entry.approved, entry.no, entry.online.len(), town.disk.len()), (false, 1, 0, 0));
    town.no_faults();
}
