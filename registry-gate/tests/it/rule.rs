//! The rule stands first, on every route that names a package, for everybody.

use activation_token::{KeySet, Packages, SigningKey};
use axum::body::Body;
use http::{Method, Request};
use serde_json::json;

use crate::world::{World, expired_publisher_token, get, publisher_token, request, set};

const ROUTES: [&str; 6] = [
    "/@acme/loyalty",
    "/@acme%2floyalty",
    "/@acme/loyalty/1.0.0",
    "/@acme/loyalty/-/loyalty-1.0.0.tgz",
    "/-/package/@acme/loyalty/dist-tags",
    "/-/package/@acme/loyalty/dist-tags/latest",
];

#[tokio::test]
async fn every_route_asks_the_rule_for_everybody() {
    let world = World::new();
    assert_eq!(world.publish("@acme/loyalty", "1.0.0").await.status, 201);
    for path in ROUTES {
        for (token, status) in [
            (String::new(), 401),
            (expired_publisher_token(), 401),
            (world.basic(), 403),
            (world.growth(), 200),
            (publisher_token(), 200),
        ] {
            assert_eq!(world.get(path, &token).await.status, status, "{path}");
            let head = request(Method::HEAD, path, &token)
                .body(Body::empty())
                .unwrap();
            let head = world.call(head).await;
            assert_eq!(
                (head.status.as_u16(), head.body.len()),
                (status, 0),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn a_known_etag_opens_nothing() {
    let world = World::new();
    world.publish("@acme/loyalty", "1.0.0").await;
    for path in ROUTES {
        let entitled = world.get(path, &world.growth()).await;
        let etag = entitled.header("etag").to_owned();
        assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
        let conditional = |token: &str, etag: &str| {
            let mut request = get(path, token);
            request
                .headers_mut()
                .insert("if-none-match", etag.parse().unwrap());
            request
        };
        for etag in [etag.as_str(), "*"] {
            let refused = world.call(conditional(&world.basic(), etag)).await;
            assert!(refused.is(403, "not_entitled"), "{path} {refused:?}");
            let fresh = world.call(conditional(&world.growth(), etag)).await;
            assert_eq!(
                (fresh.status.as_u16(), fresh.body.len()),
                (304, 0),
                "{path}"
            );
            assert_eq!(
                fresh.header("cache-control"),
                entitled.header("cache-control")
            );
            assert_eq!(fresh.header("etag"), entitled.header("etag"));
            assert_eq!(fresh.header("vary"), entitled.header("vary"));
        }
    }
}

#[tokio::test]
async fn answers_do_not_depend_on_who_asks() {
    let world = World::new();
    world.publish("@acme/order", "1.0.0").await;
    for path in ["/@acme/order", "/@acme/order/-/order-1.0.0.tgz"] {
        let basic = world.get(path, &world.basic()).await;
        for token in [world.growth(), publisher_token()] {
            let other = world.get(path, &token).await;
            assert_eq!((&other.body, &other.headers), (&basic.body, &basic.headers));
        }
    }
}

#[tokio::test]
async fn pot_39_who_am_i() {
    let world = World::new();
    let name = async |token: &str| world.get("/-/whoami", token).await.json()["username"].clone();
    assert_eq!(name(&world.basic()).await, "box-cus_1");
    assert_eq!(name(&publisher_token()).await, "publisher-ci");
    let own = world.get("/-/whoami", &world.basic()).await;
    assert_eq!(own.header("cache-control"), "private, no-store");
    assert_eq!(world.get("/-/whoami", "").await.status, 401);
    assert_eq!(world.get("/-/ping", "").await.json(), json!({}));
    assert_eq!(world.get("/livez", "").await.status, 200);
}

#[tokio::test]
async fn a_token_in_the_cache_still_expires() {
    let world = World::new();
    world.publish("@acme/order", "1.0.0").await;
    let token = world.basic();
    assert_eq!(world.get("/@acme/order", &token).await.status, 200);
    // One hour, and a minute in which clocks may differ.
    world.clock.advance_seconds(3659);
    world.sender.publish(world.snapshot()).unwrap();
    assert_eq!(world.get("/@acme/order", &token).await.status, 200);
    world.clock.advance_seconds(1);
    assert!(
        world
            .get("/@acme/order", &token)
            .await
            .is(401, "token_expired")
    );
}

#[tokio::test]
async fn a_token_in_the_cache_falls_with_its_key_issuer_audience_and_set() {
    let world = World::new();
    world.publish("@acme/order", "1.0.0").await;
    let token = world.token(|claims| {
        let basic = set(&["@acme/box-core", "@acme/order", "@acme/product"]);
        claims.packages = Packages::Reference(basic.digest());
    });
    let status = async || world.get("/@acme/order", &token).await.status.as_u16();
    assert_eq!(status().await, 200);

    let sound = world.snapshot();
    let mut other_key = sound.clone();
    let key = SigningKey::from_seed(&[2; 32]).unwrap();
    other_key.keys = KeySet::new(vec![key.public().clone()]).to_jwks();
    let mut other_issuer = sound.clone();
    other_issuer.issuer = "https://other.example".to_owned();
    let mut other_audience = sound.clone();
    other_audience.audience = "https://other.example".to_owned();
    let mut other_set = sound.clone();
    let growth = set(&["@acme/order"]);
    other_set.sets = vec![growth.iter().cloned().collect()];
    for tier in &mut other_set.tiers {
        tier.set = growth.digest();
    }
    for changed in [other_key, other_issuer, other_audience, other_set] {
        world.sender.publish(changed).unwrap();
        assert_eq!(status().await, 401);
        world.sender.publish(sound.clone()).unwrap();
        assert_eq!(status().await, 200);
    }
}

#[tokio::test]
async fn the_host_header_changes_nothing() {
    let world = World::new();
    world.publish("@acme/order", "1.0.0").await;
    let plain = world.get("/@acme/order", &world.basic()).await;
    let forged = Request::get("http://evil.example/@acme/order")
        .header("authorization", format!("Bearer {}", world.basic()))
        .header("host", "evil.example")
        .header("x-forwarded-host", "evil.example");
    let forged = world.call(forged.body(Body::empty()).unwrap()).await;
    assert_eq!((plain.status, plain.body), (forged.status, forged.body));
}
