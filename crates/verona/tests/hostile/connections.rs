//! SIP over TCP: those who say nothing, those who say it slowly, those who do not listen.

use crate::world::{PATIENCE, World, XMPP_DOMAIN, loopback};
use rehearsal::wire::SipText;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

async fn connect(from: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from, 0)).unwrap();
    socket.connect(to).await.unwrap()
}

/// Whether the other end closes within `patience`, whatever it says before.
async fn is_closed(stream: &mut TcpStream, patience: Duration) -> bool {
    let mut buffer = [0; 4096];
    timeout(patience, async { while matches!(stream.read(&mut buffer).await, Ok(n) if n > 0) {} }).await.is_ok()
}

/// THREATS 51: 500 connections, half of them silent and half of them with half a message, to which they add a byte now and then. Good
/// messages pass at once, and all 500 are closed when their time is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_and_slow_connections_disturb_nobody() {
    let mut world = World::spawn(XMPP_DOMAIN, "half_message = \"4s\"\nconnections_per_address = 64\n").await;
    let addresses: Vec<IpAddr> = (0..10).map(|_| loopback()).collect();
    let begun = Instant::now();
    let mut connections = JoinSet::new();
    for n in 0..500 {
        let mut stream = connect(addresses[n % 10], world.gateway.tcp).await;
        connections.spawn(async move {
            if n % 2 == 0 {
                let _ = stream.write_all(b"MESSAGE sip:nurse@xmpp.example.com SIP/2.0\r\nSubject: ").await;
            }
            let (mut read, mut write) = stream.into_split();
            let drip = async {
                while n % 2 != 0 || write.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            };
            let mut buffer = [0; 4096];
            let closed = async { while matches!(read.read(&mut buffer).await, Ok(n) if n > 0) {} };
            // Whichever notices first.
            timeout(PATIENCE, async {
                tokio::select! { () = drip => {}, () = closed => {} }
            })
            .await
            .is_ok()
        });
    }
    for _ in 0..5 {
        let start = Instant::now();
        world.baseline_from_sip(false).await;
        world.baseline_from_sip(true).await;
        world.baseline_from_xmpp().await;
        assert!(start.elapsed() < Duration::from_secs(3), "{:?} for three messages", start.elapsed());
    }
    while let Some(closed) = connections.join_next().await {
        assert!(closed.unwrap(), "a connection is still open after {:?}", begun.elapsed());
    }
    world.baseline_from_sip(true).await;
}

/// One address has its share of the connections, and no more; others have theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_has_its_share_of_connections() {
    let mut world = World::start(XMPP_DOMAIN, "connections_per_address = 8\n").await;
    let greedy = loopback();
    let mut taken = Vec::new();
    for n in 0..20 {
        let mut stream = connect(greedy, world.gateway.tcp).await;
        // RFC 5626 §4.4.1: who is served gets an answer to a ping.
        let _ = stream.write_all(b"\r\n\r\n").await;
        let mut pong = [0; 2];
        match timeout(PATIENCE, stream.read_exact(&mut pong)).await.expect("an answer or the end") {
            Ok(_) => taken.push(stream),
            Err(_) => assert!(n >= 8, "connection {n} is refused"),
        }
    }
    assert_eq!(taken.len(), 8);
    assert_eq!(world.gateway.metric("verona_sip_connections_refused_total"), 12.0);
    world.baseline_from_sip(true).await;
    // What one gives back another may have.
    taken.pop();
    let mut tries = 0;
    loop {
        let mut stream = connect(greedy, world.gateway.tcp).await;
        let _ = stream.write_all(b"\r\n\r\n").await;
        if timeout(PATIENCE, stream.read_exact(&mut [0; 2])).await.expect("an answer or the end").is_ok() {
            break;
        }
        tries += 1;
        assert!(tries < 1000, "the place of a closed connection stays taken");
    }
}

