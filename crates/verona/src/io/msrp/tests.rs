//! Connections without a gateway: what the shards are told, and what a connection may cost.

use super::*;
use crate::config::{self, Environment};
use crate::dispatch::Batch;
use crate::io::bounds::bind;
use crate::io::dns::{Coming, Lookup};
use crate::setup;
use ::msrp::{self as wire, Advertised, Agent, Arrival, Frame, Host, Output, Peer};
use base::dns::{Answer, Failure, Question};
use base::{HashKey, Time, Tokens};
use std::collections::VecDeque;
use stox::route::Router;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

mod secure;

const PATIENCE: Duration = Duration::from_secs(20);

const BOUNDS: Bounds = Bounds {
    connections: 100,
    per_address: 100,
    write_bytes: 1 << 20,
    unfinished: Duration::from_millis(300),
    silent: Duration::from_secs(60),
};

/// Longer than anything that is to come.
const LONG: Bounds = Bounds { unfinished: PATIENCE, ..BOUNDS };

/// A resolver that knows two names.
struct Names;

impl Lookup for Names {
    fn look_up(&self, question: Question) -> Coming {
        let at = |address: [u8; 4]| Answer::of_addresses([address.into()], Duration::from_secs(60));
        let answer = match question.name().as_str() {
            "here.example" => at([127, 0, 0, 1]),
            "inside.example" => at([10, 0, 0, 1]),
            "none.example" => Answer::none(Failure::NoRecords),
            _ => Answer::none(Failure::NoName),
        };
        Box::pin(async { answer })
    }
}

/// A pool of two shards, which do nothing but take what comes, and its listener.
struct Bench {
    pool: Pool,
    inboxes: Vec<mpsc::Receiver<Batch>>,
    /// What came with something else.
    rest: [VecDeque<Input>; 2],
    meters: Arc<Meters>,
    address: SocketAddr,
    secure: SocketAddr,
}

async fn settings(allow: &str) -> Config {
    let text = format!(
        "[[xmpp.component]]\ndomain = \"example.net\"\nserver = \"127.0.0.1:1\"\nsecret = \"s\"\n[sip]\ndomains = \
         [\"example.com\"]\nlisten = [\"udp:127.0.0.1:5060\"]\n[security]\nallow_networks = [{allow}]\n"
    );
    let config = config::parse("a test", &text, Environment::default()).unwrap().config;
    setup::gateway_config(&config, &Dns::of_nothing(), 1, 0).await.unwrap()
}

fn tls() -> Tls {
    Tls::new(&config::Tls::default(), "127.0.0.1").unwrap()
}

impl Bench {
    async fn new(bounds: Bounds) -> Bench {
        Bench::with(bounds, "\"127.0.0.0/8\", \"::1\"", "127.0.0.1:0", None).await
    }

    async fn with(bounds: Bounds, allow: &str, address: &str, relay: Option<(Host, u16)>) -> Bench {
        let (dispatch, inboxes) = Dispatch::new(Router::new(2, HashKey::new(1, 2)));
        let meters = Arc::new(Meters::new());
        let listeners = [(); 2].map(|()| bind(address.parse().unwrap()).unwrap());
        let [address, secure] = [0, 1].map(|i: usize| listeners[i].local_addr().unwrap());
        let mut config = settings(allow).await;
        config.own.connections = vec![address, secure];
        let setup = Setup {
            guard: Guard::open(),
            bounds,
            live: Live { config: Arc::new(config), max_size: 10_000 },
            relay,
            tls: tls(),
            dns: Dns::new(Names, HashKey::new(1, 2)),
        };
        let pool = Pool::new(setup, dispatch, Arc::clone(&meters));
        for (listener, secure) in listeners.into_iter().zip([false, true]) {
            tokio::spawn(pool.clone().accept(listener, secure));
        }
        Bench { pool, inboxes, rest: Default::default(), meters, address, secure }
    }

