//! The admin listener: status, cuts, keys, reload, metrics, and the log's checkpoint and tiles.
//!
//! Every request but health and the log's hash tiles needs an admin key; what it may do follows from the key's role, and
//! what it does is an entry of the ledger that names the key's holder.

mod api;
mod listener;
mod log;
pub(crate) mod openapi;
pub(crate) mod orders;
pub(crate) mod parties;
mod receipts;
mod routes;
pub(crate) mod schemas;
mod terms;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use self::listener::TlsListener;
use crate::keys::{Admin, Role};
use crate::shared::Shared;
use crate::state::StateError;

/// An answer that is not what was asked for.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) StatusCode, pub(crate) String);

pub(crate) async fn serve(
    shared: Arc<Shared>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    mut stop: watch::Receiver<bool>,
) {
    let tiles = log::Tiles::default();
    let handshake = Duration::from_millis(shared.live.load().settings.header_ms);
    let app = routes::router(&shared)
        .layer(axum::Extension(tiles.clone()))
        .with_state(shared);
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let ended = match tls {
        None => axum::serve(listener, app).with_graceful_shutdown(stopped).await,
        Some(tls) => match TlsListener::new(listener, tls, handshake) {
            Ok(listener) => axum::serve(listener, app).with_graceful_shutdown(stopped).await,
            Err(error) => Err(error),
        },
    };
    if let Err(error) = ended {
        tracing::error!(%error, "the admin listener ended");
    }
    tiles.close().await;
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    if shared.draining.load(Ordering::Relaxed) || shared.recorder.health().stopped.is_some() {
        return (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response();
    }
    "ready\n".into_response()
}

/// Find out who asks, and whether the key's role may; otherwise nothing else runs.
async fn identify(
    State((shared, roles)): State<(Arc<Shared>, &'static [Role])>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let admin = who(&shared, request.headers())?;
    require(&admin, roles)?;
    request.extensions_mut().insert(admin);
    Ok(next.run(request).await)
}

fn who(shared: &Shared, headers: &HeaderMap) -> Result<Arc<Admin>, Refusal> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let token = bearer
        .and_then(|value| value.strip_prefix("Bearer "))
        .map(str::trim);
    let missing = || {
        Refusal(
            StatusCode::UNAUTHORIZED,
            "send an admin key as `Authorization: Bearer tla_…`".into(),
        )
    };
    let unknown = || {
        Refusal(
            StatusCode::UNAUTHORIZED,
            "the admin key is not known here, or was revoked".into(),
        )
    };
    shared
        .keys
        .load()
        .admin(token.ok_or_else(missing)?)
        .cloned()
        .ok_or_else(unknown)
}

/// Whether the holder may act in one of `roles`.
pub(crate) fn require(admin: &Admin, roles: &[Role]) -> Result<(), Refusal> {
    if roles.contains(&admin.role) {
        return Ok(());
    }
    let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    let says = format!(
        "this needs the role {}; the key of {} is {}",
        names.join(" or "),
        admin.name,
        admin.role.name()
    );
    Err(Refusal(StatusCode::FORBIDDEN, says))
}

impl From<StateError> for Refusal {
    fn from(error: StateError) -> Self {
        api::failed(&error)
    }
}

impl From<tieline_ledger::PushError> for Refusal {
    fn from(error: tieline_ledger::PushError) -> Self {
        let says = format!("the ledger cannot record it, so nothing is changed: {error}");
        Self(StatusCode::SERVICE_UNAVAILABLE, says)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.1)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (
            self.0,
            axum::Json(serde_json::json!({ "error": { "message": self.1 } })),
        )
            .into_response()
    }
}
