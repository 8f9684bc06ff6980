//! Tables `entitlement_overrides`, `entitlement_add_ons` and `entitlement_switches`, by the
//! statements of the library, within our transactions.

use std::sync::{Arc, LazyLock};

use ::entitlements::sql::subjects::AssignmentsIn;
use ::entitlements::sql::{self, Prefix, SqlError};
use ::entitlements::{After, Configured, Overrides, SetSwitch, Stored, Switch, Switched, Switches};
use jiff::Timestamp;

use super::{Link, StoreError, Tx, customers, on};

static PREFIX: LazyLock<Prefix> = LazyLock::new(Prefix::default);

const ASSIGNMENTS: AssignmentsIn =
    AssignmentsIn::Query("SELECT customer_id AS subject, assigned_at AS at FROM customer_tiers");
const ADD_ONS_IN_USE: &str = "SELECT DISTINCT name FROM entitlement_add_ons ORDER BY name";

impl From<SqlError> for StoreError {
    fn from(error: SqlError) -> Self {
        match error {
            SqlError::Database(error) => Self::Database(error),
            SqlError::Inconsistent { row, column } => Self::Inconsistent {
                table: "entitlement_…",
                row,
                column,
            },
        }
    }
}

/// What is stored of a subject, but for its tier.
pub async fn load(mut link: Link<'_>, subject: &str) -> Result<Stored, StoreError> {
    let mut stored = sql::load(link.again(), &PREFIX, subject).await?;
    stored.created_at = customers::created_at(link, subject).await?;
    Ok(stored)
}

/// Sets overrides and leaves the others.
pub async fn merge(
    tx: &mut Tx,
    subject: &str,
    overrides: &Overrides,
    now: Timestamp,
) -> Result<(), StoreError> {
    Ok(sql::overrides::merge(tx.link(), &PREFIX, subject, overrides, now).await?)
}

/// Clears all overrides of a subject.
pub async fn clear(tx: &mut Tx, subject: &str) -> Result<(), StoreError> {
    sql::overrides::clear(tx.link(), &PREFIX, subject).await?;
    Ok(())
}

/// Clears some overrides of a subject.
pub async fn clear_keys(
    tx: &mut Tx,
    subject: &str,
    keys: &[Arc<str>],
    now: Timestamp,
) -> Result<(), StoreError> {
    sql::overrides::clear_keys(tx.link(), &PREFIX, subject, keys, now).await?;
    Ok(())
}

/// Sets a subject's add-ons, in place of those it had.
pub async fn set_add_ons(
    tx: &mut Tx,
    subject: &str,
    add_ons: &[Arc<str>],
    now: Timestamp,
) -> Result<(), StoreError> {
    Ok(sql::add_ons::set(tx.link(), &PREFIX, subject, add_ons, now).await?)
}

/// Every add-on that some subject has.
pub async fn add_ons_in_use(link: Link<'_>) -> Result<Vec<String>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, (String,)>(ADD_ONS_IN_USE)
        .fetch_all(c)
        .await)?;
    Ok(rows.into_iter().map(|(name,)| name).collect())
}

/// The subjects that are configured, most recently configured first, from the one after `after`
/// on.
pub async fn subjects(
    link: Link<'_>,
    after: Option<After<'_>>,
    rows_max: u32,
) -> Result<Vec<Configured>, StoreError> {
    Ok(sql::subjects::list(link, &PREFIX, ASSIGNMENTS, after, rows_max).await?)
}

/// The switches, as resolving needs them.
pub async fn switches(link: Link<'_>) -> Result<Switches, StoreError> {
    Ok(sql::switches::get(link, &PREFIX).await?)
}

/// The switches that were ever set.
pub async fn set_switches(link: Link<'_>) -> Result<Vec<Switch>, StoreError> {
    Ok(sql::switches::all(link, &PREFIX).await?)
}

/// Sets a switch, unless somebody was faster.
pub async fn set_switch(
    tx: &mut Tx,
    switch: SetSwitch<'_>,
    now: Timestamp,
) -> Result<Option<Switched>, StoreError> {
    Ok(sql::switches::set(tx.link(), &PREFIX, switch, now).await?)
}
