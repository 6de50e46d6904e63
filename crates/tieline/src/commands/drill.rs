//! `tieline drill`: rehearsal over the recorded calls of a ledger.

use std::path::Path;

use tieline_drill::{Replay, Traffic, n_minus_1};
use tieline_note::Digest;

use super::grid::{World, recorded};
use super::ledger::{failed, reader};
use crate::cli::{Cli, Drill};
use crate::output::{self, Failure, Result};
use crate::{admin_client, folder};

pub(super) fn run(cli: &Cli, command: &Drill) -> Result<u8> {
    // What a running server has queued becomes durable first, so that calls just made count.
    if let Some(server) = folder::server(&cli.dir) {
        let _ = admin_client::send(&cli.dir, &server, "POST", "/admin/v1/flush", None);
    }
    match command {
        Drill::Replay => replay(cli),
        Drill::NMinus1(args) => losses(cli, args.config.as_deref()),
    }
}

fn replay(cli: &Cli) -> Result<u8> {
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
