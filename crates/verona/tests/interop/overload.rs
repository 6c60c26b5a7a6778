//! Too much, too slow, too often: what cannot be done is said at once, and the rest goes on.

use crate::world::{SOON, World};
use rehearsal::peers::{SipPhone, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn limits(lines: &str) -> String {
    format!("[limits]\nshards = 1\n{lines}\n")
}

/// The server reads nothing and answers nothing, but its connection stands. A 200 would be a lie until it goes on; the senders'
/// retransmissions meanwhile are no new messages.
#[test]
fn prosody_stands_still_and_goes_on() {
    let (mut world, mut romeo) = World::new("still");
    let mut juliet = world.client("juliet", "balcony");
    assert_eq!(world.say(&mut romeo, "before"), 200);
    world.prosody.process().signal("STOP");
    let tokens: Vec<_> = (0..20)
        .map(|n| romeo.send(world.gateway.sip(), json!({"uri": "sip:juliet@example.com", "body": format!("text {n}")})))
        .collect();
    juliet.message(SOON, |m| m.body.as_deref() == Some("before"));
    juliet.no_message(Duration::from_secs(3), |_| true);
    world.prosody.process().signal("CONT");
    for token in tokens {
        assert_eq!(romeo.response(SOON, token).code, 200);
    }
    for n in 0..20 {
        assert_eq!(juliet.message(SOON, |_| true).body, Some(format!("text {n}")), "in order");
    }
    juliet.no_message(Duration::from_millis(300), |_| true);
}

/// It stands still for longer than a SIP request may be held: 503 with Retry-After, and at most once at the client.
#[test]
fn prosody_stands_still_for_too_long() {
    let (mut world, mut romeo) = World::with("too-long", |s| s.more = limits("held_for = \"1s\""));
    let mut juliet = world.client("juliet", "balcony");
    assert_eq!(world.say(&mut romeo, "before"), 200);
    juliet.message(SOON, |_| true);
    world.prosody.process().signal("STOP");
    let answer = world.ask(&mut romeo, json!({"uri": "sip:juliet@example.com", "body": "meanwhile"}));
    assert_eq!(answer.code, 503);
    assert!(!answer.header("Retry-After").is_empty(), "{}", answer.raw);
    world.prosody.process().signal("CONT");
    assert_eq!(world.say(&mut romeo, "after"), 200);
    juliet.message(SOON, |m| m.body.as_deref() == Some("after"));
    assert!(juliet.messages().len() <= 1);
}

/// More requests than may be held: 503 with Retry-After at once for those beyond, the others as ever.
#[test]
fn more_than_can_be_held_is_refused_at_once() {
    let (mut world, mut romeo) = World::with("held", |s| s.more = limits("held = 16"));
    let mut juliet = world.client("juliet", "balcony");
    world.prosody.process().signal("STOP");
    let tokens: Vec<_> = (0..60)
        .map(|n| romeo.send(world.gateway.sip(), json!({"uri": "sip:juliet@example.com", "body": format!("text {n}")})))
        .collect();
    let start = Instant::now();
    for token in &tokens[30..] {
        let answer = romeo.response(SOON, *token);
        assert_eq!(answer.code, 503);
        assert!(!answer.header("Retry-After").is_empty(), "{}", answer.raw);
    }
    assert!(start.elapsed() < Duration::from_secs(3), "at once");
    world.prosody.process().signal("CONT");
    let good = tokens[..30].iter().filter(|t| romeo.response(SOON, **t).code == 200).count();
    assert_eq!(good, 16);
    for n in 0..16 {
        assert_eq!(juliet.message(SOON, |_| true).body, Some(format!("text {n}")));
    }
    juliet.no_message(Duration::from_millis(300), |_| true);
    assert_eq!(world.say(&mut romeo, "after"), 200);
}

/// RFC 3428 §8: one at a time from one user to another, in order; those that wait beyond the bound are refused.
#[test]
fn a_slow_phone_gets_one_at_a_time_and_the_rest_is_bounded() {
    let (world, mut romeo) = World::with("pair", |s| s.more = limits("queue_per_pair = 8"));
    let mut juliet = world.client("juliet", "balcony");
    let mut nurse = world.client("nurse", "kitchen");
    romeo.order_answer(json!({"code": 200, "reason": "OK", "delay": 0.3}));
    let ids: Vec<_> =
        (0..20).map(|n| juliet.send(json!({"to": "romeo@example.net", "body": format!("text {n}")}))).collect();
    // The first nine go out, the others are told at once.
    for id in &ids[9..] {
        assert_eq!(juliet.error(SOON, id).condition(), "resource-constraint");
    }
    // Nobody else waits for them.
    nurse.send(json!({"to": "romeo@example.net", "body": "from the nurse"}));
    nurse.send(json!({"to": "paris@example.net", "body": "to paris"}));
    let mut heard = 0;
    for n in 0..9 {
        let got = romeo.request(SOON, |r| r.header("From").contains("juliet"));
        assert_eq!(got.body, Some(format!("text {n}")));
        let early = romeo.requests();
        assert!(early.iter().all(|r| !r.header("From").contains("juliet")), "two at once: {early:#?}");
        heard += early.len();
    }
    assert_eq!(heard, 2, "the nurse, meanwhile");
    assert!(juliet.messages().is_empty() && nurse.messages().is_empty(), "no other errors");
}

/// RFC 3261 §17.2.2: whoever asks again gets the same answer, and nothing happens twice.
#[test]
fn a_storm_of_retransmissions_is_one_message() {
    let (world, mut romeo) = World::new("storm");
    let mut juliet = world.client("juliet", "balcony");
    let request = |user: &str, branch: &str| {
        format!(
            "MESSAGE sip:{user}@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bK{branch};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:romeo@example.net>;tag=1\r\nTo: <sip:{user}@example.com>\r\n\
             Call-ID: {branch}\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nstorm",
            romeo.address()
        )
    };
    let (known, unknown) = (request("juliet", "known"), request("nobody", "unknown"));
    for _ in 0..100 {
        romeo.send_raw(world.gateway.sip(), "udp", known.as_bytes());
        romeo.send_raw(world.gateway.sip(), "udp", unknown.as_bytes());
    }
    let mut ask = |bytes: &str, branch: &str| {
        let mut answers = vec![romeo.stray(SOON, |r| r.header("Call-ID") == branch)];
        for _ in 0..20 {
            romeo.send_raw(world.gateway.sip(), "udp", bytes.as_bytes());
        }
        while answers.len() <= 20 {
            answers.push(romeo.stray(SOON, |r| r.header("Call-ID") == branch));
        }
        answers[0].assert_legal();
        let mut answers: Vec<_> = answers.into_iter().map(|a| a.raw).collect();
        answers.dedup();
        assert_eq!(answers.len(), 1, "the same answer each time: {answers:#?}");
        answers.remove(0)
    };
    assert!(ask(&known, "known").starts_with("SIP/2.0 200 "));
    assert!(ask(&unknown, "unknown").starts_with("SIP/2.0 40"));
    assert_eq!(juliet.message(SOON, |_| true).body.as_deref(), Some("storm"));
    juliet.no_message(Duration::from_millis(500), |_| true);
}

/// Connections that say nothing or half a thing hinder nobody and are closed.
#[test]
fn silent_and_slow_connections_hinder_nobody() {
    let (world, mut romeo) =
        World::with("slow", |s| s.more = limits("half_message = \"1s\"\nconnections_per_address = 50"));
    let mut juliet = world.client("juliet", "balcony");
    let at = world.gateway.sip();
    let mut open: Vec<_> = (0..45).filter_map(|_| TcpStream::connect(at).ok()).collect();
    assert_eq!(open.len(), 45);
    for stream in open.iter_mut().step_by(2) {
        stream.write_all(b"MESSAGE sip:juliet@example.com SIP/2.0\r\nVia: SIP/2.0/TCP x").expect("just opened");
    }
    for transport in ["udp", "tcp"] {
        let order = json!({"uri": "sip:juliet@example.com", "body": transport, "transport": transport});
        assert_eq!(world.ask(&mut romeo, order).code, 200, "{transport}");
        assert_eq!(juliet.message(SOON, |_| true).body.as_deref(), Some(transport));
    }
    for mut stream in open {
        stream.set_read_timeout(Some(SOON)).expect("a positive time");
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        let reset = std::io::ErrorKind::ConnectionReset;
        assert!(ended.as_ref().map_or_else(|e| e.kind() == reset, |_| true), "still open: {ended:?}");
    }
    assert_eq!(world.say(&mut romeo, "after"), 200);
}

/// Nonsense, over both transports; after each a good message passes.
#[test]
fn nonsense_hinders_nobody() {
    let (world, mut romeo) = World::new("nonsense");
    let mut juliet = world.client("juliet", "balcony");
    let long = format!("MESSAGE sip:{} SIP/2.0\r\n\r\n", "x".repeat(60_000));
    let headers = format!("MESSAGE sip:juliet@example.com SIP/2.0\r\n{}\r\n", "Via: SIP/2.0/UDP x\r\n".repeat(2_000));
    let cases: [&[u8]; 12] = [
        b"\0\0\0\0",
        b"\r\n\r\n\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"MESSAGE sip:juliet@example.com SIP/2.0\r\n\r\n",
        b"MESSAGE sip:juliet@example.com SIP/9.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKx\r\n\r\n",
        b"MESSAGE\r\n",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"SIP/2.0 999 \xff\r\nVia: SIP/2.0/UDP x\r\n\r\n",
        b"<?xml version='1.0'?><stream:stream>",
        b"MESSAGE sip:juliet@example.com SIP/2.0\r\nContent-Length: 99999999999999999999\r\n\r\n",
        long.as_bytes(),
        headers.as_bytes(),
    ];
    for (number, case) in cases.into_iter().enumerate() {
        for transport in ["udp", "tcp"] {
            send_and_forget(&mut romeo, &world, transport, case);
            let text = format!("after {number} over {transport}");
            assert_eq!(world.say(&mut romeo, &text), 200, "{text}");
            assert_eq!(juliet.message(SOON, |_| true).body, Some(text));
        }
    }
    assert!(world.gateway.is_ready());
}

/// Over TCP on a connection of its own, so that the phone's good one is not cut off with it.
fn send_and_forget(phone: &mut SipPhone, world: &World, transport: &str, bytes: &[u8]) {
    if transport == "udp" {
        phone.send_raw(world.gateway.sip(), "udp", bytes);
    } else if let Ok(mut stream) = TcpStream::connect(world.gateway.sip()) {
        let _ = stream.write_all(bytes);
    }
}
