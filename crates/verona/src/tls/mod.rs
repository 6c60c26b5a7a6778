//! TLS: who we are, and whom we take others for.
//!
//! Where a session's description says the hash of the other end's certificate, that and nothing else is asked of it (RFC 4975 §14.4, RFC
//! 8122 §6): whoever could change the description could change the address, too. Otherwise it is for the name that was asked for, from
//! somebody who is trusted. Sessions of TLS are never resumed: the certificate would not be looked at again.

mod identity;
mod verify;

pub(crate) use identity::{BadIdentity, Identity, fingerprints, roots_of};

use crate::config::{self, Trust};
use msrp::Fingerprint;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use verify::{Anybody, Nobody, Pinned};

/// The algorithms.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// What connections over TLS are made with.
pub(crate) struct Tls {
    identity: Identity,
    server: Arc<ServerConfig>,
    trusted: Arc<dyn ServerCertVerifier>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("fingerprint", &self.identity.fingerprint).finish_non_exhaustive()
    }
}

impl Tls {
    /// As the operator wants it. Of several certificates the first one that is for `host` is ours, else the first; where there is none, one
    /// is made that nobody has signed.
    ///
    /// # Errors
    /// A file that cannot be used any more.
    pub(crate) fn new(config: &config::Tls, host: &str) -> io::Result<Tls> {
        let mut identities = Vec::new();
        for certificate in &config.certificates {
            identities.push(Identity::load(certificate).map_err(io::Error::other)?);
        }
        let at = identities.iter().position(|identity| identity.is_for(host)).unwrap_or(0);
        let identity = if identities.is_empty() { Identity::mint(host)? } else { identities.swap_remove(at) };
        let mut roots = RootCertStore::empty();
        for trust in &config.trust {
            match trust {
                Trust::System => {
                    // What this machine has and cannot be read, nobody needs.
                    let (_, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                }
                Trust::File(path) => roots.extend(roots_of(path).map_err(io::Error::other)?.roots),
            }
        }
        let trusted: Arc<dyn ServerCertVerifier> =
            match WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build() {
                Ok(verifier) => verifier,
                Err(_) => Arc::new(Nobody::new(provider())),
            };
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_client_cert_verifier(Arc::new(Anybody::new(provider())))
            .with_cert_resolver(Arc::clone(&identity.shown) as Arc<_>);
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(Tls { identity, server: Arc::new(server), trusted })
    }

    /// The hash of our certificate, for descriptions.
    pub(crate) fn fingerprint(&self) -> &Fingerprint {
        &self.identity.fingerprint
    }

    /// For who connects to us. A certificate is asked for, and any is taken: whose it is, the layer above compares.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// For whom we connect to.
    ///
    /// # Errors
    /// The algorithms do not fit together.
    pub(crate) fn client(&self, wanted: &msrp::Tls) -> io::Result<Arc<ClientConfig>> {
        let verifier: Arc<dyn ServerCertVerifier> = match wanted.fingerprints.is_empty() {
            true => Arc::clone(&self.trusted),
            false => Arc::new(Pinned::new(wanted.fingerprints.clone(), provider())),
        };
        let mut client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::clone(&self.identity.shown) as Arc<_>);
        client.resumption = Resumption::disabled();
        Ok(Arc::new(client))
    }

    /// The name to ask for: the one of the description, or the address where that is no name. `None`: it must be one, and is not.
    pub(crate) fn name(wanted: &msrp::Tls, address: IpAddr) -> Option<ServerName<'static>> {
        match ServerName::try_from(wanted.name.to_string()) {
            Ok(name) => Some(name),
            Err(_) if !wanted.fingerprints.is_empty() => Some(ServerName::from(address)),
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
