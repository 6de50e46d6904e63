//! The ledger through its public face, on real files.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests stop the test that called them"
)]

mod export;
mod index;
mod log;
mod vectors;
mod verify;
mod writer;

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tieline_ledger::{Log, Reader, create_key, load_key};

const ORIGIN: &str = "tieline.example/test/log-1";

/// An entry as the gateway would write it.
fn entry(index: u64) -> Vec<u8> {
    let padding = "x".repeat(usize::try_from(index % 40).unwrap());
    format!(
        r#"{{"at":{},"id":"call-{index}","pad":"{padding}","t":"tieline/decision/v1"}}"#,
        1_000_000 + index
    )
    .into_bytes()
}

fn entries(range: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    range.map(entry).collect()
}

/// A state folder with a key and an open ledger.
fn new_log() -> (TempDir, Log) {
    let dir = TempDir::new().unwrap();
    create_key(dir.path(), ORIGIN, &[7; 32]).unwrap();
    let log = open(dir.path()).unwrap();
    (dir, log)
}

fn open(dir: &Path) -> Result<Log, tieline_ledger::LedgerError> {
    Log::open(dir, ORIGIN, load_key(dir)?.unwrap())
}

/// A closed ledger of `size` entries, appended in batches of 100.
fn ledger(size: u64) -> TempDir {
    let (dir, mut log) = new_log();
    let mut at = 0;
    while at < size {
        let end = size.min(at + 100);
        log.append(&entries(at..end), at).unwrap();
        at = end;
    }
    log.close().unwrap();
    dir
}

/// What a crash would leave: the files as they are, whoever has them open.
fn copy(dir: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    for file in fs::read_dir(dir).unwrap() {
        let file = file.unwrap();
        if file.file_name() != "ledger.db-shm" {
            fs::copy(file.path(), to.path().join(file.file_name())).unwrap();
        }
    }
    to
}
