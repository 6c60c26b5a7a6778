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

/// RFC 3261 §13.1: the other side makes the offer, and the ACK has the answer.
#[test]
fn an_invite_without_an_offer() {
    let mut desk = Desk::new();
    let (id, invite) = desk.calling("");
    assert!(invite.ends_with("Content-Length: 0\n\n"));
    let ok = answer(&invite, 200, "r", ABLE, "their offer");
    assert_eq!(desk.receive(&ok).summary(), ["established their offer"]);
    assert_eq!(desk.receive(&ok).summary(), [""; 0]);
    let told = desk.act(|engine, ground| engine.ack(ground, id, body("our answer").expect("a body")));
    assert!(told.one("ACK ").ends_with("\n\nour answer"));
    assert_eq!(desk.receive(&ok).sent[0].1.lines().last(), Some("our answer"));
    assert_eq!(desk.act(|engine, ground| engine.ack(ground, id, body("x").expect("a body"))).summary(), [""; 0]);
    // One that the layer above forgets is acknowledged and ended.
    let mut desk = Desk::new();
    let (_, invite) = desk.calling("");
    desk.receive(&answer(&invite, 200, "r", ABLE, "their offer"));
    assert_eq!(desk.wait(32.0).summary(), ["ACK", "BYE", "ended notacknowledged"]);
    desk.rests();
}

/// RFC 3261 §13.2.2.4: the first 2xx makes the session, the others are acknowledged and ended.
#[test]
fn forks() {
    let mut desk = Desk::with(Config { max_forks: 3, ..Config::default() });
    let (_, invite) = desk.calling("offer");
    for tag in ["a", "b"] {
        assert_eq!(desk.receive(&answer(&invite, 183, tag, "", "")).summary(), ["progress 183"]);
    }
    assert_eq!(desk.receive(&answer(&invite, 200, "b", ABLE, "answer")).summary(), ["ACK", "established answer"]);
    let told = desk.receive(&answer(&invite, 200, "a", ABLE, "answer"));
    assert_eq!(told.summary(), ["ACK", "BYE"]);
    assert_eq!((tag(&told.one("ACK "), "To"), tag(&told.one("BYE "), "To")), ("a".to_owned(), "a".to_owned()));
    assert_eq!(header(&told.one("BYE "), "CSeq"), "1000002 BYE");
    assert_eq!(desk.receive(&answer(&invite, 200, "a", ABLE, "answer")).summary(), ["ACK"]);
    // One without a Contact gets them at the address that was called.
    let told = desk.receive(&answer(&invite, 200, "c", "", ""));
    assert!(told.one("BYE ").starts_with("BYE sip:romeo@example.net "));
    assert_eq!(desk.receive(&answer(&invite, 200, "d", ABLE, "")).summary(), [""; 0]);
    assert_eq!((desk.engine.counts().forks_ended, desk.engine.counts().sessions), (2, 1));
}

/// RFC 3261 §13.2.1, RFC 3264 §4: what a provisional response of the fork that accepts has answered is the answer, where its 2xx says nothing.
#[test]
fn answers_before_the_2xx() {
    let reliable = format!("{ABLE}Require: 100rel\nRSeq: 1\n");
    for (headers, early) in [("", "first"), (reliable.as_str(), "second")] {
        for (said, name) in [("", format!("established early {early}")), ("last", "established last".to_owned())] {
            let mut desk = Desk::new();
            let (_, invite) = desk.calling("offer");
            desk.receive(&answer(&invite, 183, "r", "", "first"));
            desk.receive(&answer(&invite, 183, "s", "", "of another fork"));
            desk.receive(&answer(&invite, 183, "r", headers, "second"));
            assert_eq!(desk.receive(&answer(&invite, 200, "r", ABLE, said)).summary(), ["ACK".to_owned(), name]);
        }
    }
}

/// A 2xx that says nothing of where to go is no session.
#[test]
fn a_2xx_without_a_contact() {
    let mut desk = Desk::new();
    let (_, invite) = desk.calling("offer");
    assert_eq!(desk.receive(&answer(&invite, 200, "r", "", "answer")).summary(), ["ACK", "BYE", "failed NoWay"]);
    desk.rests();
}

