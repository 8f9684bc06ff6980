//! `GET /.well-known/jwks.json`: the keys that tokens are verified with.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::App;
use super::problem::Problem;
use crate::domain::signing_key::JWKS_MAX_AGE_SECONDS;

/// A standard key set, with the member that Potter's consumers read before it (T-22).
#[derive(Serialize)]
struct Jwks {
    algorithm: &'static str,
    #[serde(flatten)]
    set: jsonwebtoken::jwk::JwkSet,
}

/// The keys that tokens are verified with.
///
/// With `If-None-Match`, 304 as long as they are the same.
#[utoipa::path(get, path = "/.well-known/jwks.json", operation_id = "getKeySet", tag = "boxes",
    security(()), responses((status = 200, body = Object),
        (status = 304, description = "The ones that are held are the same")))]
pub(super) async fn show(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    let jwks = Jwks {
        algorithm: "EdDSA",
        set: app.key_set().to_jwks(),
    };
    let body = serde_json::to_vec(&jwks).map_err(Problem::fault)?;
    let etag = format!("\"{}\"", HEXLOWER.encode(&Sha256::digest(&body)));
    let told = [
        (header::ETAG, etag.clone()),
        // Rotation waits longer than that before a new key signs.
        (
            header::CACHE_CONTROL,
            format!("public, max-age={JWKS_MAX_AGE_SECONDS}"),
        ),
    ];
    if headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .any(|held| names(held, &etag))
    {
        return Ok((StatusCode::NOT_MODIFIED, told).into_response());
    }
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok((told, kind, body).into_response())
}

/// Whether an `If-None-Match` names this tag. Proxies that compress make a tag weak.
fn names(held: &HeaderValue, etag: &str) -> bool {
    let held = held.to_str().unwrap_or_default();
    held.trim() == "*"
        || held
            .split(',')
            .map(str::trim)
            .any(|tag| tag.strip_prefix("W/").unwrap_or(tag) == etag)
}
