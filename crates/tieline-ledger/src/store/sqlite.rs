//! The ledger in one SQLite file, WAL mode, synchronous=FULL: a commit is on disk when it returns.
//!
//! | table | row |
//! | --- | --- |
//! | `head` | one: origin, size, signed checkpoint |
//! | `bundle` | first index, count, leaf hashes, framed entries, their size: 256 of them, or a piece of the last bundle |
//! | `tile` | level 1 and above, number, hashes; the last one of a level is partial |
//! | `blob` | digest, bytes |
//!
//! The last bundle grows by one row a commit, so that a commit writes what is new and not 256 entries again; a full
//! bundle in more than 32 pieces becomes one row. Entries of one row repeat each other and take a ninth of their size as an
//! LZ4 block (<https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md>), which costs less than writing them would; a
//! row that does not shrink stands as it is. `PRAGMA user_version` is the format version; any other is refused.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior, params};
use tieline_note::Digest;

use crate::append::Batch;
use crate::error::LedgerError;
use crate::store::pack;
use crate::tile::TILE_WIDTH;

/// Version 1, entries not packed, was never released.
const FORMAT_VERSION: i64 = 2;

/// Marks the file as ours among SQLite files: "tlog".
const APPLICATION_ID: i64 = 0x746c_6f67;

/// Rows are tens of kilobytes: pages of 16 KiB take a quarter of the system calls of 4 KiB ones.
const PAGE_BYTES: u32 = 16_384;

/// The WAL is copied back after 1,024 pages = 16 MiB: a page that changes with every commit is copied once in many, and
/// the commit that does the copying takes some 30 ms.
const CHECKPOINT_PAGES: u32 = 1024;

/// Page cache of a connection in KiB; rows are read once, so more would not help.
const CACHE_KIB: u32 = 2048;

/// How long a commit waits for another process that writes (a backup, a second command).
const BUSY: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
    CREATE TABLE head (
        id INTEGER PRIMARY KEY CHECK (id = 1), origin TEXT NOT NULL, size INTEGER NOT NULL,
        checkpoint TEXT NOT NULL) STRICT;
    CREATE TABLE bundle (
        first INTEGER PRIMARY KEY, count INTEGER NOT NULL, leaves BLOB NOT NULL, size INTEGER NOT NULL,
        entries BLOB NOT NULL) STRICT;
    CREATE TABLE tile (
        level INTEGER NOT NULL, number INTEGER NOT NULL, hashes BLOB NOT NULL,
        PRIMARY KEY (level, number)) STRICT;
    CREATE TABLE blob (digest BLOB PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
";

/// A connection to a ledger file.
#[derive(Debug)]
pub(crate) struct Store {
    connection: Connection,
    path: PathBuf,
    /// Where the entries of a row are packed before they are written.
    packed: Vec<u8>,
}

/// The stored head, nothing checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredHead {
    pub(crate) origin: String,
    pub(crate) size: u64,
    pub(crate) checkpoint: String,
}

impl Store {
    /// Opens for writing; creates the file if there is none.
    pub(crate) fn open(path: &Path) -> Result<Self, LedgerError> {
        let connection = Connection::open(path).map_err(LedgerError::sql("open the ledger"))?;
        let store = Self {
            connection,
            path: path.to_owned(),
            packed: Vec::new(),
        };
        store.tune(false).map_err(|error| store.not_ledger(error))?;
        store.migrate()?;
        store.bound_cache()?;
        Ok(store)
    }

    /// Opens for reading, also while another process writes, also from a medium that cannot be written.
    pub(crate) fn open_read_only(path: &Path) -> Result<Self, LedgerError> {
        if !path.is_file() {
            return Err(LedgerError::NotLedger {
                path: path.to_owned(),
                why: "there is no such file".to_owned(),
            });
        }
        let connection = read_only(path).map_err(|error| not_ledger(path, error))?;
        let store = Self {
            connection,
            path: path.to_owned(),
            packed: Vec::new(),
        };
        store.tune(true).map_err(|error| store.not_ledger(error))?;
        store.check_version()?;
        store.bound_cache()?;
        Ok(store)
    }

    fn tune(&self, is_read_only: bool) -> rusqlite::Result<()> {
        let db = &self.connection;
        db.busy_timeout(BUSY)?;
        db.pragma_update(None, "trusted_schema", false)?;
        db.set_prepared_statement_cache_capacity(32);
        if !is_read_only {
            db.pragma_update(None, "page_size", PAGE_BYTES)?;
            db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
            db.pragma_update(None, "synchronous", "full")?;
            db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        }
        Ok(())
    }

