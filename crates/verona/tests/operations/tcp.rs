//! SIP over TCP, both ways.

use crate::rig::{PATIENCE, SILENCE, Settings, World, body, condition, phones};
use rehearsal::wire::SipText;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use xmpp::error::Condition;

/// A connection to the gateway, and what came over it.
pub(crate) struct Wire {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Wire {
    pub(crate) async fn new(gateway: SocketAddr) -> Wire {
        let stream = TcpStream::connect(gateway).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Wire { stream, bytes: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Waits for more; false at the end.
    async fn more(&mut self) -> bool {
        tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.bytes)).await.unwrap().unwrap() > 0
    }

    /// So many bytes.
    async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.bytes.len() < count {
            assert!(self.more().await, "the connection ends");
        }
        self.bytes.drain(..count).collect()
    }

    /// The next message. What the gateway sends has a Content-Length.
    pub(crate) async fn message(&mut self) -> SipText {
        loop {
            let head = self.bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
            if let Some(head) = head {
                let message = SipText::parse(&self.bytes[..head]).unwrap();
                let length: usize = message.header("Content-Length").unwrap().parse().unwrap();
                let bytes = self.take(head + length).await;
                return SipText::parse(&bytes).unwrap();
            }
            assert!(self.more().await, "the connection ends");
        }
    }

    /// Whether the gateway has closed it, with nothing more to say.
    async fn is_closed(&mut self) -> bool {
        !self.more().await && self.bytes.is_empty()
    }
}

/// A MESSAGE for TCP, whole.
pub(crate) fn text(from: &str, to: &str, name: &str, text: &str) -> Vec<u8> {
    let mut request =
        SipText { start: format!("MESSAGE {to} SIP/2.0"), headers: vec![], body: text.as_bytes().to_vec() };
    for (name, value) in [
        // Nobody listens there: an answer that does not come over the connection does not come.
        ("Via", format!("SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK{name}")),
        ("Max-Forwards", "70".to_owned()),
        ("From", format!("<{from}>;tag={name}")),
        ("To", format!("<{to}>")),
        ("Call-ID", name.to_owned()),
        ("CSeq", "1 MESSAGE".to_owned()),
        ("Content-Type", "text/plain".to_owned()),
    ] {
        request.push(name, value);
    }
    request.to_bytes()
}

