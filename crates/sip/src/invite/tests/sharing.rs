//! A session whose dialog other usages share: RFC 5057.

use super::*;

/// The numbers and the target are one, in either role; there is nothing to share before there is a dialog, or behind the end.
#[test]
fn a_session_shares_its_dialog() {
    let mut desk = Desk::new();
    let (id, invite) = desk.calling("offer");
    assert!(desk.engine.share(id).is_none(), "the other tag is not known");
    assert_eq!(
        desk.engine.contact(id).map(|c| c.to_string()).as_deref(),
        Some("<sip:juliet@gw.example.com;gr=balcony>")
    );
    desk.receive(&answer(&invite, 200, "r", ABLE, "answer"));
    let mut events = desk.engine.share(id).expect("a dialog");
    let notify = events.request(Method::Notify).expect("a request");
    assert_eq!(notify.headers.get(Name::CSeq), Some("2 NOTIFY"));
    let again = desk.act(|engine, ground| engine.offer(ground, id, body("more").expect("a body"))).one("INVITE ");
    assert_eq!(header(&again, "CSeq"), "3 INVITE");
    // A SUBSCRIBE that another engine has taken counts for the session as well.
    assert!(events.take_cseq(5));
    assert_eq!(desk.receive(&back(&invite, "INFO", "r", 5, "", "")).summary(), ["500 INFO"]);
    assert_eq!(desk.receive(&back(&invite, "INFO", "r", 6, "", "")).summary(), ["200 INFO"]);
    assert!(!events.take_cseq(6));
    let moved = "Contact: <sip:romeo@192.0.2.9>\n";
    assert_eq!(desk.receive(&answer(&again, 200, "r", moved, "yes")).summary(), ["ACK", "answered yes"]);
    assert_eq!(events.remote_target(), "sip:romeo@192.0.2.9");
    let told = desk.act(|engine, ground| engine.bye(ground, id, Vec::new()));
    assert_eq!(header(&told.one("BYE "), "CSeq"), "4 BYE");
    assert!(desk.engine.share(id).is_none(), "it is over");
    desk.receive(&answer(&told.one("BYE "), 200, "", "", ""));
    // What follows in the dialog goes on behind the BYE.
    let last = events.request(Method::Notify).expect("a request");
    assert_eq!(last.headers.get(Name::CSeq), Some("5 NOTIFY"));
    desk.rests();
    let mut desk = Desk::new();
    let (id, tag) = desk.standing("");
    let mut events = desk.engine.share(id).expect("a dialog");
    assert_eq!((events.local_tag.as_str(), events.remote_cseq()), (tag.as_str(), Some(1)));
    assert!(events.request(Method::Notify).is_some() && events.take_cseq(2));
    assert_eq!(desk.receive(&romeo("BYE", &tag, 2, "", "")).summary(), ["500 BYE"]);
    assert_eq!(desk.receive(&romeo("BYE", &tag, 3, "", "")).summary(), ["200 BYE", "ended bye"]);
    desk.rests();
}

/// RFC 3261 §12.2.2: what another usage's request has overtaken is said again, or the other side would go on.
#[test]
fn what_was_overtaken() {
    let mut desk = Desk::new();
    let (id, _) = desk.called("");
    let mut events = desk.engine.share(id).expect("a dialog");
    let offer = desk.act(|engine, ground| engine.offer(ground, id, body("more").expect("a body"))).one("INVITE ");
    // Nothing has overtaken this one.
    assert_eq!(desk.receive(&answer(&offer, 500, "", "", "")).summary(), ["ACK", "offer refused 500"]);
    let offer = desk.act(|engine, ground| engine.offer(ground, id, body("more").expect("a body"))).one("INVITE ");
    assert!(events.request(Method::Notify).is_some());
    assert_eq!(desk.receive(&answer(&offer, 500, "", "", "")).summary(), ["ACK"]);
    let again = desk.wait(5.0).one("INVITE ");
    assert_eq!((header(&offer, "CSeq"), header(&again, "CSeq")), ("3 INVITE", "5 INVITE"));
    assert_eq!(desk.receive(&answer(&again, 200, "", ABLE, "yes")).summary(), ["ACK", "answered yes"]);
    let bye = desk.act(|engine, ground| engine.bye(ground, id, vec![(Name::Reason, "SIP;cause=200".into())]));
    let bye = bye.one("BYE ");
    assert!(events.request(Method::Notify).is_some());
    let again = desk.receive(&answer(&bye, 500, "", "", "")).one("BYE ");
    assert_eq!((header(&bye, "CSeq"), header(&again, "CSeq")), ("6 BYE", "8 BYE"));
    assert_eq!(header(&again, "Reason"), "SIP;cause=200");
    assert!(events.request(Method::Notify).is_some());
    assert_eq!(desk.receive(&answer(&again, 500, "", "", "")).summary(), [""; 0], "once is enough");
    desk.rests();
}
