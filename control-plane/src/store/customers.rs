//! Tables `customers` and `customer_tiers`: whom the vendor knows since when, and the tiers that
//! were assigned.

use jiff::Timestamp;
use manifest::TierName;

use super::{Link, StoreError, Tx, inconsistent, on, row, time};
use crate::domain::customer::{AssignmentSource, Customer, CustomerTier};

const GET: &str = "SELECT customer_id, tier, source, actor, reason, assigned_at \
    FROM customer_tiers WHERE customer_id = $1";
const PUT: &str = "INSERT INTO customer_tiers \
    (customer_id, tier, source, actor, reason, assigned_at) VALUES ($1, $2, $3, $4, $5, $6) \
    ON CONFLICT (customer_id) DO UPDATE SET tier = excluded.tier, source = excluded.source, \
    actor = excluded.actor, reason = excluded.reason, assigned_at = excluded.assigned_at";
const DELETE: &str = "DELETE FROM customer_tiers WHERE customer_id = $1";
const TIERS_IN_USE: &str = "SELECT DISTINCT tier FROM customer_tiers ORDER BY tier";

const CREATED_AT: &str = "SELECT created_at FROM customers WHERE id = $1";
// A release before this table was there may have issued licenses beside this one; the ids of
// licenses begin with their time.
const CREATE: &str = "INSERT INTO customers (id, created_at) VALUES ($1, COALESCE( \
    (SELECT created_at FROM licenses WHERE customer_id = $1 ORDER BY id LIMIT 1), $2)) \
    ON CONFLICT (id) DO NOTHING";
const LIST: &str = "SELECT c.id, c.created_at, t.tier, t.source, t.actor, t.reason, t.assigned_at \
    FROM customers c LEFT JOIN customer_tiers t ON t.customer_id = c.id \
    WHERE ($1 IS NULL OR c.id > $1) ORDER BY c.id LIMIT $2";

row! {
    struct Row {
        customer_id: String,
        tier: String,
        source: String,
        actor: String,
        reason: Option<String>,
        assigned_at: i64,
    }
}

row! {
    struct Listed {
        id: String,
        created_at: i64,
        tier: Option<String>,
        source: Option<String>,
        actor: Option<String>,
        reason: Option<String>,
        assigned_at: Option<i64>,
    }
}

impl Row {
    fn into_domain(self) -> Result<CustomerTier, StoreError> {
        let bad = inconsistent("customer_tiers", &self.customer_id);
        Ok(CustomerTier {
            tier: TierName::parse(&self.tier).map_err(|_| bad("tier"))?,
            source: AssignmentSource::parse(&self.source).ok_or_else(|| bad("source"))?,
            actor: self.actor,
            reason: self.reason,
            assigned_at: time(self.assigned_at).ok_or_else(|| bad("assigned_at"))?,
            customer_id: self.customer_id.clone(),
        })
    }
}

impl Listed {
    fn into_domain(self) -> Result<Customer, StoreError> {
        let created_at = time(self.created_at);
        let created_at =
            created_at.ok_or_else(|| inconsistent("customers", &self.id)("created_at"))?;
        let assigned = match (self.tier, self.source, self.actor, self.assigned_at) {
            (Some(tier), Some(source), Some(actor), Some(assigned_at)) => Some(Row {
                customer_id: self.id.clone(),
                tier,
                source,
                actor,
                reason: self.reason,
                assigned_at,
            }),
            _ => None,
        };
        Ok(Customer {
            id: self.id,
            created_at,
            assigned: assigned.map(Row::into_domain).transpose()?,
        })
    }
}

/// Since when a customer is known, if it is.
pub async fn created_at(
    link: Link<'_>,
    customer_id: &str,
) -> Result<Option<Timestamp>, StoreError> {
    let row = on!(link, |c| sqlx::query_as::<_, (i64,)>(CREATED_AT)
        .bind(customer_id)
        .fetch_optional(c)
        .await)?;
    row.map(|(at,)| time(at).ok_or_else(|| inconsistent("customers", &customer_id)("created_at")))
        .transpose()
}

/// Makes a customer known, unless it is: what is first written about it calls this in its own
/// transaction. Whether it was not.
pub async fn create_if_new(
    tx: &mut Tx,
    customer_id: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let rows = on!(tx.link(), |c| sqlx::query(CREATE)
        .bind(customer_id)
        .bind(now.as_microsecond())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    Ok(rows == 1)
}

/// Customers by their ids, from the one after `after` on, each with its assignment.
pub async fn list(
    link: Link<'_>,
    after: Option<&str>,
    rows_max: u32,
) -> Result<Vec<Customer>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, Listed>(LIST)
        .bind(after)
        .bind(i64::from(rows_max))
        .fetch_all(c)
        .await)?;
    rows.into_iter().map(Listed::into_domain).collect()
}

/// A customer's assignment, if it has one.
pub async fn get(link: Link<'_>, customer_id: &str) -> Result<Option<CustomerTier>, StoreError> {
    let row = on!(link, |c| sqlx::query_as::<_, Row>(GET)
        .bind(customer_id)
        .fetch_optional(c)
        .await)?;
    row.map(Row::into_domain).transpose()
}

/// Assigns a tier, in place of whatever was assigned before.
pub async fn put(tx: &mut Tx, assigned: &CustomerTier) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(PUT)
        .bind(&assigned.customer_id)
        .bind(assigned.tier.as_str())
        .bind(assigned.source.as_str())
        .bind(&assigned.actor)
        .bind(&assigned.reason)
        .bind(assigned.assigned_at.as_microsecond())
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Takes an assignment back.
pub async fn delete(tx: &mut Tx, customer_id: &str) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(DELETE)
        .bind(customer_id)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Every tier that some customer has.
pub async fn tiers_in_use(link: Link<'_>) -> Result<Vec<String>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, (String,)>(TIERS_IN_USE)
        .fetch_all(c)
        .await)?;
    Ok(rows.into_iter().map(|(tier,)| tier).collect())
}
