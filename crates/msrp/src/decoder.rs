//! Frames out of a stream of bytes (RFC 4975 §7.1, §7.3).
//!
//! A frame ends where its end-line says so: seven hyphens, the transaction id of its first line, a flag. No byte is looked at
//! twice but those that may be the beginning of an end-line.

use crate::frame::{Flag, Frame, Head, Method, Request};
use crate::lex::{self, Syntax};
use crate::parse::{self, Parsed};
use base::Str;
use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memmem};
use std::fmt;

/// RFC 4975 §7.1: what is no SEND has no longer body than this.
const OTHER_BODY: usize = 10_240;
/// The longest transaction id.
const LONGEST_ID: usize = 32;
/// What a frame begins with.
const MSRP: &[u8] = b"MSRP ";
/// What an end-line begins with.
const DASHES: &[u8] = b"-------";

/// What a decoder takes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a start line and headers, with what ends them.
    pub max_head: usize,
    /// Bytes of a body, and of a message as far as a Byte-Range says it.
    pub max_body: usize,
}

impl Default for Limits {
    /// 8 KiB and 1 MiB.
    fn default() -> Limits {
        Limits { max_head: 8192, max_body: 1 << 20 }
    }
}

/// What comes out of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "a frame is taken apart where it comes out")]
pub enum Arrival {
    /// A whole frame.
    Frame(Frame),
    /// The head of a request whose body, or whose message, is larger than may be. It comes out as soon as that is known; the body is
    /// dropped as it comes in. Its flag says nothing.
    TooLarge(Request),
    /// A frame that breaks the rules but has an end: the stream goes on.
    Malformed {
        /// What an answer with 400 needs. `None`: it wants none.
        answer: Option<Head>,
        /// What is wrong, in a few words of ASCII.
        why: &'static str,
    },
}

/// The stream is no MSRP any more, and the connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fatal(pub Syntax);

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Fatal {}

/// CRLF, seven hyphens and a transaction id: what ends a body but for the flag.
#[derive(Clone, Copy)]
struct Marker {
    bytes: [u8; 2 + 7 + LONGEST_ID],
    len: u8,
}

impl Marker {
    fn new(transaction: &[u8]) -> Marker {
        let mut bytes = [0; 2 + 7 + LONGEST_ID];
        bytes[..2].copy_from_slice(b"\r\n");
        bytes[2..9].copy_from_slice(DASHES);
        bytes[9..9 + transaction.len()].copy_from_slice(transaction);
        Marker { bytes, len: 9 + u8::try_from(transaction.len()).unwrap_or(0) }
    }

    fn get(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Where a body ends.
enum End {
    /// At this place, with this flag. The end-line has `size` bytes from there, its CRLFs included.
    At { place: usize, flag: Flag, size: usize },
    /// Not before this place.
    NotBefore(usize),
    /// At this place, by an end-line without a line end.
    Broken(usize),
}

/// Looks for the end of a body from `from` on.
fn find_end(bytes: &[u8], from: usize, marker: &Marker) -> End {
    let marker = marker.get();
    let mut from = from;
    loop {
        let found = memmem::find(&bytes[from..], marker);
        looked_at(found.map_or(bytes.len() - from, |found| found + marker.len()));
        let Some(found) = found else {
            return End::NotBefore(from.max((bytes.len() + 1).saturating_sub(marker.len())));
        };
        let place = from + found;
        let rest = &bytes[place + marker.len()..];
        match rest.first() {
            None => return End::NotBefore(place),
            Some(byte) => match (Flag::of(*byte), rest.get(1), rest.get(2)) {
                // RFC 4975 §7.1: without its flag it is none, and may stand in a body.
                (None, _, _) => from = place + 1,
                (Some(flag), Some(b'\r'), Some(b'\n')) => {
                    return End::At { place, flag, size: marker.len() + 3 };
                }
                (Some(_), None, _) | (Some(_), Some(b'\r'), None) => return End::NotBefore(place),
                (Some(_), Some(_), _) => return End::Broken(place),
            },
        }
    }
}

enum State {
    /// At the beginning of a frame, whose first line ends behind `scanned`.
    Start { scanned: usize },
    /// In the head of a frame: the transaction id has `id` bytes, the first line `first`; the line that is being read begins at `line`,
    /// and has no line end before `scanned`.
    Head { id: usize, first: usize, line: usize, scanned: usize },
    /// In the body of this request. The end-line does not begin before `scanned`.
    Body { request: Box<Request>, marker: Marker, limit: usize, scanned: usize },
    /// In a body that nobody wants.
    Skip { marker: Marker },
    /// No MSRP any more.
    Closed,
}

/// Cuts a stream into frames as bytes come in, in pieces of any size. What comes out does not depend on the pieces.
pub struct Decoder {
    limits: Limits,
    buffer: BytesMut,
    state: State,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Start { .. } => "Start",
            State::Head { .. } => "Head",
            State::Body { .. } => "Body",
            State::Skip { .. } => "Skip",
            State::Closed => "Closed",
        };
        f.debug_struct("Decoder").field("state", &state).field("pending", &self.pending()).finish()
    }
}

