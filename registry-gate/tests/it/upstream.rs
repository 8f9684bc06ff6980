//! The registry behind the gate: what is passed on, what is not, and what happens when it lies.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use activation_token::clock::SystemClock;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use http::StatusCode;
use registry_gate::reach::Reach;
use registry_gate::{ConfigError, Gate, GateConfig, UpstreamConfig};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

use crate::world::{GATE_URL, World, get, package_json, sample};

/// A registry that does as it is told and writes down what it was asked.
struct Registry {
    packument: Mutex<Result<Value, StatusCode>>,
    tarball: Mutex<Vec<u8>>,
    asked: Mutex<Vec<http::request::Parts>>,
    packuments: AtomicUsize,
}

async fn answer(State(registry): State<Arc<Registry>>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let path = head.uri.path().to_owned();
    let told = head.headers.get("if-none-match").cloned();
    registry.asked.lock().unwrap().push(head);
    if path.contains("/-/") {
        return Body::from(registry.tarball.lock().unwrap().clone()).into_response();
    }
    registry.packuments.fetch_add(1, Ordering::SeqCst);
    match &*registry.packument.lock().unwrap() {
        Ok(_) if told.is_some() => StatusCode::NOT_MODIFIED.into_response(),
        Ok(json) => ([("etag", "\"u1\"")], json.to_string()).into_response(),
        Err(status) => (*status, [("location", "/elsewhere")]).into_response(),
    }
}

pub(crate) fn integrity(bytes: &[u8]) -> String {
    format!("sha512-{}", BASE64.encode(&Sha512::digest(bytes)))
}

fn packument() -> Value {
    let mut release = package_json("@acme/order", "1.0.0");
    release["dist"] = json!({
        "integrity": integrity(&sample("@acme/order", "1.0.0")),
        "tarball": "http://elsewhere.example/x.tgz",
        "attestations": { "url": "http://elsewhere.example/a" },
    });
    let mut unchecked = package_json("@acme/order", "0.9.0");
    unchecked["dist"] = json!({ "tarball": "http://elsewhere.example/y.tgz" });
    json!({
        "_id": "@acme/order",
        "_rev": "1-x",
        "name": "@acme/order",
        "dist-tags": { "latest": "1.0.0", "old": "0.9.0" },
        "versions": { "1.0.0": release, "0.9.0": unchecked, "not-a-version": {} },
        "time": { "modified": "2026-01-01T00:00:00.000Z", "1.0.0": "2026-01-01T00:00:00.000Z" },
        "readme": "# order",
    })
}

