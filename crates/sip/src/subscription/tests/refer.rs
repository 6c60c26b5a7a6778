//! REFER: RFC 3515, RFC 4488, RFC 7647, in both roles, in a session and outside of any dialog.

use super::*;

const REFER_TO: &str = "Refer-To: <sip:nurse@example.net;method=INVITE>\n";

fn outside(cseq: u32, headers: &str) -> String {
    romeo("REFER", "", cseq, headers).replace("s@example.net", &format!("{cseq}@example.net"))
}

fn refers(event: &str, cseq: u32, state: &str) -> String {
    romeo("NOTIFY", "j", cseq, &format!("Event: {event}\nSubscription-State: {state}\n"))
}

fn done() -> State {
    State::terminated(Reason::NoResource)
}

fn referral(headers: Vec<(Name, Str)>) -> Subscribe {
    let by = By::Refer { refer_to: Str::const_new("<sip:nurse@example.net>"), headers };
    Subscribe { package: REFER, accept: "", by, ..wish(0) }
}

impl Desk {
    /// A REFER comes, is accepted, and is told at once what came of it.
    fn refer_done(&mut self, text: &str) -> (String, String) {
        let told = self.receive(text);
        assert_eq!(told.names(), ["watch Refer 3600"]);
        let [Event::Watch { id, package, server, request, .. }] = told.events.as_slice() else { panic!("{told:?}") };
        let (id, server) = (*id, *server);
        assert_eq!(*package, REFER);
        let refer_to = request.headers.refer_to().expect("well-formed").expect("a Refer-To");
        assert_eq!(refer_to.uri.to_string(), "sip:nurse@example.net;method=INVITE");
        self.state = None;
        let told = self.act(|engine, ground| engine.accept(ground, id, server, 0));
        assert_eq!(told.names(), ["wanted last"]);
        let content = Bytes::from_static(b"SIP/2.0 200 OK\r\n");
        let body = Body { content_type: "message/sipfrag", language: None, content };
        let notify = self.act(|engine, ground| engine.notify(ground, id, &done(), Some(body))).notify();
        (told.response(), notify)
    }

    fn refer_within(&mut self, wish: Subscribe) -> (UsageId, String) {
        let dialog = self.session.as_mut().expect("a session").share();
        let mut id = None;
        let told = self.act(|engine, ground| id = engine.subscribe_in(ground, dialog, wish).ok());
        (id.expect("a usage"), told.refer())
    }

    fn answer(&mut self, told: &Told) -> Told {
        let (id, server, _) = told.notified();
        self.act(|engine, ground| engine.answer_notify(ground, id, server, Response::new(200, "")))
    }
}

/// RFC 3515 §2.4.2, §2.4.4, RFC 7647 §5: 200, and one NOTIFY that says all.
#[test]
fn a_referral_outside_of_a_dialog() {
    let mut desk = Desk::new();
    let (answer, notify) = desk.refer_done(&outside(1, &format!("{REFER_TO}Record-Route: <sip:192.0.2.7;lr>\n")));
    assert!(answer.starts_with("SIP/2.0 200 OK\n") && !answer.contains("Expires"), "{answer}");
    assert_eq!(header(&answer, "Record-Route"), "<sip:192.0.2.7;lr>");
    assert_eq!(header(&answer, "Contact"), "<sip:juliet@gw.example.com>");
    let said = ["Event", "Subscription-State", "CSeq", "Content-Type"].map(|name| header(&notify, name));
    assert_eq!(said, ["refer", "terminated;reason=noresource", "1 NOTIFY", "message/sipfrag"]);
    assert_eq!(desk.engine.counts().refers_in, 1);
    assert_eq!(desk.receive(&response(&notify, 200, "", "")).names(), ["ended"]);
    assert!(desk.engine.is_empty());
}

