//! `/metrics`, for Prometheus. It tells how business goes, so an operator's token opens it.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use metrics::gauge;

use super::App;
use super::caller::{Allowed, ReadMetrics};
use super::problem::ReadProblems;
use crate::metrics::{DATABASE_UP, SNAPSHOT_NUMBER, recorder};
use crate::store::StoreError;

/// Read what is measured, for Prometheus.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "health",
    security(("operator" = [])),
    responses((status = 200, body = String, content_type = "text/plain"), ReadProblems))]
pub(super) async fn show(
    State(app): State<App>,
    _caller: Allowed<ReadMetrics>,
) -> impl IntoResponse {
    let answered = set_domain_gauges(&app).await.inspect_err(|error| {
        let error: &dyn std::error::Error = error;
        tracing::warn!(error, "metrics lack what the database knows");
    });
    gauge!(DATABASE_UP).set(u8::from(answered.is_ok()));
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    ([(CONTENT_TYPE, content_type)], recorder().render())
}

/// Gauges that hold what the database knows are set here, at each scrape.
async fn set_domain_gauges(app: &App) -> Result<(), StoreError> {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 changes")]
    let number = app.store.newest_change().await? as f64;
    gauge!(SNAPSHOT_NUMBER).set(number);
    Ok(())
}
