//! Where rehearsals get their calls: traces with their mappings, laws, and ledgers that do not verify.

use std::fmt::Write as _;

use crate::damage;
use crate::folder::Folder;

const CALLS: &str = "\
at,user,prompt_tokens,output_tokens,cost
2026-06-12T17:21:00Z,ada,1000,200,0.01
2026-06-12T17:21:05Z,bob,500,100,
2026-06-12T17:21:09Z,ada,2000,50,0.02
";

const MAPPING: &str = r#"
columns = { cost = "cost_usd", user = "party" }

[[groups]]
from_party = ["ada"]
class = "academic"
pool = "chat"

[[groups]]
class = "startup"
model = "m1"
"#;

/// What is rehearsed on the configuration of a folder, without its ledger.
const ON_GRID: [&str; 5] = ["drill", "n-1", "--config", "tieline.toml", "--traffic"];

/// Run each command on a folder: its arguments behind `first`, and its exit code.
#[track_caller]
fn run_all(folder: &mut Folder, first: &[&str], commands: &[(&str, i32)]) {
    for (args, code) in commands {
        let args: Vec<&str> = first.iter().copied().chain(args.split(' ')).collect();
        assert_eq!(folder.run(&args).status.code(), Some(*code), "{args:?}");
    }
}

fn with_calls() -> Folder {
    let folder = Folder::new();
    folder.write("calls.csv", CALLS);
    folder.write("mapping.toml", MAPPING);
    folder
}

#[test]
fn traces_on_a_configuration_alone() {
    let mut folder = with_calls();
    folder.write("packs/nothing.txt", "no trace");
    let commands = [
        ("calls.csv", 2),
        ("calls.csv --mapping mapping.toml", 0),
        ("calls.csv --mapping mapping.toml --json", 0),
        ("calls.csv --mapping mapping.toml --since 2026-06-12T17:21:05Z", 0),
        ("calls.csv --mapping mapping.toml --until 2026-06-12", 2),
        ("calls.csv --mapping mapping.toml --scale 2", 2),
        ("calls.csv --mapping calls.csv", 2),
        ("calls.csv --unverified", 2),
        ("nothing.csv", 2),
        ("packs", 2),
        ("mapping.toml", 2),
    ];
    run_all(&mut folder, &ON_GRID, &commands);
    let commands = [
        ("--mapping mapping.toml", 2),
        ("--config tieline.toml --since 2026-06-12", 2),
        ("--since yesterday", 2),
    ];
    run_all(&mut folder, &["drill", "n-1"], &commands);
    folder.check("traffic_of_traces");
}

#[test]
fn laws_on_a_configuration_alone() {
    let mut folder = with_calls();
    let fit = [
        "drill",
        "fit",
        "--traffic",
        "calls.csv",
        "--mapping",
        "mapping.toml",
    ];
    let law = folder.run(&fit);
    folder.run(&[&fit[..], &["--json"]].concat());
    folder.write("law.toml", &String::from_utf8(law.stdout).unwrap());
    let commands = [
        ("law.toml --seed 7 --scale 100", 0),
        ("law.toml --scale 1e12", 2),
        ("law.toml --until 2060-01-01", 2),
        ("law.toml --mapping mapping.toml", 2),
        ("law.toml --sort", 2),
        ("law.toml --traffic calls.csv", 2),
    ];
    run_all(&mut folder, &ON_GRID, &commands);
    folder.edit("law.toml", "pool = \"chat\"", "pool = \"backwater\"");
    run_all(&mut folder, &ON_GRID, &[("law.toml", 2)]);
    folder.check("traffic_of_laws");
}

#[test]
fn a_ledger_that_does_not_verify_is_refused_or_told() {
    let mut folder = Folder::new();
    let server = folder.serve();
    for _ in 0..3 {
        server.chat().must_be(200);
    }
    server.stop();
    let law = folder.json(&["drill", "fit"]);
    assert_eq!(
        (&law["calls"], &law["groups"][0]["pool"]),
        (&3.into(), &"chat".into())
    );
    // A trace is judged for the only party that there is.
    let mut calls = String::from("at_s,prompt_tokens,output_tokens\n");
    for second in 0..5 {
        writeln!(calls, "{second},1000,100").unwrap();
    }
    folder.write("calls.csv", &calls);
    let report = folder.json(&["drill", "n-1", "--traffic", "calls.csv"]);
    assert_eq!(
        (&report["base"]["carried"], &report["basis"]),
        (&5.into(), &"trace".into())
    );
    let window = [
        "drill",
        "n-1",
        "--since",
        "2026-01-01",
        "--until",
        "2100-01-01T00:00:00.5Z",
    ];
    assert_eq!(folder.json(&window)["base"]["calls"], 3);
    let receipt = folder.json(&["drill", "receipts", "last"]);
    let options = &receipt["receipt"]["arguments"];
    assert_eq!(options["until"], "2100-01-01T00:00:00.5Z");
    assert_eq!(
        folder.json(&["drill", "receipts", "--check", "last"])["same"],
        true
    );
    folder.said.note("an outcome says another version");
    damage::change(&folder.at("ledger.db"), "tieline/outcome/v", |_| b'0');
    for args in [&["drill", "n-1"][..], &["drill", "fit"]] {
        assert_eq!(folder.run(args).status.code(), Some(1), "{args:?}");
    }
    let report = folder.json(&["drill", "n-1", "--unverified"]);
    let notes = report["notes"].to_string();
    for said in [
        "The ledger does not verify",
        "Left out: 1 of the ledger's entries: damaged",
    ] {
        assert!(notes.contains(said), "{notes}");
    }
    let law = folder.json(&["drill", "fit", "--unverified"]);
    let notes = law["notes"].to_string();
    assert!(
        notes.contains("Fitted to calls. The ledger does not verify"),
        "{notes}"
    );
    let args = ["drill", "n-1", "--since", "2100-01-01", "--unverified"];
    assert_eq!(folder.run(&args).status.code(), Some(2));
    folder.check("traffic_of_a_damaged_ledger");
}
