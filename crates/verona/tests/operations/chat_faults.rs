//! Chat sessions when connections break, messages cross, and processes die: no half message, both sides know that it is over, nothing hangs,
//! and nothing stays in the store.

use crate::caller::{Call, Caller, Line, OURS, chunk, connects, ok, send, waits_at};
use crate::rig::{NOTHING_OPEN, PATIENCE, Place, SILENCE, Settings, World, body, condition, message};
use rehearsal::wire::SipText;
use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::time::timeout;
use xml::Element;
use xmpp::error::Condition;
use xmpp::ext::chatstates::ChatState;
use xmpp::ns;
use xmpp::stanza::Stanza;

pub(crate) const JULIET: &str = "sip:juliet@example.com";

/// What the issue wants: both sides know within this time.
const KNOWN: Duration = Duration::from_secs(60);

/// A world in which all that goes to SIP goes to romeo, who takes nothing but what the test takes.
pub(crate) async fn world(name: &str, keys: &str) -> (World, Caller) {
    let mut romeo = Caller::bind("sip:romeo@example.net", ([127, 0, 0, 1], 9).into()).await;
    let world = World::new(name, &settings(&romeo, keys)).await;
    romeo.gateway = world.sip;
    (world, romeo)
}

/// Everything that can be a session is one, and goes to romeo.
pub(crate) fn settings(romeo: &Caller, keys: &str) -> Settings {
    let drain = if keys.contains("limits.drain") { "" } else { "limits.drain = \"3s\"\n" };
    let keys = format!(
        "msrp.listen = [\"tcp:@GATEWAY@:2855\"]\nsecurity.allow_networks = [\"127.0.0.0/8\"]\nchat.mode = \"session\"\n\
         {drain}{keys}"
    );
    Settings { keys, proxy: Some(romeo.address()), ..Settings::default() }
}

/// A session that romeo has opened, and in which he has said this.
pub(crate) async fn opened(world: &mut World, romeo: &mut Caller, id: &str, text: &str) -> (Call, Line) {
    let call = romeo.open(id, JULIET, &connects()).await.expect("a session");
    let mut line = call.connect().await;
    line.say(send(&call.path, OURS, &format!("{id}0first"), text)).await;
    assert_eq!(body(&world.at_juliet().await), text);
    assert_eq!(line.code(&format!("{id}0first")).await, 200);
    (call, line)
}

/// Juliet says something in a thread.
pub(crate) fn says(world: &World, to: &str, thread: &str, id: &str, text: &str) {
    let said = message("juliet@example.com/balcony", to, id, text).with_type("chat");
    world.server.send(said.with_child(Element::new("thread", ns::CLIENT).with_text(thread)));
}

/// The thread of a stanza that says `gone`.
pub(crate) fn gone(stanza: &Stanza) -> Option<String> {
    stanza.elements().find(|e| ChatState::parse(e) == Some(ChatState::Gone))?;
    Some(stanza.child("thread", ns::CLIENT)?.text().into_owned())
}

/// The next stanza is the end of this chat.
pub(crate) async fn is_gone(world: &mut World, call: &Call) {
    let stanza = world.at_juliet().await;
    assert_eq!(gone(&stanza), Some(call.id.clone()), "{stanza:?}");
}

/// Nobody has a session any more, and nothing is on its way.
pub(crate) async fn nothing_is_left(world: &World) {
    world.program.wait_until("/sessions", |_, page| page == NOTHING_OPEN);
    world.program.wait_until("/metrics", |_, page| {
        page.contains("\nverona_store_records 0\n") && page.contains("\nverona_store_queue 0\n")
    });
}

