//! What boxes are warned of.

use activation_token::snapshot::ExpiringLicense;

use crate::world::{Answer, World, get, publisher_token};

/// A gate that is told when license `lic_1` expires, with one package.
async fn expiring(expires_at: &str, grace_until: Option<&str>) -> World {
    let world = World::without_snapshot(|_| {});
    let mut snapshot = world.snapshot();
    snapshot.expiring = vec![ExpiringLicense {
        id: "lic_1".to_owned(),
        expires_at: expires_at.parse().unwrap(),
        grace_until: grace_until.map(|end| end.parse().unwrap()),
    }];
    world.sender.publish(snapshot).unwrap();
    assert_eq!(world.publish("@acme/order", "1.0.0").await.status, 201);
    world
}

async fn notice(world: &World, token: &str) -> String {
    let answer = world.get("/@acme%2forder", token).await;
    assert_eq!(answer.status, 200);
    answer.header("npm-notice").to_owned()
}

async fn known(world: &World, token: &str, etag: &str) -> Answer {
    let mut request = get("/@acme%2forder", token);
    let headers = request.headers_mut();
    headers.insert("if-none-match", etag.parse().unwrap());
    world.call(request).await
}

#[tokio::test]
async fn a_box_is_warned_before_its_license_expires_and_in_its_grace() {
    let soon = "2026-12-04T12:00:00Z";
    for (expires_at, grace_until, text) in [
        (
            soon,
            None,
            "your license expires on 2026-12-04; ask your vendor to renew it",
        ),
        (
            soon,
            Some("2026-12-11T12:00:00Z"),
            "your license expires on 2026-12-04; ask your vendor to renew it",
        ),
        (
            "2026-11-20T12:00:00Z",
            Some("2026-12-11T12:00:00Z"),
            "your license expired on 2026-11-20 and goes on until 2026-12-11; \
             ask your vendor to renew it",
        ),
        (
            "2026-11-20T12:00:00Z",
            None,
            "your license expired on 2026-11-20; ask your vendor to renew it",
        ),
    ] {
        let world = expiring(expires_at, grace_until).await;
        assert_eq!(notice(&world, &world.basic()).await, text);
    }
}

#[tokio::test]
async fn nobody_else_is_warned_and_the_document_is_the_same() {
    let world = expiring("2026-12-04T12:00:00Z", None).await;
    let warned = world.get("/@acme%2forder", &world.basic()).await;
    assert_ne!(warned.header("npm-notice"), "");
    let other = world.token(|claims| claims.license_id = "lic_2".to_owned());
    for token in [other, publisher_token()] {
        let answer = world.get("/@acme%2forder", &token).await;
        assert_eq!(answer.header("npm-notice"), "");
        assert_eq!(answer.body, warned.body);
        assert_eq!(answer.header("etag"), warned.header("etag"));
    }
    // Neither are those who are refused, nor is a tarball a document.
    for path in ["/@acme%2floyalty", "/@acme/order/-/order-1.0.0.tgz"] {
        world.clock.advance_seconds(60);
        let answer = world.get(path, &world.basic()).await;
        assert_eq!(answer.header("npm-notice"), "", "{path}");
    }
}

#[tokio::test]
async fn an_install_is_told_once_and_what_npm_does_not_print_changes_nothing() {
    let world = expiring("2026-12-04T12:00:00Z", None).await;
    let token = world.basic();
    let etag = world.get("/@acme%2forder", &publisher_token()).await;
    let etag = etag.header("etag").to_owned();
    for _ in 0..3 {
        let answer = known(&world, &token, &etag).await;
        assert_eq!(answer.status, 304);
        assert_ne!(answer.header("npm-notice"), "");
        assert_eq!(answer.header("cache-control"), "private, no-cache");
    }
    // npm prints nothing of what it keeps.
    let told = world.get("/@acme%2forder", &token).await;
    assert_ne!(told.header("npm-notice"), "");
    assert_eq!(told.header("cache-control"), "private, no-store");
    assert_eq!(told.header("etag"), etag);
    let paths = [
        "/@acme%2forder",
        "/@acme%2forder/1.0.0",
        "/-/package/@acme%2forder/dist-tags",
        "/-/package/@acme%2forder/dist-tags/latest",
    ];
    for path in paths {
        let answer = world.get(path, &token).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("npm-notice")),
            (200, "")
        );
        assert_eq!(answer.header("cache-control"), "private, no-cache");
    }
    for path in paths {
        world.clock.advance_seconds(5);
        let told = world.get(path, &token).await;
        assert_ne!(told.header("npm-notice"), "", "{path}");
    }
}
