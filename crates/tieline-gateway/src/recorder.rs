//! The ledger's front: entries become canonical JSON and go to the single writer's bounded queue.
//!
//! A decision may be refused when the queue is full (then its call is refused, or served with a gap, as configured). An
//! outcome is owed for every decision taken, so it is always queued; calls in flight bound how many can be owed.

use std::collections::BTreeSet;
use std::sync::Mutex;

use serde::Serialize;
use tieline_core::Tick;
use tieline_core::record::Hex32;
use tieline_ledger::{Done, Health, PushError, Writer};
use tieline_note::jcs;

#[derive(Debug)]
pub(crate) struct Recorder {
    /// Digests archived by this process, so that each version is written once.
    archived: Mutex<BTreeSet<[u8; 32]>>,
    writer: Writer,
}

/// An entry that says something about the service itself.
#[derive(Debug, Serialize)]
pub(crate) struct Event<'a, T> {
    pub(crate) at: Tick,
    pub(crate) body: T,
    pub(crate) id: &'a str,
    pub(crate) t: &'a str,
}

/// Versions archived by one process before the memory of them is emptied; writing one again is harmless.
const ARCHIVED_MAX: usize = 65_536;

impl Recorder {
    pub(crate) fn new(writer: Writer) -> Self {
        Self {
            archived: Mutex::default(),
            writer,
        }
    }

    /// Queue a decision's entry; false if the ledger cannot take it.
    pub(crate) fn decision<T: Serialize>(&self, entry: &T, durable: Option<Done>) -> bool {
        let Some(bytes) = canonical(entry) else {
            return false;
        };
        let pushed = match durable {
            Some(done) => self.writer.push_durable(bytes, done),
            None => self.writer.push(bytes),
        };
        pushed.is_ok()
    }

    /// Queue the entry that a decision taken is owed.
    pub(crate) fn outcome<T: Serialize>(&self, entry: &T) {
        let pushed = canonical(entry).map(|bytes| self.writer.push_owed(bytes));
        if !matches!(pushed, Some(Ok(()))) {
            tracing::error!(
                ?pushed,
                "an outcome could not be recorded; the next start closes the call as lost"
            );
        }
    }

    /// Queue an entry about the service.
    pub(crate) fn event<T: Serialize>(&self, event: &Event<'_, T>) -> Result<(), PushError> {
        match canonical(event) {
            Some(bytes) => self.writer.push_owed(bytes),
            None => Ok(()),
        }
    }

    /// Archive bytes under their digest, once.
    pub(crate) fn archive<T: Serialize>(&self, value: &T) -> Result<Hex32, PushError> {
        let bytes = canonical(value).unwrap_or_default();
        self.archive_bytes(bytes)
    }

    pub(crate) fn archive_bytes(&self, bytes: Vec<u8>) -> Result<Hex32, PushError> {
        let digest = tieline_note::sha256(&bytes).0;
        let mut archived = self
            .archived
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if !archived.contains(&digest) {
            self.writer.put_blob(bytes)?;
            if archived.len() >= ARCHIVED_MAX {
                archived.clear();
            }
            archived.insert(digest);
        }
        Ok(Hex32(digest))
    }

    pub(crate) fn flush(&self) -> Result<u64, PushError> {
        self.writer.flush()
    }

    pub(crate) fn health(&self) -> Health {
        self.writer.health()
    }

    pub(crate) fn head(&self) -> tieline_ledger::Head {
        self.writer.head()
    }

    pub(crate) fn close(&self) -> Result<(), tieline_ledger::LedgerError> {
        self.writer.close()
    }
}

fn canonical<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    // Our own records hold only strings, integers below 2^53 and lists of them; an error is a defect, and is logged.
    jcs::to_vec(value)
        .map_err(|error| tracing::error!(%error, "an entry could not be written as canonical JSON"))
        .ok()
}
