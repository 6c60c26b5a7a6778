//! Chat sessions through the running program: a SIP user by TCP and MSRP, an XMPP user behind the stub server.

use crate::rig::{NOTHING_OPEN, PATIENCE, Settings, World, body, message};
use crate::tcp::Wire;
use rehearsal::wire::SipText;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use xml::Element;
use xmpp::ns;

/// With sockets for sessions.
fn settings(keys: &str) -> Settings {
    let keys = format!(
        "msrp.listen = [\"tcp:127.0.0.1:0\", \"tls:127.0.0.1:0\"]\nsecurity.allow_networks = [\"127.0.0.0/8\"]\nlog.level = \"info\"\n{keys}"
    );
    Settings { keys, ..Settings::default() }
}

/// Our own description, as Romeo's phone has it.
fn description(path: &str, port: u16, more: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=message {port} TCP/MSRP *\r\n\
         a=accept-types:text/plain\r\na=path:{path}\r\n{more}"
    )
}

/// One end of a dialog with the gateway, which Romeo opened.
struct Dialog {
    wire: Wire,
    name: &'static str,
    answer: SipText,
}

impl Dialog {
    async fn open(world: &World, name: &'static str, description: String) -> Dialog {
        let mut wire = Wire::new(world.sip).await;
        let mut invite = request("INVITE", "sip:juliet@example.com", name, "<sip:juliet@example.com>", 1);
        invite.push("Contact", format!("<sip:romeo@{};gr=dr4hcr0st3lup4c>", world.phone.address()));
        invite.push("Content-Type", "application/sdp");
        invite.body = description.into_bytes();
        wire.send(&invite.to_bytes()).await;
        let mut answer = wire.message().await;
        while answer.status().is_some_and(|code| code < 200) {
            answer = wire.message().await;
        }
        Dialog { wire, name, answer }
    }

    async fn send(&mut self, method: &str, number: u32) {
        let contact = rehearsal::wire::uri_of(self.answer.header("Contact").unwrap()).to_owned();
        let to = self.answer.header("To").unwrap().to_owned();
        self.wire.send(&request(method, &contact, self.name, &to, number).to_bytes()).await;
    }

    async fn acknowledge(&mut self) {
        assert_eq!(self.answer.status(), Some(200), "{}", self.answer);
        self.send("ACK", 1).await;
    }

    /// The gateway's path, and where that leads.
    fn path(&self) -> (String, SocketAddr) {
        let answer = self.answer.text();
        let path = answer.lines().find_map(|line| line.strip_prefix("a=path:")).unwrap();
        let place = path.split("//").nth(1).unwrap().split('/').next().unwrap();
        (path.to_owned(), place.parse().unwrap())
    }
}

fn request(method: &str, uri: &str, name: &str, to: &str, number: u32) -> SipText {
    let mut request = SipText { start: format!("{method} {uri} SIP/2.0"), headers: vec![], body: vec![] };
    for (header, value) in [
        ("Via", format!("SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK{name}{method}{number}")),
        ("Max-Forwards", "70".to_owned()),
        ("From", format!("<sip:romeo@example.net>;tag={name}")),
        ("To", to.to_owned()),
        ("Call-ID", name.to_owned()),
        ("CSeq", format!("{number} {method}")),
    ] {
        request.push(header, value);
    }
    request
}

/// An MSRP connection and what came over it.
struct Frames<S> {
    stream: S,
    bytes: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    fn new(stream: S) -> Frames<S> {
        Frames { stream, bytes: Vec::new() }
    }

    async fn say(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next frame; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            let text = String::from_utf8_lossy(&self.bytes).into_owned();
            if let Some(id) = text.strip_prefix("MSRP ").and_then(|rest| rest.split(' ').next())
                && let Some(at) = text.find(&format!("-------{id}"))
                && let Some(end) = text[at..].find("\r\n")
            {
                self.bytes.drain(..at + end + 2);
                return Some(text[..at + end + 2].to_owned());
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.bytes)).await.expect("a frame, or the end");
            if !matches!(read, Ok(1..)) {
                return None;
            }
        }
    }
}

