//! The engines, their schemas and files; the disks under them and the thread that writes have modules of their own.

mod disks;
mod sealed;
mod thread;

use super::redb::{Migration, Record, Redb, SCHEMA, Schema, on_file};
use super::*;
use std::fs::OpenOptions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

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
    // What a first start left that did not get so far.
    let file = folder.0.join("half/v.redb");
    std::fs::create_dir(folder.0.join("half")).unwrap();
    std::fs::write(folder.0.join("half/v.redb.new"), "half made").unwrap();
    drop(Redb::create(&file).unwrap());
    assert_eq!(std::fs::read_dir(folder.0.join("half")).unwrap().count(), 1);
    // Somebody took it away while it was open: it is not replaced by an empty one.
    let mut store = Redb::create(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(store.reopen(), Err(Error::Io(e)) if e.kind() == io::ErrorKind::NotFound));
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
