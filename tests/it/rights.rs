//! Every operation of the document: who may, and what is answered while the database is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use control_plane::domain::Role;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::SMALL;
use tests::plane::Plane;
use tower::ServiceExt;

/// Served beside what the document tells of: the names that the Potter platform knows,
/// and the document itself. At `/` stands the answer to every other path.
const UNDOCUMENTED: [&str; 7] = [
    "/",
    "/docs",
    "/license/activate",
    "/license/jwks",
    "/license/keys",
    "/openapi.json",
    "/telemetry/download",
];

/// An operation: its method, its path as the document has it, and what it is documented with.
type Operation = (Method, String, Value);

async fn operations(plane: &Plane) -> Vec<Operation> {
    let document = plane.get("/openapi.json", None).await.body;
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = method.to_uppercase().parse().unwrap();
            all.push((method, path.clone(), operation.clone()));
        }
    }
    assert!(all.len() > 25, "{}", all.len());
    all
}

/// The path with something in its places that does not exist.
fn filled(path: &str) -> String {
    let of = match path {
        path if path.contains("/customers/") => "c-1",
        path if path.contains("/credentials/") => "crd_00000000000000000000000000",
        path if path.contains("/webhooks/") => "whk_00000000000000000000000000",
        _ => "lic_00000000000000000000000000",
    };
    let path = path.replace("{id}", of).replace("{tier}", "basic");
    let path = path.replace("{feature}", "sso");
    path.replace("{boxId}", "box_00000000000000000000000000")
}

/// The status alone: some answers never end.
async fn status(
    plane: &Plane,
    method: &Method,
    path: &str,
    token: Option<&str>,
    body: &str,
) -> StatusCode {
    let mut request = Request::builder().method(method).uri(filled(path));
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    plane.router().oneshot(request).await.unwrap().status()
}

/// Somebody of each sort, with a credential.
async fn everybody(plane: &Plane) -> Vec<(&'static str, Option<String>)> {
    let wrong = activation_token::credential::new_secret("tgo", &[9; 20]);
    let wrong = secrecy::ExposeSecret::expose_secret(&wrong).to_owned();
    let mut all = vec![("nobody", None), ("wrong", Some(wrong))];
    for role in Role::ALL {
        all.push((role.as_str(), Some(plane.operator(role).await)));
    }
    for kind in ["gate", "publisher", "application"] {
        let secret = plane.credential(kind).await["secret"].clone();
        all.push((kind, Some(secret.as_str().unwrap().to_owned())));
    }
    all
}

#[tokio::test]
async fn each_operation_is_for_those_it_is_meant_for() {
    for plane in Plane::on_each(SMALL).await {
        let everybody = everybody(&plane).await;
        let names: Vec<_> = everybody
            .iter()
            .map(|(name, _)| format!("{name:<12}"))
            .collect();
        let mut table = format!("{:<48}{}\n", "", names.concat().trim_end());
        for (method, path, _) in operations(&plane).await {
            let mut row = format!("{:<48}", format!("{method} {path}"));
            for (name, token) in &everybody {
                let status = status(&plane, &method, &path, token.as_deref(), "{}").await;
                assert!(
                    !status.is_server_error(),
                    "{method} {path} as {name}: {status}"
                );
                let cell = match status.as_u16() {
                    refused @ (401 | 403) => refused.to_string(),
                    _ => "passed".to_owned(),
                };
                row += &format!("{cell:<12}");
            }
            table += row.trim_end();
            table.push('\n');
        }
        insta::assert_snapshot!("operations", table);
    }
}

