//! The parties' side of `/admin/v1`: who they are, what is known about them, and changes of it. Each change is checked
//! whole, is one transaction of the state file and one entry of the ledger, and holds for the next call.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tieline_core::Tick;
use tieline_policy::{Kind, PartyFacts, PartyRecord, RedFlag, Registry};

use super::Refusal;
use super::api::{failed, operation, unusable};
use super::openapi::FactsSchema;
use super::schemas::{FactValueSchema, KindSchema, RecordSchema, RedFlagSchema};
use crate::change::{self, When};
use crate::keys::Admin;
use crate::members::party_record;
use crate::parties::{ChangeError, EvidenceExpiry, Import, ImportFormat, PartyChange, PartyEdit};
use crate::shared::Shared;
use crate::state::PartyRow;

type Shell = State<Arc<Shared>>;
type Caller = Extension<Arc<Admin>>;

/// Parties of one answer: some 300 bytes each, so 3 MB at most.
pub(super) const PAGE_PARTIES_MAX: usize = 10_000;

/// Which parties to list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Page {
    /// Only those whose id is greater.
    after: String,
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartyId {
    id: String,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct PartyList {
    /// The last id of this page if there may be more: ask for those after it.
    next: Option<String>,
    parties: Vec<PartyLine>,
    /// Always `tieline/parties/v2`.
    schema: &'static str,
}

/// A party in a list.
#[derive(Debug, JsonSchema, Serialize)]
pub struct PartyLine {
    /// Evidence in force.
    pub evidence: usize,
    /// Facts about which evidence disagrees.
    #[schemars(with = "Vec<String>")]
    pub flags: Vec<tieline_policy::FactName>,
    pub id: String,
    #[schemars(with = "KindSchema")]
    pub kind: Kind,
    /// Facts of a kind that is unknown.
    pub missing: Vec<String>,
    pub name: String,
    pub parent: Option<String>,
}

/// A party in full.
#[derive(Debug, JsonSchema, Serialize)]
pub struct PartyShown {
    /// SHA-256 of the record as decisions cite it.
    pub digest: String,
    pub evidence: Vec<EvidenceLine>,
    /// What the evidence comes to.
    #[schemars(with = "FactsSchema")]
    pub facts: PartyFacts,
    #[schemars(with = "Vec<RedFlagSchema>")]
    pub flags: Vec<RedFlag>,
    pub name: String,
    #[schemars(with = "RecordSchema")]
    pub record: PartyRecord,
    /// Always `tieline/party/v1`.
    pub schema: &'static str,
}

/// A piece of evidence as it stands at the moment of asking.
#[derive(Debug, JsonSchema, Serialize)]
pub struct EvidenceLine {
    /// µs UTC.
    pub expires: Option<u64>,
    pub fact: String,
    /// Whether it asserts its value.
    pub in_force: bool,
    pub issuer: String,
    pub kind: String,
    /// µs UTC.
    pub obtained: u64,
    #[schemars(with = "FactValueSchema")]
    pub value: tieline_policy::FactValue,
}

/// What a change did.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct PartyChanged {
    /// Parties written; of an expiry, pieces of evidence that expired.
    count: usize,
    /// The party; absent for an import.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

pub(super) async fn list(State(shared): Shell, Query(page): Query<Page>) -> Result<Json<PartyList>, Refusal> {
    let limit = page.limit.unwrap_or(PAGE_PARTIES_MAX);
    if !(1..=PAGE_PARTIES_MAX).contains(&limit) {
        let says = format!("`limit` is 1 to {PAGE_PARTIES_MAX}");
        return Err(Refusal(StatusCode::BAD_REQUEST, says));
    }
    let rows = shared
        .state()
        .parties_after(&page.after, limit)
        .map_err(|error| failed(&error))?;
    let next = (rows.len() == limit)
        .then(|| rows.last().map(|row| row.id().to_owned()))
        .flatten();
    let (registry, now) = (shared.registry.load(), shared.now());
    let lines = rows.into_iter().map(|row| PartyLine::new(row, &registry, now));
    Ok(Json(PartyList {
        next,
        parties: lines.collect(),
        schema: "tieline/parties/v2",
    }))
}

pub(super) async fn show(
    State(shared): Shell,
    Query(party): Query<PartyId>,
) -> Result<Json<PartyShown>, Refusal> {
    let row = shared.state().party(&party.id).map_err(|error| failed(&error))?;
    let shown = row.and_then(|row| PartyShown::new(row, &shared.registry.load(), shared.now()));
    shown.map(Json).ok_or_else(|| {
        let says = format!("there is no party `{}`", party.id);
        Refusal(StatusCode::NOT_FOUND, says)
    })
}

pub(super) async fn put(
    State(shared): Shell,
    Extension(admin): Caller,
    Json(row): Json<PartyRow>,
) -> Result<Json<PartyChanged>, Refusal> {
    change(shared, admin, PartyChange::Put(row)).await
}

pub(super) async fn edit(
    State(shared): Shell,
    Extension(admin): Caller,
    Json(edit): Json<PartyEdit>,
) -> Result<Json<PartyChanged>, Refusal> {
    change(shared, admin, PartyChange::Edit(edit)).await
}

pub(super) async fn expire(
    State(shared): Shell,
    Extension(admin): Caller,
    Json(expiry): Json<EvidenceExpiry>,
) -> Result<Json<PartyChanged>, Refusal> {
    change(shared, admin, PartyChange::Expire(expiry)).await
}

/// All parties of the body, or none and every problem of each.
pub(super) async fn import(
    State(shared): Shell,
    Extension(admin): Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<PartyChanged>, Refusal> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let Some(format) = media_type.and_then(ImportFormat::of_media_type) else {
        let says = "say what it is with `content-type: text/csv`, `application/json` (an array) or \
                    `application/x-ndjson` (one party a line)";
        return Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, says.to_owned()));
    };
    let now = shared.now();
    let read = tokio::task::spawn_blocking(move || Import::read(&body, format, now)).await;
    let import = read
        .map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?
        .map_err(|problems| refused(&problems.into()))?;
    change(shared, admin, PartyChange::Import(import)).await
}

