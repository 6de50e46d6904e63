//! Verification from the files alone: every hash recomputed from the entries.
//!
//! One pass over the rows on one snapshot, server or no server. Compared are: each entry with its stored leaf hash, each
//! subtree with its stored tile, the roots with the signed head, with `checkpoint.last` and with a checkpoint that the
//! caller kept. The stored hashes, which nobody needs to trust, say *where* something is wrong; the signed root says
//! *that* it is. A deep run also parses every entry and hashes every blob.

use std::path::Path;

use tieline_note::{Checkpoint, CheckpointError, Digest, Verifier, sha256};

use crate::append::hashes;
use crate::entry;
use crate::error::LedgerError;
use crate::files;
use crate::merkle::{Frontier, leaf_hash};
use crate::reader::Reader;
use crate::store::Row;
use crate::tile::{self, TILE_WIDTH};

/// How to verify.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// The log's key; without it that of `DIR/log.key`, which proves less to whoever does not own the folder.
    pub verifier: Option<Verifier>,
    /// A signed checkpoint that was kept elsewhere; the ledger must continue it.
    pub against: Option<String>,
    /// Also parse each entry and hash each blob.
    pub deep: bool,
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub entries: u64,
    pub entries_expected: u64,
    /// Bytes of entries hashed.
    pub bytes: u64,
}

/// A ledger in which nothing is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub origin: String,
    /// The key that the checkpoint was verified with.
    pub vkey: String,
    pub size: u64,
    pub root: Digest,
    /// Bytes of entries hashed.
    pub bytes: u64,
    /// Size at `checkpoint.last`.
    pub last_size: u64,
    /// Size at the checkpoint that was kept elsewhere.
    pub against_size: Option<u64>,
    /// Blobs hashed; only a deep run does it.
    pub blobs: Option<u64>,
}

/// Which checkpoint a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Witness {
    Stored,
    Last,
    Against,
}

/// The first thing that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Finding {
    #[error("entry {index} was changed: it hashes to {actual}, the ledger was signed with {expected}")]
    Changed {
        index: u64,
        expected: Digest,
        actual: Digest,
    },
    #[error("entry {index} was removed")]
    Removed { index: u64 },
    #[error("one of the entries {first} to {last} was changed together with its stored hash")]
    Range { first: u64, last: u64 },
    #[error("the entries from {index} on cannot be read: {why}")]
    Unreadable { index: u64, why: String },
    #[error(
        "tile {number} of level {level} was changed; the entries below it are those that were signed, so the tile can \
         be written anew from them"
    )]
    Tile { level: u8, number: u64 },
    #[error("the ledger has {size} entries, {witness} says {expected}: the tail was cut off")]
    Shortened {
        size: u64,
        expected: u64,
        witness: Witness,
    },
    #[error(
        "the first {size} entries have the root {actual}, {witness} says {expected}: history was rewritten"
    )]
    Root {
        size: u64,
        expected: Digest,
        actual: Digest,
        witness: Witness,
    },
    #[error("{witness} is not this log's: {source}")]
    Checkpoint {
        witness: Witness,
        source: CheckpointError,
    },
    #[error("checkpoint.last is missing; without it a tail that was cut off is not noticed")]
    NoLast,
    #[error("there is no key to verify with: no log.key in the folder; give the log's vkey")]
    NoKey,
    #[error("{what} is not what it should be: {why}")]
    Content {
        /// Such as `entry 7`, `blob 3a…`.
        what: String,
        why: String,
    },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Verifies the ledger of `dir`; `progress` is told after each bundle.
pub fn verify(
    dir: &Path,
    options: &VerifyOptions,
    mut progress: impl FnMut(Progress),
) -> Result<Report, Finding> {
    let reader = Reader::open(dir)?;
    reader.store().snapshot(|| {
        // The snapshot begins with its first read, the head. `checkpoint.last` is read before it: it can then only be
        // older than the head, unless something is wrong.
        let last = files::read_small(&files::last_path(dir))?;
        let head = reader
            .store()
            .head()?
            .ok_or_else(|| LedgerError::Damaged("it has no head".to_owned()))?;
        let verifier = verifier(dir, options)?;
        let expectations = Expectations::open(&head.checkpoint, last.as_deref(), options, &verifier)?;
        if head.size != expectations.stored.size {
            let (size, expected) = (head.size, expectations.stored.size);
            return Err(Finding::Shortened {
                size,
                expected,
                witness: Witness::Stored,
            });
        }
        if head.origin != expectations.stored.origin {
            return Err(Finding::Content {
                what: "the stored head".to_owned(),
                why: format!(
                    "it names the log {:?}, its checkpoint {:?}",
                    head.origin, expectations.stored.origin
                ),
            });
        }
        let mut scan = Scan::new(&reader, &expectations, options.deep);
        reader.store().bundles(0, u64::MAX, |row| {
            scan.row(row)?;
            progress(Progress {
                entries: scan.frontier.size(),
                entries_expected: expectations.stored.size,
                bytes: scan.bytes,
            });
            Ok::<(), Finding>(())
        })?;
        scan.finish()?;
        if let Some(first) = reader.store().stray_row(expectations.stored.size)? {
            return Err(Finding::Content {
                what: format!("the row at {first}"),
                why: "it stands outside of what was signed".to_owned(),
            });
        }
        let bytes = scan.bytes;
        let blobs = if options.deep {
            Some(check_blobs(&reader)?)
        } else {
            None
        };
        Ok(Report {
            vkey: verifier.vkey(),
            size: expectations.stored.size,
            root: expectations.stored.root,
            bytes,
            last_size: expectations.last.size,
            against_size: expectations.against.as_ref().map(|against| against.size),
            blobs,
            origin: expectations.stored.origin,
        })
    })
}

