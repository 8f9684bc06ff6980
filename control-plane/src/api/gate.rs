//! `GET /v1/gate/snapshot`: what a gate decides by.

use axum::extract::State;
use axum::response::Response;

use super::App;
use super::caller::{Allowed, ReadSnapshot};
use super::json::shown;
use super::problem::{Problem, ReadProblems};

/// The snapshot as of now.
#[utoipa::path(get, path = "/v1/gate/snapshot", operation_id = "getSnapshot", tag = "gates",
    security(("gate" = [])), responses((status = 200, body = Object), ReadProblems))]
pub(super) async fn snapshot(
    State(app): State<App>,
    _caller: Allowed<ReadSnapshot>,
) -> Result<Response, Problem> {
    shown(&app.snapshot().await?)
}