/// RFC 3515 §2.4.2, §2.4.4; RFC 6665 §4.5.2.
#[test]
fn what_is_no_referral() {
    let mut desk = Desk::new();
    for (headers, code) in [
        ("", "400 Missing Refer-To"),
        ("Refer-To: <sip:a@b.example>, <sip:c@d.example>\n", "400 Malformed Refer-To: garbage behind an address"),
        ("Refer-To: <sip:a@b.example>\nRefer-To: <sip:c@d.example>\n", "400 Repeated Refer-To"),
        ("Refer-To: nobody\n", "400 Malformed Refer-To: URI without a scheme"),
        ("Refer-To: <sip:a@b.example>\nRefer-Sub: perhaps\n", "400 Malformed Refer-Sub: neither true nor false"),
        ("Refer-To: <sip:a@b.example>\nContact: <sip:a@b.example>\n", "400 Repeated Contact"),
        ("Refer-To: <sip:a@b.example>\nRequire: multiple-refer\n", "420 Bad Extension"),
    ] {
        let told = desk.receive(&outside(1, headers));
        assert_eq!(told.summary(), [format!("SIP/2.0 {code}")]);
        desk.wait(40.0);
    }
    let told = desk.receive(&outside(1, REFER_TO).replace("Contact: <sip:romeo@192.0.2.1:5070>\n", ""));
    assert_eq!(told.summary(), ["SIP/2.0 400 Missing Contact"]);
    // A subscription of this package is made by REFER alone.
    let event = "Event: refer\n";
    assert_eq!(desk.receive(&romeo("SUBSCRIBE", "", 2, event)).summary(), ["SIP/2.0 403 Forbidden"]);
    assert_eq!(
        desk.receive(&romeo("REFER", "x", 3, REFER_TO)).summary(),
        ["SIP/2.0 481 Call/Transaction Does Not Exist"]
    );
    // What has its dialog for itself does not share it.
    let (_, notify) = desk.watched();
    let tag = tag(&notify, "From");
    let inside = |cseq| romeo("REFER", &tag, cseq, REFER_TO).replace("s@example.net", "c@example.net");
    assert_eq!(desk.receive(&inside(1)).summary(), ["SIP/2.0 500 CSeq Out Of Order"]);
    assert_eq!(desk.receive(&inside(4)).summary(), ["SIP/2.0 403 Dialog Sharing Not Supported"]);
    assert_eq!(desk.engine.len(), 1);
    // Our own is made by REFER, and nothing else is.
    let wishes = [Subscribe { package: REFER, ..wish(60) }, Subscribe { package: "presence", ..referral(Vec::new()) }];
    for wish in wishes {
        desk.act(|engine, ground| assert_eq!(engine.subscribe(ground, wish), Err(Refused::Package)));
    }
    let mut desk = Desk::with(Config { packages: vec!["presence"], ..config() });
    let told = desk.receive(&outside(1, REFER_TO));
    assert_eq!(told.summary(), ["SIP/2.0 405 Method Not Allowed"]);
    assert_eq!(header(&told.response(), "Allow"), "SUBSCRIBE, NOTIFY, REFER");
}

/// RFC 4488 §4: who wants to hear nothing hears nothing, and there is no dialog.
#[test]
fn a_referral_without_a_subscription() {
    let mut desk = Desk { session: Some(session()), ..Desk::new() };
    let quiet = format!("{REFER_TO}Refer-Sub: FALSE;x=y\nSupported: norefersub\n");
    for text in [outside(1, &quiet), romeo("REFER", "j", 2, &quiet)] {
        let (id, server) = desk.receive(&text).watch();
        let told = desk.act(|engine, ground| engine.accept(ground, id, server, 0));
        assert_eq!(told.names(), ["ended"]);
        assert_eq!(header(&told.response(), "Refer-Sub"), "false");
        assert!(desk.engine.is_empty());
    }
    let (id, server) = desk.receive(&romeo("REFER", "j", 3, &quiet.replace("FALSE", "true"))).watch();
    let told = desk.act(|engine, ground| engine.accept(ground, id, server, 0));
    assert!(!told.response().contains("Refer-Sub"), "{told:?}");
    told.notify();
}

