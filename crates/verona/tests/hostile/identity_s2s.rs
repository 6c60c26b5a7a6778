//! Who other servers say they are: wrong certificates, keys that are somebody else's, TLS taken out on the way, and streams that speak for
//! others than they have proved. Each case gets the error that says so, nothing that it brings reaches anybody, and decent servers are served
//! all the same.

use crate::door::connect;
use crate::world::{Gateway, PATIENCE, SIP_DOMAIN, XMPP_DOMAIN, anywhere, message};
use rehearsal::ladder::Ladder;
use rehearsal::peers::{Certificate, Credentials, Dnsmasq, Place, TestCa, Zone};
use rehearsal::stub::Phone;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const AUTH: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
/// A domain whose records lead to the gateway itself.
pub(crate) const MIRROR: &str = "mirror.example";
const FEATURES: &str = "</stream:features>";

/// The gateway as the server of its domain, a phone behind it, and a name server that leads to one place for everybody else.
pub(crate) struct Net {
    pub(crate) phone: Phone,
    pub(crate) gateway: Gateway,
    pub(crate) tcp: SocketAddr,
    pub(crate) tls: SocketAddr,
    /// Where servers come from.
    pub(crate) from: IpAddr,
    /// The configuration.
    pub(crate) text: String,
    /// Where the names lead.
    elsewhere: TcpListener,
    good: Credentials,
    pub(crate) ca: TestCa,
    dns: Dnsmasq,
    pub(crate) place: Place,
}

impl Net {
    pub(crate) async fn start(more: &str) -> Net {
        let place = Place::new("identity-s2s");
        let ca = TestCa::new(&place);
        let own = ca.issue(&place, "own", &[SIP_DOMAIN]);
        let good = ca.issue(&place, "good", &[XMPP_DOMAIN]);
        let (tcp, tls) = (place.free(), place.free());
        let elsewhere = TcpListener::bind(place.free()).await.unwrap();
        let port = elsewhere.local_addr().unwrap().port();
        let host = "host.example.com";
        let zone = [XMPP_DOMAIN, "victim.example"].iter().fold(Zone::new().host(host, place.ip()), |zone, domain| {
            zone.srv(&format!("_xmpp-server._tcp.{domain}"), host, port, 0, 0)
        });
        // A domain whose server is the gateway itself, by its own word.
        let zone = zone.srv(&format!("_xmpp-server._tcp.{MIRROR}"), host, tcp.port(), 0, 0);
        let zone = zone.srv(&format!("_xmpps-server._tcp.{MIRROR}"), host, tls.port(), 0, 0);
        let dns = Dnsmasq::start(&place, &zone);
        let phone = Phone::start(SocketAddr::new(place.ip().into(), 0), Ladder::new(), |_| (200, "OK".to_owned()))
            .await
            .unwrap();
        let text = format!(
            "[xmpp.federation]\ndomains = [\"{SIP_DOMAIN}\"]\nlisten = [\"tcp:{tcp}\", \"tls:{tls}\"]\nwait = \"5s\"\n{more}\n\
             [sip]\ndomains = [\"*\"]\nlisten = [\"udp:{sip}\", \"tcp:{sip}\"]\noutbound_proxy = \"sip:{phone};lr\"\n\
             [[sip.peer]]\nsource = \"127.0.0.0/8\"\ndomains = [\"{SIP_DOMAIN}\"]\n\
             [tls]\ncertificates = [{own}]\ntrust = [\"{root}\"]\n[dns]\nserver = \"{dns}\"\n\
             [security]\nallow_networks = [\"127.0.0.0/8\"]\n[store]\nurl = \"memory:\"\n[limits]\nshards = 1\n",
            sip = anywhere(),
            phone = phone.address(),
            own = own.toml(),
            root = ca.root().display(),
            dns = dns.address(),
        );
        let gateway = Gateway::with(&text).await;
        let from = place.ip().into();
        Net { phone, gateway, from, text, tcp, tls, elsewhere, good, ca, dns, place }
    }

