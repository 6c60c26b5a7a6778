use super::*;
use crate::bencode::Value;
use crate::{Exchange, Rewriting};
use proptest::prelude::*;

fn address(n: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], n))
}

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A client with so many servers, whose first pings are answered.
fn client(servers: u16) -> Client {
    let config = Config { servers: (1..=servers).map(address).collect(), asks: 4, ..Config::default() };
    let mut client = Client::new(config, Tokens::seeded(1));
    client.timeout(Time::ZERO);
    for (to, cookie, _) in sent(&mut client) {
        client.received(Time::ZERO, to, format!("{cookie} d6:result4:ponge").as_bytes());
    }
    assert_eq!(client.waiting(), 0);
    client
}

fn offer(sdp: &str) -> Request {
    let exchange = Exchange {
        call: "call".into(),
        from: "a".into(),
        to: Some("b".into()),
        sdp: sdp.into(),
        rewriting: Rewriting::default(),
    };
    Request::Offer(Box::new(exchange))
}

/// What goes out: where to, the cookie, the command.
fn sent(client: &mut Client) -> Vec<(SocketAddr, String, String)> {
    let mut sent = Vec::new();
    while let Some(output) = client.poll() {
        let Output::Send { to, bytes } = output else { panic!("{output:?}") };
        let (cookie, document) = split(&bytes).unwrap();
        let command = Value::parse(document).unwrap().get("command").unwrap().as_str().unwrap().to_owned();
        sent.push((to, cookie.to_owned(), command));
    }
    sent
}

fn only(client: &mut Client) -> (SocketAddr, String) {
    let mut sent = sent(client);
    assert_eq!(sent.len(), 1, "{sent:?}");
    sent.pop().map(|(to, cookie, _)| (to, cookie)).unwrap()
}

fn answer(client: &mut Client, now: Time, from: SocketAddr, cookie: &str, document: &str) {
    client.received(now, from, format!("{cookie} {document}").as_bytes());
}

/// A command that went out: when, in milliseconds, and to whom.
type Sent = (u64, u16, String);

/// How something ended, and who was asked last.
type Ended = (u16, Result<Vec<u8>, Failure>);

/// Everything until `until`: the commands that went out, and how what was asked ended.
fn run(client: &mut Client, until: Time) -> (Vec<Sent>, Vec<Ended>) {
    let (mut sent, mut done) = (Vec::new(), Vec::new());
    while let Some(at) = client.deadline().filter(|at| *at <= until) {
        client.timeout(at);
        while let Some(output) = client.poll() {
            match output {
                Output::Send { to, bytes } => {
                    let document = Value::parse(split(&bytes).unwrap().1).unwrap();
                    let command = document.get("command").unwrap().as_str().unwrap().to_owned();
                    sent.push((at.as_micros() / 1000, to.port(), command));
                }
                Output::Done { server, result, .. } => done.push((server.port(), result)),
            }
        }
    }
    (sent, done)
}

const OK: &str = "d3:sdp3:v=06:result2:oke";

#[test]
fn an_offer_is_asked_again_until_it_is_answered() {
    let mut client = client(1);
    let id = client.ask(Time::ZERO, &offer("v=0"), None).unwrap();
    let (to, cookie) = only(&mut client);
    assert_eq!((to, client.deadline()), (address(1), Some(Time::ZERO + MS(300))));
    for (at, next) in [(300, 900), (900, 2100)] {
        client.timeout(Time::ZERO + MS(at));
        assert_eq!(only(&mut client), (address(1), cookie.clone()), "the same datagram");
        assert_eq!(client.deadline(), Some(Time::ZERO + MS(next)));
    }
    answer(&mut client, Time::ZERO + MS(1000), to, &cookie, OK);
    assert_eq!(client.poll(), Some(Output::Done { id, server: to, result: Ok(b"v=0".to_vec()) }));
    // It comes once more, as an answer to what was sent again.
    answer(&mut client, Time::ZERO + MS(1001), to, &cookie, OK);
    assert_eq!((client.poll(), client.waiting()), (None, 0));
    let counts = client.counts();
    assert_eq!((counts.asked, counts.granted, counts.repeated, counts.stray), (1, 1, 2, 1));
    assert_eq!(client.health(), [Health { server: to, up: true, round_trip: Some(MS(1000)) }]);
}

