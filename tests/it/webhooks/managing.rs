//! Webhooks are made, changed, given other secrets, tried and replayed.

use axum::http::Method;
use control_plane::domain::Role;
use serde_json::{Value, json};
use tests::COMMERCE;
use tests::plane::{Plane, json_request};
use tests::receiver::{Receiver, reply};

use super::{deliveries, issue, patch, path, read, round, webhook};

#[tokio::test]
async fn during_the_overlap_messages_carry_two_signatures() {
    for plane in Plane::on_each(COMMERCE).await {
        let mut receiver = Receiver::taking().await;
        let hook = webhook(&plane, &receiver.url, json!(["license.*"])).await;
        let rotate = path(&hook, "/rotate-secret");
        let rotated = plane
            .admin_posts(&rotate, &json!({ "overlapSeconds": 60 }))
            .await;
        let (old, new) = (
            hook["secret"].as_str().unwrap(),
            rotated["secret"].as_str().unwrap(),
        );
        assert!(old.starts_with("whsec_") && new.starts_with("whsec_") && old != new);
        let mut counts = Vec::new();
        for _ in 0..2 {
            issue(&plane).await;
            round(&plane).await;
            let message = receiver.so_far().remove(0);
            let signatures = message.header("webhook-signature").split(' ').count();
            counts.push(signatures);
            plane.clock.advance_seconds(60);
        }
        assert_eq!(counts, [2, 1]);
        // Without an overlap the old one ends at once.
        plane
            .admin_posts(&rotate, &json!({ "overlapSeconds": 0 }))
            .await;
        issue(&plane).await;
        round(&plane).await;
        let message = receiver.so_far().remove(0);
        assert!(!message.header("webhook-signature").contains(' '));
        let tables = ["webhooks", "audit", "deliveries", "delivery_attempts"];
        let rows = tables.map(|table| plane.sql(&format!("SELECT * FROM {table}")).concat());
        for secret in [old, new] {
            let bare = secret.strip_prefix("whsec_").unwrap();
            assert!(!rows.concat().contains(bare), "a secret is in the database");
        }
        let audit = &rows[1];
        assert!(
            audit.contains("webhook.rotate_secret") && !audit.contains("token=t-1"),
            "{audit}"
        );
    }
}

#[tokio::test]
async fn what_was_sent_can_be_sent_again_one_by_one_or_in_a_row() {
    for plane in Plane::on_each(COMMERCE).await {
        let mut receiver = Receiver::taking().await;
        issue(&plane).await;
        let hook = webhook(&plane, &receiver.url, json!(["license.issue"])).await;
        let test = plane.admin_posts(&path(&hook, "/test"), &json!({})).await;
        issue(&plane).await;
        round(&plane).await;
        let first = receiver.so_far();
        assert_eq!(
            (first[0].kind(), first[1].kind()),
            ("webhook.test", "license.issue")
        );
        assert_eq!(first[0].header("webhook-id"), test["messageId"]);
        let replay = path(&hook, "/replay");
        for (body, count) in [
            // The test was sent before, and what is older than the webhook is wanted.
            (json!({ "sequence": test["sequence"] }), 1),
            (json!({ "from": 1, "to": 1000 }), 3),
            (json!({ "from": 500, "to": 600 }), 0),
        ] {
            let answer = plane.admin_posts(&replay, &body).await;
            assert_eq!(answer["deliveries"], count, "{body}");
            round(&plane).await;
            assert_eq!(receiver.so_far().len(), count, "{body}");
        }
        for body in [
            json!({}),
            json!({ "from": 1 }),
            json!({ "sequence": 1, "from": 1, "to": 2 }),
            json!({ "from": 1, "to": 1001 }),
            json!({ "from": 2, "to": 1 }),
            json!({ "sequence": 0 }),
            json!({ "from": i64::MIN, "to": i64::MAX }),
        ] {
            let answer = plane.post(&replay, Some(&plane.admin), &body).await;
            assert_eq!(answer.status, 422, "{body}: {}", answer.text);
        }
        let all = deliveries(&plane, &hook).await;
        assert_eq!(all.len(), 3);
        assert_eq!(all[2]["type"], "license.issue");
        let page = path(&hook, "/deliveries?limit=2&status=delivered");
        let page = plane.get(&page, Some(&plane.admin)).await.body;
        assert_eq!(page["deliveries"].as_array().unwrap().len(), 2);
        let cursor = page["nextCursor"].as_str().unwrap();
        let next = path(&hook, &format!("/deliveries?limit=2&cursor={cursor}"));
        let next = plane.get(&next, Some(&plane.admin)).await.body;
        assert_eq!(next["deliveries"], json!([all[2]]));
    }
}

