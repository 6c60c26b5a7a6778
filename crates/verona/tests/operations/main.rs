//! The real program between a stub server and stub phones, on real sockets, as its operator sees it.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod crash;
mod demo;
mod durable;
mod lifecycle;
mod logs;
mod metrics;
mod order;
mod reload;
mod rig;
mod sessions;
mod store;
mod tcp;
