//! A customer's tier, and the licenses that follow it.

use axum::http::Method;
use serde_json::{Value, json};
use tests::SMALL;
use tests::plane::{Plane, path_of};

const TIER: &str = "/v1/customers/c-1/tier";

async fn assign(plane: &Plane, tier: &str) -> Value {
    let body = json!({ "tier": tier, "reason": "a deal" });
    let answer = plane.ask(Method::PUT, TIER, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

#[tokio::test]
async fn a_customer_has_the_default_until_it_is_assigned_a_tier_and_after_it_is_released() {
    for plane in Plane::on_each(SMALL).await {
        let default = json!({
            "customerId": "c-1", "tier": "basic", "source": "default", "actor": null,
            "reason": null, "assignedAt": null,
        });
        assert_eq!(plane.read(TIER).await, default);
        let nothing = plane.ask(Method::DELETE, TIER, &Value::Null).await;
        assert_eq!(
            (nothing.status.as_u16(), &nothing.body["code"]),
            (404, &json!("customer_tier_not_found"))
        );

        let assigned = assign(&plane, "growth").await;
        assert_eq!(
            (&assigned["tier"], &assigned["source"]),
            (&json!("growth"), &json!("manual"))
        );
        assert_eq!(
            (&assigned["reason"], &assigned["assignedAt"]),
            (&json!("a deal"), &json!("2026-11-21T12:00:00Z"))
        );
        assert!(assigned["actor"].as_str().unwrap().starts_with("crd_"));
        assert_eq!(plane.read(TIER).await, assigned);

        let released = plane.ask(Method::DELETE, TIER, &Value::Null).await;
        assert_eq!((released.status.as_u16(), &released.body), (200, &default));
        assert_eq!(plane.read(TIER).await, default);

        let unknown = plane
            .ask(Method::PUT, TIER, &json!({ "tier": "gold" }))
            .await;
        assert_eq!(
            (unknown.status.as_u16(), &unknown.body["code"]),
            (422, &json!("unknown_tier"))
        );
        let long = format!("/v1/customers/{}/tier", "x".repeat(201));
        let long = plane
            .ask(Method::PUT, &long, &json!({ "tier": "basic" }))
            .await;
        assert_eq!(
            (long.status.as_u16(), &long.body["code"]),
            (422, &json!("invalid_fields"))
        );
    }
}

#[tokio::test]
async fn licenses_without_a_tier_of_their_own_follow_their_customers() {
    for plane in Plane::on_each(SMALL).await {
        let follower = plane.issue(json!({ "customerId": "c-1" })).await;
        let fixed = plane
            .issue(json!({ "customerId": "c-1", "tier": "basic" }))
            .await;
        let stranger = plane.issue(json!({ "customerId": "c-2" })).await;
        let tier = async |license: &Value| {
            let shown = plane.read(&path_of(license)).await;
            let activated = plane.activate(&license["key"], "f-1").await.body["tier"].clone();
            assert_eq!(shown["tier"], activated);
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            format!("{} by {}", text(&shown["tier"]), text(&shown["tierSource"]))
        };
        for (tier_now, followed) in [
            (None, "basic by default"),
            (Some("growth"), "growth by customer"),
            (Some("basic"), "basic by customer"),
            (Some("growth"), "growth by customer"),
        ] {
            if let Some(tier_now) = tier_now {
                assign(&plane, tier_now).await;
            }
            assert_eq!(tier(&follower).await, followed);
            assert_eq!(tier(&fixed).await, "basic by license");
            assert_eq!(tier(&stranger).await, "basic by default");
        }
        let late = plane.issue(json!({ "customerId": "c-1" })).await;
        assert_eq!(
            (&late["tier"], &late["tierSource"]),
            (&json!("growth"), &json!("customer"))
        );
        let limit = plane.read(&path_of(&late)).await["boxes"]["limit"].clone();
        assert_eq!(limit, Value::Null, "the limit follows as well");
        plane.ask(Method::DELETE, TIER, &Value::Null).await;
        assert_eq!(tier(&follower).await, "basic by default");
    }
}

#[tokio::test]
async fn a_lower_tier_ends_the_tokens_of_those_who_follow_and_a_higher_one_does_not() {
    for plane in Plane::on_each(SMALL).await {
        let follower = plane.issue(json!({ "customerId": "c-1" })).await;
        let fixed = plane
            .issue(json!({ "customerId": "c-1", "tier": "growth" }))
            .await;
        let token = async |license: &Value| {
            let answer = plane.activate(&license["key"], "f-1").await;
            answer.body["token"].clone()
        };
        let (basic, kept) = (token(&follower).await, token(&fixed).await);
        assign(&plane, "growth").await;
        assert!(plane.passes(&basic).await);
        let growth = token(&follower).await;
        let number = plane.operations.store.newest_change().await.unwrap();
        plane.ask(Method::DELETE, TIER, &Value::Null).await;
        assert!(plane.operations.store.newest_change().await.unwrap() > number);
        assert!(!plane.passes(&growth).await && !plane.passes(&basic).await);
        assert!(plane.passes(&kept).await, "it has a tier of its own");
        assert!(
            plane.passes(&token(&follower).await).await,
            "in the same second"
        );
    }
}