/// RFC 4975 §5.4: a session fails with its connection. Of a message of which the end is missing nothing is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_message_is_none() {
    let (mut world, mut romeo) = world("half", "").await;
    let (first, last) = ("I take thee ".repeat(200), "at thy word".repeat(200));
    let range = |from: usize, to: usize| format!("{from}-{to}/{}", first.len() + last.len());
    let begin = |call: &Call| chunk(&call.path, OURS, "half1chunk", "half", &range(1, first.len()), &first, '+');
    let end = |call: &Call| {
        let range = range(first.len() + 1, first.len() + last.len());
        chunk(&call.path, OURS, "half2chunk", "half", &range, &last, '$')
    };
    // In the second of two chunks; behind the first; in the only one; in the head.
    for (n, cut) in [(0, 1500), (1, 0)] {
        let (call, mut line) = opened(&mut world, &mut romeo, &format!("mid-chunk-{n}"), "one").await;
        line.say(begin(&call)).await;
        assert_eq!(line.code("half1chunk").await, 200);
        line.say(&end(&call)[..cut]).await;
        drop(line);
        romeo.hung_up(&call).await;
        is_gone(&mut world, &call).await;
    }
    for (n, cut) in [(2, 1000), (3, 40), (4, 5)] {
        let (call, mut line) = opened(&mut world, &mut romeo, &format!("mid-chunk-{n}"), "one").await;
        line.say(&send(&call.path, OURS, "half3chunk", &last)[..cut]).await;
        drop(line);
        romeo.hung_up(&call).await;
        is_gone(&mut world, &call).await;
    }
    // Aborted, whole chunks and all, and the session goes on.
    let (mut call, mut line) = opened(&mut world, &mut romeo, "aborted", "one").await;
    line.say(begin(&call)).await;
    line.say(end(&call).replace("half2chunk$", "half2chunk#")).await;
    assert_eq!((line.code("half1chunk").await, line.code("half2chunk").await), (200, 200));
    line.say(send(&call.path, OURS, "after1abort", "two")).await;
    assert_eq!((body(&world.at_juliet().await), line.code("after1abort").await), ("two".to_owned(), 200));
    assert_eq!(romeo.ask(&mut call, "BYE").await, 200);
    is_gone(&mut world, &call).await;
    assert_eq!(world.server.next(SILENCE).await, None);
    nothing_is_left(&world).await;
}

/// The same in the other direction: who wrote what the phone has read half of is told, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_a_phone_has_read_half_of_comes_back() {
    let (mut world, mut romeo) = world("half-out", "").await;
    says(&world, "romeo@example.net", "t1", "j1", "hail");
    let invite = romeo.request("INVITE", "t1").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let call = romeo.take(&invite, &waits_at(listener.local_addr().unwrap())).await;
    let mut line = Line::new(timeout(PATIENCE, listener.accept()).await.unwrap().unwrap().0);
    assert_eq!(line.hear().await, "hail");
    says(&world, "romeo@example.net", "t1", "j2", &"a long story ".repeat(1000));
    // The first chunk is answered, the second is not read.
    let frame = line.next().await.unwrap();
    assert!(frame.contains("Byte-Range: 1-"), "{frame}");
    line.say(ok(&frame)).await;
    drop((line, listener));
    romeo.hung_up(&call).await;
    let mut told = Vec::new();
    for _ in 0..2 {
        let stanza = world.at_juliet().await;
        told.push((gone(&stanza), condition(&stanza), stanza.id.clone()));
    }
    told.sort_by_key(|(gone, ..)| gone.is_some());
    assert_eq!((told[0].1, told[0].2.as_deref()), (Some(Condition::RemoteServerTimeout), Some("j2")), "{told:?}");
    assert_eq!(told[1].0.as_deref(), Some("t1"), "{told:?}");
    assert_eq!(world.server.next(SILENCE).await, None, "no more than once");
    nothing_is_left(&world).await;
}

/// The XMPP server goes and comes while sessions are open: what is said meanwhile is refused, and then all goes on in the same session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_outlive_the_xmpp_server() {
    let (mut world, mut romeo) = world("server-away", "").await;
    let (mut call, mut line) = opened(&mut world, &mut romeo, "server-away", "before").await;
    // One is on its way when the server dies.
    world.server.hold(true);
    line.say(send(&call.path, OURS, "held1message", "held")).await;
    assert!(world.server.wait_held(1, PATIENCE).await);
    let address = world.server.address();
    drop(std::mem::replace(&mut world.server, World::serve(([127, 0, 0, 1], 0).into()).await));
    assert_eq!(line.code("held1message").await, 408, "nobody knows whether it arrived");
    line.say(send(&call.path, OURS, "meanwhile01", "meanwhile")).await;
    assert_eq!(line.code("meanwhile01").await, 408);
    let refused = romeo.open("too-early", JULIET, &connects()).await.expect_err("no session without a server");
    assert!(matches!(refused.status(), Some(480 | 503)), "{refused}");
    assert!(refused.header("Retry-After").is_some(), "{refused}");
    world.server = World::serve(address).await;
    world.program.wait_ready();
    line.say(send(&call.path, OURS, "after1again", "after")).await;
    assert_eq!(line.code("after1again").await, 200);
    assert_eq!(body(&world.at_juliet().await), "after");
    says(&world, "romeo@example.net", "server-away", "j1", "yes");
    assert_eq!(line.hear().await, "yes");
    assert_eq!(romeo.ask(&mut call, "BYE").await, 200);
    is_gone(&mut world, &call).await;
    nothing_is_left(&world).await;
}

