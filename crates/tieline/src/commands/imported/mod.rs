//! `--litellm`: the drill and the grid over another gateway's configuration, with nothing in the path of a call.
//!
//! Its log of calls is read first ([`log`]), for patterns of names stand only for what somebody asked for; then the
//! configuration is turned into one of ours, and checked like any other, and the calls are laid on it. What is written
//! holds no credential, and overwrites nothing.

mod log;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use tieline_drill::{GridReport, Onto, SpendLog, Traffic};
use tieline_note::sha256;

pub(super) use self::log::{Log, is_spend_log, no_spend_log};
use super::grid::World;
use crate::check::{self, FILE_BYTES_MAX};
use crate::cli::Foreign;
use crate::import;
use crate::import::litellm::Import;
use crate::import::mapping::Mapping;
use crate::output::{self, Failure, Result};

/// `tieline drill n-1 --litellm`, `n-2` or `plan`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct LossesImported<R> {
    /// `tieline/drill-n-1-litellm/v1`, or that of `n-2` or `plan`.
    pub(super) schema: &'static str,
    pub(super) mapping: Mapping,
    pub(super) report: R,
}

/// `tieline grid --litellm`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct GridImported {
    /// Always `tieline/grid-litellm/v1`.
    pub(super) schema: &'static str,
    pub(super) mapping: Mapping,
    pub(super) report: GridReport,
}

/// A grid that another gateway's files make.
pub(super) struct Imported {
    pub(super) mapping: Mapping,
    /// The calls of its log, if one was given.
    pub(super) traffic: Option<Traffic>,
    pub(super) world: World,
}

/// Read the files, and write what was asked to be written.
pub(super) fn open(args: &Foreign, log: &Log<'_>) -> Result<Imported> {
    let spend = log.read()?;
    let paths: Vec<&Path> = args.litellm.iter().map(PathBuf::as_path).collect();
    let read = |path: &Path| check::read_start(path, FILE_BYTES_MAX);
    let asked = spend.as_ref().map(SpendLog::asked).unwrap_or_default();
    let mut import = Import::open(&paths, &asked, &read)?;
    let deployed = spend.as_ref().map(SpendLog::deployed).unwrap_or_default();
    let lanes = import.lanes(deployed);
    let pools = import.pools(deployed, &lanes);
    let prices = spend.as_ref().map(SpendLog::prices).unwrap_or_default();
    let converted = import.convert(&log::observed(&prices, &lanes));
    let name = format!(
        "{} (as tieline's configuration)",
        converted.mapping.files.join(", ")
    );
    let checked = import::checked(&name, &converted.toml)?;
    let world = World::of(&checked, &converted.toml, None)?;
    if let Some(path) = &args.write_config {
        write_new(path, converted.toml.as_bytes(), 0o644)?;
    }
    let mut mapping = converted.mapping;
    let traffic = match spend {
        None => None,
        Some(spend) => {
            let mut mapped = log.mapped(&spend)?;
            let onto = Onto {
                parties: &[],
                snapshot: &world.snapshot,
            };
            let laid = spend.onto(onto, log.window, &pools, &lanes);
            log::unmapped(&mut mapped, &laid);
            log.keep(&laid.traffic)?;
            mapping.traffic = Some(mapped);
            Some(laid.traffic)
        }
    };
    Ok(Imported {
        mapping,
        traffic,
        world,
    })
}

/// Print a report with its mapping: one object, or the answer and then what it rests on.
pub(super) fn print(json: bool, object: &impl Serialize, mapping: &Mapping, text: &str) -> Result<()> {
    if json {
        return output::json(object);
    }
    output::line(format!(
        "{}\n\n{}\n\n{}",
        mapping.head(),
        text.trim_end(),
        mapping.text()
    ))
}

/// What a receipt cites of the files: one digest of all, in the order in which they were given.
pub(super) fn digest(args: &Foreign) -> Result<Arc<str>> {
    let mut all = Vec::new();
    for path in &args.litellm {
        let bytes = check::read_start(path, FILE_BYTES_MAX);
        let bytes = bytes.map_err(|error| {
            Failure::input(format!("cannot read {}: {}", path.display(), check::kind(&error)))
        })?;
        all.extend(sha256(&bytes).0);
    }
    Ok(sha256(&all).to_string().into())
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let written = new_file(path, mode)?.write_all(bytes);
    written.map_err(|error| unwritten(path, &error))
}

/// A file that was not there: nothing is overwritten.
fn new_file(path: &Path, mode: u32) -> Result<File> {
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    opened.map_err(|error| unwritten(path, &error))
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    Failure::input(format!("cannot write {}: {}", path.display(), check::kind(error)))
}
