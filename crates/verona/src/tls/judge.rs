//! What the certificate of the other end is worth.
//!
//! In the handshake any certificate is taken whose key the other end has: what may be done without a valid one is for the layer above to
//! say, and for whom it has to be valid is often known only later.

use super::names::Names;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::fmt;
use std::time::{Duration, SystemTime};
use webpki::{EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter};

/// Which end has shown a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Whom we connected to.
    Server,
    /// Who connected to us. Servers do so as well, with the certificates that they have: these name the purpose of servers, and often no other.
    Client,
}

/// What a certificate is worth. Cheap to clone only within an `Arc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is none.
    None,
    /// Somebody whom we trust vouches for these names.
    Valid(Names),
    /// Nobody whom we trust vouches for it now.
    Invalid(Fault),
}

/// Why a certificate proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// There is none.
    Missing,
    /// It, or one between it and its root, is not valid any more.
    Expired,
    /// It, or one between it and its root, is not valid yet.
    NotYetValid,
    /// Nobody whom we trust vouches for it: self-signed, from another authority, or with an intermediate certificate missing.
    UnknownIssuer,
    /// It is for another purpose.
    WrongPurpose,
    /// It is for other names.
    WrongName,
    /// It was taken back.
    Revoked,
    /// It cannot be read, breaks the rules, or a signature does not fit.
    Broken,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Missing => "no certificate",
            Fault::Expired => "certificate expired",
            Fault::NotYetValid => "certificate not valid yet",
            Fault::UnknownIssuer => "certificate from nobody who is trusted",
            Fault::WrongPurpose => "certificate for another purpose",
            Fault::WrongName => "certificate for another name",
            Fault::Revoked => "certificate revoked",
            Fault::Broken => "broken certificate",
        })
    }
}

impl std::error::Error for Fault {}

impl Verdict {
    /// Whether it lets its owner speak for an XMPP domain, which has U-labels.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn for_xmpp(&self, domain: &str) -> Result<(), Fault> {
        self.names().and_then(|names| if names.are_for_xmpp(domain) { Ok(()) } else { Err(Fault::WrongName) })
    }

    /// Whether it lets its owner speak for a SIP domain, which has A-labels.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn for_sip(&self, domain: &str) -> Result<(), Fault> {
        self.names().and_then(|names| if names.are_for_sip(domain) { Ok(()) } else { Err(Fault::WrongName) })
    }

    /// The names that it proves.
    ///
    /// # Errors
    /// It proves nothing.
    pub(crate) fn names(&self) -> Result<&Names, Fault> {
        match self {
            Verdict::None => Err(Fault::Missing),
            Verdict::Valid(names) => Ok(names),
            Verdict::Invalid(fault) => Err(*fault),
        }
    }
}

/// What a chain is worth at `now`: the end's own certificate first, as the handshake had it.
pub(super) fn judge(chain: Option<&[CertificateDer<'_>]>, end: End, roots: &RootCertStore, now: SystemTime) -> Verdict {
    let Some((own, between)) = chain.and_then(<[_]>::split_first) else { return Verdict::None };
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let path = EndEntityCert::try_from(own).and_then(|certificate| {
        let (algorithms, now) = (webpki::ALL_VERIFICATION_ALGS, UnixTime::since_unix_epoch(now));
        certificate.verify_for_usage(algorithms, &roots.roots, between, now, Purpose(end), None, None).map(drop)
    });
    match path {
        Ok(()) => Verdict::Valid(Names::of(own)),
        Err(error) => Verdict::Invalid(fault(&error)),
    }
}

fn fault(error: &Error) -> Fault {
    match error {
        Error::CertExpired { .. } => Fault::Expired,
        Error::CertNotValidYet { .. } => Fault::NotYetValid,
        Error::UnknownIssuer | Error::CaUsedAsEndEntity => Fault::UnknownIssuer,
        Error::RequiredEkuNotFoundContext(_) => Fault::WrongPurpose,
        Error::CertRevoked => Fault::Revoked,
        _ => Fault::Broken,
    }
}

/// What a certificate must be for, where it says anything of it (RFC 5280 §4.2.1.12).
#[derive(Debug)]
struct Purpose(End);

impl ExtendedKeyUsageValidator for Purpose {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        const SERVER: &[usize] = webpki::KeyUsage::SERVER_AUTH_REPR;
        const CLIENT: &[usize] = webpki::KeyUsage::CLIENT_AUTH_REPR;
        // id-kp-sipDomain, RFC 5924.
        const SIP_DOMAIN: &[usize] = &[1, 3, 6, 1, 5, 5, 7, 3, 20];
        // anyExtendedKeyUsage.
        const ANY: &[usize] = &[2, 5, 29, 37, 0];
        let (mut is_limited, mut fits) = (false, false);
        for purpose in purposes {
            is_limited = true;
            let purpose = purpose?.to_decoded_oid();
            fits |= match purpose.as_slice() {
                SERVER | SIP_DOMAIN | ANY => true,
                CLIENT => self.0 == End::Client,
                _ => false,
            };
        }
        match fits || !is_limited {
            true => Ok(()),
            false => Err(Error::RequiredEkuNotFoundContext(webpki::RequiredEkuNotFoundContext {
                required: webpki::KeyUsage::server_auth(),
                present: Vec::new(),
            })),
        }
    }
}
