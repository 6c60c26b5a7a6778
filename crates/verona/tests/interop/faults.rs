//! Programs that die under traffic. "No loss" means: every message is delivered once, or its sender got an error.

use crate::world::{SOON, World};
use rehearsal::peers::{SipPhone, XmppMessage, json, until};
use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

/// Between two messages of steady traffic. These sleeps are the traffic's rate, nothing is waited for.
const PACE: Duration = Duration::from_millis(10);

/// Sends messages from SIP at a steady rate; gives the tokens of the texts.
struct Traffic {
    sent: BTreeMap<String, u64>,
}

impl Traffic {
    fn send(&mut self, world: &World, phone: &mut SipPhone, count: usize) {
        for _ in 0..count {
            let text = format!("text {}", self.sent.len());
            let token = phone.send(world.gateway.sip(), json!({"uri": "sip:juliet@example.com", "body": text}));
            self.sent.insert(text, token);
            sleep(PACE);
        }
    }
}

/// How often each text arrived.
fn tally(into: &mut BTreeMap<String, usize>, messages: Vec<XmppMessage>) {
    for body in messages.into_iter().filter(|m| m.error.is_none()).filter_map(|m| m.body) {
        *into.entry(body).or_default() += 1;
    }
}

/// Fault 1: the XMPP server is killed and comes back while SIP users write.
#[test]
fn prosody_dies_and_comes_back_under_traffic_from_sip() {
    let (mut world, mut romeo) = World::new("prosody-dies");
    let mut juliet = world.client("juliet", "balcony");
    let mut traffic = Traffic { sent: BTreeMap::new() };
    let mut arrived = BTreeMap::new();

    traffic.send(&world, &mut romeo, 100);
    world.prosody.kill();
    traffic.send(&world, &mut romeo, 100);
    juliet.wait_offline();
    tally(&mut arrived, juliet.messages());
    assert!(!world.gateway.is_ready(), "/ready tells the truth");
    let answer = world.ask(&mut romeo, json!({"uri": "sip:juliet@example.com", "body": "meanwhile"}));
    assert!(matches!(answer.code, 480 | 503), "{}", answer.raw);
    assert!(!answer.header("Retry-After").is_empty(), "{}", answer.raw);

    let (place, prosody) = (&world.place, &mut world.prosody);
    prosody.restart(place);
    juliet.connect(prosody);
    traffic.send(&world, &mut romeo, 100);
    world.gateway.wait_ready(Duration::from_secs(30));
    traffic.send(&world, &mut romeo, 100);

    let mut good = 0;
    let answers: BTreeMap<_, _> =
        traffic.sent.iter().map(|(text, token)| (text, romeo.response(Duration::from_secs(35), *token).code)).collect();
    // Whatever was answered 200 was processed by the server, so it is on its way to the client at most.
    let end = world.say(&mut romeo, "the end");
    assert_eq!(end, 200);
    juliet.message(SOON, |m| m.body.as_deref() == Some("the end"));
    tally(&mut arrived, juliet.messages());
    for (text, code) in answers {
        let times = arrived.get(text).copied().unwrap_or_default();
        match code {
            200 => {
                assert_eq!(times, 1, "{text} was answered 200");
                good += 1;
            }
            // At most once, even where the sender was told that it may have failed.
            404 | 480 | 503 | 604 => assert!(times <= 1, "{text} was answered {code} and came {times} times"),
            _ => assert_eq!(code, 0, "{text}: an answer that nobody expects"),
        }
    }
    assert!(good >= 200, "before and after it all goes through; it was {good}");
}

