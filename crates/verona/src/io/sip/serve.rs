//! One connection: what comes goes to the shards, what waits is written, and what is worth keeping is kept open.

use super::shake::{self, Shaken};
use super::wire::{Came, Decoder, Wire};
use super::{Client, Connections, Content, Inner, Load, Packet};
use crate::guard::{Offence, Stranger};
use crate::io::bounds::{CHUNK, CONNECT, FAREWELL, STUCK};
use crate::io::link::{JAM, LOOK_AGAIN};
use crate::io::stream::Stream;
use sip::Message;
use sip::agent::{Flow, Target};
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, ready};
use std::time::Duration;
use stox::gateway::Input;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How long the answer to a ping may take (RFC 5626 §4.4.1).
const PONG: Duration = Duration::from_secs(10);

/// One connection. However it ends, its place is free again and those whose requests did not go out are told.
pub(super) struct Serving {
    connections: Connections,
    pub(super) id: u64,
    target: Target,
    accepted: bool,
    packets: mpsc::UnboundedReceiver<Packet>,
    load: Arc<Load>,
    is_cut: oneshot::Receiver<&'static str>,
    /// The requests that are being written.
    unsent: Vec<Client>,
    state: State,
    /// No message has come from who has connected.
    pub(super) stranger: Option<Stranger>,
}

/// What became of a connection.
#[derive(Debug, Default)]
struct State {
    /// Bytes of a message that has not come whole.
    begun: usize,
    /// Whether the shards know of it.
    known: bool,
}

impl Serving {
    pub(super) fn new(
        connections: Connections,
        id: u64,
        target: Target,
        accepted: bool,
        packets: mpsc::UnboundedReceiver<Packet>,
        load: Arc<Load>,
        is_cut: oneshot::Receiver<&'static str>,
    ) -> Serving {
        let (unsent, state) = (Vec::new(), State::default());
        Serving { connections, id, target, accepted, packets, load, is_cut, unsent, state, stranger: None }
    }

    /// Makes it, and serves it.
    pub(super) async fn connect(self) {
        match timeout(CONNECT, shake::connect(&self.connections.inner, &self.target)).await {
            // A task of its own: what the handshake took is free again.
            Ok(Ok(shaken)) => drop(tokio::spawn(self.run(shaken))),
            Ok(Err(why)) => self.failed(why),
            Err(_) => self.failed("connect timeout"),
        }
    }

    /// Serves one that somebody has made.
    pub(super) async fn take(self, stream: TcpStream) {
        let inner = &self.connections.inner;
        let shaken = shake::accept(inner, self.target.transport, stream);
        match timeout(inner.setup.bounds.unfinished, shaken).await {
            Ok(Ok(shaken)) => drop(tokio::spawn(self.run(shaken))),
            // Nobody has lost anything by it.
            Ok(Err(why @ (shake::WENT_AWAY | shake::NOT_OURS))) => self.failed(why),
            Ok(Err(why)) => self.offended(why),
            Err(_) => self.offended("handshake timeout"),
        }
    }

    fn offended(&self, why: &'static str) {
        self.connections.inner.setup.guard.offence(self.target.remote.ip(), Offence::Handshake);
        self.failed(why);
    }

    fn failed(&self, why: &'static str) {
        self.connections.inner.meters.sip_failed(self.target.transport, why);
    }

