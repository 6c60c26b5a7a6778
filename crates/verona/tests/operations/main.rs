//! The real program between a stub server and stub phones, on real sockets, as its operator sees it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

#[path = "../hostile/caller.rs"]
#[allow(dead_code, reason = "shared with the tests in hostile")]
mod caller;
mod calls;
mod chat_faults;
mod chat_races;
mod crash;
mod demo;
mod durable;
mod halls;
mod lifecycle;
mod logs;
mod metrics;
mod order;
mod reload;
mod rig;
mod rooms;
#[path = "../hostile/seats.rs"]
#[allow(dead_code, reason = "shared with the tests in hostile")]
mod seats;
mod sessions;
mod store;
mod tcp;
