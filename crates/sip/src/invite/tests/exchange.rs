//! Offers and answers in a session, and its timer.

use super::*;

/// Their ACK for a refusal of ours, which has the INVITE's branch.
fn absorbed(desk: &mut Desk, ours: &str, cseq: u32) {
    let ack = back(ours, "ACK", "r", cseq, "", "").replace("z9hG4bKACK", "z9hG4bKINVITE");
    assert_eq!(desk.receive(&ack).summary(), [""; 0]);
}

fn said(content: &str) -> Body {
    body(content).expect("a body")
}

/// RFC 3261 §14: both directions.
#[test]
fn re_invites() {
    let mut desk = Desk::new();
    let (id, _) = desk.called("");
    let again = desk.act(|engine, ground| engine.offer(ground, id, said("new"))).one("INVITE ");
    assert!(again.starts_with("INVITE sip:romeo@192.0.2.1:5070 SIP/2.0\n") && again.ends_with("\n\nnew"));
    // The last one that waits counts.
    assert_eq!(desk.act(|engine, ground| engine.offer(ground, id, said("newer"))).summary(), [""; 0]);
    assert_eq!(desk.act(|engine, ground| engine.offer(ground, id, said("newest"))).summary(), [""; 0]);
    let moved = "Contact: <sip:romeo@192.0.2.9>\nAllow: INVITE\n";
    let told = desk.receive(&answer(&again, 200, "r", moved, "taken"));
    assert_eq!(told.summary(), ["ACK", "INVITE", "answered taken"]);
    assert!(told.one("ACK ").starts_with("ACK sip:romeo@192.0.2.9 "));
    assert_eq!(desk.receive(&answer(&again, 200, "r", moved, "taken")).summary(), ["ACK"]);
    let newest = told.one("INVITE ");
    assert!(newest.ends_with("\n\nnewest"));
    assert_eq!(desk.receive(&answer(&newest, 488, "r", "", "")).summary(), ["ACK", "offer refused 488"]);
    // Theirs, and one without an offer.
    let told = desk.receive(&back(&again, "INVITE", "r", 7, "", "their offer"));
    assert_eq!(told.summary(), ["offered their offer"]);
    assert_eq!(desk.receive(&back(&again, "INVITE", "r", 8, "", "another")).summary(), ["500 INVITE"]);
    absorbed(&mut desk, &again, 8);
    assert_eq!(desk.act(|engine, ground| engine.answer(ground, id, said("yes"))).summary(), ["200 INVITE"]);
    assert_eq!(desk.wait(0.6).summary(), ["200 INVITE"]);
    assert_eq!(desk.receive(&back(&again, "ACK", "r", 7, "", "")).summary(), [""; 0]);
    assert_eq!(desk.receive(&back(&again, "INVITE", "r", 9, "", "")).summary(), ["offered"]);
    assert_eq!(desk.act(|engine, ground| engine.answer(ground, id, said("our offer"))).summary(), ["200 INVITE"]);
    assert_eq!(desk.receive(&back(&again, "ACK", "r", 9, "", "their answer")).summary(), ["answered their answer"]);
    assert_eq!(desk.receive(&back(&again, "INVITE", "r", 10, "", "bad")).summary(), ["offered bad"]);
    let told = desk.act(|engine, ground| engine.reject(ground, id, Response::new(488, "")));
    assert_eq!(told.summary(), ["488 INVITE"]);
    absorbed(&mut desk, &again, 10);
    // Nobody acknowledges: RFC 3261 §14.2.
    desk.receive(&back(&again, "INVITE", "r", 11, "", "their offer"));
    desk.act(|engine, ground| engine.answer(ground, id, said("yes")));
    let told = desk.wait(32.0).summary();
    assert_eq!(told[told.len() - 2..], ["BYE", "ended notacknowledged"]);
    desk.rests();
}

