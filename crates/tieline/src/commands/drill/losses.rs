//! `tieline drill n-1`: each channel and each component gone in turn.

use std::sync::Arc;

use tieline_core::Snapshot;
use tieline_drill::{Basis, NMinus1Report, Traffic, n_minus_1};

use super::traffic::traffic;
use super::{flush, progress};
use crate::cli::{Cli, NMinus1};
use crate::commands::grid::World;
use crate::commands::receipt::{self, Ran};
use crate::output::{self, Result};

/// As it is typed, and as its receipts say it.
pub(super) const COMMAND: &str = "n-1";

pub(super) fn run(cli: &Cli, args: &NMinus1) -> Result<u8> {
    flush(cli);
    let config = args.config.as_deref();
    let world = World::open(cli, config)?;
    let calls = traffic(cli, config, &args.traffic, &world)?;
    let report = rehearsed(&world.snapshot, &calls.traffic);
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(report.text())?;
    }
    if args.recorded.no_receipt {
        return Ok(0);
    }
    if let Some(doubt) = calls.doubt {
        output::progress(format!("no receipt: {doubt}"));
        return Ok(0);
    }
    let mut arguments = calls.arguments;
    if let Some(config) = config {
        arguments.insert("config".into(), receipt::file_digest(config)?);
    }
    let asks_policy = calls.traffic.basis != Basis::Recorded && !world.parties.is_empty();
    let ran = Ran {
        arguments,
        command: COMMAND,
        grid: Some(world.snapshot.clone()),
        ledger: calls.ledger,
        policy: asks_policy.then(|| receipt::policy(world.judge())),
        seed: calls.seed,
        traffic: Some(calls.cited),
        ..Ran::default()
    };
    receipt::record(cli, ran, &report);
    Ok(0)
}

pub(super) fn rehearsed(snapshot: &Arc<Snapshot>, traffic: &Traffic) -> NMinus1Report {
    let bar = progress(0);
    let report = n_minus_1(snapshot, traffic, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    report
}
