//! Requests that come.

use super::*;

#[test]
fn a_request_comes_up_once_and_is_answered_to_its_source() {
    let mut desk = Desk::new();
    let id = desk.surfaced(&message());
    let out = desk.answer(id, 200);
    let tag = text(&sent(&out)).split(";tag=").nth(2).and_then(|t| t.get(..16)).expect("a tag").to_owned();
    assert_eq!(
        text(&sent(&out)),
        format!(
            "SIP/2.0 200 OK\r\n\
             Via: SIP/2.0/UDP a.example.net;branch=z9hG4bKa1;received=192.0.2.1;rport=5070\r\n\
             From: <sip:romeo@example.net>;tag=f1\r\n\
             To: <sip:juliet@example.com>;tag={tag}\r\n\
             Call-ID: c1@example.net\r\n\
             CSeq: 1 MESSAGE\r\n\
             Content-Length: 0\r\n\r\n"
        )
    );
    assert_eq!(sent_to(&out), SendTo::Flow { flow: desk.flow, fallback: None });
    let counts = desk.agent.counts();
    assert_eq!((counts.requests_in, counts.server_open, counts.remembered), (1, 0, 1));
}

#[test]
fn a_retransmission_gets_the_same_bytes_until_timer_j() {
    let mut desk = Desk::new();
    let id = desk.surfaced(&message());
    // RFC 3261 §17.2.2 Trying: absorbed while the answer is held.
    assert_eq!(told(&desk.receive(&message())), "");
    let first = sent(&desk.answer(id, 200));
    for _ in 0..64 {
        assert_eq!(timed(&desk.wait(499)), "");
        assert_eq!(sent(&desk.receive(&message())), first);
    }
    assert_eq!(timed(&desk.wait(8000)), "");
    // By then it is a new request.
    desk.surfaced(&message());
    let counts = desk.agent.counts();
    assert_eq!((counts.requests_in, counts.retransmissions_in, counts.answered_again), (2, 65, 64));
}

#[test]
fn every_kind_of_answer_is_the_same_again() {
    let answers = [
        Response::new(200, ""),
        Response::new(202, "Kept For Later"),
        Response::new(404, ""),
        {
            let mut r = Response::new(302, "");
            r.headers.push(Name::Contact, "<sip:juliet@elsewhere.example>");
            r
        },
        {
            let mut r = Response::new(403, "With A Body");
            r.headers.push(Name::ContentType, "text/plain");
            r.body = Bytes::from_static(b"no");
            r
        },
        {
            let mut r = Response::new(500, "");
            r.headers.push("X-Long", "x".repeat(2000));
            r
        },
    ];
    for answer in answers {
        let mut desk = Desk::new();
        let id = desk.surfaced(&message());
        desk.agent.respond(desk.now, id, answer.clone());
        let first = sent(&desk.drain());
        let head = format!("SIP/2.0 {} {}\r\n", answer.code, answer.reason);
        assert!(text(&first).starts_with(&head), "{}", text(&first));
        assert!(first.ends_with(&[b"\r\n\r\n", &answer.body[..]].concat()));
        assert_eq!(sent(&desk.receive(&message())), first);
        // A second answer is none.
        assert_eq!(told(&desk.answer(id, 200)), "");
        assert_eq!(sent(&desk.receive(&message())), first);
    }
}

#[test]
fn what_the_user_copies_is_not_doubled() {
    let mut desk = Desk::new();
    let Some(Output::Request { id, request, .. }) = desk.receive(&message()).pop() else { panic!("no request") };
    desk.agent.respond(desk.now, id, Response::to_request(&request, 200, "OK", Some("theirs")));
    let answer = sent(&desk.drain());
    for name in ["Via:", "From:", "To:", "Call-ID:", "CSeq:", "Content-Length:"] {
        assert_eq!(text(&answer).matches(&format!("\r\n{name}")).count(), 1, "{name}");
    }
    assert!(!text(&answer).contains("theirs"));
}

