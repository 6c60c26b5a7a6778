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

/// RFC 3261 §13.3.1.4.
#[test]
fn nobody_acknowledges() {
    let mut desk = Desk::new();
    let id = desk.receive(&romeo("INVITE", "", 1, "", "offer")).id();
    desk.act(|engine, ground| engine.accept(ground, id, Vec::new(), body("answer")));
    let told = desk.wait(31.9);
    assert_eq!(told.summary(), ["200 INVITE"; 10]);
    let told = desk.wait(0.2);
    assert_eq!(told.summary(), ["BYE", "ended notacknowledged"]);
    desk.receive(&answer(&told.one("BYE "), 200, "", "", ""));
    desk.rests();
}

/// RFC 3261 §15: no BYE of the callee's before the ACK, and nothing but the BYE behind it.
#[test]
fn a_bye_waits_for_the_ack() {
    let mut desk = Desk::new();
    let id = desk.receive(&romeo("INVITE", "", 1, "", "offer")).id();
    let ok = desk.act(|engine, ground| engine.accept(ground, id, Vec::new(), body("answer"))).one("SIP/2.0 200");
    assert_eq!(desk.act(|engine, ground| engine.bye(ground, id, Vec::new())).summary(), ["ended ours"]);
    assert_eq!(desk.wait(0.6).summary(), ["200 INVITE"]);
    assert_eq!(desk.receive(&romeo("ACK", &tag(&ok, "To"), 1, "", "")).summary(), ["BYE"]);
    desk.rests();
}

/// RFC 3261 §15.1.2: their BYE finds the 2xx without its ACK. It is sent until that comes, or the INVITE would never end.
#[test]
fn their_bye_overtakes_the_ack() {
    let mut desk = Desk::new();
    let id = desk.receive(&romeo("INVITE", "", 1, "", "offer")).id();
    let ok = desk.act(|engine, ground| engine.accept(ground, id, Vec::new(), body("answer"))).one("SIP/2.0 200");
    let tag = tag(&ok, "To");
    assert_eq!(desk.receive(&romeo("BYE", &tag, 2, "", "")).summary(), ["200 BYE", "ended bye"]);
    assert_eq!(desk.wait(0.6).summary(), ["200 INVITE"]);
    assert_eq!(desk.receive(&romeo("ACK", &tag, 1, "", "")).summary(), [""; 0]);
    assert_eq!(desk.engine.counts().ending, 0);
    // And one that finds no answer at all ends the INVITE.
    let mut desk = Desk::new();
    let id = desk.receive(&romeo("INVITE", "", 1, "", "offer")).id();
    let ringing = desk.act(|engine, ground| engine.ring(ground, id, 180, Vec::new(), None)).one("SIP/2.0 180");
    let told = desk.receive(&romeo("BYE", &super::tag(&ringing, "To"), 2, "", ""));
    assert_eq!(told.summary(), ["200 BYE", "487 INVITE", "ended bye"]);
    desk.rests();
}

/// RFC 3261 §9.2.
#[test]
fn they_cancel() {
    let mut desk = Desk::new();
    let id = desk.receive(&romeo("INVITE", "", 1, "", "offer")).id();
    let told = desk.receive(&romeo("CANCEL", "", 1, "Reason: SIP;cause=200\n", ""));
    assert_eq!(told.summary(), ["200 CANCEL", "487 INVITE", "ended cancelled SIP;cause=200"]);
    assert_eq!(desk.act(|engine, ground| engine.accept(ground, id, Vec::new(), None)).summary(), [""; 0]);
    desk.rests();
    // Too late.
    let mut desk = Desk::new();
    let id = desk.receive(&romeo("INVITE", "", 1, "", "offer")).id();
    let ok = desk.act(|engine, ground| engine.accept(ground, id, Vec::new(), body("answer"))).one("SIP/2.0 200");
    assert_eq!(desk.receive(&romeo("CANCEL", "", 1, "", "")).summary(), ["200 CANCEL"]);
    assert_eq!(desk.receive(&romeo("ACK", &tag(&ok, "To"), 1, "", "")).summary(), ["confirmed"]);
}

#[test]
fn we_refuse_or_do_not_decide() {
    let mut desk = Desk::new();
    let id = desk.receive(&romeo("INVITE", "", 1, "", "offer")).id();
    let mut busy = Response::new(486, "");
    busy.headers.push(Name::RetryAfter, 5);
    let told = desk.act(|engine, ground| engine.refuse(ground, id, busy));
    assert_eq!(told.summary(), ["486 INVITE", "ended ours"]);
    desk.rests();
    let mut desk = Desk::new();
    let id = desk.receive(&romeo("INVITE", "", 1, "", "offer")).id();
    let reason = (Name::Reason, Str::from("SIP;cause=480"));
    let told = desk.act(|engine, ground| engine.bye(ground, id, vec![reason]));
    assert_eq!(told.summary(), ["480 INVITE", "ended ours"]);
    assert_eq!(header(&told.one("SIP/2.0 480"), "Reason"), "SIP;cause=480");
    desk.rests();
    // A provisional response each minute, until the time is over.
    let mut desk = Desk::new();
    let id = desk.receive(&romeo("INVITE", "", 1, "", "offer")).id();
    desk.act(|engine, ground| engine.ring(ground, id, 180, Vec::new(), None));
    assert_eq!(desk.wait(179.9).summary(), ["180 INVITE", "180 INVITE"]);
    assert_eq!(desk.wait(0.2).summary(), ["487 INVITE", "ended expired"]);
    desk.rests();
    let mut desk = Desk::new();
    desk.receive(&romeo("INVITE", "", 1, "Expires: 5\n", "offer"));
    assert_eq!(desk.wait(5.0).summary(), ["100 INVITE", "487 INVITE", "ended expired"]);
    desk.rests();
}

