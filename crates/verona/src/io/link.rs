//! A component stream on its socket: the machine of `xmpp::stream::component` with a clock and a connection.

use crate::config::{self, HostPort};
use crate::dispatch::{Dispatch, READ_OVERHEAD};
use crate::io::clock::{Clock, Grace};
use crate::io::dns::Dns;
use crate::metrics::LinkMeters;
use crate::state::State;
use base::Str;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use stox::config::LinkId;
use stox::gateway::{Gateway, Input};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use xmpp::stream::component::{Component, DownReason, Output};

/// Stanzas that may wait for the stream; beyond, they are lost at once and their senders told.
const QUEUE: usize = 16_384;

/// Bytes that may wait for the socket before the stream takes no more from the shards.
const UNWRITTEN: usize = 1 << 20;

/// Bytes that wait to be written beyond which nothing more is read.
const JAMMED: usize = UNWRITTEN / 4;

/// Messages on their way to SIP beyond which nothing more is read: who sends more than SIP takes is slowed down, not refused.
const CROWDED: usize = 2_000;

/// How long nothing is read for either reason. Then the limits decide who is refused: one dead phone must not hold up all others.
pub(crate) const JAM: Duration = Duration::from_secs(1);

/// How soon to look again whether SIP has taken enough.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// How much is read at once.
const READ: usize = 64 * 1024;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// A stanza on its way out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) link: LinkId,
    /// The recipient's domain, where the link leads to many servers.
    pub(crate) domain: Option<Str>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) token: u64,
}

/// The shards' way to a stream: bounded in stanzas and in bytes. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    queue: mpsc::Sender<Outgoing>,
    bytes: Arc<AtomicUsize>,
    under_way: Arc<AtomicUsize>,
    most: usize,
}

/// A stream's end of an [`Outbox`].
#[derive(Debug)]
pub(crate) struct Waiting {
    queue: mpsc::Receiver<Outgoing>,
    bytes: Arc<AtomicUsize>,
    /// Messages from XMPP that are on their way to SIP in all shards.
    under_way: Arc<AtomicUsize>,
}

/// A way for stanzas of `most` bytes together.
pub(crate) fn outbox(most: usize) -> (Outbox, Waiting) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let (bytes, under_way) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let outbox = Outbox { queue: sender, bytes: Arc::clone(&bytes), under_way: Arc::clone(&under_way), most };
    (outbox, Waiting { queue: receiver, bytes, under_way })
}

impl Waiting {
    /// Takes what waits, some of it, and waits for that. Nothing: all shards have ended.
    pub(crate) async fn take(&mut self, batch: &mut Vec<Outgoing>) -> usize {
        let n = self.queue.recv_many(batch, 256).await;
        self.bytes.fetch_sub(batch.iter().map(|outgoing| outgoing.bytes.len()).sum(), Relaxed);
        n
    }

    /// Whether so much is on its way to SIP that nothing more should be read.
    pub(crate) fn is_crowded(&self) -> bool {
        self.under_way.load(Relaxed) > CROWDED
    }
}

#[cfg(test)]
impl Waiting {
    /// What waits longest.
    pub(crate) fn next(&mut self) -> Option<Outgoing> {
        self.queue.try_recv().ok()
    }
}

impl Outbox {
    /// Sends a stanza if there is room. One finds room in an empty outbox whatever its size.
    pub(crate) fn send(&self, outgoing: Outgoing) -> bool {
        let len = outgoing.bytes.len();
        let before = self.bytes.fetch_add(len, Relaxed);
        let sent = (before == 0 || before + len <= self.most) && self.queue.try_send(outgoing).is_ok();
        if !sent {
            self.bytes.fetch_sub(len, Relaxed);
        }
        sent
    }

    /// A shard had `before` messages on their way to SIP, and has `now`.
    pub(crate) fn tell_under_way(&self, before: usize, now: usize) {
        self.under_way.fetch_add(now, Relaxed);
        self.under_way.fetch_sub(before, Relaxed);
    }
}

/// What all links use.
#[derive(Clone)]
pub(crate) struct Around {
    pub(crate) clock: Clock,
    pub(crate) dns: Dns,
    pub(crate) dispatch: Dispatch,
    /// Is told when a stream is authenticated.
    pub(crate) state: Arc<State>,
}

