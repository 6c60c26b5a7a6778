//! Bounds: queues, streams, strangers, silence; and that much is cheap.

use super::net::Site;
use super::net::ping;
use super::*;
use crate::federation::{Refused, Undelivered};
use crate::stream::s2s::Proof;

#[test]
fn what_waits_is_bounded() {
    let mut net = two(|_, config| config.max_waiting = 10);
    net.places.insert("host1".into(), Place::Hole);
    for n in 0..12 {
        net.send(0, &message("romeo@a.example", "juliet@b.example", &n.to_string()));
    }
    assert_eq!(net.sites[0].federation.counts().waiting, 10);
    assert_eq!(
        (net.refused(0, "10"), net.refused(0, "11")),
        (vec!["resource-constraint"], vec!["resource-constraint"])
    );
    net.wait(secs(30));
    assert_eq!(net.refused(0, "0"), ["remote-server-timeout"]);
    assert_eq!(net.sites[0].taken.len(), 12);
    net.ends_empty();

    let mut net = two(|_, config| config.max_waiting_bytes = 1000);
    net.places.insert("host1".into(), Place::Hole);
    let mut big = message("romeo@a.example", "juliet@b.example", "big");
    big.push(xml::Element::new("x", "urn:x").with_text(&"x".repeat(2000)));
    net.send(0, &big);
    assert!(net.refused(0, "big").is_empty(), "one finds room whatever its size");
    net.send(0, &message("romeo@a.example", "juliet@b.example", "small"));
    assert_eq!(net.refused(0, "small"), ["resource-constraint"]);

    let mut net = two(|_, config| config.max_waiting_bytes_in_all = 1000);
    net.places.insert("host1".into(), Place::Hole);
    for n in 0..20 {
        net.names.insert(format!("{n}.example").into(), Ok(vec![target("hole")]));
        net.places.insert("hole".into(), Place::Hole);
        net.send(0, &message("romeo@a.example", &format!("x@{n}.example"), &n.to_string()));
    }
    assert!(net.sites[0].federation.counts().waiting_bytes <= 1000);
    assert_eq!(net.refused(0, "19"), ["resource-constraint"]);
}

/// Nothing waits for longer than it may, wherever it waits.
#[test]
fn what_waits_too_long_comes_back() {
    let mut net = two(|_, config| config.wait = secs(3));
    net.places.insert("host1".into(), Place::Deaf);
    net.send(0, &message("romeo@a.example", "juliet@b.example", "1"));
    net.wait(secs(2));
    net.send(0, &message("romeo@a.example", "juliet@b.example", "2"));
    assert!(net.refused(0, "1").is_empty());
    net.wait(secs(1));
    assert_eq!((net.refused(0, "1"), net.refused(0, "2").len()), (vec!["remote-server-timeout"], 0));
    net.wait(secs(2));
    assert_eq!(net.undelivered(0), [Undelivered::TooLate, Undelivered::TooLate]);
    net.ends_empty();
}

/// A peer that takes nothing any more: what it has is not known to be delivered, what it has no room for waits, then comes back.
#[test]
fn a_peer_that_hangs() {
    let mut net = two(|_, config| stream(config).max_unacknowledged = 5);
    net.send(0, &message("romeo@a.example", "juliet@b.example", "first"));
    net.wait(secs(10));
    net.hang_all();
    for n in 0..8 {
        net.send(0, &message("romeo@a.example", "juliet@b.example", &n.to_string()));
    }
    assert_eq!(net.sites[0].federation.counts().waiting, 3);
    net.places.insert("host1".into(), Place::Dead);
    net.wait(secs(200));
    assert_eq!(net.undelivered(0).iter().filter(|why| **why == Undelivered::Unknown).count(), 5);
    assert_eq!(net.sites[0].taken.len(), 9);
    for n in 0..8 {
        assert_eq!((net.refused(0, &n.to_string()), net.got(1, &n.to_string())), (vec!["remote-server-timeout"], 0));
    }
    net.ends_empty();
}

/// Errors are as many as what they answer, and nobody is told what becomes of them: they wait for room on the stream and for nothing else.
#[test]
fn errors_find_room_in_the_end() {
    let mut net = two(|_, config| {
        (config.max_waiting, stream(config).max_unacknowledged_bytes) = (2, 600);
        config.wait = secs(1);
    });
    net.send(0, &message("romeo@a.example", "juliet@b.example", "first"));
    net.wait(secs(10));
    for n in 0..50 {
        net.queue(0, &message("romeo@a.example", "juliet@b.example", &n.to_string()).with_type("error"));
    }
    assert!(net.sites[0].federation.counts().waiting > 40, "there is no room for more");
    net.run();
    let got: Vec<usize> = (0..50).map(|n| net.refused(1, &n.to_string()).len()).collect();
    assert_eq!((got, net.undelivered(0)), (vec![1; 50], vec![]));
    net.send(0, &message("romeo@a.example", "juliet@b.example", "last"));
    assert_eq!((net.got(1, "last"), net.sites[0].taken.len()), (1, 52));
    net.ends_empty();
}

