//! INVITE from both ends, and CANCEL.

use super::client::{ours, response, send, target};
use super::*;

fn invite() -> String {
    request("INVITE", "a.example.net;branch=z9hG4bKi1;rport")
}

fn ack(to_tag: &str) -> String {
    request("ACK", "a.example.net;branch=z9hG4bKi1;rport")
        .replace("juliet@example.com>\nCall", &format!("juliet@example.com>;tag={to_tag}\nCall"))
}

fn to_tag(bytes: &Bytes) -> String {
    let text = text(bytes);
    let to = text.lines().find(|l| l.starts_with("To:")).expect("To");
    to.split(";tag=").nth(1).expect("a tag").to_owned()
}

/// RFC 3261 §17.2.1: timer G until the ACK, then silence.
#[test]
fn a_refusal_is_sent_until_it_is_acknowledged() {
    let mut desk = Desk::new();
    let id = desk.surfaced(&invite());
    let refusal = sent(&desk.answer(id, 488));
    let again: Vec<u64> = desk.wait(9000).iter().map(|(at, _)| *at).collect();
    assert_eq!(again, [500, 1500, 3500, 7500]);
    assert_eq!(sent(&desk.receive(&invite())), refusal);
    assert_eq!(told(&desk.receive(&ack(&to_tag(&refusal)))), "");
    assert_eq!(told(&desk.receive(&ack(&to_tag(&refusal)))), "");
    assert_eq!(told(&desk.receive(&invite())), "");
    assert_eq!(desk.agent.counts().server_open, 1);
    assert_eq!(timed(&desk.wait(5000)), "");
    assert_eq!(desk.agent.counts().server_open, 0);
    assert_eq!(told(&desk.receive(&invite())), "");
    assert_eq!(told(&desk.receive(&ack(&to_tag(&refusal)))), "");
    assert_eq!(desk.agent.counts().dropped_ack, 1);
}

/// Threat 38: no more goes out than came in, and nothing is kept but the memory.
#[test]
fn a_stranger_is_refused_once_for_each_time() {
    let mut desk = Desk::new();
    let id = desk.surfaced(&invite());
    desk.agent.refuse_stranger(desk.now, id, Response::new(403, "Forbidden"));
    let refusal = sent(&desk.drain());
    assert_eq!(desk.agent.counts().server_open, 0);
    assert_eq!(timed(&desk.wait(20_000)), "");
    assert_eq!(sent(&desk.receive(&invite())), refusal);
    assert_eq!(told(&desk.receive(&ack(&to_tag(&refusal)))), "");
    assert_eq!(desk.agent.counts().dropped_ack, 1);
}

