//! The law of missing facts, by random facts and conditions: whoever is inside or outside while facts are missing is still
//! so when they become known, whatever they turn out to be.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use tieline_core::grid::Weights;
use tieline_core::{ChannelIx, ModelIx};
use tieline_policy::{
    Action, Class, Country, EndUseIx, FactName, Judge, Kind, Overlay, PartyFacts, Postures, Question,
    RegionIx, Standing, Targets,
};

use crate::directives::directive;
use crate::support::{JUNE_12, channel, epoch, model, pack, rule};

/// Ways to write a condition: guarded one way or the other, negated, by sets of countries, by words, by each other.
const CONDITIONS: [&str; 12] = [
    "principal has kind && principal.kind == Kind::\"person\"",
    "!(principal has kind && principal.kind == Kind::\"person\")",
    "if principal has kind && principal.kind == Kind::\"person\" then !(principal has person_class && \
     principal.person_class.contains(\"us_person\")) else !(principal has jurisdiction && \
     principal.jurisdiction == Country::\"US\")",
    "principal has jurisdiction && principal.jurisdiction in CountryGroup::\"base/far\"",
    "!(principal has headquarters && principal.headquarters in CountryGroup::\"base/near\")",
    "principal has jurisdiction && principal.jurisdiction in Country::\"UA\"",
    "principal has headquarters && principal has jurisdiction && principal.headquarters != principal.jurisdiction",
    "principal has end_uses && !([\"translation\", \"coding\"].containsAll(principal.end_uses))",
    "principal has end_uses && principal.end_uses.contains(\"targeting\") && principal has class && \
     principal.class == Class::\"agency\"",
    "principal has listed && !(principal.listed.isEmpty())",
    "principal has person_class && [\"us_person\", \"nationality_group:A5\"].containsAny(principal.person_class)",
    "principal has class && [Class::\"academic\", Class::\"agency\"].contains(principal.class)",
];

fn any_words(words: &'static [&'static str]) -> impl Strategy<Value = Option<BTreeSet<Arc<str>>>> {
    subsequence(words.to_vec(), 0..=words.len())
        .prop_map(|some| Some(some.into_iter().map(Arc::from).collect()))
}

/// Everything that the conditions read is known.
fn any_whole() -> impl Strategy<Value = PartyFacts> {
    let country = || select(vec!["US", "DE", "AQ", "BV", "CN", "UA", "UA-43"]);
    (
        select(Kind::ALL.to_vec()),
        select(Class::ALL.to_vec()),
        country(),
        country(),
        any_words(&["us_person", "nationality_group:A5", "nationality_group:D5"]),
        any_words(&["translation", "coding", "targeting", "poetry"]),
        any_words(&["sdn"]),
    )
        .prop_map(
            |(kind, class, jurisdiction, headquarters, person_class, end_uses, listed)| PartyFacts {
                class: Some(class),
                end_uses,
                headquarters: Country::parse(headquarters).ok(),
                jurisdiction: Country::parse(jurisdiction).ok(),
                kind: Some(kind),
                listed,
                person_class,
                ..PartyFacts::default()
            },
        )
}

fn any_condition() -> impl Strategy<Value = String> {
    let one = || select(CONDITIONS.to_vec());
    (one(), select(vec!["&&", "||"]), one(), any::<bool>()).prop_map(|(one, and, two, is_alone)| {
        if is_alone {
            one.to_owned()
        } else {
            format!("({one}) {and} ({two})")
        }
    })
}

fn judge(who: &str, exempt: Option<&str>) -> Judge {
    let sets =
        "[sets.far]\ncountries = [\"AQ\", \"BV\", \"CN\"]\n[sets.near]\ncountries = [\"CN\", \"DE\"]\n";
    let base = pack(
        "base",
        sets,
        &rule("all", "permit", "(principal, action, resource)"),
    )
    .unwrap();
    let exempt = exempt.map_or(String::new(), |text| format!("exempt.condition = '{text}'\n"));
    let order = directive(&format!(
        "t = \"tieline/directive/v1\"\nid = \"d\"\nversion = 1\nissuer = \"I\"\nauthority = \"A\"\ntitle = \"T\"\n\
         reason = \"R.\"\nissued = 2026-06-01T00:00:00Z\nvalid_from = 2026-06-01T00:00:00Z\neffect = \"deny\"\n\
         in_flight = \"finish\"\nscope.labs = [\"lab-a\"]\nwho.condition = '{who}'\n{exempt}"
    ));
    let models = vec![model("m", Weights::Closed, Some("1e25"))];
    let targets = Targets::new(models, vec![channel("c", None)], &[], &[]).unwrap();
    let epoch = Arc::new(epoch(1, vec![base]));
    let overlay = Overlay::build(2, vec![order], &epoch, Arc::new(|_| Vec::new())).unwrap();
    Judge::new(epoch, Arc::new(targets), Arc::new(Postures::new())).with_overlay(Arc::new(overlay))
}

fn standing(judge: &Judge, facts: &PartyFacts) -> Standing {
    let question = Question {
        action: Action::Call,
        channel: ChannelIx(0),
        end_use: EndUseIx::UNSTATED,
        model: ModelIx(0),
        posture: judge.postures().intern(facts).unwrap(),
        region: RegionIx::OWN,
    };
    judge.standings(question, "p", JUNE_12).remove(0).1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_becomes_known_only_decides_what_was_undetermined(
        whole in any_whole(),
        who in any_condition(),
        exempt in proptest::option::of(any_condition()),
        missing in subsequence(vec![0, 1, 2, 3, 4, 5, 6_usize], 1..4),
    ) {
        let judge = judge(&who, exempt.as_deref());
        let names = whole.names();
        let missing: Vec<FactName> = missing.iter().map(|at| names[*at].clone()).collect();
        let mut part = whole.clone();
        for name in &missing {
            part.forget(name);
        }
        let known = standing(&judge, &whole);
        prop_assert!(!matches!(known, Standing::Undetermined(_)), "{known:?}");
        match standing(&judge, &part) {
            Standing::Undetermined(facts) => {
                // It waits for nothing but what is missing, and for something.
                prop_assert!(!facts.is_empty() && facts.iter().all(|fact| missing.contains(fact)), "{facts:?}");
            }
            Standing::Inside => prop_assert_eq!(known, Standing::Inside),
            Standing::Outside | Standing::Exempt => prop_assert!(!known.refuses(), "{:?}", known),
        }
    }
}
