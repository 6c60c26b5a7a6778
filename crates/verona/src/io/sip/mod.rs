//! SIP over connections: TCP, TLS (RFC 5922), WebSockets with TLS and without (RFC 7118). Connections that others opened and connections that we
//! open, which are kept open as RFC 5626 has it.
//!
//! What waits here is bounded in four ways: in connections, for all and for each address; in time, as long as nobody knows what one is good for; in
//! bytes for each connection; and in bytes for all of them, where the more is taken already the less each may take ([`Budget`]).

mod serve;
mod shake;
mod upgrade;
mod wire;

pub(crate) use upgrade::Origins;

use crate::dispatch::Dispatch;
use crate::guard::{Guard, Stranger};
use crate::io::bounds::{self, Bounds, Budget, FAREWELL, Places};
use crate::metrics::Meters;
use crate::tls::Tls;
use bytes::Bytes;
use serve::Serving;
use sip::agent::{ClientId, Target, Transport};
use sip::{Limits, Method, Response};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

/// Bytes that may wait to be written to all connections. Whatever the XMPP side has held up is answered at once when it goes on.
const UNWRITTEN: usize = 32 << 20;

/// Bytes of messages that have not come whole, on all connections.
const BEGUN: usize = 8 << 20;

/// What a message takes in a queue besides its bytes.
const PACKET: usize = 128;

/// A request of a shard's, to tell the shard should it not go out.
pub(crate) type Client = (usize, ClientId);

/// What is to be written.
enum Content {
    /// A SIP message, which goes as the connection has it.
    Message(Bytes),
    /// A keep-alive or an end, as it is written.
    Raw(Bytes),
}

struct Packet {
    content: Content,
    client: Option<Client>,
}

impl Packet {
    fn len(&self) -> usize {
        let (Content::Message(bytes) | Content::Raw(bytes)) = &self.content;
        bytes.len() + PACKET
    }

    /// Whether the other end has to say something to it.
    fn is_answered(&self) -> bool {
        match &self.content {
            Content::Message(bytes) => self.client.is_some() && !bytes.starts_with(b"ACK "),
            Content::Raw(_) => false,
        }
    }
}

/// What both ends of a connection's queue know of it.
#[derive(Debug, Default)]
struct Load {
    /// Bytes that wait in it.
    waiting: AtomicUsize,
    /// Whether it is one of ours that the other side uses as well: it is kept open for that.
    kept: AtomicBool,
    /// For how long the registrar at the other end takes silence for life, in seconds; 0: it has not said so.
    flow_timer: AtomicU32,
    /// Since when a request of ours has been there, and nothing has come.
    asked: Mutex<Option<Instant>>,
    /// That there is such a request.
    waits: Notify,
}

impl Load {
    /// The longest that it may be silent; zero: it is not kept open. `usual` is what the operator wants.
    fn keep_alive(&self, usual: Duration) -> Duration {
        let said = Duration::from_secs(self.flow_timer.load(Ordering::Relaxed).into());
        match (self.kept.load(Ordering::Relaxed), said.is_zero(), usual.is_zero()) {
            (false, ..) => Duration::ZERO,
            (true, true, _) => usual,
            (true, false, true) => said,
            (true, false, false) => usual.min(said),
        }
    }

    /// An answer has come. RFC 5626 §4.4: what that to a REGISTER says of keep-alives is to be kept to.
    fn answered(&self, response: &Response) {
        let registered =
            response.is_success() && response.headers.cseq().is_ok_and(|cseq| cseq.method == Method::Register);
        if registered && self.kept.load(Ordering::Relaxed) {
            let said = response.headers.get("Flow-Timer").and_then(|value| value.trim().parse().ok());
            self.flow_timer.store(said.unwrap_or(0), Ordering::Relaxed);
        }
    }

    /// A request of ours has gone out.
    fn asks(&self) {
        let mut asked = self.asked();
        if asked.is_none() {
            *asked = Some(Instant::now());
            self.waits.notify_one();
        }
    }

    /// Something has come.
    fn hears(&self) {
        *self.asked() = None;
    }

    /// Returns when nothing at all has come for so long, though somebody was asked.
    async fn unanswered(&self, patience: Duration) {
        loop {
            let asked = *self.asked();
            match asked.map(|since| since + patience) {
                Some(until) if until <= Instant::now() => return,
                Some(until) => sleep_until(until).await,
                None => self.waits.notified().await,
            }
        }
    }

