//! Records that nobody may read on disk ([`stox::store::is_sealed`]): sealed with a key that is not in the store.
//!
//! The key of a record is bound to what is sealed under it, so that a record that is put in the place of another one does not open. What does not
//! open is shown as broken: it is not used, stays where it is, and is told of. An older record of the same key does open; who can write to the
//! store can put it back.

use super::{Engine, Error, Write};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use stox::store::{SEALED, is_sealed};

/// Bytes of the key.
const KEY: usize = 32;

/// What seals and opens.
pub struct Seal {
    key: LessSafeKey,
    random: SystemRandom,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(not shown)")
    }
}

impl Seal {
    /// With this key.
    fn of(key: &[u8; KEY]) -> Result<Seal, Error> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| Error::Key("no key".to_owned()))?;
        Ok(Seal { key: LessSafeKey::new(key), random: SystemRandom::new() })
    }

    /// The key in a file: 64 hexadecimal digits. None: there is no such file.
    ///
    /// # Errors
    /// [`Error::Key`]: others may read the file, or there is something else in it. [`Error::Io`].
    pub fn read(path: &Path) -> Result<Option<Seal>, Error> {
        let mut file = match fs::File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        if file.metadata()?.mode() & 0o077 != 0 {
            return Err(Error::Key(format!("{}: others may read it: chmod go=", path.display())));
        }
        let mut text = String::new();
        (&mut file).take(2 * KEY as u64 + 3).read_to_string(&mut text)?;
        let key = digits(text.trim_end()).ok_or_else(|| {
            Error::Key(format!("{}: not a key: 64 hexadecimal digits and nothing else", path.display()))
        })?;
        Seal::of(&key).map(Some)
    }

    /// Makes a key and a file for it, with the folders on the way, that nobody else may read.
    ///
    /// # Errors
    /// [`Error::Io`]: it cannot be written, or is there already.
    pub fn make(path: &Path) -> Result<Seal, Error> {
        let mut key = [0; KEY];
        SystemRandom::new().fill(&mut key).map_err(|_| Error::Key("no random numbers".to_owned()))?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(format!("{text}\n").as_bytes())?;
        // Before anything is sealed with it.
        file.sync_all()?;
        Seal::of(&key)
    }

    /// Seals the value of a record.
    fn seal(&self, record: &[u8], value: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = |_| Error::Key("a record cannot be sealed".to_owned());
        // Random nonces: 2^32 records might be sealed with one key before two of them met by chance.
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(failed)?;
        let mut bytes = value.to_vec();
        let tag = self
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(record), &mut bytes)
            .map_err(failed)?;
        Ok([SEALED, &nonce, &bytes, tag.as_ref()].concat())
    }

    /// Opens it; none: it was sealed with another key, or for another record, or was changed.
    fn open(&self, record: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, bytes) = sealed.strip_prefix(SEALED)?.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = bytes.to_vec();
        let plain = self.key.open_in_place(nonce, Aad::from(record), &mut bytes).ok()?.len();
        bytes.truncate(plain);
        Some(bytes)
    }
}

fn digits(text: &str) -> Option<[u8; KEY]> {
    let bytes = text.as_bytes();
    if bytes.len() != 2 * KEY || !bytes.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut key = [0; KEY];
    for (byte, digits) in key.iter_mut().zip(bytes.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(key)
}

/// An engine whose sealed records are open to whoever uses it, and to nobody on disk.
pub struct Sealing {
    engine: Box<dyn Engine>,
    seal: Seal,
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing").finish_non_exhaustive()
    }
}

impl Sealing {
    /// Around `engine`, with the key in the file `path`. Where there is none it is made, unless the store has records already that only the lost one would
    /// open.
    ///
    /// # Errors
    /// [`Error::Key`], and what [`Seal::read`], [`Seal::make`] and [`Engine::load`] have.
    pub fn new(mut engine: Box<dyn Engine>, path: &Path) -> Result<Sealing, Error> {
        if let Some(seal) = Seal::read(path)? {
            return Ok(Sealing { engine, seal });
        }
        let mut orphans = false;
        engine.load(&mut |key, _| {
            orphans |= is_sealed(key);
            !orphans
        })?;
        if orphans {
            return Err(Error::Key(format!(
                "{}: missing, and the store has accounts that were sealed with it: put it back",
                path.display()
            )));
        }
        let seal = Seal::make(path)?;
        tracing::info!(path = %path.display(), "a key for the accounts of XMPP users was made: keep a copy, apart from the store");
        Ok(Sealing { engine, seal })
    }

    #[cfg(test)]
    pub(super) fn engine(&mut self) -> &mut dyn Engine {
        &mut *self.engine
    }
}

impl Engine for Sealing {
    fn load(&mut self, each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        let mut broken = 0_usize;
        let Sealing { engine, seal } = self;
        let loaded = engine.load(&mut |key, value| {
            if !is_sealed(key) {
                return each(key, value);
            }
            match seal.open(key, value) {
                Some(plain) => each(key, &plain),
                None => {
                    broken += 1;
                    // A record that nobody can read: nothing that stands on the disk is taken as it is.
                    each(key, SEALED)
                }
            }
        });
        if broken > 0 {
            tracing::error!(
                broken,
                "accounts of XMPP users do not open: another key, or they were changed. They are left out"
            );
        }
        loaded
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), Error> {
        if !writes.iter().any(|write| is_sealed(&write.key)) {
            return self.engine.commit(writes);
        }
        let sealed = |write: &Write| match &write.value {
            Some(value) if is_sealed(&write.key) => {
                Ok(Write { key: write.key.clone(), value: Some(self.seal.seal(&write.key, value)?) })
            }
            Some(_) | None => Ok(write.clone()),
        };
        let writes = writes.iter().map(sealed).collect::<Result<Vec<_>, Error>>()?;
        self.engine.commit(&writes)
    }

    fn reopen(&mut self) -> Result<(), Error> {
        self.engine.reopen()
    }

    fn records(&self) -> u64 {
        self.engine.records()
    }
}
