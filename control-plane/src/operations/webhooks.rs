//! Say who is told of changes: make webhooks, change them, give them other secrets, try them.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use url::Url;

use super::{Error, Fault, Operations};
use crate::domain::webhook::WEBHOOKS_MAX;
use crate::domain::{
    DisabledReason, Event, EventFilter, FieldError, Patch, Refusal, Requester, Webhook, WebhookId,
};
use crate::seal::Sealer;
use crate::store::{Recorded, StoreError, Tx, audit, deliveries, webhooks};
use crate::webhooks::address;
use crate::webhooks::message::WebhookSecret;

const DESCRIPTION_BYTES_MAX: usize = 200;
/// The longest overlap of two secrets, in seconds: 30 days.
const OVERLAP_MAX: u32 = 30 * 24 * 3600;
/// The most rows that one request replays.
const REPLAY_ROWS_MAX: i64 = 1_000;

/// A webhook that is to be made.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// Where it listens.
    pub url: Url,
    /// A note for people.
    pub description: Option<String>,
    /// What it is told of.
    pub events: EventFilter,
}

/// What is to change; what is none stays.
#[derive(Debug, Clone, Default)]
pub struct WebhookChange {
    /// Where it listens.
    pub url: Option<Url>,
    /// A note for people.
    pub description: Patch<String>,
    /// What it is told of.
    pub events: Option<EventFilter>,
    /// Whether it is told.
    pub enabled: Option<bool>,
    /// Why.
    pub reason: Option<String>,
}

/// Which rows are sent again, both ends included.
#[derive(Debug, Clone, Copy)]
pub struct Replay {
    /// The first.
    pub from: i64,
    /// The last.
    pub to: i64,
}

/// The column of a secret, which is part of what it is sealed for.
#[derive(Debug, Clone, Copy)]
enum Column {
    Secret,
    OldSecret,
}

impl Operations {
    /// Makes a webhook, which is told of what happens from now on, and its secret.
    pub async fn create_webhook(
        &self,
        tx: &mut Tx,
        by: &Requester,
        new: NewWebhook,
    ) -> Result<Recorded<(Webhook, WebhookSecret)>, Error> {
        let now = self.clock.now();
        self.check_webhook(
            Some(&new.url),
            new.description.as_deref(),
            Some(&new.events),
        )?;
        if webhooks::list(tx.link()).await?.len() >= WEBHOOKS_MAX {
            return Err(Refusal::TooManyWebhooks.into());
        }
        let webhook = Webhook {
            id: self.fresh(WebhookId::new)?,
            url: new.url,
            description: new.description,
            events: new.events,
            told: tx.newest_row(),
            created_at: now,
            disabled: None,
            failing_since: None,
            paused_until: None,
            old_secret_until: None,
        };
        let secret = WebhookSecret::fresh(&*self.entropy)?;
        let sealed = self.seal_webhook(&webhook.id, Column::Secret, &secret)?;
        webhooks::insert(tx, &webhook, &sealed).await?;
        let event = Event {
            after: Some(state(&webhook)),
            ..Event::new("webhook.create", &webhook.id)
        };
        Ok(tx.record(by, now, event, (webhook, secret)).await?)
    }

    /// Changes a webhook. One that is enabled again, or listens elsewhere now, starts with a clean
    /// slate, and with what it was not told of meanwhile.
    pub async fn change_webhook(
        &self,
        tx: &mut Tx,
        by: &Requester,
        id: &WebhookId,
        change: WebhookChange,
    ) -> Result<Recorded<Webhook>, Error> {
        let now = self.clock.now();
        let description = change.description.value().map(String::as_str);
        self.check_webhook(change.url.as_ref(), description, change.events.as_ref())?;
        let before = webhook(tx, id).await?;
        let mut after = before.clone();
        if let Some(url) = change.url {
            after.url = url;
            after.forgive();
        }
        after.description = change.description.apply(after.description);
        after.events = change.events.unwrap_or(after.events);
        match change.enabled {
            Some(true) => {
                after.disabled = None;
                after.forgive();
            }
            Some(false) if after.disabled.is_none() => {
                after.disabled = Some((now, DisabledReason::Operator));
            }
            _ => {}
        }
        webhooks::update(tx, &after).await?;
        let event = Event {
            before: Some(state(&before)),
            after: Some(state(&after)),
            reason: change.reason,
            ..Event::new("webhook.change", id)
        };
        Ok(tx.record(by, now, event, after).await?)
    }

