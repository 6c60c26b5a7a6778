//! A phone and an XMPP server's end on real sockets, for the demo and for tests of the daemon; a media relay without any.

mod guest;
pub mod jingle;
pub mod muc;
mod phone;
mod relay;
mod server;
mod session;

pub use guest::{Guest, Heard};
pub use phone::{Phone, PhoneAnswer};
pub use relay::{Asked, Mood, Relay};
pub use server::{Rooms, Server, ServerSettings, Verdict};
pub use session::Session;