#[test]
fn refusals_and_silence() {
    for code in [404, 408, 486, 488, 503, 603] {
        let mut desk = Desk::new();
        let (_, invite) = desk.calling("offer");
        desk.receive(&answer(&invite, 180, "r", "", ""));
        let told = desk.receive(&answer(&invite, code, "r", "", ""));
        assert_eq!(told.summary(), ["ACK".to_owned(), format!("failed {code}")]);
        desk.rests();
    }
    let mut desk = Desk::new();
    desk.calling("offer");
    assert_eq!(desk.wait(32.0).summary(), ["failed Timeout"]);
    desk.rests();
    // Nothing answers, and then something does.
    let mut desk = Desk::new();
    let (_, invite) = desk.calling("offer");
    desk.receive(&answer(&invite, 100, "", "", ""));
    assert_eq!(desk.wait(179.0).summary(), [""; 0]);
    let told = desk.wait(1.0);
    assert_eq!(told.summary(), ["CANCEL", "failed Timeout"]);
    desk.receive(&answer(&told.one("CANCEL "), 200, "r", "", ""));
    let told = desk.receive(&answer(&invite, 200, "r", ABLE, "answer"));
    assert_eq!(told.summary(), ["ACK", "BYE"]);
    desk.receive(&answer(&told.one("BYE "), 200, "", "", ""));
    desk.rests();
}

/// RFC 3261 §9.1: a CANCEL is a wish.
#[test]
fn we_give_up() {
    let reason = || vec![(Name::Reason, Str::from("SIP;cause=487"))];
    let mut desk = Desk::new();
    let (id, invite) = desk.calling("offer");
    // Not before something has come.
    assert_eq!(desk.act(|engine, ground| engine.bye(ground, id, reason())).summary(), ["ended ours"]);
    let told = desk.receive(&answer(&invite, 180, "r", "", ""));
    assert_eq!(told.summary(), ["CANCEL"]);
    assert_eq!(header(&told.one("CANCEL "), "Reason"), "SIP;cause=487");
    assert_eq!(desk.receive(&answer(&invite, 487, "r", "", "")).summary(), ["ACK"]);
    desk.rests();
    // The 200 crosses it: acknowledged, and ended for the same reason.
    let mut desk = Desk::new();
    let (id, invite) = desk.calling("offer");
    desk.receive(&answer(&invite, 180, "r", "", ""));
    assert_eq!(desk.act(|engine, ground| engine.bye(ground, id, reason())).summary(), ["CANCEL", "ended ours"]);
    let told = desk.receive(&answer(&invite, 200, "r", ABLE, "answer"));
    assert_eq!(told.summary(), ["ACK", "BYE"]);
    assert_eq!(header(&told.one("BYE "), "Reason"), "SIP;cause=487");
    assert_eq!(desk.receive(&answer(&invite, 200, "r", ABLE, "answer")).summary(), ["ACK"]);
    desk.rests();
    // Nobody answers the CANCEL, nor the INVITE.
    let mut desk = Desk::new();
    let (id, invite) = desk.calling("offer");
    desk.receive(&answer(&invite, 180, "r", "", ""));
    desk.act(|engine, ground| engine.bye(ground, id, Vec::new()));
    desk.wait(32.0);
    assert_eq!(desk.engine.counts().ending, 0);
    desk.rests();
}

/// RFC 3261 §8.1.3.4.
#[test]
fn redirections() {
    let mut desk = Desk::new();
    let (_, invite) = desk.calling("offer");
    let contacts = "Contact: <sip:c@192.0.2.3;method=INVITE?Subject=x>;q=0.2, <sip:b@192.0.2.2>;q=0.7, <tel:+1>, <sip:romeo@example.net>\n";
    let told = desk.receive(&answer(&invite, 302, "r", contacts, ""));
    assert_eq!(told.summary(), ["ACK", "INVITE"]);
    let second = told.one("INVITE ");
    assert!(second.starts_with("INVITE sip:b@192.0.2.2 SIP/2.0\n"), "{second}");
    assert_eq!(header(&second, "CSeq"), "2 INVITE");
    for name in ["Call-ID", "From", "To", "Subject"] {
        assert_eq!(header(&second, name), header(&invite, name));
    }
    // It leads back, and on.
    let told = desk.receive(&answer(&second, 301, "s", "Contact: <sip:romeo@example.net>, <sip:d@192.0.2.4>\n", ""));
    let third = told.one("INVITE ");
    assert!(third.starts_with("INVITE sip:d@192.0.2.4 "));
    let fourth = desk.receive(&answer(&third, 486, "t", "", "")).one("INVITE ");
    assert!(fourth.starts_with("INVITE sip:c@192.0.2.3 SIP/2.0\n"), "{fourth}");
    assert_eq!(desk.receive(&answer(&fourth, 480, "u", "", "")).summary(), ["ACK", "failed 480"]);
    assert_eq!(desk.engine.counts().redirected, 3);
    desk.rests();
    // A global refusal ends it, and so does a circle without end.
    let mut desk = Desk::new();
    let (_, invite) = desk.calling("offer");
    let second = desk.receive(&answer(&invite, 302, "r", contacts, "")).one("INVITE ");
    assert_eq!(desk.receive(&answer(&second, 600, "r", "", "")).summary(), ["ACK", "failed 600"]);
    let (_, mut invite) = desk.calling("offer");
    for n in 0..5 {
        let contact = format!("Contact: <sip:x{n}@192.0.2.3>\n");
        invite = desk.receive(&answer(&invite, 302, "r", &contact, "")).one("INVITE ");
    }
    let told = desk.receive(&answer(&invite, 302, "r", "Contact: <sip:x@192.0.2.3>\n", ""));
    assert_eq!(told.summary(), ["ACK", "failed 302"]);
    desk.rests();
}

