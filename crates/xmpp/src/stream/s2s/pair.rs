//! Pairs of domains, and what proves them.

use crate::error::conditions;
use base::Str;
use std::fmt;

/// A domain of ours and one of theirs, both prepared ([`crate::jid::domain`]). Which of them sends is said where it is used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// Ours.
    pub local: Str,
    /// Theirs.
    pub remote: Str,
}

impl Pair {
    /// A pair of prepared domains.
    pub fn new(local: impl Into<Str>, remote: impl Into<Str>) -> Pair {
        Pair { local: local.into(), remote: remote.into() }
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {}", self.local, self.remote)
    }
}

/// What the shell says of the other side's certificate, for the one domain that it was asked about (RFC 6120 §13.7, RFC 9525).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// It has shown none.
    None,
    /// The chain is trusted, and it names the domain.
    Valid,
    /// One of that is not so; why, for the log.
    Invalid(Str),
}

/// How a pair was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// By the certificate: SASL EXTERNAL (XEP-0178), or dialback that needed no calling back, as the certificate names the domain.
    Certificate,
    /// By dialback (XEP-0220): whoever DNS names for the domain says so.
    Dialback,
}

/// What dialback said of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The key is right.
    Valid,
    /// It is wrong.
    Invalid,
    /// Nobody could tell, or nobody may.
    Error(DialbackCondition),
}

conditions! {
    /// Why dialback came to no verdict (XEP-0220 §2.5). Two of the names are not among RFC 6120's conditions of stanza errors.
    DialbackCondition {
        /// The verdict was "invalid", but the stream goes on.
        Forbidden = "forbidden",
        /// The domain is not served here.
        ItemNotFound = "item-not-found",
        /// Who it is could not be established.
        NotAcceptable = "not-acceptable",
        /// A valid certificate is wanted.
        NotAuthorized = "not-authorized",
        /// TLS is wanted, or the domain is not spoken to.
        PolicyViolation = "policy-violation",
        /// The authoritative server could not be connected to.
        RemoteConnectionFailed = "remote-connection-failed",
        /// The authoritative server does not know the domain, or there is none.
        RemoteServerNotFound = "remote-server-not-found",
        /// The authoritative server gave no answer.
        RemoteServerTimeout = "remote-server-timeout",
        /// No room for another pair on this stream: another stream may have some.
        ResourceConstraint = "resource-constraint",
        /// None of the others.
        UndefinedCondition = "undefined-condition",
    }
}

/// A key that somebody has sent to prove that he speaks for [`Pair::remote`], to be shown to that domain's own server (XEP-0220 §2.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// What is to be proved: stanzas from `remote` to `local`.
    pub pair: Pair,
    /// The id of the stream that the key came on, ours.
    pub id: Str,
    /// The key.
    pub key: Str,
}