/// Sessions of both kinds and one that is only asked for, with a message waiting in it.
async fn many(world: &mut World, romeo: &mut Caller) -> (Vec<(Call, Line)>, SipText) {
    let mut calls = Vec::new();
    for n in 0..5 {
        calls.push(opened(world, romeo, &format!("from-him-{n}"), "hail").await);
    }
    for n in 0..2 {
        let thread = format!("from-her-{n}");
        says(world, "mercutio@example.net", &thread, &format!("m{n}"), "hail");
        let invite = romeo.request("INVITE", &thread).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let call = romeo.take(&invite, &waits_at(listener.local_addr().unwrap())).await;
        let mut line = Line::new(timeout(PATIENCE, listener.accept()).await.unwrap().unwrap().0);
        assert_eq!(line.hear().await, "hail");
        calls.push((call, line));
    }
    for n in 0..2 {
        says(world, "tybalt@example.net", "waits", &format!("w{n}"), "peace?");
    }
    let invite = romeo.request("INVITE", "waits").await;
    romeo.reply(&invite, 180, "").await;
    world.program.wait_until("/sessions", |_, page| page.contains("\"waiting\":2"));
    world.program.wait_until("/metrics", |_, page| page.contains("\nverona_store_records 8\n"));
    (calls, invite)
}

/// All of them are over, and both sides are told once: `gone` for what stood, an error for each message that waited.
async fn all_are_told(world: &mut World, romeo: &mut Caller, calls: &[(Call, Line)]) {
    let begun = Instant::now();
    for (call, _) in calls {
        romeo.hung_up(call).await;
    }
    let (mut threads, mut errors) = (Vec::new(), Vec::new());
    for _ in 0..calls.len() + 2 {
        let stanza = world.at_juliet().await;
        match (gone(&stanza), condition(&stanza)) {
            (Some(thread), None) => threads.push(thread),
            (None, Some(_)) => errors.push(stanza.id.clone().unwrap()),
            _ => panic!("{stanza:?}"),
        }
    }
    threads.sort();
    errors.sort();
    let mut expected: Vec<_> = calls.iter().map(|(call, _)| call.id.clone()).collect();
    expected.sort();
    assert_eq!(threads, expected);
    assert_eq!(errors, ["w0", "w1"]);
    assert!(begun.elapsed() < KNOWN, "{:?}", begun.elapsed());
}

