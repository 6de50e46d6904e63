//! `tieline drill replay`: every recorded call decided again, from its own record.

use tieline_drill::Replay;
use tieline_note::Digest;

use super::flush;
use crate::cli::Cli;
use crate::commands::ledger::{failed, reader};
use crate::output::{self, Failure, Result};

pub(super) fn run(cli: &Cli) -> Result<u8> {
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