/// RFC 3261 §14.1, §14.2.
#[test]
fn glare() {
    let mut desk = Desk::new();
    let (id, ack) = desk.called("");
    let ours = desk.act(|engine, ground| engine.offer(ground, id, said("new"))).one("INVITE ");
    assert_eq!(desk.receive(&back(&ack, "INVITE", "r", 7, "", "theirs")).summary(), ["491 INVITE"]);
    absorbed(&mut desk, &ack, 7);
    assert_eq!(desk.receive(&back(&ack, "UPDATE", "r", 8, "", "theirs")).summary(), ["491 UPDATE"]);
    assert_eq!(desk.receive(&back(&ack, "UPDATE", "r", 9, "", "")).summary(), ["200 UPDATE"]);
    assert_eq!(desk.receive(&answer(&ours, 491, "r", "", "")).summary(), ["ACK"]);
    // We own the Call-ID: between 2.1 and 4 s.
    assert_eq!(desk.wait(2.09).summary(), [""; 0]);
    let ours = desk.wait(1.91).one("INVITE ");
    assert_eq!(desk.receive(&answer(&ours, 200, "r", "", "taken")).summary(), ["ACK", "answered taken"]);
    // And here they do: within 2 s.
    let mut desk = Desk::new();
    let (id, _) = desk.standing("");
    let ours = desk.act(|engine, ground| engine.offer(ground, id, said("new"))).one("INVITE ");
    assert_eq!(desk.receive(&answer(&ours, 491, "", "", "")).summary(), ["ACK"]);
    desk.wait(2.0).one("INVITE ");
    // It does not go on for ever.
    let mut desk = Desk::new();
    let (id, _) = desk.called("");
    let mut told = desk.act(|engine, ground| engine.offer(ground, id, said("new")));
    for _ in 0..10 {
        desk.receive(&answer(&told.one("INVITE "), 491, "r", "", ""));
        told = desk.wait(4.0);
    }
    let told = desk.receive(&answer(&told.one("INVITE "), 491, "r", "", ""));
    assert_eq!(told.summary(), ["ACK", "offer refused 491"]);
}

/// RFC 3261 §12.2.1.2, RFC 5057: what tells that the dialog is gone, and what does not.
#[test]
fn the_other_side_is_gone() {
    for code in [481, 408, 404] {
        let mut desk = Desk::new();
        let (id, _) = desk.called("");
        let ours = desk.act(|engine, ground| engine.offer(ground, id, said("new"))).one("INVITE ");
        assert_eq!(desk.receive(&answer(&ours, code, "r", "", "")).summary(), ["ACK", "BYE", "ended gone"]);
        desk.rests();
    }
    let mut desk = Desk::new();
    let (id, _) = desk.called("");
    desk.act(|engine, ground| engine.offer(ground, id, said("new")));
    assert_eq!(desk.wait(32.0).summary(), ["BYE", "ended gone"]);
    desk.rests();
}

/// RFC 3261 §15.1.2: a BYE of either side against a re-INVITE of either side.
#[test]
fn byes_against_re_invites() {
    let mut desk = Desk::new();
    let (id, ack) = desk.called("");
    let ours = desk.act(|engine, ground| engine.offer(ground, id, said("new"))).one("INVITE ");
    desk.receive(&answer(&ours, 100, "", "", ""));
    let told = desk.receive(&back(&ack, "BYE", "r", 7, "", ""));
    assert_eq!(told.summary(), ["200 BYE", "CANCEL", "ended bye"]);
    assert_eq!(desk.receive(&answer(&ours, 200, "r", ABLE, "taken")).summary(), ["ACK"]);
    desk.rests();
    let mut desk = Desk::new();
    let (id, ack) = desk.called("");
    desk.receive(&back(&ack, "INVITE", "r", 7, "", "theirs"));
    let told = desk.act(|engine, ground| engine.bye(ground, id, Vec::new()));
    assert_eq!(told.summary(), ["487 INVITE", "BYE", "ended ours"]);
    assert_eq!(desk.act(|engine, ground| engine.answer(ground, id, said("x"))).summary(), [""; 0]);
    desk.rests();
    let mut desk = Desk::new();
    let (_, ack) = desk.called("");
    desk.receive(&back(&ack, "INVITE", "r", 7, "", "theirs"));
    let told = desk.receive(&back(&ack, "BYE", "r", 8, "", ""));
    assert_eq!(told.summary(), ["200 BYE", "487 INVITE", "ended bye"]);
    desk.rests();
}

