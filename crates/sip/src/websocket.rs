//! SIP on a WebSocket: RFC 7118, and of RFC 6455 what is behind the handshake.
//!
//! Frames are read here and not by a library because nothing may be kept of a message but the bytes of it that have come: a length that
//! somebody has announced is compared with the bound and never allocated, and a silent connection holds nothing.

use bytes::{Buf, Bytes, BytesMut};

/// Frames that one message may be cut into. Who cuts finer than that wants nothing but our time.
const MOST_FRAMES: usize = 256;

/// The most bytes of a frame before its payload (RFC 6455 §5.2).
const LONGEST_HEAD: usize = 14;

/// The most bytes of a control frame's payload (RFC 6455 §5.5).
const LONGEST_CONTROL: usize = 125;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Which end of the connection we are. A client masks what it sends, a server does not (RFC 6455 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// We have connected.
    Client,
    /// The other end has.
    Server,
}

/// What comes out of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A whole message, text or binary alike (RFC 7118 §4.2): one SIP message (§5), or a keep-alive of RFC 5626.
    Message(Bytes),
    /// A ping, to be answered with a pong of the same payload.
    Ping(Bytes),
    /// A pong, whether one was awaited or not.
    Pong,
    /// The other end closes. Nothing comes behind it.
    Close,
}

/// Why a connection cannot go on. It is to be closed, with [`Broken::code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// What came is no frame, or none that may come now.
    Protocol,
    /// A text that is not UTF-8.
    NotText,
    /// A message of more bytes or more frames than it may have.
    TooBig,
}

impl Broken {
    /// The code of the close frame (RFC 6455 §7.4.1).
    pub fn code(self) -> u16 {
        match self {
            Broken::Protocol => 1002,
            Broken::NotText => 1007,
            Broken::TooBig => 1009,
        }
    }
}

/// Cuts what comes behind the handshake into messages and control frames, in pieces of any size.
///
/// What it holds is what has come of one message, never more than that message may have, and the head of one frame. After an error or a close nothing
/// comes out any more.
#[derive(Debug)]
pub struct WebSocketDecoder {
    role: Role,
    /// Bytes that a message may have.
    most: usize,
    /// What has come and was not looked at.
    buffer: BytesMut,
    frame: Option<FrameHead>,
    /// The payload of a control frame.
    control: BytesMut,
    /// The payloads of a message's frames.
    message: BytesMut,
    begun: Option<Begun>,
    closed: bool,
}

/// A message of which some frame has begun.
#[derive(Debug, Clone, Copy)]
struct Begun {
    is_text: bool,
    frames: usize,
}

/// The head of a frame whose payload has not come whole.
#[derive(Debug, Clone, Copy)]
struct FrameHead {
    last: bool,
    opcode: u8,
    mask: [u8; 4],
    /// Bytes of the payload that have come, and that are still to come.
    come: usize,
    left: usize,
}

impl FrameHead {
    fn is_control(&self) -> bool {
        self.opcode >= CLOSE
    }
}

impl WebSocketDecoder {
    /// A decoder for a connection whose handshake is over. A message may have `most` bytes.
    pub fn new(role: Role, most: usize) -> WebSocketDecoder {
        WebSocketDecoder {
            role,
            most,
            buffer: BytesMut::new(),
            frame: None,
            control: BytesMut::new(),
            message: BytesMut::new(),
            begun: None,
            closed: false,
        }
    }

    /// Takes the next bytes. Drain `next` after each call: what is not taken out stays in memory.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.closed {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// How many bytes are held that have not become an event.
    pub fn buffered(&self) -> usize {
        self.buffer.len() + self.message.len() + self.control.len()
    }

    /// Whether a message or a frame has begun and is not whole: the shell gives it a bounded time.
    pub fn is_inside_message(&self) -> bool {
        self.begun.is_some() || self.frame.is_some() || !self.buffer.is_empty()
    }

    /// The next event, or `None` until more bytes come.
    ///
    /// # Errors
    /// [`Broken`] once: nothing comes out after that.
    #[allow(clippy::should_implement_trait, reason = "it goes on after None, unlike an Iterator, when more is pushed")]
    pub fn next(&mut self) -> Result<Option<Event>, Broken> {
        let next = self.advance();
        if next.is_err() || matches!(next, Ok(Some(Event::Close))) {
            *self = WebSocketDecoder { closed: true, ..WebSocketDecoder::new(self.role, self.most) };
        }
        next
    }

    fn advance(&mut self) -> Result<Option<Event>, Broken> {
        loop {
            let Some(mut frame) = self.frame.take() else {
                if self.closed || !self.read_head()? {
                    return Ok(None);
                }
                continue;
            };
            let now = frame.left.min(self.buffer.len());
            let payload = if frame.is_control() { &mut self.control } else { &mut self.message };
            let from = payload.len();
            payload.extend_from_slice(&self.buffer[..now]);
            mask(&mut payload[from..], frame.mask, frame.come);
            self.buffer.advance(now);
            (frame.come, frame.left) = (frame.come + now, frame.left - now);
            self.free();
            if frame.left > 0 {
                self.frame = Some(frame);
                return Ok(None);
            }
            if let Some(event) = self.end(&frame)? {
                return Ok(Some(event));
            }
        }
    }

