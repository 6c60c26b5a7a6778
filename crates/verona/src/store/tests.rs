//! The engines and the thread that writes, with disks that fail in every way that disks do.

use super::redb::{Migration, Open, Record, Redb, SCHEMA, Schema, builder, on_file};
use super::*;
use crate::metrics::Meters;
use crate::state::State;
use ::redb::StorageBackend;
use base::HashKey;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use stox::gateway::Input;
use stox::route::Router;
use tokio::runtime::Handle;

/// Longer than anything here takes on the slowest machine; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder of a test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("verona-store-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("a/b/verona.redb")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn put(key: &str, value: &str) -> Write {
    Write { key: key.into(), value: Some(value.into()) }
}

fn forget(key: &str) -> Write {
    Write { key: key.into(), value: None }
}

fn all(engine: &mut dyn Engine) -> Vec<(String, String)> {
    let mut all = vec![];
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    engine
        .load(&mut |key, value| {
            all.push((text(key), text(value)));
            true
        })
        .unwrap();
    assert_eq!(engine.records(), all.len() as u64);
    all
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn why(result: Result<Redb, Error>) -> Error {
    match result {
        Ok(_) => panic!("it opens"),
        Err(e) => e,
    }
}

#[test]
fn both_engines_keep_what_is_written_and_the_file_keeps_it_for_the_next_process() {
    let folder = Folder::new("both");
    let url = config::Store::Redb(folder.file());
    let mut memory = memory::Memory::default();
    let mut redb = open(&url).unwrap();
    for engine in [&mut memory as &mut dyn Engine, &mut *redb] {
        assert_eq!(all(engine), []);
        engine.commit(&[put("b", "1"), put("a", "2"), put("b", "3"), forget("c")]).unwrap();
        engine.commit(&[]).unwrap();
        assert_eq!(all(engine), pairs(&[("a", "2"), ("b", "3")]));
        engine.commit(&[forget("a"), put("c", "")]).unwrap();
        assert_eq!(all(engine), pairs(&[("b", "3"), ("c", "")]));
        let mut seen = 0;
        engine
            .load(&mut |_, _| {
                seen += 1;
                false
            })
            .unwrap();
        assert_eq!(seen, 1, "whoever has enough gets no more");
        engine.reopen().unwrap();
        assert_eq!(all(engine), pairs(&[("b", "3"), ("c", "")]));
    }
    drop(redb);
    assert_eq!(all(&mut *open(&url).unwrap()), pairs(&[("b", "3"), ("c", "")]));
    assert_eq!(all(&mut *open(&config::Store::Memory).unwrap()), []);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.file()), 0o600, "who knows whom is nobody else's business");
    assert_eq!(mode(folder.file().parent().unwrap()), 0o700);
}

#[test]
fn a_file_is_open_once() {
    let folder = Folder::new("held");
    let first = Redb::create(&folder.file()).unwrap();
    let held = why(Redb::create(&folder.file()));
    assert!(matches!(held, Error::Held) && held.may_pass(), "{held}");
    assert!(matches!(why(Redb::existing(&folder.file())), Error::Held));
    drop(first);
    drop(Redb::existing(&folder.file()).unwrap());
}

#[test]
fn what_is_not_there_is_made_only_where_it_is_asked_for() {
    let folder = Folder::new("absent");
    let absent = why(Redb::existing(&folder.file()));
    assert!(matches!(&absent, Error::Io(e) if e.kind() == io::ErrorKind::NotFound), "{absent}");
    assert!(!folder.file().exists() && !folder.file().parent().unwrap().exists());
    std::fs::write(folder.0.join("a"), "a file where a folder should be").unwrap();
    assert!(matches!(why(Redb::create(&folder.file())), Error::Io(_)));
}

// --- Schemas ---

fn one_to_two(key: &[u8], value: &[u8]) -> Result<Option<Record>, String> {
    match value {
        b"old" => Ok(None),
        b"broken" => Err("a record is not what it was".to_owned()),
        _ => Ok(Some(([b"p", key].concat(), [value, b"!"].concat()))),
    }
}

fn two_to_three(key: &[u8], value: &[u8]) -> Result<Option<Record>, String> {
    Ok(Some((key.to_vec(), [value, b"?"].concat())))
}

fn with(path: &Path, first: u32, migrations: &'static [Migration]) -> Result<Redb, Error> {
    let path = path.to_owned();
    let open = move || {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        Ok(on_file(file)?)
    };
    Redb::with(Box::new(open), Schema { first, migrations })
}