    /// To be called once the file was read: SQLite makes a number of pages of it, by the size that pages have at that
    /// moment, and keeps that number when it learns that they are four times as large.
    fn bound_cache(&self) -> Result<(), LedgerError> {
        self.connection
            .pragma_update(None, "cache_size", -i64::from(CACHE_KIB))
            .map_err(|error| self.not_ledger(error))
    }

    fn not_ledger(&self, error: rusqlite::Error) -> LedgerError {
        not_ledger(&self.path, error)
    }

    fn version(&self) -> rusqlite::Result<(i64, i64)> {
        let version = self
            .connection
            .pragma_query_value(None, "user_version", |row| row.get(0))?;
        let application = self
            .connection
            .pragma_query_value(None, "application_id", |row| row.get(0))?;
        Ok((application, version))
    }

    fn check_version(&self) -> Result<(), LedgerError> {
        match self.version().map_err(|error| self.not_ledger(error))? {
            (APPLICATION_ID, found) if found > FORMAT_VERSION => Err(LedgerError::Newer {
                path: self.path.clone(),
                found,
                known: FORMAT_VERSION,
            }),
            (APPLICATION_ID, FORMAT_VERSION) => self.check_schema(),
            (APPLICATION_ID, found) => Err(LedgerError::NotLedger {
                path: self.path.clone(),
                why: format!(
                    "its format {found} was never released; move it away with checkpoint.last, and a new one begins"
                ),
            }),
            _ => Err(LedgerError::NotLedger {
                path: self.path.clone(),
                why: "it is a SQLite file of something else".to_owned(),
            }),
        }
    }

    /// A view can show one thing to whoever verifies and another to the next reader, and a trigger writes what nobody
    /// asked for: this program makes neither.
    fn check_schema(&self) -> Result<(), LedgerError> {
        let foreign = self
            .connection
            .query_row(
                "SELECT type FROM sqlite_schema WHERE type NOT IN ('table', 'index')",
                [],
                |row| row.get::<_, String>(0),
            )
            .optional()
            .map_err(|error| self.not_ledger(error))?;
        foreign.map_or(Ok(()), |kind| {
            Err(LedgerError::NotLedger {
                path: self.path.clone(),
                why: format!("it has a {kind}, which a ledger never has"),
            })
        })
    }

    fn migrate(&self) -> Result<(), LedgerError> {
        let sql = LedgerError::sql;
        let rows: i64 = self
            .connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(|error| self.not_ledger(error))?;
        if rows == 0 && self.version().map_err(sql("read the ledger's version"))? == (0, 0) {
            let create = format!(
                "BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION_ID};
                 PRAGMA user_version = {FORMAT_VERSION}; COMMIT;"
            );
            self.connection
                .execute_batch(&create)
                .map_err(sql("create the ledger"))?;
        }
        self.check_version()
    }

    // === reading ===

