//! The same request twice: one change and one answer, where it carries an `Idempotency-Key`.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Method, Request, header};
use control_plane::domain::Requester;
use control_plane::operations::NewLicense;
use serde_json::{Value, json};
use tests::SMALL;
use tests::plane::{Answer, Plane, path_of};

use crate::flags::MANIFEST;

/// A write as it is sent.
#[derive(Clone)]
struct Write {
    /// As the document has it.
    route: &'static str,
    method: Method,
    path: String,
    body: String,
}

impl Write {
    fn new(method: Method, route: &'static str, path: String, body: &Value) -> Self {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        Self {
            route,
            method,
            path,
            body,
        }
    }

    /// The same path with another body, which may be good or bad.
    fn other(&self) -> Self {
        let body = if self.body.is_empty() {
            "{}".to_owned()
        } else {
            format!("{} ", self.body)
        };
        Self {
            body,
            ..self.clone()
        }
    }

    async fn send(&self, plane: &Plane, token: &str, key: &str) -> Answer {
        let content = if self.route.ends_with("import") {
            "text/csv"
        } else {
            "application/json"
        };
        let mut request = Request::builder()
            .method(&self.method)
            .uri(&self.path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header("idempotency-key", key);
        if !self.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, content);
        }
        plane
            .send(request.body(Body::from(self.body.clone())).unwrap())
            .await
    }
}

/// A write for every route that has any, each of which will go well.
async fn writes(plane: &Plane) -> Vec<Write> {
    let license = plane.issue(json!({ "customerId": "c-1" })).await;
    let box_id = plane.activate(&license["key"], "f-1").await.body["boxId"].clone();
    plane.activate(&license["key"], "f-2").await;
    let spare = plane.issue(json!({ "customerId": "c-2" })).await;
    let credential = plane.credential("gate").await;
    let of = |rest: &str| format!("{}{rest}", path_of(&license));
    let reason = json!({ "reason": "a test" });
    let (post, put, patch, delete) = (Method::POST, Method::PUT, Method::PATCH, Method::DELETE);
    let by_key = |print: &str| json!({ "key": license["key"], "box": { "fingerprint": print } });
    let tiers = tests::tiers(MANIFEST);
    let basic = tiers.default_tier();
    let mut all = vec![
        Write::new(
            post.clone(),
            "/v1/licenses",
            "/v1/licenses".into(),
            &json!({ "customerId": "c-3" }),
        ),
        Write::new(
            patch,
            "/v1/licenses/{id}",
            of(""),
            &json!({ "maxBoxes": 9 }),
        ),
        Write::new(
            post.clone(),
            "/v1/activate",
            "/v1/activate".into(),
            &by_key("f-3"),
        ),
        Write::new(
            post.clone(),
            "/v1/deactivate",
            "/v1/deactivate".into(),
            &by_key("f-2"),
        ),
        Write::new(
            post.clone(),
            "/v1/licenses/{id}/rotate-key",
            of("/rotate-key"),
            &json!({ "reason": "a test", "overlapSeconds": 600 }),
        ),
        Write::new(
            post.clone(),
            "/v1/licenses/{id}/license-files",
            of("/license-files"),
            &json!({ "request": {
                "requestId": "r-1", "requestedAt": "2026-11-21T12:00:00Z", "fingerprint": "f-4",
            } }),
        ),
        Write::new(
            post.clone(),
            "/v1/licenses/{id}/bundles/prepare",
            of("/bundles/prepare"),
            &json!({}),
        ),
        Write::new(
            post.clone(),
            "/v1/licenses/{id}/bundles",
            of("/bundles"),
            &json!({ "contentsSha256": "0".repeat(64), "packagesDigest": basic.packages().digest() }),
        ),
        Write::new(
            post.clone(),
            "/v1/licenses/{id}/suspend",
            of("/suspend"),
            &reason,
        ),
        Write::new(
            post.clone(),
            "/v1/licenses/{id}/reinstate",
            of("/reinstate"),
            &reason,
        ),
        Write::new(
            post.clone(),
            "/v1/licenses/{id}/revoke",
            format!("{}/revoke", path_of(&spare)),
            &reason,
        ),
        Write::new(
            delete.clone(),
            "/v1/licenses/{id}/boxes/{boxId}",
            of(&format!("/boxes/{}", box_id.as_str().unwrap())),
            &Value::Null,
        ),
        Write::new(
            put,
            "/v1/customers/{id}/tier",
            "/v1/customers/c-1/tier".into(),
            &json!({ "tier": "growth" }),
        ),
        Write::new(
            delete.clone(),
            "/v1/customers/{id}/tier",
            "/v1/customers/c-1/tier".into(),
            &Value::Null,
        ),
        Write::new(
            post.clone(),
            "/v1/credentials",
            "/v1/credentials".into(),
            &json!({ "kind": "gate", "name": "g" }),
        ),
        Write::new(
            delete,
            "/v1/credentials/{id}",
            format!("/v1/credentials/{}", credential["id"].as_str().unwrap()),
            &Value::Null,
        ),
    ];
    let entitlements = [
        (
            Method::PATCH,
            "/v1/subjects/{id}/overrides",
            "/v1/subjects/c-1/overrides",
            json!({ "limits": { "seats": 7 } }),
        ),
        (
            Method::DELETE,
            "/v1/subjects/{id}/overrides",
            "/v1/subjects/c-1/overrides",
            Value::Null,
        ),
        (
            Method::PUT,
            "/v1/subjects/{id}/add-ons",
            "/v1/subjects/c-1/add-ons",
            json!({ "addOns": [] }),
        ),
        (
            Method::PUT,
            "/v1/switches/{feature}",
            "/v1/switches/sso",
            json!({ "on": false }),
        ),
        (
            Method::POST,
            "/v1/users/{id}/premium",
            "/v1/users/u-1/premium",
            reason,
        ),
        (
            Method::DELETE,
            "/v1/users/{id}/premium",
            "/v1/users/u-1/premium",
            Value::Null,
        ),
        (
            Method::PUT,
            "/v1/flags/{key}/overrides/{scope}",
            "/v1/flags/theme/overrides/platform",
            json!({ "value": "modern" }),
        ),
        (
            Method::DELETE,
            "/v1/flags/{key}/overrides/{scope}",
            "/v1/flags/theme/overrides/platform",
            Value::Null,
        ),
    ];
    for (method, route, path, body) in entitlements {
        all.push(Write::new(method, route, path.into(), &body));
    }
    all.push(Write {
        route: "/v1/licenses/import",
        method: post,
        path: "/v1/licenses/import".into(),
        body: "customerId\nc-4\nc-5\n".into(),
    });
    all
}

