//! Rooms in simulated time: a MUC as it is, and as it is seen through two gateways with a conference of SIP between them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests are tests")]
#![allow(unreachable_pub, reason = "modules of one test")]

#[path = "../facing/mod.rs"]
mod facing;
mod hall;
mod mirror;
mod view;
