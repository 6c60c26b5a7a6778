//! Requests that take more than one transaction: fail-over, forks, credentials, look-ups.

use super::client::{ours, response, target};
use super::*;
use crate::digest::{Account, AccountId};
use base::dns::{self, Answer, Question, Srv};

fn named(host: &str) -> Place {
    let host = Host::parse(host).expect("a host");
    Place { host, port: None, transport: Some(Transport::Tcp), secure: false, account: None, foreign: false }
}

fn srv(targets: &[(u16, &str)]) -> Answer {
    let records = targets.iter().map(|(priority, target)| Srv {
        priority: *priority,
        weight: 0,
        port: 5060,
        target: (*target).into(),
    });
    Answer::of_srv(records, Duration::from_secs(60))
}

fn found(address: &str) -> Answer {
    Answer::of_addresses([address.parse().expect("an address")], Duration::from_secs(60))
}

/// The question that is open.
fn question(outputs: &[Output]) -> (u64, Question) {
    match outputs {
        [.., Output::Locate { id, question }] => (*id, question.clone()),
        other => panic!("no question: {}", told(other)),
    }
}

/// The last thing that was sent: its name and its text.
fn launched(outputs: &[Output]) -> (ClientId, String) {
    let mut sends = outputs.iter().rev().filter_map(|output| match output {
        Output::Send { client: Some(client), bytes, .. } => Some((*client, text(bytes))),
        _ => None,
    });
    sends.next().expect("something was sent")
}

impl Desk {
    fn looked(&mut self, id: u64, answer: &Answer) -> Vec<Output> {
        self.agent.located(self.now, id, answer);
        self.drain()
    }

    /// A request to `example.net`, which has these servers; the first of them is tried.
    fn routed(&mut self, method: Method, servers: &[(u16, &str)]) -> (ClientId, Vec<Output>) {
        self.routed_to(method, servers, &named("example.net"))
    }

    fn routed_to(&mut self, method: Method, servers: &[(u16, &str)], place: &Place) -> (ClientId, Vec<Output>) {
        let id = self.agent.request(self.now, ours(method), &place.clone().into(), Some("m1")).expect("begun");
        let (asked, what) = question(&self.drain());
        assert_eq!(what, Question::Srv("_sip._tcp.example.net".into()));
        let out = self.looked(asked, &srv(servers));
        (id, self.addresses(out))
    }

    /// Answers questions for addresses: `a` has 192.0.2.1, `b` has 192.0.2.2, ...
    fn addresses(&mut self, mut out: Vec<Output>) -> Vec<Output> {
        while let [.., Output::Locate { id, question: Question::Addresses(name) }] = out.as_slice() {
            let last = name.as_bytes()[0] - b'a' + 1;
            let (id, answer) = (*id, found(&format!("192.0.2.{last}")));
            out = self.looked(id, &answer);
        }
        out
    }

    fn fail(&mut self, client: ClientId) -> Vec<Output> {
        self.agent.send_failed(self.now, client);
        let out = self.drain();
        self.addresses(out)
    }

    fn rests(&mut self) {
        self.wait(100_000);
        let counts = self.agent.counts();
        assert_eq!((counts.client_open, self.agent.contexts.len(), self.agent.asked.len()), (0, 0, 0));
        assert_eq!(self.agent.deadline(), None);
    }
}

fn branch(text: &str) -> &str {
    text.split("branch=").nth(1).and_then(|rest| rest.split(';').next()).expect("a branch")
}