/// Routes of other chapters, which have stories of their own, and questions, which change nothing.
/// A batch of downloads has its own id, and so has an event of a billing provider.
fn told_elsewhere(path: &str) -> bool {
    let elsewhere = [
        "/access/",
        "/ofrep/",
        "/v1/billing",
        "/v1/gate/downloads",
        "/v1/signing-keys",
        "/v1/subjects/{id}/check",
        "/v1/subjects/{id}/usage",
        "/v1/webhooks",
    ];
    elsewhere.iter().any(|begin| path.starts_with(begin))
}

#[tokio::test]
async fn every_write_is_made_once_and_answered_the_same_each_time() {
    for plane in Plane::on_each(MANIFEST).await {
        let writes = writes(&plane).await;
        let document = plane.get("/openapi.json", None).await.body;
        let mut documented = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            let methods = item
                .as_object()
                .unwrap()
                .keys()
                .filter(|method| *method != "get");
            documented.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
        }
        documented.retain(|operation| !told_elsewhere(operation.split_once(' ').unwrap().1));
        let tried = writes
            .iter()
            .map(|write| format!("{} {}", write.method, write.route));
        assert_eq!(tried.collect::<BTreeSet<_>>(), documented);

        let other_admin = plane.operator(control_plane::domain::Role::Admin).await;
        for (nth, write) in writes.iter().enumerate() {
            let name = format!("{} {}", write.method, write.route);
            let key = format!("key-{nth}");
            let first = write.send(&plane, &plane.admin, &key).await;
            assert!(first.status.is_success(), "{name}: {}", first.text);
            assert!(!first.headers.contains_key("idempotency-replayed"));
            let rows = plane.audit_rows();
            let quoted = format!("\"{key}\"");
            for key in [&key, &quoted] {
                let again = write.send(&plane, &plane.admin, key).await;
                assert_eq!(
                    (again.status, &again.text),
                    (first.status, &first.text),
                    "{name}"
                );
                assert_eq!(again.headers["idempotency-replayed"], "true", "{name}");
                assert_eq!(again.headers["cache-control"], "no-store", "{name}");
            }
            let reused = write.other().send(&plane, &plane.admin, &key).await;
            assert_eq!(
                (reused.status.as_u16(), &reused.body["code"]),
                (422, &json!("idempotency_key_reused")),
                "{name}"
            );
            assert_eq!(plane.audit_rows(), rows, "{name}");
            // Another caller's key is another key. A box is told by its license key alone.
            if !write.path.ends_with("activate") {
                let other = write.send(&plane, &other_admin, &key).await;
                assert!(
                    !other.headers.contains_key("idempotency-replayed"),
                    "{name}"
                );
            }
        }
        // No secret is readable in what is kept.
        let kept = plane.sql("SELECT answer FROM kept_answers").join("\n");
        assert!(!kept.contains("tgl_live_") && !kept.contains("tgg_"));
    }
}

async fn issue(plane: &Plane, key: &str, customer: &str) -> Answer {
    let body = json!({ "customerId": customer });
    let write = Write::new(Method::POST, "/v1/licenses", "/v1/licenses".into(), &body);
    write.send(plane, &plane.admin, key).await
}

