//! The operations of `/admin/v1`. Each is one transaction of the state file and one entry of the ledger.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tieline_core::{Health, Limits, Snapshot, Tick};

use super::Refusal;
use super::openapi::{HealthSchema, LimitsSchema};
use crate::keys::{Admin, Token};
use crate::members::{Member, MemberError};
use crate::recorder::Event;
use crate::run::apply_out;
use crate::shared::{ChildStatus, Shared};
use crate::state::{KeyRow, OutRow, StateError};

type Shell = State<Arc<Shared>>;
type Caller = Extension<Arc<Admin>>;

/// Names that a refusal lists: what a screen takes; `tieline grid` has all.
const NAMES_MAX: usize = 20;

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Status {
    calls_in_flight: usize,
    channels: Vec<ChannelStatus>,
    children: Vec<ChildStatus>,
    epoch: u64,
    grid: String,
    ledger: LedgerStatus,
    out: Vec<OutRow>,
    schema: &'static str,
    version: &'static str,
}

#[derive(Debug, JsonSchema, Serialize)]
struct ChannelStatus {
    in_flight: u32,
    model: String,
    name: String,
    out: bool,
    #[schemars(with = "HealthSchema")]
    state: Health,
    ttft_us: Option<u32>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct LedgerStatus {
    commits: u64,
    queued: usize,
    root: String,
    size: u64,
    stopped: Option<String>,
}

/// What to cut or restore.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Target {
    name: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Operation<'a> {
    admin: &'a str,
    /// How many it was done to, where that may be several.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
    done: &'a str,
    name: &'a str,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    #[serde(default)]
    #[schemars(with = "Option<LimitsSchema>")]
    limits: Limits,
    party: String,
    #[serde(default)]
    scope: Option<Vec<String>>,
}

/// Limits of all the keys of a party together.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPartyLimits {
    /// In place of all that it had; what is absent is unlimited.
    #[schemars(with = "LimitsSchema")]
    limits: Limits,
    party: String,
}

/// The limits that a party has from here on.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct PartyLimits {
    #[schemars(with = "LimitsSchema")]
    limits: Limits,
    party: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyId {
    id: String,
}

#[derive(Debug, JsonSchema, Serialize)]
struct KeyView {
    created_us: u64,
    id: String,
    #[schemars(with = "LimitsSchema")]
    limits: Limits,
    party: String,
    revoked_us: Option<u64>,
    scope: Option<Vec<String>>,
}