/// RFC 3515 §2.4.6: in a session, from the second one on, the number is the id.
#[test]
fn referrals_in_a_session() {
    let mut desk = Desk { session: Some(session()), ..Desk::new() };
    let (answer, first) = desk.refer_done(&romeo("REFER", "j", 2, REFER_TO));
    assert_eq!((header(&first, "Event"), header(&first, "CSeq")), ("refer", "1 NOTIFY"));
    assert!(!answer.contains("Record-Route"), "{answer}");
    let (_, second) = desk.refer_done(&romeo("REFER", "j", 5, REFER_TO));
    assert_eq!((header(&second, "Event"), header(&second, "CSeq")), ("refer;id=5", "2 NOTIFY"));
    for notify in [first, second] {
        assert_eq!(desk.receive(&response(&notify, 200, "", "")).names(), ["ended"]);
    }
    let (id, server) = desk.receive(&romeo("REFER", "j", 6, REFER_TO)).watch();
    let told = desk.act(|engine, ground| engine.refuse(ground, id, server, Response::new(603, "")));
    assert_eq!(told.summary(), ["SIP/2.0 603 Decline"]);
    // One without an answer is over when its sender must have given up.
    assert_eq!(desk.receive(&romeo("REFER", "j", 7, REFER_TO)).names(), ["watch Refer 3600"]);
    let told = desk.wait(40.0);
    assert!(told.cancelled && told.names() == ["gone Timeout"], "{told:?}");
    assert!(desk.engine.is_empty());
}

/// RFC 3515 §2.4.4: one whose outcome takes its time lives like any other subscription; SUBSCRIBE goes on with it, or ends it.
#[test]
fn a_referral_that_takes_its_time() {
    let mut desk = Desk { session: Some(session()), ..Desk::new() };
    let open = |desk: &mut Desk, cseq: u32| {
        let (id, server) = desk.receive(&romeo("REFER", "j", cseq, REFER_TO)).watch();
        let told = desk.act(|engine, ground| engine.accept(ground, id, server, 120));
        assert_eq!(header(&told.notify(), "Subscription-State"), "active;expires=120");
        desk.receive(&response(&told.notify(), 200, "", ""));
        id
    };
    let (first, second) = (open(&mut desk, 2), open(&mut desk, 3));
    assert_eq!(desk.engine.snapshot(desk.now, first), None);
    let subscribe = |event: &str, cseq: u32, expires: u32| {
        romeo("SUBSCRIBE", "j", cseq, &format!("Event: {event}\nExpires: {expires}\n"))
    };
    for (event, cseq, id) in [("refer", 4, first), ("refer;id=2", 5, first), ("refer;id=3", 6, second)] {
        let told = desk.receive(&subscribe(event, cseq, 300));
        assert_eq!((told.names(), told.watch().0), (vec!["watch Refresh 300".to_owned()], id), "{event}");
        let (id, server) = told.watch();
        let notify = desk.act(|engine, ground| engine.accept(ground, id, server, 300)).notify();
        desk.receive(&response(&notify, 200, "", ""));
    }
    assert_eq!(desk.receive(&subscribe("refer;id=9", 7, 300)).summary(), ["SIP/2.0 403 Forbidden"]);
    desk.state = Some(done());
    let last = desk.act(|engine, _| engine.close(first)).notify();
    assert_eq!(header(&last, "Subscription-State"), "terminated;reason=noresource");
    assert_eq!(desk.receive(&response(&last, 200, "", "")).names(), ["ended"]);
    // It was the one that needs no id.
    assert_eq!(desk.receive(&subscribe("refer", 8, 0)).summary(), ["SIP/2.0 403 Forbidden"]);
    let told = desk.receive(&subscribe("refer;id=3", 9, 0));
    assert_eq!(told.names(), ["watch End 0"]);
    let (id, server) = told.watch();
    let last = desk.act(|engine, ground| engine.accept(ground, id, server, 0)).notify();
    assert_eq!((header(&last, "Event"), id), ("refer;id=3", second));
    desk.receive(&response(&last, 200, "", ""));
    // And one that nobody comes back to lapses.
    desk.state = None;
    let (id, server) = desk.receive(&romeo("REFER", "j", 10, REFER_TO)).watch();
    desk.act(|engine, ground| engine.accept(ground, id, server, 10));
    let told = desk.act(|engine, ground| engine.notify(ground, id, &State::Active, None));
    desk.receive(&response(&told.notify(), 200, "", ""));
    assert_eq!(desk.wait(10.0).names(), ["lapsed", "wanted last"]);
}

