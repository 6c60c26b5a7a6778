//! What the gateway asks media relays, asked of rtpengine: that it understands every word, and makes of descriptions what the gateway expects.

use base::{Time, Tokens};
use bodies::sdp::rtp::{Candidate, Crypto, Value as _};
use bodies::sdp::{Address, Direction, Host, Sdp};
use ng::{AskId, Client, Config, Dtls, Exchange, Failure, Ice, Mux, Output, Request, Rewriting, Sdes};
use rehearsal::peers::{Place, Rtpengine};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// A client on a socket, as a shard has one.
struct Asker {
    client: Client,
    socket: UdpSocket,
    began: Instant,
}

impl Asker {
    fn new(place: &Place, servers: Vec<SocketAddr>) -> Asker {
        let config = Config { servers, ping_down: Duration::from_millis(500), ..Config::default() };
        let socket = UdpSocket::bind((place.ip(), 0)).expect("a socket of the place");
        Asker { client: Client::new(config, Tokens::seeded(1)), socket, began: Instant::now() }
    }

    fn now(&self) -> Time {
        Time::from_micros(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Lets the client work until `done` says so.
    fn run<T>(&mut self, mut done: impl FnMut(&Client, Option<&Output>) -> Option<T>) -> T {
        let mut buffer = vec![0; 65_536];
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            assert!(Instant::now() < until, "rtpengine takes too long: {:?}", self.client);
            let now = self.now();
            self.client.timeout(now);
            while let Some(output) = self.client.poll() {
                match &output {
                    Output::Send { to, bytes } => drop(self.socket.send_to(bytes, to)),
                    Output::Done { .. } => {
                        if let Some(value) = done(&self.client, Some(&output)) {
                            return value;
                        }
                    }
                }
            }
            if let Some(value) = done(&self.client, None) {
                return value;
            }
            let wait = self.client.deadline().map_or(Duration::from_millis(50), |at| at.since(self.now()));
            let wait = wait.clamp(Duration::from_millis(1), Duration::from_millis(50));
            self.socket.set_read_timeout(Some(wait)).expect("never nothing");
            match self.socket.recv_from(&mut buffer) {
                Ok((len, from)) => self.client.received(self.now(), from, &buffer[..len]),
                // Nobody is there: the client's timers will see.
                Err(e) => assert!(
                    matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused),
                    "{e}"
                ),
            }
        }
    }

    fn ask(&mut self, request: &Request, server: Option<SocketAddr>) -> (SocketAddr, Result<Vec<u8>, Failure>) {
        let asked: AskId = self.client.ask(self.now(), request, server).expect("little is asked");
        self.run(|_, output| match output? {
            Output::Done { id, server, result } if *id == asked => Some((*server, result.clone())),
            Output::Done { .. } | Output::Send { .. } => None,
        })
    }

    /// A description on its way through.
    fn pass(&mut self, call: &str, [from, to]: [&str; 2], offer: bool, sdp: &str, rewriting: Rewriting) -> Sdp {
        let exchange = Exchange {
            call: call.into(),
            from: from.into(),
            to: Some(to.into()),
            sdp: sdp.as_bytes().to_vec(),
            rewriting,
        };
        let request = if offer { Request::Offer(exchange.into()) } else { Request::Answer(exchange.into()) };
        let (_, result) = self.ask(&request, None);
        let sdp = result.expect("a description is granted");
        Sdp::parse(&sdp).expect("what comes back is one")
    }
}

/// As the gateway has descriptions made for Jingle clients.
fn towards_xmpp() -> Rewriting {
    Rewriting {
        ice: Ice::Force,
        dtls: Dtls::Passive,
        sdes: Sdes::Off,
        mux: Some(Mux::Offer),
        protocol: Some("UDP/TLS/RTP/SAVPF"),
        trickle: true,
        mid: true,
        interfaces: None,
    }
}

/// As it has them made for telephones without ICE.
fn towards_sip(sdes: Sdes) -> Rewriting {
    let protocol = Some(if sdes == Sdes::On { "RTP/SAVP" } else { "RTP/AVP" });
    Rewriting { sdes, mux: Some(Mux::Demux), protocol, ..Rewriting::default() }
}

fn of_phone(place: &Place, rest: &str) -> String {
    let ip = place.ip();
    format!(
        "v=0\r\no=romeo 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 101\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n{rest}"
    )
}

fn of_client(place: &Place, rest: &str) -> String {
    let (ip, print) = (place.ip(), ["4A"; 32].join(":"));
    format!(
        "v=0\r\no=juliet 1 1 IN IP4 {ip}\r\ns=-\r\nt=0 0\r\nm=audio 5000 UDP/TLS/RTP/SAVPF 0 101\r\nc=IN IP4 {ip}\r\n\
         a=mid:audio\r\na=rtcp-mux\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=ice-ufrag:abcd\r\n\
         a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 {print}\r\na=candidate:1 1 udp 2122260223 {ip} 5000 typ host\r\n{rest}"
    )
}

