//! The door between servers: who leads the gateway to itself, comes too fast, or is let in no more.

use crate::door::{connect, elsewhere};
use crate::identity_s2s::{MIRROR, Net, Peer, header, stanza};
use crate::world::{PATIENCE, SIP_DOMAIN, XMPP_DOMAIN};
use rehearsal::peers::TestCa;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A domain whose server would be the gateway itself has none: nobody makes it talk to itself, and hold that against its own address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_leads_it_to_itself() {
    let mut net = Net::start("").await;
    assert_eq!(net.sends_to(MIRROR).await, Some(504));
    let metrics = net.gateway.metrics();
    assert_eq!(net.gateway.metric("verona_federation_targets_failed_total"), 2.0);
    assert!(!metrics.contains("verona_federation_ends_total{"), "no connection was made: {metrics}");
    net.nothing_but_the_baseline().await;
}

const DOOR: &str = "[abuse]\nallow = []\n";

/// Servers come from an address that is no friend's, nor the gateway's own.
async fn start(more: &str) -> Net {
    let mut net = Net::start(&format!("{DOOR}{more}")).await;
    net.from = elsewhere();
    net
}

/// A connection of the same source to the SIP port, which is answered.
async fn phone_connection(net: &Net) -> TcpStream {
    let mut stream = connect(net.from, net.gateway.tcp).await;
    stream.write_all(b"\r\n\r\n").await.unwrap();
    let mut pong = [0; 2];
    timeout(PATIENCE, stream.read_exact(&mut pong)).await.expect("an answer").unwrap();
    stream
}

/// The other end closes it without a word.
async fn is_closed(mut stream: TcpStream) {
    let ended = timeout(PATIENCE, stream.read(&mut [0; 16])).await.expect("it is closed");
    assert_eq!(ended.unwrap_or_default(), 0);
}

/// The rate of messages holds for what comes by a stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_too_fast_loses_the_stream() {
    let mut net = start("messages_per_source = 20\nmessages_burst = 10").await;
    let mut peer = net.proved().await;
    peer.say(&stanza(XMPP_DOMAIN, "one").repeat(5)).await;
    for _ in 0..5 {
        assert_eq!(net.phone.next(PATIENCE).await.expect("it is within the rate").text(), "one");
    }
    peer.say(&stanza(XMPP_DOMAIN, "many").repeat(100)).await;
    peer.ends_with("policy-violation", "too fast").await;
    assert!(net.gateway.metric("verona_refused_sources_total{reason=\"message-rate\"}") >= 1.0);
    assert_eq!(net.gateway.metric("verona_bans_total"), 0.0, "it is no offence");
}

/// Who is shut out for what was done by one connection is not heard by the others any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_shut_out_loses_what_is_open() {
    let net = start("patience = 6").await;
    let (mut peer, phone) = (net.proved().await, phone_connection(&net).await);
    for _ in 0..7 {
        let mut stranger = connect(net.from, net.gateway.tcp).await;
        stranger.write_all(b"GET / HTTP/1.1\r\nHost: sip.example.net\r\n\r\n").await.unwrap();
        let _ = timeout(PATIENCE, stranger.read_to_end(&mut Vec::new())).await.expect("it is closed");
    }
    peer.ends_with("policy-violation", "shut out").await;
    is_closed(phone).await;
    assert_eq!(net.gateway.metric("verona_bans_total"), 1.0);
}

/// Whoever has DNS records lead a server here for a domain that is not ours does not have it shut out; nor do strangers at its address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_led_here_is_not_shut_out() {
    let mut net = Net::start(&format!("deny = [\"denied.example\"]\n{DOOR}patience = 6")).await;
    net.from = elsewhere();
    let led = async |from: &str, to: &str, condition: &str| {
        for _ in 0..8 {
            let tcp = connect(net.from, net.tls).await;
            let mut stranger = Peer::new(net.shake(tcp, None).await);
            stranger.say(&header(from, to)).await;
            stranger.ends_with(condition, to).await;
        }
    };
    led(XMPP_DOMAIN, "somebody-elses.example", "host-unknown").await;
    led("denied.example", SIP_DOMAIN, "policy-violation").await;
    let mut peer = net.proved().await;
    for _ in 0..8 {
        let mut stranger = connect(net.from, net.tcp).await;
        stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let _ = timeout(PATIENCE, stranger.read_to_end(&mut Vec::new())).await.expect("it is closed");
    }
    assert_eq!(net.gateway.metric("verona_bans_total"), 0.0);
    peer.say(&stanza(XMPP_DOMAIN, "still here")).await;
}

/// So does who is on the operator's list from now on, and nobody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_the_operator_denies_loses_what_is_open() {
    let mut net = start("").await;
    let (mut peer, phone) = (net.proved().await, phone_connection(&net).await);
    let denies = |whom: &str| net.text.replace(DOOR, &format!("{DOOR}deny = [\"{whom}\"]\n"));
    let (others, us) = (denies("192.0.2.1"), denies(&net.from.to_string()));
    net.gateway.reload(&others).await;
    peer.say(&stanza(XMPP_DOMAIN, "still here")).await;
    assert_eq!(net.phone.next(PATIENCE).await.expect("others are denied").text(), "still here");
    net.gateway.reload(&us).await;
    peer.ends_with("policy-violation", "denied").await;
    is_closed(phone).await;
}

/// A configuration that cannot be taken changes nothing: names are looked up where they were.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_fails_changes_nothing() {
    let mut net = Net::start("").await;
    let bad = net.without_names().replace(&net.phone.address().to_string(), "nowhere.invalid");
    assert!(net.gateway.try_reload(&bad).await.is_err());
    let called = async { drop(net.called("").await) };
    assert!(tokio::join!(called, net.sends()).1.is_some(), "the other domain is found, though it goes away");
}

/// Whom nobody vouches for any more loses the stream; everybody else keeps it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_that_is_trusted_no_more() {
    let mut net = Net::start("").await;
    let mut peer = net.proved().await;
    let text = net.text.clone();
    net.gateway.reload(&text).await;
    peer.say(&stanza(XMPP_DOMAIN, "still here")).await;
    assert_eq!(net.phone.next(PATIENCE).await.expect("nothing has changed").text(), "still here");
    let other = TestCa::named(&net.place, "other");
    let text = text.replace(&net.ca.root().display().to_string(), &other.root().display().to_string());
    net.gateway.reload(&text).await;
    peer.ends_with("reset", "the root is gone").await;
}
