//! Table `boxes`: who activated a license.

use jiff::Timestamp;

use super::{Link, StoreError, inconsistent, on, row};
use crate::domain::{ActivatedBox, LicenseId};

const SEEN: &str = "UPDATE boxes SET last_seen_at = $3, name = COALESCE($4, name) \
    WHERE license_id = $1 AND fingerprint = $2 RETURNING id, fingerprint, name";
const COUNT: &str = "SELECT COUNT(*) FROM boxes WHERE license_id = $1";
const INSERT: &str = "INSERT INTO boxes \
    (id, license_id, fingerprint, name, activated_at, last_seen_at) \
    VALUES ($1, $2, $3, $4, $5, $5)";

row! {
    struct Row {
        id: String,
        fingerprint: String,
        name: Option<String>,
    }
}

/// Notes that a box is alive, if it has a seat already.
pub async fn seen(
    link: Link<'_>,
    license: &LicenseId,
    fingerprint: &str,
    name: Option<&str>,
    now: Timestamp,
) -> Result<Option<ActivatedBox>, StoreError> {
    let row = on!(link, |c| sqlx::query_as::<_, Row>(SEEN)
        .bind(license.as_str())
        .bind(fingerprint)
        .bind(now.as_microsecond())
        .bind(name)
        .fetch_optional(c)
        .await)?;
    row.map(|row| {
        let bad = inconsistent("boxes", &row.id);
        let id = row.id.parse().map_err(|_| bad("id"))?;
        Ok(ActivatedBox {
            id,
            fingerprint: row.fingerprint,
            name: row.name,
        })
    })
    .transpose()
}

/// How many seats of a license are taken.
pub async fn count(link: Link<'_>, license: &LicenseId) -> Result<u64, StoreError> {
    let (count,) = on!(link, |c| sqlx::query_as::<_, (i64,)>(COUNT)
        .bind(license.as_str())
        .fetch_one(c)
        .await)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Gives a box a seat.
pub async fn insert(
    link: Link<'_>,
    license: &LicenseId,
    new: &ActivatedBox,
    now: Timestamp,
) -> Result<(), StoreError> {
    on!(link, |c| sqlx::query(INSERT)
        .bind(new.id.as_str())
        .bind(license.as_str())
        .bind(&new.fingerprint)
        .bind(&new.name)
        .bind(now.as_microsecond())
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}
