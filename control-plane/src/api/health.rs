//! `/livez` and `/readyz`.

use axum::extract::State;
use axum::http::StatusCode;

use super::App;
use super::problem::Problem;

/// The process runs.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// The database answers.
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
