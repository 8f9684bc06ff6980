//! Premium: granted, read, listed and taken back, by those who may.

use axum::body::Body;
use axum::http::{Method, header};
use control_plane::domain::Role;
use serde_json::{Value, json};
use tests::SMALL;
use tests::plane::{Plane, json_request, refused};

fn premium(user: &str) -> String {
    format!("/v1/users/{user}/premium")
}

pub(crate) async fn grant(plane: &Plane, user: &str) -> Value {
    plane.admin_posts(&premium(user), &json!({})).await
}

pub(crate) async fn revoke(plane: &Plane, user: &str) {
    let answer = plane
        .ask(Method::DELETE, &premium(user), &Value::Null)
        .await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
}

/// The rows of the audit log about a user, oldest first.
async fn audited(plane: &Plane, user: &str) -> Vec<Value> {
    let rows = plane.read(&format!("/v1/audit?subject={user}")).await["entries"].clone();
    let mut rows = rows.as_array().unwrap().clone();
    rows.sort_by_key(|row| row["sequence"].as_i64());
    rows
}

#[tokio::test]
async fn tool_1_7_13_15_18_a_grant_is_read_listed_taken_back_and_on_record() {
    for plane in Plane::on_each(SMALL).await {
        let nobody = json!({
            "userId": "bo", "premium": false, "grantedAt": null, "grantor": null, "reason": null,
        });
        assert_eq!(plane.read(&premium("bo")).await, nobody);

        let body = json!({ "reason": "an early customer" });
        let granted = plane.admin_posts(&premium("bo"), &body).await;
        assert_eq!(granted["premium"], true);
        assert_eq!(granted["grantedAt"], "2026-11-21T12:00:00Z");
        assert_eq!(granted["reason"], "an early customer");
        let grantor = granted["grantor"].as_str().unwrap();
        assert!(grantor.starts_with("crd_"));
        assert_eq!(plane.read(&premium("bo")).await, granted);
        let all = json!({ "users": [granted], "nextCursor": null });
        assert_eq!(plane.read("/v1/premium-users").await, all);

        plane.clock.advance_seconds(60);
        let body = json!({ "reason": "moved" });
        let gone = plane.ask(Method::DELETE, &premium("bo"), &body).await;
        assert_eq!((gone.status.as_u16(), gone.text.as_str()), (204, ""));
        assert_eq!(plane.read(&premium("bo")).await, nobody);
        assert_eq!(plane.read("/v1/premium-users").await["users"], json!([]));

        let [granted_row, revoked_row] = &audited(&plane, "bo").await[..] else {
            panic!("two rows");
        };
        assert_eq!(granted_row["action"], "premium.grant");
        assert_eq!(granted_row["actor"], grantor);
        assert_eq!(granted_row["reason"], "an early customer");
        assert_eq!(granted_row["at"], granted["grantedAt"]);
        assert_eq!(granted_row["after"]["grantedAt"], granted["grantedAt"]);
        assert_eq!(granted_row["before"], Value::Null);
        assert_eq!(revoked_row["action"], "premium.revoke");
        assert_eq!(revoked_row["reason"], "moved");
        assert_eq!(revoked_row["before"], granted_row["after"]);
        assert_eq!(revoked_row["at"], "2026-11-21T12:01:00Z");
    }
}

#[tokio::test]
async fn tool_8_19_both_can_be_repeated_and_each_time_is_on_record() {
    for plane in Plane::on_each(SMALL).await {
        revoke(&plane, "bo").await;
        let first = grant(&plane, "bo").await;
        plane.clock.advance_seconds(1);
        let second = grant(&plane, "bo").await;
        assert_ne!(first["grantedAt"], second["grantedAt"], "the newest counts");
        assert_eq!(plane.read(&premium("bo")).await, second);
        revoke(&plane, "bo").await;
        revoke(&plane, "bo").await;
        let actions: Vec<_> = audited(&plane, "bo")
            .await
            .iter()
            .map(|row| row["action"].as_str().unwrap().to_owned())
            .collect();
        let (yes, no) = ("premium.grant", "premium.revoke");
        assert_eq!(actions, [no, yes, yes, no, no]);
    }
}

