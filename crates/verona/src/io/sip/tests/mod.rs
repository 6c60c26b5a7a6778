//! Connections without a gateway: what the shards are told, and what a connection may cost.

mod secure;
mod web;

use super::*;
use crate::config;
use crate::dispatch::Batch;
use crate::io::bounds::{FLOOR, bind};
use crate::io::link::JAM;
use base::HashKey;
use sip::agent::Hop;
use std::io;
use stox::gateway::Input;
use stox::route::Router;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(20);

const BOUNDS: Bounds = Bounds {
    connections: 100,
    per_address: 100,
    write_bytes: 1 << 20,
    unfinished: Duration::from_millis(200),
    silent: Duration::from_secs(60),
};

/// How long a request may be without an answer, where that is what a test is about.
const ANSWER: Duration = Duration::from_millis(500);

/// Connections of two shards, which do nothing but take what comes.
fn connections(bounds: Bounds) -> (Connections, Vec<mpsc::Receiver<Batch>>) {
    connections_with(bounds, Tls::new(&config::Tls::default(), "127.0.0.1").unwrap())
}

fn connections_with(bounds: Bounds, tls: Tls) -> (Connections, Vec<mpsc::Receiver<Batch>>) {
    connections_that_wait(bounds, tls, 2 * PATIENCE)
}

fn connections_that_wait(bounds: Bounds, tls: Tls, answer: Duration) -> (Connections, Vec<mpsc::Receiver<Batch>>) {
    connections_that_ask(bounds, tls, answer, Duration::from_millis(200))
}

fn connections_that_ask(
    bounds: Bounds,
    tls: Tls,
    answer: Duration,
    keep_alive: Duration,
) -> (Connections, Vec<mpsc::Receiver<Batch>>) {
    let (dispatch, inboxes) = Dispatch::new(Router::new(2, HashKey::new(1, 2)));
    let limits = Limits::default();
    let setup = Setup { bounds, limits, tls, keep_alive, answer, guard: Guard::open() };
    let origins = Origins { any: false, these: vec!["https://www.example.com".to_owned()] };
    (Connections::new(setup, origins, dispatch, Arc::new(Meters::new())), inboxes)
}

/// Connections that take what comes to an address.
async fn listening(bounds: Bounds) -> (Connections, Vec<mpsc::Receiver<Batch>>, SocketAddr) {
    let (connections, inboxes) = connections(bounds);
    let address = listen(&connections, Transport::Tcp);
    (connections, inboxes, address)
}

fn listen(connections: &Connections, transport: Transport) -> SocketAddr {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(connections.clone().accept(listener, transport));
    address
}

fn tcp(remote: SocketAddr) -> Target {
    Target::new(Transport::Tcp, remote)
}

/// The names of requests, which only an agent can mint.
fn clients(count: usize) -> Vec<ClientId> {
    let via = sip::Host::parse("127.0.0.1").unwrap();
    let config = sip::agent::Config { sent_by: vec![(Transport::Tcp, via, None)], ..Default::default() };
    let mut agent = sip::agent::Agent::new(config, base::Tokens::seeded(1));
    let hop = Hop::from(tcp("127.0.0.1:1".parse().unwrap()));
    let request = || sip::Request::new(Method::Message, sip::Uri::parse("sip:a@b").unwrap());
    (0..count).map(|_| agent.request(base::Time::ZERO, request(), &hop, None).unwrap()).collect()
}

async fn next(inbox: &mut mpsc::Receiver<Batch>) -> Input {
    let mut batch = timeout(PATIENCE, inbox.recv()).await.expect("the shard is told").unwrap();
    assert_eq!(batch.inputs.len(), 1);
    batch.inputs.remove(0)
}

async fn ends(stream: &mut TcpStream) -> Duration {
    let begun = Instant::now();
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the connection ends");
    begun.elapsed()
}

fn bytes(len: usize) -> Bytes {
    Bytes::from(vec![b'x'; len])
}

