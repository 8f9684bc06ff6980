//! The subjects that are configured by hand or by billing, newest first (ENT-41).

pub use crate::stored::{After, Configured, LISTED};
use jiff::Timestamp;

use super::{Link, Prefix, SqlError, time};
use crate::on;

/// Where assignments stand.
#[derive(Debug, Clone, Copy)]
pub enum AssignmentsIn {
    /// In `…_assignments`.
    Ours,
    /// In another table: a query of the columns `subject` and `at`, a time in microseconds.
    Query(&'static str),
}

const OURS: &str = "SELECT subject, assigned_at AS at FROM {p}_assignments";
// Newest first, and names in ascending order among those of one instant.
const LIST: &str = "SELECT subject, MAX(assigned), MAX(overridden), MAX(bought), MAX(at) FROM (\
        SELECT subject, 0 AS assigned, 1 AS overridden, 0 AS bought, updated_at AS at \
            FROM {p}_overrides \
        UNION ALL SELECT subject, 0, 0, 1, updated_at FROM {p}_add_ons \
        UNION ALL SELECT subject, 1, 0, 0, at FROM ({a}) AS given\
    ) AS settings GROUP BY subject \
    HAVING CAST($1 AS BIGINT) IS NULL OR MAX(at) < CAST($1 AS BIGINT) \
        OR (MAX(at) = CAST($1 AS BIGINT) AND subject > $2) \
    ORDER BY MAX(at) DESC, subject LIMIT $3";

const CREATE: &str = "INSERT INTO {p}_subjects (subject, created_at, updated_at) \
    VALUES ($1, $2, $2) ON CONFLICT (subject) DO NOTHING";
const HOLD: &str = "INSERT INTO {p}_subjects (subject, created_at, updated_at) \
    VALUES ($1, $2, $2) ON CONFLICT (subject) DO UPDATE SET updated_at = excluded.updated_at";

type Row = (String, i32, i32, i32, i64);

/// Lists configured subjects, most recently configured first.
pub async fn list(
    link: Link<'_>,
    prefix: &Prefix,
    assignments: AssignmentsIn,
    after: Option<After<'_>>,
    limit: u32,
) -> Result<Vec<Configured>, SqlError> {
    let assignments = match assignments {
        AssignmentsIn::Ours => OURS,
        AssignmentsIn::Query(query) => query,
    };
    let sql = prefix.statement(&LIST.replace("{a}", assignments));
    let rows = on!(link, |c| sqlx::query_as::<_, Row>(sql)
        .bind(after.map(|after| after.configured_at.as_microsecond()))
        .bind(after.map_or("", |after| after.subject))
        .bind(i64::from(limit))
        .fetch_all(c)
        .await)?;
    let read = |(subject, assigned, overridden, add_ons, at): Row| {
        Ok(Configured {
            configured_at: time(&subject, "updated_at", at)?,
            subject,
            assigned: assigned > 0,
            overridden: overridden > 0,
            add_ons: add_ons > 0,
        })
    };
    rows.into_iter().map(read).collect()
}

/// Notes that a subject came to be; whether it is new. Its trial begins there.
pub async fn create(
    link: Link<'_>,
    prefix: &Prefix,
    subject: &str,
    now: Timestamp,
) -> Result<bool, SqlError> {
    Ok(note(link, prefix, CREATE, subject, now).await? > 0)
}

/// Keeps other writers of a subject out until the transaction ends, so that none waits for
/// another in a circle. A subject that is not there yet comes to be.
pub async fn hold(
    link: Link<'_>,
    prefix: &Prefix,
    subject: &str,
    now: Timestamp,
) -> Result<(), SqlError> {
    note(link, prefix, HOLD, subject, now).await.map(drop)
}

async fn note(
    link: Link<'_>,
    prefix: &Prefix,
    sql: &str,
    subject: &str,
    now: Timestamp,
) -> Result<u64, SqlError> {
    Ok(on!(link, |c| sqlx::query(prefix.statement(sql))
        .bind(subject)
        .bind(now.as_microsecond())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}
