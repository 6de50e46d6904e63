//! Facts that count for some questions only, what officers cleared, what is counted, duties, and what rules disclose.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::subsequence;
use tieline_core::{Ruling, Verdict};
use tieline_policy::{
    Clearance, Epoch, FactName, Facts, Judge, Limit, PartyFacts, Postures, Question, Targets, TermScope,
};

use crate::support::{JUNE_12, any_tick, call, epoch, pack, rule, set};

const ALL: &str = "(principal, action, resource)";

/// Denies without licence `l`, holds without statement `s`, obliges whoever is asked for research.
fn ruled() -> Epoch {
    let rules = [
        rule("all", "permit", ALL),
        rule(
            "deny",
            "forbid",
            &format!("{ALL} unless {{ principal.licences.contains(\"l\") }}"),
        ),
        rule(
            "hold",
            "@effect(\"hold\") forbid",
            &format!("{ALL} unless {{ principal.statements.contains(\"s\") }}"),
        ),
        rule(
            "duty",
            "@effect(\"oblige\") permit",
            &format!("{ALL} when {{ context has end_use && context.end_use == \"research\" }}"),
        ),
    ];
    epoch(7, vec![pack("p", "", &rules.concat()).unwrap()])
}

fn facts(text: &str) -> Facts {
    call(serde_json::from_str(text).unwrap())
}

fn ids(verdict: &Verdict) -> Vec<&str> {
    verdict.rules.iter().map(|rule| &*rule.id).collect()
}

