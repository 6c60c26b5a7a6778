//! What was promised about presence is kept, whatever happens to the process or to its disk.

use crate::rig::{PATIENCE, SILENCE, Settings, World, body};
use rehearsal::stub::Phone;
use rehearsal::wire::{SipText, parameter, uri_of};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use tokio::sync::mpsc;
use xmpp::jid::Jid;
use xmpp::stanza::{Kind, Stanza};

/// A SIP user who watches juliet.
#[derive(Debug, Clone)]
struct Watcher {
    number: usize,
    /// The gateway's tag and Contact, once it has accepted.
    dialog: Option<(String, String)>,
    cseq: u32,
}

impl Watcher {
    fn new(number: usize) -> Watcher {
        Watcher { number, dialog: None, cseq: 0 }
    }

    fn call_id(&self) -> String {
        format!("watch{}", self.number)
    }

    /// A SUBSCRIBE, within the dialog if there is one; the final response's status.
    async fn subscribe(&mut self, phone: &Phone, gateway: SocketAddr) -> u16 {
        let Watcher { number, dialog, cseq } = self;
        *cseq += 1;
        let target = dialog.as_ref().map_or("sip:juliet@example.com", |(_, contact)| contact);
        let tag = dialog.as_ref().map_or(String::new(), |(tag, _)| format!(";tag={tag}"));
        let mut request = SipText { start: format!("SUBSCRIBE {target} SIP/2.0"), headers: vec![], body: vec![] };
        for (name, value) in [
            ("From", format!("<sip:romeo{number}@example.net>;tag=t{number}")),
            ("To", format!("<sip:juliet@example.com>{tag}")),
            ("Call-ID", format!("watch{number}")),
            ("CSeq", format!("{cseq} SUBSCRIBE")),
            ("Event", "presence".to_owned()),
            ("Expires", "3600".to_owned()),
            ("Contact", format!("<sip:romeo{number}@{}>", phone.address())),
        ] {
            request.push(name, value);
        }
        let response = phone.request(gateway, request).await.unwrap();
        let status = response.status().unwrap();
        if status == 200 {
            let tag = parameter(response.header("To").unwrap(), "tag").unwrap().to_owned();
            let contact = uri_of(response.header("Contact").unwrap()).to_owned();
            let before = self.dialog.replace((tag, contact));
            if let Some((tag, _)) = before {
                assert_eq!(self.dialog.as_ref().unwrap().0, tag, "the dialog goes on under its tag");
            }
        }
        status
    }
}

/// The highest CSeq of the NOTIFYs that each dialog got, and what the last one said.
#[derive(Debug, Default)]
struct Notified(BTreeMap<String, (u32, String)>);

impl Notified {
    fn note(&mut self, request: &SipText) {
        assert!(request.start.starts_with("NOTIFY "), "{request}");
        let cseq = request.header("CSeq").unwrap().split(' ').next().unwrap().parse().unwrap();
        let state = request.header("Subscription-State").unwrap().split(';').next().unwrap().to_owned();
        let before = self.0.insert(request.header("Call-ID").unwrap().to_owned(), (cseq, state));
        assert!(before.is_none_or(|(before, _)| before < cseq), "CSeq never goes back: {request}");
    }

    /// Takes what comes to the phone until all of these dialogs are as wanted.
    async fn wait(&mut self, phone: &mut Phone, watchers: &[Watcher], wanted: impl Fn(&(u32, String)) -> bool) {
        while !watchers.iter().all(|w| self.0.get(&w.call_id()).is_some_and(&wanted)) {
            let request = phone.next(PATIENCE).await.expect("a NOTIFY");
            self.note(&request);
        }
    }
}

fn presence(from: &str, to: &str) -> Stanza {
    Stanza::presence().with_from(Jid::parse(from).unwrap()).with_to(Jid::parse(to).unwrap())
}