/// The checkpoints that the entries must lead to, their signatures checked.
struct Expectations {
    stored: Checkpoint,
    last: Checkpoint,
    against: Option<Checkpoint>,
}

impl Expectations {
    fn open(
        stored: &str,
        last: Option<&str>,
        options: &VerifyOptions,
        verifier: &Verifier,
    ) -> Result<Self, Finding> {
        let open = |note: &str, witness| {
            Checkpoint::open(note, verifier).map_err(|source| Finding::Checkpoint { witness, source })
        };
        let stored = open(stored, Witness::Stored)?;
        let last = open(last.ok_or(Finding::NoLast)?, Witness::Last)?;
        let against = options
            .against
            .as_deref()
            .map(|note| open(note, Witness::Against))
            .transpose()?;
        let expectations = Self {
            stored,
            last,
            against,
        };
        for (witness, checkpoint) in expectations.all() {
            if checkpoint.size > expectations.stored.size {
                let (size, expected) = (expectations.stored.size, checkpoint.size);
                return Err(Finding::Shortened {
                    size,
                    expected,
                    witness,
                });
            }
        }
        Ok(expectations)
    }

    fn all(&self) -> impl Iterator<Item = (Witness, &Checkpoint)> {
        let against = self.against.as_ref().map(|against| (Witness::Against, against));
        [(Witness::Stored, &self.stored), (Witness::Last, &self.last)]
            .into_iter()
            .chain(against)
    }
}

/// The pass over the rows.
struct Scan<'v> {
    reader: &'v Reader,
    expectations: &'v Expectations,
    is_deep: bool,
    frontier: Frontier,
    bytes: u64,
    /// Roots at the sizes of the checkpoints.
    roots: Vec<(u64, Digest)>,
    /// The first entry that does not fit its stored leaf hash, if the root will say so too.
    leaf: Option<Finding>,
    /// The first stored tile that does not fit the subtree below it.
    tile: Option<(u8, u64)>,
}

impl<'v> Scan<'v> {
    fn new(reader: &'v Reader, expectations: &'v Expectations, is_deep: bool) -> Self {
        let frontier = Frontier::default();
        let roots = vec![(0, frontier.root())];
        Self {
            reader,
            expectations,
            is_deep,
            frontier,
            bytes: 0,
            roots,
            leaf: None,
            tile: None,
        }
    }

