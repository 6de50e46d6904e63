//! The matrix and the difference of two: laws over random facts, and that packs are looked through.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use proptest::sample::subsequence;
use tieline_core::grid::Weights;
use tieline_core::{ChannelIx, ModelIx, Ruling};
use tieline_policy::{
    Action, ChangeKind, Column, Directive, EndUseIx, Epoch, Facts, Judge, Lineage, LintKind, Matrix, Order,
    Overlay, Pack, Postures, Question, RegionIx, Status, Targets, chain, chain_under, diff, lint,
};

use crate::support::{
    JUNE_12, any_end_use, any_party, any_tick, call, channel, demo_epoch, epoch, model, pack, rule,
};

/// Models and channels that the rules of the demo pack tell apart, and some that they do not.
static TARGETS: LazyLock<Arc<Targets>> = LazyLock::new(|| {
    let models = [
        model("open-1", Weights::Open, None),
        model("open-2", Weights::Open, None),
        model("closed-1", Weights::Closed, Some("2.1e26")),
        model("closed-2", Weights::Closed, Some("3e24")),
        model("unknown-1", Weights::Unknown, Some("unknown")),
    ];
    let channels = [
        channel("local-a", None),
        channel("us", Some("us-east-1")),
        channel("eu", Some("eu-central-1")),
    ];
    Arc::new(Targets::new(models.into(), channels.into(), &[], &[]).unwrap())
});

fn columns() -> Vec<Column> {
    let of = |(model, channels): (u16, &[u16])| Column {
        channels: channels.iter().copied().map(ChannelIx).collect(),
        model: ModelIx(model),
    };
    let all: [(u16, &[u16]); 5] = [(0, &[0, 1]), (1, &[2]), (2, &[0, 1, 2]), (3, &[1]), (4, &[])];
    all.into_iter().map(of).collect()
}

/// The demo pack beside rules about channels and models by name.
static NAMED: LazyLock<Arc<Epoch>> = LazyLock::new(|| {
    let rules = [
        rule("all", "", "permit (principal, action, resource)"),
        rule(
            "no-us",
            "",
            "forbid (principal, action, resource) when { context has region && context.region like \"us-*\" }",
        ),
        rule(
            "eu-waits",
            "@effect(\"hold\")",
            "forbid (principal, action, resource) when { context.channel == Channel::\"eu\" } \
             unless { principal in Group::\"partners\" }",
        ),
        rule(
            "two",
            "",
            "forbid (principal, action, resource == Model::\"open-2\") unless { principal has class }",
        ),
    ];
    Arc::new(epoch(2, vec![pack("named", "", &rules.concat()).unwrap()]))
});

fn epochs() -> [&'static Arc<Epoch>; 2] {
    static DEMO: LazyLock<Arc<Epoch>> = LazyLock::new(demo_epoch);
    [&DEMO, &NAMED]
}

/// One order by a condition, and one by a list.
fn orders() -> Vec<Arc<Directive>> {
    let order = |id: &str, model: &str, who: &str| {
        let text = format!(
            "t = \"tieline/directive/v1\"\nid = \"{id}\"\nversion = 1\nissuer = \"I\"\nauthority = \"A\"\n\
             title = \"T\"\nreason = \"R.\"\nissued = 2026-01-01T00:00:00Z\nvalid_from = 2026-01-01T00:00:00Z\n\
             effect = \"deny\"\nin_flight = \"finish\"\nscope.models = [\"{model}\"]\n{who}\n"
        );
        let Order::Directive(directive) = Order::parse("order.toml", &text).unwrap() else {
            return None;
        };
        Some(directive)
    };
    let german = "principal has jurisdiction && principal.jurisdiction == Country::\\\"DE\\\"";
    let orders = [
        order("germans", "open-1", &format!("who.condition = \"{german}\"")),
        order("listed", "closed-1", "who.parties = [\"p_named\"]"),
    ];
    orders.into_iter().flatten().collect()
}

fn lineage() -> Lineage {
    Arc::new(|party| vec![Arc::from(party)])
}

