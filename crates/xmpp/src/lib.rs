//! XMPP without sockets: addresses, stanzas, streams, extensions.

pub mod jid;