    fn asked(&self) -> MutexGuard<'_, Option<Instant>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to a connection's writer.
struct Queue {
    packets: mpsc::UnboundedSender<Packet>,
    load: Arc<Load>,
    /// Whether the other end has connected.
    accepted: bool,
    remote: IpAddr,
    /// Ends the connection at once, for this reason. Dropped with the queue, it leaves the writer to write what waits.
    cut: oneshot::Sender<&'static str>,
}

#[derive(Default)]
struct Tables {
    queues: HashMap<u64, Queue>,
    /// The connections that we opened, by transport, address and whom the certificate names: requests go over these, and only these, so that nobody
    /// gets others' requests by connecting from their address or by having a certificate of his own there.
    ours: HashMap<Target, u64>,
    places: Places,
    /// Shards that have not dealt with the loss of a connection of ours yet. Were they to send over the next one before, they would take
    /// that request for lost, too.
    untold: HashMap<(usize, Target), usize>,
}

/// What connections are made of.
pub(crate) struct Setup {
    pub(crate) bounds: Bounds,
    pub(crate) limits: Limits,
    pub(crate) tls: Tls,
    /// The longest that a connection of ours that is kept open is silent, where the other end does not say less; zero: it is not kept open.
    pub(crate) keep_alive: Duration,
    /// How long a request may be without an answer (RFC 3261 §17.1: timers B and F).
    pub(crate) answer: Duration,
    pub(crate) guard: Guard,
}

struct Inner {
    next: AtomicU64,
    tables: Mutex<Tables>,
    setup: Setup,
    /// The web pages that may connect.
    origins: Mutex<Arc<Origins>>,
    /// Bytes that wait to be written, in all.
    waiting: Budget,
    /// Bytes of messages that have not come whole, in all.
    begun: Budget,
    dispatch: Dispatch,
    meters: Arc<Meters>,
}

impl Inner {
    fn origins(&self) -> Arc<Origins> {
        Arc::clone(&self.origins.lock().unwrap_or_else(PoisonError::into_inner))
    }
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
    pub(crate) fn new(setup: Setup, origins: Origins, dispatch: Dispatch, meters: Arc<Meters>) -> Connections {
        let inner = Inner {
            next: AtomicU64::new(1),
            tables: Mutex::default(),
            setup,
            origins: Mutex::new(Arc::new(origins)),
            waiting: Budget::new(UNWRITTEN),
            begun: Budget::new(BEGUN),
            dispatch,
            meters,
        };
        Connections { inner: Arc::new(inner) }
    }

    /// Who may connect from now on. Those who have stay.
    pub(crate) fn reconfigure(&self, origins: Origins) {
        *self.inner.origins.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(origins);
    }

    /// Takes connections from a listener for ever.
    pub(crate) async fn accept(self, listener: TcpListener, transport: Transport) {
        let accepted = |stream, remote, stranger| self.accepted(stream, remote, transport, stranger);
        bounds::accept(listener, &self.inner.setup.guard, accepted).await;
    }

    fn accepted(&self, stream: TcpStream, remote: SocketAddr, transport: Transport, stranger: Stranger) {
        let mut serving = {
            let mut tables = self.tables();
            if !tables.places.has_one(&self.inner.setup.bounds, remote) {
                self.inner.meters.sip_connections_refused.increment(1);
                return;
            }
            self.add(&mut tables, &Target::new(transport, remote), true)
        };
        serving.stranger = Some(stranger);
        tokio::spawn(serving.take(stream));
    }

    /// Ends, for ever, the connections of those who are shut out meanwhile.
    pub(crate) async fn end_what_is_shut_out(self) {
        let guard = &self.inner.setup.guard;
        let mut news = guard.news();
        loop {
            news.next().await;
            let mut tables = self.tables();
            for (_, queue) in tables.queues.extract_if(|_, queue| queue.accepted && guard.is_out(queue.remote)) {
                let _ = queue.cut.send("shut out");
            }
        }
    }

    /// Whether the connection `id` is there.
    pub(crate) fn is_open(&self, id: u64) -> bool {
        self.tables().queues.contains_key(&id)
    }

    /// Sends over the connection `id`. False if it has gone, or does not take any more.
    pub(crate) fn send(&self, id: u64, bytes: Bytes, client: Option<Client>) -> bool {
        self.enqueue(&mut self.tables(), id, Packet { content: Content::Message(bytes), client })
    }

    /// Writes to the connection `id` what is no message.
    fn send_raw(&self, id: u64, bytes: Vec<u8>) {
        self.enqueue(&mut self.tables(), id, Packet { content: Content::Raw(bytes.into()), client: None });
    }

    /// Whether half of what may wait to be written to a connection waits.
    fn is_jammed(&self, load: &Load) -> bool {
        let (own, all) = (load.waiting.load(Ordering::Relaxed), self.inner.waiting.taken());
        own * 2 > self.inner.setup.bounds.write_bytes || own > 0 && !self.inner.waiting.allows(own * 2, all)
    }

