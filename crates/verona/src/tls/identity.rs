//! Certificates: our own, from files or made at the start, and what they are known by.

use super::names::Names;
use super::provider;
use crate::config::Certificate;
use base::Str;
use bytes::Bytes;
use msrp::Fingerprint;
use ring::digest::{self, SHA256, SHA384, SHA512};
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::FromDer as _;
use x509_parser::time::ASN1Time;

/// A certificate with its key.
#[derive(Debug)]
pub(crate) struct Identity {
    /// What is shown, to whoever connects and to whom we connect.
    pub(crate) certified: Arc<CertifiedKey>,
    certificate: CertificateDer<'static>,
    /// Its names.
    pub(crate) names: Names,
    /// Its SHA-256 hash.
    pub(crate) fingerprint: Fingerprint,
}

/// Why a certificate cannot be used.
#[derive(Debug)]
pub(crate) enum BadIdentity {
    /// For the certificate's own sake.
    Chain(String),
    /// For that of its key.
    Key(String),
}

impl std::fmt::Display for BadIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BadIdentity::Chain(why) => write!(f, "the certificate: {why}"),
            BadIdentity::Key(why) => write!(f, "the key: {why}"),
        }
    }
}

impl std::error::Error for BadIdentity {}

impl Identity {
    /// From its files.
    ///
    /// # Errors
    /// They cannot be read, hold nothing of the kind, or do not belong together.
    pub(crate) fn load(files: &Certificate) -> Result<Identity, BadIdentity> {
        let chain = certificates(&files.chain).map_err(BadIdentity::Chain)?;
        let key = PrivateKeyDer::from_pem_file(&files.key);
        let key = key.map_err(|e| BadIdentity::Key(explain(&e, "a private key")))?;
        for certificate in &chain {
            ParsedCertificate::try_from(certificate)
                .map_err(|e| BadIdentity::Chain(format!("not a certificate: {e}")))?;
        }
        match CertifiedKey::from_der(chain, key, &provider()) {
            Ok(certified) => Ok(Identity::of(certified)),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(BadIdentity::Key("not the key of the certificate".to_owned()))
            }
            Err(e) => Err(BadIdentity::Key(e.to_string())),
        }
    }

    /// A new one for `host`, a name or an address, that nobody has signed: whoever is told its hash knows it.
    ///
    /// # Errors
    /// There are no random numbers.
    pub(crate) fn mint(host: &str) -> io::Result<Identity> {
        // What is no name may be in no certificate; then it has none.
        let names = if ServerName::try_from(host).is_ok() { vec![host.to_owned()] } else { vec![] };
        let minted = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
        let key = PrivateKeyDer::try_from(minted.signing_key.serialize_der()).map_err(io::Error::other)?;
        let certified = CertifiedKey::from_der(vec![minted.cert.der().clone()], key, &provider());
        Ok(Identity::of(certified.map_err(io::Error::other)?))
    }

    fn of(certified: CertifiedKey) -> Identity {
        let certificate = certified.cert.first().cloned().unwrap_or_else(|| CertificateDer::from(&[][..]));
        let fingerprint = fingerprint("sha-256", &SHA256, &certificate);
        let names = Names::of(&certificate);
        Identity { certified: Arc::new(certified), certificate, names, fingerprint }
    }

    /// Until when it is valid: seconds since 1970, and in words. `None`: it cannot be read.
    pub(crate) fn until(&self) -> Option<(i64, String)> {
        let (_, parsed) = X509Certificate::from_der(&self.certificate).ok()?;
        let until = parsed.validity().not_after;
        Some((until.timestamp(), until.to_string()))
    }

    /// The same once more.
    pub(super) fn same(&self) -> Identity {
        let Identity { certified, certificate, names, fingerprint } = self;
        Identity {
            certified: Arc::clone(certified),
            certificate: certificate.clone(),
            names: names.clone(),
            fingerprint: fingerprint.clone(),
        }
    }

    /// The certificate.
    #[cfg(test)]
    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// From when until when it is good; nothing where it cannot be read.
    pub(crate) fn validity(&self) -> Option<(SystemTime, SystemTime)> {
        let (_, parsed) = X509Certificate::from_der(&self.certificate).ok()?;
        let at = |time: ASN1Time| u64::try_from(time.timestamp()).ok().map(|s| UNIX_EPOCH + Duration::from_secs(s));
        Some((at(parsed.validity().not_before)?, at(parsed.validity().not_after)?))
    }

    /// Whether nobody else has signed it.
    pub(crate) fn is_self_signed(&self) -> bool {
        let parsed = X509Certificate::from_der(&self.certificate);
        parsed.is_ok_and(|(_, parsed)| parsed.issuer().as_raw() == parsed.subject().as_raw())
    }

    /// Whether the certificate is for this name or address.
    pub(crate) fn is_for(&self, host: &str) -> bool {
        self.names.are_for(host)
    }
}

/// A certificate's hashes, by the functions that are trusted (RFC 8122 §5).
pub(crate) fn fingerprints(certificate: &[u8]) -> Arc<[Fingerprint]> {
    [("sha-256", &SHA256), ("sha-384", &SHA384), ("sha-512", &SHA512)]
        .map(|(name, algorithm)| fingerprint(name, algorithm, certificate))
        .into()
}

/// Those who vouch for others in a PEM file.
///
/// # Errors
/// There is nothing of the kind.
pub(crate) fn roots_of(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|e| format!("a certificate in it: {e}"))?;
    }
    Ok(roots)
}

fn fingerprint(name: &'static str, algorithm: &'static digest::Algorithm, certificate: &[u8]) -> Fingerprint {
    let digest = Bytes::copy_from_slice(digest::digest(algorithm, certificate).as_ref());
    Fingerprint { algorithm: Str::const_new(name), digest }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(chain) if chain.is_empty() => Err("there is no certificate in it".to_owned()),
        Ok(chain) => Ok(chain),
        Err(e) => Err(explain(&e, "a certificate")),
    }
}

fn explain(error: &pem::Error, wanted: &str) -> String {
    match error {
        pem::Error::Io(e) => format!("cannot be read: {e}"),
        pem::Error::NoItemsFound => format!("there is not {wanted} in it"),
        _ => format!("not PEM with {wanted}"),
    }
}
