//! What whoever runs the product meets: HTTPS, logs, metrics, traces, and the end.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use reqwest::{Certificate, Client, Version};
use serde_json::Value;
use tests::process::{end_with, start};
use tests::{COMMERCE, Database, Tollgate, Vendor, tollgate_command};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// `tollgate serve` with a manifest and data in `dir`, on free ports.
fn serve(dir: &Path, arguments: &[&str]) -> Command {
    std::fs::write(dir.join("tiers.toml"), COMMERCE).unwrap();
    let mut command = tollgate_command();
    let any = "127.0.0.1:0";
    command.args(["serve", "--listen", any, "--gate-listen", any]);
    command.arg("--data").arg(dir.join("data"));
    command.arg("--manifest").arg(dir.join("tiers.toml"));
    command.args(arguments);
    command
}

/// Starts it and returns both addresses.
async fn started(command: Command) -> (Child, String, String) {
    let (child, ready) = start(command).await;
    let rest = ready.strip_prefix("tollgate ready: control plane ");
    let (control_plane, gate) = rest.unwrap().split_once(", gate ").unwrap();
    (child, control_plane.to_owned(), gate.to_owned())
}

async fn signal(child: &Child, name: &str) {
    let id = child.id().unwrap().to_string();
    let sent = Command::new("kill").args([name, &id]).status().await;
    assert!(sent.unwrap().success());
}

/// Makes a certificate for 127.0.0.1 with its key, in place of those that are there.
async fn certify(certificate: &str, key: &str) -> Certificate {
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-subj", "/CN=tollgate test"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-out", certificate, "-keyout", key])
        .stdin(Stdio::null())
        .output()
        .await
        .expect("openssl runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    Certificate::from_pem(&std::fs::read(certificate).unwrap()).unwrap()
}

fn trusting(certificate: &Certificate) -> Client {
    let builder = Client::builder().no_proxy();
    let builder = builder.tls_certs_only([certificate.clone()]);
    builder.build().unwrap()
}

async fn status(client: &Client, url: &str) -> u16 {
    client.get(url).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn with_a_certificate_both_listeners_speak_https_and_a_new_one_is_taken_on_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let first = trusting(&certify(&certificate, &key).await);
    let arguments = ["--tls-cert", &certificate, "--tls-key", &key];
    let (mut child, control_plane, gate) = started(serve(dir.path(), &arguments)).await;
    assert!(control_plane.starts_with("https://") && gate.starts_with("https://"));
    let (plane_ready, gate_ready) = (format!("{control_plane}/readyz"), format!("{gate}/readyz"));
    for url in [&plane_ready, &gate_ready] {
        let response = first.get(url).send().await.unwrap();
        assert_eq!(response.version(), Version::HTTP_2, "{url}");
        assert_eq!(response.status(), 200, "{url}");
    }
    let plain = plane_ready.replace("https:", "http:");
    assert!(tests::people::client().get(plain).send().await.is_err());

    let certified = certify(&certificate, &key).await;
    signal(&child, "-HUP").await;
    let second = loop {
        // A client of its own for each try: none reuses a connection.
        let client = trusting(&certified);
        if client.get(&plane_ready).send().await.is_ok() {
            break client;
        }
    };
    assert_eq!(status(&second, &gate_ready).await, 200);
    // The first connections are still open: a new one would not be trusted.
    for url in [&plane_ready, &gate_ready] {
        assert_eq!(status(&first, url).await, 200, "{url}");
    }

    std::fs::write(&certificate, "not a certificate").unwrap();
    signal(&child, "-HUP").await;
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains("the old certificate stays") {
            assert!(line.contains("holds no certificate"), "{line}");
            break;
        }
    }
    assert_eq!(status(&trusting(&certified), &plane_ready).await, 200);
    signal(&child, "-TERM").await;
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_certificate_that_cannot_serve_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    certify(&certificate, &key).await;
    certify(&path("other-cert.pem"), &path("other-key.pem")).await;
    for (certificate, key, part) in [
        ("cert.pem", "missing.pem", "cannot read `"),
        ("key.pem", "key.pem", "holds no certificate"),
        ("cert.pem", "cert.pem", "holds no unencrypted private key"),
        ("cert.pem", "other-key.pem", "does not belong to the first"),
    ] {
        let (certificate, key) = (path(certificate), path(key));
        let mut command = serve(dir.path(), &["--tls-cert", &certificate, "--tls-key", &key]);
        let output = command.output().await.unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(part) && text.contains(&key), "{text}");
        assert!(!dir.path().join("data").exists(), "something was written");
    }
}

#[tokio::test]
async fn a_stop_takes_readiness_back_and_a_second_signal_ends_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let command = serve(dir.path(), &["--shutdown-delay", "600"]);
    let (mut child, control_plane, gate) = started(command).await;
    let client = tests::people::client();
    signal(&child, "-TERM").await;
    for url in [&control_plane, &gate] {
        while status(&client, &format!("{url}/readyz")).await != 503 {}
        assert_eq!(status(&client, &format!("{url}/livez")).await, 200);
    }
    let jwks = format!("{control_plane}/.well-known/jwks.json");
    assert_eq!(status(&client, &jwks).await, 200);
    signal(&child, "-TERM").await;
    assert_eq!(child.wait().await.unwrap().code(), Some(1));
}

