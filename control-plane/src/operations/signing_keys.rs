//! Rotate and remove signing keys, and do by oneself what falls due.
//!
//! A verb puts the new state in force before the commit: what is signed after it and waits for
//! the same commit is signed by the new state, and so is the snapshot that the commit announces.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::{Error, Fault, Operations};
use crate::domain::{
    Event, KeyRecord, KeyRing, KeyState, KeyStatus, Refusal, Removal, Requester, RotationRefused,
};
use crate::keyring::{KeyChange, SigningError};
use crate::store::{Recorded, Tx, signing_keys};

/// A signing key as it stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The key.
    pub record: KeyRecord,
    /// Where it stands.
    pub state: KeyState,
    /// When that changes if nobody does anything.
    pub changes_at: Option<Timestamp>,
}

impl From<KeyStatus<'_>> for Standing {
    fn from(status: KeyStatus<'_>) -> Self {
        Self {
            record: status.record.clone(),
            state: status.state,
            changes_at: status.changes_at,
        }
    }
}

impl Operations {
    /// Publishes the new key that `change` brings. It signs once everybody knows it; at once, if
    /// there is no other.
    pub async fn rotate_signing_key(
        &self,
        tx: &mut Tx,
        by: &Requester,
        change: &mut KeyChange,
        reason: Option<String>,
    ) -> Result<Recorded<Standing>, Error> {
        let now = self.clock.now();
        let new = change.spare().ok_or(SigningError::NoSigner)?;
        let new = new.public().clone();
        let mut records = signing_keys::all(tx.link()).await?;
        let record = self
            .keyring
            .ring_of(records.clone())
            .add(new, now)
            .map_err(Refusal::KeyNotAdded)?;
        signing_keys::insert(tx, &record).await?;
        let event = Event {
            after: Some(json!({ "signsFrom": record.signs_from })),
            reason,
            concerns_gates: true,
            ..Event::new("signing_key.rotate", &record.id())
        };
        let id = record.id().to_owned();
        records.push(record);
        let ring = self.keyring.ring_of(records);
        let recorded = tx.record(by, now, event, standing(&ring, &id, now)?);
        let recorded = recorded.await?;
        change.install(ring, now);
        Ok(recorded)
    }

    /// Removes a key by force: from now on its tokens are refused. Where no other key can sign,
    /// the pending one does at once, or the new one that `change` brings.
    pub async fn remove_signing_key(
        &self,
        tx: &mut Tx,
        by: &Requester,
        change: &mut KeyChange,
        id: &str,
        reason: Option<String>,
    ) -> Result<Recorded<Standing>, Error> {
        let now = self.clock.now();
        let mut records = signing_keys::all(tx.link()).await?;
        let ring = self.keyring.ring_of(records.clone());
        let before = ring.status(id, now).ok_or(Refusal::SigningKeyNotFound)?;
        let shown = json!({ "state": before.state.as_str() });
        let Some(removal) = ring.remove(id, now) else {
            // It is removed already, which is what was asked for.
            let event = Event {
                before: Some(shown.clone()),
                after: Some(shown),
                reason,
                ..Event::new("signing_key.remove", &id)
            };
            return Ok(tx.record(by, now, event, before.into()).await?);
        };
        signing_keys::remove(tx, id, now).await?;
        for record in &mut records {
            if record.id() == id {
                record.removed_at = Some(now);
            }
        }
        match removal {
            Removal::SignerRemains if self.can_sign(&records, now) => {}
            Removal::PendingSigns(next) if self.keyring.holds(&next) => {
                signing_keys::sign_from(tx, &next, now).await?;
                for record in &mut records {
                    if record.id() == next {
                        record.signs_from = now;
                    }
                }
            }
            _ => {
                let new = change.spare().ok_or(SigningError::NoSigner)?;
                let record = KeyRecord {
                    key: new.public().clone(),
                    created_at: now,
                    signs_from: now,
                    removed_at: None,
                };
                signing_keys::insert(tx, &record).await?;
                records.push(record);
            }
        }
        let ring = self.keyring.ring_of(records);
        let signer = ring.signer(now).map(KeyRecord::id);
        let event = Event {
            before: Some(shown),
            after: Some(json!({ "state": KeyState::Removed.as_str(), "signer": signer })),
            reason,
            concerns_gates: true,
            ..Event::new("signing_key.remove", &id)
        };
        let recorded = tx.record(by, now, event, standing(&ring, id, now)?);
        let recorded = recorded.await?;
        change.install(ring, now);
        Ok(recorded)
    }

    /// Whether the signer among these keys has a private half here.
    fn can_sign(&self, records: &[KeyRecord], now: Timestamp) -> bool {
        let ring = self.keyring.ring_of(records.to_vec());
        ring.signer(now)
            .is_some_and(|signer| self.keyring.holds(signer.id()))
    }

    /// Rotates where the schedule says so, and sees to it that this process goes by what is
    /// stored and that spent keys have no files.
    pub async fn tend_signing_keys(&self) -> Result<(), Error> {
        let mut change = self.keyring.change().await;
        let now = self.clock.now();
        let mut conn = self.store.read().await?;
        let records = signing_keys::all(conn.link()).await?;
        drop(conn);
        change.reload(records, now).await.map_err(Fault::KeyFiles)?;
        let every = self.policy.key_rotation;
        let due = every.and_then(|every| self.keyring.ring().next_rotation(every, now));
        if due.is_some_and(|due| due <= now) {
            match self.rotate_by_schedule(&mut change).await {
                // Somebody has been faster, or there are too many: there is a next time.
                Err(Error::Refused(Refusal::KeyNotAdded(refused))) => note_refused(refused),
                done => done?,
            }
        }
        change.keep(now).await;
        Ok(())
    }

    async fn rotate_by_schedule(&self, change: &mut KeyChange) -> Result<(), Error> {
        change
            .prepare(Arc::clone(&self.entropy))
            .await
            .map_err(Fault::KeyFiles)?;
        let mut tx = self.store.begin().await?;
        let reason = Some("the schedule of `key-rotation-days`".to_owned());
        let rotated = self
            .rotate_signing_key(&mut tx, &Requester::system(), change, reason)
            .await?;
        tx.commit(rotated).await?;
        Ok(())
    }
}

fn note_refused(refused: RotationRefused) {
    tracing::warn!(%refused, "signing keys were not rotated by schedule");
}

fn standing(ring: &KeyRing, id: &str, now: Timestamp) -> Result<Standing, Refusal> {
    let status = ring.status(id, now);
    Ok(status.ok_or(Refusal::SigningKeyNotFound)?.into())
}
