//! Snapshots: what is taken, what is refused, and when the gate closes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use activation_token::snapshot::Snapshot;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::HeaderMap;
use jiff::SignedDuration;
use manifest::PackageName;
use registry_gate::{Poller, SnapshotError, ViewError};
use secrecy::SecretString;
use tokio::sync::Notify;

use crate::world::{World, set};

#[tokio::test]
async fn the_gate_starts_closed_and_closes_when_its_snapshot_is_old() {
    let world = World::without_snapshot(|_| {});
    let token = world.basic();
    for path in [
        "/@acme/order",
        "/@acme/order/-/order-1.0.0.tgz",
        "/-/whoami",
        "/readyz",
    ] {
        assert!(
            world.get(path, &token).await.is(503, "snapshot_missing"),
            "{path}"
        );
    }
    world.sender.publish(world.snapshot()).unwrap();
    assert_eq!(world.get("/readyz", "").await.status, 200);
    world.publish("@acme/order", "1.0.0").await;
    world.clock.advance_seconds(899);
    assert_eq!(world.get("/@acme/order", &token).await.status, 200);
    world.clock.advance_seconds(1);
    assert!(
        world
            .get("/@acme/order", &token)
            .await
            .is(503, "snapshot_stale")
    );
    assert!(world.get("/readyz", "").await.is(503, "snapshot_stale"));
    // The same number with a new date opens it again.
    world.sender.publish(world.snapshot()).unwrap();
    assert_eq!(world.get("/@acme/order", &token).await.status, 200);
}

#[tokio::test]
async fn a_snapshot_never_goes_back() {
    let world = World::new();
    let mut newer = world.snapshot();
    newer.sequence = 9;
    world.sender.publish(newer.clone()).unwrap();
    world.sender.publish(newer.clone()).unwrap();
    let mut lower = world.snapshot();
    lower.sequence = 8;
    lower.issued_at += SignedDuration::from_secs(10);
    let older = Err(SnapshotError::Older {
        offered: 8,
        held: 9,
    });
    assert_eq!(world.sender.publish(lower), older);
    let mut earlier = newer.clone();
    earlier.issued_at -= SignedDuration::from_secs(1);
    let older = Err(SnapshotError::Older {
        offered: 9,
        held: 9,
    });
    assert_eq!(world.sender.publish(earlier), older);
    newer.issued_at += SignedDuration::from_secs(61);
    assert_eq!(
        world.sender.publish(newer),
        Err(SnapshotError::AheadOfTime(9))
    );
}

#[tokio::test]
async fn an_unsound_snapshot_is_refused_whole_and_the_last_one_stays() {
    let world = World::new();
    let name = |text: &str| PackageName::parse(text).unwrap();
    let broken = |change: fn(&mut Snapshot)| {
        let mut snapshot = world.snapshot();
        snapshot.sequence += 1;
        change(&mut snapshot);
        match world.sender.publish(snapshot) {
            Err(SnapshotError::View(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(broken(|s| s.issuer.clear()), ViewError::Parties);
    assert_eq!(broken(|s| s.audience.clear()), ViewError::Parties);
    for scope in ["", "acme", "@", "@Acme", "@acme/x", "@acme/"] {
        let mut snapshot = world.snapshot();
        snapshot.scope = scope.to_owned();
        let error = SnapshotError::View(ViewError::Scope(scope.to_owned()));
        assert_eq!(world.sender.publish(snapshot), Err(error));
    }
    let keys = broken(|s| s.keys.keys[0].common.key_id = None);
    assert!(matches!(keys, ViewError::Keys(_)), "{keys:?}");
    let order = broken(|s| s.sets.iter_mut().for_each(|set| set.reverse()));
    assert!(matches!(order, ViewError::Set(_)), "{order:?}");
    let tier = broken(|s| s.sets.truncate(1));
    assert_eq!(tier, ViewError::TierSet("growth".parse().unwrap()));
    let nested = broken(|s| s.tiers.reverse());
    assert_eq!(nested, ViewError::TierOrder("basic".parse().unwrap()));
    let scope = broken(|s| s.sets.push(vec![PackageName::parse("@other/x").unwrap()]));
    assert_eq!(scope, ViewError::OutOfScope(name("@other/x")));
    assert_eq!(
        broken(|s| s.publishers.hash_key.clear()),
        ViewError::HashKey
    );

    world.publish("@acme/order", "1.0.0").await;
    assert_eq!(world.get("/@acme/order", &world.basic()).await.status, 200);
}

/// A control plane that counts.
struct ControlPlane {
    snapshot: std::sync::Mutex<Snapshot>,
    asked: AtomicUsize,
    full: AtomicUsize,
    answered: Notify,
}

async fn answer(State(plane): State<Arc<ControlPlane>>, headers: HeaderMap) -> Response {
    assert_eq!(headers["authorization"], "Bearer tgg_token");
    plane.asked.fetch_add(1, Ordering::SeqCst);
    plane.answered.notify_one();
    let snapshot = plane.snapshot.lock().unwrap().clone();
    let etag = format!("\"{}\"", snapshot.sequence);
    if headers
        .get("if-none-match")
        .is_some_and(|told| told.as_bytes() == etag.as_bytes())
    {
        return http::StatusCode::NOT_MODIFIED.into_response();
    }
    plane.full.fetch_add(1, Ordering::SeqCst);
    ([("etag", etag)], Json(snapshot)).into_response()
}

#[tokio::test]
async fn a_poller_brings_snapshots_and_renews_them_in_time() {
    let world = World::without_snapshot(|_| {});
    let plane = Arc::new(ControlPlane {
        snapshot: std::sync::Mutex::new(world.snapshot()),
        asked: AtomicUsize::new(0),
        full: AtomicUsize::new(0),
        answered: Notify::new(),
    });
    let app = Router::new()
        .route("/base/v1/gate/snapshot", get(answer))
        .with_state(plane.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/base/", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, app).await });
    let poller = Poller::new(
        &url.parse().unwrap(),
        &SecretString::from("tgg_token"),
        Duration::from_millis(1),
        world.clock.clone(),
        world.sender.clone(),
    );
    let polling = tokio::spawn(poller.unwrap().run());
    let full = || plane.full.load(Ordering::SeqCst);
    let until = async |condition: &dyn Fn() -> bool| {
        while !condition() {
            plane.answered.notified().await;
        }
    };

    // One whole answer, then "not modified" while it is young.
    until(&|| plane.asked.load(Ordering::SeqCst) >= 5).await;
    assert_eq!(full(), 1);
    assert_eq!(world.get("/readyz", "").await.status, 200);
    // Half its life later it is fetched whole again, though nothing changed.
    world.clock.advance_seconds(450);
    *plane.snapshot.lock().unwrap() = world.snapshot();
    until(&|| full() >= 2).await;
    let asked = plane.asked.load(Ordering::SeqCst);
    until(&|| plane.asked.load(Ordering::SeqCst) >= asked + 3).await;
    world.clock.advance_seconds(899);
    assert_eq!(world.get("/readyz", "").await.status, 200);
    // A change comes without a wait.
    let mut changed = world.snapshot();
    changed.sequence += 1;
    let all = set(&["@acme/order"]);
    changed.sets = vec![all.iter().cloned().collect()];
    changed.tiers.truncate(1);
    changed.tiers[0].set = all.digest();
    *plane.snapshot.lock().unwrap() = changed;
    let before = full();
    until(&|| full() > before).await;
    polling.abort();
}
