//! The gateway among those who mean it harm, or are broken: on real sockets, in bounded time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

#[allow(dead_code, reason = "shared with the tests in operations")]
mod caller;
mod chats;
mod connections;
mod door;
mod door_s2s;
mod edges;
#[allow(dead_code, reason = "what these stand on is for those that come, too")]
mod faults;
mod floods;
mod halls;
mod identity;
mod identity_digest;
mod identity_s2s;
mod identity_sip;
mod msrp;
mod room_names;
mod rooms;
#[allow(dead_code, reason = "shared with the tests in operations")]
mod seats;
mod servers;
mod sessions;
#[allow(dead_code, reason = "shared with the tests in corpus")]
mod world;
