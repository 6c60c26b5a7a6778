//! We watch: RFC 6665 §4.1.

use super::*;

/// Subscribes: the name of the usage and the SUBSCRIBE.
fn begin(desk: &mut Desk, wish: Subscribe) -> (UsageId, String) {
    let mut id = None;
    let told = desk.act(|engine, ground| id = engine.subscribe(ground, wish).ok());
    (id.expect("begun"), told.subscribe())
}

fn ok(desk: &mut Desk, id: UsageId, server: ServerId) -> Told {
    desk.act(|engine, ground| engine.answer_notify(ground, id, server, Response::new(200, "")))
}

/// A subscription that is active for 3600 s.
fn active(desk: &mut Desk) -> (UsageId, String) {
    let (id, sent) = begin(desk, wish(3600));
    let told = desk.receive(&response(&sent, 200, "p", "Expires: 3600\nContact: <sip:romeo@192.0.2.1:5070>\n"));
    assert_eq!(told.names(), ["accepted 3600", "save"]);
    let told = desk.receive(&notify_for(&sent, "p", 1, "active;expires=3600"));
    let (_, server, state) = told.notified();
    assert_eq!(state, State::Active);
    assert!(ok(desk, id, server).response().starts_with("SIP/2.0 200 OK\n"));
    (id, sent)
}

/// RFC 6665 §4.1.2: init, notify_wait, pending, active, terminated.
#[test]
fn a_subscription_goes_through_its_states() {
    let mut desk = Desk::new();
    let (id, sent) = begin(&mut desk, wish(3600));
    let (from, call_id) = (tag(&sent, "From"), header(&sent, "Call-ID"));
    assert_eq!(
        sent.replace(header(&sent, "Via"), "VIA").replace(&from, "TAG").replace(call_id, "CALL"),
        "SUBSCRIBE sip:romeo@example.net SIP/2.0\nVia: VIA\nMax-Forwards: 70\nFrom: \"Juliet\" <sip:juliet@example.com>;tag=TAG\n\
         To: <sip:romeo@example.net>\nCall-ID: CALL\nCSeq: 1 SUBSCRIBE\nContact: <sip:juliet@gw.example.com;gr=balcony>\n\
         Event: presence\nExpires: 3600\nAccept: application/pidf+xml\nContent-Length: 0\n\n"
    );
    assert_eq!(desk.engine.state(id), Some(UsageState::NotifyWait));
    assert_eq!(desk.receive(&response(&sent, 100, "", "")).summary(), [""; 0]);
    // 202 says no more than 200, and may say less than was asked for.
    let told = desk.receive(&response(&sent, 202, "p", "Expires: 1800\nContact: <sip:romeo@192.0.2.1:5070>\n"));
    assert_eq!(told.names(), ["accepted 1800", "save"]);
    assert_eq!(desk.engine.state(id), Some(UsageState::NotifyWait));
    let (_, server, state) = desk.receive(&notify_for(&sent, "p", 1, "pending;expires=1800")).notified();
    assert_eq!((state, desk.engine.state(id)), (State::Pending, Some(UsageState::Pending)));
    ok(&mut desk, id, server);
    let (_, server, _) = desk.receive(&notify_for(&sent, "p", 2, "active;expires=1800")).notified();
    assert_eq!(desk.engine.state(id), Some(UsageState::Active));
    ok(&mut desk, id, server);
    let (_, server, state) =
        desk.receive(&notify_for(&sent, "p", 3, "terminated;reason=probation;retry-after=9;expires=3")).notified();
    let retry_after = Some(9);
    assert_eq!(state, State::Terminated { reason: Some(Reason::Probation), retry_after });
    let told = ok(&mut desk, id, server);
    assert_eq!(told.summary(), ["SIP/2.0 200 OK", "ended"]);
    assert_eq!((desk.engine.len(), desk.engine.deadline()), (0, None));
    assert!(desk.receive(&notify_for(&sent, "p", 4, "active")).response().starts_with("SIP/2.0 481 "));
}

