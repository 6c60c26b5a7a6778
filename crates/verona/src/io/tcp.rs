//! SIP over TCP: connections that others opened and connections that we open.
//!
//! What waits here is bounded in three ways: in connections, for all and for each address; in bytes for each connection; and in bytes
//! for all of them, where the more is taken already the less each may take ([`Budget`]).

use crate::dispatch::Dispatch;
use crate::guard::{Guard, Offence, Stranger};
use crate::io::bounds::{self, Bounds, Budget, CHUNK, CONNECT, FAREWELL, Places, STUCK};
use crate::metrics::Meters;
use bytes::Bytes;
use sip::agent::{ClientId, Flow, Target, Transport};
use sip::{Frame, Limits, StreamDecoder};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use stox::gateway::Input;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

/// Bytes that may wait to be written to all connections, and the same again of messages that have not come whole.
const ALL: usize = 8 << 20;

/// What a message takes in a queue besides its bytes.
const PACKET: usize = 128;

/// A request of a shard's, to tell the shard should it not go out.
pub(crate) type Client = (usize, ClientId);

struct Packet {
    bytes: Bytes,
    client: Option<Client>,
}

/// The way to a connection's writer.
struct Queue {
    packets: mpsc::UnboundedSender<Packet>,
    /// Bytes that wait in it.
    waiting: Arc<AtomicUsize>,
    /// Whether the other end has connected.
    accepted: bool,
    /// Ends the connection at once. Dropped with the queue, it leaves the writer to write what waits.
    cut: oneshot::Sender<()>,
}

#[derive(Default)]
struct Tables {
    queues: HashMap<u64, Queue>,
    /// The connections that we opened: requests go over these, and only these, so that nobody gets others' requests by
    /// connecting from their address.
    ours: HashMap<SocketAddr, u64>,
    places: Places,
    /// Shards that have not dealt with the loss of a connection of ours yet. Were they to send over the next one before, they would take
    /// that request for lost, too.
    untold: HashMap<(usize, SocketAddr), usize>,
}

struct Inner {
    next: AtomicU64,
    tables: Mutex<Tables>,
    bounds: Bounds,
    limits: Limits,
    /// Bytes that wait to be written, in all.
    waiting: Budget,
    /// Bytes of messages that have not come whole, in all.
    begun: Budget,
    dispatch: Dispatch,
    guard: Guard,
    meters: Arc<Meters>,
}

/// All SIP connections. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connections {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}

impl Connections {
    pub(crate) fn new(
        bounds: Bounds,
        limits: Limits,
        dispatch: Dispatch,
        guard: Guard,
        meters: Arc<Meters>,
    ) -> Connections {
        let inner = Inner {
            next: AtomicU64::new(1),
            tables: Mutex::default(),
            bounds,
            limits,
            waiting: Budget::new(ALL),
            begun: Budget::new(ALL),
            dispatch,
            guard,
            meters,
        };
        Connections { inner: Arc::new(inner) }
    }

    /// Takes connections from a listener for ever.
    pub(crate) async fn accept(self, listener: TcpListener) {
        let accepted = |stream, remote, stranger| self.accepted(stream, remote, stranger);
        bounds::accept(listener, &self.inner.guard, accepted).await;
    }

    fn accepted(&self, stream: TcpStream, remote: SocketAddr, stranger: Stranger) {
        let mut serving = {
            let mut tables = self.tables();
            if !tables.places.has_one(&self.inner.bounds, remote) {
                self.inner.meters.sip_connections_refused.increment(1);
                return;
            }
            self.add(&mut tables, remote, true)
        };
        serving.stranger = Some(stranger);
        tokio::spawn(serving.run(stream));
    }

    /// Whether the connection `id` is there.
    pub(crate) fn is_open(&self, id: u64) -> bool {
        self.tables().queues.contains_key(&id)
    }

    /// Sends over the connection `id`. False if it has gone, or does not take any more.
    pub(crate) fn send(&self, id: u64, bytes: Bytes, client: Option<Client>) -> bool {
        self.enqueue(&mut self.tables(), id, Packet { bytes, client })
    }

    fn enqueue(&self, tables: &mut Tables, id: u64, packet: Packet) -> bool {
        let Some(queue) = tables.queues.get(&id) else { return false };
        let (len, own) = (packet.bytes.len() + PACKET, queue.waiting.load(Ordering::Relaxed));
        let all = self.inner.waiting.taken();
        let fits = own == 0 || own + len <= self.inner.bounds.write_bytes;
        if fits && self.inner.waiting.allows(own + len, all) {
            // Before the writer can take it off again.
            queue.waiting.fetch_add(len, Ordering::Relaxed);
            self.inner.waiting.take(len);
            if queue.packets.send(packet).is_ok() {
                return true;
            }
            self.taken(&queue.waiting, len);
        } else if queue.accepted {
            // Who does not read is not served, and not read either: the writer that is stuck would notice late. One of ours has others'
            // requests under way; it is left to its writer to find out whether it is stuck.
            if let Some(queue) = tables.queues.remove(&id) {
                let _ = queue.cut.send(());
            }
        }
        false
    }

