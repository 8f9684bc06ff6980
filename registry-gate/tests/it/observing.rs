//! What operators see: the figures and the lines of the log.

use std::io;
use std::sync::{Arc, Mutex};

use activation_token::clock::SettableClock;
use axum::body::Body;
use http::Method;
use metrics_exporter_prometheus::PrometheusBuilder;
use registry_gate::{Downloads, MetricsPage};
use secrecy::SecretString;
use serde_json::Value;

use crate::world::{World, publisher_token, request};

#[tokio::test]
async fn the_figures_are_for_whoever_has_the_token_for_them() {
    // One recorder a process, and each of these tests is a process.
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).unwrap();
    let noted = tempfile::tempdir().unwrap();
    let clock = Arc::new(SettableClock::at("2026-11-21T12:00:00Z".parse().unwrap()));
    let (downloads, _keeper) = Downloads::open(noted.path(), [7; 16], clock).unwrap();
    let world = World::with(|config| {
        config.downloads = Some(downloads);
        config.metrics = Some(MetricsPage {
            token: SecretString::from("letmein"),
            render: Arc::new(move || handle.render()),
        });
    });
    assert_eq!(world.publish("@acme/order", "1.0.0").await.status, 201);
    let basic = world.basic();
    let tarball = "/@acme/order/-/order-1.0.0.tgz";
    let bytes = world.get(tarball, &basic).await.body.len();
    // A publisher's is no box's download, but bytes are bytes.
    assert_eq!(world.get(tarball, &publisher_token()).await.status, 200);
    for path in ["/@acme/order", "/@acme/loyalty", "/@acme/nope", "/x//y"] {
        world.get(path, &basic).await;
    }
    world.clock.advance_seconds(100);
    for token in ["", "letmeinn", "nonsense", &basic] {
        let refused = world.get("/metrics", token).await;
        assert!(refused.is(401, "metrics_token_invalid"), "{token}");
    }
    let twice = request(Method::GET, "/metrics", "letmein").header("authorization", "Bearer x");
    let twice = world.call(twice.body(Body::empty()).unwrap()).await;
    assert!(twice.is(401, "metrics_token_invalid"));
    let page = world.get("/metrics", "letmein").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("cache-control"), "private, no-store");
    let text = String::from_utf8(page.body).unwrap();
    for line in [
        r#"tollgate_gate_answers_total{route="publish",status="2xx"} 1"#,
        r#"tollgate_gate_answers_total{route="packument",status="2xx"} 1"#,
        r#"tollgate_gate_answers_total{route="packument",status="4xx"} 2"#,
        r#"tollgate_gate_answers_total{route="none",status="4xx"} 1"#,
        r#"tollgate_gate_refusals_total{code="not_entitled"} 2"#,
        r#"tollgate_gate_refusals_total{code="metrics_token_invalid"} 5"#,
        "tollgate_gate_downloads_total 1\n",
        &format!("tollgate_gate_download_bytes_total {}", 2 * bytes),
        "tollgate_gate_snapshot_number 7",
        "tollgate_gate_snapshot_age_seconds 100",
        "tollgate_gate_snapshot_max_stale_seconds 900",
        "tollgate_gate_control_plane_silence_seconds 100",
        "tollgate_gate_token_cache_entries 1",
        "# TYPE tollgate_gate_refusals_total counter",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    assert!(!text.contains("@acme") && !text.contains("lic_1"), "{text}");
    let without = World::new();
    assert!(
        without
            .get("/metrics", "letmein")
            .await
            .is(404, "route_not_found")
    );
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn each_request_has_a_line_where_that_is_wanted_and_no_secret_in_it() {
    let world = World::new();
    assert_eq!(world.publish("@acme/order", "1.0.0").await.status, 201);
    let basic = world.basic();
    let quiet = world.get("/-/ping", "").await;
    assert_eq!(quiet.header("x-request-id"), "");

    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter("warn,registry_gate::requests=debug")
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let tarball = world.get("/@acme/order/-/order-1.0.0.tgz", &basic).await;
    let refused = world.get("/@acme/loyalty?secret=1", &basic).await;
    world.get("/@acme//x", "nonsense").await;
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let read: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(read.len(), 3, "{text}");
    let line = &read[0];
    assert_eq!(line["request_id"], tarball.header("x-request-id"));
    assert_eq!(line["route"], "tarball");
    assert_eq!(line["package"], "@acme/order");
    assert_eq!(line["version"], "1.0.0");
    assert_eq!(line["status"], 200);
    assert_eq!(line["license"], "lic_1");
    assert_eq!(line["customer"], "cus_1");
    assert_eq!(line["bytes"], tarball.body.len());
    assert!(line["microseconds"].is_u64() && line.get("code").is_none());
    assert_eq!(read[1]["code"], "not_entitled");
    assert_eq!(read[1]["request_id"], refused.header("x-request-id"));
    assert_eq!(read[2]["route"], "none");
    assert_eq!(read[2]["code"], "path_malformed");
    assert!(!text.contains(&basic) && !text.contains("secret"), "{text}");
    assert!(!text.contains("nonsense"), "{text}");
}
