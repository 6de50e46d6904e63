//! `tieline policy`: each verb on a small folder, with a state file and a ledger where it reads one.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tieline_gateway::{DirectiveRow, PartyRow, State};
use tieline_note::note::{Signer, sign};
use tieline_testkit::fixtures;

use crate::folder::{Folder, tieline};
use crate::transcript::text;

/// Rules that tell two parties apart, beside a law that does not enforce.
const RULES: &str = r#"
@id("base")
@title("Known callers may call models")
@citation("Test policy, section 1")
@reason("Callers of a known class may call models.")
permit (principal, action == Action::"call", resource)
when { principal has class };

@id("no-by")
@citation("Test policy, section 2")
@reason("Not from there.")
@remedy("Move.")
forbid (principal, action, resource)
when { principal has jurisdiction && principal.jurisdiction == Country::"BY" };

@id("place-unknown")
@effect("hold")
@citation("Test policy, section 3")
@reason("Where the caller is, is not known.")
@remedy("Say where you are.")
forbid (principal, action, resource)
unless { principal has jurisdiction };
"#;

const PROPOSED: &str = r#"
@id("no-consumers")
@citation("Proposal, section 1")
@reason("Consumers would not be served.")
forbid (principal, action, resource)
when { principal has class && principal.class == Class::"consumer" };
"#;

const CASES: &str = r#"
[models.m]
lab = "acme"
name = "m"
weights = "open"

[channels.c]
name = "c"
provider = "p"

[parties.by]
class = "startup"
jurisdiction = "BY"

[[case]]
says = "Whoever is in BY is refused."
party = "by"
model = "m"
channel = "c"
expect = "deny"
rules = ["open/no-by"]
"#;

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("packs/open/rules.cedar", RULES);
    folder.write("packs/open/cases.toml", CASES);
    let manifest = folder.read("packs/open/pack.toml");
    let proposed = manifest
        .replace("id = \"open\"", "id = \"bill\"")
        .replace("\"company\"", "\"proposed\"");
    folder.write("packs/bill/pack.toml", &proposed);
    folder.write("packs/bill/rules.cedar", PROPOSED);
    folder.edit(
        "tieline.toml",
        "packs = [\"packs/open\"]",
        "packs = [\"packs/open\", \"packs/bill\"]",
    );
    folder
}

/// A state file with four parties, as an import would leave it.
fn with_parties(folder: &Folder) {
    let mut state = State::open(folder.path()).unwrap();
    let party = |id: &str, name: &str, facts: Value| {
        let facts = facts.as_object().unwrap().clone();
        let evidence = facts.into_iter().map(|(fact, value)| {
            json!({"issuer": "register", "kind": "registration", "obtained": 1, "value": {fact: value}})
        });
        let record = json!({"evidence": evidence.collect::<Vec<_>>(), "id": id, "kind": "organisation"});
        PartyRow {
            name: name.to_owned(),
            record: serde_json::from_value(record).unwrap(),
        }
    };
    state
        .put_parties(&[
            party(
                "p_1",
                "First & Co",
                json!({"class": "consumer", "jurisdiction": "DE"}),
            ),
            party(
                "p_2",
                "=Second, Inc",
                json!({"class": "startup", "jurisdiction": "BY"}),
            ),
            party("p_3", "Third", json!({"class": "startup"})),
            party("p_4", "Fourth", json!({"class": "startup"})),
        ])
        .unwrap();
}

#[test]
fn checking_packs() {
    let mut folder = folder();
    assert!(folder.run(&["policy", "check"]).status.success());
    let report = folder.json(&["policy", "check"]);
    assert_eq!(report["ok"], json!(true));
    assert!(report["combinations"].as_u64().unwrap() > 0);
    // A rule that nothing satisfies is a warning.
    let more = "\n@id(\"never\")\n@citation(\"C\")\n@reason(\"R.\")\nforbid (principal, action, resource)\n\
        when { resource has training_eflop && resource.training_eflop < 1 && resource.training_eflop > 2 };\n";
    folder.write("packs/open/more.cedar", more);
    assert_eq!(
        folder.run(&["policy", "check", "packs/open"]).status.code(),
        Some(1)
    );
    // A rule that does not type-check is refused, with its place.
    folder.write(
        "packs/open/more.cedar",
        &more.replace("training_eflop > 2", "training_flop > 2"),
    );
    let refused = folder.run(&["policy", "check", "packs/open"]);
    assert_eq!(refused.status.code(), Some(2));
    let report = folder.json(&["policy", "check", "packs/open"]);
    assert_eq!(report["problems"][0]["file"], json!("packs/open/more.cedar"));
    assert_eq!(report["problems"][0]["line"], json!(6));
    folder.check("checking_packs");
}

