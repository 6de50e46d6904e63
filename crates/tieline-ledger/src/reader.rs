//! Reading a ledger: entries, tiles, blobs, proofs; also while another process writes.
//!
//! Nothing is verified here beyond what is needed to answer; [`crate::verify`] does that.

use std::ops::Range;
use std::path::Path;

use tieline_note::{Checkpoint, Digest, note};

use crate::append::{hashes, perfect_root};
use crate::error::LedgerError;
use crate::files::LEDGER_FILE;
use crate::merkle;
use crate::store::{Store, StoredHead};
use crate::tile::{self, TILE_WIDTH, TileKind, TilePath};

/// The head of a ledger as stored; its signature is not checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub origin: String,
    pub size: u64,
    pub root: Digest,
    /// The signed note.
    pub checkpoint: String,
}

/// A ledger that is open for reading.
#[derive(Debug)]
pub struct Reader {
    store: Store,
}

impl Reader {
    /// Opens `dir/ledger.db` without the right to write.
    pub fn open(dir: &Path) -> Result<Self, LedgerError> {
        Self::open_file(&dir.join(LEDGER_FILE))
    }

    /// Opens a ledger file by its own name, such as a backup.
    pub fn open_file(path: &Path) -> Result<Self, LedgerError> {
        Ok(Self::over(Store::open_read_only(path)?))
    }

    pub(crate) fn over(store: Store) -> Self {
        Self { store }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// Size, root and signed checkpoint of the last commit.
    pub fn head(&self) -> Result<Head, LedgerError> {
        let StoredHead {
            origin,
            size,
            checkpoint,
        } = self
            .store
            .head()?
            .ok_or_else(|| LedgerError::Damaged("it has no head".to_owned()))?;
        let parsed = note::peek(&checkpoint)
            .ok()
            .and_then(|(text, _)| Checkpoint::parse(text).ok());
        match parsed {
            Some(parsed) if parsed.size == size => Ok(Head {
                origin,
                size,
                root: parsed.root,
                checkpoint,
            }),
            _ => Err(LedgerError::Damaged(
                "the stored checkpoint does not fit the stored size".to_owned(),
            )),
        }
    }

    /// Number of entries.
    pub fn size(&self) -> Result<u64, LedgerError> {
        Ok(self.head()?.size)
    }

    /// The entries of a range; what lies beyond the end is left out.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<Vec<u8>>, LedgerError> {
        let mut entries = Vec::new();
        self.for_each(range, |_, entry| {
            entries.push(entry.to_vec());
            Ok::<(), LedgerError>(())
        })?;
        Ok(entries)
    }

    /// One entry, `None` beyond the end.
    pub fn entry(&self, index: u64) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(self.read(index..index.saturating_add(1))?.pop())
    }

    /// Calls `each` with index and bytes of each entry of the range, in order; an error ends it.
    pub fn for_each<E: From<LedgerError>>(
        &self,
        range: Range<u64>,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.store.bundles(range.start, range.end, |row| {
            for (index, entry) in (row.first..).zip(tile::entries(row.whole()?)) {
                let entry =
                    entry.map_err(|error| LedgerError::Damaged(format!("at entry {index}: {error}")))?;
                if range.contains(&index) {
                    each(index, entry)?;
                }
            }
            Ok(())
        })
    }

    /// The bytes of a tile as the specification lays them out, `None` if the log is not that long.
    pub fn tile(&self, path: &TilePath) -> Result<Option<Vec<u8>>, LedgerError> {
        let (width, first) = (usize::from(path.width), path.first());
        let end = first.saturating_add(u64::from(path.width));
        if end > path.kind.count(self.size()?) {
            return Ok(None);
        }
        let mut bytes = match path.kind {
            TileKind::Entries => {
                let mut bytes = Vec::new();
                self.for_each(first..end, |_, entry| {
                    tile::frame(&mut bytes, entry);
                    Ok::<(), LedgerError>(())
                })?;
                return Ok(Some(bytes));
            }
            TileKind::Hashes { level } => self.hash_tile(level, path.number)?,
        };
        if bytes.len() < width * 32 {
            return Err(LedgerError::Damaged(format!("{path} is shorter than it was")));
        }
        bytes.truncate(width * 32);
        Ok(Some(bytes))
    }

    /// The bytes archived under `digest`.
    pub fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, LedgerError> {
        self.store.blob(digest)
    }

    /// The root over the first `size` entries, from the stored tiles.
    pub fn root_at(&self, size: u64) -> Result<Digest, LedgerError> {
        merkle::root_of_range(0, size, &mut |level, index| self.node(level, index))
    }

    /// Proves that entry `index` stands in the first `size` entries.
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Digest>, LedgerError> {
        if index >= size || size > self.size()? {
            return Err(LedgerError::Damaged(format!(
                "no entry {index} in {size} entries to be proved"
            )));
        }
        merkle::inclusion_proof(index, size, |level, index| self.node(level, index))
    }

    /// Proves that the first `new_size` entries begin with the first `old_size`.
    pub fn consistency_proof(&self, old_size: u64, new_size: u64) -> Result<Vec<Digest>, LedgerError> {
        if old_size > new_size || new_size > self.size()? {
            return Err(LedgerError::Damaged(format!(
                "no {old_size} within {new_size} entries to be proved"
            )));
        }
        merkle::consistency_proof(old_size, new_size, |level, index| self.node(level, index))
    }

    /// The root of the perfect subtree of 2^level leaves, from the tile that holds its parts.
    fn node(&self, level: u8, index: u64) -> Result<Digest, LedgerError> {
        let (tile_level, height) = (level / 8, level % 8);
        let first = index << height;
        let tile = self.hash_tile(tile_level, first / u64::from(TILE_WIDTH))?;
        let start = usize::from(tile::low_byte(first)) * 32;
        let part = tile.get(start..start + (32 << height));
        let part =
            part.ok_or_else(|| LedgerError::Damaged(format!("a tile of level {tile_level} is cut off")))?;
        Ok(perfect_root(&hashes(part)))
    }

    fn hash_tile(&self, level: u8, number: u64) -> Result<Vec<u8>, LedgerError> {
        if level > 0 {
            return Ok(self.store.tile(level, number)?.unwrap_or_default());
        }
        let first = number.saturating_mul(u64::from(TILE_WIDTH));
        let mut leaves = Vec::with_capacity(usize::from(TILE_WIDTH) * 32);
        self.store
            .bundles(first, first.saturating_add(u64::from(TILE_WIDTH)), |row| {
                leaves.extend_from_slice(row.leaves);
                Ok::<(), LedgerError>(())
            })?;
        Ok(leaves)
    }
}
