//! Compressed documents, and what of them a client has already.

use std::io::Read;

use axum::body::Body;
use flate2::read::GzDecoder;
use http::Method;

use crate::world::{Answer, NPM_ACCEPT, World, get, request};

/// A gate with a package whose documents are worth compressing.
async fn world() -> World {
    let world = World::new();
    for version in ["1.0.0", "1.1.0", "1.2.0", "2.0.0"] {
        let published = world.publish("@acme/order", version).await;
        assert_eq!(published.status, 201, "{published:?}");
    }
    world
}

async fn ask(world: &World, path: &str, headers: &[(&'static str, &str)]) -> Answer {
    let mut request = get(path, &world.basic());
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    world.call(request).await
}

fn unpack(bytes: &[u8]) -> Vec<u8> {
    let mut unpacked = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut unpacked).unwrap();
    unpacked
}

#[tokio::test]
async fn a_document_comes_compressed_to_those_who_take_it() {
    let world = world().await;
    for accept in ["application/json", NPM_ACCEPT] {
        let accept = ("accept", accept);
        let plain = ask(&world, "/@acme/order", &[accept]).await;
        let gzip = ask(
            &world,
            "/@acme/order",
            &[accept, ("accept-encoding", "gzip,deflate,br")],
        )
        .await;
        assert_eq!(plain.header("content-encoding"), "");
        assert_eq!(gzip.header("content-encoding"), "gzip");
        assert_eq!(unpack(&gzip.body), plain.body);
        assert!(gzip.body.len() < plain.body.len());
        assert_ne!(gzip.header("etag"), plain.header("etag"));
        for answer in [&plain, &gzip] {
            assert_eq!(answer.header("vary"), "accept, accept-encoding");
            assert!(answer.header("etag").starts_with('"'), "{answer:?}");
        }
        assert_eq!(gzip.header("content-type"), plain.header("content-type"));
    }
}

#[tokio::test]
async fn whoever_has_a_document_in_one_encoding_has_it() {
    let world = world().await;
    let encodings = ["identity", "gzip"].map(|encoding| ("accept-encoding", encoding));
    let mut etags = Vec::new();
    for encoding in encodings {
        let answer = ask(&world, "/@acme/order", &[encoding]).await;
        etags.push(answer.header("etag").to_owned());
    }
    for encoding in encodings {
        for etag in &etags {
            let headers = [encoding, ("if-none-match", etag)];
            let answer = ask(&world, "/@acme/order", &headers).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0));
            assert_eq!(answer.header("etag"), etag);
            assert_eq!(answer.header("vary"), "accept, accept-encoding");
            assert_eq!(answer.header("cache-control"), "private, no-cache");
        }
    }
    // Another form of the package is another document.
    let headers = [("accept", NPM_ACCEPT), ("if-none-match", &etags[0])];
    assert_eq!(ask(&world, "/@acme/order", &headers).await.status, 200);
}

#[tokio::test]
async fn small_documents_are_not_compressed() {
    let world = World::new();
    world.publish("@acme/order", "1.0.0").await;
    let gzip = ("accept-encoding", "gzip");
    for path in [
        "/@acme/order/1.0.0",
        "/@acme/order/latest",
        "/-/package/@acme/order/dist-tags",
    ] {
        let answer = ask(&world, path, &[gzip]).await;
        assert_eq!(answer.header("content-encoding"), "", "{path}");
        assert_eq!(answer.header("vary"), "", "{path}");
        let etag = answer.header("etag").to_owned();
        let known = ask(&world, path, &[gzip, ("if-none-match", &etag)]).await;
        assert_eq!(known.status, 304, "{path}");
    }
    let packument = ask(&world, "/@acme/order", &[gzip, ("accept", NPM_ACCEPT)]).await;
    assert_eq!(packument.header("content-encoding"), "");
    assert_eq!(packument.header("vary"), "accept, accept-encoding");
}

#[tokio::test]
async fn head_tells_the_length_of_the_compressed_form() {
    let world = world().await;
    let gzip = ask(&world, "/@acme/order", &[("accept-encoding", "gzip")]).await;
    let head = request(Method::HEAD, "/@acme/order", &world.basic())
        .header("accept-encoding", "gzip")
        .body(Body::empty())
        .unwrap();
    let head = world.call(head).await;
    assert_eq!(head.header("content-length"), gzip.body.len().to_string());
    assert_eq!(head.header("etag"), gzip.header("etag"));
}