#[test]
fn who_is_silent_is_down_and_another_is_asked() {
    let mut client = client(3);
    client.ask(Time::ZERO, &offer("v=0"), None).unwrap();
    assert_eq!(only(&mut client).0, address(1));
    let (sent, done) = run(&mut client, Time::ZERO + MS(6400));
    let offers: Vec<_> = sent.iter().filter(|(.., command)| command == "offer").map(|(at, to, _)| (*at, *to)).collect();
    let forgotten: Vec<_> =
        sent.iter().filter(|(.., command)| command == "delete").map(|(at, to, _)| (*at, *to)).collect();
    assert_eq!(forgotten[..3], [(2100, 1), (2400, 1), (3000, 1)], "it may have heard of it all the same");
    assert_eq!(offers, [(300, 1), (900, 1), (2100, 2), (2400, 2), (3000, 2), (4200, 3), (4500, 3), (5100, 3)]);
    assert_eq!(done, [(3, Err(Failure::Silent))]);
    assert!(client.health().iter().all(|health| !health.up));
    assert_eq!((client.counts().moved, client.counts().failed), (2, 1));
}

#[test]
fn a_server_that_is_down_gets_no_call_where_another_is_up() {
    let mut client = client(2);
    client.ask(Time::ZERO, &offer("v=0"), None).unwrap();
    client.timeout(Time::ZERO + MS(300));
    client.timeout(Time::ZERO + MS(900));
    client.timeout(Time::ZERO + MS(2100));
    sent(&mut client);
    client.ask(Time::ZERO + MS(2100), &offer("v=0"), None).unwrap();
    assert_eq!(only(&mut client).0, address(2));
    // Its next ping finds that it is back.
    let (sent, _) = run(&mut client, Time::from_secs(12));
    assert!(sent.iter().any(|(_, to, command)| *to == 1 && command == "ping"), "{sent:?}");
}

#[test]
fn pings_go_on_as_long_as_there_is_a_server() {
    let mut client = client(1);
    let (sent, _) = run(&mut client, Time::from_secs(30));
    let at: Vec<u64> = sent.iter().map(|(at, ..)| *at).collect();
    // Down at 12.1 s, then every three seconds and what it takes to be sure.
    assert_eq!(at, [10_000, 10_300, 10_900, 15_100, 15_400, 16_000, 20_200, 20_500, 21_100, 25_300, 25_600, 26_200]);
    client.reconfigure(Config::default());
    assert_eq!(client.ask(Time::from_secs(31), &offer("v=0"), None), Err(Failure::None));
    assert_eq!(run(&mut client, Time::from_secs(300)).0.len(), 0);
}

#[test]
fn what_is_about_a_call_is_asked_of_the_server_that_has_it_and_no_other() {
    let mut client = client(2);
    client.ask(Time::ZERO, &Request::Query { call: "call".into() }, Some(address(2))).unwrap();
    assert_eq!(only(&mut client).0, address(2));
    assert_eq!(run(&mut client, Time::ZERO + MS(2100)).1, [(2, Err(Failure::Silent))]);

    // A server that has left the list still has its calls.
    client.ask(Time::from_secs(3), &Request::Delete { call: "call".into() }, Some(address(9))).unwrap();
    let (to, cookie) = only(&mut client);
    answer(&mut client, Time::from_secs(3), to, &cookie, "d6:result5:error12:error-reason15:Unknown call-ide");
    let Some(Output::Done { result, .. }) = client.poll() else { panic!("over") };
    assert_eq!(result, Ok(Vec::new()), "forgotten it is");
}

