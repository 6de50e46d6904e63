//! `tieline policy test`: the cases of packs, through the same engine as calls.

use std::sync::Arc;

use tieline_policy::{Case, CaseOutcome, Pack, cases};

use super::bench::{lines, plural, ruling, with_library};
use super::check::configured;
use super::report::{CaseFailed, PackTested, PolicyTested};
use crate::cli::{Cli, PolicyTest};
use crate::load;
use crate::output::{self, Failure, Result};

pub(super) fn run(cli: &Cli, args: &PolicyTest) -> Result<u8> {
    let (folders, known) = if args.packs.is_empty() {
        (load::checked_in(&cli.dir)?.policy.packs, Vec::new())
    } else {
        (args.packs.clone(), configured(cli))
    };
    let (wanted, library) = with_library(&folders, &known)?;
    let mut report = PolicyTested {
        schema: "tieline/policy-test/v1",
        failed: 0,
        failures: Vec::new(),
        packs: Vec::new(),
        passed: 0,
    };
    for pack in &wanted {
        // Rules of packs that it does not name are none of its cases' business.
        let needs = pack.needs();
        let others = wanted.iter().chain(&library);
        let named: Vec<Pack> = others
            .filter(|other| needs.contains(&other.manifest().id))
            .cloned()
            .collect();
        let epoch = cases::bench(pack, &named).map_err(|problems| Failure::input(lines(&problems)))?;
        let failed_before = report.failed;
        for case in pack.cases() {
            let outcome = cases::run(&epoch, case);
            if outcome == CaseOutcome::Pass {
                report.passed += 1;
                if args.verbose && !cli.json {
                    output::line(format!("pass: {}", title(pack, case)))?;
                }
            } else {
                report.failed += 1;
                report.failures.push(failure(pack, case, outcome));
            }
        }
        report.packs.push(PackTested {
            cases: pack.cases().len(),
            failed: report.failed - failed_before,
            id: pack.manifest().id.clone(),
        });
    }
    show(cli, &report)?;
    Ok(u8::from(report.failed > 0))
}

fn title(pack: &Pack, case: &Case) -> String {
    format!(
        "{}/{}:{}: {}",
        pack.manifest().id,
        case.file,
        case.line,
        case.says
    )
}

fn failure(pack: &Pack, case: &Case, outcome: CaseOutcome) -> CaseFailed {
    let mut brings = None;
    let (found, found_rules, missing) = match outcome {
        CaseOutcome::BringsElse {
            consumes,
            obligations,
        } => {
            brings = Some(format!(
                "consumes [{}], obliges [{}]",
                consumes.join(", "),
                obligations.join(", ")
            ));
            (ruling(case.expect), case.rules.clone(), None)
        }
        CaseOutcome::Differs { found, rules } => (ruling(found), rules, None),
        CaseOutcome::FavoursMissing { fact } => (ruling(case.expect), case.rules.clone(), Some(fact)),
        CaseOutcome::Pass => (ruling(case.expect), case.rules.clone(), None),
    };
    CaseFailed {
        brings,
        expected: ruling(case.expect),
        expected_rules: case.rules.clone(),
        favours_missing: missing,
        file: format!("{}/{}", pack.manifest().id, case.file).into(),
        found,
        found_rules,
        line: case.line,
        says: case.says.clone(),
    }
}

fn show(cli: &Cli, report: &PolicyTested) -> Result<()> {
    if cli.json {
        return output::json(report);
    }
    let by = |rules: &[Arc<str>]| match rules {
        [] => String::new(),
        rules => format!(" by {}", rules.join(", ")),
    };
    for case in &report.failures {
        output::line(format!("FAIL: {}:{}: {}", case.file, case.line, case.says))?;
        if let Some(fact) = &case.favours_missing {
            output::line(format!("  without the fact {fact} the call would be allowed"))?;
            continue;
        }
        output::line(format!(
            "  expected {}{}",
            case.expected,
            by(&case.expected_rules)
        ))?;
        output::line(format!("  found    {}{}", case.found, by(&case.found_rules)))?;
    }
    for pack in &report.packs {
        let passed = pack.cases - pack.failed;
        output::line(format!(
            "{}: {passed} of {} passed",
            pack.id,
            plural(pack.cases, "case")
        ))?;
    }
    output::line(format!(
        "{} of {}: {} passed, {} failed",
        plural(report.passed + report.failed, "case"),
        plural(report.packs.len(), "pack"),
        report.passed,
        report.failed
    ))
}
