//! Two machines with any policies, any certificates, pieces of any length and any end.

use super::both::{Two, outward};
use super::*;
use proptest::prelude::*;

/// A policy, and whether there is a certificate to show.
fn side() -> impl Strategy<Value = (Policy, bool, bool, bool)> {
    (any::<[bool; 3]>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(p, certificate, bidi, sm)| {
        let [require_tls, require_certificate, dialback] = p;
        (Policy { allow: true, require_tls, require_certificate, dialback }, certificate, bidi, sm)
    })
}

fn certificate() -> impl Strategy<Value = Certificate> {
    prop_oneof![Just(Certificate::Valid), Just(Certificate::Invalid("x".into())), Just(Certificate::None)]
}

/// What happens after the handshake.
#[derive(Clone, Debug)]
enum Step {
    Send,
    Wait(u64),
    CloseA,
    CloseB,
    Break,
    /// Something that was not agreed on.
    Forge(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Send),
        3 => (0u64..40).prop_map(Step::Wait),
        1 => Just(Step::CloseA),
        1 => Just(Step::CloseB),
        1 => Just(Step::Break),
        2 => (0..FORGED.len()).prop_map(Step::Forge),
    ]
}

/// What `a` may not say, whoever it is.
const FORGED: [&str; 8] = [
    "<message from='x@victim.example' to='y@sip.example.net' id='forged'/>",
    "<message from='x@sip.example.net' to='y@sip.example.net' id='forged'/>",
    "<message from='x@example.com' to='y@elsewhere.example' id='forged'/>",
    "<db:result from='victim.example' to='sip.example.net' type='valid'/>",
    "<db:verify from='victim.example' to='sip.example.net' id='x' type='valid'/>",
    "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>dmljdGltLmV4YW1wbGU=</auth>",
    "<iq from='x@example.com' to='y@sip.example.net' id='1' type='get'>",
];

type Setting = ((Policy, bool, bool, bool), (Policy, bool, bool, bool), [Certificate; 2], bool, bool);

fn set_up(setting: &Setting, pieces: Vec<usize>) -> Two {
    let (of_a, of_b, certificates, direct_tls, honest) = setting;
    let make = |name: &str, (policy, certificate, bidi, sm): &(Policy, bool, bool, bool)| {
        let mut config = config(name);
        config.rules.policy = *policy;
        config.local.insert(name.into(), Local { certificate: *certificate });
        (config.bidi, config.sm) = (*bidi, *sm);
        config
    };
    let initiate = Initiate { direct_tls: *direct_tls, ..Initiate::new(outward()) };
    let mut two = Two::new(make(REMOTE, of_a), make(LOCAL, of_b), initiate, certificates.clone());
    if !honest {
        two.secrets[0] = Secret::new(b"that of the real one");
    }
    let mut next = 0;
    two.cut = Box::new(move || {
        next += 1;
        pieces.get(next % pieces.len().max(1)).copied().unwrap_or(usize::MAX)
    });
    two
}

