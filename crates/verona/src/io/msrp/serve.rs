//! One connection: what comes goes to the shards, what waits is written, and what nobody uses ends.

use super::line::{Line, Next, PACKET, Way};
use super::open::Destination;
use super::{Place, Pool};
use crate::dispatch::READ_OVERHEAD;
use crate::guard::{Offence, Stranger};
use crate::io::bounds::{CHUNK, FAREWELL, STUCK};
use crate::io::stream::{Metered, Stream};
use crate::tls;
use bytes::{Bytes, BytesMut};
use msrp::{Arrival, ConnectionId, Decoder, Frame, Ticket};
use smallvec::SmallVec;
use socket2::{SockRef, TcpKeepalive};
use std::future::poll_fn;
use std::io;
use std::iter::Peekable;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, ready};
use std::time::Duration;
use std::vec::IntoIter;
use stox::gateway::Input;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_rustls::{TlsAcceptor, TlsStream};

/// A session may be silent for as long as it likes; that the other end's machine is still there, the kernel asks this often, and takes it for
/// gone after a few times.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Serves a connection that somebody has made.
pub(super) fn take(place: Place, stream: TcpStream, stranger: Stranger) {
    prepare(&stream);
    let stream = Stream::Plain(stream);
    tokio::spawn(Serving::new(place, &stream, None).0.known_as(stranger).run(stream));
}

/// Serves one that is to speak TLS first.
pub(super) async fn take_securely(place: Place, stream: TcpStream, stranger: Stranger) {
    prepare(&stream);
    let inner = &place.pool.inner;
    let accepted = TlsAcceptor::from(inner.setup.tls.session_server()).accept(Metered::inward(stream));
    match timeout(inner.setup.bounds.unfinished, accepted).await {
        Ok(Ok(stream)) => {
            let stream = Stream::secured(TlsStream::Server(stream));
            // A task of its own: what the handshake took is free again.
            tokio::spawn(Serving::new(place, &stream, None).0.known_as(stranger).run(stream));
        }
        Ok(Err(_)) | Err(_) => {
            inner.setup.guard.offence(place.remote.ip(), Offence::Handshake);
            inner.meters.msrp_failed("tls");
        }
    }
}

/// What every connection has.
pub(super) fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE));
}

/// One connection. However it ends, its place is free again and the shards that used it are told.
pub(super) struct Serving {
    line: Arc<Line>,
    /// Bytes of a frame that has not come whole.
    begun: usize,
    /// No frame has come from who has connected.
    stranger: Option<Stranger>,
    place: Place,
}

impl Serving {
    /// Puts it among the others. One of ours leads some way, and is promised to those who wait for the destination, which are given back.
    pub(super) fn new(place: Place, stream: &Stream, ours: Option<(Way, &Destination)>) -> (Serving, Vec<Ticket>) {
        let certificate = stream.is_secure().then(|| stream.certificate().map_or_else(|| [].into(), tls::fingerprints));
        let inner = &place.pool.inner;
        let id = inner.next.fetch_add(1, Ordering::Relaxed);
        let mut tables = place.pool.tables();
        let (way, tickets) = match ours {
            Some((way, destination)) => (Some(way), tables.opening.remove(destination).unwrap_or_default()),
            None => (None, Vec::new()),
        };
        let line = Arc::new(Line::new(id, way, certificate, tickets.len()));
        tables.lines.insert(id, Arc::clone(&line));
        if let Some(way) = &line.way {
            tables.ours.insert(way.clone(), id);
        }
        drop(tables);
        inner.meters.msrp_connections.increment(1.0);
        (Serving { line, begun: 0, stranger: None, place }, tickets)
    }

    /// It is one that somebody has made, and who that is nobody knows.
    fn known_as(mut self, stranger: Stranger) -> Serving {
        self.stranger = Some(stranger);
        self
    }

    /// What it is called.
    pub(super) fn connection(&self) -> ConnectionId {
        ConnectionId(self.line.id)
    }

