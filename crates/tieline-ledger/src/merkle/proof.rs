//! Inclusion and consistency proofs: made from a source of node hashes, checked against roots.

use tieline_note::Digest;

use super::{empty_root, node_hash};

/// A proof in a tree of 2^64 leaves has at most 64 hashes, a consistency proof one more.
pub const PROOF_HASHES_MAX: usize = 65;

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("the proof asks for index {index} of a tree of {size} entries")]
    Index { index: u64, size: u64 },
    #[error("the proof has too few or too many hashes for its sizes")]
    Length,
    #[error("[{start}, {end}) is no subtree")]
    Subtree { start: u64, end: u64 },
    #[error("the hashes do not lead to the root")]
    Mismatch,
}

/// Checks that `leaf` stands at `index` of the tree of `size` entries with `root` (RFC 9162 section 2.1.3.2).
pub fn verify_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    proof: &[Digest],
    root: &Digest,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Index { index, size });
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    match (last, hash == *root) {
        (0, true) => Ok(()),
        (0, false) => Err(ProofError::Mismatch),
        _ => Err(ProofError::Length),
    }
}

/// Checks that the tree of `new_size` entries with `new_root` begins with the tree of `old_size` and `old_root`. An
/// `old_size` of 0 is refused (RFC 9162 section 2.1.4 proves nothing about it).
pub fn verify_consistency(
    old_size: u64,
    new_size: u64,
    proof: &[Digest],
    old_root: &Digest,
    new_root: &Digest,
) -> Result<(), ProofError> {
    if old_size > new_size {
        return Err(ProofError::Index {
            index: old_size,
            size: new_size,
        });
    }
    // Every tree begins with the empty one; a proof of that would prove nothing.
    if old_size == 0 {
        return Err(ProofError::Subtree { start: 0, end: 0 });
    }
    verify_subtree_consistency((0, old_size), new_size, proof, old_root, new_root)
}

/// Checks that `leaf` stands at `index` of the subtree `[start, end)` with the hash `root`.
pub fn verify_subtree_inclusion(
    leaf: &Digest,
    index: u64,
    (start, end): (u64, u64),
    proof: &[Digest],
    root: &Digest,
) -> Result<(), ProofError> {
    check_subtree(start, end)?;
    let Some(offset) = index.checked_sub(start) else {
        return Err(ProofError::Index { index, size: end });
    };
    verify_inclusion(leaf, offset, end - start, proof, root)
}

/// Checks that the tree of `size` entries with `root` holds the subtree `[start, end)` with the hash `subtree_root`.
pub fn verify_subtree_consistency(
    (start, end): (u64, u64),
    size: u64,
    proof: &[Digest],
    subtree_root: &Digest,
    root: &Digest,
) -> Result<(), ProofError> {
    if end > size {
        return Err(ProofError::Index { index: end, size });
    }
    if start == end {
        // Every tree holds the empty subtree; only its hash can be wrong.
        return match (proof.is_empty(), *subtree_root == empty_root()) {
            (false, _) => Err(ProofError::Length),
            (true, false) => Err(ProofError::Mismatch),
            (true, true) => Ok(()),
        };
    }
    check_subtree(start, end)?;
    let (mut first, mut last, mut end) = (start, end - 1, size - 1);
    while if last == end {
        first != last
    } else {
        first != last && last & 1 == 1
    } {
        first >>= 1;
        last >>= 1;
        end >>= 1;
    }
    let mut proof = proof.iter();
    let begin = if first == last {
        subtree_root
    } else {
        proof.next().ok_or(ProofError::Length)?
    };
    let (mut old, mut new) = (*begin, *begin);
    for sibling in proof {
        if end == 0 {
            return Err(ProofError::Length);
        }
        if last & 1 == 1 || last == end {
            if first < last {
                old = node_hash(sibling, &old);
            }
            new = node_hash(sibling, &new);
            while last & 1 == 0 && last != 0 {
                first >>= 1;
                last >>= 1;
                end >>= 1;
            }
        } else {
            new = node_hash(&new, sibling);
        }
        first >>= 1;
        last >>= 1;
        end >>= 1;
    }
    match (end, old == *subtree_root && new == *root) {
        (0, true) => Ok(()),
        (0, false) => Err(ProofError::Mismatch),
        _ => Err(ProofError::Length),
    }
}

/// The hashes that prove entry `index` in the tree of `size` entries, from the leaf upwards (RFC 6962 2.1.1).
/// `node(level, index)` gives the hash of a perfect subtree of 2^level leaves.
pub fn inclusion_proof<E>(
    index: u64,
    size: u64,
    mut node: impl FnMut(u8, u64) -> Result<Digest, E>,
) -> Result<Vec<Digest>, E> {
    let (mut low, mut high) = (0, size);
    let mut proof = Vec::new();
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            proof.push(root_of_range(middle, high, &mut node)?);
            high = middle;
        } else {
            proof.push(root_of_range(low, middle, &mut node)?);
            low = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The hashes that prove that the tree of `new_size` entries begins with that of `old_size` (RFC 6962 2.1.2).
pub fn consistency_proof<E>(
    old_size: u64,
    new_size: u64,
    mut node: impl FnMut(u8, u64) -> Result<Digest, E>,
) -> Result<Vec<Digest>, E> {
    let mut proof = Vec::new();
    if old_size == 0 || old_size >= new_size {
        return Ok(proof);
    }
    let (mut low, mut high) = (0, new_size);
    while high != old_size {
        let middle = low + split(high - low);
        if old_size <= middle {
            proof.push(root_of_range(middle, high, &mut node)?);
            high = middle;
        } else {
            proof.push(root_of_range(low, middle, &mut node)?);
            low = middle;
        }
    }
    // The verifier knows the old root, so it needs no hash for a subtree that is the whole old tree.
    if low != 0 {
        proof.push(root_of_range(low, high, &mut node)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The hash of the entries `[low, high)`, where `low` is the left edge of a subtree of that tree.
pub fn root_of_range<E>(
    low: u64,
    high: u64,
    node: &mut impl FnMut(u8, u64) -> Result<Digest, E>,
) -> Result<Digest, E> {
    let mut rights = Vec::new();
    let mut low = low;
    loop {
        let count = high.saturating_sub(low);
        if count == 0 {
            return Ok(empty_root());
        }
        let level = count.ilog2().to_le_bytes();
        let [level, ..] = level;
        let hash = node(level, low >> level)?;
        if count.is_power_of_two() {
            return Ok(rights
                .iter()
                .rev()
                .fold(hash, |right, left| node_hash(left, &right)));
        }
        rights.push(hash);
        low += 1 << level;
    }
}

/// The largest power of two below `count`, which is at least 2.
fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// A subtree is not empty and begins at a multiple of the next power of two of its length.
fn check_subtree(start: u64, end: u64) -> Result<(), ProofError> {
    let wrong = ProofError::Subtree { start, end };
    let length = end.checked_sub(start).filter(|&length| length > 0).ok_or(wrong)?;
    let step = length.checked_next_power_of_two().unwrap_or(0);
    if step.checked_sub(1).is_none_or(|mask| start & mask != 0) && start != 0 {
        Err(wrong)
    } else {
        Ok(())
    }
}