impl Decoder {
    /// A decoder for a new stream.
    pub fn new(limits: Limits) -> Decoder {
        Decoder { limits, buffer: BytesMut::new(), state: State::Start { scanned: 0 } }
    }

    /// Takes the next bytes of the stream. Drain [`Decoder::next`] after each call: what is not taken out stays in memory.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Closed) {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// How many bytes of a frame that is not whole yet are held: at most the limits together, and what was pushed last. A silent
    /// connection holds nothing.
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// Whether a frame has begun and is not whole: the shell gives it a bounded time.
    pub fn is_inside_frame(&self) -> bool {
        match self.state {
            State::Start { .. } => !self.buffer.is_empty(),
            State::Head { .. } | State::Body { .. } | State::Skip { .. } => true,
            State::Closed => false,
        }
    }

    /// What comes next, or `None` until more bytes come. Behind `Fatal` nothing comes any more.
    #[allow(clippy::should_implement_trait, reason = "it goes on after None, unlike an Iterator, when more is pushed")]
    pub fn next(&mut self) -> Option<Result<Arrival, Fatal>> {
        let next = self.advance();
        if let Err(fatal) = next {
            self.state = State::Closed;
            self.buffer = BytesMut::new();
            return Some(Err(fatal));
        }
        if self.buffer.is_empty() && self.buffer.capacity() > 0 {
            self.buffer = BytesMut::new();
        }
        next.transpose()
    }

    fn advance(&mut self) -> Result<Option<Arrival>, Fatal> {
        loop {
            match std::mem::replace(&mut self.state, State::Closed) {
                State::Closed => return Ok(None),
                State::Start { scanned } => {
                    if !self.read_start(scanned)? {
                        return Ok(None);
                    }
                }
                State::Head { id, first, line, scanned } => match self.read_head(id, first, line, scanned)? {
                    Step::Out(arrival) => return Ok(Some(arrival)),
                    Step::On => {}
                    Step::Wait => return Ok(None),
                },
                State::Body { request, marker, limit, scanned } => match find_end(&self.buffer, scanned, &marker) {
                    End::At { place, .. } | End::NotBefore(place) | End::Broken(place)
                        if place.saturating_sub(2) > limit =>
                    {
                        self.state = State::Skip { marker };
                        return Ok(Some(Arrival::TooLarge(*request)));
                    }
                    End::Broken(_) => return Err(BROKEN),
                    End::NotBefore(scanned) => {
                        self.state = State::Body { request, marker, limit, scanned };
                        return Ok(None);
                    }
                    End::At { place, flag, size } => return Ok(Some(self.finish(*request, place, flag, size))),
                },
                State::Skip { marker } => match find_end(&self.buffer, 0, &marker) {
                    End::Broken(_) => return Err(BROKEN),
                    End::NotBefore(place) => {
                        self.buffer.advance(place);
                        self.state = State::Skip { marker };
                        return Ok(None);
                    }
                    End::At { place, size, .. } => {
                        self.buffer.advance(place + size);
                        self.state = State::Start { scanned: 0 };
                    }
                },
            }
        }
    }