/// Fault 10: a peer that asks and asks and does not read the answers is closed; others go on meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_read_is_closed() {
    let mut world = World::start(XMPP_DOMAIN, "").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind(SocketAddr::new(loopback(), 0)).unwrap();
    let mut deaf = socket.connect(world.gateway.tcp).await.unwrap();
    let flood = tokio::spawn(async move {
        for n in 0..200_000 {
            let options = format!(
                "OPTIONS sip:xmpp.example.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.10;branch=z9hG4bKdeaf{n}\r\nMax-Forwards: 70\r\n\
                 From: <sip:romeo@sip.example.net>;tag=1\r\nTo: <sip:xmpp.example.com>\r\nCall-ID: deaf{n}\r\nCSeq: 1 OPTIONS\r\n\
                 Content-Length: 0\r\n\r\n"
            );
            match timeout(Duration::from_secs(15), deaf.write_all(options.as_bytes())).await {
                Ok(Ok(())) => {}
                // It was closed under our hands.
                Ok(Err(_)) => return Some(n),
                Err(_) => return None,
            }
        }
        None
    });
    let mut longest = Duration::ZERO;
    while !flood.is_finished() {
        let start = Instant::now();
        world.baseline_from_sip(true).await;
        world.baseline_from_xmpp().await;
        longest = longest.max(start.elapsed());
    }
    let asked = flood.await.unwrap();
    assert!(asked.is_some(), "it is served for ever");
    assert!(longest < Duration::from_secs(3), "others waited {longest:?}");
    world.baseline_from_sip(false).await;
}

/// What is no SIP is answered 400 where it can be, and the connection is closed in any case; who goes on sending is not read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_framing_closes_the_connection() {
    let mut world = World::start(XMPP_DOMAIN, "half_message = \"1s\"\n").await;
    let good = "MESSAGE sip:nurse@xmpp.example.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.10;branch=z9hG4bKf\r\nMax-Forwards: 70\r\n\
        From: <sip:romeo@sip.example.net>;tag=1\r\nTo: <sip:nurse@xmpp.example.com>\r\nCall-ID: f\r\nCSeq: 1 MESSAGE\r\n";
    let smuggled = format!("{good}Content-Length: 2\r\n\r\nhi");
    for (name, begin, code) in [
        ("two lengths", format!("{good}Content-Length: 0\r\nl: 2\r\n\r\n"), Some(400)),
        ("a list of lengths", format!("{good}Content-Length: 2, 0\r\n\r\n"), Some(400)),
        ("no length", format!("{good}\r\n"), Some(400)),
        ("a length beyond all bounds", format!("{good}Content-Length: 4294967298\r\n\r\n"), None),
        ("a bare line end", format!("{good}Subject: x\nContent-Length: 2\r\n\r\n"), Some(400)),
        ("HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), None),
        ("XMPP", "<?xml version='1.0'?><stream:stream>".to_owned(), None),
        ("a head without end", "X".repeat(100_000), None),
    ] {
        let mut stream = connect(loopback(), world.gateway.tcp).await;
        let _ = stream.write_all(format!("{begin}{smuggled}").as_bytes()).await;
        let mut answer = Vec::new();
        let end = timeout(Duration::from_secs(6), stream.read_to_end(&mut answer)).await;
        assert!(end.is_ok(), "{name}: the connection stays open");
        let seen = SipText::parse(&answer).and_then(|a| a.status());
        assert!(seen == code || code.is_none() && matches!(seen, Some(400 | 413 | 513)), "{name}: {seen:?}");
        assert_eq!(
            answer.windows(8).filter(|w| w == b"SIP/2.0 ").count(),
            usize::from(seen.is_some()),
            "{name}: one answer"
        );
        assert_eq!(world.baseline_from_sip(true).await, [], "{name}: nothing behind it is a message");
    }
    let mut silent = connect(loopback(), world.gateway.tcp).await;
    assert!(is_closed(&mut silent, Duration::from_secs(6)).await, "a first message is awaited for ever");
}
