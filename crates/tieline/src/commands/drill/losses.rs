//! `tieline drill n-1`: each channel and each component gone in turn.

use std::path::Path;

use tieline_drill::{Traffic, n_minus_1};

use super::{flush, progress};
use crate::cli::Cli;
use crate::commands::grid::{World, recorded};
use crate::output::{self, Result};

pub(super) fn run(cli: &Cli, config: Option<&Path>) -> Result<u8> {
    flush(cli);
    let world = World::open(cli, config)?;
    let traffic = match recorded(cli, config)? {
        Some(traffic) => traffic,
        None => world.with_parties(|parties| Traffic::synthetic(&world.snapshot, parties)),
    };
    let bar = progress(0);
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
