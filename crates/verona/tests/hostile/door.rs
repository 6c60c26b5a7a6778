//! Who is let in at all: sources that come too fast, that go on with what decent ones do not, or that the operator does not want.

use crate::world::{Gateway, PATIENCE, SIP_DOMAIN, World, XMPP_DOMAIN, XmppEnd, anywhere, config, loopback, message};
use rehearsal::peers::{Place, TestCa};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

pub(crate) async fn connect(from: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from, 0)).unwrap();
    socket.connect(to).await.unwrap()
}

/// What comes back until the other end closes.
async fn said(stream: &mut TcpStream) -> String {
    let mut got = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut got)).await.expect("it is closed");
    String::from_utf8_lossy(&got).into_owned()
}

/// Reads the rest of an answer without a body.
async fn drain(stream: &mut TcpStream) {
    let mut last = [0; 4];
    while &last != b"\r\n\r\n" {
        last.rotate_left(1);
        stream.read_exact(&mut last[3..]).await.unwrap();
    }
}

/// An address of nobody who is a peer.
pub(crate) fn elsewhere() -> IpAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    [127, 32, high, low].into()
}

/// Whether a source gets an answer to a keep-alive (RFC 5626 §4.4.1).
async fn is_let_in(from: IpAddr, to: SocketAddr) -> bool {
    let mut stream = connect(from, to).await;
    let _ = stream.write_all(b"\r\n\r\n").await;
    let mut pong = [0; 2];
    timeout(PATIENCE, stream.read_exact(&mut pong)).await.expect("an answer or the end").is_ok()
}

const DOOR: &str = "[abuse]\nallow = []\n";

/// Who sends what is no SIP is told so, and after a while not even that; others are served meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_on_with_garbage_is_shut_out() {
    let mut world = World::start(XMPP_DOMAIN, &format!("{DOOR}patience = 6\n")).await;
    let (bad, good) = (loopback(), loopback());
    for _ in 0..4 {
        let mut stream = connect(bad, world.gateway.tcp).await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: sip.example.net\r\n\r\n").await.unwrap();
        said(&mut stream).await;
    }
    assert!(!is_let_in(bad, world.gateway.tcp).await, "shut out");
    assert!(is_let_in(good, world.gateway.tcp).await, "others are not");
    assert_eq!(world.gateway.metric("verona_bans_total"), 1.0);
    assert_eq!(world.gateway.metric("verona_offences_total{offence=\"unreadable\"}"), 4.0);
    assert!(world.gateway.metric("verona_refused_sources_total{reason=\"banned\"}") >= 1.0);
    world.baseline_from_sip(true).await;
    world.baseline_from_xmpp().await;
}

/// Who speaks for others over a connection is shut out; by UDP anybody may have sent it, and nobody is. Nor is a peer: he passes on what others have made up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_speaks_for_others_is_shut_out() {
    let xmpp = XmppEnd::start().await;
    let more = format!("[limits]\nshards = 1\n{DOOR}patience = 9\n");
    let text = config(xmpp.address(), anywhere(), "127.0.0.1:9", XMPP_DOMAIN, &more);
    let gateway = Gateway::with(&text.replace("127.0.0.0/8", "127.64.0.0/10")).await;
    let mut link = xmpp.up().await;
    let peer: IpAddr = [127, 64 + std::process::id().to_be_bytes()[3] % 64, 1, 7].into();
    let bad = elsewhere();
    let lie = |transport: &str, local: SocketAddr, n: u32| {
        format!(
            "MESSAGE sip:nurse@{XMPP_DOMAIN} SIP/2.0\r\nVia: SIP/2.0/{transport} {local};branch=z9hG4bKlie{n}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:juliet@{XMPP_DOMAIN}>;tag={n}\r\nTo: <sip:nurse@{XMPP_DOMAIN}>\r\n\
             Call-ID: lie{n}.{local}\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n"
        )
    };
    let socket = tokio::net::UdpSocket::bind(SocketAddr::new(bad, 0)).await.unwrap();
    for n in 0..20 {
        socket.send_to(lie("UDP", socket.local_addr().unwrap(), n).as_bytes(), gateway.udp).await.unwrap();
        let mut answer = [0; 1500];
        let length = timeout(PATIENCE, socket.recv(&mut answer)).await.expect("it is refused").unwrap();
        assert!(answer[..length].starts_with(b"SIP/2.0 403 "));
    }
    assert_eq!(gateway.metric("verona_bans_total"), 0.0);
    for (source, times) in [(peer, 3), (bad, 2)] {
        let mut stream = connect(source, gateway.tcp).await;
        for n in 0..times {
            let text = lie("TCP", stream.local_addr().unwrap(), n);
            stream.write_all(text.as_bytes()).await.unwrap();
            let mut head = [0; 12];
            stream.read_exact(&mut head).await.unwrap();
            assert_eq!(&head, b"SIP/2.0 403 ", "{source}");
            drain(&mut stream).await;
        }
    }
    let banned = async {
        while gateway.metric("verona_bans_total") < 1.0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, banned).await.expect("it is shut out");
    assert!(!is_let_in(bad, gateway.tcp).await && is_let_in(peer, gateway.tcp).await);
    assert!(link.said().is_empty(), "and nobody on the other side has heard of it");
}

