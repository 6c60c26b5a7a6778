//! Verona, a gateway between SIP and XMPP: the shell around the protocol crates. It owns what they must not touch: the
//! configuration, the sockets, the clock, the log.

pub mod config;
pub mod log;
