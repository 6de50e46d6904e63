//! `tieline drill sim`: random worlds around the live machines.

use tieline_drill::{SimReport, simulate};

use super::{in_parallel, progress};
use crate::cli::{Cli, Sim};
use crate::output::{self, Result};

pub(super) fn run(cli: &Cli, args: &Sim) -> Result<u8> {
    let first = args.seed.unwrap_or_default();
    let seeds = args.seeds.unwrap_or(if args.seed.is_some() { 1 } else { 100 });
    let bar = progress(seeds, "runs");
    // A run is a function of its seed.
    let count = usize::try_from(seeds).unwrap_or(usize::MAX);
    let runs = in_parallel(count, &|ix| {
        let run = simulate(first.saturating_add(ix as u64));
        bar.inc(1);
        run
    });
    bar.finish_and_clear();
    let report = SimReport::of(first, &runs);
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(report.text(seeds == 1))?;
    }
    Ok(u8::from(!report.holds()))
}