/// The paths that the router knows, as it says itself when it is asked to describe itself.
fn routed(plane: &Plane) -> BTreeSet<String> {
    let described = format!("{:?}", plane.router());
    let quoted = described.split('"').skip(1).step_by(2);
    let paths = quoted.filter(|text| text.starts_with('/') && !text.contains("__private"));
    paths.map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn every_route_stands_in_the_document_with_its_methods() {
    for plane in Plane::on_each(SMALL).await {
        let mut documented: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (method, path, operation) in operations(&plane).await {
            assert!(operation["operationId"].is_string(), "{method} {path}");
            assert!(
                operation["security"].is_array(),
                "{method} {path}: for whom?"
            );
            documented
                .entry(path)
                .or_default()
                .insert(method.to_string());
        }
        let known = documented.keys().cloned();
        let known: BTreeSet<_> = known.chain(UNDOCUMENTED.map(Into::into)).collect();
        assert_eq!(routed(&plane), known);

        for (path, methods) in documented {
            let silly = Request::builder().method("SILLY").uri(filled(&path));
            let answer = plane.send(silly.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status, 405, "{path}");
            let allowed = answer.headers["allow"].to_str().unwrap().split(',');
            let allowed: BTreeSet<_> = allowed
                .map(ToOwned::to_owned)
                .filter(|m| m != "HEAD")
                .collect();
            assert_eq!(allowed, methods, "{path}");
        }
    }
}

/// Answered without the database.
const NEED_NONE: [(&str, u16); 4] = [
    ("/.well-known/authzen-configuration", 200),
    ("/.well-known/jwks.json", 200),
    ("/livez", 200),
    ("/v1/billing/stripe/webhook", 400),
];

/// What each operation answers, each asked for by somebody who may.
async fn all_answers(
    plane: &Plane,
    everybody: &[(&str, Option<String>)],
    key: &Value,
) -> Vec<(String, u16)> {
    let key_body = json!({ "key": key, "box": { "fingerprint": "f-1" } }).to_string();
    let asked = operations(plane)
        .await
        .into_iter()
        .map(|(method, path, operation)| {
            let key_body = &key_body;
            async move {
                let schemes = operation["security"].as_array().unwrap();
                let kind = schemes[0].as_object().unwrap().keys().next();
                let kind = kind.map(|kind| if kind == "operator" { "admin" } else { kind });
                let token = everybody.iter().find(|(name, _)| Some(*name) == kind);
                let token = token.and_then(|(_, token)| token.as_deref());
                let body = if path.ends_with("activate") {
                    key_body
                } else {
                    "{}"
                };
                let answer = status(plane, &method, &path, token, body);
                let answer = tokio::time::timeout(Duration::from_secs(10), answer).await;
                let status = answer.unwrap_or_else(|_| panic!("{method} {path} hangs"));
                (path, status.as_u16())
            }
        });
    join_all(asked).await
}

fn assert_unavailable(answers: &[(String, u16)]) {
    for (path, status) in answers {
        let free = NEED_NONE.iter().find(|(free, _)| path == free);
        let expected = free.map_or(503, |(_, status)| *status);
        assert_eq!(*status, expected, "{path}");
    }
}

#[tokio::test]
async fn with_the_database_gone_every_operation_says_so_soon() {
    for plane in Plane::on_each(SMALL).await {
        let everybody = everybody(&plane).await;
        let key = plane.issue(json!({ "customerId": "c-1" })).await["key"].clone();
        plane.operations.store.close().await;
        assert_unavailable(&all_answers(&plane, &everybody, &key).await);
    }
}

#[tokio::test]
async fn a_database_server_that_was_away_is_found_again() {
    let mut planes = Plane::on_each(SMALL).await;
    let plane = planes.pop().unwrap();
    let everybody = everybody(&plane).await;
    let key = plane.issue(json!({ "customerId": "c-1" })).await["key"].clone();
    let name = plane.sql("SELECT current_database()").concat();
    let elsewhere = |sql: String| {
        let server = std::env::var("TOLLGATE_TEST_POSTGRES_URL").unwrap();
        let done = std::process::Command::new("psql")
            .args([&server, "-qc", &sql])
            .output();
        assert!(done.unwrap().status.success(), "{sql}");
    };
    elsewhere(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"));
    elsewhere(format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    ));
    assert_unavailable(&all_answers(&plane, &everybody, &key).await);
    let refusal = plane.get("/v1/licenses", Some(&plane.admin)).await;
    assert_eq!(refusal.body["code"], "database_unavailable");
    assert_eq!(refusal.headers["retry-after"], "5");
    elsewhere(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"));
    assert_eq!(plane.activate(&key, "f-1").await.status, 200);
    assert_eq!(plane.get("/readyz", None).await.status, 200);
}