/// RFC 3311 §5.2.
#[test]
fn updates() {
    let mut desk = Desk::new();
    let (id, ack) = desk.called("");
    assert_eq!(desk.receive(&back(&ack, "UPDATE", "r", 7, "", "theirs")).summary(), ["offered theirs"]);
    let busy = desk.receive(&back(&ack, "UPDATE", "r", 8, "", "more"));
    assert!(header(&busy.one("SIP/2.0 500"), "Retry-After").parse::<u32>().is_ok_and(|seconds| seconds <= 10));
    assert_eq!(desk.receive(&back(&ack, "INVITE", "r", 9, "", "more")).summary(), ["500 INVITE"]);
    // An offer of ours waits for the answer.
    assert_eq!(desk.act(|engine, ground| engine.offer(ground, id, said("ours"))).summary(), [""; 0]);
    let told = desk.act(|engine, ground| engine.answer(ground, id, said("yes")));
    assert_eq!(told.summary(), ["200 UPDATE", "INVITE"]);
    assert!(told.one("SIP/2.0 200").ends_with("\n\nyes"));
    // Nobody answers it in time, and nobody waits for it.
    let mut desk = Desk::new();
    let (id, ack) = desk.called("");
    desk.receive(&back(&ack, "UPDATE", "r", 7, "", "theirs"));
    desk.wait(33.0);
    assert_eq!(desk.act(|engine, ground| engine.answer(ground, id, said("yes"))).summary(), [""; 0]);
    assert_eq!(desk.receive(&back(&ack, "BYE", "r", 8, "", "")).summary(), ["200 BYE", "ended bye"]);
    desk.rests();
}

/// RFC 4028 §7.4, §10: we refresh at half time, by UPDATE where they know it.
#[test]
fn we_refresh() {
    let mut desk = Desk::new();
    let (_, _) = desk.called("Session-Expires: 600;refresher=uac\nRequire: timer\n");
    assert_eq!(desk.wait(269.0).summary(), [""; 0]);
    let update = desk.wait(31.0).one("UPDATE ");
    assert_eq!(header(&update, "Session-Expires"), "600;refresher=uac");
    assert!(update.ends_with("Content-Length: 0\n\n"));
    let granted = "Session-Expires: 600;refresher=uac\n";
    assert_eq!(desk.receive(&answer(&update, 200, "", granted, "")).summary(), [""; 0]);
    let update = desk.wait(300.0).one("UPDATE ");
    // One that fails is tried again, until the time is over.
    assert_eq!(desk.receive(&answer(&update, 503, "", "", "")).summary(), [""; 0]);
    let update = desk.wait(135.0).one("UPDATE ");
    assert_eq!(
        desk.receive(&answer(&update, 422, "", "Min-SE: 900\n", ""))
            .one("UPDATE ")
            .lines()
            .find(|l| l.starts_with("Min-SE")),
        Some("Min-SE: 900")
    );
    assert_eq!(desk.wait(32.0).summary(), ["BYE", "ended gone"]);
    desk.rests();
    // By re-INVITE with what was said last.
    let mut desk = Desk::new();
    let (id, invite) = desk.calling("offer");
    let plain = "Contact: <sip:romeo@192.0.2.1:5070>\nSession-Expires: 90;refresher=uac\n";
    desk.receive(&answer(&invite, 200, "r", plain, "answer"));
    let again = desk.wait(45.0).one("INVITE ");
    assert!(again.ends_with("\n\noffer"));
    assert_eq!(desk.receive(&answer(&again, 200, "r", plain, "answer")).summary(), ["ACK", "answered answer"]);
    assert_eq!(desk.engine.dialog(id).map(Dialog::local_cseq), Some(2));
    // Nothing answers for long: the session is over before its time is.
    let again = desk.wait(45.0).one("INVITE ");
    desk.receive(&answer(&again, 100, "", "", ""));
    assert_eq!(desk.wait(31.0).summary(), ["CANCEL", "BYE", "ended expired"]);
}