/// Those who have not shown yet who they are have so many places together; who has leaves one to others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_have_their_places() {
    let mut world = World::start(XMPP_DOMAIN, &format!("{DOOR}strangers = 8\n")).await;
    let greedy = loopback();
    let mut silent = Vec::new();
    for n in 0..4 {
        let mut stream = connect(greedy, world.gateway.tcp).await;
        stream.write_all(b"\r\n\r\n").await.unwrap();
        // A quarter of the places is one source's.
        assert_eq!(stream.read_exact(&mut [0; 2]).await.is_ok(), n < 2);
        if n < 2 {
            silent.push(stream);
        }
    }
    for _ in 0..6 {
        let mut stream = connect(loopback(), world.gateway.tcp).await;
        stream.write_all(b"\r\n\r\n").await.unwrap();
        stream.read_exact(&mut [0; 2]).await.unwrap();
        silent.push(stream);
    }
    assert!(!is_let_in(loopback(), world.gateway.tcp).await, "no place is left");
    assert_eq!(world.gateway.metric("verona_refused_sources_total{reason=\"strangers\"}"), 3.0);
    // One of them says something that makes sense, whatever becomes of it.
    let local = silent[0].local_addr().unwrap();
    let text = format!(
        "OPTIONS sip:{XMPP_DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TCP {local};branch=z9hG4bKo\r\nMax-Forwards: 70\r\n\
         From: <sip:romeo@{SIP_DOMAIN}>;tag=1\r\nTo: <sip:{XMPP_DOMAIN}>\r\nCall-ID: o\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    silent[0].write_all(text.as_bytes()).await.unwrap();
    let mut answer = [0; 7];
    silent[0].read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"SIP/2.0");
    assert!(is_let_in(loopback(), world.gateway.tcp).await);
    world.baseline_from_sip(false).await;
}

/// A source may open connections at its rate; all others at theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_come_at_a_rate() {
    let mut world =
        World::start(XMPP_DOMAIN, &format!("{DOOR}connections_per_source = 1\nconnections_burst = 5\n")).await;
    let fast = loopback();
    let mut let_in = 0;
    for _ in 0..20 {
        let_in += usize::from(is_let_in(fast, world.gateway.tcp).await);
    }
    assert!((5..10).contains(&let_in), "{let_in} of 20 at once");
    assert!(is_let_in(loopback(), world.gateway.tcp).await);
    assert!(world.gateway.metric("verona_refused_sources_total{reason=\"connection-rate\"}") >= 10.0);
    world.baseline_from_sip(true).await;
}

/// Datagrams beyond a source's rate are dropped; SIP sends them again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_come_at_a_rate() {
    let mut world = World::start(XMPP_DOMAIN, &format!("{DOOR}messages_per_source = 1\nmessages_burst = 2\n")).await;
    let socket = tokio::net::UdpSocket::bind(SocketAddr::new(elsewhere(), 0)).await.unwrap();
    let local = socket.local_addr().unwrap();
    let mut buffer = [0; 1500];
    for n in 0..3 {
        let text = format!(
            "OPTIONS sip:{XMPP_DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKo{n}\r\nMax-Forwards: 70\r\n\
             From: <sip:romeo@{SIP_DOMAIN}>;tag=1\r\nTo: <sip:{XMPP_DOMAIN}>\r\nCall-ID: o{n}\r\nCSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let mut sent = 0;
        let answered = async {
            loop {
                sent += 1;
                socket.send_to(text.as_bytes(), world.gateway.udp).await.unwrap();
                if let Ok(got) = timeout(Duration::from_millis(500), socket.recv(&mut buffer)).await {
                    return got.unwrap();
                }
            }
        };
        timeout(PATIENCE, answered).await.expect("it is answered in the end");
        assert_eq!(sent > 1, n == 2, "the third, and no other, has to be sent again");
    }
    assert!(world.gateway.metric("verona_refused_sources_total{reason=\"message-rate\"}") >= 1.0);
    // The operator's own proxy has no rate.
    for _ in 0..3 {
        world.baseline_from_sip(false).await;
    }
}

