//! Subscriptions at Stripe, and the tiers that customers have by them.

mod door;
mod library;
mod order;

use axum::http::Method;
use control_plane::operations::BILLING_EVENTS_KEPT;
use serde_json::{Value, json};
use tests::SMALL;
use tests::plane::{Plane, path_of};
use tests::stripe::{NOON, checkout, event, invoice, subscription};

const TIER: &str = "/v1/customers/c-1/tier";

fn updated(id: &str, seconds: i64, object: &Value) -> Value {
    event(id, "customer.subscription.updated", seconds, object)
}

fn created(id: &str, seconds: i64, object: &Value) -> Value {
    event(id, "customer.subscription.created", seconds, object)
}

/// The tier of `c-1` and who decides about it.
async fn tier(plane: &Plane) -> String {
    tier_of(plane, "c-1").await
}

async fn tier_of(plane: &Plane, customer: &str) -> String {
    let shown = plane.read(&format!("/v1/customers/{customer}/tier")).await;
    let text = |member: &str| shown[member].as_str().unwrap().to_owned();
    format!("{} by {}", text("tier"), text("source"))
}

/// What the audit log says about billing, oldest first: actions and their reasons.
fn told(plane: &Plane) -> Vec<String> {
    plane.sql(
        "SELECT action || ' ' || subject || ': ' || reason FROM audit \
         WHERE action LIKE 'billing.%' ORDER BY sequence",
    )
}

#[tokio::test]
async fn kum_17_19_24_a_subscription_gives_its_tier_while_it_is_in_force() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        let object = |status: &str| subscription(status, &["price_growth"]);
        assert_eq!(tier(&plane).await, "basic by default");
        assert_eq!(
            plane
                .stripe_tells(&created("e-1", NOON, &object("incomplete")))
                .await,
            None
        );
        assert_eq!(tier(&plane).await, "basic by default");
        for (nth, (status, expected)) in [
            ("trialing", "growth by billing"),
            ("active", "growth by billing"),
            ("past_due", "basic by default"),
            ("active", "growth by billing"),
            ("unpaid", "basic by default"),
            ("active", "growth by billing"),
            ("paused", "basic by default"),
            ("active", "growth by billing"),
            ("incomplete_expired", "basic by default"),
            ("active", "growth by billing"),
            ("of_next_year", "basic by default"),
            ("active", "growth by billing"),
            ("canceled", "basic by default"),
        ]
        .into_iter()
        .enumerate()
        {
            let seconds = NOON + 1 + i64::try_from(nth).unwrap();
            let event = updated(&format!("e-{}", nth + 2), seconds, &object(status));
            assert_eq!(plane.stripe_tells(&event).await, None, "{status}");
            assert_eq!(tier(&plane).await, expected, "{status}");
            let activated = plane.activate(&license["key"], "f-1").await.body;
            assert!(expected.starts_with(activated["tier"].as_str().unwrap()));
        }
        // Over is over, and the row is kept (KUM-24).
        let late = updated("e-99", NOON + 99, &object("active"));
        assert_eq!(plane.stripe_tells(&late).await.as_deref(), Some("outdated"));
        let rows = plane.sql("SELECT provider, id, customer_id, status FROM subscriptions");
        assert_eq!(rows, ["stripe|sub_1|c-1|canceled"]);
    }
}

#[tokio::test]
async fn kum_18_nothing_is_written_where_the_tier_is_right() {
    for plane in Plane::on_each(SMALL).await {
        let object = subscription("active", &["price_growth"]);
        plane.stripe_tells(&created("e-1", NOON, &object)).await;
        let assigned = plane.read(TIER).await;
        plane.clock.advance_seconds(60);
        plane
            .stripe_tells(&updated("e-2", NOON + 60, &object))
            .await;
        assert_eq!(plane.read(TIER).await, assigned);
        assert_eq!(
            told(&plane),
            [
                "billing.update_subscription sub_1: e-1",
                "billing.assign_tier c-1: e-1",
                "billing.update_subscription sub_1: e-2",
            ]
        );
        let actors = plane.sql("SELECT DISTINCT actor FROM audit WHERE action LIKE 'billing.%'");
        assert_eq!(
            (actors, &assigned["actor"]),
            (vec!["stripe".into()], &json!("stripe"))
        );
        // Without a subscription there is nothing to do.
        assert_eq!(tier_of(&plane, "c-2").await, "basic by default");
    }
}

