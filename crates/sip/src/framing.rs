//! Messages on a stream: RFC 3261 §18.3, and the keep-alives of RFC 5626 §3.5.1.

use crate::lex::{self, TOKEN};
use crate::limits::Limits;
use crate::message::Message;
use crate::parse::{HEAD_END, Head, Rejected, Sound, TOO_LARGE, fault, unfinished};
use bytes::{Buf, BytesMut};

/// What comes out of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "a frame is taken apart where it comes out")]
pub enum Frame {
    /// A whole message.
    Message(Message),
    /// The second of two line ends in a row: a ping, to be answered with one CRLF.
    Ping,
    /// A line end between messages: a pong where one was awaited, the first half of a ping, or nothing.
    Pong,
}

/// Cuts a stream into messages as bytes come in, in pieces of any size, and looks at no byte of an unfinished message
/// twice.
///
/// After an error the stream has lost its framing: nothing comes out any more, and the connection is to be closed when
/// the answer, if there is one, is written.
#[derive(Debug)]
pub struct StreamDecoder {
    limits: Limits,
    buffer: BytesMut,
    state: State,
}

enum State {
    /// Between messages. `line_ends` in a row were seen.
    Between { line_ends: usize },
    /// In a head, whose end is not in the first `scanned` bytes; `started` once its first word is seen to be SIP's.
    Head { scanned: usize, started: bool },
    /// The head of `size` bytes was taken off the buffer; its body is awaited.
    Body { head: Box<Sound>, size: usize, length: usize },
    /// Framing is lost.
    Closed,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            State::Between { .. } => "Between",
            State::Head { .. } => "Head",
            State::Body { .. } => "Body",
            State::Closed => "Closed",
        })
    }
}

impl StreamDecoder {
    /// A decoder for a new stream.
    pub fn new(limits: Limits) -> StreamDecoder {
        StreamDecoder { limits, buffer: BytesMut::new(), state: State::Between { line_ends: 0 } }
    }

    /// Takes the next bytes of the stream. Drain `next` after each call: what is not taken out stays in memory.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Closed) {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// How many bytes of a message that is not whole yet are held.
    pub fn buffered(&self) -> usize {
        let head = if let State::Body { size, .. } = &self.state { *size } else { 0 };
        head + self.buffer.len()
    }

    /// Whether a message has begun and is not whole: the shell gives it a bounded time.
    pub fn is_inside_message(&self) -> bool {
        !matches!(self.state, State::Between { .. } | State::Closed) || !self.buffer.is_empty()
    }

    /// The next frame, or `None` until more bytes come.
    ///
    /// # Errors
    /// `Rejected` once, for what is no SIP, beyond the limits, or without one right Content-Length (a stream needs it:
    /// RFC 3261 §18.3). Nothing comes out after that.
    #[allow(clippy::should_implement_trait, reason = "it goes on after None, unlike an Iterator, when more is pushed")]
    pub fn next(&mut self) -> Result<Option<Frame>, Rejected> {
        // An error leaves the state closed, and what is behind it is nobody's.
        self.advance().inspect_err(|_| self.buffer = BytesMut::new())
    }

    fn advance(&mut self) -> Result<Option<Frame>, Rejected> {
        loop {
            match std::mem::replace(&mut self.state, State::Closed) {
                State::Closed => return Ok(None),
                State::Between { line_ends } => match self.buffer.as_ref() {
                    [] => {
                        // A silent connection holds nothing.
                        self.buffer = BytesMut::new();
                        self.state = State::Between { line_ends };
                        return Ok(None);
                    }
                    [b'\r'] => {
                        self.state = State::Between { line_ends };
                        return Ok(None);
                    }
                    [b'\r', b'\n', ..] => {
                        self.buffer.advance(2);
                        let even = line_ends % 2 == 1;
                        self.state = State::Between { line_ends: line_ends + 1 };
                        return Ok(Some(if even { Frame::Ping } else { Frame::Pong }));
                    }
                    _ => self.state = State::Head { scanned: 0, started: false },
                },
                State::Head { scanned, started } => {
                    if !self.read_head(scanned, started)? {
                        return Ok(None);
                    }
                }
                State::Body { head, size, length } => {
                    if self.buffer.len() < length {
                        self.state = State::Body { head, size, length };
                        return Ok(None);
                    }
                    let body = self.buffer.split_to(length).freeze();
                    self.state = State::Between { line_ends: 0 };
                    return Ok(Some(Frame::Message(head.into_message(body))));
                }
            }
        }
    }

    /// Goes on in a head. `false` if its end is not there yet.
    fn read_head(&mut self, scanned: usize, started: bool) -> Result<bool, Rejected> {
        let started = started || self.check_start()?;
        // A message is refused by what its head says or by how long it is: the same in pieces and at once.
        let within = self.buffer.len().min(self.limits.head_bytes.saturating_add(2));
        let from = scanned.saturating_sub(3).min(within);
        let Some(found) = HEAD_END.find(&self.buffer[from..within]) else {
            if self.buffer.len() > within {
                return Err(unfinished(&self.buffer, &self.limits, TOO_LARGE));
            }
            self.state = State::Head { scanned: within, started };
            return Ok(false);
        };
        let head = self.buffer.split_to(from + found + 4);
        let head = Head::parse(&head[..head.len() - 2], &self.limits).finish()?;
        let size = from + found + 4;
        let Some(length) = head.length else {
            return Err(head.reject(fault(400, "Missing Content-Length")));
        };
        if length > self.limits.message_bytes.saturating_sub(size) {
            return Err(head.reject(TOO_LARGE));
        }
        self.state = State::Body { head: Box::new(head), size, length };
        Ok(true)
    }

    /// Whether the first word is whole and may be SIP's: a token and a space, or `SIP/`. HTTP passes here and is refused
    /// with its line; XML and TLS are refused at their first byte, which a token does not have.
    fn check_start(&self) -> Result<bool, Rejected> {
        let word = self.buffer.iter().take(65).take_while(|b| lex::is(**b, TOKEN)).count();
        match self.buffer.get(word) {
            None if word <= 64 => Ok(false),
            Some(b' ') if (1..=64).contains(&word) => Ok(true),
            Some(b'/') if self.buffer[..word].eq_ignore_ascii_case(b"SIP") => Ok(true),
            _ => Err(Rejected::new(fault(400, "Not SIP"))),
        }
    }
}
