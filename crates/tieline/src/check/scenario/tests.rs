//! One bad scenario for each mistake, its report as a snapshot.

use std::io;

use proptest::prelude::*;
use tieline_core::Span as Length;
use tieline_drill::{Known, Rehearsal, Traffic};

use super::*;
use crate::diagnose::Look;

/// A grid of two labs on two clouds.
const GRID: &str = r#"
[labs.acme]
[labs.other]

[models.small]
lab = "acme"
price = { input = "1", output = "2" }

[models.large]
lab = "other"
price = { input = "3", output = "6" }

[channels.east]
provider = "openai-compatible"
url = "https://east.example.org"
components = ["region:aws/us-east-1", "lab:acme"]
credential = { none = true }
models = { small = { price = "list" } }

[channels.west]
provider = "openai-compatible"
url = "https://west.example.org"
components = ["cloud:gcp", "lab:acme", "edge:cloudflare"]
credential = { none = true }
models = { small = { price = "list" }, large = { price = "list" } }

[components."region:aws/us-east-1"]
needs = ["cloud:aws"]

[pool.main]
models = ["small", "large"]
choice = "in_order"
"#;

/// A scenario without a mistake, in the places that the cases change.
const GOOD: &str = r#"id = "good"
title = "A cloud is gone for a while"
description = "For tests."
assumed = ["That nothing else happens."]
start = "10m"

[[sources]]
url = "https://example.org/report"
says = "It was gone."
retrieved = "2026-11-28"

[[event]]
at = "0s"
for = "1h"
out = { component = "cloud:aws", how = "errors" }

[[event]]
at = "1h"
until = "2h"
degraded = { channel = "west", time = 2, errors = 0.25 }
"#;

const LETTER: &str = r#"t = "tieline/directive/v1"
id = "letter-1"
version = 1
issuer = "An authority"
authority = "A law"
title = "No small models"
reason = "It is forbidden."
issued = 2026-06-12
valid_from = 2026-06-12
effect = "deny"
in_flight = "finish"
[scope]
models = ["small"]
"#;

const END: &str = r#"t = "tieline/revocation/v1"
id = "letter-1"
version = 3
issuer = "An authority"
issued = 2026-06-30
reason = "Withdrawn."
"#;

