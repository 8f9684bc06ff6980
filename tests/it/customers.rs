//! A customer's tier, and the licenses that follow it.

use std::collections::BTreeSet;

use axum::Router;
use axum::http::Method;
use control_plane::api::client_address::Networks;
use control_plane::domain::Role;
use serde_json::{Value, json};
use tests::SMALL;
use tests::plane::{Plane, json_request, path_of};
use tests::stripe::{NOON, event, subscription};

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
            "reason": null, "assignedAt": null, "createdAt": null,
        });
        assert_eq!(plane.read(TIER).await, default);
        let nothing = plane.ask(Method::DELETE, TIER, &Value::Null).await;
        assert_eq!(
            (nothing.status.as_u16(), &nothing.body["code"]),
            (404, &json!("customer_tier_not_found"))
        );

        let mut assigned = assign(&plane, "growth").await;
        assert_eq!(
            (&assigned["tier"], &assigned["source"]),
            (&json!("growth"), &json!("manual"))
        );
        assert_eq!(
            assigned.as_object_mut().unwrap().remove("isNew"),
            Some(json!(true))
        );
        assert_eq!(
            (&assigned["reason"], &assigned["assignedAt"]),
            (&json!("a deal"), &json!("2026-11-21T12:00:00Z"))
        );
        assert!(assigned["actor"].as_str().unwrap().starts_with("crd_"));
        assert_eq!(plane.read(TIER).await, assigned);

        // The customer is known from then on.
        let mut default = default;
        default["createdAt"] = json!("2026-11-21T12:00:00Z");
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

#[tokio::test]
async fn kum_1_3_4_5_7_an_assignment_says_whether_it_is_the_first_and_concerns_one_customer() {
    for plane in Plane::on_each(SMALL).await {
        for (tier, is_new) in [("growth", true), ("basic", false), ("growth", false)] {
            let assigned = assign(&plane, tier).await;
            assert_eq!(
                (&assigned["customerId"], &assigned["tier"]),
                (&json!("c-1"), &json!(tier))
            );
            assert_eq!(
                (&assigned["source"], &assigned["isNew"]),
                (&json!("manual"), &json!(is_new))
            );
        }
        let rows = plane.sql("SELECT customer_id, tier, source FROM customer_tiers");
        assert_eq!(rows, ["c-1|growth|manual"], "one row, however often");
        let log = plane.read("/v1/audit?action=customer.assign_tier").await;
        for entry in log["entries"].as_array().unwrap() {
            assert_eq!(entry["subject"], "c-1");
        }
        let others = plane.read("/v1/customers/c-2/tier").await;
        assert_eq!(others["source"], "default");
        plane.ask(Method::DELETE, TIER, &Value::Null).await;
        assert_eq!(assign(&plane, "growth").await["isNew"], true);
        // KUM-1: a customer has a name, a tier has one too.
        for (path, tier) in [
            ("/v1/customers//tier", "growth"),
            (TIER, ""),
            (TIER, &"x".repeat(51)),
        ] {
            let answer = plane.ask(Method::PUT, path, &json!({ "tier": tier })).await;
            assert!(answer.status.is_client_error(), "{path} {tier}");
        }
    }
}

