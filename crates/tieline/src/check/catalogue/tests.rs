//! One bad catalogue for each mistake, its report as a snapshot.

use std::fmt::Write as _;

use tieline_drill::Change;

use super::*;
use crate::check::{check_text as check_config, read_start};
use crate::diagnose::Look;

const CONFIG: &str = include_str!("../../../../../examples/plan-grid.toml");
const SHIPPED: &str = include_str!("../../../../../examples/plan-catalogue.toml");

fn grid() -> Arc<GridRecord> {
    let (checked, report) = check_config("plan-grid.toml", CONFIG, Path::new(""), &|_| None, &read_start);
    checked
        .unwrap_or_else(|| panic!("{}", report.render(Look::Plain)))
        .grid
}

fn check(text: &str) -> Result<Catalogue, String> {
    check_text("catalogue.toml", text, CONFIG, &grid()).map_err(|report| report.render(Look::Plain))
}

#[test]
fn the_shipped_catalogue_has_prices_of_the_configuration() {
    let catalogue = check(SHIPPED).unwrap();
    assert_eq!(catalogue.offers.len(), 5);
    let priced = |offer: &Offer| match &offer.change {
        Change::Channel(channel) => channel.models.iter().all(|served| served.price.is_some()),
        Change::Raise(raise) => raise.limits.requests_per_minute == Some(600),
    };
    let priced: Vec<bool> = catalogue.offers.iter().map(priced).collect();
    // No price is stated for the rack: it is unknown, and not zero.
    assert_eq!(priced, [true, true, true, true, false]);
}

#[test]
fn a_catalogue_written_for_windows_is_read() {
    assert_eq!(
        check(&SHIPPED.replace('\n', "\r\n")).unwrap(),
        check(SHIPPED).unwrap()
    );
}

/// What is wrong, and the change of the shipped catalogue that makes it so.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "a model that is not there",
        "\"qwen3-coder\" = \"qwen3-coder\"",
        "\"qwen3-codr\" = \"q\"",
    ),
    (
        "a component that is nowhere",
        "components = [\"cloud:aws\"]",
        "components = [\"cloud:awss\"]",
    ),
    (
        "a need that is nowhere",
        "needs = [\"cloud:gcp\"]",
        "needs = [\"cloud:gpc\"]",
    ),
    (
        "a component of the grid",
        "[components.\"machine:own-rack\"]",
        "[components.\"cloud:aws\"]",
    ),
    (
        "a channel that is not there",
        "channel = \"open-models\"",
        "channel = \"open-model\"",
    ),
    ("a channel that is there", "offers.own-rack", "offers.claude"),
    (
        "a negative cost",
        "cost_per_month = \"300.00\"",
        "cost_per_month = \"-300.00\"",
    ),
    ("no cost", "cost_per_month = \"300.00\"\n", ""),
    (
        "a cost with a currency",
        "cost_per_month = \"300.00\"",
        "cost_per_month = \"300 EUR\"",
    ),
    (
        "a number for a cost",
        "cost_per_month = \"300.00\"",
        "cost_per_month = 300.0",
    ),
    (
        "a name twice",
        "[offers.code-elsewhere]\n",
        "[offers.more-quota]\n",
    ),
    (
        "nothing is raised",
        "requests_per_minute = 600",
        "requests_per_minute = 300",
    ),
    (
        "a limit that there is not",
        "requests_per_minute = 600",
        "tokens_per_minute = 600",
    ),
    (
        "a limit of nothing",
        "requests_per_minute = 600",
        "requests_per_minute = 0",
    ),
    (
        "neither of the two",
        "raise = { channel = \"open-models\", limits = { requests_per_minute = 600 } }",
        "",
    ),
    ("no day", "date = \"2026-11-20\"", "date = \"20 November\""),
    (
        "no source",
        "source = \"made up: on-demand, no minimum\"",
        "source = \" \"",
    ),
    ("a wait without end", "lead_days = 60", "lead_days = 100000"),
    ("an unknown key", "lead_days = 60", "lead_day = 60"),
    (
        "an unknown provider",
        "provider = \"openai-compatible\"",
        "provider = \"openapi\"",
    ),
    ("an unknown kind", "kind = \"standby\"", "kind = \"stand-by\""),
    ("no TOML", "[offers.more-quota]", "[offers.more-quota"),
];

#[test]
fn each_mistake_is_said_where_it_stands() {
    let mut said = String::new();
    for (name, from, to) in MISTAKES {
        assert!(SHIPPED.contains(from), "{name}");
        let text = SHIPPED.replacen(from, to, if from.starts_with("offers.") { 2 } else { 1 });
        let report = check(&text).expect_err(name);
        let _ = writeln!(said, "=== {name}\n{report}\n");
    }
    insta::assert_snapshot!(said);
}

#[test]
fn no_more_offers_than_are_planned_with() {
    let mut text = String::new();
    for ix in 0..=OFFERS_MAX {
        let _ = write!(
            text,
            "[offers.o{ix}]\ncost_per_month = \"1\"\nlead_days = 0\nsource = \"s\"\ndate = \"2026-11-20\"\n\
             raise = {{ channel = \"open-models\", limits = {{ requests_per_minute = 301 }} }}\n"
        );
    }
    insta::assert_snapshot!(check(&text).unwrap_err());
    insta::assert_snapshot!(check("").unwrap_err());
}
