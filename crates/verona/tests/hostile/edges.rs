//! The edges: TLS and WebSockets, and those who come to them and never show who they are.

use crate::world::{PATIENCE, World, XMPP_DOMAIN, loopback};
use rehearsal::peers::{Place, TestCa};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

async fn connect(from: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from, 0)).unwrap();
    socket.connect(to).await.unwrap()
}

/// Where the edges are.
struct Edges {
    tls: SocketAddr,
    ws: SocketAddr,
    wss: SocketAddr,
}

/// A world whose gateway has edges. The place has its certificate.
async fn start(limits: &str) -> (Place, World, Edges) {
    let place = Place::new("edges");
    let shown = TestCa::new(&place).issue(&place, "gateway", &["gw.example.com"]);
    let world =
        World::spawn_with_edges(XMPP_DOMAIN, &format!("{limits}[tls]\ncertificates = [{}]\n", shown.toml())).await;
    let at = |port| SocketAddr::new(world.gateway.tcp.ip(), port);
    let edges = Edges { tls: at(5061), ws: at(8088), wss: at(8443) };
    (place, world, edges)
}

/// The beginning of a hello of TLS that is 60 KB long, as its head says, and of which no more will come than this.
fn endless_hello(len: usize) -> Vec<u8> {
    let mut hello = vec![0x16, 3, 1, 0x3f, 0xff, 1, 0, 0xea, 0x60, 3, 3];
    hello.resize(len, 0x20);
    hello
}

/// What each stranger costs, at its worst: hellos and requests of HTTP that are nearly as long as they may be, and that never end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_slow_handshakes_cost_little_and_disturb_nobody() {
    const EACH: usize = 1_000;
    let limits =
        "half_message = \"10s\"\nconnections = 8000\nconnections_per_address = 400\n[abuse]\nstrangers = 8000\n";
    let (_place, mut world, edges) = start(limits).await;
    world.baseline_from_sip(true).await;
    let before = world.gateway.resident_kib();
    let addresses: Vec<IpAddr> = (0..12).map(|_| loopback()).collect();
    let upgrade = format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: {}", "x".repeat(7_000)).into_bytes();
    let mut strangers = Vec::new();
    for n in 0..EACH {
        let from = addresses[n % addresses.len()];
        for (edge, bytes) in
            [(edges.tls, endless_hello(12_000)), (edges.wss, endless_hello(12_000)), (edges.ws, upgrade.clone())]
        {
            let mut stream = connect(from, edge).await;
            stream.write_all(&bytes).await.unwrap();
            strangers.push(stream);
        }
        if n % 250 == 0 {
            let begun = Instant::now();
            world.baseline_from_sip(true).await;
            world.baseline_from_sip(false).await;
            world.baseline_from_xmpp().await;
            assert!(begun.elapsed() < Duration::from_secs(3), "{:?} for three messages", begun.elapsed());
        }
    }
    // All that was sent has been read.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let each = (world.gateway.resident_kib().saturating_sub(before)) as f64 / strangers.len() as f64;
    assert!(each <= 32.0, "{each:.1} KiB for each of {} strangers", strangers.len());
    // Their time ends, and nothing is left of them.
    for mut stream in strangers {
        let mut rest = Vec::new();
        let _ = timeout(Duration::from_secs(30), stream.read_to_end(&mut rest)).await.expect("it ends");
    }
    world.baseline_from_sip(true).await;
}

/// What is no TLS, no WebSocket, or the wrong one of the two: closed at once or when its time is over, and the others go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_at_every_edge() {
    let (_place, mut world, edges) = start("half_message = \"1s\"\n").await;
    let sip = "MESSAGE sip:nurse@xmpp.example.com SIP/2.0\r\nContent-Length: 0\r\n\r\n";
    let garbage: [&[u8]; 8] = [
        sip.as_bytes(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
          Sec-WebSocket-Key: x\r\nSec-WebSocket-Protocol: sip\r\n\r\n",
        b"<?xml version='1.0'?><stream:stream xmlns='jabber:server'>",
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01\xff\xff",
        b"\r\n\r\n\r\n\r\n",
        b"",
    ];
    let from = loopback();
    for edge in [edges.tls, edges.ws, edges.wss] {
        for bytes in garbage {
            let mut stream = connect(from, edge).await;
            let _ = stream.write_all(bytes).await;
            let mut answer = Vec::new();
            let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it ends");
            assert!(!answer.starts_with(b"HTTP/1.1 101") && !answer.starts_with(b"SIP"), "{answer:?}");
        }
        world.baseline_from_sip(true).await;
    }
    world.baseline_from_xmpp().await;
}