proptest! {
    #[test]
    fn a_cell_is_the_best_verdict_over_its_channels(
        party in any_party(), end_use in any_end_use(), now in any_tick(), which in 0..2_usize
    ) {
        let (epoch, columns) = (epochs()[which].clone(), columns());
        let matrix = Matrix::new(&epoch, &TARGETS, &columns, end_use.as_deref(), now);
        let row = matrix.row("p", &party).unwrap();
        for (column, cell) in columns.iter().zip(row) {
            let verdicts: Vec<_> = column
                .channels
                .iter()
                .map(|channel| {
                    let question = TARGETS.question(column.model, *channel, end_use.as_deref()).unwrap();
                    let facts = Facts { party: party.clone(), ..question };
                    (*channel, epoch.judge(&facts, now))
                })
                .collect();
            let best = verdicts.iter().map(|(_, verdict)| verdict.ruling).min();
            prop_assert_eq!(cell.as_ref().map(|cell| cell.ruling), best);
            let Some(cell) = cell else { continue };
            let those: Vec<_> = verdicts.iter().filter(|(_, verdict)| Some(verdict.ruling) == best).collect();
            let channels: Vec<_> = those.iter().map(|(channel, _)| *channel).collect();
            prop_assert_eq!(cell.channels.to_vec(), channels);
            let rules: BTreeSet<_> = those.iter().flat_map(|(_, v)| v.rules.iter().map(|r| r.id.clone())).collect();
            let shown: BTreeSet<_> = cell.rules.iter().map(|rule| rule.id.clone()).collect();
            prop_assert_eq!(shown.len(), cell.rules.len());
            prop_assert_eq!(shown, rules);
        }
    }

    #[test]
    fn differences_of_equals_are_none_and_those_of_two_mirror_each_other(
        party in any_party(), now in any_tick(), fewer in subsequence(vec![0, 1, 2, 3, 4], 0..5)
    ) {
        let columns = columns();
        let [demo, named] = epochs();
        let some: Vec<Column> = fewer.iter().map(|ix| columns[*ix].clone()).collect();
        let one = Matrix::new(demo, &TARGETS, &columns, None, now);
        let two = Matrix::new(named, &TARGETS, &some, None, now);
        prop_assert_eq!(diff(&one, &one, "p", &party).unwrap(), []);
        prop_assert_eq!(diff(&two, &two, "p", &party).unwrap(), []);
        let there = diff(&one, &two, "p", &party).unwrap();
        let mut back = diff(&two, &one, "p", &party).unwrap();
        for change in &mut back {
            std::mem::swap(&mut change.from, &mut change.to);
        }
        prop_assert_eq!(there, back);
    }

    #[test]
    fn a_chain_has_every_rule_of_its_verdict(
        party in any_party(), now in any_tick(), model in 0..5_u16, channel in 0..3_u16, which in 0..2_usize
    ) {
        let question = TARGETS.question(ModelIx(model), ChannelIx(channel), None).unwrap();
        let facts = Facts { party, ..question };
        let chain = chain(epochs()[which], &facts, now);
        prop_assert_eq!(&chain.verdict, &epochs()[which].judge(&facts, now));
        let named: BTreeSet<_> = chain.rules.iter().map(|rule| &rule.id).collect();
        for rule in chain.verdict.rules.iter().filter(|rule| !rule.id.starts_with("default/")) {
            prop_assert!(named.contains(&rule.id), "{} is missing", rule.id);
        }
        prop_assert!(chain.rules.iter().all(|rule| rule.enforced));
        for opening in chain.deciding.iter().flat_map(|one| &one.opens) {
            prop_assert!(opening.ruling < chain.verdict.ruling);
        }
    }
}