#[tokio::test]
async fn kum_13_14_16_what_was_assigned_by_hand_stays_and_the_log_says_that_billing_was_skipped() {
    for plane in Plane::on_each(SMALL).await {
        let object = |price: &str| subscription("active", &[price]);
        plane
            .stripe_tells(&created("e-1", NOON, &object("price_basic")))
            .await;
        let body = json!({ "tier": "growth", "reason": "a deal" });
        let assigned = plane.ask(Method::PUT, TIER, &body).await.body;
        assert_eq!(tier(&plane).await, "growth by manual");

        plane
            .stripe_tells(&updated("e-2", NOON + 2, &object("price_basic")))
            .await;
        assert_eq!(plane.read(TIER).await["assignedAt"], assigned["assignedAt"]);
        assert_eq!(tier(&plane).await, "growth by manual");
        let canceled = event(
            "e-3",
            "customer.subscription.deleted",
            NOON + 3,
            &subscription("canceled", &["price_basic"]),
        );
        plane.stripe_tells(&canceled).await;
        assert_eq!(tier(&plane).await, "growth by manual");
        let mut skipped = told(&plane);
        skipped.retain(|row| row.starts_with("billing.skip"));
        assert_eq!(
            skipped,
            [
                "billing.skip c-1: e-2: the tier was assigned by hand",
                "billing.skip c-1: e-3: the tier was assigned by hand",
            ]
        );

        // Another subscription, at the very tier that was assigned: nothing was skipped.
        let mut second = subscription("active", &["price_growth"]);
        second["id"] = json!("sub_2");
        plane.stripe_tells(&created("e-4", NOON + 4, &second)).await;
        assert_eq!(
            told(&plane).last().unwrap(),
            "billing.update_subscription sub_2: e-4"
        );
        assert_eq!(tier(&plane).await, "growth by manual");

        // Released, billing decides at once.
        let released = plane.ask(Method::DELETE, TIER, &Value::Null).await;
        assert_eq!(released.status, 200, "{}", released.text);
        assert_eq!(
            (&released.body["tier"], &released.body["source"]),
            (&json!("growth"), &json!("billing"))
        );
        assert_eq!(tier(&plane).await, "growth by billing");
        let again = plane.ask(Method::DELETE, TIER, &Value::Null).await;
        assert_eq!(
            (again.status.as_u16(), &again.body["code"]),
            (409, &json!("customer_tier_billed"))
        );
    }
}

#[tokio::test]
async fn a_release_to_a_lower_tier_that_is_paid_for_ends_tokens_at_once() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        let object = subscription("active", &["price_basic"]);
        plane.stripe_tells(&created("e-1", NOON, &object)).await;
        plane
            .ask(Method::PUT, TIER, &json!({ "tier": "growth" }))
            .await;
        let token = plane.activate(&license["key"], "f-1").await.body["token"].clone();
        assert!(plane.passes(&token).await);
        plane.ask(Method::DELETE, TIER, &Value::Null).await;
        assert_eq!(tier(&plane).await, "basic by billing");
        assert!(!plane.passes(&token).await);
    }
}

