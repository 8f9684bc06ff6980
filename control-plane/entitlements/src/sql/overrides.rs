//! Overrides: one row for each key, so that merging is one upsert for each and nothing is read
//! before it is written (ENT-20).

use std::sync::Arc;

use jiff::Timestamp;
use manifest::Limit;

use super::{Link, Prefix, SqlError};
use crate::on;
use crate::stored::Overrides;

pub(super) const FEATURE: &str = "feature";
pub(super) const LIMIT: &str = "limit";

const PUT: &str = "INSERT INTO {p}_overrides (subject, kind, name, value, updated_at) \
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (subject, kind, name) \
    DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at";
const CLEAR: &str = "DELETE FROM {p}_overrides WHERE subject = $1";
const CLEAR_KEY: &str = "DELETE FROM {p}_overrides WHERE subject = $1 AND name = $2";
// What is left was configured now: the subject is no less recent for having fewer keys.
const TOUCH: &str = "UPDATE {p}_overrides SET updated_at = $2 WHERE subject = $1";

/// Sets keys and leaves the others (ENT-18). Several statements, always in the same order of
/// keys. The overrides were checked by [`Overrides::checked`].
pub async fn merge(
    mut link: Link<'_>,
    prefix: &Prefix,
    subject: &str,
    overrides: &Overrides,
    now: Timestamp,
) -> Result<(), SqlError> {
    let features = overrides.features.iter();
    let features = features.map(|(name, on)| (FEATURE, name, Some(i64::from(*on))));
    let limits = overrides.limits.iter();
    let limits = limits.map(|(name, limit)| (LIMIT, name, amount(*limit)));
    for (kind, name, value) in features.chain(limits) {
        on!(link.again(), |c| sqlx::query(prefix.statement(PUT))
            .bind(subject)
            .bind(kind)
            .bind(&**name)
            .bind(value)
            .bind(now.as_microsecond())
            .execute(c)
            .await
            .map(drop))?;
    }
    Ok(())
}

/// Clears all keys of a subject (ENT-22); whether there were any (ENT-25).
pub async fn clear(link: Link<'_>, prefix: &Prefix, subject: &str) -> Result<bool, SqlError> {
    let gone = on!(link, |c| sqlx::query(prefix.statement(CLEAR))
        .bind(subject)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    Ok(gone > 0)
}

/// Clears some keys of a subject, features and limits alike (ENT-23); whether any was there.
/// Several statements.
pub async fn clear_keys(
    mut link: Link<'_>,
    prefix: &Prefix,
    subject: &str,
    keys: &[Arc<str>],
    now: Timestamp,
) -> Result<bool, SqlError> {
    let mut sorted: Vec<&Arc<str>> = keys.iter().collect();
    sorted.sort_unstable();
    let mut gone = 0;
    for key in sorted {
        gone += on!(link.again(), |c| sqlx::query(prefix.statement(CLEAR_KEY))
            .bind(subject)
            .bind(&**key)
            .execute(c)
            .await
            .map(|done| done.rows_affected()))?;
    }
    if gone > 0 {
        on!(link, |c| sqlx::query(prefix.statement(TOUCH))
            .bind(subject)
            .bind(now.as_microsecond())
            .execute(c)
            .await
            .map(drop))?;
    }
    Ok(gone > 0)
}

/// How a limit is stored: NULL is no bound. A count was checked to fit.
fn amount(limit: Limit) -> Option<i64> {
    let count = limit.count()?;
    Some(i64::try_from(count).unwrap_or(i64::MAX))
}