/// RFC 3263 §4.3: transport errors and 503 lead to the next server, by a transaction of its own; the layer above hears of the end alone.
#[test]
fn the_next_server_after_a_failure() {
    let mut desk = Desk::new();
    let (id, out) = desk.routed(Method::Message, &[(1, "a"), (2, "b"), (3, "c")]);
    assert_eq!(told(&out), "to 192.0.2.1:5060: MESSAGE sip:romeo@example.net SIP/2.0\n");
    let (first, first_text) = launched(&out);
    assert_eq!(first, id, "the first attempt has the name of the request");
    let out = desk.fail(first);
    assert_eq!(told(&out), "to 192.0.2.2:5060: MESSAGE sip:romeo@example.net SIP/2.0\n");
    let (second, second_text) = launched(&out);
    assert!(second != id && branch(&first_text) != branch(&second_text));
    assert_eq!(branch_suffix(branch(&second_text)), Some("m1"));
    assert_eq!(shard_of_branch(branch(&second_text)), Some(0));
    let out = desk.receive(&response(&second_text, 503));
    let out = desk.addresses(out);
    let (_, third) = launched(&out);
    assert!(third.contains("CSeq: 1 MESSAGE\r\n"), "the same request");
    assert_eq!(told(&desk.receive(&response(&first_text, 200))), "", "the first one has ended");
    let out = desk.receive(&response(&third, 200));
    let [Output::Response { id: answered, .. }] = out.as_slice() else { panic!("{}", told(&out)) };
    assert_eq!(*answered, id);
    assert_eq!((desk.agent.counts().failovers, desk.agent.quarantined(desk.now)), (2, 2));
    desk.rests();
    // Those that failed are left alone: the third one is the first now.
    desk.now = desk.now + Duration::ZERO;
    let mut desk = Desk::new();
    let (_, out) = desk.routed(Method::Message, &[(1, "a"), (2, "b")]);
    let (first, _) = launched(&out);
    let (_, second) = launched(&desk.fail(first));
    desk.receive(&response(&second, 200));
    let (_, out) = desk.routed(Method::Message, &[(1, "a"), (2, "b")]);
    assert_eq!(told(&out), "to 192.0.2.2:5060: MESSAGE sip:romeo@example.net SIP/2.0\n");
    let (second, _) = launched(&out);
    // Where nobody else is left, those in quarantine are better than nobody.
    let out = desk.fail(second);
    assert_eq!(told(&out), "to 192.0.2.1:5060: MESSAGE sip:romeo@example.net SIP/2.0\n");
    let (last, _) = launched(&out);
    assert_eq!(told(&desk.fail(last)), "failed Transport\n");
    desk.rests();
}

/// RFC 3263 §4.3: silence counts where nothing has come back at all; another answer than 503 is the answer.
#[test]
fn what_is_an_answer_and_what_is_none() {
    let mut desk = Desk::new();
    let (_, out) = desk.routed(Method::Message, &[(1, "a"), (2, "b")]);
    let (_, first) = launched(&out);
    assert_eq!(told(&desk.receive(&response(&first, 404))), "response 404\n");
    let (_, _) = desk.routed(Method::Message, &[(1, "a"), (2, "b")]);
    let out = desk.wait(32_000);
    let out: Vec<Output> = out.into_iter().map(|(_, output)| output).collect();
    let out = desk.addresses(out);
    assert_eq!(told(&out), "to 192.0.2.2:5060: MESSAGE sip:romeo@example.net SIP/2.0\n");
    let (_, second) = launched(&out);
    // This one is at work: that it never comes to an end is the answer.
    assert_eq!(told(&desk.receive(&response(&second, 100))), "response 100\n");
    assert!(timed(&desk.wait(32_000)).ends_with("failed Timeout\n"));
    desk.rests();
}

/// RFC 7247 §7: what is not there is another error than what is not known.
#[test]
fn look_ups_that_lead_nowhere() {
    for (failure, why) in [
        (dns::Failure::NoName, "failed Nowhere\n"),
        (dns::Failure::Failed, "failed Unknown\n"),
        (dns::Failure::Timeout, "failed Unknown\n"),
    ] {
        let mut desk = Desk::new();
        desk.agent.request(desk.now, ours(Method::Message), &named("example.net").into(), None).expect("begun");
        let mut out = desk.drain();
        while let [Output::Locate { id, .. }] = out.as_slice() {
            let id = *id;
            out = desk.looked(id, &Answer::none(failure));
        }
        assert_eq!(told(&out), why, "{failure}");
        assert_eq!(desk.agent.counts().lookup_failures, 1);
        desk.rests();
    }
    let mut desk = Desk::new();
    let secure = Place { secure: true, transport: None, ..named("192.0.2.1") };
    let refused = desk.agent.request(desk.now, ours(Method::Message), &secure.into(), None);
    assert_eq!(refused.err(), Some(Refused::NoTransport), "RFC 3261 §26.2.2: TLS or nothing");
    let mut request = ours(Method::Message);
    request.uri = crate::Uri::parse("sips:romeo@example.net").expect("a URI");
    let refused = desk.agent.request(desk.now, request, &target(Transport::Tcp).into(), None);
    assert_eq!(refused.err(), Some(Refused::NoTransport));
    desk.rests();
}

