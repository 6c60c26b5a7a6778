//! What survives a crash: RFC 3261 §12.2.1.1 wants numbers that never go back.

use super::*;

fn stored(usage: &Usage) -> Usage {
    let text = serde_json::to_string(usage).expect("JSON");
    let again: Usage = serde_json::from_str(&text).expect("a usage");
    assert_eq!(&again, usage);
    again
}

#[test]
fn a_notifier_goes_on() {
    let mut desk = Desk::new();
    let text = subscribe("", 1, 3600).replace("Event:", "Record-Route: <sip:192.0.2.7;lr>\nEvent:");
    let (id, server) = desk.receive(&text).watch();
    // It can be stored before it is promised.
    let before = desk.engine.snapshot(desk.now, id).expect("a usage");
    assert_eq!((before.state, before.expires, before.expires_in), (UsageState::RespWait, 3600, 3600));
    let notify = desk.act(|engine, ground| engine.accept(ground, id, server, 3600)).notify();
    desk.receive(&response(&notify, 200, "", ""));
    desk.wait(600.0);
    let usage = stored(&desk.engine.snapshot(desk.now, id).expect("a usage"));
    assert_eq!((usage.role, usage.state, usage.expires_in), (Role::Notifier, UsageState::Active, 3000));
    assert_eq!((usage.dialog.local_cseq(), usage.source), (10_001, Some(desk.from.ip())));
    let mut after = Desk::new();
    after.now = Time::from_secs(5);
    let mut id = None;
    let told = after.act(|engine, ground| id = engine.restore(ground, usage.clone(), Time::from_secs(3005)).ok());
    assert_eq!(told.summary(), [""; 0]);
    let id = id.expect("restored");
    after.act(|engine, ground| assert_eq!(engine.restore(ground, usage.clone(), Time::ZERO), Err(Refused::Known)));
    // No number is used that a second crash would have used again.
    assert_eq!(after.act(|engine, _| engine.touch(id, Change::State)).summary(), ["save"]);
    let ceiling = after.engine.snapshot(after.now, id).expect("a usage").dialog.local_cseq();
    let next = after.act(|engine, _| engine.confirmed(id, ceiling)).notify();
    assert_eq!(header(&next, "CSeq"), "10002 NOTIFY");
    assert_eq!(header(&next, "Subscription-State"), "active;expires=3000");
    for name in ["From", "To", "Call-ID", "Contact", "Route"] {
        assert_eq!(header(&next, name), header(&notify, name));
    }
    after.receive(&response(&next, 200, "", ""));
    assert_eq!(after.receive(&subscribe(&tag(&notify, "From"), 2, 600)).names(), ["watch Refresh 600"]);
    assert!(after.receive(&subscribe(&tag(&notify, "From"), 1, 600)).response().starts_with("SIP/2.0 500 "));
    assert_eq!(after.wait(3000.0).names(), ["gone Timeout", "lapsed"].map(str::to_owned)[1..].to_vec());
}

#[test]
fn a_subscriber_goes_on() {
    let mut desk = Desk::new();
    let told = desk.act(|engine, ground| engine.subscribe(ground, wish(3600)));
    let sent = told.subscribe();
    assert_eq!(desk.engine.snapshot(desk.now, UsageId(1)), None);
    desk.receive(&notify_for(&sent, "p", 4, "pending;expires=3600"));
    let usage = stored(&desk.engine.snapshot(desk.now, UsageId(1)).expect("a usage"));
    assert_eq!(
        (usage.role, usage.state, usage.accept.as_str()),
        (Role::Subscriber, UsageState::Pending, "application/pidf+xml")
    );
    let mut after = Desk::new();
    let expires_at = after.now + Duration::from_secs(1000);
    after.act(|engine, ground| engine.restore(ground, usage, expires_at).expect("restored"));
    assert_eq!(after.wait(900.0).names(), ["refresh"]);
    assert_eq!(after.act(|engine, ground| engine.refresh(ground, UsageId(1))).summary(), ["save"]);
    let refresh = after.act(|engine, _| engine.confirmed(UsageId(1), 20_001)).subscribe();
    assert_eq!((header(&refresh, "CSeq"), header(&refresh, "Expires")), ("10002 SUBSCRIBE", "3600"));
    assert_eq!(header(&refresh, "From"), header(&sent, "From"));
    let told = after.receive(&notify_for(&sent, "p", 4, "active"));
    assert!(told.response().starts_with("SIP/2.0 500 "));
    assert_eq!(after.receive(&notify_for(&sent, "p", 5, "active")).names(), ["notify Active", "save"]);
}