fn romeo(name: &str, to: &str) -> Vec<u8> {
    text("sip:romeo@example.net", to, name, name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_messages_on_one_connection_in_any_pieces() {
    let mut world = World::new("one-connection", &Settings::default()).await;
    let mut wire = Wire::new(world.sip).await;
    // Keep-alives (RFC 5626 §4.4.1) before, between and behind.
    wire.send(b"\r\n\r\n").await;
    assert_eq!(wire.take(2).await, b"\r\n");
    let mut all: Vec<u8> = ["a", "b", "c"].iter().flat_map(|name| romeo(name, "sip:juliet@example.com")).collect();
    all.extend_from_slice(&romeo("d", "sip:nobody@example.com"));
    for piece in all.chunks(97) {
        wire.send(piece).await;
        tokio::task::yield_now().await;
    }
    let mut answers = Vec::new();
    for _ in 0..4 {
        let answer = wire.message().await;
        answers.push((answer.header("Call-ID").unwrap().to_owned(), answer.status().unwrap()));
    }
    answers.sort();
    let refused = answers.pop().unwrap();
    assert!(refused.0 == "d" && matches!(refused.1, 404 | 604), "{refused:?}");
    assert_eq!(answers, [("a".to_owned(), 200), ("b".to_owned(), 200), ("c".to_owned(), 200)]);
    // The order is that of each pair.
    let mut arrived = Vec::new();
    for _ in 0..4 {
        arrived.push(body(&world.at_juliet().await));
    }
    arrived.retain(|name| name != "d");
    assert_eq!(arrived, ["a", "b", "c"]);
    wire.send(b"\r\n\r\n\r\n\r\n").await;
    assert_eq!(wire.take(4).await, b"\r\n\r\n");
    assert_eq!(world.program.metric("verona_sip_connections{transport=\"tcp\"}"), 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_ends_or_breaks_takes_nobody_with_it() {
    let settings = Settings { keys: "limits.half_message = \"1s\"".to_owned(), ..Settings::default() };
    let mut world = World::new("broken", &settings).await;
    let good = romeo("good", "sip:juliet@example.com");

    // Closed in the middle of a message, behind a whole one.
    let mut wire = Wire::new(world.sip).await;
    wire.send(&[good.as_slice(), &romeo("half", "sip:juliet@example.com")[..200]].concat()).await;
    assert_eq!(wire.message().await.status(), Some(200));
    assert_eq!(body(&world.at_juliet().await), "good");
    drop(wire);
    world.program.wait_until("/metrics", |_, page| page.contains("\nverona_sip_connections{transport=\"tcp\"} 0\n"));

    // Not closed, and not ended: the gateway does not wait for ever. Nor for a first message that never comes.
    let mut slow = Wire::new(world.sip).await;
    slow.send(&good[..200]).await;
    let mut mute = Wire::new(world.sip).await;
    assert!(slow.is_closed().await && mute.is_closed().await);

    // No length, no framing: an answer that says so, and the end.
    let mut wire = Wire::new(world.sip).await;
    let without = String::from_utf8(good.clone()).unwrap().replace("Content-Length: 4\r\n", "");
    wire.send(without.as_bytes()).await;
    assert_eq!(wire.message().await.status(), Some(400));
    assert!(wire.is_closed().await);

    // A sender that is gone when its answer comes.
    world.server.hold(true);
    let mut wire = Wire::new(world.sip).await;
    wire.send(&romeo("gone", "sip:juliet@example.com")).await;
    assert!(world.server.wait_held(1, PATIENCE).await);
    drop(wire);
    world.program.wait_until("/metrics", |_, page| page.contains("\nverona_sip_connections{transport=\"tcp\"} 0\n"));
    world.server.hold(false);
    assert_eq!(body(&world.at_juliet().await), "gone");

    let mut wire = Wire::new(world.sip).await;
    wire.send(&romeo("after", "sip:juliet@example.com")).await;
    assert_eq!(wire.message().await.status(), Some(200));
    assert_eq!(body(&world.at_juliet().await), "after");
    assert_eq!(world.server.next(SILENCE).await, None, "half a message is none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_next_hop_by_tcp_that_comes_and_goes() {
    let settings = Settings { transport: "tcp", ..Settings::default() };
    let mut world = World::new("next-hop", &settings).await;
    for text in ["1", "2", "3"] {
        world.juliet_says("romeo@example.net", text, text);
        let got = world.at_romeo().await;
        assert_eq!(got.text(), text);
        assert!(got.header("Via").unwrap().starts_with("SIP/2.0/TCP "), "{got}");
    }
    world.juliet_says("rosaline@example.net", "4", "4");
    assert_eq!(condition(&world.at_juliet().await), Some(Condition::ItemNotFound));
    assert_eq!(world.at_romeo().await.text(), "4");
    assert_eq!(world.program.metric("verona_sip_connections{transport=\"tcp\"}"), 1.0, "one connection for all");

    // Gone: the sender is told at once, not after 32 s. Back: a new connection.
    let address = world.phone.address();
    world.phone = world.another_phone().await;
    world.program.wait_until("/metrics", |_, page| page.contains("\nverona_sip_connections{transport=\"tcp\"} 0\n"));
    world.juliet_says("romeo@example.net", "5", "5");
    let error = tokio::time::timeout(Duration::from_secs(10), world.at_juliet()).await.unwrap();
    assert_eq!((error.id.as_deref(), condition(&error)), (Some("5"), Some(Condition::RemoteServerTimeout)));
    world.phone = World::phone(address, phones).await;
    world.juliet_says("romeo@example.net", "6", "6");
    assert_eq!(world.at_romeo().await.text(), "6");
    // The way back is there, too.
    let ok = world.phone.request_tcp(world.sip, SipText::parse(&romeo("7", "sip:juliet@example.com")).unwrap());
    assert_eq!(ok.await.unwrap().status(), Some(200));
    assert_eq!(body(&world.at_juliet().await), "7");
    assert_eq!(world.server.next(SILENCE).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_answer_may_take_longer_than_a_message_on_its_way() {
    // What bounds how long a message may be on its way must not bound how long its recipient thinks about it.
    let settings =
        Settings { keys: "limits.half_message = \"1s\"".to_owned(), transport: "tcp", ..Settings::default() };
    let slow = |_: &SipText| {
        std::thread::sleep(Duration::from_millis(1500));
        (404, "Not Found".to_owned())
    };
    let mut world = World::with("slow-answer", &settings, slow).await;
    world.juliet_says("romeo@example.net", "1", "1");
    assert_eq!(condition(&world.at_juliet().await), Some(Condition::ItemNotFound));
    assert_eq!(world.at_romeo().await.text(), "1");
}
