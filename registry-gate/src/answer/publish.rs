//! Publishing: take a document within bounds, check it against its tarball, store it.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::json;
use tokio::sync::SemaphorePermit;

use crate::access::PublishPermit;
use crate::fault::{Failure, Fault};
use crate::gate::Parts;
use crate::publication::Publication;
use crate::refusal::Refusal;

/// How much of the body of a refused request is still read, in bytes, and for how long. A client
/// that finds its connection closed while it sends never sees why.
const DRAINED_BYTES_MAX: usize = 4 * 1024 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a publish document may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_mins(10);

/// The room that a document of so many bytes takes, in KiB.
pub(crate) fn room(bytes: usize) -> usize {
    bytes.div_ceil(1024).max(1)
}

/// Stores a release.
pub(super) async fn publish(
    gate: &Parts,
    permit: &PublishPermit,
    publication: Publication,
) -> Result<Response, Failure> {
    let version = publication.version.clone();
    gate.packages.hosted.publish(permit, publication).await?;
    let (name, publisher) = (permit.name(), permit.publisher());
    tracing::info!(%name, %version, publisher, "published");
    let body = Json(json!({ "ok": true, "id": name }));
    Ok((StatusCode::CREATED, body).into_response())
}

/// Reads a document, once there is room for it.
pub(super) async fn read_body<'g>(
    gate: &'g Parts,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Vec<u8>, SemaphorePermit<'g>), Failure> {
    let bytes_max = gate.publish_bytes_max;
    let told = told_length(headers).and_then(|told| usize::try_from(told).ok());
    let needed = room(told.unwrap_or(bytes_max).min(bytes_max));
    let needed = u32::try_from(needed).unwrap_or(u32::MAX);
    let room = gate.publish_room.acquire_many(needed).await;
    let room = room.map_err(|error| Fault::new("waiting for room", error))?;
    Ok((read_json(headers, body, bytes_max).await?, room))
}

/// Reads a JSON body of at most so many bytes.
pub(super) async fn read_json(
    headers: &HeaderMap,
    mut body: Body,
    bytes_max: usize,
) -> Result<Vec<u8>, Refusal> {
    if !is_json(headers) {
        drain(body).await;
        return Err(Refusal::MediaType);
    }
    let told = told_length(headers);
    if told > Some(bytes_max as u64) {
        drain(body).await;
        return Err(Refusal::BodyTooLarge);
    }
    // Made as large as it will be, so that it is never held twice.
    let told = told.and_then(|told| usize::try_from(told).ok());
    let mut whole = Vec::with_capacity(told.unwrap_or_default());
    let mut limited = Limited::new(&mut body, bytes_max);
    let read = async {
        while let Some(frame) = limited.frame().await {
            if let Ok(data) = frame?.into_data() {
                whole.extend_from_slice(&data);
            }
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    };
    match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(Ok(())) => Ok(whole),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            drain(body).await;
            Err(Refusal::BodyTooLarge)
        }
        _ => Err(Refusal::BodyCutShort),
    }
}

/// Reads on after a refusal, within bounds, so that the client comes to read the answer.
pub(super) async fn drain(body: Body) {
    let body = Limited::new(body, DRAINED_BYTES_MAX);
    let read = body
        .into_data_stream()
        .take_while(|chunk| std::future::ready(chunk.is_ok()));
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, read.for_each(|_| std::future::ready(()))).await;
}

fn told_length(headers: &HeaderMap) -> Option<u64> {
    let told = headers.get(CONTENT_LENGTH)?;
    told.to_str().ok()?.parse().ok()
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = value.and_then(|value| value.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}