/// What a Jingle client needs.
fn assert_suits_client(sdp: &Sdp, place: &Place) {
    let audio = &sdp.media[0];
    assert_eq!(sdp.media.len(), 1, "{sdp:?}");
    assert_eq!((&*audio.kind, &*audio.protocol), ("audio", "UDP/TLS/RTP/SAVPF"));
    for name in ["ice-ufrag", "ice-pwd", "fingerprint", "setup", "rtcp-mux", "mid"] {
        assert!(sdp.attribute(audio, name).is_some(), "no {name}: {sdp:?}");
    }
    assert!(
        Candidate::all(&audio.attributes).any(|c| c.component == 1 && c.ip() == Some(place.ip().into())),
        "{sdp:?}"
    );
    assert!(Crypto::first(&audio.attributes).is_none(), "{sdp:?}");
    let formats: Vec<&str> = audio.formats.iter().map(|format| &**format).collect();
    assert_eq!(formats, ["0", "101"]);
}

/// What a telephone without ICE needs.
fn assert_suits_phone(sdp: &Sdp, protocol: &str, place: &Place) {
    let audio = &sdp.media[0];
    assert_eq!(sdp.media.len(), 1, "{sdp:?}");
    assert_eq!((&*audio.kind, &*audio.protocol), ("audio", protocol));
    assert_eq!(sdp.connection(audio).and_then(Address::host), Some(Host::Ip(place.ip().into())));
    for name in ["ice-ufrag", "ice-pwd", "fingerprint", "setup", "rtcp-mux", "candidate"] {
        assert!(sdp.attribute(audio, name).is_none(), "{name}: {sdp:?}");
    }
    assert!(audio.port > 0);
}

#[test]
fn a_plain_telephone_calls_a_client_holds_and_hangs_up() {
    let place = Place::new("relay");
    let relay = Rtpengine::start(&place);
    let mut asker = Asker::new(&place, vec![relay.control()]);
    let there = ["sip", "xmpp"];

    let offer = asker.pass("one", there, true, &of_phone(&place, ""), towards_xmpp());
    assert_suits_client(&offer, &place);
    assert_eq!(offer.setup(&offer.media[0]), Some(bodies::sdp::Setup::Actpass));
    let answer = asker.pass("one", there, false, &of_client(&place, "a=setup:active\r\n"), towards_sip(Sdes::Off));
    assert_suits_phone(&answer, "RTP/AVP", &place);
    assert_eq!(relay.calls(), 1);

    // Held, and the other way round: the ports stay.
    let held = asker.pass("one", there, true, &of_phone(&place, "a=sendonly\r\n"), towards_xmpp());
    assert_suits_client(&held, &place);
    assert_eq!(held.direction(&held.media[0]), Direction::SendOnly);
    assert_eq!(held.media[0].port, offer.media[0].port);
    let ufrag = |sdp: &Sdp| sdp.attribute(&sdp.media[0], "ice-ufrag").cloned();
    assert_eq!(ufrag(&held), ufrag(&offer), "no restart of ICE");
    let answer2 =
        asker.pass("one", there, false, &of_client(&place, "a=setup:active\r\na=recvonly\r\n"), towards_sip(Sdes::Off));
    assert_eq!(answer2.direction(&answer2.media[0]), Direction::RecvOnly);
    assert_eq!(answer2.media[0].port, answer.media[0].port);
    let offer = of_client(&place, "a=setup:actpass\r\n");
    let back = asker.pass("one", ["xmpp", "sip"], true, &offer, towards_sip(Sdes::Off));
    assert_suits_phone(&back, "RTP/AVP", &place);
    let answer = asker.pass("one", ["xmpp", "sip"], false, &of_phone(&place, ""), towards_xmpp());
    assert_suits_client(&answer, &place);

    assert_eq!(asker.ask(&Request::Query { call: "one".into() }, None).1, Ok(Vec::new()));
    assert_eq!(asker.ask(&Request::Delete { call: "one".into() }, None).1, Ok(Vec::new()));
    assert_eq!(relay.calls(), 0);
    assert_eq!(asker.ask(&Request::Query { call: "one".into() }, None).1, Err(Failure::Unknown));
    assert_eq!(asker.ask(&Request::Delete { call: "one".into() }, None).1, Ok(Vec::new()), "whatever was there");
}