#[test]
fn an_older_schema_is_brought_up_to_date_in_one_step() {
    let folder = Folder::new("older");
    let file = folder.0.join("v.redb");
    // The made-up schema 0, from before the first real one.
    let mut store = with(&file, 0, &[]).unwrap();
    store.commit(&[put("a", "1"), put("b", "old"), put("c", "2")]).unwrap();
    drop(store);
    assert_eq!(SCHEMA.last(), 1);
    let mut store = with(&file, 0, &[one_to_two]).unwrap();
    assert_eq!(all(&mut store), pairs(&[("pa", "1!"), ("pc", "2!")]));
    drop(store);
    // What has schema 1 now is what this version takes, and it is not done twice.
    let mut store = Redb::existing(&file).unwrap();
    assert_eq!(all(&mut store), pairs(&[("pa", "1!"), ("pc", "2!")]));
    drop(store);
    // Over several at once.
    let file = folder.0.join("w.redb");
    let mut store = with(&file, 0, &[]).unwrap();
    store.commit(&(0..3000).map(|n| put(&format!("{n:04}"), "x")).collect::<Vec<_>>()).unwrap();
    drop(store);
    let mut store = with(&file, 0, &[one_to_two, two_to_three]).unwrap();
    let records = all(&mut store);
    assert_eq!((records.len(), &records[2999]), (3000, &("p2999".to_owned(), "x!?".to_owned())));
    store.commit(&[put("z", "1")]).unwrap();
    drop(store);
    assert_eq!(with(&file, 1, &[one_to_two]).unwrap().records(), 3001);
}

#[test]
fn a_migration_that_fails_leaves_everything_as_it_was() {
    let folder = Folder::new("failing");
    let file = folder.0.join("v.redb");
    let mut store = with(&file, 0, &[]).unwrap();
    store.commit(&[put("a", "1"), put("b", "broken")]).unwrap();
    drop(store);
    let e = why(with(&file, 0, &[one_to_two]));
    assert!(matches!(e, Error::Migration(_)) && !e.may_pass(), "{e}");
    assert!(e.to_string().contains("left as it was: a record is not what it was"), "{e}");
    assert_eq!(all(&mut with(&file, 0, &[]).unwrap()), pairs(&[("a", "1"), ("b", "broken")]));
}

#[test]
fn a_schema_that_is_not_known_is_left_alone() {
    let folder = Folder::new("newer");
    let file = folder.0.join("v.redb");
    drop(with(&file, 1, &[one_to_two]).unwrap());
    let e = why(Redb::existing(&file));
    assert!(matches!(e, Error::Newer { found: 2, known: 1 }) && !e.may_pass(), "{e}");
    assert!(e.to_string().contains("a later version wrote it: its schema is 2, this version knows 1"), "{e}");
    let e = why(with(&file, 3, &[]));
    assert!(matches!(e, Error::Older { found: 2, known: 3 }) && !e.may_pass(), "{e}");
    assert_eq!(with(&file, 2, &[]).unwrap().records(), 0, "nothing was changed");
}

// --- Files that are damaged ---

#[test]
fn a_file_that_is_no_store_is_left_alone() {
    let folder = Folder::new("foreign");
    let file = folder.0.join("v.redb");
    for content in [&b"#!/bin/sh\n"[..], &[0; 1], &[0; 100_000], &[b'x'; 1 << 20]] {
        std::fs::write(&file, content).unwrap();
        let e = why(Redb::existing(&file));
        assert!(matches!(e, Error::Damaged(_)) && !e.may_pass(), "{e}");
        assert!(e.to_string().contains("no store, or damaged"), "{e}");
        assert_eq!(std::fs::read(&file).unwrap(), content);
    }
}

