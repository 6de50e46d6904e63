//! `tieline drill`: rehearsal over the recorded calls of a ledger, and in random worlds.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tieline_drill::{Replay, SimReport, SimRun, Traffic, n_minus_1, simulate};
use tieline_note::Digest;

use super::grid::{World, recorded};
use super::ledger::{failed, reader};
use crate::cli::{Cli, Drill, Sim};
use crate::output::{self, Failure, Result};
use crate::{admin_client, folder};

/// Threads of a simulation: a run needs one, and more than this many find no more work in a CI machine.
const SIM_THREADS_MAX: usize = 64;

pub(super) fn run(cli: &Cli, command: &Drill) -> Result<u8> {
    match command {
        Drill::Replay => replay(cli),
        Drill::NMinus1(args) => losses(cli, args.config.as_deref()),
        Drill::Sim(args) => sim(cli, args),
    }
}

/// What a running server has queued becomes durable first, so that calls just made count.
fn flush(cli: &Cli) {
    if let Some(server) = folder::server(&cli.dir) {
        let _ = admin_client::send(&cli.dir, &server, "POST", "/admin/v1/flush", None);
    }
}

fn replay(cli: &Cli) -> Result<u8> {
    flush(cli);
    let reader = reader(&cli.dir)?;
    let blobs = |digest: &[u8; 32]| reader.blob(&Digest(*digest)).ok().flatten();
    let mut replay = Replay::new(&blobs);
    let size = reader.size().map_err(|error| failed(&error))?;
    reader.for_each(0..size, |index, entry| {
        replay.entry(index, entry);
        Ok::<(), Failure>(())
    })?;
    let report = replay.finish();
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(report.text())?;
    }
    Ok(u8::from(!report.differences.is_empty()))
}

fn losses(cli: &Cli, config: Option<&Path>) -> Result<u8> {
    flush(cli);
    let world = World::open(cli, config)?;
    let traffic = match recorded(cli, config)? {
        Some(traffic) => traffic,
        None => world.with_parties(|parties| Traffic::synthetic(&world.snapshot, parties)),
    };
    let bar = if output::is_terminal() {
        indicatif::ProgressBar::new(0)
    } else {
        indicatif::ProgressBar::hidden()
    };
    let report = n_minus_1(&world.snapshot, &traffic, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(report.text())?;
    }
    Ok(0)
}

fn sim(cli: &Cli, args: &Sim) -> Result<u8> {
    let first = args.seed.unwrap_or_default();
    let seeds = args.seeds.unwrap_or(if args.seed.is_some() { 1 } else { 100 });
    let bar = if output::is_terminal() {
        indicatif::ProgressBar::new(seeds)
    } else {
        indicatif::ProgressBar::hidden()
    };
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
