//! The store in a process of its own that is killed, or whose file may not grow: what it said to be on disk is there afterwards.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use verona::config;
use verona::store::{Engine, Write, open};

/// Where the child finds its file, and what it is to do.
const FILE: &str = "VERONA_STORE_CHILD";
const TASK: &str = "VERONA_STORE_TASK";

/// Records in each commit.
const PART: u64 = 7;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("verona-store-child-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("verona.redb")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn engine(file: &Path) -> Box<dyn Engine> {
    open(&config::Store::Redb(file.to_owned())).unwrap()
}

/// What each key holds: the number of the commit that wrote it last.
fn found(engine: &mut dyn Engine) -> BTreeMap<u64, u64> {
    let mut found = BTreeMap::new();
    let number = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_start_matches('0').parse().unwrap_or(0);
    engine
        .load(&mut |key, value| {
            found.insert(number(key), number(&value[..20]));
            true
        })
        .unwrap();
    found
}

/// Commit `number`: some records that are new, and some that were there.
fn part(number: u64) -> Vec<Write> {
    let keys = (0..PART).map(|n| if n % 2 == 0 { number * PART + n } else { n });
    let value = format!("{number:020}{}", "v".repeat(usize::try_from(number * 37 % 3000).unwrap()));
    keys.map(|key| Write { key: format!("{key:020}").into(), value: Some(value.clone().into()) }).collect()
}

/// What must be there after commit `last`, and nothing else.
fn expected(last: u64) -> BTreeMap<u64, u64> {
    let mut expected = BTreeMap::new();
    for number in 1..=last {
        for write in part(number) {
            let key = String::from_utf8(write.key).unwrap().trim_start_matches('0').parse().unwrap_or(0);
            expected.insert(key, number);
        }
    }
    expected
}

fn tell(what: &str) {
    let mut out = io::stdout();
    writeln!(out, "\nchild: {what}").unwrap();
}

/// The child: this test, started by the others with a file and a task. By itself it does a little of its work.
#[test]
fn the_child() {
    let file = std::env::var_os(FILE).map(PathBuf::from);
    let folder = file.is_none().then(|| Folder::new("itself"));
    let file = file.unwrap_or_else(|| folder.as_ref().unwrap().file());
    if std::env::var(TASK).as_deref() == Ok("make") {
        return make(&file);
    }
    let mut store = engine(&file);
    let begin = found(&mut *store).values().max().copied().unwrap_or(0) + 1;
    match std::env::var(TASK).as_deref() {
        Ok("grow") => grow(&mut *store),
        task => {
            for number in begin..if task.is_ok() { u64::MAX } else { 20 } {
                store.commit(&part(number)).unwrap();
                tell(&format!("committed {number}"));
            }
            drop(store);
            assert_eq!(found(&mut *engine(&file)), expected(19));
        }
    }
}

/// Has no room for a new store; then it has.
fn make(file: &Path) {
    let unbounded = getrlimit(Resource::Fsize);
    for pages in [1, 10, 100] {
        setrlimit(Resource::Fsize, Rlimit { current: Some(pages * 4096), ..unbounded }).unwrap();
        let refused = open(&config::Store::Redb(file.to_owned())).map(drop).unwrap_err();
        assert!(refused.may_pass() && !file.exists(), "{refused}");
        tell(&format!("refused {refused}"));
    }
    setrlimit(Resource::Fsize, unbounded).unwrap();
    engine(file).commit(&part(1)).unwrap();
    tell("made");
}

/// Writes until the file may not grow any more, waits for that to change, and goes on.
fn grow(store: &mut dyn Engine) {
    let unbounded = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(4 << 20), ..unbounded }).unwrap();
    let mut number = 0;
    let failed = loop {
        number += 1;
        assert!(number < 100_000, "the file grows in spite of its limit");
        match store.commit(&part(number)) {
            Ok(()) => {}
            Err(e) => break e,
        }
    };
    tell(&format!("refused {number}: {failed}"));
    assert!(failed.may_pass(), "{failed}");
    // A little change may find room: what matters is that whatever it says is the truth.
    let works = store.reopen().is_ok() && store.commit(&part(number)).is_ok();
    tell(&format!("works {works}"));
    setrlimit(Resource::Fsize, unbounded).unwrap();
    if !works {
        store.reopen().unwrap();
        store.commit(&part(number)).unwrap();
    }
    for more in 1..=200 {
        store.commit(&part(number + more)).unwrap();
    }
    tell(&format!("committed {}", number + 200));
}

struct Running {
    child: Child,
    lines: io::Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(file: &Path, task: &str) -> Running {
        // A signal that is ignored here is ignored there: the daemon sees to that by itself.
        let mut child = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "the_child", "--nocapture"])
            .env(FILE, file)
            .env(TASK, task)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Running { child, lines }
    }

    /// The next word of the child's.
    fn next(&mut self) -> Option<String> {
        self.lines.by_ref().map_while(Result::ok).find_map(|line| line.strip_prefix("child: ").map(str::to_owned))
    }
}

#[test]
fn kill_9_costs_nothing_that_was_committed() {
    let folder = Folder::new("kill");
    let mut last = 0;
    for round in 0..12_u64 {
        let mut running = Running::start(&folder.file(), "write");
        let committed = |word: String| word.strip_prefix("committed ").unwrap().parse::<u64>().unwrap();
        for _ in 0..round * 5 % 23 + 1 {
            last = committed(running.next().unwrap());
        }
        // Anywhere in a commit, and between two of them.
        std::thread::sleep(Duration::from_micros(round * round * 137));
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        while let Some(word) = running.next() {
            last = committed(word);
        }
        let found = found(&mut *engine(&folder.file()));
        // Of the commit that it was in all is there, or nothing.
        assert!(found == expected(last) || found == expected(last + 1), "round {round}: not what commit {last} left");
        last = found.values().max().copied().unwrap();
    }
}

#[test]
fn a_store_that_there_was_no_room_for_is_made_later() {
    let folder = Folder::new("make");
    let mut running = Running::start(&folder.file(), "make");
    for _ in 0..3 {
        assert_eq!(running.next().as_deref(), Some("refused File too large (os error 27)"));
    }
    assert_eq!(running.next().as_deref(), Some("made"));
    assert!(running.child.wait().unwrap().success());
    assert!(found(&mut *engine(&folder.file())) == expected(1));
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_file_that_may_not_grow_refuses_and_recovers() {
    let folder = Folder::new("grow");
    let mut running = Running::start(&folder.file(), "grow");
    let refused = running.next().unwrap();
    assert!(refused.starts_with("refused ") && refused.contains("File too large"), "{refused}");
    assert!(running.next().unwrap().starts_with("works "));
    let last: u64 = running.next().unwrap().strip_prefix("committed ").unwrap().parse().unwrap();
    assert!(running.child.wait().unwrap().success());
    assert!(found(&mut *engine(&folder.file())) == expected(last), "commit {last}");
}
