//! The audit log: rows are added, never changed.

use jiff::Timestamp;

use super::{Link, StoreError, Tx, on};
use crate::domain::{Actor, Event};

const NEXT: &str = "UPDATE counters SET value = value + 1 WHERE name = 'audit' RETURNING value";
const LATEST: &str = "SELECT value FROM counters WHERE name = 'audit'";
const INSERT: &str = "INSERT INTO audit \
    (sequence, at, actor, action, subject, before, after, reason, request_id) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

/// The number of the newest row, 0 before the first.
pub(super) async fn latest(link: Link<'_>) -> Result<i64, StoreError> {
    let (value,) = on!(link, |c| sqlx::query_as::<_, (i64,)>(LATEST)
        .fetch_one(c)
        .await)?;
    Ok(value)
}

/// Adds a row and returns its number. Called by [`Tx::commit`] alone.
pub(super) async fn append(
    tx: &mut Tx,
    actor: &Actor,
    request_id: Option<&str>,
    now: Timestamp,
    event: Event,
) -> Result<i64, StoreError> {
    let (sequence,) = on!(tx.link(), |c| sqlx::query_as::<_, (i64,)>(NEXT)
        .fetch_one(c)
        .await)?;
    let before = event.before.map(|state| state.to_string());
    let after = event.after.map(|state| state.to_string());
    on!(tx.link(), |c| sqlx::query(INSERT)
        .bind(sequence)
        .bind(now.as_microsecond())
        .bind(actor.as_str())
        .bind(event.action)
        .bind(event.subject)
        .bind(before)
        .bind(after)
        .bind(event.reason)
        .bind(request_id)
        .execute(c)
        .await
        .map(drop))?;
    Ok(sequence)
}
