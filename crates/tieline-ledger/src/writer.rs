//! The thread that owns the log, and the bounded queue in front of it.
//!
//! A push costs a lock and a copy behind the entries before it: those of a batch stand in one buffer, so that what waits is
//! no thousand allocations, freed on another thread than made. The thread takes the oldest batch and commits it. When
//! somebody waits for an entry, the next commit begins when the last one ends; entries that nobody waits for may linger
//! first. What happens when the queue is full is configured: refuse, or lose the entry, count it, and write a
//! `tieline/gap/v1` entry where it would have stood. A durable push is never lost but refused.
//! A failed commit stops the writer for good: pushes are refused, [`Health`] says why, callbacks get the error.
//! The clock is the caller's.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use serde::Serialize;
use tieline_note::{Digest, jcs, sha256};

use crate::entry::{self, EntryError};
use crate::error::LedgerError;
use crate::log::{BLOB_BYTES_MAX, LAST_EVERY_US, Log};
use crate::reader::Head;

/// Entries of one commit: 1,024 of 1 KB are 1 MB, 4 bundles, some 4 ms; a durable push waits for two such at most. A commit
/// holds its entries about four times over (queue, frames, rows, SQLite's pages), and what a stall of the disk makes the
/// process take it does not give back: larger commits cost memory for good, and little else is gained.
pub const BATCH_ENTRIES_MAX: usize = 1024;

/// Bytes of one commit, so that 1,024 entries of 64 KB do not make a transaction of 67 MB.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

/// Room for the entries of a batch: 1,024 of 2 KB. Made at once, it is address space until it is written; grown, it would
/// be left behind in pieces. The batch that is committed and the one behind it have one each, which they pass on.
const ROOM_BYTES: usize = 2 << 20;

/// Called on the writer's thread when the entry is durable, with its index. It must not block.
pub type Done = Box<dyn FnOnce(Result<u64, Stopped>) + Send>;

/// Limits of the queue and what to do at them.
#[derive(Debug, Clone)]
pub struct WriterConfig {
    /// Entries that may wait: 65,536 are 0.8 s at 80,000 a second.
    pub queue_entries_max: usize,
    /// Bytes that may wait, blobs included: 16 MiB are 16,384 entries of 1 KB, within the memory bar of the gateway.
    pub queue_bytes_max: usize,
    pub on_full: OnFull,
    /// How long entries that nobody waits for may gather before a commit begins; zero begins at once. A commit costs some
    /// 200 µs of CPU whatever is in it, so that at 10,000 calls a second commits at once take half a core, and commits of
    /// 10 ms a thirtieth. A durable push, a full batch and closing end the wait. It is also what a crash may lose
    /// of the entries that were pushed without waiting, beside the commit under way.
    pub linger: Duration,
}

/// What a push does when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFull {
    /// Refuse the entry; the caller refuses the call.
    Refuse,
    /// Lose the entry and record how many were lost.
    Gap,
}

/// Why a push was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    #[error(
        "the ledger's queue is full ({entries} entries, {bytes} bytes wait): the disk is slower than the calls"
    )]
    Full { entries: usize, bytes: usize },
    #[error("the ledger is closed")]
    Closed,
    #[error(transparent)]
    Stopped(#[from] Stopped),
    #[error(transparent)]
    Entry(#[from] EntryError),
    #[error("a blob of {0} bytes is too long")]
    Blob(usize),
}

/// The writer stopped for good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ledger stopped: {0}")]
pub struct Stopped(pub Arc<str>);

/// The state of the writer at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Why nothing more is written.
    pub stopped: Option<Stopped>,
    /// Why `checkpoint.last` lags behind.
    pub last_failure: Option<String>,
    pub queued_entries: usize,
    pub queued_bytes: usize,
    /// Entries lost because the queue was full, since the start; each is counted in a gap entry.
    pub lost_entries: u64,
    /// Entries that were taken but not written because the writer stopped.
    pub unwritten_entries: u64,
    /// Entries of the ledger.
    pub size: u64,
    /// Commits since the start.
    pub commits: u64,
}

/// A running writer. Dropping it closes it; use [`Writer::close`] to learn whether all was written.
pub struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<Result<(), LedgerError>>>>,
}

