//! Receipts under `/admin/v1`: what a test of a pool or a drill came to, as an entry of the ledger that names whose key
//! recorded it. What is recorded is a claim of whoever holds the key; the ledger vouches that it was made, and when.
//!
//! Refused: a receipt that could not be one ([`Receipt::check`]), a test of what is not in the grid in force, and a grid
//! that neither the ledger has nor the request brings: whatever an entry cites is archived.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tieline_core::receipt::{PoolTestReceipt, RECEIPT_V1, Receipt};
use tieline_core::record::Hex32;
use tieline_core::{GridRecord, Snapshot};
use tieline_ledger::Reader;
use tieline_note::{Digest, sha256};

use super::Refusal;
use super::schemas::ReceiptSchema;
use crate::keys::Admin;
use crate::recorder::Event;
use crate::shared::Shared;

/// The largest body: the grid of 10,000 channels with prices is about 10 MB, and its text in JSON a little more.
pub(super) const RECEIPT_BYTES_MAX: usize = 16 << 20;

/// A receipt to record.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewReceipt {
    /// The canonical JSON of the grid that the receipt cites, where that is none that this ledger has: it is archived with
    /// the receipt.
    #[serde(default)]
    grid: Option<String>,
    /// `by` is whose key records it, whatever it says.
    #[schemars(with = "ReceiptSchema")]
    receipt: Receipt,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct ReceiptRecorded {
    /// The receipt's id; its entry is durable.
    id: String,
}

pub(super) async fn record(
    State(shared): State<Arc<Shared>>,
    Extension(admin): Extension<Arc<Admin>>,
    Json(new): Json<NewReceipt>,
) -> Result<Json<ReceiptRecorded>, Refusal> {
    // Files are read and written; whoever asked may go away meanwhile.
    let recorded = tokio::task::spawn_blocking(move || record_now(&shared, &admin, new));
    recorded
        .await
        .unwrap_or_else(|error| Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())))
        .map(|id| Json(ReceiptRecorded { id }))
}

fn record_now(shared: &Shared, admin: &Admin, new: NewReceipt) -> Result<String, Refusal> {
    let mut receipt = new.receipt;
    receipt.check().map_err(wrong)?;
    if let Receipt::PoolTest(test) = &receipt {
        tested(&shared.live.load().snapshot, test)?;
    }
    if let Some(cited) = receipt.grid() {
        archive(shared, cited, new.grid)?;
    }
    receipt.recorded_by(Some(admin.id.as_str().into()));
    let now = shared.now();
    let id = shared.new_call(now).0.to_string();
    shared.recorder.event(&Event {
        at: now,
        body: receipt,
        id: &id,
        t: RECEIPT_V1,
    })?;
    shared.recorder.flush()?;
    Ok(id)
}

/// A test says something of the grid in which it was made: it is recorded while that is in force.
fn tested(live: &Snapshot, test: &PoolTestReceipt) -> Result<(), Refusal> {
    if test.grid != Hex32(live.digest) {
        let says = format!(
            "the grid in force is {}, not that of the test: it was changed meanwhile; test again",
            Hex32(live.digest)
        );
        return Err(Refusal(StatusCode::CONFLICT, says));
    }
    let pool = live.record.pools.iter().find(|pool| pool.name == test.pool);
    let Some(pool) = pool else {
        return Err(wrong(format!("there is no pool `{}`", test.pool)));
    };
    if pool.models.contains(&test.model) {
        return Ok(());
    }
    Err(wrong(format!(
        "the pool `{}` has no model `{}`",
        test.pool, test.model
    )))
}

/// Make sure that the grid is archived.
fn archive(shared: &Shared, cited: Hex32, given: Option<String>) -> Result<(), Refusal> {
    let Some(text) = given else {
        let failed = |error: tieline_ledger::LedgerError| {
            Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
        };
        let reader = Reader::open(&shared.dir).map_err(failed)?;
        let is_live = cited == Hex32(shared.live.load().snapshot.digest);
        if is_live || reader.blob(&Digest(cited.0)).map_err(failed)?.is_some() {
            return Ok(());
        }
        return Err(wrong(format!(
            "the grid {cited} is not archived here; send its record as `grid`"
        )));
    };
    if sha256(text.as_bytes()).0 != cited.0 {
        return Err(wrong(format!("`grid` is not the record whose digest is {cited}")));
    }
    let record: GridRecord =
        serde_json::from_str(&text).map_err(|error| wrong(format!("`grid` cannot be read: {error}")))?;
    Snapshot::build(Arc::new(record), cited.0)
        .map_err(|error| wrong(format!("`grid` does not hold together: {error}")))?;
    shared.recorder.archive_bytes(text.into_bytes())?;
    Ok(())
}

fn wrong(says: String) -> Refusal {
    Refusal(StatusCode::UNPROCESSABLE_ENTITY, says)
}
