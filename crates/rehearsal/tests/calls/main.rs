//! Calls in simulated time: two gateways back to back, and a world of telephones and Jingle clients.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests are tests")]
#![allow(unreachable_pub, reason = "modules of one test")]

mod day;
#[path = "../facing/mod.rs"]
mod facing;
mod mirror;
mod world;
