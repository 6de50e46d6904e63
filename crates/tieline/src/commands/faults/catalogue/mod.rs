//! The catalogue: every scenario, by group. Names are stable; a scenario that is taken out leaves its name unused.

mod answers;
mod callers;
mod connections;
mod oddities;
mod refusals;
mod streams;

use super::scenario::Scenario;

/// Every scenario, in the order in which they are run and shown.
pub(super) fn all() -> Vec<Scenario> {
    [
        refusals::passing(),
        refusals::lasting(),
        refusals::everywhere(),
        refusals::final_ones(),
        refusals::incapable(),
        connections::all(),
        answers::silent(),
        answers::spoiled(),
        answers::misread(),
        streams::all(),
        streams::told(),
        oddities::flawed(),
        oddities::misshapen(),
        oddities::usage(),
        callers::all(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_the_catalogue_is_long_enough() {
        let all = super::all();
        let names: BTreeSet<_> = all.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.len() >= 40, "{}", all.len());
        for scenario in &all {
            assert!(scenario.says.ends_with('.'), "{}", scenario.name);
        }
    }
}