/// RFC 4028 §7.1: 422 is obeyed.
#[test]
fn a_session_timer_that_is_too_short() {
    let mut desk = Desk::new();
    let (_, invite) = desk.calling("offer");
    let told = desk.receive(&answer(&invite, 422, "r", "Min-SE: 3600\n", ""));
    let second = told.one("INVITE ");
    assert_eq!((header(&second, "Session-Expires"), header(&second, "Min-SE")), ("3600", "3600"));
    assert_eq!(desk.receive(&answer(&second, 422, "r", "Min-SE: 3600\n", "")).summary(), ["ACK", "failed 422"]);
    desk.rests();
}

/// RFC 3262 §4.
#[test]
fn reliable_responses_to_ours() {
    let mut desk = Desk::new();
    let (_, invite) = desk.calling("offer");
    let reliable = |tag: &str, number: u32, body: &str| {
        answer(&invite, 183, tag, &format!("{ABLE}Require: 100rel\nRSeq: {number}\n"), body)
    };
    let told = desk.receive(&reliable("r", 7, "answer"));
    assert_eq!(told.summary(), ["PRACK", "progress 183"]);
    let prack = told.one("PRACK ");
    assert_eq!((header(&prack, "RAck"), header(&prack, "CSeq")), ("7 1 INVITE", "2 PRACK"));
    assert!(prack.starts_with("PRACK sip:romeo@192.0.2.1:5070 "));
    // The same again, one before its turn, one of another fork.
    assert_eq!(desk.receive(&reliable("r", 7, "answer")).summary(), [""; 0]);
    assert_eq!(desk.receive(&reliable("r", 9, "")).summary(), [""; 0]);
    assert_eq!(desk.receive(&reliable("s", 100, "")).summary(), ["PRACK", "progress 183"]);
    assert_eq!(desk.receive(&reliable("r", 8, "")).summary(), ["PRACK", "progress 183"]);
    desk.receive(&answer(&prack, 200, "", "", ""));
    // The numbers of the dialog go on.
    let told = desk.receive(&answer(&invite, 200, "r", ABLE, ""));
    assert_eq!(header(&told.one("ACK "), "CSeq"), "1 ACK");
    let id = told.id();
    let told = desk.act(|engine, ground| engine.bye(ground, id, Vec::new()));
    assert_eq!(header(&told.one("BYE "), "CSeq"), "4 BYE");
    desk.rests();
}

/// RFC 3262 §5: the offer comes in the response, and the answer goes with the PRACK.
#[test]
fn an_offer_in_a_reliable_response() {
    let mut desk = Desk::new();
    let (id, invite) = desk.calling("");
    let early = answer(&invite, 183, "r", &format!("{ABLE}Require: 100rel\nRSeq: 1\n"), "their offer");
    assert_eq!(desk.receive(&early).summary(), ["offered their offer"]);
    assert_eq!(desk.receive(&early).summary(), [""; 0]);
    let told = desk.act(|engine, ground| engine.answer(ground, id, body("our answer").expect("a body")));
    assert!(told.one("PRACK ").ends_with("\n\nour answer"));
    assert_eq!(desk.receive(&answer(&invite, 200, "r", ABLE, "")).summary(), ["ACK", "established "]);
}

#[test]
fn bounds_of_ours() {
    let mut desk = Desk::with(Config { max_sessions: 1, ..Config::default() });
    desk.calling("offer");
    desk.act(|engine, ground| assert_eq!(engine.invite(ground, wish("")).err(), Some(Refused::Full)));
    let mut desk = Desk::on(agent::Config { max_client: 1, ..below() }, Config::default());
    desk.calling("offer");
    desk.act(|engine, ground| assert_eq!(engine.invite(ground, wish("")).err(), Some(Refused::Full)));
    let mut desk = Desk::new();
    let hop = Target::new(Transport::Tls, address("192.0.2.1:5061")).into();
    let tls = Invite { hop, ..wish("") };
    desk.act(|engine, ground| assert_eq!(engine.invite(ground, tls).err(), Some(Refused::NoTransport)));
    desk.rests();
}