fn send(to: &str, from: &str, id: &str, text: &str) -> String {
    format!(
        "MSRP {id} SEND\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\nMessage-ID: {id}m\r\nByte-Range: 1-{0}/{0}\r\nContent-Type: \
         text/plain\r\n\r\n{text}\r\n-------{id}$\r\n",
        text.len()
    )
}

/// The 200 to a request.
fn ok(frame: &str) -> String {
    let id = frame.split(' ').nth(1).unwrap();
    let path = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    format!(
        "MSRP {id} 200 OK\r\nTo-Path: {}\r\nFrom-Path: {}\r\n-------{id}$\r\n",
        path("From-Path: "),
        path("To-Path: ")
    )
}

fn verona(arguments: &[&str]) -> (Option<i32>, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_verona")).args(arguments).output().unwrap();
    (out.status.code(), String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap())
}

const OURS: &str = "msrp://127.0.0.1:9/ansp71weztas9;tcp";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_from_the_first_word_to_the_last() {
    let mut world = World::new("chat", &settings("")).await;
    let mut dialog = Dialog::open(&world, "first-chat", description(OURS, 9, "a=setup:active\r\n")).await;
    dialog.acknowledge().await;
    let (gateway, place) = dialog.path();
    let mut romeo = Frames::new(TcpStream::connect(place).await.unwrap());
    romeo.say(&send(&gateway, OURS, "ad49kswow1", "I take thee at thy word")).await;
    let stanza = world.at_juliet().await;
    assert_eq!(body(&stanza), "I take thee at thy word");
    assert!(romeo.next().await.unwrap().starts_with("MSRP ad49kswow1 200"));

    let thread = Element::new("thread", ns::CLIENT).with_text("first-chat");
    let said = message("juliet@example.com/balcony", "romeo@example.net", "j1", "What man art thou?");
    world.server.send(said.with_type("chat").with_child(thread));
    let frame = romeo.next().await.unwrap();
    assert!(frame.contains("\r\n\r\nWhat man art thou?\r\n"), "{frame}");
    romeo.say(&ok(&frame)).await;

    // Who asks gets to know; nobody else does.
    let listed = world.program.wait_until("/sessions", |_, page| page.contains("\"messages\":2,"));
    assert!(listed.contains("\"open\":true") && listed.contains("\"opened_by\":\"sip\""), "{listed}");
    let (code, lines) = verona(&["sessions", "--admin", &world.program.admin.to_string()]);
    let words: Vec<&str> = lines.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(
        (code, &words[..4]),
        (Some(0), &["romeo@example.net/dr4hcr0st3lup4c", "juliet@example.com/balcony", "sip", "open"][..])
    );
    assert_eq!((words[6], words[7], words[8]), ("2", "0", "first-chat"), "{lines}");
    assert_eq!(verona(&["sessions", "-c", world.place.file().to_str().unwrap()]).1.lines().count(), 2);
    let json = verona(&["sessions", "--json", "-c", world.place.file().to_str().unwrap()]).1;
    assert!(json.contains("\"sessions\":[{") && json.contains("\"thread\":\"first-chat\""), "{json}");
    let page = world.program.ask("/metrics").1;
    let sum = |name: &str| -> f64 {
        let of = page.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit(' ').next());
        of.map(|value| value.parse::<f64>().unwrap()).sum()
    };
    assert_eq!(
        (sum("verona_sessions{"), sum("verona_msrp_sessions{"), sum("verona_msrp_connections ")),
        (1.0, 1.0, 1.0)
    );
    assert_eq!(sum("verona_sessions_total{direction=\"sip_to_xmpp\",outcome=\"opened\"}"), 1.0);
    assert_eq!(sum("verona_session_setup_seconds_count{direction=\"sip_to_xmpp\"}"), 1.0);
    assert_eq!(
        (sum("verona_msrp_messages_total{way=\"in\""), sum("verona_msrp_messages_total{way=\"out\"")),
        (1.0, 1.0)
    );
    assert_eq!((sum("verona_msrp_bytes_total{way=\"in\""), sum("verona_msrp_bytes_total{way=\"out\"")), (23.0, 18.0));
    assert!(!page.contains("romeo") && !page.contains("juliet"), "{page}");

    dialog.send("BYE", 2).await;
    assert_eq!(dialog.wire.message().await.status(), Some(200));
    let page = world.program.wait_until("/metrics", |_, page| page.contains("sip_to_xmpp\",outcome=\"ended\"} 1"));
    assert!(!page.contains("outcome=\"lost\"} 1"), "{page}");
    assert_eq!(world.program.ask("/sessions"), (200, NOTHING_OPEN.to_owned()));
    let log = world.program.log();
    assert!(!log.contains("romeo") && !log.contains("thy word"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_phone_waits_the_gateway_connects_and_nowhere_else() {
    let mut world = World::new("connects", &settings("")).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let ours = format!("msrp://127.0.0.1:{port}/ansp71weztas9;tcp");
    let mut dialog = Dialog::open(&world, "waits", description(&ours, port, "a=setup:passive\r\n")).await;
    dialog.acknowledge().await;
    let stream = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap().0;
    let mut romeo = Frames::new(stream);
    let first = romeo.next().await.unwrap();
    assert!(first.contains(" SEND\r\n") && first.contains(&format!("To-Path: {ours}\r\n")), "{first}");
    romeo.say(&ok(&first)).await;
    romeo.say(&send(&dialog.path().0, &ours, "ad49kswow2", "hi")).await;
    assert_eq!(body(&world.at_juliet().await), "hi");
    assert!(romeo.next().await.unwrap().contains(" 200"));
    // What nobody uses any more is closed.
    dialog.send("BYE", 2).await;
    assert_eq!(dialog.wire.message().await.status(), Some(200));
    assert_eq!(romeo.next().await, None);

    let inside = "msrp://10.0.0.1:2855/ansp71weztas9;tcp";
    let dialog = Dialog::open(&world, "inside", description(inside, 2855, "a=setup:passive\r\n")).await;
    assert!(dialog.answer.status().is_some_and(|code| code >= 400), "{}", dialog.answer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_ends_the_session_and_so_does_sigterm() {
    let mut world = World::new("lost-session", &settings("limits.drain = \"5s\"")).await;
    let mut dialog = Dialog::open(&world, "lost-one", description(OURS, 9, "a=setup:active\r\n")).await;
    dialog.acknowledge().await;
    let (gateway, place) = dialog.path();
    let mut romeo = Frames::new(TcpStream::connect(place).await.unwrap());
    romeo.say(&send(&gateway, OURS, "ad49kswow3", "one")).await;
    assert_eq!(body(&world.at_juliet().await), "one");
    assert!(romeo.next().await.unwrap().contains(" 200"));
    // In the middle of a chunk.
    romeo.say(&send(&gateway, OURS, "ad49kswow4", "two")[..150]).await;
    drop(romeo);
    let bye = world.at_romeo().await;
    assert!(bye.start.starts_with("BYE ") && bye.header("Call-ID") == Some("lost-one"), "{bye}");
    world.program.wait_until("/metrics", |_, page| page.contains("sip_to_xmpp\",outcome=\"lost\"} 1"));

    let mut dialog = Dialog::open(&world, "last-one", description(OURS, 9, "a=setup:active\r\n")).await;
    dialog.acknowledge().await;
    let (gateway, place) = dialog.path();
    let mut romeo = Frames::new(TcpStream::connect(place).await.unwrap());
    romeo.say(&send(&gateway, OURS, "ad49kswow5", "three")).await;
    assert!(romeo.next().await.unwrap().contains(" 200"));
    world.program.signal("-TERM");
    let bye = world.at_romeo().await;
    assert!(bye.start.starts_with("BYE ") && bye.header("Call-ID") == Some("last-one"), "{bye}");
    assert_eq!(romeo.next().await, None);
    let (code, log) = world.program.end();
    assert_eq!(code, Some(0), "{log}");
}

/// Takes any server: the test looks at its certificate itself.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A phone's end of TLS with a certificate of its own, and that one's hash as descriptions have it.
fn phone_of_tls() -> (TlsConnector, String) {
    let minted = rcgen::generate_simple_self_signed(["phone.example".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = minted.cert.der().clone();
    let hash = fingerprint(&certificate);
    let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
        .with_client_auth_cert(vec![certificate], minted.signing_key.serialize_der().try_into().unwrap())
        .unwrap();
    (TlsConnector::from(Arc::new(config)), hash)
}

fn fingerprint(certificate: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    let bytes: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    format!("a=fingerprint:SHA-256 {}", bytes.join(":"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_each_side_shows_the_certificate_that_it_has_described() {
    let mut world = World::new("tls-session", &settings("")).await;
    let ours = OURS.replace("msrp:", "msrps:");
    let ((right, hash), (wrong, _)) = (phone_of_tls(), phone_of_tls());
    let offer = description(&ours, 9, &format!("a=setup:active\r\n{hash}\r\n")).replace("TCP/MSRP", "TCP/TLS/MSRP");
    let mut dialog = Dialog::open(&world, "over-tls", offer).await;
    dialog.acknowledge().await;
    let (gateway, place) = dialog.path();
    assert!(gateway.starts_with("msrps://"), "{gateway}");
    let described = dialog.answer.text().lines().find(|l| l.starts_with("a=fingerprint:")).unwrap().to_uppercase();
    let connect = async |connector: &TlsConnector| {
        let stream = TcpStream::connect(place).await.unwrap();
        let stream = connector.connect(ServerName::from(place.ip()), stream).await.unwrap();
        let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
        assert_eq!(described, fingerprint(&shown).to_uppercase());
        Frames::new(stream)
    };
    // Whoever has learned both paths gets nowhere with another certificate, or in the clear.
    let mut stranger = connect(&wrong).await;
    stranger.say(&send(&gateway, &ours, "ad49kswow1", "I am Romeo")).await;
    assert!(stranger.next().await.unwrap().starts_with("MSRP ad49kswow1 481"));
    let mut romeo = connect(&right).await;
    romeo.say(&send(&gateway, &ours, "ad49kswow2", "No, I am")).await;
    assert_eq!(body(&world.at_juliet().await), "No, I am");
    assert!(romeo.next().await.unwrap().starts_with("MSRP ad49kswow2 200"));
    let thread = Element::new("thread", ns::CLIENT).with_text("over-tls");
    let said = message("juliet@example.com/balcony", "romeo@example.net", "j1", "So you are");
    world.server.send(said.with_type("chat").with_child(thread));
    assert!(romeo.next().await.unwrap().contains("\r\n\r\nSo you are\r\n"));
}

/// Many who say nothing, half a frame, a byte now and then, or what is none: a session goes on beside them, and they are gone in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_and_slow_connections_disturb_nobody() {
    let keys = "limits.half_message = \"2s\"\nlimits.msrp_connections_per_address = 400\nmsrp.max_size = 4096";
    let mut world = World::new("slow-msrp", &settings(keys)).await;
    let mut dialog = Dialog::open(&world, "goes-on", description(OURS, 9, "a=setup:active\r\n")).await;
    dialog.acknowledge().await;
    let (gateway, place) = dialog.path();
    let mut romeo = Frames::new(TcpStream::connect(place).await.unwrap());
    let mut others = JoinSet::new();
    for n in 0..300 {
        let half = send(&gateway, OURS, "ad49kswow1", "half")[..100].to_owned();
        others.spawn(async move {
            let stream = TcpStream::connect(place).await.unwrap();
            let (mut read, mut write) = stream.into_split();
            let first: &[u8] = match n % 4 {
                0 => b"",
                1 => half.as_bytes(),
                2 => b"MSRP ad49kswow1 SEND\r\nTo-Path: ",
                _ => b"INVITE sip:juliet@example.com SIP/2.0\r\n\r\n",
            };
            let drip = async {
                let _ = write.write_all(first).await;
                while n % 4 != 2 || write.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            };
            let mut buffer = [0; 1024];
            let closed = async { while matches!(read.read(&mut buffer).await, Ok(1..)) {} };
            // Whichever notices first.
            let gone = async {
                tokio::select! { () = drip => {}, () = closed => {} }
            };
            timeout(PATIENCE, gone).await.is_ok()
        });
    }
    for n in 0..10 {
        let (begun, id) = (Instant::now(), format!("ad49kswow{n}x"));
        romeo.say(&send(&gateway, OURS, &id, "still here")).await;
        assert_eq!(body(&world.at_juliet().await), "still here");
        assert!(romeo.next().await.unwrap().starts_with(&format!("MSRP {id} 200")));
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
    while let Some(gone) = others.join_next().await {
        assert!(gone.unwrap(), "it is closed");
    }
    world.program.wait_until("/metrics", |_, page| page.contains("\nverona_msrp_connections 1\n"));
    // More than may be is refused as soon as that is known, and what is allowed may change meanwhile.
    let large = "y".repeat(5000);
    romeo.say(&send(&gateway, OURS, "ad49kswow2", &large)).await;
    assert!(romeo.next().await.unwrap().starts_with("MSRP ad49kswow2 413"));
    world.write(&settings(&keys.replace("4096", "8192")));
    world.hang_up();
    let mut dialog = Dialog::open(&world, "larger", description(OURS, 9, "a=setup:active\r\n")).await;
    assert!(dialog.answer.text().contains("a=max-size:8192\r\n"), "{}", dialog.answer);
    dialog.acknowledge().await;
    let mut romeo = Frames::new(TcpStream::connect(place).await.unwrap());
    romeo.say(&send(&dialog.path().0, OURS, "ad49kswow3", &large)).await;
    assert_eq!(body(&world.at_juliet().await), large);
    assert!(romeo.next().await.unwrap().starts_with("MSRP ad49kswow3 200"));
}

/// Bytes that the program has in memory.
fn resident(world: &World) -> f64 {
    world.program.metric("process_resident_memory_bytes")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_connections_are_cheap() {
    const MANY: usize = 1000;
    let keys = "limits.half_message = \"5m\"\nlimits.msrp_connections_per_address = 2000";
    let world = World::new("idle", &settings(keys)).await;
    let mut dialog = Dialog::open(&world, "idle-one", description(OURS, 9, "a=setup:active\r\n")).await;
    dialog.acknowledge().await;
    let (gateway, place) = dialog.path();
    let mut first = Frames::new(TcpStream::connect(place).await.unwrap());
    first.say(&send(&gateway, OURS, "ad49kswow6", "hi")).await;
    assert!(first.next().await.unwrap().contains(" 200"));
    let before = resident(&world);
    let mut streams = Vec::new();
    for _ in 0..MANY {
        let mut stream = Frames::new(TcpStream::connect(place).await.unwrap());
        // Each has read and written something: a session has its connection already, and this is not it.
        stream.say(&send(&gateway, OURS, "ad49kswow7", "hi")).await;
        assert!(stream.next().await.unwrap().starts_with("MSRP ad49kswow7 506"));
        streams.push(stream);
    }
    assert_eq!(world.program.metric("verona_msrp_connections"), (MANY + 1) as f64);
    let each = (resident(&world) - before) / MANY as f64;
    // The system gives memory in pieces of up to 2 MiB.
    assert!(each < 8192.0, "{each} bytes each");
    drop(streams);
    world.program.wait_until("/metrics", |_, page| page.contains("\nverona_msrp_connections 1\n"));
    // And the first one serves as before.
    first.say(&send(&gateway, OURS, "ad49kswow8", "hi")).await;
    assert!(first.next().await.unwrap().contains(" 200"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_nobody_is_told_so() {
    let world = World::new("nobody-to-ask", &Settings::default()).await;
    let file = world.place.file();
    assert_eq!(world.program.ask("/sessions"), (200, NOTHING_OPEN.to_owned()));
    assert!(world.program.ask("/ready").1.contains("\"msrp\":[]"));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.lines().filter(|l| !l.starts_with("admin")).collect::<Vec<_>>().join("\n")).unwrap();
    let (code, said) = verona(&["sessions", "-c", file.to_str().unwrap()]);
    assert!(code == Some(1) && said.contains("admin.listen is not set"), "{said}");
    let (code, said) = verona(&["sessions", "--admin", &world.sip.to_string()]);
    assert!(code == Some(1) && said.contains("127."), "{said}");
    assert_eq!(verona(&["sessions"]).0, Some(2));
    assert_eq!(verona(&["sessions", "-c", "/nowhere.toml"]).0, Some(78));
}