impl Default for WriterConfig {
    fn default() -> Self {
        Self {
            queue_entries_max: 65_536,
            queue_bytes_max: 16 << 20,
            on_full: OnFull::Refuse,
            linger: Duration::from_millis(10),
        }
    }
}

// === impl Writer ===

impl Writer {
    /// Starts the thread. `clock` gives the time in µs UTC.
    pub fn spawn(
        log: Log,
        config: WriterConfig,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<Self, LedgerError> {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::default()),
            wake: Condvar::new(),
            state: Mutex::new(State {
                head: head_of(&log),
                last_failure: None,
                commits: 0,
            }),
            config,
            clock: Box::new(clock),
        });
        let for_thread = Arc::clone(&shared);
        let dir = log.dir().to_owned();
        let thread = Builder::new()
            .name("ledger".to_owned())
            .spawn(move || for_thread.run(log))
            .map_err(LedgerError::io("start a thread for", &dir))?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Queues an entry. With [`OnFull::Gap`] a full queue loses the entry, counts it, and says `Ok`.
    pub fn push(&self, entry: impl AsRef<[u8]>) -> Result<(), PushError> {
        entry::check_length(entry.as_ref())?;
        self.shared.push(New::Entry(entry.as_ref(), None))
    }

    /// Queues an entry that is owed for one that was taken, whether the queue is full or not. The caller bounds how many
    /// can be owed, by the calls that it lets in flight.
    pub fn push_owed(&self, entry: impl AsRef<[u8]>) -> Result<(), PushError> {
        entry::check_length(entry.as_ref())?;
        self.shared
            .push_within(New::Entry(entry.as_ref(), None), Limit::Owed)
    }

    /// Queues an entry; `done` is called when it is durable or the writer stopped. On an error it is not called.
    pub fn push_durable(&self, entry: impl AsRef<[u8]>, done: Done) -> Result<(), PushError> {
        entry::check_length(entry.as_ref())?;
        self.shared.push(New::Entry(entry.as_ref(), Some(done)))
    }

    /// Queues bytes to be archived; entries pushed after it that cite the digest are never durable before it.
    pub fn put_blob(&self, bytes: Vec<u8>) -> Result<Digest, PushError> {
        if bytes.len() > BLOB_BYTES_MAX {
            return Err(PushError::Blob(bytes.len()));
        }
        let digest = sha256(&bytes);
        self.shared.push(New::Blob(bytes))?;
        Ok(digest)
    }

    /// Waits until all that was pushed before is durable; the size of the ledger then.
    pub fn flush(&self) -> Result<u64, PushError> {
        let (send, receive) = sync_channel(1);
        let done: Done = Box::new(move |result| drop(send.send(result)));
        self.shared.push(New::Mark(done))?;
        receive
            .recv()
            .map_err(|_| PushError::Closed)?
            .map_err(PushError::Stopped)
    }

    /// Size, root and signed checkpoint of the last commit.
    pub fn head(&self) -> Head {
        lock(&self.shared.state).head.clone()
    }

    pub fn health(&self) -> Health {
        let queue = lock(&self.shared.queue);
        let state = lock(&self.shared.state);
        Health {
            stopped: queue.stopped.clone(),
            last_failure: state.last_failure.clone(),
            queued_entries: queue.entries,
            queued_bytes: queue.bytes,
            lost_entries: queue.lost_ever,
            unwritten_entries: queue.unwritten,
            size: state.head.size,
            commits: state.commits,
        }
    }

    /// Takes nothing more, commits what waits, writes `checkpoint.last`. The second time it does nothing.
    pub fn close(&self) -> Result<(), LedgerError> {
        lock(&self.shared.queue).is_closing = true;
        self.shared.wake.notify_one();
        let Some(thread) = lock(&self.thread).take() else {
            return Ok(());
        };
        thread
            .join()
            .unwrap_or_else(|_| Err(LedgerError::Stopped("its thread died".to_owned())))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Whoever wants to know calls `close` first.
        let _ = self.close();
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

// === impl Shared ===

struct Shared {
    queue: Mutex<Queue>,
    /// Signalled when the thread sleeps and has a reason to wake up.
    wake: Condvar,
    state: Mutex<State>,
    config: WriterConfig,
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
}

#[derive(Default)]
struct Queue {
    /// Oldest first; each is what one commit takes, and only the last takes more.
    batches: VecDeque<Batch>,
    /// One that was committed, for its buffers.
    spare: Option<Batch>,
    entries: usize,
    bytes: usize,
    /// Items that somebody waits for.
    waited: usize,
    gap: Option<Gap>,
    lost_ever: u64,
    unwritten: u64,
    sleep: Sleep,
    is_closing: bool,
    stopped: Option<Stopped>,
}

/// What the thread is waiting for, so that a push wakes it only when it must.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Sleep {
    #[default]
    Awake,
    /// Until anything comes.
    Idle,
    /// Until the linger time ends or somebody waits.
    Linger,
}