#[derive(Debug)]
struct Nothing;

impl Fence for Nothing {
    fn may_lead_to(&self, target: &Target) -> bool {
        !target.remote.ip().is_loopback() && target.remote.port() != 5062
    }
}

/// Where others lead to counts only outside of the fence.
#[test]
fn nobody_leads_us_inward() {
    let mut desk = Desk::new();
    desk.agent.set_fence(Arc::new(Nothing));
    for (foreign, address, port) in
        [(true, "127.0.0.1", 5060), (false, "127.0.0.1", 5060), (true, "192.0.2.1", 5062), (true, "192.0.2.1", 5060)]
    {
        let place = Place { foreign, port: Some(port), ..named("inside.example.net") };
        desk.agent.request(desk.now, ours(Method::Message), &place.into(), None).expect("begun");
        let (asked, _) = question(&desk.drain());
        let says = match foreign && (address, port) != ("192.0.2.1", 5060) {
            true => "failed Nowhere\n".to_owned(),
            false => format!("to {address}:{port}: MESSAGE sip:romeo@example.net SIP/2.0\n"),
        };
        assert_eq!(told(&desk.looked(asked, &found(address))), says);
    }
    desk.rests();
}

fn fork(contacts: &[(&str, u16)]) -> Hop {
    let branches = contacts.iter().map(|(ip, q)| Branch {
        uri: crate::Uri::parse(&format!("sip:phone@{ip}")).expect("a URI"),
        route: (*q == 500).then(|| "<sip:edge.example.net;lr>".into()),
        q: *q,
        next: Next::Target(Target::new(Transport::Tcp, SocketAddr::new(ip.parse().expect("an address"), 5060))),
    });
    Hop::Fork(branches.collect())
}

fn texts(outputs: &[Output]) -> Vec<String> {
    let sent = outputs.iter().filter_map(|output| match output {
        Output::Send { client: Some(_), bytes, .. } => Some(text(bytes)),
        _ => None,
    });
    sent.collect()
}

/// RFC 3261 §16.6, §16.7: all at once, and who answers has it; the others are cancelled, and a second 2xx is told of.
#[test]
fn a_fork_has_one_answer() {
    let mut desk = Desk::new();
    let id =
        desk.agent.request(desk.now, ours(Method::Invite), &fork(&[("192.0.2.1", 1000), ("192.0.2.2", 1000)]), None);
    let id = id.expect("begun");
    let out = desk.drain();
    assert_eq!(
        told(&out),
        "to 192.0.2.1:5060: INVITE sip:phone@192.0.2.1 SIP/2.0\nto 192.0.2.2:5060: INVITE sip:phone@192.0.2.2 SIP/2.0\n"
    );
    let calls = texts(&out);
    assert_eq!(told(&desk.receive(&response(&calls[0], 180))), "response 180\n");
    assert_eq!(told(&desk.receive(&response(&calls[1], 180))), "response 180\n");
    let out = desk.receive(&response(&calls[1], 200));
    assert_eq!(told(&out), "to 192.0.2.1:5060: CANCEL sip:phone@192.0.2.1 SIP/2.0\nresponse 200\n");
    assert!(out.iter().any(|output| matches!(output, Output::Response { id: of, .. } if *of == id)));
    // The CANCEL crosses a 2xx: another dialog, for the layer above to end.
    let out = desk.receive(&response(&calls[0], 200));
    assert!(matches!(out.as_slice(), [Output::Response { id: of, .. }] if *of == id), "{}", told(&out));
    desk.rests();
}