    /// Takes a webhook away, with all that was to be sent to it.
    pub async fn delete_webhook(
        &self,
        tx: &mut Tx,
        by: &Requester,
        id: &WebhookId,
        reason: Option<String>,
    ) -> Result<Recorded<Webhook>, Error> {
        let before = webhook(tx, id).await?;
        webhooks::delete(tx, id).await?;
        let event = Event {
            before: Some(state(&before)),
            reason,
            ..Event::new("webhook.delete", id)
        };
        Ok(tx.record(by, self.clock.now(), event, before).await?)
    }

    /// Gives a webhook another secret. For a while the one it has signs as well; one that was
    /// before that no longer does.
    pub async fn rotate_webhook_secret(
        &self,
        tx: &mut Tx,
        by: &Requester,
        id: &WebhookId,
        overlap_seconds: u32,
        reason: Option<String>,
    ) -> Result<Recorded<(Webhook, WebhookSecret)>, Error> {
        Refusal::unless_all_hold([(overlap_seconds > OVERLAP_MAX).then(|| {
            FieldError::new(
                "overlapSeconds",
                format!("is at most {OVERLAP_MAX}, 30 days"),
            )
        })])?;
        let now = self.clock.now();
        let mut webhook = webhook(tx, id).await?;
        let (present, _) = self.webhook_secrets(tx, id).await?;
        let secret = WebhookSecret::fresh(&*self.entropy)?;
        let sealed = self.seal_webhook(id, Column::Secret, &secret)?;
        let old = self.seal_webhook(id, Column::OldSecret, &present)?;
        let until = now.saturating_add(SignedDuration::from_secs(overlap_seconds.into()));
        webhook.old_secret_until = until.ok().filter(|_| overlap_seconds > 0);
        let old = webhook.old_secret_until.map(|until| (old.as_str(), until));
        webhooks::set_secrets(tx, id, &sealed, old).await?;
        let event = Event {
            after: Some(json!({ "oldSecretUntil": webhook.old_secret_until })),
            reason,
            ..Event::new("webhook.rotate_secret", id)
        };
        Ok(tx.record(by, now, event, (webhook, secret)).await?)
    }

    /// Sends a webhook a message of the type `webhook.test`, by the way that every message goes.
    /// Returns the number of its audit row.
    pub async fn test_webhook(
        &self,
        tx: &mut Tx,
        by: &Requester,
        id: &WebhookId,
    ) -> Result<Recorded<(i64, Timestamp)>, Error> {
        let now = self.clock.now();
        enabled(tx, id).await?;
        let recorded = tx
            .record(by, now, Event::new("webhook.test", id), ())
            .await?;
        let sequence = tx.newest_row();
        deliveries::add(tx, id, sequence, now).await?;
        Ok(recorded.map(|()| (sequence, now)))
    }

