//! Notes that change nothing about what anybody may do, written now and then.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::{EVENTS_KEPT, Fault, Operations};
use crate::domain::CredentialId;
use crate::domain::downloads::IDS_KEPT;
use crate::domain::webhook::KEPT;
use crate::store::{credentials, deliveries, downloads, kept_answers, subscriptions, webhooks};

/// For how long an answer to a request with an idempotency key is kept.
pub const ANSWERS_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// When each credential was used last, since this was written down last.
#[derive(Debug, Default)]
pub struct LastUsed(Mutex<HashMap<CredentialId, Timestamp>>);

impl LastUsed {
    /// Notes a use.
    pub fn note(&self, id: &CredentialId, now: Timestamp) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.insert(id.clone(), now);
    }

    fn take(&self) -> HashMap<CredentialId, Timestamp> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Operations {
    /// Writes down when credentials were used, and forgets answers, deliveries and ids of
    /// batches and events that were kept long enough.
    pub async fn write_notes(&self) -> Result<(), Fault> {
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        for (id, at) in self.last_used.take() {
            credentials::used(&mut tx, &id, at).await?;
        }
        kept_answers::forget(&mut tx, now.saturating_sub(ANSWERS_KEPT).unwrap_or(now)).await?;
        deliveries::forget(&mut tx, now.saturating_sub(KEPT).unwrap_or(now)).await?;
        downloads::forget(&mut tx, now.saturating_sub(IDS_KEPT).unwrap_or(now)).await?;
        let long_ago = now.saturating_sub(EVENTS_KEPT).unwrap_or(now);
        subscriptions::forget_events(&mut tx, long_ago).await?;
        webhooks::forget_old_secrets(&mut tx, now).await?;
        Ok(tx.commit_notes().await?)
    }

    /// Writes the last notes and closes the database.
    pub async fn end(&self) {
        self.denials.settle().await;
        if let Err(error) = self.write_notes().await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "the last notes could not be written");
        }
        self.store.close().await;
    }
}