/// RFC 6665 §4.1.2.4, §4.4.1: the NOTIFY makes the dialog, with its own route set; the 2xx comes late.
#[test]
fn a_notify_comes_before_the_answer() {
    let mut desk = Desk::new();
    let (id, sent) = begin(&mut desk, wish(3600));
    let notify = notify_for(&sent, "p", 5, "active;expires=3600")
        .replace("Event:", "Record-Route: <sip:192.0.2.7;lr>, <sip:192.0.2.8;lr>\nEvent:");
    let (_, server, _) = desk.receive(&notify).notified();
    ok(&mut desk, id, server);
    // Another fork, whose answer or NOTIFY comes later.
    let told = desk.receive(&notify_for(&sent, "q", 1, "active"));
    assert!(told.response().starts_with("SIP/2.0 481 "));
    let told = desk.receive(&response(&sent, 200, "q", "Expires: 60\nContact: <sip:q@192.0.2.9>\n"));
    assert_eq!(told.names(), ["accepted 60"]);
    let dialog = desk.engine.dialog(id).expect("a dialog");
    assert_eq!((dialog.remote_tag.as_str(), dialog.remote_target().as_str()), ("p", "sip:romeo@192.0.2.1:5070"));
    assert_eq!(dialog.route_set, ["<sip:192.0.2.7;lr>", "<sip:192.0.2.8;lr>"]);
    assert_eq!(desk.engine.expires_at(id), Some(Time::from_secs(4600)));
    let refresh = desk.act(|engine, ground| engine.refresh(ground, id)).subscribe();
    assert!(refresh.contains("\nRoute: <sip:192.0.2.7;lr>\nRoute: <sip:192.0.2.8;lr>\n"), "{refresh}");
    assert_eq!((header(&refresh, "CSeq"), tag(&refresh, "To").as_str()), ("2 SUBSCRIBE", "p"));
}

/// RFC 6665 §5.4.9: the first that could make the dialog makes it; RFC 3856 §6.9.
#[test]
fn one_subscription_is_one_dialog() {
    let mut desk = Desk::new();
    let (_, sent) = begin(&mut desk, wish(3600));
    desk.receive(&response(&sent, 200, "p", "Expires: 3600\nContact: <sip:romeo@192.0.2.1:5070>\n"));
    assert!(desk.receive(&notify_for(&sent, "q", 1, "active")).response().starts_with("SIP/2.0 481 "));
    assert_eq!(desk.receive(&notify_for(&sent, "p", 1, "active")).names(), ["notify Active", "save"]);
}

/// RFC 6665 §4.1.2.4: a 2xx is no NOTIFY.
#[test]
fn without_a_notify_timer_n_ends_it() {
    let mut desk = Desk::new();
    let (_, sent) = begin(&mut desk, wish(3600));
    desk.receive(&response(&sent, 200, "p", "Expires: 3600\nContact: <sip:romeo@192.0.2.1:5070>\n"));
    assert_eq!(desk.wait(31.9).names(), [""; 0]);
    assert_eq!(desk.wait(0.1).names(), ["expired"]);
    assert!(desk.receive(&notify_for(&sent, "p", 1, "active")).response().starts_with("SIP/2.0 481 "));
    // Nor is a refresh without one.
    let mut desk = Desk::new();
    let (id, _) = active(&mut desk);
    let refresh = desk.act(|engine, ground| engine.refresh(ground, id)).subscribe();
    assert_eq!(desk.receive(&response(&refresh, 200, "p", "Expires: 3600\n")).names(), ["accepted 3600"]);
    assert_eq!(desk.wait(32.0).names(), ["expired"]);
}

#[test]
fn it_is_refreshed_in_time() {
    let mut desk = Desk::new();
    let (id, sent) = active(&mut desk);
    let start = desk.now;
    let mut cseq = 1;
    for round in 0..3 {
        let begun = desk.now;
        let told = desk.wait(3600.0 * 0.9);
        assert_eq!(told.names(), ["refresh"], "{round}");
        desk.now = begun + Duration::from_secs(3600 * 9 / 10);
        let refresh = desk.act(|engine, ground| engine.refresh(ground, id)).subscribe();
        cseq += 1;
        assert_eq!(header(&refresh, "CSeq"), format!("{cseq} SUBSCRIBE"));
        assert_eq!(header(&refresh, "Expires"), "3600");
        // Only one at a time.
        assert_eq!(desk.act(|engine, ground| engine.refresh(ground, id)).summary(), [""; 0]);
        let told = desk.receive(&response(&refresh, 200, "p", "Expires: 3600\nContact: <sip:romeo@192.0.2.1:5070>\n"));
        assert_eq!(told.names(), ["accepted 3600", "save"]);
        let (_, server, _) = desk.receive(&notify_for(&sent, "p", cseq, "active;expires=3600")).notified();
        ok(&mut desk, id, server);
    }
    assert!(desk.now.since(start) > Duration::from_secs(9000));
    // Nobody refreshes.
    assert_eq!(desk.wait(3600.0).names(), ["refresh", "expired"]);
    assert_eq!(desk.engine.deadline(), None);
}

