//! MSRP (RFC 4975) without sockets: bytes become frames, frames become the messages of sessions, and back. Also the client's side of
//! relays (RFC 4976).
//!
//! Connections belong to the shell, which names them by numbers and feeds a [`Decoder`] for each. Several sessions may share one,
//! sessions of several shards too: [`shard_of`] says whose a frame is. Bodies are octets here, and are never read.

pub mod agent;
mod chunk;
mod decoder;
pub mod frame;
mod lex;
pub mod nickname;
mod parse;
mod relay;
pub mod uri;

pub use agent::{
    Advertised, Agent, Config, ConnectionId, Counts, End, Event, Failure, Fingerprint, Hop, Incoming, MessageId,
    MessageToken, NotOpened, Outgoing, Output, Peer, Refused, Relay, RequestId, SessionId, Ticket, Tls, Way,
};
pub use decoder::{Arrival, Decoder, Fatal, Limits};
pub use frame::{ByteRange, FailureReport, Flag, Frame, Head, Method, Request, Response, Status, reason_phrase};
pub use lex::Syntax;
pub use uri::{Host, Path, Uri};

/// The shard that minted the session-id of the first To-Path URI of what came: two hexadecimal digits at its beginning. `None` where
/// there is no such thing; then any shard may answer that there is no such session.
pub fn shard_of(arrival: &Arrival) -> Option<u8> {
    let to = match arrival {
        Arrival::Frame(Frame::Request(request)) | Arrival::TooLarge(request) => &request.to,
        Arrival::Frame(Frame::Response(response)) => &response.to,
        Arrival::Malformed { answer, .. } => &answer.as_ref()?.to,
    };
    let digits = to.session_id()?.get(..2)?;
    let hex = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
    digits.as_bytes().iter().all(hex).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}