    /// A stream over TLS, with this certificate, from this domain: up to what the gateway offers.
    async fn greet(&self, credentials: Option<&Credentials>, from: &str) -> (Peer, String) {
        let tcp = connect(self.from, self.tls).await;
        let mut peer = Peer::new(self.shake(tcp, credentials).await);
        peer.say(&header(from, SIP_DOMAIN)).await;
        let offer = peer.until(FEATURES).await;
        (peer, offer)
    }

    pub(crate) async fn shake(&self, tcp: TcpStream, credentials: Option<&Credentials>) -> impl Io + 'static + use<> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.ca.root()).unwrap()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots);
        let config = match credentials {
            Some(credentials) => {
                let (chain, key) = read(credentials);
                config.with_client_auth_cert(chain, key).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        let name = ServerName::try_from(SIP_DOMAIN).unwrap();
        let tls = timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name, tcp)).await;
        tls.expect("a handshake").unwrap()
    }

    /// A stream on which `xmpp.example.com` has proved itself.
    pub(crate) async fn proved(&self) -> Peer {
        let (mut peer, offer) = self.greet(Some(&self.good), XMPP_DOMAIN).await;
        assert!(offer.contains("EXTERNAL"), "{offer}");
        peer.say(AUTH).await;
        peer.until("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>").await;
        peer.say(&header(XMPP_DOMAIN, SIP_DOMAIN)).await;
        peer.until(FEATURES).await;
        peer
    }

    /// The next connection that the gateway makes, up to its header; ours has gone back, with these features.
    pub(crate) async fn called(&self, offer: &str) -> Peer {
        let (stream, _) = timeout(PATIENCE, self.elsewhere.accept()).await.expect("the gateway connects").unwrap();
        let mut peer = Peer::new(stream);
        peer.answer(offer).await;
        peer
    }

    /// The same up to TLS, with this certificate, and to the header behind it.
    async fn called_over_tls(&self, credentials: &Credentials, offer: &str) -> Peer {
        let mut peer = self.called(STARTTLS).await;
        peer.until(STARTTLS).await;
        peer.say("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await;
        let (chain, key) = read(credentials);
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        let tls = timeout(PATIENCE, TlsAcceptor::from(Arc::new(config)).accept(peer.io)).await;
        let mut peer = Peer::new(tls.expect("a handshake").unwrap());
        peer.answer(offer).await;
        peer
    }

    /// The configuration with another name server, where nobody is.
    pub(crate) fn without_names(&self) -> String {
        self.text.replace(&self.dns.address().to_string(), &self.place.free().to_string())
    }

    /// What becomes of a message of a SIP user's to the other domain.
    pub(crate) async fn sends(&self) -> Option<u16> {
        self.sends_to(XMPP_DOMAIN).await
    }

    /// What becomes of one to any domain.
    pub(crate) async fn sends_to(&self, domain: &str) -> Option<u16> {
        let request = message("romeo", &format!("sip:nurse@{domain}"), &[], "secret");
        self.phone.request(self.gateway.udp, request).await.unwrap().status()
    }

    /// A decent server's message reaches the phone, and nothing has before it.
    pub(crate) async fn nothing_but_the_baseline(&mut self) {
        let mut peer = self.proved().await;
        peer.say(&stanza(XMPP_DOMAIN, "baseline")).await;
        let request = self.phone.next(PATIENCE).await.expect("the baseline reaches the phone");
        assert_eq!(request.text(), "baseline", "nothing before it");
    }
}

pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// The other end of a stream.
pub(crate) struct Peer {
    heard: String,
    io: Box<dyn Io>,
}

impl Peer {
    pub(crate) fn new(io: impl Io + 'static) -> Peer {
        Peer { heard: String::new(), io: Box::new(io) }
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.io.write_all(text.as_bytes()).await.unwrap();
        self.io.flush().await.unwrap();
    }

    /// What comes up to this, and with it.
    async fn until(&mut self, what: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            if let Some(at) = self.heard.find(what) {
                let behind = self.heard.split_off(at + what.len());
                return std::mem::replace(&mut self.heard, behind);
            }
            let read = timeout(PATIENCE, self.io.read(&mut buffer)).await;
            let n = read.unwrap_or_else(|_| panic!("no {what} in {}", self.heard)).unwrap_or_default();
            assert!(n > 0, "no {what} in {} before the end", self.heard);
            self.heard.push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    }

