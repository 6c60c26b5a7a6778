//! The gateway under pressure: what comes faster than it goes harms nobody but who sends it.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use verona::config::{Environment, Transport};
use verona::daemon::Daemon;
use verona::metrics::Meters;
use verona::state::State;

/// Longer than anything here takes on the slowest machine; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

fn configuration(xmpp: SocketAddr, sip: SocketAddr, proxy: &str, more: &str) -> String {
    format!(
        "[store]\nurl = \"memory:\"\n[[xmpp.component]]\ndomain = \"example.net\"\nserver = \"{xmpp}\"\nsecret = \"s\"\n[sip]\n\
         domains = [\"example.com\"]\nlisten = [\"udp:{sip}\", \"tcp:{sip}\"]\noutbound_proxy = \"sip:{proxy};lr\"\n{more}"
    )
}

fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// The XMPP server's end of a stream.
struct Stream {
    read: OwnedReadHalf,
    write: Option<OwnedWriteHalf>,
    seen: String,
}

impl Stream {
    async fn accept(listener: &TcpListener) -> Stream {
        let (read, mut write) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap().0.into_split();
        let ns = "xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'";
        write.write_all(format!("<stream:stream {ns} id='1'><handshake/>").as_bytes()).await.unwrap();
        let mut stream = Stream { read, write: Some(write), seen: String::new() };
        stream.until("urn:xmpp:ping").await;
        stream
    }

    async fn say(&mut self, text: &str) {
        self.write.as_mut().unwrap().write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until this has come.
    async fn until(&mut self, text: &str) {
        let mut buffer = vec![0; 65_536];
        while !self.seen.contains(text) {
            let n = timeout(PATIENCE, self.read.read(&mut buffer)).await.expect("it comes").unwrap();
            assert!(n > 0, "the stream ended");
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
        self.seen.clear();
    }
}

/// A gateway in this process, with the XMPP server's end of its stream.
struct World {
    _daemon: Daemon,
    meters: Arc<Meters>,
    udp: SocketAddr,
    stream: Stream,
}

impl World {
    async fn start(proxy: &str) -> World {
        let xmpp = TcpListener::bind(anywhere()).await.unwrap();
        let text = configuration(xmpp.local_addr().unwrap(), anywhere(), proxy, "");
        let config = verona::config::parse("test.toml", &text, Environment::of([])).unwrap().config;
        let state = Arc::new(State::new(&["example.net".to_owned()], &["udp".to_owned(), "tcp".to_owned()]));
        let meters = Arc::new(Meters::new());
        let daemon = Daemon::start(&config, state, Arc::clone(&meters)).await.unwrap();
        let udp = daemon.listening(Transport::Udp)[0];
        let stream = Stream::accept(&xmpp).await;
        World { _daemon: daemon, meters, udp, stream }
    }

    /// A number of the metrics; 0 if it is not there. `name` with its labels.
    fn metric(&self, name: &str) -> f64 {
        let text = self.meters.render();
        text.lines().find_map(|l| l.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0.0)
    }
}

fn message(n: usize) -> String {
    format!(
        "MESSAGE sip:juliet@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK{n};rport\r\n\
         From: <sip:romeo@example.net>;tag=a{n}\r\nTo: <sip:juliet@example.com>\r\nCall-ID: {n}@x\r\nCSeq: 1 MESSAGE\r\n\
         Max-Forwards: 70\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
    )
}

/// 200 to a request.
fn ok(r: &sip::Request) -> String {
    use sip::Name;
    let mut out = "SIP/2.0 200 OK\r\n".to_owned();
    for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
        out.push_str(&format!("{}: {}\r\n", name.as_str(), r.headers.get(name).unwrap()));
    }
    out.push_str("Content-Length: 0\r\n\r\n");
    out
}

/// A proxy that answers 200 to everything by TCP; how many requests came.
async fn proxy() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(anywhere()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let came = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&came);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(answer(stream, Arc::clone(&count)));
        }
    });
    (address, came)
}

