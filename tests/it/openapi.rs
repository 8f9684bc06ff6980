//! The OpenAPI document: fresh, readable, and what the API really does.

use std::path::Path;

use tests::COMMERCE;
use tests::plane::Plane;

/// Kept in the repository, for readers and generators of clients.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../control-plane/openapi.json");

#[tokio::test]
async fn the_document_in_the_repository_is_the_one_that_is_served() {
    for plane in Plane::on_each(COMMERCE).await {
        let answer = plane.get("/openapi.json", None).await;
        assert_eq!(answer.status, 200);
        let served = format!("{:#}\n", answer.body);
        if std::env::var_os("RENEW_OPENAPI").is_some() {
            std::fs::write(FILE, &served).unwrap();
        }
        let kept = std::fs::read_to_string(Path::new(FILE)).unwrap_or_default();
        assert!(
            kept == served,
            "control-plane/openapi.json is out of date; renew it: \
             RENEW_OPENAPI=1 ci/test 'test(the_document_in_the_repository)'"
        );
    }
}

/// Two shapes of one name would both be documented as the one that comes last.
#[test]
fn every_shape_of_the_document_has_a_name_of_its_own() {
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/../control-plane/src");
    let mut waiting = vec![Path::new(sources).to_owned()];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).unwrap();
            waiting.extend(entries.map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let (mut is_shape, mut chosen) = (false, None);
        for line in text.lines().map(str::trim) {
            is_shape |= line.starts_with("#[derive(") && line.contains("ToSchema");
            if let Some((_, name)) = line.split_once("#[schema(as = ") {
                chosen = name.split([',', ')']).next();
            }
            let words: Vec<&str> = line.split([' ', '<', '(', ';']).collect();
            let kind = words
                .iter()
                .position(|word| matches!(*word, "struct" | "enum"));
            if let Some(at) = kind.filter(|_| !line.starts_with('/')) {
                let name = chosen.take().unwrap_or(words[at + 1]);
                let is_new = !std::mem::take(&mut is_shape) || seen.insert(name.to_owned());
                assert!(is_new, "{name} in {} is taken", path.display());
            }
        }
    }
    assert!(seen.len() > 50, "only {} shapes are found", seen.len());
}

#[tokio::test]
async fn the_page_shows_every_operation_and_needs_no_script() {
    for plane in Plane::on_each(COMMERCE).await {
        let document = plane.get("/openapi.json", None).await.body;
        let page = plane.get("/docs", None).await;
        assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'; style-src 'sha256-"),
            "{policy}"
        );
        assert!(!page.text.contains("<script"));
        let paths = document["paths"].as_object().unwrap();
        let operations = paths
            .values()
            .flat_map(|item| item.as_object().unwrap().values());
        let mut count = 0;
        for operation in operations {
            let id = operation["operationId"].as_str().unwrap();
            assert!(
                page.text.contains(&format!("<article id=\"{id}\">")),
                "{id} is not shown"
            );
            count += 1;
        }
        assert!(count > 20, "only {count} operations");
    }
}

#[tokio::test]
async fn licenses_are_measured_one_by_one() {
    use serde_json::json;
    for plane in Plane::on_each(COMMERCE).await {
        let new =
            json!({ "customerId": "c-1", "tier": "basic", "expiresAt": "2026-11-22T12:00:00Z" });
        let license = plane.admin_posts("/v1/licenses", &new).await;
        let body = json!({ "key": license["key"], "box": { "fingerprint": "f-1" } });
        assert_eq!(plane.post("/v1/activate", None, &body).await.status, 200);
        plane.clock.advance_seconds(60);
        let text = plane.get("/metrics", Some(&plane.admin)).await.text;
        let id = license["id"].as_str().unwrap();
        for line in [
            "tollgate_licenses{status=\"active\"} 1".to_owned(),
            format!(
                "tollgate_license_seconds_left{{license=\"{id}\"}} {}",
                86_400 - 60
            ),
            format!("tollgate_license_seats_used{{license=\"{id}\"}} 1"),
            "tollgate_database_up 1".to_owned(),
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        assert_eq!(plane.get("/metrics", None).await.status, 401);
    }
}
