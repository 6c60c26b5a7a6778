//! Servers and proxies that are killed under traffic and come back: every message comes once, or its sender is told, and in the end all is as before.

use super::net::{Different, Ground, HOST};
use super::server::{OURS, Server, body, condition};
use super::sip_line::SipLine;
use crate::world::{PATIENCE, XMPP_DOMAIN};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Between two messages of one direction. This sleep is the traffic's rate, nothing is waited for.
const PACE: Duration = Duration::from_millis(10);

/// Messages each way before a peer is killed, while it is away, and when it is back.
const PHASE: usize = 50;

/// How often each text has come.
type Tally = BTreeMap<String, usize>;

fn count(tally: &mut Tally, text: String) {
    *tally.entry(text).or_default() += 1;
}

/// Where all is: a server, a proxy, and a phone over a connection of its own.
async fn start(name: &str) -> (Ground, Server, SipLine, SipLine, rehearsal::peers::Gateway) {
    let ground = Ground::new(name);
    let at = ground.place.free();
    let shown = ground.ca.issue(&ground.place, "proxy", &[&at.ip().to_string()]);
    let proxy = SipLine::proxy(at, &shown).await;
    let gateway =
        ground.start(Different { proxy: Some(at), transport: "tls", sip: "t1 = \"50ms\"", ..Different::default() });
    let mut server = Server::start(XMPP_DOMAIN, ground.place.free(), &ground.ca, &ground.server).await;
    ground.lead(XMPP_DOMAIN, server.address());
    server.connect(OURS, ground.s2s_tls).await;
    let phone = SipLine::phone(ground.sips, &ground.ca, HOST).await;
    (ground, server, proxy, phone, gateway)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_killed_under_traffic_and_comes_back() {
    let (ground, mut server, _proxy, mut phone, _gateway) = start("faults-restart-x").await;
    let (at, mut tally, mut sent) = (server.address(), Tally::new(), 0);
    for phase in 0..3 {
        for _ in 0..PHASE {
            phone.message(&format!("s{sent}"));
            sent += 1;
            tokio::time::sleep(PACE).await;
        }
        server.come().iter().for_each(|stanza| count(&mut tally, body(stanza)));
        match phase {
            0 => server.stop().await,
            1 => server = Server::start(XMPP_DOMAIN, at, &ground.ca, &ground.server).await,
            _ => {}
        }
    }
    // Behind all of them.
    let begun = Instant::now();
    let mut codes = BTreeMap::new();
    loop {
        let last = format!("s{sent}");
        sent += 1;
        phone.message(&last);
        while !codes.contains_key(&last) {
            let answer = phone.next().await;
            codes.insert(answer.header("Call-ID").unwrap_or_default().to_owned(), answer.status().unwrap());
        }
        if codes[&last] == 200 && codes.len() == sent {
            break;
        }
        assert!(begun.elapsed() < 2 * PATIENCE, "the server is not found again, or there are too few answers");
        tokio::time::sleep(PACE).await;
    }
    server.come().iter().for_each(|stanza| count(&mut tally, body(stanza)));
    let mut good = 0;
    for (text, code) in codes {
        let times = tally.remove(&text).unwrap_or_default();
        match code {
            200 => {
                assert_eq!(times, 1, "{text} was answered 200");
                good += 1;
            }
            code => assert!(code == 504 && times <= 1, "{text} was answered {code} and came {times} times"),
        }
    }
    assert!(good > PHASE && tally.is_empty(), "{good} passed; nobody has sent {tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_is_killed_under_traffic_and_comes_back() {
    let (ground, mut server, mut proxy, _phone, _gateway) = start("faults-restart-s").await;
    let (at, mut tally, mut sent) = (proxy.address(), Tally::new(), 0);
    let mut errors = Tally::new();
    for phase in 0..3 {
        for _ in 0..PHASE {
            server.message(OURS, &format!("x{sent}"));
            sent += 1;
            tokio::time::sleep(PACE).await;
        }
        proxy.come().iter().for_each(|request| count(&mut tally, request.text()));
        match phase {
            0 => proxy.stop().await,
            1 => {
                let shown = ground.ca.issue(&ground.place, "proxy", &[&at.ip().to_string()]);
                proxy = SipLine::proxy(at, &shown).await;
            }
            _ => {}
        }
    }
    // Messages of a pair go one after the other: when one has passed that was sent now, all before it are through.
    let begun = Instant::now();
    loop {
        let last = format!("x{sent}");
        sent += 1;
        server.message(OURS, &last);
        while !tally.contains_key(&last) && !errors.contains_key(&last) {
            tokio::select! {
                request = proxy.next() => count(&mut tally, request.text()),
                stanza = server.next() => {
                    assert_eq!(condition(&stanza), "remote-server-timeout");
                    count(&mut errors, stanza.attr("id").unwrap_or_default().to_owned());
                }
            }
        }
        if tally.contains_key(&last) {
            break;
        }
        assert!(begun.elapsed() < 2 * PATIENCE, "the proxy is not found again");
        tokio::time::sleep(PACE).await;
    }
    let told = |stanza: &xml::Element| (condition(stanza), stanza.attr("id").unwrap_or_default().to_owned());
    for (condition, id) in server.come().iter().map(told) {
        assert_eq!(condition, "remote-server-timeout");
        count(&mut errors, id);
    }
    let mut good = 0;
    for n in 0..sent {
        let text = format!("x{n}");
        let (times, told) = (tally.remove(&text).unwrap_or_default(), errors.remove(&text).unwrap_or_default());
        assert!(times <= 1 && told <= 1 && times + told >= 1, "{text} came {times} times, and {told} errors");
        good += usize::from(told == 0);
    }
    assert!(good > PHASE, "{good} passed without an error");
}
