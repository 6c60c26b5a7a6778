//! Who is there, and which way: certificates, dialback, both at once, several domains, targets that are dead.

use super::*;
use crate::federation::{Event, Undelivered, Unlocated};
use crate::stream::s2s::{Pair, Pattern, Policy, Proof};

/// The proofs by which pairs became ready at a site.
fn proofs(net: &Net, site: usize) -> Vec<Proof> {
    let events = net.sites[site].events.iter();
    events.filter_map(|e| if let Event::Ready { proof, .. } = e { Some(*proof) } else { None }).collect()
}

#[test]
fn certificates_prove_both_ways() {
    for (bidi, sm) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut net = two(|_, config| (stream(config).bidi, stream(config).sm) = (bidi, sm));
        let there = net.send(0, &message("romeo@a.example", "juliet@b.example", "1"));
        net.wait(secs(10));
        assert_eq!((net.got(1, "1"), &net.sites[0].taken[..]), (1, &[there][..]), "bidi {bidi} sm {sm}");
        let back = net.send(1, &message("juliet@b.example", "romeo@a.example", "2"));
        net.wait(secs(10));
        assert!(net.got(0, "2") == 1 && net.sites[1].taken.contains(&back), "bidi {bidi} sm {sm}");
        for site in 0..2 {
            assert!(proofs(&net, site).iter().all(|proof| *proof == Proof::Certificate), "{:?}", proofs(&net, site));
        }
        assert_eq!(net.wires(), if bidi { 1 } else { 2 }, "bidi {bidi} sm {sm}");
        net.ends_empty();
    }
}

#[test]
fn dialback_proves_where_certificates_do_not() {
    for bidi in [false, true] {
        let mut net = two(|_, config| stream(config).bidi = bidi);
        net.sites.iter_mut().for_each(|site| site.certificate.clear());
        net.send(0, &message("romeo@a.example", "juliet@b.example", "1"));
        net.wait(secs(10));
        net.send(1, &message("juliet@b.example", "romeo@a.example", "2"));
        net.wait(secs(10));
        assert_eq!((net.got(1, "1"), net.got(0, "2")), (1, 1), "bidi {bidi}");
        assert!(proofs(&net, 0).contains(&Proof::Dialback), "{:?}", proofs(&net, 0));
        assert_eq!((net.sites[0].taken.len(), net.sites[1].taken.len()), (1 + pongs(&net, 0), 1 + pongs(&net, 1)));
        net.ends_empty();
    }
}

/// How many pings a site has answered, each a stanza of its own.
fn pongs(net: &Net, site: usize) -> usize {
    net.sites[site].taken.len() - 1
}

#[test]
fn both_call_at_once() {
    for certificates in [true, false] {
        let mut net = two(|_, _| {});
        if !certificates {
            net.sites.iter_mut().for_each(|site| site.certificate.clear());
        }
        for n in 0..50 {
            net.queue(0, &message("romeo@a.example", "juliet@b.example", &format!("x{n}")));
            net.queue(1, &message("juliet@b.example", "romeo@a.example", &format!("y{n}")));
        }
        net.wait(secs(20));
        for n in 0..50 {
            assert_eq!((net.got(1, &format!("x{n}")), net.got(0, &format!("y{n}"))), (1, 1), "{n} {certificates}");
        }
        // In order.
        let ids: Vec<_> = net.sites[1].stanzas.iter().filter_map(|s| s.id.as_deref()).collect();
        assert_eq!(ids, (0..50).map(|n| format!("x{n}")).collect::<Vec<_>>());
        net.ends_empty();
    }
}

#[test]
fn a_certificate_that_is_required_and_not_there() {
    let mut net = two(|site, config| {
        let strict = Policy { require_certificate: true, ..Policy::default() };
        stream(config).rules.exceptions = vec![(Pattern::parse(if site == 0 { B } else { A }).unwrap(), strict)];
    });
    net.sites[1].certificate.clear();
    net.send(0, &message("romeo@a.example", "juliet@b.example", "1"));
    net.wait(secs(10));
    assert_eq!((net.got(1, "1"), net.refused(0, "1")), (0, vec!["remote-server-not-found"]));
    assert_eq!(net.undelivered(0), [Undelivered::Unproven]);
    // Nor does it get in.
    net.send(1, &message("juliet@b.example", "romeo@a.example", "2"));
    net.wait(secs(10));
    assert_eq!((net.got(0, "2"), net.refused(1, "2")), (0, vec!["remote-server-not-found"]));
    assert_eq!((net.sites[0].taken.len(), net.sites[1].taken.len()), (1, 1));
    net.ends_empty();
}