/// However short they are: the new end is then hardly another than the old one.
#[test]
fn a_few_seconds_are_refreshed_again_and_again() {
    let mut desk = Desk::new();
    let (id, sent) = begin(&mut desk, wish(3600));
    desk.receive(&response(&sent, 200, "p", "Expires: 4\nContact: <sip:romeo@192.0.2.1:5070>\n"));
    let (_, server, _) = desk.receive(&notify_for(&sent, "p", 1, "active;expires=4")).notified();
    ok(&mut desk, id, server);
    for cseq in 2..10 {
        assert_eq!(desk.wait(4.0 * 0.9).names(), ["refresh"], "{cseq}");
        let refresh = desk.act(|engine, ground| engine.refresh(ground, id)).subscribe();
        desk.receive(&response(&refresh, 200, "p", "Expires: 4\nContact: <sip:romeo@192.0.2.1:5070>\n"));
        let (_, server, _) = desk.receive(&notify_for(&sent, "p", cseq, "active;expires=4")).notified();
        ok(&mut desk, id, server);
    }
}

/// Those who subscribed together do not refresh together.
#[test]
fn refreshes_are_spread() {
    let mut desk = Desk::with(config());
    let mut due = Vec::new();
    for _ in 0..20 {
        let (_, sent) = begin(&mut desk, wish(1000));
        desk.receive(&response(&sent, 200, "p", "Expires: 1000\nContact: <sip:romeo@192.0.2.1:5070>\n"));
        desk.receive(&notify_for(&sent, "p", 1, "active"));
    }
    let start = desk.now;
    while let Some(at) = desk.engine.deadline().filter(|at| at.since(start) <= Duration::from_secs(950)) {
        desk.now = at;
        let told = desk.act(Subscriptions::timeout);
        due.extend(told.names().iter().map(|name| (name.clone(), at.since(start).as_millis())));
    }
    assert_eq!(due.len(), 20);
    assert!(due.iter().all(|(name, at)| name == "refresh" && (700_000..=900_000).contains(at)), "{due:?}");
    due.dedup();
    assert!(due.len() > 15, "{due:?}");
}

/// RFC 6665 §4.1.2.2: which refusals of a refresh end the subscription.
#[test]
fn a_refused_refresh_ends_it_or_does_not() {
    for (code, headers, name, again) in [
        (481, "", "refused 481 gone", None),
        (404, "", "refused 404 gone", None),
        (489, "", "refused 489 gone", None),
        (408, "", "refused 408 gone", None),
        (500, "", "refused 500", Some(900)),
        (503, "Retry-After: 1200\n", "refused 503", Some(1200)),
        (403, "", "refused 403", Some(900)),
        (401, "", "refused 401", Some(900)),
        (503, "Retry-After: 4000\n", "refused 503", None),
    ] {
        let mut desk = Desk::new();
        let (id, _) = active(&mut desk);
        let refresh = desk.act(|engine, ground| engine.refresh(ground, id)).subscribe();
        let told = desk.receive(&response(&refresh, code, "p", headers));
        assert_eq!(told.names(), [name]);
        match again {
            Some(seconds) => {
                assert_eq!(desk.wait(f64::from(seconds) - 1.0).names(), [""; 0], "{code}");
                assert_eq!(desk.wait(1.0).names(), ["refresh"], "{code}");
                assert_eq!(desk.wait(3600.0).names(), ["expired"], "{code}");
            }
            None if name.ends_with("gone") => assert!(desk.engine.is_empty()),
            None => assert_eq!(desk.wait(3600.0).names(), ["expired"], "{code}"),
        }
    }
    let mut desk = Desk::new();
    let (id, _) = active(&mut desk);
    desk.act(|engine, ground| engine.refresh(ground, id));
    let names = desk.wait(40.0).names();
    assert!(names == ["refused Timeout gone"] || names == ["expired"], "{names:?}");
    let mut desk = Desk::new();
    let (id, _) = active(&mut desk);
    desk.lose = true;
    assert_eq!(desk.act(|engine, ground| engine.refresh(ground, id)).names(), ["refused Transport"]);
    assert_eq!(desk.engine.len(), 1);
}

