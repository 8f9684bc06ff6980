//! Names outside the gated scope: from the registry that is passed through, and from nowhere else;
//! names of the scope never from there.

use std::sync::Arc;

use axum::body::Body;
use http::Method;
use registry_gate::UpstreamConfig;
use secrecy::SecretString;
use serde_json::json;

use crate::raw::{Raw, Reply, answer, ok};
use crate::upstream::integrity;
use crate::world::{GATE_URL, World, document, publisher_token, put, request, sample};

struct Fixture {
    world: World,
    upstream: Arc<Raw>,
    outside: Arc<Raw>,
}

/// Two registries that both have every name, with different bytes.
async fn fixture() -> Fixture {
    let (upstream, upstream_address) = Raw::start().await;
    let (outside, outside_address) = Raw::start().await;
    for (raw, text) in [(&upstream, "of the vendor"), (&outside, "of the world")] {
        for name in ["@acme/order", "@acme/loyalty", "lodash", "@other/x", "acme"] {
            let base = name.rsplit('/').next().unwrap();
            let bytes = format!("{name} {text}").into_bytes();
            let release = json!({
                "name": name,
                "version": "1.0.0",
                "dist": { "integrity": integrity(&bytes) },
            });
            let document = json!({
                "name": name,
                "readme": text,
                "dist-tags": { "latest": "1.0.0" },
                "versions": { "1.0.0": release },
            });
            let path = format!("/{}", name.replace('/', "%2F"));
            raw.set(&path, Reply::Bytes(ok(document.to_string().as_bytes())));
            let path = format!("/{name}/-/{base}-1.0.0.tgz");
            raw.set(&path, Reply::Bytes(ok(&bytes)));
        }
    }
    let world = World::with(|config| {
        let mut own = UpstreamConfig::new(format!("http://{upstream_address}").parse().unwrap());
        own.token = Some(SecretString::from("upstream-secret"));
        config.upstream = Some(own);
        let outside = format!("http://{outside_address}").parse().unwrap();
        config.pass_through = Some(UpstreamConfig::new(outside));
    });
    Fixture {
        world,
        upstream,
        outside,
    }
}

#[tokio::test]
async fn any_good_token_reads_names_outside_the_scope_from_there() {
    let fixture = fixture().await;
    let world = &fixture.world;
    for token in [world.basic(), world.growth(), publisher_token()] {
        for name in ["lodash", "@other/x", "acme"] {
            let base = name.rsplit('/').next().unwrap();
            let path = format!("/{}", name.replace('/', "%2f"));
            let json = world.get(&path, &token).await.json();
            assert_eq!(json["readme"], "of the world", "{name}");
            let path = format!("/{name}/-/{base}-1.0.0.tgz");
            let dist = &json["versions"]["1.0.0"]["dist"];
            assert_eq!(dist["tarball"], format!("{GATE_URL}{path}"));
            let tarball = world.get(&path, &token).await;
            assert_eq!(tarball.body, format!("{name} of the world").as_bytes());
            let version = world.get(&format!("/{name}/1.0.0"), &token).await;
            assert_eq!(version.json()["version"], "1.0.0");
        }
    }
    assert!(fixture.upstream.asked().is_empty());
    // Neither the gate's own token nor that of a box is told there.
    for head in fixture.outside.asked() {
        assert!(!head.to_lowercase().contains("authorization"), "{head}");
        assert!(!head.contains("secret"), "{head}");
    }
}

#[tokio::test]
async fn names_of_the_scope_never_come_from_there() {
    let fixture = fixture().await;
    let world = &fixture.world;
    let token = world.basic();
    let order = world.get("/@acme/order", &token).await.json();
    assert_eq!(order["readme"], "of the vendor");
    let tarball = world.get("/@acme/order/-/order-1.0.0.tgz", &token).await;
    assert_eq!(tarball.body, b"@acme/order of the vendor");
    for head in fixture.upstream.asked() {
        let sent = "authorization: Bearer upstream-secret\r\n";
        assert!(head.contains(sent), "{head}");
    }
    // Not entitled, not there, failing, in capitals: the world is not asked.
    let refused = world.get("/@acme/loyalty", &token).await;
    assert!(refused.is(403, "not_entitled"));
    for (reply, status) in [("404 No", 404), ("500 No", 502), ("401 No", 502)] {
        let reply = Reply::Bytes(answer(reply, &[], b""));
        fixture.upstream.set("/@acme%2Fproduct", reply);
        world.clock.advance_seconds(11);
        assert_eq!(world.get("/@acme/product", &token).await.status, status);
    }
    for path in [
        "/@ACME/order",
        "/@Acme%2forder",
        "/%40acme/order",
        "/@acme%2F%2forder",
    ] {
        assert!(world.get(path, &token).await.is(400, "path_malformed"));
    }
    assert!(fixture.outside.asked().is_empty());
}

#[tokio::test]
async fn without_an_upstream_names_of_the_scope_are_not_looked_for_outside() {
    let (outside, address) = Raw::start().await;
    let world = World::with(|config| {
        let outside = format!("http://{address}").parse().unwrap();
        config.pass_through = Some(UpstreamConfig::new(outside));
    });
    let answer = world.get("/@acme/order", &world.basic()).await;
    assert!(answer.is(404, "not_published"), "{answer:?}");
    assert!(outside.asked().is_empty());
}