#[test]
fn several_domains_share_a_stream() {
    let mut net = Net::new(&[&[A, "a2.example", "a3.example"], &[B]], |_, _| {});
    for (n, from) in ["romeo@a.example", "romeo@a2.example", "romeo@a3.example"].into_iter().enumerate() {
        net.send(0, &message(from, "juliet@b.example", &n.to_string()));
    }
    net.wait(secs(10));
    assert_eq!([0, 1, 2].map(|n| net.got(1, &n.to_string())), [1, 1, 1]);
    assert_eq!(net.sites[0].federation.counts().outgoing, 1, "one connection for all of them");
    net.ends_empty();
}

#[test]
fn one_target_after_the_other() {
    for place in [Place::Dead, Place::Hole, Place::Deaf] {
        let mut net = two(|_, config| stream(config).handshake_timeout = secs(5));
        net.places.insert("first".into(), place);
        net.names.insert(B.into(), Ok(vec![target("first"), target("host1")]));
        net.send(0, &message("romeo@a.example", "juliet@b.example", "1"));
        net.wait(secs(19));
        assert_eq!((net.got(1, "1"), net.connects >= 2), (1, true), "{place:?}");
        net.ends_empty();
    }
}

#[test]
fn nobody_is_there() {
    let cases = [
        (Err(Unlocated::NotFound), "remote-server-not-found", Undelivered::NotFound),
        (Ok(vec![]), "remote-server-not-found", Undelivered::NotFound),
        (Err(Unlocated::Failed), "remote-server-timeout", Undelivered::Unreachable),
        (Ok(vec![target("nowhere")]), "remote-server-timeout", Undelivered::Unreachable),
    ];
    for (found, condition, why) in cases {
        let mut net = two(|_, _| {});
        net.names.insert("c.example".into(), found.clone());
        let first = net.send(0, &message("romeo@a.example", "x@c.example", "1"));
        assert_eq!((net.refused(0, "1"), &net.sites[0].taken[..]), (vec![condition], &[first][..]), "{found:?}");
        // For a while it is not asked again; then it is, and the wait grows.
        net.send(0, &message("romeo@a.example", "x@c.example", "2"));
        assert_eq!((net.refused(0, "2"), net.locates), (vec![condition], 1));
        net.wait(secs(2));
        net.names.insert("c.example".into(), Ok(vec![target("host1")]));
        net.send(0, &message("romeo@a.example", "x@c.example", "3"));
        assert_eq!(net.locates, 2);
        assert_eq!(net.undelivered(0)[..2], [why, why]);
        net.ends_empty();
    }
}

#[test]
fn waits_grow() {
    let mut net = two(|_, _| {});
    let mut asked = Vec::new();
    for n in 0..3600 {
        net.send(0, &message("romeo@a.example", "x@c.example", &n.to_string()));
        asked.resize(net.locates, n);
        net.wait(secs(1));
    }
    let waits: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((15..40).contains(&asked.len()), "{asked:?}");
    assert!(waits[0] <= 2 && waits.iter().all(|wait| *wait <= 301), "{waits:?}");
    assert_eq!(net.sites[0].taken.len(), 3600);
    net.ends_empty();
}

#[test]
fn who_comes_back_is_spoken_to_at_once() {
    let mut net = two(|_, config| stream(config).bidi = false);
    net.names.insert(B.into(), Err(Unlocated::Failed));
    net.sites[1].answers = false;
    for n in 0..600 {
        net.send(0, &message("romeo@a.example", "juliet@b.example", &n.to_string()));
        net.wait(secs(1));
    }
    net.names.insert(B.into(), Ok(vec![target("host1")]));
    net.send(0, &message("romeo@a.example", "juliet@b.example", "too early"));
    assert_eq!(net.refused(0, "too early").len(), 1);
    net.send(1, &message("juliet@b.example", "romeo@a.example", "here"));
    net.wait(secs(1));
    assert_eq!(net.got(0, "here"), 1);
    net.send(0, &message("romeo@a.example", "juliet@b.example", "now"));
    net.wait(secs(1));
    assert_eq!(net.got(1, "now"), 1);
}

