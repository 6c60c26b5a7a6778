//! INFO: RFC 6086.

use super::*;

const TAKES: Infos = Infos { packages: &["trickle-ice", "x"], types: &["application/dtmf-relay"] };

fn info(package: Option<&'static str>, content: &str) -> Info {
    Info { package, body: body(content).expect("a body") }
}

/// The session of an INVITE of ours that takes INFOs; Romeo's Recv-Info stands in these headers of his 2xx.
fn called(desk: &mut Desk, headers: &str) -> (SessionId, String) {
    let mut id = None;
    let wish = Invite { infos: TAKES, ..wish("offer") };
    let invite = desk.act(|engine, ground| id = engine.invite(ground, wish).ok()).one("INVITE ");
    assert_eq!(header(&invite, "Recv-Info"), "trickle-ice, x");
    let told = desk.receive(&answer(&invite, 200, "r", &format!("{ABLE}{headers}"), "answer"));
    assert_eq!(told.summary(), ["ACK", "established answer"]);
    (id.expect("a session"), told.one("ACK "))
}

fn waits(told: &Told) -> InfoId {
    match told.events.as_slice() {
        [Event::Info { info, .. }] => *info,
        other => panic!("{other:?}"),
    }
}

/// §4.2.2: what is taken is asked of the layer above, what is not is refused, with a list of what would be.
#[test]
fn those_that_come() {
    let mut desk = Desk::new();
    let (id, ack) = called(&mut desk, "");
    let told = desk.receive(&back(&ack, "INFO", "r", 7, "Info-Package: trickle-ice ;y=z\n", "candidates"));
    assert_eq!(told.summary(), ["info candidates"]);
    let first = waits(&told);
    // Another one may come before that one is answered.
    let told = desk.receive(
        &back(&ack, "INFO", "r", 8, "", "Signal=1").replace("application/sdp", "Application/DTMF-Relay;charset=utf-8"),
    );
    assert_eq!(told.summary(), ["info Signal=1"]);
    let second = waits(&told);
    let told = desk.act(|engine, ground| engine.answer_info(ground, id, second, Response::new(200, "")));
    assert_eq!(told.summary(), ["200 INFO"]);
    let told = desk.act(|engine, ground| engine.answer_info(ground, id, first, Response::new(415, "")));
    assert_eq!(told.summary(), ["415 INFO"]);
    assert_eq!(
        desk.act(|engine, ground| engine.answer_info(ground, id, first, Response::new(200, ""))).summary(),
        [""; 0]
    );
    let refused = desk.receive(&back(&ack, "INFO", "r", 9, "Info-Package: other\n", "z")).one("SIP/2.0 469");
    assert_eq!(header(&refused, "Recv-Info"), "trickle-ice, x");
    let refused = desk.receive(&back(&ack, "INFO", "r", 10, "", "z")).one("SIP/2.0 415");
    assert_eq!(header(&refused, "Accept"), "application/dtmf-relay");
    desk.receive(&back(&ack, "INFO", "r", 11, "", "")).one("SIP/2.0 200");
    desk.receive(&back(&ack, "INFO", "r", 12, "Info-Package: \n", "z")).one("SIP/2.0 400");
    // §7.2: case matters in the name of a package.
    desk.receive(&back(&ack, "INFO", "r", 13, "Info-Package: X\n", "z")).one("SIP/2.0 469");
    // Some wait, more may not.
    for number in 20..28 {
        let told = desk.receive(&back(&ack, "INFO", "r", number, "Info-Package: x\n", "z"));
        assert_eq!(told.summary(), ["info z"]);
    }
    let told = desk.receive(&back(&ack, "INFO", "r", 28, "Info-Package: x\n", "z")).one("SIP/2.0 500");
    assert!(!header(&told, "Retry-After").is_empty());
    // At the end nobody waits any more.
    let told = desk.receive(&back(&ack, "BYE", "r", 29, "", "")).summary();
    assert_eq!(told.iter().filter(|line| *line == "487 INFO").count(), 8);
    desk.rests();
}

/// Nobody answers: the agent gives up, and so does the engine.
#[test]
fn one_that_nobody_answers() {
    let mut desk = Desk::new();
    let (id, ack) = called(&mut desk, "");
    let told = desk.receive(&back(&ack, "INFO", "r", 7, "Info-Package: x\n", "z"));
    let late = waits(&told);
    desk.wait(60.0);
    let told = desk.act(|engine, ground| engine.answer_info(ground, id, late, Response::new(200, "")));
    assert_eq!(told.summary(), [""; 0]);
    assert!(desk.engine.servers.is_empty());
    desk.act(|engine, ground| engine.bye(ground, id, Vec::new()));
    desk.rests();
}

