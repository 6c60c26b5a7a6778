//! Connections over TLS: who is who, RFC 5922.

use super::*;
use crate::config::{Certificate, Trust};
use base::Str;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::PathBuf;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A folder with an authority of its own.
struct Site {
    folder: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    Nothing,
    Expired,
    SelfSigned,
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

impl Site {
    fn new(name: &str) -> Site {
        let folder = std::env::temp_dir().join(format!("verona-sip-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "the authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.join("ca.pem"), pem("CERTIFICATE", authority.der())).unwrap();
        Site { folder, authority }
    }

    /// A store with a certificate for these names: `sip:` ones are URIs.
    fn store(&self, names: &[&str], flaw: Flaw) -> Tls {
        let (uris, names): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.starts_with("sip:"));
        let mut params = CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
        params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
        if flaw == Flaw::Expired {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = match flaw {
            Flaw::Nothing | Flaw::Expired => params.signed_by(&key, &self.authority).unwrap(),
            Flaw::SelfSigned => params.self_signed(&key).unwrap(),
        };
        let number = names.join("-") + &uris.join("-").replace([':', '/'], "_") + &format!("{flaw:?}");
        let [chain, private] = ["cert", "key"].map(|kind| self.folder.join(format!("{kind}-{number}.pem")));
        std::fs::write(&chain, pem("CERTIFICATE", certificate.der())).unwrap();
        std::fs::write(&private, pem("PRIVATE KEY", &key.serialize_der())).unwrap();
        let certificates = vec![Certificate { chain, key: private }];
        Tls::new(&config::Tls { certificates, trust: self.trust() }, "").unwrap()
    }

    fn trust(&self) -> Vec<Trust> {
        vec![Trust::File(self.folder.join("ca.pem"))]
    }

    /// Somebody without a certificate that anybody would take.
    fn nobody(&self) -> Tls {
        Tls::new(&config::Tls { certificates: Vec::new(), trust: self.trust() }, "nobody.example").unwrap()
    }
}

/// A message for any shard.
const MESSAGE: &str = "MESSAGE sip:juliet@example.com SIP/2.0\r\nVia: SIP/2.0/TLS a.example;branch=z9hG4bK1\r\n\
    From: <sip:romeo@example.net>;tag=1\r\nTo: <sip:juliet@example.com>\r\nCall-ID: 1\r\nCSeq: 1 MESSAGE\r\n\
    Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n";

/// Connects as `client`, asking for `name`.
async fn connect(client: &Tls, name: &str, address: SocketAddr) -> tokio_rustls::client::TlsStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = TlsConnector::from(client.client(None, &[]).unwrap());
    connector.connect(crate::tls::server_name(name).unwrap(), stream).await.unwrap()
}

#[tokio::test]
async fn who_connects_with_a_certificate_is_known_by_its_names_before_anything_is_heard() {
    let site = Site::new("mutual");
    let (connections, mut inboxes) = connections_with(BOUNDS, site.store(&["gw.example.com"], Flaw::Nothing));
    let address = listen(&connections, Transport::Tls);
    for (client, proved) in [
        (site.store(&["proxy.example.net", "example.net"], Flaw::Nothing), &["proxy.example.net", "example.net"][..]),
        // RFC 5922 §7.1: where there are URIs they alone count, and not those with a user.
        (site.store(&["host.example", "sip:example.org", "sip:x@evil.example"], Flaw::Nothing), &["example.org"]),
        (site.store(&["example.net"], Flaw::Expired), &[]),
        (site.store(&["example.net"], Flaw::SelfSigned), &[]),
        (site.nobody(), &[]),
    ] {
        let mut stream = connect(&client, "gw.example.com", address).await;
        stream.write_all(MESSAGE.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        let mut known = None;
        if !proved.is_empty() {
            for inbox in &mut inboxes {
                let Input::SipSecured { connection, names } = next(inbox).await else { panic!("the names come first") };
                assert_eq!(names.iter().map(Str::as_str).collect::<Vec<_>>(), proved);
                assert!(known.is_none_or(|known| known == connection));
                known = Some(connection);
            }
        }
        let [one, other] = &mut inboxes[..] else { panic!("two shards") };
        let input = tokio::select! { input = next(one) => input, input = next(other) => input };
        let Input::Sip(_, flow) = input else { panic!("{input:?}") };
        assert_eq!((flow.transport, flow.remote), (Transport::Tls, stream.get_ref().0.local_addr().unwrap()));
        assert!(known.is_none_or(|known| flow.connection == Some(known)));
        assert!(connections.send(flow.connection.unwrap(), Bytes::from_static(b"answer"), None));
        let mut answer = [0; 6];
        timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("an answer").unwrap();
        drop(stream);
        for inbox in &mut inboxes {
            assert!(matches!(next(inbox).await, Input::SipClosed(id) if Some(id) == flow.connection));
        }
    }
}

#[tokio::test]
async fn who_asks_for_another_is_not_served_and_what_is_no_tls_is_not_heard() {
    let site = Site::new("strangers");
    let (connections, mut inboxes) = connections_with(BOUNDS, site.store(&["gw.example.com"], Flaw::Nothing));
    let address = listen(&connections, Transport::Tls);
    let client = site.nobody();
    let mut other = connect(&client, "other.example.com", address).await;
    let _ = other.write_all(MESSAGE.as_bytes()).await;
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, other.read_to_end(&mut rest)).await.expect("it ends");
    assert!(rest.is_empty());
    let hello_without_end = [&[0x16, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff][..], &[0; 16 << 10]].concat();
    for garbage in
        [MESSAGE.as_bytes(), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n\r\n\r\n\r\n\r\n", &hello_without_end]
    {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(garbage).await;
        ends(&mut stream).await;
    }
    // Who says nothing has not for ever.
    let mut silent = TcpStream::connect(address).await.unwrap();
    assert!(ends(&mut silent).await >= BOUNDS.unfinished);
    timeout(PATIENCE, async {
        while !connections.tables().places.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("nothing is left of them");
    assert!(inboxes.iter_mut().all(|inbox| inbox.try_recv().is_err()), "no shard has heard of them");
    let page = connections.inner.meters.render();
    for (reason, count) in [("certificate for a name that is not ours", 1), ("tls", 4), ("handshake timeout", 1)] {
        let line = format!("verona_sip_failures_total{{transport=\"tls\",reason=\"{reason}\"}} {count}\n");
        assert!(page.contains(&line), "{line}{page}");
    }
}

/// A server, which says what it has heard from each who came.
async fn server(config: Arc<ServerConfig>) -> (SocketAddr, mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (config, sender) = (Arc::clone(&config), sender.clone());
            tokio::spawn(async move {
                let mut all = Vec::new();
                if let Ok(mut stream) = TlsAcceptor::from(config).accept(stream).await {
                    let mut buffer = [0; 1024];
                    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                        all.extend_from_slice(&buffer[..n]);
                        if all.ends_with(b"!") {
                            let _ = sender.send(std::mem::take(&mut all));
                        }
                    }
                }
                if all.is_empty() {
                    let _ = sender.send(all);
                }
            });
        }
    });
    (address, heard)
}

