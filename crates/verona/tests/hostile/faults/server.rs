//! Another XMPP server: one domain, whose streams prove themselves by certificate over TLS from the first byte (XEP-0368) and carry both
//! directions (XEP-0288). It answers each ping, so that whatever came before it is known to have come.

use crate::world::{PATIENCE, SIP_DOMAIN};
use rehearsal::peers::{Credentials, TestCa};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use xml::{Element, Event, Limits, Reader};

const NS: &str = "jabber:server";
const OFFER: &str = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>\
    <bidi xmlns='urn:xmpp:features:bidi'/>";
const ASK: &str =
    "<bidi xmlns='urn:xmpp:bidi'/><auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const FEATURES: &str = "</stream:features>";

type Say = mpsc::UnboundedSender<Vec<u8>>;

/// What all streams of a server share.
#[derive(Default)]
struct Shared {
    /// The streams that are there, by the domain of the gateway's that they are for.
    streams: Mutex<Vec<(String, Say)>>,
    begun: AtomicUsize,
    ended: AtomicUsize,
}

/// A server. It ends, with its streams, when it is dropped.
pub(super) struct Server {
    domain: String,
    address: SocketAddr,
    connector: TlsConnector,
    shared: Arc<Shared>,
    tell: mpsc::UnboundedSender<Element>,
    heard: mpsc::UnboundedReceiver<Element>,
    tasks: JoinSet<()>,
}

impl Server {
    pub(super) async fn start(domain: &str, at: SocketAddr, ca: &TestCa, credentials: &Credentials) -> Server {
        let (tell, heard) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::default());
        let listener = TcpListener::bind(at).await.unwrap();
        let mut tasks = JoinSet::new();
        let (name, all, say) = (domain.to_owned(), Arc::clone(&shared), tell.clone());
        let acceptor = TlsAcceptor::from(Arc::new(server_config(credentials)));
        tasks.spawn(async move {
            let mut streams = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (acceptor, name, all, say) = (acceptor.clone(), name.clone(), Arc::clone(&all), say.clone());
                streams.spawn(async move {
                    if let Ok(tls) = acceptor.accept(stream).await {
                        let _ = answered(tls, &name, &all, say).await;
                    }
                });
            }
        });
        let connector = TlsConnector::from(Arc::new(client_config(ca, Some(credentials))));
        Server { domain: domain.to_owned(), address: at, connector, shared, tell, heard, tasks }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it, and all of its streams at once.
    pub(super) async fn stop(&mut self) {
        self.tasks.shutdown().await;
    }

    /// How many streams there have been, and how many of them have ended.
    pub(super) fn streams(&self) -> (usize, usize) {
        (self.shared.begun.load(Ordering::SeqCst), self.shared.ended.load(Ordering::SeqCst))
    }

    /// Opens a stream to a domain of the gateway's, over TLS from the first byte.
    pub(super) async fn connect(&mut self, to: &str, at: SocketAddr) {
        let tcp = TcpStream::connect(at).await.unwrap();
        let name = ServerName::try_from(to.to_owned()).unwrap();
        let tls = timeout(PATIENCE, self.connector.connect(name, tcp)).await.expect("a handshake").unwrap();
        let mut text = Text::new(tls);
        for ask in [ASK, ""] {
            text.say(&header(&self.domain, to)).await.unwrap();
            text.until(FEATURES).await.expect("the gateway's features");
            if !ask.is_empty() {
                text.say(ask).await.unwrap();
                text.until(SUCCESS).await.expect("it knows our certificate");
            }
        }
        let (shared, tell) = (Arc::clone(&self.shared), self.tell.clone());
        let to = to.to_owned();
        let say = add(&shared, &to);
        self.tasks.spawn(async move {
            carry(text, say, &shared, tell).await;
        });
    }

    /// Says something on the last stream that is for this domain of the gateway's.
    pub(super) fn say(&self, to: &str, stanza: String) {
        let streams = self.shared.streams.lock().unwrap();
        let of = streams.iter().rev().find(|(domain, say)| domain == to && !say.is_closed());
        let (_, say) = of.unwrap_or_else(|| panic!("no stream to {to}"));
        let _ = say.send(stanza.into_bytes());
    }

    /// A chat message from a user here to one of the gateway's.
    pub(super) fn message(&self, to: &str, text: &str) {
        self.say(
            to,
            format!(
                "<message from='nurse@{}/b' to='peter@{to}' type='chat' id='{text}'><body>{text}</body></message>",
                self.domain
            ),
        );
    }

    /// The next stanza that comes and is no iq.
    pub(super) async fn next(&mut self) -> Element {
        timeout(2 * PATIENCE, self.heard.recv()).await.expect("a stanza comes").unwrap()
    }

    /// The stanzas that have come, and are no iqs.
    pub(super) fn come(&mut self) -> Vec<Element> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }
}

/// The body of a message; "": it has none.
pub(super) fn body(stanza: &Element) -> String {
    stanza.child("body", NS).map(|body| body.text().into_owned()).unwrap_or_default()
}

/// The condition of an error; "": it is none.
pub(super) fn condition(stanza: &Element) -> String {
    let error = stanza.child("error", NS);
    error.and_then(|error| error.elements().next()).map(|first| first.name.to_string()).unwrap_or_default()
}