    /// Sends rows of the audit log again: those that the webhook wants, or was once sent. Returns
    /// how many.
    pub async fn replay_webhook(
        &self,
        tx: &mut Tx,
        by: &Requester,
        id: &WebhookId,
        replay: Replay,
        reason: Option<String>,
    ) -> Result<Recorded<usize>, Error> {
        let now = self.clock.now();
        let Replay { from, to } = replay;
        let rows = to.saturating_sub(from).saturating_add(1);
        let bad = from < 1 || !(1..=REPLAY_ROWS_MAX).contains(&rows);
        Refusal::unless_all_hold([bad.then(|| {
            let text = format!("to `to` are 1 to {REPLAY_ROWS_MAX} rows, counted from 1");
            FieldError::new("from", text)
        })])?;
        let webhook = enabled(tx, id).await?;
        let mut sent = 0;
        for entry in audit::some_after(tx.link(), from - 1, rows).await? {
            let sequence = entry.sequence;
            let wanted = webhook.events.wants(&entry.action)
                || deliveries::exists(tx.link(), id, sequence).await?;
            if sequence <= to && wanted {
                deliveries::again(tx, id, sequence, now).await?;
                sent += 1;
            }
        }
        let event = Event {
            after: Some(json!({ "from": from, "to": to, "deliveries": sent })),
            reason,
            ..Event::new("webhook.replay", id)
        };
        Ok(tx.record(by, now, event, sent).await?)
    }

    fn check_webhook(
        &self,
        url: Option<&Url>,
        description: Option<&str>,
        events: Option<&EventFilter>,
    ) -> Result<(), Refusal> {
        let url = url.and_then(|url| address::error(self.policy.webhook_reach, url));
        Refusal::unless_all_hold([
            url.map(|error| FieldError::new("url", error)),
            description
                .and_then(|text| FieldError::in_text("description", text, DESCRIPTION_BYTES_MAX)),
            events.and_then(|events| events.error("events")),
        ])
    }

    /// The secret that signs, and the one before it if that signs as well.
    pub(super) async fn webhook_secrets(
        &self,
        tx: &mut Tx,
        id: &WebhookId,
    ) -> Result<(WebhookSecret, Option<WebhookSecret>), Error> {
        let secrets = webhooks::secrets(tx.link(), id).await?;
        let secrets = secrets.ok_or(Refusal::WebhookNotFound)?;
        let open = |column: Column, sealed: &str| {
            let opened = self.webhook_sealer().open(&column.context(id), sealed);
            let damaged = || StoreError::Inconsistent {
                table: "webhooks",
                row: id.to_string(),
                column: column.as_str(),
            };
            opened.map(WebhookSecret::from_bytes).ok_or_else(damaged)
        };
        let present = open(Column::Secret, secrets.present())?;
        let old = secrets.old().map(|sealed| open(Column::OldSecret, sealed));
        Ok((present, old.transpose()?))
    }

    fn seal_webhook(
        &self,
        id: &WebhookId,
        column: Column,
        secret: &WebhookSecret,
    ) -> Result<String, Fault> {
        let sealer = self.webhook_sealer();
        Ok(sealer.seal(&column.context(id), secret.as_bytes(), &*self.entropy)?)
    }

    fn webhook_sealer(&self) -> Sealer {
        Sealer::new(&self.hash_key, "webhooks")
    }
}

impl Column {
    fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::OldSecret => "old_secret",
        }
    }

    fn context(self, id: &WebhookId) -> String {
        format!("webhooks {} {id}", self.as_str())
    }
}

async fn webhook(tx: &mut Tx, id: &WebhookId) -> Result<Webhook, Error> {
    let webhook = webhooks::get(tx.link(), id).await?;
    Ok(webhook.ok_or(Refusal::WebhookNotFound)?)
}

async fn enabled(tx: &mut Tx, id: &WebhookId) -> Result<Webhook, Error> {
    let webhook = webhook(tx, id).await?;
    if webhook.disabled.is_some() {
        return Err(Refusal::WebhookDisabled.into());
    }
    Ok(webhook)
}

/// A webhook as the audit log shows it. What stands in the query of an address may be a secret.
pub(super) fn state(webhook: &Webhook) -> Value {
    let mut url = webhook.url.clone();
    if url.query().is_some() {
        url.set_query(Some("***"));
    }
    json!({
        "url": url,
        "description": webhook.description,
        "events": webhook.events,
        "disabledReason": webhook.disabled.map(|(_, reason)| reason),
    })
}
