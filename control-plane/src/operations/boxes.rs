//! A box gives its seat back, or an operator takes it.

use secrecy::SecretString;

use super::{Error, Operations, check_fingerprint, license};
use crate::domain::{ActivatedBox, BoxId, Event, License, LicenseId, Refusal, Requester};
use crate::store::{Recorded, Tx, boxes};

impl Operations {
    /// Frees the seat of the box with this fingerprint, for whoever has the license key. An
    /// expired license lets its boxes go; one that is suspended or revoked says nothing.
    pub async fn deactivate(
        &self,
        tx: &mut Tx,
        by: &Requester,
        key: &SecretString,
        fingerprint: &str,
    ) -> Result<Recorded<ActivatedBox>, Error> {
        Refusal::unless_all_hold([check_fingerprint(fingerprint)])?;
        let now = self.clock.now();
        let license = self.license_by_key(tx, key, now).await?;
        let releasable = license.check_releasable();
        releasable.map_err(|unusable| self.deny(by, &license, unusable))?;
        let found = boxes::find(tx.link(), &license.id, fingerprint).await?;
        let found = found.ok_or(Refusal::BoxNotFound)?;
        self.free(tx, by, &license, found, "box.deactivate", None)
            .await
    }

    /// Frees a box's seat.
    pub async fn release_box(
        &self,
        tx: &mut Tx,
        by: &Requester,
        license_id: &LicenseId,
        id: &str,
        reason: Option<String>,
    ) -> Result<Recorded<ActivatedBox>, Error> {
        let license = license(tx, license_id, self.clock.now()).await?;
        let id: BoxId = id.parse().map_err(|_| Refusal::BoxNotFound)?;
        let found = boxes::get(tx.link(), &license.id, &id).await?;
        let found = found.ok_or(Refusal::BoxNotFound)?;
        self.free(tx, by, &license, found, "box.release", reason)
            .await
    }

    async fn free(
        &self,
        tx: &mut Tx,
        by: &Requester,
        license: &License,
        freed: ActivatedBox,
        action: &'static str,
        reason: Option<String>,
    ) -> Result<Recorded<ActivatedBox>, Error> {
        let now = self.clock.now();
        // Its tokens may be dated later than now.
        let until = license.tokens_from().map_or(now, |dated| dated.max(now));
        boxes::release(tx, &license.id, &freed.id, until).await?;
        let event = Event {
            before: Some(serde_json::json!({
                "boxId": freed.id,
                "fingerprint": freed.fingerprint,
                "name": freed.name,
                "activatedAt": freed.activated_at,
                "lastSeenAt": freed.last_seen_at,
            })),
            reason,
            concerns_gates: true,
            ..Event::new(action, &license.id)
        };
        Ok(tx.record(by, now, event, freed).await?)
    }
}