/// The other way round: messages that reached the gateway reach the phone once, and what failed meanwhile is told later.
#[test]
fn prosody_dies_and_comes_back_under_traffic_from_xmpp() {
    let (mut world, mut romeo) = World::new("prosody-dies-x");
    let mut juliet = world.client("juliet", "balcony");
    for n in 0..100 {
        juliet.send(json!({"to": "romeo@example.net", "body": format!("text {n}")}));
        sleep(PACE);
    }
    world.prosody.kill();
    juliet.wait_offline();
    let (place, prosody) = (&world.place, &mut world.prosody);
    prosody.restart(place);
    juliet.connect(prosody);
    world.gateway.wait_ready(Duration::from_secs(30));
    juliet.send(json!({"to": "romeo@example.net", "body": "the end"}));
    romeo.request(SOON, |r| r.body.as_deref() == Some("the end"));
    let mut bodies: Vec<_> = romeo.requests().into_iter().filter_map(|r| r.body).collect();
    // One at a time, in order (RFC 3428 §8), each once.
    let numbers: Vec<usize> = bodies.iter().filter_map(|b| b.strip_prefix("text ")?.parse().ok()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    bodies.dedup();
    assert_eq!(bodies.len(), numbers.len());
    // Those that Prosody had not handed over when it died are Prosody's; there are few of them.
    assert!(numbers.len() >= 90, "{numbers:?}");
}

/// What SIP refuses while the XMPP server is away is told when it is back.
#[test]
fn an_error_waits_for_the_server() {
    let (mut world, mut romeo) =
        World::with("late-error", |s| s.more = "[xmpp]\nreconnect_min = \"3s\"\nreconnect_max = \"4s\"".to_owned());
    let mut juliet = world.client("juliet", "balcony");
    romeo.order_answer(json!({"code": 486, "reason": "Busy Here", "delay": 0.5}));
    let id = juliet.send(json!({"to": "romeo@example.net", "body": "x"}));
    romeo.request(SOON, |_| true);
    world.prosody.kill();
    juliet.wait_offline();
    let (place, prosody) = (&world.place, &mut world.prosody);
    prosody.restart(place);
    juliet.connect(prosody);
    assert_eq!(juliet.error(SOON, &id).condition(), "recipient-unavailable");
}

/// Fault 8: nobody is there any more, over UDP and over TCP; then somebody is.
#[test]
fn the_sip_side_is_gone_and_comes_back() {
    for transport in ["udp", "tcp"] {
        let (world, romeo) = World::with(&format!("sip-gone-{transport}"), |s| {
            s.transport = transport;
            s.more_sip = "t1 = \"50ms\"".to_owned();
        });
        let mut juliet = world.client("juliet", "balcony");
        let at = romeo.address();
        drop(romeo);
        let ids: Vec<_> =
            (0..5).map(|n| juliet.send(json!({"to": "romeo@example.net", "body": format!("lost {n}")}))).collect();
        for id in ids {
            let error = juliet.error(Duration::from_secs(30), &id);
            let condition = error.condition();
            let right = ["remote-server-timeout", "remote-server-not-found", "internal-server-error"];
            assert!(right.contains(&condition), "{transport}: {}", error.raw);
        }
        let mut romeo = SipPhone::listen(&world.place, "romeo-again", at);
        juliet.send(json!({"to": "romeo@example.net", "body": "back"}));
        let got = romeo.request(Duration::from_secs(15), |_| true);
        assert_eq!(got.body.as_deref(), Some("back"), "{transport}: nothing of before is sent now");
        assert_eq!(world.say(&mut romeo, "hello"), 200, "{transport}");
        juliet.message(SOON, |m| m.body.as_deref() == Some("hello"));
    }
}

/// Fault 2, without a store: what was answered 200 is there; what was not, its sender sends again or is told. It is up again at once.
#[test]
fn the_gateway_is_killed_under_traffic_and_comes_back() {
    let (mut world, mut romeo) = World::new("killed");
    let mut juliet = world.client("juliet", "balcony");
    let mut traffic = Traffic { sent: BTreeMap::new() };
    let mut arrived = BTreeMap::new();
    traffic.send(&world, &mut romeo, 50);
    world.gateway.kill();
    // What Prosody writes before it has seen the end of the stream is lost in it; after that it says so.
    until("Prosody says that nobody is there", SOON, || {
        juliet.send(json!({"to": "romeo@example.net", "body": "anybody?"}));
        sleep(Duration::from_millis(200));
        let came = juliet.messages();
        let told = came.iter().any(|m| m.condition() == "remote-server-timeout");
        tally(&mut arrived, came);
        told
    });
    traffic.send(&world, &mut romeo, 20);
    world.gateway.restart(&world.place);
    traffic.send(&world, &mut romeo, 50);
    // Requests that found nobody are sent again by their transaction (timer E) and find the new one, perhaps before it
    // has reached the XMPP server: 503.
    let answers: BTreeMap<_, _> =
        traffic.sent.iter().map(|(text, token)| (text, romeo.response(Duration::from_secs(35), *token).code)).collect();
    assert_eq!(world.say(&mut romeo, "the end"), 200);
    juliet.message(SOON, |m| m.body.as_deref() == Some("the end"));
    tally(&mut arrived, juliet.messages());
    for (text, code) in answers {
        let times = arrived.get(text).copied().unwrap_or_default();
        assert!(matches!(code, 200 | 503), "{text} was answered {code}");
        // Twice only where it died between handing over and answering: the sender asked again, rightly.
        assert!(times >= usize::from(code == 200), "{text} was answered {code} and came {times} times");
    }
    let twice = arrived.values().filter(|n| **n > 1).count();
    assert!(twice <= 10, "{twice} came twice");
    assert!(arrived.len() >= 100, "{} of 120 came", arrived.len());
}

/// SIGTERM: what is under way ends first, and the exit status says that all went well.
#[test]
fn sigterm_waits_for_what_is_under_way() {
    let (mut world, mut romeo) = World::new("drain");
    let mut juliet = world.client("juliet", "balcony");
    romeo.order_answer(json!({"code": 486, "reason": "Busy Here", "delay": 1.0}));
    let id = juliet.send(json!({"to": "romeo@example.net", "body": "x"}));
    romeo.request(SOON, |_| true);
    world.gateway.process().signal("TERM");
    assert_eq!(juliet.error(SOON, &id).condition(), "recipient-unavailable");
    let status = world.gateway.process().wait(SOON);
    assert!(status.success(), "{status}");
}
