//! `[tls.acme]`: certificates from an authority that gives them out by itself (RFC 8555).

use super::Certificate;
use super::mistake::Wrong;
use super::read::{Item, Reader};
use super::settings::AcmeSettings;
use super::value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Certificates from an authority that gives them out by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// The URL of its directory (RFC 8555 §7.1.1), over https.
    pub directory: String,
    /// The domains of the one certificate that is asked for, the first one in front.
    pub domains: Vec<String>,
    /// Whom the authority may write to: `mailto:` URIs.
    pub contact: Vec<String>,
    /// Where the authority's question is answered (`http-01`, RFC 8555 §8.3): what it reaches at port 80 of each domain.
    pub listen: SocketAddr,
    /// Where the certificate, its key and the account are kept.
    pub folder: PathBuf,
    /// A PEM file with the one who vouches for the authority's own server; none: whom this machine trusts.
    pub trust: Option<PathBuf>,
    /// The rest.
    pub settings: AcmeSettings,
}

impl Acme {
    /// The files of the certificate.
    pub fn files(&self) -> Certificate {
        Certificate { chain: self.folder.join("certificate.pem"), key: self.folder.join("key.pem") }
    }

    /// The file of the account at the authority.
    pub fn account(&self) -> PathBuf {
        self.folder.join("account.json")
    }
}

/// Reads `[tls.acme]`; nothing where there is none.
pub(super) fn acme(r: &mut Reader<'_>, folder: &Path) -> Option<Acme> {
    const DIRECTORY: &str = "the URL of the authority's directory: \"https://...\"";
    const DOMAINS: &str = "the names that the certificate is to have: [\"chat.example.net\"]";
    const LISTEN: &str = "where the authority finds us: an address and a port, such as \"0.0.0.0:80\"";
    const CONTACT: &str = "\"mailto:...\"";
    if !r.has("tls.acme") {
        r.expect_key("tls.acme");
        return None;
    }
    r.table("tls.acme");
    let settings = AcmeSettings::read(r);
    let mut need = |key: &str, allowed: &str| {
        if !r.has(key) {
            r.expect_key(key);
            r.missing(key, allowed);
        }
    };
    need("tls.acme.directory", DIRECTORY);
    need("tls.acme.domains", DOMAINS);
    need("tls.acme.listen", LISTEN);
    let directory = r.text("tls.acme.directory", |text| match text.strip_prefix("https://") {
        Some(rest) if !rest.is_empty() => Ok(text.to_owned()),
        _ => Err(Wrong::new("not an https URL", DIRECTORY)),
    });
    let domains = r.texts("tls.acme.domains", value::domain);
    if domains.as_ref().is_some_and(Vec::is_empty) && !r.is_wrong("tls.acme.domains") {
        r.missing("tls.acme.domains", DOMAINS);
    }
    let listen = r.text("tls.acme.listen", value::socket);
    let contact = r.texts("tls.acme.contact", |text| match text.strip_prefix("mailto:") {
        Some(rest) if rest.contains('@') => Ok(text.to_owned()),
        _ => Err(Wrong::new("not a mail address", CONTACT)),
    });
    let own = r.text("tls.acme.folder", |path| Ok(folder.join(path)));
    let trust = r.text("tls.acme.trust", |path| {
        let path = folder.join(path);
        crate::tls::roots_of(&path).map(|_| path).map_err(|why| Wrong::new(why, "a PEM file with one certificate"))
    });
    let values = |items: Vec<Item<String>>| items.into_iter().map(|item| item.value).collect::<Vec<_>>();
    Some(Acme {
        directory: directory?,
        domains: values(domains?),
        contact: contact.map(values).unwrap_or_default(),
        listen: listen?,
        folder: own.unwrap_or_else(|| folder.join("acme")),
        trust,
        settings,
    })
}
