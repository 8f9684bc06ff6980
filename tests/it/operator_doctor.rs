//! An operator asks whether all is well.

use jiff::SignedDuration;
use serde_json::{Value, json};
use tests::workshop::{Ended, end};
use tests::{Database, SMALL, Tollgate, Vendor, Workshop};
use tokio::process::Command;

/// What the checks found, by their names.
fn states(ended: &Ended) -> Vec<(String, String)> {
    let body = ended.json();
    let checks = body["checks"].as_array().unwrap().iter();
    checks
        .map(|check| {
            let text = |member: &str| check[member].as_str().unwrap().to_owned();
            assert_eq!(
                check["fix"].is_null(),
                ["ok", "skipped"].contains(&check["state"].as_str().unwrap()),
                "{check}"
            );
            (text("name"), text("state"))
        })
        .collect()
}

fn state_of(ended: &Ended, name: &str) -> String {
    let all = states(ended);
    let found = all.iter().find(|(check, _)| check == name);
    found
        .unwrap_or_else(|| panic!("{name}: {ended:?}"))
        .1
        .clone()
}

fn screen(text: &str) -> String {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT");
    settings.add_filter(r"\d{4}-\d\d-\d\d(T[0-9:.]+Z)?", "DATE");
    settings.add_filter(r"[\w-]{8} has signed for \d+ s", "KEY has signed for TIME");
    settings.add_filter(r"is \d+ s old", "is TIME old");
    settings.add_filter(r"\d+ bytes", "SIZE bytes");
    settings.add_filter(r"(lic|whk)_[0-9a-z]+", "${1}_ID");
    settings.bind(|| insta::assert_snapshot!("doctor", text));
    text.to_owned()
}

async fn a_well_server(database: Database) -> Vec<(String, String)> {
    let tollgate = Tollgate::start_on(database, SMALL, &[]).await;
    let workshop = Workshop::new();
    let vendor = Vendor::of(&tollgate);
    vendor.publish_samples(SMALL).await;
    // The gate's figures are renewed now and then.
    while !vendor
        .get("/metrics")
        .await
        .text()
        .await
        .unwrap()
        .contains("tollgate_gate_snapshot_age_seconds ")
    {
        tokio::task::yield_now().await;
    }
    let before: Value = vendor.get("/v1/audit?limit=1").await.json().await.unwrap();
    let ended = workshop.run(&tollgate, &["doctor", "--json"]).await;
    let after: Value = vendor.get("/v1/audit?limit=1").await.json().await.unwrap();
    assert_eq!(before, after, "it changed something");
    let states = states(&ended);
    ended.with(0);

    let ended = workshop.run(&tollgate, &["doctor", "--download"]).await;
    let text = ended.with(0);
    if matches!(database, Database::Sqlite) {
        screen(&text);
    }
    let boxes: Value = vendor.get("/v1/licenses").await.json().await.unwrap();
    assert_eq!(boxes["licenses"], json!([]));
    let made = vendor.get("/v1/credentials?kind=publisher").await;
    let made: Value = made.json().await.unwrap();
    assert!(made["credentials"][0]["revokedAt"].is_string(), "{made}");
    states
}

#[tokio::test]
async fn a_server_that_is_well_is_told_so_and_left_as_it_is() {
    let sqlite = a_well_server(Database::Sqlite).await;
    assert!(
        sqlite
            .iter()
            .all(|(_, state)| state == "ok" || state == "skipped"),
        "{sqlite:?}"
    );
    assert_eq!(a_well_server(Database::Postgres).await, sqlite);
}

