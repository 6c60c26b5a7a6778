//! What the load generator and the do-nothing gateway are made of.
//!
//! The generator plays both sides of a gateway: SIP user agents, and the XMPP server that the gateway is a component of (XEP-0114). It
//! stands on none of the project's own crates: what measures them must not share their faults.

pub mod bytes;
pub mod calls;
pub mod component;
pub mod federation;
pub mod handshakes;
pub mod ledger;
pub mod line;
pub mod names;
pub mod options;
pub mod presence;
pub mod process;
pub mod report;
pub mod rooms;
pub mod run;
mod send;
pub mod sessions;
mod sip;
pub mod trust;
mod xmpp;
