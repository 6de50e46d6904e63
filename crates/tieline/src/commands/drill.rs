//! `tieline drill`: rehearsal over the recorded calls of a ledger.

use tieline_drill::Replay;
use tieline_note::Digest;

use super::ledger::{failed, reader};
use crate::cli::{Cli, Drill};
use crate::output::{self, Failure, Result};
use crate::{admin_client, folder};

pub(super) fn run(cli: &Cli, command: &Drill) -> Result<u8> {
    match command {
        Drill::Replay => replay(cli),
        Drill::NMinus1(_) => Err(Failure::found("unfinished")),
    }
}

fn replay(cli: &Cli) -> Result<u8> {
    if let Some(server) = folder::server(&cli.dir) {
        let _ = admin_client::send(&cli.dir, &server, "POST", "/admin/v1/flush", None);
    }
    let reader = reader(&cli.dir)?;
    let blobs = |digest: &[u8; 32]| reader.blob(&Digest(*digest)).ok().flatten();
    let mut replay = Replay::new(&blobs);
    let size = reader.size().map_err(failed)?;
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
