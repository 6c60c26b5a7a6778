//! Subscriptions in the dialog of a session: RFC 5057, RFC 6665 §4.5.

use super::*;

fn desk() -> Desk {
    Desk { session: Some(session()), ..Desk::new() }
}

/// A SUBSCRIBE of Romeo's in the session.
fn subscribe_in(event: &str, cseq: u32, expires: u32) -> String {
    romeo("SUBSCRIBE", "j", cseq, &format!("Event: {event}\nExpires: {expires}\n"))
}

impl Desk {
    /// Accepts what came up, and gives the usage and the first NOTIFY.
    fn accepted(&mut self, told: &Told, expires: u32) -> (UsageId, String, String) {
        let (id, server) = told.watch();
        let told = self.act(|engine, ground| engine.accept(ground, id, server, expires));
        (id, told.response(), told.notify())
    }

    fn watched_in(&mut self, text: &str, expires: u32) -> (UsageId, String, String) {
        let told = self.receive(text);
        self.accepted(&told, expires)
    }

    fn shared(&mut self) -> Dialog {
        self.session.as_mut().expect("a session").share()
    }

    /// Subscribes in the session.
    fn subscribe_within(&mut self, wish: Subscribe) -> (Result<UsageId, Refused>, Told) {
        let dialog = self.shared();
        let mut id = Err(Refused::Broken);
        let told = self.act(|engine, ground| id = engine.subscribe_in(ground, dialog, wish));
        (id, told)
    }
}

/// As RFC 7702 F38 has it: a SUBSCRIBE in the session, its NOTIFYs, a refresh, another package, the end. Nothing is stored.
#[test]
fn a_watcher_in_a_session() {
    let mut desk = desk();
    let told = desk.receive(&subscribe_in("conference", 2, 3600));
    assert_eq!(told.names(), ["watch New 3600"]);
    let (id, answer, first) = desk.accepted(&told, 600);
    assert_eq!((header(&answer, "Expires"), header(&answer, "Contact")), ("600", "<sip:juliet@gw.example.com>"));
    assert!(!answer.contains("Record-Route"), "there is a dialog already: {answer}");
    assert!(first.starts_with("NOTIFY sip:romeo@192.0.2.1:5070 SIP/2.0\n"), "{first}");
    let said = ["Route", "From", "To", "Call-ID", "CSeq", "Event", "Subscription-State"].map(|n| header(&first, n));
    assert_eq!(
        said,
        [
            "<sip:192.0.2.7;lr>",
            "<sip:juliet@example.com>;tag=j",
            "<sip:romeo@example.net>;tag=r",
            "s@example.net",
            "1 NOTIFY",
            "conference",
            "active;expires=600",
        ]
    );
    assert_eq!(desk.receive(&response(&first, 200, "", "")).summary(), [""; 0]);
    assert_eq!(desk.engine.snapshot(desk.now, id), None);
    assert_eq!(desk.engine.dialog(id).map(Dialog::usages), Some(2));
    // A refresh is found by plain means, too.
    let told = desk.receive(&subscribe_in("conference", 3, 3600));
    assert_eq!(told.names(), ["watch Refresh 3600"]);
    assert_eq!(told.watch().0, id);
    let (_, _, again) = desk.accepted(&told, 3600);
    desk.receive(&response(&again, 200, "", ""));
    // Another package, and the same with an id, are others.
    let (other, _, notify) = desk.watched_in(&subscribe_in("presence", 4, 60), 60);
    assert_eq!((header(&notify, "CSeq"), header(&notify, "Event")), ("3 NOTIFY", "presence"));
    let (third, _, notify3) = desk.watched_in(&subscribe_in("conference;id=7", 5, 60), 60);
    assert_eq!((header(&notify3, "CSeq"), header(&notify3, "Event")), ("4 NOTIFY", "conference;id=7"));
    assert!(id != other && other != third && desk.engine.len() == 3);
    for notify in [notify, notify3] {
        desk.receive(&response(&notify, 200, "", ""));
    }
    let told = desk.receive(&subscribe_in("conference", 6, 0));
    assert_eq!(told.names(), ["watch End 0"]);
    let (gone, _, last) = desk.accepted(&told, 0);
    assert_eq!((gone, header(&last, "Subscription-State")), (id, "terminated;reason=timeout"));
    assert_eq!(desk.receive(&response(&last, 200, "", "")).names(), ["ended"]);
    // What it was begins anew.
    assert_eq!(desk.receive(&subscribe_in("conference", 7, 0)).names(), ["watch Fetch 0"]);
    for id in [other, third] {
        desk.engine.forget(id);
    }
}

