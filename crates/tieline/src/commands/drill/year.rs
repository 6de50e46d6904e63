//! `tieline drill year`: years of outages drawn from priors, and what they cost in service.

use tieline_core::receipt::DrillReceipt;
use tieline_drill::{Assumed, Downtimes, Rehearsal, Year, YearOptions, YearReport, year_page};

use super::cited::{CONFIG, Cited};
use super::flush;
use super::losses::{self, watched};
use super::page::Page;
use super::traffic::{Origin, traffic};
use crate::cli::{Cli, YearArgs, Years};
use crate::commands::grid::{World, priors};
use crate::commands::receipt;
use crate::output::{self, Failure, Result};

/// As it is typed, and as its receipts say it.
pub(super) const COMMAND: &str = "year";

/// Names of arguments in receipts.
const COMMON: &str = "common_permille";
const RUNS: &str = "runs";

pub(super) fn run(cli: &Cli, args: &YearArgs) -> Result<u8> {
    let page = Page::of(&args.page)?;
    flush(cli);
    let config = args.config.as_deref();
    let world = World::open(cli, config)?;
    let downtimes = downtimes(&args.years, &world)?;
    let origin = config.map_or(Origin::Folder, |_| Origin::Alone);
    let calls = traffic(cli, origin, (&args.traffic, args.gate), &world)?;
    let assumed = losses::assumed(args.how, args.survivors);
    let options = options(&args.years, assumed, args.traffic.seed);
    let mut cited = calls.cited;
    cited.assume(assumed);
    cited.file(CONFIG, config)?;
    cite(&mut cited, &args.years, options)?;
    let rehearsal = Rehearsal::new(&world.snapshot, &calls.traffic, calls.known);
    let report = drawn(&rehearsal, &downtimes, options)?;
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(report.text())?;
    }
    if let Some(mut page) = page {
        page.doubting(cited.doubt.as_ref());
        page.write(&year_page(page.ground(&rehearsal), &report))?;
    }
    if !args.recorded.no_receipt {
        cited.record(cli, COMMAND, &world, &report);
    }
    Ok(0)
}

/// The outages that are stated, if any are.
pub(super) fn downtimes(args: &Years, world: &World) -> Result<Downtimes> {
    match &args.priors {
        Some(file) => priors::read(file, &world.snapshot),
        None => Ok(Downtimes::default()),
    }
}

/// Say in what a receipt cites which years are drawn.
pub(super) fn cite(cited: &mut Cited, args: &Years, options: YearOptions) -> Result<()> {
    cited.say(COMMON, options.common.to_string());
    cited.say(RUNS, options.runs.to_string());
    cited.seed = Some(options.seed);
    cited.file(receipt::PRIORS, args.priors.as_deref())
}

/// Draw the years and decide the worst of them, on all cores.
pub(super) fn drawn(
    rehearsal: &Rehearsal<'_>,
    downtimes: &Downtimes,
    options: YearOptions,
) -> Result<YearReport> {
    let year = Year::new(rehearsal, downtimes, options)
        .map_err(|error| Failure::input(format!("no year can be drawn: {error}")))?;
    let runs = watched(year.runs(), "years drawn", &|ix| year.run(ix));
    let years = year.gather(runs);
    let episodes = watched(year.episodes(&years), "episodes decided", &|ix| {
        year.episode(&years, ix)
    });
    Ok(year.report(&years, episodes))
}

pub(super) fn options(args: &Years, assumed: Assumed, seed: Option<u64>) -> YearOptions {
    YearOptions {
        assumed,
        common: args.common,
        runs: args.runs,
        seed: seed.unwrap_or_default(),
    }
}

/// The options that a receipt cites; none where it says what is not known here.
pub(super) fn options_of(drill: &DrillReceipt) -> Option<YearOptions> {
    let number = |name: &str| drill.arguments.get(name)?.parse().ok();
    let (assumed, _) = losses::assumed_of(&drill.arguments)?;
    Some(YearOptions {
        assumed,
        common: number(COMMON)?,
        runs: number(RUNS)?,
        seed: drill.seed?,
    })
}
