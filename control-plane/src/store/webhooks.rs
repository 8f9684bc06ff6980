//! Table `webhooks`.

use jiff::Timestamp;

use super::{Link, StoreError, Tx, inconsistent, on, row, time};
use crate::domain::{DisabledReason, EventFilter, Webhook, WebhookId};

const INSERT: &str = "INSERT INTO webhooks \
    (id, url, description, events, secret, told, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
const GET: &str = "SELECT id, url, description, events, told, created_at, disabled_at, \
    disabled_reason, failing_since, paused_until, old_secret_until FROM webhooks WHERE id = $1";
const LIST: &str = "SELECT id, url, description, events, told, created_at, disabled_at, \
    disabled_reason, failing_since, paused_until, old_secret_until FROM webhooks ORDER BY id DESC";
const BEHIND: &str = "SELECT w.id FROM webhooks w JOIN counters c ON c.name = 'audit' \
    WHERE w.disabled_at IS NULL AND w.told < c.value ORDER BY w.id";
const DUE: &str = "SELECT w.id FROM webhooks w WHERE w.disabled_at IS NULL \
    AND (w.paused_until IS NULL OR w.paused_until <= $1) AND EXISTS (SELECT 1 FROM deliveries d \
    WHERE d.webhook_id = w.id AND d.status = 'pending' AND d.next_at <= $1) ORDER BY w.id";
const UPDATE: &str = "UPDATE webhooks SET url = $2, description = $3, events = $4, told = $5, \
    disabled_at = $6, disabled_reason = $7, failing_since = $8, paused_until = $9 WHERE id = $1";
const SECRETS: &str = "SELECT secret, old_secret FROM webhooks WHERE id = $1";
const SET_SECRETS: &str = "UPDATE webhooks SET secret = $2, old_secret = $3, \
    old_secret_until = $4 WHERE id = $1";
const FORGET_OLD: &str = "UPDATE webhooks SET old_secret = NULL, old_secret_until = NULL \
    WHERE old_secret_until <= $1";
const DELETE: &str = "DELETE FROM webhooks WHERE id = $1";

row! {
    struct Row {
        id: String,
        url: String,
        description: Option<String>,
        events: String,
        told: i64,
        created_at: i64,
        disabled_at: Option<i64>,
        disabled_reason: Option<String>,
        failing_since: Option<i64>,
        paused_until: Option<i64>,
        old_secret_until: Option<i64>,
    }
}

row! {
    /// The secrets of a webhook, sealed.
    pub struct Secrets {
        secret: String,
        old_secret: Option<String>,
    }
}

impl Secrets {
    /// The one that signs.
    pub fn present(&self) -> &str {
        &self.secret
    }

    /// The one before it, if it is kept.
    pub fn old(&self) -> Option<&str> {
        self.old_secret.as_deref()
    }
}

impl Row {
    fn into_domain(self) -> Result<Webhook, StoreError> {
        let bad = inconsistent("webhooks", &self.id);
        let at = |stored: Option<i64>, column| {
            stored
                .map(|at| time(at).ok_or_else(|| bad(column)))
                .transpose()
        };
        let reason = self.disabled_reason.as_deref().map(|text| {
            let mut reasons = DisabledReason::ALL.into_iter();
            let reason = reasons.find(|reason| reason.as_str() == text);
            reason.ok_or_else(|| bad("disabled_reason"))
        });
        Ok(Webhook {
            id: self.id.parse().map_err(|_| bad("id"))?,
            url: self.url.parse().map_err(|_| bad("url"))?,
            events: serde_json::from_str(&self.events).map_err(|_| bad("events"))?,
            created_at: time(self.created_at).ok_or_else(|| bad("created_at"))?,
            disabled: at(self.disabled_at, "disabled_at")?.zip(reason.transpose()?),
            failing_since: at(self.failing_since, "failing_since")?,
            paused_until: at(self.paused_until, "paused_until")?,
            old_secret_until: at(self.old_secret_until, "old_secret_until")?,
            told: self.told,
            description: self.description,
        })
    }
}

