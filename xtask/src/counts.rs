//! Instruction counts under callgrind against their committed baseline, `bench/counts.json`.
//!
//! `cargo xtask counts [--write]` builds the scenarios of `bench` in release, runs each for a short and for a long
//! series, and divides the difference of the instructions by the difference of the lengths, so that start and set-up
//! cancel out. A count that rises by more than [`RISE_MAX_PERCENT`] is a finding; so is a scenario without a baseline,
//! and one that is gone. `--write` makes what was counted the baseline. Counts differ between compilers, so raise a
//! toolchain and the baseline together. Bounds: a series takes seconds under callgrind.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::repo::{self, Finding};

/// What a call costs differs from run to run by parts of a per cent: addresses, seeds of hash maps.
const RISE_MAX_PERCENT: u64 = 5;

const BASELINE: &str = "bench/counts.json";
const SCHEMA: &str = "tieline/counts/v1";

/// Names of the scenarios, and the lengths of their short and long series: caches are warm after the short one.
const SERIES: [(&str, u64, u64); 9] = [
    ("call_1kb", 500, 2_500),
    ("cross_dialect", 500, 2_500),
    ("decision", 2_000, 22_000),
    ("drill_1000", 2, 12),
    ("ledger_256", 4, 20),
    ("prompt_200kb", 20, 120),
    ("stream_50", 100, 600),
    ("verdict_cached", 2_000, 22_000),
    ("verdict_made", 20, 120),
];

/// Instructions of one run, by scenario.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    schema: String,
    instructions: BTreeMap<String, u64>,
}

/// Whether no count rose by more than its margin.
pub(crate) fn run(arguments: &[&str]) -> Result<bool> {
    let is_writing = match arguments {
        [] => false,
        ["--write"] => true,
        _ => bail!("usage: cargo xtask counts [--write]"),
    };
    let root = repo::root()?;
    let program = build(&root)?;
    let mut instructions = BTreeMap::new();
    for (name, short, long) in SERIES {
        let more = collected(&program, name, long)?.saturating_sub(collected(&program, name, short)?);
        instructions.insert(name.to_owned(), more / (long - short));
    }
    let counts = Counts {
        schema: SCHEMA.to_owned(),
        instructions,
    };
    let path = root.join(BASELINE);
    if is_writing {
        let text = serde_json::to_string_pretty(&counts)? + "\n";
        fs::write(&path, text).with_context(|| format!("cannot write {BASELINE}"))?;
        for (name, count) in &counts.instructions {
            repo::say(&format!("{name:<14}{count:>12}"));
        }
        repo::say(&format!("counts: wrote {BASELINE}"));
        return Ok(true);
    }
    let text = fs::read_to_string(&path)
        .with_context(|| format!("cannot read {BASELINE}; `cargo xtask counts --write` makes it"))?;
    let baseline: Counts = serde_json::from_str(&text).with_context(|| format!("{BASELINE} is not right"))?;
    ensure!(baseline.schema == SCHEMA, "{BASELINE} is not of {SCHEMA}");
    for (name, count) in &counts.instructions {
        let before = baseline.instructions.get(name).copied().unwrap_or_default();
        repo::say(&format!(
            "{name:<14}{count:>12}, was {before:>12}{}",
            change(before, *count)
        ));
    }
    Ok(repo::report(
        "counts",
        findings(&baseline.instructions, &counts.instructions),
    ))
}

/// The program that runs scenarios.
fn build(root: &Path) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let words =
        "build --release --locked --quiet --package tieline-bench --bin scenario --message-format json";
    let messages = repo::output(Command::new(cargo).args(words.split(' ')).current_dir(root))?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| {
            message
                .pointer("/target/name")
                .is_some_and(|name| name == "scenario")
        })
        .find_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
        .context("cargo built no program `scenario`")
}

/// Instructions of a whole series.
fn collected(program: &Path, name: &str, runs: u64) -> Result<u64> {
    let done = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([name, &runs.to_string()])
        .output()
        .context("cannot run valgrind (Debian's package valgrind)")?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "scenario {name} failed: {said}");
    instructions(&said).with_context(|| format!("callgrind says no count of {name}: {said}"))
}

/// The count in what callgrind says at its end: `==1== Collected : 123`.
fn instructions(said: &str) -> Option<u64> {
    let (_, count) = said.lines().find_map(|line| line.split_once("Collected :"))?;
    count.trim().parse().ok()
}

fn findings(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> Vec<Finding> {
    let rise = |(name, count): (&String, &u64)| match before.get(name) {
        None => Some(format!("{name} has no baseline")),
        Some(before) if count * 100 > before * (100 + RISE_MAX_PERCENT) => Some(format!(
            "{name} takes {count} instructions, {before} before:{}, above {RISE_MAX_PERCENT} %",
            change(*before, *count)
        )),
        Some(_) => None,
    };
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let gone = gone.map(|name| format!("{name} is no scenario"));
    let says = after.iter().filter_map(rise).chain(gone);
    says.map(|says| Finding::new(BASELINE, 0, says)).collect()
}

/// Tenths of a per cent, in integers.
fn change(before: u64, after: u64) -> String {
    if before == 0 {
        return String::new();
    }
    let (sign, by) = if after < before {
        ('-', before - after)
    } else {
        ('+', after - before)
    };
    let tenths = by * 1_000 / before;
    format!(" {sign}{}.{} %", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
        counts
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    }

    fn check(before: &[(&str, u64)], after: &[(&str, u64)], expected: &[&str]) {
        let found = findings(&of(before), &of(after));
        let says: Vec<&str> = found.iter().map(|finding| finding.says.as_str()).collect();
        assert_eq!(says, expected);
    }

    #[test]
    fn a_rise_above_five_percent_is_found() {
        check(&[("a", 1_000), ("b", 1_000)], &[("a", 1_050), ("b", 500)], &[]);
        check(
            &[("a", 1_000)],
            &[("a", 1_051)],
            &["a takes 1051 instructions, 1000 before: +5.1 %, above 5 %"],
        );
        check(&[], &[("a", 1)], &["a has no baseline"]);
        check(&[("a", 1)], &[], &["a is no scenario"]);
    }

    #[test]
    fn the_count_is_read_from_what_callgrind_says() {
        let said =
            "==12== Callgrind, a call-graph\n==12== Events    : Ir\n==12== Collected : 8212534\n==12== \n";
        assert_eq!(instructions(said), Some(8_212_534));
        assert_eq!(instructions("valgrind: fatal error"), None);
    }
}