#[test]
fn without_an_ack_a_refusal_ends_with_timer_h() {
    let mut desk = Desk::new();
    let id = desk.surfaced(&invite());
    desk.answer(id, 600);
    let out = desk.wait(60_000);
    let sends: Vec<u64> = out.iter().filter(|(_, o)| matches!(o, Output::Send { .. })).map(|(at, _)| *at).collect();
    assert_eq!(sends, [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert!(timed(&out).ends_with("32000 cancelled\n"));
    let mut desk = Desk::new();
    desk.flow = flow(Transport::Tcp, "192.0.2.1:5070");
    let id = desk.surfaced(&invite());
    desk.answer(id, 600);
    assert_eq!(timed(&desk.wait(60_000)), "32000 cancelled\n");
}

#[test]
fn an_invite_gets_100_after_200_ms_unless_it_has_something_better() {
    let mut desk = Desk::new();
    let id = desk.surfaced(&invite());
    assert_eq!(told(&desk.receive(&invite())), "");
    assert_eq!(timed(&desk.wait(100_000)), "200 to 192.0.2.1:5070: SIP/2.0 100 Trying\n");
    assert_eq!(told(&desk.answer(id, 180)), "to 192.0.2.1:5070: SIP/2.0 180 Ringing\n");
    assert_eq!(told(&desk.receive(&invite())), "to 192.0.2.1:5070: SIP/2.0 180 Ringing\n");
    let mut desk = Desk::new();
    let id = desk.surfaced(&invite());
    desk.answer(id, 180);
    assert_eq!(timed(&desk.wait(100_000)), "");
}

/// RFC 6026: Accepted absorbs the INVITE, passes on every ACK and every 2xx, and ends with timer L.
#[test]
fn an_accepted_invite_is_not_taken_for_a_new_one() {
    let mut desk = Desk::new();
    let id = desk.surfaced(&invite());
    let tag = desk.agent.local_tag(id).expect("open").to_owned();
    let ok = sent(&desk.answer(id, 200));
    assert_eq!(to_tag(&ok), tag);
    assert_eq!(told(&desk.receive(&invite())), "");
    assert_eq!(sent(&desk.answer(id, 200)), ok);
    assert_eq!(told(&desk.answer(id, 486)), "");
    // The ACK for a 2xx has a branch of its own.
    let ack = ack(&tag).replace("z9hG4bKi1", "z9hG4bKother");
    assert_eq!(told(&desk.receive(&ack)), "ack\n");
    assert_eq!(told(&desk.receive(&ack)), "ack\n");
    assert_eq!(told(&desk.receive(&ack.replace(&tag, "other"))), "");
    assert_eq!(timed(&desk.wait(32_000)), "");
    assert_eq!((desk.agent.counts().server_open, desk.agent.counts().dropped_ack), (0, 1));
    assert_eq!(told(&desk.receive(&ack)), "");
    assert_eq!(told(&desk.receive(&invite())), "");
}

/// RFC 3326.
#[test]
fn a_cancel_may_say_why() {
    let mut desk = Desk::new();
    desk.surfaced(&invite());
    let cancel = invite().replace("INVITE", "CANCEL").replace("Max-Forwards", "Reason: SIP;cause=200\nMax-Forwards");
    let out = desk.receive(&cancel);
    assert!(matches!(out.last(), Some(Output::Cancelled { reason: Some(why), .. }) if why == "SIP;cause=200"));
}

/// RFC 3261 §9.2.
#[test]
fn a_cancel_ends_an_invite_that_waits() {
    let mut desk = Desk::new();
    let cancel = invite().replace("INVITE", "CANCEL");
    let id = desk.surfaced(&invite());
    let out = desk.receive(&cancel);
    assert_eq!(
        told(&out),
        "to 192.0.2.1:5070: SIP/2.0 200 OK\nto 192.0.2.1:5070: SIP/2.0 487 Request Terminated\ncancelled\n"
    );
    let [Output::Send { bytes: ok, .. }, Output::Send { bytes: terminated, .. }, _] = out.as_slice() else { panic!() };
    assert!(text(ok).contains("CSeq: 1 CANCEL") && text(terminated).contains("CSeq: 1 INVITE"));
    assert_eq!(to_tag(ok), to_tag(terminated));
    assert_eq!(sent(&desk.receive(&cancel)), *ok);
    assert_eq!(told(&desk.answer(id, 200)), "");
    assert_eq!(told(&desk.receive(&ack(&to_tag(terminated)))), "");
    assert_eq!(timed(&desk.wait(5000)), "");
    assert_eq!((desk.agent.counts().cancelled, desk.agent.counts().server_open), (1, 0));
}

#[test]
fn a_cancel_that_comes_too_late_or_for_nothing() {
    let mut desk = Desk::new();
    let cancel = invite().replace("INVITE", "CANCEL");
    let out = desk.receive(&cancel);
    assert_eq!(told(&out), "to 192.0.2.1:5070: SIP/2.0 481 Call/Transaction Does Not Exist\n");
    assert_eq!(sent(&desk.receive(&cancel)), sent(&out));
    let mut desk = Desk::new();
    let id = desk.surfaced(&invite());
    desk.answer(id, 486);
    assert_eq!(told(&desk.receive(&cancel)), "to 192.0.2.1:5070: SIP/2.0 200 OK\n");
    // A MESSAGE is not cancelled.
    let mut desk = Desk::new();
    let id = desk.surfaced(&message());
    let out = desk.receive(&message().replace("MESSAGE", "CANCEL"));
    assert_eq!(told(&out), "to 192.0.2.1:5070: SIP/2.0 481 Call/Transaction Does Not Exist\n");
    assert_eq!(told(&desk.answer(id, 200)), "to 192.0.2.1:5070: SIP/2.0 200 OK\n");
}

#[test]
fn an_ack_is_never_answered() {
    let mut desk = Desk::new();
    assert_eq!(told(&desk.receive(&ack("x"))), "");
    desk.surfaced(&invite());
    assert_eq!(told(&desk.receive(&ack("x"))), "");
    assert_eq!(desk.agent.counts().dropped_ack, 1);
}

/// RFC 3261 §8.2.7: what the agent itself refuses is refused again when it comes again, and only then (threat 38): nobody is sent more than
/// came in his name, and nothing waits for an ACK.
#[test]
fn an_invite_that_nobody_takes_is_refused_without_a_transaction() {
    let mut desk = Desk::with(Config { max_server: 1, invites: false, ..config() });
    for (text, answer) in [
        (invite(), "SIP/2.0 405 Method Not Allowed"),
        (
            invite().replace("Max-Forwards", "Require: foo\nMax-Forwards").replace("c1@", "c2@"),
            "SIP/2.0 420 Bad Extension",
        ),
    ] {
        let out = desk.receive(&text);
        assert_eq!(told(&out), format!("to 192.0.2.1:5070: {answer}\n"));
        assert_eq!(sent(&desk.receive(&text)), sent(&out));
        assert_eq!(told(&desk.receive(&ack(&to_tag(&sent(&out))))), "");
        assert_eq!(desk.agent.counts().server_open, 0);
    }
    let cancel = invite().replace("INVITE", "CANCEL");
    assert_eq!(told(&desk.receive(&cancel)), "to 192.0.2.1:5070: SIP/2.0 481 Call/Transaction Does Not Exist\n");
    desk.surfaced(&message().replace("c1@", "c3@"));
    let sends = desk.wait(60_000).iter().filter(|(_, o)| text_of(o).contains("INVITE")).count();
    assert_eq!(sends, 0);
    let mut desk = Desk::new();
    let demanding = invite().replace("Max-Forwards", "Require: foo\nMax-Forwards");
    assert_eq!(told(&desk.receive(&demanding)), "to 192.0.2.1:5070: SIP/2.0 420 Bad Extension\n");
    assert_eq!(timed(&desk.wait(60_000)), "");
}

fn text_of(output: &Output) -> String {
    match output {
        Output::Send { bytes, .. } => text(bytes),
        _ => String::new(),
    }
}

/// RFC 3261 §17.1.1.2 and §17.1.1.3.
#[test]
fn our_invite_is_sent_again_and_its_refusal_acknowledged() {
    let mut desk = Desk::new();
    let mut invite = ours(Method::Invite);
    invite.headers.push(Name::Route, "<sip:proxy.example.net;lr>");
    desk.agent.request(desk.now, invite, &target(Transport::Udp).into(), None).expect("sent");
    let bytes = text(&sent(&desk.drain()));
    let again: Vec<u64> = desk.wait(16_000).iter().map(|(at, _)| *at).collect();
    assert_eq!(again, [500, 1500, 3500, 7500, 15_500]);
    let out = desk.receive(&response(&bytes, 486));
    assert_eq!(told(&out), "to 192.0.2.1:5060: ACK sip:romeo@example.net SIP/2.0\nresponse 486\n");
    let Some(Output::Send { bytes: ack, .. }) = out.first() else { panic!("no ACK") };
    let via = bytes.lines().nth(1).expect("a Via");
    assert_eq!(
        text(ack),
        format!(
            "ACK sip:romeo@example.net SIP/2.0\r\n{via}\r\nRoute: <sip:proxy.example.net;lr>\r\nMax-Forwards: 70\r\n\
             From: <sip:juliet@example.com>;tag=j\r\nTo: <sip:romeo@example.net>;tag=r\r\nCall-ID: x\r\nCSeq: 1 ACK\r\n\
             Content-Length: 0\r\n\r\n"
        )
    );
    assert_eq!(sent(&desk.receive(&response(&bytes, 486))), *ack);
    assert_eq!(timed(&desk.wait(31_999)), "");
    assert_eq!(desk.agent.counts().client_open, 1);
    desk.wait(1);
    assert_eq!(desk.agent.counts().client_open, 0);
}

#[test]
fn our_invite_times_out_with_timer_b() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut desk = Desk::new();
        send(&mut desk, Method::Invite, transport);
        assert!(timed(&desk.wait(40_000)).ends_with("32000 failed Timeout\n"));
        assert_eq!(desk.agent.counts().client_open, 0);
    }
}