#[tokio::test]
async fn it_is_for_good_tokens_and_for_reading_only() {
    let fixture = fixture().await;
    let world = &fixture.world;
    let expired = world.token(|claims| {
        claims.issued_at -= jiff::SignedDuration::from_hours(2);
        claims.not_before = claims.issued_at;
        claims.expires_at -= jiff::SignedDuration::from_hours(2);
    });
    for token in ["", "nonsense", &expired] {
        for path in ["/lodash", "/lodash/-/lodash-1.0.0.tgz", "/lodash/latest"] {
            assert_eq!(world.get(path, token).await.status, 401, "{token} {path}");
        }
    }
    for name in ["lodash", "@other/x"] {
        let request = put(name, &publisher_token(), &document(name, "2.0.0"));
        assert!(world.call(request).await.is(404, "out_of_scope"));
    }
    assert!(fixture.outside.asked().is_empty());
    // What it does not have is not published, and what it cannot say is its failure.
    for (reply, status) in [("404 No", 404), ("500 No", 502)] {
        let reply = Reply::Bytes(answer(reply, &[], b""));
        fixture.outside.set("/left-pad", reply);
        world.clock.advance_seconds(11);
        let answer = world.get("/left-pad", &world.basic()).await;
        assert_eq!(answer.status, status);
    }
}

/// Hashes stand in lockfiles, which many people see. A registry that announces one as its own
/// must not get the gate to hand out what it keeps of the vendor's.
#[tokio::test]
async fn a_known_hash_does_not_open_the_bytes_of_a_package_of_the_vendor() {
    let fixture = fixture().await;
    let world = &fixture.world;
    let published = sample("@acme/box-core", "1.0.0");
    world.publish("@acme/box-core", "1.0.0").await;
    let large = vec![7; 300_000];
    let path = "/@acme/product/-/product-1.0.0.tgz";
    fixture.upstream.set(path, Reply::Bytes(ok(&large)));
    let named = |name: &str, bytes: &[u8]| {
        let release = json!({
            "name": name,
            "version": "1.0.0",
            "dist": { "integrity": integrity(bytes) },
        });
        let document = json!({ "name": name, "versions": { "1.0.0": release } });
        Reply::Bytes(ok(document.to_string().as_bytes()))
    };
    let product = named("@acme/product", &large);
    fixture.upstream.set("/@acme%2Fproduct", product);
    let small = b"@acme/loyalty of the vendor";
    let growth = world.growth();
    // Each under a name of its own: what was seen of one before would stay.
    for (path, bytes, name) in [
        (
            "/@acme/box-core/-/box-core-1.0.0.tgz",
            &published[..],
            "one",
        ),
        ("/@acme/loyalty/-/loyalty-1.0.0.tgz", small, "two"),
        (path, &large, "three"),
    ] {
        // Kept now, in memory or on disk.
        assert!(world.get(path, &growth).await.body == bytes, "{path}");
        fixture.outside.set(&format!("/{name}"), named(name, bytes));
        let outside = format!("/{name}/-/{name}-1.0.0.tgz");
        fixture.outside.set(&outside, Reply::Bytes(ok(b"others")));
        let answer = world.get(&outside, &world.basic()).await;
        assert!(answer.is(502, "upstream_integrity"), "{path} {answer:?}");
    }
}

#[tokio::test]
async fn a_name_that_was_published_here_never_comes_from_elsewhere_again() {
    let fixture = fixture().await;
    let world = &fixture.world;
    world.publish("@acme/order", "1.0.0").await;
    let shown = world.get("/@acme/order", &publisher_token()).await.json();
    let path = format!("/@acme%2forder/-rev/{}", shown["_rev"].as_str().unwrap());
    let removal = request(Method::DELETE, &path, &publisher_token()).body(Body::empty());
    assert_eq!(world.call(removal.unwrap()).await.status, 200);
    for path in [
        "/@acme/order",
        "/@acme/order/1.0.0",
        "/@acme/order/-/order-1.0.0.tgz",
    ] {
        let answer = world.get(path, &world.basic()).await;
        assert!(answer.is(404, "not_published"), "{path} {answer:?}");
    }
    assert!(fixture.upstream.asked().is_empty());
}

#[tokio::test]
async fn documents_are_asked_for_within_bounds() {
    let fixture = fixture().await;
    let world = Arc::new(fixture.world);
    let held = Reply::Held(answer("404 No", &[], b""));
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..40 {
        fixture.outside.set(&format!("/x{number}"), held.clone());
        let world = Arc::clone(&world);
        asking.spawn(async move { world.get(&format!("/x{number}"), &world.basic()).await });
    }
    let until = async |count| {
        let waited = async {
            while fixture.outside.asked().len() < count {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(20), waited);
        waited.await.unwrap();
    };
    until(32).await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.outside.asked().len(), 32);
    for _ in 0..40 {
        fixture.outside.release();
    }
    for answer in asking.join_all().await {
        assert!(answer.is(404, "not_published"));
    }
}
