//! Which of our certificates is shown to whom.

use super::Shared;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// How one is chosen among those that are in force at the handshake.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) shared: Arc<Shared>,
    pub(super) choice: Choice,
}

/// By what one is chosen.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// The one whose hash stands in descriptions, whatever name is asked for.
    Fixed,
    /// The one for the name that is asked for (SNI, RFC 6066 §3); else the one for this name; else the first. The other end judges whether
    /// it will do.
    For(Option<String>),
}

impl Shown {
    fn certified(&self, asked: Option<&str>) -> Arc<CertifiedKey> {
        let current = self.shared.current();
        let identity = match &self.choice {
            Choice::Fixed => current.first(),
            Choice::For(name) => {
                let named = |name: Option<&str>| name.and_then(|name| current.named(name));
                named(asked).or_else(|| named(name.as_deref())).unwrap_or_else(|| current.first())
            }
        };
        Arc::clone(&identity.certified)
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified(hello.server_name()))
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _issuers: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // One that we have made ourselves is worth something by its hash in a description alone: who takes those of authorities would end the handshake over it.
        if self.choice != Choice::Fixed && self.shared.current().config.certificates.is_empty() {
            return None;
        }
        // Some servers list whom they trust, and few of them all whom they would take: what we have is shown whoever it is from.
        let certified = self.certified(None);
        certified.key.choose_scheme(schemes).is_some().then_some(certified)
    }

    fn has_certs(&self) -> bool {
        true
    }
}
