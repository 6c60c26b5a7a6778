//! An XMPP server that is gone, silent or stuck: the SIP side is told in bounded time, and all is well once it is back.

use crate::world::{
    Gateway, Heard, Manner, PATIENCE, SIP_DOMAIN, World, XMPP_DOMAIN, XmppEnd, anywhere, body_of, message,
};
use rehearsal::ladder::Ladder;
use rehearsal::stub::Phone;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;

async fn ask(phone: &Phone, gateway: &Gateway, text: &str) -> (Option<u16>, Option<String>) {
    let request = message("romeo", &format!("sip:nurse@{XMPP_DOMAIN}"), &[], text);
    let answer = phone.request(gateway.udp, request).await.unwrap();
    (answer.status(), answer.header("Retry-After").map(str::to_owned))
}

const TRY_LATER: (Option<u16>, Option<&str>) = (Some(503), Some("5"));

fn as_deref(answer: &(Option<u16>, Option<String>)) -> (Option<u16>, Option<&str>) {
    (answer.0, answer.1.as_deref())
}

/// A server that reads nothing any more, though its connection stands: what is held comes back as 503 within the ping's time, what
/// comes then at once, until there is a new stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_reading() {
    let mut world = World::start(XMPP_DOMAIN, "").await;
    world.baseline_from_sip(false).await;
    world.link.stop_reading();
    let start = Instant::now();
    let large = "x".repeat(900);
    let asked = (0..200).map(|_| ask(&world.phone, &world.gateway, &large));
    let mut asked: Vec<_> = asked.map(Box::pin).collect();
    let answers = async {
        let mut answers = Vec::new();
        for one in &mut asked {
            answers.push(one.await);
        }
        answers
    };
    let answers = tokio::time::timeout(PATIENCE, answers).await.expect("every sender is told");
    assert!(answers.iter().all(|a| as_deref(a) == TRY_LATER), "{answers:?}");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    drop(asked);
    world.reconnected().await;
    world.baseline_from_sip(false).await;
    world.baseline_from_xmpp().await;
}

/// A server that accepts connections and says nothing, one that closes them, and one that wants no such component.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_answer_the_handshake() {
    let xmpp = XmppEnd::start().await;
    let phone = Phone::start(anywhere(), Ladder::new(), |_| (200, "OK".to_owned())).await.unwrap();
    let gateway = Gateway::start(xmpp.address(), &phone.address().to_string(), XMPP_DOMAIN, "").await;
    let start = Instant::now();
    let mut mute = xmpp.accept(Manner::Mute).await;
    assert_eq!(as_deref(&ask(&phone, &gateway, "x").await), TRY_LATER);
    assert!(start.elapsed() < Duration::from_secs(2), "the answer took {:?}", start.elapsed());
    assert_eq!(mute.next().await, Heard::Error("connection-timeout".to_owned()));
    assert_eq!(mute.next().await, Heard::Closed);

    drop(xmpp.stream().await);
    assert_eq!(as_deref(&ask(&phone, &gateway, "x").await), TRY_LATER);

    let mut refusing = xmpp.accept(Manner::Mute).await;
    refusing.say(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' id='1'>\
         <stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>",
    );
    while refusing.next().await != Heard::Closed {}
    assert_eq!(as_deref(&ask(&phone, &gateway, "x").await), TRY_LATER);

    let mut link = xmpp.up().await;
    // The shards learn of the stream a moment later than its server does.
    while ask(&phone, &gateway, "at last").await.0 != Some(200) {
        assert!(start.elapsed() < PATIENCE, "it does not recover");
    }
    let Heard::Stanza(stanza) = link.next().await else { panic!("no stanza") };
    assert_eq!(body_of(&stanza).as_deref(), Some("at last"));
}

/// The server dies with messages in its hands: their senders are told, once each, and none is sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_with_messages_in_its_hands() {
    let xmpp = XmppEnd::start().await;
    let phone = Phone::start(anywhere(), Ladder::new(), |_| (200, "OK".to_owned())).await.unwrap();
    let gateway = Gateway::start(xmpp.address(), &phone.address().to_string(), XMPP_DOMAIN, "").await;
    for round in 0..3 {
        let mut link = xmpp.up().await;
        let text = format!("round {round}");
        let asking = ask(&phone, &gateway, &text);
        tokio::pin!(asking);
        // It has the stanza, and goes before it answers the barrier behind it.
        let mut heard_of = 0;
        let answer = loop {
            tokio::select! {
                answer = &mut asking => break answer,
                heard = link.next() => match heard {
                    Heard::Stanza(e) => {
                        assert_eq!(body_of(&e).as_deref(), Some(text.as_str()));
                        heard_of += 1;
                        link.stop_reading();
                        link.say("</stream:stream>");
                    }
                    Heard::Closed => {}
                    heard => panic!("{heard:?}"),
                },
            }
        };
        // The barrier may have gone out with the stanza and come back before the end.
        assert!(answer.0 == Some(200) || as_deref(&answer) == TRY_LATER, "{answer:?}");
        // The answer may have been there before this test had looked at the stanza.
        heard_of += link.said().iter().filter(|h| matches!(h, Heard::Stanza(_))).count();
        assert!(heard_of <= 1, "it is not sent twice");
    }
    let mut link = xmpp.up().await;
    let start = Instant::now();
    while ask(&phone, &gateway, "last").await.0 != Some(200) {
        assert!(start.elapsed() < PATIENCE, "it does not recover");
    }
    let Heard::Stanza(stanza) = link.next().await else { panic!("no stanza") };
    assert_eq!(body_of(&stanza).as_deref(), Some("last"), "nothing of the rounds before comes after");
}

/// A server that does not send barriers back: the bounded wait stands in for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_barriers() {
    let xmpp = XmppEnd::start().await;
    let phone = Phone::start(anywhere(), Ladder::new(), |_| (200, "OK".to_owned())).await.unwrap();
    let gateway = Gateway::start(xmpp.address(), &phone.address().to_string(), XMPP_DOMAIN, "").await;
    let mut link = xmpp.accept(Manner::NoBarriers).await;
    assert_eq!(link.next().await, Heard::Up);
    let start = Instant::now();
    while ask(&phone, &gateway, "x").await.0 != Some(200) {
        assert!(start.elapsed() < PATIENCE, "it is never taken");
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(matches!(link.next().await, Heard::Stanza(e) if body_of(&e).as_deref() == Some("x")));
}

/// A stream of junk for ever: each connection is ended, and the gateway waits between attempts, longer each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_talks_nonsense() {
    let xmpp = XmppEnd::start().await;
    let gateway = Gateway::start(xmpp.address(), "127.0.0.1:9", XMPP_DOMAIN, "").await;
    let start = Instant::now();
    for junk in
        ["HTTP/1.1 400 Bad Request\r\n\r\n", "<a/>", "\u{0}\u{1}", "<?xml version='1.1'?><x>", "</stream:stream>"]
    {
        let mut stream = xmpp.stream().await;
        tokio::io::AsyncWriteExt::write_all(&mut stream, junk.as_bytes()).await.unwrap();
        let mut said = Vec::new();
        let end = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut said)).await;
        assert!(end.is_ok(), "{junk:?}: the connection stays open");
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.starts_with("<?xml") && said.contains(SIP_DOMAIN), "{said}");
        assert!(!said.contains("handshake"), "it proves itself to nobody: {said}");
    }
    assert!(start.elapsed() > Duration::from_millis(800), "five attempts in {:?}", start.elapsed());
    let _link = xmpp.up().await;
    assert_eq!(gateway.metric("verona_panics_total"), 0.0);
}
