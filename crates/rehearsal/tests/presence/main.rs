//! Presence in simulated time: weeks, storms, crashes, what nobody may learn, and two gateways back to back.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests are tests")]
#![allow(unreachable_pub, reason = "modules of one test")]

mod crash;
#[path = "../facing/mod.rs"]
mod facing;
mod mirror;
mod privacy;
mod storms;
mod town;
mod weeks;
