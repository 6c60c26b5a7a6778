//! RFC 4975 §7.2, §7.3: what comes.

use super::*;

#[test]
fn chunks_become_one_message_and_the_last_one_is_held() {
    let mut desk = Desk::up(config());
    let text = desk.send("c2aa", "m123", "Byte-Range: 4-5/5\r\n", Some("lo"), '$')
        + &desk.send("c1aa", "m123", "Byte-Range: 1-3/5\r\n", Some("Hel"), '+');
    assert_eq!(desk.receive(&text), ["7: c2aa 200 OK", "message 1 m123 \"Hello\""]);
    assert_eq!(desk.respond(1, 200), ["7: c1aa 200 OK"]);
    assert_eq!(desk.agent.counts().partial_bytes, 0);

    // Two at once, and one that is abandoned.
    let text = desk.send("t1aa", "aaaa", "Byte-Range: 1-*/*\r\n", Some("A"), '+')
        + &desk.send("t2aa", "bbbb", "Byte-Range: 1-*/4\r\n", Some("bb"), '+')
        + &desk.send("t3aa", "cccc", "", Some("never"), '+')
        + &desk.send("t4aa", "aaaa", "Byte-Range: 2-*/*\r\n", Some("Z"), '$')
        + &desk.send("t5aa", "cccc", "Byte-Range: 6-7/*\r\n", Some("xy"), '#')
        + &desk.send("t6aa", "bbbb", "Byte-Range: 3-4/4\r\n", Some("bb"), '+')
        + &desk.send("t7aa", "bbbb", "Byte-Range: 5-4/4\r\n", Some(""), '$');
    let out = desk.receive(&text);
    assert_eq!(out[3..], ["message 2 aaaa \"AZ\"", "7: t5aa 200 OK", "7: t6aa 200 OK", "message 3 bbbb \"bbbb\"",]);
    assert_eq!(desk.agent.counts().partial_bytes, 0);
}

#[test]
fn answers_as_they_are_wanted() {
    for (header, ok, bad) in [
        ("", true, true),
        ("Failure-Report: yes\r\n", true, true),
        ("Failure-Report: partial\r\n", false, true),
        ("Failure-Report: no\r\n", false, false),
    ] {
        let mut desk = Desk::up(config());
        for (number, code, wanted) in [(1, 200, ok), (2, 415, bad)] {
            let text = desk.send("tida", "m123", header, Some(&format!("Hi {code}")), '$');
            assert_eq!(desk.receive(&text).len(), 1);
            assert_eq!(desk.respond(number, code).len(), usize::from(wanted), "{header} {code}");
        }
        let chunk = desk.send("tidb", "m124", &format!("{header}Byte-Range: 1-*/*\r\n"), Some("x"), '+');
        assert_eq!(desk.receive(&chunk).len(), usize::from(ok), "{header}");
        let long = desk.send("tidc", "m124", &format!("{header}Byte-Range: 1-1/1\r\n"), Some("xy"), '$');
        assert_eq!(desk.receive(&long).len(), usize::from(bad), "{header}");
        let other = desk.send("tidd", "m124", header, None, '$').replace("SEND", "TELEPORT");
        assert_eq!(desk.receive(&other).len(), usize::from(bad), "{header}");
        assert_eq!(desk.agent.counts().partial_bytes, 0);
    }
}

#[test]
fn what_is_wrong_is_refused_and_forgotten() {
    let mut desk = Desk::up(Config { max_size: 100, ..config() });
    let hundred = "x".repeat(100);
    for (more, body, flag, wanted) in [
        ("Byte-Range: 1-3/3\r\n", "abcdef", '$', "400 Bad Request"),
        ("Byte-Range: 1-1/101\r\n", "a", '+', "413 Message Too Large"),
        ("Byte-Range: 2-*/*\r\n", &hundred, '+', "413 Message Too Large"),
        ("Byte-Range: 1-*/101\r\n", &hundred, '+', "413 Message Too Large"),
        ("Byte-Range: 18446744073709551615-*/*\r\n", "ab", '+', "413 Message Too Large"),
    ] {
        let chunk = desk.send("tida", "m123", "Byte-Range: 1-*/*\r\n", Some("x"), '+');
        assert_eq!(desk.receive(&chunk), ["7: tida 200 OK"]);
        let text = desk.send("tidb", "m123", more, Some(body), flag);
        assert_eq!(desk.receive(&text), [format!("7: tidb {wanted}")], "{more}");
        assert_eq!(desk.agent.counts().partial_bytes, 0);
    }
    let nameless = desk.send("tida", "m123", "", Some("x"), '$').replace("Message-ID: m123\r\n", "");
    assert_eq!(desk.receive(&nameless), ["7: tida 400 Bad Request"]);
}

