//! Requests of ours.

use super::*;
use crate::uri::Uri;

pub(super) fn ours(method: Method) -> Request {
    let cseq = format!("1 {method}");
    let mut request = Request::new(method, Uri::parse("sip:romeo@example.net").expect("a URI"));
    request.headers.push(Name::From, "<sip:juliet@example.com>;tag=j");
    request.headers.push(Name::To, "<sip:romeo@example.net>");
    request.headers.push(Name::CallId, "x");
    request.headers.push(Name::CSeq, cseq);
    request
}

pub(super) fn target(transport: Transport) -> Target {
    Target::new(transport, address("192.0.2.1:5060"))
}

/// Sends a request and gives its name and its bytes.
pub(super) fn send(desk: &mut Desk, method: Method, transport: Transport) -> (ClientId, String) {
    let id = desk.agent.request(desk.now, ours(method), &target(transport).into(), Some("m1")).expect("sent");
    (id, text(&sent(&desk.drain())))
}

/// A response to bytes of ours.
pub(super) fn response(request: &str, code: u16) -> String {
    let mut out = format!("SIP/2.0 {code} X\n");
    for line in
        request.lines().skip(1).filter(|l| ["Via", "From", "To:", "Call", "CSeq"].iter().any(|n| l.starts_with(n)))
    {
        out.push_str(line);
        if line.starts_with("To:") {
            out.push_str(";tag=r");
        }
        out.push('\n');
    }
    out + "Content-Length: 0\n\n"
}