/// RFC 3515 §2.4.1: what we say, and what comes of it.
#[test]
fn a_referral_of_ours() {
    let mut desk = Desk::new();
    let by = (Name::ReferredBy, Str::const_new("<sip:juliet@example.com>"));
    let start = |desk: &mut Desk, headers: Vec<(Name, Str)>| {
        let mut id = None;
        let told = desk.act(|engine, ground| id = engine.subscribe(ground, referral(headers)).ok());
        (id.expect("a usage"), told.refer())
    };
    let (id, refer) = start(&mut desk, vec![by]);
    assert!(refer.starts_with("REFER sip:romeo@example.net SIP/2.0\n"), "{refer}");
    assert_eq!(header(&refer, "Refer-To"), "<sip:nurse@example.net>");
    assert_eq!(header(&refer, "Referred-By"), "<sip:juliet@example.com>");
    assert_eq!((header(&refer, "CSeq"), header(&refer, "To")), ("1 REFER", "<sip:romeo@example.net>"));
    assert!(!["Event", "Expires", "Accept"].iter().any(|name| refer.contains(&format!("\n{name}:"))), "{refer}");
    // RFC 7647 §5: 202 is 200.
    let accepted = "Contact: <sip:romeo@192.0.2.1:5070>\n";
    assert_eq!(desk.receive(&response(&refer, 202, "p", accepted)).names(), ["accepted 3600"]);
    let refer = format!("{refer}Event: refer\n");
    let told = desk.receive(&notify_for(&refer, "p", 1, "active;expires=60"));
    assert_eq!((told.notified().0, told.notified().2), (id, State::Active));
    desk.answer(&told);
    assert_eq!(desk.engine.snapshot(desk.now, id), None);
    let told = desk.receive(&notify_for(&refer, "p", 2, "terminated;reason=noresource"));
    assert_eq!(told.notified().2, done());
    assert_eq!(desk.answer(&told).names(), ["ended"]);
    // The last word may be faster than the 2xx, which is not heard then.
    let (_, refer) = start(&mut desk, Vec::new());
    let refer = format!("{refer}Event: refer;id=1\n");
    let told = desk.receive(&notify_for(&refer, "q", 7, "terminated;reason=noresource"));
    assert_eq!(desk.answer(&told).names(), ["ended"]);
    assert!(desk.engine.is_empty());
    // RFC 6665 §4.1.2.4: nothing comes at all.
    let mut desk = Desk::new();
    let (_, refer) = start(&mut desk, Vec::new());
    assert_eq!(desk.receive(&response(&refer, 200, "p", accepted)).names(), ["accepted 3600"]);
    assert_eq!(desk.wait(31.9).names(), [""; 0]);
    assert_eq!(desk.wait(0.2).names(), ["expired"]);
    // Or no last word.
    let (_, refer) = start(&mut desk, Vec::new());
    let refer = format!("{refer}Event: refer\n");
    assert_eq!(desk.receive(&response(&refer, 200, "p", accepted)).names(), ["accepted 3600"]);
    let told = desk.receive(&notify_for(&refer, "p", 1, "active;expires=90"));
    desk.answer(&told);
    assert_eq!(desk.wait(89.0).names(), [""; 0], "it is not refreshed by itself");
    assert_eq!(desk.wait(2.0).names(), ["expired"]);
    // Or it is refused.
    let (_, refer) = start(&mut desk, Vec::new());
    assert_eq!(desk.receive(&response(&refer, 403, "p", "")).names(), ["refused 403 gone"]);
    let (_, _) = start(&mut desk, Vec::new());
    assert_eq!(desk.wait(33.0).names(), ["refused Timeout gone"]);
    assert_eq!((desk.engine.len(), desk.engine.counts().refers_out), (0, 4));
}