#[tokio::test]
async fn tool_14_only_an_admin_grants_and_who_may_read_reads() {
    for plane in Plane::on_each(SMALL).await {
        let application = plane.credential("application").await["secret"].clone();
        let application = application.as_str().unwrap().to_owned();
        let mut others = vec![application.clone()];
        for role in [Role::Support, Role::Viewer, Role::Billing] {
            others.push(plane.operator(role).await);
        }
        let before = plane.sql("SELECT COUNT(*) FROM premium_users").concat();
        for token in &others {
            for method in [Method::POST, Method::DELETE] {
                let request = json_request(method, &premium("bo"), Some(token), "{}".into());
                let answer = plane.send(request).await;
                assert_eq!(refused(&answer), (403, "not_allowed"));
            }
            let status = plane.get(&premium("bo"), Some(token)).await;
            assert_eq!(status.body["premium"], false);
            let list = plane.get("/v1/premium-users", Some(token)).await;
            let expected = if *token == application { 403 } else { 200 };
            assert_eq!(list.status, expected, "an application names no users");
        }
        for method in [Method::POST, Method::DELETE, Method::GET] {
            let request = json_request(method, &premium("bo"), None, String::new());
            let answer = plane.send(request).await;
            assert_eq!(refused(&answer), (401, "credential_missing"));
        }
        let after = plane.sql("SELECT COUNT(*) FROM premium_users").concat();
        assert_eq!(before, after);
    }
}

#[tokio::test]
async fn tool_23_no_spelling_of_the_path_goes_around_the_right() {
    for plane in Plane::on_each(SMALL).await {
        let support = plane.operator(Role::Support).await;
        for path in [
            "/v1/users/bo/premium/",
            "/v1/users/bo/premium//",
            "//v1/users/bo/premium",
            "/V1/Users/bo/Premium",
            "/v1/users/bo/%70remium",
            "/v1/users/x/../bo/premium",
        ] {
            let request = json_request(Method::POST, path, Some(&support), "{}".into());
            let status = plane.send(request).await.status.as_u16();
            assert!(matches!(status, 403 | 404), "{path}: {status}");
        }
        assert_eq!(plane.read("/v1/premium-users").await["users"], json!([]));
    }
}

#[tokio::test]
async fn tool_17_no_body_and_an_empty_one_give_no_reason_and_a_broken_one_is_refused() {
    for plane in Plane::on_each(SMALL).await {
        for (body, typed) in [("", false), ("", true), ("{}", true)] {
            for (method, expected) in [(Method::POST, 200), (Method::DELETE, 204)] {
                let mut request =
                    json_request(method, &premium("bo"), Some(&plane.admin), body.into());
                if !typed {
                    request.headers_mut().remove(header::CONTENT_TYPE);
                    *request.body_mut() = Body::empty();
                }
                let answer = plane.send(request).await;
                assert_eq!(answer.status, expected, "{body}: {}", answer.text);
            }
        }
        assert!(
            audited(&plane, "bo")
                .await
                .iter()
                .all(|row| row["reason"].is_null())
        );

        for (body, expected) in [
            ("{", (400, "malformed_json")),
            (r#"{"reason":7}"#, (422, "invalid_body")),
            (r#"{"reason":""}"#, (422, "invalid_fields")),
            (r#"{"why":"x"}"#, (422, "invalid_body")),
        ] {
            let request = json_request(
                Method::POST,
                &premium("bo"),
                Some(&plane.admin),
                body.into(),
            );
            assert_eq!(refused(&plane.send(request).await), expected, "{body}");
        }
        let long = plane
            .ask(Method::POST, &premium(&"x".repeat(201)), &json!({}))
            .await;
        assert_eq!(refused(&long), (422, "invalid_fields"));
        let in_query = format!("{}?reason=a%20deal", premium("bo"));
        plane.ask(Method::DELETE, &in_query, &Value::Null).await;
        assert_eq!(
            audited(&plane, "bo").await.last().unwrap()["reason"],
            "a deal"
        );
    }
}

#[tokio::test]
async fn tool_22_premium_users_are_listed_by_name_in_pages() {
    for plane in Plane::on_each(SMALL).await {
        for user in ["dan", "ann", "cat", "eve", "bea"] {
            grant(&plane, user).await;
        }
        let mut found = Vec::new();
        let mut path = "/v1/premium-users?limit=2".to_owned();
        loop {
            let page = plane.read(&path).await;
            let users = page["users"].as_array().unwrap();
            assert!((1..=2).contains(&users.len()));
            found.extend(
                users
                    .iter()
                    .map(|user| user["userId"].as_str().unwrap().to_owned()),
            );
            let Some(cursor) = page["nextCursor"].as_str() else {
                break;
            };
            path = format!("/v1/premium-users?limit=2&cursor={cursor}");
        }
        assert_eq!(found, ["ann", "bea", "cat", "dan", "eve"]);
        let answer = plane
            .get("/v1/premium-users?cursor=!", Some(&plane.admin))
            .await;
        assert_eq!(refused(&answer), (400, "invalid_query"));
    }
}