#[tokio::test]
async fn kum_2_8_9_11_whoever_may_not_assign_or_read_is_refused_and_nothing_is_written() {
    for plane in Plane::on_each(SMALL).await {
        plane.issue(json!({ "customerId": "c-1" })).await;
        let secret = async |kind: &str| {
            let made = plane.credential(kind).await;
            made["secret"].as_str().unwrap().to_owned()
        };
        let write = json!({ "tier": "growth" }).to_string();
        // Who, and the statuses of assigning, releasing, reading one and listing all, and of the
        // options.
        for (name, token, expected) in [
            (
                "support",
                plane.operator(Role::Support).await,
                [200, 200, 200, 200, 200],
            ),
            (
                "viewer",
                plane.operator(Role::Viewer).await,
                [403, 403, 200, 200, 200],
            ),
            (
                "billing",
                plane.operator(Role::Billing).await,
                [403, 403, 200, 200, 200],
            ),
            (
                "application",
                secret("application").await,
                [403, 403, 403, 403, 200],
            ),
            ("gate", secret("gate").await, [403, 403, 403, 403, 403]),
            (
                "publisher",
                secret("publisher").await,
                [403, 403, 403, 403, 403],
            ),
        ] {
            let ask = async |method: Method, path: &str, body: &str| {
                let request = json_request(method, path, Some(&token), body.to_owned());
                plane.send(request).await
            };
            let before = plane.read(TIER).await;
            let answers = [
                ask(Method::PUT, TIER, &write).await,
                ask(Method::DELETE, TIER, "{}").await,
                ask(Method::GET, TIER, "").await,
                ask(Method::GET, "/v1/customers", "").await,
                ask(Method::GET, "/v1/tiers", "").await,
            ];
            let statuses = answers.each_ref().map(|answer| answer.status.as_u16());
            assert_eq!(statuses, expected, "{name}");
            for answer in &answers {
                if answer.status == 403 {
                    assert_eq!(answer.body["code"], "not_allowed", "{name}");
                }
            }
            assert_eq!(plane.read(TIER).await, before, "{name}");
            if expected[0] == 403 {
                plane.operations.denials.settle().await;
                let denied = plane.read("/v1/audit?action=access.denied").await;
                let paths = denied["entries"].as_array().unwrap().iter();
                assert!(
                    paths
                        .clone()
                        .any(|row| row["subject"] == "/v1/customers/{id}/tier"
                            && row["after"]["method"] == "PUT"),
                    "{name}"
                );
            }
        }
        let tiers = plane.read("/v1/tiers").await;
        let names = tiers["tiers"].as_array().unwrap().iter();
        let names: Vec<_> = names.map(|tier| &tier["name"]).collect();
        assert_eq!(names, ["basic", "growth"], "in order");
    }
}

#[tokio::test]
async fn kum_28_29_41_a_customer_is_made_by_what_is_first_written_about_it_on_the_default_tier() {
    for plane in Plane::on_each(SMALL).await {
        let since = async |customer: &str| {
            let shown = plane.read(&format!("/v1/customers/{customer}/tier")).await;
            assert_eq!(shown["tier"], "basic");
            assert_ne!(shown["source"], "billing");
            shown["createdAt"].clone()
        };
        assert_eq!(since("by-license").await, Value::Null);
        // Nothing is left of a license that is refused.
        let bad = json!({ "customerId": "by-license", "tier": "gold" });
        let refused = plane.ask(Method::POST, "/v1/licenses", &bad).await;
        assert_eq!(refused.status, 422);
        assert_eq!(since("by-license").await, Value::Null);

        let first = json!("2026-11-21T12:00:00Z");
        let license = plane.issue(json!({ "customerId": "by-license" })).await;
        let put = "/v1/customers/by-hand/tier";
        plane
            .ask(Method::PUT, put, &json!({ "tier": "basic" }))
            .await;
        let mut sold = subscription("incomplete", &["price_growth"]);
        sold["metadata"]["tollgate_customer_id"] = json!("by-billing");
        let created = "customer.subscription.created";
        plane
            .stripe_tells(&event("e-1", created, NOON, &sold))
            .await;
        for customer in ["by-license", "by-hand", "by-billing"] {
            assert_eq!(since(customer).await, first, "{customer}");
        }
        assert_eq!(
            plane.read(&path_of(&license)).await["tierSource"],
            "default"
        );
        assert_eq!(
            plane.sql("SELECT customer_id FROM customer_tiers"),
            ["by-hand"]
        );

        // Whatever comes later makes none anew.
        plane.clock.advance_seconds(3_600);
        for customer in ["by-license", "by-hand", "by-billing"] {
            plane.issue(json!({ "customerId": customer })).await;
            plane
                .ask(Method::PUT, put, &json!({ "tier": "basic" }))
                .await;
            assert_eq!(since(customer).await, first, "{customer}");
        }
        assert_eq!(plane.sql("SELECT COUNT(*) FROM customers"), ["3"]);
    }
}

