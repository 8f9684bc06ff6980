//! The tiers that subjects were assigned.

use super::{Link, Prefix, SqlError, inconsistent, time};
use crate::on;
use crate::stored::{Assignment, Source};

const GET: &str = "SELECT tier, source, actor, reason, assigned_at \
    FROM {p}_assignments WHERE subject = $1";
const PUT: &str = "INSERT INTO {p}_assignments \
    (subject, tier, source, actor, reason, assigned_at) VALUES ($1, $2, $3, $4, $5, $6) \
    ON CONFLICT (subject) DO UPDATE SET tier = excluded.tier, source = excluded.source, \
    actor = excluded.actor, reason = excluded.reason, assigned_at = excluded.assigned_at";
const DELETE: &str = "DELETE FROM {p}_assignments WHERE subject = $1";

type Row = (String, String, String, Option<String>, i64);

/// A subject's assignment, if it has one.
pub async fn get(
    link: Link<'_>,
    prefix: &Prefix,
    subject: &str,
) -> Result<Option<Assignment>, SqlError> {
    let row = on!(link, |c| sqlx::query_as::<_, Row>(prefix.statement(GET))
        .bind(subject)
        .fetch_optional(c)
        .await)?;
    row.map(|(tier, source, actor, reason, assigned_at)| {
        Ok(Assignment {
            tier: tier.into(),
            source: Source::parse(&source).ok_or_else(|| inconsistent(subject, "source"))?,
            actor,
            reason,
            assigned_at: time(subject, "assigned_at", assigned_at)?,
        })
    })
    .transpose()
}

/// Assigns a tier, in place of whatever was assigned before.
pub async fn put(
    link: Link<'_>,
    prefix: &Prefix,
    subject: &str,
    assigned: &Assignment,
) -> Result<(), SqlError> {
    on!(link, |c| sqlx::query(prefix.statement(PUT))
        .bind(subject)
        .bind(&*assigned.tier)
        .bind(assigned.source.as_str())
        .bind(&assigned.actor)
        .bind(&assigned.reason)
        .bind(assigned.assigned_at.as_microsecond())
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Takes an assignment back; whether there was one.
pub async fn delete(link: Link<'_>, prefix: &Prefix, subject: &str) -> Result<bool, SqlError> {
    let gone = on!(link, |c| sqlx::query(prefix.statement(DELETE))
        .bind(subject)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    Ok(gone > 0)
}
