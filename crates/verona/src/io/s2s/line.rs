//! One connection with another server: a task that reads and writes, and begins TLS where it is told to.

use super::{Event, Told};
use crate::io::bounds::{FAREWELL, STUCK};
use crate::io::dns::Dns;
use crate::io::stream::{Metered, Stream};
use crate::tls::{End, Tls};
use base::Str;
use bytes::{Buf as _, BytesMut};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use stox::config::Config;
use tokio::io::{AsyncRead as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use xmpp::federation::{ConnectionId, Target};

/// How much is read at once.
const CHUNK: usize = 8 << 10;

/// Addresses of one target that are tried.
const ADDRESSES: usize = 4;

/// Memory that a silent connection keeps for what it may have to write.
const KEPT: usize = 4 << 10;

/// What a connection is to do, in this order.
pub(super) enum Command {
    /// Write this.
    Bytes(Vec<u8>),
    /// Begin TLS once all is written.
    StartTls(Handshake),
    /// Look at the other end's certificate again.
    Judge,
    /// End once all is written.
    Close,
}

/// The part that we play in a handshake.
pub(super) enum Handshake {
    Server(Arc<ServerConfig>),
    Client(Arc<ClientConfig>, ServerName<'static>),
}

/// Where a connection is to be made to.
pub(super) struct Way {
    pub(super) target: Target,
    /// With TLS from the beginning.
    pub(super) handshake: Option<Handshake>,
    pub(super) dns: Dns,
    /// Which addresses are open to what peers say.
    pub(super) gateway: Arc<Config>,
    /// How long all of it may take.
    pub(super) patience: Duration,
}

/// What a connection's task has to do with.
pub(super) struct Line {
    pub(super) id: ConnectionId,
    pub(super) commands: mpsc::UnboundedReceiver<Vec<Command>>,
    pub(super) events: mpsc::Sender<Event>,
    /// Bytes that wait to be written.
    pub(super) waiting: Arc<AtomicUsize>,
    pub(super) tls: Tls,
    /// Which end has shown a certificate, once TLS stands.
    pub(super) shown_by: Option<End>,
}

impl Drop for Line {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A fault of ours: the machine is not to wait for it.
            let (events, id) = (self.events.clone(), self.id);
            tokio::spawn(async move {
                let _ = events.send(Event::Line(id, Told::Closed)).await;
            });
        }
    }
}

impl Line {
    /// Serves a connection that has come, until it ends; with TLS from its beginning, or not.
    pub(super) async fn accepted(mut self, stream: TcpStream, handshake: Option<Handshake>) {
        let _ = stream.set_nodelay(true);
        let mut stream = Some(Stream::Plain(stream));
        let begun = match handshake {
            Some(handshake) => self.secure(&mut stream, handshake).await,
            None => Ok(()),
        };
        self.serve_to_the_end(stream, begun).await;
    }

    /// Makes a connection and serves it until it ends.
    pub(super) async fn connecting(mut self, way: Way) {
        let Way { target, handshake, dns, gateway, patience } = way;
        let connected = timeout(patience, connect(&target, &dns, &gateway, patience)).await;
        let Ok(Ok((stream, remote))) = connected else { return self.tell(Told::Closed).await };
        let _ = stream.set_nodelay(true);
        let mut stream = Some(Stream::Plain(stream));
        let secured = match handshake {
            Some(handshake) => self.secure(&mut stream, handshake).await,
            None => Ok(()),
        };
        if secured.is_ok() {
            self.tell(Told::Connected(remote.ip())).await;
        }
        self.serve_to_the_end(stream, secured).await;
    }

    async fn serve_to_the_end(mut self, stream: Option<Stream>, begun: io::Result<()>) {
        if let (Some(stream), Ok(())) = (stream, begun) {
            let _ = self.serve(stream).await;
        }
        self.tell(Told::Closed).await;
    }

