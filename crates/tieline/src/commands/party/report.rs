//! The JSON objects that `tieline party` prints.

use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::Value;

use super::super::reports::printed;

/// `tieline party add`, `change`, `expire` and `import`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct PartyChanged {
    /// Always `tieline/party-change/v1`.
    pub(super) schema: &'static str,
    /// Parties written; of `expire`, pieces of evidence that expired.
    pub(super) count: usize,
    /// `added`, `changed`, `expired` or `imported`.
    pub(super) done: &'static str,
    /// The party; null for an import.
    pub(super) id: Option<String>,
}

/// A row of `tieline party list`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct PartyListed {
    /// Always `tieline/parties/v1`.
    pub(super) schema: &'static str,
    /// Pieces of evidence in force.
    pub(super) evidence: usize,
    /// Facts about which evidence disagrees, or owners are unknown.
    pub(super) flags: Vec<String>,
    pub(super) id: String,
    /// `organisation`, `unit`, `person` or `service`.
    pub(super) kind: &'static str,
    /// Facts that are unknown.
    pub(super) missing: Vec<String>,
    pub(super) name: String,
    pub(super) parent: Option<String>,
}

/// `tieline party show`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct PartyReport {
    /// Always `tieline/party/v1`.
    pub(super) schema: &'static str,
    /// SHA-256 of the record as decisions cite it.
    pub(super) digest: String,
    pub(super) evidence: Vec<tieline_gateway::EvidenceLine>,
    /// What the evidence comes to, with the instants at which facts expire.
    pub(super) facts: Value,
    /// Where evidence disagrees, or owners are unknown.
    pub(super) flags: Value,
    pub(super) name: String,
    /// The record as the admin API takes it.
    pub(super) record: Value,
}

pub(crate) fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("parties", printed::<PartyListed>()),
        ("party", printed::<PartyReport>()),
        ("party-change", printed::<PartyChanged>()),
    ]
}
