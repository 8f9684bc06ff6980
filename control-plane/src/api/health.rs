//! `/livez` and `/readyz`.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;

use registry_gate::server::Lifecycle;

use super::App;
use super::problem::Problem;

/// Whether the process runs.
#[utoipa::path(get, path = "/livez", operation_id = "live", tag = "health", security(()),
    responses((status = 200, body = String)))]
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// Whether it can serve: the database answers, and the process is not about to end.
#[utoipa::path(get, path = "/readyz", operation_id = "ready", tag = "health", security(()),
    responses((status = 200, body = String), (status = 503, description = "Not now",
        body = super::problem::Body, content_type = "application/problem+json")))]
pub(super) async fn ready(
    State(app): State<App>,
    life: Option<Extension<Lifecycle>>,
) -> Result<&'static str, Problem> {
    if life.is_some_and(|life| !life.is_serving()) {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stopping",
            "this process is about to stop",
        ));
    }
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