/// RFC 3261 §12.2.1.1, §12.2.2: there is one count for all requests of the dialog in either direction, and one target.
#[test]
fn one_count_and_one_target() {
    let mut desk = desk();
    let (id, _, notify) = desk.watched_in(&subscribe_in("conference", 2, 3600), 3600);
    desk.receive(&response(&notify, 200, "", ""));
    let mut session = desk.shared();
    let update = session.request(Method::Update).expect("an UPDATE");
    assert_eq!(update.headers.get(Name::CSeq), Some("2 UPDATE"));
    assert!(session.take_cseq(7) && session.refresh_target("sip:romeo@192.0.2.9:5071".into()));
    // Behind a re-INVITE with the number 7 nothing below counts.
    for cseq in [6, 7] {
        assert_eq!(desk.receive(&subscribe_in("conference", cseq, 60)).summary(), ["SIP/2.0 500 CSeq Out Of Order"]);
        let refer = romeo("REFER", "j", cseq, "Refer-To: <sip:x@example.net>\n");
        assert_eq!(desk.receive(&refer).summary(), ["SIP/2.0 500 CSeq Out Of Order"]);
    }
    desk.receive(&subscribe_in("conference", 8, 60));
    assert!(!session.take_cseq(8));
    let told = desk.act(|engine, _| engine.touch(id, Change::State));
    let notify = told.notify();
    assert!(notify.starts_with("NOTIFY sip:romeo@192.0.2.9:5071 SIP/2.0\n"), "{notify}");
    assert_eq!(header(&notify, "CSeq"), "3 NOTIFY");
    // What has been overtaken on its way is said again, once.
    session.request(Method::Update).expect("an UPDATE");
    let again = desk.receive(&response(&notify, 500, "", "")).notify();
    assert_eq!(header(&again, "CSeq"), "5 NOTIFY");
    session.request(Method::Update).expect("an UPDATE");
    assert_eq!(desk.receive(&response(&again, 500, "", "")).names(), ["gone 500"]);
    assert!(desk.engine.is_empty());
    assert_eq!(desk.engine.counts().out_of_order, 4);
}

/// A 500 that nothing has overtaken is the other side's own fault.
#[test]
fn a_500_of_its_own() {
    let mut desk = desk();
    let (_, _, notify) = desk.watched_in(&subscribe_in("conference", 2, 3600), 3600);
    assert_eq!(desk.receive(&response(&notify, 500, "", "")).names(), ["gone 500"]);
}

/// RFC 5057 §5.1: a 481 to a NOTIFY ends that usage and no other one; the session's end is for the layer above to tell.
#[test]
fn the_end_of_one_is_not_the_end_of_all() {
    let mut desk = desk();
    let (one, _, notify) = desk.watched_in(&subscribe_in("conference", 2, 3600), 3600);
    let (two, _, other) = desk.watched_in(&subscribe_in("presence", 3, 3600), 3600);
    assert_eq!(desk.receive(&response(&notify, 481, "", "")).names(), ["gone 481"]);
    assert_eq!((desk.engine.state(one), desk.engine.state(two)), (None, Some(UsageState::Active)));
    desk.receive(&response(&other, 200, "", ""));
    desk.state = None;
    assert_eq!(desk.act(|engine, _| engine.close(two)).names(), ["wanted last"]);
    let state = State::terminated(Reason::NoResource);
    let told = desk.act(|engine, ground| engine.notify(ground, two, &state, None));
    assert_eq!(header(&told.notify(), "Subscription-State"), "terminated;reason=noresource");
    assert_eq!(desk.receive(&response(&told.notify(), 200, "", "")).names(), ["ended"]);
}