    pub(super) async fn run(mut self, stream: Stream) {
        let (reader, writer) = split(stream);
        let Serving { line, begun, stranger, place } = &mut self;
        let ended = tokio::select! {
            ended = read(place, line, reader, stranger, begun) => ended,
            ended = write(&place.pool, line, writer) => ended,
            ended = watch(&place.pool, line) => ended,
        };
        if let Err(why) = ended {
            place.pool.inner.meters.msrp_failed(why);
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let inner = &self.place.pool.inner;
        if std::thread::panicking() {
            inner.meters.panicked();
        }
        let mut tables = self.place.pool.tables();
        tables.lines.remove(&self.line.id);
        if let Some(way) = &self.line.way
            && tables.ours.get(way) == Some(&self.line.id)
        {
            tables.ours.remove(way);
        }
        drop(tables);
        inner.meters.msrp_connections.decrement(1.0);
        inner.begun.free(self.begun);
        let (bound, unwritten) = self.line.ended();
        inner.waiting.free(unwritten);
        for shard in bound {
            inner.dispatch.post(shard, Input::MsrpLost(ConnectionId(self.line.id)));
        }
    }
}

/// Why a connection ended, where that is worth counting.
type Ended = Result<(), &'static str>;

/// Reads until the stream ends, is no MSRP any more, holds too much, or leaves a frame unfinished for too long.
async fn read(
    place: &Place,
    line: &Line,
    mut reader: ReadHalf<Stream>,
    stranger: &mut Option<Stranger>,
    begun: &mut usize,
) -> Ended {
    let pool = &place.pool;
    let inner = &*pool.inner;
    let (dispatch, unfinished) = (&inner.dispatch, inner.setup.bounds.unfinished);
    let mut decoder = Decoder::new(pool.limits());
    let mut since: Option<Instant> = None;
    loop {
        let read = match since {
            None => read_some(&mut reader, &mut decoder).await,
            Some(since) => match timeout_at(since + unfinished, read_some(&mut reader, &mut decoder)).await {
                Ok(read) => read,
                Err(_) => return Err("half a frame"),
            },
        };
        match read {
            Ok(0) | Err(_) => return if since.is_some() { Err("broken in a frame") } else { Ok(()) },
            Ok(_) => {}
        }
        let Sorted { batches, came, is_msrp } = sort(pool, line, &mut decoder);
        if came {
            since = None;
            *stranger = None;
        }
        let before = std::mem::replace(begun, decoder.pending());
        inner.begun.take(*begun);
        inner.begun.free(before);
        for (shard, inputs, bytes) in batches {
            dispatch.send(shard, inputs, bytes).await;
        }
        if !is_msrp {
            inner.setup.guard.offence(place.remote.ip(), Offence::Unreadable);
            inner.meters.msrp_failed("not MSRP");
            // What was asked before it may still be answered.
            line.close();
            return std::future::pending().await;
        }
        if !inner.begun.allows(*begun, inner.begun.taken().saturating_sub(*begun)) {
            return Err("read buffers full");
        }
        since = decoder.is_inside_frame().then(|| since.unwrap_or_else(Instant::now));
        tokio::task::coop::consume_budget().await;
    }
}

/// What a read has brought.
struct Sorted {
    /// The inputs of each shard that has some, and about how many bytes they have.
    batches: SmallVec<[(usize, Vec<Input>, usize); 1]>,
    /// Whether a frame came to its end.
    came: bool,
    /// Whether what comes next may still be one.
    is_msrp: bool,
}

fn sort(pool: &Pool, line: &Line, decoder: &mut Decoder) -> Sorted {
    let shards = pool.inner.dispatch.shards();
    let mut sorted = Sorted { batches: SmallVec::new(), came: false, is_msrp: true };
    while let Some(next) = decoder.next() {
        let Ok(arrival) = next else {
            sorted.is_msrp = false;
            break;
        };
        sorted.came = true;
        // Somebody has to say that there is no such session.
        let shard = msrp::shard_of(&arrival).map_or(0, usize::from);
        let shard = if shard < shards { shard } else { 0 };
        let size = size(&arrival);
        let input = Input::Msrp(ConnectionId(line.id), arrival);
        match sorted.batches.iter_mut().find(|(s, ..)| *s == shard) {
            Some((_, inputs, bytes)) => {
                inputs.push(input);
                *bytes += size;
            }
            None => {
                let certificate = line.to_tell(u16::try_from(shard).unwrap_or(u16::MAX));
                let secured = certificate.map(|hashes| Input::MsrpSecured(ConnectionId(line.id), hashes));
                sorted.batches.push((shard, secured.into_iter().chain([input]).collect(), size));
            }
        }
    }
    sorted
}

/// What an arrival takes of the shards' budget.
fn size(arrival: &Arrival) -> usize {
    let body = match arrival {
        Arrival::Frame(Frame::Request(request)) => request.body.as_ref().map_or(0, Bytes::len),
        Arrival::Frame(Frame::Response(_)) | Arrival::TooLarge(_) | Arrival::Malformed { .. } => 0,
    };
    body + READ_OVERHEAD
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

/// Writes what is queued until there is to be no more of it, or the stream ends.
async fn write(pool: &Pool, line: &Line, mut writer: WriteHalf<Stream>) -> Ended {
    loop {
        let packets = match line.next() {
            Next::Packets(packets) => packets,
            Next::Nothing => {
                line.to_write.notified().await;
                continue;
            }
            Next::End => break,
        };
        let mut packets = packets.into_iter().peekable();
        while let Some((chunk, len)) = chunk(&mut packets) {
            match timeout(STUCK, put(&mut writer, &chunk)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Ok(()),
                Err(_) => return Err("does not read"),
            }
            line.wrote(len);
            pool.inner.waiting.free(len);
        }
    }
    // The other end reads it, and closes; what it still says is not lost meanwhile.
    let _ = timeout(FAREWELL, writer.shutdown()).await;
    if !pool.inner.finishing.load(Ordering::Relaxed) && !line.is_cut() {
        sleep(FAREWELL).await;
    }
    Ok(())
}

/// What is written at once, and what it took in the queue.
fn chunk(packets: &mut Peekable<IntoIter<Bytes>>) -> Option<(Bytes, usize)> {
    let first = packets.next()?;
    let mut len = first.len() + PACKET;
    let Some(next) = packets.peek().filter(|next| first.len() + next.len() <= CHUNK) else { return Some((first, len)) };
    let mut chunk = BytesMut::with_capacity(CHUNK.min(first.len() + next.len() * (packets.len() + 1)));
    chunk.extend_from_slice(&first);
    while let Some(more) = packets.next_if(|next| chunk.len() + next.len() <= CHUNK) {
        chunk.extend_from_slice(&more);
        len += more.len() + PACKET;
    }
    Some((chunk.freeze(), len))
}

async fn put(writer: &mut WriteHalf<Stream>, bytes: &[u8]) -> io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await
}

/// Waits until the connection is cut, and closes it when no session has used it for too long.
async fn watch(pool: &Pool, line: &Line) -> Ended {
    loop {
        if line.is_cut() {
            return Ok(());
        }
        let until = line.unused_since().map(|since| since + pool.inner.setup.bounds.unfinished);
        tokio::select! {
            () = line.changed.notified() => {}
            () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                pool.inner.meters.msrp_failed("no session");
                line.close();
            }
        }
    }
}