    fn enqueue(&self, tables: &mut Tables, id: u64, packet: Packet) -> bool {
        let Some(queue) = tables.queues.get(&id) else { return false };
        let (len, own) = (packet.len(), queue.load.waiting.load(Ordering::Relaxed));
        let all = self.inner.waiting.taken();
        let fits = own == 0 || own + len <= self.inner.setup.bounds.write_bytes;
        if fits && self.inner.waiting.allows(own + len, all) {
            // RFC 5626 §4.4: what we have registered over is the way to us, for as long as it is there.
            if !queue.accepted && matches!(&packet.content, Content::Message(bytes) if bytes.starts_with(b"REGISTER "))
            {
                queue.load.kept.store(true, Ordering::Relaxed);
            }
            // Before the writer can take it off again.
            queue.load.waiting.fetch_add(len, Ordering::Relaxed);
            self.inner.waiting.take(len);
            if queue.packets.send(packet).is_ok() {
                return true;
            }
            self.taken(&queue.load, len);
        } else if queue.accepted {
            // Who does not read is not served, and not read either: the writer that is stuck would notice late. One of ours has others'
            // requests under way; it is left to its writer to find out whether it is stuck.
            if let Some(queue) = tables.queues.remove(&id) {
                let _ = queue.cut.send("does not read");
            }
        }
        false
    }

    /// Nothing has come over a connection for as long as requests wait for answers. The other end may have gone without a word, and what is written would
    /// go nowhere for many minutes; or it is a proxy that has no answer for somebody (RFC 4320 §4.2 has it say nothing). So what is sent from now on
    /// goes over another one, and this one stays, for the answers that may yet come. One that is kept open is asked whether it is there anyhow.
    fn retire(&self, id: u64, target: &Target) {
        let mut tables = self.tables();
        let usual = self.inner.setup.keep_alive;
        let is_asked = tables.queues.get(&id).is_some_and(|queue| !queue.load.keep_alive(usual).is_zero());
        if tables.ours.get(target) == Some(&id) && !is_asked {
            tables.ours.remove(target);
            drop(tables);
            self.inner.meters.sip_failed(target.transport, "no answer");
        }
    }

    fn taken(&self, load: &Load, len: usize) {
        load.waiting.fetch_sub(len, Ordering::Relaxed);
        self.inner.waiting.free(len);
    }

    /// Sends over the one connection that `target` wants, or over one of ours that leads there, which is made if there is none. False if that
    /// cannot even be begun. A response may ask for a connection only where its receiver could open one: whoever writes a Via decides where it
    /// goes to.
    pub(crate) fn send_to(&self, target: &Target, bytes: Bytes, client: Option<Client>) -> bool {
        if let Some(flow) = target.flow {
            return self.send(flow, bytes, client);
        }
        let mut tables = self.tables();
        if client.is_some_and(|(shard, _)| tables.untold.contains_key(&(shard, target.clone()))) {
            return false;
        }
        let packet = Packet { content: Content::Message(bytes), client };
        if let Some(&id) = tables.ours.get(target) {
            return self.enqueue(&mut tables, id, packet);
        }
        let has_place = match client {
            // An address that many names lead to is as good as many addresses.
            Some(_) => tables.places.all() < self.inner.setup.bounds.connections,
            None => tables.places.has_one(&self.inner.setup.bounds, target.remote),
        };
        if !has_place {
            return false;
        }
        let serving = self.add(&mut tables, target, false);
        tables.ours.insert(target.clone(), serving.id);
        let queued = self.enqueue(&mut tables, serving.id, packet);
        drop(tables);
        tokio::spawn(serving.connect());
        queued
    }

    /// `shard` deals with the loss of a connection of ours to `target` now.
    pub(crate) fn told(&self, shard: usize, target: &Target) {
        let mut tables = self.tables();
        let key = (shard, target.clone());
        if let Some(count) = tables.untold.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                tables.untold.remove(&key);
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

    fn add(&self, tables: &mut Tables, target: &Target, accepted: bool) -> Serving {
        let id = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let (sender, packets) = mpsc::unbounded_channel();
        let load = Arc::new(Load::default());
        let (cut, is_cut) = oneshot::channel();
        let remote = target.remote.ip();
        tables.queues.insert(id, Queue { packets: sender, load: Arc::clone(&load), accepted, remote, cut });
        self.inner.meters.sip_connections(target.transport).increment(1.0);
        tables.places.take(target.remote);
        Serving::new(self.clone(), id, target.clone(), accepted, packets, load, is_cut)
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.inner.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
