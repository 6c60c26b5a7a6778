//! A stream, with TLS or without, and what it may bring before anybody knows who is at the other end.

use rustls::pki_types::CertificateDer;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// Bytes that may come until a TLS handshake is over: a hello, and a chain of certificates. What TLS keeps of a handshake that is not whole is
/// bounded by them, so that a stranger's connection costs at most 32 KiB.
pub(crate) const HANDSHAKE: usize = 12 << 10;

/// The same where it is we who have connected: a list of authorities, which may be those of a whole system and takes at most 64 KiB, and a chain.
const OUTWARD: usize = (64 << 10) + HANDSHAKE;

/// A connection's bytes.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<Metered>>),
}

impl Stream {
    /// Whether it is over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        match self {
            Stream::Plain(_) => false,
            Stream::Tls(_) => true,
        }
    }

    /// Our address of it; none: it has broken.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Stream::Plain(stream) => stream.local_addr().ok(),
            Stream::Tls(stream) => stream.get_ref().0.stream.local_addr().ok(),
        }
    }

    /// One over TLS whose handshake is over: from now on it may bring what it likes.
    pub(crate) fn secured(mut stream: TlsStream<Metered>) -> Stream {
        stream.get_mut().0.left = None;
        Stream::Tls(Box::new(stream))
    }

    /// The certificate that the other end has shown.
    pub(crate) fn certificate(&self) -> Option<&[u8]> {
        self.chain().first().map(AsRef::as_ref)
    }

    /// The certificate that the other end has shown, and those that it has shown behind it.
    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        match self {
            Stream::Plain(_) => &[],
            Stream::Tls(stream) => stream.get_ref().1.peer_certificates().unwrap_or_default(),
        }
    }
}

/// A connection that may bring so many bytes and no more until its handshake is over.
#[derive(Debug)]
pub(crate) struct Metered {
    stream: TcpStream,
    /// None: as many as it likes.
    left: Option<usize>,
}

impl Metered {
    /// A connection that somebody has made, whose handshake begins.
    pub(crate) fn inward(stream: TcpStream) -> Metered {
        Metered { stream, left: Some(HANDSHAKE) }
    }

    /// One that we have made.
    pub(crate) fn outward(stream: TcpStream) -> Metered {
        Metered { stream, left: Some(OUTWARD) }
    }
}

impl AsyncRead for Metered {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Metered { stream, left } = self.get_mut();
        let Some(left) = left else { return Pin::new(stream).poll_read(cx, buffer) };
        let most = buffer.remaining().min(*left);
        if most == 0 {
            return Poll::Ready(Err(io::Error::other("too long a handshake")));
        }
        let mut some = ReadBuf::new(buffer.initialize_unfilled_to(most));
        ready!(Pin::new(stream).poll_read(cx, &mut some))?;
        let came = some.filled().len();
        buffer.advance(came);
        *left -= came;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
