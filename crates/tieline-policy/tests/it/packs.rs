//! The packs that are shipped: their cases, their texts, and sets whose members change with time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use tieline_core::grid::Weights;
use tieline_core::{Ruling, Tick};
use tieline_policy::cases::{self, CaseOutcome};
use tieline_policy::{
    Class, Country, Epoch, Facts, Kind, Pack, PackProblem, PartyFacts, Source, Status, lint,
};

use crate::support::{JUNE_12, any_model, call, manifest, pack, rule, set, sources};

/// 2026-02-03T00:00:00Z.
const FEBRUARY_3: Tick = Tick(1_770_076_800_000_000);

/// Packs of law and terms, which only forbid, and therefore combine with a company's own. The demo pack has tests of
/// its own.
const SHIPPED: [&str; 12] = [
    "agency",
    "eu-ai-act",
    "eu-ai-act-high-risk",
    "provider-terms",
    "research",
    "residency",
    "sanctions",
    "us-ear",
    "us-ear-4e091",
    "us-ear-affiliates-2025",
    "us-ear-affiliates-2026",
    "us-ear-affiliates-suspended",
];

fn folder(id: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs").join(id)
}

fn shipped(id: &str) -> Pack {
    let files = std::fs::read_dir(folder(id))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let sources: Vec<Source> = files
        .map(|path| Source {
            path: Arc::from(path.file_name().unwrap().to_str().unwrap()),
            text: Arc::from(std::fs::read_to_string(&path).unwrap()),
        })
        .collect();
    Pack::parse(&sources).map_err(|problems| (id, problems)).unwrap()
}

/// A pack and those whose sets it names.
fn with_library(id: &str) -> (Pack, Vec<Pack>) {
    let pack = shipped(id);
    let text = |pack: &Pack| {
        pack.archive()
            .sources
            .iter()
            .map(|s| s.text.to_string())
            .collect::<String>()
    };
    let named = |other: &str| other != id && text(&pack).contains(&format!("CountryGroup::\"{other}/"));
    let library = SHIPPED
        .into_iter()
        .filter(|other| named(other))
        .map(shipped)
        .collect();
    (pack, library)
}

/// One problem a line.
fn lines(problems: &[PackProblem]) -> String {
    let lines: Vec<_> = problems.iter().map(|problem| format!("  {problem}")).collect();
    lines.join("\n")
}

#[test]
fn the_list_is_complete() {
    let mut found: Vec<String> = (std::fs::read_dir(folder(".")).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "demo")
        .collect();
    found.sort();
    assert_eq!(found, SHIPPED);
}

/// All of them enforcing beside the demonstration, which permits: every rule applies somewhere, and no permit is
/// contradicted wherever it would let a call through.
#[test]
fn no_shipped_rule_is_without_effect_and_no_permit_contradicted() {
    let packs: Vec<Pack> = std::fs::read_dir(folder(""))
        .unwrap()
        .map(|entry| shipped(entry.unwrap().file_name().to_str().unwrap()))
        .collect();
    let ids = packs.iter().map(|pack| pack.manifest().id.clone()).collect();
    let lints = lint(&packs, &ids, &Status::ALL).unwrap();
    let warnings: Vec<_> = lints.found.iter().filter(|lint| lint.kind.is_warning()).collect();
    assert!(
        warnings.is_empty() && lints.combinations > 10_000,
        "{warnings:#?}"
    );
}

