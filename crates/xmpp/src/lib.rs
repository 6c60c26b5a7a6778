//! XMPP without sockets: addresses (RFC 7622), stanzas whatever the stream's namespace, component streams (XEP-0114), streams with other servers,
//! a typed view of each extension that the gateway knows, and the answers it owes to those who ask what it is.

pub mod agent;
pub mod error;
pub mod ext;
pub mod federation;
pub mod jid;
pub mod ns;
pub mod stanza;
pub mod stream;