/// Whatever the end of the file has become: it opens with what was committed before, or it says what is wrong.
#[test]
fn a_file_whose_end_is_cut_or_garbled_opens_or_says_so() {
    let folder = Folder::new("tail");
    let good = folder.0.join("good.redb");
    let mut store = Redb::create(&good).unwrap();
    let mut written = vec![];
    for n in 0..40 {
        let part: Vec<Write> = (0..20).map(|m| put(&format!("{:04}", n * 20 + m), &"v".repeat(200))).collect();
        store.commit(&part).unwrap();
        written.extend(part.into_iter().map(|w| String::from_utf8(w.key).unwrap()));
    }
    // Copied while it is open: as a crash leaves it.
    let bytes = std::fs::read(&good).unwrap();
    let file = folder.0.join("v.redb");
    let (mut opened, mut refused) = (0, 0);
    for step in 0..60 {
        let mut copy = bytes.clone();
        let at = bytes.len() - 1 - step * bytes.len() / 61;
        match step % 3 {
            0 => copy.truncate(at),
            1 => copy[at..].fill(0),
            _ => copy[at..].iter_mut().enumerate().for_each(|(i, b)| *b ^= (i % 251) as u8 + 1),
        }
        std::fs::write(&file, &copy).unwrap();
        // A library's panic is caught, and counts as "says so".
        match Redb::existing(&file).and_then(|mut store| {
            let mut keys = vec![];
            store.load(&mut |key, _| {
                keys.push(String::from_utf8_lossy(key).into_owned());
                true
            })?;
            Ok(keys)
        }) {
            Ok(keys) => {
                opened += 1;
                // A commit's records are there all or none of them.
                assert!(keys.len() % 20 == 0 && written.starts_with(&keys), "{step}: {} records", keys.len());
            }
            Err(e) => {
                refused += 1;
                assert!(matches!(e, Error::Damaged(_) | Error::Io(_)), "{step}: {e}");
            }
        }
    }
    assert!(opened + refused == 60 && refused > 0, "{opened} {refused}");
    assert_eq!(all(&mut store).len(), 800);
}

// --- Disks that fail ---

