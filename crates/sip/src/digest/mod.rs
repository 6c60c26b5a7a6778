//! Digest authentication in SIP: RFC 3261 §22 as RFC 8760 has it now, over RFC 7616; and RFC 2617 for those who are older.
//!
//! [`server`] challenges, and says of credentials whether they are right, fresh and used for the first time. [`client`] answers challenges with
//! the accounts that it was given. Quality of protection is `auth` on both sides, or none with those who know none; Basic is neither asked for
//! nor given (RFC 8760 §2.6).

pub mod client;
pub mod server;

#[cfg(test)]
mod tests;

pub use base::digest::{Algorithm, Secret};
pub use client::{Account, AccountId, Fault, Wallet};
pub use server::{Server, User, Verdict};

use crate::header::Name;

/// Who asks for credentials: RFC 3261 §22.2, §22.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The one whom the request is for: 401.
    Server,
    /// One on the way: 407.
    Proxy,
}

impl Side {
    /// The side that gives this status.
    pub fn of(code: u16) -> Option<Side> {
        match code {
            401 => Some(Side::Server),
            407 => Some(Side::Proxy),
            _ => None,
        }
    }

    /// Where its challenges stand.
    pub fn challenge(self) -> Name {
        match self {
            Side::Server => Name::WwwAuthenticate,
            Side::Proxy => Name::ProxyAuthenticate,
        }
    }

    /// Where the credentials for it stand.
    pub fn credentials(self) -> Name {
        match self {
            Side::Server => Name::Authorization,
            Side::Proxy => Name::ProxyAuthorization,
        }
    }
}

/// The one scheme.
const SCHEME: &str = "Digest";
/// How many lines of challenges or credentials are looked at in one message.
const MOST_LINES: usize = 16;
/// The longest value that is taken from a peer: nonces of some providers are long, none is this long.
const LONGEST: usize = 1024;
