//! TLS: who we are, and whom we take others for.
//!
//! There is one store of certificates and of those whom we trust, for all protocols. It takes new files over while the gateway runs:
//! whoever connects from then on sees them, and what is connected goes on.
//!
//! Where a session's description says the hash of the other end's certificate, that and nothing else is asked of it (RFC 4975 §14.4, RFC
//! 8122 §6): whoever could change the description could change the address, too. Otherwise it is for the name that was asked for, from
//! somebody who is trusted. Sessions of TLS are never resumed: the certificate would not be looked at again.

mod identity;
mod judge;
mod names;
mod show;
mod verify;
mod watch;

pub(crate) use identity::{BadIdentity, Identity, fingerprints, roots_of};
pub(crate) use judge::{End, Fault, Verdict};
pub(crate) use names::Names;

use crate::config::{self, Trust};
use msrp::Fingerprint;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use show::{Choice, Shown};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::SystemTime;
use verify::{Anybody, Nobody, Pinned};
use watch::Stamps;

/// The protocol between XMPP servers over direct TLS (XEP-0368 §4).
pub(crate) const ALPN_XMPP_SERVER: &[u8] = b"xmpp-server";

/// The algorithms.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(ring::default_provider()));
    Arc::clone(&PROVIDER)
}

/// What connections over TLS are made with. Clones are the same store.
#[derive(Clone)]
pub(crate) struct Tls {
    shared: Arc<Shared>,
    sessions: Arc<ServerConfig>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

/// A certificate of ours, for people.
#[derive(Debug)]
pub(crate) struct OfOurs {
    /// Whom it is for.
    pub(crate) names: Names,
    /// Until when it is valid, in seconds since 1970.
    pub(crate) until: i64,
    /// The same in words.
    pub(crate) until_text: String,
}

/// What is in force, for whoever shakes hands next.
#[derive(Debug)]
struct Shared {
    /// Of several certificates the first one for this name or address is shown where nobody asks for a name.
    host: String,
    current: RwLock<Arc<Current>>,
}

impl Shared {
    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What was read at one time.
#[derive(Debug)]
struct Current {
    config: config::Tls,
    /// What the files were when they were read.
    stamps: Stamps,
    /// At least one; the first one is shown where nobody asks for a name.
    identities: Vec<Identity>,
    roots: Arc<RootCertStore>,
    trusted: Arc<dyn ServerCertVerifier>,
}

impl Current {
    /// Reads the files; what was made for `host` stays what it is.
    fn read(config: &config::Tls, host: &str, old: Option<&Current>) -> io::Result<Current> {
        let stamps = Stamps::of(config);
        let mut identities = Vec::new();
        for certificate in &config.certificates {
            identities.push(Identity::load(certificate).map_err(io::Error::other)?);
        }
        if let Some(at) = identities.iter().position(|identity| identity.is_for(host)) {
            identities[..=at].rotate_right(1);
        }
        if identities.is_empty() {
            let made = old.filter(|old| old.config.certificates.is_empty()).and_then(|old| old.identities.first());
            identities.push(made.map_or_else(|| Identity::mint(host), |made| Ok(made.same()))?);
        }
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
        let roots = Arc::new(roots);
        let trusted: Arc<dyn ServerCertVerifier> =
            match WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider()).build() {
                Ok(verifier) => verifier,
                Err(_) => Arc::new(Nobody::new(provider())),
            };
        Ok(Current { config: config.clone(), stamps, identities, roots, trusted })
    }

    fn first(&self) -> &Identity {
        &self.identities[0]
    }

    fn named(&self, name: &str) -> Option<&Identity> {
        self.identities.iter().find(|identity| identity.is_for(name))
    }
}

impl Tls {
    /// As the operator wants it. Of several certificates the first one that is for `host` is ours where nobody asks for another, else the
    /// first; where there is none, one is made that nobody has signed.
    ///
    /// # Errors
    /// A file that cannot be used any more.
    pub(crate) fn new(config: &config::Tls, host: &str) -> io::Result<Tls> {
        let current = Current::read(config, host, None)?;
        let shared = Arc::new(Shared { host: host.to_owned(), current: RwLock::new(Arc::new(current)) });
        let sessions = server(shown(&shared, Choice::Fixed), &[])?;
        Ok(Tls { shared, sessions })
    }

    /// Reads the files again, or others. Whoever shakes hands from now on gets what they have; connections go on. Blocks for the disk.
    ///
    /// # Errors
    /// A file that cannot be used: all stays as it was.
    pub(crate) fn reload(&self, config: &config::Tls) -> io::Result<()> {
        let current = Current::read(config, &self.shared.host, Some(&self.shared.current()))?;
        *self.shared.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(current);
        Ok(())
    }

