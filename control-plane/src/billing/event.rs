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
