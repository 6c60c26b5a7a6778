//! RFC 4975 §7.1: messages of ours.

use super::*;

#[test]
fn we_connect_and_speak_first() {
    let mut desk = Desk::with(config());
    desk.agent.begin(desk.now, desk.id, &peer(Way::Active(hop())));
    assert_eq!(desk.drain(), ["open 1 peer.example.com:2855"]);
    let (sent, out) = desk.say(message("Hi"));
    assert_eq!(out, [""; 0]);
    desk.agent.opened(desk.now, Ticket(1), Some(WIRE));
    assert_eq!(desk.drain(), ["bind 7", "up 1", "7: SEND 1-2/2 \"Hi\"$"]);
    assert_eq!(desk.answer_all(200), [format!("sent {sent}")]);
    assert_eq!(desk.wait(100), [""; 0]);
    desk.agent.close(desk.now, desk.id);
    assert_eq!(desk.drain(), ["release 7"]);
    assert_eq!((desk.agent.deadline(), desk.agent.counts().sessions, desk.agent.counts().bound), (None, 0, 0));
}

#[test]
fn with_nothing_to_say_we_say_that() {
    let mut desk = Desk::with(config());
    desk.agent.begin(desk.now, desk.id, &peer(Way::Active(hop())));
    desk.drain();
    desk.agent.opened(desk.now, Ticket(1), Some(WIRE));
    assert_eq!(desk.drain(), ["bind 7", "up 1", "7: SEND 1-0/0$"]);
    assert_eq!(desk.answer_all(200), [""; 0]);
    // An empty message is a message.
    let (sent, out) = desk.say(message(""));
    assert_eq!(out, ["7: SEND 1-0/0 \"\"$"]);
    assert_eq!(desk.answer_all(200), [format!("sent {sent}")]);
}

#[test]
fn long_messages_go_in_chunks_through_a_window() {
    let mut desk = Desk::up(Config { window: 5000, ..config() });
    let body: String = (0..5000).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
    let (sent, out) = desk.say(message(&body));
    let piece = |from: usize, to: usize, flag| format!("7: SEND {}-{to}/5000 {:?}{flag}", from + 1, &body[from..to]);
    assert_eq!(out, [piece(0, 2048, '+'), piece(2048, 4096, '+')]);
    let (next, out) = desk.say(message("behind it"));
    assert_eq!(out, [""; 0]);
    let out = desk.answer_all(200);
    assert_eq!(out, [piece(4096, 5000, '$'), "7: SEND 1-9/9 \"behind it\"$".to_owned()]);
    assert_eq!(desk.answer_all(200), [format!("sent {sent}"), format!("sent {next}")]);
    assert_eq!(desk.agent.counts().chunks_out, 4);
}

#[test]
fn who_wants_no_answer_gets_none_and_has_sent_at_once() {
    for (failure_report, header) in [(FailureReport::Partial, "partial"), (FailureReport::No, "no")] {
        let mut desk = Desk::up(Config { window: 1, ..config() });
        let (sent, out) = desk.say(Outgoing { failure_report, ..message(&"x".repeat(3000)) });
        assert_eq!(out.len(), 3);
        assert_eq!(out[2], format!("sent {sent}"));
        assert_eq!(desk.wait(100), [""; 0], "{header}");
        let told = failure_report == FailureReport::Partial;
        let wanted: &[String] = if told { &[format!("report {sent} 1-3000/3000 403")] } else { &[] };
        assert_eq!(desk.report(&sent, "1-3000/3000", "000 403 no"), wanted);
        assert_eq!(desk.report(&sent, "1-3000/3000", "000 403 no"), [""; 0], "once");
    }
}

/// What nobody answers takes no place in the window, nor waits for one.
#[test]
fn what_is_not_answered_does_not_count() {
    let mut desk = Desk::up(Config { window: 300, ..config() });
    let (one, out) = desk.say(message("answered"));
    assert_eq!(out.len(), 1);
    let (two, out) = desk.say(Outgoing { failure_report: FailureReport::No, ..message("not answered") });
    assert_eq!(out, ["7: SEND 1-12/12 \"not answered\"$".to_owned(), format!("sent {two}")]);
    assert_eq!(desk.answer_all(200), [format!("sent {one}")]);
}