#[tokio::test]
async fn a_lower_tier_by_billing_ends_tokens_and_tells_gates_and_a_higher_one_does_not() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        let basic = plane.activate(&license["key"], "f-1").await.body["token"].clone();
        let object = subscription("active", &["price_growth"]);
        plane.stripe_tells(&created("e-1", NOON, &object)).await;
        assert!(plane.passes(&basic).await);
        let growth = plane.activate(&license["key"], "f-1").await.body["token"].clone();
        let number = plane.operations.store.newest_change().await.unwrap();
        let failed = event(
            "e-2",
            "invoice.payment_failed",
            NOON + 9,
            &invoice(NOON + 8),
        );
        plane.stripe_tells(&failed).await;
        assert_eq!(tier(&plane).await, "basic by default");
        assert!(plane.operations.store.newest_change().await.unwrap() > number);
        assert!(!plane.passes(&growth).await && !plane.passes(&basic).await);
        let paid = event("e-3", "invoice.paid", NOON + 20, &invoice(NOON + 8));
        plane.stripe_tells(&paid).await;
        assert_eq!(tier(&plane).await, "growth by billing");
    }
}

#[tokio::test]
async fn kum_22_an_event_that_comes_again_appends_nothing_and_for_another_customer_it_is_another() {
    for plane in Plane::on_each(SMALL).await {
        let object = subscription("active", &["price_growth"]);
        let first = created("e-1", NOON, &object);
        assert_eq!(plane.stripe_tells(&first).await, None);
        let rows = plane.audit_rows();
        for _ in 0..3 {
            let again = plane.stripe_tells(&first).await;
            assert_eq!(again.as_deref(), Some("duplicate"));
        }
        assert_eq!(plane.audit_rows(), rows);
        let mut of_another = object.clone();
        of_another["id"] = json!("sub_2");
        of_another["metadata"]["tollgate_customer_id"] = json!("c-2");
        assert_eq!(
            plane.stripe_tells(&created("e-1", NOON, &of_another)).await,
            None
        );
        assert_eq!(tier_of(&plane, "c-2").await, "growth by billing");

        // Long after, its id is forgotten; then it is old news.
        let rows = plane.audit_rows();
        plane.clock.advance_seconds(BILLING_EVENTS_KEPT.as_secs());
        plane.operations.write_notes().await.unwrap();
        assert_eq!(plane.sql("SELECT COUNT(*) FROM billing_events"), ["0"]);
        assert_eq!(
            plane.stripe_tells(&first).await.as_deref(),
            Some("outdated")
        );
        assert_eq!(plane.audit_rows(), rows);
    }
}

#[tokio::test]
async fn kum_27_what_names_no_customer_or_no_known_price_changes_no_tier_until_it_does() {
    for plane in Plane::on_each(SMALL).await {
        let mut nobodys = subscription("active", &["price_growth"]);
        nobodys["metadata"] = json!({});
        let ignored = plane.stripe_tells(&created("e-1", NOON, &nobodys)).await;
        assert_eq!(ignored.as_deref(), Some("no_customer"));
        assert_eq!(plane.sql("SELECT COUNT(*) FROM customers"), ["0"]);
        // The checkout that it came from says for whom, and may come late.
        let completed = |id: &str, customer: Value| {
            event(id, "checkout.session.completed", NOON, &checkout(&customer))
        };
        let ignored = plane.stripe_tells(&completed("e-2", Value::Null)).await;
        assert_eq!(ignored.as_deref(), Some("no_customer"));
        assert_eq!(
            plane.stripe_tells(&completed("e-3", json!("c-1"))).await,
            None
        );
        assert_eq!(tier(&plane).await, "growth by billing");

        let mut unknown = subscription("active", &["price_of_a_mug"]);
        unknown["metadata"]["tollgate_customer_id"] = json!("c-2");
        unknown["id"] = json!("sub_2");
        let ignored = plane.stripe_tells(&created("e-4", NOON, &unknown)).await;
        assert_eq!(ignored.as_deref(), Some("unknown_price"));
        assert_eq!(tier_of(&plane, "c-2").await, "basic by default");
        // A subscription that goes over to such a price gives nothing any more.
        let over = updated(
            "e-5",
            NOON + 5,
            &subscription("active", &["price_of_a_mug"]),
        );
        let ignored = plane.stripe_tells(&over).await;
        assert_eq!(ignored.as_deref(), Some("unknown_price"));
        assert_eq!(tier(&plane).await, "basic by default");

        for kind in ["customer.subscription.trial_will_end", "charge.succeeded"] {
            let ignored = plane
                .stripe_tells(&event("e-9", kind, NOON, &nobodys))
                .await;
            assert_eq!(ignored.as_deref(), Some("event_type"));
        }
        let once = event("e-8", "invoice.paid", NOON, &json!({ "created": NOON }));
        let ignored = plane.stripe_tells(&once).await;
        assert_eq!(ignored.as_deref(), Some("no_subscription"));
    }
}

