//! The log as the specification publishes it (C2SP tlog-tiles): `checkpoint` and `tile/…`. Hash tiles say nothing of what
//! was decided and need no key; entry bundles do, and need the auditor's.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use tieline_ledger::tile::{TileKind, TilePath};
use tieline_ledger::{LedgerError, Reader};
use tokio::sync::Mutex;

use super::{Refusal, require};
use crate::keys::{Admin, Role};
use crate::shared::Shared;

/// The ledger's file, open for whoever asks for tiles: those need no key, so that neither files nor threads may grow with
/// their number. One reads at a time; the others wait without a thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Tiles(Arc<Mutex<Option<Reader>>>);

impl Tiles {
    async fn read(&self, shared: &Shared, tile: TilePath) -> Result<Option<Vec<u8>>, String> {
        let mut open = self.0.clone().lock_owned().await;
        let dir = shared.dir.clone();
        let read = move || {
            let reader = match open.take() {
                Some(reader) => reader,
                None => Reader::open(&dir)?,
            };
            let bytes = reader.tile(&tile)?;
            *open = Some(reader);
            Ok::<_, LedgerError>(bytes)
        };
        let read = tokio::task::spawn_blocking(read).await;
        read.map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())
    }

    /// Close the file, so that the writer is the last who has it open.
    pub(super) async fn close(&self) {
        *self.0.lock().await = None;
    }
}

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
    Extension(tiles): Extension<Tiles>,
    Path(rest): Path<String>,
) -> Result<Response, Refusal> {
    let tile = parse(&format!("tile/{rest}"))?;
    // The path comes decoded, so that the router may not have seen the word `entries` in it.
    if tile.kind == TileKind::Entries {
        return Err(unknown());
    }
    serve(&shared, &tiles, tile).await
}

pub(super) async fn entries(
    State(shared): State<Arc<Shared>>,
    Extension(admin): Extension<Arc<Admin>>,
    Extension(tiles): Extension<Tiles>,
    Path(rest): Path<String>,
) -> Result<Response, Refusal> {
    require(&admin, &[Role::Auditor])?;
    serve(&shared, &tiles, parse(&format!("tile/entries/{rest}"))?).await
}

fn unknown() -> Refusal {
    Refusal(StatusCode::NOT_FOUND, "no such tile".into())
}

fn parse(path: &str) -> Result<TilePath, Refusal> {
    path.parse().map_err(|_| unknown())
}

async fn serve(shared: &Shared, tiles: &Tiles, tile: TilePath) -> Result<Response, Refusal> {
    let read = tiles.read(shared, tile).await;
    // Why is the operator's to know: it names files, and whoever asks for hashes may be anybody.
    let failed = |error: String| {
        tracing::warn!(%error, "a tile could not be read");
        Refusal(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the log could not be read".into(),
        )
    };
    let bytes = read.map_err(failed)?.ok_or_else(unknown)?;
    Ok((
        [
            (CONTENT_TYPE, "application/octet-stream"),
            (CACHE_CONTROL, IMMUTABLE),
        ],
        bytes,
    )
        .into_response())
}
