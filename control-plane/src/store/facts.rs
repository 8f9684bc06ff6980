//! Table `facts`: what this database was last served with.

use super::{Link, StoreError, Tx, on};

/// The digest of the manifest and settings that gates go by.
pub const SERVED_WITH: &str = "served_with";

/// The thumbprint of the key that snapshots are signed with.
pub const ROOT_KEY: &str = "root_key";

/// The digest of the prices and tiers that customers' tiers follow.
pub const BILLED_WITH: &str = "billed_with";

const GET: &str = "SELECT value FROM facts WHERE name = $1";
const PUT: &str = "INSERT INTO facts (name, value) VALUES ($1, $2) \
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// The value under a name.
pub async fn get(link: Link<'_>, name: &str) -> Result<Option<String>, StoreError> {
    let row = on!(link, |c| sqlx::query_as::<_, (String,)>(GET)
        .bind(name)
        .fetch_optional(c)
        .await)?;
    Ok(row.map(|(value,)| value))
}

/// Sets the value under a name.
pub async fn put(tx: &mut Tx, name: &str, value: &str) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(PUT)
        .bind(name)
        .bind(value)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}
