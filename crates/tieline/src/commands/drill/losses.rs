//! `tieline drill n-1`: each channel and each component gone in turn.

use std::collections::BTreeMap;
use std::sync::Arc;

use tieline_core::Snapshot;
use tieline_core::receipt::{LedgerCited, TrafficBasis, TrafficCited};
use tieline_drill::{Basis, NMinus1Report, Traffic, n_minus_1, structure_digest};

use super::{flush, progress};
use crate::cli::{Cli, NMinus1};
use crate::commands::grid::{World, traffic_of};
use crate::commands::imported::{self, LossesImported};
use crate::commands::ledger::reader;
use crate::commands::receipt::{self, Ran};
use crate::output::{self, Failure, Result};

/// As it is typed, and as its receipts say it.
pub(super) const COMMAND: &str = "n-1";

pub(super) fn run(cli: &Cli, args: &NMinus1) -> Result<u8> {
    if !args.foreign.litellm.is_empty() {
        return litellm(cli, args);
    }
    flush(cli);
    let config = args.config.as_deref();
    let world = World::open(cli, config)?;
    let ledger = receipt::ledger(&cli.dir)?;
    let read = ledger.filter(|_| config.is_none());
    let (traffic, cited) = traffic(cli, &world, read)?;
    let report = rehearsed(&world.snapshot, &traffic);
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(report.text())?;
    }
    if !args.recorded.no_receipt {
        let mut arguments = BTreeMap::new();
        if let Some(config) = config {
            arguments.insert("config".into(), receipt::file_digest(config)?);
        }
        let asks_policy = traffic.basis == Basis::Structure && !world.parties.is_empty();
        let ran = Ran {
            arguments,
            command: COMMAND,
            grid: Some(world.snapshot.clone()),
            ledger,
            policy: asks_policy.then(|| receipt::policy(world.judge())),
            traffic: Some(cited),
            ..Ran::default()
        };
        receipt::record(cli, ran, &report);
    }
    Ok(0)
}

/// Over another gateway's configuration. It leaves a receipt as any other, where there is a ledger.
fn litellm(cli: &Cli, args: &NMinus1) -> Result<u8> {
    let imported = imported::open(&args.foreign)?;
    let world = &imported.world;
    let (traffic, cited) = traffic(cli, world, None)?;
    let report = rehearsed(&world.snapshot, &traffic);
    let text = report.text();
    let object = LossesImported {
        schema: "tieline/drill-n-1-litellm/v1",
        mapping: imported.mapping,
        report,
    };
    imported::print(cli.json, &object, &object.mapping, &text)?;
    if let Some(ledger) = receipt::ledger(&cli.dir)?.filter(|_| !args.recorded.no_receipt) {
        let ran = Ran {
            arguments: BTreeMap::from([("litellm".into(), imported::digest(&args.foreign)?)]),
            command: COMMAND,
            grid: Some(world.snapshot.clone()),
            ledger: Some(ledger),
            traffic: Some(cited),
            ..Ran::default()
        };
        receipt::record(cli, ran, &object.report);
    }
    Ok(0)
}

/// The calls of the first entries of a ledger; where there are none, one for each thing that each party may ask for.
pub(super) fn traffic(
    cli: &Cli,
    world: &World,
    ledger: Option<LedgerCited>,
) -> Result<(Traffic, TrafficCited)> {
    if let Some(ledger) = ledger {
        let traffic = traffic_of(&reader(&cli.dir)?, ledger.entries)?;
        if !traffic.calls.is_empty() {
            return Ok((traffic, receipt::of_ledger(ledger)));
        }
    }
    let (traffic, digest) = world.with_parties(|parties| {
        let digest = structure_digest(&world.snapshot, parties);
        (Traffic::synthetic(&world.snapshot, parties), digest)
    });
    let digest = digest.ok_or_else(|| Failure::found("the grid has no canonical form"))?;
    let basis = TrafficBasis::Structure;
    Ok((traffic, TrafficCited { basis, digest }))
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
