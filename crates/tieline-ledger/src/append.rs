//! The sequencer: entries in, rows to be written out. Pure; what it returns must be stored in one step.
//!
//! It holds the right edge of the log: the frontier, the partial tile of each level and the entries of the partial
//! bundle, at most 256 × 65,537 B = 16.8 MB for entries of the greatest length. A batch that could not be stored leaves
//! it ahead of the store; its owner then stops and opens the log anew.

use tieline_note::Digest;

use crate::entry::{self, EntryError};
use crate::merkle::{Frontier, leaf_hash, node_hash};
use crate::tile::{self, LEVEL_MAX, TILE_WIDTH, low_byte};

/// A bundle may stay in this many pieces; one that is in more is written again as one row when it is full. Entries that
/// come eight and more a commit (256 / 32) are thus written once, and reading a bundle reads at most 33 rows.
pub const PIECES_MAX: u16 = 32;

/// What one append changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Index of the first new entry.
    pub first_index: u64,
    /// Entries of the log afterwards.
    pub size: u64,
    /// Root hash afterwards.
    pub root: Digest,
    /// Consecutive entries to be stored; a full bundle replaces the pieces that it was made of, if there are any.
    pub bundles: Vec<Bundle>,
    /// Tiles of level 1 and above that changed, each whole.
    pub tiles: Vec<HashTile>,
}

/// Entries that stand together in one row: a full bundle of 256, or a piece of the last, partial one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Index of the first entry.
    pub first: u64,
    /// Number of entries.
    pub count: u16,
    /// Their leaf hashes, 32 bytes each; those of a full bundle are its level-0 tile.
    pub leaves: Vec<u8>,
    /// The entries, each behind its length in two bytes.
    pub entries: Vec<u8>,
}

/// The hashes of a tile of level 1 or above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashTile {
    pub level: u8,
    pub number: u64,
    /// 32 bytes each, 1..=256 of them.
    pub hashes: Vec<u8>,
}

/// The right edge of a log.
#[derive(Debug, Clone, Default)]
pub struct Sequencer {
    frontier: Frontier,
    /// Hashes of the partial tile of each level, 32 bytes each; never 256 of them.
    edges: [Vec<u8>; LEVEL_MAX as usize + 1],
    /// The framed entries of the partial bundle.
    tail: Vec<u8>,
    /// Rows that the partial bundle is stored in.
    pieces: u16,
}

/// The stored right edge does not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EdgeError {
    #[error("the last tile of level {level} holds {found} bytes, not {expected}")]
    Tile {
        level: u8,
        found: usize,
        expected: usize,
    },
    #[error("entry {0} does not fit its stored leaf hash")]
    Leaf(u64),
    #[error("the last bundle holds {found} entries, not {expected}")]
    Tail { found: usize, expected: usize },
}

impl Sequencer {
    /// Resumes a log of `size` entries: `edges` are its partial tiles from level 0 upwards, `tail` its partial bundle,
    /// which is stored in so many `pieces`.
    pub fn resume(
        size: u64,
        edges: [Vec<u8>; LEVEL_MAX as usize + 1],
        tail: Vec<u8>,
        pieces: u16,
    ) -> Result<Self, EdgeError> {
        let mut roots = Vec::new();
        for level in (0..=LEVEL_MAX).rev() {
            let edge = edges.get(usize::from(level)).map_or(&[][..], Vec::as_slice);
            let width = low_byte(size >> (u32::from(level) * 8));
            let expected = usize::from(width) * 32;
            if edge.len() != expected {
                return Err(EdgeError::Tile {
                    level,
                    found: edge.len(),
                    expected,
                });
            }
            let mut rest = hashes(edge);
            for bit in (0..8).rev().filter(|bit| width >> bit & 1 == 1) {
                let (these, others) = rest.split_at_checked(1 << bit).unwrap_or_default();
                roots.push(perfect_root(these));
                rest = others.to_vec();
            }
        }
        check_tail(size, edges.first().map_or(&[][..], Vec::as_slice), &tail)?;
        let expected = usize::from(low_byte(size));
        let frontier = Frontier::from_roots(size, roots).ok_or(EdgeError::Tail { found: 0, expected })?;
        Ok(Self {
            frontier,
            edges,
            tail,
            pieces,
        })
    }

    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    pub fn root(&self) -> Digest {
        self.frontier.root()
    }

