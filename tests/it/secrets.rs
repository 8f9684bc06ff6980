//! Secrets are shown to whoever asked for them, once, and stand nowhere else.

use std::process::Command;

use activation_token::offline::LicenseFile;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tests::{COMMERCE, Database, Tollgate, Vendor};

/// What is secret, with a name for the failure.
type Secrets = Vec<(&'static str, String)>;

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Makes every sort of secret, some of them under idempotency keys that are sent twice.
async fn make(tollgate: &Tollgate, client: &Client) -> Secrets {
    let mut secrets = vec![("the operator's token", tollgate.operator_token.clone())];
    let url = |path: &str| format!("{}{path}", tollgate.control_plane);
    let ask = async |request: RequestBuilder, key: &str| -> Value {
        let request = request
            .bearer_auth(&tollgate.operator_token)
            .header("idempotency-key", key);
        let again = request.try_clone().unwrap();
        let first = request.send().await.unwrap();
        assert!(
            first.status().is_success(),
            "{}",
            first.text().await.unwrap()
        );
        let first = first.text().await.unwrap();
        assert_eq!(again.send().await.unwrap().text().await.unwrap(), first);
        serde_json::from_str(&first).unwrap()
    };
    for kind in ["operator", "gate", "publisher", "application"] {
        let key = format!("idempotent-{kind}-hunter2");
        let body = json!({ "kind": kind, "name": kind });
        let made = ask(client.post(url("/v1/credentials")).json(&body), &key).await;
        secrets.push((kind, text(&made["secret"])));
        secrets.push(("an idempotency key", key));
    }
    let body = json!({ "customerId": "c-1", "tier": "basic", "maxBoxes": 5 });
    let license = ask(
        client.post(url("/v1/licenses")).json(&body),
        "issue-hunter2",
    )
    .await;
    secrets.push(("a license key", text(&license["key"])));
    let table = client
        .post(url("/v1/licenses/import"))
        .header("content-type", "text/csv");
    let imported = ask(table.body("customerId\nc-2\n"), "import-hunter2").await;
    secrets.push((
        "an imported key",
        text(&imported["rows"][0]["license"]["key"]),
    ));
    let path = format!("/v1/licenses/{}/license-files", text(&license["id"]));
    let body = json!({ "request": {
        "requestId": "r-1", "requestedAt": "2026-11-21T12:00:00Z", "fingerprint": "f-1",
    } });
    let signed = ask(client.post(url(&path)).json(&body), "sign-hunter2").await;
    secrets.push(("a license file", text(&signed["licenseFile"])));
    let root_key = signed["rootKey"].to_string();
    let root_key = activation_token::Key::from_jwk(root_key.as_bytes()).unwrap();
    let file = LicenseFile::from_signed(&text(&signed["licenseFile"]), &root_key).unwrap();
    secrets.push(("an offline token", file.token));
    let path = format!("/v1/licenses/{}/rotate-key", text(&license["id"]));
    let body = json!({ "reason": "a test", "overlapSeconds": 600 });
    let rotated = ask(client.post(url(&path)).json(&body), "rotate-hunter2").await;
    secrets.push(("a rotated key", text(&rotated["key"])));
    for key in [&license["key"], &rotated["key"]] {
        let body = json!({ "key": key, "box": { "fingerprint": "f-1" } });
        let activated = ask(
            client.post(url("/v1/activate")).json(&body),
            "activate-hunter2",
        )
        .await;
        secrets.push(("an activation token", text(&activated["token"])));
    }
    secrets.push(("the idempotency keys", "hunter2".to_owned()));
    secrets
}

/// Sends each secret to where it does not belong, and returns what was answered.
async fn misplace(tollgate: &Tollgate, client: &Client, secrets: &Secrets) -> String {
    let (plane, gate) = (&tollgate.control_plane, &tollgate.gate);
    let mut answers = String::new();
    for (_, secret) in secrets {
        let key = json!({ "key": secret });
        let requests = [
            client
                .get(format!("{plane}/v1/licenses"))
                .bearer_auth(secret),
            client
                .get(format!("{plane}/v1/gate/snapshot"))
                .bearer_auth(secret),
            client
                .get(format!("{plane}/v1/licenses?cursor={secret}"))
                .bearer_auth(&tollgate.operator_token),
            client
                .get(format!("{plane}/v1/licenses?expiresBefore={secret}"))
                .bearer_auth(&tollgate.operator_token),
            client
                .post(format!("{plane}/v1/licenses"))
                .json(&json!({ "customerId": "c", "expiresAt": secret }))
                .bearer_auth(&tollgate.operator_token),
            client
                .get(format!("{plane}/v1/licenses?status={secret}"))
                .bearer_auth(&tollgate.operator_token),
            client
                .get(format!("{plane}/v1/licenses/{secret}"))
                .bearer_auth(&tollgate.operator_token),
            client.get(format!("{plane}/elsewhere/{secret}?key={secret}")),
            client.post(format!("{plane}/v1/activate")).json(&key),
            client
                .post(format!("{plane}/v1/activate"))
                .json(&json!({ "key": [secret] })),
            client
                .post(format!("{plane}/v1/activate"))
                .body(format!("{{\"key\": \"{secret}\""))
                .header("content-type", "application/json"),
            client
                .post(format!("{plane}/v1/activate"))
                .body(secret.clone()),
            client
                .post(format!("{plane}/v1/deactivate"))
                .json(&json!({ "key": secret, "box": secret })),
            client
                .post(format!("{plane}/v1/credentials"))
                .json(&json!({ "kind": secret, "name": "x" }))
                .bearer_auth(&tollgate.operator_token),
            client
                .post(format!("{plane}/v1/licenses"))
                .json(&json!({ "customerId": "c", "maxBoxes": secret }))
                .bearer_auth(&tollgate.operator_token),
            client
                .get(format!("{gate}/@acme%2forder"))
                .bearer_auth(secret),
            client
                .get(format!("{gate}/@acme%2floyalty"))
                .bearer_auth(secret),
            client
                .put(format!("{gate}/@acme%2forder"))
                .json(&key)
                .bearer_auth(secret),
            client.get(format!("{gate}/-/whoami")).bearer_auth(secret),
        ];
        for request in requests {
            let response = request.send().await.unwrap();
            answers += &format!("{} {:?}\n", response.status(), response.headers());
            if !response.status().is_success() {
                answers += &response.text().await.unwrap();
            }
        }
    }
    answers
}

/// Everything in the database, and on disk where that is a file.
fn dump(tollgate: &Tollgate) -> String {
    let output = match &tollgate.database_url {
        Some(url) => Command::new("pg_dump").arg(url).output(),
        None => Command::new("sqlite3")
            .arg(tollgate.data().join("tollgate.db"))
            .arg(".dump")
            .output(),
    };
    let output = output.expect("the database's own program runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut all = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(all.contains("license.rotate_key"), "that is no dump");
    for name in ["tollgate.db", "tollgate.db-wal"] {
        let bytes = std::fs::read(tollgate.data().join(name)).unwrap_or_default();
        all += &String::from_utf8_lossy(&bytes);
    }
    all
}

#[tokio::test]
async fn no_secret_is_in_a_log_the_audit_log_a_metric_the_database_or_an_error() {
    for database in [Database::Sqlite, Database::Postgres] {
        let arguments = ["--log", "trace", "--log-json"];
        let mut tollgate = Tollgate::start_on(database, COMMERCE, &arguments).await;
        let logged = tollgate.collect_errors();
        let secrets = make(&tollgate, &tests::people::client()).await;
        let mut answers = String::new();
        let second = Client::builder()
            .no_proxy()
            .http2_prior_knowledge()
            .build()
            .unwrap();
        for client in [tests::people::client(), second] {
            answers += &misplace(&tollgate, &client, &secrets).await;
        }
        let vendor = Vendor::of(&tollgate);
        let audit = vendor.get("/v1/audit/export").await.text().await.unwrap();
        let metrics = vendor.get("/metrics").await.text().await.unwrap();
        assert!(audit.contains("access.denied") && metrics.contains("tollgate_"));
        let dumped = dump(&tollgate);
        assert!(tollgate.stop().await.success());
        let logged = logged.await.unwrap();
        assert!(logged.contains("TRACE") && logged.contains("answered"));
        for (place, text) in [
            ("the log", &logged),
            ("an answer", &answers),
            ("the audit log", &audit),
            ("the metrics", &metrics),
            ("the database", &dumped),
        ] {
            for (name, secret) in &secrets {
                let at = text.find(secret.as_str());
                let around = at.map(|at| text.get(at.saturating_sub(300)..at).unwrap_or_default());
                assert!(
                    at.is_none(),
                    "{database:?}: {name} is in {place}, after {around:?}"
                );
            }
        }
    }
}