/// RFC 4320 §4.1: a 100 when the other side's timer E has reached T2, never before; §4.2: no answer after its timer F.
#[test]
fn a_held_request_gets_100_after_3500_ms_and_is_forgotten_after_32_s() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut desk = Desk::new();
        desk.flow = flow(transport, "192.0.2.1:5070");
        let id = desk.surfaced(&message());
        assert_eq!(timed(&desk.wait(3499)), "");
        assert_eq!(told(&desk.receive(&message())), "");
        let out = desk.wait(1);
        assert_eq!(timed(&out), "1 to 192.0.2.1:5070: SIP/2.0 100 Trying\n");
        // No tag in a 100.
        let Some((_, Output::Send { bytes: trying, .. })) = out.into_iter().next() else { panic!("no 100") };
        assert!(text(&trying).contains("\r\nTo: <sip:juliet@example.com>\r\n"));
        assert_eq!(sent(&desk.receive(&message())), trying);
        assert_eq!(timed(&desk.wait(28_500)), "28500 cancelled\n");
        assert_eq!(told(&desk.answer(id, 200)), "");
        assert_eq!(told(&desk.receive(&message())), "");
        assert_eq!((desk.agent.counts().useless, desk.agent.counts().server_open), (1, 0));
    }
}

#[test]
fn a_non_invite_gets_no_other_1xx_and_no_408() {
    let mut desk = Desk::new();
    let id = desk.surfaced(&message());
    assert_eq!(told(&desk.answer(id, 180)), "");
    assert_eq!(told(&desk.answer(id, 100)), "");
    assert_eq!(told(&desk.answer(id, 408)), "");
    assert_eq!(told(&desk.answer(id, 480)), "to 192.0.2.1:5070: SIP/2.0 480 Temporarily Unavailable\n");
}

#[test]
fn a_timestamp_comes_back_in_a_100() {
    let mut desk = Desk::new();
    let stamped = message().replace("Max-Forwards", "Timestamp: 54.2\nMax-Forwards");
    let id = desk.surfaced(&stamped);
    let Some((_, Output::Send { bytes, .. })) = desk.wait(3500).pop() else { panic!("no 100") };
    assert!(text(&bytes).contains("\r\nTimestamp: 54.2\r\n"));
    assert!(!text(&sent(&desk.answer(id, 200))).contains("Timestamp"));
}

/// RFC 3261 §18.2.2, RFC 3581 §4: the source's address always; its port only if asked.
#[test]
fn where_an_answer_goes() {
    let cases = [
        ("a.example.net:5099;branch=z9hG4bK1;rport", "192.0.2.1:5070", ";received=192.0.2.1;rport=5070"),
        ("a.example.net:5099;branch=z9hG4bK1", "192.0.2.1:5099", ";received=192.0.2.1"),
        ("a.example.net;branch=z9hG4bK1", "192.0.2.1:5060", ";received=192.0.2.1"),
        ("192.0.2.1:5099;branch=z9hG4bK1", "192.0.2.1:5099", ""),
        ("a.example.net:0;branch=z9hG4bK1", "192.0.2.1:5060", ";received=192.0.2.1"),
        ("203.0.113.9:5099;branch=z9hG4bK1;maddr=203.0.113.10", "192.0.2.1:5099", ";received=192.0.2.1"),
        ("203.0.113.9;branch=z9hG4bK1;maddr=224.0.1.75;ttl=9", "192.0.2.1:5060", ";received=192.0.2.1"),
        (
            "203.0.113.9;branch=z9hG4bK1;received=203.0.113.9;rport=9",
            "192.0.2.1:5070",
            ";received=192.0.2.1;rport=5070",
        ),
    ];
    for (via, to, stamp) in cases {
        let mut desk = Desk::new();
        let id = desk.surfaced(&request("MESSAGE", via));
        let out = desk.answer(id, 200);
        let SendTo::Flow { flow, fallback } = sent_to(&out) else { panic!("no flow") };
        assert_eq!((flow.remote, flow.local, fallback), (address(to), desk.flow.local, None), "{via}");
        let line = text(&sent(&out)).lines().nth(1).expect("a Via").to_owned();
        assert!(line.ends_with(stamp), "{line}");
    }
}