/// What is wrong with an INVITE, and what belongs to nothing.
#[test]
fn what_never_comes_up() {
    let mut desk = Desk::with(Config { max_per_source: 1, ..Config::default() });
    let bad = romeo("INVITE", "", 1, "", "offer").replace("Contact: <sip:romeo@192.0.2.1:5070>\n", "");
    assert_eq!(desk.receive(&bad).summary(), ["400 INVITE"]);
    let brief = romeo("INVITE", "", 2, "Supported: timer\nSession-Expires: 60\n", "offer");
    let told = desk.receive(&brief);
    assert_eq!(header(&told.one("SIP/2.0 422"), "Min-SE"), "90");
    assert_eq!(desk.receive(&romeo("INVITE", "", 3, "Require: precondition\n", "offer")).summary(), ["420 INVITE"]);
    for method in ["INVITE", "BYE", "UPDATE", "PRACK", "INFO"] {
        assert_eq!(desk.receive(&romeo(method, "nobody", 4, "", "")).summary(), [format!("481 {method}")]);
    }
    for method in ["BYE", "UPDATE", "PRACK", "INFO"] {
        assert_eq!(desk.receive(&romeo(method, "", 5, "", "")).summary(), [format!("481 {method}")]);
    }
    let told = desk.receive(&romeo("REFER", "", 6, "Refer-To: <sip:x@example.net>\n", ""));
    assert_eq!(header(&told.one("SIP/2.0 405"), "Allow"), "INVITE, ACK, CANCEL, BYE, UPDATE, PRACK, INFO");
    desk.receive(&romeo("INVITE", "", 7, "", "offer"));
    let told = desk.receive(&romeo("INVITE", "", 8, "", "offer").replace("c@", "d@"));
    assert_eq!(header(&told.one("SIP/2.0 503"), "Retry-After"), "30");
}

/// Only who has both tags and the Call-ID acts in a dialog, and in order: RFC 3261 §12.2.2.
#[test]
fn requests_in_the_dialog() {
    let mut desk = Desk::new();
    let (_, tag) = desk.standing("");
    let foreign = romeo("BYE", &tag, 9, "", "").replace("tag=r\n", "tag=mallory\n");
    assert_eq!(desk.receive(&foreign).summary(), ["481 BYE"]);
    assert_eq!(desk.receive(&romeo("INFO", &tag, 5, "", "")).summary(), ["200 INFO"]);
    assert_eq!(desk.receive(&romeo("INFO", &tag, 4, "", "")).summary(), ["500 INFO"]);
    assert_eq!(desk.receive(&romeo("INFO", &tag, 6, "", "x")).summary(), ["415 INFO"]);
    assert_eq!(desk.receive(&romeo("INFO", &tag, 7, "Info-Package: x\n", "")).summary(), ["469 INFO"]);
    assert_eq!(desk.receive(&romeo("REFER", &tag, 8, "", "")).summary(), ["405 REFER"]);
    assert_eq!(desk.receive(&romeo("PRACK", &tag, 9, "RAck: 1 1 INVITE\n", "")).summary(), ["481 PRACK"]);
    assert_eq!(desk.engine.counts().sessions, 1);
}

