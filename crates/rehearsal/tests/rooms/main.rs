//! Rooms in simulated time: a MUC seen through two gateways, a world of SIP and XMPP users in rooms, and what may be done to both.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests are tests")]
#![allow(unreachable_pub, reason = "modules of one test")]

mod abuse;
mod guest;
mod mirror;
#[path = "../facing/pipes.rs"]
#[allow(dead_code, reason = "each test has its own use of it")]
mod pipes;
mod town;
mod troubles;
mod twins;