#[tokio::test]
async fn of_several_subscriptions_and_prices_the_highest_tier_in_force_counts() {
    for plane in Plane::on_each(SMALL).await {
        let another = |id: &str, status: &str, prices: &[&str]| {
            let mut object = subscription(status, prices);
            object["id"] = json!(id);
            object
        };
        let steps = [
            (
                "sub_1",
                "active",
                &["price_basic", "price_of_a_mug"][..],
                "basic by billing",
            ),
            (
                "sub_2",
                "active",
                &["price_basic", "price_growth"],
                "growth by billing",
            ),
            ("sub_3", "trialing", &["price_growth"], "growth by billing"),
            ("sub_2", "canceled", &["price_growth"], "growth by billing"),
            ("sub_3", "past_due", &["price_growth"], "basic by billing"),
            ("sub_1", "canceled", &["price_basic"], "basic by default"),
        ];
        for (nth, (id, status, prices, expected)) in steps.into_iter().enumerate() {
            let seconds = NOON + i64::try_from(nth).unwrap();
            let event = updated(&format!("e-{nth}"), seconds, &another(id, status, prices));
            assert_eq!(plane.stripe_tells(&event).await, None);
            assert_eq!(tier(&plane).await, expected, "step {nth}");
        }
    }
}

#[tokio::test]
async fn a_subscription_that_goes_over_to_another_customer_takes_its_tier_along() {
    for plane in Plane::on_each(SMALL).await {
        let mut object = subscription("active", &["price_growth"]);
        plane.stripe_tells(&created("e-1", NOON, &object)).await;
        object["metadata"]["tollgate_customer_id"] = json!("c-2");
        plane.stripe_tells(&updated("e-2", NOON + 2, &object)).await;
        assert_eq!(tier(&plane).await, "basic by default");
        assert_eq!(tier_of(&plane, "c-2").await, "growth by billing");
    }
}

#[tokio::test]
async fn other_prices_at_a_start_are_followed_by_those_who_pay_and_by_nobody_else() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        let object = subscription("active", &["price_growth"]);
        plane.stripe_tells(&created("e-1", NOON, &object)).await;
        let mut by_hand = object.clone();
        by_hand["metadata"]["tollgate_customer_id"] = json!("c-2");
        by_hand["id"] = json!("sub_2");
        let hand = "/v1/customers/c-2/tier";
        plane
            .ask(Method::PUT, hand, &json!({ "tier": "growth" }))
            .await;
        plane.stripe_tells(&created("e-2", NOON, &by_hand)).await;
        let token = plane.activate(&license["key"], "f-1").await.body["token"].clone();
        plane.operations.follow_prices().await.unwrap();
        assert_eq!(tier(&plane).await, "growth by billing");

        let same = &plane.operations;
        let prices = [("price_growth".to_owned(), "basic".to_owned())].into();
        let stripe = control_plane::billing::Stripe::new(Vec::new(), &prices, &same.tiers);
        let policy = control_plane::operations::Policy {
            stripe: Some(stripe.unwrap()),
            ..same.policy.clone()
        };
        let restarted = plane.replica_with(policy).await;
        restarted.follow_prices().await.unwrap();
        assert_eq!(tier(&plane).await, "basic by billing");
        assert_eq!(tier_of(&plane, "c-2").await, "growth by manual");
        assert!(!plane.passes(&token).await);
        let rows = plane.audit_rows();
        restarted.follow_prices().await.unwrap();
        assert_eq!(plane.audit_rows(), rows, "nothing is new");
        assert_eq!(plane.read(&path_of(&license)).await["tier"], "basic");
    }
}