/// Check, write, swap, record; whoever asked may go away meanwhile.
async fn change(
    shared: Arc<Shared>,
    admin: Arc<Admin>,
    change: PartyChange,
) -> Result<Json<PartyChanged>, Refusal> {
    let done = tokio::task::spawn_blocking(move || changed(&shared, &admin, change)).await;
    done.unwrap_or_else(|error| Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())))
        .map(Json)
}

fn changed(shared: &Shared, admin: &Admin, change: PartyChange) -> Result<PartyChanged, Refusal> {
    let (done, id) = (change.name(), change.party().map(str::to_owned));
    let count = {
        let state = shared.state();
        let registry = shared.registry.load_full();
        // As late as can be: no evidence that the change holds was obtained after it.
        let now = shared.now();
        let amended = change
            .amend(&state, &registry, now)
            .map_err(|error| refused(&error))?;
        let keys = shared
            .read_keys(&state, &amended.registry)
            .map_err(|error| unusable(&error))?;
        change::carry_out(
            shared,
            &state,
            When { at: now, epoch: None },
            |state| Ok::<_, Refusal>(state.put_each_party(&amended.rows)?),
            |(), entry| {
                let what = (admin, done, id.as_deref().unwrap_or("parties"));
                let event = operation(now, entry, what, Some(amended.count));
                shared.recorder.event(&event).map(|()| true)
            },
        )?;
        shared.swap_facts(amended.registry, keys);
        amended.count
    };
    Ok(PartyChanged { count, id })
}

fn refused(error: &ChangeError) -> Refusal {
    let status = match error {
        ChangeError::Exists(_) => StatusCode::CONFLICT,
        ChangeError::Missing(_) => StatusCode::NOT_FOUND,
        ChangeError::State(error) => return failed(error),
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Refusal(status, error.to_string())
}

impl PartyLine {
    pub fn new(row: PartyRow, registry: &Registry, now: Tick) -> Self {
        let resolved = registry.resolve_party(row.id());
        let (facts, flags) = resolved.map_or_else(Default::default, |resolved| {
            (resolved.facts.at(now), resolved.flags)
        });
        let known: Vec<String> = facts.names().iter().map(ToString::to_string).collect();
        let missing =
            tieline_policy::FactName::fields().filter(|name| !known.iter().any(|known| known == name));
        Self {
            evidence: row
                .record
                .evidence
                .iter()
                .filter(|piece| piece.holds(now))
                .count(),
            flags: flags.into_iter().map(|flag| flag.fact).collect(),
            id: row.id().to_owned(),
            kind: row.record.kind,
            missing: missing.map(str::to_owned).collect(),
            name: row.name,
            parent: row.record.parent.as_deref().map(str::to_owned),
        }
    }
}

impl PartyShown {
    /// None if the registry does not have the party.
    pub fn new(row: PartyRow, registry: &Registry, now: Tick) -> Option<Self> {
        let resolved = registry.resolve_party(row.id())?;
        let cited = tieline_note::sha256(&party_record(row.id(), &resolved.facts, &[], &[]));
        let line = |piece: &tieline_policy::Evidence| EvidenceLine {
            expires: piece.expires.map(|at| at.0),
            fact: piece.value.fact().to_string(),
            in_force: piece.holds(now),
            issuer: piece.issuer.as_ref().to_owned(),
            kind: piece.kind.name().to_owned(),
            obtained: piece.obtained.0,
            value: piece.value.clone(),
        };
        Some(Self {
            digest: cited.to_string(),
            evidence: row.record.evidence.iter().map(line).collect(),
            facts: resolved.facts,
            flags: resolved.flags,
            name: row.name,
            record: row.record,
            schema: "tieline/party/v1",
        })
    }
}
