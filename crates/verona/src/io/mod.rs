//! Sockets, and the clock.

pub(crate) mod bounds;
pub(crate) mod clock;
pub(crate) mod dns;
pub(crate) mod link;
pub(crate) mod msrp;
pub(crate) mod relay;
pub(crate) mod s2s;
#[allow(dead_code, reason = "the edges of SIP use the rest")]
pub(crate) mod stream;
pub(crate) mod tcp;
pub(crate) mod udp;