/// RFC 4488 §4: no subscription if they say so, else one as ever.
#[test]
fn a_quiet_referral_of_ours() {
    let mut desk = Desk { session: Some(session()), ..Desk::new() };
    let quiet =
        || referral(vec![(Name::ReferSub, Str::const_new("false")), (Name::Supported, Str::const_new("norefersub"))]);
    let (_, refer) = desk.refer_within(quiet());
    assert_eq!((header(&refer, "Refer-Sub"), header(&refer, "Supported")), ("false", "norefersub"));
    let told = desk.receive(&response(&refer, 200, "", "Refer-Sub: false\n"));
    assert_eq!(told.names(), ["ended"]);
    assert!(desk.engine.is_empty());
    for answer in ["", "Refer-Sub: true\n"] {
        let (id, refer) = desk.refer_within(quiet());
        assert_eq!(desk.receive(&response(&refer, 200, "", answer)).names(), ["accepted 3600"]);
        assert_eq!(desk.engine.state(id), Some(UsageState::NotifyWait));
        assert_eq!(desk.wait(33.0).names(), ["expired"]);
    }
}

/// RFC 3515 §2.4.6: the first needs no id and may have one; the others have one, unless there is no doubt and the other side knows no better.
#[test]
fn referrals_of_ours_in_a_session() {
    let mut desk = Desk { session: Some(session()), ..Desk::new() };
    let (first, refer) = desk.refer_within(referral(Vec::new()));
    assert!(refer.starts_with("REFER sip:romeo@192.0.2.1:5070 SIP/2.0\n"), "{refer}");
    assert_eq!((header(&refer, "CSeq"), tag(&refer, "To").as_str()), ("1 REFER", "r"));
    let (second, other) = desk.refer_within(referral(Vec::new()));
    assert_eq!(header(&other, "CSeq"), "2 REFER");
    assert_eq!(desk.receive(&response(&refer, 200, "", "")).names(), ["accepted 3600"]);
    for (event, cseq, id) in [("refer", 2, first), ("refer;id=1", 3, first), ("refer;id=2", 4, second)] {
        let told = desk.receive(&refers(event, cseq, "active;expires=60"));
        assert_eq!(told.notified().0, id, "{event}");
        desk.answer(&told);
    }
    assert_eq!(desk.receive(&response(&other, 200, "", "")).names(), ["accepted 3600"]);
    let stray = desk.receive(&refers("refer;id=3", 5, "active"));
    assert_eq!(stray.summary(), ["SIP/2.0 481 Call/Transaction Does Not Exist"]);
    let told = desk.receive(&refers("refer", 6, "terminated;reason=noresource"));
    assert_eq!(desk.answer(&told).names(), ["ended"]);
    let told = desk.receive(&refers("refer;id=2", 7, "terminated;reason=noresource"));
    assert_eq!(desk.answer(&told).names(), ["ended"]);
    let (third, _) = desk.refer_within(referral(Vec::new()));
    let (fourth, _) = desk.refer_within(referral(Vec::new()));
    let told = desk.receive(&refers("refer", 8, "terminated;reason=noresource"));
    assert_eq!(told.notified().0, third);
    assert_eq!(desk.answer(&told).names(), ["ended"]);
    // Its end is asked for by the name that they know it by.
    let told = desk.receive(&refers("refer;id=4", 9, "active;expires=60"));
    assert_eq!(told.notified().0, fourth);
    desk.answer(&told);
    desk.engine.forget(fourth);
    assert_eq!(
        desk.receive(&refers("refer;id=4", 10, "active")).summary(),
        ["SIP/2.0 481 Call/Transaction Does Not Exist"]
    );
}

