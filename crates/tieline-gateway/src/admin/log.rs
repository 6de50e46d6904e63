//! The log as the specification publishes it (C2SP tlog-tiles): `checkpoint` and `tile/…`. Hash tiles say nothing of what
//! was decided and need no key; entry bundles do, and need the auditor's.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use tieline_ledger::Reader;
use tieline_ledger::tile::{TileKind, TilePath};

use super::{Refusal, require};
use crate::keys::{Admin, Role};
use crate::shared::Shared;

/// A full tile never changes (the specification recommends caching it for ever).
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

pub(super) async fn checkpoint(State(shared): State<Arc<Shared>>) -> Response {
    let text = shared.recorder.head().checkpoint;
    (
        [
            (CONTENT_TYPE, "text/plain; charset=utf-8"),
            (CACHE_CONTROL, "no-cache"),
        ],
        text,
    )
        .into_response()
}

pub(super) async fn tile(
    State(shared): State<Arc<Shared>>,
    Path(rest): Path<String>,
) -> Result<Response, Refusal> {
    let tile = parse(&format!("tile/{rest}"))?;
    // The path comes decoded, so that the router may not have seen the word `entries` in it.
    if tile.kind == TileKind::Entries {
        return Err(unknown());
    }
    serve(shared, tile).await
}

pub(super) async fn entries(
    State(shared): State<Arc<Shared>>,
    Extension(admin): Extension<Arc<Admin>>,
    Path(rest): Path<String>,
) -> Result<Response, Refusal> {
    require(&admin, &[Role::Auditor])?;
    serve(shared, parse(&format!("tile/entries/{rest}"))?).await
}

fn unknown() -> Refusal {
    Refusal(StatusCode::NOT_FOUND, "no such tile".into())
}

fn parse(path: &str) -> Result<TilePath, Refusal> {
    path.parse().map_err(|_| unknown())
}

async fn serve(shared: Arc<Shared>, tile: TilePath) -> Result<Response, Refusal> {
    let dir = shared.dir.clone();
    let read = move || Reader::open(&dir).and_then(|reader| reader.tile(&tile));
    let failed = |error: String| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error);
    let read = tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| failed(error.to_string()))?;
    let bytes = read
        .map_err(|error| failed(error.to_string()))?
        .ok_or_else(unknown)?;
    Ok((
        [
            (CONTENT_TYPE, "application/octet-stream"),
            (CACHE_CONTROL, IMMUTABLE),
        ],
        bytes,
    )
        .into_response())
}
