//! NICKNAMEs of ours, and of others.

use super::*;

impl Desk {
    /// Asks for a nickname: what comes out.
    fn call(&mut self, nickname: &str) -> Vec<String> {
        self.agent.nickname(self.now, self.id, nickname).expect("taken");
        self.drain()
    }

    /// The frame that is written next, and nothing else.
    fn written(&mut self) -> Request {
        let Some(Output::Write { bytes, .. }) = self.agent.poll() else { panic!("nothing is written") };
        let mut decoder = Decoder::new(Limits::default());
        decoder.push(&bytes);
        let Some(Ok(Arrival::Frame(Frame::Request(request)))) = decoder.next() else { panic!("no request: {bytes:?}") };
        assert!(decoder.next().is_none());
        request
    }

    /// Asks for a nickname that is written at once: its transaction.
    fn asked(&mut self, nickname: &str) -> Str {
        self.agent.nickname(self.now, self.id, nickname).expect("taken");
        let request = self.written();
        assert_eq!(request.nickname(), Some(Ok(Str::from(nickname))));
        request.transaction
    }
}

/// RFC 7701 §9.2: 425, and with another one 200.
#[test]
fn a_nickname_is_asked_for() {
    let mut desk = Desk::up(config());
    desk.agent.nickname(desk.now, desk.id, "Alice \"the\" great").unwrap();
    let request = desk.written();
    assert_eq!(request.method, Method::Nickname);
    assert_eq!((request.to.as_str(), request.from.as_str()), (PEER, desk.own.as_str()));
    assert_eq!(request.headers, [("Use-Nickname".into(), "\"Alice \\\"the\\\" great\"".into())]);
    // §7.1: neither of the reports; and there is no message.
    assert_eq!((request.message_id, request.range, request.content_type, request.body), (None, None, None, None));
    assert_eq!(request.flag, frame::Flag::Last);
    assert_eq!(desk.answer(&request.transaction, 425), ["answered 1 425 x"]);
    let second = desk.asked("Alice in Wonderland");
    assert_eq!(desk.answer(&second, 200), ["answered 2 200 x"]);
    assert_eq!(desk.answer(&second, 200), [""; 0], "once is enough");
    assert!(desk.agent.sessions.get(&desk.id).unwrap().nicknames.is_none());
    desk.now = desk.now + Duration::from_secs(60);
    desk.agent.timeout(desk.now);
    assert_eq!((desk.drain(), desk.agent.deadline()), (vec![], None));
}

#[test]
fn one_at_a_time_and_not_too_many() {
    let mut desk = Desk::up(config());
    let mut open = desk.asked("1");
    for n in 2..=8 {
        assert_eq!(desk.call(&format!("{n}")), [""; 0]);
    }
    assert_eq!(desk.agent.nickname(desk.now, desk.id, "9"), Err(Refused::Full));
    for n in 1..=8 {
        let own = desk.own.clone();
        let answer = format!("MSRP {open} 200\r\nTo-Path: {own}\r\nFrom-Path: {PEER}\r\n-------{open}$\r\n");
        let mut decoder = Decoder::new(Limits::default());
        decoder.push(answer.as_bytes());
        desk.agent.received(desk.now, WIRE, decoder.next().unwrap().unwrap());
        let told = desk.agent.poll();
        assert!(matches!(told, Some(Output::Event(Event::Answered { code: 200, .. }))), "{told:?}");
        if n < 8 {
            let request = desk.written();
            assert_eq!(request.nickname(), Some(Ok(base::format_compact!("{}", n + 1))));
            open = request.transaction;
        }
    }
    assert_eq!(desk.drain(), [""; 0]);
}

