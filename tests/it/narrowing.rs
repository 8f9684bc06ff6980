//! What takes something away from a license ends its tokens, at once and for all gates.

use axum::http::Method;
use serde_json::{Value, json};
use tests::SMALL;
use tests::plane::{Plane, path_of};

#[tokio::test]
async fn what_takes_something_away_ends_the_tokens_and_what_gives_does_not() {
    for plane in Plane::on_each(SMALL).await {
        // A change of a license that has everything, and whether it narrows.
        for (change, narrows) in [
            (json!({ "tier": "basic" }), true),
            (json!({ "tier": null }), true),
            (json!({ "maxBoxes": 4 }), true),
            (json!({ "maxBoxes": 6 }), false),
            (json!({ "maxBoxes": null }), false),
            (json!({ "expiresAt": "2026-12-01T00:00:00Z" }), true),
            (json!({ "expiresAt": "2028-01-01T00:00:00Z" }), false),
            (json!({ "expiresAt": null, "graceSeconds": 0 }), false),
            (json!({ "graceSeconds": 0 }), true),
            (json!({ "graceSeconds": 120 }), false),
            (json!({ "expiryStrategy": "maintain" }), false),
            (json!({ "metadata": { "a": "b" } }), false),
            (json!({ "leaseSeconds": 3660 }), false), // a silent box has no token that is good
        ] {
            let license = plane
                .issue(json!({
                    "customerId": "c-1", "tier": "growth", "maxBoxes": 5, "graceSeconds": 60,
                    "expiresAt": "2027-01-01T00:00:00Z",
                }))
                .await;
            let before = plane.activate(&license["key"], "f-1").await.body["token"].clone();
            let number = plane.operations.store.newest_change().await.unwrap();
            plane.change(&license, change.clone()).await;
            assert_eq!(plane.passes(&before).await, !narrows, "{change}");
            let told = plane.operations.store.newest_change().await.unwrap() > number;
            assert!(told || !narrows, "{change}: gates are not told");
            let after = plane.activate(&license["key"], "f-1").await.body["token"].clone();
            assert!(plane.passes(&after).await, "{change}: in the same second");
        }
        let add_on = plane
            .issue(json!({ "customerId": "c-1", "tier": "basic", "addOns": ["@acme/loyalty"] }))
            .await;
        let before = plane.activate(&add_on["key"], "f-1").await.body["token"].clone();
        plane.change(&add_on, json!({ "addOns": [] })).await;
        assert!(!plane.passes(&before).await);
    }
}

#[tokio::test]
async fn a_token_does_not_outlive_a_second_blow_in_the_same_second() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane
            .issue(json!({ "customerId": "c-1", "tier": "growth", "maxBoxes": 9 }))
            .await;
        let mut tokens = Vec::new();
        for boxes in (4..9).rev() {
            plane.change(&license, json!({ "maxBoxes": boxes })).await;
            for token in &tokens {
                assert!(!plane.passes(token).await);
            }
            let token = plane.activate(&license["key"], "f-1").await.body["token"].clone();
            assert!(plane.passes(&token).await, "{boxes}");
            tokens.push(token);
        }
        plane.decide(&license, "suspend").await;
        assert!(!plane.passes(&tokens[4]).await, "suspended");
        plane.decide(&license, "reinstate").await;
        let answer = plane.activate(&license["key"], "f-1").await.body;
        assert!(plane.passes(&answer["token"]).await);
        let path = format!(
            "{}/boxes/{}",
            path_of(&license),
            answer["boxId"].as_str().unwrap()
        );
        assert_eq!(
            plane.ask(Method::DELETE, &path, &Value::Null).await.status,
            200
        );
        assert!(!plane.passes(&answer["token"]).await, "released");
    }
}

#[tokio::test]
async fn gates_are_told_of_a_set_of_packages_that_is_new() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane
            .issue(json!({ "customerId": "c-1", "addOns": ["@acme/points"] }))
            .await;
        let number = async || plane.operations.store.newest_change().await.unwrap();
        let before = number().await;
        let growth = json!({ "tier": "growth" });
        plane.change(&license, growth.clone()).await;
        let changed = number().await;
        assert!(changed > before, "a new tier under the add-on");
        plane.change(&license, json!({ "tier": null })).await;
        let followed = number().await;
        plane
            .ask(Method::PUT, "/v1/customers/c-1/tier", &growth)
            .await;
        assert!(
            number().await > followed,
            "the customer's tier under the add-on"
        );
    }
}