fn read(path: &Path) -> io::Result<String> {
    let second = LETTER.replace("version = 1", "version = 2");
    match path.to_str().unwrap_or_default() {
        "/scenarios/letter.toml" => Ok(LETTER.to_owned()),
        "/scenarios/second.toml" => Ok(second),
        "/scenarios/end.toml" => Ok(END.to_owned()),
        "/scenarios/elsewhere.toml" => Ok(LETTER.replace("\"small\"", "\"gpt-9\"")),
        "/scenarios/bad.toml" => Ok(LETTER.replace("deny", "allow").replace("version = 1\n", "")),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Check with these choices; the traffic is six hours of what may be asked for, from noon on.
fn run_with(text: &str, choices: Choices<'_>) -> (Option<CheckedScenario>, Report) {
    let (config, report) =
        crate::check::check_text("tieline.toml", GRID, Path::new("/"), &|_| None, &|_, _| {
            Err(io::ErrorKind::NotFound.into())
        });
    let grid = config
        .unwrap_or_else(|| panic!("{}", report.render(Look::Plain)))
        .grid;
    let snapshot = Arc::new(Snapshot::build(grid, [0; 32]).unwrap());
    let noon = Tick(1_781_265_600_000_000);
    let traffic = Traffic::steady(&snapshot, &[], noon, Length::from_s(21_600), Length::from_s(60));
    let parties = BTreeMap::from([
        (Arc::from("p_1"), Some(PartyClass::Startup)),
        (Arc::from("p_2"), Some(PartyClass::Enterprise)),
        (Arc::from("p_3"), None),
    ]);
    let licences = BTreeSet::from(["bis-2026-41".to_owned()]);
    let ground = Ground {
        base: Path::new("/scenarios"),
        licences: &licences,
        load: &Load::of(&Rehearsal::new(&snapshot, &traffic, Known::default())),
        parties: &parties,
        read: &read,
        snapshot: &snapshot,
        window: traffic.window().unwrap(),
    };
    check_text("scenario.toml", text, ground, choices)
}

fn run(text: &str) -> (Option<CheckedScenario>, Report) {
    run_with(
        text,
        Choices {
            set: &BTreeMap::new(),
            skip_absent: false,
            start: None,
        },
    )
}

fn rendered(text: &str) -> String {
    let (checked, report) = run(text);
    assert_eq!(checked.is_none(), report.errors() > 0);
    assert!(checked.is_none(), "{checked:?}");
    report.render(Look::Plain)
}

/// The good scenario with one thing replaced.
fn swap(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

/// The good scenario with this event besides.
fn add(event: &str) -> String {
    format!("{GOOD}\n[[event]]\nat = \"3h\"\n{event}\n")
}

macro_rules! cases {
    ($($name:ident: $text:expr;)*) => { $(
        #[test]
        fn $name() {
            let text: String = $text;
            insta::assert_snapshot!(rendered(&text));
        }
    )* };
}

cases! {
    // The file as TOML, and what stands before the events.
    an_open_string_is_shown: swap("\"good\"", "\"good");
    an_unknown_key_suggests_the_nearest: swap("assumed =", "asumed =");
    a_head_that_is_missing_is_named: "[[event]]\nout = { channel = \"east\" }\n".to_owned();
    an_id_with_spaces_is_refused: swap("\"good\"", "\"good one\"");
    a_source_wants_an_address_a_day_and_what_it_says: swap("https://example.org/report", "example.org")
        .replace("2026-11-28", "28 November").replace("says = \"It was gone.\"\n", "");
    a_scenario_without_events_is_refused: GOOD.split("[[event]]").next().unwrap().to_owned();

    // Times.
    a_time_without_a_unit_is_refused: swap("at = \"0s\"", "at = \"0\"");
    a_length_that_is_an_instant_is_refused: swap("for = \"1h\"", "for = 2026-06-12T12:00:00Z");
    an_end_before_its_beginning_shows_both: swap("until = \"2h\"", "until = \"30m\"");
    an_event_without_length_is_refused: swap("for = \"1h\"", "for = \"0s\"");
    two_ends_are_refused: swap("until = \"2h\"", "until = \"2h\"\nfor = \"1h\"");
    a_start_that_is_no_time_is_refused: swap("\"10m\"", "\"yesterday\"");
    a_scenario_of_another_year_lies_outside: swap("\"10m\"", "2025-10-20T06:48:00Z");
    a_start_after_the_last_call_lies_outside: swap("\"10m\"", "\"7h\"");

    // What an event says.
    an_event_that_says_nothing_lists_what_it_may_say: add("for = \"1h\"");
    an_event_that_says_two_things_is_refused: add("out = { channel = \"east\" }\nsurge = { times = 2 }");
    something_unknown_that_happens_suggests: add("outt = { channel = \"east\" }");
    two_things_that_fail_are_refused: add("out = { channel = \"east\", component = \"cloud:aws\" }");
    a_way_to_fail_that_is_no_choice_lists_them: add("out = { channel = \"east\", how = \"loudly\" }");
    degraded_wants_to_know_how: add("degraded = { channel = \"east\" }");
    a_share_beyond_one_is_refused: add("degraded = { channel = \"east\", errors = 25 }");
    a_factor_of_nothing_is_refused: add("price = { lab = \"acme\", times = 0 }");
    a_price_of_nothing_in_particular_is_refused: add("price = { times = 3 }");
    a_list_of_no_models_selects_nothing: add("withdrawn = { models = [] }");
    a_quota_wants_a_factor_or_numbers: add("quota = { channel = \"east\" }\n[[event]]\nat = \"4h\"\n\
        quota = { channel = \"east\", times = 0.5, concurrency = 3 }");
    a_limit_of_nothing_is_refused: add("quota = { channel = \"east\", requests_per_minute = 0 }");
    drawn_outages_want_a_group_and_a_rate: add("outages = { group = [], prior = \"aws\" }");
    a_licence_is_named: add("licence_expires = { party = \"p_1\" }");

    // What is not here.
    a_component_that_is_not_here_lists_those_of_its_kind: swap("cloud:aws", "cloud:mars");
    a_component_that_is_misspelt_suggests: swap("cloud:aws", "cloud:asw");
    a_channel_that_is_not_here_is_named: swap("\"west\"", "\"north\"");
    a_lab_a_model_and_a_party_that_are_not_here: add("price = { lab = \"nobody\", times = 3 }\n[[event]]\n\
        withdrawn = { models = [\"huge\"] }\n[[event]]\nsurge = { party = \"p_9\", pool = \"side\", times = 2 }");
    a_licence_that_is_not_here_is_named: add("licence_expires = { licence = \"bis-2026-14\" }");
    a_lab_that_a_cloud_does_not_sell_says_whom_it_sells: add("withdrawn = { component = \"cloud:aws\", lab = \"other\" }");
    a_class_that_nobody_is_of_lists_those_that_are: add("surge = { class = \"agency\", times = 2 }");
    a_party_of_another_class_selects_nobody: add("surge = { class = \"startup\", party = \"p_2\", times = 2 }");
    a_group_names_a_thing_once: add("outages = { group = [\"lab:acme\", \"lab:acme\"], prior = \"openai\" }");
    of_a_group_every_name_is_looked_at: add("outages = { group = [\"cloud:mars\", \"lab:acme\", \"venus\"], prior = \"openai\" }");

    // Overlaps.
    one_thing_twice_at_one_time_shows_both: swap("at = \"1h\"", "at = \"30m\"")
        .replace("channel = \"west\"", "component = \"cloud:aws\"");
    a_long_event_overlaps_with_all_that_follow: swap("for = \"1h\"\n", "")
        + "[[event]]\nat = \"3h\"\nfor = \"1h\"\nout = { component = \"cloud:aws\" }\n"
        + "[[event]]\nat = \"5h\"\noutages = { group = [\"cloud:aws\"], prior = \"openai\" }\n";
    one_price_twice_at_one_time_is_refused: add("price = { lab = \"acme\", times = 3 }\n[[event]]\nat = \"4h\"\n\
        price = { lab = \"acme\", times = 2 }");

    // Directives.
    a_directive_that_is_not_there_is_named: add("directive = { file = \"nothing.toml\" }");
    a_directive_with_mistakes_says_them: add("directive = { file = \"bad.toml\" }");
    a_directive_about_another_grid_is_named: add("directive = { file = \"elsewhere.toml\" }");
    a_directive_wants_a_file_or_a_text: add("directive = { file = \"letter.toml\", text = \"t = 1\" }");
    versions_go_up: add("directive = { file = \"second.toml\" }\n[[event]]\nat = \"4h\"\ndirective = { file = \"letter.toml\" }");
    a_revocation_ends_something: add("directive = { file = \"end.toml\" }");

    // Parameters.
    a_parameter_without_a_value_is_asked_for: swap("cloud:aws", "cloud:${cloud}")
        + "\n[parameters.cloud]\nsays = \"The cloud that is gone.\"\n";
    a_parameter_that_is_not_declared_is_named: swap("cloud:aws", "cloud:${clowd}")
        + "\n[parameters.cloud]\ndefault = \"aws\"\n";
    a_value_that_ends_its_text_is_refused: swap("cloud:aws", "cloud:${cloud}")
        + "\n[parameters.cloud]\ndefault = 'aws\" }'\n";
    a_mistake_in_a_value_is_shown_where_it_stands: swap("cloud:aws", "cloud:${cloud}")
        + "\n[parameters.cloud]\ndefault = \"mars\"\n";
}

#[test]
fn every_mistake_is_reported_in_one_run() {
    let text = swap("2026-11-28", "today")
        .replace("cloud:aws", "cloud:mars")
        .replace("until = \"2h\"", "until = \"soon\"")
        .replace("errors = 0.25", "errors = 1.25");
    let (_, report) = run(&text);
    assert_eq!(report.errors(), 4, "{}", report.render(Look::Plain));
}

#[test]
fn a_good_scenario_has_nothing_to_say() {
    let (checked, report) = run(GOOD);
    assert_eq!(report.render(Look::Plain), "");
    insta::assert_debug_snapshot!(checked.unwrap());
}

#[test]
fn every_event_is_taken_over() {
    let text = GOOD
        .replace("start = \"10m\"", "start = 2026-06-12T13:00:00Z")
        .replace(
            "[[sources]]",
            "[parameters.times]\ndefault = \"3\"\n\
        [parameters.models]\nof = \"model\"\ndefault = \"largest\"\nlist = true\n[[sources]]",
        )
        + r#"
[[event]]
at = "2h"
for = "30m"
price = { lab = "acme", times = "${times}" }
[[event]]
at = 2026-06-12T16:00:00Z
quota = { channel = "west", requests_per_minute = 9, tokens_per_minute = 1000 }
[[event]]
quota = { channel = "east", times = 0.5 }
[[event]]
withdrawn = { models = ["large"], component = "edge:cloudflare" }
for = "1h"
[[event]]
surge = { class = "startup", pool = "main", times = 2.5, seed = 7 }
[[event]]
at = "4h"
outages = { group = ["region:aws/us-east-1", "east"], prior = "aws", per_year = 40, beta = 0.1, hard = 1, errors = 0 }
[[event]]
licence_expires = { licence = "bis-2026-41", party = "p_3" }
[[event]]
directive = { file = "letter.toml" }
[[event]]
at = "1h"
directive = { file = "second.toml" }
[[event]]
at = "2h"
directive = { file = "end.toml" }
[[event]]
directive = { text = '''
t = "tieline/directive/v1"
id = "other"
version = 1
issuer = "An authority"
authority = "A law"
title = "For a time"
reason = "It is forbidden."
issued = 2026-01-01
valid_from = 2026-01-01T00:00:00Z
valid_to = 2026-01-01T00:45:00Z
effect = "hold"
in_flight = "cut"
[scope]
models = ["${models}"]
''' }
"#;
    let (checked, report) = run(&text);
    assert_eq!(report.render(Look::Plain), "");
    let checked = checked.unwrap();
    let orders = checked.orders.iter().map(|order| match order {
        OrderSpec::Directive(directive) => format!("{} {:?}", directive.label(), directive.scope.models),
        OrderSpec::Lapse { licence, party } => format!("{licence} {party:?}"),
    });
    let orders: Vec<String> = orders.collect();
    insta::assert_debug_snapshot!((&checked.scenario.events, orders, &checked.set, &checked.notes));
}

#[test]
fn what_is_absent_is_left_out_if_that_is_wanted() {
    let text = swap("cloud:aws", "cloud:mars");
    let none = BTreeMap::new();
    let skip = |text: &str| {
        let (checked, report) = run_with(
            text,
            Choices {
                set: &none,
                skip_absent: true,
                start: None,
            },
        );
        (checked, report.render(Look::Plain))
    };
    let (checked, said) = skip(&text);
    assert_eq!(said, "");
    let checked = checked.unwrap();
    assert_eq!(checked.scenario.events.len(), 1);
    assert_eq!(
        checked.notes,
        ["Event 1 is left out: there is no component `cloud:mars` here."]
    );
    // An event may be so by itself.
    let (checked, _) = run(&text.replace("at = \"0s\"", "at = \"0s\"\noptional = true"));
    assert_eq!(checked.unwrap().notes.len(), 1);
    // Where nothing is left, nothing would be rehearsed.
    let (checked, said) = skip(&text.replace("\"west\"", "\"north\""));
    assert!(checked.is_none());
    insta::assert_snapshot!(said);
}

#[test]
fn what_is_chosen_takes_the_place_of_what_is_written() {
    let text =
        swap("cloud:aws", "cloud:${cloud}") + "\n[parameters.cloud]\nof = \"cloud\"\ndefault = \"largest\"\n";
    assert_eq!(parameter_names(&text), ["cloud"]);
    let run = |set: &BTreeMap<String, String>, start| {
        let (checked, report) = run_with(
            &text,
            Choices {
                set,
                skip_absent: false,
                start,
            },
        );
        (checked, report.render(Look::Plain))
    };
    let checked = run(&BTreeMap::new(), None).0.unwrap();
    assert_eq!(checked.set["cloud"], "aws", "all calls are answered there");
    let chosen = BTreeMap::from([("cloud".to_owned(), "gcp".to_owned())]);
    let checked = run(&chosen, Some("first call")).0.unwrap();
    assert_eq!(checked.set, chosen);
    assert_eq!(checked.scenario.start, Tick(1_781_265_600_000_000));
    let (none, said) = run(&chosen, Some("8h"));
    assert!(none.is_none());
    insta::assert_snapshot!(said);
}

#[test]
fn what_lies_beyond_the_traffic_is_noted() {
    let (checked, _) = run(&add("out = { channel = \"east\" }").replace("at = \"3h\"", "at = \"9h\""));
    let checked = checked.unwrap();
    insta::assert_debug_snapshot!(checked.notes);
}

/// Pieces of scenarios, good and bad.
fn pieces() -> impl Strategy<Value = String> {
    let pieces = [
        "[[event]]\n",
        "at = \"1h\"\n",
        "for = \"",
        "until = \"2h\"\n",
        "out = { channel = \"east\" }\n",
        "price = { lab = \"acme\", times = 3 }\n",
        "quota = { channel = \"west\", times = 0.5 }\n",
        "${cloud}",
        "${",
        "}",
        "[parameters.cloud]\n",
        "default = \"largest\"\n",
        "of = \"cloud\"\n",
        "list = true\n",
        "directive = { file = \"letter.toml\" }\n",
        "directive = { text = \'\'\'\n",
        "surge = { times = 2 }\n",
        "outages = { group = [\"cloud:aws\"], prior = \"openai\" }\n",
        "start = 2026-06-12T12:00:00Z\n",
        "\u{e9}",
        "99999999999999999999d",
        "\"",
        "=",
        "\n",
        "withdrawn = { models = [\"${cloud}\"] }\n",
        "optional = true\n",
    ];
    prop::sample::select(pieces.map(str::to_owned).to_vec())
}

/// A text is checked or refused, and one that is checked has times that can be played.
fn holds_together(text: &str) {
    let (checked, report) = run(text);
    assert_eq!(checked.is_none(), report.errors() > 0, "{text}");
    report.render(Look::Plain);
    for event in checked.iter().flat_map(|checked| &checked.scenario.events) {
        assert!(
            event.until.is_none_or(|until| event.from < until),
            "{event:?} of {text}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_checked(text in ".{0,200}", parts in prop::collection::vec(pieces(), 0..30)) {
        holds_together(&text);
        holds_together(&parts.concat());
    }

    #[test]
    fn an_edited_scenario_is_checked(
        at in any::<prop::sample::Index>(),
        len in 0..60_usize,
        parts in prop::collection::vec(pieces(), 0..4),
    ) {
        let start = at.index(GOOD.len());
        let end = (start + len).min(GOOD.len());
        // Where the cut is within a character, the rest is left as it is.
        let before = GOOD.get(..start).unwrap_or_default();
        let after = GOOD.get(end..).unwrap_or_default();
        holds_together(&[before, &parts.concat(), after].concat());
    }
}
