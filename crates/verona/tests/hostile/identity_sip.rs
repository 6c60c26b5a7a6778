//! Who SIP's connections say they are: certificates that are wrong, names that are somebody else's, requests that speak for others than the
//! certificate proves. Each is refused, and nothing of it reaches anybody.

use crate::world::{Gateway, Heard, Link, PATIENCE, SIP_DOMAIN, XMPP_DOMAIN, XmppEnd, anywhere, config};
use rehearsal::peers::{Certificate, Credentials, Place, TestCa};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Whom the gateway takes SIP from, by certificate.
const PROXY: &str = "proxy.example.net";

struct Site {
    _gateway: Gateway,
    _xmpp: XmppEnd,
    link: Link,
    tls: SocketAddr,
    ca: TestCa,
    _place: Place,
}

impl Site {
    /// A gateway with a socket for TLS, in front of a proxy at this address.
    async fn start(place: Place, ca: TestCa, proxy: SocketAddr) -> Site {
        let own = ca.issue(&place, "own", &["gw.example.com"]);
        let tls = place.free();
        let xmpp = XmppEnd::start().await;
        let more = format!(
            "[tls]\ncertificates = [{}]\ntrust = [{:?}]\n[security]\nallow_networks = [\"127.0.0.0/8\"]\n[limits]\nshards = 1\n",
            own.toml(),
            ca.root()
        );
        let text = config(xmpp.address(), anywhere(), &format!("{proxy};transport=tls"), XMPP_DOMAIN, &more)
            .replace("source = \"127.0.0.0/8\"", &format!("certificate = \"{PROXY}\""))
            .replace("listen = [\"udp", &format!("listen = [\"tls:{tls}\", \"udp"));
        let gateway = Gateway::with(&text).await;
        let link = xmpp.up().await;
        Site { _gateway: gateway, _xmpp: xmpp, link, tls, ca, _place: place }
    }

    /// The status of the answer to a message that comes over TLS from whoever has these credentials.
    async fn say(&self, from: Option<&Credentials>, sender: &str, text: &str) -> u16 {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.ca.root()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match from {
            None => builder.with_no_client_auth(),
            Some(shown) => builder.with_client_auth_cert(chain(shown), key(shown)).unwrap(),
        };
        let name = ServerName::try_from("gw.example.com").unwrap();
        let stream = TcpStream::connect(self.tls).await.unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let request = format!(
            "MESSAGE sip:nurse@{XMPP_DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.1;branch=z9hG4bK{text}\r\nMax-Forwards: 70\r\n\
             From: <{sender}>;tag=1\r\nTo: <sip:nurse@{XMPP_DOMAIN}>\r\nCall-ID: {text}\r\nCSeq: 1 MESSAGE\r\n\
             P-Asserted-Identity: <sip:romeo@{SIP_DOMAIN}>\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let byte = timeout(PATIENCE, stream.read_u8()).await.expect("an answer").expect("no end before it");
            answer.push(byte);
        }
        String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap()
    }

    /// What the XMPP server is told next.
    async fn told(&mut self) -> String {
        match self.link.next().await {
            Heard::Stanza(stanza) => {
                let mut bytes = Vec::new();
                xml::write(&stanza, "jabber:component:accept", &mut bytes);
                String::from_utf8(bytes).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }
}

fn chain(shown: &Credentials) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(&shown.chain).unwrap().collect::<Result<_, _>>().unwrap()
}

fn key(shown: &Credentials) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_file(&shown.key).unwrap()
}

/// Certificates for `names` that prove nothing, and why.
fn bad(ca: &TestCa, place: &Place, names: &[&str]) -> Vec<(&'static str, Credentials)> {
    let other = TestCa::named(place, "other");
    vec![
        ("another name", ca.issue(place, "wrong", &["other.example"])),
        ("a name below a wildcard", ca.issue(place, "wild", &["*.example.net"])),
        (
            "the name of a service alone",
            ca.sign(place, "srv", &Certificate::of(&[]).srv(&format!("_sips.{}", names[0]))),
        ),
        ("expired", ca.sign(place, "old", &Certificate::of(names).expired())),
        ("not valid yet", ca.sign(place, "new", &Certificate::of(names).of_the_future())),
        ("for another purpose", ca.sign(place, "code", &Certificate::of(names).for_code())),
        ("vouched for by itself", Certificate::of(names).self_signed(place, "self")),
        ("vouched for by a stranger", other.issue(place, "strange", names)),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_connects_speaks_for_what_the_certificate_proves() {
    let place = Place::new("identity-sip");
    let ca = TestCa::new(&place);
    let good = ca.issue(&place, "proxy", &[PROXY]);
    let bad = bad(&ca, &place, &[PROXY]);
    let nowhere = place.free();
    let mut site = Site::start(place, ca, nowhere).await;
    let romeo = format!("sip:romeo@{SIP_DOMAIN}");
    let (ours, banks) = (format!("sip:juliet@{XMPP_DOMAIN}"), "sip:ceo@bank.example");
    let mut cases: Vec<(&str, Option<&Credentials>, &str)> =
        bad.iter().map(|(why, shown)| (*why, Some(shown), romeo.as_str())).collect();
    cases.push(("no certificate", None, &romeo));
    cases.push(("the right one, for one of our own domains", Some(&good), &ours));
    cases.push(("the right one, for somebody else's domain", Some(&good), banks));
    for (n, (why, shown, sender)) in cases.into_iter().enumerate() {
        assert_eq!(site.say(shown, sender, &format!("bad{n}")).await, 403, "{why}");
        // What comes to the XMPP side next is what somebody has said who may.
        let text = format!("good{n}");
        assert_eq!(site.say(Some(&good), &romeo, &text).await, 200, "{why}");
        let stanza = site.told().await;
        assert!(stanza.contains(&format!("<body>{text}</body>")), "{why}: {stanza}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_said_to_who_proves_nothing() {
    let place = Place::new("identity-sip-out");
    let ca = TestCa::new(&place);
    let host = place.ip().to_string();
    let mut shown = bad(&ca, &place, &[&host]);
    shown.push(("the right one", ca.issue(&place, "right", &[&host])));
    let listener = TcpListener::bind(place.free()).await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let mut site = Site::start(place, ca, proxy).await;
    for (n, (why, shown)) in shown.iter().enumerate() {
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain(shown), key(shown))
            .unwrap();
        site.link.say(format!(
            "<message from='nurse@{XMPP_DOMAIN}/b' to='romeo{n}@{SIP_DOMAIN}' id='out{n}'><body>a secret</body></message>"
        ));
        let (stream, _) = timeout(PATIENCE, listener.accept()).await.expect("the gateway comes").unwrap();
        let mut heard = Vec::new();
        if let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await {
            let mut buffer = [0; 4096];
            while let Ok(Ok(len @ 1..)) = timeout(PATIENCE, stream.read(&mut buffer)).await {
                heard.extend_from_slice(&buffer[..len]);
                if *why == "the right one" {
                    break;
                }
            }
        }
        if *why == "the right one" {
            assert!(heard.starts_with(b"MESSAGE "), "{}", String::from_utf8_lossy(&heard));
            return;
        }
        assert!(heard.is_empty(), "{why}: {}", String::from_utf8_lossy(&heard));
        let stanza = site.told().await;
        assert!(stanza.contains("type='error'") && stanza.contains(&format!("id='out{n}'")), "{why}: {stanza}");
        assert!(stanza.contains("<remote-server-"), "{why}: {stanza}");
    }
}