    pub(crate) fn head(&self) -> Result<Option<StoredHead>, LedgerError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT origin, size, checkpoint FROM head")
            .map_err(LedgerError::sql("read the head"))?;
        let head = statement
            .query_row([], |row| {
                Ok(StoredHead {
                    origin: row.get(0)?,
                    size: unsigned(row.get(1)?),
                    checkpoint: row.get(2)?,
                })
            })
            .optional();
        head.map_err(LedgerError::sql("read the head"))
    }

    /// Calls `each` with the rows that hold entries of `[low, high)`, in order: first index, count, leaf hashes, entries.
    pub(crate) fn bundles<E: From<LedgerError>>(
        &self,
        low: u64,
        high: u64,
        mut each: impl FnMut(Row<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let what = "read entries";
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT first, count, leaves, size, entries FROM bundle WHERE first >= ?1 AND first < ?2 ORDER BY first",
            )
            .map_err(LedgerError::sql(what))?;
        let start = low - low % u64::from(TILE_WIDTH);
        let mut rows = statement
            .query(params![signed(start), signed(high)])
            .map_err(LedgerError::sql(what))?;
        let mut unpacked = Vec::new();
        while let Some(row) = rows.next().map_err(LedgerError::sql(what))? {
            let number =
                |column| Ok::<_, LedgerError>(unsigned(row.get(column).map_err(LedgerError::sql(what))?));
            let blob = |column| {
                let value = row.get_ref(column).map_err(LedgerError::sql(what))?;
                value
                    .as_blob()
                    .map_err(|_| LedgerError::Damaged("an entry row is not binary".to_owned()))
            };
            let unpacked = pack::unpack(blob(4)?, number(3)?, &mut unpacked);
            each(Row {
                first: number(0)?,
                count: number(1)?,
                leaves: blob(2)?,
                entries: unpacked.entries,
                damage: unpacked.damage,
            })?;
        }
        Ok(())
    }

    /// Where the first row stands that is outside of `[0, size)`, and so in no range that a reader asks for.
    pub(crate) fn stray_row(&self, size: u64) -> Result<Option<i64>, LedgerError> {
        let query = "SELECT first FROM bundle WHERE first < 0 OR first >= ?1 LIMIT 1";
        self.connection
            .query_row(query, [signed(size)], |row| row.get(0))
            .optional()
            .map_err(LedgerError::sql("read entries"))
    }

    /// The hashes of a tile of level 1 or above.
    pub(crate) fn tile(&self, level: u8, number: u64) -> Result<Option<Vec<u8>>, LedgerError> {
        let what = "read a tile";
        let mut statement = self
            .connection
            .prepare_cached("SELECT hashes FROM tile WHERE level = ?1 AND number = ?2")
            .map_err(LedgerError::sql(what))?;
        statement
            .query_row(params![level, signed(number)], |row| row.get(0))
            .optional()
            .map_err(LedgerError::sql(what))
    }

    pub(crate) fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, LedgerError> {
        let what = "read a blob";
        let mut statement = self
            .connection
            .prepare_cached("SELECT bytes FROM blob WHERE digest = ?1")
            .map_err(LedgerError::sql(what))?;
        statement
            .query_row([digest.as_bytes().as_slice()], |row| row.get(0))
            .optional()
            .map_err(LedgerError::sql(what))
    }

    /// Calls `each` with every blob: what it is stored under, and its bytes.
    pub(crate) fn blobs<E: From<LedgerError>>(
        &self,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let what = "read blobs";
        let mut statement = self
            .connection
            .prepare_cached("SELECT digest, bytes FROM blob")
            .map_err(LedgerError::sql(what))?;
        let mut rows = statement.query([]).map_err(LedgerError::sql(what))?;
        while let Some(row) = rows.next().map_err(LedgerError::sql(what))? {
            let blob = |column| {
                let value = row.get_ref(column).map_err(LedgerError::sql(what))?;
                value
                    .as_blob()
                    .map_err(|_| LedgerError::Damaged("a blob row is not binary".to_owned()))
            };
            each(blob(0)?, blob(1)?)?;
        }
        Ok(())
    }

    /// Runs `read` on one snapshot, whatever a writer does meanwhile.
    pub(crate) fn snapshot<T, E: From<LedgerError>>(
        &self,
        read: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let transaction = self
            .connection
            .unchecked_transaction()
            .map_err(LedgerError::sql("read the ledger"))?;
        let result = read();
        // Nothing was written; how the transaction ends does not matter.
        drop(transaction);
        result
    }

    // === writing ===

    /// Writes a batch, its blobs and the new head in one transaction.
    pub(crate) fn write(
        &mut self,
        batch: &Batch,
        blobs: &[(Digest, &[u8])],
        head: &StoredHead,
    ) -> Result<(), LedgerError> {
        let what = "commit to the ledger";
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(LedgerError::sql(what))?;
        let changed = transaction
            .prepare_cached("UPDATE head SET size = ?1, checkpoint = ?2 WHERE size = ?3 AND origin = ?4")
            .and_then(|mut statement| {
                statement.execute(params![
                    signed(head.size),
                    head.checkpoint,
                    signed(batch.first_index),
                    head.origin
                ])
            })
            .map_err(LedgerError::sql(what))?;
        if changed != 1 {
            return Err(LedgerError::Stopped(
                "another process wrote to the same ledger".to_owned(),
            ));
        }
        write_rows(&transaction, batch, blobs, &mut self.packed).map_err(LedgerError::sql(what))?;
        transaction.commit().map_err(LedgerError::sql(what))
    }

    /// Writes the first head; the ledger must be empty.
    pub(crate) fn create_head(&self, head: &StoredHead) -> Result<(), LedgerError> {
        self.connection
            .execute(
                "INSERT INTO head (id, origin, size, checkpoint) VALUES (1, ?1, ?2, ?3)",
                params![head.origin, signed(head.size), head.checkpoint],
            )
            .map(|_| ())
            .map_err(LedgerError::sql("create the ledger"))
    }

    /// Copies the WAL back and empties it. Readers may prevent that; then it is done another time.
    pub(crate) fn settle(&self) {
        let _ = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }

    /// Copies the whole database, as of one moment, to `path`, which is replaced.
    pub(crate) fn backup(&self, path: &Path) -> Result<(), LedgerError> {
        let what = "back up the ledger";
        let mut target = Connection::open(path).map_err(LedgerError::sql(what))?;
        {
            let backup = rusqlite::backup::Backup::new(&self.connection, &mut target)
                .map_err(LedgerError::sql(what))?;
            // All pages in one step: a copy in several begins anew whenever the writer commits in between.
            backup.step(-1).map_err(LedgerError::sql(what))?;
        }
        target
            .pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))
            .map_err(LedgerError::sql(what))
    }
}

