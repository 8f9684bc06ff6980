//! Table `counters`: numbers without gaps and repeats, counted in the transaction that uses them.

use super::{Link, StoreError, on};

/// Rows of the audit log.
pub(super) const AUDIT: &str = "audit";
/// Changes that concern gates.
pub(super) const CHANGE: &str = "change";

const NEXT: &str = "UPDATE counters SET value = value + 1 WHERE name = $1 RETURNING value";
// The row is held until the transaction ends.
const HOLD: &str = "UPDATE counters SET value = value WHERE name = $1 RETURNING value";
const VALUE: &str = "SELECT value FROM counters WHERE name = $1";
const SET: &str = "UPDATE counters SET value = $2 WHERE name = $1";

/// The next number.
pub(super) async fn next(link: Link<'_>, name: &str) -> Result<i64, StoreError> {
    one(link, NEXT, name).await
}

/// The newest number, which nobody else can raise until the transaction ends.
pub(super) async fn hold(link: Link<'_>, name: &str) -> Result<i64, StoreError> {
    one(link, HOLD, name).await
}

/// The newest number, 0 before the first.
pub(super) async fn value(link: Link<'_>, name: &str) -> Result<i64, StoreError> {
    one(link, VALUE, name).await
}

/// Sets the newest number.
pub(super) async fn set(link: Link<'_>, name: &str, value: i64) -> Result<(), StoreError> {
    on!(link, |c| sqlx::query(SET)
        .bind(name)
        .bind(value)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

async fn one(link: Link<'_>, sql: &'static str, name: &str) -> Result<i64, StoreError> {
    let (value,) = on!(link, |c| sqlx::query_as::<_, (i64,)>(sql)
        .bind(name)
        .fetch_one(c)
        .await)?;
    Ok(value)
}
