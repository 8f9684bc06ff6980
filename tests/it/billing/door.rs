//! Who gets in at the webhook, and what is said to those who do not.

use axum::http::StatusCode;
use serde_json::{Value, json};
use tests::SMALL;
use tests::plane::{Plane, refused};
use tests::stripe::{NOON, SECRET, event, request, sign, subscription};

fn good_body() -> String {
    let object = subscription("active", &["price_growth"]);
    event("e-1", "customer.subscription.created", NOON, &object).to_string()
}

#[tokio::test]
async fn kum_21_without_a_good_signature_nothing_is_read_and_the_answer_is_always_the_same() {
    for plane in Plane::on_each(SMALL).await {
        let body = good_body();
        let header = sign(SECRET, NOON, &body);
        let mut answers = Vec::new();
        for (body, header) in [
            (&body, sign("whsec_another", NOON, &body)),
            (&body, sign(SECRET, NOON - 301, &body)),
            (&body, sign(SECRET, NOON + 301, &body)),
            (&body, header.replace("t=", "t=0")),
            (&body, "t=1".into()),
            (&body, String::new()),
            (&format!("{body} "), header.clone()),
            (&"{".to_owned(), header.clone()),
            (&String::new(), header.clone()),
        ] {
            let answer = plane.send(request(body.clone(), Some(&header))).await;
            let mut shown = answer.body.clone();
            shown.as_object_mut().unwrap().remove("requestId");
            answers.push((answer.status, shown.to_string()));
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "{answers:#?}");
        assert_eq!(answers[0].0, StatusCode::UNAUTHORIZED);

        let missing = plane.send(request(body.clone(), None)).await;
        assert_eq!(refused(&missing), (400, "signature_missing"));
        let large = "x".repeat(600_000);
        let large = plane.send(request(large, Some(&header))).await;
        assert_eq!(refused(&large), (413, "body_too_large"));
        plane.operations.denials.settle().await;
        let reasons = plane.sql(
            "SELECT reason, actor, COUNT(*) FROM audit WHERE action = 'access.denied' \
             AND subject = '/v1/billing/stripe/webhook' GROUP BY reason, actor ORDER BY reason",
        );
        assert_eq!(
            reasons,
            [
                "signature_malformed|unknown|2",
                "signature_mismatch|unknown|5",
                "signature_missing|unknown|1",
                "signature_outside_window|unknown|2",
            ]
        );
        assert_eq!(plane.sql("SELECT COUNT(*) FROM billing_events"), ["0"]);
        assert_eq!(plane.sql("SELECT COUNT(*) FROM customers"), ["0"]);
        let taken = plane.send(request(body, Some(&header))).await;
        assert_eq!(
            (taken.status.as_u16(), taken.body),
            (200, json!({ "received": true }))
        );
    }
}

#[tokio::test]
async fn the_window_is_the_clocks_on_both_sides() {
    for plane in Plane::on_each(SMALL).await {
        let body = event("e-1", "charge.succeeded", NOON, &json!({})).to_string();
        let header = sign(SECRET, NOON + 300, &body);
        for (advance, status) in [(0, 200), (600, 200), (1, 401)] {
            plane.clock.advance_seconds(advance);
            let answer = plane.send(request(body.clone(), Some(&header))).await;
            assert_eq!(answer.status.as_u16(), status, "after {advance}");
        }
    }
}

#[tokio::test]
async fn kum_21_another_providers_path_is_none_and_what_cannot_be_read_is_said() {
    for plane in Plane::on_each(SMALL).await {
        for (path, status) in [
            ("/v1/billing/paddle/webhook", 404),
            ("/v1/billing/webhook", 404),
            ("/v1/billing//webhook", 404),
        ] {
            let answer = plane.post(path, None, &json!({})).await;
            assert_eq!(refused(&answer), (status, "no_such_route"), "{path}");
        }
        let broken = event(
            "e-1",
            "customer.subscription.created",
            NOON,
            &json!({ "id": "sub_1" }),
        );
        let answer = plane.stripe(&broken).await;
        assert_eq!(refused(&answer), (422, "invalid_body"));
        assert!(
            answer.text.contains("missing field `status`"),
            "{}",
            answer.text
        );
        for (body, expected) in [
            ("{", (400, "malformed_json")),
            ("[]", (422, "invalid_body")),
            ("{}", (422, "invalid_body")),
        ] {
            let header = sign(SECRET, NOON, body);
            let answer = plane.send(request(body, Some(&header))).await;
            assert_eq!(refused(&answer), expected, "{body}");
        }
    }
}

#[tokio::test]
async fn kum_21_a_fault_is_a_fault_so_that_stripe_sends_again() {
    for plane in Plane::on_each(SMALL).await {
        let mut sql = plane.connection().await;
        sql.run("ALTER TABLE subscriptions RENAME TO away", &[])
            .await;
        let object = subscription("active", &["price_growth"]);
        let created = event("e-1", "customer.subscription.created", NOON, &object);
        let answer = plane.stripe(&created).await;
        assert_eq!(refused(&answer), (500, "internal_error"));
        sql.run("ALTER TABLE away RENAME TO subscriptions", &[])
            .await;
        assert_eq!(plane.sql("SELECT COUNT(*) FROM billing_events"), ["0"]);
        assert_eq!(plane.stripe_tells(&created).await, None);
        assert_eq!(plane.read("/v1/customers/c-1/tier").await["tier"], "growth");
    }
}

#[tokio::test]
async fn where_nothing_is_set_up_there_is_nothing_and_assignments_can_still_be_released() {
    for mut plane in Plane::on_each(SMALL).await {
        let object = subscription("active", &["price_growth"]);
        let created = event("e-1", "customer.subscription.created", NOON, &object);
        plane.stripe_tells(&created).await;
        let policy = control_plane::operations::Policy {
            stripe: None,
            ..plane.operations.policy.clone()
        };
        let without = std::sync::Arc::new(plane.replica_with(policy).await);
        let proxies = control_plane::api::client_address::Networks::default();
        plane.set_router(control_plane::api::router(without, proxies));
        let answer = plane.stripe(&created).await;
        assert_eq!(refused(&answer), (404, "billing_not_set_up"));
        let tier = "/v1/customers/c-1/tier";
        assert_eq!(plane.read(tier).await["source"], "billing");
        let released = plane
            .ask(axum::http::Method::DELETE, tier, &Value::Null)
            .await;
        assert_eq!(released.body["source"], "default", "{}", released.text);
    }
}