#[tokio::test]
async fn a_customer_of_a_license_that_an_earlier_release_issued_is_known_since_then() {
    for plane in Plane::on_each(SMALL).await {
        let issue = json!({ "customerId": "c-1" });
        plane.issue(issue.clone()).await;
        let mut sql = plane.connection().await;
        sql.run("DELETE FROM customers", &[]).await;
        plane.clock.advance_seconds(3_600);
        plane.issue(issue).await;
        let since = plane.read(TIER).await["createdAt"].clone();
        assert_eq!(since, "2026-11-21T12:00:00Z");
    }
}

#[tokio::test]
async fn customers_are_listed_with_their_tiers_page_by_page() {
    for plane in Plane::on_each(SMALL).await {
        for nth in 1..=5 {
            plane
                .issue(json!({ "customerId": format!("c-{nth}") }))
                .await;
        }
        assign(&plane, "growth").await;
        let mut path = "/v1/customers?limit=2".to_owned();
        let mut listed = Vec::new();
        loop {
            let page = plane.read(&path).await;
            listed.extend(page["customers"].as_array().unwrap().clone());
            let Some(cursor) = page["nextCursor"].as_str() else {
                break;
            };
            path = format!("/v1/customers?limit=2&cursor={cursor}");
        }
        let ids: Vec<_> = listed.iter().map(|row| row["customerId"].clone()).collect();
        assert_eq!(ids, ["c-1", "c-2", "c-3", "c-4", "c-5"]);
        for row in &listed {
            let id = row["customerId"].as_str().unwrap();
            let shown = plane.read(&format!("/v1/customers/{id}/tier")).await;
            assert_eq!(*row, shown);
        }
        assert_eq!(
            (&listed[0]["tier"], &listed[1]["tier"]),
            (&json!("growth"), &json!("basic"))
        );
    }
}

/// The tier of the customer, of its license and of its next activation, by each of these.
async fn held(plane: &mut Plane, routers: &[Router], license: &Value) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for router in routers {
        plane.set_router(router.clone());
        let activated = plane.activate(&license["key"], "f-1").await.body;
        for shown in [
            plane.read(TIER).await,
            plane.read(&path_of(license)).await,
            activated,
        ] {
            seen.insert(shown["tier"].as_str().unwrap().to_owned());
        }
    }
    seen
}

#[tokio::test]
async fn kum_32_33_what_was_assigned_holds_when_that_has_returned_whoever_knew_the_old_tier() {
    for mut plane in Plane::on_each(SMALL).await {
        let mut routers = vec![plane.router()];
        if plane.reader().is_postgres() {
            // Another process on the same database.
            routers.push(control_plane::api::router(
                plane.replica().await,
                Networks::default(),
            ));
        }
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        let one = |tier: &str| BTreeSet::from([tier.to_owned()]);
        assert_eq!(held(&mut plane, &routers, &license).await, one("basic"));
        // By each of them, and each is warm with what was before.
        for (nth, tier) in ["growth", "basic", "growth", "basic", "growth"]
            .iter()
            .enumerate()
        {
            plane.set_router(routers[nth % routers.len()].clone());
            assign(&plane, tier).await;
            assert_eq!(held(&mut plane, &routers, &license).await, one(tier));
        }
        plane.ask(Method::DELETE, TIER, &Value::Null).await;
        assert_eq!(held(&mut plane, &routers, &license).await, one("basic"));
        // Billing as well.
        let sold = subscription("active", &["price_growth"]);
        let sold = event("e-1", "customer.subscription.created", NOON, &sold);
        plane.stripe_tells(&sold).await;
        assert_eq!(held(&mut plane, &routers, &license).await, one("growth"));
    }
}
