//! What gates ask of the control plane: the signed snapshot, its root key, word of changes.

use std::time::Duration;

use activation_token::Key;
use activation_token::snapshot::Snapshot;
use axum::body::{Body, HttpBody};
use axum::http::{Method, Request, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tests::COMMERCE;
use tests::plane::{Answer, Plane, json_request};
use tower::ServiceExt;

async fn credential(plane: &Plane, kind: &str) -> String {
    let body = json!({ "kind": kind, "name": kind });
    let answer = plane.post("/v1/credentials", Some(&plane.admin), &body);
    let answer = answer.await;
    answer.body["secret"].as_str().unwrap().to_owned()
}

async fn fetch(plane: &Plane, token: &str, held: &str) -> Answer {
    let mut request = json_request(Method::GET, "/v1/gate/snapshot", Some(token), String::new());
    let headers = request.headers_mut();
    headers.insert(header::IF_NONE_MATCH, held.parse().unwrap());
    plane.send(request).await
}

#[tokio::test]
async fn a_snapshot_is_signed_with_the_root_key_that_is_named() {
    for plane in Plane::on_each(COMMERCE).await {
        let gate = credential(&plane, "gate").await;
        let jwk = plane.get("/v1/gate/root-key", Some(&gate)).await;
        let root = Key::from_jwk(jwk.text.as_bytes()).unwrap();
        let answer = plane.get("/v1/gate/snapshot", Some(&gate)).await;
        assert_eq!(answer.headers["content-type"], "application/jose");
        let snapshot = Snapshot::from_signed(&answer.text, &root).unwrap();
        assert_eq!(snapshot.scope, "@acme");
        // The root key's tokens do not count, so it is not among the keys.
        assert!(
            !serde_json::to_string(&snapshot.keys)
                .unwrap()
                .contains(root.id())
        );
    }
}

#[tokio::test]
async fn not_modified_is_never_said_of_a_snapshot_that_is_past_half_its_life() {
    for plane in Plane::on_each(COMMERCE).await {
        let gate = credential(&plane, "gate").await;
        let first = fetch(&plane, &gate, "\"other\"").await;
        assert_eq!(first.status, 200);
        let etag = first.headers["etag"].to_str().unwrap().to_owned();
        plane.clock.advance_seconds(449);
        let same = fetch(&plane, &gate, &etag).await;
        assert_eq!((same.status.as_u16(), same.text.as_str()), (304, ""));
        assert_eq!(same.headers["etag"], etag);
        plane.clock.advance_seconds(1);
        let renewed = fetch(&plane, &gate, &etag).await;
        assert_eq!(renewed.status, 200);
        let etag = renewed.headers["etag"].to_str().unwrap().to_owned();
        assert_eq!(fetch(&plane, &gate, &etag).await.status, 304);
        // A change counts at once.
        credential(&plane, "publisher").await;
        assert_eq!(fetch(&plane, &gate, &etag).await.status, 200);
    }
}

#[tokio::test]
async fn only_gates_are_told() {
    for plane in Plane::on_each(COMMERCE).await {
        let application = credential(&plane, "application").await;
        for path in ["snapshot", "root-key", "changes"] {
            let path = format!("/v1/gate/{path}");
            assert_eq!(plane.get(&path, None).await.status, 401, "{path}");
            for token in [&plane.admin, &application] {
                assert_eq!(plane.get(&path, Some(token)).await.status, 403, "{path}");
            }
        }
    }
}

/// The next piece of a stream.
async fn next(body: &mut Body) -> String {
    let frame = tokio::time::timeout(Duration::from_secs(20), body.frame()).await;
    let bytes = frame.unwrap().unwrap().unwrap().into_data().unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn a_stream_tells_the_newest_change_and_each_that_comes() {
    for plane in Plane::on_each(COMMERCE).await {
        let gate = credential(&plane, "gate").await;
        let router = plane.router();
        let request = Request::get("/v1/gate/changes")
            .header(header::AUTHORIZATION, format!("Bearer {gate}"))
            .body(Body::empty());
        let response = router.oneshot(request.unwrap()).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut body = response.into_body();
        assert!(!body.is_end_stream());
        let number = |text: &str| {
            let lines: Vec<&str> = text.trim_end().lines().collect();
            let id = lines[1].strip_prefix("id: ").unwrap();
            let data = format!("data: {id}");
            assert_eq!(lines, ["event: change", lines[1], data.as_str()]);
            id.parse::<u64>().unwrap()
        };
        let first = number(&next(&mut body).await);
        credential(&plane, "publisher").await;
        let second = number(&next(&mut body).await);
        assert!(second > first, "{first} {second}");
        let held: Value = plane.get("/v1/gate/root-key", Some(&gate)).await.body;
        let root = Key::from_jwk(held.to_string().as_bytes()).unwrap();
        let text = plane.get("/v1/gate/snapshot", Some(&gate)).await.text;
        let snapshot = Snapshot::from_signed(&text, &root).unwrap();
        assert_eq!(snapshot.sequence, second);
    }
}
