//! What survives a restart, as the operator sees it: the file, the commands, and a store that cannot be used.

use crate::rig::{Settings, World, body};
use std::path::Path;
use std::process::{Command, Output};

fn verona(arguments: &[&str], config: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_verona")).args(arguments).arg("-c").arg(config).output().unwrap()
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_is_a_file_beside_the_configuration_and_open_once() {
    let mut world = World::new("store", &Settings::default()).await;
    let (file, config) = (world.place.folder.join("verona.redb"), world.place.file());
    assert!(file.is_file());
    let page = world.program.ask("/ready").1;
    assert!(page.contains("\"store\":{\"works\":true}"), "{page}");
    assert_eq!(world.program.metric("verona_store_records"), 0.0);

    // While the gateway runs the commands keep out, and so does a second gateway.
    for arguments in [["store", "check"], ["store", "export"], ["store", "import"]] {
        let out = verona(&arguments, &config);
        assert_eq!(out.status.code(), Some(1), "{arguments:?}");
        assert!(
            said(&out.stderr).contains("another process has it open: stop the gateway first"),
            "{}",
            said(&out.stderr)
        );
    }
    let text = std::fs::read_to_string(&config).unwrap();
    let elsewhere = world.place.folder.join("second.toml");
    std::fs::write(&elsewhere, text.replace(":5060", ":5061").replace(":8480", ":8481")).unwrap();
    let out = verona(&["run"], &elsewhere);
    let log = said(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "it may pass: {log}");
    assert!(log.contains("opening the store redb:") && log.contains("another process has it open"), "{log}");

    // After kill -9 it opens, and the commands show what is there.
    world.program.kill();
    let out = verona(&["store", "check"], &config);
    let shown = said(&out.stdout);
    assert_eq!(out.status.code(), Some(0), "{shown}{}", said(&out.stderr));
    assert!(shown.contains("verona.redb: schema 1, undamaged"), "{shown}");
    assert!(shown.contains("SIP users watching XMPP users: 0"), "{shown}");
    assert_eq!((verona(&["store", "export"], &config).stdout.len()), 0);
    world.restart();
    world.program.wait_ready();
    assert_eq!(world.romeo_says("sip:juliet@example.com", "still here").await.status(), Some(200));
    assert_eq!(body(&world.at_juliet().await), "still here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_be_used_is_a_fault_of_the_configuration() {
    let mut world = World::new("unusable", &Settings::default()).await;
    world.program.signal("-TERM");
    let config = world.place.file();
    let until = std::time::Instant::now() + crate::rig::PATIENCE;
    while verona(&["store", "check"], &config).status.code() != Some(0) {
        assert!(std::time::Instant::now() < until, "it does not end");
    }
    let file = world.place.folder.join("verona.redb");
    std::fs::write(&file, "this is somebody's letter, not a database").unwrap();
    for arguments in [&["run"][..], &["store", "check"], &["store", "export"], &["store", "import"]] {
        let out = verona(arguments, &config);
        let log = said(&out.stderr);
        assert_eq!(out.status.code(), Some(78), "{log}");
        assert!(log.contains("no store, or damaged"), "{log}");
    }
    let out = verona(&["check", "--connect"], &config);
    assert_eq!(out.status.code(), Some(1));
    assert!(said(&out.stderr).contains("store redb:"), "{}", said(&out.stderr));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "this is somebody's letter, not a database");

    // Nothing there: the commands make nothing, the gateway does.
    std::fs::remove_file(&file).unwrap();
    for arguments in [["store", "check"], ["store", "export"]] {
        let out = verona(&arguments, &config);
        assert_eq!(out.status.code(), Some(1));
        assert!(said(&out.stderr).contains("there is no store"), "{}", said(&out.stderr));
    }
    assert_eq!(verona(&["check"], &config).status.code(), Some(0));
    assert!(!file.exists());
    world.restart();
    assert!(file.is_file());
}

#[test]
fn a_place_that_cannot_be_written_is_named_before_it_is_needed() {
    let place = crate::rig::Place::new("unwritable");
    let text = |url: &str| {
        format!(
            "[[xmpp.component]]\ndomain = \"example.net\"\nserver = \"127.0.0.1:5347\"\nsecret = \"s\"\n[sip]\n\
             domains = [\"example.com\"]\nlisten = [\"udp:127.0.0.1:5060\"]\noutbound_proxy = \"sip:127.0.0.1:5080;lr\"\n\
             [store]\nurl = \"{url}\"\n"
        )
    };
    for (url, problem) in [
        ("redb:verona.toml/v.redb", "is not a folder"),
        ("redb:.", "not a file"),
        ("redb:new/folders/v.redb", ""),
        ("memory:", ""),
    ] {
        std::fs::write(place.file(), text(url)).unwrap();
        let out = verona(&["check"], &place.file());
        assert_eq!(out.status.code(), Some(0), "{url}");
        let warned = said(&out.stderr).lines().any(|l| l.starts_with("warning: store.url: ") && l.contains(problem));
        assert_eq!(warned, !problem.is_empty(), "{url}: {}", said(&out.stderr));
        assert_eq!(std::fs::read_dir(&place.folder).unwrap().count(), 1, "{url}: nothing is made");
    }
    let out = verona(&["store", "export"], &place.file());
    assert_eq!(out.status.code(), Some(1));
    assert!(said(&out.stderr).contains("nothing of it is on disk"), "{}", said(&out.stderr));
}
