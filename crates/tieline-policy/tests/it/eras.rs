//! Packs begin and end, statuses enforce or do not, facts expire: what holds at an instant, and until when.

use tieline_core::{Ruling, Tick};
use tieline_policy::{Epoch, FactName, PartyFacts, Status};

use crate::support::{JUNE_12, call, epoch, manifest, pack, rule, set, sources};

const DAY: u64 = 86_400_000_000;

fn base() -> tieline_policy::Pack {
    pack(
        "base",
        "",
        &rule("all", "permit", "(principal, action, resource)"),
    )
    .unwrap()
}

/// Forbids everything from 12 to 30 June 2026, both days included.
fn june(status: &str) -> tieline_policy::Pack {
    let manifest = manifest("june", "valid_to = 2026-06-30")
        .replace("valid_from = 2026-01-01", "valid_from = 2026-06-12")
        .replace("\"company\"", &format!("\"{status}\""));
    let rules = rule("nobody", "forbid", "(principal, action, resource)");
    tieline_policy::Pack::parse(&sources(&[("pack.toml", &manifest), ("rules.cedar", &rules)])).unwrap()
}

#[test]
fn a_pack_holds_from_its_first_day_to_the_end_of_its_last() {
    let epoch = epoch(1, vec![base(), june("in_force")]);
    let july = Tick(JUNE_12.0 + 19 * DAY);
    let facts = call(PartyFacts::default());
    for (now, ruling, until) in [
        (Tick(JUNE_12.0 - 1), Ruling::Allow, Some(JUNE_12)),
        (JUNE_12, Ruling::Deny, Some(july)),
        (Tick(july.0 - 1), Ruling::Deny, Some(july)),
        (july, Ruling::Allow, None),
    ] {
        let verdict = epoch.judge(&facts, now);
        assert_eq!((verdict.ruling, verdict.valid_until), (ruling, until), "{now:?}");
    }
}

#[test]
fn nothing_is_permitted_before_the_first_pack_holds() {
    let verdict = epoch(1, vec![base()]).judge(&call(PartyFacts::default()), Tick(0));
    assert_eq!(verdict.ruling, Ruling::Deny);
    assert_eq!(verdict.valid_until, Some(Tick(1_767_225_600_000_000)));
}

#[test]
fn only_the_chosen_statuses_enforce() {
    let facts = call(PartyFacts::default());
    for status in [
        "codified_unenforced",
        "suspended",
        "proposed",
        "provider_terms",
        "voluntary",
    ] {
        let epoch = epoch(1, vec![base(), june(status)]);
        assert_eq!(epoch.judge(&facts, JUNE_12).ruling, Ruling::Allow, "{status}");
        assert!(epoch.rule("june/nobody").is_none());
        let all = Epoch::build(1, vec![base(), june(status)], &Status::ALL).unwrap();
        assert_eq!(all.judge(&facts, JUNE_12).ruling, Ruling::Deny, "{status}");
        assert_ne!(all.digest(), epoch.digest());
    }
}

#[test]
fn an_expired_licence_stops_working_at_that_moment() {
    let rules = rule("all", "permit", "(principal, action, resource)")
        + &rule(
            "licence",
            "forbid",
            "(principal, action, resource) unless { principal.licences.contains(\"l-1\") }",
        );
    let epoch = epoch(1, vec![pack("p", "", &rules).unwrap()]);
    let licence = FactName::Licence("l-1".into());
    let party = PartyFacts {
        expires: [(licence, JUNE_12)].into(),
        licences: set(&["l-1"]),
        ..PartyFacts::default()
    };
    let before = epoch.judge(&call(party.clone()), Tick(JUNE_12.0 - 1));
    assert_eq!(
        (before.ruling, before.valid_until),
        (Ruling::Allow, Some(JUNE_12))
    );
    let after = epoch.judge(&call(party), JUNE_12);
    assert_eq!((after.ruling, after.valid_until), (Ruling::Deny, None));
}

#[test]
fn a_part_of_a_country_is_in_its_sets() {
    let sets = "[sets.east]\ncountries = [\"UA\"]\n[sets.crimea]\ncountries = [\"UA-43\"]\n";
    let in_set = |name: &str| {
        let body =
            "(principal, action, resource) when { principal has jurisdiction && principal.jurisdiction in ";
        rule(name, "forbid", &format!("{body} CountryGroup::\"p/{name}\" }}"))
    };
    let whole = "(principal, action, resource) when { principal has jurisdiction && \
                 principal.jurisdiction in Country::\"FR\" }";
    let rules = in_set("east") + &in_set("crimea") + &rule("whole", "forbid", whole);
    let epoch = epoch(1, vec![base(), pack("p", sets, &rules).unwrap()]);
    for (code, expected) in [
        ("UA", vec!["p/east"]),
        ("UA-43", vec!["p/crimea", "p/east"]),
        ("UA-09", vec!["p/east"]),
        ("FR", vec!["p/whole"]),
        ("FR-2A", vec!["p/whole"]),
        ("DE-BE", vec!["base/all"]),
    ] {
        let party = serde_json::from_str(&format!(r#"{{"jurisdiction":"{code}"}}"#)).unwrap();
        let verdict = epoch.judge(&call(party), JUNE_12);
        assert_eq!(
            verdict.rules.iter().map(|rule| &*rule.id).collect::<Vec<_>>(),
            expected,
            "{code}"
        );
    }
}

#[test]
fn groups_labs_and_components_are_hierarchies() {
    let body = "(principal, action, resource in Lab::\"lab-a\") \
                when { context.channel in Component::\"cloud:aws\" } \
                unless { principal in Group::\"partners\" }";
    let epoch = epoch(
        1,
        vec![base(), pack("p", "", &rule("letter", "forbid", body)).unwrap()],
    );
    assert_eq!(
        epoch.judge(&call(PartyFacts::default()), JUNE_12).ruling,
        Ruling::Deny
    );
    let partner = PartyFacts {
        groups: set(&["partners"]),
        ..PartyFacts::default()
    };
    assert_eq!(epoch.judge(&call(partner), JUNE_12).ruling, Ruling::Allow);
    let mut elsewhere = call(PartyFacts::default());
    elsewhere.channel.components.clear();
    assert_eq!(epoch.judge(&elsewhere, JUNE_12).ruling, Ruling::Allow);
}

#[test]
fn packs_that_do_not_fit_together_are_refused() {
    let uses = |set: &str| {
        let body = format!(
            "(principal, action, resource) when {{ principal has jurisdiction && principal.jurisdiction in CountryGroup::\"{set}\" }}"
        );
        pack("user", "", &rule("r", "forbid", &body)).unwrap()
    };
    let owner = |more: &str| pack("owner", &format!("{more}\n[sets.s]\ncountries = [\"DE\"]"), "").unwrap();
    let refused = |packs| {
        let problems = Epoch::build(1, packs, &[Status::Company]).unwrap_err();
        problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert!(Epoch::build(1, vec![uses("owner/s"), owner("")], &[Status::Company]).is_ok());
    insta::assert_snapshot!(
        [
            refused(vec![base(), base()]),
            refused(vec![uses("owner/s")]),
            refused(vec![uses("owner/t"), owner("")]),
            refused(vec![uses("owner/s"), owner("valid_to = 2026-06-30")]),
        ]
        .join("\n")
    );
}