/// RFC 3261 §18.2.2: the connection that the request came by; without it, by TCP, one to the same address.
#[test]
fn where_an_answer_goes_by_connection() {
    let fallback = Some(Target::new(Transport::Tcp, address("192.0.2.1:5060")));
    for (transport, fallback) in
        [(Transport::Tcp, fallback), (Transport::Tls, None), (Transport::Ws, None), (Transport::Wss, None)]
    {
        let mut desk = Desk::new();
        desk.flow = flow(transport, "192.0.2.1:40001");
        let id = desk.surfaced(&message().replace("UDP", transport.as_str()));
        assert_eq!(sent_to(&desk.answer(id, 200)), SendTo::Flow { flow: desk.flow, fallback });
    }
}

/// THREATS 38.
#[test]
fn nobody_is_answered_who_cannot_have_asked() {
    let mut desk = Desk::new();
    for remote in [
        "224.0.1.75:5060",
        "255.255.255.255:5060",
        "0.0.0.0:5060",
        "[ff02::1]:5060",
        "[::]:5060",
        "192.0.2.1:0",
        "[::ffff:224.0.0.1]:5060",
    ] {
        assert_eq!(told(&desk.receive_by(&message(), flow(Transport::Udp, remote))), "", "{remote}");
        assert_eq!(told(&desk.receive_by("MESSAGE x\n\n", flow(Transport::Udp, remote))), "", "{remote}");
    }
    assert_eq!(desk.agent.counts().dropped_source, 14);
}

/// THREATS 38: by UDP no more bytes go out than came in.
#[test]
fn an_answer_is_no_longer_than_its_request() {
    let mut desk = Desk::new();
    let whole = message().replace("Content-Length: 0\n\n", "Content-Type: text/plain\nContent-Length: 2\n\nhi");
    let length = whole.replace('\n', "\r\n").len();
    let id = desk.surfaced(&whole);
    assert!(sent(&desk.answer(id, 480)).len() <= length);
}

/// RFC 3261 §8.2.2.2.
#[test]
fn the_same_request_by_another_way_is_merged() {
    let mut desk = Desk::new();
    let other = message().replace("z9hG4bKa1", "z9hG4bKa2");
    let id = desk.surfaced(&message());
    assert_eq!(told(&desk.receive(&other)), "to 192.0.2.1:5070: SIP/2.0 482 Loop Detected\n");
    let first = sent(&desk.answer(id, 200));
    // Answered and remembered, it is still the same request.
    let again = desk.receive(&other);
    assert_eq!(told(&again), "to 192.0.2.1:5070: SIP/2.0 482 Loop Detected\n");
    assert_eq!(sent(&desk.receive(&other)), sent(&again));
    assert_eq!(sent(&desk.receive(&message())), first);
    assert_eq!(desk.agent.counts().merged, 3);
}

#[test]
fn what_is_another_request() {
    for (from, to) in [("c1@", "c2@"), ("CSeq: 1", "CSeq: 2"), ("tag=f1", "tag=f2")] {
        let mut desk = Desk::new();
        desk.surfaced(&message());
        // The same branch: a client that uses one twice is told nothing false (its message would be lost under another's 200).
        desk.surfaced(&message().replace(from, to));
    }
    let mut desk = Desk::new();
    desk.surfaced(&message());
    desk.surfaced(&message().replace("MESSAGE", "OPTIONS"));
}

/// RFC 3261 §17.2.3, elements of RFC 2543.
#[test]
fn without_the_cookie_the_whole_via_counts() {
    let mut desk = Desk::new();
    let old = request("MESSAGE", "a.example.net;rport");
    let id = desk.surfaced(&old);
    assert_eq!(told(&desk.receive(&old)), "");
    let first = sent(&desk.answer(id, 200));
    assert_eq!(sent(&desk.receive(&old)), first);
    let other = request("MESSAGE", "b.example.net;rport");
    assert_eq!(told(&desk.receive(&other)), "to 192.0.2.1:5070: SIP/2.0 482 Loop Detected\n");
}

