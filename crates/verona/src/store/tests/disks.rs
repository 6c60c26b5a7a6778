//! Disks that are full, fail, or lose their power.

use super::*;
use crate::store::redb::{Open, builder};
use ::redb::StorageBackend;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

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
