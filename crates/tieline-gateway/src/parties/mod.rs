//! Changes of parties: checked whole against the registry before anything is written, so that a change which fails
//! leaves all as it was. The admin API and a command without a server make the same changes by this file.
//!
//! Evidence is never removed by a change: what a new record leaves out expires.

mod csv;
mod import;

use std::collections::BTreeSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tieline_core::Tick;
use tieline_note::Digest;
use tieline_policy::{
    Evidence, EvidenceKind, FactName, FactValue, Kind, Names, PartyProblem, PartyRecord, Posture,
    PostureError, Registry, Share,
};

use crate::admin::schemas::{EvidenceKindSchema, FactValueSchema, KindSchema, ShareSchema};
use crate::state::{PartyRow, State, StateError};

pub use csv::{CSV_COLUMNS, read_shares};
pub use import::{
    IMPORT_BYTES_MAX, IMPORT_PARTIES_MAX, Import, ImportFormat, ImportProblem, ImportProblems, PROBLEMS_SHOWN,
};

/// What is to be done to parties.
#[derive(Clone, Debug)]
pub enum PartyChange {
    Edit(PartyEdit),
    Expire(EvidenceExpiry),
    Import(Import),
    Put(PartyRow),
}

/// A new party, or changes of one that is there. What is absent stays as it is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PartyEdit {
    /// Added to what there is; what the same source said of the same fact before expires.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<NewEvidence>,
    /// The operator's lists on which it stands, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<BTreeSet<Arc<str>>>,
    pub id: String,
    /// A new party is an organisation unless this says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<KindSchema>")]
    pub kind: Option<Kind>,
    /// For people; never in the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether the party is to be made; one that exists is never made again, and one that does not is not changed.
    #[serde(default)]
    pub new: bool,
    /// Who owns it, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<ShareSchema>>")]
    pub owners: Option<Vec<Share>>,
    /// The party above it; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Arc<str>>,
}

/// Evidence as it is handed in.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewEvidence {
    /// SHA-256 of the document that it was read from, if that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub digest: Option<Digest>,
    /// µs UTC; from this instant on it asserts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub expires: Option<Tick>,
    /// Who asserts it.
    pub issuer: Arc<str>,
    #[schemars(with = "EvidenceKindSchema")]
    pub kind: EvidenceKind,
    /// µs UTC; absent is the instant at which it is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub obtained: Option<Tick>,
    #[schemars(with = "FactValueSchema")]
    pub value: FactValue,
}

/// Evidence that is to assert nothing from this instant on.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceExpiry {
    #[schemars(with = "String")]
    pub fact: FactName,
    pub id: String,
    /// Only what this issuer asserts; absent is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

/// A change that was checked and is ready to be written.
#[derive(Clone, Debug)]
pub struct Amended {
    /// Parties that are written, or pieces of evidence that expire.
    pub count: usize,
    /// The registry as it is with the change.
    pub registry: Registry,
    /// What the state file is to hold of the changed parties.
    pub rows: Vec<PartyRow>,
}

