//! What can go wrong with a ledger on disk.

use std::io;
use std::path::{Path, PathBuf};

use tieline_note::CheckpointError;

use crate::append::EdgeError;
use crate::entry::EntryError;

/// Why the ledger could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("{what} {path}: {source}")]
    Io {
        /// Reads before the path: `read`, `write`.
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{what}: {source}")]
    Sqlite {
        what: &'static str,
        source: rusqlite::Error,
    },
    #[error("{path} is not a tieline ledger: {why}")]
    NotLedger { path: PathBuf, why: String },
    #[error(
        "{path} has the format version {found}, this program knows up to {known}: it was written by a newer tieline; \
         use that one"
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("the ledger is damaged: {0}; run `tieline ledger verify`")]
    Damaged(String),
    #[error("the stored right edge of the ledger is damaged: {0}; run `tieline ledger verify`")]
    Edge(#[from] EdgeError),
    #[error(
        "the ledger has {size} entries, but its checkpoint.last says {expected}: its tail was cut off, or an old copy \
         was restored; restore the whole folder from one backup, or keep this one aside and start a new ledger"
    )]
    Shortened { size: u64, expected: u64 },
    #[error("{which} is not this ledger's: {source}")]
    Checkpoint {
        /// Such as `the stored checkpoint`, `checkpoint.last`.
        which: &'static str,
        source: CheckpointError,
    },
    #[error(transparent)]
    Entry(#[from] EntryError),
    #[error("a blob of {length} bytes is more than {max} bytes")]
    Blob { length: usize, max: usize },
    #[error("{path}: {why}")]
    Key { path: PathBuf, why: String },
    #[error(
        "the ledger stopped after an earlier failure and takes nothing more until it is opened again: {0}"
    )]
    Stopped(String),
}

impl LedgerError {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn sql(what: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        move |source| Self::Sqlite { what, source }
    }
}
