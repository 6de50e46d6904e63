//! `tieline grid versions`: which version of a model reached which channel when, and who waits how long.

use std::path::Path;

use tieline_core::Tick;
use tieline_drill::VersionsReader;
use tieline_note::Digest;

use super::World;
use crate::cli::Cli;
use crate::commands::ledger::{failed, reader};
use crate::commands::serve;
use crate::output::{self, Failure, Result};

pub(super) fn run(cli: &Cli, config: Option<&Path>) -> Result<u8> {
    let world = World::open(cli, config)?;
    let now = Tick(serve::now_us());
    // A configuration alone has no history.
    let report = if config.is_none() && cli.dir.join("ledger.db").exists() {
        let ledger = reader(&cli.dir)?;
        let blobs = |digest: &[u8; 32]| ledger.blob(&Digest(*digest)).ok().flatten();
        let mut versions = VersionsReader::new(&blobs);
        let size = ledger.size().map_err(|error| failed(&error))?;
        ledger.for_each(0..size, |index, entry| {
            versions.entry(index, entry);
            Ok::<(), Failure>(())
        })?;
        world.with_parties(|parties| versions.finish(&world.snapshot, parties, now))
    } else {
        world.with_parties(|parties| VersionsReader::new(&|_| None).finish(&world.snapshot, parties, now))
    };
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(report.text())?;
    }
    Ok(0)
}