/// One component stream.
pub(crate) struct Link {
    id: LinkId,
    server: HostPort,
    domain: String,
    component: Component,
    clock: Clock,
    dns: Dns,
    dispatch: Dispatch,
    state: Arc<State>,
    meters: LinkMeters,
    stream: Option<TcpStream>,
    unwritten: Vec<u8>,
    written: usize,
    /// What the shards have not had room for. While something waits here, nothing is read from the socket.
    inbound: VecDeque<(usize, Vec<Input>, usize)>,
    closing: bool,
    /// The stream is up, and nobody outside has been told.
    untold: bool,
    /// Bytes read since the last batch.
    read: usize,
    /// Since when nothing is read because too much waits to be written.
    jammed: Option<tokio::time::Instant>,
    grace: Grace,
}

impl Link {
    /// A stream that is to be made as `settings` say.
    pub(crate) fn new(
        id: LinkId,
        settings: &config::Component,
        component: Component,
        around: Around,
        meters: LinkMeters,
    ) -> Link {
        let Around { clock, dns, dispatch, state } = around;
        Link {
            id,
            server: settings.server.clone(),
            domain: settings.domain.clone(),
            component,
            clock,
            dns,
            dispatch,
            state,
            meters,
            stream: None,
            unwritten: Vec::new(),
            written: 0,
            inbound: VecDeque::new(),
            closing: false,
            untold: false,
            read: 0,
            jammed: None,
            grace: Grace::default(),
        }
    }

    /// Runs until `stop` becomes true and the stream is closed.
    pub(crate) async fn run(mut self, mut waiting: Waiting, mut stop: watch::Receiver<bool>) {
        let mut batch = Vec::with_capacity(256);
        let mut buffer = vec![0; READ];
        let mut stopping = false;
        loop {
            self.drain().await;
            if self.untold && self.inbound.is_empty() {
                // Not before the shards have been told: whoever hears that the gateway is ready may use it at once.
                self.untold = false;
                self.state.link_up(self.id);
                self.meters.up.set(1.0);
            }
            if stopping && self.stream.is_none() {
                for (shard, inputs, bytes) in self.inbound.drain(..) {
                    self.dispatch.send(shard, inputs, bytes).await;
                }
                return;
            }
            let jammed = self.is_jammed(&waiting);
            let may_read = self.inbound.is_empty() && !self.closing && !jammed;
            let deadline = self.component.deadline().map(|at| self.clock.instant(self.grace.after(at)));
            let deadline = deadline.into_iter().chain(jammed.then(|| tokio::time::Instant::now() + LOOK_AGAIN)).min();
            let may_take = self.unwritten.len() - self.written < UNWRITTEN;
            tokio::select! {
                biased;
                shard = room(&self.dispatch, self.inbound.front().map(|(s, ..)| *s)), if !self.inbound.is_empty() => {
                    if let Some((s, inputs, bytes)) = self.inbound.pop_front() {
                        debug_assert_eq!(s, shard);
                        self.dispatch.send(s, inputs, bytes).await;
                    }
                }
                ready = writable(self.stream.as_ref()), if self.written < self.unwritten.len() => {
                    if ready.is_err() || self.write().is_err() {
                        self.lost();
                    }
                }
                ready = readable(self.stream.as_ref()), if may_read && self.stream.is_some() => {
                    if ready.is_err() || self.read(&mut buffer).is_err() {
                        self.lost();
                    }
                    // Much to read must not keep back the timers, nor what is to be sent.
                    self.let_pass();
                    if may_take {
                        batch.extend(std::iter::from_fn(|| waiting.queue.try_recv().ok()).take(256));
                        self.send(&mut batch, &waiting);
                    }
                }
                n = waiting.queue.recv_many(&mut batch, 256), if may_take => {
                    self.send(&mut batch, &waiting);
                    if n == 0 {
                        // All shards have ended.
                        stopping = true;
                        self.component.shutdown(self.clock.now());
                    }
                }
                () = sleep(deadline), if deadline.is_some() => self.let_pass(),
                _ = stop.changed(), if !stopping => {
                    stopping = true;
                    self.component.shutdown(self.clock.now());
                }
            }
        }
    }

    fn let_pass(&mut self) {
        let now = self.clock.now();
        if self.component.deadline().is_some_and(|due| self.grace.is_over(now, due)) {
            self.component.timeout(now);
        }
    }

    fn send(&mut self, batch: &mut Vec<Outgoing>, waiting: &Waiting) {
        let now = self.clock.now();
        for Outgoing { link, domain, bytes, token } in batch.drain(..) {
            debug_assert!(link == self.id && domain.is_none(), "one stream, one server");
            waiting.bytes.fetch_sub(bytes.len(), Relaxed);
            if self.component.send(now, &bytes, Some(token)).is_err() {
                self.inbound_one(token, Input::Lost(token));
            }
        }
    }