#[tokio::test]
async fn one_connection_serves_all_shards_and_its_end_is_told_before_the_next() {
    let (connections, mut inboxes) = connections(BOUNDS);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let remote = listener.local_addr().unwrap();
    let ids = clients(4);
    assert!(connections.send_to(&tcp(remote), bytes(1), Some((0, ids[0]))));
    assert!(connections.send_to(&tcp(remote), bytes(1), Some((1, ids[1]))));
    let (stream, _) = listener.accept().await.unwrap();
    assert_eq!(connections.tables().queues.len(), 1);
    drop(stream);
    // The first shard deals with it; the second one has not yet, and would take a request over the next connection for lost.
    assert!(matches!(next(&mut inboxes[0]).await, Input::SipConnectionLost(t, _) if t.remote == remote));
    connections.told(0, &tcp(remote));
    assert!(!connections.send_to(&tcp(remote), bytes(1), Some((1, ids[2]))), "neither sent nor lost later: refused");
    assert!(connections.send_to(&tcp(remote), bytes(1), Some((0, ids[2]))));
    assert!(matches!(next(&mut inboxes[1]).await, Input::SipConnectionLost(t, _) if t.remote == remote));
    connections.told(1, &tcp(remote));
    assert!(connections.send_to(&tcp(remote), bytes(1), Some((1, ids[3]))));
    assert!(connections.tables().untold.is_empty());
}

#[tokio::test]
async fn what_finds_nobody_is_told_and_leaves_nothing_behind() {
    let (connections, mut inboxes) = connections(BOUNDS);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let remote = listener.local_addr().unwrap();
    drop(listener);
    let ids = clients(1);
    assert!(connections.send_to(&tcp(remote), bytes(1), Some((1, ids[0]))));
    assert!(
        matches!(next(&mut inboxes[1]).await, Input::SipConnectionLost(t, unsent) if t.remote == remote && unsent == ids)
    );
    let tables = connections.tables();
    assert!(tables.queues.is_empty() && tables.ours.is_empty() && tables.places.is_empty());
    assert_eq!(connections.inner.waiting.taken(), 0);
}

#[tokio::test]
async fn answers_do_not_open_connections_without_end() {
    let (connections, _inboxes) = connections(Bounds { per_address: 2, ..BOUNDS });
    let remote = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let sent = (1..=5).filter(|port| connections.send_to(&tcp(remote(*port)), bytes(1), None)).count();
    assert_eq!(sent, 2);
    assert!(
        connections.send_to(&tcp(remote(6)), bytes(1), Some((0, clients(1)[0]))),
        "a request goes where the operator said"
    );
}

#[tokio::test]
async fn who_does_not_read_is_closed_and_a_proxy_is_waited_for() {
    let (connections, _inboxes) = connections(BOUNDS);
    let add = |accepted| connections.add(&mut connections.tables(), &tcp("127.0.0.1:9".parse().unwrap()), accepted);
    for accepted in [true, false] {
        let serving = add(accepted);
        let sent = (0..100).filter(|_| connections.send(serving.id, bytes(60_000), None)).count();
        assert_eq!(sent, BOUNDS.write_bytes / (60_000 + PACKET));
        assert_eq!(connections.is_open(serving.id), !accepted);
        drop(serving);
        assert_eq!(connections.inner.waiting.taken(), 0);
    }
    // However many there are, they get no more than all may have, and each its floor.
    let many: Vec<Serving> = (0..60).map(|_| add(false)).collect();
    for serving in many.iter().cycle().take(60 * 100) {
        connections.send(serving.id, bytes(20_000), None);
    }
    let all = connections.inner.waiting.taken();
    assert!(all > UNWRITTEN * 3 / 4 && all <= UNWRITTEN + many.len() * FLOOR, "{all}");
    let one_more = add(false);
    assert!(connections.send(one_more.id, bytes(FLOOR - PACKET), None));
}

