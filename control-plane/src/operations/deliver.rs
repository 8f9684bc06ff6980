//! Tell webhooks: find out what each is to be told, hand out one delivery after the other, and
//! write down what became of it.

use jiff::{SignedDuration, Timestamp};
use url::Url;

use super::webhooks::state;
use super::{Error, Fault, Operations};
use crate::domain::webhook::{Answer, FAILING_MAX, KEPT, Verdict};
use crate::domain::{DeliveryStatus, DisabledReason, Event, Requester, Webhook, WebhookId};
use crate::entropy::random;
use crate::store::deliveries::Claim;
use crate::store::{Recorded, StoreError, Tx, audit, deliveries, webhooks};
use crate::webhooks::message;

/// Rows of the audit log that are passed on in one transaction.
const ROWS: i64 = 200;
/// After so long a delivery that nobody said anything of is due again: its process died. Longer
/// than any attempt takes.
const CLAIMED: SignedDuration = SignedDuration::from_secs(30);

/// A signed message, and the claim on its delivery.
#[derive(Debug)]
pub struct Message {
    /// Where to.
    pub url: Url,
    /// Header `webhook-id`.
    pub id: String,
    /// Header `webhook-timestamp`.
    pub timestamp: i64,
    /// Header `webhook-signature`.
    pub signature: String,
    /// The body.
    pub body: String,
    claim: Claim,
    at: Timestamp,
}

/// What was answered to a message.
#[derive(Debug)]
pub struct Done {
    claim: Claim,
    at: Timestamp,
    answer: Answer,
}

impl Message {
    /// What was answered to this message.
    pub fn answered(self, answer: Answer) -> Done {
        Done {
            claim: self.claim,
            at: self.at,
            answer,
        }
    }
}

impl Operations {
    /// Makes a delivery of each new row of the audit log for each webhook that wants it.
    pub async fn fan_out(&self) -> Result<(), Fault> {
        loop {
            let mut conn = self.store.read().await?;
            let behind = webhooks::behind(conn.link()).await?;
            drop(conn);
            let mut rows = 0;
            for id in behind {
                rows += self.fan_out_to(&id).await?;
            }
            if rows == 0 {
                return Ok(());
            }
        }
    }

    /// Returns how many rows were looked at.
    async fn fan_out_to(&self, id: &WebhookId) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let oldest = now.saturating_sub(KEPT).unwrap_or(now);
        let mut tx = self.store.begin().await?;
        let webhook = webhooks::get(tx.link(), id).await?;
        let Some(mut webhook) = webhook.filter(|webhook| webhook.disabled.is_none()) else {
            return Ok(0);
        };
        let entries = audit::some_after(tx.link(), webhook.told, ROWS).await?;
        let rows = entries.len();
        for entry in entries {
            if entry.at >= oldest && webhook.events.wants(&entry.action) {
                deliveries::add(&mut tx, id, entry.sequence, now).await?;
            }
            webhook.told = entry.sequence;
        }
        webhooks::update(&mut tx, &webhook).await?;
        tx.commit_notes().await?;
        Ok(rows)
    }

    /// The webhooks that something can be sent to now.
    pub async fn due_webhooks(&self) -> Result<Vec<WebhookId>, Fault> {
        let mut conn = self.store.read().await?;
        Ok(webhooks::due(conn.link(), self.clock.now()).await?)
    }

    /// Writes down what became of the last message to a webhook, and hands out the next one,
    /// signed, if one is due: both in one transaction. Nobody else gets it for a while.
    pub async fn next_message(
        &self,
        id: &WebhookId,
        done: Option<Done>,
    ) -> Result<Option<Message>, Error> {
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let Some(mut webhook) = webhooks::get(tx.link(), id).await? else {
            return Ok(None);
        };
        let disabled = match done {
            Some(done) => self.settle(&mut tx, &mut webhook, &done, now).await?,
            None => None,
        };
        if let Some(disabled) = disabled {
            tx.commit(disabled).await?;
            return Ok(None);
        }
        let message = if webhook.is_open(now) {
            self.claim(&mut tx, webhook, now).await?
        } else {
            None
        };
        tx.commit_notes().await?;
        Ok(message)
    }

    /// Returns the proof of a change if the webhook was disabled.
    async fn settle(
        &self,
        tx: &mut Tx,
        webhook: &mut Webhook,
        done: &Done,
        now: Timestamp,
    ) -> Result<Option<Recorded<()>>, Error> {
        let Done { claim, at, answer } = done;
        let [jitter] = random(&*self.entropy)?;
        let (status, next) = match answer.verdict(claim.step, now, jitter) {
            Verdict::Delivered => (DeliveryStatus::Delivered, now),
            Verdict::Again(next) => (DeliveryStatus::Pending, next),
            Verdict::GivenUp => (DeliveryStatus::Failed, now),
        };
        if !deliveries::settle(tx, &webhook.id, claim, status, next).await? {
            // It took too long, and was handed out again.
            return Ok(None);
        }
        deliveries::log(tx, &webhook.id, claim, *at, answer).await?;
        let before = webhook.clone();
        if answer.is_success() {
            webhook.forgive();
        } else {
            let since = *webhook.failing_since.get_or_insert(now);
            webhook.paused_until = answer.pause(since, now).max(webhook.paused_until);
            let reason = if answer.is_gone() {
                Some(DisabledReason::Gone)
            } else {
                (now.duration_since(since) >= FAILING_MAX).then_some(DisabledReason::Failing)
            };
            if webhook.disabled.is_none() {
                webhook.disabled = reason.map(|reason| (now, reason));
            }
        }
        if *webhook != before {
            webhooks::update(tx, webhook).await?;
        }
        if webhook.disabled == before.disabled {
            return Ok(None);
        }
        let event = Event {
            before: Some(state(&before)),
            after: Some(state(webhook)),
            ..Event::new("webhook.disable", &webhook.id)
        };
        Ok(Some(tx.record(&Requester::system(), now, event, ()).await?))
    }

    async fn claim(
        &self,
        tx: &mut Tx,
        webhook: Webhook,
        now: Timestamp,
    ) -> Result<Option<Message>, Error> {
        let until = now.saturating_add(CLAIMED).unwrap_or(Timestamp::MAX);
        let Some(claim) = deliveries::claim(tx, &webhook.id, now, until).await? else {
            return Ok(None);
        };
        let entries = audit::some_after(tx.link(), claim.sequence - 1, 1).await?;
        let damaged = |table, column| StoreError::Inconsistent {
            table,
            row: claim.sequence.to_string(),
            column,
        };
        let entry = entries
            .first()
            .ok_or_else(|| damaged("audit", "sequence"))?;
        let body = message::body(entry).map_err(|_| damaged("audit", "after"))?;
        let (present, old) = self.webhook_secrets(tx, &webhook.id).await?;
        let old = old.filter(|_| webhook.old_secret_until.is_some_and(|until| now < until));
        let (id, timestamp) = (
            message::message_id(entry.sequence, entry.at),
            now.as_second(),
        );
        let secrets = [Some(present), old];
        let signatures: Vec<String> = secrets
            .iter()
            .flatten()
            .map(|secret| secret.sign(&id, timestamp, &body))
            .collect();
        Ok(Some(Message {
            url: webhook.url,
            id,
            timestamp,
            signature: signatures.join(" "),
            body,
            claim,
            at: now,
        }))
    }
}