async fn start() -> (World, Arc<Registry>) {
    let registry = Arc::new(Registry {
        packument: Mutex::new(Ok(packument())),
        tarball: Mutex::new(sample("@acme/order", "1.0.0")),
        asked: Mutex::default(),
        packuments: AtomicUsize::new(0),
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/npm/", listener.local_addr().unwrap());
    let app = Router::new().fallback(answer).with_state(registry.clone());
    tokio::spawn(async { axum::serve(listener, app).await });
    let world = World::with(|config| {
        let mut upstream = UpstreamConfig::new(url.parse().unwrap());
        upstream.token = Some(SecretString::from("upstream-secret"));
        upstream.tarball_bytes_max = 100_000;
        config.upstream = Some(upstream);
    });
    (world, registry)
}

const TARBALL: &str = "/@acme/order/-/order-1.0.0.tgz";

#[tokio::test]
async fn an_entitled_package_comes_from_upstream_under_our_address() {
    let (world, registry) = start().await;
    let mut request = get("/@acme%2forder", &world.basic());
    for (name, value) in [
        ("cookie", "a=b"),
        ("x-forwarded-for", "1.2.3.4"),
        ("npm-session", "s"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let answer = world.call(request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let json = answer.json();
    let dist = &json["versions"]["1.0.0"]["dist"];
    assert_eq!(dist["tarball"], format!("{GATE_URL}{TARBALL}"));
    // What cannot be checked is not offered.
    assert_eq!(json["versions"].as_object().unwrap().len(), 1);
    assert_eq!(json["dist-tags"], json!({ "latest": "1.0.0" }));
    assert_eq!(json["readme"], "# order");
    assert!(
        !String::from_utf8(answer.body)
            .unwrap()
            .contains("elsewhere")
    );

    let tarball = world.get(TARBALL, &world.basic()).await;
    assert_eq!(tarball.body, sample("@acme/order", "1.0.0"));

    let asked = registry.asked.lock().unwrap();
    let paths: Vec<_> = asked.iter().map(|head| head.uri.path()).collect();
    assert_eq!(
        paths,
        ["/npm/@acme%2Forder", "/npm/@acme/order/-/order-1.0.0.tgz"]
    );
    for head in &*asked {
        assert_eq!(head.headers["authorization"], "Bearer upstream-secret");
        let mut names: Vec<_> = head.headers.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        names.retain(|name| *name != "accept-encoding");
        assert_eq!(head.headers["accept-encoding"], "identity");
        assert_eq!(names, ["accept", "authorization", "host", "user-agent"]);
    }
}

#[tokio::test]
async fn the_rule_stands_before_the_upstream() {
    let (world, registry) = start().await;
    for path in ["/@acme/loyalty", "/@acme/nope", "/@other/x", "/left-pad"] {
        world.get(path, &world.basic()).await;
        world.get(path, "").await;
    }
    assert!(registry.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn bytes_of_another_hash_are_never_passed_on() {
    let (world, registry) = start().await;
    let good = sample("@acme/order", "1.0.0");
    let mut flipped = good.clone();
    flipped[20] ^= 1;
    for bad in [
        flipped,
        good[..good.len() - 1].to_vec(),
        [&good[..], b"x"].concat(),
        Vec::new(),
    ] {
        *registry.tarball.lock().unwrap() = bad;
        let answer = world.get(TARBALL, &world.basic()).await;
        assert!(answer.is(502, "upstream_integrity"), "{answer:?}");
    }
    *registry.tarball.lock().unwrap() = vec![0; 100_001];
    assert!(
        world
            .get(TARBALL, &world.basic())
            .await
            .is(502, "upstream_failed")
    );
    // None of that was kept.
    *registry.tarball.lock().unwrap() = good.clone();
    assert_eq!(world.get(TARBALL, &world.basic()).await.body, good);
}

#[tokio::test]
async fn what_upstream_said_holds_while_it_is_down() {
    let (world, registry) = start().await;
    let status = async || {
        world
            .get("/@acme/order", &world.basic())
            .await
            .status
            .as_u16()
    };
    let asked = || registry.packuments.load(Ordering::SeqCst);
    assert_eq!((status().await, asked()), (200, 1));
    assert_eq!((status().await, asked()), (200, 1));
    // After a while it is asked for again beside, with the ETag that it gave.
    world.clock.advance_seconds(60);
    until(async || status().await == 200 && asked() == 2).await;
    assert_eq!(
        registry.asked.lock().unwrap()[1].headers["if-none-match"],
        "\"u1\""
    );
    for failure in [
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::FOUND,
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
    ] {
        let before = asked();
        *registry.packument.lock().unwrap() = Err(failure);
        world.clock.advance_seconds(61);
        until(async || {
            assert_eq!(status().await, 200, "{failure}");
            // The failure before may be noted only now, and holds for a few seconds.
            world.clock.advance_seconds(1);
            asked() > before
        })
        .await;
    }
    *registry.packument.lock().unwrap() = Err(StatusCode::NOT_FOUND);
    world.clock.advance_seconds(60);
    until(async || status().await == 404).await;
}

/// Waits until it is so.
pub(crate) async fn until(so: impl AsyncFn() -> bool) {
    let wait = async {
        while !so().await {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(20), wait).await;
    waited.unwrap();
}

#[tokio::test]
async fn an_upstream_that_fails_at_first_is_a_502_and_its_404_ours() {
    for (failure, status, code) in [
        (StatusCode::INTERNAL_SERVER_ERROR, 502, "upstream_failed"),
        (StatusCode::FOUND, 502, "upstream_failed"),
        (StatusCode::FORBIDDEN, 502, "upstream_failed"),
        (StatusCode::NOT_MODIFIED, 502, "upstream_failed"),
        (StatusCode::NOT_FOUND, 404, "not_published"),
    ] {
        let (world, registry) = start().await;
        *registry.packument.lock().unwrap() = Err(failure);
        assert!(
            world
                .get("/@acme/order", &world.basic())
                .await
                .is(status, code),
            "{failure}"
        );
        // Redirects are not followed.
        assert_eq!(registry.asked.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_document_of_another_package_is_no_answer() {
    for document in [
        json!({ "name": "@acme/other", "versions": {} }),
        json!({ "name": "@acme/order" }),
        json!("order"),
    ] {
        let (world, registry) = start().await;
        *registry.packument.lock().unwrap() = Ok(document);
        let answer = world.get("/@acme/order", &world.basic()).await;
        assert!(answer.is(502, "upstream_failed"));
    }
}

#[tokio::test]
async fn many_who_ask_at_once_are_one_question() {
    let (world, registry) = start().await;
    let ask = || {
        let router = world.gate.router();
        let request = get("/@acme/order", &world.basic());
        tokio::spawn(tower::ServiceExt::oneshot(router, request))
    };
    let asked: Vec<_> = (0..50).map(|_| ask()).collect();
    for ask in asked {
        assert_eq!(ask.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(registry.packuments.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_store_and_the_upstream_are_never_merged() {
    let (world, registry) = start().await;
    assert_eq!(world.publish("@acme/order", "5.0.0").await.status, 201);
    let json = world.get("/@acme/order", &world.basic()).await.json();
    let versions: Vec<_> = json["versions"].as_object().unwrap().keys().collect();
    assert_eq!(versions, ["5.0.0"]);
    assert!(
        world
            .get(TARBALL, &world.basic())
            .await
            .is(404, "release_not_found")
    );
    assert!(registry.asked.lock().unwrap().is_empty());
}

#[test]
fn no_upstream_can_be_where_clouds_tell_secrets_nor_name_a_user() {
    for url in [
        "http://169.254.169.254/npm",
        "http://[::ffff:169.254.169.254]/",
        "http://0xa9fea9fe/",
        "http://0.0.0.0/",
        "http://user@registry.example/",
        "https://registry.example/?token=x",
        "https://registry.example/#x",
        "ftp://registry.example/",
    ] {
        for pass_through in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let mut config = GateConfig::new(GATE_URL.parse().unwrap(), dir.path());
            let mut behind = UpstreamConfig::new(url.parse().unwrap());
            behind.reach = Reach::Internal;
            if pass_through {
                config.pass_through = Some(behind);
            } else {
                config.upstream = Some(behind);
            }
            let opened = Gate::new(config, Arc::new(SystemClock));
            let error = opened.err().unwrap();
            assert!(
                matches!(
                    error,
                    ConfigError::UpstreamUrl | ConfigError::UpstreamAddress
                ),
                "{url}"
            );
        }
    }
}
