//! `tieline drill replay`: whether recorded calls predict themselves, and each decided again, from its own record.

use tieline_drill::{Replay, ReplayReport};
use tieline_ledger::Reader;
use tieline_note::Digest;

use super::flush;
use crate::cli::{Cli, Recorded};
use crate::commands::ledger::{failed, reader};
use crate::commands::receipt::{self, Ran};
use crate::output::{self, Failure, Result};

/// As it is typed, and as its receipts say it.
pub(super) const COMMAND: &str = "replay";

pub(super) fn run(cli: &Cli, args: &Recorded) -> Result<u8> {
    flush(cli);
    let reader = reader(&cli.dir)?;
    let entries = reader.size().map_err(|error| failed(&error))?;
    let ledger = receipt::first(&reader, entries)?;
    let report = replayed(&reader, entries)?;
    drop(reader);
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(report.text())?;
    }
    if !report.agrees() {
        output::progress("no receipt: a ledger that does not replay is kept as it is");
    } else if !args.no_receipt {
        let ran = Ran {
            command: COMMAND,
            ledger: Some(ledger),
            traffic: Some(receipt::of_ledger(ledger)),
            ..Ran::default()
        };
        receipt::record(cli, ran, &report);
    }
    Ok(u8::from(!report.reproduces()))
}

/// Replay the first entries of a ledger.
pub(super) fn replayed(reader: &Reader, entries: u64) -> Result<ReplayReport> {
    let blobs = |digest: &[u8; 32]| reader.blob(&Digest(*digest)).ok().flatten();
    let mut replay = Replay::new(&blobs);
    reader.for_each(0..entries, |index, entry| {
        replay.entry(index, entry);
        Ok::<(), Failure>(())
    })?;
    Ok(replay.finish())
}