/// RFC 4028 §9, §10: they refresh, or do not.
#[test]
fn they_refresh() {
    let mut desk = Desk::new();
    let id = desk.receive(&romeo("INVITE", "", 1, "Supported: timer\nSession-Expires: 300\n", "offer")).id();
    let ok = desk.act(|engine, ground| engine.accept(ground, id, Vec::new(), body("answer"))).one("SIP/2.0 200");
    assert_eq!(header(&ok, "Session-Expires"), "300;refresher=uac");
    assert_eq!(header(&ok, "Require"), "timer");
    let tag = tag(&ok, "To");
    desk.receive(&romeo("ACK", &tag, 1, "", ""));
    assert_eq!(desk.wait(260.0).summary(), [""; 0]);
    let refresh = romeo("UPDATE", &tag, 2, "Supported: timer\nSession-Expires: 300;refresher=uac\n", "");
    let told = desk.receive(&refresh);
    assert_eq!(header(&told.one("SIP/2.0 200"), "Session-Expires"), "300;refresher=uac");
    assert_eq!(
        desk.receive(&romeo("UPDATE", &tag, 3, "Supported: timer\nSession-Expires: 89\n", "")).summary(),
        ["422 UPDATE"]
    );
    assert_eq!(desk.wait(267.9).summary(), [""; 0]);
    assert_eq!(desk.wait(0.2).summary(), ["BYE", "ended expired"]);
    desk.rests();
    // Who knows no timers is refreshed by us.
    let mut desk = Desk::new();
    let id = desk.receive(&romeo("INVITE", "", 1, "Allow: UPDATE\n", "offer")).id();
    let ok = desk.act(|engine, ground| engine.accept(ground, id, Vec::new(), body("answer"))).one("SIP/2.0 200");
    assert_eq!(header(&ok, "Session-Expires"), "1800;refresher=uas");
    assert!(!ok.contains("Require:"));
    desk.receive(&romeo("ACK", &super::tag(&ok, "To"), 1, "", ""));
    desk.wait(900.0).one("UPDATE ");
    // And none at all where we want none, and nobody asks.
    let mut desk = Desk::with(Config { session_expires: 0, ..Config::default() });
    let (_, invite) = desk.calling("offer");
    assert!(!invite.contains("Session-Expires"));
    desk.receive(&answer(&invite, 200, "r", ABLE, "answer"));
    assert_eq!(desk.wait(100_000.0).summary(), [""; 0]);
}

/// The agent has no room: an offer and a BYE go out once it has.
#[test]
fn a_full_agent_is_waited_for() {
    let mut desk = Desk::on(agent::Config { max_client: 1, ..below() }, Config::default());
    let (id, _) = desk.standing("");
    let (_, filler) = desk.calling("offer");
    assert_eq!(desk.act(|engine, ground| engine.offer(ground, id, said("new"))).summary(), [""; 0]);
    assert_eq!(desk.wait(1.0).summary(), [""; 0]);
    assert_eq!(desk.act(|engine, ground| engine.bye(ground, id, Vec::new())).summary(), ["ended ours"]);
    assert_eq!(desk.wait(1.0).summary(), [""; 0]);
    desk.receive(&answer(&filler, 486, "x", "", ""));
    // The refused INVITE keeps its place for 32 s.
    let told = desk.wait(33.0);
    assert_eq!(told.summary(), ["BYE"]);
    assert_eq!(header(&told.one("BYE "), "CSeq"), "1 BYE");
    desk.rests();
}