/// It is ended by SUBSCRIBE, in the words of the REFER; and a REFER that another request has overtaken goes out again.
#[test]
fn a_referral_of_ours_is_given_up() {
    let mut desk = Desk { session: Some(session()), ..Desk::new() };
    let (_, early) = desk.refer_within(referral(Vec::new()));
    let (id, refer) = desk.refer_within(referral(Vec::new()));
    let again = desk.receive(&response(&early, 500, "", "")).refer();
    assert_eq!((header(&refer, "CSeq"), header(&again, "CSeq")), ("2 REFER", "3 REFER"));
    // The one that went out again is the first that they have seen, or the second.
    assert_eq!(desk.receive(&response(&again, 500, "", "")).names(), ["refused 500 gone"]);
    assert_eq!(desk.act(|engine, ground| engine.unsubscribe(ground, id)).summary(), [""; 0]);
    let told = desk.receive(&response(&refer, 200, "", ""));
    let subscribe = told.subscribe();
    assert_eq!((header(&subscribe, "Event"), header(&subscribe, "Expires")), ("refer;id=2", "0"));
    assert_eq!(desk.receive(&response(&subscribe, 200, "", "Expires: 0\n")).names(), ["accepted 0"]);
    let told = desk.receive(&refers("refer;id=2", 2, "terminated;reason=timeout"));
    assert_eq!(desk.answer(&told).names(), ["ended"]);
    // Given up before it was taken, it is not asked for again.
    let (id, refer) = desk.refer_within(referral(Vec::new()));
    desk.act(|engine, ground| engine.unsubscribe(ground, id));
    desk.refer_within(referral(Vec::new()));
    assert_eq!(desk.receive(&response(&refer, 500, "", "")).summary(), ["refused 500 gone"]);
}

/// RFC 3515 §2.4.6: one that goes out again is what the one before would have been, and one of which a NOTIFY has come was taken.
#[test]
fn a_referral_of_ours_goes_out_again() {
    let mut desk = Desk { session: Some(session()), ..Desk::new() };
    let overtake = |desk: &mut Desk| {
        let update = desk.session.as_mut().expect("a session").request(Method::Update);
        assert!(update.is_some());
    };
    let (id, refer) = desk.refer_within(referral(Vec::new()));
    overtake(&mut desk);
    let again = desk.receive(&response(&refer, 500, "", "")).refer();
    assert_eq!((header(&again, "CSeq"), header(&again, "Refer-To")), ("3 REFER", "<sip:nurse@example.net>"));
    assert_eq!(
        desk.receive(&refers("refer;id=1", 2, "active")).summary(),
        ["SIP/2.0 481 Call/Transaction Does Not Exist"]
    );
    assert_eq!(desk.receive(&response(&again, 200, "", "")).names(), ["accepted 3600"]);
    let told = desk.receive(&refers("refer;id=3", 3, "active;expires=60"));
    desk.answer(&told);
    let told = desk.receive(&refers("refer", 4, "active;expires=60"));
    assert_eq!(told.notified().0, id);
    desk.answer(&told);
    let subscribe = desk.act(|engine, ground| engine.unsubscribe(ground, id)).subscribe();
    assert_eq!(header(&subscribe, "Event"), "refer");
    desk.engine.forget(id);
    let (_, refer) = desk.refer_within(referral(Vec::new()));
    let told = desk.receive(&refers("refer;id=5", 5, "active;expires=60"));
    desk.answer(&told);
    overtake(&mut desk);
    let told = desk.receive(&response(&refer, 500, "", ""));
    assert!(!told.sent.iter().any(|(_, text)| text.starts_with("REFER")), "{told:?}");
}