#[test]
fn silence_is_a_failure_after_thirty_seconds() {
    let mut desk = Desk::up(config());
    let (one, _) = desk.say(message("one"));
    assert_eq!(desk.wait(29), [""; 0]);
    let (two, _) = desk.say(message("two"));
    assert_eq!(desk.wait(1), [format!("failed {one} Timeout")]);
    assert_eq!(desk.answer_all(200), [format!("sent {two}")]);
    let (three, _) = desk.say(message("three"));
    assert_eq!(desk.answer_all(408), [format!("failed {three} Timeout")]);
}

/// RFC 4975 §7.3.2, §10.5: nothing more of a message that failed, but its end where the other side may wait for it.
#[test]
fn what_failed_goes_no_further() {
    let big = || message(&"x".repeat(9000));
    let mut desk = Desk::up(Config { window: 2500, ..config() });
    let (sent, out) = desk.say(big());
    assert_eq!(out.len(), 1);
    let (next, _) = desk.say(message("next"));
    assert_eq!(desk.answer_all(413), [format!("failed {sent} Code(413)"), "7: SEND 1-4/4 \"next\"$".to_owned()]);
    assert_eq!(desk.answer_all(200), [format!("sent {next}")]);

    let (sent, _) = desk.say(big());
    assert_eq!(desk.wait(30), [format!("failed {sent} Timeout"), "7: SEND 2049-2049/9000 \"x\"#".to_owned()]);

    // A REPORT that comes in between says the same as an answer.
    let (sent, _) = desk.say(Outgoing { success_report: true, ..big() });
    assert_eq!(desk.report(&sent, "1-2048/9000", "000 413 stop"), [format!("failed {sent} Code(413)")]);
    assert_eq!(desk.answer_all(413), [""; 0], "it has failed already");
    let (sent, out) = desk.say(message("on"));
    assert_eq!(out, ["7: SEND 1-2/2 \"on\"$"]);
    assert_eq!(desk.answer_all(200), [format!("sent {sent}")]);
}

#[test]
fn answers_that_end_the_session() {
    for code in [481, 506] {
        let mut desk = Desk::up(Config { window: 600, ..config() });
        let (one, _) = desk.say(message("one"));
        let (two, out) = desk.say(message("two"));
        assert_eq!(out.len(), 1);
        let (three, out) = desk.say(message("three"));
        assert_eq!(out, [""; 0]);
        let first = desk.agent.sessions.get(&desk.id).unwrap().outbox.transactions[0].id.clone();
        assert_eq!(
            desk.answer(&first, code),
            [
                format!("failed {one} Code({code})"),
                format!("failed {two} Lost"),
                format!("failed {three} NeverSent"),
                "release 7".to_owned(),
                format!("closed Refused({code})"),
            ]
        );
        assert_eq!(desk.agent.send(desk.now, desk.id, message("x")), Err(Refused::Gone));
    }
}

#[test]
fn the_end_tells_what_became_of_each() {
    let mut desk = Desk::up(Config { window: 2500, ..config() });
    let (one, _) = desk.say(message(&"x".repeat(5000)));
    let (two, _) = desk.say(message("two"));
    desk.agent.lost(desk.now, WIRE);
    assert_eq!(
        desk.drain(),
        [format!("failed {one} Lost"), format!("failed {two} NeverSent"), "closed Lost".to_owned()]
    );
    assert_eq!(desk.agent.counts().bound, 0);

    // Whoever closes hears nothing, but all is written.
    let mut desk = Desk::up(Config { window: 2500, ..config() });
    desk.say(message(&"x".repeat(5000)));
    desk.say(message("two"));
    desk.agent.close(desk.now, desk.id);
    let out = desk.drain();
    assert_eq!(out.len(), 4, "two chunks, a message, the release: {out:?}");
    assert_eq!(out[2..], ["7: SEND 1-3/3 \"two\"$", "release 7"]);
}

