//! The law of combination, against a model of it in ten lines, over random sets of rules.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use tieline_core::{Ruling, Verdict};
use tieline_policy::{Facts, Pack, PartyFacts};

use crate::support::{JUNE_12, call, epoch, pack, rule, set};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Deny,
    Hold,
    Permit,
}

/// A rule that applies to those with its statement, or cannot be evaluated for anybody.
#[derive(Clone, Debug)]
struct Plan {
    effect: Effect,
    fails: bool,
    statement: &'static str,
}

const STATEMENTS: [&str; 4] = ["a", "b", "c", "d"];

fn any_plan() -> impl Strategy<Value = Plan> {
    let effect = select(vec![Effect::Deny, Effect::Hold, Effect::Permit]);
    (effect, prop::bool::weighted(0.15), select(STATEMENTS.to_vec())).prop_map(
        |(effect, fails, statement)| Plan {
            effect,
            fails,
            statement,
        },
    )
}

fn text(plan: &Plan, ix: usize) -> String {
    let effect = match plan.effect {
        Effect::Deny => "forbid",
        Effect::Hold => "@effect(\"hold\") forbid",
        Effect::Permit => "permit",
    };
    let condition = if plan.fails {
        OVERFLOW.to_owned()
    } else {
        format!("principal.statements.contains(\"{}\")", plan.statement)
    };
    rule(
        &format!("r{ix}"),
        effect,
        &format!("(principal, action, resource) when {{ {condition} }}"),
    )
}

/// Passes validation, and overflows a 64-bit integer for every model with known compute.
const OVERFLOW: &str = "resource has training_eflop && resource.training_eflop + 9223372036854775807 > 0";

fn facts(statements: &[&str]) -> Facts {
    let mut facts = call(PartyFacts {
        statements: set(statements),
        ..PartyFacts::default()
    });
    facts.model.training_flop = Some(Arc::from("1e24"));
    facts
}

/// What must come out: the ruling, and the ids that determined it.
fn expected(plans: &[(Plan, String)], statements: &[&str]) -> (Ruling, BTreeSet<String>) {
    let applies = |plan: &Plan| !plan.fails && statements.contains(&plan.statement);
    let mut ruling = Ruling::Allow;
    let mut ids = BTreeSet::new();
    for (plan, id) in plans {
        let one = match plan.effect {
            _ if plan.fails => Ruling::Hold,
            Effect::Deny if applies(plan) => Ruling::Deny,
            Effect::Hold if applies(plan) => Ruling::Hold,
            _ => continue,
        };
        ruling = ruling.max(one);
        ids.insert(id.clone());
    }
    if !plans
        .iter()
        .any(|(plan, _)| plan.effect == Effect::Permit && (plan.fails || applies(plan)))
    {
        ruling = Ruling::Deny;
        ids.insert("default/no-permit".to_owned());
    }
    if ids.is_empty() {
        let permits = plans
            .iter()
            .filter(|(plan, _)| plan.effect == Effect::Permit && applies(plan));
        ids.extend(permits.map(|(_, id)| id.clone()));
    }
    (ruling, ids)
}

fn ids(verdict: &Verdict) -> BTreeSet<String> {
    verdict.rules.iter().map(|rule| rule.id.to_string()).collect()
}

/// The plans as two packs, in the given order.
fn packs(plans: &[Plan], order: &[usize]) -> (Vec<Pack>, Vec<(Plan, String)>) {
    let of = |half: usize| -> String {
        order
            .iter()
            .filter(|ix| **ix % 2 == half)
            .map(|ix| text(&plans[*ix], *ix))
            .collect()
    };
    let named = plans.iter().enumerate().map(|(ix, plan)| {
        let pack = if ix % 2 == 0 { "even" } else { "odd" };
        (plan.clone(), format!("{pack}/r{ix}"))
    });
    (
        vec![
            pack("even", "", &of(0)).unwrap(),
            pack("odd", "", &of(1)).unwrap(),
        ],
        named.collect(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_strictest_wins_in_any_order_and_all_are_named(
        plans in proptest::collection::vec(any_plan(), 0..8),
        statements in subsequence(STATEMENTS.to_vec(), 0..=4),
        shuffled in Just((0..8).collect::<Vec<usize>>()).prop_shuffle(),
    ) {
        let order: Vec<usize> = (0..plans.len()).collect();
        let shuffled: Vec<usize> = shuffled.into_iter().filter(|ix| *ix < plans.len()).collect();
        let (packs_in_order, named) = packs(&plans, &order);
        let (mut packs_shuffled, _) = packs(&plans, &shuffled);
        packs_shuffled.reverse();
        let facts = facts(&statements);
        let verdict = epoch(1, packs_in_order).judge(&facts, JUNE_12);
        prop_assert_eq!((verdict.ruling, ids(&verdict)), expected(&named, &statements));
        prop_assert_eq!(epoch(1, packs_shuffled).judge(&facts, JUNE_12), verdict);
    }
}

#[test]
fn a_rule_that_cannot_be_evaluated_holds_and_says_so() {
    let rules = rule("base", "permit", "(principal, action, resource)")
        + &rule(
            "broken",
            "forbid",
            &format!("(principal, action, resource) when {{ {OVERFLOW} }}"),
        );
    let epoch = epoch(1, vec![pack("p", "", &rules).unwrap()]);
    let verdict = epoch.judge(&facts(&[]), JUNE_12);
    assert_eq!(verdict.ruling, Ruling::Hold);
    assert_eq!(verdict.rules.len(), 1);
    assert_eq!(&*verdict.rules[0].id, "p/broken");
    assert_eq!(&*verdict.rules[0].citation, "C broken");
    assert!(
        verdict.rules[0].reason.contains("could not be evaluated"),
        "{}",
        verdict.rules[0].reason
    );
    let mut without = facts(&[]);
    without.model.training_flop = None;
    assert_eq!(epoch.judge(&without, JUNE_12).ruling, Ruling::Allow);
}

#[test]
fn what_no_pack_permits_is_denied_and_the_reason_is_named() {
    let verdict = epoch(3, Vec::new()).judge(&call(PartyFacts::default()), JUNE_12);
    assert_eq!(verdict.ruling, Ruling::Deny);
    assert_eq!(&*verdict.rules[0].id, "default/no-permit");
}

#[test]
fn stricter_rules_are_named_first() {
    let rules = rule("base", "permit", "(principal, action, resource)")
        + &rule("a", "@effect(\"hold\") forbid", "(principal, action, resource)")
        + &rule("z", "forbid", "(principal, action, resource)");
    let verdict = epoch(1, vec![pack("p", "", &rules).unwrap()]).judge(&call(PartyFacts::default()), JUNE_12);
    let order: Vec<&str> = verdict.rules.iter().map(|rule| &*rule.id).collect();
    assert_eq!((verdict.ruling, order), (Ruling::Deny, vec!["p/z", "p/a"]));
}