#[test]
fn who_is_full_gets_no_more_calls_for_a_while() {
    let mut client = client(2);
    client.ask(Time::ZERO, &offer("v=0"), None).unwrap();
    let (to, cookie) = only(&mut client);
    answer(&mut client, Time::ZERO, to, &cookie, "d6:result10:load limite");
    let (to, cookie) = only(&mut client);
    assert_eq!(to, address(2));
    answer(&mut client, Time::ZERO, to, &cookie, "d6:result10:load limite");
    let Some(Output::Done { result, .. }) = client.poll() else { panic!("over") };
    assert_eq!(result, Err(Failure::Full));
    assert!(client.health().iter().all(|health| health.up));
    client.ask(Time::from_secs(4), &offer("v=0"), None).unwrap();
    assert_eq!(only(&mut client).0, address(1), "both are full: the first may have room again");
    client.ask(Time::from_secs(6), &offer("v=0"), None).unwrap();
    assert_eq!(only(&mut client).0, address(1));
}

#[test]
fn what_the_answers_mean() {
    let query = || Request::Query { call: "call".into() };
    let unknown = "d6:result5:error12:error-reason15:Unknown call-ide";
    let refused = "d6:result5:error12:error-reason14:No SDP in heree";
    for (request, document, result) in [
        (offer("v=0"), OK, Ok(b"v=0".to_vec())),
        (offer("v=0"), "d6:result2:oke", Err(Failure::Garbled)),
        (offer("v=0"), "d6:result4:ponge", Err(Failure::Garbled)),
        (offer("v=0"), "HTTP/1.1 200 OK", Err(Failure::Garbled)),
        (offer("v=0"), "", Err(Failure::Garbled)),
        (offer("v=0"), unknown, Err(Failure::Unknown)),
        (offer("v=0"), refused, Err(Failure::Refused("No SDP in here".to_owned()))),
        (query(), "d6:result2:oke", Ok(Vec::new())),
        (query(), unknown, Err(Failure::Unknown)),
        (query(), refused, Err(Failure::Refused("No SDP in here".to_owned()))),
    ] {
        let mut client = client(1);
        client.ask(Time::ZERO, &request, None).unwrap();
        let (to, cookie) = only(&mut client);
        answer(&mut client, Time::ZERO, to, &cookie, document);
        let got = std::iter::from_fn(|| client.poll()).find_map(|output| match output {
            Output::Done { result, .. } => Some(result),
            Output::Send { .. } => None,
        });
        assert_eq!(got, Some(result), "{document}");
        assert_eq!(client.health()[0].up, document.starts_with('d'), "{document}");
    }
}

#[test]
fn no_ports_here_may_be_ports_there() {
    let mut client = client(2);
    client.ask(Time::ZERO, &offer("v=0"), None).unwrap();
    let (to, cookie) = only(&mut client);
    answer(&mut client, Time::ZERO, to, &cookie, "d6:result5:error12:error-reason16:Ran out of portse");
    assert_eq!(only(&mut client).0, address(2));
}

#[test]
fn nobody_answers_for_another() {
    let mut client = client(2);
    client.ask(Time::ZERO, &offer("v=0"), None).unwrap();
    let (_, cookie) = only(&mut client);
    let bare = cookie.as_bytes();
    for (from, datagram) in [
        (address(2), format!("{cookie} {OK}").into_bytes()),
        (address(7), format!("{cookie} {OK}").into_bytes()),
        (address(1), format!("{} {OK}", &cookie[1..]).into_bytes()),
        (address(1), format!("x{} {OK}", &cookie[1..]).into_bytes()),
        (address(1), format!("{cookie}{OK}").into_bytes()),
        (address(1), bare.to_vec()),
        (address(1), Vec::new()),
        (address(1), vec![0xff; 60_000]),
    ] {
        client.received(Time::ZERO, from, &datagram);
        assert_eq!((client.poll(), client.waiting()), (None, 1));
    }
    assert_eq!(client.counts().stray, 8);
    answer(&mut client, Time::ZERO, address(1), &cookie, OK);
    assert!(matches!(client.poll(), Some(Output::Done { result: Ok(_), .. })));
}