    async fn run(mut self, shaken: Shaken) {
        let Shaken { stream, early, names } = shaken;
        let Some(local) = stream.local_addr() else { return };
        let transport = self.target.transport;
        let flow = Flow { transport, local, remote: self.target.remote, connection: Some(self.id) };
        let wire = Wire::of(transport, self.accepted);
        let inner = Arc::clone(&self.connections.inner);
        if !names.is_empty() {
            self.state.known = true;
            // Before anything that comes by it.
            for shard in 0..inner.dispatch.shards() {
                let names = Arc::clone(&names);
                inner.dispatch.send(shard, vec![Input::SipSecured { connection: self.id, names }], 1).await;
            }
        }
        let (reader, writer) = split(stream);
        let (id, target) = (self.id, self.target.clone());
        let Serving { connections, accepted, packets, load, is_cut, unsent, state, stranger, .. } = &mut self;
        let mut reading = Reading { connections, flow, wire, accepted: *accepted, load, state, stranger };
        let retire = async {
            loop {
                load.unanswered(inner.setup.answer).await;
                connections.retire(id, &target);
                load.hears();
            }
        };
        let ended = tokio::select! {
            ended = reading.run(reader, early) => ended,
            never = retire => never,
            ended = write(connections, writer, wire, packets, load, unsent) => ended,
            Ok(why) = is_cut => Err(why),
        };
        if let Err(why) = ended {
            self.failed(why);
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
            inner.meters.sip_connections(self.target.transport).decrement(1.0);
            ours = !self.accepted && tables.ours.get(&self.target) == Some(&self.id);
            if ours {
                tables.ours.remove(&self.target);
                for shard in 0..inner.dispatch.shards() {
                    *tables.untold.entry((shard, self.target.clone())).or_default() += 1;
                }
            }
            tables.places.free(self.target.remote);
        }
        inner.begun.free(self.state.begun);
        self.packets.close();
        let mut unsent = std::mem::take(&mut self.unsent);
        unsent.extend(std::iter::from_fn(|| self.packets.try_recv().ok()).filter_map(|p| p.client));
        self.connections.taken(&self.load, self.load.waiting.load(Ordering::Relaxed));
        for shard in 0..inner.dispatch.shards() {
            // In one piece: whoever hears that one request failed may send the next at once.
            if ours {
                let unsent = unsent.extract_if(.., |(of, _)| *of == shard).map(|(_, client)| client).collect();
                inner.dispatch.post(shard, Input::SipConnectionLost(self.target.clone(), unsent));
            }
            if self.state.known {
                inner.dispatch.post(shard, Input::SipClosed(self.id));
            }
        }
        for (shard, client) in unsent {
            inner.dispatch.post(shard, Input::SipSendFailed(client));
        }
    }
}

/// Why a connection ended, where that is worth counting.
type Ended = Result<(), &'static str>;

/// One connection's reader.
struct Reading<'a> {
    connections: &'a Connections,
    flow: Flow,
    wire: Wire,
    accepted: bool,
    load: &'a Load,
    state: &'a mut State,
    stranger: &'a mut Option<Stranger>,
}

/// What has become of the pings of a connection that is kept open.
#[derive(Debug, Default, Clone, Copy)]
struct Pings {
    /// When one was sent to which nothing has come yet.
    since: Option<Instant>,
    /// Whether the other end is known to answer them.
    answered: bool,
}

/// What reading has to say to what came.
#[derive(Default)]
struct Sorted {
    /// What is to be written at once.
    reply: Vec<u8>,
    /// Whether a message came, or what should have been one.
    came: bool,
    /// Whether a pong did.
    ponged: bool,
    /// Whether nothing more comes.
    end: bool,
}

