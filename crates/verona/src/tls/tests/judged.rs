//! Certificates of all kinds, shown by either end, and for whom they speak.

use super::super::*;
use super::shaken;
use crate::config::Certificate as Files;
use rehearsal::peers::{Certificate, Credentials, Place, TestCa};

fn files(credentials: &Credentials) -> Files {
    Files { chain: credentials.chain.clone(), key: credentials.key.clone() }
}

/// A store with these certificates that trusts this authority.
fn store(credentials: &[&Credentials], ca: &TestCa) -> Tls {
    let certificates = credentials.iter().map(|c| files(c)).collect();
    let config = config::Tls { certificates, trust: vec![Trust::File(ca.root().to_owned())] };
    Tls::new(&config, "").unwrap()
}

/// What each end finds of the other one: the client first.
async fn verdicts(server: &Tls, client: &Tls) -> (Verdict, Verdict) {
    let both = shaken(server.server(None, &[]).unwrap(), client.client(None, &[]).unwrap(), "any.example").await;
    let (of_server, of_client) = both.unwrap();
    (client.judge(of_server.as_deref(), End::Server), server.judge(of_client.as_deref(), End::Client))
}

/// What both ends find of one certificate, as far as it is for this XMPP domain.
async fn judged(shown: &Credentials, ca: &TestCa, domain: &str) -> (Result<(), Fault>, Result<(), Fault>) {
    let store = store(&[shown], ca);
    let (of_server, of_client) = verdicts(&store, &store).await;
    (of_server.for_xmpp(domain), of_client.for_xmpp(domain))
}

#[tokio::test]
async fn a_chain_is_judged_for_either_end() {
    let place = Place::new("judged");
    let (ca, other) = (TestCa::new(&place), TestCa::named(&place, "other"));
    let good = Certificate::of(&["example.com"]);
    let both = |fault| (Err(fault), Err(fault));
    assert_eq!(judged(&ca.sign(&place, "good", &good), &ca, "example.com").await, (Ok(()), Ok(())));
    assert_eq!(judged(&ca.sign(&place, "good", &good), &ca, "example.org").await, both(Fault::WrongName));
    assert_eq!(judged(&ca.sign(&place, "good", &good), &other, "example.com").await, both(Fault::UnknownIssuer));
    let old = ca.sign(&place, "old", &good.clone().expired());
    assert_eq!(judged(&old, &ca, "example.com").await, both(Fault::Expired));
    let new = ca.sign(&place, "new", &good.clone().of_the_future());
    assert_eq!(judged(&new, &ca, "example.com").await, both(Fault::NotYetValid));
    let own = good.self_signed(&place, "own");
    assert_eq!(judged(&own, &ca, "example.com").await, both(Fault::UnknownIssuer));
    // What public authorities issue now is for servers only, and servers show it when they connect, too; not the other way round.
    let servers = ca.sign(&place, "servers", &good.clone().for_servers());
    assert_eq!(judged(&servers, &ca, "example.com").await, (Ok(()), Ok(())));
    let clients = ca.sign(&place, "clients", &good.clone().for_clients());
    assert_eq!(judged(&clients, &ca, "example.com").await, (Err(Fault::WrongPurpose), Ok(())));
    let code = ca.sign(&place, "code", &good.clone().for_code());
    assert_eq!(judged(&code, &ca, "example.com").await, both(Fault::WrongPurpose));
    // Somebody in between is found where he is in the chain, and only there.
    let between = TestCa::named(&place, "root").with_intermediate();
    let chain = between.sign(&place, "chain", &good);
    assert_eq!(judged(&chain, &between, "example.com").await, (Ok(()), Ok(())));
    let text = std::fs::read_to_string(&chain.chain).unwrap();
    let first = text.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
    std::fs::write(&chain.chain, first).unwrap();
    assert_eq!(judged(&chain, &between, "example.com").await, both(Fault::UnknownIssuer));
}