/// Watchers whom juliet has approved, and who know it.
async fn approved(world: &mut World, count: usize, notified: &mut Notified) -> Vec<Watcher> {
    let mut watchers: Vec<Watcher> = (0..count).map(Watcher::new).collect();
    for watcher in &mut watchers {
        assert_eq!(watcher.subscribe(&world.phone, world.sip).await, 200);
    }
    let mut left = count;
    while left > 0 {
        let stanza = world.at_juliet().await;
        if let (Kind::Presence, Some("subscribe")) = (stanza.kind, stanza.type_.as_deref()) {
            let romeo = stanza.from.as_ref().unwrap().bare().to_string();
            world.server.send(presence("juliet@example.com", &romeo).with_type("subscribed"));
            left -= 1;
        }
    }
    notified.wait(&mut world.phone, &watchers, |(_, state)| state == "active").await;
    watchers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dialogs_go_on_after_kill_9_and_nobody_is_asked_again() {
    let mut world = World::new("dialogs", &Settings::default()).await;
    let mut notified = Notified::default();
    let mut watchers = approved(&mut world, 20, &mut notified).await;
    assert_eq!(world.program.metric("verona_store_records"), 20.0);
    let before: BTreeMap<String, u32> = notified.0.iter().map(|(id, (cseq, _))| (id.clone(), *cseq)).collect();

    world.program.kill();
    let config = world.place.file();
    let run = |what: &str| {
        let program = env!("CARGO_BIN_EXE_verona");
        let out = Command::new(program).args(["store", what, "-c"]).arg(&config).output().unwrap();
        (out.status.code(), String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap())
    };
    let (code, said, complaints) = run("check");
    assert_eq!((code, complaints.as_str()), (Some(0), ""), "{said}");
    assert!(said.contains("SIP users watching XMPP users: 20\n"), "{said}");
    let (code, lines, _) = run("export");
    assert_eq!((code, lines.lines().count()), (Some(0), 20), "{lines}");
    for line in lines.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(record["sip"].as_str().unwrap().starts_with("romeo"), "{record}");
        assert_eq!((&record["xmpp"], &record["watcher"]), (&"juliet@example.com".into(), &"sip".into()), "{record}");
        assert!(record["record"].is_object(), "{record}");
    }

    world.restart();
    world.program.wait_ready();
    assert_eq!(world.program.metric("verona_store_records"), 20.0);
    for watcher in &mut watchers {
        assert_eq!(watcher.subscribe(&world.phone, world.sip).await, 200, "{watcher:?}");
    }
    // The first NOTIFY of the new process comes with its refresh at the latest.
    notified.wait(&mut world.phone, &watchers, |_| true).await;
    let after =
        |notified: &Notified| before.iter().all(|(id, cseq)| notified.0[id].0 > *cseq && notified.0[id].1 == "active");
    while !after(&notified) {
        let request = world.phone.next(PATIENCE).await.expect("a NOTIFY of each dialog");
        notified.note(&request);
    }
    while let Some(stanza) = world.server.next(SILENCE).await {
        assert_ne!(stanza.type_.as_deref(), Some("subscribe"), "nobody is asked again: {stanza:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_under_load_is_known_after_kill_9() {
    let mut world = World::new("load", &Settings::default()).await;
    let mut accepted: Vec<Watcher> = vec![];
    for round in 0..3_usize {
        let (phone, gateway) = (Arc::new(world.another_phone().await), world.sip);
        let (tell, mut told) = mpsc::unbounded_channel();
        let tasks: Vec<_> = (round * 1000..round * 1000 + 150)
            .map(|number| {
                let (phone, tell) = (Arc::clone(&phone), tell.clone());
                tokio::spawn(async move {
                    let mut watcher = Watcher::new(number);
                    if watcher.subscribe(&phone, gateway).await == 200 {
                        let _ = tell.send(watcher);
                    }
                })
            })
            .collect();
        let enough = [5, 60, 120][round];
        for _ in 0..enough {
            accepted.push(told.recv().await.unwrap());
        }
        world.program.kill();
        for task in tasks {
            task.abort();
        }
        drop(tell);
        // What was accepted between the count and the end.
        while let Some(watcher) = told.recv().await {
            accepted.push(watcher);
        }
        world.restart();
        world.program.wait_ready();
        assert!(world.program.metric("verona_store_records") >= accepted.len() as f64);
        for watcher in &mut accepted {
            assert_eq!(watcher.subscribe(&phone, world.sip).await, 200, "round {round}: {watcher:?}");
        }
    }
    assert!(accepted.len() >= 185);
    let page = world.program.ask("/metrics").1;
    assert!(page.contains("verona_panics_total 0"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_what_has_to_be_remembered_and_nothing_else() {
    let mut world = World::new("full", &Settings::default()).await;
    let works = "\"store\":{\"works\":true}";
    let mut first = Watcher::new(1);
    assert_eq!(first.subscribe(&world.phone, world.sip).await, 200);

    let pid = Pid::from_raw(i32::try_from(world.program.id()).unwrap());
    let unbounded = getrlimit(Resource::Fsize);
    let limit = |current| prlimit(pid, Resource::Fsize, Rlimit { current, ..unbounded }).unwrap();
    // No file may be written beyond its first page.
    limit(Some(4096));
    let mut second = Watcher::new(2);
    let status = second.subscribe(&world.phone, world.sip).await;
    assert!((500..600).contains(&status), "{status}: a promise that cannot be kept is not made");
    let page = world.program.wait_until("/ready", |_, page| !page.contains(works));
    assert!(page.contains("\"why\":\"File too large"), "{page}");
    assert!(page.contains("\"ready\":true"), "{page}");
    assert!(world.program.metric("verona_store_failures_total") >= 1.0);
    assert_eq!(world.program.ask("/health").0, 200);
    assert_eq!(world.romeo_says("sip:juliet@example.com", "all the same").await.status(), Some(200));
    loop {
        let stanza = world.at_juliet().await;
        if stanza.kind == Kind::Message {
            assert_eq!(body(&stanza), "all the same");
            break;
        }
    }

    limit(unbounded.current);
    world.program.wait_until("/ready", |_, page| page.contains(works));
    assert_eq!(second.subscribe(&world.phone, world.sip).await, 200);
    assert_eq!(first.subscribe(&world.phone, world.sip).await, 200);
    world.program.kill();
    world.restart();
    world.program.wait_ready();
    assert_eq!(second.subscribe(&world.phone, world.sip).await, 200);
    assert_eq!(first.subscribe(&world.phone, world.sip).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_versions_store_is_left_alone() {
    let mut world = World::new("later", &Settings::default()).await;
    world.program.kill();
    let file = world.place.folder.join("verona.redb");
    {
        let database = redb::Database::open(&file).unwrap();
        let meta: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("meta");
        let transaction = database.begin_write().unwrap();
        transaction.open_table(meta).unwrap().insert("schema", 2).unwrap();
        transaction.commit().unwrap();
    }
    for arguments in [&["run"][..], &["store", "check"], &["store", "export"]] {
        let program = env!("CARGO_BIN_EXE_verona");
        let out = Command::new(program).args(arguments).arg("-c").arg(world.place.file()).output().unwrap();
        let log = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(78), "{log}");
        assert!(log.contains("a later version wrote it: its schema is 2, this version knows 1"), "{log}");
    }
}