    /// Whether so much waits to be written, or is on its way to SIP, that nothing more should be read. A server that does not read until
    /// we do gets its way after [`JAM`].
    fn is_jammed(&mut self, waiting: &Waiting) -> bool {
        let unsent = self.unwritten.len() - self.written + waiting.bytes.load(Relaxed);
        let crowded = waiting.is_crowded();
        if unsent < JAMMED && !crowded || self.stream.is_none() {
            self.jammed = None;
            return false;
        }
        self.jammed.get_or_insert_with(tokio::time::Instant::now).elapsed() < JAM
    }

    /// Does what the machine asks for, until it asks for nothing.
    async fn drain(&mut self) {
        self.component.flushed(self.clock.now());
        loop {
            self.outputs().await;
            // Most often the socket takes all at once, and no wake-up is needed.
            if self.written < self.unwritten.len() && self.write().is_err() {
                self.lost();
            } else if self.closing && self.written == self.unwritten.len() && self.stream.take().is_some() {
                self.component.disconnected(self.clock.now());
            } else {
                return;
            }
        }
    }

    async fn outputs(&mut self) {
        let mut stanzas: Vec<(Vec<Input>, usize)> = (0..self.dispatch.shards()).map(|_| (Vec::new(), 0)).collect();
        while let Some(output) = self.component.poll() {
            match output {
                Output::Bytes(bytes) => self.unwritten.extend_from_slice(&bytes),
                Output::Stanza(stanza) => {
                    for (shard, input) in self.dispatch.router.inputs(self.id, stanza) {
                        let (inputs, bytes) = &mut stanzas[shard];
                        *bytes += READ_OVERHEAD;
                        inputs.push(input);
                    }
                }
                Output::Taken(token) => stanzas[shard_of(token, self.dispatch.shards())].0.push(Input::Taken(token)),
                Output::Lost(token) => stanzas[shard_of(token, self.dispatch.shards())].0.push(Input::Lost(token)),
                Output::Up => {
                    self.untold = true;
                    self.meters.connects.increment(1);
                    tracing::info!(domain = %self.domain, server = %self.server, "component stream is up");
                    for (inputs, _) in &mut stanzas {
                        inputs.push(Input::LinkUp(self.id));
                    }
                }
                Output::Down(why) => {
                    if std::mem::take(&mut self.untold) || self.state.links()[self.id].is_up() {
                        self.meters.losses.increment(1);
                    }
                    self.state.link_down(self.id, &why.to_string());
                    self.meters.up.set(0.0);
                    // The server's own words may name people.
                    let reason = match &why {
                        DownReason::ServerError(error) => format!("the server says {}", error.condition),
                        _ => why.to_string(),
                    };
                    tracing::warn!(domain = %self.domain, server = %self.server, reason, "component stream is down");
                    tracing::debug!(domain = %self.domain, reason = %why, "component stream is down");
                    for (inputs, _) in &mut stanzas {
                        inputs.push(Input::LinkDown(self.id));
                    }
                }
                Output::Connect => match timeout(CONNECT, self.dns.connect(&self.server)).await {
                    Ok(Ok(stream)) => {
                        let _ = stream.set_nodelay(true);
                        self.stream = Some(stream);
                        self.closing = false;
                        self.component.connected(self.clock.now());
                    }
                    Ok(Err(_)) | Err(_) => self.component.connect_failed(self.clock.now()),
                },
                Output::Close => self.closing = true,
                Output::Abort => self.lost(),
                Output::Fault(fault) => tracing::warn!(domain = %self.domain, %fault, "component stream"),
            }
        }
        self.meters.barrier_timeouts.absolute(self.component.counts().taken_by_wait);
        // Stanzas of many bytes are few: what was read up to their end is counted with the first.
        let mut read = if stanzas.iter().any(|(_, bytes)| *bytes > 0) { std::mem::take(&mut self.read) } else { 0 };
        for (shard, (inputs, bytes)) in stanzas.into_iter().enumerate().filter(|(_, (inputs, _))| !inputs.is_empty()) {
            self.inbound.push_back((shard, inputs, bytes + std::mem::take(&mut read)));
        }
    }

    fn inbound_one(&mut self, token: u64, input: Input) {
        self.inbound.push_back((shard_of(token, self.dispatch.shards()), vec![input], 0));
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let Some(stream) = &self.stream else { return Ok(()) };
        match stream.try_read(buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                self.read += n;
                let (component, now) = (&mut self.component, self.clock.now());
                // A panic is a fault of ours. The stream is lost with all that was under way on it, and is made again.
                catch_unwind(AssertUnwindSafe(|| component.received(now, &buffer[..n]))).map_err(|_| {
                    self.meters.panics.increment(1);
                    io::Error::other("a panic")
                })
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(stream) = &self.stream else {
            self.unwritten.clear();
            self.written = 0;
            return Ok(());
        };
        while self.written < self.unwritten.len() {
            match stream.try_write(&self.unwritten[self.written..]) {
                Ok(n) => self.written += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    // A socket that is never quite empty would have what is written kept for ever.
                    if self.written >= UNWRITTEN / 4 {
                        self.unwritten.drain(..self.written);
                        self.written = 0;
                    }
                    return Ok(());
                }
                Err(e) => return Err(e),
            }
        }
        self.unwritten.clear();
        self.unwritten.shrink_to(UNWRITTEN / 4);
        self.written = 0;
        Ok(())
    }