    /// The next input of a shard.
    async fn next(&mut self, shard: usize) -> Input {
        if self.rest[shard].is_empty() {
            let batch = timeout(PATIENCE, self.inboxes[shard].recv()).await.expect("the shard is told");
            self.rest[shard].extend(batch.unwrap().inputs);
        }
        self.rest[shard].pop_front().expect("no batch is empty")
    }

    /// The next frame of a shard.
    async fn frame(&mut self, shard: usize) -> (ConnectionId, Arrival) {
        match self.next(shard).await {
            Input::Msrp(connection, arrival) => (connection, arrival),
            other => panic!("{other:?}"),
        }
    }

    async fn opened(&mut self, shard: usize) -> (Ticket, Option<ConnectionId>) {
        match self.next(shard).await {
            Input::MsrpOpened(ticket, connection) => (ticket, connection),
            other => panic!("{other:?}"),
        }
    }

    async fn lost(&mut self, shard: usize) -> ConnectionId {
        match self.next(shard).await {
            Input::MsrpLost(connection) => connection,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until so many connections are there.
    async fn lines(&self, count: usize) {
        let there = async {
            while self.pool.tables().lines.len() != count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, there).await.expect("connections come and go");
    }

    /// A connection that has said something, and one session that uses it.
    async fn bound(&mut self) -> (TcpStream, ConnectionId) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(&send("00", "1")).await.unwrap();
        let (connection, _) = self.frame(0).await;
        self.pool.bind(0, connection);
        (stream, connection)
    }

    fn failures(&self, reason: &str) -> usize {
        let line = format!("verona_msrp_failures_total{{reason=\"{reason}\"}} ");
        self.meters.render().lines().find_map(|l| l.strip_prefix(&line)).map_or(0, |n| n.parse().unwrap())
    }

    /// Nothing is left of what was.
    async fn empty(&self) {
        self.lines(0).await;
        let gone = async {
            while !self.pool.tables().places.is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, gone).await.expect("places are given back");
        let tables = self.pool.tables();
        assert!(tables.ours.is_empty() && tables.opening.is_empty());
        assert_eq!((self.pool.inner.waiting.taken(), self.pool.inner.begun.taken()), (0, 0));
    }
}

/// A SEND to a session of the shard that these two digits name.
fn send(shard: &str, body: &str) -> Vec<u8> {
    format!(
        "MSRP abcd1234 SEND\r\nTo-Path: msrp://127.0.0.1:2855/{shard}0123456789;tcp\r\nFrom-Path: msrp://192.0.2.1:9/x;tcp\r\n\
         Message-ID: 1234\r\nByte-Range: 1-{0}/{0}\r\nContent-Type: text/plain\r\n\r\n{body}\r\n-------abcd1234$\r\n",
        body.len()
    )
    .into_bytes()
}

fn body(arrival: &Arrival) -> &[u8] {
    match arrival {
        Arrival::Frame(Frame::Request(request)) => request.body.as_deref().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn hop(address: SocketAddr, tls: Option<wire::Tls>) -> Hop {
    Hop { host: Host::Ip(address.ip()), port: address.port(), tls }
}

/// Tickets of a shard, which only an agent can mint.
fn tickets(shard: u8, count: usize) -> Vec<Ticket> {
    let here = Advertised { secure: false, host: Host::Ip([127, 0, 0, 1].into()), port: 2855 };
    let config = wire::Config { shard, advertise: vec![here], ..Default::default() };
    let mut agent = Agent::new(config, Tokens::seeded(u64::from(shard)));
    let path = wire::Path::parse("msrp://192.0.2.1:9/x;tcp").unwrap();
    for _ in 0..count {
        let id = agent.open(Time::ZERO, false).unwrap();
        let way = wire::Way::Active(hop("192.0.2.1:9".parse().unwrap(), None));
        agent.begin(Time::ZERO, id, &Peer { path: path.clone(), way, max_size: None });
    }
    let outputs = std::iter::from_fn(|| agent.poll());
    let tickets: Vec<Ticket> = outputs
        .filter_map(|output| if let Output::Open { ticket, .. } = output { Some(ticket) } else { None })
        .collect();
    assert_eq!(tickets.len(), count);
    tickets
}

/// How long until the other end closes, and what it says before.
async fn ends(stream: &mut TcpStream) -> (Duration, Vec<u8>) {
    let begun = Instant::now();
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the connection ends");
    (begun.elapsed(), rest)
}

async fn closed(stream: &mut TcpStream) -> bool {
    matches!(timeout(Duration::from_millis(20), stream.read(&mut [0; 64])).await, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn frames_come_to_the_shards_of_their_sessions_in_any_pieces_and_answers_go_back() {
    let mut bench = Bench::new(BOUNDS).await;
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    // A session of no shard that there is: somebody has to say so.
    let all = [send("00", "a"), send("01", "b"), send("ff", "c"), send("zz", "d")].concat();
    for piece in all.chunks(7) {
        stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    let (connection, first) = bench.frame(0).await;
    assert_eq!(body(&first), b"a");
    let (same, second) = bench.frame(1).await;
    assert_eq!((same, body(&second)), (connection, &b"b"[..]));
    for expected in ["c", "d"] {
        assert_eq!(body(&bench.frame(0).await.1), expected.as_bytes());
    }
    for part in ["one ", "two ", "three"] {
        bench.pool.write(connection, Bytes::from(part));
    }
    let mut got = [0; 13];
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"one two three");
    drop(stream);
    bench.empty().await;
}

#[tokio::test]
async fn half_a_frame_and_silence_end_a_connection_and_a_session_keeps_it() {
    let mut bench = Bench::new(BOUNDS).await;
    let (mut kept, connection) = bench.bound().await;
    // Nothing at all; half a frame; a frame for no session; bytes that never end, without a session.
    let mut mute = TcpStream::connect(bench.address).await.unwrap();
    let mut half = TcpStream::connect(bench.address).await.unwrap();
    half.write_all(&send("00", "x")[..60]).await.unwrap();
    let mut stranger = TcpStream::connect(bench.address).await.unwrap();
    stranger.write_all(&send("00", "x")).await.unwrap();
    for stream in [&mut mute, &mut half, &mut stranger] {
        ends(stream).await;
    }
    // A session does not keep half a frame.
    kept.write_all(&send("00", "x")[..60]).await.unwrap();
    let begun = Instant::now();
    for byte in &send("00", "x")[60..90] {
        if kept.write_all(&[*byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ends(&mut kept).await;
    assert!(begun.elapsed() >= BOUNDS.unfinished, "{:?}", begun.elapsed());
    assert_eq!(body(&bench.frame(0).await.1), b"x");
    assert_eq!(bench.lost(0).await, connection);
    // But it keeps silence, and a released connection has a little time for another one.
    let (mut kept, connection) = bench.bound().await;
    tokio::time::sleep(BOUNDS.unfinished * 2).await;
    assert!(!closed(&mut kept).await);
    bench.pool.release(0, connection);
    let begun = Instant::now();
    ends(&mut kept).await;
    assert!(begun.elapsed() >= BOUNDS.unfinished - Duration::from_millis(50), "{:?}", begun.elapsed());
    drop((mute, half, stranger, kept));
    bench.empty().await;
    // For who had half a frame and no session either was first, or both.
    assert!((1..=2).contains(&bench.failures("half a frame")));
    assert!((3..=4).contains(&bench.failures("no session")));
}

#[tokio::test]
async fn what_is_no_msrp_ends_the_connection_behind_the_answers_to_what_was() {
    let mut bench = Bench::new(LONG).await;
    let (mut stream, connection) = bench.bound().await;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    bench.pool.write(connection, Bytes::from_static(b"an answer"));
    let (_, said) = ends(&mut stream).await;
    assert!(said.is_empty() || said == b"an answer", "either was first");
    drop(stream);
    assert_eq!(bench.lost(0).await, connection);
    bench.empty().await;
    assert_eq!(bench.failures("not MSRP"), 1);
}

#[tokio::test]
async fn who_does_not_read_is_cut_and_the_sessions_are_told() {
    let mut bench = Bench::new(LONG).await;
    let (stream, connection) = bench.bound().await;
    bench.pool.bind(1, connection);
    let packet = Bytes::from(vec![b'x'; 60_000]);
    let line = Arc::clone(&bench.pool.tables().lines[&connection.0]);
    let mut written = 0;
    while !line.is_cut() {
        bench.pool.write(connection, packet.clone());
        written += packet.len();
        assert!(written < 100 << 20, "there is a bound");
        tokio::task::yield_now().await;
    }
    // Two sessions have twice as much, and the kernel takes some.
    assert!(written > 2 * BOUNDS.write_bytes, "{written}");
    assert_eq!((bench.lost(0).await, bench.lost(1).await), (connection, connection));
    // Too late for one more.
    bench.pool.bind(1, connection);
    assert_eq!(bench.lost(1).await, connection);
    bench.pool.write(connection, packet);
    bench.pool.release(1, connection);
    bench.empty().await;
    assert_eq!(bench.failures("write queue full"), 1);
    drop(stream);
}

#[tokio::test]
async fn connections_are_bounded_in_all_and_for_each_address() {
    let bench = Bench::with(Bounds { per_address: 3, ..LONG }, "\"127.0.0.0/8\"", "0.0.0.0:0", None).await;
    let port = bench.address.port();
    let from = |last: u8| async move {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
        socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap()
    };
    let mut streams = Vec::new();
    for last in [2, 2, 2, 3] {
        streams.push(from(last).await);
    }
    bench.lines(4).await;
    let mut more = from(2).await;
    ends(&mut more).await;
    // Ours count, too; and a place that is free again is one.
    let ticket = tickets(0, 1)[0];
    let mut bench = bench;
    bench.pool.open(ticket, hop(SocketAddr::from(([127, 0, 0, 2], 9)), None));
    assert_eq!(bench.opened(0).await, (ticket, None));
    assert_eq!(bench.failures("too many connections"), 1);
    drop(streams.remove(0));
    bench.lines(3).await;
    let again = from(2).await;
    bench.lines(4).await;
    drop((again, streams));
    bench.empty().await;

    let bench = Bench::new(Bounds { connections: 2, ..LONG }).await;
    let streams = [(); 2].map(|()| std::net::TcpStream::connect(bench.address).unwrap());
    bench.lines(2).await;
    let mut more = TcpStream::connect(bench.address).await.unwrap();
    ends(&mut more).await;
    assert!(bench.meters.render().contains("\nverona_msrp_connections_refused_total 1\n"));
    drop(streams);
    bench.empty().await;
}

#[tokio::test]
async fn sessions_that_lead_the_same_way_share_a_connection_of_ours_until_none_uses_it() {
    let mut bench = Bench::new(LONG).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = listener.local_addr().unwrap();
    // Two at once, of different shards; then one more; by name, too.
    let (zero, one) = (tickets(0, 3), tickets(1, 1));
    bench.pool.open(zero[0], hop(there, None));
    bench.pool.open(one[0], hop(there, None));
    let (ticket, connection) = bench.opened(0).await;
    let connection = connection.unwrap();
    assert_eq!((ticket, bench.opened(1).await), (zero[0], (one[0], Some(connection))));
    bench.pool.open(zero[1], hop(there, None));
    assert_eq!(bench.opened(0).await, (zero[1], Some(connection)));
    bench.pool.open(zero[2], Hop { host: Host::Name("here.example".into()), port: there.port(), tls: None });
    assert_eq!(bench.opened(0).await, (zero[2], Some(connection)));
    let (mut stream, _) = listener.accept().await.unwrap();
    for shard in [0, 1, 0, 0] {
        bench.pool.bind(shard, connection);
    }
    for shard in [0, 0, 1] {
        bench.pool.release(shard, connection);
    }
    assert!(!closed(&mut stream).await, "one is left");
    bench.pool.write(connection, Bytes::from_static(b"farewell"));
    bench.pool.release(0, connection);
    assert_eq!(ends(&mut stream).await.1, b"farewell");
    // What ends is not shared any more.
    let again = tickets(0, 4)[3];
    bench.pool.open(again, hop(there, None));
    let (_, other) = bench.opened(0).await;
    assert_ne!(other, Some(connection));
    drop((stream, listener));
    bench.empty().await;
    let page = bench.meters.render();
    assert!(page.contains("verona_msrp_opens_total{outcome=\"reused\"} 2\n"), "{page}");
    assert!(page.contains("verona_msrp_opens_total{outcome=\"made\"} 2\n"), "{page}");
}

/// Whoever asks in the moment in which others are told has a wish of his own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_while_others_are_told_is_told_of_the_connection_too() {
    const MANY: usize = 2000;
    let mut bench = Bench::new(LONG).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = listener.local_addr().unwrap();
    let all = tickets(0, MANY);
    bench.pool.open(all[0], hop(there, None));
    let connection = bench.opened(0).await.1.unwrap();
    bench.pool.bind(0, connection);
    let _stream = listener.accept().await.unwrap();
    for ticket in &all[1..] {
        bench.pool.open(*ticket, hop(there, None));
        assert_eq!(bench.opened(0).await, (*ticket, Some(connection)));
    }
}

#[tokio::test]
async fn a_promised_connection_waits_for_its_session_for_a_while_and_no_longer() {
    let mut bench = Bench::new(BOUNDS).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = listener.local_addr().unwrap();
    let all = tickets(0, 2);
    bench.pool.open(all[0], hop(there, None));
    let connection = bench.opened(0).await.1.unwrap();
    bench.pool.bind(0, connection);
    bench.pool.open(all[1], hop(there, None));
    assert_eq!(bench.opened(0).await.1, Some(connection));
    let (mut stream, _) = listener.accept().await.unwrap();
    // The first session ends before the second one begins.
    bench.pool.release(0, connection);
    assert!(!closed(&mut stream).await);
    bench.pool.bind(0, connection);
    bench.pool.release(0, connection);
    ends(&mut stream).await;
    // Nobody ever uses it.
    bench.pool.open(all[0], hop(there, None));
    bench.opened(0).await;
    let (mut unused, _) = listener.accept().await.unwrap();
    let (after, _) = ends(&mut unused).await;
    assert!(after >= BOUNDS.unfinished - Duration::from_millis(50), "{after:?}");
    drop((stream, unused));
    bench.empty().await;
}

#[tokio::test]
async fn a_shard_that_begins_anew_uses_no_connection() {
    let mut bench = Bench::new(LONG).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = listener.local_addr().unwrap();
    bench.pool.open(tickets(0, 1)[0], hop(there, None));
    let connection = bench.opened(0).await.1.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    for shard in [0, 0, 1] {
        bench.pool.bind(shard, connection);
    }
    bench.pool.forget(0);
    assert!(!closed(&mut stream).await, "the other shard uses it");
    bench.pool.forget(0);
    bench.pool.release(1, connection);
    ends(&mut stream).await;
    drop(stream);
    bench.empty().await;
}

#[tokio::test]
async fn addresses_that_peers_name_lead_only_where_they_may() {
    let relay = Some((Host::Name("here.example".into()), 0));
    let mut bench = Bench::with(LONG, "", "127.0.0.1:0", relay).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = listener.local_addr().unwrap();
    let ticket = tickets(0, 1)[0];
    let named = |name: &str, port| Hop { host: Host::Name(name.into()), port, tls: None };
    for (hop, why) in [
        (hop(there, None), "address not allowed"),
        (named("here.example", there.port()), "address not allowed"),
        (named("inside.example", 2855), "address not allowed"),
        (hop("[::ffff:127.0.0.1]:2855".parse().unwrap(), None), "address not allowed"),
        (hop("0.0.0.0:2855".parse().unwrap(), None), "address not allowed"),
        (named("none.example", 2855), "no address"),
        (named("gone.example", 2855), "name not found"),
    ] {
        let before = bench.failures(why);
        bench.pool.open(ticket, hop.clone());
        assert_eq!(bench.opened(0).await, (ticket, None), "{hop:?}");
        let counted = async {
            while bench.failures(why) == before {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, counted).await.expect("it is counted");
    }
    // What the operator allows meanwhile; but never ourselves.
    let mut config = settings("\"127.0.0.0/8\"").await;
    config.own.connections = vec![bench.address, bench.secure];
    bench.pool.reconfigure(Live { config: Arc::new(config), max_size: 10_000 });
    for own in [bench.address, bench.secure] {
        bench.pool.open(ticket, hop(own, None));
        assert_eq!(bench.opened(0).await, (ticket, None));
    }
    bench.pool.open(ticket, named("here.example", there.port()));
    let connection = bench.opened(0).await.1;
    assert!(connection.is_some());
    // Nobody listens.
    drop(listener);
    bench.pool.open(ticket, Hop { host: Host::Ip([127, 0, 0, 2].into()), port: there.port(), tls: None });
    assert_eq!(bench.opened(0).await.1, None);
    assert_eq!(bench.failures("unreachable"), 1);
    bench.empty().await;
}

#[tokio::test]
async fn the_relay_may_be_anywhere() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = listener.local_addr().unwrap();
    let relay = Host::Name("here.example".into());
    let mut bench = Bench::with(LONG, "", "127.0.0.1:0", Some((relay.clone(), there.port()))).await;
    let all = tickets(0, 2);
    bench.pool.open(all[0], Hop { host: relay, port: there.port(), tls: None });
    assert!(bench.opened(0).await.1.is_some());
    bench.pool.open(all[1], hop(there, None));
    assert!(bench.opened(0).await.1.is_none(), "but not for who names its address");
}

#[tokio::test]
async fn over_ipv6() {
    let mut bench = Bench::with(LONG, "\"::1\"", "[::1]:0", None).await;
    let (stream, connection) = bench.bound().await;
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let ticket = tickets(0, 1)[0];
    bench.pool.open(ticket, hop(listener.local_addr().unwrap(), None));
    let ours = bench.opened(0).await.1.unwrap();
    assert_ne!(ours, connection);
    let (mut there, _) = listener.accept().await.unwrap();
    bench.pool.write(ours, Bytes::from_static(b"hi"));
    let mut word = [0; 2];
    there.read_exact(&mut word).await.unwrap();
    drop((stream, there));
    assert_eq!(bench.lost(0).await, connection);
    bench.empty().await;
}

#[tokio::test]
async fn frames_that_never_end_are_bounded_in_all() {
    let bounds = Bounds { connections: 10_000, per_address: 10_000, ..LONG };
    let mut bench = Bench::new(bounds).await;
    bench.pool.inner.live.lock().unwrap().max_size = 2 << 20;
    let begin = send("00", &"x".repeat(1_500_000));
    let mut streams = Vec::new();
    for _ in 0..60 {
        let mut stream = TcpStream::connect(bench.address).await.unwrap();
        // Some are closed before they have said all.
        let _ = stream.write_all(&begin[..1_400_000]).await;
        streams.push(stream);
    }
    let taken = bench.pool.inner.begun.taken();
    assert!(taken > ALL / 2 && taken <= ALL + (2 << 20), "{taken}");
    let (small, _) = bench.bound().await;
    drop((streams, small));
    bench.lost(0).await;
    bench.empty().await;
}

#[tokio::test]
async fn what_waits_is_written_before_the_end() {
    let mut bench = Bench::new(LONG).await;
    let (mut stream, connection) = bench.bound().await;
    bench.pool.write(connection, Bytes::from(vec![b'x'; 500_000]));
    let (finished, (_, read)) = tokio::join!(bench.pool.finish(), ends(&mut stream));
    assert_eq!((finished, read.len()), ((), 500_000));
    assert!(bench.pool.tables().places.is_empty());
}
