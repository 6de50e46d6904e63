//! The one writer of a ledger: appends batches, signs, keeps `checkpoint.last`.
//!
//! [`Log::commit`] is one transaction and durable when it returns. `checkpoint.last` is written when the log is created,
//! after a commit if the last time was a second or more ago ([`LAST_EVERY_US`]), by [`crate::Writer`] a second after its
//! last commit if it then lags, and on [`Log::close`]; a tail cut off the database is noticed down to that checkpoint.
//! After a failed commit the log takes nothing more.

use std::ops::Range;
use std::path::{Path, PathBuf};

use tieline_note::{Checkpoint, Digest, Signer, sha256};

use crate::append::Sequencer;
use crate::error::LedgerError;
use crate::files::{self, LEDGER_FILE};
use crate::reader::Reader;
use crate::store::{Store, StoredHead};
use crate::tile::{LEVEL_MAX, TilePath};

/// Two syncs a second are nothing beside those of the commits, and a second is what an operator can answer for.
pub const LAST_EVERY_US: u64 = 1_000_000;

/// The size of a blob: the grid of 10,000 channels with prices is about 10 MB.
pub const BLOB_BYTES_MAX: usize = 64 << 20;

/// What one commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// Index of the first entry of the batch.
    pub first_index: u64,
    /// Entries of the ledger afterwards.
    pub size: u64,
    /// Root hash afterwards.
    pub root: Digest,
}

/// A ledger that is open for writing.
#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    reader: Reader,
    sequencer: Sequencer,
    signer: Signer,
    checkpoint: String,
    /// Entries were committed since `checkpoint.last` was written.
    last_lags: bool,
    last_written_us: u64,
    /// Why `checkpoint.last` could not be written; tried again at the next commit.
    last_failure: Option<String>,
    stopped: Option<String>,
}

impl Log {
    /// Creates the ledger of `dir`, or resumes it after checking its right edge, its signed head and `checkpoint.last`.
    /// The signer's name must be `origin`. The caller holds `DIR/lock`.
    pub fn open(dir: &Path, origin: &str, signer: Signer) -> Result<Self, LedgerError> {
        std::fs::create_dir_all(dir).map_err(LedgerError::io("create", dir))?;
        let store = Store::open(&dir.join(LEDGER_FILE))?;
        let last = files::read_small(&files::last_path(dir))?;
        let checkpoint = if let Some(head) = store.head()? {
            head.checkpoint
        } else {
            // A database without a head was never used; beside a checkpoint.last it replaces one that was.
            if let Some(last) = &last {
                let last = open_checkpoint(last, &signer, "checkpoint.last")?;
                return Err(LedgerError::Shortened {
                    size: 0,
                    expected: last.size,
                });
            }
            let root = Sequencer::default().root();
            let checkpoint = Checkpoint {
                origin: origin.to_owned(),
                size: 0,
                root,
            };
            let checkpoint = sign(&checkpoint, &signer)?;
            store.create_head(&StoredHead {
                origin: origin.to_owned(),
                size: 0,
                checkpoint: checkpoint.clone(),
            })?;
            checkpoint
        };
        let reader = Reader::over(store);
        let sequencer = resume(&reader, &checkpoint, &signer)?;
        match &last {
            Some(last) => check_last(&reader, &sequencer, last, &signer)?,
            None if sequencer.size() == 0 => files::replace(&files::last_path(dir), &checkpoint)?,
            None => {
                let why = "checkpoint.last is missing, without which a tail that was cut off is not noticed; put the \
                    newest signed checkpoint that you have there (beside a backup stands its own)";
                return Err(LedgerError::Damaged(why.to_owned()));
            }
        }
        let dir = dir.to_owned();
        let (last_failure, stopped) = (None, None);
        Ok(Self {
            dir,
            reader,
            sequencer,
            signer,
            checkpoint,
            last_lags: false,
            last_written_us: 0,
            last_failure,
            stopped,
        })
    }

    /// Appends entries: one transaction, durable when it returns. `at_us` is the time (µs, UTC).
    pub fn append<E: AsRef<[u8]>>(&mut self, entries: &[E], at_us: u64) -> Result<Commit, LedgerError> {
        self.commit(entries, &[] as &[&[u8]], at_us)
    }

    /// Appends entries together with the blobs that they cite. No entries and no blobs is no commit.
    pub fn commit<E: AsRef<[u8]>, B: AsRef<[u8]>>(
        &mut self,
        entries: &[E],
        blobs: &[B],
        at_us: u64,
    ) -> Result<Commit, LedgerError> {
        if let Some(why) = &self.stopped {
            return Err(LedgerError::Stopped(why.clone()));
        }
        let mut rows = Vec::with_capacity(blobs.len());
        for blob in blobs {
            let bytes = blob.as_ref();
            if bytes.len() > BLOB_BYTES_MAX {
                return Err(LedgerError::Blob {
                    length: bytes.len(),
                    max: BLOB_BYTES_MAX,
                });
            }
            rows.push((sha256(bytes), bytes));
        }
        let batch = self.sequencer.append(entries)?;
        let commit = Commit {
            first_index: batch.first_index,
            size: batch.size,
            root: batch.root,
        };
        if entries.is_empty() && blobs.is_empty() {
            return Ok(commit);
        }
        let origin = self.signer.name().to_owned();
        let checkpoint = Checkpoint {
            origin: origin.clone(),
            size: batch.size,
            root: batch.root,
        };
        let checkpoint = sign(&checkpoint, &self.signer)?;
        let head = StoredHead {
            origin,
            size: batch.size,
            checkpoint,
        };
        if let Err(error) = self.reader.store_mut().write(&batch, &rows, &head) {
            self.stopped = Some(error.to_string());
            return Err(error);
        }
        self.checkpoint = head.checkpoint;
        self.last_lags = true;
        if at_us.abs_diff(self.last_written_us) >= LAST_EVERY_US {
            self.write_last(at_us);
        }
        Ok(commit)
    }

