//! Mutants: what the simulator and the drills are worth. Each of [`table::MUTANTS`] is a defect put into the core by
//! replacing one piece of its source; the simulator, built against it in a copy of the workspace, must find a broken law,
//! and one of the drills over days that the clean core recorded must come to another report ([`drills`]). The clean copy
//! must pass first, and come to the same reports twice; and a piece that is not found exactly once is an error: the table
//! has to follow the core.
//!
//! Takes minutes: one build of core and drill for each mutant. The copy and its builds are in the target folder.

mod drills;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::repo;
use drills::Reports;
use table::{MUTANTS, Mutant};

/// Seeds of the simulator for each mutant.
const SEEDS: &str = "300";

/// Runs all mutants, or those whose names are given; whether every one was caught.
pub(crate) fn run(names: &[&str]) -> Result<bool> {
    for name in names {
        let known = MUTANTS.iter().any(|mutant| mutant.name == *name);
        ensure!(known, "there is no mutant `{name}`");
    }
    let root = repo::root()?;
    let target = target(&root);
    let copy = target.join("mutants/tree");
    copied(&root, &copy)?;
    let (build, days) = (target.join("mutants/build"), target.join("mutants/days"));
    built(&copy, &build)?;
    let clean = simulated(&build)?;
    ensure!(
        clean.success,
        "the simulator finds something in the core as it is: {}",
        clean.says
    );
    drills::record(&build, &days)?;
    let reports = Reports::of(&build, &days)?;
    let again = reports.changed(&Reports::of(&build, &days)?);
    ensure!(
        again.is_empty(),
        "the same drills come to other reports: {again:?}"
    );
    let wanted = MUTANTS
        .iter()
        .filter(|mutant| names.is_empty() || names.contains(&mutant.name));
    let (mut tried, mut missed, mut unseen, mut by_sim_alone) = (0, 0, 0, Vec::new());
    for mutant in wanted {
        let file = copy.join("crates/tieline-core/src").join(mutant.file);
        let source = std::fs::read_to_string(&file).with_context(|| mutant.file)?;
        std::fs::write(&file, mutated(mutant, &source)?)?;
        let run = built(&copy, &build)
            .and_then(|()| Ok((simulated(&build)?, reports.changed(&Reports::of(&build, &days)?))));
        std::fs::write(&file, source)?;
        let (run, seen) = run?;
        tried += 1;
        missed += usize::from(run.success);
        unseen += usize::from(seen.is_empty());
        if seen == [drills::SIM] {
            by_sim_alone.push(mutant.name);
        }
        let verdict = if run.success { "NOT CAUGHT" } else { "caught    " };
        repo::say(&format!("{verdict}  {}: {}", mutant.name, run.says));
        repo::say(&drills::line(&seen));
    }
    if !by_sim_alone.is_empty() {
        repo::say(&format!("seen by drill sim alone: {}", by_sim_alone.join(", ")));
    }
    repo::say(&format!(
        "mutants: {tried} tried, {missed} not caught, {unseen} change no drill"
    ));
    Ok(missed + unseen == 0)
}

/// What the simulator said, in one line.
struct Simulated {
    says: String,
    success: bool,
}

fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// A fresh copy of every file that git knows; what an earlier run left is gone.
fn copied(root: &Path, copy: &Path) -> Result<()> {
    if copy.exists() {
        std::fs::remove_dir_all(copy).with_context(|| format!("cannot remove {}", copy.display()))?;
    }
    for name in repo::files(root)? {
        let to = copy.join(&name);
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::copy(root.join(&name), &to).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(())
}

fn mutated(mutant: &Mutant, source: &str) -> Result<String> {
    let found = source.matches(mutant.find).count();
    ensure!(
        found == 1,
        "the mutant `{}` finds its piece {found} times in {}; bring the table up to date",
        mutant.name,
        mutant.file
    );
    Ok(source.replacen(mutant.find, mutant.put, 1))
}

/// Build the simulator and the drills of the copy. A mutant that does not build shows nothing.
fn built(copy: &Path, build: &Path) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--quiet", "--locked", "--release"])
        .args([
            "--package",
            "tieline-drill",
            "--example",
            "sim",
            "--example",
            "drills",
        ])
        .env("CARGO_TARGET_DIR", build)
        // Fast to build, fast enough to run, and with the assertions of the core.
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true")
        .env("CARGO_PROFILE_RELEASE_INCREMENTAL", "true")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env_remove("CARGO_MANIFEST_DIR")
        .current_dir(copy);
    let done = cargo.output().context("cannot run cargo")?;
    let says = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "the copy does not build: {}", says.trim());
    Ok(())
}

/// Run the simulator that was built.
fn simulated(build: &Path) -> Result<Simulated> {
    let done = example(build, "sim")
        .arg(SEEDS)
        .output()
        .context("cannot run the simulator")?;
    let (out, err) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    let code = done.status.code();
    ensure!(
        matches!(code, Some(0 | 1)),
        "the simulator did not run: {}",
        err.trim()
    );
    let broken = out.lines().find(|line| line.starts_with("tieline drill sim"));
    let says = broken.unwrap_or("every law held").chars().take(200).collect();
    Ok(Simulated {
        says,
        success: code == Some(0),
    })
}

/// An example that was built.
fn example(build: &Path, name: &str) -> Command {
    Command::new(build.join("release/examples").join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_applies() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for mutant in MUTANTS {
            let file = root.join("crates/tieline-core/src").join(mutant.file);
            let source = std::fs::read_to_string(&file).unwrap();
            assert_ne!(mutated(mutant, &source).unwrap(), source, "{}", mutant.name);
        }
    }
}