/// Our own in a session, which has begun to say things itself.
#[test]
fn a_subscription_of_ours() {
    let mut desk = desk();
    desk.shared().request(Method::Update).expect("an UPDATE");
    let conference = || Subscribe { package: "conference", contact: isfocus(), ..wish(3600) };
    let (id, told) = desk.subscribe_within(conference());
    let (id, subscribe) = (id.expect("a usage"), told.subscribe());
    assert!(subscribe.starts_with("SUBSCRIBE sip:romeo@192.0.2.1:5070 SIP/2.0\n"), "{subscribe}");
    assert_eq!(header(&subscribe, "CSeq"), "2 SUBSCRIBE");
    assert_eq!(header(&subscribe, "Contact"), "<sip:juliet@gw.example.com>;isfocus");
    assert_eq!(header(&subscribe, "To"), "<sip:romeo@example.net>;tag=r");
    // The same once more is known; with an id it is another one, and so is another package.
    assert_eq!(desk.subscribe_within(conference()).0, Err(Refused::Known));
    let (other, told) = desk.subscribe_within(Subscribe { event_id: Some("x".into()), ..conference() });
    let (other, second) = (other.expect("a usage"), told.subscribe());
    assert_eq!((header(&second, "CSeq"), header(&second, "Event")), ("3 SUBSCRIBE", "conference;id=x"));
    // A NOTIFY may be faster than the answer.
    let notify = |event: &str, cseq: u32, state: &str| {
        romeo("NOTIFY", "j", cseq, &format!("Event: {event}\nSubscription-State: {state}\n"))
    };
    assert_eq!(desk.receive(&notify("conference", 2, "pending;expires=600")).notified().0, id);
    assert_eq!(desk.receive(&response(&subscribe, 200, "", "Expires: 600\n")).names(), ["accepted 600"]);
    assert_eq!(desk.receive(&notify("conference;id=x", 3, "active;expires=600")).notified().0, other);
    assert_eq!(desk.receive(&response(&second, 200, "", "Expires: 600\n")).names(), ["accepted 600"]);
    assert_eq!(
        desk.receive(&notify("conference;id=y", 4, "active")).summary(),
        ["SIP/2.0 481 Call/Transaction Does Not Exist"]
    );
    let late = notify("conference", 3, "active").replace("z9hG4bK", "z9hG4bKlate");
    assert_eq!(desk.receive(&late).summary(), ["SIP/2.0 500 CSeq Out Of Order"]);
    assert_eq!(desk.receive(&notify("conference", 5, "active")).notified().0, id);
    assert_eq!(desk.engine.snapshot(desk.now, id), None);
    // Refreshed as any other, in the same dialog.
    let told = desk.wait(545.0);
    assert_eq!(told.names(), ["refresh", "refresh"]);
    let refresh = desk.act(|engine, ground| engine.refresh(ground, id)).subscribe();
    assert_eq!(header(&refresh, "CSeq"), "4 SUBSCRIBE");
    // Overtaken, it is said again.
    desk.shared().request(Method::Update).expect("an UPDATE");
    let again = desk.receive(&response(&refresh, 500, "", "")).subscribe();
    assert_eq!(header(&again, "CSeq"), "6 SUBSCRIBE");
    assert_eq!(desk.receive(&response(&again, 200, "", "Expires: 600\n")).names(), ["accepted 600"]);
    let end = desk.act(|engine, ground| engine.unsubscribe(ground, id)).subscribe();
    assert_eq!((header(&end, "CSeq"), header(&end, "Expires")), ("7 SUBSCRIBE", "0"));
    desk.shared().request(Method::Update).expect("an UPDATE");
    let end = desk.receive(&response(&end, 500, "", "")).subscribe();
    assert_eq!((header(&end, "CSeq"), header(&end, "Expires")), ("9 SUBSCRIBE", "0"));
    desk.receive(&response(&end, 200, "", ""));
    let told = desk.receive(&notify("conference", 6, "terminated;reason=timeout"));
    let (_, server, _) = told.notified();
    let told = desk.act(|engine, ground| engine.answer_notify(ground, id, server, Response::new(200, "")));
    assert_eq!(told.names(), ["ended"]);
    // The other one runs out with nobody to say anything.
    assert_eq!(desk.wait(600.0).names(), ["expired"]);
    assert!(desk.engine.is_empty());
}

fn isfocus() -> NameAddr {
    NameAddr::new(uri("sip:juliet@gw.example.com")).with_feature("isfocus")
}

/// The same package in both directions, each with its own end.
#[test]
fn both_roles_in_one_dialog() {
    let mut desk = desk();
    let (id, told) = desk.subscribe_within(Subscribe { package: "conference", ..wish(3600) });
    let (ours, subscribe) = (id.expect("a usage"), told.subscribe());
    let (theirs, _, notify) = desk.watched_in(&subscribe_in("conference", 2, 3600), 3600);
    assert_ne!(ours, theirs);
    let told = desk.receive(&romeo("NOTIFY", "j", 3, "Event: conference\nSubscription-State: active\n"));
    assert_eq!(told.notified().0, ours);
    assert_eq!(desk.receive(&subscribe_in("conference", 4, 3600)).watch().0, theirs);
    assert_eq!(desk.receive(&response(&subscribe, 200, "", "Expires: 60\n")).names(), ["accepted 60"]);
    assert_eq!(desk.receive(&response(&notify, 200, "", "")).names(), [""; 0]);
    assert_eq!(desk.engine.counts().subscribers, 1);
    let request = subscribe_in("conference", 5, 1).replace('\n', "\r\n");
    let Ok(crate::Message::Request(request)) = parse_datagram(&Bytes::from(request), &Limits::default()) else {
        panic!("no request")
    };
    assert_eq!(desk.engine.find(&request), Some(theirs));
    assert_eq!(desk.engine.find(&Request { method: Method::Notify, ..request.clone() }), Some(ours));
    assert_eq!(desk.engine.find(&Request { method: Method::Refer, ..request }), None);
}