#[test]
fn no_answer_is_408_and_the_next_one_goes_out() {
    let mut desk = Desk::up(config());
    let late = desk.asked("one");
    assert_eq!(desk.call("two"), [""; 0]);
    desk.now = desk.now + Duration::from_secs(29);
    desk.agent.timeout(desk.now);
    assert_eq!(desk.drain(), [""; 0]);
    desk.now = desk.now + Duration::from_secs(1);
    desk.agent.timeout(desk.now);
    assert_eq!(desk.drain(), ["answered 1 408 ", "7: NICKNAME$"]);
    assert_eq!(desk.answer(&late, 200), [""; 0]);
    desk.now = desk.now + Duration::from_secs(30);
    desk.agent.timeout(desk.now);
    assert_eq!(desk.drain(), ["answered 2 408 "]);
}

/// Each is answered, whatever becomes of the session.
#[test]
fn a_session_that_ends_has_said_what_became_of_them() {
    let mut desk = Desk::up(config());
    desk.asked("one");
    assert_eq!(desk.call("two"), [""; 0]);
    desk.agent.lost(desk.now, WIRE);
    let all = desk.drain();
    assert_eq!(all[..3], ["answered 1 408 ", "answered 2 408 ", "closed Lost"]);
    assert_eq!(desk.agent.nickname(desk.now, desk.id, "three"), Err(Refused::Gone));

    let mut desk = Desk::up(config());
    let open = desk.asked("one");
    assert_eq!(desk.answer(&open, 481), ["answered 1 481 x", "release 7", "closed Refused(481)"]);

    let mut desk = Desk::up(config());
    desk.asked("one");
    desk.agent.close(desk.now, desk.id);
    assert_eq!(desk.drain(), ["release 7"]);
}

/// RFC 4975 §5.4: who connects says so with a SEND; before there is a connection nothing is said.
#[test]
fn it_waits_for_the_connection() {
    let mut desk = Desk::with(config());
    assert_eq!(desk.call("Romeo"), [""; 0]);
    desk.agent.send(desk.now, desk.id, message("Hi")).unwrap();
    desk.agent.begin(desk.now, desk.id, &peer(Way::Active(hop())));
    assert_eq!(desk.drain(), ["open 1 peer.example.com:2855"]);
    desk.agent.opened(desk.now, Ticket(1), Some(WIRE));
    assert_eq!(desk.drain(), ["bind 7", "up 1", "7: SEND 1-0/0$", "7: NICKNAME$", "7: SEND 1-2/2 \"Hi\"$"]);

    let mut desk = Desk::with(config());
    assert_eq!(desk.call("Romeo"), [""; 0]);
    desk.agent.begin(desk.now, desk.id, &peer(Way::Passive));
    assert_eq!(desk.drain(), [""; 0]);
    let first = desk.send("tid0", "first", "", None, '$');
    assert_eq!(desk.receive(&first), ["bind 7", "up 1", "7: NICKNAME$", "7: tid0 200 OK"]);
}

#[test]
fn what_no_nickname_can_be_is_not_sent() {
    let mut desk = Desk::up(config());
    for bad in ["a\r\nX: y", "\0", &"x".repeat(1024)] {
        assert_eq!(desk.agent.nickname(desk.now, desk.id, bad), Err(Refused::Malformed));
    }
    assert_eq!(desk.drain(), [""; 0]);
    // RFC 7701 §7.3: to have none is something to ask for.
    desk.asked("");
}

/// RFC 7701 §7.1: a NICKNAME has no Failure-Report; with one it is answered all the same.
#[test]
fn a_nickname_that_is_asked_for_is_answered_whatever_it_says_of_failures() {
    let mut desk = Desk::up(Config { methods: vec![Method::Nickname], ..config() });
    for (n, header) in ["", "Failure-Report: no\r\n", "Failure-Report: partial\r\n"].into_iter().enumerate() {
        let text = desk.send("tida", "m123", header, None, '$').replace("SEND", "NICKNAME");
        assert_eq!(desk.receive(&text), [format!("request {} NICKNAME", n + 1)]);
        assert_eq!(desk.respond(u32::try_from(n).unwrap() + 1, 200), ["7: tida 200 OK"]);
    }
}