/// What a proof may rest on.
fn is_sound(policy: Policy, secured: bool, certificate: &Certificate, proof: Proof) -> bool {
    let is_valid = secured && *certificate == Certificate::Valid;
    match proof {
        Proof::Certificate => is_valid,
        Proof::Dialback => policy.dialback && !policy.require_certificate && (secured || !policy.require_tls),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Nobody sends or takes anything that his policy does not let him, and each stanza with a token has one end.
    #[test]
    fn policies_are_kept(
        setting in (side(), side(), [certificate(), certificate()], any::<bool>(), any::<bool>()),
        pieces in prop::collection::vec(1usize..200, 1..20),
        steps in prop::collection::vec(step(), 0..12),
    ) {
        let mut two = set_up(&setting, pieces);
        two.run();
        let ((policy_a, ..), (policy_b, ..), _, _, honest) = &setting;
        let mut sent = 0;
        let mut forged = false;
        for step in steps {
            match step {
                Step::Send => {
                    if two.send(sent + 1).is_ok() {
                        sent += 1;
                    }
                }
                Step::Wait(n) => two.wait(secs(n)),
                Step::CloseA => two.a.stream.close(two.now, None),
                Step::CloseB => two.b.stream.close(two.now, None),
                Step::Break => {
                    (two.a.gone, two.b.gone) = (true, true);
                    two.a.stream.closed(two.now);
                    two.b.stream.closed(two.now);
                }
                Step::Forge(which) => {
                    forged = true;
                    two.a.wire.extend(FORGED[which].as_bytes());
                }
            }
            two.run();
            for (side, policy) in [(&two.a, policy_a), (&two.b, policy_b)] {
                let is_a = std::ptr::eq(side, &two.a);
                for (pair, outward, inward) in side.stream.pairs() {
                    // What we send is theirs to believe; whom we send it to is ours. The side that was called sends to whom it has believed.
                    if outward.is_some() {
                        let secured = side.stream.is_secured();
                        prop_assert!(secured || !policy.require_tls);
                        prop_assert!(!policy.require_certificate || side.certificate == Certificate::Valid);
                    }
                    if let Some(proof) = inward {
                        prop_assert!(is_sound(*policy, side.stream.is_secured(), &side.certificate, proof), "{pair} {proof:?}");
                        prop_assert!(is_a || *honest || proof == Proof::Certificate, "an impostor");
                    }
                }
            }
            prop_assert!(!two.b.got.iter().any(|id| id == "forged"));
        }
        // Nothing twice, nothing out of order, nothing that was not sent.
        let expected: Vec<Str> = (1..=two.b.got.len()).map(|n| Str::from(n.to_string())).collect();
        prop_assert_eq!(&two.b.got, &expected);
        prop_assert!(two.b.got.len() as u64 <= sent);
        two.a.stream.close(two.now, None);
        two.b.stream.close(two.now, None);
        two.run();
        two.wait(secs(60));
        prop_assert_eq!((two.a.stream.deadline(), two.b.stream.deadline()), (None, None));
        let mut ends: Vec<u64> = two.a.taken.iter().chain(&two.a.lost).copied().collect();
        ends.sort_unstable();
        prop_assert_eq!(ends, (1..=sent).collect::<Vec<_>>());
        if !forged {
            // What is said to be taken was.
            prop_assert!(two.a.taken.len() <= two.b.got.len());
        }
        prop_assert_eq!(two.a.told.iter().filter(|t| t.starts_with("down")).count(), 1);
        prop_assert_eq!(two.b.told.iter().filter(|t| t.starts_with("down")).count(), 1);
    }

    /// However the bytes are cut up, the same comes of them.
    #[test]
    fn pieces_make_no_difference(
        setting in (side(), side(), [certificate(), certificate()], any::<bool>(), any::<bool>()),
        pieces in prop::collection::vec(1usize..100, 1..20),
    ) {
        let outcome = |pieces: Vec<usize>| {
            let mut two = set_up(&setting, pieces);
            two.run();
            for id in 1..=3 {
                _ = two.send(id);
            }
            two.run();
            let pairs = |s: &Side| s.stream.pairs().map(|(p, o, i)| (p.clone(), o, i)).collect::<Vec<_>>();
            (pairs(&two.a), pairs(&two.b), two.a.told, two.b.told, two.b.got, two.a.taken)
        };
        prop_assert_eq!(outcome(vec![usize::MAX]), outcome(pieces));
    }

    /// Policies that can meet do.
    #[test]
    fn who_can_meet_meets(
        setting in (side(), side(), [certificate(), certificate()], any::<bool>(), Just(true)),
    ) {
        let mut two = set_up(&setting, vec![usize::MAX]);
        two.run();
        let ((a, has_a, ..), (b, has_b, ..), [of_a, of_b], direct_tls, _) = &setting;
        let secured = *direct_tls || *has_b;
        let (of_a, of_b) = if secured { (of_a, of_b) } else { (&Certificate::None, &Certificate::None) };
        let valid = |c: &Certificate| *c == Certificate::Valid;
        let enough = |p: &Policy, c: &Certificate| {
            valid(c) || (p.dialback && !p.require_certificate && (secured || !p.require_tls))
        };
        // `a` has to like `b`'s certificate, and `b` what `a` can show.
        let meets = enough(a, of_b) && enough(b, of_a);
        prop_assert_eq!(two.a.stream.sends(&outward()), meets, "{:?} {:?}", two.a.told, two.b.told);
        prop_assert_eq!(two.b.stream.accepts(&pair()), meets);
        if meets {
            let by_certificate = valid(of_a) && *has_a;
            let (_, proof, _) = two.a.stream.pairs().next().expect("a pair");
            prop_assert_eq!(proof == Some(Proof::Certificate), by_certificate);
        }
    }
}

use super::both::Side;