/// RFC 3262 §3.
#[test]
fn reliable_responses_of_ours() {
    let mut desk = Desk::new();
    let id = desk.receive(&romeo("INVITE", "", 1, "Require: 100rel\n", "offer")).id();
    let told = desk.act(|engine, ground| engine.ring(ground, id, 183, Vec::new(), body("answer")));
    let early = told.one("SIP/2.0 183");
    let (tag, number) = (tag(&early, "To"), header(&early, "RSeq").to_owned());
    assert_eq!(header(&early, "Require"), "100rel");
    // The 2xx waits, and so does the next one.
    assert_eq!(desk.act(|engine, ground| engine.ring(ground, id, 180, Vec::new(), None)).summary(), [""; 0]);
    assert_eq!(desk.act(|engine, ground| engine.accept(ground, id, Vec::new(), None)).summary(), [""; 0]);
    assert_eq!(desk.wait(3.6).summary(), ["183 INVITE"; 3]);
    assert_eq!(desk.receive(&romeo("PRACK", &tag, 2, "RAck: 1 1 INVITE\n", "")).summary(), ["481 PRACK"]);
    let told = desk.receive(&romeo("PRACK", &tag, 3, &format!("RAck: {number} 1 INVITE\n"), ""));
    assert_eq!(told.summary(), ["200 PRACK", "200 INVITE"]);
    assert!(told.one("SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bKINVITE").ends_with("\n\n"));
    assert_eq!(desk.receive(&romeo("ACK", &tag, 1, "", "")).summary(), ["confirmed"]);
    // Nobody acknowledges it.
    let mut desk = Desk::new();
    let id = desk.receive(&romeo("INVITE", "", 1, "Require: 100rel\n", "")).id();
    desk.act(|engine, ground| engine.ring(ground, id, 183, Vec::new(), body("our offer")));
    let told = desk.wait(32.0).summary();
    assert_eq!(told[told.len() - 2..], ["504 INVITE", "ended notacknowledged"]);
    desk.rests();
    // An offer of ours in it has its answer in the PRACK, which may not be a second one.
    let mut desk = Desk::new();
    let id = desk.receive(&romeo("INVITE", "", 1, "Require: 100rel\n", "")).id();
    let early =
        desk.act(|engine, ground| engine.ring(ground, id, 183, Vec::new(), body("our offer"))).one("SIP/2.0 183");
    let tag = super::tag(&early, "To");
    let rack = format!("RAck: {} 1 INVITE\n", header(&early, "RSeq"));
    assert_eq!(desk.receive(&romeo("UPDATE", &tag, 2, "", "offer")).summary(), ["491 UPDATE"]);
    assert_eq!(desk.receive(&romeo("PRACK", &tag, 3, &rack, "answer")).summary(), ["200 PRACK", "answered answer"]);
    assert_eq!(desk.receive(&romeo("UPDATE", &tag, 4, "", "offer")).summary(), ["offered offer"]);
    let told = desk.act(|engine, ground| engine.answer(ground, id, body("answer").expect("a body")));
    assert_eq!(told.summary(), ["200 UPDATE"]);
    let ok = desk.act(|engine, ground| engine.accept(ground, id, Vec::new(), None));
    assert_eq!(ok.summary(), ["200 INVITE"]);
    assert_eq!(desk.receive(&romeo("ACK", &tag, 1, "", "")).summary(), ["confirmed"]);
}

/// Both say BYE before the ACK has come: theirs counts, and ours is not sent any more.
#[test]
fn their_bye_overtakes_the_ack_and_ours() {
    let mut desk = Desk::new();
    let id = desk.receive(&romeo("INVITE", "", 1, "", "offer")).id();
    let ok = desk.act(|engine, ground| engine.accept(ground, id, Vec::new(), body("answer"))).one("SIP/2.0 200");
    desk.act(|engine, ground| engine.bye(ground, id, Vec::new()));
    let tag = tag(&ok, "To");
    assert_eq!(desk.receive(&romeo("BYE", &tag, 2, "", "")).summary(), ["200 BYE"]);
    assert_eq!(desk.receive(&romeo("ACK", &tag, 1, "", "")).summary(), [""; 0]);
    assert_eq!(desk.engine.counts().ending, 0);
    desk.rests();
}

/// RFC 3261 §14.1: an offer waits for the ACK, of the first INVITE and of a re-INVITE.
#[test]
fn an_offer_waits_for_the_ack() {
    let mut desk = Desk::new();
    let id = desk.receive(&romeo("INVITE", "", 1, "", "offer")).id();
    let ok = desk.act(|engine, ground| engine.accept(ground, id, Vec::new(), body("answer"))).one("SIP/2.0 200");
    let tag = tag(&ok, "To");
    let offer = |engine: &mut Sessions, ground: &mut Ground<'_>| engine.offer(ground, id, body("new").expect("a body"));
    assert_eq!(desk.act(offer).summary(), [""; 0]);
    let told = desk.receive(&romeo("ACK", &tag, 1, "", ""));
    assert_eq!(told.summary(), ["INVITE", "confirmed"]);
    let said = desk.receive(&answer(&told.one("INVITE "), 200, "", "", "taken"));
    assert_eq!(said.summary(), ["ACK", "answered taken"]);
    desk.receive(&romeo("INVITE", &tag, 2, "", "theirs"));
    desk.act(|engine, ground| engine.answer(ground, id, body("yes").expect("a body")));
    assert_eq!(desk.act(offer).summary(), [""; 0]);
    assert_eq!(desk.receive(&romeo("ACK", &tag, 2, "", "")).summary(), ["INVITE"]);
}

/// The ACK for another answer to the same INVITE, by a process before this one, has another tag, and says nothing of ours.
#[test]
fn the_ack_of_another_answer() {
    let mut desk = Desk::new();
    let id = desk.receive(&romeo("INVITE", "", 1, "", "offer")).id();
    let ok = desk.act(|engine, ground| engine.accept(ground, id, Vec::new(), body("answer"))).one("SIP/2.0 200");
    assert_eq!(desk.receive(&romeo("ACK", "other", 1, "", "")).summary(), [""; 0]);
    assert_eq!(desk.wait(0.5).summary(), ["200 INVITE"]);
    assert_eq!(desk.receive(&romeo("ACK", &tag(&ok, "To"), 1, "", "")).summary(), ["confirmed"]);
}
