//! What Stripe's events say, in our words. Of each event only what matters is read, in the shapes
//! of its API versions before and after the one of March 2025, which moved several members.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::domain::billing::{Checkout, Invoice, News, Source, Standing, Status};

/// The member of a subscription's metadata that says whose it is.
pub const CUSTOMER_KEY: &str = "tollgate_customer_id";

const ID_BYTES_MAX: usize = 255;
/// Stripe allows twenty; some accounts have been given more.
const PRICES_MAX: usize = 500;

/// An event as every type of them comes.
#[derive(Debug, Deserialize)]
pub struct Envelope {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    created: i64,
    data: Data,
}

#[derive(Debug, Deserialize)]
struct Data {
    object: Value,
}

/// What an event tells of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The subscription's id.
    pub subscription: String,
    /// What.
    pub news: News,
}

/// Why an event does not matter. Stripe is told, so that its dashboard shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Irrelevant {
    /// Its type.
    Type,
    /// An invoice or a checkout of something else, or an invoice that says nothing of how the
    /// subscription stands.
    NoSubscription,
    /// A checkout that does not say for whom.
    NoCustomer,
}

impl Irrelevant {
    /// The reason as it is told.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Type => "event_type",
            Self::NoSubscription => "no_subscription",
            Self::NoCustomer => "no_customer",
        }
    }
}

#[derive(Deserialize)]
struct SubscriptionObject {
    id: String,
    status: String,
    #[serde(default)]
    metadata: Option<HashMap<String, String>>,
    #[serde(default)]
    items: Items,
    current_period_end: Option<i64>,
}

#[derive(Default, Deserialize)]
struct Items {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    price: Option<Price>,
    current_period_end: Option<i64>,
}

#[derive(Deserialize)]
struct Price {
    id: String,
}

#[derive(Deserialize)]
struct InvoiceObject {
    created: i64,
    billing_reason: Option<String>,
    subscription: Option<String>,
    parent: Option<InvoiceParent>,
}

#[derive(Deserialize)]
struct InvoiceParent {
    subscription_details: Option<SubscriptionDetails>,
}

#[derive(Deserialize)]
struct SubscriptionDetails {
    subscription: Option<String>,
}

#[derive(Deserialize)]
struct CheckoutObject {
    subscription: Option<String>,
    client_reference_id: Option<String>,
}

/// What the members of an event's object are not.
type Broken = serde_path_to_error::Error<serde_json::Error>;