    fn taken(&self, waiting: &AtomicUsize, len: usize) {
        waiting.fetch_sub(len, Ordering::Relaxed);
        self.inner.waiting.free(len);
    }

    /// Sends to `remote` over a connection of ours, which is made if there is none. False if that cannot even be begun. A response may
    /// ask for a connection only where its receiver could open one: whoever writes a Via decides where it goes to.
    pub(crate) fn send_to(&self, remote: SocketAddr, bytes: Bytes, client: Option<Client>) -> bool {
        let mut tables = self.tables();
        if client.is_some_and(|(shard, _)| tables.untold.contains_key(&(shard, remote))) {
            return false;
        }
        if let Some(&id) = tables.ours.get(&remote) {
            return self.enqueue(&mut tables, id, Packet { bytes, client });
        }
        if client.is_none() && !tables.places.has_one(&self.inner.bounds, remote) {
            return false;
        }
        let serving = self.add(&mut tables, remote, false);
        tables.ours.insert(remote, serving.id);
        let queued = self.enqueue(&mut tables, serving.id, Packet { bytes, client });
        drop(tables);
        tokio::spawn(serving.connect());
        queued
    }

    /// `shard` deals with the loss of a connection of ours to `remote` now.
    pub(crate) fn told(&self, shard: usize, remote: SocketAddr) {
        let mut tables = self.tables();
        if let Some(count) = tables.untold.get_mut(&(shard, remote)) {
            *count -= 1;
            if *count == 0 {
                tables.untold.remove(&(shard, remote));
            }
        }
    }

