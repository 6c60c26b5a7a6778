//! What became of each stanza, and whether the server is there at all.

use super::*;

#[test]
fn barriers_are_answered_in_three_ways() {
    let result = "<iq type='result' from='sip.example.net' to='sip.example.net' id='ID'/>";
    let refusal = "<iq type='error' from='sip.example.net' to='sip.example.net' id='ID'><error type='cancel'>\
        <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>";
    let echo = "<iq type='get' from='sip.example.net' to='sip.example.net' id='ID'><ping xmlns='urn:xmpp:ping'/></iq>";
    for answer in [result, refusal, echo] {
        let mut lab = Lab::up(Config::new("sip.example.net", "s3cr3t"), true);
        assert_eq!((lab.send(7), lab.send(8)), (Ok(()), Ok(())));
        assert_eq!(lab.c.send(lab.now, b"<presence/>", None), Ok(()));
        let sent = "<message id='7'/><message id='8'/><presence/>";
        assert_eq!(lab.outputs(), [bytes(format!("{sent}{}", lab.ping(1)))]);
        assert_eq!(lab.c.counts(), Counts { unacknowledged: 3, unacknowledged_bytes: sent.len(), ..Counts::default() });
        // The error for one of them comes first, as the server works in order.
        let error = "<message from='x@example.com' to='romeo@sip.example.net' id='7' type='error'/>";
        let id = lab.id(1);
        lab.receive(format!("{error}{}{MESSAGE}", answer.replace("ID", &id)).as_bytes());
        assert_eq!(
            lab.outputs(),
            [Output::Stanza(stanza_of(error)), Output::Taken(7), Output::Taken(8), Output::Stanza(stanza_of(MESSAGE))]
        );
        assert_eq!(lab.c.counts(), Counts::default());
    }
}

#[test]
fn one_answer_stands_for_all_before_it_and_batches_join() {
    let config = Config { max_barriers: 2, ..Config::new("sip.example.net", "s3cr3t") };
    let mut lab = Lab::up(config, true);
    for token in 1..=2 {
        assert_eq!(lab.send(token), Ok(()));
        assert_eq!(lab.outputs(), [bytes(format!("<message id='{token}'/>{}", lab.ping(token)))]);
    }
    // Two are under way: the third and fourth batch wait and share one.
    for token in 3..=4 {
        assert_eq!(lab.send(token), Ok(()));
        assert_eq!(lab.outputs(), [bytes(format!("<message id='{token}'/>"))]);
    }
    lab.answer(1);
    assert_eq!(lab.outputs(), [Output::Taken(1), bytes(lab.ping(3))]);
    lab.answer(3);
    assert_eq!(lab.outputs(), [Output::Taken(2), Output::Taken(3), Output::Taken(4)]);
    lab.answer(2);
    assert_eq!(lab.outputs(), [], "too late to matter, and not passed up");
    let guess = "<iq type='result' from='mallory@example.com' to='sip.example.net' id='ID'/>".replace("ID", &lab.id(9));
    lab.receive(guess.as_bytes());
    assert_eq!(lab.outputs(), [Output::Stanza(stanza_of(&guess))], "a number that was never sent");
}

#[test]
fn where_barriers_are_not_answered_a_wait_stands_in() {
    let mut lab = Lab::up(Config::new("sip.example.net", "s3cr3t"), false);
    assert_eq!(lab.send(1), Ok(()));
    assert_eq!(lab.outputs(), [bytes(format!("<message id='1'/>{}", lab.ping(1)))]);
    assert_eq!(lab.wait(1.999), []);
    assert_eq!(lab.wait(0.001), [Output::Fault(Fault::BarriersUnanswered), Output::Taken(1)]);
    assert_eq!(lab.c.counts().taken_by_wait, 1);
    assert_eq!(lab.send(2), Ok(()));
    assert_eq!(lab.wait(1.0), [bytes(format!("<message id='2'/>{}", lab.ping(2)))]);
    assert_eq!(lab.wait(1.0), [Output::Taken(2)], "told once that nobody answers");
    // An answer after all, even a late one: from now on only answers count.
    lab.answer(1);
    assert_eq!(lab.send(3), Ok(()));
    assert_eq!(lab.wait(10.0), [bytes(format!("<message id='3'/>{}", lab.ping(3)))]);
    lab.answer(3);
    assert_eq!(lab.outputs(), [Output::Taken(3)]);
    assert_eq!(lab.c.counts().taken_by_wait, 2);
}

