//! `tieline faults`. The whole catalogue is run end to end; here is what the command does with its arguments.

use serde_json::Value;

use crate::folder::{Folder, tieline};
use crate::schema;

/// The rows of a run, and its exit code.
fn rows(args: &[&str]) -> (Vec<Value>, Option<i32>) {
    let output = tieline().arg("faults").args(args).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    schema::check(args, &out);
    let rows = out.lines().map(|line| serde_json::from_str(line).unwrap());
    (rows.collect(), output.status.code())
}

#[test]
fn a_scenario_runs_in_both_dialects_and_forms() {
    let (rows, code) = rows(&["--fast", "--json", "--only", "server-error-everywhere"]);
    let forms: Vec<_> = rows
        .iter()
        .map(|row| (row["dialect"].as_str().unwrap(), row["stream"].as_bool().unwrap()))
        .collect();
    let (openai, anthropic) = ("openai_chat", "anthropic_messages");
    assert_eq!(
        forms,
        [
            (openai, true),
            (openai, false),
            (anthropic, true),
            (anthropic, false)
        ]
    );
    for row in &rows {
        assert_eq!(row["failures"], Value::Array(Vec::new()), "{row}");
        assert_eq!(row["calls"][0]["code"], "channels_failed", "{row}");
        assert_eq!(row["calls"][0]["attempts"].as_array().unwrap().len(), 3, "{row}");
        assert_eq!(row["calls"][0]["cost_nano"], 0, "{row}");
    }
    assert_eq!(code, Some(0));
}

#[test]
fn a_broken_answer_is_shown_under_both_settings_of_resume() {
    let (rows, code) = rows(&["--fast", "--json", "--only", "cut-early"]);
    let seen: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row["resume"].as_str().unwrap(),
                row["calls"][0]["saw"].as_str().unwrap(),
            )
        })
        .collect();
    let (off, on) = (("off", "broken"), ("same_model", "whole"));
    assert_eq!(seen, [off, off, on, on]);
    assert_eq!(code, Some(0));
}

/// One attempt is what this pool allows, so the first channel's trouble is the caller's: shown, and no failure.
#[test]
fn the_settings_of_one_s_own_pool_are_tried() {
    let folder = Folder::new();
    let written = folder.read("tieline.toml");
    folder.write(
        "tieline.toml",
        &format!("{written}\n[defaults]\nattempts_max = 1\n"),
    );
    let config = folder.dir.path().join("tieline.toml");
    let config = config.to_str().unwrap();
    let (rows, code) = rows(&["--fast", "--json", "--only", "server-error", "--config", config]);
    for row in rows.iter().filter(|row| row["scenario"] == "server-error") {
        assert_eq!(row["calls"][0]["attempts"].as_array().unwrap().len(), 1, "{row}");
        assert_eq!(row["failures"], Value::Array(Vec::new()), "{row}");
        assert_ne!(row["differs"], Value::Array(Vec::new()), "{row}");
    }
    assert_eq!(code, Some(0));
}

#[test]
fn what_is_not_there_is_said() {
    for (args, says) in [
        (vec!["--only", "no-such-scenario"], "the groups are: refusal"),
        (vec!["--config", "/nowhere/tieline.toml"], "/nowhere/tieline.toml"),
    ] {
        let output = tieline().arg("faults").args(&args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(err.contains(says), "{err}");
    }
}
