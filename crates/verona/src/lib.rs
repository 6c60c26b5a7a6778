//! Verona, a gateway between SIP and XMPP: the shell around the protocol crates. It owns what they must not touch: the
//! configuration, the sockets, the clock, the log.

mod accounts;
mod acme;
pub mod admin;
pub mod cli;
pub mod config;
mod control;
pub mod daemon;
mod dispatch;
mod guard;
mod io;
pub mod log;
pub mod metrics;
pub mod notify;
mod own;
pub mod pid_file;
pub mod run;
mod setup;
mod shard;
pub mod state;
pub mod store;
mod tls;
mod trace;