/// A server that comes back and hangs is not one that answers no barriers: nothing is taken on trust.
#[test]
fn what_the_server_did_before_it_is_expected_to_do_again() {
    let mut lab = Lab::up(Config::new("sip.example.net", "s3cr3t"), true);
    let reopened = |lab: &mut Lab| {
        lab.c.disconnected(lab.now);
        while lab.c.deadline().is_some() {
            lab.now = lab.c.deadline().expect("a deadline");
            lab.c.timeout(lab.now);
        }
        while lab.c.poll().is_some_and(|o| o != Output::Connect) {}
        lab.c.connected(lab.now);
        lab.receive(HEADER);
        lab.receive(b"<handshake/>");
        assert!(matches!(lab.outputs()[..], [Output::Bytes(_), Output::Up, Output::Bytes(_)]));
    };
    reopened(&mut lab);
    assert_eq!(lab.send(1), Ok(()));
    let outputs = lab.wait(19.9);
    assert!(matches!(outputs[..], [Output::Bytes(_)]), "{outputs:?}");
    let outputs = lab.wait(0.2);
    assert!(matches!(outputs[..], [Output::Bytes(_), Output::Close, Output::Lost(1), Output::Down(_)]), "{outputs:?}");
    // That was a whole stream without an answer: its server may be another one now.
    reopened(&mut lab);
    assert_eq!(lab.send(2), Ok(()));
    let outputs = lab.wait(2.0);
    assert!(outputs.contains(&Output::Taken(2)), "{outputs:?}");
}

#[test]
fn what_a_lost_link_loses() {
    let mut lab = Lab::up(Config::new("sip.example.net", "s3cr3t"), true);
    for token in 1..=2 {
        assert_eq!(lab.send(token), Ok(()));
        lab.outputs();
    }
    assert_eq!(lab.send(3), Ok(()));
    lab.answer(1);
    lab.c.disconnected(lab.now);
    let sent = bytes("<message id='3'/>");
    let down = Output::Down(DownReason::Disconnected);
    assert_eq!(lab.outputs(), [sent, Output::Taken(1), Output::Lost(2), Output::Lost(3), down]);
    assert_eq!(lab.send(4), Err(SendError::Down));
    assert_eq!(lab.c.counts(), Counts::default());
    lab.c.disconnected(lab.now);
    lab.receive(MESSAGE.as_bytes());
    assert_eq!(lab.wait(0.4), [], "said twice, and said too late");
    // An answer that belongs to the stream before answers nothing on the next.
    lab.now = lab.now + Duration::from_secs(1);
    lab.c.timeout(lab.now);
    lab.reopen();
    assert_eq!(lab.send(5), Ok(()));
    lab.answer(2);
    assert_eq!(lab.outputs(), [bytes(format!("<message id='5'/>{}", lab.ping(4)))]);
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    let mut lab = Lab::up(Config::new("sip.example.net", "s3cr3t"), true);
    assert_eq!(lab.wait(59.999), []);
    assert_eq!(lab.wait(0.001), [bytes(lab.ping(1))]);
    lab.answer(1);
    assert_eq!(lab.wait(60.0), [bytes(lab.ping(2))]);
    assert_eq!(lab.send(1), Ok(()));
    assert_eq!(lab.wait(19.999), [bytes(format!("<message id='1'/>{}", lab.ping(3)))]);
    let mut gone = our_error(StreamCondition::ConnectionTimeout, "no answer to a ping").to_vec();
    gone.insert(2, Output::Lost(1));
    assert_eq!(lab.wait(0.001), gone);
}

#[test]
fn a_server_that_says_all_but_the_answer_is_given_up_later() {
    let mut lab = Lab::up(Config::new("sip.example.net", "s3cr3t"), true);
    assert_eq!(lab.send(1), Ok(()));
    let mut outputs = Vec::new();
    for _ in 0..7 {
        outputs = lab.wait(9.0);
        lab.receive(b"\n");
    }
    assert!(matches!(outputs[..], [Output::Bytes(_), Output::Close, Output::Lost(1), Output::Down(_)]), "{outputs:?}");
}

#[test]
fn where_pings_are_not_answered_white_space_keeps_alive() {
    let mut lab = Lab::up(Config::new("sip.example.net", "s3cr3t"), false);
    assert_eq!(lab.wait(2.0), [Output::Fault(Fault::BarriersUnanswered)]);
    assert_eq!(lab.wait(57.999), []);
    assert_eq!(lab.wait(0.001), [bytes(" ")]);
    assert_eq!(lab.wait(180.0), [bytes(" "), bytes(" "), bytes(" ")]);
    lab.receive(b" ");
    assert_eq!(lab.wait(59.9), []);
    assert!(lab.c.is_up());
}