#[test]
fn testing_packs() {
    let mut folder = folder();
    assert!(folder.run(&["policy", "test", "--verbose"]).status.success());
    folder.edit("packs/open/cases.toml", "expect = \"deny\"", "expect = \"hold\"");
    assert_eq!(
        folder.run(&["policy", "test", "packs/open"]).status.code(),
        Some(1)
    );
    let report = folder.json(&["policy", "test"]);
    assert_eq!((&report["passed"], &report["failed"]), (&json!(0), &json!(1)));
    assert_eq!(report["failures"][0]["found"], json!("deny"));
    assert_eq!(report["failures"][0]["found_rules"], json!(["open/no-by"]));
    folder.check("testing_packs");
}

#[test]
fn the_cases_of_all_shipped_packs_pass() {
    let folder = Folder::new();
    let packs = std::fs::read_dir(fixtures::workspace_dir().join("packs")).unwrap();
    let packs: Vec<String> = packs
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
        .collect();
    let args: Vec<&str> = ["policy", "test"]
        .into_iter()
        .chain(packs.iter().map(String::as_str))
        .collect();
    let report = folder.json(&args);
    assert_eq!(report["failures"], json!([]));
    assert!(report["passed"].as_u64().unwrap() >= 150, "{}", report["passed"]);
}

