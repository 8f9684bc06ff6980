//! Tables `boxes` and `released_boxes`: who activated a license.

use activation_token::snapshot::BoxRevocation;
use jiff::Timestamp;

use super::{Link, StoreError, Tx, inconsistent, on, row, time};
use crate::domain::{ActivatedBox, BoxId, LicenseId};

const FIND: &str = "SELECT id, fingerprint, name, activated_at, last_seen_at, offline_until FROM boxes \
    WHERE license_id = $1 AND fingerprint = $2";
const GET: &str = "SELECT id, fingerprint, name, activated_at, last_seen_at, offline_until FROM boxes \
    WHERE license_id = $1 AND id = $2";
const OWNER: &str = "SELECT license_id FROM boxes WHERE id = $1";
const WAS_RELEASED: &str = "SELECT COUNT(*) FROM released_boxes WHERE id = $1";
const LIST: &str = "SELECT id, fingerprint, name, activated_at, last_seen_at, offline_until FROM boxes \
    WHERE license_id = $1 AND ($2 IS NULL OR id > $2) ORDER BY id LIMIT $3";
const OLDER: &str = "SELECT COUNT(*) FROM boxes WHERE license_id = $1 \
    AND (activated_at, id) < ($2, $3) AND ($4 IS NULL OR last_seen_at > $4 OR offline_until > $5)";
const INSERT: &str = "INSERT INTO boxes \
    (id, license_id, fingerprint, name, activated_at, last_seen_at, offline_until) \
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
const UPDATE: &str = "UPDATE boxes \
    SET name = $2, activated_at = $3, last_seen_at = $4, offline_until = $5 WHERE id = $1";
const DELETE: &str = "DELETE FROM boxes WHERE id = $1";
const FORGET_SILENT: &str = "DELETE FROM boxes WHERE license_id = $1 AND last_seen_at <= $2 \
    AND (offline_until IS NULL OR offline_until <= $3)";
const INSERT_RELEASED: &str =
    "INSERT INTO released_boxes (id, license_id, released_at) VALUES ($1, $2, $3)";
const RELEASED: &str = "SELECT id, released_at FROM released_boxes \
    WHERE released_at > $1 AND ($2 IS NULL OR license_id = $2) ORDER BY id";

row! {
    struct Row {
        id: String,
        fingerprint: String,
        name: Option<String>,
        activated_at: i64,
        last_seen_at: i64,
        offline_until: Option<i64>,
    }
}

impl Row {
    fn into_domain(self) -> Result<ActivatedBox, StoreError> {
        let bad = inconsistent("boxes", &self.id);
        Ok(ActivatedBox {
            id: self.id.parse().map_err(|_| bad("id"))?,
            activated_at: time(self.activated_at).ok_or_else(|| bad("activated_at"))?,
            last_seen_at: time(self.last_seen_at).ok_or_else(|| bad("last_seen_at"))?,
            offline_until: self
                .offline_until
                .map(|at| time(at).ok_or_else(|| bad("offline_until")))
                .transpose()?,
            fingerprint: self.fingerprint,
            name: self.name,
        })
    }
}

/// The box of a license with this fingerprint, whether it still holds its seat or not.
pub async fn find(
    link: Link<'_>,
    license: &LicenseId,
    fingerprint: &str,
) -> Result<Option<ActivatedBox>, StoreError> {
    one(link, FIND, license, fingerprint).await
}

/// The box of a license with this id.
pub async fn get(
    link: Link<'_>,
    license: &LicenseId,
    id: &BoxId,
) -> Result<Option<ActivatedBox>, StoreError> {
    one(link, GET, license, id.as_str()).await
}

/// The license that a box activated, if it did and was not released since.
pub async fn license_of(link: Link<'_>, id: &BoxId) -> Result<Option<LicenseId>, StoreError> {
    let row = on!(link, |c| sqlx::query_as::<_, (String,)>(OWNER)
        .bind(id.as_str())
        .fetch_optional(c)
        .await)?;
    let bad = inconsistent("boxes", id);
    row.map(|(license,)| license.parse().map_err(|_| bad("license_id")))
        .transpose()
}

