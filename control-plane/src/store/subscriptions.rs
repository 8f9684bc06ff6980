//! Tables `subscriptions` and `billing_events`: what billing providers told, and which events
//! were taken.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Link, StoreError, Tx, inconsistent, on, row};
use crate::domain::billing::{Provider, Status, Subscription};

const GET: &str = "SELECT id, standing, invoice, checkout FROM subscriptions \
    WHERE provider = $1 AND id = $2";
const OF_CUSTOMER: &str = "SELECT id, standing, invoice, checkout FROM subscriptions \
    WHERE provider = $1 AND customer_id = $2 ORDER BY id";
const CUSTOMERS: &str = "SELECT DISTINCT customer_id FROM subscriptions \
    WHERE provider = $1 AND customer_id IS NOT NULL ORDER BY customer_id";
const PUT: &str = "INSERT INTO subscriptions \
    (provider, id, customer_id, status, standing, invoice, checkout) \
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (provider, id) DO UPDATE SET \
    customer_id = excluded.customer_id, status = excluded.status, standing = excluded.standing, \
    invoice = excluded.invoice, checkout = excluded.checkout";
const TAKE: &str = "INSERT INTO billing_events (provider, customer_id, event_id, taken_at) \
    VALUES ($1, $2, $3, $4) ON CONFLICT (provider, customer_id, event_id) DO NOTHING";
const FORGET: &str = "DELETE FROM billing_events WHERE taken_at <= $1";

row! {
    struct Row {
        id: String,
        standing: Option<String>,
        invoice: Option<String>,
        checkout: Option<String>,
    }
}

impl Row {
    fn into_domain(self) -> Result<Subscription, StoreError> {
        let bad = inconsistent("subscriptions", &self.id);
        Ok(Subscription {
            standing: read(self.standing).map_err(|_| bad("standing"))?,
            invoice: read(self.invoice).map_err(|_| bad("invoice"))?,
            checkout: read(self.checkout).map_err(|_| bad("checkout"))?,
            id: self.id.clone(),
        })
    }
}

fn read<T: DeserializeOwned>(stored: Option<String>) -> serde_json::Result<Option<T>> {
    stored.map(|json| serde_json::from_str(&json)).transpose()
}

/// All that is known of a subscription, if anything.
pub async fn get(
    link: Link<'_>,
    provider: Provider,
    id: &str,
) -> Result<Option<Subscription>, StoreError> {
    let row = on!(link, |c| sqlx::query_as::<_, Row>(GET)
        .bind(provider.as_str())
        .bind(id)
        .fetch_optional(c)
        .await)?;
    row.map(Row::into_domain).transpose()
}

/// Every subscription of a customer.
pub async fn of_customer(
    link: Link<'_>,
    provider: Provider,
    customer_id: &str,
) -> Result<Vec<Subscription>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, Row>(OF_CUSTOMER)
        .bind(provider.as_str())
        .bind(customer_id)
        .fetch_all(c)
        .await)?;
    rows.into_iter().map(Row::into_domain).collect()
}

/// Every customer that has a subscription.
pub async fn customers(link: Link<'_>, provider: Provider) -> Result<Vec<String>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, (String,)>(CUSTOMERS)
        .bind(provider.as_str())
        .fetch_all(c)
        .await)?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Keeps what is known of a subscription, in place of what was known before.
pub async fn put(
    tx: &mut Tx,
    provider: Provider,
    subscription: &Subscription,
) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(PUT)
        .bind(provider.as_str())
        .bind(&subscription.id)
        .bind(subscription.customer())
        .bind(subscription.status().map(Status::as_str))
        .bind(subscription.standing.as_ref().map(json))
        .bind(subscription.invoice.as_ref().map(json))
        .bind(subscription.checkout.as_ref().map(json))
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Notes that an event about a customer is taken. `false` when it was before.
pub async fn take_event(
    tx: &mut Tx,
    provider: Provider,
    customer_id: Option<&str>,
    event_id: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let rows = on!(tx.link(), |c| sqlx::query(TAKE)
        .bind(provider.as_str())
        .bind(customer_id.unwrap_or_default())
        .bind(event_id)
        .bind(now.as_microsecond())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    Ok(rows == 1)
}

/// Forgets which events were taken until a time.
pub async fn forget_events(tx: &mut Tx, taken_until: Timestamp) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(FORGET)
        .bind(taken_until.as_microsecond())
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// These always have a JSON form.
fn json(value: &impl Serialize) -> String {
    serde_json::json!(value).to_string()
}
