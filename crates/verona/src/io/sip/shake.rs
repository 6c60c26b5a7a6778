//! What comes before the first byte of SIP: the connection itself, TLS (RFC 5922), and what makes a WebSocket of it (RFC 7118).

use super::Inner;
use super::upgrade;
use crate::io::stream::{Metered, Stream};
use crate::tls::{End, Fault, Names, Tls, server_name};
use base::Str;
use sip::agent::{Target, Transport};
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// That the other end's machine is still there, the kernel asks this often, and takes it for gone after a few times.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How long it may not confirm what was sent to it: then it is taken for gone, and not only after the quarter of an hour that TCP has for it.
const UNCONFIRMED: Duration = Duration::from_secs(30);

/// A connection over which SIP may be spoken.
pub(super) struct Shaken {
    pub(super) stream: Stream,
    /// What came behind the handshake.
    pub(super) early: Vec<u8>,
    /// The SIP domains that the other end has proved to be (RFC 5922 §7.1).
    pub(super) names: Arc<[Str]>,
}

/// Whoever has connected has ended that without a reason of ours, as those do who only look whether somebody is there.
pub(super) const WENT_AWAY: &str = "went away";

/// Whoever has connected asks for somebody else, as those do whom others have led here.
pub(super) const NOT_OURS: &str = "certificate for a name that is not ours";

/// Shakes hands with whoever has connected.
///
/// # Errors
/// What it was not, for the meters.
pub(super) async fn accept(inner: &Inner, transport: Transport, stream: TcpStream) -> Result<Shaken, &'static str> {
    prepare(&stream);
    let (mut stream, names) = match transport {
        Transport::Udp | Transport::Tcp | Transport::Ws => (Stream::Plain(stream), [].into()),
        Transport::Tls | Transport::Wss => {
            let tls = &inner.setup.tls;
            let config = tls.server(None, &[]).map_err(|_| "tls")?;
            let stream = TlsAcceptor::from(config).accept(Metered::inward(stream)).await;
            let stream = stream.map_err(|error| if has_gone(&error) { WENT_AWAY } else { "tls" })?;
            // Who asks for another than us is not to take us for that one, whatever it makes of our certificate.
            if stream.get_ref().1.server_name().is_some_and(|name| !tls.has_name(name)) {
                return Err(NOT_OURS);
            }
            let stream = Stream::secured(TlsStream::Server(stream));
            // RFC 5922 §7.4: without a certificate it is somebody, as by TCP. One that proves nothing proves nothing.
            let names = names(tls, &stream, End::Client).unwrap_or_default();
            (stream, names.into())
        }
    };
    let early = match transport {
        Transport::Udp | Transport::Tcp | Transport::Tls => Vec::new(),
        Transport::Ws | Transport::Wss => upgrade::accept(&mut stream, &inner.origins()).await?,
    };
    Ok(Shaken { stream, early, names })
}

/// Makes a connection. Over TLS the other end has to prove the name that is asked for, before anything is said (RFC 5922 §7.3).
///
/// # Errors
/// What went wrong, for the meters.
pub(super) async fn connect(inner: &Inner, target: &Target) -> Result<Shaken, &'static str> {
    let stream = TcpStream::connect(target.remote).await.map_err(|_| "unreachable")?;
    prepare(&stream);
    let host = target.name.clone().unwrap_or_else(|| address(target.remote));
    let (mut stream, names) = match target.transport {
        Transport::Udp | Transport::Tcp | Transport::Ws => (Stream::Plain(stream), [].into()),
        Transport::Tls | Transport::Wss => {
            let tls = &inner.setup.tls;
            let config = tls.client(None, &[]).map_err(|_| "tls")?;
            let name = server_name(&host).ok_or("no name that a certificate could have")?;
            let stream = TlsConnector::from(config).connect(name, Metered::outward(stream)).await.map_err(|_| "tls")?;
            let stream = Stream::secured(TlsStream::Client(stream));
            let verdict = tls.judge(Some(stream.chain()), End::Server);
            verdict.for_sip(&host).map_err(reason)?;
            let names = names(tls, &stream, End::Server).unwrap_or_default();
            (stream, names.into())
        }
    };
    let early = match target.transport {
        Transport::Udp | Transport::Tcp | Transport::Tls => Vec::new(),
        Transport::Ws | Transport::Wss => {
            let at = if host.contains(':') { format!("[{host}]") } else { host.to_string() };
            upgrade::ask(&mut stream, &format!("{at}:{}", target.remote.port())).await?
        }
    };
    Ok(Shaken { stream, early, names })
}

/// The SIP domains that a certificate proves; `None`: it proves nothing, or there is none.
fn names(tls: &Tls, stream: &Stream, end: End) -> Option<Vec<Str>> {
    let chain = stream.chain();
    if chain.is_empty() {
        return None;
    }
    tls.judge(Some(chain), end).names().ok().map(Names::sip_domains)
}

fn reason(fault: Fault) -> &'static str {
    match fault {
        Fault::Missing => "no certificate",
        Fault::Expired => "certificate expired",
        Fault::NotYetValid => "certificate not valid yet",
        Fault::UnknownIssuer => "certificate from nobody who is trusted",
        Fault::WrongPurpose => "certificate for another purpose",
        Fault::WrongName => "certificate for another name",
        Fault::Revoked => "certificate revoked",
        Fault::Broken => "broken certificate",
    }
}

/// Whether the other end has closed the connection, or lost it.
pub(super) fn has_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

/// Where nobody is asked for by name: the address itself.
fn address(remote: SocketAddr) -> Str {
    base::format_compact!("{}", remote.ip().to_canonical())
}

/// What every connection has.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE));
    let _ = socket.set_tcp_user_timeout(Some(UNCONFIRMED));
}