#[test]
fn parts_that_wait_are_bounded() {
    let mut desk = Desk::up(Config { max_size: 100, max_partial_bytes: 150, ..config() });
    let chunk = |desk: &mut Desk, id: &str, start: usize, length: usize| {
        let more = format!("Byte-Range: {start}-*/*\r\n");
        let text = desk.send("tida", id, &more, Some(&"x".repeat(length)), '+');
        desk.receive(&text).pop().unwrap()
    };
    for n in 0..8 {
        assert_eq!(chunk(&mut desk, &format!("m12{n}"), 1, 5), "7: tida 200 OK");
    }
    assert_eq!(chunk(&mut desk, "m128", 1, 5), "7: tida 413 Message Too Large", "too many");
    assert_eq!(chunk(&mut desk, "m120", 6, 61), "7: tida 413 Message Too Large", "too many bytes of a session");
    assert_eq!(desk.agent.counts().partial_bytes, 35);
    assert_eq!(chunk(&mut desk, "m121", 6, 60), "7: tida 200 OK");
    // Another session meets the bound of all.
    let other = desk.agent.open(desk.now, false).unwrap();
    let own = desk.agent.local_path(other).unwrap().to_string();
    desk.agent.begin(desk.now, other, &peer(Way::Passive));
    desk.drain();
    let first = std::mem::replace(&mut desk.own, own);
    assert_eq!(chunk(&mut desk, "m120", 1, 60), "7: tida 413 Message Too Large");
    assert_eq!(chunk(&mut desk, "m120", 1, 50), "7: tida 200 OK");
    desk.own = first;
    assert_eq!(desk.agent.counts().partial_bytes, 145);
    // What does not come is not waited for, and the sender is told.
    let out = desk.wait(120);
    assert_eq!(out.len(), 8);
    assert!(out.iter().all(|line| line.ends_with("/* 000 413$")), "{out:?}");
    assert_eq!((desk.agent.counts().partial_bytes, desk.agent.deadline()), (0, None));
}

#[test]
fn a_message_that_comes_twice_goes_up_once() {
    let mut desk = Desk::up(config());
    let text = desk.send("tida", "m123", "", Some("Hi"), '$');
    assert_eq!(desk.receive(&text), ["message 1 m123 \"Hi\""]);
    // What becomes of it nobody knows yet: it is answered with the first.
    let again = desk.send("tidc", "m123", "", Some("Hi"), '$');
    assert!(desk.receive(&again).is_empty());
    assert_eq!(desk.agent.counts().doubled, 1);
    // Another message, whatever it is called.
    let other = desk.send("tidb", "m123", "", Some("Ho"), '$');
    assert_eq!(desk.receive(&other), ["message 3 m123 \"Ho\""]);
    // What was refused may come again.
    assert_eq!(desk.respond(1, 415), ["7: tida 415 Unsupported Media Type", "7: tidc 415 Unsupported Media Type"]);
    assert_eq!(desk.receive(&text), ["message 4 m123 \"Hi\""]);
    assert_eq!(desk.respond(4, 200), ["7: tida 200 OK"]);
    // And what was taken need not.
    assert_eq!(desk.receive(&again), ["7: tidc 200 OK"]);
}

#[test]
fn what_waits_for_the_layer_above_is_bounded() {
    let mut desk = Desk::up(Config { max_held: 2, ..config() });
    for n in 1..=2 {
        let text = desk.send("tida", "m123", "", Some(&format!("{n}")), '$');
        assert_eq!(desk.receive(&text).len(), 1);
    }
    let text = desk.send("tida", "m123", "", Some("3"), '$');
    assert_eq!(desk.receive(&text), ["7: tida 413 Message Too Large"]);
    desk.respond(2, 200);
    assert_eq!(desk.receive(&text), ["message 3 m123 \"3\""]);
}

#[test]
fn methods_that_are_understood_go_up_others_do_not() {
    let mut desk = Desk::up(Config { methods: vec![Method::Nickname], ..config() });
    let text = desk.send("tida", "m123", "Use-Nickname: \"x\"\r\n", None, '$');
    assert_eq!(desk.receive(&text.replace("SEND", "AUTH")), ["7: tida 501 Not Implemented"]);
    assert_eq!(desk.receive(&text.replace("SEND", "NICKNAME")), ["request 1 NICKNAME"]);
    assert_eq!(desk.respond(1, 425), ["7: tida 425 Nickname Usage Failed"]);
}

/// RFC 4975 §7.1.2: a REPORT is never answered, and nothing is said to what means nothing.
#[test]
fn some_things_get_no_answer() {
    let mut desk = Desk::up(config());
    assert_eq!(desk.report("m123", "1-2/2", "000 200 OK"), [""; 0]);
    assert_eq!(desk.report("m123", "1-2/2", "999"), [""; 0]);
    assert_eq!(desk.answer("zzzz9999", 200), [""; 0]);
    assert_eq!(desk.answer("zzzz9999", 481), [""; 0]);
    let stranger = desk.send("tida", "m123", "Status: 000 200 OK\r\n", None, '$');
    let stranger = stranger.replace("SEND", "REPORT").replace("192.0.2.10", "192.0.2.11");
    assert_eq!(desk.receive(&stranger), [""; 0]);
    assert_eq!(desk.agent.counts().stray, 4);
    let bad = desk.send("tida", "x", "", None, '$');
    assert_eq!(desk.receive(&bad), ["7: tida 400 bad Message-ID"]);
}
