//! INVITEs of theirs.

use super::*;

#[test]
fn their_invite_is_accepted_and_they_say_bye() {
    let mut desk = Desk::new();
    let routes = "Record-Route: <sip:192.0.2.7;lr>, <sip:192.0.2.8;lr>\n";
    let told = desk.receive(&romeo("INVITE", "", 1, routes, "offer"));
    assert_eq!(told.summary(), ["invited offer"]);
    let id = told.id();
    let ringing = desk.act(|engine, ground| engine.ring(ground, id, 180, Vec::new(), None)).one("SIP/2.0 180");
    assert_eq!(header(&ringing, "Record-Route"), "<sip:192.0.2.7;lr>");
    let subject = (Name::Subject, Str::from("Hi"));
    let told = desk.act(|engine, ground| engine.accept(ground, id, vec![subject], body("answer")));
    let ok = told.one("SIP/2.0 200");
    assert_eq!(header(&ok, "Contact"), "<sip:juliet@gw.example.com;gr=balcony>");
    assert_eq!(header(&ok, "Subject"), "Hi");
    assert_eq!(tag(&ok, "To"), tag(&ringing, "To"));
    assert!(ok.ends_with("\n\nanswer"), "{ok}");
    // T1, and twice as long each time up to T2.
    let again = desk.wait(8.0);
    assert_eq!(again.summary(), ["200 INVITE"; 4]);
    assert!(again.sent.iter().all(|(_, text)| *text == ok));
    let tag = tag(&ok, "To");
    assert_eq!(desk.receive(&romeo("ACK", &tag, 1, "", "")).summary(), ["confirmed"]);
    assert_eq!(desk.receive(&romeo("ACK", &tag, 1, "", "")).summary(), [""; 0]);
    assert_eq!(desk.wait(30.0).summary(), [""; 0]);
    let bye = romeo("BYE", &tag, 2, "Reason: SIP;cause=200\n", "");
    let told = desk.receive(&bye);
    assert_eq!(told.summary(), ["200 BYE", "ended bye"]);
    assert!(
        matches!(&told.events[..], [Event::Ended { why: Ended::Bye(bye), .. }] if bye.headers.contains(Name::Reason))
    );
    assert_eq!(desk.receive(&romeo("BYE", &tag, 3, "", "")).summary(), ["481 BYE"]);
    desk.rests();
}

#[test]
fn we_say_bye_and_theirs_crosses() {
    let mut desk = Desk::new();
    let (id, tag) = desk.standing("");
    let told = desk.act(|engine, ground| engine.bye(ground, id, Vec::new()));
    assert_eq!(told.summary(), ["BYE", "ended ours"]);
    let bye = told.one("BYE ");
    assert_eq!(header(&bye, "CSeq"), "1 BYE");
    assert_eq!(desk.receive(&romeo("BYE", &tag, 2, "", "")).summary(), ["200 BYE"]);
    assert_eq!(desk.receive(&answer(&bye, 481, "", "", "")).summary(), [""; 0]);
    desk.rests();
}
