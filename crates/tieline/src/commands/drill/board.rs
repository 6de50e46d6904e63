//! `tieline drill board`: each loss, scenarios, years and a plan on one page. Each part is what its own command makes over
//! the same calls, and leaves the receipt that it leaves.

use schemars::JsonSchema;
use serde::Serialize;
use tieline_drill::{
    Bars, Basis, Contingencies, Downtimes, NMinus1Report, PlanReport, Rehearsal, Rehearsed, ScenariosReport,
    YearReport, board_page,
};

use super::cited::Cited;
use super::losses::{self, Opened};
use super::page::Page;
use super::scenario::{self, Here, Script};
use super::{plan, year};
use crate::cli::{BoardArgs, Cli};
use crate::import::mapping::Mapping;
use crate::output::{self, Result};

/// `tieline drill board --json`.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct BoardReport {
    /// Always `tieline/drill-board/v1`.
    schema: &'static str,
    /// What another gateway's files were taken to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    mapping: Option<Mapping>,
    n_1: NMinus1Report,
    /// Where a catalogue was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<PlanReport>,
    /// Where any were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    scenarios: Option<ScenariosReport>,
    year: YearReport,
}

/// A part, as its own command would leave a receipt of it.
struct Receipts {
    n_1: Cited,
    scenarios: Option<Cited>,
    year: Cited,
}

pub(super) fn run(cli: &Cli, args: &BoardArgs) -> Result<u8> {
    let mut page = Page::of(&args.page)?;
    let script = (!args.scenarios.is_empty())
        .then(|| Script::open(&args.scenarios, &args.chosen))
        .transpose()?;
    let mut opened = losses::open(cli, &args.losses, |world| world.bars.n_1)?;
    opened.ground(page.as_mut());
    // What is wrong with a file is said before anything is played.
    let downtimes = year::downtimes(&args.years, &opened.world)?;
    let catalogue = match &args.catalogue {
        Some(file) => Some((file, plan::catalogue(&opened.world, file)?)),
        None => None,
    };
    let (mut report, basis, receipts) = rehearsed(cli, args, &opened, script.as_ref(), &downtimes)?;
    if let Some((file, catalogue)) = &catalogue {
        let rulings = opened.inputs.traffic.rulings();
        report.plan = Some(plan::planned(&mut opened, (file, catalogue), false)?);
        opened.inputs.traffic.put_back(rulings);
    }
    let html = page.as_ref().map(|page| shown(page, &opened, &report, basis));
    let is_good = report.n_1.bars_missed.is_empty() && report.plan.as_ref().is_none_or(PlanReport::is_good);
    let wants_receipts = opened.wants_receipt(&args.losses);
    report.mapping = opened.mapping.take();
    told(cli, &report)?;
    losses::written(page.as_ref(), html)?;
    let world = &opened.world;
    if wants_receipts {
        receipts.n_1.record(cli, losses::ONE, world, &report.n_1);
    }
    // That there is no ledger is said once.
    if wants_receipts && opened.cited.ledger.is_some() {
        if let Some((cited, report)) = receipts.scenarios.zip(report.scenarios.as_ref()) {
            cited.record(cli, scenario::COMMAND, world, report);
        }
        receipts.year.record(cli, year::COMMAND, world, &report.year);
        if let Some(report) = &report.plan {
            opened
                .cited(&Bars::default())
                .record(cli, plan::COMMAND, world, report);
        }
    }
    Ok(u8::from(!is_good))
}

/// What needs no catalogue, and over which calls scenarios were played.
fn rehearsed(
    cli: &Cli,
    args: &BoardArgs,
    opened: &Opened,
    script: Option<&Script>,
    downtimes: &Downtimes,
) -> Result<(BoardReport, Basis, Receipts)> {
    let (inputs, world) = (&opened.inputs, &opened.world);
    let rehearsal = Rehearsal::new(&inputs.snapshot, &inputs.traffic, inputs.known.clone());
    let contingencies = Contingencies::single(&rehearsal, inputs.assumed);
    let n_1 = losses::decided(&contingencies, &inputs.bars);
    // Bars are of the losses alone, and a scenario says itself how what is out shows.
    let mut receipts = Receipts {
        n_1: opened.cited(&inputs.bars),
        scenarios: None,
        year: opened.cited(&Bars::default()),
    };

    let (mut scenarios, mut basis) = (None, inputs.traffic.basis);
    if let Some(script) = script {
        let is_alone = args.losses.config.is_some() || opened.mapping.is_some();
        let here = Here::of(cli, world, is_alone)?;
        let mut cited = opened.cited.clone();
        let steady = here.steady(&inputs.traffic, script)?;
        script.cite(&mut cited, steady.as_ref().unwrap_or(&inputs.traffic))?;
        let played = match &steady {
            None => here.played(&rehearsal, &inputs.known, script)?,
            Some(steady) => {
                basis = steady.basis;
                let rehearsal = Rehearsal::new(&inputs.snapshot, steady, inputs.known.clone());
                here.played(&rehearsal, &inputs.known, script)?
            }
        };
        receipts.scenarios = Some(cited);
        scenarios = Some(played.report);
    }

    let options = year::options(&args.years, inputs.assumed, args.losses.traffic.seed);
    year::cite(&mut receipts.year, &args.years, options)?;
    let report = BoardReport {
        schema: "tieline/drill-board/v1",
        mapping: None,
        n_1,
        plan: None,
        scenarios,
        year: year::drawn(&rehearsal, downtimes, options)?,
    };
    Ok((report, basis, receipts))
}

fn shown(page: &Page<'_>, opened: &Opened, report: &BoardReport, basis: Basis) -> String {
    let inputs = &opened.inputs;
    let rehearsal = Rehearsal::new(&inputs.snapshot, &inputs.traffic, inputs.known.clone());
    let today = Contingencies::single(&rehearsal, inputs.assumed);
    let rehearsed = Rehearsed {
        losses: &report.n_1,
        plan: report.plan.as_ref(),
        scenarios: report.scenarios.as_ref().map(|report| (report, basis)),
        year: &report.year,
    };
    board_page(page.ground(&rehearsal), rehearsed, &|gone| today.streams(gone))
}

/// The parts one after the other, with the mapping about them if there is one.
fn told(cli: &Cli, report: &BoardReport) -> Result<()> {
    if cli.json {
        return output::json(report);
    }
    let parts = [
        ("Each loss", Some(report.n_1.text())),
        ("Scenarios", report.scenarios.as_ref().map(ScenariosReport::text)),
        ("Years", Some(report.year.text())),
        ("What to buy", report.plan.as_ref().map(PlanReport::text)),
    ];
    let parts = parts.into_iter().filter_map(|(title, text)| {
        let text = text?;
        Some(format!("# {title}\n\n{}", text.trim_end()))
    });
    let parts: Vec<String> = parts.collect();
    let text = parts.join("\n\n");
    match &report.mapping {
        Some(mapping) => output::line(format!("{}\n\n{text}\n\n{}", mapping.head(), mapping.text())),
        None => output::line(text),
    }
}
