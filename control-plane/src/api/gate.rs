//! `GET /v1/gate/snapshot`: what a gate decides by.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::App;
use super::caller::{Allowed, ReadSnapshot};
use super::json::private;
use super::problem::Problem;

/// The snapshot as of now.
pub(super) async fn snapshot(
    State(app): State<App>,
    _caller: Allowed<ReadSnapshot>,
) -> Result<Response, Problem> {
    Ok(private(StatusCode::OK, app.snapshot().await?))
}
