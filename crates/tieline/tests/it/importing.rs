//! `--litellm`: another gateway's files, read by `drill n-1` and `grid`, with nothing in the path of a call.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;
use tieline_testkit::fixtures;

use crate::folder::{Folder, empty, run, tieline};
use crate::transcript::{Transcript, text};

/// A folder with the fixtures in it.
fn folder() -> TempDir {
    let dir = empty();
    let from = fixtures::workspace_dir().join("fixtures/litellm");
    for at in ["", "shared"] {
        std::fs::create_dir_all(dir.path().join(at)).unwrap();
        for entry in std::fs::read_dir(from.join(at)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                std::fs::copy(entry.path(), dir.path().join(at).join(entry.file_name())).unwrap();
            }
        }
    }
    dir
}

/// Run what is typed; `tieline` is left out.
fn typed(said: &mut Transcript, dir: &Path, line: &str, code: i32) -> Output {
    let args: Vec<&str> = line.split_whitespace().collect();
    let output = run(said, dir, &args);
    assert_eq!(output.status.code(), Some(code), "{line}: {output:?}");
    output
}

fn json(dir: &Path, line: &str) -> Value {
    let output = typed(&mut Transcript::default(), dir, &format!("{line} --json"), 0);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn losses_of_a_configuration_alone() {
    let (dir, mut said) = (folder(), Transcript::default());
    typed(&mut said, dir.path(), "drill n-1 --litellm balance.yaml", 0);
    said.check("losses_of_a_configuration_alone", dir.path());
}

#[test]
fn chokepoints_of_a_configuration_alone() {
    let dir = folder();
    typed(
        &mut Transcript::default(),
        dir.path(),
        "grid --litellm balance.yaml",
        0,
    );
    let grid = json(dir.path(), "grid --litellm clouds.yaml");
    let asks = grid["report"]["parties"][0]["asks"].as_array().unwrap();
    let chokepoints = |name: &str| -> Vec<&str> {
        let ask = asks.iter().find(|ask| ask["ask"] == name).unwrap();
        let components = ask["chokepoints"]["components"].as_array().unwrap();
        components.iter().map(|name| name.as_str().unwrap()).collect()
    };
    assert_eq!(chokepoints("cheap"), ["edge:cloudflare"]);
    assert_eq!(chokepoints("claude-direct"), ["edge:cloudflare"]);
    assert_eq!(chokepoints("claude"), [""; 0]);
}

#[test]
fn a_plan_for_a_configuration_alone() {
    let dir = folder();
    let offers = r#"
        [components."region:elsewhere"]
        needs = []
        [offers.embeddings]
        cost_per_month = "500.00"
        lead_days = 5
        source = "made up"
        date = "2026-11-20"
        channel = { provider = "openai-compatible", components = ["region:elsewhere"], models = { "openai:text-embedding-3-large" = { price = "list" } } }
    "#;
    std::fs::write(dir.path().join("offers.toml"), offers).unwrap();
    let line = "drill plan --litellm balance.yaml --catalogue offers.toml";
    let mut said = Transcript::default();
    let output = typed(&mut said, dir.path(), line, 2);
    assert!(
        text(&output.stderr).contains("price"),
        "theirs has no list prices: {output:?}"
    );
    std::fs::write(
        dir.path().join("offers.toml"),
        offers.replace("\"list\"", "\"unknown\""),
    )
    .unwrap();
    let output = typed(&mut said, dir.path(), &format!("{line} --json"), 1);
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["schema"], "tieline/drill-plan-litellm/v1");
    let lost: Vec<&Value> = object["report"]["unsecured"].as_array().unwrap().iter().collect();
    let is_lab = |row: &&&Value| row["why"] == "no_offer" && row["gone"][0]["name"] == "lab:openai";
    assert_eq!(
        (lost.len(), lost.iter().filter(is_lab).count()),
        (3, 3),
        "{lost:?}"
    );
    assert_eq!(
        object["report"]["rest"]["fixes"][0]["offers"],
        serde_json::json!(["embeddings"])
    );
    assert!(object["mapping"]["channels"].is_array());
}

