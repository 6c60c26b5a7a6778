//! Machines that go without a word, so that their connections stay as they were: a relay in between holds the sockets of both sides and
//! passes nothing on. That is noticed, what was on its way comes back as an error, and what follows goes over new connections.

use super::net::{Different, Ground, HOST, metric, metric_becomes};
use super::server::{OURS, Server, body, condition};
use super::sip_line::SipLine;
use crate::world::{PATIENCE, XMPP_DOMAIN, message};
use rehearsal::ladder::Ladder;
use rehearsal::stub::Phone;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Takes connections and passes on what both sides say, until it is told not to.
struct Relay {
    at: SocketAddr,
    /// How often those that were there have been left in the air.
    cut: watch::Sender<usize>,
    _tasks: JoinSet<()>,
}

impl Relay {
    async fn start(at: SocketAddr, to: SocketAddr) -> Relay {
        let listener = TcpListener::bind(at).await.unwrap();
        let (cut, cuts) = watch::channel(0);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut pairs = JoinSet::new();
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let mut cuts = cuts.clone();
                cuts.mark_unchanged();
                pairs.spawn(async move {
                    let Ok(mut far) = TcpStream::connect(to).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        // Both sockets stay, and nobody reads them.
                        Ok(()) = cuts.changed() => std::future::pending().await,
                    }
                });
            }
        });
        Relay { at, cut, _tasks: tasks }
    }

    /// The connections that there are hang in the air from now on. New ones are served.
    fn leave(&self) {
        self.cut.send_modify(|times| *times += 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_gone_without_a_word() {
    let ground = Ground::new("faults-half-open-x");
    let phone = SocketAddr::new(ground.place.ip().into(), 0);
    let mut phone = Phone::start(phone, Ladder::new(), |_| (200, "OK".to_owned())).await.unwrap();
    let mut server = Server::start(XMPP_DOMAIN, ground.place.free(), &ground.ca, &ground.server).await;
    let relay = Relay::start(ground.place.free(), server.address()).await;
    ground.lead(XMPP_DOMAIN, relay.at);
    let different =
        Different { proxy: Some(phone.address()), federation: "ping_interval = \"5s\"", ..Different::default() };
    let gateway = ground.start(different);
    let sip = gateway.sip();
    let nurse = format!("sip:nurse@{XMPP_DOMAIN}");
    let say = async |phone: &Phone, text: &str| {
        phone.request(sip, message("romeo", &nurse, &[], text)).await.unwrap().status().unwrap()
    };
    assert_eq!(say(&phone, "before").await, 200);
    assert_eq!(body(&server.next().await), "before");
    server.message(OURS, "from there");
    assert_eq!(phone.next(PATIENCE).await.expect("it comes").text(), "from there");

    relay.leave();
    // They are on their way when nobody knows yet.
    let speaker = Arc::new(phone);
    let mut answers = JoinSet::new();
    for n in 0..20 {
        let (phone, nurse) = (Arc::clone(&speaker), nurse.clone());
        answers.spawn(async move {
            let text = format!("into the air {n}");
            let answer = phone.request(sip, message("romeo", &nurse, &[], &text)).await.unwrap();
            (text, answer.status().unwrap())
        });
    }
    let mut taken = Vec::new();
    while let Some(answer) = answers.join_next().await {
        let (text, code) = answer.unwrap();
        match code {
            200 => taken.push(text),
            // remote-server-timeout: it may have come, and has not.
            code => assert_eq!(code, 504, "{text}"),
        }
    }
    // The next one goes over a new stream.
    assert_eq!(say(&speaker, "after").await, 200);
    taken.push("after".to_owned());
    let mut came = Vec::new();
    while came.last().is_none_or(|text| text != "after") {
        came.push(body(&server.next().await));
    }
    taken.sort();
    came.sort();
    assert_eq!(came, taken, "what was answered 200 has come, once, and nothing else");
    assert_eq!(server.streams(), (2, 0), "the first one hangs in the air");
    // And back again, over the new one.
    server.message(OURS, "again from there");
    let mut phone = Arc::into_inner(speaker).unwrap();
    assert_eq!(phone.next(PATIENCE).await.expect("it comes").text(), "again from there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_has_gone_without_a_word() {
    let ground = Ground::new("faults-half-open-s");
    let at = ground.place.free();
    let shown = ground.ca.issue(&ground.place, "proxy", &[&at.ip().to_string()]);
    let mut proxy = SipLine::proxy(at, &shown).await;
    let relay = Relay::start(ground.place.free(), at).await;
    let different = Different { proxy: Some(relay.at), transport: "tls", sip: "t1 = \"50ms\"", ..Different::default() };
    let gateway = ground.start(different);
    let mut server = Server::start(XMPP_DOMAIN, ground.place.free(), &ground.ca, &ground.server).await;
    ground.lead(XMPP_DOMAIN, server.address());
    server.connect(OURS, ground.s2s_tls).await;
    let mut phone = SipLine::phone(ground.sips, &ground.ca, HOST).await;
    server.message(OURS, "before");
    assert_eq!(proxy.next().await.text(), "before");
    // The answer to it is there, too.
    let delivered = "verona_messages_total{direction=\"xmpp_to_sip\",outcome=\"delivered\"}";
    metric_becomes(&gateway, delivered, PATIENCE, |n| n == 1.0);

    relay.leave();
    // What comes from SIP has nothing to do with it.
    phone.message("meanwhile");
    server.message(OURS, "into the air");
    assert_eq!(phone.next().await.status(), Some(200));
    assert_eq!(body(&server.next().await), "meanwhile");
    let error = server.next().await;
    assert_eq!((error.attr("id"), condition(&error).as_str()), (Some("into the air"), "remote-server-timeout"));
    // It is known by now that this connection is none.
    let begun = Instant::now();
    let mut last = 0;
    loop {
        last += 1;
        server.message(OURS, &format!("after {last}"));
        tokio::select! {
            request = proxy.next() => {
                assert_eq!(request.text(), format!("after {last}"));
                break;
            }
            error = server.next() => assert_eq!(condition(&error), "remote-server-timeout"),
        }
        assert!(begun.elapsed() < PATIENCE, "the dead connection is still used");
    }
    assert!(last <= 2, "{last} were lost in a connection that was known to be dead");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(proxy.come().is_empty() && server.come().is_empty(), "each once, and no errors");
    assert_eq!(proxy.connections(), (2, 0), "the first one hangs in the air");
}

/// Nobody has to lose anything first: who is silent is asked whether he is there (XEP-0199), whoever has opened the stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_streams_are_asked() {
    let ground = Ground::new("faults-half-open-p");
    let phone = SocketAddr::new(ground.place.ip().into(), 0);
    let phone = Phone::start(phone, Ladder::new(), |_| (200, "OK".to_owned())).await.unwrap();
    let mut server = Server::start(XMPP_DOMAIN, ground.place.free(), &ground.ca, &ground.server).await;
    let (there, back) = (ground.place.free(), ground.place.free());
    let (there, back) = (Relay::start(there, server.address()).await, Relay::start(back, ground.s2s_tls).await);
    ground.lead(XMPP_DOMAIN, there.at);
    let different =
        Different { proxy: Some(phone.address()), federation: "ping_interval = \"5s\"", ..Different::default() };
    let gateway = ground.start(different);
    server.connect(OURS, back.at).await;
    let nurse = format!("sip:nurse@{XMPP_DOMAIN}");
    for (n, (kind, relay)) in [("incoming", &back), ("outgoing", &there)].into_iter().enumerate() {
        for text in [format!("over {kind}"), format!("and again over {kind}")] {
            let answer = phone.request(gateway.sip(), message("romeo", &nurse, &[], &text)).await.unwrap();
            assert_eq!(answer.status(), Some(200), "{kind}");
            assert_eq!(body(&server.next().await), text);
        }
        let streams = format!("verona_federation_streams{{kind=\"{kind}\"}}");
        assert_eq!(metric(&gateway, &streams), 1.0);
        assert_eq!(server.streams(), (n + 1, 0));
        relay.leave();
        metric_becomes(&gateway, &streams, PATIENCE, |n| n == 0.0);
    }
    let answer = phone.request(gateway.sip(), message("romeo", &nurse, &[], "after")).await.unwrap();
    assert_eq!(answer.status(), Some(200));
    assert_eq!(body(&server.next().await), "after");
    assert!(server.come().is_empty(), "nothing has come twice");
}

/// Where there is another server, a request that the first one has never answered goes there (RFC 3263 §4.3), and so does the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sip_server_that_has_gone_without_a_word_has_another_beside_it() {
    let ground = Ground::new("faults-half-open-f");
    let at = SocketAddr::new(ground.place.ip().into(), 0);
    let mut first = Phone::start(at, Ladder::new(), |_| (200, "OK".to_owned())).await.unwrap();
    let mut second = Phone::start(at, Ladder::new(), |_| (200, "OK".to_owned())).await.unwrap();
    let relay = Relay::start(ground.place.free(), first.address()).await;
    ground.names.host("sip.host.example", ground.place.ip());
    let places = [relay.at.port(), second.address().port()].map(|port| ("sip.host.example", port));
    ground.names.srv(&format!("_sip._tcp.{OURS}"), &places);
    let gateway = ground.start(Different { sip: "t1 = \"50ms\"", ..Different::default() });
    let mut server = Server::start(XMPP_DOMAIN, ground.place.free(), &ground.ca, &ground.server).await;
    ground.lead(XMPP_DOMAIN, server.address());
    server.connect(OURS, ground.s2s_tls).await;
    server.message(OURS, "before");
    assert_eq!(first.next(PATIENCE).await.expect("it comes").text(), "before");
    let delivered = "verona_messages_total{direction=\"xmpp_to_sip\",outcome=\"delivered\"}";
    metric_becomes(&gateway, delivered, PATIENCE, |n| n == 1.0);

    relay.leave();
    for (n, text) in ["into the air", "after"].into_iter().enumerate() {
        server.message(OURS, text);
        assert_eq!(second.next(PATIENCE).await.expect("it comes").text(), text);
        metric_becomes(&gateway, delivered, PATIENCE, |all| all == n as f64 + 2.0);
    }
    assert!(server.come().is_empty(), "nobody is told of an error");
    assert!(first.next(Duration::from_millis(100)).await.is_none() && second.next(Duration::ZERO).await.is_none());
}