/// Whether the queue's limits bind an item.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Limit {
    Owed,
    Queue,
}

/// What one commit takes.
#[derive(Default)]
struct Batch {
    /// Bytes of its items.
    bytes: usize,
    /// Its entries, one behind the other.
    entries: Vec<u8>,
    items: Vec<Item>,
}

/// What is to be queued.
enum New<'e> {
    Entry(&'e [u8], Option<Done>),
    Blob(Vec<u8>),
    Mark(Done),
}

enum Item {
    /// So many of the bytes of entries.
    Entry(usize, Option<Done>),
    Blob(Vec<u8>),
    Mark(Done),
    Gap(Gap),
}

struct State {
    head: Head,
    last_failure: Option<String>,
    commits: u64,
}

/// Entries that were lost in a row.
#[derive(Clone, Copy)]
struct Gap {
    lost: u64,
    first_at_us: u64,
}

impl Shared {
    fn push(&self, item: New<'_>) -> Result<(), PushError> {
        self.push_within(item, Limit::Queue)
    }

    fn push_within(&self, item: New<'_>, limit: Limit) -> Result<(), PushError> {
        let bytes = item.bytes();
        let mut queue = lock(&self.queue);
        if let Some(stopped) = &queue.stopped {
            return Err(PushError::Stopped(stopped.clone()));
        }
        if queue.is_closing {
            return Err(PushError::Closed);
        }
        let is_full = queue.entries >= self.config.queue_entries_max
            || (queue.bytes.saturating_add(bytes) > self.config.queue_bytes_max && queue.entries > 0);
        if is_full && limit == Limit::Queue && !matches!(item, New::Mark(_)) {
            if self.config.on_full == OnFull::Refuse || !matches!(item, New::Entry(_, None)) {
                return Err(PushError::Full {
                    entries: queue.entries,
                    bytes: queue.bytes,
                });
            }
            queue.lost_ever += 1;
            let first_at_us = if queue.gap.is_none() { (self.clock)() } else { 0 };
            queue.gap.get_or_insert(Gap { lost: 0, first_at_us }).lost += 1;
            return Ok(());
        }
        queue.add(item);
        let must_wake = match queue.sleep {
            Sleep::Awake => false,
            Sleep::Idle => true,
            Sleep::Linger => queue.is_due(&self.config),
        };
        if must_wake {
            queue.sleep = Sleep::Awake;
            drop(queue);
            self.wake.notify_one();
        }
        Ok(())
    }

    /// The thread: take, commit, tell; until it is closed and empty, or a commit fails.
    fn run(&self, mut log: Log) -> Result<(), LedgerError> {
        while let Some(batch) = self.take(log.last_lags()) {
            if batch.items.is_empty() {
                log.catch_up();
                lock(&self.state).last_failure = log.last_failure().map(str::to_owned);
                continue;
            }
            let committed = catch_unwind(AssertUnwindSafe(|| self.commit(&mut log, &batch)));
            let committed = committed.unwrap_or_else(|_| Err(LedgerError::Stopped("a defect".to_owned())));
            match committed {
                Ok(first_index) => {
                    // Those who are told may push.
                    let told = tell(batch, first_index);
                    lock(&self.queue).keep(told);
                }
                Err(error) => {
                    self.stop(&error.to_string(), batch);
                    return Err(error);
                }
            }
        }
        log.close()
    }