async fn answer(mut stream: TcpStream, came: Arc<AtomicUsize>) {
    let mut decoder = sip::StreamDecoder::new(sip::Limits::default());
    let mut buffer = vec![0; 65_536];
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        decoder.push(&buffer[..n]);
        let mut out = String::new();
        while let Ok(Some(frame)) = decoder.next() {
            if let sip::Frame::Message(sip::Message::Request(r)) = frame {
                came.fetch_add(1, Ordering::Relaxed);
                out.push_str(&ok(&r));
            }
        }
        if stream.write_all(out.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Nobody but the gateway's own haste closed that connection once, and everything under way on it failed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_to_a_tcp_proxy_arrives() {
    const MESSAGES: usize = 3_000;
    let (proxy, came) = proxy().await;
    let mut world = World::start(&format!("{proxy};transport=tcp")).await;
    let to =
        |n| format!("<message from='juliet@example.com/b' to='r{n}@example.net' id='m{n}'><body>hi</body></message>");
    let burst: String = (0..MESSAGES).map(to).collect();
    world.stream.say(&burst).await;
    let settled = || {
        let of = |what| world.metric(&format!("verona_messages_total{{direction=\"xmpp_to_sip\",outcome=\"{what}\"}}"));
        (of("delivered"), of("failed") + of("refused"))
    };
    let all = async {
        while settled().0 + settled().1 < MESSAGES as f64 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, all).await.expect("all are settled");
    assert_eq!(settled(), (MESSAGES as f64, 0.0));
    assert_eq!(came.load(Ordering::Relaxed), MESSAGES);
}

/// Presence to nobody costs the shards little, so that the stream itself is what is busy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_from_the_xmpp_server_does_not_hold_up_what_goes_there() {
    let mut world = World::start("127.0.0.1:9").await;
    let flood: String =
        (0..2_000).map(|n| format!("<presence from='juliet@example.com/b{n}' to='r{n}@example.net'/>")).collect();
    let mut write = world.stream.write.take().unwrap();
    let flooding = tokio::spawn(async move { while write.write_all(flood.as_bytes()).await.is_ok() {} });
    let phone = UdpSocket::bind(anywhere()).unwrap();
    for n in 0..20 {
        phone.send_to(message(n).as_bytes(), world.udp).unwrap();
        world.stream.until("</message>").await;
    }
    flooding.abort();
}

/// The program itself.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // Already gone when the test went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    fn start(name: &str, text: &str) -> Program {
        let file = std::env::temp_dir().join(format!("verona-pressure-{}-{name}.toml", std::process::id()));
        std::fs::write(&file, text).unwrap();
        let mut program = Command::new(env!("CARGO_BIN_EXE_verona"));
        let child =
            program.args(["run".as_ref(), "-c".as_ref(), file.as_os_str()]).stderr(Stdio::null()).spawn().unwrap();
        Program(child)
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.0.id().to_string()]).status().unwrap().success());
    }
}

/// A phone that is the gateway's proxy, and what it gets first.
fn first_request(phone: &UdpSocket) -> (sip::Request, SocketAddr) {
    phone.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = vec![0; 65_536];
    let (n, from) = phone.recv_from(&mut buffer).unwrap();
    match sip::parse_datagram(&bytes::Bytes::copy_from_slice(&buffer[..n]), &sip::Limits::default()) {
        Ok(sip::Message::Request(request)) => (request, from),
        other => unreachable!("{other:?}"),
    }
}

/// Fault 15: what came during a standstill goes before the timers that passed in it.
#[tokio::test]
async fn an_answer_that_came_while_the_process_stood_still_counts() {
    let xmpp = TcpListener::bind(anywhere()).await.unwrap();
    let phone = UdpSocket::bind(anywhere()).unwrap();
    // Timer F: 3.2 s.
    let text = configuration(
        xmpp.local_addr().unwrap(),
        anywhere(),
        &phone.local_addr().unwrap().to_string(),
        "t1 = \"50ms\"\n",
    );
    let program = Program::start("standstill", &text);
    let mut stream = Stream::accept(&xmpp).await;
    stream.say("<message from='juliet@example.com/b' to='romeo@example.net' id='1'><body>hi</body></message>").await;
    let (request, gateway) = first_request(&phone);
    program.signal("-STOP");
    phone.send_to(ok(&request).as_bytes(), gateway).unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    program.signal("-CONT");
    // In answer to the ping that it sends behind everything else, an error would have come before.
    let until = tokio::time::Instant::now() + Duration::from_secs(2);
    let mut buffer = vec![0; 65_536];
    let mut seen = String::new();
    while let Ok(n) = tokio::time::timeout_at(until, stream.read.read(&mut buffer)).await {
        seen.push_str(&String::from_utf8_lossy(&buffer[..n.unwrap()]));
        assert!(!seen.contains("<message"), "{seen}");
    }
}

/// Once: what is under way may end. Twice: at once.
#[tokio::test]
async fn who_says_it_twice_does_not_wait() {
    let xmpp = TcpListener::bind(anywhere()).await.unwrap();
    let phone = UdpSocket::bind(anywhere()).unwrap();
    let text = configuration(xmpp.local_addr().unwrap(), anywhere(), &phone.local_addr().unwrap().to_string(), "");
    let mut program = Program::start("twice", &text);
    let mut stream = Stream::accept(&xmpp).await;
    stream.say("<message from='juliet@example.com/b' to='romeo@example.net' id='1'><body>hi</body></message>").await;
    first_request(&phone);
    program.signal("-TERM");
    // The second one that finds it draining ends it; two that come together may be one.
    let begun = std::time::Instant::now();
    while program.0.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(15), "it waits");
        program.signal("-TERM");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
