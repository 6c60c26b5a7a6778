//! The gateway among those who mean it harm, or are broken: on real sockets, in bounded time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

mod connections;
mod floods;
mod identity;
mod servers;
#[allow(dead_code, reason = "shared with the tests in corpus")]
mod world;
