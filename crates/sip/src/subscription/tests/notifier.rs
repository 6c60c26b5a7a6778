//! We are watched: RFC 6665 §4.2.

use super::*;

/// RFC 6665 §4.2.2: init, resp_wait, pending, active, terminated.
#[test]
fn a_subscription_goes_through_its_states() {
    let mut desk = Desk::new();
    desk.state = Some(State::Pending);
    let told = desk.receive(&subscribe("", 1, 3600));
    let (id, server) = told.watch();
    assert_eq!(told.names(), ["watch New 3600"]);
    assert_eq!(desk.engine.state(id), Some(UsageState::Init));
    let told = desk.act(|engine, ground| engine.accept(ground, id, server, 3600));
    assert_eq!(told.summary(), ["SIP/2.0 200 OK", "NOTIFY sip:romeo@192.0.2.1:5070 SIP/2.0", "save"]);
    let ok = told.response();
    assert_eq!((header(&ok, "Expires"), header(&ok, "Contact")), ("3600", "<sip:juliet@gw.example.com>"));
    let notify = told.notify();
    let tag = tag(&ok, "To");
    assert_eq!(
        notify.replace(&header(&notify, "Via").to_owned(), "VIA").replace(&tag, "TAG"),
        "NOTIFY sip:romeo@192.0.2.1:5070 SIP/2.0\nVia: VIA\nMax-Forwards: 70\nFrom: <sip:juliet@example.com>;tag=TAG\n\
         To: <sip:romeo@example.net>;tag=r\nCall-ID: c@example.net\nCSeq: 1 NOTIFY\nContact: <sip:juliet@gw.example.com>\n\
         Event: presence\nSubscription-State: pending;expires=3600\nContent-Type: text/plain\nContent-Length: 1\n\nx"
    );
    assert_eq!(desk.engine.state(id), Some(UsageState::Pending));
    desk.receive(&response(&notify, 200, "", ""));
    desk.state = Some(State::Active);
    let told = desk.act(|engine, _| engine.touch(id, Change::State));
    assert_eq!(told.summary(), ["NOTIFY sip:romeo@192.0.2.1:5070 SIP/2.0"]);
    assert_eq!(desk.engine.state(id), Some(UsageState::Active));
    let counts = desk.engine.counts();
    assert_eq!((counts.notifies_out, counts.outstanding, counts.waiting, counts.notifiers), (2, 1, 0, 1));
}

/// RFC 6665 §4.2.1.4, §4.4.3: a refresh, and the end.
#[test]
fn it_is_refreshed_and_ended() {
    let mut desk = Desk::new();
    let (id, notify) = desk.watched();
    let tag = tag(&notify, "From");
    desk.receive(&response(&notify, 200, "", ""));
    desk.wait(3000.0);
    let told = desk.receive(&subscribe(&tag, 2, 1800).replace("192.0.2.1:5070>", "192.0.2.1:5071;gr=urn:x>"));
    assert_eq!(told.names(), ["watch Refresh 1800"]);
    let (_, server) = told.watch();
    let told = desk.act(|engine, ground| engine.accept(ground, id, server, 7200));
    assert_eq!(header(&told.response(), "Expires"), "1800");
    let notify = told.notify();
    // The target moved, and the GRUU is kept as it came.
    assert!(notify.starts_with("NOTIFY sip:romeo@192.0.2.1:5071;gr=urn:x SIP/2.0\n"), "{notify}");
    assert_eq!(header(&notify, "CSeq"), "2 NOTIFY");
    assert_eq!(header(&notify, "Subscription-State"), "active;expires=1800");
    desk.receive(&response(&notify, 200, "", ""));
    let told = desk.receive(&subscribe(&tag, 3, 0));
    assert_eq!(told.names(), ["watch End 0"]);
    let (_, server) = told.watch();
    let told = desk.act(|engine, ground| engine.accept(ground, id, server, 0));
    assert_eq!(header(&told.response(), "Expires"), "0");
    let notify = told.notify();
    assert_eq!(header(&notify, "Subscription-State"), "terminated;reason=timeout");
    // Nothing more goes on in it.
    assert!(desk.receive(&subscribe(&tag, 4, 60)).response().starts_with("SIP/2.0 481 "));
    assert_eq!(desk.receive(&response(&notify, 200, "", "")).names(), ["ended"]);
    assert!(desk.engine.is_empty());
    assert!(desk.receive(&subscribe(&tag, 5, 60)).response().starts_with("SIP/2.0 481 "));
}

