//! An authority of the test's own, and the certificates that it issues, good and bad.

use super::Place;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, OtherNameValue, SanType,
};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// id-on-xmppAddr (RFC 6120 §13.7.1.4).
const XMPP_ADDR: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 8, 5];

/// id-on-dnsSRV (RFC 4985).
const SRV_NAME: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 8, 7];

/// Somebody whom the programs of a test trust: `NAME.pem` in the test's folder.
pub struct TestCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Who issues in the root's name; its certificate is in every chain.
    between: Option<CertifiedIssuer<'static, KeyPair>>,
    root: PathBuf,
}

impl std::fmt::Debug for TestCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestCa").field("root", &self.root).finish_non_exhaustive()
    }
}

/// A certificate with its key: files in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The certificate, and what is between it and the root.
    pub chain: PathBuf,
    /// The key.
    pub key: PathBuf,
}

impl Credentials {
    /// As an entry of `tls.certificates`.
    pub fn toml(&self) -> String {
        format!("{{ chain = {:?}, key = {:?} }}", self.chain.display().to_string(), self.key.display().to_string())
    }
}

/// What a certificate is to say.
#[derive(Debug, Clone)]
pub struct Certificate {
    names: Vec<SanType>,
    years: (i32, i32),
    purposes: Vec<ExtendedKeyUsagePurpose>,
}

impl Certificate {
    /// For these hosts or domains, or addresses; valid, and for servers and clients.
    #[track_caller]
    pub fn of(names: &[&str]) -> Certificate {
        let of_one = |name: &&str| match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*name).try_into().unwrap_or_else(|e| panic!("{name}: {e}"))),
        };
        Certificate {
            names: names.iter().map(of_one).collect(),
            years: (2020, 2090),
            purposes: vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        }
    }

    /// With a name of a service: `_xmpp-server.example.com`.
    #[must_use]
    pub fn srv(mut self, name: &str) -> Certificate {
        self.names.push(SanType::OtherName((SRV_NAME.to_vec(), OtherNameValue::Utf8String(name.to_owned()))));
        self
    }

    /// With an XMPP address.
    #[must_use]
    pub fn xmpp(mut self, address: &str) -> Certificate {
        self.names.push(SanType::OtherName((XMPP_ADDR.to_vec(), OtherNameValue::Utf8String(address.to_owned()))));
        self
    }

    /// With a URI.
    #[must_use]
    #[track_caller]
    pub fn uri(mut self, uri: &str) -> Certificate {
        self.names.push(SanType::URI(uri.try_into().unwrap_or_else(|e| panic!("{uri}: {e}"))));
        self
    }

    /// That is not valid any more.
    #[must_use]
    pub fn expired(mut self) -> Certificate {
        self.years = (2000, 2001);
        self
    }

    /// That is not valid yet.
    #[must_use]
    pub fn of_the_future(mut self) -> Certificate {
        self.years = (2089, 2090);
        self
    }

    /// For servers only, as public authorities issue them now.
    #[must_use]
    pub fn for_servers(mut self) -> Certificate {
        self.purposes = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self
    }

    /// For clients only.
    #[must_use]
    pub fn for_clients(mut self) -> Certificate {
        self.purposes = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self
    }

    /// For signing programs only.
    #[must_use]
    pub fn for_code(mut self) -> Certificate {
        self.purposes = vec![ExtendedKeyUsagePurpose::CodeSigning];
        self
    }

    /// Signed with its own key, in `NAME.pem` and `NAME.key` of the test's folder.
    #[track_caller]
    pub fn self_signed(&self, place: &Place, name: &str) -> Credentials {
        let key = new_key();
        let certificate = self.params(name).self_signed(&key).unwrap_or_else(|e| panic!("{name}: {e}"));
        write(place, name, &[certificate.der()], &key)
    }

    fn params(&self, name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.subject_alt_names.clone_from(&self.names);
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(self.years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(self.years.1, 1, 1);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages.clone_from(&self.purposes);
        params.use_authority_key_identifier_extension = true;
        params
    }
}

impl TestCa {
    /// One whose certificate is in `ca.pem` of the test's folder.
    #[track_caller]
    pub fn new(place: &Place) -> TestCa {
        TestCa::named(place, "ca")
    }

    /// One whose certificate is in `NAME.pem` of the test's folder.
    #[track_caller]
    pub fn named(place: &Place, name: &str) -> TestCa {
        let issuer = CertifiedIssuer::self_signed(authority(name), new_key()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let root = place.write(&format!("{name}.pem"), &pem("CERTIFICATE", issuer.der()));
        TestCa { issuer, between: None, root }
    }

    /// The same, which issues through somebody in between.
    #[must_use]
    #[track_caller]
    pub fn with_intermediate(mut self) -> TestCa {
        let between = CertifiedIssuer::signed_by(authority("between"), new_key(), &self.issuer);
        self.between = Some(between.unwrap_or_else(|e| panic!("an intermediate certificate: {e}")));
        self
    }

    /// The file with its certificate.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A certificate for these hosts or domains, in `NAME.pem` and `NAME.key` of the test's folder.
    #[track_caller]
    pub fn issue(&self, place: &Place, name: &str, hosts: &[&str]) -> Credentials {
        self.sign(place, name, &Certificate::of(hosts))
    }

    /// Such a certificate, in `NAME.pem` and `NAME.key` of the test's folder; what is there is replaced.
    #[track_caller]
    pub fn sign(&self, place: &Place, name: &str, certificate: &Certificate) -> Credentials {
        let key = new_key();
        let issuer = self.between.as_ref().unwrap_or(&self.issuer);
        let signed = certificate.params(name).signed_by(&key, issuer).unwrap_or_else(|e| panic!("{name}: {e}"));
        let between = self.between.as_ref().map(|between| between.der().as_ref());
        let chain: Vec<&[u8]> = std::iter::once(signed.der().as_ref()).chain(between).collect();
        write(place, name, &chain, &key)
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, format!("The tests' {name} of {}", std::process::id()));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Some libraries know no year beyond 2050 in the short form, and none beyond 9999.
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(1999, 1, 1), rcgen::date_time_ymd(2099, 1, 1));
    params
}

#[track_caller]
fn new_key() -> KeyPair {
    KeyPair::generate().unwrap_or_else(|e| panic!("no key: {e}"))
}

/// Both files. They are renamed to their places, the key first: whoever sees the new chain has the new key.
#[track_caller]
fn write(place: &Place, name: &str, chain: &[impl AsRef<[u8]>], key: &KeyPair) -> Credentials {
    let put = |name: String, text: &str| {
        let (new, path) = (place.write(&format!("{name}.new"), text), place.dir().join(name));
        std::fs::rename(&new, &path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        path
    };
    let key = put(format!("{name}.key"), &pem("PRIVATE KEY", &key.serialize_der()));
    let chain: String = chain.iter().map(|der| pem("CERTIFICATE", der.as_ref())).collect();
    Credentials { chain: put(format!("{name}.pem"), &chain), key }
}

fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let digits = STANDARD.encode(der);
    for line in digits.as_bytes().chunks(64) {
        let _ = writeln!(text, "{}", String::from_utf8_lossy(line));
    }
    text + &format!("-----END {label}-----\n")
}
