//! Snapshots: what is taken, what is refused, and when the gate closes.

use activation_token::snapshot::Snapshot;
use jiff::SignedDuration;
use manifest::PackageName;
use registry_gate::{SnapshotError, ViewError};

use crate::world::World;

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