#[test]
fn what_it_is_taken_to_be_is_a_configuration() {
    let (dir, mut said) = (folder(), Transcript::default());
    let first = "drill n-1 --litellm balance.yaml --litellm models.json --write-config ours.toml";
    let theirs = json(dir.path(), first);
    let ours = json(dir.path(), "drill n-1 --config ours.toml");
    assert_eq!(theirs["report"], ours, "the same grid gives the same answer");
    json(dir.path(), "check ours.toml");
    said.note("nothing is overwritten");
    typed(&mut said, dir.path(), first, 2);
    said.check("what_it_is_taken_to_be_is_a_configuration", dir.path());
}

#[test]
fn what_cannot_be_used_says_why() {
    let (dir, mut said) = (folder(), Transcript::default());
    for line in [
        "drill n-1 --litellm nothing.yaml",
        "drill n-1 --litellm broken.yaml",
        "drill n-1 --litellm README.md",
        "drill n-1 --litellm patterns.yaml --litellm shared",
        "drill n-1 --litellm balance.yaml --config ours.toml",
        "drill n-1 --write-config ours.toml",
    ] {
        typed(&mut said, dir.path(), line, 2);
    }
    said.check("what_of_litellm_cannot_be_used", dir.path());
}

#[test]
fn it_leaves_a_receipt_where_there_is_a_ledger() {
    let folder = Folder::new();
    let server = folder.serve();
    server.chat().must_be(200);
    server.stop();
    let config = fixtures::workspace_dir().join("fixtures/litellm/balance.yaml");
    let config = config.to_str().unwrap();
    let drill = ["drill", "n-1", "--litellm", config];
    let mut said = Transcript::default();
    let output = run(
        &mut said,
        folder.dir.path(),
        &[&["--dir", "."], &drill[..]].concat(),
    );
    assert!(text(&output.stderr).contains("receipt "), "{output:?}");
    let check = ["--dir", ".", "drill", "receipts", "--check", "last"];
    assert_eq!(run(&mut said, folder.dir.path(), &check).status.code(), Some(0));
}

#[test]
fn no_secret_leaves_the_files() {
    let dir = folder();
    let mut outputs = Vec::new();
    for line in [
        "drill n-1 --litellm secrets.yaml --write-config secrets.toml",
        "drill n-1 --litellm secrets.yaml --json",
        "grid --litellm secrets.yaml",
        "drill n-1 --litellm broken.yaml",
    ] {
        let output = tieline()
            .current_dir(dir.path())
            .args(line.split_whitespace())
            .output()
            .unwrap();
        outputs.push(format!(
            "{line}\n{}{}",
            text(&output.stdout),
            text(&output.stderr)
        ));
    }
    outputs.push(std::fs::read_to_string(dir.path().join("secrets.toml")).unwrap());
    for output in &outputs {
        for secret in ["LiteralSecret", "AKIA"] {
            assert!(!output.contains(secret), "{secret} in {output}");
        }
    }
}

