//! Sockets, and the clock.

pub(crate) mod bounds;
pub(crate) mod clock;
pub(crate) mod dns;
pub(crate) mod link;
pub(crate) mod msrp;
pub(crate) mod relay;
pub(crate) mod s2s;
pub(crate) mod sip;
pub(crate) mod stream;
pub(crate) mod udp;