/// Where more errors than fit are for a server that takes none, the rest goes: there is nobody who could be told.
#[test]
fn errors_are_bounded_all_the_same() {
    let mut net = two(|_, config| {
        (config.max_waiting_bytes, stream(config).max_unacknowledged_bytes) = (1000, 600);
    });
    net.send(0, &message("romeo@a.example", "juliet@b.example", "first"));
    net.wait(secs(10));
    net.hang_all();
    for n in 0..50 {
        net.send(0, &message("romeo@a.example", "juliet@b.example", &n.to_string()).with_type("error"));
    }
    assert!(net.sites[0].federation.counts().waiting_bytes <= 1000);
    assert!(net.undelivered(0).iter().all(|why| *why == Undelivered::Full) && !net.undelivered(0).is_empty());
    net.places.insert("host1".into(), Place::Dead);
    net.wait(secs(200));
    net.ends_empty();
}

#[test]
fn strangers_are_few_and_do_not_stay() {
    let mut net = two(|_, config| config.max_strangers = 20);
    for _ in 0..20 {
        assert!(net.knock(0).is_some());
    }
    assert_eq!(net.sites[0].federation.accepted(net.now, false, None), Err(Refused::Strangers));
    assert_eq!(net.sites[0].federation.counts().strangers, 20);
    net.wait(secs(60));
    assert_eq!(net.sites[0].federation.counts().strangers, 0);
    assert!(net.knock(0).is_some());
    net.ends_empty();
}

#[test]
fn streams_are_bounded() {
    let mut net = two(|site, config| config.max_streams = if site == 0 { 3 } else { 20_000 });
    for n in 0..3 {
        let domain = format!("{n}.example");
        net.names.insert(domain.as_str().into(), Ok(vec![target("hole")]));
        net.places.insert("hole".into(), Place::Hole);
        net.send(0, &message("romeo@a.example", &format!("x@{domain}"), "x"));
    }
    net.send(0, &message("romeo@a.example", "juliet@b.example", "1"));
    assert_eq!(net.refused(0, "1"), ["resource-constraint"]);
    assert_eq!(net.sites[0].federation.accepted(net.now, false, None), Err(Refused::Streams));
    net.wait(secs(30));
    net.send(0, &message("romeo@a.example", "juliet@b.example", "2"));
    net.wait(secs(10));
    assert_eq!(net.got(1, "2"), 1, "it is not the other side's fault, and is tried again at once");
    net.ends_empty();
}

/// One source has a quarter of all streams, and who is a friend as many as there are.
#[test]
fn one_source_has_a_part_of_the_streams() {
    let mut net = two(|_, config| config.max_streams = 40);
    let one = Some([192, 0, 2, 1].into());
    let Site { federation, .. } = &mut net.sites[0];
    let ids: Vec<_> = (0..10).map(|_| federation.accepted(net.now, false, one).expect("it has room")).collect();
    assert_eq!(federation.accepted(net.now, false, one), Err(Refused::Source));
    assert!(federation.accepted(net.now, false, Some([192, 0, 2, 2].into())).is_ok());
    assert!((0..20).all(|_| federation.accepted(net.now, false, None).is_ok()));
    federation.closed(net.now, ids[3]);
    federation.flushed(net.now);
    assert!(federation.accepted(net.now, false, one).is_ok());
    assert_eq!(federation.accepted(net.now, false, one), Err(Refused::Source));
}

/// Nor do the domains of one source, each of them proved, leave none to others: and what comes leaves some to those that we look for.
#[test]
fn one_source_has_a_part_of_the_domains() {
    let domains: Vec<String> = (0..12).map(|n| format!("{n}.example")).collect();
    let domains: Vec<&str> = domains.iter().map(String::as_str).collect();
    let mut net = Net::new(&[&[A], &domains], |site, config| config.max_remotes = if site == 0 { 16 } else { 100 });
    net.sites[1].certificate.clear();
    net.source = Some([192, 0, 2, 1].into());
    for domain in &domains {
        net.send(1, &message(&format!("x@{domain}"), "romeo@a.example", domain));
        net.wait(secs(1));
    }
    let got: usize = domains.iter().map(|domain| net.got(0, domain)).sum();
    assert_eq!(got, 4, "a quarter");
    net.source = None;
    net.cut_all();
    net.wait(secs(700));
    for domain in &domains {
        net.send(1, &message(&format!("x@{domain}"), "romeo@a.example", "again"));
        net.wait(secs(1));
    }
    assert_eq!(net.got(0, "again"), 12, "friends have no bound but that of all");
}

