//! Publishing: take the document, check it against its tarball, store it.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::json;

use crate::access::PublishPermit;
use crate::fault::{Failure, Fault};
use crate::gate::Parts;
use crate::publication::Publication;
use crate::refusal::Refusal;
use crate::store::Published;

/// How much of the body of a refused request is still read, in bytes, and for how long. A client
/// that finds its connection closed while it sends never sees why.
const DRAINED_BYTES_MAX: usize = 4 * 1024 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a publish document may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_mins(10);

/// Stores the release in the body.
pub(super) async fn publish(
    gate: &Parts,
    permit: PublishPermit,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    if !is_json(headers) {
        drain(body).await;
        return Err(Refusal::MediaType.into());
    }
    let body = read_body(headers, body, gate.publish_bytes_max).await?;
    let name = permit.name().clone();
    let publication = tokio::task::spawn_blocking(move || Publication::read(&name, &body))
        .await
        .map_err(|error| Fault::new("reading a publish document", error))?
        .map_err(Refusal::from)?;
    let version = publication.version.clone();
    match gate.packages.hosted.publish(&permit, publication).await? {
        Published::Created => {
            let (name, publisher) = (permit.name(), permit.publisher());
            tracing::info!(%name, %version, publisher, "published");
            let body = Json(json!({ "ok": true, "id": name }));
            Ok((StatusCode::CREATED, body).into_response())
        }
        Published::Existed => Err(Refusal::VersionExists {
            name: permit.name().clone(),
        }
        .into()),
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

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = value.and_then(|value| value.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

async fn read_body(
    headers: &HeaderMap,
    mut body: Body,
    bytes_max: usize,
) -> Result<Bytes, Refusal> {
    let told = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    if told.and_then(|text| text.parse::<u64>().ok()) > Some(bytes_max as u64) {
        drain(body).await;
        return Err(Refusal::BodyTooLarge);
    }
    let read = Limited::new(&mut body, bytes_max).collect();
    let read = tokio::time::timeout(BODY_TIMEOUT, read).await;
    match read.map_err(|_| Refusal::BodyCutShort)? {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            drain(body).await;
            Err(Refusal::BodyTooLarge)
        }
        Err(_) => Err(Refusal::BodyCutShort),
    }
}
