//! The demo pack: its cases, its texts, and the law that missing facts help nobody.

use proptest::prelude::*;
use tieline_core::Ruling;
use tieline_core::grid::Weights;
use tieline_policy::cases::{self, CaseOutcome};
use tieline_policy::{Facts, ModelFacts};

use crate::support::{JUNE_12, any_facts, any_tick, call, demo, demo_epoch, epoch};

#[test]
fn its_cases_pass() {
    let pack = demo();
    let epoch = epoch(1, vec![pack.clone()]);
    assert!(pack.cases().len() >= 12);
    for case in pack.cases() {
        assert_eq!(
            cases::run(&epoch, case),
            CaseOutcome::Pass,
            "{}:{}: {}",
            case.file,
            case.line,
            case.says
        );
    }
}

#[test]
fn nothing_in_it_is_suspicious() {
    assert_eq!(demo().warnings(), []);
}

#[test]
fn every_rule_is_cited_and_every_prohibition_names_a_way_out() {
    for rule in demo().rules() {
        assert!(
            rule.rule.citation.starts_with("Company AI use policy, section "),
            "{}",
            rule.rule.id
        );
        assert!(
            rule.ruling == Ruling::Allow || rule.remedy.is_some(),
            "{}",
            rule.rule.id
        );
    }
}

#[test]
fn the_first_party_of_a_new_installation_is_served() {
    let party = serde_json::from_str(r#"{"class":"enterprise","jurisdiction":"DE"}"#).unwrap();
    let verdict = epoch(7, vec![demo()]).judge(&call(party), JUNE_12);
    assert_eq!(
        (
            verdict.ruling,
            verdict.epoch,
            verdict.rules.len(),
            verdict.valid_until
        ),
        (Ruling::Allow, 7, 1, None)
    );
    assert_eq!(&*verdict.rules[0].id, "demo/base");
}

#[test]
fn a_case_that_is_wrong_says_what_was_found() {
    let pack = demo();
    let epoch = epoch(1, vec![pack.clone()]);
    let mut case = pack
        .cases()
        .iter()
        .find(|case| case.expect == Ruling::Deny)
        .unwrap()
        .clone();
    let found = case.expect;
    case.expect = Ruling::Hold;
    assert_eq!(
        cases::run(&epoch, &case),
        CaseOutcome::Differs {
            found,
            rules: case.rules
        }
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// What is not allowed stays so when something that was known is not: of the party, the call, or the model.
    #[test]
    fn a_missing_fact_is_never_favourable(facts in any_facts(), now in any_tick()) {
        let epoch = demo_epoch();
        if epoch.judge(&facts, now).ruling != Ruling::Allow {
            let unknown = ModelFacts { training_flop: None, weights: Weights::Unknown, ..facts.model.clone() };
            let model = Facts { model: unknown, ..facts.clone() };
            for (fact, less) in cases::poorer(&facts).chain([("model".into(), model)]) {
                prop_assert_ne!(epoch.judge(&less, now).ruling, Ruling::Allow, "without {}", fact);
            }
        }
    }
}
