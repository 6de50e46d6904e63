//! RFC 6962 Merkle trees: hashing, an incremental frontier, roots, proofs and their verification.
//!
//! A leaf hashes as SHA-256(0x00 ‖ entry), a node as SHA-256(0x01 ‖ left ‖ right), the empty tree as SHA-256 of
//! nothing. [`Frontier`] holds at most 64 hashes whatever the size of the tree. Proofs are made from any source of
//! node hashes and follow RFC 9162 section 2.1; subtree proofs follow draft-ietf-plants-merkle-tree-certs.

mod proof;

use sha2::{Digest as _, Sha256};
use tieline_note::{Digest, sha256};

pub use proof::{
    PROOF_HASHES_MAX, ProofError, consistency_proof, inclusion_proof, root_of_range, verify_consistency,
    verify_inclusion, verify_subtree_consistency, verify_subtree_inclusion,
};

/// The hash of a leaf that holds `entry`.
pub fn leaf_hash(entry: &[u8]) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(entry);
    Digest(hasher.finalize().into())
}

/// The hash of the node above `left` and `right`.
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut block = [1; 65];
    if let Some((_, rest)) = block.split_first_mut() {
        let (first, second) = rest.split_at_mut(32);
        first.copy_from_slice(left.as_bytes());
        second.copy_from_slice(right.as_bytes());
    }
    sha256(&block)
}

/// The root over no entries.
pub fn empty_root() -> Digest {
    sha256(b"")
}

/// The root over leaf hashes, by the recursive definition; for tests and small sets.
pub fn root_of_leaves(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&root_of_leaves(left), &root_of_leaves(right))
        }
    }
}

/// The right edge of a growing tree: the roots of its perfect subtrees, largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    /// One hash for each set bit of `size`, the highest bit first.
    roots: Vec<Digest>,
    size: u64,
}

impl Frontier {
    /// From the roots of the perfect subtrees, one for each set bit of `size`, the highest bit first.
    pub fn from_roots(size: u64, roots: Vec<Digest>) -> Option<Self> {
        (u32::try_from(roots.len()).ok()? == size.count_ones()).then_some(Self { roots, size })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf. `completed` is told of each subtree of 256^n leaves that is complete with it: n and its root.
    pub fn push(&mut self, leaf: Digest, mut completed: impl FnMut(u8, Digest)) {
        let mut hash = leaf;
        let mut level = 0_u8;
        while self.size >> level & 1 == 1 {
            let Some(left) = self.roots.pop() else { break };
            hash = node_hash(&left, &hash);
            level += 1;
            if level.is_multiple_of(8) {
                completed(level / 8, hash);
            }
        }
        self.roots.push(hash);
        self.size += 1;
    }

    /// The root over all leaves so far; at most 63 hashes of work.
    pub fn root(&self) -> Digest {
        let mut roots = self.roots.iter().rev();
        let Some(last) = roots.next() else {
            return empty_root();
        };
        roots.fold(*last, |right, left| node_hash(left, &right))
    }
}

#[cfg(test)]
mod tests;
