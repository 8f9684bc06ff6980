//! `/livez` and `/readyz`.

use axum::extract::State;
use axum::http::StatusCode;

use super::App;
use super::problem::Problem;

/// Whether the process runs.
#[utoipa::path(get, path = "/livez", operation_id = "live", tag = "health", security(()),
    responses((status = 200, body = String)))]
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// Whether it can serve: the database answers.
#[utoipa::path(get, path = "/readyz", operation_id = "ready", tag = "health", security(()),
    responses((status = 200, body = String), (status = 503, description = "Not now",
        body = super::problem::Body, content_type = "application/problem+json")))]
pub(super) async fn ready(State(app): State<App>) -> Result<&'static str, Problem> {
    let answers = app.store.newest_change().await;
    answers.map(|_| "ok\n").map_err(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "not ready");
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not_ready",
            "the database does not answer",
        )
    })
}