/// Nobody has more than 32 usages in a dialog, and what is no dialog has none.
#[test]
fn bounds_of_sharing() {
    let mut desk = desk();
    for n in 0..31 {
        let told = desk.receive(&subscribe_in(&format!("conference;id=a{n}"), 2 + n, 3600));
        assert_eq!(told.names(), ["watch New 3600"], "{n}");
    }
    let told = desk.receive(&subscribe_in("conference;id=more", 50, 3600));
    assert_eq!(told.summary(), ["SIP/2.0 503 Service Unavailable"]);
    assert_eq!(desk.subscribe_within(wish(60)).0, Err(Refused::Full));
    let refer = romeo("REFER", "j", 51, "Refer-To: <sip:x@example.net>\n");
    assert_eq!(desk.receive(&refer).summary(), ["SIP/2.0 503 Service Unavailable"]);
    assert_eq!(desk.engine.len(), 31);
    // In a dialog that is not said to be a session's nothing begins.
    desk.session = None;
    assert_eq!(
        desk.receive(&subscribe_in("presence", 52, 60)).summary(),
        ["SIP/2.0 481 Call/Transaction Does Not Exist"]
    );
    let refresh = desk.receive(&subscribe_in("conference;id=a3", 53, 60));
    assert_eq!(refresh.summary(), ["SIP/2.0 481 Call/Transaction Does Not Exist"], "it was not accepted yet");
    let early = Dialog { remote_tag: Str::default(), ..session() };
    let told = |desk: &mut Desk, dialog: Dialog| {
        let mut id = Ok(UsageId(0));
        desk.act(|engine, ground| id = engine.subscribe_in(ground, dialog, wish(60)));
        id
    };
    assert_eq!(told(&mut desk, early), Err(Refused::Broken));
    let mut lost = session();
    lost.refresh_target("no URI".into());
    assert_eq!(told(&mut desk, lost), Err(Refused::Broken));
    assert_eq!(told(&mut desk, session()).map(|_| ()), Ok(()), "one that nobody else uses");
    assert_eq!(told(&mut desk, session()), Err(Refused::Known));
}

/// RFC 3840 §9: what our Contact says of us stands in all that we say, and is stored as a name-addr; a plain one as the URI that it always was.
#[test]
fn a_contact_with_features() {
    let mut desk = Desk::new();
    let mut id = None;
    let wish = Subscribe { contact: isfocus(), ..wish(3600) };
    let sent = desk.act(|engine, ground| id = engine.subscribe(ground, wish).ok()).subscribe();
    assert_eq!(header(&sent, "Contact"), "<sip:juliet@gw.example.com>;isfocus");
    desk.receive(&notify_for(&sent, "p", 1, "active;expires=3600"));
    let usage = desk.engine.snapshot(desk.now, id.expect("a usage")).expect("what to store");
    assert_eq!(usage.contact, "<sip:juliet@gw.example.com>;isfocus");
    let (id, _) = desk.watched();
    let plain = desk.engine.snapshot(desk.now, id).expect("what to store");
    assert_eq!(plain.contact, "sip:juliet@gw.example.com");
    for (stored, said) in [(usage, "<sip:juliet@gw.example.com>;isfocus"), (plain, "<sip:juliet@gw.example.com>")] {
        let mut after = Desk::new();
        let until = after.now + Duration::from_secs(600);
        let mut id = None;
        after.act(|engine, ground| id = engine.restore(ground, stored, until).ok());
        let id = id.expect("a usage");
        after.engine.confirmed(id, u32::MAX);
        let told = after.act(|engine, ground| {
            engine.refresh(ground, id);
            engine.touch(id, Change::State);
        });
        assert_eq!(header(&told.sent[0].1, "Contact"), said);
    }
}
