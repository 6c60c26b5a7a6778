//! `redb:PATH`: one file of the embedded database, for one process at a time.
//!
//! The database has two tables: the records, and what the store says of itself, which is the schema that the records are written in. A
//! later version of the gateway that writes them otherwise adds a [`Migration`]; what an older one left is then brought up to date when it
//! is opened, in one transaction.

use super::{Engine, Error, Write, guarded};
use ::redb::backends::FileBackend;
use ::redb::{
    Builder, Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, TableDefinition,
    WriteTransaction,
};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
/// The records while they are rewritten.
const NEXT: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records-next");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const SCHEMA_KEY: &str = "schema";
/// Counts how often the store was opened again after a fault: the change that shows that it works.
const REOPENED_KEY: &str = "reopened";

/// What the database may keep of the file in memory. The operating system keeps the rest.
const CACHE: usize = 16 << 20;

/// Key and value.
pub type Record = (Vec<u8>, Vec<u8>);

/// A record of the next schema from one of this; none: it is not needed any more. An error names what is wrong, never an address.
pub type Migration = fn(&[u8], &[u8]) -> Result<Option<Record>, String>;

/// The schemas that are known: the first, and how each one becomes the next.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// The oldest that can still be read.
    pub first: u32,
    /// One for each schema behind it.
    pub migrations: &'static [Migration],
}

/// This version's.
pub const SCHEMA: Schema = Schema { first: 1, migrations: &[] };

impl Schema {
    /// The one that is written.
    pub fn last(&self) -> u32 {
        self.first + self.migrations.len() as u32
    }
}

pub(super) type Open = Box<dyn Fn() -> Result<Database, Error> + Send>;

/// The engine.
pub struct Redb {
    open: Open,
    schema: Schema,
    /// None after an error, until it is opened again.
    database: Option<Database>,
    /// What takes back the changes that were not committed as far as anybody was told. A write that fails at its very end may have come to
    /// the disk all the same, and would come back with the next start.
    undo: Vec<Write>,
    records: u64,
}

impl std::fmt::Debug for Redb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redb").field("records", &self.records).finish_non_exhaustive()
    }
}

impl Redb {
    /// Opens the file; makes it, with the folders on the way, where there is none. Nobody else may read it: it says who knows whom.
    ///
    /// # Errors
    /// What stands in [`Error`].
    pub fn create(path: &Path) -> Result<Redb, Error> {
        if !path.exists() {
            guarded(|| make(path))?;
        }
        Redb::existing(path)
    }

    /// Opens a file that is there.
    ///
    /// # Errors
    /// What stands in [`Error`]; nothing is made.
    pub fn existing(path: &Path) -> Result<Redb, Error> {
        let path = path.to_owned();
        let open = move || Ok(on_file(OpenOptions::new().read(true).write(true).open(&path)?)?);
        guarded(|| Redb::with(Box::new(open), SCHEMA))
    }

    /// With a database of another origin, or other schemas.
    pub(super) fn with(open: Open, schema: Schema) -> Result<Redb, Error> {
        let database = open()?;
        migrate(&database, schema)?;
        let records = count(&database)?;
        Ok(Redb { open, schema, database: Some(database), undo: Vec::new(), records })
    }

    fn database(&self) -> Result<&Database, Error> {
        self.database.as_ref().ok_or_else(closed)
    }

    /// Looks at every byte, and mends what can be mended. False: something had to be.
    ///
    /// # Errors
    /// It cannot be.
    pub fn examine(&mut self) -> Result<bool, Error> {
        let Some(database) = &mut self.database else { return Err(closed()) };
        guarded(|| Ok(database.check_integrity()?))
    }
}

impl Engine for Redb {
    fn load(&mut self, each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        let database = self.database()?;
        guarded(|| {
            let table = database.begin_read()?.open_table(RECORDS)?;
            for record in table.iter()? {
                let (key, value) = record?;
                if !each(key.value(), value.value()) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), Error> {
        let database = self.database()?;
        let mut undo = Vec::with_capacity(writes.len());
        let done = guarded(|| {
            let transaction = database.begin_write()?;
            let records = apply(&transaction, writes, &mut undo)?;
            transaction.commit()?;
            Ok(records)
        });
        match done {
            Ok(records) => {
                self.records = records;
                Ok(())
            }
            Err(e) => {
                // Whatever it is, the database takes no more from now on.
                self.database = None;
                undo.reverse();
                self.undo = undo;
                Err(e)
            }
        }
    }

    fn reopen(&mut self) -> Result<(), Error> {
        // Closed first: it holds the file's lock.
        self.database = None;
        let (database, records) = guarded(|| {
            let database = (self.open)()?;
            migrate(&database, self.schema)?;
            let transaction = database.begin_write()?;
            let records = apply(&transaction, &self.undo, &mut Vec::new())?;
            {
                let mut meta = transaction.open_table(META)?;
                let times = meta.get(REOPENED_KEY)?.map_or(0, |times| times.value());
                meta.insert(REOPENED_KEY, times.wrapping_add(1))?;
            }
            transaction.commit()?;
            Ok((database, records))
        })?;
        self.database = Some(database);
        self.records = records;
        self.undo.clear();
        Ok(())
    }

    fn records(&self) -> u64 {
        self.records
    }
}

fn closed() -> Error {
    Error::Io(io::Error::other("it is not open"))
}

pub(super) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE);
    builder
}

pub(super) fn on_file(file: File) -> Result<Database, ::redb::DatabaseError> {
    builder().create_with_backend(FileBackend::new(file)?)
}

/// Makes a store without records. Beside its place, and moved there when it is whole: what the power or a full disk leaves half made is no
/// store, and would have to be taken away by hand.
fn make(path: &Path) -> Result<(), Error> {
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    match fs::remove_file(&beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
        Ok(()) | Err(_) => {}
    }
    let database = on_file(OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&beside)?)?;
    migrate(&database, SCHEMA)?;
    drop(database);
    fs::rename(&beside, path)?;
    // The file's name is on disk only when the folder is.
    Ok(File::open(folder)?.sync_all()?)
}

