//! SIP (RFC 3261 and its kin) without sockets: bytes become messages, messages become bytes, and what lies between a
//! request and its answer is state machines that are told the time.
//!
//! Bodies are octets here: this crate carries them and never reads them.

pub mod agent;
mod dialog;
pub mod digest;
pub mod framing;
mod ground;
pub mod header;
pub mod invite;
mod lex;
mod limits;
pub mod locate;
mod message;
mod method;
mod parse;
pub mod publication;
pub mod register;
pub mod registrar;
pub mod subscription;
pub mod transaction;
pub mod uri;
mod validate;
pub mod websocket;

pub use dialog::Dialog;
pub use framing::{Frame, StreamDecoder};
pub use ground::{Cause, Floor, Ground, NextHop};
pub use header::{CSeq, HeaderError, HeaderName, Headers, Name, NameAddr, Params, Via};
pub use lex::Syntax;
pub use limits::Limits;
pub use message::{Message, Request, Response, reason_phrase};
pub use method::Method;
pub use parse::{Rejected, parse_datagram};
pub use uri::{Host, SipUri, Uri, UriParams};
pub use validate::{Essentials, validate_request, validate_response};
