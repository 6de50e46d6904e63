//! `tieline policy check`: what is refused, and what is suspicious.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tieline_policy::{COMBINATIONS_MAX, Epoch, Lints, Pack, PackProblem, Status, lint};

use super::bench::{plural, with_library};
use super::report::{LintShown, PackChecked, PolicyChecked, ProblemShown, Signed};
use crate::cli::{Cli, PolicyCheck};
use crate::load;
use crate::output::{self, Failure, Result};

pub(super) fn run(cli: &Cli, args: &PolicyCheck) -> Result<u8> {
    let is_configured = args.packs.is_empty();
    let checked = load::checked_in(&cli.dir);
    // Without a configuration no keys are trusted with packs, and nobody is asked for.
    let trusted = match &checked {
        Ok(checked) => load::pack_signers(checked).map_err(Failure::input)?,
        Err(_) => None,
    };
    let (folders, known, enforce) = if is_configured {
        let policy = checked?.policy;
        (policy.packs, Vec::new(), policy.enforce)
    } else {
        let known = checked.map_or_else(|_| Vec::new(), |checked| checked.policy.packs);
        (args.packs.clone(), known, Status::ALL.to_vec())
    };
    let mut problems = Vec::new();
    for folder in &folders {
        problems.extend(problems_of(folder)?);
    }
    if !problems.is_empty() {
        return show(cli, &[], &problems, &Lints::default());
    }
    let (wanted, library) = with_library(&folders, &known)?;
    let signed = |(folder, pack): (&PathBuf, &Pack)| {
        let trusted = trusted.as_ref()?;
        Some(load::signed_by(folder, pack, trusted))
    };
    let signed: Vec<Signed> = folders.iter().zip(&wanted).map(signed).collect();
    // A pack that somebody is at work on need not be signed yet; one of the configuration must be.
    if is_configured {
        for (folder, signed) in folders.iter().zip(&signed) {
            if let Some(Err(problem)) = signed {
                problems.push(placed(folder, problem.clone()));
            }
        }
    }
    if !problems.is_empty() {
        return show(cli, &[], &problems, &Lints::default());
    }
    let packs: Vec<(&Pack, &Signed)> = wanted.iter().zip(&signed).collect();
    let mut all = wanted.clone();
    all.extend(library);
    let ids: BTreeSet<Arc<str>> = wanted.iter().map(|pack| pack.manifest().id.clone()).collect();
    let checked = Epoch::build(0, all.clone(), &enforce).and_then(|_| lint(&all, &ids, &enforce));
    match checked {
        Ok(lints) => show(cli, &packs, &[], &lints),
        Err(problems) => show(cli, &packs, &problems, &Lints::default()),
    }
}

/// The configuration's packs, if there is one: their sets may be named.
pub(super) fn configured(cli: &Cli) -> Vec<PathBuf> {
    load::checked_in(&cli.dir).map_or_else(|_| Vec::new(), |checked| checked.policy.packs)
}

fn problems_of(folder: &Path) -> Result<Vec<PackProblem>> {
    let sources = load::pack_sources(folder).map_err(Failure::input)?;
    let problems = Pack::parse(&sources).err().unwrap_or_default();
    Ok(problems
        .into_iter()
        .map(|problem| placed(folder, problem))
        .collect())
}

fn placed(folder: &Path, problem: PackProblem) -> PackProblem {
    PackProblem {
        file: format!("{}/{}", folder.display(), problem.file).into(),
        ..problem
    }
}

fn show(cli: &Cli, packs: &[(&Pack, &Signed)], problems: &[PackProblem], lints: &Lints) -> Result<u8> {
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
            packs: packs
                .iter()
                .map(|(pack, signed)| PackChecked::new(pack, signed))
                .collect(),
            problems: problems.iter().map(ProblemShown::new).collect(),
        })?;
        return Ok(code);
    }
    for problem in problems {
        output::line(format!("error: {problem}"))?;
    }
    for (pack, signed) in packs {
        let id = &pack.manifest().id;
        match signed {
            None => {}
            Some(Ok(names)) => output::line(format!("{id}: signed by {}", names.join(", ")))?,
            Some(Err(problem)) => output::line(format!("note: {id}: {}", problem.says))?,
        }
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
    let rules = packs.iter().map(|(pack, _)| pack.rules().len()).sum();
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
