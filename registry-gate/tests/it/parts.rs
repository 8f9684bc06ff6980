//! Tarballs in parts, for clients that were cut off.

use axum::body::Body;
use http::{Method, Request};

use crate::world::{Answer, World, document_of, package_json, request, sample, tarball};

const PATH: &str = "/@acme/order/-/order-1.0.0.tgz";

async fn part(world: &World, method: Method, headers: &[(&str, &str)]) -> Answer {
    let request: Request<Body> = headers
        .iter()
        .fold(
            request(method, PATH, &world.basic()),
            |request, (name, value)| request.header(*name, *value),
        )
        .body(Body::empty())
        .unwrap();
    world.call(request).await
}

/// Bytes that do not get smaller.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[tokio::test]
async fn a_part_of_a_small_tarball_and_of_a_large_one_is_sent() {
    let json = package_json("@acme/order", "1.0.0").to_string();
    let noise = noise(900_000);
    let large = tarball(&[
        ("package/package.json", json.as_bytes()),
        ("package/noise", &noise),
    ]);
    for bytes in [sample("@acme/order", "1.0.0"), large] {
        let world = World::new();
        let document = document_of("@acme/order", "1.0.0", &bytes);
        assert_eq!(world.put("@acme/order", &document).await.status, 201);
        let whole = part(&world, Method::GET, &[]).await;
        assert!(whole.status == 200 && whole.body == bytes);
        assert_eq!(whole.header("accept-ranges"), "bytes");
        let etag = whole.header("etag").to_owned();
        let length = bytes.len();
        for (range, from, to) in [
            ("bytes=0-0".to_owned(), 0, 1),
            ("bytes=10-19".to_owned(), 10, 20),
            ("bytes=-7".to_owned(), length - 7, length),
            (format!("bytes={}-", length - 3), length - 3, length),
            ("bytes=1-99999999".to_owned(), 1, length),
            // Over the pieces in which a file is read.
            (format!("bytes=5-{}", length - 5), 5, length - 4),
        ] {
            let asked = [("range", range.as_str()), ("if-range", &etag)];
            let answer = part(&world, Method::GET, &asked).await;
            assert_eq!(answer.status, 206, "{range}");
            assert!(answer.body == bytes[from..to], "{range}");
            let told = format!("bytes {from}-{}/{length}", to - 1);
            assert_eq!(answer.header("content-range"), told, "{range}");
            assert_eq!(answer.header("content-length"), (to - from).to_string());
            assert_eq!(answer.header("etag"), etag);
        }
        for (headers, what) in [
            ([("range", "bytes=0-1,3-4"), ("x", "")], "several parts"),
            ([("range", "bytes=0-1"), ("if-range", "\"other\"")], "state"),
            ([("range", "pages=0-1"), ("x", "")], "unit"),
        ] {
            let answer = part(&world, Method::GET, &headers).await;
            assert!(answer.status == 200 && answer.body == bytes, "{what}");
            assert_eq!(answer.header("content-range"), "", "{what}");
        }
        let beyond = part(&world, Method::GET, &[("range", "bytes=99999999-")]).await;
        assert!(beyond.is(416, "range_not_satisfiable"), "{beyond:?}");
        assert_eq!(beyond.header("content-range"), format!("bytes */{length}"));
    }
}

#[tokio::test]
async fn what_a_client_has_goes_before_a_part_and_head_knows_none() {
    let world = World::new();
    world.publish("@acme/order", "1.0.0").await;
    let head = part(&world, Method::HEAD, &[("range", "bytes=0-1")]).await;
    let length = sample("@acme/order", "1.0.0").len().to_string();
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-length"), length);
    assert_eq!(head.header("accept-ranges"), "bytes");
    assert!(head.body.is_empty());
    let etag = head.header("etag");
    for told in [etag, "*", &format!("\"x\", W/{etag}")] {
        let known = [("if-none-match", told), ("range", "bytes=0-1")];
        let answer = part(&world, Method::GET, &known).await;
        assert!(answer.status == 304 && answer.body.is_empty(), "{told}");
        assert_eq!(answer.header("etag"), etag);
    }
    // No part and no "you have it" for whom the rule refuses.
    let refused = request(
        Method::GET,
        "/@acme/loyalty/-/loyalty-1.0.0.tgz",
        &world.basic(),
    )
    .header("if-none-match", "*")
    .header("range", "bytes=0-1")
    .body(Body::empty())
    .unwrap();
    assert!(world.call(refused).await.is(403, "not_entitled"));
}
