//! Federation: all streams with all other servers.

mod rules;

pub use rules::{Pattern, Policy, Rules};