/// §4.2.1, §4.4: one after the other, of packages that the other side takes.
#[test]
fn those_of_ours() {
    let mut desk = Desk::new();
    let (id, ack) = called(&mut desk, "Recv-Info: y;a=b, trickle-ice\nRecv-Info: z\n");
    assert!(desk.engine.peer_takes(id, "trickle-ice") && desk.engine.peer_takes(id, "z"));
    assert!(!desk.engine.peer_takes(id, "x") && !desk.engine.peer_takes(id, "Z"));
    let said =
        desk.act(|engine, ground| assert_eq!(engine.info(ground, id, info(Some("x"), "")), Err(NotSent::NotTaken)));
    assert_eq!(said.summary(), [""; 0]);
    let first = desk.act(|engine, ground| assert_eq!(engine.info(ground, id, info(Some("trickle-ice"), "a")), Ok(())));
    let first = first.one("INFO ");
    assert_eq!(
        (header(&first, "Info-Package"), header(&first, "Content-Disposition"), header(&first, "CSeq")),
        ("trickle-ice", "Info-Package", "2 INFO")
    );
    assert!(first.ends_with("\n\na") && !first.contains("Recv-Info") && !first.contains("Contact"));
    let told = desk.act(|engine, ground| assert_eq!(engine.info(ground, id, info(None, "b")), Ok(())));
    assert_eq!(told.summary(), [""; 0]);
    let told = desk.receive(&answer(&first, 200, "r", "", ""));
    assert_eq!(told.summary(), ["INFO", "info taken"]);
    let second = told.one("INFO ");
    assert!(second.ends_with("\n\nb") && !second.contains("Info-Package"));
    // RFC 6086 §4.2.1: no reason to end the session.
    assert_eq!(desk.receive(&answer(&second, 469, "r", "", "")).summary(), ["info refused 469"]);
    // The set changes with a request that is accepted, and only with that (§5.2.4).
    let told = desk.receive(&back(&ack, "INVITE", "r", 7, "Recv-Info: x\n", "their offer"));
    assert_eq!(told.summary(), ["offered their offer"]);
    assert!(!desk.engine.peer_takes(id, "x"));
    desk.act(|engine, ground| engine.reject(ground, id, Response::new(488, "")));
    assert!(!desk.engine.peer_takes(id, "x"));
    let ok = desk.receive(&back(&ack, "UPDATE", "r", 8, "Recv-Info: x\n", "")).one("SIP/2.0 200");
    assert_eq!(header(&ok, "Recv-Info"), "trickle-ice, x");
    assert!(desk.engine.peer_takes(id, "x") && !desk.engine.peer_takes(id, "y"));
    assert!(!desk.receive(&back(&ack, "UPDATE", "r", 9, "", "")).one("SIP/2.0 200").contains("Recv-Info"));
    assert!(desk.engine.peer_takes(id, "x"));
    // RFC 5057 §5.1: 481 ends it.
    let third =
        desk.act(|engine, ground| assert_eq!(engine.info(ground, id, info(Some("x"), "c")), Ok(()))).one("INFO ");
    assert_eq!(desk.receive(&answer(&third, 481, "r", "", "")).summary(), ["BYE", "ended gone"]);
    let said = desk.act(|engine, ground| assert_eq!(engine.info(ground, id, info(None, "")), Err(NotSent::Over)));
    assert_eq!(said.summary(), [""; 0]);
    desk.rests();
}

/// Before the other side knows the dialog for certain they wait: ours for its 2xx, theirs for the first PRACK or the ACK.
#[test]
fn early_ones_wait() {
    let mut desk = Desk::new();
    let mut id = None;
    let wish = Invite { infos: TAKES, ..wish("offer") };
    let invite = desk.act(|engine, ground| id = engine.invite(ground, wish).ok()).one("INVITE ");
    let id = id.expect("a session");
    for package in [Some("trickle-ice"), Some("x"), None] {
        let told = desk.act(|engine, ground| assert_eq!(engine.info(ground, id, info(package, "a")), Ok(())));
        assert_eq!(told.summary(), [""; 0]);
    }
    let told = desk.receive(&answer(&invite, 200, "r", &format!("{ABLE}Recv-Info: x\n"), "answer"));
    assert_eq!(told.summary(), ["ACK", "INFO", "established answer", "info refused NoWay"]);
    assert_eq!(header(&told.one("INFO "), "Info-Package"), "x");
    // How many may wait is bounded: one is under way, one waits already.
    for _ in 2..32 {
        desk.act(|engine, ground| assert_eq!(engine.info(ground, id, info(None, "")), Ok(())));
    }
    desk.act(|engine, ground| assert_eq!(engine.info(ground, id, info(None, "")), Err(NotSent::Full)));
    desk.act(|engine, ground| engine.bye(ground, id, Vec::new()));
    desk.wait(40.0);
    desk.rests();

    let mut desk = Desk::new();
    let id = desk.receive(&romeo("INVITE", "", 1, "Require: 100rel\nRecv-Info: x\n", "offer")).id();
    desk.engine.take_infos(id, TAKES);
    assert!(desk.engine.peer_takes(id, "x"));
    desk.act(|engine, ground| assert_eq!(engine.info(ground, id, info(Some("x"), "a")), Ok(())));
    let ringing = desk.act(|engine, ground| engine.ring(ground, id, 180, Vec::new(), None)).one("SIP/2.0 180");
    assert_eq!(header(&ringing, "Recv-Info"), "trickle-ice, x");
    let rack = format!("RAck: {} 1 INVITE\n", header(&ringing, "RSeq"));
    let told = desk.receive(&romeo("PRACK", &tag(&ringing, "To"), 2, &rack, ""));
    assert_eq!(told.summary(), ["200 PRACK", "INFO"]);
    let ok = desk.act(|engine, ground| engine.accept(ground, id, Vec::new(), body("answer"))).one("SIP/2.0 200");
    assert_eq!(header(&ok, "Recv-Info"), "trickle-ice, x");

    // RFC 6086 §5.2.3: who says nothing of packages hears nothing of them.
    let mut desk = Desk::new();
    let id = desk.receive(&romeo("INVITE", "", 1, "", "offer")).id();
    desk.engine.take_infos(id, TAKES);
    let ok = desk.act(|engine, ground| engine.accept(ground, id, Vec::new(), body("answer"))).one("SIP/2.0 200");
    assert!(!ok.contains("Recv-Info"));
    let told = desk.act(|engine, ground| assert_eq!(engine.info(ground, id, info(None, "a")), Ok(())));
    assert_eq!(told.summary(), [""; 0]);
    assert_eq!(desk.receive(&romeo("ACK", &tag(&ok, "To"), 1, "", "")).summary(), ["INFO", "confirmed"]);
}