impl Reading<'_> {
    /// Reads until the stream ends, breaks its framing, holds too much or stays silent for too long. Who has connected has something to say
    /// soon; where we did, the first to come is an answer, and that takes as long as it takes.
    async fn run(&mut self, mut reader: ReadHalf<Stream>, early: Vec<u8>) -> Ended {
        let connections = self.connections;
        let Inner { setup, begun: all_begun, .. } = &*connections.inner;
        let mut decoder = Decoder::new(self.wire, setup.limits);
        // Keep-alives do not count: a connection that nothing ever comes by is one that others could have.
        let mut unfinished = self.accepted.then(Instant::now);
        let mut pings = Pings::default();
        let mut last = Instant::now();
        decoder.push(&early);
        let mut is_new = !early.is_empty();
        drop(early);
        loop {
            if !is_new {
                self.breathe().await;
                let unfinished_at = unfinished.map(|since| since + setup.bounds.unfinished);
                match timeout_at(self.until(last, pings, unfinished_at), read_some(&mut reader, &mut decoder)).await {
                    Ok(Ok(0) | Err(_)) => return Ok(()),
                    Ok(Ok(_)) => {
                        last = Instant::now();
                        self.load.hears();
                    }
                    Err(_) => match self.due(&mut pings, unfinished_at) {
                        Ok(()) => continue,
                        Err(why) => return Err(why),
                    },
                }
            }
            is_new = false;
            let sorted = self.sort(&mut decoder).await;
            pings = Pings { since: None, answered: pings.answered || sorted.ponged };
            if sorted.came {
                unfinished = None;
            }
            if !sorted.reply.is_empty() {
                connections.send_raw(self.id(), sorted.reply);
            }
            let before = std::mem::replace(&mut self.state.begun, decoder.buffered());
            let begun = self.state.begun;
            all_begun.take(begun);
            all_begun.free(before);
            if sorted.end {
                // The answer that says why is on its way; who goes on sending is not read.
                sleep(FAREWELL).await;
                return Ok(());
            }
            if !all_begun.allows(begun, all_begun.taken().saturating_sub(begun)) {
                return Err("read buffers full");
            }
            let is_awaited = decoder.is_inside_message() || (unfinished.is_some() && self.accepted);
            unfinished = is_awaited.then(|| unfinished.unwrap_or_else(Instant::now));
            // Who sends nothing but keep-alives would otherwise never let others have their turn.
            tokio::task::coop::consume_budget().await;
        }
    }

    /// Waits while the other side does not take its answers as fast as it asks; not for long at one time, as it may be that it takes none before it
    /// has said all.
    async fn breathe(&self) {
        let until = Instant::now() + JAM;
        while self.connections.is_jammed(self.load) && Instant::now() < until {
            sleep(LOOK_AGAIN).await;
        }
    }

    fn id(&self) -> u64 {
        self.flow.connection.unwrap_or_default()
    }

    /// Whether it is one of ours that is kept open.
    fn is_kept(&self) -> bool {
        !self.keep_alive().is_zero()
    }

    fn keep_alive(&self) -> Duration {
        if self.accepted { Duration::ZERO } else { self.load.keep_alive(self.connections.inner.setup.keep_alive) }
    }

    /// Until when something should come.
    fn until(&self, last: Instant, pings: Pings, unfinished: Option<Instant>) -> Instant {
        let setup = &self.connections.inner.setup;
        let silent = match (self.is_kept(), pings.since) {
            (true, Some(since)) if self.must_pong(pings) => since + PONG,
            // RFC 5626 §4.4.1: from four fifths of the time to all of it, so that not all come at once.
            (true, since) => {
                since.unwrap_or(last) + self.keep_alive() * (80 + u32::try_from(self.id() % 21).unwrap_or(0)) / 100
            }
            (false, _) => last + setup.bounds.silent,
        };
        unfinished.map_or(silent, |unfinished| unfinished.min(silent))
    }

    fn must_pong(&self, pings: Pings) -> bool {
        self.wire.must_pong() || pings.answered
    }

    /// Nothing has come in time. One that is kept open is asked; any other ends.
    fn due(&self, pings: &mut Pings, unfinished: Option<Instant>) -> Ended {
        if unfinished.is_some_and(|unfinished| unfinished <= Instant::now()) {
            if self.stranger.is_some() {
                self.connections.inner.setup.guard.offence(self.flow.remote.ip(), Offence::Handshake);
            }
            return Err("half a message");
        }
        if !self.is_kept() {
            return Err("silent");
        }
        if pings.since.is_some() && self.must_pong(*pings) {
            return Err("no pong");
        }
        pings.since = Some(Instant::now());
        self.connections.send_raw(self.id(), self.wire.ping());
        Ok(())
    }

    /// Brings what came to the shards.
    async fn sort(&mut self, decoder: &mut Decoder) -> Sorted {
        let Inner { dispatch, setup, .. } = &*self.connections.inner;
        let source = self.flow.remote.ip();
        let mut batches: Vec<(Vec<Input>, usize)> = (0..dispatch.shards()).map(|_| (Vec::new(), 0)).collect();
        let mut sorted = Sorted::default();
        while let Some(came) = decoder.next() {
            match came {
                Came::Message(message) => {
                    *self.stranger = None;
                    if !setup.guard.hears(source) {
                        sorted.end = true;
                        break;
                    }
                    // Who sends requests over a connection of ours takes it for the way to us.
                    match &message {
                        _ if self.accepted => {}
                        Message::Request(_) => self.load.kept.store(true, Ordering::Relaxed),
                        Message::Response(response) => self.load.answered(response),
                    }
                    let (inputs, bytes) = &mut batches[dispatch.router.sip(&message)];
                    *bytes += message.body().len() + 1024;
                    inputs.push(Input::Sip(message, self.flow));
                    sorted.came = true;
                }
                Came::Rejected(rejected) => {
                    // One that others have made, maybe, where there was sense before it.
                    if self.stranger.is_some() {
                        setup.guard.offence(source, Offence::Unreadable);
                    }
                    let (inputs, bytes) = &mut batches[0];
                    *bytes += 1024;
                    inputs.push(Input::SipRejected(rejected, self.flow));
                }
                Came::Ping(pong) => sorted.reply.extend_from_slice(&pong),
                Came::Pong => sorted.ponged = true,
                Came::End(farewell) => {
                    sorted.reply.extend_from_slice(&farewell);
                    sorted.end = true;
                    break;
                }
                Came::Broken(farewell) => {
                    if self.accepted {
                        setup.guard.offence(source, Offence::Unreadable);
                    }
                    sorted.reply.extend_from_slice(&farewell);
                    sorted.end = true;
                    break;
                }
            }
        }
        self.state.known |= sorted.came;
        for (shard, (inputs, bytes)) in batches.into_iter().enumerate().filter(|(_, (inputs, _))| !inputs.is_empty()) {
            dispatch.send(shard, inputs, bytes).await;
        }
        sorted
    }
}