    /// What comes until the gateway ends the connection.
    async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let _ = timeout(PATIENCE, self.io.read_to_end(&mut bytes)).await.expect("the gateway ends the connection");
        std::mem::take(&mut self.heard) + &String::from_utf8_lossy(&bytes)
    }

    /// Answers the header of a stream that the gateway opens.
    async fn answer(&mut self, offer: &str) {
        self.until("xml:lang='en'>").await;
        self.say(&format!("{}<stream:features>{offer}</stream:features>", header(XMPP_DOMAIN, SIP_DOMAIN))).await;
    }

    /// The stream ends with this error.
    pub(crate) async fn ends_with(&mut self, condition: &str, why: &str) {
        let rest = self.rest().await;
        let error = format!("<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>");
        assert!(rest.contains(&error) && rest.ends_with("</stream:stream>"), "{why}: {rest}");
    }
}

fn read(credentials: &Credentials) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_file_iter(&credentials.chain).unwrap().map(Result::unwrap).collect();
    (chain, PrivateKeyDer::from_pem_file(&credentials.key).unwrap())
}

pub(crate) fn header(from: &str, to: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
         xmlns:db='jabber:server:dialback' from='{from}' to='{to}' id='their-id' version='1.0'>"
    )
}

pub(crate) fn stanza(from: &str, text: &str) -> String {
    format!("<message from='a@{from}/b' to='peter@{SIP_DOMAIN}'><body>{text}</body></message>")
}

fn result(from: &str, key: &str) -> String {
    format!("<db:result from='{from}' to='{SIP_DOMAIN}'>{key}</db:result>")
}

const PLAIN: &str = "policy-violation";
const STANZAS: &str = "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>";

/// Cases 1 to 8, 15 and 24: a certificate that does not name the domain, or that nobody vouches for, proves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_that_prove_nothing() {
    let mut net = Net::start("require_certificate = true").await;
    let (place, ca) = (&net.place, &net.ca);
    let other = TestCa::named(place, "other");
    let named = || Certificate::of(&[XMPP_DOMAIN]);
    let cases = [
        ("another name", Some(ca.issue(place, "wrong", &["other.example.com"]))),
        ("the end of the name", Some(ca.issue(place, "end", &["example.com"]))),
        ("expired", Some(ca.sign(place, "expired", &named().expired()))),
        ("not valid yet", Some(ca.sign(place, "future", &named().of_the_future()))),
        ("self-signed", Some(named().self_signed(place, "self"))),
        ("an authority that is not trusted", Some(other.issue(place, "unknown", &[XMPP_DOMAIN]))),
        ("where DNS leads", Some(ca.issue(place, "host", &["host.example.com"]))),
        ("a common name", Some(ca.sign(place, XMPP_DOMAIN, &Certificate::of(&[])))),
        ("a wildcard for something else", Some(ca.issue(place, "wild", &["*.xmpp.example.com"]))),
        ("a wildcard that is not deep enough", Some(ca.issue(place, "shallow", &["*.com"]))),
        ("another service", Some(ca.sign(place, "sip", &Certificate::of(&[]).srv("_sip.xmpp.example.com")))),
        ("for programs", Some(ca.sign(place, "code", &named().for_code()))),
        ("none", None),
    ];
    for (what, credentials) in cases {
        let (mut peer, offer) = net.greet(credentials.as_ref(), XMPP_DOMAIN).await;
        assert!(!offer.contains("EXTERNAL") && !offer.contains("<dialback"), "{what}: {offer}");
        peer.say(AUTH).await;
        let failure = peer.until("</failure>").await;
        assert!(failure.contains("<not-authorized/>"), "{what}: {failure}");
        peer.say(&result(XMPP_DOMAIN, "key")).await;
        let refused = peer.until("</db:result>").await;
        assert!(refused.contains("type='error'") && refused.contains("<not-authorized "), "{what}: {refused}");
        peer.say(&stanza(XMPP_DOMAIN, what)).await;
        peer.ends_with("not-authorized", what).await;
    }
    net.nothing_but_the_baseline().await;
}