#[test]
fn losses_over_the_calls_of_a_log() {
    let (dir, mut said) = (folder(), Transcript::default());
    let drill = "drill n-1 --litellm clouds.yaml --traffic";
    let output = typed(&mut said, dir.path(), &format!("{drill} spend.csv"), 0);
    assert!(output.stderr.is_empty(), "nothing is set up, and nothing missed");
    said.check("losses_over_the_calls_of_a_log", dir.path());
    for command in ["drill n-1", "drill n-2", "grid"] {
        let of = |log: &str| {
            let line = format!("{command} --litellm clouds.yaml --traffic {log}");
            json(dir.path(), &line)
        };
        let (csv, rows) = (of("spend.csv"), of("spend.json"));
        assert_eq!(csv["report"], rows["report"], "{command}");
        let name = command.replace(' ', "-");
        assert_eq!(csv["schema"], format!("tieline/{name}-litellm/v1"));
    }
    let whole = json(dir.path(), &format!("{drill} spend.csv"));
    let calls = |report: &Value| report["mapping"]["traffic"]["calls"].as_u64().unwrap();
    let same = json(dir.path(), &format!("{drill} spend.csv --traffic spend.json"));
    assert_eq!(
        calls(&same),
        calls(&whole),
        "a call that both files hold counts once"
    );
    let left_out = same["mapping"]["traffic"]["left_out"].as_array().unwrap();
    let twice = left_out
        .iter()
        .find(|row| row["says"].as_str().unwrap().contains("request_id"));
    // One asks for what the configuration does not have.
    assert_eq!(twice.unwrap()["count"].as_u64().unwrap(), calls(&whole) + 1);
    let text = std::fs::read_to_string(dir.path().join("spend.csv")).unwrap();
    std::fs::write(dir.path().join("other.csv"), text.replace("chatcmpl-", "other-")).unwrap();
    let more = json(dir.path(), &format!("{drill} spend.csv --traffic other.csv"));
    assert_eq!(calls(&more), 2 * calls(&whole));
    let part = |window: &str| calls(&json(dir.path(), &format!("{drill} spend.csv {window}")));
    let (before, after) = (
        part("--until 2026-03-02T09:01:00Z"),
        part("--since 2026-03-02T09:01:00Z"),
    );
    assert!(before > 0 && after > 0, "{before} {after}");
    assert_eq!(before + after, calls(&whole));
}

/// What is written of a configuration and its log is a configuration and a trace, and gives the same answer.
#[test]
fn what_is_kept_of_a_log_is_a_trace() {
    let dir = folder();
    let theirs = "drill n-1 --litellm clouds.yaml --traffic spend.csv --write-config ours.toml --write-trace calls.csv";
    let theirs = json(dir.path(), theirs);
    let ours = json(dir.path(), "drill n-1 --config ours.toml --traffic calls.csv");
    let said = |report: &Value| -> Vec<Value> {
        let rows = report["contingencies"].as_array().unwrap().iter();
        let said = rows.map(|row| {
            let what = &row["consequence"];
            let what =
                ["tally", "parties", "first_content", "cost_change_nano"].map(|name| what[name].clone());
            Value::from([&[row["gone"].clone()][..], &what].concat())
        });
        said.collect()
    };
    assert_eq!(said(&theirs["report"]), said(&ours));
    // A trace of another gateway's calls is laid on its configuration, too.
    let mixed = json(dir.path(), "drill n-1 --litellm clouds.yaml --traffic calls.csv");
    assert_eq!(mixed["mapping"]["traffic"], Value::Null);
    assert_eq!(
        mixed["report"]["base"]["calls"],
        theirs["report"]["base"]["calls"]
    );
}

#[test]
fn patterns_become_what_a_log_asks_for() {
    let dir = folder();
    let log = "startTime,endTime,model_group,model,prompt_tokens,completion_tokens,spend,team_id\n\
        2026-03-02 09:00:00,2026-03-02 09:00:01,openai/gpt-4o,openai/gpt-4o,100,20,0.00045,t\n\
        2026-03-02 09:00:02,2026-03-02 09:00:03,eu/anthropic.claude-sonnet-4-20250514-v1:0,,100,20,0,t\n";
    std::fs::write(dir.path().join("log.csv"), log).unwrap();
    let report = json(dir.path(), "drill n-1 --litellm patterns.yaml --traffic log.csv");
    assert_eq!(report["report"]["base"]["carried"], 2);
    let unknown = &report["mapping"]["traffic"]["unknown"];
    assert_eq!(unknown[0]["count"], 1, "{report:#}");
}

#[test]
fn a_limit_that_is_no_number_is_said_to_be_none() {
    let (dir, mut said) = (folder(), Transcript::default());
    let config = std::fs::read_to_string(dir.path().join("clouds.yaml")).unwrap();
    for stated in ["os.environ/TPM", "-5", "0", "99999999999999999999999"] {
        let changed = config.replace("tpm: 2000000", &format!("tpm: {stated}"));
        std::fs::write(dir.path().join("odd.yaml"), changed).unwrap();
        let output = typed(&mut said, dir.path(), "drill n-1 --litellm odd.yaml", 0);
        let says = String::from_utf8(output.stdout).unwrap();
        assert!(
            says.contains("`tpm` is no number of 1 and more"),
            "{stated}: {says}"
        );
    }
}

