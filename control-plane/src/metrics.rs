//! What Prometheus is told about the process. Every metric is named here, once.
//!
//! There is one recorder a process, made when it is first needed, because that is what the
//! numbers are about. Several routers in one process, as in tests, count into it together.

use std::convert::Infallible;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Requests, by route, method and class of status.
const REQUESTS: &str = "tollgate_http_requests_total";
/// How long answers took, by route and method.
const DURATION: &str = "tollgate_http_request_duration_seconds";
/// Requests that wait for their answer.
const IN_FLIGHT: &str = "tollgate_http_requests_in_flight";
/// Changes that were committed.
pub(crate) const CHANGES: &str = "tollgate_changes_total";
/// Commits, each of one change or of several.
pub(crate) const COMMITS: &str = "tollgate_commits_total";
/// Always 1; its label is the version.
const BUILD: &str = "tollgate_build_info";
/// Whether the database answered this scrape.
pub(crate) const DATABASE_UP: &str = "tollgate_database_up";
/// The number of the newest change that gates must know.
pub(crate) const SNAPSHOT_NUMBER: &str = "tollgate_snapshot_number";
/// Licenses, by status.
pub(crate) const LICENSES: &str = "tollgate_licenses";
/// Seconds until a license expires.
pub(crate) const LICENSE_SECONDS_LEFT: &str = "tollgate_license_seconds_left";
/// Seats of a license that are taken.
pub(crate) const LICENSE_SEATS_USED: &str = "tollgate_license_seats_used";
/// Messages that wait to be delivered, by webhook.
pub(crate) const WEBHOOK_DELIVERIES_PENDING: &str = "tollgate_webhook_deliveries_pending";

/// Upper ends, in seconds. The last but one is where a service is felt to be slow, the last where
/// a request is given up.
const DURATION_BUCKETS: [f64; 11] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];
/// Samples that nobody scrapes are folded this often, so that they take no memory.
const UPKEEP: Duration = Duration::from_secs(5);

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Makes the recorder, if this process has none yet.
pub fn recorder() -> &'static PrometheusHandle {
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new();
        let matcher = Matcher::Full(DURATION.to_owned());
        let recorder = builder
            .set_buckets_for_metric(matcher, &DURATION_BUCKETS)
            // Only an empty list of buckets is an error.
            .unwrap_or_default()
            .build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::error!("metrics stay empty: this process already has another recorder");
        }
        describe();
        gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        handle
    })
}

fn describe() {
    describe_counter!(
        REQUESTS,
        Unit::Count,
        "Requests by route, method and class of status; `aborted` when the client went away."
    );
    describe_histogram!(
        DURATION,
        Unit::Seconds,
        "Time from a request's head to its answer's, by route and method."
    );
    describe_gauge!(
        IN_FLIGHT,
        Unit::Count,
        "Requests that wait for their answer."
    );
    describe_counter!(CHANGES, Unit::Count, "Changes that were committed.");
    describe_counter!(
        COMMITS,
        Unit::Count,
        "Commits to the database, each of one change or of several."
    );
    describe_gauge!(BUILD, "Always 1; the label is the version that runs.");
    describe_gauge!(
        DATABASE_UP,
        "1 if the database answered this scrape, else 0."
    );
    describe_gauge!(
        SNAPSHOT_NUMBER,
        "Number of the newest change that gates must know."
    );
}

/// Keeps the recorder small. Never ends.
pub async fn upkeep() -> Infallible {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        recorder().run_upkeep();
    }
}

/// Counts a request and its time. As a layer of the router, for its routes to be known.
pub async fn track(request: Request, next: Next) -> Response {
    let mut tracked = Tracked::start(&request);
    let response = next.run(request).await;
    tracked.status = class(response.status());
    response
}

/// A request that waits for its answer. Counted when this value goes, also where the client goes
/// away before.
struct Tracked {
    route: String,
    method: &'static str,
    status: &'static str,
    started: Instant,
}

impl Tracked {
    fn start(request: &Request) -> Self {
        gauge!(IN_FLIGHT).increment(1.0);
        let route = request.extensions().get::<MatchedPath>();
        Self {
            // Templates only: a path is the client's to choose, and would make a series each.
            route: route.map_or("none", MatchedPath::as_str).to_owned(),
            method: known(request.method()),
            status: "aborted",
            started: Instant::now(),
        }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        gauge!(IN_FLIGHT).decrement(1.0);
        let (route, method) = (std::mem::take(&mut self.route), self.method);
        let duration = histogram!(DURATION, "route" => route.clone(), "method" => method);
        duration.record(self.started.elapsed());
        counter!(REQUESTS, "route" => route, "method" => method, "status" => self.status)
            .increment(1);
    }
}

fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::{any, get};
    use tower::ServiceExt;

    use super::*;

    fn router() -> Router {
        recorder();
        Router::new()
            .route("/one/{id}", any(async || "x"))
            .route("/never", get(std::future::pending::<&str>))
            .layer(axum::middleware::from_fn(track))
    }

    async fn send(router: &Router, method: &str, path: &str) {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap();
    }

    #[tokio::test]
    async fn labels_come_from_a_closed_set_and_routers_share_the_recorder() {
        let (one, other) = (router(), router());
        send(&one, "GET", "/one/1?secret=tgo_x").await;
        send(&other, "GET", "/one/2").await;
        send(&one, "INVENTED", "/one/3").await;
        send(&one, "GET", "/elsewhere/tgo_x").await;
        recorder().run_upkeep();
        let text = recorder().render();
        for line in [
            r#"tollgate_http_requests_total{route="/one/{id}",method="GET",status="2xx"} 2"#,
            r#"tollgate_http_requests_total{route="/one/{id}",method="other",status="2xx"} 1"#,
            r#"tollgate_http_requests_total{route="none",method="GET",status="4xx"} 1"#,
            r#"tollgate_http_request_duration_seconds_count{route="/one/{id}",method="GET"} 2"#,
            r#"le="0.0025"} "#,
            "# TYPE tollgate_http_request_duration_seconds histogram",
            "# HELP tollgate_http_requests_in_flight Requests that wait for their answer.",
            concat!(
                r#"tollgate_build_info{version=""#,
                env!("CARGO_PKG_VERSION"),
                r#""} 1"#
            ),
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(
            !text.contains("tgo_x") && !text.contains("INVENTED"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn a_request_that_its_client_gave_up_is_counted_too() {
        let router = router();
        let sent = send(&router, "GET", "/never");
        tokio::select! {
            biased;
            () = sent => panic!("it answered"),
            () = std::future::ready(()) => {}
        }
        let line = r#"{route="/never",method="GET",status="aborted"} 1"#;
        let text = recorder().render();
        assert!(text.contains(line), "{text}");
    }
}