/// Cases 9, 12 to 14, 16, 17, 19 to 23 and 25: what a stream may not say, whoever it is with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_say_what_they_may_not() {
    let mut net = Net::start("deny = [\"denied.example\"]").await;
    let good = net.good.clone();
    // A domain that is not ours.
    for (from, to, condition) in [
        (XMPP_DOMAIN, "other.example.net", "host-unknown"),
        (SIP_DOMAIN, SIP_DOMAIN, "invalid-from"),
        ("denied.example", SIP_DOMAIN, "policy-violation"),
    ] {
        let tcp = TcpStream::connect(net.tls).await.unwrap();
        let mut peer = Peer::new(net.shake(tcp, Some(&good)).await);
        peer.say(&header(from, to)).await;
        peer.ends_with(condition, from).await;
    }
    // Before anything is proved.
    let verified = format!("<db:verify from='{XMPP_DOMAIN}' to='{SIP_DOMAIN}' id='x' type='valid'/>");
    let valid = format!("<db:result from='{XMPP_DOMAIN}' to='{SIP_DOMAIN}' type='valid'/>");
    for before in ["", &verified, &valid, "<success xmlns='urn:xmpp:evil'/>"] {
        let (mut peer, _) = net.greet(Some(&good), XMPP_DOMAIN).await;
        peer.say(&format!("{before}{}", stanza(XMPP_DOMAIN, "unproved"))).await;
        peer.ends_with("not-authorized", before).await;
    }
    // In another name than the certificate has.
    let (mut peer, _) = net.greet(Some(&good), XMPP_DOMAIN).await;
    peer.say(&AUTH.replace("'>=<", "'>dmljdGltLmV4YW1wbGU=<")).await;
    let failure = peer.until("</failure>").await;
    assert!(failure.contains("<invalid-authzid/>"), "{failure}");
    // A key that we have not made.
    peer.say(&format!("<db:verify from='{XMPP_DOMAIN}' to='{SIP_DOMAIN}' id='x'>made-up</db:verify>")).await;
    let answer = peer.until("</db:verify>").await;
    assert!(answer.contains("type='invalid'"), "{answer}");
    // And once something is.
    let message = |from: &str, to: &str| format!("<message from='{from}' to='{to}'><body>forged</body></message>");
    let local = format!("a@{XMPP_DOMAIN}");
    for (what, condition) in [
        (AUTH.to_owned(), "policy-violation"),
        (message("a@victim.example", "peter@sip.example.net"), "invalid-from"),
        (message("a@sub.xmpp.example.com", "peter@sip.example.net"), "invalid-from"),
        (message("romeo@sip.example.net", "peter@sip.example.net"), "invalid-from"),
        (message(&local, "peter@other.example.net"), "host-unknown"),
        (message(&local, "a@victim.example"), "host-unknown"),
        (format!("<message to='peter@{SIP_DOMAIN}'><body>forged</body></message>"), "improper-addressing"),
    ] {
        let mut peer = net.proved().await;
        peer.say(&what).await;
        peer.ends_with(condition, &what).await;
    }
    let mut peer = net.proved().await;
    peer.say(STARTTLS).await;
    let rest = peer.rest().await;
    assert!(rest.starts_with("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"), "{rest}");
    net.nothing_but_the_baseline().await;
}