    fn lost(&mut self) {
        self.stream = None;
        self.unwritten.clear();
        self.written = 0;
        self.component.disconnected(self.clock.now());
    }
}

pub(crate) fn shard_of(token: u64, shards: usize) -> usize {
    Gateway::shard_of_token(token).min(shards - 1)
}

/// Waits until `shard` has room.
async fn room(dispatch: &Dispatch, shard: Option<usize>) -> usize {
    let shard = shard.unwrap_or(0);
    dispatch.room(shard).await;
    shard
}

async fn writable(stream: Option<&TcpStream>) -> io::Result<()> {
    match stream {
        Some(stream) => stream.writable().await,
        None => std::future::pending().await,
    }
}

async fn readable(stream: Option<&TcpStream>) -> io::Result<()> {
    match stream {
        Some(stream) => stream.readable().await,
        None => std::future::pending().await,
    }
}

pub(crate) async fn sleep(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use crate::dispatch::Batch;
    use crate::metrics::Meters;
    use base::{HashKey, Tokens};
    use std::net::Shutdown;
    use stox::route::Router;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    /// A link on a connection, the other end, and the one shard.
    async fn link() -> (Link, TcpStream, mpsc::Receiver<Batch>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        socket2::SockRef::from(&listener).set_recv_buffer_size(64 << 10).unwrap();
        let text = format!(
            "[[xmpp.component]]\ndomain = \"example.net\"\nserver = \"{}\"\nsecret = \"s\"\n[sip]\n\
             domains = [\"example.com\"]\nlisten = [\"udp:127.0.0.1:5060\"]\n",
            listener.local_addr().unwrap()
        );
        let config = config::parse("test.toml", &text, Environment::of([])).unwrap().config;
        let (dispatch, mut inboxes) = Dispatch::new(Router::new(1, HashKey::new(1, 2)));
        let (clock, settings) = (Clock::start(), &config.xmpp.components[0]);
        let stream = crate::setup::component_config(&config, settings);
        let component = Component::new(stream, Tokens::seeded(1), clock.now());
        let state = Arc::new(State::new(&["example.net".to_owned()], &[]));
        let meters = Meters::new().link("example.net");
        let around = Around { clock, dns: Dns::of_nothing(), dispatch, state };
        let mut link = Link::new(0, settings, component, around, meters);
        link.drain().await;
        let other = listener.accept().await.unwrap().0;
        (link, other, inboxes.remove(0))
    }

    #[tokio::test]
    async fn what_is_written_is_not_kept() {
        let (mut link, mut other, _inbox) = link().await;
        // A slow network: there is always more to write than the socket takes.
        socket2::SockRef::from(link.stream.as_ref().unwrap()).set_send_buffer_size(64 << 10).unwrap();
        let mut buffer = vec![0; 16 << 10];
        let mut passed = 0;
        while passed < 16 << 20 {
            while link.unwritten.len() - link.written < UNWRITTEN {
                link.unwritten.extend_from_slice(&[b' '; 64 << 10]);
            }
            tokio::select! {
                ready = writable(link.stream.as_ref()) => {
                    ready.unwrap();
                    link.write().unwrap();
                }
                n = other.read(&mut buffer) => passed += n.unwrap(),
            }
            assert!(link.unwritten.len() < 3 * UNWRITTEN, "{} after {passed}", link.unwritten.len());
        }
    }

    #[tokio::test]
    async fn a_stream_that_breaks_while_it_is_written_to_is_told_of_at_once() {
        let (mut link, _other, _inbox) = link().await;
        let stream = link.stream.take().unwrap().into_std().unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        link.stream = Some(TcpStream::from_std(stream).unwrap());
        writable(link.stream.as_ref()).await.unwrap();
        link.unwritten.extend_from_slice(b" ");
        link.drain().await;
        assert!(link.stream.is_none());
        assert_eq!(link.state.links()[0].why(), "connection lost");
        assert!(matches!(link.inbound.front(), Some((0, inputs, _)) if matches!(inputs[..], [Input::LinkDown(0)])));
    }
}
