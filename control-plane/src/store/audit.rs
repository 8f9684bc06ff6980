//! The audit log: rows are added, never changed.

use jiff::Timestamp;

use super::{StoreError, Tx, counters, on};
use crate::domain::{Event, Requester};

const INSERT: &str = "INSERT INTO audit \
    (sequence, at, actor, action, subject, before, after, reason, request_id) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

/// Adds a row. Called by [`Tx::commit`] alone.
pub(super) async fn append(
    tx: &mut Tx,
    requester: &Requester,
    now: Timestamp,
    event: Event,
) -> Result<(), StoreError> {
    let sequence = counters::next(tx.link(), counters::AUDIT).await?;
    let before = event.before.map(|state| state.to_string());
    let after = event.after.map(|state| state.to_string());
    on!(tx.link(), |c| sqlx::query(INSERT)
        .bind(sequence)
        .bind(now.as_microsecond())
        .bind(requester.actor.as_str())
        .bind(event.action)
        .bind(event.subject)
        .bind(before)
        .bind(after)
        .bind(event.reason)
        .bind(&requester.request_id)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}