#[tokio::test]
async fn a_key_is_kept_for_a_day() {
    for plane in Plane::on_each(SMALL).await {
        let first = issue(&plane, "k", "c-1").await;
        plane.clock.advance_seconds(24 * 3600 - 1);
        plane.operations.write_notes().await.unwrap();
        assert_eq!(issue(&plane, "k", "c-1").await.text, first.text);
        plane.clock.advance_seconds(1);
        let anew = issue(&plane, "k", "c-1").await;
        assert_eq!(anew.status, 201);
        assert_ne!(anew.body["id"], first.body["id"]);
        // What is outdated is forgotten.
        plane.clock.advance_seconds(24 * 3600);
        plane.operations.write_notes().await.unwrap();
        assert_eq!(plane.sql("SELECT COUNT(*) FROM kept_answers"), ["0"]);
    }
}

#[tokio::test]
async fn a_refusal_is_not_kept() {
    for plane in Plane::on_each(SMALL).await {
        let admin = plane.read("/v1/credentials").await["credentials"][0].clone();
        let path = format!("/v1/credentials/{}", admin["id"].as_str().unwrap());
        let write = Write::new(Method::DELETE, "/v1/credentials/{id}", path, &Value::Null);
        let refused = write.send(&plane, &plane.admin, "k").await;
        assert_eq!(refused.body["code"], "last_admin");
        plane.operator(control_plane::domain::Role::Admin).await;
        assert_eq!(write.send(&plane, &plane.admin, "k").await.status, 200);
    }
}

#[tokio::test]
async fn while_the_first_request_runs_the_second_is_told_to_wait() {
    for plane in Plane::on_each(SMALL).await {
        let held = plane.operations.store.begin().await.unwrap();
        let (mut one, mut other) = (
            Box::pin(issue(&plane, "k", "c-1")),
            Box::pin(issue(&plane, "k", "c-1")),
        );
        // Whichever comes first waits for the writer, which is held.
        let (refused, running) = tokio::select! {
            answer = &mut one => (answer, other),
            answer = &mut other => (answer, one),
        };
        assert_eq!(
            (refused.status.as_u16(), &refused.body["code"]),
            (409, &json!("idempotency_key_in_use"))
        );
        drop(held);
        let made = running.await;
        assert_eq!(made.status, 201);
        assert_eq!(issue(&plane, "k", "c-1").await.text, made.text);
        assert_eq!(plane.sql("SELECT COUNT(*) FROM licenses"), ["1"]);
    }
}

#[tokio::test]
async fn a_request_that_is_given_up_leaves_nothing_and_its_key_is_free() {
    for plane in Plane::on_each(SMALL).await {
        let rows = plane.audit_rows();
        let held = plane.operations.store.begin().await.unwrap();
        let mut waiting = Box::pin(issue(&plane, "k", "c-1"));
        let refused = tokio::select! {
            answer = &mut waiting => answer,
            answer = issue(&plane, "k", "c-1") => answer,
        };
        assert_eq!(refused.status, 409);
        drop(waiting);
        drop(held);

        // A process that ends between the change and the commit.
        let mut tx = plane.operations.store.begin().await.unwrap();
        let new = NewLicense {
            customer_id: "c-1".into(),
            ..NewLicense::default()
        };
        let issued = plane
            .operations
            .issue_license(&mut tx, &Requester::system(), new)
            .await;
        assert!(issued.is_ok());
        drop(issued);
        drop(tx);

        assert_eq!(
            (
                plane.sql("SELECT COUNT(*) FROM licenses"),
                plane.audit_rows()
            ),
            (vec!["0".to_owned()], rows)
        );
        assert_eq!(issue(&plane, "k", "c-1").await.status, 201);
        let sequence = plane.sql("SELECT MAX(sequence) - COUNT(*) FROM audit");
        assert_eq!(sequence, ["0"], "the numbers have no gap");
    }
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    for plane in Plane::on_each(SMALL).await {
        for key in ["", "\"\"", "a b", "a\"b", "a\\b", &"x".repeat(256)] {
            let answer = issue(&plane, key, "c-1").await;
            assert_eq!(
                (answer.status.as_u16(), &answer.body["code"]),
                (400, &json!("invalid_idempotency_key")),
                "{key}"
            );
        }
        assert_eq!(issue(&plane, &"x".repeat(255), "c-1").await.status, 201);
        // The same key on another route is another request.
        let body = json!({ "kind": "gate", "name": "g" });
        let write = Write::new(
            Method::POST,
            "/v1/credentials",
            "/v1/credentials".into(),
            &body,
        );
        let reused = write.send(&plane, &plane.admin, &"x".repeat(255)).await;
        assert_eq!(reused.body["code"], "idempotency_key_reused");
    }
}
