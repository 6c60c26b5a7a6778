//! What the tests need of an XMPP server, whichever it is.

use super::{Credentials, Place, Process};
use std::fmt::Debug;
use std::net::SocketAddr;
use std::path::Path;

/// A running XMPP server that hosts `example.com`, or another domain, with components of its own and of others.
pub trait XmppServer: Debug {
    /// The domain of its users.
    fn domain(&self) -> &str {
        DOMAIN
    }

    /// Where clients connect.
    fn client(&self) -> SocketAddr;

    /// Where components connect.
    fn component(&self) -> SocketAddr;

    /// TOML that makes a gateway a server beside it, in place of its component; `@DOMAINS@` are the gateway's domains.
    fn federation(&self) -> Option<&str> {
        None
    }

    /// The process, for signals and its log.
    fn process(&mut self) -> &mut Process;

    /// Starts it again, with the same ports and users; stops it first if it runs.
    fn restart(&mut self, place: &Place);
}

/// What a server has to do with other servers.
#[derive(Debug)]
pub struct Servers<'a> {
    /// Where others come to.
    pub listen: SocketAddr,
    /// Whom it asks for names.
    pub dns: SocketAddr,
    /// The certificate of those whom it trusts.
    pub ca: &'a Path,
    /// What it shows: then it wants TLS and certificates of others, too. None: no TLS, and keys are called back for (XEP-0220).
    pub credentials: Option<&'a Credentials>,
}

/// The domain of its users.
pub(super) const DOMAIN: &str = "example.com";
/// Every user's password.
pub(super) const PASSWORD: &str = "password";
/// Every component's secret.
pub(super) const SECRET: &str = "secret";
/// The domain of its rooms, where it has some.
pub(super) const ROOMS: &str = "rooms.example.com";
