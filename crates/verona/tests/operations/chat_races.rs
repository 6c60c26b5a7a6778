//! Messages of a session's dialog that cross each other or are lost: both sides agree in the end, nothing is said twice, and nothing stays.

use crate::caller::{Caller, Line, OURS, connects, send, waits_at};
use crate::chat_faults::{JULIET, gone, is_gone, nothing_is_left, opened, says, world};
use crate::rig::{NOTHING_OPEN, PATIENCE, SILENCE, World, body, condition};
use rehearsal::wire::SipText;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::time::timeout;

/// T1, so that 64 times as long is not long.
const QUICK: &str = "sip.t1 = \"50ms\"";

/// What 64*T1 is then.
const GIVEN_UP: Duration = Duration::from_millis(3200);

/// The next thing that juliet hears is that this did not arrive.
async fn comes_back(world: &mut World, id: &str) {
    let stanza = world.at_juliet().await;
    assert!(condition(&stanza).is_some() && stanza.id.as_deref() == Some(id), "{stanza:?}");
}

/// Whether this is an answer to an INVITE in this dialog.
fn answers_invite(message: &SipText, id: &str) -> bool {
    message.status() >= Some(200)
        && message.header("Call-ID") == Some(id)
        && message.header("CSeq").is_some_and(|cseq| cseq.ends_with(" INVITE"))
}

/// RFC 3261 §15: a BYE ends what there is, whatever else is on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bye_crosses_an_invite() {
    let (mut world, mut romeo) = world("bye-invite", QUICK).await;
    // Behind the 200 and in place of the ACK.
    for n in 0..10 {
        let invite = romeo.invite(&format!("no-ack-{n}"), JULIET, &connects());
        romeo.send(&invite).await;
        // Once, or as often as it comes while nobody acknowledges it.
        let mut answer = romeo.answer_to(&invite).await;
        for _ in 0..n % 3 {
            answer = romeo.answer_to(&invite).await;
        }
        let mut call = romeo.call(&answer);
        assert_eq!(romeo.ask(&mut call, "BYE").await, 200);
    }
    nothing_is_left(&world).await;
    // The 200 comes again until it is acknowledged, but not for ever; and nobody hangs up once more.
    assert!(!romeo.sees(GIVEN_UP, |m| m.start.starts_with("BYE ")).await);
    romeo.forget().await;
    assert!(!romeo.sees(SILENCE, |_| true).await);

    // Behind our own 200, before the gateway can have acknowledged it. What was to be said is said in a second session or comes back.
    says(&world, "romeo@example.net", "t1", "j1", "hail");
    let invite = romeo.request("INVITE", "t1").await;
    let answer = romeo.reply(&invite, 200, &connects()).await;
    let mut call = romeo.invited(&invite, &answer);
    assert_eq!(romeo.ask(&mut call, "BYE").await, 200);
    let second = romeo.expect("a second INVITE", |m| m.start.starts_with("INVITE ")).await;
    romeo.reply(&second, 486, "").await;
    comes_back(&mut world, "j1").await;
    nothing_is_left(&world).await;
    assert!(!romeo.sees(SILENCE, |m| m.start.starts_with("INVITE ")).await, "nobody is asked for ever");

    // Both hang up.
    let (mut call, line) = opened(&mut world, &mut romeo, "both", "hail").await;
    drop(line);
    let bye = romeo.request("BYE", "both").await;
    let code = romeo.ask(&mut call, "BYE").await;
    assert!(matches!(code, 200 | 481), "{code}");
    romeo.reply(&bye, 481, "").await;
    is_gone(&mut world, &call).await;

    // He changes the session that the gateway ends.
    let (mut call, line) = opened(&mut world, &mut romeo, "changes", "hail").await;
    drop(line);
    let bye = romeo.request("BYE", "changes").await;
    let mut change = romeo.within(&mut call, "INVITE");
    change.push("Content-Type", "application/sdp");
    change.body = connects().replace("1 1 IN", "1 2 IN").into_bytes();
    romeo.send(&change).await;
    let code = romeo.answer_to(&change).await.status();
    assert!(matches!(code, Some(481 | 487)), "{code:?}");
    romeo.reply(&bye, 200, "").await;
    is_gone(&mut world, &call).await;
    nothing_is_left(&world).await;
    assert_eq!(world.server.next(SILENCE).await, None);
}

