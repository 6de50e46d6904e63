//! The ledger's front: entries become canonical JSON and go to the single writer's bounded queue.
//!
//! A decision may be refused when the queue is full (then its call is refused, or served with a gap, as configured). An
//! outcome is owed for every decision taken, so it is always queued; calls in flight bound how many can be owed.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use tieline_core::Tick;
use tieline_core::record::Hex32;
use tieline_ledger::{Done, Health, PushError, Writer};
use tieline_note::jcs;

#[derive(Debug)]
pub(crate) struct Recorder {
    /// Digests archived by this process, so that each version is written once.
    archived: Mutex<BTreeSet<[u8; 32]>>,
    /// That the writer stopped is logged once, however many entries come after.
    is_stop_told: AtomicBool,
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
            is_stop_told: AtomicBool::new(false),
            writer,
        }
    }

    /// Queue a decision's entry; false if the ledger cannot take it.
    pub(crate) fn decision<T: Serialize>(&self, entry: &T, durable: Option<Done>) -> bool {
        let pushed = written(entry, |bytes| match durable {
            Some(done) => self.writer.push_durable(bytes, done),
            None => self.writer.push(bytes),
        });
        pushed.is_some_and(|pushed| self.told(pushed).is_ok())
    }

    /// Queue the entry that a decision taken is owed.
    pub(crate) fn outcome<T: Serialize>(&self, entry: &T) {
        let pushed = written(entry, |bytes| self.writer.push_owed(bytes)).map(|pushed| self.told(pushed));
        if !matches!(pushed, Some(Ok(()) | Err(PushError::Stopped(_)))) {
            tracing::error!(
                ?pushed,
                "an outcome could not be recorded; the next start closes the call as lost"
            );
        }
    }

    /// Queue an entry about the service.
    pub(crate) fn event<T: Serialize>(&self, event: &Event<'_, T>) -> Result<(), PushError> {
        match written(event, |bytes| self.writer.push_owed(bytes)) {
            Some(pushed) => self.told(pushed),
            None => Ok(()),
        }
    }

    /// Archive bytes under their digest, once.
    pub(crate) fn archive<T: Serialize>(&self, value: &T) -> Result<Hex32, PushError> {
        let bytes = jcs::to_vec(value).map_err(not_canonical).unwrap_or_default();
        self.archive_bytes(bytes)
    }

    pub(crate) fn archive_bytes(&self, bytes: Vec<u8>) -> Result<Hex32, PushError> {
        let digest = tieline_note::sha256(&bytes).0;
        let mut archived = self
            .archived
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if !archived.contains(&digest) {
            self.told(self.writer.put_blob(bytes))?;
            if archived.len() >= ARCHIVED_MAX {
                archived.clear();
            }
            archived.insert(digest);
        }
        Ok(Hex32(digest))
    }

    pub(crate) fn flush(&self) -> Result<u64, PushError> {
        self.told(self.writer.flush())
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

impl Recorder {
    /// Log the first push that finds the writer stopped.
    fn told<T>(&self, pushed: Result<T, PushError>) -> Result<T, PushError> {
        if let Err(PushError::Stopped(why)) = &pushed
            && !self.is_stop_told.swap(true, Ordering::Relaxed)
        {
            tracing::error!(
                %why,
                "the ledger has stopped: calls are refused from here on, and open ones are closed as lost at the next \
                 start; make room on the disk of the state folder, or repair it, and start again"
            );
        }
        pushed
    }
}

thread_local! {
    /// Where a thread writes its entries, one after the other; the queue takes a copy.
    static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Room for an entry that a thread keeps: the longest that the ledger takes.
const WRITTEN_BYTES_MAX: usize = 64 << 10;

/// Hand the canonical bytes of an entry on; nothing if it has none.
fn written<T: Serialize, R>(entry: &T, push: impl FnOnce(&[u8]) -> R) -> Option<R> {
    // Taken out meanwhile: nothing that `push` may do meets it.
    let mut bytes = WRITTEN.take();
    bytes.clear();
    let pushed = match jcs::to_writer(&mut bytes, entry) {
        Ok(()) => Some(push(&bytes)),
        Err(error) => {
            not_canonical(error);
            None
        }
    };
    bytes.shrink_to(WRITTEN_BYTES_MAX);
    WRITTEN.set(bytes);
    pushed
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn not_canonical(error: jcs::JcsError) {
    // Our own records hold only strings, integers below 2^53 and lists of them; an error is a defect, and is logged.
    tracing::error!(%error, "an entry could not be written as canonical JSON");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tieline_ledger::{Log, WriterConfig};
    use tracing::field::{Field, Visit};
    use tracing::span;

    use super::*;

    /// Keeps what is logged as an error.
    #[derive(Clone, Default)]
    struct Errors(Arc<Mutex<Vec<String>>>);

    struct Line<'a>(&'a mut String);

    impl Visit for Line<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            use std::fmt::Write as _;
            write!(self.0, "{field}={value:?} ").unwrap();
        }
    }

    impl tracing::Subscriber for Errors {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            *metadata.level() == tracing::Level::ERROR
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            let mut line = String::new();
            event.record(&mut Line(&mut line));
            self.0.lock().unwrap().push(line);
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    /// Every write to the ledger's file fails from here on, as on a full disk.
    fn fill(dir: &std::path::Path) {
        let file = rusqlite::Connection::open(dir.join("ledger.db")).unwrap();
        let tables: Vec<String> = file
            .prepare("SELECT name FROM sqlite_master WHERE type = 'table'")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        for table in tables {
            for act in ["INSERT", "UPDATE"] {
                let trigger = format!(
                    "CREATE TRIGGER full_{table}_{act} BEFORE {act} ON {table} \
                     BEGIN SELECT RAISE(ABORT, 'no room left'); END"
                );
                file.execute_batch(&trigger).unwrap();
            }
        }
    }

    #[test]
    fn a_ledger_that_stopped_is_logged_once_with_why_and_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let origin = "tieline.example/recorder";
        let signer = tieline_ledger::create_key(dir.path(), origin, &[7; 32]).unwrap();
        let log = Log::open(dir.path(), origin, signer).unwrap();
        let recorder = Recorder::new(Writer::spawn(log, WriterConfig::default(), || 1).unwrap());
        fill(dir.path());
        let errors = Errors::default();
        tracing::subscriber::with_default(errors.clone(), || {
            let entry = Event {
                at: Tick(1),
                body: "x",
                id: "1",
                t: "tieline/test/v1",
            };
            assert!(recorder.decision(&entry, None), "the queue takes it");
            assert!(recorder.flush().is_err());
            assert!(!recorder.decision(&entry, None));
            recorder.outcome(&entry);
            recorder.outcome(&entry);
            assert!(recorder.event(&entry).is_err());
        });
        let errors = errors.0.lock().unwrap();
        assert_eq!(errors.len(), 1, "{errors:?}");
        for part in ["no room left", "disk of the state folder", "start again"] {
            assert!(errors[0].contains(part), "{errors:?}");
        }
    }
}