fn not_ledger(path: &Path, error: rusqlite::Error) -> LedgerError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
            LedgerError::NotLedger {
                path: path.to_owned(),
                why: "it is no SQLite file, or damaged".to_owned(),
            }
        }
        _ => LedgerError::Sqlite {
            what: "open the ledger",
            source: error,
        },
    }
}

/// Opens a database in WAL mode without writing anything, also while another process writes, also from a folder that cannot
/// be written: without a WAL and without the right to create its index, the file itself is everything.
pub fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    match read_only_as(path, "") {
        // The error of the first try says more than that of the second.
        Err(error) if !has_wal(path) => read_only_as(path, "?immutable=1").map_err(|_| error),
        result => result,
    }
}

fn read_only_as(path: &Path, query: &str) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = if query.is_empty() {
        Connection::open_with_flags(path, flags)?
    } else {
        Connection::open_with_flags(format!("file:{}{query}", escape(path)), flags)?
    };
    connection.busy_timeout(BUSY)?;
    // Nothing is read until something is asked for.
    connection.pragma_query_value(None, "user_version", |_| Ok(()))?;
    Ok(connection)
}

/// One row of entries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'r> {
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) leaves: &'r [u8],
    /// Framed; if there is damage, what could be unpacked before it.
    pub(crate) entries: &'r [u8],
    pub(crate) damage: Option<pack::Damage>,
}

impl Row<'_> {
    /// The framed entries of a row that can be read whole.
    pub(crate) fn whole(&self) -> Result<&[u8], LedgerError> {
        let Some(damage) = self.damage else {
            return Ok(self.entries);
        };
        let last = self.first.saturating_add(self.count).saturating_sub(1);
        Err(LedgerError::Damaged(format!(
            "the row of the entries {} to {last} cannot be read: {damage}; `tieline ledger verify` finds the entry",
            self.first
        )))
    }
}

fn write_rows(
    transaction: &rusqlite::Transaction<'_>,
    batch: &Batch,
    blobs: &[(Digest, &[u8])],
    packed: &mut Vec<u8>,
) -> rusqlite::Result<()> {
    if !blobs.is_empty() {
        let mut insert =
            transaction.prepare_cached("INSERT OR IGNORE INTO blob (digest, bytes) VALUES (?1, ?2)")?;
        for (digest, bytes) in blobs {
            insert.execute(params![digest.as_bytes().as_slice(), bytes])?;
        }
    }
    let mut insert = transaction.prepare_cached(
        "INSERT INTO bundle (first, count, leaves, size, entries) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for bundle in &batch.bundles {
        if bundle.count == TILE_WIDTH && bundle.first < batch.first_index {
            let mut delete = transaction.prepare_cached("DELETE FROM bundle WHERE first >= ?1")?;
            delete.execute([signed(bundle.first)])?;
        }
        insert.execute(params![
            signed(bundle.first),
            bundle.count,
            bundle.leaves,
            signed(bundle.entries.len() as u64),
            pack::pack(&bundle.entries, packed)
        ])?;
    }
    let mut upsert = transaction
        .prepare_cached("INSERT OR REPLACE INTO tile (level, number, hashes) VALUES (?1, ?2, ?3)")?;
    for tile in &batch.tiles {
        upsert.execute(params![tile.level, signed(tile.number), tile.hashes])?;
    }
    Ok(())
}

/// SQLite's integers are signed. A size beyond 2^63 cannot be reached; a negative number is a damaged file, and
/// reads as one that no check will accept.
fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn has_wal(path: &Path) -> bool {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    std::fs::metadata(wal).is_ok_and(|data| data.len() > 0)
}

/// A path within a `file:` URI (RFC 3986): what would end it or change it is escaped.
fn escape(path: &Path) -> String {
    let mut escaped = String::new();
    for character in path.to_string_lossy().chars() {
        match character {
            '%' => escaped.push_str("%25"),
            '?' => escaped.push_str("%3f"),
            '#' => escaped.push_str("%23"),
            other => escaped.push(other),
        }
    }
    escaped
}