/// A stream that the gateway has opened.
async fn answered(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    domain: &str,
    shared: &Shared,
    tell: mpsc::UnboundedSender<Element>,
) -> Option<()> {
    let mut text = Text::new(io);
    let mut to = String::new();
    for offer in [OFFER, ""] {
        let header_came = text.until("xml:lang='en'>").await?;
        to = header_came.split_once("from='").and_then(|(_, rest)| rest.split_once('\''))?.0.to_owned();
        text.say(&format!("{}<stream:features>{offer}{FEATURES}", header(domain, &to))).await?;
        if !offer.is_empty() {
            text.until("</auth>").await?;
            text.say(SUCCESS).await?;
        }
    }
    let say = add(shared, &to);
    carry(text, say, shared, tell).await;
    Some(())
}

fn header(from: &str, to: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
         from='{from}' to='{to}' id='their-id' version='1.0'>"
    )
}

/// A stream is there.
fn add(shared: &Shared, to: &str) -> (Say, mpsc::UnboundedReceiver<Vec<u8>>) {
    let (say, queue) = mpsc::unbounded_channel();
    shared.begun.fetch_add(1, Ordering::SeqCst);
    shared.streams.lock().unwrap().push((to.to_owned(), say.clone()));
    (say, queue)
}

/// Writes what is to be said, answers pings and tells of everything else, until the stream ends.
async fn carry(
    text: Text<impl AsyncRead + AsyncWrite + Send + Unpin + 'static>,
    (say, mut queue): (Say, mpsc::UnboundedReceiver<Vec<u8>>),
    shared: &Shared,
    tell: mpsc::UnboundedSender<Element>,
) {
    let (mut read, mut write) = tokio::io::split(text.io);
    let listen = async {
        let mut reader = Reader::new(Limits { stanza_bytes: 1 << 22, ..Limits::default() });
        reader.push(header("", "").as_bytes());
        reader.push(text.heard.as_bytes());
        let mut buffer = vec![0; 65_536];
        loop {
            while let Ok(Some(event)) = reader.next() {
                match event {
                    Event::Stanza(e) if e.name == "iq" && e.attr("type") == Some("get") => {
                        let attr = |name| e.attr(name).unwrap_or_default();
                        let (id, from, to) = (attr("id"), attr("from"), attr("to"));
                        let _ = say.send(format!("<iq type='result' id='{id}' from='{to}' to='{from}'/>").into_bytes());
                    }
                    Event::Stanza(e) if e.name != "iq" => drop(tell.send(e)),
                    Event::Close => return,
                    Event::Stanza(_) | Event::Open(_) | Event::Skipped { .. } => {}
                }
            }
            match read.read(&mut buffer).await {
                Ok(n @ 1..) => reader.push(&buffer[..n]),
                Ok(0) | Err(_) => return,
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
    shared.ended.fetch_add(1, Ordering::SeqCst);
}

/// A stream while it is still text that both sides know by heart.
struct Text<T> {
    heard: String,
    io: T,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Text<T> {
    fn new(io: T) -> Text<T> {
        Text { heard: String::new(), io }
    }

    async fn say(&mut self, text: &str) -> Option<()> {
        self.io.write_all(text.as_bytes()).await.ok()?;
        self.io.flush().await.ok()
    }

    /// What comes up to this, and with it; none: it ends before.
    async fn until(&mut self, what: &str) -> Option<String> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(at) = self.heard.find(what) {
                let behind = self.heard.split_off(at + what.len());
                return Some(std::mem::replace(&mut self.heard, behind));
            }
            let n = timeout(PATIENCE, self.io.read(&mut buffer)).await.ok()?.ok().filter(|n| *n > 0)?;
            self.heard.push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    }
}

fn read(credentials: &Credentials) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_file_iter(&credentials.chain).unwrap().map(Result::unwrap).collect();
    (chain, PrivateKeyDer::from_pem_file(&credentials.key).unwrap())
}

/// TLS as a server with these credentials.
pub(super) fn server_config(credentials: &Credentials) -> ServerConfig {
    let (chain, key) = read(credentials);
    ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap()
}

/// TLS as a client that trusts this authority, with these credentials or with none.
pub(super) fn client_config(ca: &TestCa, credentials: Option<&Credentials>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca.root()).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots);
    match credentials {
        None => config.with_no_client_auth(),
        Some(credentials) => {
            let (chain, key) = read(credentials);
            config.with_client_auth_cert(chain, key).unwrap()
        }
    }
}

/// The certificate that is shown there.
pub(super) async fn shown(ca: &TestCa, at: SocketAddr, name: &str) -> Vec<u8> {
    let tcp = TcpStream::connect(at).await.unwrap();
    let connector = TlsConnector::from(Arc::new(client_config(ca, None)));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let tls = timeout(PATIENCE, connector.connect(name, tcp)).await.expect("a handshake").unwrap();
    let (_, state) = tls.get_ref();
    state.peer_certificates().and_then(<[_]>::first).expect("one is shown").to_vec()
}

/// The certificate in a file.
pub(super) fn written(credentials: &Credentials) -> Vec<u8> {
    read(credentials).0.swap_remove(0).to_vec()
}

/// The domain of the gateway's that most is about.
pub(super) const OURS: &str = SIP_DOMAIN;
