//! `tieline drill sim`: random worlds around the live machines.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tieline_drill::{SimReport, SimRun, simulate};

use super::progress;
use crate::cli::{Cli, Sim};
use crate::output::{self, Result};

/// Threads of a simulation: a run needs one, and more than this many find no more work in a CI machine.
const SIM_THREADS_MAX: usize = 64;

pub(super) fn run(cli: &Cli, args: &Sim) -> Result<u8> {
    let first = args.seed.unwrap_or_default();
    let seeds = args.seeds.unwrap_or(if args.seed.is_some() { 1 } else { 100 });
    let bar = progress(seeds);
    let runs = runs(first, seeds, &|| bar.inc(1));
    bar.finish_and_clear();
    let report = SimReport::of(first, &runs);
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(report.text(seeds == 1))?;
    }
    Ok(u8::from(!report.holds()))
}

/// The runs of the seeds, in their order, on as many threads as the machine has cores. A run is a function of its seed, so
/// which thread makes it changes nothing.
fn runs(first: u64, seeds: u64, done: &(dyn Fn() + Sync)) -> Vec<SimRun> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, made) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(SIM_THREADS_MAX) {
            scope.spawn(|| {
                loop {
                    let ix = next.fetch_add(1, Ordering::Relaxed);
                    if ix >= seeds {
                        break;
                    }
                    let run = simulate(first.saturating_add(ix));
                    made.lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push(run);
                    done();
                }
            });
        }
    });
    let mut made = made
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    made.sort_by_key(SimRun::seed);
    made
}
