use proptest::prelude::*;

use super::*;

fn leaves(count: u64) -> Vec<Digest> {
    (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

/// The hash of a perfect subtree, from the leaves.
fn node(leaves: &[Digest]) -> impl FnMut(u8, u64) -> Result<Digest, ()> + '_ {
    |level, index| {
        let (start, length) = (usize::try_from(index).unwrap() << level, 1 << level);
        Ok(root_of_leaves(&leaves[start..start + length]))
    }
}

#[test]
fn rfc_6962_known_answers() {
    assert_eq!(
        empty_root().to_string(),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    assert_eq!(
        leaf_hash(b"").to_string(),
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    );
    assert_eq!(
        node_hash(&leaf_hash(b""), &leaf_hash(b"\0")).to_string(),
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
    );
}

#[test]
fn every_proof_of_small_trees_holds() {
    for size in 0..40 {
        let all = leaves(size);
        let root = root_of_leaves(&all);
        for (index, leaf) in (0..).zip(&all) {
            let proof = inclusion_proof(index, size, node(&all)).unwrap();
            assert_eq!(verify_inclusion(leaf, index, size, &proof, &root), Ok(()));
        }
        for (old, length) in (1..=size).zip(1..) {
            let proof = consistency_proof(old, size, node(&all)).unwrap();
            let old_root = root_of_leaves(&all[..length]);
            assert_eq!(
                verify_consistency(old, size, &proof, &old_root, &root),
                Ok(()),
                "{old} of {size}"
            );
        }
    }
}

proptest! {
    #[test]
    fn incremental_is_naive(size in 0..600_u64) {
        let all = leaves(size);
        let mut frontier = Frontier::default();
        let mut tiles = Vec::new();
        for leaf in &all {
            frontier.push(*leaf, |level, hash| tiles.push((level, hash)));
        }
        prop_assert_eq!(frontier.root(), root_of_leaves(&all));
        prop_assert_eq!(root_of_range(0, size, &mut node(&all)).unwrap(), frontier.root());
        let expected: Vec<_> = all.chunks_exact(256).map(|tile| (1, root_of_leaves(tile))).collect();
        prop_assert_eq!(tiles, expected);
    }

    #[test]
    fn one_changed_bit_breaks_an_inclusion_proof(
        size in 1..300_u64, index: prop::sample::Index, part: prop::sample::Index, bit in 0..256_usize,
    ) {
        let all = leaves(size);
        let index = index.index(all.len());
        let mut proof = inclusion_proof(index as u64, size, node(&all)).unwrap();
        let mut root = root_of_leaves(&all);
        let mut leaf = all[index];
        prop_assert_eq!(verify_inclusion(&leaf, index as u64, size, &proof, &root), Ok(()));
        let mut parts: Vec<&mut Digest> = proof.iter_mut().chain([&mut leaf, &mut root]).collect();
        let part = part.index(parts.len());
        parts[part].0[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(verify_inclusion(&leaf, index as u64, size, &proof, &root).is_err());
    }

    #[test]
    fn one_changed_bit_breaks_a_consistency_proof(
        size in 2..300_u64, old: prop::sample::Index, part: prop::sample::Index, bit in 0..256_usize,
    ) {
        let all = leaves(size);
        let old = old.index(all.len() - 1) + 1;
        let mut proof = consistency_proof(old as u64, size, node(&all)).unwrap();
        let (mut old_root, mut root) = (root_of_leaves(&all[..old]), root_of_leaves(&all));
        prop_assert_eq!(verify_consistency(old as u64, size, &proof, &old_root, &root), Ok(()));
        let mut parts: Vec<&mut Digest> = proof.iter_mut().chain([&mut old_root, &mut root]).collect();
        let part = part.index(parts.len());
        parts[part].0[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(verify_consistency(old as u64, size, &proof, &old_root, &root).is_err());
    }

    #[test]
    fn any_proof_is_answered(a: u64, b: u64, c: u64, hashes in prop::collection::vec(any::<[u8; 32]>(), 0..70)) {
        let proof: Vec<Digest> = hashes.into_iter().map(Digest).collect();
        let root = Digest::default();
        let _ = verify_inclusion(&root, a, b, &proof, &root);
        let _ = verify_consistency(a, b, &proof, &root, &root);
        let _ = verify_subtree_inclusion(&root, a, (b, c), &proof, &root);
        let _ = verify_subtree_consistency((a, b), c, &proof, &root, &root);
        let _ = verify_subtree_consistency((0, b), u64::MAX, &proof, &root, &root);
    }
}