/// RFC 3261 §16.3, RFC 5393 §4.2.2.
#[test]
fn a_request_of_ours_that_comes_back_is_a_loop() {
    let mut desk = Desk::new();
    let target = Target::new(Transport::Udp, address("192.0.2.1:5060"));
    let mut ours = Request::new(Method::Message, crate::uri::Uri::parse("sip:romeo@example.net").expect("a URI"));
    ours.headers.push(Name::From, "<sip:juliet@example.com>;tag=j");
    ours.headers.push(Name::To, "<sip:romeo@example.net>");
    ours.headers.push(Name::CallId, "x");
    ours.headers.push(Name::CSeq, "1 MESSAGE");
    desk.agent.request(desk.now, ours, &target.into(), None).expect("sent");
    let bytes = text(&sent(&desk.drain())).replace("\r\n", "\n");
    let through = bytes.replacen("Via:", "Via: SIP/2.0/UDP p.example.net;branch=z9hG4bKp\nVia:", 1);
    for looped in [bytes, through] {
        let out = desk.receive(&looped.replace("Call-ID: x", &format!("Call-ID: x{}", looped.len())));
        assert!(told(&out).ends_with("SIP/2.0 482 Loop Detected\n"), "{}", told(&out));
    }
    assert_eq!(desk.agent.counts().looped, 2);
}

/// RFC 3261 §8.2.1, §8.2.2.
#[test]
fn what_is_refused_before_anybody_looks() {
    let cases = [
        ("REGISTER", "", "405 Method Not Allowed", "Allow: MESSAGE, OPTIONS"),
        ("FOO", "", "501 Not Implemented", "Allow: MESSAGE, OPTIONS"),
        ("MESSAGE", "Require: foo, 100rel\n", "420 Bad Extension", "Unsupported: foo, 100rel"),
    ];
    for (method, header, status, line) in cases {
        let mut desk = Desk::new();
        let text_in = request(method, "a.example.net;branch=z9hG4bKa1;rport")
            .replace("Max-Forwards", &format!("{header}Max-Forwards"));
        let out = desk.receive(&text_in);
        assert_eq!(told(&out), format!("to 192.0.2.1:5070: SIP/2.0 {status}\n"));
        assert!(text(&sent(&out)).contains(&format!("\r\n{line}\r\n")));
        assert_eq!(sent(&desk.receive(&text_in)), sent(&out));
        assert_eq!(desk.agent.counts().refused, 1);
    }
    let mut desk = Desk::new();
    let tel = message().replace("sip:juliet@example.com SIP", "tel:+1-201-555-0123 SIP");
    assert_eq!(told(&desk.receive(&tel)), "to 192.0.2.1:5070: SIP/2.0 416 Unsupported URI Scheme\n");
    let mut desk = Desk::with(Config { schemes: vec!["tel".into()], supported: vec!["foo".into()], ..config() });
    desk.surfaced(&tel.replace("Max-Forwards", "Require: FOO\nMax-Forwards"));
    let mut desk = Desk::new();
    let in_dialog = message().replace("To: <sip:juliet@example.com>", "To: <sip:juliet@example.com>;tag=t");
    let out = desk.receive(&in_dialog);
    assert_eq!(told(&out), "to 192.0.2.1:5070: SIP/2.0 481 Call/Transaction Does Not Exist\n");
    assert!(text(&sent(&out)).contains("To: <sip:juliet@example.com>;tag=t\r\n"));
    let mut desk = Desk::with(Config { dialogs: true, ..config() });
    desk.surfaced(&in_dialog);
    // Forks of one dialog: the same numbers, another To tag.
    desk.surfaced(&in_dialog.replace("tag=t", "tag=u").replace("bKa1", "bKa2"));
}

#[test]
fn what_cannot_be_read_is_answered_if_it_can_be() {
    let mut desk = Desk::new();
    let version = message().replace("com SIP/2.0", "com SIP/7.0");
    let out = desk.receive(&version);
    assert!(told(&out).starts_with("to 192.0.2.1:5070: SIP/2.0 505 "), "{}", told(&out));
    assert_eq!(sent(&desk.receive(&version)), sent(&out));
    let out = desk.receive(&message().replace("CSeq: 1 MESSAGE\n", ""));
    assert!(told(&out).starts_with("to 192.0.2.1:5070: SIP/2.0 400 "), "{}", told(&out));
    assert_eq!(told(&desk.receive("hello\n\n")), "");
    assert_eq!(
        told(&desk.receive(&message().replace("MESSAGE sip", "ACK sip").replace("CSeq: 1 MESSAGE", "CSeq: x"))),
        ""
    );
    assert_eq!(told(&desk.receive("SIP/2.0 200 OK\nVia: x\n\n")), "");
    assert_eq!((desk.agent.counts().unreadable, desk.agent.counts().dropped_unreadable), (3, 3));
}

