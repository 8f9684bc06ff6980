//! Decisions for gateways before other registries.

use std::fmt::Write as _;

use axum::body::Body;
use http::{Method, Request};

use crate::world::{Answer, World, publisher_token};

const AUTHORIZE: &str = "/-/gate/authorize";

async fn ask(world: &World, path: &str, method: Method, headers: &[(&str, &str)]) -> Answer {
    let request = Request::builder().method(method).uri(path);
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    let response = world.call(request.body(Body::empty()).unwrap()).await;
    assert!(!response.headers.contains_key("www-authenticate"));
    response
}

/// As each of the three gateways asks.
async fn by_all(world: &World, method: &str, path: &str, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let with = |pairs: [(&'static str, &str); 2]| -> Vec<(&'static str, String)> {
        let pairs = pairs
            .into_iter()
            .chain([("authorization", bearer.as_str())]);
        let pairs = pairs.filter(|(name, _)| *name != "authorization" || !token.is_empty());
        pairs
            .map(|(name, value)| (name, value.to_owned()))
            .collect()
    };
    let nginx = with([("x-original-method", method), ("x-original-uri", path)]);
    let traefik = with([("x-forwarded-method", method), ("x-forwarded-uri", path)]);
    let envoy = with([("x-request-id", "r-1"), ("accept", "*/*")]);
    let envoy_path = format!("{AUTHORIZE}{path}");
    let ways = [
        (AUTHORIZE, Method::GET, nginx),
        (AUTHORIZE, Method::GET, traefik),
        (&envoy_path, method.parse().unwrap(), envoy),
    ];
    let mut answers = Vec::new();
    for (address, method, headers) in ways {
        let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        answers.push(ask(world, address, method, &headers).await);
    }
    let last = answers.pop().unwrap();
    for answer in answers {
        assert_eq!(
            (answer.status, answer.header("x-tollgate-code")),
            (last.status, last.header("x-tollgate-code")),
            "{path}"
        );
        assert_eq!(
            answer.header("x-tollgate-reason"),
            last.header("x-tollgate-reason")
        );
    }
    last
}

#[tokio::test]
async fn a_gateway_learns_who_may_pass_and_why_not() {
    let world = World::new();
    let boxed = world.token(|claims| claims.box_id = Some("box_1".to_owned()));
    let growth = world.growth();
    let publisher = publisher_token();
    let mut table = String::new();
    let tokens = [
        ("nobody", ""),
        ("nonsense", "nonsense"),
        ("basic", &boxed),
        ("growth", &growth),
        ("publisher", &publisher),
    ];
    for (method, path) in [
        ("GET", "/@acme%2floyalty"),
        ("HEAD", "/@acme/loyalty/-/loyalty-1.0.0.tgz"),
        ("GET", "/@acme/order?write=true"),
        ("PUT", "/@acme%2forder"),
        ("GET", "/@acme/nowhere"),
        ("GET", "/left-pad"),
        ("GET", "/@acme/../order"),
        ("GET", "/@acme/order/"),
        ("DELETE", "/-/ping"),
        ("GET", "/-/ping"),
        ("GET", "/-/whoami"),
        ("GET", "/-/v1/search?text=x"),
        ("POST", "/-/npm/v1/security/advisories/bulk"),
        ("GET", "/-/npm/v1/keys"),
        ("PUT", "/-/user/org.couchdb.user:x"),
        ("GET", "/metrics"),
        ("GET", "/-/gate/authorize"),
        ("GET", "/"),
    ] {
        for (who, token) in tokens {
            let answer = by_all(&world, method, path, token).await;
            let told = if answer.status == 200 {
                ["customer", "license", "box", "tier", "publisher", "package"]
                    // All of them, so that a client's own are overwritten.
                    .map(|name| {
                        answer.headers[&format!("x-tollgate-{name}")]
                            .to_str()
                            .unwrap()
                    })
                    .into_iter()
                    .filter(|value| !value.is_empty())
                    .collect::<Vec<_>>()
                    .join(" ")
            } else {
                if method != "HEAD" {
                    assert_eq!(answer.error(), answer.header("x-tollgate-reason"));
                    assert_eq!(answer.code(), answer.header("x-tollgate-code"));
                }
                assert!(answer.reason.is_some());
                answer.header("x-tollgate-code").to_owned()
            };
            assert!([200, 401, 403].contains(&answer.status.as_u16()));
            let status = answer.status.as_u16();
            writeln!(table, "{method} {path} by {who}: {status} {told}").unwrap();
        }
    }
    insta::assert_snapshot!(table);
}

#[tokio::test]
async fn a_request_that_is_told_in_two_ways_is_refused() {
    let world = World::new();
    let bearer = format!("Bearer {}", world.basic());
    let good = ("x-original-uri", "/@acme/order");
    let ambiguous: [(&str, &[(&str, &str)]); 9] = [
        // A client's own header beside the gateway's.
        (
            AUTHORIZE,
            &[
                ("x-original-uri", "/-/ping"),
                ("x-original-method", "GET"),
                ("x-forwarded-uri", "/@acme/loyalty"),
                ("x-forwarded-method", "GET"),
            ],
        ),
        (
            AUTHORIZE,
            &[
                good,
                ("x-original-uri", "/@acme/order"),
                ("x-original-method", "GET"),
            ],
        ),
        (
            AUTHORIZE,
            &[
                good,
                ("x-original-method", "GET"),
                ("x-original-method", "PUT"),
            ],
        ),
        // Without its method, a write would pass for a read.
        (AUTHORIZE, &[good]),
        (AUTHORIZE, &[("x-original-method", "GET")]),
        (
            "/-/gate/authorize/@acme/order",
            &[("x-original-method", "PUT")],
        ),
        (
            "/-/gate/authorize/@acme/order",
            &[
                ("x-original-uri", "/@acme/product"),
                ("x-original-method", "GET"),
            ],
        ),
        (
            "/-/gate/authorize/@acme/order",
            &[good, ("x-original-method", "PUT")],
        ),
        (AUTHORIZE, &[good, ("x-original-method", "G T")]),
    ];
    for (path, headers) in ambiguous {
        let headers = [headers, &[("authorization", &bearer)]].concat();
        let answer = ask(&world, path, Method::GET, &headers).await;
        assert!(
            answer.is(403, "original_ambiguous"),
            "{path} {headers:?} {answer:?}"
        );
    }
    let silent = ask(
        &world,
        AUTHORIZE,
        Method::GET,
        &[("authorization", &bearer)],
    )
    .await;
    assert!(silent.is(403, "original_missing"));
    // The same told twice is no contradiction.
    let agreed = [
        good,
        ("x-original-method", "GET"),
        ("authorization", &bearer),
    ];
    let path = "/-/gate/authorize/@acme/order?x=y";
    assert_eq!(ask(&world, path, Method::GET, &agreed).await.status, 200);
    // Absolute addresses and fragments are no paths.
    for uri in [
        "http://x/@acme/order",
        "@acme/order",
        "",
        "/@acme/order#x",
        "*",
    ] {
        let headers = [
            ("x-original-uri", uri),
            ("x-original-method", "GET"),
            ("authorization", &bearer),
        ];
        let answer = ask(&world, AUTHORIZE, Method::GET, &headers).await;
        assert!(answer.is(403, "path_malformed"), "{uri} {answer:?}");
    }
}

#[tokio::test]
async fn a_gate_that_cannot_decide_says_so_to_the_gateway() {
    let world = World::new();
    let token = world.basic();
    world.clock.advance_seconds(900);
    let answer = by_all(&world, "GET", "/@acme/order", &token).await;
    assert!(answer.is(503, "snapshot_stale"));
    let closed = World::without_snapshot(|_| {});
    let answer = by_all(&closed, "GET", "/@acme/order", &token).await;
    assert!(answer.is(503, "snapshot_missing"));
}