/// RFC 3261 §16.7 step 6.
#[test]
fn the_best_refusal_is_the_answer() {
    let cases: [(&[u16], u16); 6] = [
        (&[404, 486], 404),
        (&[500, 404], 404),
        (&[408, 486], 486),
        (&[603, 404], 603),
        (&[486, 401], 401),
        (&[302, 486], 302),
    ];
    for (codes, best) in cases {
        let mut desk = Desk::new();
        let contacts: Vec<(String, u16)> = (1..=codes.len()).map(|n| (format!("192.0.2.{n}"), 1000)).collect();
        let contacts: Vec<(&str, u16)> = contacts.iter().map(|(ip, q)| (ip.as_str(), *q)).collect();
        desk.agent.request(desk.now, ours(Method::Invite), &fork(&contacts), None).expect("begun");
        let calls = texts(&desk.drain());
        let mut said = Vec::new();
        for (call, code) in calls.iter().zip(codes) {
            said.extend(desk.receive(&response(call, *code)));
        }
        let responses = said.iter().filter_map(|output| match output {
            Output::Response { response, .. } => Some(response.code),
            _ => None,
        });
        assert_eq!(responses.collect::<Vec<_>>(), [best], "{codes:?}");
        desk.rests();
    }
}

/// RFC 3261 §16.6: those of lower preference when the others have refused; RFC 3327: by their path.
#[test]
fn preferences_one_after_the_other() {
    let mut desk = Desk::new();
    let hop = fork(&[("192.0.2.2", 500), ("192.0.2.1", 1000)]);
    let id = desk.agent.request(desk.now, ours(Method::Message), &hop, None).expect("begun");
    let out = desk.drain();
    assert_eq!(told(&out), "to 192.0.2.1:5060: MESSAGE sip:phone@192.0.2.1 SIP/2.0\n");
    let out = desk.receive(&response(&texts(&out)[0], 480));
    assert_eq!(told(&out), "to 192.0.2.2:5060: MESSAGE sip:phone@192.0.2.2 SIP/2.0\n");
    let second = &texts(&out)[0];
    assert!(second.contains("\r\nRoute: <sip:edge.example.net;lr>\r\n"), "{second}");
    let out = desk.receive(&response(second, 404));
    let [Output::Response { id: of, response }] = out.as_slice() else { panic!("{}", told(&out)) };
    assert_eq!((*of, response.code), (id, 404));
    desk.rests();
}

/// RFC 3261 §9.1 for all attempts; what nobody has heard of yet ends at once.
#[test]
fn a_cancelled_request_tries_nobody_else() {
    let mut desk = Desk::new();
    let (id, out) = desk.routed(Method::Invite, &[(1, "a"), (2, "b")]);
    let (_, call) = launched(&out);
    desk.receive(&response(&call, 180));
    desk.agent.cancel(desk.now, id, &[]);
    assert_eq!(told(&desk.drain()), "to 192.0.2.1:5060: CANCEL sip:romeo@example.net SIP/2.0\n");
    let out = desk.receive(&response(&call, 503));
    assert_eq!(told(&out), "to 192.0.2.1:5060: ACK sip:romeo@example.net SIP/2.0\nresponse 503\n");
    desk.rests();
    let id = desk.agent.request(desk.now, ours(Method::Invite), &named("example.net").into(), None).expect("begun");
    let (asked, _) = question(&desk.drain());
    desk.agent.cancel(desk.now, id, &[]);
    assert_eq!(told(&desk.drain()), "response 487\n");
    assert_eq!(told(&desk.looked(asked, &srv(&[(1, "a")]))), "");
    desk.rests();
}