#[test]
fn whom_the_rules_deny() {
    let deny = |config: &mut crate::federation::Config| stream(config).rules.deny = vec![Pattern::parse(B).unwrap()];
    let mut net = two(|site, config| {
        if site == 0 {
            deny(config);
        }
    });
    net.send(0, &message("romeo@a.example", "juliet@b.example", "1"));
    assert_eq!((net.refused(0, "1"), net.locates), (vec!["not-allowed"], 0));
    net.send(1, &message("juliet@b.example", "romeo@a.example", "2"));
    net.wait(secs(10));
    assert_eq!((net.got(0, "2"), net.refused(1, "2").len()), (0, 1));

    // One who is denied from now on loses his streams, and what waits for him comes back.
    let mut net = two(|_, _| {});
    net.send(0, &message("romeo@a.example", "juliet@b.example", "1"));
    net.send(1, &message("juliet@b.example", "romeo@a.example", "2"));
    net.wait(secs(10));
    let mut config = net.sites[0].federation.config.clone();
    deny(&mut config);
    net.sites[0].federation.reconfigure(net.now, config);
    net.run();
    assert_eq!(net.wires(), 0);
    net.send(0, &message("romeo@a.example", "juliet@b.example", "3"));
    assert_eq!(net.refused(0, "3"), ["not-allowed"]);
    net.ends_empty();
}

/// Whom strangers have us look for is said to be that; where there is no room for it, what waits of our own is looked for all the same.
#[test]
fn searches_for_keys_alone() {
    let mut net = two(|_, config| stream(config).bidi = false);
    net.sites.iter_mut().for_each(|site| site.certificate.clear());
    net.send(1, &message("juliet@b.example", "romeo@a.example", "1"));
    net.wait(secs(10));
    assert_eq!((net.got(0, "1"), net.locates, net.keys_only), (1, 2, 1));
    net.ends_empty();

    net.holds_keys = true;
    net.send(1, &message("juliet@b.example", "romeo@a.example", "2"));
    net.send(0, &message("romeo@a.example", "juliet@b.example", "3"));
    assert_eq!((net.got(1, "3"), net.locates, net.keys_only), (0, 4, 2));
    net.sites[0].federation.located(net.now, B, Err(Unlocated::Failed));
    net.wait(secs(10));
    assert_eq!((net.got(0, "2"), net.got(1, "3"), net.refused(0, "3").len()), (1, 1, 0));
    assert_eq!((net.locates, net.keys_only), (5, 2));
    net.ends_empty();
}

/// Rules that have become stricter end what they would not let come to be.
#[test]
fn rules_that_become_stricter() {
    for (strict, valid, stays) in [
        (Policy { require_certificate: true, ..Policy::default() }, false, false),
        (Policy { dialback: false, ..Policy::default() }, false, false),
        (Policy { require_certificate: true, ..Policy::default() }, true, true),
    ] {
        let mut net = two(|_, _| {});
        if !valid {
            net.sites.iter_mut().for_each(|site| site.certificate.clear());
        }
        net.send(0, &message("romeo@a.example", "juliet@b.example", "1"));
        net.wait(secs(10));
        assert_eq!(net.got(1, "1"), 1);
        let mut config = net.sites[0].federation.config.clone();
        stream(&mut config).rules.policy = strict;
        net.sites[0].federation.reconfigure(net.now, config);
        net.run();
        let proved = net.sites[0].federation.seen(net.now, 9).iter().any(|seen| seen.sending + seen.taking > 0);
        assert_eq!(proved, stays, "{strict:?}");
        net.ends_empty();
    }
}

#[test]
fn nobody_is_sent_to_ourselves() {
    let mut net = Net::new(&[&[A, "a2.example"]], |_, _| {});
    net.send(0, &message("romeo@a.example", "x@a2.example", "1"));
    assert_eq!((net.refused(0, "1"), net.locates), (vec!["service-unavailable"], 0));
    assert!(net.sites[0].federation.failing.get(&Pair::new(A, "a2.example")).is_none());
}