fn named(remote: SocketAddr, name: &str) -> Target {
    Target { name: Some(name.into()), ..Target::new(Transport::Tls, remote) }
}

#[tokio::test]
async fn nothing_is_said_to_who_does_not_prove_the_name_that_was_asked_for() {
    let site = Site::new("servers");
    let cases = [
        (&["example.net"][..], Flaw::Nothing, "example.net", None),
        (&["sip:example.net", "host.example.net"], Flaw::Nothing, "EXAMPLE.net", None),
        (&["127.0.0.1"], Flaw::Nothing, "127.0.0.1", None),
        (&["proxy.example.net"], Flaw::Nothing, "example.net", Some("certificate for another name")),
        // RFC 5922 §7.2: no wildcards, and no hosts where the certificate has URIs.
        (&["*.example.net"], Flaw::Nothing, "a.example.net", Some("certificate for another name")),
        (&["example.net", "sip:other.example"], Flaw::Nothing, "example.net", Some("certificate for another name")),
        (&["example.net"], Flaw::Expired, "example.net", Some("certificate expired")),
        (&["example.net"], Flaw::SelfSigned, "example.net", Some("certificate from nobody who is trusted")),
    ];
    for (names, flaw, asked, refused) in cases {
        let (address, mut heard) = server(site.store(names, flaw).server(None, &[]).unwrap()).await;
        let (connections, mut inboxes) = connections_with(BOUNDS, site.nobody());
        let (id, target) = (clients(1)[0], named(address, asked));
        assert!(connections.send_to(&target, Bytes::from_static(b"a request!"), Some((1, id))));
        let said = timeout(PATIENCE, heard.recv()).await.expect("somebody comes").unwrap();
        match refused {
            None => assert_eq!(said, b"a request!", "{names:?}"),
            Some(why) => {
                assert_eq!(said, b"", "{names:?} {flaw:?}");
                assert!(
                    matches!(next(&mut inboxes[1]).await, Input::SipConnectionLost(lost, unsent) if lost == target && unsent == [id])
                );
                let line = format!("verona_sip_failures_total{{transport=\"tls\",reason=\"{why}\"}} 1\n");
                assert!(connections.inner.meters.render().contains(&line), "{line}");
                assert!(connections.tables().ours.is_empty() && connections.tables().places.is_empty());
            }
        }
    }
}