/// RFC 3261 §9.2: a CANCEL that comes too late does nothing; one in time ends the INVITE. There is a session or none, for both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_crosses_a_200() {
    let (mut world, mut romeo) = world("cancel-200", &format!("{QUICK}\nchat.ring = \"1s\"")).await;
    let mut stood = 0;
    for n in 0..20 {
        let id = format!("cancelled-{n}");
        let invite = romeo.invite(&id, JULIET, &connects());
        let mut cancel = SipText { start: invite.start.replace("INVITE", "CANCEL"), headers: vec![], body: vec![] };
        for name in ["Via", "Max-Forwards", "From", "To", "Call-ID"] {
            cancel.push(name, invite.header(name).unwrap());
        }
        cancel.push("CSeq", "1 CANCEL");
        romeo.send(&invite).await;
        if n % 2 == 1 {
            tokio::time::sleep(Duration::from_micros(200 * n)).await;
        }
        romeo.send(&cancel).await;
        assert!(matches!(romeo.answer_to(&cancel).await.status(), Some(200 | 481)));
        let answer = romeo.expect("an answer", |m| answers_invite(m, &id)).await;
        let mut call = romeo.call(&answer);
        romeo.acknowledge(&call).await;
        match answer.status() {
            Some(487) => {}
            Some(200) => {
                stood += 1;
                // It stands, as if nobody had cancelled.
                let mut line = call.connect().await;
                line.say(send(&call.path, OURS, &format!("stands0{n}"), "hail")).await;
                assert_eq!(
                    (line.code(&format!("stands0{n}")).await, body(&world.at_juliet().await)),
                    (200, "hail".to_owned())
                );
                assert_eq!(romeo.ask(&mut call, "BYE").await, 200);
                is_gone(&mut world, &call).await;
            }
            code => panic!("{code:?}"),
        }
    }
    assert!(stood > 0);
    nothing_is_left(&world).await;

    // The other way round: the gateway gives up, and is answered all the same.
    for (n, answers_cancel) in [true, false].into_iter().enumerate() {
        let (thread, id) = (format!("rings-{n}"), format!("j{n}"));
        says(&world, "romeo@example.net", &thread, &id, "anybody?");
        let invite = romeo.request("INVITE", &thread).await;
        romeo.reply(&invite, 180, "").await;
        let cancel = romeo.request("CANCEL", &thread).await;
        let answer = romeo.reply(&invite, 200, &connects()).await;
        if answers_cancel {
            romeo.reply(&cancel, 200, "").await;
        }
        let call = romeo.invited(&invite, &answer);
        romeo.request("ACK", &thread).await;
        romeo.hung_up(&call).await;
        comes_back(&mut world, &id).await;
    }
    // Neither CANCEL nor INVITE is ever answered.
    says(&world, "romeo@example.net", "rings-on", "j9", "anybody?");
    let invite = romeo.request("INVITE", "rings-on").await;
    romeo.reply(&invite, 180, "").await;
    romeo.request("CANCEL", "rings-on").await;
    comes_back(&mut world, "j9").await;
    nothing_is_left(&world).await;
    assert_eq!(world.server.next(SILENCE).await, None);
}

