//! RFC 4975 §5.4: whose connection it is.

use super::*;

const OTHER: ConnectionId = ConnectionId(8);

#[test]
fn the_first_connection_with_both_paths_is_the_sessions() {
    let mut desk = Desk::with(config());
    desk.agent.begin(desk.now, desk.id, &peer(Way::Passive));
    let good = desk.send("tida", "m123", "", None, '$');
    for (was, is) in [
        ("192.0.2.10:2855/peer", "192.0.2.10:2855/beer"),
        ("192.0.2.10:2855/peer", "192.0.2.10:2856/peer"),
        ("msrp://192.0.2.10", "msrps://192.0.2.10"),
        ("gw.example.com:2855", "gw.example.org:2855"),
        ("To-Path: ", "To-Path: msrp://gw.example.com:2855/x;tcp "),
        ("From-Path: ", "From-Path: msrp://gw.example.com:2855/x;tcp "),
        (";tcp\r\nFrom", ";tcp msrp://10.0.0.1:22/x;tcp\r\nFrom"),
        ("/00", "/01"),
    ] {
        assert_eq!(desk.receive(&good.replacen(was, is, 1)), ["7: tida 481 No Such Session"], "{is}");
    }
    // No session-id at all, and one in other case.
    let session = desk.own.rsplit_once('/').unwrap().1.trim_end_matches(";tcp").to_owned();
    for is in [String::new(), format!("/{}", session.to_uppercase())] {
        let text = good.replacen(&format!("/{session}"), &is, 1);
        assert_eq!(desk.receive(&text), ["7: tida 481 No Such Session"]);
    }
    let same = good.replacen("192.0.2.10", "user@192.0.2.10", 1).replacen("gw.example.com", "GW.example.com", 1);
    assert_eq!(desk.receive(&same), ["bind 7", "up 1", "7: tida 200 OK"]);
    assert_eq!(desk.receive_on(OTHER, &good), ["8: tida 506 Session In Use"]);
    assert_eq!(desk.receive_on(OTHER, &good.replacen("peer", "beer", 1)), ["8: tida 481 No Such Session"]);
    let quiet = good.replacen("Message-ID", "Failure-Report: no\r\nMessage-ID", 1);
    assert_eq!(desk.receive_on(OTHER, &quiet), [""; 0]);
    desk.agent.lost(desk.now, OTHER);
    assert_eq!(desk.drain(), [""; 0]);
}

/// RFC 4975 §14.4: whose certificate was described, and nobody without TLS.
#[test]
fn a_session_over_tls_takes_the_connection_whose_certificate_was_described() {
    let hash = |byte: u8| Fingerprint { algorithm: "sha-256".into(), digest: Bytes::from(vec![byte; 32]) };
    let begin = |wanted: Vec<Fingerprint>, early: bool| {
        let mut desk = Desk::with(config());
        desk.id = desk.agent.open(desk.now, true).unwrap();
        desk.own = desk.agent.local_path(desk.id).unwrap().to_string();
        desk.drain();
        desk.agent.expect(desk.id, wanted);
        desk.agent.secured(OTHER, vec![hash(9), hash(1)].into());
        desk.agent.secured(ConnectionId(9), vec![].into());
        let good = desk.send("tida", "m123", "", None, '$');
        if early {
            assert_eq!(desk.receive(&good), [""; 0]);
        }
        desk.agent.begin(desk.now, desk.id, &peer(Way::Passive));
        (desk, good)
    };
    let stranger = ["7: tida 481 No Such Session"];
    for early in [false, true] {
        let (mut desk, good) = begin(vec![hash(3), hash(1)], early);
        let said = if early { desk.drain() } else { desk.receive(&good) };
        assert_eq!(said, stranger, "in the clear");
        assert_eq!(desk.receive_on(ConnectionId(9), &good), ["9: tida 481 No Such Session"], "without a certificate");
        assert_eq!(desk.receive_on(OTHER, &good), ["bind 8", "up 2", "8: tida 200 OK"]);
    }
    let (mut desk, good) = begin(vec![hash(2)], false);
    assert_eq!(desk.receive_on(OTHER, &good), ["8: tida 481 No Such Session"], "another certificate");
    // Where none was described any will do, but TLS it must be.
    let (mut desk, good) = begin(vec![], false);
    assert_eq!(desk.receive(&good), stranger);
    assert_eq!(desk.receive_on(ConnectionId(9), &good), ["bind 9", "up 2", "9: tida 200 OK"]);
    // What is lost is forgotten.
    for connection in [OTHER, ConnectionId(9)] {
        desk.agent.lost(desk.now, connection);
    }
    assert!(desk.agent.core.secured.is_empty());
}

#[test]
fn an_answer_counts_on_the_sessions_connection_only() {
    let mut desk = Desk::up(config());
    let (sent, _) = desk.say(message("Hi"));
    let tid = desk.agent.sessions.get(&desk.id).unwrap().outbox.transactions[0].id.clone();
    let answer =
        format!("MSRP {tid} 200 OK\r\nTo-Path: {}\r\nFrom-Path: {PEER}\r\n-------{tid}$\r\n", desk.own.clone());
    assert_eq!(desk.receive_on(OTHER, &answer), [""; 0]);
    assert_eq!(desk.receive(&answer), [format!("sent {sent}")]);
}