/// Who asks faster than it takes the answers is slowed down before it has to be cut off.
#[tokio::test]
async fn who_does_not_take_its_answers_is_not_heard_for_a_while() {
    const REQUEST: &[u8] = b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 0\r\n\r\n";
    let (connections, mut inboxes, address) = listening(BOUNDS).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    let (first, second) = inboxes.split_at_mut(1);
    let mut heard = async |patience| {
        tokio::select! {
            input = next(&mut first[0]) => Some(input),
            input = next(&mut second[0]) => Some(input),
            () = tokio::time::sleep(patience) => None,
        }
    };
    assert!(matches!(heard(PATIENCE).await, Some(Input::Sip { .. })));
    let id = *connections.tables().queues.keys().next().unwrap();
    let jammed = || connections.tables().queues.get(&id).is_some_and(|queue| connections.is_jammed(&queue.load));
    // Until the kernel takes no more of it.
    while !jammed() {
        assert!(connections.send(id, bytes(60_000), None));
        tokio::task::yield_now().await;
    }
    // It listens for one more; then it waits.
    stream.write_all(REQUEST).await.unwrap();
    assert!(matches!(heard(PATIENCE).await, Some(Input::Sip { .. })));
    stream.write_all(REQUEST).await.unwrap();
    assert!(heard(JAM / 4).await.is_none() && jammed());
    let mut taken = vec![0; 1 << 20];
    while jammed() {
        assert!(stream.read(&mut taken).await.unwrap() > 0);
    }
    assert!(matches!(heard(PATIENCE).await, Some(Input::Sip { .. })) && connections.is_open(id));
}

#[tokio::test]
async fn a_connection_that_nothing_comes_by_is_closed_whatever_keeps_it_alive() {
    let (connections, _inboxes, address) = listening(BOUNDS).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let begun = Instant::now();
    let (mut read, mut write) = stream.split();
    let pings = async {
        while write.write_all(b"\r\n\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let pongs = async {
        let mut buffer = [0; 64];
        while let Ok(1..) = read.read(&mut buffer).await {}
    };
    timeout(PATIENCE, async {
        tokio::select! { () = pings => {}, () = pongs => {} }
    })
    .await
    .expect("it ends");
    assert!(begun.elapsed() >= BOUNDS.unfinished, "{:?}", begun.elapsed());
    // Where we connected, the first to come is an answer.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    assert!(connections.send_to(&tcp(listener.local_addr().unwrap()), bytes(1), Some((0, clients(1)[0]))));
    let (stream, _) = listener.accept().await.unwrap();
    let mut other = TcpStream::connect(address).await.unwrap();
    ends(&mut other).await;
    let mut buffer = [0; 2];
    assert_eq!(stream.try_read(&mut buffer).map_err(|e| e.kind()).unwrap_or(1), 1, "one byte and no end");
    assert!(stream.try_read(&mut buffer).is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock));
}