/// RFC 6665 §4.4.3.
#[test]
fn a_fetch_is_one_answer() {
    let mut desk = Desk::new();
    let told = desk.receive(&subscribe("", 1, 0));
    assert_eq!(told.names(), ["watch Fetch 0"]);
    let (id, server) = told.watch();
    let told = desk.act(|engine, ground| engine.accept(ground, id, server, 0));
    assert_eq!(told.summary(), ["SIP/2.0 200 OK", "NOTIFY sip:romeo@192.0.2.1:5070 SIP/2.0"]);
    let notify = told.notify();
    assert_eq!(header(&notify, "Subscription-State"), "terminated;reason=timeout");
    assert!(desk.engine.snapshot(desk.now, id).is_none());
    assert_eq!(desk.receive(&response(&notify, 200, "", "")).names(), ["ended"]);
}

#[test]
fn what_is_not_refreshed_lapses() {
    let mut desk = Desk::new();
    let (_, notify) = desk.watched();
    desk.receive(&response(&notify, 200, "", ""));
    assert_eq!(desk.wait(3599.0).summary(), [""; 0]);
    let told = desk.wait(1.0);
    assert_eq!(told.summary(), ["NOTIFY sip:romeo@192.0.2.1:5070 SIP/2.0", "lapsed"]);
    assert_eq!(header(&told.notify(), "Subscription-State"), "terminated;reason=timeout");
    assert_eq!(desk.receive(&response(&told.notify(), 200, "", "")).names(), ["ended"]);
    assert_eq!((desk.engine.deadline(), desk.engine.len()), (None, 0));
}

/// The layer above ends it, with its own reason.
#[test]
fn it_is_taken_away() {
    let mut desk = Desk::new();
    let (id, notify) = desk.watched();
    desk.receive(&response(&notify, 200, "", ""));
    desk.state = Some(State::Terminated { reason: Some(Reason::Giveup), retry_after: Some(60) });
    desk.act(|engine, _| engine.touch(id, Change::State));
    assert_eq!(desk.engine.state(id), Some(UsageState::Terminated));
    let mut desk = Desk::new();
    let (id, notify) = desk.watched();
    desk.receive(&response(&notify, 200, "", ""));
    desk.state = Some(State::terminated(Reason::Rejected));
    let told = desk.act(|engine, _| engine.touch(id, Change::State));
    assert_eq!(header(&told.notify(), "Subscription-State"), "terminated;reason=rejected");
    // Whatever comes back, it was the last one.
    assert_eq!(desk.receive(&response(&told.notify(), 503, "", "Retry-After: 5\n")).names(), ["gone 503"]);
    assert!(desk.engine.is_empty());
}

/// One NOTIFY is under way at a time; what changes meanwhile is told by the one behind it.
#[test]
fn changes_meanwhile_become_one() {
    let mut desk = Desk::new();
    let (id, notify) = desk.watched();
    for _ in 0..50 {
        assert_eq!(desk.act(|engine, _| engine.touch(id, Change::Content)).summary(), [""; 0]);
    }
    let told = desk.receive(&response(&notify, 200, "", ""));
    assert_eq!(header(&told.notify(), "CSeq"), "2 NOTIFY");
    assert_eq!(desk.receive(&response(&told.notify(), 200, "", "")).summary(), [""; 0]);
}

/// RFC 3856 §6.10, with a burst: four at once, then one in five seconds; a change of the subscription's own state does not wait.
#[test]
fn notifies_keep_their_distance() {
    let mut desk = Desk::new();
    let (id, mut notify) = desk.watched();
    let start = desk.now;
    let mut at = vec![0];
    for _ in 0..7 {
        desk.receive(&response(&notify, 200, "", ""));
        let told = desk.act(|engine, _| engine.touch(id, Change::Content));
        let told = if told.sent.is_empty() { desk.wait(5.0) } else { told };
        notify = told.notify();
        at.push(desk.now.since(start).as_secs());
    }
    assert_eq!(at, [0, 0, 0, 0, 5, 10, 15, 20]);
    desk.receive(&response(&notify, 200, "", ""));
    desk.act(|engine, _| engine.touch(id, Change::Content));
    desk.state = Some(State::Pending);
    let told = desk.act(|engine, _| engine.touch(id, Change::State));
    assert_eq!(header(&told.notify(), "CSeq"), "9 NOTIFY");
}