#[test]
fn a_paper_counts_within_its_scope_only() {
    let epoch = ruled();
    let check = |scope: &str, expected: &[&str]| {
        let text = format!(
            r#"{{"licences":["l"],"limits":{{"licences/l":[{{"scope":{scope}}}]}},"statements":["s"]}}"#
        );
        let mut asked = facts(&text);
        asked.end_use = Some("research".into());
        asked.region = Some("eu-central-1".into());
        asked.channel.region = asked.region.clone();
        asked.channel.region_country = tieline_policy::Country::parse("DE").ok();
        assert_eq!(ids(&epoch.judge(&asked, JUNE_12)), expected, "{scope}");
    };
    check("{}", &["p/all"]);
    check(r#"{"models":["open-1"]}"#, &["p/all"]);
    check(r#"{"models":["other"]}"#, &["p/deny"]);
    check(r#"{"labs":["lab-b"]}"#, &["p/deny"]);
    check(r#"{"end_uses":["research"],"places":["DE"]}"#, &["p/all"]);
    check(r#"{"places":["FR"]}"#, &["p/deny"]);
}

#[test]
fn the_country_of_a_channel_is_not_that_of_another_region() {
    let epoch = ruled();
    let mut asked = facts(
        r#"{"licences":["l"],"limits":{"licences/l":[{"scope":{"places":["DE"]}}]},"statements":["s"]}"#,
    );
    asked.channel.region = Some("eu-central-1".into());
    asked.channel.region_country = tieline_policy::Country::parse("DE").ok();
    asked.region = Some("us-east-1".into());
    assert_eq!(ids(&epoch.judge(&asked, JUNE_12)), ["p/deny"]);
}

#[test]
fn an_officer_clears_a_hold_and_nothing_else() {
    let epoch = ruled();
    let check = |cleared: &str, licences: &str, expected: &[&str]| {
        let text = format!(
            r#"{{"cleared":[{cleared}],"expires":{{"clearances/t":{}}},"licences":[{licences}]}}"#,
            JUNE_12.0 + 10
        );
        let asked = facts(&text);
        let verdict = epoch.judge(&asked, JUNE_12);
        assert_eq!(ids(&verdict), expected, "{cleared}");
        assert_eq!(verdict.valid_until.map(|t| t.0), Some(JUNE_12.0 + 10));
        // When the clearance ends, the hold is back.
        let later = epoch.judge(&asked, tieline_core::Tick(JUNE_12.0 + 10));
        assert_ne!(later.ruling, Ruling::Allow);
    };
    check(r#"{"rule":"p/hold","ticket":"t"}"#, r#""l""#, &["p/all"]);
    check(
        r#"{"model":"open-1","rule":"p/hold","ticket":"t"}"#,
        r#""l""#,
        &["p/all"],
    );
    check(
        r#"{"model":"other","rule":"p/hold","ticket":"t"}"#,
        r#""l""#,
        &["p/hold"],
    );
    check(r#"{"rule":"p/other","ticket":"t"}"#, r#""l""#, &["p/hold"]);
    check(r#"{"rule":"p/hold","ticket":"t"}"#, "", &["p/deny"]);
    check(
        r#"{"rule":"p/deny","ticket":"t"},{"rule":"p/hold","ticket":"t"}"#,
        "",
        &["p/deny"],
    );
}

#[test]
fn what_the_engine_holds_itself_cannot_be_cleared() {
    let overflow = "resource has training_eflop && resource.training_eflop + 9223372036854775807 > 0";
    let rules = [
        rule("all", "permit", ALL),
        rule("deny", "forbid", &format!("{ALL} when {{ {overflow} }}")),
        rule(
            "hold",
            "@effect(\"hold\") forbid",
            &format!("{ALL} when {{ {overflow} }}"),
        ),
        rule(
            "duty",
            "@effect(\"oblige\") permit",
            &format!("{ALL} when {{ {overflow} }}"),
        ),
    ];
    let epoch = epoch(7, vec![pack("p", "", &rules.concat()).unwrap()]);
    let clear = |rule: &str| format!(r#"{{"rule":"{rule}","ticket":"t"}}"#);
    let all = [
        "default/contradictory-facts",
        "default/unreadable-facts",
        "p/deny",
        "p/hold",
    ]
    .map(clear);
    let also: Vec<String> = ["BY", "CN", "CU", "FR", "IR", "KP", "RU", "SY"]
        .map(|code| format!(r#"{{"value":{{"jurisdiction":"{code}"}}}}"#))
        .into();
    let also = also.join(",");
    let mut asked = facts(&format!(
        r#"{{"also":[{also}],"cleared":[{}],"jurisdiction":"DE"}}"#,
        all.join(",")
    ));
    asked.model.training_flop = Some("1e24".into());
    let verdict = epoch.judge(&asked, JUNE_12);
    assert_eq!(verdict.ruling, Ruling::Hold);
    // The rule that holds could not be evaluated, and may be cleared as if it had applied.
    assert_eq!(ids(&verdict), ["p/deny", "default/contradictory-facts"]);
    // A duty that could not be evaluated is named.
    assert_eq!(verdict.obligations.first().map(|rule| &*rule.id), Some("p/duty"));
}

#[test]
fn duties_are_named_whatever_the_ruling() {
    let epoch = ruled();
    for (text, ruling) in [
        (r#"{"licences":["l"],"statements":["s"]}"#, Ruling::Allow),
        (r#"{"licences":["l"]}"#, Ruling::Hold),
        ("{}", Ruling::Deny),
    ] {
        let mut asked = facts(text);
        assert!(epoch.judge(&asked, JUNE_12).obligations.is_empty());
        asked.end_use = Some("research".into());
        let verdict = epoch.judge(&asked, JUNE_12);
        assert_eq!(verdict.ruling, ruling);
        let duties: Vec<&str> = verdict.obligations.iter().map(|rule| &*rule.reason).collect();
        assert_eq!(duties, ["R duty."]);
    }
    // A duty permits nothing.
    let alone = rule("duty", "@effect(\"oblige\") permit", ALL);
    let epoch = crate::support::epoch(1, vec![pack("p", "", &alone).unwrap()]);
    assert!(!epoch.has_permit(JUNE_12));
    let verdict = epoch.judge(&facts("{}"), JUNE_12);
    assert_eq!(
        (ids(&verdict), verdict.obligations.len()),
        (vec!["default/no-permit"], 1)
    );
}

/// Three licences of which any lifts the denial, and one more that lifts a hold.
fn counting() -> Epoch {
    let any = "principal.licences.contains(\"a\") || principal.licences.contains(\"b\") || \
               principal.licences.contains(\"c\")";
    let rules = [
        rule("all", "permit", ALL),
        rule("deny", "forbid", &format!("{ALL} unless {{ {any} }}")),
        rule(
            "hold",
            "@effect(\"hold\") forbid",
            &format!("{ALL} unless {{ principal.licences.contains(\"h\") }}"),
        ),
    ];
    epoch(7, vec![pack("p", "", &rules.concat()).unwrap()])
}

#[test]
fn a_verdict_rests_on_the_counted_licences_that_it_needs() {
    let epoch = counting();
    let check = |held: &[&str], counted: &[&str], expected: &[&str]| {
        let party = PartyFacts {
            counted: set(counted),
            licences: set(held),
            ..PartyFacts::default()
        };
        let verdict = epoch.judge(&call(party), JUNE_12);
        let consumes: Vec<&str> = verdict.consumes.iter().map(|id| &**id).collect();
        assert_eq!(consumes, expected, "{held:?} {counted:?}");
    };
    check(&["a", "h"], &[], &[]);
    check(&["a", "h"], &["a"], &["a"]);
    check(&["a", "h"], &["a", "h"], &["a", "h"]);
    // One of two that each would do, and none where one that is not counted does.
    check(&["a", "b", "h"], &["a", "b"], &["a"]);
    check(&["a", "b", "h"], &["a"], &[]);
    check(&["a", "b", "c"], &["b", "c"], &[]);
    // A hold that would be a denial rests on it too; a denial rests on nothing.
    check(&["b"], &["b"], &["b"]);
    check(&["h"], &["h"], &[]);
    check(&[], &["a", "h"], &[]);
}

#[test]
fn a_judge_leaves_spent_licences_out_and_remembers_nothing_of_it() {
    let asked = call(PartyFacts::default());
    let targets = Targets::new(vec![asked.model], vec![asked.channel], &[], &[]).unwrap();
    let postures = Arc::new(Postures::new());
    let party = PartyFacts {
        counted: set(&["a"]),
        licences: set(&["a", "h"]),
        ..PartyFacts::default()
    };
    let question = Question {
        action: tieline_policy::Action::Call,
        channel: tieline_core::ChannelIx(0),
        end_use: tieline_policy::EndUseIx::UNSTATED,
        model: tieline_core::ModelIx(0),
        posture: postures.intern(&party).unwrap(),
        region: tieline_policy::RegionIx::OWN,
    };
    let judge = Judge::new(Arc::new(counting()), Arc::new(targets), postures);
    let verdict = judge.verdict(question, "p", JUNE_12);
    assert_eq!(
        (verdict.ruling, &*verdict.consumes),
        (Ruling::Allow, &[Arc::from("a")][..])
    );
    let without = judge.verdict_without(question, "p", JUNE_12, &verdict.consumes);
    assert_eq!((without.ruling, without.consumes.len()), (Ruling::Deny, 0));
    assert_eq!(judge.verdict(question, "p", JUNE_12), verdict);
    assert_eq!(judge.misses(), 1);
}

#[test]
fn a_rule_discloses_what_it_says_that_it_does() {
    let rules = [
        rule("all", "permit", ALL),
        rule("coded", "@disclosure(\"code\") forbid", ALL),
        rule("named", "@disclosure(\"public\") forbid", ALL),
        rule("sealed", "@disclosure(\"sealed\") @effect(\"hold\") forbid", ALL),
        rule(
            "sealed-duty",
            "@disclosure(\"sealed\") @effect(\"oblige\") permit",
            ALL,
        ),
    ];
    let pack = pack("p", "", &rules.concat()).unwrap();
    let epoch = epoch(7, vec![pack.clone()]);
    let verdict = epoch.judge(&facts("{}"), JUNE_12);
    let told = |rule: &tieline_core::Rule| {
        (
            rule.id.to_string(),
            rule.reason.to_string(),
            rule.citation.to_string(),
        )
    };
    let rows: Vec<_> = verdict.rules.iter().map(told).collect();
    let text =
        |id: &str, reason: &str, citation: &str| (id.to_owned(), reason.to_owned(), citation.to_owned());
    let sealed = |id: &str| {
        let text = format!("{} {id}", pack.digest());
        let digest = tieline_note::sha256(text.as_bytes()).to_string();
        format!("sealed/{}", digest.get(..16).unwrap())
    };
    let expected = [
        text("p/coded", "", ""),
        text("p/named", "R named.", "C named"),
        text(&sealed("p/sealed"), "", ""),
    ];
    assert_eq!(rows, expected);
    assert_eq!(
        told(&verdict.obligations[0]),
        text(&sealed("p/sealed-duty"), "", "")
    );
    // Whoever may see it finds the rule behind the id.
    let found = epoch.rule(&verdict.rules[2].id).unwrap();
    assert_eq!((&*found.rule.id, &*found.rule.citation), ("p/sealed", "C sealed"));
    // It can be cleared by the id that the verdict gave.
    let cleared = Clearance {
        model: None,
        rule: verdict.rules[2].id.clone(),
        ticket: "t".into(),
    };
    let party = PartyFacts {
        cleared: BTreeSet::from([cleared]),
        ..PartyFacts::default()
    };
    assert_eq!(ids(&epoch.judge(&call(party), JUNE_12)), ["p/coded", "p/named"]);
}

/// What may be said of the papers of a party: scopes around the one question, ends around the instants of `any_tick`.
fn any_limits() -> impl Strategy<Value = PartyFacts> {
    let scope = (
        subsequence(vec!["open-1", "other"], 0..=2),
        subsequence(vec!["research", "support"], 0..=2),
        subsequence(vec!["DE", "eu-central-1"], 0..=2),
    );
    let scope = scope.prop_map(|(models, end_uses, places)| TermScope {
        end_uses: set(&end_uses),
        labs: BTreeSet::new(),
        models: set(&models),
        places: set(&places),
    });
    let limit = (proptest::option::of(any_tick()), scope)
        .prop_map(|(expires, scope)| Limit {
            expires,
            scope,
            ..Limit::default()
        })
        .boxed();
    let limits = || proptest::collection::btree_set(limit.clone(), 0..3);
    (limits(), limits(), any::<bool>(), any::<bool>()).prop_map(|(licence, statement, held, counted)| {
        let of = |limits: BTreeSet<Limit>, name| (!limits.is_empty()).then_some((name, limits));
        PartyFacts {
            counted: if counted { set(&["l"]) } else { BTreeSet::new() },
            licences: if held { set(&["l"]) } else { BTreeSet::new() },
            limits: of(licence, FactName::Licence("l".into()))
                .into_iter()
                .chain(of(statement, FactName::Statement("s".into())))
                .collect(),
            statements: set(&["s"]),
            ..PartyFacts::default()
        }
    })
}

proptest! {
    #[test]
    fn a_scope_never_widens(party in any_limits(), research in any::<bool>(), now in any_tick()) {
        let epoch = ruled();
        let mut asked = call(party.clone());
        asked.end_use = research.then(|| "research".into());
        let limited = epoch.judge(&asked, now).ruling;
        // Without any limit it is judged as leniently or more so.
        asked.party.limits.clear();
        prop_assert!(epoch.judge(&asked, now).ruling <= limited);
        // What is out of date or out of scope counts as if it were not there.
        let admits = |limit: &Limit| {
            let scope = &limit.scope;
            limit.expires.is_none_or(|at| at > now)
                && (scope.models.is_empty() || scope.models.contains("open-1"))
                && (scope.end_uses.is_empty() || (research && scope.end_uses.contains("research")))
                && scope.places.is_empty()
        };
        for (name, limits) in &party.limits {
            if !limits.iter().any(admits) {
                asked.party.forget(name);
            }
        }
        prop_assert_eq!(epoch.judge(&asked, now).ruling, limited);
    }

    #[test]
    fn what_is_consumed_is_what_is_needed(held in subsequence(vec!["a", "b", "c", "h"], 0..=4),
                                          counted in subsequence(vec!["a", "b", "c", "h"], 0..=4)) {
        let epoch = counting();
        let party = PartyFacts { counted: set(&counted), licences: set(&held), ..PartyFacts::default() };
        let verdict = epoch.judge(&call(party.clone()), JUNE_12);
        // All other counted licences can go, and the ruling stays; without any one more it does not.
        let spare = counted.iter().map(|id| Arc::from(*id)).filter(|id| !verdict.consumes.contains(id));
        let spare: Vec<Arc<str>> = spare.collect();
        let bare = party.without_licences(&spare);
        prop_assert_eq!(epoch.judge(&call(bare.clone()), JUNE_12).ruling, verdict.ruling);
        for id in verdict.consumes.iter() {
            let less = bare.without_licences(std::slice::from_ref(id));
            prop_assert!(epoch.judge(&call(less), JUNE_12).ruling > verdict.ruling);
        }
    }
}
