//! SIGHUP: all of a new configuration or nothing of it, and no message lost over it.

use crate::rig::{PATIENCE, SILENCE, Settings, World, body, condition, message};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use xml::Element;
use xmpp::error::Condition;

fn keys(keys: &str) -> Settings {
    Settings { keys: keys.to_owned(), ..Settings::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_changed_counts_from_then_on() {
    let mut world = World::new("live", &Settings::default()).await;
    let change = |world: &World, settings: &Settings| {
        world.write(settings);
        world.hang_up();
    };
    let org = "sip:juliet@example.org";
    let nurse = || message("nurse@example.org", "romeo@example.net", "n", "my lady");

    // sip.domains, and with them who may send.
    assert_eq!(world.romeo_says(org, "before").await.status(), Some(404));
    world.server.send(nurse());
    assert_eq!(condition(&world.at_juliet().await), Some(Condition::Forbidden));
    change(&world, &Settings { domains: "\"example.com\", \"example.org\"", ..Settings::default() });
    assert_eq!(world.romeo_says(org, "after").await.status(), Some(200));
    assert_eq!(body(&world.at_juliet().await), "after");
    world.server.send(nurse());
    assert_eq!(world.at_romeo().await.text(), "my lady");
    change(&world, &Settings::default());
    assert_eq!(world.romeo_says(org, "before again").await.status(), Some(404));

    // The rate, and what Retry-After says.
    change(&world, &keys("limits.rate_per_sender = 1\nlimits.burst_per_sender = 1\nlimits.retry_after = \"7s\""));
    assert_eq!(world.romeo_says("sip:juliet@example.com", "first").await.status(), Some(200));
    let second = world.romeo_says("sip:juliet@example.com", "second").await;
    assert_eq!((second.status(), second.header("Retry-After")), (Some(480), Some("7")));
    assert_eq!(body(&world.at_juliet().await), "first");
    change(&world, &Settings::default());

    // message.rich.
    let html = Element::new("body", "http://www.w3.org/1999/xhtml")
        .with_child(Element::new("strong", "http://www.w3.org/1999/xhtml").with_text("hi"));
    let html = Element::new("html", "http://jabber.org/protocol/xhtml-im").with_child(html);
    let rich = message("juliet@example.com/balcony", "romeo@example.net", "r", "hi").with_child(html);
    world.server.send(rich.clone());
    let kind = |request: &rehearsal::wire::SipText| request.header("Content-Type").unwrap_or_default().to_owned();
    let got = world.at_romeo().await;
    assert!(kind(&got).starts_with("multipart/alternative"), "{got}");
    change(&world, &keys("message.rich = false"));
    world.server.send(rich);
    let got = world.at_romeo().await;
    assert_eq!((kind(&got).as_str(), got.text().as_str()), ("text/plain", "hi"));

    // sip.peer.
    let peer = "[[sip.peer]]\nsource = \"127.0.0.1\"\ndomains = [\"*\"]".to_owned();
    change(&world, &Settings { end: peer, ..Settings::default() });
    assert_eq!(world.romeo_says("sip:juliet@example.com", "from elsewhere").await.status(), Some(403));
    change(&world, &Settings::default());
    assert_eq!(world.romeo_says("sip:juliet@example.com", "from here").await.status(), Some(200));
    assert_eq!(body(&world.at_juliet().await), "from here");

    // log.level.
    change(&world, &keys("log.level = \"error\""));
    let before = world.program.log();
    change(&world, &Settings::default());
    let log = world.program.log();
    assert!(log.starts_with(&before) && log.matches("reloaded").count() == 8, "{log}");
    assert_eq!(world.program.metric("verona_reloads_total{result=\"applied\"}"), 9.0, "{log}");
    assert!(log.contains("reloaded changed=\"sip.domains, xmpp.component(example.net).allow_from\""), "{log}");
    assert_eq!(world.server.next(SILENCE).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_taken_over_is_refused_by_name() {
    let mut world = World::new("refused", &Settings::default()).await;
    let whole = std::fs::read_to_string(world.place.file()).unwrap();
    for (number, (from, to, named)) in [
        // A restart, and with it a key that would not need one: all or nothing.
        ("[sip]", "[limits]\nheld = 99\nretry_after = \"9s\"\n[sip]", "these keys need a restart keys=\"limits.held\""),
        ("s3cret", "another", "keys=\"xmpp.component(example.net).secret\""),
        ("example.net", "example.info", "xmpp.component(example.info)"),
        ("transport=udp", "transport=smoke", "sip.outbound_proxy"),
        ("domains =", "domain =", "sip.domain: "),
        ("\"s3cret\"", "\"s3cret", "not TOML"),
        ("\"s3cret\"", "[\"s3cret\"]", "xmpp.component[0].secret"),
    ]
    .into_iter()
    .enumerate()
    {
        std::fs::write(world.place.file(), whole.replacen(from, to, 1)).unwrap();
        world.hang_up();
        let log = world.program.log();
        let refusals: Vec<&str> = log.lines().filter(|line| line.contains("reload refused: ")).collect();
        assert!(refusals.last().is_some_and(|last| last.contains(named)), "{named}: {log}");
        assert!(!log.contains("s3cret") && !log.contains("another"), "{log}");
        assert_eq!(world.program.metric("verona_reloads_total{result=\"refused\"}"), (number + 1) as f64);
        let answer = world.romeo_says("sip:juliet@example.com", named).await;
        assert_eq!(answer.status(), Some(200));
        assert_eq!(body(&world.at_juliet().await), named);
    }
    std::fs::remove_file(world.place.file()).unwrap();
    world.hang_up();
    assert!(world.program.log().contains("the file cannot be read"), "{}", world.program.log());
    world.juliet_says("romeo@example.net", "x", "the old one goes on");
    assert_eq!(world.at_romeo().await.text(), "the old one goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_is_lost_over_it() {
    let mut world = World::new("traffic", &Settings::default()).await;
    let (sender, sip, stop) = (world.another_phone().await, world.sip, Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let traffic = tokio::spawn(async move {
        let mut sent = 0;
        while !stopped.load(Ordering::SeqCst) {
            let to = "sip:juliet@example.com";
            let answer = sender.message(sip, "sip:romeo@example.net", to, &[], &sent.to_string()).await.unwrap();
            assert_eq!(answer.status(), Some(200), "{sent}");
            sent += 1;
        }
        sent
    });
    for round in 0..12 {
        // Five pairs, each with its own order.
        for pair in 0..5 {
            world.juliet_says(&format!("romeo{pair}@example.net"), &format!("{round}.{pair}"), &round.to_string());
        }
        let other = Settings { domains: "\"example.com\", \"example.org\"", ..keys("message.rich = false") };
        world.write(&if round % 2 == 0 { other } else { Settings::default() });
        world.hang_up();
    }
    stop.store(true, Ordering::SeqCst);
    let sent = traffic.await.unwrap();
    for n in 0..sent {
        assert_eq!(body(&world.at_juliet().await), n.to_string());
    }
    let mut next = [0; 5];
    for _ in 0..12 * 5 {
        let got = world.phone.next(PATIENCE).await.unwrap();
        let pair = got.addressee().unwrap().strip_prefix("romeo").unwrap().parse::<usize>().unwrap();
        assert_eq!(got.text(), next[pair].to_string());
        next[pair] += 1;
    }
    assert_eq!(next, [12; 5]);
    assert_eq!(world.program.metric("verona_reloads_total{result=\"applied\"}"), 12.0);
    assert_eq!((world.server.next(SILENCE).await, world.phone.next(SILENCE).await), (None, None));
}