/// RFC 6026 §7.2.
#[test]
fn every_2xx_to_our_invite_is_passed_on_until_timer_m() {
    let mut desk = Desk::new();
    let (_, bytes) = send(&mut desk, Method::Invite, Transport::Tcp);
    assert_eq!(told(&desk.receive(&response(&bytes, 180))), "response 180\n");
    assert_eq!(told(&desk.receive(&response(&bytes, 200))), "response 200\n");
    assert_eq!(told(&desk.receive(&response(&bytes, 200).replace("tag=r", "tag=s"))), "response 200\n");
    assert_eq!(told(&desk.receive(&response(&bytes, 486))), "");
    let mut ack = ours(Method::Ack);
    ack.headers.set(Name::To, "<sip:romeo@example.net>;tag=r");
    assert_eq!(desk.agent.ack(desk.now, ack, &target(Transport::Tcp).into()), Ok(()));
    assert!(
        text(&sent(&desk.drain()))
            .starts_with("ACK sip:romeo@example.net SIP/2.0\r\nVia: SIP/2.0/TCP gw.example.com;branch=")
    );
    assert_eq!(desk.agent.ack(desk.now, ours(Method::Invite), &target(Transport::Tcp).into()), Err(Refused::Method));
    desk.agent.connection_failed(desk.now, &target(Transport::Tcp), vec![]);
    assert_eq!(timed(&desk.wait(32_000)), "");
    assert_eq!(desk.agent.counts().client_open, 0);
}