#[tokio::test]
async fn a_running_request_ends_before_the_process_does() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, control_plane, _) = started(serve(dir.path(), &[])).await;
    let address = control_plane.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).await.unwrap();
    let body = r#"{"key": "no-such-key"}"#;
    let head = format!(
        "POST /v1/activate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         expect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    // The handler asks for the body: it runs.
    let mut go_on = [0; 25];
    connection.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    signal(&child, "-TERM").await;
    while TcpStream::connect(address).await.is_ok() {}
    connection.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(answer.contains("\"requestId\""), "{answer}");
    let end: ExitStatus = child.wait().await.unwrap();
    assert!(end.success(), "{end}");
}

#[tokio::test]
async fn each_request_is_one_line_of_the_log_and_no_secret_is_in_it() {
    let arguments = ["--log", "info", "--log-json"];
    let tollgate = Tollgate::start_on(Database::Sqlite, COMMERCE, &arguments).await;
    let vendor = Vendor::of(&tollgate);
    let key = vendor.issue("basic").await;
    let activation = vendor.activate(&key).await;
    let client = tests::people::client();
    let url = format!("{}/v1/tiers?token=hunter2", tollgate.control_plane);
    let request = client.get(url).header("x-request-id", "mine");
    request.bearer_auth(&key).send().await.unwrap();
    let url = format!("{}/elsewhere/{key}", tollgate.control_plane);
    assert_eq!(status(&client, &url).await, 404);

    let operator = tollgate.operator_token.clone();
    let (end, text) = end_with(tollgate).await;
    assert!(end.success());
    for secret in [&key, &activation.token, &operator, "hunter2"] {
        assert!(!text.contains(secret), "{text}");
    }
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let answered: Vec<&Value> = lines
        .iter()
        .filter(|line| line["message"] == "answered")
        .collect();
    let summary: Vec<String> = answered
        .iter()
        .map(|line| {
            let span = &line["span"];
            assert!(line["duration_ms"].as_f64().unwrap() > 0.0);
            assert!(!span["request_id"].as_str().unwrap().is_empty());
            let word = |value: &Value| value.to_string().replace('"', "");
            let (method, route) = (word(&span["method"]), word(&span["route"]));
            format!("{method} {route} {}", word(&line["status"]))
        })
        .collect();
    let expected = [
        "POST /v1/licenses 201",
        "POST /v1/activate 200",
        "GET /v1/tiers 401",
        "GET none 404",
    ];
    assert_eq!(summary, expected);
    assert_eq!(answered[2]["span"]["request_id"], "mine");
}

#[tokio::test]
async fn metrics_tell_operators_what_the_process_does() {
    let tollgate = Tollgate::start(COMMERCE).await;
    let vendor = Vendor::of(&tollgate);
    vendor.sell("basic").await;
    let url = format!("{}/metrics", tollgate.control_plane);
    assert_eq!(status(&tests::people::client(), &url).await, 401);
    let text = vendor.get("/metrics").await.text().await.unwrap();
    for line in [
        r#"tollgate_http_requests_total{route="/v1/activate",method="POST",status="2xx"} 1"#,
        r#"tollgate_http_requests_total{route="/metrics",method="GET",status="4xx"} 1"#,
        "tollgate_http_requests_in_flight 1",
        "tollgate_database_up 1",
        "tollgate_snapshot_number ",
        "tollgate_build_info{version=",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

#[tokio::test]
async fn spans_reach_a_collector_as_a_part_of_the_callers_trace() {
    let received: Arc<Mutex<Vec<u8>>> = Arc::default();
    let kept = Arc::clone(&received);
    let take = move |body: Bytes| async move { kept.lock().unwrap().extend_from_slice(&body) };
    let collector = Router::new().route("/v1/traces", post(take));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let serving = axum::serve(listener, collector);
    let serving = tokio::spawn(async move { serving.await });

    let arguments = ["--otlp-endpoint", &endpoint];
    let tollgate = Tollgate::start_on(Database::Sqlite, COMMERCE, &arguments).await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let url = format!("{}/v1/tiers/basic/packages", tollgate.control_plane);
    let request = tests::people::client().get(url);
    let request = request.header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"));
    assert_eq!(request.send().await.unwrap().status(), 401);
    // The end sends what waits.
    assert!(tollgate.stop().await.success());

    let received = received.lock().unwrap();
    let trace = data_encoding::HEXLOWER.decode(trace.as_bytes()).unwrap();
    let name = b"GET /v1/tiers/{tier}/packages".to_vec();
    for part in [trace, name, b"service.name".to_vec()] {
        let found = received.windows(part.len()).any(|window| window == part);
        assert!(found, "{part:?} is missing");
    }
    serving.abort();
}

#[tokio::test]
async fn a_collector_that_is_gone_holds_nothing_up() {
    let arguments = ["--otlp-endpoint", "http://127.0.0.1:9"];
    let tollgate = Tollgate::start_on(Database::Sqlite, COMMERCE, &arguments).await;
    let url = format!("{}/livez", tollgate.control_plane);
    assert_eq!(status(&tests::people::client(), &url).await, 200);
    let (end, text) = end_with(tollgate).await;
    assert!(end.success());
    let complaints = text.matches("the collector of spans takes none").count();
    assert_eq!(complaints, 1, "{text}");
}
