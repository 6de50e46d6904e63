//! The spend log beside another gateway's configuration: read, laid on the grid that the configuration makes, and kept as
//! files where that was asked.
//!
//! The file of parties holds the names that stand nowhere else, and only its owner may read it. A file that is no spend log
//! is a trace, and none of this module's. Bounds: those of [`SpendReader`], a salt of [`SALT_BYTES_MAX`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use tieline_drill::{LeftOut, Rates, SpendLog, SpendReader, SpendTraffic, Traffic, Window};

use super::{new_file, unwritten, write_new};
use crate::check;
use crate::cli::SpendArgs;
use crate::import::litellm::{Lane, Observed};
use crate::import::mapping::{Counted, MappedTraffic};
use crate::output::{self, Failure, Result};

/// Bytes that are read at a time, and those by which a spend log is known.
const PIECE_BYTES: usize = 1 << 20;

/// Bytes of a salt, at most and at least.
const SALT_BYTES_MAX: u64 = 4_096;
const SALT_BYTES_MIN: usize = 16;

/// How to come by a spend log.
const HINT: &str = "export it with psql: \\copy (select * from \"LiteLLM_SpendLogs\") to 'spend.csv' csv header; or give what \
                    GET /spend/logs answers";

/// Files of calls, and what becomes of them.
#[derive(Debug)]
pub(in crate::commands) struct Log<'a> {
    pub(in crate::commands) files: &'a [PathBuf],
    /// What is written of them, where that can be asked.
    pub(in crate::commands) kept: Option<&'a SpendArgs>,
    pub(in crate::commands) window: Window,
}

/// Whether the first of the files begins as a spend log does.
pub(in crate::commands) fn is_spend_log(files: &[PathBuf]) -> bool {
    let first = files.first().filter(|file| file.is_file());
    let start = first.and_then(|file| check::read_start(file, PIECE_BYTES as u64).ok());
    start.is_some_and(|start| tieline_drill::is_spend_log(&start))
}

/// Why files that are no spend log cannot be used here.
pub(in crate::commands) fn no_spend_log(files: &[PathBuf]) -> Failure {
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    Failure::input(format!("{} is no spend log of LiteLLM's", files.join(", "))).with_hint(HINT)
}

impl Log<'_> {
    /// The log; none if the files are something else.
    pub(super) fn read(&self) -> Result<Option<SpendLog>> {
        if !is_spend_log(self.files) {
            let is_kept = self.kept.is_some_and(|kept| {
                kept.write_trace.is_some() || kept.write_parties.is_some() || kept.salt.is_some()
            });
            return if is_kept {
                Err(no_spend_log(self.files))
            } else {
                Ok(None)
            };
        }
        let salt = self.kept.and_then(|kept| kept.salt.as_deref());
        let salt = salt.map(salted).transpose()?.unwrap_or_default();
        let mut reader = SpendReader::new(&salt);
        let mut piece = vec![0; PIECE_BYTES];
        for path in self.files {
            let bad = |says: &str| unusable(path, says);
            let mut file = File::open(path).map_err(|error| bad(&check::kind(&error)))?;
            loop {
                let read = file.read(&mut piece).map_err(|error| bad(&check::kind(&error)))?;
                let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else {
                    break;
                };
                reader.feed(bytes);
            }
            reader
                .end_file()
                .map_err(|no_log| bad(&no_log.says).with_hint(HINT))?;
        }
        let log = reader.finish().map_err(|no_log| {
            let first = self.files.first().map_or(Path::new(""), PathBuf::as_path);
            unusable(first, &no_log.says).with_hint(HINT)
        })?;
        Ok(Some(log))
    }

    /// What became of its rows; whom its parties stand for is written, where that was asked.
    pub(super) fn mapped(&self, log: &SpendLog) -> Result<MappedTraffic> {
        if let Some(path) = self.kept.and_then(|kept| kept.write_parties.as_deref()) {
            write_new(path, parties(log).as_bytes(), 0o600)?;
        }
        let files: Vec<String> = self.files.iter().map(|file| file.display().to_string()).collect();
        Ok(mapped(log, files.join(", ")))
    }

    /// Write the calls as a trace, where that was asked.
    pub(super) fn keep(&self, traffic: &Traffic) -> Result<()> {
        let Some(path) = self.kept.and_then(|kept| kept.write_trace.as_deref()) else {
            return Ok(());
        };
        let mut file = new_file(path, 0o644)?;
        let written = traffic.write_calls(&mut |piece| file.write_all(piece));
        written.map_err(|error| unwritten(path, &error))
    }
}

fn unusable(path: &Path, says: &str) -> Failure {
    Failure::input(format!("cannot use the spend log {}: {says}", path.display()))
}

