//! Which entries belong to a call: a derived index in `DIR/index.db`, rebuilt whenever it does not fit the ledger.
//!
//! It knows four things only: the entries that name an id (as `id` or as `call`), the decisions in order, the decisions
//! without an outcome, and how far it has read. It is written behind and may be deleted at any time.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use tieline_note::Digest;

use crate::entry;
use crate::error::LedgerError;
use crate::files::INDEX_FILE;
use crate::merkle::leaf_hash;
use crate::reader::Reader;

/// Entries indexed in one transaction: 16,384 take some 50 ms and 4 MB of pages.
const STEP_ENTRIES: u64 = 16_384;

/// Rows that one query returns at most.
pub const ROWS_MAX: usize = 10_000;

const INDEX_VERSION: i64 = 1;

const SCHEMA: &str = "
    DROP TABLE IF EXISTS mention; DROP TABLE IF EXISTS decision; DROP TABLE IF EXISTS undecided;
    DROP TABLE IF EXISTS progress;
    CREATE TABLE mention (id TEXT NOT NULL, entry INTEGER NOT NULL, PRIMARY KEY (id, entry)) STRICT, WITHOUT ROWID;
    CREATE TABLE decision (entry INTEGER PRIMARY KEY, id TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
    CREATE TABLE undecided (id TEXT PRIMARY KEY, entry INTEGER NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE progress (
        one INTEGER PRIMARY KEY CHECK (one = 1), origin TEXT NOT NULL, size INTEGER NOT NULL, anchor BLOB NOT NULL) STRICT;
";

/// A decision as the index knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRef {
    /// The call's id.
    pub id: String,
    /// Index of its decision in the ledger.
    pub entry: u64,
    /// When it was decided, in µs UTC.
    pub at_us: u64,
}

/// The query index of one ledger.
#[derive(Debug)]
pub struct Index {
    connection: Connection,
}

impl Index {
    /// Opens `dir/index.db`; a file that is missing, damaged or of another version is begun anew.
    pub fn open(dir: &Path) -> Result<Self, LedgerError> {
        let path = dir.join(INDEX_FILE);
        if let Ok(index) = Self::open_file(&path) {
            return Ok(index);
        }
        for suffix in ["", "-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            match std::fs::remove_file(&name) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(LedgerError::io("remove", Path::new(&name))(error));
                }
                _ => {}
            }
        }
        Self::open_file(&path)
    }

    fn open_file(path: &Path) -> Result<Self, LedgerError> {
        let what = "open the index";
        let connection = Connection::open(path).map_err(LedgerError::sql(what))?;
        let tune = || {
            connection.busy_timeout(std::time::Duration::from_secs(5))?;
            connection.pragma_update(None, "trusted_schema", false)?;
            connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
            connection.pragma_update(None, "synchronous", "normal")?;
            connection.pragma_update(None, "cache_size", -2048)?;
            connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
        };
        let version = tune().map_err(LedgerError::sql(what))?;
        if version != INDEX_VERSION {
            let create = format!("BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {INDEX_VERSION}; COMMIT;");
            connection
                .execute_batch(&create)
                .map_err(LedgerError::sql(what))?;
        }
        Ok(Self { connection })
    }

    /// Reads what the ledger has and the index has not; begins anew if the index is of another ledger or ahead of this
    /// one. The number of entries indexed afterwards.
    pub fn catch_up(&mut self, reader: &Reader) -> Result<u64, LedgerError> {
        let head = reader.head()?;
        let mut size = match self.progress()? {
            Some((origin, size, anchor))
                if origin == head.origin && fits(reader, head.size, size, &anchor)? =>
            {
                size
            }
            _ => {
                self.connection
                    .execute_batch(&format!("BEGIN IMMEDIATE; {SCHEMA} COMMIT;"))
                    .map_err(LedgerError::sql("begin the index anew"))?;
                0
            }
        };
        while size < head.size {
            let end = head.size.min(size + STEP_ENTRIES);
            size = self.step(reader, &head.origin, size, end)?;
        }
        Ok(size)
    }

    /// Indices of the entries that name `id`, in order; at most [`ROWS_MAX`].
    pub fn entries_of(&self, id: &str) -> Result<Vec<u64>, LedgerError> {
        let query = format!("SELECT entry FROM mention WHERE id = ?1 ORDER BY entry LIMIT {ROWS_MAX}");
        let read = || {
            let mut statement = self.connection.prepare_cached(&query)?;
            let rows = statement.query_map([id], |row| Ok(unsigned(row.get(0)?)))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(LedgerError::sql("read the index"))
    }

    /// The newest decisions, newest first; at most [`ROWS_MAX`].
    pub fn latest(&self, count: usize) -> Result<Vec<CallRef>, LedgerError> {
        self.calls(
            "SELECT id, entry, at FROM decision ORDER BY entry DESC LIMIT ?1",
            count,
        )
    }

    /// Decisions without an outcome, oldest first; at most [`ROWS_MAX`].
    pub fn undecided(&self) -> Result<Vec<CallRef>, LedgerError> {
        self.calls(
            "SELECT id, entry, at FROM undecided ORDER BY entry LIMIT ?1",
            ROWS_MAX,
        )
    }

    /// Number of decisions.
    pub fn decisions(&self) -> Result<u64, LedgerError> {
        self.connection
            .query_row("SELECT count(*) FROM decision", [], |row| {
                Ok(unsigned(row.get(0)?))
            })
            .map_err(LedgerError::sql("read the index"))
    }

    fn calls(&self, query: &str, count: usize) -> Result<Vec<CallRef>, LedgerError> {
        let limit = i64::try_from(count.min(ROWS_MAX)).unwrap_or(0);
        let read = || {
            let mut statement = self.connection.prepare_cached(query)?;
            let rows = statement.query_map([limit], |row| {
                Ok(CallRef {
                    id: row.get(0)?,
                    entry: unsigned(row.get(1)?),
                    at_us: unsigned(row.get(2)?),
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(LedgerError::sql("read the index"))
    }

    fn progress(&self) -> Result<Option<(String, u64, Vec<u8>)>, LedgerError> {
        self.connection
            .query_row("SELECT origin, size, anchor FROM progress", [], |row| {
                Ok((row.get(0)?, unsigned(row.get(1)?), row.get(2)?))
            })
            .optional()
            .map_err(LedgerError::sql("read the index"))
    }

    /// Indexes a range; how far the index reaches then. Another process may have been faster.
    fn step(&mut self, reader: &Reader, origin: &str, start: u64, end: u64) -> Result<u64, LedgerError> {
        let what = "write the index";
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(LedgerError::sql(what))?;
        let reached = transaction
            .query_row("SELECT size FROM progress", [], |row| Ok(unsigned(row.get(0)?)))
            .optional()
            .map_err(LedgerError::sql(what))?
            .unwrap_or(0);
        if reached != start {
            return Ok(reached);
        }
        let mut anchor = Digest::default();
        let mut next = start;
        reader.for_each(start..end, |index, entry| {
            insert(&transaction, index, entry).map_err(LedgerError::sql(what))?;
            next = index + 1;
            if next == end {
                anchor = leaf_hash(entry);
            }
            Ok::<(), LedgerError>(())
        })?;
        if next != end {
            return Err(LedgerError::Damaged(format!("entry {next} cannot be read")));
        }
        transaction
            .execute(
                "INSERT OR REPLACE INTO progress (one, origin, size, anchor) VALUES (1, ?1, ?2, ?3)",
                params![origin, signed(end), anchor.as_bytes().as_slice()],
            )
            .and_then(|_| transaction.commit())
            .map_err(LedgerError::sql(what))?;
        Ok(end)
    }
}

/// True if the last entry that was indexed still stands where it stood.
fn fits(reader: &Reader, ledger_size: u64, size: u64, anchor: &[u8]) -> Result<bool, LedgerError> {
    if size > ledger_size || size == 0 {
        return Ok(size == 0);
    }
    let entry = reader.entry(size - 1)?;
    Ok(entry.is_some_and(|entry| leaf_hash(&entry).as_bytes() == anchor))
}

/// An entry whose head cannot be read is left out; to say so is the business of a deep verification.
fn insert(transaction: &rusqlite::Transaction<'_>, index: u64, bytes: &[u8]) -> rusqlite::Result<()> {
    let Ok(head) = entry::head(bytes) else {
        return Ok(());
    };
    let call = head.call.as_deref().unwrap_or(&head.id);
    let mut mention =
        transaction.prepare_cached("INSERT OR IGNORE INTO mention (id, entry) VALUES (?1, ?2)")?;
    mention.execute(params![head.id, signed(index)])?;
    if call != head.id {
        mention.execute(params![call, signed(index)])?;
    }
    match entry::type_name(&head.t) {
        Some("decision") => {
            let row = params![call, signed(index), signed(head.at)];
            transaction
                .prepare_cached("INSERT INTO decision (id, entry, at) VALUES (?1, ?2, ?3)")?
                .execute(row)?;
            transaction
                .prepare_cached("INSERT OR REPLACE INTO undecided (id, entry, at) VALUES (?1, ?2, ?3)")?
                .execute(row)?;
        }
        Some("outcome") => {
            transaction
                .prepare_cached("DELETE FROM undecided WHERE id = ?1")?
                .execute([call])?;
        }
        _ => {}
    }
    Ok(())
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
