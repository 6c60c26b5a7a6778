//! What breaks around a gateway that does its work: names, certificates, connections, and the room for them. Whatever it is, it is answered for, and
//! everything else goes on.

mod descriptors;
mod half_open;
mod handshakes;
mod names;
mod net;
mod restarts;
mod rotation;
mod server;
mod sip_line;
