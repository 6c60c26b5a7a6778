//! What every protocol crate stands on: time that comes in as an argument, timers, unguessable tokens and tables that
//! cannot be iterated by accident. Nothing here knows a protocol.

pub mod digest;
pub mod dns;
mod hash;
pub mod hex;
mod recent;
pub mod srv;
mod syntax;
mod time;
mod token;

pub use compact_str::{CompactString as Str, ToCompactString, format_compact};
pub use hash::{Fingerprint, HashKey, Table};
pub use recent::Recent;
pub use syntax::Syntax;
pub use time::{Time, Timers};
pub use token::Tokens;
