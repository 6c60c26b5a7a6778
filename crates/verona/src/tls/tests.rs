//! Handshakes with ourselves, and files that are not what they should be.

use super::*;
use crate::config::Certificate;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};

mod judged;

/// The certificates that a handshake has shown: the server's, and the client's.
type Seen = (Option<Vec<CertificateDer<'static>>>, Option<Vec<CertificateDer<'static>>>);

/// A handshake, and a word each way, so that both ends know how it went.
async fn shaken(server: Arc<ServerConfig>, client: Arc<ClientConfig>, asked: &str) -> io::Result<Seen> {
    let (near, far) = duplex(1 << 16);
    let accepted = async {
        let mut stream = TlsAcceptor::from(server).accept(far).await?;
        stream.write_all(b"hi").await?;
        stream.flush().await?;
        stream.read_exact(&mut [0; 2]).await?;
        Ok::<_, io::Error>(stream.get_ref().1.peer_certificates().map(<[_]>::to_vec))
    };
    let connected = async {
        let mut stream = TlsConnector::from(client).connect(server_name(asked).unwrap(), near).await?;
        stream.read_exact(&mut [0; 2]).await?;
        stream.write_all(b"hi").await?;
        stream.flush().await?;
        Ok::<_, io::Error>((stream.get_ref().1.peer_certificates().map(<[_]>::to_vec), stream))
    };
    let (of_client, of_server) = tokio::join!(accepted, connected);
    Ok((of_server?.0, of_client?))
}

/// A folder of a test's own.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("verona-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    for group in der.chunks(3) {
        let bits = group.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for at in 0..4 {
            let digit = char::from(DIGITS[(bits >> (18 - 6 * at)) as usize & 63]);
            text.push(if at > group.len() { '=' } else { digit });
        }
    }
    text + &format!("\n-----END {label}-----\n")
}