/// What ran out while nobody was there ends as soon as somebody is.
#[test]
fn what_ran_out_meanwhile() {
    let mut desk = Desk::new();
    let (id, _) = desk.watched();
    let usage = desk.engine.snapshot(desk.now, id).expect("a usage");
    let mut after = Desk::new();
    let told = after.act(|engine, ground| engine.restore(ground, usage.clone(), Time::ZERO).expect("restored"));
    assert_eq!(told.summary(), ["NOTIFY sip:romeo@192.0.2.1:5070 SIP/2.0", "lapsed"]);
    assert_eq!(header(&told.notify(), "Subscription-State"), "terminated;reason=timeout");
    let mut broken = usage.clone();
    broken.dialog.remote_tag = Str::default();
    let mut package = usage.clone();
    package.package = "dialog".into();
    let mut state = usage;
    state.state = UsageState::Terminated;
    for (usage, why) in [(broken, Refused::Broken), (package, Refused::Package), (state, Refused::Broken)] {
        after.act(|engine, ground| assert_eq!(engine.restore(ground, usage, Time::ZERO), Err(why)));
    }
}

/// Numbers are used up to the ceiling that is known to be on disk, and not beyond; half way there another save is asked for.
#[test]
fn no_number_beyond_the_ceiling() {
    let config = Config { reserve: 8, notify_interval: Duration::ZERO, ..config() };
    let mut desk = Desk::with(config);
    let (id, mut notify) = desk.watched();
    let mut names = Vec::new();
    for _ in 0..9 {
        let told = desk.receive(&response(&notify, 200, "", ""));
        names.extend(told.names());
        let told = desk.act(|engine, _| engine.touch(id, Change::Content));
        names.extend(told.names());
        match told.sent.is_empty() {
            true => break,
            false => notify = told.notify(),
        }
    }
    assert_eq!((header(&notify, "CSeq"), names), ("8 NOTIFY", vec!["save".to_owned()]));
    // The disk is slow: it is asked again, and nothing is sent.
    let told = desk.wait(31.0);
    assert_eq!(told.summary(), ["save"]);
    let usage = desk.engine.snapshot(desk.now, id).expect("a usage");
    assert_eq!(usage.dialog.local_cseq(), 16);
    let told = desk.act(|engine, _| engine.confirmed(id, 16));
    assert_eq!(header(&told.notify(), "CSeq"), "9 NOTIFY");
}

/// The last request of a dialog needs no number that the disk knows.
#[test]
fn the_end_does_not_wait_for_the_disk() {
    let mut desk = Desk::with(Config { reserve: 2, notify_interval: Duration::ZERO, ..config() });
    let (id, notify) = desk.watched();
    desk.receive(&response(&notify, 200, "", ""));
    let notify = desk.act(|engine, _| engine.touch(id, Change::Content)).notify();
    desk.receive(&response(&notify, 200, "", ""));
    assert_eq!(desk.act(|engine, _| engine.touch(id, Change::Content)).sent.len(), 0);
    let told = desk.wait(3600.0);
    assert_eq!(header(&told.notify(), "CSeq"), "3 NOTIFY");
    assert_eq!(header(&told.notify(), "Subscription-State"), "terminated;reason=timeout");
}

/// What a later version adds is ignored, what an earlier one lacks is missing without harm.
#[test]
fn a_stored_usage_of_another_version() {
    let text = r#"{"role":"notifier","dialog":{"call_id":"c","local_uri":"<sip:a@b>","local_tag":"l","remote_uri":"<sip:c@d>",
        "remote_tag":"r","remote_target":"sip:c@d","colour":"blue"},"package":"presence","state":"active","contact":"sip:a@b",
        "expires":60,"expires_in":5,"shape":[1]}"#;
    let usage: Usage = serde_json::from_str(text).expect("a usage");
    assert_eq!((usage.dialog.local_cseq(), usage.source, usage.event_id), (0, None, None));
}
