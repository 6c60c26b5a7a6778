//! For the tests and the demo: a player of plain-text scenes, a simulated world of phones, servers and bad networks, and a stub
//! phone and stub XMPP server that use real sockets.

pub mod demo;
pub mod fuzz;
pub mod ladder;
#[cfg(feature = "peers")]
pub mod peers;
pub mod scene;
pub mod stub;
pub mod wire;
pub mod world;
