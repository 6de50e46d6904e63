//! `--litellm`: another gateway's files, read by `drill n-1` and `grid`, with nothing in the path of a call.

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