/// RFC 3261 §22.2: once more with credentials and the next number; wrong ones are given once.
#[test]
fn a_challenge_is_answered() {
    const ACCOUNT: AccountId = AccountId(5);
    const CHALLENGE: &str =
        "WWW-Authenticate: Digest realm=\"example.net\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"\n";
    let challenge = |of: &str| {
        let refusal = response(of, 401);
        refusal.replace("Content-Length", &format!("{CHALLENGE}Content-Length"))
    };
    let mut desk = Desk::new();
    desk.agent.wallet_mut().set(ACCOUNT, Account::new("juliet", "secret"));
    let place = Place { account: Some(ACCOUNT), ..named("example.net") };
    let (id, out) = desk.routed_to(Method::Message, &[(1, "a")], &place);
    let (_, first) = launched(&out);
    assert!(!first.contains("Authorization"));
    let out = desk.receive(&challenge(&first));
    let (_, second) = launched(&out);
    assert!(second.contains("\r\nCSeq: 2 MESSAGE\r\n") && second.contains("\r\nAuthorization: Digest "), "{second}");
    assert_ne!(branch(&first), branch(&second));
    let out = desk.receive(&response(&second, 200));
    let [Output::Response { id: of, response: accepted }] = out.as_slice() else { panic!("{}", told(&out)) };
    assert_eq!((*of, accepted.headers.cseq().map(|cseq| cseq.number)), (id, Ok(2)));
    // What is known is said at once.
    let (_, out) = desk.routed_to(Method::Message, &[(1, "a")], &place);
    let (_, third) = launched(&out);
    assert!(third.contains("\r\nCSeq: 1 MESSAGE\r\n") && third.contains("nc=00000002"), "{third}");
    let out = desk.receive(&challenge(&third));
    let (_, fourth) = launched(&out);
    assert_eq!(told(&desk.receive(&challenge(&fourth))), "response 401\n", "wrong credentials are not said again");
    desk.rests();
}

/// RFC 3261 §18.1.1: what is larger than a datagram goes by TCP, and by UDP where nobody listens for that.
#[test]
fn large_requests_go_by_tcp() {
    let mut desk = Desk::new();
    let mut large = ours(Method::Message);
    large.body = Bytes::from(vec![b'x'; 1300]);
    let hop = Hop::from(target(Transport::Udp));
    desk.agent.request(desk.now, large.clone(), &hop, None).expect("begun");
    let (first, bytes) = launched(&desk.drain());
    assert!(bytes.contains("Via: SIP/2.0/TCP "));
    let (_, bytes) = launched(&desk.fail(first));
    assert!(bytes.contains("Via: SIP/2.0/UDP "));
    assert_eq!(told(&desk.receive(&response(&bytes, 200))), "response 200\n");
    // That is remembered.
    desk.agent.request(desk.now, large.clone(), &hop, None).expect("begun");
    let (_, bytes) = launched(&desk.drain());
    assert!(bytes.contains("Via: SIP/2.0/UDP "));
    desk.receive(&response(&bytes, 200));
    desk.rests();
    // An answer is an answer, whatever it was sent by; and without TCP there is no choice.
    desk.wait(100_000);
    desk.agent.request(desk.now, large.clone(), &hop, None).expect("begun");
    let (_, bytes) = launched(&desk.drain());
    assert!(bytes.contains("Via: SIP/2.0/TCP "));
    assert_eq!(told(&desk.receive(&response(&bytes, 503))), "response 503\n");
    desk.rests();
    let sent_by = config().sent_by[..1].to_vec();
    let mut desk = Desk::with(Config { sent_by, ..config() });
    desk.agent.request(desk.now, large, &hop, None).expect("begun");
    assert!(launched(&desk.drain()).1.contains("Via: SIP/2.0/UDP "));
    desk.rests();
}

/// Credentials that make a request larger than a datagram, and nobody there who listens for TCP: the first count of a nonce is the first that is seen.
#[test]
fn credentials_that_did_not_go_out_count_as_new() {
    const ACCOUNT: AccountId = AccountId(5);
    const CHALLENGE: &str = "Proxy-Authenticate: Digest realm=\"example.net\", nonce=\"n1\", qop=\"auth\"\n";
    let challenge = |of: &str| response(of, 407).replace("Content-Length", &format!("{CHALLENGE}Content-Length"));
    let mut desk = Desk::new();
    desk.agent.wallet_mut().set(ACCOUNT, Account::new("juliet", "secret"));
    let mut large = ours(Method::Message);
    large.body = Bytes::from(vec![b'x'; 900]);
    let place =
        Place { account: Some(ACCOUNT), port: Some(5060), transport: Some(Transport::Udp), ..named("192.0.2.7") };
    desk.agent.request(desk.now, large, &place.into(), None).expect("begun");
    let (_, first) = launched(&desk.drain());
    let (second, bytes) = launched(&desk.receive(&challenge(&first)));
    assert!(bytes.contains("Via: SIP/2.0/TCP ") && bytes.contains("nc=00000001"), "{bytes}");
    let (_, bytes) = launched(&desk.fail(second));
    assert!(bytes.contains("Via: SIP/2.0/UDP ") && bytes.contains("nc=00000001"), "{bytes}");
    assert_eq!(told(&desk.receive(&challenge(&bytes))), "response 407\n", "wrong credentials are not said again");
    desk.rests();
}