/// An event's object cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// A member is missing or of another type.
    #[error("`data.object.{}`: {}", .0.path(), .0.inner())]
    Member(#[from] Broken),
    /// A member has a value that Stripe never sends.
    #[error("`{0}` is not what it should be")]
    Value(&'static str),
}

impl Envelope {
    /// What it tells of a subscription, if anything.
    pub fn read(self) -> Result<Result<Told, Irrelevant>, Unreadable> {
        let source = Source {
            at: time("created", self.created)?,
            event: id("id", self.id)?,
        };
        let object = self.data.object;
        match self.kind.as_str() {
            "customer.subscription.created"
            | "customer.subscription.updated"
            | "customer.subscription.paused"
            | "customer.subscription.resumed"
            | "customer.subscription.deleted" => standing(&self.kind, object, source).map(Ok),
            "invoice.paid" => invoice(true, object, source),
            "invoice.payment_failed" => invoice(false, object, source),
            "checkout.session.completed" => checkout(object, source),
            _ => Ok(Err(Irrelevant::Type)),
        }
    }
}

fn standing(kind: &str, object: Value, source: Source) -> Result<Told, Unreadable> {
    let object: SubscriptionObject = serde_path_to_error::deserialize(object)?;
    let items = object.items.data;
    if items.len() > PRICES_MAX {
        return Err(Unreadable::Value("data.object.items"));
    }
    let ends = items.iter().filter_map(|item| item.current_period_end);
    let end = object.current_period_end.or(ends.max());
    let prices = items.into_iter().filter_map(|item| item.price);
    let prices = prices.map(|price| id("data.object.items.price.id", price.id));
    let mut metadata = object.metadata.unwrap_or_default();
    let ended = kind == "customer.subscription.deleted";
    Ok(Told {
        subscription: id("data.object.id", object.id)?,
        news: News::Standing(Standing {
            customer_id: metadata.remove(CUSTOMER_KEY).filter(|id| is_customer(id)),
            status: if ended {
                Status::Canceled
            } else {
                status(&object.status)
            },
            prices: prices.collect::<Result<_, _>>()?,
            period_end: end
                .map(|end| time("data.object.current_period_end", end))
                .transpose()?,
            is_first: kind == "customer.subscription.created",
            source,
        }),
    })
}

fn invoice(
    paid: bool,
    object: Value,
    source: Source,
) -> Result<Result<Told, Irrelevant>, Unreadable> {
    let object: InvoiceObject = serde_path_to_error::deserialize(object)?;
    let details = object.parent.and_then(|parent| parent.subscription_details);
    let named = details.and_then(|details| details.subscription);
    // One for a change that may never come about, or that somebody wrote by hand, does not tell
    // whether the subscription itself is paid for.
    let beside = object
        .billing_reason
        .is_some_and(|reason| matches!(&*reason, "subscription_update" | "manual"));
    let Some(subscription) = object.subscription.or(named).filter(|_| !beside) else {
        return Ok(Err(Irrelevant::NoSubscription));
    };
    Ok(Ok(Told {
        subscription: id("data.object.subscription", subscription)?,
        news: News::Invoice(Invoice {
            created_at: time("data.object.created", object.created)?,
            paid,
            source,
        }),
    }))
}

fn checkout(object: Value, source: Source) -> Result<Result<Told, Irrelevant>, Unreadable> {
    let object: CheckoutObject = serde_path_to_error::deserialize(object)?;
    let Some(subscription) = object.subscription else {
        return Ok(Err(Irrelevant::NoSubscription));
    };
    let customer = object.client_reference_id.filter(|id| is_customer(id));
    let Some(customer_id) = customer else {
        return Ok(Err(Irrelevant::NoCustomer));
    };
    Ok(Ok(Told {
        subscription: id("data.object.subscription", subscription)?,
        news: News::Checkout(Checkout {
            customer_id,
            source,
        }),
    }))
}

/// Stripe's word for how a subscription stands in ours (KUM-26).
fn status(word: &str) -> Status {
    match word {
        "active" => Status::Active,
        "trialing" => Status::Trialing,
        "past_due" | "unpaid" | "paused" => Status::PastDue,
        "canceled" => Status::Canceled,
        _ => Status::Incomplete,
    }
}

/// A text that names no customer of ours is as good as none.
fn is_customer(text: &str) -> bool {
    crate::operations::check_customer(text).is_ok()
}

fn time(member: &'static str, seconds: i64) -> Result<Timestamp, Unreadable> {
    Timestamp::from_second(seconds).map_err(|_| Unreadable::Value(member))
}

fn id(member: &'static str, text: String) -> Result<String, Unreadable> {
    let good =
        (1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    good.then_some(text).ok_or(Unreadable::Value(member))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn envelope(kind: &str, object: &Value) -> Envelope {
        let event =
            json!({ "id": "evt_1", "type": kind, "created": 7, "data": { "object": object } });
        serde_json::from_value(event).unwrap()
    }

    fn read(kind: &str, object: &Value) -> Result<Told, Irrelevant> {
        envelope(kind, object).read().unwrap()
    }

    fn read_standing(kind: &str, object: &Value) -> Standing {
        match read(kind, object).unwrap().news {
            News::Standing(standing) => standing,
            other => panic!("{other:?}"),
        }
    }

    const UPDATED: &str = "customer.subscription.updated";

    #[test]
    fn kum_26_every_status_of_stripe_has_one_of_ours() {
        for (word, status) in [
            ("active", Status::Active),
            ("trialing", Status::Trialing),
            ("past_due", Status::PastDue),
            ("unpaid", Status::PastDue),
            ("paused", Status::PastDue),
            ("incomplete", Status::Incomplete),
            ("incomplete_expired", Status::Incomplete),
            ("canceled", Status::Canceled),
            ("something_new", Status::Incomplete),
            ("", Status::Incomplete),
        ] {
            let standing = read_standing(UPDATED, &json!({ "id": "sub_1", "status": word }));
            assert_eq!(standing.status, status, "{word}");
            let gives = ["active", "trialing"].contains(&word);
            assert_eq!(standing.status.gives(), gives, "kum_17: {word}");
        }
        let deleted = json!({ "id": "sub_1", "status": "active" });
        let deleted = read_standing("customer.subscription.deleted", &deleted);
        assert_eq!(deleted.status, Status::Canceled);
    }

    #[test]
    fn both_shapes_of_a_subscription_are_read() {
        let newer = json!({
            "id": "sub_1", "status": "active", "metadata": { "tollgate_customer_id": "c-1", "x": "y" },
            "items": { "data": [
                { "price": { "id": "price_1" }, "current_period_end": 100 },
                { "price": { "id": "price_2" }, "current_period_end": 200 },
            ] },
        });
        let older = json!({
            "id": "sub_1", "status": "active", "metadata": { "tollgate_customer_id": "c-1" },
            "current_period_end": 200,
            "items": { "data": [{ "price": { "id": "price_1" } }, { "price": { "id": "price_2" } }] },
        });
        for object in [newer, older] {
            let standing = read_standing(UPDATED, &object);
            assert_eq!(standing.customer_id.as_deref(), Some("c-1"));
            assert_eq!(standing.prices, ["price_1", "price_2"]);
            assert_eq!(standing.period_end, Timestamp::from_second(200).ok());
            assert!(!standing.is_first);
        }
    }

    #[test]
    fn invoices_tell_of_their_subscription_where_they_are_about_it() {
        let parent = json!({ "subscription_details": { "subscription": "sub_1" } });
        let of = |reason: &str| json!({ "created": 5, "billing_reason": reason, "parent": parent });
        for (object, subscription) in [
            (
                json!({ "created": 5, "subscription": "sub_1" }),
                Some("sub_1"),
            ),
            (
                json!({ "created": 5, "subscription": null, "parent": parent }),
                Some("sub_1"),
            ),
            (of("subscription_cycle"), Some("sub_1")),
            (of("subscription_create"), Some("sub_1")),
            (of("subscription_update"), None),
            (of("manual"), None),
            (json!({ "created": 5 }), None),
            (
                json!({ "created": 5, "parent": { "quote_details": {} } }),
                None,
            ),
        ] {
            let told = read("invoice.payment_failed", &object);
            let named = told.as_ref().map(|told| told.subscription.as_str());
            assert_eq!(named.ok(), subscription, "{object}");
        }
    }

    #[test]
    fn what_names_no_customer_of_ours_names_none() {
        for name in ["", "a\u{0}b", &"x".repeat(201)] {
            let metadata = json!({ "tollgate_customer_id": name });
            let object = json!({ "id": "sub_1", "status": "active", "metadata": metadata });
            assert_eq!(read_standing(UPDATED, &object).customer_id, None);
            let checkout = json!({ "subscription": "sub_1", "client_reference_id": name });
            let read = read("checkout.session.completed", &checkout);
            assert_eq!(read, Err(Irrelevant::NoCustomer));
        }
        let once = json!({ "subscription": null, "client_reference_id": "c-1" });
        let once = read("checkout.session.completed", &once);
        assert_eq!(once, Err(Irrelevant::NoSubscription));
    }

    #[test]
    fn what_cannot_be_read_names_the_member() {
        for (object, text) in [
            (json!({ "status": "active" }), "missing field `id`"),
            (json!({ "id": "sub_1" }), "missing field `status`"),
            (
                json!({ "id": "sub 1", "status": "active" }),
                "`data.object.id`",
            ),
            (json!([]), "data.object"),
            (
                json!({ "id": "sub_1", "status": "active", "items": { "data": [{ "price": 7 }] } }),
                "`data.object.items.data[0].price`",
            ),
            (
                json!({ "id": "sub_1", "status": "active", "current_period_end": i64::MAX }),
                "current_period_end",
            ),
        ] {
            let error = envelope(UPDATED, &object).read().unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn other_events_do_not_matter_whatever_they_hold() {
        for kind in [
            "customer.subscription.trial_will_end",
            "charge.refunded",
            "",
        ] {
            assert_eq!(read(kind, &json!(7)), Err(Irrelevant::Type));
        }
    }
}