#[test]
fn what_of_a_log_cannot_be_used_says_why() {
    let (dir, mut said) = (folder(), Transcript::default());
    let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    put("other.csv", "when,what\n1,2\n");
    put("short.salt", "pepper");
    let header = "startTime,endTime,model_group,prompt_tokens,completion_tokens,spend\n";
    put("cut.csv", &format!("{header}\"2026-03-02 09:00:00"));
    put("nobody.csv", header);
    put(
        "elsewhere.csv",
        &format!("{header}2026-03-02 09:00:00,2026-03-02 09:00:01,nothing-here,1,1,0\n"),
    );
    for rest in [
        "--traffic nothing.csv",
        "--traffic other.csv",
        "--traffic cut.csv",
        "--traffic nobody.csv",
        "--traffic elsewhere.csv",
        "--traffic spend.csv --traffic other.csv",
        "--traffic spend.csv --salt short.salt",
        "--traffic spend.csv --scale 2",
        "--traffic other.csv --write-trace trace.csv",
    ] {
        typed(
            &mut said,
            dir.path(),
            &format!("drill n-1 --litellm clouds.yaml {rest}"),
            2,
        );
    }
    typed(
        &mut said,
        dir.path(),
        "grid --litellm clouds.yaml --traffic other.csv",
        2,
    );
    let write = "drill n-1 --litellm clouds.yaml --write-config ours.toml";
    typed(&mut Transcript::default(), dir.path(), write, 0);
    typed(
        &mut said,
        dir.path(),
        "drill n-1 --config ours.toml --traffic spend.csv",
        2,
    );
    typed(&mut said, dir.path(), "grid --traffic spend.csv", 2);
    said.check("what_of_a_log_cannot_be_used", dir.path());
}

#[test]
fn no_name_leaves_a_log_but_to_its_owner() {
    let dir = folder();
    let drill = "drill n-1 --litellm clouds.yaml --traffic spend.csv";
    let plain = json(dir.path(), drill);
    let salted = json(dir.path(), &format!("{drill} --salt here.salt"));
    let again = json(
        dir.path(),
        &format!("{drill} --salt here.salt --write-parties parties.csv --write-trace calls.csv"),
    );
    let rows = |report: &Value| report["report"]["contingencies"].clone();
    assert_ne!(rows(&plain), rows(&salted), "a salt makes other ids");
    assert_eq!(rows(&salted), rows(&again), "the same salt the same");
    let at = |name: &str| dir.path().join(name);
    for name in ["here.salt", "parties.csv"] {
        let mode = std::fs::metadata(at(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let names = std::fs::read_to_string(at("parties.csv")).unwrap();
    assert!(
        names.contains("user") && names.contains("ana@northwind.example"),
        "{names}"
    );
    let trace = std::fs::read_to_string(at("calls.csv")).unwrap();
    for text in [&plain.to_string(), &again.to_string(), &trace] {
        for secret in [
            "LiteralSecret",
            "northwind-alias",
            "ana@",
            "6b0e-support",
            "d1a5ac9a015f",
            "10.1.2.",
        ] {
            assert!(!text.contains(secret), "{secret}");
        }
    }
}

#[test]
fn a_drill_over_a_log_leaves_a_receipt_and_cannot_be_made_again() {
    let folder = Folder::new();
    let server = folder.serve();
    server.chat().must_be(200);
    server.stop();
    let at = |name: &str| {
        let path = fixtures::workspace_dir().join("fixtures/litellm").join(name);
        path.to_str().unwrap().to_owned()
    };
    let line = format!(
        "--dir . drill n-2 --litellm {} --traffic {}",
        at("clouds.yaml"),
        at("spend.csv")
    );
    let output = typed(&mut Transcript::default(), folder.dir.path(), &line, 0);
    assert!(text(&output.stderr).contains("receipt "), "{output:?}");
    let check = "--dir . drill receipts --check last";
    let output = typed(&mut Transcript::default(), folder.dir.path(), check, 2);
    assert!(
        text(&output.stderr).contains("which no ledger holds"),
        "{output:?}"
    );
}