fn count(database: &Database) -> Result<u64, Error> {
    Ok(database.begin_read()?.open_table(RECORDS)?.len()?)
}

/// Makes the changes, and pushes onto `undo` what was there before each. Gives the number of records.
fn apply(transaction: &WriteTransaction, writes: &[Write], undo: &mut Vec<Write>) -> Result<u64, Error> {
    let mut table = transaction.open_table(RECORDS)?;
    for Write { key, value } in writes {
        let before = match value {
            Some(value) => table.insert(key.as_slice(), value.as_slice())?,
            None => table.remove(key.as_slice())?,
        };
        undo.push(Write { key: key.clone(), value: before.map(|value| value.value().to_owned()) });
    }
    Ok(table.len()?)
}

/// Brings a store to the last schema, a new one at once.
fn migrate(database: &Database, schema: Schema) -> Result<(), Error> {
    let found = {
        let reading = database.begin_read()?;
        match reading.open_table(META) {
            Ok(meta) => meta.get(SCHEMA_KEY)?.map(|schema| schema.value()),
            Err(::redb::TableError::TableDoesNotExist(_)) => None,
            Err(e) => return Err(e.into()),
        }
    };
    let last = schema.last();
    let found = match found.map(u32::try_from) {
        None => None,
        Some(Ok(found)) if found == last => return Ok(()),
        Some(Ok(found)) if found < schema.first => return Err(Error::Older { found, known: schema.first }),
        Some(Ok(found)) if found < last => Some(found),
        Some(found) => return Err(Error::Newer { found: found.unwrap_or(u32::MAX), known: last }),
    };
    let transaction = database.begin_write()?;
    // Made here, so that readers find it.
    transaction.open_table(RECORDS)?;
    if let Some(found) = found {
        rewrite(&transaction, &schema.migrations[(found - schema.first) as usize..])?;
    }
    transaction.open_table(META)?.insert(SCHEMA_KEY, u64::from(last))?;
    transaction.commit()?;
    if let Some(found) = found {
        tracing::info!(from = found, to = last, "the store was brought to this version's schema");
    }
    Ok(())
}

/// Takes each record through all of these into a table beside the old one: no more of them are in memory at once than the cache holds.
fn rewrite(transaction: &WriteTransaction, migrations: &[Migration]) -> Result<(), Error> {
    {
        let (old, mut new) = (transaction.open_table(RECORDS)?, transaction.open_table(NEXT)?);
        for record in old.iter()? {
            let (key, value) = record?;
            let mut record = Some((key.value().to_owned(), value.value().to_owned()));
            for migration in migrations {
                let Some((key, value)) = record else { break };
                record = migration(&key, &value).map_err(Error::Migration)?;
            }
            if let Some((key, value)) = record {
                new.insert(key.as_slice(), value.as_slice())?;
            }
        }
    }
    transaction.delete_table(RECORDS)?;
    transaction.rename_table(NEXT, RECORDS)?;
    Ok(())
}

/// Each kind of error that the library has is one of its [`::redb::Error`], which says what went wrong.
macro_rules! errors {
    ($($kind:ident)*) => {$(
        impl From<::redb::$kind> for Error {
            fn from(e: ::redb::$kind) -> Error {
                Error::from(::redb::Error::from(e))
            }
        }
    )*};
}

errors! { DatabaseError TransactionError TableError StorageError CommitError }

impl From<::redb::Error> for Error {
    fn from(e: ::redb::Error) -> Error {
        match e {
            ::redb::Error::DatabaseAlreadyOpen => Error::Held,
            // A beginning that is not a database's, and a file that ends before its contents do.
            ::redb::Error::Io(e) if matches!(e.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
                Error::Damaged(e.to_string())
            }
            ::redb::Error::Io(e) => Error::Io(e),
            ::redb::Error::PreviousIo => Error::Io(io::Error::other(e.to_string())),
            e => Error::Damaged(e.to_string()),
        }
    }
}
