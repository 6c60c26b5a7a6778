//! What connections of any protocol may take: descriptors, in all and for each address; time; and memory for what waits. The more of
//! that is taken already, the less each may take ([`Budget::allows`]).

use crate::guard::{Guard, Stranger};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// How long a connection may take to be made.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);

/// How long the other end may not read.
pub(crate) const STUCK: Duration = Duration::from_secs(20);

/// How much is read or written at once.
pub(crate) const CHUNK: usize = 16 << 10;

/// How long connections may take at the end to write what waits.
pub(crate) const FAREWELL: Duration = Duration::from_secs(1);

/// How long accepting rests when the process has no more descriptors.
const REST: Duration = Duration::from_millis(200);

/// Descriptors that connections and look-ups leave to the rest: listeners, component streams, the admin interface, the store.
const RESERVED: usize = 128;

/// What each connection may hold of a [`Budget`] even when all of it is taken.
pub(crate) const FLOOR: usize = 4 << 10;

/// The most look-ups that are made at one time.
const LOOK_UPS: usize = 2048;

/// Descriptors that there are for connections and look-ups.
fn available() -> usize {
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let most = descriptors.map_or(usize::MAX, |d| usize::try_from(d).unwrap_or(usize::MAX));
    most.saturating_sub(RESERVED).max(8)
}

/// How many questions may be with name servers: each takes a socket, and an eighth of the descriptors is theirs.
pub(crate) fn look_ups() -> usize {
    (available() / 8).min(LOOK_UPS)
}

/// Descriptors that there are for connections of all kinds.
fn descriptors() -> usize {
    available() - look_ups()
}

/// How many streams with other servers there may be, where so many are wanted.
pub(crate) fn streams(wanted: usize) -> usize {
    wanted.min(descriptors() / 2)
}

/// The bounds on the connections of one protocol.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) connections: usize,
    pub(crate) per_address: usize,
    /// Bytes that may wait to be written to one of them.
    pub(crate) write_bytes: usize,
    /// How long a peer may take to send its first whole message, or to finish one it has begun.
    pub(crate) unfinished: Duration,
    /// How long a SIP connection may be silent. RFC 5626 §4.4.1 has peers ping at most every two minutes.
    pub(crate) silent: Duration,
}

impl Bounds {
    /// The bounds that the operator set, of SIP's connections and of MSRP's, less what there are no descriptors for: then each has its part. Where there
    /// are streams with other servers, a half of all is theirs ([`streams`]).
    pub(crate) fn of(limits: &crate::config::Limits, has_msrp: bool, has_streams: bool) -> (Bounds, Bounds) {
        let most = if has_streams { descriptors() - streams(usize::MAX) } else { descriptors() };
        let (mut sip, mut msrp) = (limits.connections, if has_msrp { limits.msrp_connections } else { 0 });
        let wanted = sip + msrp;
        if wanted > most {
            tracing::warn!(limit = wanted, most, "fewer descriptors than limits.connections and msrp_connections need");
            sip = (most.saturating_mul(sip) / wanted).max(1);
            msrp = most - sip;
        }
        let sip = Bounds {
            connections: sip,
            per_address: limits.connections_per_address,
            write_bytes: limits.sip_write_bytes,
            unfinished: limits.half_message,
            silent: limits.idle_connection,
        };
        let msrp = Bounds {
            connections: msrp,
            per_address: limits.msrp_connections_per_address,
            write_bytes: limits.write_bytes,
            ..sip
        };
        (sip, msrp)
    }
}

/// The places that connections have taken.
#[derive(Debug, Default)]
pub(crate) struct Places {
    all: usize,
    per_address: HashMap<IpAddr, usize>,
}

impl Places {
    /// Whether there is one for a connection with `remote`.
    pub(crate) fn has_one(&self, bounds: &Bounds, remote: SocketAddr) -> bool {
        let address = self.per_address.get(&block(remote.ip())).copied().unwrap_or(0);
        self.all < bounds.connections && address < bounds.per_address
    }

    /// Takes a place, whether there is one or not.
    pub(crate) fn take(&mut self, remote: SocketAddr) {
        self.all += 1;
        *self.per_address.entry(block(remote.ip())).or_default() += 1;
    }

    /// Gives a place back.
    pub(crate) fn free(&mut self, remote: SocketAddr) {
        let block = block(remote.ip());
        if let Some(count) = self.per_address.get_mut(&block) {
            self.all -= 1;
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&block);
            }
        }
    }

    /// How many are taken.
    pub(crate) fn all(&self) -> usize {
        self.all
    }

    /// Whether nobody has one.
    pub(crate) fn is_empty(&self) -> bool {
        self.all == 0
    }
}

/// Bytes of one kind that wait, in all connections.
#[derive(Debug)]
pub(crate) struct Budget {
    taken: AtomicUsize,
    all: usize,
}

impl Budget {
    /// One of which nothing is taken: `all` bytes may wait.
    pub(crate) fn new(all: usize) -> Budget {
        Budget { taken: AtomicUsize::new(0), all }
    }

    /// So many bytes wait now, in all.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// So many more wait.
    pub(crate) fn take(&self, bytes: usize) {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many less.
    pub(crate) fn free(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether one connection may hold `own` bytes beside the `others`: a quarter of what is left. So a few can never take everything, and
    /// however many try, the others have the floor.
    pub(crate) fn allows(&self, own: usize, others: usize) -> bool {
        own <= FLOOR.max(self.all.saturating_sub(others) / 4)
    }
}

/// Binds a listener.
pub(crate) fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

/// Takes connections from a listener for ever: those that the door lets in.
pub(crate) async fn accept(
    listener: TcpListener,
    guard: &Guard,
    mut accepted: impl FnMut(TcpStream, SocketAddr, Stranger),
) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                if let Ok(stranger) = guard.admit(remote.ip()) {
                    accepted(stream, remote, stranger);
                }
            }
            // Those that are open go on, and some will close.
            Err(error) if is_exhausted(&error) => {
                guard.has_no_room();
                tokio::time::sleep(REST).await;
            }
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// What counts as one address: one IPv4 address, or one IPv6 network of those that are given to one customer.
pub(crate) fn block(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

/// Whether an error of accept says that the process or the system has no room, rather than that one connection came to nothing.
fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    Errno::from_io_error(error).is_some_and(|e| matches!(e, Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_address() {
        let of = |text: &str| block(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1:2:3"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