#[tokio::test]
async fn what_an_operator_has_to_look_after_is_told_with_what_to_do() {
    let internal = ["--webhook-allow-internal"];
    let tollgate = Tollgate::start_on(Database::Sqlite, SMALL, &internal).await;
    let (vendor, workshop) = (Vendor::of(&tollgate), Workshop::new());
    let soon = tests::now() + SignedDuration::from_hours(72);
    let body = json!({ "customerId": "corner-shop", "tier": "basic", "expiresAt": soon });
    assert_eq!(vendor.post("/v1/licenses", &body).await.status(), 201);
    let body = json!({ "url": "http://127.0.0.1:1/nobody", "events": ["license.*"] });
    let made = vendor.post("/v1/webhooks", &body).await;
    assert_eq!(made.status(), 201, "{}", made.text().await.unwrap());
    vendor.issue("basic").await;
    loop {
        let hooks: Value = vendor.get("/v1/webhooks").await.json().await.unwrap();
        if hooks["webhooks"][0]["failingSince"].is_string() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let ended = workshop.run(&tollgate, &["doctor", "--json"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for name in ["licenses", "webhooks"] {
        assert_eq!(state_of(&ended, name), "warning");
    }
    assert!(ended.stdout.contains("of corner-shop on "), "{ended:?}");

    // A token that may not read everything is told what was left out, and no other.
    for (role, skipped) in [
        ("viewer", vec![]),
        ("support", vec!["signing keys", "webhooks"]),
    ] {
        let body = json!({ "kind": "operator", "name": role, "role": role });
        let made: Value = vendor
            .post("/v1/credentials", &body)
            .await
            .json()
            .await
            .unwrap();
        let mut command = workshop.tollgate(&tollgate, &["doctor", "--json"]);
        command.env("TOLLGATE_OPERATOR_TOKEN", made["secret"].as_str().unwrap());
        let ended = end(command).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        for name in ["signing keys", "webhooks"] {
            let state = state_of(&ended, name);
            assert_eq!(
                state == "skipped",
                skipped.contains(&name),
                "{role} {name} {state}"
            );
        }
    }
}

#[tokio::test]
async fn what_does_not_work_fails_and_says_what_to_do() {
    // Boxes are told of a gate where none is.
    let gate = ["--gate-url", "http://127.0.0.1:1"];
    let tollgate = Tollgate::start_on(Database::Sqlite, SMALL, &gate).await;
    let workshop = Workshop::new();
    let ended = workshop.run(&tollgate, &["doctor", "--json"]).await;
    assert_eq!(state_of(&ended, "gate"), "failed");
    assert!(ended.stdout.contains("--gate-url"), "{ended:?}");
    ended.with(1);

    let mut command = workshop.tollgate(&tollgate, &["doctor", "--json"]);
    command.env("TOLLGATE_OPERATOR_TOKEN", "tgo_nonsense");
    let ended = end(command).await;
    assert_eq!(state_of(&ended, "token"), "failed");
    assert!(!ended.stdout.contains("nonsense"), "{ended:?}");
    ended.with(1);

    let mut command = workshop.tollgate(&tollgate, &["doctor", "--json"]);
    command.env("TOLLGATE_SERVER", "http://127.0.0.1:1");
    let ended = end(command).await;
    assert_eq!(states(&ended), [("server".to_owned(), "failed".to_owned())]);
    ended.with(1);
    // With no server there is nothing to look at.
    assert_eq!(end(workshop.bare(&["doctor"])).await.code, Some(2));
}

#[tokio::test]
async fn a_certificate_that_does_not_verify_is_named() {
    let workshop = Workshop::new();
    let path = |name: &str| workshop.path(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-subj", "/CN=tollgate test"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-out", &certificate, "-keyout", &key])
        .output()
        .await;
    assert!(made.unwrap().status.success());
    let arguments = ["--tls-cert", &certificate, "--tls-key", &key];
    let tollgate = Tollgate::start_on(Database::Sqlite, SMALL, &arguments).await;
    assert!(tollgate.control_plane.starts_with("https://"));
    let ended = workshop.run(&tollgate, &["doctor", "--json"]).await;
    assert_eq!(state_of(&ended, "tls"), "failed");
    ended.with(1);
    // The one who is told to trust it gets through.
    let mut command = workshop.tollgate(&tollgate, &["doctor", "--json"]);
    command.env("SSL_CERT_FILE", &certificate);
    let ended = end(command).await;
    assert_eq!(state_of(&ended, "tls"), "ok", "{ended:?}");
    assert_eq!(state_of(&ended, "gate tls"), "ok");
    ended.with(0);
}