/// A server that leaves its streams behind, half open, gets in all the same.
#[test]
fn the_oldest_stream_of_a_pair_gives_way() {
    let mut net = two(|site, config| {
        (config.max_streams_per_pair, stream(config).bidi) = (3, false);
        stream(config).ping_interval = secs(100_000);
        config.idle = secs(if site == 0 { 100_000 } else { 1 });
    });
    for n in 0..6 {
        net.send(1, &message("juliet@b.example", "romeo@a.example", &n.to_string()));
        net.wait(secs(1));
        assert_eq!(net.got(0, &n.to_string()), 1);
        net.hang_all();
        net.restart(1, 100 + n);
        assert!(net.sites[0].federation.counts().incoming <= 3);
    }
}

#[test]
fn silence_ends_a_stream_and_nothing_is_lost_by_it() {
    let mut net = two(|_, config| config.idle = secs(30));
    net.send(0, &message("romeo@a.example", "juliet@b.example", "1"));
    net.wait(secs(29));
    assert!(net.wires() > 0);
    net.wait(secs(40));
    assert_eq!(net.wires(), 0);
    net.send(0, &message("romeo@a.example", "juliet@b.example", "2"));
    net.wait(secs(10));
    assert_eq!((net.got(1, "1"), net.got(1, "2"), net.undelivered(0).len()), (1, 1, 0));
    net.ends_empty();
}

#[test]
fn five_thousand_domains_are_cheap() {
    let names: Vec<String> = (0..5_000).map(|n| format!("{n}.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut net = Net::new(&[&[A], &names], |_, config| {
        config.idle = secs(30);
        stream(config).ping_interval = secs(3600);
    });
    for (n, name) in names.iter().enumerate() {
        net.queue(0, &message("romeo@a.example", &format!("juliet@{name}"), &n.to_string()));
        if n % 500 == 499 {
            net.run();
        }
    }
    net.wait(secs(10));
    assert_eq!(net.sites[1].stanzas.len(), 5_000);
    assert_eq!(net.sites[0].taken.len(), 5_000);
    let counts = net.sites[0].federation.counts();
    assert_eq!((counts.remotes, counts.waiting, counts.unacknowledged), (5_000, 0, 0));
    let seen = net.sites[0].federation.seen(net.now, 10);
    assert_eq!((seen.len(), seen[0].sending), (10, 1));
    let stream = &seen[0].streams[0];
    assert_eq!((stream.ours, stream.secured, stream.sends), (true, true, Some(Proof::Certificate)));
    assert!(stream.age <= secs(10));
    net.ends_empty();
}

#[test]
fn the_end() {
    let mut net = two(|_, _| {});
    let sent = net.send(0, &message("romeo@a.example", "juliet@b.example", "1"));
    net.names.insert("c.example".into(), Ok(vec![target("hole")]));
    net.places.insert("hole".into(), Place::Hole);
    let waits = net.send(0, &message("romeo@a.example", "x@c.example", "2"));
    net.sites[0].federation.shutdown(net.now);
    let late = net.send(0, &message("romeo@a.example", "juliet@b.example", "3"));
    net.wait(secs(30));
    assert!(net.sites[0].federation.is_over());
    let mut told: Vec<u64> = net.sites[0].taken.iter().chain(&net.sites[0].lost).copied().collect();
    told.sort_unstable();
    assert_eq!(told, [sent, waits, late]);
    assert_eq!((net.got(1, "1"), net.got(1, "3")), (1, 0));
    assert_eq!(net.sites[0].federation.accepted(net.now, false, None), Err(Refused::Stopping));
    assert_eq!(net.wires(), 0);
}

/// What others ask, and what they answer that nobody here has asked, goes on to whom it is for.
#[test]
fn answers_to_others_pass() {
    let mut net = two(|_, _| {});
    let asked = ping(B, A, "own");
    net.sites[1].answers = false;
    net.send(0, &asked.result(None));
    net.wait(secs(10));
    assert!(net.sites[1].stanzas.iter().any(|s| s.id.as_deref() == Some("own")));
}
