//! Receipts of drills: whoever runs one has, by default, an entry in the ledger that cites by digest what it ran on and
//! what came out, so that the same can be made again. It goes through the admin API of a running server; else into the
//! ledger, under the folder's lock.
//!
//! A receipt that cannot be recorded is a note beside the result, and no failure: a drill also runs where nothing may be
//! written. No key and no ledger is made here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use tieline_core::receipt::{
    DrillReceipt, EngineCited, LedgerCited, PolicyCited, RECEIPT_V1, Receipt, ReceiptEntry, TrafficBasis,
    TrafficCited,
};
use tieline_core::record::Hex32;
use tieline_core::{CallId, GridRecord, Snapshot, Tick};
use tieline_drill::{Receipts, open_grid};
use tieline_gateway::{Lock, Role, State};
use tieline_ledger::{Log, Reader};
use tieline_note::{Digest, jcs, sha256};
use tieline_policy::Judge;

use super::ledger::{failed, reader};
use super::serve::now_us;
use crate::cli::Cli;
use crate::output::{self, Failure, Result};
use crate::{admin_client, folder};

/// The argument that cites a catalogue. Its bytes are kept nowhere, so such a drill is not made again from its receipt.
pub(super) const CATALOGUE: &str = "catalogue";
/// The argument that cites a file of priors, which is not kept either.
pub(super) const PRIORS: &str = "priors";

/// What a drill ran on, and with which options.
#[derive(Debug, Default)]
pub(super) struct Ran {
    /// By name; a file by [`file_digest`].
    pub(super) arguments: BTreeMap<Arc<str>, Arc<str>>,
    /// As it is typed, such as `n-1`.
    pub(super) command: &'static str,
    /// Its record is archived with the receipt.
    pub(super) grid: Option<Arc<Snapshot>>,
    pub(super) ledger: Option<LedgerCited>,
    pub(super) policy: Option<PolicyCited>,
    pub(super) scenario: Option<Hex32>,
    pub(super) seed: Option<u64>,
    pub(super) traffic: Option<TrafficCited>,
}

impl Ran {
    /// Whether a ledger and its state folder hold all that it ran on: the files of scenarios, directives, traces,
    /// catalogues and priors they do not.
    fn is_held(&self) -> bool {
        let is_trace = |cited: TrafficCited| cited.basis == TrafficBasis::Trace;
        let is_of_file = [CATALOGUE, PRIORS]
            .iter()
            .any(|name| self.arguments.contains_key(*name));
        self.scenario.is_none() && !is_of_file && !self.traffic.is_some_and(is_trace)
    }
}

/// Record what a drill came to, and say so beside its result; or say why not.
pub(super) fn record(cli: &Cli, ran: Ran, report: &impl Serialize) {
    let is_held = ran.is_held();
    match recorded(cli, ran, report) {
        Ok(id) if is_held => output::progress(format!(
            "receipt {id}; `tieline drill receipts --check {id}` makes it again"
        )),
        Ok(id) => output::progress(format!(
            "receipt {id}; `tieline drill receipts {id}` shows what it cites"
        )),
        Err(why) => output::progress(format!("no receipt: {}", why.message)),
    }
}

fn recorded(cli: &Cli, ran: Ran, report: &impl Serialize) -> Result<String> {
    let reader = reader(&cli.dir)?;
    let grid = ran
        .grid
        .as_ref()
        .map(|grid| record_of(&reader, grid))
        .transpose()?;
    let receipt = Receipt::Drill(Box::new(DrillReceipt {
        arguments: ran.arguments,
        by: None,
        command: ran.command.into(),
        engine: engine()?,
        grid: ran.grid.map(|grid| Hex32(grid.digest)),
        ledger: ran.ledger,
        policy: ran.policy,
        result: result_digest(report)?,
        scenario: ran.scenario,
        seed: ran.seed,
        traffic: ran.traffic,
    }));
    receipt.check().map_err(Failure::found)?;
    drop(reader);
    send(cli, receipt, grid.flatten())
}

/// Record a receipt; its id. `grid` is the record that it cites, where the ledger does not have it.
pub(super) fn send(cli: &Cli, receipt: Receipt, grid: Option<Vec<u8>>) -> Result<String> {
    let Some(server) = folder::server(&cli.dir) else {
        return append(&cli.dir, receipt, grid.as_slice());
    };
    let grid = grid.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let body = json!({ "grid": grid, "receipt": receipt });
    let done = admin_client::send(&cli.dir, &server, "POST", "/admin/v1/receipts", Some(&body))?;
    let id = done.get("id").and_then(Value::as_str);
    id.map(str::to_owned)
        .ok_or_else(|| Failure::found("the server recorded it and named no id"))
}