/// Our Contact is where we are by the transport that the request goes by.
#[test]
fn the_contact_follows_the_transport() {
    let mut desk = Desk::new();
    let mut invite = ours(Method::Invite);
    invite.headers.push(Name::Contact, "<sip:juliet@gw.example.com>");
    desk.agent
        .request(desk.now, invite, &Place { port: Some(5070), ..named("192.0.2.7") }.into(), None)
        .expect("begun");
    let (_, bytes) = launched(&desk.drain());
    assert!(bytes.contains("\r\nContact: <sip:juliet@gw.example.com;transport=tcp>\r\n"), "{bytes}");
    let mut foreign = ours(Method::Invite);
    foreign.headers.push(Name::Contact, "<sip:juliet@example.com>");
    desk.agent.request(desk.now, foreign, &named("192.0.2.7").into(), None).expect("begun");
    assert!(launched(&desk.drain()).1.contains("\r\nContact: <sip:juliet@example.com>\r\n"));
    desk.rests();
}

/// RFC 3261 §13.2.2.4: the ACK for a 2xx finds its own way.
#[test]
fn an_ack_is_looked_up_as_well() {
    let mut desk = Desk::new();
    desk.agent.ack(desk.now, ours(Method::Ack), &named("example.net").into()).expect("begun");
    let (asked, _) = question(&desk.drain());
    let out = desk.looked(asked, &srv(&[(1, "a")]));
    let out = desk.addresses(out);
    assert_eq!(told(&out), "to 192.0.2.1:5060: ACK sip:romeo@example.net SIP/2.0\n");
    let refused = desk.agent.ack(desk.now, ours(Method::Ack), &Place { secure: true, ..named("192.0.2.1") }.into());
    assert_eq!(refused, Err(Refused::NoTransport));
    desk.rests();
}

/// RFC 5626 §5.3: a request that is for one connection has no other way.
#[test]
fn a_flow_that_fails() {
    let mut desk = Desk::new();
    let flow = |connection| Target { flow: Some(connection), ..target(Transport::Tcp) };
    for connection in [7, 8, 9] {
        desk.agent.request(desk.now, ours(Method::Message), &flow(connection).into(), None).expect("sent");
    }
    desk.drain();
    desk.agent.flow_failed(desk.now, 8);
    assert_eq!(told(&desk.drain()), "failed Transport\n");
    desk.agent.connection_failed(desk.now, &target(Transport::Tcp), vec![]);
    assert_eq!(told(&desk.drain()), "", "that is another connection");
    assert_eq!(desk.agent.counts().client_open, 2);
}

/// What was written over a connection that has gone may have come. A MESSAGE is not sent again then, neither to another server nor by UDP; what was
/// not written is, and what does no harm twice.
#[test]
fn what_may_have_come_does_not_come_twice() {
    let first = Target::new(Transport::Tcp, "192.0.2.1:5060".parse().expect("an address"));
    let mut desk = Desk::new();
    let (lost, _) = desk.routed(Method::Message, &[(1, "a"), (2, "b")]);
    desk.agent.connection_failed(desk.now, &first, vec![]);
    assert_eq!(told(&desk.drain()), "failed Transport\n");
    let (waits, _) = desk.routed(Method::Message, &[(1, "a"), (2, "b")]);
    assert_ne!(lost, waits);
    desk.agent.connection_failed(desk.now, &first, vec![waits]);
    let out = desk.drain();
    assert_eq!(told(&desk.addresses(out)), "to 192.0.2.2:5060: MESSAGE sip:romeo@example.net SIP/2.0\n");
    let mut desk = Desk::new();
    desk.routed(Method::Subscribe, &[(1, "a"), (2, "b")]);
    desk.agent.connection_failed(desk.now, &first, vec![]);
    let out = desk.drain();
    assert_eq!(told(&desk.addresses(out)), "to 192.0.2.2:5060: SUBSCRIBE sip:romeo@example.net SIP/2.0\n");
}
