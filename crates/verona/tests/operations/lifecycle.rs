//! The end: what is under way comes to its own, and nothing new begins.

use crate::rig::{PATIENCE, Program, Settings, World, body, condition, metric};
use rehearsal::stub::PhoneAnswer;
use rehearsal::wire::SipText;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use xmpp::error::Condition;

/// A phone that says nothing until it may speak.
fn silent(speaks: &Arc<AtomicBool>) -> impl Fn(&SipText) -> PhoneAnswer + Send + Sync + use<> {
    let speaks = Arc::clone(speaks);
    move |_| if speaks.load(Ordering::SeqCst) { (200, "OK".to_owned()) } else { (0, String::new()) }
}

/// How many messages the program says are under way.
fn waiting(program: &Program) -> f64 {
    let page = program.ask("/metrics").1;
    (0..8).map(|shard| metric(&page, &format!("verona_messages_waiting{{shard=\"{shard}\"}}"))).sum()
}

fn wait_for_waiting(program: &Program, messages: f64) {
    program.wait_until("/metrics", |_, _| (waiting(program) - messages).abs() < 0.5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_waits_for_both_sides_and_takes_nothing_new() {
    let speaks = Arc::new(AtomicBool::new(false));
    let settings = Settings { end: "t1 = \"100ms\"".to_owned(), ..Settings::default() };
    let mut world = World::with("sigterm", &settings, silent(&speaks)).await;
    // One in flight, one behind it; one from SIP that the XMPP server has read and not done.
    world.juliet_says("romeo@example.net", "one", "in flight");
    world.juliet_says("romeo@example.net", "two", "behind it");
    wait_for_waiting(&world.program, 2.0);
    world.server.hold(true);
    let (sender, sip) = (world.another_phone().await, world.sip);
    let held = tokio::spawn(async move {
        sender.message(sip, "sip:romeo@example.net", "sip:juliet@example.com", &[], "held").await.unwrap()
    });
    assert!(world.server.wait_held(1, PATIENCE).await);
    assert!(world.place.folder.join("pid").exists());

    world.program.signal("-TERM");
    world.program.wait_for("STOPPING=1");
    let body_of_ready = world.program.wait_until("/ready", |_, body| body.contains("\"draining\":true"));
    assert!(body_of_ready.contains("\"ready\":false") && body_of_ready.contains("\"up\":true"), "{body_of_ready}");
    assert_eq!(world.program.ask("/ready").0, 503);
    assert_eq!(world.program.ask("/health").0, 200, "it is alive");

    // New ones are refused meanwhile, on either side.
    let late = world.romeo_says("sip:juliet@example.com", "too late").await;
    assert_eq!((late.status(), late.header("Retry-After")), (Some(503), Some("5")));
    world.juliet_says("romeo@example.net", "three", "too late");
    assert!(world.server.wait_held(2, PATIENCE).await, "its error");
    assert!(!held.is_finished());

    speaks.store(true, Ordering::SeqCst);
    world.server.hold(false);
    assert_eq!(held.await.unwrap().status(), Some(200));
    assert_eq!(body(&world.at_juliet().await), "held");
    let refused = world.at_juliet().await;
    assert_eq!((refused.id.as_deref(), condition(&refused)), (Some("three"), Some(Condition::ResourceConstraint)));
    for text in ["in flight", "behind it"] {
        assert_eq!(world.at_romeo().await.text(), text);
    }
    let World { program, mut server, mut phone, place, .. } = world;
    let (code, log) = program.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("stopped left=0"), "{log}");
    assert!(!place.folder.join("pid").exists());
    assert_eq!(server.next(std::time::Duration::ZERO).await, None);
    assert_eq!(phone.next(std::time::Duration::ZERO).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_end_of_the_drain_everybody_is_told() {
    let settings = Settings { keys: "limits.drain = \"500ms\"".to_owned(), ..Settings::default() };
    let mut world = World::with("drain", &settings, silent(&Arc::default())).await;
    world.juliet_says("romeo@example.net", "one", "in flight");
    world.juliet_says("romeo@example.net", "two", "behind it");
    wait_for_waiting(&world.program, 2.0);
    world.server.hold(true);
    let (sender, sip) = (world.another_phone().await, world.sip);
    let held = tokio::spawn(async move {
        sender.message(sip, "sip:romeo@example.net", "sip:juliet@example.com", &[], "held").await.unwrap()
    });
    assert!(world.server.wait_held(1, PATIENCE).await);
    world.program.signal("-TERM");
    let answer = held.await.unwrap();
    assert_eq!((answer.status(), answer.header("Retry-After")), (Some(503), Some("5")));
    world.server.hold(false);
    // It was answered with 503, and it arrives: whether it would was not known any more.
    assert_eq!(body(&world.at_juliet().await), "held");
    for id in ["one", "two"] {
        let error = world.at_juliet().await;
        assert_eq!((error.id.as_deref(), condition(&error)), (Some(id), Some(Condition::RemoteServerTimeout)));
    }
    let (code, log) = world.program.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("stopped left=3"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_one_ends_and_leaves_the_first_alone() {
    let mut world = World::new("second", &Settings::default()).await;
    let config = std::fs::read_to_string(world.place.file()).unwrap();
    // The same SIP sockets, another admin interface: it gets further.
    let other = world.place.folder.join("other.toml");
    let admin = world.program.admin;
    std::fs::write(&other, config.replace(&format!("admin.listen = \"{admin}\""), "")).unwrap();
    let pid = world.place.folder.join("pid");
    for (file, what) in [
        (world.place.file(), format!("admin.listen {admin}: Address already in use")),
        (other, format!("binding udp:{}: Address already in use", world.sip)),
    ] {
        let second = Command::new(env!("CARGO_BIN_EXE_verona"))
            .args(["run".as_ref(), "-c".as_ref(), file.as_os_str(), "--pid-file".as_ref(), pid.as_os_str()])
            .output()
            .unwrap();
        let said = String::from_utf8(second.stderr).unwrap();
        assert_eq!(second.status.code(), Some(1), "{said}");
        assert!(said.contains(&what), "{said}");
        assert_eq!(std::fs::read_to_string(&pid).unwrap(), format!("{}\n", world.program.id()));
    }
    assert_eq!(world.romeo_says("sip:juliet@example.com", "still here").await.status(), Some(200));
    assert_eq!(body(&world.at_juliet().await), "still here");
    world.program.signal("-INT");
    assert_eq!(world.program.end().0, Some(0));
    assert!(!pid.exists());
}
