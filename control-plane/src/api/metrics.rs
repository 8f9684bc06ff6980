//! `/metrics`, for Prometheus. It tells how business goes, so an operator's token opens it.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use jiff::SignedDuration;
use metrics::gauge;

use super::App;
use super::caller::{Allowed, ReadMetrics};
use super::problem::ReadProblems;
use crate::metrics::{
    DATABASE_UP, LICENSE_SEATS_USED, LICENSE_SECONDS_LEFT, LICENSES, SNAPSHOT_NUMBER,
    WEBHOOK_DELIVERIES_PENDING, recorder,
};
use crate::store::{StoreError, deliveries, gauges};

/// Licenses are told of one by one from so long before their expiry on, and until so long after.
const SOON: SignedDuration = SignedDuration::from_hours(90 * 24);
const LATELY: SignedDuration = SignedDuration::from_hours(30 * 24);
/// The most licenses that are told of one by one; more would be too much for a scrape.
const SERIES_MAX: i64 = 1_000;

/// Read what is measured, for Prometheus.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "health",
    security(("operator" = [])),
    responses((status = 200, body = String, content_type = "text/plain"), ReadProblems))]
pub(super) async fn show(
    State(app): State<App>,
    _caller: Allowed<ReadMetrics>,
) -> impl IntoResponse {
    let told = from_database(&app).await.inspect_err(|error| {
        let error: &dyn std::error::Error = error;
        tracing::warn!(error, "metrics lack what the database knows");
    });
    gauge!(DATABASE_UP).set(u8::from(told.is_ok()));
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    let text = recorder().render() + &told.unwrap_or_default();
    ([(CONTENT_TYPE, content_type)], text)
}

/// What the database knows. Series of single licenses come and go, so they are written here and
/// not kept by the recorder.
async fn from_database(app: &App) -> Result<String, StoreError> {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 changes")]
    let number = app.store.newest_change().await? as f64;
    gauge!(SNAPSHOT_NUMBER).set(number);

    let now = app.clock.now();
    let (from, to) = (now.saturating_sub(LATELY), now.saturating_add(SOON));
    let (from, to) = (from.unwrap_or(now), to.unwrap_or(now));
    let mut conn = app.store.read().await?;
    let mut text = String::new();
    let by_status = gauges::licenses(conn.link(), now).await?;
    family(
        &mut text,
        LICENSES,
        "Licenses, by how they stand.",
        "status",
        by_status,
    );
    let left = gauges::expiring(conn.link(), from, to, SERIES_MAX).await?;
    let left = left.into_iter().map(|(id, at)| (id, at - now.as_second()));
    let help =
        "Seconds until a license expires, negative after that; from 90 days before it to 30 after.";
    family(&mut text, LICENSE_SECONDS_LEFT, help, "license", left);
    let seats = gauges::seats(conn.link(), now, SERIES_MAX).await?;
    let help = "Seats of a license that are taken; of the 1,000 with the most.";
    family(&mut text, LICENSE_SEATS_USED, help, "license", seats);
    let pending = deliveries::pending(conn.link()).await?;
    let help = "Messages that wait to be delivered to a webhook that is enabled.";
    family(
        &mut text,
        WEBHOOK_DELIVERIES_PENDING,
        help,
        "webhook",
        pending,
    );
    Ok(text)
}

/// A family of gauges. Labels are ids and words of ours, in which nothing needs escaping.
fn family(
    text: &mut String,
    name: &str,
    help: &str,
    label: &str,
    values: impl IntoIterator<Item = (String, i64)>,
) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
    for (value_of, value) in values {
        let _ = writeln!(text, "{name}{{{label}=\"{value_of}\"}} {value}");
    }
}
