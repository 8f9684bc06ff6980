//! Table `counters`: numbers without gaps and repeats, counted in the transaction that uses them.

use super::{Link, StoreError, on};

/// Rows of the audit log.
pub(super) const AUDIT: &str = "audit";
/// Changes that concern gates.
pub(super) const CHANGE: &str = "change";

const NEXT: &str = "UPDATE counters SET value = value + 1 WHERE name = $1 RETURNING value";
const VALUE: &str = "SELECT value FROM counters WHERE name = $1";

/// The next number.
pub(super) async fn next(link: Link<'_>, name: &str) -> Result<i64, StoreError> {
    one(link, NEXT, name).await
}

/// The newest number, 0 before the first.
pub(super) async fn value(link: Link<'_>, name: &str) -> Result<i64, StoreError> {
    one(link, VALUE, name).await
}

async fn one(link: Link<'_>, sql: &'static str, name: &str) -> Result<i64, StoreError> {
    let (value,) = on!(link, |c| sqlx::query_as::<_, (i64,)>(sql)
        .bind(name)
        .fetch_one(c)
        .await)?;
    Ok(value)
}
