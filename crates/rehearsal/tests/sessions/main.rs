//! Chat sessions in simulated time: two gateways back to back, and a world of SIP and XMPP users.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests are tests")]
#![allow(unreachable_pub, reason = "modules of one test")]

mod breaks;
#[path = "../facing/mod.rs"]
mod facing;
mod mirror;
mod talk;
mod world;