    /// A silent connection holds nothing.
    fn free(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// Reads the head of a frame, and says whether it was whole.
    fn read_head(&mut self) -> Result<bool, Broken> {
        let Some((head, length)) = head(&self.buffer)? else {
            self.free();
            return Ok(false);
        };
        // RFC 6455 §5.1: what a client sends is masked, what a server sends is not.
        if head.mask.is_some() != (self.role == Role::Server) {
            return Err(Broken::Protocol);
        }
        let room = match head.opcode {
            CONTINUATION => {
                let begun = self.begun.as_mut().ok_or(Broken::Protocol)?;
                begun.frames += 1;
                if begun.frames > MOST_FRAMES {
                    return Err(Broken::TooBig);
                }
                self.most.saturating_sub(self.message.len())
            }
            TEXT | BINARY if self.begun.is_none() => {
                self.begun = Some(Begun { is_text: head.opcode == TEXT, frames: 1 });
                self.most
            }
            // RFC 6455 §5.4: messages are not interleaved. §5.5: a control frame is short, and whole.
            CLOSE | PING | PONG if head.last && length <= LONGEST_CONTROL as u64 => LONGEST_CONTROL,
            _ => return Err(Broken::Protocol),
        };
        let left = usize::try_from(length).ok().filter(|left| *left <= room).ok_or(Broken::TooBig)?;
        let mask = head.mask.unwrap_or_default();
        self.buffer.advance(head.size);
        self.frame = Some(FrameHead { last: head.last, opcode: head.opcode, mask, come: 0, left });
        Ok(true)
    }

    /// What a whole frame is, or ends.
    fn end(&mut self, frame: &FrameHead) -> Result<Option<Event>, Broken> {
        match frame.opcode {
            PING => Ok(Some(Event::Ping(std::mem::take(&mut self.control).freeze()))),
            PONG => {
                self.control = BytesMut::new();
                Ok(Some(Event::Pong))
            }
            CLOSE => Ok(Some(Event::Close)),
            _ if !frame.last => Ok(None),
            _ => {
                let message = std::mem::take(&mut self.message).freeze();
                let is_text = self.begun.take().is_some_and(|begun| begun.is_text);
                match is_text && std::str::from_utf8(&message).is_err() {
                    true => Err(Broken::NotText),
                    false => Ok(Some(Event::Message(message))),
                }
            }
        }
    }
}

/// What the first bytes of a frame say.
struct Head {
    last: bool,
    opcode: u8,
    mask: Option<[u8; 4]>,
    /// Bytes of the head itself.
    size: usize,
}

/// Reads the head of a frame and the length of its payload (RFC 6455 §5.2), if it has come.
fn head(bytes: &[u8]) -> Result<Option<(Head, u64)>, Broken> {
    let [first, second, ..] = *bytes else { return Ok(None) };
    // No extension is ever agreed on, so nothing is said by the reserved bits.
    if first & 0x70 != 0 {
        return Err(Broken::Protocol);
    }
    let rest = &bytes[2..bytes.len().min(LONGEST_HEAD)];
    let (length, rest) = match second & 0x7f {
        126 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from_be_bytes(*length), rest),
            None => return Ok(None),
        },
        short => (u64::from(short), rest),
    };
    let behind = bytes.len().min(LONGEST_HEAD) - rest.len();
    let (mask, size) = match second & 0x80 {
        0 => (None, behind),
        _ => match rest.first_chunk() {
            Some(mask) => (Some(*mask), behind + 4),
            None => return Ok(None),
        },
    };
    Ok(Some((Head { last: first & 0x80 != 0, opcode: first & 0x0f, mask, size }, length)))
}

/// Masks, or takes the mask off (RFC 6455 §5.3); `from` bytes of the payload came before.
fn mask(bytes: &mut [u8], mask: [u8; 4], from: usize) {
    if mask != [0; 4] {
        let mut mask = mask;
        mask.rotate_left(from % 4);
        bytes.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    }
}

/// What we send, as frames. A client's `key` is new and unpredictable for each of them; a server has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outgoing<'a> {
    /// A SIP message, as text where it is text (RFC 7118 §4.2).
    Message(&'a [u8]),
    /// A ping.
    Ping,
    /// The answer to a ping with this payload.
    Pong(&'a [u8]),
    /// The end, and its code.
    Close(u16),
}

impl Outgoing<'_> {
    /// Writes the frame behind what is there.
    pub fn write(self, out: &mut Vec<u8>, key: Option<[u8; 4]>) {
        let code;
        let (opcode, payload) = match self {
            Outgoing::Message(bytes) if std::str::from_utf8(bytes).is_ok() => (TEXT, bytes),
            Outgoing::Message(bytes) => (BINARY, bytes),
            Outgoing::Ping => (PING, &[][..]),
            Outgoing::Pong(payload) => (PONG, &payload[..payload.len().min(LONGEST_CONTROL)]),
            Outgoing::Close(number) => {
                code = number.to_be_bytes();
                (CLOSE, &code[..])
            }
        };
        let masked = u8::from(key.is_some()) << 7;
        out.reserve(LONGEST_HEAD + payload.len());
        out.push(0x80 | opcode);
        match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
            (Ok(short @ ..126), _) => out.push(masked | short),
            (_, Ok(medium)) => {
                out.push(masked | 126);
                out.extend_from_slice(&medium.to_be_bytes());
            }
            _ => {
                out.push(masked | 127);
                out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(&key.unwrap_or_default()[..if key.is_some() { 4 } else { 0 }]);
        let from = out.len();
        out.extend_from_slice(payload);
        if let Some(key) = key {
            mask(&mut out[from..], key, 0);
        }
    }
}

#[cfg(test)]
mod tests;