#[test]
fn a_first_subscribe_is_refused() {
    for code in [302, 401, 403, 404, 407, 481, 489, 500, 503, 603] {
        let mut desk = Desk::new();
        let (_, sent) = begin(&mut desk, wish(3600));
        let told = desk.receive(&response(&sent, code, "p", "Retry-After: 5\n"));
        assert_eq!(told.names(), [format!("refused {code} gone")]);
        assert_eq!((desk.engine.len(), desk.engine.deadline()), (0, None));
    }
    let mut desk = Desk::new();
    desk.lose = true;
    let told = desk.act(|engine, ground| engine.subscribe(ground, wish(3600)));
    assert_eq!(told.names(), ["refused Transport gone"]);
    let mut desk = Desk::new();
    let mut unknown = wish(3600);
    unknown.package = "dialog";
    desk.act(|engine, ground| assert_eq!(engine.subscribe(ground, unknown).err(), Some(Refused::Package)));
    let mut none = wish(3600);
    none.hop = Target::new(Transport::Tls, address("192.0.2.1:5070")).into();
    let told = desk.act(|engine, ground| engine.subscribe(ground, none));
    assert_eq!(told.names(), ["refused NoWay gone"]);
}

/// RFC 3261 §21.4.17, §8.1.3.5.
#[test]
fn a_423_is_obeyed_once() {
    let mut desk = Desk::new();
    let (id, sent) = begin(&mut desk, wish(600));
    let told = desk.receive(&response(&sent, 423, "p", "Min-Expires: 1800\n"));
    let again = told.subscribe();
    assert_eq!((header(&again, "Expires"), header(&again, "CSeq")), ("1800", "2 SUBSCRIBE"));
    assert_eq!(header(&again, "Call-ID"), header(&sent, "Call-ID"));
    assert_eq!(told.names(), [""; 0]);
    let told = desk.receive(&response(&again, 423, "p", "Min-Expires: 3600\n"));
    assert_eq!(told.names(), ["refused 423 gone"]);
    assert_eq!(desk.engine.state(id), None);
    for headers in ["", "Min-Expires: 100\n", "Min-Expires: 86401\n"] {
        let (_, sent) = begin(&mut desk, wish(600));
        assert_eq!(desk.receive(&response(&sent, 423, "p", headers)).names(), ["refused 423 gone"]);
    }
}

/// What was told to ask for longer, and waits for its turn to do so, has nothing that could be ended.
#[test]
fn one_that_waits_to_ask_for_longer_ends_at_once() {
    let mut desk = Desk::with(Config { max_outstanding: 1, ..config() });
    let (id, sent) = begin(&mut desk, wish(600));
    desk.act(|engine, ground| engine.subscribe(ground, wish(600)));
    let other = desk.receive(&response(&sent, 423, "p", "Min-Expires: 1800\n")).subscribe();
    assert_ne!(header(&other, "Call-ID"), header(&sent, "Call-ID"));
    assert_eq!(desk.act(|engine, ground| engine.unsubscribe(ground, id)).names(), ["ended"]);
    assert_eq!((desk.engine.state(id), desk.engine.counts().waiting), (None, 0));
}