/// The other end may be faster by MSRP than by SIP.
#[test]
fn what_comes_before_the_other_end_is_known_waits() {
    let mut desk = Desk::with(config());
    let text = desk.send("tida", "m123", "", Some("Hi"), '$');
    let stranger = text.replacen("peer", "beer", 1);
    assert_eq!(desk.receive_on(OTHER, &stranger), [""; 0]);
    assert_eq!(desk.receive(&text), [""; 0]);
    desk.agent.begin(desk.now, desk.id, &peer(Way::Active(hop())));
    assert_eq!(desk.drain(), ["8: tida 481 No Such Session", "bind 7", "up 1", "message 1 m123 \"Hi\""]);

    // Within bounds; and a connection that is lost meanwhile is nobody's.
    let mut desk = Desk::with(config());
    let text = desk.send("tida", "m123", "", None, '$');
    for _ in 0..8 {
        assert_eq!(desk.receive(&text), [""; 0]);
    }
    assert_eq!(desk.receive(&text), ["7: tida 481 No Such Session"]);
    desk.agent.lost(desk.now, WIRE);
    desk.agent.begin(desk.now, desk.id, &peer(Way::Active(hop())));
    assert_eq!(desk.drain(), ["open 1 peer.example.com:2855"]);
    let mut desk = Desk::with(config());
    assert_eq!(desk.receive(&text), [""; 0]);
    desk.agent.close(desk.now, desk.id);
    assert_eq!(desk.drain(), ["7: tida 481 No Such Session"]);
}

#[test]
fn who_connects_in_time_is_up_others_are_not() {
    let mut desk = Desk::with(config());
    desk.agent.begin(desk.now, desk.id, &peer(Way::Passive));
    let (sent, _) = desk.say(message("Hi"));
    assert_eq!(desk.wait(29), [""; 0]);
    assert_eq!(desk.wait(1), [format!("failed {sent} NeverSent"), "closed NotBound".to_owned()]);

    for after in [0, 30] {
        let mut desk = Desk::with(config());
        desk.agent.begin(desk.now, desk.id, &peer(Way::Active(hop())));
        desk.drain();
        let (sent, _) = desk.say(message("Hi"));
        let wanted = [format!("failed {sent} NeverSent"), "closed Unreachable".to_owned()];
        if after == 0 {
            desk.agent.opened(desk.now, Ticket(1), None);
            assert_eq!(desk.drain(), wanted);
        } else {
            assert_eq!(desk.wait(after), wanted);
            desk.agent.opened(desk.now, Ticket(1), Some(WIRE));
            assert_eq!(desk.drain(), [""; 0], "too late: nobody wants it");
        }
    }
}

/// Both connect at once: the first one to speak has it, the other connection is nobody's.
#[test]
fn connections_that_cross() {
    let mut desk = Desk::with(config());
    desk.agent.begin(desk.now, desk.id, &peer(Way::Active(hop())));
    desk.drain();
    let text = desk.send("tida", "m123", "", None, '$');
    assert_eq!(desk.receive(&text), ["bind 7", "up 1", "7: tida 200 OK"]);
    desk.agent.opened(desk.now, Ticket(1), Some(OTHER));
    assert_eq!(desk.drain(), [""; 0]);
    assert_eq!(desk.receive_on(OTHER, &text), ["8: tida 506 Session In Use"]);
}

#[test]
fn sessions_share_a_connection_and_its_end() {
    let mut desk = Desk::up(config());
    let two = desk.agent.open(desk.now, false).unwrap();
    let own = desk.agent.local_path(two).unwrap().to_string();
    desk.agent.begin(desk.now, two, &peer(Way::Passive));
    desk.drain();
    let first = std::mem::replace(&mut desk.own, own);
    let text = desk.send("tida", "m123", "", None, '$');
    assert_eq!(desk.receive(&text), ["bind 7", "up 2", "7: tida 200 OK"]);
    desk.agent.close(desk.now, two);
    assert_eq!(desk.drain(), ["release 7"]);
    assert_eq!(desk.receive(&text), ["7: tida 481 No Such Session"]);
    desk.own = first;
    let text = desk.send("tida", "m123", "", None, '$');
    assert_eq!(desk.receive(&text), ["7: tida 200 OK"]);
    desk.agent.lost(desk.now, WIRE);
    assert_eq!(desk.drain(), ["closed Lost"]);
    assert!(desk.agent.core.on.is_empty() && desk.agent.core.by_name.is_empty() && desk.agent.core.due.is_empty());
}

#[test]
fn sessions_are_bounded_and_named_by_their_shard() {
    let mut agent = Agent::new(Config { shard: 0xa7, max_sessions: 1, ..config() }, Tokens::seeded(1));
    let id = agent.open(Time::ZERO, true).unwrap();
    let path = agent.local_path(id).unwrap();
    assert!(path.as_str().starts_with("msrps://gw.example.com:2856/a7"), "{path}");
    assert_eq!(path.first().session_id().map(str::len), Some(28));
    assert_eq!(agent.open(Time::ZERO, true), Err(NotOpened::Full));
    let mut nowhere = Agent::new(Config { advertise: Vec::new(), ..config() }, Tokens::seeded(1));
    assert_eq!(nowhere.open(Time::ZERO, false), Err(NotOpened::NoAddress));
    let request = Request::new("tida", Method::Send, path.clone(), path);
    assert_eq!(crate::shard_of(&Arrival::Frame(Frame::Request(request.clone()))), Some(0xa7));
    for other in ["msrp://h:1;tcp", "msrp://h:1/A7x;tcp", "msrp://h:1/a;tcp", "msrp://h:1/+7;tcp"] {
        let request = Request { to: Path::parse(other).unwrap(), ..request.clone() };
        assert_eq!(crate::shard_of(&Arrival::TooLarge(request)), None, "{other}");
    }
}
