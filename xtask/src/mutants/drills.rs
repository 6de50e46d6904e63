//! Which drills see a mutant: those whose reports over the same recorded days are others than the clean core's.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::example;

/// Worlds of the simulator that are recorded as days, some 70 calls each. With 40, two mutants were seen by no drill: what
/// they break is rare, and first comes up in the 46th and the 52nd world.
const DAYS: &str = "64";

/// The drill that plays random worlds; the others rest on what the clean core recorded.
pub(super) const SIM: &str = "sim";

/// What a defect that panics is seen by.
const PANIC: &str = "a panic";

/// The digest of each drill's reports, by its name; none where the core panicked.
#[derive(Debug)]
pub(super) struct Reports(Option<BTreeMap<String, String>>);

/// Record the days, with the core that was built.
pub(super) fn record(build: &Path, days: &Path) -> Result<()> {
    let done = example(build, "drills").arg("write").arg(days).arg(DAYS).output();
    let done = done.context("cannot run the drills")?;
    let says = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "no days were recorded: {}", says.trim());
    Ok(())
}

impl Reports {
    /// Rehearse the days with the core that was built.
    pub(super) fn of(build: &Path, days: &Path) -> Result<Self> {
        let done = example(build, "drills").arg(days).output();
        let done = done.context("cannot run the drills")?;
        let says = String::from_utf8_lossy(&done.stderr);
        match done.status.code() {
            Some(0) => Self::read(&String::from_utf8_lossy(&done.stdout)),
            Some(101) => Ok(Self(None)),
            _ => anyhow::bail!("the drills did not run: {}", says.trim()),
        }
    }

    fn read(text: &str) -> Result<Self> {
        let mut reports = BTreeMap::new();
        for line in text.lines() {
            let (name, digest) = line.split_once(' ').context("a line without a digest")?;
            reports.insert(name.to_owned(), digest.to_owned());
        }
        ensure!(reports.contains_key(SIM), "the drills said nothing");
        Ok(Self(Some(reports)))
    }

    /// The drills that come to another report in `other`.
    pub(super) fn changed(&self, other: &Self) -> Vec<String> {
        match (&self.0, &other.0) {
            (Some(clean), Some(mutant)) => {
                let names = clean
                    .iter()
                    .filter(|(name, digest)| mutant.get(*name) != Some(*digest));
                names.map(|(name, _)| name.clone()).collect()
            }
            (None, None) => Vec::new(),
            _ => vec![PANIC.to_owned()],
        }
    }
}

/// What is said of a mutant.
pub(super) fn line(seen: &[String]) -> String {
    if seen.is_empty() {
        return "NO DRILL    comes to another report".to_owned();
    }
    format!(
        "            drills that come to another report: {}",
        seen.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: &str = "replay aa\nn-1 bb\nscenario cc\nsim dd\n";

    #[test]
    fn a_mutant_that_changes_nothing_is_seen_by_no_drill() {
        let clean = Reports::read(CLEAN).unwrap();
        let seen = clean.changed(&Reports::read(CLEAN).unwrap());
        assert!(seen.is_empty());
        assert!(line(&seen).starts_with("NO DRILL"));
    }

    #[test]
    fn a_mutant_is_seen_by_the_drills_that_it_changes() {
        let clean = Reports::read(CLEAN).unwrap();
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(clean.changed(&Reports::read(text).unwrap()), expected, "{text}");
        };
        check("replay aa\nn-1 b0\nscenario cc\nsim dd\n", &["n-1"]);
        check("replay a0\nn-1 bb\nscenario cc\nsim d0\n", &["replay", "sim"]);
        check("sim dd\n", &["n-1", "replay", "scenario"]);
        assert_eq!(clean.changed(&Reports(None)), [PANIC]);
        assert!(Reports::read("").is_err() && Reports::read("sim\n").is_err());
    }
}
