//! What survives a restart: records under keys, kept by an [`Engine`], written by one thread for all shards.
//!
//! A shard asks for a record to be kept ([`Saver::save`]) and is told when it is on disk, or that it is not: what it promises to anybody
//! waits for that. All that waits is written in one transaction. An engine that failed is opened anew after a while, for as long as it
//! takes; until then everything is refused at once, and the gateway goes on with what it has.

pub mod memory;
pub mod redb;
pub mod seal;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use writer::{Answer, Saver, Writer};

use crate::config;
use std::fmt;
use std::io;

/// A change of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Its key.
    pub key: Vec<u8>,
    /// What it becomes; none: it is forgotten.
    pub value: Option<Vec<u8>>,
}

/// Keeps records.
pub trait Engine: Send {
    /// Shows every record, in the order of the keys. `each` says whether it wants more.
    ///
    /// # Errors
    /// The records cannot be read.
    fn load(&mut self, each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error>;

    /// Makes all of these changes, in their order, or none of them. They are on disk when this returns.
    ///
    /// # Errors
    /// None of them was made. Nothing else works any more until [`Engine::reopen`] has.
    fn commit(&mut self, writes: &[Write]) -> Result<(), Error>;

    /// Begins anew after an error, and shows by a change on disk that it works.
    ///
    /// # Errors
    /// It does not work yet.
    fn reopen(&mut self) -> Result<(), Error>;

    /// How many records there are.
    fn records(&self) -> u64;
}

/// Why a store does not work.
#[derive(Debug)]
pub enum Error {
    /// Another process has it open.
    Held,
    /// It was written by a later version: its schema, and the latest that this version knows.
    Newer {
        /// What it says of itself.
        found: u32,
        /// What this version knows.
        known: u32,
    },
    /// It was written by a version of which nothing is known any more.
    Older {
        /// What it says of itself.
        found: u32,
        /// The first that this version knows.
        known: u32,
    },
    /// A record of an older schema does not become one of this.
    Migration(String),
    /// It is no store, or it was damaged beyond what it can mend by itself.
    Damaged(String),
    /// The key that seals records is missing, or is none; the file and why.
    Key(String),
    /// The disk, or the way there.
    Io(io::Error),
}

impl Error {
    /// Whether trying again may help without anybody's doing something about the store itself.
    pub fn may_pass(&self) -> bool {
        matches!(self, Error::Held | Error::Io(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Held => f.write_str("another process has it open"),
            Error::Newer { found, known } => write!(
                f,
                "a later version wrote it: its schema is {found}, this version knows {known} and none after it; run that version, or name \
                 another file"
            ),
            Error::Older { found, known } => write!(
                f,
                "a version wrote it that is too old: its schema is {found}, this version knows {known} and none before it"
            ),
            Error::Migration(why) => {
                write!(f, "it cannot be brought to this version's schema, and is left as it was: {why}")
            }
            Error::Damaged(why) => {
                write!(f, "no store, or damaged: {why}; put a copy in its place, or move it away to begin anew")
            }
            Error::Key(why) => f.write_str(why),
            Error::Io(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Error {
        Error::Io(e)
    }
}

/// Opens the store of a configuration; makes it, with the folders on the way, where there is none. Blocks.
///
/// # Errors
/// What stands in [`Error`].
pub fn open(url: &config::Store) -> Result<Box<dyn Engine>, Error> {
    match url {
        config::Store::Memory => Ok(Box::new(memory::Memory::default())),
        config::Store::Redb(path) => Ok(Box::new(redb::Redb::create(path)?)),
    }
}

/// A library's panic over a file that makes no sense is that file's fault.
fn guarded<T>(what: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(what))
        .unwrap_or_else(|_| Err(Error::Damaged("what stands there makes no sense".to_owned())))
}
