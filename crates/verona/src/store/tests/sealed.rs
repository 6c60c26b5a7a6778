//! What is sealed: nobody reads it on disk, and nothing opens that was not sealed for its place.

use super::*;
use crate::store::memory::Memory;
use crate::store::seal::Sealing;
use stox::store::SEALED;

const JULIET: &str = "lexample.net\0juliet@example.com";
const NURSE: &str = "lexample.net\0nurse@example.com";

fn sealing(folder: &Folder, engine: Memory) -> Result<Sealing, Error> {
    Sealing::new(Box::new(engine), &folder.0.join("keys/accounts.key"))
}

/// What is on the disk.
fn raw(sealing: &mut Sealing) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut raw = Vec::new();
    sealing
        .engine()
        .load(&mut |key, value| {
            raw.push((key.to_vec(), value.to_vec()));
            true
        })
        .unwrap();
    raw
}

/// A disk with these bytes on it.
fn disk(records: &[(Vec<u8>, Vec<u8>)]) -> Memory {
    let mut disk = Memory::default();
    let write = |(key, value): &(Vec<u8>, Vec<u8>)| Write { key: key.clone(), value: Some(value.clone()) };
    disk.commit(&records.iter().map(write).collect::<Vec<_>>()).unwrap();
    disk
}

#[test]
fn only_who_has_the_key_reads_it() {
    let folder = Folder::new("sealed");
    let mut store = sealing(&folder, Memory::default()).unwrap();
    store.commit(&[put(JULIET, "s3cret"), put("pxromeo@example.net\0juliet@example.com", "{}")]).unwrap();
    assert_eq!(all(&mut store)[0], (JULIET.to_owned(), "s3cret".to_owned()));
    let on_disk = raw(&mut store);
    assert!(!on_disk.iter().any(|(_, value)| value.windows(6).any(|w| w == b"s3cret")));
    assert!(on_disk[0].1.starts_with(SEALED));
    assert_eq!(on_disk[1].1, b"{}", "what is no secret is as it was");
    // Twice the same is not the same on disk.
    store.commit(&[put(JULIET, "s3cret")]).unwrap();
    assert_ne!(raw(&mut store)[0].1, on_disk[0].1);

    // The same file opens it in the next process; another key does not, and says nothing of it.
    let mut again = sealing(&folder, disk(&on_disk)).unwrap();
    assert_eq!(all(&mut again)[0].1, "s3cret");
    let other = Folder::new("sealed-other");
    drop(sealing(&other, Memory::default()).unwrap());
    let mut other = sealing(&other, disk(&on_disk)).unwrap();
    assert_eq!(all(&mut other)[0].1.as_bytes(), SEALED);
    store.commit(&[forget(JULIET)]).unwrap();
    assert_eq!(raw(&mut store).len(), 1);
}

#[test]
fn what_was_changed_does_not_open() {
    let folder = Folder::new("sealed-changed");
    let mut store = sealing(&folder, Memory::default()).unwrap();
    store.commit(&[put(JULIET, "juliet's"), put(NURSE, "the nurse's")]).unwrap();
    let good = raw(&mut store);
    let broken = |records: &[(Vec<u8>, Vec<u8>)]| {
        let mut store = sealing(&folder, disk(records)).unwrap();
        all(&mut store).iter().map(|(_, value)| value.as_bytes() == SEALED).collect::<Vec<_>>()
    };
    assert_eq!(broken(&good), [false, false]);
    // Swapped between users: whoever can write to the disk does not become somebody else.
    let swapped = [(good[0].0.clone(), good[1].1.clone()), (good[1].0.clone(), good[0].1.clone())];
    assert_eq!(broken(&swapped), [true, true]);
    for at in 0..good[0].1.len() {
        let mut bent = good.clone();
        bent[0].1[at] ^= 1;
        assert_eq!(broken(&bent), [true, false], "byte {at}");
    }
    for bytes in [&b""[..], b"{\"user\":\"romeo\"}", SEALED, &good[0].1[..SEALED.len() + 11]] {
        assert_eq!(broken(&[(good[0].0.clone(), bytes.to_vec())]), [true], "nothing is taken as it is");
    }
}

#[test]
fn key_files() {
    let folder = Folder::new("sealed-keys");
    let mut store = sealing(&folder, Memory::default()).unwrap();
    let file = folder.0.join("keys/accounts.key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    store.commit(&[put(JULIET, "s3cret")]).unwrap();
    let records = raw(&mut store);

    // Lost with accounts in the store: a new one would lose them all.
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let why = sealing(&folder, disk(&records)).unwrap_err();
    assert!(matches!(&why, Error::Key(why) if why.contains("put it back")) && !why.may_pass() && !file.exists());

    for bad in ["", "zz", &text[1..], &format!("{text}{text}"), &text.replace(|c: char| c.is_ascii_digit(), "x")] {
        std::fs::write(&file, bad).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(sealing(&folder, disk(&records)), Err(Error::Key(_))), "{bad:?}");
    }
    std::fs::write(&file, &text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let why = sealing(&folder, disk(&records)).unwrap_err().to_string();
    assert!(why.contains("others may read it") && !why.contains(text.trim()), "{why}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(all(&mut sealing(&folder, disk(&records)).unwrap())[0].1, "s3cret");
}
