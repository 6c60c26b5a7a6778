//! SIP over UDP.

use crate::dispatch::{BATCH, Dispatch, READ_OVERHEAD};
use crate::guard::Guard;
use crate::metrics::Meters;
use bytes::Bytes;
use sip::Limits;
use sip::agent::{Flow, Transport};
use std::io;
use std::net::SocketAddr;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::Duration;
use stox::gateway::Input;
use tokio::net::UdpSocket;

/// What the kernel may keep for us, in bytes: some 25,000 messages, about T1 (RFC 3261 §17) at full rate. What finds it full comes again after up to
/// 4 s, in bursts with pauses between them, in which a smaller buffer would run empty. The kernel gives what it allows.
const KERNEL_BUFFER: usize = 16 << 20;

/// The same for what we send.
const SEND_BUFFER: usize = 1 << 20;

/// The largest datagram.
const LARGEST: usize = 65_535;

/// How long a socket rests that gives nothing but errors.
const REST: Duration = Duration::from_millis(100);

/// Binds a socket.
pub(crate) fn bind(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // More than the system's limit needs a privilege; without it the limit itself is taken.
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, KERNEL_BUFFER).is_err() {
        let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
    }
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    socket.bind(&addr.into())?;
    UdpSocket::from_std(socket.into())
}

/// Reads from a socket for ever and brings what comes to the shards.
pub(crate) async fn read(
    socket: Arc<UdpSocket>,
    limits: Limits,
    dispatch: Dispatch,
    guard: Guard,
    meters: Arc<Meters>,
) -> io::Result<()> {
    let local = socket.local_addr()?;
    let mut buffer = vec![0; LARGEST];
    let mut batches: Vec<(Vec<Input>, usize)> = (0..dispatch.shards()).map(|_| (Vec::new(), 0)).collect();
    loop {
        socket.readable().await?;
        let mut errors = 0;
        for _ in 0..BATCH {
            let (len, remote) = match socket.try_recv_from(&mut buffer) {
                Ok(got) => got,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                // An ICMP error of something sent before; anybody can forge those, so they decide nothing.
                Err(_) => {
                    errors += 1;
                    continue;
                }
            };
            if !guard.hears(remote.ip()) {
                continue;
            }
            let flow = Flow { transport: Transport::Udp, local, remote, connection: None };
            // RFC 5626 §4.4.2, and what phones send to keep a NAT open: nothing but line ends.
            if buffer[..len].iter().all(|b| matches!(b, b'\r' | b'\n' | 0)) {
                continue;
            }
            let datagram = &buffer[..len];
            let read = || match sip::parse_datagram(&Bytes::copy_from_slice(datagram), &limits) {
                Ok(message) => (dispatch.router.sip(&message), Input::Sip(message, flow)),
                Err(rejected) => (0, Input::SipRejected(rejected, flow)),
            };
            // A panic is a fault of ours, and no reason to be deaf to all that comes after.
            let Ok((shard, input)) = catch_unwind(read) else {
                meters.panicked();
                continue;
            };
            let (inputs, bytes) = &mut batches[shard];
            inputs.push(input);
            *bytes += len + READ_OVERHEAD;
        }
        for (shard, (inputs, bytes)) in batches.iter_mut().enumerate().filter(|(_, (inputs, _))| !inputs.is_empty()) {
            dispatch.send(shard, std::mem::take(inputs), std::mem::take(bytes)).await;
        }
        if errors == BATCH {
            tokio::time::sleep(REST).await;
        }
        // Who sends nothing but line ends would otherwise never let others have their turn.
        tokio::task::coop::consume_budget().await;
    }
}

/// The sockets by their local address, to send from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sockets {
    sockets: Vec<(SocketAddr, Arc<UdpSocket>)>,
}

impl Sockets {
    pub(crate) fn new(sockets: Vec<(SocketAddr, Arc<UdpSocket>)>) -> Sockets {
        Sockets { sockets }
    }

    /// Sends a datagram from `local`, or from any socket of the family. False if there is none or the kernel refuses; if it is only
    /// busy, the datagram is as lost as if the network had dropped it, and the sender's timers do the rest.
    pub(crate) fn send(&self, local: Option<SocketAddr>, remote: SocketAddr, bytes: &[u8]) -> bool {
        let by_local = local.and_then(|local| self.sockets.iter().find(|(l, _)| *l == local));
        let socket = by_local.or_else(|| self.sockets.iter().find(|(l, _)| l.is_ipv4() == remote.is_ipv4()));
        match socket.map(|(_, socket)| socket.try_send_to(bytes, remote)) {
            Some(Ok(_)) => true,
            Some(Err(e)) => e.kind() == io::ErrorKind::WouldBlock,
            None => false,
        }
    }
}