/// RFC 6665 §4.2.2, RFC 5057: which failures end a subscription.
#[test]
fn a_failed_notify_ends_it_or_is_sent_again() {
    for (code, headers, names) in [
        (481, "", vec!["gone 481"]),
        (481, "Retry-After: 5\n", vec!["gone 481"]),
        (408, "Retry-After: 5\n", vec!["gone 408"]),
        (500, "", vec!["gone 500"]),
        (401, "", vec!["gone 401"]),
        (302, "", vec!["gone 302"]),
        (503, "Retry-After: 7 (soon);duration=3\n", vec![]),
        (500, "Retry-After: 1\n", vec![]),
    ] {
        let mut desk = Desk::new();
        let (_, notify) = desk.watched();
        assert_eq!(desk.receive(&response(&notify, 180, "", "")).summary(), [""; 0]);
        let told = desk.receive(&response(&notify, code, "", headers));
        assert_eq!(told.summary(), names, "{code}");
        if names.is_empty() {
            let pause = if code == 503 { 7.0 } else { 5.0 };
            assert_eq!(desk.wait(pause - 0.1).summary(), [""; 0], "{code}");
            assert_eq!(header(&desk.wait(0.1).notify(), "CSeq"), "2 NOTIFY");
        } else {
            assert!(desk.engine.is_empty() && desk.engine.deadline().is_none());
        }
    }
    // Nobody there: dropped at the first timeout.
    let mut desk = Desk::new();
    desk.watched();
    assert_eq!(desk.wait(31.9).names(), [""; 0]);
    assert_eq!(desk.wait(0.1).names(), ["gone Timeout"]);
    assert_eq!(desk.engine.len(), 0);
}

/// A proxy that starts anew takes its connections with it: one more try.
#[test]
fn a_lost_connection_is_no_lost_watcher() {
    let mut desk = Desk::new();
    desk.lose = true;
    desk.watched();
    assert_eq!(desk.engine.len(), 1);
    assert_eq!(desk.wait(1.9).summary(), [""; 0]);
    desk.lose = false;
    let told = desk.wait(2.1);
    desk.receive(&response(&told.notify(), 200, "", ""));
    desk.lose = true;
    assert_eq!(desk.wait(3600.0).names(), ["lapsed", "gone Transport"]);
    let mut desk = Desk::new();
    desk.lose = true;
    desk.watched();
    assert_eq!(desk.wait(4.0).names(), ["gone Transport"]);
}

/// RFC 6665 §4.2.1.1, §4.2.3, §8.3.2; RFC 3261 §12.2.2; THREATS 40, 44.
#[test]
fn what_is_refused() {
    let first = subscribe("", 1, 3600);
    let cases = [
        (
            first.replace("Event: presence", "Event: presence.winfo"),
            "489 Bad Event",
            "Allow-Events: presence, conference, refer",
        ),
        (
            first.replace("Event: presence", "Event: Presence"),
            "489 Bad Event",
            "Allow-Events: presence, conference, refer",
        ),
        (first.replace("Event: presence\n", ""), "489 Bad Event", "Allow-Events: presence, conference, refer"),
        (first.replace("Expires: 3600", "Expires: 59"), "423 Interval Too Brief", "Min-Expires: 60"),
        (first.replace("Expires: 3600", "Expires: 1"), "423 Interval Too Brief", "Min-Expires: 60"),
        (first.replace("Contact: <sip:romeo@192.0.2.1:5070>\n", ""), "400 Missing Contact", "CSeq: 1 SUBSCRIBE"),
        (
            first.replace("sip:romeo@192.0.2.1:5070", "tel:+1"),
            "400 Malformed Contact: not a SIP URI",
            "CSeq: 1 SUBSCRIBE",
        ),
        (subscribe("unknown", 1, 3600), "481 Call/Transaction Does Not Exist", "CSeq: 1 SUBSCRIBE"),
    ];
    for (text, status, line) in cases {
        let mut desk = Desk::new();
        let told = desk.receive(&text);
        let answer = told.response();
        assert!(answer.starts_with(&format!("SIP/2.0 {status}\n")), "{status}: {answer}");
        assert!(answer.contains(&format!("\n{line}\n")), "{line}: {answer}");
        assert!(told.events.is_empty() && desk.engine.is_empty());
        // The same again: RFC 3261 §17.2.2.
        assert_eq!(desk.receive(&text).response(), answer);
    }
    let mut desk = Desk::with(Config { min_expires: 7200, ..config() });
    // RFC 6665 §4.2.1.1: from an hour on nothing is too brief.
    assert_eq!(desk.receive(&first).names(), ["watch New 3600"]);
    let mut desk = Desk::new();
    assert_eq!(desk.receive(&first.replace("Expires: 3600", "Expires: 4294967295")).names(), ["watch New 86400"]);
    let mut desk = Desk::new();
    assert_eq!(desk.receive(&first.replace("Expires: 3600\n", "")).names(), ["watch New 3600"]);
}