    /// A body is whole. The buffer begins with the line end before it: it may be the first half of an end-line's, as some write an empty
    /// body without one of its own.
    fn finish(&mut self, mut request: Request, place: usize, flag: Flag, size: usize) -> Arrival {
        let body = if place < 2 {
            Bytes::new()
        } else {
            self.buffer.advance(2);
            self.buffer.split_to(place - 2).freeze()
        };
        self.buffer.advance(size);
        self.state = State::Start { scanned: 0 };
        request.body = Some(body);
        request.flag = flag;
        Arrival::Frame(Frame::Request(request))
    }

    /// Goes on in a first line. `false` if its end is not there yet. What is no MSRP is refused at its first wrong byte.
    fn read_start(&mut self, scanned: usize) -> Result<bool, Fatal> {
        let bytes = self.buffer.as_ref();
        let known = bytes.len().min(MSRP.len());
        if bytes[..known] != MSRP[..known] {
            return Err(Fatal(Syntax("no MSRP")));
        }
        let rest = &bytes[known..];
        let id = rest.iter().take(LONGEST_ID + 1).take_while(|b| lex::is(**b, lex::IDENT)).count();
        match rest.get(id) {
            Some(b' ') if lex::is_ident(&rest[..id]) => {}
            None if id <= LONGEST_ID => {
                self.state = State::Start { scanned: bytes.len() };
                return Ok(false);
            }
            Some(_) | None => return Err(Fatal(Syntax("no transaction id"))),
        }
        let within = bytes.len().min(self.limits.max_head);
        looked_at(within - scanned.min(within));
        match memchr(b'\n', &bytes[scanned.min(within)..within]) {
            Some(found) => {
                let end = scanned.min(within) + found + 1;
                if bytes[end - 2] != b'\r' {
                    return Err(Fatal(Syntax("a bare line end")));
                }
                self.state = State::Head { id, first: end, line: end, scanned: end };
                Ok(true)
            }
            None if bytes.len() >= self.limits.max_head => Err(LONG),
            None => {
                self.state = State::Start { scanned: bytes.len() };
                Ok(false)
            }
        }
    }

    /// Goes on in a head, line by line, to the empty line before a body or to the end-line of a frame without one.
    fn read_head(&mut self, id: usize, first: usize, mut line: usize, mut scanned: usize) -> Result<Step, Fatal> {
        let within = self.buffer.len().min(self.limits.max_head);
        loop {
            let found = memchr(b'\n', &self.buffer[scanned.min(within)..within]);
            looked_at(found.unwrap_or(within - scanned.min(within)) + 1);
            let Some(found) = found else {
                if self.buffer.len() >= self.limits.max_head {
                    return Err(LONG);
                }
                self.state = State::Head { id, first, line, scanned: self.buffer.len() };
                return Ok(Step::Wait);
            };
            let end = scanned + found + 1;
            scanned = end;
            if self.buffer[end - 2] != b'\r' {
                // Part of the line, and found to be no character of one when the head is read.
                continue;
            }
            let text = &self.buffer[line..end - 2];
            if text.is_empty() {
                return self.head_with_body(id, first, line);
            }
            let transaction = &self.buffer[MSRP.len()..MSRP.len() + id];
            let flag = text
                .strip_prefix(DASHES)
                .and_then(|text| text.strip_prefix(transaction))
                .and_then(|flag| if let [flag] = flag { Flag::of(*flag) } else { None });
            if let Some(flag) = flag {
                return Ok(Step::Out(self.whole_head(id, first, line, end, flag)?));
            }
            line = end;
        }
    }