    async fn serve(&mut self, stream: Stream) -> io::Result<()> {
        let mut stream = Some(stream);
        let mut traffic = Traffic { unwritten: BytesMut::new(), flushed: true, moved: Instant::now() };
        loop {
            let Some(open) = stream.as_mut() else { return Ok(()) };
            let stuck = traffic.moved + STUCK;
            tokio::select! {
                commands = self.commands.recv() => {
                    let Some(commands) = commands else { return Ok(()) };
                    for command in commands {
                        match command {
                            Command::Bytes(bytes) => traffic.add(&bytes),
                            Command::StartTls(handshake) => {
                                if let Some(open) = stream.as_mut() {
                                    self.write_all(open, &mut traffic).await?;
                                }
                                self.secure(&mut stream, handshake).await?;
                                self.tell(Told::Secured).await;
                            }
                            Command::Judge => {
                                if let (Some(open), Some(end)) = (&stream, self.shown_by) {
                                    let verdict = self.tls.judge(Some(open.chain()), end);
                                    self.tell(Told::JudgedAgain(Box::new(verdict))).await;
                                }
                            }
                            Command::Close => {
                                let Some(mut open) = stream.take() else { return Ok(()) };
                                self.write_all(&mut open, &mut traffic).await?;
                                let _ = timeout(FAREWELL, open.shutdown()).await;
                                return Ok(());
                            }
                        }
                    }
                }
                moved = poll_fn(|cx| traffic.poll(cx, open, true)) => match moved? {
                    Moved::Wrote(n) => drop(self.waiting.fetch_sub(n, Relaxed)),
                    Moved::Read(bytes) if bytes.is_empty() => return Ok(()),
                    Moved::Read(bytes) => self.tell(Told::Received(bytes)).await,
                },
                () = tokio::time::sleep_until(stuck), if !traffic.is_done() => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }

    /// Writes all that waits, without reading.
    async fn write_all(&mut self, stream: &mut Stream, traffic: &mut Traffic) -> io::Result<()> {
        while !traffic.is_done() {
            let moved = timeout(STUCK, poll_fn(|cx| traffic.poll(cx, stream, false))).await;
            if let Moved::Wrote(n) = moved.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
                self.waiting.fetch_sub(n, Relaxed);
            }
        }
        Ok(())
    }

    /// Shakes hands, and tells what the other end's certificate is worth.
    async fn secure(&mut self, stream: &mut Option<Stream>, handshake: Handshake) -> io::Result<()> {
        let Some(Stream::Plain(plain)) = stream.take() else { return Err(io::ErrorKind::InvalidInput.into()) };
        let (secured, end) = match handshake {
            Handshake::Server(config) => {
                (TlsStream::Server(TlsAcceptor::from(config).accept(Metered::inward(plain)).await?), End::Client)
            }
            Handshake::Client(config, name) => (
                TlsStream::Client(TlsConnector::from(config).connect(name, Metered::outward(plain)).await?),
                End::Server,
            ),
        };
        let secured = Stream::secured(secured);
        let verdict = self.tls.judge(Some(secured.chain()), end);
        *stream = Some(secured);
        self.shown_by = Some(end);
        self.tell(Told::Judged(Box::new(verdict))).await;
        Ok(())
    }

    async fn tell(&self, told: Told) {
        // Who does not listen any more has ended.
        let _ = self.events.send(Event::Line(self.id, told)).await;
    }
}

/// Connects to the first address of a target that takes it.
async fn connect(
    target: &Target,
    dns: &Dns,
    gateway: &Config,
    patience: Duration,
) -> io::Result<(TcpStream, SocketAddr)> {
    let mut addresses = dns.addresses(&target.host).await.map_err(io::Error::other)?;
    addresses.retain(|address| gateway.may_connect_to(SocketAddr::new(*address, target.port)));
    addresses.truncate(ADDRESSES);
    let share = patience / u32::try_from(addresses.len().max(1)).unwrap_or(1);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address that is open to peers");
    for address in addresses {
        let remote = SocketAddr::new(address, target.port);
        match timeout(share, TcpStream::connect(remote)).await {
            Ok(Ok(stream)) => return Ok((stream, remote)),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// What goes over a connection.
struct Traffic {
    unwritten: BytesMut,
    flushed: bool,
    /// When something was written, or began to wait.
    moved: Instant,
}

enum Moved {
    Wrote(usize),
    /// Nothing: the other end has ended.
    Read(Vec<u8>),
}

impl Traffic {
    fn add(&mut self, bytes: &[u8]) {
        if self.is_done() {
            self.moved = Instant::now();
        }
        self.unwritten.extend_from_slice(bytes);
        self.flushed = false;
    }

    fn is_done(&self) -> bool {
        self.unwritten.is_empty() && self.flushed
    }

    /// Writes what can be written, else reads what can be read, if it may.
    fn poll(&mut self, cx: &mut Context<'_>, stream: &mut Stream, may_read: bool) -> Poll<io::Result<Moved>> {
        if !self.unwritten.is_empty()
            && let Poll::Ready(written) = Pin::new(&mut *stream).poll_write(cx, &self.unwritten)
        {
            let n = written?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unwritten.advance(n);
            self.moved = Instant::now();
            if self.unwritten.is_empty() && self.unwritten.capacity() > KEPT {
                self.unwritten = BytesMut::new();
            }
            return Poll::Ready(Ok(Moved::Wrote(n)));
        }
        if self.unwritten.is_empty() && !self.flushed && Pin::new(&mut *stream).poll_flush(cx)?.is_ready() {
            (self.flushed, self.moved) = (true, Instant::now());
            if !may_read {
                return Poll::Ready(Ok(Moved::Wrote(0)));
            }
        }
        if may_read {
            // Here, and not in the task, which thousands of silent connections have.
            let mut buffer = [0; CHUNK];
            let mut buffer = ReadBuf::new(&mut buffer);
            if Pin::new(stream).poll_read(cx, &mut buffer)?.is_ready() {
                return Poll::Ready(Ok(Moved::Read(buffer.filled().to_vec())));
            }
        }
        Poll::Pending
    }
}

/// The domain that a handshake asks for; none: it is not one that can be asked for.
pub(super) fn client(tls: &Tls, domain: &Str, local: &Str, alpn: &[&[u8]]) -> Option<Handshake> {
    let name = crate::tls::server_name(domain)?;
    Some(Handshake::Client(tls.client(Some(local), alpn).ok()?, name))
}