/// RFC 3261 §13.3.1.4: the 200 comes again until it is acknowledged, and after 64*T1 the session is ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ack_is_lost() {
    let (mut world, mut romeo) = world("ack-lost", QUICK).await;
    let invite = romeo.invite("never", JULIET, &connects());
    romeo.send(&invite).await;
    let answer = romeo.answer_to(&invite).await;
    let begun = Instant::now();
    let call = romeo.call(&answer);
    let mut line = call.connect().await;
    // He speaks meanwhile.
    line.say(send(&call.path, OURS, "never0acks", "hail")).await;
    assert_eq!((line.code("never0acks").await, body(&world.at_juliet().await)), (200, "hail".to_owned()));
    romeo.hung_up(&call).await;
    assert!(begun.elapsed() >= GIVEN_UP - Duration::from_millis(100), "{:?}", begun.elapsed());
    is_gone(&mut world, &call).await;
    assert_eq!(line.next().await, None);
    let mut again = 0;
    while romeo.sees(Duration::ZERO, |m| answers_invite(m, "never")).await {
        romeo.expect("a 200", |m| answers_invite(m, "never")).await;
        again += 1;
    }
    assert!(again >= 5, "the 200 came again {again} times");
    nothing_is_left(&world).await;

    // Late, but there: it is acknowledged when it has come again, and all is well.
    let invite = romeo.invite("late", JULIET, &connects());
    romeo.send(&invite).await;
    for _ in 0..3 {
        let answer = romeo.answer_to(&invite).await;
        assert_eq!(answer.status(), Some(200));
    }
    let answer = romeo.answer_to(&invite).await;
    let mut call = romeo.call(&answer);
    romeo.acknowledge(&call).await;
    romeo.forget().await;
    assert!(!romeo.sees(GIVEN_UP, |m| m.start.starts_with("BYE ") || answers_invite(m, "late")).await);
    assert_eq!(romeo.ask(&mut call, "BYE").await, 200);

    // The gateway's: each 200 that comes again is acknowledged again, and there is one session.
    says(&world, "romeo@example.net", "theirs", "j1", "hail");
    let invite = romeo.request("INVITE", "theirs").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let call = romeo.take(&invite, &waits_at(listener.local_addr().unwrap())).await;
    let mut line = Line::new(timeout(PATIENCE, listener.accept()).await.unwrap().unwrap().0);
    assert_eq!(line.hear().await, "hail");
    for _ in 0..3 {
        romeo.reply(&invite, 200, &waits_at(listener.local_addr().unwrap())).await;
        acknowledged_again(&mut romeo).await;
    }
    assert!(timeout(SILENCE, listener.accept()).await.is_err(), "one connection");
    says(&world, "romeo@example.net", "theirs", "j2", "still there?");
    assert_eq!(line.hear().await, "still there?");
    let mut call = call;
    assert_eq!(romeo.ask(&mut call, "BYE").await, 200);
    is_gone(&mut world, &call).await;
    nothing_is_left(&world).await;
}

/// An ACK comes, which may be the very same as before.
async fn acknowledged_again(romeo: &mut Caller) {
    let until = Instant::now() + PATIENCE;
    let before = romeo.doubles;
    while romeo.doubles == before && !romeo.sees(Duration::from_millis(10), |m| m.start.starts_with("ACK ")).await {
        assert!(Instant::now() < until, "no ACK");
    }
    romeo.forget().await;
}

/// The phone is gone, and says so to nobody: whoever writes is told, the dialog is given up, and nothing stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_dies() {
    let (mut world, mut romeo) = world("phone-dies", QUICK).await;
    let (call, line) = opened(&mut world, &mut romeo, "dies", "hail").await;
    // Its machine has lost its power: the connection is as dead, which the test shortens.
    drop(line);
    is_gone(&mut world, &call).await;
    world.program.wait_until("/sessions", |_, page| page == NOTHING_OPEN);
    let begun = Instant::now();
    says(&world, "romeo@example.net", "dead", "j1", "anybody?");
    comes_back(&mut world, "j1").await;
    assert!(begun.elapsed() < GIVEN_UP * 3, "{:?}", begun.elapsed());
    nothing_is_left(&world).await;
    // BYE and INVITE were tried for as long as they are to be, and no longer.
    assert!(romeo.sees(Duration::ZERO, |m| m.start.starts_with("BYE ")).await);
    tokio::time::sleep(GIVEN_UP).await;
    romeo.forget().await;
    assert!(!romeo.sees(GIVEN_UP, |_| true).await);
    assert_eq!(world.server.next(SILENCE).await, None);
}

/// SIGTERM, and the phone answers nothing: the program ends in the time that it has for that, and juliet knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_and_a_phone_that_is_gone() {
    let (mut world, mut romeo) = world("term-gone", "").await;
    let (call, _line) = opened(&mut world, &mut romeo, "dies", "hail").await;
    says(&world, "romeo@example.net", "dies", "j1", "are you there?");
    // It is on its way, and stays there.
    world.program.wait_until("/sessions", |_, page| page.contains("\"waiting\":1"));
    let begun = Instant::now();
    world.program.signal("-TERM");
    let (mut told, mut ended) = (0, 0);
    for _ in 0..2 {
        let stanza = world.at_juliet().await;
        told += usize::from(condition(&stanza).is_some() && stanza.id.as_deref() == Some("j1"));
        ended += usize::from(gone(&stanza) == Some(call.id.clone()));
    }
    assert_eq!((told, ended), (1, 1));
    let (code, log) = world.program.end();
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}\n{log}", begun.elapsed());
    assert!(code.is_some(), "{log}");
}
