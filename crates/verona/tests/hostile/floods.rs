//! Too much of everything: nonsense, retransmissions, strangers.

use crate::world::{Heard, SIP_DOMAIN, World, XMPP_DOMAIN, body_of, loopback};
use base::Tokens;
use rehearsal::fuzz::mutation;
use rehearsal::wire::SipText;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The most memory that the gateway may have at any time.
const MOST_KIB: u64 = 56 * 1024;

fn request(user: &str, n: usize, body: &str) -> String {
    format!(
        "MESSAGE sip:nurse@{XMPP_DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK{user}{n};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:{user}@{SIP_DOMAIN}>;tag=t{n}\r\nTo: <sip:nurse@{XMPP_DOMAIN}>\r\nCall-ID: {user}{n}@192.0.2.10\r\nCSeq: 1 MESSAGE\r\n\
         Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Damaged messages and noise on UDP and TCP. What is left of a message may be one; nothing else comes of it, and good ones pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_nonsense() {
    let mut world = World::start(XMPP_DOMAIN, "half_message = \"1s\"\n").await;
    let mut tokens = Tokens::seeded(3);
    let seeds: Vec<Vec<u8>> = vec![
        request("romeo", 1, "Good day & <b>well</b> met").into_bytes(),
        request("peter", 2, "x").replace("Content-Type: text/plain", "Content-Type: message/cpim").into_bytes(),
        request("gregory", 3, "x").replace("MESSAGE", "INVITE").into_bytes(),
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKaa\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: x\r\nCSeq: 1 MESSAGE\r\n\r\n".to_vec(),
        vec![0; 1400],
    ];
    let damaged = |tokens: &mut Tokens| {
        let mut pick = || usize::try_from(tokens.below(seeds.len() as u64)).unwrap();
        let (one, other) = (pick(), pick());
        let once = mutation(&seeds[one], &seeds[other], tokens);
        mutation(&once, &seeds[other], tokens)
    };
    let udp = UdpSocket::bind(SocketAddr::new(loopback(), 0)).await.unwrap();
    for n in 0..10_000 {
        let _ = udp.send_to(&damaged(&mut tokens), world.gateway.udp).await;
        if n % 2000 == 0 {
            world.baseline_from_sip(false).await.iter().for_each(sound);
        }
    }
    let mut streams = JoinSet::new();
    for _ in 0..200 {
        let junk: Vec<u8> = (0..20).flat_map(|_| damaged(&mut tokens)).collect();
        let gateway = world.gateway.tcp;
        streams.spawn(async move {
            let mut stream = TcpStream::connect(gateway).await.unwrap();
            let _ = stream.write_all(&junk).await;
            timeout(Duration::from_secs(10), async {
                while matches!(stream.read(&mut [0; 4096]).await, Ok(n) if n > 0) {}
            })
            .await
        });
    }
    while let Some(end) = streams.join_next().await {
        assert!(end.unwrap().is_ok(), "a connection that lost its framing stays open");
    }
    world.baseline_from_sip(false).await.iter().for_each(sound);
    world.baseline_from_sip(true).await.iter().for_each(sound);
    assert_eq!(world.baseline_from_xmpp().await, [], "nothing went to SIP");
    assert_eq!(world.gateway.metric("verona_panics_total"), 0.0);
}

/// A stanza that the gateway may send.
fn sound(stanza: &xml::Element) {
    assert!(
        stanza.attr("from").is_some_and(|f| f.split('/').next().is_some_and(|f| f.ends_with("@sip.example.net"))),
        "{stanza:?}"
    );
    assert!(
        stanza.attr("to").is_some_and(|t| t.split('/').next().is_some_and(|t| t.ends_with("@xmpp.example.com"))),
        "{stanza:?}"
    );
}

/// THREATS 42, fault 11: the same request a thousand times, before and after its answer: one stanza, and always the same answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_retransmissions() {
    let mut world = World::start(XMPP_DOMAIN, "").await;
    let phone = UdpSocket::bind(SocketAddr::new(loopback(), 0)).await.unwrap();
    let storm = request("romeo", 1, "but once");
    let refused = request("romeo", 2, "never").replace(&format!("nurse@{XMPP_DOMAIN}"), "nurse@nowhere.example");
    for _ in 0..1000 {
        phone.send_to(storm.as_bytes(), world.gateway.udp).await.unwrap();
        phone.send_to(refused.as_bytes(), world.gateway.udp).await.unwrap();
    }
    let stanzas = world.baseline_from_sip(false).await;
    assert_eq!(stanzas.iter().filter_map(body_of).collect::<Vec<_>>(), ["but once"]);
    let mut answers: Vec<BTreeSet<Vec<u8>>> = vec![BTreeSet::new(); 2];
    let mut buffer = vec![0; 65_536];
    let mut collect = |answers: &mut Vec<BTreeSet<Vec<u8>>>| {
        let mut count = 0;
        while let Ok(n) = phone.try_recv(&mut buffer) {
            let second = SipText::parse(&buffer[..n]).unwrap().header("CSeq").is_some()
                && buffer[..n].windows(6).any(|w| w == b"romeo2");
            answers[usize::from(second)].insert(buffer[..n].to_vec());
            count += 1;
        }
        count
    };
    assert!(collect(&mut answers) >= 2, "both are answered");
    for _ in 0..50 {
        phone.send_to(storm.as_bytes(), world.gateway.udp).await.unwrap();
        phone.send_to(refused.as_bytes(), world.gateway.udp).await.unwrap();
    }
    assert_eq!(world.baseline_from_sip(false).await, [], "not once more");
    assert_eq!(collect(&mut answers), 100, "each is answered again");
    for (answers, code) in answers.iter().zip([200, 404]) {
        assert_eq!(answers.len(), 1, "always the same answer: {answers:?}");
        let answer = SipText::parse(answers.first().unwrap()).unwrap();
        assert_eq!(answer.status(), Some(code), "{answer}");
    }
}