#[tokio::test]
async fn webhooks_are_made_read_changed_and_deleted() {
    for plane in Plane::on_each(COMMERCE).await {
        let receiver = Receiver::taking().await;
        let hook = webhook(&plane, &receiver.url, json!([])).await;
        let shown = read(&plane, &hook).await;
        assert_eq!(shown["secret"], Value::Null);
        let mut expected = hook.clone();
        expected.as_object_mut().unwrap().remove("secret");
        assert_eq!(shown, expected);
        let listed = plane.get("/v1/webhooks", Some(&plane.admin)).await.body;
        assert_eq!(listed["webhooks"], json!([shown]));
        let change = json!({ "description": "orders", "events": ["box.*"], "enabled": false });
        let changed = patch(&plane, &hook, change).await.body;
        assert_eq!(changed["description"], "orders");
        assert_eq!(changed["events"], json!(["box.*"]));
        assert_eq!(changed["disabledReason"], "operator");
        let changed = patch(&plane, &hook, json!({ "description": null }))
            .await
            .body;
        assert_eq!(
            (&changed["description"], &changed["enabled"]),
            (&Value::Null, &json!(false))
        );

        for (body, field) in [
            (json!({ "url": "not an address" }), "url"),
            (json!({ "url": "ftp://example.com" }), "url"),
            (json!({ "url": "http://u:p@example.com" }), "url"),
            (json!({ "url": "http://169.254.169.254/" }), "url"),
            (json!({ "events": ["License"] }), "events"),
            (json!({ "events": ["access.denied"] }), "events"),
            (json!({ "description": "" }), "description"),
        ] {
            let answer = patch(&plane, &hook, body.clone()).await;
            assert_eq!(answer.status, 422, "{body}");
            assert_eq!(answer.body["errors"][0]["field"], field, "{body}");
        }
        let delete = |token: String| {
            let request = json_request(
                Method::DELETE,
                &path(&hook, ""),
                Some(&token),
                "{}".to_owned(),
            );
            plane.send(request)
        };
        assert_eq!(delete(plane.operator(Role::Viewer).await).await.status, 403);
        issue(&plane).await;
        assert_eq!(delete(plane.admin.clone()).await.status, 200);
        let gone = delete(plane.admin.clone()).await;
        assert_eq!(
            (gone.status.as_u16(), &gone.body["code"]),
            (404, &json!("webhook_not_found"))
        );
        assert_eq!(plane.sql("SELECT COUNT(*) FROM deliveries"), ["0"]);
    }
}

#[tokio::test]
async fn only_admins_manage_webhooks_and_there_are_at_most_fifty() {
    for plane in Plane::on_each(COMMERCE).await {
        let body = json!({ "url": "http://127.0.0.1:9/" });
        for (role, reads, makes) in [
            (Role::Viewer, 200, 403),
            (Role::Support, 403, 403),
            (Role::Billing, 403, 403),
        ] {
            let token = plane.operator(role).await;
            let read = plane.get("/v1/webhooks", Some(&token)).await.status;
            let made = plane.post("/v1/webhooks", Some(&token), &body).await.status;
            assert_eq!((read.as_u16(), made.as_u16()), (reads, makes), "{role:?}");
        }
        let keyed = || {
            let mut request = json_request(
                Method::POST,
                "/v1/webhooks",
                Some(&plane.admin),
                body.to_string(),
            );
            let headers = request.headers_mut();
            headers.insert("idempotency-key", "k-1".parse().unwrap());
            plane.send(request)
        };
        let (first, second) = (keyed().await, keyed().await);
        assert_eq!((first.status, &first.body), (second.status, &second.body));
        for _ in 1..50 {
            plane.admin_posts("/v1/webhooks", &body).await;
        }
        let refused = plane.post("/v1/webhooks", Some(&plane.admin), &body).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.body["code"]),
            (409, &json!("too_many_webhooks"))
        );
    }
}

#[tokio::test]
async fn the_backlog_is_measured_and_what_has_ended_is_forgotten_after_thirty_days() {
    for plane in Plane::on_each(COMMERCE).await {
        let receiver = Receiver::answering(|m| {
            reply(if m.kind() == "license.issue" {
                200
            } else {
                500
            })
        });
        let receiver = receiver.await;
        let hook = webhook(&plane, &receiver.url, json!([])).await;
        issue(&plane).await;
        let gate = json!({ "kind": "gate", "name": "g" });
        plane.admin_posts("/v1/credentials", &gate).await;
        round(&plane).await;
        let metrics = plane.get("/metrics", Some(&plane.admin)).await.text;
        let id = hook["id"].as_str().unwrap();
        let line = format!("tollgate_webhook_deliveries_pending{{webhook=\"{id}\"}} 1");
        assert!(
            metrics.lines().any(|l| l == line),
            "{line} is not in\n{metrics}"
        );
        let statuses = async || -> Vec<Value> {
            let all = deliveries(&plane, &hook).await;
            all.iter()
                .map(|delivery| delivery["status"].clone())
                .collect()
        };
        plane.clock.advance_seconds(30 * 24 * 3600 - 1);
        plane.operations.write_notes().await.unwrap();
        assert_eq!(statuses().await, ["pending", "delivered"]);
        plane.clock.advance_seconds(1);
        plane.operations.write_notes().await.unwrap();
        assert_eq!(statuses().await, ["pending"]);
        assert_eq!(plane.sql("SELECT COUNT(*) FROM delivery_attempts"), ["1"]);
    }
}
