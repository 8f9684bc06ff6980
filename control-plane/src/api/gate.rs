//! What gates ask: the signed snapshot, the root key it is signed with, and word of changes.

use std::convert::Infallible;
use std::time::Duration;

use activation_token::snapshot::Snapshot;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use futures_util::stream;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::App;
use super::caller::{Allowed, ReadSnapshot};
use super::json::shown;
use super::problem::{Problem, ReadProblems};
use crate::operations::{Fault, Operations};

/// A gate takes a stream for broken that is silent three times as long.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Read the snapshot as of now, as a compact JWS.
///
/// With `If-None-Match`, 304 as long as the one that is held will do.
#[utoipa::path(get, path = "/v1/gate/snapshot", operation_id = "getSnapshot", tag = "gates",
    security(("gate" = [])),
    responses((status = 200, body = String, content_type = "application/jose"),
        (status = 304, description = "The one that is held will do"), ReadProblems))]
pub(super) async fn snapshot(
    State(app): State<App>,
    _caller: Allowed<ReadSnapshot>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let snapshot = app.snapshot().await?;
    let etag = etag(&app, &snapshot).map_err(Fault::from)?;
    let told = [
        (header::ETAG, etag.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    if headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .any(|known| *known == etag)
    {
        return Ok((StatusCode::NOT_MODIFIED, told).into_response());
    }
    let signed = app.root_key.sign_snapshot(&snapshot);
    let signed = signed.map_err(Fault::from)?;
    let kind = [(header::CONTENT_TYPE, "application/jose")];
    Ok((told, kind, signed).into_response())
}

/// The digest of all that a snapshot says, with its date cut down to a half of its life.
///
/// A gate that holds a snapshot is told "not modified" only within the half-life in which that
/// one was made, so what it holds is never older than half of what it may be. After that the
/// same content has another tag, and with it comes a new date. The digest, and not the number
/// alone: a new manifest or key counts too, and neither has to come with a change.
fn etag(app: &Operations, snapshot: &Snapshot) -> Result<HeaderValue, activation_token::SignError> {
    let half_life = i64::from(snapshot.max_stale_seconds / 2).max(1);
    let second = snapshot.issued_at.as_second();
    let cut_down = Snapshot {
        issued_at: Timestamp::from_second(second - second.rem_euclid(half_life))
            .unwrap_or(snapshot.issued_at),
        ..snapshot.clone()
    };
    let json = serde_json::to_vec(&cut_down).map_err(|_| activation_token::SignError::Signer)?;
    let digest = Sha256::new()
        .chain_update(app.root_key.public().id())
        .chain_update(json)
        .finalize();
    let tag = format!("\"{}\"", HEXLOWER.encode(&digest));
    HeaderValue::try_from(tag).map_err(|_| activation_token::SignError::Signer)
}

/// Read the public half of the root key, as a JWK.
///
/// Snapshots, license files and the heads of bundles are signed with it. A gate without one takes it at its first start and keeps it.
#[utoipa::path(get, path = "/v1/gate/root-key", operation_id = "getRootKey", tag = "gates",
    security(("gate" = [])), responses((status = 200, body = Object), ReadProblems))]
pub(super) async fn root_key(
    State(app): State<App>,
    _caller: Allowed<ReadSnapshot>,
) -> Result<Response, Problem> {
    shown(app.root_key.public().to_jwk())
}

/// Listen to changes.
///
/// Server-sent events: the newest change's number at once, and each one that comes. A number is a
/// hint; the snapshot is what counts.
#[utoipa::path(get, path = "/v1/gate/changes", operation_id = "listenToChanges", tag = "gates",
    security(("gate" = [])),
    responses((status = 200, body = String, content_type = "text/event-stream"), ReadProblems))]
pub(super) async fn changes(State(app): State<App>, _caller: Allowed<ReadSnapshot>) -> Response {
    let mut newest = app.store.changes().subscribe();
    newest.mark_changed();
    let events = stream::unfold(newest, async |mut newest| {
        newest.changed().await.ok()?;
        let number = newest.borrow_and_update().to_string();
        let event = Event::default().event("change").id(&number).data(&number);
        Some((Ok::<_, Infallible>(event), newest))
    });
    // For a proxy that would collect lines before it passes them on.
    let unbuffered = [("x-accel-buffering", "no")];
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    (unbuffered, Sse::new(events).keep_alive(keep_alive)).into_response()
}