#[tokio::test]
async fn who_shows_none_is_known_as_that() {
    let place = Place::new("none");
    let ca = TestCa::new(&place);
    let server = store(&[&ca.issue(&place, "s", &["example.com"])], &ca);
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody::new(provider())))
        .with_no_client_auth();
    let both = shaken(server.server(None, &[]).unwrap(), Arc::new(client), "example.com").await.unwrap();
    let verdict = server.judge(both.1.as_deref(), End::Client);
    assert_eq!((&verdict, verdict.for_xmpp("example.com")), (&Verdict::None, Err(Fault::Missing)));
    assert_eq!(server.judge(Some(&[]), End::Client), Verdict::None);
    assert_eq!(
        server.judge(Some(&[CertificateDer::from(&b"\x30\x03ab"[..])]), End::Client),
        Verdict::Invalid(Fault::Broken)
    );
}

/// The kinds of names: RFC 6120 §13.7.1.2, RFC 9525 §6.
#[tokio::test]
async fn xmpp_domains_are_named_in_several_ways() {
    let place = Place::new("xmpp-names");
    let ca = TestCa::new(&place);
    let nothing = || Certificate::of(&[]);
    let cases: [(&str, Certificate, &[&str], &[&str]); 8] = [
        (
            "dns",
            Certificate::of(&["Example.COM", "other.example"]),
            &["example.com", "other.example"],
            &["chat.example.com", "com", "xexample.com"],
        ),
        (
            "wild",
            Certificate::of(&["*.example.com"]),
            &["chat.example.com"],
            &["example.com", "a.b.example.com", ".example.com"],
        ),
        (
            "odd",
            Certificate::of(&["*.com", "ch*.example.com", "a.*.example.com", "*"]),
            &[],
            &["example.com", "chat.example.com", "a.b.example.com", "com", "localhost"],
        ),
        (
            "srv",
            nothing().srv("_xmpp-server.example.com"),
            &["example.com"],
            &["_xmpp-server.example.com", "x.example.com"],
        ),
        // Of other services, or the place that DNS leads to: not the domain.
        (
            "other",
            nothing().srv("_xmpp-client.example.com").srv("_sip.example.com").uri("xmpp:example.com"),
            &[],
            &["example.com"],
        ),
        (
            "addr",
            nothing().xmpp("example.com").xmpp("juliet@example.org").xmpp("example.net/x"),
            &["example.com"],
            &["example.org", "example.net"],
        ),
        (
            "idna",
            Certificate::of(&["xn--fuball-cta.example"]).xmpp("straße.example"),
            &["fußball.example", "straße.example"],
            &["fussball.example", "strasse.example"],
        ),
        ("address", Certificate::of(&["127.0.0.1", "::1"]), &["127.0.0.1", "[::1]"], &["127.0.0.2", "[::2]"]),
    ];
    for (name, certificate, yes, no) in cases {
        let store = store(&[&ca.sign(&place, name, &certificate)], &ca);
        let (verdict, _) = verdicts(&store, &store).await;
        for domain in yes {
            assert_eq!(verdict.for_xmpp(domain), Ok(()), "{name}: {domain}");
        }
        for domain in no {
            assert_eq!(verdict.for_xmpp(domain), Err(Fault::WrongName), "{name}: {domain}");
        }
    }
}

/// RFC 5922 §7.1 and §7.2.
#[tokio::test]
async fn sip_domains_are_uris_or_else_names() {
    let place = Place::new("sip-names");
    let ca = TestCa::new(&place);
    let cases: [(&str, Certificate, &[&str], &[&str]); 4] = [
        (
            "uri",
            Certificate::of(&["pbx.example.com"]).uri("SIP:Example.com;transport=tls"),
            &["example.com", "EXAMPLE.com"],
            &["pbx.example.com"],
        ),
        // A user, another scheme: no domain, so that names count.
        (
            "user",
            Certificate::of(&["pbx.example.com"]).uri("sip:romeo@example.com").uri("sips:example.org"),
            &["pbx.example.com"],
            &["example.com", "example.org"],
        ),
        (
            "wild",
            Certificate::of(&["*.example.com", "example.org"]),
            &["example.org"],
            &["a.example.com", "*.example.com", "sub.example.org"],
        ),
        ("address", Certificate::of(&["192.0.2.1"]), &["192.0.2.1"], &["192.0.2.2"]),
    ];
    for (name, certificate, yes, no) in cases {
        let store = store(&[&ca.sign(&place, name, &certificate)], &ca);
        let (verdict, _) = verdicts(&store, &store).await;
        for domain in yes {
            assert_eq!(verdict.for_sip(domain), Ok(()), "{name}: {domain}");
        }
        for domain in no {
            assert_eq!(verdict.for_sip(domain), Err(Fault::WrongName), "{name}: {domain}");
        }
    }
}