    /// Appends all entries, or none and an error if one of them is too long or empty.
    pub fn append<E: AsRef<[u8]>>(&mut self, entries: &[E]) -> Result<Batch, EntryError> {
        for entry in entries {
            entry::check_length(entry.as_ref())?;
        }
        let first_index = self.size();
        let mut batch = Batch {
            first_index,
            size: 0,
            root: Digest::default(),
            bundles: vec![],
            tiles: vec![],
        };
        let mut piece = Piece {
            first: first_index,
            tail_start: self.tail.len(),
            leaf_start: self.edge_len(0),
        };
        let mut is_dirty = [false; LEVEL_MAX as usize + 1];
        for entry in entries {
            self.push(entry.as_ref(), &mut is_dirty, &mut batch.tiles);
            if self.edge_len(0) == usize::from(TILE_WIDTH) * 32 {
                batch.bundles.extend(self.take_bundle(&piece));
                piece = Piece {
                    first: self.size(),
                    tail_start: 0,
                    leaf_start: 0,
                };
            }
        }
        if let Some(bundle) = self.piece(&piece) {
            batch.bundles.push(bundle);
            self.pieces = self.pieces.saturating_add(1);
        }
        for (level, edge) in (0..).zip(&self.edges) {
            if is_dirty.get(usize::from(level)) == Some(&true) && !edge.is_empty() {
                let number = self.frontier.size() >> (u32::from(level) * 8) >> 8;
                batch.tiles.push(HashTile {
                    level,
                    number,
                    hashes: edge.clone(),
                });
            }
        }
        batch.size = self.size();
        batch.root = self.root();
        Ok(batch)
    }

    fn push(&mut self, entry: &[u8], is_dirty: &mut [bool], full: &mut Vec<HashTile>) {
        tile::frame(&mut self.tail, entry);
        let leaf = leaf_hash(entry);
        let (frontier, edges) = (&mut self.frontier, &mut self.edges);
        if let Some(edge) = edges.first_mut() {
            edge.extend_from_slice(leaf.as_bytes());
        }
        let size = frontier.size() + 1;
        frontier.push(leaf, |level, hash| {
            let Some(edge) = edges.get_mut(usize::from(level)) else {
                return;
            };
            edge.extend_from_slice(hash.as_bytes());
            if let Some(is_dirty) = is_dirty.get_mut(usize::from(level)) {
                *is_dirty = true;
            }
            if edge.len() == usize::from(TILE_WIDTH) * 32 {
                let number = (size >> (u32::from(level) * 8) >> 8) - 1;
                full.push(HashTile {
                    level,
                    number,
                    hashes: std::mem::take(edge),
                });
            }
        });
    }

    /// The bundle is full: its new entries, or all of it if it is in too many pieces.
    fn take_bundle(&mut self, piece: &Piece) -> Option<Bundle> {
        let is_kept = (1..=PIECES_MAX).contains(&self.pieces);
        let last = if is_kept { self.piece(piece) } else { None };
        let leaves = self.edges.first_mut().map(std::mem::take).unwrap_or_default();
        // The next bundle will be about as long; one that is a little longer must not grow to twice the room.
        let capacity = self.tail.len() + self.tail.len() / 8;
        let entries = std::mem::replace(&mut self.tail, Vec::with_capacity(capacity));
        self.pieces = 0;
        let first = self.size() - u64::from(TILE_WIDTH);
        last.or(Some(Bundle {
            first,
            count: TILE_WIDTH,
            leaves,
            entries,
        }))
    }

    /// The new entries of the partial bundle, if there are any.
    fn piece(&self, piece: &Piece) -> Option<Bundle> {
        let leaves = self.edges.first()?.get(piece.leaf_start..)?;
        let count = u16::try_from(leaves.len() / 32).ok().filter(|&count| count > 0)?;
        let entries = self.tail.get(piece.tail_start..)?.to_vec();
        Some(Bundle {
            first: piece.first,
            count,
            leaves: leaves.to_vec(),
            entries,
        })
    }

    fn edge_len(&self, level: usize) -> usize {
        self.edges.get(level).map_or(0, Vec::len)
    }
}

/// Where the entries of a batch begin within the partial bundle.
struct Piece {
    first: u64,
    tail_start: usize,
    leaf_start: usize,
}

/// Cuts a tile into its hashes; a remainder is dropped.
pub(crate) fn hashes(tile: &[u8]) -> Vec<Digest> {
    tile.chunks_exact(32).filter_map(Digest::from_slice).collect()
}

/// The root over a power of two of hashes.
pub(crate) fn perfect_root(hashes: &[Digest]) -> Digest {
    match hashes {
        [] => Digest::default(),
        [hash] => *hash,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node_hash(&perfect_root(left), &perfect_root(right))
        }
    }
}

