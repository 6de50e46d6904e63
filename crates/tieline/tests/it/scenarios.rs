//! `tieline drill scenario` and `tieline drill directive`: on the public example, on recorded calls, and on what is wrong.

use serde_json::Value;
use tieline_testkit::{Act, Auto, Script, Usage, fixtures};

use crate::folder::{Folder, empty, run};
use crate::transcript::{Transcript, text};

/// A folder with the public example in it.
fn public() -> tempfile::TempDir {
    let dir = empty();
    let example = fixtures::workspace_dir().join("examples/public-grid.toml");
    std::fs::copy(example, dir.path().join("grid.toml")).unwrap();
    dir
}

/// Usage that does not depend on how long ports and ids are.
fn counted() -> Script {
    let usage = Usage {
        cached: 0,
        input: 1_000,
        output: 500,
    };
    Script::new().otherwise(Act::from(Auto::default().usage(usage)))
}

/// Two channels, and six calls over them.
fn with_calls() -> (Folder, String) {
    let folder = Folder::with(counted(), counted());
    let server = folder.serve();
    for _ in 0..3 {
        server.chat().must_be(200);
        server.messages().must_be(200);
    }
    server.stop();
    let party = folder.first_party();
    (folder, party)
}

#[test]
fn shipped_scenarios_on_the_public_example() {
    let (dir, mut said) = (public(), Transcript::default());
    let list = run(&mut said, dir.path(), &["drill", "scenario", "--list"]);
    assert_eq!(list.status.code(), Some(0));
    let rows = run(
        &mut Transcript::default(),
        dir.path(),
        &["drill", "scenario", "--list", "--json"],
    );
    let rows: Vec<Value> = text(&rows.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 8);
    for row in rows {
        let name = row["id"].as_str().unwrap();
        let args = ["drill", "scenario", name, "--config", "grid.toml"];
        // The largest lab of the example is not sold on its largest cloud's widest channel.
        let set: &[&str] = match name {
            "cloud-withdraws-lab" => &["--set", "cloud=aws", "--set", "lab=anthropic"],
            "price-times-3" => &["--set", "lab=anthropic"],
            "dark-2026-06-12" | "directive-2026-06-12" => &["--set", "models=claude-sonnet-5,gpt-6"],
            _ => &[],
        };
        let args: Vec<&str> = args.iter().chain(set).copied().collect();
        assert_eq!(run(&mut said, dir.path(), &args).status.code(), Some(0), "{name}");
    }
    said.check("shipped_scenarios", dir.path());
}