#[test]
fn what_waits_is_bounded() {
    let mut client = client(1);
    assert_eq!(client.ask(Time::ZERO, &offer(&"x".repeat(65_507)), None), Err(Failure::TooLong));
    for _ in 0..4 {
        client.ask(Time::ZERO, &offer("v=0"), None).unwrap();
    }
    assert_eq!(client.ask(Time::ZERO, &offer("v=0"), None), Err(Failure::Busy));
    assert_eq!(client.ask(Time::ZERO, &Request::Delete { call: "c".into() }, None), Err(Failure::Busy));
    run(&mut client, Time::ZERO + MS(2100));
    run(&mut client, Time::from_secs(30));
    let delete = |client: &mut Client| client.ask(Time::from_secs(30), &Request::Delete { call: "c".into() }, None);
    assert!(delete(&mut client).is_ok() && delete(&mut client).is_ok());
    assert_eq!(delete(&mut client), Err(Failure::Busy), "the rest is for who waits");
    let id = client.ask(Time::from_secs(30), &offer("v=0"), None).unwrap();
    client.config.bytes = 1000;
    assert_eq!(client.ask(Time::from_secs(30), &offer(&"x".repeat(1000)), None), Err(Failure::Busy));
    client.cancel(id);
    client.reconfigure(Config::default());
    assert_eq!(run(&mut client, Time::from_secs(60)).1, [(1, Err(Failure::Silent)), (1, Err(Failure::Silent))]);
    assert_eq!(client.bytes, 0);
    assert!(client.cookies.is_empty());
}

#[test]
fn what_a_request_says() {
    let Request::Offer(mut exchange) = offer("v=0") else { panic!("an offer") };
    exchange.rewriting = Rewriting { protocol: Some("RTP/AVP"), ..Rewriting::default() };
    let document = Request::Offer(exchange).to_value().to_bytes();
    assert_eq!(
        String::from_utf8(document).unwrap(),
        "d7:command5:offer7:call-id4:call8:from-tag1:a6:to-tag1:b3:sdp3:v=03:ICE6:remove4:DTLS3:off12:DTLS-reverse7:passive4:SDESl3:offe\
         18:transport-protocol7:RTP/AVP5:flagsl13:trust-addresse7:replacel18:session-connectione\
         8:supportsl10:load limitee"
    );
}

proptest! {
    /// Whatever the servers say and whenever, each request ends once, and nothing is left of it.
    #[test]
    fn each_request_ends_once(steps in proptest::collection::vec((0u8..6, 1u16..4, 0u64..1500), 1..60)) {
        let config = Config { servers: (1..4).map(address).collect(), asks: 50, ..Config::default() };
        let mut client = Client::new(config, Tokens::seeded(3));
        let (mut now, mut open) = (Time::ZERO, Vec::new());
        let mut cookies: Vec<(SocketAddr, String)> = Vec::new();
        for (what, server, wait) in steps {
            match what {
                0 => open.extend(client.ask(now, &offer("v=0"), None).ok()),
                1 => open.extend(client.ask(now, &Request::Query { call: "c".into() }, Some(address(server))).ok()),
                2 => now = now + MS(wait),
                _ => {
                    let document = ["d6:result2:oke", OK, "d6:result10:load limite", "rubbish"][usize::from(server)];
                    if let Some((to, cookie)) = cookies.pop() {
                        answer(&mut client, now, to, &cookie, document);
                    }
                }
            }
            client.timeout(now);
            while let Some(output) = client.poll() {
                match output {
                    Output::Send { to, bytes } => cookies.push((to, split(&bytes).unwrap().0.to_owned())),
                    Output::Done { id, .. } => {
                        let place = open.iter().position(|open| *open == id);
                        prop_assert!(place.is_some(), "ended twice");
                        open.remove(place.unwrap());
                    }
                }
            }
        }
        client.reconfigure(Config::default());
        while let Some(at) = client.deadline() {
            client.timeout(at);
            while let Some(output) = client.poll() {
                if let Output::Done { id, .. } = output {
                    open.retain(|open| *open != id);
                }
            }
        }
        prop_assert!(open.is_empty() && client.waiting() == 0 && client.bytes == 0 && client.cookies.is_empty());
    }
}
