//! Events in every order.

use serde_json::{Value, json};
use tests::SMALL;
use tests::plane::Plane;
use tests::stripe::{NOON, checkout, event, invoice, subscription};

use super::{created, tier_of, updated};

/// Every order of these.
fn orders<T: Clone>(of: &[T]) -> Vec<Vec<T>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for nth in 0..of.len() {
        let mut rest = of.to_vec();
        let first = rest.remove(nth);
        for mut order in orders(&rest) {
            order.insert(0, first.clone());
            all.push(order);
        }
    }
    all
}

/// The history in every order, for a customer of its own each; in every tenth all of it comes again.
async fn same_end(plane: &Plane, history: &[Value], end: &str, round: &str) {
    for (nth, order) in orders(history).into_iter().enumerate() {
        let (customer, id) = (format!("{round}-{nth}"), format!("sub_{round}_{nth}"));
        let again = if nth % 10 == 0 { &*order } else { &[] };
        for event in order.iter().chain(again) {
            let text = event.to_string();
            let text = text.replace("c-1", &customer).replace("sub_1", &id);
            // Another event for each of them, as everywhere.
            let text = text.replace("\"e-", &format!("\"{customer}/e-"));
            plane
                .stripe_tells(&serde_json::from_str(&text).unwrap())
                .await;
        }
        assert_eq!(tier_of(plane, &customer).await, end, "order {nth}");
    }
    let ends = plane.sql(&format!(
        "SELECT DISTINCT status, REPLACE(standing, customer_id, ''), \
         REPLACE(invoice, customer_id, ''), REPLACE(checkout, customer_id, '') \
         FROM subscriptions WHERE id LIKE 'sub_{round}%'"
    ));
    assert_eq!(ends.len(), 1, "{ends:#?}");
}

#[tokio::test]
async fn kum_22_every_order_of_a_history_leads_to_the_same_end() {
    for plane in Plane::on_each(SMALL).await {
        let object = |status: &str, price: &str| {
            let mut object = subscription(status, &[price]);
            object["metadata"] = json!({});
            object
        };
        // Bought at a checkout, upgraded within the second of a failed payment, and made good.
        let history = [
            created("e-1", NOON, &object("incomplete", "price_basic")),
            event(
                "e-2",
                "checkout.session.completed",
                NOON + 1,
                &checkout(&json!("c-1")),
            ),
            event(
                "e-3",
                "invoice.payment_failed",
                NOON + 5,
                &invoice(NOON + 4),
            ),
            updated("e-4", NOON + 5, &object("active", "price_growth")),
            event("e-5", "invoice.paid", NOON + 9, &invoice(NOON + 4)),
        ];
        same_end(&plane, &history, "growth by billing", "a").await;
        // Given up in the second in which it was last said to be good.
        let history = [
            created("e-1", NOON, &subscription("active", &["price_growth"])),
            updated("e-2", NOON + 5, &subscription("active", &["price_growth"])),
            event(
                "e-3",
                "customer.subscription.deleted",
                NOON + 5,
                &subscription("canceled", &["price_growth"]),
            ),
            updated(
                "e-4",
                NOON + 5,
                &subscription("past_due", &["price_growth"]),
            ),
        ];
        same_end(&plane, &history, "basic by default", "b").await;
    }
}
