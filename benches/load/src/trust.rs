//! Certificates of a run: an authority of its own, and one certificate with the names of both sides.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The file of the authority.
pub const AUTHORITY: &str = "authority.pem";

/// Makes an authority, and a certificate of its with these names for `who`: FOLDER/WHO.pem and FOLDER/WHO.key.
///
/// # Errors
/// The folder cannot be written.
pub fn make(folder: &Path, certificates: &[(&str, Vec<String>)]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut params = CertificateParams::new(Vec::new()).map_err(io::Error::other)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let authority = CertifiedIssuer::self_signed(params, key).map_err(io::Error::other)?;
    fs::write(folder.join(AUTHORITY), authority.pem())?;
    for (who, names) in certificates {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let mut params = CertificateParams::new(names.clone()).map_err(io::Error::other)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &authority).map_err(io::Error::other)?;
        fs::write(folder.join(format!("{who}.pem")), certificate.pem())?;
        fs::write(folder.join(format!("{who}.key")), key.serialize_pem())?;
    }
    Ok(())
}

/// What both ends of a line are made with, for whoever `who` is.
#[derive(Debug, Clone)]
pub struct Trust {
    /// For lines that others make.
    pub server: Arc<ServerConfig>,
    /// For lines that we make.
    pub client: Arc<ClientConfig>,
}

impl Trust {
    /// Reads the files of `who`.
    ///
    /// # Errors
    /// They are not there, or not what they should be.
    pub fn read(folder: &Path, who: &str) -> io::Result<Trust> {
        let provider = Arc::new(ring::default_provider());
        let read = |path| CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let chain = read(folder.join(format!("{who}.pem"))).map_err(io::Error::other)?;
        let key = PrivateKeyDer::from_pem_file(folder.join(format!("{who}.key"))).map_err(io::Error::other)?;
        let mut roots = RootCertStore::empty();
        for root in read(folder.join(AUTHORITY)).map_err(io::Error::other)? {
            roots.add(root).map_err(io::Error::other)?;
        }
        let roots = Arc::new(roots);
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .map_err(io::Error::other)?;
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(io::Error::other)?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(io::Error::other)?;
        let (mut server, mut client) = (server, client);
        server.alpn_protocols = vec![b"xmpp-server".to_vec(), b"sip".to_vec()];
        server.send_tls13_tickets = 0;
        client.resumption = rustls::client::Resumption::disabled();
        Ok(Trust { server: Arc::new(server), client: Arc::new(client) })
    }
}
