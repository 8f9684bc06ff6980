//! `/livez` and `/readyz`.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;

use registry_gate::server::Lifecycle;

use super::App;
use super::problem::Problem;

/// The process runs.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// The database answers, and the process is not about to end.
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