/// Why nothing is changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("there is a party `{0}` already; change it, or choose another id")]
    Exists(String),
    #[error(transparent)]
    Import(#[from] ImportProblems),
    #[error("there is no party `{0}`")]
    Missing(String),
    #[error("party `{id}` has no evidence in force for `{fact}`{}", from(issuer.as_deref()))]
    NoEvidence {
        fact: FactName,
        id: String,
        issuer: Option<String>,
    },
    #[error("party `{party}`: {error}")]
    Posture { party: Arc<str>, error: PostureError },
    #[error("{}", lines(.0))]
    Refused(Vec<PartyProblem>),
    #[error(transparent)]
    State(#[from] StateError),
}

impl PartyChange {
    /// What the change comes to at `now`. Writes nothing.
    pub fn amend(self, state: &State, registry: &Registry, now: Tick) -> Result<Amended, ChangeError> {
        let (rows, count, import) = match self {
            Self::Edit(edit) => (vec![edit.row(state, now)?], 1, None),
            Self::Expire(expiry) => {
                let (row, count) = expiry.row(state, now)?;
                (vec![row], count, None)
            }
            Self::Import(import) => {
                let (rows, lines) = import.into_rows();
                let count = rows.len();
                (succeed(rows, registry, now), count, Some(lines))
            }
            Self::Put(row) => (succeed(vec![row], registry, now), 1, None),
        };
        let records = rows.iter().map(|row| row.record.clone()).collect();
        let amended = registry
            .amend(now, records, &BTreeSet::new())
            .map_err(|problems| match &import {
                Some(lines) => ChangeError::Import(lines.problems(problems)),
                None => ChangeError::Refused(problems),
            })?;
        for row in &rows {
            let resolved = amended.resolve_party(row.id());
            if let Some(Err(error)) = resolved.map(|resolved| Posture::check(&resolved.facts)) {
                let party = row.record.id.clone();
                return Err(ChangeError::Posture { party, error });
            }
        }
        Ok(Amended {
            count,
            registry: amended,
            rows,
        })
    }

    /// A word for the ledger.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Edit(PartyEdit { new: true, .. }) => "party-add",
            Self::Edit(_) => "party-change",
            Self::Expire(_) => "party-expire",
            Self::Import(_) => "party-import",
            Self::Put(_) => "party-put",
        }
    }

    /// The opaque id of the party, if it is one.
    pub fn party(&self) -> Option<&str> {
        match self {
            Self::Edit(edit) => Some(&edit.id),
            Self::Expire(expiry) => Some(&expiry.id),
            Self::Import(_) => None,
            Self::Put(row) => Some(row.id()),
        }
    }
}

/// Records in place of those that there are.
fn succeed(rows: Vec<PartyRow>, registry: &Registry, now: Tick) -> Vec<PartyRow> {
    let row = |row: PartyRow| match registry.record(row.id()) {
        Some(before) => PartyRow {
            name: row.name,
            record: row.record.in_place_of(before, now),
        },
        None => row,
    };
    rows.into_iter().map(row).collect()
}

impl PartyEdit {
    fn row(self, state: &State, now: Tick) -> Result<PartyRow, ChangeError> {
        let mut row = match (state.party(&self.id)?, self.new) {
            (Some(_), true) => return Err(ChangeError::Exists(self.id)),
            (None, false) => return Err(ChangeError::Missing(self.id)),
            (Some(row), false) => row,
            (None, true) => PartyRow {
                name: String::new(),
                record: PartyRecord {
                    evidence: Vec::new(),
                    groups: Names::default(),
                    id: Arc::from(self.id),
                    kind: Kind::Organisation,
                    owners: Vec::new(),
                    parent: None,
                },
            },
        };
        let record = &mut row.record;
        for piece in self.evidence {
            record.add_evidence(piece.at(now), now);
        }
        record.groups = (self.groups).map_or_else(|| record.groups.clone(), Names::from);
        record.kind = self.kind.unwrap_or(record.kind);
        record.owners = self.owners.unwrap_or_else(|| record.owners.clone());
        match self.parent {
            Some(parent) if parent.is_empty() => record.parent = None,
            Some(parent) => record.parent = Some(parent),
            None => {}
        }
        row.name = self.name.unwrap_or(row.name);
        Ok(row)
    }
}

impl NewEvidence {
    fn at(self, now: Tick) -> Evidence {
        Evidence {
            digest: self.digest,
            expires: self.expires,
            issuer: self.issuer,
            kind: self.kind,
            obtained: self.obtained.unwrap_or(now),
            value: self.value,
        }
    }
}

impl EvidenceExpiry {
    fn row(self, state: &State, now: Tick) -> Result<(PartyRow, usize), ChangeError> {
        let Some(mut row) = state.party(&self.id)? else {
            return Err(ChangeError::Missing(self.id));
        };
        match row
            .record
            .expire_evidence(&self.fact, self.issuer.as_deref(), now)
        {
            0 => Err(ChangeError::NoEvidence {
                fact: self.fact,
                id: self.id,
                issuer: self.issuer,
            }),
            count => Ok((row, count)),
        }
    }
}

fn from(issuer: Option<&str>) -> String {
    issuer.map_or_else(String::new, |issuer| format!(" from `{issuer}`"))
}

fn lines(problems: &[PartyProblem]) -> String {
    let mut lines: Vec<String> = problems
        .iter()
        .take(PROBLEMS_SHOWN)
        .map(ToString::to_string)
        .collect();
    if problems.len() > PROBLEMS_SHOWN {
        lines.push(format!("and {} more", problems.len() - PROBLEMS_SHOWN));
    }
    lines.join("\n")
}
