//! Tables `deliveries` and `delivery_attempts`: what is to be sent, and what became of it.

use jiff::Timestamp;

use super::{Link, StoreError, Tx, inconsistent, on, row, time};
use crate::domain::webhook::Answer;
use crate::domain::{DeliveryStatus, WebhookId};

const ADD: &str = "INSERT INTO deliveries (webhook_id, sequence, status, attempts, step, next_at) \
    VALUES ($1, $2, 'pending', 0, 0, $3) ON CONFLICT (webhook_id, sequence) DO NOTHING";
const AGAIN: &str = "INSERT INTO deliveries (webhook_id, sequence, status, attempts, step, next_at) \
    VALUES ($1, $2, 'pending', 0, 0, $3) ON CONFLICT (webhook_id, sequence) DO UPDATE \
    SET status = 'pending', step = 0, next_at = excluded.next_at, ended_at = NULL";
const EXISTS: &str = "SELECT 1 FROM deliveries WHERE webhook_id = $1 AND sequence = $2";
const NEXT: &str = "SELECT sequence, attempts, step FROM deliveries WHERE webhook_id = $1 \
    AND status = 'pending' AND next_at <= $2 ORDER BY next_at, sequence LIMIT 1";
const CLAIM: &str = "UPDATE deliveries SET attempts = attempts + 1, next_at = $3 \
    WHERE webhook_id = $1 AND sequence = $2";
const SETTLE: &str = "UPDATE deliveries SET status = $4, step = $5, next_at = $6, ended_at = $7 \
    WHERE webhook_id = $1 AND sequence = $2 AND attempts = $3 AND status = 'pending'";
const LOG: &str = "INSERT INTO delivery_attempts \
    (webhook_id, sequence, attempt, at, status, error, response, duration_ms) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const PAGE: &str = "SELECT d.sequence, a.at, a.action, d.status, d.attempts, d.next_at, d.ended_at \
    FROM deliveries d JOIN audit a ON a.sequence = d.sequence WHERE d.webhook_id = $1 \
    AND ($2 IS NULL OR d.sequence < $2) AND ($3 IS NULL OR d.status = $3) \
    ORDER BY d.sequence DESC LIMIT $4";
const ATTEMPTS: &str = "SELECT sequence, attempt, at, status, error, response, duration_ms \
    FROM delivery_attempts WHERE webhook_id = $1 AND sequence = $2 ORDER BY attempt DESC LIMIT $3";
const FORGET: &str = "DELETE FROM deliveries WHERE ended_at <= $1";
const PENDING: &str = "SELECT w.id, COUNT(d.sequence) FROM webhooks w LEFT JOIN deliveries d \
    ON d.webhook_id = w.id AND d.status = 'pending' WHERE w.disabled_at IS NULL \
    GROUP BY w.id ORDER BY w.id";

/// The newest attempts of a delivery that are shown.
const ATTEMPTS_SHOWN: i64 = 20;

row! {
    struct NextRow {
        sequence: i64,
        attempts: i64,
        step: i64,
    }
}

row! {
    struct Row {
        sequence: i64,
        at: i64,
        action: String,
        status: String,
        attempts: i64,
        next_at: Option<i64>,
        ended_at: Option<i64>,
    }
}

row! {
    struct AttemptRow {
        sequence: i64,
        attempt: i64,
        at: i64,
        status: Option<i64>,
        error: Option<String>,
        response: Option<String>,
        duration_ms: i64,
    }
}

/// A delivery that is on its way, taken by whoever holds this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The row of the audit log that it tells of.
    pub sequence: i64,
    /// Which attempt this is, counted from 1 over all.
    pub attempt: i64,
    /// How many failed since it was last begun with.
    pub step: usize,
}

/// A delivery as the log shows it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The row of the audit log that it tells of.
    pub sequence: i64,
    /// The event's type.
    pub action: String,
    /// When that was done.
    pub done_at: Timestamp,
    /// How it stands.
    pub status: DeliveryStatus,
    /// How many attempts were made.
    pub attempts: i64,
    /// When it is tried next, if it is.
    pub next_at: Option<Timestamp>,
    /// When it was delivered or given up, if it was.
    pub ended_at: Option<Timestamp>,
}

/// One attempt, as the log shows it.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Which one, counted from 1.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// What was answered.
    pub answer: Answer,
}

/// Adds a delivery, unless it is there. It is due at once.
pub async fn add(
    tx: &mut Tx,
    webhook: &WebhookId,
    sequence: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    put(tx, ADD, webhook, sequence, now).await
}

/// Begins a delivery anew, whatever became of it. It is due at once.
pub async fn again(
    tx: &mut Tx,
    webhook: &WebhookId,
    sequence: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    put(tx, AGAIN, webhook, sequence, now).await
}