/// The agent is full: a moment later it is not.
#[test]
fn no_room() {
    let mut desk = Desk::on(agent::Config { max_client: 2, ..below() }, Config::default());
    let (id, _) = called(&mut desk, "");
    // The INVITE that was answered keeps its place for 32 s.
    desk.wait(33.0);
    desk.calling("offer");
    desk.calling("offer");
    let told = desk.act(|engine, ground| assert_eq!(engine.info(ground, id, info(None, "a")), Ok(())));
    assert_eq!(told.summary(), [""; 0]);
    // Nobody answers those either.
    let sent = desk.wait(34.0).one("INFO ");
    assert_eq!(desk.receive(&answer(&sent, 200, "r", "", "")).summary(), ["info taken"]);
}

/// §4.2.1: several may answer an INVITE, each with a set of its own, and each may send INFOs before anybody has accepted it. What the one takes
/// who accepts it is what counts.
#[test]
fn those_of_forks() {
    let mut desk = Desk::new();
    let mut id = None;
    let wish = Invite { infos: TAKES, ..wish("offer") };
    let invite = desk.act(|engine, ground| id = engine.invite(ground, wish).ok()).one("INVITE ");
    let id = id.expect("a session");
    for (tag, package) in [("r", "trickle-ice"), ("s", "x")] {
        let headers = format!("{ABLE}Require: 100rel\nRSeq: 1\nRecv-Info: {package}\n");
        assert_eq!(desk.receive(&answer(&invite, 183, tag, &headers, "")).summary(), ["PRACK", "progress 183"]);
    }
    for tag in ["r", "s"] {
        let told = desk.receive(&back(&invite, "INFO", tag, 1, "Info-Package: x\n", tag));
        assert_eq!(told.summary(), [format!("info {tag}")]);
        let info = waits(&told);
        let told = desk.act(|engine, ground| engine.answer_info(ground, id, info, Response::new(200, "")));
        assert_eq!(told.summary(), ["200 INFO"]);
    }
    let told = desk.receive(&answer(&invite, 200, "s", &format!("{ABLE}Recv-Info: x\n"), "answer"));
    assert_eq!(told.summary(), ["ACK", "established answer"]);
    assert!(desk.engine.peer_takes(id, "x") && !desk.engine.peer_takes(id, "trickle-ice"));
    desk.act(|engine, ground| engine.bye(ground, id, Vec::new()));
    desk.rests();
}

/// RFC 3261 §9.1: a re-INVITE that is under way when an INFO tells that the other side knows nothing of the session is cancelled.
#[test]
fn one_that_ends_the_session_in_the_middle_of_a_change() {
    let mut desk = Desk::new();
    let (id, _) = called(&mut desk, "");
    let change = desk.act(|engine, ground| engine.offer(ground, id, body("new").expect("a body"))).one("INVITE ");
    desk.receive(&answer(&change, 100, "r", "", ""));
    let told = desk.act(|engine, ground| assert_eq!(engine.info(ground, id, info(None, "a")), Ok(())));
    let told = desk.receive(&answer(&told.one("INFO "), 481, "r", "", ""));
    assert_eq!(told.summary(), ["CANCEL", "BYE", "ended gone"]);
    // Neither the CANCEL nor the INVITE has an answer.
    desk.rests();
}
