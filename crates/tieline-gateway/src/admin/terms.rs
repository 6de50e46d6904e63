//! Licences, statements and the queue of holds under `/admin/v1`. Each change is one transaction of the state file and one
//! entry of the ledger, which has ids and digests and no names, and it holds for the next call.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tieline_core::Tick;
use tieline_ledger::PushError;
use tieline_policy::{Licence, PackProblem, STATEMENT_MAX, Statement};

use super::Refusal;
use super::api::{failed, operation};
use crate::change::{self, When};
use crate::keys::Admin;
use crate::recorder::Event;
use crate::reload::render;
use crate::shared::Shared;
use crate::state::HoldRow;
use crate::terms::{Disposal, LicenceLine, StatementLine, TermChange, TermDone, TermError};

type Shell = State<Arc<Shared>>;
type Caller = Extension<Arc<Admin>>;

/// The largest body of a term: a text in JSON, where a line break is two bytes.
pub(super) const TERM_BYTES_MAX: usize = 4 * STATEMENT_MAX;

/// Bytes of a licence: 1,024 parties of 100 bytes each, and what is said of them.
const LICENCE_BYTES_MAX: usize = 2 * STATEMENT_MAX;

const DISPOSITION_V1: &str = "tieline/disposition/v1";

/// A licence.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewLicence {
    /// The TOML text (`t = "tieline/licence/v1"`).
    text: String,
}

/// A statement.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewStatement {
    /// A signed note (C2SP signed-note) by a key of `[policy.statements]`, or the TOML text alone
    /// (`t = "tieline/statement/v1"`), for which whoever records it answers.
    text: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TermId {
    id: String,
}

/// What an officer says of a hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewDisposition {
    /// Whether it replaces what was said before.
    #[serde(default)]
    again: bool,
    /// Whether the calls that these rules hold are let through.
    grant: bool,
    /// Why, for whoever asks in years; it stays in the state file.
    reason: String,
    ticket: String,
    /// µs UTC, within twelve months: from then on the rules hold again. 30 days from now if absent; a refusal has none.
    #[serde(default)]
    until: Option<u64>,
}

/// Which holds to list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Which {
    /// Only those that nobody has disposed of.
    open: bool,
}

/// What a change did.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct TermChanged {
    /// False if it was so before.
    changed: bool,
    /// SHA-256, as decisions cite it.
    digest: Option<String>,
    id: String,
    /// Parties that it names and that are not recorded: it waits for them.
    strangers: Vec<String>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct LicenceList {
    licences: Vec<LicenceLine>,
    /// Always `tieline/licences/v1`.
    schema: &'static str,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct StatementList {
    /// Always `tieline/statements/v1`.
    schema: &'static str,
    statements: Vec<StatementLine>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct HoldList {
    /// Oldest first.
    holds: Vec<HoldRow>,
    /// Always `tieline/holds/v1`.
    schema: &'static str,
}

/// The entry of a disposition.
#[derive(Debug, Serialize)]
struct Disposed<'a> {
    /// The id of the officer's key.
    admin: &'a str,
    grant: bool,
    /// The only model for which a grant counts.
    model: &'a str,
    party: &'a str,
    rules: &'a [String],
    ticket: &'a str,
    until_us: u64,
}

pub(super) async fn licences(State(shared): Shell) -> Result<Json<LicenceList>, Refusal> {
    let rows = shared.state().licences().map_err(|error| failed(&error))?;
    let now = shared.now();
    let line = |row: crate::state::LicenceRow| {
        let used = shared.meter.used(&row.id);
        LicenceLine::new(row, used, now)
    };
    Ok(Json(LicenceList {
        licences: rows.into_iter().filter_map(line).collect(),
        schema: "tieline/licences/v1",
    }))
}

pub(super) async fn add_licence(
    State(shared): Shell,
    Extension(admin): Caller,
    Json(new): Json<NewLicence>,
) -> Result<Json<TermChanged>, Refusal> {
    if new.text.len() > LICENCE_BYTES_MAX {
        let says =
            format!("a licence is at most {LICENCE_BYTES_MAX} bytes; name an organisation with its members");
        return Err(Refusal(StatusCode::UNPROCESSABLE_ENTITY, says));
    }
    let licence = Licence::read(&Arc::from("licence"), &new.text).map_err(|problems| placed(&problems))?;
    change(shared, admin, TermChange::AddLicence(Box::new(licence))).await
}

pub(super) async fn revoke_licence(
    State(shared): Shell,
    Extension(admin): Caller,
    Json(term): Json<TermId>,
) -> Result<Json<TermChanged>, Refusal> {
    change(shared, admin, TermChange::RevokeLicence(term.id)).await
}

pub(super) async fn statements(State(shared): Shell) -> Result<Json<StatementList>, Refusal> {
    let rows = shared.state().statements().map_err(|error| failed(&error))?;
    let now = shared.now();
    let lines = rows.into_iter().filter_map(|row| StatementLine::new(row, now));
    Ok(Json(StatementList {
        schema: "tieline/statements/v1",
        statements: lines.collect(),
    }))
}

