//! Ten thousand who come at every door and never say who they are: servers and phones that do are let in and served meanwhile, and when the
//! time of the others is over nothing of them is left.

use super::net::{Different, Ground, HOST, metric, metric_becomes};
use super::server::{OURS, Server, body};
use super::sip_line::SipLine;
use crate::world::{XMPP_DOMAIN, loopback};
use rehearsal::peers::Gateway;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

const ALL: usize = 10_000;

/// What they may cost each (THREATS 51), in KiB.
const EACH: f64 = 32.0;

const STRANGERS: &str = "verona_federation_streams{kind=\"stranger\"}";
const CONNECTIONS: &str = "verona_sip_connections";

/// The memory that the process has now, in KiB.
fn resident_kib(gateway: &mut Gateway) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.process().id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux has it");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn connect(from: IpAddr, to: SocketAddr, bytes: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from, 0)).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    // One that is closed already has had its time.
    let _ = stream.write_all(bytes).await;
    stream
}

/// A server and a phone that come now are let in, and their messages pass; so do those of the ones who were there.
async fn all_goes_on(ground: &Ground, server: &mut Server, proxy: &mut SipLine, phone: &mut SipLine, n: usize) {
    let begun = Instant::now();
    let mut new = SipLine::phone(ground.sips, &ground.ca, HOST).await;
    for (line, text) in [(phone, format!("old {n}")), (&mut new, format!("new {n}"))] {
        line.message(&text.replace(' ', "-"));
        assert_eq!(line.next().await.status(), Some(200));
        assert_eq!(body(&server.next().await), text.replace(' ', "-"));
    }
    for text in [format!("old {n}"), format!("new {n}")] {
        server.message(OURS, &text);
        assert_eq!(proxy.next().await.text(), text);
        if text.starts_with("old") {
            server.connect(OURS, ground.s2s_tls).await;
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?} for four messages", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_slow_handshakes() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let enough = limit.maximum.is_none_or(|most| most > ALL as u64 + 1_000);
    assert!(enough, "ulimit -n of {limit:?} is too small for this test");

    let ground = Ground::new("faults-handshakes");
    let (at, tcp, ws, wss) = (ground.place.free(), ground.place.free(), ground.place.free(), ground.place.free());
    let host = at.ip().to_string();
    let mut proxy = SipLine::proxy(at, &ground.ca.issue(&ground.place, "proxy", &[&host])).await;
    let mut gateway = ground.start(Different {
        proxy: Some(at),
        transport: "tls",
        sockets: vec![format!("tcp:{tcp}"), format!("ws:{ws}"), format!("wss:{wss}")],
        federation: "strangers = 8000\nstreams_per_pair = 100\nhandshake = \"12s\"\n",
        more: "[limits]\nhalf_message = \"12s\"\nconnections = 8000\n[abuse]\nallow = []\nstrangers = 12000\n"
            .to_owned(),
        ..Different::default()
    });
    let mut server = Server::start(XMPP_DOMAIN, ground.place.free(), &ground.ca, &ground.server).await;
    ground.lead(XMPP_DOMAIN, server.address());
    server.connect(OURS, ground.s2s_tls).await;
    let mut phone = SipLine::phone(ground.sips, &ground.ca, HOST).await;
    all_goes_on(&ground, &mut server, &mut proxy, &mut phone, 0).await;
    let before = resident_kib(&mut gateway);

    // A hello of TLS that is 60 KB long, as its head says; a request, a message and a header that never end; and a header and not a word more.
    let mut hello = vec![0x16, 3, 1, 0x3f, 0xff, 1, 0, 0xea, 0x60, 3, 3];
    hello.resize(12_000, 0x20);
    let long = "x".repeat(7_000);
    let upgrade = format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: {long}");
    let message = format!("MESSAGE sip:nurse@{XMPP_DOMAIN} SIP/2.0\r\nSubject: {long}");
    let header = format!(
        "<?xml version='1.0'?><stream:stream from='{XMPP_DOMAIN}' to='{OURS}' xmlns='jabber:server' \
        xmlns:stream='http://etherx.jabber.org/streams' version='1.0'"
    );
    let half = format!("{header} x='{long}");
    let doors: [(SocketAddr, &[u8]); 10] = [
        (ground.s2s, half.as_bytes()),
        (ground.s2s_tls, &hello),
        (ground.sips, &hello),
        (tcp, message.as_bytes()),
        (ground.s2s, &[header.as_bytes(), b">"].concat()),
        (ws, upgrade.as_bytes()),
        (wss, &hello),
        (ground.s2s_tls, b""),
        (ground.sips, &hello[..100]),
        (tcp, b""),
    ];
    let sources: Vec<IpAddr> = (0..50).map(|_| loopback()).collect();
    let mut strangers = Vec::new();
    for n in 0..ALL {
        let (door, bytes) = doors[n % doors.len()];
        strangers.push(connect(sources[n % sources.len()], door, bytes).await);
        if n % 1_000 == 999 {
            all_goes_on(&ground, &mut server, &mut proxy, &mut phone, n).await;
        }
    }
    let open = metric(&gateway, STRANGERS) + metric(&gateway, CONNECTIONS);
    assert!(open > ALL as f64 / 2.0, "{open} at once");
    let grown = resident_kib(&mut gateway) - before;
    assert!(grown <= EACH * open, "{grown} KiB for {open}");

    // Their time ends, whoever holds the other end of them.
    let patience = Duration::from_secs(40);
    metric_becomes(&gateway, STRANGERS, patience, |n| n == 0.0);
    // The phone's, and the one to the proxy.
    metric_becomes(&gateway, CONNECTIONS, patience, |n| n == 2.0);
    all_goes_on(&ground, &mut server, &mut proxy, &mut phone, ALL).await;
    let left = resident_kib(&mut gateway) - before;
    assert!(left < grown / 2.0, "{left} KiB of {grown} are left");
    drop(strangers);
}