    /// Whether files are others than when they were read. Blocks for the disk.
    pub(crate) fn is_stale(&self) -> bool {
        let current = self.shared.current();
        Stamps::of(&current.config) != current.stamps
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> config::Tls {
        self.shared.current().config.clone()
    }

    /// The hash of our certificate, for descriptions.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.shared.current().first().fingerprint.clone()
    }

    /// Our certificates, in the order of the configuration but for the first, which is shown where nobody asks for a name.
    pub(crate) fn shown(&self) -> Vec<OfOurs> {
        let current = self.shared.current();
        let shown = current.identities.iter().map(|identity| {
            let (until, until_text) = identity.until().unwrap_or_default();
            OfOurs { names: identity.names.clone(), until, until_text }
        });
        shown.collect()
    }

    /// The names of the certificate that is shown to whoever asks for this one; none: no certificate is for it.
    pub(crate) fn shown_to(&self, name: &str) -> Option<Names> {
        self.shared.current().named(name).map(|identity| identity.names.clone())
    }

    /// Whether one of our certificates is for this name or address.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.shared.current().named(name).is_some()
    }

    /// For who connects to us in sessions: the certificate of [`Tls::fingerprint`]. A certificate is asked for, and any is taken: whose it
    /// is, the layer above compares.
    pub(crate) fn session_server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.sessions)
    }

    /// For who connects to us. The certificate for the name that is asked for is shown; else the one for `name`, such as the domain that a
    /// stream was opened to; else the first. A certificate is asked for, and any is taken: [`Tls::judge`] says what it is worth. `alpn`: the
    /// protocols, where they are told apart; who offers others only is refused (RFC 7301 §3.2).
    ///
    /// # Errors
    /// The algorithms do not fit together.
    pub(crate) fn server(&self, name: Option<&str>, alpn: &[&[u8]]) -> io::Result<Arc<ServerConfig>> {
        server(shown(&self.shared, Choice::For(name.map(str::to_owned))), alpn)
    }

    /// For whom we connect to: we show the certificate for `name`, or the first, and take any: [`Tls::judge`] says what theirs is worth,
    /// before anything is said that is not for everybody.
    ///
    /// # Errors
    /// The algorithms do not fit together.
    pub(crate) fn client(&self, name: Option<&str>, alpn: &[&[u8]]) -> io::Result<Arc<ClientConfig>> {
        client(shown(&self.shared, Choice::For(name.map(str::to_owned))), Arc::new(Anybody::new(provider())), alpn)
    }

    /// For whom we connect to in a session: who has one of the fingerprints, or the name where there are none.
    ///
    /// # Errors
    /// The algorithms do not fit together.
    pub(crate) fn session_client(&self, wanted: &msrp::Tls) -> io::Result<Arc<ClientConfig>> {
        let verifier: Arc<dyn ServerCertVerifier> = match wanted.fingerprints.is_empty() {
            true => Arc::clone(&self.shared.current().trusted),
            false => Arc::new(Pinned::new(wanted.fingerprints.clone(), provider())),
        };
        client(shown(&self.shared, Choice::Fixed), verifier, &[])
    }

    /// What the certificate that the other end has shown in a handshake is worth now, by whom we trust now.
    pub(crate) fn judge(&self, chain: Option<&[CertificateDer<'_>]>, end: End) -> Verdict {
        judge::judge(chain, end, &self.shared.current().roots, SystemTime::now())
    }

    /// The name to ask for in a session: the one of the description, or the address where that is no name. `None`: it must be one, and is
    /// not.
    pub(crate) fn name(wanted: &msrp::Tls, address: IpAddr) -> Option<ServerName<'static>> {
        match ServerName::try_from(wanted.name.to_string()) {
            Ok(name) => Some(name),
            Err(_) if !wanted.fingerprints.is_empty() => Some(ServerName::from(address)),
            Err(_) => None,
        }
    }
}

fn shown(shared: &Arc<Shared>, choice: Choice) -> Arc<Shown> {
    Arc::new(Shown { shared: Arc::clone(shared), choice })
}

fn server(shown: Arc<Shown>, alpn: &[&[u8]]) -> io::Result<Arc<ServerConfig>> {
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_client_cert_verifier(Arc::new(Anybody::new(provider())))
        .with_cert_resolver(shown);
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    server.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(server))
}

fn client(shown: Arc<Shown>, verifier: Arc<dyn ServerCertVerifier>, alpn: &[&[u8]]) -> io::Result<Arc<ClientConfig>> {
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(shown);
    client.resumption = Resumption::disabled();
    client.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(client))
}

/// The name of a domain or host as it is asked for in a handshake (SNI): A-labels; addresses without brackets, which are not asked for.
/// `None`: it can be none.
pub(crate) fn server_name(host: &str) -> Option<ServerName<'static>> {
    let ascii = xmpp::jid::domain_to_ascii(host).ok()?;
    let bare = ascii.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&ascii);
    ServerName::try_from(bare.to_owned()).ok()
}

#[cfg(test)]
mod tests;
