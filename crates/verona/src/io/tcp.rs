//! SIP over TCP: connections that others opened and connections that we open.

use crate::dispatch::Dispatch;
use crate::metrics::Meters;
use bytes::{Bytes, BytesMut};
use sip::agent::{ClientId, Flow, Target, Transport};
use sip::{Frame, Limits, StreamDecoder};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use stox::gateway::Input;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Messages that may wait for one connection to take them; beyond, it is closed: its other end does not read.
const QUEUE: usize = 512;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);

/// How long the other end may not read.
const STUCK: Duration = Duration::from_secs(20);

/// How long accepting rests when the process has no more descriptors.
const REST: Duration = Duration::from_millis(200);

/// The bounds on connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) connections: usize,
    pub(crate) per_address: usize,
    /// How long a peer may take to send its first whole message, or to finish one it has begun.
    pub(crate) unfinished: Duration,
    /// How long a connection may be silent. RFC 5626 §4.4.1 has peers ping at most every two minutes.
    pub(crate) silent: Duration,
}

/// A request of a shard's, to tell the shard should it not go out.
pub(crate) type Client = (usize, ClientId);

impl Bounds {
    /// The bounds that the operator set.
    pub(crate) fn of(limits: &crate::config::Limits) -> Bounds {
        Bounds {
            connections: limits.connections,
            per_address: limits.connections_per_address,
            unfinished: limits.half_message,
            silent: limits.idle_connection,
        }
    }
}

struct Packet {
    bytes: Bytes,
    client: Option<Client>,
}

#[derive(Default)]
struct Tables {
    queues: HashMap<u64, mpsc::Sender<Packet>>,
    /// The connections that we opened: requests go over these, and only these, so that nobody gets others' requests by
    /// connecting from their address.
    ours: HashMap<SocketAddr, u64>,
    per_address: HashMap<IpAddr, usize>,
}

struct Inner {
    next: AtomicU64,
    tables: Mutex<Tables>,
    bounds: Bounds,
    limits: Limits,
    dispatch: Dispatch,
    meters: Arc<Meters>,
}

/// All SIP connections. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connections {
    inner: Arc<Inner>,
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

impl Connections {
    pub(crate) fn new(bounds: Bounds, limits: Limits, dispatch: Dispatch, meters: Arc<Meters>) -> Connections {
        let inner = Inner { next: AtomicU64::new(1), tables: Mutex::default(), bounds, limits, dispatch, meters };
        Connections { inner: Arc::new(inner) }
    }