#[test]
fn a_request_goes_out_with_our_via() {
    let mut desk = Desk::new();
    let (id, bytes) = send(&mut desk, Method::Message, Transport::Udp);
    let branch = bytes.split("branch=").nth(1).and_then(|b| b.split(';').next()).expect("a branch");
    assert_eq!((shard_of_branch(branch), branch_suffix(branch)), (Some(0), Some("m1")));
    assert_eq!(
        bytes,
        format!(
            "MESSAGE sip:romeo@example.net SIP/2.0\r\nVia: SIP/2.0/UDP gw.example.com;branch={branch};rport\r\n\
             From: <sip:juliet@example.com>;tag=j\r\nTo: <sip:romeo@example.net>\r\nCall-ID: x\r\nCSeq: 1 MESSAGE\r\n\
             Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
    );
    let out = desk.receive(&response(&bytes, 200));
    let [Output::Response { id: answered, response }] = out.as_slice() else { panic!("{}", told(&out)) };
    assert_eq!((*answered, response.code), (id, 200));
    assert_eq!(desk.agent.counts().client_open, 0);
}

/// RFC 3261 §17.1.2.2: timers E and F.
#[test]
fn by_udp_a_request_is_sent_again_until_timer_f() {
    let mut desk = Desk::new();
    send(&mut desk, Method::Message, Transport::Udp);
    let out = desk.wait(100_000);
    let again: Vec<u64> = out.iter().filter(|(_, o)| matches!(o, Output::Send { .. })).map(|(at, _)| *at).collect();
    assert_eq!(again, [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert!(timed(&out).ends_with("32000 failed Timeout\n"));
    let counts = desk.agent.counts();
    assert_eq!((counts.client_open, counts.timeouts, counts.retransmissions_out), (0, 1, 10));
    assert_eq!(desk.agent.deadline(), None);
}

#[test]
fn by_tcp_a_request_is_sent_once() {
    let mut desk = Desk::new();
    send(&mut desk, Method::Message, Transport::Tcp);
    assert_eq!(timed(&desk.wait(100_000)), "32000 failed Timeout\n");
}

#[test]
fn after_a_provisional_response_it_is_sent_again_each_t2() {
    let mut desk = Desk::new();
    let (_, bytes) = send(&mut desk, Method::Message, Transport::Udp);
    assert_eq!(told(&desk.receive(&response(&bytes, 100))), "response 100\n");
    let out = desk.wait(100_000);
    let again: Vec<u64> = out.iter().filter(|(_, o)| matches!(o, Output::Send { .. })).map(|(at, _)| *at).collect();
    assert_eq!(again, [500, 4500, 8500, 12_500, 16_500, 20_500, 24_500, 28_500]);
    assert!(timed(&out).ends_with("32000 failed Timeout\n"));
}

#[test]
fn a_response_ends_it_once() {
    let mut desk = Desk::new();
    let (id, bytes) = send(&mut desk, Method::Message, Transport::Udp);
    assert_eq!(told(&desk.receive(&response(&bytes, 486))), "response 486\n");
    assert_eq!(told(&desk.receive(&response(&bytes, 486))), "");
    assert_eq!(told(&desk.receive(&response(&bytes, 200))), "");
    desk.agent.send_failed(desk.now, id);
    assert_eq!(timed(&desk.wait(100_000)), "");
    assert_eq!(desk.agent.counts().dropped_stray, 2);
}

/// RFC 3261 §18.1.2, §17.1.3, §8.1.3.3.
#[test]
fn a_response_to_nothing_of_ours_is_dropped() {
    let mut desk = Desk::new();
    let (_, bytes) = send(&mut desk, Method::Message, Transport::Udp);
    let good = response(&bytes, 200);
    let cases = [
        good.replace("gw.example.com", "other.example.com"),
        good.replace("gw.example.com", "gw.example.com:5061"),
        good.replace("SIP/2.0/UDP", "SIP/2.0/TLS"),
        good.replacen("Via:", "Via: SIP/2.0/UDP other.example.com;branch=z9hG4bKx\nVia:", 1),
        good.replacen("From:", "Via: SIP/2.0/UDP other.example.com;branch=z9hG4bKx\nFrom:", 1),
        good.replace("CSeq: 1 MESSAGE", "CSeq: 1 OPTIONS"),
        good.replace("CSeq: 1 MESSAGE", "CSeq: 1 CANCEL"),
        good.replace("CSeq: 1 MESSAGE", "CSeq: 2 MESSAGE"),
        good.replace("CSeq: 1 MESSAGE", "CSeq: 2147483647 MESSAGE"),
        good.replace("_m1", "_m2"),
        good.replace("_m1", ""),
        good.replace("z9hG4bK", "z9hG4bKa"),
        good.replace("branch=", "brunch="),
    ];
    for case in &cases {
        assert_ne!(*case, good);
        assert_eq!(told(&desk.receive(case)), "", "{case}");
    }
    let counts = desk.agent.counts();
    assert_eq!((counts.dropped_via, counts.dropped_stray), (5, 8));
    assert_eq!(told(&desk.receive(&good.replace("gw.example.com", "GW.example.com:5060"))), "response 200\n");
}

#[test]
fn a_transport_that_fails_ends_what_it_carried() {
    let mut desk = Desk::new();
    let (first, _) = send(&mut desk, Method::Message, Transport::Udp);
    let (_, tcp) = send(&mut desk, Method::Message, Transport::Tcp);
    send(&mut desk, Method::Options, Transport::Tcp);
    desk.agent.send_failed(desk.now, first);
    assert_eq!(told(&desk.drain()), "failed Transport\n");
    assert_eq!(told(&desk.receive(&response(&tcp, 200))), "response 200\n");
    desk.agent.connection_failed(desk.now, &target(Transport::Udp), vec![]);
    assert_eq!(told(&desk.drain()), "");
    desk.agent.connection_failed(desk.now, &target(Transport::Tcp), vec![]);
    assert_eq!(told(&desk.drain()), "failed Transport\n");
    desk.agent.connection_failed(desk.now, &target(Transport::Tcp), vec![]);
    assert_eq!(timed(&desk.wait(100_000)), "");
    let counts = desk.agent.counts();
    assert_eq!((counts.transport_failures, counts.client_open), (2, 0));
}

#[test]
fn what_is_not_begun() {
    let mut desk = Desk::with(Config { max_client: 1, ..config() });
    let mut begin =
        |method: Method, transport| desk.agent.request(Time::ZERO, ours(method), &target(transport).into(), None).err();
    assert_eq!(begin(Method::Ack, Transport::Udp), Some(Refused::Method));
    assert_eq!(begin(Method::Cancel, Transport::Udp), Some(Refused::Method));
    assert_eq!(begin(Method::Message, Transport::Tls), Some(Refused::NoTransport));
    assert_eq!(begin(Method::Message, Transport::Udp), None);
    assert_eq!(begin(Method::Message, Transport::Udp), Some(Refused::Full));
}

/// THREATS 20: the suffix is a token or nothing.
#[test]
fn a_suffix_cannot_end_the_header() {
    let mut desk = Desk::new();
    desk.agent
        .request(desk.now, ours(Method::Message), &target(Transport::Udp).into(), Some("a\r\nX: ;y=\u{e9},z"))
        .expect("sent");
    let bytes = text(&sent(&desk.drain()));
    assert!(bytes.lines().nth(1).is_some_and(|via| via.ends_with("_aXyz;rport")), "{bytes}");
}

/// Fault 15: whatever was due during a pause is done once.
#[test]
fn a_pause_of_a_minute_gives_one_timeout() {
    let mut desk = Desk::new();
    for _ in 0..100 {
        send(&mut desk, Method::Message, Transport::Udp);
    }
    desk.agent.timeout(desk.now + Duration::from_secs(60));
    let out = desk.drain();
    assert_eq!(out.iter().filter(|o| matches!(o, Output::Failed { .. })).count(), 100);
    assert!(out.iter().filter(|o| matches!(o, Output::Send { .. })).count() <= 100);
}