/// Whether a box had a seat and no longer has it.
pub async fn was_released(link: Link<'_>, id: &BoxId) -> Result<bool, StoreError> {
    let (rows,) = on!(link, |c| sqlx::query_as::<_, (i64,)>(WAS_RELEASED)
        .bind(id.as_str())
        .fetch_one(c)
        .await)?;
    Ok(rows > 0)
}

async fn one(
    link: Link<'_>,
    sql: &'static str,
    license: &LicenseId,
    value: &str,
) -> Result<Option<ActivatedBox>, StoreError> {
    let row = on!(link, |c| sqlx::query_as::<_, Row>(sql)
        .bind(license.as_str())
        .bind(value)
        .fetch_optional(c)
        .await)?;
    row.map(Row::into_domain).transpose()
}

/// The boxes of a license in the order of their ids, from the one after `after` on.
pub async fn list(
    link: Link<'_>,
    license: &LicenseId,
    after: Option<&BoxId>,
    rows_max: u32,
) -> Result<Vec<ActivatedBox>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, Row>(LIST)
        .bind(license.as_str())
        .bind(after.map(BoxId::as_str))
        .bind(i64::from(rows_max))
        .fetch_all(c)
        .await)?;
    rows.into_iter().map(Row::into_domain).collect()
}

/// How many boxes took their seats before this one and hold them now, of which those do that were
/// heard of after `heard_after`.
pub async fn older(
    link: Link<'_>,
    license: &LicenseId,
    than: &ActivatedBox,
    heard_after: Option<Timestamp>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let (count,) = on!(link, |c| sqlx::query_as::<_, (i64,)>(OLDER)
        .bind(license.as_str())
        .bind(than.activated_at.as_microsecond())
        .bind(than.id.as_str())
        .bind(heard_after.map(Timestamp::as_microsecond))
        .bind(now.as_microsecond())
        .fetch_one(c)
        .await)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Gives a box a seat.
pub async fn insert(
    tx: &mut Tx,
    license: &LicenseId,
    new: &ActivatedBox,
) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(INSERT)
        .bind(new.id.as_str())
        .bind(license.as_str())
        .bind(&new.fingerprint)
        .bind(&new.name)
        .bind(new.activated_at.as_microsecond())
        .bind(new.last_seen_at.as_microsecond())
        .bind(new.offline_until.map(Timestamp::as_microsecond))
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Writes everything about a box that may change.
pub async fn update(tx: &mut Tx, box_: &ActivatedBox) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(UPDATE)
        .bind(box_.id.as_str())
        .bind(&box_.name)
        .bind(box_.activated_at.as_microsecond())
        .bind(box_.last_seen_at.as_microsecond())
        .bind(box_.offline_until.map(Timestamp::as_microsecond))
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Forgets the boxes of a license that were not heard of after a time and have no license file
/// that is good now.
pub async fn forget_silent(
    tx: &mut Tx,
    license: &LicenseId,
    heard_until: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(FORGET_SILENT)
        .bind(license.as_str())
        .bind(heard_until.as_microsecond())
        .bind(now.as_microsecond())
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Frees a box's seat. Its tokens that are dated until then are no longer good.
pub async fn release(
    tx: &mut Tx,
    license: &LicenseId,
    id: &BoxId,
    until: Timestamp,
) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(DELETE)
        .bind(id.as_str())
        .execute(c)
        .await
        .map(drop))?;
    on!(tx.link(), |c| sqlx::query(INSERT_RELEASED)
        .bind(id.as_str())
        .bind(license.as_str())
        .bind(until.as_microsecond())
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Boxes that were released after a time, of all licenses or of one, as gates are told of them.
pub async fn released(
    link: Link<'_>,
    after: Timestamp,
    license: Option<&LicenseId>,
) -> Result<Vec<BoxRevocation>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, (String, i64)>(RELEASED)
        .bind(after.as_microsecond())
        .bind(license.map(LicenseId::as_str))
        .fetch_all(c)
        .await)?;
    rows.into_iter()
        .map(|(id, released_at)| {
            let bad = inconsistent("released_boxes", &id);
            let released_at = time(released_at).ok_or_else(|| bad("released_at"))?;
            Ok(BoxRevocation {
                issued_until: Timestamp::from_second(released_at.as_second())
                    .map_err(|_| bad("released_at"))?,
                id: id.clone(),
            })
        })
        .collect()
}