#[test]
fn a_shipped_scenario_says_itself_what_it_is_called() {
    let (dir, mut beside) = (public(), Transcript::default());
    let all = [
        "gcp-2025-06-12",
        "aws-us-east-1-2025-10-19",
        "cloudflare-2025-11-18",
        "price-times-3",
    ];
    let args: Vec<&str> = ["drill", "scenario"]
        .iter()
        .chain(&all)
        .chain(&["--config", "grid.toml", "--json"])
        .copied()
        .collect();
    let output = run(&mut beside, dir.path(), &args);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let scenarios = report["scenarios"].as_array().unwrap();
    let mut ids: Vec<&str> = scenarios.iter().map(|one| one["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    let mut sorted = all;
    sorted.sort_unstable();
    assert_eq!(ids, sorted);
    for one in scenarios {
        let bins = one["course"]["bins"].as_array().unwrap();
        let sum = |key: &str| bins.iter().map(|bin| bin[key].as_u64().unwrap()).sum::<u64>();
        for key in ["kept", "moved", "degraded", "held", "lost", "refused_before"] {
            assert_eq!(
                sum(key),
                one["consequence"]["tally"][key].as_u64().unwrap(),
                "{key} of {}",
                one["id"]
            );
        }
        assert!(
            !one["sources"].as_array().unwrap().is_empty() && !one["assumed"].as_array().unwrap().is_empty()
        );
    }
    // The same inputs give the same bytes.
    assert_eq!(run(&mut beside, dir.path(), &args).stdout, output.stdout);
}

const MINE: &str = r#"
id = "mine"
title = "East is gone, and dearer"
assumed = ["That it is so."]
[parameters.times]
default = "2"
says = "How much dearer."
[[event]]
for = "1h"
out = { component = "cloud:east", how = "errors" }
[[event]]
price = { channel = "right", times = "${times}" }
"#;

#[test]
fn over_recorded_calls() {
    let (mut folder, party) = with_calls();
    folder.write("mine.toml", MINE);
    let report = folder.json(&["drill", "scenario", "mine.toml"]);
    assert_eq!(
        (&report["basis"], &report["base"]["calls"]),
        (&"recorded".into(), &6.into())
    );
    let one = &report["scenarios"][0];
    let tally = |one: &Value, key: &str| one["consequence"]["tally"][key].as_u64().unwrap();
    assert_eq!(tally(one, "kept") + tally(one, "moved"), 6, "{one:#}");
    // What stays on the right channel costs 6 thousandths more, what moves there 10: 12 instead of 2.
    let change = |one: &Value| {
        one["consequence"]["cost_change_nano"]
            .as_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    assert_eq!(
        change(one),
        6_000_000 * tally(one, "kept") + 10_000_000 * tally(one, "moved")
    );
    let set = folder.json(&["drill", "scenario", "mine.toml", "--set", "times=1"]);
    assert_eq!(change(&set["scenarios"][0]), 4_000_000 * tally(one, "moved"));
    assert_eq!(set["scenarios"][0]["set"]["times"], "1");
    // Nobody is left where both are gone; worst first.
    folder.write(
        "dark.toml",
        &MINE
            .replace("\"mine\"", "\"dark\"")
            .replace("cloud:east", "lab:acme"),
    );
    let both = folder.json(&["drill", "scenario", "mine.toml", "dark.toml"]);
    assert_eq!(both["scenarios"][0]["id"], "dark");
    assert_eq!(tally(&both["scenarios"][0], "lost"), 6);
    // A party, a class and a directive of the state folder.
    folder.write(
        "surge.toml",
        &format!(
            "id = \"surge\"\ntitle = \"A surge\"\n[[event]]\nsurge = {{ party = \"{party}\", pool = \"chat\", times = 3 }}\n"
        ),
    );
    let surge = folder.json(&["drill", "scenario", "surge.toml"]);
    assert_eq!(surge["scenarios"][0]["calls_added"], 12);
    folder.run(&["drill", "scenario", "mine.toml", "mine.toml"]);
    folder.run(&[
        "drill",
        "scenario",
        "mine.toml",
        "--since",
        "2099-01-01T00:00:00Z",
    ]);
    folder.run(&["drill", "scenario", "mine.toml", "--start", "1d"]);
    assert_eq!(receipts(&folder, "scenario"), 4, "one for each that was played");
    folder.run(&["drill", "receipts", "--check", "last"]);
    folder.check("scenarios_over_recorded_calls");
}

#[test]
fn a_directive_of_a_scenario_rules_as_it_would_in_force() {
    let (folder, party) = with_calls();
    folder.json(&["party", "change", &party, "--jurisdiction", "DE"]);
    folder.text(&["directive", "new", "letter.toml"]);
    folder.edit("letter.toml", "\"model-name\"", "\"m1\"");
    folder.text(&["directive", "new", "end.toml", "--revoke", "example-2026-1"]);
    let scenario = |events: &str| format!("id = \"letter\"\ntitle = \"A letter\"\n{events}");
    let letter = "[[event]]\ndirective = { file = \"letter.toml\" }\n";
    folder.write("letter-scenario.toml", &scenario(letter));
    let lost = |file: &str| {
        let report = folder.json(&["drill", "scenario", file]);
        let tally = &report["scenarios"][0]["consequence"]["tally"];
        (
            tally["lost"].as_u64().unwrap(),
            tally["held"].as_u64().unwrap(),
            tally["kept"].as_u64().unwrap(),
        )
    };
    assert_eq!(lost("letter-scenario.toml"), (6, 0, 0), "the party is abroad");
    // Revoked before the first call, it rules nothing.
    let ended = format!("{letter}[[event]]\nat = \"1s\"\ndirective = {{ file = \"end.toml\" }}\n");
    folder.write(
        "ended.toml",
        &scenario(&ended).replace("title", "start = \"0s\"\ntitle"),
    );
    let (gone, held, kept) = lost("ended.toml");
    assert_eq!((gone + kept, held), (6, 0));
    // Whom the facts do not decide about is held.
    folder.edit(
        "letter.toml",
        "principal has jurisdiction && principal.jurisdiction != Country::\"US\"",
        "principal has headquarters && principal.headquarters != Country::\"US\"",
    );
    assert_eq!(lost("letter-scenario.toml"), (0, 6, 0));
}

/// How many receipts there are of a drill.
fn receipts(folder: &Folder, command: &str) -> usize {
    let listed = folder.text(&["--dir", ".", "drill", "receipts"]);
    let named = format!("drill {command} ");
    listed.lines().filter(|line| line.contains(&named)).count()
}

#[test]
fn a_directive_is_drilled_over_calls_of_elsewhere_too() {
    let (mut folder, party) = with_calls();
    folder.text(&["directive", "new", "letter.toml"]);
    folder.edit("letter.toml", "\"model-name\"", "\"m1\"");
    folder.json(&["party", "change", &party, "--jurisdiction", "DE"]);
    folder.write(
        "calls.csv",
        &format!(
            "at,party,pool,input_tokens,output_tokens\n{}",
            format!("2026-06-12T09:00:00Z,{party},chat,1000,500\n").repeat(4)
        ),
    );
    let args = ["drill", "directive", "letter.toml", "--traffic", "calls.csv"];
    let report = folder.json(&args);
    assert_eq!(report["basis"], "trace");
    assert_eq!(report["rehearsal"]["replay"]["tally"]["lost"], 4);
    assert_eq!(report, folder.json(&args), "the same inputs, the same report");
    folder.run(&args);
    folder.run(&["drill", "receipts", "--check", "last"]);
    folder.run(&["drill", "directive", "letter.toml", "--since", "2099-01-01"]);
    folder.check("drill_directive_over_a_trace");
}

#[test]
fn a_directive_is_drilled_with_what_it_makes_worse() {
    let (mut folder, party) = with_calls();
    folder.json(&["party", "change", &party, "--jurisdiction", "US"]);
    folder.text(&["directive", "new", "letter.toml"]);
    folder.edit("letter.toml", "\"model-name\"", "\"m1\"");
    let calm = folder.json(&["drill", "directive", "letter.toml"]);
    assert_eq!(
        (&calm["worse"], &calm["rehearsal"]["undetermined"]),
        (&0.into(), &Value::Array(Vec::new()))
    );
    assert_eq!(
        folder.run(&["drill", "directive", "letter.toml"]).status.code(),
        Some(0)
    );
    folder.json(&["party", "change", &party, "--jurisdiction", "DE"]);
    let hit = folder.json(&["drill", "directive", "letter.toml"]);
    assert_eq!(hit["rehearsal"]["replay"]["tally"]["lost"], 6);
    assert_eq!(hit["worse"], 0, "whom it refuses, no loss can take more from");
    let same = folder.json(&["directive", "rehearse", "letter.toml"]);
    assert_eq!(receipts(&folder, "directive"), 3);
    folder.json(&["drill", "directive", "letter.toml", "--no-receipt"]);
    assert_eq!(receipts(&folder, "directive"), 3);
    for key in [
        "bystanders",
        "findings",
        "missing",
        "notes",
        "parties",
        "replay",
        "undetermined",
    ] {
        assert_eq!(same[key], hit["rehearsal"][key], "{key}: two doors to one thing");
    }
    folder.check("drill_directive");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let (dir, mut said) = (public(), Transcript::default());
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("mine.toml", MINE);
    write(
        "elsewhere.toml",
        &MINE
            .replace("cloud:east", "cloud:aws")
            .replace("channel = \"right\"", "lab = \"nobody\""),
    );
    write(
        "late.toml",
        &MINE.replace("for = \"1h\"", "at = \"2h\"\nuntil = \"1h\""),
    );
    write("broken.toml", "id = \"x");
    std::fs::write(dir.path().join("bytes.toml"), b"id = \"\xe9\"").unwrap();
    for args in [
        &["mine.toml"][..],
        &["mine.toml", "late.toml"],
        &["broken.toml"],
        &["bytes.toml"],
        &["elsewhere.toml", "--skip-absent"],
        &["aws-us-east-1"],
        &["nothing.toml"],
        &["."],
        &["price-times-3", "--set", "lap=anthropic"],
        &["price-times-3", "--set", "lab"],
        &["price-times-3", "--set", "lab=anthropic", "--set", "lab=openai"],
        &["price-times-3", "--set", "lab=a\"b"],
        &["largest-channel-halves", "--set", "channel=nowhere"],
        &[],
    ] {
        let args: Vec<&str> = ["drill", "scenario"]
            .iter()
            .chain(args)
            .chain(&["--config", "grid.toml"])
            .copied()
            .collect();
        let code = run(&mut said, dir.path(), &args).status.code();
        assert_eq!(
            code,
            Some(if args.contains(&"--skip-absent") { 0 } else { 2 }),
            "{args:?}"
        );
    }
    said.check("scenarios_wrong", dir.path());
}
