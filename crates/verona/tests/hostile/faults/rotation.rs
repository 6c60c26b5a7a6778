//! Certificates that are replaced while messages pass: each of them arrives, once, nobody is cut off, and who comes sees the new one.

use super::net::{Different, Ground, HOST, own};
use super::server::{OURS, Server, body, shown, written};
use super::sip_line::SipLine;
use crate::world::{PATIENCE, SIP_DOMAIN, XMPP_DOMAIN};
use rehearsal::peers::Gateway;
use rehearsal::wire::SipText;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Certificates that there are one after the other.
const CERTIFICATES: usize = 5;

/// Messages each way after which it is looked which certificate is shown.
const SOME: usize = 20;

/// Between two messages of one direction. This sleep is the traffic's rate, nothing is waited for.
const PACE: Duration = Duration::from_millis(3);

/// Whether the gateway shows this certificate to whoever comes to any of its ports.
async fn shows(ground: &Ground, certificate: &[u8]) -> bool {
    let servers = shown(&ground.ca, ground.s2s_tls, SIP_DOMAIN).await == certificate;
    servers && shown(&ground.ca, ground.sips, HOST).await == certificate
}

/// Each of the texts has come once.
fn assert_all(came: &[String], prefix: &str, count: usize) {
    let mut tally = BTreeMap::<&str, usize>::new();
    for text in came {
        *tally.entry(text).or_default() += 1;
    }
    let wrong: Vec<_> =
        (0..count).map(|n| format!("{prefix}{n}")).filter(|text| tally.remove(text.as_str()) != Some(1)).collect();
    assert!(wrong.is_empty() && tally.is_empty(), "not once: {wrong:?}; nobody has sent: {tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_change_under_load() {
    let ground = Ground::new("faults-rotation");
    let at = ground.place.free();
    let host = at.ip().to_string();
    let mut proxy = SipLine::proxy(at, &ground.ca.issue(&ground.place, "proxy", &[&host])).await;
    let different = Different { proxy: Some(at), transport: "tls", ..Different::default() };
    let mut gateway: Gateway = ground.start(different);
    let mut server = Server::start(XMPP_DOMAIN, ground.place.free(), &ground.ca, &ground.server).await;
    ground.lead(XMPP_DOMAIN, server.address());
    server.connect(OURS, ground.s2s_tls).await;
    let mut phone = SipLine::phone(ground.sips, &ground.ca, HOST).await;
    assert!(shows(&ground, &written(&ground.own)).await);

    let mut sent = 0;
    for n in 0..CERTIFICATES {
        let new = written(&own(&ground.ca, &ground.place));
        // By signal, or found by itself.
        if n % 2 == 0 {
            gateway.process().signal("HUP");
        }
        let begun = Instant::now();
        loop {
            for _ in 0..SOME {
                phone.message(&format!("s{sent}"));
                server.message(OURS, &format!("x{sent}"));
                sent += 1;
                tokio::time::sleep(PACE).await;
            }
            if shows(&ground, &new).await {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "the new certificate is not shown");
        }
    }

    let (mut to_xmpp, mut to_sip, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    while to_xmpp.len() < sent {
        to_xmpp.push(body(&server.next().await));
    }
    while to_sip.len() < sent {
        to_sip.push(proxy.next().await.text());
    }
    while answers.len() < sent {
        let answer = phone.next().await;
        assert_eq!(answer.status(), Some(200), "{answer}");
        answers.push(answer.header("Call-ID").unwrap_or_default().to_owned());
    }
    to_xmpp.extend(server.come().iter().map(body));
    to_sip.extend(proxy.come().iter().map(SipText::text));
    assert_all(&to_xmpp, "s", sent);
    assert_all(&to_sip, "x", sent);
    assert_all(&answers, "s", sent);
    assert_eq!(server.streams(), (1, 0), "the stream that there was is there");
    assert_eq!(phone.connections(), (1, 0));
    assert_eq!(proxy.connections(), (1, 0));
}
