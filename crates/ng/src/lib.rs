//! rtpengine's control protocol, ng, without sockets: its documents ([`bencode`]), what is asked and answered ([`Request`], [`Reply`]), and a
//! [`Client`] that asks one of several servers, again where a datagram was lost, and another where one is silent.
//!
//! Descriptions are octets here, and are never read. The protocol is that of `docs/ng_control_protocol.md` in rtpengine's sources, over UDP: a
//! cookie, a space, a dictionary; a server that sees a cookie again gives the same answer again.

pub mod bencode;
mod client;
mod reply;
mod request;

pub use client::{AskId, Client, Config, Counts, Failure, Health, MAX_SERVERS, Output};
pub use reply::{Reply, Unreadable};
pub use request::{Dtls, Exchange, Ice, Mux, Request, Rewriting, Sdes};

/// The most bytes of a datagram of UDP over IPv4.
pub const MAX_DATAGRAM: usize = 65_507;
