//! Archived grids: the canonical JSON of a `GridRecord` under its SHA-256, opened once and kept.
//!
//! Bounds: [`SNAPSHOTS_MAX`] open grids; the digests seen are kept for the count, 32 bytes a reload.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tieline_core::record::Hex32;
use tieline_core::{Digest32, GridRecord, Snapshot};

/// Finds what is archived under a digest.
pub type Blobs<'a> = dyn Fn(&Digest32) -> Option<Vec<u8>> + 'a;

/// Open grids at a time. A large grid takes about 1 MiB, so 64 MiB; one that was dropped is opened again when cited.
const SNAPSHOTS_MAX: usize = 64;

/// Opens an archived grid; the error is a clause that reads after "the grid …".
pub fn open_grid(digest: Digest32, bytes: &[u8]) -> Result<Snapshot, String> {
    let name = Hex32(digest);
    if tieline_note::sha256(bytes).0 != digest {
        return Err(format!(
            "{name} is archived with other content than its digest says"
        ));
    }
    let record: GridRecord =
        serde_json::from_slice(bytes).map_err(|error| format!("{name} cannot be read: {error}"))?;
    Snapshot::build(Arc::new(record), digest)
        .map_err(|error| format!("{name} does not hold together: {error}"))
}

pub(crate) struct Archive<'a> {
    blobs: &'a Blobs<'a>,
    open: BTreeMap<Digest32, Result<Arc<Snapshot>, String>>,
    /// The digests of `open`, the oldest first.
    order: VecDeque<Digest32>,
    seen: BTreeSet<Digest32>,
}

impl<'a> Archive<'a> {
    pub(crate) fn new(blobs: &'a Blobs<'a>) -> Self {
        Self {
            blobs,
            open: BTreeMap::new(),
            order: VecDeque::new(),
            seen: BTreeSet::new(),
        }
    }

    pub(crate) fn grid(&mut self, digest: Digest32) -> Result<Arc<Snapshot>, String> {
        if let Some(known) = self.open.get(&digest) {
            return known.clone();
        }
        self.seen.insert(digest);
        let opened = match (self.blobs)(&digest) {
            Some(bytes) => open_grid(digest, &bytes).map(Arc::new),
            None => Err(format!("{} is not archived", Hex32(digest))),
        };
        if self.order.len() >= SNAPSHOTS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.open.remove(&oldest);
        }
        self.order.push_back(digest);
        self.open.insert(digest, opened.clone());
        opened
    }

    /// How many different grids were asked for.
    pub(crate) fn seen(&self) -> u64 {
        self.seen.len() as u64
    }
}