/// RFC 6665 §4.1.2.3.
#[test]
fn it_is_ended() {
    let mut desk = Desk::new();
    let (id, sent) = active(&mut desk);
    let end = desk.act(|engine, ground| engine.unsubscribe(ground, id)).subscribe();
    assert_eq!(header(&end, "Expires"), "0");
    assert_eq!(desk.receive(&response(&end, 200, "p", "Expires: 0\n")).names(), ["accepted 0"]);
    // One that was under way does not count as the last one.
    let (_, server, _) = desk.receive(&notify_for(&sent, "p", 2, "active;expires=3000")).notified();
    ok(&mut desk, id, server);
    let (_, server, _) = desk.receive(&notify_for(&sent, "p", 3, "terminated;reason=timeout")).notified();
    assert_eq!(ok(&mut desk, id, server).names(), ["ended"]);
    // Without the last NOTIFY.
    let (id, _) = active(&mut desk);
    let end = desk.act(|engine, ground| engine.unsubscribe(ground, id)).subscribe();
    desk.receive(&response(&end, 200, "p", "Expires: 0\n"));
    assert_eq!(desk.wait(32.0).names(), ["expired"]);
    // Refused.
    let (id, _) = active(&mut desk);
    let end = desk.act(|engine, ground| engine.unsubscribe(ground, id)).subscribe();
    assert_eq!(desk.receive(&response(&end, 500, "p", "Retry-After: 5\n")).names(), ["refused 500 gone"]);
    // During a refresh: behind it.
    let (id, _) = active(&mut desk);
    let refresh = desk.act(|engine, ground| engine.refresh(ground, id)).subscribe();
    assert_eq!(desk.act(|engine, ground| engine.unsubscribe(ground, id)).summary(), [""; 0]);
    let told = desk.receive(&response(&refresh, 200, "p", "Expires: 3600\n"));
    assert_eq!(header(&told.subscribe(), "Expires"), "0");
    desk.receive(&response(&told.subscribe(), 481, "p", ""));
    // Before anything came: behind the first answer.
    let (id, sent) = begin(&mut desk, wish(3600));
    assert_eq!(desk.act(|engine, ground| engine.unsubscribe(ground, id)).summary(), [""; 0]);
    let told = desk.receive(&response(&sent, 200, "p", "Expires: 3600\nContact: <sip:romeo@192.0.2.1:5070>\n"));
    assert_eq!((header(&told.subscribe(), "Expires"), tag(&told.subscribe(), "To").as_str()), ("0", "p"));
}

#[test]
fn a_fetch_is_one_answer() {
    let mut desk = Desk::new();
    let (id, sent) = begin(&mut desk, wish(0));
    assert_eq!(header(&sent, "Expires"), "0");
    assert_eq!(
        desk.receive(&response(&sent, 200, "p", "Expires: 0\nContact: <sip:romeo@192.0.2.1:5070>\n")).names(),
        ["accepted 0"]
    );
    let (_, server, _) = desk.receive(&notify_for(&sent, "p", 1, "terminated;reason=timeout")).notified();
    assert_eq!(ok(&mut desk, id, server).names(), ["ended"]);
    // Who does not know that a fetch ends with its answer is not waited for for ever, nor one who says that nothing comes (RFC 5839).
    let (id, sent) = begin(&mut desk, wish(0));
    let (_, server, _) = desk.receive(&notify_for(&sent, "p", 3, "active")).notified();
    ok(&mut desk, id, server);
    desk.receive(&response(&sent, 204, "p", ""));
    assert_eq!(desk.wait(32.0).names(), ["expired"]);
    let (id, sent) = begin(&mut desk, wish(0));
    desk.receive(&response(&sent, 200, "p", "Expires: 0\nContact: <sip:romeo@192.0.2.1:5070>\n"));
    let (_, server, _) = desk.receive(&notify_for(&sent, "p", 2, "active;expires=3600")).notified();
    ok(&mut desk, id, server);
    assert_eq!(desk.wait(32.0).names(), ["expired"]);
}

