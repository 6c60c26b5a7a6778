//! How SIP is written on a connection: RFC 3261 §18.3 on a stream, RFC 7118 on a WebSocket, and the keep-alives of either (RFC 5626 §3.5.1, RFC 6455
//! §5.5.2).

use sip::agent::Transport;
use sip::websocket::{Event, Outgoing, Role, WebSocketDecoder};
use sip::{Frame, Limits, Message, Rejected, StreamDecoder, parse_datagram};

/// A ping on a stream, and its pong, which is half of it.
const PING: &[u8] = b"\r\n\r\n";

/// How one connection is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Stream,
    WebSocket(Role),
}

impl Wire {
    /// That of a connection by `transport`, which the other end has made or we have.
    pub(super) fn of(transport: Transport, accepted: bool) -> Wire {
        match (transport, accepted) {
            (Transport::Udp | Transport::Tcp | Transport::Tls, _) => Wire::Stream,
            (Transport::Ws | Transport::Wss, true) => Wire::WebSocket(Role::Server),
            (Transport::Ws | Transport::Wss, false) => Wire::WebSocket(Role::Client),
        }
    }

    /// Writes a message behind what is there. False: there are no random numbers.
    pub(super) fn message(self, message: &[u8], out: &mut Vec<u8>) -> bool {
        match self {
            Wire::Stream => {
                out.extend_from_slice(message);
                true
            }
            Wire::WebSocket(role) => frame(Outgoing::Message(message), role, out),
        }
    }

    /// A ping, for the other end to answer.
    pub(super) fn ping(self) -> Vec<u8> {
        match self {
            Wire::Stream => PING.to_vec(),
            Wire::WebSocket(role) => framed(Outgoing::Ping, role),
        }
    }

    /// Whether whoever speaks it must answer a ping. On a stream those who know no RFC 5626 take it for nothing.
    pub(super) fn must_pong(self) -> bool {
        self != Wire::Stream
    }
}

fn framed(what: Outgoing<'_>, role: Role) -> Vec<u8> {
    let mut out = Vec::new();
    frame(what, role, &mut out);
    out
}

fn frame(what: Outgoing<'_>, role: Role, out: &mut Vec<u8>) -> bool {
    let mut key = [0; 4];
    if role == Role::Client && getrandom::fill(&mut key).is_err() {
        return false;
    }
    what.write(out, (role == Role::Client).then_some(key));
    true
}

/// What has come.
#[derive(Debug)]
pub(super) enum Came {
    Message(Message),
    /// What should have been one.
    Rejected(Rejected),
    /// A ping, and its answer as it is written.
    Ping(Vec<u8>),
    Pong,
    /// Nothing more comes. This is still to be written.
    End(Vec<u8>),
    /// What comes cannot be read any more. This is still to be written.
    Broken(Vec<u8>),
}

/// Cuts what comes by one connection.
#[derive(Debug)]
pub(super) enum Decoder {
    Stream { decoder: StreamDecoder, broken: bool },
    WebSocket { decoder: WebSocketDecoder, limits: Limits, role: Role },
}

impl Decoder {
    pub(super) fn new(wire: Wire, limits: Limits) -> Decoder {
        match wire {
            Wire::Stream => Decoder::Stream { decoder: StreamDecoder::new(limits), broken: false },
            Wire::WebSocket(role) => {
                Decoder::WebSocket { decoder: WebSocketDecoder::new(role, limits.message_bytes), limits, role }
            }
        }
    }

    /// Takes the next bytes. All that comes of them is to be taken out before there are more.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        match self {
            Decoder::Stream { decoder, .. } => decoder.push(bytes),
            Decoder::WebSocket { decoder, .. } => decoder.push(bytes),
        }
    }

    /// Bytes of a message that is not whole.
    pub(super) fn buffered(&self) -> usize {
        match self {
            Decoder::Stream { decoder, .. } => decoder.buffered(),
            Decoder::WebSocket { decoder, .. } => decoder.buffered(),
        }
    }

    /// Whether a message has begun and is not whole.
    pub(super) fn is_inside_message(&self) -> bool {
        match self {
            Decoder::Stream { decoder, .. } => decoder.is_inside_message(),
            Decoder::WebSocket { decoder, .. } => decoder.is_inside_message(),
        }
    }

    /// What comes next, if it is there.
    pub(super) fn next(&mut self) -> Option<Came> {
        match self {
            Decoder::Stream { broken: broken @ true, .. } => {
                *broken = false;
                Some(Came::End(Vec::new()))
            }
            Decoder::Stream { decoder, broken } => match decoder.next() {
                Ok(Some(Frame::Message(message))) => Some(Came::Message(message)),
                Ok(Some(Frame::Ping)) => Some(Came::Ping(b"\r\n".to_vec())),
                Ok(Some(Frame::Pong)) => Some(Came::Pong),
                Ok(None) => None,
                Err(rejected) => {
                    *broken = true;
                    Some(Came::Rejected(rejected))
                }
            },
            Decoder::WebSocket { decoder, limits, role } => match decoder.next() {
                Ok(Some(Event::Message(message))) => Some(match &message[..] {
                    PING => Came::Ping(framed(Outgoing::Message(b"\r\n"), *role)),
                    b"\r\n" | b"" => Came::Pong,
                    // One message is lost, and not the framing (RFC 7118 §5).
                    _ => match parse_datagram(&message, limits) {
                        Ok(message) => Came::Message(message),
                        Err(rejected) => Came::Rejected(rejected),
                    },
                }),
                Ok(Some(Event::Ping(payload))) => Some(Came::Ping(framed(Outgoing::Pong(&payload), *role))),
                Ok(Some(Event::Pong)) => Some(Came::Pong),
                Ok(Some(Event::Close)) => Some(Came::End(framed(Outgoing::Close(1000), *role))),
                Ok(None) => None,
                Err(broken) => Some(Came::Broken(framed(Outgoing::Close(broken.code()), *role))),
            },
        }
    }
}