/// RFC 3261 §9.1: not before something came back, and never twice.
#[test]
fn our_cancel_waits_for_a_provisional_response() {
    let mut desk = Desk::new();
    let (id, bytes) = send(&mut desk, Method::Invite, Transport::Tcp);
    let why = r#"SIP;cause=200;text="Call completed elsewhere""#;
    desk.agent.cancel(desk.now, id, &[why.into()]);
    desk.agent.cancel(desk.now, id, &["SIP;cause=603".into()]);
    assert_eq!(told(&desk.drain()), "");
    let out = desk.receive(&response(&bytes, 100));
    assert_eq!(told(&out), "response 100\nto 192.0.2.1:5060: CANCEL sip:romeo@example.net SIP/2.0\n");
    let Some(Output::Send { bytes: cancel, .. }) = out.get(1) else { panic!("no CANCEL") };
    assert_eq!(text(cancel).lines().nth(1), bytes.lines().nth(1));
    assert!(text(cancel).contains(&format!("\r\nCSeq: 1 CANCEL\r\nReason: {why}\r\n")));
    desk.agent.cancel(desk.now, id, &[]);
    assert_eq!(told(&desk.drain()), "");
    assert_eq!(told(&desk.receive(&response(&text(cancel), 200))), "");
    assert_eq!(
        told(&desk.receive(&response(&bytes, 487))),
        "to 192.0.2.1:5060: ACK sip:romeo@example.net SIP/2.0\nresponse 487\n"
    );
    desk.wait(0);
    assert_eq!(desk.agent.counts().client_open, 0);
}

#[test]
fn our_cancelled_invite_ends_even_if_nobody_says_so() {
    let mut desk = Desk::new();
    let (id, bytes) = send(&mut desk, Method::Invite, Transport::Udp);
    desk.receive(&response(&bytes, 180));
    assert_eq!(timed(&desk.wait(100_000)), "");
    desk.agent.cancel(desk.now, id, &[]);
    assert_eq!(told(&desk.drain()), "to 192.0.2.1:5060: CANCEL sip:romeo@example.net SIP/2.0\n");
    let out = desk.wait(100_000);
    assert!(timed(&out).ends_with("32000 failed Timeout\n"), "{}", timed(&out));
    assert_eq!(out.iter().filter(|(_, o)| matches!(o, Output::Failed { .. })).count(), 1);
    assert_eq!(desk.agent.counts().client_open, 0);
}
