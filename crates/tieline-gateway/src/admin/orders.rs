//! What officers decide, under `/admin/v1`: directives brought into force, packs adopted for a legal entity.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tieline_policy::SignedOrder;

use super::Refusal;
use super::api::{failed, operation};
use crate::change::{self, When};
use crate::directives::{self, ApplyError, Does, OrderApplied};
use crate::keys::Admin;
use crate::shared::Shared;
use crate::state::{AdoptionRow, DirectiveRow};

type Shell = State<Arc<Shared>>;
type Caller = Extension<Arc<Admin>>;

/// The largest body of an order: a note in JSON, where a line break is two bytes.
pub(super) const ORDER_BYTES_MAX: usize = 2 * tieline_note::note::NOTE_BYTES_MAX;

/// A signed order.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOrder {
    /// What it must do: `apply` a directive that is not in force, `amend` one that is, or `revoke` one. Any if absent.
    #[serde(default)]
    does: Option<Does>,
    /// The whole signed note (C2SP signed-note).
    note: String,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct DirectiveList {
    directives: Vec<DirectiveLine>,
    /// Always `tieline/directives/v1`.
    schema: &'static str,
}

/// One version of a directive.
#[derive(Debug, JsonSchema, Serialize)]
pub struct DirectiveLine {
    /// µs UTC.
    pub applied_us: u64,
    /// SHA-256 of the note.
    pub digest: String,
    pub id: String,
    pub note: String,
    /// µs UTC.
    pub revoked_us: Option<u64>,
    pub title: String,
    /// µs UTC.
    pub valid_from_us: u64,
    /// µs UTC.
    pub valid_to_us: Option<u64>,
    pub version: u32,
}

/// What somebody adopts: a pack by its digest, so that exactly this text may enforce.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAdoption {
    /// SHA-256 of the pack, as `tieline policy adopt` computes it.
    #[schemars(with = "String")]
    digest: tieline_note::Digest,
    /// The legal entity.
    entity: String,
    /// Who adopts; stays in the state file.
    officer: String,
    /// The pack's id.
    pack: String,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Adopted {
    /// False if it was adopted for this entity before.
    changed: bool,
    digest: String,
    pack: String,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct AdoptionList {
    adoptions: Vec<AdoptionRow>,
    /// Always `tieline/adoptions/v1`.
    schema: &'static str,
}

/// Names of officers and entities: a line of a letterhead.
const NAME_BYTES_MAX: usize = 256;

pub(super) async fn apply(
    State(shared): Shell,
    Extension(admin): Caller,
    Json(order): Json<NewOrder>,
) -> Result<Json<OrderApplied>, Refusal> {
    // It is finished even if whoever asked goes away: an order is in force or it is not.
    let done = tokio::task::spawn_blocking(move || {
        if let Some(does) = order.does {
            fits(&shared, does, &order.note)?;
        }
        directives::apply(&shared, &order.note, &admin).map_err(|error| refused(&error))
    });
    done.await
        .unwrap_or_else(|error| Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())))
        .map(Json)
}

/// Whether the order is of the kind that was meant.
fn fits(shared: &Shared, does: Does, note: &str) -> Result<(), Refusal> {
    let Ok(signed) = SignedOrder::from_archive(note) else {
        return Ok(()); // What is wrong with it, the order's own check says.
    };
    match directives::misfit(&signed.order, does, &shared.state().directives()?) {
        Some(says) => {
            let says = format!("`{}`: {says}", signed.order.id());
            Err(Refusal(StatusCode::CONFLICT, says))
        }
        None => Ok(()),
    }
}

pub(super) async fn list(State(shared): Shell) -> Result<Json<DirectiveList>, Refusal> {
    let rows = shared.state().directives().map_err(|error| failed(&error))?;
    Ok(Json(DirectiveList {
        directives: rows.into_iter().filter_map(DirectiveLine::new).collect(),
        schema: "tieline/directives/v1",
    }))
}

pub(super) async fn adopt(
    State(shared): Shell,
    Extension(admin): Caller,
    Json(new): Json<NewAdoption>,
) -> Result<Json<Adopted>, Refusal> {
    for (name, text) in [
        ("entity", &new.entity),
        ("officer", &new.officer),
        ("pack", &new.pack),
    ] {
        if text.trim().is_empty() || text.len() > NAME_BYTES_MAX {
            let says = format!("`{name}` is 1 to {NAME_BYTES_MAX} bytes");
            return Err(Refusal(StatusCode::UNPROCESSABLE_ENTITY, says));
        }
    }
    let row = AdoptionRow {
        adopted_us: shared.now().0,
        digest: new.digest,
        entity: new.entity,
        officer: new.officer,
        pack: new.pack,
    };
    // Whoever asked may go away meanwhile.
    let adopted = tokio::task::spawn_blocking(move || adopt_now(&shared, &admin, row));
    adopted
        .await
        .unwrap_or_else(|error| Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())))
        .map(Json)
}

fn adopt_now(shared: &Shared, admin: &Admin, row: AdoptionRow) -> Result<Adopted, Refusal> {
    let state = shared.state();
    let at = shared.now();
    let changed = change::carry_out(
        shared,
        &state,
        When { at, epoch: None },
        |state| Ok::<_, Refusal>(state.put_adoption(&row)?),
        |changed, id| {
            let name = format!("{} {}", row.pack, row.digest);
            if *changed {
                shared
                    .recorder
                    .event(&operation(at, id, (admin, "adopt", &name), None))?;
            }
            Ok(*changed)
        },
    )?;
    Ok(Adopted {
        changed,
        digest: row.digest.to_string(),
        pack: row.pack,
    })
}

pub(super) async fn adoptions(State(shared): Shell) -> Result<Json<AdoptionList>, Refusal> {
    Ok(Json(AdoptionList {
        adoptions: shared.state().adoptions().map_err(|error| failed(&error))?,
        schema: "tieline/adoptions/v1",
    }))
}

/// A bad order is the caller's; what keeps a good one from coming into force is ours.
fn refused(error: &ApplyError) -> Refusal {
    let status = match error {
        ApplyError::Order(_) | ApplyError::Overlay(_) => StatusCode::UNPROCESSABLE_ENTITY,
        ApplyError::NoSigners => StatusCode::CONFLICT,
        ApplyError::Ledger(_) | ApplyError::State(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refusal(status, error.to_string())
}

impl DirectiveLine {
    /// None for a row that holds no directive.
    pub fn new(row: DirectiveRow) -> Option<Self> {
        let signed = SignedOrder::from_archive(&row.note).ok()?;
        let directive = signed.directive()?;
        Some(Self {
            applied_us: row.applied_us,
            digest: signed.digest.to_string(),
            title: directive.title.to_string(),
            valid_from_us: directive.valid_from.0,
            valid_to_us: directive.valid_to.map(|to| to.0),
            id: row.id,
            note: row.note,
            revoked_us: row.revoked_us,
            version: row.version,
        })
    }
}