    fn row(&mut self, row: Row<'_>) -> Result<(), Finding> {
        let index = self.frontier.size();
        let unreadable = |why: &str| Finding::Unreadable {
            index,
            why: why.to_owned(),
        };
        if row.first != index {
            return Err(if row.first > index {
                Finding::Removed { index }
            } else {
                unreadable("rows overlap")
            });
        }
        if index >= self.expectations.stored.size {
            return Err(unreadable("they stand behind the end that was signed"));
        }
        let stored = hashes(row.leaves);
        let within = u64::from(tile::low_byte(index));
        if row.count == 0
            || within + row.count > u64::from(TILE_WIDTH)
            || row.leaves.len() != stored.len() * 32
        {
            return Err(unreadable("the row has no proper count"));
        }
        let mut actual = Vec::with_capacity(stored.len());
        let mut broken = row.damage.map(|damage| damage.to_string());
        for (at, entry) in (index..).zip(tile::entries(row.entries)) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    broken.get_or_insert_with(|| error.to_string());
                    break;
                }
            };
            actual.push(leaf_hash(entry));
            self.bytes += entry.len() as u64;
            let is_signed = stored.get(actual.len() - 1) == actual.last();
            if row.damage.is_some() && !is_signed {
                break;
            }
            if self.is_deep && self.leaf.is_none() && is_signed {
                check_entry(at, entry)?;
            }
        }
        if let Some(why) = broken {
            return Err(self.broken(index, &stored, &actual, why));
        }
        self.compare(index, &stored, &actual);
        if actual.len() as u64 != row.count || stored.len() as u64 != row.count {
            // Entries were taken out of a row or put into it: the comparison found where.
            let why = format!("the row says {} entries and holds {}", row.count, actual.len());
            return Err(self.leaf.take().unwrap_or(Finding::Unreadable { index, why }));
        }
        for leaf in actual {
            self.push(leaf)?;
        }
        Ok(())
    }

    /// What to say of a row that cannot be read to its end: the first entry that is not what its stored hash says, if one
    /// was read, else the one behind those that were.
    fn broken(&mut self, index: u64, stored: &[Digest], actual: &[Digest], why: String) -> Finding {
        let read = stored.get(..actual.len().min(stored.len())).unwrap_or_default();
        self.compare(index, read, actual);
        let index = index + read.len() as u64;
        self.leaf.take().unwrap_or(Finding::Unreadable { index, why })
    }

    /// Finds the first entry that is not what its stored hash says.
    fn compare(&mut self, index: u64, stored: &[Digest], actual: &[Digest]) {
        if self.leaf.is_some() {
            return;
        }
        let Some(at) = (0..stored.len()).find(|&at| stored.get(at) != actual.get(at)) else {
            return;
        };
        let expected = stored.get(at).copied().unwrap_or_default();
        let index = index + at as u64;
        self.leaf = Some(match actual.get(at) {
            // What follows stands here: this one was taken out.
            None => Finding::Removed { index },
            Some(found) if stored.get(at + 1) == Some(found) => Finding::Removed { index },
            Some(&actual) => Finding::Changed {
                index,
                expected,
                actual,
            },
        });
    }

    fn push(&mut self, leaf: Digest) -> Result<(), Finding> {
        let (reader, wrong) = (self.reader, &mut self.tile);
        let mut failure = None;
        let size = self.frontier.size() + 1;
        self.frontier.push(leaf, |level, hash| {
            let at = (size >> (u32::from(level) * 8)) - 1;
            let number = at / u64::from(TILE_WIDTH);
            let start = usize::from(tile::low_byte(at)) * 32;
            match reader.store().tile(level, number) {
                Ok(tile) => {
                    let tile = tile.unwrap_or_default();
                    if tile.get(start..start + 32) != Some(hash.as_bytes()) && wrong.is_none() {
                        *wrong = Some((level, at));
                    }
                }
                Err(error) => failure = Some(error),
            }
        });
        if let Some(error) = failure {
            return Err(error.into());
        }
        if self
            .expectations
            .all()
            .any(|(_, checkpoint)| checkpoint.size == size)
        {
            self.roots.push((size, self.frontier.root()));
        }
        Ok(())
    }

    /// All rows were read: compares the roots, and blames.
    fn finish(&mut self) -> Result<(), Finding> {
        let (size, expected) = (self.frontier.size(), self.expectations.stored.size);
        if size < expected {
            return Err(self.leaf.take().unwrap_or(Finding::Shortened {
                size,
                expected,
                witness: Witness::Stored,
            }));
        }
        for (witness, checkpoint) in self.expectations.all() {
            let root = self
                .roots
                .iter()
                .find(|(size, _)| *size == checkpoint.size)
                .map(|(_, root)| *root);
            let actual = root.unwrap_or_default();
            if actual != checkpoint.root {
                let (size, expected) = (checkpoint.size, checkpoint.root);
                let by_tile = self.tile.filter(|(level, _)| *level == 1).map(|(_, at)| {
                    let first = at * u64::from(TILE_WIDTH);
                    Finding::Range {
                        first,
                        last: first + u64::from(TILE_WIDTH) - 1,
                    }
                });
                let root = Finding::Root {
                    size,
                    expected,
                    actual,
                    witness,
                };
                return Err(self.leaf.take().or(by_tile).unwrap_or(root));
            }
        }
        // The entries are those that were signed, so it is a stored hash that was changed.
        match (&self.leaf, self.tile) {
            (Some(Finding::Changed { index, .. } | Finding::Removed { index }), _) => Err(Finding::Tile {
                level: 0,
                number: index / u64::from(TILE_WIDTH),
            }),
            (_, Some((level, at))) => Err(Finding::Tile {
                level,
                number: at / u64::from(TILE_WIDTH),
            }),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Display for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stored => "the stored checkpoint",
            Self::Last => "checkpoint.last",
            Self::Against => "the given checkpoint",
        })
    }
}

fn verifier(dir: &Path, options: &VerifyOptions) -> Result<Verifier, Finding> {
    if let Some(verifier) = &options.verifier {
        return Ok(verifier.clone());
    }
    files::load_key(dir)?
        .map(|signer| signer.verifier().clone())
        .ok_or(Finding::NoKey)
}

fn check_entry(index: u64, bytes: &[u8]) -> Result<(), Finding> {
    let content = |error: entry::EntryError| Finding::Content {
        what: format!("entry {index}"),
        why: error.to_string(),
    };
    entry::check(bytes).map(|_| ()).map_err(content)
}

fn check_blobs(reader: &Reader) -> Result<u64, Finding> {
    let mut count = 0;
    reader.store().blobs(|digest, bytes| {
        count += 1;
        let actual = sha256(bytes);
        if digest == actual.as_bytes() {
            return Ok(());
        }
        let stored =
            Digest::from_slice(digest).map_or_else(|| "without a digest".to_owned(), |d| d.to_string());
        Err(Finding::Content {
            what: format!("blob {stored}"),
            why: format!("its bytes hash to {actual}"),
        })
    })?;
    Ok(count)
}
