//! Which of many ways to keep, where a call sees [`ROWS_MAX`]: what matters is what a loss leaves.

use std::collections::BTreeSet;

use tieline_core::ROWS_MAX;

/// Indexes of [`ROWS_MAX`] ways, in order: first of all such that nothing is shared by all of them that is not shared by
/// all there are, then those that share least with those chosen before.
pub(super) fn diverse(needs: &[BTreeSet<String>]) -> Vec<usize> {
    let shared = |chosen: &mut dyn Iterator<Item = &BTreeSet<String>>| -> BTreeSet<String> {
        let first = chosen.next().cloned().unwrap_or_default();
        chosen.fold(first, |shared, needs| {
            shared.intersection(needs).cloned().collect()
        })
    };
    let by_all = shared(&mut needs.iter());
    let mut kept: Vec<usize> = vec![0];
    while kept.len() < ROWS_MAX.min(needs.len()) {
        let chosen = || kept.iter().filter_map(|at| needs.get(*at));
        let too_much: BTreeSet<String> = shared(&mut chosen()).difference(&by_all).cloned().collect();
        let open = needs.iter().enumerate().filter(|(at, _)| !kept.contains(at));
        let next = open.min_by_key(|(at, needs)| {
            let still = needs.intersection(&too_much).count();
            let uses = |need: &String| chosen().filter(|chosen| chosen.contains(need)).count();
            (still, needs.iter().map(uses).sum::<usize>(), *at)
        });
        match next {
            Some((at, _)) => kept.push(at),
            None => break,
        }
    }
    kept.sort_unstable();
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        /// Whatever is left out, what all ways share is what all ways had in common.
        #[test]
        fn the_ways_that_are_kept_share_what_all_share(
            ways in prop::collection::vec(prop::collection::btree_set("[a-f]", 1..6), 9..30),
        ) {
            let shared = |list: &[&BTreeSet<String>]| {
                let mut shared = list[0].clone();
                shared.retain(|need| list.iter().all(|needs| needs.contains(need)));
                shared
            };
            let kept = diverse(&ways);
            prop_assert_eq!(kept.len(), ROWS_MAX);
            let kept: Vec<_> = kept.iter().map(|at| &ways[*at]).collect();
            prop_assert_eq!(shared(&kept), shared(&ways.iter().collect::<Vec<_>>()));
        }
    }
}