proptest! {
    // Each case lays the directives anew, which costs more than the verdicts.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_cell_under_directives_is_the_best_verdict_of_the_judge(
        facts in any_party(), now in any_tick(), which in 0..2_usize, named in any::<bool>()
    ) {
        let (epoch, columns) = (epochs()[which].clone(), columns());
        let party = if named { "p_named" } else { "p_other" };
        let overlay = Arc::new(Overlay::build(9, orders(), &epoch, lineage()).unwrap());
        let matrix = Matrix::new(&epoch, &TARGETS, &columns, None, now).with_overlay(overlay.clone());
        let row = matrix.row(party, &facts).unwrap();
        let postures = Arc::new(Postures::new());
        let posture = postures.intern(&facts).unwrap();
        let judge = Judge::new(epoch.clone(), TARGETS.clone(), postures).with_overlay(overlay.clone());
        for (column, cell) in columns.iter().zip(row) {
            let ask = |channel: ChannelIx| {
                let question = Question {
                    action: Action::Call,
                    channel,
                    end_use: EndUseIx::UNSTATED,
                    model: column.model,
                    posture,
                    region: RegionIx::OWN,
                };
                judge.verdict(question, party, now)
            };
            let best = column.channels.iter().map(|channel| ask(*channel).ruling).min();
            prop_assert_eq!(cell.as_ref().map(|cell| cell.ruling), best);
            let first = cell.as_ref().and_then(|cell| cell.channels.first().copied());
            if let (Some(cell), Some(first)) = (cell, first) {
                let shown: Vec<_> = cell.rules.iter().map(|rule| rule.id.clone()).collect();
                let rules: Vec<_> = ask(first).rules.iter().map(|rule| rule.id.clone()).collect();
                prop_assert!(shown.starts_with(&rules), "{:?} {:?}", shown, rules);
                let question = TARGETS.question(column.model, first, None).unwrap();
                let facts = Facts { party: facts.clone(), ..question };
                let chain = chain_under(&overlay, &epoch, &TARGETS, party, &facts, now);
                prop_assert_eq!(&chain.verdict.rules, &ask(first).rules);
                prop_assert_eq!(chain.directives.len(), 2);
            }
        }
    }
}

#[test]
fn changes_are_of_three_kinds() {
    let columns = columns();
    let [_, named] = epochs();
    let other = |rules: &[String]| epoch(3, vec![pack("named", "", &rules.concat()).unwrap()]);
    let all = rule("all", "", "permit (principal, action, resource)");
    let check = |new: &Epoch, model: &str, expected: Option<ChangeKind>| {
        let old = Matrix::new(named, &TARGETS, &columns, None, JUNE_12);
        let new = Matrix::new(new, &TARGETS, &columns, None, JUNE_12);
        let party = call(tieline_policy::PartyFacts::default()).party;
        let changes = diff(&old, &new, "p", &party).unwrap();
        let found = changes
            .iter()
            .find(|change| &*change.model == model)
            .map(|change| change.kind);
        assert_eq!(found, expected, "{model}: {changes:?}");
    };
    let free = other(std::slice::from_ref(&all));
    check(&free, "open-1", Some(ChangeKind::Channels));
    check(&free, "open-2", Some(ChangeKind::Ruling));
    check(&free, "unknown-1", None);
    let renamed = other(&[
        rule("all-2", "", "permit (principal, action, resource)"),
        rule(
            "two-2",
            "",
            "forbid (principal, action, resource == Model::\"open-2\")",
        ),
    ]);
    check(&renamed, "open-2", Some(ChangeKind::Rules));
    // Another permit alone is none.
    let again = other(&[
        rule("all-2", "", "permit (principal, action, resource)"),
        rule(
            "no-us",
            "",
            "forbid (principal, action, resource) when { context has region && context.region == \"us-east-1\" }",
        ),
    ]);
    check(&again, "closed-1", Some(ChangeKind::Channels));
    check(&again, "open-1", None);
}

#[track_caller]
fn check_lint(rules: &[String], expected: &[(LintKind, &str)]) {
    let sets = "[sets.one]\ntitle = \"One\"\ncitation = \"C\"\ncountries = [\"DE\", \"FR\"]\n\
                [sets.two]\ntitle = \"Two\"\ncitation = \"C\"\ncountries = [\"US\"]\n";
    let packs = [pack("p", sets, &rules.concat()).unwrap()];
    let lints = lint(&packs, &BTreeSet::from([Arc::from("p")]), &[Status::Company]).unwrap();
    let found: Vec<_> = lints
        .found
        .iter()
        .filter(|lint| lint.kind != LintKind::UnusedSet && lint.kind != LintKind::Impossible)
        .map(|lint| (lint.kind, &*lint.subject))
        .collect();
    assert_eq!(found, expected, "{:#?}", lints.found);
}