/// Adds a webhook with its secret, sealed.
pub async fn insert(tx: &mut Tx, webhook: &Webhook, secret: &str) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(INSERT)
        .bind(webhook.id.as_str())
        .bind(webhook.url.as_str())
        .bind(&webhook.description)
        .bind(events(&webhook.events))
        .bind(secret)
        .bind(webhook.told)
        .bind(webhook.created_at.as_microsecond())
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

fn events(filter: &EventFilter) -> String {
    serde_json::json!(filter).to_string()
}

/// The webhook with this id.
pub async fn get(link: Link<'_>, id: &WebhookId) -> Result<Option<Webhook>, StoreError> {
    let row = on!(link, |c| sqlx::query_as::<_, Row>(GET)
        .bind(id.as_str())
        .fetch_optional(c)
        .await)?;
    row.map(Row::into_domain).transpose()
}

/// Every webhook, newest first.
pub async fn list(link: Link<'_>) -> Result<Vec<Webhook>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, Row>(LIST).fetch_all(c).await)?;
    rows.into_iter().map(Row::into_domain).collect()
}

/// Webhooks that were not told of every row yet.
pub async fn behind(link: Link<'_>) -> Result<Vec<WebhookId>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, (String,)>(BEHIND)
        .fetch_all(c)
        .await)?;
    ids(rows)
}

/// Webhooks that something can be sent to now.
pub async fn due(link: Link<'_>, now: Timestamp) -> Result<Vec<WebhookId>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, (String,)>(DUE)
        .bind(now.as_microsecond())
        .fetch_all(c)
        .await)?;
    ids(rows)
}

fn ids(rows: Vec<(String,)>) -> Result<Vec<WebhookId>, StoreError> {
    rows.into_iter()
        .map(|(id,)| id.parse().map_err(|_| inconsistent("webhooks", &id)("id")))
        .collect()
}

/// Writes down all of a webhook but its secrets.
pub async fn update(tx: &mut Tx, webhook: &Webhook) -> Result<(), StoreError> {
    let (disabled_at, reason) = webhook.disabled.unzip();
    on!(tx.link(), |c| sqlx::query(UPDATE)
        .bind(webhook.id.as_str())
        .bind(webhook.url.as_str())
        .bind(&webhook.description)
        .bind(events(&webhook.events))
        .bind(webhook.told)
        .bind(disabled_at.map(Timestamp::as_microsecond))
        .bind(reason.map(DisabledReason::as_str))
        .bind(webhook.failing_since.map(Timestamp::as_microsecond))
        .bind(webhook.paused_until.map(Timestamp::as_microsecond))
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// What messages to a webhook are signed with, sealed.
pub async fn secrets(link: Link<'_>, id: &WebhookId) -> Result<Option<Secrets>, StoreError> {
    Ok(on!(link, |c| sqlx::query_as::<_, Secrets>(SECRETS)
        .bind(id.as_str())
        .fetch_optional(c)
        .await)?)
}

/// Sets what messages to a webhook are signed with, sealed: the new secret, and the one before
/// it until a time.
pub async fn set_secrets(
    tx: &mut Tx,
    id: &WebhookId,
    secret: &str,
    old: Option<(&str, Timestamp)>,
) -> Result<(), StoreError> {
    let (old, until) = old.unzip();
    on!(tx.link(), |c| sqlx::query(SET_SECRETS)
        .bind(id.as_str())
        .bind(secret)
        .bind(old)
        .bind(until.map(Timestamp::as_microsecond))
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Forgets secrets that no longer sign.
pub async fn forget_old_secrets(tx: &mut Tx, now: Timestamp) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(FORGET_OLD)
        .bind(now.as_microsecond())
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Takes a webhook away, and its deliveries.
pub async fn delete(tx: &mut Tx, id: &WebhookId) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(DELETE)
        .bind(id.as_str())
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}
