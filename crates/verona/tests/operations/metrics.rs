//! What /metrics, /ready and /health say after a known set of messages.

use crate::rig::{PATIENCE, Settings, World, body, condition, message, metric};
use rehearsal::wire::SipText;
use xmpp::error::Condition;
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

fn request(method: &str, headers: &[(&str, &str)], text: &str) -> SipText {
    let mut request = SipText {
        start: format!("{method} sip:juliet@example.com SIP/2.0"),
        headers: vec![],
        body: text.as_bytes().to_vec(),
    };
    request.push("From", "<sip:romeo@example.net>");
    request.push("To", "<sip:juliet@example.com>");
    for (name, value) in headers {
        request.push(name, *value);
    }
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_is_counted_once_for_what_became_of_it() {
    let settings = Settings { keys: "message.chat_states = false".to_owned(), ..Settings::default() };
    let mut world = World::new("counts", &settings).await;

    // From SIP: three delivered, one that XMPP refuses, two that the gateway refuses, one that means nothing, one that is no message,
    // and bytes that are nothing at all.
    for text in ["1", "2", "3"] {
        assert_eq!(world.romeo_says("sip:juliet@example.com", text).await.status(), Some(200));
        assert_eq!(body(&world.at_juliet().await), text);
    }
    let nobody = world.romeo_says("sip:nobody@example.com", "4").await.status().unwrap();
    assert_eq!(body(&world.at_juliet().await), "4");
    assert_eq!(world.romeo_says("sip:juliet@example.org", "5").await.status(), Some(404));
    let spoofed =
        world.phone.message(world.sip, "sip:nurse@example.com", "sip:juliet@example.com", &[], "6").await.unwrap();
    assert_eq!(spoofed.status(), Some(403));
    let composing = "<isComposing xmlns='urn:ietf:params:xml:ns:im-iscomposing'><state>active</state></isComposing>";
    let composing = request("MESSAGE", &[("Content-Type", "application/im-iscomposing+xml")], composing);
    assert_eq!(world.phone.request(world.sip, composing).await.unwrap().status(), Some(200));
    let subscribe = request("SUBSCRIBE", &[("Event", "smoke"), ("Contact", "<sip:romeo@127.0.0.1>")], "");
    assert_eq!(world.phone.request(world.sip, subscribe).await.unwrap().status(), Some(489));
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"hello, hello", world.sip).unwrap();

    // From XMPP: two delivered, one that SIP refuses, one that the gateway refuses, one that means nothing; presence; an iq.
    for text in ["1", "2"] {
        world.juliet_says("romeo@example.net", text, text);
        assert_eq!(world.at_romeo().await.text(), text);
    }
    world.juliet_says("rosaline@example.net", "3", "3");
    assert_eq!(world.at_romeo().await.text(), "3");
    assert_eq!(condition(&world.at_juliet().await), Some(Condition::ItemNotFound));
    world.server.send(message("juliet@example.com", "romeo@example.net", "4", "4").with_type("groupchat"));
    assert_eq!(condition(&world.at_juliet().await), Some(Condition::ServiceUnavailable));
    let to_romeo = |stanza: Stanza| {
        let jid = |jid| Jid::parse(jid).unwrap();
        stanza.with_from(jid("juliet@example.com/balcony")).with_to(jid("romeo@example.net")).with_id("x")
    };
    world.server.send(to_romeo(Stanza::message()));
    world.server.send(to_romeo(Stanza::presence()));
    world.server.send(to_romeo(Stanza::iq("get")));
    assert_eq!(condition(&world.at_juliet().await), Some(Condition::BadRequest), "an iq without a child");

    let line = |name: &str, labels: &str| format!("verona_{name}{{{labels}}}");
    let messages = |page: &str, direction: &str| {
        let of = |outcome: &str| line("messages_total", &format!("direction=\"{direction}\",outcome=\"{outcome}\""));
        ["received", "delivered", "failed", "refused"].map(|outcome| metric(page, &of(outcome)) as u64)
    };
    let page = world.program.wait_until("/metrics", |_, page| {
        messages(page, "xmpp_to_sip")[1] == 2 && metric(page, "verona_sip_rejected_total") > 0.0
    });
    assert_eq!(messages(&page, "sip_to_xmpp"), [7, 3, 1, 2], "{page}");
    assert_eq!(messages(&page, "xmpp_to_sip"), [5, 2, 1, 1], "{page}");
    for (name, labels, value) in [
        ("failures_total", format!("by=\"xmpp\",code=\"{nobody}\""), 1),
        ("failures_total", "by=\"sip\",code=\"404\"".to_owned(), 1),
        ("refusals_total", "towards=\"sip\",refusal=\"not-served\"".to_owned(), 1),
        ("refusals_total", "towards=\"sip\",refusal=\"spoofed-domain\"".to_owned(), 1),
        ("refusals_total", "towards=\"sip\",refusal=\"bad-event\"".to_owned(), 1),
        ("refusals_total", "towards=\"xmpp\",refusal=\"groupchat\"".to_owned(), 1),
        ("ignored_total", "why=\"nothing to translate\"".to_owned(), 2),
        ("ignored_total", "why=\"presence that nobody watches\"".to_owned(), 1),
        ("message_seconds_count", "direction=\"sip_to_xmpp\"".to_owned(), 3),
        ("message_seconds_count", "direction=\"xmpp_to_sip\"".to_owned(), 2),
        ("xmpp_link_up", "domain=\"example.net\"".to_owned(), 1),
        ("xmpp_connects_total", "domain=\"example.net\"".to_owned(), 1),
        ("xmpp_losses_total", "domain=\"example.net\"".to_owned(), 0),
        ("xmpp_barrier_timeouts_total", "domain=\"example.net\"".to_owned(), 0),
    ] {
        assert_eq!(metric(&page, &line(name, &labels)) as u64, value, "{name} {labels}\n{page}");
    }
    assert_eq!(metric(&page, "verona_sip_rejected_total"), 1.0, "{page}");
    assert_eq!(metric(&page, "verona_panics_total"), 0.0);
    // Nothing is left.
    for shard in
        page.lines().filter(|l| l.starts_with("verona_sip_transactions{") || l.starts_with("verona_messages_waiting{"))
    {
        assert!(shard.ends_with(" 0"), "{shard}");
    }
    // Each name is explained, each counter ends in _total, and nobody is named.
    assert!(page.contains("# HELP verona_messages_total ") && page.contains("# TYPE verona_message_seconds histogram"));
    assert!(!page.contains('@') && !page.contains("romeo") && !page.contains("juliet"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_is_the_truth_about_the_stream() {
    let mut world = World::new("ready", &Settings::default()).await;
    let up = "verona_xmpp_link_up{domain=\"example.net\"}";
    let address = world.server.address();
    assert_eq!((world.program.ask("/health").0, world.program.metric(up)), (200, 1.0));

    // The server goes away: another one, somewhere else, takes its place in the world.
    world.server = World::serve("127.0.0.1:0".parse().unwrap()).await;
    let said = world.program.wait_until("/ready", |code, _| code == 503);
    assert!(said.contains("\"ready\":false") && said.contains("\"draining\":false"), "{said}");
    assert!(said.contains("\"domain\":\"example.net\",\"up\":false,\"why\":\""), "{said}");
    assert_eq!((world.program.ask("/health").0, world.program.metric(up)), (200, 0.0));
    let answer = world.romeo_says("sip:juliet@example.com", "anybody?").await;
    assert_eq!((answer.status(), answer.header("Retry-After")), (Some(503), Some("5")));
    let refused = world.program.metric("verona_refusals_total{towards=\"sip\",refusal=\"link-down\"}");
    assert_eq!(refused, 1.0);

    world.server = World::serve(address).await;
    assert!(world.server.wait_up(PATIENCE).await);
    world.program.wait_ready();
    let page = world.program.ask("/metrics").1;
    assert_eq!(metric(&page, up), 1.0);
    assert_eq!(metric(&page, "verona_xmpp_connects_total{domain=\"example.net\"}"), 2.0);
    assert_eq!(metric(&page, "verona_xmpp_losses_total{domain=\"example.net\"}"), 1.0);
    assert_eq!(world.romeo_says("sip:juliet@example.com", "here again").await.status(), Some(200));
    assert_eq!(body(&world.at_juliet().await), "here again");
}