/// No server runs: one commit, durable when it returns.
fn append(dir: &Path, mut receipt: Receipt, grids: &[Vec<u8>]) -> Result<String> {
    let _lock = Lock::take(dir).map_err(|error| Failure::found(error.to_string()))?;
    let signer = tieline_ledger::load_key(dir).map_err(|error| failed(&error))?;
    let signer = signer.ok_or_else(|| Failure::found("there is no log.key to sign the ledger with"))?;
    let origin = signer.name().to_owned();
    receipt.recorded_by(author(dir));
    let at = Tick(now_us());
    let entropy = folder::entropy()?
        .iter()
        .fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte));
    let id = CallId::new(at, entropy);
    let entry = ReceiptEntry {
        at,
        body: receipt,
        id,
        t: RECEIPT_V1.into(),
    };
    let entry = jcs::to_vec(&entry).map_err(|error| Failure::found(error.to_string()))?;
    let mut log = Log::open(dir, &origin, signer).map_err(|error| failed(&error))?;
    log.commit(&[entry], grids, at.0)
        .map_err(|error| failed(&error))?;
    log.close().map_err(|error| failed(&error))?;
    Ok(id.to_string())
}

/// The id of the admin key at hand, if it is one of this folder that may record.
fn author(dir: &Path) -> Option<Arc<str>> {
    let state = State::read(dir).ok()?;
    let key = folder::admin(dir, &state).ok()??;
    let may = matches!(
        Role::named(&key.role),
        Some(Role::Auditor | Role::Officer | Role::Operator)
    );
    may.then(|| key.id.into())
}

/// The grid's record, if the ledger does not have it.
fn record_of(reader: &Reader, grid: &Snapshot) -> Result<Option<Vec<u8>>> {
    let digest = Digest(grid.digest);
    if reader.blob(&digest).map_err(|error| failed(&error))?.is_some() {
        return Ok(None);
    }
    let bytes = jcs::to_vec(&*grid.record).map_err(|error| Failure::found(error.to_string()))?;
    Ok(Some(bytes))
}

// === what was tested ===

/// The newest receipt of each model in each pool of a grid, as the folder's ledger has them; none without one.
pub(super) fn tested(dir: &Path, grid: &GridRecord) -> Result<Receipts> {
    let mut receipts = Receipts::new();
    if !dir.join("ledger.db").exists() {
        return Ok(receipts);
    }
    let reader = reader(dir)?;
    let size = reader.size().map_err(|error| failed(&error))?;
    reader.for_each(0..size, |index, entry| {
        receipts.entry(index, entry);
        Ok::<(), Failure>(())
    })?;
    Ok(within(receipts, grid, &reader))
}

/// What of these receipts counts under a grid: those of models that are still what they were under the grid of the test,
/// which this ledger archived.
pub(super) fn within(receipts: Receipts, grid: &GridRecord, reader: &Reader) -> Receipts {
    receipts.within(grid, |digest| {
        let bytes = reader.blob(&Digest(digest.0)).ok().flatten()?;
        open_grid(digest.0, &bytes).ok().map(|then| then.record.clone())
    })
}

// === what receipts cite ===

/// The code that runs here.
pub(super) fn engine() -> Result<EngineCited> {
    let digest = env!("TIELINE_ENGINE").parse();
    let digest = digest.map_err(|_| Failure::found("this program does not know its own engine"))?;
    Ok(EngineCited {
        digest,
        version: env!("CARGO_PKG_VERSION").into(),
    })
}

/// SHA-256 of a report's canonical JSON. A report says nothing of when or how fast it was made.
pub(super) fn result_digest(report: &impl Serialize) -> Result<Hex32> {
    let bytes = jcs::to_vec(report).map_err(|error| Failure::found(error.to_string()))?;
    Ok(Hex32(sha256(&bytes).0))
}

/// What the folder's ledger holds by now; none without one.
pub(super) fn ledger(dir: &Path) -> Result<Option<LedgerCited>> {
    if !dir.join("ledger.db").exists() {
        return Ok(None);
    }
    let reader = reader(dir)?;
    let entries = reader.size().map_err(|error| failed(&error))?;
    first(&reader, entries).map(Some)
}

/// The first entries of a ledger.
pub(super) fn first(reader: &Reader, entries: u64) -> Result<LedgerCited> {
    let root = reader.root_at(entries).map_err(|error| failed(&error))?;
    Ok(LedgerCited {
        entries,
        root: Hex32(root.0),
    })
}

/// Traffic that was read from a ledger.
pub(super) const fn of_ledger(ledger: LedgerCited) -> TrafficCited {
    TrafficCited {
        basis: TrafficBasis::Ledger,
        digest: ledger.root,
    }
}

/// The rules that a judge asks.
pub(super) fn policy(judge: &Judge) -> PolicyCited {
    let (epoch, overlay) = (judge.epoch(), judge.overlay());
    PolicyCited {
        directives: overlay.number().map(|_| Hex32(overlay.digest().0)),
        epoch: Hex32(epoch.digest().0),
        packs: epoch.packs().iter().map(|pack| Hex32(pack.digest().0)).collect(),
    }
}

/// SHA-256 of a file's bytes, as an argument that was one.
pub(super) fn file_digest(path: &Path) -> Result<Arc<str>> {
    let bytes = std::fs::read(path)
        .map_err(|error| Failure::input(format!("cannot read {}: {error}", path.display())))?;
    Ok(sha256(&bytes).to_string().into())
}
