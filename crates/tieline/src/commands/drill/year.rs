//! `tieline drill year`: years of outages drawn from priors, and what they cost in service.

use std::collections::BTreeMap;
use std::sync::Arc;

use tieline_core::receipt::DrillReceipt;
use tieline_drill::{Bars, Basis, Downtimes, Rehearsal, Year, YearOptions, YearReport, year_page};

use super::facts::Facts;
use super::flush;
use super::losses::{self, HOW, Inputs, SURVIVORS, watched};
use super::page::Page;
use super::traffic::{Calls, Origin, traffic};
use crate::cli::{Cli, YearArgs};
use crate::commands::grid::{World, priors};
use crate::commands::receipt::{self, Ran};
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
    let downtimes = match &args.priors {
        Some(file) => priors::read(file, &world.snapshot)?,
        None => Downtimes::default(),
    };
    let (origin, facts) = match config {
        Some(_) => (Origin::Alone, Facts::default()),
        None => (Origin::Folder, Facts::of(cli)?),
    };
    let mut calls = traffic(cli, origin, (&args.traffic, args.gate), &world, &facts)?;
    let digest = facts.digest()?.map(|digest| (Facts::ARGUMENT.into(), digest));
    calls.arguments.extend(digest);
    let ran = ran(args, &world, &calls)?;
    let options = options(args);
    let inputs = Inputs {
        assumed: options.assumed,
        bars: Bars::default(),
        known: facts.known(calls.receipts),
        snapshot: world.snapshot.clone(),
        traffic: calls.traffic,
    };
    let report = drawn(&inputs, &downtimes, options)?;
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(report.text())?;
    }
    if let Some(mut page) = page {
        page.doubting(calls.doubt.as_ref());
        let rehearsal = Rehearsal::new(&inputs.snapshot, &inputs.traffic, inputs.known.clone());
        page.write(&year_page(page.ground(&rehearsal), &report))?;
    }
    if !args.recorded.no_receipt {
        match calls.doubt {
            Some(doubt) => output::progress(format!("no receipt: {doubt}")),
            None => receipt::record(cli, ran, &report),
        }
    }
    Ok(0)
}

/// Draw the years and decide the worst of them, on all cores.
pub(super) fn drawn(inputs: &Inputs, downtimes: &Downtimes, options: YearOptions) -> Result<YearReport> {
    let rehearsal = Rehearsal::new(&inputs.snapshot, &inputs.traffic, inputs.known.clone());
    let year = Year::new(&rehearsal, downtimes, options)
        .map_err(|error| Failure::input(format!("no year can be drawn: {error}")))?;
    let runs = watched(year.runs(), "years drawn", &|ix| year.run(ix));
    let years = year.gather(runs);
    let episodes = watched(year.episodes(&years), "episodes decided", &|ix| {
        year.episode(&years, ix)
    });
    Ok(year.report(&years, episodes))
}

const fn options(args: &YearArgs) -> YearOptions {
    YearOptions {
        assumed: losses::assumed(args.how, args.survivors),
        common: args.common,
        runs: args.runs,
        seed: match args.traffic.seed {
            Some(seed) => seed,
            None => 0,
        },
    }
}

/// What a receipt cites of the run.
fn ran(args: &YearArgs, world: &World, calls: &Calls) -> Result<Ran> {
    let options = options(args);
    let mut arguments: BTreeMap<Arc<str>, Arc<str>> = calls.arguments.clone();
    let mut say = |name: &str, value: String| arguments.insert(name.into(), value.into());
    say(COMMON, options.common.to_string());
    say(HOW, options.assumed.loss.name().to_owned());
    say(RUNS, options.runs.to_string());
    say(SURVIVORS, options.assumed.survivors.to_string());
    for (name, file) in [("config", &args.config), (receipt::PRIORS, &args.priors)] {
        if let Some(file) = file {
            say(name, receipt::file_digest(file)?.to_string());
        }
    }
    let asks_policy = calls.traffic.basis != Basis::Recorded && !world.parties.is_empty();
    Ok(Ran {
        arguments,
        command: COMMAND,
        grid: Some(world.snapshot.clone()),
        ledger: calls.ledger,
        policy: asks_policy.then(|| receipt::policy(world.judge())),
        seed: Some(options.seed),
        traffic: Some(calls.cited),
        ..Ran::default()
    })
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