    /// Takes connections from a listener for ever.
    pub(crate) async fn accept(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, remote)) => self.accepted(stream, remote),
                // No descriptors left: those that are open go on, and some will close.
                Err(_) => tokio::time::sleep(REST).await,
            }
        }
    }

    fn accepted(&self, stream: TcpStream, remote: SocketAddr) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let id = {
            let mut tables = self.tables();
            let bounds = self.inner.bounds;
            let address = tables.per_address.get(&remote.ip()).copied().unwrap_or(0);
            if tables.queues.len() >= bounds.connections || address >= bounds.per_address {
                self.inner.meters.sip_connections_refused.increment(1);
                return;
            }
            self.add(&mut tables, remote, sender)
        };
        tokio::spawn(self.clone().serve(stream, remote, id, receiver, true));
    }

    /// Whether the connection `id` is there.
    pub(crate) fn is_open(&self, id: u64) -> bool {
        self.tables().queues.contains_key(&id)
    }

    /// Sends over the connection `id`. False if it has gone, or does not take any more.
    pub(crate) fn send(&self, id: u64, bytes: Bytes, client: Option<Client>) -> bool {
        let mut tables = self.tables();
        let Some(queue) = tables.queues.get(&id) else { return false };
        let sent = queue.try_send(Packet { bytes, client }).is_ok();
        if !sent {
            // Who does not read is not served: dropping the queue ends the connection.
            tables.queues.remove(&id);
        }
        sent
    }

    /// Sends to `remote` over a connection of ours, which is made if there is none. False if that cannot even be begun.
    pub(crate) fn send_to(&self, remote: SocketAddr, bytes: Bytes, client: Option<Client>) -> bool {
        let known = self.tables().ours.get(&remote).copied();
        if let Some(id) = known {
            return self.send(id, bytes, client);
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        let queued = sender.try_send(Packet { bytes, client }).is_ok();
        let id = {
            let mut tables = self.tables();
            let id = self.add(&mut tables, remote, sender);
            tables.ours.insert(remote, id);
            id
        };
        tokio::spawn(self.clone().connect(remote, id, receiver));
        queued
    }

    fn add(&self, tables: &mut Tables, remote: SocketAddr, sender: mpsc::Sender<Packet>) -> u64 {
        let id = self.inner.next.fetch_add(1, Ordering::Relaxed);
        tables.queues.insert(id, sender);
        self.inner.meters.sip_connections.increment(1.0);
        *tables.per_address.entry(remote.ip()).or_default() += 1;
        id
    }

    async fn connect(self, remote: SocketAddr, id: u64, mut queue: mpsc::Receiver<Packet>) {
        match timeout(CONNECT, TcpStream::connect(remote)).await {
            Ok(Ok(stream)) => self.serve(stream, remote, id, queue, false).await,
            Ok(Err(_)) | Err(_) => self.end(id, remote, &mut queue, Vec::new()),
        }
    }

    async fn serve(
        self,
        stream: TcpStream,
        remote: SocketAddr,
        id: u64,
        mut queue: mpsc::Receiver<Packet>,
        accepted: bool,
    ) {
        let _ = stream.set_nodelay(true);
        let mut unsent = Vec::new();
        if let Ok(local) = stream.local_addr() {
            let flow = Flow { transport: Transport::Tcp, local, remote, connection: Some(id) };
            let (reader, writer) = stream.into_split();
            tokio::select! {
                () = self.read(reader, flow, accepted) => {}
                () = write(writer, &mut queue, &mut unsent) => {}
            }
        }
        self.end(id, remote, &mut queue, unsent);
    }

    /// Reads until the stream ends, breaks its framing or stays silent for too long. Who has connected has something to say soon; where we
    /// did, the first to come is an answer, and that takes as long as it takes.
    async fn read(&self, mut reader: OwnedReadHalf, flow: Flow, accepted: bool) {
        let mut decoder = StreamDecoder::new(self.inner.limits);
        let mut buffer = BytesMut::with_capacity(16 * 1024);
        let mut begun = accepted.then(tokio::time::Instant::now);
        loop {
            buffer.clear();
            buffer.reserve(16 * 1024);
            let silent = tokio::time::Instant::now() + self.inner.bounds.silent;
            let until = begun.map_or(silent, |b| silent.min(b + self.inner.bounds.unfinished));
            match tokio::time::timeout_at(until, reader.read_buf(&mut buffer)).await {
                Ok(Ok(n)) if n > 0 => decoder.push(&buffer),
                _ => return,
            }
            let dispatch = &self.inner.dispatch;
            let mut batches: Vec<(Vec<Input>, usize)> = (0..dispatch.shards()).map(|_| (Vec::new(), 0)).collect();
            let end = loop {
                match decoder.next() {
                    Ok(Some(Frame::Message(message))) => {
                        let (inputs, bytes) = &mut batches[dispatch.router.sip(&message)];
                        *bytes += message.body().len() + 1024;
                        inputs.push(Input::Sip(message, flow));
                        begun = None;
                    }
                    Ok(Some(Frame::Ping)) => {
                        if let Some(id) = flow.connection {
                            self.send(id, Bytes::from_static(b"\r\n"), None);
                        }
                    }
                    Ok(Some(Frame::Pong)) => {}
                    Ok(None) => break false,
                    Err(rejected) => {
                        batches[0].0.push(Input::SipRejected(rejected, flow));
                        break true;
                    }
                }
            };
            for (shard, (inputs, bytes)) in batches.into_iter().enumerate().filter(|(_, (inputs, _))| !inputs.is_empty()) {
                dispatch.send(shard, inputs, bytes).await;
            }
            if end {
                // The answer that says why is on its way; who goes on sending is not read.
                tokio::time::sleep(Duration::from_secs(1)).await;
                return;
            }
            begun = decoder.is_inside_message().then(|| begun.unwrap_or_else(tokio::time::Instant::now));
        }
    }

    fn end(&self, id: u64, remote: SocketAddr, queue: &mut mpsc::Receiver<Packet>, unsent: Vec<Client>) {
        let ours;
        {
            let mut tables = self.tables();
            tables.queues.remove(&id);
            self.inner.meters.sip_connections.decrement(1.0);
            ours = tables.ours.get(&remote) == Some(&id);
            if ours {
                tables.ours.remove(&remote);
            }
            if let Some(count) = tables.per_address.get_mut(&remote.ip()) {
                *count -= 1;
                if *count == 0 {
                    tables.per_address.remove(&remote.ip());
                }
            }
        }
        queue.close();
        let waiting = std::iter::from_fn(|| queue.try_recv().ok()).filter_map(|p| p.client);
        for (shard, client) in unsent.into_iter().chain(waiting) {
            self.inner.dispatch.post(shard, Input::SipSendFailed(client));
        }
        if ours {
            for shard in 0..self.inner.dispatch.shards() {
                self.inner.dispatch.post(shard, Input::SipConnectionLost(Target { transport: Transport::Tcp, remote }));
            }
        }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.inner.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what is queued until the queue or the stream ends; `unsent` then names the requests that did not go out whole.
async fn write(mut writer: OwnedWriteHalf, queue: &mut mpsc::Receiver<Packet>, unsent: &mut Vec<Client>) {
    let mut packets = Vec::with_capacity(64);
    let mut buffer = Vec::new();
    loop {
        packets.clear();
        if queue.recv_many(&mut packets, 64).await == 0 {
            return;
        }
        buffer.clear();
        unsent.clear();
        for packet in &packets {
            buffer.extend_from_slice(&packet.bytes);
            unsent.extend(packet.client);
        }
        match timeout(STUCK, writer.write_all(&buffer)).await {
            Ok(Ok(())) => unsent.clear(),
            Ok(Err(_)) | Err(_) => return,
        }
        if buffer.capacity() > 1 << 18 {
            buffer = Vec::new();
        }
    }
}
