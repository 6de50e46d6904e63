//! The JSON objects that commands print with `--json`. Each has a `schema` that names it and its version; the schemas are
//! generated from these types and committed under `docs/schemas`.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::Value;

/// `tieline cut` and `tieline restore`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct CutReport {
    /// Always `tieline/cut/v1`.
    pub(super) schema: &'static str,
    /// Whether anything changed; false if it was so before.
    pub(super) changed: bool,
    /// `channel` or `component`.
    pub(super) kind: String,
    pub(super) name: String,
    /// Whether it is out now.
    pub(super) out: bool,
    /// Whether a supervised model server was stopped or started with it.
    pub(super) process: bool,
}

/// `tieline explain CALL`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct ExplainReport {
    /// Always `tieline/explain/v1`.
    pub(super) schema: &'static str,
    pub(super) call: String,
    /// The entry `tieline/decision/v1`.
    pub(super) decision: Value,
    /// The explanation, one sentence each.
    pub(super) lines: Vec<String>,
    /// The entry `tieline/outcome/v1`; null while the call is in flight.
    pub(super) outcome: Option<Value>,
}

/// `tieline explain TLnnnn`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct CodeReport {
    /// Always `tieline/explain-code/v1`.
    pub(super) schema: &'static str,
    pub(super) advice: &'static str,
    pub(super) name: &'static str,
    pub(super) number: &'static str,
    /// The HTTP status; null for a mistake of a configuration.
    pub(super) status: Option<u16>,
    pub(super) title: &'static str,
}

/// `tieline keys add`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct KeyAdded {
    /// Always `tieline/keys-add/v1`.
    pub(super) schema: &'static str,
    /// The key's public id.
    pub(super) id: String,
    /// The secret, shown this once.
    pub(super) key: String,
    pub(super) party: String,
}

/// A row of `tieline keys list`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct KeyListed {
    /// Always `tieline/keys/v1`.
    pub(super) schema: &'static str,
    /// µs UTC.
    pub(super) created_us: u64,
    pub(super) id: String,
    /// The key's limits; absent ones are unlimited.
    pub(super) limits: Value,
    pub(super) party: String,
    /// µs UTC; null while the key is live.
    pub(super) revoked_us: Option<u64>,
    /// Pools and models that it may ask for; null is all.
    pub(super) scope: Option<Vec<String>>,
}

/// `tieline keys revoke`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct KeyRevoked {
    /// Always `tieline/keys-revoke/v1`.
    pub(super) schema: &'static str,
    /// False if it was revoked before.
    pub(super) changed: bool,
    pub(super) id: String,
}

/// `tieline ledger verify`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct VerifyReport {
    /// Always `tieline/ledger-verify/v1`.
    pub(super) schema: &'static str,
    /// The first thing that is wrong; null if nothing is.
    pub(super) finding: Option<String>,
    /// What was verified; null if something is wrong.
    pub(super) ledger: Option<VerifiedLedger>,
    pub(super) ok: bool,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct VerifiedLedger {
    /// Entries at the checkpoint given with `--against`.
    pub(super) against_size: Option<u64>,
    /// Archived blobs hashed; null without `--deep`.
    pub(super) blobs: Option<u64>,
    /// Bytes of entries hashed.
    pub(super) bytes: u64,
    /// Entries at `checkpoint.last`.
    pub(super) last_size: u64,
    /// The log's name.
    pub(super) origin: String,
    /// The Merkle root, hexadecimal.
    pub(super) root: String,
    /// Entries.
    pub(super) size: u64,
    /// The verifier key that the checkpoint was verified with.
    pub(super) vkey: String,
}

/// A row of `tieline ledger show` and `tail`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct EntryShown {
    /// Always `tieline/ledger-entry/v1`.
    pub(super) schema: &'static str,
    /// The entry itself.
    pub(super) entry: Value,
    pub(super) index: u64,
}

/// `tieline ledger key`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct LedgerKey {
    /// Always `tieline/ledger-key/v1`.
    pub(super) schema: &'static str,
    /// The verifier key in the form of C2SP signed-note.
    pub(super) vkey: String,
}

/// `tieline ledger export`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Exported {
    /// Always `tieline/ledger-export/v1`.
    pub(super) schema: &'static str,
    pub(super) bytes: u64,
    pub(super) files: u64,
    pub(super) origin: String,
    pub(super) root: String,
    pub(super) size: u64,
}

/// `tieline ledger backup`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct BackedUp {
    /// Always `tieline/ledger-backup/v1`.
    pub(super) schema: &'static str,
    /// The signed checkpoint beside the copy.
    pub(super) checkpoint: String,
    pub(super) file: String,
    pub(super) size: u64,
}

/// Every schema, by the name of its file.
pub(super) fn schemas() -> Vec<(&'static str, Schema)> {
    let mut all = super::policy::schemas();
    all.extend(super::party::schemas());
    all.extend(super::directive::schemas());
    all.extend(super::term::schemas());
    all.extend(super::usage::schemas());
    all.extend(super::drill::schemas());
    all.extend(super::pool::schemas());
    all.push(("demo-june-12", printed::<super::demo::JuneReport>()));
    all.extend([
        ("check", printed::<crate::diagnose::CheckReport>()),
        ("cut", printed::<CutReport>()),
        ("drill-bench", printed::<super::drill::bench::BenchReport>()),
        ("drill-board", printed::<super::drill::BoardReport>()),
        ("drill-directive", printed::<super::drill::DirectiveDrill>()),
        ("drill-fit", printed::<tieline_drill::Law>()),
        ("drill-n-1", printed::<tieline_drill::NMinus1Report>()),
        (
            "drill-n-1-litellm",
            printed::<super::imported::LossesImported<tieline_drill::NMinus1Report>>(),
        ),
        ("drill-n-2", printed::<tieline_drill::NMinus2Report>()),
        (
            "drill-n-2-litellm",
            printed::<super::imported::LossesImported<tieline_drill::NMinus2Report>>(),
        ),
        ("drill-plan", printed::<tieline_drill::PlanReport>()),
        (
            "drill-plan-litellm",
            printed::<super::imported::LossesImported<tieline_drill::PlanReport>>(),
        ),
        ("drill-replay", printed::<tieline_drill::ReplayReport>()),
        ("drill-scenario", printed::<tieline_drill::ScenariosReport>()),
        ("drill-scenario-list", printed::<super::drill::ShippedReport>()),
        ("drill-sim", printed::<tieline_drill::SimReport>()),
        ("drill-year", printed::<tieline_drill::YearReport>()),
        ("explain", printed::<ExplainReport>()),
        ("explain-code", printed::<CodeReport>()),
        ("faults", printed::<super::faults::FaultRow>()),
        ("grid-litellm", printed::<super::imported::GridImported>()),
        ("grid-report", printed::<tieline_drill::GridReport>()),
        ("grid-versions", printed::<tieline_drill::VersionsReport>()),
        ("keys", printed::<KeyListed>()),
        ("keys-add", printed::<KeyAdded>()),
        ("keys-revoke", printed::<KeyRevoked>()),
        ("ledger-backup", printed::<BackedUp>()),
        ("ledger-entry", printed::<EntryShown>()),
        ("ledger-export", printed::<Exported>()),
        ("ledger-key", printed::<LedgerKey>()),
        ("ledger-verify", printed::<VerifyReport>()),
    ]);
    all
}

/// As it is printed: what may be left out when it is written is not required when it is read.
pub(super) fn printed<T: JsonSchema>() -> Schema {
    SchemaSettings::default()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<T>()
}
