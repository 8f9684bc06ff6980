//! `GET /.well-known/jwks.json`: the keys that tokens are verified with.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;

use super::App;

/// A standard key set, with the member that Potter's consumers read before it (T-22).
#[derive(Serialize)]
struct Jwks {
    algorithm: &'static str,
    #[serde(flatten)]
    set: jsonwebtoken::jwk::JwkSet,
}

/// The keys that tokens are verified with.
#[utoipa::path(get, path = "/.well-known/jwks.json", operation_id = "getKeySet", tag = "boxes",
    security(()), responses((status = 200, body = Object)))]
pub(super) async fn show(State(app): State<App>) -> impl IntoResponse {
    let body = Jwks {
        algorithm: "EdDSA",
        set: app.key_set().to_jwks(),
    };
    ([(header::CACHE_CONTROL, "public, max-age=300")], Json(body))
}