/// A process that died has left dialogs, and ends them a few at a time.
#[test]
fn dialogs_of_another_life() {
    let mut desk = Desk::new();
    let (id, _) = desk.called("");
    let dialog = desk.engine.dialog(id).expect("a session").clone();
    desk.act(|engine, ground| assert!(!engine.end_restored(ground, dialog.clone())));
    let mut desk = Desk::with(Config { max_byes: 2, ..Config::default() });
    for n in 0..5 {
        let dialog = Dialog { call_id: base::format_compact!("c{n}"), ..dialog.clone() };
        desk.act(|engine, ground| assert!(engine.end_restored(ground, dialog)));
    }
    desk.act(|engine, ground| assert!(!engine.end_restored(ground, Dialog { remote_tag: Str::default(), ..dialog })));
    assert_eq!((desk.engine.counts().byes, desk.engine.counts().ending), (2, 5));
    desk.wait(32.0);
    assert_eq!((desk.engine.counts().byes, desk.engine.counts().ending), (2, 3));
    assert_eq!(desk.engine.counts().byes_out, 4);
    desk.wait(64.0);
    desk.rests();
}

/// What is heard in an early dialog counts in the session that it becomes.
#[test]
fn numbers_of_an_early_dialog() {
    let mut desk = Desk::new();
    let (id, invite) = desk.calling("offer");
    desk.receive(&answer(&invite, 183, "r", &format!("{ABLE}Require: 100rel\nRSeq: 1\n"), "answer"));
    assert_eq!(desk.receive(&back(&invite, "UPDATE", "r", 9, "", "theirs")).summary(), ["offered theirs"]);
    // It waits for the answer when the 2xx comes, and is to be made again.
    let told = desk.receive(&answer(&invite, 200, "r", ABLE, ""));
    assert_eq!(told.summary(), ["500 UPDATE", "ACK", "established early answer"]);
    assert!(desk.engine.servers.is_empty());
    assert_eq!(desk.receive(&back(&invite, "UPDATE", "r", 8, "", "")).summary(), ["500 UPDATE"]);
    assert_eq!(desk.receive(&back(&invite, "UPDATE", "r", 10, "", "theirs")).summary(), ["offered theirs"]);
    // The session ends while it waits.
    let told = desk.act(|engine, ground| engine.bye(ground, id, Vec::new()));
    assert_eq!(told.summary(), ["487 UPDATE", "BYE", "ended ours"]);
    desk.rests();
}

/// RFC 3261 §26.2.2: what began by sips does not go on without.
#[test]
fn a_redirection_to_less_safety() {
    let host = below().sent_by[0].1.clone();
    let sent_by = vec![(Transport::Udp, host.clone(), None), (Transport::Tls, host, None)];
    let mut desk = Desk::on(agent::Config { sent_by, ..below() }, Config::default());
    let less = Invite { remote: uri("sips:romeo@example.net"), ..wish("offer") };
    let hop = Target::new(Transport::Tls, address("192.0.2.1:5061")).into();
    let secure = Invite { hop, ..less.clone() };
    desk.act(|engine, ground| assert_eq!(engine.invite(ground, less).err(), Some(Refused::NoTransport)));
    let told = desk.act(|engine, ground| assert!(engine.invite(ground, secure).is_ok()));
    let contacts = "Contact: <sip:a@192.0.2.2>, <sips:b@192.0.2.3>;q=0.1\n";
    let told = desk.receive(&answer(&told.one("INVITE "), 302, "r", contacts, ""));
    assert!(told.one("INVITE ").starts_with("INVITE sips:b@192.0.2.3 "));
}

/// A BYE that the transport loses is sent once more.
#[test]
fn a_bye_that_is_lost() {
    let mut desk = Desk::new();
    let (id, _) = desk.called("");
    desk.act(|engine, ground| engine.bye(ground, id, Vec::new()));
    for again in [vec!["BYE"], vec![]] {
        let open = desk.seen.iter().map(|(client, _)| *client).find(|client| desk.engine.clients.contains(client));
        desk.agent.send_failed(desk.now, open.expect("a BYE"));
        assert_eq!(desk.drain().summary(), [""; 0]);
        assert_eq!(desk.wait(4.0).summary(), again);
    }
    assert_eq!(desk.engine.counts().ending, 0);
    desk.rests();
}