/// The salt that a file holds; it is made if it is not there.
fn salted(path: &Path) -> Result<Vec<u8>> {
    let bad = |says: &str| Failure::input(format!("cannot use the salt {}: {says}", path.display()));
    match check::read_start(path, SALT_BYTES_MAX) {
        Ok(bytes) if bytes.len() < SALT_BYTES_MIN => Err(bad("it has fewer than 16 bytes")),
        Ok(bytes) if bytes.len() as u64 > SALT_BYTES_MAX => Err(bad("it has more than 4,096 bytes")),
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut bytes = vec![0; 32];
            getrandom::fill(&mut bytes).map_err(|error| bad(&error.to_string()))?;
            write_new(path, &bytes, 0o600)?;
            Ok(bytes)
        }
        Err(error) => Err(bad(&check::kind(&error))),
    }
}

/// Prices of channels on which the deployments of the log that are one lane agree.
pub(super) fn observed(prices: &BTreeMap<u16, Rates>, lanes: &[Option<Lane>]) -> Observed {
    let mut seen: BTreeMap<&Lane, Vec<Rates>> = BTreeMap::new();
    for (ix, rates) in prices {
        if let Some(Some(lane)) = lanes.get(usize::from(*ix)) {
            seen.entry(lane).or_default().push(*rates);
        }
    }
    let agreed = seen.into_iter().filter_map(|((channel, model), rates)| {
        let first = *rates.first()?;
        let all = rates.iter().all(|rates| *rates == first);
        all.then(|| ((channel.to_string(), model.to_string()), first))
    });
    agreed.collect()
}

/// Whom the ids stand for, as CSV.
fn parties(log: &SpendLog) -> String {
    let rows = log
        .parties()
        .map(|(id, kind, name)| format!("{id},{},{}\n", kind.name(), output::csv_field(name)));
    std::iter::once("party,kind,name\n".to_owned())
        .chain(rows)
        .collect()
}

// === what became of the rows ===

fn mapped(log: &SpendLog, file: String) -> MappedTraffic {
    let left_out = log.left_out().iter().map(|(why, count)| {
        let (says, means) = why_left_out(*why);
        Counted {
            count: *count,
            means: means.to_owned(),
            says: says.to_owned(),
        }
    });
    MappedTraffic {
        calls: log.calls(),
        file,
        left_out: left_out.collect(),
        parties: log.parties().count() as u64,
        rows: log.rows(),
        unknown: Vec::new(),
    }
}

const fn why_left_out(why: LeftOut) -> (&'static str, &'static str) {
    match why {
        LeftOut::Failed => (
            "calls that failed, for whoever was asked failed",
            "they are left out: what had failed already, no loss takes away",
        ),
        LeftOut::FailedByCaller => (
            "calls that failed for what they asked",
            "they are left out: they would fail on any channel",
        ),
        LeftOut::FromCache => (
            "calls that LiteLLM answered from its cache",
            "they are left out: no loss of a supplier touches them",
        ),
        LeftOut::NoCall => (
            "rows that are no calls of a model: files, batches, tools, checks of health",
            "they are left out",
        ),
        LeftOut::Refused => (
            "calls that LiteLLM refused: limits, budgets, keys",
            "they are left out: limits of keys and teams stand in LiteLLM's database",
        ),
        LeftOut::TooMany => (
            "calls beyond 10 million",
            "they are left out; give a shorter time",
        ),
        LeftOut::Twice => (
            "calls that were there already, by `request_id`",
            "they are counted once",
        ),
        LeftOut::Unreadable => (
            "rows whose times or numbers cannot be read",
            "they are left out; they are not quoted, for they may hold names",
        ),
    }
}

pub(super) fn unmapped(mapped: &mut MappedTraffic, laid: &SpendTraffic) {
    let rows = [
        (
            laid.outside,
            "calls outside of --since and --until",
            "they are left out",
        ),
        (
            laid.beyond,
            "calls beyond 100,000 parties times what they ask for",
            "they are left out; give a shorter time",
        ),
        (
            laid.unknown_asks,
            "calls that ask for what the configuration does not have",
            "they are left out: it was another then, or the models are in LiteLLM's database (GET /model/info)",
        ),
        (
            laid.unknown_channels,
            "calls of which the log does not tell which deployment answered",
            "they count, but not where the report says who answered in the record",
        ),
        (
            laid.unpriced,
            "calls whose cost the log does not say: a spend of 0 is a price that LiteLLM did not know",
            "they are missing from sums of recorded spend",
        ),
    ];
    mapped.calls = laid.traffic.calls.len() as u64;
    mapped.unknown = rows
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, says, means)| Counted {
            count,
            means: means.to_owned(),
            says: says.to_owned(),
        })
        .collect();
}
