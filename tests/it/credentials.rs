//! Credentials: shown once, kept as a keyed hash, ended at once.

use activation_token::credential::{CredentialKind, is_well_formed};
use axum::http::Method;
use control_plane::domain::Role;
use serde_json::{Value, json};
use tests::SMALL;
use tests::plane::Plane;

async fn revoke(plane: &Plane, credential: &Value) -> tests::plane::Answer {
    let path = format!("/v1/credentials/{}", credential["id"].as_str().unwrap());
    plane.ask(Method::DELETE, &path, &Value::Null).await
}

#[tokio::test]
async fn a_secret_has_a_prefix_and_a_checksum_and_is_shown_once() {
    for plane in Plane::on_each(SMALL).await {
        for kind in CredentialKind::ALL {
            plane.clock.advance_seconds(1);
            let made = plane.credential(kind.as_str()).await;
            let secret = made["secret"].as_str().unwrap();
            assert!(is_well_formed(kind.prefix(), secret), "{kind:?}");
            let list = plane
                .read(&format!("/v1/credentials?kind={}", kind.as_str()))
                .await;
            let mut without = made.clone();
            without.as_object_mut().unwrap().remove("secret");
            assert_eq!(list["credentials"][0], without);
            assert!(!list.to_string().contains(secret));
            // At rest: the keyed hash of the kind, nothing else.
            let digest = plane
                .operations
                .credential_digest(kind, &secret.to_owned().into());
            let id = made["id"].as_str().unwrap();
            let stored = plane.sql(&format!("SELECT digest FROM credentials WHERE id = '{id}'"));
            assert_eq!(stored, [digest.to_string()]);
        }
        // A typing error costs no look-up: the database may be gone.
        let secret = plane.credential("operator").await["secret"]
            .as_str()
            .unwrap()
            .to_owned();
        let (head, last) = secret.split_at(secret.len() - 1);
        let typo = format!("{head}{}", if last == "a" { "b" } else { "a" });
        plane.operations.store.close().await;
        assert_eq!(plane.get("/v1/tiers", Some(&typo)).await.status, 401);
        assert_eq!(plane.get("/v1/tiers", Some(&secret)).await.status, 503);
    }
}

#[tokio::test]
async fn what_a_credential_may_be_is_checked() {
    for plane in Plane::on_each(SMALL).await {
        for (body, code) in [
            (json!({ "kind": "gate", "name": "" }), "invalid_fields"),
            (
                json!({ "kind": "gate", "name": "g", "role": "admin" }),
                "invalid_fields",
            ),
            (
                json!({ "kind": "gate", "name": "g", "expiresAt": "2026-11-21T12:00:00Z" }),
                "invalid_fields",
            ),
            (json!({ "kind": "king", "name": "g" }), "invalid_body"),
            (
                json!({ "kind": "operator", "name": "g", "role": "god" }),
                "invalid_body",
            ),
        ] {
            let answer = plane.ask(Method::POST, "/v1/credentials", &body).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.body["code"]),
                (422, &json!(code)),
                "{body}"
            );
        }
        assert_eq!(plane.credential("operator").await["role"], "viewer");
    }
}

#[tokio::test]
async fn a_credential_ends_when_it_expires_and_when_it_is_revoked() {
    for plane in Plane::on_each(SMALL).await {
        let body =
            json!({ "kind": "operator", "name": "temp", "expiresAt": "2026-11-21T12:01:00Z" });
        let temporary = plane.admin_posts("/v1/credentials", &body).await;
        let lasting = plane.credential("operator").await;
        let good = async |credential: &Value| {
            let token = credential["secret"].as_str().unwrap();
            plane.get("/v1/tiers", Some(token)).await.status == 200
        };
        assert!(good(&temporary).await && good(&lasting).await);
        plane.clock.advance_seconds(60);
        assert!(!good(&temporary).await && good(&lasting).await);
        let revoked = revoke(&plane, &lasting).await;
        assert_eq!(
            (revoked.status.as_u16(), &revoked.body["revokedAt"]),
            (200, &json!("2026-11-21T12:01:00Z"))
        );
        assert!(!good(&lasting).await);
        // Said twice, it stands as it did.
        plane.clock.advance_seconds(60);
        assert_eq!(
            revoke(&plane, &lasting).await.body["revokedAt"],
            "2026-11-21T12:01:00Z"
        );
        let nobody = plane
            .ask(Method::DELETE, "/v1/credentials/crd_x", &Value::Null)
            .await;
        assert_eq!(nobody.body["code"], "credential_not_found");
    }
}