#[test]
fn what_is_refused_in_a_dialog() {
    let mut desk = Desk::new();
    let (id, notify) = desk.watched();
    let tag = tag(&notify, "From");
    let refresh = subscribe(&tag, 2, 600);
    let refused = |desk: &mut Desk, text: &str, start: &str| {
        let told = desk.receive(text);
        assert!(told.response().starts_with(start), "{start}: {}", told.response());
        assert!(told.events.is_empty());
    };
    // Another package or another id is another subscription (RFC 6665 §4.5.2).
    refused(&mut desk, &refresh.replace("Event: presence", "Event: presence;id=1"), "SIP/2.0 403 Dialog Sharing");
    refused(&mut desk, &subscribe(&tag, 3, 600).replace("presence", "conference"), "SIP/2.0 403 Dialog Sharing");
    refused(&mut desk, &subscribe(&tag, 3, 600).replace("bKs3", "bKx"), "SIP/2.0 500 CSeq");
    refused(&mut desk, &subscribe(&tag, 1, 600).replace("bKs1", "bKy"), "SIP/2.0 500 CSeq");
    refused(&mut desk, &subscribe(&tag, 4, 10), "SIP/2.0 423");
    refused(&mut desk, &subscribe(&tag, 5, 600).replace(";tag=r\n", ";tag=other\n"), "SIP/2.0 481");
    refused(&mut desk, &subscribe(&tag, 6, 600).replace("Call-ID: c@", "Call-ID: d@"), "SIP/2.0 481");
    // A NOTIFY from who watches.
    let notify = notify_for(&subscribe(&tag, 7, 600), "r", 9, "active")
        .replace("From: <sip:juliet@example.com>", "From: <sip:romeo@example.net>")
        .replace("To: <sip:romeo@example.net>;tag=r\n", &format!("To: <sip:juliet@example.com>;tag={tag}\n"));
    refused(&mut desk, &notify, "SIP/2.0 481");
    // The refusal by the layer above leaves the subscription as it was.
    let (_, server) = desk.receive(&subscribe(&tag, 20, 600)).watch();
    let told = desk.act(|engine, ground| engine.refuse(ground, id, server, Response::new(403, "")));
    assert!(told.response().starts_with("SIP/2.0 403 Forbidden"));
    assert_eq!(desk.engine.expires_at(id), Some(Time::from_secs(4600)));
    assert_eq!(desk.engine.counts().out_of_order, 2);
}

/// The `id` of Event comes back in every NOTIFY, and is part of the name (RFC 6665 §8.2.1).
#[test]
fn an_event_id_is_kept() {
    let mut desk = Desk::new();
    let with_id = |text: String| text.replace("Event: presence", "Event: presence;x=y;id=7");
    let (id, server) = desk.receive(&with_id(subscribe("", 1, 600))).watch();
    let notify = desk.act(|engine, ground| engine.accept(ground, id, server, 600)).notify();
    assert_eq!(header(&notify, "Event"), "presence;id=7");
    let tag = tag(&notify, "From");
    assert_eq!(desk.receive(&with_id(subscribe(&tag, 2, 600))).names(), ["watch Refresh 600"]);
    assert!(desk.receive(&subscribe(&tag, 3, 600)).response().starts_with("SIP/2.0 403 "));
}

/// A refused or given up SUBSCRIBE leaves nothing; nor does one that nobody answered.
#[test]
fn a_refused_subscription_is_none() {
    let mut desk = Desk::new();
    let (id, server) = desk.receive(&subscribe("", 1, 3600)).watch();
    let mut refusal = Response::new(603, "");
    refusal.headers.push(Name::RetryAfter, 9);
    let told = desk.act(|engine, ground| engine.refuse(ground, id, server, refusal));
    assert_eq!(told.summary(), ["SIP/2.0 603 Decline"]);
    assert!(desk.engine.is_empty());
    let (id, server) = desk.receive(&subscribe("", 2, 3600)).watch();
    let told = desk.wait(33.0);
    assert_eq!((told.names(), told.cancelled), (vec!["gone Timeout".to_owned()], true));
    assert_eq!(desk.act(|engine, ground| engine.accept(ground, id, server, 3600)).summary(), [""; 0]);
    assert!(desk.engine.is_empty());
}