/// A certificate for these names, vouched for by another or by itself; in PEM, with its key.
fn issue(names: &[&str], by: Option<&rcgen::CertifiedIssuer<'_, rcgen::KeyPair>>) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
    let certificate = match by {
        Some(issuer) => params.signed_by(&key, issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    (pem("CERTIFICATE", certificate.der()), pem("PRIVATE KEY", &key.serialize_der()))
}

fn authority() -> rcgen::CertifiedIssuer<'static, rcgen::KeyPair> {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap()
}

fn minted() -> Tls {
    Tls::new(&config::Tls::default(), "127.0.0.1").unwrap()
}

fn wanted(name: &str, fingerprints: &[&Fingerprint]) -> msrp::Tls {
    msrp::Tls { name: name.into(), fingerprints: fingerprints.iter().map(|f| (*f).clone()).collect() }
}

/// Whether a word comes over, and the certificate that the server has seen.
async fn shake(server: &Tls, client: &Tls, wanted: &msrp::Tls) -> Result<Arc<[Fingerprint]>, String> {
    let (near, far) = duplex(1 << 16);
    let name = Tls::name(wanted, [127, 0, 0, 1].into()).ok_or("no name")?;
    let accepted = async {
        let mut stream = TlsAcceptor::from(server.session_server()).accept(far).await.map_err(|e| e.to_string())?;
        let mut word = [0; 2];
        stream.read_exact(&mut word).await.map_err(|e| e.to_string())?;
        assert_eq!(&word, b"hi");
        Ok(fingerprints(&stream.get_ref().1.peer_certificates().unwrap()[0]))
    };
    let connected = async {
        let connector = TlsConnector::from(client.session_client(wanted).unwrap());
        let mut stream = connector.connect(name, near).await.map_err(|e| e.to_string())?;
        stream.write_all(b"hi").await.map_err(|e| e.to_string())?;
        stream.flush().await.map_err(|e| e.to_string())?;
        Ok::<_, String>(stream)
    };
    let (seen, connected) = tokio::join!(accepted, connected);
    connected?;
    seen
}

#[tokio::test]
async fn a_fingerprint_is_all_that_counts_where_there_is_one() {
    let (server, client) = (minted(), minted());
    let right = server.fingerprint();
    assert_eq!((right.algorithm.as_str(), right.digest.len()), ("sha-256", 32));
    let seen = shake(&server, &client, &wanted("anything.example", &[&right])).await.unwrap();
    assert_eq!(seen[0], client.fingerprint(), "and the server knows who came");
    // An address, or what is no name at all, does as well.
    shake(&server, &client, &wanted("192.0.2.1", &[&right])).await.unwrap();
    shake(&server, &client, &wanted("_", &[&right])).await.unwrap();
    // One of several; of another kind.
    shake(&server, &client, &wanted("a.example", &[&client.fingerprint(), &right])).await.unwrap();
    let der = |tls: &Tls| tls.shared.current().first().certificate().to_vec();
    for kind in fingerprints(&der(&server)).iter() {
        shake(&server, &client, &wanted("a.example", &[kind])).await.unwrap();
    }
    for wrong in fingerprints(&der(&client)).iter() {
        assert!(shake(&server, &client, &wanted("127.0.0.1", &[wrong])).await.is_err(), "{wrong:?}");
    }
    let unknown = Fingerprint { algorithm: "md5".into(), digest: right.digest.slice(..16) };
    assert!(shake(&server, &client, &wanted("127.0.0.1", &[&unknown])).await.is_err());
    let (short, empty) = (right.digest.slice(..31), right.digest.slice(..0));
    for digest in [short, empty] {
        let cut = Fingerprint { algorithm: "sha-256".into(), digest };
        assert!(shake(&server, &client, &wanted("127.0.0.1", &[&cut])).await.is_err());
    }
}

#[tokio::test]
async fn without_a_fingerprint_somebody_trusted_vouches_for_the_name() {
    let folder = Folder::new("chain");
    let authority = authority();
    let (chain, key) = issue(&["chat.example.net", "127.0.0.1"], Some(&authority));
    let certificate = Certificate { chain: folder.write("c.pem", &chain), key: folder.write("k.pem", &key) };
    let (other, other_key) = issue(&["other.example"], None);
    let other = Certificate { chain: folder.write("oc.pem", &other), key: folder.write("ok.pem", &other_key) };
    let root = folder.write("root.pem", &pem("CERTIFICATE", authority.der()));
    let config = config::Tls { certificates: vec![other, certificate], trust: vec![] };
    // The one that is for our name, not the first.
    let server = Tls::new(&config, "chat.example.net").unwrap();
    let trusting =
        Tls::new(&config::Tls { certificates: vec![], trust: vec![Trust::File(root)] }, "x.example").unwrap();
    shake(&server, &trusting, &wanted("chat.example.net", &[])).await.unwrap();
    shake(&server, &trusting, &wanted("127.0.0.1", &[])).await.unwrap();
    assert!(shake(&server, &trusting, &wanted("evil.example", &[])).await.is_err(), "another name");
    assert!(shake(&server, &trusting, &wanted("_", &[])).await.is_err(), "no name");
    assert!(shake(&minted(), &trusting, &wanted("127.0.0.1", &[])).await.is_err(), "nobody vouches for it");
    let nobody = Tls::new(&config::Tls { certificates: vec![], trust: vec![] }, "x.example").unwrap();
    assert!(shake(&server, &nobody, &wanted("chat.example.net", &[])).await.is_err(), "nobody is trusted");
    // Whom nobody vouches for is known by its fingerprint all the same; a name is no help against a wrong one.
    let wrong = minted();
    assert!(shake(&server, &trusting, &wanted("chat.example.net", &[&wrong.fingerprint()])).await.is_err());
}

#[test]
fn files_that_are_not_what_they_should_be() {
    let folder = Folder::new("files");
    let ((chain, key), (_, another)) = (issue(&["a.example"], None), issue(&["a.example"], None));
    let (chain, key, another) =
        (folder.write("c.pem", &chain), folder.write("k.pem", &key), folder.write("a.pem", &another));
    let (empty, broken) = (
        folder.write("e.pem", ""),
        folder.write("b.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    );
    let nowhere = folder.0.join("nowhere");
    let load = |chain: &Path, key: &Path| {
        Identity::load(&Certificate { chain: chain.to_owned(), key: key.to_owned() })
            .map(drop)
            .map_err(|e| e.to_string())
    };
    assert_eq!(load(&chain, &key), Ok(()));
    assert_eq!(load(&chain, &another), Err("the key: not the key of the certificate".to_owned()));
    assert_eq!(load(&chain, &chain), Err("the key: there is not a private key in it".to_owned()));
    assert_eq!(load(&key, &key), Err("the certificate: there is no certificate in it".to_owned()));
    assert_eq!(load(&empty, &key), Err("the certificate: there is no certificate in it".to_owned()));
    let gone = "cannot be read: No such file or directory (os error 2)";
    assert_eq!(load(&nowhere, &key), Err(format!("the certificate: {gone}")));
    assert_eq!(load(&chain, &nowhere), Err(format!("the key: {gone}")));
    assert!(load(&broken, &key).unwrap_err().starts_with("the certificate: not a certificate"));
    assert_eq!(roots_of(&empty).unwrap_err(), "there is no certificate in it");
    assert!(roots_of(&broken).unwrap_err().starts_with("a certificate in it: "));
    assert_eq!(roots_of(&chain).unwrap().len(), 1);
    // What was right when the configuration was read and is no more.
    std::fs::remove_file(&key).unwrap();
    let config = config::Tls { certificates: vec![Certificate { chain, key }], trust: vec![] };
    assert!(Tls::new(&config, "a.example").is_err());
}

#[test]
fn a_made_certificate_is_for_its_host_and_new_each_time() {
    for host in ["chat.example.net", "127.0.0.1", "::1"] {
        let (one, two) = (Identity::mint(host).unwrap(), Identity::mint(host).unwrap());
        assert!(one.is_for(host) && !one.is_for("evil.example") && !one.is_for("127.0.0.2"), "{host}");
        assert_ne!(one.fingerprint, two.fingerprint);
    }
    assert!(!Identity::mint("_no name_").unwrap().is_for("_no name_"));
}