async fn put(
    tx: &mut Tx,
    sql: &'static str,
    webhook: &WebhookId,
    sequence: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(sql)
        .bind(webhook.as_str())
        .bind(sequence)
        .bind(now.as_microsecond())
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Whether this delivery was ever due.
pub async fn exists(
    link: Link<'_>,
    webhook: &WebhookId,
    sequence: i64,
) -> Result<bool, StoreError> {
    let found = on!(link, |c| sqlx::query(EXISTS)
        .bind(webhook.as_str())
        .bind(sequence)
        .fetch_optional(c)
        .await
        .map(|row| row.is_some()))?;
    Ok(found)
}

/// Takes the delivery whose turn it is, until a time: then it is due again, should nobody have
/// said what became of it.
pub async fn claim(
    tx: &mut Tx,
    webhook: &WebhookId,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<Claim>, StoreError> {
    let next = on!(tx.link(), |c| sqlx::query_as::<_, NextRow>(NEXT)
        .bind(webhook.as_str())
        .bind(now.as_microsecond())
        .fetch_optional(c)
        .await)?;
    let Some(next) = next else {
        return Ok(None);
    };
    on!(tx.link(), |c| sqlx::query(CLAIM)
        .bind(webhook.as_str())
        .bind(next.sequence)
        .bind(until.as_microsecond())
        .execute(c)
        .await
        .map(drop))?;
    Ok(Some(Claim {
        sequence: next.sequence,
        attempt: next.attempts + 1,
        step: usize::try_from(next.step)
            .map_err(|_| inconsistent("deliveries", &next.sequence)("step"))?,
    }))
}

/// Says what became of a claimed delivery: it is tried again at a time, or it has ended. Returns
/// whether the claim still held.
pub async fn settle(
    tx: &mut Tx,
    webhook: &WebhookId,
    claim: &Claim,
    status: DeliveryStatus,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let pending = status == DeliveryStatus::Pending;
    let step = claim.step + usize::from(status != DeliveryStatus::Delivered);
    let settled = on!(tx.link(), |c| sqlx::query(SETTLE)
        .bind(webhook.as_str())
        .bind(claim.sequence)
        .bind(claim.attempt)
        .bind(status.as_str())
        .bind(i64::try_from(step).unwrap_or(i64::MAX))
        .bind(pending.then(|| at.as_microsecond()))
        .bind((!pending).then(|| at.as_microsecond()))
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    Ok(settled > 0)
}

/// Writes down an attempt.
pub async fn log(
    tx: &mut Tx,
    webhook: &WebhookId,
    claim: &Claim,
    at: Timestamp,
    answer: &Answer,
) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(LOG)
        .bind(webhook.as_str())
        .bind(claim.sequence)
        .bind(claim.attempt)
        .bind(at.as_microsecond())
        .bind(answer.status.map(i64::from))
        .bind(&answer.error)
        .bind(&answer.response)
        .bind(answer.duration_ms)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Deliveries of a webhook, newest event first, from the one after `before` on.
pub async fn page(
    link: Link<'_>,
    webhook: &WebhookId,
    status: Option<DeliveryStatus>,
    before: Option<i64>,
    rows_max: u32,
) -> Result<Vec<Delivery>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, Row>(PAGE)
        .bind(webhook.as_str())
        .bind(before)
        .bind(status.map(DeliveryStatus::as_str))
        .bind(i64::from(rows_max))
        .fetch_all(c)
        .await)?;
    let delivery = |row: Row| {
        let bad = inconsistent("deliveries", &row.sequence);
        let at = |stored: Option<i64>, column| {
            stored
                .map(|at| time(at).ok_or_else(|| bad(column)))
                .transpose()
        };
        let mut all = DeliveryStatus::ALL.into_iter();
        Ok(Delivery {
            sequence: row.sequence,
            status: all
                .find(|status| status.as_str() == row.status)
                .ok_or_else(|| bad("status"))?,
            attempts: row.attempts,
            next_at: at(row.next_at, "next_at")?,
            ended_at: at(row.ended_at, "ended_at")?,
            done_at: time(row.at).ok_or_else(|| bad("at"))?,
            action: row.action,
        })
    };
    rows.into_iter().map(delivery).collect()
}

/// The newest attempts of a delivery, newest first.
pub async fn attempts(
    link: Link<'_>,
    webhook: &WebhookId,
    sequence: i64,
) -> Result<Vec<Attempt>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, AttemptRow>(ATTEMPTS)
        .bind(webhook.as_str())
        .bind(sequence)
        .bind(ATTEMPTS_SHOWN)
        .fetch_all(c)
        .await)?;
    let attempt = |row: AttemptRow| {
        let bad = inconsistent("delivery_attempts", &row.sequence);
        let status = row.status.map(u16::try_from).transpose();
        Ok(Attempt {
            number: row.attempt,
            at: time(row.at).ok_or_else(|| bad("at"))?,
            answer: Answer {
                status: status.map_err(|_| bad("status"))?,
                retry_after: None,
                error: row.error,
                response: row.response,
                duration_ms: row.duration_ms,
            },
        })
    };
    rows.into_iter().map(attempt).collect()
}

/// Forgets what ended until a time.
pub async fn forget(tx: &mut Tx, ended_until: Timestamp) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(FORGET)
        .bind(ended_until.as_microsecond())
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// How many deliveries wait, by webhook that is not disabled.
pub async fn pending(link: Link<'_>) -> Result<Vec<(String, i64)>, StoreError> {
    Ok(on!(link, |c| sqlx::query_as::<_, (String, i64)>(PENDING)
        .fetch_all(c)
        .await)?)
}