#[tokio::test]
async fn a_connection_is_used_again_for_the_same_name_alone() {
    let site = Site::new("reuse");
    let config = site.store(&["a.example", "b.example"], Flaw::Nothing).server(None, &[]).unwrap();
    let (address, mut heard) = server(config).await;
    let (connections, mut inboxes) = connections_with(BOUNDS, site.nobody());
    let ids = clients(4);
    assert!(connections.send_to(&named(address, "a.example"), Bytes::from_static(b"one, "), Some((0, ids[0]))));
    assert!(connections.send_to(&named(address, "a.example"), Bytes::from_static(b"two!"), Some((0, ids[1]))));
    assert_eq!(heard.recv().await.unwrap(), b"one, two!");
    assert!(connections.send_to(&named(address, "b.example"), Bytes::from_static(b"other!"), Some((0, ids[2]))));
    assert_eq!(heard.recv().await.unwrap(), b"other!");
    // A name that the certificate of the connection does not have is not spoken to over it.
    assert!(connections.send_to(&named(address, "c.example"), Bytes::from_static(b"third!"), Some((1, ids[3]))));
    assert_eq!(heard.recv().await.unwrap(), b"");
    let failed = async {
        loop {
            if let Input::SipConnectionLost(_, unsent) = next(&mut inboxes[1]).await {
                return unsent;
            }
        }
    };
    assert_eq!(failed.await, [ids[3]]);
    assert_eq!(connections.tables().ours.len(), 2);
}

/// A server that trusts whomever its system trusts says whom that is: some 15 KiB on Debian. And it ends the handshake if it is shown one that nobody vouches for.
#[tokio::test]
async fn servers_may_name_many_authorities() {
    let site = Site::new("authorities");
    let mut roots = RootCertStore::empty();
    for n in 0..200 {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::OrganizationName, "The Authority of Authorities, Verona, in fair Italy");
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("Authority No {n}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        roots.add(authority.der().clone()).unwrap();
    }
    let provider = crate::tls::provider();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let shown = site.store(&["a.example"], Flaw::Nothing).server(None, &[]).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[version]).unwrap();
        let verifier = verifier.clone().allow_unauthenticated().build().unwrap();
        let config = config.with_client_cert_verifier(verifier).with_cert_resolver(Arc::clone(&shown.cert_resolver));
        let (address, mut heard) = server(Arc::new(config)).await;
        let (connections, _inboxes) = connections_with(BOUNDS, site.nobody());
        let client = Some((0, clients(1)[0]));
        assert!(connections.send_to(&named(address, "a.example"), Bytes::from_static(b"a request!"), client));
        assert_eq!(timeout(PATIENCE, heard.recv()).await.unwrap().unwrap(), b"a request!", "{version:?}");
    }
}