#[test]
fn the_matrix_in_its_forms() {
    let mut folder = folder();
    with_parties(&folder);
    let at = ["--at", "2026-06-12"];
    let with = |args: &[&'static str]| [&["policy", "matrix"], args, &at[..]].concat();
    folder.run(&with(&[]));
    folder.run(&with(&["--format", "csv", "--all-statuses"]));
    let rows = folder.run(&with(&["--all-statuses", "--json"]));
    let rows: Vec<Value> = text(&rows.stdout)
        .lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    let of = |party: usize| &rows[party]["cells"][0];
    assert_eq!(rows.len(), 4);
    assert_eq!(of(0)["reach"]["ruling"], json!("allow"));
    assert_eq!(of(0)["reach"]["channels"], json!(["left", "right"]));
    assert_eq!(of(0)["would"]["rules"], json!(["bill/no-consumers"]));
    assert_eq!(of(1)["reach"]["ruling"], json!("deny"));
    assert_eq!(of(1)["would"], Value::Null);
    assert_eq!(of(2), of(3));
    folder.run(&["policy", "matrix", "--at", "yesterday"]);
    folder.check("the_matrix_in_its_forms");
}

/// As of June 12th, 21:21 UTC, the model is for nobody in Germany.
const ORDER: &str = r#"t = "tieline/directive/v1"
id = "order"
version = 1
issuer = "An authority"
authority = "A law"
title = "One model"
reason = "Not for this country."
issued = 2026-06-12T21:21:00Z
valid_from = 2026-06-12T21:21:00Z
effect = "deny"
in_flight = "finish"
scope.models = ["m1"]
who.condition = 'principal has jurisdiction && principal.jurisdiction == Country::"DE"'
"#;

#[test]
fn directives_in_force_are_part_of_it() {
    let mut folder = folder();
    with_parties(&folder);
    let signer = Signer::new("authority", &[7; 32]).unwrap();
    let note = sign(ORDER, &signer).unwrap();
    let state = State::open(folder.path()).unwrap();
    let row = DirectiveRow {
        applied_us: 1_781_299_260_000_000,
        digest: tieline_note::sha256(note.as_bytes()).0,
        id: "order".into(),
        note,
        revoked_us: Some(1_781_302_860_000_000),
        version: 1,
    };
    state.put_directive(&row).unwrap();
    let rulings = |at: &str| -> Vec<Value> {
        let rows = folder.text(&["--dir", ".", "--json", "policy", "matrix", "--at", at]);
        rows.lines()
            .map(|row| serde_json::from_str::<Value>(row).unwrap()["cells"][0]["reach"]["ruling"].clone())
            .collect()
    };
    assert_eq!(rulings("2026-06-12T21:20:59Z"), ["allow", "deny", "hold", "hold"]);
    assert_eq!(rulings("2026-06-12T21:21:00Z"), ["deny", "deny", "hold", "hold"]);
    assert_eq!(rulings("2026-06-12T22:21:00Z"), ["allow", "deny", "hold", "hold"]);
    for party in ["p_1", "p_3"] {
        let at = [
            "--model",
            "m1",
            "--channel",
            "left",
            "--at",
            "2026-06-12T21:30:00Z",
        ];
        folder.run(&[&["policy", "explain", "--party", party], &at[..]].concat());
    }
    folder.check("directives_in_force_are_part_of_it");
}

#[test]
fn differences_of_packs_and_configurations() {
    let mut folder = folder();
    with_parties(&folder);
    let rules = RULES.replace("\"BY\"", "\"DE\"");
    let manifest = folder.read("packs/open/pack.toml");
    folder.write("packs/next/pack.toml", &manifest);
    folder.write("packs/next/rules.cedar", &rules);
    let at = ["--at", "2026-06-12"];
    let with = |args: &[&'static str]| [&["policy", "diff"], args, &at[..]].concat();
    assert!(folder.run(&with(&["packs/open", "packs/open"])).status.success());
    let changed = folder.run(&with(&["packs/open", "packs/next"]));
    assert_eq!(changed.status.code(), Some(1));
    folder.run(&with(&["packs/open", "packs/next", "--format", "csv"]));
    let there = folder.json(&with(&["packs/open", "packs/next"]));
    let back = folder.json(&with(&["packs/next", "packs/open"]));
    assert_eq!(there["changes"], json!(2));
    for group in there["groups"].as_array().unwrap() {
        let change = &group["changes"][0];
        let mirrored = back["groups"].as_array().unwrap().iter().any(|other| {
            let other = &other["changes"][0];
            other["from"] == change["to"] && other["to"] == change["from"]
        });
        assert!(mirrored, "{change}");
    }
    let config = folder.read("tieline.toml");
    folder.write("next.toml", &config.replace("packs/open", "packs/next"));
    let configurations = folder.json(&with(&["tieline.toml", "next.toml"]));
    assert_eq!(configurations["groups"], there["groups"]);
    folder.run(&with(&["7", "tieline.toml"]));
    folder.check("differences_of_packs_and_configurations");
}

#[test]
fn past_calls_under_other_rules() {
    let mut folder = Folder::new();
    let server = folder.serve();
    for _ in 0..3 {
        server.chat().must_be(200);
    }
    server.stop();
    let config = folder.read("tieline.toml");
    folder.write("next.toml", &config.replace("packs/open", "packs/next"));
    folder.write("packs/next/pack.toml", &folder.read("packs/open/pack.toml"));
    folder.write("packs/next/rules.cedar", RULES);
    let same = folder.json(&["policy", "diff", "1", "tieline.toml", "--against", "."]);
    assert_eq!(same["calls"]["ruled"], json!(3));
    assert_eq!(same["calls"]["differ"], json!(0));
    let args = ["policy", "diff", "1", "next.toml", "--against", "."];
    let other = folder.json(&args);
    assert_eq!(other["calls"]["differ"], json!(3), "{other:#}");
    let group = &other["calls"]["groups"][0];
    assert_eq!((&group["asked"], &group["calls"]), (&json!("chat"), &json!(3)));
    assert_eq!(group["from"]["channels"], json!(["m1@left", "m1@right"]));
    assert_ne!(group["to"]["ruling"], json!("allow"));
    let csv = folder.run(&[
        "policy",
        "diff",
        "1",
        "next.toml",
        "--against",
        ".",
        "--format",
        "csv",
    ]);
    assert_eq!(csv.status.code(), Some(1));
    let calls = text(&csv.stdout)
        .lines()
        .filter(|line| line.starts_with("call,"))
        .count();
    assert_eq!(calls, 3);
    let report = folder.json(&["policy", "coverage"]);
    assert_eq!(report["whole"]["calls"], json!(3));
    assert_eq!(report["decidable"]["calls_permille"], json!(1000));
}

/// A rule that was recorded after the calls, and held before them: what was decided then, and what should have been.
#[test]
fn what_was_decided_then_and_what_should_have_been() {
    let folder = Folder::new();
    let server = folder.serve();
    for _ in 0..3 {
        server.chat().must_be(200);
    }
    server.stop();
    let config = folder.read("tieline.toml");
    folder.write(
        "tieline.toml",
        &config.replace("[\"packs/open\"]", "[\"packs/open\", \"packs/late\"]"),
    );
    folder.write("packs/late/rules.cedar", PROPOSED);
    folder.edit("packs/late/rules.cedar", "when", "unless");
    let manifest = |recorded: &str, from: &str| {
        let text = folder
            .read("packs/open/pack.toml")
            .replace("\"open\"", "\"late\"");
        let text = text.replace("recorded_at = 2026-01-01", &format!("recorded_at = {recorded}"));
        let text = text.replace("valid_from = 2026-01-01", &format!("valid_from = {from}"));
        folder.write("packs/late/pack.toml", &text);
    };
    let against = |new: &str, more: &[&str]| {
        let args = [&["policy", "diff", "then", new, "--against", "."], more].concat();
        let report = folder.json(&args);
        assert_eq!((&report["parties"], &report["changes"]), (&json!(1), &json!(0)));
        let calls = report["calls"].clone();
        assert_eq!(calls["not_reproduced"], json!(0), "{calls:#}");
        calls
    };
    manifest("2026-11-01", "2026-01-01");
    let calls = against("tieline.toml", &[]);
    assert_eq!((&calls["ruled"], &calls["differ"]), (&json!(3), &json!(3)));
    let group = &calls["groups"][0];
    assert_eq!(
        (&group["from"]["rules"], &group["to"]["rules"]),
        (&json!(["open/base"]), &json!(["late/no-consumers"]))
    );
    let first = group["first_calls"][0].as_str().unwrap();
    for (more, ruled) in [
        (["--call", first], 1),
        (["--since", "2099-01-01"], 0),
        (["--since", "2020-01-01"], 3),
        (["--until", "2020-01-01T00:00:00Z"], 0),
    ] {
        assert_eq!(against("tieline.toml", &more)["ruled"], json!(ruled), "{more:?}");
    }
    assert_eq!(against("then", &[])["differ"], json!(0));
    // Recorded as early, and valid later: nothing should have been decided otherwise.
    manifest("2026-01-01", "2099-01-01");
    assert_eq!(against("tieline.toml", &[])["differ"], json!(0));
    let refused = folder.fails(&["policy", "diff", "then", "tieline.toml"]);
    assert!(refused.contains("--against"), "{refused}");
}

#[test]
fn explaining_a_ruling() {
    let mut folder = folder();
    with_parties(&folder);
    let at = ["--model", "m1", "--at", "2026-06-12"];
    for party in ["p_1", "p_2", "p_3"] {
        folder.run(&[&["policy", "explain", "--party", party], &at[..]].concat());
    }
    let held = folder.json(
        &[
            &["policy", "explain", "--party", "p_3", "--channel", "left"],
            &at[..],
        ]
        .concat(),
    );
    let channel = &held["channels"][0];
    assert_eq!(held["channels"].as_array().unwrap().len(), 1);
    assert_eq!(channel["ruling"], json!("hold"));
    assert_eq!(channel["missing"][0]["fact"], json!("jurisdiction"));
    assert_eq!(held["facts"][0]["evidence"][0]["issuer"], json!("register"));
    for args in [
        ["--party", "p_9", "--model", "m1"],
        ["--party", "p_1", "--model", "m9"],
    ] {
        let refused = folder.run(&[&["policy", "explain"], &args[..]].concat());
        assert_eq!(refused.status.code(), Some(2));
    }
    folder.check("explaining_a_ruling");
}

#[test]
fn what_can_be_decided() {
    let mut folder = folder();
    with_parties(&folder);
    folder.run(&["policy", "coverage", "--at", "2026-06-12"]);
    let report = folder.json(&["policy", "coverage", "--at", "2026-06-12"]);
    assert_eq!(report["whole"]["parties"], json!(4));
    assert_eq!(report["decidable"]["parties"], json!(2));
    assert_eq!(report["missing"][0]["fact"], json!("jurisdiction"));
    assert_eq!(report["missing"][0]["alone"]["parties"], json!(2));
    folder.check("what_can_be_decided");
}

/// Rows for as many parties as a large operator has, all alike but for what no rule reads, and all distinct. Run with
/// `cargo test --release -p tieline --test it matrix_at_size -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, which means something in release alone"]
fn matrix_at_size() {
    let folder = Folder::new();
    let packs = ["us-ear", "sanctions", "provider-terms", "agency", "demo"];
    let mut config = folder.read("tieline.toml");
    let root = fixtures::workspace_dir().join("packs");
    let mut list = packs
        .map(|name| format!("\"{}\"", root.join(name).display()))
        .join(", ");
    list.push_str(", \"packs/open\"");
    config = config.replace("\"packs/open\"", &list);
    config = config.replace(
        "enforce = [\"company\"]",
        "enforce = [\"company\", \"in_force\", \"provider_terms\"]",
    );
    let mut served = String::new();
    for n in 2..=50 {
        let flop = 1 + n % 7;
        let weights = if n % 5 == 0 { "open" } else { "closed" };
        let _ = write!(
            config,
            "\n[models.m{n}]\nlab = \"acme\"\nweights = \"{weights}\"\ntraining_flop = \"{flop}e25\"\n"
        );
        let _ = write!(served, ", m{n} = {{ name = \"m{n}\" }}");
    }
    let config = config.replace("price = \"list\" } }", &format!("price = \"list\" }}{served} }}"));
    folder.write("tieline.toml", &config);
    for distinct in [2_000_usize, 10_000] {
        many_parties(&folder, distinct);
        let begin = std::time::Instant::now();
        let output = tieline()
            .current_dir(folder.path())
            .args(["--dir", ".", "policy", "matrix", "--format", "csv"])
            .output()
            .unwrap();
        let took = begin.elapsed();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let lines = text(&output.stdout).lines().count();
        assert_eq!(lines, 1 + 10_000 * 50);
        eprintln!("10,000 parties × 50 models, {distinct} postures: {took:?}");
    }
}

/// Ten thousand parties with `distinct` sets of facts.
fn many_parties(folder: &Folder, distinct: usize) {
    let countries = ["DE", "FR", "US", "CN", "BY", "KH", "GB", "JP", "IN", "BR"];
    let classes = ["academic", "agency", "enterprise", "startup"];
    let rows: Vec<PartyRow> = (0..10_000_usize)
        .map(|n| {
            let of = n % distinct;
            let evidence = |value: Value| {
                json!({"issuer": "register", "kind": "registration", "obtained": 1, "value": value})
            };
            let record = json!({
                "evidence": [
                    evidence(json!({"jurisdiction": countries[of % 10]})),
                    evidence(json!({"headquarters": countries[of / 10 % 10]})),
                    evidence(json!({"parent_headquarters": countries[of / 100 % 10]})),
                    evidence(json!({"class": classes[of / 1_000 % 4]})),
                    evidence(json!({"listed": []})),
                    evidence(json!({"end_uses": [format!("use-{}", of / 1_000)]})),
                ],
                "id": format!("p_{n:05}"),
                "kind": "organisation",
            });
            PartyRow {
                name: format!("Party {n}"),
                record: serde_json::from_value(record).unwrap(),
            }
        })
        .collect();
    let db = folder.at("state.db");
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", db.display()));
    }
    let mut state = State::open(folder.path()).unwrap();
    state.put_parties(&rows).unwrap();
}