    /// Lets what waits be written, for a bounded time, and closes all connections. Nothing is to be sent any more.
    pub(crate) async fn finish(&self) {
        self.tables().queues.clear();
        let closed = async {
            while !self.tables().places.is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = timeout(FAREWELL, closed).await;
    }

    fn add(&self, tables: &mut Tables, remote: SocketAddr, accepted: bool) -> Serving {
        let id = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let (sender, packets) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let (cut, is_cut) = oneshot::channel();
        tables.queues.insert(id, Queue { packets: sender, waiting: Arc::clone(&waiting), accepted, cut });
        self.inner.meters.sip_connections.increment(1.0);
        tables.places.take(remote);
        let connections = self.clone();
        Serving { connections, id, remote, packets, waiting, is_cut, unsent: Vec::new(), begun: 0, stranger: None }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.inner.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection. However it ends, its place is free again and those whose requests did not go out are told.
struct Serving {
    connections: Connections,
    id: u64,
    remote: SocketAddr,
    packets: mpsc::UnboundedReceiver<Packet>,
    waiting: Arc<AtomicUsize>,
    is_cut: oneshot::Receiver<()>,
    /// The requests that are being written.
    unsent: Vec<Client>,
    /// Bytes of a message that has not come whole.
    begun: usize,
    /// No message has come from who has connected.
    stranger: Option<Stranger>,
}

impl Serving {
    async fn connect(self) {
        if let Ok(Ok(stream)) = timeout(CONNECT, TcpStream::connect(self.remote)).await {
            self.run(stream).await;
        }
    }

    async fn run(mut self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let Ok(local) = stream.local_addr() else { return };
        let flow = Flow { transport: Transport::Tcp, local, remote: self.remote, connection: Some(self.id) };
        let (reader, writer) = stream.into_split();
        let Serving { connections, id, packets, waiting, is_cut, unsent, begun, stranger, .. } = &mut self;
        tokio::select! {
            () = read(connections, *id, &reader, flow, stranger, begun) => {}
            () = write(connections, writer, packets, waiting, unsent) => {}
            Ok(()) = is_cut => {}
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let inner = &self.connections.inner;
        if std::thread::panicking() {
            inner.meters.panicked();
        }
        let ours;
        {
            let mut tables = self.connections.tables();
            tables.queues.remove(&self.id);
            inner.meters.sip_connections.decrement(1.0);
            ours = tables.ours.get(&self.remote) == Some(&self.id);
            if ours {
                tables.ours.remove(&self.remote);
                for shard in 0..inner.dispatch.shards() {
                    *tables.untold.entry((shard, self.remote)).or_default() += 1;
                }
            }
            tables.places.free(self.remote);
        }
        inner.begun.free(self.begun);
        self.packets.close();
        let mut unsent = std::mem::take(&mut self.unsent);
        unsent.extend(std::iter::from_fn(|| self.packets.try_recv().ok()).filter_map(|p| p.client));
        self.connections.taken(&self.waiting, self.waiting.load(Ordering::Relaxed));
        // The loss goes first: it says the same of each request, and whoever hears that one failed may send the next at once.
        if ours {
            for shard in 0..inner.dispatch.shards() {
                let target = Target::new(Transport::Tcp, self.remote);
                inner.dispatch.post(shard, Input::SipConnectionLost(target));
            }
        }
        for (shard, client) in unsent {
            inner.dispatch.post(shard, Input::SipSendFailed(client));
        }
    }
}

/// Reads until the stream ends, breaks its framing, holds too much or stays silent for too long. Who has connected has something to say
/// soon; where we did, the first to come is an answer, and that takes as long as it takes.
async fn read(
    connections: &Connections,
    id: u64,
    reader: &OwnedReadHalf,
    flow: Flow,
    stranger: &mut Option<Stranger>,
    begun: &mut usize,
) {
    let Inner { bounds, limits, dispatch, guard, begun: all_begun, .. } = &*connections.inner;
    let accepted = stranger.is_some();
    let mut decoder = StreamDecoder::new(*limits);
    // Keep-alives do not count: a connection that nothing ever comes by is one that others could have.
    let mut unfinished = accepted.then(Instant::now);
    loop {
        let silent = Instant::now() + bounds.silent;
        let until = unfinished.map_or(silent, |since| silent.min(since + bounds.unfinished));
        if !matches!(timeout_at(until, reader.readable()).await, Ok(Ok(()))) {
            if stranger.is_some() {
                guard.offence(flow.remote.ip(), Offence::Handshake);
            }
            return;
        }
        match read_some(reader, &mut decoder) {
            Ok(0) => return,
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return,
        }
        let mut batches: Vec<(Vec<Input>, usize)> = (0..dispatch.shards()).map(|_| (Vec::new(), 0)).collect();
        let mut pings = 0;
        let end = loop {
            match decoder.next() {
                Ok(Some(Frame::Message(message))) => {
                    *stranger = None;
                    if !guard.hears(flow.remote.ip()) {
                        return;
                    }
                    let (inputs, bytes) = &mut batches[dispatch.router.sip(&message)];
                    *bytes += message.body().len() + 1024;
                    inputs.push(Input::Sip(message, flow));
                    unfinished = None;
                }
                Ok(Some(Frame::Ping)) => pings += 1,
                Ok(Some(Frame::Pong)) => {}
                Ok(None) => break false,
                Err(rejected) => {
                    guard.offence(flow.remote.ip(), Offence::Unreadable);
                    batches[0].0.push(Input::SipRejected(rejected, flow));
                    break true;
                }
            }
        };
        if pings > 0 {
            connections.send(id, Bytes::from(b"\r\n".repeat(pings)), None);
        }
        let before = std::mem::replace(begun, decoder.buffered());
        all_begun.take(*begun);
        all_begun.free(before);
        let others = all_begun.taken().saturating_sub(*begun);
        for (shard, (inputs, bytes)) in batches.into_iter().enumerate().filter(|(_, (inputs, _))| !inputs.is_empty()) {
            dispatch.send(shard, inputs, bytes).await;
        }
        if end {
            // The answer that says why is on its way; who goes on sending is not read.
            tokio::time::sleep(Duration::from_secs(1)).await;
            return;
        }
        if !all_begun.allows(*begun, others) {
            return;
        }
        let is_awaited = decoder.is_inside_message() || (unfinished.is_some() && accepted);
        unfinished = is_awaited.then(|| unfinished.unwrap_or_else(Instant::now));
        // Who sends nothing but keep-alives would otherwise never let others have their turn.
        tokio::task::coop::consume_budget().await;
    }
}

/// Reads what there is. The buffer lives no longer than that, so that thousands of silent connections take no memory for it.
fn read_some(reader: &OwnedReadHalf, decoder: &mut StreamDecoder) -> io::Result<usize> {
    let mut buffer = [0; CHUNK];
    let n = reader.try_read(&mut buffer)?;
    decoder.push(&buffer[..n]);
    Ok(n)
}

/// Writes what is queued until the queue or the stream ends; `unsent` then names the requests that did not go out whole.
async fn write(
    connections: &Connections,
    mut writer: OwnedWriteHalf,
    packets: &mut mpsc::UnboundedReceiver<Packet>,
    waiting: &AtomicUsize,
    unsent: &mut Vec<Client>,
) {
    let mut buffer = Vec::new();
    while let Some(first) = packets.recv().await {
        let mut len = 0;
        let mut next = Some(first);
        while let Some(packet) = next {
            buffer.extend_from_slice(&packet.bytes);
            unsent.extend(packet.client);
            len += packet.bytes.len() + PACKET;
            next = if buffer.len() < CHUNK { packets.try_recv().ok() } else { None };
        }
        match timeout(STUCK, writer.write_all(&buffer)).await {
            Ok(Ok(())) => unsent.clear(),
            Ok(Err(_)) | Err(_) => return,
        }
        connections.taken(waiting, len);
        buffer.clear();
        if packets.is_empty() {
            buffer = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests;