/// Cases 10, 11 and 26: TLS is there, whole, and of this century.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_that_is_none() {
    let mut net = Net::start("").await;
    let plain = async || {
        let mut peer = Peer::new(TcpStream::connect(net.tcp).await.unwrap());
        peer.say(&header(XMPP_DOMAIN, SIP_DOMAIN)).await;
        let offer = peer.until(FEATURES).await;
        assert!(
            offer.contains("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream"),
            "{offer}"
        );
        peer
    };
    // Somebody has taken it out on the way.
    let mut peer = plain().await;
    peer.say(&result(XMPP_DOMAIN, "key")).await;
    let refused = peer.until("</db:result>").await;
    assert!(refused.contains(&format!("<{PLAIN} {STANZAS}")), "{refused}");
    peer.say(AUTH).await;
    let failure = peer.until("</failure>").await;
    assert!(failure.contains("<encryption-required/>"), "{failure}");
    peer.say(&stanza(XMPP_DOMAIN, "plain")).await;
    peer.ends_with("not-authorized", "plain").await;
    // Somebody has put something behind it.
    let mut peer = plain().await;
    peer.say(&format!("{STARTTLS}{}", result(XMPP_DOMAIN, "key"))).await;
    peer.ends_with("policy-violation", "behind starttls").await;
    // TLS 1.1: a hello without anything newer.
    let mut hello = vec![22, 3, 1, 0, 49, 1, 0, 0, 45, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 6, 0xC0, 0x13, 0x00, 0x2F, 0x00, 0xFF, 1, 0]);
    let mut tcp = TcpStream::connect(net.tls).await.unwrap();
    tcp.write_all(&hello).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, tcp.read_to_end(&mut answer)).await.expect("it is ended");
    // protocol_version or handshake_failure, and fatal.
    assert!(matches!(answer[..], [21, _, _, 0, 2, 2, 70 | 40]), "an alert: {answer:?}");
    net.nothing_but_the_baseline().await;
}

/// Case 18: the domain's own server does not know the key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_somebody_else() {
    let mut net = Net::start("").await;
    let host = net.ca.issue(&net.place, "victim", &["victim.example", XMPP_DOMAIN]);
    for (domain, says, condition) in
        [("victim.example", "type='invalid'/>", "not-authorized"), (XMPP_DOMAIN, "type='valid' id='other'/>", "")]
    {
        let (mut peer, _) = net.greet(None, domain).await;
        peer.say(&result(domain, "made-up")).await;
        let dialback = "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>";
        let mut authority = net.called_over_tls(&host, dialback).await;
        let asked = authority.until("</db:verify>").await;
        assert!(asked.contains(&format!("to='{domain}'")) && asked.ends_with(">made-up</db:verify>"), "{asked}");
        let id = asked.split_once("id='").and_then(|(_, rest)| rest.split_once('\'')).expect("an id").0;
        let id = if says.contains("id=") { String::new() } else { format!("id='{id}' ") };
        authority.say(&format!("<db:verify from='{domain}' to='{SIP_DOMAIN}' {id}{says}")).await;
        if condition.is_empty() {
            // An answer to something else is none: nothing is proved by it.
            peer.say(&stanza(domain, "unproved")).await;
            peer.ends_with("not-authorized", "another key").await;
            continue;
        }
        let said = peer.until("</db:result>").await;
        assert!(said.contains("type='invalid'"), "{said}");
        peer.ends_with(condition, "a wrong key").await;
    }
    net.nothing_but_the_baseline().await;
}

/// Cases 6 and 10 of streams that the gateway opens: whoever sits where DNS leads gets nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_not_who_was_called() {
    let net = Net::start("require_certificate = true\nretry_min = \"20s\"\nretry_max = \"60s\"").await;
    let host = net.ca.issue(&net.place, "host", &["host.example.com"]);
    let everything = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>\
        <dialback xmlns='urn:xmpp:features:dialback'/>";
    let (status, said) = tokio::join!(net.sends(), async {
        let mut peer = net.called_over_tls(&host, everything).await;
        peer.rest().await
    });
    assert_eq!(said, "</stream:stream>", "not a word");
    assert!(status.is_some_and(|status| status >= 400), "{status:?}");
    let net = Net::start("retry_min = \"20s\"\nretry_max = \"60s\"").await;
    let (status, said) = tokio::join!(net.sends(), async {
        let mut peer = net.called("<dialback xmlns='urn:xmpp:features:dialback'/>").await;
        peer.rest().await
    });
    assert_eq!(said, "</stream:stream>", "not a word in plain text");
    assert!(status.is_some_and(|status| status >= 400), "{status:?}");
}