    /// Waits for work; `None` when there is none and there will be none, nothing when none came for a second while
    /// `checkpoint.last` lags.
    fn take(&self, last_lags: bool) -> Option<Batch> {
        let mut queue = lock(&self.queue);
        while queue.batches.is_empty() {
            if queue.is_closing {
                return None;
            }
            queue.sleep = Sleep::Idle;
            if last_lags {
                let waited = self
                    .wake
                    .wait_timeout(queue, Duration::from_micros(LAST_EVERY_US));
                let (woken, waited) = waited.unwrap_or_else(PoisonError::into_inner);
                queue = woken;
                if waited.timed_out() && queue.batches.is_empty() {
                    queue.sleep = Sleep::Awake;
                    return Some(Batch::default());
                }
            } else {
                queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        }
        if !self.config.linger.is_zero() && !queue.is_due(&self.config) {
            queue.sleep = Sleep::Linger;
            let waited = self.wake.wait_timeout(queue, self.config.linger);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.sleep = Sleep::Awake;
        Some(queue.take_batch())
    }

    /// Commits the batch; the index of its first entry.
    fn commit(&self, log: &mut Log, batch: &Batch) -> Result<u64, LedgerError> {
        let now_us = (self.clock)();
        let items = &batch.items;
        let gaps: Vec<Vec<u8>> = items
            .iter()
            .filter_map(|item| match item {
                Item::Gap(gap) => Some(gap.entry(now_us)),
                _ => None,
            })
            .collect();
        let (mut gaps, mut entries, mut blobs) = (gaps.iter(), Vec::with_capacity(items.len()), Vec::new());
        let mut rest = batch.entries.as_slice();
        for item in items {
            match item {
                Item::Entry(length, _) => {
                    let entry;
                    (entry, rest) = rest.split_at_checked(*length).unwrap_or_default();
                    entries.push(entry);
                }
                Item::Gap(_) => entries.extend(gaps.next().map(Vec::as_slice)),
                Item::Blob(bytes) => blobs.push(bytes.as_slice()),
                Item::Mark(_) => {}
            }
        }
        let committed = log.commit(&entries, &blobs, now_us)?;
        let mut state = lock(&self.state);
        state.head = head_of(log);
        state.last_failure = log.last_failure().map(str::to_owned);
        state.commits += 1;
        Ok(committed.first_index)
    }

    /// Refuses everything from here on; whoever waits is told.
    fn stop(&self, why: &str, batch: Batch) {
        let stopped = Stopped(why.into());
        let mut queue = lock(&self.queue);
        queue.stopped = Some(stopped.clone());
        queue.spare = None;
        let behind = std::mem::take(&mut queue.batches);
        let waiting: Vec<Item> = std::iter::once(batch)
            .chain(behind)
            .flat_map(|batch| batch.items)
            .collect();
        let unwritten = waiting
            .iter()
            .filter(|item| matches!(item, Item::Entry(..)))
            .count();
        queue.unwritten += u64::try_from(unwritten).unwrap_or(u64::MAX);
        (queue.entries, queue.bytes) = (0, 0);
        drop(queue);
        for item in waiting {
            if let Item::Entry(_, Some(done)) | Item::Mark(done) = item {
                call(done, Err(stopped.clone()));
            }
        }
    }
}

// === impl Queue ===

impl Queue {
    fn add(&mut self, item: New<'_>) {
        let bytes = item.bytes();
        self.bytes += bytes;
        self.entries += 1;
        self.waited += usize::from(item.is_waited_for());
        self.make_room(bytes);
        if let Some(last) = self.batches.back_mut() {
            last.add(item);
        }
    }

    /// See to it that the last batch takes an item of so many bytes.
    fn make_room(&mut self, bytes: usize) {
        if !self.batches.back().is_some_and(|batch| batch.takes(bytes)) {
            self.batches
                .push_back(self.spare.take().unwrap_or_else(Batch::with_room));
        }
    }

    /// The oldest batch. What was lost meanwhile was lost after all that is in the queue.
    fn take_batch(&mut self) -> Batch {
        let batch = self.batches.pop_front().unwrap_or_default();
        self.bytes -= batch.bytes;
        self.entries -= batch.items.len();
        self.waited -= batch.items.iter().filter(|item| item.is_waited_for()).count();
        if let Some(gap) = self.gap.take() {
            self.entries += 1;
            self.make_room(0);
            if let Some(last) = self.batches.back_mut() {
                last.items.push(Item::Gap(gap));
            }
        }
        batch
    }

    /// Keep a batch that was committed for the next one, unless a flood or large entries have made it larger than most are.
    fn keep(&mut self, mut batch: Batch) {
        if batch.entries.capacity() <= ROOM_BYTES {
            batch.clear();
            self.spare = Some(batch);
        }
    }

    /// True if a commit should begin although the linger time has not passed.
    fn is_due(&self, config: &WriterConfig) -> bool {
        self.waited > 0
            || self.is_closing
            || self.entries >= BATCH_ENTRIES_MAX.min(config.queue_entries_max / 2)
            || self.bytes >= BATCH_BYTES_MAX.min(config.queue_bytes_max / 2)
    }
}

// === impl Batch, New, Item, Gap ===

impl Batch {
    fn with_room() -> Self {
        Self {
            bytes: 0,
            entries: Vec::with_capacity(ROOM_BYTES),
            items: Vec::with_capacity(BATCH_ENTRIES_MAX),
        }
    }

    /// Whether an item of so many bytes still belongs to it.
    fn takes(&self, bytes: usize) -> bool {
        let is_within = self.bytes.saturating_add(bytes) <= BATCH_BYTES_MAX || self.items.is_empty();
        self.items.len() < BATCH_ENTRIES_MAX && is_within
    }

    fn add(&mut self, item: New<'_>) {
        self.bytes += item.bytes();
        self.items.push(match item {
            New::Entry(bytes, done) => {
                self.entries.extend_from_slice(bytes);
                Item::Entry(bytes.len(), done)
            }
            New::Blob(bytes) => Item::Blob(bytes),
            New::Mark(done) => Item::Mark(done),
        });
    }

    /// Empty, with the room that it has.
    fn clear(&mut self) {
        self.bytes = 0;
        self.entries.clear();
        self.items.clear();
    }
}

impl New<'_> {
    const fn bytes(&self) -> usize {
        match self {
            Self::Entry(bytes, _) => bytes.len(),
            Self::Blob(bytes) => bytes.len(),
            Self::Mark(_) => 0,
        }
    }

    const fn is_waited_for(&self) -> bool {
        matches!(self, Self::Entry(_, Some(_)) | Self::Mark(_))
    }
}

impl Item {
    const fn is_waited_for(&self) -> bool {
        matches!(self, Self::Entry(_, Some(_)) | Self::Mark(_))
    }
}

impl Gap {
    fn entry(&self, at_us: u64) -> Vec<u8> {
        #[derive(Serialize)]
        struct Entry<'e> {
            at: u64,
            first_at: u64,
            id: &'e str,
            lost: u64,
            t: &'e str,
        }
        let id = format!("gap-{}", self.first_at_us);
        let entry = Entry {
            at: at_us,
            first_at: self.first_at_us,
            id: &id,
            lost: self.lost,
            t: "tieline/gap/v1",
        };
        // It fails only for a time or a count beyond 2^53, where the shortest true entry is better than none.
        jcs::to_vec(&entry)
            .unwrap_or_else(|_| br#"{"at":0,"id":"gap-unknown","t":"tieline/gap/v1"}"#.to_vec())
    }
}

// === helpers ===

/// A panic while the lock was held left nothing half-done that matters here: every field is valid on its own.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn head_of(log: &Log) -> Head {
    Head {
        origin: log.origin().to_owned(),
        size: log.size(),
        root: log.root(),
        checkpoint: log.checkpoint().to_owned(),
    }
}

/// Tells everyone who waits the index of their entry; a mark gets the number of entries before it. What is left is the
/// room of the batch.
fn tell(mut batch: Batch, first_index: u64) -> Batch {
    let mut index = first_index;
    for item in batch.items.drain(..) {
        match item {
            Item::Entry(_, done) => {
                if let Some(done) = done {
                    call(done, Ok(index));
                }
                index += 1;
            }
            Item::Gap(_) => index += 1,
            Item::Mark(done) => call(done, Ok(index)),
            Item::Blob(_) => {}
        }
    }
    batch
}

/// A callback is the caller's code; its panic must not take the ledger with it.
fn call(done: Done, result: Result<u64, Stopped>) {
    let _ = catch_unwind(AssertUnwindSafe(move || done(result)));
}