/// The store's records, as an operator reads them.
pub(crate) fn records(place: &Place) -> usize {
    let mut verona = Command::new(env!("CARGO_BIN_EXE_verona"));
    let out = verona.args(["store", "export", "-c"]).arg(place.file()).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().lines().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_under_sessions() {
    let (mut world, mut romeo) = world("kill-sessions", "").await;
    let (mut calls, ringing) = many(&mut world, &mut romeo).await;
    world.program.kill();
    for (_, line) in &mut calls {
        assert!(line.is_closed(PATIENCE).await);
    }
    assert_eq!(records(&world.place), 8);
    // Of what the gateway never heard nothing is known afterwards.
    romeo.forget().await;
    world.restart();
    all_are_told(&mut world, &mut romeo, &calls).await;
    world.program.wait_ready();
    nothing_is_left(&world).await;

    // Whatever is said of what is over is answered so.
    let (call, _) = &mut calls[0];
    for method in ["BYE", "INVITE", "UPDATE"] {
        assert_eq!(romeo.ask(call, method).await, 481, "{method}");
    }
    let mut line = call.connect().await;
    line.say(send(&call.path, OURS, "after1death", "anybody?")).await;
    assert_eq!(line.code("after1death").await, 481);
    // The phone that rang is answered now: nobody asks for that any more, and nothing comes of it.
    let answer = romeo.reply(&ringing, 200, &connects()).await;
    let mut late = romeo.invited(&ringing, &answer);
    assert_eq!(romeo.ask(&mut late, "BYE").await, 481);
    assert_eq!(world.server.next(SILENCE).await, None);
    // And then all is as ever.
    let (mut call, _line) = opened(&mut world, &mut romeo, "as-ever", "hail").await;
    assert_eq!(romeo.ask(&mut call, "BYE").await, 200);
    is_gone(&mut world, &call).await;
    nothing_is_left(&world).await;
    // Again, with nothing open: nobody is told anything.
    romeo.forget().await;
    world.program.kill();
    assert_eq!(records(&world.place), 0);
    world.restart();
    world.program.wait_ready();
    assert_eq!(world.server.next(SILENCE).await, None);
    assert!(!romeo.sees(SILENCE, |_| true).await);
}

/// Killed again and again, before those who are to know can have been told: they are told in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_over_and_over() {
    let (mut world, mut romeo) = world("kill-again", "").await;
    let (calls, _) = many(&mut world, &mut romeo).await;
    world.program.kill();
    romeo.forget().await;
    let address = world.server.address();
    drop(std::mem::replace(&mut world.server, World::serve(([127, 0, 0, 1], 0).into()).await));
    for _ in 0..3 {
        world.restart();
        world.program.wait_until("/metrics", |_, page| page.contains("\nverona_store_records 8\n"));
        world.program.kill();
        assert_eq!(records(&world.place), 8);
    }
    assert!(!romeo.sees(Duration::ZERO, |_| true).await, "nobody is told half of it");
    world.server = World::serve(address).await;
    world.restart();
    all_are_told(&mut world, &mut romeo, &calls).await;
    nothing_is_left(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_sessions() {
    let (mut world, mut romeo) = world("term-sessions", "").await;
    let (mut calls, ringing) = many(&mut world, &mut romeo).await;
    world.program.signal("-TERM");
    let cancelled = async {
        let cancel = romeo.request("CANCEL", "waits").await;
        romeo.reply(&cancel, 200, "").await;
        romeo.reply(&ringing, 487, "").await;
        romeo
    };
    let mut romeo = cancelled.await;
    all_are_told(&mut world, &mut romeo, &calls).await;
    for (_, line) in &mut calls {
        assert!(line.is_closed(PATIENCE).await);
    }
    let World { program, place, .. } = world;
    let (code, log) = program.end();
    assert_eq!((code, records(&place)), (Some(0), 0), "{log}");
}

/// Another configuration, and the sessions go on; what is changed of `[chat]` holds for them, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_under_sessions() {
    let (mut world, mut romeo) = world("hup-sessions", "").await;
    let (call, mut line) = opened(&mut world, &mut romeo, "hup", "one").await;
    let changed = settings(&romeo, "chat.chat_states = false\nchat.sessions_per_pair = 1\nmsrp.max_size = 4000");
    world.write(&changed);
    world.hang_up();
    line.say(send(&call.path, OURS, "second1word", "two")).await;
    assert_eq!((body(&world.at_juliet().await), line.code("second1word").await), ("two".to_owned(), 200));
    line.say(send(&call.path, OURS, "third1word0", &"x".repeat(5000))).await;
    assert_eq!(line.code("third1word0").await, 413);
    let refused = romeo.open("one-too-many", JULIET, &connects()).await.expect_err("one session of a pair");
    assert_eq!(refused.status(), Some(486), "{refused}");
    let idle = settings(&romeo, "chat.idle = \"2s\"");
    world.write(&idle);
    world.hang_up();
    let begun = Instant::now();
    romeo.hung_up(&call).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    is_gone(&mut world, &call).await;
    assert_eq!(line.next().await, None);
    nothing_is_left(&world).await;
}

/// So many that not all can be told at once: all are told in the time that there is for it.
async fn thousands(name: &str, end: impl FnOnce(&mut World)) -> World {
    const MANY: usize = 3000;
    let keys = "chat.sessions_per_pair = 1000\nlimits.write_bytes = 65536\nlimits.drain = \"30s\"";
    let (mut world, mut romeo) = world(name, keys).await;
    for n in 0..MANY {
        let to = format!("sip:u{}@example.com", n % 100);
        romeo.open(&format!("many-{n}"), &to, &connects()).await.expect("a session");
    }
    world.program.wait_until("/metrics", |_, page| page.contains(&format!("\nverona_store_records {MANY}\n")));
    romeo.forget().await;
    end(&mut world);
    let begun = Instant::now();
    let (mut byes, mut threads) = (BTreeSet::new(), BTreeSet::new());
    let killed = name.starts_with("kill");
    // Of a session in which nothing was said an XMPP user knows nothing; only after a restart that is not known any more.
    while byes.len() < MANY || killed && threads.len() < MANY {
        assert!(begun.elapsed() < KNOWN, "{} BYEs, {} users told", byes.len(), threads.len());
        while let Some(bye) = romeo.next(Duration::from_millis(5)).await {
            assert!(bye.start.starts_with("BYE "), "{bye}");
            romeo.reply(&bye, 200, "").await;
            assert!(byes.insert(bye.header("Call-ID").unwrap().to_owned()), "twice: {bye}");
        }
        while let Some(stanza) = world.server.next(Duration::from_millis(5)).await {
            assert!(threads.insert(gone(&stanza).expect("gone")), "twice: {stanza:?}");
        }
    }
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_under_thousands_of_sessions() {
    let kill = |world: &mut World| {
        world.program.kill();
        world.restart();
    };
    nothing_is_left(&thousands("kill-many", kill).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_thousands_of_sessions() {
    let World { program, place, .. } = thousands("term-many", |world| world.program.signal("-TERM")).await;
    let (code, log) = program.end();
    assert_eq!((code, records(&place)), (Some(0), 0), "{log}");
}
