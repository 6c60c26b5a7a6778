//! The gateway between SIP and XMPP without its sockets: addresses (RFC 7247 §6), errors (RFC 7247 §7), and one folder
//! per mapping. [`gateway::Gateway`] is the whole of it as a machine that is handed inputs and asked for outputs.

pub mod account;
pub mod address;
pub mod chat;
pub mod choice;
pub mod config;
pub mod content;
pub mod error;
pub mod gateway;
mod held;
mod identity;
pub mod leg;
pub mod links;
pub mod mapping;
pub mod media;
pub mod message;
pub mod names;
pub mod network;
pub mod numbers;
pub mod phones;
pub mod presence;
mod prints;
mod rate;
mod records;
pub mod room;
pub mod route;
pub mod store;
pub mod trunk;
mod voice;
pub mod way;
mod whereabouts;
