//! Name servers that fail, say nothing, or change their minds: whoever sends learns the right thing (RFC 7247 §7), nobody else waits, and what has
//! moved is found without a restart.

use super::net::{Different, Ground};
use super::server::{OURS, Server, body, condition};
use crate::world::{PATIENCE, SIP_DOMAIN, XMPP_DOMAIN, message};
use rehearsal::ladder::Ladder;
use rehearsal::peers::{Gateway, Weather};
use rehearsal::stub::Phone;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is said for remote-server-timeout: RFC 7247 §7.1 has 408, which RFC 4320 §4.2 lets nobody send.
const TIMEOUT: u16 = 504;
/// And for remote-server-not-found.
const NOT_FOUND: u16 = 404;

async fn phone(ground: &Ground) -> Phone {
    let at = SocketAddr::new(ground.place.ip().into(), 0);
    Phone::start(at, Ladder::new(), |_| (200, "OK".to_owned())).await.unwrap()
}

/// The status of the answer to a message to somebody of that domain.
async fn say(phone: &Phone, gateway: SocketAddr, domain: &str, text: &str) -> u16 {
    let request = message("romeo", &format!("sip:nurse@{domain}"), &[], text);
    phone.request(gateway, request).await.unwrap().status().unwrap()
}

/// Sends until it is taken, once what was known has grown old.
async fn say_until_taken(phone: &Phone, gateway: &Gateway, domain: &str, text: &str) {
    let begun = Instant::now();
    while say(phone, gateway.sip(), domain, text).await != 200 {
        assert!(begun.elapsed() < 2 * PATIENCE, "{domain} is not found again");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The messages that have come to a server, once this one is among them.
async fn heard(server: &mut Server, last: &str) -> Vec<String> {
    let mut all = Vec::new();
    while all.last().is_none_or(|text| text != last) {
        all.push(body(&server.next().await));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_to_an_xmpp_server() {
    let ground = Ground::new("faults-names-x");
    let phone = Arc::new(phone(&ground).await);
    let gateway = ground.start(Different { proxy: Some(phone.address()), ..Different::default() });
    let mut good = Server::start(XMPP_DOMAIN, ground.place.free(), &ground.ca, &ground.server).await;
    ground.lead(XMPP_DOMAIN, good.address());
    let others = ["fails.example", "silent.example", "nowhere.example"];
    let shown = ground.ca.issue(&ground.place, "others", &others);
    ground.names.turn("fails.example", Weather::Fails);
    ground.names.turn("silent.example", Weather::Silent);
    let sip = gateway.sip();
    assert_eq!(say(&phone, sip, XMPP_DOMAIN, "before").await, 200);

    // While one waits for a name server that says nothing, others do not.
    let mut expected = vec!["before".to_owned()];
    let waits = Arc::clone(&phone);
    let silent = tokio::spawn(async move { say(&waits, sip, "silent.example", "lost").await });
    while !silent.is_finished() {
        assert_eq!(say(&phone, sip, "fails.example", "lost").await, TIMEOUT);
        assert_eq!(say(&phone, sip, "nowhere.example", "lost").await, NOT_FOUND);
        let text = format!("meanwhile {}", expected.len());
        assert_eq!(say(&phone, sip, XMPP_DOMAIN, &text).await, 200);
        expected.push(text);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(silent.await.unwrap(), TIMEOUT);
    assert!(expected.len() > 3, "{expected:?}");
    assert_eq!(heard(&mut good, expected.last().unwrap()).await, expected);

    // The name servers are well again, and there is a domain more.
    for (n, domain) in others.into_iter().enumerate() {
        let mut server = Server::start(domain, ground.place.free(), &ground.ca, &shown).await;
        ground.lead(domain, server.address());
        ground.names.turn(domain, Weather::Fair);
        let text = format!("at last {n}");
        say_until_taken(&phone, &gateway, domain, &text).await;
        assert_eq!(heard(&mut server, &text).await, [text], "nothing of before, and once");
    }

    // It has moved.
    let mut moved = Server::start(XMPP_DOMAIN, ground.place.free(), &ground.ca, &ground.server).await;
    ground.lead(XMPP_DOMAIN, moved.address());
    drop(good);
    say_until_taken(&phone, &gateway, XMPP_DOMAIN, "moved").await;
    assert_eq!(heard(&mut moved, "moved").await, ["moved"]);
    // And is no more; what stands goes on, and when it has gone there is nobody.
    ground.names.forget(XMPP_DOMAIN);
    assert_eq!(say(&phone, sip, XMPP_DOMAIN, "still").await, 200);
    drop(moved);
    let begun = Instant::now();
    while say(&phone, sip, XMPP_DOMAIN, "gone").await != NOT_FOUND {
        assert!(begun.elapsed() < PATIENCE, "it is known that there is nobody");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The SIP domain is somewhere, for who asks for UDP.
fn lead(ground: &Ground, domain: &str, to: SocketAddr) {
    let host = format!("host.{domain}");
    ground.names.host(&host, to.ip());
    ground.names.srv(&format!("_sip._udp.{domain}"), &[(&host, to.port())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_to_a_sip_server() {
    const FAILS: &str = "fails.example";
    const SILENT: &str = "silent.example";
    const NOWHERE: &str = "nowhere.example";
    let ground = Ground::new("faults-names-s");
    let (mut phone, mut other) = (phone(&ground).await, phone(&ground).await);
    lead(&ground, SIP_DOMAIN, phone.address());
    ground.names.turn(FAILS, Weather::Fails);
    ground.names.turn(SILENT, Weather::Silent);
    let domains = [FAILS, SILENT, NOWHERE];
    ground.ca.issue(&ground.place, "gateway", &[SIP_DOMAIN, FAILS, SILENT, NOWHERE]);
    let _gateway = ground.start(Different { domains: &[FAILS, SILENT, NOWHERE], ..Different::default() });
    let mut server = Server::start(XMPP_DOMAIN, ground.place.free(), &ground.ca, &ground.server).await;
    ground.lead(XMPP_DOMAIN, server.address());
    for domain in [OURS].iter().chain(&domains) {
        server.connect(domain, ground.s2s_tls).await;
    }
    for domain in domains {
        server.message(domain, "lost");
    }
    // The error for the silent one comes last; meanwhile messages pass.
    let mut conditions = Vec::new();
    let mut quick = 0;
    while conditions.len() < domains.len() {
        let text = format!("meanwhile {quick}");
        server.message(OURS, &text);
        let request = phone.next(PATIENCE).await.expect("it comes");
        assert_eq!(request.text(), text);
        quick += 1;
        conditions.extend(
            server.come().iter().map(|stanza| (stanza.attr("from").unwrap_or_default().to_owned(), condition(stanza))),
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(quick >= 3, "{quick} messages while one waited");
    let expected =
        [(FAILS, "remote-server-timeout"), (SILENT, "remote-server-timeout"), (NOWHERE, "remote-server-not-found")];
    for (domain, right) in expected {
        let (_, said) = conditions.iter().find(|(from, _)| from.ends_with(domain)).expect("an error");
        assert_eq!(said, right, "{domain}");
    }
    assert_eq!(conditions.last().map(|(from, _)| from.ends_with(SILENT)), Some(true), "{conditions:?}");

    // All of them have servers now.
    for domain in domains {
        lead(&ground, domain, other.address());
        ground.names.turn(domain, Weather::Fair);
        let begun = Instant::now();
        loop {
            server.message(domain, "found");
            tokio::select! {
                request = other.next(PATIENCE) => {
                    assert_eq!(request.expect("it comes").text(), "found");
                    break;
                }
                stanza = server.next() => assert!(condition(&stanza).starts_with("remote-server"), "{stanza:?}"),
            }
            assert!(begun.elapsed() < 2 * PATIENCE, "{domain} is not found");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    // One has moved, away from a server that would still take it.
    lead(&ground, SIP_DOMAIN, other.address());
    let begun = Instant::now();
    loop {
        server.message(OURS, "moved");
        tokio::select! {
            request = other.next(PATIENCE) => break assert_eq!(request.expect("it comes").text(), "moved"),
            request = phone.next(PATIENCE) => assert_eq!(request.expect("it comes").text(), "moved"),
        }
        assert!(begun.elapsed() < 2 * PATIENCE, "the new server is not found");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(server.come().is_empty(), "and nobody was told of an error");
}
