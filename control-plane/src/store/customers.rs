//! Table `customer_tiers`.

use manifest::TierName;

use super::{Link, StoreError, Tx, inconsistent, on, row, time};
use crate::domain::customer::{AssignmentSource, CustomerTier};

const GET: &str = "SELECT customer_id, tier, source, actor, reason, assigned_at \
    FROM customer_tiers WHERE customer_id = $1";
const PUT: &str = "INSERT INTO customer_tiers \
    (customer_id, tier, source, actor, reason, assigned_at) VALUES ($1, $2, $3, $4, $5, $6) \
    ON CONFLICT (customer_id) DO UPDATE SET tier = excluded.tier, source = excluded.source, \
    actor = excluded.actor, reason = excluded.reason, assigned_at = excluded.assigned_at";
const DELETE: &str = "DELETE FROM customer_tiers WHERE customer_id = $1";
const TIERS_IN_USE: &str = "SELECT DISTINCT tier FROM customer_tiers ORDER BY tier";

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

/// A customer's assignment, if it has one.
pub async fn get(link: Link<'_>, customer_id: &str) -> Result<Option<CustomerTier>, StoreError> {
    let row = on!(link, |c| sqlx::query_as::<_, Row>(GET)
        .bind(customer_id)
        .fetch_optional(c)
        .await)?;
    row.map(|row| {
        let bad = inconsistent("customer_tiers", &row.customer_id);
        Ok(CustomerTier {
            tier: TierName::parse(&row.tier).map_err(|_| bad("tier"))?,
            source: AssignmentSource::parse(&row.source).ok_or_else(|| bad("source"))?,
            actor: row.actor,
            reason: row.reason,
            assigned_at: time(row.assigned_at).ok_or_else(|| bad("assigned_at"))?,
            customer_id: row.customer_id.clone(),
        })
    })
    .transpose()
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
