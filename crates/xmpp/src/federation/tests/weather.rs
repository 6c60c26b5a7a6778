//! Connections that break anywhere: each stanza is told of once, and arrives once at most.

use super::*;
use proptest::prelude::*;

/// One stanza, of which all must come to an end, and only one.
fn check(net: &Net, site: usize, other: usize, tokens: &[(u64, String)], context: &str) {
    for (token, id) in tokens {
        let told = net.sites[site].taken.iter().filter(|taken| *taken == token).count();
        assert_eq!(told, 1, "{context}: {id} was told of {told} times");
        let (got, refused) = (net.got(other, id), net.refused(site, id));
        assert!(got <= 1, "{context}: {id} came {got} times");
        assert!(refused.len() <= 1, "{context}: {id} has {refused:?}");
        assert!(got == 1 || refused.len() == 1, "{context}: {id} is gone, and nobody was told");
    }
    assert!(net.sites[site].lost.is_empty(), "{context}");
}

/// The one connection, or the first of two, breaks after each number of bytes.
#[test]
fn a_connection_breaks_at_any_byte() {
    for (bidi, sm, certificates) in
        [(true, true, true), (false, true, false), (false, false, true), (true, false, false)]
    {
        let play = |cut: Option<usize>| {
            let mut net = two(|_, config| (stream(config).bidi, stream(config).sm) = (bidi, sm));
            if !certificates {
                net.sites.iter_mut().for_each(|site| site.certificate.clear());
            }
            net.cut_after = cut;
            let mut tokens = [Vec::new(), Vec::new()];
            for n in 0..3 {
                for (site, from, to) in [(0, "x@a.example", "y@b.example"), (1, "y@b.example", "x@a.example")] {
                    let id = format!("{site}-{n}");
                    tokens[site].push((net.send(site, &message(from, to, &id)), id));
                }
            }
            net.wait(secs(100));
            for (site, tokens) in tokens.iter().enumerate() {
                check(&net, site, 1 - site, tokens, &format!("bidi {bidi} sm {sm} cut {cut:?}"));
            }
            net
        };
        let whole = play(None);
        assert!(whole.undelivered(0).is_empty() && whole.undelivered(1).is_empty());
        // Every byte would take long; every so many come by each kind of place.
        for cut in (0..whole.carried).step_by(11) {
            play(Some(cut)).ends_empty();
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Send(usize),
    Cut,
    Hang,
    Place(Place),
    Certificates(bool),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let place = prop_oneof![Just(Place::Site(1)), Just(Place::Dead), Just(Place::Hole), Just(Place::Deaf)];
    let step = prop_oneof![
        6 => (0..2_usize).prop_map(Step::Send),
        1 => Just(Step::Cut),
        1 => Just(Step::Hang),
        2 => place.prop_map(Step::Place),
        1 => any::<bool>().prop_map(Step::Certificates),
        3 => (0..40_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_weather(steps in steps(), bidi: bool, sm: bool) {
        let mut net = two(|_, config| (stream(config).bidi, stream(config).sm) = (bidi, sm));
        let mut tokens = [Vec::new(), Vec::new()];
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Send(site) => {
                    let (from, to) = if site == 0 { ("x@a.example", "y@b.example") } else { ("y@b.example", "x@a.example") };
                    let id = format!("{n}");
                    tokens[site].push((net.send(site, &message(from, to, &id)), id));
                }
                Step::Cut => net.cut_all(),
                Step::Hang => net.hang_all(),
                Step::Place(place) => drop(net.places.insert("host1".into(), place)),
                Step::Certificates(valid) => {
                    for (site, domain) in [A, B].into_iter().enumerate() {
                        net.sites[site].certificate = valid.then(|| domain.into()).into_iter().collect();
                    }
                }
                Step::Wait(time) => net.wait(secs(time)),
            }
        }
        net.wait(secs(300));
        for (site, tokens) in tokens.iter().enumerate() {
            for (token, id) in tokens {
                let told = net.sites[site].taken.iter().filter(|taken| *taken == token).count();
                prop_assert_eq!(told, 1, "{}", id);
                prop_assert!(net.got(1 - site, id) <= 1);
                prop_assert!(net.refused(site, id).len() <= 1);
                // Without acknowledgements a server that never answered anything is believed after a while.
                prop_assert!(!sm || net.got(1 - site, id) + net.refused(site, id).len() >= 1, "{} is gone", id);
            }
        }
        net.ends_empty();
    }
}