/// Reads what there is. The buffer lives no longer than that, so that thousands of silent connections take no memory for it.
async fn read_some(reader: &mut ReadHalf<Stream>, decoder: &mut Decoder) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut space = [const { MaybeUninit::<u8>::uninit() }; CHUNK];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut *reader).poll_read(cx, &mut buffer))?;
        decoder.push(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    })
    .await
}

/// Writes what is queued until the queue or the stream ends; `unsent` then names the requests that did not go out whole.
async fn write(
    connections: &Connections,
    mut writer: WriteHalf<Stream>,
    wire: Wire,
    packets: &mut mpsc::UnboundedReceiver<Packet>,
    load: &Load,
    unsent: &mut Vec<Client>,
) -> Ended {
    let mut buffer = Vec::new();
    while let Some(first) = packets.recv().await {
        let mut len = 0;
        let mut next = Some(first);
        let mut asks = false;
        while let Some(packet) = next {
            len += packet.len();
            asks |= packet.is_answered();
            unsent.extend(packet.client);
            match packet.content {
                Content::Message(bytes) if wire.message(&bytes, &mut buffer) => {}
                Content::Message(_) => return Err("no random numbers"),
                Content::Raw(bytes) => buffer.extend_from_slice(&bytes),
            }
            next = if buffer.len() < CHUNK { packets.try_recv().ok() } else { None };
        }
        if asks {
            load.asks();
        }
        match timeout(STUCK, put(&mut writer, &buffer)).await {
            Ok(Ok(())) => unsent.clear(),
            Ok(Err(_)) => return Ok(()),
            Err(_) => return Err("does not read"),
        }
        connections.taken(load, len);
        buffer.clear();
        if packets.is_empty() {
            buffer = Vec::new();
        }
    }
    let _ = timeout(FAREWELL, writer.shutdown()).await;
    Ok(())
}

async fn put(writer: &mut WriteHalf<Stream>, bytes: &[u8]) -> io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await
}