/// All users of a domain together have a rate, on either side.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_has_its_rate() {
    let mut world = World::start(XMPP_DOMAIN, "rate_per_domain = 1\nburst_per_domain = 3\n").await;
    let mut codes = Vec::new();
    for n in 0..6 {
        let text = message(&format!("user{n}"), &format!("sip:nurse@{XMPP_DOMAIN}"), &[], "hello");
        codes.push(world.phone.request(world.gateway.udp, text).await.unwrap().status());
    }
    assert_eq!(codes[..3], [Some(200); 3]);
    assert!(codes[3..].contains(&Some(480)), "{codes:?}");
    for n in 0..6 {
        world.link.say(format!(
            "<message from='user{n}@{XMPP_DOMAIN}/r' to='romeo@{SIP_DOMAIN}' type='chat' id='d{n}'><body>hello</body></message>"
        ));
    }
    let mut refused = 0;
    timeout(PATIENCE, async {
        while refused < 2 {
            if let crate::world::Heard::Stanza(stanza) = world.link.next().await
                && stanza.attr("type") == Some("error")
                && stanza.attr("id").is_some_and(|id| id.starts_with('d'))
            {
                refused += 1;
            }
        }
    })
    .await
    .expect("those beyond the rate come back");
}

/// Whom the operator does not want gets nothing, by neither transport.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_denied_gets_nothing() {
    let bad = loopback();
    let mut world = World::start(XMPP_DOMAIN, &format!("[abuse]\nallow = []\ndeny = [\"{bad}\"]\n")).await;
    assert!(!is_let_in(bad, world.gateway.tcp).await);
    let socket = tokio::net::UdpSocket::bind(SocketAddr::new(bad, 0)).await.unwrap();
    let local = socket.local_addr().unwrap();
    let text = format!(
        "OPTIONS sip:{XMPP_DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKo\r\nMax-Forwards: 70\r\n\
         From: <sip:romeo@{SIP_DOMAIN}>;tag=1\r\nTo: <sip:{XMPP_DOMAIN}>\r\nCall-ID: o\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    socket.send_to(text.as_bytes(), world.gateway.udp).await.unwrap();
    // What came behind it has been answered: it would have been, too.
    world.baseline_from_sip(false).await;
    assert!(socket.try_recv(&mut [0; 100]).is_err());
    assert!(world.gateway.metric("verona_refused_sources_total{reason=\"denied\"}") >= 2.0);
}

/// Who only looks whether somebody is there, as health checks do, has done nothing, however often.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_checks_are_let_in() {
    let xmpp = XmppEnd::start().await;
    let place = Place::new("health");
    let own = TestCa::new(&place).issue(&place, "own", &[XMPP_DOMAIN]);
    let more = format!("{DOOR}patience = 3\n[tls]\ncertificates = [{}]\n", own.toml());
    let text = config(xmpp.address(), anywhere(), "127.0.0.1:9", XMPP_DOMAIN, &more);
    let ip = loopback();
    let edges = [("ws", 8088), ("tls", 5061), ("wss", 8443)];
    let listen: String = edges.iter().map(|(name, port)| format!(", \"{name}:{ip}:{port}\"")).collect();
    let gateway = Gateway::with(&text.replacen("\"]\noutbound", &format!("\"{listen}]\noutbound"), 1)).await;
    let checks = elsewhere();
    for _ in 0..5 {
        for (_, port) in edges {
            drop(connect(checks, SocketAddr::new(ip, port)).await);
        }
    }
    let gone = || {
        let metrics = gateway.metrics();
        let gone = |name: &str| format!("verona_sip_failures_total{{transport=\"{name}\",reason=\"went away\"}} 5\n");
        edges.iter().all(|(name, _)| metrics.contains(&gone(name)))
    };
    let all_gone = async {
        while !gone() {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(PATIENCE, all_gone).await.is_ok(), "{}", gateway.metrics());
    assert!(!gateway.metrics().contains("verona_offences_total{offence=\"handshake\"} 1"));
    assert!(is_let_in(checks, gateway.tcp).await);
}
