//! The sockets that a shard asks its media relays by: one for each family of addresses that they have. What comes to them is this shard's alone,
//! and what answers nothing it drops.

use crate::dispatch::{BATCH, Dispatch, READ_OVERHEAD};
use bytes::Bytes;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use stox::gateway::Input;
use tokio::net::UdpSocket;

/// The largest datagram.
const LARGEST: usize = 65_535;

/// How long a socket rests that gives nothing but errors.
const REST: Duration = Duration::from_millis(100);

/// The sockets of one shard.
#[derive(Debug, Clone, Default)]
pub(crate) struct RelaySockets {
    sockets: Vec<(bool, Arc<UdpSocket>)>,
}

impl RelaySockets {
    /// Sockets to reach these servers by.
    ///
    /// # Errors
    /// The system has none left, or knows no such addresses.
    pub(crate) fn bind(servers: &[SocketAddr]) -> io::Result<RelaySockets> {
        let mut sockets = Vec::new();
        for v4 in [true, false] {
            let mut servers = servers.iter().filter(|server| server.is_ipv4() == v4).peekable();
            if servers.peek().is_none() {
                continue;
            }
            // Where all are on this machine, nobody else need see it.
            let near = servers.all(|server| server.ip().is_loopback());
            let address: IpAddr = match (v4, near) {
                (true, true) => Ipv4Addr::LOCALHOST.into(),
                (true, false) => Ipv4Addr::UNSPECIFIED.into(),
                (false, true) => Ipv6Addr::LOCALHOST.into(),
                (false, false) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let socket = std::net::UdpSocket::bind((address, 0))?;
            socket.set_nonblocking(true)?;
            sockets.push((v4, Arc::new(UdpSocket::from_std(socket)?)));
        }
        Ok(RelaySockets { sockets })
    }

    /// Sends a datagram. What the kernel does not take now is as lost as if the network had dropped it.
    pub(crate) fn send(&self, to: SocketAddr, bytes: &[u8]) {
        if let Some((_, socket)) = self.sockets.iter().find(|(v4, _)| *v4 == to.is_ipv4()) {
            let _ = socket.try_send_to(bytes, to);
        }
    }

    /// Reads for ever from each, and brings what comes to `shard`.
    pub(crate) fn readers(&self, shard: usize, dispatch: &Dispatch) -> Vec<impl Future<Output = ()> + Send + 'static> {
        self.sockets.iter().map(|(_, socket)| read(Arc::clone(socket), shard, dispatch.clone())).collect()
    }
}

async fn read(socket: Arc<UdpSocket>, shard: usize, dispatch: Dispatch) {
    let mut buffer = vec![0; LARGEST];
    loop {
        if socket.readable().await.is_err() {
            return;
        }
        let (mut inputs, mut bytes, mut errors) = (Vec::new(), 0, 0);
        for _ in 0..BATCH {
            match socket.try_recv_from(&mut buffer) {
                Ok((len, from)) => {
                    inputs.push(Input::Relay { from, bytes: Bytes::copy_from_slice(&buffer[..len]) });
                    bytes += len + READ_OVERHEAD;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                // What was sent before came to nobody: whoever waits for the answer will see.
                Err(_) => errors += 1,
            }
        }
        if !inputs.is_empty() {
            dispatch.send(shard, inputs, bytes).await;
        }
        if errors == BATCH {
            tokio::time::sleep(REST).await;
        }
        tokio::task::coop::consume_budget().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::HashKey;
    use stox::route::Router;

    #[tokio::test]
    async fn what_a_relay_answers_comes_to_the_shard_that_has_asked() {
        let relay = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = relay.local_addr().unwrap();
        let sockets = RelaySockets::bind(&[address]).unwrap();
        assert_eq!(sockets.sockets.len(), 1);
        let (dispatch, mut shards) = Dispatch::new(Router::new(2, HashKey::new(1, 2)));
        for reader in sockets.readers(1, &dispatch) {
            tokio::spawn(reader);
        }
        sockets.sockets[0].1.writable().await.unwrap();
        sockets.send(address, b"cookie d7:command4:pinge");
        let mut buffer = [0; 100];
        let (len, from) = relay.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..len], b"cookie d7:command4:pinge");
        relay.send_to(b"cookie d6:result4:ponge", from).await.unwrap();
        let batch = shards[1].recv().await.unwrap();
        let [Input::Relay { from, bytes }] = &batch.inputs[..] else { panic!("{batch:?}") };
        assert_eq!((*from, &bytes[..]), (address, &b"cookie d6:result4:ponge"[..]));
        // One of a family that no server has.
        sockets.send("[::1]:2223".parse().unwrap(), b"x");
    }
}
