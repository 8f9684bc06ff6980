//! What an entitled box gets.

use crate::world::{GATE_URL, NPM_ACCEPT, World, get, request, sample};
use axum::body::Body;
use http::Method;
use serde_json::json;

#[tokio::test]
async fn a_published_package_comes_back_in_both_forms() {
    let world = World::new();
    let published = world.publish("@acme/order", "1.0.0").await;
    assert_eq!(published.status, 201, "{published:?}");
    assert_eq!(published.json(), json!({ "ok": true, "id": "@acme/order" }));

    let token = world.basic();
    for path in ["/@acme/order", "/@acme%2forder", "/@acme%2Forder"] {
        let full = world.get(path, &token).await;
        assert_eq!(
            (full.status.as_u16(), full.header("content-type")),
            (200, "application/json")
        );
        assert_eq!(full.header("cache-control"), "private, no-cache");
        assert_eq!(full.header("vary"), "accept, accept-encoding");
        let json = full.json();
        let release = &json["versions"]["1.0.0"];
        assert_eq!(json["dist-tags"], json!({ "latest": "1.0.0" }));
        assert_eq!(json["description"], "sample");
        assert_eq!(json["time"]["1.0.0"], "2026-11-21T12:00:00Z");
        assert_eq!(release["_id"], "@acme/order@1.0.0");
        assert_eq!(release["bin"], json!({ "order": "cli.js" }));
        assert_eq!(release["scripts"]["postinstall"], "node setup.js");
        assert_eq!(release["_secret"], json!(null));
        assert_eq!(
            release["dist"]["tarball"],
            format!("{GATE_URL}/@acme/order/-/order-1.0.0.tgz")
        );
        assert_eq!(release["dist"]["fileCount"], 2);
    }

    let mut request = get("/@acme%2forder", &token);
    request
        .headers_mut()
        .insert("accept", NPM_ACCEPT.parse().unwrap());
    let abbreviated = world.call(request).await;
    assert_eq!(
        abbreviated.header("content-type"),
        "application/vnd.npm.install-v1+json"
    );
    let mut json = abbreviated.json();
    json["versions"]["1.0.0"]["dist"] = json!(null);
    assert_eq!(
        json,
        json!({
            "name": "@acme/order",
            "modified": "2026-11-21T12:00:00Z",
            "dist-tags": { "latest": "1.0.0" },
            "versions": { "1.0.0": {
                "name": "@acme/order",
                "version": "1.0.0",
                "bin": { "order": "cli.js" },
                "dependencies": { "@acme/box-core": "^1.0.0" },
                "dist": null,
                "hasInstallScript": true,
            } },
        })
    );
}

#[tokio::test]
async fn a_tarball_comes_back_byte_for_byte() {
    let world = World::new();
    world.publish("@acme/order", "1.0.0").await;
    let token = world.basic();
    let path = "/@acme/order/-/order-1.0.0.tgz";
    let bytes = sample("@acme/order", "1.0.0");
    // The second comes from memory.
    for _ in 0..2 {
        let tarball = world.get(path, &token).await;
        assert_eq!(tarball.status, 200);
        assert_eq!(tarball.body, bytes);
        assert_eq!(tarball.header("content-type"), "application/octet-stream");
        assert_eq!(
            tarball.header("cache-control"),
            "private, max-age=31536000, immutable"
        );
        assert_eq!(tarball.header("content-length"), bytes.len().to_string());
    }
    let head = request(Method::HEAD, path, &token)
        .body(Body::empty())
        .unwrap();
    let head = world.call(head).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), bytes.len().to_string());
}
