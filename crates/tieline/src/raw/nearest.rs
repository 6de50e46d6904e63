//! The nearest of the known names to one that is not known, for "did you mean".

/// Longer names get no suggestion: the cost of a comparison grows with the product of the lengths.
const NAME_BYTES_MAX: usize = 64;

/// The nearest candidate, if it is near enough to be meant: at most a third of the letters differ, and four at most.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).min(4);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != name)
        .filter_map(|candidate| Some((distance(name, candidate)?, candidate)))
        .filter(|(distance, candidate)| *distance <= limit || is_part(name, candidate))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, remove, replace or swap with their neighbour (optimal string alignment), regardless of case; none
/// for names that are too long to compare.
pub(crate) fn distance(a: &str, b: &str) -> Option<usize> {
    if a.len() > NAME_BYTES_MAX || b.len() > NAME_BYTES_MAX {
        return None;
    }
    let a: Vec<char> = a.chars().map(|c| c.to_ascii_lowercase()).collect();
    let b: Vec<char> = b.chars().map(|c| c.to_ascii_lowercase()).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, to) in b.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
            let replaced = cell(&above, j) + usize::from(from != to);
            let mut least = replaced.min(cell(&above, j + 1) + 1).min(cell(&row, j) + 1);
            let is_swap = i > 0 && j > 0 && a.get(i - 1) == Some(to) && b.get(j - 1) == Some(from);
            if is_swap {
                least = least.min(cell(&before, j - 1) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied()
}

/// Whether one name is the other with a part left out, as in `body_max` for `body_bytes_max`.
fn is_part(name: &str, candidate: &str) -> bool {
    let mut parts = candidate.split(['_', '-']);
    name.len() >= 4 && name.split(['_', '-']).all(|part| parts.any(|p| p == part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_swaps_once() {
        assert_eq!(distance("models", "modles"), Some(1));
        assert_eq!(distance("kitten", "sitting"), Some(3));
        assert_eq!(distance("", "abc"), Some(3));
        assert_eq!(distance("Listen", "listen"), Some(0));
    }

    #[test]
    fn only_near_names_are_suggested() {
        let keys = ["attempts_max", "body_bytes_max", "listen", "models"];
        assert_eq!(nearest("modles", keys), Some("models"));
        assert_eq!(nearest("body_max", keys), Some("body_bytes_max"));
        assert_eq!(nearest("LISTEN", keys), Some("listen"));
        assert_eq!(nearest("credential", keys), None);
        assert_eq!(nearest("n", ["m"]), None);
        assert_eq!(nearest("M", ["m"]), Some("m"));
    }
}