/// A common name is no name any more (RFC 9525 §2).
#[tokio::test]
async fn a_common_name_names_nobody() {
    let place = Place::new("common");
    let ca = TestCa::new(&place);
    let shown = ca.sign(&place, "example.com", &Certificate::of(&[]));
    assert_eq!(judged(&shown, &ca, "example.com").await, (Err(Fault::WrongName), Err(Fault::WrongName)));
    let ours = Tls::new(&config::Tls { certificates: vec![files(&shown)], trust: vec![] }, "").unwrap().shown();
    assert_eq!(ours[0].names.to_string(), "no names");
    assert!(ours[0].until > 3_700_000_000 && ours[0].until_text.contains("2090"), "{ours:?}");
}

/// Which certificate the client sees when it asks for `asked`.
async fn seen(server: &Tls, name: Option<&str>, client: &Tls, asked: &str) -> String {
    let both = shaken(server.server(name, &[]).unwrap(), client.client(None, &[]).unwrap(), asked).await.unwrap();
    match client.judge(both.0.as_deref(), End::Server) {
        Verdict::Valid(names) => names.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_certificate_is_the_one_for_the_name_that_is_asked_for() {
    let place = Place::new("sni");
    let ca = TestCa::new(&place);
    let one = ca.issue(&place, "one", &["one.example"]);
    let two = ca.sign(&place, "two", &Certificate::of(&["two.example", "*.two.example"]));
    let three = ca.sign(&place, "three", &Certificate::of(&[]).srv("_xmpp-server.three.example"));
    let server = store(&[&one, &two, &three], &ca);
    assert_eq!(seen(&server, None, &server, "one.example").await, "one.example");
    assert_eq!(seen(&server, None, &server, "chat.two.example").await, "two.example, *.two.example");
    assert_eq!(seen(&server, None, &server, "three.example").await, "SRV:_xmpp-server.three.example");
    assert_eq!(
        seen(&server, None, &server, "other.example").await,
        "one.example",
        "the first one, for the other end to judge"
    );
    // What a stream was opened to, where nothing that we have was asked for: a literal address is never asked for.
    assert_eq!(seen(&server, Some("two.example"), &server, "127.0.0.1").await, "two.example, *.two.example");
    assert_eq!(seen(&server, Some("two.example"), &server, "one.example").await, "one.example");
    assert!(server.has_name("one.example") && server.has_name("a.two.example") && !server.has_name("four.example"));
    // As a client, the one for the domain that we speak for.
    for (name, names) in [(Some("two.example"), "two.example, *.two.example"), (None, "one.example")] {
        let client = server.client(name, &[]).unwrap();
        let both = shaken(server.server(None, &[]).unwrap(), client, "one.example").await.unwrap();
        assert_eq!(server.judge(both.1.as_deref(), End::Client).names().unwrap().to_string(), names);
    }
}

#[tokio::test]
async fn protocols_are_told_apart_where_somebody_asks() {
    let place = Place::new("alpn");
    let ca = TestCa::new(&place);
    let store = store(&[&ca.issue(&place, "one", &["one.example"])], &ca);
    let shake = async |server: &[&[u8]], client: &[&[u8]]| {
        let (server, client) = (store.server(None, server).unwrap(), store.client(None, client).unwrap());
        shaken(server, client, "one.example").await.is_ok()
    };
    assert!(shake(&[ALPN_XMPP_SERVER], &[ALPN_XMPP_SERVER]).await);
    assert!(shake(&[ALPN_XMPP_SERVER], &[]).await);
    assert!(!shake(&[ALPN_XMPP_SERVER], &[b"h2"]).await);
}

#[tokio::test]
async fn new_files_are_taken_over_and_bad_ones_are_not() {
    let place = Place::new("reload");
    let ca = TestCa::new(&place);
    let (one, two) = (ca.issue(&place, "one", &["one.example"]), ca.issue(&place, "two", &["two.example"]));
    let server = store(&[&one], &ca);
    let (kept, before) = (server.server(None, &[]).unwrap(), server.fingerprint());
    assert!(!server.is_stale());
    // The same files with something else in them.
    ca.issue(&place, "one", &["renewed.example"]);
    assert!(server.is_stale());
    assert_eq!(seen(&server, None, &server, "one.example").await, "one.example", "not yet");
    server.reload(&server.config()).unwrap();
    assert!(!server.is_stale());
    assert_ne!(server.fingerprint(), before);
    let both = shaken(kept, server.client(None, &[]).unwrap(), "x.example").await.unwrap();
    assert_eq!(
        server.judge(both.0.as_deref(), End::Server).for_xmpp("renewed.example"),
        Ok(()),
        "what was kept shows it, too"
    );
    // A chain without its key, as for a moment while files are replaced.
    std::fs::copy(&two.chain, &one.chain).unwrap();
    assert!(server.is_stale() && server.reload(&server.config()).is_err());
    assert_eq!(seen(&server, None, &server, "one.example").await, "renewed.example");
    std::fs::copy(&two.key, &one.key).unwrap();
    server.reload(&server.config()).unwrap();
    assert_eq!(seen(&server, None, &server, "one.example").await, "two.example");
    // Nobody is trusted any more.
    server.reload(&config::Tls { certificates: vec![files(&one)], trust: vec![] }).unwrap();
    let (verdict, _) = verdicts(&server, &server).await;
    assert_eq!(verdict, Verdict::Invalid(Fault::UnknownIssuer));
}

/// A connection that is up goes on when certificates change, however often.
#[tokio::test]
async fn what_is_connected_goes_on() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    let place = Place::new("rotation");
    let ca = TestCa::new(&place);
    let store = store(&[&ca.issue(&place, "one", &["one.example"])], &ca);
    let (near, far) = duplex(1 << 16);
    let acceptor = tokio_rustls::TlsAcceptor::from(store.server(None, &[]).unwrap());
    let connector = tokio_rustls::TlsConnector::from(store.client(None, &[]).unwrap());
    let name = server_name("one.example").unwrap();
    let (accepted, connected) = tokio::join!(acceptor.accept(far), connector.connect(name, near));
    let (mut accepted, mut connected) = (accepted.unwrap(), connected.unwrap());
    for _ in 0..3 {
        ca.issue(&place, "one", &["one.example"]);
        store.reload(&store.config()).unwrap();
        connected.write_all(b"hi").await.unwrap();
        connected.flush().await.unwrap();
        let mut word = [0; 2];
        accepted.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"hi");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_files_is_noticed() {
    let place = Place::new("watch");
    let ca = TestCa::new(&place);
    let one = ca.issue(&place, "one", &["one.example"]);
    let (server, before) = (store(&[&one], &ca), store(&[&one], &ca).fingerprint());
    let changed = tokio::spawn({
        let server = server.clone();
        async move { server.changed().await }
    });
    // A key without its chain is not taken, and is no end of it.
    let key = std::fs::read(&one.key).unwrap();
    std::fs::remove_file(&one.key).unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    assert!(!changed.is_finished());
    assert_eq!(server.fingerprint(), before);
    std::fs::write(&one.key, key).unwrap();
    ca.issue(&place, "one", &["one.example"]);
    changed.await.unwrap();
    assert_ne!(server.fingerprint(), before);
}

#[test]
fn names_that_are_asked_for_are_ascii() {
    assert_eq!(server_name("fußball.example"), ServerName::try_from("xn--fuball-cta.example").ok());
    assert_eq!(server_name("[::1]"), ServerName::try_from("::1").ok());
    assert_eq!(server_name("127.0.0.1"), ServerName::try_from("127.0.0.1").ok());
    assert_eq!(server_name("a b"), None);
    assert_eq!(server_name(""), None);
}