/// Fault 24: senders, transactions and conversations that are all different, from both sides; nothing of it stays for long, and the
/// whole process has at most 64 MiB at any time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_bounded_under_a_flood_of_strangers() {
    const SIP: usize = 20_000;
    const XMPP: usize = 10_000;
    const WINDOW: usize = 200;
    let mut world = World::spawn(XMPP_DOMAIN, "").await;
    let phone = UdpSocket::bind(SocketAddr::new(loopback(), 0)).await.unwrap();
    let idle = world.gateway.peak_kib();
    let start = Instant::now();
    let body = "x".repeat(700);
    let mut buffer = vec![0; 65_536];
    let mut accepted = 0;
    for n in 0..SIP {
        phone.send_to(request(&format!("s{n}-"), n, &body).as_bytes(), world.gateway.udp).await.unwrap();
        if n % WINDOW == WINDOW - 1 {
            // Those that were lost on the way are lost: the phone does not repeat itself.
            for _ in 0..WINDOW {
                let Ok(read) = timeout(Duration::from_millis(500), phone.recv(&mut buffer)).await else { break };
                accepted += usize::from(buffer[..read.unwrap()].starts_with(b"SIP/2.0 200"));
            }
            world.link.said();
        }
    }
    let mut stanzas = String::new();
    for n in 0..XMPP {
        stanzas.push_str(&format!(
            "<message from='u{n}@{XMPP_DOMAIN}/r{n}' to='p{n}@{SIP_DOMAIN}' id='i{n}'><body>{}</body><thread>t{n}</thread></message>",
            &body[..300]
        ));
        if n % WINDOW == WINDOW - 1 {
            world.link.say(std::mem::take(&mut stanzas));
            for _ in 0..WINDOW {
                world.phone.next(Duration::from_secs(5)).await.expect("each reaches the phone");
            }
        }
    }
    let peak = world.gateway.peak_kib();
    assert!(accepted > SIP / 2, "{accepted} of {SIP} were accepted in {:?}", start.elapsed());
    assert!(peak < MOST_KIB, "{peak} KiB, {idle} when idle");
    assert!(
        world.link.said().iter().all(|h| matches!(h, Heard::Stanza(e) if e.attr("type") != Some("error"))),
        "all was delivered"
    );
    world.baseline_from_sip(false).await;
    world.baseline_from_xmpp().await;
}

/// The same while the XMPP server takes nothing: what waits is bounded, and the rest is told to come again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_bounded_while_the_server_takes_nothing() {
    let mut world = World::spawn(XMPP_DOMAIN, "").await;
    world.baseline_from_sip(false).await;
    world.link.stop_reading();
    let idle = world.gateway.peak_kib();
    let phone = UdpSocket::bind(SocketAddr::new(loopback(), 0)).await.unwrap();
    let large = "x".repeat(50_000);
    let mut sent = 0;
    let mut refused = 0;
    let mut buffer = vec![0; 65_536];
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(900) {
        phone.send_to(request(&format!("s{sent}-"), sent, &large).as_bytes(), world.gateway.udp).await.unwrap();
        sent += 1;
        while let Ok(n) = phone.try_recv(&mut buffer) {
            refused += usize::from(buffer[..n].starts_with(b"SIP/2.0 503"));
        }
    }
    assert!(
        world.gateway.peak_kib() < MOST_KIB,
        "{} KiB after {sent} messages, {idle} when idle",
        world.gateway.peak_kib()
    );
    world.reconnected().await;
    while let Ok(Ok(n)) = timeout(Duration::from_secs(1), phone.recv(&mut buffer)).await {
        refused += usize::from(buffer[..n].starts_with(b"SIP/2.0 503"));
    }
    assert!(refused > 0, "of {sent} nobody was told");
    assert!(
        world.gateway.peak_kib() < MOST_KIB,
        "{} KiB after {sent} messages, {idle} when idle",
        world.gateway.peak_kib()
    );
    world.baseline_from_sip(false).await;
    world.baseline_from_xmpp().await;
}
