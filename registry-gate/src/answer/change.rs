//! Changing packages: publish, dist-tags, deprecate, unpublish. Nothing of a body is read before
//! the rule has said yes.

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use manifest::PackageName;
use serde_json::json;

use super::publish::{self, drain, read_json};
use crate::access::PublishPermit;
use crate::amendment::{Amendment, Sent};
use crate::fault::{Failure, Fault};
use crate::gate::Parts;
use crate::refusal::Refusal;
use crate::route::{Route, parse_version};
use crate::tag::Tag;

/// The largest body of a dist-tag: a version as a JSON string.
const TAG_BODY_BYTES_MAX: usize = 1024;

/// Answers a request for a route that changes a package.
pub(super) async fn change(
    gate: &Parts,
    route: Route,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let name = match &route {
        Route::Publish(name)
        | Route::MoveTag(name, _)
        | Route::RemoveTag(name, _)
        | Route::Amend(name, _)
        | Route::Unpublish(name, _)
        | Route::UnpublishVersion(name, ..) => name.clone(),
        _ => return Err(Refusal::NoRoute.into()),
    };
    let permit = match gate.rule.may_publish(headers, name) {
        Ok(permit) => permit,
        Err(refusal) => {
            drain(body).await;
            return Err(refusal.into());
        }
    };
    let hosted = &gate.packages.hosted;
    match route {
        Route::Publish(_) => return put(gate, &permit, headers, body).await,
        Route::MoveTag(_, tag) => return move_tag(gate, &permit, tag, headers, body).await,
        Route::Amend(_, revision) => {
            let read = Amendment::read;
            let amendment = read_document(gate, &permit, headers, body, read).await?;
            hosted.amend(&permit, &amendment, &revision, true).await?;
        }
        Route::RemoveTag(_, tag) => {
            drain(body).await;
            hosted.remove_tag(&permit, tag).await?;
        }
        Route::Unpublish(_, revision) => {
            drain(body).await;
            hosted.unpublish(&permit, &revision).await?;
        }
        Route::UnpublishVersion(_, version, revision) => {
            drain(body).await;
            hosted
                .unpublish_version(&permit, &version, &revision)
                .await?;
        }
        _ => return Err(Refusal::NoRoute.into()),
    }
    Ok(done(StatusCode::OK))
}

/// A release, or a package's own document with changes.
async fn put(
    gate: &Parts,
    permit: &PublishPermit,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    match read_document(gate, permit, headers, body, Sent::read).await? {
        Sent::Publication(publication) => publish::publish(gate, permit, publication).await,
        Sent::Amendment(amendment) => {
            let revision = amendment.revision.as_deref().ok_or(Refusal::NoRevision)?;
            let hosted = &gate.packages.hosted;
            hosted.amend(permit, &amendment, revision, false).await?;
            Ok(done(StatusCode::CREATED))
        }
    }
}

/// Reads a body whole and makes of it what `read` does, on a thread that may take its time.
async fn read_document<T: Send + 'static>(
    gate: &Parts,
    permit: &PublishPermit,
    headers: &HeaderMap,
    body: Body,
    read: fn(&PackageName, &[u8]) -> Result<T, crate::publication::PublicationError>,
) -> Result<T, Failure> {
    // Given back when the document is gone; what was made of it is smaller.
    let (body, _room) = publish::read_body(gate, headers, body).await?;
    let name = permit.name().clone();
    let read = tokio::task::spawn_blocking(move || read(&name, &body));
    let read = read.await;
    let read = read.map_err(|error| Fault::new("reading a publish document", error))?;
    Ok(read.map_err(Refusal::from)?)
}

async fn move_tag(
    gate: &Parts,
    permit: &PublishPermit,
    tag: Tag,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let body = read_json(headers, body, TAG_BODY_BYTES_MAX).await?;
    let text: String = serde_json::from_slice(&body).map_err(|_| Refusal::TagBody)?;
    let version = parse_version(&text).ok_or(Refusal::TagBody)?;
    gate.packages.hosted.move_tag(permit, tag, version).await?;
    Ok(done(StatusCode::CREATED))
}

fn done(status: StatusCode) -> Response {
    (status, Json(json!({ "ok": true }))).into_response()
}
