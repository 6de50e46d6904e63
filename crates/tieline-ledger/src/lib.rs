//! Entries, tiles, append, verify, SQLite store.
//!
//! The ledger is a C2SP tlog-tiles log in one SQLite file. [`Log`] appends (one transaction a batch, durable when
//! it returns), [`Writer`] is the thread with the bounded queue in front of it, [`Reader`] reads while another
//! process writes, [`verify`] recomputes every hash from the file alone, [`Index`] finds the entries of a call.
//! Entries are opaque here but for their head (`t`, `at`, `id`). Time and keys are arguments.
//!
//! Files of a state folder: `ledger.db`, `checkpoint.last`, `log.key`, and the derived `index.db`.

pub mod append;
pub mod entry;
pub mod fuzz;
pub mod merkle;
pub mod tile;

mod error;
mod export;
mod files;
mod index;
mod log;
mod reader;
mod store;
mod verify;
mod writer;

pub use entry::{ENTRY_BYTES_MAX, EntryHead};
pub use error::LedgerError;
pub use export::{BackupReport, ExportReport, backup, export_tiles};
pub use files::{create_key, load_key, vkey};
pub use index::{CallRef, Index, ROWS_MAX};
pub use log::{BLOB_BYTES_MAX, Commit, LAST_EVERY_US, Log};
pub use reader::{Head, Reader};
pub use store::read_only;
pub use verify::{Finding, Progress, Report, VerifyOptions, Witness, verify};
pub use writer::{
    BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, Done, Health, OnFull, PushError, Stopped, Writer, WriterConfig,
};