#[test]
fn rules_that_do_nothing_are_found() {
    let all = rule("all", "", "permit (principal, action, resource)");
    let in_set = |set: &str| {
        format!("principal has jurisdiction && principal.jurisdiction in CountryGroup::\"p/{set}\"")
    };
    let forbid = |id: &str, when: &str| {
        rule(
            id,
            "",
            &format!("forbid (principal, action, resource) when {{ {when} }}"),
        )
    };
    check_lint(&[all.clone(), forbid("one", &in_set("one"))], &[]);
    // No country is in both.
    check_lint(
        &[
            all.clone(),
            forbid("both", &format!("{} && {}", in_set("one"), in_set("two"))),
        ],
        &[(LintKind::NeverApplies, "p/both")],
    );
    check_lint(
        &[
            all.clone(),
            forbid(
                "compute",
                "resource has training_eflop && resource.training_eflop > 10 && resource.training_eflop < 5",
            ),
        ],
        &[(LintKind::NeverApplies, "p/compute")],
    );
    // A permit that is always held, because what is unknown is and what is known too.
    check_lint(
        &[
            rule(
                "some",
                "",
                "permit (principal, action, resource) when { principal has class }",
            ),
            forbid("known", "principal has class"),
        ],
        &[(LintKind::AlwaysForbidden, "p/some")],
    );
    // A permit that needs more than its own facts is found to work.
    check_lint(
        &[
            all.clone(),
            forbid("place", "!(principal has jurisdiction)"),
            forbid("paper", "!(principal.licences.contains(\"l\"))"),
            forbid("end-use", "!(context has end_use)"),
            forbid(
                "both",
                "!(principal has class && principal has headquarters && principal has kind)",
            ),
        ],
        &[],
    );
    check_lint(
        &[
            all,
            forbid("one", &in_set("one")),
            forbid(
                "german",
                "principal has jurisdiction && principal.jurisdiction == Country::\"DE\"",
            ),
        ],
        &[(LintKind::Implied, "p/german")],
    );
}

#[test]
fn a_permit_is_not_looked_at_if_its_status_does_not_enforce() {
    let rules = [
        rule(
            "some",
            "",
            "permit (principal, action, resource) when { principal has class }",
        ),
        rule(
            "known",
            "",
            "forbid (principal, action, resource) when { principal has class }",
        ),
    ];
    let packs: [Pack; 1] = [pack("p", "", &rules.concat()).unwrap()];
    let lints = lint(&packs, &BTreeSet::from([Arc::from("p")]), &[Status::InForce]).unwrap();
    assert_eq!(lints.found, []);
    assert!(lints.combinations > 0);
}

#[test]
fn rules_of_other_statuses_are_shown_beside_the_verdict() {
    let law = pack("law", "", &rule("no", "", "forbid (principal, action, resource)")).unwrap();
    let own = pack(
        "own",
        "",
        &rule("all", "", "permit (principal, action, resource)"),
    );
    let proposed: Vec<_> = law
        .archive()
        .sources
        .iter()
        .map(|source| tieline_policy::Source {
            path: source.path.clone(),
            text: source.text.replace("\"company\"", "\"proposed\"").into(),
        })
        .collect();
    let epoch = Epoch::build(
        1,
        vec![own.unwrap(), Pack::parse(&proposed).unwrap()],
        &[Status::Company],
    )
    .unwrap();
    let chain = chain(&epoch, &call(tieline_policy::PartyFacts::default()), JUNE_12);
    assert_eq!(chain.verdict.ruling, Ruling::Allow);
    let shown: Vec<_> = chain
        .rules
        .iter()
        .map(|rule| (&*rule.id, rule.enforced, rule.ruling, rule.status))
        .collect();
    assert_eq!(
        shown,
        [
            ("own/all", true, Ruling::Allow, Status::Company),
            ("law/no", false, Ruling::Deny, Status::Proposed)
        ]
    );
}