#[test]
fn every_case_passes() {
    let mut failures = Vec::new();
    let mut count = 0;
    for id in SHIPPED {
        let (pack, library) = with_library(id);
        let epoch = cases::bench(&pack, &library).unwrap();
        for case in pack.cases() {
            count += 1;
            let outcome = cases::run(&epoch, case);
            if outcome != CaseOutcome::Pass {
                failures.push(format!(
                    "{id}/{}:{}: {}: {outcome:?}",
                    case.file, case.line, case.says
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    println!("{count} cases pass");
    assert!(count >= 190, "{count} cases");
}

#[test]
fn every_rule_of_every_pack_decides_in_some_case() {
    for id in SHIPPED {
        let pack = shipped(id);
        for rule in pack.rules() {
            let is_named = pack.cases().iter().any(|case| {
                let duties = case.obligations.iter().flatten();
                case.rules.iter().chain(duties).any(|id| *id == rule.rule.id)
            });
            assert!(is_named, "no case of {id} names {}", rule.rule.id);
        }
        assert!(
            pack.cases().iter().any(|case| case.expect == Ruling::Allow),
            "{id}"
        );
    }
}

#[test]
fn they_are_law_without_permits_and_say_what_they_leave_open() {
    for id in SHIPPED {
        let pack = shipped(id);
        assert_eq!(pack.warnings(), [], "{id}");
        let manifest = pack.manifest();
        assert_eq!(&*manifest.id, id);
        assert!(
            !manifest.covers.is_empty() && !manifest.does_not_cover.is_empty(),
            "{id}"
        );
        for rule in pack.rules() {
            assert!(rule.obliges || rule.ruling != Ruling::Allow, "{}", rule.rule.id);
            assert!(rule.remedy.is_some() && rule.title.is_some(), "{}", rule.rule.id);
            assert!(
                rule.unverified.is_none() || rule.obliges || rule.ruling == Ruling::Hold,
                "{}",
                rule.rule.id
            );
        }
    }
}

#[test]
fn of_whom_nothing_is_known_no_pack_allows_a_closed_model() {
    for id in SHIPPED {
        let (pack, library) = with_library(id);
        if pack.rules().iter().all(|rule| rule.obliges) {
            continue;
        }
        let epoch = cases::bench(&pack, &library).unwrap();
        let mut facts = call(PartyFacts::default());
        facts.model.weights = Weights::Closed;
        facts.model.training_flop = None;
        facts.model.lab = Arc::from("anthropic");
        let now = pack.manifest().valid_from;
        assert_ne!(epoch.judge(&facts, now).ruling, Ruling::Allow, "{id}");
    }
}

/// Facts that the shipped packs tell apart.
fn any_known() -> impl Strategy<Value = Facts> {
    let country = || option::of(select(vec!["DE", "US", "KH", "CN", "HK", "IR", "UA-14", "SG"]));
    let names = |all: &'static [&'static str]| subsequence(all.to_vec(), 0..=all.len());
    let listed = option::of(names(&[
        "anthropic-majority",
        "us-bis-affiliate",
        "us-bis-affiliate-unknown",
        "us-bis-entity-list",
        "us-dod-section-1286",
        "us-ofac-sdn",
    ]));
    let held = (
        names(&["agency-approval", "bis-licence"]),
        names(&["academic-end-use", "ownership-review"]),
    );
    let kind = option::of(select(vec![Kind::Organisation, Kind::Person, Kind::Unit]));
    let person_class = option::of(names(&["us_person", "nationality_group:D5"]));
    let who = (
        kind,
        option::of(select(Class::ALL.to_vec())),
        person_class,
        listed,
    );
    let lab = select(vec!["anthropic", "openai", "lab-c"]);
    let end_use = option::of(select(vec![
        "research",
        "military",
        "benefits",
        "support",
        "publication",
        "employment",
    ]));
    let code = |code: Option<&str>| code.map(|code| Country::parse(code).unwrap());
    (
        who,
        (country(), country(), country()),
        held,
        lab,
        any_model(),
        end_use,
    )
        .prop_map(
            move |(
                (kind, class, person_class, listed),
                places,
                (licences, statements),
                lab,
                model,
                end_use,
            )| {
                let mut facts = call(PartyFacts {
                    class,
                    headquarters: code(places.0),
                    jurisdiction: code(places.1),
                    kind,
                    licences: set(&licences),
                    listed: listed.map(|names| set(&names)),
                    parent_headquarters: code(places.2),
                    person_class: person_class.map(|names| set(&names)),
                    statements: set(&statements),
                    ..PartyFacts::default()
                });
                facts.model = model;
                facts.model.lab = Arc::from(lab);
                facts.end_use = end_use.map(Arc::from);
                // A place, so that the packs about places have something to tell apart.
                facts.channel.region_country = facts.party.jurisdiction.clone();
                facts
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn taking_a_fact_away_opens_no_pack_and_ends_no_duty(facts in any_known()) {
        static BENCHES: LazyLock<Vec<Epoch>> = LazyLock::new(|| {
            let packs = SHIPPED.into_iter().map(with_library);
            packs.map(|(pack, library)| cases::bench(&pack, &library).unwrap()).collect()
        });
        for epoch in BENCHES.iter() {
            for days in [0, 200, 600] {
                let instant = Tick(JUNE_12.0 + days * 86_400_000_000);
                let full = epoch.judge(&facts, instant);
                for (fact, less) in cases::poorer(&facts) {
                    let verdict = epoch.judge(&less, instant);
                    // No duty goes away either.
                    for duty in full.obligations.iter() {
                        prop_assert!(verdict.obligations.contains(duty), "{} without {}", duty.id, fact);
                    }
                    if full.ruling == Ruling::Allow {
                        continue;
                    }
                    prop_assert_ne!(verdict.ruling, Ruling::Allow, "without {} {:?}", fact, epoch.packs()[0].manifest().id);
                }
            }
        }
    }
}

/// The affiliates rule before, during and after its suspension, as the three packs together give it at each day when only
/// law in force enforces.
#[test]
fn the_affiliates_rule_denies_then_sleeps_then_holds() {
    let base_manifest = manifest("base", "").replace("valid_from = 2026-01-01", "valid_from = 2025-01-01");
    let base_rules = rule("all", "permit", "(principal, action, resource)");
    let base = Pack::parse(&sources(&[
        ("pack.toml", &base_manifest),
        ("rules.cedar", &base_rules),
    ]))
    .unwrap();
    let mut packs: Vec<Pack> = SHIPPED
        .into_iter()
        .filter(|id| id.starts_with("us-ear-affiliates"))
        .map(shipped)
        .collect();
    packs.push(base);
    let epoch = Epoch::build(1, packs, &[Status::Company, Status::InForce]).unwrap();
    let text = r#"{"kind":"organisation","listed":["us-bis-affiliate"],"statements":["ownership-review"]}"#;
    let mut facts = call(serde_json::from_str(text).unwrap());
    facts.model.weights = Weights::Closed;
    let november_10_2025 = Tick(1_762_732_800_000_000);
    let november_10_2026 = Tick(1_794_268_800_000_000);
    for (now, expected, until) in [
        (Tick(november_10_2025.0 - 1), Ruling::Deny, Some(november_10_2025)),
        (november_10_2025, Ruling::Allow, Some(november_10_2026)),
        (JUNE_12, Ruling::Allow, Some(november_10_2026)),
        (november_10_2026, Ruling::Hold, None),
    ] {
        let verdict = epoch.judge(&facts, now);
        assert_eq!(verdict.ruling, expected, "{now:?}");
        assert_eq!(verdict.valid_until, until, "{now:?}");
    }
}

const DATED: &str = "[sets.s]\ncountries = [\"BY\"]\nhistory = [\
     { country = \"KH\", added = 2021-12-09, removed = 2026-02-03, citation = \"91 FR 5091\" },\
     { country = \"KH\", added = 2026-07-01, citation = \"imagined\" },\
     { country = \"NI\", added = 2026-06-12, citation = \"imagined\" }]\n";

fn in_set(effect: &str, extra: &str) -> String {
    let body = "(principal, action, resource) when { principal has jurisdiction && \
                principal.jurisdiction in CountryGroup::\"p/s\" }";
    rule("r", &format!("{extra}{effect}"), body)
}

#[test]
fn the_members_of_a_set_are_those_of_the_day() {
    let base = pack(
        "base",
        "",
        &rule("all", "permit", "(principal, action, resource)"),
    )
    .unwrap();
    let dated = pack("p", DATED, &in_set("forbid", "")).unwrap();
    let epoch = Epoch::build(1, vec![base, dated], &[Status::Company]).unwrap();
    let july = Tick(JUNE_12.0 + 19 * 86_400_000_000);
    for (code, now, expected, until) in [
        ("BY", Tick(FEBRUARY_3.0 - 1), Ruling::Deny, Some(FEBRUARY_3)),
        ("BY", july, Ruling::Deny, None),
        ("KH", Tick(FEBRUARY_3.0 - 1), Ruling::Deny, Some(FEBRUARY_3)),
        ("KH", FEBRUARY_3, Ruling::Allow, Some(JUNE_12)),
        ("KH", JUNE_12, Ruling::Allow, Some(july)),
        ("KH", july, Ruling::Deny, None),
        ("NI", Tick(JUNE_12.0 - 1), Ruling::Allow, Some(JUNE_12)),
        ("NI", JUNE_12, Ruling::Deny, Some(july)),
    ] {
        let party = serde_json::from_str(&format!(r#"{{"jurisdiction":"{code}"}}"#)).unwrap();
        let verdict = epoch.judge(&call(party), now);
        assert_eq!(
            (verdict.ruling, verdict.valid_until),
            (expected, until),
            "{code} {now:?}"
        );
    }
}

#[test]
fn a_set_can_be_read_at_any_day() {
    let pack = pack("p", DATED, "").unwrap();
    let set = &pack.manifest().sets["s"];
    let codes = |now| set.at(now).iter().map(Country::to_string).collect::<Vec<_>>();
    assert_eq!(codes(Tick(0)), ["BY"]);
    assert_eq!(codes(Tick(FEBRUARY_3.0 - 1)), ["BY", "KH"]);
    assert_eq!(codes(FEBRUARY_3), ["BY"]);
    assert_eq!(pack.manifest().set_changes().len(), 3);
}

#[test]
fn dated_members_that_make_no_sense_are_refused() {
    let refused = |history: &str| {
        let text = manifest(
            "p",
            &format!("[sets.s]\ncountries = [\"BY\"]\nhistory = {history}\n"),
        );
        let problems = Pack::parse(&sources(&[("pack.toml", &text)])).unwrap_err();
        lines(&problems)
    };
    let one = |fields: &str| refused(&format!("[{{ {fields} }}]"));
    let many: Vec<String> = (0..65)
        .map(|n| format!("{{ country = \"UA-{n}\", added = 2026-01-02, citation = \"c\" }}"))
        .collect();
    let table = [
        ("no array", refused("3")),
        ("nothing in it", refused("[]")),
        ("no table", refused("[\"KH\"]")),
        (
            "unknown country",
            one("country = \"XX\", added = 2026-01-02, citation = \"c\""),
        ),
        ("no citation", one("country = \"KH\", added = 2026-01-02")),
        ("no date", one("country = \"KH\", citation = \"c\"")),
        (
            "ends before it begins",
            one("country = \"KH\", added = 2026-01-02, removed = 2026-01-02, citation = \"c\""),
        ),
        (
            "also constant",
            one("country = \"BY\", added = 2026-01-02, citation = \"c\""),
        ),
        (
            "overlapping",
            refused(
                "[{ country = \"KH\", added = 2026-01-02, citation = \"c\" }, { country = \"KH\", removed = 2026-03-01, citation = \"c\" }]",
            ),
        ),
        ("too many", refused(&format!("[{}]", many.join(", ")))),
    ];
    let text = table.map(|(name, problems)| {
        format!(
            "{name}:
{problems}"
        )
    });
    insta::assert_snapshot!(text.join(
        "
"
    ));
}

#[test]
fn what_is_unverified_may_hold_and_nothing_else() {
    let doubtful = "[sets.s]\ncountries = [\"BY\"]\nunverified = \"from memory\"\n";
    let mark = "@unverified(\"from memory\") ";
    let refused = |more: &str, rules: &str| {
        let problems = pack("p", more, rules).unwrap_err();
        lines(&problems)
    };
    let sure = "[sets.s]\ncountries = [\"BY\"]\n";
    insta::assert_snapshot!(
        [
            refused(sure, &in_set("forbid", mark)),
            refused(sure, &in_set("permit", mark)),
            refused(sure, &in_set("forbid", "@effect(\"hold\") @unverified(\"\") ")),
            refused(doubtful, &in_set("forbid", "")),
            refused(doubtful, &in_set("permit", "")),
        ]
        .join("\n")
    );
    let holds = pack(
        "p",
        doubtful,
        &in_set("forbid", &format!("@effect(\"hold\") {mark}")),
    )
    .unwrap();
    let found: Vec<_> = holds
        .unverified()
        .map(|(name, why)| format!("{name}: {why}"))
        .collect();
    assert_eq!(found, ["p/s: from memory", "p/r: from memory"]);
    // A rule of another pack may do no more with the set than its own.
    let user = pack("q", "", &in_set("forbid", "")).unwrap();
    let problems = Epoch::build(1, vec![holds, user], &[Status::Company]).unwrap_err();
    assert_eq!(
        problems.first().map(|problem| problem.says.as_str()),
        Some("the set `p/s` is unverified, and the rule does more than hold")
    );
}