#[tokio::test]
async fn messages_that_never_end_are_bounded_in_all() {
    let bounds = Bounds { unfinished: PATIENCE, connections: 1000, per_address: 1000, ..BOUNDS };
    let (connections, _inboxes, address) = listening(bounds).await;
    let head = "MESSAGE sip:a@b SIP/2.0\r\nContent-Length: 60000\r\n\r\n";
    let mut streams = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Some are closed before they have said all.
        let _ = stream.write_all(format!("{head}{}", "x".repeat(50_000)).as_bytes()).await;
        streams.push(stream);
    }
    let mut small = TcpStream::connect(address).await.unwrap();
    small.write_all(head.as_bytes()).await.unwrap();
    let begun = || connections.inner.begun.taken();
    timeout(PATIENCE, async {
        while begun() < BEGUN / 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("much has begun");
    assert!(begun() <= BEGUN + 300 * FLOOR, "{}", begun());
    assert!(timeout(Duration::from_millis(1), small.read_u8()).await.is_err(), "a small one goes on");
    drop((streams, small));
    timeout(PATIENCE, async {
        while begun() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("all is given back");
}

#[tokio::test]
async fn what_waits_is_written_before_the_end() {
    let (connections, _inboxes) = connections(BOUNDS);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let remote = listener.local_addr().unwrap();
    assert!(connections.send_to(&tcp(remote), bytes(500_000), None));
    let (finished, read) = tokio::join!(connections.finish(), async {
        let mut stream = listener.accept().await.unwrap().0;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.map(|_| all.len())
    });
    assert_eq!((finished, read.unwrap()), ((), 500_000));
    assert!(connections.tables().places.is_empty());
}

#[tokio::test]
async fn a_connection_of_ours_that_the_other_side_uses_is_kept_open() {
    let bounds = Bounds { silent: Duration::from_millis(400), ..BOUNDS };
    let (connections, mut inboxes) = connections(bounds);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let remote = listener.local_addr().unwrap();
    assert!(connections.send_to(&tcp(remote), Bytes::from_static(b"REGISTER sip:a SIP/2.0\r\n\r\n"), None));
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut registered = [0; 26];
    stream.read_exact(&mut registered).await.unwrap();
    let mut ping = [0; 4];
    for _ in 0..4 {
        timeout(PATIENCE, stream.read_exact(&mut ping)).await.expect("a ping").unwrap();
        assert_eq!(&ping, b"\r\n\r\n");
        stream.write_all(b"\r\n").await.unwrap();
    }
    assert!(inboxes[0].try_recv().is_err() && inboxes[1].try_recv().is_err(), "nobody hears of it");
    // One that nobody has a use for ends.
    let other = Target::new(Transport::Tcp, remote);
    let other = Target { name: Some("another".into()), ..other };
    assert!(connections.send_to(&other, bytes(1), None));
    let (mut unused, _) = listener.accept().await.unwrap();
    ends(&mut unused).await;
}

/// RFC 5626 §4.4: a registrar may want to hear of us more often than the operator would have it, even where that is never.
#[tokio::test]
async fn a_registrar_says_how_often_it_wants_to_hear_of_us() {
    for usual in [Duration::ZERO, Duration::from_secs(3600)] {
        let tls = Tls::new(&config::Tls::default(), "127.0.0.1").unwrap();
        let (connections, mut inboxes) = connections_that_ask(BOUNDS, tls, 2 * PATIENCE, usual);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let remote = listener.local_addr().unwrap();
        assert!(connections.send_to(&tcp(remote), Bytes::from_static(b"REGISTER sip:a SIP/2.0\r\n\r\n"), None));
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut [0; 26]).await.unwrap();
        let answer = "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKx\r\nCall-ID: x\r\nFrom: <sip:a@b>;tag=x\r\n\
                      To: <sip:a@b>\r\nCSeq: 1 REGISTER\r\nFlow-Timer: 1\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        let mut ping = [0; 4];
        for _ in 0..2 {
            timeout(PATIENCE, stream.read_exact(&mut ping)).await.expect("a ping").unwrap();
            assert_eq!(&ping, b"\r\n\r\n");
            stream.write_all(b"\r\n").await.unwrap();
        }
        let said: usize = inboxes.iter_mut().map(|inbox| usize::from(inbox.try_recv().is_ok())).sum();
        assert_eq!(said, 1, "the answer");
    }
}

#[tokio::test]
async fn who_answers_nothing_is_not_asked_again() {
    let tls = Tls::new(&config::Tls::default(), "127.0.0.1").unwrap();
    let (connections, mut inboxes) = connections_that_wait(BOUNDS, tls, ANSWER);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let remote = listener.local_addr().unwrap();
    let ids = clients(4);
    assert!(connections.send_to(&tcp(remote), bytes(1), Some((0, ids[0]))));
    let (mut silent, _) = listener.accept().await.unwrap();
    silent.read_exact(&mut [0]).await.unwrap();
    let retired = async {
        while !connections.tables().ours.is_empty() {
            tokio::time::sleep(ANSWER / 20).await;
        }
    };
    timeout(PATIENCE, retired).await.expect("it is left alone");
    // The next request goes elsewhere. The first one may still be answered, and its loss concerns nobody else.
    assert!(connections.send_to(&tcp(remote), bytes(1), Some((0, ids[1]))));
    let (mut slow, _) = listener.accept().await.unwrap();
    slow.read_exact(&mut [0]).await.unwrap();
    assert_eq!(connections.tables().queues.len(), 2);
    drop(silent);
    // One that says anything, whatever it is, is there; and nobody waits for an answer to an answer.
    slow.write_all(b"\r\n").await.unwrap();
    assert!(connections.send_to(&tcp(remote), bytes(1), None));
    slow.read_exact(&mut [0]).await.unwrap();
    assert!(timeout(2 * ANSWER, slow.read(&mut [0])).await.is_err(), "it stays");
    assert!(connections.send_to(&tcp(remote), bytes(1), Some((0, ids[2]))));
    timeout(PATIENCE, slow.read_exact(&mut [0])).await.expect("over the same one").unwrap();
    assert!(inboxes[0].try_recv().is_err() && inboxes[1].try_recv().is_err(), "nobody has heard of a loss");
}