pub(super) async fn add_statement(
    State(shared): Shell,
    Extension(admin): Caller,
    Json(new): Json<NewStatement>,
) -> Result<Json<TermChanged>, Refusal> {
    let keys = &shared.live.load_full().statement_keys;
    // A text that somebody signed stands on the signature alone; for any other, whoever records it answers.
    let is_signed = tieline_note::note::peek(&new.text).is_ok();
    let recorded_by = (!is_signed).then_some(admin.id.as_str());
    let statement = Statement::open(&Arc::from("statement"), &new.text, keys, recorded_by)
        .map_err(|problems| placed(&problems))?;
    change(shared, admin, TermChange::AddStatement(Box::new(statement))).await
}

pub(super) async fn revoke_statement(
    State(shared): Shell,
    Extension(admin): Caller,
    Json(term): Json<TermId>,
) -> Result<Json<TermChanged>, Refusal> {
    change(shared, admin, TermChange::RevokeStatement(term.id)).await
}

pub(super) async fn holds(
    State(shared): Shell,
    Query(which): Query<Which>,
) -> Result<Json<HoldList>, Refusal> {
    let holds = shared.state().holds().map_err(|error| failed(&error))?;
    let is_listed = |hold: &HoldRow| !which.open || hold.disposition.is_none();
    Ok(Json(HoldList {
        holds: holds.into_iter().filter(is_listed).collect(),
        schema: "tieline/holds/v1",
    }))
}

pub(super) async fn dispose(
    State(shared): Shell,
    Extension(admin): Caller,
    Json(new): Json<NewDisposition>,
) -> Result<Json<HoldRow>, Refusal> {
    let disposal = TermChange::Dispose(Disposal {
        again: new.again,
        grant: new.grant,
        reason: new.reason,
        ticket: new.ticket,
        until: new.until.map(Tick),
    });
    let done = laid(shared, admin, disposal).await?;
    done.hold.map(Json).ok_or_else(|| {
        let says = "the disposition was not kept".to_owned();
        Refusal(StatusCode::INTERNAL_SERVER_ERROR, says)
    })
}

async fn change(
    shared: Arc<Shared>,
    admin: Arc<Admin>,
    change: TermChange,
) -> Result<Json<TermChanged>, Refusal> {
    let done = laid(shared, admin, change).await?;
    Ok(Json(TermChanged {
        changed: done.changed,
        digest: done.digest.map(|digest| digest.to_string()),
        id: done.id,
        strangers: done.strangers,
    }))
}

/// Whoever asked may go away meanwhile: a term is in force or it is not.
async fn laid(shared: Arc<Shared>, admin: Arc<Admin>, change: TermChange) -> Result<TermDone, Refusal> {
    let done = tokio::task::spawn_blocking(move || lay(&shared, &admin, &change));
    done.await
        .unwrap_or_else(|error| Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())))
}

/// Check with all other terms, write, tell, lay over the parties, swap.
fn lay(shared: &Shared, admin: &Admin, change: &TermChange) -> Result<TermDone, Refusal> {
    let state = shared.state();
    let registry = shared.registry.load_full();
    let now = shared.now();
    let write = |state: &crate::state::State| {
        let done = change.write(state, now, &admin.id)?;
        let registry = (*registry).clone().with_terms(Arc::new(state.terms()?));
        let keys = shared.read_keys(state, &registry)?;
        Ok::<_, TermError>((done, registry, keys, state.licence_uses()?))
    };
    let when = When { at: now, epoch: None };
    let (done, registry, keys, uses) = change::carry_out(
        shared,
        &state,
        when,
        |state| write(state).map_err(|error| refused(&error)),
        |(done, ..), id| {
            if done.changed {
                tell(shared, admin, change, (done, now, id))?;
            }
            Ok(done.changed)
        },
    )?;
    if done.changed {
        // Before any call can rest on a licence that the meter does not know, which would be spent.
        shared.meter.learn(registry.terms(), &uses);
        shared.swap_facts(registry, keys);
    }
    Ok(done)
}

fn tell(
    shared: &Shared,
    admin: &Admin,
    change: &TermChange,
    (done, at, id): (&TermDone, Tick, &str),
) -> Result<(), PushError> {
    let Some((hold, said)) = done
        .hold
        .as_ref()
        .and_then(|hold| Some((hold, hold.disposition.as_ref()?)))
    else {
        let digest = done.digest.map(|digest| digest.to_string());
        let name = format!("{} {}", done.id, digest.unwrap_or_default());
        let what = (admin, change.name(), name.trim_end());
        return shared.recorder.event(&operation(at, id, what, None));
    };
    shared.recorder.event(&Event {
        at,
        body: Disposed {
            admin: &said.officer,
            grant: said.grant,
            model: &hold.model,
            party: &hold.party,
            rules: &hold.rules,
            ticket: &hold.ticket,
            until_us: said.until_us,
        },
        id,
        t: DISPOSITION_V1,
    })
}

fn placed(problems: &[PackProblem]) -> Refusal {
    Refusal(StatusCode::UNPROCESSABLE_ENTITY, render(problems))
}

fn refused(error: &TermError) -> Refusal {
    let status = match error {
        TermError::Disposed(_) | TermError::Exists { .. } => StatusCode::CONFLICT,
        TermError::State(error) => return failed(error),
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Refusal(status, error.to_string())
}