#[tokio::test]
async fn a_publisher_that_is_revoked_leaves_the_snapshot_at_once() {
    for plane in Plane::on_each(SMALL).await {
        let publishers = async || {
            let snapshot = plane.operations.snapshot().await.unwrap();
            snapshot.publishers.credentials.len()
        };
        let publisher = plane.credential("publisher").await;
        let number = plane.operations.store.newest_change().await.unwrap();
        assert_eq!(publishers().await, 1);
        revoke(&plane, &publisher).await;
        assert_eq!(publishers().await, 0);
        assert!(plane.operations.store.newest_change().await.unwrap() > number);
    }
}

#[tokio::test]
async fn when_a_credential_was_used_is_noted_to_the_minute() {
    for plane in Plane::on_each(SMALL).await {
        plane.clock.advance_seconds(1);
        let made = plane.credential("operator").await;
        let last_used = async || {
            let list = plane.read("/v1/credentials?limit=1").await;
            list["credentials"][0]["lastUsedAt"].clone()
        };
        plane.operations.write_notes().await.unwrap();
        assert_eq!(last_used().await, Value::Null);
        plane.clock.advance_seconds(30);
        let rows = plane.audit_rows();
        plane
            .get("/v1/tiers", Some(made["secret"].as_str().unwrap()))
            .await;
        plane.clock.advance_seconds(30);
        plane.operations.write_notes().await.unwrap();
        assert_eq!(last_used().await, "2026-11-21T12:00:31Z");
        assert_eq!(plane.audit_rows(), rows, "a note is no change");
    }
}

#[tokio::test]
async fn the_last_admin_stays() {
    for plane in Plane::on_each(SMALL).await {
        let admin = plane.read("/v1/credentials?kind=operator").await["credentials"][0].clone();
        plane.operator(Role::Support).await;
        let refused = revoke(&plane, &admin).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.body["code"]),
            (409, &json!("last_admin"))
        );
        // An admin whose time is over, or who was revoked, is none.
        let body = json!({ "kind": "operator", "name": "temp", "role": "admin", "expiresAt": "2026-11-21T12:01:00Z" });
        plane.admin_posts("/v1/credentials", &body).await;
        plane.clock.advance_seconds(60);
        assert_eq!(revoke(&plane, &admin).await.status, 409);
        let body = json!({ "kind": "operator", "name": "second", "role": "admin" });
        let second = plane.admin_posts("/v1/credentials", &body).await;
        assert_eq!(revoke(&plane, &second).await.status, 200);
        assert_eq!(revoke(&plane, &admin).await.status, 409);

        // Of two who revoke each other, one stays.
        let second = plane.admin_posts("/v1/credentials", &body).await;
        let token = second["secret"].as_str().unwrap();
        let path = |of: &Value| format!("/v1/credentials/{}", of["id"].as_str().unwrap());
        let (path_of_admin, path_of_second) = (path(&admin), path(&second));
        let request = |path: &str, token: &str| {
            let mut request =
                tests::plane::json_request(Method::DELETE, path, Some(token), String::new());
            request.headers_mut().remove("content-type");
            plane.send(request)
        };
        let (one, other) = tokio::join!(
            request(&path_of_second, &plane.admin),
            request(&path_of_admin, token)
        );
        let mut statuses = [one.status.as_u16(), other.status.as_u16()];
        statuses.sort_unstable();
        assert!(
            statuses == [200, 409] || statuses == [200, 401],
            "{statuses:?}"
        );
    }
}
