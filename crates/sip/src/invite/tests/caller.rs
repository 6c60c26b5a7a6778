//! INVITEs of ours.

use super::*;

#[test]
fn our_invite_is_answered_and_we_say_bye() {
    let mut desk = Desk::new();
    let (id, invite) = desk.calling("offer");
    assert_eq!(header(&invite, "CSeq"), "1 INVITE");
    assert_eq!(header(&invite, "Contact"), "<sip:juliet@gw.example.com;gr=balcony>");
    assert_eq!(header(&invite, "Allow"), "INVITE, ACK, CANCEL, BYE, UPDATE, PRACK, INFO");
    assert_eq!(header(&invite, "Supported"), "timer, 100rel");
    assert_eq!(header(&invite, "Session-Expires"), "1800");
    assert_eq!(header(&invite, "Subject"), "Hi");
    assert!(invite.ends_with("Content-Type: application/sdp\nContent-Length: 5\n\noffer"), "{invite}");
    assert_eq!(desk.receive(&answer(&invite, 180, "r", "", "")).summary(), ["progress 180"]);
    let told = desk.receive(&answer(&invite, 200, "r", ABLE, "answer"));
    assert_eq!(told.summary(), ["ACK", "established answer"]);
    let ack = told.one("ACK ");
    assert!(ack.starts_with("ACK sip:romeo@192.0.2.1:5070 SIP/2.0\n"), "{ack}");
    assert_eq!((header(&ack, "CSeq"), tag(&ack, "To").as_str()), ("1 ACK", "r"));
    // The ACK was lost.
    let told = desk.receive(&answer(&invite, 200, "r", ABLE, "answer"));
    assert_eq!(told.summary(), ["ACK"]);
    let reason = (Name::Reason, Str::from("SIP;cause=200"));
    let told = desk.act(|engine, ground| engine.bye(ground, id, vec![reason]));
    assert_eq!(told.summary(), ["BYE", "ended ours"]);
    let bye = told.one("BYE ");
    assert_eq!((header(&bye, "CSeq"), header(&bye, "Reason")), ("2 BYE", "SIP;cause=200"));
    assert_eq!(desk.receive(&answer(&bye, 200, "", "", "")).summary(), [""; 0]);
    assert_eq!(desk.engine.counts().ending, 0);
    desk.rests();
}

#[test]
fn they_say_bye() {
    let mut desk = Desk::new();
    let (_, ack) = desk.called("");
    let told = desk.receive(&back(&ack, "BYE", "r", 7, "", ""));
    assert_eq!(told.summary(), ["200 BYE", "ended bye"]);
    desk.rests();
}
