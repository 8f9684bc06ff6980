//! Revocation: asked at every request, after everything that the token says of itself and
//! before the package.

use activation_token::SigningKey;
use activation_token::snapshot::{BoxRevocation, LicenseRevocation, Revocations, RevokedBecause};
use jiff::{SignedDuration, Timestamp};

use crate::world::{World, publisher_token};

fn license(issued_until: Timestamp, why: RevokedBecause) -> Revocations {
    let id = "lic_1".to_owned();
    Revocations {
        licenses: vec![LicenseRevocation {
            id,
            issued_until,
            why,
        }],
        boxes: Vec::new(),
    }
}

fn of_box(issued_until: Timestamp) -> Revocations {
    let id = "box_1".to_owned();
    Revocations {
        licenses: Vec::new(),
        boxes: vec![BoxRevocation { id, issued_until }],
    }
}

impl World {
    fn revoke(&self, revocations: Revocations) {
        let mut snapshot = self.snapshot();
        snapshot.revocations = revocations;
        self.sender.publish(snapshot).unwrap();
    }

    fn boxed(&self) -> String {
        self.token(|claims| claims.box_id = Some("box_1".to_owned()))
    }
}

#[tokio::test]
async fn a_token_in_the_cache_falls_at_the_next_request() {
    let world = World::new();
    world.publish("@acme/order", "1.0.0").await;
    let token = world.boxed();
    for (revocations, status, code) in [
        (
            license(world.now(), RevokedBecause::Suspended),
            403,
            "license_suspended",
        ),
        (
            license(world.now(), RevokedBecause::Revoked),
            403,
            "license_revoked",
        ),
        (
            license(world.now(), RevokedBecause::Changed),
            401,
            "token_superseded",
        ),
        (of_box(world.now()), 403, "box_released"),
    ] {
        world.revoke(Revocations::default());
        assert_eq!(world.get("/@acme/order", &token).await.status, 200);
        world.revoke(revocations);
        for path in [
            "/@acme/order",
            "/@acme/order/1.0.0",
            "/@acme/order/-/order-1.0.0.tgz",
            "/-/package/@acme/order/dist-tags",
            "/-/whoami",
        ] {
            let answer = world.get(path, &token).await;
            assert!(answer.is(status, code), "{path} {answer:?}");
        }
        // Nobody else is meant.
        let other = world.token(|claims| claims.license_id = "lic_2".to_owned());
        assert_eq!(world.get("/@acme/order", &other).await.status, 200);
        let publisher = world.get("/@acme/order", &publisher_token()).await;
        assert_eq!(publisher.status, 200);
    }
}

#[tokio::test]
async fn a_token_from_after_the_revocation_counts() {
    let world = World::new();
    world.publish("@acme/order", "1.0.0").await;
    for revocations in [
        license(world.now(), RevokedBecause::Changed),
        license(world.now(), RevokedBecause::Suspended),
        of_box(world.now()),
    ] {
        world.revoke(revocations);
        let status = async |seconds: i64| {
            let token = world.token(|claims| {
                claims.box_id = Some("box_1".to_owned());
                claims.issued_at += SignedDuration::from_secs(seconds);
                claims.not_before = claims.issued_at;
            });
            world.get("/@acme/order", &token).await.status.as_u16()
        };
        assert_ne!(status(-1).await, 200);
        assert_ne!(status(0).await, 200);
        assert_eq!(status(1).await, 200);
    }
}

#[tokio::test]
async fn a_token_without_a_box_is_not_meant_by_a_released_box() {
    let world = World::new();
    world.publish("@acme/order", "1.0.0").await;
    world.revoke(of_box(world.now()));
    assert_eq!(world.get("/@acme/order", &world.basic()).await.status, 200);
    let other = world.token(|claims| claims.box_id = Some("box_2".to_owned()));
    assert_eq!(world.get("/@acme/order", &other).await.status, 200);
}

#[tokio::test]
async fn revocation_comes_after_the_token_and_before_the_package() {
    let world = World::new();
    world.revoke(license(world.now(), RevokedBecause::Revoked));
    let other_key = SigningKey::from_seed(&[9; 32]).unwrap();
    for (token, code) in [
        (other_key.sign(&world.claims()).unwrap(), "token_invalid"),
        (world.token(|c| c.issuer = "x".to_owned()), "token_invalid"),
        (
            world.token(|c| c.audience = "x".to_owned()),
            "token_invalid",
        ),
        (
            world.token(|c| {
                c.issued_at -= SignedDuration::from_hours(2);
                c.not_before = c.issued_at;
                c.expires_at = c.issued_at + SignedDuration::from_hours(1);
            }),
            "token_expired",
        ),
    ] {
        let answer = world.get("/@acme/order", &token).await;
        assert!(answer.is(401, code), "{code} {answer:?}");
    }
    // Not in the tier, nowhere, outside the scope, not published: it is told none of that.
    for name in ["@acme/loyalty", "@acme/nope", "@other/x", "@acme/order"] {
        let answer = world.get(&format!("/{name}"), &world.basic()).await;
        assert!(answer.is(403, "license_revoked"), "{name} {answer:?}");
    }
}

#[tokio::test]
async fn of_two_reasons_the_graver_is_told() {
    let world = World::new();
    let now = world.now();
    let both = |why| Revocations {
        boxes: of_box(now).boxes,
        ..license(now, why)
    };
    for (why, code) in [
        (RevokedBecause::Revoked, "license_revoked"),
        (RevokedBecause::Suspended, "license_suspended"),
        (RevokedBecause::Changed, "box_released"),
    ] {
        world.revoke(both(why));
        assert_eq!(world.get("/-/whoami", &world.boxed()).await.code(), code);
    }
}