#[test]
fn a_client_calls_telephones_that_are_plain_or_have_keys_in_descriptions() {
    let place = Place::new("relay");
    let relay = Rtpengine::start(&place);
    let mut asker = Asker::new(&place, vec![relay.control()]);
    let there = ["xmpp", "sip"];

    // Its candidates are not there yet, and that is no hold.
    let early = of_client(&place, "a=setup:actpass\r\na=ice-options:trickle\r\n");
    let early: Vec<&str> = early.lines().filter(|line| !line.starts_with("a=candidate")).collect();
    let early = early.join("\r\n").replace("m=audio 5000", "m=audio 9") + "\r\n";
    let early = early.replace(&format!("\r\nc=IN IP4 {}", place.ip()), "\r\nc=IN IP4 0.0.0.0");
    let offer = asker.pass("one", there, true, &early, towards_sip(Sdes::Off));
    assert_suits_phone(&offer, "RTP/AVP", &place);
    assert_eq!(offer.direction(&offer.media[0]), Direction::SendRecv);
    let answer = asker.pass("one", there, false, &of_phone(&place, ""), towards_xmpp());
    assert_suits_client(&answer, &place);
    assert_eq!(answer.setup(&answer.media[0]), Some(bodies::sdp::Setup::Passive), "where ICE leads is yet to be seen");

    let offer = asker.pass("two", there, true, &of_client(&place, "a=setup:actpass\r\n"), towards_sip(Sdes::On));
    assert_suits_phone(&offer, "RTP/SAVP", &place);
    let suites: Vec<Crypto> = Crypto::all(&offer.media[0].attributes).collect();
    assert!(suites.iter().any(|crypto| crypto.suite == "AES_CM_128_HMAC_SHA1_80"), "{suites:?}");
    assert!(suites.iter().all(|crypto| !crypto.suite.contains("NULL")), "in the clear: {suites:?}");
    let tag = suites.iter().find(|crypto| crypto.suite == "AES_CM_128_HMAC_SHA1_80").map(|crypto| crypto.tag).unwrap();
    let key = format!("a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n");
    let answer = of_phone(&place, &key).replace("RTP/AVP", "RTP/SAVP");
    assert_suits_client(&asker.pass("two", there, false, &answer, towards_xmpp()), &place);
    assert_eq!(relay.calls(), 2);
}

#[test]
fn what_is_no_description_is_refused_and_nothing_else() {
    let place = Place::new("relay");
    let relay = Rtpengine::start(&place);
    let mut asker = Asker::new(&place, vec![relay.control()]);
    let exchange = |sdp: &str| Exchange {
        call: "one".into(),
        from: "sip".into(),
        to: Some("xmpp".into()),
        sdp: sdp.as_bytes().to_vec(),
        rewriting: towards_xmpp(),
    };
    let (_, refused) = asker.ask(&Request::Offer(exchange("nothing like it").into()), None);
    assert!(matches!(refused, Err(Failure::Refused(_))), "{refused:?}");
    let answer = Request::Answer(exchange(&of_phone(&place, "")).into());
    assert_eq!(asker.ask(&answer, None).1, Err(Failure::Unknown), "to nothing that was offered");
    assert!(asker.client.health()[0].up);
    let stray = asker.client.counts().stray;
    assert_eq!(stray, 0, "what rtpengine says is understood");
}

#[test]
fn a_relay_is_killed_and_another_takes_the_next_call() {
    let place = Place::new("relay");
    let other = Place::new("relay");
    let (mut first, second) = (Rtpengine::start(&place), Rtpengine::start(&other));
    let servers = vec![first.control(), second.control()];
    let mut asker = Asker::new(&place, servers.clone());
    let offer = |call: &str| {
        let exchange = Exchange {
            call: call.into(),
            from: "sip".into(),
            to: Some("xmpp".into()),
            sdp: of_phone(&place, "").into_bytes(),
            rewriting: towards_xmpp(),
        };
        Request::Offer(exchange.into())
    };
    let query = |call: &str| Request::Query { call: call.into() };
    assert_eq!(asker.ask(&offer("one"), None).0, servers[0]);

    first.kill();
    let (at, result) = asker.ask(&offer("two"), None);
    assert_eq!((at, result.is_ok()), (servers[1], true));
    assert_eq!(asker.ask(&query("one"), Some(servers[0])).1, Err(Failure::Silent));
    assert_eq!(asker.ask(&query("two"), Some(servers[1])).1, Ok(Vec::new()));
    assert_eq!(asker.ask(&offer("three"), None).0, servers[1], "it is known to be down");

    first.restart(&place);
    asker.run(|client, _| client.health()[0].up.then_some(()));
    assert_eq!(asker.ask(&query("one"), Some(servers[0])).1, Err(Failure::Unknown));
    assert_eq!(asker.ask(&offer("four"), None).0, servers[0]);
    assert_eq!((first.calls(), second.calls()), (1, 2));
}
