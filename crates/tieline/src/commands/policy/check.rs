//! `tieline policy check`: what is refused, and what is suspicious.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tieline_policy::{COMBINATIONS_MAX, Epoch, Lints, Pack, PackProblem, Status, lint};

use super::bench::{plural, with_library};
use super::report::{LintShown, PackChecked, PolicyChecked, ProblemShown};
use crate::cli::{Cli, PolicyCheck};
use crate::load;
use crate::output::{self, Failure, Result};

pub(super) fn run(cli: &Cli, args: &PolicyCheck) -> Result<u8> {
    let (folders, known, enforce) = if args.packs.is_empty() {
        let checked = load::checked_in(&cli.dir)?;
        (checked.policy.packs, Vec::new(), checked.policy.enforce)
    } else {
        (args.packs.clone(), configured(cli), Status::ALL.to_vec())
    };
    let mut problems = Vec::new();
    for folder in &folders {
        problems.extend(problems_of(folder)?);
    }
    if !problems.is_empty() {
        return show(cli, &[], &problems, &Lints::default());
    }
    let (wanted, library) = with_library(&folders, &known)?;
    let mut all = wanted.clone();
    all.extend(library);
    let ids: BTreeSet<Arc<str>> = wanted.iter().map(|pack| pack.manifest().id.clone()).collect();
    let checked = Epoch::build(0, all.clone(), &enforce).and_then(|_| lint(&all, &ids, &enforce));
    match checked {
        Ok(lints) => show(cli, &wanted, &[], &lints),
        Err(problems) => show(cli, &wanted, &problems, &Lints::default()),
    }
}

/// The configuration's packs, if there is one: their sets may be named.
pub(super) fn configured(cli: &Cli) -> Vec<PathBuf> {
    load::checked_in(&cli.dir).map_or_else(|_| Vec::new(), |checked| checked.policy.packs)
}

fn problems_of(folder: &Path) -> Result<Vec<PackProblem>> {
    let sources = load::pack_sources(folder).map_err(Failure::input)?;
    let mut problems = Pack::parse(&sources).err().unwrap_or_default();
    for problem in &mut problems {
        problem.file = format!("{}/{}", folder.display(), problem.file).into();
    }
    Ok(problems)
}

fn show(cli: &Cli, packs: &[Pack], problems: &[PackProblem], lints: &Lints) -> Result<u8> {
    let warnings = lints.found.iter().filter(|lint| lint.kind.is_warning()).count();
    let code = match (problems.len(), warnings) {
        (0, 0) => 0,
        (0, _) => 1,
        _ => 2,
    };
    if cli.json {
        output::json(&PolicyChecked {
            schema: "tieline/policy-check/v1",
            combinations: lints.combinations,
            findings: lints.found.iter().map(LintShown::new).collect(),
            ok: code == 0,
            packs: packs.iter().map(PackChecked::new).collect(),
            problems: problems.iter().map(ProblemShown::new).collect(),
        })?;
        return Ok(code);
    }
    for problem in problems {
        output::line(format!("error: {problem}"))?;
    }
    for lint in &lints.found {
        let word = if lint.kind.is_warning() { "warning" } else { "note" };
        output::line(format!("{word}: {}:{}: {}", lint.file, lint.line, lint.says))?;
    }
    if !problems.is_empty() {
        output::line(format!(
            "{}; nothing was searched",
            plural(problems.len(), "problem")
        ))?;
        return Ok(code);
    }
    let rules = packs.iter().map(|pack| pack.rules().len()).sum();
    output::line(format!(
        "{}, {}: {}, {}. Searched {} combinations of facts, at most {COMBINATIONS_MAX} for a rule at one instant.",
        plural(packs.len(), "pack"),
        plural(rules, "rule"),
        plural(warnings, "warning"),
        plural(lints.found.len() - warnings, "note"),
        lints.combinations
    ))?;
    Ok(code)
}