/// RFC 6665 §4.1.3, §8.2.1; RFC 3261 §12.2.2; faults 13 and 45.
#[test]
fn notifies_that_are_refused() {
    let mut desk = Desk::new();
    let (id, sent) = active(&mut desk);
    let good = |cseq| notify_for(&sent, "p", cseq, "active;expires=3000");
    let refused = |desk: &mut Desk, text: &str, start: &str| {
        let told = desk.receive(text);
        assert!(told.response().starts_with(start), "{start}: {}", told.response());
        assert_eq!(told.names(), [""; 0]);
    };
    let line = "Subscription-State: active;expires=3000\n";
    refused(&mut desk, &good(2).replace(line, ""), "SIP/2.0 400 Missing Subscription-State\n");
    refused(&mut desk, &good(3).replace("Event: presence\n", ""), "SIP/2.0 489 ");
    refused(&mut desk, &good(4).replace("Event: presence", "Event: dialog"), "SIP/2.0 489 ");
    refused(&mut desk, &good(5).replace("Event: presence", "Event: presence;id=1"), "SIP/2.0 481 ");
    refused(&mut desk, &good(6).replace("Event: presence", "Event: conference"), "SIP/2.0 481 ");
    refused(&mut desk, &good(7).replace("Call-ID: ", "Call-ID: x"), "SIP/2.0 481 ");
    refused(&mut desk, &good(8).replace(&tag(&sent, "From"), "guess"), "SIP/2.0 481 ");
    refused(&mut desk, &good(1).replace("bKn1p", "bKold"), "SIP/2.0 500 ");
    let told = desk.receive(&good(20));
    let (_, server, _) = told.notified();
    refused(&mut desk, &good(19), "SIP/2.0 500 ");
    ok(&mut desk, id, server);
    // A SUBSCRIBE the other way round would share the dialog (RFC 6665 §4.5.2).
    let back = subscribe(&tag(&sent, "From"), 30, 600)
        .replace("romeo@example.net>;tag=r", "romeo@example.net>;tag=p")
        .replace("c@example.net", header(&sent, "Call-ID"));
    refused(&mut desk, &back, "SIP/2.0 403 ");
    assert_eq!(desk.engine.counts().out_of_order, 2);
}

/// RFC 6665 §4.1.3: `expires` is the authority, in both directions, and the refresh moves with it.
#[test]
fn a_notify_says_how_long() {
    let mut desk = Desk::new();
    let (id, sent) = active(&mut desk);
    let (_, server, _) = desk.receive(&notify_for(&sent, "p", 2, "active;expires=100")).notified();
    ok(&mut desk, id, server);
    assert_eq!(desk.engine.expires_at(id), Some(Time::from_secs(1100)));
    assert_eq!(desk.wait(100.0).names(), ["refresh", "expired"]);
    let (id, sent) = active(&mut desk);
    let told = desk.receive(&notify_for(&sent, "p", 2, "active;expires=4294967295"));
    assert_eq!(told.names(), ["notify Active", "save"]);
    assert_eq!(desk.engine.expires_at(id), Some(desk.now + Duration::from_secs(86_400)));
}

/// A notifier that counts down in whole seconds: of four, the refresh comes in time whenever it was to come.
#[test]
fn a_short_one_is_refreshed_in_time() {
    let mut desk = Desk::with(config());
    for _ in 0..20 {
        let (id, sent) = begin(&mut desk, wish(4));
        desk.receive(&response(&sent, 200, "p", "Expires: 4\nContact: <sip:romeo@192.0.2.1:5070>\n"));
        let (_, server, _) = desk.receive(&notify_for(&sent, "p", 1, "active;expires=4")).notified();
        ok(&mut desk, id, server);
        let (_, server, _) = desk.receive(&notify_for(&sent, "p", 2, "active;expires=3")).notified();
        ok(&mut desk, id, server);
        assert_eq!(desk.wait(3.0).names(), ["refresh", "expired"]);
    }
}

/// The Event `id` and a preloaded route go along.
#[test]
fn what_the_wish_says_besides() {
    let mut desk = Desk::new();
    let mut wish = wish(3600);
    wish.event_id = Some("9".into());
    wish.route = Some("<sip:192.0.2.7;lr>".into());
    wish.call_id = Some("mine@example.com".into());
    let (_, sent) = begin(&mut desk, wish);
    assert!(sent.starts_with("SUBSCRIBE sip:romeo@example.net SIP/2.0\n"), "{sent}");
    assert_eq!((header(&sent, "Event"), header(&sent, "Route")), ("presence;id=9", "<sip:192.0.2.7;lr>"));
    assert_eq!(header(&sent, "Call-ID"), "mine@example.com");
    let told = desk.receive(&notify_for(&sent, "p", 1, "active;expires=3600"));
    assert_eq!(told.names(), ["notify Active", "save"]);
}