fn numbered(n: u32) -> String {
    message().replace("c1@", &format!("c{n}@"))
}

#[test]
fn more_than_can_wait_is_refused_and_remembered() {
    let mut desk = Desk::with(Config { max_server: 2, ..config() });
    let first = desk.surfaced(&numbered(0));
    desk.surfaced(&numbered(1));
    let out = desk.receive(&numbered(2));
    assert_eq!(told(&out), "to 192.0.2.1:5070: SIP/2.0 503 Service Unavailable\n");
    assert!(text(&sent(&out)).contains("\r\nRetry-After: 5\r\n"));
    desk.answer(first, 200);
    // There is room again, but what was refused stays refused.
    assert_eq!(sent(&desk.receive(&numbered(2))), sent(&out));
    desk.surfaced(&numbered(3));
    assert_eq!((desk.agent.counts().overload, desk.agent.counts().server_open), (1, 2));
}

/// Those that wait hold what their answers repeat, which a sender can make long.
#[test]
fn more_bytes_than_can_wait_are_refused() {
    let long = |n| numbered(n).replace("a.example.net;", &format!("a.example.net;x={};", "x".repeat(3000)));
    let mut desk = Desk::with(Config { max_server_bytes: 4000, ..config() });
    let first = desk.surfaced(&long(0));
    assert_eq!(told(&desk.receive(&long(1))), "to 192.0.2.1:5070: SIP/2.0 503 Service Unavailable\n");
    let short = desk.surfaced(&numbered(2));
    desk.answer(short, 200);
    desk.answer(first, 200);
    let third = desk.surfaced(&long(3));
    // One that nobody answers gives its room back as well.
    desk.wait(60_000);
    assert_eq!(told(&desk.answer(third, 200)), "");
    desk.surfaced(&long(4));
}

#[test]
fn more_than_can_be_remembered_is_refused() {
    let mut desk = Desk::with(Config { max_remembered: 3, ..config() });
    for n in 0..2 {
        let id = desk.surfaced(&numbered(n));
        desk.answer(id, 200);
    }
    assert_eq!(told(&desk.receive(&numbered(2))), "to 192.0.2.1:5070: SIP/2.0 503 Service Unavailable\n");
    assert_eq!(desk.agent.counts().remembered, 2);
    desk.wait(36_000);
    assert_eq!((desk.agent.counts().remembered, desk.agent.deadline()), (0, None));
    desk.surfaced(&numbered(3));
}

#[test]
fn options_are_told() {
    let mut desk = Desk::new();
    let options = request("OPTIONS", "a.example.net;branch=z9hG4bKa1;rport");
    let Some(Output::Request { id, request, .. }) = desk.receive(&options).pop() else { panic!("no request") };
    let answer = desk.agent.options_answer(&request, "text/plain");
    desk.agent.respond(desk.now, id, answer);
    let answer = text(&sent(&desk.drain()));
    for line in [
        "Allow: MESSAGE, OPTIONS",
        "Accept: text/plain",
        "Accept-Encoding: identity",
        "Accept-Language: *",
        "Supported: ",
    ] {
        assert!(answer.contains(&format!("\r\n{line}\r\n")), "{line}: {answer}");
    }
    assert_eq!(desk.agent.allow(), "MESSAGE, OPTIONS");
}

#[test]
fn all_vias_come_back_in_their_order() {
    let mut desk = Desk::new();
    let via = "a.example.net;branch=z9hG4bKa1;x=\"a,b\" , SIP/2.0/TCP b.example.net;branch=z9hG4bKb\nv: SIP/2.0/TLS c.example.net";
    let id = desk.surfaced(&request("MESSAGE", via));
    let answer = text(&sent(&desk.answer(id, 200)));
    let vias: Vec<_> = answer.lines().filter(|l| l.starts_with("Via:")).collect();
    assert_eq!(
        vias,
        [
            "Via: SIP/2.0/UDP a.example.net;branch=z9hG4bKa1;x=\"a,b\";received=192.0.2.1",
            "Via: SIP/2.0/TCP b.example.net;branch=z9hG4bKb",
            "Via: SIP/2.0/TLS c.example.net"
        ]
    );
}