fn check_tail(size: u64, leaves: &[u8], tail: &[u8]) -> Result<(), EdgeError> {
    let leaves = hashes(leaves);
    let first = size - leaves.len() as u64;
    let mut found = 0;
    for (index, (entry, leaf)) in (first..).zip(tile::entries(tail).zip(&leaves)) {
        if !entry.is_ok_and(|entry| leaf_hash(entry) == *leaf) {
            return Err(EdgeError::Leaf(index));
        }
        found += 1;
    }
    if found != leaves.len() || tile::entries(tail).count() != found {
        return Err(EdgeError::Tail {
            found: tile::entries(tail).count(),
            expected: leaves.len(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::merkle::root_of_leaves;
    use crate::tile::{TileKind, tiles};

    /// Rows as a store would keep them.
    #[derive(Default)]
    struct Rows {
        bundles: BTreeMap<u64, Bundle>,
        tiles: BTreeMap<(u8, u64), Vec<u8>>,
    }

    impl Rows {
        fn write(&mut self, batch: Batch) {
            for bundle in batch.bundles {
                let range = bundle.first..bundle.first + u64::from(bundle.count);
                self.bundles.retain(|first, _| !range.contains(first));
                self.bundles.insert(bundle.first, bundle);
            }
            for tile in batch.tiles {
                self.tiles.insert((tile.level, tile.number), tile.hashes);
            }
        }

        fn pieces_most(&self) -> usize {
            let mut pieces = BTreeMap::new();
            self.bundles
                .keys()
                .for_each(|first| *pieces.entry(first / 256).or_default() += 1);
            // The last bundle is not full; it may be in as many pieces as it has entries.
            pieces.pop_last();
            pieces.into_values().max().unwrap_or(0)
        }

        fn edges(&self, size: u64) -> ([Vec<u8>; 8], Vec<u8>, u16) {
            let mut edges: [Vec<u8>; 8] = Default::default();
            let mut tail = Vec::new();
            for (_, bundle) in self.bundles.range(size & !255..) {
                edges[0].extend_from_slice(&bundle.leaves);
                tail.extend_from_slice(&bundle.entries);
            }
            for level in 1..8_u8 {
                let count = size >> (8 * level);
                if let Some(tile) = self.tiles.get(&(level, count >> 8)) {
                    edges[usize::from(level)].clone_from(tile);
                }
            }
            let pieces = self.bundles.range(size & !255..).count();
            (edges, tail, u16::try_from(pieces).unwrap())
        }
    }

    fn check(sizes: &[usize]) {
        let (mut rows, mut sequencer, mut leaves) = (Rows::default(), Sequencer::default(), Vec::new());
        for &count in sizes {
            let entries: Vec<String> = (0..count).map(|n| format!("{}-{n}", leaves.len())).collect();
            leaves.extend(entries.iter().map(|entry| leaf_hash(entry.as_bytes())));
            let batch = sequencer.append(&entries).unwrap();
            assert_eq!(
                (batch.size, batch.root),
                (leaves.len() as u64, root_of_leaves(&leaves))
            );
            rows.write(batch);
            let (edges, tail, pieces) = rows.edges(sequencer.size());
            let resumed = Sequencer::resume(sequencer.size(), edges, tail, pieces).unwrap();
            assert_eq!(
                (&resumed.frontier, &resumed.edges),
                (&sequencer.frontier, &sequencer.edges)
            );
            assert_eq!(
                (&resumed.tail, resumed.pieces),
                (&sequencer.tail, sequencer.pieces)
            );
            assert!(rows.pieces_most() <= usize::from(PIECES_MAX) + 1);
        }
        let size = leaves.len() as u64;
        for path in tiles(size) {
            if let TileKind::Hashes { level: level @ 1.. } = path.kind {
                assert_eq!(
                    rows.tiles[&(level, path.number)].len(),
                    usize::from(path.width) * 32
                );
            }
        }
        let stored: u64 = rows.bundles.values().map(|bundle| u64::from(bundle.count)).sum();
        assert_eq!(stored, size);
    }

    #[test]
    fn sizes_around_the_edges() {
        check(&[0, 1, 254, 1, 1, 0, 255, 256, 257, 512, 1]);
        check(&[65_535, 1, 1, 65_535, 300]);
        check(&[1; 600]);
        check(&[7; 80]);
        check(&[8; 80]);
    }

    #[test]
    fn an_entry_too_long_changes_nothing() {
        let mut sequencer = Sequencer::default();
        let entries = [vec![b'a'; 10], vec![b'a'; 65_536]];
        assert_eq!(sequencer.append(&entries), Err(EntryError::TooLong(65_536)));
        assert_eq!(sequencer.size(), 0);
        assert!(sequencer.append(&[vec![b'a'; 65_535]]).is_ok());
    }

    #[test]
    fn a_changed_edge_is_refused() {
        let mut sequencer = Sequencer::default();
        let mut rows = Rows::default();
        rows.write(
            sequencer
                .append(&(0..300).map(|n| n.to_string()).collect::<Vec<_>>())
                .unwrap(),
        );
        let (edges, mut tail, pieces) = rows.edges(300);
        tail[2] ^= 1;
        assert_eq!(
            Sequencer::resume(300, edges.clone(), tail.clone(), pieces).unwrap_err(),
            EdgeError::Leaf(256)
        );
        tail[2] ^= 1;
        assert!(matches!(
            Sequencer::resume(299, edges.clone(), tail.clone(), pieces),
            Err(EdgeError::Tile { .. })
        ));
        tail.truncate(tail.len() - 5);
        assert!(Sequencer::resume(300, edges, tail, pieces).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn incremental_equals_naive(sizes in prop::collection::vec(prop_oneof![0..5_usize, 200..300_usize], 0..12)) {
            check(&sizes);
        }
    }
}
