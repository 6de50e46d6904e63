//! Packs that are refused, each with every problem, its place and a hint.

use tieline_policy::Pack;

use crate::support::{manifest, pack, rule, sources};

/// All problems of a pack, as lines.
fn refuse(files: &[(&str, &str)]) -> String {
    let problems = Pack::parse(&sources(files)).unwrap_err();
    problems
        .iter()
        .map(|problem| format!("  {problem}"))
        .collect::<Vec<_>>()
        .join(
            "
",
        )
}

/// Each pack's name above its problems.
fn lines(table: &[(&str, String)]) -> String {
    table
        .iter()
        .map(|(name, problems)| format!("{name}:\n{problems}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn refuse_rules(rules: &str) -> String {
    refuse(&[
        ("pack.toml", &manifest("p", "[sets.a]\ncountries = [\"DE\"]")),
        ("rules.cedar", rules),
    ])
}

fn refuse_manifest(change: (&str, &str)) -> String {
    refuse(&[("pack.toml", &manifest("p", "").replace(change.0, change.1))])
}

fn refuse_cases(cases: &str) -> String {
    refuse(&[("pack.toml", &manifest("p", "")), ("cases.toml", cases)])
}

fn forbid_when(condition: &str) -> String {
    rule(
        "r",
        "forbid",
        &format!("(principal, action, resource)\nwhen {{ {condition} }}"),
    )
}

fn forbid(scope: &str) -> String {
    rule("a", "forbid", scope)
}

const ALL: &str = "(principal, action, resource)";

#[test]
fn rules_that_do_not_parse() {
    let deep = forbid_when(&format!("{}true{}", "(".repeat(40), ")".repeat(40)));
    let table = [
        (
            "no semicolon",
            refuse_rules("@id(\"a\") permit (principal, action, resource)"),
        ),
        (
            "mistakes in three rules",
            refuse_rules("permit (principal;\n\nforbid all;\n  grant (principal);"),
        ),
        (
            "a template",
            refuse_rules(&forbid("(principal == ?principal, action, resource)")),
        ),
        ("nested too deep", refuse_rules(&deep)),
    ];
    insta::assert_snapshot!(lines(&table));
}

#[test]
fn rules_that_say_too_little_or_too_much() {
    let table = [
        ("nothing said about the rule", format!("permit {ALL};")),
        (
            "empty annotations",
            format!("@id(\"\")\n@citation(\" \")\n@reason\npermit {ALL};"),
        ),
        ("an id that is none", rule("Rule 1", "permit", ALL)),
        ("an id used twice", forbid(ALL).repeat(2)),
        ("an unknown annotation", rule("a", "@owner(\"x\")\n  permit", ALL)),
        ("an unknown effect", rule("a", "@effect(\"maybe\") forbid", ALL)),
        ("a permit that holds", rule("a", "@effect(\"hold\") permit", ALL)),
        (
            "a forbid that obliges",
            rule("a", "@effect(\"oblige\") forbid", ALL),
        ),
        (
            "an unknown disclosure",
            rule("a", "@disclosure(\"secret\") forbid", ALL),
        ),
    ];
    insta::assert_snapshot!(lines(&table.map(|(name, rules)| (name, refuse_rules(&rules)))));
}

#[test]
fn rules_that_mean_nothing() {
    let has = |fact: &str, condition: &str| forbid_when(&format!("principal has {fact} && {condition}"));
    let table = [
        (
            "an unknown type",
            forbid("(principal == User::\"x\", action, resource)"),
        ),
        (
            "an unknown action",
            forbid("(principal, action == Action::\"fly\", resource)"),
        ),
        (
            "an unknown attribute",
            forbid_when("principal.nationality == \"DE\""),
        ),
        (
            "an unguarded fact",
            forbid_when("principal.jurisdiction == Country::\"DE\""),
        ),
        ("a wrong type", has("class", "principal.class == \"agency\"")),
        (
            "an unknown class",
            has("class", "principal.class == Class::\"bank\""),
        ),
        ("a misspelt guard", has("juristiction", "principal has class")),
        (
            "a country that is none",
            has("headquarters", "principal.headquarters in Country::\"UK\""),
        ),
        (
            "a set that is not there",
            has("headquarters", "principal.headquarters in CountryGroup::\"p/b\""),
        ),
        (
            "a set without its pack",
            has("headquarters", "principal.headquarters in CountryGroup::\"a\""),
        ),
        (
            "a party by name",
            forbid("(principal == Party::\"acme\", action, resource)"),
        ),
    ];
    insta::assert_snapshot!(lines(&table.map(|(name, rules)| (name, refuse_rules(&rules)))));
}

#[test]
fn manifests_that_are_refused() {
    let table = [
        ("no manifest", refuse(&[("rules.cedar", "")])),
        (
            "no part of a pack",
            refuse(&[("pack.toml", &manifest("p", "")), ("notes.md", "x")]),
        ),
        (
            "given twice",
            refuse(&[
                ("pack.toml", &manifest("p", "")),
                ("pack.toml", &manifest("p", "")),
            ]),
        ),
        ("nothing in it", refuse(&[("pack.toml", "")])),
        ("no TOML", refuse_manifest(("version = \"1\"", "version = "))),
        (
            "unknown keys",
            refuse_manifest(("title = ", "ttile = \"x\"\nauthor = \"y\"\ntitle = ")),
        ),
        (
            "wrong types",
            refuse_manifest(("covers = []", "covers = [1]\nsets = 3")),
        ),
        (
            "a date in quotes",
            refuse_manifest(("recorded_at = 2026-01-01", "recorded_at = \"2026-01-01\"")),
        ),
        (
            "a time without offset",
            refuse_manifest(("recorded_at = 2026-01-01", "recorded_at = 2026-01-01T10:00:00")),
        ),
        ("an unknown status", refuse_manifest(("\"company\"", "\"law\""))),
        (
            "no disclaimer",
            refuse_manifest(("Not legal advice.", "Trust us.")),
        ),
        ("ids", refuse_manifest(("id = \"p\"", "id = \"My Pack\""))),
        (
            "the engine's id",
            refuse_manifest(("id = \"p\"", "id = \"default\"")),
        ),
        (
            "ends before it begins",
            refuse_manifest(("version", "valid_to = 2025-12-30\nversion")),
        ),
        (
            "sets",
            refuse(&[(
                "pack.toml",
                &manifest(
                    "p",
                    "[sets]\nB = { countries = [] }\nc = { countries = [\"DE\", \"XX\", \"DE\"] }\nd = 1",
                ),
            )]),
        ),
    ];
    insta::assert_snapshot!(lines(&table));
}

#[test]
fn cases_that_are_refused() {
    let table = [
        (
            "unknown names",
            refuse_cases(
                "[[case]]\nsays = \"x\"\nparty = \"a\"\nmodel = \"b\"\nchannel = \"c\"\nexpect = \"allow\"",
            ),
        ),
        (
            "an unknown fact",
            refuse_cases("[parties]\na = { passport = \"x\" }"),
        ),
        (
            "a country that is none",
            refuse_cases("[parties]\na = { jurisdiction = \"Germany\" }"),
        ),
        ("a denial without rules", refuse_cases(&case("expect = \"deny\""))),
        (
            "an id without its pack",
            refuse_cases(&case("expect = \"deny\"\nrules = [\"base\"]")),
        ),
        ("an unknown ruling", refuse_cases(&case("expect = \"maybe\""))),
    ];
    insta::assert_snapshot!(lines(&table));
}

fn case(expect: &str) -> String {
    format!(
        "[parties]\na = {{}}\n[models]\nm = {{ name = \"m\", lab = \"l\", weights = \"open\" }}\n[channels]\n\
         c = {{ name = \"c\", provider = \"p\" }}\n[[case]]\nsays = \"x\"\nparty = \"a\"\nmodel = \"m\"\n\
         channel = \"c\"\n{expect}"
    )
}

#[test]
fn a_rule_that_can_never_apply_is_a_warning() {
    let impossible = rule("r", "forbid", "(principal, action, resource is Lab)");
    let never = rule(
        "s",
        "forbid",
        "(principal, action, resource)\nwhen { principal is Party && 1 == 2 }",
    );
    let pack = pack("p", "", &(impossible + &never));
    let text = match &pack {
        Ok(pack) => pack
            .warnings()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(
                "
",
            ),
        Err(problems) => panic!("refused: {problems:?}"),
    };
    insta::assert_snapshot!(text);
}