/// What was forgotten is answered all the same, and is no more.
#[test]
fn what_is_forgotten_is_gone() {
    let mut desk = Desk::new();
    let (id, notify) = desk.watched();
    let (_, server) = desk.receive(&subscribe(&tag(&notify, "From"), 2, 600)).watch();
    desk.engine.forget(id);
    assert!(!desk.engine.cancelled(server));
    let told = desk.act(|engine, ground| engine.accept(ground, id, server, 600));
    assert!(told.response().starts_with("SIP/2.0 481 "));
    for act in [Change::Content, Change::State] {
        assert_eq!(desk.act(|engine, _| engine.touch(id, act)).summary(), [""; 0]);
    }
    let counts = desk.engine.counts();
    assert_eq!((counts.outstanding, counts.notifiers, desk.engine.deadline()), (0, 0, None));
}

/// RFC 3261 §12.1.1, §12.2.1.1: Record-Route comes back in the 2xx and is the way of the NOTIFY.
#[test]
fn the_route_set_is_the_way() {
    let mut desk = Desk::new();
    let routes = "Record-Route: <sip:192.0.2.7;lr>, <sip:192.0.2.8>\n";
    let text = subscribe("", 1, 600).replace("Event:", &format!("{routes}Event:"));
    let (id, server) = desk.receive(&text).watch();
    let told = desk.act(|engine, ground| engine.accept(ground, id, server, 600));
    let ok = told.response();
    assert!(ok.contains("\nRecord-Route: <sip:192.0.2.7;lr>\nRecord-Route: <sip:192.0.2.8>\n"), "{ok}");
    let notify = told.notify();
    assert!(notify.contains("\nRoute: <sip:192.0.2.7;lr>\nRoute: <sip:192.0.2.8>\n"), "{notify}");
    let to = told.sent.iter().find(|(_, text)| text.starts_with("NOTIFY")).map(|(to, _)| to.clone()).expect("sent");
    let target = Target::new(Transport::Udp, address("192.0.2.7:5060"));
    assert_eq!(to, SendTo::Target(target));
    // Nobody knows the way.
    let mut desk = Desk::new();
    let text = subscribe("", 1, 600).replace("Event:", "Record-Route: <sip:nowhere.example;lr>\nEvent:");
    let (id, server) = desk.receive(&text).watch();
    let told = desk.act(|engine, ground| engine.accept(ground, id, server, 600));
    assert_eq!(told.summary(), ["SIP/2.0 200 OK", "save", "gone NoWay"]);
}

/// RFC 6665 §4.4.1: the 2xx to a NOTIFY moves the target as well.
#[test]
fn a_2xx_moves_the_target() {
    let mut desk = Desk::new();
    let (id, notify) = desk.watched();
    let told = desk.receive(&response(&notify, 200, "", "Contact: <sip:romeo@192.0.2.9>\n"));
    assert_eq!(told.names(), ["save"]);
    let told = desk.act(|engine, _| engine.touch(id, Change::Content));
    assert!(told.notify().starts_with("NOTIFY sip:romeo@192.0.2.9 SIP/2.0\n"));
}

/// Nothing is said where there is nothing to say.
#[test]
fn a_notify_is_skipped() {
    let mut desk = Desk::new();
    let (id, notify) = desk.watched();
    desk.receive(&response(&notify, 200, "", ""));
    desk.state = None;
    assert_eq!(desk.act(|engine, _| engine.touch(id, Change::Content)).names(), ["wanted"]);
    assert_eq!(desk.engine.counts().outstanding, 1);
    assert_eq!(desk.act(|engine, _| engine.skip(id)).summary(), [""; 0]);
    assert_eq!(desk.engine.counts().outstanding, 0);
    assert!(!desk.act(|engine, ground| assert!(!engine.notify(ground, id, &State::Active, None))).cancelled);
    assert_eq!(desk.act(|engine, _| engine.touch(id, Change::Content)).names(), ["wanted"]);
    desk.act(|engine, _| engine.skip(id));
    assert_eq!(desk.wait(3600.0).names(), ["lapsed", "wanted last"]);
    assert_eq!(desk.act(|engine, _| engine.skip(id)).names(), ["ended"]);
}