    fn parse(&self, id: usize, first: usize, end: usize) -> Parsed {
        let bytes = self.buffer.as_ref();
        let transaction = std::str::from_utf8(&bytes[MSRP.len()..MSRP.len() + id]).unwrap_or_default();
        parse::head(transaction, &bytes[MSRP.len() + id + 1..first - 2], &bytes[first..end])
    }

    /// A frame that ends with its headers: its last line is from `line` to `end`.
    fn whole_head(&mut self, id: usize, first: usize, line: usize, end: usize, flag: Flag) -> Result<Arrival, Fatal> {
        let parsed = self.parse(id, first, line);
        self.buffer.advance(end);
        self.state = State::Start { scanned: 0 };
        Ok(match parsed {
            Parsed::Request(request) => Arrival::Frame(Frame::Request(Request { flag, ..request })),
            Parsed::Response(response) => Arrival::Frame(Frame::Response(response)),
            Parsed::Malformed(answer, why) => Arrival::Malformed { answer, why },
            Parsed::Hopeless(why) => return Err(Fatal(Syntax(why))),
        })
    }

    /// A head whose empty line is at `line`: a body follows.
    fn head_with_body(&mut self, id: usize, first: usize, line: usize) -> Result<Step, Fatal> {
        let parsed = self.parse(id, first, line);
        let marker = Marker::new(&self.buffer[MSRP.len()..MSRP.len() + id]);
        // The empty line's end stays: it may be the end-line's.
        self.buffer.advance(line);
        self.state = State::Skip { marker };
        let malformed = |answer, why| Ok(Step::Out(Arrival::Malformed { answer, why }));
        match parsed {
            Parsed::Hopeless(why) => Err(Fatal(Syntax(why))),
            Parsed::Malformed(answer, why) => malformed(answer, why),
            Parsed::Response(_) => malformed(None, "a response with a body"),
            Parsed::Request(request) if request.content_type.is_none() => {
                let wanted = request.method != Method::Report && request.failure_report.wants(400);
                malformed(wanted.then(|| request.head()), "a body without a Content-Type")
            }
            Parsed::Request(request) => {
                let limit = match request.method {
                    Method::Send => self.limits.max_body,
                    Method::Report | Method::Auth | Method::Nickname | Method::Other(_) => {
                        OTHER_BODY.min(self.limits.max_body)
                    }
                };
                let max = u64::try_from(limit).unwrap_or(u64::MAX);
                let beyond = request.range.is_some_and(|range| {
                    range.total.is_some_and(|total| total > max)
                        || range.end.is_some_and(|end| end > max)
                        || range.start - 1 > max
                });
                if beyond && request.method == Method::Send {
                    return Ok(Step::Out(Arrival::TooLarge(request)));
                }
                self.state = State::Body { request: Box::new(request), marker, limit, scanned: 0 };
                Ok(Step::On)
            }
        }
    }
}

/// What came of a step in a head.
#[allow(clippy::large_enum_variant, reason = "taken apart at once")]
enum Step {
    Out(Arrival),
    On,
    Wait,
}

const LONG: Fatal = Fatal(Syntax("a head that is too long"));
const BROKEN: Fatal = Fatal(Syntax("a broken end-line"));

impl Arrival {
    /// The transaction id, for logs: it says nothing of anybody.
    pub fn transaction(&self) -> Option<&Str> {
        match self {
            Arrival::Frame(Frame::Request(request)) | Arrival::TooLarge(request) => Some(&request.transaction),
            Arrival::Frame(Frame::Response(response)) => Some(&response.transaction),
            Arrival::Malformed { answer, .. } => answer.as_ref().map(|head| &head.transaction),
        }
    }
}

#[cfg(test)]
std::thread_local! {
    /// How many bytes were looked at: what the cost of a stream is measured by.
    static LOOKED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
fn looked_at(bytes: usize) {
    LOOKED.set(LOOKED.get() + bytes);
}

#[cfg(not(test))]
fn looked_at(_: usize) {}

#[cfg(test)]
mod tests;