    /// Archives bytes under their digest, once; durable when it returns.
    pub fn put_blob(&mut self, bytes: &[u8]) -> Result<Digest, LedgerError> {
        let digest = sha256(bytes);
        if self.reader.blob(&digest)?.is_none() {
            let at_us = self.last_written_us;
            self.commit(&[] as &[&[u8]], &[bytes], at_us)?;
        }
        Ok(digest)
    }

    /// The bytes archived under `digest`.
    pub fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, LedgerError> {
        self.reader.blob(digest)
    }

    pub fn origin(&self) -> &str {
        self.signer.name()
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn size(&self) -> u64 {
        self.sequencer.size()
    }

    pub fn root(&self) -> Digest {
        self.sequencer.root()
    }

    /// The signed checkpoint of the last commit.
    pub fn checkpoint(&self) -> &str {
        &self.checkpoint
    }

    /// The entries of a range; what lies beyond the end is left out.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<Vec<u8>>, LedgerError> {
        self.reader.read(range)
    }

    /// The bytes of a tile, `None` if the log is not that long.
    pub fn tile(&self, path: &TilePath) -> Result<Option<Vec<u8>>, LedgerError> {
        self.reader.tile(path)
    }

    /// The reading side.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Why `checkpoint.last` lags behind, if it does.
    pub fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }

    /// Whether `checkpoint.last` is older than the last commit.
    pub(crate) const fn last_lags(&self) -> bool {
        self.last_lags
    }

    /// Brings `checkpoint.last` up to the last commit.
    pub(crate) fn catch_up(&mut self) {
        self.write_last(self.last_written_us);
    }

    /// Writes `checkpoint.last` and folds the WAL into the database.
    pub fn close(mut self) -> Result<(), LedgerError> {
        if self.stopped.is_none() {
            self.write_last(self.last_written_us);
            self.reader.store_mut().settle();
        }
        match self.last_failure.take() {
            Some(why) => Err(LedgerError::Stopped(why)),
            None => Ok(()),
        }
    }

    fn write_last(&mut self, at_us: u64) {
        let written = files::replace(&files::last_path(&self.dir), &self.checkpoint);
        self.last_failure = written.err().map(|error| error.to_string());
        if self.last_failure.is_none() {
            self.last_written_us = at_us;
            self.last_lags = false;
        }
    }
}

fn sign(checkpoint: &Checkpoint, signer: &Signer) -> Result<String, LedgerError> {
    let which = "the given key";
    checkpoint
        .sign(signer)
        .map_err(|source| LedgerError::Checkpoint { which, source })
}

fn open_checkpoint(note: &str, signer: &Signer, which: &'static str) -> Result<Checkpoint, LedgerError> {
    Checkpoint::open(note, signer.verifier()).map_err(|source| LedgerError::Checkpoint { which, source })
}

/// Rebuilds the right edge from the stored tiles and compares it with the signed head.
fn resume(reader: &Reader, checkpoint: &str, signer: &Signer) -> Result<Sequencer, LedgerError> {
    let head = open_checkpoint(checkpoint, signer, "the stored checkpoint")?;
    let size = head.size;
    let mut edges: [Vec<u8>; LEVEL_MAX as usize + 1] = Default::default();
    let mut tail = Vec::new();
    let mut end = size & !255;
    let mut pieces = 0_u16;
    reader.store().bundles(size & !255, u64::MAX, |row| {
        if row.first != end {
            return Err(LedgerError::Damaged(format!("entry {end} is missing")));
        }
        end = row.first.saturating_add(row.count);
        pieces = pieces.saturating_add(1);
        if let Some(edge) = edges.first_mut() {
            edge.extend_from_slice(row.leaves);
        }
        tail.extend_from_slice(row.whole()?);
        Ok(())
    })?;
    if end != size {
        return Err(LedgerError::Damaged(format!(
            "the signed head has {size} entries, the rows end at {end}"
        )));
    }
    for (level, edge) in (0..).zip(&mut edges).skip(1) {
        let count = size >> (u32::from(level) * 8);
        if count & 255 != 0 {
            *edge = reader.store().tile(level, count >> 8)?.unwrap_or_default();
        }
    }
    let sequencer = Sequencer::resume(size, edges, tail, pieces)?;
    if sequencer.root() != head.root {
        return Err(LedgerError::Damaged(
            "the stored tiles do not lead to the signed root".to_owned(),
        ));
    }
    Ok(sequencer)
}

/// The log must continue what `checkpoint.last` says.
fn check_last(
    reader: &Reader,
    sequencer: &Sequencer,
    last: &str,
    signer: &Signer,
) -> Result<(), LedgerError> {
    let last = open_checkpoint(last, signer, "checkpoint.last")?;
    let size = sequencer.size();
    if last.size > size {
        return Err(LedgerError::Shortened {
            size,
            expected: last.size,
        });
    }
    if reader.root_at(last.size)? != last.root {
        let size = last.size;
        return Err(LedgerError::Damaged(format!(
            "its first {size} entries are not those of checkpoint.last"
        )));
    }
    Ok(())
}