#[test]
fn queues_are_bounded() {
    let mut desk = Desk::up(Config { window: 300, queue_bytes: 1000, ..config() });
    desk.say(message("on its way"));
    for _ in 0..3 {
        desk.say(message("waits"));
    }
    assert_eq!(desk.agent.send(desk.now, desk.id, message("x")), Err(Refused::Full));
    assert!(desk.answer_all(200).len() > 1);
    assert!(desk.agent.send(desk.now, desk.id, message("x")).is_ok());

    let mut desk = Desk::with(config());
    desk.agent.begin(desk.now, desk.id, &Peer { max_size: Some(2), ..peer(Way::Passive) });
    assert_eq!(desk.agent.send(desk.now, desk.id, message("xyz")), Err(Refused::TooLarge));
    assert!(desk.agent.send(desk.now, desk.id, message("xy")).is_ok());
}

#[test]
fn reports_say_what_is_news() {
    let mut desk = Desk::up(config());
    let wish = Outgoing { message_id: Some("m-1.x".into()), success_report: true, ..message("Hello") };
    let (sent, _) = desk.say(wish);
    assert_eq!(sent, "m-1.x");
    desk.answer_all(200);
    assert_eq!(desk.report("m-1.x", "4-5/5", "000 200 OK"), ["report m-1.x 4-5/5 200"]);
    assert_eq!(desk.report("m-1.x", "4-5/5", "000 200 OK"), [""; 0]);
    assert_eq!(desk.report("m-1.x", "1-3/5", "001 200 OK"), [""; 0], "another namespace");
    assert_eq!(desk.report("m-1.y", "1-3/5", "000 200 OK"), [""; 0], "another message");
    assert_eq!(desk.report("m-1.x", "1-99/99", "000 200 OK"), ["report m-1.x 1-5/5 200 complete"]);
    assert_eq!(desk.report("m-1.x", "1-5/5", "000 200 OK"), [""; 0]);
    assert_eq!(desk.report("m-1.x", "1-5/5", "000 403 no"), [""; 0]);
    // Nobody asked for success.
    let (sent, _) = desk.say(message("Hello"));
    desk.answer_all(200);
    assert_eq!(desk.report(&sent, "1-5/5", "000 200 OK"), [""; 0]);
    assert_eq!(desk.report(&sent, "1-5/5", "000 404 gone"), [format!("report {sent} 1-5/5 404")]);
    assert!(desk.agent.counts().stray >= 6);
}

/// Nothing that the layer above hands in becomes another header, or the end of the frame.
#[test]
fn values_stay_values() {
    let mut desk = Desk::up(config());
    let evil = "x\r\nTo-Path: msrp://evil:1/x;tcp\r\n\r\n-------";
    let outgoing = Outgoing {
        message_id: Some("no ident\r\n".into()),
        content_type: format!("text/plain{evil}").into(),
        headers: vec![("X-A".into(), evil.into()), ("X: y\r\nX-B".into(), "z".into())],
        ..message("Hi")
    };
    let (sent, out) = desk.say(outgoing);
    assert!(lex_is_ident(&sent));
    assert_eq!(out, ["7: SEND 1-2/2 \"Hi\"$"]);
    let session = desk.id;
    desk.agent.report(desk.now, session, "bad id", 1, 200, "");
    desk.agent.report(desk.now, session, "good-id", 7, 200, "fine\r\nX: y");
    assert_eq!(desk.drain(), ["7: REPORT 1-7/7 000 200$"]);
}

fn lex_is_ident(text: &str) -> bool {
    crate::lex::is_ident(text.as_bytes())
}

/// RFC 4975 §7.1: the one that would come is in the body, so it is another one.
#[test]
fn a_transaction_id_is_random_and_not_in_the_body() {
    let agent = || Agent::new(config(), Tokens::seeded(5));
    let id = agent().core.transaction();
    assert_eq!(id, agent().core.transaction_beside(b"something else"));
    let other = agent().core.transaction_beside(format!("-------{id}$").as_bytes());
    assert_ne!(id, other);
    assert!(lex_is_ident(&id) && id.len() == 16, "80 bits: {id}");
}