/// What a cut or its end did.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Turned {
    /// False if it was so before.
    changed: bool,
    /// `channel` or `component`.
    kind: &'static str,
    name: String,
    /// Whether a supervised model server was stopped or started with it.
    process: bool,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Reloaded {
    /// Always true; a configuration that is not swapped in is a 422.
    reloaded: bool,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Flushed {
    /// Entries that are durable.
    size: u64,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct KeyList {
    keys: Vec<KeyView>,
    /// Always `tieline/keys/v1`.
    schema: &'static str,
}

/// A new key, without a Debug form: nothing may write its secret but the answer.
#[derive(JsonSchema, Serialize)]
pub(super) struct KeyMade {
    id: String,
    /// The secret, shown this once.
    key: String,
    party: String,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct KeyRevoked {
    /// False if it was revoked before.
    changed: bool,
    id: String,
}

pub(super) async fn status(State(shared): Shell) -> Result<Json<Status>, Refusal> {
    let live = shared.live.load();
    let now = shared.now();
    let channels = {
        let board = shared.board();
        let candidates = live
            .snapshot
            .models
            .iter()
            .flat_map(|model| model.candidates.iter().copied());
        let rows = candidates.map(|candidate| {
            let row = board
                .view(&live.snapshot, &[candidate], now)
                .rows
                .first()
                .copied();
            let name = live
                .snapshot
                .channel(candidate.channel)
                .map_or("", |channel| &channel.name);
            let model = live
                .snapshot
                .model(candidate.model)
                .map_or("", |model| &model.name);
            ChannelStatus {
                in_flight: row.map_or(0, |row| row.in_flight),
                model: model.into(),
                name: name.into(),
                out: row.is_some_and(|row| row.out),
                state: row.map_or(Health::Closed, |row| row.health),
                ttft_us: board.fleet.ttft_us(candidate.channel, candidate.model),
            }
        });
        rows.collect()
    };
    let (health, head) = (shared.recorder.health(), shared.recorder.head());
    Ok(Json(Status {
        calls_in_flight: shared.calls.load(std::sync::atomic::Ordering::Relaxed),
        channels,
        children: shared
            .children
            .as_ref()
            .map_or_else(Vec::new, |children| children.status()),
        epoch: live.judge.load().number(),
        grid: tieline_core::record::Hex32(live.snapshot.digest).to_string(),
        ledger: LedgerStatus {
            commits: health.commits,
            queued: health.queued_entries,
            root: head.root.to_string(),
            size: head.size,
            stopped: health.stopped.map(|stopped| stopped.to_string()),
        },
        out: shared.state().outs().map_err(|error| failed(&error))?,
        schema: "tieline/status/v1",
        version: env!("CARGO_PKG_VERSION"),
    }))
}

pub(super) async fn cut(
    State(shared): Shell,
    Extension(admin): Caller,
    Json(target): Json<Target>,
) -> Result<Json<Turned>, Refusal> {
    change(&shared, &admin, &target.name, true).await
}

pub(super) async fn restore(
    State(shared): Shell,
    Extension(admin): Caller,
    Json(target): Json<Target>,
) -> Result<Json<Turned>, Refusal> {
    // It may take minutes, and is finished even if whoever asked goes away.
    let restored = tokio::spawn(async move { change(&shared, &admin, &target.name, false).await });
    restored
        .await
        .unwrap_or_else(|error| Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())))
}

/// Cut or restore a channel or component: state file, ledger, fleet, and the child process if the channel is one. What is
/// cut is out before its process stops; what is restored is in once its process serves, and a process that does not
/// leaves it out.
async fn change(shared: &Arc<Shared>, admin: &Admin, name: &str, cut: bool) -> Result<Json<Turned>, Refusal> {
    let snapshot = shared.live.load().snapshot.clone();
    let kind = if snapshot.channel_named(name).is_some() {
        "channel"
    } else if snapshot.component_named(name).is_some() {
        "component"
    } else {
        return Err(Refusal(StatusCode::NOT_FOUND, unknown_target(&snapshot, name)));
    };
    let out = OutRow {
        kind: kind.into(),
        name: name.into(),
        since_us: shared.now().0,
    };
    let (changed, process);
    if cut {
        changed = turn(shared, admin, &out, true)?;
        process = child(shared, &out, true).await?;
    } else {
        process = child(shared, &out, false).await?;
        changed = turn(shared, admin, &out, false)?;
    }
    Ok(Json(Turned {
        changed,
        kind,
        name: name.to_owned(),
        process,
    }))
}

/// Take it out or put it in; false if it was so before.
fn turn(shared: &Shared, admin: &Admin, out: &OutRow, cut: bool) -> Result<bool, Refusal> {
    let changed = {
        let state = shared.state();
        let changed = if cut {
            state.put_out(out)
        } else {
            state.remove_out(&out.kind, &out.name)
        }
        .map_err(|error| failed(&error))?;
        apply_out(&mut shared.board(), out, cut);
        changed
    };
    if changed {
        record(
            shared,
            admin,
            if cut { "cut" } else { "restore" },
            &out.name,
            None,
        )?;
    }
    Ok(changed)
}

/// Stop or start the child process of a channel, if it is one; whether it is.
async fn child(shared: &Shared, out: &OutRow, cut: bool) -> Result<bool, Refusal> {
    let Some(children) = shared.children.as_ref().filter(|_| out.kind == "channel") else {
        return Ok(false);
    };
    let (children, name) = (children.clone(), out.name.clone());
    let act = move || {
        if cut {
            Ok(children.cut(&name))
        } else {
            children.restore(&name)
        }
    };
    let acted = tokio::task::spawn_blocking(act).await;
    acted
        .unwrap_or_else(|error| Err(error.to_string()))
        .map_err(|why| Refusal(StatusCode::SERVICE_UNAVAILABLE, why))
}

fn unknown_target(snapshot: &Snapshot, name: &str) -> String {
    let channels: Vec<&str> = snapshot.channels.iter().map(|channel| &*channel.name).collect();
    let components: Vec<&str> = snapshot.components.iter().map(|component| &**component).collect();
    format!(
        "the grid has no channel or component `{name}`; channels: {}; components: {}",
        channels.join(", "),
        components.join(", ")
    )
}

pub(super) async fn reload(
    State(shared): Shell,
    Extension(admin): Caller,
) -> Result<Json<Reloaded>, Refusal> {
    record(&shared, &admin, "reload", "configuration", None)?;
    let again = shared.clone();
    let result = tokio::task::spawn_blocking(move || crate::reload::reload(&again)).await;
    match result {
        Ok(Ok(())) => Ok(Json(Reloaded { reloaded: true })),
        Ok(Err(why)) => Err(Refusal(StatusCode::UNPROCESSABLE_ENTITY, why)),
        Err(error) => Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

/// Wait until all entries so far are durable.
pub(super) async fn flush(State(shared): Shell) -> Result<Json<Flushed>, Refusal> {
    let size = tokio::task::spawn_blocking(move || shared.recorder.flush()).await;
    match size {
        Ok(Ok(size)) => Ok(Json(Flushed { size })),
        Ok(Err(error)) => Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, error.to_string())),
        Err(error) => Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

pub(super) async fn keys(State(shared): Shell) -> Result<Json<KeyList>, Refusal> {
    let keys = shared.state().keys().map_err(|error| failed(&error))?;
    let views: Vec<KeyView> = keys.into_iter().map(view).collect();
    Ok(Json(KeyList {
        keys: views,
        schema: "tieline/keys/v1",
    }))
}

pub(super) async fn add_key(
    State(shared): Shell,
    Extension(admin): Caller,
    Json(new): Json<NewKey>,
) -> Result<Json<KeyMade>, Refusal> {
    names_are_known(&shared.live.load().snapshot, new.scope.as_deref())?;
    let (mut secret, mut id) = ([0; 32], [0; 8]);
    let drawn = getrandom::fill(&mut secret).and_then(|()| getrandom::fill(&mut id));
    drawn.map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let token = Token::party(&secret);
    let key = KeyRow {
        created_us: shared.now().0,
        digest: token.digest,
        id: format!("k_{:016x}", u64::from_be_bytes(id)),
        limits: new.limits,
        party: new.party,
        revoked_us: None,
        scope: new.scope,
    };
    {
        let state = shared.state();
        let postures = shared.live.load().judge.load().postures().clone();
        // Before the key is there: a party whose facts have no posture would stand in the way of every other key.
        let member = Member::resolve(&shared.registry.load(), &postures, &key.party);
        if member.map_err(|error| unusable(&error))?.is_none() {
            return Err(Refusal(
                StatusCode::NOT_FOUND,
                format!("there is no party `{}`", key.party),
            ));
        }
        state.put_key(&key).map_err(|error| failed(&error))?;
        swap_keys(&shared, &state)?;
    }
    record(&shared, &admin, "key-add", &key.id, None)?;
    Ok(Json(KeyMade {
        id: key.id,
        key: token.expose().to_owned(),
        party: key.party,
    }))
}

/// A scope of names that the grid does not have would make a key that every call is refused with.
fn names_are_known(snapshot: &Snapshot, scope: Option<&[String]>) -> Result<(), Refusal> {
    for (at, name) in scope.unwrap_or_default().iter().enumerate() {
        let is_known = snapshot.pools.iter().any(|pool| *pool.name == **name)
            || snapshot.models.iter().any(|model| *model.name == **name);
        if !is_known {
            let pools = few(snapshot.pools.iter().map(|pool| &*pool.name));
            let models = few(snapshot.models.iter().map(|model| &*model.name));
            let says = format!(
                "`scope[{at}]`: the grid in force has no pool or model `{name}`, and a key for it could ask for nothing; \
                 name one that is there (pools: {pools}; models: {models}), or add it to the configuration, reload, and \
                 ask again"
            );
            return Err(Refusal(StatusCode::UNPROCESSABLE_ENTITY, says));
        }
    }
    Ok(())
}

/// The first [`NAMES_MAX`] names.
fn few<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(NAMES_MAX);
    let mut text = names.take(NAMES_MAX).collect::<Vec<_>>().join(", ");
    match (text.is_empty(), more) {
        (true, _) => text.push_str("none"),
        (false, 0) => {}
        (false, more) => {
            let _ = write!(text, " and {more} more");
        }
    }
    text
}

pub(super) async fn revoke_key(
    State(shared): Shell,
    Extension(admin): Caller,
    Json(key): Json<KeyId>,
) -> Result<Json<KeyRevoked>, Refusal> {
    let changed = {
        let state = shared.state();
        let changed = state
            .revoke_key(&key.id, shared.now().0)
            .map_err(|error| failed(&error))?;
        swap_keys(&shared, &state)?;
        changed
    };
    if changed {
        record(&shared, &admin, "key-revoke", &key.id, None)?;
    }
    Ok(Json(KeyRevoked { changed, id: key.id }))
}

pub(super) async fn limit_party(
    State(shared): Shell,
    Extension(admin): Caller,
    Json(new): Json<NewPartyLimits>,
) -> Result<Json<PartyLimits>, Refusal> {
    {
        let state = shared.state();
        if state.party(&new.party).map_err(|error| failed(&error))?.is_none() {
            return Err(Refusal(
                StatusCode::NOT_FOUND,
                format!("there is no party `{}`", new.party),
            ));
        }
        let put = state.put_party_limits(&new.party, &new.limits);
        put.map_err(|error| failed(&error))?;
        swap_keys(&shared, &state)?;
    }
    record(&shared, &admin, "party-limits", &new.party, None)?;
    Ok(Json(PartyLimits {
        limits: new.limits,
        party: new.party,
    }))
}

pub(super) async fn metrics(State(shared): Shell) -> Result<impl IntoResponse, Refusal> {
    let mut text = shared.metrics.text();
    let (health, head) = (shared.recorder.health(), shared.recorder.head());
    let gauges = [
        ("tieline_ledger_entries", "Entries that are durable", head.size),
        (
            "tieline_ledger_queued",
            "Entries that wait for the writer",
            health.queued_entries as u64,
        ),
        (
            "tieline_ledger_stopped",
            "1 if the ledger's writer has stopped",
            u64::from(health.stopped.is_some()),
        ),
    ];
    let end = text.trim_end().trim_end_matches("# EOF").trim_end().len();
    text.truncate(end);
    for (name, help, value) in gauges {
        let _ = write!(
            text,
            "\n# HELP {name} {help}.\n# TYPE {name} gauge\n{name} {value}"
        );
    }
    text.push_str("\n# EOF\n");
    Ok((
        [(
            CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        text,
    ))
}

/// Read all keys again and swap them in; their parties stay resolved.
fn swap_keys(shared: &Shared, state: &crate::state::State) -> Result<(), Refusal> {
    let keys = shared.read_keys(state, &shared.registry.load());
    let keys = keys.map_err(|error| unusable(&error))?;
    shared.keys.store(Arc::new(keys));
    Ok(())
}

pub(super) fn unusable(error: &MemberError) -> Refusal {
    match error {
        MemberError::Posture { .. } => Refusal(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        MemberError::State(error) => failed(error),
    }
}

/// Every change by an administrator is an entry that names who made it.
pub(super) fn record(
    shared: &Shared,
    admin: &Admin,
    done: &str,
    name: &str,
    count: Option<usize>,
) -> Result<(), Refusal> {
    let now = shared.now();
    let id = shared.new_call(now).0.to_string();
    let event = operation(now, &id, (admin, done, name), count);
    let pushed = shared.recorder.event(&event);
    pushed.map_err(|error| Refusal(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))
}

/// The entry of what somebody did to something by that name, or to so many of them.
pub(super) fn operation<'a>(
    at: Tick,
    id: &'a str,
    (admin, done, name): (&'a Admin, &'a str, &'a str),
    count: Option<usize>,
) -> Event<'a, Operation<'a>> {
    let body = Operation {
        admin: &admin.id,
        count,
        done,
        name,
    };
    Event {
        at,
        body,
        id,
        t: "tieline/operator/v1",
    }
}

fn view(key: KeyRow) -> KeyView {
    KeyView {
        created_us: key.created_us,
        id: key.id,
        limits: key.limits,
        party: key.party,
        revoked_us: key.revoked_us,
        scope: key.scope,
    }
}

pub(super) fn failed(error: &StateError) -> Refusal {
    let status = match error {
        StateError::Missing { .. } => StatusCode::NOT_FOUND,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Refusal(status, error.to_string())
}