/// A disk in memory: what was synced, and what was written after that. Fails on request.
#[derive(Debug, Default)]
struct Disk {
    synced: Mutex<Vec<u8>>,
    written: Mutex<Vec<u8>>,
    since: Mutex<Vec<Step>>,
    /// Writes and syncs until the next one fails; below zero: none.
    left: AtomicI64,
    /// Whether they all fail then, or that one alone.
    stays_broken: AtomicI64,
    error: AtomicI64,
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Step {
    fn on(&self, file: &mut Vec<u8>) {
        match self {
            Step::Write(at, bytes) => {
                if file.len() < at + bytes.len() {
                    file.resize(at + bytes.len(), 0);
                }
                file[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Step::Length(length) => file.resize(*length, 0),
        }
    }
}

/// One opening of the disk.
#[derive(Debug)]
struct Handled(Arc<Disk>);

const ENOSPC: i64 = 28;
const EIO: i64 = 5;

impl Disk {
    fn new() -> Arc<Disk> {
        Arc::new(Disk { left: AtomicI64::new(-1), ..Disk::default() })
    }

    fn opener(self: &Arc<Disk>) -> Open {
        let disk = Arc::clone(self);
        Box::new(move || Ok(builder().create_with_backend(Handled(Arc::clone(&disk)))?))
    }

    /// The one after `left` writes and syncs fails, and if `stays` all behind it.
    fn fail(&self, left: i64, stays: bool, error: i64) {
        self.error.store(error, SeqCst);
        self.stays_broken.store(stays.into(), SeqCst);
        self.left.store(left, SeqCst);
    }

    fn mend(&self) {
        self.left.store(-1, SeqCst);
    }

    fn tick(&self) -> io::Result<()> {
        match self.left.load(SeqCst) {
            ..=-1 => Ok(()),
            0 => {
                if self.stays_broken.load(SeqCst) == 0 {
                    self.mend();
                }
                Err(io::Error::from_raw_os_error(i32::try_from(self.error.load(SeqCst)).unwrap()))
            }
            left => {
                self.left.store(left - 1, SeqCst);
                Ok(())
            }
        }
    }

    fn step(&self, step: Step) {
        step.on(&mut self.written.lock().unwrap());
        self.since.lock().unwrap().push(step);
    }

    /// The power fails: of what was not synced, some sectors of some writes are there. `chance` decides.
    fn cut(&self, mut chance: impl FnMut() -> bool) -> Vec<u8> {
        let mut file = self.synced.lock().unwrap().clone();
        for step in self.since.lock().unwrap().iter() {
            match step {
                Step::Write(at, bytes) => {
                    for (n, sector) in bytes.chunks(512).enumerate() {
                        if chance() {
                            Step::Write(at + n * 512, sector.to_vec()).on(&mut file);
                        }
                    }
                }
                Step::Length(_) if chance() => step.on(&mut file),
                Step::Length(_) => {}
            }
        }
        file
    }
}

impl StorageBackend for Handled {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.written.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let file = self.0.written.lock().unwrap();
        let at = usize::try_from(offset).unwrap();
        let bytes = file.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.tick()?;
        self.0.step(Step::Length(usize::try_from(len).unwrap()));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.tick()?;
        let mut synced = self.0.synced.lock().unwrap();
        synced.clone_from(&self.0.written.lock().unwrap());
        self.0.since.lock().unwrap().clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.tick()?;
        self.0.step(Step::Write(usize::try_from(offset).unwrap(), data.to_vec()));
        Ok(())
    }
}

/// A commit that fails, at whichever write or sync, is not there: not now, not after the store was opened again, not in the next process.
#[test]
fn a_commit_that_failed_does_not_come_back() {
    for error in [ENOSPC, EIO] {
        for stays in [false, true] {
            let mut failed = 0;
            for left in 0..40 {
                let disk = Disk::new();
                let mut store = Redb::with(disk.opener(), SCHEMA).unwrap();
                store.commit(&[put("a", "1"), put("b", "1")]).unwrap();
                disk.fail(left, stays, error);
                let big = "2".repeat(100_000);
                let done = store.commit(&[put("a", "2"), put("a", &big), forget("b"), put("c", &big)]);
                let Err(e) = done else {
                    assert!(left > 4, "{left}");
                    continue;
                };
                failed += 1;
                assert!(e.may_pass(), "{e}");
                assert!(store.commit(&[put("d", "2")]).is_err(), "until it is opened again");
                if stays {
                    assert!(store.reopen().is_err(), "{left}: the disk is still broken");
                    assert!(store.reopen().is_err());
                    disk.mend();
                }
                store.reopen().unwrap();
                assert_eq!(all(&mut store), pairs(&[("a", "1"), ("b", "1")]), "{left} {stays} {error}");
                store.commit(&[put("e", "3")]).unwrap();
                drop(store);
                let mut store = Redb::with(disk.opener(), SCHEMA).unwrap();
                assert_eq!(all(&mut store), pairs(&[("a", "1"), ("b", "1"), ("e", "3")]), "{left} {stays} {error}");
            }
            assert!(failed > 3, "{failed}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// The power fails in the middle of a commit: what was committed before is there, and of this commit all or nothing.
    #[test]
    fn a_torn_write_costs_nothing_that_was_committed(
        batches in prop::collection::vec(prop::collection::vec((0..30_u8, 0..3000_usize), 1..12), 1..12),
        left in 0..25_i64,
        chances in prop::collection::vec(any::<bool>(), 1..200),
    ) {
        let disk = Disk::new();
        let mut store = Redb::with(disk.opener(), SCHEMA).unwrap();
        let (mut before, mut now) = (BTreeMap::new(), BTreeMap::new());
        let (last, others) = batches.split_last().unwrap();
        let commit = |store: &mut Redb, batch: &Vec<(u8, usize)>, model: &mut BTreeMap<String, String>| {
            let writes: Vec<Write> = batch.iter().map(|(key, size)| match size % 5 {
                0 => forget(&key.to_string()),
                _ => put(&key.to_string(), &"v".repeat(*size)),
            }).collect();
            for write in &writes {
                let key = String::from_utf8(write.key.clone()).unwrap();
                match &write.value {
                    Some(value) => model.insert(key, String::from_utf8(value.clone()).unwrap()),
                    None => model.remove(&key),
                };
            }
            store.commit(&writes)
        };
        for batch in others {
            commit(&mut store, batch, &mut now).unwrap();
        }
        before.clone_from(&now);
        disk.fail(left, true, EIO);
        let done = commit(&mut store, last, &mut now).is_ok();
        let mut chance = chances.iter().cycle().copied();
        let torn = disk.cut(|| chance.next().unwrap());
        drop(store);
        let after = Disk::new();
        after.synced.lock().unwrap().clone_from(&torn);
        after.written.lock().unwrap().clone_from(&torn);
        let mut store = Redb::with(after.opener(), SCHEMA).unwrap();
        let found: BTreeMap<String, String> = all(&mut store).into_iter().collect();
        prop_assert!(found == now || !done && found == before, "{} records", found.len());
        store.commit(&[put("x", "it goes on")]).unwrap();
    }
}

// --- The thread that writes ---

/// An engine that fails on request, and says how much each commit brought.
struct Faulty {
    records: memory::Memory,
    broken: Arc<Mutex<Option<&'static str>>>,
    commits: mpsc::Sender<usize>,
    /// Each commit waits for a word.
    gate: mpsc::Receiver<()>,
}

impl Engine for Faulty {
    fn load(&mut self, each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        self.records.load(each)
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), Error> {
        let _ = self.commits.send(writes.len());
        let _ = self.gate.recv();
        match *self.broken.lock().unwrap() {
            Some(why) => Err(Error::Io(io::Error::other(why))),
            None => self.records.commit(writes),
        }
    }

    fn reopen(&mut self) -> Result<(), Error> {
        match *self.broken.lock().unwrap() {
            Some(why) => Err(Error::Io(io::Error::other(why))),
            None => Ok(()),
        }
    }

    fn records(&self) -> u64 {
        self.records.records()
    }
}

/// A writer between two shards that the test plays.
struct Bench {
    saver: Option<Saver>,
    answers: mpsc::Receiver<(usize, Answer)>,
    broken: Arc<Mutex<Option<&'static str>>>,
    commits: mpsc::Receiver<usize>,
    gate: Option<mpsc::Sender<()>>,
    state: Arc<State>,
    meters: Meters,
    thread: Option<std::thread::JoinHandle<()>>,
}

const SHARDS: usize = 2;

impl Bench {
    /// With these records. `gated`: each commit waits for [`Bench::let_commit`].
    fn new(records: &[Write], gated: bool) -> Bench {
        let (tell, commits) = mpsc::channel();
        let (open, gate) = mpsc::channel();
        let broken = Arc::new(Mutex::new(None));
        let mut engine =
            Faulty { records: memory::Memory::default(), broken: Arc::clone(&broken), commits: tell, gate };
        engine.records.commit(records).unwrap();
        let state = Arc::new(State::new(&[], &[]));
        let meters = Meters::new();
        let (answer, answers) = mpsc::channel();
        let told: writer::Answers = Box::new(move |shard, what| drop(answer.send((shard, what))));
        let router = Router::new(SHARDS, HashKey::new(1, 2));
        let (saver, mut writer) = Writer::new(Box::new(engine), router, told, Arc::clone(&state), meters.store());
        let runtime = Handle::current();
        let thread = std::thread::spawn(move || {
            writer.restore_all().unwrap();
            writer.run(&runtime);
        });
        let bench = Bench {
            saver: Some(saver),
            answers,
            broken,
            commits,
            gate: gated.then_some(open),
            state,
            meters,
            thread: Some(thread),
        };
        let mut restored = 0;
        while restored < SHARDS {
            restored += usize::from(matches!(bench.answer().1, Answer::Restored));
        }
        bench
    }

    fn answer(&self) -> (usize, Answer) {
        self.answers.recv_timeout(PATIENCE).expect("a shard is told something")
    }

    /// What the next batch of outcomes says: the shard, and each token with whether it was saved.
    fn outcomes(&self) -> (usize, Vec<(u64, bool)>) {
        let (shard, answer) = self.answer();
        let Answer::Inputs(inputs) = answer else { panic!("{answer:?}") };
        let each = inputs.into_iter().map(|input| match input {
            Input::Saved(token) => (token, true),
            Input::NotSaved(token) => (token, false),
            other => panic!("{other:?}"),
        });
        (shard, each.collect())
    }

    fn save(&self, shard: usize, token: u64, write: Write) -> bool {
        self.saver.as_ref().unwrap().save(shard, token, write)
    }

    fn begun(&self) -> usize {
        self.commits.recv_timeout(PATIENCE).expect("a commit begins")
    }

    fn let_commit(&self) {
        self.gate.as_ref().unwrap().send(()).unwrap();
    }

    fn metric(&self, name: &str) -> f64 {
        let page = self.meters.render();
        page.lines().find_map(|l| l.strip_prefix(name)?.trim().parse().ok()).unwrap_or_else(|| panic!("{name}\n{page}"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_waits_becomes_one_commit_and_each_shard_is_told_in_order() {
    let mut bench = Bench::new(&[], true);
    assert!(bench.save(0, 1, put("a", "1")));
    assert_eq!(bench.begun(), 1);
    for token in 2..=7 {
        assert!(bench.save((token % 2) as usize, token, put("b", &token.to_string())));
    }
    assert_eq!(bench.metric("verona_store_queue"), 6.0);
    bench.let_commit();
    assert_eq!(bench.outcomes(), (0, vec![(1, true)]));
    assert_eq!(bench.begun(), 6);
    bench.let_commit();
    assert_eq!(bench.outcomes(), (0, vec![(2, true), (4, true), (6, true)]));
    assert_eq!(bench.outcomes(), (1, vec![(3, true), (5, true), (7, true)]));
    assert_eq!(bench.metric("verona_store_queue"), 0.0);
    assert_eq!(bench.metric("verona_store_commits_total"), 2.0);
    assert_eq!(bench.metric("verona_store_commit_seconds_count"), 2.0);
    assert_eq!((bench.metric("verona_store_records"), bench.metric("verona_store_failures_total")), (2.0, 0.0));

    // At the end what waits is written.
    assert!(bench.save(1, 8, put("c", "1")));
    assert_eq!(bench.begun(), 1);
    assert!(bench.save(1, 9, put("d", "1")));
    bench.saver = None;
    bench.gate = None;
    assert_eq!((bench.outcomes(), bench.outcomes()), ((1, vec![(8, true)]), (1, vec![(9, true)])));
    bench.thread.take().unwrap().join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_store_that_fails_refuses_and_recovers_alone() {
    let bench = Bench::new(&[put("a", "1")], false);
    let mut bench = Bench { gate: None, ..bench };
    assert_eq!(bench.state.store_trouble(), None);
    *bench.broken.lock().unwrap() = Some("No space left on device");
    assert!(bench.save(0, 1, put("b", "1")));
    assert_eq!(bench.outcomes(), (0, vec![(1, false)]));
    assert_eq!(bench.state.store_trouble().as_deref(), Some("No space left on device"));
    assert_eq!(bench.begun(), 1);
    // Nobody waits for a disk that is known not to work.
    assert!(bench.save(1, 2, put("b", "2")));
    assert_eq!(bench.outcomes(), (1, vec![(2, false)]));
    assert!(bench.commits.try_recv().is_err());
    assert_eq!(bench.metric("verona_store_failures_total"), 2.0);

    *bench.broken.lock().unwrap() = None;
    let until = std::time::Instant::now() + PATIENCE;
    while bench.state.store_trouble().is_some() {
        assert!(std::time::Instant::now() < until, "it does not recover");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(bench.save(0, 3, put("b", "3")));
    assert_eq!(bench.outcomes(), (0, vec![(3, true)]));
    assert_eq!(bench.metric("verona_store_records"), 2.0);

    // The end comes while it is broken, too.
    *bench.broken.lock().unwrap() = Some("Input/output error");
    assert!(bench.save(0, 4, put("b", "4")));
    assert_eq!(bench.outcomes(), (0, vec![(4, false)]));
    bench.saver = None;
    bench.thread.take().unwrap().join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_too_much_is_refused_at_once() {
    let bench = Bench::new(&[], true);
    let megabyte = "v".repeat(1 << 20);
    assert!(bench.save(0, 0, put("first", "1")));
    assert_eq!(bench.begun(), 1);
    let taken = (1..1000).take_while(|token| bench.save(0, *token, put(&token.to_string(), &megabyte))).count();
    assert_eq!(taken, 15, "sixteen megabytes, less what the first takes");
    assert!(bench.metric("verona_store_failures_total") == 1.0);
    assert!(bench.save(1, 7, put("little", "1")), "there is room for a little");
    bench.let_commit();
    assert_eq!(bench.outcomes(), (0, vec![(0, true)]));
    assert_eq!(bench.begun(), 16);
    bench.let_commit();
    assert_eq!(bench.outcomes().1.len(), 15);
    assert_eq!(bench.outcomes(), (1, vec![(7, true)]));
    assert!(bench.save(0, 2000, put("again", &megabyte)), "and room again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_shard_gets_its_records_and_no_others() {
    let records: Vec<Write> =
        (0..2000).map(|n| put(&format!("psuser{n}@example.net\0juliet@example.com"), &n.to_string())).collect();
    let router = Router::new(SHARDS, HashKey::new(1, 2));
    let mine = |shard| records.iter().filter(move |w| router.record(&w.key) == shard).count();
    assert!(mine(0) > 500 && mine(1) > 500);
    let bench = Bench::new(&records, false);
    for shard in [1, 0] {
        bench.saver.as_ref().unwrap().restore(shard);
        let mut got = 0;
        loop {
            match bench.answer() {
                (to, Answer::Inputs(inputs)) => {
                    assert_eq!(to, shard);
                    assert!(inputs.len() <= 256, "a part at a time");
                    for input in inputs {
                        let Input::Restore { key, .. } = input else { panic!("{input:?}") };
                        assert_eq!(router.record(&key), shard);
                        got += 1;
                    }
                }
                (to, Answer::Restored) => {
                    assert_eq!((to, got), (shard, mine(shard)));
                    break;
                }
            }
        }
    }
}
