//! For tests and the demo, never for the daemon's work: the other side of the gateway, in several strengths.

#[cfg(feature = "peers")]
pub mod peers;
