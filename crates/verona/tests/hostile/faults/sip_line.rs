//! SIP over TLS: a proxy that the gateway connects to, and a phone that connects to the gateway. Both say 200 to each request.

use super::server::{client_config, server_config};
use crate::world::{PATIENCE, SIP_DOMAIN, XMPP_DOMAIN};
use rehearsal::peers::{Credentials, TestCa};
use rehearsal::wire::SipText;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The connections of a proxy or phone.
#[derive(Default)]
struct Counts {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

/// One end of SIP over TLS.
pub(super) struct SipLine {
    address: SocketAddr,
    counts: Arc<Counts>,
    say: mpsc::UnboundedSender<Vec<u8>>,
    heard: mpsc::UnboundedReceiver<SipText>,
    tasks: JoinSet<()>,
}

impl SipLine {
    /// A proxy.
    pub(super) async fn proxy(at: SocketAddr, credentials: &Credentials) -> SipLine {
        let listener = TcpListener::bind(at).await.unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(server_config(credentials)));
        let (say, _) = mpsc::unbounded_channel();
        let (tell, heard) = mpsc::unbounded_channel();
        let counts = Arc::new(Counts::default());
        let (all, mut tasks) = (Arc::clone(&counts), JoinSet::new());
        tasks.spawn(async move {
            let mut lines = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (acceptor, all, tell) = (acceptor.clone(), Arc::clone(&all), tell.clone());
                lines.spawn(async move {
                    if let Ok(tls) = acceptor.accept(stream).await {
                        let (say, queue) = mpsc::unbounded_channel();
                        carry(tls, &all, say, queue, tell).await;
                    }
                });
            }
        });
        SipLine { address: at, counts, say, heard, tasks }
    }

    /// A phone that has connected.
    pub(super) async fn phone(at: SocketAddr, ca: &TestCa, name: &str) -> SipLine {
        SipLine::try_phone(at, ca, name).await.expect("a handshake")
    }

    /// A phone that has connected; none: it is not let in.
    pub(super) async fn try_phone(at: SocketAddr, ca: &TestCa, name: &str) -> Option<SipLine> {
        let tcp = TcpStream::connect(at).await.unwrap();
        let connector = TlsConnector::from(Arc::new(client_config(ca, None)));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let tls = timeout(PATIENCE, connector.connect(name, tcp)).await.ok()?.ok()?;
        let (say, queue) = mpsc::unbounded_channel();
        let (tell, heard) = mpsc::unbounded_channel();
        let counts = Arc::new(Counts::default());
        let (all, own, mut tasks) = (Arc::clone(&counts), say.clone(), JoinSet::new());
        tasks.spawn(async move { carry(tls, &all, own, queue, tell).await });
        Some(SipLine { address: at, counts, say, heard, tasks })
    }

    /// Where it is, or where it has connected to.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it, and all of its connections at once.
    pub(super) async fn stop(&mut self) {
        self.tasks.shutdown().await;
    }

    /// How many connections there have been, and how many of them have ended.
    pub(super) fn connections(&self) -> (usize, usize) {
        (self.counts.begun.load(Ordering::SeqCst), self.counts.ended.load(Ordering::SeqCst))
    }

    /// Sends a message to the nurse; its Call-ID is its text.
    pub(super) fn message(&self, text: &str) {
        self.message_to(XMPP_DOMAIN, text);
    }

    /// Sends a message to the nurse of another domain.
    pub(super) fn message_to(&self, domain: &str, text: &str) {
        let request = format!(
            "MESSAGE sip:nurse@{domain} SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.1;branch=z9hG4bK{text};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:romeo@{SIP_DOMAIN}>;tag=1\r\nTo: <sip:nurse@{domain}>\r\nCall-ID: {text}\r\nCSeq: 1 MESSAGE\r\n\
             Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        );
        let _ = self.say.send(request.into_bytes());
    }

    /// The next message that comes, whatever it is.
    pub(super) async fn next(&mut self) -> SipText {
        timeout(3 * PATIENCE, self.heard.recv()).await.expect("SIP comes").expect("the connection is there")
    }

    /// What has come.
    pub(super) fn come(&mut self) -> Vec<SipText> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }
}

async fn carry(
    io: impl AsyncRead + AsyncWrite,
    counts: &Counts,
    say: mpsc::UnboundedSender<Vec<u8>>,
    mut queue: mpsc::UnboundedReceiver<Vec<u8>>,
    tell: mpsc::UnboundedSender<SipText>,
) {
    counts.begun.fetch_add(1, Ordering::SeqCst);
    let (mut read, mut write) = tokio::io::split(io);
    let listen = async {
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; 16_384]);
        while let Ok(n @ 1..) = read.read(&mut buffer).await {
            bytes.extend_from_slice(&buffer[..n]);
            while let Some(message) = first(&mut bytes) {
                if message.request().is_some() {
                    let _ = say.send(message.response(200, "OK", "line").to_bytes());
                }
                let _ = tell.send(message);
            }
        }
    };
    let speak = async {
        while let Some(bytes) = queue.recv().await {
            if write.write_all(&bytes).await.is_err() || write.flush().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = listen => {}
        () = speak => {}
    }
    counts.ended.fetch_add(1, Ordering::SeqCst);
}

/// Takes the first message out, once it is there as a whole; keep-alives before it are dropped.
fn first(bytes: &mut Vec<u8>) -> Option<SipText> {
    let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(bytes.len());
    bytes.drain(..start);
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let length = SipText::parse(&bytes[..head])?.header("Content-Length")?.parse::<usize>().ok()?;
    let whole = bytes.len() >= head + length;
    whole.then(|| SipText::parse(&bytes.drain(..head + length).collect::<Vec<u8>>())).flatten()
}
